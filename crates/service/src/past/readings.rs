//! Samples of a run as columns, in the canonical order: by time, then by series.
//!
//! table `samples`, or a file → **readings** → `play`

use std::collections::HashMap;

use arrow::array::{Array, AsArray, Float64Array, Int64Array, RecordBatch, StringArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type, Int64Type};
use telemetry::place::{Place, SeriesIdentity};
use telemetry::record::{Flag, PartitionId, SeriesDeclaration, SeriesId};
use telemetry::{EventTime, Name};

use super::PastError;

/// Readings, as columns of equal length.
#[derive(Debug, Default, Clone, PartialEq)]
pub struct Readings {
    /// The partition, as an evaluation again counts them.
    pub partition: Vec<PartitionId>,
    /// The series in its partition.
    pub series: Vec<SeriesId>,
    /// When the sensor took the reading.
    pub time: Vec<EventTime>,
    /// In the canonical unit; NaN where there is no number.
    pub value: Vec<f64>,
    /// What is known about it.
    pub flag: Vec<Flag>,
}

impl Readings {
    /// Number of readings.
    pub fn len(&self) -> usize {
        self.time.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.time.is_empty()
    }

    /// Adds a reading.
    pub fn push(&mut self, of: (PartitionId, SeriesId), time: EventTime, value: f64, flag: Flag) {
        self.partition.push(of.0);
        self.series.push(of.1);
        self.time.push(time);
        self.value.push(value);
        self.flag.push(flag);
    }

    /// The same in the canonical order.
    pub fn sorted(self) -> Self {
        let mut order: Vec<usize> = (0..self.len()).collect();
        order.sort_by_key(|at| (self.time[*at], self.partition[*at], self.series[*at]));
        Self {
            partition: order.iter().map(|at| self.partition[*at]).collect(),
            series: order.iter().map(|at| self.series[*at]).collect(),
            time: order.iter().map(|at| self.time[*at]).collect(),
            value: order.iter().map(|at| self.value[*at]).collect(),
            flag: order.iter().map(|at| self.flag[*at]).collect(),
        }
    }
}

/// Which series has which number.
#[derive(Debug, Default)]
pub struct Numbers {
    by_identity: HashMap<SeriesIdentity, (PartitionId, SeriesId)>,
    declared: HashMap<(PartitionId, SeriesId), SeriesDeclaration>,
}

impl Numbers {
    /// A series of that partition was declared; one that is moved to another loop is of the later one.
    pub fn declare(&mut self, partition: PartitionId, declaration: &SeriesDeclaration) {
        self.by_identity.insert(declaration.identity.clone(), (partition, declaration.id));
        self.declared.insert((partition, declaration.id), declaration.clone());
    }

    /// What a series was declared as.
    pub fn declaration(&self, of: (PartitionId, SeriesId)) -> Option<&SeriesDeclaration> {
        self.declared.get(&of)
    }

    /// Rows of `samples` as readings, in the canonical order. Rows of series that were never declared are left out:
    /// the evaluator did not judge them either.
    ///
    /// # Errors
    /// Names the column that is missing or of another type.
    pub fn readings(&self, batches: &[RecordBatch]) -> Result<Readings, PastError> {
        let mut readings = Readings::default();
        for batch in batches {
            let columns = Columns::of(batch)?;
            let mut before: Option<(usize, Option<(PartitionId, SeriesId)>)> = None;
            for row in 0..batch.num_rows() {
                let of = match before {
                    Some((last, of)) if columns.is_same_series(last, row) => of,
                    Some(_) | None => self.by_identity.get(&columns.identity(row)).copied(),
                };
                before = Some((row, of));
                let (Some(of), Some(flag)) = (of, columns.flag(row)) else { continue };
                let value = if columns.value.is_null(row) { f64::NAN } else { columns.value.value(row) };
                let time = EventTime::from_unix_micros(columns.time.value(row));
                readings.push(of, time, value, flag);
            }
        }
        Ok(readings.sorted())
    }
}

/// Columns of identity, in the order of a place.
pub const IDENTITY: [&str; 7] = ["site", "loop", "rack", "node", "device", "signal", "sensor"];

struct Columns {
    identity: Vec<StringArray>,
    flag: StringArray,
    time: Int64Array,
    value: Float64Array,
}

impl Columns {
    fn of(batch: &RecordBatch) -> Result<Self, PastError> {
        let column = |name: &str, kind: &DataType| {
            let column = batch
                .column_by_name(name)
                .ok_or_else(|| PastError::Refused(format!("the samples have no column {name:?}")))?;
            cast(column, kind)
                .map_err(|error| PastError::Refused(format!("column {name:?} of the samples: {error}")))
        };
        let text = |name: &str| Ok(column(name, &DataType::Utf8)?.as_string::<i32>().clone());
        Ok(Self {
            identity: IDENTITY.into_iter().map(text).collect::<Result<_, PastError>>()?,
            flag: text("flag")?,
            time: column("time", &DataType::Int64)?.as_primitive::<Int64Type>().clone(),
            value: column("value", &DataType::Float64)?.as_primitive::<Float64Type>().clone(),
        })
    }

    fn is_same_series(&self, one: usize, other: usize) -> bool {
        self.identity.iter().all(|column| {
            column.is_null(one) == column.is_null(other) && column.value(one) == column.value(other)
        })
    }

    fn identity(&self, row: usize) -> SeriesIdentity {
        let text = |at: usize| -> Option<Name> {
            let column = &self.identity[at];
            (!column.is_null(row)).then(|| column.value(row).into())
        };
        let place = Place {
            site: text(0).unwrap_or_default(),
            cooling_loop: text(1),
            rack: text(2),
            node: text(3),
            device: text(4),
        };
        SeriesIdentity::new(place, text(5).unwrap_or_default(), text(6))
    }

    fn flag(&self, row: usize) -> Option<Flag> {
        Flag::ALL.into_iter().find(|flag| flag.name() == self.flag.value(row))
    }
}
