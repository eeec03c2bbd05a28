//! Our decoders against prost, which is slower and known to be right, and against noise.

use ingest::decoded::Decoded;
use ingest::{DecodeError, PointKind};
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, ArrayValue, KeyValue, any_value};
use opentelemetry_proto::tonic::metrics::v1::{
    Gauge, Histogram, HistogramDataPoint, Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, Sum,
    metric, number_data_point,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use proptest::prelude::*;
use prost::Message;
use telemetry::EventTime;
use wire::prometheus::{v1, v2};

/// A point as both sides see it: metric, labels, microseconds, bits of the value.
type Seen = (String, Vec<(String, String)>, i64, u64);

fn seen(decoded: &Decoded) -> Vec<Seen> {
    decoded
        .points()
        .iter()
        .map(|point| {
            let labels = decoded.labels(point.series as usize).unwrap();
            let pairs =
                labels.labels.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
            (labels.name.to_owned(), pairs, point.time.unix_micros(), point.value.to_bits())
        })
        .collect()
}

fn sorted(labels: impl Iterator<Item = (String, String)>) -> Vec<(String, String)> {
    let labels: std::collections::BTreeMap<String, String> =
        labels.filter(|(_, value)| !value.is_empty()).collect();
    labels.into_iter().collect()
}

/// Labels of one series: names differ, values may be empty.
fn labels() -> impl Strategy<Value = Vec<(String, String)>> {
    let label = ("[a-z][a-z0-9_]{0,12}", "[ -~é°]{0,20}");
    prop::collection::vec(label, 0..8).prop_map(|labels| {
        let unique: std::collections::BTreeMap<String, String> = labels.into_iter().collect();
        // In an order that is not the names'.
        unique.into_iter().rev().collect()
    })
}

fn moment() -> impl Strategy<Value = i64> {
    -60_000_000_000_000i64..250_000_000_000_000
}

/// Name, labels, samples (milliseconds, value).
type Generated = (String, Vec<(String, String)>, Vec<(i64, f64)>);

fn series() -> impl Strategy<Value = Vec<Generated>> {
    let samples = prop::collection::vec((moment(), prop::num::f64::ANY), 0..4);
    prop::collection::vec(("[a-z_:][a-z0-9_]{0,20}", labels(), samples), 0..6)
}

proptest! {
    #[test]
    fn remote_write_1_reads_what_prost_reads(series in series()) {
        let request = v1::WriteRequest {
            timeseries: series.iter().map(|(name, labels, samples)| v1::TimeSeries {
                labels: labels.iter().cloned().chain([("__name__".to_owned(), name.clone())])
                    .map(|(name, value)| v1::Label { name, value }).collect(),
                samples: samples.iter().map(|(timestamp, value)| v1::Sample { value: *value, timestamp: *timestamp }).collect(),
                exemplars: vec![v1::Exemplar::default()],
                histograms: vec![v1::Histogram::default()],
            }).collect(),
            metadata: Vec::new(),
        };
        let bytes = request.encode_to_vec();
        let oracle = v1::WriteRequest::decode(&*bytes).unwrap();
        let expected: Vec<Seen> = oracle.timeseries.iter().flat_map(|series| {
            let name = series.labels.iter().find(|label| label.name == "__name__").unwrap().value.clone();
            let rest = series.labels.iter().filter(|label| label.name != "__name__");
            let labels = sorted(rest.map(|label| (label.name.clone(), label.value.clone())));
            series.samples.iter().map(move |sample| {
                (name.clone(), labels.clone(), sample.timestamp * 1_000, sample.value.to_bits())
            })
        }).collect();
        let decoded = ingest::remote_write::decode_v1(bytes.into()).unwrap();
        prop_assert_eq!(seen(&decoded), expected);
        let count = oracle.timeseries.len() as u64;
        prop_assert_eq!((decoded.unsupported.exemplars, decoded.unsupported.histograms), (count, count));
    }

    #[test]
    fn remote_write_2_reads_what_prost_reads(series in series()) {
        let mut symbols = vec![String::new()];
        let mut refer = |text: &str| { symbols.push(text.to_owned()); symbols.len() as u32 - 1 };
        let timeseries = series.iter().map(|(name, labels, samples)| v2::TimeSeries {
            labels_refs: labels.iter().flat_map(|(name, value)| [name.clone(), value.clone()])
                .chain(["__name__".to_owned(), name.clone()]).map(|text| refer(&text)).collect(),
            samples: samples.iter().map(|(timestamp, value)| v2::Sample { value: *value, timestamp: *timestamp }).collect(),
            metadata: Some(v2::Metadata { r#type: 2, help_ref: 0, unit_ref: refer("Cel") }),
            ..Default::default()
        }).collect();
        let request = v2::Request { symbols, timeseries };
        let bytes = request.encode_to_vec();
        let oracle = v2::Request::decode(&*bytes).unwrap();
        let expected: Vec<Seen> = oracle.timeseries.iter().flat_map(|series| {
            let text = |reference: u32| oracle.symbols[reference as usize].clone();
            let pairs: Vec<(String, String)> =
                series.labels_refs.chunks(2).map(|pair| (text(pair[0]), text(pair[1]))).collect();
            let name = pairs.iter().find(|(name, _)| name == "__name__").unwrap().1.clone();
            let labels = sorted(pairs.into_iter().filter(|(name, _)| name != "__name__"));
            series.samples.iter().map(move |sample| {
                (name.clone(), labels.clone(), sample.timestamp * 1_000, sample.value.to_bits())
            })
        }).collect();
        let decoded = ingest::remote_write::decode_v2(bytes.into()).unwrap();
        prop_assert_eq!(seen(&decoded), expected);
        prop_assert!((0..decoded.series_count()).all(|series| decoded.labels(series).unwrap().unit == "Cel"));
    }

    #[test]
    fn otlp_reads_what_prost_reads(series in series(), resource in labels(), whole in any::<bool>()) {
        let metrics = series.iter().map(|(name, labels, samples)| {
            let data_points = samples.iter().map(|(millis, value)| NumberDataPoint {
                attributes: labels.iter().map(|(name, value)| super::senders::key_value(name, value)).collect(),
                time_unix_nano: (millis.unsigned_abs() + 1) * 1_000,
                value: Some(if whole { number_data_point::Value::AsInt(*millis) } else { number_data_point::Value::AsDouble(*value) }),
                ..Default::default()
            }).collect();
            Metric { name: name.clone(), unit: "Cel".into(), data: Some(metric::Data::Gauge(Gauge { data_points })), ..Default::default() }
        }).collect();
        let attributes = resource.iter().map(|(name, value)| super::senders::key_value(name, value)).collect();
        let request = ExportMetricsServiceRequest { resource_metrics: vec![ResourceMetrics {
            resource: Some(Resource { attributes, ..Default::default() }),
            scope_metrics: vec![ScopeMetrics { metrics, ..Default::default() }],
            ..Default::default()
        }] };
        let bytes = request.encode_to_vec();
        let oracle = ExportMetricsServiceRequest::decode(&*bytes).unwrap();
        let mut expected: Vec<Seen> = Vec::new();
        for metric in &oracle.resource_metrics[0].scope_metrics[0].metrics {
            let Some(metric::Data::Gauge(gauge)) = &metric.data else { continue };
            for point in &gauge.data_points {
                let all = resource.iter().cloned().chain(point.attributes.iter().map(|pair| (pair.key.clone(), text(pair))));
                // The point's own word counts, even when it is empty.
                let all: std::collections::BTreeMap<String, String> = all.collect();
                let value = match point.value.unwrap() {
                    number_data_point::Value::AsDouble(value) => value,
                    number_data_point::Value::AsInt(value) => value as f64,
                };
                let micros = (point.time_unix_nano / 1_000) as i64;
                expected.push((metric.name.clone(), sorted(all.into_iter()), micros, value.to_bits()));
            }
        }
        prop_assert_eq!(seen(&ingest::otlp::decode(bytes.into()).unwrap()), expected);
    }

    #[test]
    fn noise_is_read_or_refused_and_never_more(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        for decode in [ingest::remote_write::decode_v1, ingest::remote_write::decode_v2, ingest::otlp::decode] {
            if let Ok(decoded) = decode(bytes.clone().into()) {
                prop_assert!(decoded.points().len() <= bytes.len());
                let _ = super::senders::front().take_in(&decoded, EventTime::MINIMUM);
            }
        }
    }

    #[test]
    fn a_damaged_request_is_read_as_prost_reads_it_or_refused(series in series(), at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let request = v1::WriteRequest {
            timeseries: series.iter().map(|(name, labels, samples)| v1::TimeSeries {
                labels: labels.iter().cloned().chain([("__name__".to_owned(), name.clone())])
                    .map(|(name, value)| v1::Label { name, value }).collect(),
                samples: samples.iter().map(|(timestamp, value)| v1::Sample { value: *value, timestamp: *timestamp }).collect(),
                ..Default::default()
            }).collect(),
            metadata: Vec::new(),
        };
        let mut bytes = request.encode_to_vec();
        if bytes.is_empty() {
            return Ok(());
        }
        let at = at.index(bytes.len());
        bytes[at] = byte;
        let oracle = v1::WriteRequest::decode(&*bytes);
        match ingest::remote_write::decode_v1(bytes.into()) {
            Ok(decoded) => if let Ok(oracle) = oracle {
                let expected: usize = oracle.timeseries.iter().map(|series| series.samples.len()).sum();
                prop_assert_eq!(decoded.points().len(), expected);
            },
            Err(_) => prop_assert!(oracle.is_err(), "we refuse nothing that prost reads"),
        }
    }
}

fn text(pair: &KeyValue) -> String {
    match pair.value.as_ref().and_then(|value| value.value.as_ref()) {
        Some(any_value::Value::StringValue(text)) => text.clone(),
        _ => String::new(),
    }
}

#[test]
fn attributes_that_are_no_text_are_written_as_json() {
    let value = |value| KeyValue {
        key: "k".into(),
        value: Some(AnyValue { value: Some(value) }),
        ..Default::default()
    };
    let cases = [
        (any_value::Value::BoolValue(true), "true"),
        (any_value::Value::IntValue(-7), "-7"),
        (any_value::Value::DoubleValue(0.5), "0.5"),
        (any_value::Value::BytesValue(vec![1, 2, 255]), "AQL/"),
        (
            any_value::Value::ArrayValue(ArrayValue {
                values: vec![
                    AnyValue { value: Some(any_value::Value::StringValue("a\"b".into())) },
                    AnyValue { value: Some(any_value::Value::IntValue(1)) },
                ],
            }),
            r#"["a\"b",1]"#,
        ),
    ];
    for (attribute, expected) in cases {
        let mut point = super::senders::point(&[], 0, 1.0);
        point.attributes = vec![value(attribute)];
        let request = super::senders::export(vec![super::senders::gauge("m", "", vec![point])]);
        let decoded = ingest::otlp::decode(request.encode_to_vec().into()).unwrap();
        assert_eq!(decoded.labels(0).unwrap().labels[0].1, expected);
    }
}

#[test]
fn labels_that_are_scattered_in_their_series_are_found() {
    // labels, sample, label: no known sender writes so, and protobuf allows it.
    let label = |name: &str, value: &str| {
        v1::TimeSeries {
            labels: vec![v1::Label { name: name.into(), value: value.into() }],
            ..Default::default()
        }
        .encode_to_vec()
    };
    let sample =
        v1::TimeSeries { samples: vec![v1::Sample { value: 1.0, timestamp: 5 }], ..Default::default() }
            .encode_to_vec();
    let series = [label("__name__", "m"), sample, label("rack", "r1")].concat();
    let mut request = vec![0x0a, series.len() as u8];
    request.extend(&series);
    let decoded = ingest::remote_write::decode_v1(request.into()).unwrap();
    assert_eq!(
        seen(&decoded),
        [("m".to_owned(), vec![("rack".to_owned(), "r1".to_owned())], 5_000, 1f64.to_bits())]
    );
}

#[test]
fn symbols_of_2_0_keep_their_rules() {
    let refused = |symbols: &[&str], labels_refs: &[u32]| {
        let request = v2::Request {
            symbols: symbols.iter().map(|symbol| (*symbol).to_owned()).collect(),
            timeseries: vec![v2::TimeSeries {
                labels_refs: labels_refs.to_vec(),
                samples: vec![v2::Sample { value: 1.0, timestamp: 1 }],
                ..Default::default()
            }],
        };
        ingest::remote_write::decode_v2(request.encode_to_vec().into()).err().map(|error| error.to_string())
    };
    let cases: [(&[&str], &[u32], &str); 4] = [
        (&["a", "b"], &[0, 1], "symbols[0] is not the empty string"),
        (&["", "__name__", "m"], &[1, 2, 1], "holds 3 references, an odd number"),
        (&["", "__name__", "m"], &[1, 3], "reference 3 is outside the table of 3 symbols"),
        (&[], &[1, 2], "reference 1 is outside the table of 0 symbols"),
    ];
    for (symbols, references, expected) in cases {
        let message = refused(symbols, references).unwrap();
        assert!(message.contains(expected), "{message}");
    }
    assert_eq!(refused(&["", "__name__", "m"], &[1, 2]), None);
}

#[test]
fn sums_say_how_they_add_up_and_histograms_are_counted() {
    let sum = |temporality: i32, is_monotonic| {
        let data_points = vec![super::senders::point(&[("rack".into(), "r1".into())], 0, 1.0)];
        let data = metric::Data::Sum(Sum { data_points, aggregation_temporality: temporality, is_monotonic });
        Metric { name: format!("sum_{temporality}_{is_monotonic}"), data: Some(data), ..Default::default() }
    };
    let data = metric::Data::Histogram(Histogram {
        data_points: vec![HistogramDataPoint::default(); 3],
        aggregation_temporality: 2,
    });
    let histogram = Metric { name: "h".into(), data: Some(data), ..Default::default() };
    let request =
        super::senders::export(vec![sum(1, true), sum(2, true), sum(2, false), sum(0, true), histogram]);
    let decoded = ingest::otlp::decode(request.encode_to_vec().into()).unwrap();
    use ingest::SourceKind::{Counter, Delta, Gauge, Unspecified};
    let kinds: Vec<_> = (0..4).map(|series| decoded.labels(series).unwrap().kind).collect();
    assert_eq!(kinds, [Delta, Counter, Gauge, Unspecified]);
    assert_eq!(decoded.unsupported.histograms, 3);
    let taken = super::senders::take(&decoded);
    assert_eq!((taken.report.accepted, taken.report.refused_points()), (3, 1));
    assert!(
        taken.report.refusal_text().contains("no aggregation temporality"),
        "{}",
        taken.report.refusal_text()
    );
    assert!(taken.report.warning_text().contains("3 histogram points"), "{}", taken.report.warning_text());
}

#[test]
fn a_point_without_recorded_value_ends_its_series() {
    let mut point = super::senders::point(&[("rack".into(), "r1".into())], 0, 0.0);
    point.value = None;
    point.flags = 1;
    let request = super::senders::export(vec![super::senders::gauge("coolant_flow", "L/min", vec![point])]);
    let decoded = ingest::otlp::decode(request.encode_to_vec().into()).unwrap();
    assert_eq!(decoded.points()[0].kind, PointKind::Stale);
}

#[test]
fn a_point_without_time_is_refused_by_name() {
    let mut point = super::senders::point(&[("rack".into(), "r1".into())], 0, 1.0);
    point.time_unix_nano = 0;
    let request = super::senders::export(vec![super::senders::gauge("coolant_flow", "L/min", vec![point])]);
    let taken = super::senders::take(&ingest::otlp::decode(request.encode_to_vec().into()).unwrap());
    assert!(taken.report.refusal_text().contains("a point has no time"), "{}", taken.report.refusal_text());
}

#[test]
fn snappy_is_checked_against_its_limit_before_anything_is_allocated() {
    // A declared length of 3 GiB and nothing behind it.
    let bomb = [0x80, 0x80, 0x80, 0x80, 0x0c, 0x00];
    let error = ingest::compression::snappy_block(&bomb, 64 << 20).unwrap_err();
    assert!(matches!(error, DecodeError::TooLarge { size: 3_221_225_472, .. }), "{error}");
    assert!(error.to_string().contains("raise ingest.decompressed_bytes_max"), "{error}");
    let lie = ingest::compression::snappy_block(&[0x80, 0x80, 0x80, 0x10, 0x00], 64 << 20).unwrap_err();
    assert!(lie.to_string().contains("cannot hold the declared"), "{lie}");
}

#[test]
fn a_small_request_cannot_ask_for_much_memory() {
    let long = |bytes: usize| super::senders::key_value("note", &"x".repeat(bytes));
    let request = |resource: KeyValue, points: usize| {
        let point = NumberDataPoint { time_unix_nano: 1_000, ..Default::default() };
        let mut request = super::senders::export(vec![super::senders::gauge("m", "", vec![point; points])]);
        request.resource_metrics[0].resource =
            Some(Resource { attributes: vec![resource], ..Default::default() });
        ingest::otlp::decode(request.encode_to_vec().into()).map(|decoded| decoded.points().len())
    };
    assert_eq!(request(long(60_000), 10), Ok(10));
    let message = request(long(70_000), 1).unwrap_err().to_string();
    assert!(message.starts_with("bytes of one series' labels: 70"), "{message}");
    let message = request(long(60_000), 5_000).unwrap_err().to_string();
    assert!(message.starts_with("bytes of all series' labels: 134"), "{message}");
    // A sample of two bytes stands for 24 bytes of memory.
    let labels = vec![v1::Label { name: "__name__".into(), value: "m".into() }];
    let mut series = v1::TimeSeries { labels, ..Default::default() }.encode_to_vec();
    series.extend([0x12, 0x00].repeat(ingest::decoded::PARTS_MAX + 1));
    let mut body = vec![0x0a];
    let mut length = series.len();
    while length >= 0x80 {
        body.push(length as u8 | 0x80);
        length >>= 7;
    }
    body.push(length as u8);
    body.extend(series);
    let message = ingest::remote_write::decode_v1(body.into()).unwrap_err().to_string();
    assert!(
        message.starts_with("points in one request: 4194305, more than the limit of 4194304"),
        "{message}"
    );
}
