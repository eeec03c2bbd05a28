//! The durable log: what is acknowledged is synced here first, and the evaluator reads nothing else.
//!
//! `ingest` → **log** → `evaluator`

mod codec; // a record as bytes and back
mod error; // what can go wrong, by who must act
mod memory; // for tests and `durability = "memory"`
mod raft; // on disk, by raft-engine
mod tail; // what a crash left behind the last whole record
mod usage; // how much of the disk holds records that are kept

use telemetry::record::{Record, Sequence};

pub use codec::{DecodeError, decode, encode};
pub use error::LogError;
pub use memory::MemoryLog;
pub use raft::{LogSettings, RaftLog};
pub use tail::CutTail;

/// Streams of records, each with positions that rise by one from 1 and are never used again.
///
/// One writer a stream: positions are given in the order of the calls. All calls block.
pub trait Log: Send + Sync {
    /// Writes records to one stream and returns the position of the last. They are synced before this returns.
    /// No records: the last position, or 0 in an empty stream.
    ///
    /// # Errors
    /// Nothing is written then. [`LogError::Full`] may be tried again.
    fn append(&self, shard: u32, records: &[Record]) -> Result<Sequence, LogError> {
        Ok(self.append_together(&[(shard, records)])?[0])
    }

    /// Writes records to several streams in one synced write: all are there, or none. Names a stream once only.
    /// Returns the position of the last record of each.
    ///
    /// # Errors
    /// Nothing is written then. [`LogError::Full`] may be tried again.
    fn append_together(&self, parts: &[(u32, &[Record])]) -> Result<Vec<Sequence>, LogError>;

    /// Reads records from `from` on, at least one if there is one, about `maximum_bytes` at most.
    /// Behind the last position there are none.
    ///
    /// # Errors
    /// [`LogError::Trimmed`] when `from` is before the first position that is kept; corruption; I/O.
    fn read(
        &self,
        shard: u32,
        from: Sequence,
        maximum_bytes: usize,
    ) -> Result<Vec<(Sequence, Record)>, LogError>;

    /// Drops records before `before`, but never the last one: its position is what the next one follows.
    ///
    /// # Errors
    /// Nothing is dropped then; to be tried again later.
    fn trim(&self, shard: u32, before: Sequence) -> Result<(), LogError>;

    /// First and last position; `None` for a stream without records.
    fn bounds(&self, shard: u32) -> Option<(Sequence, Sequence)>;

    /// Bytes that the log takes on its disk, or in memory.
    fn bytes(&self) -> u64;
}

/// The last position of each stream that anybody else has kept (a checkpoint, a table's transaction): the stream goes
/// on behind it, so that no position is ever used twice although the log may be gone.
pub type Floors = std::collections::BTreeMap<u32, Sequence>;
