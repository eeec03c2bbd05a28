//! Columns of an answer in SQL, whatever form the engine gave them.

use arrow::array::{ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::{DataType, Float64Type, Int64Type};

use super::AdviceError;

/// A column as one type.
fn column(batch: &RecordBatch, name: &str, kind: &DataType) -> Result<ArrayRef, AdviceError> {
    let broken = |message: String| AdviceError::Internal { message };
    let found =
        batch.column_by_name(name).ok_or_else(|| broken(format!("the answer lacks the column {name}")))?;
    arrow::compute::cast(found, kind).map_err(|error| broken(format!("column {name}: {error}")))
}

/// Texts; an absent one is empty.
pub fn texts(batch: &RecordBatch, name: &str) -> Result<Vec<String>, AdviceError> {
    let column = column(batch, name, &DataType::Utf8)?;
    Ok(column.as_string::<i32>().iter().map(|text| text.unwrap_or_default().to_owned()).collect())
}

/// Integers; rows without one are told by `None`.
pub fn integers(batch: &RecordBatch, name: &str) -> Result<Vec<Option<i64>>, AdviceError> {
    Ok(column(batch, name, &DataType::Int64)?.as_primitive::<Int64Type>().iter().collect())
}

/// Numbers; rows without one are told by `None`.
pub fn numbers(batch: &RecordBatch, name: &str) -> Result<Vec<Option<f64>>, AdviceError> {
    Ok(column(batch, name, &DataType::Float64)?.as_primitive::<Float64Type>().iter().collect())
}

/// The means of a batch's rows: columns `time` (µs), `mean`, `known_seconds`; `None` of a row that lacks one.
pub fn means(batch: &RecordBatch) -> Result<Vec<Option<advisory::BlockMean>>, AdviceError> {
    let times = integers(batch, "time")?;
    let means = numbers(batch, "mean")?;
    let known = numbers(batch, "known_seconds")?;
    let rows = times.into_iter().zip(means).zip(known).map(|((time, mean), known)| {
        Some(advisory::BlockMean {
            time: telemetry::EventTime::from_unix_micros(time?),
            mean: mean?,
            known: telemetry::Microseconds((known? * 1e6) as i64),
        })
    });
    Ok(rows.collect())
}
