//! Facts that are healthy but for what a test says.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Deserialize;
use telemetry::facts::{
    Ask, BurnStatus, Cause, Comparison, Coverage, EventRateStatus, Finding, Measure, Need, ObjectiveKind,
    ObjectiveStatus, Observation, Outcome, PowerLimit, RackFacts, Recovery, RecoverySignal, RunFacts, Scope,
    SensorTrust, Severity, TimeByState, TrendStatus, Trust, UnknownReason,
};
use telemetry::place::Place;
use telemetry::record::RunState;
use telemetry::{EventTime, Labels, Microseconds, Name};

use crate::judge::Question;
use crate::policy::{CheckKind, Policy, ScopeOf};

/// The watermark of all tests: 2026-01-05T10:00:00Z.
const WATERMARK: EventTime = EventTime::from_unix_micros(1_767_607_200_000_000);
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
        let facts = RackFacts {
            place: place.clone(),
            declared: !self.undeclared,
            configuration: "test".into(),
            sequence: 1,
            watermark: WATERMARK,
            first_sample: Some(first_sample),
            last_sample: Some(WATERMARK),
            objectives: builder.objectives(policy)?,
            findings: self.findings.iter().map(|given| builder.finding(given)).collect(),
            coverage: builder.coverage(policy),
            sensors: self.distrusted.iter().map(|signal| builder.distrusted(signal)).collect(),
            measures: builder.measures(policy)?,
            previous_run,
            recovery: builder.recovery()?,
            maintenance_until: length(&self.maintenance)?.map(|left| WATERMARK + left),
            run,
        };
        Ok((question, vec![Arc::new(facts)]))
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
                CheckKind::PowerEnvelope { .. } | CheckKind::Soak { .. } => asked.push("rack_power"),
                CheckKind::BurnRate { .. } | CheckKind::Findings { .. } | CheckKind::Recovered { .. } => {}
            }
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
fn length(text: &Option<String>) -> Result<Option<Microseconds>, String> {
    text.as_ref().map(|text| text.parse::<Microseconds>()).transpose()
}

fn share_of(length: Microseconds, share: f64) -> Microseconds {
    Microseconds((length.as_seconds() * share * 1e6).round() as i64)
}

/// What all facts of one rack are made from.
struct Builder<'a> {
    given: &'a Given,
    place: &'a Place,
    run: Option<&'a RunFacts>,
    first_sample: EventTime,
}

impl Builder<'_> {
    fn is_missing(&self, name: &str) -> bool {
        self.given.missing.iter().any(|missing| **missing == *name)
    }

    /// Start and length of what is judged.
    fn window(&self) -> (EventTime, Microseconds) {
        let start = self.run.map_or(self.first_sample, |run| run.start);
        let end = self.run.and_then(|run| run.end).map_or(WATERMARK, |end| end.min(WATERMARK));
        (start, (end - start).max(Microseconds::ZERO))
    }

    fn objectives(&self, policy: &Policy) -> Result<Vec<ObjectiveStatus>, String> {
        let mut kinds: BTreeMap<Name, (ObjectiveKind, Option<Need>)> = BTreeMap::new();
        for check in &policy.checks {
            match &check.kind {
                CheckKind::Objective { objective, inline, at_most, .. } => {
                    let kind = match (inline, at_most) {
                        (Some(_), _) => ObjectiveKind::HardLimit,
                        (None, Some(_)) => ObjectiveKind::EventRate,
                        (None, None) if check.hard => ObjectiveKind::HardLimit,
                        (None, None) => ObjectiveKind::TimeInBounds,
                    };
                    kinds.insert(objective.clone(), (kind, inline.clone()));
                }
                CheckKind::Trend { objective, .. } => {
                    kinds.insert(objective.clone(), (ObjectiveKind::Trend, None));
                }
                CheckKind::BurnRate { .. }
                | CheckKind::Findings { .. }
                | CheckKind::Coverage { .. }
                | CheckKind::PowerEnvelope { .. }
                | CheckKind::Soak { .. }
                | CheckKind::Recovered { .. } => {}
            }
        }
        kinds
            .into_iter()
            .filter(|(name, _)| !self.is_missing(name))
            .map(|(name, (kind, inline))| self.status(&name, kind, inline.as_ref()))
            .collect()
    }

    fn status(
        &self,
        name: &Name,
        kind: ObjectiveKind,
        inline: Option<&Need>,
    ) -> Result<ObjectiveStatus, String> {
        let given = self.given.objectives.get(name).cloned().unwrap_or_default();
        let (since, asked) = self.window();
        let known = share_of(asked, given.coverage.unwrap_or(1.0));
        let bad = share_of(known, given.bad);
        let time = TimeByState { good: known - bad, bad, unknown: asked - known };
        let unit_length = Microseconds::from_seconds(10);
        let comparison = if kind == ObjectiveKind::HardLimit { Comparison::Equal } else { Comparison::Lte };
        let threshold = given.threshold.unwrap_or(if kind == ObjectiveKind::HardLimit { 0.0 } else { 10.0 });
        let seen = |value: f64| Observation { value, time: WATERMARK, place: self.place.clone() };
        let observed = given.observed.unwrap_or(if kind == ObjectiveKind::HardLimit { 0.0 } else { 5.0 });
        let ttt = length(&given.time_to_threshold)?;
        let outcome = given.outcome.unwrap_or(Outcome::Ok);
        let is_final = self.run.is_some_and(|run| run.end.is_some_and(|end| end <= WATERMARK));
        let burn = BurnStatus {
            severity: given.burning.clone().unwrap_or_else(|| "page".into()),
            long: Microseconds::from_minutes(30),
            short: Microseconds::from_minutes(2),
            factor_ppm: 6_000_000,
            burn_long: Some(if given.burning.is_some() { 9.0 } else { 0.0 }),
            burn_short: Some(if given.burning.is_some() { 9.0 } else { 0.0 }),
            ready: true,
            firing: given.burning.is_some(),
        };
        Ok(ObjectiveStatus {
            objective: name.clone(),
            place: self.place.clone(),
            kind,
            scope: if self.run.is_some() { Scope::Run } else { Scope::Rolling },
            run: self.run.map(|run| run.run.clone()),
            is_final,
            signal: match inline.map(|need| &need.ask) {
                Some(Ask::HardLimit { signal, .. }) => signal.clone(),
                Some(Ask::PowerAtLeast(_)) | None => name.replace('-', "_").into(),
            },
            unit: given.unit.clone().unwrap_or_else(|| match kind {
                ObjectiveKind::HardLimit => "".into(),
                ObjectiveKind::TimeInBounds | ObjectiveKind::EventRate | ObjectiveKind::Trend => "K".into(),
            }),
            comparison,
            threshold,
            window: if self.run.is_some() { "run".into() } else { "28d".into() },
            since,
            time,
            known_units: (known.0 / unit_length.0).unsigned_abs(),
            asked_units: (asked.0 / unit_length.0).unsigned_abs(),
            bad_units: ((bad.0 + unit_length.0 - 1) / unit_length.0).unsigned_abs(),
            target_ppm: 990_000,
            minimum_coverage_ppm: 950_000,
            outcome,
            unknown_reason: given.unknown.or((outcome == Outcome::Unknown).then_some(UnknownReason::Stale)),
            budget_left: (kind == ObjectiveKind::TimeInBounds).then_some(given.budget_left.unwrap_or(1.0)),
            burn: if kind == ObjectiveKind::TimeInBounds { vec![burn] } else { Vec::new() },
            episodes: given.episodes,
            longest_episode: bad,
            events: (kind == ObjectiveKind::EventRate).then_some(EventRateStatus {
                count: given.episodes,
                duration: length(&given.episodes_last)?
                    .unwrap_or(Microseconds::from_seconds(given.episodes as i64 * 5)),
                exposure: known,
                lower_per_hour: None,
                upper_per_hour: None,
            }),
            trend: (kind == ObjectiveKind::Trend).then_some(TrendStatus {
                slope_per_hour: if ttt.is_some() { 4.0 } else { 0.0 },
                level: observed,
                significant: ttt.is_some(),
                time_to_threshold: ttt,
            }),
            last: (known.0 > 0).then(|| seen(observed)),
            worst: (known.0 > 0).then(|| seen(observed)),
            cause: given.cause.unwrap_or(Cause::Release),
        })
    }

    fn finding(&self, given: &GivenFinding) -> Finding {
        Finding {
            finding: "0000000000000001".into(),
            detector: given.detector.clone(),
            place: self.place.clone(),
            signal: given.signal.clone(),
            sensor: None,
            severity: given.severity,
            onset: WATERMARK - Microseconds::from_minutes(5),
            detected: WATERMARK - Microseconds::from_minutes(3),
            ended: None,
            leading: None,
            cause: given.cause.unwrap_or(Cause::Rack),
            residual: None,
            baseline: None,
            threshold: None,
            unit: "".into(),
            confidence: 1.0,
            suggestion: String::new(),
            evidence: Labels::new(),
        }
    }

    fn coverage(&self, policy: &Policy) -> Vec<Coverage> {
        let mut signals: Vec<Name> = Vec::new();
        for check in &policy.checks {
            if let CheckKind::Coverage { signals: asked, .. } = &check.kind {
                signals.extend(asked.iter().cloned());
            }
        }
        // A rack without any reading would be silent, not healthy.
        signals.push("gpu_temperature".into());
        signals.sort();
        signals.dedup();
        signals
            .into_iter()
            .filter(|signal| !self.is_missing(signal))
            .map(|signal| self.series(signal))
            .collect()
    }

    fn series(&self, signal: Name) -> Coverage {
        let share = self.given.coverage.get(&signal).copied().unwrap_or(1.0);
        let asked = (WATERMARK - self.first_sample).min(Microseconds::from_hours(1));
        let run_asked = if self.run.is_some() { self.window().1 } else { Microseconds::ZERO };
        Coverage {
            signal,
            place: self.place.clone(),
            sensor: None,
            known: share_of(asked, share),
            asked,
            run_known: share_of(run_asked, share),
            run_asked,
            last_value: Some(5.0),
            unit: "1".into(),
            last_time: Some(WATERMARK),
        }
    }

    fn distrusted(&self, signal: &Name) -> SensorTrust {
        SensorTrust {
            signal: signal.clone(),
            place: self.place.clone(),
            sensor: None,
            trust: Trust::Distrusted,
            reason: "said by the test".into(),
        }
    }

    fn measures(&self, policy: &Policy) -> Result<Vec<Measure>, String> {
        if self.is_missing("rack_power") {
            return Ok(Vec::new());
        }
        let (_, asked) = self.window();
        let (longest, total) = match &self.given.load {
            Some(load) => (load.longest.parse::<Microseconds>()?, load.total.parse::<Microseconds>()?),
            None => (asked, asked),
        };
        let mut measures = Vec::new();
        for need in policy.needs() {
            let limit = match need.ask {
                Ask::PowerAtLeast(PowerLimit::Kilowatts(kilowatts)) => kilowatts,
                Ask::PowerAtLeast(PowerLimit::ShareOfNominal(share)) => share * 100.0,
                Ask::HardLimit { .. } => continue,
            };
            measures.push(Measure {
                need: need.name,
                threshold_kilowatts: Some(limit),
                longest,
                current: longest,
                total,
                known: asked,
                asked,
                last_kilowatts: Some(limit),
            });
        }
        Ok(measures)
    }

    fn recovery(&self) -> Result<Option<Recovery>, String> {
        if self.given.recovery.is_empty() {
            return Ok(None);
        }
        let mut signals = Vec::new();
        for given in &self.given.recovery {
            signals.push(RecoverySignal {
                signal: given.signal.clone(),
                place: self.place.clone(),
                unit: "K".into(),
                lower: given.band.map(|(lower, _)| lower),
                upper: given.band.map(|(_, upper)| upper),
                now: given.now,
                inside_since: length(&given.inside_for)?.map(|inside| WATERMARK - inside),
            });
        }
        Ok(Some(Recovery {
            run: "run-0".into(),
            ended: WATERMARK - Microseconds::from_hours(2),
            signals,
            recovered_at: None,
        }))
    }
}
