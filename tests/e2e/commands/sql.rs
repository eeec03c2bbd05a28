//! `thermogate sql`: of a service, of a stopped folder, of a folder that a service holds; in every form; reading only.

use std::collections::BTreeMap;
use std::path::Path;

use super::simulated;
use crate::harness::{Service, run, run_in, wait_for};
use crate::remote_write::{Reading, send};

const START: i64 = 1_767_600_000_000;
const TELEMETRY: [&str; 2] = ["--set", "clock.kind=telemetry"];

fn readings(count: i64) -> Vec<Reading<'static>> {
    (0..count)
        .map(|index| Reading {
            metric: "coolant_supply_temperature",
            rack: "r01",
            time: START + index * 1_000,
            value: 31.5,
        })
        .collect()
}

/// Every file of a folder but the lock, which says who has it.
fn contents(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            files.extend(contents(&path));
        } else if !path.ends_with("thermogate.lock") {
            files.insert(path.display().to_string(), std::fs::read(&path).expect("a file"));
        }
    }
    files
}

#[test]
fn one_answer_comes_as_table_csv_json_and_parquet() {
    let folder = tempfile::tempdir().expect("a folder");
    let service = Service::start(&folder.path().join("data"), &TELEMETRY);
    send(&service.http, &readings(3));
    let query = "select rack, signal, value, time from samples order by time limit 2";
    let ask = |output: &str| service.run(&["sql", query, "--output", output]).expect_success();
    let table = service.run(&["sql", query]).expect_success();
    assert_eq!(table, ask("table"), "a table is the default");
    assert!(
        table.contains("| r01  | coolant_supply_temperature | 31.5  | 2026-01-05T08:00:00Z |"),
        "{table}"
    );
    assert_eq!(
        ask("csv"),
        "rack,signal,value,time\nr01,coolant_supply_temperature,31.5,2026-01-05T08:00:00Z\nr01,coolant_supply_temperature,31.5,2026-01-05T08:00:01Z\n"
    );
    let rows: serde_json::Value = serde_json::from_str(&ask("json")).expect("JSON");
    assert_eq!(
        rows[1],
        serde_json::json!({"rack": "r01", "signal": "coolant_supply_temperature", "value": 31.5, "time": "2026-01-05T08:00:01Z"})
    );

    let finished = service.run(&["sql", query, "--output", "parquet"]);
    assert!(finished.code == 2 && finished.stderr.contains("--output parquet needs --file"), "{finished:?}");
    let file = folder.path().join("rows.parquet").display().to_string();
    service.run(&["sql", query, "--output", "parquet", "--file", &file]).expect_success();
    let copy = folder.path().join("copy").display().to_string();
    assert!(
        run(&["import", &file, "--data", &copy]).expect_success().contains("imported 2 readings of 2 rows"),
        "the file is Parquet that others read"
    );

    assert_eq!(
        service.run(&["sql", "select 1 where false", "--output", "csv"]).expect_success(),
        "Int64(1)\n",
        "no rows are a header"
    );
    let empty = service.sql("select * from verdicts");
    assert!(empty.is_empty(), "a table that nothing was written to is there");
}

#[test]
fn nothing_can_be_changed_and_the_answer_says_what_can_be_written() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    let service = Service::start(&data, &TELEMETRY);
    send(&service.http, &readings(3));
    let outside = folder.path().join("outside.csv");
    let copy = format!("copy samples to '{}'", outside.display());
    let external = format!("create external table t stored as csv location '{}'", outside.display());
    let refusals = [
        "insert into samples select * from samples",
        &copy,
        &external,
        "set datafusion.execution.batch_size = 1",
        "create table t as select 1",
        "create view v as select 1",
        "drop table samples",
        "delete from samples",
        "update samples set value = 0",
        "truncate table samples",
        "prepare p as select 1",
    ];
    let refused = |finished: &crate::harness::Finished, query: &str| {
        assert!(
            finished.code == 2
                && finished.stderr.contains("history is only read here: ")
                && finished.stderr.contains("write SELECT, WITH, EXPLAIN, SHOW or DESCRIBE"),
            "{query}: {finished:?}"
        );
    };
    refusals.iter().for_each(|query| refused(&service.run(&["sql", query]), query));
    for (query, says) in [
        ("select 1; drop table samples", "single SQL statement"),
        ("selec 1", "Expected: an SQL statement, found: selec"),
        ("select rak from samples", "Did you mean 'samples.rack'?"),
        ("select * from sample", "table 'thermogate.public.sample' not found"),
        ("select * from '/etc/passwd'", "not found"),
    ] {
        let finished = service.run(&["sql", query]);
        assert!(finished.code == 2 && finished.stderr.contains(says), "{query}: {finished:?}");
    }
    assert_eq!(service.sql("select count(*) as n from samples")[0]["n"], 3);
    service.stop();
    let data = data.display().to_string();
    refusals.iter().take(4).for_each(|query| refused(&run(&["sql", "--data", &data, query]), query));
    assert!(!outside.exists(), "no file was written");
}

#[test]
fn a_query_that_takes_too_much_ends_with_the_setting_that_limits_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let limits = ["--set", "query.rows_max=10", "--set", "query.seconds_max=2"];
    let service = Service::start(&folder.path().join("data"), &[&TELEMETRY[..], &limits].concat());
    send(&service.http, &readings(11));
    let finished = service.run(&["sql", "select * from samples"]);
    assert!(finished.code == 2 && finished.stderr.contains("rows_max"), "{finished:?}");
    let ten = "(select 1 as x union all select 1 union all select 1 union all select 1 union all select 1)";
    let product = vec![ten; 14]
        .iter()
        .enumerate()
        .map(|(index, rows)| format!("{rows} t{index}"))
        .collect::<Vec<_>>()
        .join(" cross join ");
    let finished = service.run(&["sql", &format!("select sum(t0.x + t13.x) from {product}")]);
    assert!(finished.code == 2 && finished.stderr.contains("seconds_max"), "{finished:?}");
    assert_eq!(service.sql("select count(*) as n from samples")[0]["n"], 11, "others are still answered");
}

#[test]
fn a_folder_that_a_service_left_in_a_hurry_is_read_to_the_end_of_its_log_and_left_as_it_is() {
    let folder = tempfile::tempdir().expect("a folder");
    let service = Service::start(&folder.path().join("data"), &TELEMETRY);
    send(&service.http, &readings(60));
    let data = service.kill();
    let before = contents(&data);
    let folder_text = data.display().to_string();
    let count = || {
        run(&[
            "sql",
            "--data",
            &folder_text,
            "--output",
            "csv",
            "select count(*) as n, max(time) as last from samples",
        ])
        .expect_success()
    };
    assert_eq!(
        count(),
        "n,last\n60,2026-01-05T08:00:59Z\n",
        "what was acknowledged and never flushed is seen"
    );
    assert_eq!(
        run(&["sql", "--data", &folder_text, "--output", "csv", "select rack from rack_now"])
            .expect_success(),
        "rack\nr01\n"
    );
    let after = contents(&data);
    let changed: Vec<&String> =
        before.keys().chain(after.keys()).filter(|file| before.get(*file) != after.get(*file)).collect();
    assert!(changed.is_empty(), "{changed:?}");

    let service = Service::start(&data, &TELEMETRY);
    send(&service.http, &readings(61)[60..]);
    wait_for("the next reading", || count().starts_with("n,last\n61,").then_some(()));
    let asked = service.metric("thermogate_query_total{result=\"ok\"}");
    count();
    assert!(
        service.metric("thermogate_query_total{result=\"ok\"}") > asked,
        "a folder that a service holds is answered by it"
    );
    service.stop();
}

#[test]
fn named_queries_are_listed_with_parameters_and_columns_and_answer() {
    let folder = tempfile::tempdir().expect("a folder");
    simulated(folder.path());
    let run = |arguments: &[&str]| run_in(folder.path(), arguments);
    run(&["import", "short.csv", "--data", "data"]).expect_success();
    let list = run(&["sql", "--list"]).expect_success();
    for query in [
        "thermal_margin_by_rack",
        "budget_left",
        "heat_balance",
        "telemetry_gaps",
        "coverage",
        "throttling_against_power",
        "headroom_by_rack",
        "recoveries_by_rack",
    ] {
        assert!(list.lines().any(|line| line == query), "{query}: {list}");
        let answer = run(&["sql", "--data", "data", "--query", query, "--output", "csv"]).expect_success();
        let (header, _) = answer.split_once('\n').expect("a header");
        for column in header.split(',') {
            assert!(list.contains(&format!("  {column}")), "{query}: the column {column} is explained");
        }
        assert!(
            ["telemetry_gaps", "recoveries_by_rack"].contains(&query) || answer.lines().count() > 1,
            "{query} has an answer about half an hour of a rack: {answer}"
        );
    }
    let one = run(&[
        "sql",
        "--data",
        "data",
        "--query",
        "heat_balance",
        "--parameter",
        "rack=r01",
        "--output",
        "json",
    ])
    .expect_success();
    let rows: serde_json::Value = serde_json::from_str(&one).expect("JSON");
    assert_eq!((rows.as_array().map(Vec::len), &rows[0]["rack"]), (Some(1), &"r01".into()), "{one}");
    for (arguments, says) in [
        (
            &["--query", "heat_balanse"][..],
            "there is no query \"heat_balanse\", did you mean \"heat_balance\"?",
        ),
        (
            &["--query", "heat_balance", "-p", "rak=r01"],
            "query heat_balance has no parameter \"rak\", did you mean \"rack\"?",
        ),
        (&["--query", "heat_balance", "-p", "rack"], "--parameter \"rack\": write NAME=VALUE"),
        (&["--query", "what_changed_between_two_runs"], "needs parameter \"before\" (id of the earlier run)"),
        (&["--query", "heat_balance", "select 1"], "give a query as text or by name with --query, not both"),
        (&["-p", "rack=r01", "select 1"], "--parameter goes with --query"),
        (&[], "give a query, such as"),
    ] {
        let finished = run(&[&["sql", "--data", "data"], arguments].concat());
        assert!(finished.code == 2 && finished.stderr.contains(says), "{arguments:?}: {finished:?}");
    }
    let quote =
        run(&["sql", "--data", "data", "--query", "heat_balance", "-p", "rack=r'01", "--output", "csv"])
            .expect_success();
    assert_eq!(quote.lines().count(), 1, "a quote in a parameter is a quote: {quote}");
}
