//! A history that rows are added to in order, and questions to it.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use history::query::{NamedQuery, QueryError, QueryResult};
use history::{History, HistorySettings};
use telemetry::place::{PartitionKey, Place, SeriesIdentity};
use telemetry::record::{
    Fate, Feed, Flag, PartitionId, SampleBatch, SeriesDeclaration, SeriesId, Temporality,
};
use telemetry::table::{Block, Cell, Row, Table};
use telemetry::{EventTime, Microseconds, Name};

/// A history in memory whose `now()` is the newest reading, or what it is told.
pub struct Recorded {
    pub history: History,
    pub newest: EventTime,
    series: BTreeMap<SeriesIdentity, SeriesId>,
    sequence: u64,
}

impl Recorded {
    pub async fn new() -> Self {
        Self::with(HistorySettings::default()).await
    }

    pub async fn with(settings: HistorySettings) -> Self {
        let history = History::open("memory://", settings).await.unwrap();
        Self { history, newest: EventTime::from_unix_micros(0), series: BTreeMap::new(), sequence: 0 }
    }

    /// Adds a reading; its series is declared when it is the first.
    pub fn add(&mut self, place: Place, signal: &str, time: EventTime, value: f64, flag: Flag) {
        self.add_of_sensor(place, signal, None, time, value, flag);
    }

    /// The same of one of several sensors.
    pub fn add_of_sensor(
        &mut self,
        place: Place,
        signal: &str,
        sensor: Option<Name>,
        time: EventTime,
        value: f64,
        flag: Flag,
    ) {
        let id = self.declared(place, signal, sensor);
        self.sequence += 1;
        self.newest = self.newest.max(time);
        let batch = SampleBatch { series: vec![id], time: vec![time], value: vec![value], flag: vec![flag] };
        self.history.append_samples(self.sequence, PartitionId::FIRST, &batch, &[Fate::Stored(flag)]);
    }

    /// Adds a block of one value that held for its known time.
    pub fn add_block(
        &mut self,
        place: Place,
        signal: &str,
        time: EventTime,
        value: f64,
        known: Microseconds,
    ) {
        let series = self.declared(place, signal, None);
        self.sequence += 1;
        let block = Block {
            partition: PartitionId::FIRST,
            series,
            time,
            mean: value,
            minimum: value,
            maximum: value,
            last: value,
            known,
            count: 6,
        };
        self.history.append_block(self.sequence, &block);
    }

    /// Adds a row of another table; columns that are not named are null.
    pub fn add_row(&mut self, table: Table, cells: &[(&str, Cell)]) {
        self.sequence += 1;
        let cell = |name| {
            cells.iter().find(|(known, _)| *known == name).map_or(Cell::Null, |(_, cell)| cell.clone())
        };
        let cells = table.columns().iter().map(|column| cell(column.name)).collect();
        self.history.append_row(self.sequence, Row { table, cells });
    }

    /// Commits what is in memory to the store.
    pub async fn commit(&self) {
        self.history.commit(&self.history.freeze(self.sequence)).await.unwrap();
    }

    /// The answer to any query.
    pub async fn sql(&self, sql: &str) -> Result<RecordBatch, String> {
        let engine = self.history.query_engine().with_now(self.newest);
        let planned_for_now = async { engine.prepare(sql, &[]).await?.run().await };
        let expected = rows(planned_for_now.await).await;
        // Planned for whenever it is asked, and then as it was planned before.
        for _ in 0..2 {
            assert_eq!(rows(engine.sql(sql, &[]).await).await, expected, "of {sql}");
        }
        expected
    }

    /// The answer to a named query, with the columns of its comment.
    pub async fn ask(&self, query: &str, values: &[(&str, &str)]) -> RecordBatch {
        let query = NamedQuery::find(query).unwrap();
        let values = values.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let sql = query.bind(&values).unwrap();
        let answer = self.sql(&sql).await.unwrap_or_else(|error| panic!("{}: {error}\n{sql}", query.name));
        let promised: Vec<&str> = query.columns.iter().map(|column| column.name.as_str()).collect();
        let schema = answer.schema();
        let given: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
        assert_eq!(given, promised, "{}: columns are those of its comment, in order", query.name);
        answer
    }

    fn declared(&mut self, place: Place, signal: &str, sensor: Option<Name>) -> SeriesId {
        let cooling_loop = place.cooling_loop.clone();
        let partition = PartitionKey::of(&place);
        let identity = SeriesIdentity::new(place, signal.into(), sensor);
        let next = SeriesId(self.series.len() as u32);
        *self.series.entry(identity.clone()).or_insert_with(|| {
            let declaration = SeriesDeclaration {
                partition,
                id: next,
                identity,
                cooling_loop,
                declared: true,
                unit: "".into(),
                source: "file".into(),
                source_name: "".into(),
                source_unit: "".into(),
                temporality: Temporality::Gauge,
                feed: Feed::Unsaid,
                labels: std::sync::Arc::default(),
            };
            self.history.declare(PartitionId::FIRST, &Arc::new(declaration));
            next
        })
    }
}

async fn rows(answer: Result<QueryResult, QueryError>) -> Result<RecordBatch, String> {
    let answer = answer.map_err(|error| error.to_string())?;
    let schema = answer.schema.clone();
    let batches = answer.collect().await.map_err(|error| error.to_string())?;
    concat_batches(&schema, &batches).map_err(|error| error.to_string())
}
