//! The next hours: exponential smoothing with additive errors (Hyndman, Koehler, Ord & Snyder 2008).

use augurs::ets::{AutoETS, FittedAutoETS};
use augurs::{Fit, Predict};
use telemetry::Microseconds;

use crate::blocks::Series;
use crate::forecast::{Forecast, Forecaster, steps_ahead};
use crate::refusal::Refusal;
use crate::repair::repair;

/// Steps that a level, a slope and their smoothing are learnt from.
const KNOWN_MIN: usize = 60;
/// Steps that are taken: six hours of minutes. The time to fit grows with their number.
const STEPS_MAX: usize = 360;

/// Errors are additive, a trend is there or not (and then damped or not, by AICc), nothing is seasonal.
///
/// Only models with additive errors have intervals in closed form in the library; for others it draws 5,000 paths
/// from a generator that it seeds itself, and two answers about the same data would differ.
pub(crate) const SPECIFICATION: &str = "AZN";

/// Level and slope, both smoothed: for what drifts over minutes and hours.
#[derive(Debug, Clone, Copy, Default)]
pub struct Smoothing;

/// Name of a fitted model in Hyndman's notation.
fn name(fitted: &FittedAutoETS) -> String {
    let model = fitted.model();
    let kind = model.model_type().to_string();
    let mut letters = kind.chars();
    let error = letters.next().unwrap_or('?');
    let trend = letters.next().unwrap_or('?');
    format!("ETS({error},{trend}{},N)", if model.damped() { "d" } else { "" })
}

impl Forecaster for Smoothing {
    fn forecast(&self, series: &Series, horizon: Microseconds, level: f64) -> Result<Forecast, Refusal> {
        let steps = series.values().len();
        if steps > STEPS_MAX {
            return Err(Refusal::TooMuch { steps, steps_max: STEPS_MAX });
        }
        let repaired = repair(series, KNOWN_MIN)?;
        let ahead = steps_ahead(series, horizon)?;
        let nothing = |error: augurs::ets::Error| Refusal::NoModel {
            model: "ETS".to_owned(),
            message: error.to_string(),
        };
        let fitted =
            AutoETS::new(1, SPECIFICATION).and_then(|model| model.fit(&repaired.values)).map_err(nothing)?;
        let predicted = fitted.predict(ahead, level).map_err(nothing)?;
        Forecast::new(name(&fitted), series, repaired, level, &predicted)
    }
}
