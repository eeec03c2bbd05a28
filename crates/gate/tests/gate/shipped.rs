//! The policies that are compiled in pass their own unit tests.

use gate::policy_document::read;
use gate::policy_test::run_tests;
use telemetry::record::Document;

#[test]
fn the_shipped_policies_pass_their_own_tests() {
    let policies = read(&gate::default_documents()).unwrap();
    let names: Vec<&str> = policies.iter().map(|policy| &*policy.name).collect();
    assert_eq!(names, ["canary", "default", "smoke"]);
    for (policy, text) in [
        ("canary", include_str!("../../../../slo/policies/canary.test.yaml")),
        ("default", include_str!("../../../../slo/policies/default.test.yaml")),
        ("smoke", include_str!("../../../../slo/policies/smoke.test.yaml")),
    ] {
        let document = Document { name: format!("slo/policies/{policy}.test.yaml"), text: text.into() };
        let outcomes = run_tests(&document, &policies).unwrap();
        assert!(outcomes.len() > 5, "{policy} has tests");
        let failed: Vec<String> = outcomes
            .iter()
            .filter(|test| !test.passed)
            .map(|test| {
                format!(
                    "{}:{} {}\n  expected {}\n  observed {}",
                    test.document, test.line, test.name, test.expected, test.observed
                )
            })
            .collect();
        assert!(failed.is_empty(), "{}", failed.join("\n"));
    }
}

#[test]
fn a_test_that_is_wrong_fails_and_says_what_was_observed() {
    let policies = read(&gate::default_documents()).unwrap();
    let text = "apiVersion: thermogate.dev/v1alpha1\nkind: GatePolicyTest\nmetadata: {name: x}\nspec:\n  policy: smoke\n  \
                tests:\n    - name: wrong\n      expect: {verdict: FAIL, checks: {leak: FAIL}}\n";
    let document = Document { name: "x.test.yaml".into(), text: text.into() };
    let outcomes = run_tests(&document, &policies).unwrap();
    assert!(!outcomes[0].passed);
    assert_eq!(outcomes[0].line, 7);
    assert!(
        outcomes[0].observed.contains("verdict is PASS")
            && outcomes[0].observed.contains("check leak is PASS")
    );
}

#[test]
fn a_test_of_something_that_the_policy_does_not_ask_is_refused() {
    let policies = read(&gate::default_documents()).unwrap();
    let text = "apiVersion: thermogate.dev/v1alpha1\nkind: GatePolicyTest\nmetadata: {name: x}\nspec:\n  policy: smoke\n  \
                tests:\n    - name: wrong\n      given: {missing: [coolant-td]}\n      expect: {verdict: FAIL}\n";
    let document = Document { name: "x.test.yaml".into(), text: text.into() };
    let errors = run_tests(&document, &policies).unwrap_err();
    let message = errors[0].to_string();
    assert!(
        message.starts_with("x.test.yaml:7: test \"wrong\": the policy does not ask about \"coolant-td\""),
        "{message}"
    );
}
