//! When a limit is reached, by the expectation and by the ends of its interval.

use telemetry::{EventTime, Microseconds};

use crate::forecast::{Forecast, Point};

/// When a forecast reaches a limit; `None` where it does not within its horizon.
///
/// `earliest` and `latest` are where the ends of the interval reach it. The interval holds for each step by itself, so
/// that they are no interval of the first passage: that would be somewhat earlier.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Crossing {
    /// The limit, in the signal's unit.
    pub limit: f64,
    /// Whether it is approached from below.
    pub is_rising: bool,
    /// Whether the last known value is at it or beyond.
    pub is_reached: bool,
    /// Time from the last known step until the interval's near end reaches it.
    pub earliest: Option<Microseconds>,
    /// Time until the expectation reaches it.
    pub expected: Option<Microseconds>,
    /// Time until the interval's far end reaches it.
    pub latest: Option<Microseconds>,
}

/// When a limit is reached.
///
/// - `lower_is_worse`: whether the danger lies below the limit, which decides what "at it" means.
pub fn time_to_limit(forecast: &Forecast, limit: f64, lower_is_worse: bool) -> Crossing {
    let last = forecast.basis.last;
    let is_reached = if lower_is_worse { last <= limit } else { limit <= last };
    let is_rising = !lower_is_worse;
    if is_reached {
        let now = Some(Microseconds::ZERO);
        return Crossing { limit, is_rising, is_reached, earliest: now, expected: now, latest: now };
    }
    let reach = |edge: &dyn Fn(&Point) -> f64| first_at(forecast, limit, is_rising, edge);
    let lower = reach(&|point| point.lower);
    let upper = reach(&|point| point.upper);
    let (earliest, latest) = if is_rising { (upper, lower) } else { (lower, upper) };
    Crossing { limit, is_rising, is_reached, earliest, expected: reach(&|point| point.value), latest }
}

/// Time from the last known step until an edge of the forecast is at the limit. A step's mean stands for its middle;
/// between two middles the edge is a line.
fn first_at(
    forecast: &Forecast,
    limit: f64,
    is_rising: bool,
    edge: &dyn Fn(&Point) -> f64,
) -> Option<Microseconds> {
    let step = forecast.basis.step.get() as f64;
    let middle = |time: EventTime| (time - forecast.basis.until).get() as f64 + step / 2.0;
    let is_at = |value: f64| if is_rising { value >= limit } else { value <= limit };
    let mut before = (-step / 2.0, forecast.basis.last);
    for point in &forecast.points {
        let here = (middle(point.time), edge(point));
        if is_at(here.1) {
            let span = here.1 - before.1;
            let share = if span == 0.0 { 1.0 } else { ((limit - before.1) / span).clamp(0.0, 1.0) };
            return Some(Microseconds((before.0 + share * (here.0 - before.0)).max(0.0) as i64));
        }
        before = here;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::forecast::Basis;

    /// One K a minute from 20.5 °C on, give or take a degree.
    fn rising() -> Forecast {
        let minute = Microseconds::from_minutes(1);
        let at = |index: i64| EventTime::from_unix_micros(index * minute.get());
        let points = (0..10)
            .map(|index| {
                let value = 21.5 + index as f64;
                Point { time: at(index), value, lower: value - 1.0, upper: value + 1.0 }
            })
            .collect();
        let basis = Basis {
            from: at(-60),
            until: at(0),
            step: minute,
            known: 60,
            gap_share: 0.0,
            bridges: Vec::new(),
            last: 20.5,
        };
        Forecast { model: "a line".to_owned(), basis, level: 0.95, points }
    }

    fn seconds(time: Option<Microseconds>) -> Option<f64> {
        time.map(Microseconds::as_seconds)
    }

    #[test]
    fn a_limit_is_reached_between_two_middles_earlier_by_the_upper_end_and_later_by_the_lower() {
        let crossing = time_to_limit(&rising(), 25.0, false);
        // The middle of the minute that begins at 0 s has 21.5 °C, so 25 °C is 3.5 minutes later.
        assert_eq!(seconds(crossing.expected), Some(240.0));
        assert_eq!((seconds(crossing.earliest), seconds(crossing.latest)), (Some(180.0), Some(300.0)));
        assert!(crossing.is_rising && !crossing.is_reached);
    }

    #[test]
    fn beyond_the_horizon_nothing_is_said_and_at_the_limit_it_is_now() {
        let far = time_to_limit(&rising(), 31.0, false);
        assert!(far.expected.is_none() && far.latest.is_none() && far.earliest.is_some(), "{far:?}");
        let now = time_to_limit(&rising(), 20.5, false);
        assert!(now.is_reached && now.expected == Some(Microseconds::ZERO));
        let below = time_to_limit(&rising(), 20.0, true);
        assert!(below.expected.is_none() && !below.is_reached && !below.is_rising, "{below:?}");
    }
}
