//! Senders that repeat themselves, come in the wrong order, come by the thousand, write slowly, or do not listen.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::START;
use crate::crash::quick_objectives;
use crate::harness::{Service, get, run, wait_for};
use crate::remote_write::{Reading, Sender, body, send};

const ON_TELEMETRY_S_CLOCK: [&str; 2] = ["--set", "clock.kind=telemetry"];

/// One request a rack and ten seconds, in order: rack `r2` is hot for a quarter of an hour, `r3` silent.
fn requests() -> Vec<(usize, i64, f64)> {
    let steps = (0..270).flat_map(|step| (0..4).map(move |rack| (rack, step)));
    let spoken = steps.filter(|(rack, step)| *rack != 3 || !(60..150).contains(step));
    spoken
        .map(|(rack, step)| {
            let base = if rack == 2 && (60..150).contains(&step) { 46.0 } else { 39.0 };
            (rack, START + 10 * step, base + (step * 7_919 % 101) as f64 / 1_000.0)
        })
        .collect()
}

/// What was stored, judged and told.
fn told(service: &Service) -> Vec<Vec<Value>> {
    let of = |table: &str, columns: &str| {
        service.sql(&format!("select {columns} from {table} order by {columns}"))
    };
    vec![
        of("samples", "rack, time, value, flag"),
        of("blocks", "rack, time, mean, minimum, maximum, last, known_seconds, count"),
        of("slo_status", "objective, \"group\", time, good_seconds, bad_seconds, unknown_seconds, state"),
        of("alerts", "alertname, severity, rack, time, state, previous, since, reason"),
    ]
}

#[test]
fn repeats_and_requests_in_the_wrong_order_change_no_reading_no_block_no_status_and_no_alert() {
    let folder = tempfile::tempdir().expect("a folder");
    let objectives = quick_objectives();
    let play = |name: &str, requests: &[(usize, i64, f64)]| {
        let settings = [&ON_TELEMETRY_S_CLOCK[..], &["--set", &objectives]].concat();
        let service = Service::start(&folder.path().join(name), &settings);
        let sender = Sender::new();
        for (rack, second, value) in requests {
            let rack = format!("r{rack}");
            let reading = Reading {
                metric: "coolant_supply_temperature",
                rack: &rack,
                time: 1_000 * second,
                value: *value,
            };
            assert_eq!(sender.send(&service.http, &[reading]).expect("an answer"), 204);
        }
        let end = service.sql("select max(time) as time from samples");
        let told = wait_for("the last reading", || {
            Some(told(&service)).filter(|told| told[0].len() == self::requests().len())
        });
        let repeats = service.metric("thermogate_evaluate_duplicate_samples_total{kind=\"duplicate\"}");
        service.stop();
        (told, end, repeats)
    };
    let in_order = requests();
    let mut disturbed = in_order.clone();
    // One in a hundred comes again, at once or up to twenty seconds of event time later; as many come that much later.
    for index in (50..in_order.len() - 20).step_by(100) {
        disturbed.insert(index + index / 100 % 8, in_order[index]);
    }
    for index in (70..disturbed.len() - 20).step_by(100) {
        let late = disturbed.remove(index);
        disturbed.insert(index + 1 + index / 100 % 8, late);
    }
    let (expected, end, _) = play("in-order", &in_order);
    assert!(!expected[3].is_empty(), "the hot spell is told");
    let (seen, disturbed_end, repeats) = play("disturbed", &disturbed);
    assert_eq!(disturbed_end, end);
    for (expected, seen) in expected.iter().zip(&seen) {
        assert_eq!(seen, expected);
    }
    assert!(repeats.is_some_and(|repeats| repeats >= 10.0), "{repeats:?} repeats were counted");
}

fn connect(service: &Service) -> TcpStream {
    let stream = TcpStream::connect(service.http.trim_start_matches("http://")).expect("a connection");
    stream.set_nodelay(true).expect("a socket");
    stream
}

/// A request of remote write, as it goes over the wire.
fn request(rack: &str) -> Vec<u8> {
    let reading = Reading { metric: "coolant_supply_temperature", rack, time: 1_000 * START, value: 39.0 };
    let body = body(&[reading]);
    let head = format!(
        "POST /api/v1/write HTTP/1.1\r\nhost: thermogate\r\ncontent-type: application/x-protobuf\r\n\
         content-encoding: snappy\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), &body].concat()
}

fn resident_megabytes(service: &Service) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", service.pid())).expect("a process");
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("its memory");
    line.split_whitespace().nth(1).and_then(|kilobytes| kilobytes.parse::<u64>().ok()).expect("a number")
        / 1_024
}

/// Others are answered, and soon.
fn expect_others_are_served(service: &Service, rack: &str) {
    let start = Instant::now();
    send(
        &service.http,
        &[Reading { metric: "coolant_supply_temperature", rack, time: 1_000 * START, value: 39.0 }],
    );
    assert_eq!(get(&format!("{}/healthz", service.http)).expect("an answer").0, 200);
    assert!(start.elapsed() < Duration::from_secs(5), "after {:?}", start.elapsed());
}

#[test]
fn a_thousand_connections_that_send_half_a_request_hold_up_nobody() {
    let folder = tempfile::tempdir().expect("a folder");
    let service = Service::start(&folder.path().join("data"), &ON_TELEMETRY_S_CLOCK);
    let before = resident_megabytes(&service);
    let half = request("r01");
    let half = &half[..half.len() / 2];
    let connections: Vec<_> = (0..1_000)
        .map(|_| {
            let mut stream = connect(&service);
            stream.write_all(half).expect("half a request");
            stream
        })
        .collect();
    expect_others_are_served(&service, "r02");
    let grown = resident_megabytes(&service).saturating_sub(before);
    assert!(grown < 100, "a thousand connections take {grown} MB");
    drop(connections);
    expect_others_are_served(&service, "r03");
    assert_eq!(
        service.sql("select count(*) as n from samples")[0]["n"],
        2,
        "half a request leaves nothing behind"
    );
    service.stop();
}

#[test]
fn connections_that_take_all_places_of_a_port_leave_the_other_ports_alone_and_are_told_of() {
    let folder = tempfile::tempdir().expect("a folder");
    let limit = ["--set", "listen.connections_max=16"];
    let service = Service::start(&folder.path().join("data"), &[&ON_TELEMETRY_S_CLOCK[..], &limit].concat());
    let silent: Vec<_> = (0..16).map(|_| connect(&service)).collect();
    let mut one_more = connect(&service);
    one_more.write_all(&request("r01")).expect("a request");
    one_more.set_read_timeout(Some(Duration::from_millis(300))).expect("a socket");
    one_more.read(&mut [0; 1]).expect_err("it waits for a place");
    let runs = run(&["run", "list", "--grpc", &service.grpc]);
    assert_eq!(runs.code, 0, "{runs:?}");
    assert!(service.log().contains("raise listen.connections_max"), "{}", service.log());
    drop(silent);
    one_more.set_read_timeout(None).expect("a socket");
    let mut answer = String::new();
    one_more.read_to_string(&mut answer).expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 204 "), "{answer}");
    service.stop();
}

#[test]
fn a_sender_that_writes_byte_by_byte_is_taken_and_holds_up_nobody() {
    let folder = tempfile::tempdir().expect("a folder");
    let service = Service::start(&folder.path().join("data"), &ON_TELEMETRY_S_CLOCK);
    let mut stream = connect(&service);
    for (index, byte) in request("slow").iter().enumerate() {
        stream.write_all(&[*byte]).expect("a byte");
        std::thread::sleep(Duration::from_millis(3));
        if index == 100 {
            expect_others_are_served(&service, "r01");
        }
    }
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 204 "), "{answer}");
    let racks = service.sql("select rack from samples order by rack");
    assert_eq!(racks, [serde_json::json!({"rack": "r01"}), serde_json::json!({"rack": "slow"})]);
    service.stop();
}

#[test]
fn a_client_that_never_reads_its_answers_is_made_to_wait_and_takes_no_memory() {
    let folder = tempfile::tempdir().expect("a folder");
    let service = Service::start(&folder.path().join("data"), &ON_TELEMETRY_S_CLOCK);
    expect_others_are_served(&service, "r01");
    let before = resident_megabytes(&service);
    let question = b"GET /metrics HTTP/1.1\r\nhost: thermogate\r\n\r\n".repeat(1_000);
    let deaf: Vec<_> = (0..8)
        .map(|_| {
            let mut stream = connect(&service);
            stream.set_write_timeout(Some(Duration::from_secs(2))).expect("a socket");
            // 2 GB of answers, were they all written.
            let error =
                (0..1_000).find_map(|_| stream.write_all(&question).err()).expect("it is made to wait");
            assert!(matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut), "{error}");
            stream
        })
        .collect();
    expect_others_are_served(&service, "r02");
    let grown = resident_megabytes(&service).saturating_sub(before);
    assert!(grown < 100, "eight of them take {grown} MB");
    drop(deaf);
    expect_others_are_served(&service, "r03");
    service.stop();
}
