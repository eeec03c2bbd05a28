//! Recorded data of others gives the figures that were counted by other means, out of `replay` and `sql` alone.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::harness::{recorded, run};

fn fixture(name: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/recorded").join(name).display().to_string()
}

/// What `replay` prints of a recorded file.
fn replayed(file: &Path, objectives: &str, mapping: &str, options: &[&str]) -> Vec<Value> {
    let (file, objectives, mapping) = (file.display().to_string(), fixture(objectives), fixture(mapping));
    let mut arguments = vec![
        "replay",
        &file,
        "--rack",
        "m1",
        "--slo",
        &objectives,
        "--mapping",
        &mapping,
        "--output",
        "json",
    ];
    arguments.extend(options);
    run(&arguments).json_lines()
}

/// The final status of an objective over the whole file.
fn last_status<'a>(lines: &'a [Value], objective: &str) -> &'a Value {
    let is_it =
        |line: &&Value| line["objective"] == objective && line["final"] == true && line["window"] == "run";
    lines.iter().rfind(is_it).unwrap_or_else(|| panic!("no final status of {objective}"))
}

/// Bad seconds, episodes, seconds of the longest, and asked seconds.
fn counts(status: &Value) -> [u64; 4] {
    ["bad_seconds", "episodes", "longest_episode_seconds", "asked_seconds"]
        .map(|name| status[name].as_u64().expect("a whole number"))
}

const NAB: &[&str] = &[
    "--map",
    "value=machine_temperature:1",
    "--time-column",
    "timestamp",
    "--time-format",
    "%Y-%m-%d %H:%M:%S",
    "--time-zone",
    "UTC",
];

#[test]
fn a_machine_is_as_long_too_hot_and_too_cold_as_its_rows_say() {
    let Some(file) = recorded("nab/realKnownCause/machine_temperature_system_failure.csv") else { return };
    let lines = replayed(&file, "machine_temperature.yaml", "machine_signals.yaml", NAB);
    // 22,683 distinct times of 300 s; twelve rows come again later with other values and are late.
    assert_eq!(counts(last_status(&lines, "machine-hot")), [475_800, 239, 167_700, 6_804_900]);
    assert_eq!(counts(last_status(&lines, "machine-cold")), [816_600, 72, 186_900, 6_804_900]);
    for objective in ["machine-hot", "machine-cold"] {
        let status = last_status(&lines, objective);
        assert_eq!(
            (&status["unknown_seconds"], &status["coverage"], &status["state"]),
            (&0.into(), &1.0.into(), &"FAIL".into())
        );
    }
    // Brought in order first, the later twelve values come second to the same times: the first ones still count.
    let sorted =
        replayed(&file, "machine_temperature.yaml", "machine_signals.yaml", &[NAB, &["--sort"]].concat());
    assert_eq!(counts(last_status(&sorted, "machine-hot")), [475_800, 239, 167_700, 6_804_900]);
    assert_eq!(counts(last_status(&sorted, "machine-cold")), [816_600, 72, 186_900, 6_804_900]);
}

#[test]
fn the_same_file_gives_the_same_bytes() {
    let Some(file) = recorded("nab/artificialWithAnomaly/art_daily_jumpsup.csv") else { return };
    let (file, objectives, mapping) =
        (file.display().to_string(), fixture("machine_temperature.yaml"), fixture("machine_signals.yaml"));
    let arguments = [
        &["replay", &file, "--rack", "m1", "--slo", &objectives, "--mapping", &mapping, "--output", "json"],
        NAB,
    ]
    .concat();
    let (one, other) = (run(&arguments).expect_success(), run(&arguments).expect_success());
    assert!(one.lines().count() > 1_000 && one == other, "{} bytes and {} bytes", one.len(), other.len());
    let lines: Vec<Value> = one.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    // 108 of its rows, in one run, are above 100.
    assert_eq!(counts(last_status(&lines, "machine-hot"))[..3], [32_400, 1, 32_400]);
}

#[test]
fn oil_at_one_reading_a_second_is_judged_second_by_second() {
    let Some(file) = recorded("uci_hydraulic/TS1.txt") else { return };
    let options = [
        "--format",
        "plain",
        "--start",
        "2026-01-01T00:00:00Z",
        "--interval",
        "1s",
        "--map",
        "TS1=oil_temperature:Cel",
    ];
    let lines = replayed(&file, "oil_temperature.yaml", "signals.yaml", &options);
    assert_eq!(counts(last_status(&lines, "oil-hot")), [42_825, 16, 42_472, 87_840]);

    // The cooler is repaired at minute 732. The six minutes from there end at minute 738.
    let slope = |time: &str| {
        let is_it = |line: &&Value| {
            line["objective"] == "oil-trend" && line["window"] == "run" && line["time"] == time
        };
        let status = lines.iter().find(is_it).unwrap_or_else(|| panic!("no trend at {time}"));
        status["slope_per_hour"].as_f64().expect("a slope")
    };
    let steepest = slope("2026-01-01T12:18:00.000000Z");
    assert!((steepest - -39.15).abs() < 0.005, "{steepest} K/h at minute 738");
    assert!(slope("2026-01-01T12:12:00.000000Z").abs() < 2.0, "before the repair it rests");
}

/// The answers of a watch, one for each row.
fn watched(file: &Path, group: &str, options: &[&str]) -> Vec<Value> {
    let (file, group) = (file.display().to_string(), fixture(group));
    let mut arguments = vec![
        "replay",
        &file,
        "--rack",
        "m1",
        "--watch",
        &group,
        "--rows",
        "--time-zone",
        "UTC",
        "--output",
        "json",
    ];
    arguments.extend(options);
    let lines = run(&arguments).json_lines();
    let answers: Vec<Value> = lines.into_iter().filter(|line| line["type"] == "watch").collect();
    for (row, answer) in answers.iter().enumerate() {
        assert_eq!(answer["row"], row, "one answer for each row, in their order");
    }
    answers
}

fn rows_where(answers: &[Value], field: &str) -> Vec<usize> {
    (0..answers.len()).filter(|row| answers[*row][field] == true).collect()
}

#[test]
fn a_rig_is_in_alarm_from_soon_after_its_valve_is_turned_until_it_is_turned_back() {
    let Some(file) = recorded("skab/valve1/13.csv") else { return };
    let options =
        ["--delimiter", ";", "--time-column", "datetime", "--ignore", "anomaly", "--ignore", "changepoint"];
    let answers = watched(&file, "rig_watch.yaml", &options);
    assert_eq!(answers.len(), 1_140);
    // The valve is turned in rows 570 to 627 and turned back in rows 912 to 969.
    let alarms = rows_where(&answers, "alarm");
    let (first, last) = (alarms[0], alarms[alarms.len() - 1]);
    assert!((570..630).contains(&first) && (912..970).contains(&last), "{first} to {last}");
    assert_eq!((alarms.len(), rows_where(&answers, "episode_start")), (last + 1 - first, vec![first]));
}

#[test]
fn a_series_has_one_row_for_each_episode_and_an_answer_for_rows_that_go_back_in_time() {
    let Some(file) = recorded("nab/realKnownCause/machine_temperature_system_failure.csv") else { return };
    let answers = watched(&file, "series_watch.yaml", &["--time-column", "timestamp"]);
    assert_eq!(answers.len(), 22_695);
    let episodes = rows_where(&answers, "episode_start");
    assert!(episodes == rows_where(&answers, "alarm") && episodes.len() == 8, "{episodes:?}");
    let unknown = (300..answers.len()).filter(|row| answers[*row]["score"].is_null());
    // Twelve rows come again: ten of them behind the watermark, the last two not yet.
    assert_eq!(unknown.collect::<Vec<_>>(), (10_149..10_159).collect::<Vec<_>>());
}

/// Takes a recorded file into a data folder.
fn imported(file: &Path, folder: &Path, options: &[&str]) -> (PathBuf, String) {
    let (file, data) = (file.display().to_string(), folder.join("data"));
    let data_text = data.display().to_string();
    let mut arguments = vec!["import", &file, "--data", &data_text];
    arguments.extend(options);
    let said = run(&arguments).expect_success();
    (data, said)
}

fn sql(data: &Path, question: &[&str]) -> Vec<Value> {
    let data = data.display().to_string();
    let mut arguments = vec!["sql", "--data", &data, "--output", "json"];
    arguments.extend(question);
    serde_json::from_str(&run(&arguments).expect_success()).expect("a list of rows")
}

#[test]
fn the_heat_balance_of_a_recorded_row_of_racks_closes_with_water() {
    let Some(file) = recorded("dsx/dsx_exemplar.csv") else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let (data, said) =
        imported(&file, folder.path(), &["--format", "dsx-bms", "--start", "2026-01-05T10:00:00Z"]);
    assert!(said.contains("imported 4545 readings of 4711 rows"), "{said}");

    // Flow, supply, return, power, implied heat capacity, ratio with water, flow by power, differential pressure.
    let expected = [
        ("Pod1C-E02", [50.7635, 31.9954, 42.1242, 35.2059, 4.1083, 1.0102, 1.442, 189.96]),
        ("Pod1C-E03", [50.2281, 32.7727, 46.0846, 46.9068, 4.2092, 0.9859, 1.071, 78.80]),
        ("Pod1C-E04", [49.8208, 32.9392, 46.8483, 47.7560, 4.1350, 1.0036, 1.043, 78.68]),
        ("Pod1C-E05", [50.9399, 32.7253, 46.4373, 47.8315, 4.1087, 1.0100, 1.065, 79.82]),
        ("Pod1C-E06", [50.7776, 33.0021, 43.1836, 36.2789, 4.2104, 0.9857, 1.400, 81.27]),
    ];
    let columns = [
        "flow",
        "supply",
        "return",
        "power",
        "implied_heat_capacity",
        "ratio",
        "flow_per_power",
        "differential_pressure",
    ];
    let decimals = [4, 4, 4, 4, 4, 4, 3, 2];
    let rows = sql(&data, &["--query", "heat_balance"]);
    assert_eq!(rows.len(), 6, "{rows:?}");
    for (rack, figures) in expected {
        let row =
            rows.iter().find(|row| row["rack"] == rack).unwrap_or_else(|| panic!("no {rack} in {rows:?}"));
        for ((column, figure), decimals) in columns.iter().zip(figures).zip(decimals) {
            let found = row[column].as_f64().unwrap_or_else(|| panic!("no {column} in {row}"));
            let half = 0.5_f64 * 10_f64.powi(-decimals);
            assert!((found - figure).abs() <= half * 1.001, "{rack}: {column} is {found}, not {figure}");
        }
    }
    // With the constant of a quarter of glycol some of the heat is missing, by the same query.
    let glycol = sql(
        &data,
        &["--query", "heat_balance", "--parameter", "heat_capacity=4.00", "--parameter", "rack=Pod1C-E02"],
    );
    assert!((glycol[0]["ratio"].as_f64().expect("a ratio") - 0.9736).abs() < 0.00006, "{glycol:?}");
    // A rack that only tells its power has no coolant data, which is not "no heat".
    let silent = rows.iter().find(|row| row["rack"] == "Pod1C-E01").expect("it has a row");
    assert!(silent["power"].as_f64().is_some_and(|power| power < 0.1), "{silent}");
    assert!(silent["heat"].is_null() && silent["ratio"].is_null() && silent["flow"].is_null(), "{silent}");
    // 145 series have values; set points are series of their own and enter no mean.
    let series = sql(
        &data,
        &["select count(distinct name) as n from \
             (select concat_ws('|', \"loop\", rack, node, device, signal, sensor) as name from samples)"],
    );
    assert_eq!(series[0]["n"], 145, "{series:?}");
}

#[test]
fn coverage_and_staleness_of_recorded_nodes_are_as_counted() {
    let Some(file) = recorded("fasrc/fasrc_water_cooled_2025-06-03_0000-0230.csv") else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let options = [
        "--sort",
        "--rack",
        "w1",
        "--mapping",
        &fixture("signals.yaml"),
        "--time-column",
        "ts",
        "--time-format",
        "%Y-%m-%d %H:%M:%S",
        "--time-zone",
        "UTC",
        "--map",
        "inlet_water_temp_c=coolant_supply_temperature:Cel",
        "--map",
        "ambient_temp_c=air_inlet_temperature:Cel",
        "--map",
        "chassis_power_w=chassis_power:W",
        "--map",
        "psu_power_w=supply_power:W",
        "--ignore",
        "sys_power_w",
    ];
    let (data, said) = imported(&file, folder.path(), &options);
    // 36,530 reports with readings, of four columns each; 70 reports hold nothing.
    assert!(said.contains("imported 146120 readings of 36600 rows"), "{said}");

    let coverage = sql(&data, &["--query", "coverage", "--parameter", "signal=coolant_supply_temperature"]);
    let total = |column: &str| {
        coverage
            .iter()
            .map(|row| row[column].as_f64().unwrap_or_else(|| panic!("no {column} in {row}")))
            .sum::<f64>()
    };
    assert_eq!(
        (coverage.len(), total("readings"), total("set_aside"), total("late")),
        (244, 36_530.0, 0.0, 0.0)
    );
    assert_eq!(total("stale_spans"), 68.0, "a hold of 90 s is too short 68 times");
    assert!(
        coverage
            .iter()
            .all(|row| row["median_interval"].as_f64().is_some_and(|median| (59.0..=61.0).contains(&median))),
        "{coverage:?}"
    );
    let longest = coverage.iter().filter_map(|row| row["longest_interval"].as_f64()).fold(0.0, f64::max);
    assert_eq!(longest, 122.0);
    let mean = coverage
        .iter()
        .map(|row| row["mean"].as_f64().expect("a mean") * row["readings"].as_f64().expect("a count"))
        .sum::<f64>()
        / 36_530.0;
    assert!((mean - 22.191_514).abs() < 1e-6, "{mean} Cel");

    let gaps = |longer_than: &str| {
        let longer_than = format!("longer_than={longer_than}");
        sql(
            &data,
            &[
                "--query",
                "telemetry_gaps",
                "--parameter",
                &longer_than,
                "--parameter",
                "signal=coolant_supply_temperature",
            ],
        )
    };
    let stale = gaps("90s");
    assert_eq!(stale.len(), 68);
    assert!(
        stale.iter().all(|gap| gap["gap_end"].is_string()
            && gap["gap_seconds"].as_f64().is_some_and(|seconds| (91.0..=122.0).contains(&seconds))),
        "{stale:?}"
    );
    assert_eq!(gaps("150s").len(), 0, "a limit of 150 s is never reached");

    let figures = sql(
        &data,
        &["select signal, min(value) as least, max(value) as most, avg(value) as mean, \
             count(*) filter (where value >= 24) as high from samples group by signal order by signal"],
    );
    let of = |signal: &str, column: &str| {
        figures.iter().find(|row| row["signal"] == signal).unwrap_or_else(|| panic!("no {signal}"))[column]
            .as_f64()
            .expect("a number")
    };
    assert_eq!(
        (
            of("coolant_supply_temperature", "least"),
            of("coolant_supply_temperature", "most"),
            of("coolant_supply_temperature", "high")
        ),
        (21.0, 24.0, 722.0)
    );
    assert_eq!((of("supply_power", "least"), of("supply_power", "most")), (55.0, 1_585.0));
    assert!(
        (of("chassis_power", "mean") - 300.208_048).abs() < 1e-6
            && (of("air_inlet_temperature", "mean") - 27.617_328).abs() < 1e-6
    );
}
