//! What is kept in memory, and how long snapshot and restore of it take: a thousand racks on 125 loops.
//!
//! Prints bytes a series after two hours and after ten, bytes an objective and rack, seconds and bytes of a snapshot, and
//! seconds of a restore by one thread and by two.

mod racks; // what is judged

use std::time::Instant;

use evaluator::{Effects, Evaluator, Restoring};
use racks::Racks;
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};
use telemetry::record::{Document, Record};

#[global_allocator]
static HEAP: &StatsAlloc<std::alloc::System> = &INSTRUMENTED_SYSTEM;

const LOOPS: u32 = 125;
const SCRAPES_IN_AN_HOUR: i64 = 3_600 / racks::INTERVAL;

fn heap_bytes() -> i64 {
    let stats = HEAP.stats();
    stats.bytes_allocated as i64 - stats.bytes_deallocated as i64
}

fn judged(racks: &Racks, declared: Vec<Record>, evaluator: &mut Evaluator, scrapes: std::ops::Range<i64>) {
    let mut effects = Effects::default();
    let records = declared.into_iter().chain(scrapes.flat_map(|number| racks.scrape(number)));
    for (sequence, record) in (1..).zip(records) {
        effects.clear();
        evaluator.apply(sequence, &record, &mut effects);
    }
}

/// Racks that were judged for some hours, and the heap that they take.
fn after_hours(loops: u32, objectives: Vec<Document>, hours: i64) -> (Evaluator, i64, Racks) {
    let (racks, declared) = Racks::declared(loops, objectives);
    let before = heap_bytes();
    let mut evaluator = Evaluator::new();
    judged(&racks, declared, &mut evaluator, 0..hours * SCRAPES_IN_AN_HOUR);
    (evaluator, heap_bytes() - before, racks)
}

fn racks_of(loops: u32) -> i64 {
    i64::from(loops * racks::RACKS_ON_LOOP)
}

fn main() {
    let documents = evaluator::default_documents();
    for hours in [2, 10] {
        let (_evaluator, bytes, racks) = after_hours(8, documents.clone(), hours);
        println!("after {hours} h: {} B a series, with everything", bytes / racks.series() as i64);
    }
    let objectives: i64 =
        documents.iter().map(|document| document.text.matches("kind: SLO").count() as i64).sum();
    let (_evaluator, bare, racks) = after_hours(8, Vec::new(), 2);
    println!("without objectives: {} B a series", bare / racks.series() as i64);
    let (_evaluator, full, _racks) = after_hours(8, documents.clone(), 2);
    println!("{objectives} objectives: {} B an objective and rack", (full - bare) / objectives / racks_of(8));
    let (evaluator, bytes, racks) = after_hours(LOOPS, documents, 2);
    println!("{} racks, {} series: {} MB", racks_of(LOOPS), racks.series(), bytes / 1_000_000);
    let started = Instant::now();
    let snapshot = evaluator.snapshot();
    println!("snapshot: {:.2} s, {} MB", started.elapsed().as_secs_f64(), snapshot.len() / 1_000_000);
    drop(evaluator);
    let before = heap_bytes();
    let started = Instant::now();
    let restored = Evaluator::restore(&snapshot).expect("a snapshot that was written just now");
    let bytes = heap_bytes() - before;
    println!("restore: {:.2} s, then {} MB", started.elapsed().as_secs_f64(), bytes / 1_000_000);
    drop(restored);
    let started = Instant::now();
    let restored = restored_by_two(&snapshot);
    println!("restore by two threads: {:.2} s", started.elapsed().as_secs_f64());
    drop(restored);
}

/// As a service does, which has as many threads as there are cores.
fn restored_by_two(snapshot: &[u8]) -> Evaluator {
    let restoring = Restoring::new(snapshot).expect("a snapshot that was written just now");
    let read = |first: usize| {
        let numbers = (first..restoring.parts()).step_by(2);
        numbers.map(|number| restoring.read(number).expect("a part of it")).collect::<Vec<_>>()
    };
    let (mut even, odd) = std::thread::scope(|scope| {
        let odd = scope.spawn(|| read(1));
        (read(0), odd.join().expect("it reads like the other"))
    });
    even.extend(odd);
    restoring.finish(even).expect("all parts")
}
