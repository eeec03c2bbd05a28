//! The healthy facts themselves: every objective, series and measure that a policy asks for.

use std::collections::BTreeMap;
use std::sync::Arc;

use telemetry::facts::{
    Ask, BurnStatus, Cause, Comparison, Coverage, EventRateStatus, Finding, Measure, Measured, Need,
    ObjectiveKind, ObjectiveStatus, Observation, Outcome, PowerLimit, Recovery, RecoverySignal, RunFacts,
    Scope, SensorTrust, TimeByState, TrendStatus, Trust, UnknownReason, UnseenObjective,
};
use telemetry::place::Place;
use telemetry::{EventTime, Labels, Microseconds, Name};

use super::given::{Given, GivenFinding, WATERMARK, length};
use crate::policy::{CheckKind, Policy};

fn share_of(length: Microseconds, share: f64) -> Microseconds {
    Microseconds((length.as_seconds() * share * 1e6).round() as i64)
}

/// What all facts of one rack are made from.
pub struct Builder<'a> {
    pub given: &'a Given,
    pub place: &'a Place,
    pub run: Option<&'a RunFacts>,
    pub first_sample: EventTime,
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

    /// The statuses of the policy's objectives, and what those ask that never came.
    pub fn objectives(
        &self,
        policy: &Policy,
    ) -> Result<(Vec<ObjectiveStatus>, Vec<UnseenObjective>), String> {
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
                | CheckKind::Recovered { .. }
                | CheckKind::Headroom(_)
                | CheckKind::Proven { .. }
                | CheckKind::Canary(_) => {}
            }
        }
        let (mut statuses, mut unseen) = (Vec::new(), Vec::new());
        for (name, (kind, inline)) in kinds {
            let status = self.status(&name, kind, inline.as_ref())?;
            if self.is_missing(&name) {
                unseen.push(UnseenObjective {
                    objective: name,
                    signal: status.signal,
                    unit: status.unit,
                    comparison: status.comparison,
                    threshold: status.threshold,
                    window: status.window,
                });
            } else {
                statuses.push(status);
            }
        }
        Ok((statuses, unseen))
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
                ObjectiveKind::RecoveryTime => "s".into(),
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
                fano_factor: None,
            }),
            trend: (kind == ObjectiveKind::Trend).then_some(TrendStatus {
                slope_per_hour: if ttt.is_some() { 4.0 } else { 0.0 },
                level: observed,
                significant: ttt.is_some(),
                time_to_threshold: ttt,
            }),
            recoveries: None,
            last: (known.0 > 0).then(|| seen(observed)),
            worst: (known.0 > 0).then(|| seen(observed)),
            cause: given.cause.unwrap_or(Cause::Release),
            doubts: Vec::new(),
        })
    }

    pub fn finding(&self, given: &GivenFinding) -> Finding {
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

    pub fn coverage(&self, policy: &Policy) -> Vec<Coverage> {
        let mut signals: Vec<Name> = Vec::new();
        for check in &policy.checks {
            if let CheckKind::Coverage { signals: asked, .. } = &check.kind {
                signals.extend(asked.iter().cloned());
            }
        }
        // A rack without any reading would be silent, not healthy.
        signals.push("gpu_temperature".into());
        if policy.compares() {
            signals.push("coolant_supply_temperature".into());
        }
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
            series: Arc::new(Measured { signal, place: self.place.clone(), sensor: None, unit: "1".into() }),
            known: share_of(asked, share),
            asked,
            run_known: share_of(run_asked, share),
            run_asked,
            last_value: Some(5.0),
            last_time: Some(WATERMARK),
        }
    }

    pub fn distrusted(&self, signal: &Name) -> SensorTrust {
        SensorTrust {
            signal: signal.clone(),
            place: self.place.clone(),
            sensor: None,
            trust: Trust::Distrusted,
            reason: "said by the test".into(),
            since: None,
        }
    }

    pub fn measures(&self, policy: &Policy) -> Result<Vec<Measure>, String> {
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

    pub fn recovery(&self) -> Result<Option<Recovery>, String> {
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
