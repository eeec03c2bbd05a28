//! Quantiles and bounds that scorecards state.

/// The value below which a share of the values lies, by linear interpolation between order statistics (type 7 of
/// Hyndman & Fan 1996, the default of R and NumPy); `None` without values.
pub fn quantile(values: &[f64], share: f64) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let last = sorted.len().checked_sub(1)?;
    let at = share.clamp(0.0, 1.0) * last as f64;
    let below = at as usize;
    let above = (below + 1).min(last);
    Some(sorted[below] + (at - below as f64) * (sorted[above] - sorted[below]))
}

/// A part by a whole; `None` of nothing.
pub fn share(part: usize, whole: usize) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

/// One-sided upper 95 % bound of a rate of which `count` events were seen in `exposure` (Garwood 1936).
pub fn rate_upper_bound(count: usize, exposure: f64) -> Option<f64> {
    (exposure > 0.0).then(|| evaluator::poisson_upper_mean(count as u64) / exposure)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_those_of_numpy() {
        let values = [3.0, 1.0, 2.0, 10.0];
        assert_eq!(quantile(&values, 0.5), Some(2.5));
        assert!((quantile(&values, 0.9).unwrap() - 7.9).abs() < 1e-12);
        assert_eq!(quantile(&[], 0.5), None);
    }

    #[test]
    fn no_false_alarm_in_three_hundred_days_bounds_their_rate_to_one_percent_a_day() {
        assert!((rate_upper_bound(0, 300.0).unwrap() - 0.009_985_7).abs() < 1e-6);
        assert_eq!(rate_upper_bound(0, 0.0), None);
    }
}
