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
/// What such an error must add up to, K·min, over blocks in a row, of which there must be so many: a controller as slow
/// as any (3 % of stroke a kelvin, Ti 90 s) asks for a seventh of the stroke by then.
pub(crate) const UNANSWERED_MINIMUM: f64 = 3.0;
const BLOCKS_MINIMUM: u32 = 2;
/// An error that has become smaller than this share of the block before is being answered: under a PI controller the
/// valve stands still while the error decays with the integral time.
pub(crate) const DECAY_SHARE: f64 = 0.75;

/// What is known of a valve.
#[derive(Debug, Default, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct Valve {
    /// Since when it has not answered.
    silent: Option<Silence>,
    /// Size of the error, K, and last position, %, in the block before.
    before: Option<(f64, f64)>,
    /// It is stuck, as was told.
    alarm: bool,
}

/// Errors that were not answered.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Silence {
    since: EventTime,
    blocks: u32,
    /// What they add up to, K·min.
    error: f64,
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
        let error = error.abs();
        let before = self.before.replace((error, position.last));
        // Against where it was last, not against its mean: a valve that moved in the block before may rest in this one.
        let rests = position.maximum - position.minimum <= SPAN_MAXIMUM
            && before.is_none_or(|(_, last)| (position.mean - last).abs() <= SPAN_MAXIMUM);
        let could_move = ENDS.0 < position.mean && position.mean < ENDS.1;
        if !rests {
            self.silent = None;
            return std::mem::take(&mut self.alarm).then_some(Change::Over);
        }
        let decays = before.is_some_and(|(before, _)| error < DECAY_SHARE * before);
        if error < ERROR_MINIMUM || decays || !could_move {
            // A stuck valve is right by chance now and then: what is told ends only when it moves.
            self.silent = None;
            return None;
        }
        let so_far = self.silent.unwrap_or(Silence { since: position.start, blocks: 0, error: 0.0 });
        let silence = Silence {
            blocks: so_far.blocks.saturating_add(1),
            error: so_far.error + error * position.length.as_seconds() / 60.0,
            ..so_far
        };
        self.silent = Some(silence);
        let is_stuck = BLOCKS_MINIMUM <= silence.blocks && UNANSWERED_MINIMUM <= silence.error;
        (is_stuck && !std::mem::replace(&mut self.alarm, is_stuck))
            .then_some(Change::Stuck { onset: silence.since })
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
            last: position - span / 2.0,
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
        assert_eq!(see(1, 1.2, 30.0, 0.0), None);
        assert_eq!(see(2, 1.5, 30.0, 0.1), None, "2.7 K·min");
        assert_eq!(
            see(3, 1.5, 30.0, 0.0),
            Some(Change::Stuck { onset: EventTime::from_unix_micros(60_000_000) })
        );
        assert_eq!(see(4, 3.0, 30.0, 0.0), None, "told once");
        assert_eq!(see(5, 0.0, 30.0, 0.0), None, "right by chance");
        assert_eq!(see(6, 2.0, 34.0, 3.0), Some(Change::Over));
    }

    #[test]
    fn a_large_error_makes_it_certain_within_two_blocks_after_the_one_in_which_it_jumped() {
        let mut valve = Valve::default();
        let mut see =
            |minute, error, position, span| valve.observe(Some(error), Some(&block(minute, position, span)));
        assert_eq!(see(0, 0.1, 50.0, 0.0), None);
        assert_eq!(see(1, 1.0, 40.0, 20.0), None, "it moves, down to 30 %");
        assert_eq!(see(2, 3.0, 30.0, 0.0), None);
        let onset = EventTime::from_unix_micros(120_000_000);
        assert_eq!(see(3, 5.0, 30.0, 0.0), Some(Change::Stuck { onset }));
    }

    #[test]
    fn a_valve_may_rest_while_the_error_decays_with_the_integral_time() {
        let mut valve = Valve::default();
        let errors = [0.1, 6.0, 4.4, 2.3, 1.2, 0.6];
        for (minute, error) in (0..).zip(errors) {
            let span = if minute == 1 { 10.0 } else { 0.1 };
            assert_eq!(valve.observe(Some(error), Some(&block(minute, 30.0, span))), None, "minute {minute}");
        }
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
