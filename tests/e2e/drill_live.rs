//! A fault laid over the telemetry of a running rack: found, told to Alertmanager, asked about at a gate, remembered.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};

use crate::alertmanager::{Listener, Manner};
use crate::harness::{Finished, Service, wait_for};
use crate::remote_write::{Reading, send};

/// Between two readings, s.
const PACE: i64 = 5;
/// 2026-01-05T08:00:00Z.
const BEGAN: i64 = 1_767_600_000;
/// A firing alert is told every second.
const SETTINGS: [&str; 6] =
    ["--set", "clock.kind=telemetry", "--set", "alerts.resend_every=1s", "--set", "alerts.watchdog="];

const SITE: &str = "
apiVersion: thermogate.dev/v1alpha1
kind: Site
metadata: {name: s1}
loops: [{name: l1}]
racks: [{name: r1, loop: l1}, {name: r2, loop: l1}]
";

const POLICY: &str = "
apiVersion: thermogate.dev/v1alpha1
kind: GatePolicy
metadata: {name: proven}
spec:
  scope: {of: rack}
  checks:
    - {proven: {detectors: [pump_trip], within: 30d}}
";

/// What both racks of the loop report, from one reading to another; steady, with a little noise.
fn readings(numbers: std::ops::Range<i64>) -> Vec<Reading<'static>> {
    let at = |number: i64| {
        let noise = ((number * 7_919) % 101) as f64 / 101.0;
        let of = move |rack, metric, value: f64| Reading {
            metric,
            rack,
            time: 1_000 * (BEGAN + PACE * number),
            value: value + 0.2 * noise,
        };
        ["r1", "r2"].into_iter().flat_map(move |rack| {
            [
                of(rack, "coolant_supply_temperature", 35.0),
                of(rack, "coolant_return_temperature", 44.0),
                of(rack, "coolant_flow", 150.0),
                of(rack, "rack_power", 80.0),
            ]
        })
    };
    numbers.flat_map(at).collect()
}

/// A service that has seen ten minutes of both racks, and the number of the next reading.
fn service(folder: &Path, more: &[&str]) -> (Service, i64) {
    let site = folder.join("site.yaml");
    std::fs::write(&site, SITE).expect("a file");
    let site = site.display().to_string();
    let service = Service::start(&folder.join("data"), &[&SETTINGS[..], &["--site", &site], more].concat());
    send(&service.http, &readings(0..120));
    let blocks = || service.sql("select count(*) as n from blocks where rack = 'r2'")[0]["n"].as_i64();
    wait_for("blocks", || (Some(8) <= blocks()).then_some(()));
    (service, 120)
}

/// Runs a command while readings go on to come; what it said, and the number of the next reading.
fn meanwhile(service: &Service, mut next: i64, arguments: &[&str]) -> (Finished, i64) {
    std::thread::scope(|scope| {
        let command = scope.spawn(|| service.run(arguments));
        while !command.is_finished() {
            send(&service.http, &readings(next..next + 1));
            next += 1;
            std::thread::sleep(Duration::from_millis(100));
        }
        (command.join().expect("the command ends"), next)
    })
}

fn policy(folder: &Path) -> PathBuf {
    let file = folder.join("proven.yaml");
    std::fs::write(&file, POLICY).expect("a file");
    file
}

#[test]
fn a_fault_that_is_drilled_is_found_told_and_remembered_and_the_rack_stays_as_it_is() {
    let folder = tempfile::tempdir().expect("a folder");
    let alertmanager = Listener::start(Manner::Takes);
    let told = format!("alerts.alertmanagers={}", alertmanager.url);
    let (service, next) = service(folder.path(), &["--set", &told]);
    let policy = policy(folder.path()).display().to_string();
    let asked = |service: &Service| service.run(&["gate", "evaluate", "--rack", "r1", "--policy", &policy]);
    let unproven = asked(&service);
    assert_eq!(unproven.code, 3, "{unproven:?}");
    assert!(
        unproven.stdout.contains("`thermogate drill live --rack r1 --class pump_trip` does"),
        "{unproven:?}"
    );

    let arguments = ["drill", "live", "--rack", "r1", "--class", "pump_trip", "--policy", "default"];
    let arguments = [&arguments[..], &["--by", "ada", "--why", "monthly", "--output", "json"]].concat();
    let (drilled, next) = meanwhile(&service, next, &arguments);
    assert!(drilled.stderr.contains("found by pump_trip"), "{drilled:?}");
    let result = drilled.json_lines().remove(0);
    assert_eq!(
        (&result["result"], &result["detector"], &result["loop"]),
        (&json!("passed"), &json!("pump_trip"), &json!("l1"))
    );
    assert_eq!(result["gate"]["would_be"], "FAIL", "a loop whose pump has tripped passes no gate: {result}");
    let drill = result["drill"].as_str().expect("an id").to_owned();

    let heard = || alertmanager.heard.lock().expect("no panic under this lock").clone();
    let of_pump = |alert: &Value| alert["labels"]["alertname"] == "PumpTrip";
    let alert = wait_for("the alert", || heard().into_iter().find(|alert| of_pump(alert)));
    let labels = json!({
        "alertname": "PumpTrip", "severity": "page", "site": "s1", "loop": "l1", "detector": "pump_trip", "drill": drill
    });
    assert_eq!(alert["labels"], labels, "nobody takes it for one of the loop");
    let ends = |alert: &Value| alert["endsAt"].as_str().unwrap_or_default().to_owned();
    let first = ends(&alert);
    // Two minutes of event time later it is over.
    send(&service.http, &readings(next..next + 60));
    wait_for("its end", || {
        let rows = service.sql("select state from drill_events where kind = 'alert' and state = 'resolved'");
        (!rows.is_empty()).then_some(())
    });
    wait_for("its end at Alertmanager", || {
        heard().iter().any(|alert| of_pump(alert) && ends(alert) != first).then_some(())
    });

    for table in ["findings", "alerts", "findings_now"] {
        assert_eq!(service.sql(&format!("select count(*) as n from {table}"))[0]["n"], 0, "{table}");
    }
    let rows = service.sql("select result, by, why, delay_seconds from drills order by seq");
    let results: Vec<&Value> = rows.iter().map(|row| &row["result"]).collect();
    assert_eq!(results.first(), Some(&&json!("running")));
    assert_eq!(results.last(), Some(&&json!("passed")));
    assert_eq!(
        service.sql("select count(*) as n from verdicts where policy = 'default' and verdict = 'FAIL'")[0]["n"],
        0
    );

    let proven = asked(&service);
    assert_eq!(proven.code, 0, "{proven:?}");
    let data = service.kill();
    let site = folder.path().join("site.yaml").display().to_string();
    let service = Service::start(&data, &[&SETTINGS[..], &["--site", &site, "--set", &told]].concat());
    let proven = asked(&service);
    assert_eq!(proven.code, 0, "a restart forgets no drill: {proven:?}");
    let evaluation =
        service.sql("select evaluation from verdicts where policy = 'proven' order by seq desc limit 1");
    let evaluation = evaluation[0]["evaluation"].as_str().expect("an id").to_owned();
    let again = service.run(&["gate", "explain", &evaluation, "--again"]);
    assert!(again.stdout.contains("identical, to the byte"), "{again:?}");
}

#[test]
fn a_drill_that_could_say_nothing_is_refused_and_one_can_be_broken_off() {
    let folder = tempfile::tempdir().expect("a folder");
    let (service, next) = service(folder.path(), &[]);
    let live = |rack: &str, class: &str, more: &[&str]| {
        service.run(&[&["drill", "live", "--rack", rack, "--class", class], more].concat())
    };
    for (rack, class, more, said) in [
        ("r9", "gap", &[][..], "rack \"r9\" is not known"),
        ("r1", "leek", &[], "invalid value 'leek'"),
        ("r1", "leak", &[], "leak looks at coolant_supply_flow, and site s1, loop l1 does not report it"),
        ("r1", "skew", &["--severity", "900"], "severity 900 of skew: give a number from 4 to 50 (s)"),
        (
            "r1",
            "drift_return_temperature",
            &[],
            "the baseline of hb at site s1, loop l1, rack r1 is not taken yet",
        ),
    ] {
        let refused = live(rack, class, more);
        assert_eq!(refused.code, 2, "{class}: {refused:?}");
        assert!(refused.stderr.contains(said), "{class}: {refused:?}");
    }
    let begun = live("r1", "gap", &["--detach", "--output", "json"]).json_lines().remove(0);
    assert_eq!(begun["result"], "running");
    let drill = begun["drill"].as_str().expect("an id");
    let second = live("r2", "gap", &[]);
    assert_eq!(second.code, 2, "{second:?}");
    assert!(second.stderr.contains(&format!("thermogate drill end {drill}")), "{second:?}");
    let ended = service.run(&["drill", "end", drill, "--why", "the rack is needed"]);
    assert_eq!(ended.expect_success(), format!("drill {drill} is cancelled\n"));
    send(&service.http, &readings(next..next + 1));
    let (drilled, _) = meanwhile(&service, next + 1, &["drill", "live", "--rack", "r2", "--class", "gap"]);
    assert_eq!(drilled.code, 0, "{drilled:?}");
    assert!(drilled.stdout.contains("of gap on rack r2: passed, found by gap after"), "{drilled:?}");
}
