//! A group of signals without physics, watched in a running service; and an objective whose signal never comes.

use crate::harness::{Service, wait_for};
use crate::remote_write::{Reading, send};

/// Between two readings, s.
const PACE: i64 = 10;
/// 2026-01-05T08:00:00Z.
const BEGAN: i64 = 1_767_600_000;
/// The pump begins to shake at this reading.
const SHAKES_FROM: i64 = 400;

const GROUP: &str = "
apiVersion: thermogate.dev/v1alpha1
kind: WatchGroup
metadata: {name: pumps}
spec:
  signals:
    pump_vibration:
  alarm: state
";

/// About a signal that nobody sends.
const OBJECTIVE: &str = r#"
apiVersion: openslo/v1
kind: SLO
metadata: {name: doors}
spec:
  service: cooling
  budgetingMethod: Timeslices
  timeWindow: [{duration: 28d, isRolling: true}]
  indicator:
    metadata: {name: doors}
    spec:
      thresholdMetric:
        metricSource:
          type: thermogate
          spec:
            specVersion: v1alpha1
            signal: {expr: door_air_outlet_temperature, unit: Cel}
            groupBy: [rack]
  objectives:
    - {op: lte, value: 30, target: 0.995}
"#;

#[test]
fn a_pump_that_shakes_is_found_and_an_objective_that_nobody_feeds_is_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let write = |name: &str, text: &str| {
        let file = folder.path().join(name);
        std::fs::write(&file, text).expect("a file");
        file.display().to_string()
    };
    let watches = format!("documents.watches={}", write("pumps.yaml", GROUP));
    let objectives = format!("documents.objectives={}", write("doors.yaml", OBJECTIVE));
    let settings = ["--set", "clock.kind=telemetry", "--set", &watches, "--set", &objectives];
    let service = Service::start(&folder.path().join("data"), &settings);
    let vibration = |number: i64| Reading {
        metric: "pump_vibration",
        rack: "r1",
        time: 1_000 * (BEGAN + PACE * number),
        value: 2.0 + ((number * 7_919) % 13 - 6) as f64 / 60.0 + if number < SHAKES_FROM { 0.0 } else { 1.5 },
    };
    send(&service.http, &(0..600).map(vibration).collect::<Vec<_>>());
    let found = wait_for("the finding", || {
        service.sql("select rack, onset from findings where detector = 'watch'").into_iter().next()
    });
    assert_eq!(found["rack"], "r1");
    let onset = telemetry::EventTime::from_rfc3339(found["onset"].as_str().expect("a time")).expect("a time");
    let late = onset.unix_micros() / 1_000_000 - (BEGAN + PACE * SHAKES_FROM);
    assert!((0..300).contains(&late), "{late} s after it began to shake: {found}");
    let status = service.run(&["status"]).expect_success();
    assert!(
        status.contains("never seen: objective doors: no reading of door_air_outlet_temperature"),
        "{status}"
    );
}
