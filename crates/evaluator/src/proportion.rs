//! What a count of kept promises says about their share: exact bounds for verdicts, an interval for display.
//!
//! recoveries → **proportion** → statuses

/// One-sided error of each exact bound.
pub(crate) const ALPHA: f64 = 0.05;

/// Φ⁻¹(0.95): makes the two-sided interval for display agree with two one-sided bounds of [`ALPHA`].
const NORMAL_QUANTILE: f64 = 1.644_853_626_951_472_2;

/// The share below which `kept` or more of `all` have a probability under [`ALPHA`]: the quantile α of
/// Beta(k, n − k + 1) (Clopper & Pearson, Biometrika 26, 1934). 0 for none kept, and for none at all.
pub(crate) fn lower_bound(kept: u64, all: u64) -> f64 {
    if kept == 0 {
        return 0.0;
    }
    let (a, b) = (kept as f64, all.saturating_sub(kept) as f64 + 1.0);
    largest_share(|share| beta_shares(a, b, share).0 < ALPHA)
}

/// The share above which `kept` or fewer of `all` have a probability under [`ALPHA`]: the quantile 1 − α of
/// Beta(k + 1, n − k). 1 for all kept, and for none at all.
pub(crate) fn upper_bound(kept: u64, all: u64) -> f64 {
    if all <= kept {
        return 1.0;
    }
    let (a, b) = (kept as f64 + 1.0, (all - kept) as f64);
    largest_share(|share| beta_shares(a, b, share).1 > ALPHA)
}

/// The interval of 90 % around the share that was seen (Wilson, JASA 22, 1927): closer to what people expect than
/// the exact bounds, and never the basis of a verdict. `None` for none at all.
pub(crate) fn wilson_interval(kept: u64, all: u64) -> Option<(f64, f64)> {
    if all == 0 {
        return None;
    }
    let (n, share) = (all as f64, kept as f64 / all as f64);
    let squared = NORMAL_QUANTILE * NORMAL_QUANTILE;
    let scale = 1.0 + squared / n;
    let center = (share + squared / (2.0 * n)) / scale;
    let half = NORMAL_QUANTILE * libm::sqrt(share * (1.0 - share) / n + squared / (4.0 * n * n)) / scale;
    Some(((center - half).max(0.0), (center + half).min(1.0)))
}

/// The least number of trials that shows a share when none fails: the least n with target ⁿ <= α, which is 59 for
/// 0.95. `None` for a target that none shows (1) or that needs none (0).
pub(crate) fn trials_without_failure(target: f64) -> Option<u64> {
    if !(0.0 < target && target < 1.0) {
        return None;
    }
    let logarithm = libm::log(ALPHA) / libm::log(target);
    Some(libm::ceil(logarithm).max(1.0) as u64)
}

/// The largest share for which `is_low` holds, to the last bit: halves what is left of [0, 1] until nothing lies
/// between its ends, which takes a fixed number of steps for the same answers on every host.
fn largest_share(is_low: impl Fn(f64) -> bool) -> f64 {
    let (mut low, mut high) = (0.0, 1.0);
    loop {
        let middle = low + (high - low) / 2.0;
        if middle <= low || high <= middle {
            return middle;
        }
        if is_low(middle) {
            low = middle;
        } else {
            high = middle;
        }
    }
}

/// The regularised incomplete beta function Iₓ(a, b) and 1 − Iₓ(a, b), each without loss where it is small
/// (NIST Digital Library of Mathematical Functions, 8.17).
///
/// The continued fraction of 8.17.22 converges fast for x < (a + 1)/(a + b + 2); beyond, the symmetry
/// Iₓ(a, b) = 1 − I₁₋ₓ(b, a) of 8.17.4 is used.
pub(crate) fn beta_shares(a: f64, b: f64, x: f64) -> (f64, f64) {
    if x <= 0.0 {
        return (0.0, 1.0);
    }
    if 1.0 <= x {
        return (1.0, 0.0);
    }
    let log_front =
        libm::lgamma(a + b) - libm::lgamma(a) - libm::lgamma(b) + a * libm::log(x) + b * libm::log1p(-x);
    let front = libm::exp(log_front);
    if x < (a + 1.0) / (a + b + 2.0) {
        let share = front * beta_fraction(a, b, x) / a;
        (share, 1.0 - share)
    } else {
        let rest = front * beta_fraction(b, a, 1.0 - x) / b;
        (1.0 - rest, rest)
    }
}

/// The continued fraction, by the method of Lentz (Applied Optics 15, 1976). It takes some √max(a, b) steps.
fn beta_fraction(a: f64, b: f64, x: f64) -> f64 {
    /// Stands for a denominator of 0.
    const TINY: f64 = 1e-300;
    const STEPS_MAX: u32 = 100_000;
    let away = |value: f64| if value.abs() < TINY { TINY } else { value };
    let mut c = 1.0;
    let mut d = 1.0 / away(1.0 - (a + b) * x / (a + 1.0));
    let mut fraction = d;
    for step in 1..STEPS_MAX {
        let m = f64::from(step);
        let even = m * (b - m) * x / ((a + 2.0 * m - 1.0) * (a + 2.0 * m));
        d = 1.0 / away(1.0 + even * d);
        c = away(1.0 + even / c);
        fraction *= d * c;
        let odd = -(a + m) * (a + b + m) * x / ((a + 2.0 * m) * (a + 2.0 * m + 1.0));
        d = 1.0 / away(1.0 + odd * d);
        c = away(1.0 + odd / c);
        let factor = d * c;
        fraction *= factor;
        if (factor - 1.0).abs() < 1e-16 {
            break;
        }
    }
    fraction
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_close(value: f64, expected: f64, relative: f64) -> bool {
        (value - expected).abs() <= relative * expected.abs()
    }

    /// scipy 1.x: lower = stats.beta.ppf(0.05, k, n - k + 1), upper = stats.beta.isf(0.05, k + 1, n - k).
    const CLOPPER_PEARSON: [(u64, u64, f64, f64); 26] = [
        (0, 1, 0.0, 0.95),
        (1, 1, 0.05, 1.0),
        (1, 2, 0.025_320_565_519_103_61, 0.974_679_434_480_896_3),
        (0, 10, 0.0, 0.258_865_550_893_052_3),
        (9, 10, 0.605_836_697_563_495_2, 0.994_883_803_108_176_3),
        (10, 10, 0.741_134_449_106_947_7, 1.0),
        (19, 20, 0.783_893_835_793_152_6, 0.997_438_621_223_469_7),
        (0, 59, 0.0, 0.049_507_609_888_226_944),
        (58, 59, 0.922_102_078_481_181_6, 0.999_130_999_928_474_4),
        (59, 59, 0.950_492_390_111_773, 1.0),
        (58, 60, 0.898_764_105_075_838_4, 0.994_045_102_869_758_4),
        (299, 299, 0.990_030_853_207_100_7, 1.0),
        (298, 299, 0.984_233_216_872_388_6, 0.999_828_465_234_213_5),
        (150, 299, 0.452_584_731_989_844_84, 0.550_734_887_975_009_1),
        (1, 1_000, 5.129_197_890_901_781e-05, 0.004_734_993_575_499_778),
        (500, 1_000, 0.473_517_731_235_691_24, 0.526_482_268_764_308_7),
        (950, 1_000, 0.937_136_596_487_620_3, 0.960_836_464_074_410_7),
        (999, 1_000, 0.995_265_006_424_500_2, 0.999_948_708_021_091),
        (0, 100_000, 0.0, 2.995_687_401_942_795_8e-05),
        (3, 100_000, 8.176_962_810_387_599e-06, 7.753_472_238_564_709e-05),
        (95_000, 100_000, 0.948_851_678_052_990_3, 0.951_128_981_627_336_3),
        (99_999, 100_000, 0.999_952_562_242_826_1, 0.999_999_487_067_187_7),
        (100_000, 100_000, 0.999_970_043_125_980_6, 1.0),
        (1, 1_000_000, 5.129_329_307_204_953_5e-08, 4.743_855_638_214_236e-06),
        (950_000, 1_000_000, 0.949_640_048_637_823_9, 0.950_358_024_643_257_6),
        (1_000_000, 1_000_000, 0.999_997_004_272_213_6, 1.0),
    ];

    #[test]
    fn the_exact_bounds_are_those_of_scipy() {
        for (kept, all, lower, upper) in CLOPPER_PEARSON {
            let bounds = (lower_bound(kept, all), upper_bound(kept, all));
            assert!(is_close(bounds.0, lower, 1e-9), "{kept} of {all}: lower {} for {lower}", bounds.0);
            assert!(is_close(bounds.1, upper, 1e-9), "{kept} of {all}: upper {} for {upper}", bounds.1);
            // What matters near 1 is what is missing.
            assert!(is_close(1.0 - bounds.1, 1.0 - upper, 1e-9), "{kept} of {all}: upper {}", bounds.1);
        }
        assert_eq!((lower_bound(0, 0), upper_bound(0, 0)), (0.0, 1.0), "nothing is known of nothing");
    }

    /// The definition itself, summed term by term: P(K >= k) at the lower bound is α, and P(K <= k) at the upper.
    #[test]
    fn the_bounds_are_where_the_binomial_tails_are_alpha() {
        let at_most = |k: u64, n: u64, share: f64| -> f64 {
            let mut term = libm::pow(1.0 - share, n as f64);
            let mut sum = term;
            for i in 0..k {
                term *= (n - i) as f64 / (i + 1) as f64 * share / (1.0 - share);
                sum += term;
            }
            sum
        };
        for n in 1..=40 {
            for k in 0..=n {
                if k > 0 {
                    let tail = 1.0 - at_most(k - 1, n, lower_bound(k, n));
                    assert!((tail - ALPHA).abs() < 1e-12, "{k} of {n}: {tail}");
                }
                if k < n {
                    let tail = at_most(k, n, upper_bound(k, n));
                    assert!((tail - ALPHA).abs() < 1e-12, "{k} of {n}: {tail}");
                }
            }
        }
    }

    /// The figures of the documentation for a target of 95 %.
    #[test]
    fn fifty_nine_of_fifty_nine_show_95_percent_and_58_of_60_do_not() {
        assert!(lower_bound(59, 59) >= 0.95);
        assert!(lower_bound(58, 58) < 0.95);
        assert!(lower_bound(58, 60) < 0.95 && upper_bound(58, 60) > 0.95);
        let failures = [(0.8, 14), (0.9, 29), (0.95, 59), (0.99, 299)];
        for (target, trials) in failures {
            assert_eq!(trials_without_failure(target), Some(trials), "{target}");
            assert!(lower_bound(trials, trials) >= target && lower_bound(trials - 1, trials - 1) < target);
        }
        assert_eq!((trials_without_failure(0.0), trials_without_failure(1.0)), (None, None));
    }

    /// Computed with numpy from Wilson's formula, z = 1.6448536269514722.
    #[test]
    fn the_interval_for_display_is_wilsons() {
        for (kept, all, lower, upper) in [
            (0, 1, 0.0, 0.730_134_051_215_945_8),
            (1, 1, 0.269_865_948_784_054_1, 1.0),
            (19, 20, 0.803_992_763_225_983_7, 0.988_765_183_149_148_5),
            (59, 59, 0.956_153_964_414_750_8, 1.0),
            (950, 1_000, 0.937_399_796_580_390_5, 0.960_171_784_503_824_8),
        ] {
            let (low, high) = wilson_interval(kept, all).unwrap();
            assert!(
                is_close(low, lower, 1e-9) && is_close(high, upper, 1e-9),
                "{kept} of {all}: {low} {high}"
            );
        }
        assert_eq!(wilson_interval(0, 0), None);
    }

    proptest::proptest! {
        #[test]
        fn more_kept_never_lowers_a_bound(all in 1u64..400, part in 0.0f64..1.0) {
            let kept = (part * all as f64) as u64;
            let bounds = |kept| (lower_bound(kept, all), upper_bound(kept, all));
            let (less, more) = (bounds(kept), bounds(kept + 1));
            proptest::prop_assert!(less.0 < more.0 && less.1 <= more.1);
            let share = kept as f64 / all as f64;
            proptest::prop_assert!(less.0 <= share && share <= less.1);
        }
    }
}
