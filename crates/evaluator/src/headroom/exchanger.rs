//! What a loop's distribution unit can take: the conductance that its exchanger has now, with the facility's water that
//! an open valve lets through.
//!
//! Q = ε C_min (T_return − T_water) and Q = C (T_return − T_supply) give the heat at which an open valve still holds the
//! supply temperature: Q = ε C_min (T_supply − T_water) / (1 − ε C_min / C), with ε of a counter-flow exchanger by its
//! number of transfer units (Kays & London, Compact Heat Exchangers).

use serde::{Deserialize, Serialize};
use telemetry::facts::{Ambient, SustainablePower, UnknownReason};
use telemetry::formula::{Coolant, film_conductance, heat_kw, log_mean_difference};
use telemetry::{EventTime, Microseconds};

use super::line::{Line, Prior};
use super::quantiles::Quantiles;
use super::recent::Recent;
use super::{
    BLOCKS_MINIMUM, Estimate, FEW_BLOCKS, LEARNT_FOR, LoopSeries, NOT_FOLLOWED, NOW_FOR, OLD, STALE, WIDE,
    interval, missing, uncalibrated,
};

/// Below these an exchanger tells nothing: share of the nominal power, log mean temperature difference in K, opening of
/// the valve in %.
const LOAD_MINIMUM: f64 = 0.3;
const DIFFERENCE_MINIMUM: f64 = 1.0;
const VALVE_MINIMUM: f64 = 3.0;
/// The exchanger as it is now: blocks that its conductance, the heat's share and flows are taken over.
const CONDUCTANCE_BLOCKS: u32 = 60;
const SHARE_BLOCKS: u32 = 120;
const NOW_BLOCKS: u32 = 15;
/// A supply temperature closer than this to its set point is held there, K.
pub(super) const HELD: f64 = 0.5;
/// ln of the facility's flow by ln of the valve's opening: valves are between linear and equal-percentage ones.
const VALVE: Prior =
    Prior { offset: (0.0, f64::INFINITY), slope: (1.0, 0.75), scatter_floor: 0.01, off: (0.0, 0.15) };
/// Standard deviation of what the law leaves out, as a share: from the same model that the method was tried on.
const MODEL_ERROR: f64 = 0.03;
/// Standard deviation of a difference of two thermometers, K: offsets of ±.1 K each, evenly.
const THERMOMETERS: f64 = 0.08;

/// A block of the loop: what is known of it.
#[derive(Debug, Default, Clone, PartialEq)]
pub(crate) struct LoopBlock {
    /// Whether the loads of all racks rest and the valve does.
    pub is_steady: bool,
    /// Power and nominal power of all racks, kW.
    pub power: Option<f64>,
    pub nominal: Option<f64>,
    pub supply: Option<f64>,
    pub setpoint: Option<f64>,
    pub warm: Option<f64>,
    pub flow: Option<f64>,
    pub valve: Option<f64>,
    pub water: Option<f64>,
    pub water_return: Option<f64>,
    pub water_flow: Option<f64>,
}

/// What is learnt of a loop.
#[derive(Debug, Default, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct LoopHeadroom {
    /// ln of the conductance, kW/K, by that of its films.
    conductance: Recent,
    /// Log mean temperature difference that it was found at, K.
    difference: Recent,
    valve: Line,
    /// Heat in the coolant by electrical power.
    liquid_share: Recent,
    flow: Recent,
    supply: Recent,
    setpoint: Recent,
    water: Recent,
    water_seen: Quantiles,
}

/// What else decides of a loop's limit.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LoopView {
    pub now: EventTime,
    /// Volumetric heat capacity of the coolant, MJ/(m³·K).
    pub heat_capacity: f64,
    /// Facility water that the site file designs for, °C.
    pub design_water: Option<f64>,
    /// A sensor of the loop is doubted.
    pub is_doubted: bool,
}

/// What the open valve and the exchanger do, in numbers.
#[derive(Debug, Clone, Copy)]
struct Law {
    heat_capacity: f64,
    flow: f64,
    supply: f64,
    liquid_share: f64,
}

impl Law {
    /// Electrical power of all racks, kW.
    ///
    /// `conductance`: ln of the films' factor; `water_flow`: ln of L/min with an open valve; `water`: °C.
    fn power(&self, conductance: f64, water_flow: f64, water: f64) -> f64 {
        let water_flow = libm::exp(water_flow);
        let coolant_rate = heat_kw(self.flow, 1.0, self.heat_capacity);
        let water_rate = heat_kw(water_flow, 1.0, Coolant::Water.heat_capacity());
        let conductance = libm::exp(conductance) * film_conductance(self.flow, water_flow);
        let rate = counter_flow(conductance, coolant_rate, water_rate) * coolant_rate.min(water_rate);
        rate * (self.supply - water) / (1.0 - rate / coolant_rate) / self.liquid_share
    }
}

/// Effectiveness of a counter-flow exchanger: conductance and heat capacity rates in kW/K.
fn counter_flow(conductance: f64, one: f64, other: f64) -> f64 {
    let (smaller, larger) = (one.min(other), one.max(other));
    let (units, ratio) = (conductance / smaller, smaller / larger);
    if ratio > 1.0 - 1e-9 {
        return units / (1.0 + units);
    }
    let decay = libm::exp(-units * (1.0 - ratio));
    (1.0 - decay) / (1.0 - ratio * decay)
}

impl LoopHeadroom {
    /// Forgets what it has learnt of its parts: they were changed. The facility's water is what it is.
    pub(crate) fn forget(&mut self) {
        *self = Self { water_seen: std::mem::take(&mut self.water_seen), ..Self::default() };
    }

    /// Takes the block that ends at `end`.
    pub(crate) fn observe(&mut self, end: EventTime, block: &LoopBlock, heat_capacity: f64) {
        let note = |recent: &mut Recent, value: Option<f64>| {
            if let Some(value) = value {
                recent.add(end, value, NOW_BLOCKS);
            }
        };
        note(&mut self.supply, block.supply);
        note(&mut self.water, block.water);
        note(&mut self.flow, block.flow);
        if let Some(setpoint) = block.setpoint {
            self.setpoint.add(end, setpoint, 1);
        }
        if let Some(water) = block.water {
            self.water_seen.add(end, water);
        }
        if block.is_steady {
            self.learn(end, block, heat_capacity);
        }
    }

    fn learn(&mut self, end: EventTime, block: &LoopBlock, heat_capacity: f64) -> Option<()> {
        let (power, nominal) = (block.power?, block.nominal?);
        if power < LOAD_MINIMUM * nominal {
            return None;
        }
        let (supply, warm, flow) = (block.supply?, block.warm?, block.flow?);
        let heat = heat_kw(flow, warm - supply, heat_capacity);
        if heat <= 0.0 || power <= 0.0 {
            return None;
        }
        self.liquid_share.add(end, heat / power, SHARE_BLOCKS);
        let (water, water_return, water_flow) = (block.water?, block.water_return?, block.water_flow?);
        let valve = block.valve?;
        if valve < VALVE_MINIMUM || water_flow <= 0.0 {
            return None;
        }
        self.valve.add(&VALVE, end, libm::log(valve / 100.0), libm::log(water_flow));
        let difference = log_mean_difference(warm - water_return, supply - water)?;
        if difference < DIFFERENCE_MINIMUM {
            return None;
        }
        let conductance = heat / difference / film_conductance(flow, water_flow);
        self.conductance.add(end, libm::log(conductance), CONDUCTANCE_BLOCKS);
        self.difference.add(end, difference, CONDUCTANCE_BLOCKS);
        Some(())
    }

    /// Facility water at design ambient, °C.
    pub(crate) fn design_water(&self, view: &LoopView) -> Option<f64> {
        view.design_water.or_else(|| self.water_seen.quantile(99))
    }

    /// Power of all racks of the loop together that its exchanger can take.
    pub(crate) fn capacity(
        &self,
        series: &LoopSeries,
        has_power: bool,
        view: &LoopView,
        ambient: Ambient,
    ) -> SustainablePower {
        let needed = [
            ("rack_power of every rack", has_power),
            ("coolant_supply_temperature of the loop", !series.supply.is_empty()),
            ("coolant_return_temperature of the loop", !series.warm.is_empty()),
            ("coolant_supply_flow", !series.flow.is_empty()),
            ("valve_position", !series.valve.is_empty()),
            ("facility_supply_temperature", !series.water.is_empty()),
            ("facility_return_temperature", !series.water_return.is_empty()),
            ("facility_flow", !series.water_flow.is_empty()),
        ];
        if let Some(none) = missing(&needed) {
            return none;
        }
        if view.is_doubted {
            return interval(Err((UnknownReason::Distrusted, super::rack::DOUBTED)), MODEL_ERROR);
        }
        let water = match ambient {
            Ambient::Now => self.water.mean(view.now, NOW_FOR).ok_or((UnknownReason::Stale, STALE)),
            Ambient::Design => self
                .design_water(view)
                .ok_or((UnknownReason::WindowIncomplete, "facility water was seen for less than an hour")),
        };
        let power = water.and_then(|water| self.power(view, water));
        let mut known = interval(power, MODEL_ERROR);
        // Water that is warmer for one hour in twenty belongs to the uncertainty of what holds now.
        if let (Ambient::Now, SustainablePower::Known(now), Some(warm)) =
            (ambient, &mut known, self.water_seen.quantile(95))
            && let SustainablePower::Known(warm) = interval(self.power(view, warm), MODEL_ERROR)
        {
            now.lower = now.lower.min(warm.lower);
        }
        known
    }

    fn power(&self, view: &LoopView, water: f64) -> Estimate {
        if self.conductance.count() < BLOCKS_MINIMUM as u32 {
            return uncalibrated(FEW_BLOCKS);
        }
        self.valve.is_learnt(view.now, LEARNT_FOR)?;
        let stale = (UnknownReason::Stale, OLD);
        let conductance = self.conductance.mean(view.now, LEARNT_FOR).ok_or(stale)?;
        let liquid_share = self.liquid_share.mean(view.now, LEARNT_FOR).ok_or(stale)?;
        let flow = self.flow.mean(view.now, NOW_FOR).ok_or((UnknownReason::Stale, STALE))?;
        let supply =
            held_supply(&self.supply, &self.setpoint, view.now).ok_or((UnknownReason::Stale, STALE))?;
        let Some(fit) = self.valve.fit(&VALVE) else { return uncalibrated(NOT_FOLLOWED) };
        let (open, of_open) = fit.at_zero();
        let law = Law { heat_capacity: view.heat_capacity, flow, supply, liquid_share };
        let power = law.power(conductance, open, water);
        let difference = self.difference.mean(view.now, LEARNT_FOR).ok_or(stale)?;
        let of_difference = THERMOMETERS / difference;
        let parts = [
            law.power(conductance + self.conductance.deviation_of_mean(), open, water) - power,
            law.power(conductance + of_difference, open, water) - power,
            law.power(conductance, open + of_open, water) - power,
            power * self.liquid_share.deviation_of_mean() / liquid_share,
            power * THERMOMETERS / (supply - water),
        ];
        let deviation = parts.iter().map(|part| part * part).sum::<f64>().sqrt();
        if power.is_finite() && deviation.is_finite() {
            Ok((power, deviation))
        } else {
            Err((UnknownReason::NotEnoughEvidence, WIDE))
        }
    }
}

/// The supply temperature that the distribution unit holds: as it is measured while that is at the set point, else the
/// set point itself; without one as it is measured.
pub(super) fn held_supply(supply: &Recent, setpoint: &Recent, now: EventTime) -> Option<f64> {
    const DAY: Microseconds = Microseconds::from_hours(24);
    let measured = supply.mean(now, NOW_FOR);
    match (measured, setpoint.mean(now, DAY)) {
        (Some(measured), Some(setpoint)) if (measured - setpoint).abs() < HELD => Some(measured),
        (_, Some(setpoint)) => Some(setpoint),
        (measured, None) => measured,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_open_valve_takes_what_the_textbook_says() {
        // NTU 3 and equal rates: ε .75, Q = .75 C (T_r − T_w), T_r = T_s + Q/C, so Q = 3 C (T_s − T_w).
        let flow = 60.0;
        let rate = heat_kw(flow, 1.0, Coolant::Water.heat_capacity());
        let law =
            Law { heat_capacity: Coolant::Water.heat_capacity(), flow, supply: 35.0, liquid_share: 0.85 };
        let conductance = 3.0 * rate / film_conductance(flow, flow);
        let power = law.power(libm::log(conductance), libm::log(flow), 30.0);
        assert!((power - 15.0 * rate / 0.85).abs() < 1e-6, "{power}");
    }

    #[test]
    fn a_supply_off_its_set_point_is_not_taken_for_held() {
        let at = EventTime::from_unix_micros(0);
        let (mut supply, mut setpoint) = (Recent::default(), Recent::default());
        supply.add(at, 35.2, 1);
        assert_eq!(held_supply(&supply, &setpoint, at), Some(35.2));
        setpoint.add(at, 35.0, 1);
        assert_eq!(held_supply(&supply, &setpoint, at), Some(35.2));
        supply.add(at, 38.0, 1);
        assert_eq!(held_supply(&supply, &setpoint, at), Some(35.0));
    }
}
