//! `Evaluator::apply` takes every stream.
#![no_main]

#[path = "../stream.rs"]
mod stream;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| stream::play(bytes));
