//! Every named query runs and answers with the columns that it promises; those about recorded data give its figures.

use std::collections::BTreeMap;
use std::path::PathBuf;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{Float64Type, Int64Type, TimestampMicrosecondType};
use history::query::NamedQuery;
use telemetry::place::Place;
use telemetry::record::Flag;
use telemetry::table::{Cell, Table};
use telemetry::{EventTime, Labels, Microseconds};

use crate::recorded::Recorded;

fn rack(name: &str) -> Place {
    Place::of_rack(&"s1".into(), None, &name.into())
}

fn gpu(rack_name: &str, device: &str) -> Place {
    Place { node: Some("n1".into()), device: Some(device.into()), ..rack(rack_name) }
}

fn at(seconds: i64) -> EventTime {
    EventTime::from_rfc3339("2026-01-05T10:00:00Z").unwrap() + Microseconds::from_seconds(seconds)
}

fn numbers(answer: &RecordBatch, column: &str) -> Vec<Option<f64>> {
    answer.column_by_name(column).unwrap().as_primitive::<Float64Type>().iter().collect()
}

fn counts(answer: &RecordBatch, column: &str) -> Vec<i64> {
    answer.column_by_name(column).unwrap().as_primitive::<Int64Type>().values().to_vec()
}

fn texts(answer: &RecordBatch, column: &str) -> Vec<Option<String>> {
    let column = answer.column_by_name(column).unwrap();
    let column = arrow::compute::cast(column, &arrow::datatypes::DataType::Utf8).unwrap();
    column.as_string::<i32>().iter().map(|text| text.map(str::to_owned)).collect()
}

fn text(value: &str) -> Option<String> {
    Some(value.to_owned())
}

/// A file of recorded data, or `None` where there is none.
fn recorded(file: &str) -> Option<String> {
    let folder = std::env::var("THERMOGATE_TEST_DATA").unwrap_or_else(|_| "../shared/data".to_owned());
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..").join(folder).join(file);
    match std::fs::read_to_string(&path) {
        Ok(text) => Some(text),
        Err(error) => {
            println!("skipped: {}: {error}", path.display());
            assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "CI must have the recorded data");
            None
        }
    }
}

#[tokio::test]
async fn every_query_answers_an_empty_history_with_the_columns_it_promises() {
    let recorded = Recorded::new().await;
    for query in NamedQuery::all() {
        let required: Vec<_> = query
            .parameters
            .iter()
            .filter(|parameter| parameter.default.is_none())
            .map(|parameter| (parameter.name.as_str(), "r1"))
            .collect();
        assert_eq!(recorded.ask(query.name, &required).await.num_rows(), 0, "{}", query.name);
    }
}

#[tokio::test]
async fn every_parameter_can_be_given() {
    let mut recorded = Recorded::new().await;
    recorded.add(rack("r1"), "rack_power", at(0), 30.0, Flag::Ok);
    for query in NamedQuery::all() {
        let values: Vec<(&str, &str)> = query
            .parameters
            .iter()
            .map(|parameter| {
                let value = match parameter.kind.name() {
                    "text" => "it's",
                    "number" => "-4.5e-1",
                    "time" => "2026-01-05T10:00:00+01:00",
                    _ => "90s",
                };
                (parameter.name.as_str(), value)
            })
            .collect();
        recorded.ask(query.name, &values).await;
    }
}

#[tokio::test]
async fn heat_balance_of_the_recorded_racks_is_that_of_their_description() {
    let Some(messages) = recorded("dsx/dsx_exemplar.csv") else { return };
    let mut recorded = Recorded::new().await;
    let mut racks = BTreeMap::new();
    for line in messages.lines().skip(1) {
        let (offset, rest) = line.split_once(',').unwrap();
        let (topic, payload) = rest.split_once(',').unwrap();
        let payload = payload.trim_matches('"').replace("\"\"", "\"").replace("{{timestamp_ms}}", "0");
        let payload: serde_json::Value = serde_json::from_str(&payload).unwrap();
        let parts: Vec<&str> = topic.splitn(7, '/').collect();
        let signal = match parts[5] {
            "RackLiquidFlow" => "coolant_flow",
            "RackLiquidSupplyTemperature" => "coolant_supply_temperature",
            "RackLiquidReturnTemperature" => "coolant_return_temperature",
            "RackLiquidDifferentialPressure" => "coolant_differential_pressure",
            "RackPower" => "rack_power",
            _ => continue,
        };
        if parts[3] == "Metadata" {
            racks.insert(parts[6].to_owned(), payload["rackLocationId"].as_str().unwrap().to_owned());
        } else {
            let time = at(0) + offset_of(offset);
            recorded.add(rack(&racks[parts[6]]), signal, time, payload["value"].as_f64().unwrap(), Flag::Ok);
        }
    }

    let water = recorded.ask("heat_balance", &[]).await;
    let names: Vec<_> = (1..=6).map(|rack| text(&format!("Pod1C-E0{rack}"))).collect();
    assert_eq!(texts(&water, "rack"), names);
    // Columns for people are rounded to a thousandth, the description's figures to the fourth digit.
    let expect = |answer: &RecordBatch, column: &str, expected: &[Option<f64>]| {
        let found = numbers(answer, column);
        let agree = found.iter().zip(expected).all(|(found, expected)| match (found, expected) {
            (Some(found), Some(expected)) => (found - expected).abs() < 0.000_6,
            (found, expected) => found == expected,
        });
        assert!(agree && found.len() == expected.len(), "{column}: {found:?}, expected {expected:?}");
    };
    let with_five = |values: [f64; 5]| std::iter::once(None).chain(values.map(Some)).collect::<Vec<_>>();
    for (column, values) in [
        ("flow", [50.7635, 50.2281, 49.8208, 50.9399, 50.7776]),
        ("supply", [31.9954, 32.7727, 32.9392, 32.7253, 33.0021]),
        ("return", [42.1242, 46.0846, 46.8483, 46.4373, 43.1836]),
        ("delta_t", [10.1287, 13.3119, 13.9090, 13.7119, 10.1814]),
        ("implied_heat_capacity", [4.1083, 4.2092, 4.1350, 4.1087, 4.2104]),
        ("ratio", [1.0102, 0.9859, 1.0036, 1.0100, 0.9857]),
        ("flow_per_power", [1.442, 1.071, 1.043, 1.065, 1.400]),
    ] {
        expect(&water, column, &with_five(values));
    }
    let pressure: Vec<_> = numbers(&water, "differential_pressure")
        .into_iter()
        .map(|kilopascals| Some((kilopascals? * 100.0).round() / 100.0))
        .collect();
    assert_eq!(pressure, with_five([189.96, 78.80, 78.68, 79.82, 81.27]));
    let idle = numbers(&water, "power")[0];
    assert!(idle.is_some_and(|kilowatts| kilowatts < 0.1), "E01 draws nothing and has no coolant data");
    expect(
        &water,
        "power",
        &[idle, Some(35.2059), Some(46.9068), Some(47.7560), Some(47.8315), Some(36.2789)],
    );

    let glycol = recorded.ask("heat_balance", &[("heat_capacity", "4.00"), ("rack", "Pod1C-E03")]).await;
    expect(&glycol, "ratio", &[Some(0.9503)]);
}

/// `1m39.3675441s`, `24.668s`, `3.4731ms`: nanoseconds are rounded down.
fn offset_of(text: &str) -> Microseconds {
    let (minutes, rest) = match text.split_once('m') {
        Some((minutes, rest)) if rest != "s" => (minutes.parse::<f64>().unwrap(), rest),
        _ => (0.0, text),
    };
    let seconds = match rest.strip_suffix("ms") {
        Some(milliseconds) => milliseconds.parse::<f64>().unwrap() / 1e3,
        None => rest.strip_suffix('s').unwrap().parse().unwrap(),
    };
    Microseconds(((minutes * 60.0 + seconds) * 1e6) as i64)
}

#[tokio::test]
async fn gaps_and_coverage_of_the_recorded_nodes_are_those_of_their_description() {
    let Some(reports) = recorded("fasrc/fasrc_water_cooled_2025-06-03_0000-0230.csv") else { return };
    let mut recorded = Recorded::new().await;
    for line in reports.lines().skip(1) {
        let mut cells = line.split(',');
        let (node, time, inlet) = (cells.next().unwrap(), cells.next().unwrap(), cells.next().unwrap());
        let time = EventTime::from_rfc3339(&(time.replace(' ', "T") + "Z")).unwrap();
        recorded.newest = recorded.newest.max(time);
        // An empty cell is a report without this reading: nothing of this series.
        if !inlet.is_empty() {
            let place = Place { node: Some(node.into()), ..rack(&format!("host:{node}")) };
            recorded.add(place, "facility_supply_temperature", time, inlet.parse().unwrap(), Flag::Ok);
        }
    }

    let closed = |answer: &RecordBatch| -> Vec<f64> {
        let ends =
            answer.column_by_name("gap_end").unwrap().as_primitive::<TimestampMicrosecondType>().clone();
        let lengths = numbers(answer, "gap_seconds");
        (0..answer.num_rows()).filter(|row| ends.is_valid(*row)).map(|row| lengths[row].unwrap()).collect()
    };
    let longer_than_90 = closed(&recorded.ask("telemetry_gaps", &[]).await);
    assert_eq!(longer_than_90.len(), 68);
    assert_eq!(longer_than_90.iter().copied().fold(0.0, f64::max), 122.0);
    assert_eq!(recorded.ask("telemetry_gaps", &[("longer_than", "150s")]).await.num_rows(), 0);

    let coverage = recorded.ask("coverage", &[("hold", "150s")]).await;
    assert_eq!(coverage.num_rows(), 244);
    assert_eq!(counts(&coverage, "readings").iter().sum::<i64>(), 36_530);
    assert_eq!(counts(&coverage, "stale_spans").iter().sum::<i64>(), 0);
    assert!(numbers(&coverage, "coverage").iter().all(|share| *share == Some(1.0)));
    let with_90 = recorded.ask("coverage", &[]).await;
    let open = recorded.ask("telemetry_gaps", &[]).await.num_rows() - longer_than_90.len();
    assert_eq!(counts(&with_90, "stale_spans").iter().sum::<i64>() as usize, 68 + open);
    assert_eq!(numbers(&with_90, "longest_interval").into_iter().flatten().fold(0.0, f64::max), 122.0);
}

#[tokio::test]
async fn what_is_set_aside_neither_ends_a_gap_nor_counts_as_known() {
    let mut recorded = Recorded::new().await;
    for (seconds, flag) in
        [(0, Flag::Ok), (60, Flag::Sentinel), (120, Flag::Stale), (300, Flag::Unusual), (310, Flag::Late)]
    {
        recorded.add(rack("r1"), "coolant_flow", at(seconds), 50.0, flag);
    }
    recorded.add(rack("r2"), "coolant_flow", at(500), 50.0, Flag::Ok);
    let gaps = recorded.ask("telemetry_gaps", &[]).await;
    assert_eq!(texts(&gaps, "rack"), [text("r1"), text("r1")]);
    assert_eq!(numbers(&gaps, "gap_seconds"), [Some(300.0), Some(190.0)], "the second one lasts");
    let coverage = recorded.ask("coverage", &[("rack", "r1")]).await;
    assert_eq!((counts(&coverage, "readings"), counts(&coverage, "set_aside")), (vec![3], vec![2]));
    assert_eq!(numbers(&coverage, "known_seconds"), [Some(90.0 + 10.0 + 90.0)]);
    assert_eq!(numbers(&coverage, "coverage"), [Some(190.0 / 500.0)]);
}

#[tokio::test]
async fn the_rack_with_the_least_margin_comes_first_and_the_unknown_one_last() {
    let mut recorded = Recorded::new().await;
    for (rack_name, device, temperature) in [("r1", "gpu0", 70.0), ("r1", "gpu1", 81.0), ("r2", "gpu0", 60.0)]
    {
        recorded.add(gpu(rack_name, device), "gpu_temperature", at(0), temperature, Flag::Ok);
        recorded.add(gpu(rack_name, device), "gpu_slowdown_temperature", at(0), 90.0, Flag::Ok);
    }
    recorded.add(gpu("r3", "gpu0"), "gpu_temperature_margin", at(1), 2.0, Flag::Ok);
    recorded.add(rack("r4"), "coolant_supply_temperature", at(1), 40.0, Flag::Ok);
    recorded.add(rack("r2"), "coolant_supply_temperature", at(1), 44.0, Flag::Implausible);
    let answer = recorded.ask("thermal_margin_by_rack", &[]).await;
    assert_eq!(texts(&answer, "rack"), ["r3", "r1", "r2", "r4"].map(text));
    assert_eq!(numbers(&answer, "gpu_margin"), [Some(2.0), Some(9.0), Some(30.0), None]);
    assert_eq!(texts(&answer, "gpu_margin_device"), [text("gpu0"), text("gpu1"), text("gpu0"), None]);
    assert_eq!(numbers(&answer, "supply_margin"), [None, None, None, Some(5.0)]);
    assert_eq!(counts(&answer, "gpus"), [1, 2, 1, 0]);
}

#[tokio::test]
async fn throttling_is_the_growth_of_the_counters_and_a_reset_begins_anew() {
    let mut recorded = Recorded::new().await;
    for (seconds, total) in [(0, 100.0), (60, 104.0), (120, 1.5), (400, 1.5)] {
        recorded.add(gpu("r1", "gpu0"), "gpu_thermal_throttle_time", at(seconds), total, Flag::Ok);
        recorded.add(rack("r1"), "rack_power", at(seconds), 40.0 + total, Flag::Ok);
    }
    let answer = recorded.ask("throttling_against_power", &[]).await;
    assert_eq!(numbers(&answer, "throttled_seconds"), [Some(5.5), Some(0.0)]);
    assert_eq!(counts(&answer, "throttled_gpus"), [1, 0]);
    assert_eq!(numbers(&answer, "power"), [Some(40.0 + 205.5 / 3.0), Some(41.5)]);
}

#[tokio::test]
async fn the_emptiest_budget_comes_first_and_the_unknown_ones_last() {
    let mut recorded = Recorded::new().await;
    let mut status = |objective: &str, seconds: i64, left: Option<f64>| {
        recorded.add_row(
            Table::SloStatus,
            &[
                ("objective", objective.into()),
                ("group", "{\"rack\":\"r1\"}".into()),
                ("rack", "r1".into()),
                ("scope", "rolling".into()),
                ("time", at(seconds).into()),
                ("budget_left", left.into()),
            ],
        );
    };
    status("coolant-dt", 0, Some(0.9));
    status("leak", 0, Some(1.0));
    status("coolant-dt", 60, Some(-2.0));
    status("gpu", 60, None);
    let answer = recorded.ask("budget_left", &[("rack", "r1")]).await;
    assert_eq!(texts(&answer, "objective"), ["coolant-dt", "leak", "gpu"].map(text));
    assert_eq!(numbers(&answer, "budget_left"), [Some(-2.0), Some(1.0), None]);
}

#[tokio::test]
async fn headroom_names_the_limit_that_binds_and_those_that_nobody_knows() {
    let mut recorded = Recorded::new().await;
    recorded.add(rack("r1"), "rack_power", at(1_200), 80.0, Flag::Ok);
    let mut limit = |seconds: i64, rack: &str, limit: &str, rows: &[(Option<f64>, Option<f64>)]| {
        for (value, confidence) in rows {
            let cells: [(&str, Cell); 6] = [
                ("rack", rack.into()),
                ("time", at(seconds).into()),
                ("limit", limit.into()),
                ("value", (*value).into()),
                ("unit", "kW".into()),
                ("confidence", (*confidence).into()),
            ];
            recorded.add_row(Table::Headroom, &cells);
        }
    };
    let known = |kilowatts: f64| {
        [(kilowatts - 5.0, 0.95), (kilowatts, 0.5), (kilowatts + 5.0, 0.05)]
            .map(|(value, confidence)| (Some(value), Some(confidence)))
    };
    let (unknown, none) = ([(None, Some(0.0))], [(None, None)]);
    limit(600, "r1", "now/chip", &known(90.0));
    limit(1_200, "r1", "now/chip", &known(130.0));
    limit(1_200, "r1", "now/cdu", &known(121.0));
    limit(1_200, "r1", "now/pump", &unknown);
    limit(1_200, "r1", "now/door", &none);
    limit(1_200, "r1", "design/chip", &unknown);
    limit(1_200, "r1", "design/cdu", &known(99.0));
    limit(1_200, "r2", "now/chip", &known(140.0));
    let answer = recorded.ask("headroom_by_rack", &[("planned", "110"), ("ambient", "now")]).await;
    assert_eq!(texts(&answer, "rack"), [text("r1"), text("r2")], "the one with the least power first");
    assert_eq!(texts(&answer, "binding"), [text("cdu"), text("chip")]);
    assert_eq!(numbers(&answer, "at_most"), [Some(121.0), Some(140.0)]);
    assert_eq!(numbers(&answer, "sustainable"), [None, Some(140.0)], "a pump that is unknown may allow less");
    assert_eq!(numbers(&answer, "lower"), [None, Some(135.0)]);
    assert_eq!(numbers(&answer, "upper"), [None, Some(145.0)]);
    let headroom = numbers(&answer, "headroom");
    assert_eq!(headroom, [None, Some(0.2727)], "30 of 110 kW");
    assert_eq!(numbers(&answer, "chip"), [Some(130.0), Some(140.0)], "the latest, not the one before");
    assert_eq!(
        texts(&answer, "unknown_limits"),
        [text("pump"), None],
        "a door that is not there is not unknown"
    );
    let design = recorded.ask("headroom_by_rack", &[("rack", "r1"), ("ambient", "design")]).await;
    assert_eq!(texts(&design, "binding"), [text("cdu")]);
    assert_eq!(texts(&design, "unknown_limits"), [text("chip")], "an unknown limit never binds, and is told");
    assert_eq!(numbers(&design, "headroom"), [None], "nothing is planned");
}

#[tokio::test]
async fn recoveries_are_counted_once_and_a_late_one_has_its_time_when_it_settles() {
    let mut recorded = Recorded::new().await;
    recorded.add(rack("r1"), "rack_power", at(1_200), 80.0, Flag::Ok);
    let mut told = |seconds: i64, rack: &str, burst: i64, outcome: &str, length: Option<f64>| {
        let cells: [(&str, Cell); 6] = [
            ("objective", "supply-recovery".into()),
            ("rack", rack.into()),
            ("time", at(seconds).into()),
            ("burst", at(burst).into()),
            ("outcome", outcome.into()),
            ("seconds", length.into()),
        ];
        recorded.add_row(Table::Recoveries, &cells);
    };
    told(400, "r1", 0, "within", Some(340.0));
    told(800, "r1", 400, "within", Some(360.0));
    told(1_000, "r1", 800, "censored", None);
    told(1_100, "r1", 1_000, "unknown", None);
    told(1_000, "r2", 390, "late", Some(600.0));
    told(1_190, "r2", 390, "late_settled", Some(700.0));
    let answer = recorded.ask("recoveries_by_rack", &[]).await;
    assert_eq!(texts(&answer, "rack"), [text("r2"), text("r1")], "the one with late bursts first");
    assert_eq!(numbers(&answer, "median_seconds"), [Some(700.0), Some(350.0)]);
    assert_eq!(numbers(&answer, "longest_seconds"), [Some(700.0), Some(360.0)]);
    for (column, expected) in
        [("bursts", [1, 4]), ("in_time", [0, 2]), ("late", [1, 0]), ("censored", [0, 1]), ("unknown", [0, 1])]
    {
        assert_eq!(counts(&answer, column), expected, "{column}");
    }
    assert_eq!(recorded.ask("recoveries_by_rack", &[("rack", "r3")]).await.num_rows(), 0);
}

#[tokio::test]
async fn two_runs_differ_in_what_changed_and_their_levels_are_shown() {
    let mut recorded = Recorded::new().await;
    let labels = |driver: &str| -> Labels {
        [("driver", driver), ("cuda", "13.1")]
            .into_iter()
            .map(|(name, value)| (name.into(), value.into()))
            .collect()
    };
    for (run, start, driver, mean) in [("a", 0, "580.1", 60.0), ("b", 3_600, "581.0", 64.0)] {
        recorded.add_row(
            Table::Runs,
            &[
                ("run", run.into()),
                ("time", at(start).into()),
                ("racks", Cell::Texts(vec!["r1".into()])),
                ("stage", "canary".into()),
                ("versions", Cell::Labels(labels(driver))),
                ("start", at(start).into()),
                ("end", at(start + 1_800).into()),
                ("state", "ended".into()),
            ],
        );
        let minute = Microseconds::from_seconds(60);
        recorded.add_block(gpu("r1", "gpu0"), "gpu_temperature", at(start + 60), mean, minute);
    }
    let finding: [(&str, Cell); 4] = [
        ("finding", "f1".into()),
        ("detector", "stuck".into()),
        ("rack", "r1".into()),
        ("onset", at(3_700).into()),
    ];
    recorded.add_row(Table::Findings, &[&finding[..], &[("detected", at(3_800).into())]].concat());

    let answer = recorded.ask("what_changed_between_two_runs", &[("before", "a"), ("after", "b")]).await;
    let rows: Vec<(String, String)> = texts(&answer, "kind")
        .into_iter()
        .zip(texts(&answer, "name"))
        .map(|(kind, name)| (kind.unwrap(), name.unwrap()))
        .collect();
    let expected = [("version", "driver"), ("finding", "stuck"), ("signal", "gpu_temperature")];
    assert_eq!(rows, expected.map(|(kind, name)| (kind.to_owned(), name.to_owned())));
    assert_eq!(texts(&answer, "before"), [text("580.1"), None, None]);
    assert_eq!(texts(&answer, "after"), [text("581.0"), None, None]);
    assert_eq!(numbers(&answer, "change"), [None, None, Some(4.0)]);
    assert_eq!(numbers(&answer, "after_mean"), [None, Some(1.0), Some(64.0)]);
}
