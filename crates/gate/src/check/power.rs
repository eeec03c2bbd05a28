//! Checks `powerEnvelope` and `soak`: the rack was loaded as the test wants it. Without load nothing is shown, so
//! what is missing is unknown, never FAIL.

use telemetry::Microseconds;
use telemetry::facts::{Comparison, Measure, Need, UnknownReason};

use super::{Draft, Found};
use crate::policy::{Check, Undeclared};
use crate::subject::{Subject, reaches};
use crate::verdict::Evidence;
use crate::words;

/// At least this power in one piece.
pub fn envelope(check: &Check, subject: &Subject, need: &Need, span: Microseconds) -> Vec<Draft> {
    measured(check, subject, need, span, "in one piece", |measure| {
        (measure.longest, span - measure.current.min(span))
    })
}

/// At least this load all together.
pub fn soak(check: &Check, subject: &Subject, need: &Need, minimum: Microseconds) -> Vec<Draft> {
    measured(check, subject, need, minimum, "all together", |measure| {
        (measure.total, minimum - measure.total.min(minimum))
    })
}

/// `reached` gives the time at the load and what is missing at the soonest.
fn measured(
    check: &Check,
    subject: &Subject,
    need: &Need,
    asked: Microseconds,
    how: &str,
    reached: impl Fn(&Measure) -> (Microseconds, Microseconds),
) -> Vec<Draft> {
    let place = &subject.facts.place;
    let window = if subject.run().is_some() { "run" } else { "since the first reading" };
    let draft = Draft::new(check, "rack_power", place, window);
    let Some(measure) = subject.facts.measures.iter().find(|measure| measure.need == need.name) else {
        if check.undeclared == Undeclared::WhenSeen && !subject.facts.declared {
            return Vec::new();
        }
        let said = format!("{}: nothing is known of {} on {}", check.name, need.name, words::place(place));
        let draft = draft.compares(None, Comparison::Gte, asked.as_seconds(), "s");
        return vec![draft.says(Found::Unknown(UnknownReason::NeverSeen), said)];
    };
    if check.undeclared == Undeclared::WhenSeen && !subject.facts.declared && measure.last_kilowatts.is_none()
    {
        return Vec::new();
    }
    let (seen, missing) = reached(measure);
    let mut draft = draft.compares(Some(seen.as_seconds()), Comparison::Gte, asked.as_seconds(), "s");
    draft.row.coverage = (measure.asked.0 > 0).then(|| measure.known.0 as f64 / measure.asked.0 as f64);
    draft.row.since = subject.run().map(|run| run.start).or(subject.facts.first_sample);
    draft.more_at = Some(subject.clock.asked_at + missing);
    draft.row.evidence.push(Evidence {
        name: "last".into(),
        value: measure.last_kilowatts,
        unit: "kW".into(),
        text: measure.last_kilowatts.map_or_else(|| "unknown".into(), |power| words::quantity(power, "kW")),
        place: words::labels(place),
        time: subject.facts.last_sample,
        query: format!(
            "SELECT time, mean, minimum FROM blocks WHERE signal = 'rack_power'{} ORDER BY time DESC LIMIT 240",
            words::condition(place)
        ),
    });
    let limit = measure
        .threshold_kilowatts
        .map_or_else(|| "a limit that is not known".into(), |limit| words::quantity(limit, "kW"));
    let said = format!(
        "{}: {} at {limit} or more {how} on {}, {} asked, latest {}, window {window}, {}",
        check.name,
        words::span(seen),
        words::place(place),
        words::span(asked),
        measure.last_kilowatts.map_or_else(|| "unknown".into(), |power| words::quantity(power, "kW")),
        words::coverage(draft.row.coverage)
    );
    if measure.threshold_kilowatts.is_none() {
        draft.row.observed = None;
        let said = format!("{said}: the rack's nominal power is not known, give it in the site file");
        return vec![draft.says(Found::Unknown(UnknownReason::Uncalibrated), said)];
    }
    if let Some(sensor) = subject.distrusted_sensor("rack_power", place)
        && asked <= seen
    {
        let said = format!("{said}: {}", words::sensor(sensor));
        return vec![draft.says(Found::Unknown(UnknownReason::Distrusted), said)];
    }
    if asked <= seen {
        return vec![draft.says(Found::Kept, said)];
    }
    let reason = match measure.last_kilowatts {
        None => UnknownReason::NeverSeen,
        Some(_) if subject.is_over() => UnknownReason::NotEnoughEvidence,
        Some(_)
            if measure.asked.0 > 0
                && !reaches(measure.known, measure.asked, subject.policy.minimum_coverage_ppm) =>
        {
            UnknownReason::LowCoverage
        }
        Some(_) => UnknownReason::WindowIncomplete,
    };
    vec![draft.says(Found::Unknown(reason), said)]
}
