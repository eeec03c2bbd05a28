//! What gates may see of the partition's racks, and of its loop.

use std::sync::Arc;

use telemetry::facts::{
    Coverage, Finding, ObjectiveStatus, Observation, Outcome, RackFacts, RunFacts, Scope, UnseenObjective,
};
use telemetry::place::Place;
use telemetry::{EventTime, Name};

use super::comparing::sku_of;
use super::judging::objective_of;
use super::{Environment, Partition};
use crate::effect::{Effect, Effects};
use crate::group::Group;
use crate::objective::{AppliesTo, Objective, Promise};
use crate::rack::RackState;
use crate::run::Run;
use crate::series::Series;
use crate::status::Account;

impl Partition {
    /// Publishes the facts of all racks and of the loop.
    pub(crate) fn publish_all(&self, environment: Environment<'_>, effects: &mut Effects) {
        for facts in self.facts(environment) {
            effects.push(Effect::Publish(facts));
        }
    }

    /// Publishes the facts of a run's racks.
    pub(crate) fn publish_run(&self, run: &Run, environment: Environment<'_>, effects: &mut Effects) {
        for facts in self.facts(environment) {
            if facts.place.rack.as_ref().is_some_and(|rack| run.facts.racks.contains(rack)) {
                effects.push(Effect::Publish(facts));
            }
        }
    }

    /// The facts of all racks in order of their names, then those of the loop.
    pub(crate) fn facts(&self, environment: Environment<'_>) -> Vec<Arc<RackFacts>> {
        let of_loop = self.statuses(None, environment);
        let racks = self.racks.iter().map(|(name, state)| {
            let mut objectives = self.statuses(Some(name), environment);
            objectives.extend(of_loop.iter().cloned());
            let series = self.layout.racks.get(name).map_or(&[][..], |series| &series.with_loop);
            self.facts_of(state.place.clone(), Some((name, state)), objectives, series, environment)
        });
        let mut facts: Vec<Arc<RackFacts>> = racks.map(Arc::new).collect();
        let place = self.layout.places().find(|place| place.cooling_loop.is_some());
        let is_empty = self.layout.of_loop.is_empty() && self.racks.is_empty();
        if let Some(place) = place.filter(|_| !is_empty) {
            let place = Place { rack: None, node: None, device: None, ..place.clone() };
            let series = &self.layout.of_loop;
            facts.push(Arc::new(self.facts_of(place, None, of_loop, series, environment)));
        }
        facts
    }

    fn facts_of(
        &self,
        place: Place,
        rack: Option<(&Name, &RackState)>,
        mut objectives: Vec<ObjectiveStatus>,
        series: &[u32],
        environment: Environment<'_>,
    ) -> RackFacts {
        objectives.sort_by(|one, other| {
            let by_place = one.objective.cmp(&other.objective).then_with(|| one.place.cmp(&other.place));
            by_place.then_with(|| one.scope.cmp(&other.scope)).then_with(|| one.run.cmp(&other.run))
        });
        let name = rack.map(|(name, _)| name);
        let own: &[u32] = match name {
            Some(name) => self.layout.racks.get(name).map_or(&[], |series| &series.all),
            None => series,
        };
        let numbers = || own.iter().map(|number| &self.series[*number as usize]);
        let run = |id: Option<&Name>| -> Option<RunFacts> {
            environment.runs.get(id?).map(|run| run.facts.clone())
        };
        let position = self.position.unwrap_or(EventTime::MINIMUM);
        let of_loop = Place { rack: None, ..place.clone() };
        let declared = match rack {
            Some((_, state)) => state.declared,
            None => self.declarations.iter().any(|declaration| declaration.declared),
        };
        RackFacts {
            declared,
            configuration: environment.in_force.hash.clone(),
            sequence: environment.sequence,
            // Slices that are still open are no part of these facts.
            watermark: self
                .position
                .max(self.finished)
                .or(environment.watermark)
                .unwrap_or(EventTime::MINIMUM),
            first_sample: numbers().filter_map(|series| series.first).min(),
            last_sample: numbers().filter_map(Series::newest).max(),
            unseen: unseen(declared, &objectives, environment),
            objectives,
            findings: self.findings_of(name),
            coverage: self.coverage(series),
            sensors: series.iter().filter_map(|number| self.trust_of(*number, position)).collect(),
            measures: rack.map_or_else(Vec::new, |(_, state)| {
                state.measures.iter().map(|(need, measure)| measure.facts(need)).collect()
            }),
            run: run(rack.and_then(|(_, state)| state.run.as_ref())),
            previous_run: run(rack.and_then(|(_, state)| state.previous_run.as_ref())),
            recovery: rack.and_then(|(_, state)| state.recovery.facts(&place, &of_loop)),
            batches: rack.and_then(|(name, state)| {
                let told = |id: &str| environment.runs.get(id).map_or([false; 3], Run::told);
                state.comparison.facts(sku_of(name, environment), told)
            }),
            headroom: rack.and_then(|(_, state)| state.headroom.latest.clone()),
            maintenance_until: rack
                .and_then(|(_, state)| state.maintenance)
                .filter(|work| position < work.until)
                .map(|work| work.until),
            drills: Vec::new(),
            place,
        }
    }

    fn statuses(&self, rack: Option<&Name>, environment: Environment<'_>) -> Vec<ObjectiveStatus> {
        let position = self.position.unwrap_or(EventTime::MINIMUM);
        let mut statuses = Vec::new();
        for group in self.groups.iter().filter(|group| group.place.rack.as_ref() == rack) {
            let Some(objective) = objective_of(group, environment) else { continue };
            statuses.push(self.status_on_arrival(group, objective, Account::Rolling, environment, position));
            for run in &group.runs {
                statuses.push(match &run.final_status {
                    Some(status) => (**status).clone(),
                    None => {
                        self.status_on_arrival(group, objective, Account::Run(run), environment, position)
                    }
                });
            }
        }
        statuses
    }

    /// The status as gates see it: a reading that breaks a hard limit counts when it arrives, as it does for the
    /// alert. Rows of `slo_status` wait for the slice, so that they do not depend on the order of arrival.
    fn status_on_arrival(
        &self,
        group: &Group,
        objective: &Objective,
        account: Account<'_>,
        environment: Environment<'_>,
        position: EventTime,
    ) -> ObjectiveStatus {
        let mut status = self.status_of(group, objective, account, environment, position);
        let breach = group.breach_on_arrival().filter(|(_, latch)| status.since <= latch.bad_at);
        if let (Promise::HardLimit(_), Some((place, latch))) = (&objective.promise, breach)
            && status.outcome != Outcome::NotOk
        {
            let seen = Observation { value: latch.value, time: latch.bad_at, place: place.clone() };
            status.outcome = Outcome::NotOk;
            status.unknown_reason = None;
            status.cause = self.cause_of(group, environment);
            (status.last, status.worst) = (Some(seen.clone()), Some(seen));
        }
        status
    }

    /// Open findings of a rack and of its loop.
    fn findings_of(&self, rack: Option<&Name>) -> Vec<Finding> {
        let concerns =
            |finding: &&Finding| finding.place.rack.is_none() || finding.place.rack.as_ref() == rack;
        self.findings.iter().filter(concerns).cloned().collect()
    }

    fn coverage(&self, series: &[u32]) -> Vec<Coverage> {
        let mut coverage = Vec::with_capacity(series.len());
        for number in series {
            let of = &self.layout.measured[*number as usize];
            let series = &self.series[*number as usize];
            let Some(first) = series.first else { continue };
            let to = series.integrated.unwrap_or(first);
            let (hour, run) = (series.known.last_hour(first, to), series.known.of_run(to));
            coverage.push(Coverage {
                series: Arc::clone(of),
                known: hour.known,
                asked: hour.asked,
                run_known: run.known,
                run_asked: run.asked,
                last_value: series.latest.map(|latest| latest.value),
                last_time: series.latest.map(|latest| latest.time),
            });
        }
        coverage
    }
}

/// The objectives that are about such a rack and have no status among these.
fn unseen(
    declared: bool,
    statuses: &[ObjectiveStatus],
    environment: Environment<'_>,
) -> Vec<UnseenObjective> {
    let is_asked = |objective: &&Objective| match objective.applies_to {
        AppliesTo::All => true,
        AppliesTo::Declared => declared,
        AppliesTo::Undeclared => !declared,
    };
    // Statuses are in order of their objectives' names.
    let is_unseen = |objective: &&Objective| {
        statuses.binary_search_by(|status| status.objective.cmp(&objective.name)).is_err()
    };
    let objectives = environment.in_force.objectives.iter().filter(is_asked).filter(is_unseen);
    let mut unseen: Vec<UnseenObjective> = objectives
        .map(|objective| UnseenObjective {
            objective: objective.name.clone(),
            signal: objective.signal_text.clone(),
            unit: objective.unit.clone(),
            comparison: objective.comparison,
            threshold: objective.threshold,
            window: match objective.scope {
                Scope::Rolling => objective.window.to_string().into(),
                Scope::Run => "run".into(),
            },
        })
        .collect();
    unseen.sort_by(|one, other| one.objective.cmp(&other.objective));
    unseen
}
