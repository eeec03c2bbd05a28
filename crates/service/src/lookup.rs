//! What the history remembers of runs, evaluations and overrides, found by SQL over live and stored rows.

use std::sync::Arc;

use gate::Verdict;
use history::query::QueryEngine;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use telemetry::record::{Calibration, Override};
use telemetry::{EventTime, Labels, Microseconds, Name};

use crate::board::Board;
use crate::pipeline::control::ControlError;
use crate::stored::{self, CalibrationRow, VerdictRow, quoted};

/// Looks things up.
#[derive(Clone)]
pub struct Lookup {
    engine: QueryEngine,
    board: Arc<Board>,
}

/// A run as its rows tell it.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredRun {
    /// Its id.
    pub run: Name,
    /// Its racks, in order.
    pub racks: Vec<Name>,
    /// Its stage.
    pub stage: String,
    /// Versions by name.
    pub versions: Labels,
    /// When it took effect.
    pub start: EventTime,
    /// Start plus planned length.
    pub planned_end: EventTime,
    /// When it ended.
    pub end: Option<EventTime>,
    /// `active`, `ended`, `aborted`, `abandoned`.
    pub state: String,
    /// What happened in it, in order.
    pub markers: Vec<(EventTime, String)>,
}

impl StoredRun {
    /// Planned length.
    pub fn planned(&self) -> Microseconds {
        self.planned_end - self.start
    }
}

/// An evaluation as it was answered.
#[derive(Debug, Clone)]
pub struct StoredEvaluation {
    /// The verdict, with the overrides that were given since.
    pub verdict: Verdict,
    /// The answer as it was given, canonical JSON.
    pub answer: String,
    /// Policy, question and facts, canonical JSON.
    pub facts: String,
}

/// A row of `runs` as JSON.
#[derive(Debug, Deserialize)]
struct RunRow {
    run: Name,
    time: i64,
    racks: Option<Vec<Name>>,
    stage: Option<String>,
    versions: Option<Vec<Entry>>,
    start: Option<i64>,
    planned_end: Option<i64>,
    end: Option<i64>,
    state: Option<String>,
    marker: Option<String>,
}

/// An entry of a map, as `map_entries` gives it.
#[derive(Debug, Deserialize)]
struct Entry {
    key: Name,
    value: Name,
}

impl Lookup {
    /// In this history and on this board.
    pub fn new(engine: QueryEngine, board: Arc<Board>) -> Self {
        Self { engine, board }
    }

    /// A run by its id.
    ///
    /// # Errors
    /// When the history cannot be read.
    pub async fn run(&self, run: &str) -> Result<Option<StoredRun>, ControlError> {
        Ok(self.runs(&format!("where run = {}", quoted(run))).await?.into_iter().next())
    }

    /// All runs with this rack, or all; the latest first.
    ///
    /// # Errors
    /// When the history cannot be read.
    pub async fn list_runs(&self, rack: Option<&str>) -> Result<Vec<StoredRun>, ControlError> {
        let mut runs = self.runs("").await?;
        runs.retain(|run| rack.is_none_or(|rack| run.racks.iter().any(|known| &**known == rack)));
        runs.sort_by(|one, other| (other.start, &other.run).cmp(&(one.start, &one.run)));
        Ok(runs)
    }

    async fn runs(&self, filter: &str) -> Result<Vec<StoredRun>, ControlError> {
        let sql = format!(
            "select run, cast(time as bigint) as time, racks, stage, map_entries(versions) as versions, \
             cast(start as bigint) as start, cast(planned_end as bigint) as planned_end, cast(\"end\" as bigint) as \"end\", \
             state, marker from runs {filter} order by run, seq, time"
        );
        let mut runs: Vec<StoredRun> = Vec::new();
        let rows: Vec<RunRow> = self.rows(&sql).await?;
        for row in rows {
            if runs.last().is_none_or(|run| run.run != row.run) {
                runs.push(StoredRun {
                    run: row.run.clone(),
                    racks: Vec::new(),
                    stage: String::new(),
                    versions: Labels::new(),
                    start: EventTime::from_unix_micros(row.start.unwrap_or(row.time)),
                    planned_end: EventTime::from_unix_micros(row.planned_end.unwrap_or(row.time)),
                    end: None,
                    state: "active".to_owned(),
                    markers: Vec::new(),
                });
            }
            let run = runs.last_mut().expect("one was pushed when there was none");
            if let Some(racks) = row.racks.filter(|racks| !racks.is_empty()) {
                run.racks = racks;
            }
            if let Some(stage) = row.stage {
                run.stage = stage;
            }
            if let Some(versions) = row.versions.filter(|versions| !versions.is_empty()) {
                run.versions = versions.into_iter().map(|entry| (entry.key, entry.value)).collect();
            }
            if let Some(end) = row.end {
                run.end = Some(EventTime::from_unix_micros(end));
            }
            if let Some(state) = row.state {
                run.state = state;
            }
            if let Some(marker) = row.marker.filter(|marker| !marker.is_empty()) {
                run.markers.push((EventTime::from_unix_micros(row.time), marker));
            }
        }
        Ok(runs)
    }

    /// An evaluation by its id, with the overrides that were given since.
    ///
    /// # Errors
    /// When the history cannot be read.
    pub async fn evaluation(&self, evaluation: &str) -> Result<Option<StoredEvaluation>, ControlError> {
        #[derive(Deserialize)]
        struct Judged {
            answer: String,
            facts: String,
        }
        let (answer, facts) = match self.board.verdict(evaluation) {
            Some(record) => (record.answer.clone(), record.facts.clone()),
            None => {
                let sql = format!(
                    "select answer, facts from verdicts where evaluation = {} limit 1",
                    quoted(evaluation)
                );
                match self.rows(&sql).await?.pop() {
                    None => return Ok(None),
                    Some(Judged { answer, facts }) => (answer, facts),
                }
            }
        };
        let mut verdict = Verdict::from_json(&answer)
            .map_err(|error| ControlError::Internal { message: error.to_string() })?;
        verdict.overrides = self.overrides(evaluation).await?.iter().map(Into::into).collect();
        Ok(Some(StoredEvaluation { verdict, answer, facts }))
    }

    /// Ids of stored evaluations, the latest first.
    ///
    /// # Errors
    /// When the history cannot be read.
    pub async fn list_evaluations(
        &self,
        gate: &str,
        run: &str,
        rack: &str,
        skip: usize,
        limit: usize,
    ) -> Result<Vec<String>, ControlError> {
        #[derive(Deserialize)]
        struct Id {
            evaluation: String,
        }
        let mut filters = Vec::new();
        if !gate.is_empty() {
            filters.push(format!("policy = {}", quoted(gate)));
        }
        if !run.is_empty() {
            filters.push(format!("run = {}", quoted(run)));
        }
        if !rack.is_empty() {
            // The scope is a JSON list of names, so a whole name stands between quotation marks.
            filters
                .push(format!("strpos(scope, {}) > 0", quoted(&serde_json::Value::from(rack).to_string())));
        }
        let filter =
            if filters.is_empty() { String::new() } else { format!("where {}", filters.join(" and ")) };
        let sql = format!(
            "select evaluation, max(seq) as seq from verdicts {filter} group by evaluation order by seq desc limit {limit} offset {skip}"
        );
        let rows: Vec<Id> = self.rows(&sql).await?;
        Ok(rows.into_iter().map(|row| row.evaluation).collect())
    }

    /// Shows the board the latest verdicts that are in the store, so that a request which comes again after a restart is
    /// still answered by the same evaluation. Those that are in the log come by themselves.
    ///
    /// # Errors
    /// When the history cannot be read.
    pub async fn remember_verdicts(&self) -> Result<(), ControlError> {
        /// Verdicts that are looked at: a caller that was cut off asks again within minutes.
        const RECENT: usize = 1_000;
        let Some(tick) = self.board.progress().tick else { return Ok(()) };
        // A day, so that the days before need not be read.
        let since = tick - Microseconds::from_hours(24);
        let sql = format!(
            "select {} from verdicts where time >= to_timestamp_micros({}) order by seq desc limit {RECENT}",
            VerdictRow::COLUMNS,
            since.unix_micros()
        );
        let rows: Vec<VerdictRow> = self.rows(&sql).await?;
        for row in rows.into_iter().rev() {
            self.board.note_verdict(&Arc::new(row.into()));
        }
        Ok(())
    }

    /// A calibration by its id.
    ///
    /// # Errors
    /// When the history cannot be read.
    pub async fn calibration(&self, id: &str) -> Result<Option<Calibration>, ControlError> {
        Ok(self.calibrations(&format!("where calibration = {}", quoted(id))).await?.into_iter().next())
    }

    /// All calibrations of this rack, of this loop itself, of this signal; the latest first.
    ///
    /// # Errors
    /// When the history cannot be read.
    pub async fn list_calibrations(
        &self,
        rack: Option<&str>,
        cooling_loop: Option<&str>,
        signal: Option<&str>,
    ) -> Result<Vec<Calibration>, ControlError> {
        let mut calibrations = self.calibrations("").await?;
        calibrations.retain(|calibration| {
            let place = &calibration.identity.place;
            rack.is_none_or(|rack| place.rack.as_deref() == Some(rack))
                && cooling_loop
                    .is_none_or(|name| place.rack.is_none() && place.cooling_loop.as_deref() == Some(name))
                && signal.is_none_or(|signal| *calibration.identity.signal == *signal)
        });
        Ok(calibrations)
    }

    async fn calibrations(&self, filter: &str) -> Result<Vec<Calibration>, ControlError> {
        let columns = CalibrationRow::COLUMNS;
        let sql = format!("select {columns} from calibrations {filter} order by time desc, seq desc");
        let rows: Vec<CalibrationRow> = self.rows(&sql).await?;
        Ok(rows.into_iter().map(Into::into).collect())
    }

    async fn overrides(&self, evaluation: &str) -> Result<Vec<Override>, ControlError> {
        #[derive(Deserialize)]
        struct OverrideRow {
            time: i64,
            checks: Option<Vec<Name>>,
            by: String,
            why: String,
            until: i64,
        }
        let sql = format!(
            "select cast(time as bigint) as time, checks, by, why, cast(until as bigint) as until from overrides \
             where evaluation = {} order by seq",
            quoted(evaluation)
        );
        let rows: Vec<OverrideRow> = self.rows(&sql).await?;
        let given = |row: OverrideRow| Override {
            evaluation: evaluation.into(),
            time: EventTime::from_unix_micros(row.time),
            checks: row.checks.unwrap_or_default(),
            by: row.by,
            why: row.why,
            until: EventTime::from_unix_micros(row.until),
        };
        Ok(rows.into_iter().map(given).collect())
    }

    async fn rows<T: DeserializeOwned>(&self, sql: &str) -> Result<Vec<T>, ControlError> {
        let failed = |error: &dyn std::fmt::Display| ControlError::Unavailable {
            message: format!("the history cannot be read: {error}"),
        };
        let result = self.engine.sql(sql, &[]).await.map_err(|error| failed(&error))?;
        let batches = result.collect().await.map_err(|error| failed(&error))?;
        stored::rows(&batches).map_err(|error| ControlError::Internal {
            message: format!("an answer of the history cannot be read: {error}"),
        })
    }
}
