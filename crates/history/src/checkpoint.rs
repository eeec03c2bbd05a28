//! Checkpoints: the evaluator's state at a position of the log, so that a start need not read all of it.
//!
//! A file is one line with a checksum of all that follows, one line with a header as JSON, then the payload, which
//! this file does not look into. It is written beside its place, synced and renamed: it is there whole, or not.

use std::fs::{self, File};
use std::io::{self, BufWriter, Seek, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use telemetry::EventTime;
use telemetry::record::Sequence;

use crate::failpoint;

/// Format of the files that this version writes and reads.
pub const CHECKPOINT_FORMAT: u32 = 1;
/// Checkpoints that are kept: a damaged newest one is not the end.
pub const CHECKPOINTS_KEPT: usize = 3;

const FIRST_WORD: &str = "thermogate-checkpoint";
const EXTENSION: &str = "checkpoint";

/// What a checkpoint says about itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckpointHeader {
    /// [`CHECKPOINT_FORMAT`] of its writer.
    pub format: u32,
    /// Version of the engine that wrote it.
    pub engine: String,
    /// The last record that its state has seen.
    pub sequence: Sequence,
    /// Up to here event time was final, in microseconds since the Unix epoch; `None` before the first tick.
    pub watermark: Option<EventTime>,
}

/// A checkpoint that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// What it says about itself.
    pub header: CheckpointHeader,
    /// The state.
    pub payload: Vec<u8>,
}

/// A checkpoint that cannot be used, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unreadable {
    /// The file.
    pub file: PathBuf,
    /// What is wrong with it.
    pub what: String,
}

/// Why checkpoints cannot be kept.
#[derive(Debug, thiserror::Error)]
#[error("cannot {act} checkpoint {}: {source}", path.display())]
pub struct CheckpointError {
    act: &'static str,
    path: PathBuf,
    source: io::Error,
}

/// A checkpoint that is being written beside its place; gone with the value.
#[derive(Debug)]
pub struct Draft {
    file: BufWriter<File>,
    header: String,
    head_bytes: usize,
    /// Of the payload after its head.
    rest: crc32fast::Hasher,
    temporary: Temporary,
    path: PathBuf,
}

/// A checkpoint that is written whole and has not taken its place yet; gone with the value.
#[derive(Debug)]
pub struct Finished {
    file: File,
    temporary: Temporary,
    path: PathBuf,
}

/// A file that goes away unless it was given another name: what was begun takes room that may be what is missing.
#[derive(Debug)]
struct Temporary(PathBuf);

impl Drop for Temporary {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

impl Draft {
    /// The next piece of the payload.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&mut self, piece: &[u8]) -> Result<(), CheckpointError> {
        self.rest.update(piece);
        self.file.write_all(piece).map_err(|source| failed("write", &self.path, source))
    }

    /// Ends the payload with its head, which has as many bytes as were said.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn finish(self, head: &[u8]) -> Result<Finished, CheckpointError> {
        let Self { file, header, head_bytes, rest, temporary, path } = self;
        debug_assert_eq!(head.len(), head_bytes, "as many bytes as were left free");
        let mut checksum = crc32fast::Hasher::new();
        checksum.update(header.as_bytes());
        checksum.update(head);
        checksum.combine(&rest);
        let first_line = first_line(checksum.finalize());
        let written = (|| {
            let mut file = file.into_inner().map_err(io::IntoInnerError::into_error)?;
            file.rewind()?;
            file.write_all(first_line.as_bytes())?;
            file.write_all(header.as_bytes())?;
            file.write_all(head)?;
            Ok(file)
        })();
        let file = written.map_err(|source| failed("write", &path, source))?;
        Ok(Finished { file, temporary, path })
    }
}

fn first_line(checksum: u32) -> String {
    format!("{FIRST_WORD} {checksum:08x}\n")
}

/// The checkpoints of a folder.
#[derive(Debug)]
pub struct Checkpoints {
    folder: PathBuf,
}

impl Checkpoints {
    /// Checkpoints in `folder`, which is made if it is not there.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn open(folder: &Path) -> Result<Self, CheckpointError> {
        let unusable = |source| failed("open the folder of", folder, source);
        fs::create_dir_all(folder).map_err(unusable)?;
        for entry in fs::read_dir(folder).map_err(unusable)? {
            let path = entry.map_err(unusable)?.path();
            // A crash while writing left it; nobody will finish it.
            if path.extension().is_some_and(|kind| kind == "tmp") {
                fs::remove_file(&path).map_err(unusable)?;
            }
        }
        Ok(Self { folder: folder.to_owned() })
    }

    /// Writes a checkpoint, synced, and drops all but the newest [`CHECKPOINTS_KEPT`].
    ///
    /// # Errors
    /// When it cannot be written; those before it stay. It is tried again with the next one.
    pub fn write(
        &self,
        engine: &str,
        sequence: Sequence,
        watermark: Option<EventTime>,
        payload: &[u8],
    ) -> Result<PathBuf, CheckpointError> {
        let mut draft = self.begin(engine, sequence, watermark, 0)?;
        draft.write(payload)?;
        self.keep(draft.finish(&[])?)
    }

    /// Begins a checkpoint whose payload comes piece by piece, the first `head_bytes` of it last.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn begin(
        &self,
        engine: &str,
        sequence: Sequence,
        watermark: Option<EventTime>,
        head_bytes: usize,
    ) -> Result<Draft, CheckpointError> {
        let header =
            CheckpointHeader { format: CHECKPOINT_FORMAT, engine: engine.to_owned(), sequence, watermark };
        let header = serde_json::to_string(&header).expect("a header is JSON") + "\n";
        let path = self.folder.join(format!("{sequence:020}.{EXTENSION}"));
        let temporary = Temporary(path.with_extension("tmp"));
        let begun = (|| {
            let mut file = BufWriter::new(File::create(&temporary.0)?);
            file.write_all(first_line(0).as_bytes())?;
            file.write_all(header.as_bytes())?;
            file.write_all(&vec![0; head_bytes])?;
            Ok(file)
        })();
        let file = begun.map_err(|source| failed("write", &path, source))?;
        Ok(Draft { file, header, head_bytes, rest: crc32fast::Hasher::new(), temporary, path })
    }

    /// Syncs a finished checkpoint, lets it take its place, and drops all but the newest [`CHECKPOINTS_KEPT`].
    ///
    /// # Errors
    /// When it cannot be synced; those before it stay.
    pub fn keep(&self, finished: Finished) -> Result<PathBuf, CheckpointError> {
        let Finished { file, temporary, path } = finished;
        let kept = (|| {
            file.sync_all()?;
            failpoint::reach("before_checkpoint");
            fs::rename(&temporary.0, &path)?;
            File::open(&self.folder)?.sync_all()
        })();
        kept.map_err(|source| failed("write", &path, source))?;
        failpoint::reach("after_checkpoint");
        for (_, old) in self.files()?.iter().rev().skip(CHECKPOINTS_KEPT) {
            fs::remove_file(old).map_err(|source| failed("drop", old, source))?;
        }
        Ok(path)
    }

    /// The newest checkpoint that can be read, and those newer ones that cannot.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn newest(&self) -> Result<(Option<Checkpoint>, Vec<Unreadable>), CheckpointError> {
        let mut unreadable = Vec::new();
        for (sequence, file) in self.files()?.into_iter().rev() {
            match read(&file, sequence) {
                Ok(checkpoint) => return Ok((Some(checkpoint), unreadable)),
                Err(what) => unreadable.push(Unreadable { file, what }),
            }
        }
        Ok((None, unreadable))
    }

    /// Position of the checkpoint that a start falls back to at last: the log is kept from there on. `None` while
    /// there is one checkpoint only: should that be damaged, the state is made again from the whole log.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn fallback(&self) -> Result<Option<Sequence>, CheckpointError> {
        let files = self.files()?;
        Ok(if files.len() > 1 { files.first().map(|(sequence, _)| *sequence) } else { None })
    }

    /// Position and file of each checkpoint, the oldest first.
    fn files(&self) -> Result<Vec<(Sequence, PathBuf)>, CheckpointError> {
        let unreadable = |source| failed("list", &self.folder, source);
        let mut files = Vec::new();
        for entry in fs::read_dir(&self.folder).map_err(unreadable)? {
            let path = entry.map_err(unreadable)?.path();
            let name = path.file_stem().and_then(|stem| stem.to_str()).and_then(|stem| stem.parse().ok());
            if let (Some(sequence), Some(EXTENSION)) = (name, path.extension().and_then(|kind| kind.to_str()))
            {
                files.push((sequence, path));
            }
        }
        files.sort_unstable();
        Ok(files)
    }
}

/// Reads a checkpoint; the error says what is wrong with it.
fn read(file: &Path, sequence: Sequence) -> Result<Checkpoint, String> {
    let bytes = fs::read(file).map_err(|error| error.to_string())?;
    let (first, rest) = line(&bytes).ok_or("it ends in its first line")?;
    let said = first.strip_prefix(FIRST_WORD.as_bytes()).ok_or("it is not a checkpoint")?;
    if said.trim_ascii() != format!("{:08x}", crc32fast::hash(rest)).as_bytes() {
        return Err("its checksum does not fit: it is torn or changed".to_owned());
    }
    let (header, payload) = line(rest).ok_or("it ends in its header")?;
    let header: CheckpointHeader = serde_json::from_slice(header).map_err(|error| error.to_string())?;
    if header.format != CHECKPOINT_FORMAT {
        return Err(format!(
            "it has format {} of thermogate {}, this version reads format {CHECKPOINT_FORMAT}",
            header.format, header.engine
        ));
    }
    if header.sequence != sequence {
        return Err(format!("its name says position {sequence}, its header {}", header.sequence));
    }
    Ok(Checkpoint { header, payload: payload.to_vec() })
}

fn line(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = bytes.iter().position(|byte| *byte == b'\n')?;
    Some((&bytes[..end], &bytes[end + 1..]))
}

fn failed(act: &'static str, path: &Path, source: io::Error) -> CheckpointError {
    CheckpointError { act, path: path.to_owned(), source }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_four() -> (tempfile::TempDir, Checkpoints) {
        let folder = tempfile::tempdir().unwrap();
        let checkpoints = Checkpoints::open(&folder.path().join("checkpoints")).unwrap();
        for sequence in [9, 100, 1_000, 20_000] {
            let watermark = Some(EventTime::from_unix_micros(sequence as i64 * 1_000));
            checkpoints.write("0.1.0", sequence, watermark, format!("state {sequence}").as_bytes()).unwrap();
        }
        (folder, checkpoints)
    }

    #[test]
    fn the_newest_checkpoint_wins_and_three_are_kept() {
        let (_folder, checkpoints) = with_four();
        let (newest, unreadable) = checkpoints.newest().unwrap();
        let newest = newest.unwrap();
        assert_eq!(newest.payload, b"state 20000");
        assert_eq!(newest.header.sequence, 20_000);
        assert_eq!(newest.header.watermark, Some(EventTime::from_unix_micros(20_000_000)));
        assert_eq!(unreadable, []);
        assert_eq!(checkpoints.fallback().unwrap(), Some(100));
    }

    #[test]
    fn a_checkpoint_in_pieces_is_the_one_in_one_piece_and_one_that_is_given_up_leaves_nothing() {
        let (_folder, checkpoints) = with_four();
        let whole = checkpoints.files().unwrap()[2].1.clone();
        let expected = fs::read(&whole).unwrap();
        let begin = || {
            let watermark = Some(EventTime::from_unix_micros(20_000_000));
            let mut draft = checkpoints.begin("0.1.0", 20_000, watermark, 5).unwrap();
            draft.write(b" 200").unwrap();
            draft.write(b"00").unwrap();
            draft
        };
        drop(begin());
        drop(begin().finish(b"state").unwrap());
        assert_eq!(fs::read_dir(&checkpoints.folder).unwrap().count(), 3);
        fs::remove_file(&whole).unwrap();
        checkpoints.keep(begin().finish(b"state").unwrap()).unwrap();
        assert_eq!(fs::read(&whole).unwrap(), expected);
    }

    #[test]
    fn the_only_checkpoint_is_none_to_fall_back_to() {
        let folder = tempfile::tempdir().unwrap();
        let checkpoints = Checkpoints::open(folder.path()).unwrap();
        assert_eq!(checkpoints.fallback().unwrap(), None);
        checkpoints.write("0.1.0", 9, None, b"state 9").unwrap();
        assert_eq!(checkpoints.fallback().unwrap(), None, "all of the log is kept");
        checkpoints.write("0.1.0", 100, None, b"state 100").unwrap();
        assert_eq!(checkpoints.fallback().unwrap(), Some(9));
    }

    #[test]
    fn a_damaged_checkpoint_is_named_and_an_older_one_is_used() {
        let (_folder, checkpoints) = with_four();
        let files = checkpoints.files().unwrap();
        let newest = fs::read(&files[2].1).unwrap();
        // Torn anywhere, or one bit changed anywhere.
        for at in 0..newest.len() {
            let mut flipped = newest.clone();
            flipped[at] ^= 0x10;
            for damaged in [&newest[..at], &flipped] {
                fs::write(&files[2].1, damaged).unwrap();
                let (used, unreadable) = checkpoints.newest().unwrap();
                assert_eq!(used.unwrap().payload, b"state 1000", "damage at {at}");
                assert_eq!(unreadable.len(), 1);
                assert_eq!(unreadable[0].file, files[2].1);
            }
        }
    }

    #[test]
    fn a_checkpoint_of_a_later_format_is_not_guessed_at() {
        let (_folder, checkpoints) = with_four();
        let header = r#"{"format":2,"engine":"9.0.0","sequence":30000,"watermark":null}"#.to_owned() + "\n";
        let text = format!("{FIRST_WORD} {:08x}\n{header}", crc32fast::hash(header.as_bytes()));
        fs::write(checkpoints.folder.join("00000000000000030000.checkpoint"), text).unwrap();
        let (used, unreadable) = checkpoints.newest().unwrap();
        assert_eq!(used.unwrap().header.sequence, 20_000);
        assert_eq!(unreadable[0].what, "it has format 2 of thermogate 9.0.0, this version reads format 1");
    }

    #[test]
    fn a_crash_while_writing_leaves_the_checkpoints_before_it() {
        let (_folder, checkpoints) = with_four();
        fs::write(checkpoints.folder.join("00000000000000030000.tmp"), "thermogate-check").unwrap();
        assert_eq!(checkpoints.newest().unwrap().0.unwrap().header.sequence, 20_000);
        let reopened = Checkpoints::open(&checkpoints.folder).unwrap();
        assert_eq!(fs::read_dir(&reopened.folder).unwrap().count(), 3, "what was begun is gone");
    }
}
