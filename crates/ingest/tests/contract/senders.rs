//! Readings as their senders write them, and a front that takes them in.

use std::sync::Mutex;

use async_trait::async_trait;
use bytes::Bytes;
use ingest::front::{Front, Limits, Taken};
use ingest::{DecodeError, Decoded, Intake, IntakeError, Report};
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value};
use opentelemetry_proto::tonic::metrics::v1::{
    Gauge, Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, metric, number_data_point,
};
use prost::Message;
use telemetry::EventTime;
use telemetry::mapping::{Mapping, Resolver};
use telemetry::record::{Body, Flag, Record, SampleBatch, SeriesDeclaration};
use telemetry::site::Site;
use wire::prometheus::{v1, v2};

/// Event time 2026-01-05T10:00:00Z, from which tests count seconds.
pub const START_SECONDS: i64 = 1_767_607_200;

pub fn at(seconds: i64) -> EventTime {
    EventTime::from_unix_micros((START_SECONDS + seconds) * 1_000_000)
}

/// One reading as its sender sees it.
#[derive(Debug, Clone, PartialEq)]
pub struct Reading {
    pub metric: String,
    pub labels: Vec<(String, String)>,
    pub seconds: i64,
    pub value: f64,
}

pub fn reading(metric: &str, labels: &[(&str, &str)], seconds: i64, value: f64) -> Reading {
    let labels = labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Reading { metric: metric.to_owned(), labels, seconds, value }
}

/// Supply temperature of a rack.
pub fn supply(rack: &str, seconds: i64, celsius: f64) -> Reading {
    reading("coolant_supply_temperature", &[("rack", rack)], seconds, celsius)
}

/// A protocol: how its senders write, and how we read.
pub trait Source {
    /// How the contract names it.
    const NAME: &'static str;
    fn encode(readings: &[Reading]) -> Vec<u8>;
    fn decode(bytes: Vec<u8>) -> Result<Decoded, DecodeError>;
}

pub struct RemoteWrite1;
pub struct RemoteWrite2;
pub struct Otlp;

impl Source for RemoteWrite1 {
    const NAME: &'static str = "remote_write";

    fn encode(readings: &[Reading]) -> Vec<u8> {
        let timeseries = readings
            .iter()
            .map(|reading| {
                let mut labels = vec![v1::Label { name: "__name__".into(), value: reading.metric.clone() }];
                labels.extend(
                    reading
                        .labels
                        .iter()
                        .map(|(name, value)| v1::Label { name: name.clone(), value: value.clone() }),
                );
                let sample =
                    v1::Sample { value: reading.value, timestamp: (START_SECONDS + reading.seconds) * 1_000 };
                v1::TimeSeries { labels, samples: vec![sample], ..Default::default() }
            })
            .collect();
        v1::WriteRequest { timeseries, metadata: Vec::new() }.encode_to_vec()
    }

    fn decode(bytes: Vec<u8>) -> Result<Decoded, DecodeError> {
        ingest::remote_write::decode_v1(bytes.into())
    }
}

impl Source for RemoteWrite2 {
    const NAME: &'static str = "remote_write";

    fn encode(readings: &[Reading]) -> Vec<u8> {
        let mut symbols = vec![String::new()];
        let mut refer = |text: &str| {
            symbols.iter().position(|known| known == text).unwrap_or_else(|| {
                symbols.push(text.to_owned());
                symbols.len() - 1
            }) as u32
        };
        let timeseries = readings
            .iter()
            .map(|reading| {
                let mut labels_refs = vec![refer("__name__"), refer(&reading.metric)];
                for (name, value) in &reading.labels {
                    labels_refs.extend([refer(name), refer(value)]);
                }
                let sample =
                    v2::Sample { value: reading.value, timestamp: (START_SECONDS + reading.seconds) * 1_000 };
                v2::TimeSeries { labels_refs, samples: vec![sample], ..Default::default() }
            })
            .collect();
        v2::Request { symbols, timeseries }.encode_to_vec()
    }

    fn decode(bytes: Vec<u8>) -> Result<Decoded, DecodeError> {
        ingest::remote_write::decode_v2(bytes.into())
    }
}

pub fn key_value(name: &str, value: &str) -> KeyValue {
    let value = AnyValue { value: Some(any_value::Value::StringValue(value.to_owned())) };
    KeyValue { key: name.to_owned(), value: Some(value), ..Default::default() }
}

/// A request with these metrics, of a resource without attributes.
pub fn export(metrics: Vec<Metric>) -> ExportMetricsServiceRequest {
    let scope_metrics = vec![ScopeMetrics { metrics, ..Default::default() }];
    ExportMetricsServiceRequest {
        resource_metrics: vec![ResourceMetrics { scope_metrics, ..Default::default() }],
    }
}

pub fn point(labels: &[(String, String)], seconds: i64, value: f64) -> NumberDataPoint {
    NumberDataPoint {
        attributes: labels.iter().map(|(name, value)| key_value(name, value)).collect(),
        time_unix_nano: ((START_SECONDS + seconds) * 1_000_000_000) as u64,
        value: Some(number_data_point::Value::AsDouble(value)),
        ..Default::default()
    }
}

pub fn gauge(name: &str, unit: &str, data_points: Vec<NumberDataPoint>) -> Metric {
    let data = Some(metric::Data::Gauge(Gauge { data_points }));
    Metric { name: name.to_owned(), unit: unit.to_owned(), data, ..Default::default() }
}

impl Source for Otlp {
    const NAME: &'static str = "otlp";

    fn encode(readings: &[Reading]) -> Vec<u8> {
        let metrics = readings
            .iter()
            .map(|reading| {
                gauge(&reading.metric, "", vec![point(&reading.labels, reading.seconds, reading.value)])
            })
            .collect();
        export(metrics).encode_to_vec()
    }

    fn decode(bytes: Vec<u8>) -> Result<Decoded, DecodeError> {
        ingest::otlp::decode(bytes.into())
    }
}

pub fn resolver() -> Resolver {
    Resolver::new(Mapping::built_in(), Site::empty("s1"))
}

pub fn front() -> Front {
    Front::new(resolver(), Limits::default())
}

/// What a fresh front makes of a request, with the tick at [`START_SECONDS`].
pub fn take(decoded: &Decoded) -> Taken {
    front().take_in(decoded, at(0)).unwrap()
}

pub fn declarations(records: &[Record]) -> Vec<&SeriesDeclaration> {
    records
        .iter()
        .filter_map(|record| match &record.body {
            Body::Series(declaration) => Some(&**declaration),
            _ => None,
        })
        .collect()
}

pub fn batches(records: &[Record]) -> Vec<&SampleBatch> {
    records
        .iter()
        .filter_map(|record| match &record.body {
            Body::Samples(batch) => Some(batch),
            _ => None,
        })
        .collect()
}

/// Every sample: identity, seconds since [`START_SECONDS`], value, flag; in the order of the records.
pub fn samples(records: &[Record]) -> Vec<(String, f64, f64, Flag)> {
    let mut series = std::collections::BTreeMap::new();
    let mut all = Vec::new();
    for record in records {
        match &record.body {
            Body::Series(declaration) => {
                series.insert((record.partition, declaration.id), declaration.identity.to_string());
            }
            Body::Samples(batch) => {
                for index in 0..batch.len() {
                    let identity = series[&(record.partition, batch.series[index])].clone();
                    let seconds = (batch.time[index] - at(0)).as_seconds();
                    all.push((identity, seconds, batch.value[index], batch.flag(index)));
                }
            }
            _ => {}
        }
    }
    all
}

/// An intake for the servers' tests: a front, and a log that holds everything or refuses.
pub struct TestIntake {
    pub front: Mutex<Front>,
    pub log: Mutex<Vec<Record>>,
    /// Answer of the log, instead of taking anything.
    pub refuse: Mutex<Option<IntakeError>>,
}

impl TestIntake {
    pub fn new() -> std::sync::Arc<Self> {
        std::sync::Arc::new(Self {
            front: Mutex::new(front()),
            log: Mutex::default(),
            refuse: Mutex::default(),
        })
    }
}

#[async_trait]
impl Intake for TestIntake {
    async fn take_in(&self, decoded: Decoded) -> Result<Report, IntakeError> {
        if let Some(refused) = self.refuse.lock().unwrap().clone() {
            return Err(refused);
        }
        let mut front = self.front.lock().unwrap();
        let taken = front.take_in(&decoded, at(0))?;
        self.log.lock().unwrap().extend(taken.records);
        front.confirm(taken.ticket);
        Ok(taken.report)
    }
}

pub fn snappy(message: &[u8]) -> Bytes {
    snap::raw::Encoder::new().compress_vec(message).unwrap().into()
}
