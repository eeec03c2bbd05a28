//! The engine of all residuals: a frozen baseline that calibrates itself, a two-sided CUSUM, practical relevance, and
//! a latch with hysteresis. Page 1954; Hawkins & Olwell 1998.
//!
//! block means → residual → **baseline, CUSUM** → findings

use serde::{Deserialize, Serialize};
use telemetry::{EventTime, median};

use super::{Residual, ResidualRule, Side};

/// Blocks that make a baseline.
const CALIBRATION_BLOCKS: usize = 60;
/// Slack of the CUSUM, in standard deviations.
const SLACK: f64 = 1.0;
/// It alarms beyond this.
const THRESHOLD: f64 = 8.0;
/// No single block counts for more.
const CLIP: f64 = 5.0;
/// Weight of the newest block in the estimate of the shift.
const SHIFT_WEIGHT: f64 = 0.2;
/// A shift must also stand out of the noise of its own estimate, which is a third of a block's: five times, by so many
/// deviations of a block. On a loop of many racks the noise of the flow meters grows with the flow.
const SHIFT_DEVIATIONS: f64 = 1.7;
/// Makes the median absolute deviation a standard deviation for normal data (Rousseeuw & Croux 1993).
const SIGMA_PER_MAD: f64 = 1.4826;
/// Keeps quantised data, whose MAD may be zero, from a spread far too small.
const PLAIN_DEVIATION_SHARE: f64 = 0.7;

/// The line of the heat balance, ΔT = φ·P/C + b: prior of the liquid's share φ and of the sensors' offset b, each
/// with its standard deviation, and the noise of a block.
const PRIOR_SHARE: (f64, f64) = (0.85, 0.05);
const PRIOR_OFFSET: (f64, f64) = (0.0, 0.3);
const NOISE: f64 = 0.06;
/// A line outside the prior by more than this many spreads is no baseline.
const PRIOR_SPREADS: f64 = 4.0;

/// What a component's residual is when all is well.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct Baseline {
    /// Median.
    pub mean: f64,
    /// Spread.
    pub deviation: f64,
    /// Slope and offset of the line, of a residual that has one.
    line: Option<(f64, f64)>,
    /// First and last block that it was taken from.
    pub taken: (EventTime, EventTime),
}

/// A residual of one component.
#[derive(Debug, Default, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct ResidualState {
    calibration: Vec<(f64, Option<f64>)>,
    calibration_from: Option<EventTime>,
    /// Once it is taken.
    pub baseline: Option<Baseline>,
    up: f64,
    down: f64,
    /// The last block at which each sum was zero.
    up_zero: Option<EventTime>,
    down_zero: Option<EventTime>,
    /// Estimate of the shift.
    pub shift: f64,
    /// The alarm lasts.
    pub alarm: bool,
    /// The latest residual.
    pub value: Option<f64>,
}

/// What a block changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    /// An alarm, whose cause began at `onset`.
    Alarm { onset: EventTime },
    /// The alarm is over.
    Over,
}

impl ResidualState {
    /// The larger of the sums that can alarm, and what it alarms at.
    pub(crate) fn statistic(&self, side: Side) -> (f64, f64) {
        let statistic = match side {
            Side::Both => self.up.max(self.down),
            Side::Up => self.up,
            Side::Down => self.down,
        };
        (statistic, THRESHOLD)
    }

    /// Takes a block's residual. `is_clean`: no finding about its parts is open, so that it may enter a baseline.
    pub(crate) fn observe(
        &mut self,
        rule: &ResidualRule,
        residual: Residual,
        block: (EventTime, EventTime),
        is_clean: bool,
    ) -> Option<Change> {
        let Some(baseline) = self.baseline else {
            if is_clean {
                self.calibrate(rule, residual, block);
            }
            return None;
        };
        let value = match (baseline.line, residual.regressor) {
            (Some((slope, offset)), Some(regressor)) => residual.value - (slope * regressor + offset),
            (Some(_), None) | (None, _) => residual.value,
        };
        self.value = Some(value);
        let z = ((value - baseline.mean) / baseline.deviation).clamp(-CLIP, CLIP);
        self.shift += SHIFT_WEIGHT * ((value - baseline.mean) - self.shift);
        self.up = (self.up + z - SLACK).clamp(0.0, 3.0 * THRESHOLD);
        self.down = (self.down - z - SLACK).clamp(0.0, 3.0 * THRESHOLD);
        let (start, end) = block;
        for (sum, zero) in [(self.up, &mut self.up_zero), (self.down, &mut self.down_zero)] {
            if sum == 0.0 || zero.is_none() {
                *zero = Some(if sum == 0.0 { end } else { start });
            }
        }
        if self.alarm {
            if self.shift.abs() < rule.relevance / 2.0 {
                (self.alarm, self.up, self.down) = (false, 0.0, 0.0);
                return Some(Change::Over);
            }
            return None;
        }
        let relevance = rule.relevance.max(SHIFT_DEVIATIONS * baseline.deviation);
        let rises = rule.side != Side::Down && self.up > THRESHOLD && self.shift > relevance;
        let falls = rule.side != Side::Up && self.down > THRESHOLD && -self.shift > relevance;
        let zero = match (rises, falls) {
            (true, _) => self.up_zero,
            (false, true) => self.down_zero,
            (false, false) => return None,
        };
        self.alarm = true;
        Some(Change::Alarm { onset: zero.unwrap_or(start) })
    }

    fn calibrate(&mut self, rule: &ResidualRule, residual: Residual, (start, end): (EventTime, EventTime)) {
        let from = *self.calibration_from.get_or_insert(start);
        self.calibration.push((residual.value, residual.regressor));
        if self.calibration.len() < CALIBRATION_BLOCKS {
            return;
        }
        let taken = std::mem::take(&mut self.calibration);
        self.calibration_from = None;
        let line = match taken[0].1 {
            Some(_) => match fit_line(&taken) {
                // Outside the prior: taken anew, and uncalibrated until then.
                None => return,
                line => line,
            },
            None => None,
        };
        let mut values: Vec<f64> = taken
            .iter()
            .map(|(value, regressor)| match (line, regressor) {
                (Some((slope, offset)), Some(regressor)) => value - (slope * regressor + offset),
                (Some(_) | None, _) => *value,
            })
            .collect();
        let Some(mean) = median(&mut values) else { return };
        let deviation = deviation(&values, mean).max(rule.floor);
        self.baseline = Some(Baseline { mean, deviation, line, taken: (from, end) });
    }
}

/// max(1.4826 MAD, 0.7 standard deviation).
fn deviation(values: &[f64], center: f64) -> f64 {
    let mut absolute: Vec<f64> = values.iter().map(|value| (value - center).abs()).collect();
    let mad = median(&mut absolute).unwrap_or(0.0);
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count;
    let squares = values.iter().map(|value| (value - mean) * (value - mean)).sum::<f64>();
    (SIGMA_PER_MAD * mad).max(PLAIN_DEVIATION_SHARE * (squares / (count - 1.0).max(1.0)).sqrt())
}

/// Ridge regression with two parameters towards their priors; none when the line lies outside them.
fn fit_line(points: &[(f64, Option<f64>)]) -> Option<(f64, f64)> {
    let weight = 1.0 / (NOISE * NOISE);
    let prior = |(_, spread): (f64, f64)| 1.0 / (spread * spread);
    let (mut xx, mut x, mut one) = (prior(PRIOR_SHARE), 0.0, prior(PRIOR_OFFSET));
    let (mut xy, mut y) = (PRIOR_SHARE.0 * prior(PRIOR_SHARE), PRIOR_OFFSET.0 * prior(PRIOR_OFFSET));
    for (value, regressor) in points {
        let regressor = (*regressor)?;
        xx += weight * regressor * regressor;
        x += weight * regressor;
        one += weight;
        xy += weight * regressor * value;
        y += weight * value;
    }
    let determinant = xx * one - x * x;
    if determinant <= 0.0 {
        return None;
    }
    let slope = (xy * one - x * y) / determinant;
    let offset = (xx * y - x * xy) / determinant;
    let is_near = |value: f64, (center, spread): (f64, f64)| (value - center).abs() <= PRIOR_SPREADS * spread;
    (is_near(slope, PRIOR_SHARE) && is_near(offset, PRIOR_OFFSET)).then_some((slope, offset))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detectors::{Gate, Rule, known};

    fn rule(name: &str) -> &'static ResidualRule {
        match &known(name).rule {
            Rule::Residual(rule) => rule,
            other => panic!("{other:?}"),
        }
    }

    /// Small and without pattern, but the same every time.
    fn noise(step: i64) -> f64 {
        ((step * 7_919 % 1_000) as f64 / 500.0 - 1.0) * 0.004
    }

    fn observe(state: &mut ResidualState, rule: &ResidualRule, minute: i64, value: f64) -> Option<Change> {
        let at = |minute: i64| EventTime::from_unix_micros(minute * 60_000_000);
        let residual = Residual { value, regressor: None };
        state.observe(rule, residual, (at(minute), at(minute + 1)), true)
    }

    #[test]
    fn a_loss_of_head_alarms_in_minutes_and_clears_when_it_is_mended() {
        let (rule, mut state) = (rule("pump"), ResidualState::default());
        for minute in 0..2_000 {
            assert_eq!(observe(&mut state, rule, minute, 6.0 + noise(minute)), None, "minute {minute}");
        }
        let alarm = (2_000..2_010).find_map(|minute| {
            observe(&mut state, rule, minute, 5.85 + noise(minute)).map(|change| (minute, change))
        });
        let Some((minute, Change::Alarm { onset })) = alarm else { panic!("{alarm:?}") };
        assert!(minute <= 2_003, "{minute}");
        assert!((onset.unix_micros() / 60_000_000 - 2_000).abs() <= 1, "{onset}");
        let over = (2_010..2_030).find_map(|minute| observe(&mut state, rule, minute, 6.0 + noise(minute)));
        assert_eq!(over, Some(Change::Over));
    }

    #[test]
    fn a_shift_that_does_not_matter_never_alarms() {
        let (rule, mut state) = (rule("pump"), ResidualState::default());
        for minute in 0..60 {
            observe(&mut state, rule, minute, 6.0 + noise(minute));
        }
        for minute in 60..3_000 {
            assert_eq!(observe(&mut state, rule, minute, 5.98 + noise(minute)), None, "2 % is below 3 %");
        }
        assert!(state.statistic(Side::Both).0 > THRESHOLD, "although the sum has long passed its threshold");
    }

    #[test]
    fn the_heat_balance_finds_share_and_offset_within_its_prior() {
        let points: Vec<(f64, Option<f64>)> = (0..60)
            .map(|step| {
                let regressor = 8.0 + f64::from(step % 10) * 0.4;
                (0.88 * regressor + 0.2 + noise(step.into()), Some(regressor))
            })
            .collect();
        let (slope, offset) = fit_line(&points).unwrap();
        assert!((slope - 0.88).abs() < 0.01 && (offset - 0.2).abs() < 0.1, "{slope} {offset}");
        let wrong: Vec<_> = points.iter().map(|(value, regressor)| (value * 2.0, *regressor)).collect();
        assert_eq!(fit_line(&wrong), None, "twice the heat is no baseline");
        assert_eq!(rule("hb").gate, Gate::Steady);
    }
}
