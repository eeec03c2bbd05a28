//! What can go wrong with the history, sorted by who must act.

use deltalake_core::DeltaTableError;
use telemetry::record::Sequence;
use telemetry::table::Table;

/// What went wrong with the history.
#[derive(Debug, thiserror::Error)]
pub enum HistoryError {
    /// The operator's fault: the service does not start.
    #[error("the store {store:?} cannot be used: {reason}")]
    Location {
        /// The URL or folder as it was given.
        store: String,
        /// What is wrong with it and how to mend that.
        reason: String,
    },
    /// Another version of thermogate wrote the store.
    #[error(
        "table {table} of the store {store:?} has format {found}, this version reads and writes format {expected}: \
         use the version that wrote it, or name another data.folder and store to begin anew",
        table = table.name()
    )]
    FormatVersion {
        /// Where.
        store: String,
        /// Which table.
        table: Table,
        /// What its properties say.
        found: String,
        /// What this version writes.
        expected: &'static str,
    },
    /// The table is not as thermogate makes it, so that exactly-once or reading could not be relied on.
    #[error(
        "table {table} of the store {store:?} is not as thermogate makes it: {what}; \
         restore its properties, or name another data.folder and store to begin anew",
        table = table.name()
    )]
    NotOurs {
        /// Where.
        store: String,
        /// Which table.
        table: Table,
        /// What is different.
        what: String,
    },
    /// The store refuses or cannot be reached: rows stay in memory and in the log; try again.
    #[error("cannot {action} table {table}: {source}; {then}", table = table.name(), then = then(action))]
    Store {
        /// Which table.
        table: Table,
        /// What was tried: `open`, `write to`, `commit to`, `compact` …
        action: &'static str,
        /// What the store said.
        #[source]
        source: Box<DeltaTableError>,
    },
    /// Somebody else commits under our name: going on would double or lose rows.
    #[error(
        "table {table} holds transaction {found} of {application:?}, this process committed up to {expected}: \
         another process writes to this store, or another store is in its place; stop that process or bring \
         this store back",
        table = table.name()
    )]
    ForeignWriter {
        /// Which table.
        table: Table,
        /// The application transaction's name.
        application: String,
        /// What the store says.
        found: Sequence,
        /// What this process knows.
        expected: Sequence,
    },
    /// The history was opened for reading only.
    #[error("cannot {action}: the history was opened for reading only")]
    ReadOnly {
        /// What was asked.
        action: &'static str,
    },
    /// Rows could not be turned into columns: our bug.
    #[error("cannot turn rows of table {table} into columns: {source}", table = table.name())]
    Columns {
        /// Which table.
        table: Table,
        /// What Arrow said.
        #[source]
        source: arrow::error::ArrowError,
    },
}

/// What becomes of it: a start ends, all else is tried again.
fn then(action: &str) -> &'static str {
    match action {
        "open" | "create" => "see that the store is there and can be written, then start again",
        _ => "nothing is lost, it is tried again",
    }
}

impl HistoryError {
    /// Whether trying again later may succeed without anybody acting on thermogate itself.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Store { .. } => true,
            Self::Location { .. }
            | Self::FormatVersion { .. }
            | Self::NotOurs { .. }
            | Self::ForeignWriter { .. }
            | Self::ReadOnly { .. }
            | Self::Columns { .. } => false,
        }
    }

    pub(crate) fn store(table: Table, action: &'static str) -> impl FnOnce(DeltaTableError) -> Self {
        move |source| Self::Store { table, action, source: Box::new(source) }
    }

    pub(crate) fn columns(table: Table) -> impl FnOnce(arrow::error::ArrowError) -> Self {
        move |source| Self::Columns { table, source }
    }
}
