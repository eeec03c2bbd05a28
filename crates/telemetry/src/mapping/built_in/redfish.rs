//! Redfish properties under their own names, as an importer of recorded bodies gives them (source `redfish`), and
//! the redfish_exporter.
//!
//! `HGX_GPU_x_Temp_0` is the core's temperature, `Temp_1` headroom. `PowerWatts` is in watts although racks are
//! judged in kilowatts. A connector of facility water has the label `CoolingLoopType` = `FWS`.

use crate::signal::{STATE_ABSENT, STATE_CRITICAL, STATE_OK, STATE_UNAVAILABLE, STATE_WARNING};

use super::{BuiltIn, When, row};

const FACILITY: &[(&str, When)] = &[("CoolingLoopType", When::Is(&["FWS"]))];
const COOLANT: &[(&str, When)] = &[("CoolingLoopType", When::IsNot(&["FWS"]))];

const fn property(metric: &'static str, signal: &'static str, unit: &'static str) -> BuiltIn {
    row(metric, signal, unit).from("redfish")
}

const HEALTH: &[(&str, f64)] = &[("1", STATE_OK), ("2", STATE_WARNING), ("3", STATE_CRITICAL)];
const DETECTOR: &[(&str, f64)] = &[
    ("OK", STATE_OK),
    ("Warning", STATE_WARNING),
    ("Critical", STATE_CRITICAL),
    ("LeakDetected", STATE_CRITICAL),
    ("Unavailable", STATE_UNAVAILABLE),
    ("Absent", STATE_ABSENT),
];

const fn chassis(
    signal: &'static str,
    unit: &'static str,
    sensor: &'static [(&'static str, When)],
) -> BuiltIn {
    row("redfish_chassis_temperature_celsius", signal, unit).when(sensor)
}

const fn gpu_property(metric: &'static str, signal: &'static str, unit: &'static str) -> BuiltIn {
    property(metric, signal, unit).when(&[("resource", When::Is(&["Processor", "GPU"]))])
}

/// Properties, then the exporter.
pub(super) const ROWS: &[BuiltIn] = &[
    property("SupplyTemperatureCelsius", "coolant_supply_temperature", "Cel").when(COOLANT),
    property("SupplyTemperatureCelsius", "facility_supply_temperature", "Cel").when(FACILITY),
    property("ReturnTemperatureCelsius", "coolant_return_temperature", "Cel").when(COOLANT),
    property("ReturnTemperatureCelsius", "facility_return_temperature", "Cel").when(FACILITY),
    property("DeltaTemperatureCelsius", "coolant_delta_t", "K").when(COOLANT),
    property("FlowLitersPerMinute", "coolant_flow", "L/min").when(COOLANT),
    property("FlowLitersPerMinute", "facility_flow", "L/min").when(FACILITY),
    property("SupplyPressurekPa", "coolant_pressure", "kPa").when(COOLANT).sensor("supply"),
    property("ReturnPressurekPa", "coolant_pressure", "kPa").when(COOLANT).sensor("return"),
    property("DeltaPressurekPa", "coolant_differential_pressure", "kPa").when(COOLANT),
    property("HeatRemovedkW", "heat_removed", "kW").when(COOLANT),
    property("DeltaLiquidPressurekPa", "filter_differential_pressure", "kPa"),
    property("CoolantQuality", "coolant_conductivity", "uS/cm"),
    property("PumpSpeedPercent", "pump_speed", "%"),
    property("PumpSpeedPercent.Reading", "pump_speed", "%"),
    property("PumpSpeedPercent.SpeedRPM", "pump_rotational_speed", "rpm"),
    property("DetectorState", "leak_state", "").states(DETECTOR),
    property("DewPointCelsius", "dew_point", "Cel"),
    property("HumidityPercent", "humidity", "%"),
    property("TemperatureSummaryCelsius.Intake", "air_inlet_temperature", "Cel"),
    property("TemperatureSummaryCelsius.Exhaust", "air_exhaust_temperature", "Cel"),
    property("PowerWatts", "rack_power", "W").when(&[("resource", When::IsNot(&["Processor", "GPU"]))]),
    gpu_property("PowerWatts", "gpu_power", "W"),
    property("ThermalLimitThrottleDuration", "gpu_thermal_throttle_time", "s"),
    property("ThrottleReasons", "clock_event_reasons", ""),
    property("MetricValueStale", "quality", "").states(&[("false", 1.0), ("true", 0.0)]),
    chassis("gpu_temperature", "Cel", &[("sensor_id", When::Like("HGX_GPU_#_Temp_0"))]),
    chassis("gpu_temperature_margin", "K", &[("sensor_id", When::Like("HGX_GPU_#_Temp_1"))]),
    chassis("gpu_memory_temperature", "Cel", &[("sensor_id", When::Like("HGX_GPU_#_DRAM_#_Temp_0"))]),
    chassis("air_inlet_temperature", "Cel", &[("sensor_id", When::Like("HGX_Chassis_#_Inlet_#_Temp_0"))])
        .sensor_label("sensor_id"),
    row("redfish_gpu_temperature_tlimit_celsius", "gpu_temperature_margin", "K"),
    row("redfish_chassis_leak_detector_health", "leak_state", "").states(HEALTH),
];
