//! A verdict judged again from its stored facts, to the byte.
//!
//! `judge` → facts as JSON → table `verdicts` → **again** → the same answer

use std::borrow::Cow;
use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use telemetry::canonical_json;
use telemetry::facts::RackFacts;

use crate::control::{BEFORE_MAX, Control, since};
use crate::judge::{Question, concerned, judge_as, run_of};
use crate::policy::Policy;

/// Stored facts that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "the stored facts or answer cannot be read: {0}; they were written by another version of the engine, or changed"
)]
pub struct AgainError(String);

/// What a verdict was made from.
#[derive(Serialize)]
struct Written<'a> {
    engine: &'a str,
    policy: &'a Policy,
    question: &'a Question,
    facts: Vec<Cow<'a, RackFacts>>,
    #[serde(skip_serializing_if = "<[Control]>::is_empty")]
    controls: &'a [Control],
}

#[derive(Deserialize)]
struct Read {
    engine: String,
    policy: Policy,
    question: Question,
    facts: Vec<RackFacts>,
    #[serde(default)]
    controls: Vec<Control>,
}

/// Policy, question, the facts that it is about and what they are compared with, as canonical JSON: all that
/// [`judge_again`] needs.
pub fn facts_json(
    policy: &Policy,
    question: &Question,
    facts: &[Arc<RackFacts>],
    controls: &[Control],
) -> String {
    let facts: Vec<&RackFacts> = facts.iter().map(|facts| &**facts).collect();
    let facts = concerned(policy, question, &facts);
    let facts = facts.into_iter().map(|facts| needed(policy, question, facts)).collect();
    canonical_json(&Written { engine: crate::ENGINE_VERSION, policy, question, facts, controls })
}

/// The facts without batches, headroom and drills that no check looks at: a day of batches is more than all the rest.
fn needed<'a>(policy: &Policy, question: &Question, facts: &'a RackFacts) -> Cow<'a, RackFacts> {
    let asks_for_drills = policy.detectors_proven().next().is_some();
    let is_all = facts.batches.is_none()
        && (facts.headroom.is_none() || policy.asks_for_headroom())
        && (facts.drills.is_empty() || asks_for_drills);
    if is_all {
        return Cow::Borrowed(facts);
    }
    let run = run_of(policy, question, facts).filter(|_| policy.compares());
    let batches = run
        .zip(facts.batches.as_ref())
        .map(|(run, batches)| since(batches, run.start - BEFORE_MAX, &batches.runs));
    let headroom = facts.headroom.clone().filter(|_| policy.asks_for_headroom());
    let drills = if asks_for_drills { facts.drills.clone() } else { Vec::new() };
    Cow::Owned(RackFacts { batches, headroom, drills, ..facts.clone() })
}

/// Judges stored facts again: the answer's canonical JSON, byte for byte what was given then as long as the
/// engine judges as it did. The answer carries the version of the engine that gave it first.
///
/// # Errors
/// When the text is not what [`facts_json`] writes.
pub fn judge_again(stored_facts_json: &str) -> Result<String, AgainError> {
    let Read { engine, policy, question, facts, controls } = read(stored_facts_json)?;
    let facts: Vec<&RackFacts> = facts.iter().collect();
    Ok(judge_as(&policy.sealed(), &question, &facts, &controls, &engine).to_json())
}

/// Reads JSON with exact numbers: `serde_json` does so with its feature `float_roundtrip`, which the workspace sets.
pub(crate) fn read<T: DeserializeOwned>(text: &str) -> Result<T, AgainError> {
    serde_json::from_str(text).map_err(|error| AgainError(error.to_string()))
}
