//! At the end of a slice: groups are judged, their statuses and alerts told.

use std::collections::BTreeMap;

use telemetry::alert::camel_case;
use telemetry::facts::{Cause, ObjectiveStatus, Outcome, Scope, UnknownReason};
use telemetry::{EventTime, Microseconds, Name};

use super::{Environment, Partition};
use crate::alert::{self, Condition, Observation, Patience};
use crate::block::BLOCK;
use crate::budget::{Budget, BurnReport, Closed, alerts_on_rolling};
use crate::burn::Burn;
use crate::effect::{Effect, Effects, StatusRow};
use crate::group::{Group, Surroundings};
use crate::objective::{BurnRatePolicy, Objective, Promise, Tier};
use crate::status::{Account, outcome, status};

impl Partition {
    /// Judges all slices that end at `end`.
    pub(super) fn close_slices(
        &mut self,
        end: EventTime,
        environment: Environment<'_>,
        effects: &mut Effects,
    ) {
        for number in 0..self.layout.slices.len() {
            if end.window_start(self.layout.slices[number].length) == end {
                let slices = std::mem::take(&mut self.layout.slices[number].series);
                self.settle(slices.iter().copied(), end);
                self.layout.slices[number].series = slices;
            }
        }
        self.take_events(end, effects);
        for number in 0..self.layout.slices.len() {
            if end.window_start(self.layout.slices[number].length) != end {
                continue;
            }
            let groups = std::mem::take(&mut self.layout.slices[number].groups);
            for group in &groups {
                self.judge_group(*group, end, environment, effects);
            }
            self.layout.slices[number].groups = groups;
        }
    }

    fn judge_group(
        &mut self,
        number: usize,
        end: EventTime,
        environment: Environment<'_>,
        effects: &mut Effects,
    ) {
        let Some(objective) = objective_of(&self.groups[number], environment) else { return };
        let closed = {
            let Self { groups, series, racks, scratch, .. } = self;
            let is_maintained = Self::maintained(racks);
            let surroundings = Surroundings { series, is_maintained: &is_maintained };
            groups[number].judge_slice(objective, end, &surroundings, scratch)
        };
        if closed.unit {
            self.tell_statuses(number, objective, end, environment, effects);
        }
        if is_alerting(&self.groups[number], environment) {
            self.tell_alerts(number, objective, closed, end, effects);
        }
    }

    /// Tells the statuses whose outcome has changed, and all once a minute.
    fn tell_statuses(
        &mut self,
        number: usize,
        objective: &Objective,
        end: EventTime,
        environment: Environment<'_>,
        effects: &mut Effects,
    ) {
        let is_minute = end.window_start(BLOCK) == end;
        let is_due = |told: Option<(Outcome, EventTime)>, now: Outcome| match told {
            Some((before, at)) => before != now || (is_minute && at < end),
            None => true,
        };
        let group = &self.groups[number];
        let now = outcome(objective, group, Account::Rolling);
        if group.rolling.since.is_some() && is_due(group.rolling.told, now) {
            let status = self.status_of(group, objective, Account::Rolling, environment, end);
            push_status(status, end, environment, effects);
            self.groups[number].rolling.told = Some((now, end));
        }
        for run in 0..self.groups[number].runs.len() {
            let group = &self.groups[number];
            let account = Account::Run(&group.runs[run]);
            if group.runs[run].is_final || end <= group.runs[run].from {
                continue;
            }
            let now = outcome(objective, group, account);
            if is_due(group.runs[run].budget.told, now) {
                let status = self.status_of(group, objective, account, environment, end);
                push_status(status, end, environment, effects);
                self.groups[number].runs[run].budget.told = Some((now, end));
            }
        }
    }

    pub(super) fn status_of(
        &self,
        group: &Group,
        objective: &Objective,
        account: Account<'_>,
        environment: Environment<'_>,
        position: EventTime,
    ) -> ObjectiveStatus {
        let mut status = status(objective, group, account, Cause::Unknown, position);
        status.cause = match status.outcome {
            Outcome::Ok => Cause::Unknown,
            Outcome::NotOk => self.cause_of(group, environment),
            Outcome::Unknown => match status.unknown_reason {
                Some(
                    UnknownReason::Stale
                    | UnknownReason::Invalid
                    | UnknownReason::SensorFault
                    | UnknownReason::Distrusted
                    | UnknownReason::NeverSeen,
                ) => Cause::Sensor,
                Some(
                    UnknownReason::Maintenance
                    | UnknownReason::LowCoverage
                    | UnknownReason::WindowIncomplete
                    | UnknownReason::Uncalibrated
                    | UnknownReason::NotEnoughEvidence,
                )
                | None => Cause::Unknown,
            },
        };
        status
    }

    /// Whose doing it is that a group is not ok: the facility's when it is about the loop, when the loop has a
    /// finding, or when more than half of the loop's racks are not ok either; the release's under a run; else the
    /// rack's.
    pub(super) fn cause_of(&self, group: &Group, environment: Environment<'_>) -> Cause {
        let Some(rack) = &group.place.rack else { return Cause::Facility };
        let of_loop = self
            .findings
            .iter()
            .any(|finding| finding.place.rack.is_none() && finding.cause == Cause::Facility);
        if of_loop {
            return Cause::Facility;
        }
        let run = environment.runs.active_on(rack);
        let peers = self.groups.iter().filter(|peer| peer.objective == group.objective);
        let outside = peers.filter(|peer| {
            let rack = peer.place.rack.as_ref();
            rack.is_some_and(|rack| run.is_none_or(|run| !run.facts.racks.contains(rack)))
        });
        let (mut all, mut broken) = (0, 0);
        for peer in outside {
            let Some(objective) = objective_of(peer, environment) else { continue };
            all += 1;
            broken += usize::from(outcome(objective, peer, Account::Rolling) == Outcome::NotOk);
        }
        match run {
            _ if all >= 2 && broken * 2 > all => Cause::Facility,
            Some(_) => Cause::Release,
            None => Cause::Rack,
        }
    }

    fn tell_alerts(
        &mut self,
        number: usize,
        objective: &Objective,
        closed: Closed,
        end: EventTime,
        effects: &mut Effects,
    ) {
        match &objective.promise {
            Promise::TimeInBounds(promise) if closed.burn || closed.unit => {
                self.tell_burn(number, objective, &promise.burn, end, effects);
            }
            Promise::HardLimit(_) => self.tell_limit(number, objective, end, effects),
            Promise::EventRate(_) | Promise::Trend(_) if end.window_start(BLOCK) == end => {
                let group = &self.groups[number];
                let condition = match outcome(objective, group, Account::Rolling) {
                    Outcome::NotOk => Condition::Fires,
                    Outcome::Ok => Condition::Clears,
                    // Too few events to say either way: it stays as it is.
                    Outcome::Unknown if matches!(objective.promise, Promise::EventRate(_)) => {
                        Condition::Keeps
                    }
                    Outcome::Unknown => Condition::Holds,
                };
                let suffix = match (&objective.promise, objective.name.ends_with("trend")) {
                    (Promise::EventRate(_), _) => "Rate",
                    (_, true) => "",
                    (_, false) => "Trend",
                };
                self.tell(
                    number,
                    objective,
                    suffix,
                    objective.tier,
                    Patience::NONE,
                    condition,
                    end,
                    None,
                    effects,
                );
            }
            Promise::TimeInBounds(_) | Promise::EventRate(_) | Promise::Trend(_) => {}
        }
    }

    fn tell_burn(
        &mut self,
        number: usize,
        objective: &Objective,
        policy: &BurnRatePolicy,
        end: EventTime,
        effects: &mut Effects,
    ) {
        let patience = patience(policy);
        // An objective that only writes tickets writes one for its pages too.
        let tiers: &[(Tier, &[Tier])] = match objective.tier {
            Tier::Page => &[(Tier::Page, &[Tier::Page]), (Tier::Ticket, &[Tier::Ticket])],
            Tier::Ticket => &[(Tier::Ticket, &[Tier::Page, Tier::Ticket])],
        };
        for (told, of) in tiers {
            let group = &self.groups[number];
            let rolling = Some(&group.rolling).filter(|_| alerts_on_rolling(objective));
            let runs = group.runs.iter().filter(|run| !run.is_final).map(|run| &run.budget);
            let budgets: Vec<&Budget> = rolling.into_iter().chain(runs).collect();
            let reports =
                budgets.iter().flat_map(|budget| of.iter().map(|tier| budget.report(objective, *tier)));
            let report = reports.reduce(worse_report);
            let Some(report) = report else { continue };
            let condition = match report.burn {
                Burn::Fires => Condition::Fires,
                Burn::Holds => Condition::Holds,
                Burn::Clears => Condition::Clears,
            };
            self.tell(
                number,
                objective,
                "BudgetBurn",
                *told,
                patience,
                condition,
                end,
                Some(&report),
                effects,
            );
        }
    }

    /// Tells the alert of a hard limit what its places say now.
    pub(super) fn tell_limit(
        &mut self,
        number: usize,
        objective: &Objective,
        time: EventTime,
        effects: &mut Effects,
    ) {
        let latches = self.groups[number].members.iter().filter_map(|member| member.latch.as_ref());
        let mut condition = Condition::Clears;
        for latch in latches {
            condition = match condition {
                _ if latch.is_bad => Condition::Fires,
                Condition::Fires => Condition::Fires,
                _ if latch.is_unknown => Condition::Holds,
                Condition::Holds => Condition::Holds,
                Condition::Keeps | Condition::Clears => Condition::Keeps,
            };
        }
        self.tell(number, objective, "Critical", Tier::Page, Patience::NONE, condition, time, None, effects);
    }

    #[allow(clippy::too_many_arguments)] // One place where an alert's identity, state and words meet.
    fn tell(
        &mut self,
        number: usize,
        objective: &Objective,
        suffix: &str,
        tier: Tier,
        patience: Patience,
        condition: Condition,
        time: EventTime,
        report: Option<&BurnReport>,
        effects: &mut Effects,
    ) {
        // Most of the time there is nothing to say: then nothing is put into words.
        if condition != Condition::Fires && self.alerts.is_empty() {
            return;
        }
        let group = &self.groups[number];
        let alertname = format!("{}{suffix}", camel_case(&objective.name));
        let labels = alert::labels(&alertname, tier.name(), &group.place, ("objective", &objective.name));
        if condition != Condition::Fires && !self.alerts.is_active(&labels) {
            return;
        }
        let suppressed = Self::suppressed(&self.racks, &group.place, time);
        let mut annotations: BTreeMap<Name, String> = BTreeMap::new();
        if let Some(report) = report.filter(|report| !report.windows.is_empty()) {
            annotations.insert("window".into(), report.windows.join(", "));
            if let Some(rate) = report.rate {
                annotations.insert("burn".into(), format!("{rate:.1}"));
            }
        }
        let reason = sentence(objective, group, report, time);
        let seen = Observation { time, condition, reason, annotations, suppressed };
        self.alerts.observe(&labels, patience, seen, effects);
    }

    /// A reading has arrived that hard limits look at.
    pub(super) fn look_at_limits(
        &mut self,
        series: u32,
        time: EventTime,
        value: f64,
        environment: Environment<'_>,
        effects: &mut Effects,
    ) {
        let Some(limits) = self.layout.limits.get(&series) else { return };
        let (mut is_broken, mut is_news) = (false, false);
        for (number, place) in limits.clone() {
            let Some(objective) = objective_of(&self.groups[number], environment) else { continue };
            let Promise::HardLimit(limit) = &objective.promise else { continue };
            let is_reading =
                !(&*objective.signal_text == "leak_state" && value >= telemetry::signal::STATE_UNAVAILABLE);
            if objective.comparison.holds(value, objective.threshold) || !is_reading {
                continue;
            }
            is_broken = true;
            let since = *self.breaches.entry(series).or_insert(time);
            let was_known = self.groups[number].breach_on_arrival().is_some();
            let counts = self.groups[number].observe_breach(limit, place, (since, time), value);
            is_news |= counts && !was_known;
            if counts && is_alerting(&self.groups[number], environment) {
                self.tell_limit(number, objective, time, effects);
            }
        }
        if !is_broken {
            self.breaches.remove(&series);
        }
        if is_news {
            // A gate that is asked now must not say what was so before this reading.
            self.publish_all(environment, effects);
        }
    }

    /// A run's data is here up to its end: judges what is left and tells the final statuses.
    pub(super) fn finish_run(
        &mut self,
        run: &str,
        end: EventTime,
        environment: Environment<'_>,
        effects: &mut Effects,
    ) {
        self.ending.remove(run);
        let all = 0..u32::try_from(self.series.len()).unwrap_or(u32::MAX);
        self.settle(all, end);
        self.take_events(end, effects);
        for series in &mut self.series {
            series.integrate(end);
        }
        self.measure(end, environment);
        for number in 0..self.groups.len() {
            let Some(which) = self.groups[number].runs.iter().position(|known| &*known.run == run) else {
                continue;
            };
            let Some(objective) = objective_of(&self.groups[number], environment) else { continue };
            {
                let Self { groups, series, racks, scratch, .. } = self;
                let is_maintained = Self::maintained(racks);
                let surroundings = Surroundings { series, is_maintained: &is_maintained };
                groups[number].finish_run(run, objective, &surroundings, scratch);
            }
            let group = &self.groups[number];
            let account = Account::Run(&group.runs[which]);
            let status = self.status_of(group, objective, account, environment, end);
            self.groups[number].runs[which].final_status = Some(Box::new(status.clone()));
            push_status(status, end, environment, effects);
        }
    }
}

/// The objective that a group is about.
pub(super) fn objective_of<'a>(group: &Group, environment: Environment<'a>) -> Option<&'a Objective> {
    environment.in_force.objectives.get(group.planned.as_ref()?.objective)
}

/// Limits of gate policies are judged without alerts.
fn is_alerting(group: &Group, environment: Environment<'_>) -> bool {
    group.planned.as_ref().is_some_and(|planned| planned.objective < environment.in_force.needs_from)
}

fn push_status(
    status: ObjectiveStatus,
    time: EventTime,
    environment: Environment<'_>,
    effects: &mut Effects,
) {
    let configuration = environment.in_force.hash.clone();
    effects.push(Effect::Status(Box::new(StatusRow { status, time, configuration })));
}

fn patience(policy: &BurnRatePolicy) -> Patience {
    Patience { before: policy.for_, after: policy.keep_firing_for, hold: policy.hold_timeout }
}

/// Of several budgets one that fires is enough, and one on hold is enough not to clear.
fn worse_report(mut one: BurnReport, other: BurnReport) -> BurnReport {
    let rank = |burn| match burn {
        Burn::Fires => 2,
        Burn::Holds => 1,
        Burn::Clears => 0,
    };
    if rank(one.burn) < rank(other.burn) {
        one.burn = other.burn;
    }
    one.rate = one.rate.or(other.rate);
    // The rolling budget and that of a run may have the same windows.
    let new = other.windows.into_iter().filter(|window| !one.windows.contains(window)).collect::<Vec<_>>();
    one.windows.extend(new);
    one
}

/// `coolant-dt of site s1, rack r1: coolant … <= 12 K was broken for 300s of 3600s (coverage 100.0 %), last 13.1 K; burn
/// 8.3 over 6h/30m`.
fn sentence(objective: &Objective, group: &Group, report: Option<&BurnReport>, time: EventTime) -> String {
    use std::fmt::Write;
    let account = group
        .runs
        .iter()
        .rfind(|run| !run.is_final)
        .filter(|_| !alerts_on_rolling(objective))
        .map_or(Account::Rolling, Account::Run);
    let status = status(objective, group, account, Cause::Unknown, time);
    let mut text =
        format!("{} of {}: {} {}", objective.name, group.place, status.signal, status.comparison.sign());
    let _ = write!(text, " {} {}", status.threshold, status.unit);
    let _ = write!(text, " broken for {} of {} asked", status.time.bad, status.time.asked());
    if let Some(coverage) = status.time.coverage() {
        let _ = write!(text, ", coverage {:.1} %", 100.0 * coverage);
    }
    if let Some(events) = &status.events {
        let _ = write!(text, ", {} episodes", events.count);
    }
    let latched = group.members.iter().find_map(|member| Some((&member.place, member.latch.as_ref()?)));
    match (latched, &status.last) {
        (Some((place, latch)), _) => {
            let _ = write!(text, ", {} {} at {place}, {}", latch.value, status.unit, latch.bad_at);
        }
        (None, Some(last)) => {
            let _ = write!(text, ", last {:.3} {} at {}", last.value, status.unit, last.place);
        }
        (None, None) => {}
    }
    if let Some(trend) = &status.trend {
        let _ = write!(text, ", slope {:.2} {} an hour", trend.slope_per_hour, status.unit);
        if let Some(left) = trend.time_to_threshold {
            let left = Microseconds::from_seconds(left.0 / 1_000_000);
            let _ = write!(text, ", {left} to the threshold");
        }
    }
    if let Some(report) = report.filter(|report| !report.windows.is_empty()) {
        let _ =
            write!(text, "; burn {:.1} over {}", report.rate.unwrap_or_default(), report.windows.join(", "));
    }
    let window = match account {
        Account::Rolling => Scope::Rolling,
        Account::Run(_) => Scope::Run,
    };
    let _ = match window {
        Scope::Rolling => write!(text, "; window {}", status.window),
        Scope::Run => write!(text, "; run {}", status.run.as_deref().unwrap_or_default()),
    };
    text
}
