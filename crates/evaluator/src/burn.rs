//! Burn rates: how fast an error budget is spent, over a long and a short window together.
//!
//! judged units → rings → **burn** → alerts

use serde::{Deserialize, Serialize};
use telemetry::facts::{BurnStatus, TimeByState};
use telemetry::{EventTime, Microseconds};

use crate::judge::wide;
use crate::objective::{BurnPair, MILLION, Tier};
use crate::ring::Ring;

/// What a burn condition says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Burn {
    /// It has definitely reached the factor, whatever the unknown time was.
    Fires,
    /// It has not, or it may have: neither fires nor clears.
    Holds,
    /// It has definitely not, even if all unknown time was bad.
    Clears,
}

/// `burn >= factor`, as bad / (asked × ε) with ε = 1 − target: all in integers.
pub(crate) fn reaches_factor(
    bad: Microseconds,
    asked: Microseconds,
    factor_ppm: u64,
    target_ppm: u32,
) -> bool {
    let budget = u128::from(MILLION) - u128::from(target_ppm);
    let trillion = u128::from(MILLION) * u128::from(MILLION);
    asked > Microseconds::ZERO && wide(bad) * trillion >= u128::from(factor_ppm) * budget * wide(asked)
}

/// One window: does it reach the factor for sure, perhaps, or not at all?
fn judge_window(time: TimeByState, factor_ppm: u64, target_ppm: u32) -> Burn {
    if reaches_factor(time.bad, time.asked(), factor_ppm, target_ppm) {
        Burn::Fires
    } else if reaches_factor(time.bad + time.unknown, time.asked(), factor_ppm, target_ppm) {
        Burn::Holds
    } else {
        Burn::Clears
    }
}

/// Bad by known time by the error budget: the burn that is shown.
pub(crate) fn burn_rate(time: TimeByState, target_ppm: u32) -> Option<f64> {
    let budget = (MILLION - u64::from(target_ppm)) as f64 / MILLION as f64;
    (time.known() > Microseconds::ZERO && budget > 0.0)
        .then(|| time.bad.0 as f64 / time.known().0 as f64 / budget)
}

/// A pair of windows with their rings.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct PairOfWindows {
    /// `page` or `ticket`.
    pub severity_is_page: bool,
    factor_ppm: u64,
    long: Ring,
    short: Ring,
    /// At the last boundary.
    pub burn: Burn,
    /// Whether asked time fills the long window.
    ready: bool,
}

impl PairOfWindows {
    pub(crate) fn new(pair: &BurnPair, judged_unit: Microseconds) -> Self {
        Self {
            severity_is_page: pair.severity == Tier::Page,
            factor_ppm: pair.factor_ppm,
            long: Ring::new(pair.long, judged_unit),
            short: Ring::new(pair.short, judged_unit),
            burn: Burn::Clears,
            ready: false,
        }
    }

    /// Adds a judged unit [`start`, `end`) of a window that is asked from `since`. Says whether the pair was judged
    /// anew: it is at each boundary of the short window's buckets.
    pub(crate) fn add(
        &mut self,
        start: EventTime,
        end: EventTime,
        time: TimeByState,
        since: EventTime,
        rule: FireRule,
    ) -> bool {
        self.long.add(start, time);
        self.short.add(start, time);
        let completed = self.short.go_on_to(end);
        if self.long.go_on_to(end) | completed {
            self.judge(since, rule);
            return true;
        }
        false
    }

    fn judge(&mut self, since: EventTime, rule: FireRule) {
        let (long, short) = (self.long.sum(), self.short.sum());
        self.ready = self.long.end().is_some_and(|end| self.long.window() <= end - since);
        let windows = [long, short].map(|time| judge_window(time, self.factor_ppm, rule.target_ppm));
        let is_enough = wide(rule.judged_unit) * u128::from(rule.minimum_bad_units) <= wide(long.bad);
        self.burn = match windows {
            [Burn::Clears, _] | [_, Burn::Clears] => Burn::Clears,
            [Burn::Fires, Burn::Fires] if self.ready && is_enough => Burn::Fires,
            // Too short a past, or too few bad units: it does not fire, and there is nothing to hold either.
            [Burn::Fires, Burn::Fires] => Burn::Clears,
            [Burn::Holds, _] | [_, Burn::Holds] => Burn::Holds,
        };
    }

    /// `1h/5m`.
    pub(crate) fn name(&self) -> String {
        format!("{}/{}", self.long.window(), self.short.window())
    }

    /// For the facts.
    pub(crate) fn status(&self, target_ppm: u32) -> BurnStatus {
        BurnStatus {
            severity: if self.severity_is_page { "page".into() } else { "ticket".into() },
            long: self.long.window(),
            short: self.short.window(),
            factor_ppm: self.factor_ppm,
            burn_long: burn_rate(self.long.sum(), target_ppm),
            burn_short: burn_rate(self.short.sum(), target_ppm),
            ready: self.ready,
            firing: self.burn == Burn::Fires,
        }
    }
}

/// What the rule for firing needs of the objective.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FireRule {
    /// Share promised.
    pub target_ppm: u32,
    /// Fewer bad units in the long window never fire.
    pub minimum_bad_units: u32,
    /// The length of one.
    pub judged_unit: Microseconds,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burn_on_the_factor_fires_although_floating_point_misses_it() {
        // 6 × (1 − 0.99) × 100 is 6.000000000000005 in f64.
        let (bad, asked) = (Microseconds::from_seconds(6), Microseconds::from_seconds(100));
        assert!(reaches_factor(bad, asked, 6_000_000, 990_000));
        assert!(!reaches_factor(bad - Microseconds(1), asked, 6_000_000, 990_000));
        assert!(!reaches_factor(Microseconds::ZERO, Microseconds::ZERO, 6_000_000, 990_000));
    }

    #[test]
    fn unknown_time_holds_and_good_time_clears() {
        let seconds = Microseconds::from_seconds;
        let time = |good, bad, unknown| TimeByState {
            good: seconds(good),
            bad: seconds(bad),
            unknown: seconds(unknown),
        };
        let judge = |time| judge_window(time, 6_000_000, 990_000);
        assert_eq!(judge(time(94, 6, 0)), Burn::Fires);
        assert_eq!(judge(time(90, 5, 5)), Burn::Holds);
        assert_eq!(judge(time(95, 5, 0)), Burn::Clears);
    }
}
