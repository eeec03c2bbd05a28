//! What is remembered of a rack as a whole: runs, maintenance, load, recovery.
//!
//! log, blocks → **rack** → facts

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};
use telemetry::EventTime;
use telemetry::Name;
use telemetry::facts::PowerLimit;
use telemetry::place::Place;

use crate::comparison::ComparisonState;
use crate::detectors::steady::Steady;
use crate::headroom::RackHeadroom;
use crate::measure::MeasureState;
use crate::partition::Envelope;
use crate::recovery::RecoveryState;

/// Blocks of a day, of which the nominal power is found where no site file tells it.
const DAY_BLOCKS: usize = 1_440;

/// A rack's own states.
#[derive(Debug, Default, Clone, Serialize, Deserialize)]
pub(crate) struct RackState {
    /// Site, loop and rack.
    pub place: Place,
    /// Whether the site file names it.
    pub declared: bool,
    /// The active run, else the last one.
    pub run: Option<Name>,
    /// The run before it.
    pub previous_run: Option<Name>,
    /// Work on it: from when until when.
    pub maintenance: Option<Maintenance>,
    /// Whether its power rests.
    pub steady: Steady,
    /// Whether it is back where it was.
    pub recovery: RecoveryState,
    /// What releases are told apart by.
    pub comparison: ComparisonState,
    /// How much power it can sustain.
    pub headroom: RackHeadroom,
    /// Whether it draws nearly all it is built for.
    pub envelope: Envelope,
    /// Answers to needs, by name.
    pub measures: BTreeMap<Name, MeasureState>,
    /// Measured up to here.
    pub measured: Option<EventTime>,
    /// Not beyond this: the end of a run.
    pub measured_until: Option<EventTime>,
    /// Block means of its power over the last day, kW.
    powers: VecDeque<f64>,
}

/// Work on a rack.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct Maintenance {
    /// From then on its time is unknown.
    pub from: EventTime,
    /// Planned or real end.
    pub until: EventTime,
    /// Whether its end has been seen to: baselines start anew.
    pub is_over: bool,
}

impl Maintenance {
    /// Whether it touches [`from`, `to`).
    pub(crate) fn touches(&self, from: EventTime, to: EventTime) -> bool {
        self.from < to && from < self.until
    }
}

impl RackState {
    pub(crate) fn new(place: Place) -> Self {
        Self { place, ..Self::default() }
    }

    /// Notes a block's mean power.
    pub(crate) fn note_power(&mut self, mean: Option<f64>) {
        self.powers.extend(mean);
        if self.powers.len() > DAY_BLOCKS {
            self.powers.pop_front();
        }
    }

    /// The rack's nominal power, kW: from the site file, else the 99th percentile of the last day's blocks.
    pub(crate) fn nominal_power(&self, declared: Option<f64>) -> Option<f64> {
        declared.or_else(|| {
            let mut powers: Vec<f64> = self.powers.iter().copied().collect();
            let at = (powers.len() * 99).div_ceil(100).checked_sub(1)?;
            Some(*powers.select_nth_unstable_by(at, f64::total_cmp).1)
        })
    }

    /// A limit of power in kW; none while the nominal power is not known.
    pub(crate) fn limit(&self, limit: PowerLimit, declared: Option<f64>) -> Option<f64> {
        match limit {
            PowerLimit::Kilowatts(power) => Some(power),
            PowerLimit::ShareOfNominal(share) => Some(share * self.nominal_power(declared)?),
        }
    }

    /// A run begins: what is measured begins anew.
    pub(crate) fn begin_run(&mut self, run: &Name, from: EventTime) {
        self.previous_run = self.run.replace(run.clone());
        self.recovery.begin_run(run);
        self.comparison.begin_run(from);
        self.measures.clear();
        self.measured = Some(from);
        self.measured_until = None;
    }

    /// That run ends.
    pub(crate) fn end_run(&mut self, run: &str, to: EventTime) {
        self.recovery.end_run(run, to);
        if self.run.as_deref() == Some(run) {
            self.measured_until = Some(to);
        }
    }
}
