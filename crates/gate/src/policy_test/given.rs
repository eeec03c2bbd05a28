//! Facts that are healthy but for what a test says.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Deserialize;
use telemetry::facts::{Cause, Outcome, RackFacts, RunFacts, Severity, UnknownReason};
use telemetry::place::Place;
use telemetry::record::RunState;
use telemetry::{EventTime, Labels, Microseconds, Name};

use super::beside::GivenCanary;
use super::drills::{GivenDrills, drills};
use super::headroom::{GivenHeadroom, headroom};
use super::healthy::Builder;
use crate::control::{Control, controls};
use crate::judge::Question;
use crate::policy::{CheckKind, Policy, ScopeOf};

/// The watermark of all tests: 2026-01-05T10:00:00Z.
pub const WATERMARK: EventTime = EventTime::from_unix_micros(1_767_607_200_000_000);
/// The last tick is this much later.
const LATENESS: Microseconds = Microseconds::from_seconds(30);

/// What differs from a healthy rack.
#[derive(Debug, Default, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub struct Given {
    /// The rack; `r1` by default.
    pub rack: Option<Name>,
    /// No site file names it.
    pub undeclared: bool,
    /// No reading of it ever came.
    pub never_seen: bool,
    /// Time since the first reading; 24 h by default.
    pub age: Option<String>,
    /// The run that is judged; for policies about runs an active one by default.
    pub run: Option<GivenRun>,
    /// The run before it.
    pub previous_run: Option<GivenRun>,
    /// Objectives by name.
    pub objectives: BTreeMap<Name, GivenObjective>,
    /// Objectives and signals that never came.
    pub missing: Vec<Name>,
    /// Active findings.
    pub findings: Vec<GivenFinding>,
    /// Known share of the last hour (and of the run) by signal.
    pub coverage: BTreeMap<Name, f64>,
    /// Sensors that are not trusted, by signal.
    pub distrusted: Vec<Name>,
    /// Load that `powerEnvelope` and `soak` measure.
    pub load: Option<GivenLoad>,
    /// Signals of the recovery after the last run.
    pub recovery: Vec<GivenRecovery>,
    /// How the rack compares with racks beside it and with its earlier runs.
    pub canary: GivenCanary,
    /// Limits of the power that the rack can sustain, by name.
    pub headroom: GivenHeadroom,
    /// Drills of detectors, by name.
    pub drills: GivenDrills,
    /// Under maintenance for so long from now.
    pub maintenance: Option<String>,
    /// The question's `not_before`, after the watermark.
    pub not_before: Option<String>,
}

/// A run.
#[derive(Debug, Default, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub struct GivenRun {
    /// Time since its start; 1 h by default.
    pub age: Option<String>,
    /// Time since its end; active by default.
    pub ended: Option<String>,
    /// How it ended.
    pub state: Option<RunState>,
    /// A gate said FAIL about it.
    pub failed: bool,
}

/// An objective's status.
#[derive(Debug, Default, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub struct GivenObjective {
    /// `ok` by default.
    pub outcome: Option<Outcome>,
    /// Why it is unknown.
    pub unknown: Option<UnknownReason>,
    /// Known share of asked time; 1 by default.
    pub coverage: Option<f64>,
    /// Share of known time that is bad.
    pub bad: f64,
    /// Share of the budget that is left; 1 by default.
    pub budget_left: Option<f64>,
    /// Worst and latest value.
    pub observed: Option<f64>,
    /// The limit.
    pub threshold: Option<f64>,
    /// The unit.
    pub unit: Option<Name>,
    /// Whose doing it is.
    pub cause: Option<Cause>,
    /// Episodes, for `atMost`.
    pub episodes: u64,
    /// How long they were, all together.
    pub episodes_last: Option<String>,
    /// Tier of a burn pair that fires.
    pub burning: Option<Name>,
    /// A significant trend that reaches the threshold after this.
    pub time_to_threshold: Option<String>,
}

/// An active finding.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct GivenFinding {
    /// Which detector.
    pub detector: Name,
    /// How grave.
    pub severity: Severity,
    /// Whose doing it is.
    pub cause: Option<Cause>,
    /// Of which signal.
    pub signal: Option<Name>,
}

/// Time at the load that a policy asks for.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct GivenLoad {
    /// In one piece, up to now.
    pub longest: String,
    /// All together.
    pub total: String,
}

/// A signal on its way back.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct GivenRecovery {
    /// Which.
    pub signal: Name,
    /// Its value now; unknown when left out.
    pub now: Option<f64>,
    /// The band before the run; unknown when left out.
    pub band: Option<(f64, f64)>,
    /// For how long it has been inside.
    pub inside_for: Option<String>,
}

impl Given {
    /// The question and the facts: healthy as `policy` asks, but for what this says.
    ///
    /// # Errors
    /// For a length of time that is none, and for a name that the policy does not ask about.
    pub fn facts(&self, policy: &Policy) -> Result<(Question, Vec<Arc<RackFacts>>), String> {
        self.check_names(policy)?;
        let rack: Name = self.rack.clone().unwrap_or_else(|| "r1".into());
        let run = self.run_facts(policy, "run-1", self.run.as_ref(), &rack)?;
        let question = Question {
            racks: vec![match policy.scope.of {
                ScopeOf::Run | ScopeOf::Rack => rack.clone(),
                ScopeOf::Loop => "loop-a".into(),
            }],
            run: run.as_ref().map(|run| run.run.clone()),
            request_id: "test".into(),
            asked_at: WATERMARK + LATENESS,
            waiting_since: None,
            not_before: length(&self.not_before)?.map(|later| WATERMARK + later),
            overrides: Vec::new(),
        };
        if self.never_seen {
            return Ok((question, Vec::new()));
        }
        let place = Place::of_rack(&"s1".into(), Some(&"loop-a".into()), &rack);
        let first_sample = WATERMARK - length(&self.age)?.unwrap_or(Microseconds::from_hours(24));
        let previous_run = match &self.previous_run {
            Some(given) => self.run_facts(policy, "run-0", Some(given), &rack)?,
            None => None,
        };
        let builder = Builder { given: self, place: &place, run: run.as_ref(), first_sample };
        let (objectives, unseen) = builder.objectives(policy)?;
        let facts = RackFacts {
            place: place.clone(),
            declared: !self.undeclared,
            configuration: "test".into(),
            sequence: 1,
            watermark: WATERMARK,
            first_sample: Some(first_sample),
            last_sample: Some(WATERMARK),
            objectives,
            unseen,
            findings: self.findings.iter().map(|given| builder.finding(given)).collect(),
            coverage: builder.coverage(policy),
            sensors: self.distrusted.iter().map(|signal| builder.distrusted(signal)).collect(),
            measures: builder.measures(policy)?,
            previous_run,
            recovery: builder.recovery()?,
            batches: policy.compares().then(|| self.canary.batches(run.as_ref())).transpose()?,
            headroom: headroom(
                policy,
                &self.headroom,
                self.coverage.get("rack_power").copied().unwrap_or(1.0),
            ),
            maintenance_until: length(&self.maintenance)?.map(|left| WATERMARK + left),
            drills: drills(policy, &self.drills, &place)?,
            run,
        };
        Ok((question, vec![Arc::new(facts)]))
    }

    /// What the rack is compared with.
    pub fn controls(&self, policy: &Policy, question: &Question, facts: &[Arc<RackFacts>]) -> Vec<Control> {
        let others: Vec<Arc<RackFacts>> = facts.iter().flat_map(|facts| self.canary.beside(facts)).collect();
        controls(policy, question, facts, &others)
    }

    /// A misspelt name in a test would test nothing.
    fn check_names(&self, policy: &Policy) -> Result<(), String> {
        let mut asked: Vec<&str> = Vec::new();
        for check in &policy.checks {
            match &check.kind {
                CheckKind::Objective { objective, .. } | CheckKind::Trend { objective, .. } => {
                    asked.push(objective)
                }
                CheckKind::Coverage { signals, .. } => asked.extend(signals.iter().map(|signal| &**signal)),
                CheckKind::PowerEnvelope { .. } | CheckKind::Soak { .. } | CheckKind::Headroom(_) => {
                    asked.push("rack_power");
                }
                CheckKind::Canary(_) => asked.extend(["gpu_temperature", "coolant_supply_temperature"]),
                CheckKind::BurnRate { .. }
                | CheckKind::Findings { .. }
                | CheckKind::Recovered { .. }
                | CheckKind::Proven { .. } => {}
            }
        }
        if !self.headroom.is_empty() && !policy.asks_for_headroom() {
            return Err("the policy does not ask about headroom: remove it from `given`".into());
        }
        let named = self.objectives.keys().chain(&self.missing).chain(self.coverage.keys());
        match named.into_iter().find(|name| !asked.contains(&&***name)) {
            Some(name) => {
                Err(format!("the policy does not ask about {name:?}: it asks about {}", asked.join(", ")))
            }
            None => Ok(()),
        }
    }

    fn run_facts(
        &self,
        policy: &Policy,
        name: &str,
        given: Option<&GivenRun>,
        rack: &Name,
    ) -> Result<Option<RunFacts>, String> {
        let given = match (given, policy.scope.of) {
            (Some(given), _) => given.clone(),
            (None, ScopeOf::Run) => GivenRun::default(),
            (None, ScopeOf::Rack | ScopeOf::Loop) => return Ok(None),
        };
        let hour = Microseconds::from_hours(1);
        let start = WATERMARK - length(&given.age)?.unwrap_or(hour);
        let end = length(&given.ended)?.map(|ago| WATERMARK - ago);
        Ok(Some(RunFacts {
            run: name.into(),
            stage: "smoke".into(),
            versions: Labels::new(),
            racks: vec![rack.clone()],
            start,
            planned_end: start + hour,
            end,
            state: given.state.unwrap_or(if end.is_some() { RunState::Ended } else { RunState::Active }),
            failed: given.failed,
        }))
    }
}

/// Reads a length of time, where there is one.
pub fn length(text: &Option<String>) -> Result<Option<Microseconds>, String> {
    text.as_ref().map(|text| text.parse::<Microseconds>()).transpose()
}
