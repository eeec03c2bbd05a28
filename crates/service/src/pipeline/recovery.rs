//! From a data folder to a running engine: newest readable checkpoint, then the log from there on.

use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::SyncSender;
use std::thread::ScopedJoinHandle;

use evaluator::{Evaluator, RestoredPart, Restoring, SnapshotError};
use history::History;
use history::checkpoint::Checkpoints;
use history::log::{Log, LogError, LogSettings, MemoryLog, RaftLog};
use telemetry::record::{Record, Sequence};

use super::engine::{Engine, Outlets};
use super::writer::SHARD;
use crate::settings::Durability;

/// Log, checkpoints and the state they lead to.
pub struct Recovered {
    /// The log, open for writing.
    pub log: Arc<dyn Log>,
    /// Where checkpoints go.
    pub checkpoints: Arc<Checkpoints>,
    /// The engine after the last record.
    pub engine: Engine,
    /// Records that were replayed.
    pub replayed: u64,
}

/// Why a folder cannot be started from.
#[derive(Debug, thiserror::Error)]
pub enum RecoveryError {
    /// Checkpoints.
    #[error(transparent)]
    Checkpoint(#[from] history::checkpoint::CheckpointError),
    /// The log.
    #[error(transparent)]
    Log(#[from] history::log::LogError),
    /// Threads.
    #[error("threads to judge with: {0}")]
    Threads(#[from] std::io::Error),
    /// The state does not reach the log's first record.
    #[error(
        "{folder}: the newest readable checkpoint is at record {checkpoint} and the log begins at {first}: \
         records between them are missing; restore the folder from a copy"
    )]
    Hole {
        /// The data folder.
        folder: String,
        /// Where the checkpoint ends.
        checkpoint: Sequence,
        /// Where the log begins.
        first: Sequence,
    },
    /// The log gave fewer records than it says it has, or others.
    #[error(
        "{folder}: its log ends at record {last} and gave not the one after {read}: start again, and restore the folder from a \
         copy if that says the same"
    )]
    Short {
        /// The data folder.
        folder: String,
        /// The last record that was read.
        read: Sequence,
        /// The last record that the log says it has.
        last: Sequence,
    },
    /// The store does not reach the state.
    #[error(
        "{folder}: its checkpoints have seen records up to {checkpoint}, and the tables of the store hold rows up to \
         {stored}: the store is another one, or older, or not mounted; bring back the one that goes with this folder, \
         or name another data.folder to begin anew"
    )]
    OtherStore {
        /// The data folder.
        folder: String,
        /// Where the checkpoint ends.
        checkpoint: Sequence,
        /// Up to where all tables hold their rows.
        stored: Sequence,
    },
    /// A folder that is only looked at cannot be copied.
    #[error(
        "{folder}: its log and checkpoints cannot be copied to look at them: {source}; see that there is room in {copy} (TMPDIR)"
    )]
    Copy {
        /// The data folder.
        folder: String,
        /// Where to.
        copy: String,
        /// What the system says.
        source: std::io::Error,
    },
    /// What is wrong with the copy is wrong with the folder.
    #[error("{folder}, looked at in a copy: {source}")]
    Looked {
        /// The data folder.
        folder: String,
        /// What is wrong.
        source: Box<RecoveryError>,
    },
}

/// Restores the state of a data folder, which the caller has locked.
///
/// # Errors
/// [`RecoveryError`].
pub fn recover(
    folder: &Path,
    history: &History,
    durability: Durability,
    outlets: Outlets,
) -> Result<Recovered, RecoveryError> {
    let checkpoints = Arc::new(Checkpoints::open(&folder.join("checkpoints"))?);
    let (evaluator, start) = newest(&checkpoints)?;
    let stored = history.committed();
    // A checkpoint is written when the rows of all its records are in the store. Going on without them would trim the
    // log of those that only the store has that is away now.
    if stored < start && history.outlives_the_process() {
        return Err(RecoveryError::OtherStore {
            folder: folder.display().to_string(),
            checkpoint: start,
            stored,
        });
    }
    let floor = start.max(history.last_stored());
    let log: Arc<dyn Log> = match durability {
        Durability::Synced => {
            Arc::new(RaftLog::open(&folder.join("log"), &LogSettings::default(), [(SHARD, floor)].into())?)
        }
        Durability::Memory => Arc::new(MemoryLog::new([(SHARD, floor)].into())),
    };
    let (engine, replayed) = replay(folder, log.as_ref(), evaluator, start, outlets)?;
    Ok(Recovered { log, checkpoints, engine, replayed })
}

/// Judges the log's tail into memory, to look at a folder that no service runs on. Writes nothing to it: opening a log
/// mends what a crash left behind, so log and checkpoints are opened as a copy.
///
/// # Errors
/// [`RecoveryError`].
pub fn look(folder: &Path, history: &History, outlets: Outlets) -> Result<Engine, RecoveryError> {
    let shown = || folder.display().to_string();
    let copy = copied(folder).map_err(|source| RecoveryError::Copy {
        folder: shown(),
        copy: std::env::temp_dir().display().to_string(),
        source,
    })?;
    looked(copy.path(), history, outlets)
        .map_err(|source| RecoveryError::Looked { folder: shown(), source: Box::new(source) })
}

/// Log and checkpoints in a folder that goes away with the value.
fn copied(folder: &Path) -> std::io::Result<tempfile::TempDir> {
    let copy = tempfile::tempdir()?;
    for part in ["log", "checkpoints"] {
        std::fs::create_dir(copy.path().join(part))?;
        // A service that was stopped at its start has not made them yet.
        let entries = folder.join(part).read_dir().into_iter().flatten();
        for entry in entries {
            let entry = entry?;
            if entry.file_type()?.is_file() {
                std::fs::copy(entry.path(), copy.path().join(part).join(entry.file_name()))?;
            }
        }
    }
    Ok(copy)
}

fn looked(folder: &Path, history: &History, outlets: Outlets) -> Result<Engine, RecoveryError> {
    let checkpoints = Checkpoints::open(&folder.join("checkpoints"))?;
    let (evaluator, start) = newest(&checkpoints)?;
    let floor = start.max(history.last_stored());
    let log = RaftLog::open(&folder.join("log"), &LogSettings::default(), [(SHARD, floor)].into())?;
    Ok(replay(folder, &log, evaluator, start, outlets)?.0)
}

/// Records in their order, a batch at a time, or why there are no more.
type Batch = Result<Vec<(Sequence, Record)>, LogError>;

/// Reads records while those before are applied, which takes longer. Ends early when nobody takes them any more.
fn read_ahead(log: &dyn Log, from: Sequence, last: Sequence, ahead: &SyncSender<Batch>) {
    /// Bytes of records in memory at once, for each batch.
    const BATCH_BYTES: usize = 8 << 20;
    let mut next = from;
    while next <= last {
        let batch = log.read(SHARD, next, BATCH_BYTES);
        let read = batch.as_ref().ok().and_then(|batch| Some(batch.last()?.0));
        if ahead.send(batch).is_err() {
            return;
        }
        let Some(read) = read else { return };
        next = read + 1;
    }
}

/// Applies the log's records after `start`.
fn replay(
    folder: &Path,
    log: &dyn Log,
    evaluator: Evaluator,
    start: Sequence,
    outlets: Outlets,
) -> Result<(Engine, u64), RecoveryError> {
    /// Batches that wait to be applied.
    const BATCHES_AHEAD: usize = 1;
    let mut engine = Engine::new(evaluator, outlets, start)?;
    let mut replayed = 0;
    if let Some((first, last)) = log.bounds(SHARD) {
        if first > start + 1 {
            return Err(RecoveryError::Hole {
                folder: folder.display().to_string(),
                checkpoint: start,
                first,
            });
        }
        let from = engine.position() + 1;
        std::thread::scope(|scope| {
            let (ahead, batches) = std::sync::mpsc::sync_channel(BATCHES_AHEAD);
            scope.spawn(move || read_ahead(log, from, last, &ahead));
            for batch in batches {
                let next = engine.position() + 1;
                let batch = batch?;
                let follow = (next..).zip(&batch).take_while(|(expected, (found, _))| expected == found);
                let is_whole = follow.count() == batch.len();
                let records: Vec<Record> = batch.into_iter().map(|(_, record)| record).collect();
                if !is_whole {
                    break;
                }
                engine.apply(next, &records);
                replayed += records.len() as u64;
            }
            Ok::<_, LogError>(())
        })?;
        if engine.position() < last {
            return Err(RecoveryError::Short {
                folder: folder.display().to_string(),
                read: engine.position(),
                last,
            });
        }
    }
    engine.announce();
    Ok((engine, replayed))
}

/// The evaluator of the newest checkpoint that can be read and restored, and its position.
fn newest(checkpoints: &Checkpoints) -> Result<(Evaluator, Sequence), RecoveryError> {
    let (checkpoint, unreadable) = checkpoints.newest()?;
    for checkpoint in unreadable {
        tracing::warn!(file = %checkpoint.file.display(), what = checkpoint.what, "a checkpoint cannot be read; the one before it is used");
    }
    let Some(checkpoint) = checkpoint else { return Ok((Evaluator::new(), 0)) };
    match restored(&checkpoint.payload) {
        Ok(evaluator) => Ok((evaluator, checkpoint.header.sequence)),
        Err(error) => {
            tracing::warn!(%error, "the newest checkpoint is of another format; the state is made again from the log");
            Ok((Evaluator::new(), 0))
        }
    }
}

/// Restores an evaluator with as many threads as there are cores: the racks of a site are restored loop by loop.
fn restored(bytes: &[u8]) -> Result<Evaluator, SnapshotError> {
    let restoring = Restoring::new(bytes)?;
    let threads = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let next = AtomicUsize::new(0);
    let read_some = || {
        let numbers = std::iter::repeat_with(|| next.fetch_add(1, Ordering::Relaxed));
        numbers
            .take_while(|number| *number < restoring.parts())
            .map(|number| restoring.read(number))
            .collect()
    };
    let read = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(read_some)).collect();
        let of_thread = |thread: ScopedJoinHandle<'_, Vec<Result<RestoredPart, SnapshotError>>>| {
            thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        };
        threads.into_iter().flat_map(of_thread).collect::<Result<Vec<RestoredPart>, SnapshotError>>()
    });
    let read = read?;
    restoring.finish(read)
}
