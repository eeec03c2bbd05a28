//! Drills in a test: every detector that the policy asks for was found an hour ago, unless the test says otherwise.

use std::collections::BTreeMap;

use serde::Deserialize;
use telemetry::drill::{DrillFacts, DrillState, proven_by};
use telemetry::place::Place;
use telemetry::{Microseconds, Name};

use super::given::{WATERMARK, length};
use crate::policy::Policy;

/// Drills that differ, by detector.
pub type GivenDrills = BTreeMap<Name, GivenDrill>;

/// The latest drill of a detector.
#[derive(Debug, Default, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub struct GivenDrill {
    /// Time since its end; 1 h by default.
    pub age: Option<String>,
    /// It failed.
    pub failed: bool,
    /// There was none.
    pub never: bool,
}

/// The drills of a rack, where the policy asks for them.
pub fn drills(policy: &Policy, given: &GivenDrills, place: &Place) -> Result<Vec<DrillFacts>, String> {
    let asked: Vec<&Name> = policy.detectors_proven().collect();
    if let Some(name) = given.keys().find(|name| !asked.contains(name)) {
        return Err(format!(
            "the policy does not ask whether {name:?} is proven: remove it from `given.drills`"
        ));
    }
    let mut drills = Vec::new();
    for detector in asked {
        let given = given.get(detector).cloned().unwrap_or_default();
        if given.never {
            continue;
        }
        let started = WATERMARK - length(&given.age)?.unwrap_or(Microseconds::from_hours(1));
        let (state, missing) = match given.failed {
            true => (DrillState::Failed, format!("no finding of {detector}")),
            false => (DrillState::Passed, String::new()),
        };
        let found = (!given.failed).then_some(started);
        drills.push(DrillFacts {
            drill: format!("drill-of-{detector}").into(),
            class: proven_by(detector).unwrap_or("unknown").into(),
            rack: place.rack.clone().unwrap_or_else(|| "r1".into()),
            place: place.clone(),
            severity: 1.0,
            detectors: vec![detector.clone()],
            started,
            until: started,
            state,
            ended: Some(started),
            detector: found.map(|_| detector.clone()),
            detected: found,
            alert_fired: found,
            missing,
            by: "test".into(),
            why: "said by the test".into(),
        });
    }
    Ok(drills)
}
