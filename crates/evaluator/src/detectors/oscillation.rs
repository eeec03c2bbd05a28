//! Oscillation of a controlled quantity: a peak of its autocorrelation that is high enough for long enough.
//!
//! held values at even steps → **oscillation** → findings
//!
//! A loop that hunts repeats itself: after one period it is where it was. A load step, a checkpoint or a drifting set
//! point does not. Miao & Seborg 1999; Thornhill, Huang & Zhang 2003.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};
use telemetry::Microseconds;

/// A range of periods that is watched at one pace.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Band {
    /// Between two values.
    pub step: Microseconds,
    /// Values that are looked at together.
    pub window: usize,
    /// Shortest period, in steps.
    pub shortest: usize,
    /// Longest period, in steps.
    pub longest: usize,
}

/// Periods of 1 to 5 minutes, over a quarter of an hour.
pub(crate) const FAST: Band =
    Band { step: Microseconds::from_seconds(10), window: 90, shortest: 6, longest: 30 };
/// Periods of 5 to 30 minutes, over four hours: eight of the longest. Over two hours, what a building does on a calm day
/// repeats itself often enough to be taken for a swing (9 of 69 calm spans of a recorded air handler; 0 over four).
pub(crate) const SLOW: Band =
    Band { step: Microseconds::from_seconds(60), window: 240, shortest: 5, longest: 30 };

/// Autocorrelation at its peak from which on a quantity swings, and below which it no longer does.
const PEAK_MINIMUM: f64 = 0.5;
const PEAK_OVER: f64 = 0.3;
/// Smallest standard deviation that matters, K.
pub(crate) const DEVIATION_MINIMUM: f64 = 0.15;
/// Share of the window that must be known.
const KNOWN_PERCENT: usize = 90;

/// How a quantity swings.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct Swing {
    /// How long one swing takes.
    pub period: Microseconds,
    /// Autocorrelation after one period: 1 for a perfect repetition.
    pub peak: f64,
    /// Standard deviation around the mean, in the quantity's unit.
    pub deviation: f64,
}

/// The latest values of a quantity.
#[derive(Debug, Default, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Oscillation {
    values: VecDeque<Option<f64>>,
    /// It swings, as was last told.
    pub swing: Option<Swing>,
}

/// What a look changed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Change {
    /// It has begun to swing; the window began so long ago.
    Begun(Swing),
    /// It no longer does.
    Over,
}

impl Band {
    /// Whether a sensor that reports this often shows the shortest swing: four readings in each. What is held between
    /// slower ones repeats itself by its own pace. A feed of unknown pace shows none.
    pub(crate) fn is_seen_by(&self, interval: Option<Microseconds>) -> bool {
        interval.is_some_and(|interval| 4 * interval.0 <= self.shortest as i64 * self.step.0)
    }
}

impl Oscillation {
    /// Takes the next value.
    pub(crate) fn push(&mut self, band: &Band, value: Option<f64>) {
        self.values.push_back(value);
        if self.values.len() > band.window {
            self.values.pop_front();
        }
    }

    /// Looks at the window. Nothing is said while too little of it is known.
    pub(crate) fn look(&mut self, band: &Band) -> Option<Change> {
        let swing = self.measure(band)?;
        match self.swing {
            None if swing.peak >= PEAK_MINIMUM && swing.deviation >= DEVIATION_MINIMUM => {
                self.swing = Some(swing);
                Some(Change::Begun(swing))
            }
            Some(_) if swing.peak < PEAK_OVER || swing.deviation < DEVIATION_MINIMUM / 2.0 => {
                self.swing = None;
                Some(Change::Over)
            }
            None | Some(_) => None,
        }
    }

    /// The period of what the window shows, if it repeats itself.
    pub(crate) fn period(&self, band: &Band) -> Option<Microseconds> {
        self.measure(band).filter(|swing| PEAK_OVER <= swing.peak).map(|swing| swing.period)
    }

    /// The highest peak of the autocorrelation; a peak of zero when there is none. None while too little is known.
    fn measure(&self, band: &Band) -> Option<Swing> {
        let known = self.values.iter().flatten().count();
        if self.values.len() < band.window || known * 100 < band.window * KNOWN_PERCENT {
            return None;
        }
        let residuals = self.without_trend(band);
        let square: f64 = residuals.iter().map(|residual| residual * residual).sum();
        let deviation = (square / band.window as f64).sqrt();
        if square <= 0.0 {
            return Some(Swing { period: Microseconds::ZERO, peak: 0.0, deviation });
        }
        let at = |lag: usize| -> f64 {
            let products = residuals.iter().zip(&residuals[lag..]).map(|(one, other)| one * other);
            products.sum::<f64>() / square
        };
        let correlations: Vec<f64> = (band.shortest - 1..=band.longest + 1).map(at).collect();
        let peaks = (1..correlations.len() - 1).filter(|index| {
            correlations[*index] > correlations[index - 1] && correlations[*index] >= correlations[index + 1]
        });
        let best = peaks.max_by(|one, other| correlations[*one].total_cmp(&correlations[*other]));
        let (lag, peak) = best.map_or((0, 0.0), |index| (band.shortest - 1 + index, correlations[index]));
        Some(Swing { period: Microseconds(band.step.0 * lag as i64), peak, deviation })
    }

    /// Values minus their centred running mean over one and a third of the longest period; unknown ones are zero.
    fn without_trend(&self, band: &Band) -> Vec<f64> {
        let half = band.longest * 2 / 3;
        let values: Vec<Option<f64>> = self.values.iter().copied().collect();
        (0..values.len())
            .map(|index| {
                let Some(value) = values[index] else { return 0.0 };
                let around = &values[index.saturating_sub(half)..(index + half + 1).min(values.len())];
                let (mut sum, mut count) = (0.0, 0.0);
                for known in around.iter().flatten() {
                    sum += known;
                    count += 1.0;
                }
                value - sum / count
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Small and without pattern, but the same every time.
    fn noise(step: usize) -> f64 {
        ((step * 7_919 % 1_009) as f64 / 504.5 - 1.0) * 0.05
    }

    fn looks(band: &Band, values: impl Iterator<Item = f64>) -> Vec<Change> {
        let mut oscillation = Oscillation::default();
        values
            .filter_map(|value| {
                oscillation.push(band, Some(value));
                oscillation.look(band)
            })
            .collect()
    }

    #[test]
    fn a_swing_is_told_once_with_its_period_and_ends_when_it_rests() {
        let swing = |step: usize| libm::sin(std::f64::consts::TAU * step as f64 / 12.0);
        let values = (0..400).map(|step| 35.0 + noise(step) + if step < 200 { swing(step) } else { 0.0 });
        match looks(&FAST, values)[..] {
            [Change::Begun(Swing { period, peak, .. }), Change::Over] => {
                assert_eq!(period, Microseconds::from_seconds(120));
                assert!(peak > 0.8, "{peak}");
            }
            ref other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_step_a_ramp_and_noise_are_no_swing() {
        let step = |step: usize| if step < 100 { 35.0 } else { 38.0 };
        assert_eq!(looks(&FAST, (0..300).map(|at| step(at) + noise(at))), []);
        assert_eq!(looks(&FAST, (0..300).map(|at| 35.0 + at as f64 * 0.05 + noise(at))), []);
        assert_eq!(looks(&SLOW, (0..600).map(|at| 35.0 + noise(at))), []);
        assert_eq!(looks(&SLOW, (0..600).map(|_| 35.0)), []);
    }

    #[test]
    fn nothing_is_said_of_what_is_not_known() {
        let mut oscillation = Oscillation::default();
        for step in 0..200 {
            let value = libm::sin(std::f64::consts::TAU * f64::from(step) / 12.0);
            oscillation.push(&FAST, (step % 5 != 0).then_some(value));
            assert_eq!(oscillation.look(&FAST), None, "one in five is missing");
        }
    }
}
