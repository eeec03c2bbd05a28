//! A valve that does not answer: the quantity it controls stays off its set point and the valve rests in between its
//! ends.
//!
//! block means of a control loop → **valve** → findings

use serde::{Deserialize, Serialize};
use telemetry::EventTime;

use crate::block::ClosedBlock;

/// Smallest error that a valve must answer, K; the relevance of the control error.
pub(crate) const ERROR_MINIMUM: f64 = 1.0;
/// A valve that moves by more, %, within a block answers.
const SPAN_MAXIMUM: f64 = 0.5;
/// At its ends, %, a valve can do no more.
pub(crate) const ENDS: (f64, f64) = (4.0, 97.0);
/// Blocks in a row that make it certain.
pub(crate) const BLOCKS: u32 = 3;

/// What is known of a valve.
#[derive(Debug, Default, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct Valve {
    /// Since when it has not answered, and for how many blocks.
    silent: Option<(EventTime, u32)>,
    /// Its mean position in the block before, %.
    before: Option<f64>,
    /// It is stuck, as was told.
    alarm: bool,
}

/// What a block changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    /// It is stuck, since then.
    Stuck { onset: EventTime },
    /// It moves again, or need not.
    Over,
}

impl Valve {
    /// Takes the next block of the control error (temperature minus set point, K) and of the valve's position.
    pub(crate) fn observe(&mut self, error: Option<f64>, position: Option<&ClosedBlock>) -> Option<Change> {
        let (Some(error), Some(position)) = (error, position) else {
            // Unknown: neither stuck nor answering.
            self.before = None;
            return None;
        };
        let moved = self.before.replace(position.mean).map(|before| (position.mean - before).abs());
        let rests = position.maximum - position.minimum <= SPAN_MAXIMUM
            && moved.is_none_or(|moved| moved <= SPAN_MAXIMUM);
        let could_move = ENDS.0 < position.mean && position.mean < ENDS.1;
        if !rests {
            self.silent = None;
            return std::mem::take(&mut self.alarm).then_some(Change::Over);
        }
        if error.abs() < ERROR_MINIMUM || !could_move {
            // A stuck valve is right by chance now and then: what is told ends only when it moves.
            self.silent = None;
            return None;
        }
        let (onset, blocks) = self.silent.unwrap_or((position.start, 0));
        self.silent = Some((onset, blocks.saturating_add(1)));
        (BLOCKS <= blocks + 1 && !std::mem::replace(&mut self.alarm, BLOCKS <= blocks + 1))
            .then_some(Change::Stuck { onset })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use telemetry::Microseconds;

    fn block(minute: i64, position: f64, span: f64) -> ClosedBlock {
        ClosedBlock {
            start: EventTime::from_unix_micros(minute * 60_000_000),
            length: Microseconds::from_seconds(60),
            mean: position,
            minimum: position - span / 2.0,
            maximum: position + span / 2.0,
            last: position,
            known: Microseconds::from_seconds(60),
            count: 12,
        }
    }

    #[test]
    fn a_valve_that_rests_while_the_supply_is_too_warm_is_stuck_until_it_moves() {
        let mut valve = Valve::default();
        let mut see =
            |minute, error, position, span| valve.observe(Some(error), Some(&block(minute, position, span)));
        assert_eq!(see(0, 0.1, 30.0, 0.0), None);
        assert_eq!(see(1, 2.0, 30.0, 0.0), None);
        assert_eq!(see(2, 3.0, 30.0, 0.1), None);
        assert_eq!(
            see(3, 3.0, 30.0, 0.0),
            Some(Change::Stuck { onset: EventTime::from_unix_micros(60_000_000) })
        );
        assert_eq!(see(4, 3.0, 30.0, 0.0), None, "told once");
        assert_eq!(see(5, 0.0, 30.0, 0.0), None, "right by chance");
        assert_eq!(see(6, 2.0, 34.0, 3.0), Some(Change::Over));
    }

    #[test]
    fn a_valve_that_moves_or_is_at_its_end_is_not_stuck() {
        let mut valve = Valve::default();
        for minute in 0..20 {
            let moving = block(minute, 30.0 + minute as f64, 1.0);
            assert_eq!(valve.observe(Some(2.0), Some(&moving)), None);
        }
        let mut valve = Valve::default();
        for minute in 0..20 {
            assert_eq!(valve.observe(Some(2.0), Some(&block(minute, 100.0, 0.0))), None, "wide open");
            assert_eq!(valve.observe(None, Some(&block(minute, 50.0, 0.0))), None, "nothing is known");
        }
    }
}
