//! Questions in SQL, and where a run's history lies: its loops, their first samples.

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use telemetry::EventTime;
use telemetry::Name;
use telemetry::place::PartitionKey;
use telemetry::record::{Sequence, SeriesDeclaration};

use super::super::{Answers, PastError};
use crate::stored::{self, quoted};

/// Where the samples and the blocks of some partitions begin.
pub(super) struct Earliest {
    pub(super) samples: Option<EventTime>,
    pub(super) blocks: Option<EventTime>,
}

/// Whoever answers.
pub(super) struct Source<'a, A>(pub(super) &'a A);

impl<A: Answers> Source<'_, A> {
    pub(super) async fn rows<T: DeserializeOwned>(&self, sql: &str) -> Result<Vec<T>, PastError> {
        let answer = self.0.answer(sql.to_owned()).await?;
        stored::rows(&answer.batches)
            .map_err(|error| PastError::Unreachable(format!("the history's answer cannot be read: {error}")))
    }

    pub(super) async fn check_final(&self, run: &str, end: EventTime) -> Result<(), PastError> {
        #[derive(Deserialize)]
        struct Now {
            now: i64,
        }
        let now: Vec<Now> = self.rows("select cast(now() as bigint) as now").await?;
        let watermark = now.first().map_or(EventTime::MINIMUM, |now| EventTime::from_unix_micros(now.now));
        if watermark < end {
            return Err(PastError::Refused(format!(
                "run {run:?} ended at {end} and event time is final up to {watermark}: come again when its last data is"
            )));
        }
        Ok(())
    }

    /// The partitions that the racks' series were ever in.
    pub(super) async fn partitions(&self, run: &str, racks: &[Name]) -> Result<Vec<PartitionKey>, PastError> {
        #[derive(Deserialize)]
        struct Body {
            body: String,
        }
        let named = |rack: &Name| {
            let text = format!("\"rack\":{}", Value::from(&**rack));
            format!("strpos(body, {}) > 0", quoted(&text))
        };
        let named: Vec<String> = racks.iter().map(named).collect();
        let sql = format!("select body from log where kind = 'series' and ({})", named.join(" or "));
        let mut partitions: Vec<PartitionKey> = Vec::new();
        for row in self.rows::<Body>(&sql).await? {
            let declared: SeriesDeclaration = parsed(serde_json_value(&row.body)?, "a series")?;
            let is_of_run = declared.identity.place.rack.as_ref().is_some_and(|rack| racks.contains(rack));
            if is_of_run && !partitions.contains(&declared.partition) {
                partitions.push(declared.partition);
            }
        }
        if partitions.is_empty() {
            return Err(PastError::Refused(format!(
                "the series of run {run:?} are not in table `log` any more: its records are kept for \
                 history.retention_log_days"
            )));
        }
        partitions.sort();
        Ok(partitions)
    }

    pub(super) async fn earliest(&self, filter: &str) -> Result<Earliest, PastError> {
        #[derive(Deserialize)]
        struct First {
            first: Option<i64>,
        }
        let mut firsts = [None; 2];
        for (first, table) in firsts.iter_mut().zip(["samples", "blocks"]) {
            let sql = format!("select cast(min(time) as bigint) as first from {table} where {filter}");
            let rows: Vec<First> = self.rows(&sql).await?;
            *first = rows.first().and_then(|row| row.first).map(EventTime::from_unix_micros);
        }
        Ok(Earliest { samples: firsts[0], blocks: firsts[1] })
    }

    /// The last record of the log at which the last tick lay before a time; 0 for none.
    pub(super) async fn last_record_before(&self, time: EventTime) -> Result<Sequence, PastError> {
        #[derive(Deserialize)]
        struct Last {
            seq: Option<Sequence>,
        }
        let sql = format!(
            "select max(seq) as seq from log where kind <> 'tick' and time < to_timestamp_micros({})",
            time.unix_micros()
        );
        Ok(self.rows::<Last>(&sql).await?.first().and_then(|row| row.seq).unwrap_or(0))
    }
}

/// The rows of some partitions, as a condition in SQL.
pub(super) fn filter(partitions: &[PartitionKey]) -> String {
    let condition = |partition: &PartitionKey| match partition {
        PartitionKey::Loop { site, name } => {
            format!("(site = {} and \"loop\" = {})", quoted(site), quoted(name))
        }
        PartitionKey::Rack { site, name } => format!("(site = {} and rack = {})", quoted(site), quoted(name)),
        PartitionKey::Site { site } => {
            format!("(site = {} and \"loop\" is null and rack is null)", quoted(site))
        }
    };
    format!("({})", partitions.iter().map(condition).collect::<Vec<_>>().join(" or "))
}

/// A span of time as a condition in SQL; its end is not part of it.
pub(super) fn within(column: &str, from: EventTime, until: EventTime) -> String {
    format!(
        "{column} >= to_timestamp_micros({}) and {column} < to_timestamp_micros({})",
        from.unix_micros(),
        until.unix_micros()
    )
}

pub(super) fn parsed<T: DeserializeOwned>(value: Value, what: &str) -> Result<T, PastError> {
    serde_json::from_value(value)
        .map_err(|error| PastError::Unreachable(format!("{what} of the history cannot be read: {error}")))
}

pub(super) fn serde_json_value(text: &str) -> Result<Value, PastError> {
    serde_json::from_str(text)
        .map_err(|error| PastError::Unreachable(format!("a record of the history cannot be read: {error}")))
}

pub(super) fn json<T: serde::Serialize>(value: &T) -> Result<Value, PastError> {
    serde_json::to_value(value)
        .map_err(|error| PastError::Unreachable(format!("a record cannot be written: {error}")))
}
