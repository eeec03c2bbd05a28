//! What a crash or a full disk left behind the last whole record.

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

/// What each of raft-engine's files begins with.
const FILE_HEADER: &[u8] = b"RAFT-LOG-FILE-HEADER-9986AB3E47F320B394C8E84916EB0ED5";
/// Its two queues of files.
const QUEUES: [&str; 2] = ["raftlog", "rewrite"];

/// Deletes the newest files as long as they have no header.
///
/// On a full disk raft-engine makes a new file, cannot write its header, and goes on in the old one once there is
/// room. After a crash it would then take the old one for complete and refuse its unwritten end as damage.
pub(super) fn drop_unbegun_files(folder: &Path) -> io::Result<()> {
    for queue in QUEUES {
        while let Some(file) = newest_file(folder, queue)? {
            let mut start = Vec::new();
            File::open(&file)?.take(FILE_HEADER.len() as u64).read_to_end(&mut start)?;
            let written = start.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
            if written == FILE_HEADER.len() || !FILE_HEADER.starts_with(&start[..written]) {
                break;
            }
            tracing::info!(file = %file.display(), "dropped a file of the log that was never begun");
            std::fs::remove_file(&file)?;
        }
    }
    Ok(())
}

/// Names are numbers of 16 digits: the greatest is the newest.
fn newest_file(folder: &Path, queue: &str) -> io::Result<Option<PathBuf>> {
    let mut newest: Option<PathBuf> = None;
    for entry in folder.read_dir()? {
        let file = entry?.path();
        if file.extension().is_some_and(|kind| kind == queue) && newest.as_ref() < Some(&file) {
            newest = Some(file);
        }
    }
    Ok(newest)
}

/// A place in the newest file that cannot be read although records that can stand behind it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Damage {
    /// The file.
    pub file: PathBuf,
    /// Where it begins.
    pub at: u64,
}

/// Looks for damage before the end of the newest file, which raft-engine would take for an unfinished write: it cuts off
/// all that stands behind it. Nothing is changed.
///
/// A write of records is synced before the next one begins, so that whole records behind a torn write are none that a
/// crash can leave.
pub(super) fn damage_before_the_end(folder: &Path) -> io::Result<Option<Damage>> {
    let Some(file) = newest_file(folder, QUEUES[0])? else { return Ok(None) };
    let number: Option<u64> = file.file_stem().and_then(|stem| stem.to_str()?.parse().ok());
    let bytes = std::fs::read(&file)?;
    let (Some(number), Some(mut at)) = (number, first_batch(&bytes)) else { return Ok(None) };
    while let Some(batch) = Batch::at(&bytes[at..], number) {
        at += batch.bytes;
    }
    let behind = (at + 1..bytes.len()).filter_map(|at| Batch::at(&bytes[at..], number));
    let is_damaged = { behind }.any(|batch| batch.has_records);
    Ok(is_damaged.then(|| Damage { file, at: at as u64 }))
}

/// Where a file's first batch stands. `None` for a file in another format than the one that is written here.
fn first_batch(file: &[u8]) -> Option<usize> {
    /// The format, then the size of the blocks that batches are aligned to: none.
    const REST: [u64; 2] = [2, 0];
    let mut rest = file.strip_prefix(FILE_HEADER)?;
    for expected in REST {
        let (number, behind) = rest.split_first_chunk()?;
        (u64::from_be_bytes(*number) == expected).then_some(())?;
        rest = behind;
    }
    Some(file.len() - rest.len())
}

/// What raft-engine writes at once: a header, the entries (none for a trim), the index of what is in it.
#[derive(Debug)]
struct Batch {
    bytes: usize,
    has_records: bool,
}

impl Batch {
    const HEADER_BYTES: usize = 16;

    /// The batch at the start of `bytes`, when it is whole; its index carries the number of its file in its checksum.
    fn at(bytes: &[u8], file_number: u64) -> Option<Self> {
        let (length, rest) = bytes.split_first_chunk()?;
        let (index, _) = rest.split_first_chunk()?;
        let length = u64::from_be_bytes(*length);
        let (length, compression) = (usize::try_from(length >> 8).ok()?, length & 0xff);
        let index = usize::try_from(u64::from_be_bytes(*index)).ok()?;
        if compression > 1 || index < Self::HEADER_BYTES || index > length || length > bytes.len() {
            return None;
        }
        let (items, checksum) = bytes[index..length].split_last_chunk()?;
        let checksum = u32::from_le_bytes(*checksum) ^ file_number as u32;
        (!items.is_empty() && crc32fast::hash(items) == checksum)
            .then_some(Self { bytes: length, has_records: index > Self::HEADER_BYTES })
    }
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
        let Some(file) = newest_file(folder, QUEUES[0])? else { return Ok(None) };
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
