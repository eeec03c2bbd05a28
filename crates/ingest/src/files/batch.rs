//! A record batch of Arrow as rows of cells, for Parquet and Flight.

use arrow::array::{
    Array, ArrayRef, AsArray, Float64Array, Int64Array, LargeStringArray, RecordBatch, StringArray,
    StringViewArray,
};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type, TimeUnit};
use arrow::error::ArrowError;
use telemetry::EventTime;

use super::cell::{Cell, Cells};

/// The columns of a batch.
///
/// Texts are looked at where they lie: a dictionary or a view may name a long text once for every row, so that
/// spelling all of them out could take any amount of memory.
pub(crate) struct Batch {
    columns: Vec<Column>,
    rows: usize,
}

/// A row of a batch.
#[derive(Clone, Copy)]
pub(crate) struct BatchRow<'a> {
    batch: &'a Batch,
    row: usize,
}

enum Column {
    /// A column whose type is null.
    Nothing,
    Text(StringArray),
    LargeText(LargeStringArray),
    TextView(StringViewArray),
    Integer(Int64Array),
    Number(Float64Array),
    /// Microseconds.
    Time(Int64Array),
    /// Microseconds, as if the zone were UTC.
    LocalTime(Int64Array),
    /// For each row the number of its value.
    Dictionary(Int64Array, Box<Column>),
}

/// What the cells of a column hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Holds {
    Nothing,
    Text,
    /// Whole numbers that fit into 64 bits with a sign.
    Integers,
    Numbers,
    Times,
}

/// What a column of this type holds; `None` where it can hold no reading.
pub(crate) fn holds(data_type: &DataType) -> Option<Holds> {
    match data_type {
        DataType::Null => Some(Holds::Nothing),
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => Some(Holds::Text),
        DataType::Dictionary(_, values) if !matches!(**values, DataType::Dictionary(..)) => holds(values),
        integer if integer.is_integer() && *integer != DataType::UInt64 => Some(Holds::Integers),
        number if number.is_numeric() => Some(Holds::Numbers),
        DataType::Timestamp(..) => Some(Holds::Times),
        _ => None,
    }
}

impl Batch {
    /// Takes a batch whose columns all [hold](holds) something.
    pub fn new(batch: &RecordBatch) -> Result<Self, ArrowError> {
        let columns = batch.columns().iter().map(column).collect::<Result<_, _>>()?;
        Ok(Self { columns, rows: batch.num_rows() })
    }

    /// A batch without rows.
    pub const fn empty() -> Self {
        Self { columns: Vec::new(), rows: 0 }
    }

    pub const fn rows(&self) -> usize {
        self.rows
    }

    /// A cell of a row that is below [`Batch::rows`].
    pub fn cell(&self, row: usize, column: usize) -> Cell<'_> {
        self.columns.get(column).map_or(Cell::Empty, |column| column.cell(row))
    }

    /// The row of this number, which is below [`Batch::rows`].
    pub const fn row(&self, row: usize) -> BatchRow<'_> {
        BatchRow { batch: self, row }
    }
}

impl Cells for BatchRow<'_> {
    fn cell(&self, column: usize) -> Cell<'_> {
        self.batch.cell(self.row, column)
    }
}

impl Column {
    fn cell(&self, row: usize) -> Cell<'_> {
        let time = |micros: i64| EventTime::from_unix_micros(micros);
        match self {
            Self::Nothing => Cell::Empty,
            Self::Text(values) if values.is_valid(row) => text(values.value(row)),
            Self::LargeText(values) if values.is_valid(row) => text(values.value(row)),
            Self::TextView(values) if values.is_valid(row) => text(values.value(row)),
            Self::Integer(values) if values.is_valid(row) => Cell::Integer(values.value(row)),
            Self::Number(values) if values.is_valid(row) => Cell::Number(values.value(row)),
            Self::Time(values) if values.is_valid(row) => Cell::Time(time(values.value(row))),
            Self::LocalTime(values) if values.is_valid(row) => Cell::LocalTime(time(values.value(row))),
            Self::Dictionary(keys, values) if keys.is_valid(row) => {
                usize::try_from(keys.value(row)).map_or(Cell::Empty, |value| values.cell(value))
            }
            Self::Text(_)
            | Self::LargeText(_)
            | Self::TextView(_)
            | Self::Integer(_)
            | Self::Number(_)
            | Self::Time(_)
            | Self::LocalTime(_)
            | Self::Dictionary(..) => Cell::Empty,
        }
    }
}

fn text(text: &str) -> Cell<'_> {
    match text.trim() {
        "" => Cell::Empty,
        text => Cell::Text(text),
    }
}

fn column(values: &ArrayRef) -> Result<Column, ArrowError> {
    let refused = || ArrowError::NotYetImplemented(format!("a column that holds {}", values.data_type()));
    if let Some(dictionary) = values.as_any_dictionary_opt() {
        let keys = cast(dictionary.keys(), &DataType::Int64)?.as_primitive::<Int64Type>().clone();
        return Ok(Column::Dictionary(keys, Box::new(column(dictionary.values())?)));
    }
    Ok(match (holds(values.data_type()).ok_or_else(refused)?, values.data_type()) {
        (Holds::Nothing, _) => Column::Nothing,
        (Holds::Text, DataType::LargeUtf8) => Column::LargeText(values.as_string::<i64>().clone()),
        (Holds::Text, DataType::Utf8View) => Column::TextView(values.as_string_view().clone()),
        (Holds::Text, _) => Column::Text(values.as_string::<i32>().clone()),
        (Holds::Integers, _) => {
            Column::Integer(cast(values, &DataType::Int64)?.as_primitive::<Int64Type>().clone())
        }
        (Holds::Numbers, _) => Column::Number(cast(values, &DataType::Float64)?.as_primitive().clone()),
        (Holds::Times, DataType::Timestamp(unit, zone)) => {
            let micros = microseconds(&cast(values, &DataType::Int64)?, *unit);
            if zone.is_some() { Column::Time(micros) } else { Column::LocalTime(micros) }
        }
        (Holds::Times, _) => return Err(refused()),
    })
}

/// Times in microseconds; what does not fit is null. Nanoseconds are rounded down, also before 1970.
fn microseconds(times: &ArrayRef, unit: TimeUnit) -> Int64Array {
    let times = times.as_primitive::<Int64Type>();
    match unit {
        TimeUnit::Second => times.unary_opt(|seconds| seconds.checked_mul(1_000_000)),
        TimeUnit::Millisecond => times.unary_opt(|millis| millis.checked_mul(1_000)),
        TimeUnit::Microsecond => times.clone(),
        TimeUnit::Nanosecond => times.unary(|nanos: i64| nanos.div_euclid(1_000)),
    }
}
