//! Judges telemetry in event time: records in, effects out. Pure: no clock, no thread, no I/O.
//!
//! `ingest` → log → **evaluator** → `history`, `alerts`, `gate`

mod effect; // what comes out: read this first
mod engine; // the evaluator: one record after the other
mod defaults; // the objectives that are in force when nobody gives any
pub mod objective; // an objective as the engine judges it
pub mod objective_document; // the YAML that says so, read strictly
pub mod objective_test; // unit tests of objectives, beside them
mod snapshot; // save and restore

pub use defaults::default_documents;
pub use effect::{Counter, Effect, Effects, StatusRow, burn_json, group_json, state_name};
pub use engine::Evaluator;
pub use snapshot::SnapshotError;
