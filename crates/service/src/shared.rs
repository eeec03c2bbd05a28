//! What the servers share.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use history::query::{NamedQuery, QueryEngine, QueryError};
use telemetry::facts::{Ambient, SustainablePower};

use crate::gates::Gates;
use crate::lookup::Lookup;
use crate::metrics::Id;
use crate::pipeline::Pipeline;
use crate::pipeline::control::Control;
use crate::question::Question;

/// Everything that a server needs to answer.
pub struct Shared {
    /// Telemetry in, facts out.
    pub pipeline: Arc<Pipeline>,
    /// Runs, maintenance, overrides.
    pub control: Arc<Control>,
    /// Verdicts.
    pub gates: Arc<Gates>,
    /// What the history remembers.
    pub lookup: Lookup,
    /// SQL.
    pub queries: QueryEngine,
    /// False from the first moment of the end on.
    pub ready: AtomicBool,
}

impl Shared {
    /// Whether requests are taken.
    pub fn is_ready(&self) -> bool {
        self.ready.load(Ordering::Relaxed)
    }

    /// Answers a question in SQL as an Arrow IPC stream.
    ///
    /// # Errors
    /// The caller's: SQL that is refused or wrong, or a limit that is reached.
    pub async fn ask(&self, question: &Question) -> Result<Vec<u8>, QueryError> {
        let answered = ask(&self.queries, question, self.pipeline.board.progress().watermark).await;
        self.note_query(answered.is_ok());
        answered.map(|answer| answer.to_ipc())
    }

    /// Counts a query that came to its end, or was refused or ended by a limit.
    pub fn note_query(&self, well: bool) {
        self.pipeline.metrics.add(Id::Queries, &[if well { "ok" } else { "refused" }], 1);
    }

    /// Sets the gauges that are only looked at.
    pub fn refresh_metrics(&self) {
        let metrics = &self.pipeline.metrics;
        let progress = self.pipeline.board.progress();
        if let (Some(tick), Some(watermark)) = (progress.tick, progress.watermark) {
            metrics.set(Id::WatermarkLag, &[], (tick - watermark).get() / 1_000_000);
        }
        let racks = self.pipeline.board.racks();
        metrics.set(Id::Racks, &[], racks.len() as i64);
        let known = racks.iter().filter_map(|facts| facts.place.rack.as_ref().zip(facts.headroom.as_ref()));
        for (rack, headroom) in known {
            for ambient in Ambient::ALL {
                for limit in headroom.at(ambient) {
                    let labels = [&**rack, ambient.name(), limit.constraint.name()];
                    match &limit.power {
                        SustainablePower::Known(power) => {
                            metrics.set(Id::RackSustainablePower, &labels, power.watts())
                        }
                        SustainablePower::Unknown { .. } | SustainablePower::NotApplicable { .. } => {
                            metrics.remove(Id::RackSustainablePower, &labels);
                        }
                    }
                }
            }
        }
        metrics.set(
            Id::HistoryMemory,
            &[],
            i64::try_from(self.pipeline.history.memory_bytes()).unwrap_or(i64::MAX),
        );
        if let Some(alerts) = self.pipeline.tell.alerts() {
            for peer in alerts.metrics() {
                metrics.set(Id::AlertQueue, &[&peer.peer], peer.queued as i64);
                metrics.set(Id::AlertSent, &[&peer.peer], peer.sent as i64);
                metrics.set(Id::AlertFailed, &[&peer.peer], peer.failed as i64);
                metrics.set(Id::AlertRefused, &[&peer.peer], peer.refused as i64);
            }
        }
    }
}

/// Rows of an answer with their schema.
pub struct Answer {
    /// The columns.
    pub schema: arrow::datatypes::SchemaRef,
    /// The rows.
    pub batches: Vec<arrow::array::RecordBatch>,
}

impl Answer {
    /// As an Arrow IPC stream.
    ///
    /// # Panics
    /// Never: a `Vec` takes every byte, and the batches have the schema.
    pub fn to_ipc(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut writer = arrow::ipc::writer::StreamWriter::try_new(&mut bytes, &self.schema)
            .expect("a Vec takes every byte");
        for batch in &self.batches {
            writer.write(batch).expect("the batches have the schema");
        }
        writer.finish().expect("a Vec takes every byte");
        drop(writer);
        bytes
    }
}

/// Asks a query engine, with `now` for named queries.
///
/// # Errors
/// The caller's: SQL that is refused or wrong, or a limit that is reached.
pub async fn ask(
    queries: &QueryEngine,
    question: &Question,
    now: Option<telemetry::EventTime>,
) -> Result<Answer, QueryError> {
    let engine = match now {
        Some(now) => queries.clone().with_now(now),
        None => queries.clone(),
    };
    let sql = match (&question.sql, &question.query) {
        (Some(sql), None) => sql.clone(),
        (None, Some(name)) => NamedQuery::find(name)
            .and_then(|query| query.bind(&question.parameters))
            .map_err(|error| QueryError::Statement(error.to_string()))?,
        (Some(_), Some(_)) | (None, None) => {
            return Err(QueryError::Statement("give either `sql` or `query`".to_owned()));
        }
    };
    let result = engine.sql(&sql, &[]).await?;
    let schema = result.schema.clone();
    Ok(Answer { schema, batches: result.collect().await? })
}
