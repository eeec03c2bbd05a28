//! From files to a configuration record: read, parsed by the pure crates, checked against each other, hashed.

use std::path::{Path, PathBuf};

use evaluator::objective::Objective;
use evaluator::objective_document::{Remark, RemarkLevel, windows_beyond};
use evaluator::watch::{self, WatchGroup};
use gate::Policy;
use gate::references::{Known, check_references, never_known};
use telemetry::document::DocumentError;
use telemetry::mapping::{Mapping, Resolver, UnmappedPolicy};
use telemetry::record::{Configuration, Document};
use telemetry::site::Site;
use telemetry::{Microseconds, canonical_json, sha256_hex};

use crate::settings::{Settings, Unmapped};

/// Why the documents cannot be used. A service never starts half-configured.
#[derive(Debug, thiserror::Error)]
pub enum ConfigurationError {
    /// A file that cannot be read.
    #[error("{path}: {error}")]
    Unreadable {
        /// Which.
        path: String,
        /// Why.
        error: std::io::Error,
    },
    /// Documents that say something that cannot be.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    Documents(Vec<DocumentError>),
}

/// All documents, parsed and found to fit each other.
pub struct Documents {
    /// As the log keeps them.
    pub configuration: Configuration,
    /// Gate policies in force, in order of their names.
    pub policies: Vec<Policy>,
    /// Names series.
    pub resolver: Resolver,
    /// What is no error and should be known.
    pub remarks: Vec<Remark>,
}

/// The documents' texts, from files or compiled in.
#[derive(Debug, Clone, Default)]
pub struct Texts {
    /// The site file.
    pub site: Option<Document>,
    /// Mappings beside those compiled in.
    pub mappings: Vec<Document>,
    /// Objectives and burn-rate policies; empty for those compiled in.
    pub objectives: Vec<Document>,
    /// Gate policies; empty for those compiled in.
    pub policies: Vec<Document>,
    /// Groups of signals without physics, beside those that stand among the objectives.
    pub watches: Vec<Document>,
}

impl Texts {
    /// Reads the files that the settings name.
    ///
    /// # Errors
    /// Names the file that cannot be read.
    pub fn read(settings: &Settings) -> Result<Self, ConfigurationError> {
        let documents = &settings.documents;
        let site = match documents.site.as_str() {
            "" => None,
            path => Some(read_file(Path::new(path))?),
        };
        Ok(Self {
            site,
            mappings: read_all(&documents.mappings)?,
            objectives: read_all(&documents.objectives)?,
            policies: read_all(&documents.policies)?,
            watches: read_all(&documents.watches)?,
        })
    }
}

/// Parses the documents and checks them against each other.
///
/// # Errors
/// All that is wrong with them, each with file and line.
pub fn parse(mut texts: Texts, settings: &Settings) -> Result<Documents, ConfigurationError> {
    let watches = take_watches(&mut texts)?;
    let site = match &texts.site {
        Some(document) => Site::read(document).map_err(ConfigurationError::Documents)?,
        None => Site::empty(&settings.site.name),
    };
    let unmapped = match settings.ingest.unmapped {
        Unmapped::Keep => UnmappedPolicy::Keep,
        Unmapped::Count => UnmappedPolicy::Count,
    };
    let mapping = Mapping::with(&texts.mappings)
        .map_err(ConfigurationError::Documents)?
        .or_unmapped(unmapped, &texts.mappings);
    // The compiled-in policies are about the compiled-in objectives: beside objectives of one's own they are an offer.
    let policies_offered = texts.policies.is_empty() && !texts.objectives.is_empty();
    let mut objectives =
        if texts.objectives.is_empty() { evaluator::default_documents() } else { texts.objectives };
    objectives.extend(texts.watches);
    let mut policy_documents =
        if texts.policies.is_empty() { gate::default_documents() } else { texts.policies };
    let loaded = evaluator::objective_document::read(&objectives, &evaluator::known_signals(&mapping))
        .map_err(ConfigurationError::Documents)?;
    let mut policies =
        gate::policy_document::read(&policy_documents).map_err(ConfigurationError::Documents)?;
    let names: Vec<&str> = loaded.objectives.iter().map(|objective| &*objective.name).collect();
    let signals: Vec<&str> = mapping.signal_names().collect();
    let known = Known { objectives: &names, detectors: &evaluator::detector_names(), signals: &signals };
    let mut remarks = loaded.remarks;
    // 0 days mean for ever.
    if let days @ 1.. = settings.history.retention_samples_days {
        let kept = Microseconds::from_hours(24 * i64::from(days));
        remarks.extend(windows_beyond(&loaded.objectives, kept));
    }
    if policies_offered {
        policies.retain(|policy| {
            let Some(error) = check_references(std::slice::from_ref(policy), &known).into_iter().next()
            else {
                return true;
            };
            remarks.push(Remark {
                level: RemarkLevel::Warning,
                document: policy.document().into(),
                line: error.line.unwrap_or(1),
                subject: format!("gate policy {}", policy.name),
                message: format!(
                    "is left out: {}; write one of your own and name it in documents.policies",
                    error.message
                ),
            });
            policy_documents.retain(|document| document.name != policy.document());
            false
        });
    }
    let mut wrong = check_references(&policies, &known);
    wrong.extend(cannot_pass(&policies, &loaded.objectives));
    wrong.extend(never_known(&policies, &site));
    if !wrong.is_empty() {
        return Err(ConfigurationError::Documents(wrong));
    }
    let mut configuration = Configuration {
        hash: String::new(),
        site: texts.site,
        mappings: texts.mappings,
        objectives,
        policies: policy_documents,
        needs: gate::needs(&policies),
        allowed_lateness: settings.clock.allowed_lateness.0,
    };
    let hashes: Vec<&str> = loaded.objectives.iter().map(|objective| &*objective.hash).collect();
    let policy_hashes: Vec<&str> = policies.iter().map(|policy| &**policy.hash()).collect();
    let identity = (
        &configuration.mappings,
        site.hash(),
        hashes,
        watches,
        policy_hashes,
        configuration.allowed_lateness,
        env!("CARGO_PKG_VERSION"),
    );
    configuration.hash = sha256_hex(&canonical_json(&identity));
    Ok(Documents { configuration, policies, resolver: Resolver::new(mapping, site), remarks })
}

/// The groups that are watched. Their documents are put apart from the objectives, so that groups alone replace none of
/// those compiled in; the signals that they declare become a mapping.
fn take_watches(texts: &mut Texts) -> Result<Vec<WatchGroup>, ConfigurationError> {
    let (watches, objectives) =
        std::mem::take(&mut texts.objectives).into_iter().partition(watch::is_watch_group);
    texts.objectives = objectives;
    if let Some(document) = texts.watches.iter().find(|document| !watch::is_watch_group(document)) {
        let message =
            "documents.watches: expected `kind: WatchGroup`; other kinds have settings of their own";
        return Err(ConfigurationError::Documents(vec![DocumentError::new(
            document,
            None,
            message.to_owned(),
        )]));
    }
    texts.watches.extend::<Vec<Document>>(watches);
    let mapping = Mapping::with(&texts.mappings).map_err(ConfigurationError::Documents)?;
    let read = watch::read_all(&texts.watches, &evaluator::known_signals(&mapping))
        .map_err(ConfigurationError::Documents)?;
    for read in &read {
        texts.mappings.extend(read.mapping(&format!("watch group {}", read.group.name)));
    }
    Ok(read.into_iter().map(|read| read.group).collect())
}

/// Objectives that a policy waits for and that cannot pass before its deadline.
fn cannot_pass(policies: &[Policy], objectives: &[Objective]) -> Vec<DocumentError> {
    let mut wrong = Vec::new();
    for policy in policies {
        let Some(deadline) = policy.wait_for.deadline else { continue };
        for named in policy.objectives_named().filter(|named| !named.capped) {
            let objective = objectives.iter().find(|objective| objective.name == named.objective);
            if let Some(reason) = objective
                .and_then(|objective| evaluator::objective_document::cannot_pass_within(objective, deadline))
            {
                let document = Document { name: policy.document().to_owned(), text: String::new() };
                let message = format!("gate policy {}: objective {}: {reason}", policy.name, named.objective);
                wrong.push(DocumentError::new(&document, Some(named.line), message));
            }
        }
    }
    wrong
}

fn read_file(path: &Path) -> Result<Document, ConfigurationError> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| ConfigurationError::Unreadable { path: path.display().to_string(), error })?;
    Ok(Document { name: path.display().to_string(), text })
}

/// Files, and the `*.yaml` of folders in order of their names, without unit tests.
fn read_all(paths: &[PathBuf]) -> Result<Vec<Document>, ConfigurationError> {
    let mut documents = Vec::new();
    for path in paths {
        if path.is_dir() {
            let unreadable =
                |error| ConfigurationError::Unreadable { path: path.display().to_string(), error };
            let entries = std::fs::read_dir(path).map_err(unreadable)?;
            let mut files: Vec<PathBuf> = entries
                .map(|entry| entry.map(|entry| entry.path()))
                .collect::<Result<_, _>>()
                .map_err(unreadable)?;
            files.sort();
            for file in files {
                let name = file.display().to_string();
                if (name.ends_with(".yaml") || name.ends_with(".yml")) && !name.contains(".test.") {
                    documents.push(read_file(&file)?);
                }
            }
        } else {
            documents.push(read_file(path)?);
        }
    }
    Ok(documents)
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: &str = r#"
apiVersion: openslo/v1
kind: SLO
metadata: {name: own}
spec:
  service: own
  budgetingMethod: Timeslices
  timeWindow: [{duration: 28d, isRolling: true}]
  indicator:
    metadata: {name: own}
    spec:
      thresholdMetric:
        metricSource: {type: thermogate, spec: {specVersion: v1alpha1, signal: {expr: coolant_flow, unit: L/min}}}
  objectives:
    - {op: gte, value: 100, target: 0.99}
"#;

    fn own_objective(policies: Vec<Document>) -> Texts {
        Texts {
            objectives: vec![Document { name: "own.yaml".to_owned(), text: OWN.to_owned() }],
            policies,
            ..Texts::default()
        }
    }

    #[test]
    fn objectives_of_ones_own_are_enough() {
        let settings = Settings::load(None, std::iter::empty(), &[]).expect("the defaults");
        let documents =
            parse(own_objective(Vec::new()), &settings).map_err(|error| error.to_string()).expect("they fit");
        assert!(documents.policies.is_empty(), "all compiled-in policies name objectives that are not there");
        assert!(
            documents.configuration.policies.is_empty(),
            "what is not in force is not kept as if it were"
        );
        assert!(
            documents
                .remarks
                .iter()
                .any(|remark| remark.to_string().contains("gate policy default: is left out")),
            "{:?}",
            documents.remarks
        );
    }

    #[test]
    fn a_watch_group_declares_its_signals_and_leaves_the_objectives_compiled_in() {
        let settings = Settings::load(None, std::iter::empty(), &[]).expect("the defaults");
        let rig = "apiVersion: thermogate.dev/v1alpha1\nkind: WatchGroup\nmetadata: {name: rig}\nspec:\n  signals:\n    pump_vibration:\n    motor_current: {unit: A}\n";
        let document = Document { name: "rig.yaml".to_owned(), text: rig.to_owned() };
        let texts = Texts { watches: vec![document.clone()], ..Texts::default() };
        let with = parse(texts, &settings).map_err(|error| error.to_string()).expect("they fit");
        let without =
            parse(Texts::default(), &settings).map_err(|error| error.to_string()).expect("they fit");
        assert_ne!(with.configuration.hash, without.configuration.hash);
        assert_eq!(with.configuration.objectives.len(), without.configuration.objectives.len() + 1);
        assert_eq!(with.configuration.mappings.len(), 1, "motor_current is known from here on");
        let among = Texts { objectives: vec![document], ..Texts::default() };
        let among = parse(among, &settings).map_err(|error| error.to_string()).expect("they fit");
        assert_eq!(among.configuration.hash, with.configuration.hash, "wherever it stands");
        let slo = Document { name: "own.yaml".to_owned(), text: OWN.to_owned() };
        let error = parse(Texts { watches: vec![slo], ..Texts::default() }, &settings);
        let error = error.err().expect("refused").to_string();
        assert!(error.contains("own.yaml") && error.contains("kind: WatchGroup"), "{error}");
    }

    #[test]
    fn a_window_that_is_longer_than_samples_are_kept_is_remarked() {
        let said = |days: &str| {
            let set = [format!("history.retention_samples_days={days}")];
            let settings = Settings::load(None, std::iter::empty(), &set).expect("they fit");
            let documents = parse(own_objective(Vec::new()), &settings);
            let remarks = documents.map_err(|error| error.to_string()).expect("they fit").remarks;
            remarks.iter().any(|remark| remark.message.contains("is longer than samples are kept"))
        };
        assert!(said("27"), "28 days are asked for");
        assert!(!said("28") && !said("0"), "0 means for ever");
    }

    #[test]
    fn a_policy_of_ones_own_must_name_what_there_is() {
        let settings = Settings::load(None, std::iter::empty(), &[]).expect("the defaults");
        let policy = "apiVersion: thermogate.dev/v1alpha1\nkind: GatePolicy\nmetadata: {name: mine}\nspec:\n  scope: {of: rack, combine: worst}\n  checks:\n    - {objective: onw}\n";
        let policies = vec![Document { name: "mine.yaml".to_owned(), text: policy.to_owned() }];
        let error = parse(own_objective(policies), &settings).err().expect("refused").to_string();
        assert!(error.contains("mine.yaml:7") && error.contains("did you mean \"own\"?"), "{error}");
    }
}
