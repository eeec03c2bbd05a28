//! Checkpoints: the evaluator's state at a position of the log, so that a start need not read all of it.
//!
//! A file is one line with a checksum of all that follows, one line with a header as JSON, then the payload, which
//! this file does not look into. It is written beside its place, synced and renamed: it is there whole, or not.

use std::fs::{self, File};
use std::io::{self, Write};
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
        let header =
            CheckpointHeader { format: CHECKPOINT_FORMAT, engine: engine.to_owned(), sequence, watermark };
        let header = serde_json::to_string(&header).expect("a header is JSON") + "\n";
        let mut checksum = crc32fast::Hasher::new();
        checksum.update(header.as_bytes());
        checksum.update(payload);
        let first_line = format!("{FIRST_WORD} {:08x}\n", checksum.finalize());

        let path = self.folder.join(format!("{sequence:020}.{EXTENSION}"));
        let temporary = path.with_extension("tmp");
        let written = (|| {
            let mut file = File::create(&temporary)?;
            file.write_all(first_line.as_bytes())?;
            file.write_all(header.as_bytes())?;
            file.write_all(payload)?;
            file.sync_all()?;
            failpoint::reach("before_checkpoint");
            fs::rename(&temporary, &path)?;
            File::open(&self.folder)?.sync_all()
        })();
        if let Err(source) = written {
            // What was begun takes room that may be what is missing.
            let _ = fs::remove_file(&temporary);
            return Err(failed("write", &path, source));
        }
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
