//! What can go wrong with a query, sorted by who must act.

use datafusion::error::DataFusionError;

/// What went wrong with a query.
#[derive(Debug, thiserror::Error)]
pub enum QueryError {
    /// The caller's fault: the text cannot be planned.
    #[error("{0}")]
    Statement(String),
    /// The caller's fault: the text would change something.
    #[error("history is only read here: {what}; write SELECT, WITH, EXPLAIN, SHOW or DESCRIBE")]
    NotReadOnly {
        /// What was asked.
        what: String,
    },
    /// The result is larger than one query may give.
    #[error(
        "the result has more than {rows_max} rows: add LIMIT, a narrower WHERE or GROUP BY, or raise rows_max"
    )]
    TooManyRows {
        /// The limit.
        rows_max: usize,
    },
    /// The query ran longer than it may.
    #[error(
        "the query took longer than {seconds_max} s: add a narrower WHERE on time or rack, or raise seconds_max"
    )]
    TooSlow {
        /// The limit.
        seconds_max: u64,
    },
    /// All queries together would take more memory than they may.
    #[error(
        "the query needs more than is left of {memory_bytes_max} bytes that all queries share: add a narrower \
         WHERE, or raise memory_bytes_max ({reason})"
    )]
    OutOfMemory {
        /// The limit.
        memory_bytes_max: usize,
        /// What asked for it.
        reason: String,
    },
    /// As many queries are running as may, and none ended for some seconds.
    #[error(
        "{concurrency_max} queries are running, as many as may, and none of them ended in {seconds} s: try again, or raise concurrency_max"
    )]
    TooManyQueries {
        /// The limit.
        concurrency_max: usize,
        /// How long it waited for its turn, s.
        seconds: u64,
    },
    /// The store, or our bug.
    #[error("the query failed: {0}")]
    Failed(#[source] Box<DataFusionError>),
}

impl QueryError {
    /// The error of planning a text.
    pub fn of_plan(error: DataFusionError) -> Self {
        match error.find_root() {
            DataFusionError::Plan(_)
            | DataFusionError::SQL(..)
            | DataFusionError::SchemaError(..)
            | DataFusionError::NotImplemented(_)
            | DataFusionError::Configuration(_)
            | DataFusionError::Diagnostic(..) => Self::Statement(without_frame(error.strip_backtrace())),
            _ => Self::Failed(Box::new(error)),
        }
    }

    /// The error of a running query.
    pub(super) fn of_run(error: DataFusionError, memory_bytes_max: usize) -> Self {
        match error {
            DataFusionError::External(inner) => match inner.downcast::<Self>() {
                Ok(own) => *own,
                Err(inner) => Self::Failed(Box::new(DataFusionError::External(inner))),
            },
            error => match error.find_root() {
                DataFusionError::ResourcesExhausted(reason) => {
                    Self::OutOfMemory { memory_bytes_max, reason: reason.clone() }
                }
                DataFusionError::Execution(_) => Self::Statement(error.strip_backtrace()),
                _ => Self::Failed(Box::new(error)),
            },
        }
    }
}

/// What a function of our own says of its arguments, without what DataFusion puts around it.
fn without_frame(message: String) -> String {
    const BEFORE: &str = "user-defined coercion failed with: Error during planning: ";
    const BEHIND: &str = " No function matches the given name and argument types";
    match message.split_once(BEFORE) {
        Some((_, own)) => own.split_once(BEHIND).map_or(own, |(own, _)| own).trim_end_matches('.').to_owned(),
        None => message,
    }
}

impl From<QueryError> for DataFusionError {
    fn from(error: QueryError) -> Self {
        Self::External(Box::new(error))
    }
}
