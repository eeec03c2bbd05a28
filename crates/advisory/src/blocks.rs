//! Means of time, brought on a regular grid, with gaps that stay gaps.
//!
//! rows of `blocks` → **blocks** → repair → models

use telemetry::{EventTime, Microseconds, median};

use crate::refusal::Refusal;

/// Larger numbers are no measurement here: temperatures, flows, pressures and powers are far below.
const MAGNITUDE_MAX: f64 = 1e9;
/// Steps that one series may have: beyond, models take longer than a person waits.
const STEPS_MAX: usize = 500;

/// A row of `blocks`: a mean of some time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BlockMean {
    /// Start of the block.
    pub time: EventTime,
    /// Time-weighted mean over the known time.
    pub mean: f64,
    /// Known time.
    pub known: Microseconds,
}

/// Means at regular steps. A step of which less than half is known is a gap.
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    start: EventTime,
    step: Microseconds,
    values: Vec<Option<f64>>,
}

impl Series {
    /// Brings blocks on a grid of `step`, aligned to the epoch, and leaves out what is unknown at both ends.
    ///
    /// - `blocks`: in any order; those that begin outside `[since, until)` are left out.
    /// - A step's value is the mean of its blocks, weighted by their known time.
    ///
    /// # Errors
    /// [`Refusal::NotMeasured`], [`Refusal::TooMuch`], [`Refusal::TooLittle`] when nothing is known.
    pub fn from_blocks(
        blocks: &[BlockMean],
        step: Microseconds,
        since: EventTime,
        until: EventTime,
    ) -> Result<Self, Refusal> {
        let nothing = Refusal::TooLittle { known: 0, wanted: 1, step };
        if step <= Microseconds::ZERO || until <= since {
            return Err(nothing);
        }
        let start = since.window_start(step);
        let length = (until - start).get();
        let count = usize::try_from(length.div_euclid(step.get()) + i64::from(length % step.get() > 0));
        let count = count.unwrap_or(usize::MAX);
        if count > STEPS_MAX {
            return Err(Refusal::TooMuch { steps: count, steps_max: STEPS_MAX });
        }
        let mut ordered: Vec<&BlockMean> =
            blocks.iter().filter(|block| since <= block.time && block.time < until).collect();
        // In one order, whatever the order of rows was: a sum depends on it.
        ordered.sort_by(|one, other| {
            one.time.cmp(&other.time).then(one.mean.total_cmp(&other.mean)).then(one.known.cmp(&other.known))
        });
        let mut sums = vec![(0.0, 0_i64); count];
        for block in ordered {
            if !block.mean.is_finite() || block.mean.abs() > MAGNITUDE_MAX {
                return Err(Refusal::NotMeasured { time: block.time, magnitude_max: MAGNITUDE_MAX });
            }
            let known = block.known.get().max(0);
            let place = usize::try_from((block.time - start).get() / step.get()).unwrap_or(usize::MAX);
            if let Some((weighted, total)) = sums.get_mut(place) {
                *weighted += block.mean * known as f64;
                *total += known;
            }
        }
        let values: Vec<Option<f64>> = sums
            .into_iter()
            .map(|(weighted, known)| (2 * known >= step.get()).then(|| weighted / known as f64))
            .collect();
        let first = values.iter().position(Option::is_some).ok_or(nothing)?;
        let last = values.iter().rposition(Option::is_some).unwrap_or(first);
        let start = start + Microseconds(step.get() * first as i64);
        Ok(Self { start, step, values: values[first..=last].to_vec() })
    }

    /// From values at regular steps; what is unknown at both ends is left out.
    ///
    /// # Errors
    /// As [`Series::from_blocks`].
    pub fn new(start: EventTime, step: Microseconds, values: &[Option<f64>]) -> Result<Self, Refusal> {
        let at = |index: usize| start + Microseconds(step.get().saturating_mul(index as i64));
        let blocks: Vec<BlockMean> = values
            .iter()
            .enumerate()
            .filter_map(|(index, value)| Some(BlockMean { time: at(index), mean: (*value)?, known: step }))
            .collect();
        Self::from_blocks(&blocks, step, start, at(values.len()))
    }

    /// Where the first known step begins.
    pub fn start(&self) -> EventTime {
        self.start
    }

    /// Length of a step.
    pub fn step(&self) -> Microseconds {
        self.step
    }

    /// Where the last known step ends.
    pub fn end(&self) -> EventTime {
        self.at(self.values.len())
    }

    /// The values, gaps as `None`; the first and the last are known.
    pub fn values(&self) -> &[Option<f64>] {
        &self.values
    }

    /// Where a step begins; steps behind the last are those of a forecast.
    pub fn at(&self, index: usize) -> EventTime {
        self.start + Microseconds(self.step.get().saturating_mul(i64::try_from(index).unwrap_or(i64::MAX)))
    }

    /// Refuses when the series ended more than `silent_for` before `now`.
    ///
    /// # Errors
    /// [`Refusal::Silent`].
    pub fn refuse_if_silent(&self, now: EventTime, silent_for: Microseconds) -> Result<(), Refusal> {
        if now - self.end() > silent_for { Err(Refusal::Silent { last: self.end() }) } else { Ok(()) }
    }
}

/// How far blocks lie apart: the median over all series, in whole minutes, and a minute where there are no two.
pub fn distance_of_blocks<'a>(series: impl IntoIterator<Item = &'a [BlockMean]>) -> Microseconds {
    let pairs = series.into_iter().flat_map(|blocks| blocks.windows(2));
    let mut minutes: Vec<f64> = pairs.map(|pair| (pair[1].time - pair[0].time).as_seconds() / 60.0).collect();
    Microseconds::from_minutes(median(&mut minutes).map_or(1, |minutes| (libm::round(minutes) as i64).max(1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Microseconds = Microseconds::from_minutes(1);

    fn at(minute: i64) -> EventTime {
        EventTime::from_unix_micros(minute * MINUTE.get())
    }

    fn block(minute: i64, mean: f64, known_seconds: i64) -> BlockMean {
        BlockMean { time: at(minute), mean, known: Microseconds::from_seconds(known_seconds) }
    }

    #[test]
    fn a_step_is_the_mean_of_its_known_time_and_a_gap_when_less_than_half_is_known() {
        let blocks = [block(1, 20.0, 60), block(2, 21.0, 30), block(3, 99.0, 29), block(4, 23.0, 60)];
        let series = Series::from_blocks(&blocks, MINUTE, at(0), at(9)).unwrap();
        assert_eq!(series.values(), [Some(20.0), Some(21.0), None, Some(23.0)]);
        assert_eq!((series.start(), series.end()), (at(1), at(5)), "the unknown at both ends is left out");
        let wide = Series::from_blocks(&blocks, Microseconds::from_minutes(2), at(0), at(9)).unwrap();
        let first = (21.0 * 30.0 + 99.0 * 29.0) / 59.0;
        assert_eq!(wide.values()[0], Some(20.0));
        assert!(wide.values()[1].is_none(), "59 s of 120 s are less than half: {first}");
    }

    #[test]
    fn the_order_of_rows_changes_no_bit() {
        let mut blocks: Vec<_> = (0..50).map(|minute| block(minute, 0.1 * minute as f64, 60)).collect();
        let hour = Microseconds::from_minutes(10);
        let one = Series::from_blocks(&blocks, hour, at(0), at(50)).unwrap();
        blocks.reverse();
        assert_eq!(Series::from_blocks(&blocks, hour, at(0), at(50)).unwrap(), one);
    }

    #[test]
    fn what_is_no_measurement_is_refused_and_named() {
        for value in [f64::NAN, f64::INFINITY, -1e300] {
            let refused = Series::from_blocks(&[block(3, value, 60)], MINUTE, at(0), at(9)).unwrap_err();
            assert_eq!(refused.code(), "NOT_MEASURED");
            assert!(refused.to_string().contains("1970-01-01T00:03:00"), "{refused}");
        }
    }

    #[test]
    fn a_window_has_a_limit_and_an_empty_one_is_refused() {
        let refused = Series::from_blocks(&[], MINUTE, at(0), at(501)).unwrap_err();
        assert_eq!(
            refused.to_string(),
            "501 steps are more than the 500 that one question may take: ask of a shorter time"
        );
        assert_eq!(Series::from_blocks(&[], MINUTE, at(0), at(500)).unwrap_err().code(), "TOO_LITTLE");
        assert_eq!(Series::from_blocks(&[], MINUTE, at(5), at(5)).unwrap_err().code(), "TOO_LITTLE");
    }

    #[test]
    fn a_series_that_ended_is_silent() {
        let series = Series::from_blocks(&[block(3, 1.0, 60)], MINUTE, at(0), at(30)).unwrap();
        assert!(series.refuse_if_silent(at(9), Microseconds::from_minutes(5)).is_ok());
        let refused = series.refuse_if_silent(at(10), Microseconds::from_minutes(5)).unwrap_err();
        assert!(refused.to_string().starts_with("nothing is known since 1970-01-01T00:04:00"), "{refused}");
    }
}
