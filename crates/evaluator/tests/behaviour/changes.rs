//! What happens to state when objectives and sites change, and what becomes of each reading.

use std::collections::BTreeMap;

use evaluator::{Effect, Effects, Evaluator, StatusRow};
use telemetry::facts::{Ask, Comparison, Need, ObjectiveStatus, Outcome, PowerLimit, RackFacts, Scope};
use telemetry::place::Place;
use telemetry::record::{Body, Document, Fate, Feed, Flag, PlaceEvent, Record};
use telemetry::table::{Cell, Table};
use telemetry::{EventTime, Microseconds};

use crate::script::{LATENESS, Sample, Story, at, effects_of, objective, story};

const SLICE: &str = "slice: {length: 10s, aggregation: timeWeightedMean}";

fn supply(limit: &str) -> Document {
    objective("supply", "coolant_supply_temperature", "Cel", limit, "0.99", SLICE)
}

fn sample(signal: &str, seconds: i64, value: f64) -> Sample {
    Sample { rack: "r1", signal: signal.to_owned(), time: at(seconds), value, flag: Flag::Ok }
}

/// Readings of supply and power every 10 s, and ticks, in [`from`, `to`).
fn play(story: &mut Story, from: i64, to: i64, celsius: f64) {
    story.feed = Some(Feed::Periodic { interval: Microseconds::from_seconds(10) });
    for second in from..to {
        if second % 10 == 0 {
            story.samples(&[
                sample("coolant_supply_temperature", second, celsius),
                sample("rack_power", second, 98.0),
            ]);
        }
        story.tick(at(second));
    }
}

fn statuses(effects: &[Effect], scope: Scope) -> Vec<&StatusRow> {
    let rows = effects.iter().filter_map(|effect| match effect {
        Effect::Status(row) if row.status.scope == scope => Some(&**row),
        _ => None,
    });
    rows.collect()
}

fn last_facts(effects: &[Effect], rack: &str) -> RackFacts {
    let facts = effects.iter().rev().find_map(|effect| match effect {
        Effect::Publish(facts) if facts.place.rack.as_deref() == Some(rack) => Some((**facts).clone()),
        _ => None,
    });
    facts.expect("facts of the rack")
}

fn status_of(facts: &RackFacts, objective: &str) -> ObjectiveStatus {
    facts.objectives.iter().find(|status| &*status.objective == objective).expect("its status").clone()
}

#[test]
fn an_unchanged_objective_keeps_its_state_and_a_changed_one_begins_anew() {
    let mut story = Story::with(&[supply("lte 45")]);
    play(&mut story, 0, 600, 40.0);
    let mut reworded = supply("lte 45");
    reworded.text =
        reworded.text.replace("  service: test\n", "  description: in other words\n  service: test\n");
    story.configure(&[reworded], "c2");
    play(&mut story, 600, 1_200, 40.0);
    story.configure(&[supply("lte 44")], "c3");
    play(&mut story, 1_200, 1_800, 40.0);
    let effects = effects_of(&story.records);
    let rows = statuses(&effects, Scope::Rolling);
    let before = rows.iter().rfind(|row| row.status.threshold == 45.0).unwrap();
    assert_eq!((before.status.since, before.status.time.good), (at(0), before.time - at(0)));
    assert_eq!(&*before.configuration, "c2");
    let after = rows.last().unwrap();
    // The watermark was half a minute behind when the configuration changed.
    assert_eq!((after.status.threshold, after.status.since), (44.0, at(1_160)));
    assert_eq!(after.status.time.good, after.time - at(1_160));
}

#[test]
fn a_configuration_that_does_not_parse_changes_nothing() {
    let mut story = Story::with(&[supply("lte 45")]);
    play(&mut story, 0, 120, 40.0);
    story.configure(&[Document { name: "torn.yaml".into(), text: "kind: SLO\nmetadata: {".into() }], "torn");
    play(&mut story, 120, 300, 40.0);
    let effects = effects_of(&story.records);
    let counted = effects.iter().any(|effect| match effect {
        Effect::Count { counter, .. } => *counter == evaluator::Counter::ConfigurationRefused,
        _ => false,
    });
    assert!(counted);
    let facts = last_facts(&effects, "r1");
    assert_eq!((&*facts.configuration, status_of(&facts, "supply").outcome), ("c1", Outcome::Ok));
}

#[test]
fn a_rack_that_is_put_on_a_loop_keeps_what_is_remembered_of_it() {
    let objectives = [supply("lte 45")];
    let mut story = Story::with(&objectives);
    play(&mut story, 0, 600, 40.0);
    story.move_to("cdu1", &objectives);
    play(&mut story, 600, 1_200, 40.0);
    let effects = effects_of(&story.records);
    let facts = last_facts(&effects, "r1");
    assert_eq!(facts.place.cooling_loop.as_deref(), Some("cdu1"));
    let status = status_of(&facts, "supply");
    assert_eq!(
        (status.since, status.time.unknown),
        (at(0), Microseconds::ZERO),
        "no gap, and no new beginning"
    );
    assert_eq!(status.time.good, at(1_140) - at(0), "as of the last publication");
    assert_eq!(facts.coverage.len(), 2);
    let is_said = |effect: &&Effect| match effect {
        // That it draws nearly its nominal power is nobody's trouble, and known only on the loop.
        Effect::Finding(finding) => &*finding.detector != "power_envelope",
        Effect::Alert(_) => true,
        _ => false,
    };
    let said: Vec<_> = effects.iter().filter(is_said).collect();
    assert!(said.is_empty(), "{said:?}");
    // A restart in the middle of the move is invisible too.
    let mut restarted = Evaluator::new();
    let mut told = Vec::new();
    for (sequence, record) in (1..).zip(&story.records) {
        let mut effects = Effects::default();
        if matches!(record.body, Body::Series(_) | Body::Samples(_)) {
            restarted = Evaluator::restore(&restarted.snapshot()).unwrap();
        }
        restarted.apply(sequence, record, &mut effects);
        told.append(&mut effects.list);
    }
    assert_eq!(told, effects);
}

#[test]
fn each_reading_is_told_what_became_of_it() {
    let mut story = Story::with(&[]);
    let temperature = "coolant_supply_temperature";
    story.samples(&[sample(temperature, 0, 40.0)]);
    story.tick(at(100));
    let readings = [
        (sample(temperature, 100, 40.0), Fate::Stored(Flag::Ok)),
        (sample(temperature, 100, 40.0), Fate::Duplicate),
        (sample(temperature, 100, 41.0), Fate::Conflict),
        (sample(temperature, 69, 40.0), Fate::Stored(Flag::Late)),
        (sample(temperature, 70, 40.0), Fate::Stored(Flag::Ok)),
        (sample(temperature, 0, 40.0), Fate::Duplicate),
        (
            Sample { flag: Flag::Implausible, ..sample(temperature, 110, 900.0) },
            Fate::Stored(Flag::Implausible),
        ),
        (Sample { flag: Flag::Future, ..sample(temperature, 900, 40.0) }, Fate::Stored(Flag::Future)),
        (Sample { flag: Flag::Unusual, ..sample(temperature, 120, 55.0) }, Fate::Stored(Flag::Unusual)),
    ];
    for (sample, _) in &readings {
        story.samples(std::slice::from_ref(sample));
    }
    let mut evaluator = Evaluator::new();
    let mut effects = Effects::default();
    for (sequence, record) in (1..).zip(&story.records) {
        evaluator.apply(sequence, record, &mut effects);
    }
    let expected: Vec<Fate> = readings.iter().map(|(_, fate)| *fate).collect();
    assert_eq!(effects.fates[1..], expected);
}

#[test]
fn a_clock_that_runs_ahead_is_a_finding() {
    let mut story = Story::with(&[]);
    play(&mut story, 0, 60, 40.0);
    story.samples(&[sample("coolant_supply_temperature", 70, 40.0)]);
    play(&mut story, 61, 200, 40.0);
    let told = crate::script::tell(&effects_of(&story.records));
    insta::assert_snapshot!(told, @r"
    1:01 finding skew r1 onset 1:01
    1:01 TelemetryClockSkew r1 inactive -> firing since 1:01
    1:01 finding skew r1 onset 1:01 ended 2:01
    2:01 TelemetryClockSkew r1 firing -> resolved since 1:01
    ");
}

#[test]
fn a_rack_near_its_nominal_power_is_told_and_nobody_is_alerted() {
    let mut story = Story::default();
    story.move_to("cdu1", &[]);
    play(&mut story, 0, 900, 40.0);
    let told = crate::script::tell(&effects_of(&story.records));
    let told: String =
        told.lines().filter(|line| line.contains("nvelope")).map(|line| format!("{line}\n")).collect();
    insta::assert_snapshot!(told, @"10:00 finding power_envelope cdu1/r1 onset 0:00");
}

#[test]
fn gates_get_the_load_and_the_limits_that_they_ask_for() {
    let mut story = Story::default();
    story.needs = vec![
        Need { name: "load".into(), ask: Ask::PowerAtLeast(PowerLimit::ShareOfNominal(0.95)) },
        Need { name: "heavy".into(), ask: Ask::PowerAtLeast(PowerLimit::Kilowatts(99.0)) },
        Need {
            name: "dry".into(),
            ask: Ask::HardLimit {
                signal: "leak_state".into(),
                comparison: Comparison::Equal,
                threshold: 0.0,
                unit: "".into(),
            },
        },
    ];
    story.move_to("cdu1", &[]);
    story.samples(&[sample("leak_state", 0, 1.0)]);
    play(&mut story, 0, 700, 40.0);
    let effects = effects_of(&story.records);
    let facts = last_facts(&effects, "r1");
    let measures: BTreeMap<&str, _> =
        facts.measures.iter().map(|measure| (&*measure.need, measure)).collect();
    let minutes = Microseconds::from_minutes;
    assert_eq!(measures["load"].threshold_kilowatts, Some(95.0), "of the site file's nominal power");
    assert_eq!((measures["load"].longest, measures["load"].asked), (minutes(11), minutes(11)));
    assert_eq!((measures["heavy"].total, measures["heavy"].known), (Microseconds::ZERO, minutes(11)));
    assert_eq!(status_of(&facts, "dry").outcome, Outcome::NotOk);
    let alerts: Vec<_> = effects.iter().filter(|effect| matches!(effect, Effect::Alert(_))).collect();
    let paged = alerts.iter().any(|effect| format!("{effect:?}").contains("DryCritical"));
    assert!(!paged, "a limit of a gate policy calls nobody: {alerts:?}");
}

#[test]
fn a_short_run_says_which_burn_windows_it_leaves_out() {
    let burn =
        evaluator::default_documents().into_iter().find(|document| document.name.contains("burn")).unwrap();
    let records = story(
        &[supply("lte 45"), burn],
        "
        feed 10s
        r1 coolant_supply_temperature 0m..3m 40
        run a on r1 at 1m for 20m
        until 3m
        ",
    )
    .records;
    let effects = effects_of(&records);
    let note = effects.iter().find_map(|effect| match effect {
        Effect::Row(row) if row.table == Table::Runs => match &row.cells[9] {
            Cell::Text(note) => Some(note.clone()),
            _ => None,
        },
        _ => None,
    });
    assert!(note.unwrap().starts_with("burn-rate windows too short for this run, not judged: supply "));
}

#[test]
fn ticks_are_told_in_runs() {
    let mut story = Story::with(&[]);
    (0..1_300).for_each(|second| story.tick(at(second)));
    let rows = effects_of(&story.records);
    let ticks: Vec<String> = rows
        .iter()
        .filter_map(|effect| match effect {
            Effect::Row(row) if row.table == Table::Log => match (&row.cells[0], &row.cells[2]) {
                (Cell::Text(kind), Cell::Text(body)) if &**kind == "tick" => Some(body.to_string()),
                _ => None,
            },
            _ => None,
        })
        .collect();
    let expected = |first: i64, last: i64| {
        let micros = |seconds| at(seconds).unix_micros();
        format!("{{\"first\":{},\"last\":{},\"step\":1000000}}", micros(first), micros(last))
    };
    assert_eq!(ticks, [expected(0, 599), expected(600, 1_199)]);
}

#[test]
fn an_offset_from_a_calibration_is_added_from_its_time_on() {
    let mut story = Story::with(&[supply("lte 45")]);
    play(&mut story, 0, 300, 44.0);
    let identity = story
        .records
        .iter()
        .find_map(|record| match &record.body {
            Body::Series(declaration) => Some(declaration.identity.clone()),
            _ => None,
        })
        .unwrap();
    let calibration = telemetry::record::Calibration {
        calibration: "c1".into(),
        reference: "a bath".to_owned(),
        identity,
        time: at(300),
        kind: "offset".into(),
        value: Some(2.0),
        by: "ann".into(),
        why: "compared with a reference".into(),
    };
    story.records.push(Record {
        partition: telemetry::record::PartitionId::STREAM,
        body: Body::Calibration(calibration),
    });
    play(&mut story, 300, 640, 44.0);
    let effects = effects_of(&story.records);
    let rows = statuses(&effects, Scope::Rolling);
    let last = rows.last().unwrap();
    assert_eq!(last.time, at(600));
    assert_eq!((last.status.time.good, last.status.time.bad), (at(300) - at(0), at(600) - at(300)));
}

#[test]
fn the_watermark_is_the_last_tick_less_the_lateness_and_never_goes_back() {
    let mut evaluator = Evaluator::new();
    let mut effects = Effects::default();
    let mut story = Story::with(&[]);
    [0, 50, 40].into_iter().for_each(|second| story.tick(at(second)));
    for (sequence, record) in (1..).zip(&story.records) {
        evaluator.apply(sequence, record, &mut effects);
    }
    assert_eq!(evaluator.watermark(), Some(at(50) - LATENESS));
    assert_eq!(evaluator.last_tick(), Some(EventTime::from_unix_micros(at(50).unix_micros())));
}

#[test]
fn a_rack_is_shown_with_the_first_tick_after_its_first_reading() {
    let mut story = Story::with(&[supply("lte 45")]);
    story.samples(&[sample("coolant_supply_temperature", 0, 40.0)]);
    assert!(!effects_of(&story.records).iter().any(|effect| matches!(effect, Effect::Publish(_))));
    story.tick(at(1));
    let facts = last_facts(&effects_of(&story.records), "r1");
    assert_eq!(status_of(&facts, "supply").outcome, Outcome::Unknown, "nothing is judged yet");
}

#[test]
fn what_was_last_told_of_a_place_is_known_after_a_restart() {
    let place = Place { site: "s".into(), rack: Some("r1".into()), ..Place::default() };
    let told = |seconds, old: &str, new: &str| PlaceEvent {
        place: place.clone(),
        time: at(seconds),
        name: "image".into(),
        old: old.into(),
        new: new.into(),
        source_name: "test".into(),
    };
    let mut story = Story::with(&[supply("lte 45")]);
    let partition = story.records[0].partition;
    for event in [told(0, "", "a"), told(60, "a", "b")] {
        story.records.push(Record { partition, body: Body::Event(event) });
    }
    let (mut evaluator, mut effects) = (Evaluator::new(), Effects::default());
    for (sequence, record) in (1..).zip(&story.records) {
        evaluator.apply(sequence, record, &mut effects);
    }
    let restored = Evaluator::restore(&evaluator.snapshot()).unwrap();
    assert_eq!(restored.told().collect::<Vec<_>>(), [&told(60, "a", "b")]);
    let rows =
        effects.list.iter().filter(|effect| effect.row().is_some_and(|row| row.table == Table::Events));
    assert_eq!(rows.count(), 2);
}

/// A broken clock of the first source must not make judging step through half a century.
#[test]
fn a_first_reading_of_1970_does_not_hold_up_judging() {
    let mut story = Story::with(&[supply("lte 45")]);
    let epoch = EventTime::from_unix_micros(0);
    let first = Sample { time: epoch, ..sample("coolant_supply_temperature", 0, 40.0) };
    story.samples(&[first, sample("coolant_supply_temperature", 0, 40.0)]);
    story.tick(at(0));
    play(&mut story, 10, 600, 40.0);
    let facts = last_facts(&effects_of(&story.records), "r1");
    let status = status_of(&facts, "supply");
    assert!(at(0) - status.since <= Microseconds::from_hours(25), "judged since {}", status.since);
    assert!(
        status.time.unknown >= Microseconds::from_hours(23),
        "the day before is unknown: {:?}",
        status.time
    );
    assert!(status.time.good >= Microseconds::from_minutes(8), "{:?}", status.time);
}

#[test]
fn a_pump_trip_begins_with_the_earlier_of_two_low_readings_whichever_arrives_first() {
    let mut story = Story::with(&[]);
    for second in (0..=300).step_by(10) {
        story.samples(&[sample("coolant_flow", second, 150.0)]);
        story.tick(at(second));
    }
    story.samples(&[sample("coolant_flow", 320, 3.0)]);
    story.samples(&[sample("coolant_flow", 310, 3.0)]);
    let effects = effects_of(&story.records);
    let trip = effects.iter().find_map(|effect| match effect {
        Effect::Finding(finding) if &*finding.detector == "pump_trip" => Some(finding),
        _ => None,
    });
    let trip = trip.expect("two readings make a trip");
    assert_eq!((trip.onset, trip.detected), (at(310), at(320)));
}
