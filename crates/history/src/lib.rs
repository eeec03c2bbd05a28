//! Keeps what happened: the durable log, the Delta tables, and SQL over both.
//!
//! `ingest` → **log** → `evaluator` → **memory → store** → **query** → people, pipelines

pub mod checkpoint; // the evaluator's state at positions of the log
pub mod failpoint; // places at which tests end the process
pub mod lock; // a data folder belongs to one process
pub mod log; // the durable log

mod changes; // where rows in order change
mod cut; // one immutable view of files and memory
mod error; // what can go wrong, by who must act
mod history; // the handle: rows in, frozen, committed: read this first
mod maintenance; // merging files, retention, cleaning up
mod memory; // rows that are not in the store yet
mod store; // the Delta tables

pub mod format; // results as table, CSV, JSON, Parquet
pub mod query; // SQL over files and memory
pub mod schema; // tables as Arrow and Delta see them

#[cfg(test)]
mod tests;

pub use error::HistoryError;
pub use history::{Frozen, History, HistorySettings};
pub use maintenance::{Budget, MaintenanceReport};
