//! Check `trend`: a signal does not run into its threshold.

use telemetry::facts::{Comparison, ObjectiveStatus, Outcome, TrendStatus, UnknownReason};
use telemetry::{Microseconds, Name};

use super::objective::{evidence, missing, too_little};
use super::{Draft, Found};
use crate::policy::Check;
use crate::subject::Subject;
use crate::words;

pub fn judge(
    check: &Check,
    subject: &Subject,
    objective: &Name,
    minimum: Option<Microseconds>,
) -> Vec<Draft> {
    let drafts: Vec<Draft> =
        subject.statuses(objective).map(|status| of_status(check, subject, status, minimum)).collect();
    if drafts.is_empty() { missing(check, subject, objective).into_iter().collect() } else { drafts }
}

fn of_status(
    check: &Check,
    subject: &Subject,
    status: &ObjectiveStatus,
    minimum: Option<Microseconds>,
) -> Draft {
    let minimum_seconds = minimum.map_or(0.0, Microseconds::as_seconds);
    let mut draft = Draft::of_status(check, status)
        .compares(None, Comparison::Gte, minimum_seconds, "s")
        .shows(evidence(status));
    let Some(trend) = &status.trend else {
        if status.outcome == Outcome::NotOk {
            return broken_otherwise(draft, check, status);
        }
        let reason = status.unknown_reason.unwrap_or(UnknownReason::NotEnoughEvidence);
        let said = format!(
            "{}: {} on {} has no slope yet, window {}, {}",
            check.name,
            status.signal,
            words::place(&status.place),
            status.window,
            words::coverage(draft.row.coverage)
        );
        return draft.says(Found::Unknown(reason), said);
    };
    let left = time_left(status, trend);
    draft.row.observed = left.map(Microseconds::as_seconds);
    let slope = format!("{} an hour", words::quantity(trend.slope_per_hour, &status.unit));
    let until = match left {
        Some(left) => format!("time to threshold {}", words::span(left)),
        None if trend.significant => "moving away from it".into(),
        None => "no significant slope".into(),
    };
    let asked =
        minimum.map_or_else(String::new, |minimum| format!(", at least {} is asked", words::span(minimum)));
    let said = format!(
        "{}: {} {} on {}, slope {slope}, threshold {}, {until}{asked}, window {}, {}",
        check.name,
        status.signal,
        words::quantity(trend.level, &status.unit),
        words::place(&status.place),
        words::quantity(status.threshold, &status.unit),
        status.window,
        words::coverage(draft.row.coverage)
    );
    if minimum.is_some_and(|minimum| left.is_some_and(|left| left < minimum)) {
        return draft.says(Found::Broken, said);
    }
    if status.outcome == Outcome::NotOk {
        return broken_otherwise(draft, check, status);
    }
    let unknown = match status.outcome {
        Outcome::Unknown => {
            Some((status.unknown_reason.unwrap_or(UnknownReason::LowCoverage), String::new()))
        }
        Outcome::Ok | Outcome::NotOk => {
            too_little(subject, status).map(|(reason, why)| (reason, format!(": {why}")))
        }
    };
    match unknown {
        Some((reason, why)) => draft.says(Found::Unknown(reason), format!("{said}{why}")),
        None => draft.says(Found::Kept, said),
    }
}

/// Broken by the objective's own rule, which asks for more than this check does.
fn broken_otherwise(draft: Draft, check: &Check, status: &ObjectiveStatus) -> Draft {
    let level =
        status.trend.as_ref().map(|trend| trend.level).or(status.last.as_ref().map(|last| last.value));
    let slope = status.trend.as_ref().map_or_else(String::new, |trend| {
        format!(", slope {} an hour", words::quantity(trend.slope_per_hour, &status.unit))
    });
    let said = format!(
        "{}: {} {} on {}{slope}, threshold {}: broken by the objective's own limit, window {}, {}",
        check.name,
        status.signal,
        level.map_or_else(|| "without a number".into(), |level| words::quantity(level, &status.unit)),
        words::place(&status.place),
        words::quantity(status.threshold, &status.unit),
        status.window,
        words::coverage(draft.row.coverage)
    );
    draft.compares(level, status.comparison, status.threshold, &status.unit).says(Found::Broken, said)
}

/// Time until the threshold at a significant slope; none left where it is passed and the slope leads on.
fn time_left(status: &ObjectiveStatus, trend: &TrendStatus) -> Option<Microseconds> {
    if !trend.significant {
        return None;
    }
    let leads_out = match status.comparison {
        Comparison::Lte | Comparison::Lt => trend.slope_per_hour > 0.0,
        Comparison::Gte | Comparison::Gt => trend.slope_per_hour < 0.0,
        Comparison::Equal => false,
    };
    if leads_out && !status.comparison.holds(trend.level, status.threshold) {
        return Some(Microseconds::ZERO);
    }
    trend.time_to_threshold
}
