//! Requests byte by byte, written from the protocols' tables and not with our own encoders: `fixtures/wire`.

use std::path::Path;

use axum::body::Body;
use axum::http::Request;
use bytes::Bytes;
use ingest::RequestLimits;
use tower::ServiceExt;

use super::http::over;
use super::senders::{START_SECONDS, TestIntake, samples, snappy};

/// A request and the answer to it.
#[derive(Default)]
struct Vector {
    path: String,
    content_type: String,
    body: Vec<u8>,
    status: u16,
    written: Option<String>,
    answer: String,
    samples: Vec<String>,
}

/// Reads `name: value` lines, then `body:` and hex with comments.
fn parse(text: &str) -> Vector {
    let mut vector = Vector::default();
    let (head, body) = text.split_once("body:\n").unwrap();
    for line in head.lines().filter(|line| !line.starts_with('#')) {
        let (name, value) = line.split_once(": ").unwrap();
        match name {
            "path" => vector.path = value.to_owned(),
            "content-type" => vector.content_type = value.to_owned(),
            "status" => vector.status = value.parse().unwrap(),
            "written" => vector.written = Some(value.to_owned()),
            "answer" => vector.answer = value.to_owned(),
            "sample" => vector.samples.push(value.to_owned()),
            _ => panic!("unknown line {name:?}"),
        }
    }
    let hex = body.lines().flat_map(|line| line.split('#').next().unwrap().split_whitespace());
    vector.body = hex.map(|byte| u8::from_str_radix(byte, 16).unwrap()).collect();
    vector
}

async fn check(name: &str, vector: &Vector) {
    let intake = TestIntake::new();
    let intake_over = over(&intake, RequestLimits::default());
    let router = ingest::remote_write::server::router(intake_over.clone())
        .merge(ingest::otlp::http::router(intake_over));
    let mut request = Request::post(&vector.path).header("content-type", &vector.content_type);
    let mut body = Bytes::from(vector.body.clone());
    if vector.path == ingest::remote_write::server::PATH {
        request = request.header("content-encoding", "snappy");
        body = snappy(&vector.body);
    }
    let response = router.oneshot(request.body(Body::from(body)).unwrap()).await.unwrap();
    assert_eq!(response.status().as_u16(), vector.status, "{name}");
    let written = ["samples", "histograms", "exemplars"].map(|what| {
        let header = response.headers().get(format!("x-prometheus-remote-write-{what}-written"))?;
        Some(header.to_str().unwrap().to_owned())
    });
    let written: Option<Vec<String>> = written.into_iter().collect();
    assert_eq!(written.map(|written| written.join(" ")), vector.written, "{name}");
    let answer = axum::body::to_bytes(response.into_body(), 1 << 20).await.unwrap();
    let answer = String::from_utf8_lossy(&answer);
    assert!(answer.contains(&vector.answer), "{name}: {answer}");
    let taken: Vec<String> = samples(&intake.log.lock().unwrap())
        .into_iter()
        .map(|(identity, seconds, value, flag)| {
            let time =
                telemetry::EventTime::from_unix_micros(START_SECONDS * 1_000_000 + (seconds * 1e6) as i64);
            format!("{identity} | {time} | {value} | {}", flag.name())
        })
        .collect();
    assert_eq!(taken, vector.samples, "{name}");
}

#[tokio::test]
async fn every_recorded_request_gets_its_answer() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/wire");
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(files.len() >= 9);
    for file in files {
        check(&file.display().to_string(), &parse(&std::fs::read_to_string(&file).unwrap())).await;
    }
}
