//! Histograms and summaries of OTLP: count, sum, extremes and quantiles of each point, as series of their own.
//!
//! Names and the label `quantile` are those that OpenTelemetry's translation to Prometheus gives them ("Prometheus and
//! OpenMetrics Compatibility"). Buckets are not kept.

use super::{Header, MESSAGE, NO_RECORDED_VALUE, add_reading, put_header};
use crate::decoded::{DecodeError, Decoded, SourceKind};
use crate::key;
use crate::protobuf::{Message, Torn, Value, put_bytes};

/// The label of a summary's quantile.
const QUANTILE: &str = "quantile";

/// Numbers of the fields of a point; time is 3, count 4 and sum 5 in all of them.
pub(super) struct Form {
    attributes: u32,
    flags: u32,
    exemplars: Option<u32>,
    minimum: Option<u32>,
    maximum: Option<u32>,
    quantiles: Option<u32>,
}

/// `HistogramDataPoint`.
pub(super) const HISTOGRAM: Form = Form {
    attributes: 9,
    flags: 10,
    exemplars: Some(8),
    minimum: Some(11),
    maximum: Some(12),
    quantiles: None,
};

/// `ExponentialHistogramDataPoint`.
pub(super) const EXPONENTIAL_HISTOGRAM: Form = Form {
    attributes: 1,
    flags: 10,
    exemplars: Some(11),
    minimum: Some(12),
    maximum: Some(13),
    quantiles: None,
};

/// `SummaryDataPoint`.
pub(super) const SUMMARY: Form =
    Form { attributes: 7, flags: 8, exemplars: None, minimum: None, maximum: None, quantiles: Some(6) };

/// What a point says.
#[derive(Default)]
struct Distribution {
    nanoseconds: u64,
    flags: u64,
    count: u64,
    /// Absent where observations may be negative.
    sum: Option<f64>,
    minimum: Option<f64>,
    maximum: Option<f64>,
    /// Quantile and value.
    quantiles: Vec<(f64, f64)>,
    exemplars: u64,
}

/// Adds the readings of a point.
///
/// Count and sum add up as the metric says, the others stand for themselves. `NO_RECORDED_VALUE` ends the series of
/// count and sum, and the others as far as the point names them.
pub(super) fn add(
    decoded: &mut Decoded,
    header: Header<'_>,
    form: &Form,
    bytes: &[u8],
) -> Result<(), DecodeError> {
    let point = read(form, bytes).map_err(|torn| DecodeError::torn(MESSAGE, torn))?;
    decoded.unsupported.exemplars += point.exemplars;
    let is_summary = form.quantiles.is_some();
    decoded.unsupported.histograms += u64::from(!is_summary);
    let ended = point.flags & NO_RECORDED_VALUE != 0;
    // The sum of a summary is always there: protobuf leaves out a zero.
    let sum = point.sum.or((is_summary || ended).then_some(0.0));
    let gauge = Header { kind: SourceKind::Gauge, ..header };
    let attributes = attributes(form, bytes);
    let readings = [
        ("_count", Header { unit: &[], ..header }, Some(point.count as f64)),
        ("_sum", header, sum),
        ("_min", gauge, point.minimum),
        ("_max", gauge, point.maximum),
    ];
    for (suffix, header, value) in readings {
        if value.is_some() {
            // A metric without a name stays one, and is refused.
            let suffix = if header.name.is_empty() { "" } else { suffix };
            let series = decoded.add_copied_series(|out| {
                put_header(out, header, suffix);
                out.extend_from_slice(&attributes);
            })?;
            add_reading(decoded, series, point.nanoseconds, value, point.flags)?;
        }
    }
    for (quantile, value) in point.quantiles {
        if !(0.0..=1.0).contains(&quantile) {
            decoded.unsupported.summaries += 1;
            continue;
        }
        // Not "-0".
        let label = (quantile + 0.0).to_string();
        let series = decoded.add_copied_series(|out| {
            put_header(out, gauge, "");
            out.extend_from_slice(&attributes);
            put_quantile(out, &label);
        })?;
        add_reading(decoded, series, point.nanoseconds, Some(value), point.flags)?;
    }
    Ok(())
}

fn read(form: &Form, bytes: &[u8]) -> Result<Distribution, Torn> {
    let number = |value: Value<'_>| value.fixed64().map(f64::from_bits);
    let mut point = Distribution::default();
    let mut message = Message::new(bytes);
    while let Some((field, value)) = message.next()? {
        let given = Some(field);
        match field {
            3 => point.nanoseconds = value.fixed64()?,
            4 => point.count = value.fixed64()?,
            5 => point.sum = Some(number(value)?),
            _ if field == form.attributes => {
                value.bytes()?;
            }
            _ if field == form.flags => point.flags = value.varint()?,
            _ if given == form.exemplars => point.exemplars += 1,
            _ if given == form.minimum => point.minimum = Some(number(value)?),
            _ if given == form.maximum => point.maximum = Some(number(value)?),
            _ if given == form.quantiles => point.quantiles.push(read_quantile(value.bytes()?)?),
            _ => {}
        }
    }
    Ok(point)
}

/// Reads a `ValueAtQuantile` {quantile = 1, value = 2}.
fn read_quantile(bytes: &[u8]) -> Result<(f64, f64), Torn> {
    let (mut quantile, mut value) = (0.0, 0.0);
    let mut message = Message::new(bytes);
    while let Some((field, given)) = message.next()? {
        match field {
            1 => quantile = f64::from_bits(given.fixed64()?),
            2 => value = f64::from_bits(given.fixed64()?),
            _ => {}
        }
    }
    Ok((quantile, value))
}

/// A point's attributes as they stand in a key. One that is named like the label of quantiles gives way to it.
fn attributes(form: &Form, point: &[u8]) -> Vec<u8> {
    let mut attributes = Vec::new();
    let mut message = Message::new(point);
    while let Ok(Some((field, value))) = message.next() {
        if let Value::Bytes(attribute) = value
            && field == form.attributes
            && !(form.quantiles.is_some() && is_named(attribute, QUANTILE))
        {
            key::put_attribute(&mut attributes, attribute);
        }
    }
    attributes
}

/// Whether a `KeyValue` {key = 1} has this name.
fn is_named(attribute: &[u8], name: &str) -> bool {
    let mut message = Message::new(attribute);
    let mut found = false;
    while let Ok(Some((field, value))) = message.next() {
        if field == 1 {
            found = value == Value::Bytes(name.as_bytes());
        }
    }
    found
}

/// Appends the label of a quantile: `KeyValue` {key = 1, value = 2 {string_value = 1}}.
fn put_quantile(out: &mut Vec<u8>, quantile: &str) {
    let (mut attribute, mut value) = (Vec::new(), Vec::new());
    put_bytes(&mut value, 1, quantile.as_bytes());
    put_bytes(&mut attribute, 1, QUANTILE.as_bytes());
    put_bytes(&mut attribute, 2, &value);
    key::put_attribute(out, &attribute);
}
