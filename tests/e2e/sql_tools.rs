//! SQL for tools: ADBC over Flight SQL, psycopg and psql over the Postgres wire, each with the readings that were sent.

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::gates::START;
use crate::harness::{Finished, Service, peer, python};
use crate::remote_write::{Reading, send};

const SERVE: [&str; 2] = ["--set", "clock.kind=telemetry"];

/// Three readings of each of two racks, a minute apart: 40, 41, 42 and 50, 51, 52.
fn fed(folder: &Path, more: &[&str]) -> Service {
    let service = Service::start(folder, &[&SERVE, more].concat());
    let reading = |rack, first: f64, minute: i64| Reading {
        metric: "coolant_return_temperature",
        rack,
        time: (START + 60 * minute) * 1_000,
        value: first + minute as f64,
    };
    for minute in 0..3 {
        send(&service.http, &[reading("r1", 40.0, minute), reading("r2", 50.0, minute)]);
    }
    service
}

fn ask(script: &str, arguments: &[&str]) -> Option<Value> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("peers").join(script);
    let output = Command::new(python()?).arg(script).args(arguments).output().expect("Python starts");
    let Finished { code, stdout, stderr } = Finished::from(output);
    assert_eq!(code, 0, "{stderr}");
    Some(serde_json::from_str(&stdout).expect("the script prints JSON"))
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_else(|| panic!("no text {key:?} in {value:#}"))
}

#[test]
fn adbc_asks_by_flight_sql() {
    let folder = tempfile::tempdir().unwrap();
    let service = fed(folder.path(), &[]);
    let Some(told) = ask("ask_flight_sql.py", &[&service.grpc.replace("http", "grpc")]) else { return };
    assert_eq!(told["columns"], json!(["rack", "readings", "highest"]));
    assert_eq!(told["statement"], json!([["r1", 3, 42.0], ["r2", 3, 52.0]]));
    assert_eq!(told["prepared"], json!([[42.0]]));
    assert_eq!(told["prepared_again"], json!([[52.0]]));
    assert_eq!(told["time"], json!("2026-01-05T10:00:00+00:00"));
    let refused = &told["refused"];
    for verb in ["INSERT", "COPY", "CREATE", "SET"] {
        assert!(text(refused, verb).contains("history is only read here"), "{verb}: {refused:#}");
    }
    assert!(text(refused, "SELECT").contains("nothing"), "{refused:#}");
    assert!(text(&told, "two_rows_refused").contains("0 rows are bound"), "{told:#}");
    assert_eq!(told["vendor"], json!("thermogate"));
    assert_eq!(told["table_types"], json!(["TABLE", "VIEW"]));
    assert_eq!((&told["catalogs"], &told["schemas"]), (&json!(["thermogate"]), &json!(["public"])));
    let tables = told["tables"].as_array().unwrap();
    for table in ["samples", "slo_status", "verdicts", "rack_now", "telemetry_with_runs"] {
        assert!(tables.contains(&json!(table)), "{table} is listed: {tables:?}");
    }
    assert!(told["samples_columns"].as_array().unwrap().contains(&json!("value")));
}

#[test]
fn psycopg_and_grafanas_queries_are_answered_by_the_postgres_wire() {
    let folder = tempfile::tempdir().unwrap();
    let service = fed(folder.path(), &[]);
    let (host, port) = service.postgres.split_once(':').unwrap();
    let address = format!("host={host} port={port} user=anybody dbname=thermogate");
    let Some(told) = ask("ask_postgres.py", &[&address]) else { return };
    assert_eq!(told["text"], json!([["r1", 3, 42.0]]));
    assert_eq!(told["binary"], json!([["r2", 3, 52.0]]));
    assert_eq!(told["prepared"], json!([["r1", 3, 42.0]]));
    assert_eq!(told["time"], json!("2026-01-05T10:00:00+00:00"));
    assert_eq!(told["labels"], json!(r#"{"loop":"l1"}"#));
    assert_eq!(told["cursor"], json!([40.0, 41.0, 42.0]));
    assert_eq!(told["after_errors"], json!(1));
    for how in ["refused", "refused_prepared"] {
        for (statement, refusal) in told[how].as_object().unwrap() {
            let refusal = refusal.as_str().unwrap_or_else(|| panic!("{how}: {statement} was answered"));
            let expected = if statement.starts_with("SELECT") { "42" } else { "25006" };
            assert!(
                refusal.starts_with(expected) || refusal.contains("sql parser error"),
                "{statement}: {refusal}"
            );
        }
    }
    let grafana = &told["grafana"];
    assert_eq!(grafana["time_filter"].as_array().map(Vec::len), Some(3), "{grafana:#}");
    assert_eq!(
        grafana["time_group"],
        json!([[1_767_607_200.0, 45.0], [1_767_607_260.0, 46.0], [1_767_607_320.0, 47.0]])
    );
    assert_eq!(grafana["unix_epoch_filter"], json!([[6]]));
    assert_eq!((&grafana["health"], &grafana["version"]), (&json!([[1]]), &json!([[1600]])));
    assert!(
        grafana["tables"].as_array().is_some_and(|rows| rows.contains(&json!(["public.samples"]))),
        "{grafana:#}"
    );
    assert!(grafana["columns"].as_array().is_some_and(|rows| rows.len() > 10), "{grafana:#}");
}

fn psql(address: &str, statement: &str) -> Option<Finished> {
    let output = Command::new(peer("psql")?).args([address, "-X", "-A", "-t", "-c", statement]).output();
    Some(Finished::from(output.expect("psql starts")))
}

#[test]
fn psql_lists_describes_and_asks() {
    let folder = tempfile::tempdir().unwrap();
    let service = fed(folder.path(), &[]);
    let address = format!("postgres://anybody@{}/thermogate", service.postgres);
    let Some(asked) = psql(&address, "select rack, max(value) from samples group by rack order by rack")
    else {
        return;
    };
    assert_eq!((asked.code, asked.stdout.as_str()), (0, "r1|42.0\nr2|52.0\n"), "{}", asked.stderr);
    let listed = psql(&address, "\\dt").unwrap();
    assert!(listed.stdout.contains("|samples|"), "{listed:?}");
    let described = psql(&address, "\\d samples").unwrap();
    assert!(described.stdout.contains("value|double precision"), "{described:?}");
    let refused = psql(&address, "delete from samples").unwrap();
    assert_eq!(refused.code, 1);
    assert!(refused.stderr.contains("history is only read here: DELETE is not allowed"), "{refused:?}");
}

#[test]
fn a_query_that_asks_for_too_much_ends_with_the_limit_and_the_next_is_answered() {
    let folder = tempfile::tempdir().unwrap();
    let limits = [
        "--set",
        "query.rows_max=1000",
        "--set",
        "query.seconds_max=2",
        "--set",
        "query.memory_bytes_max=20000000",
        "--set",
        "query.connections_max=2",
    ];
    let service = fed(folder.path(), &limits);
    let address = format!("postgres://anybody@{}/thermogate", service.postgres);
    let series = "generate_series(1, 100000000)";
    let Some(rows) = psql(&address, "select * from generate_series(1, 5000)") else { return };
    assert!(rows.stderr.contains("the result has more than 1000 rows"), "{rows:?}");
    let slow =
        psql(&address, &format!("select count(*) from {series} a, generate_series(1, 1000) b")).unwrap();
    assert!(slow.stderr.contains("the query took longer than 2 s"), "{slow:?}");
    let large = psql(&address, &format!("select array_agg(value) from {series}")).unwrap();
    assert!(
        large.stderr.contains("bytes that all queries share") || large.stderr.contains("longer than 2 s"),
        "{large:?}"
    );
    let next = psql(&address, "select count(*) from samples").unwrap();
    assert_eq!(next.stdout, "6\n", "{next:?}");
}

#[test]
fn queries_take_turns_and_a_connection_too_many_is_told_the_limit() {
    let folder = tempfile::tempdir().unwrap();
    let limits = [
        "--set",
        "query.concurrency_max=2",
        "--set",
        "query.connections_max=12",
        "--set",
        "query.seconds_max=3",
    ];
    let service = fed(folder.path(), &limits);
    let address = format!("postgres://anybody@{}/thermogate", service.postgres);
    if peer("psql").is_none() {
        return;
    }
    let ask_at_once = |clients: usize, statement: &str| -> Vec<Finished> {
        std::thread::scope(|scope| {
            let one = || psql(&address, statement).expect("psql is there");
            let asked: Vec<_> = (0..clients).map(|_| scope.spawn(one)).collect();
            asked.into_iter().map(|asked| asked.join().expect("no panic here")).collect()
        })
    };
    for answer in ask_at_once(12, "select count(*) from samples") {
        assert_eq!(answer.stdout, "6\n", "twelve at once are answered two at a time: {answer:?}");
    }
    let slow = "select count(*) from generate_series(1, 100000000) a, generate_series(1, 1000) b";
    let answers = ask_at_once(14, slow);
    let told = |text: &str| answers.iter().filter(|answer| answer.stderr.contains(text)).count();
    assert_eq!(told("12 connections are open, as many as may"), 2, "{answers:?}");
    assert!(told("the query took longer than 3 s") >= 2, "{answers:?}");
    let next = psql(&address, "select count(*) from samples").unwrap();
    assert_eq!(next.stdout, "6\n", "what was ended makes room: {next:?}");
}

#[test]
fn deltalake_duckdb_and_polars_read_the_same_sums_from_the_store() {
    let folder = tempfile::tempdir().unwrap();
    let service = fed(folder.path(), &[]);
    let ours = "select rack, count(*) as n, sum(value) as total from samples group by rack order by rack";
    let ours = service.run(&["sql", ours, "--output", "csv"]).expect_success();
    assert_eq!(ours, "rack,n,total\nr1,3,123.0\nr2,3,153.0\n");
    service.stop();
    let Some(told) = ask("read_tables.py", &[&folder.path().join("store").display().to_string()]) else {
        return;
    };
    for engine in ["deltalake", "duckdb", "polars"] {
        assert_eq!(
            told["samples"][engine],
            json!([["r1", 3, 123.0], ["r2", 3, 153.0]]),
            "{engine}: {told:#}"
        );
    }
    assert_eq!(told["blocks"]["duckdb"], told["blocks"]["polars"], "{told:#}");
    assert_eq!(told["blocks"]["duckdb"], told["blocks"]["deltalake"], "{told:#}");
}
