//! `time_above`: how long a value was above a threshold.

use telemetry::Microseconds;

use super::aggregate::{Argument, Rule};
use super::curve::Curve;
use super::{Function, Make};

pub const TIME_ABOVE: Function = Function {
    name: "time_above",
    arguments: "value, time, threshold[, gap_seconds]",
    unit: Some("s"),
    meaning: "seconds in which the value was above the threshold, each reading holding until the next and the last one \
              for no time; a time between two readings that is longer than gap_seconds, or that follows a missing \
              value, counts for nothing; null where no time is known",
    make: Make::OfReadings(Rule {
        arguments: &[Argument::any("threshold")],
        takes_gap: true,
        evaluate: time_above,
        streamed: None,
    }),
};

fn time_above(curve: Curve<'_>, arguments: &[f64]) -> Option<f64> {
    let threshold = arguments[0];
    curve.known_time()?;
    let above = curve.spans().filter(|span| span.value > threshold);
    Some(above.fold(Microseconds::ZERO, |sum, span| sum + span.length).as_seconds())
}
