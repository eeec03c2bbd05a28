//! Laws: what must hold for every stream, whatever it brings.

use std::collections::BTreeMap;

use evaluator::{Alone, Counter, Crew, Effect, Effects, Evaluator};
use proptest::prelude::*;
use telemetry::facts::{RackFacts, Scope};
use telemetry::place::{Place, SeriesIdentity};
use telemetry::record::{
    Body, Calibration, Document, Feed, Flag, MaintenanceEvent, Record, RunChange, RunEvent, RunState,
    SampleBatch,
};
use telemetry::table::Table;
use telemetry::{EventTime, Labels, Microseconds};

use crate::script::{BEGIN, LATENESS, Sample, Story, at, effects_of, objective, recovery_time};

const RACKS: [&str; 2] = ["r1", "r2"];
const SIGNALS: [&str; 6] = [
    "coolant_supply_temperature",
    "coolant_return_temperature",
    "coolant_flow",
    "leak_state",
    "gpu_thermal_throttle_time@gpu0",
    "rack_power",
];

fn objectives() -> Vec<Document> {
    let slice = "slice: {length: 10s, aggregation: timeWeightedMean}";
    let mut documents = vec![
        objective("supply", "coolant_supply_temperature", "Cel", "lte 45", "0.95", slice),
        objective(
            "rise",
            "coolant_return_temperature - coolant_supply_temperature",
            "K",
            "lte 12",
            "0.95",
            "slice: {length: 20s, aggregation: timeWeightedMax}",
        ),
        objective(
            "loaded",
            "coolant_supply_temperature",
            "Cel",
            "gte 39",
            "0.95",
            "slice: {length: 10s, aggregation: min}\n            validity: {load: {signal: rack_power, min: 60, unit: kW}, warmup: 30s}",
        ),
    ];
    documents.push(objective(
        "above",
        "coolant_supply_temperature",
        "Cel",
        "lte 25",
        "0.9",
        "slice: {length: 10s}\n            transform: {kind: timeAbove, threshold: 44}",
    ));
    documents.push(recovery_time(
        "settles",
        "coolant_supply_temperature",
        "Cel",
        "lte 60",
        "0.5",
        "slice: {length: 10s}\n            transform: {kind: recoveryTime, band: {max: 43}, hold: 20s, \
         trigger: {signal: rack_power, step: 20, within: 40s, debounce: 5s}}",
    ));
    documents.extend(evaluator::default_documents().into_iter().filter(|document| {
        document.name.contains("leak") || document.name.contains("gpu") || document.name.contains("burn")
    }));
    documents
}

/// A calibration that is overdue from the beginning on.
fn site() -> Document {
    let text = "apiVersion: thermogate.dev/v1alpha1\nkind: Site\nmetadata: {name: s1}\nracks: [{name: r1}, {name: r2}]\n\
         calibrations: [{rack: r1, signal: coolant_flow, date: 2026-01-03, validDays: 1}, \
         {rack: r1, signal: coolant_supply_temperature, date: 2026-01-03, validDays: 1}]\n";
    Document { name: "site.yaml".to_owned(), text: text.to_owned() }
}

/// One reading to come: which series, when, what, and how much later it arrives.
#[derive(Debug, Clone)]
pub(crate) struct Planned {
    rack: usize,
    signal: usize,
    time: i64,
    level: u8,
    delay: i64,
}

/// Readings of about eight minutes, with gaps, repeats, bad ones and delays below the lateness.
fn readings() -> impl Strategy<Value = Vec<Planned>> {
    let reading = (0..RACKS.len(), 0..SIGNALS.len(), 0_i64..480, 0_u8..13, 0_i64..29);
    prop::collection::vec(
        reading.prop_map(|(rack, signal, time, level, delay)| Planned { rack, signal, time, level, delay }),
        1..400,
    )
}

fn sample(planned: &Planned) -> Sample {
    let level = f64::from(planned.level);
    let (value, flag) = match (planned.level, SIGNALS[planned.signal]) {
        (10, _) => (f64::NAN, Flag::Sentinel),
        (11, _) => (f64::NAN, Flag::Stale),
        (12, _) => (40.0, Flag::Distrusted),
        (_, "coolant_supply_temperature") => (38.0 + level, Flag::Ok),
        (_, "coolant_return_temperature") => (49.0 + level, Flag::Ok),
        (_, "coolant_flow") => (20.0 * level, Flag::Ok),
        (_, "leak_state") => (if planned.level == 9 { 1.0 } else { 0.0 }, Flag::Ok),
        (_, "rack_power") => (40.0 + 10.0 * level, Flag::Ok),
        _ => ((planned.time / 60) as f64 + level / 10.0, Flag::Ok),
    };
    let time = at(planned.time);
    Sample { rack: RACKS[planned.rack], signal: SIGNALS[planned.signal].to_owned(), time, value, flag }
}

/// What happens to runs and people, at fixed times.
fn acts() -> BTreeMap<i64, Vec<Body>> {
    let start = |run: &str, rack: &str, seconds| {
        let change = RunChange::Start {
            racks: vec![rack.into()],
            stage: "smoke".into(),
            versions: Labels::new(),
            planned: Microseconds::from_minutes(5),
        };
        Body::Run(RunEvent { run: run.into(), time: at(seconds), change })
    };
    let end = |run: &str, seconds| {
        let change = RunChange::End { state: RunState::Ended };
        Body::Run(RunEvent { run: run.into(), time: at(seconds), change })
    };
    let work = Body::Maintenance(MaintenanceEvent {
        rack: "r2".into(),
        time: at(200),
        until: Some(at(263)),
        by: "ann".into(),
        why: "a hose".into(),
    });
    let calibrated = |kind: &str, value, seconds| {
        let place = Place { site: "s1".into(), rack: Some("r1".into()), ..Place::default() };
        Body::Calibration(Calibration {
            calibration: format!("{kind} {seconds}").into(),
            identity: SeriesIdentity::new(place, SIGNALS[0].into(), None),
            time: at(seconds),
            kind: kind.into(),
            value,
            reference: "a bath".to_owned(),
            by: "ann".to_owned(),
            why: "a law".to_owned(),
        })
    };
    BTreeMap::from([
        (170, vec![calibrated("offset", Some(1.5), 165)]),
        (290, vec![calibrated("offset", Some(-0.5), 288), calibrated("reset", None, 270)]),
        (95, vec![start("a", "r1", 95)]),
        (133, vec![start("b", "r2", 133)]),
        (200, vec![work]),
        (333, vec![end("a", 333)]),
        (390, vec![start("c", "r1", 390)]),
    ])
}

/// The stream in which each reading arrives after its delay; a tick every `every` seconds.
pub(crate) fn stream(planned: &[Planned], every: i64) -> Vec<Record> {
    let mut story = Story::at_site(Some(site()), &objectives());
    story.feed = Some(Feed::Periodic { interval: Microseconds::from_seconds(10) });
    let mut acts = acts();
    // In the order of their times, so that the numbers of series do not depend on the delays.
    let mut in_order: Vec<&Planned> = planned.iter().collect();
    in_order.sort_by_key(|planned| (planned.time, planned.rack, planned.signal));
    story.declare(&in_order.iter().map(|planned| sample(planned)).collect::<Vec<_>>());
    for second in 0..=560 {
        let arriving: Vec<Sample> = in_order
            .iter()
            .filter(|planned| planned.time + planned.delay == second)
            .map(|planned| sample(planned))
            .collect();
        story.samples(&arriving);
        acts.remove(&second).into_iter().flatten().for_each(|body| story.stream(body));
        if second % every == 0 {
            story.tick(at(second));
        }
    }
    story.records
}

/// Effects of every record, by itself.
pub(crate) fn effects_by_record(evaluator: &mut Evaluator, records: &[Record], first: u64) -> Vec<Effects> {
    (first..)
        .zip(records)
        .map(|(sequence, record)| {
            let mut effects = Effects::default();
            evaluator.apply(sequence, record, &mut effects);
            effects
        })
        .collect()
}

fn is_about(effect: &Effect, rack: &str) -> bool {
    let named = |name: Option<&telemetry::Name>| name.is_some_and(|name| &**name == rack);
    match effect {
        Effect::Status(row) => named(row.status.place.rack.as_ref()),
        Effect::Finding(finding) => named(finding.place.rack.as_ref()),
        Effect::Alert(alert) => named(alert.labels.get("rack")),
        Effect::Publish(facts) => named(facts.place.rack.as_ref()),
        Effect::Drill(drill) => named(Some(&drill.rack)),
        Effect::DrillAlert(alert) => named(alert.labels.get("rack")),
        Effect::DrillCopy { facts, .. } => facts.iter().any(|facts| named(facts.place.rack.as_ref())),
        Effect::Block(_) | Effect::Row(_) | Effect::Count { .. } => false,
    }
}

/// An effect without the position in the log, which other racks move too.
fn without_position(effect: &Effect) -> Effect {
    match effect {
        Effect::Publish(facts) => {
            Effect::Publish(std::sync::Arc::new(RackFacts { sequence: 0, ..(**facts).clone() }))
        }
        other => other.clone(),
    }
}

/// Rows that are closed for ever, sorted: what no order of arrival may change.
fn closed_rows(effects: &[Effect]) -> Vec<String> {
    let mut rows: Vec<String> = effects
        .iter()
        .filter_map(|effect| match effect {
            Effect::Status(row) => Some(format!("{row:?}")),
            Effect::Block(block) => Some(format!("{block:?}")),
            // Direct rules act on arrival: when they knew may differ.
            Effect::Finding(finding) if &*finding.detector == "pump_trip" => None,
            Effect::Finding(finding) => {
                Some(format!("{:?} {:?} {:?}", finding.detector, finding.place, finding.onset))
            }
            Effect::Row(row) if matches!(row.table, Table::Headroom | Table::Recoveries) => {
                Some(format!("{row:?}"))
            }
            Effect::Alert(_)
            | Effect::Publish(_)
            | Effect::Row(_)
            | Effect::Count { .. }
            | Effect::Drill(_)
            | Effect::DrillAlert(_)
            | Effect::DrillCopy { .. } => None,
        })
        .collect();
    rows.sort();
    rows
}

/// Statuses and blocks alone, sorted.
fn judged_rows(effects: &[Effect]) -> Vec<String> {
    let judged = effects.iter().filter(|effect| matches!(effect, Effect::Status(_) | Effect::Block(_)));
    closed_rows(&judged.cloned().collect::<Vec<_>>())
}

/// Fails with the first rows in which two lists differ.
fn same(one: &[String], other: &[String]) -> Result<(), TestCaseError> {
    let differ = one.iter().zip(other).find(|(one, other)| one != other);
    prop_assert!(
        differ.is_none() && one.len() == other.len(),
        "{} and {} rows: {differ:#?}",
        one.len(),
        other.len()
    );
    Ok(())
}

fn counts(effects: &[Effect]) -> BTreeMap<Counter, u64> {
    let mut counts = BTreeMap::new();
    for effect in effects {
        if let Effect::Count { counter, by } = effect {
            *counts.entry(*counter).or_default() += by;
        }
    }
    counts
}

/// A pseudo-random stream without a strategy, for the test that cuts it a thousand times.
pub(crate) fn fixed_readings(seed: u64, count: usize) -> Vec<Planned> {
    let mut state = seed;
    let mut next = |below: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    };
    (0..count)
        .map(|_| Planned {
            rack: next(2) as usize,
            signal: next(SIGNALS.len() as u64) as usize,
            time: next(480) as i64,
            level: next(13) as u8,
            delay: next(40) as i64,
        })
        .collect()
}

/// A thread for each task.
struct Threads;

impl Crew for Threads {
    fn hands(&self) -> usize {
        usize::MAX
    }

    fn each(&self, count: usize, task: &(dyn Fn(usize) + Sync)) {
        std::thread::scope(|scope| (0..count).for_each(|number| drop(scope.spawn(move || task(number)))));
    }
}

/// One after the other, the wrong way round.
struct LastFirst;

impl Crew for LastFirst {
    fn hands(&self) -> usize {
        2
    }

    fn each(&self, count: usize, task: &(dyn Fn(usize) + Sync)) {
        (0..count).rev().for_each(task);
    }
}

#[test]
fn a_restart_is_invisible_at_every_one_of_a_thousand_cuts() {
    let (mut cuts, mut seed) = (0, 0);
    while cuts < 1_000 {
        seed += 1;
        let records = stream(&fixed_readings(seed, 300), 1);
        let mut straight = Evaluator::new();
        let expected = effects_by_record(&mut straight, &records, 1);
        let mut restarted = Evaluator::new();
        for (index, (record, expected)) in records.iter().zip(&expected).enumerate() {
            let bytes = restarted.snapshot();
            restarted = Evaluator::restore(&bytes).unwrap();
            assert_eq!(restarted.snapshot(), bytes, "a restored state has the same bytes");
            let effects = effects_by_record(&mut restarted, std::slice::from_ref(record), index as u64 + 1);
            assert_eq!(effects, std::slice::from_ref(expected), "seed {seed}, record {index}: {record:?}");
            cuts += 1;
        }
        assert_eq!(restarted.snapshot(), straight.snapshot(), "seed {seed}");
        assert_eq!(restarted.rack_facts(), straight.rack_facts());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// However many hands work on partitions, in whatever order, and however records are cut into groups.
    #[test]
    fn many_hands_give_what_one_gives(planned in readings(), group in 1..60_usize) {
        let records = stream(&planned, 1);
        let mut alone = Evaluator::new();
        let expected = effects_by_record(&mut alone, &records, 1);
        for crew in [&Threads as &dyn Crew, &LastFirst, &Alone] {
            let mut together = Evaluator::new();
            let (mut told, mut first) = (Vec::new(), 1);
            for group in records.chunks(group) {
                told.extend(together.apply_together(crew, first, group));
                first += group.len() as u64;
            }
            prop_assert_eq!(&told, &expected);
            prop_assert_eq!(together.snapshot(), alone.snapshot());
        }
    }

    /// One restart anywhere, then on to the end.
    #[test]
    fn a_restart_is_invisible(planned in readings(), cut in 0.0..1.0_f64) {
        let records = stream(&planned, 1);
        let cut = (records.len() as f64 * cut) as usize;
        let mut straight = Evaluator::new();
        let expected = effects_by_record(&mut straight, &records, 1);
        let mut before = Evaluator::new();
        effects_by_record(&mut before, &records[..cut], 1);
        let mut after = Evaluator::restore(&before.snapshot()).unwrap();
        let effects = effects_by_record(&mut after, &records[cut..], cut as u64 + 1);
        prop_assert_eq!(&effects[..], &expected[cut..]);
        prop_assert_eq!(after.snapshot(), straight.snapshot());
    }

    /// What one rack brings changes nothing that is said about another.
    #[test]
    fn racks_do_not_influence_each_other(planned in readings()) {
        let alone: Vec<Planned> = planned.iter().filter(|planned| planned.rack == 0).cloned().collect();
        let about = |planned: &[Planned]| -> Vec<Effect> {
            let effects = effects_of(&stream(planned, 1));
            effects.iter().filter(|effect| is_about(effect, RACKS[0])).map(without_position).collect()
        };
        prop_assert_eq!(about(&planned), about(&alone));
    }

    /// Readings one by one are judged as readings in batches.
    #[test]
    fn the_size_of_a_batch_does_not_matter(planned in readings()) {
        let records = stream(&planned, 1);
        let mut single = Vec::new();
        for record in &records {
            let Body::Samples(batch) = &record.body else {
                single.push(record.clone());
                continue;
            };
            for index in 0..batch.len() {
                let one = SampleBatch {
                    series: vec![batch.series[index]],
                    time: vec![batch.time[index]],
                    value: vec![batch.value[index]],
                    flag: vec![batch.flag(index)],
                };
                single.push(Record { partition: record.partition, body: Body::Samples(one) });
            }
        }
        let (batches, singles) = (effects_of(&records), effects_of(&single));
        let told = |effects: &[Effect]| -> Vec<Effect> {
            let told = effects.iter().filter(|effect| !matches!(effect, Effect::Count { .. }));
            told.map(without_position).collect()
        };
        prop_assert_eq!(told(&batches), told(&singles));
        prop_assert_eq!(counts(&batches), counts(&singles));
    }

    /// Within the lateness the order of arrival changes no closed slice, block, row or onset.
    #[test]
    fn the_order_of_arrival_does_not_matter(planned in readings()) {
        // Two readings of one series and time are told apart by their arrival alone.
        let mut unique: BTreeMap<(usize, usize, i64), Planned> = BTreeMap::new();
        for planned in planned {
            unique.entry((planned.rack, planned.signal, planned.time)).or_insert(planned);
        }
        let delayed: Vec<Planned> = unique.into_values().collect();
        let prompt: Vec<Planned> = delayed.iter().map(|planned| Planned { delay: 0, ..planned.clone() }).collect();
        let (delayed, prompt) = (effects_of(&stream(&delayed, 1)), effects_of(&stream(&prompt, 1)));
        prop_assert!(!counts(&delayed).contains_key(&Counter::Late));
        same(&closed_rows(&delayed), &closed_rows(&prompt))?;
    }

    /// A tick that jumps is stepped through: what is judged does not depend on how often it ticks.
    #[test]
    fn the_size_of_a_tick_does_not_matter(planned in readings()) {
        let prompt: Vec<Planned> = planned.iter().map(|planned| Planned { delay: 0, ..planned.clone() }).collect();
        let mut records = stream(&prompt, 1);
        // Acts take effect at the watermark of their tick, so that they are left out here.
        records.retain(|record| {
            !matches!(record.body, Body::Run(_) | Body::Maintenance(_) | Body::Calibration(_))
        });
        let last = records.iter().rposition(|record| matches!(record.body, Body::Tick(_))).unwrap();
        let mut number = 0;
        let mut index = 0;
        let mut coarse = records.clone();
        coarse.retain(|record| {
            index += 1;
            number += i64::from(matches!(record.body, Body::Tick(_)));
            !matches!(record.body, Body::Tick(_)) || number % 7 == 0 || index - 1 == last
        });
        same(&judged_rows(&effects_of(&records)), &judged_rows(&effects_of(&coarse)))?;
    }

    /// Good, bad and unknown time together are the time that was asked for, to the microsecond.
    #[test]
    fn no_time_is_lost(planned in readings()) {
        for effect in effects_of(&stream(&planned, 1)) {
            let Effect::Status(row) = effect else { continue };
            let status = &row.status;
            // Of "loaded" only time under load is asked for; a rate is judged by slices of its own.
            if &*status.objective == "loaded" {
                continue;
            }
            let asked = row.time - status.since;
            prop_assert_eq!(status.time.asked(), asked, "{} {:?}", status.objective, status.scope);
            if status.scope == Scope::Run {
                prop_assert!(status.since >= BEGIN);
            }
        }
    }

    /// Equal records give equal effects, and equal bytes.
    #[test]
    fn the_same_records_give_the_same_bytes(planned in readings()) {
        let records = stream(&planned, 1);
        let (mut one, mut other) = (Evaluator::new(), Evaluator::new());
        prop_assert_eq!(
            effects_by_record(&mut one, &records, 1),
            effects_by_record(&mut other, &records, 1)
        );
        prop_assert_eq!(one.snapshot(), other.snapshot());
    }
}

#[test]
fn an_end_of_time_is_reached_after_the_lateness() {
    let records = stream(&fixed_readings(1, 10), 1);
    let mut evaluator = Evaluator::new();
    effects_by_record(&mut evaluator, &records, 1);
    assert_eq!(evaluator.watermark(), Some(EventTime::from_unix_micros(at(560).unix_micros() - LATENESS.0)));
}
