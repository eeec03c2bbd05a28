//! A table read row by row, whatever it is stored as: CSV or Parquet.
//!
//! **table** → `layout` → rows of readings.

use std::fs::File;
use std::io::{BufReader, Cursor, Read};
use std::path::{Path, PathBuf};

use csv::StringRecord;

use super::cell::{Cell, Cells};
use super::layout::{Layout, RowFault};
use super::options::{FileError, FileOptions, Format};
use super::parquet::ParquetTable;
use super::row::{Keys, Row, Rows, UnreadableRow};
use super::time::TimeReader;

/// A table's rows.
pub(super) struct TableRows {
    path: PathBuf,
    file: usize,
    table: Table,
    layout: Layout,
    number: u64,
}

impl TableRows {
    /// Opens a table and checks its columns.
    pub fn open(path: &Path, file: usize, options: &FileOptions, keys: &Keys) -> Result<Self, FileError> {
        let table = Table::open(path, options)?;
        let reader = TimeReader::new(options).map_err(FileError::Options)?;
        let layout = Layout::new(&table.columns(), options, reader, keys)
            .map_err(|fault| FileError::Columns { path: path.to_owned(), message: fault.to_string() })?;
        Ok(Self { path: path.to_owned(), file, table, layout, number: 0 })
    }

    fn read(&self, number: u64, keys: &mut Keys) -> Result<Result<Row, String>, FileError> {
        let time = match self.layout.time(&self.table) {
            Ok(time) => time,
            Err(message) => return Ok(Err(message)),
        };
        let mut row = Row { time, number, readings: Vec::new(), absent: 0 };
        match self.layout.add_readings(&self.table, keys, &mut row.readings) {
            Ok(absent) => row.absent = absent,
            Err(RowFault::Unreadable(message)) => return Ok(Err(message)),
            Err(RowFault::Series(message)) => {
                return Err(FileError::Row { path: self.path.clone(), line: self.table.line(), message });
            }
        }
        Ok(Ok(row))
    }
}

impl Rows for TableRows {
    fn next(&mut self, keys: &mut Keys) -> Result<Option<Result<Row, UnreadableRow>>, FileError> {
        let Some(whole) = self.table.advance()? else { return Ok(None) };
        let number = self.number;
        self.number += 1;
        let row = match whole {
            Ok(()) => self.read(number, keys)?,
            Err(message) => Err(message),
        };
        let line = self.table.line();
        Ok(Some(row.map_err(|message| UnreadableRow { file: self.file, row: number, line, message })))
    }
}

/// A table with its current row.
pub(super) enum Table {
    Csv(Box<CsvTable>),
    Parquet(Box<ParquetTable>),
}

impl Table {
    /// Opens a file of this format.
    pub fn open(path: &Path, options: &FileOptions) -> Result<Self, FileError> {
        let by_name = if path.extension().is_some_and(|name| name == "parquet") {
            Format::Parquet
        } else {
            Format::Csv
        };
        match options.format.unwrap_or(by_name) {
            Format::Parquet => {
                ParquetTable::open(path, &options.ignore).map(|table| Self::Parquet(Box::new(table)))
            }
            Format::Csv
            | Format::CsvLong
            | Format::CsvWide
            | Format::Plain
            | Format::DsxBms
            | Format::Promtool => CsvTable::open(path, options).map(|table| Self::Csv(Box::new(table))),
        }
    }

    /// Names of the columns.
    pub fn columns(&self) -> Vec<String> {
        match self {
            Self::Csv(table) => table.columns.clone(),
            Self::Parquet(table) => table.columns(),
        }
    }

    /// Goes to the next row; false at the end. The inner error is about this row only.
    pub fn advance(&mut self) -> Result<Option<Result<(), String>>, FileError> {
        match self {
            Self::Csv(table) => table.advance(),
            Self::Parquet(table) => Ok(table.advance()?.then_some(Ok(()))),
        }
    }

    /// The current row's line, from 1; in Parquet its number, from 1.
    pub fn line(&self) -> u64 {
        match self {
            Self::Csv(table) => table.line,
            Self::Parquet(table) => table.line(),
        }
    }
}

/// The current row.
impl Cells for Table {
    fn cell(&self, column: usize) -> Cell<'_> {
        match self {
            Self::Csv(table) => match table.record.get(column).map(str::trim) {
                None | Some("") => Cell::Empty,
                Some(text) => Cell::Text(text),
            },
            Self::Parquet(table) => table.cell(column),
        }
    }
}

/// Text with a header and one delimiter.
pub(super) struct CsvTable {
    path: PathBuf,
    reader: csv::Reader<Box<dyn Read + Send>>,
    columns: Vec<String>,
    record: StringRecord,
    line: u64,
}

impl CsvTable {
    fn open(path: &Path, options: &FileOptions) -> Result<Self, FileError> {
        let delimiter = options.delimiter.map_or(b',', |delimiter| delimiter.0);
        let mut reader = csv::ReaderBuilder::new()
            .delimiter(delimiter)
            .flexible(true)
            .from_reader(open_text(path, options.encoding.as_deref())?);
        let header = reader.headers().map_err(|error| unreadable(path, &error))?;
        let columns: Vec<String> = header.iter().map(|name| name.trim().to_owned()).collect();
        if columns.iter().all(String::is_empty) {
            return Err(FileError::Columns {
                path: path.to_owned(),
                message: "the file is empty: it needs a header that names its columns".to_owned(),
            });
        }
        Ok(Self { path: path.to_owned(), reader, columns, record: StringRecord::new(), line: 1 })
    }

    fn advance(&mut self) -> Result<Option<Result<(), String>>, FileError> {
        loop {
            let line = self.reader.position().line();
            match self.reader.read_record(&mut self.record) {
                Ok(false) => return Ok(None),
                Ok(true) => {
                    self.line = self.record.position().map_or(line, csv::Position::line);
                    // A line of blanks is no row.
                    if self.record.len() == 1 && self.record.get(0).is_some_and(|cell| cell.trim().is_empty())
                    {
                        continue;
                    }
                    return Ok(Some(self.check_width()));
                }
                Err(error) if matches!(error.kind(), csv::ErrorKind::Utf8 { .. }) => {
                    self.line = error.position().map_or(line, csv::Position::line);
                    self.record.clear();
                    return Ok(Some(Err(
                        "the row is not UTF-8: give its encoding with --encoding".to_owned()
                    )));
                }
                Err(error) => return Err(unreadable(&self.path, &error)),
            }
        }
    }

    fn check_width(&self) -> Result<(), String> {
        if self.record.len() == self.columns.len() {
            return Ok(());
        }
        Err(format!("the row has {} cells where the header has {}", self.record.len(), self.columns.len()))
    }
}

/// Opens a text file; another encoding than UTF-8 is decoded in memory.
pub(super) fn open_text(path: &Path, encoding: Option<&str>) -> Result<Box<dyn Read + Send>, FileError> {
    let file = File::open(path).map_err(|error| unreadable(path, &error))?;
    let mut reader = BufReader::with_capacity(1 << 18, file);
    let label = encoding.unwrap_or("utf-8");
    let encoding = encoding_rs::Encoding::for_label(label.as_bytes()).ok_or_else(|| {
        FileError::Options(format!(
            "{label:?} is not an encoding known here: write utf-8, latin1, windows-1252 or utf-16le"
        ))
    })?;
    if encoding == encoding_rs::UTF_8 {
        return Ok(Box::new(reader));
    }
    let mut bytes = Vec::new();
    reader.read_to_end(&mut bytes).map_err(|error| unreadable(path, &error))?;
    let (text, _, broken) = encoding.decode(&bytes);
    if broken {
        return Err(unreadable(path, &format!("it is not {label}: give another --encoding")));
    }
    Ok(Box::new(Cursor::new(text.into_owned().into_bytes())))
}

pub(super) fn unreadable(path: &Path, reason: &dyn std::fmt::Display) -> FileError {
    FileError::Unreadable { path: path.to_owned(), reason: reason.to_string() }
}
