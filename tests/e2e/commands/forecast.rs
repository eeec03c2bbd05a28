//! `thermogate forecast`: over gRPC and from a folder alike, with its label, its refusals and its exit codes.

use serde_json::Value;
use tonic_types::StatusExt;
use wire::advisory::v1 as pb;
use wire::advisory::v1::advisory_service_client::AdvisoryServiceClient;

use crate::harness::{Finished, Service, block_on, run, run_in, wait_for};
use crate::remote_write::{Reading, send};

const START: i64 = 1_767_600_000_000;
const TELEMETRY: [&str; 2] = ["--set", "clock.kind=telemetry"];
const LABEL: &str = "advisory, not part of any verdict";

/// Two hours and some of a rack whose coolant warms by 4 K an hour, one reading each 10 s, with a gap of three minutes.
fn warming() -> Vec<Reading<'static>> {
    (0..130 * 6)
        .filter(|index| !(240..258).contains(index))
        .flat_map(|index| {
            let time = START + index * 10_000;
            // What a sensor scatters, the same each time.
            let noise = (index * 7_919 % 23) as f64 / 230.0;
            let reading = |metric, value| Reading { metric, rack: "r1", time, value };
            [
                reading("coolant_supply_temperature", 25.0 + index as f64 * 4.0 / 360.0 + noise),
                reading("rack_power", 80.0),
            ]
        })
        .collect()
}

fn service_with(folder: &std::path::Path, readings: &[Reading<'static>]) -> Service {
    let service = Service::start(&folder.join("data"), &TELEMETRY);
    send(&service.http, readings);
    wait_for("the blocks", || {
        let rows =
            service.sql("select count(*) as n from blocks where signal = 'coolant_supply_temperature'");
        (rows[0]["n"].as_u64()? >= 120).then_some(())
    });
    service
}

fn json(finished: &Finished) -> Value {
    serde_json::from_str(&finished.stdout).unwrap_or_else(|error| panic!("{error}: {finished:?}"))
}

const ASK: [&str; 11] = [
    "forecast",
    "--rack",
    "r1",
    "--signal",
    "coolant_supply_temperature",
    "--horizon",
    "1h",
    "--limit",
    "36",
    "--output",
    "json",
];

#[test]
fn a_rise_reaches_its_limit_when_it_should_and_a_folder_says_the_same_as_its_service() {
    let folder = tempfile::tempdir().expect("a folder");
    let service = service_with(folder.path(), &warming());
    let asked = service.run(&ASK);
    assert_eq!(asked.code, 0, "{asked:?}");
    let answer = json(&asked);
    assert_eq!(answer["label"], LABEL);
    assert_eq!(
        (&answer["series"]["rack"], &answer["series"]["unit"]),
        (&"r1".into(), &"Cel".into()),
        "{answer}"
    );
    let forecast = &answer["forecast"];
    let points = forecast["points"].as_array().expect("points");
    assert_eq!(points.len(), 60, "{forecast}");
    assert_eq!(points[0]["time"], forecast["basis"]["until"], "it begins where the known ends: {forecast}");
    for point in points {
        let [lower, value, upper] =
            ["lower", "value", "upper"].map(|field| point[field].as_f64().expect("a number"));
        assert!(lower < value && value < upper, "{point}");
    }
    let gaps = forecast["basis"]["interpolated"].as_array().expect("a list");
    assert!(
        gaps.len() == 1 && forecast["basis"]["gap_share"].as_f64().is_some_and(|share| share > 0.0),
        "{forecast}"
    );
    // 36 °C is 165 min after the start; what is known ends 130 min after it, less the lateness.
    let minutes = forecast["crossing"]["expected_seconds"].as_f64().expect("it is reached") / 60.0;
    assert!((31.0..41.0).contains(&minutes), "{minutes} min: {forecast}");
    assert!(
        forecast["crossing"]["earliest_seconds"].as_f64()
            <= forecast["crossing"]["expected_seconds"].as_f64()
    );

    assert_eq!(service.run(&ASK).stdout, asked.stdout, "the same question has the same answer");
    let text = service.run(&ASK[..9]);
    assert!(
        text.code == 0 && text.stdout.contains(LABEL) && text.stdout.contains("36 °C is reached in "),
        "{text:?}"
    );
    assert!(
        service
            .metric("thermogate_advisory_total{question=\"forecast\",result=\"answered\"}")
            .is_some_and(|asked| asked >= 3.0)
    );

    let data = service.folder.display().to_string();
    let of_folder: Vec<&str> = ASK.iter().copied().chain(["--data", &data]).collect();
    assert_eq!(run(&of_folder).stdout, asked.stdout, "a folder that a service holds");
    service.stop();
    assert_eq!(run(&of_folder).stdout, asked.stdout, "a folder without a service");
}

#[test]
fn too_little_is_exit_code_3_with_the_reason_and_what_is_not_there_is_2() {
    let folder = tempfile::tempdir().expect("a folder");
    let service = service_with(folder.path(), &warming());
    let ask = |arguments: &[&str]| service.run(&[&["forecast"], arguments].concat());
    let supply = ["--rack", "r1", "--signal", "coolant_supply_temperature"];
    for (arguments, reason, says) in [
        (vec!["--window", "30m"], "TOO_LITTLE", "steps of 1m where 60 are needed"),
        (vec!["--horizon", "5h"], "TOO_FAR", "is farther than"),
        (vec!["--method", "daily"], "TOO_LITTLE", "where 48 are needed"),
    ] {
        let arguments = [&supply[..], &arguments].concat();
        let text = ask(&arguments);
        assert!(
            text.code == 3 && text.stdout.contains(LABEL) && text.stdout.contains(says),
            "{arguments:?}: {text:?}"
        );
        let refused = ask(&[&arguments[..], &["--output", "json"]].concat());
        assert_eq!((refused.code, &json(&refused)["refusal"]["reason"]), (3, &reason.into()), "{refused:?}");
        assert!(json(&refused).get("forecast").is_none());
    }
    let flat = ask(&["--rack", "r1", "--signal", "rack_power", "--output", "json"]);
    assert_eq!((flat.code, &json(&flat)["refusal"]["reason"]), (3, &"NO_SCATTER".into()), "{flat:?}");

    for (arguments, says) in [
        (
            &["--rack", "r9", "--signal", "coolant_supply_temperature"][..],
            "no series of coolant_supply_temperature at rack r9",
        ),
        (
            &["--rack", "r1", "--signal", "coolant_suply_temperature"],
            "did you mean coolant_supply_temperature?",
        ),
        (&["--signal", "rack_power"], "give either a rack or a loop"),
        (&["--rack", "r1", "--signal", "rack_power", "--level", "1"], "from 0.5 to 0.99"),
        (&["--rack", "r1", "--signal", "rack_power", "--horizon", "20d"], "from 1m to 14d"),
        (
            &["--rack", "r1", "--signal", "rack_power", "--horizon", "soon"],
            "--horizon: \"soon\" is not a length of time",
        ),
        (&["--rack", "r1"], "--signal"),
        (&["outliers", "--rack", "r1"], "no gpu_temperature of rack r1"),
        (&["outliers", "--rack", "r1", "--window", "1d"], "from 10m to 4h"),
    ] {
        let finished = ask(arguments);
        assert!(finished.code == 2 && finished.stderr.contains(says), "{arguments:?}: {finished:?}");
    }
    let missing = run(&["forecast", "--data", "/nowhere/at/all", "--rack", "r1", "--signal", "rack_power"]);
    assert!(missing.code == 2 && missing.stderr.contains("/nowhere/at/all"), "{missing:?}");
    let help = run(&["forecast", "--help"]).expect_success();
    assert!(
        help.contains("thermogate forecast outliers --rack r07") && help.contains("not part of any verdict"),
        "{help}"
    );
}

#[test]
fn over_grpc_a_refusal_is_an_answer_and_an_error_has_details() {
    let folder = tempfile::tempdir().expect("a folder");
    let service = service_with(folder.path(), &warming());
    block_on(async {
        let mut advisory =
            AdvisoryServiceClient::connect(service.grpc.clone()).await.expect("the service answers");
        let request = pb::ForecastRequest {
            rack: "r1".to_owned(),
            signal: "coolant_supply_temperature".to_owned(),
            window: Some(prost_types::Duration { seconds: 30 * 60, nanos: 0 }),
            ..pb::ForecastRequest::default()
        };
        let refused = advisory.forecast(request.clone()).await.expect("an answer").into_inner();
        assert_eq!(refused.label, LABEL);
        let Some(pb::forecast_response::Outcome::Refusal(refusal)) = &refused.outcome else {
            panic!("{refused:?}")
        };
        assert_eq!(refusal.reason, "TOO_LITTLE");
        let elsewhere = advisory
            .forecast(pb::ForecastRequest { rack: "r9".to_owned(), ..request.clone() })
            .await
            .expect_err("no such series");
        assert_eq!(elsewhere.code(), tonic::Code::NotFound);
        let details = elsewhere.get_error_details();
        assert_eq!(details.error_info().map(|info| info.reason.as_str()), Some("NOT_FOUND"), "{details:?}");
        assert_eq!(
            details.resource_info().map(|info| info.resource_type.as_str()),
            Some("series"),
            "{details:?}"
        );
        let wrong = advisory
            .forecast(pb::ForecastRequest { level: Some(2.0), ..request })
            .await
            .expect_err("no level");
        let violations = wrong
            .get_error_details()
            .bad_request()
            .map(|bad| bad.field_violations.clone())
            .unwrap_or_default();
        assert_eq!((wrong.code(), violations[0].field.as_str()), (tonic::Code::InvalidArgument, "level"));
    });
}

/// Three hours of a rack on a loop whose facility water warms by 6 K an hour; one tray's branch is clogged.
const SCENARIO: &str = "\
name: ahead
seed: 6
site: dc1
start: 2026-01-05T08:00:00Z
duration: 3h
sample_every: 20s
gpus: { nodes: 18, gpus_per_node: 2, every: 20s }
loops:
  - name: loop-a
    facility_water: { celsius: 20.0, daily_swing_kelvin: 0.0 }
    faults:
      - { kind: facility_warming, begins: 30m }
    racks:
      - name: r01
        load: { constant: 0.8 }
        faults:
          - { kind: branch_restriction, node: tray-07, begins: 0m, severity: 12.0 }
";

#[test]
fn peers_of_a_simulated_rack_are_compared_and_its_loops_water_is_found_by_the_racks_name() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("ahead.yaml"), SCENARIO).expect("a file");
    let run = |arguments: &[&str]| run_in(folder.path(), arguments);
    run(&["simulate", "ahead.yaml", "--out", "ahead.csv"]).expect_success();
    run(&["import", "ahead.csv", "--data", "data"]).expect_success();
    let ask = |arguments: &[&str]| {
        run(&[&["forecast"], arguments, &["--data", "data", "--output", "json"]].concat())
    };

    let water = ask(&[
        "--rack",
        "r01",
        "--signal",
        "facility_supply_temperature",
        "--horizon",
        "1h",
        "--limit",
        "40",
    ]);
    assert_eq!(water.code, 0, "{water:?}");
    let answer = json(&water);
    assert_eq!(
        (&answer["series"]["loop"], &answer["series"]["rack"]),
        (&"loop-a".into(), &"".into()),
        "{answer}"
    );
    // It is 35 °C at the end, give or take its thermometer's error; 40 °C is 50 min later.
    let minutes = answer["forecast"]["crossing"]["expected_seconds"].as_f64().expect("it is reached") / 60.0;
    assert!((42.0..62.0).contains(&minutes), "{minutes} min: {answer}");
    let own = ask(&["--rack", "r01", "--signal", "coolant_supply_temperature", "--horizon", "1h"]);
    assert_eq!(json(&own)["series"]["rack"], "r01", "a rack's own thermometer before its loop's: {own:?}");
    let several = ask(&["--rack", "r01", "--signal", "gpu_temperature"]);
    assert!(
        several.code == 2 && several.stderr.contains("say which with node, device, sensor or loop"),
        "{several:?}"
    );

    for by in ["gpu", "tray"] {
        let peers = ask(&["outliers", "--rack", "r01", "--by", by]);
        assert_eq!(peers.code, 0, "{by}: {peers:?}");
        let answer = json(&peers);
        assert_eq!(
            (&answer["label"], &answer["comparison"]["measure"]),
            (&LABEL.into(), &"log_thermal_resistance".into()),
            "{answer}"
        );
        let peers = answer["comparison"]["peers"].as_array().expect("peers");
        let (outside, inside): (Vec<_>, Vec<_>) = peers.iter().partition(|peer| peer["opinion"] == "both");
        assert!(
            outside.len() <= 2 && outside.len() + inside.len() == if by == "gpu" { 36 } else { 18 },
            "{by}: {answer}"
        );
        assert!(
            !outside.is_empty()
                && outside
                    .iter()
                    .all(|peer| peer["name"].as_str().is_some_and(|name| name.starts_with("tray-07"))),
            "{by}: {answer}"
        );
        assert!(inside.iter().all(|peer| peer["opinion"] != "unknown"), "{by}: {answer}");
    }
    let text = run(&["forecast", "outliers", "--rack", "r01", "--data", "data"]).expect_success();
    assert!(text.contains(LABEL) && text.contains("outside by DBSCAN"), "{text}");

    // A service knows the rack's loop by itself, and says the same.
    let service = Service::start(&folder.path().join("data"), &TELEMETRY);
    let signal = "facility_supply_temperature";
    let live = [
        "forecast",
        "--rack",
        "r01",
        "--signal",
        signal,
        "--horizon",
        "1h",
        "--limit",
        "40",
        "--output",
        "json",
    ];
    assert_eq!(service.run(&live).expect_success(), water.stdout);
}
