//! Remote write 1.0: `prometheus.WriteRequest`.

use bytes::Bytes;

use super::histograms::{self, Part};
use super::{SOURCE, add_sample};
use crate::decoded::{DecodeError, Decoded, Metadata, SourceKind};
use crate::key;
use crate::protobuf::{Message, Torn, Value, put_bytes};

const MESSAGE: &str = "prometheus.WriteRequest";

/// About how many bytes a series with one sample takes.
const SERIES_BYTES: usize = 150;

/// Decodes an uncompressed `prometheus.WriteRequest`.
///
/// Labels are not looked at here: they are the series' key as they lie in the request.
///
/// # Errors
/// [`DecodeError::Torn`] for anything that is not such a message; [`DecodeError::TooLarge`] beyond
/// [`PARTS_MAX`](crate::decoded::PARTS_MAX).
pub fn decode_v1(body: Bytes) -> Result<Decoded, DecodeError> {
    let torn = |torn| DecodeError::torn(MESSAGE, torn);
    let mut decoded = Decoded::new(SOURCE, body.clone());
    decoded.expect_series(body.len() / SERIES_BYTES);
    let mut request = Message::new(&body);
    while let Some((field, value)) = request.next().map_err(torn)? {
        match field {
            1 => {
                let bytes = value.bytes().map_err(torn)?;
                add_series(&mut decoded, bytes, request.position() - bytes.len())?;
            }
            3 => {
                let metadata = read_metadata(value.bytes().map_err(torn)?).map_err(torn)?;
                decoded.add_metadata(metadata);
            }
            _ => {}
        }
    }
    Ok(decoded)
}

/// Adds a `TimeSeries` {labels = 1, samples = 2, exemplars = 3, histograms = 4} that begins at `offset` of the body.
///
/// Every known sender writes the labels first, so that they are one span and each field is looked at once.
#[inline]
fn add_series(decoded: &mut Decoded, bytes: &[u8], offset: usize) -> Result<(), DecodeError> {
    let mut message = Message::new(bytes);
    let labels_end = message.skip_run(1).map_err(|torn| DecodeError::torn(MESSAGE, torn))?;
    let (points, unsupported) = (decoded.points().len(), decoded.unsupported);
    let series = decoded.add_borrowed_series(offset, offset + labels_end)?;
    if add_samples(decoded, message, series)? == Labels::Follow {
        decoded.drop_last_series(points);
        decoded.unsupported = unsupported;
        return add_scattered_series(decoded, bytes);
    }
    if decoded.points().len() == points {
        decoded.drop_last_series(points);
    }
    if decoded.unsupported.histograms != unsupported.histograms {
        return add_histograms(decoded, bytes);
    }
    Ok(())
}

/// Whether labels come behind the samples.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Labels {
    Ended,
    Follow,
}

#[inline]
fn add_samples(decoded: &mut Decoded, mut message: Message<'_>, series: u32) -> Result<Labels, DecodeError> {
    let torn = |torn| DecodeError::torn(MESSAGE, torn);
    while let Some((field, value)) = message.next().map_err(torn)? {
        match field {
            1 => return Ok(Labels::Follow),
            2 => add_sample(decoded, MESSAGE, series, value.bytes().map_err(torn)?)?,
            3 => decoded.unsupported.exemplars += 1,
            4 => decoded.unsupported.histograms += 1,
            _ => {}
        }
    }
    Ok(Labels::Ended)
}

/// Adds a series whose labels are not in one place: they are copied together.
fn add_scattered_series(decoded: &mut Decoded, bytes: &[u8]) -> Result<(), DecodeError> {
    let torn = |torn| DecodeError::torn(MESSAGE, torn);
    let (mut labels, mut rest) = (Vec::new(), Vec::new());
    let mut message = Message::new(bytes);
    let mut before = 0;
    while let Some((field, value)) = message.next().map_err(torn)? {
        if field == 1 {
            value.bytes().map_err(torn)?;
        }
        let into = if field == 1 { &mut labels } else { &mut rest };
        into.extend_from_slice(&bytes[before..message.position()]);
        before = message.position();
    }
    let points = decoded.points().len();
    let series = decoded.add_copied_series(|key| key.extend_from_slice(&labels))?;
    add_samples(decoded, Message::new(&rest), series)?;
    if decoded.points().len() == points {
        decoded.drop_last_series(points);
    }
    add_histograms(decoded, bytes)
}

/// Adds the counts and sums of a series' native histograms, if it has any.
#[cold]
fn add_histograms(decoded: &mut Decoded, bytes: &[u8]) -> Result<(), DecodeError> {
    histograms::add(decoded, MESSAGE, bytes, 4, |out, part, kind| {
        put_labels(out, bytes, part);
        key::put_kind(out, kind);
    })
}

/// Appends the labels of a series, of which the metric's name gets the suffix of a part. What is no label stays as it
/// is: it is refused when the labels are read.
fn put_labels(out: &mut Vec<u8>, series: &[u8], part: Part) {
    let mut message = Message::new(series);
    while let Ok(Some((field, value))) = message.next() {
        let (1, Value::Bytes(label)) = (field, value) else { continue };
        match read_label(label) {
            Ok((name @ b"__name__", value)) if !value.is_empty() => {
                key::put_label(out, name, &[value, part.suffix()].concat());
            }
            Ok(_) | Err(_) => put_bytes(out, key::LABEL, label),
        }
    }
}

/// Reads a `Label` {name = 1, value = 2}.
fn read_label(bytes: &[u8]) -> Result<(&[u8], &[u8]), Torn> {
    let (mut name, mut value): (&[u8], &[u8]) = (&[], &[]);
    let mut message = Message::new(bytes);
    while let Some((field, given)) = message.next()? {
        match field {
            1 => name = given.bytes()?,
            2 => value = given.bytes()?,
            _ => {}
        }
    }
    Ok((name, value))
}

/// Reads a `MetricMetadata` {type = 1, metric_family_name = 2, help = 4, unit = 5}.
fn read_metadata(bytes: &[u8]) -> Result<Metadata, Torn> {
    let mut metadata = Metadata { name: String::new(), unit: String::new(), kind: SourceKind::Unsaid };
    let mut message = Message::new(bytes);
    while let Some((field, value)) = message.next()? {
        match field {
            // Protobuf keeps the low 32 bits of a longer number.
            1 => metadata.kind = metric_type(value.varint()? as u32),
            2 => metadata.name = String::from_utf8_lossy(value.bytes()?).into_owned(),
            5 => metadata.unit = String::from_utf8_lossy(value.bytes()?).into_owned(),
            _ => {}
        }
    }
    Ok(metadata)
}

/// `MetricType`, the same numbers in both versions.
pub(super) const fn metric_type(number: u32) -> SourceKind {
    match number {
        1 => SourceKind::Counter,
        2 => SourceKind::Gauge,
        _ => SourceKind::Unsaid,
    }
}
