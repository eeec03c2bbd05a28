//! Sustained power near the envelope: a rack that draws nearly all that it was built for, for as long as it takes to warm
//! everything around it. No fault, and good to know beside one.
//!
//! block means of power → **envelope** → findings

use serde::{Deserialize, Serialize};

/// Share of the nominal power from which on it counts, and below which it no longer does.
pub(crate) const NEAR: f64 = 0.95;
pub(crate) const FAR: f64 = 0.93;
/// Blocks that it is near, or far, until that is told.
pub(crate) const NEAR_BLOCKS: u32 = 10;
const FAR_BLOCKS: u32 = 5;

/// How long a rack has been near its nominal power.
#[derive(Debug, Default, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Envelope {
    near: u32,
    far: u32,
    is_near: bool,
}

/// What a block changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    /// It has been near for ten minutes.
    Begun,
    /// It has not been for five.
    Over,
}

impl Envelope {
    /// Takes a block of power as a share of the declared nominal one; none where either is not known, which ends
    /// nothing and counts for nothing.
    pub(crate) fn observe(&mut self, share: Option<f64>) -> Option<Change> {
        let Some(share) = share else {
            (self.near, self.far) = (0, 0);
            return None;
        };
        self.near = if NEAR <= share { self.near.saturating_add(1) } else { 0 };
        self.far = if share < FAR { self.far.saturating_add(1) } else { 0 };
        let is_near = (self.is_near && self.far < FAR_BLOCKS) || NEAR_BLOCKS <= self.near;
        match (std::mem::replace(&mut self.is_near, is_near), is_near) {
            (false, true) => Some(Change::Begun),
            (true, false) => Some(Change::Over),
            (true, true) | (false, false) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn follow(envelope: &mut Envelope, shares: &[Option<f64>]) -> Vec<(usize, Change)> {
        (0..).zip(shares).filter_map(|(at, share)| Some((at, envelope.observe(*share)?))).collect()
    }

    #[test]
    fn ten_minutes_near_the_nominal_power_are_told_and_five_minutes_off_it_end_them() {
        let mut envelope = Envelope::default();
        let day = [vec![Some(0.96); 30], vec![Some(0.94); 30], vec![Some(0.9); 10]].concat();
        assert_eq!(follow(&mut envelope, &day), [(9, Change::Begun), (64, Change::Over)]);
    }

    #[test]
    fn a_gap_begins_the_count_anew_and_ends_nothing() {
        let mut envelope = Envelope::default();
        let day = [vec![Some(0.97); 9], vec![None], vec![Some(0.97); 9]].concat();
        assert_eq!(follow(&mut envelope, &day), []);
        assert_eq!(follow(&mut envelope, &[Some(0.97)]), [(0, Change::Begun)]);
        assert_eq!(follow(&mut envelope, &[None; 60]), []);
    }
}
