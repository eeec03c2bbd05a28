//! Alerts: from conditions to states. Missing data never resolves one; a missing answer never resets one.
//!
//! burn rates, hard limits, trends, findings → **alert** → transitions

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use telemetry::alert::{AlertState, AlertTransition};
use telemetry::place::Place;
use telemetry::{EventTime, Labels, Microseconds, Name};

use crate::effect::{Effect, Effects};

/// What is known about the thing that an alert is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Condition {
    /// It is so.
    Fires,
    /// It was so, and is not yet over for long enough.
    Keeps,
    /// Nothing can be said.
    Holds,
    /// It is not so.
    Clears,
}

/// How long an alert waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Patience {
    /// The condition must hold for this long before it fires.
    pub before: Microseconds,
    /// It goes on for this long after the condition.
    pub after: Microseconds,
    /// A hold becomes a page of its own after this.
    pub hold: Microseconds,
}

impl Patience {
    /// Fires at once, ends at once, holds for six hours.
    pub(crate) const NONE: Self =
        Self { before: Microseconds::ZERO, after: Microseconds::ZERO, hold: Microseconds::from_hours(6) };
}

/// What an alert is told.
#[derive(Debug, Clone)]
pub(crate) struct Observation {
    /// Event time.
    pub time: EventTime,
    /// What is so.
    pub condition: Condition,
    /// One sentence for people.
    pub reason: String,
    /// More for people.
    pub annotations: BTreeMap<Name, String>,
    /// Why nobody is to be told.
    pub suppressed: Option<String>,
}

/// One alert that is not inactive.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Machine {
    /// The latest change, as it was told.
    transition: AlertTransition,
    /// When it began to be pending, firing, on hold.
    active_at: EventTime,
    fired_at: Option<EventTime>,
    held_since: Option<EventTime>,
    /// When the condition was seen last.
    seen_at: EventTime,
}

/// All alerts of a partition that are not inactive, by their labels.
#[derive(Debug, Default, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Alerts {
    machines: BTreeMap<Labels, Machine>,
}

/// The labels of an alert: its identity.
pub(crate) fn labels(alertname: &str, severity: &str, place: &Place, source: (&str, &Name)) -> Labels {
    let mut labels: Labels = place.levels().map(|(level, name)| (Name::from(level), name.clone())).collect();
    labels.insert("alertname".into(), alertname.into());
    labels.insert("severity".into(), severity.into());
    labels.insert(source.0.into(), source.1.clone());
    labels
}

impl Alerts {
    /// Tells one alert what is known now.
    pub(crate) fn observe(
        &mut self,
        labels: &Labels,
        patience: Patience,
        seen: Observation,
        effects: &mut Effects,
    ) {
        match self.machines.get_mut(labels) {
            None if seen.condition == Condition::Fires => self.begin(labels, patience, seen, effects),
            None => {}
            Some(machine) => {
                if let Some(to) = machine.next(patience, &seen) {
                    let time = seen.time;
                    machine.change(to, seen, effects);
                    if to == AlertState::UnknownHold {
                        machine.held_since = Some(time);
                    }
                    if matches!(to, AlertState::Inactive | AlertState::Resolved) {
                        self.machines.remove(labels);
                    }
                    self.page_for_hold(labels, time, None, effects);
                } else if machine.transition.to == AlertState::UnknownHold {
                    let since = machine.held_since.unwrap_or(seen.time);
                    let overdue = (patience.hold <= seen.time - since).then(|| {
                        format!(
                            "no data for {} whether this goes on: {}",
                            seen.time - since,
                            machine.transition.reason
                        )
                    });
                    self.page_for_hold(labels, seen.time, overdue, effects);
                }
            }
        }
    }

    fn begin(&mut self, labels: &Labels, patience: Patience, seen: Observation, effects: &mut Effects) {
        let to = match (&seen.suppressed, patience.before) {
            (Some(_), _) => AlertState::Suppressed,
            (None, Microseconds::ZERO) => AlertState::Firing,
            (None, _) => AlertState::Pending,
        };
        let time = seen.time;
        let mut machine = Machine {
            transition: AlertTransition {
                alertname: labels.get("alertname").cloned().unwrap_or_else(|| "".into()),
                labels: labels.clone(),
                from: AlertState::Inactive,
                to: AlertState::Inactive,
                time,
                since: time,
                reason: String::new(),
                annotations: BTreeMap::new(),
            },
            active_at: time,
            fired_at: None,
            held_since: None,
            seen_at: time,
        };
        machine.change(to, seen, effects);
        self.machines.insert(labels.clone(), machine);
    }

    /// An alert on hold for too long is a page of its own; it ends with the hold.
    fn page_for_hold(
        &mut self,
        labels: &Labels,
        time: EventTime,
        overdue: Option<String>,
        effects: &mut Effects,
    ) {
        /// Ends the name of the page about a hold.
        const SUFFIX: &str = "OnHold";
        let Some(alertname) = labels.get("alertname").filter(|name| !name.ends_with(SUFFIX)) else { return };
        let mut own = labels.clone();
        own.insert("alertname".into(), format!("{alertname}{SUFFIX}").into());
        own.insert("severity".into(), "page".into());
        let condition = if overdue.is_some() { Condition::Fires } else { Condition::Clears };
        if overdue.is_none() && !self.machines.contains_key(&own) {
            return;
        }
        let reason = overdue.unwrap_or_else(|| "there is data again, or the alert is over".to_owned());
        let seen = Observation { time, condition, reason, annotations: BTreeMap::new(), suppressed: None };
        self.observe(&own, Patience::NONE, seen, effects);
    }

    /// Ends all alerts for which `is_gone` holds.
    pub(crate) fn end_where(
        &mut self,
        is_gone: impl Fn(&Labels) -> bool,
        time: EventTime,
        reason: &str,
        effects: &mut Effects,
    ) {
        let gone: Vec<Labels> = self.machines.keys().filter(|labels| is_gone(labels)).cloned().collect();
        for labels in gone {
            let seen = Observation {
                time,
                condition: Condition::Clears,
                reason: reason.to_owned(),
                annotations: BTreeMap::new(),
                suppressed: None,
            };
            if let Some(mut machine) = self.machines.remove(&labels) {
                let to = machine.ended();
                machine.change(to, seen, effects);
            }
        }
    }

    /// Whether no alert is anything but inactive.
    pub(crate) fn is_empty(&self) -> bool {
        self.machines.is_empty()
    }

    /// Whether the alert of these labels is anything but inactive.
    pub(crate) fn is_active(&self, labels: &Labels) -> bool {
        self.machines.contains_key(labels)
    }

    /// The latest change of each.
    pub(crate) fn transitions(&self) -> impl Iterator<Item = &AlertTransition> {
        self.machines.values().map(|machine| &machine.transition)
    }
}

impl Machine {
    /// The state to change to, if any.
    fn next(&mut self, patience: Patience, seen: &Observation) -> Option<AlertState> {
        if seen.condition == Condition::Fires {
            self.seen_at = self.seen_at.max(seen.time);
        }
        let state = self.transition.to;
        let may_fire = patience.before <= seen.time - self.active_at;
        let is_over = patience.after <= seen.time - self.seen_at;
        let next = match (state, seen.condition) {
            (_, Condition::Clears) if !is_over && self.fired_at.is_some() => state,
            (_, Condition::Clears) => self.ended(),
            (_, Condition::Fires) if seen.suppressed.is_some() => AlertState::Suppressed,
            (AlertState::Suppressed, Condition::Fires) if !may_fire => AlertState::Pending,
            (AlertState::Pending, Condition::Fires) if !may_fire => AlertState::Pending,
            (_, Condition::Fires) => AlertState::Firing,
            (AlertState::Firing | AlertState::UnknownHold, Condition::Holds) => AlertState::UnknownHold,
            (AlertState::Firing | AlertState::UnknownHold, Condition::Keeps) => AlertState::Firing,
            (
                AlertState::Pending | AlertState::Suppressed | AlertState::Inactive | AlertState::Resolved,
                Condition::Holds | Condition::Keeps,
            ) => state,
        };
        (next != state).then_some(next)
    }

    /// The state after it is over: nobody hears of the end of what nobody was told.
    fn ended(&self) -> AlertState {
        match self.fired_at {
            Some(_) => AlertState::Resolved,
            None => AlertState::Inactive,
        }
    }

    fn change(&mut self, to: AlertState, seen: Observation, effects: &mut Effects) {
        if to == AlertState::Firing {
            self.fired_at.get_or_insert(seen.time);
        }
        if to != AlertState::UnknownHold {
            self.held_since = None;
        }
        let mut annotations = seen.annotations;
        if to == AlertState::UnknownHold {
            annotations.insert("data_state".into(), "unknown".to_owned());
        }
        if let Some(why) = &seen.suppressed {
            annotations.insert("suppressed_by".into(), why.clone());
        }
        self.transition = AlertTransition {
            from: self.transition.to,
            to,
            time: seen.time,
            since: self.fired_at.unwrap_or(self.active_at),
            reason: seen.reason,
            annotations,
            alertname: self.transition.alertname.clone(),
            labels: self.transition.labels.clone(),
        };
        effects.push(Effect::Alert(Box::new(self.transition.clone())));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> EventTime {
        EventTime::from_unix_micros(seconds * 1_000_000)
    }

    struct Alarm {
        alerts: Alerts,
        labels: Labels,
        patience: Patience,
    }

    impl Alarm {
        fn new(before: i64, after: i64, hold: i64) -> Self {
            let seconds = Microseconds::from_seconds;
            let labels =
                Labels::from([("alertname".into(), "Hot".into()), ("severity".into(), "ticket".into())]);
            let patience = Patience { before: seconds(before), after: seconds(after), hold: seconds(hold) };
            Self { alerts: Alerts::default(), labels, patience }
        }

        fn see(&mut self, seconds: i64, condition: Condition) -> Vec<String> {
            self.see_suppressed(seconds, condition, None)
        }

        fn see_suppressed(&mut self, seconds: i64, condition: Condition, why: Option<&str>) -> Vec<String> {
            let mut effects = Effects::default();
            let seen = Observation {
                time: at(seconds),
                condition,
                reason: "it is hot".to_owned(),
                annotations: BTreeMap::new(),
                suppressed: why.map(str::to_owned),
            };
            self.alerts.observe(&self.labels, self.patience, seen, &mut effects);
            let told = effects.list.iter().map(|effect| match effect {
                Effect::Alert(alert) => format!("{} {}", alert.alertname, alert.to.name()),
                other => panic!("{other:?}"),
            });
            told.collect()
        }
    }

    #[test]
    fn a_gap_resets_neither_pending_nor_firing() {
        let mut alarm = Alarm::new(60, 0, 100_000);
        assert_eq!(alarm.see(0, Condition::Fires), ["Hot pending"]);
        assert!(alarm.see(30, Condition::Holds).is_empty());
        assert_eq!(alarm.see(60, Condition::Fires), ["Hot firing"]);
        assert_eq!(alarm.see(70, Condition::Holds), ["Hot unknown_hold"]);
        assert_eq!(alarm.see(80, Condition::Fires), ["Hot firing"]);
        assert_eq!(alarm.see(90, Condition::Clears), ["Hot resolved"]);
        assert!(alarm.see(100, Condition::Clears).is_empty());
    }

    #[test]
    fn it_keeps_firing_after_the_condition() {
        let mut alarm = Alarm::new(0, 300, 100_000);
        assert_eq!(alarm.see(0, Condition::Fires), ["Hot firing"]);
        assert!(alarm.see(299, Condition::Clears).is_empty());
        assert_eq!(alarm.see(300, Condition::Clears), ["Hot resolved"]);
    }

    #[test]
    fn a_hold_without_end_becomes_a_page_of_its_own() {
        let mut alarm = Alarm::new(0, 0, 3_600);
        alarm.see(0, Condition::Fires);
        alarm.see(10, Condition::Holds);
        assert!(alarm.see(3_000, Condition::Holds).is_empty());
        assert_eq!(alarm.see(3_610, Condition::Holds), ["HotOnHold firing"]);
        assert!(alarm.see(3_620, Condition::Holds).is_empty());
        assert_eq!(alarm.see(3_630, Condition::Clears), ["Hot resolved", "HotOnHold resolved"]);
    }

    #[test]
    fn a_suppressed_alert_is_told_to_nobody_until_its_cause_is_gone() {
        let mut alarm = Alarm::new(0, 0, 3_600);
        assert_eq!(alarm.see_suppressed(0, Condition::Fires, Some("maintenance")), ["Hot suppressed"]);
        assert_eq!(alarm.see(10, Condition::Fires), ["Hot firing"]);
        assert_eq!(alarm.see_suppressed(20, Condition::Fires, Some("maintenance")), ["Hot suppressed"]);
        assert_eq!(alarm.see(30, Condition::Clears), ["Hot resolved"]);
        assert_eq!(alarm.see_suppressed(40, Condition::Fires, Some("maintenance")), ["Hot suppressed"]);
        assert_eq!(alarm.see(50, Condition::Clears), ["Hot inactive"]);
    }
}
