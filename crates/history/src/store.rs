//! The Delta tables: where they are, and how rows get into them exactly once.

pub mod compaction; // many small sorted files into few large ones
pub mod file; // how rows are encoded
pub mod folder; // a folder whose files are on the disk when they are there
pub mod location; // what a store's URL means
pub mod scan; // files as plans read them
pub mod table; // one Delta table: open, write, commit
