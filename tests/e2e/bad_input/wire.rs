//! Requests that are torn, oversized, mistyped or senseless: what is refused is named, what is good beside it is stored.

use std::sync::OnceLock;

use opentelemetry_proto::tonic::collector::metrics::v1::{
    ExportMetricsServiceRequest, ExportMetricsServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value};
use opentelemetry_proto::tonic::metrics::v1::{
    Gauge, Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, metric, number_data_point,
};
use prost::Message;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use wire::prometheus::{v1, v2};

use crate::harness::{Service, block_on, wait_for};

const V1: &[(&str, &str)] = &[("content-type", "application/x-protobuf"), ("content-encoding", "snappy")];
const V2: &[(&str, &str)] = &[
    ("content-type", "application/x-protobuf;proto=io.prometheus.write.v2.Request"),
    ("content-encoding", "snappy"),
];
const EXPORT: &str = "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export";

/// One service for all: what one test sends carries names of its own.
struct Shared {
    service: Service,
    _folder: tempfile::TempDir,
}

fn service() -> Shared {
    let folder = tempfile::tempdir().expect("a folder");
    let service = Service::start(
        &folder.path().join("data"),
        &["--set", "ingest.request_bytes_max=65536", "--set", "ingest.decompressed_bytes_max=131072"],
    );
    Shared { service, _folder: folder }
}

fn now() -> i64 {
    static NOW: OnceLock<i64> = OnceLock::new();
    *NOW.get_or_init(|| {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970");
        i64::try_from(since.as_millis()).expect("before the year 292 million")
    })
}

/// Samples of (metric, rack, milliseconds, value) as remote write 1.0.
fn version_1(samples: &[(&str, &str, i64, f64)]) -> Vec<u8> {
    let label = |name: &str, value: &str| v1::Label { name: name.to_owned(), value: value.to_owned() };
    let timeseries = samples.iter().map(|(metric, rack, timestamp, value)| v1::TimeSeries {
        labels: vec![label("__name__", metric), label("rack", rack)],
        samples: vec![v1::Sample { value: *value, timestamp: *timestamp }],
        ..v1::TimeSeries::default()
    });
    v1::WriteRequest { timeseries: timeseries.collect(), ..v1::WriteRequest::default() }.encode_to_vec()
}

/// One sample of remote write 2.0, in a unit.
fn version_2(metric: &str, rack: &str, unit: &str, value: f64) -> Vec<u8> {
    let symbols = ["", "__name__", metric, "rack", rack, unit].map(str::to_owned).to_vec();
    let timeseries = vec![v2::TimeSeries {
        labels_refs: vec![1, 2, 3, 4],
        samples: vec![v2::Sample { value, timestamp: now(), ..v2::Sample::default() }],
        metadata: Some(v2::Metadata { unit_ref: 5, ..v2::Metadata::default() }),
        ..v2::TimeSeries::default()
    }];
    v2::Request { symbols, timeseries }.encode_to_vec()
}

/// One point of OTLP, in a unit.
fn otlp(metric: &str, rack: &str, unit: &str, value: f64) -> Vec<u8> {
    let rack = AnyValue { value: Some(any_value::Value::StringValue(rack.to_owned())) };
    let point = NumberDataPoint {
        attributes: vec![KeyValue { key: "rack".to_owned(), value: Some(rack), ..KeyValue::default() }],
        time_unix_nano: u64::try_from(now()).expect("after 1970") * 1_000_000,
        value: Some(number_data_point::Value::AsDouble(value)),
        ..NumberDataPoint::default()
    };
    let metric = Metric {
        name: metric.to_owned(),
        unit: unit.to_owned(),
        data: Some(metric::Data::Gauge(Gauge { data_points: vec![point] })),
        ..Metric::default()
    };
    let scope_metrics = vec![ScopeMetrics { metrics: vec![metric], ..ScopeMetrics::default() }];
    let resource_metrics = vec![ResourceMetrics { scope_metrics, ..ResourceMetrics::default() }];
    ExportMetricsServiceRequest { resource_metrics }.encode_to_vec()
}

/// A call over gRPC whose message is bytes as they are, torn or not.
fn export(service: &Service, message: Vec<u8>) -> Result<Vec<u8>, tonic::Status> {
    let address = service.otlp_grpc.clone();
    block_on(async {
        let channel = tonic::transport::Endpoint::from_shared(address)
            .expect("an address")
            .connect()
            .await
            .expect("the port answers");
        let mut client = tonic::client::Grpc::new(channel);
        client.ready().await.expect("a connection");
        let path = tonic::codegen::http::uri::PathAndQuery::from_static(EXPORT);
        client.unary(tonic::Request::new(message), path, Bytes).await.map(tonic::Response::into_inner)
    })
}

/// Bytes as they are.
#[derive(Clone, Copy, Default)]
struct Bytes;

impl Codec for Bytes {
    type Encode = Vec<u8>;
    type Decode = Vec<u8>;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Bytes {
    type Item = Vec<u8>;
    type Error = tonic::Status;

    fn encode(&mut self, item: Vec<u8>, out: &mut EncodeBuf<'_>) -> Result<(), tonic::Status> {
        prost::bytes::BufMut::put_slice(out, &item);
        Ok(())
    }
}

impl Decoder for Bytes {
    type Item = Vec<u8>;
    type Error = tonic::Status;

    fn decode(&mut self, source: &mut DecodeBuf<'_>) -> Result<Option<Vec<u8>>, tonic::Status> {
        use prost::bytes::Buf;
        Ok(Some(source.copy_to_bytes(source.remaining()).to_vec()))
    }
}

fn snappy(message: &[u8]) -> Vec<u8> {
    snap::raw::Encoder::new().compress_vec(message).expect("it is small")
}

fn without_end(mut message: Vec<u8>) -> Vec<u8> {
    message.pop();
    message
}

fn stored(service: &Service, rack: &str) -> Vec<(Option<f64>, String)> {
    let rows = service.sql(&format!(
        "select cast(value as varchar) as value, flag from samples where rack = '{rack}' order by time, value"
    ));
    rows.iter()
        .map(|row| {
            let value = row["value"]
                .as_str()
                .and_then(|value| value.parse().ok())
                .filter(|value: &f64| !value.is_nan());
            (value, row["flag"].as_str().expect("a flag").to_owned())
        })
        .collect()
}

#[test]
fn a_request_that_cannot_be_read_is_refused_whole_and_named() {
    let Shared { service, _folder } = &service();
    let good = [("coolant_supply_temperature", "torn", now(), 31.5)];
    let large: Vec<_> = std::iter::repeat_n(good[0], 5_000).collect();
    let noise: Vec<u8> =
        (0..70_000_u32).map(|index| (index.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let json = &[("content-type", "application/json")][..];
    let protobuf = &[("content-type", "application/x-protobuf")][..];
    let gzip = &[("content-type", "application/x-protobuf"), ("content-encoding", "gzip")][..];
    let cases: Vec<(&str, &[(&str, &str)], Vec<u8>, u16, &str)> = vec![
        (
            "/api/v1/write",
            V1,
            snappy(&without_end(version_1(&good))),
            400,
            "WriteRequest cannot be read at byte",
        ),
        (
            "/api/v1/write",
            V2,
            snappy(&without_end(version_2("coolant_supply_temperature", "torn", "Cel", 31.5))),
            400,
            "cannot be read at byte",
        ),
        ("/api/v1/write", V1, without_end(snappy(&version_1(&good))), 400, "the body is not snappy"),
        (
            "/api/v1/write",
            V1,
            noise.clone(),
            413,
            "more than the limit of 65536; send smaller requests or raise ingest.request_bytes_max",
        ),
        (
            "/api/v1/write",
            V1,
            snappy(&version_1(&large)),
            413,
            "more than the limit of 131072; send smaller requests or raise ingest.decompressed_bytes_max",
        ),
        ("/api/v1/write", V2, noise.clone(), 413, "ingest.request_bytes_max"),
        (
            "/api/v1/write",
            json,
            b"{}".to_vec(),
            415,
            "content type \"application/json\" is not spoken here: send application/x-protobuf",
        ),
        (
            "/api/v1/write",
            &[("content-type", "application/x-protobuf"), ("content-encoding", "zstd")],
            Vec::new(),
            415,
            "content encoding \"zstd\" is not spoken here: send snappy",
        ),
        (
            "/api/v1/write",
            &[("content-type", "application/x-protobuf;proto=io.prometheus.write.v3.Request")],
            Vec::new(),
            415,
            "message \"io.prometheus.write.v3.Request\" is not spoken here",
        ),
        (
            "/v1/metrics",
            protobuf,
            without_end(otlp("coolant_supply_temperature", "torn", "Cel", 31.5)),
            400,
            "cannot be read at byte",
        ),
        ("/v1/metrics", protobuf, noise, 413, "ingest.request_bytes_max"),
        (
            "/v1/metrics",
            json,
            b"{\"resourceMetrics\": [".to_vec(),
            400,
            "ExportMetricsServiceRequest as JSON cannot be read at byte",
        ),
        ("/v1/metrics", gzip, b"no gzip".to_vec(), 400, "the body is not gzip"),
        (
            "/v1/metrics",
            &[("content-type", "text/plain")],
            Vec::new(),
            415,
            "content type \"text/plain\" is not spoken here: send application/x-protobuf or application/json",
        ),
    ];
    for (path, headers, body, status, says) in cases {
        let (observed, answer) = service.post(path, headers, body);
        assert!(
            observed == status && answer.contains(says),
            "{path} {headers:?}: {observed} {answer:?}, expected {status} {says:?}"
        );
    }
    let torn =
        export(service, without_end(otlp("coolant_supply_temperature", "torn", "Cel", 31.5))).unwrap_err();
    assert!(
        torn.code() == tonic::Code::InvalidArgument && torn.message().contains("cannot be read at byte"),
        "{torn:?}"
    );
    let large = export(service, vec![0; 200_000]).unwrap_err();
    assert_eq!(large.code(), tonic::Code::InvalidArgument, "what never fits is not tried again: {large:?}");
    assert!(large.message().contains("ingest.decompressed_bytes_max"), "{large:?}");

    assert_eq!(stored(service, "torn"), [], "a torn request leaves nothing behind");
    let unreadable = |source: &str| {
        service
            .metric(&format!("thermogate_ingest_requests_total{{result=\"unreadable\",source=\"{source}\"}}"))
    };
    assert_eq!((unreadable("remote_write"), unreadable("otlp")), (Some(6.0), Some(6.0)), "each is counted");
    assert_eq!(
        service.post("/api/v1/write", V1, snappy(&version_1(&good))).0,
        204,
        "the next request is taken"
    );
}

#[test]
fn one_senseless_reading_is_set_aside_and_never_harms_its_neighbours() {
    let Shared { service, _folder } = &service();
    let metric = "coolant_supply_temperature";
    // The clock of the service ticks every second: readings of other seconds need its first tick.
    wait_for("the clock's first tick", || {
        service.run(&["status"]).expect_success().contains("tick 20").then_some(())
    });
    let hour = 3_600_000;
    let samples = [
        (metric, "odd", now() - 4_000, f64::NAN),
        (metric, "odd", now() - 3_000, f64::INFINITY),
        (metric, "odd", now() - 2_000, 3_200.0),
        (metric, "odd", now() - 1_000, -300.0),
        (metric, "odd", now(), 31.5),
        (metric, "odd", now() + hour, 31.6),
    ];
    assert_eq!(
        service.post("/api/v1/write", V1, snappy(&version_1(&samples))),
        (204, String::new()),
        "what is set aside is stored, so it is not refused"
    );
    let rows =
        wait_for("the readings", || Some(stored(service, "odd")).filter(|rows| rows.len() == samples.len()));
    let flag = |flag: &str| flag.to_owned();
    assert_eq!(
        rows,
        [
            (None, flag("sentinel")),
            (Some(f64::INFINITY), flag("implausible")),
            (Some(3_200.0), flag("implausible")),
            (Some(-300.0), flag("implausible")),
            (Some(31.5), flag("ok")),
            (Some(31.6), flag("future")),
        ]
    );
    let aside = |reason: &str| {
        service.metric(&format!(
            "thermogate_ingest_quarantined_samples_total{{reason=\"{reason}\",source=\"remote_write\"}}"
        ))
    };
    assert_eq!((aside("sentinel"), aside("implausible"), aside("future")), (Some(1.0), Some(3.0), Some(1.0)));
    // A rack is shown with the first tick after its first reading.
    let status = wait_for("the rack", || {
        let status = service.run(&["status"]).expect_success();
        status.contains("odd").then_some(status)
    });
    assert!(!status.contains("-3600"), "a reading of the future moves no watermark: {status}");
}

#[test]
fn a_reading_of_the_far_past_is_stored_and_not_judged_and_one_out_of_all_time_is_refused() {
    let Shared { service, _folder } = &service();
    let metric = "coolant_supply_temperature";
    let good = (metric, "past", now(), 31.5);
    assert_eq!(service.post("/api/v1/write", V1, snappy(&version_1(&[good]))).0, 204);
    wait_for("the rack", || service.run(&["status"]).expect_success().contains("past").then_some(()));
    let late = || service.metric("thermogate_evaluate_late_samples_total").unwrap_or_default();
    let before = late();
    assert_eq!(
        service
            .post(
                "/api/v1/write",
                V1,
                snappy(&version_1(&[(metric, "past", now() - 400 * 86_400_000, 60.0)]))
            )
            .0,
        204
    );
    wait_for("the late reading", || (late() == before + 1.0).then_some(()));
    assert_eq!(stored(service, "past").len(), 2, "it is there for SQL");

    let (status, answer) = service.post(
        "/api/v1/write",
        V1,
        snappy(&version_1(&[(metric, "never", i64::MAX, 31.5), (metric, "kept", now(), 31.5)])),
    );
    assert_eq!(status, 400, "{answer}");
    assert!(answer.starts_with("1 of 2 points refused (time 1), the rest is stored: "), "{answer}");
    assert_eq!((stored(service, "never").len(), stored(service, "kept").len()), (0, 1));
}

#[test]
fn a_unit_that_does_not_fit_refuses_its_series_by_name_and_keeps_the_rest() {
    let Shared { service, _folder } = &service();
    let metric = "coolant_supply_temperature";
    let expected = "coolant_supply_temperature (\"coolant_supply_temperature\" of ";
    let (status, answer) = service.post("/api/v1/write", V2, snappy(&version_2(metric, "unit", "kW", 31.5)));
    assert_eq!(status, 400, "{answer}");
    assert!(
        answer.contains(&format!(
            "{expected}remote_write) comes in \"kW\", expected \"Cel\": set the source's unit"
        )),
        "{answer}"
    );

    let (status, answer) = service.post(
        "/v1/metrics",
        &[("content-type", "application/x-protobuf")],
        otlp(metric, "unit", "Celsus", 31.5),
    );
    assert_eq!(status, 200, "OTLP tells of refused points in its answer: {answer}");
    assert!(answer.contains("comes in the unknown unit \"Celsus\""), "{answer}");

    let answer = export(service, otlp(metric, "unit", "kW", 31.5)).expect("an answer with a partial success");
    let answer = ExportMetricsServiceResponse::decode(answer.as_slice())
        .expect("an answer of OTLP")
        .partial_success
        .expect("a partial success");
    assert_eq!(answer.rejected_data_points, 1);
    assert!(answer.error_message.contains(&format!("{expected}otlp) comes in \"kW\"")), "{answer:?}");
    assert_eq!(stored(service, "unit"), []);
}
