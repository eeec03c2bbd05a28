//! A dump of Prometheus' own database: the text of `promtool tsdb dump`.
//!
//! A line a sample: `{__name__="up", job="x"} 1 1767607200000`, the time in milliseconds. A dump goes series by series,
//! so that all of it is read and sorted by time before its first row is given. Of a native histogram
//! (`{count:3, sum:4.5, …}` in place of the value) count and sum are read, as remote write does.

use std::io::{BufRead, BufReader, Read};
use std::iter::Peekable;
use std::path::{Path, PathBuf};

use telemetry::EventTime;

use super::options::{FileError, FileOptions};
use super::row::{Keys, Reading, Row, Rows, UnreadableRow, What};
use super::table::{open_text, unreadable};
use crate::decoded::{SourceKind, fits};
use crate::key;

/// Samples of one dump, at 24 bytes each; more are refused.
const SAMPLES_MAX: usize = 50_000_000;

/// Lines that cannot be read; more end the file, which is then no dump.
const UNREADABLE_MAX: usize = 100_000;

/// Bytes of one line.
const LINE_BYTES_MAX: u64 = 1 << 20;

/// The samples of a dump, by time; those of one time in the order of the dump.
pub(super) struct PromtoolRows {
    samples: Peekable<std::vec::IntoIter<Sample>>,
    /// They come last: a file is no dump when none of its lines can be read, whatever the first one is.
    unreadable: std::vec::IntoIter<UnreadableRow>,
}

#[derive(Debug, Clone, Copy)]
struct Sample {
    time: EventTime,
    value: f64,
    key: u32,
    number: u32,
}

const _: () = assert!(size_of::<Sample>() == 24);

impl PromtoolRows {
    /// Reads a dump to its end.
    ///
    /// # Errors
    /// More than [`SAMPLES_MAX`] samples; more than [`UNREADABLE_MAX`] lines that cannot be read.
    pub fn open(path: &Path, file: usize, options: &FileOptions, keys: &mut Keys) -> Result<Self, FileError> {
        let mut lines = Lines::open(path, options)?;
        let mut last = LastSeries::default();
        let (mut samples, mut unreadable) = (Vec::new(), Vec::new());
        let mut number = 0;
        while let Some(whole) = lines.advance()? {
            let read = whole.and_then(|()| read(lines.text()?, number, &mut last, keys, &mut samples));
            if let Err(message) = read {
                let row = u64::from(number);
                unreadable.push(UnreadableRow { file, row, line: lines.number, message });
            }
            let problem = if samples.len() > SAMPLES_MAX {
                format!(
                    "the dump has more than {SAMPLES_MAX} samples: dump less at a time, with --min-time and \
                     --max-time or with --match"
                )
            } else if unreadable.len() > UNREADABLE_MAX {
                format!(
                    "more than {UNREADABLE_MAX} lines cannot be read: give the text of promtool tsdb dump"
                )
            } else {
                number += 1;
                continue;
            };
            return Err(FileError::Row { path: path.to_owned(), line: lines.number, message: problem });
        }
        samples.sort_unstable_by_key(|sample| (sample.time, sample.number));
        Ok(Self { samples: samples.into_iter().peekable(), unreadable: unreadable.into_iter() })
    }
}

impl Rows for PromtoolRows {
    fn next(&mut self, _: &mut Keys) -> Result<Option<Result<Row, UnreadableRow>>, FileError> {
        let Some(first) = self.samples.next() else {
            return Ok(self.unreadable.next().map(Err));
        };
        let mut readings = vec![first.reading()];
        while let Some(other) = self.samples.next_if(|other| other.number == first.number) {
            readings.push(other.reading());
        }
        Ok(Some(Ok(Row { time: first.time, number: u64::from(first.number), readings, absent: 0 })))
    }
}

impl Sample {
    fn reading(self) -> Reading {
        // A dump writes a stale marker as NaN, and hardly anything else.
        let what = if self.value.is_nan() { What::Ended } else { What::Number(self.value) };
        Reading { key: self.key, what }
    }
}

/// Whether a file begins like a dump.
pub(super) fn is_dump(path: &Path) -> bool {
    let mut start = Vec::new();
    let read = std::fs::File::open(path).and_then(|file| file.take(4_096).read_to_end(&mut start));
    let start = start.trim_ascii_start();
    read.is_ok() && start.starts_with(b"{") && start.windows(2).any(|pair| pair == b"=\"")
}

/// The lines of a dump that are not blank.
struct Lines {
    path: PathBuf,
    reader: BufReader<Box<dyn Read + Send>>,
    bytes: Vec<u8>,
    /// The current line, from 1.
    number: u64,
}

impl Lines {
    fn open(path: &Path, options: &FileOptions) -> Result<Self, FileError> {
        let reader = BufReader::with_capacity(1 << 18, open_text(path, options.encoding.as_deref())?);
        Ok(Self { path: path.to_owned(), reader, bytes: Vec::new(), number: 0 })
    }

    /// Goes to the next line, `None` at the end. The inner error is about that line only.
    fn advance(&mut self) -> Result<Option<Result<(), String>>, FileError> {
        loop {
            self.number += 1;
            let mut is_too_long = false;
            loop {
                self.bytes.clear();
                let read = (&mut self.reader).take(LINE_BYTES_MAX).read_until(b'\n', &mut self.bytes);
                let read = read.map_err(|error| unreadable(&self.path, &error))?;
                if (read as u64) < LINE_BYTES_MAX || self.bytes.ends_with(b"\n") {
                    break;
                }
                is_too_long = true;
            }
            if is_too_long {
                return Ok(Some(Err(format!("the line is longer than {LINE_BYTES_MAX} bytes"))));
            }
            if self.bytes.is_empty() {
                return Ok(None);
            }
            if !self.bytes.trim_ascii().is_empty() {
                return Ok(Some(Ok(())));
            }
        }
    }

    /// The current line.
    fn text(&self) -> Result<&str, String> {
        std::str::from_utf8(self.bytes.trim_ascii())
            .map_err(|_| "the line is not UTF-8: give its encoding with --encoding".to_owned())
    }
}

/// The series of the line before, which is mostly that of the next one too.
#[derive(Default)]
struct LastSeries {
    /// Its labels as they stand there.
    labels: String,
    /// The number of its key, once a number was read.
    key: Option<u32>,
    /// Those of its count and sum, once a native histogram was read.
    parts: Option<[u32; 2]>,
}

impl LastSeries {
    fn key(&mut self, keys: &mut Keys) -> Result<u32, String> {
        let key = match self.key {
            Some(key) => key,
            None => self.intern("", SourceKind::Unsaid, keys)?,
        };
        self.key = Some(key);
        Ok(key)
    }

    fn parts(&mut self, keys: &mut Keys) -> Result<[u32; 2], String> {
        let mut part = |suffix| self.intern(suffix, SourceKind::Counter, keys);
        let parts = match self.parts {
            Some(parts) => parts,
            None => [part("_count")?, part("_sum")?],
        };
        self.parts = Some(parts);
        Ok(parts)
    }

    /// The number of the key of these labels, the metric's name ending in `suffix`.
    fn intern(&self, suffix: &str, kind: SourceKind, keys: &mut Keys) -> Result<u32, String> {
        let (labels, _) = read_labels(&self.labels)?;
        keys.intern(|out| {
            for (name, value) in &labels {
                let suffix = if name == "__name__" { suffix } else { "" };
                key::put_label(out, name.as_bytes(), [value, suffix].concat().as_bytes());
            }
            key::put_kind(out, kind);
        })
    }
}

/// Reads a line, and adds its sample or, of a native histogram, count and sum.
fn read(
    line: &str,
    number: u32,
    last: &mut LastSeries,
    keys: &mut Keys,
    samples: &mut Vec<Sample>,
) -> Result<(), String> {
    let rest = match line.strip_prefix(last.labels.as_str()) {
        Some(rest) if !last.labels.is_empty() => rest,
        Some(_) | None => {
            let (_, rest) = read_labels(line)?;
            let labels = line[..line.len() - rest.len()].to_owned();
            *last = LastSeries { labels, key: None, parts: None };
            rest
        }
    };
    let (value, time) = rest
        .trim_start()
        .rsplit_once(' ')
        .ok_or_else(|| format!("{rest:?} is not a value and a time in milliseconds"))?;
    let millis: i64 = time.parse().map_err(|_| format!("{time:?} is not a time in milliseconds"))?;
    let time = EventTime::from_unix_millis(millis)
        .filter(|time| fits(*time))
        .ok_or_else(|| format!("the time {millis} is outside the years 1 to 9999"))?;
    if value.starts_with('{') {
        let (count, sum) =
            read_histogram(value).ok_or_else(|| format!("{value:?} is not a native histogram"))?;
        let [count_key, sum_key] = last.parts(keys)?;
        // The marker stands in the sum and ends both.
        let count = if sum.is_nan() { sum } else { count };
        samples.push(Sample { time, value: count, key: count_key, number });
        samples.push(Sample { time, value: sum, key: sum_key, number });
    } else {
        let value = value.parse().map_err(|_| format!("{value:?} is not a number"))?;
        samples.push(Sample { time, value, key: last.key(keys)?, number });
    }
    Ok(())
}

/// Count and sum of `{count:3, sum:4.5, …}`.
fn read_histogram(text: &str) -> Option<(f64, f64)> {
    let (count, rest) = text.strip_prefix("{count:")?.split_once(", sum:")?;
    let sum = &rest[..rest.find([',', '}'])?];
    Some((count.parse().ok()?, sum.parse().ok()?))
}

/// Reads `{name="value", …}` at the front, and says what is left. A name that is no word is quoted too.
fn read_labels(line: &str) -> Result<(Vec<(String, String)>, &str), String> {
    const SHOWN: &str = "a line begins with the labels of its series, such as {__name__=\"up\", job=\"x\"}";
    let mut rest = line.strip_prefix('{').ok_or(SHOWN)?;
    let mut labels = Vec::new();
    loop {
        rest = rest.trim_start_matches([' ', ',']);
        if let Some(rest) = rest.strip_prefix('}') {
            return Ok((labels, rest));
        }
        let (name, after) = match rest.strip_prefix('"') {
            Some(quoted) => unquote(quoted)?,
            None => {
                let end = rest.find('=').ok_or(SHOWN)?;
                (rest[..end].to_owned(), &rest[end..])
            }
        };
        let (value, after) = unquote(after.strip_prefix("=\"").ok_or(SHOWN)?)?;
        labels.push((name, value));
        rest = after;
    }
}

/// Reads a text behind its opening quote as Go writes it (`strconv.Quote`), and says what is left.
fn unquote(quoted: &str) -> Result<(String, &str), String> {
    let mut text = String::new();
    let mut rest = quoted;
    loop {
        let end = rest.find(['"', '\\']).ok_or("a label's quote does not end")?;
        text.push_str(&rest[..end]);
        let escaped = rest[end..].strip_prefix('\\');
        let Some(escape) = escaped else { return Ok((text, &rest[end + 1..])) };
        let unknown = || format!("a label has the escape \\{}", escape.chars().take(1).collect::<String>());
        let letter = escape.chars().next().ok_or_else(unknown)?;
        let digits = match letter {
            'x' => 2,
            'u' => 4,
            'U' => 8,
            _ => 0,
        };
        text.push(match letter {
            'a' => '\x07',
            'b' => '\x08',
            'f' => '\x0c',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'v' => '\x0b',
            '\\' | '"' | '\'' => letter,
            // A byte of 0x80 and more is no text.
            'x' | 'u' | 'U' => escape
                .get(1..=digits)
                .and_then(|digits| u32::from_str_radix(digits, 16).ok())
                .filter(|number| letter != 'x' || *number < 0x80)
                .and_then(char::from_u32)
                .ok_or_else(unknown)?,
            _ => return Err(unknown()),
        });
        rest = &escape[letter.len_utf8() + digits..];
    }
}
