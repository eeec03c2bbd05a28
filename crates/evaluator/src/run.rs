//! Runs: one test or deployment on some racks, from its start to its end.
//!
//! log → **run** → budgets of runs, facts, table `runs`

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use telemetry::facts::RunFacts;
use telemetry::record::{RunChange, RunEvent, RunState};
use telemetry::table::{Cell, Row, Table};
use telemetry::{EventTime, Microseconds, Name};

/// A run without a sample on any of its racks for this long is abandoned.
const SILENT_MAXIMUM: Microseconds = Microseconds::from_hours(24);

/// A run and how far its evaluation has come.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Run {
    /// What gates see.
    pub facts: RunFacts,
    /// Whether all its data was awaited and its final statuses are told.
    pub is_final: bool,
    /// Whether a gate said PASS about it.
    pub passed: bool,
    /// Whether a gate said WARN about it.
    pub warned: bool,
}

impl Run {
    /// Planned length.
    pub(crate) fn planned(&self) -> Microseconds {
        self.facts.planned_end - self.facts.start
    }

    /// Whether gates said PASS, WARN and FAIL about it.
    pub(crate) fn told(&self) -> [bool; 3] {
        [self.passed, self.warned, self.facts.failed]
    }

    /// Whether it goes on.
    pub(crate) fn is_active(&self) -> bool {
        match self.facts.state {
            RunState::Active => true,
            RunState::Ended | RunState::Aborted | RunState::Abandoned => false,
        }
    }

    /// Whether nobody will end it any more, at this tick and with the latest sample of its racks.
    pub(crate) fn is_abandoned(&self, tick: EventTime, last_sample: Option<EventTime>) -> bool {
        let heard = last_sample.map_or(self.facts.start, |last| last.max(self.facts.start));
        let is_overdue = self.facts.planned_end + self.planned() <= tick;
        self.is_active() && (is_overdue || SILENT_MAXIMUM <= tick - heard)
    }
}

/// What a run's record changed.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Changed {
    /// A run started.
    Started,
    /// It ended at this time.
    Ended(EventTime),
    /// Only a row.
    Marked,
    /// The same as before: sent twice.
    Nothing,
    /// It fits no run that is known.
    Refused,
}

/// All runs of a stream, by id.
#[derive(Debug, Default, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Runs {
    runs: BTreeMap<Name, Run>,
}

impl Runs {
    /// Takes an event. Nothing takes effect before the watermark.
    pub(crate) fn take(&mut self, event: &RunEvent, watermark: Option<EventTime>) -> Changed {
        let time = watermark.map_or(event.time, |watermark| watermark.max(event.time));
        match &event.change {
            RunChange::Start { racks, stage, versions, planned } => {
                if let Some(known) = self.runs.get(&event.run) {
                    let facts = &known.facts;
                    let is_same = facts.racks == *racks
                        && facts.stage == *stage
                        && facts.versions == *versions
                        && known.planned() == *planned;
                    return if is_same { Changed::Nothing } else { Changed::Refused };
                }
                if racks.iter().any(|rack| self.active_on(rack).is_some()) {
                    return Changed::Refused;
                }
                let facts = RunFacts {
                    run: event.run.clone(),
                    stage: stage.clone(),
                    versions: versions.clone(),
                    racks: racks.clone(),
                    start: time,
                    planned_end: time + *planned,
                    end: None,
                    state: RunState::Active,
                    failed: false,
                };
                self.runs
                    .insert(event.run.clone(), Run { facts, is_final: false, passed: false, warned: false });
                Changed::Started
            }
            RunChange::End { state } => self.end(&event.run, time, *state),
            RunChange::Mark { .. } if self.runs.contains_key(&event.run) => Changed::Marked,
            RunChange::Mark { .. } => Changed::Refused,
        }
    }

    /// Ends a run, not before it started.
    pub(crate) fn end(&mut self, run: &str, time: EventTime, state: RunState) -> Changed {
        let Some(run) = self.runs.get_mut(run).filter(|run| run.is_active()) else { return Changed::Refused };
        if state == RunState::Active {
            return Changed::Refused;
        }
        let end = time.max(run.facts.start);
        (run.facts.state, run.facts.end) = (state, Some(end));
        Changed::Ended(end)
    }

    /// The run of that id.
    pub(crate) fn get(&self, run: &str) -> Option<&Run> {
        self.runs.get(run)
    }

    /// The run of that id, to be changed.
    pub(crate) fn get_mut(&mut self, run: &str) -> Option<&mut Run> {
        self.runs.get_mut(run)
    }

    /// The run that goes on on a rack.
    pub(crate) fn active_on(&self, rack: &str) -> Option<&Run> {
        self.runs.values().find(|run| run.is_active() && run.facts.racks.iter().any(|known| &**known == rack))
    }

    /// Runs that are not final.
    pub(crate) fn open(&self) -> impl Iterator<Item = &Run> {
        self.runs.values().filter(|run| !run.is_final)
    }

    /// All runs.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Run> {
        self.runs.values()
    }
}

/// The row of a change. `baselines`: those in force at the start, as JSON.
pub(crate) fn row(facts: &RunFacts, time: EventTime, marker: Option<&str>, baselines: Option<String>) -> Row {
    Row {
        table: Table::Runs,
        cells: vec![
            Cell::from(&facts.run),
            Cell::Time(time),
            Cell::Texts(facts.racks.clone()),
            Cell::from(&facts.stage),
            Cell::Labels(facts.versions.clone()),
            Cell::Time(facts.start),
            Cell::Time(facts.planned_end),
            Cell::from(facts.end),
            Cell::from(facts.state.name()),
            Cell::from(marker),
            Cell::from(baselines.as_deref()),
        ],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start(run: &str, rack: &str, seconds: i64) -> RunEvent {
        RunEvent {
            run: run.into(),
            time: EventTime::from_unix_micros(seconds * 1_000_000),
            change: RunChange::Start {
                racks: vec![rack.into()],
                stage: "smoke".into(),
                versions: BTreeMap::new(),
                planned: Microseconds::from_minutes(30),
            },
        }
    }

    #[test]
    fn a_rack_has_one_active_run_and_an_id_is_used_once() {
        let mut runs = Runs::default();
        assert_eq!(runs.take(&start("a", "r1", 0), None), Changed::Started);
        assert_eq!(runs.take(&start("a", "r1", 0), None), Changed::Nothing, "sent twice");
        assert_eq!(runs.take(&start("a", "r2", 0), None), Changed::Refused, "the same id, another content");
        assert_eq!(runs.take(&start("b", "r1", 0), None), Changed::Refused, "the rack is busy");
        let end = EventTime::from_unix_micros(60_000_000);
        assert_eq!(runs.end("a", end, RunState::Ended), Changed::Ended(end));
        assert_eq!(runs.end("a", end, RunState::Aborted), Changed::Refused, "it is over");
        assert_eq!(runs.take(&start("b", "r1", 90), None), Changed::Started);
        assert_eq!(&*runs.active_on("r1").unwrap().facts.run, "b");
    }

    #[test]
    fn nothing_takes_effect_before_the_watermark() {
        let mut runs = Runs::default();
        let watermark = EventTime::from_unix_micros(100_000_000);
        runs.take(&start("a", "r1", 0), Some(watermark));
        assert_eq!(runs.get("a").unwrap().facts.start, watermark);
    }

    #[test]
    fn a_run_that_nobody_ends_is_abandoned_in_the_end() {
        let mut runs = Runs::default();
        runs.take(&start("a", "r1", 0), None);
        let run = runs.get("a").unwrap();
        let at = |minutes: i64| EventTime::from_unix_micros(minutes * 60_000_000);
        assert!(!run.is_abandoned(at(59), Some(at(59))));
        assert!(run.is_abandoned(at(60), Some(at(59))), "twice its planned length");
    }
}
