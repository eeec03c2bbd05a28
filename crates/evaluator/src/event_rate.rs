//! Event rates: evidence becomes episodes, episodes and exposure become a rate with exact Poisson bounds.
//!
//! slices → **event_rate** → statuses

use serde::{Deserialize, Serialize};
use telemetry::facts::{EventRateStatus, Outcome};
use telemetry::{EventTime, Microseconds};

use crate::proportion::{ALPHA, beta_shares};

/// A span of evidence, or one instant of it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Evidence {
    /// Its first instant.
    pub first: EventTime,
    /// Its last.
    pub last: EventTime,
    /// How long the thing lasted, by the evidence.
    pub amount: Microseconds,
}

/// The episode that evidence is being added to, whichever place it came from.
#[derive(Debug, Default, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Episodes {
    /// Last evidence and sum of the amounts.
    open: Option<(EventTime, Microseconds)>,
}

/// What one piece of evidence adds to the window.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Added {
    /// One, when an episode has just reached the noise floor.
    pub events: u64,
    /// Its length so far at that moment, and what is added to it afterwards.
    pub time: Microseconds,
}

impl Episodes {
    /// Adds evidence, in order of time. Evidence closer than `merge_within` belongs to the same episode, which
    /// counts from the moment at which its amount reaches `noise_floor`.
    pub(crate) fn add(
        &mut self,
        evidence: Evidence,
        merge_within: Microseconds,
        noise_floor: Microseconds,
    ) -> Added {
        let before = match self.open {
            Some((last, amount)) if evidence.first - last < merge_within => Some(amount),
            _ => None,
        };
        let amount = before.unwrap_or(Microseconds::ZERO) + evidence.amount;
        let last = self.open.map_or(evidence.last, |(last, _)| last.max(evidence.last));
        self.open = Some((if before.is_some() { last } else { evidence.last }, amount));
        let counted_before = before.is_some_and(|before| noise_floor <= before);
        match (counted_before, noise_floor <= amount) {
            (true, _) => Added { events: 0, time: evidence.amount },
            (false, true) => Added { events: 1, time: amount },
            (false, false) => Added::default(),
        }
    }
}

/// Fewer hours than this say nothing about clusters.
const HOURS_MINIMUM: u64 = 10;

/// Variance by mean of the events in each of so many hours, from their sum and the sum of their squares (Fano 1947);
/// `None` for too few hours or no event.
pub(crate) fn fano_factor(hours: u64, events: u64, squares: u64) -> Option<f64> {
    if hours < HOURS_MINIMUM || events == 0 {
        return None;
    }
    // (n Σx² − (Σx)²) / ((n − 1) Σx): whole numbers up to the one division, so that 2 is 2.
    let (hours, events, squares) = (u128::from(hours), u128::from(events), u128::from(squares));
    let spread = (hours * squares).saturating_sub(events * events);
    Some(spread as f64 / ((hours - 1) * events) as f64)
}

/// The rate per hour with its exact bounds: Garwood 1936, χ² quantiles written as Poisson probabilities. Events that
/// come in clusters get the wider ones of a negative binomial distribution with their Fano factor.
pub(crate) fn status(
    (count, duration): (u64, Microseconds),
    exposure: Microseconds,
    fano_factor: Option<f64>,
    per_hour_limit: f64,
) -> (EventRateStatus, Outcome) {
    let mut status = EventRateStatus {
        count,
        duration,
        exposure,
        lower_per_hour: None,
        upper_per_hour: None,
        fano_factor,
    };
    let hours = exposure.as_seconds() / 3_600.0;
    if hours <= 0.0 {
        return (status, Outcome::Unknown);
    }
    let (mut lower, mut upper) = (lower_mean(count), upper_mean(count));
    if let Some(factor) = status.over_dispersion() {
        let (lower_clustered, upper_clustered) = clustered_means(count, factor);
        // Of very few events the clustered lower bound is the higher one: nothing is ever narrowed.
        (lower, upper) = (lower.min(lower_clustered), upper.max(upper_clustered));
    }
    let (lower, upper) = (lower / hours, upper / hours);
    (status.lower_per_hour, status.upper_per_hour) = (Some(lower), Some(upper));
    let outcome = if lower > per_hour_limit {
        Outcome::NotOk
    } else if upper < per_hour_limit {
        Outcome::Ok
    } else {
        Outcome::Unknown
    };
    (status, outcome)
}

/// The bounds of the mean of a negative binomial variable whose variance is `factor` times its mean, more than 1:
/// with r = mean/(factor − 1) and p = 1/factor, P(N <= n) = I_p(r, n + 1) (Johnson, Kemp & Kotz, Univariate Discrete
/// Distributions).
fn clustered_means(count: u64, factor: f64) -> (f64, f64) {
    let shares = |mean: f64, count: u64| beta_shares(mean / (factor - 1.0), count as f64, 1.0 / factor);
    let high = count as f64 + 10.0 * libm::sqrt(factor * count as f64) + 20.0 * factor;
    let lower = match count {
        0 => 0.0,
        count => bisect(|mean| shares(mean, count).1 < ALPHA, high),
    };
    (lower, bisect(|mean| shares(mean, count + 1).0 > ALPHA, high))
}

/// The mean at which `count` or more events have probability α: χ²(α; 2n)/2.
fn lower_mean(count: u64) -> f64 {
    match count.checked_sub(1) {
        None => 0.0,
        Some(below) => bisect(|mean| 1.0 - poisson_at_most(below, mean) < ALPHA, widest(count)),
    }
}

/// The one-sided upper 95 % bound of a Poisson mean of which `count` events were seen, exact: the mean at which `count`
/// or fewer have probability α = .05, χ²(1 − α; 2n + 2)/2. Garwood 1936.
pub fn upper_mean(count: u64) -> f64 {
    if count == 0 {
        // By far the most common: P(N = 0) = exp(−mean).
        return -libm::log(ALPHA);
    }
    bisect(|mean| poisson_at_most(count, mean) > ALPHA, widest(count))
}

/// More than the bounds of any count reach.
fn widest(count: u64) -> f64 {
    let count = count as f64;
    count + 10.0 * libm::sqrt(count) + 10.0
}

/// The largest mean up to `high` for which `is_low` holds. Sixty halvings leave an error below 1e-12 of it, and the
/// same bytes on every host.
fn bisect(is_low: impl Fn(f64) -> bool, high: f64) -> f64 {
    let (mut low, mut high) = (0.0, high);
    for _ in 0..60 {
        let middle = (low + high) / 2.0;
        if is_low(middle) {
            low = middle;
        } else {
            high = middle;
        }
    }
    (low + high) / 2.0
}

/// P(N ≤ count) of a Poisson variable, summed from its largest term down so that nothing underflows.
fn poisson_at_most(count: u64, mean: f64) -> f64 {
    if mean <= 0.0 {
        return 1.0;
    }
    let n = count as f64;
    let log_term = n * libm::log(mean) - mean - libm::lgamma(n + 1.0);
    if n <= mean {
        // The terms fall from n downwards.
        return libm::exp(log_term) * falling_sum(|k| (n - k) / mean, n);
    }
    // The terms rise up to the mean and fall above it: one less those above n.
    let next = log_term + libm::log(mean / (n + 1.0));
    1.0 - libm::exp(next) * falling_sum(|k| mean / (n + 2.0 + k), f64::INFINITY)
}

/// 1 + r₀ + r₀r₁ + … for ratios below 1, until a term no longer matters.
fn falling_sum(ratio: impl Fn(f64) -> f64, terms: f64) -> f64 {
    let (mut sum, mut term, mut k) = (1.0, 1.0, 0.0);
    while k < terms {
        term *= ratio(k);
        sum += term;
        if term < sum * 1e-17 {
            break;
        }
        k += 1.0;
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_close(value: f64, expected: f64) -> bool {
        (value - expected).abs() <= 1e-9 * expected.abs()
    }

    /// scipy: lower = stats.chi2.ppf(0.05, 2n) / 2, upper = stats.chi2.isf(0.05, 2n + 2) / 2.
    #[test]
    fn the_bounds_are_garwoods_as_scipy_computes_them() {
        for (count, lower, upper) in [
            (0, 0.0, 2.995_732_273_553_991_3),
            (1, 0.051_293_294_387_550_53, 4.743_864_518_390_579),
            (2, 0.355_361_510_698_661_95, 6.295_793_621_871_99),
            (3, 0.817_691_447_163_953_4, 7.753_656_527_932_727),
            (10, 5.425_405_697_091_295, 16.962_219_235_721_896),
            (50, 38.964_732_582_508_63, 63.287_074_095_747_165),
            (100, 84.139_277_218_314_19, 118.079_272_782_097_06),
            (1_000, 948.559_849_383_651_1, 1_053.603_122_133_300_8),
            (10_000, 9_836.085_110_855_192, 10_166.060_136_127_071),
            (1_000_000, 998_355.715_083_717_8, 1_001_646.422_767_616_8),
        ] {
            let bounds = (lower_mean(count), upper_mean(count));
            assert!(is_close(bounds.0, lower), "{count}: lower {} for {lower}", bounds.0);
            assert!(is_close(bounds.1, upper), "{count}: upper {} for {upper}", bounds.1);
        }
    }

    /// scipy, with r = mean / (F - 1) and p = 1 / F: the mean where stats.nbinom.sf(n - 1, r, p), and where
    /// stats.nbinom.cdf(n, r, p), is 0.05, by optimize.brentq to 1e-14.
    #[test]
    fn the_bounds_of_clustered_events_are_those_of_a_negative_binomial_distribution() {
        for (factor, count, lower, upper) in [
            (2.5, 0, 0.0, 4.904_118_588_147_135),
            (2.5, 1, 0.083_968_918_275_485_7, 7.108_081_452_047_727),
            (2.5, 3, 0.447_884_009_724_436, 10.722_222_360_732_793),
            (2.5, 10, 3.669_658_696_676_112_4, 21.234_106_720_571_997),
            (2.5, 100, 75.784_242_157_038_08, 128.836_345_028_731_47),
            (2.5, 1_000, 919.516_910_762_159_7, 1_085.014_094_216_381_4),
            (4.0, 0, 0.0, 6.482_892_142_331_043_5),
            (4.0, 1, 0.111_000_872_165_665_3, 9.040_239_901_268_674),
            (4.0, 3, 0.397_651_470_800_903_46, 13.111_477_263_863_799),
            (4.0, 10, 2.803_829_761_572_261, 24.588_097_488_223_994),
            (4.0, 100, 70.114_580_799_103_49, 136.897_774_727_871_17),
            (4.0, 1_000, 898.919_588_073_261_7, 1_107.975_536_972_449_4),
            (10.0, 0, 0.0, 11.709_269_960_975_842),
            (10.0, 1, 0.200_487_552_400_370_1, 15.344_173_095_536_775),
            (10.0, 3, 0.452_798_002_602_625_6, 20.774_084_990_847_42),
            (10.0, 10, 1.756_564_673_111_700_4, 35.044_162_883_426_05),
            (10.0, 100, 55.974_420_307_252_224, 160.589_071_379_479_46),
            (10.0, 1_000, 843.250_762_104_491_3, 1_173.090_291_434_899_7),
        ] {
            let bounds = clustered_means(count, factor);
            assert!(is_close(bounds.0, lower), "{count}, {factor}: lower {} for {lower}", bounds.0);
            assert!(is_close(bounds.1, upper), "{count}, {factor}: upper {} for {upper}", bounds.1);
        }
        let (lower, upper) = clustered_means(10, 1.0 + 1e-6);
        assert!(
            (lower - lower_mean(10)).abs() < 1e-4 && (upper - upper_mean(10)).abs() < 1e-4,
            "of no clusters"
        );
    }

    #[test]
    fn clusters_are_seen_from_ten_hours_on_and_widen_the_bounds_and_never_narrow_them() {
        // Six episodes in one of 24 hours: mean 0.25, variance (36 - 36/24)/23 = 1.5.
        assert_eq!(fano_factor(24, 6, 36), Some(6.0));
        assert_eq!(fano_factor(24, 6, 6).map(|factor| factor < 1.0), Some(true), "one an hour at most");
        assert_eq!(fano_factor(24, 2, 4), Some(2.0), "two at once are not more than the limit");
        assert_eq!((fano_factor(9, 6, 36), fano_factor(24, 0, 0)), (None, None));
        let day = Microseconds::from_hours(24);
        let bounds = |count, factor| {
            let (status, outcome) = status((count, Microseconds::ZERO), day, factor, 0.1);
            (status.lower_per_hour.unwrap(), status.upper_per_hour.unwrap(), outcome)
        };
        let (independent, clustered) = (bounds(6, Some(1.0)), bounds(6, Some(6.0)));
        assert_eq!(
            (independent.2, clustered.2),
            (Outcome::NotOk, Outcome::Unknown),
            "one bad hour is one bad hour"
        );
        for count in 0..50 {
            let (narrow, wide) = (bounds(count, None), bounds(count, Some(3.0)));
            assert!(wide.0 <= narrow.0 && narrow.1 <= wide.1, "{count}: {narrow:?} {wide:?}");
        }
    }

    /// 3.0 h by the limit, without an episode; with n episodes the upper bound of n.
    #[test]
    fn a_rate_without_an_episode_is_shown_by_three_hours_an_episode_an_hour() {
        for (hours, limit, expected) in [
            (2.99, 1.0, Outcome::Unknown),
            (3.0, 1.0, Outcome::Ok),
            (5.99, 0.5, Outcome::Unknown),
            (6.0, 0.5, Outcome::Ok),
        ] {
            let exposure = Microseconds((hours * 3.6e9) as i64);
            assert_eq!(
                status((0, Microseconds::ZERO), exposure, None, limit).1,
                expected,
                "{hours} h, {limit}/h"
            );
        }
        let (day, _) = status((1, Microseconds::ZERO), Microseconds::from_hours(24), None, 1.0);
        assert!(
            (day.lower_per_hour.unwrap() - 0.0021).abs() < 5e-5
                && (day.upper_per_hour.unwrap() - 0.198).abs() < 5e-4
        );
    }

    #[test]
    fn twenty_quiet_minutes_cannot_promise_one_an_hour() {
        let (_, outcome) = status((0, Microseconds::ZERO), Microseconds::from_minutes(20), None, 1.0);
        assert_eq!(outcome, Outcome::Unknown);
        let (_, outcome) = status((0, Microseconds::ZERO), Microseconds::from_hours(3), None, 1.0);
        assert_eq!(outcome, Outcome::Ok);
        let (_, outcome) = status((9, Microseconds::ZERO), Microseconds::from_hours(1), None, 1.0);
        assert_eq!(outcome, Outcome::NotOk);
    }

    #[test]
    fn evidence_within_a_minute_is_one_episode_and_noise_does_not_count() {
        let at = |seconds: i64| EventTime::from_unix_micros(seconds * 1_000_000);
        let (merge, floor) = (Microseconds::from_seconds(60), Microseconds::from_seconds(1));
        let mut episodes = Episodes::default();
        let mut add = |seconds, milliseconds| {
            let amount = Microseconds::from_milliseconds(milliseconds);
            episodes.add(Evidence { first: at(seconds), last: at(seconds), amount }, merge, floor)
        };
        let added =
            |events, milliseconds| Added { events, time: Microseconds::from_milliseconds(milliseconds) };
        assert_eq!(add(0, 600), added(0, 0), "below the floor");
        assert_eq!(add(30, 600), added(1, 1_200), "above it together");
        assert_eq!(add(89, 500), added(0, 500), "the same episode");
        assert_eq!(add(149, 400), added(0, 0), "60 s later: a new one");
        assert_eq!(add(300, 2_000), added(1, 2_000));
    }
}
