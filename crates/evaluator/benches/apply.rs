//! Samples a second on one core: sixteen racks on two loops, the default objectives, all detectors, a tick every second.
//! Then ticks alone, of partitions that have been silent for an hour.
//!
//! Instructions: `valgrind --tool=callgrind --collect-atstart=no --toggle-collect='*one_minute*'` before the bench with
//! `--test`.

mod racks; // what is judged

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use evaluator::{Effects, Evaluator};
use racks::Racks;
use telemetry::record::Record;

const LOOPS: u32 = 2;

struct Judging {
    evaluator: Evaluator,
    effects: Effects,
    sequence: u64,
}

impl Judging {
    #[inline(never)]
    fn one_minute(&mut self, records: &[Record]) {
        self.take(records);
    }

    fn take(&mut self, records: &[Record]) {
        for record in records {
            self.sequence += 1;
            self.effects.clear();
            self.evaluator.apply(self.sequence, record, &mut self.effects);
            std::hint::black_box(&self.effects);
        }
    }
}

fn apply(criterion: &mut Criterion) {
    let (racks, declared) = Racks::declared(LOOPS, evaluator::default_documents());
    let mut judging = Judging { evaluator: Evaluator::new(), effects: Effects::default(), sequence: 0 };
    judging.take(&declared);
    // An hour and a half: rings are full and baselines taken.
    let mut number = 0;
    while number < 540 {
        judging.take(&racks.scrape(number));
        number += 1;
    }
    let mut group = criterion.benchmark_group("evaluator");
    // Six scrapes are a minute: blocks, detectors and statuses are all in it.
    group.throughput(Throughput::Elements(6 * racks.series()));
    group.bench_function("apply", |bencher| {
        bencher.iter_batched(
            || {
                let minute: Vec<Record> =
                    (number..number + 6).flat_map(|number| racks.scrape(number)).collect();
                number += 6;
                minute
            },
            |minute| judging.one_minute(&minute),
            criterion::BatchSize::PerIteration,
        );
    });
    group.finish();
}

/// What a tick costs for each partition that nothing comes from: a minute of ticks, with its blocks and statuses.
fn idle(criterion: &mut Criterion) {
    const LOOPS: u32 = 25;
    const FED: i64 = 60;
    let (racks, declared) = Racks::declared(LOOPS, evaluator::default_documents());
    let mut judging = Judging { evaluator: Evaluator::new(), effects: Effects::default(), sequence: 0 };
    judging.take(&declared);
    for number in 0..FED {
        judging.take(&racks.scrape(number));
    }
    let an_hour = 3_600 / racks::INTERVAL;
    let mut number = FED;
    while number < FED + an_hour {
        judging.take(&Racks::ticks(number));
        number += 1;
    }
    let mut group = criterion.benchmark_group("evaluator");
    group.throughput(Throughput::Elements(u64::from(LOOPS) * 60));
    group.bench_function("idle", |bencher| {
        bencher.iter_batched(
            || {
                let minute: Vec<Record> = (number..number + 6).flat_map(Racks::ticks).collect();
                number += 6;
                minute
            },
            |minute| judging.one_minute(&minute),
            criterion::BatchSize::PerIteration,
        );
    });
    group.finish();
}

criterion_group!(benches, apply, idle);
criterion_main!(benches);
