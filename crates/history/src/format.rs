//! Results for people and programs: a table, CSV, JSON or Parquet, written while rows come.

use std::io::Write;
use std::str::FromStr;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, MapArray, RecordBatch, StringBuilder};
use arrow::csv::WriterBuilder;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::error::ArrowError;
use arrow::json::ArrayWriter;
use arrow::util::display::FormatOptions;
use arrow::util::pretty::pretty_format_batches_with_options;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;
use serde_json::{Map, Value};

use crate::query::{QueryError, QueryResult};

/// How a result is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Columns side by side, for people.
    Table,
    /// RFC 4180 with a header; labels and lists as JSON.
    Csv,
    /// One array of objects; columns that are null are left out.
    Json,
    /// Apache Parquet, zstd.
    Parquet,
}

impl Format {
    /// All formats with their names.
    pub const ALL: [(Self, &str); 4] =
        [(Self::Table, "table"), (Self::Csv, "csv"), (Self::Json, "json"), (Self::Parquet, "parquet")];
}

impl FromStr for Format {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = Self::ALL.iter().find(|(_, name)| *name == text);
        known
            .map(|(format, _)| *format)
            .ok_or_else(|| format!("format {text:?} is not known: write table, csv, json or parquet"))
    }
}

/// What went wrong while a result was written.
#[derive(Debug, thiserror::Error)]
pub enum FormatError {
    /// The query failed on its way.
    #[error(transparent)]
    Query(#[from] QueryError),
    /// Rows could not be written in this format.
    #[error("cannot write the result: {0}")]
    Columns(#[from] ArrowError),
    /// A Parquet file could not be written.
    #[error("cannot write the result: {0}")]
    Parquet(#[from] parquet::errors::ParquetError),
    /// The output cannot be written to.
    #[error("cannot write the result: {0}")]
    Output(#[from] std::io::Error),
}

/// Writes all rows of a result and returns their number.
///
/// A table is kept in memory to its end, because its widths depend on all rows; the others are written as they come.
///
/// # Errors
/// [`FormatError`]; what was written until then stays.
pub async fn write(
    mut result: QueryResult,
    format: Format,
    output: &mut (dyn Write + Send),
) -> Result<usize, FormatError> {
    let mut sink = Sink::new(format, output, &result.schema)?;
    let mut rows = 0;
    while let Some(batch) = result.next().await? {
        rows += batch.num_rows();
        sink.write(batch)?;
    }
    sink.finish()?;
    Ok(rows)
}

/// Writes rows that are all there, such as those that came over a wire.
///
/// # Errors
/// As [`write`].
pub fn write_batches(
    schema: &SchemaRef,
    batches: &[RecordBatch],
    format: Format,
    output: &mut (dyn Write + Send),
) -> Result<(), FormatError> {
    let mut sink = Sink::new(format, output, schema)?;
    for batch in batches {
        sink.write(batch.clone())?;
    }
    sink.finish()
}

enum Sink<'a> {
    Table { output: &'a mut (dyn Write + Send), schema: SchemaRef, batches: Vec<RecordBatch> },
    Csv { writer: arrow::csv::Writer<&'a mut (dyn Write + Send)>, schema: SchemaRef },
    Json { writer: ArrayWriter<&'a mut (dyn Write + Send)> },
    Parquet { writer: ArrowWriter<&'a mut (dyn Write + Send)> },
}

impl<'a> Sink<'a> {
    fn new(
        format: Format,
        output: &'a mut (dyn Write + Send),
        schema: &SchemaRef,
    ) -> Result<Self, FormatError> {
        Ok(match format {
            Format::Table => Self::Table { output, schema: flat_schema(schema), batches: Vec::new() },
            Format::Csv => {
                let schema = flat_schema(schema);
                let mut writer = WriterBuilder::new().with_header(true).build(output);
                writer.write(&RecordBatch::new_empty(schema.clone()))?; // a header also for no rows
                Self::Csv { writer, schema }
            }
            Format::Json => Self::Json { writer: ArrayWriter::new(output) },
            Format::Parquet => {
                let level = ZstdLevel::try_new(3)?;
                let properties =
                    WriterProperties::builder().set_compression(Compression::ZSTD(level)).build();
                Self::Parquet { writer: ArrowWriter::try_new(output, schema.clone(), Some(properties))? }
            }
        })
    }

    fn write(&mut self, batch: RecordBatch) -> Result<(), FormatError> {
        match self {
            Self::Table { schema, batches, .. } => batches.push(flat(&batch, schema)?),
            Self::Csv { writer, schema } => writer.write(&flat(&batch, schema)?)?,
            Self::Json { writer } => writer.write(&batch)?,
            Self::Parquet { writer } => writer.write(&batch)?,
        }
        Ok(())
    }

    fn finish(self) -> Result<(), FormatError> {
        match self {
            Self::Table { output, schema, mut batches } => {
                if batches.is_empty() {
                    batches.push(RecordBatch::new_empty(schema));
                }
                writeln!(
                    output,
                    "{}",
                    pretty_format_batches_with_options(&batches, &FormatOptions::default())?
                )?;
                output.flush()?;
            }
            Self::Csv { writer, .. } => writer.into_inner().flush()?,
            Self::Json { mut writer } => {
                writer.finish()?;
                let output = writer.into_inner();
                writeln!(output)?;
                output.flush()?;
            }
            Self::Parquet { writer } => {
                writer.close()?;
            }
        }
        Ok(())
    }
}

/// The schema with labels and lists as JSON text, for formats without nested columns.
fn flat_schema(schema: &SchemaRef) -> SchemaRef {
    let flat = schema.fields().iter().map(|field| {
        if field.data_type().is_nested() {
            Field::new(field.name(), DataType::Utf8, true)
        } else {
            field.as_ref().clone()
        }
    });
    Arc::new(Schema::new(flat.collect::<Vec<_>>()))
}

fn flat(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch, ArrowError> {
    let columns = batch.columns().iter().map(|column| match column.data_type() {
        DataType::Map(_, _) => labels_as_json(column.as_map()),
        kind if kind.is_nested() => nested_as_json(column),
        _ => Ok(column.clone()),
    });
    RecordBatch::try_new(schema.clone(), columns.collect::<Result<_, _>>()?)
}

/// Labels of each row as a JSON object; null stays null.
pub(crate) fn labels_as_json(labels: &MapArray) -> Result<ArrayRef, ArrowError> {
    let (names, values) = (labels.keys().as_string_opt::<i32>(), labels.values().as_string_opt::<i32>());
    let (Some(names), Some(values)) = (names, values) else {
        return Err(ArrowError::CastError("labels are names and values".to_owned()));
    };
    let mut texts = StringBuilder::new();
    for row in 0..labels.len() {
        if labels.is_null(row) {
            texts.append_null();
            continue;
        }
        let ends = labels.value_offsets();
        let entries = ends[row] as usize..ends[row + 1] as usize;
        let object: Map<String, Value> =
            entries.map(|entry| (names.value(entry).to_owned(), values.value(entry).into())).collect();
        texts.append_value(Value::Object(object).to_string());
    }
    Ok(Arc::new(texts.finish()))
}

fn nested_as_json(column: &ArrayRef) -> Result<ArrayRef, ArrowError> {
    let schema = Schema::new(vec![Field::new("v", column.data_type().clone(), true)]);
    let mut texts = StringBuilder::new();
    for row in 0..column.len() {
        if column.is_null(row) {
            texts.append_null();
            continue;
        }
        let batch = RecordBatch::try_new(Arc::new(schema.clone()), vec![column.slice(row, 1)])?;
        let mut writer = ArrayWriter::new(Vec::new());
        writer.write(&batch)?;
        writer.finish()?;
        // `[{"v":…}]`, of which the value is wanted
        let rows: Value =
            serde_json::from_slice(&writer.into_inner()).map_err(|e| ArrowError::JsonError(e.to_string()))?;
        texts.append_value(rows[0]["v"].to_string());
    }
    Ok(Arc::new(texts.finish()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_format_is_answered_with_the_known_ones() {
        assert_eq!("json".parse(), Ok(Format::Json));
        let message = "yaml".parse::<Format>().unwrap_err();
        assert_eq!(message, "format \"yaml\" is not known: write table, csv, json or parquet");
    }
}
