//! Modes of operation: clocks reduced, drained, work done elsewhere.
//!
//! plan → **mode** → load

use serde::{Deserialize, Serialize};
use telemetry::{Microseconds, Name};

use crate::scenario::{length, length_or_none};

/// A mode of operation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Mode {
    /// Clocks are reduced: this share of the load's power is left.
    ReducedClocks(f64),
    /// No new work is taken: it idles once what it has is done.
    Drained,
    /// A share of its work is done by another rack of the loop.
    Moved {
        /// Name of that rack.
        to: Name,
        /// Which share.
        share: f64,
    },
}

/// A mode over a span of time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModeSpan {
    /// Which.
    pub mode: Mode,
    /// When it is entered, from the start of the scenario.
    #[serde(with = "length")]
    pub begins: Microseconds,
    /// How long entering it, and leaving it, takes; sudden by default.
    #[serde(with = "length", default)]
    pub ramp: Microseconds,
    /// When it is left; by default it stays.
    #[serde(with = "length_or_none", default, skip_serializing_if = "Option::is_none")]
    pub ends: Option<Microseconds>,
}

impl ModeSpan {
    /// How far it is entered at this time from the start, s: 0 to 1.
    pub(super) fn entered(&self, seconds: f64) -> f64 {
        let ramp = self.ramp.as_seconds();
        let over = |since: f64| if since < ramp { since / ramp } else { 1.0 };
        let since = |moment: Microseconds| seconds - moment.as_seconds();
        let left = self.ends.map(since).filter(|since| 0.0 <= *since).map_or(0.0, over);
        if since(self.begins) < 0.0 { 0.0 } else { (over(since(self.begins)) - left).max(0.0) }
    }

    /// The share of the rack's work that another rack does at this time.
    pub(super) fn moved(&self, seconds: f64) -> f64 {
        match &self.mode {
            Mode::Moved { share, .. } => share * self.entered(seconds),
            Mode::ReducedClocks(_) | Mode::Drained => 0.0,
        }
    }

    pub(super) fn check(&self) -> Result<(), String> {
        let share_ok = |share: f64| match (0.0..=1.0).contains(&share) {
            true => Ok(()),
            false => Err(format!("load mode with a share of {share}: give a number between 0 and 1")),
        };
        if self.begins < Microseconds::ZERO
            || self.ramp < Microseconds::ZERO
            || self.ends.is_some_and(|ends| ends < self.begins + self.ramp)
        {
            return Err(format!(
                "load mode that begins at {}: let it begin at 0s or later and end after its ramp",
                self.begins
            ));
        }
        match &self.mode {
            Mode::ReducedClocks(share) | Mode::Moved { share, .. } => share_ok(*share),
            Mode::Drained => Ok(()),
        }
    }
}
