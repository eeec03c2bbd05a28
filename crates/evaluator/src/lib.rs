//! Judges telemetry in event time: records in, effects out. Pure: no clock, no thread, no I/O.
//!
//! `ingest` → log → **evaluator** → `history`, `alerts`, `gate`

mod crew; // who works on partitions
mod effect; // what comes out: read this first
mod engine; // the evaluator: one record after the other
mod together; // many records at once, with the same effects

mod partition; // a loop with its racks: what is judged when event time goes on

mod block; // 60 s of one series
mod coverage; // how much of a series is known
mod hold; // how long a reading counts
mod reading; // what can be one at all
mod series; // readings in order of time, settled and held
mod stuck; // sensors that rest for too long
mod trust; // how far a sensor is believed

mod budget; // what an objective has spent in a group
mod burn; // burn rates over two windows
mod event_rate; // episodes and exact bounds of their rate
mod group; // one objective in one group
mod judge; // slices, judged units, the one verdict rule
mod plan; // which objective is judged where, from which series
mod proportion; // exact bounds of a share
mod ring; // a burn-rate window
mod settling; // bursts of load and the way back from them
mod slice; // an expression over held values
mod status; // what is said about an objective
mod trend; // slope and time to threshold
mod window; // totals over a window or a run

mod alert; // from conditions to states
mod comparison; // what releases are told apart by
mod configuration; // documents of the log, parsed
pub mod detectors; // the table of detectors and their engine
mod finding; // anomalies from onset to end
mod headroom; // how much power a rack can sustain
mod layout; // where everything is in a partition
mod measure; // load that gates ask for
mod rack; // what is remembered of a rack
mod recovery; // back where it was before a run?
mod rows; // what people and gates did
mod run; // runs from start to end

pub mod drill; // faults laid over telemetry to prove detectors

mod defaults; // the objectives that are in force when nobody gives any
pub mod objective; // an objective as the engine judges it
pub mod objective_document; // the YAML that says so, read strictly
pub mod objective_test; // unit tests of objectives, beside them
mod restoring; // parts of a snapshot on their way back
mod snapshot; // the engine as bytes
pub mod watch; // groups of signals without physics, for replays

pub use configuration::known_signals;
pub use crew::{Alone, Crew};
pub use defaults::default_documents;
pub use detectors::names as detector_names;
pub use effect::{Counter, Effect, Effects, StatusRow, burn_json, group_json, state_name};
pub use engine::{Evaluator, ResidualNow};
pub use event_rate::upper_mean as poisson_upper_mean;
pub use restoring::{RestoredPart, Restoring};
pub use snapshot::{HEADER_BYTES as SNAPSHOT_HEADER_BYTES, SnapshotError};
