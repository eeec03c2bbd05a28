//! A copy of the partition that a drill's fault is laid over, and whether a drill could say anything here.
//!
//! partition → **drilling** → `drill`

use telemetry::facts::Finding;
use telemetry::place::Place;
use telemetry::{Labels, Microseconds, Name};

use super::Partition;
use crate::detectors::{self, Rule};
use crate::drill::class::{At, Class};
use crate::finding::FindingKey;
use crate::plan::touches;

/// A stuck sensor is awaited for this much longer than the longest run it is known for.
const STUCK_MARGIN: Microseconds = Microseconds::from_minutes(15);

/// What a drill needs to know before it begins.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Ready {
    /// The one series that it changes, where it is one.
    pub only: Option<u32>,
    /// The sensor of the coolant that comes to the rack.
    pub supply: Option<u32>,
    /// How long it is waited for.
    pub longest: Microseconds,
}

impl Partition {
    /// Whether readings of a rack come here.
    pub(crate) fn has_rack(&self, rack: &str) -> bool {
        self.layout.racks.contains_key(rack)
    }

    /// Where a fault of a class is.
    pub(crate) fn place_of_drill(&self, class: &Class, rack: &str) -> Option<Place> {
        let place = self.racks.get(rack)?.place.clone();
        let is_of_loop = class.at == At::Loop && place.cooling_loop.is_some();
        Some(Place { rack: place.rack.filter(|_| !is_of_loop), ..place })
    }

    /// All state as it is now, as of a partition that nobody works on: alerts of a rack in maintenance are told to
    /// nobody, and a drill of it is to be heard.
    pub(crate) fn shadow(&self) -> Self {
        let mut shadow = self.clone();
        shadow.racks.values_mut().for_each(|rack| rack.maintenance = None);
        shadow
    }

    /// Whether a drill could pass.
    ///
    /// # Errors
    /// Why not, and how to mend it.
    pub(crate) fn readiness(&self, class: &Class, place: &Place) -> Result<Ready, String> {
        for signals in class.needs {
            if !signals.iter().any(|signal| self.sensors_of(signal, place).next().is_some()) {
                return Err(format!(
                    "{} looks at {}, and {place} does not report it: export it, or map it to that signal",
                    class.right.join(" or "),
                    signals.join(" or ")
                ));
            }
        }
        self.is_quiet(class, place)?;
        let supply = self.sensors_of("coolant_supply_temperature", place).next();
        let ready = Ready { only: None, supply, longest: class.longest };
        match class.name {
            "stuck" => self.ready_to_stick(class, place).map(|ready| Ready { supply, ..ready }),
            "pump_trip" if !self.knows_flow(place) => Err(format!(
                "no steady flow of {place} is known yet, below half of which it would be a trip: try again after a few \
                 minutes of steady flow"
            )),
            _ => self.has_baseline(class, place).map(|()| ready),
        }
    }

    /// No finding is open that a drill would be taken for, or explained by.
    fn is_quiet(&self, class: &Class, place: &Place) -> Result<(), String> {
        let right = || class.right.iter().filter_map(|name| detectors::detector(name));
        let in_the_way = |finding: &&Finding| {
            touches(&finding.place, place)
                && right().any(|row| {
                    *finding.detector == *row.name || row.explained_by.contains(&&*finding.detector)
                })
        };
        match self.findings.iter().find(in_the_way) {
            None => Ok(()),
            Some(finding) => Err(format!(
                "finding {} of {} is open at {} since {}: what a drill says could not be told from it; drill again once \
                 it has ended",
                finding.finding, finding.detector, finding.place, finding.onset
            )),
        }
    }

    /// Residuals say nothing before their baseline is taken.
    fn has_baseline(&self, class: &Class, place: &Place) -> Result<(), String> {
        let is_residual =
            |name: &&str| detectors::detector(name).is_some_and(|row| matches!(row.rule, Rule::Residual(_)));
        if !class.right.iter().any(is_residual) {
            return Ok(());
        }
        let has = self.residuals.iter().any(|((name, at), state)| {
            class.right.contains(&&**name) && touches(at, place) && state.baseline.is_some()
        });
        has.then_some(()).ok_or_else(|| {
            format!(
                "the baseline of {} at {place} is not taken yet, and without it nothing is ever found: it is taken from \
                 60 minutes of clean data, of some detectors under steady load",
                class.right.join(" or ")
            )
        })
    }

    /// The sensor of the rack that is known best by its moves.
    fn ready_to_stick(&self, class: &Class, place: &Place) -> Result<Ready, String> {
        let limit = |number: &u32| self.series[*number as usize].stuck.as_ref()?.limit();
        let known = (0..).take(self.series.len()).filter(|number| self.is_sensor_at(*number, place));
        let best = known.filter_map(|number| Some((limit(&number)?, number))).min();
        match best {
            Some((limit, number)) if limit + STUCK_MARGIN <= class.longest => {
                Ok(Ready { only: Some(number), supply: None, longest: limit + STUCK_MARGIN })
            }
            Some((limit, _)) => Err(format!(
                "the sensors of {place} may rest for {limit} by what was seen of them, which is longer than a drill lasts"
            )),
            None => Err(format!(
                "no sensor of {place} is known well enough to tell that it is stuck: it is watched for 30 minutes, and \
                 must move"
            )),
        }
    }

    fn knows_flow(&self, place: &Place) -> bool {
        let knows = |number: &u32| self.flows.get(number).is_some_and(|flow| flow.is_steady_known());
        let mut flows = self
            .layout
            .flows
            .iter()
            .filter(|number| touches(&self.layout.measured[**number as usize].place, place));
        // One meter of the loop is enough; without one all racks must lose their flow.
        let of_loop = flows
            .clone()
            .any(|number| self.declarations[*number as usize].identity.place.rack.is_none() && knows(number));
        of_loop || (flows.clone().next().is_some() && flows.all(knows))
    }

    /// Series of a signal at a place that have reported; where there is none, those of its loop.
    fn sensors_of<'a>(&'a self, signal: &'a str, place: &'a Place) -> impl Iterator<Item = u32> + 'a {
        let of = move |rack: Option<&'a Name>| {
            (0..).take(self.series.len()).filter(move |number: &u32| {
                let identity = &self.declarations[*number as usize].identity;
                *identity.signal == *signal
                    && identity.place.rack.as_ref() == rack
                    && self.series[*number as usize].latest.is_some()
                    && !self.gone.contains(number)
            })
        };
        let own = of(place.rack.as_ref());
        // A fault of a loop may be seen by the meters of its racks.
        let others = (0..).take(self.series.len()).filter(move |number: &u32| {
            let identity = &self.declarations[*number as usize].identity;
            (place.rack.is_none() || identity.place.rack.is_none())
                && *identity.signal == *signal
                && self.series[*number as usize].latest.is_some()
                && !self.gone.contains(number)
        });
        own.chain(others)
    }

    /// Whether a series is one of the place itself.
    fn is_sensor_at(&self, number: u32, place: &Place) -> bool {
        let at = &self.layout.measured[number as usize].place;
        !self.gone.contains(&number) && at.rack == place.rack && at.node.is_none()
    }

    /// Ids of open findings, and labels of alerts that are not inactive.
    pub(crate) fn said(&self) -> (Vec<Name>, Vec<Labels>) {
        let findings = self.findings.iter().map(|finding| finding.finding.clone()).collect();
        let alerts = self.alerts.transitions().map(|transition| transition.labels.clone()).collect();
        (findings, alerts)
    }

    /// Whether a finding about the same is open here.
    pub(crate) fn has_open(&self, finding: &Finding) -> bool {
        let Finding { detector, place, signal, sensor, .. } = finding.clone();
        self.findings.get(&FindingKey { detector, place, signal, sensor }).is_some()
    }
}
