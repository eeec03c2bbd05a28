//! The signals: what can be measured, in which one unit, and what a working sensor can say. Listed once, here;
//! mappings, objectives, detectors, SQL and documentation follow.

use serde::{Deserialize, Serialize};

use crate::unit::Unit;

/// One canonical signal.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Signal {
    /// Its name everywhere: in tables, objectives, messages.
    pub name: &'static str,
    /// The one unit its readings are kept in.
    pub unit: Unit,
    /// What a working sensor can report, in `unit`; a reading outside is set aside as implausible.
    pub span: Span,
    /// The usual operating range; a reading outside is remarked and judged like any other.
    pub usual: Option<Span>,
    /// How its numbers behave.
    pub kind: SignalKind,
    /// The part of a site that it belongs to.
    pub level: Level,
    /// Whether low values are the dangerous ones: headroom, flow.
    pub lower_is_worse: bool,
    /// The signal of the same name at sources that report it in a unit which cannot be converted.
    pub other_unit: Option<&'static str>,
    /// What it is, in words.
    pub meaning: &'static str,
}

/// A closed range of readings.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Span {
    /// The lowest reading inside.
    pub lowest: f64,
    /// The highest reading inside.
    pub highest: f64,
}

impl Span {
    /// From `lowest` to `highest`, both inside.
    pub const fn new(lowest: f64, highest: f64) -> Self {
        Self { lowest, highest }
    }

    /// Whether a reading is inside; NaN never is.
    pub fn holds(self, value: f64) -> bool {
        self.lowest <= value && value <= self.highest
    }
}

/// How the numbers of a signal behave, which decides how several are reduced to one and which detectors apply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SignalKind {
    /// A measured quantity: several sensors of one place are redundant, their median counts.
    Gauge,
    /// A set point or a limit: legitimately constant for days.
    SetPoint,
    /// A running total: may be reset, never falls otherwise.
    Counter,
    /// 0 ok, 1 warning, 2 critical, 3 unavailable, 4 absent. Several sensors of one place are not redundant: the
    /// worst counts, and an unknown one makes the whole unknown unless another one is bad.
    StateCode,
    /// Bits that are set or not; exact up to 2^53.
    BitMask,
    /// Says something about the feed, not about the plant: never makes a rack of its own.
    Feed,
}

/// The part of a site that a signal belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// The whole site or room.
    Site,
    /// A coolant loop with its distribution unit.
    Loop,
    /// A rack.
    Rack,
    /// A tray or host.
    Node,
    /// A GPU, pump, filter …
    Device,
}

impl Level {
    /// The word in documents and labels.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Site => "site",
            Self::Loop => "loop",
            Self::Rack => "rack",
            Self::Node => "node",
            Self::Device => "device",
        }
    }
}

/// State code: nothing is wrong.
pub const STATE_OK: f64 = 0.0;
/// State code: warning.
pub const STATE_WARNING: f64 = 1.0;
/// State code: critical.
pub const STATE_CRITICAL: f64 = 2.0;
/// State code: the sensor is there and cannot tell. Unknown, never ok.
pub const STATE_UNAVAILABLE: f64 = 3.0;
/// State code: there is no such sensor. Unknown, never ok.
pub const STATE_ABSENT: f64 = 4.0;

/// The bits of `clock_event_reasons` that mean heat: software thermal slowdown and hardware thermal slowdown
/// (NVML `nvmlClocksEventReasonSwThermalSlowdown`, `…HwThermalSlowdown`).
pub const THERMAL_CLOCK_EVENTS: u64 = 0x20 | 0x40;

/// The word for a state code; `None` for any other number.
pub fn state_name(code: f64) -> Option<&'static str> {
    const NAMES: [(f64, &str); 5] = [
        (STATE_OK, "ok"),
        (STATE_WARNING, "warning"),
        (STATE_CRITICAL, "critical"),
        (STATE_UNAVAILABLE, "unavailable"),
        (STATE_ABSENT, "absent"),
    ];
    NAMES.iter().find(|(known, _)| *known == code).map(|(_, name)| *name)
}

/// The state code for a word, as [`state_name`] gives it.
pub fn state_code(name: &str) -> Option<f64> {
    [STATE_OK, STATE_WARNING, STATE_CRITICAL, STATE_UNAVAILABLE, STATE_ABSENT]
        .into_iter()
        .find(|code| state_name(*code) == Some(name))
}

const CEL: Unit = Unit::CELSIUS;
const K: Unit = Unit::KELVIN;
const FLOW: Unit = Unit::LITRES_PER_MINUTE;
const KPA: Unit = Unit::KILOPASCALS;
const PERCENT: Unit = Unit::PERCENT;
const CODE: Unit = Unit::CODE;

/// Spans that several signals share: what a working sensor can report.
const LIQUID: Span = Span::new(-40.0, 150.0);
const LITRES: Span = Span::new(0.0, 10_000.0);
const PRESSURE: Span = Span::new(-100.0, 2_500.0);
const STROKE: Span = Span::new(0.0, 100.0);
const EFFORT: Span = Span::new(0.0, 120.0);
const CHIP: Span = Span::new(-20.0, 150.0);
/// Above this, integers are not exact in f64.
const EXACT: f64 = 9_007_199_254_740_992.0;

const fn gauge(name: &'static str, unit: Unit, level: Level, span: Span, meaning: &'static str) -> Signal {
    Signal {
        name,
        unit,
        span,
        usual: None,
        kind: SignalKind::Gauge,
        level,
        lower_is_worse: false,
        other_unit: None,
        meaning,
    }
}

impl Signal {
    /// The usual operating range at a rack, or at a loop without one: a loop's flow is that of all its racks.
    pub fn usual_at(&self, in_rack: bool) -> Option<Span> {
        const RACK_FLOW: Span = Span::new(0.0, 200.0);
        if in_rack && self.name == "coolant_flow" { Some(RACK_FLOW) } else { self.usual }
    }

    const fn usual(mut self, lowest: f64, highest: f64) -> Self {
        self.usual = Some(Span::new(lowest, highest));
        self
    }

    const fn kind(mut self, kind: SignalKind) -> Self {
        self.kind = kind;
        self
    }

    const fn lower_is_worse(mut self) -> Self {
        self.lower_is_worse = true;
        self
    }

    const fn other_unit(mut self, sibling: &'static str) -> Self {
        self.other_unit = Some(sibling);
        self
    }
}

/// Every canonical signal, along the way of the heat: coolant, facility, air, rack, GPU, feed.
pub const SIGNALS: &[Signal] = {
    use Level::{Device, Loop, Node, Rack, Site};
    use SignalKind::{BitMask, Counter, Feed, SetPoint, StateCode};
    &[
        gauge("coolant_supply_temperature", CEL, Rack, LIQUID, "coolant that comes to the rack")
            .usual(10.0, 50.0),
        gauge("coolant_return_temperature", CEL, Rack, LIQUID, "coolant that leaves the rack")
            .usual(15.0, 70.0),
        gauge(
            "coolant_supply_temperature_setpoint",
            CEL,
            Loop,
            LIQUID,
            "what the coolant distribution unit aims at",
        )
        .kind(SetPoint),
        gauge(
            "coolant_delta_t",
            K,
            Rack,
            Span::new(-190.0, 190.0),
            "return minus supply; means nothing without flow",
        )
        .usual(0.0, 25.0),
        gauge("coolant_flow", FLOW, Rack, LITRES, "coolant through the rack or loop")
            .usual(0.0, 1_500.0)
            .lower_is_worse(),
        gauge("coolant_supply_flow", FLOW, Loop, LITRES, "coolant measured on the supply side")
            .lower_is_worse(),
        gauge("coolant_return_flow", FLOW, Loop, LITRES, "coolant measured on the return side")
            .lower_is_worse(),
        gauge("coolant_pressure", KPA, Loop, PRESSURE, "gauge pressure of the coolant").usual(0.0, 700.0),
        gauge("coolant_differential_pressure", KPA, Rack, PRESSURE, "supply minus return pressure"),
        gauge("coolant_differential_pressure_setpoint", KPA, Loop, PRESSURE, "what the pump aims at")
            .kind(SetPoint),
        gauge("pump_differential_pressure", KPA, Loop, PRESSURE, "head that the pump gives"),
        gauge("cdu_differential_pressure", KPA, Loop, PRESSURE, "lost in the coolant distribution unit"),
        gauge("filter_differential_pressure", KPA, Loop, PRESSURE, "lost in the filter").usual(0.0, 100.0),
        gauge(
            "coolant_conductivity",
            Unit::MICROSIEMENS_PER_CENTIMETRE,
            Loop,
            Span::new(0.0, 100_000.0),
            "how well the coolant conducts",
        ),
        gauge("valve_position", PERCENT, Loop, STROKE, "opening of the control valve"),
        gauge("pump_speed", PERCENT, Loop, EFFORT, "share of the rated speed")
            .usual(0.0, 100.0)
            .other_unit("pump_rotational_speed"),
        gauge("pump_rotational_speed", Unit::RPM, Loop, Span::new(0.0, 60_000.0), "turns of the pump")
            .other_unit("pump_speed"),
        gauge("pump_power", Unit::WATTS, Loop, Span::new(0.0, 100_000.0), "electrical power of the pump"),
        gauge(
            "pump_vibration",
            Unit::MILLIMETRES_PER_SECOND,
            Loop,
            Span::new(0.0, 200.0),
            "velocity of vibration, r.m.s.",
        ),
        gauge("facility_supply_temperature", CEL, Loop, LIQUID, "facility water that comes to the exchanger"),
        gauge("facility_return_temperature", CEL, Loop, LIQUID, "facility water that leaves the exchanger"),
        gauge("facility_flow", FLOW, Loop, LITRES, "facility water through the exchanger").lower_is_worse(),
        gauge(
            "leak_state",
            CODE,
            Rack,
            Span::new(0.0, 4.0),
            "0 ok, 1 warning, 2 critical, 3 unavailable, 4 absent",
        )
        .kind(StateCode),
        gauge("dew_point", CEL, Site, Span::new(-80.0, 100.0), "dew point of the room's air"),
        gauge("humidity", PERCENT, Site, STROKE, "relative humidity of the room's air"),
        gauge("air_inlet_temperature", CEL, Rack, LIQUID, "air that comes to the rack"),
        gauge("air_exhaust_temperature", CEL, Rack, LIQUID, "air that leaves the rack"),
        gauge("room_temperature_setpoint", CEL, Site, LIQUID, "what the room's cooling aims at")
            .kind(SetPoint),
        gauge("door_air_outlet_temperature", CEL, Rack, LIQUID, "air behind the rear-door heat exchanger"),
        gauge("door_water_supply_temperature", CEL, Rack, LIQUID, "water that comes to the rear door"),
        gauge("door_valve_position", PERCENT, Rack, STROKE, "opening of the rear door's valve"),
        gauge("door_fan_speed", PERCENT, Rack, EFFORT, "share of the rear door's rated fan speed")
            .usual(0.0, 100.0),
        gauge("rack_power", Unit::KILOWATTS, Rack, Span::new(0.0, 2_000.0), "electrical power of the rack")
            .usual(0.0, 200.0),
        gauge(
            "heat_removed",
            Unit::KILOWATTS,
            Rack,
            Span::new(-2_000.0, 2_000.0),
            "heat that the coolant carries, as its source says",
        ),
        gauge("gpu_temperature", CEL, Device, CHIP, "core of the GPU").usual(0.0, 110.0),
        gauge("gpu_memory_temperature", CEL, Device, CHIP, "hottest memory of the GPU"),
        gauge("gpu_slowdown_temperature", CEL, Device, CHIP, "where the GPU begins to slow down")
            .kind(SetPoint),
        gauge(
            "gpu_temperature_margin",
            K,
            Device,
            Span::new(-60.0, 150.0),
            "headroom to the first thermal limit",
        )
        .usual(-20.0, 80.0)
        .lower_is_worse(),
        gauge("gpu_power", Unit::WATTS, Device, Span::new(0.0, 5_000.0), "electrical power of the GPU")
            .usual(0.0, 1_500.0),
        gauge("gpu_utilization", PERCENT, Device, STROKE, "share of time in which the GPU was busy"),
        gauge(
            "gpu_clock_frequency",
            Unit::MEGAHERTZ,
            Device,
            Span::new(0.0, 10_000.0),
            "clock of the streaming multiprocessors",
        ),
        gauge(
            "gpu_thermal_throttle_time",
            Unit::SECONDS,
            Device,
            Span::new(0.0, 1e10),
            "time slowed down by heat, since the driver started",
        )
        .kind(Counter),
        gauge(
            "clock_event_reasons",
            CODE,
            Device,
            Span::new(0.0, EXACT),
            "why the GPU's clocks are held back, as bits",
        )
        .kind(BitMask),
        gauge(
            "heartbeat",
            Unit::MILLISECONDS,
            Site,
            Span::new(0.0, EXACT),
            "the source's own time when it last gave a sign of life",
        )
        .kind(Feed),
        gauge("quality", CODE, Node, Span::new(0.0, 1.0), "1 when the source vouches for its readings")
            .kind(Feed),
    ]
};

/// The canonical signal of that name.
pub fn find(name: &str) -> Option<&'static Signal> {
    SIGNALS.iter().find(|signal| signal.name == name)
}

/// The canonical name that is most like `name`, for messages.
pub fn nearest(name: &str) -> Option<&'static str> {
    crate::document::nearest(name, SIGNALS.iter().map(|signal| signal.name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_signal_is_listed_once_and_its_ranges_are_nested() {
        for (index, signal) in SIGNALS.iter().enumerate() {
            assert!(
                SIGNALS[..index].iter().all(|before| before.name != signal.name),
                "{} twice",
                signal.name
            );
            assert!(signal.span.lowest < signal.span.highest, "{}", signal.name);
            if let Some(usual) = signal.usual {
                assert!(
                    signal.span.holds(usual.lowest) && signal.span.holds(usual.highest),
                    "{}",
                    signal.name
                );
            }
            if let Some(sibling) = signal.other_unit {
                let sibling = find(sibling).expect("a sibling is a signal");
                assert!(crate::unit::conversion(signal.unit, sibling.unit).is_err(), "{}", signal.name);
            }
        }
    }

    #[test]
    fn a_misspelt_signal_finds_the_one_that_was_meant() {
        assert_eq!(nearest("coolant_suply_temperature"), Some("coolant_supply_temperature"));
        assert_eq!(nearest("rack_pwoer"), Some("rack_power"));
    }

    #[test]
    fn state_codes_have_words_and_nothing_else_has() {
        for code in 0..=4 {
            let name = state_name(f64::from(code)).unwrap();
            assert_eq!(state_code(name), Some(f64::from(code)));
        }
        assert_eq!(state_name(0.5), None);
        assert_eq!(state_code("fine"), None);
    }
}
