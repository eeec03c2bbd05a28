//! The evaluator itself: one record after the other in, effects out.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use telemetry::alert::AlertTransition;
use telemetry::drill::{DrillEvent, DrillFacts, DrillRecord};
use telemetry::facts::{RackFacts, RunFacts};
use telemetry::place::{Place, SeriesIdentity};
use telemetry::record::{
    Body, Calibration, Configuration, Fate, MaintenanceEvent, PartitionId, PlaceEvent, Record, RunChange,
    RunEvent, RunState, SampleBatch, Sequence, SeriesDeclaration, SeriesId, VerdictRecord,
};
use telemetry::{EventTime, Name};

use crate::configuration::{self, InForce};
use crate::crew::{Alone, Crew};
use crate::drill::Drills;
use crate::effect::{Counter, Effect, Effects};
pub use crate::partition::ResidualNow;
use crate::partition::{Environment, Partition};
use crate::rack::Maintenance;
use crate::restoring::Restoring;
use crate::rows::{self, Ticks};
use crate::run::{self, Changed, Runs};
use crate::snapshot::{self, SnapshotError};
use crate::together;

/// Partitions that a hand is given at once: enough that none waits for another's large one.
const TASKS_OF_A_HAND: usize = 16;

/// Judges the telemetry of one log stream. Deterministic: equal records in equal order give equal effects.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Evaluator {
    pub(crate) configuration: Option<Configuration>,
    pub(crate) last_tick: Option<EventTime>,
    pub(crate) sequence: Sequence,
    /// Parts of their own in a snapshot.
    #[serde(skip)]
    pub(crate) partitions: BTreeMap<PartitionId, Partition>,
    pub(crate) drills: Drills,
    pub(crate) runs: Runs,
    ticks: Ticks,
    /// What was last told of each place, by place and name: workloads, versions.
    told: BTreeMap<(Place, Name), PlaceEvent>,
    /// The site has changed since series were declared: one that is declared may be known in another partition.
    is_regrouping: bool,
    /// The configuration, parsed.
    #[serde(skip)]
    pub(crate) in_force: InForce,
    /// Where each series is, while the site is being regrouped.
    #[serde(skip)]
    homes: Option<BTreeMap<SeriesIdentity, (PartitionId, u32)>>,
}

impl Evaluator {
    /// Nothing is known yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// The residuals of all detectors as they are now, for plots and drills; by partition, detector and place.
    pub fn residuals(&self) -> impl Iterator<Item = ResidualNow<'_>> {
        self.partitions.values().flat_map(Partition::residuals)
    }

    /// Takes one record and adds what is to be done about it to `effects`, in order. [`Evaluator::apply_together`] does
    /// the same with many.
    pub fn apply(&mut self, sequence: Sequence, record: &Record, effects: &mut Effects) {
        self.apply_with(&Alone, sequence, record, effects);
    }

    pub(crate) fn apply_with(
        &mut self,
        crew: &dyn Crew,
        sequence: Sequence,
        record: &Record,
        effects: &mut Effects,
    ) {
        self.sequence = sequence;
        match &record.body {
            Body::Series(declaration) => self.take_series(record.partition, declaration, effects),
            Body::Samples(batch) => self.take_samples(record.partition, batch, effects),
            Body::Tick(time) => self.take_tick(crew, *time, effects),
            Body::Configuration(configuration) => self.take_configuration(configuration, effects),
            Body::Run(event) => self.take_run(event, effects),
            Body::Calibration(calibration) => self.take_calibration(calibration, effects),
            Body::Maintenance(event) => self.take_maintenance(event, effects),
            Body::Drill(event) => self.take_drill(event, effects),
            Body::Override(given) => {
                effects.push(rows::given_override(given));
                effects.push(rows::log("override", self.last_tick, given));
            }
            Body::Verdict(verdict) => self.take_verdict(verdict, effects),
            Body::Event(event) => {
                self.told.insert((event.place.clone(), event.name.clone()), event.clone());
                effects.push(rows::event(event));
            }
        }
    }

    fn take_series(
        &mut self,
        partition: PartitionId,
        declaration: &Arc<SeriesDeclaration>,
        effects: &mut Effects,
    ) {
        self.partitions.entry(partition).or_insert_with(|| Partition::new(partition)).declare(declaration);
        self.drills.declare(partition, declaration);
        effects.push(rows::log("series", self.last_tick, &**declaration));
        if self.is_regrouping {
            self.bring_home(partition, declaration.id.0, effects);
        }
    }

    /// A series belongs to this partition from here on: what another one remembers of it moves here.
    fn bring_home(&mut self, home: PartitionId, number: u32, effects: &mut Effects) {
        let time = self.watermark().unwrap_or(EventTime::MINIMUM);
        let Self { partitions, homes, .. } = self;
        let homes = homes.get_or_insert_with(|| {
            let of = |(id, partition): (&PartitionId, &Partition)| {
                let id = *id;
                let present =
                    partition.present().map(move |(identity, number)| (identity.clone(), (id, number)));
                present.filter(|(_, home_of)| *home_of != (home, number)).collect::<Vec<_>>()
            };
            partitions.iter().flat_map(of).collect()
        });
        let declaration =
            partitions.get(&home).and_then(|partition| partition.declarations.get(number as usize));
        let Some(identity) = declaration.map(|declaration| declaration.identity.clone()) else { return };
        let before = homes.insert(identity, (home, number)).filter(|(before, _)| *before != home);
        let moving = before
            .and_then(|(before, number)| Some(partitions.get_mut(&before)?.give_up(number, time, effects)));
        if let (Some(moving), Some(partition)) = (moving, partitions.get_mut(&home)) {
            partition.take_over(number, moving);
            self.drills.regroup(time, effects);
        }
    }

    fn take_samples(&mut self, partition: PartitionId, batch: &SampleBatch, effects: &mut Effects) {
        // A rack that comes back to its old loop has its series there already.
        if let Some(home) = self.partitions.get(&partition).filter(|home| home.has_gone()) {
            let back: BTreeSet<u32> =
                batch.series.iter().map(|number| number.0).filter(|number| home.is_gone(*number)).collect();
            for number in back {
                self.bring_home(partition, number, effects);
            }
        }
        let Self { in_force, runs, partitions, drills, .. } = self;
        let watermark = self.last_tick.map(|tick| tick - in_force.allowed_lateness);
        let environment =
            Environment { in_force, runs, sequence: self.sequence, tick: self.last_tick, watermark };
        match partitions.get_mut(&partition) {
            Some(real) => {
                real.take_samples(batch, environment, effects);
                drills.take_samples(partition, batch, real, environment, effects);
            }
            None => {
                effects.fates.extend((0..batch.len()).map(|index| Fate::Stored(batch.flag(index))));
                effects.count(Counter::Undeclared, batch.len() as u64);
            }
        }
    }

    fn take_tick(&mut self, crew: &dyn Crew, time: EventTime, effects: &mut Effects) {
        if self.last_tick >= Some(time) {
            effects.count(Counter::TickBack, u64::from(self.last_tick > Some(time)));
            return;
        }
        effects.extend(self.ticks.take(time));
        self.last_tick = Some(time);
        self.abandon_runs(time, effects);
        self.each_partition(crew, effects, |partition, environment, effects| {
            partition.advance(environment, effects);
        });
        self.finish_runs(effects);
        self.each_copy(effects, |copy, environment, effects| copy.advance(environment, effects));
        self.with_drills(|drills, _, environment| drills.decide(environment, effects));
    }

    /// Runs whose last data is judged in all partitions are final.
    fn finish_runs(&mut self, effects: &mut Effects) {
        let finished: Vec<Name> = self
            .runs
            .open()
            .filter(|run| !run.is_active())
            .filter(|run| !self.partitions.values().any(|partition| partition.awaits(&run.facts.run)))
            .map(|run| run.facts.run.clone())
            .collect();
        for id in finished {
            if let Some(run) = self.runs.get_mut(&id) {
                run.is_final = true;
            }
            self.publish_run(&id, effects);
        }
    }

    fn abandon_runs(&mut self, tick: EventTime, effects: &mut Effects) {
        let last_sample =
            |rack: &Name| self.partitions.values().filter_map(|partition| partition.last_sample(rack)).max();
        let abandoned: Vec<Name> = self
            .runs
            .open()
            .filter(|run| {
                let last = run.facts.racks.iter().filter_map(last_sample).max();
                run.is_abandoned(tick, last)
            })
            .map(|run| run.facts.run.clone())
            .collect();
        for id in abandoned {
            let time = self.watermark().unwrap_or(tick);
            let change = RunChange::End { state: RunState::Abandoned };
            self.take_run_change(&RunEvent { run: id, time, change }, effects);
        }
    }

    fn take_configuration(&mut self, configuration: &Configuration, effects: &mut Effects) {
        effects.push(rows::log("configuration", self.last_tick, configuration));
        match configuration::parse(configuration) {
            Ok(parsed) => {
                let before = self.configuration.replace(configuration.clone());
                let is_other_site = before.is_some_and(|before| before.site != configuration.site);
                self.is_regrouping |= is_other_site && !self.partitions.is_empty();
                self.in_force = parsed.in_force;
                if is_other_site {
                    self.drills.regroup(self.last_tick.unwrap_or(EventTime::MINIMUM), effects);
                }
                effects.count(Counter::ObjectiveRefused, parsed.refused_needs);
                self.each_partition(&Alone, effects, |partition, environment, effects| {
                    partition.reconfigure(environment, effects);
                });
                self.each_copy(effects, |copy, environment, effects| copy.reconfigure(environment, effects));
            }
            Err(_) => effects.count(Counter::ConfigurationRefused, 1),
        }
    }

    fn take_run(&mut self, event: &RunEvent, effects: &mut Effects) {
        effects.push(rows::log("run", self.last_tick, event));
        self.take_run_change(event, effects);
    }

    fn take_run_change(&mut self, event: &RunEvent, effects: &mut Effects) {
        let watermark = self.watermark();
        let changed = self.runs.take(event, watermark);
        let Some(run) = self.runs.get(&event.run).cloned() else {
            effects.count(Counter::RunRefused, 1);
            return;
        };
        match changed {
            Changed::Started => {
                let mut baselines = BTreeMap::new();
                for partition in self.partitions.values().filter(|partition| partition.is_in(&run)) {
                    baselines.extend(partition.baselines(&run));
                }
                let baselines = Some(telemetry::canonical_json(&baselines));
                effects.push(Effect::Row(Box::new(run::row(&run.facts, run.facts.start, None, baselines))));
                self.each_partition(&Alone, effects, |partition, environment, effects| {
                    partition.begin_run(&run, environment, effects);
                });
                self.each_copy(effects, |copy, environment, effects| {
                    copy.begin_run(&run, environment, effects);
                });
                let dropped: BTreeSet<String> =
                    self.partitions.values().flat_map(|partition| partition.dropped_pairs(&run)).collect();
                if !dropped.is_empty() {
                    let pairs = dropped.into_iter().collect::<Vec<_>>().join(", ");
                    let note = format!("burn-rate windows too short for this run, not judged: {pairs}");
                    effects.push(Effect::Row(Box::new(run::row(
                        &run.facts,
                        run.facts.start,
                        Some(&note),
                        None,
                    ))));
                }
            }
            Changed::Ended(end) => {
                effects.push(Effect::Row(Box::new(run::row(&run.facts, end, None, None))));
                for partition in self.partitions.values_mut() {
                    partition.end_run(&run, end);
                }
                self.each_copy(effects, |copy, _, _| copy.end_run(&run, end));
            }
            Changed::Marked => {
                let RunChange::Mark { text } = &event.change else { return };
                effects.push(Effect::Row(Box::new(run::row(&run.facts, event.time, Some(text), None))));
            }
            Changed::Nothing => return,
            Changed::Refused => {
                effects.count(Counter::RunRefused, 1);
                return;
            }
        }
        self.publish_run(&event.run, effects);
    }

    fn take_maintenance(&mut self, event: &MaintenanceEvent, effects: &mut Effects) {
        let from = self.watermark().map_or(event.time, |watermark| watermark.max(event.time));
        effects.push(rows::maintenance(event, from));
        effects.push(rows::log("maintenance", self.last_tick, event));
        self.each_partition(&Alone, effects, |partition, environment, effects| {
            let work = event.until.map(|until| Maintenance { from, until: until.max(from), is_over: false });
            if partition.maintain(&event.rack, work, from) {
                partition.publish_all(environment, effects);
            }
        });
    }

    fn take_calibration(&mut self, calibration: &Calibration, effects: &mut Effects) {
        let time = self.watermark().map_or(calibration.time, |watermark| watermark.max(calibration.time));
        effects.push(rows::calibration(calibration, time));
        effects.push(rows::log("calibration", self.last_tick, calibration));
        self.each_partition(&Alone, effects, |partition, environment, effects| {
            if partition.calibrate(calibration, time) {
                partition.publish_all(environment, effects);
            }
        });
        self.each_copy(effects, |copy, _, _| {
            copy.calibrate(calibration, time);
        });
    }

    fn take_drill(&mut self, event: &DrillEvent, effects: &mut Effects) {
        effects.push(rows::log("drill", self.last_tick, event));
        self.with_drills(|drills, partitions, environment| {
            drills.take(event, partitions, environment, effects);
        });
    }

    fn take_verdict(&mut self, verdict: &VerdictRecord, effects: &mut Effects) {
        effects.push(rows::verdict(verdict));
        let Some(id) = &verdict.run else { return };
        let Some(run) = self.runs.get_mut(id) else { return };
        // A policy that is only tried answers PASS whatever it found. A quote inside a text of the canonical JSON has
        // a backslash before it, so that this is the field and nothing else.
        let is_dry_run = verdict.answer.contains("\"dry_run\":true");
        let told = match &*verdict.verdict {
            "PASS" if is_dry_run => return,
            "PASS" => &mut run.passed,
            // A first run has nothing to be compared with: were that held against it, no run would ever be a baseline.
            "WARN" if verdict.answer.contains("\"without_baseline\":true") => return,
            "WARN" => &mut run.warned,
            "FAIL" => &mut run.facts.failed,
            _ => return,
        };
        let is_new = !std::mem::replace(told, true);
        if is_new {
            self.publish_run(&id.clone(), effects);
        }
    }

    fn publish_run(&self, id: &str, effects: &mut Effects) {
        let Some(run) = self.runs.get(id) else { return };
        for partition in self.partitions.values().filter(|partition| partition.is_in(run)) {
            partition.publish_run(run, self.environment(), effects);
        }
    }

    pub(crate) fn environment(&self) -> Environment<'_> {
        Environment {
            in_force: &self.in_force,
            runs: &self.runs,
            sequence: self.sequence,
            tick: self.last_tick,
            watermark: self.watermark(),
        }
    }

    fn each_partition(
        &mut self,
        crew: &dyn Crew,
        effects: &mut Effects,
        each: impl Fn(&mut Partition, Environment<'_>, &mut Effects) + Sync,
    ) {
        let watermark = self.watermark();
        let Self { in_force, runs, partitions, sequence, last_tick, .. } = self;
        let environment = Environment { in_force, runs, sequence: *sequence, tick: *last_tick, watermark };
        if crew.hands() < 2 || partitions.len() < 2 {
            for partition in partitions.values_mut() {
                each(partition, environment, effects);
            }
            return;
        }
        // Some at once, so that what all of them tell at a minute's end is not there twice.
        let at_once = crew.hands().saturating_mul(TASKS_OF_A_HAND);
        let mut partitions = partitions.values_mut().peekable();
        while partitions.peek().is_some() {
            let some = partitions.by_ref().take(at_once);
            let mut work: Vec<_> = some.map(|partition| (partition, Effects::default())).collect();
            together::each(crew, &mut work, |(partition, effects)| each(partition, environment, effects));
            for (_, of_partition) in work {
                effects.append(of_partition);
            }
        }
    }

    /// Does to the copies in which faults are drilled what was done to their partitions. Work on racks is left out: a
    /// drill of a rack in maintenance is to be heard.
    fn each_copy(
        &mut self,
        effects: &mut Effects,
        mut each: impl FnMut(&mut Partition, Environment<'_>, &mut Effects),
    ) {
        if !self.drills.is_idle() {
            self.with_drills(|drills, partitions, environment| {
                drills.each(partitions, effects, |copy, effects| each(copy, environment, effects));
            });
        }
    }

    pub(crate) fn with_drills(
        &mut self,
        act: impl FnOnce(&mut Drills, &BTreeMap<PartitionId, Partition>, Environment<'_>),
    ) {
        let watermark = self.watermark();
        let Self { in_force, runs, partitions, drills, sequence, last_tick, .. } = self;
        let environment = Environment { in_force, runs, sequence: *sequence, tick: *last_tick, watermark };
        act(drills, partitions, environment);
    }

    /// All state as bytes: [`Evaluator::restore`] goes on as if it had never stopped.
    pub fn snapshot(&self) -> Vec<u8> {
        let mut bytes = vec![0; snapshot::HEADER_BYTES];
        let told: Result<_, Infallible> = self.snapshot_in_parts(|part| {
            bytes.extend_from_slice(part);
            Ok(())
        });
        let Ok(header) = told;
        bytes[..snapshot::HEADER_BYTES].copy_from_slice(&header);
        bytes
    }

    /// The bytes of [`Evaluator::snapshot`], a part after the other, without holding them all: what is returned goes
    /// before what was told.
    ///
    /// # Errors
    /// That of `tell`, at once.
    pub fn snapshot_in_parts<E>(
        &self,
        tell: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<[u8; snapshot::HEADER_BYTES], E> {
        let mut writer = snapshot::Writer::new(tell);
        writer.write(self)?;
        self.partitions.iter().try_for_each(|part| writer.write(&part))?;
        Ok(writer.finish())
    }

    /// The state that [`Evaluator::snapshot`] gave, of whatever configuration. [`Restoring`] does the same with several
    /// threads.
    ///
    /// # Errors
    /// When the bytes are not a state that this engine reads.
    pub fn restore(bytes: &[u8]) -> Result<Self, SnapshotError> {
        let restoring = Restoring::new(bytes)?;
        let parts =
            (0..restoring.parts()).map(|number| restoring.read(number)).collect::<Result<Vec<_>, _>>()?;
        restoring.finish(parts)
    }

    /// The last tick.
    pub fn last_tick(&self) -> Option<EventTime> {
        self.last_tick
    }

    /// The last record that was applied; 0 before the first.
    pub fn sequence(&self) -> Sequence {
        self.sequence
    }

    /// Up to here event time is final: the last tick less the allowed lateness.
    pub fn watermark(&self) -> Option<EventTime> {
        self.last_tick.map(|tick| tick - self.in_force.allowed_lateness)
    }

    /// Hash of the configuration in force; empty before the first.
    pub fn configuration_hash(&self) -> &str {
        self.configuration.as_ref().map_or("", |configuration| &configuration.hash)
    }

    /// The configuration in force.
    pub fn configuration(&self) -> Option<&Configuration> {
        self.configuration.as_ref()
    }

    /// All series that were declared, by partition and number.
    pub fn declarations(&self) -> impl Iterator<Item = (PartitionId, &Arc<SeriesDeclaration>)> {
        self.partitions
            .iter()
            .flat_map(|(id, partition)| partition.declarations.iter().map(|declaration| (*id, declaration)))
    }

    /// What was declared last of a series.
    pub fn declaration(&self, partition: PartitionId, id: SeriesId) -> Option<&Arc<SeriesDeclaration>> {
        self.partitions.get(&partition)?.declarations.get(id.0 as usize)
    }

    /// The latest event of each place and name, in their order: what an intake need not tell again.
    pub fn told(&self) -> impl Iterator<Item = &PlaceEvent> {
        self.told.values()
    }

    /// Facts of all racks and loops as of now.
    pub fn rack_facts(&self) -> Vec<Arc<RackFacts>> {
        self.partitions.values().flat_map(|partition| partition.facts(self.environment())).collect()
    }

    /// The alerts that are not inactive or resolved, as their last transition: to be told again after a restart.
    pub fn alerts(&self) -> Vec<AlertTransition> {
        let alerts = self.partitions.values().flat_map(|partition| partition.alerts.transitions());
        alerts.cloned().collect()
    }

    /// Drills in progress and those that ended just now, whose alerts are still shown.
    pub fn drills_running(&self) -> Vec<DrillFacts> {
        self.drills.running().cloned().collect()
    }

    /// The latest results of drills: whoever asks a gate adds them to the facts of racks.
    pub fn drill_record(&self) -> &DrillRecord {
        self.drills.record()
    }

    /// Alerts of drills that are not over, as they were told last: to be told again after a restart.
    pub fn drill_alerts(&self) -> Vec<AlertTransition> {
        self.drills.alerts().cloned().collect()
    }

    /// All runs that are known, in order of their ids.
    pub fn runs(&self) -> Vec<RunFacts> {
        self.runs.iter().map(|run| run.facts.clone()).collect()
    }

    /// When the last reading of any series ends to count: its time plus its feed's interval. The end of a replayed
    /// file as a run.
    pub fn end_of_input(&self) -> Option<EventTime> {
        self.partitions.values().filter_map(Partition::end_of_input).max()
    }
}
