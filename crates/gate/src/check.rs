//! The checks: each looks at one rack and gives a row for every group that it found there.
//!
//! `subject` → **check** → rows → `combine`

mod burn_rate;
mod canary;
mod coverage;
mod findings;
mod headroom;
mod objective;
mod power;
mod proven;
mod recovered;
mod trend;
mod wait;

pub use canary::baseline_runs;
pub use wait::{NOT_BEFORE, waits};

use telemetry::facts::{Cause, Comparison, ObjectiveStatus, UnknownReason};
use telemetry::place::Place;
use telemetry::{EventTime, Microseconds, Name};

use crate::policy::{Check, CheckKind, OnFacilityCause};
use crate::subject::{Span, Subject};
use crate::verdict::{CheckResult, Evidence, VerdictKind};
use crate::words;

/// An answer that waits for nothing in particular can change with the next slice: 10 s, the default slice.
const NEXT_LOOK: Microseconds = Microseconds::from_seconds(10);

/// What a check found in one group, before the policy's word on warnings, causes and waiting.
#[derive(Debug, Clone, PartialEq)]
pub enum Found {
    /// Kept.
    Kept,
    /// Kept, but something needs a look.
    Doubtful,
    /// Broken.
    Broken,
    /// Too little is known, and why.
    Unknown(UnknownReason),
}

/// A row in the making.
#[derive(Debug, Clone)]
pub struct Draft {
    /// What was found.
    pub found: Found,
    /// The row; its verdict, cause and waiting time are filled in by [`settle`].
    pub row: CheckResult,
    /// Whose doing it is when it is broken.
    pub cause: Cause,
    /// The tick at which more can be known, where that can be told.
    pub more_at: Option<EventTime>,
}

impl Draft {
    /// An empty row about a group.
    pub fn new(check: &Check, signal: impl Into<Name>, place: &Place, window: impl Into<Name>) -> Self {
        Self {
            found: Found::Kept,
            row: CheckResult {
                check: check.name.clone(),
                verdict: VerdictKind::Inconclusive,
                signal: signal.into(),
                observed: None,
                comparison: None,
                threshold: None,
                unit: "".into(),
                window: window.into(),
                since: None,
                coverage: None,
                known_units: 0,
                asked_units: 0,
                budget_left: None,
                burn_rate: None,
                evidence: Vec::new(),
                worst_group: place.to_string(),
                unknown_reason: None,
                cause: None,
                reason: String::new(),
                weight: check.weight,
                wait_until: None,
            },
            cause: Cause::Unknown,
            more_at: None,
        }
    }

    /// A row about an objective in one of its groups.
    pub fn of_status(check: &Check, status: &ObjectiveStatus) -> Self {
        let mut draft = Self::new(check, status.signal.clone(), &status.place, status.window.clone());
        let row = &mut draft.row;
        row.since = Some(status.since);
        row.coverage = status.time.coverage();
        row.known_units = status.known_units;
        row.asked_units = status.asked_units;
        row.budget_left = status.budget_left;
        row.burn_rate = status.burn.iter().filter_map(|burn| burn.burn_long).reduce(f64::max);
        draft.cause = status.cause;
        draft
    }

    /// Sets what was observed and what it is compared with.
    pub fn compares(
        mut self,
        observed: Option<f64>,
        comparison: Comparison,
        threshold: f64,
        unit: &str,
    ) -> Self {
        self.row.observed = observed;
        self.row.comparison = Some(comparison);
        self.row.threshold = Some(threshold);
        self.row.unit = unit.into();
        self
    }

    /// Sets what was found, and the sentence that says so.
    pub fn says(mut self, found: Found, reason: String) -> Self {
        self.found = found;
        self.row.reason = reason;
        self
    }

    /// Adds evidence.
    pub fn shows(mut self, evidence: impl IntoIterator<Item = Evidence>) -> Self {
        self.row.evidence.extend(evidence);
        self
    }
}

/// The rows of one check on one rack: one a group, none only where it is not asked.
pub fn judge(check: &Check, subject: &Subject) -> Vec<CheckResult> {
    let drafts = match (subject.span, &check.kind) {
        (Span::NoRun, _) => vec![no_run(check, subject)],
        (_, CheckKind::Objective { objective, at_most, noise_floor, .. }) => {
            objective::judge(check, subject, objective, *at_most, *noise_floor)
        }
        (_, CheckKind::BurnRate { tier }) => burn_rate::judge(check, subject, *tier),
        (_, CheckKind::Findings { detectors, severity }) => {
            findings::judge(check, subject, detectors, *severity)
        }
        (_, CheckKind::Coverage { signals, minimum_ppm }) => {
            coverage::judge(check, subject, signals, *minimum_ppm)
        }
        (_, CheckKind::Trend { objective, time_to_threshold_minimum }) => {
            trend::judge(check, subject, objective, *time_to_threshold_minimum)
        }
        (_, CheckKind::PowerEnvelope { need, span }) => power::envelope(check, subject, need, *span),
        (_, CheckKind::Soak { need, minimum }) => power::soak(check, subject, need, *minimum),
        (_, CheckKind::Recovered { span }) => recovered::judge(check, subject, *span),
        (_, CheckKind::Headroom(asked)) => headroom::judge(check, subject, asked),
        (_, CheckKind::Proven { detectors, within }) => proven::judge(check, subject, detectors, *within),
        (_, CheckKind::Canary(canary)) => canary::judge(check, subject, canary),
    };
    drafts.into_iter().map(|draft| settle(check, subject, draft)).collect()
}

/// The policy's word on what was found: warnings, the facility's doing, waiting.
pub fn settle(check: &Check, subject: &Subject, draft: Draft) -> CheckResult {
    let Draft { found, mut row, cause, more_at } = draft;
    let clock = subject.clock;
    match found {
        Found::Kept => row.verdict = VerdictKind::Pass,
        Found::Doubtful => {
            row.verdict = VerdictKind::Warn;
            row.cause = Some(cause);
        }
        Found::Broken => {
            row.cause = Some(cause);
            row.verdict = VerdictKind::Fail;
            if check.warn {
                row.verdict = VerdictKind::Warn;
                row.reason += " (FAIL counts as WARN: the check is marked `warn`)";
            } else if cause == Cause::Facility && !check.hard {
                match subject.policy.on_facility_cause {
                    OnFacilityCause::Fail => {}
                    OnFacilityCause::Inconclusive => {
                        row.verdict = VerdictKind::Inconclusive;
                        row.reason +=
                            " (FAIL counts as INCONCLUSIVE: the cause is the facility, `onFacilityCause`)";
                    }
                }
            }
        }
        Found::Unknown(reason) => {
            row.unknown_reason = Some(reason);
            row.cause = Some(cause_of_unknown(reason));
            row.verdict = VerdictKind::Inconclusive;
            if wait::may_wait(subject, reason) {
                row.verdict = VerdictKind::Pending;
                let soonest = clock.asked_at + Microseconds::from_seconds(1);
                let more_at = more_at.unwrap_or(clock.asked_at + NEXT_LOOK);
                let until = clock.deadline.map_or(more_at, |deadline| more_at.min(deadline)).max(soonest);
                row.wait_until = Some(until);
                row.reason += &format!("; can change at {}", words::moment(until));
            }
        }
    }
    row
}

/// Whose doing it is that nothing is known.
pub const fn cause_of_unknown(reason: UnknownReason) -> Cause {
    match reason {
        UnknownReason::NeverSeen
        | UnknownReason::Stale
        | UnknownReason::Invalid
        | UnknownReason::SensorFault
        | UnknownReason::Distrusted
        | UnknownReason::LowCoverage => Cause::Sensor,
        UnknownReason::Maintenance
        | UnknownReason::WindowIncomplete
        | UnknownReason::Uncalibrated
        | UnknownReason::NotEnoughEvidence
        | UnknownReason::NotComparable => Cause::Unknown,
    }
}

/// What a check is about, before any signal is known.
pub fn subject_of(check: &Check) -> Name {
    match &check.kind {
        CheckKind::Objective { objective, .. } | CheckKind::Trend { objective, .. } => objective.clone(),
        CheckKind::BurnRate { .. } => "burn rate of all objectives".into(),
        CheckKind::Findings { detectors, .. } if detectors.is_empty() => "findings of all detectors".into(),
        CheckKind::Findings { detectors, .. } => format!("findings of {}", detectors.join(", ")).into(),
        CheckKind::Coverage { signals, .. } => signals.join(", ").into(),
        CheckKind::PowerEnvelope { .. } | CheckKind::Soak { .. } => "rack_power".into(),
        CheckKind::Recovered { .. } => "recovery after the last run".into(),
        CheckKind::Headroom(_) => "rack_power".into(),
        CheckKind::Proven { detectors, .. } => format!("drills of {}", detectors.join(", ")).into(),
        CheckKind::Canary(_) => telemetry::facts::Metric::ThermalResistance.name().into(),
    }
}

/// The row of a check on a rack that was never seen.
pub fn never_seen(check: &Check, place: &Place) -> Draft {
    let said = format!("{} was never seen: no reading of it ever came", words::place(place));
    let draft = Draft::new(check, subject_of(check), place, "now");
    draft.says(Found::Unknown(UnknownReason::NeverSeen), format!("{}: {said}", check.name))
}

fn no_run(check: &Check, subject: &Subject) -> Draft {
    let said = format!(
        "{}: the run asked for is not on {}: start it with `thermogate run start`, or name one that is",
        check.name,
        words::place(&subject.facts.place)
    );
    let draft = Draft::new(check, subject_of(check), &subject.facts.place, "run");
    draft.says(Found::Unknown(UnknownReason::NeverSeen), said)
}
