//! Numbers without header and time: one each interval, row after row.

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use telemetry::{EventTime, Microseconds};

use super::options::{FileError, FileOptions};
use super::row::{Keys, Reading, Row, Rows, UnreadableRow, What, put_series};
use super::table::{open_text, unreadable};

/// The numbers of a file.
pub(super) struct PlainRows {
    path: PathBuf,
    lines: BufReader<Box<dyn Read + Send>>,
    delimiter: Option<char>,
    /// Numbers of the current line that are still to come, last first.
    waiting: Vec<String>,
    key: u32,
    number: u64,
    start: EventTime,
    interval: Microseconds,
}

impl PlainRows {
    pub fn open(path: &Path, options: &FileOptions, keys: &mut Keys) -> Result<Self, FileError> {
        let missing = |flag: &str, example: &str| {
            FileError::Options(format!(
                "a plain file says nothing about its times: give {flag}, such as {example}"
            ))
        };
        let start = options.start.ok_or_else(|| missing("--start", "2026-01-05T10:00:00Z"))?;
        let interval = options
            .interval
            .filter(|interval| interval.get() > 0)
            .ok_or_else(|| missing("--interval", "1s"))?;
        let rack = options.rack.as_deref().ok_or_else(|| {
            FileError::Options("a plain file says nothing about its rack: name it with --rack".to_owned())
        })?;
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let name = name.split('.').next().unwrap_or_default();
        let map = options.map.iter().find(|map| map.column == name);
        let (signal, unit) = map.map_or((name, None), |map| (map.signal.as_str(), map.unit.as_deref()));
        let key = keys.intern(|out| put_series(out, signal, unit, [("rack", rack)].into_iter())).map_err(|message| {
            FileError::Columns {
                path: path.to_owned(),
                message: format!("the file's name gives the signal {signal:?}: {message}; map it with --map {name}=SIGNAL[:UNIT]"),
            }
        })?;
        Ok(Self {
            path: path.to_owned(),
            lines: BufReader::new(open_text(path, options.encoding.as_deref())?),
            delimiter: options.delimiter.map(|delimiter| char::from(delimiter.0)),
            waiting: Vec::new(),
            key,
            number: 0,
            start,
            interval,
        })
    }
}

impl Rows for PlainRows {
    fn next(&mut self, _: &mut Keys) -> Result<Option<Result<Row, UnreadableRow>>, FileError> {
        while self.waiting.is_empty() {
            let mut line = String::new();
            if self.lines.read_line(&mut line).map_err(|error| unreadable(&self.path, &error))? == 0 {
                return Ok(None);
            }
            let line = line.trim();
            self.waiting = match self.delimiter {
                Some(delimiter) if !line.is_empty() => {
                    line.split(delimiter).map(|cell| cell.trim().to_owned()).collect()
                }
                Some(_) => Vec::new(),
                None => line.split_whitespace().map(str::to_owned).collect(),
            };
            self.waiting.reverse();
        }
        let text = self.waiting.pop().unwrap_or_default();
        let number = self.number;
        self.number += 1;
        let time = self.start
            + Microseconds(self.interval.get().saturating_mul(i64::try_from(number).unwrap_or(i64::MAX)));
        let readings = if text.is_empty() {
            Vec::new()
        } else {
            vec![Reading { key: self.key, what: What::of_text(&text) }]
        };
        let absent = u32::from(readings.is_empty());
        Ok(Some(Ok(Row { time, number, readings, absent })))
    }
}
