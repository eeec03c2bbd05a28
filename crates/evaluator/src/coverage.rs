//! How much of a series' time is known: over the last hour, and over a run.
//!
//! settled readings → **coverage** → facts, the finding `coverage_low`

use serde::{Deserialize, Serialize};
use telemetry::{EventTime, Microseconds};

/// The hour is kept as twelve complete buckets and the one that is being filled.
const BUCKET: Microseconds = Microseconds::from_minutes(5);
const BUCKETS: usize = 12;

/// Known time of one series.
#[derive(Debug, Default, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct KnownTime {
    /// Known µs by bucket; the bucket of a time is its number modulo the length.
    buckets: [u32; BUCKETS + 1],
    /// Of all buckets: thirteen times five minutes fit.
    sum: u32,
    /// The newest bucket's number since the epoch.
    newest: i64,
    /// From when to when the run lasts, and its known time.
    run: Option<Box<RunWindow>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct RunWindow {
    from: EventTime,
    to: Option<EventTime>,
    known: Microseconds,
}

/// Known and asked time.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Share {
    /// Known time.
    pub known: Microseconds,
    /// Asked time.
    pub asked: Microseconds,
}

impl Share {
    /// Whether less than `percent` of the asked time is known.
    pub(crate) fn is_below(self, percent: i64) -> bool {
        self.known.0 * 100 < self.asked.0 * percent
    }
}

impl KnownTime {
    /// Adds the known time [`from`, `to`), which lies behind all that was added before.
    pub(crate) fn add(&mut self, from: EventTime, to: EventTime) {
        if to <= from {
            return;
        }
        if let Some(run) = &mut self.run {
            let end = run.to.map_or(to, |end| end.min(to));
            let start = run.from.max(from);
            if start < end {
                run.known += end - start;
            }
        }
        let mut start = from;
        while start < to {
            let bucket = start.window_start(BUCKET);
            let end = (bucket + BUCKET).min(to);
            self.go_on_to(bucket);
            let length = u32::try_from((end - start).0).unwrap_or(0);
            self.buckets[Self::index(self.newest)] += length;
            self.sum += length;
            start = end;
        }
    }

    fn index(number: i64) -> usize {
        usize::try_from(number.rem_euclid(BUCKETS as i64 + 1)).unwrap_or(0)
    }

    fn go_on_to(&mut self, bucket: EventTime) {
        let number = bucket.unix_micros().div_euclid(BUCKET.0);
        if self.sum == 0 {
            // All are empty, whatever their numbers.
            self.newest = number;
        }
        let steps = (number - self.newest).min(BUCKETS as i64 + 1);
        for step in 0..steps {
            let left = &mut self.buckets[Self::index(number - step)];
            self.sum -= *left;
            *left = 0;
        }
        self.newest = self.newest.max(number);
    }

    /// Of the last hour before `to` (to five minutes), for a series whose first reading came at `first`.
    pub(crate) fn last_hour(&self, first: EventTime, to: EventTime) -> Share {
        let newest = to.unix_micros().div_euclid(BUCKET.0);
        let oldest = newest - BUCKETS as i64;
        // All that is kept, without what is older than asked or newer: at most one bucket, nearly always.
        let kept = self.newest - BUCKETS as i64..self.newest + 1;
        let not_asked = (kept.start..oldest.min(kept.end)).chain((newest + 1).max(kept.start)..kept.end);
        let left_out: i64 = not_asked.map(|number| i64::from(self.buckets[Self::index(number)])).sum();
        let known = i64::from(self.sum) - left_out;
        let from = EventTime::from_unix_micros(oldest * BUCKET.0).max(first);
        Share { known: Microseconds(known), asked: Microseconds((to - from).0.max(0)) }
    }

    /// A run begins at `from`, unless it has begun already.
    pub(crate) fn begin_run(&mut self, from: EventTime) {
        if self.run.as_ref().is_some_and(|run| run.from == from) {
            return;
        }
        self.run = Some(Box::new(RunWindow { from, to: None, known: Microseconds::ZERO }));
    }

    /// The run ends at `to`.
    pub(crate) fn end_run(&mut self, to: EventTime) {
        if let Some(run) = &mut self.run {
            run.to = Some(to);
        }
    }

    /// Of the run, up to `to`. A run asks from its start, whenever the first reading came.
    pub(crate) fn of_run(&self, to: EventTime) -> Share {
        self.run.as_ref().map_or_else(Share::default, |run| {
            let end = run.to.map_or(to, |end| end.min(to));
            Share { known: run.known, asked: Microseconds((end - run.from).0.max(0)) }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> EventTime {
        EventTime::from_unix_micros(seconds * 1_000_000)
    }

    #[test]
    fn an_hour_forgets_what_is_older() {
        let mut known = KnownTime::default();
        known.add(at(0), at(3_600));
        assert_eq!(known.last_hour(at(0), at(3_600)).known, Microseconds::from_hours(1));
        known.add(at(7_200), at(7_260));
        let share = known.last_hour(at(0), at(7_260));
        assert_eq!(share.known, Microseconds::from_seconds(60));
        assert_eq!(share.asked, Microseconds::from_seconds(3_660), "twelve whole buckets and one in part");
        assert!(share.is_below(80));
    }

    #[test]
    fn silence_after_the_last_reading_is_asked_and_not_known() {
        let mut known = KnownTime::default();
        known.add(at(0), at(600));
        let share = known.last_hour(at(0), at(1_200));
        assert_eq!(
            (share.known, share.asked),
            (Microseconds::from_minutes(10), Microseconds::from_minutes(20))
        );
        assert_eq!(known.last_hour(at(0), at(100_000)).known, Microseconds::ZERO);
    }

    #[test]
    fn an_hour_is_known_as_well_before_1970() {
        let mut known = KnownTime::default();
        for minute in -600..0 {
            known.add(at(minute * 60), at((minute + 1) * 60));
        }
        assert_eq!(known.last_hour(at(-36_000), at(-1)).known, Microseconds::from_minutes(65));
        let earlier = known.last_hour(at(-36_000), at(-1_801));
        assert_eq!(earlier.known, Microseconds::from_minutes(35), "of what is kept");
    }

    #[test]
    fn a_run_counts_from_its_start_to_its_end() {
        let mut known = KnownTime::default();
        known.begin_run(at(30));
        known.add(at(0), at(60));
        known.end_run(at(90));
        known.add(at(60), at(120));
        let share = known.of_run(at(120));
        assert_eq!(
            (share.known, share.asked),
            (Microseconds::from_seconds(60), Microseconds::from_seconds(60))
        );
    }
}
