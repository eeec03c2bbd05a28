//! Verdicts for people and for other tools: text, Markdown, JUnit XML. JSON is [`Verdict::to_json`].
//!
//! `verdict` → **report** → `cli`, `service`

use telemetry::facts::Cause;

use crate::verdict::{CheckResult, InconclusiveAs, Verdict, VerdictKind};
use crate::words;

/// Plain lines: the verdict, a table of checks a rack, and how to look further. Colour is the terminal's business.
pub fn text(verdict: &Verdict) -> String {
    let mut out = format!("{}  {}\n", verdict.verdict, verdict.reason);
    let mut facts = vec![format!("policy {}", verdict.policy)];
    if let Some(run) = &verdict.run_id {
        facts.push(format!("run {run}"));
    }
    if let Some(score) = verdict.score {
        facts.push(format!("score {score}"));
    }
    if let Some(cause) = verdict.cause {
        facts.push(format!("cause {}", cause_name(cause)));
    }
    facts.push(format!("watermark {}", words::moment(verdict.watermark)));
    if let Some(until) = verdict.wait_until {
        facts.push(format!("wait until {}", words::moment(until)));
    }
    facts.push(format!("evaluation {}", verdict.evaluation_id));
    out += &format!("{}\n", facts.join(", "));
    for given in &verdict.overrides {
        out += &format!("override by {} until {}: {}\n", given.by, words::moment(given.until), given.why);
    }
    for rack in &verdict.racks {
        out += &format!("\nrack {}  {}\n", rack.rack, rack.verdict);
        let mut rows =
            vec![["verdict", "check", "observed", "threshold", "coverage", "budget left"].map(str::to_owned)];
        rows.extend(rack.checks.iter().map(|row| {
            [
                row.verdict.name().to_owned(),
                row.check.to_string(),
                observed(row),
                threshold(row),
                row.coverage.map_or_else(|| "-".into(), words::percent),
                row.budget_left.map_or_else(|| "-".into(), words::percent),
            ]
        }));
        out += &table(&rows);
        // What the first line says need not be said again.
        let told = |row: &&CheckResult| row.verdict != VerdictKind::Pass && row.reason != verdict.reason;
        for row in rack.checks.iter().filter(told) {
            out += &format!("  {}  {}\n", row.verdict, row.reason);
        }
    }
    out
}

/// Columns as wide as their widest cell, two spaces between them.
fn table<const COLUMNS: usize>(rows: &[[String; COLUMNS]]) -> String {
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: [usize; COLUMNS] = std::array::from_fn(width);
    let mut out = String::new();
    for row in rows {
        let cells: Vec<String> =
            row.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        out += &format!("  {}\n", cells.join("  ").trim_end());
    }
    out
}

/// For `$GITHUB_STEP_SUMMARY`: the verdict, a table of checks, the evaluation's id and where to find it.
pub fn markdown(verdict: &Verdict, link: Option<&str>) -> String {
    let mut out = format!(
        "## {} {}: {}\n\n{}\n\n",
        sign(verdict.verdict),
        verdict.policy,
        verdict.verdict,
        escape(&verdict.reason)
    );
    if let Some(until) = verdict.wait_until {
        out += &format!("Can change at {}.\n\n", words::moment(until));
    }
    out += "| | objective | group | observed | threshold | coverage | budget left |\n|---|---|---|---|---|---|---|\n";
    for row in verdict.racks.iter().flat_map(|rack| &rack.checks) {
        out += &format!(
            "| {} {} | {} | {} | {} | {} | {} | {} |\n",
            sign(row.verdict),
            row.verdict,
            escape(&row.check),
            escape(&row.worst_group),
            escape(&observed(row)),
            escape(&threshold(row)),
            row.coverage.map_or_else(|| "-".into(), words::percent),
            row.budget_left.map_or_else(|| "-".into(), words::percent)
        );
    }
    let told: Vec<&CheckResult> = verdict
        .racks
        .iter()
        .flat_map(|rack| &rack.checks)
        .filter(|row| row.verdict != VerdictKind::Pass)
        .collect();
    if !told.is_empty() {
        out += "\n";
    }
    for row in told {
        out += &format!("- **{}** {}\n", row.verdict, escape(&row.reason));
    }
    for given in &verdict.overrides {
        out += &format!(
            "\n> Override by {} until {}: {}\n",
            escape(&given.by),
            words::moment(given.until),
            escape(&given.why)
        );
    }
    let evaluation = match link {
        Some(link) => format!("[`{}`]({link})", verdict.evaluation_id),
        None => format!("`{}`", verdict.evaluation_id),
    };
    out +=
        &format!("\nEvaluation {evaluation}, event time final up to {}.\n", words::moment(verdict.watermark));
    out
}

/// JUnit XML: a suite a gate, a case a check and rack. FAIL is `<failure>`; INCONCLUSIVE and PENDING are
/// `<skipped>`, with [`InconclusiveAs::Fail`] `<failure>`; a fault of the service is `<error>` and not made here.
pub fn junit(verdict: &Verdict, warn_as_fail: bool, inconclusive_as: InconclusiveAs) -> String {
    let cases: Vec<(&str, &CheckResult)> =
        verdict.racks.iter().flat_map(|rack| rack.checks.iter().map(|row| (&*rack.rack, row))).collect();
    let outcome = |row: &CheckResult| case(row.verdict, warn_as_fail, inconclusive_as);
    let count = |wanted: Case| cases.iter().filter(|(_, row)| outcome(row) == wanted).count();
    let counts = format!(
        "tests=\"{}\" failures=\"{}\" errors=\"0\" skipped=\"{}\"",
        cases.len(),
        count(Case::Failure),
        count(Case::Skipped)
    );
    let name = xml(&format!("thermogate gate {}", verdict.policy));
    let mut out = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites {counts}>\n  <testsuite name=\"{name}\" {counts} \
         timestamp=\"{}\">\n    <properties>\n",
        words::moment(verdict.time)
    );
    let mut properties = vec![
        ("verdict", verdict.verdict.name().to_owned()),
        ("reason", verdict.reason.clone()),
        ("evaluation_id", verdict.evaluation_id.to_string()),
        ("policy_hash", verdict.policy_hash.to_string()),
        ("watermark", verdict.watermark.to_rfc3339()),
    ];
    properties.extend(verdict.wait_until.map(|until| ("wait_until", until.to_rfc3339())));
    for (name, value) in properties {
        out += &format!("      <property name=\"{name}\" value=\"{}\"/>\n", xml(&value));
    }
    out += "    </properties>\n";
    for (rack, row) in cases {
        let class = xml(&format!("{}.{rack}", verdict.policy));
        let head = format!("    <testcase classname=\"{class}\" name=\"{}\"", xml(&row.check));
        let message = xml(&row.reason);
        let kind = row.verdict.name();
        out += &match outcome(row) {
            Case::Passed => {
                format!("{head}>\n      <system-out>{kind}: {message}</system-out>\n    </testcase>\n")
            }
            Case::Failure => {
                format!("{head}>\n      <failure type=\"{kind}\" message=\"{message}\"/>\n    </testcase>\n")
            }
            Case::Skipped => {
                format!("{head}>\n      <skipped message=\"{kind}: {message}\"/>\n    </testcase>\n")
            }
        };
    }
    out += "  </testsuite>\n</testsuites>\n";
    out
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Case {
    Passed,
    Failure,
    Skipped,
}

const fn case(verdict: VerdictKind, warn_as_fail: bool, inconclusive_as: InconclusiveAs) -> Case {
    match (verdict, inconclusive_as) {
        (VerdictKind::Pass, _) => Case::Passed,
        (VerdictKind::Warn, _) if warn_as_fail => Case::Failure,
        (VerdictKind::Warn, _) => Case::Passed,
        (VerdictKind::Fail, _) => Case::Failure,
        (VerdictKind::Inconclusive | VerdictKind::Pending, InconclusiveAs::Fail) => Case::Failure,
        (VerdictKind::Inconclusive, InconclusiveAs::Pass) => Case::Passed,
        (VerdictKind::Pending, InconclusiveAs::Pass) => Case::Skipped,
        (VerdictKind::Inconclusive | VerdictKind::Pending, InconclusiveAs::Keep) => Case::Skipped,
    }
}

fn observed(row: &CheckResult) -> String {
    row.observed.map_or_else(
        || row.unknown_reason.map_or("-", |reason| reason.name()).to_owned(),
        |value| words::quantity(value, &row.unit),
    )
}

fn threshold(row: &CheckResult) -> String {
    match (row.comparison, row.threshold) {
        (Some(comparison), Some(threshold)) => {
            format!("{} {}", comparison.sign(), words::quantity(threshold, &row.unit))
        }
        (None, Some(threshold)) => words::quantity(threshold, &row.unit),
        (_, None) => "-".into(),
    }
}

const fn cause_name(cause: Cause) -> &'static str {
    match cause {
        Cause::Release => "release",
        Cause::Rack => "rack",
        Cause::Facility => "facility",
        Cause::Sensor => "sensor",
        Cause::Unknown => "unknown",
    }
}

const fn sign(verdict: VerdictKind) -> &'static str {
    match verdict {
        VerdictKind::Pass => "✅",
        VerdictKind::Warn => "⚠️",
        VerdictKind::Fail => "❌",
        VerdictKind::Inconclusive => "❔",
        VerdictKind::Pending => "⏳",
    }
}

/// Text in a table cell or a line of Markdown.
fn escape(text: &str) -> String {
    text.replace('|', "\\|").replace('<', "&lt;").replace('\n', " ")
}

/// Text in XML: markup escaped, characters that XML 1.0 does not know left out.
fn xml(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => out += "&amp;",
            '<' => out += "&lt;",
            '>' => out += "&gt;",
            '"' => out += "&quot;",
            '\n' | '\t' | '\r' => out.push(' '),
            '\u{0}'..='\u{1f}' | '\u{fffe}' | '\u{ffff}' => {}
            _ => out.push(character),
        }
    }
    out
}
