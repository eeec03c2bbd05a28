//! Outside the range of what is remembered.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::group::WatchGroup;

/// Share of the remembered range by which a value must be outside of it.
const MARGIN: f64 = 0.4;
/// Time constants of the smoothed values, in tenths of a step: about a reading, a step, and ten steps.
const CONSTANTS_TENTHS: [u32; 3] = [1, 10, 100];
/// Time constants after which a smoothed value is remembered, and after which it is judged.
const REMEMBERED_AFTER: u32 = 2;
const JUDGED_AFTER: u32 = 4;
/// What is remembered, cut into so many parts of so many steps: the oldest part is forgotten at once.
const PARTS: usize = 8;
const PART_STEPS: u32 = 30;
/// Share of a value below which a range is the rounding of numbers.
const ROUNDING: f64 = 1e-9;

/// A signal's values and their changes, smoothed over several times, each with the range of what is remembered.
#[derive(Debug, Default, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Novelty {
    /// Readings so far, not counted further than matters.
    readings: u32,
    /// Readings in the newest part.
    in_part: u32,
    before: f64,
    values: [Smoothed; CONSTANTS_TENTHS.len()],
    changes: [Smoothed; CONSTANTS_TENTHS.len()],
}

#[derive(Debug, Default, Clone, PartialEq, Serialize, Deserialize)]
struct Smoothed {
    value: f64,
    /// Lowest and highest value of each part, newest last; `None` while nothing of it is remembered.
    parts: VecDeque<Option<(f64, f64)>>,
}

impl Novelty {
    /// Takes a reading. Returns how far outside it is, 1 where a novelty begins; zero inside, and while too little is
    /// remembered.
    pub fn reading(&mut self, reading: f64, group: &WatchGroup) -> f64 {
        let change = if self.readings == 0 { 0.0 } else { (reading - self.before).abs() };
        self.before = reading;
        let part_readings = PART_STEPS * group.step_readings;
        let opens_part = self.in_part == 0;
        self.in_part = (self.in_part + 1) % part_readings;
        let mut furthest = 0.0_f64;
        for (inputs, input) in [(&mut self.values, reading), (&mut self.changes, change)] {
            for (smoothed, tenths) in inputs.iter_mut().zip(CONSTANTS_TENTHS) {
                let constant = (tenths * group.step_readings / 10).max(1);
                smoothed.smooth(input, self.readings, constant);
                if opens_part {
                    smoothed.open_part();
                }
                if self.readings < REMEMBERED_AFTER * constant {
                    continue;
                }
                if self.readings >= (JUDGED_AFTER * constant).max(group.calibration_rows()) {
                    furthest = furthest.max(smoothed.outside() / MARGIN);
                }
                smoothed.remember();
            }
        }
        // Long enough for the longest time constant, and for the calibration.
        let enough = (JUDGED_AFTER * 10 * group.step_readings).max(group.calibration_rows());
        self.readings = (self.readings + 1).min(enough);
        furthest
    }
}

impl Smoothed {
    /// An exponential mean; the plain mean of all values while they are fewer than the time constant.
    fn smooth(&mut self, input: f64, values: u32, constant: u32) {
        let weight = 1.0 / f64::from((values + 1).min(constant));
        self.value += weight * (input - self.value);
    }

    fn open_part(&mut self) {
        if self.parts.len() == PARTS {
            self.parts.pop_front();
        }
        self.parts.push_back(None);
    }

    fn remember(&mut self) {
        if let Some(part) = self.parts.back_mut() {
            let (lowest, highest) = part.unwrap_or((self.value, self.value));
            *part = Some((lowest.min(self.value), highest.max(self.value)));
        }
    }

    /// Distance from the remembered range as a share of it; zero inside, and where nothing has moved yet.
    fn outside(&self) -> f64 {
        let parts = self.parts.iter().copied().flatten();
        let Some((lowest, highest)) = parts.reduce(|one, other| (one.0.min(other.0), one.1.max(other.1)))
        else {
            return 0.0;
        };
        let range = highest - lowest;
        let distance = (self.value - highest).max(lowest - self.value);
        if range > ROUNDING * (lowest.abs() + highest.abs()) && distance > 0.0 {
            distance / range
        } else {
            0.0
        }
    }
}
