//! A day of a pipeline and of an operator: runs, maintenance, gates, overrides, all by the command line.

use serde_json::Value;

use crate::harness::{Finished, Service, wait_for};
use crate::remote_write::{Reading, send};

const START: i64 = 1_767_600_000_000;

/// Half an hour of readings of two racks, every ten seconds from a minute on: r01 is cool, r02 is hot.
fn half_an_hour(from_minute: i64) -> Vec<Reading<'static>> {
    let times = (0..180).map(|index| START + from_minute * 60_000 + index * 10_000);
    times
        .flat_map(|time| {
            [("r01", 35.0), ("r02", 50.0)].map(|(rack, value)| Reading {
                metric: "coolant_supply_temperature",
                rack,
                time,
                value,
            })
        })
        .collect()
}

fn service(folder: &std::path::Path) -> Service {
    let service = Service::start(&folder.join("data"), &["--set", "clock.kind=telemetry"]);
    std::fs::write(folder.join("policy.yaml"), POLICY).expect("a file");
    send(&service.http, &half_an_hour(0));
    wait_for("both racks", || service.run(&["status"]).expect_success().contains("r02").then_some(()));
    service
}

const POLICY: &str = "\
apiVersion: thermogate.dev/v1alpha1
kind: GatePolicy
metadata: {name: mine}
spec:
  scope: {of: rack, combine: worst}
  checks:
    - {objective: coolant-supply-temperature}
";

fn says(finished: &Finished, code: i32, words: &[&str]) {
    let output = format!("{}{}", finished.stdout, finished.stderr);
    assert!(
        finished.code == code && words.iter().all(|word| output.contains(word)),
        "exit {code}, {words:?}: {finished:?}"
    );
}

#[test]
fn a_verdict_is_explained_judged_again_to_the_byte_and_overridden_without_being_changed() {
    let folder = tempfile::tempdir().expect("a folder");
    let service = service(folder.path());
    let policy = folder.path().join("policy.yaml").display().to_string();
    let evaluate = |rack: &str, output: &str| {
        service.run(&["gate", "evaluate", "--policy", &policy, "--rack", rack, "--output", output])
    };
    says(&evaluate("r01", "text"), 0, &["PASS"]);
    says(&evaluate("r02", "text"), 1, &["FAIL", "coolant-supply-temperature", "50 °C > 45 °C", "r02"]);
    says(&evaluate("r02", "markdown"), 1, &["FAIL", "| "]);
    let junit = evaluate("r02", "junit");
    says(&junit, 1, &["<?xml", "<failure", "coolant-supply-temperature"]);
    let failed = evaluate("r02", "json");
    says(&failed, 1, &[]);
    let verdict: Value = serde_json::from_str(&failed.stdout).expect("JSON");
    let id = verdict["evaluation_id"].as_str().expect("an id").to_owned();

    let explain = |more: &[&str]| service.run(&[&["gate", "explain", &id], more].concat());
    says(&explain(&[]), 0, &["FAIL", "coolant-supply-temperature", "facts: "]);
    says(&explain(&["--again"]), 0, &["judged again from the stored facts: identical, to the byte"]);
    let json: Value =
        serde_json::from_str(&explain(&["--again", "--output", "json"]).expect_success()).expect("JSON");
    assert_eq!(json["identical"], true);
    let again: Value =
        serde_json::from_str(json["judged_again"].as_str().expect("the verdict")).expect("JSON");
    assert_eq!(again, verdict, "the same verdict, all of it");

    let override_verdict = |until: &str| {
        service.run(&[
            "gate",
            "override",
            &id,
            "--by",
            "ada",
            "--why",
            "meter known bad, ticket 42",
            "--until",
            until,
        ])
    };
    says(&override_verdict("2026-01-05T20:00:00Z"), 0, &["recorded, by ada", "its verdict stays FAIL"]);
    says(&override_verdict("2020-01-01T00:00:00Z"), 2, &["until"]);
    says(&explain(&[]), 0, &["FAIL", "ada", "meter known bad, ticket 42"]);
    says(&explain(&["--again"]), 0, &["identical, to the byte"]);
    let rows = service.sql("select evaluation, by, why from overrides");
    assert_eq!(
        rows,
        [serde_json::json!({"evaluation": id, "by": "ada", "why": "meter known bad, ticket 42"})]
    );
    let listed = service.run(&["gate", "list", "--rack", "r02", "--output", "json"]).json_lines();
    assert_eq!(listed.len(), 1, "the same question about the same facts is the same evaluation");
    assert_eq!(listed[0]["evaluation_id"], id.as_str(), "the latest first");
    says(&service.run(&["gate", "list", "--rack", "r01"]), 0, &["PASS", "mine"]);

    let data = service.stop();
    let service = Service::start(&data, &["--set", "clock.kind=telemetry"]);
    says(&service.run(&["gate", "explain", &id, "--again"]), 0, &["FAIL", "ada", "identical, to the byte"]);
    service.stop();
}

#[test]
fn a_run_is_started_marked_judged_and_ended() {
    let folder = tempfile::tempdir().expect("a folder");
    let service = service(folder.path());
    let run = |arguments: &[&str]| service.run(&[&["run"], arguments].concat());
    let start = [
        "start",
        "build-1",
        "--rack",
        "r01",
        "--stage",
        "canary",
        "--version",
        "image=2026.1",
        "--version",
        "driver=595.10",
        "--planned",
        "30m",
    ];
    says(&run(&start), 0, &["run build-1 started: canary on r01, from 2026-01-05T08:"]);
    says(&run(&start), 0, &["run build-1 started"]);
    says(&run(&["start", "build-2", "--rack", "r01"]), 2, &["build-1"]);
    says(&run(&["mark", "build-1", "load at 80 %"]), 0, &["run build-1 marked"]);
    send(&service.http, &half_an_hour(30));
    let listed = run(&["list", "--output", "json"]).json_lines();
    assert_eq!(listed.len(), 1);
    assert_eq!((&listed[0]["run"], &listed[0]["state"]), (&"build-1".into(), &"active".into()));
    assert_eq!(listed[0]["versions"], serde_json::json!({"image": "2026.1", "driver": "595.10"}));
    let policy = folder.path().join("policy.yaml").display().to_string();
    says(
        &service.run(&["gate", "evaluate", "--policy", &policy, "--run", "build-1"]),
        0,
        &["PASS", "build-1"],
    );
    says(
        &service.run(&["gate", "evaluate", "--policy", &policy, "--run", "build-1", "--rack", "r02"]),
        2,
        &["rack \"r02\" is not in run \"build-1\""],
    );
    says(&run(&["end", "build-1"]), 0, &["run build-1 ended"]);
    says(&run(&["list"]), 0, &["build-1", "ended", "canary", "r01"]);
    says(&run(&["start", "build-2", "--rack", "r01"]), 0, &["run build-2 started: smoke"]);
    says(&run(&["start", "build-3", "--rack", "r01", "--replace"]), 0, &["run build-3 started"]);
    says(&run(&["end", "build-3", "--aborted"]), 0, &["run build-3 aborted"]);
    let states: Vec<Value> =
        run(&["list", "--output", "json"]).json_lines().into_iter().map(|run| run["state"].clone()).collect();
    assert_eq!(states, ["aborted", "aborted", "ended"], "the latest first");
    let changed = service.run(&[
        "sql",
        "--query",
        "what_changed_between_two_runs",
        "-p",
        "before=build-1",
        "-p",
        "after=build-3",
        "--output",
        "csv",
    ]);
    says(&changed, 0, &["version,image,2026.1,", "run,stage,canary,smoke"]);
}

#[test]
fn time_under_maintenance_is_unknown_and_not_good() {
    let folder = tempfile::tempdir().expect("a folder");
    let service = service(folder.path());
    let start = [
        "maintenance",
        "start",
        "--rack",
        "r01",
        "--until",
        "2026-01-05T09:30:00Z",
        "--by",
        "ada",
        "--why",
        "filter change",
    ];
    says(&service.run(&start), 0, &["rack r01: maintenance until 2026-01-05T09:30:00"]);
    send(&service.http, &half_an_hour(30));
    says(
        &service.run(&["maintenance", "end", "--rack", "r01", "--by", "ada"]),
        0,
        &["rack r01: maintenance ended at 2026-01-05T0"],
    );
    send(&service.http, &half_an_hour(60));
    let unknown = |rack: &str| {
        let query = format!(
            "select max(unknown_seconds) as s from slo_status where objective = 'coolant-supply-temperature' and rack = '{rack}' and scope = 'rolling'"
        );
        service.sql(&query)[0]["s"].as_f64()
    };
    let under = wait_for("a status after the work", || unknown("r01").filter(|seconds| *seconds > 0.0));
    assert!((1_700.0..1_900.0).contains(&under), "half an hour under maintenance is unknown: {under} s");
    assert_eq!(unknown("r02"), Some(0.0), "the neighbour was not worked on");
    let kept = service.sql("select rack, by, why from maintenance where why <> '' order by time");
    assert_eq!(kept[0], serde_json::json!({"rack": "r01", "by": "ada", "why": "filter change"}));
}
