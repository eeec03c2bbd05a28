//! Remote write and OTLP over HTTP: statuses, headers and bodies, exactly.

use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Request, StatusCode};
use bytes::Bytes;
use ingest::{HttpIntake, IntakeError, RequestLimits};
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceResponse;
use prost::Message;
use serde_json::json;
use tower::ServiceExt;

use super::senders::{
    Otlp, RemoteWrite1, RemoteWrite2, START_SECONDS, Source, TestIntake, batches, reading, snappy, supply,
};

const LIMITS: RequestLimits = RequestLimits { request_bytes: 4_096, decompressed_bytes: 16_384 };
const V1: &str = "application/x-protobuf";
const V2: &str = "application/x-protobuf;proto=io.prometheus.write.v2.Request";

struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

impl Answer {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    fn written(&self) -> [Option<&str>; 3] {
        ["samples", "histograms", "exemplars"]
            .map(|what| self.header(&format!("x-prometheus-remote-write-{what}-written")))
    }
}

/// Routes that decode where they are asked.
pub fn over(intake: &std::sync::Arc<TestIntake>, limits: RequestLimits) -> HttpIntake {
    HttpIntake { intake: intake.clone(), limits, threads: tokio::runtime::Handle::current() }
}

async fn post(router: Router, path: &str, headers: &[(&str, &str)], body: impl Into<Bytes>) -> Answer {
    let mut request = Request::post(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let response = router.oneshot(request.body(Body::from(body.into())).unwrap()).await.unwrap();
    let (parts, body) = response.into_parts();
    let body = axum::body::to_bytes(body, 1 << 20).await.unwrap();
    Answer { status: parts.status, headers: parts.headers, body }
}

async fn write(intake: &std::sync::Arc<TestIntake>, content_type: &str, body: impl Into<Bytes>) -> Answer {
    let router = ingest::remote_write::server::router(over(intake, LIMITS));
    let headers = [("content-type", content_type), ("content-encoding", "snappy")];
    post(router, "/api/v1/write", &headers, body).await
}

async fn export(
    intake: &std::sync::Arc<TestIntake>,
    headers: &[(&str, &str)],
    body: impl Into<Bytes>,
) -> Answer {
    post(ingest::otlp::http::router(over(intake, LIMITS)), "/v1/metrics", headers, body).await
}

#[tokio::test]
async fn what_is_stored_is_answered_204_with_the_counts_of_2_0() {
    let intake = TestIntake::new();
    let readings = [supply("r1", 0, 31.0), supply("r2", 0, 9_999.0)];
    let answer = write(&intake, V1, snappy(&RemoteWrite1::encode(&readings))).await;
    assert_eq!((answer.status, answer.written()), (StatusCode::NO_CONTENT, [None; 3]));
    let answer = write(&intake, V2, snappy(&RemoteWrite2::encode(&readings))).await;
    assert_eq!(
        (answer.status, answer.written()),
        (StatusCode::NO_CONTENT, [Some("2"), Some("0"), Some("0")])
    );
    assert_eq!(batches(&intake.log.lock().unwrap()).iter().map(|batch| batch.len()).sum::<usize>(), 4);
}

#[tokio::test]
async fn an_empty_request_and_one_of_metadata_only_are_204() {
    let intake = TestIntake::new();
    assert_eq!(write(&intake, V1, snappy(&[])).await.status, StatusCode::NO_CONTENT);
    assert_eq!(write(&intake, V1, Bytes::new()).await.status, StatusCode::NO_CONTENT);
    let request = wire::prometheus::v1::WriteRequest {
        metadata: vec![wire::prometheus::v1::MetricMetadata {
            metric_family_name: "up".into(),
            ..Default::default()
        }],
        ..Default::default()
    };
    assert_eq!(write(&intake, V1, snappy(&request.encode_to_vec())).await.status, StatusCode::NO_CONTENT);
}

#[tokio::test]
async fn some_refused_samples_are_400_after_the_rest_was_stored() {
    let intake = TestIntake::new();
    let readings = [reading("coolant_flow_celsius", &[("rack", "r1")], 0, 1.0), supply("r1", 0, 31.0)];
    let answer = write(&intake, V2, snappy(&RemoteWrite2::encode(&readings))).await;
    assert_eq!(
        (answer.status, answer.written()),
        (StatusCode::BAD_REQUEST, [Some("1"), Some("0"), Some("0")])
    );
    assert!(
        answer
            .text()
            .starts_with("1 of 2 points refused (unit 1), the rest is stored: coolant_flow_celsius{"),
        "{}",
        answer.text()
    );
    assert_eq!(batches(&intake.log.lock().unwrap()).len(), 1);
}

#[tokio::test]
async fn what_cannot_be_read_is_400_and_names_what_is_wrong() {
    let intake = TestIntake::new();
    let whole = RemoteWrite1::encode(&[supply("r1", 0, 31.0)]);
    let cases: [(Bytes, &str); 4] = [
        (whole.clone().into(), "the body is not snappy (block format)"),
        (
            snappy(&whole[..whole.len() - 1]),
            "prometheus.WriteRequest cannot be read at byte 2: a length is beyond",
        ),
        (snappy(b"not protobuf at all"), "prometheus.WriteRequest cannot be read"),
        (snappy(&RemoteWrite1::encode(&[reading("", &[], 0, 1.0)])), "the metric has no name"),
    ];
    for (body, expected) in cases {
        let answer = write(&intake, V1, body).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST);
        assert!(answer.text().contains(expected), "{}", answer.text());
    }
    let answer = write(&intake, V2, snappy(b"not protobuf at all")).await;
    assert_eq!(
        (answer.status, answer.written()),
        (StatusCode::BAD_REQUEST, [Some("0"), Some("0"), Some("0")])
    );
    assert!(intake.log.lock().unwrap().is_empty());
}

#[tokio::test]
async fn what_is_too_large_is_413_and_names_limit_and_setting() {
    let intake = TestIntake::new();
    let answer = write(&intake, V1, vec![0; 5_000]).await;
    assert_eq!(answer.status, StatusCode::PAYLOAD_TOO_LARGE);
    assert!(
        answer
            .text()
            .contains("more than the limit of 4096; send smaller requests or raise ingest.request_bytes_max"),
        "{}",
        answer.text()
    );
    let answer = write(&intake, V1, snappy(&vec![0; 20_000])).await;
    assert_eq!(answer.status, StatusCode::PAYLOAD_TOO_LARGE);
    assert!(answer.text().contains("20000, more than the limit of 16384"), "{}", answer.text());
    assert!(answer.text().contains("raise ingest.decompressed_bytes_max"), "{}", answer.text());
}

#[tokio::test]
async fn what_is_not_spoken_here_is_415_so_that_a_sender_may_fall_back() {
    let intake = TestIntake::new();
    let router = || ingest::remote_write::server::router(over(&intake, LIMITS));
    let cases = [
        ("application/json", "snappy"),
        ("application/x-protobuf;proto=io.prometheus.write.v3.Request", "snappy"),
        ("application/x-protobuf", "gzip"),
    ];
    for (content_type, encoding) in cases {
        let headers = [("content-type", content_type), ("content-encoding", encoding)];
        let answer = post(router(), "/api/v1/write", &headers, Bytes::new()).await;
        assert_eq!(answer.status, StatusCode::UNSUPPORTED_MEDIA_TYPE, "{content_type} {encoding}");
        assert!(answer.text().contains("is not spoken here: send"), "{}", answer.text());
    }
    let explicit = "application/x-protobuf; proto=prometheus.WriteRequest";
    let answer = write(&intake, explicit, snappy(&RemoteWrite1::encode(&[supply("r1", 0, 31.0)]))).await;
    assert_eq!(answer.status, StatusCode::NO_CONTENT);
}

#[tokio::test]
async fn back_pressure_tells_when_to_come_again() {
    let intake = TestIntake::new();
    let cases = [
        (
            IntakeError::Overloaded {
                message: "the log is full".into(),
                retry_after: Duration::from_millis(1_200),
            },
            503,
            Some("2"),
        ),
        (
            IntakeError::RateLimited { message: "too often".into(), retry_after: Duration::from_secs(5) },
            429,
            Some("5"),
        ),
        (IntakeError::Internal { message: "broken".into() }, 500, None),
    ];
    for (refused, status, retry_after) in cases {
        *intake.refuse.lock().unwrap() = Some(refused);
        let answer = write(&intake, V1, snappy(&RemoteWrite1::encode(&[supply("r1", 0, 31.0)]))).await;
        assert_eq!((answer.status.as_u16(), answer.header("retry-after")), (status, retry_after));
        let answer = export(&intake, &[("content-type", V1)], Otlp::encode(&[supply("r1", 0, 31.0)])).await;
        assert_eq!((answer.status.as_u16(), answer.header("retry-after")), (status, retry_after));
    }
}

#[tokio::test]
async fn otlp_is_answered_in_the_form_it_came_in() {
    let intake = TestIntake::new();
    let answer = export(&intake, &[("content-type", V1)], Otlp::encode(&[supply("r1", 0, 31.0)])).await;
    assert_eq!((answer.status, answer.header("content-type")), (StatusCode::OK, Some(V1)));
    assert_eq!(ExportMetricsServiceResponse::decode(answer.body).unwrap().partial_success, None);

    let json = json!({"resourceMetrics": [{
        "resource": {"attributes": [{"key": "rack", "value": {"stringValue": "r1"}}]},
        "scopeMetrics": [{"metrics": [
            {"name": "hw.temperature", "unit": "Cel", "gauge": {"dataPoints": [{
                "attributes": [{"key": "hw.sensor_location", "value": {"stringValue": "coolant_supply"}}],
                "timeUnixNano": format!("{START_SECONDS}000001500"), "asDouble": 31.25,
            }]}},
            {"name": "coolant_flow", "unit": "Cel", "gauge": {"dataPoints": [
                {"timeUnixNano": format!("{START_SECONDS}000000000"), "asInt": "48"},
            ]}},
        ]}],
    }]});
    let answer = export(&intake, &[("content-type", "application/json")], json.to_string()).await;
    assert_eq!((answer.status, answer.header("content-type")), (StatusCode::OK, Some("application/json")));
    let told: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!(told["partialSuccess"]["rejectedDataPoints"], "1");
    assert!(told["partialSuccess"]["errorMessage"].as_str().unwrap().contains("expected \"L/min\""));
    let log = intake.log.lock().unwrap();
    let last = *batches(&log).last().unwrap();
    assert_eq!((last.value[0], last.time[0]), (31.25, super::senders::at(0) + telemetry::Microseconds(1)));
}

#[tokio::test]
async fn otlp_that_cannot_be_read_is_400_with_a_status_as_body() {
    let intake = TestIntake::new();
    let answer = export(&intake, &[("content-type", V1)], &b"not protobuf at all"[..]).await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    let status = tonic_types::Status::decode(answer.body).unwrap();
    assert_eq!(status.code, tonic::Code::InvalidArgument as i32);
    assert!(status.message.contains("ExportMetricsServiceRequest cannot be read"), "{}", status.message);
    assert_eq!(status.details.len(), 1, "BadRequest");

    let answer = export(&intake, &[("content-type", "application/json")], r#"{"resourceMetrics": 3}"#).await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    let told: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!(told["code"], 3);
    assert!(told["message"].as_str().unwrap().contains("as JSON cannot be read at byte"), "{told}");

    let answer = export(&intake, &[("content-type", "text/plain")], "").await;
    assert_eq!(answer.status, StatusCode::UNSUPPORTED_MEDIA_TYPE);
}

#[tokio::test]
async fn otlp_comes_in_gzip_and_zstd_and_a_bomb_is_413() {
    use std::io::Write;
    let gzip = |bytes: &[u8]| {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    };
    let zstd = |bytes: &[u8]| zstd::encode_all(bytes, 3).unwrap();
    let encodings: [(&str, &dyn Fn(&[u8]) -> Vec<u8>); 2] = [("gzip", &gzip), ("zstd", &zstd)];
    for (encoding, pack) in encodings {
        let intake = TestIntake::new();
        let headers = [("content-type", V1), ("content-encoding", encoding)];
        let whole = pack(&Otlp::encode(&[supply("r1", 0, 31.0)]));
        let answer = export(&intake, &headers, whole.clone()).await;
        assert_eq!(answer.status, StatusCode::OK, "{encoding}");
        assert_eq!(batches(&intake.log.lock().unwrap()).len(), 1, "{encoding}");
        let answer = export(&intake, &headers, pack(&vec![0; 1 << 20])).await;
        assert_eq!(answer.status, StatusCode::PAYLOAD_TOO_LARGE, "{encoding}");
        let answer = export(&intake, &headers, whole[..whole.len() - 9].to_vec()).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{encoding}");
    }
}
