//! What expressions mean, and what is said about those that mean nothing.

use super::*;
use proptest::prelude::*;

fn parse(text: &str) -> Result<Expression, String> {
    let mut known = KnownSignals::canonical();
    known.declare("machine_temperature", Unit::ONE, false);
    Expression::parse(text, &known).map_err(|error| error.to_string())
}

fn value(text: &str, operands: &[Option<f64>]) -> Option<f64> {
    parse(text).unwrap().evaluate(|index| operands[index])
}

#[test]
fn operators_bind_as_in_arithmetic() {
    let texts = [
        ("rack_power + rack_power * 2", 30.0),
        ("(rack_power + rack_power) * 2", 40.0),
        ("rack_power - 4 kW - 3 kW", 3.0),
        ("rack_power / 4 / 5", 0.5),
        ("-rack_power + 1 kW", -9.0),
        ("2 * -rack_power", -20.0),
        ("max(rack_power, 12 kW) - min(rack_power, 12 kW)", 2.0),
        ("abs(3 kW - rack_power)", 7.0),
    ];
    for (text, expected) in texts {
        assert_eq!(value(text, &[Some(10.0)]), Some(expected), "{text}");
    }
}

#[test]
fn units_are_told_converted_or_refused() {
    let measured = |text: &str| parse(text).map(|expression| expression.unit().to_string());
    assert_eq!(measured("coolant_return_temperature - coolant_supply_temperature"), Ok("K".into()));
    assert_eq!(measured("coolant_supply_temperature + 5 K"), Ok("Cel".into()));
    assert_eq!(measured("gpu_power + rack_power"), Ok("W".into()));
    assert_eq!(value("gpu_power + rack_power", &[Some(500.0), Some(2.0)]), Some(2_500.0));
    assert_eq!(value("coolant_supply_temperature - 95 degF", &[Some(40.0)]), Some(5.0));
    assert_eq!(value("5 K + coolant_supply_temperature", &[Some(40.0)]), Some(45.0));
    assert_eq!(value("coolant_flow / 30 L/min", &[Some(60.0)]), Some(2.0));
    assert_eq!(value("10 K/coolant_flow * coolant_flow", &[Some(3.0)]), Some(10.0));
}

#[test]
fn a_whole_expression_can_be_told_in_another_unit() {
    let expression = parse("gpu_power * 4").unwrap().in_unit(Unit::KILOWATTS).unwrap();
    assert_eq!(expression.evaluate(|_| Some(500.0)), Some(2.0));
    let temperature = parse("coolant_supply_temperature").unwrap();
    assert!(temperature.clone().in_unit(Unit::KELVIN).is_err(), "a temperature is not a difference");
    assert!(temperature.in_unit(Unit::WATTS).is_err());
}

#[test]
fn each_refusal_names_the_place_and_the_mend() {
    let cases = [
        ("", "expected a signal, a number or a bracket, found the end (at column 1 of \"\")"),
        ("5 K", "names no signal: there is nothing to measure (at column 1 of \"5 K\")"),
        (
            "coolant_suply_temperature",
            "\"coolant_suply_temperature\" is neither a canonical signal nor declared by a mapping; \
             did you mean \"coolant_supply_temperature\"? (at column 1 of \"coolant_suply_temperature\")",
        ),
        (
            "zzz",
            "\"zzz\" is neither a canonical signal nor declared by a mapping; \
             declare it under `signals` in a mapping (at column 1 of \"zzz\")",
        ),
        (
            "coolant_supply_temperature - 5",
            "a reading in \"Cel\" cannot be told in \"1\": they measure different things \
             (at column 28 of \"coolant_supply_temperature - 5\")",
        ),
        (
            "coolant_supply_temperature + coolant_return_temperature",
            "a reading in \"Cel\" cannot be told in \"Cel\": two temperatures are not added; subtract them, or add K \
             (at column 28 of \"coolant_supply_temperature + coolant_return_temperature\")",
        ),
        (
            "rack_power rack_power",
            "expected an operator (+ - * /) or the end, found 'r' (at column 12 of \"rack_power rack_power\")",
        ),
        ("(rack_power", "expected ')', found the end (at column 12 of \"(rack_power\")"),
        ("1.2.3 * rack_power", "\"1.2.3\" is not a number (at column 1 of \"1.2.3 * rack_power\")"),
        (
            "wurst(gpu_temperature)",
            "\"wurst\" is not a function, expected one of min, max, abs, first_known, worst, best, highest, lowest, \
             median, mean; did you mean \"worst\"? (at column 1 of \"wurst(gpu_temperature)\")",
        ),
        (
            "worst(gpu_power + gpu_power)",
            "worst takes one signal, such as worst(gpu_temperature) (at column 7 of \"worst(gpu_power + gpu_power)\")",
        ),
        (
            "abs(rack_power, rack_power)",
            "abs takes one value (at column 15 of \"abs(rack_power, rack_power)\")",
        ),
        (
            "-coolant_supply_temperature",
            "a value in Cel has no opposite: only amounts have (at column 28 of \"-coolant_supply_temperature\")",
        ),
        (
            "max(coolant_supply_temperature, 5 K)",
            "a reading in \"K\" cannot be told in \"Cel\": \
             one is a temperature and the other a difference of temperatures \
             (at column 32 of \"max(coolant_supply_temperature, 5 K)\")",
        ),
    ];
    for (text, expected) in cases {
        assert_eq!(parse(text).unwrap_err(), expected, "{text}");
    }
}

#[test]
fn an_expression_has_a_longest_text_and_a_deepest_nesting() {
    let deep = format!("{}rack_power{}", "(".repeat(40), ")".repeat(40));
    assert!(parse(&deep).unwrap_err().contains("nested more than 32 deep"));
    let negative = format!("{}rack_power", "-".repeat(40));
    assert!(parse(&negative).unwrap_err().contains("nested more than 32 deep"));
    let long = format!("rack_power{}", " + rack_power".repeat(100));
    assert!(parse(&long).unwrap_err().contains("too long"));
}

#[test]
fn worst_is_the_highest_or_the_lowest_as_the_signal_has_it() {
    let reduction = |text: &str| parse(text).unwrap().operands()[0].reduction;
    assert_eq!(reduction("worst(gpu_temperature)"), Reduction::Highest);
    assert_eq!(reduction("worst(gpu_temperature_margin)"), Reduction::Lowest);
    assert_eq!(reduction("best(gpu_temperature_margin)"), Reduction::Highest);
    assert_eq!(reduction("machine_temperature"), Reduction::Own);
}

#[test]
fn first_known_takes_what_is_there_and_asks_for_one_part_only() {
    let text = "first_known(gpu_temperature_margin, gpu_slowdown_temperature - gpu_temperature)";
    assert_eq!(value(text, &[Some(12.0), Some(90.0), Some(70.0)]), Some(12.0));
    assert_eq!(value(text, &[None, Some(90.0), Some(70.0)]), Some(20.0));
    assert_eq!(value(text, &[None, Some(90.0), None]), None);
    let expression = parse(text).unwrap();
    assert!(expression.is_measured(|index| index == 0));
    assert!(expression.is_measured(|index| index != 0));
    assert!(!expression.is_measured(|index| index == 1));
}

#[test]
fn a_division_by_zero_and_an_overflow_are_unknown() {
    assert_eq!(value("rack_power / coolant_flow", &[Some(1.0), Some(0.0)]), None);
    assert_eq!(value("rack_power * rack_power", &[Some(1e200)]), None);
}

/// Texts of random expressions in kW whose operands are `rack_power` and `heat_removed`.
fn expressions() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("rack_power".to_owned()),
        Just("heat_removed".to_owned()),
        Just("worst(rack_power)".to_owned()),
        Just("mean(heat_removed)".to_owned()),
        (0u32..2_000).prop_map(|tenths| format!("{} kW", f64::from(tenths) / 10.0)),
    ];
    leaf.prop_recursive(4, 24, 3, |inner| {
        let two = (inner.clone(), inner.clone());
        prop_oneof![
            (two.clone(), prop_oneof![Just("+"), Just("-")])
                .prop_map(|((one, other), sign)| format!("({one}) {sign} ({other})")),
            (inner.clone(), 1u32..9, prop_oneof![Just("*"), Just("/")])
                .prop_map(|(one, number, sign)| format!("({one}) {sign} {number}")),
            two.clone().prop_map(|(one, other)| format!("({one}) * (({other}) / (heat_removed + 1 kW))")),
            two.clone().prop_map(|(one, other)| format!("max({one}, {other})")),
            two.prop_map(|(one, other)| format!("min({one}, {other})")),
            inner.clone().prop_map(|one| format!("abs({one})")),
            inner.prop_map(|one| format!("-({one})")),
        ]
    })
    .prop_filter("needs a signal and a bound on its text", |text| {
        (text.contains("rack_power") || text.contains("heat_removed")) && text.len() < 900
    })
}

proptest! {
    #[test]
    fn what_is_printed_reads_back_as_the_same(text in expressions()) {
        let expression = parse(&text).unwrap();
        let again = parse(&expression.to_string()).unwrap();
        prop_assert_eq!(&again, &expression);
        prop_assert_eq!(again.to_string(), expression.to_string());
    }

    #[test]
    fn one_unknown_operand_makes_all_unknown(text in expressions(), unknown in 0usize..4, power in 0.0..200.0) {
        let expression = parse(&text).unwrap();
        let unknown = unknown % expression.operands().len();
        prop_assert_eq!(expression.evaluate(|index| (index != unknown).then_some(power)), None);
    }

    #[test]
    fn no_text_makes_the_parser_panic(text in "[a-z_ ()+*/,.0-9%K°-]{0,60}") {
        let _ = parse(&text);
    }
}
