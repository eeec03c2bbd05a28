//! Faults of disk, store, clock and senders: named while they last, survived, and over when they are over.

mod clocks; // the machine's and the senders'
pub mod damage; // files that a disk has changed
mod senders; // many, slow, deaf, repeating themselves
mod series; // more than anybody has sensors
mod store_away; // missing, unmounted, replaced, slow

/// 2026-01-05T08:00:00Z: where the readings of these tests begin.
const START: i64 = 1_767_600_000;

/// Flushes and checkpoints come at once.
const SOON: [&str; 6] = [
    "--set",
    "clock.kind=telemetry",
    "--set",
    "history.flush_every=200ms",
    "--set",
    "history.checkpoint_every=300ms",
];
