//! What was seen, by frequency: counts in steps of a tenth, so that any quantile is known to that step.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use telemetry::{EventTime, Microseconds};

/// Steps in one unit.
const STEPS: f64 = 10.0;
/// Nothing colder or warmer is told apart, °C: what a thermometer in water can report. Bounds the number of steps.
const SPAN: (f64, f64) = (-40.0, 150.0);
/// A quantile of less than this is none: the water of one hour says nothing of a day.
const SPAN_MINIMUM: Microseconds = Microseconds::from_hours(1);

/// Counts of values since the first.
#[derive(Debug, Default, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Quantiles {
    counts: BTreeMap<i32, u32>,
    total: u64,
    first: Option<EventTime>,
    last: Option<EventTime>,
}

impl Quantiles {
    /// Adds a value.
    pub(super) fn add(&mut self, time: EventTime, value: f64) {
        let count = self.counts.entry((value.clamp(SPAN.0, SPAN.1) * STEPS).round() as i32).or_default();
        *count = count.saturating_add(1);
        self.total += 1;
        self.first = self.first.or(Some(time));
        self.last = Some(time);
    }

    /// The smallest value that at least so many per cent of all values do not exceed.
    pub(super) fn quantile(&self, percent: u64) -> Option<f64> {
        let seen = self.last? - self.first?;
        if seen < SPAN_MINIMUM {
            return None;
        }
        let rank = (self.total * percent).div_ceil(100);
        let mut below = 0;
        self.counts.iter().find_map(|(step, count)| {
            below += u64::from(*count);
            (rank <= below).then(|| f64::from(*step) / STEPS)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantile_is_the_value_that_so_many_do_not_exceed() {
        let mut seen = Quantiles::default();
        let at = |minute: i64| EventTime::from_unix_micros(minute * 60_000_000);
        (0..59).for_each(|minute| seen.add(at(minute), 28.0));
        assert_eq!(seen.quantile(99), None, "less than an hour says nothing of a day");
        (59..200).for_each(|minute| seen.add(at(minute), 28.0 + minute as f64 / 100.0));
        assert_eq!(seen.quantile(99), Some(30.0));
        assert_eq!(seen.quantile(10), Some(28.0));
    }
}
