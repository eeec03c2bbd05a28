//! How much a sensor's readings scatter from one to the next, against its own frozen baseline.
//!
//! settled readings, settled blocks → **scatter** → finding `noise_growth`
//!
//! The mean absolute first difference (the L1 form of von Neumann's mean square successive difference, 1941): a level or
//! a slow trend has no part in it. Physics has none either while load and loop rest, so only such blocks are taken.

use serde::{Deserialize, Serialize};
use telemetry::EventTime;
use telemetry::record::SeriesDeclaration;

use crate::stuck::Stuck;

/// Differences that make one estimate: its standard deviation is 16 % then, of white noise.
const DIFFERENCES: u32 = 30;
/// Estimates that make a baseline, their median.
const CALIBRATION_ESTIMATES: usize = 12;
/// Scatter as a multiple of its baseline that is an alarm, and below which it is over.
pub(crate) const GROWTH_ALARM: f64 = 2.0;
pub(crate) const GROWTH_OVER: f64 = 1.4;
/// In so many estimates one after the other.
pub(crate) const ESTIMATES_IN_ROW: u8 = 2;
/// No alarm below this many steps of the readings: a level between two steps makes a quiet sensor flicker by half a step
/// on average.
const STEPS_MINIMUM: f64 = 1.0;
/// No difference counts for more than so many times the baseline: one wild reading is no noise.
const CLIP: f64 = 10.0;

/// Sums of first differences.
#[derive(Debug, Default, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Differences {
    sum: f64,
    count: u32,
}

/// What the scatter is when all is well.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct Usual {
    /// Mean absolute first difference, in the signal's unit.
    pub scatter: f64,
    /// Size of the level at which it was taken: a noise that is a share of the reading grows with it.
    level: f64,
    /// When it was complete.
    pub taken: EventTime,
}

/// The scatter of one series.
#[derive(Debug, Default, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Scatter {
    /// Of the block that is being filled.
    block: Differences,
    /// Of the estimate that is being made.
    estimate: Differences,
    /// When the first block of the estimate began, and of that before where it was too high.
    since: Option<EventTime>,
    /// The smallest difference other than none: a step of the readings.
    step: Option<f64>,
    /// Estimates for the baseline: scatter, and the level at which it was seen.
    calibration: Vec<(f64, f64)>,
    usual: Option<Usual>,
    in_row: u8,
    /// The alarm lasts.
    pub alarm: bool,
}

/// What a block changed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Change {
    /// It scatters more.
    Grown {
        /// Since then.
        onset: EventTime,
        /// Mean absolute first difference now, in the signal's unit.
        scatter: f64,
        /// The same as a multiple of what is usual at this level.
        growth: f64,
        /// What is usual.
        usual: Usual,
    },
    /// It no longer does.
    Over,
}

/// A block whose differences say something.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct SettledBlock {
    /// When it began and ended.
    pub span: (EventTime, EventTime),
    /// Mean of its readings.
    pub mean: f64,
    /// Whether nothing is found at its place, so that it may enter a baseline.
    pub is_clean: bool,
}

impl Scatter {
    /// Whether a series of this kind is watched: sensors that have noise, except power meters. A load moves at once and as
    /// it likes (GPUs that throttle by turns, steps of a training run), so that what its meter tells is no noise.
    pub(crate) fn applies(declaration: &SeriesDeclaration) -> bool {
        Stuck::applies(declaration) && &*declaration.identity.signal != "rack_power"
    }

    /// Takes the difference of a reading from the one before it.
    pub(crate) fn add(&mut self, difference: f64) {
        let size = difference.abs();
        if size > 0.0 {
            self.step = Some(self.step.map_or(size, |step| step.min(size)));
        }
        let most = self.usual.map_or(f64::INFINITY, |usual| CLIP * usual.scatter);
        self.block.sum += size.min(most);
        self.block.count += 1;
    }

    /// A block has ended; none where it says nothing because load or loop did not rest.
    pub(crate) fn close_block(&mut self, block: Option<SettledBlock>) -> Option<Change> {
        let closed = std::mem::take(&mut self.block);
        let block = block?;
        if self.usual.is_none() && !block.is_clean {
            return None;
        }
        self.since.get_or_insert(block.span.0);
        self.estimate.sum += closed.sum;
        self.estimate.count += closed.count;
        if self.estimate.count < DIFFERENCES {
            return None;
        }
        let estimate = std::mem::take(&mut self.estimate);
        let scatter = estimate.sum / f64::from(estimate.count);
        match self.usual {
            Some(usual) => self.judge(scatter, usual, block),
            None => {
                self.calibrate(scatter, block);
                None
            }
        }
    }

    /// Forgets what is usual. Returns whether an alarm ended with it.
    pub(crate) fn forget(&mut self) -> bool {
        std::mem::take(self).alarm
    }

    fn calibrate(&mut self, scatter: f64, block: SettledBlock) {
        self.since = None;
        // A sensor that rests says nothing of its noise.
        if scatter > 0.0 && scatter.is_finite() {
            self.calibration.push((scatter, block.mean.abs()));
        }
        if self.calibration.len() == CALIBRATION_ESTIMATES {
            let mut taken = std::mem::take(&mut self.calibration);
            taken.sort_by(|(one, _), (other, _)| one.total_cmp(other));
            // A level belongs to its scatter: the load may have changed in between.
            let (scatter, level) = taken[CALIBRATION_ESTIMATES / 2];
            self.usual = Some(Usual { scatter, level, taken: block.span.1 });
        }
    }

    fn judge(&mut self, scatter: f64, usual: Usual, block: SettledBlock) -> Option<Change> {
        let level = if usual.level > 0.0 { (block.mean.abs() / usual.level).max(1.0) } else { 1.0 };
        let growth = scatter / (usual.scatter * level);
        let flicker = STEPS_MINIMUM * self.step.unwrap_or_default();
        let counts =
            if self.alarm { growth < GROWTH_OVER } else { GROWTH_ALARM < growth && flicker < scatter };
        self.in_row = if counts { self.in_row.saturating_add(1) } else { 0 };
        let onset = self.since.unwrap_or(block.span.0);
        if !counts || ESTIMATES_IN_ROW <= self.in_row {
            self.since = None;
        }
        if self.in_row < ESTIMATES_IN_ROW {
            return None;
        }
        self.in_row = 0;
        self.alarm = !self.alarm;
        Some(if self.alarm { Change::Grown { onset, scatter, growth, usual } } else { Change::Over })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// White noise in [−1, 1], the same every time (a linear congruence of Knuth's).
    struct White(u64);

    impl White {
        fn next(&mut self) -> f64 {
            self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (self.0 >> 11) as f64 / (1_u64 << 52) as f64 - 1.0
        }
    }

    /// Lets minutes of twelve readings each pass; what is told, with its minute.
    fn follow(
        scatter: &mut Scatter,
        minutes: std::ops::Range<i64>,
        mut reading: impl FnMut() -> f64,
    ) -> Vec<(i64, Change)> {
        let at = |minute: i64| EventTime::from_unix_micros(minute * 60_000_000);
        let mut before = reading();
        minutes
            .filter_map(|minute| {
                let mut sum = 0.0;
                for _ in 0..12 {
                    let now = reading();
                    scatter.add(now - before);
                    sum += now;
                    before = now;
                }
                let span = (at(minute), at(minute + 1));
                let block = SettledBlock { span, mean: sum / 12.0, is_clean: true };
                scatter.close_block(Some(block)).map(|change| (minute, change))
            })
            .collect()
    }

    fn round(value: f64, step: f64) -> f64 {
        (value / step).round() * step
    }

    #[test]
    fn three_times_the_noise_is_told_within_ten_minutes_and_its_end_as_well() {
        let (mut scatter, mut white) = (Scatter::default(), White(1));
        assert_eq!(follow(&mut scatter, 0..600, || round(30.0 + 0.07 * white.next(), 0.1)), []);
        let told = follow(&mut scatter, 600..660, || round(30.0 + 0.21 * white.next(), 0.1));
        let [(minute, Change::Grown { onset, scatter: now, usual, .. })] = told[..] else {
            panic!("{told:?}")
        };
        assert!(minute < 610, "{minute}");
        assert!((onset.unix_micros() / 60_000_000 - 600).abs() <= 3, "{onset}");
        assert!(now > 2.0 * usual.scatter, "{now} {usual:?}");
        let told = follow(&mut scatter, 660..720, || round(30.0 + 0.07 * white.next(), 0.1));
        assert!(matches!(told[..], [(_, Change::Over)]), "{told:?}");
    }

    #[test]
    fn a_slope_a_single_wild_reading_and_a_level_between_two_steps_are_no_noise() {
        let (mut scatter, mut white, mut count) = (Scatter::default(), White(2), 0);
        // In the middle of a step at first, then slowly up through step after step.
        let told = follow(&mut scatter, 0..3_000, || {
            count += 1;
            let wild = if count % 3_000 == 2_999 { 40.0 } else { 0.0 };
            round(30.0 + f64::from((count - 2_000).max(0)) * 1e-4 + 0.04 * white.next() + wild, 0.1)
        });
        assert_eq!(told, []);
    }

    #[test]
    fn noise_that_is_a_share_of_the_reading_may_grow_with_it() {
        let (mut scatter, mut white) = (Scatter::default(), White(3));
        // Some of the baseline at twice the level of most of it.
        assert_eq!(follow(&mut scatter, 0..25, || 50.0 * (1.0 + 0.01 * white.next())), []);
        assert_eq!(follow(&mut scatter, 25..120, || 100.0 * (1.0 + 0.01 * white.next())), []);
        assert_eq!(follow(&mut scatter, 120..400, || 200.0 * (1.0 + 0.01 * white.next())), []);
        let told = follow(&mut scatter, 400..440, || 200.0 * (1.0 + 0.03 * white.next()));
        assert!(matches!(told[..], [(_, Change::Grown { .. })]), "{told:?}");
    }

    #[test]
    fn what_does_not_rest_is_not_taken() {
        let (mut scatter, mut white) = (Scatter::default(), White(4));
        follow(&mut scatter, 0..120, || 30.0 + 0.07 * white.next());
        for _ in 0..1_000 {
            scatter.add(white.next());
            assert_eq!(scatter.close_block(None), None);
        }
        assert_eq!(follow(&mut scatter, 120..240, || 30.0 + 0.07 * white.next()), []);
    }
}
