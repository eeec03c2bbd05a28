//! Faults of disk, store, clock and senders: named while they last, survived, and over when they are over.

mod clocks; // the machine's and the senders'
pub mod damage; // files that a disk has changed
mod senders; // many, slow, deaf, repeating themselves
mod series; // more than anybody has sensors
mod store_away; // missing, unmounted, replaced
