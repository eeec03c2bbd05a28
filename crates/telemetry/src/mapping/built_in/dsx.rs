//! NVIDIA DSX Exchange BMS points (source `dsx_bms`). A point comes with its metadata as labels:
//!
//! | label | from |
//! |---|---|
//! | metric name | `pointType` |
//! | unit | `engUnit`; none for points with `stateText` |
//! | `objectType`, `objectId`, `rackLocationId`, `integration` | as they stand |
//! | `processArea` | its words joined by `/`: `Secondary/Supply`; `Seccondary`, as it occurs on the bus, is understood |
//! | `isSetpoint` | `true`, or absent |
//! | `stateText` | present for points whose values are codes |
//! | `tagPath` | the point's opaque id; tells several pumps or valves of one unit apart |
//!
//! A rack is known by `rackLocationId`, a coolant distribution unit (a loop) by `objectId`. `quality` other than 1
//! is a distrusted reading, which the reader of the bus says with each point. The differential pressure of the
//! secondary side is the loop's (supply minus return), that of a filter the filter's. A faulty leak sensor is a
//! sensor of `leak_state` that is unavailable, apart from the leak itself.

use crate::signal::{STATE_CRITICAL, STATE_OK, STATE_UNAVAILABLE};

use super::{BuiltIn, When, row};

const LEAK: &[(&str, f64)] =
    &[("0", STATE_OK), ("1", STATE_CRITICAL), ("NoLeak", STATE_OK), ("Leak", STATE_CRITICAL)];
const FAULT: &[(&str, f64)] =
    &[("0", STATE_OK), ("1", STATE_UNAVAILABLE), ("NoFault", STATE_OK), ("Fault", STATE_UNAVAILABLE)];

const READING: (&str, When) = ("isSetpoint", When::IsNot(&["true"]));
const SETPOINT: (&str, When) = ("isSetpoint", When::Is(&["true"]));
const MEASURED: (&str, When) = ("stateText", When::Absent);
const CDU: (&str, When) = ("objectType", When::Is(&["CDU"]));
const DOOR: (&str, When) = ("objectType", When::Is(&["RDHx", "RearDoorHeatExchanger"]));
const PRIMARY: (&str, When) = ("process_circuit", When::Is(&["primary"]));
const SECONDARY: (&str, When) = ("process_circuit", When::Is(&["secondary"]));
const SUPPLY: (&str, When) = ("process_end", When::Is(&["supply"]));
const RETURN: (&str, When) = ("process_end", When::Is(&["return"]));
const NO_END: (&str, When) = ("process_end", When::Absent);
const WHOLE: (&str, When) = ("process_part", When::Absent);
const FILTER: (&str, When) = ("process_part", When::Is(&["filter"]));
const PUMP: (&str, When) = ("process_part", When::Is(&["pump"]));

const fn point(point: &'static str, signal: &'static str, unit: &'static str) -> BuiltIn {
    row(point, signal, unit).from("dsx_bms")
}

const fn cdu(
    name: &'static str,
    signal: &'static str,
    unit: &'static str,
    when: &'static [(&'static str, When)],
) -> BuiltIn {
    point(name, signal, unit).when(when).sensor_label("tagPath")
}

/// Points of racks, then of coolant distribution units, doors and rooms.
pub(super) const ROWS: &[BuiltIn] = &[
    point("RackLiquidSupplyTemperature", "coolant_supply_temperature", "Cel"),
    point("RackLiquidReturnTemperature", "coolant_return_temperature", "Cel"),
    point("RackLiquidFlow", "coolant_flow", "L/min"),
    point("RackLiquidDifferentialPressure", "coolant_differential_pressure", "kPa"),
    point("RackLiquidDifferentialPressureSp", "coolant_differential_pressure_setpoint", "kPa"),
    point("RackControlValvePosition", "valve_position", "%"),
    point("RackPower", "rack_power", "kW"),
    point("RackLeakDetect", "leak_state", "").states(LEAK),
    point("RackLeakDetectTray", "leak_state", "").states(LEAK).sensor("tray"),
    point("RackLeakSensorFault", "leak_state", "").states(FAULT).sensor("sensor_fault"),
    cdu("LiquidTemperature", "coolant_supply_temperature", "Cel", &[CDU, SECONDARY, SUPPLY, READING]),
    cdu("LiquidTemperature", "coolant_return_temperature", "Cel", &[CDU, SECONDARY, RETURN, READING]),
    cdu(
        "LiquidTemperature",
        "coolant_supply_temperature_setpoint",
        "Cel",
        &[CDU, SECONDARY, SUPPLY, SETPOINT],
    ),
    cdu("LiquidTemperature", "facility_supply_temperature", "Cel", &[CDU, PRIMARY, SUPPLY, READING]),
    cdu("LiquidTemperature", "facility_return_temperature", "Cel", &[CDU, PRIMARY, RETURN, READING]),
    cdu("LiquidFlow", "facility_flow", "L/min", &[CDU, PRIMARY, READING]),
    cdu("LiquidFlow", "coolant_flow", "L/min", &[CDU, SECONDARY, NO_END, READING]),
    cdu("LiquidFlow", "coolant_supply_flow", "L/min", &[CDU, SECONDARY, SUPPLY, READING]),
    cdu("LiquidFlow", "coolant_return_flow", "L/min", &[CDU, SECONDARY, RETURN, READING]),
    cdu("LiquidPressure", "coolant_pressure", "kPa", &[CDU, SECONDARY, READING]),
    cdu(
        "LiquidDifferentialPressure",
        "coolant_differential_pressure",
        "kPa",
        &[CDU, SECONDARY, WHOLE, READING],
    ),
    cdu(
        "LiquidDifferentialPressure",
        "coolant_differential_pressure_setpoint",
        "kPa",
        &[CDU, SECONDARY, WHOLE, SETPOINT],
    ),
    cdu("LiquidDifferentialPressure", "filter_differential_pressure", "kPa", &[CDU, FILTER, READING]),
    cdu("LiquidDifferentialPressure", "pump_differential_pressure", "kPa", &[CDU, PUMP, READING]),
    cdu("PumpSpeed", "pump_speed", "%", &[CDU, MEASURED, READING]),
    cdu("ValvePosition", "valve_position", "%", &[CDU, MEASURED, READING]),
    cdu("LeakDetect", "leak_state", "", &[CDU]).states(LEAK),
    cdu("LeakDetect", "leak_state", "", &[("objectType", When::Is(&["Sensor"]))]).states(LEAK),
    cdu("ValvePosition", "door_valve_position", "%", &[DOOR, MEASURED, READING]),
    cdu("FanSpeed", "door_fan_speed", "%", &[DOOR, MEASURED, READING]),
    cdu("AirRelativeHumidity", "humidity", "%", &[("objectType", When::Is(&["Sensor"])), READING]),
    point("HeartbeatTimestampBms", "heartbeat", "ms"),
];
