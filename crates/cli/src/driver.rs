//! Recorded files through front and evaluator, on the files' own clock: what `replay` prints.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use evaluator::{Effect, Evaluator};
use ingest::Front;
use ingest::files::Group;
use service::configuration::Documents;
use service::hands::Hands;
use telemetry::facts::RackFacts;
use telemetry::record::{
    Body, Configuration, Fate, Flag, PartitionId, Record, RunChange, RunEvent, RunState, Sequence,
};
use telemetry::{EventTime, Labels, Microseconds, Name};

use crate::arguments::FileArguments;
use crate::failure::Failure;
use crate::files;

/// What was there in the files.
#[derive(Debug, Default)]
pub struct Counts {
    /// Rows that were read.
    pub rows: u64,
    /// Rows that could not be read; they are named and passed over.
    pub unreadable_rows: u64,
    /// Readings that came too late to be judged.
    pub late: u64,
    /// Facts of all racks at the end.
    pub facts: Vec<Arc<RackFacts>>,
}

/// What happens while files are read, in order.
pub enum Told<'a> {
    /// Before anything else: for each file how many rows it has, those that cannot be read among them.
    Files(&'a [u64]),
    /// The evaluator asks for this.
    Effect(&'a Effect),
    /// Rows of one time were taken in, and their effects told.
    Rows {
        /// The rows.
        group: &'a Group,
        /// Whether they came too late to be judged.
        are_late: bool,
    },
    /// Rows at the end that could not be read: file and number in it.
    PassedOver(&'a [(usize, u64)]),
}

/// Judges recorded files. Every rack's span is one run, from its first reading to the end of its last one.
///
/// - `told`: takes all that happens, in order.
///
/// # Errors
/// Files that cannot be read.
pub fn replay(
    arguments: &FileArguments,
    documents: Documents,
    mut told: impl FnMut(Told<'_>),
) -> Result<Counts, Failure> {
    let resolver = Arc::new(documents.resolver);
    let (spans, rows) = spans(arguments, &resolver)?;
    told(Told::Files(&rows));
    let mut driver = Driver {
        evaluator: Evaluator::new(),
        hands: Hands::of_all_cores()
            .map_err(|error| Failure::unreachable(format!("threads to judge with: {error}")))?,
        sequence: 0,
        tick: None,
        spans,
        started: BTreeMap::new(),
        silent: BTreeMap::new(),
        late: 0,
        told: &mut told,
    };
    driver.configure(documents.configuration);
    let mut front = Front::new(resolver.clone(), ingest::front::Limits::default());
    let mut counts = Counts::default();
    let mut source = files::open(arguments, &resolver)?;
    for group in source.by_ref() {
        let group = group.map_err(|error| Failure::bad_input(error.to_string()))?;
        counts.rows += group.rows.len() as u64;
        let late_before = driver.late;
        let taken = front
            .take_in(&group.decoded, EventTime::MINIMUM)
            .map_err(|error| Failure::bad_input(error.to_string()))?;
        driver.take(taken.records);
        front.confirm(taken.ticket);
        (driver.told)(Told::Rows { group: &group, are_late: driver.late > late_before });
        driver.tick(group.time);
    }
    (driver.told)(Told::PassedOver(source.passed_over()));
    counts.unreadable_rows = source.unreadable_rows();
    for row in source.unreadable() {
        eprintln!("thermogate: file {} line {} passed over: {}", row.file + 1, row.line, row.message);
    }
    driver.finish();
    counts.late = driver.late;
    counts.facts = driver.evaluator.rack_facts();
    Ok(counts)
}

/// The time that the files span, and their numbers of rows.
fn spans(
    arguments: &FileArguments,
    resolver: &Arc<telemetry::mapping::Resolver>,
) -> Result<(Microseconds, Vec<u64>), Failure> {
    let (mut first, mut last) = (None, None);
    let mut source = files::open(arguments, resolver)?;
    for group in source.by_ref() {
        let time = group.map_err(|error| Failure::bad_input(error.to_string()))?.time;
        first = Some(first.map_or(time, |first: EventTime| first.min(time)));
        last = last.max(Some(time));
    }
    match (first, last) {
        (Some(first), Some(last)) => {
            Ok(((last - first).max(Microseconds::from_minutes(1)), source.rows_taken()))
        }
        (None, _) | (_, None) => Err(Failure::bad_input("the files hold no rows")),
    }
}

struct Driver<'a> {
    evaluator: Evaluator,
    hands: Hands,
    sequence: Sequence,
    tick: Option<EventTime>,
    /// The whole span: what the runs are planned for.
    spans: Microseconds,
    /// Racks whose run has begun.
    started: BTreeMap<Name, Name>,
    /// Racks of each partition that are declared and have told nothing.
    silent: BTreeMap<PartitionId, BTreeSet<Name>>,
    /// Readings that came too late to be judged.
    late: u64,
    told: &'a mut dyn FnMut(Told<'_>),
}

impl Driver<'_> {
    fn apply(&mut self, records: &[Record]) {
        let effects = self.evaluator.apply_together(&self.hands, self.sequence + 1, records);
        self.sequence += records.len() as Sequence;
        let is_late = |fate: &&Fate| matches!(fate, Fate::Stored(Flag::Late));
        for of_record in &effects {
            self.late += of_record.fates.iter().filter(is_late).count() as u64;
            for effect in &of_record.list {
                (self.told)(Told::Effect(effect));
            }
        }
    }

    fn stream(&mut self, body: Body) {
        self.apply(&[Record { partition: PartitionId::STREAM, body }]);
    }

    fn configure(&mut self, configuration: Configuration) {
        self.stream(Body::Configuration(Box::new(configuration)));
    }

    /// A rack's run begins with its first reading, so it has to be known before that is judged.
    fn take(&mut self, records: Vec<Record>) {
        let mut together = Vec::with_capacity(records.len());
        for record in records {
            match &record.body {
                Body::Series(declaration) => {
                    let rack = declaration.identity.place.rack.clone();
                    let rack = rack.filter(|rack| !self.started.contains_key(rack));
                    self.silent.entry(record.partition).or_default().extend(rack);
                }
                Body::Samples(batch) => {
                    let first = batch.time.iter().min().copied();
                    let racks = first.and_then(|_| self.silent.remove(&record.partition)).unwrap_or_default();
                    if !racks.is_empty() {
                        self.apply(&std::mem::take(&mut together));
                    }
                    for (rack, time) in racks.into_iter().zip(first.into_iter().cycle()) {
                        self.start(rack, time);
                    }
                }
                Body::Tick(_)
                | Body::Configuration(_)
                | Body::Run(_)
                | Body::Calibration(_)
                | Body::Maintenance(_)
                | Body::Drill(_)
                | Body::Override(_)
                | Body::Verdict(_)
                | Body::Event(_) => {}
            }
            together.push(record);
        }
        self.apply(&together);
    }

    fn start(&mut self, rack: Name, time: EventTime) {
        if self.started.contains_key(&rack) {
            return;
        }
        let run: Name = format!("replay-{rack}").into();
        self.started.insert(rack.clone(), run.clone());
        let change = RunChange::Start {
            racks: vec![rack],
            stage: "replay".into(),
            versions: Labels::new(),
            planned: self.spans,
        };
        self.stream(Body::Run(RunEvent { run, time, change }));
    }

    /// The tick that follows a group, if time has grown by a second.
    fn tick(&mut self, time: EventTime) {
        let tick = time.window_start(Microseconds::from_seconds(1));
        if self.tick < Some(tick) {
            self.tick = Some(tick);
            self.stream(Body::Tick(tick));
        }
    }

    /// Ends all runs where the last readings end to count, and closes everything.
    fn finish(&mut self) {
        let Some(end) = self.evaluator.end_of_input() else { return };
        for run in self.started.values().cloned().collect::<Vec<_>>() {
            self.stream(Body::Run(RunEvent {
                run,
                time: end,
                change: RunChange::End { state: RunState::Ended },
            }));
        }
        let lateness = self
            .evaluator
            .configuration()
            .map_or(Microseconds::ZERO, |configuration| configuration.allowed_lateness);
        self.tick(end + lateness + Microseconds::from_seconds(1));
    }
}
