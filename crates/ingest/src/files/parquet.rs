//! A Parquet file as a table.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, Float64Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
};
use arrow::compute::cast;
use arrow::datatypes::{DataType, TimeUnit as ArrowUnit};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};
use telemetry::EventTime;

use super::options::FileError;
use super::table::{Cell, unreadable};

/// A Parquet file with its current row.
pub(super) struct ParquetTable {
    path: PathBuf,
    reader: ParquetRecordBatchReader,
    columns: Vec<String>,
    batch: Vec<Column>,
    rows: usize,
    /// The current row in the batch, once there is one.
    at: usize,
    line: u64,
}

enum Column {
    Text(StringArray),
    Integer(Int64Array),
    Number(Float64Array),
    Time(TimestampMicrosecondArray),
    LocalTime(TimestampMicrosecondArray),
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
            if kind(field.data_type()).is_none() {
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
        Ok(Self { path: path.to_owned(), reader, columns, batch: Vec::new(), rows: 0, at: 0, line: 0 })
    }

    pub fn columns(&self) -> Vec<String> {
        self.columns.clone()
    }

    pub fn advance(&mut self) -> Result<bool, FileError> {
        self.at += 1;
        while self.at >= self.rows {
            match self.reader.next() {
                None => return Ok(false),
                Some(batch) => self.load(&batch.map_err(|error| unreadable(&self.path, &error))?)?,
            }
        }
        self.line += 1;
        Ok(true)
    }

    fn load(&mut self, batch: &RecordBatch) -> Result<(), FileError> {
        self.rows = batch.num_rows();
        self.at = 0;
        self.batch = batch
            .columns()
            .iter()
            .map(column)
            .collect::<Result<_, _>>()
            .map_err(|error| unreadable(&self.path, &error))?;
        Ok(())
    }

    pub fn cell(&self, column: usize) -> Cell<'_> {
        let at = self.at;
        match &self.batch[column] {
            Column::Text(values) if values.is_valid(at) => match values.value(at).trim() {
                "" => Cell::Empty,
                text => Cell::Text(text),
            },
            Column::Integer(values) if values.is_valid(at) => Cell::Integer(values.value(at)),
            Column::Number(values) if values.is_valid(at) => Cell::Number(values.value(at)),
            Column::Time(values) if values.is_valid(at) => {
                Cell::Time(EventTime::from_unix_micros(values.value(at)))
            }
            Column::LocalTime(values) if values.is_valid(at) => {
                Cell::LocalTime(EventTime::from_unix_micros(values.value(at)))
            }
            Column::Text(_)
            | Column::Integer(_)
            | Column::Number(_)
            | Column::Time(_)
            | Column::LocalTime(_) => Cell::Empty,
        }
    }

    pub const fn line(&self) -> u64 {
        self.line
    }
}

/// The type that a column is read as; `None` where it can hold no reading.
fn kind(data_type: &DataType) -> Option<DataType> {
    match data_type {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => Some(DataType::Utf8),
        DataType::Dictionary(_, values) => kind(values),
        integer if integer.is_integer() && *integer != DataType::UInt64 => Some(DataType::Int64),
        number if number.is_numeric() => Some(DataType::Float64),
        DataType::Timestamp(_, zone) => Some(DataType::Timestamp(ArrowUnit::Microsecond, zone.clone())),
        _ => None,
    }
}

fn column(values: &ArrayRef) -> Result<Column, arrow::error::ArrowError> {
    let target = kind(values.data_type()).unwrap_or(DataType::Utf8);
    // Nanoseconds are rounded down, also before 1970, where a cast would round towards zero.
    let values = match values.data_type() {
        DataType::Timestamp(ArrowUnit::Nanosecond, _) => {
            let nanoseconds = cast(values, &DataType::Int64)?;
            let floored: Int64Array =
                nanoseconds.as_primitive::<arrow::datatypes::Int64Type>().unary(|n: i64| n.div_euclid(1_000));
            cast(&(Arc::new(floored) as ArrayRef), &target)?
        }
        _ => cast(values, &target)?,
    };
    Ok(match target {
        DataType::Int64 => Column::Integer(values.as_primitive().clone()),
        DataType::Float64 => Column::Number(values.as_primitive().clone()),
        DataType::Timestamp(_, Some(_)) => Column::Time(values.as_primitive().clone()),
        DataType::Timestamp(_, None) => Column::LocalTime(values.as_primitive().clone()),
        _ => Column::Text(values.as_string::<i32>().clone()),
    })
}
