//! What `thermogate status` shows: one row a rack, made from facts alone.

use serde::{Deserialize, Serialize};
use telemetry::facts::{ObjectiveStatus, Outcome, RackFacts};

use crate::board::Board;

/// All racks at a glance.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// Version of the engine.
    pub version: String,
    /// The last tick.
    pub tick: Option<String>,
    /// Up to here event time is final.
    pub watermark: Option<String>,
    /// Series of metrics that no mapping knows: kept or only counted, never judged.
    pub unmapped_series: u64,
    /// Objectives that no rack was ever asked about, because no reading of their signals ever came.
    #[serde(default)]
    pub never_seen: Vec<NeverSeen>,
    /// In order of their names.
    pub racks: Vec<RackStatus>,
}

/// An objective whose signals never came: misspelt, renamed or not exported.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NeverSeen {
    /// Its name.
    pub objective: String,
    /// Its signal or expression, as written.
    pub signal: String,
}

impl std::fmt::Display for NeverSeen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "objective {}: no reading of {} ever came (misspelt, renamed or not exported): it is unknown wherever it is \
             asked for",
            self.objective, self.signal
        )
    }
}

/// The objectives that some rack lacks the signals of, and none has them. Nothing while no rack is known.
pub fn never_seen<'a>(racks: impl Iterator<Item = &'a RackFacts> + Clone) -> Vec<NeverSeen> {
    let is_judged = |name: &str| {
        racks.clone().flat_map(|facts| &facts.objectives).any(|status| &*status.objective == name)
    };
    let mut never: Vec<NeverSeen> = Vec::new();
    for unseen in racks.clone().flat_map(|facts| &facts.unseen) {
        let is_known = never.iter().any(|known| known.objective == *unseen.objective);
        if !is_known && !is_judged(&unseen.objective) {
            let (objective, signal) = (unseen.objective.to_string(), unseen.signal.to_string());
            never.push(NeverSeen { objective, signal });
        }
    }
    never.sort_by(|one, other| one.objective.cmp(&other.objective));
    never
}

/// One rack at a glance.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RackStatus {
    /// Its name.
    pub rack: String,
    /// Its loop.
    #[serde(rename = "loop")]
    pub cooling_loop: Option<String>,
    /// Whether the site file names it.
    pub declared: bool,
    /// Last tick minus the rack's watermark.
    pub watermark_age_seconds: f64,
    /// Known by asked time of the last hour over all its series; `None` when nothing was asked.
    pub coverage: Option<f64>,
    /// The objective with the least budget left, broken ones first.
    pub worst_objective: Option<String>,
    /// Its budget left.
    pub budget_left: Option<f64>,
    /// The greatest known burn rate of all objectives.
    pub burn_rate: Option<f64>,
    /// Detectors with a finding that has not ended.
    pub findings: Vec<String>,
    /// Alerts that fire.
    pub alerts_firing: usize,
    /// `PASS` when all objectives are kept, `FAIL` when one is broken, else `INCONCLUSIVE`.
    pub state: String,
}

/// The status as it is now.
pub fn status(board: &Board, unmapped_series: u64) -> Status {
    let progress = board.progress();
    let alerts = board.alerts();
    let racks = board.racks();
    let rows = racks.iter().map(|facts| {
        let rack = facts.place.rack.as_deref().unwrap_or_default();
        let firing = alerts
            .iter()
            .filter(|alert| {
                alert.to.is_active() && alert.labels.get("rack").map(|name| &**name) == Some(rack)
            })
            .count();
        let age = progress.tick.map_or(0.0, |tick| (tick - facts.watermark).as_seconds());
        row(facts, age, firing)
    });
    Status {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        tick: progress.tick.map(|time| time.to_string()),
        watermark: progress.watermark.map(|time| time.to_string()),
        unmapped_series,
        never_seen: never_seen(racks.iter().map(|facts| &**facts)),
        racks: rows.collect(),
    }
}

fn row(facts: &RackFacts, watermark_age_seconds: f64, alerts_firing: usize) -> RackStatus {
    let (known, asked) = facts.coverage.iter().fold((0_i64, 0_i64), |(known, asked), series| {
        (known + series.known.get(), asked + series.asked.get())
    });
    let worst = facts.objectives.iter().min_by(|one, other| rank(one).total_cmp(&rank(other)));
    let burn_rate = facts
        .objectives
        .iter()
        .flat_map(|objective| &objective.burn)
        .filter_map(|burn| burn.burn_long)
        .max_by(f64::total_cmp);
    RackStatus {
        rack: facts.place.rack.as_deref().unwrap_or_default().to_owned(),
        cooling_loop: facts.place.cooling_loop.as_deref().map(str::to_owned),
        declared: facts.declared,
        watermark_age_seconds,
        coverage: (asked > 0).then(|| known as f64 / asked as f64),
        worst_objective: worst.map(|objective| objective.objective.to_string()),
        budget_left: worst.and_then(|objective| objective.budget_left),
        burn_rate,
        findings: facts.findings.iter().map(|finding| finding.detector.to_string()).collect(),
        alerts_firing,
        state: state(facts).to_owned(),
    }
}

/// Broken before unknown before kept; among equals by the budget that is left.
fn rank(objective: &ObjectiveStatus) -> f64 {
    let outcome = match objective.outcome {
        Outcome::NotOk => -2e9,
        Outcome::Unknown => -1e9,
        Outcome::Ok => 0.0,
    };
    outcome + objective.budget_left.unwrap_or(1.0)
}

fn state(facts: &RackFacts) -> &'static str {
    let has = |outcome| facts.objectives.iter().any(|objective| objective.outcome == outcome);
    if has(Outcome::NotOk) {
        "FAIL"
    } else if has(Outcome::Unknown) || facts.objectives.is_empty() {
        "INCONCLUSIVE"
    } else {
        "PASS"
    }
}
