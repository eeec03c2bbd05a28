//! Remote write 1.0: `prometheus.WriteRequest`.

use bytes::Bytes;

use super::{SOURCE, add_sample};
use crate::decoded::{DecodeError, Decoded, Metadata, SourceKind};
use crate::protobuf::{Message, Torn};

const MESSAGE: &str = "prometheus.WriteRequest";

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
fn add_series(decoded: &mut Decoded, bytes: &[u8], offset: usize) -> Result<(), DecodeError> {
    let torn = |torn| DecodeError::torn(MESSAGE, torn);
    let labels = label_span(bytes).map_err(torn)?;
    let series = match labels {
        Some((start, end)) => decoded.add_borrowed_series(offset + start, offset + end)?,
        None => decoded.add_copied_series(|key| copy_labels(bytes, key))?,
    };
    let points_before = decoded.points().len();
    let after_labels = labels.filter(|(start, _)| *start == 0).map_or(0, |(_, end)| end);
    let mut message = Message::new(&bytes[after_labels..]);
    while let Some((field, value)) = message.next().map_err(torn)? {
        match field {
            2 => add_sample(decoded, MESSAGE, series, value.bytes().map_err(torn)?)?,
            3 => decoded.unsupported.exemplars += 1,
            4 => decoded.unsupported.histograms += 1,
            _ => {}
        }
    }
    if decoded.points().len() == points_before {
        decoded.drop_last_series();
    }
    Ok(())
}

/// Where the labels are, when they are one span, as every known sender writes them.
fn label_span(bytes: &[u8]) -> Result<Option<(usize, usize)>, Torn> {
    let mut message = Message::new(bytes);
    let mut span: Option<(usize, usize)> = None;
    let mut scattered = false;
    let mut before = 0;
    while let Some((field, value)) = message.next()? {
        if field == 1 {
            value.bytes()?;
            scattered |= span.is_some_and(|(_, end)| end != before);
            span = Some((span.map_or(before, |(start, _)| start), message.position()));
        }
        before = message.position();
    }
    Ok(if scattered { None } else { span.or(Some((0, 0))) })
}

fn copy_labels(bytes: &[u8], key: &mut Vec<u8>) {
    let mut message = Message::new(bytes);
    loop {
        let before = message.position();
        match message.next() {
            Ok(Some((1, _))) => key.extend_from_slice(&bytes[before..message.position()]),
            Ok(Some(_)) => {}
            Ok(None) | Err(_) => return,
        }
    }
}

/// Reads a `MetricMetadata` {type = 1, metric_family_name = 2, help = 4, unit = 5}.
fn read_metadata(bytes: &[u8]) -> Result<Metadata, Torn> {
    let mut metadata = Metadata { name: String::new(), unit: String::new(), kind: SourceKind::Unsaid };
    let mut message = Message::new(bytes);
    while let Some((field, value)) = message.next()? {
        match field {
            1 => metadata.kind = metric_type(value.varint()?),
            2 => metadata.name = String::from_utf8_lossy(value.bytes()?).into_owned(),
            5 => metadata.unit = String::from_utf8_lossy(value.bytes()?).into_owned(),
            _ => {}
        }
    }
    Ok(metadata)
}

/// `MetricType`, the same numbers in both versions.
pub(super) const fn metric_type(number: u64) -> SourceKind {
    match number {
        1 => SourceKind::Counter,
        2 => SourceKind::Gauge,
        _ => SourceKind::Unsaid,
    }
}
