//! Prometheus remote write 1.0 and 2.0.
//!
//! HTTP body → **remote_write** → `decoded` → `front`. Field numbers: Prometheus `prompb/remote.proto`,
//! `prompb/types.proto` and `prompb/io/prometheus/write/v2/types.proto`.

mod v1; // labels as they lie in the request
mod v2; // labels by a table of symbols

mod histograms; // native histograms, as their counts and sums

pub mod server; // POST /api/v1/write

pub use v1::decode_v1;
pub use v2::decode_v2;

use telemetry::EventTime;

use crate::decoded::{DecodeError, Decoded, Point, PointKind};
use crate::protobuf::{Message, Torn};

/// The name of this source in mappings, declarations and metrics.
pub const SOURCE: &str = "remote_write";

/// The NaN that ends a series, compared by bits (Prometheus `model/value`: `StaleNaN`).
pub const STALE_MARKER_BITS: u64 = 0x7ff0_0000_0000_0002;

/// Reads a sample {value = 1 double, timestamp = 2 int64 ms} and adds it.
#[inline]
fn add_sample(
    decoded: &mut Decoded,
    message: &'static str,
    series: u32,
    bytes: &[u8],
) -> Result<(), DecodeError> {
    let (value, milliseconds) = read_sample(bytes).map_err(|torn| DecodeError::torn(message, torn))?;
    let kind = if value.to_bits() == STALE_MARKER_BITS { PointKind::Stale } else { PointKind::Reading };
    add_reading(decoded, series, kind, value, milliseconds)
}

#[inline]
fn add_reading(
    decoded: &mut Decoded,
    series: u32,
    kind: PointKind,
    value: f64,
    milliseconds: i64,
) -> Result<(), DecodeError> {
    decoded.add_point(
        match EventTime::from_unix_millis(milliseconds).filter(|time| crate::decoded::fits(*time)) {
            Some(time) => Point { series, kind, time, value },
            None => Point { series, kind: PointKind::OutOfTime, time: EventTime::MINIMUM, value },
        },
    )
}

#[inline]
fn read_sample(bytes: &[u8]) -> Result<(f64, i64), Torn> {
    let (mut value, mut milliseconds) = (0.0, 0);
    let mut message = Message::new(bytes);
    while let Some((field, given)) = message.next()? {
        match field {
            1 => value = f64::from_bits(given.fixed64()?),
            2 => milliseconds = given.varint()? as i64,
            _ => {}
        }
    }
    Ok((value, milliseconds))
}
