//! The statistics of the check `canary`: batches before and since a change in, a three-way decision out.
//!
//! batches of two racks or runs → **canary** → `check`
//!
//! A pipeline asks again and again, and stops at the first answer that it likes. A test made for one look would be
//! wrong far too often then; a confidence sequence holds at all looks together.

/// Probability with which a confidence sequence may miss the truth, over all looks together.
pub const ALPHA: f64 = 0.05;
/// The number of batches at which the sequence is tightest: two hours of steady load.
const BATCHES_OPTIMAL: f64 = 24.0;
/// Batches since the change before anything is said.
pub const BATCHES_MINIMUM: usize = 4;
/// A lag-1 autocorrelation up to this is noise of its own estimate.
const LAG_MINIMUM: f64 = 0.1;
/// And this is the most that is believed.
const LAG_MAXIMUM: f64 = 0.95;
/// The smallest standard deviation of a batch that is believed: .01 %. Readings that rest say nothing about noise.
const DEVIATION_MINIMUM: f64 = 1e-4;
/// Neighbouring batches that must be there for an autocorrelation to be estimated.
const NEIGHBOURS_MINIMUM: usize = 4;

/// A value and the number of its batch.
pub type Numbered = (i64, f64);

/// The variance of the mixture's normal by that of a batch, r² = (l + ln l + 1) / n_opt with l = −2 ln α: the choice
/// that makes the sequence tightest near [`BATCHES_OPTIMAL`] batches (Howard, Ramdas, McAuliffe & Sekhon, Annals of
/// Statistics 49, 2021, proposition 3 with the Lambert function's expansion).
pub fn mixture_ratio(alpha: f64) -> f64 {
    let l = -2.0 * libm::log(alpha);
    (l + libm::log(l) + 1.0) / BATCHES_OPTIMAL
}

/// Half the width of the normal-mixture confidence sequence of a mean, in standard deviations of one value.
///
/// √(2 (n r² + 1) / (n² r²) · ln(√(n r² + 1) / α)) after `count` values: Robbins, Annals of Mathematical Statistics
/// 41, 1970; the same as √((v + ρ)(ln(1 + v/ρ) + 2 ln(1/α))) / n with v = n and ρ = 1/r² (Howard et al. 2021). It
/// holds for all `count` together with probability 1 − α, for independent normal values of known deviation.
pub fn mixture_half_width(count: usize, alpha: f64) -> f64 {
    let (n, r2) = (count as f64, mixture_ratio(ALPHA));
    (2.0 * (n * r2 + 1.0) / (n * n * r2) * libm::log((n * r2 + 1.0).sqrt() / alpha)).sqrt()
}

/// Lag-1 autocorrelation of residuals, over those whose batches are neighbours; 0 where there are too few.
pub fn lag_one(residuals: &[Numbered]) -> f64 {
    let (mut products, mut neighbours) = (0.0, 0_usize);
    for pair in residuals.windows(2) {
        if pair[1].0 == pair[0].0 + 1 {
            products += pair[0].1 * pair[1].1;
            neighbours += 1;
        }
    }
    let squares: f64 = residuals.iter().map(|(_, value)| value * value).sum();
    if neighbours < NEIGHBOURS_MINIMUM || squares <= 0.0 {
        return 0.0;
    }
    (products / neighbours as f64) / (squares / residuals.len() as f64)
}

/// By how much a deviation is made greater for autocorrelated batches: (1 + r) / (1 − r) above r = .1.
///
/// Theory of an AR(1) asks for the root of that only, if r were known. It is estimated from few batches, too low: with
/// the root, 36 batches before the change and φ = .6 the sequence misses in 8 % of trials instead of 5, with this in
/// under 2 (the test beside holds both); without any in 37.
pub fn inflation(lag_one: f64) -> f64 {
    if lag_one <= LAG_MINIMUM {
        return 1.0;
    }
    let lag = lag_one.min(LAG_MAXIMUM);
    (1.0 + lag) / (1.0 - lag)
}

/// What is known of a change.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Estimate {
    /// Mean since the change minus what it is compared with, as a natural logarithm.
    pub mean: f64,
    /// Standard deviation of a batch, pooled over before and since, not inflated.
    pub deviation: f64,
    /// Lag-1 autocorrelation of the residuals.
    pub lag_one: f64,
    /// Batches since the change.
    pub since: usize,
    /// Batches that it is compared with.
    pub before: usize,
    /// Standard error of what it is compared with.
    pub base_error: f64,
}

impl Estimate {
    /// A change against the same before: the difference of two means, the deviation pooled.
    ///
    /// `None` without a value on each side, or with fewer than three in all.
    pub fn of_change(before: &[Numbered], since: &[Numbered]) -> Option<Self> {
        let (base, base_squares) = moments(before)?;
        let (mean, squares) = moments(since)?;
        let freedom = (before.len() + since.len()).checked_sub(2).filter(|freedom| *freedom > 0)?;
        let deviation = ((base_squares + squares) / freedom as f64).sqrt().max(DEVIATION_MINIMUM);
        let residuals: Vec<Numbered> = before
            .iter()
            .map(|(number, value)| (*number, value - base))
            .chain(since.iter().map(|(number, value)| (*number, value - mean)))
            .collect();
        let lag_one = lag_one(&residuals);
        let base_error = deviation * inflation(lag_one) / (before.len() as f64).sqrt();
        Some(Self {
            mean: mean - base,
            deviation,
            lag_one,
            since: since.len(),
            before: before.len(),
            base_error,
        })
    }

    /// A run against earlier ones of the same rack, each given as (mean, deviation, batches): against the median of
    /// their means.
    ///
    /// Runs differ from each other by more than the noise inside them tells. With several the base's standard error is
    /// at least s·√(1 + π/2N), s the deviation of N runs' means: √(π/2N) s is that of their median for normal means,
    /// and the run that is judged differs by one s itself.
    pub fn of_runs(runs: &[(f64, f64, u32)], since: &[Numbered]) -> Option<Self> {
        let (mean, squares) = moments(since)?;
        let means: Vec<Numbered> = (0..).zip(runs).map(|(number, (mean, _, _))| (number, *mean)).collect();
        let base = telemetry::median(&mut means.iter().map(|(_, mean)| *mean).collect::<Vec<f64>>())?;
        let (_, spread) = moments(&means)?;
        let before: usize = runs.iter().map(|(_, _, batches)| *batches as usize).sum();
        let of_runs: f64 = runs
            .iter()
            .map(|(_, deviation, batches)| deviation * deviation * f64::from(batches.saturating_sub(1)))
            .sum();
        let freedom = (before + since.len()).checked_sub(runs.len() + 1).filter(|freedom| *freedom > 0)?;
        let deviation = ((of_runs + squares) / freedom as f64).sqrt().max(DEVIATION_MINIMUM);
        let residuals: Vec<Numbered> = since.iter().map(|(number, value)| (*number, value - mean)).collect();
        let lag_one = lag_one(&residuals);
        let inside = deviation * inflation(lag_one) / (before.max(1) as f64).sqrt();
        let count = runs.len() as f64;
        let between = match runs.len() {
            0 | 1 => 0.0,
            _ => (spread / (count - 1.0)).sqrt() * (1.0 + std::f64::consts::FRAC_PI_2 / count).sqrt(),
        };
        Some(Self {
            mean: mean - base,
            deviation,
            lag_one,
            since: since.len(),
            before,
            base_error: inside.max(between),
        })
    }

    /// Half the width of the confidence sequence around the mean, the base's standard error included.
    pub fn half_width(&self, alpha: f64) -> f64 {
        self.deviation * inflation(self.lag_one) * mixture_half_width(self.since, alpha) + self.base_error
    }

    /// So many independent batches would tell as much: n (1 − r) / (1 + r).
    pub fn effective(&self) -> f64 {
        let lag = if self.lag_one <= LAG_MINIMUM { 0.0 } else { self.lag_one.min(LAG_MAXIMUM) };
        self.since as f64 * (1.0 - lag) / (1.0 + lag)
    }
}

/// What a change is, against a margin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// Surely less than the margin.
    Within,
    /// Surely more.
    Beyond,
    /// Neither yet.
    Open,
}

/// Compares a mean and its half width with a margin; `worse` is positive where it got worse.
pub fn decide(worse: f64, half_width: f64, margin: f64) -> Decision {
    if margin < worse - half_width {
        Decision::Beyond
    } else if worse + half_width < margin {
        Decision::Within
    } else {
        Decision::Open
    }
}

/// Which of several changes are surely beyond their margins, so that the chance that any of them is not is at most
/// [`ALPHA`]: Holm's step-down (Scandinavian Journal of Statistics 6, 1979). Of m the first is tested at α/m, the next
/// at α/(m − 1) and so on, until one is not.
///
/// Each is (how much worse, its estimate, its margin). Gives for each the level at which it was found beyond.
pub fn beyond_by_holm(changes: &[(f64, &Estimate, f64)]) -> Vec<Option<f64>> {
    let mut found = vec![None; changes.len()];
    loop {
        let left = found.iter().filter(|level| level.is_none()).count();
        if left == 0 {
            return found;
        }
        let level = ALPHA / left as f64;
        let mut is_any = false;
        for (known, (worse, estimate, margin)) in found.iter_mut().zip(changes) {
            let is_beyond = decide(*worse, estimate.half_width(level), *margin) == Decision::Beyond;
            if known.is_none() && is_beyond {
                *known = Some(level);
                is_any = true;
            }
        }
        if !is_any {
            return found;
        }
    }
}

/// Mean, and the sum of squares about it, in the order given.
fn moments(values: &[Numbered]) -> Option<(f64, f64)> {
    if values.is_empty() {
        return None;
    }
    let mean = values.iter().map(|(_, value)| value).sum::<f64>() / values.len() as f64;
    let squares = values.iter().map(|(_, value)| (value - mean) * (value - mean)).sum();
    Some((mean, squares))
}

#[cfg(test)]
mod tests;
