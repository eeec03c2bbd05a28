//! The evaluator itself: one record after the other in, effects out.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use telemetry::alert::AlertTransition;
use telemetry::facts::{RackFacts, RunFacts};
use telemetry::record::{Body, Configuration, Fate, PartitionId, Record, Sequence, SeriesDeclaration};
use telemetry::{EventTime, Microseconds};

use crate::effect::{Counter, Effects};
use crate::snapshot::{self, SnapshotError};

/// Behind the tick by this much, until a configuration says otherwise.
const ALLOWED_LATENESS: Microseconds = Microseconds::from_seconds(30);

/// Judges the telemetry of one log stream. Deterministic: equal records in equal order give equal effects.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Evaluator {
    configuration: Option<Configuration>,
    last_tick: Option<EventTime>,
    declarations: BTreeMap<(PartitionId, u32), SeriesDeclaration>,
}

impl Evaluator {
    /// Nothing is known yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes one record and adds what is to be done about it to `effects`, in order.
    pub fn apply(&mut self, sequence: Sequence, record: &Record, effects: &mut Effects) {
        let _ = sequence;
        match &record.body {
            Body::Series(declaration) => {
                self.declarations.insert((record.partition, declaration.id.0), declaration.clone());
            }
            Body::Samples(batch) => {
                effects.fates.extend((0..batch.len()).map(|index| Fate::Stored(batch.flag(index))));
            }
            Body::Tick(time) if self.last_tick > Some(*time) => effects.count(Counter::TickBack, 1),
            Body::Tick(time) => self.last_tick = Some(*time),
            Body::Configuration(configuration) => self.configuration = Some((**configuration).clone()),
            Body::Run(_)
            | Body::Calibration(_)
            | Body::Maintenance(_)
            | Body::Override(_)
            | Body::Verdict(_)
            | Body::Event(_) => {}
        }
    }

    /// All state as bytes.
    pub fn snapshot(&self) -> Vec<u8> {
        snapshot::write(self)
    }

    /// The state that [`Evaluator::snapshot`] gave.
    ///
    /// # Errors
    /// When the bytes are not a state that this engine reads.
    pub fn restore(bytes: &[u8]) -> Result<Self, SnapshotError> {
        snapshot::read(bytes)
    }

    /// The last tick.
    pub fn last_tick(&self) -> Option<EventTime> {
        self.last_tick
    }

    /// Up to here event time is final: the last tick less the allowed lateness.
    pub fn watermark(&self) -> Option<EventTime> {
        let lateness = self.configuration.as_ref().map_or(ALLOWED_LATENESS, |it| it.allowed_lateness);
        self.last_tick.map(|tick| tick - lateness)
    }

    /// Hash of the configuration in force; empty before the first.
    pub fn configuration_hash(&self) -> &str {
        self.configuration.as_ref().map_or("", |configuration| &configuration.hash)
    }

    /// The configuration in force.
    pub fn configuration(&self) -> Option<&Configuration> {
        self.configuration.as_ref()
    }

    /// All series that were declared, by partition and number.
    pub fn declarations(&self) -> impl Iterator<Item = (PartitionId, &SeriesDeclaration)> {
        self.declarations.iter().map(|((partition, _), declaration)| (*partition, declaration))
    }

    /// Facts of all racks and loops as of now.
    pub fn rack_facts(&self) -> Vec<Arc<RackFacts>> {
        Vec::new()
    }

    /// The alerts that are not inactive or resolved, as their last transition: to be told again after a restart.
    pub fn alerts(&self) -> Vec<AlertTransition> {
        Vec::new()
    }

    /// All runs that are known, in order of their ids.
    pub fn runs(&self) -> Vec<RunFacts> {
        Vec::new()
    }

    /// When the last reading of any series ends to count: its time plus its feed's interval. The end of a replayed
    /// file as a run.
    pub fn end_of_input(&self) -> Option<EventTime> {
        None
    }
}
