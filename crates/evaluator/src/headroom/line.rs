//! A straight line through blocks: least squares with a prior, in fixed sums that forget slowly.
//!
//! The scatter of its points gives the standard error of what is read from it, widened where neighbours are alike
//! (AR(1): (1 + r)/(1 − r)). A line that its points have left begins anew.

use serde::{Deserialize, Serialize};
use telemetry::{EventTime, Microseconds};

/// Blocks that a line remembers: half a day of steady load.
const MEMORY_BLOCKS: f64 = 720.0;
/// Weight of the newest block in the mean of what the line is off by.
const OFF_WEIGHT: f64 = 0.15;
/// So many blocks in a row must be off before a line is given up.
const OFF_BLOCKS: u32 = 10;
/// Neighbouring blocks are taken to be no more alike than this.
const ALIKE_MAXIMUM: f64 = 0.9;

/// What is known of a line before any block was seen, and of its points.
#[derive(Debug, Clone, Copy)]
pub(super) struct Prior {
    /// Value at 0 and its standard deviation; infinite where nothing is known.
    pub offset: (f64, f64),
    /// The same of the slope.
    pub slope: (f64, f64),
    /// Points scatter by no less than this.
    pub scatter_floor: f64,
    /// The line no longer holds when its points are off by more than this: as a share of its value, and at least.
    pub off: (f64, f64),
}

/// A line as it was fitted.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Fit {
    pub offset: f64,
    pub slope: f64,
    /// Variance of the offset, covariance, variance of the slope.
    covariance: [f64; 3],
}

impl Fit {
    fn value(&self, x: f64) -> f64 {
        self.offset + self.slope * x
    }

    /// Where it reaches `y`, with its standard deviation. None where it does not rise.
    pub(super) fn reaches(&self, y: f64) -> Option<(f64, f64)> {
        if self.slope <= 0.0 {
            return None;
        }
        let x = (y - self.offset) / self.slope;
        let [of_offset, both, of_slope] = self.covariance;
        let variance = of_offset + 2.0 * x * both + x * x * of_slope;
        Some((x, variance.max(0.0).sqrt() / self.slope))
    }

    /// Its value at 0, with its standard deviation.
    pub(super) fn at_zero(&self) -> (f64, f64) {
        (self.offset, self.covariance[0].max(0.0).sqrt())
    }
}

/// Sums over the blocks that were seen.
#[derive(Debug, Default, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Line {
    count: f64,
    x: f64,
    y: f64,
    xx: f64,
    xy: f64,
    yy: f64,
    /// Sum of squares of residuals, of products with the one before, and the last one.
    square: f64,
    product: f64,
    residual: f64,
    /// Mean of what the newest points are off by, and for how many of them it has been too much.
    off: f64,
    off_blocks: u32,
    last: Option<EventTime>,
}

impl Line {
    /// Adds a point. A line that its points have left begins anew with this one.
    pub(super) fn add(&mut self, prior: &Prior, time: EventTime, x: f64, y: f64) {
        if !(x.is_finite() && y.is_finite()) {
            return;
        }
        if super::BLOCKS_MINIMUM <= self.count {
            let fitted = self.fit(prior).map_or(y, |fit| fit.value(x));
            let residual = y - fitted;
            self.off += OFF_WEIGHT * (residual - self.off);
            let (share, least) = prior.off;
            let is_off = (share * fitted.abs()).max(least) < self.off.abs();
            self.off_blocks = if is_off { self.off_blocks + 1 } else { 0 };
            if OFF_BLOCKS <= self.off_blocks {
                *self = Self::default();
            } else {
                self.square += residual * residual;
                self.product += residual * self.residual;
                self.residual = residual;
            }
        }
        let kept = 1.0 - 1.0 / MEMORY_BLOCKS;
        for sum in [
            &mut self.count,
            &mut self.x,
            &mut self.y,
            &mut self.xx,
            &mut self.xy,
            &mut self.yy,
            &mut self.square,
            &mut self.product,
        ] {
            *sum *= kept;
        }
        self.count += 1.0;
        self.x += x;
        self.y += y;
        self.xx += x * x;
        self.xy += x * y;
        self.yy += y * y;
        self.last = Some(time);
    }

    /// Forgets all.
    pub(super) fn forget(&mut self) {
        *self = Self::default();
    }

    /// Whether enough was seen, and not too long ago.
    pub(super) fn is_learnt(
        &self,
        now: EventTime,
        age: Microseconds,
    ) -> Result<(), (telemetry::facts::UnknownReason, &'static str)> {
        if self.count < super::BLOCKS_MINIMUM {
            return super::uncalibrated(super::FEW_BLOCKS);
        }
        match self.last.filter(|last| now - *last <= age) {
            Some(_) => Ok(()),
            None => Err((telemetry::facts::UnknownReason::Stale, super::OLD)),
        }
    }

    /// Standard deviation of x over what was seen.
    pub(super) fn spread(&self) -> f64 {
        if self.count <= 0.0 {
            return 0.0;
        }
        let mean = self.x / self.count;
        (self.xx / self.count - mean * mean).max(0.0).sqrt()
    }

    /// The line of least squares under the prior; none where neither points nor prior tell one.
    pub(super) fn fit(&self, prior: &Prior) -> Option<Fit> {
        // The weight of the prior depends on the scatter, which depends on the line: twice is enough.
        let floor = prior.scatter_floor * prior.scatter_floor;
        let first = self.solve(prior, floor)?;
        let variance = self.variance(&first).max(floor);
        let mut fit = self.solve(prior, variance)?;
        let alike = if self.square > 0.0 { self.product / self.square } else { 0.0 };
        let alike = alike.clamp(0.0, ALIKE_MAXIMUM);
        let widened = (1.0 + alike) / (1.0 - alike);
        fit.covariance = fit.covariance.map(|part| widened * part);
        Some(fit)
    }

    fn variance(&self, fit: &Fit) -> f64 {
        let Fit { offset, slope, .. } = *fit;
        let squares = self.yy - 2.0 * offset * self.y - 2.0 * slope * self.xy
            + self.count * offset * offset
            + 2.0 * offset * slope * self.x
            + slope * slope * self.xx;
        squares / (self.count - 2.0).max(1.0)
    }

    /// Normal equations with the prior as further points, whose weight is the scatter's variance by theirs.
    fn solve(&self, prior: &Prior, variance: f64) -> Option<Fit> {
        let weight = |(_, deviation): (f64, f64)| variance / (deviation * deviation);
        let (of_offset, of_slope) = (weight(prior.offset), weight(prior.slope));
        let (aa, ab, bb) = (self.count + of_offset, self.x, self.xx + of_slope);
        let determinant = aa * bb - ab * ab;
        if determinant <= 1e-12 * aa * bb || !determinant.is_finite() {
            return None;
        }
        let a = self.y + of_offset * prior.offset.0;
        let b = self.xy + of_slope * prior.slope.0;
        let scale = variance / determinant;
        Some(Fit {
            offset: (bb * a - ab * b) / determinant,
            slope: (aa * b - ab * a) / determinant,
            covariance: [scale * bb, -scale * ab, scale * aa],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PRIOR: Prior =
        Prior { offset: (0.0, 2.0), slope: (0.0, f64::INFINITY), scatter_floor: 0.1, off: (0.06, 0.5) };

    fn at(minute: u32) -> EventTime {
        EventTime::from_unix_micros(i64::from(minute) * 60_000_000)
    }

    /// A repeatable scatter with mean 0.
    fn scatter(minute: u32) -> f64 {
        [0.3, -0.2, 0.1, -0.4, 0.2][minute as usize % 5]
    }

    fn seen(slope: f64) -> Line {
        let mut line = Line::default();
        for minute in 0..200 {
            let x = 40.0 + f64::from(minute % 9) * 5.0;
            line.add(&PRIOR, at(minute), x, 1.0 + slope * x + scatter(minute));
        }
        line
    }

    #[test]
    fn a_line_is_found_and_followed_beyond_what_was_seen() {
        let fit = seen(0.4).fit(&PRIOR).unwrap();
        let (x, deviation) = fit.reaches(49.0).unwrap();
        assert!((x - 120.0).abs() < 1.0, "{x}");
        assert!((0.05..1.0).contains(&deviation), "{deviation}");
        assert!(((120.0 - x) / deviation).abs() < 2.0);
    }

    #[test]
    fn points_at_one_place_give_no_spread_and_the_prior_keeps_the_line_finite() {
        let mut line = Line::default();
        (0..100).for_each(|minute| line.add(&PRIOR, at(minute), 60.0, 24.0 + scatter(minute)));
        assert_eq!(line.spread(), 0.0);
        let (x, deviation) = line.fit(&PRIOR).unwrap().reaches(48.0).unwrap();
        assert!((x - 120.0).abs() < 1.0 && deviation > 3.0, "{x} {deviation}");
    }

    #[test]
    fn a_line_that_its_points_have_left_begins_anew() {
        let mut line = seen(0.4);
        (200..206).for_each(|minute| line.add(&PRIOR, at(minute), 60.0, 1.0 + 0.5 * 60.0));
        assert!(line.count > 100.0, "a few points do not make another line");
        (206..260).for_each(|minute| {
            let x = 40.0 + f64::from(minute % 9) * 5.0;
            line.add(&PRIOR, at(minute), x, 1.0 + 0.5 * x + scatter(minute));
        });
        let (x, _) = line.fit(&PRIOR).unwrap().reaches(61.0).unwrap();
        assert!((x - 120.0).abs() < 3.0, "{x}");
    }

    #[test]
    fn what_does_not_rise_reaches_nothing() {
        let mut line = Line::default();
        (0..60).for_each(|minute| {
            line.add(&PRIOR, at(minute), f64::from(minute), 30.0 - 0.1 * f64::from(minute));
        });
        assert_eq!(line.fit(&PRIOR).unwrap().reaches(80.0), None);
    }

    #[test]
    fn nothing_that_is_no_number_gets_in() {
        let mut line = seen(0.4);
        let before = line.clone();
        line.add(&PRIOR, at(300), f64::NAN, 1.0);
        line.add(&PRIOR, at(300), 1.0, f64::INFINITY);
        assert_eq!(line, before);
    }
}
