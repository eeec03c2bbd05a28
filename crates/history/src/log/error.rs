//! What can go wrong with the log, sorted by who must act.

use std::path::PathBuf;

use telemetry::record::Sequence;

/// Why the log did not do what it was asked for.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The disk is full: senders are refused and try again; recovers by itself once there is room.
    #[error(
        "the disk of the log folder {} is full: free some space or move data.folder; \
         nothing that was acknowledged is lost",
        folder.display()
    )]
    Full {
        /// The log's folder.
        folder: PathBuf,
    },
    /// The caller's: the records do not fit into one write.
    #[error(
        "one write to the log holds {bytes} bytes, at most {maximum} fit: split it (log.group_bytes_max)"
    )]
    TooLarge {
        /// What was to be written.
        bytes: usize,
        /// What fits.
        maximum: usize,
    },
    /// The caller's: these records are gone.
    #[error(
        "record {asked} of stream {shard} is no longer in the log, whose first is {first}: \
             start from a checkpoint at or after {first}"
    )]
    Trimmed {
        /// The stream.
        shard: u32,
        /// What was asked for.
        asked: Sequence,
        /// What there is.
        first: Sequence,
    },
    /// The operator's: another process has the log open.
    #[error("the log folder {} is in use by another process: stop it, or name another data.folder", folder.display())]
    InUse {
        /// The log's folder.
        folder: PathBuf,
    },
    /// The operator's: what is on the disk cannot be what was written.
    #[error(
        "the log in {} is damaged before its end ({what}): restore the folder from a copy, or name another \
         data.folder to begin anew; the tables in `store` stay readable by any engine that reads Delta",
        folder.display()
    )]
    Damaged {
        /// The log's folder.
        folder: PathBuf,
        /// What was found.
        what: String,
    },
    /// The operator's: others have kept records that the log does not hold any more.
    #[error(
        "the log in {} ends at record {last} of stream {shard}, and tables or checkpoints hold records up to \
         {kept}: it has lost its end or is older than they are; restore it from a copy, or move it away to go on \
         without the records between the last checkpoint and {kept}",
        folder.display()
    )]
    Behind {
        /// The log's folder.
        folder: PathBuf,
        /// The stream.
        shard: u32,
        /// Its last record.
        last: Sequence,
        /// What others have kept.
        kept: Sequence,
    },
    /// The operator's: the folder or its disk does not do its part.
    #[error("cannot {act} the log folder {}: {what}", folder.display())]
    Unusable {
        /// `open`, `write`, `read`.
        act: &'static str,
        /// The log's folder.
        folder: PathBuf,
        /// What the system says.
        what: String,
    },
}
