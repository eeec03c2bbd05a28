//! Findings: one anomaly from its onset to its end, with its alert.
//!
//! detectors → **finding** → history, alerts, facts

use serde::{Deserialize, Serialize};
use telemetry::facts::{Cause, Finding, Severity};
use telemetry::place::Place;
use telemetry::{EventTime, Labels, Name, canonical_json, sha256_hex};

use crate::alert::{self, Alerts, Condition, Observation, Patience};
use crate::detectors::{self, Detector, Rule};
use crate::effect::{Effect, Effects};
use crate::plan::touches;

/// What makes two findings the same while both last.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct FindingKey {
    /// The detector's name.
    pub detector: Name,
    /// Where.
    pub place: Place,
    /// Of which signal, where it is about one.
    pub signal: Option<Name>,
    /// Of which sensor.
    pub sensor: Option<Name>,
}

/// What a detector has to say.
#[derive(Debug, Clone)]
pub(crate) struct Anomaly {
    /// What it is about.
    pub key: FindingKey,
    /// How grave.
    pub severity: Severity,
    /// When it began.
    pub onset: EventTime,
    /// When it was known.
    pub detected: EventTime,
    /// What was observed, what was expected, what the difference was compared with.
    pub residual: Option<f64>,
    /// What was expected.
    pub baseline: Option<f64>,
    /// What the difference was compared with.
    pub threshold: Option<f64>,
    /// The unit of these three.
    pub unit: Name,
    /// 0 to 1; 1 for direct rules.
    pub confidence: f64,
    /// The finding that explains it.
    pub leading: Option<Name>,
    /// What a person needs to check it.
    pub evidence: Labels,
}

/// Findings of a partition that have not ended, in order of (onset, detector, place).
#[derive(Debug, Default, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Findings {
    open: Vec<Finding>,
}

/// Where findings go.
pub(crate) struct Outlet<'a> {
    /// Alerts of the partition.
    pub alerts: &'a mut Alerts,
    /// Effects of the record.
    pub effects: &'a mut Effects,
    /// Why alerts about a place are not told, at this time.
    pub suppressed: &'a dyn Fn(&Place) -> Option<String>,
}

impl Anomaly {
    /// Of a direct rule, with nothing measured.
    pub(crate) fn direct(
        detector: &Detector,
        key: FindingKey,
        onset: EventTime,
        detected: EventTime,
        evidence: Labels,
    ) -> Self {
        Self {
            key,
            severity: detector.severity,
            onset,
            detected,
            residual: None,
            baseline: None,
            threshold: None,
            unit: "".into(),
            confidence: 1.0,
            leading: None,
            evidence,
        }
    }
}

impl FindingKey {
    /// About a place as a whole.
    pub(crate) fn of_place(detector: &Detector, place: Place) -> Self {
        Self { detector: detector.name.into(), place, signal: None, sensor: None }
    }
}

impl Findings {
    /// Opens a finding, unless it is open already. Returns its id.
    pub(crate) fn open(&mut self, detector: &Detector, anomaly: Anomaly, outlet: &mut Outlet<'_>) -> Name {
        if let Some(known) = self.get(&anomaly.key) {
            return known.finding.clone();
        }
        let leading = anomaly.leading.clone().or_else(|| self.explanation(detector, &anomaly.key));
        let Anomaly { key, severity, onset, detected, .. } = anomaly;
        let identity = (&key.detector, &key.place, &key.signal, &key.sensor, onset);
        let cause = cause_of(detector, &key.place);
        let finding = Finding {
            finding: sha256_hex(&canonical_json(&identity))[..16].into(),
            detector: key.detector,
            place: key.place,
            signal: key.signal,
            sensor: key.sensor,
            severity,
            onset,
            detected,
            ended: None,
            leading,
            cause,
            residual: anomaly.residual,
            baseline: anomaly.baseline,
            threshold: anomaly.threshold,
            unit: anomaly.unit,
            confidence: anomaly.confidence,
            suggestion: detector.suggestion.to_owned(),
            evidence: anomaly.evidence,
        };
        let id = finding.finding.clone();
        outlet.effects.push(Effect::Finding(Box::new(finding.clone())));
        self.tell(detector, &finding, Condition::Fires, detected, outlet);
        let order = |finding: &Finding| (finding.onset, finding.detector.clone(), finding.place.clone());
        let at = self.open.partition_point(|known| order(known) <= order(&finding));
        self.open.insert(at, finding);
        self.explain(detector, &id, detected, outlet);
        id
    }

    /// The open finding that explains an anomaly, by the order of the table of detectors.
    fn explanation(&self, detector: &Detector, key: &FindingKey) -> Option<Name> {
        let explains = |name: &&str| {
            self.open.iter().find(|other| *other.detector == **name && touches(&other.place, &key.place))
        };
        Some(detector.explained_by.iter().find_map(explains)?.finding.clone())
    }

    /// Attaches findings that are open already to one that has just come and explains them.
    fn explain(&mut self, detector: &Detector, id: &Name, time: EventTime, outlet: &mut Outlet<'_>) {
        let Some(place) = self.open.iter().find(|open| open.finding == *id).map(|open| open.place.clone())
        else {
            return;
        };
        let consequences: Vec<usize> = (0..self.open.len())
            .filter(|number| {
                let open = &self.open[*number];
                let row = detectors::detector(&open.detector);
                open.leading.is_none()
                    && open.finding != *id
                    && row.is_some_and(|row| row.explained_by.contains(&detector.name))
                    && touches(&place, &open.place)
            })
            .collect();
        for number in consequences {
            self.open[number].leading = Some(id.clone());
            let finding = self.open[number].clone();
            outlet.effects.push(Effect::Finding(Box::new(finding.clone())));
            if let Some(row) = detectors::detector(&finding.detector) {
                self.tell(row, &finding, Condition::Fires, time, outlet);
            }
        }
    }

    /// An open finding has become graver.
    pub(crate) fn raise(
        &mut self,
        detector: &Detector,
        key: &FindingKey,
        severity: Severity,
        time: EventTime,
        outlet: &mut Outlet<'_>,
    ) {
        let known = self.open.iter_mut().find(|finding| is_of(finding, key));
        let Some(finding) = known.filter(|finding| finding.severity < severity) else { return };
        finding.severity = severity;
        let finding = finding.clone();
        outlet.effects.push(Effect::Finding(Box::new(finding.clone())));
        self.tell(detector, &finding, Condition::Fires, time, outlet);
    }

    /// Ends a finding, if it is open.
    pub(crate) fn close(
        &mut self,
        detector: &Detector,
        key: &FindingKey,
        ended: EventTime,
        outlet: &mut Outlet<'_>,
    ) {
        let Some(at) = self.open.iter().position(|finding| is_of(finding, key)) else { return };
        let mut finding = self.open.remove(at);
        finding.ended = Some(ended);
        outlet.effects.push(Effect::Finding(Box::new(finding.clone())));
        let has_twin = self.open.iter().any(|other| {
            other.detector == finding.detector
                && other.place == finding.place
                && other.severity == finding.severity
        });
        if !has_twin {
            self.tell(detector, &finding, Condition::Clears, ended, outlet);
        }
    }

    /// The finding of that key, while it is open.
    pub(crate) fn get(&self, key: &FindingKey) -> Option<&Finding> {
        self.open.iter().find(|finding| is_of(finding, key))
    }

    /// Whether anything is found at a place, above it or below it, that is more than a load.
    pub(crate) fn is_faulty(&self, place: &Place) -> bool {
        let is_fault = |finding: &Finding| {
            !detectors::detector(&finding.detector).is_some_and(|row| matches!(row.rule, Rule::Load))
        };
        self.open.iter().any(|finding| touches(&finding.place, place) && is_fault(finding))
    }

    /// All that are open.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Finding> {
        self.open.iter()
    }

    /// Tells the alerts of all open findings again, because a reason not to tell them may have come or gone.
    pub(crate) fn tell_again(&self, time: EventTime, outlet: &mut Outlet<'_>) {
        for finding in &self.open {
            if let Some(detector) = detectors::detector(&finding.detector) {
                self.tell(detector, finding, Condition::Fires, time, outlet);
            }
        }
    }

    fn tell(
        &self,
        detector: &Detector,
        finding: &Finding,
        condition: Condition,
        time: EventTime,
        outlet: &mut Outlet<'_>,
    ) {
        let severity = match finding.severity {
            Severity::Critical => "page",
            Severity::Warning => "ticket",
            Severity::Info => return,
        };
        let labels =
            alert::labels(detector.alertname, severity, &finding.place, ("detector", &finding.detector));
        // A finding that another one explains is told with that one, unless it is graver.
        let explained = finding.leading.as_ref().and_then(|leading| {
            let leading = self.open.iter().find(|other| other.finding == *leading)?;
            (finding.severity <= leading.severity).then(|| format!("finding {}", leading.finding))
        });
        let reason = sentence(detector, finding);
        let suppressed = (outlet.suppressed)(&finding.place).or(explained);
        let annotations = std::collections::BTreeMap::from([
            ("finding".into(), finding.finding.to_string()),
            ("suggestion".into(), finding.suggestion.clone()),
        ]);
        let seen = Observation { time, condition, reason, annotations, suppressed };
        outlet.alerts.observe(&labels, Patience::NONE, seen, outlet.effects);
    }
}

fn is_of(finding: &Finding, key: &FindingKey) -> bool {
    finding.detector == key.detector
        && finding.place == key.place
        && finding.signal == key.signal
        && finding.sensor == key.sensor
}

/// A loop's trouble is the facility's, unless the detector is about sensors.
fn cause_of(detector: &Detector, place: &Place) -> Cause {
    match detector.cause {
        Cause::Rack if place.rack.is_none() => Cause::Facility,
        cause => cause,
    }
}

/// `coolant_flow of site s1, rack r1: no reading for longer than the feed allows; since 2026-…`.
fn sentence(detector: &Detector, finding: &Finding) -> String {
    use std::fmt::Write;
    let mut text = String::new();
    if let Some(signal) = &finding.signal {
        let _ = write!(text, "{signal} of ");
    }
    let _ = write!(text, "{}", finding.place);
    if let Some(sensor) = &finding.sensor {
        let _ = write!(text, ", sensor {sensor}");
    }
    let _ = write!(text, ": {}", detector.meaning);
    if let (Some(residual), Some(baseline)) = (finding.residual, finding.baseline) {
        let _ = write!(text, "; {residual:.3} against {baseline:.3} {}", finding.unit);
    }
    let _ = write!(text, "; since {}", finding.onset);
    if let Some(ended) = finding.ended {
        let _ = write!(text, "; ended {ended}");
    }
    text
}
