//! The format of unit tests; what the shipped ones say is tested with the shipped objectives.

use super::*;
use telemetry::Microseconds;

fn refused(text: &str) -> Vec<String> {
    let document = Document { name: "slo/a.test.yaml".into(), text: text.into() };
    let configuration = configuration();
    let errors = run_tests(&document, &configuration, &KnownSignals::canonical()).unwrap_err();
    errors.iter().map(ToString::to_string).collect()
}

fn configuration() -> Configuration {
    Configuration {
        hash: String::new(),
        site: None,
        mappings: Vec::new(),
        objectives: crate::default_documents(),
        policies: Vec::new(),
        needs: Vec::new(),
        allowed_lateness: Microseconds::ZERO,
    }
}

const GOOD: &str = r#"apiVersion: thermogate.dev/v1alpha1
kind: ObjectiveTest
metadata: {name: hot}
spec:
  interval: 10s
  run: {stage: smoke, planned: 20m, racks: [r1], start: 0s, end: 15m}
  series:
    - {signal: coolant_supply_temperature, rack: r1, values: "44x10m 46x5m _x1m 44+0.5x2m"}
    - {signal: leak_state, rack: r1, values: "okx5m critical"}
  expect:
    - {at: 10m, objective: coolant-supply-temperature, rack: r1, state: ok, badTime: 0s}
    - {at: 15m, alert: CoolantSupplyTemperatureBudgetBurn, severity: page, rack: r1, state: firing}
"#;

#[test]
fn the_notation_of_values_is_read_as_written() {
    let document = Document { name: "x".into(), text: GOOD.into() };
    let tests = document::read(&document, &KnownSignals::canonical()).unwrap();
    let [supply, leak] = &tests[0].series[..] else { panic!() };
    assert_eq!(supply.values.len(), 60 + 30 + 6 + 12);
    assert_eq!(
        (supply.values[59], supply.values[60], supply.values[89]),
        (Some(44.0), Some(46.0), Some(46.0))
    );
    assert_eq!((supply.values[90], supply.values[95]), (None, None));
    assert_eq!(
        (supply.values[96], supply.values[97], supply.values[107]),
        (Some(44.0), Some(44.5), Some(49.5))
    );
    assert_eq!((leak.values.len(), leak.values[0], leak.values[30]), (31, Some(0.0), Some(2.0)));
}

#[test]
fn each_refusal_of_a_test_names_its_field() {
    let edits = [
        ("44x10m 46", "44y10m 46"),
        ("44x10m 46", "44x15s 46"),
        ("44x10m 46", "44x10 46"),
        ("44+0.5x2m", "44+ax2m"),
        ("okx5m", "finex5m"),
        ("coolant_supply_temperature, rack", "coolant_supply_temprature, rack"),
        ("coolant-supply-temperature, rack", "coolant-suply-temperature, rack"),
        ("state: ok,", "state: okay,"),
        ("state: ok,", "state: ok, reason: stale,"),
        ("state: firing", "state: fired"),
        ("interval: 10s", "interval: 0s"),
        ("badTime", "bad"),
        ("planned: 20m, ", ""),
    ];
    let mut story = String::new();
    for (from, to) in edits {
        assert!(GOOD.contains(from), "{from}");
        story += &format!("{from} => {to}\n    {}\n", refused(&GOOD.replacen(from, to, 1)).join("\n    "));
    }
    insta::assert_snapshot!(story);
}

#[test]
fn a_test_without_an_expectation_is_refused() {
    let text = format!("{}  expect: []\n", &GOOD[..GOOD.find("  expect:").unwrap()]);
    assert_eq!(
        refused(&text),
        [
            "slo/a.test.yaml:10: ObjectiveTest hot: spec.expect: one expectation at least is needed: a test without one cannot fail"
        ]
    );
}
