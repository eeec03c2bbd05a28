//! The status of an objective in a group, as gates and the history see it.
//!
//! budgets → **status** → facts, table `slo_status`

use telemetry::Name;
use telemetry::facts::{
    Cause, EventRateStatus, ObjectiveStatus, Observation, Outcome, RecoveryTimeStatus, Scope, TimeByState,
    TrendStatus, UnknownReason,
};
use telemetry::{EventTime, Microseconds};

use crate::budget::Budget;
use crate::event_rate;
use crate::group::{Group, RunBudget};
use crate::judge::judge_time;
use crate::objective::{MILLION, Objective, Promise};
use crate::proportion;
use crate::trend;
use crate::window::{Seen, Totals};

/// Which of a group's budgets is meant.
#[derive(Clone, Copy)]
pub(crate) enum Account<'a> {
    /// That of the rolling window.
    Rolling,
    /// That of a run.
    Run(&'a RunBudget),
}

impl<'a> Account<'a> {
    fn budget(self, group: &'a Group) -> &'a Budget {
        match self {
            Self::Rolling => &group.rolling,
            Self::Run(run) => &run.budget,
        }
    }
}

/// What an account says now, without the rest of its status.
pub(crate) fn outcome(objective: &Objective, group: &Group, account: Account<'_>) -> Outcome {
    let budget = account.budget(group);
    match &objective.promise {
        Promise::TimeInBounds(_) | Promise::HardLimit(_) => by_time(objective, budget.window.time()),
        Promise::EventRate(_) => by_rate(objective, budget).1,
        Promise::Trend(promise) => trend::judge(promise, group.trend(promise)),
        Promise::RecoveryTime(_) => by_recoveries(objective, group, account).1,
    }
}

fn by_time(objective: &Objective, time: TimeByState) -> Outcome {
    judge_time(time, objective.target_ppm(), objective.minimum_coverage_ppm, objective.strict)
}

fn by_rate(objective: &Objective, budget: &Budget) -> (EventRateStatus, Outcome) {
    let totals = budget.totals(objective);
    let hours = totals.hours;
    let fano_factor = event_rate::fano_factor(hours.count.into(), hours.events.into(), hours.squares);
    let counted = (totals.events, totals.event_time);
    event_rate::status(counted, totals.time.known(), fano_factor, objective.threshold)
}

/// Bounds are computed to better than this. One that is equal to the target does not break it: the upper bound of one
/// burst that is late is 0.95.
const SHARE_RESOLUTION: f64 = 1e-9;

/// Counts only what the account asks for; the burst that is still watched is the group's.
fn by_recoveries(
    objective: &Objective,
    group: &Group,
    account: Account<'_>,
) -> (RecoveryTimeStatus, Outcome) {
    let budget = account.budget(group);
    let totals = budget.totals(objective);
    let (since, is_final) = match account {
        Account::Rolling => (budget.since, false),
        Account::Run(run) => (Some(run.from), run.is_final),
    };
    let is_open = !is_final && since.is_some_and(|since| group.has_open_burst_since(since));
    let status = recovery_status(&totals, is_open);
    let target = f64::from(objective.target_ppm()) / MILLION as f64;
    let outcome = if status.upper_share < target - SHARE_RESOLUTION {
        Outcome::NotOk
    } else if status.lower_share >= target && by_time_covered(objective, totals.time) {
        Outcome::Ok
    } else {
        Outcome::Unknown
    };
    (status, outcome)
}

/// Bursts that are not known to have settled in time are late for the lower bound and in time for the upper one.
fn recovery_status(totals: &Totals, is_open: bool) -> RecoveryTimeStatus {
    let bursts = totals.bursts;
    let [within, late, censored, unknown] =
        [bursts.within, bursts.late, bursts.censored, bursts.unknown].map(u64::from);
    let open = u64::from(is_open);
    let all = within + late + censored + unknown + open;
    RecoveryTimeStatus {
        within,
        late,
        censored,
        unknown,
        open,
        longest: totals.worst.map(|worst| Microseconds((worst.value * 1e6) as i64)),
        lower_share: proportion::lower_bound(within, all),
        upper_share: proportion::upper_bound(all - late, all),
        interval: proportion::wilson_interval(within, within + late),
    }
}

/// The whole status. `position`: up to where the group is judged.
pub(crate) fn status(
    objective: &Objective,
    group: &Group,
    account: Account<'_>,
    cause: Cause,
    position: EventTime,
) -> ObjectiveStatus {
    let budget = account.budget(group);
    let totals = budget.totals(objective);
    let (mut events, mut slope): (Option<EventRateStatus>, Option<TrendStatus>) = (None, None);
    let mut recoveries = None;
    let outcome = match &objective.promise {
        Promise::TimeInBounds(_) | Promise::HardLimit(_) => by_time(objective, totals.time),
        Promise::EventRate(_) => {
            let (status, outcome) = by_rate(objective, budget);
            events = Some(status);
            outcome
        }
        Promise::Trend(promise) => {
            slope = group.trend(promise).cloned();
            trend::judge(promise, slope.as_ref())
        }
        Promise::RecoveryTime(_) => {
            let (status, outcome) = by_recoveries(objective, group, account);
            recoveries = Some(status);
            outcome
        }
    };
    let (scope, run, is_final, window): (Scope, Option<&Name>, bool, Name) = match account {
        Account::Rolling => (Scope::Rolling, None, false, objective.window.to_string().into()),
        Account::Run(run) => (Scope::Run, Some(&run.run), run.is_final, "run".into()),
    };
    let since = budget.since.unwrap_or(position);
    ObjectiveStatus {
        objective: objective.name.clone(),
        place: group.place.clone(),
        kind: objective.kind(),
        scope,
        run: run.cloned(),
        is_final,
        signal: objective.signal_text.clone(),
        unit: objective.unit.clone(),
        comparison: objective.comparison,
        threshold: objective.threshold,
        window,
        since: budget.window.begins(since),
        time: totals.time,
        known_units: totals.good_units + totals.bad_units,
        asked_units: totals.good_units + totals.bad_units + totals.unknown_units,
        bad_units: totals.bad_units,
        target_ppm: objective.target_ppm(),
        minimum_coverage_ppm: objective.minimum_coverage_ppm,
        outcome,
        unknown_reason: unknown_reason(objective, group, budget, outcome, totals.time),
        budget_left: budget_left(objective, totals.time),
        burn: budget.pairs.iter().map(|pair| pair.status(objective.target_ppm())).collect(),
        episodes: totals.episodes,
        longest_episode: totals.longest_episode,
        events,
        trend: slope,
        recoveries,
        last: budget.last.map(|seen| observation(group, seen)),
        worst: totals.worst.map(|seen| observation(group, seen)),
        cause: match outcome {
            Outcome::Ok => Cause::Unknown,
            Outcome::NotOk | Outcome::Unknown => cause,
        },
        doubts: Vec::new(),
    }
}

fn observation(group: &Group, seen: Seen) -> Observation {
    let place = group.members.get(seen.place as usize).map_or(&group.place, |member| &member.place);
    Observation { value: seen.value, time: seen.time, place: place.clone() }
}

/// Share of the error budget that is left: bad time against the budget of the time that was asked.
fn budget_left(objective: &Objective, time: TimeByState) -> Option<f64> {
    let budget_share = (MILLION - u64::from(objective.target_ppm())) as f64 / MILLION as f64;
    match &objective.promise {
        Promise::TimeInBounds(_) if time.known() > Microseconds::ZERO => {
            Some(1.0 - time.bad.0 as f64 / time.asked().0 as f64 / budget_share)
        }
        Promise::TimeInBounds(_)
        | Promise::EventRate(_)
        | Promise::HardLimit(_)
        | Promise::Trend(_)
        | Promise::RecoveryTime(_) => None,
    }
}

fn unknown_reason(
    objective: &Objective,
    group: &Group,
    budget: &Budget,
    outcome: Outcome,
    time: TimeByState,
) -> Option<UnknownReason> {
    let main = budget.main_reason().filter(|_| time.unknown > Microseconds::ZERO);
    match outcome {
        Outcome::Ok | Outcome::NotOk => main,
        Outcome::Unknown => Some(match (&objective.promise, main) {
            _ if group.first_reading().is_none() => UnknownReason::NeverSeen,
            (Promise::EventRate(_) | Promise::RecoveryTime(_), _) if by_time_covered(objective, time) => {
                UnknownReason::NotEnoughEvidence
            }
            (_, Some(reason)) => reason,
            (_, None) => UnknownReason::WindowIncomplete,
        }),
    }
}

fn by_time_covered(objective: &Objective, time: TimeByState) -> bool {
    time.known() > Microseconds::ZERO
        && crate::judge::reaches(time.known(), time.asked(), objective.minimum_coverage_ppm.into())
}
