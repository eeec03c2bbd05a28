//! Unit tests of policies, beside the policies: given facts → expected verdict.
//!
//! `slo/policies/*.test.yaml` → **policy_test** → `judge`
//!
//! A test says only what differs from a healthy rack: everything that the policy asks for is there, known and good
//! unless `given` says otherwise.

mod beside; // what the check `canary` compares
mod drills; // which detectors were drilled
mod given; // what a test says, and the question that goes with it
mod headroom; // what a rack can sustain
mod healthy; // the facts, healthy but for that

pub use given::Given;

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_saphyr::Spanned;
use telemetry::document::{DocumentError, read_yaml};
use telemetry::facts::Cause;
use telemetry::record::Document;

use crate::judge::judge_beside;
use crate::policy::Policy;
use crate::policy_document::API_VERSION;
use crate::verdict::{Verdict, VerdictKind};

/// Whether a file holds tests rather than policies, by its name.
pub fn is_test_document(name: &str) -> bool {
    name.ends_with(".test.yaml") || name.ends_with(".test.yml")
}

/// What became of one test.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TestOutcome {
    /// The test's name.
    pub name: String,
    /// Its file.
    pub document: String,
    /// Its line.
    pub line: u64,
    /// Whether all that was expected was observed.
    pub passed: bool,
    /// What was expected, as written.
    pub expected: String,
    /// What was observed: of a failed test only what differs.
    pub observed: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct TestFile {
    api_version: Spanned<String>,
    kind: Spanned<String>,
    #[serde(rename = "metadata")]
    _metadata: Metadata,
    spec: Spec,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Metadata {
    #[serde(rename = "name")]
    _name: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Spec {
    policy: Spanned<String>,
    tests: Vec<Spanned<Test>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Test {
    name: String,
    #[serde(default)]
    given: Given,
    expect: Expected,
}

/// What a test expects; what it leaves out may be anything.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Expected {
    verdict: VerdictKind,
    cause: Option<Cause>,
    would_be: Option<VerdictKind>,
    /// Must stand in the verdict's sentence.
    reason: Option<String>,
    /// Outcomes of checks by name.
    #[serde(default)]
    checks: BTreeMap<String, VerdictKind>,
}

/// Runs the tests of a document against the policies.
///
/// # Errors
/// When the document cannot be read, or names a policy or check that does not exist.
pub fn run_tests(document: &Document, policies: &[Policy]) -> Result<Vec<TestOutcome>, Vec<DocumentError>> {
    let files: Vec<TestFile> = read_yaml(document).map_err(|error| vec![error])?;
    let mut outcomes = Vec::new();
    let mut errors = Vec::new();
    for file in files {
        let mut mistake =
            |line: u64, message: String| errors.push(DocumentError::new(document, Some(line), message));
        if file.kind.value != "GatePolicyTest" || file.api_version.value != API_VERSION {
            let line = file.kind.referenced.line();
            mistake(line, format!("write apiVersion {API_VERSION:?} and kind \"GatePolicyTest\""));
            continue;
        }
        let name = &file.spec.policy;
        let Some(policy) = policies.iter().find(|policy| *policy.name == *name.value) else {
            let known: Vec<&str> = policies.iter().map(|policy| &*policy.name).collect();
            let message = format!("policy {:?} does not exist: known are {}", name.value, known.join(", "));
            mistake(name.referenced.line(), message);
            continue;
        };
        for test in file.spec.tests {
            let line = test.referenced.line();
            match run_test(document, line, &test.value, policy) {
                Ok(outcome) => outcomes.push(outcome),
                Err(message) => mistake(line, format!("test {:?}: {message}", test.value.name)),
            }
        }
    }
    if errors.is_empty() { Ok(outcomes) } else { Err(errors) }
}

fn run_test(document: &Document, line: u64, test: &Test, policy: &Policy) -> Result<TestOutcome, String> {
    let (question, facts) = test.given.facts(policy)?;
    let controls = test.given.controls(policy, &question, &facts);
    let verdict = judge_beside(policy, &question, &facts, &controls);
    let differences = differences(&test.expect, &verdict)?;
    Ok(TestOutcome {
        name: test.name.clone(),
        document: document.name.clone(),
        line,
        passed: differences.is_empty(),
        expected: expected(&test.expect),
        observed: if differences.is_empty() {
            format!("{}: {}", verdict.verdict, verdict.reason)
        } else {
            format!("{}; the verdict says: {}", differences.join("; "), verdict.reason)
        },
    })
}

fn expected(expected: &Expected) -> String {
    let mut parts = vec![expected.verdict.to_string()];
    parts.extend(expected.would_be.map(|verdict| format!("would be {verdict}")));
    parts.extend(expected.cause.map(|cause| format!("cause {cause:?}")));
    parts.extend(expected.reason.as_ref().map(|text| format!("reason with {text:?}")));
    parts.extend(expected.checks.iter().map(|(check, verdict)| format!("{check} {verdict}")));
    parts.join(", ")
}

fn differences(expected: &Expected, verdict: &Verdict) -> Result<Vec<String>, String> {
    let mut found = Vec::new();
    if verdict.verdict != expected.verdict {
        found.push(format!("verdict is {}", verdict.verdict));
    }
    if expected.would_be.is_some() && verdict.would_be != expected.would_be {
        found.push(format!("would be {:?}", verdict.would_be));
    }
    if expected.cause.is_some() && verdict.cause != expected.cause {
        found.push(format!("cause is {:?}", verdict.cause));
    }
    if let Some(text) = &expected.reason
        && !verdict.reason.contains(text.as_str())
    {
        found.push(format!("the reason does not hold {text:?}"));
    }
    for (name, wanted) in &expected.checks {
        let row = verdict.checks.iter().find(|row| *row.check == **name).ok_or_else(|| {
            let names: Vec<&str> = verdict.checks.iter().map(|row| &*row.check).collect();
            format!("check {name:?} gave no row: rows are {}", names.join(", "))
        })?;
        if row.verdict != *wanted {
            found.push(format!("check {name} is {}: {}", row.verdict, row.reason));
        }
    }
    Ok(found)
}
