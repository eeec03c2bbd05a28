//! Every class of drill, as a row of one table: what it changes, how grave, and which detectors are right. Adding one
//! touches this place.
//!
//! A class is here only where its overlay is true to the fault: what the fault leaves alone within the drill's time
//! stays as it is, and what it moves is moved together. Faults whose mark is a controller's answer (a stuck, hunting or
//! sticking valve, a fouled exchanger, warming water) need a model of the plant: the simulated suite drills those.

use telemetry::Microseconds;

/// Where a fault of a class is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum At {
    /// The rack's coolant loop; of a rack without one, the rack.
    Loop,
    /// The rack.
    Rack,
}

/// A class of faults that can be laid over telemetry. Names: those of the simulated suite, where they mean the same.
#[derive(Debug)]
pub struct Class {
    /// Its name.
    pub name: &'static str,
    /// What it is, in words.
    pub meaning: &'static str,
    /// Where.
    pub at: At,
    /// Detectors that name it rightly.
    pub right: &'static [&'static str],
    /// How grave it can be.
    pub severity: Severity,
    /// It is waited for that long at most.
    pub longest: Microseconds,
    /// Signals that must be reported there, or above: of each row one.
    pub needs: &'static [&'static [&'static str]],
    /// What is changed.
    pub(crate) changes: &'static [Change],
}

/// How grave a fault can be.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Severity {
    /// What the number means.
    pub meaning: &'static str,
    /// Without a word.
    pub usual: f64,
    /// The least that is a drill.
    pub lowest: f64,
    /// The most.
    pub highest: f64,
}

/// One kind of change, of these signals.
#[derive(Debug)]
pub(crate) struct Change {
    /// Which; all of the place when empty.
    pub signals: &'static [&'static str],
    /// How.
    pub how: How,
}

/// How a reading is changed.
#[derive(Debug, Clone, Copy)]
pub(crate) enum How {
    /// Times a factor of the severity.
    Times(fn(f64) -> f64),
    /// Plus something of the severity and the hours since the onset; never below zero where it was not.
    Plus(fn(f64, f64) -> f64),
    /// What it is above the coolant that comes to the rack, times the severity.
    AboveSupply,
    /// It stays as the first reading after the onset.
    Held,
    /// The first reading after the onset is sent again, with its time.
    Repeated,
    /// It does not come.
    Withheld,
    /// It comes from so many seconds ahead.
    Ahead,
}

/// What is asked for where no severity has a meaning.
const NONE: Severity = Severity { meaning: "not used", usual: 1.0, lowest: 1.0, highest: 1.0 };

const fn minutes(count: i64) -> Microseconds {
    Microseconds::from_minutes(count)
}

/// All classes.
pub const CLASSES: &[Class] = &[
    Class {
        name: "pump_trip",
        meaning: "the pump stops: flows and pressure differences of the loop collapse",
        at: At::Loop,
        right: &["pump_trip"],
        severity: Severity { meaning: "share of flow lost", usual: 0.98, lowest: 0.6, highest: 1.0 },
        longest: minutes(10),
        needs: &[&["coolant_supply_flow", "coolant_flow"]],
        changes: &[
            Change {
                signals: &["coolant_supply_flow", "coolant_return_flow", "coolant_flow", "pump_speed"],
                how: How::Times(|lost| 1.0 - lost),
            },
            // Pressure differences follow the square of the flow.
            Change {
                signals: &[
                    "pump_differential_pressure",
                    "cdu_differential_pressure",
                    "filter_differential_pressure",
                    "coolant_differential_pressure",
                ],
                how: How::Times(|lost| (1.0 - lost) * (1.0 - lost)),
            },
        ],
    },
    Class {
        name: "pump_head_step",
        meaning: "the pump has lost head: it turns faster for the same flow",
        at: At::Loop,
        right: &["pump"],
        severity: Severity { meaning: "share of head lost", usual: 0.15, lowest: 0.05, highest: 0.5 },
        longest: minutes(45),
        needs: &[&["pump_differential_pressure"], &["pump_speed"]],
        changes: &[Change {
            signals: &["pump_speed"],
            // Head follows the square of the speed (affinity law).
            how: How::Times(|lost| 1.0 / (1.0 - lost).sqrt()),
        }],
    },
    Class {
        name: "filter_clogging",
        meaning: "the filter clogs: it takes more pressure for the same flow",
        at: At::Loop,
        right: &["filter"],
        severity: Severity {
            meaning: "resistance of the filter as a multiple",
            usual: 2.5,
            lowest: 1.3,
            highest: 50.0,
        },
        longest: minutes(45),
        needs: &[&["filter_differential_pressure"], &["coolant_supply_flow", "coolant_flow"]],
        changes: &[Change { signals: &["filter_differential_pressure"], how: How::Times(|times| times) }],
    },
    Class {
        name: "leak",
        meaning: "less coolant comes back to the distribution unit than it sends",
        at: At::Loop,
        right: &["leak"],
        severity: Severity { meaning: "L/min", usual: 3.0, lowest: 1.0, highest: 20.0 },
        longest: minutes(45),
        needs: &[&["coolant_supply_flow"], &["coolant_return_flow"]],
        changes: &[Change { signals: &["coolant_return_flow"], how: How::Plus(|lost, _| -lost) }],
    },
    Class {
        name: "cold_plate_fouling",
        meaning: "cold plates foul: the rack's GPUs are warmer above its coolant",
        at: At::Rack,
        right: &["rth"],
        severity: Severity {
            meaning: "rise of GPUs above the supply as a multiple",
            usual: 1.2,
            lowest: 1.05,
            highest: 2.0,
        },
        longest: minutes(120),
        needs: &[&["gpu_temperature"], &["coolant_supply_temperature"], &["gpu_power", "rack_power"]],
        changes: &[Change { signals: &["gpu_temperature"], how: How::AboveSupply }],
    },
    Class {
        name: "drift_return_temperature",
        meaning: "the thermometer of the coolant that leaves the rack drifts",
        at: At::Rack,
        right: &["hb"],
        severity: Severity { meaning: "K per hour", usual: 2.0, lowest: 0.5, highest: 20.0 },
        longest: minutes(240),
        needs: &[
            &["coolant_return_temperature"],
            &["coolant_supply_temperature"],
            &["coolant_flow"],
            &["rack_power"],
        ],
        changes: &[Change {
            signals: &["coolant_return_temperature"],
            how: How::Plus(|rate, hours| rate * hours),
        }],
    },
    Class {
        name: "stuck",
        meaning: "one sensor of the rack keeps reporting its last value",
        at: At::Rack,
        right: &["stuck"],
        severity: NONE,
        longest: minutes(120),
        needs: &[],
        changes: &[Change { signals: &[], how: How::Held }],
    },
    Class {
        name: "gap",
        meaning: "no reading of the rack comes",
        at: At::Rack,
        right: &["gap"],
        severity: NONE,
        longest: minutes(30),
        needs: &[],
        changes: &[Change { signals: &[], how: How::Withheld }],
    },
    Class {
        name: "stale",
        meaning: "the rack's source sends the same old readings again and again",
        at: At::Rack,
        right: &["stale"],
        severity: NONE,
        longest: minutes(30),
        needs: &[],
        changes: &[Change { signals: &[], how: How::Repeated }],
    },
    Class {
        name: "skew",
        meaning: "the clock of the rack's source is ahead",
        at: At::Rack,
        right: &["skew"],
        severity: Severity { meaning: "s", usual: 10.0, lowest: 4.0, highest: 50.0 },
        longest: minutes(10),
        needs: &[],
        changes: &[Change { signals: &[], how: How::Ahead }],
    },
];

/// The class of that name.
///
/// # Errors
/// A sentence that names those that exist.
pub fn class(name: &str) -> Result<&'static Class, String> {
    CLASSES.iter().find(|class| class.name == name).ok_or_else(|| {
        let known = CLASSES.iter().map(|class| class.name);
        let near = telemetry::document::nearest(name, known.clone())
            .map_or_else(String::new, |near| format!("; did you mean {near:?}?"));
        let known = known.collect::<Vec<_>>().join(", ");
        format!("no fault of class {name:?} can be laid over telemetry: choose one of {known}{near}")
    })
}

impl Class {
    /// The severity that is meant.
    ///
    /// # Errors
    /// A sentence, when it is outside of what the class can be.
    pub fn severity(&self, given: Option<f64>) -> Result<f64, String> {
        let Severity { meaning, usual, lowest, highest } = self.severity;
        match given {
            None => Ok(usual),
            Some(given) if lowest <= given && given <= highest => Ok(given),
            Some(given) if !given.is_finite() => Err(format!(
                "the severity of {} is no number: give one from {lowest} to {highest} ({meaning})",
                self.name
            )),
            Some(given) => Err(format!(
                "severity {given} of {}: give a number from {lowest} to {highest} ({meaning}); {usual} is usual",
                self.name
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_class_names_detectors_and_signals_that_there_are() {
        for class in CLASSES {
            for name in class.right {
                assert!(crate::detector_names().contains(name), "{}: {name}", class.name);
            }
            let changed = class.changes.iter().flat_map(|change| change.signals);
            for name in class.needs.iter().copied().flatten().chain(changed) {
                assert!(telemetry::signal::find(name).is_some(), "{}: {name}", class.name);
            }
            let Severity { usual, lowest, highest, .. } = class.severity;
            assert!(lowest <= usual && usual <= highest, "{}", class.name);
        }
    }

    #[test]
    fn an_unknown_class_is_refused_with_those_that_there_are() {
        let message = class("leek").unwrap_err();
        assert!(message.contains("did you mean \"leak\"?"), "{message}");
        assert!(message.contains("pump_trip, pump_head_step"), "{message}");
        let message = class("leak").unwrap().severity(Some(0.1)).unwrap_err();
        assert_eq!(message, "severity 0.1 of leak: give a number from 1 to 20 (L/min); 3 is usual");
    }
}
