//! A rack: trays, the pipes to and from it, its air and its rear door.

use telemetry::signal::{STATE_CRITICAL, STATE_OK};

use crate::exchanger::cross_flow;
use crate::fault::{Fault, FaultKind};
use crate::load::Load;
use crate::noise::{Noise, Wander};
use crate::pipe::Pipe;
use crate::reference::{
    AIR_RATE, COOLANT_RATE, DEW_POINT_CELSIUS, DOOR_CONDUCTANCE, DOOR_WATER_CELSIUS, DOOR_WATER_RATE,
    EXHAUST_CAPACITY, ROOM_CAPACITY, ROOM_CELSIUS, ROOM_CONDUCTANCE, TRAYS,
};
use crate::scenario::tray_name;
use crate::trays::Trays;

/// Coolant on the floor that a leak rope notices, L.
const LEAK_NOTICED_LITRES: f64 = 0.5;
/// How much warmer the water of a fully fouled door is, K.
const FOULED_DOOR_WATER_KELVIN: f64 = 3.0;

/// A rack's state; public fields are what its sensors see.
#[derive(Debug, Clone)]
pub struct Rack {
    pub trays: Trays,
    load: Load,
    wander: Wander,
    noise: Noise,
    faults: Vec<Fault>,
    supply_pipe: Pipe,
    return_pipe: Pipe,
    leaked_litres: f64,

    /// Flow into the rack, L/min.
    pub flow: f64,
    /// Flow that is lost in the rack, L/min.
    pub leak_flow: f64,
    /// Pressure difference across the rack, kPa.
    pub kilopascal: f64,
    /// Coolant at the inlet and outlet of the rack, °C.
    pub supply_celsius: f64,
    pub return_celsius: f64,
    /// Coolant from this rack as it comes back to the distribution unit, °C.
    pub returned_celsius: f64,
    /// Air of the room, behind the trays, and behind the door, °C.
    pub room_celsius: f64,
    pub exhaust_celsius: f64,
    pub outlet_celsius: f64,
    /// Water of the door, °C.
    pub door_water_celsius: f64,
    /// Heat that the door takes, kW, and the most it could.
    pub door_kilowatts: f64,
    pub door_kilowatts_max: f64,
    /// Conductance of the clean door, kW/K.
    door_conductance: f64,
    /// Heat that the door can take per kelvin between its air and its water, kW/K.
    door_rate: f64,
}

/// What the model needs of a scenario to build a part.
#[derive(Debug, Clone, Copy)]
pub struct Build {
    /// See the scenario's `noise`.
    pub noise: f64,
    /// See the scenario's `unit_spread`.
    pub unit_spread: f64,
    /// See the scenario's `plant_error`.
    pub plant_error: f64,
}

impl Build {
    /// How far off the parameters of the part at `path` are: each call draws the factor of the next one. A source of
    /// its own, so that the other draws stay the same with and without it.
    pub fn plant(self, seed: u64, path: &str) -> impl FnMut(f64) -> f64 + use<> {
        let mut noise = Noise::new(seed, &format!("{path}/plant"));
        move |parameter| parameter * (1.0 + self.plant_error * noise.between(-1.0, 1.0))
    }
}

impl Rack {
    /// A rack at rest, full of coolant of this temperature.
    pub fn new(
        celsius: f64,
        build: Build,
        load: Load,
        faults: Vec<Fault>,
        mut noise: Noise,
        trays: Noise,
        mut plant: impl FnMut(f64) -> f64,
    ) -> Self {
        let door_conductance = plant(DOOR_CONDUCTANCE);
        Self {
            trays: Trays::new(celsius, build, trays, plant),
            load,
            wander: Wander::new(0.02 * build.noise, 600.0, &mut noise),
            noise,
            faults,
            supply_pipe: Pipe::new(celsius),
            return_pipe: Pipe::new(celsius),
            leaked_litres: 0.0,
            flow: 0.0,
            leak_flow: 0.0,
            kilopascal: 0.0,
            supply_celsius: celsius,
            return_celsius: celsius,
            returned_celsius: celsius,
            room_celsius: ROOM_CELSIUS,
            exhaust_celsius: ROOM_CELSIUS,
            outlet_celsius: ROOM_CELSIUS,
            door_water_celsius: DOOR_WATER_CELSIUS,
            door_kilowatts: 0.0,
            door_kilowatts_max: 0.0,
            door_conductance,
            door_rate: door_rate(door_conductance),
        }
    }

    /// Plans one more fault.
    #[cfg(test)]
    pub fn plan(&mut self, fault: Fault) {
        self.faults.push(fault);
    }

    /// Sets load and faults for the second that starts now; `day` is the time of day as a share of the day.
    pub fn begin_second(&mut self, seconds: f64, day: f64) {
        let level = self.load.level(seconds, day) * (1.0 + self.wander.advance_second(&mut self.noise));
        self.trays.begin_second(level.max(0.0));
        if !self.faults.is_empty() {
            self.apply_faults(seconds);
        }
    }

    fn apply_faults(&mut self, seconds: f64) {
        let mut branch_factor = [1.0; TRAYS];
        let mut plate_factor = 1.0;
        let mut forced = [false; TRAYS];
        self.leak_flow = 0.0;
        self.door_rate = door_rate(self.door_conductance);
        self.door_water_celsius = DOOR_WATER_CELSIUS;
        for fault in self.faults.iter().filter(|fault| fault.is_active(seconds)) {
            let severity = fault.severity_at(seconds);
            let concerned = |tray: usize| fault.node.as_ref().is_none_or(|node| *node == tray_name(tray));
            match fault.kind {
                FaultKind::BranchRestriction => {
                    (0..TRAYS)
                        .filter(|tray| concerned(*tray))
                        .for_each(|tray| branch_factor[tray] *= severity);
                }
                FaultKind::ColdPlateFouling => plate_factor *= severity,
                FaultKind::Leak => self.leak_flow += severity,
                FaultKind::DoorFouling => {
                    self.door_rate = door_rate(self.door_conductance * (1.0 - severity));
                    self.door_water_celsius +=
                        FOULED_DOOR_WATER_KELVIN * severity / fault.full_severity().max(1e-9);
                }
                FaultKind::Throttling => {
                    let now = seconds % 60.0 < severity * 60.0;
                    (0..TRAYS).filter(|tray| concerned(*tray)).for_each(|tray| forced[tray] |= now);
                }
                FaultKind::PumpHeadLoss
                | FaultKind::BearingWear
                | FaultKind::PumpTrip
                | FaultKind::FilterClogging
                | FaultKind::ExchangerFouling
                | FaultKind::ValveHunting
                | FaultKind::ValveDeadband
                | FaultKind::ValveSlow
                | FaultKind::ValveStuck
                | FaultKind::FacilityWarming
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
        self.trays.obstruct(&branch_factor, plate_factor);
        self.trays.force_throttling(forced);
        if self.leak_flow == 0.0 {
            self.leaked_litres = 0.0;
        }
    }

    /// Lets `seconds` pass with this pressure difference and coolant leaving the distribution unit at `celsius`.
    pub fn step(&mut self, seconds: f64, kilopascal: f64, celsius: f64) {
        let minutes = seconds / 60.0;
        self.kilopascal = kilopascal;
        self.flow = self.trays.total_conductance() * kilopascal.sqrt();
        self.leak_flow = self.leak_flow.min(0.9 * self.flow);
        self.leaked_litres += self.leak_flow * minutes;
        self.supply_celsius = self.supply_pipe.push(self.flow * minutes, celsius);
        let heat = self.trays.step(seconds, kilopascal, self.supply_celsius);
        self.return_celsius = self.supply_celsius + heat / (COOLANT_RATE * self.flow);
        self.returned_celsius = self.return_pipe.push(self.return_flow() * minutes, self.return_celsius);
        self.step_air(seconds);
    }

    fn step_air(&mut self, seconds: f64) {
        let heat = self.trays.total_power() * (1.0 - self.trays.liquid_share());
        self.door_kilowatts_max =
            (self.door_rate * (self.exhaust_celsius - self.door_water_celsius)).max(0.0);
        let wanted = (AIR_RATE * (self.exhaust_celsius - ROOM_CELSIUS)).max(0.0);
        self.door_kilowatts = wanted.min(self.door_kilowatts_max);
        self.outlet_celsius = self.exhaust_celsius - self.door_kilowatts / AIR_RATE;
        let into_exhaust = heat - AIR_RATE * (self.exhaust_celsius - self.room_celsius);
        let into_room = AIR_RATE * (self.outlet_celsius - self.room_celsius)
            - ROOM_CONDUCTANCE * (self.room_celsius - ROOM_CELSIUS);
        self.exhaust_celsius += seconds / EXHAUST_CAPACITY * into_exhaust;
        self.room_celsius += seconds / ROOM_CAPACITY * into_room;
    }

    /// Flow out of the rack, L/min.
    pub fn return_flow(&self) -> f64 {
        self.flow - self.leak_flow
    }

    /// State code of the leak rope.
    pub fn leak_state(&self) -> f64 {
        if self.leaked_litres >= LEAK_NOTICED_LITRES { STATE_CRITICAL } else { STATE_OK }
    }

    /// How far the door's valve is open, %: the share of its greatest heat that it takes.
    pub fn door_valve_percent(&self) -> f64 {
        if self.door_kilowatts_max > 0.0 {
            100.0 * self.door_kilowatts / self.door_kilowatts_max
        } else {
            100.0
        }
    }

    /// Dew point of the room, °C.
    pub fn dew_point_celsius(&self) -> f64 {
        DEW_POINT_CELSIUS
    }
}

/// Heat that a rear door of this conductance, kW/K, can take per kelvin between air and water, kW/K.
fn door_rate(conductance: f64) -> f64 {
    cross_flow(conductance, AIR_RATE, DOOR_WATER_RATE) * AIR_RATE.min(DOOR_WATER_RATE)
}
