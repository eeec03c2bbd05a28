//! Verdicts and runs as protobuf messages: field by field, nothing decided here.

use gate::{CheckResult, Verdict, VerdictKind};
use prost_types::Timestamp;
use telemetry::facts::{Cause, Comparison, UnknownReason};
use telemetry::{EventTime, Labels, Microseconds};
use wire::gate::v1 as pb;
use wire::run::v1 as pb_run;

use crate::lookup::StoredRun;
use crate::pipeline::control::ControlError;

pub fn timestamp(time: EventTime) -> Timestamp {
    let micros = time.unix_micros();
    Timestamp { seconds: micros.div_euclid(1_000_000), nanos: (micros.rem_euclid(1_000_000) * 1_000) as i32 }
}

pub fn event_time(field: &'static str, time: Option<Timestamp>) -> Result<Option<EventTime>, ControlError> {
    time.map(|time| {
        time.seconds
            .checked_mul(1_000_000)
            .and_then(|micros| micros.checked_add(i64::from(time.nanos).div_euclid(1_000)))
            .map(EventTime::from_unix_micros)
            .ok_or_else(|| ControlError::Field {
                field,
                message: "is outside the years that can be written".to_owned(),
            })
    })
    .transpose()
}

pub fn length(
    field: &'static str,
    duration: Option<prost_types::Duration>,
) -> Result<Option<Microseconds>, ControlError> {
    duration
        .map(|duration| {
            duration
                .seconds
                .checked_mul(1_000_000)
                .and_then(|micros| micros.checked_add(i64::from(duration.nanos) / 1_000))
                .map(Microseconds)
                .ok_or_else(|| ControlError::Field { field, message: "is too long".to_owned() })
        })
        .transpose()
}

fn verdict_kind(kind: VerdictKind) -> pb::Verdict {
    match kind {
        VerdictKind::Pass => pb::Verdict::Pass,
        VerdictKind::Warn => pb::Verdict::Warn,
        VerdictKind::Fail => pb::Verdict::Fail,
        VerdictKind::Inconclusive => pb::Verdict::Inconclusive,
        VerdictKind::Pending => pb::Verdict::Pending,
    }
}

fn cause(cause: Option<Cause>) -> pb::Cause {
    match cause {
        None => pb::Cause::Unspecified,
        Some(Cause::Release) => pb::Cause::Release,
        Some(Cause::Rack) => pb::Cause::Rack,
        Some(Cause::Facility) => pb::Cause::Facility,
        Some(Cause::Sensor) => pb::Cause::Sensor,
        Some(Cause::Unknown) => pb::Cause::Unknown,
    }
}

fn unknown_reason(reason: Option<UnknownReason>) -> pb::UnknownReason {
    match reason {
        None => pb::UnknownReason::Unspecified,
        Some(UnknownReason::NeverSeen) => pb::UnknownReason::NeverSeen,
        Some(UnknownReason::Stale) => pb::UnknownReason::Stale,
        Some(UnknownReason::Invalid) => pb::UnknownReason::Invalid,
        Some(UnknownReason::SensorFault) => pb::UnknownReason::SensorFault,
        Some(UnknownReason::Distrusted) => pb::UnknownReason::Distrusted,
        Some(UnknownReason::Maintenance) => pb::UnknownReason::Maintenance,
        Some(UnknownReason::LowCoverage) => pb::UnknownReason::LowCoverage,
        Some(UnknownReason::WindowIncomplete) => pb::UnknownReason::WindowIncomplete,
        Some(UnknownReason::Uncalibrated) => pb::UnknownReason::Uncalibrated,
        Some(UnknownReason::NotEnoughEvidence) => pb::UnknownReason::NotEnoughEvidence,
        Some(UnknownReason::NotComparable) => pb::UnknownReason::NotComparable,
    }
}

fn operator(comparison: Option<Comparison>) -> pb::Operator {
    match comparison {
        None => pb::Operator::Unspecified,
        Some(Comparison::Lte) => pb::Operator::LessOrEqual,
        Some(Comparison::Gte) => pb::Operator::GreaterOrEqual,
        Some(Comparison::Lt) => pb::Operator::Less,
        Some(Comparison::Gt) => pb::Operator::Greater,
        Some(Comparison::Equal) => pb::Operator::Equal,
    }
}

fn place(place: &Labels) -> pb::Place {
    let level = |name: &str| place.get(name).map_or_else(String::new, ToString::to_string);
    pb::Place {
        site: level("site"),
        r#loop: level("loop"),
        rack: level("rack"),
        node: level("node"),
        device: level("device"),
    }
}

fn check(check: &CheckResult) -> pb::CheckResult {
    pb::CheckResult {
        check: check.check.to_string(),
        verdict: verdict_kind(check.verdict).into(),
        observed: check.observed,
        threshold: check.threshold,
        unit: check.unit.to_string(),
        coverage: check.coverage,
        known_units: check.known_units,
        asked_units: check.asked_units,
        budget_left: check.budget_left,
        burn_rate: check.burn_rate,
        comparison: Some(pb::Comparison {
            operator: operator(check.comparison).into(),
            baseline: None,
            baseline_run_id: String::new(),
        }),
        evidence: check
            .evidence
            .iter()
            .map(|evidence| pb::Evidence {
                name: evidence.name.clone(),
                value: evidence.value,
                unit: evidence.unit.to_string(),
                text: evidence.text.clone(),
                place: Some(place(&evidence.place)),
                time: evidence.time.map(timestamp),
                query: evidence.query.clone(),
            })
            .collect(),
        worst_group: check.worst_group.clone(),
        unknown_reason: unknown_reason(check.unknown_reason).into(),
        window: check.window.to_string(),
        cause: cause(check.cause).into(),
        reason: check.reason.clone(),
        signal: check.signal.to_string(),
        weight: check.weight,
    }
}

pub fn evaluation(verdict: &Verdict) -> pb::Evaluation {
    pb::Evaluation {
        evaluation_id: verdict.evaluation_id.to_string(),
        policy: verdict.policy.to_string(),
        policy_hash: verdict.policy_hash.to_string(),
        verdict: verdict_kind(verdict.verdict).into(),
        score: verdict.score.map(f64::from),
        reason: verdict.reason.clone(),
        cause: cause(verdict.cause).into(),
        scope: Some(pb::Scope {
            racks: verdict.scope.racks.iter().map(ToString::to_string).collect(),
            combine: verdict.scope.combine.clone(),
        }),
        run_id: verdict.run_id.as_deref().unwrap_or_default().to_owned(),
        baseline_run_ids: verdict.baseline_run_ids.iter().map(ToString::to_string).collect(),
        watermark: Some(timestamp(verdict.watermark)),
        wait_until: verdict.wait_until.map(timestamp),
        time: Some(timestamp(verdict.time)),
        dry_run: verdict.dry_run,
        would_be: verdict.would_be.map_or(pb::Verdict::Unspecified, verdict_kind).into(),
        checks: verdict.checks.iter().map(check).collect(),
        racks: verdict
            .racks
            .iter()
            .map(|rack| pb::RackVerdict {
                rack: rack.rack.to_string(),
                verdict: verdict_kind(rack.verdict).into(),
                cause: cause(rack.cause).into(),
                reason: rack.reason.clone(),
                checks: rack.checks.iter().map(check).collect(),
            })
            .collect(),
        overrides: verdict
            .overrides
            .iter()
            .map(|given| pb::Override {
                checks: given.checks.iter().map(ToString::to_string).collect(),
                by: given.by.clone(),
                why: given.why.clone(),
                time: Some(timestamp(given.time)),
                until: Some(timestamp(given.until)),
            })
            .collect(),
        engine_version: verdict.engine_version.to_string(),
        coverage: verdict.coverage,
        canonical_json: verdict.to_json(),
    }
}

pub fn run(run: &StoredRun) -> pb_run::Run {
    let state = match run.state.as_str() {
        "active" => pb_run::RunState::Active,
        "ended" => pb_run::RunState::Ended,
        "aborted" => pb_run::RunState::Aborted,
        "abandoned" => pb_run::RunState::Abandoned,
        _ => pb_run::RunState::Unspecified,
    };
    pb_run::Run {
        run_id: run.run.to_string(),
        racks: run.racks.iter().map(ToString::to_string).collect(),
        stage: run.stage.clone(),
        versions: run.versions.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect(),
        start: Some(timestamp(run.start)),
        planned_end: Some(timestamp(run.planned_end)),
        end: run.end.map(timestamp),
        state: state.into(),
        markers: run
            .markers
            .iter()
            .map(|(time, text)| pb_run::Marker { time: Some(timestamp(*time)), text: text.clone() })
            .collect(),
    }
}
