//! At the end of a block: how much power the racks can sustain.

use telemetry::facts::{Ambient, Cause, Constraint, Headroom, SustainablePower};
use telemetry::place::Place;
use telemetry::{EventTime, Name};

use super::comparing::{mean_of, throttled};
use super::residuals::heat_capacity;
use super::{Environment, Partition};
use crate::block::BLOCK;
use crate::effect::Effects;
use crate::headroom::{LoopBlock, LoopView, ROWS_EVERY, RackBlock, RackSeries, RackView, part_of};
use crate::layout::ComparedSeries;
use crate::rack::RackState;
use crate::rows;
use crate::series::Series;

/// Detectors of missing readings: what is missing teaches nothing, and spoils nothing.
const OF_FEEDS: &[&str] = &["gap", "stale", "skew", "coverage_low"];

impl Partition {
    /// Learns from the block that ends at `end`, and says what each rack can sustain.
    pub(super) fn note_headroom(
        &mut self,
        end: EventTime,
        environment: Environment<'_>,
        effects: &mut Effects,
    ) {
        let is_settled = !self.valve.is_unsettled();
        let is_loop_doubted = self.is_doubted(None);
        let doubted: Vec<bool> = self.racks.keys().map(|rack| self.is_doubted(Some(rack))).collect();
        let (cdu, design_water, nominal) = self.note_loop(end, is_settled && !is_loop_doubted, environment);
        let Self { racks, layout, series, .. } = self;
        for ((rack, state), is_doubted) in racks.iter_mut().zip(doubted) {
            let Some(of_rack) = layout.racks.get(rack) else { continue };
            let mut block = rack_block(&of_rack.headroom, series, end);
            block.is_telling = is_settled
                && !is_doubted
                && !is_loop_doubted
                && may_learn(state, &of_rack.compared, series, end);
            state.headroom.observe(end, &block);
            let limits = environment.in_force.site.rack(rack).map(|rack| &rack.limits);
            let limit = |signal: &str| limits.and_then(|limits| limits.get(signal)).copied();
            let share = state.steady.nominal.zip(nominal).map(|(own, all)| own / all);
            let view = RackView {
                now: end,
                nominal: state.steady.nominal,
                gpu_limit: limit("gpu_temperature"),
                return_limit: limit("coolant_return_temperature"),
                rise_limit: limit("coolant_delta_t"),
                exhaust_limit: limit("air_exhaust_temperature"),
                is_doubted,
                is_loop_doubted,
                cdu: cdu.each_ref().map(|whole| part_of(whole, share)),
                design_water,
            };
            let before = state.headroom.latest.as_ref().map(bindings);
            let headroom = state.headroom.find(&of_rack.headroom, &view);
            let is_other = before.is_some_and(|before| before != bindings(headroom));
            if headroom.applies() && (is_other || end.window_start(ROWS_EVERY) == end) {
                effects.extend(rows::headroom(rack, headroom));
            }
        }
    }

    /// Lets the loop learn; answers what its exchanger can take for all racks together, now and at design ambient, the
    /// water of the latter, and the nominal power of all racks.
    fn note_loop(
        &mut self,
        end: EventTime,
        is_settled: bool,
        environment: Environment<'_>,
    ) -> ([SustainablePower; 2], Option<f64>, Option<f64>) {
        let place = self.layout.places().find(|place| place.cooling_loop.is_some());
        let place = place.map(|place| Place { rack: None, node: None, device: None, ..place.clone() });
        let Some(place) = place.filter(|_| !self.racks.is_empty()) else {
            let none = SustainablePower::NotApplicable { missing: vec!["a coolant loop".into()] };
            return ([none.clone(), none], None, None);
        };
        let of_loop = &self.layout.headroom;
        let mean = |numbers: &[u32]| mean_of(&self.series, numbers, end);
        let of_racks =
            || self.racks.keys().map(|rack| self.layout.racks.get(rack).map(|series| &series.headroom));
        let power =
            of_racks().map(|series| mean(&series?.power)).try_fold(0.0, |sum, power| Some(sum + power?));
        let nominals = self.racks.values().map(|state| state.steady.nominal);
        let nominal = nominals.into_iter().try_fold(0.0, |sum, nominal| Some(sum + nominal?));
        let has_power = of_racks().all(|series| series.is_some_and(|series| !series.power.is_empty()));
        let block = LoopBlock {
            is_steady: is_settled && self.steady.is_steady(),
            power,
            nominal,
            supply: mean(&of_loop.supply),
            setpoint: mean(&of_loop.setpoint),
            warm: mean(&of_loop.warm),
            flow: mean(&of_loop.flow),
            valve: mean(&of_loop.valve),
            water: mean(&of_loop.water),
            water_return: mean(&of_loop.water_return),
            water_flow: mean(&of_loop.water_flow),
        };
        let heat_capacity = heat_capacity(&place, environment);
        let name = place.cooling_loop.as_ref();
        let site = name.and_then(|name| environment.in_force.site.coolant_loop(name));
        let view = LoopView {
            now: end,
            heat_capacity,
            design_water: site.and_then(|site| site.limits.get("facility_supply_temperature")).copied(),
            is_doubted: self.is_doubted(None),
        };
        self.headroom.observe(end, &block, heat_capacity);
        let cdu = Ambient::ALL
            .map(|ambient| self.headroom.capacity(&self.layout.headroom, has_power, &view, ambient));
        (cdu, self.headroom.design_water(&view), nominal)
    }

    /// Whether a finding says that a sensor of a rack, or of the loop itself, does not tell the truth. Those of single GPUs
    /// are looked after by their own lines.
    fn is_doubted(&self, rack: Option<&Name>) -> bool {
        self.findings.iter().any(|finding| {
            finding.cause == Cause::Sensor
                && !OF_FEEDS.contains(&&*finding.detector)
                && finding.place.rack.as_ref() == rack
                && finding.place.node.is_none()
                && (finding.place.device.is_none() || rack.is_none())
        })
    }
}

/// The limits that bind, now and at design ambient.
fn bindings(headroom: &Headroom) -> [Option<Constraint>; 2] {
    Ambient::ALL.map(|ambient| headroom.binding(ambient).map(|(constraint, _)| constraint))
}

/// Whether a rack's block tells how it behaves: its load rests, nobody works on it, no GPU is slowed down by heat.
fn may_learn(state: &RackState, compared: &ComparedSeries, series: &[Series], end: EventTime) -> bool {
    state.steady.is_steady()
        && !state.maintenance.is_some_and(|work| work.touches(end - BLOCK, end))
        && throttled(compared, series, end) <= 0.0
}

fn rack_block<'a>(of_rack: &'a RackSeries, series: &[Series], end: EventTime) -> RackBlock<'a> {
    let mean = |numbers: &[u32]| mean_of(series, numbers, end);
    let gpus = of_rack.gpus.iter().map(|gpu| {
        let temperature = mean(&gpu.temperature);
        let limit = mean(&gpu.slowdown).or_else(|| Some(temperature? + mean(&gpu.margin)?));
        (&gpu.gpu, temperature, limit)
    });
    RackBlock {
        is_telling: false,
        power: mean(&of_rack.power),
        supply: mean(&of_rack.supply),
        setpoint: mean(&of_rack.setpoint),
        warm: mean(&of_rack.warm),
        flow: mean(&of_rack.flow),
        pump_speed: mean(&of_rack.pump_speed),
        inlet: mean(&of_rack.inlet),
        exhaust: mean(&of_rack.exhaust),
        door_outlet: mean(&of_rack.door_outlet),
        door_water: mean(&of_rack.door_water),
        door_valve: mean(&of_rack.door_valve),
        room_setpoint: mean(&of_rack.room_setpoint),
        gpus: gpus.collect(),
    }
}
