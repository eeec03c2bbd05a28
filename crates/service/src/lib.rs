//! The only place where clock, network and evaluator meet.
//!
//! wire → ingest → evaluator → history / alerts / gate; `telemetry` is the language they share; **service** is
//! the only place where they meet.

pub mod settings; // what an operator can choose
