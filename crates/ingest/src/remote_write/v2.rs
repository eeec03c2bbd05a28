//! Remote write 2.0: `io.prometheus.write.v2.Request`.

use bytes::Bytes;

use super::histograms::{self, Part};
use super::v1::metric_type;
use super::{SOURCE, add_sample};
use crate::decoded::{DecodeError, Decoded, SourceKind};
use crate::key;
use crate::protobuf::{Message, Torn, Value};

const MESSAGE: &str = "io.prometheus.write.v2.Request";

/// Decodes an uncompressed `io.prometheus.write.v2.Request`.
///
/// Keys are written with the labels' text, in the form of 1.0, since a symbol's number changes from request to
/// request. Counts and sums of native histograms come after all samples.
///
/// # Errors
/// [`DecodeError::Torn`] for anything that is not such a message, for a first symbol that is not empty, an odd number
/// of references or one outside the table; [`DecodeError::TooLarge`] beyond [`PARTS_MAX`](crate::decoded::PARTS_MAX).
pub fn decode_v2(body: Bytes) -> Result<Decoded, DecodeError> {
    let torn = |torn| DecodeError::torn(MESSAGE, torn);
    let mut decoded = Decoded::new(SOURCE, body.clone());
    let mut symbols: Vec<&[u8]> = Vec::new();
    let mut all_series: Vec<&[u8]> = Vec::new();
    let mut request = Message::new(&body);
    while let Some((field, value)) = request.next().map_err(torn)? {
        match field {
            4 => symbols.push(value.bytes().map_err(torn)?),
            5 => all_series.push(value.bytes().map_err(torn)?),
            _ => {}
        }
    }
    if symbols.first().is_some_and(|first| !first.is_empty()) {
        return Err(broken("symbols[0] is not the empty string".to_owned()));
    }
    let mut head = Head::default();
    let mut with_histograms = Vec::new();
    for series in all_series {
        let histograms_before = decoded.unsupported.histograms;
        add_series(&mut decoded, &symbols, series, &mut head)?;
        if decoded.unsupported.histograms > histograms_before {
            with_histograms.push(series);
        }
    }
    let samples = decoded.points().len();
    for series in with_histograms {
        add_histograms(&mut decoded, &symbols, series, &mut head)?;
    }
    decoded.histogram_points = decoded.points().len() - samples;
    Ok(decoded)
}

fn broken(what: String) -> DecodeError {
    DecodeError::Torn { message: MESSAGE, at: 0, what }
}

/// A series without its samples.
#[derive(Default)]
struct Head {
    /// Indexes of names and values in turn.
    references: Vec<u64>,
    kind: SourceKind,
    /// Index of the unit.
    unit: u64,
    histograms: u64,
    exemplars: u64,
}

impl Head {
    /// Reads a `TimeSeries` {labels_refs = 1, samples = 2, histograms = 3, exemplars = 4, metadata = 5} but its samples.
    fn read(&mut self, symbols: &[&[u8]], bytes: &[u8]) -> Result<(), DecodeError> {
        let torn = |torn| DecodeError::torn(MESSAGE, torn);
        self.references.clear();
        (self.kind, self.unit, self.histograms, self.exemplars) = (SourceKind::Unsaid, 0, 0, 0);
        let mut message = Message::new(bytes);
        while let Some((field, value)) = message.next().map_err(torn)? {
            match field {
                1 => read_references(value, &mut self.references).map_err(torn)?,
                3 => self.histograms += 1,
                4 => self.exemplars += 1,
                5 => self.read_metadata(value.bytes().map_err(torn)?).map_err(torn)?,
                _ => {}
            }
        }
        if self.references.len() % 2 == 1 {
            return Err(broken(format!(
                "labels_refs holds {} references, an odd number",
                self.references.len()
            )));
        }
        if let Some(outside) = self
            .references
            .iter()
            .chain([&self.unit])
            .find(|reference| symbol(symbols, **reference).is_none())
        {
            return Err(broken(format!(
                "reference {outside} is outside the table of {} symbols",
                symbols.len()
            )));
        }
        Ok(())
    }

    /// Reads a `Metadata` {type = 1, help_ref = 3, unit_ref = 4}; of a repeated one the parts are merged.
    fn read_metadata(&mut self, bytes: &[u8]) -> Result<(), Torn> {
        let mut message = Message::new(bytes);
        while let Some((field, value)) = message.next()? {
            match field {
                // Protobuf keeps the low 32 bits of a longer number.
                1 => self.kind = metric_type(value.varint()? as u32),
                4 => self.unit = u64::from(value.varint()? as u32),
                _ => {}
            }
        }
        Ok(())
    }
}

/// Adds a series with its samples, and counts its histograms and exemplars.
fn add_series(
    decoded: &mut Decoded,
    symbols: &[&[u8]],
    bytes: &[u8],
    head: &mut Head,
) -> Result<(), DecodeError> {
    let torn = |torn| DecodeError::torn(MESSAGE, torn);
    head.read(symbols, bytes)?;
    decoded.unsupported.histograms += head.histograms;
    decoded.unsupported.exemplars += head.exemplars;
    let of = |reference: u64| symbol(symbols, reference).unwrap_or_default();
    let series = decoded.add_copied_series(|out| {
        for pair in head.references.chunks_exact(2) {
            key::put_label(out, of(pair[0]), of(pair[1]));
        }
        key::put_unit(out, of(head.unit));
        key::put_kind(out, head.kind);
    })?;
    let points_before = decoded.points().len();
    let mut message = Message::new(bytes);
    while let Some((field, value)) = message.next().map_err(torn)? {
        if field == 2 {
            add_sample(decoded, MESSAGE, series, value.bytes().map_err(torn)?)?;
        }
    }
    if decoded.points().len() == points_before {
        decoded.drop_last_series(points_before);
    }
    Ok(())
}

/// Adds the counts and sums of a series' native histograms.
fn add_histograms(
    decoded: &mut Decoded,
    symbols: &[&[u8]],
    bytes: &[u8],
    head: &mut Head,
) -> Result<(), DecodeError> {
    head.read(symbols, bytes)?;
    let of = |reference: u64| symbol(symbols, reference).unwrap_or_default();
    histograms::add(decoded, MESSAGE, bytes, 3, |out, part, kind| {
        for pair in head.references.chunks_exact(2) {
            match (of(pair[0]), of(pair[1])) {
                (name @ b"__name__", value) if !value.is_empty() => {
                    key::put_label(out, name, &[value, part.suffix()].concat());
                }
                (name, value) => key::put_label(out, name, value),
            }
        }
        if part == Part::Sum {
            key::put_unit(out, of(head.unit));
        }
        key::put_kind(out, kind);
    })
}

/// The symbol of this number; number 0 is the empty string even where there is no table.
fn symbol<'a>(symbols: &[&'a [u8]], reference: u64) -> Option<&'a [u8]> {
    match reference {
        0 => Some(&[]),
        _ => symbols.get(usize::try_from(reference).ok()?).copied(),
    }
}

/// References come packed; single ones are allowed by protobuf.
fn read_references(value: Value<'_>, references: &mut Vec<u64>) -> Result<(), Torn> {
    match value {
        Value::Varint(reference) => references.push(u64::from(reference as u32)),
        Value::Bytes(packed) => {
            let mut packed_message = Message::new(packed);
            while packed_message.position() < packed.len() {
                // Protobuf keeps the low 32 bits of a longer number.
                references.push(u64::from(packed_message.varint()? as u32));
            }
        }
        Value::Fixed64(_) | Value::Fixed32(_) => {
            value.bytes()?;
        }
    }
    Ok(())
}
