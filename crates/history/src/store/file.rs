//! Parquet files of a table: how rows are encoded, and the writer that makes files which no commit refers to yet.
//!
//! rows → **file** → `encoder` → `runs` → `hybrid` → store
//!
//! Not the writer of `deltalake_core`: that one relies on catching a panic when a store is full, and a process whose
//! panics abort would end there.

mod encoder; // rows to bytes
mod hybrid; // numbers to bytes
mod runs; // a column that repeats

use std::collections::HashMap;
use std::time::{SystemTime, UNIX_EPOCH};

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use deltalake_core::kernel::Add;
use deltalake_core::logstore::ObjectStoreRef;
use deltalake_core::{DeltaTable, DeltaTableError, Path};
use object_store::{ObjectStoreExt, WriteMultipart};
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::file::metadata::{ParquetMetaData, RowGroupMetaData, SortingColumn};
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::file::statistics::Statistics;
use parquet::schema::types::ColumnPath;
use serde_json::{Map, Value, json};
use telemetry::EventTime;
use telemetry::table::Table;

use self::encoder::Encoder;
use self::runs::Pages;

use crate::HistoryError;
use crate::memory::plain::ORDER;
use crate::memory::sorted::text_of_series;
use crate::schema::{DATE, SEQUENCE, SHARD, arrow_schema, sort_key, statistics_columns};

/// A file is ended at this size. Larger ones prune worse, smaller ones cost a request each.
pub const FILE_BYTES_MAX: usize = 256 << 20;
/// A file is sent in parts of this size, the least that S3 takes; a smaller one in one piece.
const PART_BYTES: usize = 5 << 20;
/// Parts on their way at once.
const PARTS_MAX: usize = 2;

/// Writes files of one table, one or more a day.
pub struct FileWriter {
    table: Table,
    /// The columns of a file: those of the table without the partition column.
    schema: SchemaRef,
    store: ObjectStoreRef,
    compression_level: i32,
    properties: WriterProperties,
    open: Option<OpenFile>,
    done: Vec<Add>,
}

struct OpenFile {
    date: String,
    path: String,
    table: Table,
    encoder: Encoder,
    upload: Option<WriteMultipart>,
    sent_bytes: usize,
}

impl FileWriter {
    /// Begins; `compression_level` is zstd's: 1 when rows are flushed, 3 when files are merged.
    pub fn new(table: Table, delta: &DeltaTable, compression_level: i32) -> Self {
        Self {
            table,
            schema: file_schema(table),
            store: delta.object_store(),
            compression_level,
            properties: writer_properties(table, compression_level),
            open: None,
            done: Vec::new(),
        }
    }

    /// Adds rows of one day, in key order; the column `date` is left out.
    ///
    /// # Errors
    /// [`HistoryError::Store`]; the writer is to be given up then.
    pub async fn write(&mut self, date: &str, batch: &RecordBatch) -> Result<(), HistoryError> {
        self.try_write(date, batch).await.map_err(HistoryError::store(self.table, "write to"))
    }

    async fn try_write(&mut self, date: &str, batch: &RecordBatch) -> Result<(), DeltaTableError> {
        let fits = |file: &OpenFile| file.date == date && file.sent_bytes < FILE_BYTES_MAX;
        if self.open.as_ref().is_some_and(|file| !fits(file)) {
            self.end_file().await?;
        }
        let file = match &mut self.open {
            Some(file) => file,
            None => {
                let encoder = Encoder::new(
                    self.schema.clone(),
                    self.properties.clone(),
                    self.compression_level,
                    row_group_rows(self.table),
                    |name| repeats(self.table, name),
                )?;
                self.open.insert(OpenFile::new(self.table, date, encoder))
            }
        };
        file.encoder.write(batch)?;
        file.send(&self.store).await
    }

    async fn end_file(&mut self) -> Result<(), DeltaTableError> {
        if let Some(file) = self.open.take() {
            self.done.push(file.finish(&self.store).await?);
        }
        Ok(())
    }

    /// Ends the files.
    ///
    /// # Errors
    /// [`HistoryError::Store`]; the files are removed.
    pub async fn finish(mut self) -> Result<Vec<Add>, HistoryError> {
        match self.end_file().await {
            Ok(()) => Ok(self.done),
            Err(error) => {
                let table = self.table;
                self.give_up().await;
                Err(HistoryError::store(table, "write to")(error))
            }
        }
    }

    /// Removes the files, as far as the store lets it.
    pub async fn give_up(self) {
        if let Some(upload) = self.open.and_then(|file| file.upload) {
            let _ = upload.abort().await; // parts that stay are the store's to clean up
        }
        remove_files(&self.store, &self.done).await;
    }
}

/// Removes files that no commit refers to, as far as the store lets it.
pub async fn remove_files(store: &ObjectStoreRef, adds: &[Add]) {
    for add in adds {
        if let Err(error) = store.delete(&Path::from(add.path.as_str())).await {
            tracing::warn!(file = add.path, %error, "a file that no commit refers to was left behind");
        }
    }
}

impl OpenFile {
    fn new(table: Table, date: &str, encoder: Encoder) -> Self {
        Self {
            date: date.to_owned(),
            path: format!("{DATE}={date}/part-{}.zstd.parquet", uuid::Uuid::new_v4()),
            table,
            encoder,
            upload: None,
            sent_bytes: 0,
        }
    }

    /// Sends what is encoded, once it is enough for a part.
    async fn send(&mut self, store: &ObjectStoreRef) -> Result<(), DeltaTableError> {
        if self.encoder.ready().len() < PART_BYTES {
            return Ok(());
        }
        let bytes = std::mem::take(self.encoder.ready());
        self.sent_bytes += bytes.len();
        let upload = match &mut self.upload {
            Some(upload) => upload,
            None => {
                let upload = store.put_multipart(&Path::from(self.path.as_str())).await?;
                self.upload.insert(WriteMultipart::new_with_chunk_size(upload, PART_BYTES))
            }
        };
        upload.wait_for_capacity(PARTS_MAX).await?;
        upload.put(bytes.into());
        Ok(())
    }

    async fn finish(mut self, store: &ObjectStoreRef) -> Result<Add, DeltaTableError> {
        let written = self.encoder.finish()?;
        let bytes = std::mem::take(self.encoder.ready());
        let size = self.sent_bytes + bytes.len();
        match self.upload {
            Some(mut upload) => {
                upload.put(bytes.into());
                upload.finish().await?;
            }
            None => {
                store.put(&Path::from(self.path.as_str()), bytes.into()).await?;
            }
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Ok(Add {
            path: self.path,
            partition_values: HashMap::from([(DATE.to_owned(), Some(self.date))]),
            size: i64::try_from(size).unwrap_or(i64::MAX),
            modification_time: i64::try_from(now.as_millis()).unwrap_or(i64::MAX),
            data_change: true,
            stats: Some(statistics_json(self.table, &written)),
            tags: None,
            deletion_vector: None,
            base_row_id: None,
            default_row_commit_version: None,
            clustering_provider: None,
        })
    }
}

/// Rows, and smallest, largest and missing values, as Delta keeps them (PROTOCOL.md, "Per-file Statistics"): those that
/// the file's own footer has.
fn statistics_json(table: Table, written: &ParquetMetaData) -> String {
    let (mut smallest, mut largest, mut missing) = (Map::new(), Map::new(), Map::new());
    for name in statistics_columns(table) {
        let known: Vec<_> =
            written.row_groups().iter().filter_map(|group| statistics_of(group, name)).collect();
        let nulls: u64 = known.iter().filter_map(|known| known.null_count_opt()).sum();
        let bounds = known.iter().filter_map(|known| bounds(known));
        if let Some((least, greatest)) =
            bounds.reduce(|left, right| (left.0.min(right.0), left.1.max(right.1)))
        {
            smallest.insert(name.to_owned(), least.json());
            largest.insert(name.to_owned(), greatest.json());
        }
        missing.insert(name.to_owned(), nulls.into());
    }
    let rows = written.file_metadata().num_rows();
    json!({ "numRecords": rows, "minValues": smallest, "maxValues": largest, "nullCount": missing })
        .to_string()
}

fn statistics_of<'a>(group: &'a RowGroupMetaData, name: &str) -> Option<&'a Statistics> {
    let column = group.columns().iter().find(|column| column.column_path().string() == name)?;
    column.statistics()
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Bound {
    Text(String),
    Time(EventTime),
}

impl Bound {
    fn json(&self) -> Value {
        match self {
            Self::Text(text) => text.as_str().into(),
            Self::Time(time) => time.to_rfc3339().into(),
        }
    }
}

/// Smallest and largest value of a row group's column; `None` when all are missing.
fn bounds(known: &Statistics) -> Option<(Bound, Bound)> {
    match known {
        Statistics::ByteArray(texts) => {
            let text = |bytes: &[u8]| Bound::Text(String::from_utf8_lossy(bytes).into_owned());
            Some((text(texts.min_opt()?.data()), text(texts.max_opt()?.data())))
        }
        Statistics::Int64(times) => {
            let time = |micros: &i64| Bound::Time(EventTime::from_unix_micros(*micros));
            Some((time(times.min_opt()?), time(times.max_opt()?)))
        }
        _ => None,
    }
}

/// The columns of a file: those of the table without the partition column.
pub fn file_schema(table: Table) -> SchemaRef {
    let schema = arrow_schema(table);
    let kept: Vec<usize> =
        (0..schema.fields().len()).filter(|index| schema.field(*index).name() != DATE).collect();
    schema.project(&kept).expect("the columns are the schema's own").into()
}

/// The columns of rows that are to be written: those of a file, and the ones that repeat as runs.
pub fn rows_schema(table: Table) -> SchemaRef {
    let as_runs = |kind: &DataType| {
        let ends = Field::new("run_ends", DataType::Int32, false);
        DataType::RunEndEncoded(ends.into(), Field::new("values", kind.clone(), true).into())
    };
    let schema = file_schema(table);
    let fields = schema.fields().iter().map(|field| match repeats(table, field.name()) {
        Some(_) => Field::new(field.name(), as_runs(field.data_type()), true).into(),
        None => field.clone(),
    });
    Schema::new(fields.collect::<Vec<_>>()).into()
}

/// Where the pages end of a column that has long runs of equal rows: what a series says of itself, and what its rows share.
fn repeats(table: Table, name: &str) -> Option<Pages> {
    let of_series = matches!(table, Table::Samples | Table::Blocks);
    match name {
        // Rows are sorted by these, and questions name them.
        "rack" | "signal" if of_series => Some(Pages::AtChanges),
        "flag" | "labels" | SHARD if of_series => Some(Pages::Full),
        _ => text_of_series(name).filter(|_| of_series).map(|_| Pages::Full),
    }
}

/// Rows of a row group. Readers skip pages, so that few of its rows are decoded for one; but for each column of each group they
/// begin zstd anew, which took a fifth of a query over samples in groups of a quarter of the size. Rows of other tables are
/// large, and a group is held until it ends.
const fn row_group_rows(table: Table) -> usize {
    match table {
        Table::Samples | Table::Blocks => 524_288,
        _ => 131_072,
    }
}

/// How files of the table are encoded.
fn writer_properties(table: Table, compression_level: i32) -> WriterProperties {
    let level = ZstdLevel::try_new(compression_level).expect("levels 1 and 3 exist");
    let mut properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(level))
        .set_statistics_truncate_length(None) // Delta's are made from them, and are exact.
        .set_column_dictionary_enabled(table.time_column().into(), false)
        .set_column_encoding(table.time_column().into(), Encoding::DELTA_BINARY_PACKED)
        .set_sorting_columns(Some(sorting_columns(table)));
    // Nobody looks for rows by these, and comparing every text with the least and greatest so far costs time.
    for name in ["source_name", "source_unit", "labels.key_value.key", "labels.key_value.value"] {
        let column = ColumnPath::from(name.split('.').map(str::to_owned).collect::<Vec<_>>());
        properties = properties.set_column_statistics_enabled(column, EnabledStatistics::None);
    }
    // A series' positions in the log grow by nearly the same from row to row, and never repeat: of a day's file a
    // dictionary of them took 1.6 bytes a row, their bytes apart take 0.4.
    if matches!(table, Table::Samples | Table::Blocks) {
        properties = properties
            .set_column_dictionary_enabled(SEQUENCE.into(), false)
            .set_column_encoding(SEQUENCE.into(), Encoding::BYTE_STREAM_SPLIT);
    }
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
