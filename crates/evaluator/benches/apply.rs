//! Samples a second on one core: sixteen racks of 396 series each, the default objectives, a tick every second.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use evaluator::{Effects, Evaluator};
use telemetry::place::{PartitionKey, Place, SeriesIdentity};
use telemetry::record::{
    Body, Configuration, Feed, PartitionId, Record, SampleBatch, SeriesDeclaration, SeriesId, Temporality,
};
use telemetry::{EventTime, Labels, Microseconds};

const RACKS: u32 = 16;
const GPUS: u32 = 72;
const OF_GPU: [&str; 5] = [
    "gpu_temperature",
    "gpu_temperature_margin",
    "gpu_power",
    "gpu_utilization",
    "gpu_thermal_throttle_time",
];
const OF_RACK: [&str; 6] = [
    "coolant_supply_temperature",
    "coolant_return_temperature",
    "coolant_flow",
    "coolant_differential_pressure",
    "rack_power",
    "leak_state",
];
/// What makes 396 with the signals above: fans, memory, air … of nodes, which no objective looks at.
const OF_NODE: u32 = 30;
const INTERVAL: i64 = 10;

fn at(seconds: i64) -> EventTime {
    EventTime::from_unix_micros(1_767_600_000_000_000) + Microseconds::from_seconds(seconds)
}

fn declare(rack: u32, series: &mut Vec<Record>) -> u32 {
    let mut count = 0;
    let mut add = |node: Option<String>, device: Option<String>, signal: &str| {
        let place = Place {
            site: "s1".into(),
            cooling_loop: None,
            rack: Some(format!("r{rack}").into()),
            node: node.map(Into::into),
            device: device.map(Into::into),
        };
        let declaration = SeriesDeclaration {
            partition: PartitionKey::of(&place),
            id: SeriesId(count),
            identity: SeriesIdentity::new(place, signal.into(), None),
            cooling_loop: None,
            declared: true,
            unit: "1".into(),
            source: "bench".into(),
            source_name: signal.into(),
            source_unit: "1".into(),
            temporality: Temporality::Gauge,
            feed: Feed::Periodic { interval: Microseconds::from_seconds(INTERVAL) },
            labels: Labels::new(),
        };
        series.push(Record { partition: PartitionId(rack + 1), body: Body::Series(declaration) });
        count += 1;
    };
    for gpu in 0..GPUS {
        for signal in OF_GPU {
            add(Some(format!("n{}", gpu / 4)), Some(format!("gpu{}", gpu % 4)), signal);
        }
    }
    OF_RACK.iter().for_each(|signal| add(None, None, signal));
    (0..OF_NODE).for_each(|node| add(Some(format!("n{node}")), None, "air_inlet_temperature"));
    count
}

fn setup() -> Vec<Record> {
    let mut records = vec![Record {
        partition: PartitionId::STREAM,
        body: Body::Configuration(Box::new(Configuration {
            hash: "bench".to_owned(),
            site: None,
            mappings: Vec::new(),
            objectives: evaluator::default_documents(),
            policies: Vec::new(),
            needs: Vec::new(),
            allowed_lateness: Microseconds::from_seconds(30),
        })),
    }];
    (0..RACKS).for_each(|rack| {
        declare(rack, &mut records);
    });
    records
}

/// One scrape of all racks, and the ticks until the next one.
fn scrape(number: i64, count: u32) -> Vec<Record> {
    let mut records = Vec::new();
    for rack in 0..RACKS {
        let series: Vec<SeriesId> = (0..count).map(SeriesId).collect();
        // Counters rest, leak detectors are dry, the others move.
        let value = (0..count)
            .map(|id| match id {
                _ if id < GPUS * 5 && id % 5 == 4 => 7.0,
                _ if id == GPUS * 5 + 5 => 0.0,
                _ => 30.0 + f64::from((id + rack) % 7) + (number % 5) as f64 * 0.1,
            })
            .collect();
        let time = vec![at(number * INTERVAL); count as usize];
        let batch = SampleBatch { series, time, value, flag: Vec::new() };
        records.push(Record { partition: PartitionId(rack + 1), body: Body::Samples(batch) });
    }
    for second in 0..INTERVAL {
        let tick = Body::Tick(at(number * INTERVAL + second));
        records.push(Record { partition: PartitionId::STREAM, body: tick });
    }
    records
}

fn apply(criterion: &mut Criterion) {
    let count = declare(0, &mut Vec::new());
    let mut evaluator = Evaluator::new();
    let mut effects = Effects::default();
    let (mut sequence, mut number) = (0, 0);
    let mut take = |records: &[Record]| {
        for record in records {
            sequence += 1;
            effects.clear();
            evaluator.apply(sequence, record, &mut effects);
            std::hint::black_box(&effects);
        }
    };
    take(&setup());
    // Half an hour to fill rings and baselines.
    for _ in 0..180 {
        take(&scrape(number, count));
        number += 1;
    }
    let mut group = criterion.benchmark_group("evaluator");
    // Six scrapes are a minute: blocks, detectors and statuses are all in it.
    group.throughput(Throughput::Elements(u64::from(6 * RACKS * count)));
    group.bench_function("apply", |bencher| {
        bencher.iter_batched(
            || {
                let minute: Vec<Record> =
                    (number..number + 6).flat_map(|number| scrape(number, count)).collect();
                number += 6;
                minute
            },
            |minute| take(&minute),
            criterion::BatchSize::PerIteration,
        );
    });
    group.finish();
}

criterion_group!(benches, apply);
criterion_main!(benches);
