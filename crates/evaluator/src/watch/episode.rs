//! One row for each episode: what comes again soon belongs to it.

use serde::{Deserialize, Serialize};

/// Rows that are left until each kind of news, and the episode, is over.
#[derive(Debug, Default, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Episodes {
    shifts: Quiet,
    novelties: Quiet,
    open_rows: u32,
}

/// Rows until one kind of news would be a new episode.
#[derive(Debug, Default, Clone, PartialEq, Serialize, Deserialize)]
struct Quiet(u32);

impl Quiet {
    /// Whether news of this row is the first for `quiet_rows`.
    fn row(&mut self, news: bool, quiet_rows: u32) -> bool {
        let was_quiet = self.0 == 0;
        self.0 = if news { quiet_rows } else { self.0.saturating_sub(1) };
        news && was_quiet
    }
}

impl Episodes {
    /// Takes the news of a row; true when an episode begins. Kinds are counted apart, so that a spread that changes
    /// again and again does not hide a value that was never seen; no two episodes begin within `quiet_rows`.
    pub fn row(&mut self, shift: bool, novelty: bool, quiet_rows: u32) -> bool {
        let shift = self.shifts.row(shift, quiet_rows);
        let novelty = self.novelties.row(novelty, quiet_rows);
        let opens = (shift || novelty) && self.open_rows == 0;
        self.open_rows = if opens { quiet_rows } else { self.open_rows.saturating_sub(1) };
        opens
    }

    /// Whether one began less than `quiet_rows` ago.
    pub fn is_open(&self) -> bool {
        self.open_rows > 0
    }
}
