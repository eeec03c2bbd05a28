//! A scenario sent through the evaluator in the order of its arrival, with a tick every second.
//!
//! `simulator` → **play** → `evaluator`

use std::collections::BTreeMap;
use std::sync::Arc;

use evaluator::{Effect, Effects, Evaluator};
use simulator::{Reading, Scenario, Simulation, TruthLabel};
use telemetry::facts::Finding;
use telemetry::place::{PartitionKey, Place, SeriesIdentity};
use telemetry::record::{
    Body, Configuration, Document, Feed, Flag, PartitionId, Record, SampleBatch, Sequence, SeriesDeclaration,
    SeriesId, Temporality,
};
use telemetry::{EventTime, Microseconds, Name};

/// How long readings are waited for.
const ALLOWED_LATENESS: Microseconds = Microseconds::from_seconds(30);
/// Between two ticks.
const TICK: Microseconds = Microseconds::from_seconds(1);

/// What became of a scenario.
#[derive(Debug, Default)]
pub struct Played {
    /// Findings in the order of their detection, as they were last told.
    pub findings: Vec<Finding>,
    /// What really went wrong.
    pub truth: Vec<TruthLabel>,
    /// Readings that were sent.
    pub readings: u64,
}

impl Played {
    /// Keeps what the player's latest effects say of findings.
    fn note(&mut self, player: &mut Player, watch: &mut impl FnMut(&Player, &[Effect])) {
        let effects = player.take_effects();
        for effect in &effects {
            if let Effect::Finding(finding) = effect {
                match self.findings.iter_mut().find(|known| known.finding == finding.finding) {
                    Some(known) => *known = (**finding).clone(),
                    None => self.findings.push((**finding).clone()),
                }
            }
        }
        watch(player, &effects);
    }
}

/// An evaluator that is fed readings of a simulation.
pub struct Player {
    evaluator: Evaluator,
    effects: Effects,
    sequence: Sequence,
    series: BTreeMap<(Place, Name, Option<Name>), (PartitionId, SeriesId)>,
    partitions: BTreeMap<PartitionKey, (PartitionId, u32)>,
    now: EventTime,
}

impl Player {
    /// An evaluator in which these documents of objectives, and a site file where there is one, are in force.
    pub fn new(start: EventTime, objectives: Vec<Document>, site: Option<Document>) -> Self {
        let mut player = Self {
            evaluator: Evaluator::new(),
            effects: Effects::default(),
            sequence: 0,
            series: BTreeMap::new(),
            partitions: BTreeMap::new(),
            now: start,
        };
        let configuration = Configuration {
            hash: "drill".to_owned(),
            site,
            mappings: Vec::new(),
            objectives,
            policies: Vec::new(),
            needs: Vec::new(),
            allowed_lateness: ALLOWED_LATENESS,
        };
        player.apply(PartitionId::STREAM, Body::Configuration(Box::new(configuration)));
        player
    }

    /// The evaluator as it is now.
    pub fn evaluator(&self) -> &Evaluator {
        &self.evaluator
    }

    /// Another player that goes on from here, as after a restart.
    ///
    /// # Panics
    /// When the evaluator does not read its own state.
    pub fn fork(&self) -> Self {
        let evaluator = Evaluator::restore(&self.evaluator.snapshot()).expect("it was written just now");
        Self {
            evaluator,
            effects: self.effects.clone(),
            sequence: self.sequence,
            series: self.series.clone(),
            partitions: self.partitions.clone(),
            now: self.now,
        }
    }

    /// All effects since this was last asked.
    pub fn take_effects(&mut self) -> Vec<Effect> {
        self.effects.fates.clear();
        std::mem::take(&mut self.effects.list)
    }

    /// Applies one record.
    pub fn apply(&mut self, partition: PartitionId, body: Body) {
        self.sequence += 1;
        self.evaluator.apply(self.sequence, &Record { partition, body }, &mut self.effects);
    }

    /// Lets time pass up to and without `until`.
    pub fn tick_until(&mut self, until: EventTime) {
        while self.now < until {
            self.apply(PartitionId::STREAM, Body::Tick(self.now));
            self.now = self.now + TICK;
        }
    }

    /// Sends readings that have arrived together.
    pub fn send(&mut self, readings: &[Reading]) {
        let mut batches: BTreeMap<PartitionId, SampleBatch> = BTreeMap::new();
        for reading in readings {
            let (partition, id) = self.series_of(reading);
            let batch = batches.entry(partition).or_default();
            batch.series.push(id);
            batch.time.push(reading.time);
            batch.value.push(reading.value);
            batch.flag.push(Flag::Ok);
        }
        for (partition, batch) in batches {
            self.apply(partition, Body::Samples(batch));
        }
    }

    /// The identity of a series by its partition and number.
    pub fn identities(&self) -> BTreeMap<(PartitionId, SeriesId), (Place, Name, Option<Name>)> {
        self.series.iter().map(|(identity, number)| (*number, identity.clone())).collect()
    }

    /// Plays a scenario to its end, with what is in force here.
    ///
    /// # Panics
    /// When the scenario breaks [`Scenario::check`].
    pub fn play(&mut self, scenario: &Scenario, mut watch: impl FnMut(&Self, &[Effect])) -> Played {
        let mut simulation = Simulation::new(scenario);
        let mut played = Played { truth: simulation.labels(), ..Played::default() };
        let mut readings = Vec::new();
        while let Some(instant) = simulation.step(&mut readings) {
            self.tick_until(instant);
            self.send(&readings);
            played.readings += readings.len() as u64;
            played.note(self, &mut watch);
        }
        self.tick_until(scenario.start + scenario.duration + ALLOWED_LATENESS + TICK);
        played.note(self, &mut watch);
        played
    }

    fn series_of(&mut self, reading: &Reading) -> (PartitionId, SeriesId) {
        let key = (reading.place.clone(), reading.signal.clone(), reading.sensor.clone());
        if let Some(known) = self.series.get(&key) {
            return *known;
        }
        let partition_key = PartitionKey::of(&reading.place);
        let next = PartitionId(self.partitions.len() as u32 + 1);
        let (partition, count) = self.partitions.entry(partition_key.clone()).or_insert((next, 0));
        let (partition, id) = (*partition, SeriesId(*count));
        *count += 1;
        let unit: Name =
            telemetry::signal::find(&reading.signal).map_or("1", |signal| signal.unit.symbol()).into();
        let declaration = SeriesDeclaration {
            partition: partition_key,
            id,
            identity: SeriesIdentity::new(
                reading.place.clone(),
                reading.signal.clone(),
                reading.sensor.clone(),
            ),
            cooling_loop: reading.place.cooling_loop.clone(),
            declared: true,
            unit: unit.clone(),
            source: "simulator".into(),
            source_name: reading.signal.clone(),
            source_unit: unit,
            temporality: Temporality::Gauge,
            feed: Feed::Unsaid,
            labels: Arc::default(),
        };
        self.series.insert(key, (partition, id));
        self.apply(partition, Body::Series(declaration.into()));
        (partition, id)
    }
}

/// Plays a scenario to its end with the compiled-in objectives in force. `watch` sees every batch of effects with the
/// player that made it.
///
/// # Panics
/// When the scenario breaks [`Scenario::check`].
pub fn play(scenario: &Scenario, watch: impl FnMut(&Player, &[Effect])) -> Played {
    let mut player = Player::new(scenario.start, evaluator::default_documents(), None);
    player.play(scenario, watch)
}
