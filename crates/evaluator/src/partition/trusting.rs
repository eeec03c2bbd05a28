//! How far sensors are believed: who is to blame for a balance that is off, and what gates and people are told of it.
//!
//! findings, calibration dates → **trusting** → slices, facts, table `events`

use std::collections::{BTreeMap, BTreeSet};

use telemetry::expression::Reduction;
use telemetry::facts::{Cause, Doubt, Finding, ObjectiveStatus, SensorTrust, Trust};
use telemetry::place::Place;
use telemetry::record::PlaceEvent;
use telemetry::{EventTime, Name};

use super::Partition;
use crate::detectors::{self, DETECTORS, Detector, Rule, incidence};
use crate::effect::Effects;
use crate::group::Group;
use crate::plan::PlannedOperand;
use crate::rows;
use crate::trust::{Blame, Evidence, Row, Told, gravity};

/// The detector of two sensors of one quantity.
const PAIR: &str = "redund";

impl Partition {
    /// At the end of a block: who blames each sensor now, whose calibration is overdue; and tells what has changed.
    pub(super) fn review_trust(&mut self, end: EventTime, effects: &mut Effects) {
        let mut blamed = self.blamed();
        for number in 0..self.series.len() {
            let rule = self.layout.calibrations.get(number).copied().flatten();
            let number = u32::try_from(number).unwrap_or(u32::MAX);
            self.series[number as usize].review(blamed.remove(&number), rule, end);
            self.tell_trust(number, end, effects);
        }
    }

    /// Tells a change of trust, and remembers it.
    fn tell_trust(&mut self, number: u32, end: EventTime, effects: &mut Effects) {
        let series = &self.series[number as usize];
        let before = series.standing().and_then(|standing| standing.told.as_ref());
        let doubt = series.doubt(end).filter(|row| row.is_event);
        if before.is_none() && doubt.is_none() {
            return;
        }
        let now = doubt.map(|row| (row.trust, self.reason_of(number, row)));
        if before.map(|told| (told.trust, told.reason.as_str()))
            == now.as_ref().map(|(trust, reason)| (*trust, &**reason))
        {
            return;
        }
        let word = |trust: Trust, reason: &str| format!("{}: {reason}", trust.name());
        let trusted = || Trust::Trusted.name().to_owned();
        let identity = &self.declarations[number as usize].identity;
        effects.push(rows::event(&PlaceEvent {
            place: self.layout.measured[number as usize].place.clone(),
            time: end,
            name: match &identity.sensor {
                Some(sensor) => format!("trust/{}/{sensor}", identity.signal).into(),
                None => format!("trust/{}", identity.signal).into(),
            },
            old: before.map_or_else(trusted, |told| word(told.trust, &told.reason)).into(),
            new: now.as_ref().map_or_else(trusted, |(trust, reason)| word(*trust, reason)).into(),
            source_name: "thermogate".into(),
        }));
        // Another reason for the same state is told, and the state is as old as it was.
        let since = |trust: Trust| before.filter(|told| told.trust == trust).map_or(end, |told| told.since);
        let told = now.map(|(trust, reason)| Told { trust, since: since(trust), reason });
        self.series[number as usize].tell_trust(told);
    }

    fn reason_of(&self, number: u32, row: &Row) -> String {
        let series = &self.series[number as usize];
        let detector = || series.blame().map_or("", |blame| &*blame.detector);
        match row.evidence {
            Evidence::Stuck => "finding stuck".to_owned(),
            Evidence::Flagged => "its source does not trust its reading".to_owned(),
            Evidence::Culprit => format!("finding {}, which nothing else explains", detector()),
            Evidence::OneOfSeveral => format!("finding {}", detector()),
            Evidence::Noisy => "finding noise_growth".to_owned(),
            Evidence::Silent => "no reading for longer than its feed allows".to_owned(),
            Evidence::Overdue => {
                let rule = self.layout.calibrations.get(number as usize).copied().flatten();
                let calibrated = series.standing().and_then(|standing| standing.calibrated);
                rule.map_or_else(
                    || "its calibration is overdue".to_owned(),
                    |rule| format!("its calibration held until {}", rule.due(calibrated)),
                )
            }
        }
    }

    /// How far a sensor is trusted at `time`, unless it simply is.
    pub(super) fn trust_of(&self, number: u32, time: EventTime) -> Option<SensorTrust> {
        let row = self.series[number as usize].doubt(time)?;
        Some(self.sensor_trust(number, row))
    }

    fn sensor_trust(&self, number: u32, row: &Row) -> SensorTrust {
        let series = &self.series[number as usize];
        let declaration = &self.declarations[number as usize];
        let told = series.standing().and_then(|standing| standing.told.as_ref());
        SensorTrust {
            signal: declaration.identity.signal.clone(),
            place: self.layout.measured[number as usize].place.clone(),
            sensor: declaration.identity.sensor.clone(),
            trust: row.trust,
            reason: self.reason_of(number, row),
            since: told.filter(|told| told.trust == row.trust).map(|told| told.since),
        }
    }

    /// The sensors that an objective reads in a group and that are not simply trusted at `time`, the gravest first.
    pub(super) fn doubts_of(&self, group: &Group, time: EventTime) -> Vec<Doubt> {
        let Some(planned) = &group.planned else { return Vec::new() };
        let members = planned.members.iter().chain(&planned.load);
        let mut seen = BTreeSet::new();
        let mut doubted = Vec::new();
        for operand in members.flat_map(|member| &member.operands) {
            for number in &operand.series {
                let row = self.series[*number as usize].doubt(time).filter(|_| seen.insert(*number));
                doubted.extend(row.map(|row| (*number, row, self.stands_in(operand, row.trust, time))));
            }
        }
        // Those that nothing stands in for decide.
        doubted.sort_by_key(|(_, row, instead)| (!instead.is_empty(), gravity(row.trust)));
        // Of a silent loop all are doubted: only those that are told are put into words.
        doubted.truncate(ObjectiveStatus::DOUBTS_MAXIMUM);
        let told = doubted.into_iter();
        told.map(|(number, row, instead)| Doubt { sensor: self.sensor_trust(number, row), instead }).collect()
    }

    /// The redundant sensors that count while one of this trust is left out.
    fn stands_in(&self, operand: &PlannedOperand, trust: Trust, time: EventTime) -> Vec<Name> {
        let named = |is_fit: &dyn Fn(Option<Trust>) -> bool| -> Vec<Name> {
            let fit = operand.series.iter().filter(|number| {
                let series = &self.series[**number as usize];
                is_fit(series.doubt(time).map(|row| row.trust))
                    && series.latest.is_some()
                    && !series.is_silent(time)
            });
            let name = |number: &u32| self.declarations[*number as usize].identity.sensor.clone();
            fit.map(|number| name(number).unwrap_or_else(|| "without a name".into())).collect()
        };
        let trusted = match operand.reduction {
            Reduction::Own => named(&|trust| trust.is_none()),
            Reduction::Highest | Reduction::Lowest | Reduction::Median | Reduction::Mean => Vec::new(),
        };
        match (operand.reduction, trust) {
            (Reduction::Own, Trust::Distrusted) if trusted.is_empty() => {
                named(&|trust| matches!(trust, Some(Trust::Suspect | Trust::Uncalibrated)))
            }
            (
                Reduction::Own | Reduction::Highest | Reduction::Lowest | Reduction::Median | Reduction::Mean,
                _,
            ) => trusted,
        }
    }

    /// The sensors that open findings blame, by number.
    fn blamed(&self) -> BTreeMap<u32, Blame> {
        let mut blamed: BTreeMap<u32, Blame> = BTreeMap::new();
        for finding in self.findings.iter().filter(|finding| self.is_about_sensors(finding)) {
            let (culprits, is_sole) = self.culprits(finding);
            for number in culprits {
                let known = blamed.get(&number);
                if known.is_none_or(|known| !known.is_sole && is_sole) {
                    let Finding { finding, detector, onset, .. } = finding.clone();
                    blamed.insert(number, Blame { finding, detector, onset, is_sole });
                }
            }
        }
        blamed
    }

    /// Whether a finding says that a sensor drifts: its detector is about sensors, and nothing but another finding of
    /// that kind explains it.
    fn is_about_sensors(&self, finding: &Finding) -> bool {
        let leading = finding.leading.as_ref();
        let leading = leading.and_then(|id| self.findings.iter().find(|other| other.finding == *id));
        is_balance_of_sensors(&finding.detector)
            && leading.is_none_or(|leading| is_balance_of_sensors(&leading.detector))
    }

    /// The sensors that explain a finding, by the balances that have moved and those that rest; and whether it is one
    /// that alone explains it. Where a signal explains it as well that is no part of the finding's own balance, none does.
    fn culprits(&self, finding: &Finding) -> (Vec<u32>, bool) {
        let of_finding = |detector: &Detector| *detector.name == *finding.detector;
        let component =
            self.layout.components.iter().find(|component| {
                of_finding(&DETECTORS[component.detector]) && component.place == finding.place
            });
        let Some(component) = component else { return (Vec::new(), false) };
        let suspects = self.suspects(&finding.place);
        let mut culprits: Vec<u32> = component.inputs.iter().flatten().copied().collect();
        culprits.sort_unstable();
        culprits.dedup();
        let signal = |number: &u32| &*self.declarations[*number as usize].identity.signal;
        let is_own = |suspect: &&str| culprits.iter().any(|number| signal(number) == *suspect);
        let mut is_explained = !suspects.is_empty() && suspects.iter().all(is_own);
        culprits.retain(|number| suspects.is_empty() || suspects.contains(&signal(number)));
        // One that is stuck explains it too, and is not to be believed anyway.
        let is_stuck = |number: &u32| self.series[*number as usize].fault.is_some();
        is_explained &= !culprits.iter().any(is_stuck);
        culprits.retain(|number| !is_stuck(number));
        culprits.retain(|number| !self.is_cleared_elsewhere(*number, component.detector, &finding.place));
        match self.isolated(&finding.place, &culprits).filter(|_| is_explained) {
            Some(culprit) => (vec![culprit], true),
            None => {
                let is_sole = is_explained && culprits.len() == 1;
                (culprits, is_sole)
            }
        }
    }

    /// Whether the same balance of another place reads this sensor too, and rests.
    fn is_cleared_elsewhere(&self, number: u32, detector: usize, place: &Place) -> bool {
        self.layout.components.iter().any(|other| {
            other.detector == detector
                && other.place != *place
                && other.inputs.iter().flatten().any(|input| *input == number)
                && self
                    .shift_of(DETECTORS[detector].name, &other.place)
                    .is_some_and(|(_, has_moved)| !has_moved)
        })
    }

    /// Of two supply thermometers the one that drifts, by the signs of two balances: a thermometer that reads too high
    /// raises its own side of the pair, and lowers the rise of the coolant, and with it the rack's heat balance, while
    /// the facility's heat by the coolant's goes up.
    fn isolated(&self, place: &Place, culprits: &[u32]) -> Option<u32> {
        let component = self
            .layout
            .components
            .iter()
            .find(|component| DETECTORS[component.detector].name == PAIR && component.place == *place)?;
        let [one, other] = component.inputs.iter().map(|input| input[0]).collect::<Vec<_>>()[..] else {
            return None;
        };
        if culprits.len() != 2 || !culprits.contains(&one) || !culprits.contains(&other) {
            return None;
        }
        let moved = |name: &str| self.shift_of(name, place).filter(|(_, has_moved)| *has_moved);
        let (pair, _) = moved(PAIR)?;
        let is_too_high = match &place.rack {
            Some(_) => moved("hb")?.0 < 0.0,
            None => moved("facbal")?.0 > 0.0,
        };
        Some(if (pair > 0.0) == is_too_high { one } else { other })
    }

    /// How far a residual has shifted, and whether that counts as moved; none where it cannot be told.
    pub(super) fn shift_of(&self, name: &str, place: &Place) -> Option<(f64, bool)> {
        let state = self.residuals.get(&(Name::from(name), place.clone()))?;
        let Rule::Residual(rule) = &detectors::detector(name)?.rule else { return None };
        state.baseline?;
        Some((state.shift, incidence::MOVED_SHARE * rule.relevance < state.shift.abs()))
    }
}

fn is_balance_of_sensors(detector: &str) -> bool {
    detectors::detector(detector)
        .is_some_and(|row| row.cause == Cause::Sensor && matches!(row.rule, Rule::Residual(_)))
}
