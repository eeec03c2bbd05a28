//! The log on disk, kept by raft-engine: one region a stream, the position of a record as its index.
//!
//! raft-engine's own rules that this file keeps: indexes of a region follow one another (a hole panics, a lower
//! index cuts the tail), so that each stream has one lock and positions come from there; a region without entries
//! forgets its last index, so that the last record is never trimmed; only a purge gives disk back, so that a thread
//! asks for one on a timer.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use protobuf::well_known_types::BytesValue;
use raft_engine::{Command, Config, Engine, LogBatch, MessageExt, ReadableSize, RecoveryMode};
use telemetry::record::{Record, Sequence};

use super::tail::{self, CutTail, Damage, Tail};
use super::usage::Usage;
use super::{Floors, Log, LogError, codec};
use crate::failpoint;

/// Bytes of a position in front of an encoded record.
const POSITION_BYTES: usize = size_of::<Sequence>();
/// Records that one read looks up at most: raft-engine reserves memory for as many as are asked for.
const READ_RECORDS_MAX: u64 = 8_192;

/// Sizes of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogSettings {
    /// Bytes of one file. Smaller: disk is given back in smaller steps, more files.
    pub file_bytes: u64,
    /// Trimmed records are kept on disk until the log is larger than this; at least `file_bytes`.
    pub purge_above_bytes: u64,
    /// Writes larger than this are compressed with LZ4; 0 compresses none.
    pub compress_above_bytes: u64,
    /// How often files that hold only trimmed records are deleted.
    pub purge_every: Duration,
}

impl Default for LogSettings {
    fn default() -> Self {
        Self {
            file_bytes: 64 << 20,
            purge_above_bytes: 256 << 20,
            compress_above_bytes: 4 << 10,
            purge_every: Duration::from_secs(10),
        }
    }
}

/// The log in a folder.
pub struct RaftLog {
    folder: PathBuf,
    engine: Arc<Engine>,
    usage: Arc<Mutex<Usage>>,
    streams: Mutex<BTreeMap<u32, Arc<Mutex<Sequence>>>>,
    floors: Floors,
    cut: Option<CutTail>,
    purge: Option<(Sender<()>, JoinHandle<()>)>,
}

/// An entry of a region: a position, then the encoded record.
struct Entries;

impl MessageExt for Entries {
    type Entry = BytesValue;

    fn index(entry: &BytesValue) -> u64 {
        position(&entry.value)
    }
}

fn position(entry: &[u8]) -> Sequence {
    entry.first_chunk().map_or(0, |bytes| Sequence::from_le_bytes(*bytes))
}

impl RaftLog {
    /// Opens the log of a folder, which is made if it is not there; cuts off what a crash left unfinished.
    ///
    /// # Errors
    /// [`LogError::InUse`], [`LogError::Damaged`], [`LogError::Behind`], [`LogError::Full`], [`LogError::Unusable`].
    pub fn open(folder: &Path, settings: &LogSettings, floors: Floors) -> Result<Self, LogError> {
        let unusable = |error: io::Error| fault(folder, "open", raft_engine::Error::Io(error));
        fs::create_dir_all(folder).map_err(unusable)?;
        tail::drop_unbegun_files(folder).map_err(unusable)?;
        if let Some(Damage { file, at }) = tail::damage_before_the_end(folder).map_err(unusable)? {
            let what = format!("{} cannot be read at byte {at}, and records stand behind it", file.display());
            return Err(LogError::Damaged { folder: folder.to_owned(), what });
        }
        let tail = Tail::find(folder).map_err(unusable)?;
        let engine = Engine::open(Config {
            dir: folder
                .to_str()
                .ok_or_else(|| unusable(io::Error::other("its name is not UTF-8")))?
                .to_owned(),
            recovery_mode: RecoveryMode::TolerateTailCorruption,
            target_file_size: ReadableSize(settings.file_bytes),
            purge_threshold: ReadableSize(settings.purge_above_bytes.max(settings.file_bytes)),
            batch_compression_threshold: ReadableSize(settings.compress_above_bytes),
            // Files kept for re-use would hold old records behind the new ones, and disk nobody needs.
            enable_log_recycle: false,
            recovery_threads: 2,
            ..Config::default()
        })
        .map_err(|error| fault(folder, "open", error))?;
        let cut = tail.map_or(Ok(None), Tail::cut).map_err(unusable)?;
        if let Some(cut) = &cut {
            tracing::warn!(
                file = %cut.file.display(), cut.kept_bytes, cut.cut_bytes,
                "cut an unfinished write off the end of the log; nobody was told that it is durable, unless the disk has \
                 changed it since"
            );
        }
        let engine = Arc::new(engine);
        let usage = Arc::new(Mutex::new(Usage::after_open(bytes_in(folder))));
        let purge = purge_on_a_timer(&engine, &usage, settings).map_err(unusable)?;
        let log = Self {
            folder: folder.to_owned(),
            engine,
            usage,
            streams: Mutex::default(),
            floors,
            cut,
            purge: Some(purge),
        };
        for shard in log.engine.raft_groups() {
            log.stream(shard as u32)?;
        }
        Ok(log)
    }

    /// What was cut off the end when the log was opened.
    pub fn cut_tail(&self) -> Option<&CutTail> {
        self.cut.as_ref()
    }

    /// The lock of a stream around the position that its next record gets.
    fn stream(&self, shard: u32) -> Result<Arc<Mutex<Sequence>>, LogError> {
        let mut streams = lock(&self.streams);
        if let Some(stream) = streams.get(&shard) {
            return Ok(stream.clone());
        }
        let next = self.next_after_open(shard)?;
        Ok(streams.entry(shard).or_insert(Arc::new(Mutex::new(next))).clone())
    }

    /// The position that follows what the log holds and what others have kept of the stream.
    fn next_after_open(&self, shard: u32) -> Result<Sequence, LogError> {
        let kept = self.floors.get(&shard).copied().unwrap_or(0);
        match self.engine.last_index(shard.into()) {
            None => Ok(kept + 1),
            Some(last) if last >= kept => Ok(last + 1),
            Some(last) => Err(LogError::Behind { folder: self.folder.clone(), shard, last, kept }),
        }
    }

    fn write(&self, batch: &mut LogBatch, sync: bool) -> Result<(), LogError> {
        self.engine.write(batch, sync).map(drop).map_err(|error| fault(&self.folder, "write", error))
    }
}

impl Log for RaftLog {
    fn append_together(&self, parts: &[(u32, &[Record])]) -> Result<Vec<Sequence>, LogError> {
        // Locks are taken in the order of the streams, so that two callers never wait for each other.
        let mut order: Vec<usize> = (0..parts.len()).collect();
        order.sort_unstable_by_key(|part| parts[*part].0);
        let streams = order.iter().map(|part| self.stream(parts[*part].0)).collect::<Result<Vec<_>, _>>()?;
        let mut next: Vec<_> = streams.iter().map(|stream| lock(stream)).collect();

        let mut batch = LogBatch::default();
        let (mut last, mut bytes) = (vec![0; parts.len()], vec![0; parts.len()]);
        for (part, next) in order.iter().zip(&next) {
            let (shard, records) = parts[*part];
            let entries: Vec<BytesValue> =
                records.iter().zip(**next..).map(|(record, position)| entry(position, record)).collect();
            last[*part] = **next + records.len() as Sequence - 1;
            bytes[*part] = entries.iter().map(|entry| entry.value.len() as u64).sum();
            batch.add_entries::<Entries>(shard.into(), &entries).map_err(|error| match error {
                raft_engine::Error::Full => {
                    LogError::TooLarge { bytes: bytes[*part] as usize, maximum: i32::MAX as usize }
                }
                other => fault(&self.folder, "write", other),
            })?;
        }
        self.write(&mut batch, true)?;
        let mut usage = lock(&self.usage);
        for (part, next) in order.iter().zip(&mut next) {
            usage.note_write(parts[*part].0, **next, bytes[*part]);
            **next = last[*part] + 1;
        }
        drop(usage);
        failpoint::reach("after_log_sync");
        Ok(last)
    }

    fn read(
        &self,
        shard: u32,
        from: Sequence,
        maximum_bytes: usize,
    ) -> Result<Vec<(Sequence, Record)>, LogError> {
        let Some((first, last)) = self.bounds(shard) else { return Ok(Vec::new()) };
        if from < first {
            return Err(LogError::Trimmed { shard, asked: from, first });
        }
        let end = (last + 1).min(from.saturating_add(READ_RECORDS_MAX));
        if end <= from {
            return Ok(Vec::new());
        }
        let mut entries = Vec::new();
        self.engine
            .fetch_entries_to::<Entries>(shard.into(), from, end, Some(maximum_bytes), &mut entries)
            .map_err(|error| match error {
            // Trimmed between the two look-ups.
            raft_engine::Error::EntryCompacted => LogError::Trimmed { shard, asked: from, first: from + 1 },
            other => fault(&self.folder, "read", other),
        })?;
        let decoded = entries.iter().zip(from..).map(|(entry, expected)| {
            let position = position(&entry.value);
            assert_eq!(position, expected, "positions of stream {shard} follow one another");
            let record =
                codec::decode(&entry.value[POSITION_BYTES..]).map_err(|error| LogError::Damaged {
                    folder: self.folder.clone(),
                    what: format!("record {position} of stream {shard}: {error}"),
                })?;
            Ok((position, record))
        });
        decoded.collect()
    }

    fn trim(&self, shard: u32, before: Sequence) -> Result<(), LogError> {
        let Some((first, last)) = self.bounds(shard) else { return Ok(()) };
        let index = before.min(last);
        if index <= first {
            return Ok(());
        }
        failpoint::reach("before_trim");
        let mut batch = LogBatch::default();
        batch.add_command(shard.into(), Command::Compact { index });
        self.write(&mut batch, false)
    }

    fn bounds(&self, shard: u32) -> Option<(Sequence, Sequence)> {
        Some((self.engine.first_index(shard.into())?, self.engine.last_index(shard.into())?))
    }

    fn bytes(&self) -> u64 {
        bytes_in(&self.folder)
    }
}

impl Drop for RaftLog {
    fn drop(&mut self) {
        if let Some((stop, thread)) = self.purge.take() {
            drop(stop);
            // A purge that panicked has said so; the log is going away.
            let _ = thread.join();
        }
    }
}

fn entry(position: Sequence, record: &Record) -> BytesValue {
    let mut value = Vec::with_capacity(POSITION_BYTES + codec::encoded_bytes_about(record));
    value.extend_from_slice(&position.to_le_bytes());
    codec::encode_into(record, &mut value);
    BytesValue { value, ..BytesValue::default() }
}

/// A panic while a lock is held leaves the position as it was: it moves only after a write has succeeded.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Bytes of the files in a folder; those that go away meanwhile do not count.
fn bytes_in(folder: &Path) -> u64 {
    let files = fs::read_dir(folder).into_iter().flatten().flatten();
    files.filter_map(|file| file.metadata().ok()).map(|metadata| metadata.len()).sum()
}

/// Deletes files on a timer, as long as the log is open.
fn purge_on_a_timer(
    engine: &Arc<Engine>,
    usage: &Arc<Mutex<Usage>>,
    settings: &LogSettings,
) -> io::Result<(Sender<()>, JoinHandle<()>)> {
    let (stop, stopped) = channel();
    let (engine, usage) = (engine.clone(), usage.clone());
    let (every, floor) = (settings.purge_every, settings.purge_above_bytes + settings.file_bytes);
    let thread = std::thread::Builder::new().name("log-purge".into()).spawn(move || {
        while stopped.recv_timeout(every) == Err(RecvTimeoutError::Timeout) {
            let bounds = engine.raft_groups().into_iter().filter_map(|region| {
                Some((region as u32, engine.first_index(region)?, engine.last_index(region)?))
            });
            let Some(up_to) = lock(&usage).worth_purging(floor, bounds) else { continue };
            match engine.purge_expired_files() {
                Ok(_) => lock(&usage).note_purge(up_to),
                Err(error) => {
                    tracing::warn!(%error, "cannot delete trimmed files of the log; it is tried again");
                }
            }
        }
    })?;
    Ok((stop, thread))
}

/// Tells a fault of the engine by who must act.
fn fault(folder: &Path, act: &'static str, error: raft_engine::Error) -> LogError {
    use raft_engine::Error;
    let folder = folder.to_owned();
    match error {
        // raft-engine asks to try again only when there was no space.
        Error::TryAgain(_) => LogError::Full { folder },
        Error::Io(error) if is_full(&error) => LogError::Full { folder },
        Error::Other(message) if message.to_string().contains("another instance") => {
            LogError::InUse { folder }
        }
        Error::Corruption(what) => LogError::Damaged { folder, what },
        Error::Codec(error) => LogError::Damaged { folder, what: error.to_string() },
        Error::Protobuf(error) => LogError::Damaged { folder, what: error.to_string() },
        error @ (Error::EntryCompacted | Error::EntryNotFound) => {
            LogError::Damaged { folder, what: format!("a record inside the log is missing: {error}") }
        }
        // The engine's text is the name of a system call; the kind says what happened.
        Error::Io(error) => LogError::Unusable { act, folder, what: format!("{} ({error})", error.kind()) },
        error @ (Error::InvalidArgument(_) | Error::Full | Error::Other(_)) => {
            LogError::Unusable { act, folder, what: error.to_string() }
        }
    }
}

fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}
