//! At the end of a block: blocks are told, detectors look at them, recovery and load are measured.

use std::collections::BTreeMap;

use telemetry::facts::{Severity, UnknownReason};
use telemetry::place::Place;
use telemetry::table::Block;
use telemetry::{EventTime, Microseconds, median};

use super::{Environment, Partition};
use crate::block::{BLOCK, ClosedBlock};
use crate::effect::{Effect, Effects};
use crate::finding::Outlet;
use crate::recovery::CHANNELS;
use crate::series::Series;
use crate::slice::Spans;

/// Coverage of the last hour is looked at this often.
const COVERAGE_EVERY: Microseconds = Microseconds::from_minutes(5);
/// Power that is taken for nominal until any is known, kW.
const NOMINAL_UNKNOWN: f64 = f64::INFINITY;
/// What a sum of blocks begins with.
const NOTHING: ClosedBlock = ClosedBlock {
    start: EventTime::MINIMUM,
    length: BLOCK,
    mean: 0.0,
    minimum: 0.0,
    maximum: 0.0,
    last: 0.0,
    known: Microseconds::ZERO,
    count: 0,
};

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
        self.end_maintenance(end, effects);
        self.note_load(end, environment);
        // In the order of the table: what explains others speaks before them.
        self.look_at_controls(end, effects);
        self.look_for_noise(end, effects);
        self.look_at_residuals(end, environment, effects);
        self.look_at_resistances(end, effects);
        self.look_at_soaks(end, environment, effects);
        self.look_at_envelopes(end, environment, effects);
        self.update_flows(end, effects);
        self.forget_calibrated(end, effects);
        self.review_trust(end, effects);
        self.look_at_watches(end, environment, effects);
        self.note_recovery(end);
        self.note_comparison(end, environment);
        self.note_headroom(end, environment, effects);
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

    /// Within a block: what fast feeds have said so far goes into their blocks and is forgotten, where nobody looks at
    /// single readings any more.
    pub(super) fn tidy(&mut self, to: EventTime) {
        for (series, is_looked_back) in self.series.iter_mut().zip(&self.layout.looked_back) {
            if !is_looked_back {
                series.tidy(to);
            }
        }
    }

    /// Baselines of parts that people have worked on start anew.
    fn end_maintenance(&mut self, end: EventTime, effects: &mut Effects) {
        let mut touched = Vec::new();
        for state in self.racks.values_mut() {
            if let Some(work) = state.maintenance.as_mut().filter(|work| !work.is_over && work.until <= end) {
                work.is_over = true;
                touched.push(state.place.clone());
                state.comparison.forget();
                state.headroom.forget();
            }
        }
        for place in touched {
            self.forget_baselines(&place, end, effects);
        }
    }

    /// Whether the racks' power rests, and whether the loop's valve does.
    fn note_load(&mut self, end: EventTime, environment: Environment<'_>) {
        // Of all racks, while the power of each is known.
        let mut together = (!self.racks.is_empty()).then_some((NOTHING, 0.0));
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
            together = together.zip(power).map(|((sum, nominals), power)| {
                let sum = ClosedBlock {
                    mean: sum.mean + power.mean,
                    minimum: sum.minimum + power.minimum,
                    maximum: sum.maximum + power.maximum,
                    ..power
                };
                (sum, nominals + nominal)
            });
        }
        self.steady.observe(
            together.as_ref().map(|(sum, _)| sum),
            together.map_or(NOMINAL_UNKNOWN, |(_, nominals)| nominals),
        );
        let valves = self.layout.valves.iter();
        let widest = valves
            .filter_map(|number| current_block(&self.series[*number as usize], end))
            .max_by(|one, other| (one.maximum - one.minimum).total_cmp(&(other.maximum - other.minimum)));
        self.valve.observe(widest.as_ref());
    }

    fn note_recovery(&mut self, end: EventTime) {
        let Self { racks, layout, series, .. } = self;
        let mean = |numbers: &[u32]| {
            let mut means: Vec<f64> = numbers
                .iter()
                .filter_map(|number| Some(believed_block(&series[*number as usize], end)?.mean))
                .collect();
            median(&mut means)
        };
        for (rack, state) in racks {
            let Some(of_rack) = layout.racks.get(rack) else { continue };
            let means = std::array::from_fn(|channel| {
                let numbers = &of_rack.recovery[channel];
                let blocks =
                    numbers.iter().map(|number| Some(believed_block(&series[*number as usize], end)?.mean));
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

/// The same of a sensor that no balance blames alone. Balances themselves go on with all sensors: one that is left out
/// would close the balance that has found it.
pub(super) fn believed_block(series: &Series, end: EventTime) -> Option<ClosedBlock> {
    current_block(series, end).filter(|_| series.is_believed())
}

/// The same as the first, when it is closed just now: seen once, however long it stays in force.
pub(super) fn new_block(series: &Series, end: EventTime) -> Option<ClosedBlock> {
    current_block(series, end).filter(|block| block.end() == end)
}

/// The smallest or largest of values that are all known.
fn extreme(values: impl Iterator<Item = Option<f64>>, pick: fn(f64, f64) -> f64) -> Option<f64> {
    values.reduce(|one, other| Some(pick(one?, other?))).flatten()
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
