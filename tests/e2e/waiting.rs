//! PENDING says until when, and whoever waits is told.

use serde_json::{Value, json};

use crate::gates::{RACKS, ask_http, ask_python, send_minutes, service, wait_until_final};
use crate::harness::{Finished, Service, python, thermogate, wait_for};

#[test]
fn pending_says_until_when_and_whoever_waits_is_told() {
    let folder = tempfile::tempdir().expect("a folder");
    let service = service(folder.path());
    let rack = &RACKS[..1];
    send_minutes(&service.http, rack, 0..10);
    service.run(&["run", "start", "build-1", "--rack", "whole", "--planned", "1h"]).expect_success();
    send_minutes(&service.http, rack, 10..20);
    wait_until_final(&service, 19 * 60);

    // The run started at the watermark, 09:50 in: half an hour of it is final at 39:50 less the lateness, plus that.
    let asked =
        service.run(&["gate", "evaluate", "--policy", "half-hour", "--run", "build-1", "--output", "json"]);
    let answer: Value = serde_json::from_str(&asked.stdout).expect("JSON");
    assert_eq!((asked.code, answer["verdict"].as_str()), (4, Some("PENDING")), "{answer}");
    assert_eq!(answer["wait_until"], "2026-01-05T10:39:50.000000Z", "{answer}");
    assert_eq!(answer["score"], Value::Null);

    // A caller that gives up first gets PENDING, in time, and no error.
    let (status, waited) =
        ask_http(&service.http, "half-hour", &json!({"run_id": "build-1", "wait": "500ms"}));
    assert!(status == 200 && waited.contains("\"verdict\":\"PENDING\""), "{status} {waited}");
    let waited =
        service.run(&["gate", "evaluate", "--policy", "half-hour", "--run", "build-1", "--wait", "1s"]);
    assert_eq!(waited.code, 4, "{waited:?}");
    assert!(waited.stderr.contains("no verdict yet; waiting for it up to 1s"), "{waited:?}");
    let evaluate = |wait: &str| json!({"gate": "half-hour", "runId": "build-1", "wait": wait});
    let deadline = json!({"method": "thermogate.gate.v1.GateService/Evaluate", "request": evaluate("60s"), "timeout": 1.5});
    if let Some(answers) = ask_python(&service.grpc, &[deadline]) {
        for by in ["generated", "reflected"] {
            assert_eq!(answers[0][by]["answer"]["evaluation"]["verdict"], "VERDICT_PENDING", "{answers:?}");
        }
    }

    let waiting = |arguments: &[&str]| {
        let (grpc, arguments) =
            (service.grpc.clone(), arguments.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>());
        std::thread::spawn(move || {
            let mut command = thermogate();
            Finished::from(
                command.args(arguments).env("THERMOGATE_GRPC", grpc).output().expect("the program starts"),
            )
        })
    };
    let by_command = waiting(&[
        "gate",
        "evaluate",
        "--policy",
        "half-hour",
        "--run",
        "build-1",
        "--wait",
        "60s",
        "--request-id",
        "job-7",
        "--output",
        "json",
    ]);
    let (http, grpc) = (service.http.clone(), service.grpc.clone());
    let by_http = std::thread::spawn(move || {
        ask_http(&http, "half-hour", &json!({"run_id": "build-1", "wait": "60s"}))
    });
    let question = json!({"evaluate": {"gate": "half-hour", "runId": "build-1"}});
    let watch = json!({"method": "thermogate.gate.v1.GateService/WatchEvaluation", "request": question, "timeout": 60});
    let by_watch = std::thread::spawn(move || ask_python(&grpc, &[watch]));
    wait_for_watchers(&service);
    send_minutes(&service.http, rack, 20..42);

    let by_command = by_command.join().expect("it ends");
    assert_eq!(by_command.code, 0, "{by_command:?}");
    // A job that lost the answer and asks once more is given the same decision.
    let once_more =
        ["gate", "evaluate", "--policy", "half-hour", "--run", "build-1", "--request-id", "job-7"];
    let once_more = service.run(&[&once_more[..], &["--wait", "60s", "--output", "json"]].concat());
    assert_eq!(once_more.stdout, by_command.stdout);
    let (status, by_http) = by_http.join().expect("it ends");
    assert!(status == 200 && by_http.contains("\"verdict\":\"PASS\""), "{by_http}");
    if let Some(answers) = by_watch.join().expect("it ends") {
        let told = answers[0]["generated"]["stream"].as_array().expect("a stream");
        assert_eq!(
            told.first().expect("a message")["evaluation"]["verdict"],
            "VERDICT_PENDING",
            "{answers:?}"
        );
        assert_eq!(told.last().expect("a message")["evaluation"]["verdict"], "VERDICT_PASS", "{answers:?}");
    }
}

#[test]
fn whoever_stops_waiting_can_have_explained_what_was_said_last() {
    let folder = tempfile::tempdir().expect("a folder");
    let service = service(folder.path());
    let rack = &RACKS[2..3]; // tells nothing from minute 25 to 40
    send_minutes(&service.http, rack, 0..10);
    service.run(&["run", "start", "build-1", "--rack", "gap-middle", "--planned", "1h"]).expect_success();
    send_minutes(&service.http, rack, 10..28);
    wait_until_final(&service, 27 * 60);
    let question = ["gate", "evaluate", "--policy", "patient", "--run", "build-1", "--output", "json"];
    let told = |answer: &Finished| -> Value {
        assert_eq!(answer.code, 4, "{answer:?}");
        serde_json::from_str(&answer.stdout).expect("JSON")
    };
    let at_first = told(&service.run(&question));
    let grpc = service.grpc.clone();
    let waiting = std::thread::spawn(move || {
        let mut command = thermogate();
        command.args(question).args(["--wait", "5s"]).env("THERMOGATE_GRPC", grpc);
        Finished::from(command.output().expect("the program starts"))
    });
    let asked = "thermogate_gate_verdicts_total{policy=\"patient\",verdict=\"PENDING\"}";
    wait_for("it to wait", || service.metric(asked).filter(|count| *count >= 2.0));
    send_minutes(&service.http, rack, 28..32);
    let at_last = told(&waiting.join().expect("it ends"));
    assert!(at_first["wait_until"].as_str() < at_last["wait_until"].as_str(), "{at_first} {at_last}");
    let id = at_last["evaluation_id"].as_str().expect("an id");
    let explained = service.run(&["gate", "explain", id, "--again", "--output", "json"]).expect_success();
    let explained: Value = serde_json::from_str(&explained).expect("JSON");
    assert_eq!(explained["identical"], true, "{explained}");
    let again = explained["judged_again"].as_str().expect("an answer");
    assert_eq!(serde_json::from_str::<Value>(again).expect("JSON"), at_last);
}

/// Gate questions that were asked, until as many as the three that wait have come.
fn wait_for_watchers(service: &Service) {
    let asked = || service.metric("thermogate_gate_verdicts_total{policy=\"half-hour\",verdict=\"PENDING\"}");
    let wanted = if python().is_some() { 8.0 } else { 5.0 };
    wait_for("all to wait", || asked().filter(|count| *count >= wanted));
}
