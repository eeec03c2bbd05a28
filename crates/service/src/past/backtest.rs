//! Other documents tried on a past run: the same telemetry, the same question, another configuration.
//!
//! `Past`, new documents → **backtest** → `play` → old and new verdict, row by row

use std::collections::{BTreeMap, BTreeSet};

use gate::{Policy, Question, Stored, Verdict};
use serde::Deserialize;
use telemetry::document::read_yaml;
use telemetry::facts::RackFacts;
use telemetry::record::{Configuration, Document};
use telemetry::{EventTime, Name};

use super::{Past, PastError, Played, Readings, StoredVerdict, Wanted, play};
use crate::configuration::{self, Texts};
use crate::settings::Settings;

/// What is tried.
#[derive(Debug, Default, Clone)]
pub struct Trial {
    /// Objectives, burn-rate policies, watch groups: those of the same name take the place of the ones in force then.
    pub objectives: Vec<Document>,
    /// A gate policy, in the place of the one that the old verdict was given by.
    pub policy: Option<Document>,
}

/// An old verdict and what would have been said.
#[derive(Debug, Clone, PartialEq)]
pub struct Tried {
    /// The verdict then.
    pub old: Verdict,
    /// Whether it was stored; else it was judged again by the documents in force then, at the run's end.
    pub is_stored: bool,
    /// The verdict by the documents that are tried, about the same moment.
    pub new: Verdict,
    /// Rows that differ.
    pub changes: Vec<Change>,
    /// What a reader should know.
    pub notes: Vec<String>,
}

/// A row that differs.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    /// The rack.
    pub rack: Name,
    /// The check.
    pub check: Name,
    /// As it was; `None` for one that is new.
    pub old: Option<gate::CheckResult>,
    /// As it would be; `None` for one that is gone.
    pub new: Option<gate::CheckResult>,
}

/// Tries documents on a run.
///
/// - `readings`: gives the run's samples, each time from the beginning.
///
/// # Errors
/// Documents that cannot be used, each with file and line; a policy that is not there.
pub fn backtest<I: Iterator<Item = Result<Readings, PastError>>>(
    past: &Past,
    trial: &Trial,
    settings: &Settings,
    mut readings: impl FnMut() -> I,
) -> Result<Tried, PastError> {
    let asked = tried_policy(trial)?;
    let stored = past.verdicts.iter().rev().filter(|verdict| &*verdict.record.verdict != "PENDING");
    let of_policy =
        |verdict: &&StoredVerdict| asked.as_ref().is_none_or(|asked| asked.name == verdict.record.policy);
    let stored = stored.clone().find(of_policy).or_else(|| stored.clone().next());
    let stored =
        stored.map(|verdict| Ok::<_, gate::AgainError>((verdict, Stored::read(&verdict.record.facts)?)));
    let stored = stored.transpose().map_err(|error| PastError::Refused(error.to_string()))?;
    let old_policy = match &stored {
        Some((_, stored)) => stored.policy.clone(),
        None => policy_in_force(past, asked.as_ref())?,
    };
    let new_policy = asked.unwrap_or_else(|| old_policy.clone());
    let documents = documents(past, trial, &[old_policy.clone(), new_policy.clone()], settings)?;
    match stored {
        Some((verdict, stored)) => {
            let old = Verdict::from_json(&verdict.record.answer)
                .map_err(|error| PastError::Refused(error.to_string()))?;
            let of = |facts: &RackFacts| ((facts.place.clone(), facts.watermark), verdict.seq);
            let wanted: Wanted = stored.facts.iter().map(of).collect();
            let played = play(past, Some(&documents), readings(), &wanted)?;
            let mut notes = Vec::new();
            let facts: Vec<RackFacts> =
                stored.facts.iter().map(|known| facts_then(past, &played, known, &mut notes)).collect();
            notes.dedup();
            let new = stored.judge_instead(&new_policy, &facts.iter().collect::<Vec<_>>());
            Ok(Tried { changes: changes(&old, &new), old, is_stored: true, new, notes })
        }
        None => {
            let nothing = Wanted::new();
            let judged = |policy: &Policy, played: &Played| {
                let question = question(past, played.tick);
                let facts: Vec<_> = played
                    .last
                    .iter()
                    .filter(|facts| {
                        facts.place.rack.as_ref().is_some_and(|rack| past.head.racks.contains(rack))
                    })
                    .cloned()
                    .collect();
                let controls = gate::controls(policy, &question, &facts, &played.last);
                gate::judge_beside(policy, &question, &facts, &controls)
            };
            let in_force = documents_in_force(past, &old_policy);
            let old = judged(&old_policy, &play(past, Some(&in_force), readings(), &nothing)?);
            let new = judged(&new_policy, &play(past, Some(&documents), readings(), &nothing)?);
            let mut notes = vec![
                "no verdict was stored: the old one is judged again by the documents in force then"
                    .to_owned(),
            ];
            if !past.head.is_whole_history {
                let from = past.head.from;
                notes.push(format!("findings, headroom and earlier runs are known from {from} on only"));
            }
            Ok(Tried { changes: changes(&old, &new), old, is_stored: false, new, notes })
        }
    }
}

/// What is known of a rack by the new documents at the moment of the old verdict. What does not come from objectives
/// and reaches back before the span is taken as it was known then.
fn facts_then(past: &Past, played: &Played, known: &RackFacts, notes: &mut Vec<String>) -> RackFacts {
    let new = played.nearest.get(&(known.place.clone(), known.watermark));
    let last = || played.last.iter().find(|facts| facts.place == known.place);
    let Some(new) = new.or_else(last) else {
        notes.push(format!("nothing is known again of {}", known.place));
        return RackFacts { objectives: Vec::new(), ..known.clone() };
    };
    let mut facts = RackFacts { drills: known.drills.clone(), ..(**new).clone() };
    if !past.head.is_whole_history || past.head.to < known.watermark {
        facts.findings = known.findings.clone();
        facts.sensors = known.sensors.clone();
        facts.previous_run = known.previous_run.clone();
        facts.recovery = known.recovery.clone();
        facts.batches = known.batches.clone();
        facts.headroom = known.headroom.clone();
        notes.push("findings, headroom and earlier runs are taken as they were known then".to_owned());
    }
    facts
}

fn question(past: &Past, asked_at: EventTime) -> Question {
    Question {
        racks: past.head.racks.clone(),
        run: Some(past.head.run.clone()),
        request_id: String::new(),
        asked_at,
        waiting_since: None,
        not_before: None,
        overrides: Vec::new(),
    }
}

fn tried_policy(trial: &Trial) -> Result<Option<Policy>, PastError> {
    let Some(document) = &trial.policy else { return Ok(None) };
    let mut policies = gate::policy_document::read(std::slice::from_ref(document)).map_err(|errors| {
        PastError::Refused(errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
    })?;
    match policies.len() {
        1 => Ok(policies.pop()),
        count => Err(PastError::Refused(format!("{}: holds {count} policies: give one", document.name))),
    }
}

/// The policy of that name in force then, or the one that is asked where none is named.
fn policy_in_force(past: &Past, asked: Option<&Policy>) -> Result<Policy, PastError> {
    let policies = gate::policy_document::read(&past.configuration.policies).unwrap_or_default();
    let name = asked.map_or(gate::policy_document::DEFAULT_POLICY, |asked| &asked.name);
    let named = policies.iter().find(|policy| &*policy.name == name).or(asked).or(policies.first());
    named.cloned().ok_or_else(|| {
        PastError::Refused(format!(
            "run {:?} has no verdict, and no gate policy was in force: give one with --policy",
            &*past.head.run
        ))
    })
}

/// The configuration in force then, which measures what the policy asks for.
fn documents_in_force(past: &Past, policy: &Policy) -> Configuration {
    let mut configuration = past.configuration.clone();
    let known: BTreeSet<Name> = configuration.needs.iter().map(|need| need.name.clone()).collect();
    configuration.needs.extend(policy.needs().into_iter().filter(|need| !known.contains(&need.name)));
    configuration
}

/// The configuration that is tried: new documents among the old ones, checked against each other.
fn documents(
    past: &Past,
    trial: &Trial,
    policies: &[Policy],
    settings: &Settings,
) -> Result<Configuration, PastError> {
    let old = &past.configuration;
    // The signals of watch groups become a mapping again.
    let is_of_watches = |document: &&Document| document.name.starts_with("watch group ");
    let texts = Texts {
        site: old.site.clone(),
        mappings: old.mappings.iter().filter(|document| !is_of_watches(document)).cloned().collect(),
        objectives: replaced(&old.objectives, &trial.objectives)?,
        policies: trial.policy.clone().map_or_else(|| old.policies.clone(), |document| vec![document]),
        watches: Vec::new(),
    };
    let parsed =
        configuration::parse(texts, settings).map_err(|error| PastError::Refused(error.to_string()))?;
    let mut configuration = parsed.configuration;
    configuration.allowed_lateness = old.allowed_lateness;
    configuration.needs = gate::needs(&[parsed.policies, policies.to_vec()].concat());
    Ok(configuration)
}

/// What every document says of itself.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
struct Header {
    #[serde(default)]
    kind: String,
    #[serde(default)]
    metadata: Metadata,
}

#[derive(Debug, Default, Clone, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
struct Metadata {
    #[serde(default)]
    name: String,
}

/// The old documents without those that a new one of the same kind and name takes the place of, and the new ones.
fn replaced(old: &[Document], new: &[Document]) -> Result<Vec<Document>, PastError> {
    let headers = |document: &Document| {
        read_yaml::<Header>(document).map_err(|error| PastError::Refused(error.to_string()))
    };
    let mut taken = BTreeSet::new();
    for document in new {
        taken.extend(headers(document)?);
    }
    let mut documents = Vec::new();
    for document in old {
        let mut kept = Vec::new();
        for text in parts(&document.text) {
            let part = Document { name: document.name.clone(), text };
            if headers(&part)?.iter().all(|header| !taken.contains(header)) {
                kept.push(part.text);
            }
        }
        if !kept.is_empty() {
            documents.push(Document { name: document.name.clone(), text: kept.join("---\n") });
        }
    }
    documents.extend(new.iter().cloned());
    Ok(documents)
}

/// The YAML documents of a file: each begins with `---` at the start of a line, alone or before a space (YAML 1.2.2,
/// 9.1.2), and what follows it on the line is its own.
fn parts(text: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    for line in text.lines() {
        let begun = line.strip_prefix("---").filter(|rest| rest.is_empty() || rest.starts_with([' ', '\t']));
        match begun {
            Some(rest) if rest.trim().is_empty() => parts.push(String::new()),
            Some(rest) => parts.push(format!("{rest}\n")),
            None => parts.last_mut().expect("there is one").extend([line, "\n"]),
        }
    }
    parts.retain(|part| {
        part.lines().any(|line| !line.trim().is_empty() && !line.trim_start().starts_with('#'))
    });
    parts
}

/// Rows whose outcome, observed value or threshold differ, in order of rack and check.
fn changes(old: &Verdict, new: &Verdict) -> Vec<Change> {
    let mut rows: BTreeMap<(Name, Name), Change> = BTreeMap::new();
    let change =
        |rack: &Name, check: &Name| Change { rack: rack.clone(), check: check.clone(), old: None, new: None };
    for (verdict, is_new) in [(old, false), (new, true)] {
        for of_rack in &verdict.racks {
            for row in &of_rack.checks {
                let key = (of_rack.rack.clone(), row.check.clone());
                let both = rows.entry(key).or_insert_with(|| change(&of_rack.rack, &row.check));
                *(if is_new { &mut both.new } else { &mut both.old }) = Some(row.clone());
            }
        }
    }
    let is_changed = |change: &Change| match (&change.old, &change.new) {
        (Some(old), Some(new)) => {
            let said = |row: &gate::CheckResult| {
                (
                    row.verdict,
                    row.observed.map(f64::to_bits),
                    row.threshold.map(f64::to_bits),
                    row.unit.clone(),
                )
            };
            said(old) != said(new)
        }
        (old, new) => old.is_some() || new.is_some(),
    };
    rows.into_values().filter(is_changed).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document(name: &str, text: &str) -> Document {
        Document { name: name.to_owned(), text: text.to_owned() }
    }

    #[test]
    fn a_new_document_takes_the_place_of_the_one_of_its_kind_and_name() {
        let old = document(
            "old.yaml",
            "# about it\nkind: SLO\nmetadata: {name: a}\n---\nkind: SLO\nmetadata:\n  name: b\n---\nkind: BurnRatePolicy\nmetadata: {name: a}\n",
        );
        let new = document("new.yaml", "kind: SLO\nmetadata: {name: a}\nspec: {}\n");
        let both = replaced(&[old], std::slice::from_ref(&new)).expect("YAML");
        let texts: Vec<&str> = both.iter().map(|document| document.text.as_str()).collect();
        assert_eq!(
            texts,
            [
                "kind: SLO\nmetadata:\n  name: b\n---\nkind: BurnRatePolicy\nmetadata: {name: a}\n",
                new.text.as_str()
            ]
        );
        let remarked = "kind: SLO\nmetadata: {name: a}\n--- # the other\nkind: SLO\nmetadata: {name: b}\n";
        let both = replaced(&[document("old.yaml", remarked)], std::slice::from_ref(&new)).expect("YAML");
        assert_eq!(both.len(), 2, "the other stays: {both:?}");
        let error = replaced(&[], &[document("torn.yaml", "kind: [")]).unwrap_err().to_string();
        assert!(error.starts_with("torn.yaml"), "{error}");
    }
}
