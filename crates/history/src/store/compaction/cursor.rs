//! The place in a sorted file up to which its rows are merged.

use std::cmp::Ordering;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, RecordBatch};
use arrow::compute::{cast, take};
use arrow::datatypes::{DataType, Int64Type, Schema};
use arrow::error::ArrowError;
use arrow::row::{RowConverter, Rows, SortField};
use datafusion::error::DataFusionError;
use datafusion::execution::SendableRecordBatchStream;
use futures::TryStreamExt;
use telemetry::table::Table;

use crate::changes;
use crate::memory::plain::ORDER;
use crate::schema::sort_key;

/// How rows of a table are ordered: first by texts, which many rows share, then by numbers: `time` and `seq`.
pub struct Key {
    texts: Vec<usize>,
    numbers: Vec<usize>,
    /// Columns that have the same in all rows of a stretch: the texts, and what repeats.
    alike: Vec<usize>,
    converter: RowConverter,
}

impl Key {
    /// The key of a table.
    ///
    /// - `schema`: the columns of its files, those that repeat as runs.
    pub fn new(table: Table, schema: &Schema) -> Self {
        let index_of = |name: &&str| schema.index_of(name).expect("a key is of the table's columns");
        let is_number = |index: &usize| {
            let kind = schema.field(*index).data_type();
            kind.is_integer() || kind.is_temporal()
        };
        let (numbers, texts): (Vec<_>, Vec<_>) = sort_key(table).iter().map(index_of).partition(is_number);
        let repeats = |index: usize| matches!(schema.field(index).data_type(), DataType::RunEndEncoded(_, _));
        let alike = (0..schema.fields().len()).filter(|index| repeats(*index) || texts.contains(index));
        let fields = vec![SortField::new_with_options(DataType::Utf8View, ORDER); texts.len()];
        let converter = RowConverter::new(fields).expect("texts can be compared as bytes");
        Self { alike: alike.collect(), texts, numbers, converter }
    }
}

/// Rows of one file, a batch at a time; each batch is cut into stretches of rows that share the key's texts.
pub struct Cursor {
    rows: SendableRecordBatchStream,
    batch: RecordBatch,
    /// The texts of each stretch, comparable as bytes; none where the key has no texts.
    texts: Option<Rows>,
    /// The row after each stretch.
    ends: Vec<usize>,
    /// `time` and `seq`, as far as the key has them.
    numbers: Vec<Int64Array>,
    stretch: usize,
    row: usize,
}

impl Cursor {
    /// At the first row; `None` when there is none.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub async fn open(rows: SendableRecordBatchStream, key: &Key) -> Result<Option<Self>, DataFusionError> {
        let batch = RecordBatch::new_empty(rows.schema());
        let mut cursor =
            Self { rows, batch, texts: None, ends: Vec::new(), numbers: Vec::new(), stretch: 0, row: 0 };
        Ok(cursor.load(key).await?.then_some(cursor))
    }

    /// Goes to the next batch; whether there is one.
    async fn load(&mut self, key: &Key) -> Result<bool, DataFusionError> {
        let batch = loop {
            match self.rows.try_next().await? {
                None => return Ok(false),
                Some(batch) if batch.num_rows() == 0 => {}
                Some(batch) => break batch,
            }
        };
        let of = |columns: &[usize]| -> Vec<ArrayRef> {
            columns.iter().map(|column| batch.column(*column).clone()).collect()
        };
        let (firsts, _) = changes::cut(&of(&key.alike), batch.num_rows())?;
        let texts =
            of(&key.texts).iter().map(|texts| take(texts, &firsts, None)).collect::<Result<Vec<_>, _>>()?;
        self.texts = if texts.is_empty() { None } else { Some(key.converter.convert_columns(&texts)?) };
        let begun_later = firsts.values().iter().filter(|row| **row > 0).map(|row| *row as usize);
        self.ends = begun_later.chain([batch.num_rows()]).collect();
        let numbers = of(&key.numbers);
        let number =
            |column: &ArrayRef| Ok(cast(column, &DataType::Int64)?.as_primitive::<Int64Type>().clone());
        self.numbers = numbers.iter().map(number).collect::<Result<_, ArrowError>>()?;
        self.batch = batch;
        (self.stretch, self.row) = (0, 0);
        Ok(true)
    }

    /// The batch that its row is of.
    pub fn batch(&self) -> &RecordBatch {
        &self.batch
    }

    /// The row that is next.
    pub fn row(&self) -> usize {
        self.row
    }

    /// The texts of the row that is next.
    pub fn texts(&self) -> &[u8] {
        self.texts.as_ref().map_or(&[], |texts| texts.row(self.stretch).data())
    }

    /// The first number of a row's key: its time, where the table has one.
    pub fn first_number(&self, row: usize) -> Option<i64> {
        self.numbers.first().and_then(|numbers| number(numbers, row))
    }

    fn compare_numbers(&self, row: usize, other: &Self, other_row: usize) -> Ordering {
        let pairs = self.numbers.iter().zip(&other.numbers);
        let orders = pairs.map(|(left, right)| number(left, row).cmp(&number(right, other_row)));
        orders.fold(Ordering::Equal, Ordering::then)
    }

    /// By the rows that are next.
    pub fn compare(&self, other: &Self) -> Ordering {
        self.texts().cmp(other.texts()).then_with(|| self.compare_numbers(self.row, other, other.row))
    }

    /// The row after those of this stretch that come before all of `other`'s.
    ///
    /// - `is_first_of_equals`: whether a row that is equal to its next one comes before it.
    pub fn end_before(&self, other: Option<&Self>, is_first_of_equals: bool) -> usize {
        let end = self.ends[self.stretch];
        let Some(other) = other.filter(|other| other.texts() == self.texts()) else { return end };
        let comes_first = |row: usize| match self.compare_numbers(row, other, other.row) {
            Ordering::Less => true,
            Ordering::Equal => is_first_of_equals,
            Ordering::Greater => false,
        };
        // Files follow each other in time, so that mostly all of a stretch comes first.
        if comes_first(end - 1) {
            return end;
        }
        let (mut low, mut high) = (self.row, end - 1);
        while low < high {
            let middle = low.midpoint(high);
            match comes_first(middle) {
                true => low = middle + 1,
                false => high = middle,
            }
        }
        low
    }

    /// Goes on to `row`, which is in this stretch or its end; whether there is a row.
    ///
    /// # Errors
    /// When the file cannot be read on.
    pub async fn go_to(&mut self, row: usize, key: &Key) -> Result<bool, DataFusionError> {
        self.row = row;
        if row == self.ends[self.stretch] {
            self.stretch += 1;
        }
        if row == self.batch.num_rows() { self.load(key).await } else { Ok(true) }
    }
}

/// A missing number comes first, as [`ORDER`] says.
fn number(numbers: &Int64Array, row: usize) -> Option<i64> {
    numbers.is_valid(row).then(|| numbers.value(row))
}
