//! Recovery times in checks: a cap on late ones, and what their counts say in words.

use telemetry::facts::{Comparison, ObjectiveStatus, UnknownReason};

use super::{Draft, Found, evidence, more_later, too_little};
use crate::policy::Check;
use crate::subject::Subject;
use crate::words;

/// At most so many late recoveries, whatever share of them the objective promises: what a short run can show.
/// Recoveries that are not known may be late.
pub fn late_cap(check: &Check, subject: &Subject, status: &ObjectiveStatus, at_most: u64) -> Draft {
    let recoveries = status.recoveries.as_ref();
    let (late, known, unresolved) = recoveries.map_or((0, 0, 0), |it| (it.late, it.known(), it.unresolved()));
    let mut draft = Draft::of_status(check, status)
        .compares(Some(late as f64), Comparison::Lte, at_most as f64, "1")
        .shows(evidence(status));
    draft.row.budget_left = None;
    let said = format!(
        "{}: {late} late recoveries, {at_most} allowed, on {}: {}, window {}, {}",
        check.name,
        words::place(&status.place),
        recovery_words(status),
        status.window,
        words::coverage(draft.row.coverage)
    );
    if at_most < late {
        return draft.says(Found::Broken, said);
    }
    let few = if known == 0 {
        Some("no burst of load has been recovered from yet".to_owned())
    } else if at_most < late + unresolved {
        Some("those that are not known may be late".to_owned())
    } else {
        None
    };
    match (too_little(subject, status), few) {
        (Some((reason, why)), _) => {
            more_later(subject, status, draft.says(Found::Unknown(reason), format!("{said}: {why}")))
        }
        (None, Some(why)) => {
            let reason = UnknownReason::NotEnoughEvidence;
            more_later(subject, status, draft.says(Found::Unknown(reason), format!("{said}: {why}")))
        }
        (None, None) => draft.says(Found::Kept, said),
    }
}

/// `57 of 59 within 10m, longest 12m 1s, 90 % interval 91.2 % to 99 %, 1 censored`.
pub fn recovery_words(status: &ObjectiveStatus) -> String {
    let Some(recoveries) = &status.recoveries else { return "no recoveries".into() };
    let mut said = format!(
        "{} of {} bursts settled within {}",
        recoveries.within,
        recoveries.known(),
        words::quantity(status.threshold, &status.unit)
    );
    if let Some(longest) = recoveries.longest {
        said += &format!(", longest {}", words::span(longest));
    }
    if let Some((lower, upper)) = recoveries.interval {
        said += &format!(", 90 % interval {} to {}", words::percent(lower), words::percent(upper));
    }
    for (count, what) in
        [(recoveries.censored, "censored"), (recoveries.unknown, "unknown"), (recoveries.open, "still open")]
    {
        if count > 0 {
            said += &format!(", {count} {what}");
        }
    }
    said
}

/// `95 % bounds of the share 95.04 % to 100 %`, with what is not known counted either way.
pub fn share_bounds(status: &ObjectiveStatus) -> String {
    status.recoveries.as_ref().map_or_else(String::new, |recoveries| {
        format!(
            "one-sided 95 % bounds of the share {} and {}",
            words::percent(recoveries.lower_share),
            words::percent(recoveries.upper_share)
        )
    })
}
