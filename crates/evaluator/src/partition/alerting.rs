//! Alerts of objectives: burn rates, hard limits, rates and trends, put into states and words.

use std::collections::BTreeMap;

use telemetry::alert::camel_case;
use telemetry::facts::{Cause, Outcome, Scope};
use telemetry::{EventTime, Microseconds, Name};

use super::judging::{is_alerting, objective_of};
use super::{Environment, Partition};
use crate::alert::{self, Condition, Observation, Patience};
use crate::block::BLOCK;
use crate::budget::{Budget, BurnReport, Closed, alerts_on_rolling};
use crate::burn::Burn;
use crate::effect::Effects;
use crate::group::Group;
use crate::objective::{BurnRatePolicy, Objective, Promise, Tier};
use crate::status::{Account, outcome, status};

impl Partition {
    pub(super) fn tell_alerts(
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
            Promise::EventRate(_) | Promise::Trend(_) | Promise::RecoveryTime(_)
                if end.window_start(BLOCK) == end =>
            {
                let group = &self.groups[number];
                let condition = match outcome(objective, group, Account::Rolling) {
                    Outcome::NotOk => Condition::Fires,
                    Outcome::Ok => Condition::Clears,
                    // Too few events to say either way: it stays as it is.
                    Outcome::Unknown
                        if matches!(objective.promise, Promise::EventRate(_) | Promise::RecoveryTime(_)) =>
                    {
                        Condition::Keeps
                    }
                    Outcome::Unknown => Condition::Holds,
                };
                let suffix = match (&objective.promise, objective.name.ends_with("trend")) {
                    (Promise::EventRate(_), _) => "Rate",
                    (Promise::RecoveryTime(_), _) => "Slow",
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
            Promise::TimeInBounds(_)
            | Promise::EventRate(_)
            | Promise::Trend(_)
            | Promise::RecoveryTime(_) => {}
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
    if let Some(recoveries) = &status.recoveries {
        let _ = write!(text, ", {} of {} bursts late", recoveries.late, recoveries.known());
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
