//! What was in force before a span: calibrations, work on racks, runs. Tables tell it that are kept for ever.

use serde::Deserialize;
use serde_json::Value;
use telemetry::place::PartitionKey;
use telemetry::record::{Calibration, MaintenanceEvent, RunChange, RunEvent, Sequence};
use telemetry::{EventTime, Labels, Microseconds, Name};

use super::super::{Answers, PastError, Remembered};
use super::asked::{Source, json};
use crate::stored::{CalibrationRow, quoted};

/// A row of `runs` as JSON.
#[derive(Deserialize)]
pub(super) struct RunRow {
    pub(super) run: Name,
    pub(super) time: i64,
    pub(super) racks: Vec<Name>,
    pub(super) stage: Name,
    pub(super) versions: Option<Vec<Entry>>,
    pub(super) start: i64,
    pub(super) planned_end: i64,
    pub(super) end: Option<i64>,
    pub(super) state: String,
}

#[derive(Deserialize)]
pub(super) struct Entry {
    key: Name,
    value: Name,
}

impl<A: Answers> Source<'_, A> {
    /// The rows of a run, in order of the log.
    pub(super) async fn run(&self, run: &str) -> Result<Vec<Value>, PastError> {
        self.rows(&run_sql(&format!("run = {}", quoted(run)), "baselines")).await
    }

    /// What was in force before the span: calibrations, work on racks, runs that went on. Tables tell it that are kept
    /// for ever.
    pub(super) async fn in_force_before(
        &self,
        before: Sequence,
        from: EventTime,
        racks: &[Name],
        partitions: &[PartitionKey],
    ) -> Result<Vec<Remembered>, PastError> {
        let mut in_force = Vec::new();
        let mut add = |kind: &str, body: Value| {
            in_force.push(Remembered { seq: 0, time: from, kind: kind.to_owned(), body });
        };
        for calibration in self.calibrations(before).await? {
            let place = &calibration.identity.place;
            let is_here = match &place.rack {
                Some(rack) => racks.contains(rack),
                None => partitions.contains(&PartitionKey::of(place)),
            };
            if is_here {
                add("calibration", json(&calibration)?);
            }
        }
        for work in self.maintenance(before, racks).await? {
            if work.until.is_none_or(|until| from < until) {
                add("maintenance", json(&work)?);
            }
        }
        for run in self.active_runs(before, racks).await? {
            add("run", json(&run)?);
        }
        Ok(in_force)
    }

    async fn calibrations(&self, before: Sequence) -> Result<Vec<Calibration>, PastError> {
        let columns = CalibrationRow::COLUMNS;
        let sql = format!("select {columns} from calibrations where seq <= {before} order by seq");
        let rows: Vec<CalibrationRow> = self.rows(&sql).await?;
        Ok(rows.into_iter().map(Into::into).collect())
    }

    /// The latest work on each rack.
    async fn maintenance(
        &self,
        before: Sequence,
        racks: &[Name],
    ) -> Result<Vec<MaintenanceEvent>, PastError> {
        #[derive(Deserialize)]
        struct MaintenanceRow {
            rack: Name,
            time: i64,
            until: Option<i64>,
            by: String,
            why: String,
        }
        let sql = format!(
            "select rack, cast(time as bigint) as time, cast(until as bigint) as until, by, why from maintenance \
             where seq <= {before} order by seq"
        );
        let rows: Vec<MaintenanceRow> = self.rows(&sql).await?;
        let latest = racks.iter().filter_map(|rack| rows.iter().rev().find(|row| row.rack == *rack));
        let event = |row: &MaintenanceRow| MaintenanceEvent {
            rack: row.rack.clone(),
            time: EventTime::from_unix_micros(row.time),
            until: row.until.map(EventTime::from_unix_micros),
            by: row.by.clone(),
            why: row.why.clone(),
        };
        Ok(latest.map(event).filter(|event| event.until.is_some()).collect())
    }

    async fn active_runs(&self, before: Sequence, racks: &[Name]) -> Result<Vec<RunEvent>, PastError> {
        let rows: Vec<RunRow> = self.rows(&run_sql(&format!("seq <= {before}"), "null as baselines")).await?;
        let mut latest: Vec<RunRow> = Vec::new();
        for row in rows {
            latest.retain(|known| known.run != row.run);
            latest.push(row);
        }
        let active = latest
            .into_iter()
            .filter(|row| row.state == "active" && row.racks.iter().any(|rack| racks.contains(rack)));
        let event = |row: RunRow| RunEvent {
            run: row.run,
            time: EventTime::from_unix_micros(row.start),
            change: RunChange::Start {
                racks: row.racks,
                stage: row.stage,
                versions: labels(row.versions),
                planned: Microseconds(row.planned_end - row.start),
            },
        };
        Ok(active.map(event).collect())
    }
}

fn run_sql(filter: &str, more: &str) -> String {
    format!(
        "select seq, run, cast(time as bigint) as time, racks, stage, map_entries(versions) as versions, \
         cast(start as bigint) as start, cast(planned_end as bigint) as planned_end, \
         cast(\"end\" as bigint) as \"end\", state, marker, {more} from runs where {filter} order by seq, time"
    )
}

fn labels(entries: Option<Vec<Entry>>) -> Labels {
    entries.unwrap_or_default().into_iter().map(|entry| (entry.key, entry.value)).collect()
}
