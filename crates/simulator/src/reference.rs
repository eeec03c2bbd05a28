//! The reference rack: 120 kW, 18 trays, PG25 coolant. Every value that the physics and the sensors start from.
//!
//! Sources: the design rules of OCP (1.5 L/min a kW, 10 K rise) and public data sheets of 120 kW racks; the split
//! between them is a model's choice, so that a nominal rack runs at 35 °C supply, 45 °C return and 80 % pump speed.

use telemetry::formula::Coolant;

/// Trays of a rack: parallel branches of coolant, each a node.
pub const TRAYS: usize = 18;
/// Electrical power of a rack at full load with dies at [`LEAKAGE_REFERENCE_CELSIUS`], kW.
pub const RACK_KILOWATTS: f64 = 120.0;
/// Share of the heat that goes into the coolant; the rest goes into the air.
pub const LIQUID_SHARE: f64 = 0.85;
/// No rack gives more of its heat to the coolant.
pub const LIQUID_SHARE_MAX: f64 = 0.97;
/// GPU equivalents of a tray: how many 1 kW dies carry its liquid heat.
pub const GPU_EQUIVALENTS: f64 = RACK_KILOWATTS * LIQUID_SHARE / TRAYS as f64;
/// Growth of power with die temperature by leakage current, 1/K.
pub const LEAKAGE_PER_KELVIN: f64 = 0.003;
/// Die temperature at which a load draws its nominal power, °C.
pub const LEAKAGE_REFERENCE_CELSIUS: f64 = 65.0;

/// A die hotter than this throttles, °C.
pub const SLOWDOWN_CELSIUS: f64 = 88.0;
/// A throttled die cooler than this runs at full speed again, °C.
pub const SPEEDUP_CELSIUS: f64 = 84.0;
/// A die throttles after being too hot for so long, s.
pub const SLOWDOWN_DELAY_SECONDS: f64 = 2.0;
/// Power of a throttled tray as a share of what its load asks.
pub const THROTTLED_SHARE: f64 = 0.7;

/// Heat capacity rate of PG25, kW/K per L/min.
pub const COOLANT_RATE: f64 = Coolant::Pg25.heat_capacity() / 60.0;
/// Heat capacity rate of facility water, kW/K per L/min.
pub const WATER_RATE: f64 = Coolant::Water.heat_capacity() / 60.0;

/// Coolant flow of a rack, L/min.
pub const RACK_FLOW: f64 = 150.0;
/// Pressure difference across a rack at [`RACK_FLOW`], kPa.
pub const RACK_KILOPASCAL: f64 = 100.0;
/// Pressure difference across the distribution unit's exchanger and pipes, kPa.
pub const CDU_KILOPASCAL: f64 = 60.0;
/// Pressure difference across a clean filter, kPa.
pub const FILTER_KILOPASCAL: f64 = 20.0;
/// Head that the pump loses inside itself, kPa (a·V² of its curve).
pub const PUMP_INNER_KILOPASCAL: f64 = 76.0;
/// Head of the pump at full speed without flow, kPa.
pub const PUMP_HEAD_KILOPASCAL: f64 = 400.0;
/// Efficiency of pump and motor.
pub const PUMP_EFFICIENCY: f64 = 0.5;
/// Flow that natural convection keeps up when the pump gives nothing, as a share of the nominal.
pub const STAGNANT_FLOW_SHARE: f64 = 1e-3;

/// Thermal resistance from die to cold plate, K/kW.
pub const DIE_PLATE_RESISTANCE: f64 = 16.0;
/// Thermal resistance from cold plate to coolant at nominal flow, K/kW.
pub const PLATE_COOLANT_RESISTANCE: f64 = 20.0;
/// The power of flow with which that falls.
pub const FILM_EXPONENT: f64 = 0.5;
/// Heat capacity of a die, kJ/K.
pub const DIE_CAPACITY: f64 = 0.150;
/// Heat capacity of a cold plate, kJ/K.
pub const PLATE_CAPACITY: f64 = 0.300;

/// Coolant in the pipe to a rack, and as much in the pipe back, L.
pub const PIPE_LITRES: f64 = 15.0;
/// Heat capacity of the distribution unit, kJ/K per rack: 30 L of coolant and 30 kJ/K of metal.
pub const CDU_CAPACITY: f64 = 30.0 * Coolant::Pg25.heat_capacity() + 30.0;
/// Conductance of the distribution unit's exchanger, kW/K per rack.
pub const CDU_CONDUCTANCE: f64 = 30.0;
/// The power of flow with which either side of that exchanger conducts (Dittus & Boelter .8, plates less).
pub const EXCHANGER_EXPONENT: f64 = 0.6;
/// Facility water through an open valve, L/min per rack.
pub const FACILITY_FLOW_MAX: f64 = 260.0;
/// Facility water at which [`CDU_CONDUCTANCE`] holds, L/min per rack.
pub const FACILITY_FLOW: f64 = 150.0;

/// Heat capacity rate of the air through a rack, kW/K.
pub const AIR_RATE: f64 = 1.25;
/// Heat capacity of what the air flows through, kJ/K.
pub const EXHAUST_CAPACITY: f64 = 60.0;
/// Conductance of the rear door, kW/K.
pub const DOOR_CONDUCTANCE: f64 = 3.2;
/// Heat capacity rate of the rear door's water, kW/K.
pub const DOOR_WATER_RATE: f64 = 2.5;
/// Supply temperature of the rear door's water, °C.
pub const DOOR_WATER_CELSIUS: f64 = 18.0;
/// Set point of the air that leaves the rear door, and temperature around the room, °C.
pub const ROOM_CELSIUS: f64 = 25.0;
/// Heat capacity of a rack's share of the room, kJ/K.
pub const ROOM_CAPACITY: f64 = 3_000.0;
/// Conductance from a rack's share of the room to the outside, kW/K.
pub const ROOM_CONDUCTANCE: f64 = 1.5;
/// Dew point of the room, °C.
pub const DEW_POINT_CELSIUS: f64 = 12.0;
