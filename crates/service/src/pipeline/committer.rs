//! Brings frozen rows into the store, then writes the checkpoint, then trims the log: never in another order.

use std::sync::Arc;
use std::time::{Duration, Instant};

use history::checkpoint::{Checkpoints, Finished};
use history::failpoint;
use history::log::Log;
use history::{Frozen, History};
use telemetry::record::Sequence;
use tokio::sync::mpsc;

use super::writer::SHARD;
use crate::metrics::{Id, Metrics};

/// Rows up to a record, and the evaluator's state after it.
pub struct Work {
    /// The rows.
    pub frozen: Frozen,
    /// The record.
    pub sequence: Sequence,
    /// The state, written beside its place, when a checkpoint is due.
    pub checkpoint: Option<Finished>,
}

/// The committer's task.
pub struct Committer {
    /// The store.
    pub history: History,
    /// What is trimmed.
    pub log: Arc<dyn Log>,
    /// Where checkpoints go.
    pub checkpoints: Arc<Checkpoints>,
    /// What waits.
    pub work: mpsc::Receiver<Work>,
    /// Counters.
    pub metrics: Arc<Metrics>,
}

impl Committer {
    /// Runs until the evaluator's thread is gone.
    pub async fn run(mut self) {
        while let Some(work) = self.work.recv().await {
            self.finish(work).await;
        }
    }

    async fn finish(&self, work: Work) {
        /// Waits between two tries of a store that refuses, doubled up to the second.
        const BACK_OFF: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(15));
        let started = Instant::now();
        let mut wait = BACK_OFF.0;
        while let Err(error) = self.history.commit(&work.frozen).await {
            self.metrics.add(Id::FlushErrors, &[], 1);
            tracing::error!(%error, "the store refused a flush; the rows stay in memory and in the log, and it is tried again");
            if self.work.is_closed() {
                tracing::warn!(
                    "ending with rows that are in the log and not yet in the store: the next start brings them there"
                );
                return;
            }
            tokio::time::sleep(wait).await;
            wait = (wait * 2).min(BACK_OFF.1);
        }
        self.metrics.observe(Id::FlushSeconds, started.elapsed());
        if let Some(finished) = work.checkpoint {
            let checkpoints = self.checkpoints.clone();
            let written = tokio::task::spawn_blocking(move || {
                checkpoints.keep(finished)?;
                checkpoints.fallback()
            });
            match written.await {
                Ok(Ok(fallback)) => {
                    self.metrics.add(Id::Checkpoints, &[], 1);
                    if let Some(fallback) = fallback {
                        self.trim(fallback.min(work.sequence)).await;
                    }
                }
                Ok(Err(error)) => {
                    tracing::error!(%error, "no checkpoint was written; a start takes longer until one is")
                }
                Err(error) => tracing::error!(%error, "the checkpoint's thread ended"),
            }
        }
        self.metrics.set(Id::LogBytes, &[], i64::try_from(self.log.bytes()).unwrap_or(i64::MAX));
    }

    /// Drops records that a restart needs no more: those up to the checkpoint that it falls back to at last.
    async fn trim(&self, up_to: Sequence) {
        failpoint::reach("before_trim");
        let log = self.log.clone();
        let trimmed = tokio::task::spawn_blocking(move || log.trim(SHARD, up_to + 1)).await;
        if let Ok(Err(error)) = trimmed {
            tracing::warn!(%error, "the log was not trimmed; it is tried again with the next checkpoint");
        }
    }
}
