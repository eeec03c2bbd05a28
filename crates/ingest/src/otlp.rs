//! OpenTelemetry metrics over OTLP.
//!
//! gRPC or HTTP body → **otlp** → `decoded` → `front`. Field numbers: `opentelemetry/proto/metrics/v1/metrics.proto`.

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
/// Gauges and sums become points; histograms and summaries are counted as unsupported.
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
            5 | 7 | 9 | 10 | 11 => {
                data.retain(|(kind, _)| *kind == field);
                data.push((field, value.bytes().map_err(torn)?));
            }
            _ => {}
        }
    }
    if data.first().is_some_and(|(field, _)| *field == 7) {
        header.kind = sum_kind(&data).map_err(torn)?;
    } else {
        header.kind = SourceKind::Gauge;
    }
    for (field, part) in data {
        let points = repeated(part, 1).map_err(torn)?;
        match field {
            9 | 10 => decoded.unsupported.histograms += points.len() as u64,
            11 => decoded.unsupported.summaries += points.len() as u64,
            _ => points.into_iter().try_for_each(|point| add_point(decoded, header, point))?,
        }
    }
    Ok(())
}

/// How the points of a `Sum` {aggregation_temporality = 2, is_monotonic = 3} add up.
fn sum_kind(data: &[(u32, &[u8])]) -> Result<SourceKind, Torn> {
    let (mut temporality, mut monotonic) = (0, false);
    for (_, part) in data {
        let mut message = Message::new(part);
        while let Some((field, value)) = message.next()? {
            match field {
                2 => temporality = value.varint()?,
                3 => monotonic = value.varint()? != 0,
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

/// Appends the key of a point's series.
fn put_key(out: &mut Vec<u8>, header: Header<'_>, point: &[u8]) {
    for resource in header.origin.resource {
        put_bytes(out, key::RESOURCE, resource);
    }
    for scope in header.origin.scope {
        put_bytes(out, key::SCOPE, scope);
    }
    put_bytes(out, key::NAME, header.name);
    key::put_unit(out, header.unit);
    key::put_kind(out, header.kind);
    let mut message = Message::new(point);
    let mut before = 0;
    while let Ok(Some((field, value))) = message.next() {
        if let (7, Value::Bytes(_)) = (field, value) {
            put_bytes(out, key::ATTRIBUTES, &point[before..message.position()]);
        }
        before = message.position();
    }
}
