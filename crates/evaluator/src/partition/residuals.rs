//! At the end of a block: residuals, and what their detectors say of them.
//!
//! block means → **residuals** → detectors → findings

use telemetry::facts::Cause;
use telemetry::formula::Coolant;
use telemetry::place::Place;
use telemetry::{EventTime, Labels, Microseconds, Name, median};

use super::blocks::{current_block, new_block};
use super::{Environment, Partition};
use crate::detectors;
use crate::detectors::incidence;
use crate::detectors::residual::{Change, ResidualState};
use crate::detectors::{DETECTORS, Detector, Gate, Inputs, Residual, ResidualRule, Rule, Source};
use crate::effect::{Counter, Effects};
use crate::finding::{Anomaly, FindingKey};
use crate::layout::{Component, Resistances};

/// A tray is compared with at least as many others.
const PEERS_MINIMUM: usize = 3;

/// The latest residual of a detector at a place.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ResidualNow<'a> {
    /// The detector.
    pub detector: &'a str,
    /// Where.
    pub place: &'a Place,
    /// The residual, in the detector's unit; none before its baseline is taken.
    pub value: Option<f64>,
    /// What it is when all is well.
    pub baseline: Option<f64>,
    /// Estimate of its shift.
    pub shift: f64,
    /// The smallest shift that may alarm.
    pub relevance: f64,
}

impl Partition {
    /// All residuals, by detector and place.
    pub(crate) fn residuals(&self) -> impl Iterator<Item = ResidualNow<'_>> {
        self.residuals.iter().filter_map(|((name, place), state)| {
            let Rule::Residual(rule) = &detectors::detector(name)?.rule else { return None };
            let baseline = state.baseline.map(|baseline| baseline.mean);
            let (value, shift, relevance) = (state.value, state.shift, rule.relevance);
            Some(ResidualNow { detector: name, place, value, baseline, shift, relevance })
        })
    }

    /// Residuals of signals, in the order of the table.
    pub(super) fn look_at_residuals(
        &mut self,
        end: EventTime,
        environment: Environment<'_>,
        effects: &mut Effects,
    ) {
        for number in 0..self.layout.components.len() {
            let component = &self.layout.components[number];
            let detector = &DETECTORS[component.detector];
            let Rule::Residual(rule) = &detector.rule else { continue };
            let place = component.place.clone();
            let Some((means, start)) = self.means_of(&component.inputs, end) else { continue };
            let residual = match rule.source {
                Source::Signals { residual, .. } => {
                    let heat_capacity = heat_capacity(&place, environment);
                    let pump_curve = component.pump_curve.unwrap_or_default();
                    residual(&Inputs { means: &means, heat_capacity, pump_curve })
                }
                Source::Pair(_) => Some(Residual { value: means[0] - means[1], regressor: None }),
                Source::RackResistance | Source::TrayResistance => None,
            };
            if let Some(residual) = residual {
                self.observe_residual(detector, rule, place, residual, (start, end), effects);
            }
        }
    }

    /// Residuals that another pump curve is in force for start anew: their baselines are those of another quantity.
    pub(super) fn forget_other_curves(
        &mut self,
        before: &[Component],
        time: EventTime,
        effects: &mut Effects,
    ) {
        let is_other = |now: &&Component| {
            let same = |one: &&Component| one.detector == now.detector && one.place == now.place;
            before.iter().find(same).is_some_and(|before| before.pump_curve != now.pump_curve)
        };
        let others = self.layout.components.iter().filter(is_other);
        let others: Vec<_> = others.map(|now| (&DETECTORS[now.detector], now.place.clone())).collect();
        for (detector, place) in others {
            self.residuals.remove(&(Name::from(detector.name), place.clone()));
            self.close(detector, &FindingKey::of_place(detector, place), time, effects);
        }
    }

    /// Thermal resistances of GPUs: of each tray against the others, and of the rack.
    pub(super) fn look_at_resistances(&mut self, end: EventTime, effects: &mut Effects) {
        for number in 0..self.layout.resistances.len() {
            let rack = &self.layout.resistances[number];
            let place = rack.place.clone();
            let of_trays = self.tray_resistances(rack, end);
            let known: Vec<f64> = of_trays.iter().filter_map(|(_, resistance)| *resistance).collect();
            let Some(of_rack) = median(&mut known.clone()) else { continue };
            // Of slow feeds no block may have ended: what was seen before is not seen twice.
            let Some(start) = self.begin_of_new(rack, end) else { continue };
            let block = (start, end);
            // Trays of which nobody tells the power are compared with nothing: their loads differ by more than a fault.
            let has_power = rack.trays.iter().flat_map(|(_, gpus)| gpus).all(|(_, power)| power.is_some());
            for (tray, resistance) in of_trays.into_iter().filter(|_| has_power) {
                let Some(resistance) = resistance.filter(|_| PEERS_MINIMUM < known.len()) else { continue };
                let value = resistance - median_without(&known, resistance);
                let residual = Residual { value, regressor: None };
                self.observe_resistance(&Source::TrayResistance, tray, residual, block, effects);
            }
            let residual = Residual { value: of_rack, regressor: None };
            self.observe_resistance(&Source::RackResistance, place, residual, block, effects);
        }
    }

    /// When the block began that ends now of a GPU's temperature.
    fn begin_of_new(&self, rack: &Resistances, end: EventTime) -> Option<EventTime> {
        let temperatures = rack.trays.iter().flat_map(|(_, gpus)| gpus).map(|(temperature, _)| *temperature);
        temperatures
            .filter_map(|number| new_block(&self.series[number as usize], end))
            .map(|block| block.start)
            .min()
    }

    /// ln of the median resistance of each tray's GPUs, K/kW, where it is known.
    fn tray_resistances(&self, rack: &Resistances, end: EventTime) -> Vec<(Place, Option<f64>)> {
        let mean = |number: u32| current_block(&self.series[number as usize], end).map(|block| block.mean);
        let mean_of = |numbers: &[u32]| {
            median(&mut numbers.iter().filter_map(|number| mean(*number)).collect::<Vec<_>>())
        };
        let supply = mean_of(&rack.supply);
        let gpus: usize = rack.trays.iter().map(|(_, gpus)| gpus.len()).sum();
        let share = mean_of(&rack.power).map(|kilowatts| kilowatts / gpus as f64);
        let of_gpu = |(temperature, power): (u32, Option<u32>)| {
            let kilowatts = match power {
                Some(power) => mean(power)? / 1_000.0,
                None => share?,
            };
            let rise = mean(temperature)? - supply?;
            (rise > 0.0 && kilowatts > 0.0).then(|| libm::log(rise / kilowatts))
        };
        let of_tray = |(place, gpus): &(Place, Vec<(u32, Option<u32>)>)| {
            let mut known: Vec<f64> = gpus.iter().filter_map(|gpu| of_gpu(*gpu)).collect();
            (place.clone(), median(&mut known))
        };
        rack.trays.iter().map(of_tray).collect()
    }

    fn observe_resistance(
        &mut self,
        source: &Source,
        place: Place,
        residual: Residual,
        block: (EventTime, EventTime),
        effects: &mut Effects,
    ) {
        for detector in DETECTORS {
            if let Rule::Residual(rule) = &detector.rule
                && std::mem::discriminant(&rule.source) == std::mem::discriminant(source)
            {
                self.observe_residual(detector, rule, place.clone(), residual, block, effects);
            }
        }
    }

    /// Lets a detector see a block's residual, if its gate is open.
    fn observe_residual(
        &mut self,
        detector: &Detector,
        rule: &ResidualRule,
        place: Place,
        residual: Residual,
        block: (EventTime, EventTime),
        effects: &mut Effects,
    ) {
        if !self.is_open(rule.gate, &place) {
            effects.count(Counter::Gated, 1);
            return;
        }
        let is_clean = !self.findings.is_faulty(&place);
        let state = self.residuals.entry((Name::from(detector.name), place.clone())).or_default();
        if let Some(change) = state.observe(rule, residual, block, is_clean) {
            self.tell_residual(detector, rule, place, change, block.1, effects);
        }
    }

    fn tell_residual(
        &mut self,
        detector: &Detector,
        rule: &ResidualRule,
        place: Place,
        change: Change,
        end: EventTime,
        effects: &mut Effects,
    ) {
        let key = FindingKey::of_place(detector, place.clone());
        let onset = match change {
            Change::Over => return self.close(detector, &key, end, effects),
            Change::Alarm { onset } => onset,
        };
        let suspects = if detector.cause == Cause::Sensor { self.suspects(&place) } else { Vec::new() };
        let Some(state) = self.residuals.get(&(Name::from(detector.name), place)) else { return };
        let mut evidence = evidence_of(state, rule, end);
        if !suspects.is_empty() {
            evidence.insert("suspects".into(), suspects.join(", ").into());
        }
        let anomaly = Anomaly {
            residual: state.value,
            baseline: state.baseline.map(|baseline| baseline.mean),
            threshold: Some(rule.relevance),
            unit: rule.unit.into(),
            confidence: (state.shift.abs() / rule.relevance / 2.0).clamp(0.5, 1.0),
            ..Anomaly::direct(detector, key, onset, end, evidence)
        };
        self.open(detector, anomaly, effects);
    }

    /// The signals whose sensor explains best which residuals of a rack or loop have moved.
    pub(super) fn suspects(&self, place: &Place) -> Vec<&'static str> {
        incidence::suspects(place.rack.is_none(), |name| Some(self.shift_of(name, place)?.1))
    }

    /// Block means of some inputs, each the median of the sensors that can be believed, and where their block begins.
    /// None while one is missing, or when no block of them ends now.
    fn means_of(&self, inputs: &[Vec<u32>], end: EventTime) -> Option<(Vec<f64>, EventTime)> {
        let mut start = end;
        let mut is_new = false;
        let mut means = Vec::with_capacity(inputs.len());
        for sensors in inputs {
            let mut known = Vec::with_capacity(sensors.len());
            for number in sensors {
                if let Some(block) = current_block(&self.series[*number as usize], end) {
                    start = start.min(block.start);
                    is_new |= block.end() == end;
                    known.push(block.mean);
                }
            }
            means.push(median(&mut known)?);
        }
        is_new.then_some((means, start))
    }

    /// Whether what this gate lets through means something at a place now.
    pub(super) fn is_open(&self, gate: Gate, place: &Place) -> bool {
        let steady = match &place.rack {
            Some(rack) => self.racks.get(rack).map(|rack| &rack.steady),
            None => Some(&self.steady),
        };
        let is_steady = || steady.is_some_and(|steady| steady.is_steady()) && !self.valve.is_unsettled();
        match gate {
            Gate::Always => true,
            Gate::Steady => is_steady(),
            Gate::SteadyAndBusy => is_steady() && steady.is_some_and(|steady| steady.is_busy()),
        }
    }
}

/// The median of values without one of them.
fn median_without(values: &[f64], one: f64) -> f64 {
    let mut others: Vec<f64> = values.to_vec();
    if let Some(at) = others.iter().position(|value| *value == one) {
        others.swap_remove(at);
    }
    median(&mut others).unwrap_or(one)
}

/// Heat capacity of the coolant at a place, MJ/(m³·K): the site file's, else that of 25 % propylene glycol.
pub(super) fn heat_capacity(place: &Place, environment: Environment<'_>) -> f64 {
    let site = &environment.in_force.site;
    let of_rack = place.rack.as_ref().and_then(|rack| site.rack(rack)).map(|rack| rack.heat_capacity);
    let of_loop = || {
        let cooling_loop = place.cooling_loop.as_ref().and_then(|name| site.coolant_loop(name));
        cooling_loop.map(|cooling_loop| cooling_loop.heat_capacity)
    };
    of_rack.or_else(of_loop).unwrap_or(Coolant::default().heat_capacity())
}

fn evidence_of(state: &ResidualState, rule: &ResidualRule, end: EventTime) -> Labels {
    let (statistic, threshold) = state.statistic(rule.side);
    let mut evidence = Labels::new();
    let mut note = |name: &str, text: String| evidence.insert(name.into(), text.into());
    note("statistic", format!("{statistic:.2}"));
    note("statistic_threshold", format!("{threshold:.2}"));
    note("shift", format!("{:.4}", state.shift));
    note("clears", format!("when the shift falls below {}", rule.relevance / 2.0));
    if let Some(baseline) = state.baseline {
        let (from, to) = baseline.taken;
        note("baseline_mean", format!("{:.4}", baseline.mean));
        note("baseline_deviation", format!("{:.4}", baseline.deviation));
        note("baseline_from", from.to_string());
        note("baseline_to", to.to_string());
        note("baseline_age", Microseconds::from_seconds((end - to).0 / 1_000_000).to_string());
    }
    evidence
}
