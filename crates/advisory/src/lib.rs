//! Forecasts and comparisons of peers over history, for people who plan: never part of a verdict. No clock, no
//! thread, no I/O; the same input gives the same answer on one machine. (The library behind it picks instructions
//! by the processor, so that last bits may differ between machines: one more reason to keep verdicts away.)
//!
//! blocks of `history` → **advisory** → gRPC, command line

mod blocks; // means of time, brought on a regular grid, with gaps that stay gaps
mod refusal; // why nothing can be said
mod repair; // short gaps are bridged, and it is told which

mod daily; // the next days: what repeats each day, and what is left
mod forecast; // what is expected, within which interval: read this first
mod limit;
mod smoothing; // the next hours: exponential smoothing // when a limit is reached

mod median; // medians, spreads and the step of quantised readings
mod peers; // who behaves unlike its peers
mod second_opinion; // DBSCAN
mod spread; // the median absolute deviation, and what replaces it where that is 0

pub use blocks::{BlockMean, Series, distance_of_blocks};
pub use daily::Daily;
pub use forecast::{Basis, Forecast, Forecaster, Point, check_level};
pub use limit::{Crossing, time_to_limit};
pub use peers::{Comparison, Measure, Opinion, Peer, PeerFigures, Peers, Scale, log_resistance};
pub use refusal::Refusal;
pub use repair::Bridge;
pub use smoothing::Smoothing;

/// What stands on every answer.
pub const LABEL: &str = "advisory, not part of any verdict";
