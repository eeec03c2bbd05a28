//! Drills of a running environment: a fault laid over its telemetry, seen by a copy of its loop alone, to prove that
//! detector and alert work. What is said of a drill is never said of the rack.
//!
//! log → `evaluator` → **drill** → table `drills`, gate check `proven`

use serde::{Deserialize, Serialize};

use crate::place::Place;
use crate::{EventTime, Microseconds, Name};

/// A drill begins, or is broken off.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DrillEvent {
    /// Its id, unique for ever: 16 hex digits.
    pub drill: Name,
    /// When it was asked for. It takes effect at the last tick: what has come by then cannot be changed any more.
    pub time: EventTime,
    /// What happens.
    pub change: DrillChange,
    /// Who.
    pub by: String,
    /// Why.
    pub why: String,
}

/// What happens to a drill.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DrillChange {
    /// It begins.
    Start {
        /// On this rack, or on its loop: the class says which.
        rack: Name,
        /// The class of fault.
        class: Name,
        /// How grave, in the unit of the class; what is usual without it.
        severity: Option<f64>,
    },
    /// It is broken off.
    Cancel,
}

/// How far a drill has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DrillState {
    /// The fault is laid over the telemetry; detector or alert is awaited.
    Running,
    /// The right detector found it first, and its alert fired.
    Passed,
    /// Its time is over, and something was missing.
    Failed,
    /// Somebody broke it off, or the site was regrouped: it says nothing.
    Cancelled,
    /// It never began, because it could say nothing.
    Refused,
}

impl DrillState {
    /// The word in tables and answers.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Passed => "passed",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::Refused => "refused",
        }
    }
}

/// All that is known of a drill.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DrillFacts {
    /// Its id.
    pub drill: Name,
    /// The class of fault.
    pub class: Name,
    /// The rack that was named.
    pub rack: Name,
    /// Where the fault is: the rack, or its loop. Of a rack that is not known, nowhere.
    pub place: Place,
    /// How grave it is, in the unit of the class.
    pub severity: f64,
    /// The detectors that name it rightly.
    pub detectors: Vec<Name>,
    /// Since when it is laid over the telemetry.
    pub started: EventTime,
    /// It fails then, if nothing was found.
    pub until: EventTime,
    /// How far it has come.
    pub state: DrillState,
    /// When that was decided; `None` while it runs.
    pub ended: Option<EventTime>,
    /// The right detector that found it.
    pub detector: Option<Name>,
    /// When that one knew it.
    pub detected: Option<EventTime>,
    /// When its alert fired.
    pub alert_fired: Option<EventTime>,
    /// What was missing, or why it was refused or broken off; empty when it passed, and while it runs.
    pub missing: String,
    /// Who.
    pub by: String,
    /// Why.
    pub why: String,
}

impl DrillFacts {
    /// From its beginning until the right detector found it.
    pub fn delay(&self) -> Option<Microseconds> {
        Some(self.detected? - self.started)
    }

    /// The detectors that it says something about: when it passed, the one that found it; when it failed, all that should
    /// have.
    pub fn judged(&self) -> &[Name] {
        match self.state {
            DrillState::Passed => self.detector.as_slice(),
            DrillState::Failed => &self.detectors,
            DrillState::Running | DrillState::Cancelled | DrillState::Refused => &[],
        }
    }

    /// Whether it was about this rack, or about the loop that the rack is on.
    pub fn is_about(&self, place: &Place) -> bool {
        self.place.site == place.site
            && match &self.place.rack {
                Some(rack) => place.rack.as_ref() == Some(rack),
                None => self.place.cooling_loop.is_some() && self.place.cooling_loop == place.cooling_loop,
            }
    }
}

/// The latest drill of each detector at each place that passed or failed.
#[derive(Debug, Default, Clone, PartialEq, Serialize, Deserialize)]
pub struct DrillRecord {
    latest: std::collections::BTreeMap<(Place, Name), DrillFacts>,
}

impl DrillRecord {
    /// Keeps a result, in the place of those before it. What is no result changes nothing.
    pub fn note(&mut self, drill: &DrillFacts) {
        for detector in drill.judged() {
            let key = (drill.place.clone(), detector.clone());
            let is_older = self.latest.get(&key).is_some_and(|known| drill.started < known.started);
            if !is_older {
                self.latest.insert(key, drill.clone());
            }
        }
    }

    /// Those about a rack and its loop, in order of place and detector.
    pub fn of(&self, place: &Place) -> Vec<DrillFacts> {
        let mut drills: Vec<DrillFacts> =
            self.latest.values().filter(|drill| drill.is_about(place)).cloned().collect();
        // One that failed stands for each of its detectors.
        drills.dedup_by(|one, other| one.drill == other.drill);
        drills
    }

    /// All of them, in order of place and detector.
    pub fn iter(&self) -> impl Iterator<Item = &DrillFacts> {
        self.latest.values()
    }
}

/// Which class of drill proves which detector: what a running environment can be drilled for.
pub const PROVEN_BY: &[(&str, &str)] = &[
    ("pump_trip", "pump_trip"),
    ("pump", "pump_head_step"),
    ("filter", "filter_clogging"),
    ("leak", "leak"),
    ("rth", "cold_plate_fouling"),
    ("hb", "drift_return_temperature"),
    ("stuck", "stuck"),
    ("gap", "gap"),
    ("stale", "stale"),
    ("skew", "skew"),
];

/// The class of drill that proves a detector; `None` for one that only a simulated plant can be drilled for.
pub fn proven_by(detector: &str) -> Option<&'static str> {
    PROVEN_BY.iter().find(|(known, _)| *known == detector).map(|(_, class)| *class)
}
