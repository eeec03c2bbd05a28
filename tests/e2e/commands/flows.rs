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
fn a_calibration_is_registered_takes_effect_from_its_time_on_and_is_listed() {
    let folder = tempfile::tempdir().expect("a folder");
    let service = service(folder.path());
    let calibrate = |arguments: &[&str]| service.run(&[&["calibrate"], arguments].concat());
    let sensor = ["--rack", "r02", "--signal", "coolant_supply_temperature"];
    let who = ["--by", "ada", "--why", "yearly"];
    let offset = [
        &sensor[..],
        &["--offset", "-10 K", "--reference", "bath 12", "--request-id", "one", "--reset"],
        &who,
    ]
    .concat();
    says(
        &calibrate(&offset),
        0,
        &[
            "coolant_supply_temperature of rack r02: offset -10 K in force from 2026-01-05T08:29:50",
            "rack r02: baselines are taken anew from 2026-01-05T08:29:50",
        ],
    );
    says(&calibrate(&offset), 0, &["in force from 2026-01-05T08:29:50"]);
    let other =
        [&sensor[..], &["--offset", "-11 K", "--reference", "bath 12", "--request-id", "one"], &who].concat();
    says(&calibrate(&other), 2, &["request \"one\" has registered another calibration already"]);

    send(&service.http, &half_an_hour(30));
    let last = || {
        service.sql("select last from blocks where rack = 'r02' order by time desc limit 1")[0]["last"]
            .as_f64()
    };
    wait_for("blocks with the offset", || last().filter(|last| *last == 40.0));

    let listed = calibrate(&["list", "--rack", "r02", "--output", "json"]).json_lines();
    let kinds: Vec<&Value> = listed.iter().map(|line| &line["kind"]).collect();
    assert_eq!(kinds, ["reset", "offset"], "the repeat is no other one");
    assert_eq!(
        (&listed[1]["offset"], &listed[1]["unit"], &listed[1]["reference"], &listed[1]["by"]),
        (&(-10.0_f64).into(), &"K".into(), &"bath 12".into(), &"ada".into())
    );
    says(&calibrate(&["list"]), 0, &["rack r02", "-10 K", "bath 12", "yearly"]);

    let refused: [(&[&str], &str); 6] = [
        (&["--rack", "r02"], "offset: give an offset, a reset of baselines, or both"),
        (
            &["--rack", "r02", "--signal", "coolant_flow", "--offset", "1 L/min", "--reference", "x"],
            "signal \"coolant_flow\" is not known",
        ),
        (
            &[
                "--rack",
                "r02",
                "--signal",
                "coolant_supply_temperature",
                "--offset",
                "1 kPa",
                "--reference",
                "x",
            ],
            "give the offset in K",
        ),
        (
            &["--rack", "r02", "--signal", "coolant_supply_temperature", "--offset", "1 K"],
            "reference: is required",
        ),
        (&["--rack", "r2", "--reset"], "rack \"r2\" is not known"),
        (&["--rack", "r02", "--reset", "--at", "2026-01-05T12:00:00Z"], "lies ahead of the last tick"),
    ];
    for (arguments, expected) in refused {
        says(&calibrate(&[arguments, &who].concat()), 2, &[expected]);
    }

    // What was acknowledged is there after a restart, and in force.
    let data = service.stop();
    let service = Service::start(&data, &["--set", "clock.kind=telemetry"]);
    send(&service.http, &half_an_hour(60));
    let query = "select min(last) as low, max(last) as high from blocks where rack = 'r02' and time > '2026-01-05T09:01:00Z'";
    let span = wait_for("blocks after the restart", || {
        let rows = service.sql(query);
        rows[0]["low"].as_f64().zip(rows[0]["high"].as_f64())
    });
    assert_eq!(span, (40.0, 40.0));
    assert_eq!(service.run(&["calibrate", "list", "--output", "json"]).json_lines().len(), 2);
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
