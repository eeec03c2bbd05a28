//! At the end of a slice: groups are judged, and their statuses told.

use telemetry::facts::{Cause, ObjectiveStatus, Outcome, UnknownReason};
use telemetry::{EventTime, Name};

use super::{Environment, Partition};
use crate::block::BLOCK;
use crate::effect::{Effect, Effects, StatusRow};
use crate::group::{Group, Surroundings};
use crate::objective::Objective;
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
            let (racks, site) = (&*racks, &environment.in_force.site);
            let is_maintained = Self::maintained(racks);
            let nominal_power = |rack: &Name| {
                racks.get(rack)?.nominal_power(site.rack(rack).and_then(|rack| rack.nominal_power))
            };
            let surroundings =
                Surroundings { series, is_maintained: &is_maintained, nominal_power: &nominal_power };
            groups[number].judge_slice(objective, end, &surroundings, scratch)
        };
        self.tell_bursts(number, objective, end, environment, effects);
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
        status.doubts = self.doubts_of(group, position);
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
                    | UnknownReason::NotEnoughEvidence
                    | UnknownReason::NotComparable,
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
}

/// The objective that a group is about.
pub(super) fn objective_of<'a>(group: &Group, environment: Environment<'a>) -> Option<&'a Objective> {
    environment.in_force.objectives.get(group.planned.as_ref()?.objective)
}

/// Limits of gate policies are judged without alerts.
pub(super) fn is_alerting(group: &Group, environment: Environment<'_>) -> bool {
    group.planned.as_ref().is_some_and(|planned| planned.objective < environment.in_force.needs_from)
}

pub(super) fn push_status(
    status: ObjectiveStatus,
    time: EventTime,
    environment: Environment<'_>,
    effects: &mut Effects,
) {
    let configuration = environment.in_force.hash.clone();
    effects.push(Effect::Status(Box::new(StatusRow { status, time, configuration })));
}
