//! One signal: its readings as steps, its level and spread, what it never did before.

use serde::{Deserialize, Serialize};

use super::calibration::{Calibrated, Calibration, spread};
use super::group::{AlarmKind, WatchGroup};
use super::novelty::Novelty;
use super::step::{Step, Summary};

/// A signal with all that is remembered of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct SignalWatch {
    step: Step,
    stage: Stage,
    /// Where alarms are episodes.
    novelty: Option<Novelty>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
enum Stage {
    Calibrating { calibration: Calibration, long_enough: bool },
    Watching(Box<Calibrated>),
}

/// What signals say in one row, taken together.
#[derive(Debug, Default, Clone, Copy, PartialEq)]
pub(super) struct Heard {
    /// How near to an alarm the nearest one is, 1 where it begins; `None` while nothing can be said.
    pub strength: Option<f64>,
    /// Whether one is shifted.
    pub shifted: bool,
    /// Whether a shift begins with this row.
    pub shift_opened: bool,
    /// Whether something new is in this row.
    pub is_novel: bool,
}

impl Heard {
    /// Adds what another signal says.
    pub fn merge(&mut self, other: Self) {
        self.strength = match (self.strength, other.strength) {
            (Some(one), Some(other)) => Some(one.max(other)),
            (one, None) => one,
            (None, other) => other,
        };
        self.shifted |= other.shifted;
        self.shift_opened |= other.shift_opened;
        self.is_novel |= other.is_novel;
    }
}

impl SignalWatch {
    pub fn new(group: &WatchGroup) -> Self {
        let novelty = match group.alarm {
            AlarmKind::State => None,
            AlarmKind::Episode => Some(Novelty::default()),
        };
        let stage = Stage::Calibrating { calibration: Calibration::default(), long_enough: false };
        Self { step: Step::default(), stage, novelty }
    }

    /// Takes a reading, which is finite.
    pub fn reading(&mut self, reading: f64, group: &WatchGroup) -> Heard {
        let newness = self.novelty.as_mut().map_or(0.0, |novelty| novelty.reading(reading, group));
        let opened = match self.step.add(reading, group.step_readings) {
            Some(step) => self.take_step(step, group),
            None => false,
        };
        let mut heard = self.last_heard();
        heard.shift_opened = opened;
        heard.is_novel = newness > 1.0;
        heard.strength = heard.strength.map(|strength| strength.max(newness));
        heard
    }

    /// What it said last, without what was news then.
    pub fn last_heard(&self) -> Heard {
        match &self.stage {
            Stage::Calibrating { long_enough: false, .. } => Heard::default(),
            // It rests: calibrated it is not, and there is nothing wrong.
            Stage::Calibrating { long_enough: true, .. } => Heard { strength: Some(0.0), ..Heard::default() },
            Stage::Watching(features) => Heard {
                strength: Some(features.level.strength().max(features.spread.strength())),
                shifted: features.level.is_shifted() || features.spread.is_shifted(),
                ..Heard::default()
            },
        }
    }

    /// Whether a shift begins with the step.
    fn take_step(&mut self, step: Summary, group: &WatchGroup) -> bool {
        match &mut self.stage {
            Stage::Calibrating { calibration, long_enough } => {
                let calibrated = calibration.add(step, group.calibration_steps);
                *long_enough = calibration.is_long_enough(group.calibration_steps);
                if let Some(calibrated) = calibrated {
                    self.stage = Stage::Watching(Box::new(calibrated));
                }
                false
            }
            Stage::Watching(features) => {
                let accepted = group.accepted_steps();
                let spread = spread(step.deviation, features.deviation_floor);
                let level_opened = features.level.step(step.mean, accepted);
                let spread_opened = features.spread.step(spread, accepted);
                level_opened || spread_opened
            }
        }
    }
}
