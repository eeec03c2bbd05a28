//! A valve that sticks: again and again it rests while the control error asks it to move, and moves only later.
//!
//! block means of a control loop → **stiction** → findings
//!
//! A controller with integral action never leaves an error unanswered: at .5 K even a slow one (Ti 90 s, 3 % a kelvin)
//! asks for 1 % of stroke a minute.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::valve::{DECAY_SHARE, ENDS};
use crate::block::ClosedBlock;

/// Smallest error that must be answered within a block, K.
pub(crate) const ERROR_MINIMUM: f64 = 0.5;
/// A valve that moves by less within a block, % of stroke, does not answer.
const SPAN_MAXIMUM: f64 = 0.2;
/// Blocks that are looked at together.
const WINDOW: usize = 120;
/// Unanswered blocks among them that make a sticking valve, in at least so many spells: it must have moved in between,
/// else it is stuck, or somebody holds it.
pub(crate) const UNANSWERED_MINIMUM: usize = 4;
const SPELLS_MINIMUM: usize = 2;

/// The latest blocks of a valve.
#[derive(Debug, Default, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Stiction {
    blocks: VecDeque<Answer>,
    /// Size of the error in the block before, K.
    before: Option<f64>,
    alarm: bool,
}

/// What a valve did in a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum Answer {
    /// It rested although it was asked to move.
    None,
    /// It moved.
    Moved,
    /// It rested and need not do more.
    Rested,
}

/// What a block changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    /// It sticks: so many blocks were not answered.
    Begun { unanswered: usize },
    /// Two hours without.
    Over,
}

impl Stiction {
    /// Takes the next block of the control error (temperature minus set point, K) and of the valve's position.
    pub(crate) fn observe(&mut self, error: Option<f64>, position: Option<&ClosedBlock>) -> Option<Change> {
        // A block of which something is not known counts neither way.
        let before = std::mem::replace(&mut self.before, error.map(f64::abs));
        let (error, position) = (error?.abs(), position?);
        let rests = position.maximum - position.minimum <= SPAN_MAXIMUM;
        let could_move = ENDS.0 < position.mean && position.mean < ENDS.1;
        let asks = ERROR_MINIMUM <= error && before.is_some_and(|before| DECAY_SHARE * before <= error);
        self.blocks.push_back(match (rests, could_move && asks) {
            (true, true) => Answer::None,
            (true, false) => Answer::Rested,
            (false, _) => Answer::Moved,
        });
        if self.blocks.len() > WINDOW {
            self.blocks.pop_front();
        }
        let (unanswered, spells) = self.count();
        if self.alarm {
            self.alarm = unanswered > 0;
            return (!self.alarm).then_some(Change::Over);
        }
        self.alarm = UNANSWERED_MINIMUM <= unanswered && SPELLS_MINIMUM <= spells;
        self.alarm.then_some(Change::Begun { unanswered })
    }

    /// Unanswered blocks, and in how many spells with a move between them.
    fn count(&self) -> (usize, usize) {
        let (mut unanswered, mut spells, mut has_moved) = (0, 0, true);
        for block in &self.blocks {
            match block {
                Answer::None => {
                    unanswered += 1;
                    spells += usize::from(std::mem::take(&mut has_moved));
                }
                Answer::Moved => has_moved = true,
                Answer::Rested => {}
            }
        }
        (unanswered, spells)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use telemetry::{EventTime, Microseconds};

    fn block(position: f64, span: f64) -> ClosedBlock {
        ClosedBlock {
            start: EventTime::from_unix_micros(0),
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
    fn a_valve_that_rests_against_its_controller_again_and_again_sticks() {
        let mut stiction = Stiction::default();
        // Every tenth block is a jump, the two before it went unanswered.
        let told: Vec<_> = (0..400)
            .filter_map(|minute| {
                let (error, span) = match minute % 10 {
                    _ if minute >= 200 => (0.0, 0.1),
                    8 | 9 => (0.7, 0.0),
                    0 => (0.7, 3.0),
                    _ => (0.1, 0.1),
                };
                stiction.observe(Some(error), Some(&block(50.0, span))).map(|change| (minute, change))
            })
            .collect();
        assert_eq!(told, [(19, Change::Begun { unanswered: 4 }), (319, Change::Over)]);
    }

    #[test]
    fn an_error_that_decays_is_being_answered_although_the_valve_stands_still() {
        let mut stiction = Stiction::default();
        for minute in 0..400 {
            let (error, span) = match minute % 20 {
                0 => (4.0, 6.0),
                1 => (2.0, 0.1),
                2 => (1.0, 0.1),
                _ => (0.1, 0.1),
            };
            assert_eq!(stiction.observe(Some(error), Some(&block(50.0, span))), None, "minute {minute}");
        }
    }

    #[test]
    fn a_valve_that_never_moves_is_stuck_and_does_not_stick() {
        let mut stiction = Stiction::default();
        for _ in 0..400 {
            assert_eq!(stiction.observe(Some(0.7), Some(&block(30.0, 0.0))), None);
        }
    }

    #[test]
    fn a_valve_that_answers_or_has_nothing_to_answer_does_not_stick() {
        let mut stiction = Stiction::default();
        for minute in 0..400 {
            let error = if minute % 5 == 0 { 2.0 } else { 0.1 };
            let span = if minute % 5 == 0 { 5.0 } else { 0.0 };
            assert_eq!(stiction.observe(Some(error), Some(&block(50.0, span))), None);
            assert_eq!(stiction.observe(None, Some(&block(50.0, 0.0))), None);
            assert_eq!(stiction.observe(Some(3.0), Some(&block(100.0, 0.0))), None, "wide open");
        }
    }
}
