//! `percentile_tw`: the value that the step function does not exceed for a share of the time.

use telemetry::Microseconds;

use super::aggregate::{Argument, Rule};
use super::curve::{Curve, Span};
use super::{Function, Make};

pub const PERCENTILE_TW: Function = Function {
    name: "percentile_tw",
    arguments: "value, time, fraction[, gap_seconds]",
    unit: Some("of value"),
    meaning: "the least value that the step function does not exceed for this fraction (0 to 1) of the known time; \
              known is as for time_weighted_avg",
    make: Make::OfReadings(Rule {
        arguments: &[Argument { name: "fraction", lowest: 0.0, highest: 1.0, expected: "0 to 1" }],
        takes_gap: true,
        evaluate: percentile,
        streamed: None,
    }),
};

fn percentile(curve: Curve<'_>, arguments: &[f64]) -> Option<f64> {
    let Some(known) = curve.known_time() else { return curve.of_one_moment() };
    let mut spans: Vec<Span> = curve.spans().collect();
    spans.sort_unstable_by(|one, other| one.value.total_cmp(&other.value));
    let enough = arguments[0] * known.get() as f64;
    let mut passed = Microseconds::ZERO;
    let reached = spans.iter().find(|span| {
        passed += span.length;
        passed.get() as f64 >= enough
    });
    reached.or(spans.last()).map(|span| span.value)
}
