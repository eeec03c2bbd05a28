//! The engine's state as bytes: a header of our own, then parts of postcard, what all share first.

use std::hash::Hasher;

use serde::Serialize;
use serde::de::DeserializeOwned;
use twox_hash::XxHash3_64;
use twox_hash::xxhash3_64::{DEFAULT_SECRET_LENGTH, RawHasher, SecretBuffer};

/// Starts every snapshot.
const MAGIC: &[u8; 4] = b"TGEV";
/// Format of the state's bytes; grows with each change of what is kept.
const FORMAT: u16 = 4;
const CHECKSUM_BYTES: usize = 8;
/// Bytes before the parts of a snapshot: magic, format, checksum.
pub const HEADER_BYTES: usize = 4 + 2 + CHECKSUM_BYTES;
/// Before each part: how long it is.
const LENGTH_BYTES: usize = 8;

/// Why bytes are no state of this engine.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SnapshotError {
    /// Not ours at all.
    #[error("the checkpoint does not begin as one: it is another file, or torn")]
    Foreign,
    /// Written by an engine that this one does not read.
    #[error(
        "the checkpoint has format {found} and this engine reads {FORMAT}: \
         run the version that wrote it, or name another data.folder to begin anew"
    )]
    Format {
        /// The format that was found.
        found: u16,
    },
    /// The bytes are not those that were written.
    #[error("the checkpoint is damaged (its checksum differs): an older one is needed")]
    Checksum,
    /// The checksum holds and the state cannot be read.
    #[error(
        "the checkpoint cannot be read ({0}): run the version that wrote it, or name another data.folder to begin anew"
    )]
    Unreadable(String),
}

/// Tells bytes that have changed by accident: XXH3, for a state has hundreds of megabytes.
fn checksum(body: &[u8]) -> [u8; 8] {
    XxHash3_64::oneshot(body).to_le_bytes()
}

/// The same, of bytes that come piece by piece.
type RunningChecksum = RawHasher<&'static [u8; DEFAULT_SECRET_LENGTH]>;

/// Tells the parts of a state, each with its length before it, and in the end the header that goes before them all.
///
/// A state of a thousand racks has hundreds of megabytes: there is never more of it in memory than one part.
pub(crate) struct Writer<T> {
    tell: T,
    part: Vec<u8>,
    checksum: RunningChecksum,
}

impl<T: FnMut(&[u8]) -> Result<(), E>, E> Writer<T> {
    pub(crate) fn new(tell: T) -> Self {
        Self { tell, part: Vec::new(), checksum: RunningChecksum::new(SecretBuffer::default()) }
    }

    /// The next part.
    pub(crate) fn write(&mut self, part: &impl Serialize) -> Result<(), E> {
        let mut bytes = std::mem::take(&mut self.part);
        bytes.clear();
        bytes.extend_from_slice(&[0; LENGTH_BYTES]);
        self.part =
            postcard::to_extend(part, bytes).expect("the state holds nothing that postcard cannot write");
        let length = (self.part.len() - LENGTH_BYTES) as u64;
        self.part[..LENGTH_BYTES].copy_from_slice(&length.to_le_bytes());
        self.checksum.write(&self.part);
        (self.tell)(&self.part)
    }

    /// The header.
    pub(crate) fn finish(self) -> [u8; HEADER_BYTES] {
        let mut header = [0; HEADER_BYTES];
        header[..4].copy_from_slice(MAGIC);
        header[4..6].copy_from_slice(&FORMAT.to_le_bytes());
        header[6..].copy_from_slice(&self.checksum.finish().to_le_bytes());
        header
    }
}

/// The parts that [`Writer`] wrote, each still bytes.
pub(crate) fn parts(
    bytes: &[u8],
) -> Result<impl Iterator<Item = Result<&[u8], SnapshotError>>, SnapshotError> {
    let (header, mut body) = bytes.split_at_checked(HEADER_BYTES).ok_or(SnapshotError::Foreign)?;
    if &header[..4] != MAGIC {
        return Err(SnapshotError::Foreign);
    }
    let found = u16::from_le_bytes([header[4], header[5]]);
    if found != FORMAT {
        return Err(SnapshotError::Format { found });
    }
    if checksum(body)[..] != header[6..] {
        return Err(SnapshotError::Checksum);
    }
    Ok(std::iter::from_fn(move || {
        let (length, rest) = body.split_first_chunk::<LENGTH_BYTES>()?;
        let length = usize::try_from(u64::from_le_bytes(*length)).unwrap_or(usize::MAX);
        let torn = || SnapshotError::Unreadable("a part is longer than the checkpoint".to_owned());
        let part = rest.split_at_checked(length);
        body = part.map_or(&[], |(_, after)| after);
        Some(part.map(|(part, _)| part).ok_or_else(torn))
    }))
}

/// What a part says.
pub(crate) fn read<T: DeserializeOwned>(part: &[u8]) -> Result<T, SnapshotError> {
    postcard::from_bytes(part).map_err(|error| SnapshotError::Unreadable(error.to_string()))
}
