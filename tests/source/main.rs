//! Checks of the source: the architecture is what `cargo metadata` says, not what a picture says.

mod architecture; // crates depend only on what the data flow allows
mod deploy; // flags, settings, ports and paths in deploy/ exist
mod pins; // one Arrow, one tonic, one prost
mod readme; // its tables are the code's
