//! How far sensors are believed: what makes an objective unknown, what stands in, and what a calibration changes.

use evaluator::{Effect, StatusRow};
use proptest::prelude::*;
use telemetry::facts::{Ask, Comparison, Doubt, Need, Outcome, RackFacts, Trust, UnknownReason};
use telemetry::place::{Place, SeriesIdentity};
use telemetry::record::{Body, Calibration, Document, Feed, Flag};
use telemetry::table::{Cell, Table};
use telemetry::{EventTime, Microseconds};

use crate::script::{Sample, Story, at, effects_of, objective, story, story_at};

fn supply() -> Document {
    let slice = "slice: {length: 10s, aggregation: timeWeightedMean}";
    objective("supply", "coolant_supply_temperature", "Cel", "lte 45", "0.95", slice)
}

fn site(more: &str) -> Option<Document> {
    let head = "apiVersion: thermogate.dev/v1alpha1\nkind: Site\nmetadata: {name: s1}\nracks: [{name: r1}]\n";
    Some(Document { name: "site.yaml".to_owned(), text: format!("{head}{more}") })
}

fn calibration(sensor: Option<&str>, seconds: i64, offset: Option<f64>) -> Body {
    let place = Place { site: "s1".into(), rack: Some("r1".into()), ..Place::default() };
    Body::Calibration(Calibration {
        calibration: format!("c{seconds}").into(),
        identity: SeriesIdentity::new(place, "coolant_supply_temperature".into(), sensor.map(Into::into)),
        time: at(seconds),
        kind: if offset.is_some() { "offset".into() } else { "reset".into() },
        value: offset,
        reference: "bath 12".to_owned(),
        by: "ann".to_owned(),
        why: "yearly".to_owned(),
    })
}

fn rows(effects: &[Effect]) -> Vec<&StatusRow> {
    let statuses = effects.iter().filter_map(|effect| match effect {
        Effect::Status(row) => Some(&**row),
        _ => None,
    });
    statuses.collect()
}

fn last_facts(effects: &[Effect]) -> &RackFacts {
    let facts = effects.iter().rev().find_map(|effect| match effect {
        Effect::Publish(facts) => Some(&**facts),
        _ => None,
    });
    facts.expect("facts")
}

/// Rows of a table as text, and the time that stands in a column, in seconds of the story.
fn table(effects: &[Effect], table: Table, time: usize) -> Vec<(i64, Vec<String>)> {
    let rows = effects.iter().filter_map(Effect::row).filter(|row| row.table == table);
    let told = rows.map(|row| {
        let Cell::Time(moment) = row.cells[time] else { panic!("{:?}", row.cells) };
        let texts = row.cells.iter().filter_map(|cell| match cell {
            Cell::Text(text) => Some(text.to_string()),
            _ => None,
        });
        ((moment - at(0)).0 / 1_000_000, texts.collect())
    });
    told.collect()
}

/// Changes of trust: when, of what, from, to.
fn changes(effects: &[Effect]) -> Vec<String> {
    let events = table(effects, Table::Events, 5);
    events
        .into_iter()
        .map(|(seconds, texts)| {
            let [_, _, name, old, new, _] = &texts[..] else { panic!("{texts:?}") };
            format!("{}:{:02} {name} {old} -> {new}", seconds / 60, seconds % 60)
        })
        .collect()
}

/// A lively sensor for an hour, then the same value up to the end.
fn stuck_from_an_hour_on(signal: &str, value: f64) -> String {
    let lively = (0..60).map(|minute| {
        let value = value + f64::from(minute % 3) * 0.1;
        format!("r1 {signal} {minute}m..{}m {value}\n", minute + 1)
    });
    lively.collect::<String>() + &format!("r1 {signal} 60m..80m {}\n", value + 0.7)
}

fn lively(signal: &str, value: f64, minutes: i64) -> String {
    let lively = (0..minutes).map(|minute| {
        format!("r1 {signal} {minute}m..{}m {}\n", minute + 1, value + (minute % 2) as f64 * 0.1)
    });
    lively.collect()
}

#[test]
fn a_reading_that_its_source_flags_is_unknown_and_said_until_the_next_good_one() {
    let text = "feed 10s\nr1 coolant_supply_temperature 0m..5m 40\nr1 coolant_supply_temperature 5m..7m flagged\n\
                r1 coolant_supply_temperature 7m..10m 40\nuntil 10m\n";
    let effects = effects_of(&story(&[supply()], text).records);
    let minutes = |minutes| Microseconds::from_minutes(minutes);
    let [.., last] = &rows(&effects)[..] else { panic!("no status") };
    assert_eq!((last.status.time.good, last.status.time.unknown), (minutes(8), minutes(2)));
    let at_six = rows(&effects).into_iter().find(|row| row.time == at(360)).unwrap();
    assert_eq!(at_six.status.unknown_reason, Some(UnknownReason::Distrusted));
    let [Doubt { sensor, instead }] = &at_six.status.doubts[..] else { panic!("{:?}", at_six.status.doubts) };
    assert_eq!((sensor.trust, instead.len()), (Trust::Distrusted, 0));
    assert_eq!(
        changes(&effects),
        [
            "6:00 trust/coolant_supply_temperature trusted -> distrusted: its source does not trust its reading",
            "8:00 trust/coolant_supply_temperature distrusted: its source does not trust its reading -> trusted",
        ]
    );
    assert!(last_facts(&effects).sensors.is_empty());
}

#[test]
fn a_redundant_sensor_stands_in_for_one_that_is_stuck_and_that_is_said() {
    let site = site("redundancy: [{signal: coolant_supply_temperature, rack: r1, sensors: [a, b]}]\n");
    let text = format!(
        "feed 10s\n{}{}until 80m\n",
        stuck_from_an_hour_on("coolant_supply_temperature#a", 40.0),
        lively("coolant_supply_temperature#b", 41.0, 80)
    );
    let effects = effects_of(&story_at(site, &[supply()], &text).records);
    let [.., last] = &rows(&effects)[..] else { panic!("no status") };
    assert_eq!((last.status.outcome, last.status.time.unknown), (Outcome::Ok, Microseconds::ZERO));
    let value = last.status.last.as_ref().unwrap().value;
    assert!((value - 41.1).abs() < 1e-9, "the other one alone: {value}");
    let [Doubt { sensor, instead }] = &last.status.doubts[..] else { panic!("{:?}", last.status.doubts) };
    assert_eq!((sensor.trust, sensor.sensor.as_deref()), (Trust::Distrusted, Some("a")));
    assert_eq!((&*sensor.reason, sensor.since), ("finding stuck", Some(at(3_960))));
    assert_eq!(instead.iter().map(|name| &**name).collect::<Vec<_>>(), ["b"]);
    let told = changes(&effects);
    assert_eq!(told, ["66:00 trust/coolant_supply_temperature/a trusted -> distrusted: finding stuck"]);
}

#[test]
fn without_a_redundant_sensor_nothing_stands_in() {
    let text =
        format!("feed 10s\n{}until 80m\n", stuck_from_an_hour_on("coolant_supply_temperature#a", 40.0));
    let effects = effects_of(&story(&[supply()], &text).records);
    let [.., last] = &rows(&effects)[..] else { panic!("no status") };
    assert_eq!(
        (last.status.outcome, last.status.unknown_reason),
        (Outcome::Unknown, Some(UnknownReason::SensorFault))
    );
    assert_eq!(last.status.doubts[0].instead.len(), 0);
}

#[test]
fn of_three_sensors_the_median_of_those_that_are_known_counts() {
    let text = "feed 10s\nr1 coolant_supply_temperature#a 0m..10m 40\nr1 coolant_supply_temperature#b 0m..10m 42\n\
                r1 coolant_supply_temperature#c 0m..5m 90\nuntil 10m\n";
    let effects = effects_of(&story(&[supply()], text).records);
    let value = |seconds| {
        let row = rows(&effects).into_iter().find(|row| row.time == at(seconds)).unwrap();
        row.status.last.as_ref().unwrap().value
    };
    assert_eq!((value(240), value(600)), (42.0, 41.0), "the mean of two once the third is silent");
}

#[test]
fn sensors_that_the_site_file_does_not_name_as_redundant_are_not_read_beside_those_it_names() {
    let text = "feed 10s\nr1 coolant_supply_temperature#a 0m..10m 40\nr1 coolant_supply_temperature#b 0m..10m 42\n\
                r1 coolant_supply_temperature#outlet 0m..10m 90\nuntil 10m\n";
    let named = site("redundancy: [{signal: coolant_supply_temperature, rack: r1, sensors: [a, b]}]\n");
    for (site, expected) in [(None, 42.0), (named, 41.0)] {
        let effects = effects_of(&story_at(site, &[supply()], text).records);
        assert_eq!(rows(&effects).last().unwrap().status.last.as_ref().unwrap().value, expected);
    }
}

/// A reading of each sensor and a tick a minute, in [`from`, `to`) minutes.
fn by_the_minute(story: &mut Story, sensors: &[&str], from: i64, to: i64) {
    story.feed = Some(Feed::Periodic { interval: Microseconds::from_seconds(60) });
    for minute in from..to {
        let sample = |sensor: &&str| Sample {
            rack: "r1",
            signal: format!("coolant_supply_temperature#{sensor}"),
            time: at(minute * 60),
            value: 40.0 + (minute % 3) as f64 * 0.1,
            flag: Flag::Ok,
        };
        story.samples(&sensors.iter().map(sample).collect::<Vec<_>>());
        story.tick(at(minute * 60));
    }
}

/// Stories begin at 08:00 on 2026-01-05: a calibration of the day before that holds for two days ends after 16 hours.
#[test]
fn a_calibration_runs_out_on_its_day_and_a_record_renews_it() {
    let site = site(
        "calibrations: [{rack: r1, signal: coolant_supply_temperature, sensor: a, date: 2026-01-04, validDays: 2}]\n",
    );
    let mut story = Story::at_site(site, &[supply()]);
    by_the_minute(&mut story, &["a"], 0, 17 * 60);
    story.stream(calibration(Some("a"), 17 * 3_600 - 60, Some(0.0)));
    by_the_minute(&mut story, &["a"], 17 * 60, 18 * 60);
    let effects = effects_of(&story.records);
    let overdue = "uncalibrated: its calibration held until 2026-01-06T00:00:00.000000Z";
    assert_eq!(
        changes(&effects),
        [
            format!("960:00 trust/coolant_supply_temperature/a trusted -> {overdue}"),
            format!("1019:00 trust/coolant_supply_temperature/a {overdue} -> trusted"),
        ]
    );
    let [.., last] = &rows(&effects)[..] else { panic!("no status") };
    assert_eq!((last.status.outcome, last.status.time.unknown), (Outcome::Ok, Microseconds::ZERO), "judged");
    let at_half_past = rows(&effects).into_iter().find(|row| row.time == at(16 * 3_600 + 1_800)).unwrap();
    assert_eq!(at_half_past.status.doubts[0].sensor.trust, Trust::Uncalibrated);
    assert!(last_facts(&effects).sensors.is_empty());
}

#[test]
fn a_sensor_whose_calibration_has_run_out_is_left_out_while_a_trusted_one_is_there() {
    let site = site(
        "calibrations: [{rack: r1, signal: coolant_supply_temperature, sensor: b, date: 2026-01-03, validDays: 1}]\n",
    );
    let text = "feed 10s\nr1 coolant_supply_temperature#a 0m..10m 40\nr1 coolant_supply_temperature#b 0m..10m 44\n\
                r1 coolant_supply_temperature#b 10m..12m 44\nuntil 12m\n";
    let effects = effects_of(&story_at(site, &[supply()], text).records);
    let of = |seconds| rows(&effects).into_iter().find(|row| row.time == at(seconds)).unwrap().status.clone();
    assert_eq!(of(540).last.unwrap().value, 40.0);
    assert_eq!(of(540).doubts[0].instead.iter().map(|name| &**name).collect::<Vec<_>>(), ["a"]);
    assert_eq!(
        of(720).last.unwrap().value,
        44.0,
        "once the trusted one is silent, the one in doubt is judged"
    );
    assert_eq!(of(720).outcome, Outcome::Ok);
}

#[test]
fn an_offset_takes_the_place_of_the_one_before_from_its_own_time_on() {
    let mut story = Story::default();
    story.configure(&[supply()], "c1");
    by_the_minute(&mut story, &["a"], 0, 30);
    // Registered late, and earlier than the watermark: in force from the watermark on, 28:30.
    story.stream(calibration(Some("a"), 10 * 60, Some(100.0)));
    by_the_minute(&mut story, &["a"], 30, 60);
    story.stream(calibration(Some("a"), 59 * 60, Some(-100.0)));
    by_the_minute(&mut story, &["a"], 60, 90);
    let effects = effects_of(&story.records);
    let blocks: Vec<(EventTime, f64)> = effects
        .iter()
        .filter_map(|effect| match effect {
            Effect::Block(block) => Some((block.time, block.last)),
            _ => None,
        })
        .collect();
    let last = |minute: i64| blocks.iter().rfind(|(time, _)| *time <= at(minute * 60)).unwrap().1.round();
    assert_eq!([last(27), last(30), last(57), last(60), last(80)], [40.0, 140.0, 140.0, -60.0, -60.0]);
    let registered = table(&effects, Table::Calibrations, 7);
    assert_eq!(registered.iter().map(|(seconds, _)| *seconds).collect::<Vec<_>>(), [1_710, 3_540]);
    assert!(registered[0].1.contains(&"bath 12".to_owned()), "{registered:?}");
}

#[test]
fn a_hard_limit_looks_at_readings_as_their_calibration_has_them() {
    let limit = Need {
        name: "cool".into(),
        ask: Ask::HardLimit {
            signal: "coolant_supply_temperature".into(),
            comparison: Comparison::Lte,
            threshold: 45.0,
            unit: "Cel".into(),
        },
    };
    let mut story = Story::default();
    story.needs = vec![limit];
    story.configure(&[], "c1");
    by_the_minute(&mut story, &["a"], 0, 10);
    story.stream(calibration(Some("a"), 9 * 60, Some(10.0)));
    by_the_minute(&mut story, &["a"], 10, 11);
    let effects = effects_of(&story.records);
    let [status] = &last_facts(&effects).objectives[..] else { panic!("one limit") };
    assert_eq!(status.outcome, Outcome::NotOk, "40 and 10 are more than 45, on arrival: {status:?}");
}

#[test]
fn an_offset_is_no_movement_of_a_sensor_that_is_stuck() {
    let text =
        format!("feed 10s\n{}until 75m\n", stuck_from_an_hour_on("coolant_supply_temperature#a", 40.0));
    let mut told = story(&[supply()], &text);
    let tick = told.records.iter().rposition(|record| record.body == Body::Tick(at(70 * 60))).unwrap();
    let record = telemetry::record::Record {
        partition: telemetry::record::PartitionId::STREAM,
        body: calibration(Some("a"), 70 * 60, Some(0.5)),
    };
    told.records.insert(tick + 1, record);
    let effects = effects_of(&told.records);
    assert_eq!(last_facts(&effects).sensors[0].trust, Trust::Distrusted);
    assert_eq!(changes(&effects).len(), 1);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Whatever a source flags and of whichever of two sensors: there is never more good time than without, all of it
    /// lies where a sensor was trusted, and where neither is nothing is good.
    #[test]
    fn a_distrusted_sensor_never_makes_good_time(flags in prop::collection::vec((any::<bool>(), any::<bool>()), 60)) {
        let mut story = Story::default();
        story.configure(&[supply()], "c1");
        story.feed = Some(Feed::Periodic { interval: Microseconds::from_seconds(10) });
        for (step, (one, other)) in (0..).zip(&flags) {
            let sample = |sensor: &str, is_flagged: bool| Sample {
                rack: "r1",
                signal: format!("coolant_supply_temperature#{sensor}"),
                time: at(step * 10),
                value: 40.0,
                flag: if is_flagged { Flag::Distrusted } else { Flag::Ok },
            };
            story.samples(&[sample("a", *one), sample("b", *other)]);
            story.tick(at(step * 10));
        }
        story.tick(at(630));
        let effects = effects_of(&story.records);
        let Some(last) = rows(&effects).last().copied() else { return Ok(()) };
        let begin = (last.status.since - at(0)).0 / 10_000_000;
        let end = (last.time - at(0)).0 / 10_000_000;
        let judged = &flags[begin as usize..end as usize];
        let trusted = judged.iter().filter(|(one, other)| !(*one && *other)).count() as i64;
        prop_assert_eq!(last.status.time.good, Microseconds::from_seconds(10 * trusted));
        prop_assert_eq!(last.status.time.unknown, Microseconds::from_seconds(10 * (judged.len() as i64 - trusted)));
    }
}
