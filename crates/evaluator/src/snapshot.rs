//! The engine's state as bytes: a header of our own, then postcard. A restored engine goes on as if it had never stopped.

use serde::Serialize;
use serde::de::DeserializeOwned;
use twox_hash::XxHash3_64;

/// Starts every snapshot.
const MAGIC: &[u8; 4] = b"TGEV";
/// Format of the state's bytes; grows with each change of what is kept.
const FORMAT: u16 = 4;
/// Magic, format, checksum.
const HEADER_BYTES: usize = 4 + 2 + 8;

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

/// The state with its header.
pub(crate) fn write<T: Serialize>(state: &T) -> Vec<u8> {
    let body = postcard::to_stdvec(state).expect("the state holds nothing that postcard cannot write");
    let mut bytes = Vec::with_capacity(HEADER_BYTES + body.len());
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(&FORMAT.to_le_bytes());
    bytes.extend_from_slice(&checksum(&body));
    bytes.extend_from_slice(&body);
    bytes
}

/// The state that [`write`] wrote.
pub(crate) fn read<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, SnapshotError> {
    let (header, body) = bytes.split_at_checked(HEADER_BYTES).ok_or(SnapshotError::Foreign)?;
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
    postcard::from_bytes(body).map_err(|error| SnapshotError::Unreadable(error.to_string()))
}
