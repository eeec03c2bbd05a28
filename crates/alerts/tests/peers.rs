//! Real HTTP peers on loopback that do what Alertmanagers do, good and bad.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use alerts::{AlertSettings, Alerts};
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::post;
use axum::{Json, Router};
use telemetry::alert::{AlertState, AlertTransition};
use telemetry::{EventTime, Labels};

type Body = serde_json::Value;

/// How a peer answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Manner {
    Sound,
    /// Never answers.
    Hangs,
    /// Takes the sound alerts of a batch and answers 400 because of the others: those of rack `bad`.
    RefusesSome,
    /// 500.
    Broken,
}

/// An Alertmanager without its notifications.
#[derive(Clone)]
struct Peer {
    url: String,
    state: Arc<Mutex<PeerState>>,
}

struct PeerState {
    manner: Manner,
    /// Alerts by their labels, the latest word on each.
    alerts: BTreeMap<String, Body>,
    /// All words on them, in order: rack, whether it was over, data_state.
    heard: Vec<(String, bool, Option<String>)>,
    requests: usize,
}

impl Peer {
    async fn start(manner: Manner) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/am", listener.local_addr().unwrap());
        let state = PeerState { manner, alerts: BTreeMap::new(), heard: Vec::new(), requests: 0 };
        let peer = Self { url, state: Arc::new(Mutex::new(state)) };
        let app = Router::new().route("/am/api/v2/alerts", post(take)).with_state(peer.clone());
        tokio::spawn(async move { axum::serve(listener, app).await });
        peer
    }

    fn state(&self) -> std::sync::MutexGuard<'_, PeerState> {
        self.state.lock().unwrap()
    }

    /// The racks of alerts that fire now, as Alertmanager would judge it.
    fn firing(&self) -> Vec<String> {
        let state = self.state();
        state.alerts.values().filter(|alert| !is_over(alert)).map(rack).collect()
    }

    fn known(&self, wanted: &str) -> Option<Body> {
        self.state().alerts.values().find(|alert| rack(alert) == wanted).cloned()
    }
}

async fn take(State(peer): State<Peer>, Json(batch): Json<Vec<Body>>) -> (StatusCode, &'static str) {
    let manner = peer.state().manner;
    if manner == Manner::Hangs {
        tokio::time::sleep(Duration::from_secs(3_600)).await;
    }
    let mut state = peer.state();
    state.requests += 1;
    if manner == Manner::Broken {
        return (StatusCode::INTERNAL_SERVER_ERROR, "broken");
    }
    let mut answer = (StatusCode::OK, "");
    for alert in batch {
        if manner == Manner::RefusesSome && rack(&alert).starts_with("bad") {
            answer = (StatusCode::BAD_REQUEST, "start time must be before end time");
            continue;
        }
        let data_state = alert["annotations"]["data_state"].as_str().map(str::to_owned);
        state.heard.push((rack(&alert), is_over(&alert), data_state));
        state.alerts.insert(alert["labels"].to_string(), alert);
    }
    answer
}

fn rack(alert: &Body) -> String {
    alert["labels"]["rack"].as_str().unwrap_or_default().to_owned()
}

fn is_over(alert: &Body) -> bool {
    time(&alert["endsAt"]) <= now()
}

fn time(text: &Body) -> EventTime {
    EventTime::from_rfc3339(text.as_str().unwrap()).unwrap()
}

fn now() -> EventTime {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    EventTime::from_unix_micros(since.as_micros() as i64)
}

fn transition(rack: &str, severity: &str, to: AlertState) -> AlertTransition {
    AlertTransition {
        alertname: "Hot".into(),
        labels: Labels::from([
            ("alertname".into(), "Hot".into()),
            ("severity".into(), severity.into()),
            ("site".into(), "s1".into()),
            ("rack".into(), rack.into()),
            ("node".into(), "".into()),
        ]),
        from: AlertState::Inactive,
        to,
        time: EventTime::from_rfc3339("2026-01-05T10:00:00Z").unwrap(),
        since: EventTime::from_rfc3339("2026-01-05T09:00:00Z").unwrap(),
        reason: format!("coolant of {rack} is too warm"),
        annotations: BTreeMap::from([("window".into(), "1h/5m".to_owned())]),
    }
}

fn page(rack: &str, to: AlertState) -> AlertTransition {
    transition(rack, "page", to)
}

fn settings(peers: &[&Peer]) -> AlertSettings {
    AlertSettings {
        peers: peers.iter().map(|peer| peer.url.clone()).collect(),
        resend_every: Duration::from_millis(200),
        timeout: Duration::from_millis(500),
        back_off_max: Duration::from_millis(400),
        external_url: "http://thermogate:8080/".to_owned(),
        ..AlertSettings::default()
    }
}

/// Waits until something is so; five seconds is far more than any of it takes.
async fn until(what: &str, so: impl Fn() -> bool) {
    let begun = Instant::now();
    while !so() {
        assert!(begun.elapsed() < Duration::from_secs(5), "not within 5 s: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_alert_is_told_as_alertmanager_wants_it() {
    let peer = Peer::start(Manner::Sound).await;
    let alerts = Alerts::start(settings(&[&peer]));
    alerts.update(&page("r1", AlertState::Firing));
    until("it is told", || peer.known("r1").is_some()).await;
    let told = peer.known("r1").unwrap();
    assert_eq!(
        told["labels"],
        serde_json::json!({"alertname": "Hot", "severity": "page", "site": "s1", "rack": "r1"})
    );
    assert_eq!(
        told["annotations"],
        serde_json::json!({"summary": "coolant of r1 is too warm", "window": "1h/5m"})
    );
    assert_eq!(told["startsAt"], "2026-01-05T09:00:00.000000Z");
    assert_eq!(told["generatorURL"], "http://thermogate:8080/v1/status");
    assert!(!peer.state().heard[0].1, "it fires when it is heard");
    let left = time(&told["endsAt"]) - now();
    assert!(left.as_seconds() <= 0.8, "four re-sends from now at most, not {left}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_hangs_and_one_that_refuses_delay_nobody() {
    let hanging = Peer::start(Manner::Hangs).await;
    let refusing = Peer::start(Manner::RefusesSome).await;
    let sound = Peer::start(Manner::Sound).await;
    let alerts = Alerts::start(settings(&[&hanging, &refusing, &sound]));
    let begun = Instant::now();
    for index in 0..40 {
        let rack = if index % 13 == 5 { format!("bad{index}") } else { format!("r{index}") };
        alerts.update(&page(&rack, AlertState::Firing));
    }
    assert!(begun.elapsed() < Duration::from_millis(200), "an update never waits for a peer");
    until("the sound peer knows all 40", || sound.firing().len() == 40).await;
    until("the refusing peer knows the 37 sound ones", || refusing.firing().len() == 37).await;
    let told = alerts.metrics();
    until("the refusals are counted", || alerts.metrics()[1].refused >= 3).await;
    assert_eq!(told[0].sent, 0);
    until("the hanging peer's time-outs are counted", || alerts.metrics()[0].failed >= 1).await;
    assert_eq!(alerts.metrics()[0].queued, 40, "bounded by the number of alerts");
    assert_eq!(alerts.metrics()[2].refused, 0);
    assert!(alerts.metrics()[2].latency.is_some());

    // The hanging peer comes back and hears the latest word only.
    alerts.update(&page("r0", AlertState::Resolved));
    hanging.state().manner = Manner::Sound;
    until("it knows what fires", || hanging.firing().len() == 39).await;
    assert!(is_over(&hanging.known("r0").unwrap()));
    assert!(hanging.state().heard.iter().all(|(rack, over, _)| rack != "r0" || *over));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_restarts_empty_knows_what_fires_after_one_re_send() {
    let peer = Peer::start(Manner::Sound).await;
    let alerts = Alerts::start(settings(&[&peer]));
    alerts.update(&page("r1", AlertState::Firing));
    alerts.update(&page("r2", AlertState::Firing));
    alerts.update(&page("r2", AlertState::Resolved));
    until("it is told", || peer.firing() == ["r1"]).await;
    peer.state().alerts.clear();
    until("it is told again", || peer.firing() == ["r1"]).await;
    until("it is told of the end again", || peer.known("r2").is_some_and(|alert| is_over(&alert))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_alert_on_hold_goes_on_and_says_that_nothing_is_known() {
    let peer = Peer::start(Manner::Sound).await;
    let alerts = Alerts::start(settings(&[&peer]));
    alerts.update(&page("r1", AlertState::Firing));
    until("it fires", || peer.firing() == ["r1"]).await;
    alerts.update(&page("r1", AlertState::UnknownHold));
    let state =
        |wanted: Option<&str>| peer.known("r1").unwrap()["annotations"]["data_state"].as_str() == wanted;
    until("it is on hold", || state(Some("unknown"))).await;
    // Longer than an alert that is told no more would last.
    tokio::time::sleep(Duration::from_millis(1_000)).await;
    assert_eq!(peer.firing(), ["r1"]);
    alerts.update(&page("r1", AlertState::Firing));
    until("it is known again", || state(None)).await;
    alerts.update(&page("r1", AlertState::UnknownHold));
    until("it is on hold again", || state(Some("unknown"))).await;
    alerts.update(&page("r1", AlertState::Resolved));
    until("it is over", || peer.firing().is_empty()).await;
    assert!(state(None), "what is over is known to be");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_over_is_told_with_one_end_for_a_while_and_then_forgotten() {
    let peer = Peer::start(Manner::Sound).await;
    let alerts =
        Alerts::start(AlertSettings { resolved_kept: Duration::from_millis(700), ..settings(&[&peer]) });
    alerts.update(&page("r1", AlertState::Firing));
    until("it fires", || peer.firing() == ["r1"]).await;
    alerts.update(&page("r1", AlertState::Resolved));
    until("it is over", || peer.known("r1").is_some_and(|alert| is_over(&alert))).await;
    let end = peer.known("r1").unwrap()["endsAt"].clone();
    peer.state().alerts.clear();
    until("it is told again", || peer.known("r1").is_some()).await;
    assert_eq!(peer.known("r1").unwrap()["endsAt"], end, "the end does not move");
    until("it is forgotten", || alerts.book_metrics().alerts == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_told_of_what_is_pending_inactive_or_suppressed() {
    let peer = Peer::start(Manner::Sound).await;
    let alerts = Alerts::start(settings(&[&peer]));
    for (rack, state) in [
        ("r1", AlertState::Pending),
        ("r2", AlertState::Inactive),
        ("r3", AlertState::Suppressed),
        ("r4", AlertState::Resolved),
    ] {
        alerts.update(&page(rack, state));
    }
    alerts.update(&page("r5", AlertState::Firing));
    until("the one that fires is told", || peer.firing() == ["r5"]).await;
    alerts.update(&page("r5", AlertState::Suppressed));
    until("it ends by itself", || peer.firing().is_empty()).await;
    let heard: Vec<String> = peer.state().heard.iter().map(|(rack, ..)| rack.clone()).collect();
    assert!(heard.iter().all(|rack| rack == "r5"), "{heard:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_tells_what_fired_before_with_its_own_start() {
    let peer = Peer::start(Manner::Sound).await;
    let before = Alerts::start(settings(&[&peer]));
    before.update(&page("r1", AlertState::Firing));
    until("it fires", || peer.firing() == ["r1"]).await;
    drop(before);
    let after = Alerts::start(settings(&[&peer]));
    after.restore(vec![page("r1", AlertState::Firing)]);
    let sent = || after.metrics()[0].sent;
    until("it is told by the new process", || sent() >= 2).await;
    assert_eq!(peer.state().alerts.len(), 1, "the same alert, not another");
    assert_eq!(peer.known("r1").unwrap()["startsAt"], "2026-01-05T09:00:00.000000Z");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_that_goes_through_what_was_tells_how_it_ends_only() {
    let peer = Peer::start(Manner::Sound).await;
    let alerts = Alerts::start(settings(&[&peer]));
    alerts.hold_back();
    alerts.update(&page("over", AlertState::Firing));
    alerts.update(&page("lasting", AlertState::Firing));
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(peer.state().requests, 0, "longer than a re-send, and nothing is told");
    alerts.update(&page("over", AlertState::Resolved));
    alerts.go_on();
    until("the one that lasts is told", || peer.firing() == ["lasting"]).await;
    let told_as_firing = peer.state().heard.iter().any(|(rack, is_over, _)| rack == "over" && !is_over);
    assert!(!told_as_firing, "what is over calls nobody again");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_handle_that_goes_ends_the_tasks() {
    let peer = Peer::start(Manner::Sound).await;
    let alerts = Alerts::start(settings(&[&peer]));
    alerts.update(&page("r1", AlertState::Firing));
    until("it fires", || peer.firing() == ["r1"]).await;
    drop(alerts);
    tokio::time::sleep(Duration::from_millis(300)).await;
    let requests = peer.state().requests;
    tokio::time::sleep(Duration::from_millis(600)).await;
    assert_eq!(peer.state().requests, requests);
    assert!(peer.firing().is_empty(), "Alertmanager forgets what it does not hear of");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_orderly_end_tells_the_last_word_but_waits_for_no_dead_peer() {
    let (sound, dead) = (Peer::start(Manner::Sound).await, Peer::start(Manner::Broken).await);
    let alerts = Alerts::start(settings(&[&sound, &dead]));
    alerts.update(&page("r1", AlertState::Firing));
    let begun = Instant::now();
    alerts.close(Duration::from_millis(500)).await;
    assert!(begun.elapsed() < Duration::from_secs(2));
    assert_eq!(sound.firing(), ["r1"]);
    assert!(dead.state().requests >= 2, "a peer that fails is asked again");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_watchdog_fires_while_the_service_says_that_it_is_well_and_goes_silent_with_it() {
    let peer = Peer::start(Manner::Sound).await;
    let alerts = Alerts::start(AlertSettings {
        watchdog: Some("SiteWatchdog".to_owned()),
        watchdog_patience: Duration::from_millis(500),
        ..settings(&[&peer])
    });
    let fires = || {
        peer.state()
            .alerts
            .values()
            .any(|alert| alert["labels"]["alertname"] == "SiteWatchdog" && !is_over(alert))
    };
    alerts.watchdog(true);
    until("it fires", fires).await;
    alerts.watchdog(false);
    until("it goes silent", || !fires()).await;
    alerts.watchdog(true);
    until("it fires again", fires).await;
    // A service that hangs says nothing at all.
    until("it goes silent without a word", || !fires()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn too_many_alerts_leave_out_tickets_before_pages_and_say_so() {
    let peer = Peer::start(Manner::Sound).await;
    let alerts = Alerts::start(AlertSettings { alerts_max: 4, ..settings(&[&peer]) });
    for index in 0..4 {
        alerts.update(&transition(&format!("ticket{index}"), "ticket", AlertState::Firing));
    }
    alerts.update(&page("page0", AlertState::Firing));
    alerts.update(&transition("ticket9", "ticket", AlertState::Firing));
    until("the page is told", || peer.firing().contains(&"page0".to_owned())).await;
    let overflow = || {
        let state = peer.state();
        state.alerts.values().find(|alert| alert["labels"]["alertname"] == "ThermogateAlertsDropped").cloned()
    };
    until("so is that some are not", || overflow().is_some()).await;
    assert!(overflow().unwrap()["annotations"]["summary"].as_str().unwrap().contains("more than 4 alerts"));
    assert_eq!(alerts.book_metrics().dropped, 2);
    assert!(alerts.book_metrics().alerts <= 5);
    assert!(!peer.firing().contains(&"ticket9".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_alert_that_alertmanager_would_refuse_does_not_reach_it() {
    let peer = Peer::start(Manner::Sound).await;
    let alerts = Alerts::start(settings(&[&peer]));
    let mut unsound = page("r1", AlertState::Firing);
    unsound.labels.insert("rack-name".into(), "r1".into());
    alerts.update(&unsound);
    alerts.update(&page("r2", AlertState::Firing));
    until("the sound one is told", || peer.firing() == ["r2"]).await;
    assert_eq!(alerts.book_metrics().invalid, 1);
    assert!(peer.known("r1").is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_alert_from_a_clock_that_is_ahead_never_ends_before_it_starts() {
    let peer = Peer::start(Manner::Sound).await;
    let alerts = Alerts::start(settings(&[&peer]));
    let mut ahead = page("r1", AlertState::Firing);
    ahead.since = EventTime::from_rfc3339("2999-01-01T00:00:00Z").unwrap();
    alerts.update(&ahead);
    until("it is told", || peer.known("r1").is_some()).await;
    ahead.to = AlertState::Resolved;
    alerts.update(&ahead);
    until("it is over", || peer.firing().is_empty()).await;
    let told = peer.known("r1").unwrap();
    assert!(time(&told["startsAt"]) <= time(&told["endsAt"]), "{told}");
}
