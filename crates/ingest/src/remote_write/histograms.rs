//! Native histograms: count and sum of each, as series of the names that a classic histogram gives them.
//!
//! Their buckets are not kept.

use super::{STALE_MARKER_BITS, add_reading};
use crate::decoded::{DecodeError, Decoded, PointKind, SourceKind};
use crate::protobuf::{Message, Torn};

/// `Histogram.ResetHint.GAUGE`: count and sum may go down.
const GAUGE: u32 = 3;

/// A part of all histograms of a series.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    Count,
    Sum,
}

impl Part {
    /// What the metric's name ends in.
    pub const fn suffix(self) -> &'static [u8] {
        match self {
            Self::Count => b"_count",
            Self::Sum => b"_sum",
        }
    }
}

struct Histogram {
    count: f64,
    sum: f64,
    milliseconds: i64,
    is_gauge: bool,
}

/// Adds the counts and the sums of a series' histograms, if it has any.
///
/// - `field`: the number of the field `histograms` in the series.
/// - `put_key`: appends the key of a part.
pub(super) fn add(
    decoded: &mut Decoded,
    message_name: &'static str,
    series: &[u8],
    field: u32,
    put_key: impl Fn(&mut Vec<u8>, Part, SourceKind),
) -> Result<(), DecodeError> {
    let histograms = read_all(series, field).map_err(|torn| DecodeError::torn(message_name, torn))?;
    if histograms.is_empty() {
        return Ok(());
    }
    let is_gauge = histograms.iter().any(|histogram| histogram.is_gauge);
    let kind = if is_gauge { SourceKind::Gauge } else { SourceKind::Counter };
    for part in [Part::Count, Part::Sum] {
        let series = decoded.add_copied_series(|out| put_key(out, part, kind))?;
        for Histogram { count, sum, milliseconds, .. } in &histograms {
            let value = match part {
                Part::Count => *count,
                Part::Sum => *sum,
            };
            // The marker stands in the sum and ends both.
            let kind = if sum.to_bits() == STALE_MARKER_BITS { PointKind::Stale } else { PointKind::Reading };
            add_reading(decoded, series, kind, value, *milliseconds)?;
        }
    }
    Ok(())
}

fn read_all(series: &[u8], histograms: u32) -> Result<Vec<Histogram>, Torn> {
    let mut found = Vec::new();
    let mut message = Message::new(series);
    while let Some((field, value)) = message.next()? {
        if field == histograms {
            found.push(read(value.bytes()?)?);
        }
    }
    Ok(found)
}

/// Reads a `Histogram` {count_int = 1, count_float = 2, sum = 3, reset_hint = 14, timestamp = 15}, the same in both
/// versions.
fn read(bytes: &[u8]) -> Result<Histogram, Torn> {
    let mut histogram = Histogram { count: 0.0, sum: 0.0, milliseconds: 0, is_gauge: false };
    let mut message = Message::new(bytes);
    while let Some((field, value)) = message.next()? {
        match field {
            1 => histogram.count = value.varint()? as f64,
            2 => histogram.count = f64::from_bits(value.fixed64()?),
            3 => histogram.sum = f64::from_bits(value.fixed64()?),
            // Protobuf keeps the low 32 bits of a longer number.
            14 => histogram.is_gauge = value.varint()? as u32 == GAUGE,
            15 => histogram.milliseconds = value.varint()? as i64,
            _ => {}
        }
    }
    Ok(histogram)
}
