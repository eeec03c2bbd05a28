//! The rules that turn time into states: slice → judged unit → objective. Ratios are compared in integers.
//!
//! slices → **judge** → budgets, statuses

use serde::{Deserialize, Serialize};
use telemetry::Microseconds;
use telemetry::facts::{Outcome, TimeByState, UnknownReason};

use crate::objective::MILLION;

/// What one span of time says about one objective in one group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum SliceState {
    /// The limit was kept, and the data to say so is there.
    Good,
    /// The limit was broken.
    Bad,
    /// Too little data to say.
    Unknown(UnknownReason),
    /// Nobody asks: too little load, warm-up, before the first reading.
    NotAsked,
}

impl SliceState {
    /// Adds a length of time to the sum that this state belongs to.
    pub(crate) fn add_to(self, time: &mut TimeByState, length: Microseconds) {
        match self {
            Self::Good => time.good += length,
            Self::Bad => time.bad += length,
            Self::Unknown(_) => time.unknown += length,
            Self::NotAsked => {}
        }
    }
}

/// Whether `part / whole >= share_ppm / 10⁶`, exactly.
pub(crate) fn reaches(part: Microseconds, whole: Microseconds, share_ppm: u64) -> bool {
    wide(part) * u128::from(MILLION) >= wide(whole) * u128::from(share_ppm)
}

/// Times are never negative here.
pub(crate) fn wide(time: Microseconds) -> u128 {
    u128::from(time.0.max(0).unsigned_abs())
}

/// A judged unit from the time of its slices by state: good when enough of the known slices are good and enough is
/// known; bad when the share is missed even with the unknown slices counted good; else unknown. Not asked where
/// nothing was.
pub(crate) fn judge_unit(
    slices: TimeByState,
    slice_target_ppm: u32,
    minimum_coverage_ppm: u32,
    reason: UnknownReason,
) -> SliceState {
    if slices.asked() == Microseconds::ZERO {
        SliceState::NotAsked
    } else if !reaches(slices.good + slices.unknown, slices.asked(), slice_target_ppm.into()) {
        SliceState::Bad
    } else if slices.known() > Microseconds::ZERO
        && reaches(slices.good, slices.known(), slice_target_ppm.into())
        && reaches(slices.known(), slices.asked(), minimum_coverage_ppm.into())
    {
        SliceState::Good
    } else {
        SliceState::Unknown(reason)
    }
}

/// The one verdict rule: broken iff even with all unknown time good the share is missed; kept iff the known share
/// reaches the target and enough is known (`strict`: iff it does so even with all unknown time bad); else unknown.
pub(crate) fn judge_time(
    time: TimeByState,
    target_ppm: u32,
    minimum_coverage_ppm: u32,
    strict: bool,
) -> Outcome {
    if !reaches(time.good + time.unknown, time.asked(), target_ppm.into()) {
        return Outcome::NotOk;
    }
    let is_kept = if strict {
        reaches(time.good, time.asked(), target_ppm.into())
    } else {
        reaches(time.good, time.known(), target_ppm.into())
    };
    let is_covered = reaches(time.known(), time.asked(), minimum_coverage_ppm.into());
    if time.known() > Microseconds::ZERO && is_kept && is_covered { Outcome::Ok } else { Outcome::Unknown }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time(good: i64, bad: i64, unknown: i64) -> TimeByState {
        let seconds = Microseconds::from_seconds;
        TimeByState { good: seconds(good), bad: seconds(bad), unknown: seconds(unknown) }
    }

    #[test]
    fn unknown_time_neither_breaks_nor_keeps_an_objective() {
        let judge = |good, bad, unknown| judge_time(time(good, bad, unknown), 990_000, 950_000, false);
        assert_eq!(judge(99, 1, 0), Outcome::Ok, "exactly on the target");
        assert_eq!(judge(98, 2, 0), Outcome::NotOk);
        assert_eq!(judge(94, 0, 6), Outcome::Unknown, "94 % known");
        assert_eq!(judge(50, 2, 48), Outcome::NotOk, "broken whatever the rest was");
        assert_eq!(judge(0, 0, 10), Outcome::Unknown);
        assert_eq!(judge(0, 0, 0), Outcome::Unknown);
        assert_eq!(judge_time(time(98, 0, 2), 990_000, 950_000, true), Outcome::Unknown, "strict");
    }

    #[test]
    fn a_unit_is_bad_only_when_its_unknown_slices_cannot_save_it() {
        let unit =
            |good, bad, unknown| judge_unit(time(good, bad, unknown), 800_000, 500_000, UnknownReason::Stale);
        assert_eq!(unit(50, 10, 0), SliceState::Good);
        assert_eq!(unit(40, 20, 0), SliceState::Bad);
        assert_eq!(unit(30, 10, 20), SliceState::Unknown(UnknownReason::Stale), "75 % of the known are good");
        assert_eq!(unit(20, 0, 40), SliceState::Unknown(UnknownReason::Stale), "too little is known");
        assert_eq!(unit(0, 0, 0), SliceState::NotAsked);
    }
}
