//! Debian's Alertmanager, and peers in this process that do what Alertmanagers do on bad days.

use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::http::StatusCode;
use axum::routing::post;
use serde_json::{Value, json};

use crate::crash::{quick_objectives, supply};
use crate::harness::{Peer, Service, free_port, get, peer, wait_for};
use crate::remote_write::{Reading, send};

/// A firing alert is told every second, and is over for Alertmanager four seconds after the last time.
const SETTINGS: [&str; 6] =
    ["--set", "clock.kind=telemetry", "--set", "alerts.resend_every=1s", "--set", "alerts.watchdog="];

const SITE: &str = "
apiVersion: thermogate.dev/v1alpha1
kind: Site
metadata: {name: s1}
loops: [{name: l1}]
racks: [{name: wet, loop: l1}, {name: calm, loop: l1}]
";

#[test]
fn an_alert_appears_stays_over_silence_and_a_crash_and_ends_with_recovery_only() {
    let (Some(_), Some(_)) = (peer("prometheus-alertmanager"), peer("amtool")) else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let hook = Listener::start(Manner::Takes);
    let alertmanager = Alertmanager::start(folder.path(), free_port(), &notify(&hook));
    let data = folder.path().join("data");
    let site = folder.path().join("site.yaml");
    std::fs::write(&site, SITE).expect("a file");
    let site = site.display().to_string();
    let told = alertmanager.setting();
    let settings = [&SETTINGS[..], &["--site", &site, "--set", &told]].concat();
    let mut service = Service::start(&data, &settings);

    let began = seconds_ago(3 * 3_600);
    let pace = |minutes: std::ops::Range<i64>, leak: Option<f64>| {
        let times = (minutes.start * 6..minutes.end * 6).map(|slice| began + 10 * slice);
        times
            .flat_map(|time| {
                [Some(supply("calm", time, 39.0)), leak.map(|state| leak_state("wet", time, state))]
                    .into_iter()
                    .flatten()
            })
            .collect::<Vec<_>>()
    };
    send(&service.http, &pace(0..5, Some(0.0)));
    send(&service.http, &pace(5..6, Some(2.0)));
    let alert = wait_for("the alert", || alertmanager.alert("LeakCritical"));
    let expected = json!({
        "alertname": "LeakCritical", "severity": "page", "site": "s1", "loop": "l1", "rack": "wet", "objective": "leak"
    });
    assert_eq!(alert["labels"], expected, "its labels are its identity: no value, window or id");
    wait_for("the notification", || (hook.notified() == ["firing"]).then_some(()));

    // Time goes on, the leak detector is silent.
    send(&service.http, &pace(6..26, None));
    let held = wait_for("the hold", || {
        let alert = alertmanager.alert("LeakCritical").expect("silence ends no alert");
        (alert["annotations"]["data_state"] == "unknown").then_some(alert)
    });
    let since = Instant::now();
    wait_for("twice the time after which Alertmanager would forget", || {
        alertmanager.alert("LeakCritical").expect("a silent feed resolves nothing");
        (since.elapsed() > Duration::from_secs(8)).then_some(())
    });

    service.kill();
    service = Service::start(&data, &settings);
    let again = wait_for("the alert to be told again", || {
        let alert = alertmanager.alert("LeakCritical")?;
        (alert["updatedAt"].as_str() > held["updatedAt"].as_str()).then_some(alert)
    });
    assert_eq!(again["startsAt"], alert["startsAt"], "a restart begins no new alert");
    assert_eq!(again["annotations"]["data_state"], "unknown");

    // Dry again, for less than the five minutes that a leak is latched.
    send(&service.http, &pace(26..30, Some(0.0)));
    wait_for("data again", || {
        let alert = alertmanager.alert("LeakCritical").expect("four dry minutes end no leak");
        alert["annotations"]["data_state"].is_null().then_some(())
    });
    assert_eq!(hook.notified(), ["firing"], "told once, over silence, restart and latch");
    send(&service.http, &pace(30..40, Some(0.0)));
    wait_for("the end", || (hook.notified() == ["firing", "resolved"]).then_some(()));
    assert!(alertmanager.alert("LeakCritical").is_none(), "it is shown no more");
}

/// Event time stands still after the reading: nothing is final yet, and still no gate may pass.
#[test]
fn a_leak_that_pages_fails_the_gate_at_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let service = Service::start(&folder.path().join("data"), &SETTINGS);
    let began = seconds_ago(3 * 3_600);
    let well = (0..360).flat_map(|slice| {
        let of = |metric, value| Reading { metric, rack: "r1", time: 1_000 * (began + 10 * slice), value };
        let water = [
            ("coolant_supply_temperature", 39.0),
            ("coolant_return_temperature", 47.0),
            ("coolant_flow", 150.0),
        ];
        let rest = [("rack_power", 80.0), ("leak_state", 0.0), ("gpu_temperature_margin", 20.0)];
        water.into_iter().chain(rest).map(|(metric, value)| of(metric, value)).collect::<Vec<_>>()
    });
    send(&service.http, &well.collect::<Vec<_>>());
    let evaluate = || service.run(&["gate", "evaluate", "--rack", "r1"]);
    wait_for("the rack to pass", || (evaluate().code == 0).then_some(()));
    send(&service.http, &leaks(&["r1"], began + 3_601));
    wait_for("the page", || service.sql("select state from alerts where alertname = 'LeakCritical'").pop());
    let failed = evaluate();
    assert_eq!(failed.code, 1, "{failed:?}");
    assert!(
        failed.stdout.starts_with("FAIL  leak: leak_state critical is not ok on rack r1"),
        "{}",
        failed.stdout
    );
}

#[test]
fn with_two_alertmanagers_and_one_down_nothing_is_lost() {
    let (Some(_), Some(_)) = (peer("prometheus-alertmanager"), peer("amtool")) else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let hook = Listener::start(Manner::Takes);
    let first = Alertmanager::start(&folder.path().join("first"), free_port(), &notify(&hook));
    let port = free_port();
    let both = format!("{},http://127.0.0.1:{port}", first.setting());
    let service = Service::start(&folder.path().join("data"), &[&SETTINGS[..], &["--set", &both]].concat());
    send(&service.http, &leaks(&["wet"], seconds_ago(3_600)));
    let alert = wait_for("the alert at the one that is up", || first.alert("LeakCritical"));
    wait_for("a failed attempt at the other", || {
        let failed =
            service.metric(&format!("thermogate_alert_failed{{peer=\"http://127.0.0.1:{port}\"}}"))?;
        (failed >= 1.0).then_some(())
    });

    let second = Alertmanager::start(&folder.path().join("second"), port, &notify(&hook));
    let late = wait_for("the alert at the one that was down", || second.alert("LeakCritical"));
    assert_eq!((&late["labels"], &late["startsAt"]), (&alert["labels"], &alert["startsAt"]));
    wait_for("nothing waits any more", || {
        let waiting =
            service.metric(&format!("thermogate_alert_queue_alerts{{peer=\"http://127.0.0.1:{port}\"}}"))?;
        (waiting == 0.0).then_some(())
    });
}

#[test]
fn a_page_of_a_rack_inhibits_its_ticket_by_the_shipped_file() {
    let (Some(_), Some(amtool)) = (peer("prometheus-alertmanager"), peer("amtool")) else { return };
    let shipped = format!("{}/../deploy/peers/alertmanager.yml", env!("CARGO_MANIFEST_DIR"));
    let checked = Command::new(amtool).args(["check-config", &shipped]).output().expect("amtool starts");
    assert!(checked.status.success(), "{checked:?}");

    let folder = tempfile::tempdir().expect("a folder");
    let text = std::fs::read_to_string(&shipped).expect("the shipped file");
    let alertmanager = Alertmanager::start(folder.path(), free_port(), &text);
    let (told, objectives) = (alertmanager.setting(), quick_objectives());
    let settings = [&SETTINGS[..], &["--set", &told, "--set", &objectives]].concat();
    let service = Service::start(&folder.path().join("data"), &settings);
    let began = seconds_ago(3 * 3_600);
    let hot = (0..25 * 6).map(|slice| supply("hot", began + 10 * slice, 46.0));
    send(&service.http, &hot.collect::<Vec<_>>());
    let of = |severity: &str| {
        let alerts = alertmanager.all();
        alerts.into_iter().find(|alert| {
            alert["labels"]["alertname"] == "QuickBudgetBurn" && alert["labels"]["severity"] == severity
        })
    };
    let page = wait_for("the page", || of("page"));
    assert_eq!(page["status"]["state"], "active");
    let ticket = wait_for("the ticket to be inhibited", || {
        of("ticket").filter(|ticket| ticket["status"]["state"] != "active")
    });
    assert_eq!(ticket["status"]["state"], "suppressed");
    assert_eq!(ticket["status"]["inhibitedBy"], json!([page["fingerprint"]]));
}

#[test]
fn a_peer_that_hangs_one_that_refuses_a_part_and_one_that_restarts_empty_lose_nothing() {
    let (hangs, refuses, restarts) = (
        Listener::start(Manner::Hangs),
        Listener::start(Manner::RefusesRackBad),
        Listener::start(Manner::Takes),
    );
    let peers = format!("alerts.alertmanagers={},{},{}", hangs.url, refuses.url, restarts.url);
    let folder = tempfile::tempdir().expect("a folder");
    let service = Service::start(&folder.path().join("data"), &[&SETTINGS[..], &["--set", &peers]].concat());
    let since = Instant::now();
    send(&service.http, &leaks(&["bad", "one", "two"], seconds_ago(3_600)));
    wait_for("all alerts at the sound peer", || (restarts.racks() == ["bad", "one", "two"]).then_some(()));
    wait_for("the sound ones of the batch at the peer that refuses one", || {
        (refuses.racks() == ["one", "two"]).then_some(())
    });
    // One request at the peer that hangs takes ten seconds to fail.
    assert!(
        since.elapsed() < Duration::from_secs(10),
        "nobody waits for the peer that hangs: {:?}",
        since.elapsed()
    );
    let failed =
        |peer: &Listener| service.metric(&format!("thermogate_alert_failed{{peer=\"{}\"}}", peer.url));
    assert_eq!(failed(&refuses), Some(0.0), "a refused alert is no failed request");

    restarts.heard.lock().expect("no panic under this lock").clear();
    wait_for("all of them again, without any change", || {
        (restarts.racks() == ["bad", "one", "two"]).then_some(())
    });
    wait_for("the peer that hangs to be given up, for now", || {
        failed(&hangs).filter(|failed| *failed >= 1.0)
    });
    let waiting = service.metric(&format!("thermogate_alert_queue_alerts{{peer=\"{}\"}}", hangs.url));
    assert_eq!(waiting, Some(3.0), "as many wait as there are alerts, however often they were due");
}

/// One critical reading of each rack's leak detector.
fn leaks<'a>(racks: &[&'a str], second: i64) -> Vec<Reading<'a>> {
    racks.iter().map(|rack| leak_state(rack, second, 2.0)).collect()
}

fn leak_state(rack: &str, second: i64, value: f64) -> Reading<'_> {
    Reading { metric: "leak_state", rack, time: 1_000 * second, value }
}

fn seconds_ago(seconds: i64) -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs() as i64 - seconds
}

/// A configuration that notifies at once.
fn notify(hook: &Listener) -> String {
    format!(
        "route: {{receiver: hook, group_by: [alertname, rack], group_wait: 0s, group_interval: 1s, repeat_interval: 1h}}\n\
         receivers:\n- {{name: hook, webhook_configs: [{{url: '{}/hook', send_resolved: true}}]}}\n",
        hook.url
    )
}

/// Debian's Alertmanager.
struct Alertmanager {
    url: String,
    _peer: Peer,
}

impl Alertmanager {
    fn start(folder: &std::path::Path, port: u16, configuration: &str) -> Self {
        std::fs::create_dir_all(folder).expect("a folder");
        let file = folder.join("alertmanager.yml");
        std::fs::write(&file, configuration).expect("a file");
        let peer = Peer::start(
            Command::new("prometheus-alertmanager")
                .arg(format!("--config.file={}", file.display()))
                .arg(format!("--storage.path={}", folder.join("alertmanager").display()))
                .arg(format!("--web.listen-address=127.0.0.1:{port}"))
                .arg("--cluster.listen-address="),
        );
        let url = format!("http://127.0.0.1:{port}");
        wait_for("Alertmanager", || {
            get(&format!("{url}/-/ready")).is_ok_and(|(status, _)| status == 200).then_some(())
        });
        Self { url, _peer: peer }
    }

    fn setting(&self) -> String {
        format!("alerts.alertmanagers={}", self.url)
    }

    /// An active alert, as `amtool` shows it.
    fn alert(&self, alertname: &str) -> Option<Value> {
        let shown = Command::new("amtool")
            .args([
                "alert",
                "query",
                &format!("alertname={alertname}"),
                "-o",
                "json",
                "--alertmanager.url",
                &self.url,
            ])
            .output()
            .expect("amtool starts");
        assert!(shown.status.success(), "{shown:?}");
        serde_json::from_slice::<Vec<Value>>(&shown.stdout).expect("JSON").pop()
    }

    /// All alerts, inhibited ones too.
    fn all(&self) -> Vec<Value> {
        let (status, text) = get(&format!("{}/api/v2/alerts", self.url)).expect("Alertmanager answers");
        assert_eq!(status, 200, "{text}");
        serde_json::from_str(&text).expect("JSON")
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    Takes,
    /// Never answers.
    Hangs,
    /// Takes the sound alerts of a request and answers 400 because of that of rack `bad`.
    RefusesRackBad,
}

/// An HTTP server in this process: an Alertmanager without notifications, or the receiver of one's notifications.
pub struct Listener {
    pub url: String,
    pub heard: Arc<Mutex<Vec<Value>>>,
    _runtime: tokio::runtime::Runtime,
}

impl Listener {
    pub fn start(manner: Manner) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("a bound port has an address"));
        let heard: Arc<Mutex<Vec<Value>>> = Arc::default();
        let kept = heard.clone();
        let take = move |body: String| async move {
            if manner == Manner::Hangs {
                std::future::pending::<()>().await;
            }
            let body: Value = serde_json::from_str(&body).expect("JSON");
            let is_bad =
                |alert: &&Value| manner == Manner::RefusesRackBad && alert["labels"]["rack"] == "bad";
            let given = body.as_array().cloned().unwrap_or_else(|| vec![body.clone()]);
            kept.lock()
                .expect("no panic under this lock")
                .extend(given.iter().filter(|alert| !is_bad(alert)).cloned());
            if given.iter().any(|alert| is_bad(&alert)) { StatusCode::BAD_REQUEST } else { StatusCode::OK }
        };
        let router = Router::new().route("/api/v2/alerts", post(take.clone())).route("/hook", post(take));
        runtime.spawn(async move { axum::serve(listener, router).await });
        Self { url, heard, _runtime: runtime }
    }

    /// Racks of the alerts that it knows.
    fn racks(&self) -> Vec<String> {
        let heard = self.heard.lock().expect("no panic under this lock");
        let mut racks: Vec<String> =
            heard.iter().filter_map(|alert| Some(alert["labels"]["rack"].as_str()?.to_owned())).collect();
        racks.sort();
        racks.dedup();
        racks
    }

    /// The states of the leak alert that it was notified of, in order.
    fn notified(&self) -> Vec<String> {
        let heard = self.heard.lock().expect("no panic under this lock");
        let leaks = heard.iter().filter(|notice| notice["commonLabels"]["alertname"] == "LeakCritical");
        leaks.filter_map(|notice| Some(notice["status"].as_str()?.to_owned())).collect()
    }
}
