//! What holds for every verdict, whatever the facts are.

use std::sync::Arc;

use gate::policy::{Combine, Policy};
use gate::{
    CheckResult, Control, Question, Verdict, VerdictKind, controls, facts_json, judge_again, judge_beside,
};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use telemetry::Microseconds;
use telemetry::facts::{Outcome, RackFacts, SensorTrust, SustainablePower, Trust, UnknownReason};

use crate::rack::{FAIL, INCONCLUSIVE, PASS, PENDING, WARN, given, policy_of};

/// Every kind of check.
const CHECKS: &str = "\
- {objective: dt, weight: 2}
- {objective: supply, warn: true}
- {objective: leak, hard: true}
- {objective: {inline: {signal: smoke_state, equals: ok}}, hard: true}
- {objective: throttle, atMost: 1, noiseFloor: 2s}
- {burnRate: {tier: page}}
- {findings: {severity: info, none: true}}
- {coverage: {signals: [coolant_flow, dt]}}
- {trend: {objective: heading, timeToThresholdMin: 30m}}
- {soak: {min: 20m, loadMin: 60kW}, undeclared: whenSeen}
- {recovered: {for: 10m}}
- {headroom: {planned: 110kW, atLeast: 0.1}, undeclared: whenSeen}";

/// The kind that only a run has.
const OF_RUNS: &str = "\n- {canary: {}, undeclared: whenSeen}";

const SPECS: [&str; 4] = [
    "",
    "waitFor: {minDuration: 20m, deadline: 90m}",
    "onFacilityCause: FAIL\nwarnBudgetLeft: 0.5\nminCoverage: 0.8",
    "scope: {of: rack, combine: atLeast(0.5)}",
];

fn policies() -> impl Strategy<Value = Policy> {
    (0usize..2, 0usize..SPECS.len()).prop_map(|(scope, spec)| match scope {
        0 => policy_of("rack", CHECKS, SPECS[spec]),
        _ => policy_of("run", &format!("{CHECKS}{OF_RUNS}"), SPECS[spec]),
    })
}

fn objective() -> impl Strategy<Value = String> {
    let outcome = prop::sample::select(vec!["ok", "ok", "ok", "ok", "not_ok", "unknown"]);
    let cause = prop::sample::select(vec!["release", "facility", "rack", "sensor", "unknown"]);
    let unknown = prop::sample::select(vec![
        "never_seen",
        "stale",
        "sensor_fault",
        "maintenance",
        "window_incomplete",
        "uncalibrated",
    ]);
    (outcome, cause, unknown, 0u32..8, 0.0..1.0f64, 0.0..20.0f64, 0u32..9).prop_map(
        |(outcome, cause, unknown, missing, budget, observed, kind)| {
            let coverage = [1.0, 1.0, 1.0, 1.0, 0.97, 0.96, 0.9, 0.4][missing as usize];
            let more = match kind {
                0 => ", burning: page",
                1 => ", burning: ticket",
                2 => ", episodes: 2, episodesLast: 9s, bad: 0.1",
                3 => ", timeToThreshold: 10m",
                4 => ", bad: 0.001",
                _ => "",
            };
            let why = if outcome == "unknown" { format!(", unknown: {unknown}") } else { String::new() };
            format!(
                "{{outcome: {outcome}, cause: {cause}, coverage: {coverage}, budgetLeft: {budget}, observed: \
                 {observed}{more}{why}}}"
            )
        },
    )
}

/// One of the texts, or nothing: most racks are healthy in most things.
fn seldom(texts: &'static [&'static str]) -> impl Strategy<Value = &'static str> {
    prop_oneof![7 => Just(""), 1 => prop::sample::select(texts)]
}

/// What differs from a healthy rack, in nothing, one thing or several.
fn differences() -> impl Strategy<Value = String> {
    let names =
        prop::sample::select(vec!["dt", "supply", "leak", "'smoke_state = ok'", "throttle", "heading"]);
    let objectives = prop_oneof![
        3 => Just(Vec::new()),
        2 => prop::collection::vec((names, objective()), 1..3),
    ];
    let missing = seldom(&["missing: [dt], ", "missing: [coolant_flow], ", "missing: [rack_power, leak], "]);
    let finding = seldom(&[
        "findings: [{detector: pump, severity: critical, cause: facility}], ",
        "findings: [{detector: stuck, severity: warning, cause: sensor, signal: dt}], ",
        "findings: [{detector: gap, severity: critical, cause: sensor}], ",
        "findings: [{detector: filter, severity: warning}], ",
        "findings: [{detector: leak, severity: info}], ",
    ]);
    let coverage = seldom(&["coverage: {coolant_flow: 0.94}, ", "coverage: {dt: 0.1}, "]);
    let run = seldom(&["run: {age: 5m}, ", "run: {age: 2h, ended: 5m}, ", "run: {age: 10m, ended: 0s}, "]);
    let previous = seldom(&[
        "previousRun: {age: 9h, ended: 8h, failed: true}, ",
        "previousRun: {age: 9h, ended: 8h, state: aborted}, recovery: [{signal: dt, now: 20, band: [1, 3]}], ",
        "previousRun: {age: 9h, ended: 8h, state: aborted}, recovery: [{signal: dt, now: 2, band: [1, 3], insideFor: 1h}], ",
    ]);
    let load = seldom(&["load: {longest: 3m, total: 5m}, "]);
    let rest = seldom(&["undeclared: true, ", "notBefore: 1m, ", "maintenance: 5m, ", "neverSeen: true, "]);
    let canary = seldom(&[
        "canary: {effect: 0.05}, ",
        "canary: {effect: 0.018, noise: 0.01}, ",
        "canary: {beside: 0}, ",
        "canary: {beside: 0, runs: [{run: a}, {run: b}, {run: c}]}, ",
        "canary: {beside: 0, runs: [{run: a}, {run: b, load: 40}, {run: c, warned: true}]}, ",
        "canary: {throttled: 3}, ",
        "canary: {setpointMove: 2}, ",
    ]);
    let headroom = prop_oneof![15 => Just(""), 1 => prop::sample::select(&[
        "headroom: {chip: {power: 100}}, ",
        "headroom: {cdu: {power: 100}}, ",
        "headroom: {pump: {power: 122, lower: 115, upper: 130}}, ",
        "headroom: {door: {missing: air_exhaust_temperature}, chip: {power: 125, lower: 122}}, ",
        "headroom: {chip: {missing: gpu_temperature}}, ",
        "headroom: {return: {unknown: uncalibrated}}, ",
    ][..])];
    (objectives, missing, finding, coverage, run, (previous, load, rest, canary, headroom)).prop_map(
        |(mut objectives, missing, finding, coverage, run, (previous, load, rest, canary, headroom))| {
            objectives.sort();
            objectives.dedup_by(|one, other| one.0 == other.0);
            let objectives: Vec<String> =
                objectives.into_iter().map(|(name, text)| format!("{name}: {text}")).collect();
            format!(
                "{{{missing}{finding}{coverage}{run}{previous}{load}{rest}{canary}{headroom}objectives: {{{}}}}}",
                objectives.join(", ")
            )
        },
    )
}

type Case = (Policy, Question, Vec<Arc<RackFacts>>, Vec<Control>);

/// A policy, a question about one or two racks, their facts, and what they are compared with.
fn cases() -> impl Strategy<Value = Case> {
    (policies(), prop::collection::vec(differences(), 1..3)).prop_map(|(policy, racks)| {
        let mut question: Option<Question> = None;
        let (mut facts, mut others) = (Vec::new(), Vec::new());
        for (index, text) in racks.iter().enumerate() {
            let mut given = given(text);
            given.rack = Some(format!("r{index}").into());
            let (mut asked, found) = given.facts(&policy).unwrap();
            others.extend(found.iter().flat_map(|facts| given.canary.beside(facts)));
            facts.extend(found);
            match &mut question {
                Some(question) => question.racks.append(&mut asked.racks),
                None => question = Some(asked),
            }
        }
        let question = question.expect("one rack at least");
        let controls = controls(&policy, &question, &facts, &others);
        (policy, question, facts, controls)
    })
}

/// GT-1: whoever reads a row that is not PASS learns what, where, how much, against what, over what and how sure.
fn explains_itself(row: &CheckResult) {
    assert!(
        !row.reason.is_empty() && row.reason.starts_with(&*row.check) || row.reason.contains(&*row.signal),
        "{row:#?}"
    );
    assert!(!row.signal.is_empty() && !row.worst_group.is_empty() && !row.window.is_empty(), "{row:#?}");
    match row.verdict {
        VerdictKind::Pass => {}
        VerdictKind::Warn | VerdictKind::Fail => {
            assert!(row.cause.is_some(), "{row:#?}");
            let compared = row.observed.is_some() && row.threshold.is_some();
            // A finding about an event has no number: then the sentence says so.
            assert!(compared || row.reason.contains("without a number"), "{row:#?}");
            assert!(row.coverage.is_some() || row.reason.contains("confidence"), "{row:#?}");
        }
        VerdictKind::Inconclusive | VerdictKind::Pending => {
            assert!(row.cause.is_some(), "{row:#?}");
            let by_policy = row.reason.contains("onFacilityCause");
            assert!(row.unknown_reason.is_some() || by_policy, "{row:#?}");
            assert!(!row.reason.is_empty());
        }
    }
    assert_eq!(row.wait_until.is_some(), row.verdict == PENDING, "{row:#?}");
}

/// GT-2: the verdict follows from the rows by the rule; GT-3: the score stays in its band.
fn follows_from_rows(policy: &Policy, verdict: &Verdict) {
    for rack in &verdict.racks {
        let has = |kind| rack.checks.iter().any(|row| row.verdict == kind);
        let waits_for_time =
            rack.checks.iter().any(|row| &*row.check == "not-before" && row.verdict == PENDING);
        let expected = match () {
            () if waits_for_time => PENDING,
            () if has(FAIL) => FAIL,
            () if has(PENDING) => PENDING,
            () if has(INCONCLUSIVE) || rack.checks.is_empty() => INCONCLUSIVE,
            () if has(WARN) => WARN,
            () => PASS,
        };
        assert_eq!(rack.verdict, expected);
        assert_eq!(rack.cause.is_none(), rack.verdict == PASS);
    }
    let any = |kind| verdict.racks.iter().any(|rack| rack.verdict == kind);
    let awaited = verdict.checks.iter().any(|row| &*row.check == "not-before" && row.verdict == PENDING);
    if any(FAIL) && !awaited {
        assert_eq!(verdict.verdict, FAIL, "a FAIL is never outvoted");
    }
    if verdict.verdict == PASS {
        assert!(verdict.racks.iter().all(|rack| rack.verdict == PASS), "unknown never becomes PASS");
    }
    if policy.scope.combine == Combine::Worst && any(INCONCLUSIVE) && !any(FAIL) && !any(PENDING) {
        assert_eq!(verdict.verdict, INCONCLUSIVE);
    }
    match (verdict.score, verdict.verdict.score_band()) {
        (Some(score), Some((lowest, highest))) => assert!((lowest..=highest).contains(&score)),
        (None, None) => {}
        other => panic!("score and band: {other:?}"),
    }
    assert_eq!(verdict.wait_until.is_some(), verdict.verdict == PENDING);
    if let Some(until) = verdict.wait_until {
        assert!(verdict.time < until, "waiting goes forward");
    }
    assert!(!verdict.reason.is_empty() && verdict.evaluation_id.len() == 16);
}

/// Takes knowledge away from one rack, in one of several ways.
fn forget(facts: &RackFacts, way: usize, which: usize) -> RackFacts {
    let mut facts = facts.clone();
    let none = Microseconds::ZERO;
    match way {
        0 if !facts.objectives.is_empty() => {
            let index = which % facts.objectives.len();
            let status = &mut facts.objectives[index];
            status.outcome = Outcome::Unknown;
            status.unknown_reason = Some(UnknownReason::Stale);
            status.time.unknown = status.time.asked();
            (status.time.good, status.time.bad, status.bad_units, status.known_units) = (none, none, 0, 0);
            (status.episodes, status.longest_episode, status.budget_left) = (0, none, None);
            (status.last, status.worst, status.trend) = (None, None, None);
            status.burn.iter_mut().for_each(|burn| {
                (burn.burn_long, burn.burn_short, burn.firing) = (None, None, false);
            });
            if let Some(events) = &mut status.events {
                (events.count, events.duration, events.exposure) = (0, none, none);
            }
        }
        1 if !facts.objectives.is_empty() => {
            let index = which % facts.objectives.len();
            // On a rack of the site file: elsewhere a check may be left out where a signal was never seen.
            if facts.declared {
                facts.objectives.remove(index);
            }
        }
        2 => facts.coverage.iter_mut().for_each(|coverage| {
            (coverage.known, coverage.run_known, coverage.last_value) = (none, none, None);
        }),
        3 if facts.declared && !facts.coverage.is_empty() => {
            let index = which % facts.coverage.len();
            facts.coverage.remove(index);
        }
        4 if facts.declared => facts.measures.clear(),
        5 => facts.recovery = None,
        6 => {
            let sensors = facts.coverage.iter().map(|coverage| SensorTrust {
                signal: coverage.signal.clone(),
                place: coverage.place.clone(),
                sensor: coverage.sensor.clone(),
                trust: Trust::Distrusted,
                reason: "forgotten".into(),
                since: None,
            });
            facts.sensors = sensors.collect();
        }
        8 => facts.batches = None,
        // As above: where a check may be left out, it is when nothing was ever seen.
        9 if facts.declared => facts.headroom = None,
        10 => {
            if let Some(headroom) = &mut facts.headroom {
                let index = which % headroom.design.len();
                headroom.design[index].power =
                    SustainablePower::Unknown { reason: UnknownReason::Stale, why: "forgotten".into() };
            }
        }
        11 => {
            if let Some(headroom) = &mut facts.headroom {
                headroom.known = none;
            }
        }
        _ => {}
    }
    facts
}

/// How good a verdict is for the caller who wants to go on: PASS, WARN, and everything that stops it.
const fn goodness(verdict: VerdictKind) -> u8 {
    match verdict {
        VerdictKind::Pass => 2,
        VerdictKind::Warn => 1,
        VerdictKind::Fail | VerdictKind::Inconclusive | VerdictKind::Pending => 0,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn every_verdict_follows_from_its_rows_and_every_row_explains_itself((policy, question, facts, beside) in cases()) {
        let verdict = judge_beside(&policy, &question, &facts, &beside);
        follows_from_rows(&policy, &verdict);
        verdict.racks.iter().flat_map(|rack| &rack.checks).chain(&verdict.checks).for_each(explains_itself);
        prop_assert_eq!(verdict.racks.len(), question.racks.len());
    }

    /// GT-4: what is not known can stop a caller, and never lets him go on.
    #[test]
    fn more_unknown_never_improves_a_verdict(
        (policy, question, facts, beside) in cases(), rack in 0usize..3, way in 0usize..12, which in 0usize..8,
    ) {
        let before = judge_beside(&policy, &question, &facts, &beside);
        let mut less: Vec<Arc<RackFacts>> = facts.clone();
        if way == 7 {
            less.truncate(rack % (facts.len() + 1));
        } else if !less.is_empty() {
            let index = rack % less.len();
            less[index] = Arc::new(forget(&less[index], way, which));
        }
        let after = judge_beside(&policy, &question, &less, &beside);
        let told = || format!("{} became {}: {} / {}", before.verdict, after.verdict, before.reason, after.reason);
        for (before, after) in before.racks.iter().zip(&after.racks) {
            prop_assert!(goodness(after.verdict) <= goodness(before.verdict), "{}", told());
        }
        match policy.scope.combine {
            Combine::Worst => prop_assert!(goodness(after.verdict) <= goodness(before.verdict), "{}", told()),
            // Racks that nothing is known of do not hold the rest up there: the policy wants it so. Never PASS.
            Combine::AtLeast(_) => prop_assert!(after.verdict != PASS || before.verdict == PASS, "{}", told()),
        }
    }

    /// GT-5: the order in which racks are named and facts come says nothing.
    #[test]
    fn the_order_of_racks_does_not_matter((policy, question, facts, beside) in cases()) {
        let mut turned = question.clone();
        turned.racks.reverse();
        turned.racks.push(turned.racks[0].clone());
        let reversed: Vec<Arc<RackFacts>> = facts.iter().rev().cloned().collect();
        prop_assert_eq!(judge_beside(&policy, &question, &facts, &beside), judge_beside(&policy, &turned, &reversed, &beside));
    }
}

proptest! {
    // Fewer: an unoptimised reader takes its time.
    #![proptest_config(ProptestConfig::with_cases(100))]

    /// GT-6: the stored facts give the stored answer, to the byte.
    #[test]
    fn a_verdict_is_judged_again_to_the_byte((policy, question, facts, beside) in cases(), value in any::<f64>()) {
        let mut facts = facts;
        if let Some(first) = facts.first_mut() && value.is_finite() {
            let mut changed = (**first).clone();
            if let Some(status) = changed.objectives.first_mut() && let Some(worst) = &mut status.worst {
                worst.value = value;
            }
            *first = Arc::new(changed);
        }
        let answer = judge_beside(&policy, &question, &facts, &beside).to_json();
        let stored = facts_json(&policy, &question, &facts, &beside);
        prop_assert_eq!(&judge_again(&stored).unwrap(), &answer);
        prop_assert_eq!(Verdict::from_json(&answer).unwrap().to_json(), answer);
    }
}

/// The laws would say little about verdicts that are never made.
#[test]
fn the_generated_cases_reach_every_verdict() {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let mut count = [0; VerdictKind::ALL.len()];
    for _ in 0..400 {
        let (policy, question, facts, beside) = cases().new_tree(&mut runner).unwrap().current();
        let verdict = judge_beside(&policy, &question, &facts, &beside).verdict;
        count[VerdictKind::ALL.iter().position(|kind| *kind == verdict).unwrap()] += 1;
    }
    assert!(count.iter().all(|count| *count >= 20), "{:?} of {count:?}", VerdictKind::ALL);
}

#[test]
fn stored_facts_that_were_changed_are_refused_not_misread() {
    let error = judge_again("{\"engine\":\"0\"}").unwrap_err().to_string();
    assert!(error.contains("missing field") && error.contains("another version"), "{error}");
}
