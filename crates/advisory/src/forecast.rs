//! What is expected, and the interval in which it is expected with a given probability.
//!
//! blocks → repair → **forecast** ([`crate::Smoothing`], [`crate::Daily`]) → limit

use augurs::Forecast as Predicted;
use telemetry::{EventTime, Microseconds};

use crate::blocks::Series;
use crate::refusal::Refusal;
use crate::repair::{Bridge, Repaired};

/// A method of forecasting.
pub trait Forecaster {
    /// Expects the means of the steps that follow a series.
    ///
    /// - `horizon`: how far ahead; rounded up to whole steps.
    /// - `level`: probability of the interval, see [`check_level`].
    ///
    /// # Errors
    /// A [`Refusal`] says what is missing.
    fn forecast(&self, series: &Series, horizon: Microseconds, level: f64) -> Result<Forecast, Refusal>;
}

/// Whether a probability can be that of an interval: .5 to .99. Beyond, the tails of a normal distribution are asked
/// for, which cooling does not have.
pub fn check_level(level: f64) -> Result<f64, String> {
    if (0.5..=0.99).contains(&level) {
        Ok(level)
    } else {
        Err(format!("{level} is no level of an interval: give a probability from 0.5 to 0.99, such as 0.95"))
    }
}

/// What is expected.
#[derive(Debug, Clone, PartialEq)]
pub struct Forecast {
    /// The model that was chosen: `ETS(A,Ad,N)`.
    pub model: String,
    /// What it was learnt from.
    pub basis: Basis,
    /// Probability of the interval.
    pub level: f64,
    /// One a step.
    pub points: Vec<Point>,
}

/// What a forecast was learnt from.
#[derive(Debug, Clone, PartialEq)]
pub struct Basis {
    /// Where the first step begins.
    pub from: EventTime,
    /// Where the last step ends, and the forecast begins.
    pub until: EventTime,
    /// Length of a step, also of the forecast's.
    pub step: Microseconds,
    /// Steps that were known.
    pub known: usize,
    /// Share of steps that were not, 0 to 1.
    pub gap_share: f64,
    /// Gaps that were bridged by a straight line.
    pub bridges: Vec<Bridge>,
    /// The last known value.
    pub last: f64,
}

/// The mean that one step is expected to have.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Point {
    /// Where the step begins.
    pub time: EventTime,
    /// The expectation.
    pub value: f64,
    /// Lower end of the interval.
    pub lower: f64,
    /// Upper end of the interval.
    pub upper: f64,
}

/// Whole steps of a horizon, not more than are known.
pub(crate) fn steps_ahead(series: &Series, horizon: Microseconds) -> Result<usize, Refusal> {
    let step = series.step().get();
    let steps =
        usize::try_from(horizon.get().div_euclid(step) + i64::from(horizon.get() % step > 0)).unwrap_or(0);
    let known = series.values().len();
    if steps > known {
        return Err(Refusal::TooFar { horizon, known: Microseconds(step * known as i64) });
    }
    Ok(steps.max(1))
}

impl Forecast {
    /// From a model's prediction. A model that ends with anything but numbers has said nothing.
    pub(crate) fn new(
        model: String,
        series: &Series,
        repaired: Repaired,
        level: f64,
        predicted: &Predicted,
    ) -> Result<Self, Refusal> {
        let nothing = |message: &str| Refusal::NoModel { model: model.clone(), message: message.to_owned() };
        let intervals = predicted.intervals.as_ref().ok_or_else(|| nothing("it gave no interval"))?;
        let steps = series.values().len();
        let points: Vec<Point> = predicted
            .point
            .iter()
            .zip(intervals.lower.iter().zip(&intervals.upper))
            .enumerate()
            .map(|(ahead, (value, (lower, upper)))| Point {
                time: series.at(steps + ahead),
                value: *value,
                lower: *lower,
                upper: *upper,
            })
            .collect();
        let is_sound = |point: &Point| {
            point.lower.is_finite()
                && point.upper.is_finite()
                && point.lower <= point.value
                && point.value <= point.upper
        };
        if points.is_empty() || !points.iter().all(is_sound) {
            return Err(nothing("its interval is no interval"));
        }
        let basis = Basis {
            from: series.start(),
            until: series.end(),
            step: series.step(),
            known: repaired.known,
            gap_share: (steps - repaired.known) as f64 / steps as f64,
            bridges: repaired.bridges,
            last: *repaired.values.last().ok_or_else(|| nothing("it was given no values"))?,
        };
        Ok(Self { model, basis, level, points })
    }
}
