//! `settling_time`: how long it takes until a value stays within a band.

use super::aggregate::{Argument, Rule};
use super::curve::Curve;
use super::{Function, Make};

pub const SETTLING_TIME: Function = Function {
    name: "settling_time",
    arguments: "value, time, target, band",
    unit: Some("s"),
    meaning: "seconds from the first reading to the one from which on all are within target ± band; a missing value is \
              not within; null when the last reading is not",
    make: Make::OfReadings(Rule {
        arguments: &[Argument::any("target"), Argument::not_negative("band")],
        takes_gap: false,
        evaluate: settling_time,
        streamed: None,
    }),
};

fn settling_time(curve: Curve<'_>, arguments: &[f64]) -> Option<f64> {
    let (target, band) = (arguments[0], arguments[1]);
    let first = curve.readings.first()?;
    let is_within = |value: Option<f64>| value.is_some_and(|value| (value - target).abs() <= band);
    let last_outside = curve.readings.iter().rposition(|reading| !is_within(reading.value));
    // A reading outside at the very time of one inside is no settling there.
    let settled = match last_outside {
        None => Some(first),
        Some(outside) => {
            curve.readings[outside..].iter().find(|reading| reading.time > curve.readings[outside].time)
        }
    };
    settled.map(|settled| (settled.time - first.time).as_seconds())
}
