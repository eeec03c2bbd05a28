//! Every detector, as a row of one table: adding one touches this place. A row that watches a residual gives only the
//! residual and when it means something; baseline, CUSUM, relevance and latch are the engine's, the same for all.
//!
//! series, blocks → **detectors** → findings

mod table; // every detector: read this first

pub(crate) mod incidence; // which sensor is to blame
pub(crate) mod motion; // how a valve moves
pub(crate) mod oscillation; // control loops that swing
pub(crate) mod residual; // baseline, CUSUM, relevance, latch
pub(crate) mod saturation; // cooling without reserve
pub(crate) mod steady; // when a rack is steady enough for a heat balance
pub(crate) mod stiction; // a valve that sticks
pub(crate) mod valve; // a valve that does not answer
pub(crate) mod warming; // facility water that warms

use telemetry::facts::{Cause, Severity};

pub use self::table::DETECTORS;

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
    /// Detectors whose findings, while they last at the same place or its loop, explain this one's.
    pub explained_by: &'static [&'static str],
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
    /// Block means or held values of a control loop, with a state of its own.
    Control,
    /// Readings of a group of signals that a site names.
    Group,
    /// What a rack is asked to do: no fault, and no reason to learn nothing of it.
    Load,
}

/// A residual, which is near its baseline while all is well.
#[derive(Debug)]
pub struct ResidualRule {
    /// What it is made of.
    pub source: Source,
    /// In which direction a shift is a fault.
    pub side: Side,
    /// The smallest standard deviation that a baseline may claim, in the residual's unit.
    pub floor: f64,
    /// The smallest shift that may alarm, in the residual's unit.
    pub relevance: f64,
    /// When it means something.
    pub gate: Gate,
    /// Its unit; empty for a logarithm of a ratio.
    pub unit: &'static str,
}

/// What a residual is made of.
#[derive(Debug)]
pub enum Source {
    /// Block means of signals.
    Signals {
        /// It is watched at each place that has the first; the others are found there or at the nearest place above.
        /// Where one offers a choice, the first that exists is taken.
        inputs: &'static [&'static [&'static str]],
        /// The residual of one block.
        residual: fn(&Inputs<'_>) -> Option<Residual>,
    },
    /// The difference of the first two sensors of a signal at one place.
    Pair(&'static str),
    /// ln of the median thermal resistance of a rack's GPUs: (GPU − supply temperature) / power of the GPU.
    RackResistance,
    /// ln of a tray's, minus the median of the other trays'.
    TrayResistance,
}

/// In which direction a shift is a fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// Both.
    Both,
    /// Only a rise.
    Up,
    /// Only a fall.
    Down,
}

/// Block means of a residual's inputs, in their order.
#[derive(Debug)]
pub struct Inputs<'a> {
    /// Means in canonical units.
    pub means: &'a [f64],
    /// Volumetric heat capacity of the coolant, MJ/(m³·K).
    pub heat_capacity: f64,
    /// What the loop's pump loses inside itself, kPa/(L/min)²: `a` of its curve H = H0·s² − a·V². 0 where the site file
    /// tells no curve.
    pub pump_curve: f64,
}

/// In place of the first signal of an input's choice: the input is taken only where the site file tells the pump's curve
/// and one of the others exists. Such an input is the last.
pub const ONLY_WITH_PUMP_CURVE: &str = "(with a pump curve)";

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
    /// While the power of the rack (of a loop: of all its racks) rests and the loop is settled.
    Steady,
    /// The same, and only above 60 % of the nominal power: below, too little heat says anything of an exchanger.
    SteadyAndBusy,
}

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
}
