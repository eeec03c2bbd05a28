//! Past runs: exported, evaluated again to the byte, and judged by other documents.

use std::path::Path;

use serde_json::{Value, json};
use telemetry::EventTime;
use tonic::{Code, Status};
use wire::backtest::v1 as pb;
use wire::backtest::v1::backtest_service_client::BacktestServiceClient;

use crate::gates::{LATENESS, Rack, send_minutes, service, wait_until_final};
use crate::harness::{Service, run};

const RACKS: [Rack; 2] =
    [Rack { name: "r1", gap: (0, 0), delta_t: 8.0 }, Rack { name: "r2", gap: (20, 25), delta_t: 8.0 }];

/// A service with a run of 40 minutes that has ended, and verdicts in its midst and after its end.
fn with_a_run(folder: &Path) -> Service {
    let service = service(folder);
    send_minutes(&service.http, &RACKS, 0..5);
    service
        .run(&["run", "start", "build-1", "--rack", "r1", "--rack", "r2", "--planned", "40m"])
        .expect_success();
    send_minutes(&service.http, &RACKS, 5..30);
    wait_until_final(&service, 29 * 60 + 50 - LATENESS);
    let evaluate = |policy: &str| {
        service.run(&["gate", "evaluate", "--policy", policy, "--run", "build-1", "--output", "json"])
    };
    evaluate("strict");
    service.run(&["run", "mark", "build-1", "half of it"]).expect_success();
    send_minutes(&service.http, &RACKS, 30..45);
    service.run(&["run", "end", "build-1"]).expect_success();
    send_minutes(&service.http, &RACKS, 45..47);
    wait_until_final(&service, 46 * 60 + 50 - LATENESS);
    let after = evaluate("lenient");
    assert_eq!(after.code, 0, "{after:?}");
    service
}

fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

fn replayed(folder: &Path) -> Vec<Value> {
    run(&["replay", text(folder), "--output", "json"]).json_lines()
}

#[test]
fn an_exported_run_gives_the_same_verdicts_again_to_the_byte() {
    let folder = tempfile::tempdir().expect("a folder");
    let service = with_a_run(folder.path());
    let (by_service, by_folder) = (folder.path().join("by-service"), folder.path().join("by-folder"));
    let said = service.run(&["export", "--run", "build-1", "--to", text(&by_service)]).expect_success();
    assert!(said.contains("2 verdicts") && said.contains("nothing of these racks lies before"), "{said}");

    let lines = replayed(&by_service);
    let verdicts: Vec<&Value> = lines.iter().filter(|line| line["type"] == "verdict").collect();
    assert_eq!(verdicts.len(), 2, "{lines:#?}");
    for verdict in verdicts {
        assert_eq!(verdict["from_facts"], "identical", "{verdict:#}");
        assert_eq!(verdict["from_samples"], "identical", "{verdict:#}");
    }
    let statuses = lines.iter().find(|line| line["type"] == "slo_status").expect("statuses");
    assert_eq!(statuses["different"], json!([]), "{statuses:#}");
    // Two objectives on two racks.
    assert_eq!(statuses["identical"], 4, "{statuses:#}");
    assert_eq!(lines.last().expect("a result")["identical"], true);
    let said = run(&["replay", text(&by_service)]).expect_success();
    assert!(said.ends_with("all that can be derived is identical, to the byte\n"), "{said}");

    // Without a service, and from a part of the history.
    let data = service.stop();
    let arguments = ["--run", "build-1", "--warm-up", "2m", "--data", text(&data)];
    let said = run(&[&["export", "--to", text(&by_folder)], &arguments[..]].concat()).expect_success();
    assert!(!said.contains("lies before"), "{said}");
    let lines = replayed(&by_folder);
    assert_eq!(lines.last().expect("a result")["identical"], true, "{lines:#?}");
    let other = run(&[&["export", "--to", text(&by_folder)], &arguments[..]].concat());
    assert!(other.code == 2 && other.stderr.contains("is not empty"), "{other:?}");
}

#[test]
fn a_file_that_was_changed_is_refused_by_its_name() {
    let folder = tempfile::tempdir().expect("a folder");
    let service = with_a_run(folder.path());
    let export = folder.path().join("build-1");
    service.run(&["export", "--run", "build-1", "--to", text(&export)]).expect_success();
    let samples = export.join("samples.parquet");
    let good = std::fs::read(&samples).expect("samples");
    let mut bad = good.clone();
    let middle = bad.len() / 2;
    bad[middle] ^= 1;
    std::fs::write(&samples, bad).expect("a file");
    let refused = run(&["replay", text(&export)]);
    assert_eq!(refused.code, 2, "{refused:?}");
    assert!(refused.stderr.contains("samples.parquet: its SHA-256 is"), "{refused:?}");
    std::fs::remove_file(&samples).expect("a file");
    let refused = run(&["replay", text(&export)]);
    assert!(refused.code == 2 && refused.stderr.contains("samples.parquet: "), "{refused:?}");
    std::fs::write(&samples, good).expect("a file");

    // An answer that was forged together with its checksum is not what comes out again.
    let verdicts = export.join("verdicts.jsonl");
    let forged = std::fs::read_to_string(&verdicts).expect("verdicts");
    let forged = forged.replacen("\\\"verdict\\\":\\\"PASS\\\"", "\\\"verdict\\\":\\\"FAIL\\\"", 1);
    std::fs::write(&verdicts, &forged).expect("a file");
    let manifest = export.join("manifest.json");
    let mut listed: Value =
        serde_json::from_str(&std::fs::read_to_string(&manifest).expect("a manifest")).expect("JSON");
    for file in listed["files"].as_array_mut().expect("files") {
        if file["name"] == "verdicts.jsonl" {
            file["sha256"] = Value::from(telemetry::sha256_hex(&forged));
        }
    }
    std::fs::write(&manifest, listed.to_string()).expect("a file");
    let different = run(&["replay", text(&export)]);
    assert_eq!(different.code, 1, "{different:?}");
    assert!(different.stdout.contains("DIFFERENT"), "{different:?}");

    let refused = run(&["replay", text(folder.path())]);
    assert!(refused.code == 2 && refused.stderr.contains("holds no manifest.json"), "{refused:?}");
    let unknown = service.run(&["export", "--run", "build-2", "--to", text(&folder.path().join("x"))]);
    assert!(unknown.code == 2 && unknown.stderr.contains("build-2"), "{unknown:?}");
    service.run(&["run", "start", "build-2", "--rack", "r1"]).expect_success();
    let active = service.run(&["export", "--run", "build-2", "--to", text(&folder.path().join("x"))]);
    assert!(active.code == 2 && active.stderr.contains("thermogate run end build-2"), "{active:?}");
}

#[test]
fn a_tightened_objective_would_have_failed_a_run_that_passed() {
    let folder = tempfile::tempdir().expect("a folder");
    let service = with_a_run(folder.path());
    // A run that nobody asked a gate about.
    service.run(&["run", "start", "build-2", "--rack", "r1", "--planned", "10m"]).expect_success();
    send_minutes(&service.http, &RACKS, 47..57);
    service.run(&["run", "end", "build-2"]).expect_success();
    send_minutes(&service.http, &RACKS, 57..60);
    wait_until_final(&service, 59 * 60 + 50 - LATENESS);

    let objectives = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/gates/objectives.yaml");
    let loose = std::fs::read_to_string(objectives).expect("objectives");
    let (_, half_known) = loose.split_once("---\n").expect("two documents");
    let tight = half_known.replace("value: 12", "value: 7");
    assert_ne!(tight, half_known);
    let slo = folder.path().join("tight.yaml");
    std::fs::write(&slo, tight).expect("a file");
    let policies = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/gates/policies.yaml");
    let policies = std::fs::read_to_string(policies).expect("policies");
    let lenient = policies.split("---\n").find(|text| text.contains("name: lenient")).expect("a policy");
    let policy = folder.path().join("lenient.yaml");
    std::fs::write(&policy, lenient).expect("a file");

    let backtest = |more: &[&str]| {
        service.run(&[&["backtest", "--slo", text(&slo), "--policy", text(&policy)], more].concat())
    };
    let lines = backtest(&["--runs", "last:5", "--output", "json"]).json_lines();
    let of = |run: &str| {
        let line = lines.iter().find(|line| line["run"] == run);
        line.unwrap_or_else(|| panic!("{run} is missing: {lines:#?}"))
    };
    for (run, stored) in [("build-1", true), ("build-2", false)] {
        let line = of(run);
        assert_eq!(line["old"]["stored"], stored, "{line:#}");
        assert_eq!(
            (&line["old"]["verdict"], &line["new"]["verdict"]),
            (&json!("PASS"), &json!("FAIL")),
            "{line:#}"
        );
        let change = &line["changes"][0];
        assert_eq!(change["old"]["verdict"], "PASS", "{change:#}");
        assert_eq!(change["new"]["verdict"], "FAIL", "{line:#}");
        assert!(change["new"]["reason"].as_str().is_some_and(|why| why.contains("7 K")), "{change:#}");
    }
    let said = backtest(&["--runs", "build-1,build-2"]).expect_success();
    assert!(said.contains("rows changed") && said.contains("judged again"), "{said}");

    // The same by gRPC.
    let document = |path: &Path| pb::Document {
        name: path.file_name().expect("a file").to_string_lossy().into_owned(),
        text: std::fs::read_to_string(path).expect("a file"),
    };
    let request = pb::BacktestRequest {
        objectives: vec![document(&slo)],
        policy: Some(document(&policy)),
        last: 5,
        ..pb::BacktestRequest::default()
    };
    let answers = grpc_backtest(&service.grpc, request.clone()).expect("both runs");
    let by_grpc: Vec<Value> = answers.iter().map(as_the_command_line_says).collect();
    assert_eq!(by_grpc, lines);
    let both = pb::BacktestRequest { run_ids: vec!["build-1".to_owned()], ..request.clone() };
    let refused = grpc_backtest(&service.grpc, both).expect_err("either");
    assert_eq!(
        (refused.code(), refused.message()),
        (Code::InvalidArgument, "last: must be 0 when `run_ids` names runs")
    );
    let unknown = pb::BacktestRequest { run_ids: vec!["build-9".to_owned()], last: 0, ..request.clone() };
    let refused = grpc_backtest(&service.grpc, unknown).expect_err("no such run");
    assert!(refused.code() == Code::FailedPrecondition && refused.message().contains("build-9"), "{refused}");
    let torn =
        pb::Document { name: "torn.yaml".to_owned(), text: "kind: SLO\nmetadata: {nmae: x}\n".to_owned() };
    let torn = pb::BacktestRequest { objectives: vec![torn], ..request };
    let refused = grpc_backtest(&service.grpc, torn).expect_err("no objective");
    assert!(refused.code() == Code::InvalidArgument && refused.message().contains("torn.yaml"), "{refused}");

    let unknown = backtest(&["--runs", "build-1,build-9"]);
    assert!(unknown.code == 2 && unknown.stderr.contains("build-9"), "{unknown:?}");
    let wrong = backtest(&["--runs", "last:many"]);
    assert!(wrong.code == 2 && wrong.stderr.contains("last:20"), "{wrong:?}");
    std::fs::write(&slo, "kind: SLO\nmetadata: {nmae: x}\n").expect("a file");
    let torn = backtest(&["--runs", "last:5"]);
    assert!(torn.code == 2 && torn.stderr.contains("tight.yaml"), "{torn:?}");
}

fn grpc_backtest(address: &str, request: pb::BacktestRequest) -> Result<Vec<pb::BacktestResponse>, Status> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let mut client =
            BacktestServiceClient::connect(address.to_owned()).await.expect("the service answers");
        let mut answers = client.backtest(request).await?.into_inner();
        let mut all = Vec::new();
        while let Some(answer) = answers.message().await? {
            all.push(answer);
        }
        Ok(all)
    })
}

fn as_the_command_line_says(answer: &pb::BacktestResponse) -> Value {
    let judged = |judged: &pb::Judged| {
        let watermark = judged.watermark.as_ref().expect("a time");
        let micros = watermark.seconds * 1_000_000 + i64::from(watermark.nanos) / 1_000;
        json!({
            "policy": judged.policy, "verdict": judged.verdict, "reason": judged.reason, "stored": judged.stored,
            "watermark": EventTime::from_unix_micros(micros).to_rfc3339(),
        })
    };
    let row = |row: &pb::Row| {
        json!({
            "verdict": row.verdict, "observed": row.observed, "threshold": row.threshold, "unit": row.unit,
            "reason": row.reason,
        })
    };
    let change = |change: &pb::Change| {
        json!({
            "rack": change.rack, "check": change.check, "old": change.old.as_ref().map(row),
            "new": change.new.as_ref().map(row),
        })
    };
    json!({
        "run": answer.run_id, "racks": answer.racks, "old": answer.old.as_ref().map(judged),
        "new": answer.new.as_ref().map(judged), "changes": answer.changes.iter().map(change).collect::<Vec<_>>(),
        "notes": answer.notes,
    })
}
