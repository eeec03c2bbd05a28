//! `time_weighted_avg`: the mean of what held, each value as long as it held.

use super::aggregate::Rule;
use super::curve::Curve;
use super::{Function, Make};

pub const TIME_WEIGHTED_AVG: Function = Function {
    name: "time_weighted_avg",
    arguments: "value, time[, gap_seconds]",
    unit: Some("of value"),
    meaning: "mean of the step function from the first to the last reading, each holding until the next; a time \
              between two readings that is longer than gap_seconds, or that follows a missing value, counts for \
              nothing; of readings of one time the value itself",
    make: Make::OfReadings(Rule { arguments: &[], takes_gap: true, evaluate: mean, streamed: None }),
};

fn mean(curve: Curve<'_>, _: &[f64]) -> Option<f64> {
    let Some(known) = curve.known_time() else { return curve.of_one_moment() };
    let (mut sum, mut lowest, mut highest) = (0.0, f64::INFINITY, f64::NEG_INFINITY);
    for span in curve.spans() {
        sum += span.value * (span.length.as_seconds() / known.as_seconds());
        lowest = span.value.min(lowest);
        highest = span.value.max(highest);
    }
    // A mean of rounded parts can lie a hair outside.
    Some(sum.clamp(lowest, highest))
}
