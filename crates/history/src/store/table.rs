//! One Delta table: opened with all that exactly-once and reading rely on checked, written and committed by one owner.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::Field;
use deltalake_core::kernel::transaction::{CommitBuilder, CommitProperties};
use deltalake_core::kernel::{Action, Add, EagerSnapshot, MetadataExt, StructType, Transaction};
use deltalake_core::logstore::{LogStoreRef, commit_uri_from_version};
use deltalake_core::operations::create::CreateBuilder;
use deltalake_core::protocol::{DeltaOperation, SaveMode};
use deltalake_core::table::state::DeltaTableState;
use deltalake_core::{DeltaTable, DeltaTableError, TableProperty};
use object_store::ObjectStoreExt;
use telemetry::record::Sequence;
use telemetry::table::Table;

use super::file::{FileWriter, remove_files};
use super::location::Location;
use crate::HistoryError;
use crate::memory::{Day, date_text};
use crate::schema::{DATE, arrow_schema, delta_schema, statistics_columns};

/// The table property that says which layout the store has.
const FORMAT_PROPERTY: &str = "thermogate.format";
/// The layout that this version writes: columns, types, sort keys, names of transactions.
const FORMAT: &str = "1";
/// A table is loaded anew after this many commits: one that lives longer gets slower with each (delta-rs #4584).
const COMMITS_BETWEEN_LOADS: u32 = 50;

/// What queries see of a table: a version, and how far the log is in it.
#[derive(Debug, Clone, Default)]
pub struct TableVersion {
    /// The files; `None` for a table that does not exist yet (reading only).
    pub snapshot: Option<Arc<EagerSnapshot>>,
    /// All rows up to this record are in the files.
    pub transaction: Sequence,
}

/// One Delta table and its owner's view of it.
pub struct StoredTable {
    table: Table,
    location: Location,
    application: String,
    delta: DeltaTable,
    version: TableVersion,
    commits_since_load: u32,
    /// The last commit failed and the table could not be read afterwards: whether it holds is not known.
    doubtful: bool,
    /// The transaction of that commit.
    on_its_way: Option<Sequence>,
}

impl StoredTable {
    /// Opens the table, and makes it when it is not there (unless `read_only`).
    ///
    /// # Errors
    /// [`HistoryError::FormatVersion`], [`HistoryError::NotOurs`], [`HistoryError::Store`].
    pub async fn open(
        location: &Location,
        table: Table,
        shard: u32,
        read_only: bool,
    ) -> Result<Self, HistoryError> {
        let log_store = location.log_store(table)?;
        let failed = || HistoryError::store(table, "open");
        let mut delta = DeltaTable::new(log_store.clone());
        let exists = log_store.is_delta_table_location().await.map_err(failed())?;
        if exists {
            delta.load().await.map_err(failed())?;
        } else if !read_only {
            location.make_table_folder(table)?;
            delta = create(table, &delta_schema(table), log_store)
                .await
                .map_err(HistoryError::store(table, "create"))?;
        }
        // What samples say of themselves comes from ingest; all other rows are the evaluator's.
        let application = match table {
            Table::Samples => format!("ingest/{shard}"),
            _ => format!("eval/{shard}"),
        };
        let mut opened = Self {
            table,
            location: location.clone(),
            application,
            delta,
            version: TableVersion::default(),
            commits_since_load: 0,
            doubtful: false,
            on_its_way: None,
        };
        if exists || !read_only {
            opened.check()?;
            if !read_only {
                opened.add_columns().await?;
            }
            opened.check_columns()?;
            let (state, transaction) = opened.look_at_transaction(&opened.delta).await?;
            opened.take_over(state, transaction);
        }
        Ok(opened)
    }

    /// What queries see.
    pub fn version(&self) -> TableVersion {
        self.version.clone()
    }

    /// All rows up to this record are in the table.
    pub fn transaction(&self) -> Sequence {
        self.version.transaction
    }

    /// The table as Delta has it, for maintenance.
    pub fn delta(&self) -> &DeltaTable {
        &self.delta
    }

    /// Finds out whether the last commit holds when that is not known.
    ///
    /// # Errors
    /// [`HistoryError::Store`] while the store cannot be read, [`HistoryError::ForeignWriter`].
    pub async fn settle(&mut self) -> Result<(), HistoryError> {
        if self.doubtful || self.commits_since_load >= COMMITS_BETWEEN_LOADS {
            self.load().await?;
        }
        Ok(())
    }

    /// Writes rows as Parquet files that nothing refers to yet.
    ///
    /// `batches`: each of one day, in key order within a day.
    ///
    /// # Errors
    /// [`HistoryError::Store`]; the files begun are removed.
    pub async fn write(
        &self,
        compression_level: i32,
        batches: impl Iterator<Item = Result<(Day, RecordBatch), HistoryError>> + Send,
    ) -> Result<Vec<Add>, HistoryError> {
        let mut writer = FileWriter::new(self.table, &self.delta, compression_level);
        for batch in batches {
            let written = match batch {
                Ok((day, batch)) => writer.write(&date_text(day), &batch).await,
                Err(error) => Err(error),
            };
            if let Err(error) = written {
                writer.give_up().await;
                return Err(error);
            }
        }
        writer.finish().await
    }

    /// Commits files whose rows reach up to record `up_to`; files and transaction become visible together.
    ///
    /// When the answer is an error the table is read again, because a commit whose reply is lost has happened.
    ///
    /// # Errors
    /// [`HistoryError::Store`]: nothing was committed, or it is not known; [`StoredTable::settle`] tells.
    /// [`HistoryError::ForeignWriter`].
    pub async fn commit(&mut self, adds: Vec<Add>, up_to: Sequence) -> Result<(), HistoryError> {
        let properties = CommitProperties::default().with_application_transaction(Transaction::new(
            &self.application,
            i64::try_from(up_to).expect("a log has fewer than 2^63 records"),
        ));
        let actions: Vec<Action> = adds.iter().cloned().map(Action::Add).collect();
        let operation = DeltaOperation::Write {
            mode: SaveMode::Append,
            partition_by: Some(vec![DATE.to_owned()]),
            predicate: None,
        };
        for last_try in [false, true] {
            let error =
                match self.commit_actions(actions.clone(), properties.clone(), operation.clone()).await {
                    Ok(()) => {
                        self.version.transaction = up_to;
                        return Ok(());
                    }
                    Err(error) => error,
                };
            (self.doubtful, self.on_its_way) = (true, Some(up_to));
            let known = self.delta.version();
            match self.load().await {
                Ok(()) => {}
                Err(foreign @ HistoryError::ForeignWriter { .. }) => return Err(foreign),
                Err(_) => return Err(HistoryError::store(self.table, "commit to")(error)),
            }
            if self.version.transaction == up_to {
                tracing::info!(table = self.table.name(), %error, "a commit was reported as failed but has happened");
                return Ok(());
            }
            // Somebody else's maintenance came first: our rows go on top of it.
            let overtaken = self.delta.version() != known;
            if last_try || !overtaken {
                remove_files(&self.delta.object_store(), &adds).await;
                return Err(HistoryError::store(self.table, "commit to")(error));
            }
        }
        unreachable!("the last try returns")
    }

    /// Commits a rewrite: the same rows in other files, or files that are out of date.
    ///
    /// # Errors
    /// [`HistoryError::Store`]; the new files are removed unless the commit may hold.
    pub async fn commit_rewrite(
        &mut self,
        adds: Vec<Add>,
        mut actions: Vec<Action>,
        operation: DeltaOperation,
        action: &'static str,
    ) -> Result<(), HistoryError> {
        actions.extend(adds.iter().cloned().map(Action::Add));
        let result = self.commit_actions(actions, CommitProperties::default(), operation).await;
        if let Err(error) = result {
            self.doubtful = true;
            self.load().await?;
            let known: Vec<String> = self.files().map(|file| file.path().to_string()).collect();
            if adds.is_empty() || !adds.iter().all(|add| known.contains(&add.path)) {
                remove_files(&self.delta.object_store(), &adds).await;
                return Err(HistoryError::store(self.table, action)(error));
            }
        }
        Ok(())
    }

    /// Takes over the table as an operation of Delta's own left it.
    pub fn adopt(&mut self, delta: DeltaTable) {
        if let Some(state) = delta.state {
            self.show(state);
        }
    }

    /// The table's files.
    pub fn files(&self) -> impl Iterator<Item = deltalake_core::kernel::LogicalFileView> + '_ {
        self.version.snapshot.iter().flat_map(|snapshot| snapshot.log_data().iter().collect::<Vec<_>>())
    }

    // One owner: a table that has moved on in the meantime is an error here, never merged silently.
    async fn commit_actions(
        &mut self,
        actions: Vec<Action>,
        properties: CommitProperties,
        operation: DeltaOperation,
    ) -> Result<(), DeltaTableError> {
        self.see_last_version().await?;
        let properties = properties.with_max_retries(0).with_cleanup_expired_logs(Some(false));
        let done = CommitBuilder::from(properties)
            .with_actions(actions)
            .build(Some(self.delta.snapshot()?), self.delta.log_store(), operation)
            .await?;
        self.show(done.snapshot());
        self.commits_since_load += 1;
        Ok(())
    }

    /// A commit needs nothing but its own number, so that one into an empty place, or into another table that has come
    /// in this one's place, would succeed and be gone when this one is back.
    async fn see_last_version(&self) -> Result<(), DeltaTableError> {
        let path = commit_uri_from_version(self.delta.version());
        match self.delta.object_store().head(&path).await {
            Ok(_) => Ok(()),
            Err(object_store::Error::NotFound { .. }) => Err(DeltaTableError::Generic(format!(
                "{path}, which this process has written or read, is not there: the store was taken away or replaced"
            ))),
            Err(error) => Err(error.into()),
        }
    }

    fn show(&mut self, state: DeltaTableState) {
        self.version.snapshot = Some(Arc::new(state.snapshot().clone()));
        self.delta.state = Some(state);
    }

    /// Reads the table again. Its transaction is the last known one or that of a doubtful commit, else somebody else has
    /// added to it: then what was read is not taken over, so that the next try says the same until it is mended.
    async fn load(&mut self) -> Result<(), HistoryError> {
        let mut delta = DeltaTable::new(self.delta.log_store());
        delta.load().await.map_err(HistoryError::store(self.table, "read"))?;
        let (state, found) = self.look_at_transaction(&delta).await?;
        let expected = self.version.transaction;
        if found != expected && Some(found) != self.on_its_way {
            self.doubtful = true;
            let application = self.application.clone();
            return Err(HistoryError::ForeignWriter { table: self.table, application, found, expected });
        }
        self.delta = delta;
        self.take_over(state, found);
        (self.doubtful, self.on_its_way, self.commits_since_load) = (false, None, 0);
        Ok(())
    }

    fn take_over(&mut self, state: DeltaTableState, transaction: Sequence) {
        self.version.transaction = transaction;
        self.show(state);
    }

    async fn look_at_transaction(
        &self,
        delta: &DeltaTable,
    ) -> Result<(DeltaTableState, Sequence), HistoryError> {
        let failed = || HistoryError::store(self.table, "read");
        let state = delta.snapshot().map_err(failed())?.clone();
        let found =
            state.transaction_version(&delta.log_store(), &self.application).await.map_err(failed())?;
        Ok((state, Sequence::try_from(found.unwrap_or(0)).unwrap_or(0)))
    }

    fn check(&self) -> Result<(), HistoryError> {
        let state = self.delta.snapshot().map_err(HistoryError::store(self.table, "read"))?;
        let store = self.location.given().to_owned();
        let properties = state.metadata().configuration();
        let found = properties.get(FORMAT_PROPERTY).map_or("none", String::as_str);
        if found != FORMAT {
            let found = found.to_owned();
            return Err(HistoryError::FormatVersion { store, table: self.table, found, expected: FORMAT });
        }
        match self.difference(state) {
            Some(what) => Err(HistoryError::NotOurs { store, table: self.table, what }),
            None => Ok(()),
        }
    }

    /// Adds the columns that the version which made the table did not have: of its rows nothing is known there.
    async fn add_columns(&mut self) -> Result<(), HistoryError> {
        let table = self.table;
        let failed = || HistoryError::store(table, "add columns to");
        let state = self.delta.snapshot().map_err(failed())?;
        let (found, ours) = (state.snapshot().arrow_schema(), arrow_schema(self.table));
        let is_ours =
            |field: &Arc<Field>| ours.field_with_name(field.name()).is_ok_and(|known| known == &**field);
        let is_new = |field: &&Arc<Field>| found.field_with_name(field.name()).is_err();
        let added: Vec<&str> =
            ours.fields().iter().filter(is_new).map(|field| field.name().as_str()).collect();
        if added.is_empty() || !found.fields().iter().all(is_ours) {
            return Ok(());
        }
        let schema = delta_schema(self.table);
        let metadata =
            state.metadata().clone().with_schema(&schema).map_err(DeltaTableError::from).map_err(failed())?;
        let fields = schema.fields().filter(|field| added.contains(&field.name().as_str())).cloned();
        let operation = DeltaOperation::AddColumn { fields: fields.collect() };
        let actions = vec![Action::Metadata(metadata)];
        self.commit_actions(actions, CommitProperties::default(), operation).await.map_err(failed())?;
        tracing::info!(
            table = self.table.name(),
            columns = added.join(", "),
            "columns were added to an older store"
        );
        Ok(())
    }

    fn check_columns(&self) -> Result<(), HistoryError> {
        let state = self.delta.snapshot().map_err(HistoryError::store(self.table, "read"))?;
        let found = state.snapshot().arrow_schema();
        if found.fields() == arrow_schema(self.table).fields() {
            return Ok(());
        }
        let store = self.location.given().to_owned();
        Err(HistoryError::NotOurs { store, table: self.table, what: format!("its columns are {found}") })
    }

    fn difference(&self, state: &DeltaTableState) -> Option<String> {
        let properties = state.metadata().configuration();
        let is = |name: &str, value: &str| properties.get(name).is_some_and(|found| found == value);
        let protocol = state.protocol();
        let (reader, writer) = (protocol.min_reader_version(), protocol.min_writer_version());
        if !is(TableProperty::AppendOnly.as_ref(), "true") {
            return Some("delta.appendOnly is not true".to_owned());
        }
        if is(TableProperty::EnableDeletionVectors.as_ref(), "true") {
            return Some("delta.enableDeletionVectors is true".to_owned());
        }
        if (reader, writer) != (1, 2) {
            return Some(format!("its protocol is reader {reader}, writer {writer} instead of 1 and 2"));
        }
        (state.metadata().partition_columns() != [DATE.to_owned()]).then(|| {
            format!("it is partitioned by {:?} instead of date", state.metadata().partition_columns())
        })
    }
}

/// Makes a table with these columns.
///
/// # Errors
/// Delta's.
pub(crate) async fn create(
    table: Table,
    columns: &StructType,
    log_store: LogStoreRef,
) -> Result<DeltaTable, DeltaTableError> {
    let properties = [
        (TableProperty::AppendOnly, "true".to_owned()),
        (TableProperty::CheckpointInterval, "50".to_owned()),
        // Otherwise each commit lists the whole log; maintenance cleans up once an hour.
        (TableProperty::EnableExpiredLogCleanup, "false".to_owned()),
        (TableProperty::DataSkippingStatsColumns, statistics_columns(table).join(",")),
        (TableProperty::LogRetentionDuration, "interval 7 days".to_owned()),
        (TableProperty::DeletedFileRetentionDuration, "interval 7 days".to_owned()),
    ];
    let mut builder = CreateBuilder::new()
        .with_log_store(log_store)
        .with_table_name(table.name())
        .with_columns(columns.fields().cloned())
        .with_partition_columns([DATE])
        .with_raise_if_key_not_exists(false)
        .with_configuration([(FORMAT_PROPERTY, Some(FORMAT))]);
    for (property, value) in properties {
        builder = builder.with_configuration_property(property, Some(value));
    }
    builder.await
}
