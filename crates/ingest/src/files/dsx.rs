//! Recorded messages of the NVIDIA DSX Exchange BMS bus: CSV `offset,topic,payload`, one publish a row.
//!
//! Topics are `BMS/v1/{PUB or integration}/{Value or Metadata}/{objectType}/{pointType}/{tagPath}`. A value can be
//! understood only with its metadata, so it waits for it.

use std::collections::{BTreeMap, VecDeque};
use std::path::{Path, PathBuf};

use serde::Deserialize;
use telemetry::{EventTime, Microseconds};

use super::cell::{Cell, Cells};
use super::options::{FileError, FileOptions, Format};
use super::row::{Keys, Reading, Row, Rows, UnreadableRow, What, put_series};
use super::table::Table;

/// The name of this source in mappings, declarations and metrics.
pub const SOURCE: &str = "dsx_bms";

/// What stands for the time of publishing in the payloads of a recording.
const PLACEHOLDER: &str = "{{timestamp_ms}}";

/// Values that wait for their metadata; more are dropped and counted.
const WAITING_MAX: usize = 10_000;

/// The messages of a file.
pub(super) struct DsxRows {
    path: PathBuf,
    file: usize,
    table: Table,
    columns: [usize; 3],
    start: Option<EventTime>,
    number: u64,
    /// Number of a point's key, by its topic below `Value` or `Metadata`.
    points: BTreeMap<String, u32>,
    /// Values before their metadata.
    waiting: VecDeque<(String, Message)>,
    /// Rows that can be read now.
    ready: VecDeque<Result<Row, UnreadableRow>>,
}

/// A value with its row.
#[derive(Debug, Clone)]
struct Message {
    number: u64,
    line: u64,
    time: EventTime,
    what: What,
}

/// The payload of a value: these three fields and no other.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Value {
    value: Option<f64>,
    timestamp: i64,
    quality: i64,
}

impl DsxRows {
    pub fn open(path: &Path, file: usize, options: &FileOptions) -> Result<Self, FileError> {
        let table = Table::open(path, &FileOptions { format: Some(Format::DsxBms), ..options.clone() })?;
        let names = table.columns();
        let find = |name: &str| {
            names.iter().position(|column| column == name).ok_or_else(|| FileError::Columns {
                path: path.to_owned(),
                message: format!(
                    "there is no column {name:?}: recorded messages have offset, topic and payload"
                ),
            })
        };
        let columns = [find("offset")?, find("topic")?, find("payload")?];
        Ok(Self {
            path: path.to_owned(),
            file,
            table,
            columns,
            start: options.start,
            number: 0,
            points: BTreeMap::new(),
            waiting: VecDeque::new(),
            ready: VecDeque::new(),
        })
    }

    /// Reads the current row; what it makes readable goes to `ready`.
    fn read(&mut self, number: u64, keys: &mut Keys) -> Result<(), String> {
        let text = |column: usize| match self.table.cell(column) {
            Cell::Text(text) => text,
            _ => "",
        };
        let [offset, topic, payload] = self.columns.map(text);
        let published =
            self.start.map(|start| offset_length(offset).map(|length| start + length)).transpose()?;
        let payload = match published {
            // The bus counts milliseconds.
            Some(time) => payload.replace(PLACEHOLDER, &time.unix_micros().div_euclid(1_000).to_string()),
            None if payload.contains(PLACEHOLDER) => {
                return Err(format!(
                    "the payload has {PLACEHOLDER} for its time: say when the recording began with --start"
                ));
            }
            None => payload.to_owned(),
        };
        let (kind, point) = split_topic(topic)?;
        let point = point.to_owned();
        match kind {
            "Metadata" => {
                let metadata: serde_json::Map<String, serde_json::Value> = serde_json::from_str(&payload)
                    .map_err(|error| format!("the metadata is no JSON object: {error}"))?;
                let key = intern(&point, &metadata, keys)?;
                self.points.insert(point.clone(), key);
                if let Some(time) = published {
                    self.ready.push_back(Ok(Row { time, number, readings: Vec::new(), absent: 0 }));
                }
                self.release(&point, key);
            }
            _ => {
                let message = read_value(&payload, number, self.table.line())?;
                match self.points.get(&point) {
                    Some(key) => self.ready.push_back(Ok(row(*key, &message))),
                    None => self.wait(point, message),
                }
            }
        }
        Ok(())
    }

    fn wait(&mut self, point: String, message: Message) {
        if self.waiting.len() == WAITING_MAX
            && let Some((point, dropped)) = self.waiting.pop_front()
        {
            self.drop_unknown(&point, &dropped);
        }
        self.waiting.push_back((point, message));
    }

    /// Values that waited for this point's metadata.
    fn release(&mut self, point: &str, key: u32) {
        let (released, waiting) =
            std::mem::take(&mut self.waiting).into_iter().partition(|(of, _)| of == point);
        self.waiting = waiting;
        let released: VecDeque<(String, Message)> = released;
        self.ready.extend(released.iter().map(|(_, message)| Ok(row(key, message))));
    }

    fn drop_unknown(&mut self, point: &str, message: &Message) {
        self.ready.push_back(Err(UnreadableRow {
            file: self.file,
            row: message.number,
            line: message.line,
            message: format!("no metadata came for {point:?}, so its value means nothing"),
        }));
    }
}

impl Rows for DsxRows {
    fn next(&mut self, keys: &mut Keys) -> Result<Option<Result<Row, UnreadableRow>>, FileError> {
        loop {
            if let Some(row) = self.ready.pop_front() {
                return Ok(Some(row));
            }
            let Some(whole) = self.table.advance()? else {
                let Some((point, message)) = self.waiting.pop_front() else { return Ok(None) };
                self.drop_unknown(&point, &message);
                continue;
            };
            let number = self.number;
            self.number += 1;
            if let Err(message) = whole.and_then(|()| self.read(number, keys)) {
                if number == 0 {
                    return Err(FileError::Row { path: self.path.clone(), line: self.table.line(), message });
                }
                let line = self.table.line();
                self.ready.push_back(Err(UnreadableRow { file: self.file, row: number, line, message }));
            }
        }
    }
}

fn row(key: u32, message: &Message) -> Row {
    let reading = Reading { key, what: message.what.clone() };
    Row { time: message.time, number: message.number, readings: vec![reading], absent: 0 }
}

/// `Value` or `Metadata`, and the point: objectType, pointType and tagPath, the same in both.
fn split_topic(topic: &str) -> Result<(&str, &str), String> {
    let refused = || {
        format!(
            "topic {topic:?} is not BMS/v1/{{PUB or integration}}/{{Value or Metadata}}/{{objectType}}/{{pointType}}/{{tagPath}}"
        )
    };
    let rest = topic.strip_prefix("BMS/v1/").ok_or_else(refused)?;
    let (_, rest) = rest.split_once('/').ok_or_else(refused)?;
    let (kind, point) = rest.split_once('/').ok_or_else(refused)?;
    if !matches!(kind, "Value" | "Metadata") || point.splitn(3, '/').count() < 2 {
        return Err(refused());
    }
    Ok((kind, point))
}

fn read_value(payload: &str, number: u64, line: u64) -> Result<Message, String> {
    let value: Value = serde_json::from_str(payload)
        .map_err(|error| format!("the value is not {{\"value\", \"timestamp\", \"quality\"}}: {error}"))?;
    let time = EventTime::from_unix_millis(value.timestamp)
        .filter(|time| crate::decoded::fits(*time))
        .ok_or_else(|| format!("timestamp {} is outside the years 1 to 9999", value.timestamp))?;
    let what = match value.value {
        None => What::Null,
        Some(reading) if value.quality == 1 => What::Number(reading),
        Some(reading) => What::Distrusted(reading),
    };
    Ok(Message { number, line, time, what })
}

/// The key of a point: its name is the point type, its unit `engUnit`, its labels the rest of the metadata.
fn intern(
    point: &str,
    metadata: &serde_json::Map<String, serde_json::Value>,
    keys: &mut Keys,
) -> Result<u32, String> {
    let mut parts = point.splitn(3, '/');
    let (object_type, point_type) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let mut labels: BTreeMap<&str, String> =
        metadata.iter().map(|(name, value)| (name.as_str(), label_text(value))).collect();
    let unit = labels.remove("engUnit");
    labels.insert("objectType", object_type.to_owned());
    labels.insert("pointType", point_type.to_owned());
    labels.insert("tagPath", parts.next().unwrap_or_default().to_owned());
    let labels = labels.iter().map(|(name, value)| (*name, value.as_str()));
    keys.intern(|out| put_series(out, point_type, unit.as_deref(), labels))
}

/// Metadata as a label: lists of names with commas between, state texts as `0=Off,1=On`.
fn label_text(value: &serde_json::Value) -> String {
    match value {
        serde_json::Value::Null => String::new(),
        serde_json::Value::String(text) => text.clone(),
        serde_json::Value::Array(items) => items.iter().map(label_text).collect::<Vec<_>>().join(","),
        serde_json::Value::Object(fields) => match (fields.get("value"), fields.get("text")) {
            (Some(value), Some(text)) => format!("{}={}", label_text(value), label_text(text)),
            _ => serde_json::Value::Object(fields.clone()).to_string(),
        },
        serde_json::Value::Bool(_) | serde_json::Value::Number(_) => value.to_string(),
    }
}

/// Reads a duration as Go writes it: `1m39.3675441s`, `3.4731ms`, `0s`. Rounded down to microseconds.
fn offset_length(text: &str) -> Result<Microseconds, String> {
    const UNITS: [(&str, i128); 7] = [
        ("h", 3_600_000_000_000),
        ("ms", 1_000_000),
        ("m", 60_000_000_000),
        ("us", 1_000),
        ("µs", 1_000),
        ("ns", 1),
        ("s", 1_000_000_000),
    ];
    let refused = || format!("offset {text:?} is not a duration such as 1m39.5s");
    let mut rest = text;
    let mut nanoseconds = 0_i128;
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(refused)?;
        let (number, after) = rest.split_at(end);
        let (unit, scale) =
            UNITS.into_iter().find(|(unit, _)| after.starts_with(unit)).ok_or_else(refused)?;
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        if whole.len() > 12 || fraction.len() > 18 || whole.is_empty() {
            return Err(refused());
        }
        nanoseconds += whole.parse::<i128>().map_err(|_| refused())? * scale;
        let mut place = scale;
        for digit in fraction.bytes() {
            place /= 10;
            nanoseconds += i128::from(digit.checked_sub(b'0').ok_or_else(refused)?) * place;
        }
        rest = &after[unit.len()..];
    }
    if text.is_empty() {
        return Err(refused());
    }
    Ok(Microseconds(i64::try_from(nanoseconds / 1_000).map_err(|_| refused())?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_are_read_as_go_writes_them() {
        let cases = [
            ("0s", 0),
            ("3.4731ms", 3_473),
            ("24.668s", 24_668_000),
            ("1m39.3675441s", 99_367_544),
            ("1h0m0.5s", 3_600_500_000),
        ];
        for (text, micros) in cases {
            assert_eq!(offset_length(text), Ok(Microseconds(micros)), "{text}");
        }
        for text in ["", "1", "s", "1x", "1.2.3s", "-1s"] {
            assert!(offset_length(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_topic_is_split_and_its_tag_path_never_parsed() {
        assert_eq!(
            split_topic("BMS/v1/PUB/Value/Rack/RackPower/a/b/c"),
            Ok(("Value", "Rack/RackPower/a/b/c"))
        );
        assert_eq!(split_topic("BMS/v1/NICO/Value/Rack/RackPower/a"), Ok(("Value", "Rack/RackPower/a")));
        assert!(split_topic("BMS/v1/PUB/Other/Rack/RackPower/a").is_err());
        assert!(split_topic("home/kitchen").is_err());
    }
}
