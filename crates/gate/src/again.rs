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
use crate::verdict::Verdict;

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

/// What a verdict was made from, as it was stored: all that is needed to judge again.
#[derive(Debug, Clone, Deserialize)]
pub struct Stored {
    /// Version of the engine that gave the answer first.
    pub engine: String,
    /// The policy.
    pub policy: Policy,
    /// The question.
    pub question: Question,
    /// What was known of the racks, without what no check of the policy looks at.
    pub facts: Vec<RackFacts>,
    /// The racks that they were compared with.
    #[serde(default)]
    pub controls: Vec<Control>,
}

impl Stored {
    /// Reads what [`facts_json`] writes.
    ///
    /// # Errors
    /// When the text is something else.
    pub fn read(stored_facts_json: &str) -> Result<Self, AgainError> {
        let stored: Self = read(stored_facts_json)?;
        Ok(Self { policy: stored.policy.sealed(), ..stored })
    }

    /// Judges the stored facts. The answer carries the version of the engine that gave it first.
    pub fn judge(&self) -> Verdict {
        self.judge_instead(&self.policy, &self.facts.iter().collect::<Vec<_>>())
    }

    /// Judges other facts of the same racks, or by another policy, as if they had been there when the question was
    /// asked.
    pub fn judge_instead(&self, policy: &Policy, facts: &[&RackFacts]) -> Verdict {
        judge_as(policy, &self.question, facts, &self.controls, &self.engine)
    }
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
    Ok(Stored::read(stored_facts_json)?.judge().to_json())
}

/// Reads JSON with exact numbers: `serde_json` does so with its feature `float_roundtrip`, which the workspace sets.
pub(crate) fn read<T: DeserializeOwned>(text: &str) -> Result<T, AgainError> {
    serde_json::from_str(text).map_err(|error| AgainError(error.to_string()))
}
