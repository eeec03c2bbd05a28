//! `thermogate replay`: recorded files, judged as if they came in now.

use std::io::Write;
use std::sync::Arc;

use evaluator::{Effect, StatusRow, burn_json, group_json, state_name};
use gate::{Question, Verdict};
use serde::Serialize;
use serde_json::Value;
use service::configuration::{self, Texts};
use service::settings::Settings;
use telemetry::alert::AlertTransition;
use telemetry::facts::{Finding, RackFacts, RecoveryTimeStatus};
use telemetry::{EventTime, Name};

use crate::arguments::{Output, ReplayArguments};
use crate::driver::Told;
use crate::export_folder::MANIFEST;
use crate::failure::Failure;
use crate::terminal::{drawn, judged};
use crate::watching::{RowAnswer, Watching};
use crate::{documents, driver, output};

/// Runs the command.
pub fn run(arguments: &ReplayArguments) -> Result<u8, Failure> {
    if let [folder] = arguments.files.files.as_slice()
        && folder.is_dir()
    {
        if folder.join(MANIFEST).is_file() {
            return super::replay_run::run(folder, arguments.output);
        }
        return Err(Failure::bad_input(format!(
            "{}: holds no {MANIFEST}: name a folder that `thermogate export` wrote, or recorded files",
            folder.display()
        )));
    }
    let settings = Settings::load(None, std::iter::empty(), &[])?;
    let mut files = arguments.files.clone();
    let mut texts = Texts {
        site: arguments.files.site.as_deref().map(documents::read_one).transpose()?,
        mappings: documents::read(&arguments.files.mapping)?,
        objectives: without_tests(documents::read(&arguments.slo)?),
        policies: without_tests(documents::read(&arguments.policy)?),
        // The group of `--watch` answers row by row and is no part of the evaluator; others stand among the objectives.
        watches: Vec::new(),
    };
    let group = match &arguments.watch {
        Some(path) => Some(crate::watching::read(path, &mut texts.mappings, &mut files)?),
        None => None,
    };
    let parsed =
        configuration::parse(texts, &settings).map_err(|error| Failure::bad_input(error.to_string()))?;
    let policies = if arguments.policy.is_empty() { Vec::new() } else { parsed.policies.clone() };
    let mut printer = match arguments.output {
        Output::Json => Printer::Json(std::io::BufWriter::new(std::io::stdout().lock())),
        Output::Text => Printer::Text(Vec::new()),
        Output::Junit | Output::Markdown => {
            return Err(Failure::bad_input("`replay` prints --output text or json"));
        }
    };
    let mut watching =
        group.map(|group| Watching::new(group, parsed.resolver.clone(), arguments.files.rack.as_deref()));
    let mut broken = None;
    let counts = driver::replay(&files, parsed, |told| {
        if broken.is_some() {
            return;
        }
        let answers = match (&told, &mut watching) {
            (Told::Files(rows), Some(watching)) => watching.begin(rows),
            (Told::Rows { group, are_late }, Some(watching)) => watching.rows(group, *are_late),
            (Told::PassedOver(rows), Some(watching)) => watching.passed_over(rows),
            (Told::Effect(_), Some(_)) | (_, None) => Vec::new(),
        };
        let answers = answers.iter().filter(|answer| arguments.rows || answer.is_news);
        broken = match &told {
            Told::Effect(effect) => printer.effect(effect).err(),
            Told::Files(_) | Told::Rows { .. } | Told::PassedOver(_) => {
                answers.map(|answer| printer.answer(answer)).find_map(Result::err)
            }
        };
    })?;
    let verdicts = policies.iter().flat_map(|policy| {
        counts.facts.iter().filter(|facts| facts.place.rack.is_some()).map(|facts| {
            let (question, facts) = (question(facts), [facts.clone()]);
            let controls = gate::controls(policy, &question, &facts, &counts.facts);
            gate::judge_beside(policy, &question, &facts, &controls)
        })
    });
    let verdicts: Vec<Verdict> = verdicts.collect();
    output::settled(broken.map_or_else(|| printer.finish(&verdicts, &counts), Err))?;
    Ok(0)
}

fn without_tests(documents: Vec<telemetry::record::Document>) -> Vec<telemetry::record::Document> {
    documents.into_iter().filter(|document| !gate::policy_test::is_test_document(&document.name)).collect()
}

/// What a policy is asked about a rack at the end of the files: the run that its readings were.
fn question(facts: &Arc<RackFacts>) -> Question {
    Question {
        racks: facts.place.rack.iter().cloned().collect(),
        run: facts.run.as_ref().map(|run| run.run.clone()),
        request_id: String::new(),
        asked_at: facts.watermark,
        waiting_since: None,
        not_before: None,
        overrides: Vec::new(),
    }
}

/// One line of JSON; the order of its keys is the order of the fields.
#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
#[allow(clippy::large_enum_variant, reason = "each is printed at once, and none is kept")]
enum Line<'a> {
    SloStatus {
        time: EventTimeText,
        objective: &'a str,
        group: Value,
        window: &'a str,
        good_seconds: Value,
        bad_seconds: Value,
        unknown_seconds: Value,
        asked_seconds: Value,
        episodes: u64,
        longest_episode_seconds: Value,
        coverage: Option<f64>,
        sli: Option<f64>,
        budget_left: Option<f64>,
        burn_rates: Value,
        state: &'a str,
        #[serde(rename = "final")]
        is_final: bool,
        #[serde(skip_serializing_if = "Option::is_none")]
        slope_per_hour: Option<f64>,
        #[serde(skip_serializing_if = "Option::is_none")]
        time_to_threshold_seconds: Option<Value>,
        #[serde(skip_serializing_if = "Option::is_none")]
        recoveries: Option<Value>,
    },
    Finding {
        detector: &'a str,
        place: Value,
        severity: &'a str,
        onset: EventTimeText,
        detected: EventTimeText,
        ended: Option<EventTimeText>,
        evidence: Value,
    },
    Alert {
        alertname: &'a str,
        labels: &'a telemetry::Labels,
        from: &'a str,
        to: &'a str,
        time: EventTimeText,
        since: EventTimeText,
        reason: &'a str,
    },
    Verdict {
        policy: &'a str,
        scope: Value,
        verdict: &'a str,
        reason: &'a str,
        checks: &'a [gate::CheckResult],
        watermark: EventTimeText,
    },
    Watch {
        row: u64,
        time: Option<EventTimeText>,
        rack: Option<&'a str>,
        group: &'a str,
        score: Option<f64>,
        alarm: bool,
        episode_start: bool,
    },
}

/// RFC 3339 in UTC with microseconds.
#[derive(Serialize)]
#[serde(transparent)]
struct EventTimeText(String);

impl From<EventTime> for EventTimeText {
    fn from(time: EventTime) -> Self {
        Self(time.to_rfc3339())
    }
}

/// Whole seconds as whole numbers.
fn seconds(length: telemetry::Microseconds) -> Value {
    if length.get() % 1_000_000 == 0 {
        Value::from(length.get() / 1_000_000)
    } else {
        Value::from(length.as_seconds())
    }
}

fn line(effect: &Effect) -> Option<Line<'_>> {
    match effect {
        Effect::Status(row) => Some(status_line(row)),
        Effect::Finding(finding) => Some(finding_line(finding)),
        Effect::Alert(alert) => Some(alert_line(alert)),
        Effect::Block(_)
        | Effect::Publish(_)
        | Effect::Row(_)
        | Effect::Count { .. }
        | Effect::Drill(_)
        | Effect::DrillAlert(_)
        | Effect::DrillCopy { .. } => None,
    }
}

fn status_line(row: &StatusRow) -> Line<'_> {
    let status = &row.status;
    let known = status.time.known().get();
    Line::SloStatus {
        time: row.time.into(),
        objective: &status.objective,
        group: serde_json::from_str(&group_json(status)).unwrap_or_default(),
        window: &status.window,
        good_seconds: seconds(status.time.good),
        bad_seconds: seconds(status.time.bad),
        unknown_seconds: seconds(status.time.unknown),
        asked_seconds: seconds(status.time.asked()),
        episodes: status.episodes,
        longest_episode_seconds: seconds(status.longest_episode),
        coverage: status.time.coverage(),
        sli: (known > 0).then(|| status.time.good.get() as f64 / known as f64),
        budget_left: status.budget_left,
        burn_rates: serde_json::from_str(&burn_json(status)).unwrap_or_default(),
        state: state_name(status.outcome),
        is_final: status.is_final,
        slope_per_hour: status.trend.as_ref().map(|trend| trend.slope_per_hour),
        time_to_threshold_seconds: status
            .trend
            .as_ref()
            .and_then(|trend| trend.time_to_threshold)
            .map(seconds),
        recoveries: status.recoveries.as_ref().map(recoveries),
    }
}

/// Bursts by what became of them, the longest recovery, and the bounds of the share that settles in time.
fn recoveries(status: &RecoveryTimeStatus) -> Value {
    serde_json::json!({
        "within": status.within,
        "late": status.late,
        "censored": status.censored,
        "unknown": status.unknown,
        "open": status.open,
        "longest_seconds": status.longest.map(seconds),
        "lower_share": status.lower_share,
        "upper_share": status.upper_share,
    })
}

fn finding_line(finding: &Finding) -> Line<'_> {
    let mut place: serde_json::Map<String, Value> =
        finding.place.levels().map(|(level, name)| (level.to_owned(), Value::from(&**name))).collect();
    place.extend(finding.signal.as_ref().map(|signal| ("signal".to_owned(), Value::from(&**signal))));
    place.extend(finding.sensor.as_ref().map(|sensor| ("sensor".to_owned(), Value::from(&**sensor))));
    Line::Finding {
        detector: &finding.detector,
        place: Value::Object(place),
        severity: finding.severity.name(),
        onset: finding.onset.into(),
        detected: finding.detected.into(),
        ended: finding.ended.map(Into::into),
        evidence: serde_json::to_value(&finding.evidence).unwrap_or_default(),
    }
}

fn alert_line(alert: &AlertTransition) -> Line<'_> {
    Line::Alert {
        alertname: &alert.alertname,
        labels: &alert.labels,
        from: alert.from.name(),
        to: alert.to.name(),
        time: alert.time.into(),
        since: alert.since.into(),
        reason: &alert.reason,
    }
}

fn verdict_line(verdict: &Verdict) -> Line<'_> {
    let racks: Vec<&Name> = verdict.scope.racks.iter().collect();
    Line::Verdict {
        policy: &verdict.policy,
        scope: match racks.as_slice() {
            [rack] => serde_json::json!({ "rack": rack }),
            racks => serde_json::json!({ "racks": racks }),
        },
        verdict: verdict.verdict.name(),
        reason: &verdict.reason,
        checks: &verdict.checks,
        watermark: verdict.watermark.into(),
    }
}

fn watch_line(told: &RowAnswer) -> Line<'_> {
    Line::Watch {
        row: told.row,
        time: told.time.map(Into::into),
        rack: told.rack.as_deref(),
        group: &told.group,
        score: told.answer.score,
        alarm: told.answer.alarm,
        episode_start: told.answer.episode_start,
    }
}

/// `row 609 2026-01-05T10:10:09.000000Z r1: in alarm (score 0.71)`.
fn watch_text(told: &RowAnswer) -> String {
    let time = told.time.map_or_else(|| "no time".to_owned(), |time| time.to_rfc3339());
    let rack = told.rack.as_deref().unwrap_or("no rack");
    let said = match (told.answer.score, told.answer.alarm, told.is_news) {
        (None, _, _) => judged("unknown"),
        (Some(score), true, true) => format!("{} (score {score:.2})", judged("alarm")),
        (Some(score), true, false) => format!("alarm (score {score:.2})"),
        (Some(score), false, true) => format!("as usual again (score {score:.2})"),
        (Some(score), false, false) => format!("as usual (score {score:.2})"),
    };
    format!("watch {}: row {} {time} {rack}: {said}", told.group, told.row)
}

enum Printer {
    Json(std::io::BufWriter<std::io::StdoutLock<'static>>),
    Text(Vec<Vec<String>>),
}

impl Printer {
    fn effect(&mut self, effect: &Effect) -> std::io::Result<()> {
        let Some(line) = line(effect) else { return Ok(()) };
        match self {
            Self::Json(out) => {
                serde_json::to_writer(&mut *out, &line)?;
                out.write_all(b"\n")
            }
            Self::Text(finals) => {
                match (effect, line) {
                    (Effect::Status(row), _) if row.status.is_final => finals.push(final_row(row)),
                    (_, Line::Finding { detector, place, severity, onset, ended, .. }) => {
                        let ended = ended.map_or_else(String::new, |ended| format!(", ended {}", ended.0));
                        writeln!(
                            std::io::stdout(),
                            "finding {detector} ({}) {place} since {}{ended}",
                            judged(severity),
                            onset.0
                        )?;
                    }
                    (_, Line::Alert { alertname, to, time, reason, .. }) => {
                        writeln!(
                            std::io::stdout(),
                            "alert {alertname} {} at {}: {reason}",
                            judged(to),
                            time.0
                        )?;
                    }
                    (_, Line::SloStatus { .. } | Line::Verdict { .. } | Line::Watch { .. }) => {}
                }
                Ok(())
            }
        }
    }

    fn answer(&mut self, told: &RowAnswer) -> std::io::Result<()> {
        match self {
            Self::Json(out) => {
                serde_json::to_writer(&mut *out, &watch_line(told))?;
                out.write_all(b"\n")
            }
            Self::Text(_) => writeln!(std::io::stdout(), "{}", watch_text(told)),
        }
    }

    fn finish(self, verdicts: &[Verdict], counts: &driver::Counts) -> std::io::Result<()> {
        match self {
            Self::Json(mut out) => {
                for verdict in verdicts {
                    serde_json::to_writer(&mut out, &verdict_line(verdict))?;
                    out.write_all(b"\n")?;
                }
                out.flush()
            }
            Self::Text(finals) => {
                let mut out = std::io::stdout().lock();
                let late = if counts.late == 0 {
                    String::new()
                } else {
                    format!(", {} readings late: stored, not judged", counts.late)
                };
                writeln!(out, "{} rows read, {} unreadable{late}", counts.rows, counts.unreadable_rows)?;
                let header = [
                    "objective",
                    "group",
                    "state",
                    "good",
                    "bad",
                    "unknown",
                    "episodes",
                    "longest",
                    "coverage",
                    "budget left",
                ];
                writeln!(out, "{}", drawn(&header, finals.into_iter()))?;
                for verdict in verdicts {
                    write!(out, "{}", gate::report::text(verdict))?;
                }
                out.flush()
            }
        }
    }
}

fn final_row(row: &StatusRow) -> Vec<String> {
    let status = &row.status;
    let share = |value: Option<f64>| {
        value.map_or_else(|| "unknown".to_owned(), |share| format!("{:.2} %", share * 100.0))
    };
    vec![
        status.objective.to_string(),
        group_json(status),
        judged(state_name(status.outcome)),
        status.time.good.to_string(),
        status.time.bad.to_string(),
        status.time.unknown.to_string(),
        status.episodes.to_string(),
        status.longest_episode.to_string(),
        share(status.time.coverage()),
        share(status.budget_left),
    ]
}
