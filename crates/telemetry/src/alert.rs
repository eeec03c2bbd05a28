//! What an alert is and how it changes state. Labels are its identity: never a value, a window or an id.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{EventTime, Labels, Name};

/// The state of an alert.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AlertState {
    /// Nothing is wrong.
    Inactive,
    /// The condition holds, not yet for long enough.
    Pending,
    /// The condition holds.
    Firing,
    /// It was firing and the data is gone: neither firing by evidence nor resolved.
    UnknownHold,
    /// It was firing and good data says that it is over.
    Resolved,
    /// Not told to anybody, because of a cause that is told already or of maintenance.
    Suppressed,
}

impl AlertState {
    /// The word in tables and messages.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Inactive => "inactive",
            Self::Pending => "pending",
            Self::Firing => "firing",
            Self::UnknownHold => "unknown_hold",
            Self::Resolved => "resolved",
            Self::Suppressed => "suppressed",
        }
    }

    /// Whether Alertmanager has to know it as active.
    pub const fn is_active(self) -> bool {
        match self {
            Self::Firing | Self::UnknownHold => true,
            Self::Inactive | Self::Pending | Self::Resolved | Self::Suppressed => false,
        }
    }
}

/// An alert changed its state, or its reason did.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AlertTransition {
    /// CamelCase of the objective or detector: `RackCoolantDtBudgetBurn`, `PumpHeadLoss`.
    pub alertname: Name,
    /// alertname, severity, site, loop, rack, node, device, objective or detector.
    pub labels: Labels,
    /// The state before.
    pub from: AlertState,
    /// The state now.
    pub to: AlertState,
    /// When it changed, in event time.
    pub time: EventTime,
    /// Since when the alert has been firing (its first `firing`), or pending before that.
    pub since: EventTime,
    /// One sentence for people: signal, place, observed, threshold, window, coverage.
    pub reason: String,
    /// More for people: `window`, `burn`, `data_state` …
    pub annotations: BTreeMap<Name, String>,
}

/// `rack-coolant-dt` → `RackCoolantDt`; also takes `snake_case`.
pub fn camel_case(name: &str) -> String {
    name.split(['-', '_', '.', ' '])
        .filter(|word| !word.is_empty())
        .map(|word| {
            let (first, rest) = word.split_at(word.chars().next().map_or(0, char::len_utf8));
            first.to_uppercase() + rest
        })
        .collect()
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_name_becomes_camel_case() {
        assert_eq!(super::camel_case("rack-coolant-dt"), "RackCoolantDt");
        assert_eq!(super::camel_case("pump_trip"), "PumpTrip");
    }
}
