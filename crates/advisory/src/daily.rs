//! The next days: what repeats each day is taken out (MSTL: Bandara, Hyndman & Bergmeir 2021), what is left is
//! smoothed, and the day is put back on it. For facility water, which follows the weather.

use augurs::ets::AutoETS;
use augurs::mstl::MSTLModel;
use augurs::{Fit, Predict};
use telemetry::Microseconds;

use crate::blocks::Series;
use crate::forecast::{Forecast, Forecaster, steps_ahead};
use crate::refusal::Refusal;
use crate::repair::repair;
use crate::smoothing::SPECIFICATION;

/// The library wants two periods; of one day alone nobody can tell what repeats.
const PERIODS_MIN: usize = 2;
/// Steps that are taken: fourteen days of hours, and some.
const STEPS_MAX: usize = 360;
/// A day.
const DAY: Microseconds = Microseconds::from_hours(24);

/// A daily pattern and a drift, from steps of an hour (or any that divides a day).
///
/// The decomposition is computed in `f32`: seven digits, a thousandth of a degree and better. Its interval is that of
/// the drift alone: a day that is unlike the others is not in it.
#[derive(Debug, Clone, Copy, Default)]
pub struct Daily;

impl Forecaster for Daily {
    fn forecast(&self, series: &Series, horizon: Microseconds, level: f64) -> Result<Forecast, Refusal> {
        let steps = series.values().len();
        if steps > STEPS_MAX {
            return Err(Refusal::TooMuch { steps, steps_max: STEPS_MAX });
        }
        let period = usize::try_from(DAY.get() / series.step().get()).unwrap_or(usize::MAX);
        // Of the grid, not of what is known of it: a bridged hour is part of its day.
        if steps < PERIODS_MIN.saturating_mul(period) {
            return Err(Refusal::TooLittle {
                known: steps,
                wanted: PERIODS_MIN.saturating_mul(period),
                step: series.step(),
            });
        }
        let repaired = repair(series, 1)?;
        let ahead = steps_ahead(series, horizon)?;
        let nothing = |error: &dyn std::fmt::Display| Refusal::NoModel {
            model: "MSTL".to_owned(),
            message: error.to_string(),
        };
        let drift = AutoETS::new(1, SPECIFICATION).map_err(|error| nothing(&error))?.into_trend_model();
        let fitted =
            MSTLModel::new(vec![period], drift).fit(&repaired.values).map_err(|error| nothing(&error))?;
        let predicted = fitted.predict(ahead, level).map_err(|error| nothing(&error))?;
        Forecast::new(format!("MSTL({period}) + ETS"), series, repaired, level, &predicted)
    }
}
