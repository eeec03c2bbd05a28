//! What users of such tools complain of most, as far as a gate answers it; numbers as in the ranking of pains. What the
//! evaluator answers is in its tests of the same name.

use telemetry::facts::UnknownReason;

use crate::rack::{FAIL, INCONCLUSIVE, PASS, PENDING, policy_of, row, verdict};

/// Pain 8, baseline poisoning: whatever the baseline is, runs that failed, warned or were broken off are no part of it,
/// however many there are and however alike; a run that is asked for by name is.
#[test]
fn pain_8_failed_warned_and_aborted_runs_are_never_a_baseline_unless_they_are_asked_for() {
    let tag = "{baseline: tag, tag: {image: '1'}}";
    for spoilt in ["failed: true", "warned: true", "state: aborted", "state: abandoned"] {
        // Their resistance is 3 % above: against them this run would look better than it is.
        let run = |id: &str| format!("{{run: {id}, effect: 0.03, versions: {{image: '1'}}, {spoilt}}}");
        let runs = ["a", "b", "c", "d", "e"].map(run).join(", ");
        let given = format!("{{canary: {{beside: 0, effect: 0.03, runs: [{runs}]}}}}");
        for baseline in ["{}", "{baseline: lastPass}", "{baseline: medianOfLastN, n: 3}", tag] {
            let found = verdict(&policy_of("run", &format!("- {{canary: {baseline}}}"), ""), &given);
            assert_eq!(found.verdict, INCONCLUSIVE, "{spoilt}, {baseline}: {}", found.reason);
            assert_eq!(row(&found, "canary").unknown_reason, Some(UnknownReason::NotComparable));
            assert!(found.baseline_run_ids.is_empty(), "{spoilt}, {baseline}");
        }
        let asked = policy_of("run", "- {canary: {baseline: explicit, runs: [a, b]}}", "");
        let found = verdict(&asked, &given);
        assert_eq!(found.verdict, PASS, "{spoilt}: {}", found.reason);
        assert_eq!(found.baseline_run_ids, ["a".into(), "b".into()]);
    }
}

/// Pain 8: one good run among spoilt ones is the baseline, and shows what the spoilt ones would have hidden.
#[test]
fn pain_8_spoilt_runs_do_not_hide_what_a_good_one_shows() {
    let given = "{canary: {beside: 0, effect: 0.03, runs: [{run: good}, {run: a, effect: 0.03, failed: true}, {run: b, \
                 effect: 0.03, warned: true}]}}";
    let found = verdict(&policy_of("run", "- {canary: {baseline: lastPass}}", ""), given);
    assert_eq!((found.verdict, found.baseline_run_ids), (FAIL, vec!["good".into()]), "{}", found.reason);
}

/// Pain 9, the thermal state spoils a benchmark: what ran under another load, set point, ambient, loop or on other
/// hardware says nothing, and says in what it differs.
#[test]
fn pain_9_runs_in_another_thermal_state_are_not_compared() {
    for (differs, said) in
        [("load: 60", "load"), ("setpoint: 38", "coolant_setpoint"), ("otherLoop: true", "cooling_path")]
    {
        let given = format!(
            "{{canary: {{beside: 0, effect: 0.03, runs: [{{run: a}}, {{run: b}}, {{run: c, {differs}}}]}}}}"
        );
        let found = verdict(&policy_of("run", "- {canary: {}}", ""), &given);
        assert_eq!(found.verdict, INCONCLUSIVE, "{differs}: {}", found.reason);
        assert!(found.reason.contains(&format!("differs in {said}")), "{differs}: {}", found.reason);
    }
}

/// Pain 9, the noise floor: a counter that moved by less is no violation, one that did not move still less.
#[test]
fn pain_9_a_violation_below_the_noise_floor_passes_and_one_above_it_fails() {
    let policy = policy_of("run", "- {objective: gpu-thermal-throttle, atMost: 0, noiseFloor: 1s}", "");
    for (given, expected) in [
        ("{}", PASS),
        ("{objectives: {gpu-thermal-throttle: {episodes: 0, episodesLast: 0s}}}", PASS),
        ("{objectives: {gpu-thermal-throttle: {episodes: 1, episodesLast: 500ms}}}", PASS),
        ("{objectives: {gpu-thermal-throttle: {episodes: 1, episodesLast: 2s}}}", FAIL),
    ] {
        let found = verdict(&policy, given);
        assert_eq!(found.verdict, expected, "{given}: {}", found.reason);
    }
}

/// Pain 9, hysteresis: a rack that has just come back from a run that was broken off is not back until it stays.
#[test]
fn pain_9_a_rack_that_has_only_just_cooled_down_is_not_judged_yet() {
    let policy = policy_of("run", "- {recovered: {for: 10m}}", "waitFor: {deadline: 4h}");
    let after = |recovery: &str| {
        let given = format!(
            "{{run: {{age: 2h}}, previousRun: {{age: 5h, ended: 3h, state: aborted}}, recovery: [{{signal: \
             coolant_supply_temperature, band: [31, 33], {recovery}}}]}}"
        );
        verdict(&policy, &given)
    };
    for (recovery, expected) in [
        ("now: 36", PENDING),
        ("now: 32, insideFor: 1m", PENDING),
        ("now: 32, insideFor: 9m", PENDING),
        ("now: 32, insideFor: 10m", PASS),
    ] {
        let found = after(recovery);
        assert_eq!(found.verdict, expected, "{recovery}: {}", found.reason);
    }
}

/// Pain 9: a rack whose readings are missing is as unknown as it was, never better and never worse for it.
#[test]
fn pain_9_a_blind_reading_is_no_evidence_for_either_side() {
    let policy = policy_of("run", "- {objective: coolant-dt}\n- {canary: {}}", "");
    let blind = "objectives: {coolant-dt: {outcome: unknown, unknown: stale, coverage: 0.4}}, coverage: \
                 {gpu_temperature: 0.4}";
    let unknown = verdict(&policy, &format!("{{{blind}}}"));
    assert_eq!(unknown.verdict, INCONCLUSIVE, "{}", unknown.reason);
    // What was seen before stays seen: a rise that is sure is not forgotten because later readings are missing.
    let worse = verdict(&policy, &format!("{{canary: {{effect: 0.03}}, {blind}}}"));
    assert_eq!(worse.verdict, FAIL, "{}", worse.reason);
}
