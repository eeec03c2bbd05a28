//! A coolant loop: distribution unit, pump and racks in parallel, with the controllers that hide many a fault.

use crate::control::{Controller, PUMP, Tuning, VALVE};
use crate::exchanger::counter_flow;
use crate::fault::{Fault, FaultKind};
use crate::hydraulics::{Circuit, OperatingPoint};
use crate::load::Load;
use crate::noise::{Noise, Wander};
use crate::rack::{Build, Rack};
use crate::reference::{
    CDU_CAPACITY, CDU_CONDUCTANCE, COOLANT_RATE, EXCHANGER_EXPONENT, FACILITY_FLOW, FACILITY_FLOW_MAX,
    RACK_FLOW, RACK_KILOPASCAL, ROOM_CELSIUS, WATER_RATE,
};
use crate::scenario::{FacilityWater, LoopScenario, RackScenario};

/// Set point of the supply temperature, °C.
pub const SUPPLY_SETPOINT_CELSIUS: f64 = 35.0;
/// Lag of the sensor that the valve's controller reads, s.
const CONTROL_SENSOR_SECONDS: f64 = 7.0;
/// Lag of the valve's actuator, s.
const ACTUATOR_SECONDS: f64 = 5.0;
/// Time for which a loop settles at its first load before anything is read, s.
const SETTLING_SECONDS: i64 = 1_800;
const DAY_SECONDS: i64 = 86_400;

/// What faults do to a loop now.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Disturbance {
    head_factor: f64,
    pump_power_factor: f64,
    filter_factor: f64,
    conductance_factor: f64,
    valve_gain_factor: f64,
    valve_integral_factor: f64,
    valve_deadband: f64,
    valve_speed: f64,
    valve_stuck_at: Option<f64>,
    facility_kelvin: f64,
}

impl Disturbance {
    const NONE: Self = Self {
        head_factor: 1.0,
        pump_power_factor: 1.0,
        filter_factor: 1.0,
        conductance_factor: 1.0,
        valve_gain_factor: 1.0,
        valve_integral_factor: 1.0,
        valve_deadband: 0.0,
        valve_speed: 1.0,
        valve_stuck_at: None,
        facility_kelvin: 0.0,
    };

    fn of(faults: &[Fault], seconds: f64) -> Self {
        let mut all = Self::NONE;
        for fault in faults.iter().filter(|fault| fault.is_active(seconds)) {
            let severity = fault.severity_at(seconds);
            match fault.kind {
                FaultKind::PumpHeadLoss => all.head_factor *= 1.0 - severity,
                FaultKind::BearingWear => all.pump_power_factor *= severity,
                // Head goes with the square of speed.
                FaultKind::PumpTrip => all.head_factor *= (1.0 - severity) * (1.0 - severity),
                FaultKind::FilterClogging => all.filter_factor *= severity,
                FaultKind::ExchangerFouling => all.conductance_factor *= 1.0 - severity,
                FaultKind::ValveHunting => {
                    all.valve_gain_factor *= severity;
                    all.valve_integral_factor *= 2.0 * severity;
                }
                FaultKind::ValveDeadband => all.valve_deadband = severity,
                FaultKind::ValveSlow => all.valve_speed *= severity,
                FaultKind::ValveStuck => all.valve_stuck_at = Some(severity),
                FaultKind::FacilityWarming => all.facility_kelvin += severity,
                FaultKind::BranchRestriction
                | FaultKind::ColdPlateFouling
                | FaultKind::Leak
                | FaultKind::DoorFouling
                | FaultKind::Throttling
                | FaultKind::Stuck
                | FaultKind::Drift
                | FaultKind::Offset
                | FaultKind::Gain
                | FaultKind::Noise
                | FaultKind::Coarse
                | FaultKind::Gap
                | FaultKind::Stale
                | FaultKind::Skew
                | FaultKind::Late
                | FaultKind::Duplicate => {}
            }
        }
        all
    }
}

/// A loop's state; public fields are what its sensors see.
#[derive(Debug, Clone)]
pub struct CoolingLoop {
    pub racks: Vec<Rack>,
    faults: Vec<Fault>,
    disturbance: Disturbance,
    circuit: Circuit,
    /// Conductance of the clean exchanger, kW/K.
    conductance: f64,
    exchanger_exponent: f64,
    pump: Controller,
    valve: Controller,
    facility_water: FacilityWater,
    facility_offset: f64,
    facility_wander: Wander,
    noise: Noise,
    /// Event time at the start of the scenario, s after midnight.
    midnight_seconds: i64,
    pub(crate) steps_per_second: u32,

    pub operating_point: OperatingPoint,
    /// Coolant as it leaves and enters the distribution unit, °C.
    pub supply_celsius: f64,
    pub return_celsius: f64,
    /// Supply temperature as the valve's controller sees it, °C.
    sensed_celsius: f64,
    /// Position of the valve, 0 to 1.
    pub valve_position: f64,
    /// Water of the facility, °C and L/min.
    pub facility_supply_celsius: f64,
    pub facility_return_celsius: f64,
    pub facility_flow: f64,
    /// Heat that the facility water takes, kW.
    pub removed_kilowatts: f64,
}

impl CoolingLoop {
    /// A loop as the scenario builds it, settled at its first load.
    pub fn new(scenario: &LoopScenario, build: Build, seed: u64, midnight_seconds: i64) -> Self {
        let path = &scenario.name;
        let mut noise = Noise::new(seed, path);
        let racks = scenario.racks.iter().map(|rack| {
            let part = |part: &str| Noise::new(seed, &format!("{path}/{}/{part}", rack.name));
            let load_of = |rack: &RackScenario| {
                Load::new(rack.load.clone(), Noise::new(seed, &format!("{path}/{}/load", rack.name)))
            };
            let mut load = load_of(rack);
            for other in &scenario.racks {
                let moves = other.load.moves().filter(|(to, _)| **to == rack.name);
                moves.for_each(|(_, span)| load.receive(load_of(other), span.clone()));
            }
            let plant = build.plant(seed, &format!("{path}/{}", rack.name));
            let faults = rack.faults.clone();
            Rack::new(SUPPLY_SETPOINT_CELSIUS, build, load, faults, part("rack"), part("trays"), plant)
        });
        let racks: Vec<Rack> = racks.collect();
        let water = scenario.facility_water.clone();
        let mut plant = build.plant(seed, path);
        let mut built = Self {
            circuit: Circuit::new(racks.len(), noise.spread(0.02 * build.unit_spread), &mut plant),
            exchanger_exponent: plant(EXCHANGER_EXPONENT),
            conductance: plant(CDU_CONDUCTANCE) * racks.len() as f64 * noise.spread(0.05 * build.unit_spread),
            facility_offset: 0.5 * build.unit_spread * noise.between(-1.0, 1.0),
            facility_wander: Wander::new(0.1 * build.noise, 1_800.0, &mut noise),
            racks,
            faults: scenario.faults.clone(),
            disturbance: Disturbance::NONE,
            pump: Controller::at(0.8),
            valve: Controller::at(0.5),
            noise,
            midnight_seconds,
            steps_per_second: 4,
            operating_point: OperatingPoint { rack: RACK_KILOPASCAL, ..OperatingPoint::default() },
            supply_celsius: SUPPLY_SETPOINT_CELSIUS,
            return_celsius: SUPPLY_SETPOINT_CELSIUS,
            sensed_celsius: SUPPLY_SETPOINT_CELSIUS,
            valve_position: 0.5,
            facility_supply_celsius: water.celsius,
            facility_return_celsius: water.celsius,
            facility_flow: 0.0,
            removed_kilowatts: 0.0,
            facility_water: water,
        };
        for _ in 0..SETTLING_SECONDS {
            // The second before the first: no fault acts yet, and the load is the plan's first.
            built.advance_second(-1);
        }
        built
    }

    /// Lets second `second` of the scenario pass, counted from 0.
    pub fn advance_second(&mut self, second: i64) {
        self.begin_second(second);
        self.pass_second();
    }

    pub(crate) fn begin_second(&mut self, second: i64) {
        let day = (self.midnight_seconds + second).rem_euclid(DAY_SECONDS) as f64 / DAY_SECONDS as f64;
        let seconds = second as f64;
        if !self.faults.is_empty() {
            self.disturbance = Disturbance::of(&self.faults, seconds);
        }
        let swing = self.facility_water.daily_swing_kelvin * libm::sin(std::f64::consts::TAU * (day - 0.375));
        self.facility_supply_celsius = self.facility_water.celsius
            + self.facility_offset
            + swing
            + self.facility_wander.advance_second(&mut self.noise)
            + self.disturbance.facility_kelvin;
        for rack in &mut self.racks {
            rack.begin_second(seconds, day);
        }
    }

    fn pass_second(&mut self) {
        let step = 1.0 / f64::from(self.steps_per_second);
        for _ in 0..self.steps_per_second {
            self.step(step);
        }
    }

    pub(crate) fn step(&mut self, seconds: f64) {
        let shortfall = 1.0 - self.operating_point.rack / RACK_KILOPASCAL;
        self.pump.step(&PUMP, shortfall, seconds);
        let conductance = self.racks.iter().map(|rack| rack.trays.total_conductance()).sum();
        self.operating_point = self.circuit.solve(
            self.pump.output(),
            self.disturbance.head_factor,
            self.disturbance.filter_factor,
            conductance,
        );
        for rack in &mut self.racks {
            rack.step(seconds, self.operating_point.rack, self.supply_celsius);
        }
        self.mix_return();
        self.step_exchanger(seconds);
        self.step_valve(seconds);
    }

    /// What comes back from the racks, and fresh coolant for what leaked.
    fn mix_return(&mut self) {
        let returned: f64 = self.racks.iter().map(|rack| rack.return_flow() * rack.returned_celsius).sum();
        let leaked: f64 = self.racks.iter().map(|rack| rack.leak_flow).sum();
        self.return_celsius = (returned + leaked * ROOM_CELSIUS) / self.operating_point.flow;
    }

    fn step_exchanger(&mut self, seconds: f64) {
        let racks = self.racks.len() as f64;
        self.facility_flow = self.valve_position * self.valve_position.sqrt() * FACILITY_FLOW_MAX * racks;
        let coolant_rate = COOLANT_RATE * self.operating_point.flow;
        let water_rate = WATER_RATE * self.facility_flow;
        // Two films in series.
        let exponent = -self.exchanger_exponent;
        let coolant_film = libm::pow(self.operating_point.flow / (RACK_FLOW * racks), exponent);
        let water_film = libm::pow(self.facility_flow / (FACILITY_FLOW * racks), exponent);
        let conductance =
            self.conductance * self.disturbance.conductance_factor * 2.0 / (coolant_film + water_film);
        let effectiveness = counter_flow(conductance, coolant_rate, water_rate);
        self.removed_kilowatts = effectiveness
            * coolant_rate.min(water_rate)
            * (self.return_celsius - self.facility_supply_celsius);
        self.facility_return_celsius = self.facility_supply_celsius + self.removed_kilowatts / water_rate;
        let arriving = coolant_rate * (self.return_celsius - self.supply_celsius);
        self.supply_celsius += seconds / (CDU_CAPACITY * racks) * (arriving - self.removed_kilowatts);
    }

    fn step_valve(&mut self, seconds: f64) {
        self.sensed_celsius += seconds / CONTROL_SENSOR_SECONDS * (self.supply_celsius - self.sensed_celsius);
        let disturbance = &self.disturbance;
        let tuning = Tuning {
            gain: VALVE.gain * disturbance.valve_gain_factor,
            integral_gain: VALVE.integral_gain * disturbance.valve_integral_factor,
            rate: VALVE.rate * disturbance.valve_speed,
            ..VALVE
        };
        self.valve.step(&tuning, self.sensed_celsius - SUPPLY_SETPOINT_CELSIUS, seconds);
        if let Some(position) = disturbance.valve_stuck_at {
            self.valve_position = position.max(VALVE.lowest);
        } else {
            let way = self.valve.output() - self.valve_position;
            if way.abs() > disturbance.valve_deadband {
                self.valve_position += seconds / ACTUATOR_SECONDS * way;
            }
        }
    }

    /// Speed of the pump, 0 to 1.
    pub fn pump_speed(&self) -> f64 {
        self.pump.output()
    }

    /// Electrical power of the pump, W.
    pub fn pump_watts(&self) -> f64 {
        self.operating_point.pump_watts() * self.disturbance.pump_power_factor
    }

    /// Coolant that comes back, L/min.
    pub fn return_flow(&self) -> f64 {
        self.racks.iter().map(Rack::return_flow).sum()
    }
}
