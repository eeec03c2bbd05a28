//! Merges many small files into few large ones: the same rows, sorted, read faster.
//!
//! Every file is sorted already, so files are merged as they are read, in little memory. Of readings with equal
//! series and time the one that came first stays, whatever window the duplicates were found in.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{RecordBatch, UInt32Array};
use arrow::compute::{concat_batches, partition, take_record_batch};
use arrow::error::ArrowError;
use datafusion::catalog::TableProvider;
use datafusion::error::DataFusionError;
use datafusion::execution::context::SessionContext;
use datafusion::execution::runtime_env::RuntimeEnv;
use datafusion::physical_expr::expressions::col;
use datafusion::physical_expr::{LexOrdering, PhysicalSortExpr};
use datafusion::physical_plan::coalesce_partitions::CoalescePartitionsExec;
use datafusion::physical_plan::sorts::sort_preserving_merge::SortPreservingMergeExec;
use datafusion::physical_plan::union::UnionExec;
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties};
use datafusion::prelude::SessionConfig;
use deltalake_core::delta_datafusion::{DeltaScanConfig, DeltaScanNext};
use deltalake_core::kernel::{Add, EagerSnapshot};
use deltalake_core::{DeltaTable, DeltaTableError};
use futures::TryStreamExt;
use telemetry::table::Table;

use super::file::{FILE_BYTES_MAX, FileWriter};
use crate::HistoryError;
use crate::memory::plain::ORDER;
use crate::schema::{SEQUENCE, arrow_schema, sort_key};

/// zstd when files are merged: 15 % smaller than at a flush, for twice the time.
const MERGE_COMPRESSION: i32 = 3;
/// Files of one size on a day that still gets rows, before they are merged.
const OPEN_DAY_FILES_MIN: usize = 16;
/// Files of one size on a day that is over, before they are merged.
const CLOSED_DAY_FILES_MIN: usize = 2;
/// Files that are merged at once: each is open while it is read.
const MERGED_FILES_MAX: usize = 128;
/// Rows of each file in memory while files are merged: at 128 files and 300 bytes a row 80 MB.
const MERGED_ROWS: usize = 2_048;
/// Sizes whose files are merged with each other only, so that a large file is not written again for a small one:
/// a row is rewritten at most once a size.
const SIZES: [i64; 3] = [1 << 20, 16 << 20, FILE_BYTES_MAX as i64 / 4 * 3];

/// Files that become one, or few when they are large.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// Their day.
    pub date: String,
    /// Their paths.
    pub paths: Vec<String>,
    /// Their bytes together.
    pub bytes: u64,
}

/// What a plan needs to know about a file.
#[derive(Debug, Clone)]
pub struct FileSize {
    /// Its day.
    pub date: String,
    /// Its path below the table.
    pub path: String,
    /// Its size in bytes.
    pub bytes: i64,
}

/// Which files to merge; `today` still gets rows.
pub fn plan(files: impl Iterator<Item = FileSize>, today: &str) -> Vec<Group> {
    let mut sizes: BTreeMap<(String, usize), Vec<FileSize>> = BTreeMap::new();
    for file in files {
        if let Some(size) = SIZES.iter().position(|bytes_max| file.bytes < *bytes_max) {
            sizes.entry((file.date.clone(), size)).or_default().push(file);
        }
    }
    let mut groups = Vec::new();
    for ((date, _), mut files) in sizes {
        let files_min = if date.as_str() < today { CLOSED_DAY_FILES_MIN } else { OPEN_DAY_FILES_MIN };
        if files.len() < files_min {
            continue;
        }
        files.sort_by(|left, right| left.path.cmp(&right.path));
        let empty = || Group { date: date.clone(), paths: Vec::new(), bytes: 0 };
        let mut group = empty();
        for file in files {
            let bytes = file.bytes.unsigned_abs();
            if group.paths.len() == MERGED_FILES_MAX || group.bytes + bytes > FILE_BYTES_MAX as u64 {
                groups.push(std::mem::replace(&mut group, empty()));
            }
            group.bytes += bytes;
            group.paths.push(file.path);
        }
        groups.push(group);
    }
    groups.retain(|group| group.paths.len() > 1);
    groups
}

/// Writes the rows of a group's files into new ones, which no commit refers to yet.
///
/// # Errors
/// [`HistoryError::Store`].
pub async fn merge(
    table: Table,
    delta: &DeltaTable,
    snapshot: &Arc<EagerSnapshot>,
    group: &Group,
    runtime: &Arc<RuntimeEnv>,
) -> Result<Vec<Add>, HistoryError> {
    let failed = |error: DataFusionError| HistoryError::store(table, "compact")(DeltaTableError::from(error));
    let config = SessionConfig::new().with_target_partitions(1).with_batch_size(MERGED_ROWS);
    let session = SessionContext::new_with_config_rt(config, runtime.clone());
    let merged = sorted_rows(table, snapshot, group, &session).await.map_err(failed)?;
    let mut rows = merged.execute(0, session.task_ctx()).map_err(failed)?;

    let mut writer = FileWriter::new(table, delta, MERGE_COMPRESSION);
    let mut first_of_equals = FirstOfEquals::new(table);
    loop {
        let step = match rows.try_next().await {
            Ok(None) => break,
            Ok(Some(batch)) => match first_of_equals.of(batch) {
                Ok(batch) => writer.write(&group.date, &batch).await,
                Err(error) => Err(HistoryError::columns(table)(error)),
            },
            Err(error) => {
                let error = match unreadable(snapshot, group, &session).await {
                    Some(path) => error_of(path, &error),
                    None => error,
                };
                Err(failed(error))
            }
        };
        if let Err(error) = step {
            writer.give_up().await;
            return Err(error);
        }
    }
    let mut adds = writer.finish().await?;
    adds.iter_mut().for_each(|add| add.data_change = false);
    Ok(adds)
}

async fn sorted_rows(
    table: Table,
    snapshot: &Arc<EagerSnapshot>,
    group: &Group,
    session: &SessionContext,
) -> Result<Arc<dyn ExecutionPlan>, DataFusionError> {
    let mut files: Vec<Arc<dyn ExecutionPlan>> = Vec::with_capacity(group.paths.len());
    for path in &group.paths {
        let scan = rows_of(snapshot, path, session).await?;
        // One file is one partition and keeps its order; were it split, merging would be wrong.
        debug_assert_eq!(scan.output_partitioning().partition_count(), 1);
        files.push(if scan.output_partitioning().partition_count() == 1 {
            scan
        } else {
            Arc::new(CoalescePartitionsExec::new(scan))
        });
    }
    let schema = arrow_schema(table);
    let order = sort_key(table)
        .iter()
        .map(|name| Ok(PhysicalSortExpr::new(col(name, &schema)?, ORDER)))
        .collect::<Result<Vec<_>, DataFusionError>>()?;
    let order = LexOrdering::new(order).expect("a key has columns");
    let all = if files.len() == 1 { files.remove(0) } else { UnionExec::try_new(files)? };
    Ok(Arc::new(SortPreservingMergeExec::new(order, all)))
}

async fn rows_of(
    snapshot: &Arc<EagerSnapshot>,
    path: &str,
    session: &SessionContext,
) -> Result<Arc<dyn ExecutionPlan>, DataFusionError> {
    let mut config = DeltaScanConfig::new().with_wrap_partition_values(false);
    config.schema_force_view_types = false;
    let scan = DeltaScanNext::new(snapshot.clone(), config)?.with_file_paths([path]);
    scan.scan(&session.state(), None, &[], None).await
}

/// Which file of a group cannot be read: the error of a damaged page does not say where it is.
async fn unreadable<'a>(
    snapshot: &Arc<EagerSnapshot>,
    group: &'a Group,
    session: &SessionContext,
) -> Option<&'a str> {
    for path in &group.paths {
        let read = async {
            let mut rows = rows_of(snapshot, path, session).await?.execute(0, session.task_ctx())?;
            while rows.try_next().await?.is_some() {}
            Ok::<_, DataFusionError>(())
        };
        if read.await.is_err() {
            return Some(path);
        }
    }
    None
}

fn error_of(path: &str, error: &DataFusionError) -> DataFusionError {
    DataFusionError::Execution(format!("{path} cannot be read: {}", error.strip_backtrace()))
}

/// Drops rows of `samples` and `blocks` whose series and time are those of the row before.
struct FirstOfEquals {
    /// The key without `seq`; empty for tables that keep all rows.
    key: &'static [&'static str],
    last: Option<RecordBatch>,
}

impl FirstOfEquals {
    fn new(table: Table) -> Self {
        let key = match table {
            Table::Samples | Table::Blocks => sort_key(table).strip_suffix(&[SEQUENCE]).unwrap_or(&[]),
            _ => &[],
        };
        Self { key, last: None }
    }

    fn of(&mut self, batch: RecordBatch) -> Result<RecordBatch, ArrowError> {
        if self.key.is_empty() || batch.num_rows() == 0 {
            return Ok(batch);
        }
        // The last row of the batch before goes in front, so that equals across the border are seen.
        let before = self.last.replace(batch.slice(batch.num_rows() - 1, 1));
        let (rows, skip) = match &before {
            Some(last) => (concat_batches(&batch.schema(), [last, &batch])?, 1),
            None => (batch, 0),
        };
        let key = self
            .key
            .iter()
            .map(|name| {
                let values = rows.column_by_name(name).cloned();
                values.ok_or_else(|| ArrowError::SchemaError(format!("no column {name:?}")))
            })
            .collect::<Result<Vec<_>, _>>()?;
        let equals = partition(&key)?.ranges();
        let firsts = equals.iter().map(|range| range.start).filter(|start| *start >= skip);
        if equals.len() == rows.num_rows() {
            return Ok(rows.slice(skip, rows.num_rows() - skip));
        }
        take_record_batch(&rows, &UInt32Array::from_iter_values(firsts.map(|start| start as u32)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(date: &str, bytes: i64, count: usize) -> Vec<FileSize> {
        let file =
            |index| FileSize { date: date.to_owned(), path: format!("{date}/{bytes}-{index:03}"), bytes };
        (0..count).map(file).collect()
    }

    #[test]
    fn an_open_day_waits_for_many_files_and_a_closed_one_does_not() {
        let mut all = files("2026-01-04", 1_000, 2);
        all.extend(files("2026-01-05", 1_000, OPEN_DAY_FILES_MIN - 1));
        let groups = plan(all.into_iter(), "2026-01-05");
        assert_eq!(groups.len(), 1);
        assert_eq!(groups[0].date, "2026-01-04");
    }

    #[test]
    fn a_large_file_is_not_written_again_for_a_small_one() {
        let mut all = files("2026-01-04", 1_000, 1);
        all.extend(files("2026-01-04", 100 << 20, 1));
        all.extend(files("2026-01-04", 300 << 20, 3));
        assert_eq!(plan(all.into_iter(), "2026-01-05"), []);
    }

    /// The files of a day to which each minute adds one of `bytes`, with a round of merging each hour and one when the day
    /// is over.
    fn files_of_a_day(bytes: i64) -> Vec<FileSize> {
        let day = "2026-01-04";
        let mut all: Vec<FileSize> = Vec::new();
        for round in 0..25 {
            let minutes = if round < 24 { 60 } else { 0 };
            let flushed = (0..minutes).map(|minute| format!("{round:02}-{minute:02}"));
            all.extend(flushed.map(|path| FileSize { date: day.to_owned(), path, bytes }));
            let today = if round < 24 { day } else { "2026-01-05" };
            for (number, group) in plan(all.clone().into_iter(), today).into_iter().enumerate() {
                all.retain(|file| !group.paths.contains(&file.path));
                let path = format!("merged-{round:02}-{number:02}");
                all.push(FileSize { date: day.to_owned(), path, bytes: group.bytes as i64 });
            }
        }
        all
    }

    #[test]
    fn a_day_of_a_thousand_racks_ends_in_few_files() {
        // 300,000 series that tell a reading every ten seconds, at 0.9 bytes each: 2.3 GB a day.
        let samples = files_of_a_day(300_000 * 6 * 9 / 10);
        let bytes: i64 = samples.iter().map(|file| file.bytes).sum();
        assert_eq!(bytes, 24 * 60 * 300_000 * 6 * 9 / 10, "nothing is lost");
        assert!(samples.len() <= 15, "{}", samples.len());
        // Their 60 s blocks at 10 bytes, statuses and headroom; and what is told now and then.
        let tables =
            [3_000_000, 500_000, 200_000, 50_000, 10_000, 10_000, 10_000, 1_000, 1_000, 1_000, 1_000];
        let others: usize = tables.map(|bytes| files_of_a_day(bytes).len()).iter().sum();
        assert!(others <= 50, "{others}");
    }

    #[test]
    fn a_group_makes_one_file() {
        let groups = plan(files("2026-01-04", 100 << 20, 5).into_iter(), "2026-01-05");
        let sizes: Vec<usize> = groups.iter().map(|group| group.paths.len()).collect();
        assert_eq!(sizes, [2, 2]); // the fifth is alone
    }
}
