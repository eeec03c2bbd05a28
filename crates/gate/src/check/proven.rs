//! Check `proven`: each detector was drilled on the rack or its loop not long ago, and found the fault.
//!
//! A gate that passes because nothing was found says something only while what would have found it works.

use telemetry::drill::{DrillFacts, DrillState, proven_by};
use telemetry::facts::{Cause, Comparison, UnknownReason};
use telemetry::{Microseconds, Name};

use super::{Draft, Found};
use crate::policy::Check;
use crate::subject::Subject;
use crate::verdict::Evidence;
use crate::words;

/// A row for each detector.
pub fn judge(check: &Check, subject: &Subject, detectors: &[Name], within: Microseconds) -> Vec<Draft> {
    detectors.iter().map(|detector| of_detector(check, subject, detector, within)).collect()
}

fn of_detector(check: &Check, subject: &Subject, detector: &Name, within: Microseconds) -> Draft {
    let place = &subject.facts.place;
    let asked_at = subject.clock.asked_at;
    let about = subject.facts.drills.iter().filter(|drill| drill.is_about(place));
    // Of the rack and of its loop, whichever came last.
    let latest = about.filter(|drill| drill.judged().contains(detector)).max_by_key(|drill| drill.ended);
    let draft = Draft::new(check, format!("drill of {detector}"), place, words::span(within));
    let Some((drill, ended)) = latest.and_then(|drill| Some((drill, drill.ended?))) else {
        let said = format!(
            "{}: {detector} was never drilled on {}: {}",
            check.name,
            words::place(place),
            how(subject, detector)
        );
        let draft = draft.compares(None, Comparison::Lte, within.as_seconds(), "s");
        return draft.says(Found::Unknown(UnknownReason::NotEnoughEvidence), said);
    };
    let age = (asked_at - ended).max(Microseconds::ZERO);
    let mut draft = draft
        .compares(Some(age.as_seconds()), Comparison::Lte, within.as_seconds(), "s")
        .shows([evidence(drill)]);
    draft.row.since = Some(ended);
    draft.cause = Cause::Sensor;
    let subject_of = format!("{}: {detector} on {}", check.name, words::place(&drill.place));
    match drill.state {
        DrillState::Failed => draft.says(
            Found::Broken,
            format!(
                "{subject_of}: its latest drill, {} of {}, failed {} ago: {}",
                drill.drill,
                drill.class,
                words::span(age),
                drill.missing
            ),
        ),
        DrillState::Passed if age <= within => {
            let after =
                drill.delay().map_or_else(String::new, |delay| format!(" after {}", words::span(delay)));
            let said = format!(
                "{subject_of}: drill {} of {} was found{after}, {} ago, {} is asked",
                drill.drill,
                drill.class,
                words::span(age),
                words::span(within)
            );
            draft.says(Found::Kept, said)
        }
        DrillState::Passed | DrillState::Running | DrillState::Cancelled | DrillState::Refused => draft.says(
            Found::Unknown(UnknownReason::NotEnoughEvidence),
            format!(
                "{subject_of}: its latest drill, {}, is {} old, {} is asked: {}",
                drill.drill,
                words::span(age),
                words::span(within),
                how(subject, detector)
            ),
        ),
    }
}

/// How to drill it.
fn how(subject: &Subject, detector: &str) -> String {
    let rack = subject.facts.place.rack.as_deref().unwrap_or("RACK");
    match proven_by(detector) {
        Some(class) => format!("`thermogate drill live --rack {rack} --class {class}` does"),
        None => "no drill of a running environment can prove it".to_owned(),
    }
}

fn evidence(drill: &DrillFacts) -> Evidence {
    Evidence {
        name: format!("drill {}", drill.class),
        value: drill.delay().map(Microseconds::as_seconds),
        unit: "s".into(),
        text: format!("{}, by {}: {}", drill.state.name(), drill.by, drill.why),
        place: words::labels(&drill.place),
        time: Some(drill.started),
        query: format!("SELECT * FROM drills WHERE drill = {}", words::literal(&drill.drill)),
    }
}
