//! The only place where clock, network and evaluator meet.
//!
//! wire → ingest → evaluator → history / alerts / gate; `telemetry` is the language they share; **service** is
//! the only place where they meet.

pub mod configuration; // documents: read, checked against each other, hashed
pub mod settings; // what an operator can choose

pub mod board; // what everybody may look at
pub mod pipeline; // telemetry → log → evaluator → store
pub mod running; // a running service, from start to end: read this first
pub mod tell; // alerts and findings for those who listen

pub mod advice; // forecasts and comparisons of peers over history: no gate sees them
pub mod gates; // gate questions
pub mod lookup; // runs and evaluations in the history
pub mod question; // a question in SQL
pub mod status; // every rack at a glance

mod stored; // rows of the history as the records they were made from

pub mod access; // who may do what
pub mod grpc; // gates and runs over gRPC
pub mod hands; // the threads that work on partitions
pub mod http; // JSON API, SQL, metrics, health
pub mod metrics; // the service's own metrics
pub mod net; // ports
pub mod offline; // a data folder without a service
mod open_files; // how many this process may have
pub mod past; // a run as the history remembers it, evaluated again
pub mod shared; // what the servers share
pub mod sql; // SQL for tools: Flight SQL and the Postgres wire
pub mod threads; // threads for one kind of work

use history::HistorySettings;
use history::query::Limits;
use ingest::front::Limits as FrontLimits;
use settings::Settings;
use telemetry::table::Table;

/// The history's part of the settings.
pub fn history_settings(settings: &Settings, read_only: bool) -> HistorySettings {
    let kept = &settings.history;
    let days = |table: Table| match table {
        Table::Samples => kept.retention_samples_days,
        Table::Blocks => kept.retention_blocks_days,
        Table::SloStatus | Table::Headroom | Table::Recoveries => kept.retention_status_days,
        Table::Log => kept.retention_log_days,
        Table::Events => kept.retention_events_days,
        Table::Findings
        | Table::Alerts
        | Table::Verdicts
        | Table::Runs
        | Table::Overrides
        | Table::Calibrations
        | Table::Maintenance
        | Table::Drills
        | Table::DrillEvents => kept.retention_decisions_days,
    };
    HistorySettings {
        read_only,
        // 0 means for ever, which is what a table that is not named is.
        retention_days: Table::ALL
            .iter()
            .map(|table| (*table, days(*table)))
            .filter(|(_, days)| *days > 0)
            .collect(),
        limits: Limits {
            rows_max: settings.query.rows_max,
            seconds_max: settings.query.seconds_max,
            memory_bytes_max: settings.query.memory_bytes_max,
            concurrency_max: settings.query.concurrency_max,
            ..Limits::default()
        },
        ..HistorySettings::default()
    }
}

/// The front's part of the settings.
pub fn front_limits(settings: &Settings) -> FrontLimits {
    FrontLimits {
        labels_per_series: settings.ingest.labels_per_series_max,
        series_per_source: settings.ingest.series_per_source_max,
        unmapped_series_per_source: settings.ingest.unmapped_series_max,
        ..FrontLimits::default()
    }
}
