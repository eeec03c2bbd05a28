//! Drills of the running environment: a fault is laid over the readings of a copy of a loop, to prove that detector and
//! alert work. The loop itself is judged as if there was none.
//!
//! log → **drill** → copies of partitions → rows of `drills` and `drill_events`, alerts with the label `drill`

pub mod class; // what can be drilled: read this first
mod overlay; // how readings are changed
mod rehearsal; // one drill: its copy, what that one says, how it ends

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use telemetry::alert::AlertTransition;
use telemetry::drill::{DrillChange, DrillEvent, DrillFacts, DrillRecord, DrillState};
use telemetry::place::Place;
use telemetry::record::{PartitionId, SampleBatch, SeriesDeclaration};
use telemetry::{EventTime, Name};

use self::rehearsal::Rehearsal;
use crate::effect::{Effect, Effects};
use crate::partition::{Environment, Partition};

/// Each costs as much as its loop does.
const AT_ONCE_MAX: usize = 8;

/// Drills that are in progress, and the latest results.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Drills {
    /// At most one a partition.
    running: BTreeMap<PartitionId, Rehearsal>,
    record: DrillRecord,
}

impl Drills {
    /// Whether none is in progress: then they cost nothing.
    pub(crate) fn is_idle(&self) -> bool {
        self.running.is_empty()
    }

    /// The latest of each detector and place that passed or failed.
    pub(crate) fn record(&self) -> &DrillRecord {
        &self.record
    }

    /// Those in progress, and those whose alerts are still shown.
    pub(crate) fn running(&self) -> impl Iterator<Item = &DrillFacts> {
        self.running.values().map(|rehearsal| &rehearsal.facts)
    }

    /// Alerts of drills that are active, as they were told last.
    pub(crate) fn alerts(&self) -> impl Iterator<Item = &AlertTransition> {
        self.running.values().flat_map(Rehearsal::alerts)
    }

    /// A drill begins or is broken off.
    pub(crate) fn take(
        &mut self,
        event: &DrillEvent,
        partitions: &BTreeMap<PartitionId, Partition>,
        environment: Environment<'_>,
        effects: &mut Effects,
    ) {
        let now = environment.tick.unwrap_or(event.time);
        match &event.change {
            DrillChange::Start { .. } if self.knows(&event.drill) => {}
            DrillChange::Start { rack, class, severity } => {
                let begun = self.begin(event, (rack, class, *severity), now, partitions, effects);
                if let Err(reason) = begun {
                    refuse(event, (rack, class, *severity), now, partitions, reason, effects);
                }
            }
            DrillChange::Cancel => {
                let found = self.running.iter().find(|(_, rehearsal)| rehearsal.facts.drill == event.drill);
                let Some(id) = found.map(|(id, _)| *id) else { return };
                if let Some(rehearsal) = self.running.remove(&id) {
                    rehearsal.cancel(now, format!("broken off by {}: {}", event.by, event.why), effects);
                }
            }
        }
    }

    fn knows(&self, drill: &Name) -> bool {
        self.running().chain(self.record.iter()).any(|known| known.drill == *drill)
    }

    fn begin(
        &mut self,
        event: &DrillEvent,
        (rack, class, severity): (&Name, &Name, Option<f64>),
        now: EventTime,
        partitions: &BTreeMap<PartitionId, Partition>,
        effects: &mut Effects,
    ) -> Result<(), String> {
        let class = class::class(class)?;
        let severity = class.severity(severity)?;
        let home = partitions.iter().find(|(_, partition)| partition.has_rack(rack));
        let Some((id, partition)) = home else {
            return Err(format!("no reading of rack {rack:?} ever came: send its telemetry here first"));
        };
        if let Some(other) = self.running.get(id) {
            let DrillFacts { drill, class, place, .. } = &other.facts;
            return Err(format!(
                "drill {drill} of {class} is in progress at {place}: one at a time on a loop; wait for its end, or end it \
                 with `thermogate drill end {drill}`"
            ));
        }
        if AT_ONCE_MAX <= self.running.len() {
            return Err(format!(
                "{AT_ONCE_MAX} drills are in progress, which is as many as may be: wait for one to end"
            ));
        }
        let place = partition.place_of_drill(class, rack).ok_or("the rack has no place")?;
        let ready = partition.readiness(class, &place)?;
        let rehearsal = Rehearsal::new(event, rack, class, (place, severity), now, &ready, partition);
        effects.push(Effect::Drill(Box::new(rehearsal.facts.clone())));
        self.running.insert(*id, rehearsal);
        Ok(())
    }

    /// A series is about to begin in a partition.
    pub(crate) fn declare(&mut self, id: PartitionId, declaration: &Arc<SeriesDeclaration>) {
        if let Some(rehearsal) = self.running.get_mut(&id) {
            rehearsal.declare(declaration);
        }
    }

    /// Readings have come, and the partition itself has taken them.
    pub(crate) fn take_samples(
        &mut self,
        id: PartitionId,
        batch: &SampleBatch,
        real: &Partition,
        environment: Environment<'_>,
        effects: &mut Effects,
    ) {
        if let Some(rehearsal) = self.running.get_mut(&id) {
            rehearsal.take_samples(batch, real, environment, effects);
        }
    }

    /// Something has happened to these partitions themselves, and now to their copies.
    pub(crate) fn each(
        &mut self,
        partitions: &BTreeMap<PartitionId, Partition>,
        effects: &mut Effects,
        mut each: impl FnMut(&mut Partition, &mut Effects),
    ) {
        for (id, rehearsal) in &mut self.running {
            if let Some(real) = partitions.get(id) {
                rehearsal.act(real, effects, &mut each);
            }
        }
    }

    /// Event time has gone on: those that have come to their end are decided, and those that were shown for long enough
    /// are over.
    pub(crate) fn decide(&mut self, environment: Environment<'_>, effects: &mut Effects) {
        let Some((tick, watermark)) = environment.tick.zip(environment.watermark) else { return };
        let Self { running, record } = self;
        for rehearsal in running.values_mut() {
            if rehearsal.decide(tick, watermark) {
                record.note(&rehearsal.facts);
                effects.push(rehearsal.copy(environment));
                effects.push(Effect::Drill(Box::new(rehearsal.facts.clone())));
            }
        }
        let over: Vec<PartitionId> =
            running.iter().filter(|(_, rehearsal)| rehearsal.is_over(tick)).map(|(id, _)| *id).collect();
        for rehearsal in over.iter().filter_map(|id| running.remove(id)) {
            rehearsal.clear(tick, effects);
        }
    }

    /// Racks are put on other loops: copies of loops that are no more say nothing.
    pub(crate) fn regroup(&mut self, now: EventTime, effects: &mut Effects) {
        for rehearsal in std::mem::take(&mut self.running).into_values() {
            rehearsal.cancel(now, "the site file has changed".to_owned(), effects);
        }
    }

    /// Plans copies anew after a restart.
    pub(crate) fn restore(&mut self, environment: Environment<'_>) {
        self.running.values_mut().for_each(|rehearsal| rehearsal.restore(environment));
    }
}

/// A drill that could say nothing does not begin, and that is told.
fn refuse(
    event: &DrillEvent,
    (rack, class, severity): (&Name, &Name, Option<f64>),
    now: EventTime,
    partitions: &BTreeMap<PartitionId, Partition>,
    reason: String,
    effects: &mut Effects,
) {
    let known = class::class(class).ok();
    let of_rack = |partition: &Partition| partition.place_of_drill(known?, rack);
    let nowhere = || Place { site: "unknown".into(), rack: Some(rack.clone()), ..Place::default() };
    let place = partitions.values().filter(|partition| partition.has_rack(rack)).find_map(of_rack);
    effects.push(Effect::Drill(Box::new(DrillFacts {
        drill: event.drill.clone(),
        class: class.clone(),
        rack: rack.clone(),
        place: place.unwrap_or_else(nowhere),
        severity: severity
            .filter(|severity| severity.is_finite())
            .or(known.map(|known| known.severity.usual))
            .unwrap_or_default(),
        detectors: known
            .map_or_else(Vec::new, |known| known.right.iter().map(|name| Name::from(*name)).collect()),
        started: now,
        until: now,
        state: DrillState::Refused,
        ended: Some(now),
        detector: None,
        detected: None,
        alert_fired: None,
        missing: reason,
        by: event.by.clone(),
        why: event.why.clone(),
    })));
}
