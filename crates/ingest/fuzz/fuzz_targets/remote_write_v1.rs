//! Remote write 1.0: every request is read as prost reads it, or refused.
#![no_main]

#[path = "../oracle.rs"]
#[allow(dead_code)] // Each target uses a part.
mod oracle;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| oracle::remote_write_v1(bytes));
