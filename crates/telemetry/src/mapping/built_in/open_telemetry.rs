//! OpenTelemetry `hw.*` semantic conventions (status: development). Metric and attribute match: `hw.temperature`
//! alone cannot tell supply from return.
//!
//! The conventions have nothing for liquids. Our extension, with the same `hw.*` attributes:
//!
//! | metric | unit | told apart by |
//! |---|---|---|
//! | `hw.liquid.flow` | L/min | `hw.sensor_location` = `coolant_supply`, `coolant_return`, `facility`; the rack's or loop's own without |
//! | `hw.liquid.pressure` | kPa | `hw.id` |
//! | `hw.liquid.differential_pressure` | kPa | `hw.type` = `pump`, `cdu`, `filter`; the rack's or loop's own without |
//! | `hw.liquid.conductivity` | uS/cm | |
//! | `hw.valve.position`, `hw.fan.speed_ratio` | 1 | `hw.sensor_location` = `door` for the rear door's |
//! | `hw.pump.speed_ratio`, `hw.pump.speed`, `hw.pump.vibration` | 1, rpm, mm/s | `hw.id` |
//! | `hw.heat_removed` | W | |
//! | `hw.dew_point`, `hw.humidity` | Cel, 1 | |

use crate::signal::{STATE_CRITICAL, STATE_OK, STATE_WARNING};

use super::{BuiltIn, When, row};

const fn temperature(signal: &'static str, location: &'static [(&'static str, When)]) -> BuiltIn {
    row("hw.temperature", signal, "Cel").when(location)
}

/// The conventions' metrics, then our extension's.
pub(super) const ROWS: &[BuiltIn] = &[
    temperature("coolant_supply_temperature", &[("hw_sensor_location", When::Is(&["coolant_supply"]))]),
    temperature("coolant_return_temperature", &[("hw_sensor_location", When::Is(&["coolant_return"]))]),
    temperature("facility_supply_temperature", &[("hw_sensor_location", When::Is(&["facility_supply"]))]),
    temperature("facility_return_temperature", &[("hw_sensor_location", When::Is(&["facility_return"]))]),
    temperature("air_inlet_temperature", &[("hw_sensor_location", When::Is(&["intake", "inlet"]))]),
    temperature("air_exhaust_temperature", &[("hw_sensor_location", When::Is(&["exhaust"]))]),
    temperature("door_air_outlet_temperature", &[("hw_sensor_location", When::Is(&["door_air_outlet"]))]),
    temperature("door_water_supply_temperature", &[("hw_sensor_location", When::Is(&["door_water_supply"]))]),
    temperature(
        "gpu_temperature",
        &[("hw_parent", When::Like("gpu*")), ("hw_sensor_location", When::Is(&["core"]))],
    ),
    temperature(
        "gpu_memory_temperature",
        &[("hw_parent", When::Like("gpu*")), ("hw_sensor_location", When::Is(&["memory"]))],
    ),
    row("hw.temperature.limit", "gpu_slowdown_temperature", "Cel")
        .when(&[("hw_parent", When::Like("gpu*")), ("hw_limit_type", When::Is(&["high.critical"]))]),
    row("hw.power", "gpu_power", "W").when(&[("hw_type", When::Is(&["gpu"]))]),
    row("hw.power", "pump_power", "W").when(&[("hw_type", When::Is(&["pump"]))]),
    row("hw.power", "rack_power", "W").when(&[("hw_type", When::Is(&["rack"]))]),
    row("hw.gpu.utilization", "gpu_utilization", "1"),
    // `hw.status` is 1 in the state that `hw.state` names. Each state is a sensor of its own; the worst counts.
    row("hw.status", "leak_state", "")
        .when(&[("hw_type", When::Is(&["leak"])), ("hw_state", When::Is(&["failed"]))])
        .states(&[("0", STATE_OK), ("1", STATE_CRITICAL)])
        .sensor("failed"),
    row("hw.status", "leak_state", "")
        .when(&[("hw_type", When::Is(&["leak"])), ("hw_state", When::Is(&["degraded", "predicted_failure"]))])
        .states(&[("0", STATE_OK), ("1", STATE_WARNING)])
        .sensor("degraded"),
    row("hw.status", "leak_state", "").when(&[("hw_type", When::Is(&["leak"])), ("hw_state", When::Absent)]),
    row("hw.liquid.flow", "coolant_flow", "L/min").when(&[("hw_sensor_location", When::Absent)]),
    row("hw.liquid.flow", "coolant_supply_flow", "L/min")
        .when(&[("hw_sensor_location", When::Is(&["coolant_supply"]))]),
    row("hw.liquid.flow", "coolant_return_flow", "L/min")
        .when(&[("hw_sensor_location", When::Is(&["coolant_return"]))]),
    row("hw.liquid.flow", "facility_flow", "L/min")
        .when(&[("hw_sensor_location", When::Is(&["facility", "facility_supply"]))]),
    row("hw.liquid.pressure", "coolant_pressure", "kPa"),
    row("hw.liquid.differential_pressure", "coolant_differential_pressure", "kPa")
        .when(&[("hw_type", When::Absent)]),
    row("hw.liquid.differential_pressure", "pump_differential_pressure", "kPa")
        .when(&[("hw_type", When::Is(&["pump"]))]),
    row("hw.liquid.differential_pressure", "cdu_differential_pressure", "kPa")
        .when(&[("hw_type", When::Is(&["cdu"]))]),
    row("hw.liquid.differential_pressure", "filter_differential_pressure", "kPa")
        .when(&[("hw_type", When::Is(&["filter"]))]),
    row("hw.liquid.conductivity", "coolant_conductivity", "uS/cm"),
    row("hw.valve.position", "valve_position", "1").when(&[("hw_sensor_location", When::IsNot(&["door"]))]),
    row("hw.valve.position", "door_valve_position", "1").when(&[("hw_sensor_location", When::Is(&["door"]))]),
    row("hw.fan.speed_ratio", "door_fan_speed", "1").when(&[("hw_sensor_location", When::Is(&["door"]))]),
    row("hw.pump.speed_ratio", "pump_speed", "1"),
    row("hw.pump.speed", "pump_rotational_speed", "rpm"),
    row("hw.pump.vibration", "pump_vibration", "mm/s"),
    row("hw.heat_removed", "heat_removed", "W"),
    row("hw.dew_point", "dew_point", "Cel"),
    row("hw.humidity", "humidity", "1"),
];
