//! Runs, from start to end: one at a time on a rack, whoever asks and however often.

use serde_json::{Value, json};

use crate::gates::{LATENESS, Rack, ask_python, send_minutes, service, wait_until_final};
use crate::harness::{Service, get};

const RACKS: [Rack; 2] =
    [Rack { name: "r1", gap: (0, 0), delta_t: 8.0 }, Rack { name: "r2", gap: (0, 0), delta_t: 8.0 }];

/// A run as `run list` tells it.
fn listed(service: &Service, run: &str) -> Value {
    let lines = service.run(&["run", "list", "--output", "json"]).json_lines();
    lines.into_iter().find(|line| line["run"] == run).unwrap_or_else(|| panic!("{run} is not listed"))
}

#[test]
fn a_rack_has_one_run_at_a_time_and_a_second_start_names_the_first() {
    let folder = tempfile::tempdir().expect("a folder");
    let service = service(folder.path());
    send_minutes(&service.http, &RACKS, 0..2);
    let start = |run: &str, more: &[&str]| {
        service.run(
            &[&["run", "start", run, "--rack", "r1", "--stage", "canary", "--version", "image=7"], more]
                .concat(),
        )
    };
    start("build-1", &["--planned", "40m"]).expect_success();
    // The same start again is the same run; with other content it is another one of a taken name.
    start("build-1", &["--planned", "40m"]).expect_success();
    let other = service.run(&["run", "start", "build-1", "--rack", "r2", "--planned", "40m"]);
    assert_eq!(other.code, 2, "{other:?}");
    assert!(other.stderr.contains("build-1"), "{other:?}");
    let second = start("build-2", &[]);
    assert_eq!(second.code, 2, "{second:?}");
    assert!(
        second.stderr.contains("build-1") && second.stderr.contains("--replace"),
        "it names the first and the way on: {second:?}"
    );
    let call = json!({"method": "thermogate.run.v1.RunService/StartRun", "request": {"runId": "build-3", "racks": ["r1"]}});
    if let Some(answers) = ask_python(&service.grpc, &[call]) {
        for by in ["generated", "reflected"] {
            let refused = &answers[0][by];
            assert_eq!(refused["code"], "FAILED_PRECONDITION", "{refused}");
            assert!(
                refused["details"]["PreconditionFailure"]["violations"][0]["subject"]
                    .as_str()
                    .is_some_and(|subject| subject.contains("build-1")),
                "{refused}"
            );
        }
    }

    send_minutes(&service.http, &RACKS, 2..12);
    service.run(&["run", "mark", "build-1", "burst of load"]).expect_success();
    let first = listed(&service, "build-1");
    assert_eq!(
        (&first["state"], &first["stage"], &first["racks"], &first["versions"]["image"]),
        (&json!("active"), &json!("canary"), &json!(["r1"]), &json!("7"))
    );
    // It took effect at the watermark.
    assert_eq!(
        (&first["start"], &first["planned_end"]),
        (&json!("2026-01-05T10:01:20.000000Z"), &json!("2026-01-05T10:41:20.000000Z"))
    );

    start("build-2", &["--replace"]).expect_success();
    assert_eq!(listed(&service, "build-1")["state"], "aborted");
    assert_eq!(listed(&service, "build-2")["state"], "active");
    service.run(&["run", "end", "build-2"]).expect_success();
    let again = service.run(&["run", "end", "build-4"]);
    assert!(again.code == 2 && again.stderr.contains("build-4"), "{again:?}");

    let (status, body) = get(&format!("{}/v1/runs?rack=r1", service.http)).expect("the service answers");
    let body: Value = serde_json::from_str(&body).expect("JSON");
    let runs = body["runs"].as_array().expect("a list");
    assert_eq!(
        (status, runs.len(), &runs[0]["run"], &runs[1]["run"]),
        (200, 2, &json!("build-2"), &json!("build-1")),
        "{body}"
    );
    let markers = runs[1]["markers"].as_array().expect("a list");
    assert!(markers.iter().any(|marker| marker["text"] == "burst of load"), "{markers:?}");
    // Burn windows that 40 minutes are too short for are named as the policy has them.
    let note = markers[0]["text"].as_str().expect("text");
    assert!(
        note.contains("too short for this run, not judged: ") && note.contains("coolant-dt 1h/5m"),
        "{note}"
    );
}

#[test]
fn a_run_that_has_ended_is_judged_by_what_was_final_at_its_end() {
    let folder = tempfile::tempdir().expect("a folder");
    let service = service(folder.path());
    send_minutes(&service.http, &RACKS, 0..2);
    service
        .run(&["run", "start", "build-1", "--rack", "r1", "--rack", "r2", "--planned", "40m"])
        .expect_success();
    send_minutes(&service.http, &RACKS, 2..45);
    service.run(&["run", "end", "build-1"]).expect_success();
    // Two racks that get much too hot once the run is over.
    let hot = RACKS.map(|rack| Rack { delta_t: 20.0, ..rack });
    send_minutes(&service.http, &hot, 45..70);
    wait_until_final(&service, 69 * 60 + 50 - LATENESS);

    let asked =
        service.run(&["gate", "evaluate", "--policy", "strict", "--run", "build-1", "--output", "json"]);
    let verdict: Value = serde_json::from_str(&asked.stdout).unwrap_or_else(|_| panic!("{asked:?}"));
    assert_eq!(
        (asked.code, &verdict["verdict"], &verdict["run_id"]),
        (0, &json!("PASS"), &json!("build-1")),
        "{verdict}"
    );
    assert_eq!(verdict["scope"]["racks"], json!(["r1", "r2"]), "a run names its racks");
    let stored = service.sql(
        "select rack, state, bad_seconds from slo_status \
         where run = 'build-1' and final and objective = 'coolant-dt' order by rack",
    );
    assert_eq!(stored.len(), 2, "{stored:?}");
    assert!(
        stored.iter().all(|row| row["state"] == "PASS" && row["bad_seconds"].as_f64() == Some(0.0)),
        "{stored:?}"
    );
    // The racks as they are now are another question.
    service.run(&["run", "start", "build-2", "--rack", "r1", "--planned", "40m"]).expect_success();
    send_minutes(&service.http, &hot, 70..82);
    wait_until_final(&service, 81 * 60 + 50 - LATENESS);
    let now = service.run(&["gate", "evaluate", "--policy", "strict", "--run", "build-2"]);
    assert_eq!(now.code, 1, "{now:?}");
}
