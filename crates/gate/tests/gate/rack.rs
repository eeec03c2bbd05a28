//! Policies and facts for the tests: a rack is healthy but for what a test says.

use std::sync::Arc;

use gate::policy::Policy;
use gate::policy_document::read;
use gate::policy_test::Given;
use gate::{CheckResult, Control, Question, Verdict, VerdictKind, judge, judge_beside};
use telemetry::facts::RackFacts;
use telemetry::record::Document;

/// A policy about racks with these checks, and lines for `spec` after them.
pub fn policy(checks: &str, more: &str) -> Policy {
    policy_of("rack", checks, more)
}

/// The same about `run` or `loop`.
pub fn policy_of(scope: &str, checks: &str, more: &str) -> Policy {
    let more = more.lines().map(|line| format!("  {line}\n")).collect::<String>();
    let checks = checks.lines().map(|line| format!("    {line}\n")).collect::<String>();
    let combine = if more.contains("scope:") { String::new() } else { format!("  scope: {{of: {scope}}}\n") };
    let text = format!(
        "apiVersion: thermogate.dev/v1alpha1\nkind: GatePolicy\nmetadata: {{name: test}}\nspec:\n{combine}  \
         checks:\n{checks}{more}"
    );
    read(&[Document { name: "test.yaml".into(), text }]).unwrap().remove(0)
}

/// What differs from a healthy rack, as tests of policies write it.
pub fn given(text: &str) -> Given {
    serde_saphyr::from_str(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

/// The question about one rack, and its facts.
pub fn facts(policy: &Policy, text: &str) -> (Question, Vec<Arc<RackFacts>>) {
    given(text).facts(policy).unwrap()
}

/// The verdict on one rack.
pub fn verdict(policy: &Policy, text: &str) -> Verdict {
    let (question, facts) = facts(policy, text);
    let controls = controls(policy, text, &question, &facts);
    judge_beside(policy, &question, &facts, &controls)
}

/// What that rack is compared with.
pub fn controls(policy: &Policy, text: &str, question: &Question, facts: &[Arc<RackFacts>]) -> Vec<Control> {
    given(text).controls(policy, question, facts)
}

/// The row of a check.
pub fn row<'a>(verdict: &'a Verdict, check: &str) -> &'a CheckResult {
    verdict.checks.iter().find(|row| &*row.check == check).unwrap_or_else(|| panic!("{check}: {verdict:#?}"))
}

/// The verdict on several racks: each one's name and what is said of it.
pub fn verdict_of(policy: &Policy, racks: &[(&str, &str)]) -> Verdict {
    let (mut question, mut all) = (None::<Question>, Vec::new());
    for (rack, text) in racks {
        let mut given = given(text);
        given.rack = Some((*rack).into());
        let (mut asked, facts) = given.facts(policy).unwrap();
        all.extend(facts);
        match &mut question {
            Some(question) => question.racks.append(&mut asked.racks),
            None => question = Some(asked),
        }
    }
    judge(policy, &question.expect("a rack"), &all)
}

/// The verdicts of all five kinds, for shorter tables.
pub const PASS: VerdictKind = VerdictKind::Pass;
pub const WARN: VerdictKind = VerdictKind::Warn;
pub const FAIL: VerdictKind = VerdictKind::Fail;
pub const INCONCLUSIVE: VerdictKind = VerdictKind::Inconclusive;
pub const PENDING: VerdictKind = VerdictKind::Pending;
