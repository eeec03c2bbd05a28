//! A burn-rate window as a ring of buckets: the window *is* its last complete buckets, in integer microseconds.
//!
//! judged units → **ring** → burn rates

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};
use telemetry::facts::TimeByState;
use telemetry::{EventTime, Microseconds};

/// A window is cut into about this many buckets, and never into more.
const BUCKETS: i64 = 60;

/// Time by state over the last complete buckets.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Ring {
    bucket: Microseconds,
    length: usize,
    /// Start of the bucket that is being filled.
    open: Option<EventTime>,
    filling: TimeByState,
    complete: VecDeque<TimeByState>,
    sum: TimeByState,
}

impl Ring {
    /// A ring for a window, which is cut into whole buckets of whole judged units: lengths that do not divide are
    /// shortened by less than a bucket.
    pub(crate) fn new(window: Microseconds, judged_unit: Microseconds) -> Self {
        let units = (window.0 / judged_unit.0).max(1);
        let least = (units + BUCKETS - 1) / BUCKETS;
        let units_in_bucket = (least..=2 * least).find(|count| units % count == 0).unwrap_or(least);
        Self {
            bucket: Microseconds(units_in_bucket * judged_unit.0),
            length: usize::try_from(units / units_in_bucket).unwrap_or(1),
            open: None,
            filling: TimeByState::default(),
            complete: VecDeque::new(),
            sum: TimeByState::default(),
        }
    }

    /// The window's length in fact.
    pub(crate) fn window(&self) -> Microseconds {
        Microseconds(self.bucket.0 * self.length as i64)
    }

    /// Adds time to the bucket that holds `start`; units never straddle buckets and come in order.
    pub(crate) fn add(&mut self, start: EventTime, time: TimeByState) {
        self.go_on_to(start);
        add(&mut self.filling, time);
    }

    /// Completes the buckets that end at or before `to`. Says whether there were any.
    pub(crate) fn go_on_to(&mut self, to: EventTime) -> bool {
        let target = to.window_start(self.bucket);
        let Some(open) = self.open else {
            self.open = Some(target);
            return false;
        };
        if target <= open {
            return false;
        }
        // Beyond the window's length all buckets are empty alike.
        let steps = ((target - open).0 / self.bucket.0).min(self.length as i64 + 1);
        for _ in 0..steps {
            let closed = std::mem::take(&mut self.filling);
            add(&mut self.sum, closed);
            self.complete.push_back(closed);
            if self.complete.len() > self.length
                && let Some(oldest) = self.complete.pop_front()
            {
                self.sum.good -= oldest.good;
                self.sum.bad -= oldest.bad;
                self.sum.unknown -= oldest.unknown;
            }
        }
        self.open = Some(target);
        true
    }

    /// Time by state in the window.
    pub(crate) fn sum(&self) -> TimeByState {
        self.sum
    }

    /// End of the last complete bucket.
    pub(crate) fn end(&self) -> Option<EventTime> {
        self.open
    }
}

/// Adds two times by state.
pub(crate) fn add(sum: &mut TimeByState, time: TimeByState) {
    sum.good += time.good;
    sum.bad += time.bad;
    sum.unknown += time.unknown;
}

#[cfg(test)]
mod tests {
    use super::*;

    const UNIT: Microseconds = Microseconds::from_seconds(10);

    #[test]
    fn a_window_is_cut_into_whole_buckets_of_whole_units() {
        for (window, bucket) in [(5, 10), (30, 30), (60, 60), (6 * 60, 360)] {
            let ring = Ring::new(Microseconds::from_minutes(window), UNIT);
            assert_eq!(ring.bucket, Microseconds::from_seconds(bucket), "{window} min");
            assert_eq!(ring.window(), Microseconds::from_minutes(window));
        }
        // 97 units are a prime number: shortened by one unit.
        let ring = Ring::new(Microseconds(97 * UNIT.0), UNIT);
        assert_eq!(ring.window(), Microseconds(96 * UNIT.0));
    }

    #[test]
    fn only_complete_buckets_count_and_old_ones_leave() {
        let mut ring = Ring::new(Microseconds::from_minutes(5), UNIT);
        let bad = TimeByState { bad: UNIT, ..TimeByState::default() };
        let at = |unit: i64| EventTime::from_unix_micros(unit * UNIT.0);
        ring.add(at(0), bad);
        assert_eq!(ring.sum().bad, Microseconds::ZERO);
        assert!(ring.go_on_to(at(1)));
        assert_eq!(ring.sum().bad, UNIT);
        ring.go_on_to(at(30));
        assert_eq!(ring.sum().bad, UNIT);
        ring.go_on_to(at(31));
        assert_eq!(ring.sum(), TimeByState::default());
        ring.go_on_to(at(1_000_000));
        assert_eq!(ring.complete.len(), 30);
    }
}
