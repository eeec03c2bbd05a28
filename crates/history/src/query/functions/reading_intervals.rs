//! `reading_intervals`: how often a series speaks, and how much of the time its readings cover.

use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, Int64Array, StructArray};
use arrow::datatypes::{DataType, Field, Fields};
use datafusion::common::{Result, ScalarValue, exec_err};

use super::of_times::{Asked, OfTimes, Times};
use super::{Function, Make};

pub const READING_INTERVALS: Function = Function {
    name: "reading_intervals",
    arguments: "time, hold_seconds[, until]",
    unit: Some("s"),
    meaning: "times between readings, of which each holds until the next, at most for hold_seconds: median_seconds, \
              longest_seconds, stale_spans, how often a reading was older than that before the next came, and \
              known_seconds, the time that they hold; with until the last one holds too, up to then. Median and longest \
              are null for less than two readings, all is null for none",
    make: Make::Aggregate(OfTimes::<Progressions>::make),
};

fn parts() -> Fields {
    let part = |name: &str, kind| Field::new(name, kind, true);
    Fields::from(vec![
        part("median_seconds", DataType::Float64),
        part("longest_seconds", DataType::Float64),
        part("stale_spans", DataType::Int64),
        part("known_seconds", DataType::Float64),
    ])
}

/// Readings at equal intervals, µs. One alone has interval 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Progression {
    start: i64,
    interval: i64,
    count: i64,
}

impl Progression {
    const fn last(self) -> i64 {
        self.start + self.interval * (self.count - 1)
    }

    fn times(self) -> impl Iterator<Item = i64> {
        (0..self.count).map(move |index| self.start + self.interval * index)
    }
}

/// So many readings of a group, a season of a series, are put in order one by one when they came in none. That takes 64 MB.
const ENTANGLED_MAX: i64 = 8_000_000;

/// All readings, as progressions: a handful where a series keeps its interval, and no reading is lost where it does not.
#[derive(Debug, Default)]
struct Progressions(Vec<Progression>);

impl Progressions {
    fn push(&mut self, next: Progression) {
        let between = self.0.last().and_then(|last| next.start.checked_sub(last.last()));
        let goes_on = |last: &Progression, between: i64| {
            between >= 0
                && (last.count == 1 || last.interval == between)
                && (next.count == 1 || next.interval == between)
        };
        match (self.0.last_mut(), between) {
            (Some(last), Some(between)) if goes_on(last, between) => {
                (last.interval, last.count) = (between, last.count + next.count);
            }
            _ => self.0.push(next),
        }
    }

    /// Puts them in an order in which none begins before the one before has ended.
    ///
    /// # Errors
    /// [`ENTANGLED_MAX`] readings would have to be sorted one by one.
    fn sort(&mut self) -> Result<()> {
        let follows = |one: &Progression, next: &Progression| one.last() <= next.start;
        if self.0.is_sorted_by(follows) {
            return Ok(());
        }
        self.0.sort_unstable();
        if self.0.is_sorted_by(follows) {
            return Ok(());
        }
        let readings: i64 = self.0.iter().map(|progression| progression.count).sum();
        if readings > ENTANGLED_MAX {
            return exec_err!(
                "{readings} readings of one group of reading_intervals are of several series, or came in no order: group \
                 by all that makes a series, or ask for less than {ENTANGLED_MAX} of them"
            );
        }
        let mut times: Vec<i64> = self.0.iter().flat_map(|progression| progression.times()).collect();
        times.sort_unstable();
        self.0.clear();
        times.into_iter().for_each(|start| self.push(Progression { start, interval: 0, count: 1 }));
        Ok(())
    }

    /// The intervals between readings in order, and how many there are of each; by length.
    fn intervals(&mut self) -> Result<Vec<(i64, i64)>> {
        self.sort()?;
        let within = self.0.iter().map(|progression| (progression.interval, progression.count - 1));
        let between = self.0.windows(2).map(|pair| (pair[1].start.saturating_sub(pair[0].last()), 1));
        let mut intervals: Vec<(i64, i64)> = within.filter(|(_, count)| *count > 0).chain(between).collect();
        intervals.sort_unstable();
        Ok(intervals)
    }
}

/// Of intervals by length; `None` for none.
fn median(intervals: &[(i64, i64)]) -> Option<f64> {
    let count: i64 = intervals.iter().map(|(_, count)| count).sum();
    let at = |place: i64| {
        let mut before = 0;
        let found = intervals.iter().find(|(_, count)| {
            before += count;
            before > place
        });
        found.map(|(interval, _)| *interval)
    };
    Some((at((count - 1) / 2)? as f64 + at(count / 2)? as f64) / 2e6)
}

impl Times for Progressions {
    const STATE: &'static [&'static str] = &["starts", "intervals", "counts"];

    fn answer_type() -> DataType {
        DataType::Struct(parts())
    }

    fn add(&mut self, time: i64, _: &Asked) {
        self.push(Progression { start: time, interval: 0, count: 1 });
    }

    fn state(&self) -> Vec<Vec<i64>> {
        let part = |part: fn(&Progression) -> i64| self.0.iter().map(part).collect();
        vec![part(|one| one.start), part(|one| one.interval), part(|one| one.count)]
    }

    fn merge(&mut self, state: &[&[i64]], _: &Asked) {
        let [starts, intervals, counts] = state else { return };
        for ((start, interval), count) in starts.iter().zip(*intervals).zip(*counts) {
            self.push(Progression { start: *start, interval: *interval, count: *count });
        }
    }

    fn evaluate(&mut self, asked: &Asked) -> Result<ScalarValue> {
        let intervals = self.intervals()?;
        let last = self.0.last().map(|progression| progression.last());
        let held = last.zip(asked.until).map(|(last, until)| (until.saturating_sub(last).max(0), 1));
        let (mut stale, mut known) = (0, 0_i64);
        // Nor is anything known of no readings.
        let hold = asked.length().filter(|_| last.is_some());
        for (interval, count) in intervals.iter().copied().chain(held) {
            let hold = hold.unwrap_or(0);
            stale += if interval > hold { count } else { 0 };
            known = known.saturating_add(interval.min(hold).saturating_mul(count));
        }
        let longest = intervals.last().map(|(interval, _)| *interval as f64 / 1e6);
        // How long a reading holds was not said: nothing is known of what is stale.
        let columns: Vec<ArrayRef> = vec![
            Arc::new(Float64Array::from(vec![median(&intervals)])),
            Arc::new(Float64Array::from(vec![longest])),
            Arc::new(Int64Array::from(vec![hold.map(|_| stale)])),
            Arc::new(Float64Array::from(vec![hold.map(|_| known as f64 / 1e6)])),
        ];
        let known = last.is_none().then(|| vec![false].into());
        Ok(ScalarValue::Struct(Arc::new(StructArray::try_new(parts(), columns, known)?)))
    }

    fn held_bytes(&self) -> usize {
        self.0.capacity() * size_of::<Progression>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The intervals, one by one.
    fn found(parts: &[&[i64]]) -> Vec<i64> {
        let asked = Asked::default();
        let mut all = Progressions::default();
        for part in parts {
            let mut progressions = Progressions::default();
            part.iter().for_each(|time| progressions.add(*time, &asked));
            let state = progressions.state();
            let state: Vec<&[i64]> = state.iter().map(Vec::as_slice).collect();
            all.merge(&state, &asked);
        }
        let intervals = all.intervals().unwrap();
        intervals.iter().flat_map(|(interval, count)| vec![*interval; *count as usize]).collect()
    }

    proptest! {
        #[test]
        fn intervals_are_those_of_sorted_readings_whatever_their_order_and_parts(
            mut times in prop::collection::vec(0_i64..60, 0..100), cut in 0_usize..100, in_order: bool,
        ) {
            if in_order {
                times.sort_unstable();
            }
            let (one, other) = times.split_at(cut.min(times.len()));
            let intervals = found(&[one, other]);
            times.sort_unstable();
            let mut expected: Vec<i64> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
            expected.sort_unstable();
            prop_assert_eq!(&intervals, &expected);
            let counted: Vec<(i64, i64)> = expected.iter().map(|interval| (*interval, 1)).collect();
            let half = expected.len() / 2;
            let middle = match expected.len() {
                0 => None,
                length if length % 2 == 1 => Some(expected[half] as f64 / 1e6),
                _ => Some((expected[half - 1] + expected[half]) as f64 / 2e6),
            };
            prop_assert_eq!(median(&counted), middle);
        }
    }

    #[test]
    fn readings_of_many_series_as_one_are_refused_before_they_take_the_memory() {
        let asked = Asked::default();
        let mut all = Progressions::default();
        for series in 0..100 {
            all.merge(&[&[series], &[1_000_000], &[86_400]], &asked);
        }
        let error = all.evaluate(&asked).unwrap_err().to_string();
        assert!(error.contains("8640000 readings of one group"), "{error}");
    }

    #[test]
    fn a_day_at_equal_intervals_is_one_progression() {
        let asked = Asked::default();
        let mut progressions = Progressions::default();
        (0..86_400).for_each(|second| progressions.add(second * 1_000_000, &asked));
        assert_eq!(progressions.state(), [[0], [1_000_000], [86_400]]);
    }
}
