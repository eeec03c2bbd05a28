//! Event rates: evidence becomes episodes, episodes and exposure become a rate with exact Poisson bounds.
//!
//! slices → **event_rate** → statuses

use serde::{Deserialize, Serialize};
use telemetry::facts::{EventRateStatus, Outcome};
use telemetry::{EventTime, Microseconds};

/// One-sided error of each bound.
const ALPHA: f64 = 0.05;

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

/// The rate per hour with its exact bounds: Garwood 1936, χ² quantiles written as Poisson probabilities.
pub(crate) fn status(
    count: u64,
    duration: Microseconds,
    exposure: Microseconds,
    per_hour_limit: f64,
) -> (EventRateStatus, Outcome) {
    let hours = exposure.as_seconds() / 3_600.0;
    let bounds = (hours > 0.0).then(|| (lower_mean(count) / hours, upper_mean(count) / hours));
    let outcome = match bounds {
        Some((lower, _)) if lower > per_hour_limit => Outcome::NotOk,
        Some((_, upper)) if upper < per_hour_limit => Outcome::Ok,
        Some(_) | None => Outcome::Unknown,
    };
    let status = EventRateStatus {
        count,
        duration,
        exposure,
        lower_per_hour: bounds.map(|(lower, _)| lower),
        upper_per_hour: bounds.map(|(_, upper)| upper),
    };
    (status, outcome)
}

/// The mean at which `count` or more events have probability α: χ²(α; 2n)/2.
fn lower_mean(count: u64) -> f64 {
    match count.checked_sub(1) {
        None => 0.0,
        Some(below) => bisect(|mean| 1.0 - poisson_at_most(below, mean) < ALPHA, count),
    }
}

/// The one-sided upper 95 % bound of a Poisson mean of which `count` events were seen, exact: the mean at which `count`
/// or fewer have probability α = .05, χ²(1 − α; 2n + 2)/2. Garwood 1936.
pub fn upper_mean(count: u64) -> f64 {
    if count == 0 {
        // By far the most common: P(N = 0) = exp(−mean).
        return -libm::log(ALPHA);
    }
    bisect(|mean| poisson_at_most(count, mean) > ALPHA, count)
}

/// The largest mean for which `is_low` holds. Sixty halvings of a bracket that is wide enough for every count leave
/// an error below 1e-12 of it, and the same bytes on every host.
fn bisect(is_low: impl Fn(f64) -> bool, count: u64) -> f64 {
    let count = count as f64;
    let (mut low, mut high) = (0.0, count + 10.0 * count.sqrt() + 10.0);
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

    fn close(value: f64, expected: f64, tolerance: f64) -> bool {
        (value - expected).abs() <= tolerance
    }

    #[test]
    fn the_bounds_are_those_of_garwoods_tables() {
        // n events in 24 h, 90 % two-sided: (n, lower mean, upper mean).
        for (count, lower, upper) in
            [(0, 0.0, 2.9957), (1, 0.0513, 4.7439), (3, 0.8177, 7.7537), (10, 5.4254, 16.9622)]
        {
            assert!(close(lower_mean(count), lower, 1e-4), "{count}: {}", lower_mean(count));
            assert!(close(upper_mean(count), upper, 1e-4), "{count}: {}", upper_mean(count));
        }
        // For large counts close to the normal approximation n ± 1.645 √n.
        assert!(close(upper_mean(10_000), 10_000.0 + 164.5, 3.0), "{}", upper_mean(10_000));
        assert!(close(lower_mean(10_000), 10_000.0 - 164.5, 3.0), "{}", lower_mean(10_000));
    }

    #[test]
    fn twenty_quiet_minutes_cannot_promise_one_an_hour() {
        let (_, outcome) = status(0, Microseconds::ZERO, Microseconds::from_minutes(20), 1.0);
        assert_eq!(outcome, Outcome::Unknown);
        let (_, outcome) = status(0, Microseconds::ZERO, Microseconds::from_hours(3), 1.0);
        assert_eq!(outcome, Outcome::Ok);
        let (_, outcome) = status(9, Microseconds::ZERO, Microseconds::from_hours(1), 1.0);
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
