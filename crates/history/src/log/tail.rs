//! What a crash left behind the last whole record: found before raft-engine cuts it off, so that it can be told.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

/// Bytes behind the last whole record that were cut off when the log was opened.
///
/// After a crash this is an unfinished write, which nobody was told to be durable. After a fault of the disk it may
/// have held records that were.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CutTail {
    /// The file.
    pub file: PathBuf,
    /// Its length in whole records.
    pub kept_bytes: u64,
    /// What stood behind them.
    pub cut_bytes: u64,
}

/// The newest file of the log and how far it is written, space that was only reserved (zeros) left out.
#[derive(Debug)]
pub(super) struct Tail {
    file: PathBuf,
    written: u64,
}

impl Tail {
    /// Looks at the files as the last process left them. `None` for a log without files.
    pub(super) fn find(folder: &Path) -> io::Result<Option<Self>> {
        let mut newest: Option<PathBuf> = None;
        for entry in folder.read_dir()? {
            let file = entry?.path();
            // Names are numbers of 16 digits: the greatest is the newest.
            if file.extension().is_some_and(|kind| kind == "raftlog") && newest.as_ref() < Some(&file) {
                newest = Some(file);
            }
        }
        let Some(file) = newest else { return Ok(None) };
        let written = written_length(&file)?;
        Ok(Some(Self { file, written }))
    }

    /// What is missing now that the log is open.
    pub(super) fn cut(self) -> io::Result<Option<CutTail>> {
        let kept_bytes = self.file.metadata()?.len();
        Ok((kept_bytes < self.written).then(|| CutTail {
            cut_bytes: self.written - kept_bytes,
            kept_bytes,
            file: self.file,
        }))
    }
}

/// Length of the file without the zeros at its end.
fn written_length(path: &Path) -> io::Result<u64> {
    const BLOCK: u64 = 64 << 10;
    let mut file = File::open(path)?;
    let mut end = file.metadata()?.len();
    let mut block = Vec::new();
    while end > 0 {
        let start = end.saturating_sub(BLOCK);
        file.seek(SeekFrom::Start(start))?;
        block.clear();
        file.by_ref().take(end - start).read_to_end(&mut block)?;
        if let Some(last) = block.iter().rposition(|byte| *byte != 0) {
            return Ok(start + last as u64 + 1);
        }
        end = start;
    }
    Ok(0)
}
