//! NVIDIA BCM's CDU metrics and other exporters of plants. Secondary sources: a site checks them against its own.

use crate::signal::{STATE_CRITICAL, STATE_OK, STATE_UNAVAILABLE};

use super::{BuiltIn, When, row};

const fn gadgetini(
    signal: &'static str,
    unit: &'static str,
    metric: &'static [(&'static str, When)],
) -> BuiltIn {
    row("dlc_system_sensor", signal, unit).when(metric)
}

/// BCM, then gadgetini. Its `coolant_flow` is estimated from the pump's PWM, so it is no measured flow and has no row.
pub(super) const ROWS: &[BuiltIn] = &[
    row("CDULiquidSupplyTemperature", "coolant_supply_temperature", "Cel"),
    row("CDULiquidReturnTemperature", "coolant_return_temperature", "Cel"),
    row("CDULiquidFlow", "coolant_flow", "L/min"),
    row("RF_LD_LeakDetection", "leak_state", "").states(&[("0", STATE_OK), ("1", STATE_CRITICAL)]),
    row("LeakSensorFaultRack", "leak_state", "")
        .states(&[("0", STATE_OK), ("1", STATE_UNAVAILABLE)])
        .sensor("sensor_fault"),
    row("delta_t1", "coolant_delta_t", "K"),
    row("pump_pwm_duty", "pump_speed", "%"),
    gadgetini("coolant_delta_t", "K", &[("metric", When::Is(&["delta_t1"]))]),
    gadgetini("pump_speed", "%", &[("metric", When::Is(&["pump_pwm_duty"]))]),
];
