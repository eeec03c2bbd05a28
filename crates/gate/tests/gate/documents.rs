//! Policy documents: what is accepted, and the message of each mistake.

use gate::Policy;
use gate::policy::{Combine, OnFacilityCause, needs};
use gate::policy_document::read;
use gate::references::{Known, check_references, never_known};
use telemetry::Microseconds;
use telemetry::facts::{Ask, PowerLimit};
use telemetry::record::Document;
use telemetry::site::Site;

const GOOD: &str = r#"apiVersion: thermogate.dev/v1alpha1
kind: GatePolicy
metadata: {name: ai-train}
spec:
  scope: {of: run, combine: worst}
  checks:
    - {objective: rack-coolant-dt, weight: 2}
    - {objective: {inline: {signal: leak_state, equals: ok}}, hard: true}
    - {objective: gpu-thermal-throttle, atMost: 0, noiseFloor: 1s}
    - {burnRate: {tier: page}}
    - {findings: {detectors: [pump, hb, stuck], severity: warning, none: true}}
    - {coverage: {signals: [coolant_supply_temperature, coolant_flow, rack_power], min: 0.95}}
    - {trend: {objective: rack-supply-temperature, timeToThresholdMin: 30m}}
    - {powerEnvelope: {shareOfNominal: 0.95, for: 10m}}
    - {soak: {min: 20m, loadMin: 60kW}}
    - {recovered: {for: 10m}}
    - {headroom: {planned: 110kW, atLeast: 0.1, at: design, limits: [chip, cdu]}}
    - {canary: {baseline: medianOfLastN, n: 5, matchOn: [sku, firmware, coolant_setpoint, ambient_band], minComparable: 3, maxEffect: 0.02, noBaseline: INCONCLUSIVE}}
  warnBudgetLeft: 0.25
  onFacilityCause: INCONCLUSIVE
  waitFor: {minDuration: 20m, deadline: 60m}
  dryRun: false
"#;

fn document(text: &str) -> Document {
    Document { name: "slo/gate.yaml".into(), text: text.into() }
}

fn parse(text: &str) -> Policy {
    read(&[document(text)]).unwrap_or_else(|errors| panic!("{errors:?}")).remove(0)
}

fn messages(text: &str) -> Vec<String> {
    read(&[document(text)]).unwrap_err().iter().map(ToString::to_string).collect()
}

#[test]
fn a_policy_with_every_check_is_read() {
    let policy = parse(GOOD);
    let names: Vec<&str> = policy.checks.iter().map(|check| &*check.name).collect();
    assert_eq!(
        names,
        [
            "rack-coolant-dt",
            "leak_state = ok",
            "gpu-thermal-throttle",
            "burn-rate-page",
            "findings",
            "coverage",
            "trend-rack-supply-temperature",
            "power-envelope",
            "soak",
            "recovered",
            "headroom",
            "canary"
        ]
    );
    assert_eq!(policy.scope.combine, Combine::Worst);
    assert_eq!(policy.on_facility_cause, OnFacilityCause::Inconclusive);
    assert_eq!(policy.minimum_coverage_ppm, 950_000);
    assert_eq!(policy.wait_for.deadline, Some(Microseconds::from_minutes(60)));
    assert_eq!(policy.checks[3].line, 10);
    let named: Vec<_> =
        policy.objectives_named().map(|named| (named.objective.to_string(), named.capped)).collect();
    assert_eq!(
        named,
        [
            ("rack-coolant-dt".into(), false),
            ("gpu-thermal-throttle".into(), true),
            ("rack-supply-temperature".into(), false)
        ]
    );
}

#[test]
fn a_policy_that_wants_detectors_to_be_proven_is_read() {
    let policy = parse(
        &GOOD.replace("{recovered: {for: 10m}}", "{proven: {detectors: [pump_trip, leak], within: 30d}}"),
    );
    assert_eq!(policy.detectors_proven().map(|name| &**name).collect::<Vec<_>>(), ["leak", "pump_trip"]);
    assert!(policy.checks.iter().any(|check| &*check.name == "proven"));
    assert_eq!(parse(GOOD).detectors_proven().count(), 0);
}

#[test]
fn a_policy_asks_the_evaluator_for_each_measure_once() {
    let one = parse(GOOD);
    let other = parse(&GOOD.replace("ai-train", "other").replace("loadMin: 60kW", "loadMin: 60000 W"));
    let needs = needs(&[one, other]);
    let names: Vec<&str> = needs.iter().map(|need| &*need.name).collect();
    assert_eq!(names, ["leak_state = ok", "rack_power >= 0.95 of nominal", "rack_power >= 60 kW"]);
    assert!(matches!(&needs[0].ask, Ask::HardLimit { threshold: 0.0, .. }));
    assert_eq!(needs[2].ask, Ask::PowerAtLeast(PowerLimit::Kilowatts(60.0)));
}

#[test]
fn the_hash_follows_the_meaning_not_the_text() {
    let policy = parse(GOOD);
    assert_eq!(policy.hash().len(), 64);
    for same in [
        GOOD.replace("minDuration: 20m", "minDuration: 1200s"),
        GOOD.replace("{name: ai-train}", "{name: ai-train, labels: {team: infra}}"),
        GOOD.replace("spec:\n", "spec:\n  # a comment\n"),
        GOOD.replace("  warnBudgetLeft: 0.25\n", ""),
    ] {
        assert_eq!(parse(&same).hash(), policy.hash(), "{same}");
    }
    for other in
        [GOOD.replace("0.25", "0.3"), GOOD.replace("weight: 2", "weight: 3"), GOOD.replace("ai-train", "a")]
    {
        assert_ne!(parse(&other).hash(), policy.hash(), "{other}");
    }
}

#[test]
fn several_racks_combine_by_a_share_in_either_spelling() {
    for text in ["atLeast(0.98)", "{atLeast: 0.98}"] {
        let policy = parse(&GOOD.replace("combine: worst", &format!("combine: {text}")));
        assert_eq!(policy.scope.combine, Combine::AtLeast(980_000));
        assert_eq!(policy.scope.combine.to_string(), "atLeast(0.98)");
    }
}

#[test]
fn each_mistake_is_told_with_its_line_and_how_to_mend_it() {
    let cases: &[(&str, &str, &str)] = &[
        (
            "kind: GatePolicy",
            "kind: SLO",
            "slo/gate.yaml:2: kind is \"SLO\": a policy file holds documents of kind \"GatePolicy\" only",
        ),
        (
            "thermogate.dev/v1alpha1",
            "openslo/v1",
            "apiVersion is \"openslo/v1\": write \"thermogate.dev/v1alpha1\"",
        ),
        ("ai-train", "AI train", "slo/gate.yaml:3: name \"AI train\" is no DNS label"),
        ("warnBudgetLeft", "warnBudgetLeff", "slo/gate.yaml:19: unknown field `warnBudgetLeff`"),
        ("  dryRun: false\n", "  dryRun: false\n  dryRun: true\n", "slo/gate.yaml:23: duplicate"),
        (
            "warnBudgetLeft: 0.25",
            "warnBudgetLeft: 25",
            "slo/gate.yaml:19: warnBudgetLeft is 25: give a share from 0 to below 1",
        ),
        ("weight: 2", "weight: -1", "slo/gate.yaml:7: weight is -1"),
        ("weight: 2", "wieght: 2", "slo/gate.yaml:7: unknown field `wieght`"),
        (
            "equals: ok",
            "equals: fine",
            "slo/gate.yaml:8: inline.equals is \"fine\": write ok, warning, critical or a number",
        ),
        ("equals: ok", "op: lte, value: 3", "inline: op and value need a `unit`"),
        ("equals: ok", "op: lte, value: 3, unit: parsec", "inline.unit \"parsec\" is not known"),
        (
            "signal: leak_state, equals: ok",
            "signal: leak_state",
            "an inline objective is a signal with `equals: ok`",
        ),
        ("signal: leak_state", "sginal: leak_state", "slo/gate.yaml:8: unknown field `sginal`"),
        ("noiseFloor: 1s", "noiseFloor: 1", "slo/gate.yaml:9: noiseFloor: \"1\" is not a length of time"),
        ("atMost: 0", "atMost: -1", "slo/gate.yaml:9: "),
        ("{tier: page}", "{tier: pager}", "slo/gate.yaml:10: unknown variant `pager`"),
        ("none: true", "none: false", "slo/gate.yaml:11: findings.none is false"),
        ("severity: warning", "severity: bad", "slo/gate.yaml:11: unknown variant `bad`"),
        ("min: 0.95}", "min: 95}", "slo/gate.yaml:12: coverage.min is 95: give a share above 0 and up to 1"),
        (
            "signals: [coolant_supply_temperature, coolant_flow, rack_power]",
            "signals: []",
            "coverage.signals is empty",
        ),
        (
            "timeToThresholdMin: 30m",
            "timeToThresholdMin: 0m",
            "slo/gate.yaml:13: trend.timeToThresholdMin is \"0m\"",
        ),
        (
            "shareOfNominal: 0.95",
            "shareOfNominal: 0.95, maxKw: 5",
            "powerEnvelope is shareOfNominal or maxKw: write one of them",
        ),
        ("shareOfNominal: 0.95, for", "for", "powerEnvelope is shareOfNominal or maxKw: write one of them"),
        (
            "loadMin: 60kW",
            "loadMin: 60K",
            "slo/gate.yaml:15: soak.loadMin is \"60K\": give a power, such as 60kW",
        ),
        ("n: 5", "n: 11", "slo/gate.yaml:18: canary.n is 11: give a number from 1 to 10"),
        ("medianOfLastN, n: 5", "lastPass, n: 5", "canary.n goes with `baseline: medianOfLastN` only"),
        (
            "medianOfLastN, n: 5",
            "tag",
            "canary.baseline is tag: say which versions, such as `tag: {image: 2026.1}`",
        ),
        ("medianOfLastN, n: 5", "explicit", "canary.baseline is explicit: say which runs"),
        ("n: 5", "n: 5, tag: {image: '1'}", "canary.tag goes with `baseline: tag` only: remove it here"),
        ("n: 5", "n: 5, runs: [a]", "canary.runs goes with `baseline: explicit` only: remove it here"),
        ("medianOfLastN", "medianOfLast", "slo/gate.yaml:18: unknown variant `medianOfLast`"),
        ("minComparable: 3", "minComparable: 6", "canary.minComparable is 6: give a number from 1 to 5"),
        ("maxEffect: 0.02", "maxEffect: 2", "canary.maxEffect is 2: give a share above 0 and up to 0.5"),
        ("coolant_setpoint", "set_point", "slo/gate.yaml:18: unknown variant `set_point`"),
        (
            "[sku, firmware, coolant_setpoint, ambient_band]",
            "[]",
            "canary.matchOn is empty: runs on other hardware would be compared",
        ),
        (
            "noBaseline: INCONCLUSIVE",
            "noBaseline: PASS",
            "canary.noBaseline is PASS: nothing would have been compared; write INCONCLUSIVE or WARN",
        ),
        (
            "noBaseline: INCONCLUSIVE",
            "noBaseline: FAIL",
            "canary.noBaseline is FAIL: a first run could never be",
        ),
        ("planned: 110kW, atLeast: 0.1, ", "", "slo/gate.yaml:17: headroom asks for nothing: give `planned`"),
        ("110kW", "110K", "slo/gate.yaml:17: headroom.planned is \"110K\": give a power, such as 60kW"),
        (
            "atLeast: 0.1",
            "atLeast: 10",
            "headroom.atLeast is 10: give a share from 0 to 2, such as 0.1 for 10 %",
        ),
        ("at: design", "at: noon", "slo/gate.yaml:17: unknown variant `noon`, expected one of now, design"),
        ("[chip, cdu]", "[chip, chip]", "headroom.limits names one limit twice"),
        ("[chip, cdu]", "[chop]", "slo/gate.yaml:17: unknown variant `chop`, expected one of chip, return"),
        ("limits: [chip, cdu]", "limit: [chip]", "slo/gate.yaml:17: unknown field `limit`"),
        ("minComparable", "minComparabel", "slo/gate.yaml:18: unknown field `minComparabel`"),
        ("{recovered: {for: 10m}}", "{weight: 3}", "a check is exactly one of objective, burnRate"),
        (
            "{recovered: {for: 10m}}",
            "{proven: {detectors: [ua], within: 30d}}",
            "which no drill of a running environment proves",
        ),
        (
            "{recovered: {for: 10m}}",
            "{proven: {detectors: [], within: 30d}}",
            "proven.detectors names none: name some of pump_trip",
        ),
        (
            "{recovered: {for: 10m}}",
            "{proven: {detectors: [gap, gap], within: 30d}}",
            "names one detector twice",
        ),
        (
            "{recovered: {for: 10m}}",
            "{proven: {detectors: [gap], within: 0s}}",
            "proven.within is \"0s\": give a length of time longer than none",
        ),
        (
            "{recovered: {for: 10m}}",
            "{recovered: {for: 10m}, soak: {min: 1m, loadMin: 1kW}}",
            "this has 2: write each as an entry of its own",
        ),
        (
            "{recovered: {for: 10m}}",
            "{recovered: {for: 10m}, hard: true}",
            "atMost, noiseFloor and hard go with `objective` only",
        ),
        (
            "{recovered: {for: 10m}}",
            "{burnRate: {tier: page}}",
            "check \"burn-rate-page\" is at line 10 too: give one of them another `name`",
        ),
        ("hard: true", "hard: true, warn: true", "hard and warn contradict each other"),
        ("hard: true", "atMost: 1", "slo/gate.yaml:8: atMost counts the episodes of a named objective"),
        (
            "deadline: 60m",
            "deadline: 20m",
            "waitFor.deadline 20m is not after waitFor.minDuration 20m: no verdict could ever be PASS",
        ),
        (
            "deadline: 60m",
            "deadline: soon",
            "slo/gate.yaml:21: waitFor.deadline: \"soon\" is not a length of time",
        ),
        (
            "combine: worst",
            "combine: most",
            "slo/gate.yaml:5: combine is \"most\": write \"worst\" or \"atLeast(0.98)\"",
        ),
        (
            "combine: worst",
            "combine: atLeast(98)",
            "slo/gate.yaml:5: combine atLeast is 98: give a share above 0 and up to 1",
        ),
        ("of: run", "of: pod", "slo/gate.yaml:5: unknown variant `pod`"),
        (
            "onFacilityCause: INCONCLUSIVE",
            "onFacilityCause: PASS",
            "slo/gate.yaml:20: unknown variant `PASS`",
        ),
    ];
    for (from, to, expected) in cases {
        assert!(GOOD.contains(from), "{from}");
        let messages = messages(&GOOD.replacen(from, to, 1));
        assert!(messages[0].contains(expected), "{from} → {to}: {messages:?}");
    }
}

#[test]
fn all_mistakes_are_told_at_once() {
    let text = GOOD.replace("weight: 2", "weight: -2").replace("min: 0.95", "min: 0").replace("0.25", "7");
    assert_eq!(messages(&text).len(), 3);
}

#[test]
fn two_policies_of_one_name_are_refused() {
    let errors = read(&[document(GOOD), document(GOOD)]).unwrap_err();
    assert_eq!(
        errors[0].to_string(),
        "slo/gate.yaml:3: policy \"ai-train\" is in slo/gate.yaml too: give one of them another name"
    );
}

#[test]
fn what_a_policy_names_must_exist() {
    let policy = parse(&GOOD.replace("leak_state", "leek_state"));
    let known = Known {
        objectives: &["rack-coolant-dt", "gpu-thermal-throttle", "rack-supply-temperatur"],
        detectors: &["pump", "stuck", "gap"],
        signals: &["coolant_supply_temperature", "coolant_flow", "leak_state"],
    };
    let messages: Vec<String> = check_references(&[policy], &known).iter().map(ToString::to_string).collect();
    assert_eq!(
        messages,
        [
            "slo/gate.yaml:8: signal \"leek_state\" does not exist: did you mean \"leak_state\"?",
            "slo/gate.yaml:11: detector \"hb\" does not exist: known are pump, stuck, gap",
            "slo/gate.yaml:12: signal \"rack_power\" does not exist: known are coolant_supply_temperature, coolant_flow, \
             leak_state",
            "slo/gate.yaml:13: objective \"rack-supply-temperature\" does not exist: did you mean \
             \"rack-supply-temperatur\"?",
        ]
    );
}

#[test]
fn a_limit_that_nobody_gives_cannot_be_asked_for() {
    let policy = parse(&GOOD.replace("[chip, cdu]", "[chip, return]"));
    let messages: Vec<String> = never_known(std::slice::from_ref(&policy), &Site::default())
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(messages.len(), 1);
    assert!(
        messages[0].starts_with(
            "slo/gate.yaml:17: gate policy ai-train: check headroom: headroom.limits names return"
        ),
        "{messages:?}"
    );
    let site = "apiVersion: thermogate.dev/v1alpha1\nkind: Site\nmetadata: {name: s}\n\
                racks: [{name: r1, limits: {coolant_return_temperature: 50 Cel}}]\n";
    let site = Site::read(&Document { name: "site.yaml".into(), text: site.into() }).unwrap();
    assert!(never_known(&[policy], &site).is_empty());
    assert!(never_known(&[parse(GOOD)], &Site::default()).is_empty());
}
