//! Messages as text: the author of a document sees them and nothing else.

use super::*;
use crate::objective::{Aggregation, Band, BurstEdge, Promise, Rollup, Step, Tier};
use telemetry::facts::{ObjectiveKind, Scope};
use telemetry::unit::Unit;

const GOOD: &str = include_str!("tests/good.yaml");

fn documents(text: &str) -> Vec<Document> {
    vec![Document { name: "slo/a.yaml".into(), text: text.into() }]
}

fn load(text: &str) -> Result<Loaded, Vec<String>> {
    read(&documents(text), &KnownSignals::canonical())
        .map_err(|errors| errors.iter().map(ToString::to_string).collect())
}

#[test]
fn the_default_objectives_load_without_a_warning() {
    let loaded = read(&crate::default_documents(), &KnownSignals::canonical())
        .unwrap_or_else(|errors| panic!("{errors:#?}"));
    let names: Vec<&str> = loaded.objectives.iter().map(|objective| &*objective.name).collect();
    assert_eq!(
        names,
        [
            "coolant-dt",
            "coolant-supply-temperature",
            "coolant-supply-temperature-trend",
            "coolant-supply-temperature-warn",
            "gpu-thermal-margin",
            "gpu-thermal-throttle",
            "leak",
        ]
    );
    let warnings: Vec<_> =
        loaded.remarks.iter().filter(|remark| remark.level == RemarkLevel::Warning).collect();
    assert_eq!(warnings, [] as [&Remark; 0]);
}

#[test]
fn every_field_of_the_extension_arrives() {
    let loaded = load(GOOD).unwrap();
    let [objective] = &loaded.objectives[..] else { panic!("{:?}", loaded.objectives) };
    assert_eq!(
        (&*objective.name, &*objective.service, &*objective.display_name),
        ("rack-coolant-dt", "ai-rack", "dt")
    );
    assert_eq!((&*objective.document, objective.line), ("slo/a.yaml", 1));
    assert_eq!(objective.signal_text, "coolant_return_temperature - coolant_supply_temperature".into());
    assert_eq!((objective.expression.unit(), &*objective.unit), (Unit::KELVIN, "K"));
    assert_eq!((objective.comparison.sign(), objective.threshold), ("<=", 12.0));
    assert_eq!((objective.group_by.name(), objective.rollup), ("rack", Rollup::Worst));
    assert_eq!(
        (objective.slice, objective.judged_unit),
        (Microseconds::from_seconds(10), Microseconds::from_minutes(1))
    );
    assert_eq!(
        (objective.aggregation, objective.minimum_coverage_ppm),
        (Aggregation::TimeWeightedMax, 950_000)
    );
    assert_eq!(objective.maximum_staleness, Some(Microseconds::from_seconds(200)));
    assert_eq!(
        (objective.warmup, objective.window),
        (Microseconds::from_seconds(120), Microseconds::from_hours(28 * 24))
    );
    assert_eq!(
        (objective.scope, objective.tier, objective.kind()),
        (Scope::Run, Tier::Page, ObjectiveKind::TimeInBounds)
    );
    let load = objective.validity.as_ref().unwrap();
    assert_eq!((load.expression.to_string(), load.minimum, &*load.unit), ("rack_power".into(), 60.0, "kW"));
    assert_eq!(
        objective.signals(),
        ["coolant_return_temperature", "coolant_supply_temperature", "rack_power"]
    );
    let Promise::TimeInBounds(promise) = &objective.promise else { panic!("{:?}", objective.promise) };
    assert_eq!((promise.target_ppm, promise.slice_target_ppm), (995_000, 1_000_000));
    // A share of 10 % of the budget of 30 days in 24 h is a burn of 3.
    let factors: Vec<u64> = promise.burn.pairs.iter().map(|pair| pair.factor_ppm).collect();
    assert_eq!(factors, [6_000_000, 3_000_000, 1_000_000]);
}

#[test]
fn the_other_kinds_of_promises_arrive() {
    let loaded = read(&crate::default_documents(), &KnownSignals::canonical()).unwrap();
    let promise = |name: &str| &loaded.objectives.iter().find(|it| &*it.name == name).unwrap().promise;
    let Promise::Trend(trend) = promise("coolant-supply-temperature-trend") else { panic!() };
    assert_eq!(trend.time_to_threshold_minimum, Some(Microseconds::from_minutes(30)));
    assert_eq!((trend.window, trend.rate_per_hour_limit), (Microseconds::from_minutes(30), None));
    let Promise::EventRate(rate) = promise("gpu-thermal-throttle") else { panic!() };
    assert_eq!(
        (rate.merge_within, rate.noise_floor),
        (Microseconds::from_seconds(60), Microseconds::from_seconds(1))
    );
    let Promise::HardLimit(limit) = promise("leak") else { panic!() };
    assert_eq!(limit.noise_floor, Microseconds::ZERO);
    let warn = promise("coolant-supply-temperature-warn");
    let Promise::TimeInBounds(warn) = warn else { panic!() };
    assert!(
        warn.burn.pairs.iter().all(|pair| pair.severity == Tier::Ticket),
        "a ticket objective wakes nobody"
    );
}

#[test]
fn a_reworded_objective_keeps_its_state_and_a_changed_one_does_not() {
    let hash = |text: &str| load(text).unwrap().objectives[0].hash.clone();
    let good = hash(GOOD);
    assert_eq!(hash(&GOOD.replace("displayName: dt", "displayName: rise")), good);
    assert_eq!(
        hash(&GOOD.replace("slice: {length: 10s, ", "slice: {").replace("min: 60", "min: 60.0")),
        good
    );
    assert_ne!(hash(&GOOD.replace("value: 12", "value: 13")), good);
    assert_ne!(
        hash(&GOOD.replace("minBadUnits: 2", "minBadUnits: 3")),
        good,
        "its burn-rate policy belongs to it"
    );
}

/// Each edit of the good document, and all messages that it gives.
#[test]
fn each_refusal_names_file_line_kind_field_and_mend() {
    let edits = [
        ("target: 0.995,", "target: 1,"),
        ("target: 0.995,", "targetPercent: 100,"),
        ("target: 0.995,", "target: 99.5,"),
        ("target: 0.995,", "target: 0.9950001,"),
        ("target: 0.995,", "target: 0.995, targetPercent: 99.5,"),
        ("target: 0.995,", "target: \"0.995\","),
        ("target: 0.995,", ""),
        ("op: lte, value: 12, ", ""),
        ("op: lte", "op: le"),
        ("value: 12", "value: 12 K"),
        ("timeSliceWindow: 1m", "timeSliceWindow: 60s"),
        ("length: 10s", "length: 7s"),
        ("length: 10s", "length: 10"),
        ("timeSliceTarget: 1.0", "timeSliceTarget: 0"),
        (
            "{duration: 28d, isRolling: true}",
            "{duration: 28d, isRolling: true}, {duration: 7d, isRolling: true}",
        ),
        ("{duration: 28d, isRolling: true}", "{duration: 1M, isRolling: true}"),
        (
            "{duration: 28d, isRolling: true}",
            "{duration: 28d, calendar: {startTime: 2026-01-05 00:00:00, timeZone: UTC}}",
        ),
        ("{duration: 28d, isRolling: true}", "{duration: 28d}"),
        ("budgetingMethod: Timeslices", "budgetingMethod: Occurrences"),
        ("thermogate.dev/scope: run", "thermogate.dev/scope: calendar"),
        ("thermogate.dev/tier: page", "thermogate.dev/teir: page"),
        ("burn-rate-policy: thermal-run-default", "burn-rate-policy: thermal-run-defualt"),
        ("  service: ai-rack", "  servce: ai-rack"),
        ("groupBy: [rack]", "groupBy: [rack, node]"),
        ("rollup: worst", "rollup: quantile(95)"),
        ("{kind: value}", "{kind: recoveryTime}"),
        ("{kind: value}", "{kind: oscillation}"),
        ("{kind: value}", "{kind: groupSpread}"),
        ("{kind: value}", "{kind: timeAbove}"),
        ("{kind: value}", "{kind: timeAbove, threshold: 30}\n            rolup: worst"),
        ("{kind: value}", "{kind: slop}"),
        ("{kind: value}", "{kind: slope}"),
        ("unit: K}", "unit: Cel}"),
        ("unit: K}", "unit: Kelv}"),
        (", unit: K}", "}"),
        ("coolant_return_temperature -", "coolant_retrun_temperature -"),
        (
            "{expr: \"coolant_return_temperature - coolant_supply_temperature\", unit: K}",
            "{expr: coolant_flow, unit: L/min}\n            hardLimit: {noiseFloor: 1s}",
        ),
        ("min: 60, unit: kW", "min: 60, unit: Cel"),
        ("minCoverage: 0.95", "minCoverage: 0"),
        ("missingData:", "missingdata:"),
        ("kind: SLO", "kind: SLOO"),
        ("apiVersion: openslo/v1\n", "apiVersion: openslo/v2\n"),
        ("name: rack-coolant-dt", "name: Rack_coolant"),
        ("type: thermogate", "type: Prometheus"),
        ("factor: 6", "factor: 0"),
        ("short: 30m", "short: 6h"),
        ("budgetShare: 0.1", "budgetShare: 0.1, factor: 3"),
        ("minBadUnits: 2", "minBadUnits: 1.5"),
        ("keepFiringFor: 5m", "keepFiring: 5m"),
    ];
    let mut story = String::new();
    for (from, to) in edits {
        assert!(GOOD.contains(from), "{from}");
        let errors = load(&GOOD.replacen(from, to, 1)).expect_err(to);
        story += &format!("{from} => {to}\n    {}\n", errors.join("\n    "));
    }
    insta::assert_snapshot!(story);
}

/// Edits that only the parts together show to be wrong, and all messages that they give.
#[test]
fn each_objective_that_can_never_work_is_refused_with_its_arithmetic() {
    const SPEC: &str = "signal: {expr: \"coolant_return_temperature - coolant_supply_temperature\", unit: K}";
    const TRANSFORM: &str = "transform: {kind: value}";
    let edits: [&[(&str, &str)]; 12] = [
        &[("target: 0.995", "target: 0.8")],
        &[("factor: 6", "factor: 200")],
        &[("target: 0.995", "target: 0.3"), ("factor: 6", "factor: 1.2"), ("budgetShare: 0.1", "factor: 1")],
        &[("scope: run", "scope: rolling"), ("short: 30m", "short: 3m")],
        &[("scale: window", "scale: fixed"), ("short: 30m", "short: 2m")],
        &[("scope: run", "scope: rolling"), ("minBadUnits: 2", "minBadUnits: 1"), ("0.995", "0.99999")],
        &[
            ("op: lte, value: 12", "op: lte, value: 200"),
            (SPEC, "signal: {expr: coolant_supply_temperature, unit: Cel}"),
        ],
        &[(SPEC, ""), (TRANSFORM, "transform: {kind: eventRate, episodes: thermal_throttle}")],
        &[
            (SPEC, ""),
            (TRANSFORM, "transform: {kind: eventRate, episodes: thermal_throttle}"),
            ("Timeslices", "Occurrences"),
            ("value: 12, target: 0.995, timeSliceTarget: 1.0, timeSliceWindow: 1m", "value: 0, target: 0"),
        ],
        &[(SPEC, "signal: {expr: leak_state}"), (TRANSFORM, "hardLimit: {equals: ok}")],
        &[
            (SPEC, "signal: {expr: leak_state}"),
            (TRANSFORM, "hardLimit: {equals: ok}"),
            ("Timeslices", "Occurrences"),
            ("target: 0.995, timeSliceTarget: 1.0, timeSliceWindow: 1m", "target: 0"),
        ],
        &[(SPEC, "signal: {expr: leak_state}"), ("timeWeightedMax", "timeWeightedMean")],
    ];
    let mut story = String::new();
    for edit in edits {
        let text = edit.iter().fold(GOOD.to_owned(), |text, (from, to)| {
            assert!(text.contains(from), "{from}");
            text.replacen(from, to, 1)
        });
        let errors = load(&text).expect_err(&format!("{edit:?}"));
        let names: Vec<String> = edit.iter().map(|(from, to)| format!("{from} => {to}")).collect();
        story += &format!("{}\n    {}\n", names.join("\n"), errors.join("\n    "));
    }
    insta::assert_snapshot!(story);
}

const RECOVERY: &str = include_str!("tests/recovery.yaml");

#[test]
fn every_field_of_a_recovery_time_arrives() {
    let loaded = load(RECOVERY).unwrap();
    let [objective] = &loaded.objectives[..] else { panic!("{:?}", loaded.objectives) };
    assert_eq!(objective.kind(), ObjectiveKind::RecoveryTime);
    assert_eq!((objective.threshold, &*objective.unit, objective.target_ppm()), (600.0, "s", 950_000));
    assert_eq!(
        &*objective.signal_text,
        "coolant_supply_temperature - coolant_supply_temperature_setpoint, rack_power"
    );
    assert_eq!(
        objective.signals(),
        ["coolant_supply_temperature", "coolant_supply_temperature_setpoint", "rack_power"]
    );
    let Promise::RecoveryTime(promise) = &objective.promise else { panic!("{:?}", objective.promise) };
    assert_eq!((promise.from, promise.hold), (BurstEdge::Start, Microseconds::from_seconds(90)));
    assert_eq!(promise.band, Band { minimum: Some(-0.5), maximum: Some(0.5) });
    let trigger = &promise.trigger;
    assert_eq!((trigger.step, &*trigger.unit), (Step::Amount(12.0), "kW"));
    assert_eq!(
        (trigger.within, trigger.debounce),
        (Microseconds::from_seconds(40), Microseconds::from_seconds(20))
    );
    // What is left out: the power of the rack falls by a tenth of its nominal power within a minute.
    let written = "trigger: {signal: rack_power, unit: kW, shareOfNominal: 0.1, within: 60s, debounce: 30s}";
    let rest = "from: burstStart, band: {min: -0.5, max: 0.5}, hold: 90s, trigger: {signal: rack_power, unit: kW, step: 12, \
                within: 40s, debounce: 20s}";
    let with = |rest_instead: &str| {
        assert!(RECOVERY.contains(rest));
        load(&RECOVERY.replace(rest, rest_instead).replace("[loop]", "[rack]")).unwrap().objectives[0]
            .hash
            .clone()
    };
    let band = "band: {min: -0.5, max: 0.5}";
    assert_eq!(with(band), with(&format!("from: burstEnd, {band}, hold: 60s, {written}")));
    assert_eq!(
        loaded.remarks[0].message,
        "a share of 0.95 is shown by 59 bursts at least, all in time; until then it is unknown: a short run caps the late \
         ones instead (`atMost` in a gate policy)"
    );
}

#[test]
fn each_recovery_time_that_can_mean_nothing_is_refused() {
    let edits = [
        ("value: 600", "value: 0"),
        ("value: 600", "value: 90000"),
        ("op: lte", "op: gte"),
        ("target: 0.95", "target: 0"),
        ("target: 0.95", "target: 0.95, timeSliceWindow: 1m"),
        ("Occurrences", "Timeslices"),
        ("band: {min: -0.5, max: 0.5}", "band: {}"),
        ("band: {min: -0.5, max: 0.5}", "band: {min: 0.5, max: 0.5}"),
        ("hold: 90s", "hold: 0s"),
        ("hold: 90s", "hold: 2h"),
        ("from: burstStart", "from: start"),
        ("step: 12", "step: -12"),
        ("step: 12, ", ""),
        ("step: 12", "step: 12, shareOfNominal: 0.1"),
        ("signal: rack_power, unit: kW, step: 12", "signal: pump_speed, shareOfNominal: 0.1"),
        ("signal: rack_power, unit: kW", "signal: rack_power, unit: Cel"),
        ("signal: rack_power", "signal: rack_pwoer"),
        ("unit: kW, step: 12", "unit: kW, shareOfNominal: 0.1"),
        (
            "rollup: worst",
            "rollup: worst\n            validity: {load: {signal: rack_power, min: 60, unit: kW}}",
        ),
        ("within: 40s", "within: 0s"),
        ("debounce: 20s", "debonce: 20s"),
    ];
    let mut story = String::new();
    for (from, to) in edits {
        assert!(RECOVERY.contains(from), "{from}");
        let errors = load(&RECOVERY.replacen(from, to, 1)).expect_err(to);
        story += &format!("{from} => {to}\n    {}\n", errors.join("\n    "));
    }
    insta::assert_snapshot!(story);
}

#[test]
fn a_time_above_a_threshold_is_in_seconds_and_a_spread_in_the_signals_difference() {
    let signal = "{expr: \"coolant_return_temperature - coolant_supply_temperature\", unit: K}";
    let above = GOOD.replace("{kind: value}", "{kind: timeAbove, threshold: 14}");
    let objective = &load(&above).unwrap().objectives[0];
    let Promise::TimeInBounds(promise) = &objective.promise else { panic!("{:?}", objective.promise) };
    assert_eq!((promise.time_above, &*objective.unit, objective.threshold), (Some(14.0), "s", 12.0));
    assert_ne!(
        objective.hash,
        load(&above.replace("threshold: 14", "threshold: 15")).unwrap().objectives[0].hash
    );
    let errors = load(&above.replace("op: lte", "op: gte")).unwrap_err();
    assert!(errors[0].ends_with("has `op: lte` and a `value` of seconds that is not negative"), "{errors:?}");
    let spread = GOOD.replace("{kind: value}", "{kind: groupSpread}");
    let spread = spread.replace(signal, "{expr: gpu_temperature, unit: K}");
    let objective = &load(&spread).unwrap().objectives[0];
    assert_eq!(&*objective.signal_text, "highest(gpu_temperature) - lowest(gpu_temperature)");
    let errors = load(&spread.replace("unit: K}", "unit: Cel}")).unwrap_err();
    assert!(errors[0].contains("is measured in K, which cannot be told in Cel"), "{errors:?}");
}

#[test]
fn all_errors_of_all_files_are_told_at_once() {
    let documents = [
        Document { name: "a.yaml".into(), text: GOOD.replace("op: lte", "op: l").replace("page", "pgae") },
        Document { name: "b.yaml".into(), text: "a: 1\na: 2\n".into() },
        Document { name: "c.yaml".into(), text: "- 7\n".into() },
    ];
    let errors = read(&documents, &KnownSignals::canonical()).unwrap_err();
    let places: Vec<String> =
        errors.iter().map(|error| format!("{}:{}", error.document, error.line.unwrap())).collect();
    assert_eq!(places, ["b.yaml:2", "a.yaml:30", "a.yaml:38", "a.yaml:41", "c.yaml:1"]);
}

/// [`GOOD`] with these entries for its objective and its indicator.
fn composite(entries: &str) -> String {
    let indicator = GOOD.find("  indicator:").unwrap();
    let objectives = GOOD.find("  objectives:").unwrap();
    let end = GOOD.find("---").unwrap();
    let source = |name: &str, expression: &str, unit: &str| {
        format!(
            "---\napiVersion: openslo/v1\nkind: SLI\nmetadata: {{name: {name}}}\nspec: {{thresholdMetric: {{metricSource: \
             {{type: thermogate, spec: {{specVersion: v1alpha1, groupBy: [rack], signal: {{expr: {expression}, unit: \
             {unit}}}}}}}}}}}\n"
        )
    };
    format!(
        "{}  objectives:\n{entries}{}{}{}",
        &GOOD[..indicator],
        source("supply", "coolant_supply_temperature", "Cel"),
        source("flow", "coolant_flow", "L/min"),
        &GOOD[end..]
    )
    .replace(&GOOD[indicator..objectives], "")
}

#[test]
fn a_composite_holds_its_parts_and_reads_all_their_signals() {
    let loaded = load(&composite(
        "    - {op: lte, value: 40, target: 0.995, compositeWeight: 2, indicatorRef: supply}\n    \
         - {op: gte, value: 100, targetPercent: 99.5, compositeWeight: 2, indicatorRef: flow}\n",
    ))
    .unwrap();
    let [objective] = &loaded.objectives[..] else { panic!("{loaded:?}") };
    let Promise::TimeInBounds(promise) = &objective.promise else { panic!("{objective:?}") };
    let limits: Vec<(&str, f64)> = promise.parts.iter().map(|part| (&*part.unit, part.threshold)).collect();
    assert_eq!(limits, [("Cel", 40.0), ("L/min", 100.0)]);
    assert_eq!(objective.signals(), ["coolant_flow", "coolant_supply_temperature"]);
    assert_eq!((&*objective.unit, objective.target_ppm()), ("%", 995_000));
    let notes: Vec<String> = loaded.remarks.iter().map(ToString::to_string).collect();
    assert!(!notes.iter().any(|note| note.contains("no SLO refers")), "{notes:?}");
}

#[test]
fn a_composite_of_one_part_is_that_part() {
    let of_own =
        load(&composite("    - {op: lte, value: 40, target: 0.995, indicatorRef: supply}\n")).unwrap();
    assert_eq!(&*of_own.objectives[0].unit, "Cel");
}

#[test]
fn a_composite_whose_parts_cannot_be_judged_together_is_refused_with_the_reason() {
    let supply = "    - {op: lte, value: 40, target: 0.995, indicatorRef: supply}\n";
    for (second, message) in [
        (
            "op: gte, value: 100, target: 0.99, indicatorRef: flow",
            "objectives[1]: `target` differs from that of the first part",
        ),
        (
            "op: gte, value: 100, target: 0.995, compositeWeight: 3, indicatorRef: flow",
            "objectives[1].compositeWeight: the parts of a composite weigh the same here",
        ),
        (
            "op: gte, value: 100, target: 0.995, compositeWeight: 0, indicatorRef: flow",
            "objectives[1].compositeWeight: 0 is no weight",
        ),
        (
            "op: gte, value: 0, target: 0.995, indicatorRef: flow",
            "objectives[1]: a composite tells how far a part lies beyond its limit",
        ),
        (
            "op: gte, value: 100, target: 0.995",
            "objectives[1]: `indicator` or `indicatorRef` is missing: each objective of a composite has its own",
        ),
        (
            "op: gte, value: 100, target: 0.995, indicatorRef: flw",
            "there is no SLI \"flw\"; did you mean \"flow\"?",
        ),
    ] {
        let errors = load(&composite(&format!("{supply}    - {{{second}}}\n"))).unwrap_err();
        assert!(errors[0].contains(message), "{message}: {errors:?}");
    }
    let start = GOOD.find("    - {displayName: dt").unwrap();
    let several = GOOD
        .replace(&GOOD[start..GOOD.find("---").unwrap()], &GOOD[start..GOOD.find("---").unwrap()].repeat(2));
    let errors = load(&several).unwrap_err();
    assert!(
        errors[0].contains("2 objectives about one indicator are not built: write an SLO for each"),
        "{errors:?}"
    );
}

#[test]
fn two_objectives_of_one_name_are_refused() {
    let [slo, _] = GOOD.split("---\n").collect::<Vec<_>>()[..] else { panic!() };
    let errors = load(&format!("{GOOD}---\n{slo}")).unwrap_err();
    assert_eq!(
        errors,
        ["slo/a.yaml:47: SLO rack-coolant-dt: a second SLO of this name: the first stands at slo/a.yaml:1"]
    );
}

#[test]
fn an_indicator_of_its_own_can_be_named_by_an_objective() {
    let start = GOOD.find("  indicator:").unwrap();
    let end = GOOD.find("  objectives:").unwrap();
    let spec = &GOOD[GOOD.find("    spec:\n      thresholdMetric").unwrap()..end];
    let sli = format!(
        "---\napiVersion: openslo/v1\nkind: SLI\nmetadata: {{name: rack-dt}}\n{}",
        spec.replace("\n    ", "\n").trim_start()
    );
    let named = format!("{}  indicatorRef: rack-dt\n{}", &GOOD[..start], &GOOD[end..]);
    let loaded = load(&format!("{named}{sli}")).unwrap();
    assert_eq!(loaded.objectives[0].hash, load(GOOD).unwrap().objectives[0].hash);
    let errors = load(&format!("{}{sli}", named.replace("indicatorRef: rack-dt", "indicatorRef: rack-td")))
        .unwrap_err();
    assert_eq!(
        errors,
        [
            "slo/a.yaml:14: SLO rack-coolant-dt: spec.indicatorRef: there is no SLI \"rack-td\"; did you mean \"rack-dt\"?"
        ]
    );
}

#[test]
fn remarks_tell_what_fires_and_what_a_whim_would_fire() {
    let rolling = GOOD.replace("scope: run", "scope: rolling");
    let remarks =
        |text: &str| -> Vec<String> { load(text).unwrap().remarks.iter().map(ToString::to_string).collect() };
    assert_eq!(
        remarks(&rolling),
        ["slo/a.yaml:1: note: SLO rack-coolant-dt: fires: \
          page 336m/28m x6 from 11 bad units of 1m (11m in 336m); \
          ticket 1344m/112m x3 from 21 bad units of 1m (21m in 1344m); \
          ticket 4032m/336m x1 from 21 bad units of 1m (21m in 4032m)"]
    );
    assert_eq!(remarks(GOOD), [] as [String; 0], "a run's windows are scaled when it starts");
    let leak = include_str!("../../../../slo/leak.yaml").replace(", noiseFloor: 0s", "");
    assert_eq!(
        remarks(&leak),
        [
            "slo/a.yaml:2: warning: SLO leak: zero tolerance without a noise floor: one reading out of limits breaks it \
          for good; say `noiseFloor: 0s` if that is meant, else such as 1s"
        ]
    );
    let loaded = load(GOOD).unwrap();
    let beyond = windows_beyond(&loaded.objectives, Microseconds::from_hours(24 * 7));
    assert_eq!(
        beyond[0].message,
        "its window of 28d is longer than samples are kept (7d): its budget cannot be derived again from history"
    );
    let trend = include_str!("../../../../slo/coolant.yaml").replace("window: 30m", "window: 10m");
    let said = remarks(&trend);
    assert!(
        said.iter().any(|remark| remark
            .contains("coolant-supply-temperature-trend: its slope over 10m is told and never breaks it")),
        "{said:?}"
    );
    let long_enough = remarks(&trend.replace("window: 10m", "window: 11m"));
    assert!(!long_enough.iter().any(|remark| remark.contains("never breaks it")), "{long_enough:?}");
}

#[test]
fn an_objective_says_how_long_it_needs_to_pass() {
    let loaded = read(&crate::default_documents(), &KnownSignals::canonical()).unwrap();
    let within = |name: &str, minutes: i64| {
        let objective = loaded.objectives.iter().find(|it| &*it.name == name).unwrap();
        cannot_pass_within(objective, Microseconds::from_minutes(minutes))
    };
    assert_eq!(
        within("gpu-thermal-throttle", 60).unwrap(),
        "objective \"gpu-thermal-throttle\" cannot pass within 1h: to show at most 0.5 episodes an hour it needs \
         3.0/0.5 h = 6h of known time without one; count them instead (`atMost: 0` with a `noiseFloor`), or wait longer"
    );
    assert_eq!(within("gpu-thermal-throttle", 24 * 60), None);
    assert!(within("coolant-supply-temperature-trend", 20).unwrap().contains("estimated over 30m"));
    assert_eq!(within("coolant-dt", 20), None);
    // 59 bursts, each of a step that lasts 20 s and a stay of 90 s.
    let recovery = &load(RECOVERY).unwrap().objectives[0];
    assert_eq!(
        cannot_pass_within(recovery, Microseconds::from_minutes(108)).unwrap(),
        "objective \"supply-recovery\" cannot pass within 108m: to show that 0.95 of bursts settle in time it needs 59 of \
         them, all in time, of 110s each at least; cap the late ones instead (`atMost`), or wait longer"
    );
    assert_eq!(cannot_pass_within(recovery, Microseconds::from_minutes(109)), None);
    assert_eq!(within("leak", 1), None);
}

/// The table of burn rates by target of the documentation: a fire threshold of the error ratio of 1 or more never
/// fires.
#[test]
fn the_highest_target_that_a_burn_rate_cannot_reach_is_as_tabled() {
    let refused = |target: &str, factor: &str| {
        let text = GOOD.replace("0.995", target).replace("factor: 6", &format!("factor: {factor}"));
        load(&text).is_err()
    };
    for (target, factor, never) in [
        ("0.9", "14.4", true),
        ("0.9305", "14.4", true),
        ("0.9306", "14.4", false),
        ("0.9", "10", true),
        ("0.9", "9.999999", false),
        ("0.9", "6", false),
        ("0.95", "14.4", false),
    ] {
        assert_eq!(refused(target, factor), never, "target {target}, factor {factor}");
    }
}

/// OpenSLO's own v1 examples: every document parses, or is refused with kind, field and reason.
#[test]
fn the_examples_of_openslo_parse_or_are_refused_by_kind_and_field() {
    let folder = std::env::var("THERMOGATE_TEST_DATA").unwrap_or_else(|_| "../../../shared/data".into());
    let file = |name: &str| {
        let path = format!("{folder}/openslo/{name}.yaml");
        #[allow(clippy::disallowed_methods)]
        std::fs::read_to_string(path).map(|text| Document { name: format!("{name}.yaml"), text })
    };
    let names = [
        "alert_conditions",
        "alert_notification_targets",
        "alert_policies",
        "data_sources",
        "services",
        "slis",
        "slos",
    ];
    let documents: Result<Vec<Document>, _> = names.into_iter().map(file).collect();
    let Ok(documents) = documents else {
        assert!(std::env::var("CI").is_err(), "{folder}/openslo is missing");
        println!("skipped: {folder}/openslo is missing");
        return;
    };
    let known = KnownSignals::canonical();
    let (slos, others): (Vec<_>, Vec<_>) =
        documents.into_iter().partition(|document| document.name == "slos.yaml");
    let remarks = read(&others, &known).unwrap().remarks;
    let mut kinds: Vec<(&str, &str)> =
        remarks.iter().map(|it| (&*it.document, it.subject.split_once(' ').unwrap().0)).collect();
    kinds.dedup();
    assert_eq!(
        kinds,
        [
            ("alert_conditions.yaml", "AlertCondition"),
            ("alert_notification_targets.yaml", "AlertNotificationTarget"),
            ("alert_policies.yaml", "AlertPolicy"),
            ("data_sources.yaml", "DataSource"),
            ("services.yaml", "Service"),
            ("slis.yaml", "SLI"),
        ]
    );
    assert_eq!(remarks.len(), 15, "each of the 15 documents is named");
    assert!(
        remarks.iter().all(|remark| remark.level == RemarkLevel::Note),
        "they are no errors of their author"
    );
    let errors: Vec<String> = read(&slos, &known).unwrap_err().iter().map(ToString::to_string).collect();
    let [indicator, target] = &errors[..] else { panic!("{errors:#?}") };
    assert!(
        indicator.starts_with("slos.yaml:20: SLO ")
            && indicator.contains(": spec.indicator.spec.ratioMetric: ")
    );
    assert!(
        target.starts_with("slos.yaml:39: SLO ")
            && target.ends_with("`op` and `value` are forbidden with a ratioMetric")
    );
}

proptest::proptest! {
    /// Whatever a file holds, the answer is objectives or errors that name the file.
    #[test]
    fn a_damaged_document_is_read_or_refused(
        at in 0..GOOD.len(), length in 0usize..40, instead in "[a-z0-9:{}\\[\\] \n-]{0,12}",
    ) {
        let mut text = GOOD.to_owned();
        text.replace_range(at..(at + length).min(GOOD.len()), &instead);
        if let Err(errors) = load(&text) {
            proptest::prop_assert!(!errors.is_empty() && errors.iter().all(|error| error.starts_with("slo/a.yaml")));
        }
    }
}

#[test]
fn the_order_of_files_does_not_matter() {
    let mut documents = crate::default_documents();
    let one = read(&documents, &KnownSignals::canonical()).unwrap();
    documents.reverse();
    let other = read(&documents, &KnownSignals::canonical()).unwrap();
    assert_eq!(one.objectives, other.objectives);
}
