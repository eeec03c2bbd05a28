//! Any record that the log can hold.

use std::sync::Arc;

use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;
use telemetry::drill::{DrillChange, DrillEvent};
use telemetry::facts::{Ask, Comparison, Need};
use telemetry::place::{PartitionKey, Place, SeriesIdentity};
use telemetry::record::{
    Body, Calibration, Configuration, Document, Feed, Flag, MaintenanceEvent, Override, PartitionId,
    PlaceEvent, Record, RunChange, RunEvent, RunState, SampleBatch, SeriesDeclaration, SeriesId, Temporality,
    VerdictRecord,
};
use telemetry::{EventTime, Labels, Microseconds, Name};

/// Every kind of record, with the least likely numbers in it.
pub fn records() -> impl Strategy<Value = Record> {
    let body =
        prop_oneof![
            series().prop_map(|series| Body::Series(series.into())),
            samples().prop_map(Body::Samples),
            time().prop_map(Body::Tick),
            configuration().prop_map(|configuration| Body::Configuration(Box::new(configuration))),
            run().prop_map(Body::Run),
            (name(), identity(), time(), name(), option::of(any::<f64>()), text(), text(), text()).prop_map(
                |(calibration, identity, time, kind, value, reference, by, why)| Body::Calibration(
                    Calibration { calibration, identity, time, kind, value, reference, by, why }
                )
            ),
            (name(), time(), option::of(time()), text(), text()).prop_map(|(rack, time, until, by, why)| {
                Body::Maintenance(MaintenanceEvent { rack, time, until, by, why })
            }),
            (name(), time(), option::of((name(), name(), option::of(any::<f64>()))), text(), text())
                .prop_map(|(drill, time, start, by, why)| {
                    let change = start.map_or(DrillChange::Cancel, |(rack, class, severity)| {
                        DrillChange::Start { rack, class, severity }
                    });
                    Body::Drill(DrillEvent { drill, time, change, by, why })
                }),
            (name(), time(), vec(name(), 0..3), text(), text(), time()).prop_map(
                |(evaluation, time, checks, by, why, until)| Body::Override(Override {
                    evaluation,
                    time,
                    checks,
                    by,
                    why,
                    until
                })
            ),
            verdict().prop_map(Body::Verdict),
            (place(), time(), name(), name(), name(), name()).prop_map(
                |(place, time, name, old, new, source_name)| {
                    Body::Event(PlaceEvent { place, time, name, old, new, source_name })
                }
            ),
        ];
    (any::<u32>(), body).prop_map(|(partition, body)| Record { partition: PartitionId(partition), body })
}

fn text() -> impl Strategy<Value = String> {
    "\\PC{0,12}"
}

fn name() -> impl Strategy<Value = Name> {
    text().prop_map(Name::from)
}

fn time() -> impl Strategy<Value = EventTime> {
    prop_oneof![any::<i64>(), 1_767_000_000_000_000..1_768_000_000_000_000i64]
        .prop_map(EventTime::from_unix_micros)
}

fn labels() -> impl Strategy<Value = Labels> {
    btree_map(name(), name(), 0..4)
}

fn place() -> impl Strategy<Value = Place> {
    (name(), option::of(name()), option::of(name()), option::of(name()), option::of(name()))
        .prop_map(|(site, cooling_loop, rack, node, device)| Place { site, cooling_loop, rack, node, device })
}

fn identity() -> impl Strategy<Value = SeriesIdentity> {
    (place(), name(), option::of(name())).prop_map(|(place, signal, sensor)| SeriesIdentity {
        place,
        signal,
        sensor,
    })
}

fn series() -> impl Strategy<Value = SeriesDeclaration> {
    let partition = prop_oneof![
        (name(), name()).prop_map(|(site, name)| PartitionKey::Loop { site, name }),
        (name(), name()).prop_map(|(site, name)| PartitionKey::Rack { site, name }),
        name().prop_map(|site| PartitionKey::Site { site }),
    ];
    let temporality =
        prop_oneof![Just(Temporality::Gauge), Just(Temporality::Cumulative), Just(Temporality::Delta)];
    let feed = prop_oneof![
        Just(Feed::Unsaid),
        any::<i64>().prop_map(|interval| Feed::Periodic { interval: Microseconds(interval) }),
        any::<i64>().prop_map(|republish| Feed::OnChange { republish: Microseconds(republish) }),
    ];
    let words = (name(), name(), name(), name());
    (
        partition,
        any::<u32>(),
        identity(),
        option::of(name()),
        any::<bool>(),
        words,
        temporality,
        feed,
        labels(),
    )
        .prop_map(
            |(partition, id, identity, cooling_loop, declared, words, temporality, feed, labels)| {
                let (unit, source, source_name, source_unit) = words;
                SeriesDeclaration {
                    partition,
                    id: SeriesId(id),
                    identity,
                    cooling_loop,
                    declared,
                    unit,
                    source,
                    source_name,
                    source_unit,
                    temporality,
                    feed,
                    labels: Arc::new(labels),
                }
            },
        )
}

fn samples() -> impl Strategy<Value = SampleBatch> {
    let value = prop_oneof![any::<f64>(), any::<u64>().prop_map(f64::from_bits)];
    let flag = (0..Flag::ALL.len()).prop_map(|index| Flag::ALL[index]);
    (vec((any::<u32>(), time(), value, flag), 0..40), any::<bool>()).prop_map(|(readings, flagged)| {
        SampleBatch {
            series: readings.iter().map(|reading| SeriesId(reading.0)).collect(),
            time: readings.iter().map(|reading| reading.1).collect(),
            value: readings.iter().map(|reading| reading.2).collect(),
            flag: readings.iter().filter(|_| flagged).map(|reading| reading.3).collect(),
        }
    })
}

fn document() -> impl Strategy<Value = Document> {
    (text(), text()).prop_map(|(name, text)| Document { name, text })
}

fn configuration() -> impl Strategy<Value = Configuration> {
    // Thresholds as people write them: JSON keeps those exactly.
    let need = (name(), name(), -1_000..1_000i32).prop_map(|(name, signal, eighths)| Need {
        name,
        ask: Ask::HardLimit {
            signal,
            comparison: Comparison::Lte,
            threshold: f64::from(eighths) / 8.0,
            unit: "Cel".into(),
        },
    });
    let documents = || vec(document(), 0..3);
    (text(), option::of(document()), documents(), documents(), documents(), vec(need, 0..3), any::<i64>())
        .prop_map(|(hash, site, mappings, objectives, policies, needs, lateness)| Configuration {
            hash,
            site,
            mappings,
            objectives,
            policies,
            needs,
            allowed_lateness: Microseconds(lateness),
        })
}

fn run() -> impl Strategy<Value = RunEvent> {
    let state = prop_oneof![
        Just(RunState::Active),
        Just(RunState::Ended),
        Just(RunState::Aborted),
        Just(RunState::Abandoned)
    ];
    let change = prop_oneof![
        (vec(name(), 0..3), name(), labels(), any::<i64>()).prop_map(|(racks, stage, versions, planned)| {
            RunChange::Start { racks, stage, versions, planned: Microseconds(planned) }
        }),
        state.prop_map(|state| RunChange::End { state }),
        text().prop_map(|text| RunChange::Mark { text }),
    ];
    (name(), time(), change).prop_map(|(run, time, change)| RunEvent { run, time, change })
}

fn verdict() -> impl Strategy<Value = VerdictRecord> {
    let names = (name(), name(), name(), name(), name());
    let times = (time(), option::of(time()), time());
    (names, vec(name(), 0..3), option::of(name()), text(), text(), times).prop_map(
        |((evaluation, policy, policy_hash, verdict, engine), racks, run, answer, facts, times)| {
            VerdictRecord {
                evaluation,
                policy,
                policy_hash,
                racks,
                run,
                verdict,
                answer,
                facts,
                watermark: times.0,
                wait_until: times.1,
                time: times.2,
                engine,
            }
        },
    )
}
