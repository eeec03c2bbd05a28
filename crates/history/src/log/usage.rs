//! How much of the log's disk holds records that are still kept, and so when deleting files is worth it.
//!
//! raft-engine copies kept records out of its oldest files when they stand in its way, however many they are.
//! It leaves them alone while the oldest fifth of the files holds none, so that a purge waits until a third of the
//! disk is free to go.

use std::collections::{BTreeMap, VecDeque};

use telemetry::record::Sequence;

/// Bytes between two marks of a stream.
const MARK_BYTES: u64 = 1 << 20;
/// Streams with at most this many records do not matter: raft-engine copies them (its
/// `MAX_REWRITE_ENTRIES_PER_REGION`).
const SMALL_STREAM_RECORDS: u64 = 32;

/// Where the streams' records stand in the order of all bytes ever written.
#[derive(Debug)]
pub(super) struct Usage {
    written: u64,
    /// For each stream, rising: a record, and a position at or before it.
    marks: BTreeMap<u32, VecDeque<(Sequence, u64)>>,
}

impl Usage {
    /// Of a log that takes this many bytes when it is opened; all of it counts as kept at first.
    pub(super) fn after_open(bytes: u64) -> Self {
        Self { written: bytes, marks: BTreeMap::new() }
    }

    /// Notes a write of `bytes` to a stream whose first record is `first`.
    pub(super) fn note_write(&mut self, shard: u32, first: Sequence, bytes: u64) {
        let marks = self.marks.entry(shard).or_default();
        if marks.back().is_none_or(|(_, at)| at + MARK_BYTES <= self.written) {
            marks.push_back((first, self.written));
        }
        self.written += bytes;
    }

    /// Bytes from the oldest kept record on, where `bounds` are each stream's first and last record.
    pub(super) fn kept_bytes(&mut self, bounds: impl Iterator<Item = (u32, Sequence, Sequence)>) -> u64 {
        let mut oldest = self.written;
        for (shard, first, last) in bounds {
            if last - first < SMALL_STREAM_RECORDS {
                continue;
            }
            let Some(marks) = self.marks.get_mut(&shard) else { return self.written };
            while marks.get(1).is_some_and(|(mark, _)| *mark <= first) {
                marks.pop_front();
            }
            // Records from before the log was opened have no mark.
            oldest = oldest.min(marks.front().filter(|(mark, _)| *mark <= first).map_or(0, |(_, at)| *at));
        }
        self.written - oldest
    }

    /// Whether enough of `total` bytes on disk is free to go.
    pub(super) fn is_purge_worth_it(kept: u64, total: u64) -> bool {
        total.saturating_sub(kept) > total / 3
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_purge_waits_until_a_third_of_the_disk_is_free_to_go() {
        let mut usage = Usage::after_open(0);
        for first in 0..10 {
            usage.note_write(0, 1 + 100 * first, 2 << 20);
        }
        let total = 20 << 20;
        let kept = |usage: &mut Usage, first| usage.kept_bytes([(0, first, 1_000)].into_iter());
        assert_eq!(kept(&mut usage, 1), total);
        assert_eq!(kept(&mut usage, 299), 16 << 20, "the third write holds record 299");
        assert!(!Usage::is_purge_worth_it(16 << 20, total));
        assert_eq!(kept(&mut usage, 401), 12 << 20);
        assert!(Usage::is_purge_worth_it(12 << 20, total));
    }

    #[test]
    fn a_small_idle_stream_does_not_hold_the_others_files() {
        let mut usage = Usage::after_open(0);
        usage.note_write(7, 1, 100);
        usage.note_write(0, 1, 10 << 20);
        usage.note_write(0, 500, 10 << 20);
        assert_eq!(usage.kept_bytes([(0, 600, 900), (7, 1, 3)].into_iter()), 10 << 20);
    }

    #[test]
    fn records_from_before_the_log_was_opened_count_as_kept() {
        let mut usage = Usage::after_open(5 << 20);
        usage.note_write(0, 100, 1 << 20);
        assert_eq!(usage.kept_bytes([(0, 50, 120)].into_iter()), 6 << 20);
    }
}
