//! `thermogate backtest`: what other objectives, or another policy, would have said of past runs.

use gate::CheckResult;
use serde::Serialize;
use service::past::{self, Change, NotTried, PastError, Trial, Tried};
use service::settings::Settings;
use telemetry::Name;
use tokio::runtime::Handle;

use crate::arguments::{BacktestArguments, Output};
use crate::failure::Failure;
use crate::output::print_line;
use crate::past::{source, warm_up};
use crate::terminal::{judged, table};
use crate::{client, documents};

/// Runs that are looked back at.
const LAST_MAX: usize = 1_000;

/// Runs the command.
pub fn run(arguments: &BacktestArguments) -> Result<u8, Failure> {
    if matches!(arguments.output, Output::Junit | Output::Markdown) {
        return Err(Failure::bad_input("`backtest` prints --output text or json"));
    }
    backtest(arguments, client::runtime()?.handle())
}

fn backtest(arguments: &BacktestArguments, runtime: &Handle) -> Result<u8, Failure> {
    let asked = asked(&arguments.runs)?;
    let warm_up = warm_up(&arguments.past)?;
    let is_test =
        |document: &telemetry::record::Document| gate::policy_test::is_test_document(&document.name);
    let mut objectives = documents::read(&arguments.slo)?;
    // Policies stand beside objectives in some folders, as their unit tests do.
    objectives.retain(|document| !is_test(document) && !is_policy(document));
    let policy = arguments.policy.as_deref().map(documents::read_one).transpose()?;
    let trial = Trial { objectives, policy };
    let settings = Settings::load(None, std::iter::empty(), &[])?;
    let source = runtime.block_on(source(&arguments.past))?;
    let (runs, are_named) = match asked {
        Asked::Last(count) => (runtime.block_on(past::latest_ended(&source, count))?, false),
        Asked::Named(runs) => (runs, true),
    };
    if runs.is_empty() {
        return Err(Failure::bad_input("no run has ended yet: `thermogate run list` shows them"));
    }
    let mut lines = Vec::new();
    for run in &runs {
        let line = match past::backtest_run(runtime, &source, run, warm_up, &trial, &settings) {
            Ok((racks, tried)) => Line::of(run, racks, &tried),
            // One of many whose records are not kept any more is told, and the others are tried.
            Err(NotTried::OfRun(PastError::Refused(why))) if !are_named => Line::not_tried(run, why),
            Err(NotTried::OfRun(error) | NotTried::OfDocuments(error)) => return Err(error.into()),
        };
        if arguments.output == Output::Json {
            print_line!("{}", serde_json::to_string(&line).unwrap_or_default());
        }
        lines.push(line);
    }
    if arguments.output == Output::Text {
        text(&lines);
    }
    ended(&lines)
}

/// A pipeline that asks what would have been said, and hears of no run, was not answered.
fn ended(lines: &[Line]) -> Result<u8, Failure> {
    if lines.iter().any(|line| line.new.is_some()) {
        return Ok(0);
    }
    Err(Failure::bad_input(format!("none of {} runs could be tried; the note of each says why", lines.len())))
}

/// What `--runs` says.
enum Asked {
    Last(usize),
    Named(Vec<Name>),
}

fn asked(text: &str) -> Result<Asked, Failure> {
    if let Some(count) = text.strip_prefix("last:") {
        let count = count.parse().ok().filter(|count| (1..=LAST_MAX).contains(count));
        return count.map(Asked::Last).ok_or_else(|| {
            Failure::bad_input(format!("--runs {text:?}: write last:20, with a number of 1 to {LAST_MAX}"))
        });
    }
    let mut runs: Vec<Name> =
        text.split(',').map(str::trim).filter(|run| !run.is_empty()).map(Name::from).collect();
    runs.dedup();
    if runs.is_empty() {
        return Err(Failure::bad_input("--runs: write last:20, or ids of runs with commas between them"));
    }
    Ok(Asked::Named(runs))
}

fn is_policy(document: &telemetry::record::Document) -> bool {
    gate::policy_document::read(std::slice::from_ref(document)).is_ok_and(|policies| !policies.is_empty())
}

/// A run, as it is printed.
#[derive(Serialize)]
struct Line {
    run: String,
    racks: Vec<Name>,
    /// `null` for a run that was not tried.
    old: Option<Said>,
    new: Option<Said>,
    changes: Vec<Changed>,
    notes: Vec<String>,
}

#[derive(Serialize)]
struct Said {
    policy: Name,
    verdict: &'static str,
    reason: String,
    /// Up to where event time was final, RFC 3339.
    watermark: String,
    /// Whether the verdict was stored; else it was judged just now.
    stored: bool,
}

#[derive(Serialize)]
struct Changed {
    rack: Name,
    check: Name,
    old: Option<Row>,
    new: Option<Row>,
}

#[derive(Serialize)]
struct Row {
    verdict: &'static str,
    observed: Option<f64>,
    threshold: Option<f64>,
    unit: Name,
    reason: String,
}

impl Line {
    fn of(run: &str, racks: Vec<Name>, tried: &Tried) -> Self {
        let said = |verdict: &gate::Verdict, stored| Said {
            policy: verdict.policy.clone(),
            verdict: verdict.verdict.name(),
            reason: verdict.reason.clone(),
            watermark: verdict.watermark.to_rfc3339(),
            stored,
        };
        Self {
            run: run.to_owned(),
            racks,
            old: Some(said(&tried.old, tried.is_stored)),
            new: Some(said(&tried.new, false)),
            changes: tried.changes.iter().map(changed).collect(),
            notes: tried.notes.clone(),
        }
    }

    fn not_tried(run: &str, why: String) -> Self {
        let notes = vec![format!("not tried: {why}")];
        Self { run: run.to_owned(), racks: Vec::new(), old: None, new: None, changes: Vec::new(), notes }
    }
}

fn changed(change: &Change) -> Changed {
    let row = |row: &CheckResult| Row {
        verdict: row.verdict.name(),
        observed: row.observed,
        threshold: row.threshold,
        unit: row.unit.clone(),
        reason: row.reason.clone(),
    };
    Changed {
        rack: change.rack.clone(),
        check: change.check.clone(),
        old: change.old.as_ref().map(row),
        new: change.new.as_ref().map(row),
    }
}

fn text(lines: &[Line]) {
    let word =
        |said: &Option<Said>| said.as_ref().map_or_else(|| "-".to_owned(), |said| judged(said.verdict));
    let rows = lines.iter().map(|line| {
        let policy = line.new.as_ref().map_or("-", |said| &*said.policy).to_owned();
        let old = match &line.old {
            Some(said) if !said.stored => format!("{} (judged again)", word(&line.old)),
            Some(_) | None => word(&line.old),
        };
        vec![
            line.run.clone(),
            line.racks.join(" "),
            policy,
            old,
            word(&line.new),
            line.changes.len().to_string(),
        ]
    });
    table(&["run", "racks", "policy", "old", "new", "rows changed"], rows);
    for line in lines.iter().filter(|line| !line.changes.is_empty() || !line.notes.is_empty()) {
        print_line!("\nrun {}", line.run);
        for change in &line.changes {
            print_line!("  {} of rack {}", change.check, change.rack);
            print_line!("    old {}", told(change.old.as_ref()));
            print_line!("    new {}", told(change.new.as_ref()));
        }
        for note in &line.notes {
            print_line!("  note: {note}");
        }
    }
}

/// `FAIL: coolant-dt …`: the sentence names what was observed, its threshold and unit.
fn told(row: Option<&Row>) -> String {
    row.map_or_else(|| "not asked".to_owned(), |row| format!("{}: {}", judged(row.verdict), row.reason))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_of_which_none_could_be_tried_are_no_answer_and_one_that_could_is() {
        let not_tried = || Line::not_tried("build-1", "its records are not kept any more".to_owned());
        let failure = ended(&[not_tried(), not_tried()]).unwrap_err();
        assert_eq!(
            (failure.code, &*failure.message),
            (crate::failure::BAD_INPUT, "none of 2 runs could be tried; the note of each says why",)
        );
        let said = Said {
            policy: "default".into(),
            verdict: "pass",
            reason: String::new(),
            watermark: String::new(),
            stored: false,
        };
        assert_eq!(ended(&[not_tried(), Line { new: Some(said), ..not_tried() }]).unwrap(), 0);
    }
}
