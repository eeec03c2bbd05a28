//! Streams of any values, times, order, repeats, gaps, acts and restarts: the fuzzer's, in a form that always runs.

use proptest::prelude::*;

#[path = "../../fuzz/stream.rs"]
mod stream; // bytes make up a stream; what holds of all of them

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn every_stream_is_taken_and_nothing_said_of_it_is_no_number(
        bytes in prop::collection::vec(any::<u8>(), 0..400)
    ) {
        stream::play(&bytes);
    }
}
