//! The mean of the recent past, with its scatter and its age.

use serde::{Deserialize, Serialize};
use telemetry::{EventTime, Microseconds};

/// An exponentially weighted mean that begins as a plain one.
#[derive(Debug, Default, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Recent {
    mean: f64,
    variance: f64,
    count: u32,
    last: Option<EventTime>,
}

impl Recent {
    /// Adds a value; it counts for no less than 1 in `memory`.
    pub(super) fn add(&mut self, time: EventTime, value: f64, memory: u32) {
        self.count = self.count.saturating_add(1).min(memory);
        let weight = 1.0 / f64::from(self.count);
        let step = value - self.mean;
        self.mean += weight * step;
        self.variance = (1.0 - weight) * (self.variance + weight * step * step);
        self.last = Some(time);
    }

    /// The mean, if the last value is not older than that.
    pub(super) fn mean(&self, now: EventTime, age: Microseconds) -> Option<f64> {
        self.last.filter(|last| now - *last <= age).map(|_| self.mean)
    }

    /// Values that it stands for.
    pub(super) fn count(&self) -> u32 {
        self.count
    }

    /// Standard deviation of the mean, with values taken for half as many as they are: neighbours are alike.
    pub(super) fn deviation_of_mean(&self) -> f64 {
        (2.0 * self.variance / f64::from(self.count.max(1))).sqrt()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_begins_as_a_plain_mean_and_then_forgets() {
        let mut recent = Recent::default();
        let at = |minute: i64| EventTime::from_unix_micros(minute * 60_000_000);
        for (minute, value) in (0..).zip([1.0, 2.0, 6.0]) {
            recent.add(at(minute), value, 10);
        }
        assert_eq!(recent.mean(at(2), Microseconds::ZERO), Some(3.0));
        (3..103).for_each(|minute| recent.add(at(minute), 7.0, 10));
        assert!((recent.mean(at(102), Microseconds::ZERO).unwrap() - 7.0).abs() < 1e-3);
        assert_eq!(recent.mean(at(110), Microseconds::from_minutes(5)), None, "too old");
    }
}
