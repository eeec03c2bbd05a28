//! Racks on loops as telemetry tells of them: what the benches share.

use telemetry::place::{PartitionKey, Place, SeriesIdentity};
use telemetry::record::{
    Body, Configuration, Feed, PartitionId, Record, SampleBatch, SeriesDeclaration, SeriesId, Temporality,
};
use telemetry::{EventTime, Microseconds};

/// Racks on a loop.
pub const RACKS_ON_LOOP: u32 = 8;
const GPUS: u32 = 72;
const OF_GPU: [&str; 5] = [
    "gpu_temperature",
    "gpu_temperature_margin",
    "gpu_power",
    "gpu_utilization",
    "gpu_thermal_throttle_time",
];
const OF_RACK: [(&str, f64); 9] = [
    ("coolant_supply_temperature", 35.0),
    ("coolant_return_temperature", 45.0),
    ("coolant_flow", 150.0),
    ("coolant_differential_pressure", 100.0),
    ("rack_power", 120.0),
    ("leak_state", 0.0),
    ("air_exhaust_temperature", 38.0),
    ("door_air_outlet_temperature", 26.0),
    ("room_temperature_setpoint", 25.0),
];
/// What makes 396 with the signals above: inlet temperatures of nodes, which no objective looks at.
const OF_NODE: u32 = 27;
/// All that detectors and headroom look at.
const OF_LOOP: [(&str, f64); 14] = [
    ("coolant_supply_temperature", 35.0),
    ("coolant_supply_temperature_setpoint", 35.0),
    ("coolant_return_temperature", 45.0),
    ("coolant_supply_flow", 1200.0),
    ("coolant_return_flow", 1200.0),
    ("pump_differential_pressure", 180.0),
    ("cdu_differential_pressure", 60.0),
    ("filter_differential_pressure", 20.0),
    ("pump_speed", 80.0),
    ("valve_position", 50.0),
    ("facility_supply_temperature", 28.0),
    ("facility_return_temperature", 38.0),
    ("facility_flow", 1200.0),
    ("pump_power", 1500.0),
];
/// Seconds between two readings of a series.
pub const INTERVAL: i64 = 10;

/// Whose level a series has, and whether it moves.
#[derive(Clone, Copy)]
struct Kind {
    level: f64,
    moves: bool,
}

/// Loops of eight racks with 396 series each.
pub struct Racks {
    /// By loop: its series.
    kinds: Vec<Vec<Kind>>,
}

fn at(seconds: i64) -> EventTime {
    EventTime::from_unix_micros(1_767_600_000_000_000) + Microseconds::from_seconds(seconds)
}

impl Racks {
    /// So many loops, and the records that make them known, with these objectives.
    pub fn declared(loops: u32, objectives: Vec<telemetry::record::Document>) -> (Self, Vec<Record>) {
        let mut records = vec![Record {
            partition: PartitionId::STREAM,
            body: Body::Configuration(Box::new(Configuration {
                hash: "bench".to_owned(),
                site: None,
                mappings: Vec::new(),
                objectives,
                policies: Vec::new(),
                needs: Vec::new(),
                allowed_lateness: Microseconds::from_seconds(30),
            })),
        }];
        let kinds = (0..loops).map(|number| declare(number, &mut records)).collect();
        (Self { kinds }, records)
    }

    /// How many series there are.
    pub fn series(&self) -> u64 {
        self.kinds.iter().map(|kinds| kinds.len() as u64).sum()
    }

    /// One scrape of all racks, and the ticks until the next one.
    pub fn scrape(&self, number: i64) -> Vec<Record> {
        let mut records = Vec::new();
        for (index, kinds) in (0..).zip(&self.kinds) {
            // Loads rest, so that nothing is masked; readings move by less than sensors' noise.
            let value = |(id, kind): (usize, &Kind)| {
                let step = (id as i64 * 31 + number * 7 + i64::from(index)) % 11 - 5;
                if kind.moves { kind.level * (1.0 + step as f64 * 2e-4) } else { kind.level }
            };
            let batch = SampleBatch {
                series: (0..kinds.len() as u32).map(SeriesId).collect(),
                time: vec![at(number * INTERVAL); kinds.len()],
                value: kinds.iter().enumerate().map(value).collect(),
                flag: Vec::new(),
            };
            records.push(Record { partition: PartitionId(index + 1), body: Body::Samples(batch) });
        }
        records.extend(Self::ticks(number));
        records
    }

    /// The ticks between a scrape and the next one.
    pub fn ticks(number: i64) -> Vec<Record> {
        let seconds = number * INTERVAL..(number + 1) * INTERVAL;
        let tick = |second| Record { partition: PartitionId::STREAM, body: Body::Tick(at(second)) };
        seconds.map(tick).collect()
    }
}

fn declare(loop_number: u32, records: &mut Vec<Record>) -> Vec<Kind> {
    let mut kinds = Vec::new();
    let cooling_loop = format!("loop-{loop_number}");
    let mut add = |rack: Option<u32>, node: Option<String>, device: Option<String>, signal: &str, kind| {
        let place = Place {
            site: "s1".into(),
            cooling_loop: Some(cooling_loop.as_str().into()),
            rack: rack.map(|rack| format!("r{:04}", loop_number * RACKS_ON_LOOP + rack).into()),
            node: node.map(Into::into),
            device: device.map(Into::into),
        };
        let declaration = SeriesDeclaration {
            partition: PartitionKey::of(&place),
            id: SeriesId(kinds.len() as u32),
            identity: SeriesIdentity::new(place, signal.into(), None),
            cooling_loop: Some(cooling_loop.as_str().into()),
            declared: true,
            unit: "1".into(),
            source: "bench".into(),
            source_name: signal.into(),
            source_unit: "1".into(),
            temporality: Temporality::Gauge,
            feed: Feed::Periodic { interval: Microseconds::from_seconds(INTERVAL) },
            labels: std::sync::Arc::default(),
        };
        records
            .push(Record { partition: PartitionId(loop_number + 1), body: Body::Series(declaration.into()) });
        kinds.push(kind);
    };
    let still = |level| Kind { level, moves: false };
    let moving = |level| Kind { level, moves: true };
    for rack in 0..RACKS_ON_LOOP {
        for gpu in 0..GPUS {
            for (signal, kind) in
                OF_GPU.into_iter().zip([moving(70.0), moving(15.0), moving(1_100.0), still(99.0), still(7.0)])
            {
                let node = Some(format!("n{:02}", gpu / 4));
                add(Some(rack), node, Some(format!("gpu{}", gpu % 4)), signal, kind);
            }
        }
        for (signal, level) in OF_RACK {
            let is_still = matches!(signal, "leak_state" | "room_temperature_setpoint");
            add(Some(rack), None, None, signal, if is_still { still(level) } else { moving(level) });
        }
        for node in 0..OF_NODE {
            add(Some(rack), Some(format!("n{node:02}")), None, "air_inlet_temperature", moving(25.0));
        }
    }
    for (signal, level) in OF_LOOP {
        let is_still = matches!(signal, "coolant_supply_temperature_setpoint" | "pump_speed");
        add(None, None, None, signal, if is_still { still(level) } else { moving(level) });
    }
    kinds
}
