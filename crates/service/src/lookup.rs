//! What the history remembers of runs, evaluations and overrides, found by SQL over live and stored rows.

use std::sync::Arc;

use gate::Verdict;
use history::query::QueryEngine;
use serde::Deserialize;
use telemetry::place::{Place, SeriesIdentity};
use telemetry::record::{Calibration, Override, VerdictRecord};
use telemetry::{EventTime, Labels, Microseconds, Name};

use crate::board::Board;
use crate::pipeline::control::ControlError;

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
        for value in self.rows(&sql).await? {
            let row: RunRow = serde_json::from_value(value).map_err(|error| ControlError::Internal {
                message: format!("a row of runs cannot be read: {error}"),
            })?;
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
        let (answer, facts) = match self.board.verdict(evaluation) {
            Some(record) => (record.answer.clone(), record.facts.clone()),
            None => {
                let sql = format!(
                    "select answer, facts from verdicts where evaluation = {} limit 1",
                    quoted(evaluation)
                );
                match self.rows(&sql).await?.first() {
                    None => return Ok(None),
                    Some(row) => (text(row, "answer"), text(row, "facts")),
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
        Ok(self.rows(&sql).await?.iter().map(|row| text(row, "evaluation")).collect())
    }

    /// Shows the board the latest verdicts that are in the store, so that a request which comes again after a restart is
    /// still answered by the same evaluation. Those that are in the log come by themselves.
    ///
    /// # Errors
    /// When the history cannot be read.
    pub async fn remember_verdicts(&self) -> Result<(), ControlError> {
        /// Verdicts that are looked at: a caller that was cut off asks again within minutes.
        const RECENT: usize = 1_000;
        #[derive(Deserialize)]
        struct VerdictRow {
            evaluation: Name,
            policy: Name,
            policy_hash: Name,
            scope: String,
            run: Option<Name>,
            verdict: Name,
            answer: String,
            facts: String,
            watermark: i64,
            wait_until: Option<i64>,
            time: i64,
            engine: Name,
        }
        let Some(tick) = self.board.progress().tick else { return Ok(()) };
        // A day, so that the days before need not be read.
        let since = tick - Microseconds::from_hours(24);
        let sql = format!(
            "select evaluation, policy, policy_hash, scope, run, verdict, answer, facts, cast(watermark as bigint) as watermark, \
             cast(wait_until as bigint) as wait_until, cast(time as bigint) as time, engine from verdicts \
             where time >= to_timestamp_micros({}) order by seq desc limit {RECENT}",
            since.unix_micros()
        );
        for row in self.rows(&sql).await?.into_iter().rev() {
            let row: VerdictRow = serde_json::from_value(row).map_err(|error| ControlError::Internal {
                message: format!("a row of verdicts cannot be read: {error}"),
            })?;
            self.board.note_verdict(&Arc::new(VerdictRecord {
                evaluation: row.evaluation,
                policy: row.policy,
                policy_hash: row.policy_hash,
                racks: serde_json::from_str(&row.scope).unwrap_or_default(),
                run: row.run,
                verdict: row.verdict,
                answer: row.answer,
                facts: row.facts,
                watermark: EventTime::from_unix_micros(row.watermark),
                wait_until: row.wait_until.map(EventTime::from_unix_micros),
                time: EventTime::from_unix_micros(row.time),
                engine: row.engine,
            }));
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
        #[derive(Deserialize)]
        struct CalibrationRow {
            site: Name,
            #[serde(rename = "loop")]
            cooling_loop: Option<Name>,
            rack: Option<Name>,
            node: Option<Name>,
            device: Option<Name>,
            signal: Option<Name>,
            sensor: Option<Name>,
            time: i64,
            kind: Name,
            value: Option<f64>,
            by: String,
            why: String,
            reference: Option<String>,
            calibration: Option<Name>,
        }
        let sql = format!(
            "select site, \"loop\", rack, node, device, signal, sensor, cast(time as bigint) as time, kind, value, by, why, \
             reference, calibration from calibrations {filter} order by time desc, seq desc"
        );
        let rows = self.rows(&sql).await?;
        rows.into_iter()
            .map(|row| {
                let row: CalibrationRow =
                    serde_json::from_value(row).map_err(|error| ControlError::Internal {
                        message: format!("a row of calibrations cannot be read: {error}"),
                    })?;
                let place = Place {
                    site: row.site,
                    cooling_loop: row.cooling_loop,
                    rack: row.rack,
                    node: row.node,
                    device: row.device,
                };
                Ok(Calibration {
                    calibration: row.calibration.unwrap_or_default(),
                    identity: SeriesIdentity::new(place, row.signal.unwrap_or_default(), row.sensor),
                    time: EventTime::from_unix_micros(row.time),
                    kind: row.kind,
                    value: row.value,
                    reference: row.reference.unwrap_or_default(),
                    by: row.by,
                    why: row.why,
                })
            })
            .collect()
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
        let rows = self.rows(&sql).await?;
        rows.into_iter()
            .map(|row| {
                let row: OverrideRow = serde_json::from_value(row).map_err(|error| {
                    ControlError::Internal { message: format!("a row of overrides cannot be read: {error}") }
                })?;
                Ok(Override {
                    evaluation: evaluation.into(),
                    time: EventTime::from_unix_micros(row.time),
                    checks: row.checks.unwrap_or_default(),
                    by: row.by,
                    why: row.why,
                    until: EventTime::from_unix_micros(row.until),
                })
            })
            .collect()
    }

    async fn rows(&self, sql: &str) -> Result<Vec<serde_json::Value>, ControlError> {
        let failed = |error: &dyn std::fmt::Display| ControlError::Unavailable {
            message: format!("the history cannot be read: {error}"),
        };
        let result = self.engine.sql(sql, &[]).await.map_err(|error| failed(&error))?;
        let batches = result.collect().await.map_err(|error| failed(&error))?;
        let mut writer = arrow::json::ArrayWriter::new(Vec::new());
        for batch in &batches {
            writer.write(batch).map_err(|error| failed(&error))?;
        }
        writer.finish().map_err(|error| failed(&error))?;
        let bytes = writer.into_inner();
        if bytes.is_empty() {
            Ok(Vec::new())
        } else {
            serde_json::from_slice(&bytes).map_err(|error| failed(&error))
        }
    }
}

/// A text as SQL.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

fn text(row: &serde_json::Value, column: &str) -> String {
    row.get(column).and_then(serde_json::Value::as_str).unwrap_or_default().to_owned()
}
