//! Parquet files of a table: how rows are encoded, and the writer that makes files which no commit refers to yet.

use arrow::array::RecordBatch;
use arrow::datatypes::DataType;
use delta_kernel::expressions::Scalar;
use deltalake_core::DeltaTable;
use deltalake_core::kernel::Add;
use deltalake_core::writer::{DeltaWriter, RecordBatchWriter, WriteMode};
use indexmap::IndexMap;
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::file::metadata::SortingColumn;
use parquet::file::properties::WriterProperties;
use telemetry::table::Table;

use crate::HistoryError;
use crate::memory::plain::ORDER;
use crate::schema::{DATE, arrow_schema, sort_key};

/// A file is ended at this size. Larger ones prune worse, smaller ones cost a request each.
pub const FILE_BYTES_MAX: u64 = 256 << 20;
/// Rows of a row group: what is decoded at least when one row is wanted.
const ROW_GROUP_ROWS: usize = 131_072;

/// Writes files of one table, one or more a day.
pub struct FileWriter {
    table: Table,
    writer: RecordBatchWriter,
}

impl FileWriter {
    /// Begins; `compression_level` is zstd's.
    ///
    /// # Errors
    /// [`HistoryError::Store`] when the table is of a kind that cannot be written.
    pub fn new(table: Table, delta: &DeltaTable, compression_level: i32) -> Result<Self, HistoryError> {
        let writer = RecordBatchWriter::for_table(delta).map_err(HistoryError::store(table, "write to"))?;
        let properties = writer_properties(table, compression_level);
        let writer = writer.with_target_file_size(FILE_BYTES_MAX).with_writer_properties(properties);
        Ok(Self { table, writer })
    }

    /// Adds rows of one day, in key order.
    ///
    /// # Errors
    /// [`HistoryError::Store`]; the files begun are given up.
    pub async fn write(&mut self, date: &str, batch: RecordBatch) -> Result<(), HistoryError> {
        let partition = IndexMap::from([(DATE.to_owned(), Scalar::String(date.to_owned()))]);
        let written = self.writer.write_partition(batch, &partition, WriteMode::Default).await;
        written.map(|_| ()).map_err(HistoryError::store(self.table, "write to"))
    }

    /// Ends the files.
    ///
    /// # Errors
    /// [`HistoryError::Store`].
    pub async fn finish(mut self) -> Result<Vec<Add>, HistoryError> {
        self.writer.flush().await.map_err(HistoryError::store(self.table, "write to"))
    }
}

/// How files of the table are encoded.
///
/// - `compression_level`: of zstd; 1 when rows are flushed, 3 when files are merged.
fn writer_properties(table: Table, compression_level: i32) -> WriterProperties {
    let level = ZstdLevel::try_new(compression_level).expect("levels 1 and 3 exist");
    let mut properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(level))
        .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
        .set_column_dictionary_enabled(table.time_column().into(), false)
        .set_column_encoding(table.time_column().into(), Encoding::DELTA_BINARY_PACKED)
        .set_sorting_columns(Some(sorting_columns(table)));
    // Readings repeat, so a dictionary comes first; where it grows too large, splitting bytes compresses best.
    for name in ["value", "mean", "minimum", "maximum", "last"] {
        if matches!(table, Table::Samples | Table::Blocks)
            && arrow_schema(table).field_with_name(name).is_ok()
        {
            properties = properties.set_column_encoding(name.into(), Encoding::BYTE_STREAM_SPLIT);
        }
    }
    properties.build()
}

/// The sort key by the number of each column among the leaves of the file, which has no `date`.
fn sorting_columns(table: Table) -> Vec<SortingColumn> {
    let schema = arrow_schema(table);
    let leaf_of = |name: &str| {
        let before = schema.fields().iter().take_while(|field| field.name() != name);
        before
            .filter(|field| field.name() != DATE)
            .map(|field| if matches!(field.data_type(), DataType::Map(_, _)) { 2 } else { 1 })
            .sum()
    };
    sort_key(table)
        .iter()
        .map(|name| SortingColumn {
            column_idx: leaf_of(name),
            descending: ORDER.descending,
            nulls_first: ORDER.nulls_first,
        })
        .collect()
}
