//! A few readings as one: their mean and their standard deviation.

use serde::{Deserialize, Serialize};

/// The readings of the step that is being filled.
#[derive(Debug, Default, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Step {
    count: u32,
    mean: f64,
    /// Sum of the squares of the distances from the mean.
    squares: f64,
}

/// A complete step.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(super) struct Summary {
    /// Mean of its readings.
    pub mean: f64,
    /// Standard deviation of its readings, of the whole population.
    pub deviation: f64,
}

impl Step {
    /// Adds a reading; gives the step when it is the last of `length`.
    ///
    /// Welford's recurrence (Technometrics 4, 1962): equal readings give exactly their value and no deviation.
    pub fn add(&mut self, reading: f64, length: u32) -> Option<Summary> {
        self.count += 1;
        let distance = reading - self.mean;
        self.mean += distance / f64::from(self.count);
        self.squares += distance * (reading - self.mean);
        if self.count < length {
            return None;
        }
        let step = std::mem::take(self);
        let deviation = (step.squares.max(0.0) / f64::from(step.count)).sqrt();
        Some(Summary { mean: step.mean, deviation })
    }
}
