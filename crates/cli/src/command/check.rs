//! `thermogate check`: documents and settings, and the unit tests of objectives and policies.

use std::path::PathBuf;

use evaluator::objective_document::RemarkLevel;
use evaluator::objective_test;
use gate::policy_test;
use serde::Serialize;
use service::configuration::{self, Texts};
use service::settings::Settings;
use simulator::Scenario;
use telemetry::mapping::Mapping;
use telemetry::record::Document;

use crate::arguments::{CheckArguments, Output};
use crate::failure::Failure;
use crate::output::{print_line, print_out};
use crate::{documents, terminal};

/// Exit code when a unit test fails.
const TEST_FAILED: u8 = 1;

/// One thing that was checked.
#[derive(Debug, Serialize)]
struct Checked {
    /// File, with the line where there is one.
    at: String,
    /// What was checked.
    name: String,
    /// `ok`, `note`, `warning`, `failed`, `refused`.
    outcome: &'static str,
    /// What was found.
    message: String,
}

/// Runs the command.
pub fn run(arguments: &CheckArguments) -> Result<u8, Failure> {
    if arguments.print_defaults {
        for document in evaluator::default_documents().into_iter().chain(gate::default_documents()) {
            print_line!("# {}\n{}", document.name, document.text);
        }
        return Ok(0);
    }
    let checked = check(&arguments.files)?;
    let code = if checked.iter().any(|checked| checked.outcome == "refused") {
        crate::failure::BAD_INPUT
    } else if checked.iter().any(|checked| checked.outcome == "failed") {
        TEST_FAILED
    } else {
        0
    };
    match arguments.output {
        Output::Text => text(&checked),
        Output::Json => checked
            .iter()
            .for_each(|checked| print_line!("{}", serde_json::to_string(checked).unwrap_or_default())),
        Output::Junit => print_out!("{}", junit(&checked)),
        Output::Markdown => return Err(Failure::bad_input("`check` prints --output text, json or junit")),
    }
    Ok(code)
}

/// Documents by what they are.
#[derive(Default)]
struct Sorted {
    texts: Texts,
    sites: Vec<Document>,
    scenarios: Vec<Document>,
    objective_tests: Vec<Document>,
    policy_tests: Vec<Document>,
    watches: Vec<Document>,
}

fn check(files: &[PathBuf]) -> Result<Vec<Checked>, Failure> {
    let mut checked = Vec::new();
    let (settings_files, others): (Vec<PathBuf>, Vec<PathBuf>) =
        files.iter().cloned().partition(|path| documents::has_extension(path, &["toml"]));
    for path in &settings_files {
        let outcome = Settings::load(Some(path), std::iter::empty(), &[]);
        checked.push(match outcome {
            Ok(_) => ok(path.display().to_string(), "settings", "valid"),
            Err(error) => Checked {
                at: error.origin,
                name: "settings".to_owned(),
                outcome: "refused",
                message: error.message,
            },
        });
    }
    if !settings_files.is_empty() && others.is_empty() {
        return Ok(checked);
    }
    let documents = if others.is_empty() { compiled_in() } else { documents::read(&others)? };
    let mut sorted = Sorted::default();
    for document in documents {
        sort(document, &mut sorted);
    }
    check_sites(&mut sorted, &mut checked);
    for document in &sorted.scenarios {
        checked.push(match Scenario::read(document) {
            Ok(_) => ok(document.name.clone(), "scenario", "valid"),
            Err(error) => refused("scenario", &error),
        });
    }
    check_watches(&sorted, &mut checked);
    let settings = Settings::load(None, std::iter::empty(), &[])?;
    match configuration::parse(sorted.texts.clone(), &settings) {
        Err(configuration::ConfigurationError::Documents(errors)) => {
            checked.extend(errors.iter().map(|error| refused("document", error)));
        }
        Err(error) => return Err(Failure::bad_input(error.to_string())),
        Ok(parsed) => {
            // Without objectives of one's own the compiled-in ones stand in: remarks on them are none of this check.
            let stood_in = !files.is_empty() && sorted.texts.objectives.is_empty();
            checked.extend(parsed.remarks.iter().filter(|_| !stood_in).map(|remark| Checked {
                at: format!("{}:{}", remark.document, remark.line),
                name: remark.subject.clone(),
                outcome: match remark.level {
                    RemarkLevel::Note => "note",
                    RemarkLevel::Warning => "warning",
                },
                message: remark.message.clone(),
            }));
            let documents =
                sorted.texts.objectives.iter().chain(&sorted.texts.policies).chain(&sorted.texts.mappings);
            checked.extend(documents.map(|document| ok(document.name.clone(), "document", "valid")));
            run_tests(&sorted, &parsed, &mut checked);
        }
    }
    Ok(checked)
}

/// The compiled-in objectives and policies with the unit tests beside them.
fn compiled_in() -> Vec<Document> {
    macro_rules! tests {
        ($($name:literal)*) => {
            [$(Document { name: $name.to_owned(), text: include_str!(concat!("../../../../", $name)).to_owned() },)*]
        };
    }
    let tests = tests!(
        "slo/coolant.test.yaml" "slo/gpu.test.yaml" "slo/leak.test.yaml"
        "slo/policies/canary.test.yaml" "slo/policies/default.test.yaml" "slo/policies/smoke.test.yaml"
    );
    evaluator::default_documents().into_iter().chain(gate::default_documents()).chain(tests).collect()
}

/// What a document is, told by its `kind`; a scenario has none.
fn sort(document: Document, sorted: &mut Sorted) {
    let kind =
        document.text.lines().find_map(|line| line.strip_prefix("kind:")).map(|kind| kind.trim().to_owned());
    match kind.as_deref() {
        Some("GatePolicyTest") => sorted.policy_tests.push(document),
        Some("GatePolicy") => sorted.texts.policies.push(document),
        Some("Site") => sorted.sites.push(document),
        Some("Mapping") => sorted.texts.mappings.push(document),
        Some("WatchGroup") => sorted.watches.push(document),
        Some(_) if policy_test::is_test_document(&document.name) => sorted.objective_tests.push(document),
        // What is no kind of OpenSLO or ours is refused by the reader of objectives, which knows all kinds.
        Some(_) => sorted.texts.objectives.push(document),
        None if document.text.lines().any(|line| line.starts_with("seed:")) => {
            sorted.scenarios.push(document)
        }
        None => sorted.texts.objectives.push(document),
    }
}

/// Each site file by itself; the last one goes with the other documents.
fn check_sites(sorted: &mut Sorted, checked: &mut Vec<Checked>) {
    for document in std::mem::take(&mut sorted.sites) {
        match telemetry::site::Site::read(&document) {
            Ok(_) => {
                checked.push(ok(document.name.clone(), "site", "valid"));
                sorted.texts.site = Some(document);
            }
            Err(errors) => checked.extend(errors.iter().map(|error| refused("site", error))),
        }
    }
}

/// Groups of signals, which may name what the mappings among the documents declare.
fn check_watches(sorted: &Sorted, checked: &mut Vec<Checked>) {
    let mapping = Mapping::with(&sorted.texts.mappings).unwrap_or_else(|_| Mapping::built_in());
    let known = evaluator::known_signals(&mapping);
    for document in &sorted.watches {
        match evaluator::watch::read(document, &known) {
            Ok(_) => checked.push(ok(document.name.clone(), "watch group", "valid")),
            Err(errors) => checked.extend(errors.iter().map(|error| refused("watch group", error))),
        }
    }
}

fn run_tests(sorted: &Sorted, parsed: &configuration::Documents, checked: &mut Vec<Checked>) {
    let mapping = Mapping::with(&sorted.texts.mappings).unwrap_or_else(|_| Mapping::built_in());
    let known = evaluator::known_signals(&mapping);
    for document in &sorted.objective_tests {
        match objective_test::run_tests(document, &parsed.configuration, &known) {
            Err(errors) => checked.extend(errors.iter().map(|error| refused("objective test", error))),
            Ok(outcomes) => checked.extend(outcomes.into_iter().map(|outcome| Checked {
                at: format!("{}:{}", outcome.document, outcome.line),
                name: outcome.name.clone(),
                outcome: if outcome.passed { "ok" } else { "failed" },
                message: if outcome.passed {
                    outcome.expected.clone()
                } else {
                    format!("expected {}, observed {}", outcome.expected, outcome.observed)
                },
            })),
        }
    }
    for document in &sorted.policy_tests {
        match policy_test::run_tests(document, &parsed.policies) {
            Err(errors) => checked.extend(errors.iter().map(|error| refused("policy test", error))),
            Ok(outcomes) => checked.extend(outcomes.into_iter().map(|outcome| Checked {
                at: format!("{}:{}", outcome.document, outcome.line),
                name: outcome.name.clone(),
                outcome: if outcome.passed { "ok" } else { "failed" },
                message: if outcome.passed {
                    outcome.expected.clone()
                } else {
                    format!("expected {}, observed {}", outcome.expected, outcome.observed)
                },
            })),
        }
    }
}

fn ok(at: String, name: &str, message: &str) -> Checked {
    Checked { at, name: name.to_owned(), outcome: "ok", message: message.to_owned() }
}

fn refused(name: &str, error: &telemetry::document::DocumentError) -> Checked {
    let at = error.line.map_or_else(|| error.document.clone(), |line| format!("{}:{line}", error.document));
    Checked { at, name: name.to_owned(), outcome: "refused", message: error.message.clone() }
}

fn text(checked: &[Checked]) {
    for checked in checked {
        let at = if checked.at.is_empty() { String::new() } else { format!("{}: ", checked.at) };
        match checked.outcome {
            "ok" | "note" | "warning" => {
                print_line!(
                    "{} {at}{}: {}",
                    terminal::judged(checked.outcome),
                    checked.name,
                    checked.message
                );
            }
            // Refusals begin with file and line, so that editors find them.
            _ => eprintln!("{at}{} {}: {}", checked.outcome, checked.name, checked.message),
        }
    }
    let count = |outcome: &str| checked.iter().filter(|checked| checked.outcome == outcome).count();
    print_line!(
        "{} ok, {} warnings, {} failed, {} refused",
        count("ok"),
        count("warning"),
        count("failed"),
        count("refused")
    );
}

fn junit(checked: &[Checked]) -> String {
    let escape = |text: &str| {
        text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
    };
    let bad = checked.iter().filter(|checked| matches!(checked.outcome, "failed" | "refused")).count();
    let mut xml = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuite name=\"thermogate check\" tests=\"{}\" failures=\"{bad}\">\n",
        checked.len()
    );
    for checked in checked {
        let (at, name, message) = (escape(&checked.at), escape(&checked.name), escape(&checked.message));
        xml += &match checked.outcome {
            "failed" | "refused" => {
                format!(
                    "  <testcase classname=\"{at}\" name=\"{name}\"><failure message=\"{message}\"/></testcase>\n"
                )
            }
            _ => format!("  <testcase classname=\"{at}\" name=\"{name}\"/>\n"),
        };
    }
    xml + "</testsuite>\n"
}
