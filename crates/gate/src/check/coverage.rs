//! Check `coverage`: enough is known of the signals that matter. Missing data is unknown, never FAIL.

use telemetry::Name;
use telemetry::facts::{Comparison, UnknownReason};

use super::{Draft, Found};
use crate::policy::{Check, Undeclared};
use crate::subject::{Recent, Subject, reaches, time_to_reach};
use crate::verdict::Evidence;
use crate::words;

/// A row for each place of each signal.
pub fn judge(check: &Check, subject: &Subject, signals: &[Name], minimum_ppm: u32) -> Vec<Draft> {
    let mut drafts = Vec::new();
    let mut skipped = 0;
    for signal in signals {
        // The signals of the rack's loop count as well: a rack without a meter of its own hangs on its loop's.
        let mut places = subject.recent_coverage(signal, &subject.facts.place);
        if places.is_empty() {
            let mut loop_place = subject.facts.place.clone();
            loop_place.rack = None;
            if loop_place.cooling_loop.is_some() {
                places = subject.recent_coverage(signal, &loop_place);
                places.retain(|recent| recent.coverage.place.rack.is_none());
            }
        }
        if places.is_empty() {
            match check.undeclared {
                Undeclared::WhenSeen if !subject.facts.declared => skipped += 1,
                Undeclared::WhenSeen | Undeclared::Ask => {
                    drafts.push(never_seen(check, subject, signal, minimum_ppm))
                }
            }
        }
        drafts.extend(places.into_iter().map(|recent| of_series(check, subject, recent, minimum_ppm)));
    }
    debug_assert!(!drafts.is_empty() || skipped == signals.len(), "each signal has a row or is not asked");
    drafts
}

fn never_seen(check: &Check, subject: &Subject, signal: &Name, minimum_ppm: u32) -> Draft {
    let place = &subject.facts.place;
    let said = format!(
        "{}: {signal} was never seen on {} (misspelt, renamed or not exported), {} is asked",
        check.name,
        words::place(place),
        words::percent(f64::from(minimum_ppm) / 1e6)
    );
    Draft::new(check, signal.clone(), place, window(subject))
        .compares(None, Comparison::Gte, f64::from(minimum_ppm) / 1e6, "1")
        .says(Found::Unknown(UnknownReason::NeverSeen), said)
}

fn of_series(check: &Check, subject: &Subject, recent: Recent, minimum_ppm: u32) -> Draft {
    let coverage = recent.coverage;
    // Over a run both count: the whole of it, and how it is now.
    let (known, asked) = match subject.of_run(coverage) {
        Some((known, asked)) if !reaches(known, asked, minimum_ppm) => (known, asked),
        Some(_) | None => (recent.known, recent.asked),
    };
    let share = (asked.0 > 0).then(|| known.0 as f64 / asked.0 as f64);
    let minimum = f64::from(minimum_ppm) / 1e6;
    let mut draft = Draft::new(check, coverage.signal.clone(), &coverage.place, window(subject)).compares(
        share,
        Comparison::Gte,
        minimum,
        "1",
    );
    draft.row.coverage = share;
    let last = match (coverage.last_value, coverage.last_time) {
        (Some(value), Some(time)) => {
            format!("last {} at {}", words::quantity(value, &coverage.unit), words::moment(time))
        }
        (Some(_), None) | (None, _) => "no value is known".into(),
    };
    let said = format!(
        "{}: {} on {}: {} of {} known, {} is asked; {last}",
        check.name,
        coverage.signal,
        words::place(&coverage.place),
        share.map_or_else(|| "nothing".into(), words::percent),
        words::span(asked),
        words::percent(minimum)
    );
    draft.row.evidence.push(Evidence {
        name: "last".into(),
        value: coverage.last_value,
        unit: coverage.unit.clone(),
        text: last,
        place: words::labels(&coverage.place),
        time: coverage.last_time,
        query: format!(
            "SELECT time, known_seconds, count, last FROM blocks WHERE signal = {}{} ORDER BY time DESC LIMIT 60",
            words::literal(&coverage.signal),
            words::condition(&coverage.place)
        ),
    });
    if let Some(sensor) = subject.distrusted_sensor(&coverage.signal, &coverage.place)
        && reaches(known, asked, minimum_ppm)
    {
        let said = format!("{said}: {}", words::sensor(sensor));
        return draft.says(Found::Unknown(UnknownReason::Distrusted), said);
    }
    if reaches(known, asked, minimum_ppm) {
        return draft.says(Found::Kept, said);
    }
    draft.more_at = time_to_reach(known, asked, minimum_ppm).map(|left| subject.clock.asked_at + left);
    let reason = match (asked.0, subject.facts.maintenance_until) {
        (0, _) => UnknownReason::WindowIncomplete,
        (_, Some(_)) => UnknownReason::Maintenance,
        (_, None) => UnknownReason::LowCoverage,
    };
    draft.says(Found::Unknown(reason), said)
}

fn window(subject: &Subject) -> &'static str {
    if subject.run().is_some() { "run" } else { "1h" }
}
