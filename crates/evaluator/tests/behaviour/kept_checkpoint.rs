//! A checkpoint as an engine of format 4 wrote it, before reports were kept in two words and of deltas only the largest. Whoever changes what a checkpoint keeps either reads these bytes
//! still, or gives the format a new number, reads both, and keeps a file of each.

use std::fs::File;
use std::io::Write as _;
use std::path::PathBuf;

use evaluator::Evaluator;
use telemetry::record::Record;

use crate::laws::{effects_by_record, fixed_readings, stream};

/// Half of this many readings are in the checkpoint.
const READINGS: usize = 400;

fn file() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/checkpoints/format-4.checkpoint")
}

fn records() -> (Vec<Record>, usize) {
    let records = stream(&fixed_readings(4, READINGS), 1);
    let cut = records.len() / 2;
    (records, cut)
}

#[test]
fn a_checkpoint_of_format_4_goes_on_as_if_it_had_never_stopped() {
    let bytes = std::fs::read(file()).expect("the fixture");
    let (records, cut) = records();
    let mut restored = Evaluator::restore(&bytes).expect("format 4 is read");
    assert_eq!(restored.sequence(), cut as u64);
    let mut straight = Evaluator::new();
    effects_by_record(&mut straight, &records[..cut], 1);
    let next = cut as u64 + 1;
    let after = effects_by_record(&mut restored, &records[cut..], next);
    assert_eq!(after, effects_by_record(&mut straight, &records[cut..], next));
    assert_eq!(restored.rack_facts(), straight.rack_facts());
}

/// `cargo test -p evaluator --test behaviour -- --ignored the_checkpoint_of_this_engine`, once for each format. Off, since
/// it checks nothing: it makes the file that the other test reads, and refuses to make it anew.
#[test]
#[ignore = "makes a new format's file, and checks nothing"]
fn the_checkpoint_of_this_engine_is_written() {
    let (records, cut) = records();
    let mut evaluator = Evaluator::new();
    effects_by_record(&mut evaluator, &records[..cut], 1);
    std::fs::create_dir_all(file().parent().expect("a folder")).expect("a folder");
    let mut made = File::create_new(file()).expect("no file of this format yet");
    made.write_all(&evaluator.snapshot()).expect("the fixture");
}
