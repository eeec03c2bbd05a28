//! The sequence against an independent computation, and how often it misses in trials.

use super::*;

/// Normal values from a linear congruential generator and Box-Muller: the same on every host.
struct Walk(u64);

impl Walk {
    fn uniform(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 11) as f64 + 0.5) / (1_u64 << 53) as f64
    }

    fn normal(&mut self) -> f64 {
        let (radius, turn) = (self.uniform(), self.uniform());
        (-2.0 * libm::log(radius)).sqrt() * libm::cos(std::f64::consts::TAU * turn)
    }
}

fn estimate(deviation: f64, lag_one: f64, since: usize, before: usize) -> Estimate {
    let base_error = deviation * inflation(lag_one) / (before as f64).sqrt();
    Estimate { mean: 0.0, deviation, lag_one, since, before, base_error }
}

/// Values of sd·√(2 (n r² + 1)/(n² r²)·ln(√(n r² + 1)/α)) + sd/√n0, r² = (l + ln l + 1)/24, l = −2 ln .05, computed
/// by another program (Python's math module).
#[test]
fn the_half_width_is_that_of_an_independent_computation() {
    let golden = [
        (1.0, 4, 12, 1.991_810_770_814_162),
        (0.004, 6, 36, 0.005_935_792_340_220_58),
        (0.01, 24, 12, 0.009_082_830_357_054_688),
        (1.0, 1, 1, 5.850_740_750_924_087),
    ];
    for (deviation, since, before, expected) in golden {
        let width = estimate(deviation, 0.0, since, before).half_width(ALPHA);
        assert!((width / expected - 1.0).abs() < 1e-12, "{deviation} {since} {before}: {width}");
    }
    assert!((mixture_ratio(ALPHA) - 0.365_908_351_168_036_5).abs() < 1e-15);
}

/// The same boundary as it is written by Howard et al.: √((v + ρ)(ln(1 + v/ρ) + 2 ln(1/α))) with ρ = 1/r².
#[test]
fn both_ways_to_write_the_sequence_agree() {
    for count in 1..400 {
        let (v, rho) = (count as f64, 1.0 / mixture_ratio(ALPHA));
        let boundary = ((v + rho) * (libm::log(1.0 + v / rho) + 2.0 * libm::log(1.0 / ALPHA))).sqrt();
        assert!((boundary / v / mixture_half_width(count, ALPHA) - 1.0).abs() < 1e-12, "{count}");
    }
}

#[test]
fn the_sequence_narrows_and_is_tight_near_its_optimum() {
    let widths: Vec<f64> = (1..200).map(|count| mixture_half_width(count, ALPHA)).collect();
    assert!(widths.windows(2).all(|pair| pair[1] < pair[0]));
    // A test for one look at 24 batches has 1.96/√24; all looks together cost about half as much again.
    let once = 1.959_964 / 24.0_f64.sqrt();
    assert!((1.4..1.6).contains(&(widths[23] / once)), "{}", widths[23] / once);
}

/// Share of trials in which the sequence, with the pooled deviation and the base's error, ever misses no change at
/// all in 4 to 48 batches. AR(1) batches of lag-1 autocorrelation `phi`.
fn misses(phi: f64, before: usize, trials: usize, widen: fn(f64) -> f64) -> f64 {
    let mut walk = Walk(42);
    let mut missed = 0;
    for _ in 0..trials {
        let mut value = walk.normal();
        let mut batches = Vec::new();
        for number in 0..(before + 48) as i64 {
            batches.push((number, value));
            value = phi * value + (1.0 - phi * phi).sqrt() * walk.normal();
        }
        let is_missed = (BATCHES_MINIMUM..=48).any(|since| {
            let found = Estimate::of_change(&batches[..before], &batches[before..before + since]).unwrap();
            let width = found.deviation
                * widen(found.lag_one)
                * (mixture_half_width(since, ALPHA) + 1.0 / (before as f64).sqrt());
            width < found.mean.abs()
        });
        missed += usize::from(is_missed);
    }
    missed as f64 / trials as f64
}

#[test]
fn all_looks_together_miss_as_seldom_as_they_say() {
    let independent = misses(0.0, 36, 2_000, inflation);
    assert!(independent < ALPHA, "{independent}");
    // Twelve batches before are few for one standard error of them: a little over the nominal.
    let short = misses(0.0, 12, 2_000, inflation);
    assert!(short < 0.08, "{short}");
}

#[test]
fn autocorrelated_batches_need_the_whole_inflation() {
    let root = |lag: f64| inflation(lag).sqrt();
    for (phi, none_at_least, root_at_least) in [(0.4, 0.12, 0.0), (0.6, 0.3, ALPHA)] {
        let [none, root, whole] = [|_| 1.0, root, inflation].map(|widen| misses(phi, 36, 1_000, widen));
        assert!(none > none_at_least, "φ {phi}: without {none}");
        assert!(root > root_at_least, "φ {phi}: root {root}");
        assert!(whole < ALPHA, "φ {phi}: whole {whole}");
    }
}

#[test]
fn a_lag_is_estimated_over_neighbours_only() {
    let alternating: Vec<Numbered> =
        (0..20).map(|number| (number, if number % 2 == 0 { 1.0 } else { -1.0 })).collect();
    assert_eq!(lag_one(&alternating), -1.0);
    let apart: Vec<Numbered> = alternating.iter().map(|(number, value)| (number * 3, *value)).collect();
    assert_eq!(lag_one(&apart), 0.0, "nothing is known of batches that are apart");
    assert_eq!((inflation(-1.0), inflation(0.1)), (1.0, 1.0));
    assert!((inflation(0.5) - 3.0).abs() < 1e-12);
    assert!(inflation(1.0).is_finite());
}

#[test]
fn a_change_is_decided_by_its_margin_in_three_ways() {
    assert_eq!(decide(0.03, 0.009, 0.02), Decision::Beyond);
    assert_eq!(decide(0.0, 0.019, 0.02), Decision::Within);
    assert_eq!(decide(-0.5, 0.1, 0.02), Decision::Within, "better is no failure");
    for (worse, half_width) in [(0.0, 0.02), (0.03, 0.01), (0.02, 0.0)] {
        assert_eq!(decide(worse, half_width, 0.02), Decision::Open, "{worse} ± {half_width}");
    }
}

#[test]
fn a_change_is_measured_against_the_own_past() {
    let before: Vec<Numbered> =
        [1.0, 3.0, 1.0, 3.0].into_iter().zip(0..).map(|(value, number)| (number, value)).collect();
    let since = [(4, 5.0), (5, 7.0)];
    let found = Estimate::of_change(&before, &since).unwrap();
    assert_eq!((found.mean, found.before, found.since), (4.0, 4, 2));
    // (4 · 1 + 2 · 1) / (6 − 2)
    assert!((found.deviation - 1.5_f64.sqrt()).abs() < 1e-12);
    assert_eq!(Estimate::of_change(&before, &[]), None);
    assert_eq!(Estimate::of_change(&[(0, 1.0)], &[(1, 1.0)]), None, "no deviation from two values");
}

#[test]
fn earlier_runs_count_by_their_median_and_by_how_much_they_differ() {
    let since: Vec<Numbered> =
        (0..8).map(|number| (number, 1.0 + if number % 2 == 0 { 0.001 } else { -0.001 })).collect();
    let one = Estimate::of_runs(&[(1.0, 0.001, 20)], &since).unwrap();
    assert!(one.mean.abs() < 1e-12 && one.base_error < 0.001);
    let runs = [(0.99, 0.001, 20), (1.0, 0.001, 20), (1.03, 0.001, 20)];
    let several = Estimate::of_runs(&runs, &since).unwrap();
    assert!(several.mean.abs() < 1e-12, "the median of the runs");
    let spread = ((0.016_667_f64.powi(2) + 0.006_667_f64.powi(2) + 0.023_333_f64.powi(2)) / 2.0).sqrt();
    assert!((several.base_error - spread * (1.0 + std::f64::consts::FRAC_PI_2 / 3.0).sqrt()).abs() < 1e-5);
}

#[test]
fn of_several_metrics_the_first_is_tested_hardest() {
    let change = estimate(0.002, 0.0, 6, 36);
    let at = |alpha| change.half_width(alpha);
    // Beyond at α, not at α/2.
    let faint = 0.02 + (at(ALPHA) + at(ALPHA / 2.0)) / 2.0;
    assert_eq!(beyond_by_holm(&[(faint, &change, 0.02)]), [Some(ALPHA)]);
    assert_eq!(beyond_by_holm(&[(faint, &change, 0.02), (0.0, &change, 0.02)]), [None, None]);
    let clear = (0.1, &change, 0.02);
    let found = beyond_by_holm(&[(faint, &change, 0.02), clear]);
    assert_eq!(
        found,
        [Some(ALPHA), Some(ALPHA / 2.0)],
        "once the clear one is found, the other is tested at α"
    );
}
