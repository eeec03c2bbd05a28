//! One drill: the copy of its loop, what that one says and the loop itself does not, and how it ends.
//!
//! effects of the copy → **rehearsal** → marked effects, the drill's result

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use telemetry::alert::{AlertState, AlertTransition};
use telemetry::drill::{DrillEvent, DrillFacts, DrillState};
use telemetry::facts::{Finding, Severity};
use telemetry::place::Place;
use telemetry::record::{SampleBatch, SeriesDeclaration};
use telemetry::{EventTime, Labels, Microseconds, Name};

use super::class::{self, Class};
use super::overlay::Overlay;
use crate::effect::{Effect, Effects};
use crate::partition::{Environment, Partition, Ready};
use crate::plan::touches;
use crate::rows;

/// After its result the alerts of a drill go on for so long, that everybody on their way has seen them.
const SHOWN: Microseconds = Microseconds::from_minutes(2);
/// So many findings of one drill are told; a fault sets off a few.
const FINDINGS_MAX: usize = 64;

/// A finding of the copy that the loop itself does not have.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Said {
    detector: Name,
    detected: EventTime,
    is_explained: bool,
    /// It is told to nobody.
    is_quiet: bool,
}

/// A drill in progress.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Rehearsal {
    pub facts: DrillFacts,
    overlay: Overlay,
    shadow: Partition,
    /// What was said before it began.
    findings_before: BTreeSet<Name>,
    alerts_before: BTreeSet<Labels>,
    /// Findings of the copy alone, by id.
    findings: BTreeMap<Name, Said>,
    /// Alerts of the copy alone that are not over, by their labels.
    alerts: BTreeMap<Labels, AlertTransition>,
    /// The finding that is right.
    found: Option<Name>,
    /// A finding of the loop itself that is as right: what is drilled has come in earnest.
    in_earnest: Option<Name>,
}

impl Rehearsal {
    /// Begins at `now` on a copy of this partition.
    pub(crate) fn new(
        event: &DrillEvent,
        rack: &Name,
        class: &Class,
        (place, severity): (Place, f64),
        now: EventTime,
        ready: &Ready,
        partition: &Partition,
    ) -> Self {
        let (findings, alerts) = partition.said();
        Self {
            overlay: Overlay::new(severity, now, &place, ready.only, ready.supply),
            facts: DrillFacts {
                drill: event.drill.clone(),
                class: class.name.into(),
                rack: rack.clone(),
                place,
                severity,
                detectors: class.right.iter().map(|name| Name::from(*name)).collect(),
                started: now,
                until: now + ready.longest,
                state: DrillState::Running,
                ended: None,
                detector: None,
                detected: None,
                alert_fired: None,
                missing: String::new(),
                by: event.by.clone(),
                why: event.why.clone(),
            },
            shadow: partition.shadow(),
            findings_before: findings.into_iter().collect(),
            alerts_before: alerts.into_iter().collect(),
            findings: BTreeMap::new(),
            alerts: BTreeMap::new(),
            found: None,
            in_earnest: None,
        }
    }

    /// Alerts that are not over, as they were told last.
    pub(crate) fn alerts(&self) -> impl Iterator<Item = &AlertTransition> {
        self.alerts.values()
    }

    /// A series is about to begin.
    pub(crate) fn declare(&mut self, declaration: &Arc<SeriesDeclaration>) {
        self.shadow.declare(declaration);
    }

    /// Readings have come: the copy takes them with the fault.
    pub(crate) fn take_samples(
        &mut self,
        batch: &SampleBatch,
        real: &Partition,
        environment: Environment<'_>,
        effects: &mut Effects,
    ) {
        let Ok(class) = class::class(&self.facts.class) else { return };
        let laid = self.overlay.lay(class, &self.shadow.declarations, batch);
        self.act(real, effects, &mut |shadow, said| shadow.take_samples(&laid, environment, said));
    }

    /// Does something to the copy, and tells what it says of it.
    pub(crate) fn act(
        &mut self,
        real: &Partition,
        effects: &mut Effects,
        act: &mut impl FnMut(&mut Partition, &mut Effects),
    ) {
        let mut said = Effects::default();
        act(&mut self.shadow, &mut said);
        for effect in said.list {
            match effect {
                Effect::Finding(finding) => self.tell_finding(&finding, real, effects),
                Effect::Alert(transition) => self.tell_alert(&transition, real, effects),
                // Nothing else of the copy is anybody's business.
                Effect::Status(_)
                | Effect::Block(_)
                | Effect::Publish(_)
                | Effect::Row(_)
                | Effect::Count { .. }
                | Effect::Drill(_)
                | Effect::DrillAlert(_)
                | Effect::DrillCopy { .. } => {}
            }
        }
    }

    fn tell_finding(&mut self, finding: &Finding, real: &Partition, effects: &mut Effects) {
        let id = &finding.finding;
        let is_new = !self.findings.contains_key(id);
        let is_of_loop_too = self.findings_before.contains(id) || real.has_open(finding);
        let is_right = self.facts.detectors.contains(&finding.detector)
            && touches(&finding.place, &self.facts.place)
            && finding.ended.is_none();
        if is_right && is_of_loop_too && self.found.is_none() {
            self.in_earnest.get_or_insert_with(|| id.clone());
        }
        if is_new && (is_of_loop_too || finding.ended.is_some() || FINDINGS_MAX <= self.findings.len()) {
            return;
        }
        effects.push(rows::drill_finding(&self.facts.drill, finding));
        let said = Said {
            detector: finding.detector.clone(),
            detected: finding.detected,
            is_explained: finding.leading.is_some(),
            is_quiet: finding.severity == Severity::Info,
        };
        self.findings.insert(id.clone(), said);
        if is_right && self.found.is_none() && self.facts.state == DrillState::Running {
            self.found = Some(id.clone());
            self.facts.detector = Some(finding.detector.clone());
            self.facts.detected = Some(finding.detected);
            effects.push(Effect::Drill(Box::new(self.facts.clone())));
        }
    }

    fn tell_alert(&mut self, transition: &AlertTransition, real: &Partition, effects: &mut Effects) {
        let is_over = matches!(transition.to, AlertState::Inactive | AlertState::Resolved);
        let is_known = self.alerts.contains_key(&transition.labels);
        let is_of_loop_too =
            self.alerts_before.contains(&transition.labels) || real.alerts.is_active(&transition.labels);
        if !is_known && (is_over || is_of_loop_too) {
            return;
        }
        let is_about_found = self.found.is_some()
            && transition.annotations.get("finding").map(String::as_str) == self.found.as_deref();
        if transition.to == AlertState::Firing && is_about_found && self.facts.alert_fired.is_none() {
            self.facts.alert_fired = Some(transition.time);
        }
        let marked = self.marked(transition.clone());
        effects.push(Effect::DrillAlert(Box::new(marked.clone())));
        if is_over {
            self.alerts.remove(&transition.labels);
        } else {
            self.alerts.insert(transition.labels.clone(), marked);
        }
    }

    /// Nobody is to take it for an alert of the rack.
    fn marked(&self, mut transition: AlertTransition) -> AlertTransition {
        let DrillFacts { drill, class, .. } = &self.facts;
        transition.labels.insert("drill".into(), drill.clone());
        transition.reason = format!("drill {drill} of {class}, no fault of the rack: {}", transition.reason);
        transition
    }

    /// Whether it has just come to a result.
    pub(crate) fn decide(&mut self, tick: EventTime, watermark: EventTime) -> bool {
        if self.facts.state != DrillState::Running {
            return false;
        }
        if let Some(finding) = &self.in_earnest {
            self.facts.ended = Some(tick);
            self.facts.state = DrillState::Cancelled;
            self.facts.missing =
                format!("what was drilled has come in earnest: finding {finding} is the rack's own");
            return true;
        }
        let is_found = self.facts.detected.is_some() && self.facts.alert_fired.is_some();
        if !is_found && watermark < self.facts.until {
            return false;
        }
        self.facts.ended = Some(tick);
        self.facts.missing = self.missing();
        self.facts.state =
            if self.facts.missing.is_empty() { DrillState::Passed } else { DrillState::Failed };
        true
    }

    /// What was missing; nothing when all is well.
    fn missing(&self) -> String {
        let DrillFacts { detectors, detected, alert_fired, .. } = &self.facts;
        let right = detectors.join(" or ");
        // What came first and is not explained by what came later is what people were sent after.
        let wrong = self
            .findings
            .values()
            .filter(|said| !said.is_explained && !said.is_quiet && !detectors.contains(&said.detector))
            .filter(|said| detected.is_none_or(|detected| said.detected < detected))
            .min_by_key(|said| said.detected);
        match (wrong, detected, alert_fired) {
            (Some(wrong), Some(detected), _) => format!(
                "wrong detector first: {} at {}, {right} at {detected}",
                wrong.detector, wrong.detected
            ),
            (Some(wrong), None, _) => {
                format!("no finding of {right}; {} spoke instead, at {}", wrong.detector, wrong.detected)
            }
            (None, None, _) => format!("no finding of {right}"),
            (None, Some(detected), None) => format!("found at {detected}, and its alert never fired"),
            (None, Some(_), Some(_)) => String::new(),
        }
    }

    /// Whether it was shown for long enough.
    pub(crate) fn is_over(&self, tick: EventTime) -> bool {
        self.facts.ended.is_some_and(|ended| ended + SHOWN <= tick)
    }

    /// It is broken off: that says nothing of its detectors. One that has its result keeps it.
    pub(crate) fn cancel(mut self, now: EventTime, why: String, effects: &mut Effects) {
        if self.facts.state == DrillState::Running {
            self.facts.state = DrillState::Cancelled;
            self.facts.ended = Some(now);
            self.facts.missing = why;
            effects.push(Effect::Drill(Box::new(self.facts.clone())));
        }
        self.clear(now, effects);
    }

    /// Its alerts are over.
    pub(crate) fn clear(self, now: EventTime, effects: &mut Effects) {
        for alert in self.alerts.into_values() {
            let to = match alert.to {
                AlertState::Firing | AlertState::UnknownHold => AlertState::Resolved,
                AlertState::Inactive
                | AlertState::Pending
                | AlertState::Resolved
                | AlertState::Suppressed => AlertState::Inactive,
            };
            let reason = format!("drill {} is over", self.facts.drill);
            let over = AlertTransition { from: alert.to, to, time: now, reason, ..alert };
            effects.push(Effect::DrillAlert(Box::new(over)));
        }
    }

    /// What a gate would see if the fault was real.
    pub(crate) fn copy(&self, environment: Environment<'_>) -> Effect {
        Effect::DrillCopy { drill: self.facts.drill.clone(), facts: self.shadow.facts(environment) }
    }

    /// Plans the copy anew after a restart.
    pub(crate) fn restore(&mut self, environment: Environment<'_>) {
        self.shadow.restore(environment);
    }
}

#[cfg(test)]
mod tests {
    use telemetry::drill::DrillChange;
    use telemetry::record::PartitionId;

    use super::*;

    const BEGUN: EventTime = EventTime::from_unix_micros(0);

    fn at(minutes: i64) -> EventTime {
        BEGUN + Microseconds::from_minutes(minutes)
    }

    fn rehearsal() -> Rehearsal {
        let change = DrillChange::Start { rack: "r1".into(), class: "leak".into(), severity: None };
        let (by, why) = ("ops".to_owned(), "a test".to_owned());
        let event = DrillEvent { drill: "d".into(), time: BEGUN, change, by, why };
        let ready = Ready { only: None, supply: None, longest: Microseconds::from_minutes(45) };
        let class = class::class("leak").unwrap();
        let partition = Partition::new(PartitionId(1));
        Rehearsal::new(&event, &"r1".into(), class, (Place::default(), 3.0), BEGUN, &ready, &partition)
    }

    fn said(detector: &str, minutes: i64, is_explained: bool) -> (Name, Said) {
        let said = Said { detector: detector.into(), detected: at(minutes), is_explained, is_quiet: false };
        (format!("finding of {detector}").into(), said)
    }

    #[test]
    fn a_drill_passes_only_when_the_right_detector_spoke_first_and_its_alert_fired() {
        for (others, found, fired, result) in [
            (vec![], Some(5), Some(5), ""),
            (vec![said("pump", 7, false)], Some(5), Some(5), ""),
            (vec![said("pump", 2, true)], Some(5), Some(5), ""),
            (
                vec![said("pump", 2, false)],
                Some(5),
                Some(5),
                "wrong detector first: pump at 1970-01-01T00:02:00.000000Z, leak at 1970-01-01T00:05:00.000000Z",
            ),
            (vec![], Some(5), None, "found at 1970-01-01T00:05:00.000000Z, and its alert never fired"),
            (
                vec![said("pump", 2, false)],
                None,
                None,
                "no finding of leak; pump spoke instead, at 1970-01-01T00:02:00.000000Z",
            ),
            (vec![], None, None, "no finding of leak"),
        ] {
            let mut rehearsal = rehearsal();
            rehearsal.findings.extend(others);
            (rehearsal.facts.detected, rehearsal.facts.alert_fired) = (found.map(at), fired.map(at));
            let is_whole = found.is_some() && fired.is_some();
            assert_eq!(rehearsal.decide(at(44), at(44)), is_whole, "it is waited for what is missing");
            assert_eq!(rehearsal.decide(at(45), at(45)), !is_whole, "and no longer than that");
            assert_eq!(rehearsal.facts.missing, result);
            let passed = rehearsal.facts.state == DrillState::Passed;
            assert_eq!(passed, result.is_empty(), "{result}");
        }
    }
}
