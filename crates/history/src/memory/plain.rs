//! Rows of tables that do not belong to series, as columns.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanBuilder, Float64Builder, Int32Array, Int64Array, Int64Builder, ListBuilder, RecordBatch,
    RecordBatchOptions, StringBuilder, TimestampMicrosecondBuilder,
};
use arrow::compute::{SortColumn, SortOptions, lexsort_to_indices};
use arrow::datatypes::{DataType, Field, SchemaRef};
use arrow::error::ArrowError;
use telemetry::table::{Cell, Table};

use super::part::PlainRow;
use super::sorted::labels_builder;
use super::{Day, date_text, day_of, kept_time};
use crate::schema::{DATE, SEQUENCE, SHARD, sort_key};

/// The day of a row; the first day of 1970 for a row without a time.
pub fn day_of_row(table: Table, cells: &[Cell]) -> Day {
    let column = table.columns().iter().position(|column| column.name == table.time_column());
    match column.and_then(|column| cells.get(column)) {
        Some(Cell::Time(time)) => day_of(kept_time(time.unix_micros())),
        _ => 0,
    }
}

/// The rows as columns of `schema`, in the order given.
///
/// # Errors
/// When a cell is not of its column's kind.
pub fn batch(
    table: Table,
    shard: u32,
    rows: &[PlainRow],
    schema: &SchemaRef,
) -> Result<RecordBatch, ArrowError> {
    let columns = schema
        .fields()
        .iter()
        .map(|field| match field.name().as_str() {
            DATE => {
                let mut dates = StringBuilder::new();
                for (_, cells) in rows {
                    dates.append_value(date_text(day_of_row(table, cells)));
                }
                Ok(Arc::new(dates.finish()) as ArrayRef)
            }
            SHARD => Ok(Arc::new(Int32Array::from_value(shard as i32, rows.len())) as ArrayRef),
            SEQUENCE => {
                Ok(Arc::new(Int64Array::from_iter_values(rows.iter().map(|(sequence, _)| *sequence as i64)))
                    as ArrayRef)
            }
            name => {
                let index = table.columns().iter().position(|column| column.name == name);
                let index = index.ok_or_else(|| ArrowError::SchemaError(format!("no column {name:?}")))?;
                let cells = rows.iter().map(|(_, cells)| cells.get(index).unwrap_or(&Cell::Null));
                column(field, cells)
            }
        })
        .collect::<Result<_, _>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(rows.len()));
    RecordBatch::try_new_with_options(schema.clone(), columns, &options)
}

/// The rows in the order of the table's sort key, `rows_max` at a time: of most the columns are texts, and those of many
/// rows at once would take as much memory again as the rows.
///
/// # Errors
/// When a cell is not of its column's kind, or a column of the key is missing.
pub fn sorted(
    table: Table,
    shard: u32,
    rows: Vec<PlainRow>,
    schema: SchemaRef,
    rows_max: usize,
) -> Result<impl Iterator<Item = Result<RecordBatch, ArrowError>> + Send, ArrowError> {
    let of_key = sort_key(table).iter().map(|name| schema.index_of(name)).collect::<Result<Vec<_>, _>>()?;
    let key = batch(table, shard, &rows, &Arc::new(schema.project(&of_key)?))?;
    let columns: Vec<_> = key
        .columns()
        .iter()
        .map(|values| SortColumn { values: values.clone(), options: Some(ORDER) })
        .collect();
    let order = lexsort_to_indices(&columns, None)?;
    let mut start = 0;
    Ok(std::iter::from_fn(move || {
        let end = order.len().min(start + rows_max);
        let next = &order.values()[start..end];
        start = end;
        (!next.is_empty()).then(|| {
            let next: Vec<_> = next.iter().map(|row| rows[*row as usize].clone()).collect();
            batch(table, shard, &next, &schema)
        })
    }))
}

/// How each column of a key is ordered.
pub const ORDER: SortOptions = SortOptions { descending: false, nulls_first: true };

fn column<'a>(field: &Field, cells: impl Iterator<Item = &'a Cell>) -> Result<ArrayRef, ArrowError> {
    macro_rules! fill {
        ($builder:expr, $($pattern:pat => $value:expr),+) => {{
            let mut builder = $builder;
            for cell in cells {
                match cell {
                    Cell::Null => builder.append_null(),
                    $($pattern => builder.append_value($value),)+
                    other => return Err(mismatch(field, other)),
                }
            }
            Ok(Arc::new(builder.finish()))
        }};
    }
    match field.data_type() {
        DataType::Utf8 => fill!(StringBuilder::new(), Cell::Text(text) => text),
        DataType::Float64 => {
            let mut builder = Float64Builder::new();
            for cell in cells {
                match cell {
                    Cell::Null => builder.append_null(),
                    Cell::Number(number) => builder.append_option(Some(*number).filter(|n| !n.is_nan())),
                    Cell::Integer(number) => builder.append_value(*number as f64),
                    other => return Err(mismatch(field, other)),
                }
            }
            Ok(Arc::new(builder.finish()))
        }
        DataType::Int64 => fill!(Int64Builder::new(), Cell::Integer(number) => *number),
        DataType::Boolean => fill!(BooleanBuilder::new(), Cell::Boolean(truth) => *truth),
        DataType::Timestamp(_, _) => fill!(
            TimestampMicrosecondBuilder::new().with_timezone("UTC"),
            Cell::Time(time) => kept_time(time.unix_micros())
        ),
        DataType::Map(_, _) => {
            let mut builder = labels_builder(field.data_type())?;
            for cell in cells {
                match cell {
                    Cell::Null => builder.append(false)?,
                    Cell::Labels(labels) => {
                        for (name, value) in labels {
                            builder.keys().append_value(name);
                            builder.values().append_value(value);
                        }
                        builder.append(true)?;
                    }
                    other => return Err(mismatch(field, other)),
                }
            }
            Ok(Arc::new(builder.finish()))
        }
        DataType::List(element) => {
            let mut builder = ListBuilder::new(StringBuilder::new()).with_field(element.clone());
            for cell in cells {
                match cell {
                    Cell::Null => builder.append_null(),
                    Cell::Texts(texts) => {
                        texts.iter().for_each(|text| builder.values().append_value(text));
                        builder.append(true);
                    }
                    other => return Err(mismatch(field, other)),
                }
            }
            Ok(Arc::new(builder.finish()))
        }
        other => Err(ArrowError::SchemaError(format!("no kind of column is {other}"))),
    }
}

fn mismatch(field: &Field, cell: &Cell) -> ArrowError {
    ArrowError::CastError(format!("column {:?} is {}, its cell is {cell:?}", field.name(), field.data_type()))
}
