//! Which series tell of a rack's and a loop's limits: made anew from declarations, never kept.

use telemetry::Name;
use telemetry::place::Place;

use crate::plan::{SeriesIndex, is_within};

/// A GPU's own name in its rack: node and device.
pub(crate) type Gpu = (Option<Name>, Option<Name>);

/// The series of a GPU.
#[derive(Debug, Clone)]
pub(crate) struct GpuSeries {
    pub gpu: Gpu,
    pub temperature: Vec<u32>,
    /// Where it slows down, and how far it is from there: either tells the limit.
    pub slowdown: Vec<u32>,
    pub margin: Vec<u32>,
}

/// The series of a rack; empty where nothing measures it.
#[derive(Debug, Clone)]
pub(crate) struct RackSeries {
    pub power: Vec<u32>,
    /// Coolant in; its loop's where the rack has no own. The set point and the pump are the loop's.
    pub supply: Vec<u32>,
    pub setpoint: Vec<u32>,
    pub warm: Vec<u32>,
    pub flow: Vec<u32>,
    pub pump_speed: Vec<u32>,
    pub inlet: Vec<u32>,
    pub exhaust: Vec<u32>,
    pub door_outlet: Vec<u32>,
    pub door_water: Vec<u32>,
    pub door_valve: Vec<u32>,
    pub room_setpoint: Vec<u32>,
    pub gpus: Vec<GpuSeries>,
}

impl RackSeries {
    pub(crate) fn new(place: &Place, index: &SeriesIndex<'_>) -> Self {
        let own = |signal: &str| index.at(signal, place).to_vec();
        let nearest = |signal: &str| index.at_or_above(signal, place).cloned().unwrap_or_default();
        let gpus = index.places("gpu_temperature").filter(|(gpu, _)| is_within(gpu, place));
        Self {
            power: own("rack_power"),
            supply: nearest("coolant_supply_temperature"),
            setpoint: nearest("coolant_supply_temperature_setpoint"),
            warm: own("coolant_return_temperature"),
            flow: own("coolant_flow"),
            pump_speed: nearest("pump_speed"),
            inlet: own("air_inlet_temperature"),
            exhaust: own("air_exhaust_temperature"),
            door_outlet: own("door_air_outlet_temperature"),
            door_water: own("door_water_supply_temperature"),
            door_valve: own("door_valve_position"),
            room_setpoint: nearest("room_temperature_setpoint"),
            gpus: gpus
                .map(|(gpu, temperature)| GpuSeries {
                    gpu: (gpu.node.clone(), gpu.device.clone()),
                    temperature: temperature.clone(),
                    slowdown: index.at("gpu_slowdown_temperature", gpu).to_vec(),
                    margin: index.at("gpu_temperature_margin", gpu).to_vec(),
                })
                .collect(),
        }
    }
}

/// The series of a loop's distribution unit; empty where nothing measures it.
#[derive(Debug, Default, Clone)]
pub(crate) struct LoopSeries {
    pub supply: Vec<u32>,
    pub setpoint: Vec<u32>,
    pub warm: Vec<u32>,
    pub flow: Vec<u32>,
    pub valve: Vec<u32>,
    pub water: Vec<u32>,
    pub water_return: Vec<u32>,
    pub water_flow: Vec<u32>,
}

impl LoopSeries {
    /// Of the loop itself, without those of its racks.
    pub(crate) fn new(index: &SeriesIndex<'_>) -> Self {
        let of = |signal: &str| {
            let own = index.places(signal).filter(|(place, _)| place.rack.is_none());
            own.flat_map(|(_, series)| series.iter().copied()).collect::<Vec<u32>>()
        };
        let supply_flow = of("coolant_supply_flow");
        Self {
            supply: of("coolant_supply_temperature"),
            setpoint: of("coolant_supply_temperature_setpoint"),
            warm: of("coolant_return_temperature"),
            flow: if supply_flow.is_empty() { of("coolant_flow") } else { supply_flow },
            valve: of("valve_position"),
            water: of("facility_supply_temperature"),
            water_return: of("facility_return_temperature"),
            water_flow: of("facility_flow"),
        }
    }
}
