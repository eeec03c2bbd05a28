//! What the history promises, checked on whole histories in memory and in folders.

mod commit; // every row once, whatever fails when
mod cut; // one consistent view
mod maintain; // merging, retention
mod query; // read-only SQL, limits, formats, views
mod refusal; // stores that cannot be used
mod upgrade; // stores of versions before this one

use std::sync::Arc;

use arrow::array::AsArray;
use arrow::datatypes::{Float64Type, Int64Type};
use telemetry::place::{PartitionKey, Place, SeriesIdentity};
use telemetry::record::{
    Fate, Feed, Flag, PartitionId, SampleBatch, Sequence, SeriesDeclaration, SeriesId, Temporality,
};
use telemetry::table::{Block, Cell, Row, Table};
use telemetry::{EventTime, Labels, Microseconds, Name};

use crate::{History, HistorySettings};

/// 2026-01-05T10:00:00Z.
const START: EventTime = EventTime::from_unix_micros(1_767_607_200_000_000);

fn at(seconds: i64) -> EventTime {
    START + Microseconds::from_seconds(seconds)
}

/// Series `id` is the supply temperature of rack `r{id}`.
fn declaration(id: u32) -> SeriesDeclaration {
    let site: Name = "s1".into();
    let rack: Name = format!("r{id}").into();
    SeriesDeclaration {
        partition: PartitionKey::Rack { site: site.clone(), name: rack.clone() },
        id: SeriesId(id),
        identity: SeriesIdentity::new(
            Place::of_rack(&site, None, &rack),
            "coolant_supply_temperature".into(),
            None,
        ),
        cooling_loop: Some("cdu1".into()),
        declared: true,
        unit: "Cel".into(),
        source: "file".into(),
        source_name: "supply".into(),
        source_unit: "degC".into(),
        temporality: Temporality::Gauge,
        feed: Feed::Unsaid,
        labels: Arc::new(Labels::from([("vendor".into(), "acme".into())])),
    }
}

/// One reading of each series from 0 to `series`, at this second.
fn readings(series: u32, second: i64) -> SampleBatch {
    SampleBatch {
        series: (0..series).map(SeriesId).collect(),
        time: vec![at(second); series as usize],
        value: (0..series).map(|id| f64::from(id) + second as f64 / 1_000.0).collect(),
        flag: Vec::new(),
    }
}

async fn open(store: &str) -> History {
    let history = History::open(store, HistorySettings::default()).await.unwrap();
    declare(&history, 8);
    history
}

fn declare(history: &History, series: u32) {
    for id in 0..series {
        history.declare(PartitionId::FIRST, &Arc::new(declaration(id)));
    }
}

/// What record `sequence` adds: eight readings, a block and an event.
fn append(history: &History, sequence: Sequence) {
    let second = sequence as i64;
    let batch = readings(8, second);
    history.append_samples(sequence, PartitionId::FIRST, &batch, &[Fate::Stored(Flag::Ok); 8]);
    history.append_block(
        sequence,
        &Block {
            partition: PartitionId::FIRST,
            series: SeriesId(0),
            time: at(second),
            mean: 1.0,
            minimum: 0.5,
            maximum: 1.5,
            last: 1.25,
            known: Microseconds::from_seconds(60),
            count: 6,
        },
    );
    history.append_row(sequence, event(second));
}

fn event(second: i64) -> Row {
    let text = |text: &str| Cell::Text(text.into());
    let cells = vec![
        text("s1"),
        Cell::Null,
        text("r1"),
        Cell::Null,
        Cell::Null,
        Cell::Time(at(second)),
        text("pod"),
        text(""),
        text("train-7"),
        text("kubernetes"),
    ];
    Row { table: Table::Events, cells }
}

/// The only number of a query's only row.
async fn number(history: &History, sql: &str) -> f64 {
    let batches = history.query_engine().sql(sql, &[]).await.unwrap().collect().await.unwrap();
    let batches: Vec<_> = batches.into_iter().filter(|batch| batch.num_rows() > 0).collect();
    assert_eq!(batches.iter().map(|batch| batch.num_rows()).sum::<usize>(), 1, "{sql}");
    let column = batches[0].column(0);
    match column.as_primitive_opt::<Int64Type>() {
        Some(integers) => integers.value(0) as f64,
        None => column.as_primitive::<Float64Type>().value(0),
    }
}

/// Rows of samples, blocks and events, and different positions in the log among the samples.
async fn counts(history: &History) -> [f64; 4] {
    [
        number(history, "SELECT count(*) FROM samples").await,
        number(history, "SELECT count(*) FROM blocks").await,
        number(history, "SELECT count(*) FROM events").await,
        number(history, "SELECT count(DISTINCT (seq, rack)) FROM samples").await,
    ]
}

/// What `counts` gives after records 1 to `last`, each seen once.
fn all_once(last: Sequence) -> [f64; 4] {
    let last = last as f64;
    [8.0 * last, last, last, 8.0 * last]
}

fn folder() -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store").to_str().unwrap().to_owned();
    (folder, path)
}

fn shared<T>(value: T) -> Arc<T> {
    Arc::new(value)
}
