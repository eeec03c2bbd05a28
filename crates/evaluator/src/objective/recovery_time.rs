//! What a recovery time promises: bursts of load, a band, and the share that is back in it in time.
//!
//! documents → **recovery_time** → settling

use serde::Serialize;
use telemetry::expression::Expression;
use telemetry::{Microseconds, Name};

/// A share of load bursts that settle in time; the longest recovery that is in time is [`super::Objective::threshold`].
///
/// A burst begins where the load rises by a step and ends where it falls by one. From one of the two the time runs to
/// the first instant after which the signal stays in its band for `hold`: the entry, not the end of `hold`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RecoveryTime {
    /// What tells of bursts.
    pub trigger: Trigger,
    /// Where the time begins to run.
    pub from: BurstEdge,
    /// Where the signal has to come back to.
    pub band: Band,
    /// So long it has to stay there; more than none. Longer gaps than this make a recovery unknown.
    pub hold: Microseconds,
    /// Share of bursts that is promised, in parts per million; more than none and less than a million.
    pub target_ppm: u32,
}

/// A signal whose steps are bursts: the power of the rack, or whatever stands for it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Trigger {
    /// Signal or expression, evaluated for the group's place.
    pub expression: Expression,
    /// Its unit.
    pub unit: Name,
    /// How far it has to move, either way.
    pub step: Step,
    /// In how short a time; more than none.
    pub within: Microseconds,
    /// After this long it must still be that far away from where it was: a spike is no burst, and a dip does not end one.
    pub debounce: Microseconds,
}

/// How far a trigger has to move.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// This much in the trigger's unit.
    Amount(f64),
    /// This share of the rack's nominal power; the trigger is in kW. Unknown while that power is not known.
    ShareOfNominal(f64),
}

/// Where the time of a recovery begins to run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum BurstEdge {
    /// Where the trigger rises: what the supply of a loop recovers from.
    Start,
    /// Where it falls: what a rack's coolant and GPUs recover from.
    End,
}

/// Values in the expression's unit, both ends included; at least one end is there.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Band {
    /// Lower end.
    pub minimum: Option<f64>,
    /// Upper end.
    pub maximum: Option<f64>,
}

impl Band {
    /// Whether a value lies in it.
    pub fn holds(self, value: f64) -> bool {
        self.minimum.is_none_or(|minimum| minimum <= value)
            && self.maximum.is_none_or(|maximum| value <= maximum)
    }
}
