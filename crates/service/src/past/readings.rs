//! Samples of a run as columns, in the canonical order: by time, then by series.
//!
//! table `samples`, or a file → **readings** → `play`

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, DictionaryArray, Float64Array, Int32Array, RecordBatch, StringArray,
};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Float64Type, Int32Type, Int64Type};
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
        let key = |at: usize| (self.time[at], self.partition[at], self.series[at]);
        if (1..self.len()).all(|at| key(at - 1) <= key(at)) {
            return self;
        }
        // The keys are moved with the places, so that a comparison does not look up three columns at two places each.
        let mut order: Vec<_> = (0..self.len()).map(|at| (key(at), at)).collect();
        order.sort();
        Self {
            partition: order.iter().map(|((_, partition, _), _)| *partition).collect(),
            series: order.iter().map(|((_, _, series), _)| *series).collect(),
            time: order.iter().map(|((time, _, _), _)| *time).collect(),
            value: order.iter().map(|(_, at)| self.value[*at]).collect(),
            flag: order.iter().map(|(_, at)| self.flag[*at]).collect(),
        }
    }
}

/// Which series has which number.
#[derive(Debug, Default, Clone)]
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
            let (identity, flags) = (Identity::of(batch)?, Flags::of(batch)?);
            let time = column_as(batch, "time", &DataType::Int64)?;
            let value = column_as(batch, "value", &DataType::Float64)?;
            let (time, value) = (time.as_primitive::<Int64Type>(), value.as_primitive::<Float64Type>());
            let mut series = identity.of_rows(&self.by_identity);
            for row in 0..batch.num_rows() {
                let (Some(of), Some(flag)) = (series(row), flags.of_row(row)) else { continue };
                readings.push(of, EventTime::from_unix_micros(time.value(row)), number(value, row), flag);
            }
        }
        Ok(readings.sorted())
    }

    /// The same of rows that were asked for by [`gathered_sql`].
    ///
    /// # Errors
    /// Names the column that is missing or of another type.
    pub fn gathered(&self, batches: &[RecordBatch]) -> Result<Readings, PastError> {
        let mut readings = Readings::default();
        for batch in batches {
            let (identity, flags) = (Identity::of(batch)?, Flags::of(batch)?);
            let lists = column_as(batch, GATHERED, &gathered_type())?;
            let lists = lists.as_list::<i32>();
            let of_all = lists.values().as_struct();
            let (time, value) = (of_all.column(0), of_all.column(1));
            let (time, value) = (time.as_primitive::<Int64Type>(), value.as_primitive::<Float64Type>());
            let mut series = identity.of_rows(&self.by_identity);
            for (row, span) in lists.value_offsets().windows(2).enumerate() {
                let (Some(of), Some(flag)) = (series(row), flags.of_row(row)) else { continue };
                // Offsets are never negative.
                for at in span[0] as usize..span[1] as usize {
                    readings.push(of, EventTime::from_unix_micros(time.value(at)), number(value, at), flag);
                }
            }
        }
        Ok(readings.sorted())
    }
}

/// The readings of samples that meet a condition: a row for each series and flag, whose texts are told once and not
/// with each reading.
pub fn gathered_sql(condition: &str) -> String {
    let identity = IDENTITY.map(|name| format!("\"{name}\"")).join(", ");
    format!(
        "select {identity}, flag, array_agg(named_struct('time', cast(time as bigint), 'value', value)) as {GATHERED} \
         from samples where {condition} group by {identity}, flag"
    )
}

/// The column of [`gathered_sql`] that has the readings.
const GATHERED: &str = "readings";

fn gathered_type() -> DataType {
    let parts = [("time", DataType::Int64), ("value", DataType::Float64)];
    let parts = parts.map(|(name, kind)| Arc::new(Field::new(name, kind, true)));
    DataType::new_list(DataType::Struct(parts.into()), true)
}

/// NaN where there is no number.
fn number(values: &Float64Array, at: usize) -> f64 {
    if values.is_null(at) { f64::NAN } else { values.value(at) }
}

/// Columns of identity, in the order of a place.
pub const IDENTITY: [&str; 7] = ["site", "loop", "rack", "node", "device", "signal", "sensor"];

/// Series of rows, as texts or as numbers of texts.
enum Identity {
    Texts(Vec<StringArray>),
    Keys(Vec<DictionaryArray<Int32Type>>),
}

/// A series' number in an evaluation again; none for one that was never declared.
type Number = Option<(PartitionId, SeriesId)>;

enum Flags {
    Texts(StringArray),
    /// Keys, and what each of them says.
    Keys(Int32Array, Vec<Option<Flag>>),
}

/// How texts are best read from a file: those of a dictionary as numbers in it.
pub fn text_type() -> DataType {
    DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8))
}

fn column<'a>(batch: &'a RecordBatch, name: &str) -> Result<&'a ArrayRef, PastError> {
    let column = batch.column_by_name(name);
    column.ok_or_else(|| PastError::Refused(format!("the samples have no column {name:?}")))
}

fn column_as(batch: &RecordBatch, name: &str, kind: &DataType) -> Result<ArrayRef, PastError> {
    cast(column(batch, name)?, kind)
        .map_err(|error| PastError::Refused(format!("column {name:?} of the samples: {error}")))
}

fn texts(batch: &RecordBatch, name: &str) -> Result<StringArray, PastError> {
    Ok(column_as(batch, name, &DataType::Utf8)?.as_string::<i32>().clone())
}

/// The texts of a column as keys, where it has keys.
fn keys(batch: &RecordBatch, name: &str) -> Option<DictionaryArray<Int32Type>> {
    column(batch, name).ok()?.as_dictionary_opt::<Int32Type>().cloned()
}

impl Identity {
    fn of(batch: &RecordBatch) -> Result<Self, PastError> {
        Ok(match IDENTITY.iter().map(|name| keys(batch, name)).collect::<Option<_>>() {
            Some(keys) => Self::Keys(keys),
            None => Self::Texts(IDENTITY.iter().map(|name| texts(batch, name)).collect::<Result<_, _>>()?),
        })
    }

    /// Looks the series of rows up, of each that is not the one before it; by keys but once.
    fn of_rows<'a>(
        &'a self,
        known: &'a HashMap<SeriesIdentity, (PartitionId, SeriesId)>,
    ) -> Box<dyn FnMut(usize) -> Number + 'a> {
        match self {
            Self::Texts(columns) => {
                let mut before: Option<(usize, Number)> = None;
                Box::new(move |row| {
                    let is_same = |last: usize| {
                        columns.iter().all(|column| {
                            column.is_null(last) == column.is_null(row)
                                && column.value(last) == column.value(row)
                        })
                    };
                    let of = match before {
                        Some((last, of)) if is_same(last) => of,
                        Some(_) | None => known.get(&self.identity(row)).copied(),
                    };
                    before = Some((row, of));
                    of
                })
            }
            Self::Keys(columns) => {
                let mut seen: HashMap<[i32; IDENTITY.len()], Number, foldhash::fast::FixedState> =
                    HashMap::default();
                Box::new(move |row| {
                    let mut keys = [-1; IDENTITY.len()];
                    for (key, column) in keys.iter_mut().zip(columns) {
                        if !column.is_null(row) {
                            *key = column.keys().value(row);
                        }
                    }
                    *seen.entry(keys).or_insert_with(|| known.get(&self.identity(row)).copied())
                })
            }
        }
    }

    fn identity(&self, row: usize) -> SeriesIdentity {
        let text = |at: usize| -> Option<Name> {
            match self {
                Self::Texts(columns) => (!columns[at].is_null(row)).then(|| columns[at].value(row).into()),
                Self::Keys(columns) => {
                    let key = columns[at].key(row)?;
                    Some(columns[at].values().as_string::<i32>().value(key).into())
                }
            }
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
}

impl Flags {
    fn of(batch: &RecordBatch) -> Result<Self, PastError> {
        let Some(keys) = keys(batch, "flag") else { return Ok(Self::Texts(texts(batch, "flag")?)) };
        let texts = cast(keys.values(), &DataType::Utf8);
        let texts = texts.map_err(|error| PastError::Refused(format!("column \"flag\": {error}")))?;
        let flags = texts.as_string::<i32>().iter().map(|name| flag_of(name?)).collect();
        Ok(Self::Keys(keys.keys().clone(), flags))
    }

    fn of_row(&self, row: usize) -> Option<Flag> {
        match self {
            Self::Texts(texts) => flag_of(texts.value(row)),
            Self::Keys(keys, flags) => *flags.get(usize::try_from(keys.value(row)).ok()?)?,
        }
    }
}

fn flag_of(name: &str) -> Option<Flag> {
    Flag::ALL.into_iter().find(|flag| flag.name() == name)
}

#[cfg(test)]
pub(super) mod tests {
    use arrow::array::{ListArray, StructArray, TimestampMicrosecondArray, UInt32Array};
    use arrow::buffer::OffsetBuffer;
    use arrow::compute::take_record_batch;
    use arrow::datatypes::Schema;
    use telemetry::place::PartitionKey;
    use telemetry::record::{Feed, Temporality};

    use super::*;

    /// The power of a rack.
    pub(in crate::past) fn declaration(id: u32, rack: &str) -> SeriesDeclaration {
        let place = Place { site: "s1".into(), rack: Some(rack.into()), ..Place::default() };
        SeriesDeclaration {
            partition: PartitionKey::of(&place),
            id: SeriesId(id),
            identity: SeriesIdentity::new(place, "rack_power".into(), None),
            cooling_loop: None,
            declared: true,
            unit: "kW".into(),
            source: "otlp".into(),
            source_name: "rack_power".into(),
            source_unit: "kW".into(),
            temporality: Temporality::Gauge,
            feed: Feed::Unsaid,
            labels: Arc::default(),
        }
    }

    fn numbers(racks: &[&str]) -> Numbers {
        let mut numbers = Numbers::default();
        for (id, rack) in (0..).zip(racks) {
            numbers.declare(PartitionId::FIRST, &declaration(id, rack));
        }
        numbers
    }

    /// Rows (rack, second, value, flag).
    fn batch(rows: &[(&'static str, i64, Option<f64>, &'static str)], are_keys: bool) -> RecordBatch {
        let text = |texts: Vec<Option<&str>>| -> ArrayRef {
            let column = Arc::new(StringArray::from(texts)) as ArrayRef;
            if are_keys { cast(&column, &text_type()).unwrap() } else { column }
        };
        let identity = IDENTITY.map(|name| {
            let text_of = |row: &(&'static str, i64, Option<f64>, &'static str)| match name {
                "site" => Some("s1"),
                "rack" => Some(row.0),
                "signal" => Some("rack_power"),
                _ => None,
            };
            (name, text(rows.iter().map(text_of).collect()))
        });
        let times = rows.iter().map(|row| row.1 * 1_000_000);
        let others: [(&str, ArrayRef); 3] = [
            ("time", Arc::new(TimestampMicrosecondArray::from_iter_values(times))),
            ("value", Arc::new(rows.iter().map(|row| row.2).collect::<Float64Array>())),
            ("flag", text(rows.iter().map(|row| Some(row.3)).collect())),
        ];
        let columns: Vec<(&str, ArrayRef)> = identity.into_iter().chain(others).collect();
        let fields: Vec<Field> = columns
            .iter()
            .map(|(name, column)| Field::new(*name, column.data_type().clone(), true))
            .collect();
        let columns = columns.into_iter().map(|(_, column)| column).collect();
        RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).unwrap()
    }

    #[test]
    fn lists_of_readings_are_read_whatever_part_of_an_answer_they_are_in() {
        let rows = [
            ("r2", 1, Some(5.0), "ok"),
            ("r2", 3, None, "sentinel"),
            ("r1", 2, Some(4.0), "ok"),
            ("r9", 1, Some(9.0), "ok"),
            ("r1", 1, Some(3.0), "ok"),
        ];
        let numbers = numbers(&["r1", "r2"]);
        let flat = batch(&rows, false);
        let columns = ["time", "value"].map(|name| {
            let kind = if name == "time" { DataType::Int64 } else { DataType::Float64 };
            column_as(&flat, name, &kind).unwrap()
        });
        let DataType::List(item) = gathered_type() else { panic!("a list") };
        let DataType::Struct(parts) = item.data_type() else { panic!("of structs") };
        let of_all = StructArray::new(parts.clone(), columns.to_vec(), None);
        // One list of both of r2 (the flag is that of the list), then one of each other row.
        let lists = ListArray::new(item, OffsetBuffer::from_lengths([2, 1, 1, 1]), Arc::new(of_all), None);
        let firsts = take_record_batch(&flat, &UInt32Array::from(vec![0, 2, 3, 4])).unwrap();
        let (mut fields, mut arrays) = (firsts.schema().fields().to_vec(), firsts.columns().to_vec());
        fields.push(Arc::new(Field::new(GATHERED, gathered_type(), true)));
        arrays.push(Arc::new(lists));
        let answer = RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays).unwrap();
        let read = numbers.gathered(&[answer.slice(2, 2), answer.slice(0, 2)]).unwrap();
        assert_eq!(
            read.time.iter().map(|time| time.unix_micros() / 1_000_000).collect::<Vec<_>>(),
            [1, 1, 2, 3]
        );
        assert_eq!(read.series, [0, 1, 0, 1].map(SeriesId));
        assert!(read.value[..3] == [3.0, 5.0, 4.0] && read.value[3].is_nan(), "{:?}", read.value);
    }

    #[test]
    fn texts_and_keys_of_texts_are_the_same_readings_in_order_without_those_never_declared() {
        let rows = [
            ("r2", 2, Some(5.0), "ok"),
            ("r1", 2, Some(4.0), "late"),
            ("r9", 1, Some(9.0), "ok"),
            ("r1", 1, None, "sentinel"),
            ("r1", 3, Some(4.5), "unheard_of"),
        ];
        let numbers = numbers(&["r1", "r2"]);
        let by_texts = numbers.readings(&[batch(&rows, false)]).unwrap();
        let by_keys = numbers.readings(&[batch(&rows, true)]).unwrap();
        for readings in [&by_texts, &by_keys] {
            assert_eq!(readings.series, [SeriesId(0), SeriesId(0), SeriesId(1)]);
            assert_eq!(readings.flag, [Flag::Sentinel, Flag::Late, Flag::Ok]);
            assert!(readings.value[0].is_nan() && readings.value[1..] == [4.0, 5.0]);
        }
        assert_eq!(by_texts.time, by_keys.time);
    }
}
