//! What is remembered, through an evaluator that knows nothing yet.
//!
//! `Past`, `Readings` → **play** → final statuses, facts at the watermarks that verdicts were given at

use std::collections::BTreeMap;
use std::sync::Arc;

use evaluator::{Effect, Evaluator};
use serde_json::Value;
use telemetry::facts::{RackFacts, Scope};
use telemetry::place::Place;
use telemetry::record::{
    Body, Configuration, Flag, PartitionId, Record, SampleBatch, Sequence, SeriesDeclaration, SeriesId,
};
use telemetry::table::{Cell, Kind, Row, Table};
use telemetry::{EventTime, Microseconds, canonical_json};

use super::{Past, PastError, Readings, Ticks};
use crate::hands::Hands;

/// Facts that are wanted: of which rack or loop, as of which watermark; told before this place in the log, where the
/// verdict stands that was made from them.
pub type Wanted = BTreeMap<(Place, EventTime), Sequence>;

/// What an evaluation again gives.
#[derive(Debug, Default)]
pub struct Played {
    /// The run's final statuses, as [`status_json`] writes them, in order.
    pub statuses: Vec<String>,
    /// Facts that were wanted, in the order that they were published.
    pub facts: BTreeMap<(Place, EventTime), Vec<Arc<RackFacts>>>,
    /// The latest facts as of a moment that was wanted or before it.
    pub nearest: BTreeMap<(Place, EventTime), Arc<RackFacts>>,
    /// The facts of all racks at the end.
    pub last: Vec<Arc<RackFacts>>,
    /// The last tick.
    pub tick: EventTime,
    /// Readings that were judged.
    pub readings: u64,
    /// Readings left out because they had come too late to be judged.
    pub late: u64,
    /// Readings left out because they came from a clock that was ahead: nobody remembers when.
    pub ahead: u64,
}

/// Evaluates a run again.
///
/// - `instead`: in force from the beginning to the end, in the place of what was in force then.
/// - `readings`: in the canonical order.
///
/// # Errors
/// What `readings` gives, and records that cannot be read.
pub fn play(
    past: &Past,
    instead: Option<&Configuration>,
    readings: impl Iterator<Item = Result<Readings, PastError>>,
    wanted: &Wanted,
) -> Result<Played, PastError> {
    let mut player = Player {
        past,
        wanted,
        evaluator: Evaluator::new(),
        hands: Hands::of_all_cores()
            .map_err(|error| PastError::Unreachable(format!("threads to judge with: {error}")))?,
        sequence: 0,
        position: 0,
        declared: past.head.partitions.iter().map(|_| Vec::new()).collect(),
        taken: past.head.partitions.iter().map(|_| SampleBatch::default()).collect(),
        held: BTreeMap::new(),
        played: Played::default(),
    };
    let configuration = instead.unwrap_or(&past.configuration);
    player.stream(Body::Configuration(Box::new(configuration.clone())));
    let mut acts = acts(past, instead.is_some())?.into_iter().peekable();
    while let Some(act) = acts.next_if(|act| act.seq == 0 || act.time < past.head.from) {
        player.act(act);
    }
    let mut readings = Waiting { readings, chunk: Readings::default(), at: 0 };
    for tick in past.ticks.iter().flat_map(each) {
        while let Some(act) = acts.next_if(|act| act.time < tick) {
            player.act(act);
        }
        while let Some(reading) = readings.next_until(tick)? {
            player.take(reading);
        }
        player.apply_taken(Some(tick));
        player.look();
    }
    acts.for_each(|act| player.act(act));
    player.played.last = player.evaluator.rack_facts();
    player.played.tick = player.evaluator.last_tick().unwrap_or(past.head.to);
    player.played.statuses.sort();
    Ok(player.played)
}

/// A record at its place.
struct Act {
    seq: Sequence,
    time: EventTime,
    body: Body,
}

/// Records and verdicts in order of the log.
fn acts(past: &Past, without_configurations: bool) -> Result<Vec<Act>, PastError> {
    let mut acts = Vec::with_capacity(past.log.len() + past.verdicts.len());
    for remembered in &past.log {
        if without_configurations && remembered.kind == "configuration" {
            continue;
        }
        acts.push(Act { seq: remembered.seq, time: remembered.time, body: remembered.body()? });
    }
    // What gates said of a run before is not what they would say by other documents.
    if !without_configurations {
        acts.extend(past.verdicts.iter().map(|verdict| Act {
            seq: verdict.seq,
            time: verdict.record.time,
            body: Body::Verdict(verdict.record.clone()),
        }));
    }
    acts.sort_by_key(|act| act.seq);
    Ok(acts)
}

/// Ticks one by one.
fn each(ticks: &Ticks) -> impl Iterator<Item = EventTime> + use<> {
    let Ticks { first, last, step } = *ticks;
    std::iter::successors(Some(first), move |tick| {
        (step.get() > 0).then(|| *tick + step).filter(|next| *next <= last)
    })
}

/// A reading with its series.
type Reading = ((PartitionId, SeriesId), EventTime, f64, Flag);

/// Where a partition stands among those of the run.
fn place(partition: PartitionId) -> usize {
    (partition.0 - PartitionId::FIRST.0) as usize
}

/// Readings that are taken up to a time.
struct Waiting<I> {
    readings: I,
    chunk: Readings,
    at: usize,
}

impl<I: Iterator<Item = Result<Readings, PastError>>> Waiting<I> {
    fn next_until(&mut self, time: EventTime) -> Result<Option<Reading>, PastError> {
        while self.chunk.len() <= self.at {
            let Some(next) = self.readings.next().transpose()? else { return Ok(None) };
            (self.chunk, self.at) = (next, 0);
        }
        let (chunk, at) = (&self.chunk, self.at);
        if time < chunk.time[at] {
            return Ok(None);
        }
        self.at += 1;
        Ok(Some(((chunk.partition[at], chunk.series[at]), chunk.time[at], chunk.value[at], chunk.flag[at])))
    }
}

struct Player<'a> {
    past: &'a Past,
    wanted: &'a Wanted,
    evaluator: Evaluator,
    hands: Hands,
    sequence: Sequence,
    /// The place in the log of the last act.
    position: Sequence,
    /// By partition and number, whether a series is declared.
    declared: Vec<Vec<bool>>,
    /// Readings of each partition that are applied with the next tick.
    taken: Vec<SampleBatch>,
    /// Readings whose series is declared later: they came with a time before the tick at which it was.
    held: BTreeMap<(PartitionId, SeriesId), Vec<Reading>>,
    played: Played,
}

impl Player<'_> {
    fn act(&mut self, act: Act) {
        self.position = act.seq;
        match act.body {
            Body::Series(declaration) => self.declare(declaration),
            body => self.stream(body),
        }
    }

    fn declare(&mut self, declaration: Arc<SeriesDeclaration>) {
        let Some(partition) = self.past.head.number(&declaration.partition) else { return };
        let of = (partition, declaration.id);
        self.apply(&[Record { partition, body: Body::Series(declaration) }]);
        let declared = &mut self.declared[place(partition)];
        declared.resize(declared.len().max(of.1.0 as usize + 1), false);
        declared[of.1.0 as usize] = true;
        for reading in self.held.remove(&of).unwrap_or_default() {
            self.take(reading);
        }
        self.apply_taken(None);
    }

    fn take(&mut self, reading: Reading) {
        let (of, time, value, flag) = reading;
        match flag {
            Flag::Late => self.played.late += 1,
            Flag::Future => self.played.ahead += 1,
            Flag::Ok
            | Flag::Unusual
            | Flag::Implausible
            | Flag::Sentinel
            | Flag::Distrusted
            | Flag::Stale => {
                if !self.declared[place(of.0)].get(of.1.0 as usize).is_some_and(|is| *is) {
                    self.held.entry(of).or_default().push(reading);
                    return;
                }
                let batch = &mut self.taken[place(of.0)];
                batch.series.push(of.1);
                batch.time.push(time);
                batch.value.push(value);
                batch.flag.push(flag);
                self.played.readings += 1;
            }
        }
    }

    fn stream(&mut self, body: Body) {
        self.apply(&[Record { partition: PartitionId::STREAM, body }]);
    }

    /// The readings that were taken, and a tick after them.
    fn apply_taken(&mut self, tick: Option<EventTime>) {
        let partitions = (PartitionId::FIRST.0..).map(PartitionId).zip(&mut self.taken);
        let readings = partitions
            .filter(|(_, batch)| !batch.is_empty())
            .map(|(partition, batch)| Record { partition, body: Body::Samples(std::mem::take(batch)) });
        let tick = tick.map(|tick| Record { partition: PartitionId::STREAM, body: Body::Tick(tick) });
        let records: Vec<Record> = readings.chain(tick).collect();
        self.apply(&records);
    }

    fn apply(&mut self, records: &[Record]) {
        let effects = self.evaluator.apply_together(&self.hands, self.sequence + 1, records);
        self.sequence += records.len() as Sequence;
        for effect in effects.iter().flat_map(|effects| &effects.list) {
            match effect {
                Effect::Status(row)
                    if row.status.is_final
                        && row.status.scope == Scope::Run
                        && row.status.run.as_ref() == Some(&self.past.head.run) =>
                {
                    self.played.statuses.extend(effect.row().map(|row| json_of_row(&row)));
                }
                Effect::Publish(facts) => self.note(facts),
                _ => {}
            }
        }
    }

    fn note(&mut self, facts: &Arc<RackFacts>) {
        let key = (facts.place.clone(), facts.watermark);
        let later = self.wanted.range(key.clone()..).take_while(|((place, _), _)| *place == facts.place);
        for (later, _) in later.filter(|(_, verdict)| self.position <= **verdict) {
            self.played.nearest.insert(later.clone(), facts.clone());
        }
        if self.wanted.get(&key).is_some_and(|verdict| self.position <= *verdict) {
            self.played.facts.entry(key).or_default().push(facts.clone());
        }
    }

    /// Facts that are wanted as of now and were not published: a service publishes them when there is news for somebody.
    fn look(&mut self) {
        let Some(watermark) = self.evaluator.watermark() else { return };
        let before = watermark - Microseconds::from_minutes(1);
        let is_missing = |key: &(Place, EventTime)| {
            before < key.1 && key.1 <= watermark && !self.played.facts.contains_key(key)
        };
        if self.wanted.keys().any(is_missing) {
            self.evaluator.rack_facts().iter().for_each(|facts| self.note(facts));
        }
    }
}

/// The columns of `slo_status` as [`status_json`] reads them, for SQL.
pub fn status_columns() -> String {
    let column = |column: &telemetry::table::Column| match column.kind {
        Kind::EventTime => format!("cast(\"{0}\" as bigint) as \"{0}\"", column.name),
        Kind::Text
        | Kind::Date
        | Kind::Number
        | Kind::Integer
        | Kind::Boolean
        | Kind::Labels
        | Kind::Texts => format!("\"{}\"", column.name),
    };
    Table::SloStatus.columns().iter().map(column).collect::<Vec<_>>().join(", ")
}

/// A row of `slo_status` as canonical JSON: equal rows are equal texts. Times are microseconds since 1970.
pub fn status_json(row: &Value) -> String {
    let cell = |column: &telemetry::table::Column| {
        let value = &row[column.name];
        let value = match column.kind {
            // 100 and 100.0 are one number.
            Kind::Number => value.as_f64().map_or(Value::Null, Value::from),
            Kind::Text
            | Kind::Date
            | Kind::EventTime
            | Kind::Integer
            | Kind::Boolean
            | Kind::Labels
            | Kind::Texts => value.clone(),
        };
        (column.name.to_owned(), value)
    };
    let cells: serde_json::Map<String, Value> = Table::SloStatus.columns().iter().map(cell).collect();
    canonical_json(&cells)
}

fn json_of_row(row: &Row) -> String {
    let value = |cell: &Cell| match cell {
        Cell::Null => Value::Null,
        Cell::Text(text) => Value::from(&**text),
        Cell::Time(time) => Value::from(time.unix_micros()),
        Cell::Number(number) => Value::from(*number),
        Cell::Integer(count) => Value::from(*count),
        Cell::Boolean(is) => Value::from(*is),
        Cell::Labels(labels) => serde_json::to_value(labels).unwrap_or_default(),
        Cell::Texts(texts) => serde_json::to_value(texts).unwrap_or_default(),
    };
    let columns = row.table.columns().iter().map(|column| column.name.to_owned());
    status_json(&Value::Object(columns.zip(row.cells.iter().map(value)).collect()))
}
