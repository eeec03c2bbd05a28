//! `delta`: how much a counter grew.

use super::aggregate::Rule;
use super::curve::Curve;
use super::{Function, Make};

pub const DELTA: Function = Function {
    name: "delta",
    arguments: "value, time",
    unit: Some("of value"),
    meaning: "growth of a counter from the first to the last reading; one that falls has begun anew and counts from \
              zero; null for readings of less than two times",
    make: Make::OfReadings(Rule {
        arguments: &[],
        takes_gap: false,
        evaluate: |curve, _| growth(curve),
        streamed: None,
    }),
};

/// Growth of a counter, never negative; `None` for less than two times.
pub fn growth(curve: Curve<'_>) -> Option<f64> {
    let (first, _) = curve.known().next()?;
    let (last, _) = curve.known().next_back()?;
    let steps = curve.known().zip(curve.known().skip(1)).map(|((_, before), (_, value))| {
        let grown = if value < before { value } else { value - before };
        grown.max(0.0)
    });
    (last > first).then(|| steps.sum())
}
