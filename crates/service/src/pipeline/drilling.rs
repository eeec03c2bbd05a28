//! Drills: checked, written to the log, answered once the evaluator has begun or refused them.

use evaluator::drill::class;
use telemetry::drill::{DrillChange, DrillEvent, DrillFacts, DrillState};
use telemetry::record::Body;
use telemetry::{EventTime, Name, canonical_json, sha256_hex};

use super::control::{Control, ControlError, not_found, said, stream_record};

/// A drill that somebody wants to begin.
#[derive(Debug, Clone, Default)]
pub struct NewDrill {
    /// Made by the caller, so that a repeat is known; may be empty.
    pub request_id: String,
    /// The rack.
    pub rack: Name,
    /// The class of fault.
    pub class: Name,
    /// How grave; what is usual without it.
    pub severity: Option<f64>,
    /// Who.
    pub by: String,
    /// Why.
    pub why: String,
}

impl Control {
    /// Begins a drill.
    ///
    /// # Errors
    /// [`ControlError`]; [`ControlError::State`] when it could say nothing.
    pub async fn start_drill(&self, new: NewDrill) -> Result<DrillFacts, ControlError> {
        said("by", &new.by)?;
        said("why", &new.why)?;
        let class =
            class::class(&new.class).map_err(|message| ControlError::Field { field: "class", message })?;
        class.severity(new.severity).map_err(|message| ControlError::Field { field: "severity", message })?;
        self.check_seen(std::slice::from_ref(&new.rack))?;
        let _turn = self.turn.lock().await;
        let progress = self.pipeline.board.progress();
        let time = progress.tick.unwrap_or(EventTime::MINIMUM);
        let id = match new.request_id.as_str() {
            "" => canonical_json(&(&new.rack, &new.class, progress.sequence, &new.by)),
            request => canonical_json(&("drill", request)),
        };
        let drill: Name = sha256_hex(&id)[..16].into();
        if let Some(known) =
            self.pipeline.board.drill(&drill).filter(|known| known.state != DrillState::Refused)
        {
            return if known.rack == new.rack && known.class == new.class {
                Ok(known)
            } else {
                Err(ControlError::State {
                    subject: drill.to_string(),
                    message: format!(
                        "request {:?} has begun another drill already, of {} on rack {}: a request id is used once",
                        new.request_id, known.class, known.rack
                    ),
                })
            };
        }
        let change = DrillChange::Start { rack: new.rack.clone(), class: new.class, severity: new.severity };
        let event = DrillEvent { drill: drill.clone(), time, change, by: new.by, why: new.why };
        self.pipeline.append_and_apply(vec![stream_record(Body::Drill(event))]).await?;
        let begun = self.known_drill(&drill)?;
        match begun.state {
            DrillState::Refused => {
                Err(ControlError::State { subject: new.rack.to_string(), message: begun.missing })
            }
            DrillState::Running | DrillState::Passed | DrillState::Failed | DrillState::Cancelled => {
                Ok(begun)
            }
        }
    }

    /// Breaks a drill off. One that has its result keeps it.
    ///
    /// # Errors
    /// [`ControlError`].
    pub async fn end_drill(&self, drill: &str, by: &str, why: &str) -> Result<DrillFacts, ControlError> {
        said("by", by)?;
        said("why", why)?;
        let known = self.known_drill(drill)?;
        if known.state != DrillState::Running {
            return Ok(known);
        }
        let time = self.pipeline.board.progress().tick.unwrap_or(EventTime::MINIMUM);
        let change = DrillChange::Cancel;
        let event = DrillEvent { drill: drill.into(), time, change, by: by.to_owned(), why: why.to_owned() };
        self.pipeline.append_and_apply(vec![stream_record(Body::Drill(event))]).await?;
        self.known_drill(drill)
    }

    /// A drill that began not long ago, or that gates still look at.
    ///
    /// # Errors
    /// [`ControlError::NotFound`].
    pub fn known_drill(&self, drill: &str) -> Result<DrillFacts, ControlError> {
        self.pipeline.board.drill(drill).ok_or_else(|| not_found("drill", drill, std::iter::empty()))
    }
}
