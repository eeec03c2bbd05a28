//! One decision over gRPC, HTTP and the command line, whatever is missing from the data.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::harness::{Finished, Service, free_port, get, post, python, run, wait_for};
use crate::remote_write::{Reading, send};

/// 2026-01-05T10:00:00Z: where the data of these tests begins.
pub const START: i64 = 1_767_607_200;
/// The allowed lateness, seconds: a run starts at the watermark.
pub const LATENESS: i64 = 30;

/// What is missing or wrong on a rack, in minutes since the start.
#[derive(Debug, Clone, Copy)]
pub struct Rack {
    pub name: &'static str,
    /// No return temperature and no flow from the first to the second.
    pub gap: (i64, i64),
    /// How much the coolant warms, K.
    pub delta_t: f64,
}

pub const RACKS: [Rack; 6] = [
    Rack { name: "whole", gap: (0, 0), delta_t: 8.0 },
    Rack { name: "gap-start", gap: (2, 17), delta_t: 8.0 },
    Rack { name: "gap-middle", gap: (25, 40), delta_t: 8.0 },
    Rack { name: "gap-end", gap: (47, 62), delta_t: 8.0 },
    Rack { name: "gap-everywhere", gap: (0, 62), delta_t: 8.0 },
    Rack { name: "hot-with-gap", gap: (25, 40), delta_t: 14.0 },
];

impl Rack {
    /// Its readings of one minute, one each 10 s, with the noise that a sensor has.
    fn minute(self, minute: i64) -> impl Iterator<Item = Reading<'static>> {
        (0..60).step_by(10).flat_map(move |second| {
            let time = (START + minute * 60 + second) * 1_000;
            let noise = ((minute * 60 + second) / 10 * 7_919 % 11) as f64 / 100.0;
            let supply = 32.0 + noise;
            let reading = |metric, value| Reading { metric, rack: self.name, time, value };
            let always = [
                reading("coolant_supply_temperature", supply),
                reading("rack_power", 100.0 / 60.0 * 4.15 * self.delta_t + noise),
            ];
            let sometimes = [
                reading("coolant_return_temperature", supply + self.delta_t + noise / 2.0),
                reading("coolant_flow", 100.0 + noise),
            ];
            let silent = (self.gap.0..self.gap.1).contains(&minute);
            always.into_iter().chain(sometimes.into_iter().filter(move |_| !silent))
        })
    }
}

/// A service on the telemetry's own clock, with the policies of these tests.
pub fn service(folder: &Path) -> Service {
    let policies = format!("documents.policies={}", fixture("gates/policies.yaml").display());
    let objectives = format!("documents.objectives={}", fixture("gates/objectives.yaml").display());
    Service::start(
        &folder.join("data"),
        &["--set", "clock.kind=telemetry", "--set", &policies, "--set", &objectives],
    )
}

fn fixture(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures").join(name)
}

/// Sends some minutes of some racks, a request a minute.
pub fn send_minutes(http: &str, racks: &[Rack], minutes: std::ops::Range<i64>) {
    for minute in minutes {
        let readings: Vec<_> = racks.iter().flat_map(|rack| rack.minute(minute)).collect();
        send(http, &readings);
    }
}

/// Waits until event time is final up to so many seconds after the start.
pub fn wait_until_final(service: &Service, second: i64) {
    let wanted = format!("2026-01-05T{:02}:{:02}:{:02}", 10 + second / 3_600, second / 60 % 60, second % 60);
    wait_for(&format!("event time to be final up to {wanted}"), || {
        let (_, status) = get(&format!("{}/v1/status", service.http)).ok()?;
        let status: Value = serde_json::from_str(&status).ok()?;
        (status["watermark"].as_str()? >= wanted.as_str()).then_some(())
    });
}

/// A question over HTTP; status and body.
pub fn ask_http(http: &str, gate: &str, body: &Value) -> (u16, String) {
    let headers = [("content-type", "application/json")];
    post(&format!("{http}/v1/gates/{gate}:evaluate"), &headers, body.to_string().into_bytes())
        .expect("the service answers")
}

/// Calls of the gRPC port by a Python client; none when it is not installed.
pub fn ask_python(grpc: &str, calls: &[Value]) -> Option<Vec<Value>> {
    let python = python()?;
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut child = Command::new(python)
        .arg(root.join("peers/ask_gate.py"))
        .arg(grpc.trim_start_matches("http://"))
        .arg(root.join("../proto"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("Python starts");
    let mut input = child.stdin.take().expect("stdin is piped");
    for call in calls {
        writeln!(input, "{call}").expect("Python reads");
    }
    drop(input);
    let answers = Finished::from(child.wait_with_output().expect("Python ends")).json_lines();
    assert_eq!(answers.len(), calls.len());
    Some(answers)
}

/// The law of verdicts: every row that is not PASS says what it is about, and what was seen and asked.
fn every_row_explains_itself(verdict: &Value) {
    let rows = verdict["racks"]
        .as_array()
        .expect("racks")
        .iter()
        .flat_map(|rack| rack["checks"].as_array().expect("rows"));
    for row in rows.filter(|row| row["verdict"] != "PASS") {
        for field in ["signal", "worst_group", "window", "reason"] {
            assert!(row[field].as_str().is_some_and(|text| !text.is_empty()), "no {field}: {row}");
        }
        let reason = row["reason"].as_str().expect("a reason");
        let rack = verdict["scope"]["racks"][0].as_str().expect("a rack");
        assert!(
            reason.contains(rack) && row["worst_group"].as_str().expect("a group").contains(rack),
            "{row}"
        );
        assert!(row["threshold"].is_number(), "nothing asked: {row}");
        // Of a signal that never came there is no number to tell.
        let never = row["unknown_reason"] == "never_seen" && reason.contains("never seen");
        assert!(never || row["observed"].is_number(), "nothing seen: {row}");
    }
}

const EXIT: [(&str, i32); 5] = [("PASS", 0), ("WARN", 0), ("FAIL", 1), ("INCONCLUSIVE", 3), ("PENDING", 4)];

#[test]
fn gaps_give_the_expected_verdict_by_every_policy_over_every_channel() {
    let folder = tempfile::tempdir().expect("a folder");
    let service = service(folder.path());
    send_minutes(&service.http, &RACKS, 0..2);
    for rack in RACKS {
        let run = format!("run-{}", rack.name);
        service.run(&["run", "start", &run, "--rack", rack.name, "--planned", "1h"]).expect_success();
    }
    send_minutes(&service.http, &RACKS, 2..62);
    wait_until_final(&service, 61 * 60 + 50 - LATENESS);

    let expected = [
        ("whole", ["PASS", "PASS", "PASS"]),
        // Where half is enough a gap is no obstacle, and is told: a finding says so.
        ("gap-start", ["INCONCLUSIVE", "WARN", "PENDING"]),
        ("gap-middle", ["INCONCLUSIVE", "WARN", "PENDING"]),
        ("gap-end", ["INCONCLUSIVE", "WARN", "PENDING"]),
        ("gap-everywhere", ["INCONCLUSIVE", "INCONCLUSIVE", "PENDING"]),
        // What is missing cannot mend what is broken.
        ("hot-with-gap", ["FAIL", "FAIL", "FAIL"]),
    ];
    let questions: Vec<(&str, &str, &str)> = expected
        .iter()
        .flat_map(|(rack, verdicts)| {
            ["strict", "lenient", "patient"]
                .into_iter()
                .zip(verdicts)
                .map(|(policy, verdict)| (*rack, policy, *verdict))
        })
        .collect();

    let mut answers = BTreeMap::new();
    for (rack, policy, verdict) in &questions {
        let id = format!("{rack}/{policy}");
        let asked = service.run(&[
            "gate",
            "evaluate",
            "--policy",
            policy,
            "--rack",
            rack,
            "--request-id",
            &id,
            "--output",
            "json",
        ]);
        let exit = EXIT.iter().find(|(name, _)| name == verdict).expect("a verdict").1;
        let answer: Value = serde_json::from_str(&asked.stdout).unwrap_or_else(|_| panic!("{id}: {asked:?}"));
        assert_eq!((answer["verdict"].as_str(), asked.code), (Some(*verdict), exit), "{id}: {answer}");
        assert_eq!(answer["wait_until"].is_string(), *verdict == "PENDING", "{id}: {answer}");
        every_row_explains_itself(&answer);
        let (status, by_http) =
            ask_http(&service.http, policy, &json!({"scope": {"rack": rack}, "request_id": id}));
        assert_eq!(
            (status, by_http.as_str()),
            (200, asked.stdout.trim_end()),
            "{id}: HTTP gives the same bytes"
        );
        answers.insert(id, answer);
    }
    let rows = answers["gap-everywhere/strict"]["checks"].to_string();
    assert!(rows.contains("coolant_return_temperature was never seen"), "by its name: {rows}");

    let calls: Vec<Value> = questions
        .iter()
        .map(|(rack, policy, _)| {
            let request = json!({"gate": policy, "racks": [rack], "requestId": format!("{rack}/{policy}")});
            json!({"method": "thermogate.gate.v1.GateService/Evaluate", "request": request})
        })
        .collect();
    let Some(by_python) = ask_python(&service.grpc, &calls) else { return };
    for ((rack, policy, verdict), by_python) in questions.iter().zip(&by_python) {
        let answer = &answers[&format!("{rack}/{policy}")];
        for by in ["generated", "reflected"] {
            let evaluation = &by_python[by]["answer"]["evaluation"];
            let canonical: Value =
                serde_json::from_str(evaluation["canonicalJson"].as_str().expect("bytes")).expect("JSON");
            assert_eq!(&canonical, answer, "{by}");
            assert_eq!(evaluation["verdict"], format!("VERDICT_{verdict}"));
            assert_eq!(evaluation["evaluationId"], answer["evaluation_id"]);
            the_same_rows(evaluation, answer);
        }
    }
}

/// The message's fields say what the canonical answer says, evidence included.
fn the_same_rows(evaluation: &Value, answer: &Value) {
    let empty = Vec::new();
    let rows = evaluation["checks"].as_array().expect("rows");
    let wanted = answer["checks"].as_array().expect("rows");
    assert_eq!(rows.len(), wanted.len());
    for (row, wanted) in rows.iter().zip(wanted) {
        for (field, name) in [
            ("check", "check"),
            ("reason", "reason"),
            ("window", "window"),
            ("signal", "signal"),
            ("worstGroup", "worst_group"),
        ] {
            assert_eq!(row[field], wanted[name], "{field}");
        }
        for field in ["observed", "threshold", "coverage"] {
            assert_eq!(row[field].as_f64(), wanted[field].as_f64(), "{field} of {row}");
        }
        let evidence = row["evidence"].as_array().unwrap_or(&empty);
        let wanted_evidence = wanted["evidence"].as_array().expect("evidence");
        assert_eq!(evidence.len(), wanted_evidence.len());
        for (shown, wanted) in evidence.iter().zip(wanted_evidence) {
            assert_eq!(
                (&shown["name"], shown["text"].as_str().unwrap_or_default()),
                (&wanted["name"], wanted["text"].as_str().expect("text"))
            );
            assert_eq!(
                (shown["value"].as_f64(), shown["query"].as_str().unwrap_or_default()),
                (wanted["value"].as_f64(), wanted["query"].as_str().expect("a query"))
            );
        }
    }
}

#[test]
fn a_signal_that_never_came_is_inconclusive_by_its_name() {
    let folder = tempfile::tempdir().expect("a folder");
    let service = service(folder.path());
    send_minutes(&service.http, &RACKS[..1], 0..12);
    wait_until_final(&service, 11 * 60);
    let asked = service.run(&["gate", "evaluate", "--policy", "renamed", "--rack", "whole"]);
    assert_eq!(asked.code, 3, "{asked:?}");
    assert!(asked.stdout.contains("coolant_conductivity was never seen on"), "{asked:?}");
    // The evidence of a verdict can be asked for with the query that it names.
    let answer =
        service.run(&["gate", "evaluate", "--policy", "renamed", "--rack", "whole", "--output", "json"]);
    let answer: Value = serde_json::from_str(&answer.stdout).expect("JSON");
    let queries: Vec<&str> = answer["checks"]
        .as_array()
        .expect("rows")
        .iter()
        .flat_map(|row| row["evidence"].as_array().expect("evidence"))
        .filter_map(|evidence| evidence["query"].as_str())
        .filter(|query| !query.is_empty())
        .collect();
    assert!(!queries.is_empty(), "{answer}");
    for query in queries {
        service.run(&["sql", query]).expect_success();
    }
    // And judged again from the stored facts, to the byte.
    let id = answer["evaluation_id"].as_str().expect("an id");
    let again = service.run(&["gate", "explain", id, "--again"]);
    assert!(again.code == 0 && again.stdout.contains("identical, to the byte"), "{again:?}");
}

#[test]
fn a_rack_of_which_no_limit_is_told_has_no_headroom_that_is_known() {
    let folder = tempfile::tempdir().expect("a folder");
    let service = service(folder.path());
    send_minutes(&service.http, &RACKS[..1], 0..22);
    wait_until_final(&service, 21 * 60 + 50 - LATENESS);
    let (status, body) = ask_http(&service.http, "headroom", &json!({"scope": {"rack": "whole"}}));
    let answer: Value = serde_json::from_str(&body).expect("JSON");
    assert_eq!((status, &answer["verdict"]), (200, &json!("INCONCLUSIVE")), "{answer}");
    let row = &answer["racks"][0]["checks"][0];
    assert_eq!(row["threshold"], json!(60.0 * 1.1), "{row}");
    assert_eq!(row["observed"], Value::Null, "{row}");
    assert_eq!(row["unknown_reason"], "never_seen", "{row}");
    let reason = row["reason"].as_str().expect("a reason");
    assert!(reason.contains("how much power rack whole can sustain was ever seen"), "{reason}");
    let (_, metrics) = get(&format!("{}/metrics", service.http)).expect("the service answers");
    assert!(!metrics.contains("thermogate_rack_sustainable_power_watts{"), "{metrics}");
    let rows = service.sql("SELECT value FROM headroom WHERE rack = 'whole'");
    assert!(rows.is_empty(), "what does not apply has no row: {rows:?}");
}

#[test]
fn an_unknown_name_is_the_callers_mistake_and_a_missing_service_is_not() {
    let folder = tempfile::tempdir().expect("a folder");
    let service = service(folder.path());
    send_minutes(&service.http, &RACKS[..1], 0..2);
    let asked = service.run(&["gate", "evaluate", "--policy", "strcit", "--rack", "whole"]);
    assert_eq!(asked.code, 2, "{asked:?}");
    assert!(asked.stderr.contains("strict"), "the nearest known name is told: {asked:?}");
    let asked = service.run(&["gate", "evaluate", "--policy", "strict", "--rack", "wohle"]);
    assert_eq!(asked.code, 2, "{asked:?}");
    assert!(asked.stderr.contains("whole"), "{asked:?}");
    let (status, body) = ask_http(&service.http, "strict", &json!({"scope": {"rack": "wohle"}}));
    let refused: Value = serde_json::from_str(&body).expect("JSON");
    assert_eq!(
        (status, &refused["code"], &refused["details"]["name"]),
        (404, &json!("not_found"), &json!("wohle"))
    );
    let nobody =
        run(&["gate", "evaluate", "--rack", "whole", "--grpc", &format!("http://127.0.0.1:{}", free_port())]);
    assert_eq!(nobody.code, 5, "{nobody:?}");

    let calls = [
        json!({"method": "thermogate.gate.v1.GateService/Evaluate", "request": {"gate": "strict", "racks": ["wohle"]}}),
        json!({"method": "thermogate.gate.v1.GateService/Evaluate", "request": {"policyDocument": "kind: [", "racks": ["whole"]}}),
        json!({"method": "thermogate.gate.v1.GateService/GetEvaluation", "request": {"evaluationId": "0"}}),
        json!({"method": "grpc.health.v1.Health/Check", "request": {"service": "thermogate.gate.v1.GateService"}}),
        json!({"method": "grpc.health.v1.Health/Check", "request": {}}),
        json!({"method": "grpc.health.v1.Health/Check", "request": {"service": "thermogate.gate.v1.Gate"}}),
        json!({"method": "services"}),
    ];
    let Some(answers) = ask_python(&service.grpc, &calls) else { return };
    for by in ["generated", "reflected"] {
        let refused = &answers[0][by];
        assert_eq!(refused["code"], "NOT_FOUND", "{refused}");
        assert_eq!(
            refused["details"]["ErrorInfo"]["metadata"],
            json!({"kind": "rack", "name": "wohle"}),
            "{refused}"
        );
        assert_eq!(refused["details"]["ResourceInfo"]["resourceName"], "wohle", "{refused}");
        let refused = &answers[1][by];
        assert_eq!(refused["code"], "INVALID_ARGUMENT", "{refused}");
        assert_eq!(
            refused["details"]["BadRequest"]["fieldViolations"][0]["field"], "policy_document",
            "{refused}"
        );
        assert_eq!(answers[2][by]["code"], "NOT_FOUND", "{}", answers[2]);
    }
    assert_eq!(answers[3]["reflected"]["answer"]["status"], "SERVING", "{}", answers[3]);
    assert_eq!(answers[4]["reflected"]["answer"]["status"], "SERVING", "{}", answers[4]);
    assert_eq!(answers[5]["reflected"]["code"], "NOT_FOUND", "{}", answers[5]);
    for version in ["v1", "v1alpha"] {
        let services = answers[6][version].as_array().expect("a list");
        for service in [
            "thermogate.gate.v1.GateService",
            "thermogate.run.v1.RunService",
            "thermogate.calibration.v1.CalibrationService",
            "thermogate.drill.v1.DrillService",
            "thermogate.backtest.v1.BacktestService",
            "grpc.health.v1.Health",
        ] {
            assert!(services.contains(&json!(service)), "{version}: {services:?}");
        }
    }
}
