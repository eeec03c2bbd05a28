//! What to watch, and how alarms are told.

use serde::{Deserialize, Serialize};
use telemetry::Name;

/// Readings in a step, unless the document says otherwise.
pub(super) const STEP_READINGS: u32 = 10;
/// Steps of the calibration, unless the document says otherwise; also the fewest: below, how far a signal wanders in
/// eight steps is a guess.
pub(super) const CALIBRATION_STEPS: u32 = 25;
/// Steps without anything new after which an episode is over. At 300 s a reading that is a little more than a day, so
/// that what comes again every day is one episode.
const QUIET_STEPS: u32 = 30;

/// A group of signals, and how alarms are told.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WatchGroup {
    /// Its name in answers.
    pub name: Name,
    /// Canonical or declared signals; the order of the readings of a row. Sorted by name.
    pub signals: Vec<Name>,
    /// What an alarm means.
    pub alarm: AlarmKind,
    /// Readings of a signal that make a step.
    pub step_readings: u32,
    /// Steps of a signal before anything is said about it.
    pub calibration_steps: u32,
}

/// What an alarm means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum AlarmKind {
    /// The plant is not as usual: raised for as long as that lasts.
    State,
    /// Something happened: raised in the one row that it begins with.
    Episode,
}

impl WatchGroup {
    /// A group with the defaults.
    pub fn new(name: impl Into<Name>, signals: Vec<Name>, alarm: AlarmKind) -> Self {
        let (step_readings, calibration_steps) = (STEP_READINGS, CALIBRATION_STEPS);
        Self { name: name.into(), signals, alarm, step_readings, calibration_steps }
    }

    /// Readings that the calibration takes at least.
    pub fn calibration_rows(&self) -> u32 {
        self.step_readings * self.calibration_steps
    }

    /// Rows without anything new after which an episode is over.
    pub(super) fn quiet_rows(&self) -> u32 {
        self.step_readings * QUIET_STEPS
    }

    /// Steps after which a shift that lasts is the new usual.
    pub(super) fn accepted_steps(&self) -> u32 {
        match self.alarm {
            AlarmKind::State => 10 * self.calibration_steps,
            AlarmKind::Episode => QUIET_STEPS,
        }
    }
}
