//! Watches groups of signals that no physics ties together: vibration, conductivity, pump current, anything a site names.
//!
//! readings of a rack, row by row → **watch** → an answer for each row
//!
//! It learns by itself what is usual, keeps a state that does not grow, and knows nothing of clocks, row numbers,
//! names or labels: equal readings give equal answers. Each signal is watched by itself; a group is in alarm while one
//! of its signals is. What only the relation of two signals would show is not seen.
//!
//! - Every ten readings of a signal make a *step*. Its mean is the signal's level, the logarithm of its standard
//!   deviation the signal's spread.
//! - A [shift](shift) of level or spread is measured against how far it wanders by itself, seen from the differences
//!   of steps one and eight steps apart: what drifts anyway must go further.
//! - Where alarms are episodes, a [novelty](novelty) is told as well: a value, or its change, outside the range of
//!   what is remembered.
//!
//! What the constants give on recorded data, and how little moving them does, is told in the tests of recorded data.

mod calibration; // the first steps of a signal, until they say what is usual
mod document; // kind: WatchGroup, read strictly
mod episode; // one row for each episode
mod group; // what to watch, and how alarms are told
mod novelty; // outside the range of what is remembered
mod shift; // a level that moved away from where it was
mod signal; // one signal
mod step; // a few readings as one
mod wander; // how far a series goes by itself

use serde::{Deserialize, Serialize};

use self::episode::Episodes;
use self::signal::{Heard, SignalWatch};
use crate::reading::is_possible;

pub use self::document::{Declared, WatchDocument, is_watch_group, read, read_all};
pub use self::group::{AlarmKind, WatchGroup};

/// A score from here on is an alarm.
pub const ALARM_SCORE: f64 = 0.5;
/// The highest score of a row without alarm: an alarm can be told from the score alone.
const QUIET_SCORE_MAX: f64 = 0.499;

/// What is said of one row.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Answer {
    /// From 0 to 1, [`ALARM_SCORE`] and more in alarm; `None` where nothing can be said: during calibration, and
    /// without a reading.
    pub score: Option<f64>,
    /// Whether the group is in alarm.
    pub alarm: bool,
    /// Whether the alarm begins with this row.
    pub episode_start: bool,
}

impl Answer {
    /// Nothing can be said.
    pub const UNKNOWN: Self = Self { score: None, alarm: false, episode_start: false };

    /// The answer for one more row of the same moment: an alarm begins only once.
    pub fn again(self, alarm: AlarmKind) -> Self {
        match alarm {
            AlarmKind::State => Self { episode_start: false, ..self },
            AlarmKind::Episode => {
                let score = self.score.map(|score| score.min(QUIET_SCORE_MAX));
                Self { score, alarm: false, episode_start: false }
            }
        }
    }
}

/// A group at one place, with all that it remembers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Watch {
    group: WatchGroup,
    /// One for each signal of the group, in its order.
    signals: Vec<SignalWatch>,
    /// Rows since a signal's last reading, in the same order; not counted further than matters.
    silent_rows: Vec<u32>,
    episodes: Episodes,
    was_in_alarm: bool,
}

impl Watch {
    /// A watch that has seen nothing.
    pub fn new(group: WatchGroup) -> Self {
        let signals = group.signals.iter().map(|_| SignalWatch::new(&group)).collect();
        let silent_rows = vec![0; group.signals.len()];
        Self { group, signals, silent_rows, episodes: Episodes::default(), was_in_alarm: false }
    }

    /// What it watches.
    pub fn group(&self) -> &WatchGroup {
        &self.group
    }

    /// Whether an episode began that is not over: of [`AlarmKind::Episode`] only the row that it begins with is an alarm.
    pub fn is_in_episode(&self) -> bool {
        self.episodes.is_open()
    }

    /// Takes the readings of one row, one for each signal of the group in its order, and answers.
    ///
    /// `None`, NaN, an infinity, and what is further from zero than 10^100 are no readings. Surplus readings are
    /// ignored, missing ones are `None`.
    pub fn row(&mut self, readings: &[Option<f64>]) -> Answer {
        let mut heard = Heard::default();
        let mut read = false;
        for (index, signal) in self.signals.iter_mut().enumerate() {
            let reading = readings.get(index).copied().flatten().filter(|reading| is_possible(*reading));
            match reading {
                Some(reading) => {
                    read = true;
                    self.silent_rows[index] = 0;
                    heard.merge(signal.reading(reading, &self.group));
                }
                None => {
                    let silent = &mut self.silent_rows[index];
                    *silent = (*silent + 1).min(self.group.calibration_rows());
                    // A signal that has fallen silent keeps its word for as long as a calibration takes.
                    if *silent < self.group.calibration_rows() {
                        heard.merge(signal.last_heard());
                    }
                }
            }
        }
        let Some(strength) = heard.strength.filter(|_| read) else { return Answer::UNKNOWN };
        match self.group.alarm {
            AlarmKind::State => self.answer_state(strength, heard.shifted),
            AlarmKind::Episode => self.answer_episode(strength, &heard),
        }
    }

    fn answer_state(&mut self, strength: f64, alarm: bool) -> Answer {
        let episode_start = alarm && !self.was_in_alarm;
        self.was_in_alarm = alarm;
        Answer { score: Some(score(strength, alarm)), alarm, episode_start }
    }

    /// One row is in alarm, the one that opens the episode. While it is open nothing new is said.
    fn answer_episode(&mut self, strength: f64, heard: &Heard) -> Answer {
        let opens = self.episodes.row(heard.shift_opened, heard.is_novel, self.group.quiet_rows());
        let strength = if self.episodes.is_open() && !opens { 0.0 } else { strength };
        Answer { score: Some(score(strength, opens)), alarm: opens, episode_start: opens }
    }
}

/// A strength, which is 1 where an alarm begins, as a score from 0 to 1.
fn score(strength: f64, alarm: bool) -> f64 {
    let score = if strength.is_finite() { strength / (1.0 + strength) } else { 1.0 };
    if alarm { score.max(ALARM_SCORE) } else { score.min(QUIET_SCORE_MAX) }
}

#[cfg(test)]
mod tests;
