//! Facility water that warms fast: a significant slope over the latest blocks.
//!
//! block means of the water's temperature → **warming** → findings

use serde::{Deserialize, Serialize};
use telemetry::facts::{Comparison, TrendStatus};
use telemetry::{EventTime, Microseconds};

use crate::block::BLOCK;
use crate::trend::Blocks;

/// Slope that matters, K/h: four times the steepest of a daily swing of 1.5 K.
pub(crate) const SLOPE_MINIMUM: f64 = 1.5;
/// Blocks that a slope is taken over.
pub(crate) const WINDOW: Microseconds = Microseconds::from_minutes(25);

/// What is known of the water.
#[derive(Debug, Default, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Warming {
    blocks: Blocks,
    alarm: bool,
}

/// What a block changed.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Change {
    /// It warms.
    Begun(TrendStatus),
    /// It no longer does.
    Over,
}

impl Warming {
    /// Takes the block that ended at `end`; its slope says until when the `limit`, °C, is reached.
    pub(crate) fn observe(&mut self, end: EventTime, mean: Option<f64>, limit: f64) -> Option<Change> {
        self.blocks.add(end, mean, WINDOW);
        let trend = self.blocks.trend(WINDOW, BLOCK, Comparison::Lte, limit)?;
        let warms = trend.significant && SLOPE_MINIMUM < trend.slope_per_hour;
        if self.alarm && trend.slope_per_hour < SLOPE_MINIMUM / 2.0 {
            self.alarm = false;
            return Some(Change::Over);
        }
        if self.alarm || !warms {
            return None;
        }
        self.alarm = true;
        Some(Change::Begun(trend))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn follow(warming: &mut Warming, minutes: std::ops::Range<i64>, per_hour: f64) -> Vec<(i64, Change)> {
        let start = minutes.start;
        minutes
            .filter_map(|minute| {
                let mean = 28.0 + per_hour * (minute - start) as f64 / 60.0 + (minute % 3) as f64 * 0.01;
                let end = EventTime::from_unix_micros((minute + 1) * 60_000_000);
                warming.observe(end, Some(mean), 40.0).map(|change| (minute, change))
            })
            .collect()
    }

    #[test]
    fn water_that_warms_by_six_kelvin_an_hour_is_told_within_half_an_hour() {
        let mut warming = Warming::default();
        assert_eq!(follow(&mut warming, 0..120, 0.3), [], "a daily swing");
        let told = follow(&mut warming, 120..180, 6.0);
        let [(minute, Change::Begun(trend))] = &told[..] else { panic!("{told:?}") };
        assert!(*minute < 150, "{minute}");
        assert!(trend.slope_per_hour > 1.5, "{trend:?}");
        let told = follow(&mut warming, 180..240, 0.0);
        assert!(matches!(told[..], [(_, Change::Over)]), "{told:?}");
    }
}
