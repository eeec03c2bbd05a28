//! OpenTelemetry metrics over OTLP.
//!
//! gRPC or HTTP body → **otlp** → `decoded` → `front`. Field numbers: `opentelemetry/proto/metrics/v1/metrics.proto`.

mod distribution; // histograms and summaries

pub mod grpc; // MetricsService on its own codec
pub mod http; // POST /v1/metrics

use bytes::Bytes;
use telemetry::EventTime;

use crate::decoded::{DecodeError, Decoded, Point, PointKind, SourceKind};
use crate::key;
use crate::protobuf::{Message, Torn, Value, put_bytes};
use crate::remote_write::STALE_MARKER_BITS;

/// The name of this source in mappings, declarations and metrics.
pub const SOURCE: &str = "otlp";

const MESSAGE: &str = "ExportMetricsServiceRequest";

/// `DataPointFlags.DATA_POINT_FLAGS_NO_RECORDED_VALUE_MASK`.
const NO_RECORDED_VALUE: u64 = 1;

/// Decodes an uncompressed `ExportMetricsServiceRequest`.
///
/// Gauges and sums become points as they are; histograms and summaries become the series `…_count` and `…_sum`, of a
/// histogram `…_min` and `…_max` where it has them, of a summary one with the label `quantile` for each quantile. What
/// their buckets say more is counted and dropped.
///
/// # Errors
/// [`DecodeError::Torn`] for anything that is not such a message; [`DecodeError::TooLarge`] beyond
/// [`PARTS_MAX`](crate::decoded::PARTS_MAX).
pub fn decode(body: Bytes) -> Result<Decoded, DecodeError> {
    let torn = |torn| DecodeError::torn(MESSAGE, torn);
    let mut decoded = Decoded::new(SOURCE, body.clone());
    for resource_metrics in repeated(&body, 1).map_err(torn)? {
        let resource = repeated(resource_metrics, 1).map_err(torn)?;
        for scope_metrics in repeated(resource_metrics, 2).map_err(torn)? {
            let scope = repeated(scope_metrics, 1).map_err(torn)?;
            let origin = Origin { resource: &resource, scope: &scope };
            for metric in repeated(scope_metrics, 2).map_err(torn)? {
                add_metric(&mut decoded, origin, metric)?;
            }
        }
    }
    Ok(decoded)
}

/// All fields of this number that hold bytes, in order.
fn repeated(bytes: &[u8], number: u32) -> Result<Vec<&[u8]>, Torn> {
    let mut found = Vec::new();
    let mut message = Message::new(bytes);
    while let Some((field, value)) = message.next()? {
        if field == number {
            found.push(value.bytes()?);
        }
    }
    Ok(found)
}

/// The fields of a `Metric` that hold its points.
const GAUGE: u32 = 5;
const SUM: u32 = 7;
const HISTOGRAM: u32 = 9;
const EXPONENTIAL_HISTOGRAM: u32 = 10;
const SUMMARY: u32 = 11;

/// `Resource` and `InstrumentationScope` of a metric; a repeated message means that its parts are merged.
#[derive(Clone, Copy)]
struct Origin<'a> {
    resource: &'a [&'a [u8]],
    scope: &'a [&'a [u8]],
}

/// A metric without its points.
#[derive(Clone, Copy)]
struct Header<'a> {
    origin: Origin<'a>,
    name: &'a [u8],
    unit: &'a [u8],
    kind: SourceKind,
}

/// Reads a `Metric` {name = 1, unit = 3, gauge = 5, sum = 7, histogram = 9, exponential_histogram = 10, summary = 11}.
fn add_metric(decoded: &mut Decoded, origin: Origin<'_>, bytes: &[u8]) -> Result<(), DecodeError> {
    let torn = |torn| DecodeError::torn(MESSAGE, torn);
    let mut header = Header { origin, name: &[], unit: &[], kind: SourceKind::Unsaid };
    // One of five; the last kind wins, parts of one kind are merged.
    let mut data: Vec<(u32, &[u8])> = Vec::new();
    let mut message = Message::new(bytes);
    while let Some((field, value)) = message.next().map_err(torn)? {
        match field {
            1 => header.name = value.bytes().map_err(torn)?,
            3 => header.unit = value.bytes().map_err(torn)?,
            GAUGE | SUM | HISTOGRAM | EXPONENTIAL_HISTOGRAM | SUMMARY => {
                data.retain(|(kind, _)| *kind == field);
                data.push((field, value.bytes().map_err(torn)?));
            }
            _ => {}
        }
    }
    header.kind = match data.first() {
        Some((SUM | HISTOGRAM | EXPONENTIAL_HISTOGRAM, _)) => sum_kind(&data).map_err(torn)?,
        Some((SUMMARY, _)) => SourceKind::Counter,
        Some(_) | None => SourceKind::Gauge,
    };
    for (field, part) in data {
        let points = repeated(part, 1).map_err(torn)?;
        let form = match field {
            HISTOGRAM => &distribution::HISTOGRAM,
            EXPONENTIAL_HISTOGRAM => &distribution::EXPONENTIAL_HISTOGRAM,
            SUMMARY => &distribution::SUMMARY,
            _ => {
                points.into_iter().try_for_each(|point| add_point(decoded, header, point))?;
                continue;
            }
        };
        points.into_iter().try_for_each(|point| distribution::add(decoded, header, form, point))?;
    }
    Ok(())
}

/// How the points of a `Sum` {aggregation_temporality = 2, is_monotonic = 3} add up, or those of a histogram
/// {aggregation_temporality = 2}, which has a sum only where that is monotonic.
fn sum_kind(data: &[(u32, &[u8])]) -> Result<SourceKind, Torn> {
    let is_sum = data.first().is_some_and(|(field, _)| *field == SUM);
    let (mut temporality, mut monotonic) = (0, !is_sum);
    for (_, part) in data {
        let mut message = Message::new(part);
        while let Some((field, value)) = message.next()? {
            match field {
                // Protobuf keeps the low 32 bits of a longer number.
                2 => temporality = value.varint()? as u32,
                3 if is_sum => monotonic = value.varint()? != 0,
                _ => {}
            }
        }
    }
    Ok(match (temporality, monotonic) {
        (1, _) => SourceKind::Delta,
        (2, true) => SourceKind::Counter,
        (2, false) => SourceKind::Gauge,
        _ => SourceKind::Unspecified,
    })
}

/// Reads a `NumberDataPoint` {time_unix_nano = 3, as_double = 4, exemplars = 5, as_int = 6, attributes = 7, flags = 8}.
fn add_point(decoded: &mut Decoded, header: Header<'_>, bytes: &[u8]) -> Result<(), DecodeError> {
    let torn = |torn| DecodeError::torn(MESSAGE, torn);
    let (mut nanoseconds, mut value, mut flags) = (0, None, 0);
    let mut message = Message::new(bytes);
    while let Some((field, given)) = message.next().map_err(torn)? {
        match field {
            3 => nanoseconds = given.fixed64().map_err(torn)?,
            4 => value = Some(f64::from_bits(given.fixed64().map_err(torn)?)),
            5 => decoded.unsupported.exemplars += 1,
            6 => value = Some(given.fixed64().map_err(torn)? as i64 as f64),
            7 => {
                given.bytes().map_err(torn)?;
            }
            8 => flags = given.varint().map_err(torn)?,
            _ => {}
        }
    }
    let series = decoded.add_copied_series(|out| put_key(out, header, bytes))?;
    add_reading(decoded, series, nanoseconds, value, flags)
}

/// Adds a reading of a series; `value` is `None` where the point has none.
#[inline]
fn add_reading(
    decoded: &mut Decoded,
    series: u32,
    nanoseconds: u64,
    value: Option<f64>,
    flags: u64,
) -> Result<(), DecodeError> {
    let stale =
        flags & NO_RECORDED_VALUE != 0 || value.is_some_and(|value| value.to_bits() == STALE_MARKER_BITS);
    let time = EventTime::from_unix_micros((nanoseconds / 1_000) as i64);
    let kind = match (nanoseconds, value) {
        (0, _) => PointKind::OutOfTime,
        _ if !crate::decoded::fits(time) => PointKind::OutOfTime,
        _ if stale => PointKind::Stale,
        (_, None) => PointKind::Null,
        (_, Some(_)) => PointKind::Reading,
    };
    decoded.add_point(Point { series, kind, time, value: value.unwrap_or(f64::NAN) })
}

/// Appends the part of a key that all points of a metric share.
#[inline]
fn put_header(out: &mut Vec<u8>, header: Header<'_>, suffix: &str) {
    for resource in header.origin.resource {
        put_bytes(out, key::RESOURCE, resource);
    }
    for scope in header.origin.scope {
        put_bytes(out, key::SCOPE, scope);
    }
    key::put_name(out, header.name, suffix.as_bytes());
    key::put_unit(out, header.unit);
    key::put_kind(out, header.kind);
}

/// Appends the key of a point's series.
fn put_key(out: &mut Vec<u8>, header: Header<'_>, point: &[u8]) {
    put_header(out, header, "");
    let mut message = Message::new(point);
    let mut before = 0;
    while let Ok(Some((field, value))) = message.next() {
        if let (7, Value::Bytes(_)) = (field, value) {
            put_bytes(out, key::ATTRIBUTES, &point[before..message.position()]);
        }
        before = message.position();
    }
}
