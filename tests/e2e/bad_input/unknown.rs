//! Racks, runs, gates and evaluations that nobody knows: exit code 2, gRPC NOT_FOUND, HTTP 404, each with the name.

use tonic::Code;
use tonic_types::StatusExt;
use wire::gate::v1::gate_service_client::GateServiceClient;
use wire::gate::v1::{EvaluateRequest, GetEvaluationRequest};
use wire::run::v1::run_service_client::RunServiceClient;
use wire::run::v1::{EndRunRequest, StartRunRequest};

use crate::harness::{Service, block_on, get};

fn service() -> (tempfile::TempDir, Service) {
    let folder = tempfile::tempdir().expect("a folder");
    let site = folder.path().join("site.yaml");
    let text = "apiVersion: thermogate.dev/v1alpha1\nkind: Site\nmetadata: {name: dc1}\nracks:\n  - {name: r07}\n  - {name: r08}\n";
    std::fs::write(&site, text).expect("a file");
    let service = Service::start(&folder.path().join("data"), &["--site", &site.display().to_string()]);
    (folder, service)
}

#[test]
fn what_nobody_knows_is_told_by_its_name_and_the_nearest_known_one() {
    let (_folder, service) = service();
    for (arguments, says) in [
        (&["gate", "evaluate", "--rack", "r077"][..], "rack \"r077\" is not known; did you mean \"r07\"?"),
        (
            &["gate", "evaluate", "--policy", "smok", "--rack", "r07"],
            "gate \"smok\" is not known; did you mean \"smoke\"?",
        ),
        (&["gate", "evaluate", "--run", "build-1"], "run \"build-1\" is not known"),
        (&["gate", "evaluate"], "racks: name a rack or a run"),
        (&["gate", "explain", "1f0c9a77b2d34e55"], "evaluation \"1f0c9a77b2d34e55\" is not known"),
        (
            &["gate", "override", "1f0c", "--by", "ada", "--why", "x", "--until", "2099-01-01T00:00:00Z"],
            "evaluation \"1f0c\" is not known",
        ),
        (
            &["gate", "evaluate", "--rack", "r07", "--wait", "30"],
            "--wait: \"30\" is not a length of time: write a number and a unit, such as 30s",
        ),
        (
            &["gate", "evaluate", "--rack", "r07", "--not-before", "noon"],
            "--not-before: \"noon\" is not an RFC 3339 time",
        ),
        (&["gate", "evaluate", "--rack", "r07", "--policy", "none.yaml"], "none.yaml: No such file"),
        (&["run", "start", "build-1", "--rack", "r70"], "rack \"r70\" is not known"),
        (
            &["run", "start", "build-1", "--rack", "r07"],
            "no reading of rack \"r07\" ever came: send its telemetry here first",
        ),
        (&["run", "start", "build-1", "--rack", "r07", "--planned", "0s"], "planned: give a length above 0"),
        (&["run", "end", "build-1"], "run \"build-1\" is not known"),
        (&["run", "mark", "build-1", "pump swapped"], "run \"build-1\" is not known"),
        (
            &[
                "maintenance",
                "start",
                "--rack",
                "r70",
                "--until",
                "2099-01-01T00:00:00Z",
                "--by",
                "ada",
                "--why",
                "x",
            ],
            "rack \"r70\" is not known",
        ),
        (&["sql", "--query", "thermal_margin_by_rak"], "did you mean \"thermal_margin_by_rack\"?"),
    ] {
        let finished = service.run(arguments);
        assert!(
            finished.code == 2 && finished.stderr.contains(says),
            "{arguments:?}: expected {says:?}\n{finished:?}"
        );
        assert_eq!(
            finished.stderr.matches(says).count(),
            1,
            "{arguments:?} says it once: {}",
            finished.stderr
        );
    }
}

#[test]
fn a_rack_that_the_site_names_is_known_before_its_first_reading() {
    let (_folder, service) = service();
    let evaluate = |policy: &str| service.run(&["gate", "evaluate", "--policy", policy, "--rack", "r07"]);
    // A policy that waits for nothing can only say that nothing is known; one that waits, waits.
    for (policy, code, verdict) in [("default", 3, "INCONCLUSIVE"), ("smoke", 4, "PENDING")] {
        let finished = evaluate(policy);
        let says =
            finished.stdout.starts_with(verdict) && finished.stdout.contains("rack r07 was never seen");
        assert!(finished.code == code && says, "{policy}: {finished:?}");
    }
}

#[test]
fn grpc_and_http_answer_the_same_with_codes_of_their_own() {
    let (_folder, service) = service();
    let address = service.grpc.clone();
    let (rack, gate, evaluation, run, start, end) = block_on(async {
        let mut gates = GateServiceClient::connect(address.clone()).await.expect("the port answers");
        let mut runs = RunServiceClient::connect(address).await.expect("the port answers");
        let racks = |rack: &str| vec![rack.to_owned()];
        let unknown = |gate: &str, rack: &str, run: &str| EvaluateRequest {
            gate: gate.to_owned(),
            racks: if rack.is_empty() { Vec::new() } else { racks(rack) },
            run_id: run.to_owned(),
            ..EvaluateRequest::default()
        };
        (
            gates.evaluate(unknown("", "r70", "")).await.unwrap_err(),
            gates.evaluate(unknown("smok", "r07", "")).await.unwrap_err(),
            gates
                .get_evaluation(GetEvaluationRequest { evaluation_id: "1f0c".to_owned() })
                .await
                .unwrap_err(),
            gates.evaluate(unknown("", "", "build-1")).await.unwrap_err(),
            runs.start_run(StartRunRequest {
                run_id: "build-1".to_owned(),
                racks: racks("r70"),
                ..StartRunRequest::default()
            })
            .await
            .unwrap_err(),
            runs.end_run(EndRunRequest { run_id: "build-1".to_owned(), ..EndRunRequest::default() })
                .await
                .unwrap_err(),
        )
    });
    for (status, kind, name) in [
        (&rack, "rack", "r70"),
        (&gate, "gate", "smok"),
        (&evaluation, "evaluation", "1f0c"),
        (&run, "run", "build-1"),
        (&start, "rack", "r70"),
        (&end, "run", "build-1"),
    ] {
        assert_eq!(status.code(), Code::NotFound, "{status:?}");
        assert!(status.message().contains(&format!("{kind} {name:?} is not known")), "{status:?}");
        let resource = status.get_details_resource_info().expect("what is not there is told as a detail too");
        assert_eq!((resource.resource_type.as_str(), resource.resource_name.as_str()), (kind, name));
    }

    let ask = |path: &str, body: &str| {
        service.post(path, &[("content-type", "application/json")], body.as_bytes().to_vec())
    };
    for (path, body, status, says) in [
        (
            "/v1/gates/default:evaluate",
            r#"{"scope": {"rack": "r70"}}"#,
            404,
            r#""code":"not_found","details":{"kind":"rack","name":"r70"}"#,
        ),
        (
            "/v1/gates/smok:evaluate",
            r#"{"scope": {"rack": "r07"}}"#,
            404,
            r#""details":{"kind":"gate","name":"smok"}"#,
        ),
        (
            "/v1/gates/default:evaluate",
            r#"{"run_id": "build-1"}"#,
            404,
            r#""details":{"kind":"run","name":"build-1"}"#,
        ),
        ("/v1/gates/default:evaluate", "{}", 400, r#""details":{"field":"racks"}"#),
        (
            "/v1/gates/default:evaluate",
            r#"{"scope": {"rak": "r07"}}"#,
            400,
            "unknown field `rak`, expected `rack` or `racks`",
        ),
        (
            "/v1/gates/default:evaluate",
            r#"{"scope": {"rack": "r07"}, "wait": "5"}"#,
            400,
            r#""details":{"field":"wait"}"#,
        ),
        ("/v1/gates/default:judge", "{}", 404, "POST /v1/gates/NAME:evaluate"),
        ("/v1/sql", "select 1", 400, "the body is no question"),
        ("/v1/sql", r#"{"sql": "select rak from samples"}"#, 400, "No field named rak"),
    ] {
        let (observed, answer) = ask(path, body);
        assert!(
            observed == status && answer.contains(says),
            "{path} {body}: {observed} {answer}, expected {status} {says}"
        );
    }
    let (status, answer) = get(&format!("{}/v1/evaluations/1f0c", service.http)).expect("an answer");
    assert!(status == 404 && answer.contains(r#""kind":"evaluation""#), "{status} {answer}");
    assert!(get(&format!("{}/nothing", service.http)).is_ok_and(|(status, _)| status == 404));
}
