//! A Parquet file as a table.

use std::fs::File;
use std::path::{Path, PathBuf};

use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};

use super::batch::{self, Batch};
use super::cell::Cell;
use super::options::FileError;
use super::table::unreadable;

/// A Parquet file with its current row.
pub(super) struct ParquetTable {
    path: PathBuf,
    reader: ParquetRecordBatchReader,
    columns: Vec<String>,
    batch: Batch,
    /// The row after the current one, in the batch.
    next: usize,
    line: u64,
}

impl ParquetTable {
    pub fn open(path: &Path, ignore: &[String]) -> Result<Self, FileError> {
        let file = File::open(path).map_err(|error| unreadable(path, &error))?;
        let builder =
            ParquetRecordBatchReaderBuilder::try_new(file).map_err(|error| unreadable(path, &error))?;
        let names: Vec<String> = builder.schema().fields().iter().map(|field| field.name().clone()).collect();
        let read: Vec<usize> = (0..names.len()).filter(|index| !ignore.contains(&names[*index])).collect();
        for index in &read {
            let field = builder.schema().field(*index);
            if batch::holds(field.data_type()).is_none() {
                return Err(FileError::Columns {
                    path: path.to_owned(),
                    message: format!(
                        "column {:?} holds {}, which is no reading: leave it out with --ignore {}",
                        field.name(),
                        field.data_type(),
                        field.name()
                    ),
                });
            }
        }
        let columns = read.iter().map(|index| names[*index].clone()).collect();
        let mask = ProjectionMask::roots(builder.parquet_schema(), read);
        let reader = builder.with_projection(mask).build().map_err(|error| unreadable(path, &error))?;
        Ok(Self { path: path.to_owned(), reader, columns, batch: Batch::empty(), next: 0, line: 0 })
    }

    pub fn columns(&self) -> Vec<String> {
        self.columns.clone()
    }

    pub fn advance(&mut self) -> Result<bool, FileError> {
        while self.next >= self.batch.rows() {
            let Some(read) = self.reader.next() else { return Ok(false) };
            self.batch =
                read.and_then(|batch| Batch::new(&batch)).map_err(|error| unreadable(&self.path, &error))?;
            self.next = 0;
        }
        self.next += 1;
        self.line += 1;
        Ok(true)
    }

    /// A cell of the current row, once there is one.
    pub fn cell(&self, column: usize) -> Cell<'_> {
        self.batch.cell(self.next - 1, column)
    }

    pub const fn line(&self) -> u64 {
        self.line
    }
}
