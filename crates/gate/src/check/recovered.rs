//! Check `recovered`: after a run that failed or was broken off, the rack is back where it was before that run.
//! The physical state counts after the software is rolled back.

use telemetry::Microseconds;
use telemetry::facts::{Comparison, Recovery, RecoverySignal, RunFacts, UnknownReason};
use telemetry::record::RunState;

use super::{Draft, Found};
use crate::policy::Check;
use crate::subject::Subject;
use crate::verdict::Evidence;
use crate::words;

/// A row for each signal that is not back; one that says all are.
pub fn judge(check: &Check, subject: &Subject, span: Microseconds) -> Vec<Draft> {
    let place = &subject.facts.place;
    let row = |found, said: String| {
        vec![
            Draft::new(check, super::subject_of(check), place, "now")
                .says(found, format!("{}: {said}", check.name)),
        ]
    };
    let Some(run) = earlier_run(subject) else {
        return row(Found::Kept, format!("no run ended before on {}", words::place(place)));
    };
    if !was_spoilt(run) {
        return row(
            Found::Kept,
            format!("run {:?} before ended as planned on {}", &*run.run, words::place(place)),
        );
    }
    let recovery = subject.facts.recovery.as_ref().filter(|recovery| recovery.run == run.run);
    let Some(recovery) = recovery.filter(|recovery| !recovery.signals.is_empty()) else {
        let said = format!(
            "the bands that {} had before run {:?} are not known, so nobody can say that it is back",
            words::place(place),
            &*run.run
        );
        return row(Found::Unknown(UnknownReason::Uncalibrated), said);
    };
    let watermark = subject.facts.watermark;
    let off: Vec<Draft> = recovery
        .signals
        .iter()
        .filter(|signal| signal.inside_since.is_none_or(|since| watermark < since + span))
        .map(|signal| not_back(check, subject, recovery, signal, span))
        .collect();
    if off.is_empty() {
        let said = format!(
            "{} has been back in its bands from before run {:?} for {} on {}",
            count(recovery.signals.len()),
            &*run.run,
            words::span(span),
            words::place(place)
        );
        return row(Found::Kept, said);
    }
    off
}

fn count(signals: usize) -> String {
    if signals == 1 { "1 signal".into() } else { format!("all of {signals} signals") }
}

/// The last run that ended before the one that is judged or active.
fn earlier_run<'a>(subject: &Subject<'a>) -> Option<&'a RunFacts> {
    let facts = subject.facts;
    let current = subject.run().map(|run| &run.run);
    facts
        .run
        .iter()
        .chain(&facts.previous_run)
        .find(|run| run.end.is_some() && Some(&run.run) != current && current_is_later(subject, run))
}

fn current_is_later(subject: &Subject, run: &RunFacts) -> bool {
    subject.run().is_none_or(|current| run.start < current.start)
}

/// Only a run that failed or was broken off leaves something to recover from.
fn was_spoilt(run: &RunFacts) -> bool {
    run.failed
        || match run.state {
            RunState::Aborted | RunState::Abandoned => true,
            RunState::Active | RunState::Ended => false,
        }
}

fn not_back(
    check: &Check,
    subject: &Subject,
    recovery: &Recovery,
    signal: &RecoverySignal,
    span: Microseconds,
) -> Draft {
    let mut draft = Draft::new(check, signal.signal.clone(), &signal.place, "now");
    draft.row.since = Some(recovery.ended);
    draft.row.unit = signal.unit.clone();
    draft.row.observed = signal.now;
    let place = words::place(&signal.place);
    let head = format!("{}: {} on {place}", check.name, signal.signal);
    let run = format!("before run {:?}, which ended at {}", &*recovery.run, words::moment(recovery.ended));
    let (Some(lower), Some(upper)) = (signal.lower, signal.upper) else {
        let said = format!("{head}: its band {run}, is not known");
        return draft.says(Found::Unknown(UnknownReason::Uncalibrated), said);
    };
    draft.row.evidence.push(Evidence {
        name: "band".into(),
        value: signal.now,
        unit: signal.unit.clone(),
        text: format!("{} to {}", words::quantity(lower, &signal.unit), words::quantity(upper, &signal.unit)),
        place: words::labels(&signal.place),
        time: signal.inside_since,
        query: format!(
            "SELECT time, mean FROM blocks WHERE signal = {}{} AND time >= '{}' ORDER BY time",
            words::literal(&signal.signal),
            words::condition(&signal.place),
            recovery.ended - Microseconds::from_hours(1)
        ),
    });
    let band =
        format!("{} to {} {run}", words::quantity(lower, &signal.unit), words::quantity(upper, &signal.unit));
    let below = signal.now.is_some_and(|now| now < lower);
    draft.row.threshold = Some(if below { lower } else { upper });
    draft.row.comparison = Some(if below { Comparison::Gte } else { Comparison::Lte });
    match (signal.now, signal.inside_since) {
        (None, _) => {
            let said = format!("{head}: not known now; its band was {band}");
            draft.says(Found::Unknown(UnknownReason::Stale), said)
        }
        (Some(now), None) => {
            draft.more_at = Some(subject.clock.asked_at + span);
            let said =
                format!("{head}: {} is still off its band of {band}", words::quantity(now, &signal.unit));
            draft.says(Found::Unknown(UnknownReason::WindowIncomplete), said)
        }
        (Some(now), Some(since)) => {
            draft.more_at = Some(subject.clock.tick_of(since + span));
            let said = format!(
                "{head}: {} is back in its band of {band}, for {} of {}",
                words::quantity(now, &signal.unit),
                words::span(subject.facts.watermark - since),
                words::span(span)
            );
            draft.says(Found::Unknown(UnknownReason::WindowIncomplete), said)
        }
    }
}
