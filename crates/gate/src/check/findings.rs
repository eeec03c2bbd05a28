//! Check `findings`: no anomaly is active.

use telemetry::facts::{Cause, Comparison, Finding, Severity, UnknownReason};
use telemetry::{Microseconds, Name};

use super::{Draft, Found};
use crate::policy::Check;
use crate::subject::{Subject, reaches};
use crate::verdict::Evidence;
use crate::words;

/// Detectors that speak of the data, not of the rack: what they find makes a verdict unknown, not bad.
const ABOUT_DATA: [&str; 5] = ["gap", "stale", "skew", "stuck", "coverage_low"];

/// A row for each active finding; one that says there is none.
pub fn judge(check: &Check, subject: &Subject, detectors: &[Name], severity: Severity) -> Vec<Draft> {
    let asked = |finding: &&Finding| {
        severity <= finding.severity && (detectors.is_empty() || detectors.contains(&finding.detector))
    };
    let mut drafts: Vec<Draft> =
        subject.active_findings().filter(asked).map(|finding| of_finding(check, finding)).collect();
    if drafts.is_empty() {
        drafts.push(none(check, subject));
    }
    drafts
}

fn of_finding(check: &Check, finding: &Finding) -> Draft {
    let about_data = finding.cause == Cause::Sensor || ABOUT_DATA.contains(&&*finding.detector);
    let found = match finding.severity {
        Severity::Critical if about_data => Found::Unknown(match &*finding.detector {
            "gap" | "stale" | "coverage_low" => UnknownReason::Stale,
            _ => UnknownReason::SensorFault,
        }),
        Severity::Critical => Found::Broken,
        Severity::Warning | Severity::Info => Found::Doubtful,
    };
    let signal = finding.signal.clone().unwrap_or_else(|| finding.detector.clone());
    let mut draft = Draft::new(check, signal, &finding.place, "now");
    draft.cause = finding.cause;
    draft.row.since = Some(finding.onset);
    draft.row.observed = finding.residual;
    draft.row.threshold = finding.threshold;
    draft.row.comparison = finding.threshold.map(|_| Comparison::Lte);
    draft.row.unit = finding.unit.clone();
    let of_signal = finding.signal.as_ref().map_or_else(String::new, |signal| format!(" of {signal}"));
    let observed = match (finding.residual, finding.threshold) {
        (Some(residual), Some(threshold)) => format!(
            ", observed {}, limit {}",
            words::quantity(residual, &finding.unit),
            words::quantity(threshold, &finding.unit)
        ),
        (Some(residual), None) => format!(", observed {}", words::quantity(residual, &finding.unit)),
        (None, _) => ", observed as an event without a number".to_owned(),
    };
    let mend =
        if finding.suggestion.is_empty() { String::new() } else { format!("; {}", finding.suggestion) };
    let said = format!(
        "{}: {} finding {}{of_signal} on {} since {}{observed}, confidence {}{mend}",
        check.name,
        finding.severity.name(),
        finding.detector,
        words::place(&finding.place),
        words::moment(finding.onset),
        words::percent(finding.confidence)
    );
    draft.says(found, said).shows([evidence(finding)])
}

fn evidence(finding: &Finding) -> Evidence {
    let named: Vec<String> = finding.evidence.iter().map(|(name, value)| format!("{name} {value}")).collect();
    Evidence {
        name: format!("finding {}", finding.detector),
        value: finding.residual,
        unit: finding.unit.clone(),
        text: named.join(", "),
        place: words::labels(&finding.place),
        time: Some(finding.onset),
        query: format!("SELECT * FROM findings WHERE finding = {}", words::literal(&finding.finding)),
    }
}

/// No finding: which says something only while there is data to find something in.
fn none(check: &Check, subject: &Subject) -> Draft {
    let place = &subject.facts.place;
    let (mut known, mut asked) = (Microseconds::ZERO, Microseconds::ZERO);
    for coverage in &subject.facts.coverage {
        known += coverage.known;
        asked += coverage.asked;
    }
    let mut draft = Draft::new(check, super::subject_of(check), place, "now").compares(
        Some(0.0),
        Comparison::Lte,
        0.0,
        "1",
    );
    draft.row.coverage = (asked.0 > 0).then(|| known.0 as f64 / asked.0 as f64);
    let said = format!(
        "{}: no {} is active on {}, {} of the last hour",
        check.name,
        draft.row.signal.replacen("findings", "finding", 1),
        words::place(place),
        words::coverage(draft.row.coverage)
    );
    let minimum = subject.policy.minimum_coverage_ppm;
    if subject.is_over() || reaches(known, asked, minimum) {
        return draft.says(Found::Kept, said);
    }
    draft.row.observed = None;
    let reason = match subject.facts.last_sample {
        None => UnknownReason::NeverSeen,
        Some(_) if asked.0 == 0 => UnknownReason::WindowIncomplete,
        Some(_) => UnknownReason::Stale,
    };
    let why =
        format!("{} is asked to say that there is nothing to find", words::percent(f64::from(minimum) / 1e6));
    draft.says(Found::Unknown(reason), format!("{said}: {why}"))
}
