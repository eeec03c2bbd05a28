//! The first steps of a signal, until they say what is usual.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::shift::Shift;
use super::step::Summary;
use telemetry::median;

/// Noise of a logarithm of a deviation of ten readings has longer tails than that of their mean.
const SPREAD_CAUTION: f64 = 1.5;
/// Share of the usual deviation below which deviations are not told apart: sensors with coarse steps rest at times.
const SPREAD_FLOOR: f64 = 0.5;
/// Share of level and spread below which a deviation of the level is the rounding of numbers, not the plant.
const ROUNDING: f64 = 1e-6;

/// Steps that were seen so far; once there are enough, the latest ones.
#[derive(Debug, Default, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Calibration {
    steps: VecDeque<Summary>,
}

/// What a calibration gives.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Calibrated {
    /// The level: means of steps.
    pub level: Shift,
    /// The spread: logarithms of their deviations.
    pub spread: Shift,
    /// The smallest deviation of a step that is told from a smaller one.
    pub deviation_floor: f64,
}

impl Calibration {
    /// Adds a step; gives what is usual once `length` steps are there and have not all been the same: a signal that
    /// rests says nothing about how it moves.
    pub fn add(&mut self, step: Summary, length: u32) -> Option<Calibrated> {
        let length = length as usize;
        if self.steps.len() >= length {
            self.steps.pop_front();
        }
        self.steps.push_back(step);
        let first = self.steps[0].mean;
        let rests = self.steps.iter().all(|step| step.mean == first && step.deviation == 0.0);
        (self.steps.len() >= length && !rests).then(|| self.calibrated())
    }

    /// Whether as many steps were seen as a calibration takes.
    pub fn is_long_enough(&self, length: u32) -> bool {
        self.steps.len() >= length as usize
    }

    fn calibrated(&self) -> Calibrated {
        let levels: Vec<f64> = self.steps.iter().map(|step| step.mean).collect();
        let deviations: Vec<f64> = self.steps.iter().map(|step| step.deviation).collect();
        let mean = deviations.iter().sum::<f64>() / deviations.len() as f64;
        // A signal that rests in most steps has the median zero.
        let usual = median(&mut deviations.clone()).filter(|median| *median > 0.0).unwrap_or(mean);
        let deviation_floor = (SPREAD_FLOOR * usual).max(f64::MIN_POSITIVE);
        let spreads: Vec<f64> =
            deviations.iter().map(|deviation| spread(*deviation, deviation_floor)).collect();
        let magnitude = levels.iter().fold(0.0_f64, |largest, level| largest.max(level.abs()));
        Calibrated {
            level: Shift::calibrated(&levels, 1.0, ROUNDING * (magnitude + usual)),
            spread: Shift::calibrated(&spreads, SPREAD_CAUTION, ROUNDING),
            deviation_floor,
        }
    }
}

/// The spread of a step: the logarithm of its deviation, so that twice as much is as far as half as much.
pub(super) fn spread(deviation: f64, floor: f64) -> f64 {
    libm::log(deviation.max(floor))
}
