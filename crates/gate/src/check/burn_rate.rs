//! Check `burnRate`: no error budget burns too fast.

use telemetry::facts::{BurnStatus, Comparison, ObjectiveKind, ObjectiveStatus, UnknownReason};

use super::objective::{burn_words, evidence, too_little};
use super::{Draft, Found};
use crate::policy::{Check, Tier};
use crate::subject::Subject;
use crate::words;

/// A row for each objective with a budget.
pub fn judge(check: &Check, subject: &Subject, tier: Tier) -> Vec<Draft> {
    let drafts: Vec<Draft> = subject
        .all_statuses()
        .filter(|status| status.kind == ObjectiveKind::TimeInBounds)
        .map(|status| of_objective(check, subject, status, tier))
        .collect();
    if !drafts.is_empty() {
        return drafts;
    }
    let place = &subject.facts.place;
    let (reason, why) = match subject.facts.first_sample {
        Some(_) => (UnknownReason::WindowIncomplete, "no objective with an error budget is judged yet"),
        None => (UnknownReason::NeverSeen, "no reading ever came"),
    };
    let said = format!("{}: {why} on {}", check.name, words::place(place));
    vec![
        Draft::new(check, super::subject_of(check), place, "burn windows").says(Found::Unknown(reason), said),
    ]
}

fn of_objective(check: &Check, subject: &Subject, status: &ObjectiveStatus, tier: Tier) -> Draft {
    let fails = |burn: &&BurnStatus| is_at_least(burn, tier);
    let firing = status.burn.iter().find(|burn| burn.firing && fails(burn));
    let below = status.burn.iter().find(|burn| burn.firing && !fails(burn));
    let told = firing.or(below).or_else(|| greatest(status));
    let mut draft = Draft::of_status(check, status).shows(evidence(status));
    let where_ = format!("of {} on {}", status.objective, words::place(&status.place));
    if status.burn.is_empty() {
        return whole_run(check, subject, status, draft);
    }
    let Some(burn) = told else {
        let said = format!("{}: no burn window {where_} is full yet", check.name);
        let said = format!("{said}, {}", words::coverage(draft.row.coverage));
        let shortest = status.burn.iter().map(|burn| burn.long).min();
        draft.more_at = shortest.map(|long| subject.clock.tick_of(status.since + long));
        return draft.says(Found::Unknown(UnknownReason::WindowIncomplete), said);
    };
    draft = draft.compares(burn.burn_long, Comparison::Lt, burn.factor_ppm as f64 / 1e6, "1");
    draft.row.window = format!("{}/{}", burn.long, burn.short).into();
    draft.row.burn_rate = burn.burn_long;
    let said = format!(
        "{}: {} burn {where_}: {}, {}",
        check.name,
        burn.severity,
        burn_words(burn),
        words::coverage(draft.row.coverage)
    );
    match (firing, below) {
        (Some(_), _) => draft.says(Found::Broken, said),
        (None, Some(_)) => draft.says(Found::Doubtful, said),
        (None, None) => match too_little(subject, status) {
            Some((reason, why)) => draft.says(Found::Unknown(reason), format!("{said}: {why}")),
            None if burn.burn_long.is_none() => draft.says(
                Found::Unknown(UnknownReason::LowCoverage),
                format!("{said}: nothing is known in the window"),
            ),
            None => draft.says(Found::Kept, said),
        },
    }
}

/// A run too short for every pair of windows: at this rate the budget must last until its end.
fn whole_run(check: &Check, subject: &Subject, status: &ObjectiveStatus, draft: Draft) -> Draft {
    let burn = status.budget_left.map(|left| 1.0 - left);
    let mut draft = draft.compares(burn, Comparison::Lt, 1.0, "1");
    draft.row.burn_rate = burn;
    let said = format!(
        "{}: {} on {} burns its budget at {} of the rate that it lasts at (too short for windows), window {}, {}",
        check.name,
        status.objective,
        words::place(&status.place),
        burn.map_or_else(|| "an unknown share".into(), |burn| format!("{}×", words::number(burn))),
        status.window,
        words::coverage(draft.row.coverage)
    );
    match (status.budget_left, too_little(subject, status)) {
        (Some(left), _) if left <= 0.0 => draft.says(Found::Broken, said),
        (_, Some((reason, why))) => draft.says(Found::Unknown(reason), format!("{said}: {why}")),
        (None, None) => draft.says(Found::Unknown(UnknownReason::NotEnoughEvidence), said),
        (Some(_), None) => draft.says(Found::Kept, said),
    }
}

/// The pair that is nearest to firing, of those whose windows are full.
fn greatest(status: &ObjectiveStatus) -> Option<&BurnStatus> {
    let nearness = |burn: &BurnStatus| burn.burn_long.map(|rate| rate / burn.factor_ppm as f64);
    status.burn.iter().filter(|burn| burn.ready).reduce(|one, other| match (nearness(one), nearness(other)) {
        // A window of which nothing is known is told first: it decides.
        (None, _) => one,
        (_, None) => other,
        (Some(first), Some(second)) => {
            if first < second {
                other
            } else {
                one
            }
        }
    })
}

fn is_at_least(burn: &BurnStatus, tier: Tier) -> bool {
    match tier {
        Tier::Page => &*burn.severity == Tier::Page.name(),
        Tier::Ticket => true,
    }
}
