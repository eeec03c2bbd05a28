//! Alertmanagers that answer 400, hang, or are gone: alerts wait for them, and nothing else does.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::harness::{Service, free_port, get, wait_for};
use crate::remote_write::{Reading, send};

/// Takes connections and never answers.
fn hanging() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    std::thread::spawn(move || listener.incoming().collect::<Vec<_>>());
    port
}

/// Answers every request with 400, as Alertmanager answers labels that it does not like.
fn refusing() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    std::thread::spawn(move || {
        for connection in listener.incoming().filter_map(Result::ok) {
            // An error means that the sender is gone: then nobody waits for an answer.
            let _ = refuse(connection);
        }
    });
    port
}

/// Reads one request to its end and answers 400.
fn refuse(connection: TcpStream) -> std::io::Result<()> {
    let mut request = BufReader::new(connection);
    let (mut line, mut length) = (String::new(), 0);
    while request.read_line(&mut line)? > 2 {
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap_or(0);
        }
        line.clear();
    }
    std::io::copy(&mut (&mut request).take(length), &mut std::io::sink())?;
    let answer =
        "HTTP/1.1 400 Bad Request\r\ncontent-length: 19\r\nconnection: close\r\n\r\n\"invalid label set\"";
    request.get_mut().write_all(answer.as_bytes())
}

#[test]
fn peers_that_refuse_hang_or_are_gone_hold_up_nobody() {
    let peers = [hanging(), refusing(), free_port()].map(|port| format!("http://127.0.0.1:{port}"));
    let folder = tempfile::tempdir().expect("a folder");
    let setting = format!("alerts.alertmanagers={}", peers.join(","));
    let service = Service::start(
        &folder.path().join("data"),
        &[
            "--set",
            "clock.kind=telemetry",
            "--set",
            "alerts.resend_every=1s",
            "--set",
            "alerts.watchdog=",
            "--set",
            &setting,
        ],
    );
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_millis();
    let began = i64::try_from(now).expect("a time") - 1_800_000;
    let leak = |minute: i64, value: f64| Reading {
        metric: "leak_state",
        rack: "wet",
        time: began + minute * 60_000,
        value,
    };
    send(&service.http, &[leak(0, 0.0), leak(1, 0.0)]);
    send(&service.http, &[leak(2, 2.0), leak(3, 2.0)]);
    wait_for("the alert", || {
        let rows = service.sql("select alertname from alerts where state = 'firing'");
        (!rows.is_empty()).then_some(())
    });
    // A request that hangs has failed after ten seconds.
    for (peer, what) in [(&peers[1], "refused"), (&peers[2], "failed"), (&peers[0], "failed")] {
        wait_for("it to be counted", || {
            service
                .metric(&format!("thermogate_alert_{what}{{peer=\"{peer}\"}}"))
                .filter(|count| *count >= 1.0)
        });
    }
    for peer in &peers {
        assert_eq!(service.metric(&format!("thermogate_alert_sent{{peer=\"{peer}\"}}")), Some(0.0));
    }

    for path in ["/healthz", "/readyz"] {
        assert_eq!(get(&format!("{}{path}", service.http)).expect("an answer").0, 200, "{path}");
    }
    let before = Instant::now();
    send(&service.http, &[leak(4, 2.0)]);
    assert_eq!(service.run(&["gate", "evaluate", "--rack", "wet"]).code, 1, "a leak fails the gate");
    assert!(before.elapsed() < Duration::from_secs(5), "ingest and gates wait for no Alertmanager");
    let status = service.run(&["status", "--output", "json"]).expect_success();
    let status: serde_json::Value = serde_json::from_str(&status).expect("JSON");
    assert_eq!(status["racks"][0]["alerts_firing"], 1, "{status}");
    let before = Instant::now();
    service.stop();
    assert!(
        before.elapsed() < Duration::from_secs(15),
        "the end waits for no Alertmanager: {:?}",
        before.elapsed()
    );
}

#[test]
fn an_address_that_is_none_is_refused_at_the_start() {
    for (address, says) in [
        ("127.0.0.1:9093", "is not an address: write it like \"http://127.0.0.1:9093\""),
        ("https://alertmanager:9093", "asks for TLS, which is not built for Alertmanager"),
    ] {
        let folder = tempfile::tempdir().expect("a folder");
        let finished = crate::harness::run(&[
            "serve",
            "--data",
            &folder.path().join("data").display().to_string(),
            "--set",
            "listen.http=127.0.0.1:0",
            "--set",
            "listen.grpc=127.0.0.1:0",
            "--set",
            "listen.otlp_grpc=127.0.0.1:0",
            "--set",
            "listen.otlp_http=127.0.0.1:0",
            "--set",
            &format!("alerts.alertmanagers={address}"),
        ]);
        assert!(finished.code == 2 && finished.stderr.contains(says), "{finished:?}");
    }
}
