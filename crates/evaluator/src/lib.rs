//! Judges telemetry in event time: records in, effects out. Pure: no clock, no thread, no I/O.

pub mod objective; // an objective as the engine judges it
