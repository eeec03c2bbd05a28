//! Flow through parallel branches: conductances add up, and the pump's curve meets the system's.

use crate::reference::{
    CDU_KILOPASCAL, FILTER_KILOPASCAL, PUMP_EFFICIENCY, PUMP_HEAD_KILOPASCAL, PUMP_INNER_KILOPASCAL,
    RACK_FLOW, RACK_KILOPASCAL, STAGNANT_FLOW_SHARE, TRAYS,
};

/// Conductance of a tray's branch as built: L/min per √kPa.
pub fn tray_conductance() -> f64 {
    RACK_FLOW / TRAYS as f64 / RACK_KILOPASCAL.sqrt()
}

/// A pump that circulates coolant through a distribution unit and the racks behind it.
///
/// `a`, exchanger and filter are those of one rack divided by the number of racks squared, so that each of N
/// equal racks sees what a single one would.
#[derive(Debug, Clone, Copy)]
pub struct Circuit {
    /// Head at full speed without flow, kPa.
    pub head: f64,
    /// Resistance inside the pump, kPa/(L/min)².
    pub pump_resistance: f64,
    /// Resistance of exchanger and pipes, kPa/(L/min)².
    pub cdu_resistance: f64,
    /// Resistance of the clean filter, kPa/(L/min)².
    pub filter_resistance: f64,
}

/// Where pump and system meet.
#[derive(Debug, Default, Clone, Copy, PartialEq)]
pub struct OperatingPoint {
    /// Flow through the pump, L/min.
    pub flow: f64,
    /// Across the racks, kPa.
    pub rack: f64,
    /// Across the filter, kPa.
    pub filter: f64,
    /// Across exchanger and pipes, kPa.
    pub cdu: f64,
    /// Across the pump, kPa: the sum of the others.
    pub pump: f64,
}

impl OperatingPoint {
    /// Electrical power of the pump, W.
    pub fn pump_watts(&self) -> f64 {
        // 1 kPa · 1 L/min = 1/60 W.
        self.pump * self.flow / 60.0 / PUMP_EFFICIENCY
    }
}

impl Circuit {
    /// As built for `racks` racks, with a head of `head_factor` times the nominal; `plant` says how far each parameter
    /// is off.
    pub fn new(racks: usize, head_factor: f64, mut plant: impl FnMut(f64) -> f64) -> Self {
        let flow = RACK_FLOW * racks as f64;
        let resistance = |kilopascal: f64| kilopascal / (flow * flow);
        Self {
            head: plant(PUMP_HEAD_KILOPASCAL) * head_factor,
            pump_resistance: resistance(plant(PUMP_INNER_KILOPASCAL)),
            cdu_resistance: resistance(plant(CDU_KILOPASCAL)),
            filter_resistance: resistance(plant(FILTER_KILOPASCAL)),
        }
    }

    /// The operating point at a speed (0 to 1, by the affinity laws), with `head_factor` of the head left, a filter
    /// `filter_factor` times as tight, and racks of this conductance together (L/min per √kPa).
    pub fn solve(
        &self,
        speed: f64,
        head_factor: f64,
        filter_factor: f64,
        conductance: f64,
    ) -> OperatingPoint {
        let filter_resistance = self.filter_resistance * filter_factor;
        let rack_resistance = 1.0 / (conductance * conductance);
        let outer = self.cdu_resistance + filter_resistance + rack_resistance;
        let head = speed * speed * self.head * head_factor;
        let stagnant = STAGNANT_FLOW_SHARE * (RACK_KILOPASCAL).sqrt() * conductance;
        let flow = (head / (self.pump_resistance + outer)).sqrt().max(stagnant);
        let square = flow * flow;
        OperatingPoint {
            flow,
            rack: rack_resistance * square,
            filter: filter_resistance * square,
            cdu: self.cdu_resistance * square,
            pump: outer * square,
        }
    }
}
