//! At the end of a block: what the racks are compared by.

use telemetry::facts::Metric;
use telemetry::formula::heat_kw;
use telemetry::{EventTime, Name, median};

use super::blocks::{believed_block, current_block};
use super::residuals::heat_capacity;
use super::{Environment, Partition};
use crate::block::BLOCK;
use crate::comparison::{ExchangerMeans, RackBlock, logarithm};
use crate::effect::Effects;
use crate::layout::ComparedSeries;
use crate::objective::{Level, Objective, Promise};
use crate::rack::RackState;
use crate::rows;
use crate::run::Run;
use crate::series::Series;
use crate::settling::BurstOutcome;

/// Share of a rack's GPUs that must be known, in per cent: the median of fewer is another one.
const GPUS_KNOWN_MINIMUM: usize = 90;

impl Partition {
    /// Notes the block that ends at `end` on each rack.
    pub(super) fn note_comparison(&mut self, end: EventTime, environment: Environment<'_>) {
        let is_settled = !self.valve.is_unsettled();
        let is_steady = |(rack, state): (&Name, &RackState)| {
            let series = self.layout.racks.get(rack);
            state.steady.is_steady() || series.is_none_or(|series| series.compared.power.is_empty())
        };
        // The exchanger serves all racks of the loop: a step of any of them disturbs it.
        let is_loop_steady = is_settled && self.racks.iter().all(is_steady);
        let conductance = if is_loop_steady { self.exchanger_conductance(end, environment) } else { None };
        let head = if is_loop_steady { self.pump_head(end) } else { None };
        let Self { racks, layout, series, .. } = self;
        for (rack, state) in racks {
            let Some(compared) = layout.racks.get(rack).map(|series| &series.compared) else { continue };
            let is_worked_on = state.maintenance.is_some_and(|work| work.touches(end - BLOCK, end));
            let capacity = heat_capacity(&state.place, environment);
            let block = (!is_worked_on).then(|| {
                let mut block = compared_block(compared, series, end, capacity);
                let declared = environment.in_force.site.rack(rack).and_then(|rack| rack.nominal_power);
                block.is_steady = is_settled && state.steady.is_steady();
                block.load = block
                    .power
                    .zip(state.nominal_power(declared))
                    .and_then(|(power, nominal)| (nominal > 0.0).then(|| power / nominal));
                block.logarithms[Metric::ExchangerConductance as usize] = conductance;
                block.logarithms[Metric::PumpHead as usize] = head;
                block
            });
            state.comparison.observe(end, block.as_ref());
        }
    }

    /// Tells what has become of bursts of load, and notes those of a rack that have settled. One objective is compared by:
    /// the first that promises it of racks.
    pub(super) fn tell_bursts(
        &mut self,
        group: usize,
        objective: &Objective,
        end: EventTime,
        environment: Environment<'_>,
        effects: &mut Effects,
    ) {
        let news = std::mem::take(&mut self.groups[group].news);
        for burst in &news {
            effects.push(rows::recovery(&objective.name, &self.groups[group].place, end, burst));
        }
        let Some(rack) = self.groups[group].place.rack.clone().filter(|_| !news.is_empty()) else { return };
        let is_of_racks = |objective: &&Objective| {
            matches!(objective.promise, Promise::RecoveryTime(_)) && objective.group_by == Level::Rack
        };
        let first = environment.in_force.objectives.iter().find(is_of_racks);
        if first.is_none_or(|first| first.hash != objective.hash) {
            return;
        }
        let Some(state) = self.racks.get_mut(&rack) else { return };
        for burst in news {
            match burst.what {
                BurstOutcome::Within(length) | BurstOutcome::LateSettled(length) => {
                    state.comparison.note_settled(&objective.hash, burst.from, length);
                }
                // Told again once it is over.
                BurstOutcome::Late(_) | BurstOutcome::Censored | BurstOutcome::Unknown => {}
            }
        }
    }

    /// A run's data is here: its racks remember what it was like.
    pub(super) fn remember_run(&mut self, run: &Run, end: EventTime, environment: Environment<'_>) {
        for rack in &run.facts.racks {
            let Some(state) = self.racks.get_mut(rack) else { continue };
            let sku = sku_of(rack, environment);
            let cooling_loop = state.place.cooling_loop.clone();
            state.comparison.end_run(&run.facts, end, sku, cooling_loop.as_ref());
        }
    }

    /// ln of the head of the loop's only pump, at full speed by the affinity law; kPa. Of several that take turns nobody
    /// can tell which one got worse.
    fn pump_head(&self, end: EventTime) -> Option<f64> {
        let [head, speed] = &self.layout.pump;
        let (head, speed) = (mean_of(&self.series, head, end)?, mean_of(&self.series, speed, end)? / 100.0);
        logarithm(head / (speed * speed))
    }

    fn exchanger_conductance(&self, end: EventTime, environment: Environment<'_>) -> Option<f64> {
        let place = self.layout.places().find(|place| place.cooling_loop.is_some())?;
        let cooling_loop = environment.in_force.site.coolant_loop(place.cooling_loop.as_ref()?)?;
        let mean = |numbers: &[u32]| mean_of(&self.series, numbers, end);
        let [supply, warm, flow, facility_supply, facility_return, facility_flow] = &self.layout.exchanger;
        ExchangerMeans {
            supply_celsius: mean(supply)?,
            return_celsius: mean(warm)?,
            flow: mean(flow)?,
            facility_supply_celsius: mean(facility_supply)?,
            facility_return_celsius: mean(facility_return)?,
            facility_flow: mean(facility_flow)?,
            heat_capacity: cooling_loop.heat_capacity,
            nominal_flow: cooling_loop.nominal_flow?,
        }
        .logarithm()
    }
}

/// The hash of a rack's bill of materials, where the site file names the rack.
pub(super) fn sku_of<'a>(rack: &str, environment: Environment<'a>) -> Option<&'a Name> {
    environment.in_force.site.rack(rack).map(|rack| &rack.bill_of_materials)
}

/// What is known of a rack's block, but for its load and its loop.
fn compared_block(
    compared: &ComparedSeries,
    series: &[Series],
    end: EventTime,
    heat_capacity: f64,
) -> RackBlock {
    let mean = |numbers: &[u32]| mean_of(series, numbers, end);
    let power = mean(&compared.power);
    let (supply, flow) = (mean(&compared.supply), mean(&compared.flow));
    let resistance = supply.and_then(|supply| thermal_resistance(compared, series, end, supply));
    let hydraulic = mean(&compared.differential_pressure)
        .zip(flow)
        .and_then(|(pressure, flow)| logarithm(pressure / (flow * flow)));
    let balance = || {
        let heat = heat_kw(flow?, mean(&compared.warm)? - supply?, heat_capacity);
        logarithm(heat / power?)
    };
    let mut block = RackBlock {
        power,
        setpoint: mean(&compared.setpoint).or(supply),
        ambient: mean(&compared.ambient),
        throttled: throttled(compared, series, end),
        ..RackBlock::default()
    };
    for (metric, value) in Metric::ALL.into_iter().zip(&mut block.logarithms) {
        *value = match metric {
            Metric::ThermalResistance => resistance,
            Metric::HydraulicResistance => hydraulic,
            Metric::HeatBalance => balance(),
            Metric::ExchangerConductance | Metric::PumpHead | Metric::SettlingTime => None,
        };
    }
    block
}

/// ln of the median over GPUs of (T − T of the supply) / P.
fn thermal_resistance(
    compared: &ComparedSeries,
    series: &[Series],
    end: EventTime,
    supply: f64,
) -> Option<f64> {
    let ratio = |(temperature, power): &(Vec<u32>, Vec<u32>)| {
        let (temperature, power) = (mean_of(series, temperature, end)?, mean_of(series, power, end)?);
        (power > 0.0).then(|| (temperature - supply) / power)
    };
    let mut known: Vec<f64> = compared.gpus.iter().filter_map(ratio).collect();
    if known.len() * 100 < compared.gpus.len() * GPUS_KNOWN_MINIMUM {
        return None;
    }
    median(&mut known).and_then(logarithm)
}

/// The longest rise of a GPU's counter of thermal throttling in this block, s. One that falls was reset.
pub(super) fn throttled(compared: &ComparedSeries, series: &[Series], end: EventTime) -> f64 {
    let rises = compared.throttle.iter().filter_map(|number| {
        let block = current_block(&series[*number as usize], end).filter(|block| block.end() == end)?;
        (block.maximum <= block.last).then_some(block.last - block.minimum)
    });
    rises.fold(0.0, f64::max)
}

/// The median of the sensors that can be believed.
pub(super) fn mean_of(series: &[Series], numbers: &[u32], end: EventTime) -> Option<f64> {
    let mut means: Vec<f64> = numbers
        .iter()
        .filter_map(|number| Some(believed_block(&series[*number as usize], end)?.mean))
        .collect();
    median(&mut means)
}
