//! SQL over files and memory as one consistent cut: read-only, bounded in rows, time, memory and number.
//!
//! A query takes its cut when it is planned and sees nothing later: `SELECT` may name a table twice and gets the
//! same rows. `now()` is the data's watermark, not this machine's clock.

mod asked; // what filters say of rows in memory
mod cores; // how many of them a query is given
mod damage; // which file could not be read
mod engine; // planning and running with limits: read this first
mod error; // what can go wrong, by who must act
mod files; // the files of a table in a scan
mod flat; // labels as text, for clients without maps
mod functions; // of our own, beside those of DataFusion
mod named; // the files of `queries/`
mod neighbours; // partial aggregates of rows in order
mod plans; // of queries that are asked again
mod provider; // a table as files and memory in one scan
mod repeats; // readings that came again, which `samples` leaves out
mod stretches; // conditions on texts
mod texts; // views within a query, plain in its answer
mod views; // rack_now, slo_now and others

pub use engine::{
    CATALOG, ColumnDescription, Limits, Prepared, QueryEngine, QueryResult, TableDescription, refuse_changes,
};
pub use error::QueryError;
pub use flat::with_labels_as_text;
pub use functions::{FUNCTIONS, Function};
pub use named::{AnswerColumn, NamedQuery, NamedQueryError, Parameter, ParameterKind};
pub use views::VIEWS;
