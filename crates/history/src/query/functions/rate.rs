//! `rate`: how fast a counter grew.

use super::aggregate::Rule;
use super::curve::Curve;
use super::delta::growth;
use super::{Function, Make};

pub const RATE: Function = Function {
    name: "rate",
    arguments: "value, time",
    unit: Some("of value, a second"),
    meaning: "growth of a counter a second, between the first and the last reading; as delta",
    make: Make::OfReadings(Rule { arguments: &[], takes_gap: false, evaluate: rate, streamed: None }),
};

fn rate(curve: Curve<'_>, _: &[f64]) -> Option<f64> {
    let grown = growth(curve)?;
    let (first, _) = curve.known().next()?;
    let (last, _) = curve.known().next_back()?;
    Some(grown / (last - first).as_seconds())
}
