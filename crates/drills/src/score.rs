//! What was found in one drill, against what really went wrong.
//!
//! findings, truth → **score** → scorecard

use serde::{Deserialize, Serialize};
use simulator::Scenario;
use telemetry::facts::{Finding, Severity};
use telemetry::place::Place;
use telemetry::{EventTime, Microseconds, Name};

use crate::play::Played;
use crate::suite::{Class, Development};

/// A finding that nothing else explains, and what it explains.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Incident {
    /// Its detector.
    pub detector: Name,
    /// Where.
    pub place: Place,
    /// When it began, as the evaluator says.
    pub onset: EventTime,
    /// When it was known.
    pub detected: EventTime,
    /// Whether it names the fault rightly.
    pub right: bool,
    /// Detectors of the findings that it explains, in the order of their detection.
    pub consequences: Vec<Name>,
}

/// What became of one drill, or of a healthy day.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// The class of its fault; `healthy` without one.
    pub class: Name,
    /// Its seed.
    pub seed: u64,
    /// When the fault began.
    pub onset: Option<EventTime>,
    /// From then until it was named rightly; none when it never was.
    pub delay: Option<Microseconds>,
    /// Whether the first thing that was said after it began was right; none when nothing was said.
    pub first_is_right: Option<bool>,
    /// Of a drifting sensor, whether it was among the suspects when it was found; none for other faults.
    pub suspect_is_right: Option<bool>,
    /// By how much a drifting sensor was off when it was found, in the unit of its signal.
    pub drift_error: Option<f64>,
    /// What was said after the fault began.
    pub incidents: Vec<Incident>,
    /// What was said although nothing was wrong: before it began, or on a healthy day.
    pub false_alarms: Vec<Incident>,
    /// Racks times days without a fault.
    pub healthy_rack_days: f64,
}

/// Scores a drill of `class`, or a healthy day without one. Findings for information only are no alarms.
pub fn score(class: Option<&Class>, scenario: &Scenario, played: &Played) -> Outcome {
    let label = played.truth.first();
    let onset = label.map(|label| label.onset);
    let told: Vec<&Finding> =
        played.findings.iter().filter(|finding| finding.severity != Severity::Info).collect();
    let is_right = |finding: &Finding| {
        let (Some(class), Some(label)) = (class, label) else { return false };
        label.onset <= finding.detected
            && class.right.contains(&&*finding.detector)
            && touches(&finding.place, &label.place)
    };
    let (mut incidents, mut false_alarms) = (Vec::new(), Vec::new());
    for finding in told.iter().filter(|finding| leading(finding, &told).is_none()) {
        let incident = Incident {
            detector: finding.detector.clone(),
            place: finding.place.clone(),
            onset: finding.onset,
            detected: finding.detected,
            right: is_right(finding),
            consequences: told
                .iter()
                .filter(|other| leading(other, &told).is_some_and(|leader| leader.finding == finding.finding))
                .map(|other| other.detector.clone())
                .collect(),
        };
        match onset {
            Some(onset) if onset <= finding.detected => incidents.push(incident),
            Some(_) | None => false_alarms.push(incident),
        }
    }
    let after = |finding: &&&Finding| onset.is_some_and(|onset| onset <= finding.detected);
    let found = told.iter().filter(|finding| is_right(finding)).map(|finding| finding.detected).min();
    let delay = found.zip(onset).map(|(found, onset)| found - onset);
    let finder = told.iter().filter(|finding| is_right(finding)).min_by_key(|finding| finding.detected);
    let suspect_is_right = match class.map(|class| class.development) {
        Some(Development::Drift) => {
            finder.zip(label.and_then(|label| label.signal.as_ref())).map(|(finder, signal)| {
                finder
                    .evidence
                    .get("suspects")
                    .is_some_and(|all| all.split(", ").any(|name| *name == **signal))
            })
        }
        Some(_) | None => None,
    };
    let first = told.iter().filter(after).min_by_key(|finding| finding.detected);
    let hours = |length: Microseconds| length.as_seconds() / 3_600.0;
    let is_of_temperature = label
        .is_some_and(|label| label.signal.as_ref().is_some_and(|signal| signal.ends_with("temperature")));
    let drift_error = match class.map(|class| class.development) {
        Some(Development::Drift) if is_of_temperature => {
            label.zip(delay).map(|(label, delay)| label.severity.abs() * hours(delay))
        }
        Some(_) | None => None,
    };
    let healthy = onset.map_or(scenario.duration, |onset| onset - scenario.start);
    let racks: usize = scenario.loops.iter().map(|cooling_loop| cooling_loop.racks.len()).sum();
    Outcome {
        class: class.map_or("healthy", |class| class.name).into(),
        seed: scenario.seed,
        onset,
        delay,
        first_is_right: first.map(|first| is_right(first)),
        suspect_is_right,
        drift_error,
        incidents,
        false_alarms,
        healthy_rack_days: racks as f64 * hours(healthy) / 24.0,
    }
}

/// The finding that explains another one, the last of a chain.
fn leading<'a>(finding: &Finding, all: &[&'a Finding]) -> Option<&'a Finding> {
    let of = |id: &Name| all.iter().find(|other| other.finding == *id).copied();
    let mut leader = of(finding.leading.as_ref()?)?;
    // A chain is never longer than there are findings.
    for _ in all {
        match leader.leading.as_ref().and_then(of) {
            Some(next) => leader = next,
            None => break,
        }
    }
    Some(leader)
}

/// Whether one of two places is a part of the other.
fn touches(one: &Place, other: &Place) -> bool {
    let agree = |one: &Option<Name>, other: &Option<Name>| one.is_none() || other.is_none() || one == other;
    one.site == other.site
        && agree(&one.cooling_loop, &other.cooling_loop)
        && agree(&one.rack, &other.rack)
        && agree(&one.node, &other.node)
}
