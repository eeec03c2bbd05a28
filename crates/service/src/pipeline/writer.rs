//! The log's only writer: groups what waits, syncs once, answers the senders, hands on to the evaluator.

use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::time::Instant;

use history::log::{Log, LogError};
use telemetry::record::{Body, PartitionId, Record, Sequence};
use telemetry::{EventTime, Microseconds};
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};

use crate::metrics::{Id, Metrics};
use crate::settings::Clock;

/// The stream that everything goes to.
pub const SHARD: u32 = 0;

/// Records that one request wants in the log.
pub struct Entry {
    /// In order.
    pub records: Vec<Record>,
    /// The greatest event time in them that is not in the future.
    pub latest: Option<EventTime>,
    /// Given back once the records are applied.
    pub room: OwnedSemaphorePermit,
    /// Told the position of the last record once all are synced.
    pub done: oneshot::Sender<Result<Sequence, Refused>>,
}

/// Why records were not written.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{message}")]
pub struct Refused {
    /// For the sender.
    pub message: String,
    /// Whether a resend may help.
    pub retryable: bool,
}

/// Synced records on their way to the evaluator.
pub struct Synced {
    /// Position of the first record.
    pub first: Sequence,
    /// In order.
    pub records: Vec<Record>,
    /// Given back once they are applied.
    pub room: Vec<OwnedSemaphorePermit>,
}

/// The writer's thread.
pub struct Writer {
    /// Where to write.
    pub log: Arc<dyn Log>,
    /// What waits.
    pub entries: mpsc::UnboundedReceiver<Entry>,
    /// Who reads. Never full: whoever writes down a verdict must not wait until telemetry is judged.
    pub synced: Sender<Synced>,
    /// What moves event time.
    pub clock: Clock,
    /// The last tick in the log.
    pub last_tick: Option<EventTime>,
    /// Samples of one synced write at most, by bytes of the log.
    pub group_bytes_max: usize,
    /// Counters.
    pub metrics: Arc<Metrics>,
}

impl Writer {
    /// Runs until all senders are gone.
    pub fn run(mut self) {
        while let Some(first) = self.entries.blocking_recv() {
            let mut group = vec![first];
            let mut bytes = size(&group[0].records);
            while bytes < self.group_bytes_max {
                let Ok(next) = self.entries.try_recv() else { break };
                bytes += size(&next.records);
                group.push(next);
            }
            if !self.write(group) {
                return;
            }
        }
    }

    /// Writes a group in one synced write. False when the evaluator is gone.
    fn write(&mut self, group: Vec<Entry>) -> bool {
        let mut records =
            Vec::with_capacity(group.iter().map(|entry| entry.records.len()).sum::<usize>() + 1);
        let mut waiting = Vec::with_capacity(group.len());
        let mut room = Vec::with_capacity(group.len());
        let mut last_tick = self.last_tick;
        for entry in group {
            records.extend(entry.records);
            waiting.push((records.len() as u64, entry.done));
            room.push(entry.room);
            // After each entry, not after each synced write: how entries happen to be grouped changes no judgement.
            if let Some(tick) = self.tick_for(entry.latest, last_tick) {
                last_tick = Some(tick);
                records.push(Record { partition: PartitionId::STREAM, body: Body::Tick(tick) });
            }
        }
        let started = Instant::now();
        let written = if records.is_empty() {
            self.log.bounds(SHARD).map_or(Ok(0), |(_, last)| Ok(last))
        } else {
            self.log.append(SHARD, &records)
        };
        match written {
            Ok(last) => {
                self.metrics.observe(Id::LogSyncSeconds, started.elapsed());
                self.metrics.add(Id::LogSyncs, &[], 1);
                self.metrics.add(Id::LogRecords, &[], records.len() as u64);
                self.last_tick = self.last_tick.max(tick_of(&records));
                let first = last + 1 - records.len() as u64;
                for (end, done) in waiting {
                    // A sender that went away has no use for its answer; the records stay.
                    let _ = done.send(Ok(first + end.saturating_sub(1)));
                }
                records.is_empty() || self.synced.send(Synced { first, records, room }).is_ok()
            }
            Err(error) => {
                self.metrics.add(Id::LogErrors, &[], 1);
                tracing::error!(%error, "the log refused a write; its senders are told");
                let refused =
                    Refused { message: error.to_string(), retryable: matches!(error, LogError::Full { .. }) };
                for (_, done) in waiting {
                    let _ = done.send(Err(refused.clone()));
                }
                true
            }
        }
    }

    /// On the telemetry's clock: the tick that follows an entry, if time has grown by a second.
    fn tick_for(&self, latest: Option<EventTime>, last_tick: Option<EventTime>) -> Option<EventTime> {
        match self.clock {
            Clock::Wall => None,
            Clock::Telemetry => {
                let tick = latest?.window_start(Microseconds::from_seconds(1));
                (last_tick < Some(tick)).then_some(tick)
            }
        }
    }
}

fn tick_of(records: &[Record]) -> Option<EventTime> {
    records
        .iter()
        .filter_map(|record| match &record.body {
            Body::Tick(tick) => Some(*tick),
            _ => None,
        })
        .max()
}

/// About how many bytes the records take in the log.
fn size(records: &[Record]) -> usize {
    records
        .iter()
        .map(|record| match &record.body {
            Body::Samples(batch) => 16 + 12 * batch.len(),
            _ => 256,
        })
        .sum()
}
