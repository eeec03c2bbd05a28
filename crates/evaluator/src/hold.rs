//! How long a reading counts: from its own time until the next one, at the longest until its hold ends.
//!
//! settled readings → **hold** → known time of slices and blocks, gaps

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use telemetry::Microseconds;
use telemetry::record::Feed;

/// A periodic feed is held for this many intervals, so that two lost reports are no gap.
const INTERVALS: i64 = 3;
/// No hold of a periodic feed is shorter.
const HOLD_MINIMUM: Microseconds = Microseconds::from_seconds(15);
/// The hold while the interval is not known.
const HOLD_UNKNOWN: Microseconds = Microseconds::from_seconds(60);
/// While the interval is not known a silence is told only when it is longer by so much: of a feed that reports once a
/// minute, one lost report among the first ten would else be a gap.
const GRACE_UNKNOWN: Microseconds = Microseconds::from_minutes(4);
/// An on-change feed is held for this many republish periods.
const REPUBLISHES: i64 = 2;
/// Deltas that a first estimate of the interval needs, and those after which it stays as it is.
const DELTAS: (u32, u32) = (10, 100);
/// The nearest rank of the 90th percentile, counted from the top: the 11th of a hundred, and less of fewer.
const LARGEST: usize = 11;

/// The hold of one series and the interval behind it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Hold {
    length: Microseconds,
    interval: Option<Microseconds>,
    /// Deltas between readings while the interval is being found.
    deltas: Option<Box<Deltas>>,
}

/// The largest of up to a hundred deltas: all that a 90th percentile is read from.
#[derive(Debug, Default, Clone, PartialEq)]
struct Deltas {
    /// Of all of them.
    count: u32,
    /// Sorted.
    largest: [Microseconds; LARGEST],
}

impl Hold {
    /// By what the mapping says of the feed.
    pub(crate) fn of(feed: Feed) -> Self {
        match feed {
            Feed::Unsaid => Self { length: HOLD_UNKNOWN, interval: None, deltas: Some(Box::default()) },
            Feed::Periodic { interval } => {
                Self { length: periodic(interval), interval: Some(interval), deltas: None }
            }
            Feed::OnChange { republish } => {
                Self { length: Microseconds(republish.0 * REPUBLISHES), interval: None, deltas: None }
            }
        }
    }

    /// How long a reading is held.
    pub(crate) fn length(&self) -> Microseconds {
        self.length
    }

    /// Time between two readings, where it is known.
    pub(crate) fn interval(&self) -> Option<Microseconds> {
        self.interval
    }

    /// How much longer than its hold a silence must last to be told.
    pub(crate) fn grace(&self) -> Microseconds {
        match (&self.deltas, self.interval) {
            (Some(_), None) => GRACE_UNKNOWN,
            (Some(_) | None, _) => Microseconds::ZERO,
        }
    }

    /// Learns from the time between two readings that follow each other, in order of their times.
    ///
    /// The interval is the 90th percentile (nearest rank) of the first 100 deltas.
    pub(crate) fn learn(&mut self, delta: Microseconds) {
        let Some(deltas) = &mut self.deltas else { return };
        deltas.add(delta);
        if DELTAS.0 <= deltas.count {
            let interval = deltas.percentile_90();
            self.interval = Some(interval);
            self.length = periodic(interval);
        }
        if DELTAS.1 <= deltas.count {
            self.deltas = None;
        }
    }
}

impl Deltas {
    fn add(&mut self, delta: Microseconds) {
        self.count += 1;
        let below = self.largest.partition_point(|known| *known <= delta);
        if let Some(last) = below.checked_sub(1) {
            // The smallest goes, and those up to the new one move down.
            self.largest.copy_within(1..below, 0);
            self.largest[last] = delta;
        }
    }

    /// By nearest rank.
    fn percentile_90(&self) -> Microseconds {
        let rank_from_top = self.count - (self.count * 9).div_ceil(10);
        self.largest[LARGEST - 1 - rank_from_top as usize]
    }
}

/// As all deltas in order, in a checkpoint: for those that are not kept stands the smallest that is.
impl Serialize for Deltas {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let count = self.count as usize;
        let kept = &self.largest[LARGEST - LARGEST.min(count)..];
        let forgotten = std::iter::repeat_n(&self.largest[0], count - kept.len());
        serializer.collect_seq(forgotten.chain(kept))
    }
}

impl<'de> Deserialize<'de> for Deltas {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut deltas = Self::default();
        Vec::deserialize(deserializer)?.into_iter().for_each(|delta| deltas.add(delta));
        Ok(deltas)
    }
}

fn periodic(interval: Microseconds) -> Microseconds {
    Microseconds(interval.0 * INTERVALS).max(HOLD_MINIMUM)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interval_is_found_from_the_data_and_then_stays() {
        let mut hold = Hold::of(Feed::Unsaid);
        assert_eq!(hold.length(), HOLD_UNKNOWN);
        for _ in 0..9 {
            hold.learn(Microseconds::from_seconds(10));
        }
        assert_eq!(hold.interval(), None, "nine deltas are too few");
        assert_eq!(hold.grace(), GRACE_UNKNOWN);
        // One lost report in ten does not lengthen the interval.
        hold.learn(Microseconds::from_seconds(40));
        assert_eq!(hold.length(), Microseconds::from_seconds(30));
        assert_eq!(hold.grace(), Microseconds::ZERO);
        for _ in 0..90 {
            hold.learn(Microseconds::from_seconds(10));
        }
        for _ in 0..100 {
            hold.learn(Microseconds::from_seconds(100));
        }
        assert_eq!(hold.interval(), Some(Microseconds::from_seconds(10)));
    }

    #[test]
    fn the_largest_deltas_tell_what_all_of_them_would() {
        let mut hold = Hold::of(Feed::Unsaid);
        let mut all = Vec::new();
        for step in 0..100_i64 {
            let delta = Microseconds(1_000_000 + step * 7_919 % 101);
            hold.learn(delta);
            all.push(delta);
            all.sort_unstable();
            let nearest_rank = all[(all.len() * 9).div_ceil(10) - 1];
            assert_eq!(hold.interval(), (10 <= all.len()).then_some(nearest_rank), "{step}");
            let bytes = postcard::to_allocvec(&hold).unwrap();
            assert_eq!(postcard::from_bytes::<Hold>(&bytes).unwrap(), hold, "in a checkpoint");
            // Checkpoints had all deltas before.
            let before = (hold.length, hold.interval, hold.deltas.as_ref().map(|_| all.clone()));
            let before = postcard::to_allocvec(&before).unwrap();
            assert_eq!(postcard::from_bytes::<Hold>(&before).unwrap(), hold, "in one of all deltas");
        }
    }

    #[test]
    fn a_declared_feed_is_taken_at_its_word() {
        let every = |seconds| Feed::Periodic { interval: Microseconds::from_seconds(seconds) };
        assert_eq!(Hold::of(every(300)).length(), Microseconds::from_seconds(900));
        assert_eq!(Hold::of(every(1)).length(), Microseconds::from_seconds(15));
        assert_eq!(Hold::of(every(1)).grace(), Microseconds::ZERO);
        let on_change = Feed::OnChange { republish: Microseconds::from_seconds(100) };
        assert_eq!(Hold::of(on_change).length(), Microseconds::from_seconds(200));
    }
}
