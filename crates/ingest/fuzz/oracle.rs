//! Requests read by our decoders and by prost, which is slower and known to be right.
//!
//! Of any bytes holds: nothing panics, no limit is exceeded, and what prost reads we read to the same points. Used by
//! the fuzzer and by the tests.

use std::collections::BTreeMap;

use bytes::Bytes;
use ingest::decoded::{KEY_BYTES_MAX, KEYS_BYTES_MAX, PARTS_MAX};
use ingest::remote_write::{STALE_MARKER_BITS, decode_v1, decode_v2};
use ingest::{DecodeError, Decoded, PointKind, SourceKind};
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value};
use opentelemetry_proto::tonic::metrics::v1::{Metric, metric, number_data_point};
use prost::Message;
use telemetry::EventTime;
use wire::prometheus::{v1, v2};

/// A point as prost reads it.
#[derive(Debug, Clone, PartialEq)]
struct Expected {
    /// `None`: its labels break the rules, and so refuse their request.
    series: Option<Series>,
    kind: PointKind,
    micros: i64,
    bits: u64,
}

#[derive(Debug, Clone, PartialEq)]
struct Series {
    name: String,
    unit: String,
    kind: SourceKind,
    /// By name; `None` where the value is written in a form of our own.
    labels: BTreeMap<String, Option<String>>,
}

/// Remote write 1.0.
pub fn remote_write_v1(bytes: &[u8]) {
    let theirs = v1::WriteRequest::decode(bytes).ok();
    let expected = theirs.map(|request| request.timeseries.iter().flat_map(series_of_v1).collect());
    compare(decode_v1(Bytes::copy_from_slice(bytes)), expected, bytes, |_| false);
}

/// Remote write 2.0.
pub fn remote_write_v2(bytes: &[u8]) {
    let theirs = v2::Request::decode(bytes).ok();
    let breaks_rules = |error: &DecodeError| {
        let text = error.to_string();
        ["symbols[0] is not", "an odd number", "is outside the table"].iter().any(|rule| text.contains(rule))
    };
    let expected = theirs.map(|request| {
        let of_series: Vec<[Vec<Expected>; 2]> =
            request.timeseries.iter().map(|series| series_of_v2(&request.symbols, series)).collect();
        let part = |part: usize| of_series.iter().flat_map(move |points| points[part].clone());
        part(0).chain(part(1)).collect()
    });
    compare(decode_v2(Bytes::copy_from_slice(bytes)), expected, bytes, breaks_rules);
}

/// OTLP metrics.
pub fn otlp(bytes: &[u8]) {
    let theirs = ExportMetricsServiceRequest::decode(bytes).ok();
    let expected = theirs.map(|request| {
        let mut points = Vec::new();
        for resource_metrics in &request.resource_metrics {
            let resource =
                resource_metrics.resource.as_ref().map_or(&[][..], |resource| &resource.attributes);
            for scope_metrics in &resource_metrics.scope_metrics {
                let scope = scope_metrics.scope.as_ref().map_or(&[][..], |scope| &scope.attributes);
                for metric in &scope_metrics.metrics {
                    add_metric(&mut points, resource, scope, metric);
                }
            }
        }
        points
    });
    compare(ingest::otlp::decode(Bytes::copy_from_slice(bytes)), expected, bytes, |_| false);
}

/// What must hold whatever the bytes are.
///
/// - `expected`: what prost reads; `None` where it reads nothing.
/// - `may_refuse`: whether the protocol has a rule that this error is about and prost does not know.
fn compare(
    ours: Result<Decoded, DecodeError>,
    expected: Option<Vec<Expected>>,
    bytes: &[u8],
    may_refuse: impl Fn(&DecodeError) -> bool,
) {
    let decoded = match ours {
        Ok(decoded) => decoded,
        Err(error) => {
            let is_limit = matches!(error, DecodeError::TooLarge { .. });
            assert!(
                expected.is_none() || is_limit || may_refuse(&error),
                "prost reads what we refuse: {error}"
            );
            return;
        }
    };
    keeps_limits(&decoded, bytes);
    let Some(expected) = expected else { return };
    assert_eq!(decoded.points().len(), expected.len(), "as many points as prost reads");
    for (point, expected) in decoded.points().iter().zip(expected) {
        assert_eq!(
            (point.kind, point.time.unix_micros(), point.value.to_bits()),
            (expected.kind, expected.micros, expected.bits)
        );
        let labels = match (decoded.labels(point.series as usize), expected.series) {
            // Nested too deep, or a value that protobuf would merge of two.
            (Err(_), _) => continue,
            (Ok(labels), Some(series)) => (labels, series),
            (Ok(labels), None) => panic!("labels that break the rules are read: {labels:?}"),
        };
        let (ours, series) = labels;
        assert_eq!((ours.name, ours.unit, ours.kind), (&*series.name, &*series.unit, series.kind));
        let mut known: BTreeMap<&str, &str> =
            ours.labels.iter().map(|(name, value)| (&**name, &**value)).collect();
        for (name, value) in &series.labels {
            let ours = known.remove(name.as_str());
            if let Some(value) = value {
                assert_eq!(ours.unwrap_or_default(), value, "label {name:?}");
            }
        }
        assert!(known.is_empty(), "labels that prost does not read: {known:?}");
    }
}

fn keeps_limits(decoded: &Decoded, bytes: &[u8]) {
    assert!(decoded.points().len() <= PARTS_MAX.min(bytes.len()));
    assert!(decoded.series_count() <= decoded.points().len());
    let keys = (0..decoded.series_count()).map(|series| decoded.key(series).len());
    assert!(keys.clone().all(|length| length <= KEY_BYTES_MAX));
    assert!(keys.sum::<usize>() <= KEYS_BYTES_MAX + bytes.len());
}

/// Pairs of Prometheus as a series; `suffix` is what its name ends in.
fn series_of_pairs(
    pairs: impl Iterator<Item = (String, String)>,
    suffix: &str,
    unit: &str,
    kind: SourceKind,
) -> Option<Series> {
    let mut labels = BTreeMap::new();
    for (name, value) in pairs {
        if name.is_empty() || labels.insert(name, Some(value)).is_some() {
            return None;
        }
    }
    let name = labels.remove("__name__").flatten().filter(|name| !name.is_empty())?;
    Some(Series { name: name + suffix, unit: unit.to_owned(), kind, labels })
}

/// A reading of Prometheus, whose time is in milliseconds.
fn reading(series: &Option<Series>, milliseconds: i64, value: f64, is_stale: bool) -> Expected {
    const YEARS_1_TO_9999: std::ops::RangeInclusive<i64> = -62_135_596_800_000_000..=253_402_300_799_999_999;
    let micros = milliseconds.checked_mul(1_000).filter(|micros| YEARS_1_TO_9999.contains(micros));
    let kind = match (micros, is_stale) {
        (None, _) => PointKind::OutOfTime,
        (Some(_), true) => PointKind::Stale,
        (Some(_), false) => PointKind::Reading,
    };
    let micros = micros.unwrap_or(EventTime::MINIMUM.unix_micros());
    Expected { series: series.clone(), kind, micros, bits: value.to_bits() }
}

fn is_stale(value: f64) -> bool {
    value.to_bits() == STALE_MARKER_BITS
}

/// Time, count, sum, and whether it is of a gauge.
type NativeHistogram = (i64, f64, f64, bool);

/// The counts of all histograms of a series, and then the sums.
fn parts(
    histograms: &[NativeHistogram],
    series: impl Fn(&str, SourceKind) -> Option<Series>,
) -> Vec<Expected> {
    let is_gauge = histograms.iter().any(|(.., is_gauge)| *is_gauge);
    let kind = if is_gauge { SourceKind::Gauge } else { SourceKind::Counter };
    let (counts, sums) = (series("_count", kind), series("_sum", kind));
    let counts =
        histograms.iter().map(|(time, count, sum, _)| reading(&counts, *time, *count, is_stale(*sum)));
    let sums = histograms.iter().map(|(time, _, sum, _)| reading(&sums, *time, *sum, is_stale(*sum)));
    counts.chain(sums).collect()
}

fn series_of_v1(series: &v1::TimeSeries) -> Vec<Expected> {
    let pairs = || series.labels.iter().map(|label| (label.name.clone(), label.value.clone()));
    let of_samples = series_of_pairs(pairs(), "", "", SourceKind::Unsaid);
    let samples = series
        .samples
        .iter()
        .map(|sample| reading(&of_samples, sample.timestamp, sample.value, is_stale(sample.value)));
    let histograms: Vec<NativeHistogram> = series
        .histograms
        .iter()
        .map(|histogram| {
            let count = match histogram.count {
                Some(v1::histogram::Count::CountInt(count)) => count as f64,
                Some(v1::histogram::Count::CountFloat(count)) => count,
                None => 0.0,
            };
            (histogram.timestamp, count, histogram.sum, histogram.reset_hint == 3)
        })
        .collect();
    samples.chain(parts(&histograms, |suffix, kind| series_of_pairs(pairs(), suffix, "", kind))).collect()
}

/// The samples of a series, and the parts of its histograms.
fn series_of_v2(symbols: &[String], series: &v2::TimeSeries) -> [Vec<Expected>; 2] {
    // References outside the table refuse the request; then nothing of this is compared.
    let text = |reference: u32| symbols.get(reference as usize).cloned().unwrap_or_default();
    let pairs = || {
        series
            .labels_refs
            .chunks(2)
            .map(|pair| (text(pair[0]), pair.get(1).copied().map(text).unwrap_or_default()))
    };
    let metadata = series.metadata.unwrap_or_default();
    let unit = text(metadata.unit_ref);
    let kind = match metadata.r#type {
        1 => SourceKind::Counter,
        2 => SourceKind::Gauge,
        _ => SourceKind::Unsaid,
    };
    let of_samples = series_of_pairs(pairs(), "", &unit, kind);
    let samples = series
        .samples
        .iter()
        .map(|sample| reading(&of_samples, sample.timestamp, sample.value, is_stale(sample.value)));
    let histograms: Vec<NativeHistogram> = series
        .histograms
        .iter()
        .map(|histogram| {
            let count = match histogram.count {
                Some(v2::histogram::Count::CountInt(count)) => count as f64,
                Some(v2::histogram::Count::CountFloat(count)) => count,
                None => 0.0,
            };
            (histogram.timestamp, count, histogram.sum, histogram.reset_hint == 3)
        })
        .collect();
    let unit_of = |suffix: &str| if suffix == "_sum" { &*unit } else { "" };
    let parts = parts(&histograms, |suffix, kind| series_of_pairs(pairs(), suffix, unit_of(suffix), kind));
    [samples.collect(), parts]
}

/// A metric of OTLP whose points are read.
struct Reader<'a> {
    points: &'a mut Vec<Expected>,
    resource: &'a [KeyValue],
    scope: &'a [KeyValue],
    metric: &'a Metric,
}

/// What all readings of one point share.
struct Point<'a> {
    nanos: u64,
    flags: u32,
    attributes: &'a [KeyValue],
}

fn add_metric(points: &mut Vec<Expected>, resource: &[KeyValue], scope: &[KeyValue], metric: &Metric) {
    let mut reader = Reader { points, resource, scope, metric };
    match &metric.data {
        None => {}
        Some(metric::Data::Gauge(gauge)) => {
            gauge.data_points.iter().for_each(|point| reader.add_number(point, SourceKind::Gauge));
        }
        Some(metric::Data::Sum(sum)) => {
            let kind = temporality(sum.aggregation_temporality, sum.is_monotonic);
            sum.data_points.iter().for_each(|point| reader.add_number(point, kind));
        }
        Some(metric::Data::Histogram(histogram)) => {
            let kind = temporality(histogram.aggregation_temporality, true);
            for point in &histogram.data_points {
                let shared =
                    Point { nanos: point.time_unix_nano, flags: point.flags, attributes: &point.attributes };
                reader.add_distribution(&shared, kind, point.count, [point.sum, point.min, point.max]);
            }
        }
        Some(metric::Data::ExponentialHistogram(histogram)) => {
            let kind = temporality(histogram.aggregation_temporality, true);
            for point in &histogram.data_points {
                let shared =
                    Point { nanos: point.time_unix_nano, flags: point.flags, attributes: &point.attributes };
                reader.add_distribution(&shared, kind, point.count, [point.sum, point.min, point.max]);
            }
        }
        Some(metric::Data::Summary(summary)) => {
            for point in &summary.data_points {
                let without: Vec<KeyValue> =
                    point.attributes.iter().filter(|pair| pair.key != "quantile").cloned().collect();
                let shared = Point { nanos: point.time_unix_nano, flags: point.flags, attributes: &without };
                let sum = Some(point.sum);
                reader.add_distribution(&shared, SourceKind::Counter, point.count, [sum, None, None]);
                let quantiles = point.quantile_values.iter();
                for at in quantiles.filter(|at| (0.0..=1.0).contains(&at.quantile)) {
                    let label = (at.quantile + 0.0).to_string();
                    reader.add(&shared, "", SourceKind::Gauge, Some(label), Some(at.value));
                }
            }
        }
    }
}

fn temporality(number: i32, is_monotonic: bool) -> SourceKind {
    match (number, is_monotonic) {
        (1, _) => SourceKind::Delta,
        (2, true) => SourceKind::Counter,
        (2, false) => SourceKind::Gauge,
        _ => SourceKind::Unspecified,
    }
}

impl Reader<'_> {
    fn add_number(
        &mut self,
        point: &opentelemetry_proto::tonic::metrics::v1::NumberDataPoint,
        kind: SourceKind,
    ) {
        let value = point.value.map(|value| match value {
            number_data_point::Value::AsDouble(value) => value,
            number_data_point::Value::AsInt(value) => value as f64,
        });
        let shared = Point { nanos: point.time_unix_nano, flags: point.flags, attributes: &point.attributes };
        self.add(&shared, "", kind, None, value);
    }

    /// Adds count, sum, minimum and maximum.
    fn add_distribution(&mut self, point: &Point<'_>, kind: SourceKind, count: u64, rest: [Option<f64>; 3]) {
        self.add(point, "_count", kind, None, Some(count as f64));
        let [sum, minimum, maximum] = rest;
        let sum = sum.or((point.flags & 1 != 0).then_some(0.0));
        let gauge = SourceKind::Gauge;
        for (suffix, kind, value) in [("_sum", kind, sum), ("_min", gauge, minimum), ("_max", gauge, maximum)]
        {
            if value.is_some() {
                self.add(point, suffix, kind, None, value);
            }
        }
    }

    fn add(
        &mut self,
        point: &Point<'_>,
        suffix: &str,
        kind: SourceKind,
        quantile: Option<String>,
        value: Option<f64>,
    ) {
        let name = format!("{}{suffix}", self.metric.name);
        let unit = if suffix == "_count" { String::new() } else { self.metric.unit.clone() };
        let lists = [attributes(self.resource), attributes(self.scope), attributes(point.attributes)];
        let labels = lists.into_iter().collect::<Option<Vec<_>>>().map(|lists| {
            // Later lists win.
            let mut labels: BTreeMap<_, _> = lists.into_iter().flatten().collect();
            labels.extend(quantile.map(|quantile| ("quantile".to_owned(), Some(quantile))));
            labels
        });
        let labels = labels.filter(|_| !self.metric.name.is_empty());
        let stale = point.flags & 1 != 0 || value.is_some_and(is_stale);
        let point_kind = match (point.nanos, value) {
            (0, _) => PointKind::OutOfTime,
            _ if stale => PointKind::Stale,
            (_, None) => PointKind::Null,
            (_, Some(_)) => PointKind::Reading,
        };
        self.points.push(Expected {
            series: labels.map(|labels| Series { name, unit, kind, labels }),
            kind: point_kind,
            micros: (point.nanos / 1_000) as i64,
            bits: value.unwrap_or(f64::NAN).to_bits(),
        });
    }
}

/// One list of attributes by their names; `None` where it breaks the rules.
fn attributes(list: &[KeyValue]) -> Option<BTreeMap<String, Option<String>>> {
    let mut attributes = BTreeMap::new();
    for pair in list {
        let value = match pair.value.as_ref().and_then(|value| value.value.as_ref()) {
            None => Some(String::new()),
            Some(any_value::Value::StringValue(text)) => Some(text.clone()),
            Some(any_value::Value::BoolValue(value)) => Some(value.to_string()),
            Some(any_value::Value::IntValue(value)) => Some(value.to_string()),
            Some(
                any_value::Value::DoubleValue(_)
                | any_value::Value::ArrayValue(_)
                | any_value::Value::KvlistValue(_)
                | any_value::Value::BytesValue(_)
                | any_value::Value::StringValueStrindex(_),
            ) => None,
        };
        if pair.key.is_empty() || attributes.insert(pair.key.clone(), value).is_some() {
            return None;
        }
    }
    Some(attributes)
}
