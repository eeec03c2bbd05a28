//! Keeps what happened: the durable log, the Delta tables, and SQL over both.

pub mod checkpoint; // the evaluator's state at positions of the log
pub mod failpoint; // places at which tests end the process
pub mod lock; // a data folder belongs to one process
pub mod log; // the durable log
