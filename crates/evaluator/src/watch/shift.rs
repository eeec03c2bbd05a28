//! A level that moved away from where it was, and its way back.

use serde::{Deserialize, Serialize};

use super::wander::Wander;

/// Deviations of a single step that are a shift at once.
const AT_ONCE: f64 = 5.0;
/// Deviations of the [smoothed](SMOOTHING) distance that are a shift.
const LASTING: f64 = 2.5;
/// Weight of the latest step in the smoothed distance, which has half of a distance that lasts after two steps and three
/// quarters after four.
const SMOOTHING: f64 = 0.3;
/// The furthest that is told apart, in deviations.
const DISTANCE_MAX: f64 = 1e6;
/// Share of the largest distance below which the level is back.
const BACK: f64 = 0.3;
/// Share of the distance by which the reference follows the level in each quiet step: it forgets in 20 steps.
const FOLLOWING: f64 = 0.05;
/// The same while it settles where it came back to, which is seldom quite where it was.
const SETTLING: f64 = 0.5;
/// Steps of settling, in which no shift is told.
const SETTLING_STEPS: u32 = 12;
/// Steps at the end of the calibration whose mean is the first reference.
const REFERENCE_STEPS: usize = 10;

/// One feature of a signal: where it usually is, how far it wanders, and whether it is elsewhere.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Shift {
    reference: f64,
    wander: Wander,
    /// Factor on the deviation, for features whose noise has longer tails than a mean of readings.
    caution: f64,
    /// The smallest deviation that is believed, in the feature's unit.
    floor: f64,
    /// Smoothed distance from the reference, in deviations.
    smoothed: f64,
    phase: Phase,
    strength: f64,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
enum Phase {
    Quiet,
    /// Away, for so many steps; `furthest` in deviations, with its sign.
    Shifted {
        furthest: f64,
        steps: u32,
    },
    /// Back, for so many steps.
    Settling {
        steps: u32,
    },
}

impl Shift {
    /// Learns from the features of a calibration, of which there is at least one.
    pub fn calibrated(features: &[f64], caution: f64, floor: f64) -> Self {
        let mut wander = Wander::default();
        for feature in features {
            wander.learn(*feature);
            wander.push(*feature);
        }
        let last = &features[features.len().saturating_sub(REFERENCE_STEPS)..];
        let reference = last.iter().sum::<f64>() / last.len().max(1) as f64;
        Self { reference, wander, caution, floor, smoothed: 0.0, phase: Phase::Quiet, strength: 0.0 }
    }

    /// Whether it is elsewhere.
    pub fn is_shifted(&self) -> bool {
        match self.phase {
            Phase::Shifted { .. } => true,
            Phase::Quiet | Phase::Settling { .. } => false,
        }
    }

    /// How near to a shift the latest step was, 1 where a shift begins; not negative.
    pub fn strength(&self) -> f64 {
        self.strength
    }

    /// Takes the feature of a step; true when a shift begins with it. One that lasts for `accepted_steps` is the new
    /// usual.
    pub fn step(&mut self, feature: f64, accepted_steps: u32) -> bool {
        let deviation = (self.wander.deviation() * self.caution).max(self.floor);
        // Without any deviation to measure by, nothing is far away.
        let distance = if deviation > 0.0 { (feature - self.reference) / deviation } else { 0.0 };
        let distance = distance.clamp(-DISTANCE_MAX, DISTANCE_MAX);
        let began = match self.phase {
            Phase::Quiet => self.step_quiet(feature, distance),
            Phase::Shifted { furthest, steps } => {
                self.step_shifted(feature, distance, furthest, steps + 1, accepted_steps);
                false
            }
            Phase::Settling { steps } => {
                self.reference += SETTLING * (feature - self.reference);
                self.strength = 0.0;
                match steps + 1 {
                    SETTLING_STEPS => self.phase = Phase::Quiet,
                    steps => self.phase = Phase::Settling { steps },
                }
                false
            }
        };
        match self.phase {
            Phase::Quiet => self.wander.learn(feature),
            Phase::Shifted { .. } => self.wander.break_off(),
            Phase::Settling { .. } => {}
        }
        if !self.is_shifted() {
            self.wander.push(feature);
        }
        began
    }

    fn step_quiet(&mut self, feature: f64, distance: f64) -> bool {
        self.smoothed += SMOOTHING * (distance - self.smoothed);
        self.strength = (distance.abs() / AT_ONCE).max(self.smoothed.abs() / LASTING);
        if self.strength <= 1.0 {
            self.reference += FOLLOWING * (feature - self.reference);
            return false;
        }
        let furthest = if distance.abs() > self.smoothed.abs() { distance } else { self.smoothed };
        self.phase = Phase::Shifted { furthest, steps: 0 };
        true
    }

    fn step_shifted(&mut self, feature: f64, distance: f64, furthest: f64, steps: u32, accepted_steps: u32) {
        let along = |distance: f64| distance * furthest.signum();
        let furthest = if along(distance) > along(furthest) { distance } else { furthest };
        self.strength = along(distance).max(0.0) / LASTING;
        if along(distance) >= BACK * along(furthest) && steps < accepted_steps {
            self.phase = Phase::Shifted { furthest, steps };
            return;
        }
        self.phase = Phase::Settling { steps: 0 };
        self.reference = feature;
        self.smoothed = 0.0;
        self.strength = 0.0;
    }
}
