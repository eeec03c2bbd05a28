//! Rows → rack → verdict: which row decides, the score, the cause, and the one sentence.
//!
//! `check` → **combine** → `verdict`

use std::cmp::Ordering;

use telemetry::facts::Cause;
use telemetry::place::Place;
use telemetry::{EventTime, Name};

use crate::check::NOT_BEFORE;
use crate::policy::{Combine, Policy};
use crate::verdict::{CheckResult, RackVerdict, VerdictKind};
use crate::words;

/// Groups beside the one that decides which a row names.
const OTHERS_NAMED_MAX: usize = 3;

/// The row that decides of all groups of one check, and beside it the names of others that do not pass.
pub fn worst(mut rows: Vec<CheckResult>) -> Option<CheckResult> {
    rows.sort_by(by_weight);
    let mut rows = rows.into_iter();
    let mut first = rows.next()?;
    let others: Vec<String> = rows
        .filter(|row| row.verdict != VerdictKind::Pass)
        .map(|row| format!("{} of {} on {}", row.verdict, row.signal, row.worst_group))
        .collect();
    if !others.is_empty() {
        let named = others.iter().take(OTHERS_NAMED_MAX).cloned().collect::<Vec<_>>().join("; ");
        let more = others.len().saturating_sub(OTHERS_NAMED_MAX);
        let more = if more > 0 { format!("; and {more} more") } else { String::new() };
        first.reason += &format!(" [also {named}{more}]");
    }
    Some(first)
}

/// The row that decides comes first: by verdict, then by budget left, then by coverage.
fn by_weight(one: &CheckResult, other: &CheckResult) -> Ordering {
    let least = |one: Option<f64>, other: Option<f64>| match (one, other) {
        (Some(one), Some(other)) => one.total_cmp(&other),
        (Some(_), None) => Ordering::Less,
        (None, Some(_)) => Ordering::Greater,
        (None, None) => Ordering::Equal,
    };
    other
        .verdict
        .weight()
        .cmp(&one.verdict.weight())
        .then_with(|| least(one.budget_left, other.budget_left))
        .then_with(|| least(one.coverage, other.coverage))
}

/// The verdict on one rack from its rows.
pub fn rack(name: Name, place: &Place, rows: Vec<CheckResult>) -> RackVerdict {
    let verdict = of_rows(&rows);
    let decisive = decisive(verdict, &rows);
    RackVerdict {
        verdict,
        cause: if verdict == VerdictKind::Pass {
            None
        } else {
            decisive.and_then(|row| row.cause).or(Some(Cause::Unknown))
        },
        reason: sentence(verdict, &rows, &words::place(place)),
        rack: name,
        checks: rows,
    }
}

/// The verdict rule: FAIL, PENDING, INCONCLUSIVE, WARN, PASS, the first that any row has. What `not_before` asks to
/// wait for goes before all: older facts are no answer to that question.
fn of_rows(rows: &[CheckResult]) -> VerdictKind {
    if rows.iter().any(|row| &*row.check == NOT_BEFORE && row.verdict == VerdictKind::Pending) {
        return VerdictKind::Pending;
    }
    rows.iter()
        .map(|row| row.verdict)
        .max_by_key(|verdict| verdict.weight())
        // A policy always has checks; when a rack is asked for none of them, nothing is known of it.
        .unwrap_or(VerdictKind::Inconclusive)
}

/// The verdict on all racks.
pub struct Combined {
    pub verdict: VerdictKind,
    pub cause: Option<Cause>,
    pub reason: String,
    pub wait_until: Option<EventTime>,
    pub checks: Vec<CheckResult>,
    pub racks: Vec<RackVerdict>,
}

/// Combines racks by the policy's rule.
pub fn all(policy: &Policy, racks: Vec<RackVerdict>) -> Combined {
    let verdict = of_racks(policy.scope.combine, &racks);
    let checks = over_racks(&racks);
    let decisive = decisive(verdict, &checks);
    let cause = if verdict == VerdictKind::Pass {
        None
    } else {
        decisive.and_then(|row| row.cause).or(Some(Cause::Unknown))
    };
    let subject = match racks.as_slice() {
        [] => "no rack".to_owned(),
        [only] => {
            return Combined {
                verdict,
                cause: only.cause,
                reason: only.reason.clone(),
                wait_until: wait_until(verdict, &racks),
                checks,
                racks,
            };
        }
        several => {
            let same = several.iter().filter(|rack| rack.verdict == verdict).count();
            format!("{same} of {} racks", several.len())
        }
    };
    Combined {
        verdict,
        cause,
        reason: format!("{subject} {verdict}: {}", sentence(verdict, &checks, "all racks")),
        wait_until: wait_until(verdict, &racks),
        checks,
        racks,
    }
}

fn of_racks(combine: Combine, racks: &[RackVerdict]) -> VerdictKind {
    let worst = racks
        .iter()
        .map(|rack| rack.verdict)
        .max_by_key(|verdict| verdict.weight())
        .unwrap_or(VerdictKind::Inconclusive);
    let waits = |rack: &RackVerdict| rack.checks.iter().any(|row| &*row.check == NOT_BEFORE);
    if racks.iter().any(|rack| rack.verdict == VerdictKind::Pending && waits(rack)) {
        return VerdictKind::Pending;
    }
    match (worst, combine) {
        (VerdictKind::Inconclusive, Combine::AtLeast(share_ppm)) => {
            let known = racks.iter().filter(|rack| rack.verdict != VerdictKind::Inconclusive).count() as u128;
            // Racks that nothing is known of do not hold the rest up, and never make it a PASS either.
            if u128::from(share_ppm) * racks.len() as u128 <= known * 1_000_000 {
                VerdictKind::Warn
            } else {
                VerdictKind::Inconclusive
            }
        }
        (worst, Combine::AtLeast(_) | Combine::Worst) => worst,
    }
}

/// Of each check the row of the rack that decides, in the order of the rows.
fn over_racks(racks: &[RackVerdict]) -> Vec<CheckResult> {
    let mut rows: Vec<CheckResult> = Vec::new();
    for row in racks.iter().flat_map(|rack| &rack.checks) {
        match rows.iter_mut().find(|known| known.check == row.check) {
            Some(known) if by_weight(row, known) == Ordering::Less => *known = row.clone(),
            Some(_) => {}
            None => rows.push(row.clone()),
        }
    }
    rows
}

/// The row that the verdict stands on: the heaviest with the verdict; with none, the worst of all.
fn decisive(verdict: VerdictKind, rows: &[CheckResult]) -> Option<&CheckResult> {
    let heaviest = |one: &&CheckResult, other: &&CheckResult| one.weight.total_cmp(&other.weight);
    rows.iter()
        .rev()
        .filter(|row| row.verdict == verdict)
        .max_by(heaviest)
        .or_else(|| rows.iter().rev().max_by_key(|row| row.verdict.weight()))
}

fn sentence(verdict: VerdictKind, rows: &[CheckResult], subject: &str) -> String {
    if rows.is_empty() {
        return format!("no check of the policy applies to {subject}, so nothing is known of it");
    }
    if verdict == VerdictKind::Pass {
        let budget = rows
            .iter()
            .filter_map(|row| Some((row.budget_left?, row)))
            .min_by(|(one, _), (other, _)| one.total_cmp(other))
            .map_or_else(String::new, |(left, row)| {
                format!(", least budget left {} ({})", words::percent(left), row.check)
            });
        let coverage = rows
            .iter()
            .filter_map(|row| row.coverage)
            .reduce(f64::min)
            .map_or_else(String::new, |share| format!(", lowest coverage {}", words::percent(share)));
        return format!("all {} checks pass on {subject}{budget}{coverage}", rows.len());
    }
    let Some(row) = decisive(verdict, rows) else { return String::new() };
    let more = rows.iter().filter(|other| other.verdict == row.verdict).count() - 1;
    match more {
        0 => row.reason.clone(),
        1 => format!("{} (and 1 more check {})", row.reason, row.verdict),
        _ => format!("{} (and {more} more checks {})", row.reason, row.verdict),
    }
}

/// The earliest moment at which a PENDING row can change.
fn wait_until(verdict: VerdictKind, racks: &[RackVerdict]) -> Option<EventTime> {
    if verdict != VerdictKind::Pending {
        return None;
    }
    let rows = || racks.iter().flat_map(|rack| &rack.checks);
    let not_before = rows().filter(|row| &*row.check == NOT_BEFORE).filter_map(|row| row.wait_until).max();
    not_before.or_else(|| rows().filter_map(|row| row.wait_until).min())
}

/// `100·Σ w·s/Σ w` over known checks (s = 1 PASS, ½ WARN, 0 FAIL), clamped into the verdict's band. Decides nothing.
pub fn score(verdict: VerdictKind, rows: &[CheckResult]) -> Option<u32> {
    let (lowest, highest) = verdict.score_band()?;
    let (mut reached, mut possible) = (0.0, 0.0);
    for row in rows {
        let share = match row.verdict {
            VerdictKind::Pass => 1.0,
            VerdictKind::Warn => 0.5,
            VerdictKind::Fail => 0.0,
            VerdictKind::Inconclusive | VerdictKind::Pending => continue,
        };
        reached += row.weight * share;
        possible += row.weight;
    }
    let score = if possible > 0.0 { (100.0 * reached / possible).round() as u32 } else { highest };
    Some(score.clamp(lowest, highest))
}
