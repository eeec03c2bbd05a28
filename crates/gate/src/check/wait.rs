//! Waiting: rows for what the whole question waits for, and whether an unknown may wait at all.

use telemetry::EventTime;
use telemetry::Microseconds;
use telemetry::facts::{Comparison, UnknownReason};

use super::{Draft, Found, settle};
use crate::policy::{Check, CheckKind, Undeclared};
use crate::subject::Subject;
use crate::verdict::CheckResult;
use crate::words;

/// Whether what is not known can still become known in time.
///
/// Without a deadline only a window that is not full waits; with one, everything does that time alone can mend.
/// A broken or distrusted sensor is not mended by waiting.
pub fn may_wait(subject: &Subject, reason: UnknownReason) -> bool {
    let clock = subject.clock;
    let in_time = clock.deadline.is_none_or(|deadline| clock.asked_at < deadline);
    if !in_time || subject.is_over() {
        return false;
    }
    match reason {
        UnknownReason::WindowIncomplete => true,
        UnknownReason::NeverSeen
        | UnknownReason::Stale
        | UnknownReason::LowCoverage
        | UnknownReason::Uncalibrated
        | UnknownReason::NotEnoughEvidence => clock.deadline.is_some(),
        UnknownReason::Maintenance => match (clock.deadline, subject.facts.maintenance_until) {
            (Some(deadline), Some(until)) => until < deadline,
            (Some(_), None) | (None, _) => false,
        },
        UnknownReason::Invalid
        | UnknownReason::SensorFault
        | UnknownReason::Distrusted
        | UnknownReason::NotComparable => false,
    }
}

/// Rows for what the whole question still waits for; none when it waits for nothing.
/// `not_before` is compared with the oldest watermark of all racks.
pub fn waits(subject: &Subject, not_before: Option<EventTime>, watermark: EventTime) -> Vec<CheckResult> {
    [
        not_before.and_then(|time| awaits_time(subject, time, watermark)),
        awaits_end(subject),
        awaits_duration(subject),
    ]
    .into_iter()
    .flatten()
    .map(|(check, draft)| settle(&check, subject, draft))
    .collect()
}

/// The name of the row for `not_before`.
pub const NOT_BEFORE: &str = "not-before";

fn awaits_time(subject: &Subject, time: EventTime, watermark: EventTime) -> Option<(Check, Draft)> {
    if time <= watermark {
        return None;
    }
    let check = waiting(NOT_BEFORE);
    let said = format!(
        "{NOT_BEFORE}: event time is final up to {} on {}, asked for is {}",
        words::moment(watermark),
        words::place(&subject.facts.place),
        words::moment(time)
    );
    let left = (time - watermark).as_seconds();
    let mut draft = Draft::new(&check, "event time", &subject.facts.place, "now").compares(
        Some(-left),
        Comparison::Gte,
        0.0,
        "s",
    );
    draft.more_at = Some(subject.clock.tick_of(time));
    Some((check, draft.says(Found::Unknown(UnknownReason::WindowIncomplete), said)))
}

fn awaits_end(subject: &Subject) -> Option<(Check, Draft)> {
    let end = subject.ended().filter(|end| subject.facts.watermark < *end)?;
    let check = waiting("run-end");
    let said = format!(
        "run-end: the run ended at {}, its data on {} is final up to {}",
        words::moment(end),
        words::place(&subject.facts.place),
        words::moment(subject.facts.watermark)
    );
    let left = (end - subject.facts.watermark).as_seconds();
    let mut draft = Draft::new(&check, "event time", &subject.facts.place, "run").compares(
        Some(-left),
        Comparison::Gte,
        0.0,
        "s",
    );
    draft.more_at = Some(subject.clock.tick_of(end));
    Some((check, draft.says(Found::Unknown(UnknownReason::WindowIncomplete), said)))
}

fn awaits_duration(subject: &Subject) -> Option<(Check, Draft)> {
    let minimum = subject.policy.wait_for.minimum_duration?;
    let facts = subject.facts;
    let start = subject.run().map(|run| run.start).or(facts.first_sample);
    let until = subject.ended().map_or(facts.watermark, |end| end.min(facts.watermark));
    let asked = start.map_or(Microseconds::ZERO, |start| (until - start).max(Microseconds::ZERO));
    if minimum <= asked {
        return None;
    }
    let check = waiting("min-duration");
    let window = if subject.run().is_some() { "run" } else { "since the first reading" };
    let said = format!(
        "min-duration: {} of {minimum} that the policy asks for have been judged on {}",
        words::span(asked),
        words::place(&facts.place)
    );
    let mut draft = Draft::new(&check, "asked time", &facts.place, window).compares(
        Some(asked.as_seconds()),
        Comparison::Gte,
        minimum.as_seconds(),
        "s",
    );
    draft.row.since = start;
    draft.more_at = Some(subject.clock.tick_of(start.unwrap_or(facts.watermark) + minimum));
    Some((check, draft.says(Found::Unknown(UnknownReason::WindowIncomplete), said)))
}

/// A row that no check of the policy stands for: it has no weight.
fn waiting(name: &str) -> Check {
    Check {
        name: name.into(),
        weight: 0.0,
        warn: false,
        hard: false,
        undeclared: Undeclared::Ask,
        kind: CheckKind::Recovered { span: Microseconds::ZERO },
        line: 0,
    }
}
