//! How far a series goes by itself.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

/// The long distance in steps: a third of the shortest calibration.
const LAG: usize = 8;
/// Differences over LAG - 1, LAG and LAG + 1 steps are taken together.
const LAGS: [usize; 3] = [LAG - 1, LAG, LAG + 1];
/// Ratio of the distance that is looked ahead to [`LAG`]: 64 steps.
const HORIZON: f64 = 8.0;
/// Differences that a mean remembers: those of so many steps.
const MEMORY_STEPS: u32 = 50;

/// Mean squares of a series' differences over one step and over eight, and the steps that they are taken from.
///
/// Their growth with the distance is the structure function of a self-affine series, D(h) ~ h^2α (Mandelbrot &
/// van Ness, SIAM Review 10, 1968): α is 0 for noise around a level, 1/2 for a random walk, 1 for a trend. It is
/// extrapolated to 64 steps, so that what drifts by itself is given room and what rests is not.
#[derive(Debug, Default, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Wander {
    /// The latest features, newest last; no more than the longest lag.
    latest: VecDeque<f64>,
    near: Mean,
    far: Mean,
}

/// A running mean that forgets.
#[derive(Debug, Default, Clone, PartialEq, Serialize, Deserialize)]
struct Mean {
    value: f64,
    count: u32,
}

impl Mean {
    fn add(&mut self, value: f64, memory: u32) {
        self.count = (self.count + 1).min(memory);
        self.value += (value - self.value) / f64::from(self.count);
    }
}

impl Wander {
    /// Learns from the differences to a feature that follows those that were [pushed](Self::push).
    pub fn learn(&mut self, feature: f64) {
        let square = |lag: usize| {
            let before = self.latest.len().checked_sub(lag).map(|index| self.latest[index])?;
            Some((feature - before) * (feature - before))
        };
        let near = square(1);
        let far = LAGS.map(square);
        if let Some(near) = near {
            self.near.add(near, MEMORY_STEPS);
        }
        for far in far.into_iter().flatten() {
            self.far.add(far, MEMORY_STEPS * LAGS.len() as u32);
        }
    }

    /// Remembers a feature as the latest.
    pub fn push(&mut self, feature: f64) {
        if self.latest.len() == LAG + 1 {
            self.latest.pop_front();
        }
        self.latest.push_back(feature);
    }

    /// Forgets the latest features: what comes next does not follow them.
    pub fn break_off(&mut self) {
        self.latest.clear();
    }

    /// The standard deviation to be expected of the series' own wandering; zero for one that has never moved.
    pub fn deviation(&self) -> f64 {
        let (near, far) = (self.near.value, self.far.value);
        let growth =
            if near > 0.0 && far > near { libm::log(far / near) / libm::log(LAG as f64) / 2.0 } else { 0.0 };
        // Of noise around a level a difference has twice the variance.
        (near.max(far) / 2.0).sqrt() * libm::pow(HORIZON, growth.min(1.0))
    }
}
