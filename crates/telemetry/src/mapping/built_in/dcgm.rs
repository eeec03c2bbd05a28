//! dcgm-exporter. Throttling counters are nanoseconds, whatever help texts before November 2025 say. The limit
//! `GPU_TEMP_LIMIT` is headroom, not a temperature. Values of parts without a sensor are blanks.

use super::{BuiltIn, row};

/// Names of the 2.x to 4.x exporter, of field lists without its prefix (4.6), and of 1.x.
pub(super) const ROWS: &[BuiltIn] = &[
    row("DCGM_FI_DEV_GPU_TEMP", "gpu_temperature", "Cel"),
    row("GPU_TEMP_CELSIUS", "gpu_temperature", "Cel"),
    row("dcgm_gpu_temp", "gpu_temperature", "Cel"),
    row("DCGM_FI_DEV_MEMORY_TEMP", "gpu_memory_temperature", "Cel"),
    row("MEMORY_TEMP_CELSIUS", "gpu_memory_temperature", "Cel"),
    row("dcgm_memory_temp", "gpu_memory_temperature", "Cel"),
    row("DCGM_FI_DEV_SLOWDOWN_TEMP", "gpu_slowdown_temperature", "Cel"),
    row("SLOWDOWN_TEMP_CELSIUS", "gpu_slowdown_temperature", "Cel"),
    row("DCGM_FI_DEV_GPU_TEMP_LIMIT", "gpu_temperature_margin", "K"),
    row("GPU_TEMP_MARGIN_CELSIUS", "gpu_temperature_margin", "K"),
    row("DCGM_FI_DEV_POWER_USAGE", "gpu_power", "W"),
    row("BOARD_POWER_WATTS", "gpu_power", "W"),
    row("dcgm_power_usage", "gpu_power", "W"),
    row("DCGM_FI_DEV_POWER_USAGE_INSTANT", "gpu_power", "W").sensor("instant"),
    row("DCGM_FI_DEV_GPU_UTIL", "gpu_utilization", "%"),
    row("dcgm_gpu_utilization", "gpu_utilization", "%"),
    row("DCGM_FI_DEV_SM_CLOCK", "gpu_clock_frequency", "MHz"),
    row("dcgm_sm_clock", "gpu_clock_frequency", "MHz"),
    row("DCGM_FI_DEV_THERMAL_VIOLATION", "gpu_thermal_throttle_time", "ns"),
    row("dcgm_thermal_violation", "gpu_thermal_throttle_time", "ns"),
    row("DCGM_FI_DEV_CLOCKS_EVENT_REASON_SW_THERM_SLOWDOWN_NS", "gpu_thermal_throttle_time", "ns")
        .sensor("software"),
    row("DCGM_FI_DEV_CLOCKS_EVENT_REASON_HW_THERM_SLOWDOWN_NS", "gpu_thermal_throttle_time", "ns")
        .sensor("hardware"),
    row("DCGM_FI_DEV_CLOCKS_EVENT_REASONS", "clock_event_reasons", ""),
    row("DCGM_FI_DEV_CLOCK_THROTTLE_REASONS", "clock_event_reasons", ""),
];
