//! The gate of the heat balance: power rests, and the loop is not unsettled.
//!
//! block means → **steady** → residuals

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use crate::block::{BLOCK, ClosedBlock};

/// Largest span of power inside a block, and largest step from block to block, as shares of the nominal power.
const SPAN_MAXIMUM: f64 = 0.05;
const STEP_MAXIMUM: f64 = 0.04;
/// Blocks that must pass after the last unsteady one.
const HOLD_OFF_BLOCKS: u32 = 4;
/// Share of the nominal power from which on there is enough heat to judge an exchanger by.
const BUSY_SHARE: f64 = 0.6;
/// A loop is unsettled when its valve has travelled more than this, %, within this many blocks.
const TRAVEL_MAXIMUM: f64 = 50.0;
const TRAVEL_BLOCKS: usize = 10;
/// A valve that has moved by more, %, in one of the latest two blocks moves what follows it from reading to reading: 2 % of
/// stroke are some 6 % of the water.
const SPAN_MAXIMUM_OF_REST: f64 = 2.0;
const BLOCKS_OF_REST: usize = 2;

/// Whether a rack's power rests.
#[derive(Debug, Default, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Steady {
    before: Option<f64>,
    quiet_blocks: u32,
    is_busy: bool,
    /// Nominal power as it was last given, kW.
    pub nominal: Option<f64>,
}

impl Steady {
    /// Takes the rack's next block of power; none when it is not known. `nominal`: kW.
    pub(crate) fn observe(&mut self, power: Option<&ClosedBlock>, nominal: f64) {
        let is_quiet = match (power, self.before) {
            // A meter so slow that its blocks are longer does not see the dips of checkpoints: nothing is called steady.
            (Some(block), Some(before)) if block.length <= BLOCK => {
                block.maximum - block.minimum < SPAN_MAXIMUM * nominal
                    && (block.mean - before).abs() < STEP_MAXIMUM * nominal
            }
            (Some(_), _) | (None, _) => false,
        };
        self.quiet_blocks = if is_quiet { self.quiet_blocks.saturating_add(1) } else { 0 };
        self.before = power.map(|block| block.mean);
        self.nominal = nominal.is_finite().then_some(nominal);
        self.is_busy = power.is_some_and(|block| BUSY_SHARE * nominal < block.mean);
    }

    /// Whether the latest block's power was a large part of the nominal.
    pub(crate) fn is_busy(&self) -> bool {
        self.is_busy
    }

    /// Whether the latest block's power is known.
    pub(crate) fn is_known(&self) -> bool {
        self.before.is_some()
    }

    /// Whether it has rested for long enough.
    pub(crate) fn is_steady(&self) -> bool {
        HOLD_OFF_BLOCKS < self.quiet_blocks
    }
}

/// Travel of a loop's valve over the latest blocks, from the span inside each: a lower bound of the way it went.
#[derive(Debug, Default, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct ValveTravel {
    spans: VecDeque<f64>,
}

impl ValveTravel {
    /// Takes the next block of the valve's position.
    pub(crate) fn observe(&mut self, position: Option<&ClosedBlock>) {
        self.spans.push_back(position.map_or(0.0, |block| block.maximum - block.minimum));
        if self.spans.len() > TRAVEL_BLOCKS {
            self.spans.pop_front();
        }
    }

    /// Whether it has moved in the latest blocks by what readings from second to second would show.
    pub(crate) fn has_just_moved(&self) -> bool {
        self.spans.iter().rev().take(BLOCKS_OF_REST).any(|span| SPAN_MAXIMUM_OF_REST < *span)
    }

    /// Whether the loop is too restless for residuals that need a steady state.
    pub(crate) fn is_unsettled(&self) -> bool {
        self.spans.iter().sum::<f64>() > TRAVEL_MAXIMUM
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use telemetry::{EventTime, Microseconds};

    fn block(minimum: f64, mean: f64, maximum: f64) -> ClosedBlock {
        ClosedBlock {
            start: EventTime::from_unix_micros(0),
            length: Microseconds::from_seconds(60),
            mean,
            minimum,
            maximum,
            last: mean,
            known: Microseconds::from_seconds(60),
            count: 6,
        }
    }

    #[test]
    fn a_step_of_power_closes_the_gate_for_four_blocks() {
        let mut steady = Steady::default();
        let mut see = |power| {
            steady.observe(Some(&block(power - 1.0, power, power + 1.0)), 120.0);
            steady.is_steady()
        };
        assert!(!(0..5).any(|_| see(100.0)), "the first block has nothing before it");
        assert!(see(100.0));
        assert!(!see(110.0));
        assert!(!(0..4).any(|_| see(110.0)));
        assert!(see(110.0));
    }

    #[test]
    fn a_meter_that_tells_less_than_twice_a_minute_never_proves_a_steady_load() {
        let mut steady = Steady::default();
        let slow = ClosedBlock { length: Microseconds::from_seconds(120), ..block(99.0, 100.0, 101.0) };
        for _ in 0..100 {
            steady.observe(Some(&slow), 120.0);
            assert!(!steady.is_steady());
        }
    }

    #[test]
    fn a_hunting_valve_unsettles_its_loop() {
        let mut travel = ValveTravel::default();
        for _ in 0..10 {
            travel.observe(Some(&block(49.0, 50.0, 51.0)));
        }
        assert!(!travel.is_unsettled() && !travel.has_just_moved());
        travel.observe(Some(&block(48.0, 50.0, 52.0)));
        travel.observe(Some(&block(50.0, 50.0, 50.0)));
        assert!(!travel.is_unsettled() && travel.has_just_moved(), "a move that is small for its loop");
        travel.observe(Some(&block(50.0, 50.0, 50.0)));
        assert!(!travel.has_just_moved());
        for _ in 0..2 {
            travel.observe(Some(&block(20.0, 50.0, 80.0)));
        }
        assert!(travel.is_unsettled());
    }
}
