//! Our decoders against prost, which is slower and known to be right, and against noise.

use ingest::decoded::Decoded;
use ingest::{DecodeError, PointKind};
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, ArrayValue, KeyValue, any_value};
use opentelemetry_proto::tonic::metrics::v1::exponential_histogram_data_point::Buckets;
use opentelemetry_proto::tonic::metrics::v1::summary_data_point::ValueAtQuantile;
use opentelemetry_proto::tonic::metrics::v1::{
    ExponentialHistogram, ExponentialHistogramDataPoint, Gauge, Histogram, HistogramDataPoint, Metric,
    NumberDataPoint, ResourceMetrics, ScopeMetrics, Sum, Summary, SummaryDataPoint, metric,
    number_data_point,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use proptest::prelude::*;
use prost::Message;
use telemetry::EventTime;
use wire::prometheus::{v1, v2};

#[path = "../../fuzz/oracle.rs"]
mod oracle; // what prost reads, and what holds of all bytes

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
    prop::collection::vec(("[a-z_:][a-z0-9_]{0,20}", labels(), samples), 0..12)
}

/// Count, sum, milliseconds, and the hint on resets.
type Native = (u64, f64, i64, i32);

fn natives() -> impl Strategy<Value = Vec<Native>> {
    prop::collection::vec((any::<u64>(), sum(), moment(), 0i32..4), 0..3)
}

fn sum() -> impl Strategy<Value = f64> {
    prop_oneof![prop::num::f64::ANY, Just(f64::from_bits(ingest::remote_write::STALE_MARKER_BITS))]
}

fn request_of_v1(series: &[Generated], natives: &[Native]) -> v1::WriteRequest {
    let native = |(count, sum, timestamp, reset_hint): &Native| v1::Histogram {
        count: Some(v1::histogram::Count::CountInt(*count)),
        sum: *sum,
        timestamp: *timestamp,
        reset_hint: *reset_hint,
    };
    let timeseries = series.iter().map(|(name, labels, samples)| v1::TimeSeries {
        labels: labels
            .iter()
            .cloned()
            .chain([("__name__".to_owned(), name.clone())])
            .map(|(name, value)| v1::Label { name, value })
            .collect(),
        samples: samples
            .iter()
            .map(|(timestamp, value)| v1::Sample { value: *value, timestamp: *timestamp })
            .collect(),
        exemplars: vec![v1::Exemplar::default()],
        histograms: natives.iter().map(native).collect(),
    });
    v1::WriteRequest { timeseries: timeseries.collect(), metadata: Vec::new() }
}

fn request_of_v2(series: &[Generated], natives: &[Native]) -> v2::Request {
    let mut symbols = vec![String::new()];
    let mut refer = |text: &str| {
        symbols.push(text.to_owned());
        symbols.len() as u32 - 1
    };
    let native = |(count, sum, timestamp, reset_hint): &Native| v2::Histogram {
        count: Some(v2::histogram::Count::CountFloat(*count as f64)),
        sum: *sum,
        timestamp: *timestamp,
        reset_hint: *reset_hint,
    };
    let timeseries = series
        .iter()
        .enumerate()
        .map(|(at, (name, labels, samples))| v2::TimeSeries {
            labels_refs: labels
                .iter()
                .flat_map(|(name, value)| [name.clone(), value.clone()])
                .chain(["__name__".to_owned(), name.clone()])
                .map(|text| refer(&text))
                .collect(),
            samples: samples
                .iter()
                .map(|(timestamp, value)| v2::Sample { value: *value, timestamp: *timestamp })
                .collect(),
            histograms: natives.iter().map(native).collect(),
            metadata: Some(v2::Metadata { r#type: at as i32 % 4, help_ref: 0, unit_ref: refer("Cel") }),
            ..Default::default()
        })
        .collect();
    v2::Request { symbols, timeseries }
}

/// A metric of each kind in turn.
fn request_of_otlp(
    series: &[Generated],
    resource: &[(String, String)],
    natives: &[Native],
    whole: bool,
) -> ExportMetricsServiceRequest {
    let attributes = |labels: &[(String, String)]| -> Vec<KeyValue> {
        labels.iter().map(|(name, value)| super::senders::key_value(name, value)).collect()
    };
    let metrics = series.iter().enumerate().map(|(at, (name, labels, samples))| {
        let labels = attributes(labels);
        let temporality = at as i32 / 5 % 3;
        let numbers = samples.iter().map(|(millis, value)| NumberDataPoint {
            attributes: labels.clone(),
            time_unix_nano: (millis.unsigned_abs() + 1) * 1_000,
            value: Some(if whole {
                number_data_point::Value::AsInt(*millis)
            } else {
                number_data_point::Value::AsDouble(*value)
            }),
            ..Default::default()
        });
        let extreme = |sum: f64| whole.then_some(sum - 1.0);
        let data = match at % 5 {
            0 => metric::Data::Gauge(Gauge { data_points: numbers.collect() }),
            1 => metric::Data::Sum(Sum {
                data_points: numbers.collect(),
                aggregation_temporality: temporality,
                is_monotonic: whole,
            }),
            2 => metric::Data::Histogram(Histogram {
                data_points: natives
                    .iter()
                    .map(|(count, sum, time, flags)| HistogramDataPoint {
                        attributes: labels.clone(),
                        time_unix_nano: time.unsigned_abs(),
                        count: *count,
                        sum: extreme(*sum),
                        min: extreme(*sum),
                        max: Some(*sum),
                        flags: *flags as u32,
                        bucket_counts: vec![1, 2],
                        explicit_bounds: vec![0.5],
                        ..Default::default()
                    })
                    .collect(),
                aggregation_temporality: temporality,
            }),
            3 => metric::Data::ExponentialHistogram(ExponentialHistogram {
                data_points: natives
                    .iter()
                    .map(|(count, sum, time, flags)| ExponentialHistogramDataPoint {
                        attributes: labels.clone(),
                        time_unix_nano: time.unsigned_abs(),
                        count: *count,
                        sum: Some(*sum),
                        min: Some(*sum),
                        max: extreme(*sum),
                        flags: *flags as u32,
                        scale: 3,
                        zero_count: 7,
                        positive: Some(Buckets { offset: -3, bucket_counts: vec![1, 2, 3] }),
                        ..Default::default()
                    })
                    .collect(),
                aggregation_temporality: temporality,
            }),
            _ => metric::Data::Summary(Summary {
                data_points: natives
                    .iter()
                    .map(|(count, sum, time, flags)| SummaryDataPoint {
                        attributes: labels.clone(),
                        time_unix_nano: time.unsigned_abs(),
                        count: *count,
                        sum: *sum,
                        flags: *flags as u32,
                        quantile_values: [0.0, 0.5, 0.99, 1.0, 1.5, f64::NAN]
                            .map(|quantile| ValueAtQuantile { quantile, value: *sum })
                            .to_vec(),
                        ..Default::default()
                    })
                    .collect(),
            }),
        };
        Metric { name: name.clone(), unit: "Cel".into(), data: Some(data), ..Default::default() }
    });
    ExportMetricsServiceRequest {
        resource_metrics: vec![ResourceMetrics {
            resource: Some(Resource { attributes: attributes(resource), ..Default::default() }),
            scope_metrics: vec![ScopeMetrics { metrics: metrics.collect(), ..Default::default() }],
            ..Default::default()
        }],
    }
}

/// Bytes with a few of them changed.
fn damaged(mut bytes: Vec<u8>, changes: &[(prop::sample::Index, u8)]) -> Vec<u8> {
    for (at, byte) in changes {
        if !bytes.is_empty() {
            let at = at.index(bytes.len());
            bytes[at] = *byte;
        }
    }
    bytes
}

fn changes() -> impl Strategy<Value = Vec<(prop::sample::Index, u8)>> {
    prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..3)
}

proptest! {
    #[test]
    fn remote_write_1_reads_what_prost_reads(series in series(), natives in natives(), changes in changes()) {
        let request = request_of_v1(&series, &natives);
        let bytes = request.encode_to_vec();
        oracle::remote_write_v1(&bytes);
        oracle::remote_write_v1(&damaged(bytes.clone(), &changes));
        let decoded = ingest::remote_write::decode_v1(bytes.into()).unwrap();
        let exemplars = series.len() as u64;
        let histograms = exemplars * natives.len() as u64;
        prop_assert_eq!((decoded.unsupported.exemplars, decoded.unsupported.histograms), (exemplars, histograms));
    }

    #[test]
    fn remote_write_2_reads_what_prost_reads(series in series(), natives in natives(), changes in changes()) {
        let bytes = request_of_v2(&series, &natives).encode_to_vec();
        oracle::remote_write_v2(&bytes);
        oracle::remote_write_v2(&damaged(bytes, &changes));
    }

    #[test]
    fn otlp_reads_what_prost_reads(
        series in series(), resource in labels(), natives in natives(), whole in any::<bool>(), changes in changes(),
    ) {
        let bytes = request_of_otlp(&series, &resource, &natives, whole).encode_to_vec();
        oracle::otlp(&bytes);
        oracle::otlp(&damaged(bytes, &changes));
    }

    #[test]
    fn noise_is_read_or_refused_and_never_more(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        oracle::remote_write_v1(&bytes);
        oracle::remote_write_v2(&bytes);
        oracle::otlp(&bytes);
        for decode in [ingest::remote_write::decode_v1, ingest::remote_write::decode_v2, ingest::otlp::decode] {
            if let Ok(decoded) = decode(bytes.clone().into()) {
                let _ = super::senders::front().take_in(&decoded, EventTime::MINIMUM);
            }
        }
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
fn sums_say_how_they_add_up() {
    let sum = |temporality: i32, is_monotonic| {
        let data_points = vec![super::senders::point(&[("rack".into(), "r1".into())], 0, 1.0)];
        let data = metric::Data::Sum(Sum { data_points, aggregation_temporality: temporality, is_monotonic });
        Metric { name: format!("sum_{temporality}_{is_monotonic}"), data: Some(data), ..Default::default() }
    };
    let request = super::senders::export(vec![sum(1, true), sum(2, true), sum(2, false), sum(0, true)]);
    let decoded = ingest::otlp::decode(request.encode_to_vec().into()).unwrap();
    use ingest::SourceKind::{Counter, Delta, Gauge, Unspecified};
    let kinds: Vec<_> = (0..4).map(|series| decoded.labels(series).unwrap().kind).collect();
    assert_eq!(kinds, [Delta, Counter, Gauge, Unspecified]);
    let taken = super::senders::take(&decoded);
    assert_eq!((taken.report.accepted, taken.report.refused_points()), (3, 1));
    assert!(
        taken.report.refusal_text().contains("no aggregation temporality"),
        "{}",
        taken.report.refusal_text()
    );
}

/// Name, labels and unit of each reading with its kinds and value.
fn told(decoded: &Decoded) -> Vec<String> {
    let point = |point: &ingest::Point| {
        let labels = decoded.labels(point.series as usize).unwrap();
        let pairs: Vec<String> =
            labels.labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let pairs = pairs.join(",");
        format!(
            "{}{{{pairs}}} {:?} {:?} {:?} {}",
            labels.name, labels.unit, labels.kind, point.kind, point.value
        )
    };
    decoded.points().iter().map(point).collect()
}

fn otlp(name: &str, data: metric::Data) -> Decoded {
    let metric = Metric { name: name.into(), unit: "s".into(), data: Some(data), ..Default::default() };
    ingest::otlp::decode(super::senders::export(vec![metric]).encode_to_vec().into()).unwrap()
}

#[test]
fn a_histogram_is_its_count_sum_and_extremes_without_its_buckets() {
    let attributes = vec![super::senders::key_value("rack", "r1")];
    let point = HistogramDataPoint {
        attributes: attributes.clone(),
        time_unix_nano: 1_000,
        count: 3,
        sum: Some(4.5),
        min: Some(0.5),
        max: Some(3.0),
        bucket_counts: vec![1, 2],
        explicit_bounds: vec![1.0],
        ..Default::default()
    };
    let negative = HistogramDataPoint { sum: None, min: None, max: None, ..point.clone() };
    let ended = HistogramDataPoint { flags: 1, count: 0, ..negative.clone() };
    let data_points = vec![point, negative, ended];
    let decoded =
        otlp("wait", metric::Data::Histogram(Histogram { data_points, aggregation_temporality: 1 }));
    assert_eq!(
        told(&decoded),
        [
            "wait_count{rack=r1} \"\" Delta Reading 3",
            "wait_sum{rack=r1} \"s\" Delta Reading 4.5",
            "wait_min{rack=r1} \"s\" Gauge Reading 0.5",
            "wait_max{rack=r1} \"s\" Gauge Reading 3",
            "wait_count{rack=r1} \"\" Delta Reading 3",
            "wait_count{rack=r1} \"\" Delta Stale 0",
            "wait_sum{rack=r1} \"s\" Delta Stale 0",
        ]
    );
    let report = super::senders::take(&decoded).report;
    assert_eq!((report.accepted, report.unsupported.histograms), (7, 3));
    assert!(report.warning_text().contains("3 histogram points were stored without their buckets"));

    let point = ExponentialHistogramDataPoint {
        attributes,
        time_unix_nano: 1_000,
        count: 2,
        sum: Some(1.0),
        max: Some(0.75),
        positive: Some(Buckets { offset: 0, bucket_counts: vec![2] }),
        ..Default::default()
    };
    let data_points = vec![point];
    let decoded = otlp(
        "wait",
        metric::Data::ExponentialHistogram(ExponentialHistogram { data_points, aggregation_temporality: 2 }),
    );
    assert_eq!(
        told(&decoded),
        [
            "wait_count{rack=r1} \"\" Counter Reading 2",
            "wait_sum{rack=r1} \"s\" Counter Reading 1",
            "wait_max{rack=r1} \"s\" Gauge Reading 0.75",
        ]
    );
}

#[test]
fn a_summary_is_its_count_sum_and_quantiles() {
    let quantile = |quantile, value| ValueAtQuantile { quantile, value };
    let point = SummaryDataPoint {
        attributes: vec![
            super::senders::key_value("rack", "r1"),
            super::senders::key_value("quantile", "mine"),
        ],
        time_unix_nano: 1_000,
        count: 3,
        sum: 0.0,
        quantile_values: vec![
            quantile(0.0, 1.0),
            quantile(0.99, 2.0),
            quantile(1.0, 3.0),
            quantile(1.5, 4.0),
        ],
        ..Default::default()
    };
    let decoded = otlp("wait", metric::Data::Summary(Summary { data_points: vec![point] }));
    assert_eq!(
        told(&decoded),
        [
            "wait_count{rack=r1} \"\" Counter Reading 3",
            "wait_sum{rack=r1} \"s\" Counter Reading 0",
            "wait{quantile=0,rack=r1} \"s\" Gauge Reading 1",
            "wait{quantile=0.99,rack=r1} \"s\" Gauge Reading 2",
            "wait{quantile=1,rack=r1} \"s\" Gauge Reading 3",
        ]
    );
    assert_eq!(decoded.unsupported.summaries, 1, "a quantile of 1.5 is none");
}

#[test]
fn many_quantiles_or_a_long_resource_take_no_more_than_their_limits() {
    let point = SummaryDataPoint {
        attributes: vec![super::senders::key_value("note", &"x".repeat(60_000))],
        time_unix_nano: 1_000,
        quantile_values: vec![ValueAtQuantile::default(); 50_000],
        ..Default::default()
    };
    let data = metric::Data::Summary(Summary { data_points: vec![point] });
    let metric = Metric { name: "wait".into(), data: Some(data), ..Default::default() };
    let bytes = super::senders::export(vec![metric]).encode_to_vec();
    let message = ingest::otlp::decode(bytes.into()).unwrap_err().to_string();
    assert!(message.starts_with("bytes of all series' labels: 134"), "{message}");
}

#[test]
fn a_mapping_names_the_sum_of_a_histogram() {
    let document = "apiVersion: thermogate.dev/v1alpha1\nkind: Mapping\nmetadata: {name: m}\n\
                    rows:\n  - {metric: throttled_sum, signal: gpu_thermal_throttle_time, unit: s}\n";
    let document = telemetry::record::Document { name: "m.yaml".into(), text: document.into() };
    let mapping = telemetry::mapping::Mapping::with(&[document]).unwrap();
    let resolver = telemetry::mapping::Resolver::new(mapping, telemetry::site::Site::empty("s1"));
    let point = HistogramDataPoint {
        attributes: vec![super::senders::key_value("rack", "r1")],
        time_unix_nano: 1_000,
        count: 2,
        sum: Some(4.5),
        ..Default::default()
    };
    let data_points = vec![point];
    let decoded =
        otlp("throttled", metric::Data::Histogram(Histogram { data_points, aggregation_temporality: 1 }));
    let taken = ingest::Front::new(resolver, ingest::Limits::default())
        .take_in(&decoded, EventTime::MINIMUM)
        .unwrap();
    let declared = super::senders::declarations(&taken.records);
    let sum = declared.iter().find(|series| &*series.identity.signal == "gpu_thermal_throttle_time").unwrap();
    assert_eq!(sum.temporality, telemetry::record::Temporality::Delta);
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
