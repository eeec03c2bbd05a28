//! What one objective has spent in one group, over a rolling window or over a run.
//!
//! slices → judged units → **budget** → statuses, alerts

use serde::{Deserialize, Serialize};
use telemetry::facts::{Outcome, Scope, TimeByState, UnknownReason};
use telemetry::{EventTime, Microseconds};

use crate::burn::{Burn, FireRule, PairOfWindows, burn_rate, reaches_factor};
use crate::event_rate::{Episodes, Evidence};
use crate::judge::{SliceState, judge_unit, reaches};
use crate::objective::{BudgetShareAlert, BurnRatePolicy, MILLION, Objective, Promise, Tier};
use crate::settling::{BurstNews, BurstOutcome};
use crate::slice::is_worse;
use crate::window::{Seen, Totals, WHOLE_GROUP, Window};

/// A judged slice.
#[derive(Debug, Clone, Copy)]
pub(crate) struct JudgedSlice<'a> {
    /// Its start.
    pub from: EventTime,
    /// Its end.
    pub to: EventTime,
    /// What it says.
    pub state: SliceState,
    /// The worst known value in it.
    pub worst: Option<Seen>,
    /// Evidence of events, in order of time.
    pub evidence: &'a [Evidence],
    /// What has become of bursts.
    pub bursts: &'a [BurstNews],
}

/// What a budget says to its alerts.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct BurnReport {
    /// What the most alarming pair says.
    pub burn: Burn,
    /// Names of the pairs that fire, or of the budget's share.
    pub windows: Vec<String>,
    /// The burn of the first of them.
    pub rate: Option<f64>,
}

/// The state.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Budget {
    /// Where asked time begins.
    pub since: Option<EventTime>,
    /// Slices of the unit that is being filled, where it began, and why a part of it is unknown.
    unit: TimeByState,
    unit_from: Option<EventTime>,
    unit_reason: Option<UnknownReason>,
    /// What was judged.
    pub window: Window,
    /// Pairs of burn windows that are long enough.
    pub pairs: Vec<PairOfWindows>,
    /// Pairs that are too short, by name.
    pub dropped: Vec<String>,
    /// Planned length, of a run.
    planned: Option<Microseconds>,
    /// Bad time of the episode that goes on.
    episode: Option<Microseconds>,
    /// Unknown time by reason, in the order of [`REASONS`].
    unknown: [Microseconds; REASONS.len()],
    /// Evidence of events that goes on.
    events: Episodes,
    /// Known time and events of the hour that is being filled.
    hour: (Microseconds, u32),
    /// The latest known value.
    pub last: Option<Seen>,
    /// The outcome that was told last, and when.
    pub told: Option<(Outcome, EventTime)>,
}

/// All reasons, in the order of their weight where as much time speaks for one as for another.
const REASONS: [UnknownReason; 10] = [
    UnknownReason::SensorFault,
    UnknownReason::Distrusted,
    UnknownReason::Maintenance,
    UnknownReason::Invalid,
    UnknownReason::Stale,
    UnknownReason::NeverSeen,
    UnknownReason::Uncalibrated,
    UnknownReason::LowCoverage,
    UnknownReason::WindowIncomplete,
    UnknownReason::NotEnoughEvidence,
];

impl Budget {
    /// Of the rolling window.
    pub(crate) fn rolling(objective: &Objective) -> Self {
        let window = Window::rolling(objective.window, objective.judged_unit);
        Self::new(objective, window, objective.window, None)
    }

    /// Of a run; its burn windows are scaled to the planned length once.
    pub(crate) fn of_run(objective: &Objective, start: EventTime, planned: Microseconds) -> Self {
        Self { since: Some(start), ..Self::new(objective, Window::of_run(), planned, Some(planned)) }
    }

    fn new(
        objective: &Objective,
        window: Window,
        length: Microseconds,
        planned: Option<Microseconds>,
    ) -> Self {
        let (pairs, dropped) = match &objective.promise {
            Promise::TimeInBounds(promise) => {
                let pairs = promise.burn.pairs_for(length, objective.judged_unit);
                let unit = objective.judged_unit;
                (
                    pairs.kept.iter().map(|pair| PairOfWindows::new(pair, unit)).collect(),
                    pairs
                        .dropped
                        .iter()
                        .map(|pair| format!("{}/{}", pair.written.long, pair.written.short))
                        .collect(),
                )
            }
            Promise::EventRate(_) | Promise::HardLimit(_) | Promise::Trend(_) | Promise::RecoveryTime(_) => {
                (Vec::new(), Vec::new())
            }
        };
        Self {
            since: None,
            unit: TimeByState::default(),
            unit_from: None,
            unit_reason: None,
            window,
            pairs,
            dropped,
            planned,
            episode: None,
            unknown: [Microseconds::ZERO; REASONS.len()],
            events: Episodes::default(),
            hour: (Microseconds::ZERO, 0),
            last: None,
            told: None,
        }
    }

    /// Adds a slice; slices come in order. Says whether a judged unit was closed, and whether a burn pair was judged.
    pub(crate) fn add(&mut self, objective: &Objective, slice: JudgedSlice<'_>) -> Closed {
        if slice.state != SliceState::NotAsked {
            self.since.get_or_insert(slice.from);
        }
        self.window.go_on_to(slice.from);
        self.add_evidence(objective, slice.evidence);
        self.add_bursts(objective, slice.bursts);
        if let Some(seen) = slice.worst {
            let worse = |one, other| is_worse(objective.comparison, objective.threshold, one, other);
            self.window.filling.see(seen, worse);
            self.last = Some(seen);
        }
        self.fill_hour(objective, slice);
        if let SliceState::Unknown(reason) = slice.state {
            self.unit_reason = self.unit_reason.or(Some(reason));
        }
        self.unit_from.get_or_insert(slice.from);
        slice.state.add_to(&mut self.unit, slice.to - slice.from);
        if slice.to.window_start(objective.judged_unit) == slice.to {
            self.close_unit(objective, slice.to)
        } else {
            Closed::default()
        }
    }

    /// Closes the unit that is being filled, at its end or at the end of a run.
    pub(crate) fn close_unit(&mut self, objective: &Objective, to: EventTime) -> Closed {
        let Some(from) = self.unit_from.take() else { return Closed::default() };
        let slices = std::mem::take(&mut self.unit);
        let reason = self.unit_reason.take().unwrap_or(UnknownReason::LowCoverage);
        let slice_target_ppm = match &objective.promise {
            Promise::TimeInBounds(promise) => promise.slice_target_ppm,
            Promise::EventRate(_) | Promise::HardLimit(_) | Promise::Trend(_) | Promise::RecoveryTime(_) => {
                MILLION as u32
            }
        };
        let state = judge_unit(slices, slice_target_ppm, objective.minimum_coverage_ppm, reason);
        let mut time = TimeByState::default();
        state.add_to(&mut time, slices.asked());
        self.count(state, slices.asked());
        let rule = FireRule {
            target_ppm: objective.target_ppm(),
            minimum_bad_units: burn_policy(objective).map_or(1, |burn| burn.minimum_bad_units.max(1)),
            judged_unit: objective.judged_unit,
        };
        let since = self.since.unwrap_or(from);
        let mut is_burn_judged = false;
        for pair in &mut self.pairs {
            is_burn_judged |= pair.add(from, to, time, since, rule);
        }
        Closed { unit: true, burn: is_burn_judged }
    }

    fn count(&mut self, state: SliceState, asked: Microseconds) {
        let filling = &mut self.window.filling;
        state.add_to(&mut filling.time, asked);
        match state {
            SliceState::Good => {
                filling.good_units += 1;
                self.episode = None;
            }
            SliceState::Bad => {
                filling.bad_units += 1;
                filling.episodes += u64::from(self.episode.is_none());
                let length = self.episode.unwrap_or_default() + asked;
                filling.longest_episode = filling.longest_episode.max(length);
                self.episode = Some(length);
            }
            SliceState::Unknown(reason) => {
                filling.unknown_units += 1;
                if let Some(index) = REASONS.iter().position(|known| *known == reason) {
                    self.unknown[index] += asked;
                }
            }
            SliceState::NotAsked => {}
        }
    }

    fn add_evidence(&mut self, objective: &Objective, evidence: &[Evidence]) {
        let Promise::EventRate(rate) = &objective.promise else { return };
        for evidence in
            evidence.iter().filter(|evidence| self.since.is_none_or(|since| since <= evidence.last))
        {
            let added = self.events.add(*evidence, rate.merge_within, rate.noise_floor);
            self.window.filling.events += added.events;
            self.hour.1 += u32::from(added.events > 0);
            self.window.filling.event_time += added.time;
        }
    }

    /// Events by whole hours tell whether they come in clusters. Slices divide hours.
    fn fill_hour(&mut self, objective: &Objective, slice: JudgedSlice<'_>) {
        const HOUR: Microseconds = Microseconds::from_hours(1);
        match slice.state {
            SliceState::Good | SliceState::Bad => self.hour.0 += slice.to - slice.from,
            SliceState::Unknown(_) | SliceState::NotAsked => {}
        }
        if slice.to.window_start(HOUR) == slice.to {
            let (known, events) = std::mem::take(&mut self.hour);
            if reaches(known, HOUR, objective.minimum_coverage_ppm.into()) {
                let hours = &mut self.window.filling.hours;
                hours.count += 1;
                hours.events += events;
                hours.squares += u64::from(events) * u64::from(events);
            }
        }
    }

    /// Counts bursts that began since this budget did. How long their recoveries took is the value that is seen.
    fn add_bursts(&mut self, objective: &Objective, bursts: &[BurstNews]) {
        let worse = |one, other| is_worse(objective.comparison, objective.threshold, one, other);
        for burst in bursts.iter().filter(|burst| self.since.is_none_or(|since| since <= burst.from)) {
            let Totals { bursts, .. } = &mut self.window.filling;
            let length = match burst.what {
                BurstOutcome::Within(length) => {
                    bursts.within += 1;
                    Some(length)
                }
                BurstOutcome::Late(length) => {
                    bursts.late += 1;
                    Some(length)
                }
                BurstOutcome::LateSettled(length) => Some(length),
                BurstOutcome::Censored => {
                    bursts.censored += 1;
                    None
                }
                BurstOutcome::Unknown => {
                    bursts.unknown += 1;
                    None
                }
            };
            if let Some(length) = length {
                let seen = Seen { value: length.as_seconds(), time: burst.from, place: WHOLE_GROUP };
                self.window.filling.see(seen, worse);
                self.last = Some(seen);
            }
        }
    }

    /// The totals of the window.
    pub(crate) fn totals(&self, objective: &Objective) -> Totals {
        self.window.totals(|one, other| is_worse(objective.comparison, objective.threshold, one, other))
    }

    /// The reason of most of the unknown time.
    pub(crate) fn main_reason(&self) -> Option<UnknownReason> {
        let most = self.unknown.iter().copied().max().filter(|most| *most > Microseconds::ZERO)?;
        self.unknown.iter().position(|time| *time == most).map(|index| REASONS[index])
    }

    /// What this budget says to the alert of a severity.
    pub(crate) fn report(&self, objective: &Objective, tier: Tier) -> BurnReport {
        let target_ppm = objective.target_ppm();
        let mut report = BurnReport { burn: Burn::Clears, windows: Vec::new(), rate: None };
        for pair in self.pairs.iter().filter(|pair| pair.severity_is_page == (tier == Tier::Page)) {
            match pair.burn {
                Burn::Fires => {
                    report.burn = Burn::Fires;
                    report.windows.push(pair.name());
                    report.rate = report.rate.or(pair.status(target_ppm).burn_long);
                }
                Burn::Holds if report.burn == Burn::Clears => report.burn = Burn::Holds,
                Burn::Holds | Burn::Clears => {}
            }
        }
        if let Some(share) = self.share_alert(objective).filter(|share| share.severity == tier) {
            let time = self.window.time();
            let budget = self.planned.unwrap_or(objective.window);
            let judge = |bad| {
                reaches_factor(bad, budget, share.share_ppm, target_ppm)
                    && reaches_factor(bad, time.asked(), share.burn_ppm, target_ppm)
            };
            if judge(time.bad) {
                report.burn = Burn::Fires;
                report.windows.push("budget share".to_owned());
                report.rate = burn_rate(time, target_ppm);
            } else if judge(time.bad + time.unknown) {
                report.burn = Burn::Holds;
            }
        }
        report
    }

    /// The alert on a share of the budget, where no pair of a run is left.
    fn share_alert(&self, objective: &Objective) -> Option<BudgetShareAlert> {
        let is_needed = self.planned.is_some() && self.pairs.is_empty();
        burn_policy(objective).filter(|_| is_needed).map(|policy| policy.budget_share_alert)
    }
}

/// What a slice has completed.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Closed {
    /// A judged unit.
    pub unit: bool,
    /// A bucket at which burn rates are judged.
    pub burn: bool,
}

impl Closed {
    /// What both have completed.
    pub(crate) fn and(self, other: Self) -> Self {
        Self { unit: self.unit | other.unit, burn: self.burn | other.burn }
    }
}

/// The burn-rate policy of an objective that has one.
pub(crate) fn burn_policy(objective: &Objective) -> Option<&BurnRatePolicy> {
    match &objective.promise {
        Promise::TimeInBounds(promise) => Some(&promise.burn),
        Promise::EventRate(_) | Promise::HardLimit(_) | Promise::Trend(_) | Promise::RecoveryTime(_) => None,
    }
}

/// Whether the objective's rolling budget has a say in its alerts.
pub(crate) fn alerts_on_rolling(objective: &Objective) -> bool {
    match objective.scope {
        Scope::Rolling => true,
        Scope::Run => false,
    }
}
