//! Figures over many drills: how much is found, how rightly it is named, how soon, and how often nothing was wrong.
//!
//! outcomes → **scorecard** → report

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use telemetry::Name;

use crate::score::Outcome;
use crate::statistics::{quantile, rate_upper_bound, share};
use crate::suite::{CLASSES, Conditions, Development};

/// The class that methods of the field seldom find, and that recall is also stated without.
const HARDEST: &str = "valve_stiction";

/// The scorecard of a suite under one set of conditions. Shares are 0 to 1, none where there is nothing to count.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Scorecard {
    /// Under which conditions.
    pub conditions: Conditions,
    /// Seeds of the drills, first and last.
    pub seeds: (u64, u64),
    /// Drills that were played.
    pub drills: usize,
    /// Share of drills whose fault was named rightly.
    pub recall: Option<f64>,
    /// The same without stiction.
    pub recall_without_stiction: Option<f64>,
    /// Share of incidents during drills, before and after the fault began, that name it rightly.
    pub precision: Option<f64>,
    /// Share of drills in which something was said whose first word was right.
    pub first_attribution: Option<f64>,
    /// Share of drifting sensors that were among the suspects when they were found.
    pub suspect_right: Option<f64>,
    /// False alarms before the fault of a drill began.
    pub alarms_before_fault: usize,
    /// Rack-days of healthy days.
    pub healthy_rack_days: f64,
    /// False alarms on them.
    pub false_alarms: usize,
    /// False alarms a healthy rack-day.
    pub false_alarm_rate: Option<f64>,
    /// Its one-sided upper 95 % bound.
    pub false_alarm_rate_upper: Option<f64>,
    /// False alarms of all healthy time by detector.
    pub false_alarms_by_detector: BTreeMap<Name, usize>,
    /// By how fast faults develop.
    pub developments: Vec<DevelopmentScore>,
    /// How far drifting thermometers were off when found, K.
    pub drift_error_p50_kelvin: Option<f64>,
    /// 90th percentile.
    pub drift_error_p90_kelvin: Option<f64>,
    /// By class of fault.
    pub classes: Vec<ClassScore>,
}

/// Delays of faults that develop alike, from when they begin.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DevelopmentScore {
    /// How.
    pub development: Development,
    /// Drills whose fault was found.
    pub found: usize,
    /// All drills.
    pub drills: usize,
    /// Median delay, minutes.
    pub delay_p50_minutes: Option<f64>,
    /// 90th percentile.
    pub delay_p90_minutes: Option<f64>,
}

/// One class of faults.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ClassScore {
    /// Its name.
    pub class: Name,
    /// How it develops.
    pub development: Development,
    /// Drills.
    pub drills: usize,
    /// Drills whose fault was named rightly.
    pub found: usize,
    /// Drills whose first word was right.
    pub first_right: usize,
    /// Drills in which anything was said.
    pub spoken: usize,
    /// Median delay, minutes.
    pub delay_p50_minutes: Option<f64>,
    /// 90th percentile.
    pub delay_p90_minutes: Option<f64>,
    /// Incidents that name the fault.
    pub right_incidents: usize,
    /// What else was said, by detector.
    pub wrong_incidents: BTreeMap<Name, usize>,
    /// Seeds of drills that were missed.
    pub missed: Vec<u64>,
    /// Largest error of a sensor when it was found.
    pub drift_error_max: Option<f64>,
}

impl Scorecard {
    /// The figures of some outcomes, in whatever order they come.
    pub fn new(conditions: Conditions, outcomes: &[Outcome]) -> Self {
        let drills: Vec<&Outcome> = outcomes.iter().filter(|outcome| outcome.onset.is_some()).collect();
        let healthy: Vec<&Outcome> = outcomes.iter().filter(|outcome| outcome.onset.is_none()).collect();
        let classes: Vec<ClassScore> = CLASSES
            .iter()
            .map(|class| {
                let of_class = drills.iter().copied().filter(|outcome| *outcome.class == *class.name);
                ClassScore::new(class.name, class.development, &of_class.collect::<Vec<_>>())
            })
            .filter(|class| class.drills > 0)
            .collect();
        let developments = [
            Development::Abrupt,
            Development::Hunting,
            Development::Ramp,
            Development::Fouling,
            Development::Drift,
            Development::Feed,
        ];
        let developments = developments
            .into_iter()
            .map(|development| {
                let names: Vec<&Name> = classes
                    .iter()
                    .filter(|class| class.development == development && *class.class != *HARDEST)
                    .map(|class| &class.class)
                    .collect();
                let of_it: Vec<&Outcome> =
                    drills.iter().copied().filter(|outcome| names.contains(&&outcome.class)).collect();
                let delays = delays(&of_it);
                DevelopmentScore {
                    development,
                    found: delays.len(),
                    drills: of_it.len(),
                    delay_p50_minutes: quantile(&delays, 0.5),
                    delay_p90_minutes: quantile(&delays, 0.9),
                }
            })
            .filter(|score| score.drills > 0)
            .collect();
        let sum = |count: fn(&ClassScore) -> usize| classes.iter().map(count).sum::<usize>();
        let without: Vec<&ClassScore> = classes.iter().filter(|class| *class.class != *HARDEST).collect();
        let before: usize = drills.iter().map(|outcome| outcome.false_alarms.len()).sum();
        let wrong = sum(|class| class.wrong_incidents.values().sum());
        let right = sum(|class| class.right_incidents);
        let rack_days: f64 = healthy.iter().map(|outcome| outcome.healthy_rack_days).sum();
        let false_alarms: usize = healthy.iter().map(|outcome| outcome.false_alarms.len()).sum();
        let mut by_detector = BTreeMap::new();
        for incident in outcomes.iter().flat_map(|outcome| &outcome.false_alarms) {
            *by_detector.entry(incident.detector.clone()).or_default() += 1;
        }
        let kelvin: Vec<f64> = drills
            .iter()
            .filter(|outcome| outcome.class.ends_with("temperature"))
            .filter_map(|outcome| outcome.drift_error)
            .collect();
        let seeds = outcomes.iter().map(|outcome| outcome.seed);
        Self {
            conditions,
            seeds: (seeds.clone().min().unwrap_or(0), seeds.max().unwrap_or(0)),
            drills: drills.len(),
            recall: share(sum(|class| class.found), sum(|class| class.drills)),
            recall_without_stiction: share(
                without.iter().map(|class| class.found).sum(),
                without.iter().map(|class| class.drills).sum(),
            ),
            precision: share(right, right + wrong + before),
            first_attribution: share(sum(|class| class.first_right), sum(|class| class.spoken)),
            suspect_right: {
                let told: Vec<bool> = drills.iter().filter_map(|outcome| outcome.suspect_is_right).collect();
                share(told.iter().filter(|right| **right).count(), told.len())
            },
            alarms_before_fault: before,
            healthy_rack_days: rack_days,
            false_alarms,
            false_alarm_rate: (rack_days > 0.0).then(|| false_alarms as f64 / rack_days),
            false_alarm_rate_upper: rate_upper_bound(false_alarms, rack_days),
            false_alarms_by_detector: by_detector,
            developments,
            drift_error_p50_kelvin: quantile(&kelvin, 0.5),
            drift_error_p90_kelvin: quantile(&kelvin, 0.9),
            classes,
        }
    }
}

impl ClassScore {
    fn new(name: &str, development: Development, outcomes: &[&Outcome]) -> Self {
        let delays = delays(outcomes);
        let mut wrong_incidents = BTreeMap::new();
        let mut right_incidents = 0;
        for incident in outcomes.iter().flat_map(|outcome| &outcome.incidents) {
            if incident.right {
                right_incidents += 1;
            } else {
                *wrong_incidents.entry(incident.detector.clone()).or_default() += 1;
            }
        }
        Self {
            class: name.into(),
            development,
            drills: outcomes.len(),
            found: delays.len(),
            first_right: outcomes.iter().filter(|outcome| outcome.first_is_right == Some(true)).count(),
            spoken: outcomes.iter().filter(|outcome| outcome.first_is_right.is_some()).count(),
            delay_p50_minutes: quantile(&delays, 0.5),
            delay_p90_minutes: quantile(&delays, 0.9),
            right_incidents,
            wrong_incidents,
            missed: outcomes
                .iter()
                .filter(|outcome| outcome.delay.is_none())
                .map(|outcome| outcome.seed)
                .collect(),
            drift_error_max: outcomes.iter().filter_map(|outcome| outcome.drift_error).max_by(f64::total_cmp),
        }
    }
}

/// Delays of the drills whose fault was found, minutes.
fn delays(outcomes: &[&Outcome]) -> Vec<f64> {
    outcomes.iter().filter_map(|outcome| outcome.delay).map(|delay| delay.as_seconds() / 60.0).collect()
}
