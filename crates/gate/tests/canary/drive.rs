//! A simulated site, played through the evaluator: what its racks are compared by at the end.

use std::collections::BTreeMap;
use std::sync::Arc;

use evaluator::{Effects, Evaluator};
use simulator::{
    FacilityWater, Fault, FaultKind, GpuReporting, LoadPlan, LoopScenario, RackScenario, Scenario, Simulation,
};
use telemetry::facts::RackFacts;
use telemetry::place::{PartitionKey, Place, SeriesIdentity};
use telemetry::record::{
    Body, Configuration, Document, Feed, Flag, PartitionId, Record, RunChange, RunEvent, RunState,
    SampleBatch, SeriesDeclaration, SeriesId, Temporality,
};
use telemetry::{EventTime, Labels, Microseconds, Name};

/// The watermark stays this far behind the tick.
pub const LATENESS: Microseconds = Microseconds::from_seconds(30);
/// The run starts so long after the first reading.
pub const BEFORE: Microseconds = Microseconds::from_hours(4);
/// Each earlier run goes on for so long, and the next one begins so long after it began.
const EARLIER_RUN: Microseconds = Microseconds::from_minutes(120);
const EARLIER_EVERY: Microseconds = Microseconds::from_minutes(150);
/// The run that is judged goes on for so long.
pub const RUN: Microseconds = Microseconds::from_hours(4);

/// How the racks are cooled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cooling {
    /// All by one distribution unit.
    Shared,
    /// Each by its own.
    Separate,
}

/// What a drill is like.
#[derive(Debug, Clone)]
pub struct Drill {
    pub seed: u64,
    pub cooling: Cooling,
    /// Of rack `a1`, whose run it is, and of those beside it.
    pub loads: Vec<LoadPlan>,
    /// Resistance of the cold plates of `a1` from the run's start on, as a multiple.
    pub fouling: Option<f64>,
    /// Share of its head that the pump of `a1`'s loop loses from the run's start on.
    pub pump_head_loss: Option<f64>,
    /// Runs of `a1` before it.
    pub earlier: i64,
}

impl Drill {
    /// From the first reading to the start of the run that is judged.
    fn before(&self) -> Microseconds {
        BEFORE + Microseconds(EARLIER_EVERY.0 * self.earlier)
    }

    /// Starts and ends of the runs of `a1`, in order of time.
    fn runs(&self, first: EventTime) -> Vec<RunEvent> {
        let start = |run: &str, time, planned| {
            let change = RunChange::Start {
                racks: vec!["a1".into()],
                stage: "canary".into(),
                versions: Labels::from([("image".into(), run.into())]),
                planned,
            };
            RunEvent { run: run.into(), time, change }
        };
        let mut events = Vec::new();
        for number in 0..self.earlier {
            let (run, time) =
                (format!("run-{number}"), first + BEFORE + Microseconds(EARLIER_EVERY.0 * number));
            events.push(start(&run, time, EARLIER_RUN));
            let change = RunChange::End { state: RunState::Ended };
            events.push(RunEvent { run: run.as_str().into(), time: time + EARLIER_RUN, change });
        }
        events.push(start("next", first + self.before(), RUN));
        events
    }

    fn scenario(&self) -> Scenario {
        // Every seed has its time of day.
        let start = EventTime::from_unix_micros(1_767_571_200_000_000)
            + Microseconds::from_minutes((self.seed * 97 % 1_440) as i64);
        let racks = self.loads.iter().zip(1..).map(|(load, number)| RackScenario {
            name: format!("a{number}").into(),
            load: load.clone(),
            faults: self
                .fouling
                .filter(|_| number == 1)
                .map(|severity| Fault {
                    severity: Some(severity),
                    ..Fault::new(FaultKind::ColdPlateFouling, self.before())
                })
                .into_iter()
                .collect(),
        });
        let cooling_loop = |name: &str, racks| LoopScenario {
            name: name.into(),
            facility_water: FacilityWater::default(),
            faults: self
                .pump_head_loss
                .filter(|_| name == "loop-a")
                .map(|severity| Fault {
                    severity: Some(severity),
                    ..Fault::new(FaultKind::PumpHeadLoss, self.before())
                })
                .into_iter()
                .collect(),
            racks,
        };
        Scenario {
            name: "canary".into(),
            seed: self.seed,
            site: "demo".into(),
            start,
            duration: self.before() + RUN,
            sample_every: Microseconds::from_seconds(5),
            gpus: GpuReporting::default(),
            redundant_supply_sensors: false,
            noise: 1.0,
            unit_spread: 1.0,
            lost_share: 0.001,
            jitter: Microseconds::ZERO,
            plant_error: 0.0,
            unreported: Vec::new(),
            loops: match self.cooling {
                Cooling::Shared => vec![cooling_loop("loop-a", racks.collect())],
                Cooling::Separate => racks
                    .zip(["loop-a", "loop-b", "loop-c", "loop-d"])
                    .map(|(rack, name)| cooling_loop(name, vec![rack]))
                    .collect(),
            },
        }
    }

    fn site(&self) -> Document {
        let count = self.loads.len();
        let names = ["loop-a", "loop-b", "loop-c", "loop-d"];
        let (loops, flow): (Vec<&str>, usize) = match self.cooling {
            Cooling::Shared => (vec![names[0]; count], 150 * count),
            Cooling::Separate => (names[..count].to_vec(), 150),
        };
        let mut text =
            "apiVersion: thermogate.dev/v1alpha1\nkind: Site\nmetadata: {name: demo}\nloops:\n".to_owned();
        let mut listed = loops.clone();
        listed.dedup();
        for name in listed {
            text += &format!("  - {{name: {name}, coolant: pg25, nominalFlow: {flow} L/min}}\n");
        }
        text += "racks:\n";
        for (name, number) in loops.iter().zip(1..) {
            text += &format!(
                "  - {{name: a{number}, loop: {name}, nominalPower: 120 kW, billOfMaterials: {{sku: GB300}}}}\n"
            );
        }
        Document { name: "site.yaml".into(), text }
    }
}

/// The start of the run, and the facts of all racks at its end.
pub struct Played {
    pub start: EventTime,
    pub facts: Vec<Arc<RackFacts>>,
}

/// Plays a drill: rack `a1` starts the run `next` after [`Drill::before`], and all ends `run` later.
pub fn play(drill: &Drill, run: Microseconds) -> Played {
    let scenario = Scenario { duration: drill.before() + run, ..drill.scenario() };
    let mut simulation = Simulation::new(&scenario);
    let mut evaluator = Evaluator::new();
    let mut effects = Effects::default();
    let mut sequence = 0;
    let mut apply = |evaluator: &mut Evaluator, record: &Record| {
        sequence += 1;
        effects.list.clear();
        effects.fates.clear();
        evaluator.apply(sequence, record, &mut effects);
    };
    let stream = |body| Record { partition: PartitionId::STREAM, body };
    let configuration = Configuration {
        hash: "c1".to_owned(),
        site: Some(drill.site()),
        mappings: Vec::new(),
        // Settling times are those of a recovery-time objective.
        objectives: vec![Document {
            name: "recovery.yaml".into(),
            text: include_str!("../../../../slo/recovery.yaml").into(),
        }],
        policies: Vec::new(),
        needs: Vec::new(),
        allowed_lateness: LATENESS,
    };
    apply(&mut evaluator, &stream(Body::Configuration(Box::new(configuration))));
    let mut known: BTreeMap<(Place, Name, Option<Name>), (PartitionId, SeriesId)> = BTreeMap::new();
    let mut partitions: BTreeMap<PartitionKey, (PartitionId, u32)> = BTreeMap::new();
    let mut readings = Vec::new();
    let start = scenario.start + drill.before();
    let mut runs = drill.runs(scenario.start).into_iter().peekable();
    while let Some(instant) = simulation.step(&mut readings) {
        while let Some(event) = runs.next_if(|event| event.time <= instant) {
            apply(&mut evaluator, &stream(Body::Run(event)));
        }
        let mut batches: BTreeMap<PartitionId, SampleBatch> = BTreeMap::new();
        for reading in &readings {
            let key = (reading.place.clone(), reading.signal.clone(), reading.sensor.clone());
            let (partition, id) = *known.entry(key).or_insert_with(|| {
                let declaration = declare(reading, &mut partitions);
                let (partition, _) = partitions[&declaration.partition];
                let id = declaration.id;
                apply(&mut evaluator, &Record { partition, body: Body::Series(declaration.into()) });
                (partition, id)
            });
            let batch = batches.entry(partition).or_default();
            batch.series.push(id);
            batch.time.push(reading.time);
            batch.value.push(reading.value);
            batch.flag.push(Flag::Ok);
        }
        for (partition, batch) in batches {
            apply(&mut evaluator, &Record { partition, body: Body::Samples(batch) });
        }
        apply(&mut evaluator, &stream(Body::Tick(instant)));
    }
    apply(&mut evaluator, &stream(Body::Tick(start + run + LATENESS)));
    let facts = evaluator.rack_facts().into_iter().filter(|facts| facts.place.rack.is_some()).collect();
    Played { start, facts }
}

fn declare(
    reading: &simulator::Reading,
    partitions: &mut BTreeMap<PartitionKey, (PartitionId, u32)>,
) -> SeriesDeclaration {
    let key = PartitionKey::of(&reading.place);
    let next = PartitionId(partitions.len() as u32 + 1);
    let (_, count) = partitions.entry(key.clone()).or_insert((next, 0));
    let id = SeriesId(*count);
    *count += 1;
    let unit: Name =
        telemetry::signal::find(&reading.signal).map_or("1", |signal| signal.unit.symbol()).into();
    SeriesDeclaration {
        partition: key,
        id,
        identity: SeriesIdentity::new(reading.place.clone(), reading.signal.clone(), reading.sensor.clone()),
        cooling_loop: reading.place.cooling_loop.clone(),
        declared: true,
        unit: unit.clone(),
        source: "simulator".into(),
        source_name: reading.signal.clone(),
        source_unit: unit,
        temporality: Temporality::Gauge,
        feed: Feed::Unsaid,
        labels: Arc::default(),
    }
}
