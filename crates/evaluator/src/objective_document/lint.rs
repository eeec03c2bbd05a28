//! What can be said about an objective before a single reading is in: alerts that can never fire, or at a whim.

use telemetry::Microseconds;
use telemetry::facts::Scope;

use super::Remark;
use crate::objective::{BurnPair, BurnScale, MILLION, Objective, Promise, TimeInBounds};
use crate::proportion::trials_without_failure;

/// Why an objective is refused, and what is only remarked.
pub struct Findings {
    pub refused: Vec<String>,
    pub remarks: Vec<Remark>,
}

/// The shortest window over which a slope can be significant: of n blocks, each above the one before,
/// z = (n(n−1)/2 − 1) / √(n(n−1)(2n+5)/18), which is 3.9 for 10 blocks and 4.2 for 11.
const SIGNIFICANT_WINDOW: Microseconds = Microseconds::from_minutes(11);

/// Looks at the alerts of an objective.
pub fn findings(objective: &Objective, says_noise_floor: bool) -> Findings {
    let mut findings = Findings { refused: Vec::new(), remarks: Vec::new() };
    match &objective.promise {
        Promise::TimeInBounds(promise) => burn_rates(objective, promise, &mut findings),
        Promise::HardLimit(_) if !says_noise_floor => findings.remarks.push(Remark::warning(
            objective,
            "zero tolerance without a noise floor: one reading out of limits breaks it for good; \
             say `noiseFloor: 0s` if that is meant, else such as 1s",
        )),
        Promise::Trend(promise) if promise.window < SIGNIFICANT_WINDOW => {
            findings.remarks.push(Remark::warning(
                objective,
                format!(
                    "its slope over {} is told and never breaks it: of fewer than 11 blocks of 60s no slope is \
                     significant (Mann-Kendall |z| > 4); set `window` to {SIGNIFICANT_WINDOW} or more",
                    promise.window
                ),
            ));
        }
        Promise::RecoveryTime(promise) => {
            if let Some(bursts) = trials_without_failure(share(promise.target_ppm)) {
                findings.remarks.push(Remark::note(
                    objective,
                    format!(
                        "a share of {} is shown by {bursts} bursts at least, all in time; until then it is unknown: \
                         a short run caps the late ones instead (`atMost` in a gate policy)",
                        share(promise.target_ppm)
                    ),
                ));
            }
        }
        Promise::HardLimit(_) | Promise::EventRate(_) | Promise::Trend(_) => {}
    }
    findings
}

fn burn_rates(objective: &Objective, promise: &TimeInBounds, findings: &mut Findings) {
    let budget_ppm = MILLION - u64::from(promise.target_ppm);
    let burn = &promise.burn;
    let rates = burn.pairs.iter().map(|pair| (named(pair), pair.factor_ppm));
    for (name, factor_ppm) in rates.chain([("budgetShareAlert".to_owned(), burn.budget_share_alert.burn_ppm)])
    {
        if let Some(message) = never_fires(&name, factor_ppm, budget_ppm, promise.target_ppm) {
            findings.refused.push(format!("{message}; policy {:?}", burn.name));
        }
    }
    if !findings.refused.is_empty() {
        return;
    }
    let scaled = burn.pairs_for(objective.window, objective.judged_unit);
    let is_scaled_later = objective.scope == Scope::Run && burn.scale == BurnScale::Window;
    if is_scaled_later {
        return;
    }
    for pair in &scaled.dropped {
        findings.refused.push(format!(
            "policy {:?}, {}: its short window of {} holds fewer than 3 judged units of {}, so one unit decides; \
             lengthen the window or shorten the units",
            burn.name,
            named(&pair.scaled),
            pair.scaled.short,
            objective.judged_unit
        ));
    }
    let mut fires_from = Vec::new();
    for pair in &scaled.kept {
        if pair.long > objective.window {
            let message = format!(
                "policy {:?}, {}: its long window is longer than the objective's window of {}",
                burn.name,
                named(pair),
                objective.window
            );
            findings.remarks.push(Remark::warning(objective, message));
        }
        let least =
            least_bad_units(pair, budget_ppm, objective.judged_unit).max(u64::from(burn.minimum_bad_units));
        if least == 1 {
            findings.refused.push(format!(
                "policy {:?}, {}: a single bad unit of {} fires it; set minBadUnits to 2, or write a hard limit",
                burn.name,
                named(pair),
                objective.judged_unit
            ));
        }
        let bad_time =
            Microseconds(objective.judged_unit.0.saturating_mul(i64::try_from(least).unwrap_or(i64::MAX)));
        fires_from.push(format!(
            "{} from {least} bad units of {} ({bad_time} in {})",
            named(pair),
            objective.judged_unit,
            pair.long
        ));
    }
    if !fires_from.is_empty() {
        findings.remarks.push(Remark::note(objective, format!("fires: {}", fires_from.join("; "))));
    }
}

fn named(pair: &BurnPair) -> String {
    format!("{} {}/{} x{}", pair.severity.name(), pair.long, pair.short, factor(pair.factor_ppm))
}

fn share(ppm: u32) -> f64 {
    factor(u64::from(ppm))
}

/// 14 400 000 ppm as `14.4`.
fn factor(ppm: u64) -> f64 {
    ppm as f64 / MILLION as f64
}

/// A burn rate is at most 1/budget, so a factor of that or more is never exceeded (in integers:
/// factor · budget >= 10^12 in parts per million).
fn never_fires(name: &str, factor_ppm: u64, budget_ppm: u64, target_ppm: u32) -> Option<String> {
    let product = u128::from(factor_ppm) * u128::from(budget_ppm);
    if product < u128::from(MILLION) * u128::from(MILLION) {
        return None;
    }
    Some(format!(
        "{name} can never fire: at target {} all time bad burns {} times the budget at most \
         ({} x (1 - {}) = {} >= 1); raise the target or lower the factor",
        factor(u64::from(target_ppm)),
        rounded(MILLION as f64 / budget_ppm as f64),
        factor(factor_ppm),
        factor(u64::from(target_ppm)),
        product as f64 / (MILLION * MILLION) as f64,
    ))
}

/// Three decimals, for people.
fn rounded(value: f64) -> f64 {
    libm::round(value * 1e3) / 1e3
}

/// The least number of bad units in a full long window that reaches the factor: ceil(factor · budget · units).
pub fn least_bad_units(pair: &BurnPair, budget_ppm: u64, judged_unit: Microseconds) -> u64 {
    let units = u128::try_from(pair.long.0 / judged_unit.0.max(1)).unwrap_or(0);
    let scaled = u128::from(pair.factor_ppm) * u128::from(budget_ppm) * units;
    u64::try_from(scaled.div_ceil(u128::from(MILLION * MILLION))).unwrap_or(u64::MAX)
}

/// Known time without an episode, per unit of limit, that shows a rate: −ln 0.05 = 2.9957 (the exact Poisson upper
/// 95 % bound of no events, Garwood 1936), written as 3.0 where people read it.
const EXPOSURE_AT_LIMIT: f64 = 2.995_732_273_553_991;

/// Why an objective cannot pass within `deadline` of a run's start, if that is so. For gates whose `waitFor` is
/// that long.
pub fn cannot_pass_within(objective: &Objective, deadline: Microseconds) -> Option<String> {
    let cannot = |needs: String| {
        Some(format!("objective {:?} cannot pass within {deadline}: {needs}", objective.name))
    };
    match &objective.promise {
        Promise::EventRate(_) => {
            let needed = Microseconds((EXPOSURE_AT_LIMIT / objective.threshold * 3.6e9) as i64);
            if needed <= deadline {
                return None;
            }
            let minutes = Microseconds::from_minutes((needed.0 + 59_999_999) / 60_000_000);
            cannot(format!(
                "to show at most {} episodes an hour it needs 3.0/{} h = {minutes} of known time without one; \
                 count them instead (`atMost: 0` with a `noiseFloor`), or wait longer",
                objective.threshold, objective.threshold
            ))
        }
        Promise::RecoveryTime(promise) => {
            let bursts = trials_without_failure(share(promise.target_ppm))?;
            let shortest = promise.hold + promise.trigger.debounce;
            let needed = Microseconds(shortest.0.saturating_mul(i64::try_from(bursts).unwrap_or(i64::MAX)));
            if needed <= deadline {
                return None;
            }
            cannot(format!(
                "to show that {} of bursts settle in time it needs {bursts} of them, all in time, of {shortest} each at \
                 least; cap the late ones instead (`atMost`), or wait longer",
                share(promise.target_ppm)
            ))
        }
        Promise::Trend(trend) if deadline < trend.window => cannot(format!(
            "its slope is estimated over {}; shorten that window, or wait longer",
            trend.window
        )),
        Promise::TimeInBounds(_) if deadline <= objective.warmup + objective.judged_unit => cannot(format!(
            "its warm-up of {} and one judged unit of {} take longer; wait longer",
            objective.warmup, objective.judged_unit
        )),
        Promise::Trend(_) | Promise::TimeInBounds(_) | Promise::HardLimit(_) => None,
    }
}
