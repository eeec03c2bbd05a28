//! Merges many small files into few large ones: the same rows, sorted, read faster.
//!
//! Every file is sorted already, so files are merged as they are read, in little memory. Of readings with equal
//! series and time the one that came first stays, whatever window the duplicates were found in.
//!
//! **plan** → `cursor` → `merged` → writer

mod cursor; // the place in a file up to which its rows are merged
mod merged; // sorted files as one

use std::collections::BTreeMap;
use std::sync::Arc;

use datafusion::error::DataFusionError;
use datafusion::execution::runtime_env::RuntimeEnv;
use deltalake_core::kernel::{Add, EagerSnapshot};
use deltalake_core::{DeltaTable, DeltaTableError};
use telemetry::table::Table;

use self::merged::{MergeError, Merged, SortedFile};
use super::file::{FILE_BYTES_MAX, FileWriter};
use super::location::Location;
use super::scan::rows_of;
use crate::HistoryError;

/// zstd when files are merged: 15 % smaller than at a flush, for twice the time.
const MERGE_COMPRESSION: i32 = 3;
/// Files of one size on a day that still gets rows, before they are merged.
const OPEN_DAY_FILES_MIN: usize = 16;
/// Files of one size on a day that is over, before they are merged.
const CLOSED_DAY_FILES_MIN: usize = 2;
/// Files that are merged at once: each is open while it is read.
const MERGED_FILES_MAX: usize = 128;
/// Rows of each file in memory while files are merged: at 128 files and 200 bytes a row 50 MB, beside the row group that is
/// read of each, which is half a MB of samples.
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
/// [`HistoryError::Store`]; it names a file that cannot be read.
pub async fn merge(
    table: Table,
    delta: &DeltaTable,
    (snapshot, location): (&EagerSnapshot, &Location),
    group: &Group,
    runtime: &Arc<RuntimeEnv>,
) -> Result<Vec<Add>, HistoryError> {
    let failed = |error| match error {
        MergeError::File { path, error } => {
            let error = format!("{path} cannot be read: {}", error.strip_backtrace());
            HistoryError::store(table, "compact")(DeltaTableError::from(DataFusionError::Execution(error)))
        }
        MergeError::Columns(error) => HistoryError::columns(table)(error),
    };
    let stored = snapshot.log_data();
    let files = group.paths.iter().map(|path| {
        let file = stored.iter().find(|file| *path == file.path());
        // Whoever replaces these files removes them all: none may be left out.
        let missing = || DataFusionError::Execution("the table's log names it no more".to_owned());
        let rows =
            file.ok_or_else(missing).and_then(|file| rows_of(&file, location, table, runtime, MERGED_ROWS));
        match rows {
            Ok(rows) => Ok(SortedFile { path: path.clone(), rows }),
            Err(error) => Err(failed(MergeError::File { path: path.clone(), error })),
        }
    });
    let mut merged = Merged::open(table, files.collect::<Result<_, _>>()?).await.map_err(failed)?;
    let mut writer = FileWriter::new(table, delta, MERGE_COMPRESSION);
    loop {
        let written = match merged.next(MERGED_ROWS).await.map_err(failed) {
            Ok(None) => break,
            Ok(Some(batch)) => writer.write(&group.date, &batch).await,
            Err(error) => Err(error),
        };
        if let Err(error) = written {
            writer.give_up().await;
            return Err(error);
        }
        // What is flushed meanwhile has its turn: senders wait for that in the end, and for this nobody does.
        tokio::task::yield_now().await;
    }
    let mut adds = writer.finish().await?;
    adds.iter_mut().for_each(|add| add.data_change = false);
    Ok(adds)
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
