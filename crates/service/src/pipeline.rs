//! wire → ingest → log → evaluator → history / alerts / gate: where they meet, and how they start and end.

pub mod calibrating; // calibrations as records
pub mod committer; // frozen rows to the store, checkpoints, trimming
pub mod control; // runs, maintenance, overrides, verdicts as records
pub mod drilling; // drills as records
pub mod engine; // the evaluator's thread
pub mod recovery; // from a data folder to a running engine
pub mod writer; // the log's only writer

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, RwLock};
use std::time::Duration;

use async_trait::async_trait;
use history::History;
use ingest::{DecodeError, Decoded, Front, Intake, IntakeError, Report, Ticket};
use telemetry::record::{Body, Flag, PartitionId, Record, Sequence};
use telemetry::{EventTime, Microseconds, Name};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

use crate::board::Board;
use crate::metrics::{Id, Metrics};
use crate::settings::Clock;
use crate::tell::Tell;
use writer::{Entry, Refused};

/// A sender that finds the queue full is told to come again after this.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Acts, verdicts and ticks that may wait to be applied. The evaluator is behind by so many only when the store has
/// refused its rows for long.
const ACTS_WAITING_MAX: usize = 1_000;

/// The running pipeline, shared by all servers.
pub struct Pipeline {
    /// Names series. A std mutex: held while one request is normalised and queued, never across an await, so that
    /// a series' declaration is queued before its samples.
    front: Mutex<Front>,
    /// The racks that the site file names, whether or not a reading of them ever came. Not asked of `front`: a gate
    /// would wait behind everything that is taken in.
    pub declared_racks: Vec<Name>,
    /// Taken away at the end, so that the log's thread runs dry. What waits in it is bounded by `room` and `acts_room`.
    entries: RwLock<Option<mpsc::UnboundedSender<Entry>>>,
    /// Bytes of telemetry that may be on its way from a sender to its judgement.
    room: Arc<Semaphore>,
    room_bytes: usize,
    /// People's acts, verdicts and ticks on the same way: they wait behind no telemetry, and are refused when they are
    /// too many.
    acts_room: Arc<Semaphore>,
    clock: Clock,
    allowed_lateness: Microseconds,
    last_tick: AtomicI64,
    unmapped_series: AtomicU64,
    /// What everybody may look at.
    pub board: Arc<Board>,
    /// Rows and SQL.
    pub history: History,
    /// Alerts and events.
    pub tell: Tell,
    /// Counters.
    pub metrics: Arc<Metrics>,
}

/// Telemetry that has its place in the order of the log and may not be synced yet.
pub struct Queued {
    source: &'static str,
    report: Report,
    /// None when there was nothing to write.
    written: Option<(Ticket, oneshot::Receiver<Result<Sequence, Refused>>)>,
}

/// What a pipeline is made from.
#[allow(missing_docs)] // Each is a field of `Pipeline`.
pub struct Start {
    pub front: Front,
    pub entries: mpsc::UnboundedSender<Entry>,
    pub room_bytes: usize,
    pub clock: Clock,
    pub allowed_lateness: Microseconds,
    pub last_tick: Option<EventTime>,
    pub board: Arc<Board>,
    pub history: History,
    pub tell: Tell,
    pub metrics: Arc<Metrics>,
}

impl Pipeline {
    /// Ready to take in.
    pub fn new(start: Start) -> Self {
        let Start {
            front,
            entries,
            room_bytes,
            clock,
            allowed_lateness,
            last_tick,
            board,
            history,
            tell,
            metrics,
        } = start;
        let room_bytes = room_bytes.min(Semaphore::MAX_PERMITS);
        Self {
            declared_racks: front.resolver().site().racks.keys().cloned().collect(),
            front: Mutex::new(front),
            entries: RwLock::new(Some(entries)),
            room: Arc::new(Semaphore::new(room_bytes)),
            room_bytes,
            acts_room: Arc::new(Semaphore::new(ACTS_WAITING_MAX)),
            clock,
            allowed_lateness,
            last_tick: AtomicI64::new(last_tick.map_or(i64::MIN, EventTime::unix_micros)),
            unmapped_series: AtomicU64::new(0),
            board,
            history,
            tell,
            metrics,
        }
    }

    /// Takes nothing more in; what is queued is still written.
    pub fn close(&self) {
        self.entries.write().expect("no panic under this lock").take();
    }

    /// The log's queue; gone once the service ends.
    fn queue(&self) -> Option<mpsc::UnboundedSender<Entry>> {
        self.entries.read().expect("no panic under this lock").clone()
    }

    /// Takes decoded telemetry in, and returns once it is synced.
    ///
    /// # Errors
    /// [`IntakeError::Overloaded`] when judging is behind or the log refuses: a resend is safe.
    pub async fn take_in(&self, decoded: &Decoded) -> Result<Report, IntakeError> {
        let queued = tokio::time::timeout(RETRY_AFTER, self.queue_up(decoded)).await.map_err(|_| {
            overloaded("more telemetry waits to be judged than `ingest.queue_bytes_max` has room for")
        })??;
        self.synced(queued).await
    }

    /// Waits for room, takes decoded telemetry's place in the order of the log, and returns before it is synced:
    /// whoever reads a file queues the next rows while these are written.
    ///
    /// # Errors
    /// When the telemetry is refused whole, or the service is ending.
    pub async fn queue_up(&self, decoded: &Decoded) -> Result<Queued, IntakeError> {
        let room = self.room_for(decoded).await?;
        let queue = self.queue().ok_or_else(ending)?;
        let mut front = self.front.lock().expect("no panic under this lock");
        let taken = front.take_in(decoded, self.future_limit())?;
        let written = if taken.records.is_empty() {
            None
        } else {
            let (done, answer) = oneshot::channel();
            let entry = Entry { records: taken.records, latest: taken.latest, room, done };
            queue.send(entry).map_err(|_| ending())?;
            Some((taken.ticket, answer))
        };
        Ok(Queued { source: decoded.source, report: taken.report, written })
    }

    /// Room for a request until it is judged. One that is larger than all room has all of it.
    async fn room_for(&self, decoded: &Decoded) -> Result<OwnedSemaphorePermit, IntakeError> {
        let bytes = u32::try_from(decoded.bytes().min(self.room_bytes)).unwrap_or(u32::MAX);
        self.room.clone().acquire_many_owned(bytes).await.map_err(|_| ending())
    }

    /// Returns once what was queued is synced.
    ///
    /// # Errors
    /// [`IntakeError::Overloaded`] when the log refuses: a resend is safe.
    pub async fn synced(&self, queued: Queued) -> Result<Report, IntakeError> {
        let Queued { source, report, written } = queued;
        if let Some((ticket, answer)) = written {
            let written = answer.await.map_err(|_| ending())?;
            let mut front = self.front.lock().expect("no panic under this lock");
            match written {
                Ok(_) => front.confirm(ticket),
                Err(refused) => {
                    front.withdraw(ticket);
                    return Err(overloaded(&refused.message));
                }
            }
        }
        self.note(source, &report);
        Ok(report)
    }

    /// Writes records of people's acts, and returns their position once they are synced.
    ///
    /// # Errors
    /// When the log refuses, or too many acts wait to be applied.
    pub async fn append(&self, records: Vec<Record>) -> Result<Sequence, Refused> {
        let ended = || Refused { message: "the service is ending".to_owned(), retryable: true };
        let room = self.acts_room.clone().try_acquire_owned().map_err(|_| Refused {
            message: format!(
                "{ACTS_WAITING_MAX} runs, verdicts and ticks wait to be applied: the evaluator is behind; see \
                 whether the store takes its rows (thermogate_history_flush_errors_total), and come again"
            ),
            retryable: true,
        })?;
        let (done, answer) = oneshot::channel();
        let queue = self.queue().ok_or_else(ended)?;
        queue.send(Entry { records, latest: None, room, done }).map_err(|_| ended())?;
        answer.await.map_err(|_| ended())?
    }

    /// The same, and returns once the evaluator has applied them.
    ///
    /// # Errors
    /// When the log refuses.
    pub async fn append_and_apply(&self, records: Vec<Record>) -> Result<Sequence, Refused> {
        let sequence = self.append(records).await?;
        self.board.applied(sequence).await;
        Ok(sequence)
    }

    /// Moves event time to `now`, unless it would go back: then the tick holds still.
    ///
    /// # Errors
    /// When the log refuses; the next tick makes up for it.
    pub async fn tick(&self, now: EventTime) -> Result<(), Refused> {
        let tick = now.window_start(Microseconds::from_seconds(1));
        let before = self.last_tick.fetch_max(tick.unix_micros(), Ordering::Relaxed);
        if before >= tick.unix_micros() {
            if before > tick.unix_micros() {
                self.metrics.add(Id::ClockStepsBack, &[], 1);
            }
            return Ok(());
        }
        self.append(vec![Record { partition: PartitionId::STREAM, body: Body::Tick(tick) }]).await.map(|_| ())
    }

    /// The end of the input on the telemetry's clock: a tick after which everything is closed, and applied.
    ///
    /// # Errors
    /// When the log refuses.
    pub async fn finish(&self, last: EventTime) -> Result<(), Refused> {
        let tick = (last + self.allowed_lateness + Microseconds::from_seconds(1))
            .window_start(Microseconds::from_seconds(1));
        self.append_and_apply(vec![Record { partition: PartitionId::STREAM, body: Body::Tick(tick) }])
            .await
            .map(|_| ())
    }

    /// Readings later than this plus a minute are in the future. On the telemetry's clock nothing is: the data
    /// itself moves time.
    fn future_limit(&self) -> EventTime {
        match self.clock {
            Clock::Wall => EventTime::from_unix_micros(self.last_tick.load(Ordering::Relaxed)),
            Clock::Telemetry => EventTime::from_unix_micros(i64::MAX),
        }
    }

    /// Series of metrics that no mapping knows.
    pub fn unmapped_series(&self) -> u64 {
        self.unmapped_series.load(Ordering::Relaxed)
    }

    fn note(&self, source: &str, report: &Report) {
        let metrics = &self.metrics;
        let result = if report.refused_points() > 0 { "partly_refused" } else { "accepted" };
        metrics.add(Id::IngestRequests, &[source, result], 1);
        metrics.add(Id::IngestSamples, &[source], report.accepted);
        for (reason, points) in &report.refused {
            metrics.add(Id::IngestRefused, &[source, reason.name()], *points);
        }
        for (flag, points) in &report.quarantined {
            metrics.add(Id::IngestSetAside, &[source, Flag::name(*flag)], *points);
        }
        let unmapped = report.unmapped_kept + report.unmapped_counted;
        if unmapped > 0 {
            metrics.add(Id::IngestUnmapped, &[source], unmapped);
            let series = self.front.lock().expect("no panic under this lock").unmapped_series();
            self.unmapped_series.store(series, Ordering::Relaxed);
        }
        let unsupported = report.unsupported;
        let unsupported = unsupported.histograms + unsupported.summaries + unsupported.exemplars;
        if unsupported > 0 {
            metrics.add(Id::IngestUnsupported, &[source], unsupported);
        }
    }
}

fn overloaded(message: &str) -> IntakeError {
    IntakeError::Overloaded { message: message.to_owned(), retry_after: RETRY_AFTER }
}

fn ending() -> IntakeError {
    overloaded("the service is ending")
}

#[async_trait]
impl Intake for Pipeline {
    async fn take_in(&self, decoded: Decoded) -> Result<Report, IntakeError> {
        let taken = Pipeline::take_in(self, &decoded).await;
        if let Err(IntakeError::Overloaded { .. }) = &taken {
            self.metrics.add(Id::IngestRequests, &[decoded.source, "overloaded"], 1);
        }
        taken
    }

    fn note_unreadable(&self, source: &'static str, error: &DecodeError) {
        self.metrics.add(Id::IngestRequests, &[source, "unreadable"], 1);
        tracing::warn!(source, %error, "a request was refused whole");
    }
}

#[cfg(test)]
mod tests;
