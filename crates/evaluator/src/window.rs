//! What an objective has seen over its window: time by state, units, episodes, the worst value.
//!
//! judged units → **window** → statuses

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};
use telemetry::facts::TimeByState;
use telemetry::{EventTime, Microseconds};

use crate::ring::add;

/// A rolling window is cut into at most this many buckets; it moves by one of them.
const BUCKETS: i64 = 168;

/// A known value, when and where.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct Seen {
    /// In the objective's unit.
    pub value: f64,
    /// When.
    pub time: EventTime,
    /// Number of the place in its group, or [`WHOLE_GROUP`].
    pub place: u32,
}

/// Stands for the group itself, where no place of it is meant.
pub(crate) const WHOLE_GROUP: u32 = u32::MAX;

/// Sums over some time.
#[derive(Debug, Default, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct Totals {
    /// Judged time.
    pub time: TimeByState,
    /// Judged units by state.
    pub good_units: u64,
    /// Bad ones.
    pub bad_units: u64,
    /// Unknown ones.
    pub unknown_units: u64,
    /// Episodes of bad time that began.
    pub episodes: u64,
    /// Bad time of the longest episode, as far as it lies here.
    pub longest_episode: Microseconds,
    /// Events above the noise floor.
    pub events: u64,
    /// Their length.
    pub event_time: Microseconds,
    /// Whole known hours, and the events in them.
    pub hours: Hours,
    /// Bursts by what became of them.
    pub bursts: Bursts,
    /// The worst known value.
    pub worst: Option<Seen>,
}

/// Events in whole hours of event time, of which nearly all is known. Small numbers: a window keeps many of them.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Hours {
    /// So many.
    pub count: u32,
    /// Events in them.
    pub events: u32,
    /// Sum of the squares of the events in each.
    pub squares: u64,
}

/// Numbers of bursts.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Bursts {
    /// Settled in time.
    pub within: u32,
    /// Did not.
    pub late: u32,
    /// The next one came too soon to say.
    pub censored: u32,
    /// Readings were missing.
    pub unknown: u32,
}

impl Totals {
    /// Takes `other` in. `worse(a, b)`: whether a is worse than b.
    fn merge(&mut self, other: &Self, worse: impl Fn(f64, f64) -> bool) {
        add(&mut self.time, other.time);
        self.good_units += other.good_units;
        self.bad_units += other.bad_units;
        self.unknown_units += other.unknown_units;
        self.episodes += other.episodes;
        self.longest_episode = self.longest_episode.max(other.longest_episode);
        self.events += other.events;
        self.event_time += other.event_time;
        self.hours.count += other.hours.count;
        self.hours.events += other.hours.events;
        self.hours.squares += other.hours.squares;
        self.bursts.within += other.bursts.within;
        self.bursts.late += other.bursts.late;
        self.bursts.censored += other.bursts.censored;
        self.bursts.unknown += other.bursts.unknown;
        if let Some(seen) = other.worst {
            self.see(seen, worse);
        }
    }

    /// Notes a value.
    pub(crate) fn see(&mut self, seen: Seen, worse: impl Fn(f64, f64) -> bool) {
        if self.worst.is_none_or(|worst| worse(seen.value, worst.value)) {
            self.worst = Some(seen);
        }
    }
}

/// Totals over a run, or over a window that moves with time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Window {
    /// Length of a bucket; none for a run, which is one bucket.
    bucket: Option<Microseconds>,
    length: usize,
    /// Start of the bucket that is being filled.
    open: Option<EventTime>,
    /// The bucket that is being filled.
    pub filling: Totals,
    complete: VecDeque<Totals>,
}

impl Window {
    /// From a run's start to its end.
    pub(crate) fn of_run() -> Self {
        Self { bucket: None, length: 0, open: None, filling: Totals::default(), complete: VecDeque::new() }
    }

    /// Moves with time, by whole judged units.
    pub(crate) fn rolling(window: Microseconds, judged_unit: Microseconds) -> Self {
        let units = (window.0 / judged_unit.0).max(1);
        let units_in_bucket = (units + BUCKETS - 1) / BUCKETS;
        Self {
            bucket: Some(Microseconds(units_in_bucket * judged_unit.0)),
            length: usize::try_from(units / units_in_bucket).unwrap_or(1),
            ..Self::of_run()
        }
    }

    /// Goes on to the bucket that holds `time`.
    pub(crate) fn go_on_to(&mut self, time: EventTime) {
        let Some(bucket) = self.bucket else { return };
        let target = time.window_start(bucket);
        let open = *self.open.get_or_insert(target);
        let steps = ((target - open).0 / bucket.0).clamp(0, self.length as i64 + 1);
        for _ in 0..steps {
            self.complete.push_back(std::mem::take(&mut self.filling));
            if self.complete.len() > self.length {
                self.complete.pop_front();
            }
        }
        self.open = Some(open.max(target));
    }

    /// Where the window begins, for one that is asked from `since`.
    pub(crate) fn begins(&self, since: EventTime) -> EventTime {
        match (self.bucket, self.open) {
            (Some(bucket), Some(open)) => {
                since.max(open - Microseconds(bucket.0 * self.complete.len() as i64))
            }
            (None, _) | (_, None) => since,
        }
    }

    /// The totals of the window: its complete buckets and the one that is being filled.
    pub(crate) fn totals(&self, worse: impl Fn(f64, f64) -> bool + Copy) -> Totals {
        let mut totals = self.filling;
        for bucket in &self.complete {
            totals.merge(bucket, worse);
        }
        totals
    }

    /// Only the time by state, which the verdict needs.
    pub(crate) fn time(&self) -> TimeByState {
        let mut time = self.filling.time;
        for bucket in &self.complete {
            add(&mut time, bucket.time);
        }
        time
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rolling_window_forgets_by_buckets_and_a_run_never() {
        let unit = Microseconds::from_seconds(10);
        let at = |unit_number: i64| EventTime::from_unix_micros(unit_number * unit.0);
        let mut rolling = Window::rolling(Microseconds::from_hours(28 * 24), unit);
        let mut run = Window::of_run();
        for window in [&mut rolling, &mut run] {
            window.go_on_to(at(0));
            window.filling.bad_units += 1;
            window.go_on_to(at(28 * 24 * 360));
            assert_eq!(window.totals(|a, b| a > b).bad_units, 1, "still inside");
            window.go_on_to(at(29 * 24 * 360));
        }
        assert_eq!(rolling.totals(|a, b| a > b).bad_units, 0);
        assert_eq!(run.totals(|a, b| a > b).bad_units, 1);
    }
}
