//! The contract with senders: every source means the same, nothing unreadable is half taken in, answers are exact.

mod senders; // readings as their senders write them

mod conformance; // what every source must do
mod decode; // our decoders against prost, and against noise
mod files; // recorded files: forms, columns, times, order
mod flight; // tables by Arrow Flight
mod front; // numbers, flags, limits, events
mod grpc; // OTLP over gRPC
mod http; // remote write and OTLP over HTTP
mod recorded; // other people's recordings
mod vectors; // requests byte by byte
