//! Pump trip: a flow that falls below half of what it was, twice in a row. Judged as readings arrive.
//!
//! readings of flows → **pump_trip** → finding

use serde::{Deserialize, Serialize};
use telemetry::place::Place;
use telemetry::{EventTime, Labels};

use super::Partition;
use super::blocks::current_block;
use crate::detectors;
use crate::effect::Effects;
use crate::finding::{Anomaly, FindingKey};

/// A block is steady when its span is below this share of its mean.
const STEADY_SPAN: f64 = 0.10;
/// Readings below half of the steady flow that make a trip.
const READINGS: u32 = 2;
/// It is over when the flow is back at this share.
const BACK: f64 = 0.8;

/// What is known of a flow.
#[derive(Debug, Default, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct Flow {
    /// Mean of its last steady block, L/min.
    steady: Option<f64>,
    /// Readings in a row below half of that, and the time of the first.
    low: Option<(EventTime, u32)>,
}

impl Flow {
    /// Whether it is known what half of it is.
    pub(super) fn is_steady_known(&self) -> bool {
        self.steady.is_some()
    }

    fn is_tripped(&self) -> bool {
        self.low.is_some_and(|(_, readings)| READINGS <= readings)
    }
}

impl Partition {
    /// A reading of a flow has arrived.
    pub(super) fn look_at_flow(&mut self, series: u32, time: EventTime, value: f64, effects: &mut Effects) {
        let flow = self.flows.entry(series).or_default();
        let Some(steady) = flow.steady else { return };
        if 0.5 * steady <= value {
            if !flow.is_tripped() {
                flow.low = None;
            }
            return;
        }
        let (since, readings) = flow.low.unwrap_or((time, 0));
        // Readings may arrive in another order than they were taken.
        let (since, detected) = (since.min(time), since.max(time));
        flow.low = Some((since, readings.saturating_add(1)));
        // One flow meter of the loop is enough; without one all racks must have lost their flow.
        let is_of_loop = self.declarations[series as usize].identity.place.rack.is_none();
        let is_trip = |number: &u32| self.flows.get(number).is_some_and(Flow::is_tripped);
        let flows = &self.layout.flows;
        let tripped = if is_of_loop { is_trip(&series) } else { flows.iter().all(is_trip) };
        if !tripped || readings + 1 > READINGS {
            return;
        }
        let detector = detectors::known("pump_trip");
        let key = FindingKey::of_place(detector, self.pump_place(series));
        let evidence = Labels::from([
            ("rule".into(), "flow below 50 % of its last steady value for 2 readings".into()),
            ("series".into(), self.declarations[series as usize].identity.to_string().into()),
        ]);
        let anomaly = Anomaly {
            residual: Some(value),
            baseline: Some(steady),
            threshold: Some(0.5 * steady),
            unit: "L/min".into(),
            ..Anomaly::direct(detector, key, since, detected, evidence)
        };
        self.open(detector, anomaly, effects);
    }

    /// A block has ended: notes steady flows, and ends a trip when the flow is back.
    pub(super) fn update_flows(&mut self, end: EventTime, effects: &mut Effects) {
        for number in 0..self.layout.flows.len() {
            let series = self.layout.flows[number];
            let Some(block) = current_block(&self.series[series as usize], end) else { continue };
            let flow = self.flows.entry(series).or_default();
            match flow.steady {
                Some(steady) if flow.is_tripped() => {
                    let is_after = flow.low.is_some_and(|(since, _)| since <= block.start);
                    if !is_after || block.mean < BACK * steady {
                        continue;
                    }
                    flow.low = None;
                    let detector = detectors::known("pump_trip");
                    let key = FindingKey::of_place(detector, self.pump_place(series));
                    self.close(detector, &key, end, effects);
                }
                Some(_) | None => {
                    if 0.0 < block.mean && block.maximum - block.minimum < STEADY_SPAN * block.mean {
                        flow.steady = Some(block.mean);
                    }
                }
            }
        }
    }

    /// Where the pump of a flow is: its loop, or the rack that has none.
    fn pump_place(&self, series: u32) -> Place {
        let place = self.declarations[series as usize].place();
        let rack = if place.cooling_loop.is_some() { None } else { place.rack.clone() };
        Place { rack, node: None, device: None, ..place }
    }
}
