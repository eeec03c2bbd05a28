//! `slope`: how fast a value rises.

use super::aggregate::Rule;
use super::curve::Curve;
use super::{Function, Make};

pub const SLOPE: Function = Function {
    name: "slope",
    arguments: "value, time",
    unit: Some("of value, a second"),
    meaning: "rise of a value by least squares, a second; null for readings of less than two times",
    make: Make::OfReadings(Rule { arguments: &[], takes_gap: false, evaluate: slope }),
};

fn slope(curve: Curve<'_>, _: &[f64]) -> Option<f64> {
    let (first, _) = curve.known().next()?;
    // Around the mean of both, so that neither the year nor a great offset of the value costs digits.
    let points = curve.known().map(|(time, value)| ((time - first).as_seconds(), value));
    let count = points.clone().count() as f64;
    let mean_second = points.clone().map(|(seconds, _)| seconds / count).sum::<f64>();
    let mean_value = points.clone().map(|(_, value)| value / count).sum::<f64>();
    let (mut spread, mut common) = (0.0, 0.0);
    for (seconds, value) in points {
        spread += (seconds - mean_second) * (seconds - mean_second);
        common += (seconds - mean_second) * (value - mean_value);
    }
    let (last, _) = curve.known().next_back()?;
    (last > first).then(|| common / spread)
}
