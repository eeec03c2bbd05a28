//! Exact one-sided 95 % bounds, from the binomial distribution alone.

/// Probability of at most `count` of `trials`.
fn at_most(count: usize, trials: usize, share: f64) -> f64 {
    let mut term = (1.0 - share).powi(trials as i32);
    let mut sum = term;
    for successes in 1..=count {
        term *= (trials - successes + 1) as f64 / successes as f64 * share / (1.0 - share);
        sum += term;
    }
    sum.min(1.0)
}

/// Upper bound of a share of which `count` of `trials` were seen (Clopper & Pearson 1934).
pub fn share_at_most(count: usize, trials: usize) -> f64 {
    if count >= trials {
        return 1.0;
    }
    let (mut low, mut high) = (count as f64 / trials as f64, 1.0 - 1e-12);
    for _ in 0..100 {
        let middle = (low + high) / 2.0;
        if at_most(count, trials, middle) > 0.05 { low = middle } else { high = middle }
    }
    high
}

/// Upper bound of a median: the first value in order below which the median lies with 95 %, whatever the distribution.
pub fn median_at_most(sorted: &[f64]) -> f64 {
    let rank = (0..sorted.len()).find(|below| at_most(*below, sorted.len(), 0.5) >= 0.95);
    sorted[rank.unwrap_or(sorted.len() - 1).min(sorted.len() - 1)]
}

/// The value at a share of the order.
pub fn quantile(sorted: &[f64], share: f64) -> f64 {
    sorted[((sorted.len() as f64 * share).ceil() as usize).clamp(1, sorted.len()) - 1]
}

#[test]
fn bounds_are_those_of_the_tables() {
    // The rule of three, exactly: 1 − .05^(1/100).
    assert!((share_at_most(0, 100) - 0.029_513).abs() < 1e-6);
    assert!((share_at_most(1, 100) - 0.046_558).abs() < 1e-4);
    let values: Vec<f64> = (1..=100).map(f64::from).collect();
    assert_eq!(median_at_most(&values), 59.0);
}
