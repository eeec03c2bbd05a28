//! The signals that loops, racks and GPUs report, as tables; and what faults of sensors and feeds do to them.

use telemetry::place::Place;
use telemetry::signal::STATE_OK;
use telemetry::{EventTime, Microseconds, Name};

use crate::cooling_loop::{CoolingLoop, SUPPLY_SETPOINT_CELSIUS};
use crate::fault::{Fault, FaultKind};
use crate::noise::Noise;
use crate::rack::{Build, Rack};
use crate::reference::{RACK_KILOPASCAL, ROOM_CELSIUS, SLOWDOWN_CELSIUS};
use crate::sensor::{Instrument, Sensor, round_to};

/// A signal of a `T`: its canonical name, the instrument, and the truth.
pub struct Signal<T> {
    pub name: &'static str,
    pub instrument: Instrument,
    pub truth: fn(&T) -> f64,
}

const fn signal<T>(name: &'static str, instrument: Instrument, truth: fn(&T) -> f64) -> Signal<T> {
    Signal { name, instrument, truth }
}

/// What a distribution unit reports.
pub const LOOP_SIGNALS: &[Signal<CoolingLoop>] = &[
    signal("coolant_supply_temperature", Instrument::THERMOMETER, |unit| unit.supply_celsius),
    signal("coolant_return_temperature", Instrument::THERMOMETER, |unit| unit.return_celsius),
    signal("coolant_supply_temperature_setpoint", Instrument::EXACT, |_| SUPPLY_SETPOINT_CELSIUS),
    signal("coolant_supply_flow", Instrument::FLOW_METER, |unit| unit.operating_point.flow),
    signal("coolant_return_flow", Instrument::FLOW_METER, CoolingLoop::return_flow),
    signal("coolant_differential_pressure", Instrument::PRESSURE_CELL, |unit| unit.operating_point.rack),
    signal("coolant_differential_pressure_setpoint", Instrument::EXACT, |_| RACK_KILOPASCAL),
    signal("cdu_differential_pressure", Instrument::PRESSURE_CELL, |unit| unit.operating_point.cdu),
    signal("filter_differential_pressure", Instrument::FILTER_CELL, |unit| unit.operating_point.filter),
    signal("pump_differential_pressure", Instrument::PRESSURE_CELL, |unit| unit.operating_point.pump),
    signal("pump_speed", Instrument::DRIVE, |unit| 100.0 * unit.pump_speed()),
    signal("pump_power", Instrument::SMALL_POWER_METER, CoolingLoop::pump_watts),
    signal("valve_position", Instrument::DRIVE, |unit| 100.0 * unit.valve_position),
    signal("facility_supply_temperature", Instrument::THERMOMETER, |unit| unit.facility_supply_celsius),
    signal("facility_return_temperature", Instrument::THERMOMETER, |unit| unit.facility_return_celsius),
    signal("facility_flow", Instrument::FLOW_METER, |unit| unit.facility_flow),
    signal("leak_state", Instrument::EXACT, |_| STATE_OK),
];

/// What a rack reports.
pub const RACK_SIGNALS: &[Signal<Rack>] = &[
    signal("coolant_supply_temperature", Instrument::THERMOMETER, |rack| rack.supply_celsius),
    signal("coolant_return_temperature", Instrument::THERMOMETER, |rack| rack.return_celsius),
    signal("coolant_flow", Instrument::FLOW_METER, |rack| rack.flow),
    signal("coolant_differential_pressure", Instrument::PRESSURE_CELL, |rack| rack.kilopascal),
    signal("rack_power", Instrument::POWER_METER, |rack| rack.trays.total_power()),
    signal("leak_state", Instrument::EXACT, Rack::leak_state),
    signal("air_inlet_temperature", Instrument::AIR_THERMOMETER, |rack| rack.room_celsius),
    signal("air_exhaust_temperature", Instrument::AIR_THERMOMETER, |rack| rack.exhaust_celsius),
    signal("room_temperature_setpoint", Instrument::EXACT, |_| ROOM_CELSIUS),
    signal("dew_point", Instrument::DEW_POINT, Rack::dew_point_celsius),
    signal("door_air_outlet_temperature", Instrument::AIR_THERMOMETER, |rack| rack.outlet_celsius),
    signal("door_water_supply_temperature", Instrument::THERMOMETER, |rack| rack.door_water_celsius),
    signal("door_valve_position", Instrument::DRIVE, Rack::door_valve_percent),
];

/// What a GPU's own sensors see.
pub struct Gpu {
    die_celsius: f64,
    kilowatts: f64,
    throttle_seconds: f64,
}

impl Gpu {
    /// A GPU of a tray; `rise` is how much it takes and rises above its coolant, as a share of its tray's hottest.
    fn of(rack: &Rack, tray: usize, rise: f64) -> Self {
        Self {
            die_celsius: rack.supply_celsius + rise * (rack.trays.die_celsius(tray) - rack.supply_celsius),
            kilowatts: rise * rack.trays.die_kilowatts(tray),
            throttle_seconds: rack.trays.throttle_seconds(tray),
        }
    }
}

/// What a GPU reports.
pub const GPU_SIGNALS: &[Signal<Gpu>] = &[
    signal("gpu_temperature", Instrument::DIE_THERMOMETER, |gpu| gpu.die_celsius),
    signal("gpu_power", Instrument::SMALL_POWER_METER, |gpu| 1_000.0 * gpu.kilowatts),
    signal("gpu_slowdown_temperature", Instrument::EXACT, |_| SLOWDOWN_CELSIUS),
    signal("gpu_thermal_throttle_time", Instrument::COUNTER, |gpu| gpu.throttle_seconds),
];

/// Names of what a distribution unit reports.
pub fn loop_signals() -> Vec<&'static str> {
    LOOP_SIGNALS.iter().map(|signal| signal.name).collect()
}

/// Names of what a rack and its GPUs report.
pub fn rack_signals() -> Vec<&'static str> {
    RACK_SIGNALS
        .iter()
        .map(|signal| signal.name)
        .chain(GPU_SIGNALS.iter().map(|signal| signal.name))
        .collect()
}

/// Where a channel finds its truth.
#[derive(Clone, Copy)]
pub enum Source {
    /// At a loop.
    Loop { index: usize, truth: fn(&CoolingLoop) -> f64 },
    /// At a rack of a loop.
    Rack { index: usize, rack: usize, truth: fn(&Rack) -> f64 },
    /// At a GPU of a tray of a rack.
    Gpu { index: usize, rack: usize, tray: usize, rise: f64, truth: fn(&Gpu) -> f64 },
}

impl Source {
    /// The truth now.
    pub fn truth(&self, loops: &[CoolingLoop]) -> f64 {
        match *self {
            Self::Loop { index, truth } => truth(&loops[index]),
            Self::Rack { index, rack, truth } => truth(&loops[index].racks[rack]),
            Self::Gpu { index, rack, tray, rise, truth } => {
                truth(&Gpu::of(&loops[index].racks[rack], tray, rise))
            }
        }
    }

    /// Whether it is a GPU's, which report at their own pace.
    pub fn is_gpu(&self) -> bool {
        match self {
            Self::Loop { .. } | Self::Rack { .. } => false,
            Self::Gpu { .. } => true,
        }
    }
}

/// One stream of readings.
pub struct Channel {
    pub place: Place,
    pub signal: Name,
    pub sensor: Option<Name>,
    pub source: Source,
    pub instrument: Sensor,
    faults: Vec<Fault>,
    fate: Noise,
    last_sent: Option<(EventTime, f64)>,
}

/// A reading on its way: its time, its value, how much later it arrives, and how often.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sending {
    pub time: EventTime,
    pub value: f64,
    pub delay: Microseconds,
    pub twice: bool,
}

impl Channel {
    /// A channel with those of its owner's faults that befall it.
    pub fn new(
        (place, signal, sensor): (Place, &'static str, Option<Name>),
        source: Source,
        instrument: Instrument,
        faults: &[Fault],
        build: Build,
        seed: u64,
    ) -> Self {
        let path = format!("{place}/{signal}/{}", sensor.as_deref().unwrap_or_default());
        let befalls = |fault: &&Fault| {
            fault.signal.as_ref().is_none_or(|name| **name == *signal)
                && (fault.sensor.is_none() || fault.sensor == sensor)
                && (fault.node.is_none() || fault.node == place.node)
                && acts_on_readings(fault.kind)
        };
        Self {
            signal: signal.into(),
            source,
            instrument: Sensor::new(instrument, build, Noise::new(seed, &path)),
            faults: faults.iter().filter(befalls).cloned().collect(),
            fate: Noise::new(seed, &format!("{path}/fate")),
            last_sent: None,
            place,
            sensor,
        }
    }

    /// What is sent at `instant`, `seconds` after the start, when this is the truth. Draws the same random numbers
    /// whatever faults there are, so that a fault changes nothing but what it means to.
    pub fn report(
        &mut self,
        instant: EventTime,
        seconds: f64,
        truth: f64,
        lost_share: f64,
        jitter: Microseconds,
    ) -> Option<Sending> {
        let time = match jitter {
            Microseconds::ZERO => instant,
            jitter => instant + Microseconds((jitter.get() as f64 * self.fate.between(-1.0, 1.0)) as i64),
        };
        let lost = lost_share > 0.0 && self.fate.uniform() < lost_share;
        let mut value = self.instrument.measure(truth, self.noise_factor(seconds));
        let mut sending = Sending { time, value: 0.0, delay: Microseconds::ZERO, twice: false };
        let (mut frozen, mut stale, mut silent, mut coarse) = (false, false, lost, None);
        for fault in self.faults.iter().filter(|fault| fault.is_active(seconds)) {
            let severity = fault.severity_at(seconds);
            let length = Microseconds((severity * 1e6) as i64);
            match fault.kind {
                FaultKind::Drift | FaultKind::Offset => value += severity,
                FaultKind::Gain => value *= severity,
                FaultKind::Coarse => coarse = Some(severity),
                FaultKind::Stuck => frozen = true,
                FaultKind::Gap => silent = true,
                FaultKind::Stale => stale = true,
                FaultKind::Skew => sending.time = sending.time + length,
                FaultKind::Late => sending.delay += length,
                FaultKind::Duplicate => sending.twice = true,
                FaultKind::Noise
                | FaultKind::PumpHeadLoss
                | FaultKind::BearingWear
                | FaultKind::PumpTrip
                | FaultKind::FilterClogging
                | FaultKind::ExchangerFouling
                | FaultKind::ValveHunting
                | FaultKind::ValveDeadband
                | FaultKind::ValveSlow
                | FaultKind::ValveStuck
                | FaultKind::FacilityWarming
                | FaultKind::BranchRestriction
                | FaultKind::ColdPlateFouling
                | FaultKind::Leak
                | FaultKind::DoorFouling
                | FaultKind::Throttling => {}
            }
        }
        sending.value = match coarse {
            Some(step) if step > 0.0 => round_to(value, 1.0 / step),
            Some(_) | None => self.instrument.round(value),
        };
        match self.last_sent {
            Some((time, value)) if stale => (sending.time, sending.value) = (time, value),
            Some((_, value)) if frozen => sending.value = value,
            Some(_) | None => {}
        }
        if silent {
            return None;
        }
        self.last_sent = Some((sending.time, sending.value));
        Some(sending)
    }

    /// How much more than built its instrument scatters.
    fn noise_factor(&self, seconds: f64) -> f64 {
        let active = self.faults.iter().filter(|fault| fault.is_active(seconds));
        let noise = active.filter(|fault| fault.kind == FaultKind::Noise);
        noise.map(|fault| fault.severity_at(seconds)).product()
    }
}

/// Whether a kind of fault acts on readings and not on the physics.
fn acts_on_readings(kind: FaultKind) -> bool {
    match kind.target() {
        crate::fault::Target::Sensor | crate::fault::Target::Feed => true,
        crate::fault::Target::Loop | crate::fault::Target::Rack => false,
    }
}
