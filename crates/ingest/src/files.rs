//! Recorded files: CSV (long and wide), Parquet of the same shapes, bare numbers, recorded BMS messages, dumps of
//! Prometheus.
//!
//! files → **files** → `decoded` → `front`: replay and import take files in on the same way as a live feed.

pub(crate) mod options; // what the command line's flags mean
pub(crate) mod row; // a row of any file, with its series interned

pub(crate) mod cell; // one cell of a table
pub(crate) mod layout; // what the columns of a table mean
pub(crate) mod time; // a row's time

pub(crate) mod batch; // a batch of Arrow as rows of cells
mod parquet; // Parquet as a table
mod table; // CSV or Parquet, row by row

mod dsx; // recorded BMS messages
mod plain; // bare numbers
mod promtool; // dumps of Prometheus

use std::collections::VecDeque;
use std::path::PathBuf;

use bytes::Bytes;
use telemetry::EventTime;

use crate::decoded::Decoded;
use row::{Keys, Positions, Row, Rows};

pub use dsx::SOURCE as DSX_SOURCE;
pub use options::{ColumnMap, Delimiter, FileError, FileOptions, Format, TimeUnit};
pub use row::{SignalCheck, UnreadableRow};

/// The name of files as a source in mappings, declarations and metrics.
pub const SOURCE: &str = "file";

/// A group is closed by the row that brings it to so many readings; a group never holds two times.
const GROUP_POINTS: usize = 65_536;

/// Unreadable rows that are kept with their messages; more are counted.
const UNREADABLE_MAX: usize = 100;

/// Files that are read together, merged by time.
///
/// Of equal times the earlier file comes first. Rows out of order inside a file stay in the order they have, unless
/// [`FileOptions::sort`] says otherwise.
pub struct FileSource {
    source: &'static str,
    files: Vec<File>,
    keys: Keys,
    /// All rows in order of time, where that was asked for.
    sorted: Option<VecDeque<(usize, Row)>>,
    unreadable: Vec<UnreadableRow>,
    unreadable_rows: u64,
    /// Rows that could not be read since the last group: file and number in it.
    passed_over: Vec<(usize, u64)>,
    positions: Positions,
}

struct File {
    path: PathBuf,
    rows: Box<dyn Rows>,
    head: Option<Row>,
    ended: bool,
    begun: bool,
    /// Rows that were read from it, those that could not be read among them.
    taken: u64,
}

/// Rows of one time, to be taken in together; a tick may follow.
#[derive(Debug)]
pub struct Group {
    /// Their readings.
    pub decoded: Decoded,
    /// The rows: file and number in it, both from 0, in order.
    pub rows: Vec<(usize, u64)>,
    /// For each row the end of its readings among the points of `decoded`, where those of the next one begin.
    pub ends: Vec<usize>,
    /// Rows that could not be read since the group before, like `rows`.
    pub passed_over: Vec<(usize, u64)>,
    /// Their time.
    pub time: EventTime,
}

/// Opens files and checks their columns.
///
/// `check` says whether a series is known, so that a misspelt signal is refused before a row is read; see
/// [`signal_check`](crate::front::signal_check). Recorded messages and dumps may hold points that nobody maps.
///
/// # Errors
/// [`FileError`]: options that do not fit, a file that cannot be read, a column that is unknown or repeated.
pub fn open(paths: &[PathBuf], options: &FileOptions, check: SignalCheck) -> Result<FileSource, FileError> {
    let format = match options.format {
        None => found_format(paths)?,
        given => given,
    };
    let options = &FileOptions { format, ..options.clone() };
    let (source, holds_others) = match format {
        Some(Format::DsxBms) => (DSX_SOURCE, true),
        Some(Format::Promtool) => (crate::remote_write::SOURCE, true),
        Some(Format::Csv | Format::CsvLong | Format::CsvWide | Format::Parquet | Format::Plain) | None => {
            (SOURCE, false)
        }
    };
    let mut keys = Keys::new((!holds_others).then_some(check));
    let mut files = Vec::with_capacity(paths.len());
    for (file, path) in paths.iter().enumerate() {
        let rows: Box<dyn Rows> = match options.format {
            Some(Format::DsxBms) => Box::new(dsx::DsxRows::open(path, file, options)?),
            Some(Format::Promtool) => Box::new(promtool::PromtoolRows::open(path, file, options, &mut keys)?),
            Some(Format::Plain) => Box::new(plain::PlainRows::open(path, options, &mut keys)?),
            Some(Format::Csv | Format::CsvLong | Format::CsvWide | Format::Parquet) | None => {
                Box::new(table::TableRows::open(path, file, options, &keys)?)
            }
        };
        files.push(File { path: path.clone(), rows, head: None, ended: false, begun: false, taken: 0 });
    }
    let mut source = FileSource {
        source,
        files,
        keys,
        sorted: None,
        unreadable: Vec::new(),
        unreadable_rows: 0,
        passed_over: Vec::new(),
        positions: Positions::default(),
    };
    // A dump is sorted already.
    if options.sort && format != Some(Format::Promtool) {
        let mut all = Vec::new();
        while let Some(row) = source.merged()? {
            all.push(row);
        }
        // Stable: ties stay in the order of the merge.
        all.sort_by_key(|(_, row)| row.time);
        source.sorted = Some(all.into());
    }
    Ok(source)
}

/// The format that files have by what they begin with; `None`: that of their names.
fn found_format(paths: &[PathBuf]) -> Result<Option<Format>, FileError> {
    let (dumps, others): (Vec<&PathBuf>, Vec<&PathBuf>) =
        paths.iter().partition(|path| promtool::is_dump(path));
    match (dumps.first(), others.first()) {
        (Some(dump), Some(other)) => Err(FileError::Options(format!(
            "{} is a dump of Prometheus and {} is not: give them one after the other",
            dump.display(),
            other.display()
        ))),
        (Some(_), None) => Ok(Some(Format::Promtool)),
        (None, _) => Ok(None),
    }
}

impl FileSource {
    /// Rows that could not be read so far.
    pub fn unreadable_rows(&self) -> u64 {
        self.unreadable_rows
    }

    /// The first of them, with what is wrong.
    pub fn unreadable(&self) -> &[UnreadableRow] {
        &self.unreadable
    }

    /// Rows that could not be read after the last group: file and number in it.
    pub fn passed_over(&self) -> &[(usize, u64)] {
        &self.passed_over
    }

    /// For each file how many rows were read so far, those that could not be read among them.
    pub fn rows_taken(&self) -> Vec<u64> {
        self.files.iter().map(|file| file.taken).collect()
    }

    /// The next row in order, with its file.
    fn next_row(&mut self) -> Result<Option<(usize, Row)>, FileError> {
        match &mut self.sorted {
            Some(rows) => Ok(rows.pop_front()),
            None => self.merged(),
        }
    }

    fn merged(&mut self) -> Result<Option<(usize, Row)>, FileError> {
        for file in 0..self.files.len() {
            self.fill(file)?;
        }
        let heads = self
            .files
            .iter()
            .enumerate()
            .filter_map(|(file, opened)| Some((opened.head.as_ref()?.time, file)));
        Ok(heads.min().and_then(|(_, file)| Some((file, self.files[file].head.take()?))))
    }

    /// Reads a file's next row, unless one waits.
    fn fill(&mut self, file: usize) -> Result<(), FileError> {
        let opened = &mut self.files[file];
        while opened.head.is_none() && !opened.ended {
            match opened.rows.next(&mut self.keys)? {
                None => opened.ended = true,
                Some(Ok(row)) => {
                    opened.begun = true;
                    opened.taken += 1;
                    opened.head = Some(row);
                }
                // Where even the first row cannot be read, the options are wrong, not the row.
                Some(Err(row)) if !opened.begun && row.row == 0 => {
                    return Err(FileError::Row {
                        path: opened.path.clone(),
                        line: row.line,
                        message: row.message,
                    });
                }
                Some(Err(row)) => {
                    opened.taken += 1;
                    self.unreadable_rows += 1;
                    self.passed_over.push((row.file, row.row));
                    if self.unreadable.len() < UNREADABLE_MAX {
                        self.unreadable.push(row);
                    }
                }
            }
        }
        Ok(())
    }

    /// The next rows that have one time.
    fn next_group(&mut self) -> Result<Option<Group>, FileError> {
        let Some(first) = self.next_row()? else { return Ok(None) };
        self.positions.begin();
        let time = first.1.time;
        let mut group = Group {
            decoded: Decoded::new(self.source, Bytes::new()),
            rows: Vec::new(),
            ends: Vec::new(),
            passed_over: std::mem::take(&mut self.passed_over),
            time,
        };
        let mut next = Some(first);
        while let Some((file, row)) = next {
            if row.time != time || group.decoded.points().len() >= GROUP_POINTS {
                self.put_back(file, row);
                break;
            }
            group.rows.push((file, row.number));
            self.positions
                .add(&mut group.decoded, &self.keys, &row)
                .map_err(|error| FileError::Options(error.to_string()))?;
            group.ends.push(group.decoded.points().len());
            next = self.next_row()?;
        }
        Ok(Some(group))
    }

    fn put_back(&mut self, file: usize, row: Row) {
        match &mut self.sorted {
            Some(rows) => rows.push_front((file, row)),
            None => self.files[file].head = Some(row),
        }
    }
}

impl Iterator for FileSource {
    type Item = Result<Group, FileError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.next_group().transpose()
    }
}
