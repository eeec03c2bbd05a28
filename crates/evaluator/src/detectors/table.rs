//! The table of detectors. Figures: the residual table of the methods (floor, relevance, gate), where no other source
//! is named.

use telemetry::facts::{Cause, Severity};
use telemetry::formula::{expected_delta_t, film_conductance, heat_kw, log_mean_difference};

use super::{Detector, Gate, Inputs, ONLY_WITH_PUMP_CURVE, Residual, ResidualRule, Rule, Side, Source};

/// Detectors of troubles that leave no reading of a place or loop as it was.
const UPHEAVALS: &[&str] = &["pump_trip", "hunting", "valve_stuck", "leak", "gap", "stale"];

/// Coolant flow of a loop.
const LOOP_FLOW: &[&str] = &["coolant_supply_flow", "coolant_flow"];

/// The same, where the site file tells the pump's curve: without that the flow says nothing of the pump.
const FLOW_FOR_PUMP_CURVE: &[&str] = &[ONLY_WITH_PUMP_CURVE, "coolant_supply_flow", "coolant_flow"];

/// All detectors, in the order of their reports: of two that speak in the same block, the first explains the other.
pub const DETECTORS: &[Detector] = &[
    Detector {
        name: "gap",
        alertname: "TelemetryGap",
        meaning: "no reading for longer than its feed allows",
        suggestion: "the exporter, its network path and its host",
        cause: Cause::Sensor,
        severity: Severity::Warning,
        explained_by: &["skew"],
        rule: Rule::Feed,
    },
    Detector {
        name: "stale",
        alertname: "TelemetryStale",
        meaning: "the source sends the same old reading again and again",
        suggestion: "the exporter's connection to the device",
        cause: Cause::Sensor,
        severity: Severity::Warning,
        explained_by: &[],
        rule: Rule::Feed,
    },
    Detector {
        name: "skew",
        alertname: "TelemetryClockSkew",
        meaning: "readings come from the future",
        suggestion: "the clock of the source",
        cause: Cause::Sensor,
        severity: Severity::Warning,
        explained_by: &[],
        rule: Rule::Feed,
    },
    Detector {
        name: "pump_trip",
        alertname: "PumpTrip",
        meaning: "the flow has fallen below half of what it was",
        suggestion: "the pump and its drive",
        cause: Cause::Rack,
        severity: Severity::Critical,
        explained_by: &[],
        rule: Rule::Arrival,
    },
    Detector {
        name: "hunting",
        alertname: "ControlHunting",
        meaning: "the supply temperature swings regularly: its control loop hunts",
        suggestion: "gain and integral time of the valve's controller, then the valve's actuator",
        cause: Cause::Rack,
        severity: Severity::Warning,
        explained_by: &["pump_trip"],
        rule: Rule::Control,
    },
    Detector {
        name: "valve_stuck",
        alertname: "ValveStuck",
        meaning: "the supply temperature is off its set point and the valve does not answer",
        suggestion: "the valve and its actuator; set it by hand",
        cause: Cause::Rack,
        severity: Severity::Critical,
        explained_by: &["pump_trip"],
        rule: Rule::Control,
    },
    Detector {
        name: "stiction",
        alertname: "ValveStiction",
        meaning: "the valve rests while its controller asks it to move, again and again",
        suggestion: "packing, actuator and positioner of the valve",
        cause: Cause::Rack,
        severity: Severity::Warning,
        explained_by: &["pump_trip", "valve_stuck", "hunting"],
        rule: Rule::Control,
    },
    Detector {
        name: "facility_warming",
        alertname: "FacilityWaterWarming",
        meaning: "the facility's water warms fast",
        suggestion: "cooling tower or chiller of the facility",
        cause: Cause::Facility,
        severity: Severity::Warning,
        explained_by: &[],
        rule: Rule::Control,
    },
    Detector {
        name: "noise_growth",
        alertname: "SensorNoiseGrowth",
        meaning: "the readings scatter more than they did, although load and loop rest",
        suggestion: "wiring, shielding and supply of the sensor, then the sensor",
        cause: Cause::Sensor,
        severity: Severity::Warning,
        explained_by: &["pump_trip", "hunting", "valve_stuck", "stiction", "gap", "stale"],
        rule: Rule::Sensor,
    },
    Detector {
        name: "leak",
        alertname: "CoolantLoss",
        meaning: "more coolant is sent than comes back",
        suggestion: "look for coolant on the floor, then at both flow meters",
        cause: Cause::Rack,
        severity: Severity::Critical,
        explained_by: &["pump_trip", "gap", "stale", "noise_growth"],
        rule: Rule::Residual(ResidualRule {
            source: Source::Signals {
                inputs: &[&["coolant_supply_flow"], &["coolant_return_flow"]],
                residual: difference,
            },
            side: Side::Up,
            floor: 0.2,
            relevance: 1.0,
            gate: Gate::Always,
            unit: "L/min",
        }),
    },
    Detector {
        name: "flow_meter",
        alertname: "FlowMeterDrift",
        meaning: "more coolant seems to come back than is sent: a flow meter drifts",
        suggestion: "flow meters of supply and return",
        cause: Cause::Sensor,
        severity: Severity::Warning,
        explained_by: &["pump_trip", "gap", "stale", "noise_growth"],
        rule: Rule::Residual(ResidualRule {
            source: Source::Signals {
                inputs: &[&["coolant_supply_flow"], &["coolant_return_flow"]],
                residual: difference,
            },
            side: Side::Down,
            floor: 0.2,
            relevance: 1.0,
            gate: Gate::Always,
            unit: "L/min",
        }),
    },
    Detector {
        name: "pump",
        alertname: "PumpHeadLoss",
        meaning: "the pump gives less head than it did at this speed",
        suggestion: "pump impeller, bearing and drive",
        cause: Cause::Rack,
        severity: Severity::Warning,
        explained_by: &["pump_trip", "gap", "stale"],
        rule: Rule::Residual(ResidualRule {
            source: Source::Signals {
                inputs: &[&["pump_differential_pressure"], &["pump_speed"], FLOW_FOR_PUMP_CURVE],
                // Head without flow by the square of the speed (affinity law). Without a pump curve the part a·V² that
                // the pump loses inside is left out: it follows the square of the speed too while the valves rest.
                residual: |inputs| {
                    let lost = inputs.means.get(2).map_or(0.0, |flow| inputs.pump_curve * square(*flow));
                    log_ratio(inputs.means[0] + lost, square(inputs.means[1] / 100.0))
                },
            },
            side: Side::Down,
            floor: 0.003,
            relevance: 0.03,
            gate: Gate::Always,
            unit: "",
        }),
    },
    Detector {
        name: "pump_efficiency",
        alertname: "PumpEfficiencyLoss",
        meaning: "the pump takes more power than it did for what it moves",
        suggestion: "bearings, seal and motor of the pump",
        cause: Cause::Rack,
        severity: Severity::Warning,
        explained_by: &["pump_trip", "leak", "flow_meter", "pump", "stuck", "gap", "stale", "noise_growth"],
        rule: Rule::Residual(ResidualRule {
            source: Source::Signals {
                inputs: &[&["pump_power"], &["pump_differential_pressure"], LOOP_FLOW],
                // Hydraulic by electrical power; which of the loop's flow is measured is a constant factor.
                residual: |inputs| {
                    let [power, head, flow] = inputs.means[..] else { return None };
                    (head > 0.0 && flow > 0.0).then_some(())?;
                    log_ratio(head * flow, power)
                },
            },
            side: Side::Down,
            floor: 0.005,
            relevance: 0.04,
            gate: Gate::Always,
            unit: "",
        }),
    },
    Detector {
        name: "filter",
        alertname: "FilterClogging",
        meaning: "the filter resists the flow more than it did",
        suggestion: "the filter of the distribution unit",
        cause: Cause::Rack,
        severity: Severity::Warning,
        explained_by: &["pump_trip", "leak", "flow_meter", "gap", "stale"],
        rule: Rule::Residual(ResidualRule {
            source: Source::Signals {
                inputs: &[&["filter_differential_pressure"], LOOP_FLOW],
                residual: |inputs| log_ratio(inputs.means[0], square(inputs.means[1])),
            },
            side: Side::Up,
            floor: 0.01,
            relevance: 0.15,
            gate: Gate::Always,
            unit: "",
        }),
    },
    Detector {
        name: "rack_k",
        alertname: "RackFlowRestriction",
        meaning: "the rack resists the flow more than it did",
        suggestion: "hoses, manifold, quick disconnects and cold plates of the rack",
        cause: Cause::Rack,
        severity: Severity::Warning,
        explained_by: &["pump_trip", "stuck", "gap", "stale", "noise_growth"],
        rule: Rule::Residual(ResidualRule {
            source: Source::Signals {
                inputs: &[&["coolant_differential_pressure"], &["coolant_flow"]],
                residual: |inputs| log_ratio(inputs.means[0], square(inputs.means[1])),
            },
            side: Side::Up,
            floor: 0.008,
            relevance: 0.06,
            gate: Gate::Always,
            unit: "",
        }),
    },
    Detector {
        name: "redund",
        alertname: "RedundantSensorsDisagree",
        meaning: "two sensors of one quantity drift apart",
        suggestion: "the sensor that other balances contradict too, else both",
        cause: Cause::Sensor,
        severity: Severity::Warning,
        explained_by: &["pump_trip", "stuck", "gap", "stale", "noise_growth"],
        rule: Rule::Residual(ResidualRule {
            source: Source::Pair("coolant_supply_temperature"),
            side: Side::Both,
            floor: 0.03,
            relevance: 0.15,
            gate: Gate::Steady,
            unit: "K",
        }),
    },
    Detector {
        name: "door",
        alertname: "RearDoorCeiling",
        meaning: "the air behind the rear door is warmer than it shall be: the door takes no more heat",
        suggestion: "water and fins of the rear door, then the load of the rack",
        cause: Cause::Rack,
        severity: Severity::Warning,
        explained_by: &["pump_trip", "stuck", "gap", "stale"],
        rule: Rule::Residual(ResidualRule {
            source: Source::Signals {
                inputs: &[&["door_air_outlet_temperature"], &["room_temperature_setpoint"]],
                residual: difference,
            },
            side: Side::Up,
            floor: 0.08,
            relevance: 0.5,
            gate: Gate::Always,
            unit: "K",
        }),
    },
    Detector {
        name: "tray",
        alertname: "TrayRestriction",
        meaning: "the GPUs of one tray resist cooling more than those of the others",
        suggestion: "hoses and cold plates of the tray: kinked, blocked or fouled",
        cause: Cause::Rack,
        severity: Severity::Warning,
        explained_by: UPHEAVALS,
        rule: Rule::Residual(ResidualRule {
            source: Source::TrayResistance,
            side: Side::Up,
            floor: 0.01,
            relevance: 0.04,
            gate: Gate::Steady,
            unit: "",
        }),
    },
    Detector {
        name: "rth",
        alertname: "ColdPlateFouling",
        meaning: "the rack's GPUs resist cooling more than they did",
        suggestion: "cold plates of the rack and the coolant's filter and chemistry",
        cause: Cause::Rack,
        severity: Severity::Warning,
        explained_by: &[
            "pump_trip",
            "hunting",
            "valve_stuck",
            "leak",
            "gap",
            "stale",
            "rack_k",
            "redund",
            "stuck",
            "pump",
        ],
        rule: Rule::Residual(ResidualRule {
            source: Source::RackResistance,
            side: Side::Up,
            floor: 0.006,
            relevance: 0.03,
            gate: Gate::Steady,
            unit: "",
        }),
    },
    Detector {
        name: "ua",
        alertname: "ExchangerFouling",
        meaning: "the exchanger transfers less heat than it did at these flows",
        suggestion: "plates of the distribution unit's exchanger, on the facility's side first",
        cause: Cause::Rack,
        severity: Severity::Warning,
        explained_by: &[
            "pump_trip",
            "hunting",
            "valve_stuck",
            "leak",
            "flow_meter",
            "stuck",
            "gap",
            "stale",
            "noise_growth",
        ],
        rule: Rule::Residual(ResidualRule {
            source: Source::Signals {
                inputs: &[
                    &["facility_flow"],
                    &["facility_supply_temperature"],
                    &["coolant_supply_temperature"],
                    &["coolant_return_temperature"],
                    LOOP_FLOW,
                ],
                residual: |inputs| {
                    let [water_flow, water, cold, warm, flow] = inputs.means[..] else { return None };
                    exchanger_conductance(inputs.heat_capacity, flow, warm, cold, water_flow, water)
                        .and_then(|conductance| log_ratio(conductance, film_conductance(flow, water_flow)))
                },
            },
            side: Side::Down,
            floor: 0.05,
            relevance: 0.20,
            gate: Gate::SteadyAndBusy,
            unit: "",
        }),
    },
    Detector {
        name: "facbal",
        alertname: "FacilityHeatBalance",
        meaning: "facility water and coolant carry different heats: a thermometer or flow meter of the loop drifts",
        suggestion: "thermometers and flow meters of the distribution unit, both sides",
        cause: Cause::Sensor,
        severity: Severity::Warning,
        explained_by: &[
            "pump_trip",
            "hunting",
            "valve_stuck",
            "leak",
            "flow_meter",
            "redund",
            "stuck",
            "gap",
            "stale",
            "noise_growth",
        ],
        rule: Rule::Residual(ResidualRule {
            source: Source::Signals {
                inputs: &[
                    &["facility_flow"],
                    &["facility_supply_temperature"],
                    &["facility_return_temperature"],
                    &["coolant_supply_temperature"],
                    &["coolant_return_temperature"],
                    LOOP_FLOW,
                ],
                residual: |inputs| {
                    let [water_flow, water, water_return, cold, warm, flow] = inputs.means[..] else {
                        return None;
                    };
                    if water_flow < FACILITY_FLOW_SHARE_MINIMUM * flow {
                        return None;
                    }
                    let given = heat_kw(flow, warm - cold, inputs.heat_capacity);
                    let taken = heat_kw(water_flow, water_return - water, WATER_HEAT_CAPACITY);
                    (given > 0.0).then(|| taken / given).and_then(residual)
                },
            },
            side: Side::Both,
            floor: 0.015,
            relevance: 0.06,
            gate: Gate::SteadyAndBusy,
            unit: "1",
        }),
    },
    Detector {
        name: "hb",
        alertname: "HeatBalance",
        meaning: "the coolant carries another heat than the rack's power explains: a sensor drifts or coolant bypasses",
        suggestion: "thermometers, flow meter and power meter of the rack",
        cause: Cause::Sensor,
        severity: Severity::Warning,
        explained_by: &[
            "pump_trip",
            "hunting",
            "valve_stuck",
            "leak",
            "gap",
            "stale",
            "redund",
            "stuck",
            "flow_meter",
            "noise_growth",
        ],
        rule: Rule::Residual(ResidualRule {
            source: Source::Signals {
                inputs: &[
                    &["rack_power"],
                    &["coolant_return_temperature"],
                    &["coolant_supply_temperature"],
                    &["coolant_flow"],
                ],
                residual: |inputs| {
                    let [power, warm, cold, flow] = inputs.means[..] else { return None };
                    let regressor = expected_delta_t(power, 1.0, flow, inputs.heat_capacity)?;
                    Some(Residual { value: warm - cold, regressor: Some(regressor) })
                },
            },
            side: Side::Both,
            floor: 0.06,
            relevance: 0.30,
            gate: Gate::Steady,
            unit: "K",
        }),
    },
    Detector {
        name: "ctl",
        alertname: "SupplyTemperatureOffSetPoint",
        meaning: "the supply temperature is off its set point although the load rests",
        suggestion: "valve, controller and facility water of the distribution unit",
        cause: Cause::Rack,
        severity: Severity::Warning,
        explained_by: &[
            "pump_trip",
            "hunting",
            "valve_stuck",
            "facility_warming",
            "ua",
            "leak",
            "redund",
            "stuck",
            "gap",
            "stale",
        ],
        rule: Rule::Residual(ResidualRule {
            source: Source::Signals {
                inputs: &[&["coolant_supply_temperature_setpoint"], &["coolant_supply_temperature"]],
                residual: |inputs| residual(inputs.means[1] - inputs.means[0]),
            },
            side: Side::Both,
            floor: 0.08,
            relevance: 1.0,
            gate: Gate::Steady,
            unit: "K",
        }),
    },
    Detector {
        name: "saturation",
        alertname: "CoolingSaturated",
        meaning: "under a load that rests, valve or pump is at its end, or a temperature will be at its limit within the hour",
        suggestion: "facility water, exchanger, pump and room, before longer or larger loads",
        cause: Cause::Rack,
        severity: Severity::Warning,
        explained_by: &[
            "pump_trip",
            "hunting",
            "valve_stuck",
            "stiction",
            "facility_warming",
            "leak",
            "flow_meter",
            "pump",
            "filter",
            "rack_k",
            "redund",
            "door",
            "ua",
            "facbal",
            "hb",
            "ctl",
            "stuck",
        ],
        rule: Rule::Control,
    },
    Detector {
        name: "power_envelope",
        alertname: "PowerNearEnvelope",
        meaning: "the rack draws nearly its nominal power, and has for ten minutes",
        suggestion: "nothing is wrong; see its headroom before more load, or a warmer day, comes",
        cause: Cause::Rack,
        severity: Severity::Info,
        explained_by: &[],
        rule: Rule::Load,
    },
    Detector {
        name: "stuck",
        alertname: "SensorStuck",
        meaning: "the value has rested much longer than it ever did",
        suggestion: "the sensor and its gateway",
        cause: Cause::Sensor,
        severity: Severity::Warning,
        explained_by: &["pump_trip", "valve_stuck"],
        rule: Rule::Sensor,
    },
    Detector {
        name: "watch",
        alertname: "WatchedGroupUnusual",
        meaning: "the group's signals are not as they usually are",
        suggestion: "what the group's signals measure, and whatever changed at that time",
        cause: Cause::Rack,
        severity: Severity::Warning,
        explained_by: &["pump_trip", "hunting", "valve_stuck", "leak"],
        rule: Rule::Group,
    },
    Detector {
        name: "coverage_low",
        alertname: "TelemetryCoverageLow",
        meaning: "too little of the last hour is known",
        suggestion: "the feed of this place",
        cause: Cause::Sensor,
        severity: Severity::Warning,
        explained_by: &["gap", "stale", "skew", "stuck", "pump_trip"],
        rule: Rule::Feed,
    },
];

/// Volumetric heat capacity of the facility's water, MJ/(m³·K).
const WATER_HEAT_CAPACITY: f64 = telemetry::formula::Coolant::Water.heat_capacity();
/// Less water than this share of the coolant's flow says nothing of an exchanger.
const FACILITY_FLOW_SHARE_MINIMUM: f64 = 0.25;
/// Smallest logarithmic mean temperature difference that means something, K.
const MEAN_DIFFERENCE_MINIMUM: f64 = 2.0;

/// Conductance UA of a counter-flow exchanger, kW/K: heat by the logarithmic mean temperature difference. The water's
/// return temperature follows from the heat, so that its thermometer has no part in it. None outside its validity.
///
/// Flows in L/min, temperatures in °C: coolant `warm` in and `cold` out, facility `water` in.
fn exchanger_conductance(
    heat_capacity: f64,
    flow: f64,
    warm: f64,
    cold: f64,
    water_flow: f64,
    water: f64,
) -> Option<f64> {
    let heat = heat_kw(flow, warm - cold, heat_capacity);
    let rise = expected_delta_t(heat, 1.0, water_flow, WATER_HEAT_CAPACITY)?;
    let (at_warm_end, at_cold_end) = (warm - (water + rise), cold - water);
    if water_flow < FACILITY_FLOW_SHARE_MINIMUM * flow {
        return None;
    }
    let mean = log_mean_difference(at_warm_end, at_cold_end)?;
    (mean > MEAN_DIFFERENCE_MINIMUM).then(|| heat / mean)
}

fn square(value: f64) -> f64 {
    value * value
}

/// The first input minus the second.
fn difference(inputs: &Inputs<'_>) -> Option<Residual> {
    residual(inputs.means[0] - inputs.means[1])
}

fn residual(value: f64) -> Option<Residual> {
    value.is_finite().then_some(Residual { value, regressor: None })
}

/// ln(numerator / denominator); none where a standstill makes it meaningless.
fn log_ratio(numerator: f64, denominator: f64) -> Option<Residual> {
    (numerator > 0.0 && denominator > 0.0).then(|| libm::log(numerator / denominator)).and_then(residual)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pump_that_stands_still_has_no_head_residual() {
        assert_eq!(log_ratio(0.0, 0.0), None);
        assert_eq!(log_ratio(200.0, 1.0).unwrap().value, libm::log(200.0));
    }

    fn residual_of(name: &str, means: &[f64], pump_curve: f64) -> f64 {
        let row = DETECTORS.iter().find(|row| row.name == name).unwrap();
        let Rule::Residual(ResidualRule { source: Source::Signals { residual, .. }, .. }) = &row.rule else {
            panic!("{name}")
        };
        residual(&Inputs { means, heat_capacity: 3.98, pump_curve }).unwrap().value
    }

    #[test]
    fn with_its_curve_a_pump_has_the_same_head_at_every_flow() {
        // H = 400 s² − .00338 V², kPa: at 80 % and 150 L/min, and at 59 % and half of that.
        let curve = 76.0 / (150.0 * 150.0);
        let at = |speed: f64, flow: f64| {
            let head = 400.0 * square(speed / 100.0) - curve * square(flow);
            [curve, 0.0].map(|known| residual_of("pump", &[head, speed, flow], known))
        };
        let ([with, without], [with_less, without_less]) = (at(80.0, 150.0), at(59.0, 75.0));
        assert!(
            (with - with_less).abs() < 1e-12 && (with - libm::log(400.0)).abs() < 1e-12,
            "{with} {with_less}"
        );
        assert!(without_less - without > 0.1, "without it the flow looks like a loss of head");
    }

    #[test]
    fn a_pump_that_takes_a_fifth_more_power_has_lost_a_sixth_of_its_efficiency() {
        let shift = residual_of("pump_efficiency", &[1_080.0, 180.0, 150.0], 0.0)
            - residual_of("pump_efficiency", &[900.0, 180.0, 150.0], 0.0);
        assert!((libm::exp(shift) - 5.0 / 6.0).abs() < 1e-12, "{shift}");
    }

    #[test]
    fn what_explains_a_detector_is_a_detector_and_never_itself() {
        for row in DETECTORS {
            for name in row.explained_by {
                assert!(DETECTORS.iter().any(|other| other.name == *name), "{} by {name}", row.name);
                assert_ne!(*name, row.name);
            }
        }
    }

    #[test]
    fn no_two_detectors_explain_each_other() {
        let explains = |one: &Detector, other: &Detector| other.explained_by.contains(&one.name);
        for (number, one) in DETECTORS.iter().enumerate() {
            for other in &DETECTORS[number + 1..] {
                assert!(!(explains(one, other) && explains(other, one)), "{} and {}", one.name, other.name);
            }
        }
    }

    #[test]
    fn the_exchangers_conductance_is_that_of_the_textbook() {
        // Incropera, counter-flow: 150 L/min of coolant from 45 to 35 °C against 150 L/min of water from 28 °C.
        let conductance = exchanger_conductance(3.98, 150.0, 45.0, 35.0, 150.0, 28.0).unwrap();
        // Heat 99.5 kW, water rise 9.59 K, ends 7.41 and 7 K, mean 7.20 K.
        assert!((conductance - 13.81).abs() < 0.02, "{conductance}");
        assert_eq!(exchanger_conductance(3.98, 150.0, 45.0, 35.0, 150.0, 34.0), None, "too close");
        assert_eq!(exchanger_conductance(3.98, 150.0, 45.0, 35.0, 0.0, 28.0), None, "no water");
    }
}
