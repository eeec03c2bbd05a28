//! How a valve moves: travel and reversals, the cheapest and most decisive signs of a loop that hunts.
//!
//! held positions every 10 s → **motion** → findings
//!
//! A healthy valve travels .1 to .6 strokes an hour and turns around a few times after a load step; one that hunts
//! travels 3 to 60 and turns around in every period.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

/// Steps that are looked at together: ten minutes.
const WINDOW: usize = 60;
/// A move back by less than this, % of stroke, is no reversal.
const HYSTERESIS: f64 = 0.5;
/// Reversals in the window that make a hunting valve, and below which it no longer is one.
pub(crate) const REVERSALS_MINIMUM: usize = 8;
const REVERSALS_OVER: usize = 3;
/// Travel in the window that makes a hunting valve, % of stroke.
pub(crate) const TRAVEL_MINIMUM: f64 = 40.0;

/// The latest moves of a valve.
#[derive(Debug, Default, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Motion {
    /// Travel in each step, % of stroke, and whether it turned around; none where the position is not known.
    steps: VecDeque<Option<(f64, bool)>>,
    position: Option<f64>,
    /// The furthest position in the present direction.
    extreme: Option<f64>,
    rises: bool,
    /// It hunts, as was told.
    pub hunts: bool,
}

/// What was seen in the window.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Moves {
    /// % of stroke.
    pub travel: f64,
    /// How often it turned around.
    pub reversals: usize,
    /// Twice the usual time between two turns, in steps; none with fewer than two.
    pub period_steps: Option<usize>,
}

/// What a look changed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Change {
    /// It has begun to hunt.
    Begun(Moves),
    /// It no longer does.
    Over,
}

impl Motion {
    /// Takes the position at the end of the next step, %.
    pub(crate) fn push(&mut self, position: Option<f64>) {
        let step = match (position, self.position) {
            (Some(position), Some(before)) => Some(((position - before).abs(), self.turns(position))),
            (Some(position), None) => {
                self.extreme = Some(position);
                None
            }
            (None, _) => None,
        };
        self.position = position;
        self.steps.push_back(step);
        if self.steps.len() > WINDOW {
            self.steps.pop_front();
        }
    }

    /// Whether the position has come back from its extreme by more than the hysteresis.
    fn turns(&mut self, position: f64) -> bool {
        let extreme = *self.extreme.get_or_insert(position);
        let on = if self.rises { position - extreme } else { extreme - position };
        if on >= 0.0 {
            self.extreme = Some(position);
            return false;
        }
        if -on < HYSTERESIS {
            return false;
        }
        self.rises = !self.rises;
        self.extreme = Some(position);
        true
    }

    /// Whether anything is known of the valve.
    pub(crate) fn is_known(&self) -> bool {
        self.position.is_some()
    }

    /// Travel and reversals in the window; no step is guessed that is not known.
    pub(crate) fn moves(&self) -> Moves {
        let travel = self.steps.iter().flatten().map(|(travel, _)| travel).sum();
        let turned =
            |(at, step): (usize, &Option<(f64, bool)>)| step.filter(|(_, turned)| *turned).map(|_| at);
        let turns: Vec<usize> = self.steps.iter().enumerate().filter_map(turned).collect();
        let mut between: Vec<usize> = turns.windows(2).map(|pair| pair[1] - pair[0]).collect();
        between.sort_unstable();
        let period_steps = between.get(between.len() / 2).map(|steps| 2 * steps);
        Moves { travel, reversals: turns.len(), period_steps }
    }

    /// Looks at the window.
    pub(crate) fn look(&mut self) -> Option<Change> {
        let moves = self.moves();
        if self.hunts {
            let is_over = moves.reversals < REVERSALS_OVER && self.is_known();
            self.hunts = !is_over;
            return is_over.then_some(Change::Over);
        }
        self.hunts = REVERSALS_MINIMUM <= moves.reversals && TRAVEL_MINIMUM <= moves.travel;
        self.hunts.then_some(Change::Begun(moves))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn looks(positions: impl Iterator<Item = f64>) -> Vec<Change> {
        let mut motion = Motion::default();
        positions
            .filter_map(|position| {
                motion.push(Some(position));
                motion.look()
            })
            .collect()
    }

    #[test]
    fn a_valve_that_swings_by_a_few_percent_hunts_until_it_rests() {
        let swing = |step: usize| if step < 120 { 45.0 + 4.0 * libm::sin(step as f64 * 2.1) } else { 45.0 };
        let looks = looks((0..240).map(swing));
        // 2.1 radians a step: a period of three steps.
        assert!(
            matches!(
                looks[..],
                [Change::Begun(Moves { reversals: 8.., period_steps: Some(2..=4), .. }), Change::Over]
            ),
            "{looks:?}"
        );
    }

    #[test]
    fn a_valve_that_follows_its_load_does_not() {
        // A dip of a checkpoint: down by 30 % and back with an overshoot.
        let dips = (0..600).map(|step| match step % 60 {
            10..14 => 50.0 - 8.0 * (step % 60 - 9) as f64,
            14..19 => 18.0 + 8.0 * (step % 60 - 13) as f64,
            19..25 => 54.0,
            _ => 50.0 + (step % 3) as f64 * 0.1,
        });
        assert_eq!(looks(dips), []);
        assert_eq!(looks((0..600).map(|step| step as f64 / 6.0)), [], "a way from end to end");
    }
}
