//! Keeps what happened: the durable log, the Delta tables, and SQL over both.

pub mod failpoint; // places at which tests end the process
pub mod log; // the durable log
