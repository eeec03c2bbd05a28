//! `kind: BurnRatePolicy`: when the alerts of an objective fire.
//!
//! ```yaml
//! apiVersion: thermogate.dev/v1alpha1
//! kind: BurnRatePolicy
//! metadata: {name: thermal-run}
//! spec:
//!   scale: window      # fixed | window: written for 30d, scaled to the objective's window or a run's planned length
//!   pairs:             # factor, or budgetShare: the share of the budget that is spent when the pair fires
//!     - {severity: page, long: 6h, short: 30m, factor: 6}
//!   budgetShareAlert: {severity: page, share: 0.05, burn: 2}     # when a run is too short for every pair
//!   for: 0s
//!   keepFiringFor: 5m
//!   minBadUnits: 2
//!   holdTimeout: 6h
//! ```

use telemetry::{Microseconds, Name};

use super::fields::{Field, Fields};
use super::openslo::metadata;
use crate::objective::{
    BudgetShareAlert, BurnPair, BurnRatePolicy, BurnScale, MILLION, REFERENCE_PERIOD, Tier,
};

/// The policies of all files.
#[derive(Default)]
pub struct Policies {
    pub read: Vec<WrittenPolicy>,
    /// Names of those that could not be read: said once, not again by each objective.
    pub refused: Vec<String>,
}

/// A policy as written: factors that are given as shares of the budget depend on the objective's window.
pub struct WrittenPolicy {
    policy: BurnRatePolicy,
    /// For each pair its share of the budget, where that is how it is written.
    budget_shares_ppm: Vec<Option<u64>>,
}

impl WrittenPolicy {
    pub fn name(&self) -> &Name {
        &self.policy.name
    }

    /// The policy of an objective with this window. A ticket objective wakes nobody: its pages are tickets.
    pub fn for_objective(&self, window: Microseconds, tier: Tier) -> BurnRatePolicy {
        let mut policy = self.policy.clone();
        let period = match policy.scale {
            BurnScale::Fixed => window,
            BurnScale::Window => REFERENCE_PERIOD,
        };
        for (pair, share_ppm) in policy.pairs.iter_mut().zip(&self.budget_shares_ppm) {
            pair.severity = pair.severity.max(tier);
            if let Some(share_ppm) = share_ppm {
                let factor = i128::from(*share_ppm) * i128::from(period.0) / i128::from(pair.long.0);
                pair.factor_ppm = u64::try_from(factor).unwrap_or(u64::MAX);
            }
        }
        policy.budget_share_alert.severity = policy.budget_share_alert.severity.max(tier);
        policy
    }
}

/// Reads a `kind: BurnRatePolicy`.
pub fn burn_rate_policy(object: &Fields<'_>) -> Option<WrittenPolicy> {
    let metadata = metadata(object);
    let spec = object.require("spec")?.fields()?;
    let scale = spec.get("scale").map_or(Some(BurnScale::Window), |field| {
        field.word(&[("fixed", BurnScale::Fixed), ("window", BurnScale::Window)])
    });
    let pairs = spec.require("pairs").and_then(|field| match field.list()? {
        list if list.is_empty() => field.refuse("one pair at least is needed"),
        list => Some(list.iter().map(pair).collect::<Vec<_>>()),
    });
    let alert = match spec.get("budgetShareAlert") {
        Some(field) => budget_share_alert(&field),
        None => Some(BudgetShareAlert { severity: Tier::Page, share_ppm: 50_000, burn_ppm: 2 * MILLION }),
    };
    let length = |name, default: Microseconds| spec.get(name).map_or(Some(default), |field| field.length());
    let for_ = length("for", Microseconds::ZERO);
    let keep_firing_for = length("keepFiringFor", Microseconds::from_minutes(5));
    let hold_timeout = length("holdTimeout", Microseconds::from_hours(6));
    let minimum_bad_units = spec.get("minBadUnits").map_or(Some(2), |field| match field.number()? {
        units if (1.0..=1e6).contains(&units) && units == libm::trunc(units) => Some(units as u32),
        units => field.refuse(format!("{units} is no count of judged units: give a whole number from 1")),
    });
    spec.close();
    let (pairs, budget_shares_ppm) = pairs?.into_iter().collect::<Option<Vec<_>>>()?.into_iter().unzip();
    let policy = BurnRatePolicy {
        name: metadata?.name.into(),
        scale: scale?,
        pairs,
        budget_share_alert: alert?,
        for_: for_?,
        keep_firing_for: keep_firing_for?,
        minimum_bad_units: minimum_bad_units?,
        hold_timeout: hold_timeout?,
    };
    Some(WrittenPolicy { policy, budget_shares_ppm })
}

fn severity(field: &Field<'_>) -> Option<Tier> {
    field.word(&[(Tier::Page.name(), Tier::Page), (Tier::Ticket.name(), Tier::Ticket)])
}

fn pair(field: &Field<'_>) -> Option<(BurnPair, Option<u64>)> {
    let fields = field.fields()?;
    let severity = fields.require("severity").and_then(|field| severity(&field));
    let long = fields.require("long").and_then(|field| field.positive_length());
    let short = fields.require("short").and_then(|field| field.positive_length());
    let (factor, share) = (fields.get("factor"), fields.get("budgetShare"));
    fields.close();
    let (factor_ppm, share_ppm) = match (factor, share) {
        (Some(field), None) => match field.millionths(field.number()?)? {
            0 => return field.refuse("0 would always fire: give a burn rate such as 6"),
            factor => (factor, None),
        },
        (None, Some(field)) => match field.share_ppm()? {
            0 => return field.refuse("0 would always fire: give a share of the budget such as 0.05"),
            share => (0, Some(share)),
        },
        (Some(_), Some(field)) => return field.refuse("give either `factor` or `budgetShare`, not both"),
        (None, None) => return field.refuse("give `factor` or `budgetShare`"),
    };
    let (long, short) = (long?, short?);
    if long <= short {
        return field.refuse(format!(
            "the short window {short} must be shorter than the long one {long}; a twelfth is usual"
        ));
    }
    Some((BurnPair { severity: severity?, long, short, factor_ppm }, share_ppm))
}

fn budget_share_alert(field: &Field<'_>) -> Option<BudgetShareAlert> {
    let fields = field.fields()?;
    let severity = fields.require("severity").and_then(|field| severity(&field));
    let share = fields.require("share").and_then(|field| field.share_ppm());
    let burn = fields.require("burn").and_then(|field| field.millionths(field.number()?));
    fields.close();
    Some(BudgetShareAlert { severity: severity?, share_ppm: share?, burn_ppm: burn? })
}
