//! Trends: Theil-Sen slope of block means, its significance, and the time until a threshold is reached.
//!
//! blocks → **trend** → statuses

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};
use telemetry::facts::{Comparison, Outcome, TrendStatus};
use telemetry::{EventTime, Microseconds, median};

use crate::objective::Trend;

/// |z| of Mann-Kendall's test beyond which a slope differs from none.
const SIGNIFICANT_Z: f64 = 4.0;
/// Share of the window's blocks that must be known, in percent (20 of 30 in the method's source, and .8 of coverage).
const KNOWN_PERCENT: i64 = 80;
/// Blocks at either end that say where the level was and is.
const END_BLOCKS: usize = 3;
/// A threshold further away than this is not told.
const HORIZON: Microseconds = Microseconds::from_hours(4);

/// The latest blocks of one place.
#[derive(Debug, Default, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Blocks {
    /// End and mean of each known block.
    known: VecDeque<(EventTime, f64)>,
}

impl Blocks {
    /// Adds the block that ended at `end` and forgets those that ended before the window.
    pub(crate) fn add(&mut self, end: EventTime, mean: Option<f64>, window: Microseconds) {
        self.known.extend(mean.map(|mean| (end, mean)));
        while self.known.front().is_some_and(|(oldest, _)| *oldest <= end - window) {
            self.known.pop_front();
        }
    }

    /// How far the level has moved from the first to the last of the blocks that are kept, each end the median of
    /// three; none of fewer than six.
    pub(crate) fn moved(&self) -> Option<f64> {
        let end = |at: usize| {
            median(&mut self.known.range(at..at + END_BLOCKS).map(|(_, mean)| *mean).collect::<Vec<f64>>())
        };
        let last = self.known.len().checked_sub(END_BLOCKS).filter(|last| END_BLOCKS <= *last)?;
        Some(end(last)? - end(0)?)
    }

    /// The trend over the window, for blocks of the given length; none while too few are known.
    pub(crate) fn trend(
        &self,
        window: Microseconds,
        block: Microseconds,
        comparison: Comparison,
        threshold: f64,
    ) -> Option<TrendStatus> {
        let blocks = (window.0 / block.0).max(3);
        let known = self.known.len() as i64;
        if known < 3 || known * 100 < blocks * KNOWN_PERCENT {
            return None;
        }
        let (end, _) = *self.known.back()?;
        let hours = |time: EventTime| (time - end).as_seconds() / 3_600.0;
        let points: Vec<(f64, f64)> = self.known.iter().map(|(time, mean)| (hours(*time), *mean)).collect();
        let mut slopes = Vec::with_capacity(points.len() * (points.len() - 1) / 2);
        let mut concordance = 0_i64;
        for (index, (time, value)) in points.iter().enumerate() {
            for (later, after) in &points[index + 1..] {
                slopes.push((after - value) / (later - time));
                concordance += i64::from(after > value) - i64::from(after < value);
            }
        }
        let slope = median(&mut slopes)?;
        let mut levels: Vec<f64> = points.iter().map(|(time, value)| value - slope * time).collect();
        let level = median(&mut levels)?;
        let significant = mann_kendall(concordance, &points) > SIGNIFICANT_Z;
        Some(TrendStatus {
            slope_per_hour: slope,
            level,
            significant,
            time_to_threshold: time_to_threshold(slope, level, comparison, threshold),
        })
    }
}

/// |z| of Mann-Kendall's test, with the correction for ties (Kendall 1975).
fn mann_kendall(concordance: i64, points: &[(f64, f64)]) -> f64 {
    let n = points.len() as f64;
    let mut values: Vec<f64> = points.iter().map(|(_, value)| *value).collect();
    values.sort_by(f64::total_cmp);
    let ties: f64 = values
        .chunk_by(|one, other| one == other)
        .map(|group| {
            let size = group.len() as f64;
            size * (size - 1.0) * (2.0 * size + 5.0)
        })
        .sum();
    let variance = (n * (n - 1.0) * (2.0 * n + 5.0) - ties) / 18.0;
    if variance <= 0.0 {
        return 0.0;
    }
    ((concordance.abs() - 1).max(0)) as f64 / variance.sqrt()
}

/// Time until the level reaches the threshold at this slope: none when it moves away from it, rests, or is further
/// away than four hours; zero when it is there already.
fn time_to_threshold(slope: f64, level: f64, comparison: Comparison, threshold: f64) -> Option<Microseconds> {
    if !comparison.holds(level, threshold) {
        return Some(Microseconds::ZERO);
    }
    let rises_into = match comparison {
        Comparison::Lte | Comparison::Lt => slope > 0.0,
        Comparison::Gte | Comparison::Gt => slope < 0.0,
        Comparison::Equal => false,
    };
    if !rises_into {
        return None;
    }
    let hours = (threshold - level) / slope;
    let microseconds = hours * 3_600e6;
    (microseconds <= HORIZON.0 as f64).then_some(Microseconds(microseconds as i64))
}

/// What a trend says about its promise: broken when a significant slope reaches the threshold too soon or is too
/// steep; unknown without a trend.
pub(crate) fn judge(promise: &Trend, trend: Option<&TrendStatus>) -> Outcome {
    let Some(trend) = trend else { return Outcome::Unknown };
    let too_soon = promise
        .time_to_threshold_minimum
        .is_some_and(|minimum| trend.time_to_threshold.is_some_and(|time| time < minimum));
    let too_steep = promise.rate_per_hour_limit.is_some_and(|limit| trend.slope_per_hour.abs() > limit);
    if trend.significant && (too_soon || too_steep) { Outcome::NotOk } else { Outcome::Ok }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trend_of(means: &[f64], threshold: f64) -> Option<TrendStatus> {
        let window = Microseconds::from_minutes(means.len() as i64);
        let mut blocks = Blocks::default();
        for (minute, mean) in (1..).zip(means) {
            blocks.add(EventTime::from_unix_micros(minute * 60_000_000), Some(*mean), window);
        }
        blocks.trend(window, Microseconds::from_seconds(60), Comparison::Lte, threshold)
    }

    #[test]
    fn the_slope_of_a_cooler_that_recovers_is_that_of_the_recorded_rig() {
        // UCI hydraulic rig, TS1, means of cycles 732 to 737.
        let trend = trend_of(&[55.6166, 54.8337, 54.0405, 53.4028, 52.8670, 52.3542], 60.0).unwrap();
        assert!((trend.slope_per_hour - -39.15).abs() < 0.01, "{}", trend.slope_per_hour);
        assert_eq!(trend.time_to_threshold, None, "it moves away");
        assert!(!trend.significant, "six blocks can't be");
    }

    #[test]
    fn a_steady_rise_tells_when_the_threshold_is_reached() {
        let rise: Vec<f64> = (0..30).map(|minute| 30.0 + f64::from(minute) * 0.1).collect();
        let trend = trend_of(&rise, 35.9).unwrap();
        assert!(trend.significant);
        // 32.9 now, 6 K/h: half an hour.
        let minutes = trend.time_to_threshold.unwrap().as_seconds() / 60.0;
        assert!((minutes - 30.0).abs() < 0.01, "{minutes}");
        assert_eq!(trend_of(&rise, 31.0).unwrap().time_to_threshold, Some(Microseconds::ZERO));
    }

    #[test]
    fn a_constant_has_no_significant_trend() {
        let trend = trend_of(&[45.0; 30], 50.0).unwrap();
        assert_eq!((trend.slope_per_hour, trend.significant), (0.0, false));
    }

    #[test]
    fn how_far_a_level_has_moved_does_not_hang_on_one_block_at_its_end() {
        let moved = |means: &[f64]| {
            let mut blocks = Blocks::default();
            for (minute, mean) in (1..).zip(means) {
                let end = EventTime::from_unix_micros(minute * 60_000_000);
                blocks.add(end, Some(*mean), Microseconds::from_minutes(30));
            }
            blocks.moved()
        };
        assert_eq!(moved(&[30.0, 30.0, 35.0, 31.0, 32.0, 32.0, 20.0]), Some(2.0));
        assert_eq!(moved(&[30.0, 30.0, 30.0, 32.0, 32.0]), None, "its ends would be one");
    }

    #[test]
    fn too_few_known_blocks_say_nothing() {
        let window = Microseconds::from_minutes(30);
        let mut blocks = Blocks::default();
        for minute in 1..=30 {
            let mean = (minute > 10).then_some(30.0);
            blocks.add(EventTime::from_unix_micros(minute * 60_000_000), mean, window);
        }
        let trend = blocks.trend(window, Microseconds::from_seconds(60), Comparison::Lte, 40.0);
        assert_eq!(trend, None, "20 of 30");
    }
}
