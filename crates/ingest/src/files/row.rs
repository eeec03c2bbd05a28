//! A row of any file, with its series interned.

use std::collections::HashMap;
use std::sync::Arc;

use telemetry::EventTime;

use super::options::FileError;
use crate::decoded::{DecodeError, Decoded, KEY_BYTES_MAX, Point, PointKind};
use crate::key::{self, SourceLabels};

/// One row.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    pub time: EventTime,
    /// Its number in its file, from 0.
    pub number: u64,
    pub readings: Vec<Reading>,
    /// Cells without a reading.
    pub absent: u32,
}

/// One reading of a row.
#[derive(Debug, Clone)]
pub(crate) struct Reading {
    /// Number of its key in [`Keys`].
    pub key: u32,
    pub what: What,
}

/// What a cell holds.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum What {
    Number(f64),
    Distrusted(f64),
    Text(Box<str>),
    Null,
    /// The series ends.
    Ended,
}

impl What {
    /// A number, or a text for whoever knows the signal.
    pub fn of_text(text: &str) -> Self {
        text.parse().map_or_else(|_| Self::Text(text.into()), Self::Number)
    }
}

/// A row that cannot be read; its neighbours are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnreadableRow {
    /// Which file, by its position in the list.
    pub file: usize,
    /// Its number in the file, from 0.
    pub row: u64,
    /// Its line, from 1.
    pub line: u64,
    /// What is wrong with it.
    pub message: String,
}

/// Rows of one file, in order.
pub(crate) trait Rows: Send {
    /// The next row, `None` at the end. The inner error is about that row only.
    fn next(&mut self, keys: &mut Keys) -> Result<Option<Result<Row, UnreadableRow>>, FileError>;
}

/// Says whether a source's series is known; the message tells what else could be meant.
pub type SignalCheck = Box<dyn Fn(&SourceLabels<'_>) -> Result<(), String> + Send>;

/// All keys that occurred, each checked once.
pub(crate) struct Keys {
    numbers: HashMap<Arc<[u8]>, u32>,
    keys: Vec<Arc<[u8]>>,
    check: Option<SignalCheck>,
    scratch: Vec<u8>,
}

impl Keys {
    /// With a check, unknown signals are refused.
    pub fn new(check: Option<SignalCheck>) -> Self {
        Self { numbers: HashMap::new(), keys: Vec::new(), check, scratch: Vec::new() }
    }

    /// The number of the key that `write` appends.
    ///
    /// # Errors
    /// The check's; a key that is too long for any request.
    pub fn intern(&mut self, write: impl FnOnce(&mut Vec<u8>)) -> Result<u32, String> {
        self.scratch.clear();
        write(&mut self.scratch);
        if self.scratch.len() > KEY_BYTES_MAX {
            return Err(format!(
                "the names of one series take {} bytes, more than {KEY_BYTES_MAX}: shorten them",
                self.scratch.len()
            ));
        }
        if let Some(number) = self.numbers.get(self.scratch.as_slice()) {
            return Ok(*number);
        }
        self.check(&self.scratch)?;
        let number = u32::try_from(self.keys.len()).map_err(|_| "more than 4 billion series".to_owned())?;
        let key: Arc<[u8]> = self.scratch.as_slice().into();
        self.numbers.insert(key.clone(), number);
        self.keys.push(key);
        Ok(number)
    }

    /// Whether a series is known, without keeping it.
    pub fn check(&self, key: &[u8]) -> Result<(), String> {
        let labels = key::read(key).map_err(|error| error.to_string())?;
        self.check.as_ref().map_or(Ok(()), |check| check(&labels))
    }

    pub fn get(&self, number: u32) -> &[u8] {
        &self.keys[number as usize]
    }
}

/// Where the series of the request at hand are, by the numbers of their keys.
#[derive(Debug, Default)]
pub(crate) struct Positions {
    /// A series' position, valid where the number of the request stands beside it.
    of: Vec<(u64, u32)>,
    request: u64,
}

impl Positions {
    /// Another request begins, which has no series yet.
    pub fn begin(&mut self) {
        self.request += 1;
    }

    /// The position of a key's series, which is added unless it is there.
    pub fn series(&mut self, decoded: &mut Decoded, keys: &Keys, key: u32) -> Result<u32, DecodeError> {
        let at = key as usize;
        if self.of.len() <= at {
            self.of.resize(at + 1, (0, 0));
        }
        if self.of[at].0 != self.request {
            let series = decoded.add_copied_series(|out| out.extend_from_slice(keys.get(key)))?;
            self.of[at] = (self.request, series);
        }
        Ok(self.of[at].1)
    }

    /// Adds a row's readings.
    pub fn add(&mut self, decoded: &mut Decoded, keys: &Keys, row: &Row) -> Result<(), DecodeError> {
        let time = row.time;
        decoded.note_report(time, u64::from(row.absent));
        for reading in &row.readings {
            let series = self.series(decoded, keys, reading.key)?;
            let (kind, value) = match &reading.what {
                What::Number(value) => (PointKind::Reading, *value),
                What::Distrusted(value) => (PointKind::Distrusted, *value),
                What::Null => (PointKind::Null, f64::NAN),
                What::Ended => (PointKind::Stale, f64::NAN),
                What::Text(text) => {
                    decoded.add_text(series, time, text.clone())?;
                    continue;
                }
            };
            decoded.add_point(Point { series, kind, time, value })?;
        }
        Ok(())
    }
}

/// Appends the key of a series of this name, unit and labels; empty values are left out.
pub(crate) fn put_series<'a>(
    out: &mut Vec<u8>,
    name: &str,
    unit: Option<&str>,
    labels: impl Iterator<Item = (&'a str, &'a str)>,
) {
    key::put_label(out, b"__name__", name.as_bytes());
    for (label, value) in labels.filter(|(_, value)| !value.is_empty()) {
        key::put_label(out, label.as_bytes(), value.as_bytes());
    }
    key::put_unit(out, unit.unwrap_or_default().as_bytes());
}
