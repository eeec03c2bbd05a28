//! A series' key: bytes that are equal exactly when a source means the same series in the same words.
//!
//! `decoded` → **key** → `front`. A key is itself a protobuf message, so that the labels of remote write 1.0 are a
//! key as they lie in the request:
//!
//! | field | holds | used by |
//! |---|---|---|
//! | 1 | a label {name = 1, value = 2}, repeated | remote write, files |
//! | 2, 3 | unit; [`SourceKind`] as a number | remote write 2.0, files, OTLP |
//! | 4, 5 | OTLP `Resource`; `InstrumentationScope` | OTLP |
//! | 6 | attributes of the point: `KeyValue` fields of number 7 | OTLP |
//! | 7 | the metric's name | OTLP |

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::decoded::SourceKind;
use crate::protobuf::{Message, Torn, Value, put_bytes, put_varint};

pub(crate) const LABEL: u32 = 1;
pub(crate) const UNIT: u32 = 2;
pub(crate) const KIND: u32 = 3;
pub(crate) const RESOURCE: u32 = 4;
pub(crate) const SCOPE: u32 = 5;
pub(crate) const ATTRIBUTES: u32 = 6;
pub(crate) const NAME: u32 = 7;

/// The label that holds the metric's name in Prometheus.
const METRIC_NAME_LABEL: &str = "__name__";

/// What a source says about a series.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceLabels<'a> {
    /// The metric's name.
    pub name: &'a str,
    /// The unit as the source spells it; empty when it names none.
    pub unit: &'a str,
    /// How its numbers add up.
    pub kind: SourceKind,
    /// Labels in order of their names, each name once, without empty values.
    pub labels: Vec<(Cow<'a, str>, Cow<'a, str>)>,
}

/// Why a label set refuses its request.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LabelError {
    /// A label without a name.
    #[error("a label has no name: give each label a name")]
    EmptyName,
    /// The same name twice.
    #[error("label {0:?} occurs twice: send each label once")]
    Duplicate(String),
    /// No metric name.
    #[error("the metric has no name: send the label __name__ or the field name")]
    NoMetricName,
    /// Text that is none.
    #[error("a label is not UTF-8: encode names and values as UTF-8")]
    NotText,
    /// Not a label set at all.
    #[error("the labels cannot be read: {0}")]
    Torn(&'static str),
}

impl From<Torn> for LabelError {
    fn from(torn: Torn) -> Self {
        Self::Torn(torn.what)
    }
}

/// Appends a label.
pub(crate) fn put_label(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    let length = 2 + varint_length(name.len()) + name.len() + varint_length(value.len()) + value.len();
    put_varint(out, u64::from(LABEL << 3 | 2));
    put_varint(out, length as u64);
    put_bytes(out, 1, name);
    put_bytes(out, 2, value);
}

/// Appends the metric's name, which ends in `suffix`.
pub(crate) fn put_name(out: &mut Vec<u8>, name: &[u8], suffix: &[u8]) {
    put_varint(out, u64::from(NAME << 3 | 2));
    put_varint(out, (name.len() + suffix.len()) as u64);
    out.extend_from_slice(name);
    out.extend_from_slice(suffix);
}

/// Appends the unit, unless there is none.
pub(crate) fn put_unit(out: &mut Vec<u8>, unit: &[u8]) {
    if !unit.is_empty() {
        put_bytes(out, UNIT, unit);
    }
}

/// Appends how the numbers add up, unless that is unsaid.
pub(crate) fn put_kind(out: &mut Vec<u8>, kind: SourceKind) {
    let number = match kind {
        SourceKind::Unsaid => return,
        SourceKind::Gauge => 1,
        SourceKind::Counter => 2,
        SourceKind::Delta => 3,
        SourceKind::Unspecified => 4,
    };
    put_varint(out, u64::from(KIND << 3));
    put_varint(out, number);
}

fn kind_of(number: u64) -> SourceKind {
    match number {
        1 => SourceKind::Gauge,
        2 => SourceKind::Counter,
        3 => SourceKind::Delta,
        4 => SourceKind::Unspecified,
        _ => SourceKind::Unsaid,
    }
}

/// Appends an attribute of a point: the bytes of a `KeyValue`.
pub(crate) fn put_attribute(out: &mut Vec<u8>, attribute: &[u8]) {
    let length = 1 + varint_length(attribute.len()) + attribute.len();
    put_varint(out, u64::from(ATTRIBUTES << 3 | 2));
    put_varint(out, length as u64);
    put_bytes(out, 7, attribute);
}

const fn varint_length(value: usize) -> usize {
    let bits = usize::BITS - value.leading_zeros();
    if bits == 0 { 1 } else { bits.div_ceil(7) as usize }
}

/// Reads what a key says.
///
/// # Errors
/// An empty or repeated name, no metric name, text that is not UTF-8. Empty values mean that there is no label.
pub(crate) fn read(key: &[u8]) -> Result<SourceLabels<'_>, LabelError> {
    let mut name = None;
    let mut unit = "";
    let mut kind = SourceKind::Unsaid;
    // Later lists win: a point's attributes over its scope's over its resource's.
    let (mut labels, mut resource, mut scope, mut point) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let mut message = Message::new(key);
    while let Some((field, value)) = message.next()? {
        match field {
            LABEL => labels.push(read_label(value.bytes()?)?),
            UNIT => unit = text(value.bytes()?)?,
            KIND => kind = kind_of(value.varint()?),
            RESOURCE => read_attributes(value.bytes()?, 1, &mut resource)?,
            SCOPE => read_attributes(value.bytes()?, 3, &mut scope)?,
            ATTRIBUTES => read_attributes(value.bytes()?, 7, &mut point)?,
            NAME => name = Some(text(value.bytes()?)?),
            _ => {}
        }
    }
    for list in [&mut labels, &mut resource, &mut scope, &mut point] {
        sort_unique(list)?;
    }
    if let Ok(at) = labels.binary_search_by(|(label, _)| label.as_ref().cmp(METRIC_NAME_LABEL)) {
        // Labels of remote write are always borrowed; attributes are, where they are text.
        if let Cow::Borrowed(value) = labels.remove(at).1 {
            name = Some(value);
        }
    }
    for lower in [scope, resource] {
        let missing: Vec<_> = lower
            .into_iter()
            .filter(|(label, _)| point.binary_search_by(|(known, _)| known.cmp(label)).is_err())
            .collect();
        point.extend(missing);
        point.sort();
    }
    labels.extend(point);
    labels.retain(|(_, value)| !value.is_empty());
    let name = name.filter(|name| !name.is_empty()).ok_or(LabelError::NoMetricName)?;
    Ok(SourceLabels { name, unit, kind, labels })
}

type Label<'a> = (Cow<'a, str>, Cow<'a, str>);

fn sort_unique(labels: &mut [Label<'_>]) -> Result<(), LabelError> {
    labels.sort();
    if labels.first().is_some_and(|(name, _)| name.is_empty()) {
        return Err(LabelError::EmptyName);
    }
    match labels.windows(2).find(|pair| pair[0].0 == pair[1].0) {
        Some(pair) => Err(LabelError::Duplicate(pair[0].0.clone().into_owned())),
        None => Ok(()),
    }
}

fn text(bytes: &[u8]) -> Result<&str, LabelError> {
    std::str::from_utf8(bytes).map_err(|_| LabelError::NotText)
}

fn read_label(bytes: &[u8]) -> Result<Label<'_>, LabelError> {
    let (mut name, mut value) = ("", "");
    let mut message = Message::new(bytes);
    while let Some((field, given)) = message.next()? {
        match field {
            1 => name = text(given.bytes()?)?,
            2 => value = text(given.bytes()?)?,
            _ => {}
        }
    }
    Ok((name.into(), value.into()))
}

/// Reads the `KeyValue`s {key = 1, value = 2} that are fields of number `number`.
fn read_attributes<'a>(bytes: &'a [u8], number: u32, into: &mut Vec<Label<'a>>) -> Result<(), LabelError> {
    let mut message = Message::new(bytes);
    while let Some((field, given)) = message.next()? {
        if field == number {
            let (name, value) = key_value(given.bytes()?)?;
            into.push((name.into(), attribute_text(value)?));
        }
    }
    Ok(())
}

/// Protobuf would merge them; no sender writes so.
const TWO_VALUES: LabelError = LabelError::Torn("an attribute has two values");

fn key_value(bytes: &[u8]) -> Result<(&str, &[u8]), LabelError> {
    let (mut name, mut value): (_, Option<&[u8]>) = ("", None);
    let mut message = Message::new(bytes);
    while let Some((field, given)) = message.next()? {
        match field {
            1 => name = text(given.bytes()?)?,
            2 if value.is_some() => return Err(TWO_VALUES),
            2 => value = Some(given.bytes()?),
            _ => {}
        }
    }
    Ok((name, value.unwrap_or_default()))
}

/// An `AnyValue` as text: what is not a string is written as JSON, bytes in base64
/// (OpenTelemetry, "Common concepts": representation of AnyValue for non-OTLP protocols).
fn attribute_text(bytes: &[u8]) -> Result<Cow<'_, str>, LabelError> {
    if let Some((1, Value::Bytes(string))) = last_field(bytes)? {
        return text(string).map(Cow::Borrowed);
    }
    Ok(match attribute_json(bytes, 0)? {
        serde_json::Value::Null => Cow::Borrowed(""),
        serde_json::Value::String(text) => Cow::Owned(text),
        json => Cow::Owned(json.to_string()),
    })
}

fn last_field(bytes: &[u8]) -> Result<Option<(u32, Value<'_>)>, LabelError> {
    let mut message = Message::new(bytes);
    let mut last = None;
    while let Some(field) = message.next()? {
        match (field.0, last) {
            (5 | 6, Some((before, _))) if before == field.0 => return Err(TWO_VALUES),
            (1..=7, _) => last = Some(field),
            _ => {}
        }
    }
    Ok(last)
}

fn attribute_json(bytes: &[u8], depth: usize) -> Result<serde_json::Value, LabelError> {
    if depth > 16 {
        return Err(LabelError::Torn("an attribute is nested more than 16 deep"));
    }
    Ok(match last_field(bytes)? {
        None => serde_json::Value::Null,
        Some((1, value)) => text(value.bytes()?)?.into(),
        Some((2, value)) => (value.varint()? != 0).into(),
        Some((3, value)) => (value.varint()? as i64).into(),
        Some((4, value)) => {
            let number = f64::from_bits(value.fixed64()?);
            serde_json::Number::from_f64(number)
                .map_or_else(|| number.to_string().into(), serde_json::Value::Number)
        }
        Some((5, value)) => {
            let mut values = Vec::new();
            let mut message = Message::new(value.bytes()?);
            while let Some((field, given)) = message.next()? {
                if field == 1 {
                    values.push(attribute_json(given.bytes()?, depth + 1)?);
                }
            }
            values.into()
        }
        Some((6, value)) => {
            let mut values = serde_json::Map::new();
            let mut message = Message::new(value.bytes()?);
            while let Some((field, given)) = message.next()? {
                if field == 1 {
                    let (name, value) = key_value(given.bytes()?)?;
                    values.insert(name.to_owned(), attribute_json(value, depth + 1)?);
                }
            }
            values.into()
        }
        Some((_, value)) => STANDARD.encode(value.bytes()?).into(),
    })
}

/// A series' labels for a message to people, as far as they can be read: `up{job="x"}`.
pub(crate) fn describe(key: &[u8]) -> String {
    const SHOWN_MAX: usize = 200;
    let mut shown = match read(key) {
        Ok(SourceLabels { name, labels, .. }) => {
            let labels: Vec<String> =
                labels.iter().map(|(name, value)| format!("{name}={value:?}")).collect();
            format!("{name}{{{}}}", labels.join(","))
        }
        Err(_) => {
            let text: String = String::from_utf8_lossy(key).chars().filter(|c| !c.is_control()).collect();
            format!("{text:?}")
        }
    };
    if shown.len() > SHOWN_MAX {
        let end = (0..=SHOWN_MAX).rev().find(|end| shown.is_char_boundary(*end)).unwrap_or(0);
        shown.truncate(end);
        shown.push('…');
    }
    shown
}
