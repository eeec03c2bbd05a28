//! Many records at once, with the effects that they would have one after the other.
//!
//! synced records → **together** → effects, record by record

use std::collections::BTreeMap;
use std::sync::Mutex;

use telemetry::record::{Body, PartitionId, Record, SampleBatch, Sequence};

use crate::crew::Crew;
use crate::effect::Effects;
use crate::engine::Evaluator;
use crate::partition::{Environment, Partition};

/// Readings of one partition, and the effects of each of its records.
struct Work<'a> {
    partition: &'a mut Partition,
    batches: Vec<(Sequence, &'a SampleBatch, &'a mut Effects)>,
}

impl Evaluator {
    /// Takes records that follow each other, the first of them `first`. Returns what is to be done about each, as
    /// [`Evaluator::apply`] would have given it.
    ///
    /// Readings of several partitions, and several partitions whose time goes on, are worked on at once; everything else
    /// is taken one by one.
    pub fn apply_together(&mut self, crew: &dyn Crew, first: Sequence, records: &[Record]) -> Vec<Effects> {
        let mut effects = Vec::new();
        effects.resize_with(records.len(), Effects::default);
        let mut at = 0;
        while at < records.len() {
            let sequence = first + at as u64;
            let coming = &records[at..];
            let readings = coming.iter().take_while(|record| self.is_on_its_own(record)).count();
            if readings < 2 || crew.hands() < 2 {
                self.apply_with(crew, sequence, &records[at], &mut effects[at]);
                at += 1;
            } else {
                self.take_batches(crew, sequence, &coming[..readings], &mut effects[at..at + readings]);
                at += readings;
            }
        }
        effects
    }

    /// Readings that concern nothing but their partition.
    fn is_on_its_own(&self, record: &Record) -> bool {
        let is_home = |partition: &Partition| !partition.has_gone();
        matches!(record.body, Body::Samples(_))
            && self.drills.is_idle()
            && self.partitions.get(&record.partition).is_some_and(is_home)
    }

    fn take_batches(
        &mut self,
        crew: &dyn Crew,
        first: Sequence,
        records: &[Record],
        effects: &mut [Effects],
    ) {
        let mut of_partitions: BTreeMap<PartitionId, Vec<_>> = BTreeMap::new();
        for ((sequence, record), effects) in (first..).zip(records).zip(effects) {
            if let Body::Samples(batch) = &record.body {
                of_partitions.entry(record.partition).or_default().push((sequence, batch, effects));
            }
        }
        self.sequence = first + records.len() as u64 - 1;
        let watermark = self.watermark();
        let Self { in_force, runs, partitions, last_tick, .. } = self;
        let environment = Environment { in_force, runs, sequence: first, tick: *last_tick, watermark };
        let work = partitions.iter_mut().filter_map(|(id, partition)| {
            of_partitions.remove(id).map(|batches| Work { partition, batches })
        });
        each(crew, &mut work.collect::<Vec<_>>(), |Work { partition, batches }| {
            for (sequence, batch, effects) in batches {
                partition.take_samples(batch, Environment { sequence: *sequence, ..environment }, effects);
            }
        });
    }
}

/// Lets a crew do something to each of a list.
pub(crate) fn each<T: Send>(crew: &dyn Crew, list: &mut [T], act: impl Fn(&mut T) + Sync) {
    // Each is locked once, by whoever has its number: it proves to the compiler that nobody else does.
    let list: Vec<Mutex<&mut T>> = list.iter_mut().map(Mutex::new).collect();
    crew.each(list.len(), &|number| {
        act(&mut list[number].lock().expect("a crew that panics ends the process"));
    });
}
