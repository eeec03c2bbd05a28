//! Spreads by medians, and the step of quantised readings.

use telemetry::median;

/// Makes the median absolute deviation agree with a standard deviation for normal data: 1/Φ⁻¹(3/4)
/// (Rousseeuw & Croux, JASA 88, 1993).
pub(crate) const SIGMA_PER_MAD: f64 = 1.4826;

/// Median absolute deviation from 0, scaled to stand in for a standard deviation.
pub(crate) fn scaled_mad(deviations: &[f64]) -> f64 {
    median(&mut deviations.iter().map(|deviation| deviation.abs()).collect::<Vec<f64>>())
        .map_or(0.0, |mad| SIGMA_PER_MAD * mad)
}

/// The smallest difference between two values that occur: of quantised readings their step, else next to nothing.
/// `None` when all are equal.
pub(crate) fn resolution(values: &[f64]) -> Option<f64> {
    /// Differences below this share of the whole range are roundings.
    const ROUNDING: f64 = 1e-9;
    let mut ordered = values.to_vec();
    ordered.sort_by(f64::total_cmp);
    let range = ordered.last()? - ordered.first()?;
    let differences = ordered.windows(2).map(|pair| pair[1] - pair[0]);
    differences.filter(|difference| *difference > ROUNDING * range).min_by(f64::total_cmp)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_wild_value_does_not_move_the_deviation() {
        assert!((scaled_mad(&[-0.1, 0.0, 0.1, 26.0, -0.1]) - 0.148_26).abs() < 1e-9);
    }

    #[test]
    fn the_step_of_quantised_readings_is_found() {
        assert_eq!(resolution(&[71.0, 69.0, 70.0, 71.0]), Some(1.0));
        assert_eq!(resolution(&[70.0, 70.0]), None);
        let step = resolution(&[0.0, 0.1 + 0.2, 0.3, 0.6]).unwrap();
        assert!((step - 0.3).abs() < 1e-9, "a rounding is no step: {step}");
    }
}
