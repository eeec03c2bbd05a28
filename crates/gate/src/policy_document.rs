//! Gate policies as people write them: strict YAML → [`Policy`]. Every mistake is told, each with its line.
//!
//! files → **policy_document** → `policy` → `judge`

mod canary; // what a run is compared with
mod check; // one entry of `checks`
mod headroom; // power that racks must be able to sustain
mod proven; // detectors that must have been drilled
mod quantity; // lengths of time, shares, power
mod text_or; // a word or a map

use serde::Deserialize;
use serde_saphyr::Spanned;
use telemetry::document::{DocumentError, read_yaml};
use telemetry::record::Document;
use telemetry::{Microseconds, Name};

use crate::policy::{Check, Combine, OnFacilityCause, Policy, PolicyScope, ScopeOf, WaitFor};
use quantity::{length, share_ppm};
use text_or::TextOr;

/// The version of our own kinds.
pub const API_VERSION: &str = "thermogate.dev/v1alpha1";
/// Gates ask for this coverage unless the policy says otherwise, in parts per million.
pub const MINIMUM_COVERAGE_PPM: u32 = 950_000;
/// A check WARNs when less than this share of its budget is left, unless the policy says otherwise.
pub const WARN_BUDGET_LEFT: f64 = 0.25;
/// Checks of one policy; racks × checks rows are made at each evaluation.
pub const CHECKS_MAX: usize = 100;
/// What gate policies are called when nothing else is said.
pub const DEFAULT_POLICY: &str = "default";

/// Reads the policies of all documents.
///
/// # Errors
/// All mistakes that were found, each with file and line, not only the first.
pub fn read(documents: &[Document]) -> Result<Vec<Policy>, Vec<DocumentError>> {
    let mut policies: Vec<Policy> = Vec::new();
    let mut errors = Vec::new();
    for document in documents {
        for read in read_document(document) {
            match read {
                Ok((policy, line)) => match policies.iter().find(|known| known.name == policy.name) {
                    Some(known) => errors.push(DocumentError::new(
                        document,
                        Some(line),
                        format!(
                            "policy {:?} is in {} too: give one of them another name",
                            &*policy.name, known.document
                        ),
                    )),
                    None => policies.push(policy),
                },
                Err(error) => errors.push(error),
            }
        }
    }
    if errors.is_empty() { Ok(policies) } else { Err(errors) }
}

/// One policy or mistake an entry; a policy with the line of its name.
fn read_document(document: &Document) -> Vec<Result<(Policy, u64), DocumentError>> {
    let at = |line, message: String| vec![Err(DocumentError::new(document, line, message))];
    let headers: Vec<Header> = match read_yaml(document) {
        Ok(headers) => headers,
        Err(error) => return vec![Err(error)],
    };
    for header in &headers {
        let line = Some(header.kind.referenced.line());
        if header.kind.value != "GatePolicy" {
            let kind = &header.kind.value;
            return at(
                line,
                format!("kind is {kind:?}: a policy file holds documents of kind \"GatePolicy\" only"),
            );
        }
        if header.api_version != API_VERSION {
            let version = &header.api_version;
            return at(line, format!("apiVersion is {version:?}: write {API_VERSION:?}"));
        }
    }
    let files: Vec<PolicyFile> = match read_yaml(document) {
        Ok(files) => files,
        Err(error) => return vec![Err(error)],
    };
    if files.is_empty() {
        return at(
            None,
            "there is no policy in this file: write one of kind \"GatePolicy\", or remove the file".into(),
        );
    }
    let mut read = Vec::new();
    for file in files {
        let line = file.metadata.name.referenced.line();
        match file.policy(document) {
            Ok(policy) => read.push(Ok((policy, line))),
            Err(errors) => read.extend(errors.into_iter().map(Err)),
        }
    }
    read
}

/// Enough of a document to know what it is.
#[derive(Deserialize)]
struct Header {
    #[serde(rename = "apiVersion")]
    api_version: String,
    kind: Spanned<String>,
}

/// A policy as a person writes it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct PolicyFile {
    #[serde(rename = "apiVersion")]
    _api_version: String,
    #[serde(rename = "kind")]
    _kind: String,
    metadata: Metadata,
    spec: Spec,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Metadata {
    name: Spanned<String>,
    /// For people and other tools; no part of what the policy asks.
    #[serde(default, rename = "displayName")]
    _display_name: Option<String>,
    #[serde(default, rename = "labels")]
    _labels: Option<std::collections::BTreeMap<String, String>>,
    #[serde(default, rename = "annotations")]
    _annotations: Option<std::collections::BTreeMap<String, String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Spec {
    #[serde(default, rename = "description")]
    _description: Option<String>,
    scope: ScopeFile,
    checks: Vec<Spanned<check::CheckFile>>,
    warn_budget_left: Option<Spanned<f64>>,
    min_coverage: Option<Spanned<f64>>,
    on_facility_cause: Option<OnFacilityCause>,
    wait_for: Option<WaitForFile>,
    #[serde(default)]
    dry_run: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct ScopeFile {
    of: ScopeOf,
    combine: Option<Spanned<CombineFile>>,
}

/// `worst`, `atLeast(0.98)` or `{atLeast: 0.98}`.
type CombineFile = TextOr<AtLeastFile>;

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct AtLeastFile {
    at_least: f64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct WaitForFile {
    min_duration: Option<Spanned<String>>,
    deadline: Option<Spanned<String>>,
}

/// Collects mistakes: each `check` gives the value or remembers why there is none.
struct Mistakes<'a> {
    document: &'a Document,
    found: Vec<DocumentError>,
}

impl Mistakes<'_> {
    fn check<T>(&mut self, line: u64, value: Result<T, String>) -> Option<T> {
        value.map_err(|message| self.found.push(DocumentError::new(self.document, Some(line), message))).ok()
    }
}

impl PolicyFile {
    fn policy(self, document: &Document) -> Result<Policy, Vec<DocumentError>> {
        let mut mistakes = Mistakes { document, found: Vec::new() };
        let line = self.metadata.name.referenced.line();
        let name = mistakes.check(line, policy_name(&self.metadata.name.value));
        let spec = self.spec;

        let combine = spec.scope.combine.map_or(Some(Combine::Worst), |combine| {
            mistakes.check(combine.referenced.line(), read_combine(combine.value))
        });
        let warn_budget_left = spec.warn_budget_left.map_or(Some(WARN_BUDGET_LEFT), |share| {
            let line = share.referenced.line();
            let known = if (0.0..1.0).contains(&share.value) {
                Ok(share.value)
            } else {
                Err(format!(
                    "warnBudgetLeft is {}: give a share from 0 to below 1, such as 0.25",
                    share.value
                ))
            };
            mistakes.check(line, known)
        });
        let minimum_coverage = spec.min_coverage.map_or(Some(MINIMUM_COVERAGE_PPM), |share| {
            mistakes.check(share.referenced.line(), share_ppm("minCoverage", share.value))
        });
        let wait_for = wait_for(spec.wait_for, &mut mistakes);

        let defaults =
            check::Defaults { minimum_coverage_ppm: minimum_coverage.unwrap_or(MINIMUM_COVERAGE_PPM) };
        let mut checks: Vec<Check> = Vec::new();
        if spec.checks.is_empty() || spec.checks.len() > CHECKS_MAX {
            let found = spec.checks.len();
            mistakes.check::<()>(line, Err(format!("there are {found} checks: write 1 to {CHECKS_MAX}")));
        }
        for file in spec.checks {
            let line = file.referenced.line();
            let Some(check) = mistakes.check(line, file.value.check(line, &defaults)) else { continue };
            match checks.iter().find(|known| known.name == check.name) {
                Some(known) => {
                    let message = format!(
                        "check {:?} is at line {} too: give one of them another `name`",
                        &*check.name, known.line
                    );
                    mistakes.check::<()>(line, Err(message));
                }
                None => checks.push(check),
            }
        }
        match (name, combine, warn_budget_left, minimum_coverage, wait_for) {
            (
                Some(name),
                Some(combine),
                Some(warn_budget_left),
                Some(minimum_coverage_ppm),
                Some(wait_for),
            ) if mistakes.found.is_empty() => Ok(Policy {
                name,
                scope: PolicyScope { of: spec.scope.of, combine },
                checks,
                warn_budget_left,
                minimum_coverage_ppm,
                on_facility_cause: spec.on_facility_cause.unwrap_or(OnFacilityCause::Inconclusive),
                wait_for,
                dry_run: spec.dry_run,
                hash: "".into(),
                document: document.name.clone(),
            }
            .sealed()),
            _ => Err(mistakes.found),
        }
    }
}

/// A DNS label (RFC 1123): names stand in URLs.
fn policy_name(name: &str) -> Result<Name, String> {
    let inside = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let sound = (1..=63).contains(&name.len())
        && name.bytes().all(inside)
        && !name.starts_with('-')
        && !name.ends_with('-');
    if sound {
        Ok(name.into())
    } else {
        Err(format!("name {name:?} is no DNS label: write 1 to 63 of a-z, 0-9 and -, such as \"ai-train\""))
    }
}

fn read_combine(file: CombineFile) -> Result<Combine, String> {
    let share = match file {
        TextOr::Fields(AtLeastFile { at_least }) => at_least,
        TextOr::Text(text) if text == "worst" => return Ok(Combine::Worst),
        TextOr::Text(text) => text
            .strip_prefix("atLeast(")
            .and_then(|rest| rest.strip_suffix(')'))
            .and_then(|share| share.trim().parse().ok())
            .ok_or_else(|| format!("combine is {text:?}: write \"worst\" or \"atLeast(0.98)\""))?,
    };
    share_ppm("combine atLeast", share).map(Combine::AtLeast)
}

fn wait_for(file: Option<WaitForFile>, mistakes: &mut Mistakes) -> Option<WaitFor> {
    let Some(file) = file else { return Some(WaitFor::default()) };
    let line = file.min_duration.as_ref().or(file.deadline.as_ref()).map_or(0, |text| text.referenced.line());
    let mut read = |name: &str, text: Option<Spanned<String>>| -> Option<Option<Microseconds>> {
        let Some(text) = text else { return Some(None) };
        mistakes.check(text.referenced.line(), length(name, &text.value)).map(Some)
    };
    let minimum_duration = read("waitFor.minDuration", file.min_duration)?;
    let deadline = read("waitFor.deadline", file.deadline)?;
    if let (Some(minimum), Some(deadline)) = (minimum_duration, deadline)
        && deadline <= minimum
    {
        let message = format!(
            "waitFor.deadline {deadline} is not after waitFor.minDuration {minimum}: no verdict could ever be PASS; \
             give a later deadline"
        );
        mistakes.check::<()>(line, Err(message));
        return None;
    }
    Some(WaitFor { minimum_duration, deadline })
}
