//! A log that lives as long as its process: for tests, and for `durability = "memory"` by explicit choice.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use telemetry::record::{Record, Sequence};

use super::{Floors, Log, LogError, codec};

/// Streams in memory.
#[derive(Debug, Default)]
pub struct MemoryLog {
    floors: Floors,
    streams: Mutex<BTreeMap<u32, Stream>>,
}

/// Encoded records, as they would stand on a disk, so that what cannot be written down is found in tests too.
#[derive(Debug)]
struct Stream {
    first: Sequence,
    records: VecDeque<Vec<u8>>,
}

impl MemoryLog {
    /// An empty log whose streams start behind their floor, else at 1.
    pub fn new(floors: Floors) -> Self {
        Self { floors, streams: Mutex::default() }
    }

    fn streams(&self) -> MutexGuard<'_, BTreeMap<u32, Stream>> {
        self.streams.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Log for MemoryLog {
    fn append_together(&self, parts: &[(u32, &[Record])]) -> Result<Vec<Sequence>, LogError> {
        let mut streams = self.streams();
        let written = parts.iter().map(|(shard, records)| {
            let stream = streams.entry(*shard).or_insert_with(|| Stream {
                first: self.floors.get(shard).map_or(1, |kept| kept + 1),
                records: VecDeque::new(),
            });
            stream.records.extend(records.iter().map(codec::encode));
            stream.first + stream.records.len() as u64 - 1
        });
        Ok(written.collect())
    }

    fn read(
        &self,
        shard: u32,
        from: Sequence,
        maximum_bytes: usize,
    ) -> Result<Vec<(Sequence, Record)>, LogError> {
        let streams = self.streams();
        let Some(stream) = streams.get(&shard) else { return Ok(Vec::new()) };
        let Some(skipped) = from.checked_sub(stream.first) else {
            return Err(LogError::Trimmed { shard, asked: from, first: stream.first });
        };
        let mut bytes = 0;
        let fitting = stream.records.iter().skip(skipped as usize).take_while(|record| {
            bytes += record.len();
            bytes == record.len() || bytes <= maximum_bytes
        });
        let decoded = fitting
            .zip(from..)
            .map(|(record, at)| (at, codec::decode(record).expect("encoded by this process")));
        Ok(decoded.collect())
    }

    fn trim(&self, shard: u32, before: Sequence) -> Result<(), LogError> {
        if let Some(stream) = self.streams().get_mut(&shard) {
            while stream.first < before && stream.records.len() > 1 {
                stream.records.pop_front();
                stream.first += 1;
            }
        }
        Ok(())
    }

    fn bounds(&self, shard: u32) -> Option<(Sequence, Sequence)> {
        let streams = self.streams();
        let stream = streams.get(&shard).filter(|stream| !stream.records.is_empty())?;
        Some((stream.first, stream.first + stream.records.len() as u64 - 1))
    }

    fn bytes(&self) -> u64 {
        self.streams().values().flat_map(|stream| &stream.records).map(|record| record.len() as u64).sum()
    }
}
