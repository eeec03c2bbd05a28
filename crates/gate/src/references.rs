//! What policies name must exist: objectives, detectors, signals.
//!
//! policies, the configuration's names → **references** → `check`, `service`

use telemetry::document::{DocumentError, nearest};
use telemetry::record::Document;

use crate::policy::{Check, CheckKind, Policy};
use telemetry::facts::{Ask, Constraint};
use telemetry::site::Site;

/// The names that there are.
#[derive(Debug, Clone, Copy)]
pub struct Known<'a> {
    /// Objectives in force.
    pub objectives: &'a [&'a str],
    /// Detectors that are built.
    pub detectors: &'a [&'a str],
    /// Canonical signals and those that a mapping declares.
    pub signals: &'a [&'a str],
}

/// All names in policies that do not exist, each with its line and the nearest name that does.
pub fn check_references(policies: &[Policy], known: &Known) -> Vec<DocumentError> {
    let mut errors = Vec::new();
    for policy in policies {
        let document = Document { name: policy.document.clone(), text: String::new() };
        for check in &policy.checks {
            let mut look = |what: &str, name: &str, known: &[&str]| {
                if !known.contains(&name) {
                    let message = unknown(what, name, known);
                    errors.push(DocumentError::new(&document, Some(check.line), message));
                }
            };
            match &check.kind {
                CheckKind::Objective { objective, inline: None, .. } | CheckKind::Trend { objective, .. } => {
                    look("objective", objective, known.objectives);
                }
                CheckKind::Objective { inline: Some(need), .. } => {
                    if let Ask::HardLimit { signal, .. } = &need.ask {
                        for name in crate::words::signals(signal) {
                            look("signal", name, known.signals);
                        }
                    }
                }
                CheckKind::Findings { detectors, .. } => {
                    for detector in detectors {
                        look("detector", detector, known.detectors);
                    }
                }
                CheckKind::Coverage { signals, .. } => {
                    for signal in signals {
                        look("signal", signal, known.signals);
                    }
                }
                CheckKind::BurnRate { .. }
                | CheckKind::PowerEnvelope { .. }
                | CheckKind::Soak { .. }
                | CheckKind::Recovered { .. }
                | CheckKind::Headroom(_)
                | CheckKind::Proven { .. }
                | CheckKind::Canary(_) => {}
            }
        }
    }
    errors
}

/// Checks that no rack could ever pass: they want a limit to be known that nobody has given.
pub fn never_known(policies: &[Policy], site: &Site) -> Vec<DocumentError> {
    const RETURN: &str = "coolant_return_temperature";
    let is_given = site.racks.values().any(|rack| rack.limits.contains_key(RETURN));
    let checks = policies.iter().flat_map(|policy| policy.checks.iter().map(move |check| (policy, check)));
    let wants_return =
        |check: &Check| check.kind.headroom().is_some_and(|asked| asked.limits.contains(&Constraint::Return));
    let wrong = checks.filter(|(_, check)| !is_given && wants_return(check)).map(|(policy, check)| {
        let document = Document { name: policy.document.clone(), text: String::new() };
        let message = format!(
            "gate policy {}: check {}: headroom.limits names return, and no rack of the site file has a limit of {RETURN}: \
             write it under limits of its loop or rack, or remove it here",
            policy.name, check.name
        );
        DocumentError::new(&document, Some(check.line), message)
    });
    wrong.collect()
}

fn unknown(what: &str, name: &str, known: &[&str]) -> String {
    let near = nearest(name, known.iter().copied());
    match near {
        Some(near) => format!("{what} {name:?} does not exist: did you mean {near:?}?"),
        None if known.is_empty() => format!("{what} {name:?} does not exist: there is no {what} at all"),
        None => format!("{what} {name:?} does not exist: known are {}", known.join(", ")),
    }
}
