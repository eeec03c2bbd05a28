//! The question, and the flow of judging: racks → rows → verdict.
//!
//! facts, policy, question → **judge** → `check` → `combine` → `verdict`

use std::collections::BTreeSet;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use telemetry::facts::{RackFacts, RunFacts, UnknownReason};
use telemetry::place::Place;
use telemetry::record::{Override, RunState};
use telemetry::{EventTime, Microseconds, Name, canonical_json, sha256_hex};

use crate::control::Control;
use crate::policy::{Policy, ScopeOf};
use crate::subject::{Clock, Span, Subject};
use crate::verdict::{CheckResult, RackVerdict, Verdict, VerdictKind, VerdictOverride, VerdictScope};
use crate::{check, combine};

/// What is asked of a policy.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Question {
    /// The racks; of a policy about loops the loops. Order and repeats mean nothing.
    pub racks: Vec<Name>,
    /// The run; a policy about runs takes the active one when there is none.
    pub run: Option<Name>,
    /// The caller's name for this request.
    pub request_id: String,
    /// Event time of the request: the last tick.
    pub asked_at: EventTime,
    /// When the same question was first asked, if it is asked again while it waits: a deadline without a run counts
    /// from here. `None`: now.
    pub waiting_since: Option<EventTime>,
    /// PENDING until event time is final up to here, whatever older facts say.
    pub not_before: Option<EventTime>,
    /// Responsibility taken earlier; written beside the verdict, changes nothing.
    pub overrides: Vec<Override>,
}

/// Judges racks by a policy. Equal facts give equal answers, in whatever order they come.
///
/// A rack of the question without facts is unknown: never seen. The check `canary` has no racks beside it here.
pub fn judge(policy: &Policy, question: &Question, facts: &[Arc<RackFacts>]) -> Verdict {
    judge_beside(policy, question, facts, &[])
}

/// The same with racks beside those of the question, as [`crate::controls`] chooses them.
pub fn judge_beside(
    policy: &Policy,
    question: &Question,
    facts: &[Arc<RackFacts>],
    controls: &[Control],
) -> Verdict {
    let facts: Vec<&RackFacts> = facts.iter().map(|facts| &**facts).collect();
    judge_as(policy, question, &facts, controls, crate::ENGINE_VERSION)
}

/// The same, signed with the version of the engine that first gave the answer.
pub(crate) fn judge_as(
    policy: &Policy,
    question: &Question,
    facts: &[&RackFacts],
    controls: &[Control],
    engine: &str,
) -> Verdict {
    let names = names(question);
    let facts = concerned(policy, question, facts);
    let watermark = facts.iter().map(|facts| facts.watermark).min().unwrap_or(question.asked_at);
    let mut racks: Vec<RackVerdict> = Vec::new();
    let mut baseline_runs: BTreeSet<Name> = BTreeSet::new();
    for name in &names {
        let of_name: Vec<&RackFacts> =
            facts.iter().copied().filter(|facts| is_about(policy, name, &facts.place)).collect();
        if of_name.is_empty() {
            racks.push(never_seen(policy, question, name));
        }
        for facts in of_name {
            let subject = subject(policy, question, facts, controls);
            baseline_runs
                .extend(policy.checks.iter().flat_map(|check| check::baseline_runs(check, &subject)));
            let mut rows = check::waits(&subject, question.not_before, watermark);
            for check in &policy.checks {
                rows.extend(combine::worst(check::judge(check, &subject)));
            }
            racks.push(combine::rack(shown_name(facts), &facts.place, rows));
        }
    }
    racks.sort_by(|one, other| one.rack.cmp(&other.rack));
    let run = common_run(policy, question, &facts);
    let answer = combine::all(policy, racks);
    let verdict = Verdict {
        evaluation_id: Name::default(),
        policy: policy.name.clone(),
        policy_hash: policy.hash.clone(),
        verdict: if policy.dry_run { VerdictKind::Pass } else { answer.verdict },
        score: combine::score(
            if policy.dry_run { VerdictKind::Pass } else { answer.verdict },
            &answer.checks,
        ),
        reason: if policy.dry_run {
            format!("dry run, would be {}: {}", answer.verdict, answer.reason)
        } else {
            answer.reason
        },
        cause: answer.cause,
        scope: VerdictScope { racks: names, combine: policy.scope.combine.to_string() },
        run_id: run,
        baseline_run_ids: baseline_runs.into_iter().collect(),
        watermark,
        wait_until: answer.wait_until,
        time: question.asked_at,
        dry_run: policy.dry_run,
        would_be: policy.dry_run.then_some(answer.verdict),
        without_baseline: is_without_baseline(answer.verdict, &answer.racks),
        coverage: lowest_coverage(&answer.checks),
        checks: answer.checks,
        racks: answer.racks,
        overrides: in_force(question),
        engine_version: engine.into(),
    };
    Verdict { evaluation_id: id_of(question, &verdict), ..verdict }
}

/// First 16 hex digits of SHA-256 of request and answer, so that an id names one answer. Policy, scope and watermark are
/// part of it, and are not enough: until the watermark moves on, a leak may arrive, and a deadline may pass.
fn id_of(question: &Question, answer: &Verdict) -> Name {
    let asked = (&question.request_id, question.waiting_since, question.not_before);
    sha256_hex(&canonical_json(&(asked, answer)))[..16].into()
}

/// Whether nothing warns but that there is nothing to compare with.
fn is_without_baseline(verdict: VerdictKind, racks: &[RackVerdict]) -> bool {
    let mut warnings =
        racks.iter().flat_map(|rack| &rack.checks).filter(|row| row.verdict == VerdictKind::Warn);
    verdict == VerdictKind::Warn
        && warnings.all(|row| row.unknown_reason == Some(UnknownReason::NotComparable))
}

/// The names asked for, sorted, each once.
fn names(question: &Question) -> Vec<Name> {
    let mut names = question.racks.clone();
    names.sort();
    names.dedup();
    names
}

/// The facts that the question is about, in order of place.
pub(crate) fn concerned<'a>(
    policy: &Policy,
    question: &Question,
    facts: &[&'a RackFacts],
) -> Vec<&'a RackFacts> {
    let mut concerned: Vec<&RackFacts> = facts
        .iter()
        .copied()
        .filter(|facts| question.racks.iter().any(|name| is_about(policy, name, &facts.place)))
        .collect();
    concerned.sort_by(|one, other| (&one.place, one.sequence).cmp(&(&other.place, other.sequence)));
    concerned
}

fn is_about(policy: &Policy, name: &Name, place: &Place) -> bool {
    match policy.scope.of {
        ScopeOf::Run | ScopeOf::Rack => place.rack.as_ref() == Some(name),
        ScopeOf::Loop => place.cooling_loop.as_ref() == Some(name),
    }
}

fn shown_name(facts: &RackFacts) -> Name {
    let place = &facts.place;
    place.rack.clone().or_else(|| place.cooling_loop.clone()).unwrap_or_else(|| place.site.clone())
}

fn subject<'a>(
    policy: &'a Policy,
    question: &Question,
    facts: &'a RackFacts,
    controls: &'a [Control],
) -> Subject<'a> {
    let span = match (run_of(policy, question, facts), &question.run, policy.scope.of) {
        (Some(run), _, _) => Span::Run(run),
        (None, Some(_), _) | (None, None, ScopeOf::Run) => Span::NoRun,
        (None, None, ScopeOf::Rack | ScopeOf::Loop) => Span::Rolling,
    };
    let from = match span {
        Span::Run(run) => run.start,
        Span::Rolling | Span::NoRun => question.waiting_since.unwrap_or(question.asked_at),
    };
    let deadline = policy.wait_for.deadline.map(|deadline| from + deadline);
    let lag = (question.asked_at - facts.watermark).max(Microseconds::ZERO);
    Subject { policy, facts, controls, span, clock: Clock { asked_at: question.asked_at, lag, deadline } }
}

/// The run that is judged on a rack: the one asked for; for a policy about runs else the active one.
pub(crate) fn run_of<'a>(policy: &Policy, question: &Question, facts: &'a RackFacts) -> Option<&'a RunFacts> {
    let mut runs = facts.run.iter().chain(&facts.previous_run);
    match (&question.run, policy.scope.of) {
        (Some(asked), _) => runs.find(|run| run.run == *asked),
        (None, ScopeOf::Run) => runs.find(|run| run.state == RunState::Active),
        (None, ScopeOf::Rack | ScopeOf::Loop) => None,
    }
}

/// The run asked for, or the one that is judged on all racks.
fn common_run(policy: &Policy, question: &Question, facts: &[&RackFacts]) -> Option<Name> {
    if question.run.is_some() {
        return question.run.clone();
    }
    let mut runs = facts.iter().map(|facts| run_of(policy, question, facts).map(|run| &run.run));
    let first = runs.next()??;
    runs.all(|run| run == Some(first)).then(|| first.clone())
}

fn never_seen(policy: &Policy, question: &Question, name: &Name) -> RackVerdict {
    let mut place = Place { site: "unknown".into(), ..Place::default() };
    match policy.scope.of {
        ScopeOf::Run | ScopeOf::Rack => place.rack = Some(name.clone()),
        ScopeOf::Loop => place.cooling_loop = Some(name.clone()),
    }
    let facts = RackFacts {
        place: place.clone(),
        declared: false,
        configuration: "".into(),
        sequence: 0,
        watermark: question.asked_at,
        first_sample: None,
        last_sample: None,
        objectives: Vec::new(),
        unseen: Vec::new(),
        findings: Vec::new(),
        coverage: Vec::new(),
        sensors: Vec::new(),
        measures: Vec::new(),
        run: None,
        previous_run: None,
        recovery: None,
        batches: None,
        headroom: None,
        maintenance_until: None,
        drills: Vec::new(),
    };
    let subject = subject(policy, question, &facts, &[]);
    let rows = policy
        .checks
        .iter()
        .map(|check| check::settle(check, &subject, check::never_seen(check, &place)))
        .collect();
    combine::rack(name.clone(), &place, rows)
}

fn lowest_coverage(rows: &[CheckResult]) -> Option<f64> {
    rows.iter().filter_map(|row| row.coverage).reduce(f64::min)
}

/// Overrides that have not expired when the question is asked.
fn in_force(question: &Question) -> Vec<VerdictOverride> {
    question
        .overrides
        .iter()
        .filter(|given| question.asked_at < given.until)
        .map(VerdictOverride::from)
        .collect()
}
