//! Checks of the source: the architecture is what `cargo metadata` says, not what a picture says.

mod architecture; // crates depend only on what the data flow allows
mod pins; // one Arrow, one tonic, one prost
