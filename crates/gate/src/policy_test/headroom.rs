//! What a rack can sustain in a test: plenty, unless the test says otherwise.

use std::collections::BTreeMap;

use serde::Deserialize;
use telemetry::facts::{Constraint, Headroom, PowerInterval, Sustainable, SustainablePower, UnknownReason};
use telemetry::{Microseconds, Name};

use super::given::WATERMARK;
use crate::policy::Policy;

/// Nominal power of a rack in tests, kW.
const NOMINAL: f64 = 100.0;
/// A healthy limit is this many times what is asked.
const PLENTY: f64 = 2.0;
/// Half of the interval, as a share, unless the test says otherwise.
const HALF: f64 = 0.05;

/// Limits that differ, by name; the same now and at design ambient.
pub type GivenHeadroom = BTreeMap<Constraint, GivenLimit>;

/// A limit.
#[derive(Debug, Default, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub struct GivenLimit {
    /// Estimate, kW.
    pub power: Option<f64>,
    /// Lower end of its interval, kW; 5 % below by default.
    pub lower: Option<f64>,
    /// Upper end, kW; 5 % above by default.
    pub upper: Option<f64>,
    /// It is not known, and why.
    pub unknown: Option<UnknownReason>,
    /// Nothing tells of it: this signal is missing.
    pub missing: Option<Name>,
}

/// The headroom of a rack, where the policy asks for it.
pub fn headroom(policy: &Policy, given: &GivenHeadroom, known_share: f64) -> Option<Headroom> {
    let asked = policy.checks.iter().filter_map(|check| check.kind.headroom());
    let asked = asked.map(|asked| asked.planned_kilowatts.unwrap_or(NOMINAL) * (1.0 + asked.at_least));
    let healthy = PLENTY * asked.reduce(f64::max)?;
    let limit = |constraint: Constraint| {
        let given = given.get(&constraint).cloned().unwrap_or_default();
        let kilowatts = given.power.unwrap_or(healthy);
        let power = match (given.unknown, given.missing) {
            (Some(reason), _) => SustainablePower::Unknown { reason, why: "said by the test".into() },
            (None, Some(missing)) => SustainablePower::NotApplicable { missing: vec![missing] },
            (None, None) => SustainablePower::Known(PowerInterval {
                kilowatts,
                lower: given.lower.unwrap_or((1.0 - HALF) * kilowatts),
                upper: given.upper.unwrap_or((1.0 + HALF) * kilowatts),
            }),
        };
        Sustainable { constraint, power }
    };
    let limits: Vec<Sustainable> = Constraint::ALL.into_iter().map(limit).collect();
    let hour = Microseconds::from_hours(1);
    Some(Headroom {
        time: WATERMARK,
        nominal_kilowatts: Some(NOMINAL),
        known: Microseconds((hour.as_seconds() * known_share * 1e6).round() as i64),
        asked: hour,
        design_water_celsius: Some(31.0),
        now: limits.clone(),
        design: limits,
    })
}
