//! Rows to the bytes of one Parquet file: columns that repeat run by run, all others by the library.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::{DataType, Field, SchemaRef};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::{ArrowColumnWriter, ArrowRowGroupWriterFactory, compute_leaves};
use parquet::errors::ParquetError;
use parquet::file::metadata::ParquetMetaData;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::file::writer::SerializedFileWriter;
use zstd::bulk::Compressor;

use super::runs::{PLAIN_BYTES_MAX, Pages, RunColumn};

/// One file.
pub struct Encoder {
    schema: SchemaRef,
    properties: WriterProperties,
    /// How the runs of a field whose rows repeat are put into pages; by its number.
    repeats: Vec<Option<Pages>>,
    writer: SerializedFileWriter<Vec<u8>>,
    row_groups: ArrowRowGroupWriterFactory,
    compressor: Compressor<'static>,
    plain_bytes_max: usize,
    row_group_rows: usize,
    open: Option<RowGroup>,
}

struct RowGroup {
    /// By leaf.
    columns: Vec<Column>,
    rows: usize,
}

enum Column {
    Runs(Box<RunColumn>),
    Rows(ArrowColumnWriter),
}

impl Encoder {
    /// Begins a file.
    ///
    /// - `row_group_rows`: after how many rows a row group ends.
    /// - `repeats`: by the name of a column whose rows repeat, where its pages end.
    ///
    /// # Errors
    /// When Parquet has no such columns.
    pub fn new(
        schema: SchemaRef,
        properties: WriterProperties,
        compression_level: i32,
        row_group_rows: usize,
        repeats: impl Fn(&str) -> Option<Pages>,
    ) -> Result<Self, ParquetError> {
        let writer = ArrowWriter::try_new(Vec::new(), schema.clone(), Some(properties.clone()))?;
        let (writer, row_groups) = writer.into_serialized_writer()?;
        let repeats =
            |field: &Arc<Field>| repeats(field.name()).filter(|_| RunColumn::takes(field.data_type()));
        Ok(Self {
            repeats: schema.fields().iter().map(repeats).collect(),
            schema,
            properties,
            writer,
            row_groups,
            compressor: Compressor::new(compression_level)?,
            plain_bytes_max: PLAIN_BYTES_MAX,
            row_group_rows,
            open: None,
        })
    }

    /// Adds rows; columns that the file does not have are left out.
    ///
    /// # Errors
    /// When a column is missing.
    pub fn write(&mut self, batch: &RecordBatch) -> Result<(), ParquetError> {
        let mut start = 0;
        while start < batch.num_rows() {
            let mut group = match self.open.take() {
                Some(group) => group,
                None => self.begin()?,
            };
            let rows = (batch.num_rows() - start).min(self.row_group_rows - group.rows);
            self.add(&mut group, &batch.slice(start, rows))?;
            group.rows += rows;
            start += rows;
            if group.rows == self.row_group_rows {
                self.end(group)?;
            } else {
                self.open = Some(group);
            }
        }
        Ok(())
    }

    fn begin(&self) -> Result<RowGroup, ParquetError> {
        let of_library = self.row_groups.create_column_writers(self.writer.flushed_row_groups().len())?;
        let repeats = self.schema.fields().iter().zip(&self.repeats);
        let repeats = repeats.flat_map(|(field, repeats)| std::iter::repeat_n(*repeats, leaves(field)));
        let descriptors = self.writer.schema_descr().columns();
        let columns = of_library.into_iter().zip(descriptors).zip(repeats);
        let columns = columns.map(|((rows, descriptor), repeats)| {
            let Some(pages) = repeats else { return Column::Rows(rows) };
            let bounded = descriptor.physical_type() == parquet::basic::Type::BYTE_ARRAY
                && self.properties.statistics_enabled(descriptor.path()) == EnabledStatistics::Page;
            Column::Runs(Box::new(RunColumn::new(descriptor.clone(), bounded, pages)))
        });
        Ok(RowGroup { columns: columns.collect(), rows: 0 })
    }

    fn add(&mut self, group: &mut RowGroup, batch: &RecordBatch) -> Result<(), ParquetError> {
        let mut columns = group.columns.iter_mut();
        for (field, repeats) in self.schema.fields().iter().zip(&self.repeats) {
            let array: &ArrayRef = batch.column_by_name(field.name()).ok_or_else(|| {
                ParquetError::General(format!("the rows have no column {:?}", field.name()))
            })?;
            let library = if repeats.is_some() { Vec::new() } else { compute_leaves(field, array)? };
            let mut library = library.into_iter();
            for leaf in 0..leaves(field) {
                match (columns.next(), library.next()) {
                    (Some(Column::Runs(column)), _) => column.write(array, leaf)?,
                    (Some(Column::Rows(column)), Some(values)) => column.write(&values)?,
                    _ => return Err(ParquetError::General(format!("{:?} has other leaves", field.name()))),
                }
            }
        }
        Ok(())
    }

    fn end(&mut self, group: RowGroup) -> Result<(), ParquetError> {
        let mut writer = self.writer.next_row_group()?;
        for column in group.columns {
            match column {
                Column::Rows(column) => column.close()?.append_to_row_group(&mut writer)?,
                Column::Runs(column) => {
                    let (bytes, close) = column.close(&mut self.compressor, self.plain_bytes_max)?;
                    writer.append_column(&bytes, close)?;
                }
            }
        }
        writer.close().map(drop)
    }

    /// The bytes that are ready, to be taken.
    pub fn ready(&mut self) -> &mut Vec<u8> {
        self.writer.inner_mut()
    }

    /// Ends the file; its last bytes are in [`Encoder::ready`].
    ///
    /// # Errors
    /// When a column cannot be encoded.
    pub fn finish(&mut self) -> Result<ParquetMetaData, ParquetError> {
        if let Some(group) = self.open.take() {
            self.end(group)?;
        }
        self.writer.finish()
    }
}

/// Columns of a file that a field becomes.
fn leaves(field: &Field) -> usize {
    match field.data_type() {
        DataType::Struct(fields) => fields.iter().map(|field| leaves(field)).sum(),
        DataType::Map(entry, _) | DataType::List(entry) => leaves(entry),
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{Array, AsArray, Int32Array, Int64Array, RunArray, StringArray};
    use arrow::compute::{concat_batches, take};
    use arrow::datatypes::{Int32Type, Schema};
    use bytes::Bytes;
    use parquet::arrow::arrow_reader::{
        ArrowReaderOptions, ParquetRecordBatchReaderBuilder, RowSelection, RowSelector,
    };
    use parquet::basic::{Compression, ZstdLevel};
    use parquet::file::metadata::PageIndexPolicy;
    use proptest::prelude::*;

    use super::*;
    use crate::memory::sorted::labels_builder;
    use crate::schema::arrow_schema;
    use telemetry::table::Table;

    /// Texts that may be missing, labels, a shard and numbers; the first three in runs.
    fn schema() -> SchemaRef {
        let labels = arrow_schema(Table::Samples).field_with_name("labels").unwrap().clone();
        let text = Field::new("text", DataType::Utf8, true);
        let shard = Field::new("shard", DataType::Int32, true);
        Arc::new(Schema::new(vec![text, labels, shard, Field::new("number", DataType::Int64, true)]))
    }

    const ROW_GROUP_ROWS: usize = 131_072;

    type Run = (Option<String>, Vec<(String, Option<String>)>, usize);

    fn batch(runs: &[Run]) -> RecordBatch {
        let schema = schema();
        let mut labels = labels_builder(schema.field(1).data_type()).unwrap();
        for (_, entries, _) in runs {
            for (key, value) in entries {
                labels.keys().append_value(key);
                labels.values().append_option(value.as_ref());
            }
            labels.append(true).unwrap();
        }
        let texts: StringArray = runs.iter().map(|(text, _, _)| text.clone()).collect();
        let rows: Vec<i32> =
            runs.iter().enumerate().flat_map(|(run, (_, _, rows))| vec![run as i32; *rows]).collect();
        let rows = Int32Array::from(rows);
        let expanded = |values: &dyn Array| take(values, &rows, None).unwrap();
        let columns = vec![
            expanded(&texts),
            expanded(&labels.finish()),
            Arc::new(Int32Array::from_value(7, rows.len())),
            Arc::new(Int64Array::from_iter_values(0..rows.len() as i64)),
        ];
        RecordBatch::try_new(schema, columns).unwrap()
    }

    fn file(batches: &[RecordBatch], repeats: Option<Pages>) -> (Bytes, ParquetMetaData) {
        file_with(PLAIN_BYTES_MAX, batches, repeats)
    }

    fn file_with(
        plain_bytes_max: usize,
        batches: &[RecordBatch],
        repeats: Option<Pages>,
    ) -> (Bytes, ParquetMetaData) {
        let properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(ZstdLevel::try_new(1).unwrap()))
            .set_statistics_truncate_length(None)
            .build();
        let mut encoder = Encoder::new(schema(), properties, 1, ROW_GROUP_ROWS, |name| {
            repeats.filter(|_| name != "number")
        })
        .unwrap();
        encoder.plain_bytes_max = plain_bytes_max;
        batches.iter().for_each(|batch| encoder.write(batch).unwrap());
        let metadata = encoder.finish().unwrap();
        (std::mem::take(encoder.ready()).into(), metadata)
    }

    fn read(file: &Bytes, selection: Option<RowSelection>) -> RecordBatch {
        let options = ArrowReaderOptions::new().with_page_index_policy(PageIndexPolicy::Required);
        let mut builder =
            ParquetRecordBatchReaderBuilder::try_new_with_options(file.clone(), options).unwrap();
        if let Some(selection) = selection {
            builder = builder.with_row_selection(selection);
        }
        let batches: Vec<_> = builder.build().unwrap().map(Result::unwrap).collect();
        concat_batches(&schema(), &batches).unwrap()
    }

    fn run() -> impl Strategy<Value = Run> {
        let text = prop::option::of("[a-cé]{0,3}");
        let labels = prop::collection::vec(("[a-c]", prop::option::of("[x-z]")), 0..4);
        let rows = prop_oneof![5 => 1_usize..20, 1 => 1_usize..3_000, 1 => 19_990_usize..20_010];
        (text, labels, rows)
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

        /// The library's own encoder is the oracle: the same rows and the same bounds, of the file and of each page.
        #[test]
        fn a_column_in_runs_reads_like_one_of_the_library(
            batches in prop::collection::vec(prop::collection::vec(run(), 1..30), 1..4),
            skipped in 0_usize..30_000,
            pages in prop_oneof![Just(Pages::Full), Just(Pages::AtChanges)],
            plain_bytes_max in prop_oneof![Just(0), Just(PLAIN_BYTES_MAX)],
        ) {
            let batches: Vec<_> = batches.iter().map(|runs| batch(runs)).collect();
            let (ours, written) = file_with(plain_bytes_max, &batches, Some(pages));
            let (theirs, expected) = file(&batches, None);
            let all = concat_batches(&schema(), &batches).unwrap();
            prop_assert_eq!(&read(&ours, None), &all);

            let skipped = skipped.min(all.num_rows() - 1);
            let selectors = vec![RowSelector::skip(skipped), RowSelector::select(all.num_rows() - skipped)];
            prop_assert_eq!(read(&ours, Some(selectors.into())), all.slice(skipped, all.num_rows() - skipped));

            let text = |metadata: &ParquetMetaData, group: usize| {
                metadata.row_group(group).column(0).statistics().cloned()
            };
            for group in 0..expected.num_row_groups() {
                prop_assert_eq!(text(&written, group), text(&expected, group));
            }
            let pages = |file: &Bytes| {
                let options = ArrowReaderOptions::new().with_page_index_policy(PageIndexPolicy::Required);
                let reader = ParquetRecordBatchReaderBuilder::try_new_with_options(file.clone(), options).unwrap();
                let index = reader.metadata().column_index().unwrap();
                let nulls = |group: usize| index[group][0].null_counts().map(|counts| counts.iter().sum::<i64>());
                (0..index.len()).map(nulls).collect::<Vec<_>>()
            };
            prop_assert_eq!(pages(&ours), pages(&theirs));
        }
    }

    #[test]
    fn a_small_column_is_not_compressed_a_large_one_is_and_both_are_the_rows() {
        let text = |number: usize| (Some(format!("text number {number}")), Vec::new(), 2);
        let rows_and_compressions = [3, 10_000].map(|count| {
            let rows = batch(&(0..count).map(text).collect::<Vec<_>>());
            let (bytes, metadata) = file(std::slice::from_ref(&rows), Some(Pages::Full));
            assert_eq!(read(&bytes, None), rows);
            metadata.row_group(0).columns().iter().map(|column| column.compression()).collect::<Vec<_>>()
        });
        let zstd = Compression::ZSTD(ZstdLevel::default());
        // Texts, keys and values of labels, shard; numbers are the library's.
        let plain = Compression::UNCOMPRESSED;
        assert_eq!(rows_and_compressions[0][..4], [plain; 4]);
        assert_eq!(rows_and_compressions[1][..4], [zstd, plain, plain, plain]);
    }

    #[test]
    fn one_text_is_read_without_the_pages_of_others() {
        let run = |text: &str, rows| (Some(text.to_owned()), Vec::new(), rows);
        let runs =
            [run("a", 2_000), run("b", 600), run("b2", 300), run("c", 30_000), run("d", 1_500), run("e", 10)];
        // As merging brings them: a run comes in several batches.
        let whole = batch(&runs);
        let batches: Vec<_> = (0..whole.num_rows())
            .step_by(2_048)
            .map(|start| whole.slice(start, 2_048.min(whole.num_rows() - start)))
            .collect();
        let (bytes, _) = file(&batches, Some(Pages::AtChanges));
        let options = ArrowReaderOptions::new().with_page_index_policy(PageIndexPolicy::Required);
        let reader = ParquetRecordBatchReaderBuilder::try_new_with_options(bytes, options).unwrap();
        let pages = reader.metadata().offset_index().unwrap()[0][0].page_locations();
        let first_rows: Vec<_> = pages.iter().map(|page| page.first_row_index).collect();
        // Short runs share a page, long ones have their own; one that is full ends.
        assert_eq!(first_rows, [0, 2_000, 2_900, 22_900, 32_900, 34_400]);
    }

    #[test]
    fn rows_that_come_as_runs_are_the_rows() {
        let texts = StringArray::from(vec![Some("a"), None, Some("b")]);
        let rows = ROW_GROUP_ROWS + 10_000;
        let ends = Int32Array::from(vec![2, 3, rows as i32]);
        let runs = RunArray::<Int32Type>::try_new(&ends, &texts).unwrap();
        let empty = batch(&[(None, vec![], rows)]);
        let mut columns = empty.columns().to_vec();
        columns[0] = Arc::new(runs);
        let fields: Vec<_> = schema()
            .fields()
            .iter()
            .zip(&columns)
            .map(|(field, column)| Field::new(field.name(), column.data_type().clone(), true))
            .collect();
        let batch = RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).unwrap();
        let (bytes, metadata) = file(&[batch], Some(Pages::Full));
        assert_eq!(metadata.num_row_groups(), 2);
        let read = read(&bytes, None);
        let texts = read.column(0).as_string::<i32>();
        let text = |row: usize| texts.is_valid(row).then(|| texts.value(row));
        assert_eq!(
            [text(0), text(1), text(2), text(3), text(rows - 1)],
            [Some("a"), Some("a"), None, Some("b"), Some("b")]
        );
    }
}
