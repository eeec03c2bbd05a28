//! The evaluator's thread: one synced record after the other in, effects out. It decides nothing itself.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, TryRecvError};
use std::time::{Duration, Instant};

use evaluator::{Counter, Effect, Effects, Evaluator, SNAPSHOT_HEADER_BYTES};
use history::History;
use history::checkpoint::{Checkpoints, Finished};
use telemetry::record::{Body, Fate, Flag, Record, Sequence};
use tokio::sync::mpsc;

use super::committer::Work;
use super::writer::Synced;
use crate::board::{Board, Progress};
use crate::hands::Hands;
use crate::metrics::{Id, Metrics};
use crate::settings::HistorySettings;
use crate::tell::Tell;

/// Everything that effects are performed on.
pub struct Outlets {
    /// Rows.
    pub history: History,
    /// Facts, alerts, progress.
    pub board: Arc<Board>,
    /// Alertmanager.
    pub tell: Tell,
    /// Counters.
    pub metrics: Arc<Metrics>,
}

/// Evaluator and outlets: used alike for recovery and for life.
pub struct Engine {
    /// The pure core.
    pub evaluator: Evaluator,
    /// What it acts on.
    pub outlets: Outlets,
    hands: Hands,
    position: Sequence,
}

impl Engine {
    /// Goes on after `position`.
    ///
    /// # Errors
    /// When the system gives no threads.
    pub fn new(evaluator: Evaluator, outlets: Outlets, position: Sequence) -> std::io::Result<Self> {
        for (partition, declaration) in evaluator.declarations() {
            outlets.history.declare(partition, declaration);
        }
        for facts in evaluator.rack_facts() {
            outlets.board.publish(facts);
        }
        for alert in evaluator.alerts() {
            outlets.board.note_alert(&alert);
            outlets.tell.update(&alert);
        }
        let record = evaluator.drill_record().iter().cloned();
        for drill in record.chain(evaluator.drills_running()) {
            outlets.board.note_drill(&drill);
        }
        for alert in evaluator.drill_alerts() {
            outlets.tell.update(&alert);
        }
        Ok(Self { evaluator, outlets, hands: Hands::of_all_cores()?, position })
    }

    /// The last record that was applied.
    pub fn position(&self) -> Sequence {
        self.position
    }

    /// Applies the records from `first` on, then performs their effects, record by record.
    pub fn apply(&mut self, first: Sequence, records: &[Record]) {
        debug_assert_eq!(first, self.position + 1, "the log has no holes");
        let effects = self.evaluator.apply_together(&self.hands, first, records);
        for ((sequence, record), effects) in (first..).zip(records).zip(&effects) {
            self.act(sequence, record, effects);
            self.position = sequence;
        }
    }

    fn act(&self, sequence: Sequence, record: &Record, effects: &Effects) {
        let Outlets { history, board, metrics, .. } = &self.outlets;
        match &record.body {
            Body::Series(declaration) => {
                // As the evaluator keeps it, so that both have the same texts, unless it was declared again since.
                let kept = self.evaluator.declaration(record.partition, declaration.id);
                match kept.filter(|kept| *kept == declaration) {
                    Some(kept) => history.declare(record.partition, kept),
                    None => history.declare(record.partition, declaration),
                }
            }
            Body::Samples(batch) => {
                history.append_samples(sequence, record.partition, batch, &effects.fates);
                count(metrics, &effects.fates);
            }
            Body::Verdict(verdict) => board.note_verdict(&Arc::new(verdict.clone())),
            Body::Tick(_)
            | Body::Configuration(_)
            | Body::Run(_)
            | Body::Calibration(_)
            | Body::Maintenance(_)
            | Body::Drill(_)
            | Body::Override(_)
            | Body::Event(_) => {}
        }
        for effect in &effects.list {
            self.perform(sequence, effect);
        }
    }

    fn perform(&self, sequence: Sequence, effect: &Effect) {
        let Outlets { history, board, tell, metrics } = &self.outlets;
        match effect {
            Effect::Block(block) => history.append_block(sequence, block),
            Effect::Publish(facts) => board.publish(facts.clone()),
            // What became of readings is counted from their fates, in metrics of their own.
            Effect::Count {
                counter: Counter::Judged | Counter::Late | Counter::Duplicate | Counter::Conflict,
                by: _,
            } => {}
            Effect::Count { counter, by } => metrics.add(Id::Counts, &[counter.name()], *by),
            Effect::Alert(transition) => {
                board.note_alert(transition);
                tell.update(transition);
                tell.event(effect);
                metrics.add(Id::AlertTransitions, &[transition.to.name()], 1);
                self.append(sequence, effect);
            }
            Effect::Finding(_) => {
                tell.event(effect);
                self.append(sequence, effect);
            }
            Effect::Drill(drill) => {
                board.note_drill(drill);
                self.append(sequence, effect);
            }
            Effect::DrillAlert(transition) => {
                tell.update(transition);
                self.append(sequence, effect);
            }
            Effect::DrillCopy { drill, facts } => board.note_drill_copy(drill, facts),
            Effect::Status(_) | Effect::Row(_) => self.append(sequence, effect),
        }
    }

    fn append(&self, sequence: Sequence, effect: &Effect) {
        if let Some(row) = effect.row() {
            self.outlets.history.append_row(sequence, row);
        }
    }

    /// Tells everybody how far it has come.
    pub fn announce(&self) {
        let (tick, watermark) = (self.evaluator.last_tick(), self.evaluator.watermark());
        self.outlets.board.advance(Progress { sequence: self.position, tick, watermark });
        if let Some(watermark) = watermark {
            self.outlets.history.set_now(watermark);
            self.outlets.metrics.set(Id::Watermark, &[], watermark.unix_micros() / 1_000_000);
        }
    }
}

fn count(metrics: &Metrics, fates: &[Fate]) {
    let (mut judged, mut late, mut duplicates, mut conflicts) = (0, 0, 0, 0);
    for fate in fates {
        match fate {
            Fate::Stored(Flag::Ok | Flag::Unusual) => judged += 1,
            Fate::Stored(Flag::Late) => late += 1,
            Fate::Stored(
                Flag::Implausible | Flag::Sentinel | Flag::Future | Flag::Distrusted | Flag::Stale,
            ) => {}
            Fate::Duplicate => duplicates += 1,
            Fate::Conflict => conflicts += 1,
        }
    }
    metrics.add(Id::Judged, &[], judged);
    metrics.add(Id::Late, &[], late);
    metrics.add(Id::Duplicates, &["duplicate"], duplicates);
    metrics.add(Id::Duplicates, &["conflict"], conflicts);
}

fn samples_of(record: &Record) -> u64 {
    match &record.body {
        Body::Samples(batch) => batch.len() as u64,
        _ => 0,
    }
}

/// The thread's loop.
pub struct Loop {
    /// What it drives.
    pub engine: Engine,
    /// Synced records.
    pub synced: Receiver<Synced>,
    /// Where frozen rows go; room for one: the next waits until the last is in the store.
    pub work: mpsc::Sender<Work>,
    /// Where the state is written.
    pub checkpoints: Arc<Checkpoints>,
    /// When to flush.
    pub settings: HistorySettings,
}

impl Loop {
    /// Runs until the writer is gone, then hands over what is left, with a checkpoint.
    pub fn run(mut self) {
        /// How often the time to flush is looked at while nothing comes in.
        const IDLE: Duration = Duration::from_millis(200);
        /// So long samples wait for more. They are acknowledged already, and what is told of them may take seconds; people's
        /// acts that come meanwhile wait as long.
        const PAUSE: Duration = Duration::from_millis(10);
        let mut flushed = Instant::now();
        let mut checkpointed = Instant::now();
        let mut samples = 0_u64;
        loop {
            match self.synced.recv_timeout(IDLE) {
                Ok(next) => {
                    let (Synced { first, records, room }, count) =
                        with_what_waits(next, &self.synced, || std::thread::sleep(PAUSE));
                    self.engine.apply(first, &records);
                    samples += count;
                    drop(room);
                    self.engine.announce();
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            let memory = self.engine.outlets.history.memory_bytes();
            let due = flushed.elapsed() >= self.settings.flush_every.duration()
                || memory >= self.settings.flush_bytes_max;
            // Beyond this the store is far behind: waiting here fills the queues, and senders are told to wait.
            let must = memory >= 3 * self.settings.flush_bytes_max;
            if due && (must || self.work.capacity() > 0) {
                let checkpoint = checkpointed.elapsed() >= self.settings.checkpoint_every.duration()
                    || samples >= self.settings.checkpoint_samples_max;
                if self.work.blocking_send(self.freeze(checkpoint)).is_err() {
                    return;
                }
                flushed = Instant::now();
                if checkpoint {
                    checkpointed = Instant::now();
                    samples = 0;
                }
            }
        }
        // The committer is gone only when the process ends anyway; the log holds everything.
        let _ = self.work.blocking_send(self.freeze(true));
    }

    fn freeze(&self, checkpoint: bool) -> Work {
        let sequence = self.engine.position();
        Work {
            frozen: self.engine.outlets.history.freeze(sequence),
            sequence,
            checkpoint: if checkpoint { self.checkpoint(sequence) } else { None },
        }
    }

    /// Writes the state beside its place, where it waits until the rows of its records are in the store.
    fn checkpoint(&self, sequence: Sequence) -> Option<Finished> {
        let evaluator = &self.engine.evaluator;
        let (version, watermark) = (env!("CARGO_PKG_VERSION"), evaluator.watermark());
        let written = self.checkpoints.begin(version, sequence, watermark, SNAPSHOT_HEADER_BYTES);
        let written = written.and_then(|mut draft| {
            let head = evaluator.snapshot_in_parts(|part| draft.write(part))?;
            draft.finish(&head)
        });
        written
            .inspect_err(|error| tracing::error!(%error, "no checkpoint was written; a start takes longer until one is"))
            .ok()
    }
}

/// What was synced while the last records were judged is judged together, and with it what comes during a pause: threads are
/// woken once for all of it. Nothing waits for more behind an act or a tick. Returns how many samples it has, too.
fn with_what_waits(mut taken: Synced, waiting: &Receiver<Synced>, pause: impl FnOnce()) -> (Synced, u64) {
    /// What has as many takes nothing more, and waits for nothing: whoever waits for one of the records waits for all.
    const SAMPLES_ENOUGH: u64 = 16_384;
    let mut pause = Some(pause);
    let mut samples = taken.records.iter().map(samples_of).sum::<u64>();
    while samples < SAMPLES_ENOUGH {
        let next = match waiting.try_recv() {
            Ok(next) => next,
            Err(TryRecvError::Disconnected) => break,
            Err(TryRecvError::Empty) => {
                let pause = pause.take_if(|_| taken.records.iter().all(is_telemetry));
                let Some(pause) = pause else { break };
                pause();
                continue;
            }
        };
        debug_assert_eq!(next.first, taken.first + taken.records.len() as u64, "the log has no holes");
        samples += next.records.iter().map(samples_of).sum::<u64>();
        taken.records.extend(next.records);
        taken.room.extend(next.room);
    }
    (taken, samples)
}

/// Whether nobody waits for what becomes of a record.
fn is_telemetry(record: &Record) -> bool {
    matches!(record.body, Body::Samples(_) | Body::Series(_) | Body::Event(_))
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use telemetry::EventTime;
    use telemetry::record::{PartitionId, SampleBatch, SeriesId};

    use super::*;

    /// A record of so many samples.
    fn synced(first: Sequence, samples: usize) -> Synced {
        let batch = SampleBatch {
            series: vec![SeriesId(0); samples],
            time: vec![EventTime::from_unix_micros(0); samples],
            value: vec![1.0; samples],
            flag: vec![Flag::Ok; samples],
        };
        let record = Record { partition: PartitionId::FIRST, body: Body::Samples(batch) };
        Synced { first, records: vec![record], room: Vec::new() }
    }

    fn taken(taken: &(Synced, u64)) -> (Sequence, usize, u64) {
        (taken.0.first, taken.0.records.len(), taken.1)
    }

    #[test]
    fn what_waits_is_taken_together_until_it_is_enough() {
        let (sender, waiting) = channel();
        for (first, samples) in [(2, 6_000), (3, 6_000), (4, 1)] {
            sender.send(synced(first, samples)).unwrap();
        }
        let enough = with_what_waits(synced(1, 6_000), &waiting, || panic!("it is enough"));
        assert_eq!(taken(&enough), (1, 3, 18_000));
        let rest = with_what_waits(waiting.recv().unwrap(), &waiting, || ());
        assert_eq!(taken(&rest), (4, 1, 1), "it paused, and nothing came");
    }

    #[test]
    fn what_comes_during_one_pause_is_taken_too() {
        let (sender, waiting) = channel();
        let comes = || sender.send(synced(2, 20)).unwrap();
        assert_eq!(taken(&with_what_waits(synced(1, 10), &waiting, comes)), (1, 2, 30));
    }

    #[test]
    fn acts_and_ticks_are_not_kept_waiting() {
        let (_sender, waiting) = channel();
        let mut with_tick = synced(1, 10);
        let tick = Body::Tick(EventTime::from_unix_micros(0));
        with_tick.records.push(Record { partition: PartitionId::STREAM, body: tick });
        let at_once = with_what_waits(with_tick, &waiting, || panic!("somebody may wait for it"));
        assert_eq!(taken(&at_once), (1, 2, 10));
    }

    #[test]
    fn nobody_waits_for_a_writer_that_is_gone() {
        let (sender, waiting) = channel();
        drop(sender);
        let last = with_what_waits(synced(1, 10), &waiting, || panic!("nothing can come"));
        assert_eq!(taken(&last), (1, 1, 10));
    }
}
