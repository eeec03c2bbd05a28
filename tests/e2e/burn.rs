//! An alert says which of its windows fired, and ends within the short one.

use std::path::Path;
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use crate::harness::{Peer, Service, free_port, get, peer, wait_for};
use crate::remote_write::{Reading, send};

#[test]
fn an_alert_names_the_windows_that_fired_in_an_annotation_and_resolves_within_the_short_one() {
    let Some(alertmanager) = peer("prometheus-alertmanager") else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let port = free_port();
    let file = folder.path().join("alertmanager.yml");
    std::fs::write(&file, "route: {receiver: nobody}\nreceivers: [{name: nobody}]\n").expect("a file");
    let _alertmanager = Peer::start(
        Command::new(alertmanager)
            .arg(format!("--config.file={}", file.display()))
            .arg(format!("--storage.path={}", folder.path().join("alertmanager").display()))
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .arg("--cluster.listen-address="),
    );
    wait_for("Alertmanager", || {
        get(&format!("http://127.0.0.1:{port}/-/ready")).is_ok_and(|(status, _)| status == 200).then_some(())
    });
    let objectives = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/gates/burn.yaml");
    let settings = [
        "clock.kind=telemetry".to_owned(),
        "alerts.watchdog=".to_owned(),
        format!("documents.objectives={}", objectives.display()),
        format!("alerts.alertmanagers=http://127.0.0.1:{port}"),
    ];
    let service = Service::start(
        &folder.path().join("data"),
        &settings.iter().flat_map(|setting| ["--set", setting]).collect::<Vec<_>>(),
    );

    // Twelve minutes of good time, four of hot coolant, then good again.
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs() as i64;
    let start = (now - 3_600) / 600 * 600;
    let minute = |minute: i64, supply: f64| {
        let readings = (0..6).map(|step| Reading {
            metric: "coolant_supply_temperature",
            rack: "r1",
            time: (start + minute * 60 + step * 10) * 1_000,
            value: supply + step as f64 / 100.0,
        });
        send(&service.http, &readings.collect::<Vec<_>>());
    };
    (0..2).for_each(|number| minute(number, 38.0));
    // A run has the same windows as the rack at all times: they are named once.
    service.run(&["run", "start", "build-1", "--rack", "r1", "--planned", "1h"]).expect_success();
    (2..12).for_each(|number| minute(number, 38.0));
    (12..16).for_each(|number| minute(number, 47.0));
    let alert = wait_for("the alert", || {
        let (_, text) =
            get(&format!("http://127.0.0.1:{port}/api/v2/alerts?filter=alertname%3DSupplyBudgetBurn"))
                .ok()?;
        serde_json::from_str::<Vec<Value>>(&text).ok()?.pop()
    });
    // Four minutes in ten are a burn of 4 for a budget of a tenth; the hour is not full yet.
    assert_eq!(alert["annotations"]["window"], "10m/1m", "{alert}");
    assert!(
        alert["labels"]["window"].is_null() && alert["labels"]["burn"].is_null(),
        "never a label: {alert}"
    );
    assert_eq!((&alert["labels"]["severity"], &alert["labels"]["rack"]), (&json!("page"), &json!("r1")));

    (16..20).for_each(|number| minute(number, 38.0));
    let changes = wait_for("the end", || {
        let rows = service.sql(
            "select state, cast(cast(time as bigint) / 1000000 as bigint) as second, reason from alerts \
             where alertname = 'SupplyBudgetBurn' order by time, seq",
        );
        rows.last().is_some_and(|row| row["state"] == "resolved").then_some(rows)
    });
    let recovered = start + 16 * 60;
    let second = |row: &Value| row["second"].as_i64().expect("a time");
    let fired = changes.iter().find(|row| row["state"] == "firing").expect("it fired");
    assert!((start + 15 * 60..=recovered).contains(&second(fired)), "three minutes of ten fire: {changes:?}");
    assert!(fired["reason"].as_str().is_some_and(|reason| reason.contains("10m/1m")), "{changes:?}");
    let ended = second(changes.last().expect("it ended")) - recovered;
    assert!((0..=60).contains(&ended), "resolved {ended} s after the recovery: {changes:?}");
}
