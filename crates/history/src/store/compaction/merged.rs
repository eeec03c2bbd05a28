//! Sorted files as one: rows are taken a stretch at a time, as far as one file has them, and not row by row.
//!
//! A file has many rows of a series in a row, and files follow each other in time. So where a stretch goes is looked up
//! once, and what its rows share is told once.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, Int32Array, RecordBatch, RunArray};
use arrow::compute::{cast, interleave};
use arrow::datatypes::{DataType, Field, Int32Type, SchemaRef};
use arrow::error::ArrowError;
use datafusion::error::DataFusionError;
use datafusion::execution::SendableRecordBatchStream;
use futures::future::join_all;
use telemetry::table::Table;

use super::cursor::{Cursor, Key};
use crate::store::file::rows_schema;

/// A file of a table, and the rows in it.
pub struct SortedFile {
    /// Its path below the table.
    pub path: String,
    /// Its rows in the order of the table's key, texts as views.
    pub rows: SendableRecordBatchStream,
}

/// Why files are not merged.
pub enum MergeError {
    /// A file cannot be read.
    File {
        /// Its path below the table.
        path: String,
        /// What was found.
        error: DataFusionError,
    },
    /// The rows do not become columns.
    Columns(ArrowError),
}

/// The rows of several files in the order of the table's key.
pub struct Merged {
    key: Key,
    paths: Vec<String>,
    cursors: Vec<Cursor>,
    /// Numbers of the cursors that have rows, in the order of those that are next.
    order: Vec<usize>,
    repeats: Option<Repeats>,
    taken: Taken,
}

impl Merged {
    /// Before the first row.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub async fn open(table: Table, files: Vec<SortedFile>) -> Result<Self, MergeError> {
        let schema = rows_schema(table);
        let key = Key::new(table, &schema);
        let (mut paths, mut cursors) = (Vec::new(), Vec::new());
        let opened =
            files.into_iter().map(async |SortedFile { path, rows }| (path, Cursor::open(rows, &key).await));
        for (path, opened) in join_all(opened).await {
            match opened {
                Ok(Some(cursor)) => {
                    cursors.push(cursor);
                    paths.push(path);
                }
                Ok(None) => {}
                Err(error) => return Err(MergeError::File { path, error }),
            }
        }
        let mut order: Vec<usize> = (0..cursors.len()).collect();
        order.sort_by(|left, right| cursors[*left].compare(&cursors[*right]));
        let repeats = matches!(table, Table::Samples | Table::Blocks).then(Repeats::default);
        let taken = Taken::new(schema, cursors.len());
        Ok(Self { key, paths, cursors, order, repeats, taken })
    }

    /// The next rows: what stays of `rows_min` and the rest of a stretch, or the last ones. What repeats in them comes as
    /// runs.
    ///
    /// # Errors
    /// When a file cannot be read on.
    pub async fn next(&mut self, rows_min: usize) -> Result<Option<RecordBatch>, MergeError> {
        loop {
            // Rows that are passed count, and not those that stay: their batches are held until they are told.
            while self.taken.passed < rows_min
                && let Some(leader) = self.order.first().copied()
            {
                let taken = self.take_stretch(leader).await;
                taken.map_err(|error| MergeError::File { path: self.paths[leader].clone(), error })?;
            }
            let is_end = self.taken.passed == 0;
            let batch = self.taken.batch().map_err(MergeError::Columns)?;
            if batch.is_some() || is_end {
                return Ok(batch);
            }
        }
    }

    /// Takes the rows of one file that come before those of all others.
    async fn take_stretch(&mut self, leader: usize) -> Result<(), DataFusionError> {
        let cursor = &self.cursors[leader];
        let runner_up = self.order.get(1).copied();
        let is_first_of_equals = runner_up.is_none_or(|other| leader < other);
        let end = cursor.end_before(runner_up.map(|other| &self.cursors[other]), is_first_of_equals);
        self.taken.passed += end - cursor.row();
        self.taken.begin_run(leader, cursor.batch());
        match &mut self.repeats {
            None => (cursor.row()..end).for_each(|row| self.taken.push(row)),
            Some(repeats) => {
                repeats.begin(cursor.texts());
                let firsts = (cursor.row()..end).filter(|row| repeats.is_first(cursor.first_number(*row)));
                firsts.for_each(|row| self.taken.push(row));
            }
        }
        self.taken.end_run();

        let cursor = &mut self.cursors[leader];
        if end == cursor.batch().num_rows() {
            self.taken.forget_batch(leader);
        }
        let goes_on = cursor.go_to(end, &self.key).await?;
        self.order.remove(0);
        if goes_on {
            let cursor = &self.cursors[leader];
            let comes_before =
                |other: &usize| self.cursors[*other].compare(cursor).then(other.cmp(&leader)).is_lt();
            self.order.insert(self.order.partition_point(comes_before), leader);
        }
        Ok(())
    }
}

/// Of rows with equal texts and time the first stays, whatever window they were found in.
#[derive(Default)]
struct Repeats {
    texts: Vec<u8>,
    last: Option<Option<i64>>,
}

impl Repeats {
    fn begin(&mut self, texts: &[u8]) {
        if self.texts != texts {
            self.texts.clear();
            self.texts.extend_from_slice(texts);
            self.last = None;
        }
    }

    fn is_first(&mut self, time: Option<i64>) -> bool {
        self.last.replace(time) != Some(time)
    }
}

/// Rows that are taken and not yet told.
struct Taken {
    schema: SchemaRef,
    batches: Vec<RecordBatch>,
    /// By cursor: the number of its batch among `batches`.
    batch_of: Vec<Option<usize>>,
    /// The batch that rows are taken of.
    current: usize,
    /// How many rows were looked at, with those that do not stay.
    passed: usize,
    /// Batch and row of each.
    rows: Vec<(usize, usize)>,
    /// Batch and row of the first in each run.
    firsts: Vec<(usize, usize)>,
    /// The row after each run.
    ends: Vec<i32>,
}

impl Taken {
    fn new(schema: SchemaRef, cursors: usize) -> Self {
        Self {
            schema,
            batches: Vec::new(),
            batch_of: vec![None; cursors],
            current: 0,
            passed: 0,
            rows: Vec::new(),
            firsts: Vec::new(),
            ends: Vec::new(),
        }
    }

    fn begin_run(&mut self, cursor: usize, batch: &RecordBatch) {
        self.current = *self.batch_of[cursor].get_or_insert_with(|| {
            self.batches.push(batch.clone());
            self.batches.len() - 1
        });
    }

    fn push(&mut self, row: usize) {
        self.rows.push((self.current, row));
    }

    fn end_run(&mut self) {
        let begun = self.ends.last().map_or(0, |end| *end as usize);
        if begun < self.rows.len() {
            self.firsts.push(self.rows[begun]);
            self.ends.push(self.rows.len() as i32); // a few thousand
        }
    }

    fn forget_batch(&mut self, cursor: usize) {
        self.batch_of[cursor] = None;
    }

    /// The rows so far, which are told then; `None` when none stays.
    fn batch(&mut self) -> Result<Option<RecordBatch>, ArrowError> {
        let schema = self.schema.clone();
        let columns = schema.fields().iter().map(|field| self.column(field));
        let batch = match self.rows.is_empty() {
            true => None,
            false => Some(RecordBatch::try_new(schema.clone(), columns.collect::<Result<_, _>>()?)?),
        };
        self.batches.clear();
        self.batch_of.fill(None);
        self.passed = 0;
        self.rows.clear();
        self.firsts.clear();
        self.ends.clear();
        Ok(batch)
    }

    fn column(&self, field: &Field) -> Result<ArrayRef, ArrowError> {
        let of_batches: Vec<&dyn Array> = self
            .batches
            .iter()
            .filter_map(|batch| batch.column_by_name(field.name()).map(AsRef::as_ref))
            .collect();
        match field.data_type() {
            DataType::RunEndEncoded(_, values) => {
                let values = cast(&interleave(&of_batches, &self.firsts)?, values.data_type())?;
                let ends = Int32Array::from(self.ends.clone());
                Ok(Arc::new(RunArray::<Int32Type>::try_new(&ends, &values)?))
            }
            kind => cast(&interleave(&of_batches, &self.rows)?, kind),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use arrow::array::{AsArray, Float64Array, Int64Array, TimestampMicrosecondArray, new_null_array};
    use arrow::compute::concat_batches;
    use arrow::datatypes::{Int64Type, TimestampMicrosecondType};
    use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
    use proptest::prelude::*;

    use super::*;
    use crate::schema::{arrow_schema, viewed};
    use crate::store::file::file_schema;

    /// Rack, flag, time, `seq`: in the order of the key, but for the flag.
    type Row = (Option<&'static str>, &'static str, Option<i64>, i64);

    const RACKS: [Option<&str>; 4] = [None, Some(""), Some("r01"), Some("a rack with a long name")];

    fn file(rows: &[Row], rows_max: usize) -> SendableRecordBatchStream {
        let schema = viewed(&file_schema(Table::Samples));
        let text =
            |texts: Vec<Option<&str>>| -> ArrayRef { Arc::new(arrow::array::StringViewArray::from(texts)) };
        let columns = schema.fields().iter().map(|field| match field.name().as_str() {
            "rack" => text(rows.iter().map(|row| row.0).collect()),
            "flag" => text(rows.iter().map(|row| Some(row.1)).collect()),
            "time" => {
                let times: TimestampMicrosecondArray = rows.iter().map(|row| row.2).collect();
                Arc::new(times.with_timezone("UTC"))
            }
            "seq" => Arc::new(rows.iter().map(|row| row.3).collect::<Int64Array>()),
            "value" => Arc::new(rows.iter().map(|row| row.3 as f64).collect::<Float64Array>()),
            _ => new_null_array(field.data_type(), rows.len()),
        });
        let whole = RecordBatch::try_new(schema.clone(), columns.collect()).unwrap();
        let batches: Vec<_> = (0..rows.len())
            .step_by(rows_max)
            .map(|start| Ok(whole.slice(start, rows_max.min(rows.len() - start))))
            .collect();
        Box::pin(RecordBatchStreamAdapter::new(schema, futures::stream::iter(batches)))
    }

    async fn merged(files: Vec<SendableRecordBatchStream>, rows_min: usize) -> Vec<Row> {
        let files = files.into_iter().zip(0..);
        let files = files.map(|(rows, number)| SortedFile { path: format!("{number}"), rows }).collect();
        let mut merged = Merged::open(Table::Samples, files).await.ok().unwrap();
        let mut batches = Vec::new();
        while let Some(batch) = merged.next(rows_min).await.ok().unwrap() {
            let schema = file_schema(Table::Samples);
            let plain = schema.fields().iter().map(|field| {
                let column = batch.column_by_name(field.name()).unwrap();
                cast(column, field.data_type()).unwrap()
            });
            batches.push(RecordBatch::try_new(schema.clone(), plain.collect()).unwrap());
        }
        let all = concat_batches(&file_schema(Table::Samples), &batches).unwrap();
        let text = |name: &str, row: usize| {
            let column = all.column_by_name(name).unwrap().as_string::<i32>();
            column.is_valid(row).then(|| column.value(row))
        };
        let known = |text: &str| RACKS.into_iter().flatten().find(|rack| *rack == text).unwrap();
        (0..all.num_rows())
            .map(|row| {
                let time = all.column_by_name("time").unwrap().as_primitive::<TimestampMicrosecondType>();
                let sequence = all.column_by_name("seq").unwrap().as_primitive::<Int64Type>().value(row);
                let value =
                    all.column_by_name("value").unwrap().as_primitive::<arrow::datatypes::Float64Type>();
                assert_eq!(value.value(row), sequence as f64);
                let flag = if text("flag", row) == Some("late") { "late" } else { "ok" };
                let time = time.is_valid(row).then(|| time.value(row));
                (text("rack", row).map(known), flag, time, sequence)
            })
            .collect()
    }

    fn row() -> impl Strategy<Value = (usize, bool, Option<i64>)> {
        (0..RACKS.len(), prop::bool::weighted(0.1), prop::option::weighted(0.95, 0_i64..40))
    }

    proptest! {
        /// The law: what comes out is all rows sorted by the key, less those that an equal one came before.
        #[test]
        fn merged_files_are_all_rows_in_order_and_of_equals_the_first(
            files in prop::collection::vec(prop::collection::vec(row(), 0..60), 1..5),
            rows_max in 1_usize..20,
            rows_min in 1_usize..30,
        ) {
            let mut sequence = 0;
            let files: Vec<Vec<Row>> = files
                .iter()
                .map(|rows| {
                    let mut rows: Vec<Row> = rows
                        .iter()
                        .map(|(rack, is_late, time)| {
                            // Rows of one record have one number.
                            sequence += i64::from(*is_late || sequence % 3 == 0);
                            (RACKS[*rack], if *is_late { "late" } else { "ok" }, *time, sequence)
                        })
                        .collect();
                    rows.sort_by_key(|(rack, _, time, sequence)| (*rack, *time, *sequence));
                    rows
                })
                .collect();
            let mut expected: Vec<Row> = files.iter().flatten().copied().collect();
            expected.sort_by_key(|(rack, _, time, sequence)| (*rack, *time, *sequence));
            let mut seen = BTreeSet::new();
            expected.retain(|(rack, _, time, _)| seen.insert((*rack, *time)));
            let files = files.iter().map(|rows| file(rows, rows_max)).collect();
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            prop_assert_eq!(runtime.block_on(merged(files, rows_min)), expected);
        }
    }

    #[tokio::test]
    async fn repeats_are_passed_without_being_held() {
        let rows: Vec<Row> = (0..500).map(|sequence| (Some("r01"), "late", Some(7), sequence)).collect();
        let files = rows.chunks(100).map(|rows| SortedFile { path: String::new(), rows: file(rows, 10) });
        let mut merged = Merged::open(Table::Samples, files.collect()).await.ok().unwrap();
        let first = merged.next(20).await.ok().unwrap().unwrap();
        assert_eq!(first.num_rows(), 1);
        while let Some(leader) = merged.order.first().copied() {
            merged.take_stretch(leader).await.unwrap();
            assert!(merged.taken.rows.is_empty(), "the first has been told");
            if merged.taken.passed >= 20 {
                assert!(merged.taken.batches.len() <= 3, "{} batches", merged.taken.batches.len());
                assert!(merged.taken.batch().unwrap().is_none());
                assert!(merged.taken.batches.is_empty());
            }
        }
        assert!(merged.next(20).await.ok().unwrap().is_none());
    }

    #[tokio::test]
    async fn a_table_without_texts_in_its_key_is_merged_by_time() {
        let schema = viewed(&file_schema(Table::Runs));
        let file = |sequences: &[i64]| -> SendableRecordBatchStream {
            let columns = schema.fields().iter().map(|field| match field.name().as_str() {
                "seq" => Arc::new(Int64Array::from(sequences.to_vec())) as ArrayRef,
                "time" => Arc::new(TimestampMicrosecondArray::from(sequences.to_vec()).with_timezone("UTC")),
                _ => new_null_array(field.data_type(), sequences.len()),
            });
            let batch = RecordBatch::try_new(schema.clone(), columns.collect()).unwrap();
            Box::pin(RecordBatchStreamAdapter::new(schema.clone(), futures::stream::iter([Ok(batch)])))
        };
        let files = [file(&[1, 4, 5]), file(&[2, 3, 6])].into_iter();
        let files = files.map(|rows| SortedFile { path: String::new(), rows }).collect();
        let mut merged = Merged::open(Table::Runs, files).await.ok().unwrap();
        let batch = merged.next(100).await.ok().unwrap().unwrap();
        let sequences = batch.column_by_name("seq").unwrap().as_primitive::<Int64Type>();
        assert_eq!(sequences.values().to_vec(), [1, 2, 3, 4, 5, 6]);
        assert_eq!(batch.num_columns(), arrow_schema(Table::Runs).fields().len() - 1);
    }
}
