//! How much of the log's disk holds records that are still kept, and so when deleting files is worth it.
//!
//! raft-engine copies kept records out of its oldest files when they stand in its way, however many they are.
//! It leaves them alone while the oldest fifth of the files holds none, so that a purge waits until a third of the
//! disk is free to go.

use std::collections::{BTreeMap, VecDeque};

use telemetry::record::Sequence;

/// Bytes between two marks of a stream.
const MARK_BYTES: u64 = 1 << 20;
/// A stream with at most this many records in about one mark does not hold any file: raft-engine copies it (its
/// `MAX_REWRITE_ENTRIES_PER_REGION`).
const SMALL_STREAM_RECORDS: u64 = 32;

/// Where the streams' records stand in the order of all bytes ever written.
#[derive(Debug)]
pub(super) struct Usage {
    written: u64,
    /// Up to here files may have been deleted.
    purged: u64,
    streams: BTreeMap<u32, Stream>,
}

#[derive(Debug, Default)]
struct Stream {
    /// Bytes written to it.
    written: u64,
    /// Rising.
    marks: VecDeque<Mark>,
}

/// Where a record stands: nothing of it or behind it stands before.
#[derive(Debug)]
struct Mark {
    record: Sequence,
    position: u64,
    stream_written: u64,
}

impl Usage {
    /// Of a log that takes this many bytes when it is opened; all of it counts as kept at first.
    pub(super) fn after_open(bytes: u64) -> Self {
        Self { written: bytes, purged: 0, streams: BTreeMap::new() }
    }

    /// Notes a write of `bytes` to a stream whose first record is `first`.
    pub(super) fn note_write(&mut self, shard: u32, first: Sequence, bytes: u64) {
        let stream = self.streams.entry(shard).or_default();
        if stream.marks.back().is_none_or(|mark| mark.position + MARK_BYTES <= self.written) {
            let mark = Mark { record: first, position: self.written, stream_written: stream.written };
            stream.marks.push_back(mark);
        }
        stream.written += bytes;
        self.written += bytes;
    }

    /// Up to where all files may go, where `bounds` are each stream's first and last record; `None` while that is
    /// less than a third of what the log takes, or the log is not larger than `floor_bytes`.
    pub(super) fn worth_purging(
        &mut self,
        floor_bytes: u64,
        bounds: impl Iterator<Item = (u32, Sequence, Sequence)>,
    ) -> Option<u64> {
        let free = self.oldest_kept(bounds).saturating_sub(self.purged);
        let taken = self.written - self.purged;
        (taken > floor_bytes && free > taken / 3).then_some(self.purged + free)
    }

    /// Notes that files up to a position of [`Self::worth_purging`] were deleted.
    pub(super) fn note_purge(&mut self, up_to: u64) {
        self.purged = up_to;
    }

    /// Position of the oldest record that is kept.
    fn oldest_kept(&mut self, bounds: impl Iterator<Item = (u32, Sequence, Sequence)>) -> u64 {
        let mut oldest = self.written;
        for (shard, first, last) in bounds {
            let stream = self.streams.entry(shard).or_default();
            while stream.marks.get(1).is_some_and(|mark| mark.record <= first) {
                stream.marks.pop_front();
            }
            // Records from before the log was opened have no mark.
            let mark = stream.marks.front().filter(|mark| mark.record <= first);
            let kept = stream.written - mark.map_or(0, |mark| mark.stream_written);
            if last - first >= SMALL_STREAM_RECORDS || kept > 2 * MARK_BYTES {
                oldest = oldest.min(mark.map_or(0, |mark| mark.position));
            }
        }
        oldest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MB: u64 = 1 << 20;

    #[test]
    fn a_purge_waits_until_a_third_of_the_disk_is_free_to_go() {
        let mut usage = Usage::after_open(0);
        for write in 0..10 {
            usage.note_write(0, 1 + 100 * write, 2 * MB);
        }
        let worth =
            |usage: &mut Usage, first, floor| usage.worth_purging(floor, [(0, first, 1_000)].into_iter());
        assert_eq!(worth(&mut usage, 299, 0), None, "the third of ten writes holds record 299");
        assert_eq!(worth(&mut usage, 401, 20 * MB), None, "a small log is left alone");
        assert_eq!(worth(&mut usage, 401, 0), Some(8 * MB));
        usage.note_purge(8 * MB);
        assert_eq!(worth(&mut usage, 501, 0), None, "2 of 12 MB");
        assert_eq!(worth(&mut usage, 701, 0), Some(14 * MB));
    }

    #[test]
    fn a_small_idle_stream_does_not_hold_the_others_files() {
        let mut usage = Usage::after_open(0);
        usage.note_write(7, 1, 100);
        usage.note_write(0, 1, 10 * MB);
        usage.note_write(0, 500, 10 * MB);
        let bounds = [(0, 600, 900), (7, 1, 3)];
        assert_eq!(usage.worth_purging(0, bounds.into_iter()), Some(10 * MB + 100));
    }

    #[test]
    fn a_stream_of_few_large_records_holds_its_files() {
        let mut usage = Usage::after_open(0);
        for record in 1..=10 {
            usage.note_write(0, record, 5 * MB);
        }
        assert_eq!(usage.worth_purging(0, [(0, 1, 10)].into_iter()), None);
    }

    #[test]
    fn records_from_before_the_log_was_opened_are_not_free_to_go() {
        let mut usage = Usage::after_open(5 * MB);
        usage.note_write(0, 100, MB);
        assert_eq!(usage.worth_purging(0, [(0, 50, 120)].into_iter()), None);
        assert_eq!(usage.worth_purging(0, [(9, 1, 120)].into_iter()), None);
        assert_eq!(usage.worth_purging(0, [(0, 101, 150)].into_iter()), Some(5 * MB));
    }
}
