//! How long a commit takes after thousands of them: `cargo bench -p history --bench commits`.
//!
//! Each commit brings a minute of a small site (64 series at 1 Hz, a block each) into a folder; maintenance runs once
//! an hour of event time, as in a running service. Printed are medians of sixty commits at a time, in ms: one takes the
//! longer the more there were since the last checkpoint, which comes with each fiftieth.

use std::sync::Arc;
use std::time::Instant;

use history::{Budget, History, HistorySettings, MaintenanceReport};
use telemetry::place::{PartitionKey, Place, SeriesIdentity};
use telemetry::record::{
    Fate, Feed, Flag, PartitionId, SampleBatch, SeriesDeclaration, SeriesId, Temporality,
};
use telemetry::table::Block;
use telemetry::{EventTime, Microseconds, Name};

const SERIES: u32 = 64;
const COMMITS: u64 = 3_000;
/// Flushes come once a minute, maintenance once an hour; the median is of those between two rounds of it.
const MAINTENANCE_EVERY: u64 = 60;
/// 2026-01-05T00:00:00Z.
const START: EventTime = EventTime::from_unix_micros(1_767_571_200_000_000);

fn declaration(id: u32) -> SeriesDeclaration {
    let site: Name = "s1".into();
    let rack: Name = format!("r{id}").into();
    SeriesDeclaration {
        partition: PartitionKey::Rack { site: site.clone(), name: rack.clone() },
        id: SeriesId(id),
        identity: SeriesIdentity::new(Place::of_rack(&site, None, &rack), "coolant_flow".into(), None),
        cooling_loop: None,
        declared: true,
        unit: "L/min".into(),
        source: "file".into(),
        source_name: "flow".into(),
        source_unit: "L/min".into(),
        temporality: Temporality::Gauge,
        feed: Feed::Unsaid,
        labels: Arc::default(),
    }
}

/// A record a second, and a block of each series: the minute that `commit` brings.
fn append_minute(history: &History, commit: u64) {
    let first = (commit - 1) * 60;
    for second in first..first + 60 {
        let batch = SampleBatch {
            series: (0..SERIES).map(SeriesId).collect(),
            time: vec![START + Microseconds::from_seconds(second as i64); SERIES as usize],
            value: (0..SERIES).map(|id| f64::from(id) + (second % 7) as f64 / 10.0).collect(),
            flag: Vec::new(),
        };
        let fates = vec![Fate::Stored(Flag::Ok); SERIES as usize];
        history.append_samples(second + 1, PartitionId::FIRST, &batch, &fates);
    }
    for id in 0..SERIES {
        let block = Block {
            partition: PartitionId::FIRST,
            series: SeriesId(id),
            time: START + Microseconds::from_seconds(first as i64),
            mean: f64::from(id),
            minimum: f64::from(id),
            maximum: f64::from(id) + 0.6,
            last: f64::from(id),
            known: Microseconds::from_seconds(60),
            count: 60,
        };
        history.append_block(first + 60, &block);
    }
}

#[tokio::main]
async fn main() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = folder.path().join("store");
    let store = store.to_str().expect("a path in UTF-8");
    let history = History::open(store, HistorySettings::default()).await.expect("a new store opens");
    for id in 0..SERIES {
        history.declare(PartitionId::FIRST, &Arc::new(declaration(id)));
    }
    let mut times = Vec::new();
    let mut maintained = Vec::new();
    for commit in 1..=COMMITS {
        append_minute(&history, commit);
        let frozen = history.freeze(commit * 60);
        let started = Instant::now();
        history.commit(&frozen).await.expect("a folder takes a commit");
        times.push(started.elapsed().as_secs_f64() * 1e3);
        if commit % MAINTENANCE_EVERY == 0 {
            let started = Instant::now();
            let now = START + Microseconds::from_seconds(60 * commit as i64);
            history
                .maintain(now, Budget::default(), &mut MaintenanceReport::default())
                .await
                .expect("a folder is maintained");
            maintained.push(started.elapsed().as_secs_f64() * 1e3);
        }
        if [60, 300, 1_020, 2_040, 3_000].contains(&commit) {
            let first = commit - MAINTENANCE_EVERY;
            println!(
                "commits {:>4} to {commit:>4}: {:5.1} ms each",
                first + 1,
                median(&times[first as usize..])
            );
        }
    }
    println!("{} rounds of maintenance: {:.0} ms each", maintained.len(), median(&maintained));
}

fn median(times: &[f64]) -> f64 {
    let mut times = times.to_vec();
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}
