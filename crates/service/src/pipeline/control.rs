//! Operators' and pipelines' acts: checked, written to the log as one record, answered once applied.

use std::sync::Arc;

use telemetry::facts::RunFacts;
use telemetry::record::{
    Body, MaintenanceEvent, Override, PartitionId, Record, RunChange, RunEvent, RunState, VerdictRecord,
};
use telemetry::{EventTime, Labels, Microseconds, Name};

use super::Pipeline;
use super::writer::Refused;
use crate::lookup::{Lookup, StoredRun};
use crate::settings::Settings;

/// Why an act is refused, sorted by who must act.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ControlError {
    /// A field of the request.
    #[error("{field}: {message}")]
    Field {
        /// Which.
        field: &'static str,
        /// What is wrong with it.
        message: String,
    },
    /// Something that is not known.
    #[error("{kind} {name:?} is not known{hint}")]
    NotFound {
        /// rack, run, gate, evaluation.
        kind: &'static str,
        /// Its name.
        name: String,
        /// The nearest known one.
        hint: String,
    },
    /// The state of things does not allow it.
    #[error("{message}")]
    State {
        /// For error details: what is in the way.
        subject: String,
        /// What is in the way and how to go on.
        message: String,
    },
    /// Ours; may pass.
    #[error("{message}")]
    Unavailable {
        /// What is broken.
        message: String,
    },
    /// Ours.
    #[error("{message}")]
    Internal {
        /// What is broken.
        message: String,
    },
}

impl From<Refused> for ControlError {
    fn from(refused: Refused) -> Self {
        Self::Unavailable { message: refused.message }
    }
}

/// A run that somebody wants to start.
#[derive(Debug, Clone)]
pub struct NewRun {
    /// Its id.
    pub run: Name,
    /// Its racks.
    pub racks: Vec<Name>,
    /// Its stage.
    pub stage: Name,
    /// Versions by name.
    pub versions: Labels,
    /// Planned length; by the stage when absent.
    pub planned: Option<Microseconds>,
    /// When it starts; at the watermark when absent.
    pub time: Option<EventTime>,
    /// Whether an active run is ended as aborted.
    pub replace: bool,
}

/// Carries acts out, one after the other.
pub struct Control {
    pub(super) pipeline: Arc<Pipeline>,
    pub(super) lookup: Lookup,
    settings: Settings,
    /// Held from the check to the application, so that two starts cannot both find a rack free.
    pub(super) turn: tokio::sync::Mutex<()>,
}

impl Control {
    /// On this pipeline.
    pub fn new(pipeline: Arc<Pipeline>, lookup: Lookup, settings: Settings) -> Self {
        Self { pipeline, lookup, settings, turn: tokio::sync::Mutex::new(()) }
    }

    /// Starts a run.
    ///
    /// # Errors
    /// [`ControlError`].
    pub async fn start_run(&self, new: NewRun) -> Result<StoredRun, ControlError> {
        if new.run.is_empty() || new.run.len() > 128 {
            return Err(ControlError::Field {
                field: "run_id",
                message: "give an id of 1 to 128 characters".to_owned(),
            });
        }
        if new.racks.is_empty() {
            return Err(ControlError::Field { field: "racks", message: "name at least one rack".to_owned() });
        }
        let planned = new.planned.unwrap_or_else(|| self.settings.planned(&new.stage));
        if planned <= Microseconds::ZERO {
            return Err(ControlError::Field {
                field: "planned",
                message: "give a length above 0".to_owned(),
            });
        }
        self.check_seen(&new.racks)?;
        let _turn = self.turn.lock().await;
        let mut racks = new.racks.clone();
        racks.sort();
        racks.dedup();
        if let Some(known) = self.lookup.run(&new.run).await? {
            let same = known.racks == racks
                && known.stage == *new.stage
                && known.versions == new.versions
                && known.planned() == planned;
            return if same {
                Ok(known)
            } else {
                Err(ControlError::State {
                    subject: new.run.to_string(),
                    message: format!(
                        "run {:?} is there already with other content: ids are unique for ever, choose another",
                        &*new.run
                    ),
                })
            };
        }
        let mut records = Vec::new();
        let watermark = self.pipeline.board.progress().watermark.unwrap_or(EventTime::MINIMUM);
        let time = new.time.unwrap_or(watermark).max(watermark);
        for active in self.active_runs(&racks) {
            if !new.replace {
                return Err(ControlError::State {
                    subject: active.run.to_string(),
                    message: format!(
                        "rack {} has the active run {:?} since {}: end it with `thermogate run end {}`, or start with --replace",
                        active.racks.first().map_or("-", |rack| rack),
                        &*active.run,
                        active.start,
                        active.run
                    ),
                });
            }
            records.push(run_record(&active.run, time, RunChange::End { state: RunState::Aborted }));
        }
        let change = RunChange::Start { racks, stage: new.stage, versions: new.versions, planned };
        records.push(run_record(&new.run, time, change));
        self.pipeline.append_and_apply(records).await?;
        self.known_run(&new.run).await
    }

    /// Ends a run.
    ///
    /// # Errors
    /// [`ControlError`].
    pub async fn end_run(
        &self,
        run: &str,
        aborted: bool,
        time: Option<EventTime>,
    ) -> Result<StoredRun, ControlError> {
        let _turn = self.turn.lock().await;
        let known = self.known_run(run).await?;
        let state = if aborted { RunState::Aborted } else { RunState::Ended };
        if known.state != RunState::Active.name() {
            // Ended twice in the same way is one end: a pipeline may retry.
            return if known.state == state.name() {
                Ok(known)
            } else {
                Err(ControlError::State {
                    subject: run.to_owned(),
                    message: format!("run {run:?} is {} already", known.state),
                })
            };
        }
        let watermark = self.pipeline.board.progress().watermark.unwrap_or(EventTime::MINIMUM);
        let time =
            time.unwrap_or_else(|| self.pipeline.board.progress().tick.unwrap_or(watermark)).max(watermark);
        self.pipeline.append_and_apply(vec![run_record(run, time, RunChange::End { state })]).await?;
        self.known_run(run).await
    }

    /// Marks something in a run.
    ///
    /// # Errors
    /// [`ControlError`].
    pub async fn mark_run(
        &self,
        run: &str,
        text: String,
        time: Option<EventTime>,
    ) -> Result<StoredRun, ControlError> {
        if text.trim().is_empty() {
            return Err(ControlError::Field { field: "text", message: "say what happened".to_owned() });
        }
        self.known_run(run).await?;
        let progress = self.pipeline.board.progress();
        let time = time.or(progress.tick).unwrap_or(EventTime::MINIMUM);
        self.pipeline.append_and_apply(vec![run_record(run, time, RunChange::Mark { text })]).await?;
        self.known_run(run).await
    }

    /// Starts (`until`) or ends work on racks.
    ///
    /// # Errors
    /// [`ControlError`].
    pub async fn maintain(
        &self,
        racks: &[Name],
        until: Option<EventTime>,
        by: &str,
        why: &str,
        time: Option<EventTime>,
    ) -> Result<Vec<MaintenanceEvent>, ControlError> {
        if racks.is_empty() {
            return Err(ControlError::Field { field: "racks", message: "name at least one rack".to_owned() });
        }
        said("by", by)?;
        if until.is_some() {
            said("why", why)?;
        }
        self.check_seen(racks)?;
        let _turn = self.turn.lock().await;
        let progress = self.pipeline.board.progress();
        let time = time
            .or(progress.tick)
            .unwrap_or(EventTime::MINIMUM)
            .max(progress.watermark.unwrap_or(EventTime::MINIMUM));
        if until.is_some_and(|until| until <= time) {
            return Err(ControlError::Field {
                field: "until",
                message: format!("give a time after its start, {time}"),
            });
        }
        let events: Vec<MaintenanceEvent> = racks
            .iter()
            .map(|rack| MaintenanceEvent {
                rack: rack.clone(),
                time,
                until,
                by: by.to_owned(),
                why: why.to_owned(),
            })
            .collect();
        let records = events.iter().map(|event| stream_record(Body::Maintenance(event.clone()))).collect();
        self.pipeline.append_and_apply(records).await?;
        Ok(events)
    }

    /// Writes down that a person takes responsibility in spite of a verdict.
    ///
    /// # Errors
    /// [`ControlError`].
    pub async fn override_verdict(
        &self,
        evaluation: &str,
        checks: Vec<Name>,
        by: &str,
        why: &str,
        until: EventTime,
    ) -> Result<Override, ControlError> {
        said("by", by)?;
        said("why", why)?;
        let stored = self
            .lookup
            .evaluation(evaluation)
            .await?
            .ok_or_else(|| not_found("evaluation", evaluation, std::iter::empty()))?;
        let time = self.pipeline.board.progress().tick.unwrap_or(EventTime::MINIMUM);
        if until <= time {
            return Err(ControlError::Field { field: "until", message: format!("give a time after {time}") });
        }
        for check in &checks {
            if !stored.verdict.checks.iter().any(|known| known.check == *check) {
                return Err(not_found(
                    "check",
                    check,
                    stored.verdict.checks.iter().map(|known| &*known.check),
                ));
            }
        }
        let given = Override {
            evaluation: evaluation.into(),
            time,
            checks,
            by: by.to_owned(),
            why: why.to_owned(),
            until,
        };
        self.pipeline.append_and_apply(vec![stream_record(Body::Override(given.clone()))]).await?;
        Ok(given)
    }

    /// Writes a verdict down; returns once it is synced.
    ///
    /// # Errors
    /// When the log refuses.
    pub async fn record_verdict(&self, verdict: VerdictRecord) -> Result<(), ControlError> {
        let noted = Arc::new(verdict.clone());
        self.pipeline.append(vec![stream_record(Body::Verdict(verdict))]).await?;
        self.pipeline.board.note_verdict(&noted);
        Ok(())
    }

    /// Refuses racks that no reading ever came from: what happens on them cannot be followed yet.
    pub(super) fn check_seen(&self, racks: &[Name]) -> Result<(), ControlError> {
        self.check_racks(racks)?;
        match racks.iter().find(|rack| self.pipeline.board.rack(rack).is_none()) {
            None => Ok(()),
            Some(rack) => Err(ControlError::State {
                subject: rack.to_string(),
                message: format!("no reading of rack {:?} ever came: send its telemetry here first", &**rack),
            }),
        }
    }

    /// Refuses racks that nobody knows: neither has a reading of them come, nor does the site file name them.
    ///
    /// # Errors
    /// [`ControlError::NotFound`] with the nearest known rack.
    pub fn check_racks(&self, racks: &[Name]) -> Result<(), ControlError> {
        let unseen: Vec<&Name> =
            racks.iter().filter(|rack| self.pipeline.board.rack(rack).is_none()).collect();
        if unseen.is_empty() {
            return Ok(());
        }
        let declared = &self.pipeline.declared_racks;
        let Some(unknown) = unseen.into_iter().find(|rack| !declared.contains(rack)) else { return Ok(()) };
        let seen = self.pipeline.board.racks();
        let seen = seen.iter().filter_map(|facts| facts.place.rack.as_deref());
        Err(not_found("rack", unknown, seen.chain(declared.iter().map(|rack| &**rack))))
    }

    fn active_runs(&self, racks: &[Name]) -> Vec<RunFacts> {
        let mut active: Vec<RunFacts> = racks
            .iter()
            .filter_map(|rack| self.pipeline.board.rack(rack)?.run.clone())
            .filter(|run| run.state == RunState::Active)
            .collect();
        active.sort_by(|one, other| one.run.cmp(&other.run));
        active.dedup_by(|one, other| one.run == other.run);
        active
    }

    async fn known_run(&self, run: &str) -> Result<StoredRun, ControlError> {
        self.lookup.run(run).await?.ok_or_else(|| not_found("run", run, std::iter::empty()))
    }
}

/// A refusal that names the nearest known name.
pub fn not_found<'a>(kind: &'static str, name: &str, known: impl Iterator<Item = &'a str>) -> ControlError {
    let hint = telemetry::document::nearest(name, known)
        .map_or_else(String::new, |near| format!("; did you mean {near:?}?"));
    ControlError::NotFound { kind, name: name.to_owned(), hint }
}

pub(super) fn said(field: &'static str, text: &str) -> Result<(), ControlError> {
    if text.trim().is_empty() {
        Err(ControlError::Field { field, message: "is required".to_owned() })
    } else {
        Ok(())
    }
}

fn run_record(run: &str, time: EventTime, change: RunChange) -> Record {
    stream_record(Body::Run(RunEvent { run: run.into(), time, change }))
}

pub(super) fn stream_record(body: Body) -> Record {
    Record { partition: PartitionId::STREAM, body }
}
