//! At the end of a block: blocks are told, residuals looked at, recovery and load measured.

use std::collections::BTreeMap;

use telemetry::facts::{Severity, UnknownReason};
use telemetry::formula::Coolant;
use telemetry::place::Place;
use telemetry::table::Block;
use telemetry::{EventTime, Labels, Microseconds, Name};

use super::{Environment, Partition};
use crate::block::{BLOCK, ClosedBlock};
use crate::detectors::residual::{Change, ResidualState};
use crate::detectors::{DETECTORS, Detector, Gate, Inputs, ResidualRule, Rule};
use crate::effect::{Counter, Effect, Effects};
use crate::finding::{Anomaly, FindingKey, Outlet};
use crate::recovery::CHANNELS;
use crate::series::Series;
use crate::slice::Spans;
use crate::trend::median;

/// Coverage of the last hour is looked at this often.
const COVERAGE_EVERY: Microseconds = Microseconds::from_minutes(5);
/// Power that is taken for nominal until any is known, kW.
const NOMINAL_UNKNOWN: f64 = f64::INFINITY;

impl Partition {
    /// Closes all blocks that end at `end`, a multiple of 60 s.
    pub(super) fn close_blocks(
        &mut self,
        end: EventTime,
        environment: Environment<'_>,
        effects: &mut Effects,
    ) {
        self.settle(0..u32::try_from(self.series.len()).unwrap_or(u32::MAX), end);
        self.take_events(end, effects);
        for (number, series) in (0..).zip(&mut self.series) {
            series.integrate(end);
            if let Some(block) = series.close_block(end) {
                effects.push(Effect::Block(Block {
                    partition: self.id,
                    series: telemetry::record::SeriesId(number),
                    time: block.start,
                    mean: block.mean,
                    minimum: block.minimum,
                    maximum: block.maximum,
                    last: block.last,
                    known: block.known,
                    count: block.count,
                }));
            }
        }
        self.end_maintenance(end);
        self.note_load(end, environment);
        self.look_at_residuals(end, environment, effects);
        self.update_flows(end, effects);
        self.note_recovery(end);
        self.note_comparison(end, environment);
        self.measure(end, environment);
        if end.window_start(COVERAGE_EVERY) == end {
            self.look_for_low_coverage(end, effects);
        }
        let keep_from = end.window_start(self.layout.longest_slice);
        self.series.iter_mut().for_each(|series| series.forget_before(keep_from));
        let Self { findings, alerts, racks, .. } = self;
        let suppressed = |place: &Place| Self::suppressed(racks, place, end);
        findings.tell_again(end, &mut Outlet { alerts, effects, suppressed: &suppressed });
    }

    /// Baselines of parts that people have worked on start anew.
    fn end_maintenance(&mut self, end: EventTime) {
        let mut touched = Vec::new();
        for state in self.racks.values_mut() {
            if let Some(work) = state.maintenance.as_mut().filter(|work| !work.is_over && work.until <= end) {
                work.is_over = true;
                touched.push(state.place.clone());
                state.comparison.forget();
            }
        }
        for place in touched {
            self.forget_baselines(&place);
        }
    }

    /// Whether the racks' power rests, and whether the loop's valve does.
    fn note_load(&mut self, end: EventTime, environment: Environment<'_>) {
        for (rack, state) in &mut self.racks {
            let Some(layout) = self.layout.racks.get(rack) else { continue };
            let power = layout.power.operands[0]
                .series
                .iter()
                .find_map(|number| current_block(&self.series[*number as usize], end));
            state.note_power(power.map(|block| block.mean));
            let declared = environment.in_force.site.rack(rack).and_then(|rack| rack.nominal_power);
            let nominal = state.nominal_power(declared).unwrap_or(NOMINAL_UNKNOWN);
            state.steady.observe(power.as_ref(), nominal);
        }
        let valves = self.layout.valves.iter();
        let widest = valves
            .filter_map(|number| current_block(&self.series[*number as usize], end))
            .max_by(|one, other| (one.maximum - one.minimum).total_cmp(&(other.maximum - other.minimum)));
        self.valve.observe(widest.as_ref());
    }

    fn look_at_residuals(&mut self, end: EventTime, environment: Environment<'_>, effects: &mut Effects) {
        let mut gated = 0;
        for number in 0..self.layout.components.len() {
            let component = &self.layout.components[number];
            let detector = &DETECTORS[component.detector];
            let Rule::Residual(rule) = &detector.rule else { continue };
            let place = component.place.clone();
            let Some((means, start)) = self.means_of(&component.inputs, end) else { continue };
            if !self.is_open(rule.gate, &place) {
                gated += 1;
                continue;
            }
            let inputs = Inputs { means: &means, heat_capacity: heat_capacity(&place, environment) };
            let Some(residual) = (rule.residual)(&inputs) else { continue };
            let is_clean = !self.findings.iter().any(|finding| touches(&finding.place, &place));
            let key = (Name::from(detector.name), place.clone());
            let state = self.residuals.entry(key).or_default();
            let change = state.observe(rule, residual, (start, end), is_clean);
            let Some(change) = change else { continue };
            self.tell_residual(detector, rule, place, change, end, effects);
        }
        effects.count(Counter::Gated, gated);
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
        let Self { findings, alerts, racks, residuals, .. } = self;
        let Some(state) = residuals.get(&(Name::from(detector.name), place)) else { return };
        let suppressed = |place: &Place| Self::suppressed(racks, place, end);
        let mut outlet = Outlet { alerts, effects, suppressed: &suppressed };
        match change {
            Change::Over => findings.close(detector, &key, end, &mut outlet),
            Change::Alarm { onset } => {
                let baseline = state.baseline;
                let anomaly = Anomaly {
                    residual: state.value,
                    baseline: baseline.map(|baseline| baseline.mean),
                    threshold: Some(rule.relevance),
                    unit: rule.unit.into(),
                    confidence: (state.shift.abs() / rule.relevance / 2.0).clamp(0.5, 1.0),
                    ..Anomaly::direct(detector, key, onset, end, evidence_of(state, end))
                };
                findings.open(detector, anomaly, &mut outlet);
            }
        }
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

    fn is_open(&self, gate: Gate, place: &Place) -> bool {
        match gate {
            Gate::Always => true,
            Gate::Steady => {
                let rack = place.rack.as_ref().and_then(|rack| self.racks.get(rack));
                rack.is_some_and(|rack| rack.steady.is_steady()) && !self.valve.is_unsettled()
            }
        }
    }

    fn note_recovery(&mut self, end: EventTime) {
        let Self { racks, layout, series, .. } = self;
        let mean = |numbers: &[u32]| {
            let mut means: Vec<f64> = numbers
                .iter()
                .filter_map(|number| Some(current_block(&series[*number as usize], end)?.mean))
                .collect();
            median(&mut means)
        };
        for (rack, state) in racks {
            let Some(of_rack) = layout.racks.get(rack) else { continue };
            let means = std::array::from_fn(|channel| {
                let numbers = &of_rack.recovery[channel];
                let blocks =
                    numbers.iter().map(|number| Some(current_block(&series[*number as usize], end)?.mean));
                match CHANNELS[channel].signal {
                    // The hottest GPU counts, and only when all are known.
                    "gpu_temperature_margin" if !numbers.is_empty() => extreme(blocks, f64::min),
                    "gpu_temperature" if !numbers.is_empty() => extreme(blocks, f64::max),
                    "coolant_delta_t" if numbers.is_empty() => {
                        let [supply, warm] = &of_rack.supply_and_return;
                        Some(mean(warm)? - mean(supply)?)
                    }
                    _ => mean(numbers),
                }
            });
            state.recovery.observe(end, means);
        }
    }

    /// Measures the power that gates ask for, up to `to`.
    pub(super) fn measure(&mut self, to: EventTime, environment: Environment<'_>) {
        let Self { racks, layout, series, scratch, .. } = self;
        for (rack, state) in racks.iter_mut() {
            let Some(of_rack) = layout.racks.get(rack) else { continue };
            let first = of_rack.all.iter().filter_map(|number| series[*number as usize].first).min();
            let Some(from) = state.measured.or(first) else { continue };
            let to = state.measured_until.map_or(to, |end| end.min(to));
            if to <= from {
                continue;
            }
            state.measured = Some(to);
            let declared = environment.in_force.site.rack(rack).and_then(|rack| rack.nominal_power);
            let needs = &environment.in_force.power;
            let limits: Vec<Option<f64>> =
                needs.iter().map(|(_, limit)| state.limit(*limit, declared)).collect();
            if needs.is_empty() {
                continue;
            }
            let spans = Spans { expression: None, member: &of_rack.power, series, staleness_maximum: None };
            let measures: &mut BTreeMap<_, _> = &mut state.measures;
            spans.each(from, to, scratch, |start, end, power| {
                for ((name, _), limit) in needs.iter().zip(&limits) {
                    let power = if of_rack.power.operands[0].series.is_empty() {
                        Err(UnknownReason::NeverSeen)
                    } else {
                        power
                    };
                    measures.entry(name.clone()).or_default().add(end - start, power, *limit);
                }
            });
        }
    }
}

/// The block of a series that is in force at `end`: closed now, or the last one of a slow feed. None when too little
/// of it is known, or the sensor is not to be believed.
pub(super) fn current_block(series: &Series, end: EventTime) -> Option<ClosedBlock> {
    let block = series.last_block?;
    let is_current = end - block.end() < block.length.max(BLOCK);
    (is_current && block.is_valid() && series.fault.is_none()).then_some(block)
}

/// The smallest or largest of values that are all known.
fn extreme(values: impl Iterator<Item = Option<f64>>, pick: fn(f64, f64) -> f64) -> Option<f64> {
    values.reduce(|one, other| Some(pick(one?, other?))).flatten()
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

/// Whether one of two places is a part of the other, loops and their racks included.
fn touches(one: &Place, other: &Place) -> bool {
    crate::plan::is_within(one, other) || crate::plan::is_within(other, one)
}

fn evidence_of(state: &ResidualState, end: EventTime) -> Labels {
    let (statistic, threshold) = state.statistic();
    let mut evidence = Labels::new();
    let mut note = |name: &str, text: String| evidence.insert(name.into(), text.into());
    note("statistic", format!("{statistic:.2}"));
    note("statistic_threshold", format!("{threshold:.2}"));
    note("shift", format!("{:.4}", state.shift));
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

/// Severity of a share of known time; none above 95 %.
pub(super) fn severity_of_coverage(share: crate::coverage::Share) -> Option<Severity> {
    if share.is_below(80) {
        Some(Severity::Critical)
    } else if share.is_below(95) {
        Some(Severity::Warning)
    } else {
        None
    }
}
