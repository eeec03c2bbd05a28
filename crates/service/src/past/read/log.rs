//! Records and ticks of table `log`.

use serde::Deserialize;
use serde_json::Value;
use telemetry::place::PartitionKey;
use telemetry::record::{Configuration, Sequence, SeriesDeclaration};
use telemetry::{EventTime, Microseconds, Name, canonical_json};

use super::super::{Answers, PastError, Remembered, Ticks};
use super::TICK;
use super::asked::{Source, parsed, serde_json_value};
use crate::stored::quoted;

impl<A: Answers> Source<'_, A> {
    pub(super) async fn configuration(
        &self,
        before: Sequence,
        from: EventTime,
    ) -> Result<Configuration, PastError> {
        let sql = format!(
            "select seq, cast(time as bigint) as time, kind, body from log where kind = 'configuration' \
             and seq <= {before} order by seq desc limit 1"
        );
        let Some(row) = self.rows::<LogRow>(&sql).await?.into_iter().next() else {
            return Err(PastError::Refused(format!(
                "the configuration in force at {from} is not in table `log` any more: its records are kept for \
                 history.retention_log_days"
            )));
        };
        parsed(serde_json_value(&row.body)?, "a configuration")
    }

    /// The ticks of a span, and up to where they are those of the log.
    pub(super) async fn ticks(
        &self,
        from: EventTime,
        to: EventTime,
    ) -> Result<(Vec<Ticks>, EventTime), PastError> {
        let sql = format!(
            "select seq, cast(time as bigint) as time, kind, body from log where kind = 'tick' \
             and time >= to_timestamp_micros({}) order by seq",
            from.unix_micros()
        );
        let mut ticks = Vec::new();
        for row in self.rows::<LogRow>(&sql).await? {
            let read: Ticks = parsed(serde_json_value(&row.body)?, "ticks")?;
            if let Some(cut) = cut(read, from, to) {
                ticks.push(cut);
            }
        }
        let known_to = ticks.last().map_or(from, |ticks| ticks.last);
        let mut next = (known_to + TICK).window_start(TICK);
        if ticks.is_empty() {
            next = (from + (TICK - Microseconds(1))).window_start(TICK);
        }
        if next <= to {
            ticks.push(Ticks { first: next, last: to.window_start(TICK), step: TICK });
        }
        Ok((ticks, known_to))
    }

    /// The declarations of all series of some partitions up to a time, in order of the log.
    pub(super) async fn series(
        &self,
        partitions: &[PartitionKey],
        to: EventTime,
    ) -> Result<Vec<(Remembered, SeriesDeclaration)>, PastError> {
        let named = |partition: &PartitionKey| {
            let text = format!("\"partition\":{}", canonical_json(partition));
            format!("strpos(body, {}) > 0", quoted(&text))
        };
        let named: Vec<String> = partitions.iter().map(named).collect();
        let sql = format!(
            "select seq, cast(time as bigint) as time, kind, body from log where kind = 'series' \
             and time <= to_timestamp_micros({}) and ({}) order by seq",
            to.unix_micros(),
            named.join(" or ")
        );
        let mut series = Vec::new();
        for row in self.rows::<LogRow>(&sql).await? {
            let remembered = row.remembered()?;
            let declared: SeriesDeclaration = parsed(remembered.body.clone(), "a series")?;
            if partitions.contains(&declared.partition) {
                series.push((remembered, declared));
            }
        }
        complete(&series, partitions)?;
        Ok(series)
    }

    /// Records of people's acts after a place in the log.
    pub(super) async fn records(
        &self,
        after: Sequence,
        to: EventTime,
        racks: &[Name],
    ) -> Result<Vec<Remembered>, PastError> {
        let sql = format!(
            "select seq, cast(time as bigint) as time, kind, body from log \
             where kind in ('run', 'calibration', 'maintenance', 'configuration') and seq > {after} \
             and time <= to_timestamp_micros({}) order by seq",
            to.unix_micros()
        );
        let records = self
            .rows::<LogRow>(&sql)
            .await?
            .into_iter()
            .map(LogRow::remembered)
            .collect::<Result<Vec<_>, _>>()?;
        let is_here =
            |rack: &Value| rack.as_str().is_some_and(|rack| racks.iter().any(|known| &**known == rack));
        let is_kept = |remembered: &Remembered| match remembered.kind.as_str() {
            // Ends and marks name no rack: those of runs that did not start here change nothing.
            "run" => {
                let on = remembered.body["change"]["start"]["racks"].as_array();
                on.is_none_or(|on| on.iter().any(is_here))
            }
            "maintenance" => is_here(&remembered.body["rack"]),
            _ => true,
        };
        Ok(records.into_iter().filter(is_kept).collect())
    }
}

/// A row of `log`.
#[derive(Deserialize)]
struct LogRow {
    seq: Sequence,
    time: i64,
    kind: String,
    body: String,
}

impl LogRow {
    fn remembered(self) -> Result<Remembered, PastError> {
        let time = EventTime::from_unix_micros(self.time);
        Ok(Remembered { seq: self.seq, time, kind: self.kind, body: serde_json_value(&self.body)? })
    }
}

/// All series of a partition are declared, from number 0 on.
fn complete(
    series: &[(Remembered, SeriesDeclaration)],
    partitions: &[PartitionKey],
) -> Result<(), PastError> {
    for partition in partitions {
        let mut next = 0;
        for (_, declared) in series.iter().filter(|(_, declared)| declared.partition == *partition) {
            if next < declared.id.0 {
                return Err(PastError::Refused(format!(
                    "series {next} of {partition} is not in table `log` any more: its records are kept for \
                     history.retention_log_days"
                )));
            }
            next = next.max(declared.id.0 + 1);
        }
    }
    Ok(())
}

/// The part of some ticks that lies in a span.
fn cut(ticks: Ticks, from: EventTime, to: EventTime) -> Option<Ticks> {
    let Ticks { mut first, mut last, step } = ticks;
    if step > Microseconds::ZERO {
        while first < from && first <= last {
            first = first + step;
        }
        while to < last && first <= last {
            last = last - step;
        }
    }
    (from <= first && first <= last && last <= to).then_some(Ticks { first, last, step })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> EventTime {
        EventTime::from_unix_micros(seconds * 1_000_000)
    }

    #[test]
    fn ticks_are_cut_to_the_span() {
        let ticks = Ticks { first: at(0), last: at(100), step: Microseconds::from_seconds(10) };
        let expected = Ticks { first: at(20), last: at(50), ..ticks };
        assert_eq!(cut(ticks, at(15), at(55)), Some(expected));
        assert_eq!(cut(ticks, at(101), at(200)), None);
        let alone = Ticks { first: at(7), last: at(7), step: Microseconds::ZERO };
        assert_eq!(cut(alone, at(0), at(10)), Some(alone));
        assert_eq!(cut(alone, at(8), at(10)), None);
    }
}
