//! What people do: runs begin and end, racks are worked on, sensors are calibrated.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use telemetry::place::Place;
use telemetry::record::Calibration;
use telemetry::{EventTime, Name};

use super::judging::{objective_of, push_status};
use super::{Environment, Partition};
use crate::detectors;
use crate::detectors::residual::Baseline;
use crate::effect::Effects;
use crate::finding::FindingKey;
use crate::group::Surroundings;
use crate::plan::touches;
use crate::rack::Maintenance;
use crate::reading::is_possible;
use crate::run::Run;
use crate::status::Account;

/// What a calibration makes worthless, from its time on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Forgetting {
    /// In force from then.
    time: EventTime,
    /// The place that was calibrated.
    place: Place,
    /// Whether baselines are taken anew as well.
    are_baselines: bool,
}

impl Partition {
    /// A run begins.
    pub(crate) fn begin_run(&mut self, run: &Run, environment: Environment<'_>, effects: &mut Effects) {
        self.follow(environment, effects);
        self.join_run(run, environment);
    }

    /// Whether a run concerns a rack of this partition.
    pub(crate) fn is_in(&self, run: &Run) -> bool {
        run.facts.racks.iter().any(|rack| self.racks.contains_key(rack))
    }

    /// Takes part in a run, with all racks, series and groups that do not yet.
    pub(super) fn join_run(&mut self, run: &Run, environment: Environment<'_>) {
        if !self.is_in(run) || !run.is_active() {
            return;
        }
        let facts = &run.facts;
        for rack in &facts.racks {
            let Some(state) = self.racks.get_mut(rack) else { continue };
            if state.run.as_ref() != Some(&facts.run) {
                state.begin_run(&facts.run, facts.start);
            }
            for number in self.layout.racks.get(rack).iter().flat_map(|series| &series.all) {
                self.series[*number as usize].known.begin_run(facts.start);
            }
        }
        let position = self.position.unwrap_or(EventTime::MINIMUM);
        let Environment { in_force, runs, .. } = environment;
        // Final statuses stay until their racks have another run.
        let is_replaced = |other: &str| {
            runs.get(other).is_none_or(|other| {
                !other.is_active() && other.facts.racks.iter().any(|rack| facts.racks.contains(rack))
            })
        };
        for group in &mut self.groups {
            let is_concerned = group.place.rack.as_ref().is_none_or(|rack| facts.racks.contains(rack));
            if !is_concerned || group.runs.iter().any(|known| known.run == facts.run) {
                continue;
            }
            group.runs.retain(|known| !(known.is_final && is_replaced(&known.run)));
            let Some(planned) = &group.planned else { continue };
            let objective = &in_force.objectives[planned.objective];
            group.begin_run(objective, &facts.run, facts.start, run.planned(), position);
        }
    }

    /// A run has ended: its data is awaited up to `end`.
    pub(crate) fn end_run(&mut self, run: &Run, end: EventTime) {
        if !self.is_in(run) {
            return;
        }
        self.ending.insert(run.facts.run.clone(), end);
        for group in &mut self.groups {
            for budget in group.runs.iter_mut().filter(|budget| budget.run == run.facts.run) {
                budget.to = Some(end);
            }
        }
        for rack in &run.facts.racks {
            if let Some(state) = self.racks.get_mut(rack) {
                state.end_run(&run.facts.run, end);
            }
            for number in self.layout.racks.get(rack).iter().flat_map(|series| &series.all) {
                self.series[*number as usize].known.end_run(end);
            }
        }
    }

    /// Whether a run's last data is still awaited here.
    pub(crate) fn awaits(&self, run: &str) -> bool {
        self.ending.contains_key(run)
    }

    /// Work on a rack begins, or ends at `time` when there is none. Says whether the rack is of this partition.
    pub(crate) fn maintain(&mut self, rack: &str, work: Option<Maintenance>, time: EventTime) -> bool {
        let Some(state) = self.racks.get_mut(rack) else { return false };
        match (work, &mut state.maintenance) {
            (Some(work), _) => state.maintenance = Some(work),
            (None, Some(known)) => known.until = known.until.min(time),
            (None, None) => {}
        }
        true
    }

    /// Burn-rate windows that are too short for a run of its length, as `objective long/short`.
    pub(crate) fn dropped_pairs(&self, run: &Run) -> BTreeSet<String> {
        let budgets = self.groups.iter().flat_map(|group| {
            group
                .runs
                .iter()
                .filter(|known| known.run == run.facts.run)
                .map(|known| (&group.objective, known))
        });
        budgets
            .flat_map(|(objective, known)| {
                known.budget.dropped.iter().map(move |pair| format!("{objective} {pair}"))
            })
            .collect()
    }

    /// Baselines of a run's racks and their loop, by detector and place, for its row.
    pub(crate) fn baselines(&self, run: &Run) -> BTreeMap<String, Baseline> {
        let is_concerned =
            |place: &Place| place.rack.as_ref().is_none_or(|rack| run.facts.racks.contains(rack));
        let baselines = self.residuals.iter().filter(|((_, place), _)| is_concerned(place));
        baselines
            .filter_map(|((detector, place), state)| {
                Some((format!("{detector} of {place}"), state.baseline?))
            })
            .collect()
    }

    /// A sensor was calibrated, or baselines are to be taken anew, from `time` on. Says whether that concerns this
    /// partition.
    pub(crate) fn calibrate(&mut self, calibration: &Calibration, time: EventTime) -> bool {
        let identity = &calibration.identity;
        let Some(place) = self.with_loop(&identity.place) else { return false };
        let are_baselines = match (&*calibration.kind, calibration.value) {
            ("offset", Some(offset)) if !is_possible(offset) => return false,
            ("offset", Some(offset)) => {
                let known = (0..).zip(&self.declarations).zip(&mut self.series);
                for ((number, declaration), series) in known {
                    if declaration.identity == *identity && !self.gone.contains(&number) {
                        series.calibrate(time, offset);
                    }
                }
                false
            }
            _ => true,
        };
        let known =
            self.forgetting.iter_mut().find(|one| one.place == place && one.are_baselines == are_baselines);
        match known {
            Some(known) => known.time = known.time.max(time),
            None => self.forgetting.push(Forgetting { time, place, are_baselines }),
        }
        true
    }

    /// A place of this partition with the loop filled in; none of another one.
    fn with_loop(&self, place: &Place) -> Option<Place> {
        match &place.rack {
            Some(rack) => {
                let whole = &self.racks.get(rack)?.place;
                (whole.site == place.site)
                    .then(|| Place { cooling_loop: whole.cooling_loop.clone(), ..place.clone() })
            }
            None => {
                let is_here =
                    |known: &Place| known.site == place.site && known.cooling_loop == place.cooling_loop;
                self.layout.places().any(is_here).then(|| place.clone())
            }
        }
    }

    /// At the end of a block, after its residuals were seen: no baseline holds a block that began before the
    /// calibration.
    pub(super) fn forget_calibrated(&mut self, end: EventTime, effects: &mut Effects) {
        let (due, later) = std::mem::take(&mut self.forgetting).into_iter().partition(|one| one.time <= end);
        self.forgetting = later;
        let due: Vec<Forgetting> = due;
        for Forgetting { place, are_baselines, .. } in due {
            // Batches of runs before and after are of different sensors.
            for state in self.racks.values_mut().filter(|state| touches(&state.place, &place)) {
                state.comparison.forget();
            }
            if are_baselines {
                self.forget_baselines(&place, end, effects);
            }
        }
    }

    /// Baselines at a place, below it, and of the loop that it is a part of, are taken anew. What was found against
    /// them ends: nobody could say any more when it is over.
    pub(super) fn forget_baselines(&mut self, place: &Place, end: EventTime, effects: &mut Effects) {
        let mut found = Vec::new();
        self.residuals.retain(|(detector, component), state| {
            let is_kept = !touches(component, place);
            if !is_kept && state.alarm {
                found.push((detector.clone(), component.clone()));
            }
            is_kept
        });
        for (name, component) in found {
            let Some(detector) = detectors::detector(&name) else { continue };
            self.close(detector, &FindingKey::of_place(detector, component), end, effects);
        }
        for state in self.racks.values_mut().filter(|state| touches(&state.place, place)) {
            state.headroom.forget();
        }
        self.headroom.forget();
        self.forget_watches(place, end, effects);
        self.forget_noise(|component| touches(component, place), end, effects);
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
        self.finished = self.finished.max(Some(end));
        let all = 0..u32::try_from(self.series.len()).unwrap_or(u32::MAX);
        self.settle(all, end);
        self.take_events(end, effects);
        for series in &mut self.series {
            series.integrate(end);
        }
        self.measure(end, environment);
        if let Some(run) = environment.runs.get(run) {
            self.remember_run(run, end, environment);
        }
        for number in 0..self.groups.len() {
            let Some(which) = self.groups[number].runs.iter().position(|known| &*known.run == run) else {
                continue;
            };
            let Some(objective) = objective_of(&self.groups[number], environment) else { continue };
            {
                let Self { groups, series, racks, scratch, .. } = self;
                let (racks, site) = (&*racks, &environment.in_force.site);
                let is_maintained = Self::maintained(racks);
                let nominal_power = |rack: &Name| {
                    racks.get(rack)?.nominal_power(site.rack(rack).and_then(|rack| rack.nominal_power))
                };
                let surroundings =
                    Surroundings { series, is_maintained: &is_maintained, nominal_power: &nominal_power };
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
