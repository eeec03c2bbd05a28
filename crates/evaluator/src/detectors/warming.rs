//! Facility water that warms fast: a significant slope over the latest blocks, which has got somewhere.
//!
//! block means of the water's temperature → **warming** → findings

use serde::{Deserialize, Serialize};
use telemetry::facts::{Comparison, TrendStatus};
use telemetry::{EventTime, Microseconds};

use crate::trend::Blocks;

/// Slope that matters, K/h: four times the steepest of a daily swing of 1.5 K.
pub(crate) const SLOPE_MINIMUM: f64 = 1.5;
/// Blocks that a slope is taken over.
pub(crate) const WINDOW: Microseconds = Microseconds::from_minutes(30);
/// By so much, K, it must have warmed within the window: what the smallest slope that matters makes of it. Water that
/// wanders by a tenth of a kelvin within half an hour, as chillers make it, has the slope now and then and does not
/// get there: in 300 days of such water, of its own and of its day's swing, at most three quarters of this.
pub(crate) const RISE_MINIMUM: f64 = SLOPE_MINIMUM * 0.5;

/// What is known of the water.
#[derive(Debug, Default, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Warming {
    blocks: Blocks,
    alarm: bool,
}

/// What a block changed.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Change {
    /// It warms: by so many K within the window.
    Begun { trend: TrendStatus, rise: f64 },
    /// It no longer does.
    Over,
}

impl Warming {
    /// Takes the block of this length that ended at `end`; its slope says until when the `limit`, °C, is reached.
    pub(crate) fn observe(
        &mut self,
        end: EventTime,
        length: Microseconds,
        mean: Option<f64>,
        limit: f64,
    ) -> Option<Change> {
        self.blocks.add(end, mean, WINDOW);
        let trend = self.blocks.trend(WINDOW, length, Comparison::Lte, limit)?;
        let rise = self.blocks.moved()?;
        let warms = trend.significant && SLOPE_MINIMUM < trend.slope_per_hour && RISE_MINIMUM < rise;
        if self.alarm && trend.slope_per_hour < SLOPE_MINIMUM / 2.0 {
            self.alarm = false;
            return Some(Change::Over);
        }
        if self.alarm || !warms {
            return None;
        }
        self.alarm = true;
        Some(Change::Begun { trend, rise })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::block::BLOCK;

    /// Blocks of so many minutes of water that goes on from 28 °C.
    fn follow(
        warming: &mut Warming,
        minutes: std::ops::Range<i64>,
        block: i64,
        level: impl Fn(i64) -> f64,
    ) -> Vec<(i64, Change)> {
        let start = minutes.start;
        minutes
            .step_by(block as usize)
            .filter_map(|minute| {
                let mean = 28.0 + level(minute - start) + (minute % 3) as f64 * 0.01;
                let end = EventTime::from_unix_micros((minute + block) * BLOCK.0);
                let length = Microseconds(BLOCK.0 * block);
                warming.observe(end, length, Some(mean), 40.0).map(|change| (minute, change))
            })
            .collect()
    }

    fn hourly(rate: f64) -> impl Fn(i64) -> f64 {
        move |minute| rate * minute as f64 / 60.0
    }

    #[test]
    fn water_that_warms_by_six_kelvin_an_hour_is_told_within_half_an_hour_from_fast_and_slow_feeds() {
        for block in [1, 2] {
            let mut warming = Warming::default();
            assert_eq!(follow(&mut warming, 0..120, block, hourly(0.0)), [], "it rests");
            let told = follow(&mut warming, 120..180, block, hourly(6.0));
            let [(minute, Change::Begun { trend, rise })] = &told[..] else { panic!("{told:?}") };
            assert!(*minute < 145, "{minute}");
            assert!(trend.slope_per_hour > 1.5 && *rise > 0.75, "{trend:?} {rise}");
            let told = follow(&mut warming, 180..240, block, hourly(0.0));
            assert!(matches!(told[..], [(_, Change::Over)]), "{told:?}");
        }
    }

    #[test]
    fn the_steepest_hours_of_a_daily_swing_are_nothing_even_where_the_water_wanders_as_well() {
        let mut warming = Warming::default();
        // 1.5 K over the day, and up and down by a quarter of a kelvin in two hours, as chillers take turns.
        let level = |minute: i64| {
            let hours = minute as f64 / 60.0;
            1.5 * libm::sin(std::f64::consts::TAU * hours / 24.0)
                + 0.25 * libm::sin(std::f64::consts::TAU * hours / 1.5)
        };
        assert_eq!(follow(&mut warming, 0..2_880, 1, level), []);
    }

    #[test]
    fn a_slope_that_gets_nowhere_is_nothing_and_one_that_lasts_is_told() {
        let mut warming = Warming::default();
        // 2 K/h for a quarter of an hour.
        let level = |minute: i64| 2.0 * (minute.clamp(60, 75) - 60) as f64 / 60.0;
        assert_eq!(follow(&mut warming, 0..180, 1, level), []);
        let told = follow(&mut warming, 180..260, 1, hourly(2.0));
        assert!(matches!(told[..], [(_, Change::Begun { .. })]), "{told:?}");
    }
}
