//! What gates may compare a rack by: batches of steady load, and ended runs with what gates said about them.

use std::sync::Arc;

use evaluator::{Effect, Effects, Evaluator};
use telemetry::facts::{Metric, RackFacts};
use telemetry::record::{Body, Record, VerdictRecord};
use telemetry::table::{Cell, Table};

use crate::script::{at, effects_of, story};

/// A rack at rest but for a higher temperature from the 20th minute on, with a run from the 20th to the 41st.
const STORY: &str = "
    feed 10s
    r1 rack_power 0m..60m 90
    r1 coolant_supply_temperature 0m..60m 30
    r1 gpu_power@gpu0 0m..60m 700
    r1 gpu_temperature@gpu0 0m..20m 60
    r1 gpu_temperature@gpu0 20m..60m 61
    run a on r1 at 20m for 30m
    end a at 41m
";

fn play(evaluator: &mut Evaluator, records: &[Record], first: u64) {
    let mut effects = Effects::default();
    for (sequence, record) in (first..).zip(records) {
        effects.clear();
        evaluator.apply(sequence, record, &mut effects);
    }
}

fn facts_of(records: &[Record]) -> Arc<RackFacts> {
    let mut evaluator = Evaluator::new();
    play(&mut evaluator, records, 1);
    evaluator.rack_facts().remove(0)
}

fn told(verdict: &str, answer: &str) -> Record {
    let record = VerdictRecord {
        evaluation: verdict.into(),
        policy: "p".into(),
        policy_hash: "".into(),
        racks: vec!["r1".into()],
        run: Some("a".into()),
        verdict: verdict.into(),
        answer: answer.to_owned(),
        facts: String::new(),
        watermark: at(2_400),
        wait_until: None,
        time: at(2_430),
        engine: "".into(),
    };
    Record { partition: telemetry::record::PartitionId::STREAM, body: Body::Verdict(record) }
}

#[test]
fn a_rack_at_rest_gives_a_batch_every_five_minutes_and_none_is_from_before_and_after_a_runs_start() {
    let facts = facts_of(&story(&[], &format!("{STORY}until 60m")).records);
    let batches = &facts.batches.as_ref().expect("steady load").batches;
    let before = libm::log(30.0 / 700.0);
    for batch in batches {
        let expected = if batch.end() <= at(20 * 60) { before } else { libm::log(31.0 / 700.0) };
        let found = batch.logarithm(Metric::ThermalResistance).expect("known");
        assert!((found - expected).abs() < 1e-6, "{batch:?}");
        assert_eq!((batch.power_kilowatts(), batch.setpoint_celsius()), (Some(90.0), Some(30.0)));
        assert_eq!(batch.logarithm(Metric::HydraulicResistance), None, "nothing measures it");
    }
    // The gate asks for a few quiet minutes first; then every batch of the hour is there.
    assert_eq!(batches.last().map(|batch| batch.end()), Some(at(60 * 60)));
    assert!(batches.len() >= 11, "{batches:?}");
}

#[test]
fn an_ended_run_is_remembered_with_what_gates_said_and_a_dry_run_says_nothing() {
    let mut records = story(&[], &format!("{STORY}until 50m")).records;
    let untold = facts_of(&records);
    let runs = &untold.batches.as_ref().unwrap().runs;
    assert_eq!(runs.len(), 1);
    let summary = runs[0].metric(Metric::ThermalResistance).expect("steady load");
    assert!((summary.mean - libm::log(31.0 / 700.0)).abs() < 1e-6 && summary.batches == 4, "{summary:?}");
    assert_eq!((runs[0].passed, runs[0].warned, runs[0].failed), (false, false, false));
    records.push(told("PASS", "{\"dry_run\":true,\"verdict\":\"PASS\",\"would_be\":\"FAIL\"}"));
    assert!(!facts_of(&records).batches.as_ref().unwrap().runs[0].passed, "a policy that is only tried");
    records.push(told("PASS", "{\"dry_run\":false,\"verdict\":\"PASS\"}"));
    records.push(told("WARN", "{\"dry_run\":false,\"verdict\":\"WARN\",\"without_baseline\":true}"));
    assert!(!facts_of(&records).batches.as_ref().unwrap().runs[0].warned, "a first run can be a baseline");
    records.push(told("WARN", "{\"dry_run\":false,\"verdict\":\"WARN\"}"));
    let run = facts_of(&records).batches.as_ref().unwrap().runs[0].clone();
    assert_eq!((run.passed, run.warned, run.failed), (true, true, false));
}

#[test]
fn a_burst_that_settles_tells_its_time_in_the_batch_of_its_end() {
    let objective = telemetry::record::Document {
        name: "recovery.yaml".into(),
        text: include_str!("../../../../slo/recovery.yaml").replace("shareOfNominal: 0.1", "step: 12"),
    };
    let text = "
        feed 10s
        r1 rack_power 0m..20m 40
        r1 rack_power 20m..60m 90
        r1 coolant_supply_temperature_setpoint 0m..60m 35
        r1 coolant_supply_temperature 0m..20m 35
        r1 coolant_supply_temperature 20m..24m 37
        r1 coolant_supply_temperature 24m..60m 35
        until 60m
    ";
    let settled = |objectives: &[telemetry::record::Document]| -> Vec<(telemetry::EventTime, f64)> {
        let facts = facts_of(&story(objectives, text).records);
        let batches = facts.batches.iter().flat_map(|facts| &facts.batches);
        batches.filter_map(|batch| Some((batch.end(), batch.logarithm(Metric::SettlingTime)?))).collect()
    };
    let found = settled(std::slice::from_ref(&objective));
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0].0, at(25 * 60), "back after four minutes, and sure of it a minute later");
    assert!((found[0].1 - libm::log(240.0)).abs() < 1e-6, "{found:?}");
    assert_eq!(settled(&[]), [], "without an objective nobody says what is settled");
    let rows: Vec<Vec<Cell>> = effects_of(&story(&[objective], text).records)
        .into_iter()
        .filter_map(|effect| match effect {
            Effect::Row(row) if row.table == Table::Recoveries => Some(row.cells),
            _ => None,
        })
        .collect();
    let expected = vec![
        Cell::from("coolant-supply-recovery"),
        Cell::Null,
        Cell::from("r1"),
        Cell::Time(at(25 * 60)),
        Cell::Time(at(20 * 60)),
        Cell::from("within"),
        Cell::Number(240.0),
    ];
    assert_eq!(rows, [expected], "told once, when it is known");
}

#[test]
fn a_restart_keeps_what_a_rack_is_compared_by() {
    let records = story(&[], &format!("{STORY}until 50m")).records;
    let whole = facts_of(&records);
    for cut in (records.len() / 20..records.len()).step_by(records.len() / 20) {
        let mut before = Evaluator::new();
        play(&mut before, &records[..cut], 1);
        let mut after = Evaluator::restore(&before.snapshot()).unwrap();
        play(&mut after, &records[cut..], cut as u64 + 1);
        assert_eq!(after.rack_facts()[0].batches, whole.batches, "cut at {cut}");
    }
}

#[test]
fn people_at_work_make_the_rack_another_one() {
    let facts = facts_of(&story(&[], &format!("{STORY}maintenance r1 42m..45m\nuntil 60m")).records);
    let compared = facts.batches.as_ref().unwrap();
    assert!(compared.batches.iter().all(|batch| at(45 * 60) <= batch.start()), "{:?}", compared.batches);
    assert!(!compared.batches.is_empty());
    assert_eq!(compared.runs.len(), 1, "what a run was like stays known");
}
