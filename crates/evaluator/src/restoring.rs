//! A snapshot on its way back into an engine, in parts that do not depend on each other: whoever has threads reads
//! several at once.
//!
//! bytes → **restoring** → engine

use telemetry::record::PartitionId;

use crate::configuration;
use crate::engine::Evaluator;
use crate::partition::Partition;
use crate::snapshot::{self, SnapshotError};

/// A snapshot whose parts are still bytes.
#[derive(Debug)]
pub struct Restoring<'a> {
    evaluator: Evaluator,
    parts: Vec<&'a [u8]>,
}

/// A part that was read: a loop with its racks.
#[derive(Debug)]
pub struct RestoredPart {
    id: PartitionId,
    partition: Partition,
}

impl<'a> Restoring<'a> {
    /// Begins with what [`Evaluator::snapshot`] gave.
    ///
    /// # Errors
    /// When the bytes are not a state that this engine reads.
    pub fn new(bytes: &'a [u8]) -> Result<Self, SnapshotError> {
        let mut parts = snapshot::parts(bytes)?;
        let head = parts.next().ok_or(SnapshotError::Foreign)??;
        let mut evaluator: Evaluator = snapshot::read(head)?;
        if let Some(configuration) = &evaluator.configuration {
            let parsed = configuration::parse(configuration).map_err(SnapshotError::Unreadable)?;
            evaluator.in_force = parsed.in_force;
        }
        Ok(Self { evaluator, parts: parts.collect::<Result<_, _>>()? })
    }

    /// How many parts there are to be read.
    pub fn parts(&self) -> usize {
        self.parts.len()
    }

    /// Reads a part, of those from 0 to [`Self::parts`].
    ///
    /// # Errors
    /// When it cannot be read, or is none.
    pub fn read(&self, number: usize) -> Result<RestoredPart, SnapshotError> {
        let missing = || SnapshotError::Unreadable(format!("it has no part {number}"));
        let (id, mut partition): (PartitionId, Partition) =
            snapshot::read(self.parts.get(number).ok_or_else(missing)?)?;
        // Plans are no part of the bytes.
        partition.restore(self.evaluator.environment());
        Ok(RestoredPart { id, partition })
    }

    /// The engine, as if it had never stopped.
    ///
    /// # Errors
    /// When a part is missing.
    pub fn finish(self, read: impl IntoIterator<Item = RestoredPart>) -> Result<Evaluator, SnapshotError> {
        let Self { mut evaluator, parts } = self;
        evaluator.partitions.extend(read.into_iter().map(|part| (part.id, part.partition)));
        let read = evaluator.partitions.len();
        if read != parts.len() {
            return Err(SnapshotError::Unreadable(format!("{read} of its {} parts were read", parts.len())));
        }
        evaluator.with_drills(|drills, _, environment| drills.restore(environment));
        Ok(evaluator)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snapshot_that_is_torn_or_changed_anywhere_is_refused() {
        let bytes = Evaluator::new().snapshot();
        assert!(Evaluator::restore(&bytes).is_ok());
        for length in 0..bytes.len() {
            assert!(Evaluator::restore(&bytes[..length]).is_err(), "{length} bytes of {}", bytes.len());
        }
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            assert!(Evaluator::restore(&changed).is_err(), "byte {at}");
        }
    }

    #[test]
    fn an_engine_with_a_part_missing_is_none() {
        let mut evaluator = Evaluator::new();
        evaluator.partitions.insert(PartitionId(1), Partition::new(PartitionId(1)));
        let bytes = evaluator.snapshot();
        let restoring = Restoring::new(&bytes).unwrap();
        assert_eq!(restoring.parts(), 1);
        assert!(restoring.read(1).is_err());
        let error = restoring.finish([]).map(|_| ()).unwrap_err();
        assert!(error.to_string().contains("0 of its 1 parts"), "{error}");
    }
}
