//! What keeps the store small and fast, once an hour: merging files, dropping days that are too old, cleaning up.

use std::sync::Arc;
use std::time::{Duration, Instant};

use datafusion::execution::runtime_env::RuntimeEnv;
use deltalake_core::checkpoints::cleanup_metadata;
use deltalake_core::kernel::Action;
use deltalake_core::operations::vacuum::VacuumMode;
use deltalake_core::protocol::DeltaOperation;
use telemetry::EventTime;
use telemetry::table::Table;

use crate::memory::{date_text, day_of, kept_time};
use crate::schema::DATE;
use crate::store::compaction::{FileSize, Group, merge, plan};
use crate::store::file::FILE_BYTES_MAX;
use crate::store::table::StoredTable;
use crate::{History, HistoryError, failpoint};

/// What one round of maintenance may take. Small files that are left wait for the next round.
#[derive(Debug, Clone, Copy)]
pub struct Budget {
    /// Bytes of files that are read to be merged.
    pub bytes_max: u64,
    /// Time after which no more files are begun to be merged.
    pub time_max: Duration,
}

impl Default for Budget {
    /// 8 GiB, a quarter of an hour.
    fn default() -> Self {
        Self { bytes_max: 8 << 30, time_max: Duration::from_secs(15 * 60) }
    }
}

/// What one round of maintenance did.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct MaintenanceReport {
    /// Small files that were merged.
    pub merged_files: usize,
    /// Their bytes.
    pub merged_bytes: u64,
    /// Files they became.
    pub written_files: usize,
    /// Small files that would have been merged, but for the budget or an error.
    pub postponed_files: usize,
    /// Files of days that were too old.
    pub expired_files: usize,
    /// Files that no version within 7 days refers to, and those that a crash kept from ever being in one, deleted for good.
    pub deleted_files: usize,
    /// Files of the Delta log older than 7 days, deleted for good.
    pub deleted_log_files: usize,
}

impl History {
    /// Merges small files, drops days that are too old, and deletes what nothing refers to any more. Rows can be
    /// added, committed and read meanwhile. Called by one task only, about once an hour.
    ///
    /// - `now`: event time; ages of days count from it.
    /// - `budget`: for merging; days that are too old are dropped in any case.
    /// - `report`: what is done is added to it, also when something else fails.
    ///
    /// # Errors
    /// [`HistoryError::Store`], the first of all tables: a file that cannot be read keeps its own group of files from
    /// being merged, and no other. What is not done is tried next time.
    pub async fn maintain(
        &self,
        now: EventTime,
        budget: Budget,
        report: &mut MaintenanceReport,
    ) -> Result<(), HistoryError> {
        if self.settings().read_only {
            return Err(HistoryError::ReadOnly { action: "maintain the store" });
        }
        let runtime = Arc::new(RuntimeEnv::default());
        self.location().register(&runtime);
        let mut result = Ok(());
        for table in Table::ALL {
            result = result.and(self.drop_expired(*table, now, report).await);
        }
        result = result.and(self.merge_small_files(now, budget, &runtime, report).await);
        for table in Table::ALL {
            result = result.and(self.clean_up(*table, report).await);
        }
        result
    }

    // A day is dropped as files only, so the table stays append-only; `data_change` is false because Delta allows no
    // other removal there, and because readers of the stream of changes have had these rows.
    async fn drop_expired(
        &self,
        table: Table,
        now: EventTime,
        report: &mut MaintenanceReport,
    ) -> Result<(), HistoryError> {
        let Some(days) = self.settings().retention_days.get(&table) else { return Ok(()) };
        let first_kept = date_text(day_of(kept_time(now.unix_micros())) - i64::from(*days));
        let mut tables = self.tables().lock().await;
        let stored = &mut tables[table as usize];
        stored.settle().await?;
        let removes: Vec<Action> = stored
            .files()
            .filter(|file| date_of(&file.partition_values_map()) < first_kept)
            .map(|file| Action::Remove(file.remove_action(false)))
            .collect();
        if removes.is_empty() {
            return Ok(());
        }
        report.expired_files += removes.len();
        let operation = DeltaOperation::Delete { predicate: Some(format!("{DATE} < '{first_kept}'")) };
        stored.commit_rewrite(Vec::new(), removes, operation, "drop old days of").await?;
        self.publish_version(table, stored);
        Ok(())
    }

    async fn merge_small_files(
        &self,
        now: EventTime,
        budget: Budget,
        runtime: &Arc<RuntimeEnv>,
        report: &mut MaintenanceReport,
    ) -> Result<(), HistoryError> {
        let begun = Instant::now();
        let today = date_text(day_of(kept_time(now.unix_micros())));
        let mut groups = Vec::new();
        for table in Table::ALL {
            let sizes = file_sizes(&self.tables().lock().await[*table as usize]);
            groups.extend(plan(sizes.into_iter(), &today).into_iter().map(|group| (*table, group)));
        }
        // Each file costs a query the same, so those that are smallest come first.
        groups.sort_by_key(|(_, group)| group.bytes / group.paths.len() as u64);
        let mut result = Ok(());
        for (table, group) in groups {
            let is_affordable = report.merged_bytes + group.bytes <= budget.bytes_max;
            let merged = if is_affordable && begun.elapsed() < budget.time_max {
                self.merge_group(table, &group, runtime, report).await.map(|()| true)
            } else {
                Ok(false)
            };
            report.postponed_files += if matches!(merged, Ok(true)) { 0 } else { group.paths.len() };
            result = result.and(merged.map(drop));
        }
        result
    }

    // Files are read and written without holding up commits; only the exchange of files does.
    async fn merge_group(
        &self,
        table: Table,
        group: &Group,
        runtime: &Arc<RuntimeEnv>,
        report: &mut MaintenanceReport,
    ) -> Result<(), HistoryError> {
        let (delta, version) = {
            let tables = self.tables().lock().await;
            (tables[table as usize].delta().clone(), tables[table as usize].version())
        };
        let Some(snapshot) = version.snapshot else { return Ok(()) };
        let adds = merge(table, &delta, (&snapshot, self.location()), group, runtime).await?;

        let mut tables = self.tables().lock().await;
        let stored = &mut tables[table as usize];
        stored.settle().await?;
        let removes: Vec<Action> = stored
            .files()
            .filter(|file| group.paths.iter().any(|path| *path == file.path()))
            .map(|file| Action::Remove(file.remove_action(false)))
            .collect();
        report.merged_files += removes.len();
        report.merged_bytes += group.bytes;
        report.written_files += adds.len();
        let operation = DeltaOperation::Optimize { predicate: None, target_size: FILE_BYTES_MAX as i64 };
        failpoint::reach("before_compaction_commit");
        stored.commit_rewrite(adds, removes, operation, "compact").await?;
        failpoint::reach("after_compaction_commit");
        self.publish_version(table, stored);
        Ok(())
    }

    async fn clean_up(&self, table: Table, report: &mut MaintenanceReport) -> Result<(), HistoryError> {
        let mut tables = self.tables().lock().await;
        let stored = &mut tables[table as usize];
        stored.settle().await?;
        let failed = || HistoryError::store(table, "clean up");
        // In full: what a crash left behind was never in a version. It goes once it is older than 7 days, when no commit can
        // be on its way to it.
        let vacuum = || stored.delta().clone().vacuum().with_mode(VacuumMode::Full);
        // A vacuum writes two commits even when there is nothing to delete: look first.
        let (_, found) = vacuum().with_dry_run(true).await.map_err(failed())?;
        if !found.files_deleted.is_empty() {
            let (delta, done) = vacuum().await.map_err(failed())?;
            report.deleted_files += done.files_deleted.len();
            stored.adopt(delta);
            self.publish_version(table, stored);
        }
        report.deleted_log_files += cleanup_metadata(stored.delta(), None).await.map_err(failed())?;
        Ok(())
    }
}

fn file_sizes(stored: &StoredTable) -> Vec<FileSize> {
    let files = stored.files().map(|file| FileSize {
        date: date_of(&file.partition_values_map()),
        path: file.path().to_string(),
        bytes: file.size(),
    });
    files.collect()
}

fn date_of(partition: &std::collections::HashMap<String, Option<String>>) -> String {
    partition.get(DATE).cloned().flatten().unwrap_or_default()
}
