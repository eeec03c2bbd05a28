//! The check `canary`: verdicts on racks that differ from a healthy one in how they compare.

use std::sync::Arc;

use gate::{Question, Verdict, controls, judge_again, judge_beside};
use telemetry::facts::{Cause, RackFacts, SensorTrust, Trust, UnknownReason};
use telemetry::{EventTime, Labels, Microseconds};

use crate::rack::{FAIL, INCONCLUSIVE, PASS, PENDING, WARN, facts, given, policy_of, row, verdict};

const CANARY: &str = "- {canary: {}}";

fn judged(check: &str, spec: &str, text: &str) -> Verdict {
    verdict(&policy_of("run", check, spec), text)
}

#[test]
fn a_rack_that_is_as_before_passes_and_one_whose_resistance_rose_fails() {
    let healthy = judged(CANARY, "", "{}");
    assert_eq!(healthy.verdict, PASS, "{}", healthy.reason);
    let worse = judged(CANARY, "", "{canary: {effect: 0.03}}");
    let found = row(&worse, "canary");
    assert_eq!((worse.verdict, worse.cause), (FAIL, Some(Cause::Release)), "{}", worse.reason);
    assert!((found.observed.unwrap() - 0.03).abs() < 1e-4 && found.threshold == Some(0.02));
    assert_eq!(
        found.reason,
        "canary: thermal_resistance of rack r1 changed by +3.00 % ± 0.31 % against 2 racks beside it, beyond +2.00 % \
         by a confidence sequence of 95 %, window run, 12 batches, gated share 100 %"
    );
    let texts: Vec<String> =
        found.evidence.iter().map(|evidence| format!("{}: {}", evidence.name, evidence.text)).collect();
    assert_eq!(
        texts,
        [
            "change: mean +3.00 %, half width 0.31 %, n 12, effective n 12, deviation of a batch 0.31 %, r1 -1, \
             margin 2.00 %, α 0.05, gated share 100 %",
            "before: 48 batches, 240 steady minutes since 2026-01-05T05:00:00Z",
            "controls: beside-1, beside-2",
            "conditions: since: load 90.0 to 90.0 kW, mean 90.0 kW, ambient 28 °C, set point 35 °C; before: load 90.0 \
             to 90.0 kW, mean 90.0 kW, ambient 28 °C, set point 35 °C",
            "not judged: exchanger_conductance, hydraulic_resistance, heat_balance, pump_head, settling_time: too \
             little is known of them, they have no part in it",
        ]
    );
    assert!(
        found.evidence[0]
            .query
            .starts_with("SELECT time, node, device, signal, mean FROM blocks WHERE signal IN")
    );
}

#[test]
fn what_happens_to_racks_beside_it_too_is_not_the_releases_doing() {
    let shared = judged(CANARY, "", "{canary: {effect: 0.03, besideEffect: 0.03}}");
    assert_eq!(shared.verdict, PASS, "{}", shared.reason);
    let alone = judged(CANARY, "", "{canary: {besideEffect: -0.03}}");
    assert_eq!(
        alone.verdict, FAIL,
        "a rack that stays warm while those beside it cool down: {}",
        alone.reason
    );
    let better = judged(CANARY, "", "{canary: {effect: -0.03}}");
    assert_eq!(better.verdict, PASS, "{}", better.reason);
}

/// Each with its own margin; what is within it, or got better, changes no answer.
#[test]
fn settling_time_and_pump_head_fail_beyond_their_own_margins_only() {
    for (effects, expected, said) in [
        ("{settling_time: 0.2}", FAIL, "settling_time of rack r1 changed by +20.00 %"),
        ("{settling_time: 0.08}", PASS, ""),
        ("{settling_time: -0.3}", PASS, ""),
        ("{hydraulic_resistance: 0.08}", FAIL, "beyond +5.00 %"),
        ("{hydraulic_resistance: 0.03, settling_time: 0.05}", PASS, ""),
        ("{heat_balance: 0.3}", PASS, ""),
    ] {
        let found = judged(CANARY, "", &format!("{{canary: {{effects: {effects}}}}}"));
        assert_eq!(found.verdict, expected, "{effects}: {}", found.reason);
        assert!(found.reason.contains(said), "{effects}: {}", found.reason);
    }
    let both = judged(CANARY, "", "{canary: {effects: {settling_time: 0.2, hydraulic_resistance: 0.1}}}");
    assert!(both.reason.contains("[also FAIL of settling_time"), "{}", both.reason);
    assert!(
        both.reason.contains("a confidence sequence of 98.33 %"),
        "Holm's level of three: {}",
        both.reason
    );
}

/// A pump or an exchanger is compared with those of other loops: racks on its own loop have it in common.
#[test]
fn a_pump_that_all_racks_have_in_common_is_compared_with_nothing() {
    for effects in ["{pump_head: -0.2}", "{exchanger_conductance: -0.2}"] {
        let found = judged(CANARY, "", &format!("{{canary: {{effects: {effects}}}}}"));
        assert_eq!(found.verdict, PASS, "{effects}: {}", found.reason);
        let other = format!("{{canary: {{besideLoop: loop-b, effects: {effects}}}}}");
        let found = judged(CANARY, "", &other);
        assert_eq!(found.verdict, INCONCLUSIVE, "no release wears them. {effects}: {}", found.reason);
        assert_eq!(found.cause, Some(Cause::Facility), "{effects}: {}", found.reason);
        assert!(found.reason.contains("changed by -20.00 %"), "{effects}: {}", found.reason);
        let found = judged(CANARY, "onFacilityCause: FAIL", &other);
        assert_eq!(found.verdict, FAIL, "{effects}: {}", found.reason);
    }
}

/// Settling follows the load that is settled from: under another load it is not compared.
#[test]
fn settling_under_another_load_is_not_judged() {
    let found = judged(CANARY, "", "{canary: {loadMove: -30, effects: {settling_time: 0.2}}}");
    assert_eq!(found.verdict, PASS, "{}", found.reason);
    let evidence = &row(&found, "canary").evidence;
    let not_judged = evidence.iter().find(|evidence| evidence.name == "not judged").unwrap();
    assert!(not_judged.text.contains("settling_time"), "{}", not_judged.text);
}

#[test]
fn what_is_open_waits_while_the_run_goes_on_and_is_inconclusive_after_it() {
    let open = "canary: {effect: 0.018, noise: 0.02}";
    let waiting = judged(CANARY, "", &format!("{{{open}}}"));
    assert_eq!(waiting.verdict, PENDING, "{}", waiting.reason);
    assert_eq!(
        waiting.wait_until,
        Some(waiting.watermark + Microseconds::from_minutes(5) + Microseconds::from_seconds(30))
    );
    assert!(waiting.reason.contains("not yet surely on one side of +2.00 %"), "{}", waiting.reason);
    let over = judged(CANARY, "", &format!("{{{open}, run: {{age: 2h, ended: 1h}}}}"));
    assert_eq!(row(&over, "canary").unknown_reason, Some(UnknownReason::NotEnoughEvidence));
    assert_eq!(over.verdict, INCONCLUSIVE);
    let late = judged(CANARY, "waitFor: {deadline: 30m}", &format!("{{{open}}}"));
    assert_eq!(late.verdict, INCONCLUSIVE, "the deadline has passed");
}

#[test]
fn bad_evidence_needs_four_batches_and_good_evidence_twenty_minutes_too() {
    for (age, effect, expected, said) in [
        ("15m", "0.05", PENDING, "3 of 4 batches of steady load since the run's start are there"),
        ("20m", "0.05", FAIL, "beyond +2.00 %"),
        ("20m", "0", PENDING, "12 of 20 steady minutes are there, so far within +2.00 %"),
        ("35m", "0", PASS, "within +2.00 %"),
    ] {
        let given = format!("{{run: {{age: {age}}}, canary: {{effect: {effect}, steadyBlocks: 3}}}}");
        let found = judged(CANARY, "", &given);
        let row = row(&found, "canary");
        assert!(row.reason.contains(said), "{age}, {effect}: {}", row.reason);
        assert_eq!(row.verdict, expected, "{age}, {effect}: {}", row.reason);
    }
}

#[test]
fn without_racks_beside_it_the_racks_own_earlier_runs_count() {
    let runs = "runs: [{run: a, effect: 0.001}, {run: b}, {run: c, effect: -0.001}]";
    let found = judged(CANARY, "", &format!("{{canary: {{beside: 0, {runs}}}}}"));
    assert_eq!(found.verdict, PASS, "{}", found.reason);
    assert_eq!(found.baseline_run_ids, ["a".into(), "b".into(), "c".into()]);
    let worse = judged(CANARY, "", &format!("{{canary: {{beside: 0, effect: 0.03, {runs}}}}}"));
    assert_eq!(worse.verdict, FAIL, "{}", worse.reason);
    assert!(worse.reason.contains("against its 3 earlier runs"), "{}", worse.reason);
    // Runs that differ from each other by 2 % cannot show a change of 3 %.
    let runs = "runs: [{run: a, effect: 0.02}, {run: b}, {run: c, effect: -0.02}]";
    let open = judged(CANARY, "", &format!("{{canary: {{beside: 0, effect: 0.03, {runs}}}}}"));
    assert_eq!(open.verdict, PENDING, "{}", open.reason);
}

#[test]
fn runs_that_failed_warned_or_were_broken_off_are_no_baseline_unless_they_are_asked_for() {
    for spoilt in ["failed: true", "warned: true", "state: aborted", "state: abandoned"] {
        let given =
            format!("{{canary: {{beside: 0, runs: [{{run: a}}, {{run: b}}, {{run: c, {spoilt}}}]}}}}");
        let found = judged(CANARY, "", &given);
        assert_eq!(found.verdict, INCONCLUSIVE, "{spoilt}: {}", found.reason);
        assert_eq!(row(&found, "canary").unknown_reason, Some(UnknownReason::NotComparable));
        assert!(found.reason.contains("2 of 3 that are asked for are there, \"c\" "), "{}", found.reason);
        assert!(found.reason.contains("racks beside it: there is none at this site"), "{}", found.reason);
        let asked = judged("- {canary: {baseline: explicit, runs: [c]}}", "", &given);
        assert_eq!(asked.verdict, PASS, "{spoilt}: {}", asked.reason);
        assert_eq!(asked.baseline_run_ids, ["c".into()]);
    }
    let given = "{canary: {beside: 0, runs: [{run: a}, {run: b, passed: false}]}}";
    let last = judged("- {canary: {baseline: lastPass}}", "", given);
    assert_eq!(last.baseline_run_ids, ["a".into()], "only what a gate passed: {}", last.reason);
}

#[test]
fn a_tag_means_runs_of_these_versions() {
    let given =
        "{canary: {beside: 0, runs: [{run: a, versions: {image: '1'}}, {run: b, versions: {image: '2'}}]}}";
    let tagged = judged("- {canary: {baseline: tag, tag: {image: '1'}}}", "", given);
    assert_eq!(tagged.baseline_run_ids, ["a".into()], "{}", tagged.reason);
    let other = judged("- {canary: {baseline: tag, tag: {image: '3'}}}", "", given);
    assert_eq!(other.verdict, INCONCLUSIVE);
    assert!(other.reason.contains("\"a\" is not of image 3"), "{}", other.reason);
}

#[test]
fn a_comparison_under_other_conditions_is_invalid_and_says_what_differs() {
    for (differs, said) in [
        ("load: 60", "run \"c\" differs in load (60 kW then, 90 kW now)"),
        ("setpoint: 38", "run \"c\" differs in coolant_setpoint (38 °C then, 35 °C now)"),
        ("otherLoop: true", "run \"c\" differs in cooling_path (loop loop-b then, loop loop-a now)"),
    ] {
        let given =
            format!("{{canary: {{beside: 0, runs: [{{run: a}}, {{run: b}}, {{run: c, {differs}}}]}}}}");
        let found = judged(CANARY, "", &given);
        assert_eq!(found.verdict, INCONCLUSIVE, "{differs}: {}", found.reason);
        assert_eq!(row(&found, "canary").unknown_reason, Some(UnknownReason::NotComparable));
        assert!(found.reason.contains("comparison invalid: 2 of 3 earlier runs"), "{}", found.reason);
        assert!(found.reason.contains(said), "{}", found.reason);
    }
    let given = "{canary: {beside: 0, runs: [{run: a}, {run: b}, {run: c}]}}";
    let firmware = judged("- {canary: {matchOn: [firmware]}}", "", given);
    assert!(firmware.reason.contains("firmware (not known"), "unknown is never alike: {}", firmware.reason);
    let moved = judged(CANARY, "", "{canary: {setpointMove: 2}}");
    assert_eq!(moved.verdict, INCONCLUSIVE);
    assert!(
        moved
            .reason
            .contains("comparison invalid: the coolant's set point moved from 35 °C to 37 °C with the run"),
        "{}",
        moved.reason
    );
}

#[test]
fn nothing_to_compare_with_is_inconclusive_or_a_warning_and_never_a_pass() {
    let given = "{canary: {beside: 0}}";
    let found = judged(CANARY, "waitFor: {deadline: 4h}", given);
    assert_eq!(found.verdict, INCONCLUSIVE, "nothing will come: waiting would not help: {}", found.reason);
    let warned = judged("- {canary: {noBaseline: WARN}}", "", given);
    assert_eq!(warned.verdict, WARN, "{}", warned.reason);
    assert!(warned.without_baseline, "so that it can be a baseline itself");
    let doubt = "{canary: {beside: 0}, findings: [{detector: filter, severity: warning}]}";
    let other = "- {canary: {noBaseline: WARN}}\n- {findings: {severity: warning, none: true}}";
    let warned = judged(other, "", doubt);
    assert!(
        warned.verdict == WARN && !warned.without_baseline,
        "warned of something else: {}",
        warned.reason
    );
    // Runs whose conditions nobody knows are nothing to compare with; that they differ is another matter.
    let unknown = "{canary: {beside: 0, runs: [{run: a}, {run: b}, {run: c}]}}";
    let firmware = judged("- {canary: {matchOn: [firmware], noBaseline: WARN}}", "", unknown);
    assert!(
        firmware.verdict == WARN && firmware.reason.contains("firmware (not known"),
        "{}",
        firmware.reason
    );
    let differs = "{canary: {beside: 0, runs: [{run: a}, {run: b}, {run: c, load: 60}]}}";
    let invalid = judged("- {canary: {noBaseline: WARN}}", "", differs);
    assert_eq!(invalid.verdict, INCONCLUSIVE, "{}", invalid.reason);
    let short = judged(CANARY, "", "{canary: {before: 50m}}");
    assert!(
        short
            .reason
            .contains("racks beside it: 50 of 60 steady minutes of the rack itself before the run's start"),
        "{}",
        short.reason
    );
    let other = judged(CANARY, "", "{canary: {besideDiffers: true}}");
    assert!(other.reason.contains("beside-1 (another bill of materials)"), "{}", other.reason);
}

#[test]
fn throttling_or_a_page_on_this_rack_alone_fails_at_once() {
    let throttled = judged(CANARY, "", "{run: {age: 6m}, canary: {throttled: 3}}");
    assert_eq!((throttled.verdict, throttled.cause), (FAIL, Some(Cause::Release)), "{}", throttled.reason);
    assert!(
        throttled.reason.contains("guard rail: heat slowed a GPU of rack r1 down for 3s"),
        "{}",
        throttled.reason
    );
    let check = "- {objective: dt, warn: true}\n- {canary: {}}";
    let burning = "objectives: {dt: {burning: page, budgetLeft: 0.6, bad: 0.004}}";
    let page = judged(check, "", &format!("{{{burning}}}"));
    assert_eq!(row(&page, "canary").verdict, FAIL, "{}", page.reason);
    assert!(row(&page, "canary").reason.contains("guard rail: the error budget of dt"), "{}", page.reason);
    let both = judged(check, "", &format!("{{canary: {{besidePages: true}}, {burning}}}"));
    assert_eq!(row(&both, "canary").verdict, PASS, "it burns beside it too: {}", both.reason);
}

#[test]
fn a_rack_whose_gpus_are_not_measured_is_unknown_or_not_asked() {
    let found = judged(CANARY, "", "{missing: [gpu_temperature]}");
    assert_eq!(row(&found, "canary").unknown_reason, Some(UnknownReason::NeverSeen));
    let check = "- {objective: dt}\n- {canary: {}, undeclared: whenSeen}";
    let host = judged(check, "", "{missing: [gpu_temperature], undeclared: true}");
    assert!(host.checks.iter().all(|row| &*row.check != "canary"));
    let of_rack = verdict(&policy_of("rack", CANARY, ""), "{}");
    assert_eq!(of_rack.verdict, INCONCLUSIVE);
    assert!(of_rack.reason.contains("a run is compared, and none is asked about"), "{}", of_rack.reason);
}

/// A supply thermometer that drifts looks like a rack that got worse.
#[test]
fn a_sensor_in_doubt_makes_a_failure_unknown_and_a_pass_a_warning() {
    let policy = policy_of("run", CANARY, "");
    for (text, expected) in [("{canary: {effect: 0.03}}", INCONCLUSIVE), ("{}", WARN)] {
        let (question, facts) = facts(&policy, text);
        let beside = given(text).controls(&policy, &question, &facts);
        let mut doubted = (*facts[0]).clone();
        doubted.sensors.push(SensorTrust {
            signal: "coolant_supply_temperature".into(),
            place: doubted.place.clone(),
            sensor: None,
            trust: Trust::Suspect,
            reason: "finding hb".into(),
            since: None,
        });
        let found = judge_beside(&policy, &question, &[Arc::new(doubted)], &beside);
        assert_eq!(found.verdict, expected, "{}", found.reason);
        assert!(
            found.reason.contains("coolant_supply_temperature on rack r1 is suspect: finding hb"),
            "{}",
            found.reason
        );
    }
}

/// What is stored is enough, in whatever order the racks beside come, and holds no more than is looked at.
#[test]
fn a_comparison_is_judged_again_to_the_byte_from_what_is_stored() {
    let policy = policy_of("run", CANARY, "");
    let text = "{canary: {effect: 0.012, beside: 3}}";
    let (question, facts): (Question, Vec<Arc<RackFacts>>) = facts(&policy, text);
    let mut others: Vec<Arc<RackFacts>> = given(text).canary.beside(&facts[0]);
    others.extend(facts.iter().cloned());
    let chosen = controls(&policy, &question, &facts, &others);
    assert_eq!(
        chosen.iter().map(gate::Control::name).collect::<Vec<_>>(),
        ["beside-1", "beside-2", "beside-3"]
    );
    others.reverse();
    assert_eq!(controls(&policy, &question, &facts, &others), chosen);
    let answer = judge_beside(&policy, &question, &facts, &chosen).to_json();
    let stored = gate::facts_json(&policy, &question, &facts, &chosen);
    assert_eq!(judge_again(&stored).unwrap(), answer);
    let plain = policy_of("run", "- {burnRate: {tier: page}}", "");
    let stored = gate::facts_json(&plain, &question, &facts, &controls(&plain, &question, &facts, &others));
    assert!(
        stored.contains("\"batches\":null") && !stored.contains("\"controls\""),
        "no check looks at them"
    );
}

#[test]
fn a_rack_with_a_run_of_its_own_meanwhile_is_not_compared_with() {
    let policy = policy_of("run", CANARY, "");
    let text = "{canary: {beside: 2}}";
    let (question, facts) = facts(&policy, text);
    let mut others = given(text).canary.beside(&facts[0]);
    let mut busy = (*others[0]).clone();
    let start: EventTime = facts[0].run.as_ref().unwrap().start;
    busy.run = facts[0].run.clone().map(|run| telemetry::facts::RunFacts {
        run: "other".into(),
        racks: vec!["beside-1".into()],
        versions: Labels::new(),
        start: start + Microseconds::from_minutes(10),
        ..run
    });
    others[0] = Arc::new(busy);
    let found = judge_beside(&policy, &question, &facts, &controls(&policy, &question, &facts, &others));
    let controls =
        row(&found, "canary").evidence.iter().find(|evidence| evidence.name == "controls").unwrap();
    assert_eq!(controls.text, "beside-2; left out: beside-1 (a run of its own began or ended meanwhile)");
}
