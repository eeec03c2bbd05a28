//! One file a command.

pub mod backtest;
pub mod calibrate;
pub mod check;
pub mod completions;
pub mod demo;
pub mod drill;
pub mod export;
pub mod forecast;
pub mod gate;
pub mod import;
pub mod maintenance;
pub mod replay;
pub mod replay_run;
pub mod run;
pub mod serve;
pub mod simulate;
pub mod sql;
pub mod status;
