//! How much power a rack can sustain, limit by limit: now, and when the facility's water is as warm as it gets.
//!
//! `evaluator` → **headroom** → `gate` (check `headroom`), table `headroom`, `/metrics`

use serde::{Deserialize, Serialize};

use super::UnknownReason;
use crate::{EventTime, Microseconds, Name};

/// What stops a rack from drawing more power.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Constraint {
    /// A GPU gets as hot as it may.
    Chip,
    /// The coolant leaves the rack as warm as it may.
    Return,
    /// The distribution unit's exchanger holds the supply temperature no longer with its valve open.
    Cdu,
    /// The coolant rises as much as it may although the pump runs at full speed.
    Pump,
    /// The rear door takes all the heat that it can.
    Door,
}

impl Constraint {
    /// All of them, along the way of the heat; the order in facts and tables.
    pub const ALL: [Self; 5] = [Self::Chip, Self::Return, Self::Cdu, Self::Pump, Self::Door];

    /// The word in tables, policies and answers.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Chip => "chip",
            Self::Return => "return",
            Self::Cdu => "cdu",
            Self::Pump => "pump",
            Self::Door => "door",
        }
    }

    /// The limit of that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|constraint| constraint.name() == name)
    }
}

/// Under which ambient.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ambient {
    /// As it is.
    Now,
    /// The facility's water at the site file's limit, else at the 99th percentile of all that was seen.
    Design,
}

impl Ambient {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Now, Self::Design];

    /// The word in tables, policies and answers.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Now => "now",
            Self::Design => "design",
        }
    }

    /// The ambient of that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|ambient| ambient.name() == name)
    }
}

/// A rack's headroom. All powers are electrical powers of the rack as its meter tells them, kW.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Headroom {
    /// End of the block that it follows from.
    pub time: EventTime,
    /// Power at full load: from the site file, else the 99th percentile of the last day.
    pub nominal_kilowatts: Option<f64>,
    /// Blocks of the last hour in which power and coolant supply temperature were known.
    pub known: Microseconds,
    /// Blocks of the last hour.
    pub asked: Microseconds,
    /// Facility water that the design ambient stands for, °C.
    pub design_water_celsius: Option<f64>,
    /// Each limit as the ambient is now, in the order of [`Constraint::ALL`].
    pub now: Vec<Sustainable>,
    /// The same at design ambient.
    pub design: Vec<Sustainable>,
}

/// What one limit allows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Sustainable {
    /// Which limit.
    pub constraint: Constraint,
    /// How much power.
    pub power: SustainablePower,
}

/// How much power a limit allows: known, unknown, or none of this rack's limits.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SustainablePower {
    /// Known.
    Known(PowerInterval),
    /// It applies, and too little is known to say.
    Unknown {
        /// Why.
        reason: UnknownReason,
        /// The same in words.
        why: Name,
    },
    /// Nothing tells of it here.
    NotApplicable {
        /// Signals and limits of the site file that it lacks.
        missing: Vec<Name>,
    },
}

/// An estimate with its 90 % interval: with 95 % confidence the limit is not below `lower`, and not above `upper`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct PowerInterval {
    /// Estimate, kW.
    pub kilowatts: f64,
    /// Lower end, kW.
    pub lower: f64,
    /// Upper end, kW.
    pub upper: f64,
}

impl PowerInterval {
    /// The estimate in whole watts.
    pub fn watts(&self) -> i64 {
        (self.kilowatts * 1e3).round() as i64
    }
}

impl Headroom {
    /// The limits under an ambient.
    pub fn at(&self, ambient: Ambient) -> &[Sustainable] {
        match ambient {
            Ambient::Now => &self.now,
            Ambient::Design => &self.design,
        }
    }

    /// The limit that allows least of those that are known. Another one may allow less where one is unknown.
    pub fn binding(&self, ambient: Ambient) -> Option<(Constraint, PowerInterval)> {
        let known = self.at(ambient).iter().filter_map(|limit| match &limit.power {
            SustainablePower::Known(interval) => Some((limit.constraint, *interval)),
            SustainablePower::Unknown { .. } | SustainablePower::NotApplicable { .. } => None,
        });
        known.min_by(|(_, one), (_, other)| one.kilowatts.total_cmp(&other.kilowatts))
    }

    /// Whether any limit applies.
    pub fn applies(&self) -> bool {
        self.now.iter().any(|limit| match &limit.power {
            SustainablePower::Known(_) | SustainablePower::Unknown { .. } => true,
            SustainablePower::NotApplicable { .. } => false,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_that_allows_least_binds_and_an_unknown_one_never_does() {
        let known = |constraint, kilowatts: f64| Sustainable {
            constraint,
            power: SustainablePower::Known(PowerInterval {
                kilowatts,
                lower: kilowatts - 5.0,
                upper: kilowatts + 5.0,
            }),
        };
        let unknown = Sustainable {
            constraint: Constraint::Cdu,
            power: SustainablePower::Unknown { reason: UnknownReason::Uncalibrated, why: "new".into() },
        };
        let headroom = Headroom {
            time: EventTime::from_unix_micros(0),
            nominal_kilowatts: None,
            known: Microseconds::ZERO,
            asked: Microseconds::ZERO,
            design_water_celsius: None,
            now: vec![known(Constraint::Chip, 130.0), unknown.clone(), known(Constraint::Pump, 120.0)],
            design: vec![unknown],
        };
        assert_eq!(headroom.binding(Ambient::Now).map(|(constraint, _)| constraint), Some(Constraint::Pump));
        assert_eq!(headroom.binding(Ambient::Design), None);
        for constraint in Constraint::ALL {
            assert_eq!(Constraint::named(constraint.name()), Some(constraint));
        }
    }
}
