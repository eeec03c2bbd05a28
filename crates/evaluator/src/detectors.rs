//! Every detector, as a row of one table: adding one touches this place. A row that watches a residual gives only the
//! residual and when it means something; baseline, CUSUM, relevance and latch are the engine's, the same for all.
//!
//! series, blocks → **detectors** → findings

pub(crate) mod residual; // baseline, CUSUM, relevance, latch
pub(crate) mod steady; // when a rack is steady enough for a heat balance

use telemetry::facts::{Cause, Severity};
use telemetry::formula::expected_delta_t;

/// A detector.
#[derive(Debug)]
pub struct Detector {
    /// Its name in findings, policies and SQL.
    pub name: &'static str,
    /// The name of its alerts.
    pub alertname: &'static str,
    /// What is wrong when it speaks.
    pub meaning: &'static str,
    /// What to look at.
    pub suggestion: &'static str,
    /// Whose doing it is; `Rack` is the facility's where it is about a loop.
    pub cause: Cause,
    /// How grave; `coverage_low` becomes critical below 80 %.
    pub severity: Severity,
    /// What it looks at.
    pub rule: Rule,
}

/// What a detector looks at.
#[derive(Debug)]
pub enum Rule {
    /// Times of readings.
    Feed,
    /// Readings of one sensor.
    Sensor,
    /// Readings as they arrive.
    Arrival,
    /// A residual of block means.
    Residual(ResidualRule),
}

/// A residual, which is near its baseline while all is well.
#[derive(Debug)]
pub struct ResidualRule {
    /// Signals that it is made of. It is watched at each place that has the first; the others are found there or at
    /// the nearest place above. Where one offers a choice, the first that exists is taken.
    pub inputs: &'static [&'static [&'static str]],
    /// The residual of one block.
    pub residual: fn(&Inputs<'_>) -> Option<Residual>,
    /// The smallest standard deviation that a baseline may claim, in the residual's unit.
    pub floor: f64,
    /// The smallest shift that may alarm, in the residual's unit.
    pub relevance: f64,
    /// When it means something.
    pub gate: Gate,
    /// Its unit; empty for a logarithm of a ratio.
    pub unit: &'static str,
}

/// Block means of a residual's inputs, in their order.
#[derive(Debug)]
pub struct Inputs<'a> {
    /// Means in canonical units.
    pub means: &'a [f64],
    /// Volumetric heat capacity of the coolant, MJ/(m³·K).
    pub heat_capacity: f64,
}

/// A residual, or what a line is fitted to: `value − (slope · regressor + offset)` is the residual then.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Residual {
    /// In the rule's unit.
    pub value: f64,
    /// What the line is a function of.
    pub regressor: Option<f64>,
}

/// When a residual means something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gate {
    /// Always.
    Always,
    /// While the rack's power rests and its loop is settled.
    Steady,
}

/// All detectors, in the order of their reports. Figures: residual table of the methods (floor, relevance, gate).
pub const DETECTORS: &[Detector] = &[
    Detector {
        name: "gap",
        alertname: "TelemetryGap",
        meaning: "no reading for longer than its feed allows",
        suggestion: "the exporter, its network path and its host",
        cause: Cause::Sensor,
        severity: Severity::Warning,
        rule: Rule::Feed,
    },
    Detector {
        name: "stale",
        alertname: "TelemetryStale",
        meaning: "the source sends the same old reading again and again",
        suggestion: "the exporter's connection to the device",
        cause: Cause::Sensor,
        severity: Severity::Warning,
        rule: Rule::Feed,
    },
    Detector {
        name: "skew",
        alertname: "TelemetryClockSkew",
        meaning: "readings come from the future",
        suggestion: "the clock of the source",
        cause: Cause::Sensor,
        severity: Severity::Warning,
        rule: Rule::Feed,
    },
    Detector {
        name: "coverage_low",
        alertname: "TelemetryCoverageLow",
        meaning: "too little of the last hour is known",
        suggestion: "the feed of this place",
        cause: Cause::Sensor,
        severity: Severity::Warning,
        rule: Rule::Feed,
    },
    Detector {
        name: "stuck",
        alertname: "SensorStuck",
        meaning: "the value has rested much longer than it ever did",
        suggestion: "the sensor and its gateway",
        cause: Cause::Sensor,
        severity: Severity::Warning,
        rule: Rule::Sensor,
    },
    Detector {
        name: "pump_trip",
        alertname: "PumpTrip",
        meaning: "the flow has fallen below half of what it was",
        suggestion: "the pump and its drive",
        cause: Cause::Rack,
        severity: Severity::Critical,
        rule: Rule::Arrival,
    },
    Detector {
        name: "pump",
        alertname: "PumpHeadLoss",
        meaning: "the pump gives another head than it did at this speed",
        suggestion: "pump impeller, bearing and drive",
        cause: Cause::Rack,
        severity: Severity::Warning,
        rule: Rule::Residual(ResidualRule {
            inputs: &[&["pump_differential_pressure"], &["pump_speed"]],
            // Head by the square of the speed (affinity law). Without a pump curve the part a·V² is left out: it
            // follows the square of the speed too while the valves rest.
            residual: |inputs| log_ratio(inputs.means[0], square(inputs.means[1] / 100.0)),
            floor: 0.003,
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
        rule: Rule::Residual(ResidualRule {
            inputs: &[&["filter_differential_pressure"], &["coolant_flow", "coolant_supply_flow"]],
            residual: |inputs| log_ratio(inputs.means[0], square(inputs.means[1])),
            floor: 0.01,
            relevance: 0.25,
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
        rule: Rule::Residual(ResidualRule {
            inputs: &[&["coolant_differential_pressure"], &["coolant_flow"]],
            residual: |inputs| log_ratio(inputs.means[0], square(inputs.means[1])),
            floor: 0.008,
            relevance: 0.06,
            gate: Gate::Always,
            unit: "",
        }),
    },
    Detector {
        name: "leak",
        alertname: "CoolantLoss",
        meaning: "more coolant is sent than comes back",
        suggestion: "look for coolant on the floor, then at both flow meters",
        cause: Cause::Rack,
        severity: Severity::Critical,
        rule: Rule::Residual(ResidualRule {
            inputs: &[&["coolant_supply_flow"], &["coolant_return_flow"]],
            residual: |inputs| residual(inputs.means[0] - inputs.means[1]),
            floor: 0.2,
            relevance: 1.0,
            gate: Gate::Always,
            unit: "L/min",
        }),
    },
    Detector {
        name: "hb",
        alertname: "HeatBalance",
        meaning: "the coolant carries another heat than the rack's power explains: a sensor drifts or coolant bypasses",
        suggestion: "thermometers, flow meter and power meter of the rack",
        cause: Cause::Sensor,
        severity: Severity::Warning,
        rule: Rule::Residual(ResidualRule {
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
            floor: 0.06,
            relevance: 0.35,
            gate: Gate::Steady,
            unit: "K",
        }),
    },
];

/// The names of all detectors, in the order of the table.
pub fn names() -> Vec<&'static str> {
    DETECTORS.iter().map(|detector| detector.name).collect()
}

/// The detector of that name.
pub fn detector(name: &str) -> Option<&'static Detector> {
    DETECTORS.iter().find(|detector| detector.name == name)
}

/// One that the engine itself names.
pub(crate) fn known(name: &str) -> &'static Detector {
    detector(name).expect("the engine names rows of the table")
}

fn square(value: f64) -> f64 {
    value * value
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
    fn names_and_alert_names_are_unique() {
        for names in [
            DETECTORS.iter().map(|row| row.name).collect::<Vec<_>>(),
            DETECTORS.iter().map(|row| row.alertname).collect(),
        ] {
            let unique: std::collections::BTreeSet<_> = names.iter().collect();
            assert_eq!(unique.len(), names.len());
        }
    }

    #[test]
    fn a_pump_that_stands_still_has_no_head_residual() {
        assert_eq!(log_ratio(0.0, 0.0), None);
        assert_eq!(log_ratio(200.0, 1.0).unwrap().value, libm::log(200.0));
    }
}
