//! Verdicts on racks that differ from a healthy one in one thing.

use std::sync::Arc;

use gate::policy::Policy;
use gate::{Question, Verdict, judge};
use telemetry::Microseconds;
use telemetry::facts::{
    Cause, Doubt, ObjectiveKind, ObjectiveStatus, Outcome, RackFacts, RecoveryTimeStatus, SensorTrust, Trust,
    UnknownReason,
};
use telemetry::place::Place;
use telemetry::record::Override;

use crate::rack::{
    FAIL, INCONCLUSIVE, PASS, PENDING, WARN, facts, policy, policy_of, row, verdict, verdict_of,
};

const DT: &str = "- {objective: dt}";
const COVERAGE: &str = "- {coverage: {signals: [coolant_flow]}}";

/// Gaps at the start, in the middle, at the end and everywhere, and one that is too short to matter, for each kind
/// of check: none of them is ever PASS or FAIL for want of data.
#[test]
fn gaps_are_inconclusive_wherever_they_are() {
    // Known share of the whole window, of the last hour, and the verdict.
    let gaps = [
        ("none", 1.0, 1.0, PASS),
        ("short", 0.97, 1.0, PASS),
        ("start or middle", 0.9, 1.0, INCONCLUSIVE),
        ("end", 0.96, 0.4, INCONCLUSIVE),
        ("everywhere", 0.0, 0.0, INCONCLUSIVE),
    ];
    let checks = [
        DT,
        "- {objective: dt, hard: true}",
        "- {objective: dt, warn: true}",
        "- {objective: dt, atMost: 0}",
        "- {objective: dt}\n- {burnRate: {tier: page}}",
        "- {trend: {objective: dt, timeToThresholdMin: 30m}}",
    ];
    for (name, whole, recent, expected) in gaps {
        for check in checks {
            // The objective's signal is `dt`; the check on its coverage tells the facts about it.
            let policy = policy(&format!("{check}\n- {{coverage: {{signals: [dt]}}, name: data}}"), "");
            let outcome = if whole < 0.95 { "unknown" } else { "ok" };
            let found = verdict(
                &policy,
                &format!(
                    "{{objectives: {{dt: {{outcome: {outcome}, coverage: {whole}}}}}, coverage: {{dt: {recent}}}}}"
                ),
            );
            assert_eq!(found.verdict, expected, "gap {name}, {check}: {}", found.reason);
            let about_objective = &found.checks[0];
            assert_eq!(about_objective.verdict, expected, "gap {name}, {check}: {}", about_objective.reason);
        }
    }
}

#[test]
fn a_gap_is_waited_for_only_by_a_policy_with_a_deadline_and_only_until_then() {
    let gap = "{coverage: {coolant_flow: 0.9}, run: {age: 20m}}";
    let cases = [
        ("", INCONCLUSIVE),
        ("waitFor: {deadline: 30m}", PENDING),
        ("waitFor: {deadline: 15m}", INCONCLUSIVE),
    ];
    for (wait, expected) in cases {
        let found = verdict(&policy_of("run", COVERAGE, wait), gap);
        assert_eq!(found.verdict, expected, "{wait}: {}", found.reason);
        assert_eq!(found.wait_until.is_some(), expected == PENDING);
        assert_eq!(found.checks[0].unknown_reason, Some(UnknownReason::LowCoverage));
    }
}

#[test]
fn a_broken_sensor_is_not_mended_by_waiting() {
    let policy = policy_of("run", DT, "waitFor: {deadline: 4h}");
    let found =
        verdict(&policy, "{objectives: {dt: {outcome: unknown, unknown: sensor_fault, coverage: 0.7}}}");
    assert_eq!((found.verdict, found.cause), (INCONCLUSIVE, Some(Cause::Sensor)));
}

#[test]
fn a_sensor_that_is_not_trusted_now_makes_weeks_of_good_time_inconclusive() {
    let policy = policy(&format!("{DT}\n- {{coverage: {{signals: [dt]}}}}"), "");
    let found = verdict(&policy, "{age: 14d, distrusted: [dt]}");
    // The only series of the signal is the distrusted one.
    assert_eq!(found.verdict, INCONCLUSIVE, "{}", found.reason);
    assert_eq!(row(&found, "dt").unknown_reason, Some(UnknownReason::Distrusted));
}

#[test]
fn waiting_names_the_earliest_moment_at_which_the_answer_can_change() {
    let policy = policy_of("run", DT, "waitFor: {minDuration: 20m, deadline: 60m}");
    let (question, facts) = facts(&policy, "{run: {age: 5m}}");
    let found = judge(&policy, &question, &facts);
    let start = facts[0].run.as_ref().unwrap().start;
    // 20 minutes after the start are final once the tick is the allowed lateness further.
    assert_eq!(
        found.wait_until,
        Some(start + Microseconds::from_minutes(20) + Microseconds::from_seconds(30))
    );
    assert_eq!(found.verdict, PENDING);
    assert_eq!(row(&found, "min-duration").observed, Some(300.0));
    assert_eq!(row(&found, "min-duration").threshold, Some(1200.0));
    assert_eq!(row(&found, "dt").verdict, PASS);
}

#[test]
fn a_run_that_ended_too_soon_is_inconclusive_not_pending_for_ever() {
    let policy = policy_of("run", DT, "waitFor: {minDuration: 20m}");
    let found = verdict(&policy, "{run: {age: 30m, ended: 20m}}");
    assert_eq!(found.verdict, INCONCLUSIVE, "{}", found.reason);
    assert!(found.reason.contains("10m of 20m"), "{}", found.reason);
}

#[test]
fn a_run_whose_last_data_is_still_awaited_is_pending() {
    let policy = policy_of("run", DT, "");
    let (question, facts) = facts(&policy, "{run: {age: 30m, ended: 0s}}");
    let mut rack = (*facts[0]).clone();
    rack.watermark = rack.watermark - Microseconds::from_seconds(20);
    let found = judge(&policy, &question, &[Arc::new(rack)]);
    assert_eq!(found.verdict, PENDING, "{}", found.reason);
    assert_eq!(found.wait_until, Some(question.asked_at + Microseconds::from_seconds(20)));
    assert_eq!(judge(&policy, &question, &facts).verdict, PASS);
}

#[test]
fn what_was_asked_for_after_now_is_pending_even_when_older_facts_are_bad() {
    let policy = policy(DT, "");
    for outcome in ["ok", "not_ok"] {
        let (question, facts) =
            facts(&policy, &format!("{{notBefore: 90s, objectives: {{dt: {{outcome: {outcome}}}}}}}"));
        let found = judge(&policy, &question, &facts);
        assert_eq!(found.verdict, PENDING);
        assert_eq!(found.wait_until, Some(question.asked_at + Microseconds::from_seconds(90)));
        let later = Question { asked_at: question.asked_at + Microseconds::from_seconds(90), ..question };
        let mut rack = (*facts[0]).clone();
        rack.watermark = rack.watermark + Microseconds::from_seconds(90);
        let found = judge(&policy, &later, &[Arc::new(rack)]);
        assert_eq!(found.verdict, if outcome == "ok" { PASS } else { FAIL });
    }
}

#[test]
fn a_deadline_without_a_run_counts_from_the_first_time_of_asking() {
    let policy = policy(COVERAGE, "waitFor: {deadline: 10m}");
    let (mut question, facts) = facts(&policy, "{coverage: {coolant_flow: 0.5}}");
    assert_eq!(judge(&policy, &question, &facts).verdict, PENDING);
    question.waiting_since = Some(question.asked_at - Microseconds::from_minutes(9));
    let waiting = judge(&policy, &question, &facts);
    assert_eq!(waiting.verdict, PENDING);
    assert!(waiting.wait_until <= Some(question.asked_at + Microseconds::from_minutes(1)));
    question.waiting_since = Some(question.asked_at - Microseconds::from_minutes(10));
    assert_eq!(judge(&policy, &question, &facts).verdict, INCONCLUSIVE);
}

#[test]
fn a_signal_that_never_came_is_inconclusive_with_its_name() {
    let policy = policy("- {objective: renamed}\n- {coverage: {signals: [coolant_flow, pump_speed]}}", "");
    let found = verdict(&policy, "{missing: [renamed, pump_speed]}");
    assert_eq!(found.verdict, INCONCLUSIVE);
    for check in ["renamed", "coverage"] {
        assert_eq!(row(&found, check).unknown_reason, Some(UnknownReason::NeverSeen));
    }
    let renamed = row(&found, "renamed");
    assert_eq!(
        renamed.reason,
        "renamed: renamed was never seen on rack r1 (misspelt, renamed or not exported), <= 10 K is asked"
    );
    assert_eq!((renamed.observed, renamed.threshold), (None, Some(10.0)));
    assert!(row(&found, "coverage").reason.contains("pump_speed was never seen"));
}

#[test]
fn a_rack_nobody_ever_saw_is_inconclusive() {
    let policy = policy(&format!("{DT}\n{COVERAGE}"), "");
    let found = verdict_of(&policy, &[("r1", "{}"), ("r2", "{neverSeen: true}")]);
    assert_eq!(found.verdict, INCONCLUSIVE);
    assert_eq!(
        found.racks.iter().map(|rack| (&*rack.rack, rack.verdict)).collect::<Vec<_>>(),
        [("r1", PASS), ("r2", INCONCLUSIVE)]
    );
    assert!(found.reason.contains("rack r2 was never seen"), "{}", found.reason);
}

#[test]
fn a_host_that_no_site_file_names_is_not_asked_for_what_it_never_had() {
    let policy = policy("- {objective: dt, undeclared: whenSeen}\n- {objective: margin}", "");
    let found = verdict(&policy, "{undeclared: true, missing: [dt]}");
    assert_eq!(found.verdict, PASS);
    assert_eq!(found.checks.len(), 1, "the check that is not asked has no row");
    assert_eq!(verdict(&policy, "{missing: [dt]}").verdict, INCONCLUSIVE, "a declared rack must have it");
    let broken = verdict(&policy, "{undeclared: true, objectives: {dt: {outcome: not_ok}}}");
    assert_eq!(broken.verdict, FAIL, "where it is seen it counts");
    let nothing = verdict(&policy, "{undeclared: true, missing: [dt, margin]}");
    assert_eq!(nothing.verdict, INCONCLUSIVE);
}

#[test]
fn nothing_asked_is_nothing_known() {
    let policy = policy("- {objective: dt, undeclared: whenSeen}", "");
    let found = verdict(&policy, "{undeclared: true, missing: [dt]}");
    assert_eq!((found.verdict, found.score), (INCONCLUSIVE, None));
    assert!(found.reason.contains("no check of the policy applies to rack r1"), "{}", found.reason);
}

#[test]
fn a_failed_objective_tells_observed_threshold_place_budget_and_time_to_threshold() {
    let found = verdict(
        &policy(DT, ""),
        "{objectives: {dt: {outcome: not_ok, observed: 13.4, threshold: 12, bad: 0.2, budgetLeft: -3.2}}}",
    );
    assert_eq!(
        found.reason,
        "dt 13.4 K > 12 K on rack r1 (worst at 2026-01-05T10:00:00Z, now 13.4 K), bad 4h 48m of 1d, \
         budget spent 4.2×, window 28d, coverage 100 %; time to threshold 0s"
    );
    assert_eq!(found.cause, Some(Cause::Release));
    let row = row(&found, "dt");
    assert_eq!((row.observed, row.threshold, &*row.unit), (Some(13.4), Some(12.0), "K"));
    assert_eq!(row.worst_group, "site s1, loop loop-a, rack r1");
    assert!(
        row.evidence
            .iter()
            .any(|evidence| evidence.query.contains("FROM samples") && evidence.query.contains("'r1'"))
    );
    assert!(row.evidence.iter().any(|evidence| evidence.query.contains("FROM slo_status")));
}

#[test]
fn hard_means_one_bad_unit_above_the_noise_floor() {
    // 24 h judged: a share of 0.0001 is 8.64 s.
    let cases = [
        ("", 0.0001, FAIL),
        ("noiseFloor: 5s,", 0.0001, FAIL),
        ("noiseFloor: 10s,", 0.0001, PASS),
        ("", 0.0, PASS),
    ];
    for (floor, bad, expected) in cases {
        let policy = policy(&format!("- {{objective: dt, {floor} hard: true}}"), "");
        let found = verdict(&policy, &format!("{{objectives: {{dt: {{bad: {bad}}}}}}}"));
        assert_eq!(found.verdict, expected, "{floor} {bad}: {}", found.reason);
    }
}

/// The healthy rack's objective `dt`, as one about recoveries: bursts within the limit, late, and not known.
fn with_recoveries(check: &str, within: u64, late: u64, unknown: u64, outcome: Outcome) -> Verdict {
    let policy = policy(check, "");
    let (question, mut facts) = facts(&policy, "{}");
    let rack = Arc::make_mut(&mut facts[0]);
    let turn = |status: &mut ObjectiveStatus| {
        (status.kind, status.unit, status.events) = (ObjectiveKind::RecoveryTime, "s".into(), None);
        (status.threshold, status.target_ppm, status.outcome) = (600.0, 950_000, outcome);
        let longest = if late > 0 { 821.0 } else { 385.0 };
        for seen in [&mut status.worst, &mut status.last].into_iter().flatten() {
            seen.value = longest;
        }
        (status.budget_left, status.burn) = (None, Vec::new());
        status.unknown_reason = (outcome == Outcome::Unknown).then_some(UnknownReason::NotEnoughEvidence);
        status.recoveries = Some(RecoveryTimeStatus {
            within,
            late,
            censored: unknown,
            unknown: 0,
            open: 0,
            longest: (within + late > 0).then_some(Microseconds::from_seconds(longest as i64)),
            lower_share: 0.8987,
            upper_share: 0.994,
            interval: Some((0.912, 0.99)),
        });
    };
    rack.objectives.iter_mut().for_each(turn);
    judge(&policy, &question, &facts)
}

#[test]
fn a_recovery_time_tells_bursts_the_longest_and_the_bounds_that_decide() {
    let found = with_recoveries(DT, 57, 3, 0, Outcome::NotOk);
    assert_eq!(found.verdict, FAIL);
    let row = row(&found, "dt");
    assert_eq!((row.observed, row.threshold, row.unit.as_ref()), (Some(821.0), Some(600.0), "s"));
    assert_eq!(
        row.reason,
        "dt 13m 41s > 10m on rack r1, 57 of 60 bursts settled within 10m, longest 13m 41s, 90 % interval 91.2 % to 99 %, \
         95 % asked; one-sided 95 % bounds of the share 89.87 % and 99.4 %, coverage 100 %"
    );
    let found = with_recoveries(DT, 58, 0, 2, Outcome::Unknown);
    assert_eq!(found.verdict, INCONCLUSIVE);
    let reason = &found.checks[0].reason;
    assert!(reason.contains("is unknown (not_enough_evidence)"), "{reason}");
    assert!(
        reason.contains("58 of 58 bursts settled within 10m") && reason.contains("2 censored"),
        "{reason}"
    );
    assert_eq!(with_recoveries(DT, 59, 0, 0, Outcome::Ok).verdict, PASS);
}

/// What a short run can show: a cap on late recoveries, with those that are not known counted either way.
#[test]
fn a_cap_on_late_recoveries_needs_one_burst_and_no_unknown_one_too_many() {
    let cases = [
        ("atMost: 0", 3, 0, 0, PASS, "0 late recoveries, 0 allowed"),
        ("atMost: 0", 2, 1, 0, FAIL, "1 late recoveries, 0 allowed"),
        ("atMost: 1", 2, 1, 0, PASS, "1 late recoveries, 1 allowed"),
        ("atMost: 0", 3, 0, 1, INCONCLUSIVE, "those that are not known may be late"),
        ("atMost: 1", 3, 0, 1, PASS, "1 censored"),
        ("atMost: 0", 0, 0, 0, INCONCLUSIVE, "no burst of load has been recovered from yet"),
    ];
    for (cap, within, late, unknown, expected, said) in cases {
        let check = format!("- {{objective: dt, {cap}}}");
        let found = with_recoveries(&check, within, late, unknown, Outcome::Unknown);
        let reason = &found.checks[0].reason;
        assert_eq!(found.verdict, expected, "{cap}: {reason}");
        assert!(reason.contains(said), "{reason}");
    }
}

#[test]
fn zero_tolerance_can_stand_in_the_policy_itself() {
    let policy = policy("- {objective: {inline: {signal: leak_state, equals: ok}}, hard: true}", "");
    assert_eq!(verdict(&policy, "{}").verdict, PASS);
    let leak =
        verdict(&policy, "{objectives: {'leak_state = ok': {outcome: not_ok, observed: 2, bad: 0.01}}}");
    assert_eq!(leak.verdict, FAIL);
    assert!(leak.reason.starts_with("leak_state = ok critical is not ok on rack r1"), "{}", leak.reason);
    assert_eq!(verdict(&policy, "{missing: ['leak_state = ok']}").verdict, INCONCLUSIVE);
}

#[test]
fn a_fail_that_is_marked_warn_counts_as_a_warning_and_an_unknown_does_not() {
    let policy = policy("- {objective: dt, warn: true}", "");
    assert_eq!(verdict(&policy, "{objectives: {dt: {outcome: not_ok}}}").verdict, WARN);
    assert_eq!(
        verdict(&policy, "{objectives: {dt: {outcome: unknown, coverage: 0.5}}}").verdict,
        INCONCLUSIVE
    );
}

#[test]
fn the_facility_does_not_fail_a_release_unless_the_policy_says_so() {
    let facts = "{objectives: {dt: {outcome: not_ok, cause: facility}}}";
    let found = verdict(&policy(DT, ""), facts);
    assert_eq!((found.verdict, found.cause), (INCONCLUSIVE, Some(Cause::Facility)));
    let strict = verdict(&policy(DT, "onFacilityCause: FAIL"), facts);
    assert_eq!((strict.verdict, strict.cause), (FAIL, Some(Cause::Facility)));
    let hard = verdict(&policy("- {objective: dt, hard: true}", ""), facts);
    assert_eq!(hard.verdict, FAIL, "zero tolerance, whoever's doing it is");
    let both = verdict(
        &policy("- {objective: dt}\n- {objective: other}", ""),
        "{objectives: {dt: {outcome: not_ok, cause: facility}, other: {outcome: not_ok}}}",
    );
    assert_eq!((both.verdict, both.cause), (FAIL, Some(Cause::Release)), "the release is to blame as well");
}

#[test]
fn a_rack_passes_only_where_every_limit_is_surely_above_what_is_planned() {
    // 110 kW and 10 % more: 121 kW.
    let policy = policy("- {headroom: {planned: 110kW, atLeast: 0.1}}", "onFacilityCause: FAIL");
    for (headroom, expected, said) in [
        ("chip: {power: 130}", PASS, "chip limits rack_power at design ambient to 130 kW (123.5 to 136.5 kW"),
        ("chip: {power: 124}", INCONCLUSIVE, "chip may allow as little as 117.8 kW"),
        ("chip: {power: 110}", FAIL, "121 kW is asked (110 kW planned and 10 % more), facility water 31 °C"),
        ("cdu: {power: 118}", INCONCLUSIVE, "cdu may allow as little as 112.1 kW"),
        ("cdu: {power: 100}", FAIL, "cdu limits rack_power at design ambient to 100 kW (95 to 105 kW"),
        (
            "pump: {power: 140, lower: 120}, chip: {power: 130}",
            INCONCLUSIVE,
            "pump may allow as little as 120 kW",
        ),
        ("door: {unknown: uncalibrated}", INCONCLUSIVE, "door is not known: said by the test"),
        ("door: {missing: air_exhaust_temperature}", PASS, "limits rack_power"),
        (
            "chip: {missing: gpu_temperature}",
            INCONCLUSIVE,
            "nothing tells of chip: gpu_temperature is missing",
        ),
        (
            "chip: {power: 100}, cdu: {unknown: stale}",
            FAIL,
            "chip limits rack_power at design ambient to 100 kW",
        ),
    ] {
        let found = verdict(&policy, &format!("{{headroom: {{{headroom}}}}}"));
        assert_eq!(found.verdict, expected, "{headroom}: {}", found.reason);
        assert!(
            row(&found, "headroom").reason.contains(said),
            "{headroom}: {}",
            row(&found, "headroom").reason
        );
    }
    let found = verdict(&policy, "{headroom: {cdu: {power: 100}}}");
    let row = row(&found, "headroom");
    assert_eq!((row.observed, row.threshold), (Some(100.0), Some(110.0 * 1.1)));
    assert_eq!(
        (&*row.signal, &*row.unit, &*row.window, row.coverage),
        ("rack_power", "kW", "design", Some(1.0))
    );
    assert_eq!(row.cause, Some(Cause::Facility), "the distribution unit serves all racks");
    assert_eq!(row.evidence.len(), 5, "every limit is shown");
    assert!(row.evidence[2].query.contains("\"limit\" = 'design/cdu'"), "{}", row.evidence[2].query);
}

#[test]
fn a_policy_says_which_limits_must_be_known() {
    let policy = policy("- {headroom: {atLeast: 0, at: now, limits: [cdu]}}", "");
    for (headroom, expected) in [
        ("chip: {missing: gpu_temperature}, door: {unknown: stale}", PASS),
        ("cdu: {missing: valve_position}", INCONCLUSIVE),
        ("chip: {power: 90}", FAIL),
    ] {
        let found = verdict(&policy, &format!("{{headroom: {{{headroom}}}}}"));
        assert_eq!(found.verdict, expected, "{headroom}: {}", found.reason);
        assert_eq!(&*row(&found, "headroom-now").window, "now");
    }
}

#[test]
fn headroom_is_not_believed_while_its_readings_are_missing_or_doubted() {
    let policy = policy("- {headroom: {planned: 110kW}}", "");
    for (given, reason) in [
        ("coverage: {rack_power: 0.9}", UnknownReason::LowCoverage),
        ("maintenance: 1h", UnknownReason::Maintenance),
        ("distrusted: [rack_power]", UnknownReason::Distrusted),
        ("neverSeen: true", UnknownReason::NeverSeen),
    ] {
        let found = verdict(&policy, &format!("{{{given}}}"));
        assert_eq!(found.verdict, INCONCLUSIVE, "{given}: {}", found.reason);
        assert_eq!(row(&found, "headroom").unknown_reason, Some(reason), "{given}");
    }
    let (question, mut facts) = facts(&policy, "{}");
    Arc::make_mut(&mut facts[0]).headroom = None;
    let found = judge(&policy, &question, &facts);
    assert_eq!(row(&found, "headroom").unknown_reason, Some(UnknownReason::NeverSeen), "{}", found.reason);
}

#[test]
fn a_detector_is_proven_by_a_drill_that_is_not_too_old() {
    let policy = policy("- {proven: {detectors: [pump_trip, leak], within: 30d}}", "");
    for (drills, expected, said) in [
        ("", PASS, "was found after 0s, 1h ago, 30d is asked"),
        ("leak: {age: 29d}", PASS, "29d ago, 30d is asked"),
        (
            "leak: {age: 31d}",
            INCONCLUSIVE,
            "is 31d old, 30d is asked: `thermogate drill live --rack r1 --class leak` does",
        ),
        ("leak: {never: true}", INCONCLUSIVE, "leak was never drilled on rack r1: `thermogate drill live"),
        (
            "leak: {failed: true}",
            FAIL,
            "its latest drill, drill-of-leak of leak, failed 1h ago: no finding of leak",
        ),
        ("leak: {failed: true, age: 90d}", FAIL, "failed 90d ago"),
    ] {
        let found = verdict(&policy, &format!("{{drills: {{{drills}}}}}"));
        assert_eq!(found.verdict, expected, "{drills}: {}", found.reason);
        let said_of_it = &row(&found, "proven").reason;
        assert!(said_of_it.contains(said), "{drills}: {said_of_it}");
    }
}

#[test]
fn a_drill_of_another_rack_or_loop_proves_nothing_here() {
    let policy = policy("- {proven: {detectors: [gap], within: 1d}}", "");
    let (question, mut facts) = facts(&policy, "{}");
    assert_eq!(judge(&policy, &question, &facts).verdict, PASS);
    let drill = &mut Arc::make_mut(&mut facts[0]).drills[0];
    drill.place.rack = None;
    assert_eq!(
        judge(&policy, &question, &facts).verdict,
        PASS,
        "a drill of the loop is one of all its racks"
    );
    let drill = &mut Arc::make_mut(&mut facts[0]).drills[0];
    drill.place.cooling_loop = Some("loop-b".into());
    assert_eq!(judge(&policy, &question, &facts).verdict, INCONCLUSIVE);
    let drill = &mut Arc::make_mut(&mut facts[0]).drills[0];
    (drill.place.cooling_loop, drill.place.rack) = (Some("loop-a".into()), Some("r2".into()));
    assert_eq!(judge(&policy, &question, &facts).verdict, INCONCLUSIVE);
}

#[test]
fn load_that_was_not_there_shows_nothing() {
    let policy = policy_of(
        "run",
        "- {soak: {min: 20m, loadMin: 60kW}}\n- {powerEnvelope: {shareOfNominal: 0.95, for: 10m}}",
        "",
    );
    let soaked = verdict(&policy, "{load: {longest: 12m, total: 25m}}");
    assert_eq!(soaked.verdict, PASS, "{}", soaked.reason);
    let (question, few) = facts(&policy, "{load: {longest: 4m, total: 15m}}");
    let waiting = judge(&policy, &question, &few);
    assert_eq!(waiting.verdict, PENDING);
    assert_eq!(row(&waiting, "soak").wait_until, Some(question.asked_at + Microseconds::from_minutes(5)));
    assert_eq!(
        row(&waiting, "power-envelope").wait_until,
        Some(question.asked_at + Microseconds::from_minutes(6))
    );
    assert_eq!(waiting.wait_until, row(&waiting, "soak").wait_until);
    let over = verdict(&policy, "{run: {age: 60m, ended: 5m}, load: {longest: 4m, total: 15m}}");
    assert_eq!(over.verdict, INCONCLUSIVE);
    assert_eq!(row(&over, "soak").unknown_reason, Some(UnknownReason::NotEnoughEvidence));
}

#[test]
fn racks_that_nothing_is_known_of_do_not_hold_the_rest_up_but_a_fail_does() {
    let bad = "{objectives: {dt: {outcome: not_ok}}}";
    let silent = "{objectives: {dt: {outcome: unknown, coverage: 0.2}}}";
    let of_four = |share: &str, last: &str| -> Verdict {
        let policy = policy(DT, &format!("scope: {{of: rack, combine: {share}}}"));
        verdict_of(&policy, &[("r1", "{}"), ("r2", "{}"), ("r3", "{}"), ("r4", last)])
    };
    assert_eq!(of_four("worst", silent).verdict, INCONCLUSIVE);
    assert_eq!(of_four("atLeast(0.76)", silent).verdict, INCONCLUSIVE);
    let carried = of_four("atLeast(0.75)", silent);
    assert_eq!(carried.verdict, WARN, "unknown never becomes PASS");
    assert_eq!(carried.racks[3].verdict, INCONCLUSIVE);
    assert_eq!(of_four("atLeast(0.75)", bad).verdict, FAIL, "a FAIL is never outvoted");
    assert_eq!(of_four("atLeast(0.75)", "{}").verdict, PASS);
}

#[test]
fn the_oldest_watermark_counts_for_all_racks() {
    let policy = policy(DT, "");
    let (mut question, one) = facts(&policy, "{notBefore: 0s}");
    let mut other: RackFacts = (*one[0]).clone();
    other.place.rack = Some("r2".into());
    other.watermark = other.watermark - Microseconds::from_seconds(60);
    question.racks.push("r2".into());
    let found = judge(&policy, &question, &[one[0].clone(), Arc::new(other.clone())]);
    assert_eq!(found.watermark, other.watermark);
    assert_eq!(found.verdict, PENDING);
    assert!(found.racks.iter().all(|rack| rack.verdict == PENDING));
}

#[test]
fn a_loop_is_judged_with_all_its_racks() {
    let policy = policy_of("loop", DT, "");
    let found = verdict_of(&policy, &[("r1", "{}"), ("r2", "{objectives: {dt: {outcome: not_ok}}}")]);
    assert_eq!(found.scope.racks, ["loop-a".into()]);
    assert_eq!(
        found.racks.iter().map(|rack| (&*rack.rack, rack.verdict)).collect::<Vec<_>>(),
        [("r1", PASS), ("r2", FAIL)]
    );
}

#[test]
fn a_policy_about_runs_takes_the_active_run_and_knows_when_there_is_none() {
    let policy = policy_of("run", DT, "");
    let (mut question, active) = facts(&policy, "{}");
    question.run = None;
    let found = judge(&policy, &question, &active);
    assert_eq!((found.verdict, found.run_id.as_deref()), (PASS, Some("run-1")));
    let (mut question, ended) = facts(&policy, "{run: {ended: 5m}}");
    question.run = None;
    let found = judge(&policy, &question, &ended);
    assert_eq!((found.verdict, found.run_id), (INCONCLUSIVE, None));
    question.run = Some("nobody-knows".into());
    let found = judge(&policy, &question, &ended);
    assert_eq!(found.verdict, INCONCLUSIVE);
    assert!(found.reason.contains("thermogate run start"), "{}", found.reason);
}

#[test]
fn a_policy_that_is_only_tried_answers_pass_and_says_what_it_found() {
    let policy = policy(DT, "dryRun: true");
    let found = verdict(&policy, "{objectives: {dt: {outcome: not_ok}}}");
    assert_eq!((found.verdict, found.dry_run, found.would_be), (PASS, true, Some(FAIL)));
    assert!(found.reason.starts_with("dry run, would be FAIL: "), "{}", found.reason);
    assert_eq!(row(&found, "dt").verdict, FAIL);
}

#[test]
fn an_override_stands_beside_the_verdict_until_it_expires() {
    let policy = policy(DT, "");
    let (mut question, facts) = facts(&policy, "{objectives: {dt: {outcome: not_ok}}}");
    let given = Override {
        evaluation: "0123456789abcdef".into(),
        time: question.asked_at,
        checks: vec!["dt".into()],
        by: "kim".into(),
        why: "known, pump is being changed".into(),
        until: question.asked_at + Microseconds::from_hours(1),
    };
    question.overrides = vec![given];
    let found = judge(&policy, &question, &facts);
    assert_eq!(found.verdict, FAIL);
    assert_eq!((found.overrides.len(), &*found.overrides[0].by), (1, "kim"));
    question.asked_at = question.asked_at + Microseconds::from_hours(1);
    assert!(judge(&policy, &question, &facts).overrides.is_empty());
}

#[test]
fn an_evaluation_id_names_one_answer_to_one_request() {
    let checks = policy(DT, "");
    let (question, facts) = facts(&checks, "{}");
    let id = |question: &Question, facts: &[Arc<RackFacts>]| judge(&checks, question, facts).evaluation_id;
    let first = id(&question, &facts);
    assert_eq!(first.len(), 16);
    assert_eq!(first, id(&question, &facts));
    let mut later = (*facts[0]).clone();
    later.watermark = later.watermark + Microseconds(1);
    let mut broken = (*facts[0]).clone();
    broken.objectives[0].outcome = Outcome::NotOk;
    for other in [
        id(&Question { asked_at: question.asked_at + Microseconds(1), ..question.clone() }, &facts),
        id(&question, &[Arc::new(broken)]),
        id(&Question { request_id: "another".into(), ..question.clone() }, &facts),
        id(&Question { racks: vec!["r1".into(), "r2".into()], ..question.clone() }, &facts),
        id(&question, &[Arc::new(later)]),
        judge(&policy("- {objective: dt, weight: 2}", ""), &question, &facts).evaluation_id,
    ] {
        assert_ne!(first, other);
    }
}

#[test]
fn the_score_is_a_number_for_callers_and_stays_in_its_band() {
    let checks = policy("- {objective: a, weight: 3}\n- {objective: b}", "");
    let cases = [
        ("{}", PASS, Some(100)),
        ("{objectives: {b: {budgetLeft: 0.1}}}", WARN, Some(88)),
        ("{objectives: {a: {budgetLeft: 0.1}}}", WARN, Some(75)),
        ("{objectives: {b: {outcome: not_ok}}}", FAIL, Some(74)),
        ("{objectives: {a: {outcome: not_ok}}}", FAIL, Some(25)),
        ("{objectives: {b: {outcome: unknown}}}", INCONCLUSIVE, None),
    ];
    for (given, expected, score) in cases {
        let found = verdict(&checks, given);
        assert_eq!((found.verdict, found.score), (expected, score), "{given}: {}", found.reason);
    }
}

#[test]
fn burn_windows_that_are_not_full_say_nothing_yet() {
    let policy = policy("- {burnRate: {tier: page}}\n- {objective: dt}", "");
    let (question, facts) = facts(&policy, "{age: 10m}");
    let mut young = (*facts[0]).clone();
    young.objectives[0].burn[0].ready = false;
    let found = judge(&policy, &question, &[Arc::new(young.clone())]);
    let burn = row(&found, "burn-rate-page");
    assert_eq!((burn.verdict, burn.unknown_reason), (PENDING, Some(UnknownReason::WindowIncomplete)));
    // The shortest window is 30 minutes long and began 10 minutes ago.
    assert_eq!(burn.wait_until, Some(question.asked_at + Microseconds::from_minutes(20)));
}

#[test]
fn a_redundant_sensor_stands_in_for_one_that_is_silent_or_not_trusted() {
    let policy = policy(&format!("{DT}\n- {{coverage: {{signals: [dt]}}}}"), "");
    let (question, facts) = facts(&policy, "{coverage: {dt: 0.1}, distrusted: [dt]}");
    assert_eq!(judge(&policy, &question, &facts).verdict, INCONCLUSIVE);
    let mut two = (*facts[0]).clone();
    let mut second = two.coverage.iter().find(|coverage| &*coverage.signal == "dt").unwrap().clone();
    Arc::make_mut(&mut second.series).sensor = Some("b".into());
    second.known = second.asked;
    two.coverage.push(second);
    let found = judge(&policy, &question, &[Arc::new(two)]);
    assert_eq!(found.verdict, PASS, "{}", found.reason);
}

/// Facts of a rack whose objective reads a sensor `b` of its loop that is trusted this far.
fn with_doubt(trust: Trust, instead: &[&str]) -> (Question, Vec<Arc<RackFacts>>, Policy) {
    let policy = policy(DT, "");
    let (question, facts) = facts(&policy, "{age: 14d}");
    let mut rack = (*facts[0]).clone();
    let of_loop = Place { cooling_loop: Some("l1".into()), rack: None, ..rack.place.clone() };
    let sensor = SensorTrust {
        signal: "dt".into(),
        place: of_loop,
        sensor: Some("b".into()),
        trust,
        reason: "finding redund".into(),
        since: Some(rack.watermark),
    };
    rack.objectives[0].doubts =
        vec![Doubt { sensor, instead: instead.iter().map(|name| (*name).into()).collect() }];
    (question, vec![Arc::new(rack)], policy)
}

#[test]
fn a_distrusted_sensor_that_a_redundant_one_stands_in_for_is_named_and_does_not_stop_a_pass() {
    let (question, facts, policy) = with_doubt(Trust::Distrusted, &["a", "c"]);
    let found = judge(&policy, &question, &facts);
    assert_eq!(found.verdict, PASS, "{}", found.reason);
    let said = "dt (sensor b) on loop l1 is distrusted: finding redund; left out, a and c counts instead";
    assert!(row(&found, "dt").reason.contains(said), "{}", row(&found, "dt").reason);
    let shown = row(&found, "dt").evidence.iter().find(|shown| shown.name == "sensor").unwrap();
    assert_eq!(shown.text, said);
    assert!(shown.query.contains("name = 'trust/dt/b' AND site = "), "{}", shown.query);
}

#[test]
fn a_loops_sensor_that_nothing_stands_in_for_decides_about_the_racks_that_read_it() {
    for (trust, expected) in
        [(Trust::Distrusted, INCONCLUSIVE), (Trust::Suspect, WARN), (Trust::Uncalibrated, WARN)]
    {
        let (question, facts, policy) = with_doubt(trust, &[]);
        let found = judge(&policy, &question, &facts);
        assert_eq!(found.verdict, expected, "{trust:?}: {}", found.reason);
        let said = format!("dt (sensor b) on loop l1 is {}: finding redund", trust.name());
        assert!(row(&found, "dt").reason.contains(&said), "{}", row(&found, "dt").reason);
    }
    let (_, facts, policy) = with_doubt(Trust::Distrusted, &[]);
    assert_eq!(policy.checks.len(), 1);
    assert_eq!(facts[0].objectives[0].outcome, Outcome::Ok, "four weeks of good time");
}

#[test]
fn coverage_and_load_of_a_distrusted_sensor_show_nothing() {
    let policy = policy("- {coverage: {signals: [rack_power]}}\n- {soak: {min: 20m, loadMin: 60kW}}", "");
    let text = "{coverage: {rack_power: 1.0}, load: {longest: 30m, total: 30m}";
    assert_eq!(verdict(&policy, &format!("{text}}}")).verdict, PASS);
    let found = verdict(&policy, &format!("{text}, distrusted: [rack_power]}}"));
    assert_eq!(found.verdict, INCONCLUSIVE, "{}", found.reason);
    let reasons: Vec<_> = found.checks.iter().map(|check| check.unknown_reason).collect();
    assert_eq!(reasons, [Some(UnknownReason::Distrusted); 2], "{}", found.reason);
}

#[test]
fn a_run_too_short_for_burn_windows_must_make_its_budget_last() {
    let policy = policy_of("run", "- {burnRate: {tier: page}}\n- {objective: dt, weight: 0, warn: true}", "");
    for (left, expected) in [(0.4, PASS), (-0.2, FAIL)] {
        let (question, facts) =
            facts(&policy, &format!("{{objectives: {{dt: {{budgetLeft: {left}, bad: 0.01}}}}}}"));
        let mut short = (*facts[0]).clone();
        short.objectives[0].burn.clear();
        let found = judge(&policy, &question, &[Arc::new(short)]);
        let burn = row(&found, "burn-rate-page");
        assert_eq!(burn.verdict, expected, "{}", burn.reason);
        assert_eq!((burn.burn_rate, burn.threshold), (Some(1.0 - left), Some(1.0)));
    }
}

#[test]
fn a_racks_own_sensor_says_nothing_about_its_loop() {
    let policy = policy(DT, "");
    let (question, facts) =
        facts(&policy, "{distrusted: [dt], findings: [{detector: stuck, severity: warning, signal: dt}]}");
    let mut of_loop = (*facts[0]).clone();
    of_loop.objectives[0].place.rack = None;
    assert_eq!(judge(&policy, &question, &facts).verdict, INCONCLUSIVE);
    let found = judge(&policy, &question, &[Arc::new(of_loop)]);
    assert_eq!(found.verdict, PASS, "{}", found.reason);
}

#[test]
fn a_loops_own_series_count_for_a_run_although_they_know_of_none() {
    let policy = policy_of("run", "- {objective: dt}\n- {coverage: {signals: [dt]}}", "");
    let (question, facts) = facts(&policy, "{}");
    let mut rack = (*facts[0]).clone();
    for coverage in &mut rack.coverage {
        Arc::make_mut(&mut coverage.series).place.rack = None;
        (coverage.run_known, coverage.run_asked) = (Microseconds::ZERO, Microseconds::ZERO);
    }
    rack.objectives[0].place.rack = None;
    let found = judge(&policy, &question, &[Arc::new(rack.clone())]);
    assert_eq!(found.verdict, PASS, "{}", found.reason);
    for coverage in &mut rack.coverage {
        coverage.known = Microseconds::ZERO;
    }
    assert_eq!(judge(&policy, &question, &[Arc::new(rack)]).verdict, INCONCLUSIVE);
}
