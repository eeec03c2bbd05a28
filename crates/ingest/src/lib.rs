//! Takes telemetry in: OTLP, Prometheus remote write, Arrow Flight, files → normalised batches.
//!
//! wire → **ingest** → log → `evaluator`. Per protocol there is a pure `decode` and a server that does the I/O; both
//! ways lead through one [`Front`], so that every source means the same.

mod protobuf; // walks protobuf in place

pub mod decoded; // what every source is decoded to: read this first
pub mod key; // a series' raw bytes and the labels in them

pub mod compression; // snappy and gzip within limits
pub mod otlp; // OTLP metrics: decode, gRPC, HTTP
pub mod remote_write; // Prometheus remote write 1.0 and 2.0: decode, HTTP

pub mod files; // recorded files
pub mod flight; // Arrow Flight: tables of readings

pub mod front; // numbers for series, flags for readings
pub mod report; // what became of a request

mod body; // HTTP bodies and statuses
pub mod intake; // the seam between servers and whoever keeps what they take in

pub use body::HttpIntake;
pub use decoded::{DecodeError, Decoded, Point, PointKind, SourceKind};
pub use front::{Front, Limits, Taken, Ticket};
pub use intake::{Intake, IntakeError, RequestLimits};
pub use report::{Reason, Refusal, Report};
