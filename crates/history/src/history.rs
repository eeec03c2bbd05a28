//! The handle: rows in from the pipeline's thread, frozen at a record, committed by one committer, read as one cut.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};

use arc_swap::ArcSwap;
use telemetry::EventTime;
use telemetry::record::{Fate, PartitionId, SampleBatch, Sequence, SeriesDeclaration};
use telemetry::table::{Block, Row, Table};

use crate::HistoryError;
use crate::cut::{Cut, Published};
use crate::failpoint;
use crate::memory::part::{BlockValues, Part, PlainRow};
use crate::memory::plain;
use crate::memory::series::{SeriesNumber, SeriesRegistry};
use crate::memory::sorted::{Measured, SortedRows};
use crate::memory::{Day, kept_time};
use crate::query::{Limits, QueryEngine};
use crate::store::file::rows_schema;
use crate::store::location::Location;
use crate::store::table::StoredTable;

/// The table that is committed last, in every commit: what its transaction says holds for all tables.
const LAST: Table = Table::Log;
/// zstd when rows are flushed: fast, for files that are merged within hours.
const FLUSH_COMPRESSION: i32 = 1;
/// Rows handed to the Parquet encoder at once.
const FLUSH_BATCH_ROWS: usize = 65_536;
/// The same of tables whose rows are mostly texts.
const PLAIN_BATCH_ROWS: usize = 8_192;

/// How the history is kept.
#[derive(Debug, Clone)]
pub struct HistorySettings {
    /// The log stream that rows come from; part of the transactions' names.
    pub shard: u32,
    /// Changes nothing in the store: for a look at a folder that no service runs on.
    pub read_only: bool,
    /// Days that each table keeps; a table that is not named is kept for ever.
    pub retention_days: BTreeMap<Table, u32>,
    /// What one query may take.
    pub limits: Limits,
}

impl Default for HistorySettings {
    /// Stream 0; `samples` 90 days, `blocks`, `slo_status`, `headroom`, `recoveries` and `events` 400, others for ever.
    fn default() -> Self {
        let days = |table| match table {
            Table::Samples => Some(90),
            Table::Blocks | Table::SloStatus | Table::Headroom | Table::Recoveries | Table::Events => {
                Some(400)
            }
            Table::Findings
            | Table::Alerts
            | Table::Verdicts
            | Table::Runs
            | Table::Overrides
            | Table::Calibrations
            | Table::Maintenance
            | Table::Drills
            | Table::DrillEvents
            // What was told long ago may be in force still: documents, series, calibrations. A day of ticks is 144 rows.
            | Table::Log => None,
        };
        let retention_days = Table::ALL.iter().filter_map(|table| Some((*table, days(*table)?))).collect();
        Self { shard: 0, read_only: false, retention_days, limits: Limits::default() }
    }
}

/// All rows of all tables, in files and in memory. Clones share one history.
#[derive(Clone)]
pub struct History(Arc<Inner>);

struct Inner {
    settings: HistorySettings,
    location: Location,
    series: SeriesRegistry,
    writer: Mutex<Writer>,
    /// By table; whoever holds it is the one committer.
    tables: tokio::sync::Mutex<Vec<StoredTable>>,
    published: ArcSwap<Published>,
    /// Held while `published` is replaced by one made from it.
    publishing: Mutex<()>,
    now: AtomicI64,
}

/// What the pipeline's thread adds to.
struct Writer {
    open: Arc<Part>,
    /// The numbers of a partition's series by their ids.
    numbers: BTreeMap<PartitionId, Vec<Option<Declared>>>,
    /// By table: rows up to here were in the files at the start and are skipped when they are replayed.
    stored: Vec<Sequence>,
}

struct Declared {
    number: SeriesNumber,
    declaration: Arc<SeriesDeclaration>,
}

/// Rows up to a record, ready to be committed.
pub struct Frozen {
    up_to: Sequence,
    parts: Vec<Arc<Part>>,
}

impl Frozen {
    /// The last record whose rows are in it.
    pub fn up_to(&self) -> Sequence {
        self.up_to
    }
}

impl History {
    /// Opens the store, and makes the tables that are not there (unless read only).
    ///
    /// - `store_url`: a folder, `file:///…`, `memory://`, or `s3://bucket/prefix`.
    ///
    /// # Errors
    /// [`HistoryError::Location`], [`HistoryError::FormatVersion`], [`HistoryError::NotOurs`] for a store that
    /// cannot be used, [`HistoryError::Store`] for one that cannot be reached.
    pub async fn open(store_url: &str, settings: HistorySettings) -> Result<Self, HistoryError> {
        let location = Location::parse(store_url, settings.read_only)?;
        let opened = Table::ALL
            .iter()
            .map(|table| StoredTable::open(&location, *table, settings.shard, settings.read_only));
        let tables = futures::future::try_join_all(opened).await?;
        let open = Part::empty();
        let versions = tables.iter().map(StoredTable::version).collect();
        let stored = tables.iter().map(StoredTable::transaction).collect();
        Ok(Self(Arc::new(Inner {
            settings,
            location,
            series: SeriesRegistry::default(),
            writer: Mutex::new(Writer { open: open.clone(), numbers: BTreeMap::new(), stored }),
            tables: tokio::sync::Mutex::new(tables),
            published: ArcSwap::from_pointee(Published { versions, parts: vec![open] }),
            publishing: Mutex::new(()),
            now: AtomicI64::new(0),
        })))
    }

    /// All rows of all tables up to this record are in the store. A table may hold later ones already, which are
    /// skipped when they are appended again.
    pub fn committed(&self) -> Sequence {
        self.0.published.load().versions[LAST as usize].transaction
    }

    /// The last record of which any table holds rows: a log that begins anew has to begin after it, or its rows would
    /// count as stored. At least [`History::committed`]; later after a crash between the commits of two tables.
    pub fn last_stored(&self) -> Sequence {
        self.0.published.load().versions.iter().map(|version| version.transaction).max().unwrap_or(0)
    }

    /// Whether rows are still there when this process has ended: not those of `memory://`.
    pub fn outlives_the_process(&self) -> bool {
        self.0.location.outlives_the_process()
    }

    /// Names a series. To be called before its first row, and after a start for every series that the evaluator's
    /// snapshot holds.
    pub fn declare(&self, partition: PartitionId, declaration: &Arc<SeriesDeclaration>) {
        let mut writer = self.writer();
        let series = writer.numbers.entry(partition).or_default();
        let index = declaration.id.0 as usize;
        if series.len() <= index {
            series.resize_with(index + 1, || None);
        }
        if series[index].as_ref().is_none_or(|known| known.declaration != *declaration) {
            let declaration = declaration.clone();
            let number = self.0.series.add(declaration.clone());
            series[index] = Some(Declared { number, declaration });
        }
    }

    /// Adds the readings of one record. Duplicates and conflicts are not stored.
    ///
    /// - `fates`: one a reading, as the evaluator decided.
    pub fn append_samples(
        &self,
        sequence: Sequence,
        partition: PartitionId,
        batch: &SampleBatch,
        fates: &[Fate],
    ) {
        let writer = self.writer();
        if sequence <= writer.stored[Table::Samples as usize] {
            return;
        }
        let series = writer.numbers.get(&partition).map_or(&[][..], Vec::as_slice);
        let mut rows = writer.open.rows();
        for (index, fate) in fates.iter().enumerate() {
            let flag = match fate {
                Fate::Stored(flag) => *flag,
                Fate::Duplicate | Fate::Conflict => continue,
            };
            let Some(Some(declared)) = series.get(batch.series[index].0 as usize) else {
                undeclared(partition, sequence);
                continue;
            };
            let time = kept_time(batch.time[index].unix_micros());
            rows.samples.push(sequence, declared.number, time, flag, batch.value[index]);
        }
    }

    /// Adds a row of `blocks`.
    pub fn append_block(&self, sequence: Sequence, block: &Block) {
        let writer = self.writer();
        if sequence <= writer.stored[Table::Blocks as usize] {
            return;
        }
        let declared =
            writer.numbers.get(&block.partition).and_then(|series| series.get(block.series.0 as usize));
        let Some(Some(declared)) = declared else {
            return undeclared(block.partition, sequence);
        };
        let values = BlockValues {
            mean: block.mean,
            minimum: block.minimum,
            maximum: block.maximum,
            last: block.last,
            known_seconds: block.known.as_seconds(),
            count: block.count,
        };
        let time = kept_time(block.time.unix_micros());
        writer.open.rows().blocks.push(sequence, declared.number, time, telemetry::record::Flag::Ok, values);
    }

    /// Adds a row of a table other than `samples` and `blocks`.
    pub fn append_row(&self, sequence: Sequence, row: Row) {
        let writer = self.writer();
        if sequence > writer.stored[row.table as usize] {
            debug_assert_eq!(
                row.cells.len(),
                row.table.columns().len(),
                "a cell a column of {}",
                row.table.name()
            );
            writer.open.rows().push(row.table, sequence, row.cells);
        }
    }

    /// Ends the part that rows are added to and begins a new one: called between two records, with the last one
    /// whose rows were added.
    pub fn freeze(&self, up_to: Sequence) -> Frozen {
        let mut writer = self.writer();
        let open = Part::empty();
        let mut parts = Vec::new();
        self.publish(|published| {
            parts.clone_from(&published.parts);
            published.parts.push(open.clone());
        });
        writer.open = open;
        Frozen { up_to, parts }
    }

    /// Brings frozen rows into the store and lets go of their memory. May be called again with the same rows after
    /// an error: each row comes there once.
    ///
    /// # Errors
    /// [`HistoryError::Store`] when the store refuses or cannot be reached: the rows stay in memory.
    /// [`HistoryError::ForeignWriter`] when another process commits for the same stream.
    pub async fn commit(&self, frozen: &Frozen) -> Result<Sequence, HistoryError> {
        if self.0.settings.read_only {
            return Err(HistoryError::ReadOnly { action: "commit rows" });
        }
        let mut tables = self.0.tables.lock().await;
        let order = Table::ALL.iter().copied().filter(|table| *table != LAST).chain([LAST]);
        for table in order {
            self.commit_table(&mut tables[table as usize], table, frozen).await?;
        }
        self.publish(|published| {
            published.versions = tables.iter().map(StoredTable::version).collect();
            published.parts.retain(|part| !frozen.parts.iter().any(|done| Arc::ptr_eq(part, done)));
        });
        Ok(tables[LAST as usize].transaction())
    }

    async fn commit_table(
        &self,
        stored: &mut StoredTable,
        table: Table,
        frozen: &Frozen,
    ) -> Result<(), HistoryError> {
        stored.settle().await?;
        let after = stored.transaction();
        if after >= frozen.up_to {
            return Ok(());
        }
        let parts: Vec<_> = frozen.parts.iter().filter(|part| part.last_sequence(table) > after).collect();
        if parts.is_empty() && table != LAST {
            return Ok(());
        }
        let schema = rows_schema(table);
        let adds = match table {
            Table::Samples => {
                let taken: Vec<_> = parts.iter().flat_map(|part| part.samples(&part.mark())).collect();
                let batches = self.sorted(&taken, after).batches_by_day(schema, FLUSH_BATCH_ROWS);
                stored.write(FLUSH_COMPRESSION, batches.map(columns_or_error(table))).await?
            }
            Table::Blocks => {
                let taken: Vec<_> = parts.iter().flat_map(|part| part.blocks(&part.mark())).collect();
                let batches = self.sorted(&taken, after).batches_by_day(schema, FLUSH_BATCH_ROWS);
                stored.write(FLUSH_COMPRESSION, batches.map(columns_or_error(table))).await?
            }
            _ => {
                let mut days: BTreeMap<Day, Vec<PlainRow>> = BTreeMap::new();
                let rows = parts.iter().flat_map(|part| part.plain(table, &part.mark()));
                for row in rows.filter(|(sequence, _)| *sequence > after) {
                    days.entry(plain::day_of_row(table, &row.1)).or_default().push(row);
                }
                let shard = self.0.settings.shard;
                let sorted = days.into_iter().map(|(day, rows)| {
                    Ok((day, plain::sorted(table, shard, rows, schema.clone(), PLAIN_BATCH_ROWS)?))
                });
                let sorted: Vec<_> =
                    sorted.collect::<Result<_, _>>().map_err(HistoryError::columns(table))?;
                let batches =
                    sorted.into_iter().flat_map(|(day, batches)| batches.map(move |batch| Ok((day, batch?))));
                stored.write(FLUSH_COMPRESSION, batches.map(columns_or_error(table))).await?
            }
        };
        failpoint::reach("before_delta_commit");
        stored.commit(adds, frozen.up_to).await?;
        failpoint::reach("after_delta_commit");
        Ok(())
    }

    fn sorted<V: Measured>(
        &self,
        taken: &[(Arc<crate::memory::part::Chunk<V>>, usize)],
        after: Sequence,
    ) -> SortedRows<V> {
        SortedRows::new(taken, self.0.series.ranking(), self.0.settings.shard, after, None)
    }

    /// Memory that rows take which are not in the store yet, in bytes.
    pub fn memory_bytes(&self) -> usize {
        self.0.published.load().parts.iter().map(|part| part.bytes()).sum()
    }

    /// Says what `now()` means in queries: the data's watermark.
    pub fn set_now(&self, now: EventTime) {
        self.0.now.store(now.unix_micros(), Ordering::Relaxed);
    }

    /// What `now()` means in queries; the beginning of 1970 while nobody has said.
    pub fn now(&self) -> EventTime {
        EventTime::from_unix_micros(self.0.now.load(Ordering::Relaxed))
    }

    /// What answers SQL about this history.
    pub fn query_engine(&self) -> QueryEngine {
        QueryEngine::new(self.clone(), self.0.settings.limits)
    }

    /// What a query sees that begins now.
    pub(crate) fn cut(&self) -> Cut {
        Cut::take(self.0.published.load_full())
    }

    pub(crate) fn series(&self) -> &SeriesRegistry {
        &self.0.series
    }

    pub(crate) fn settings(&self) -> &HistorySettings {
        &self.0.settings
    }

    pub(crate) fn location(&self) -> &Location {
        &self.0.location
    }

    pub(crate) fn tables(&self) -> &tokio::sync::Mutex<Vec<StoredTable>> {
        &self.0.tables
    }

    /// Shows queries a table's files after maintenance.
    pub(crate) fn publish_version(&self, table: Table, stored: &StoredTable) {
        self.publish(|published| published.versions[table as usize] = stored.version());
    }

    fn publish(&self, change: impl FnOnce(&mut Published)) {
        let _one_at_a_time = self.0.publishing.lock().expect("no panic while publishing");
        let mut published = Published::clone(&self.0.published.load());
        change(&mut published);
        self.0.published.store(Arc::new(published));
    }

    fn writer(&self) -> std::sync::MutexGuard<'_, Writer> {
        self.0.writer.lock().expect("no panic while rows are added")
    }
}

fn columns_or_error<T>(
    table: Table,
) -> impl FnMut(Result<T, arrow::error::ArrowError>) -> Result<T, HistoryError> {
    move |batch| batch.map_err(HistoryError::columns(table))
}

// The log declares a series before its first row, so this is our bug: it must not end the service.
fn undeclared(partition: PartitionId, sequence: Sequence) {
    debug_assert!(
        false,
        "a row of record {sequence} belongs to a series of {partition:?} that was not declared"
    );
    tracing::error!(partition = partition.0, sequence, "a row of a series that was not declared is left out");
}
