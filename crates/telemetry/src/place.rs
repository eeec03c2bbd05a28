//! Where something is measured, and what makes one stream of readings a series of its own.

use std::cmp::Ordering;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::Name;

/// Site, loop, rack, node, device: from the whole down to the part. What does not apply is absent.
///
/// A tray is a node; a GPU, pump, door or filter is a device. Signals of a coolant distribution unit have a
/// loop and no rack.
#[derive(Debug, Default, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Place {
    /// The site, from the settings or the site file; `default` when nobody named it.
    pub site: Name,
    /// The coolant loop.
    #[serde(rename = "loop")]
    pub cooling_loop: Option<Name>,
    /// The rack.
    pub rack: Option<Name>,
    /// The tray or host.
    pub node: Option<Name>,
    /// The GPU, pump, door, filter …
    pub device: Option<Name>,
}

impl Place {
    /// A whole rack.
    pub fn of_rack(site: &Name, cooling_loop: Option<&Name>, rack: &Name) -> Self {
        Self {
            site: site.clone(),
            cooling_loop: cooling_loop.cloned(),
            rack: Some(rack.clone()),
            node: None,
            device: None,
        }
    }

    /// Its name and value for each level that is there, in order: `[("site", "s1"), ("rack", "r07")]`.
    pub fn levels(&self) -> impl Iterator<Item = (&'static str, &Name)> {
        [
            ("site", Some(&self.site)),
            ("loop", self.cooling_loop.as_ref()),
            ("rack", self.rack.as_ref()),
            ("node", self.node.as_ref()),
            ("device", self.device.as_ref()),
        ]
        .into_iter()
        .filter_map(|(level, name)| Some((level, name?)))
    }
}

impl Ord for Place {
    /// Level by level from the whole to the part; one that is absent comes first.
    fn cmp(&self, other: &Self) -> Ordering {
        let level = |one: &Option<Name>, other: &Option<Name>| match (one, other) {
            (Some(one), Some(other)) => name(one, other),
            (one, other) => one.is_some().cmp(&other.is_some()),
        };
        // Most names are shared, and one that is the same text need not be read.
        fn name(one: &Name, other: &Name) -> Ordering {
            if Name::ptr_eq(one, other) { Ordering::Equal } else { one.cmp(other) }
        }
        name(&self.site, &other.site)
            .then_with(|| level(&self.cooling_loop, &other.cooling_loop))
            .then_with(|| level(&self.rack, &other.rack))
            .then_with(|| level(&self.node, &other.node))
            .then_with(|| level(&self.device, &other.device))
    }
}

impl PartialOrd for Place {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for Place {
    /// `site s1, loop cdu3, rack r07`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (level, name)) in self.levels().enumerate() {
            write!(f, "{}{level} {name}", if index == 0 { "" } else { ", " })?;
        }
        Ok(())
    }
}

/// What makes a series one series: place, signal and, where a place has several of one signal, the sensor.
/// Every other label describes it and never makes a new one.
///
/// A rack's identity does not hold its loop: a rack that is moved to another loop keeps its series.
/// [`SeriesIdentity::new`] sees to that.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SeriesIdentity {
    /// Where; the loop is absent when there is a rack.
    pub place: Place,
    /// Canonical or declared name of the signal.
    pub signal: Name,
    /// Which of several sensors of one signal and place.
    pub sensor: Option<Name>,
}

impl SeriesIdentity {
    /// Drops the loop of a place that has a rack.
    pub fn new(mut place: Place, signal: Name, sensor: Option<Name>) -> Self {
        if place.rack.is_some() {
            place.cooling_loop = None;
        }
        Self { place, signal, sensor }
    }
}

impl fmt::Display for SeriesIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {}", self.signal, self.place)?;
        match &self.sensor {
            Some(sensor) => write!(f, ", sensor {sensor}"),
            None => Ok(()),
        }
    }
}

/// The unit of evaluation: a loop with its racks, or a rack without a loop. Nothing crosses it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum PartitionKey {
    /// Everything on one coolant loop.
    Loop {
        /// Its site.
        site: Name,
        /// Its name.
        name: Name,
    },
    /// A rack that no site file puts on a loop.
    Rack {
        /// Its site.
        site: Name,
        /// Its name.
        name: Name,
    },
    /// Readings without loop and rack: kept, shown, never judged together with anything.
    Site {
        /// Its name.
        site: Name,
    },
}

impl PartitionKey {
    /// The partition that a place belongs to. `place.cooling_loop` must already be filled in from the site file.
    pub fn of(place: &Place) -> Self {
        let site = place.site.clone();
        match (&place.cooling_loop, &place.rack) {
            (Some(name), _) => Self::Loop { site, name: name.clone() },
            (None, Some(name)) => Self::Rack { site, name: name.clone() },
            (None, None) => Self::Site { site },
        }
    }
}

impl fmt::Display for PartitionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Loop { site, name } => write!(f, "{site}/loop/{name}"),
            Self::Rack { site, name } => write!(f, "{site}/rack/{name}"),
            Self::Site { site } => write!(f, "{site}"),
        }
    }
}
