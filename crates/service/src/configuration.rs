//! From files to a configuration record: read, parsed by the pure crates, checked against each other, hashed.

use std::path::{Path, PathBuf};

use gate::policy_document::Policy;
use telemetry::document::DocumentError;
use telemetry::mapping::{Mapping, Resolver};
use telemetry::record::{Configuration, Document};
use telemetry::site::Site;
use telemetry::{Name, canonical_json, sha256_hex};

use crate::settings::Settings;

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
    /// What is worth an operator's look and no error.
    pub warnings: Vec<String>,
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
        })
    }
}

/// Parses the documents and checks them against each other.
///
/// # Errors
/// All that is wrong with them, each with file and line.
pub fn parse(texts: Texts, site_name: &str, settings: &Settings) -> Result<Documents, ConfigurationError> {
    let refused = |error: DocumentError| ConfigurationError::Documents(vec![error]);
    let site = match &texts.site {
        Some(document) => Site::read(document).map_err(refused)?,
        None => Site::empty(site_name),
    };
    let mapping = Mapping::with(&texts.mappings).map_err(ConfigurationError::Documents)?;
    let objectives = if texts.objectives.is_empty() { evaluator::default_documents() } else { texts.objectives };
    let policy_documents = if texts.policies.is_empty() { gate::default_documents() } else { texts.policies };
    let loaded = evaluator::objective_document::read(&objectives, &|signal| mapping.unit_of(signal))
        .map_err(ConfigurationError::Documents)?;
    let policies = gate::policy_document::read_all(&policy_documents).map_err(ConfigurationError::Documents)?;
    let mut warnings: Vec<String> = loaded.warnings.iter().map(ToString::to_string).collect();
    let wrong = gate::check_references(&policies, &loaded.objectives, evaluator::detector_names());
    if !wrong.is_empty() {
        return Err(ConfigurationError::Documents(wrong));
    }
    let mut needs: Vec<_> = policies.iter().flat_map(Policy::needs).collect();
    needs.sort_by(|one, other| one.name.cmp(&other.name));
    needs.dedup_by(|one, other| one.name == other.name);
    warnings.sort();
    let mut configuration = Configuration {
        hash: String::new(),
        site: texts.site,
        mappings: texts.mappings,
        objectives,
        policies: policy_documents,
        needs,
        allowed_lateness: settings.clock.allowed_lateness.0,
    };
    let identity = (&configuration, loaded.hashes(), policies.iter().map(|policy| policy.hash()).collect::<Vec<_>>(), env!("CARGO_PKG_VERSION"));
    configuration.hash = sha256_hex(&canonical_json(&identity));
    Ok(Documents { configuration, policies, resolver: Resolver::new(mapping, site), warnings })
}

/// The compiled-in site name as a shared text.
pub fn site_name(settings: &Settings) -> Name {
    settings.site.name.as_str().into()
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
            let unreadable = |error| ConfigurationError::Unreadable { path: path.display().to_string(), error };
            let entries = std::fs::read_dir(path).map_err(unreadable)?;
            let mut files: Vec<PathBuf> =
                entries.map(|entry| entry.map(|entry| entry.path())).collect::<Result<_, _>>().map_err(unreadable)?;
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
