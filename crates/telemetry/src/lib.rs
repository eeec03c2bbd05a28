//! The language all crates share: what is measured, where, when, and what may be said about it.
//! Pure: no clock, no thread, no I/O, no randomness.
//!
//! **telemetry** is used by `ingest` → `log` → `evaluator` → `history`, `alerts`, `gate`.

mod canonical; // canonical JSON and its hash: the identity of every document
mod median; // one wild value does not move it
mod time; // event time in integer microseconds

pub mod alert; // what an alert is and how it changes state
pub mod arrival; // what is late, and what comes from the future
pub mod document; // strict YAML with errors that name file and line
pub mod drill; // faults that are laid over telemetry to prove detectors
pub mod expression; // what objectives and policies compute from signals
pub mod facts; // what the evaluator publishes and a gate judges
pub mod formula; // the physics that detectors, objectives and SQL share
pub mod mapping; // from a source's metric to a series of ours
pub mod names;
pub mod place; // site, loop, rack, node, device; series and partitions
pub mod quantity; // quantities whose unit is their type
pub mod record; // all that the log holds: read this first
pub mod signal; // what can be measured: the one table of signals
pub mod site; // the site file: racks, loops, hosts, limits
pub mod table; // the tables of the history, their columns and rows
pub mod unit; // units, exact conversions, the algebra of dimensions

pub use canonical::{canonical_json, sha256_hex};
pub use median::median;
pub use time::{EventTime, Microseconds};

/// A short text shared by many rows: a rack's name, a signal's name, a label.
pub type Name = std::sync::Arc<str>;

/// Values of labels by name, in a fixed order.
pub type Labels = std::collections::BTreeMap<Name, Name>;
