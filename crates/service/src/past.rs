//! A run as the history remembers it, evaluated again from an empty state.
//!
//! tables of the history → **past** → evaluator → statuses and facts → `gate`

mod again; // what an evaluation from an empty state can say of a stored verdict
mod backtest; // other documents, tried on it
mod play; // what is remembered, through an evaluator
mod read; // from the tables to what is remembered
mod readings; // the run's samples

use std::future::Future;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use telemetry::place::PartitionKey;
use telemetry::record::{Body, Configuration, PartitionId, Sequence, VerdictRecord};
use telemetry::{EventTime, Microseconds, Name};

use crate::shared::Answer;

pub use again::{Again, Compared, Difference, Statuses, compare, compare_statuses, wanted};
pub use backtest::{Change, Trial, Tried, backtest};
pub use play::{Played, Wanted, play, status_json};
pub use read::{NotTried, Pages, backtest_run, latest_ended, read};
pub use readings::{IDENTITY, Numbers, Readings, text_type};

/// Samples from so long before a run are exported with it: the intervals of feeds are found from a hundred readings,
/// and coverage looks an hour back.
pub const WARM_UP: Microseconds = Microseconds::from_hours(2);
/// Verdicts that were asked for so long after a run's end are evaluated again, and samples are exported up to them.
pub const AFTER_END: Microseconds = Microseconds::from_hours(1);

/// Why a run cannot be read, sorted by who must act.
#[derive(Debug, thiserror::Error)]
pub enum PastError {
    /// The caller's.
    #[error("{0}")]
    Refused(String),
    /// The operator's: nobody answers, or the history cannot be read.
    #[error("{0}")]
    Unreachable(String),
}

/// Whoever answers SQL about a history: a folder that is looked at, or a service.
pub trait Answers {
    /// The rows of a query.
    fn answer(&self, sql: String) -> impl Future<Output = Result<Answer, PastError>>;
}

/// What is told of a run before anything else, and all that a manifest says of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Head {
    /// The run.
    pub run: Name,
    /// Its racks.
    pub racks: Vec<Name>,
    /// Its stage.
    pub stage: String,
    /// When it took effect.
    #[serde(with = "rfc3339")]
    pub start: EventTime,
    /// When it ended.
    #[serde(with = "rfc3339")]
    pub end: EventTime,
    /// `ended`, `aborted`, `abandoned`.
    pub state: String,
    /// Samples from here on are there.
    #[serde(with = "rfc3339")]
    pub from: EventTime,
    /// The last tick: samples up to here are there.
    #[serde(with = "rfc3339")]
    pub to: EventTime,
    /// Whether nothing of the racks' loops lies before `from`: then all that was ever known of them is derived again.
    pub is_whole_history: bool,
    /// Up to here the ticks are those of the log; later ones were not in its table yet, and each second has one.
    #[serde(with = "rfc3339")]
    pub ticks_known_to: EventTime,
    /// The loops, or racks without one, whose telemetry is there.
    pub partitions: Vec<PartitionKey>,
    /// Hash of the configuration in force at `from`.
    pub configuration: String,
    /// Version of the engine that read this.
    pub engine: String,
}

/// Ticks that follow each other at equal steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ticks {
    /// The first.
    pub first: EventTime,
    /// The last.
    pub last: EventTime,
    /// Between two of them; 0 of one alone.
    pub step: Microseconds,
}

/// A record of the log that is neither samples nor a tick.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Remembered {
    /// Its place in the log; 0 of what was in force before the span.
    pub seq: Sequence,
    /// The last tick before it; the beginning of the span for what was in force before.
    pub time: EventTime,
    /// `series`, `configuration`, `run`, `calibration`, `maintenance`.
    pub kind: String,
    /// As it stands in table `log`.
    pub body: Value,
}

/// A stored verdict with its place in the log.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StoredVerdict {
    /// Its place in the log.
    pub seq: Sequence,
    /// The verdict with its facts.
    pub record: VerdictRecord,
}

/// All that is remembered of a run, but for its samples.
#[derive(Debug, Clone, PartialEq)]
pub struct Past {
    /// What is told first.
    pub head: Head,
    /// The configuration in force at the beginning of the span.
    pub configuration: Configuration,
    /// Records in order of the log.
    pub log: Vec<Remembered>,
    /// Ticks in order.
    pub ticks: Vec<Ticks>,
    /// The run's rows of table `runs`: start, marks, end, baselines at its start.
    pub run_rows: Vec<Value>,
    /// Its final rows of `slo_status`, as [`status_json`] writes them, in order.
    pub statuses: Vec<String>,
    /// The verdicts that were given about it, in order of the log.
    pub verdicts: Vec<StoredVerdict>,
    /// Overrides of these verdicts, as rows.
    pub overrides: Vec<Value>,
}

impl Remembered {
    /// The record, and the partition it belongs to where it declares a series.
    ///
    /// # Errors
    /// Names the record that cannot be read.
    pub fn body(&self) -> Result<Body, PastError> {
        let body = self.body.clone();
        let read = match self.kind.as_str() {
            "series" => serde_json::from_value(body).map(Arc::new).map(Body::Series),
            "configuration" => serde_json::from_value(body).map(Body::Configuration),
            "run" => serde_json::from_value(body).map(Body::Run),
            "calibration" => serde_json::from_value(body).map(Body::Calibration),
            "maintenance" => serde_json::from_value(body).map(Body::Maintenance),
            other => {
                return Err(PastError::Refused(format!(
                    "record {}: {other:?} is no kind of record",
                    self.seq
                )));
            }
        };
        read.map_err(|error| {
            PastError::Refused(format!("record {} ({}) cannot be read: {error}", self.seq, self.kind))
        })
    }
}

impl Head {
    /// The number of a partition in an evaluation again: they are counted in the order of `partitions`.
    pub fn number(&self, partition: &PartitionKey) -> Option<PartitionId> {
        let at = self.partitions.iter().position(|known| known == partition)?;
        Some(PartitionId(PartitionId::FIRST.0 + u32::try_from(at).ok()?))
    }
}

/// Times for people as well as for programs.
mod rfc3339 {
    use serde::{Deserialize, Deserializer, Serializer};
    use telemetry::EventTime;

    pub fn serialize<S: Serializer>(time: &EventTime, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&time.to_rfc3339())
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<EventTime, D::Error> {
        let text = String::deserialize(deserializer)?;
        EventTime::from_rfc3339(&text).map_err(serde::de::Error::custom)
    }
}
