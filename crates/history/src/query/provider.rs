//! A table as DataFusion sees it: the files of a cut and the memory beside them, in one scan.

use std::fmt;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringViewArray};
use arrow::datatypes::{Schema, SchemaRef};
use arrow::error::ArrowError;
use async_trait::async_trait;
use datafusion::catalog::{SchemaProvider, Session, TableProvider};
use datafusion::common::Result;
use datafusion::datasource::{TableType, ViewTable};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::{PartitionStream, StreamingTableExec};
use datafusion::physical_plan::union::UnionExec;
use telemetry::table::Table;

use super::asked::Asked;
use super::engine::QueryEngine;
use super::files::{self, key_order};
use super::views::VIEWS;
use super::{repeats, texts};
use crate::History;
use crate::cut::Cut;
use crate::memory::plain;
use crate::memory::series::Ranking;
use crate::memory::sorted::{SortedRows, text_of_series};
use crate::schema::{arrow_schema, viewed};

/// `samples` with the readings that came again after they were judged; not listed.
pub const AS_STORED: &str = "samples_as_stored";

/// Rows of a batch from memory: what one step of a query handles at once.
const BATCH_ROWS: usize = 8_192;

/// Which rows a scan sees.
#[derive(Clone)]
pub enum Source {
    /// Those of one cut: for a query that is planned and run once.
    Fixed(Arc<Cut>),
    /// Those of a cut taken at each scan: for sessions that keep plans, such as prepared statements.
    Newest,
}

/// All tables and views under their names.
#[derive(Clone)]
pub struct Tables {
    pub engine: QueryEngine,
    pub source: Source,
}

impl fmt::Debug for Tables {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tables")
    }
}

#[async_trait]
impl SchemaProvider for Tables {
    fn table_names(&self) -> Vec<String> {
        let tables = Table::ALL.iter().map(|table| table.name());
        tables.chain(VIEWS.iter().map(|view| view.name)).map(str::to_owned).collect()
    }

    async fn table(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>> {
        if name == Table::Samples.name() && repeats::are_possible(&self.cut()) {
            return Ok(Some(Arc::new(self.view(&repeats::without(name, AS_STORED)).await?)));
        }
        if let Some(table) = Table::named(name).or_else(|| (name == AS_STORED).then_some(Table::Samples)) {
            let history = self.engine.history().clone();
            return Ok(Some(Arc::new(CutTable { table, history, source: self.source.clone() })));
        }
        let Some(view) = VIEWS.iter().find(|view| view.name == name) else { return Ok(None) };
        Ok(Some(Arc::new(self.view(view.sql).await?)))
    }

    fn table_exist(&self, name: &str) -> bool {
        Table::named(name).is_some() || name == AS_STORED || VIEWS.iter().any(|view| view.name == name)
    }
}

impl Tables {
    async fn view(&self, sql: &str) -> Result<ViewTable> {
        let plan = self.engine.state(self.source.clone()).create_logical_plan(sql).await?;
        Ok(ViewTable::new(plan, Some(sql.to_owned())))
    }

    fn cut(&self) -> Arc<Cut> {
        self.source.cut(self.engine.history())
    }
}

impl Source {
    fn cut(&self, history: &History) -> Arc<Cut> {
        match self {
            Self::Fixed(cut) => cut.clone(),
            Self::Newest => Arc::new(history.cut()),
        }
    }
}

/// One table.
pub struct CutTable {
    table: Table,
    history: History,
    source: Source,
}

impl fmt::Debug for CutTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CutTable({})", self.table.name())
    }
}

#[async_trait]
impl TableProvider for CutTable {
    fn schema(&self) -> SchemaRef {
        viewed(&arrow_schema(self.table))
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    // Files, their pages and rows of memory are skipped as well as the scan can; the filter above it decides.
    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        Ok(vec![TableProviderFilterPushDown::Inexact; filters.len()])
    }

    // The limit is not passed on: rows that the filter above drops would count.
    async fn scan(
        &self,
        session: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        _limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let cut = self.source.cut(&self.history);
        let snapshot = cut.version(self.table).snapshot.clone();
        let memory = self.memory(session, cut, projection, filters)?;
        let Some(snapshot) = snapshot else { return Ok(memory) };
        let store = (&*snapshot, self.history.location());
        let files = files::scan(session, self.table, &self.schema(), store, projection, filters)?;
        match files {
            Some(files) => UnionExec::try_new(vec![files, memory]),
            None => Ok(memory),
        }
    }
}

impl CutTable {
    /// The same table, seen through another source.
    pub fn over(&self, source: Source) -> Self {
        Self { table: self.table, history: self.history.clone(), source }
    }

    /// How many rows it has about: some of those in memory may be in files too.
    pub fn rows(&self) -> usize {
        let cut = self.source.cut(&self.history);
        let snapshot = &cut.version(self.table).snapshot;
        let in_files = snapshot.as_ref().map_or(0, |snapshot| files::rows(snapshot));
        in_files.saturating_add(cut.rows_in_memory(self.table))
    }

    fn memory(
        &self,
        session: &dyn Session,
        cut: Arc<Cut>,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let all = arrow_schema(self.table);
        let stored = match projection {
            Some(columns) => Arc::new(all.project(columns)?),
            None => all,
        };
        let schema = viewed(&stored);
        let (rows, order) = match self.table {
            Table::Samples | Table::Blocks => {
                let ranking = self.history.series().ranking();
                let kept = series_kept(session, &ranking, filters)?;
                (Rows::OfSeries { ranking, kept }, key_order(self.table, &schema)?)
            }
            _ => (Rows::Plain(Asked::new(session, &self.schema(), filters)?), None),
        };
        let shard = self.history.settings().shard;
        let part = MemoryPart { table: self.table, stored, schema: schema.clone(), cut, rows, shard };
        Ok(Arc::new(StreamingTableExec::try_new(schema, vec![Arc::new(part)], None, order, false, None)?))
    }
}

/// Which series may have rows that pass the filters, by number; `None` when the filters do not say.
///
/// The filters that ask only for columns which are the same in all rows of a series are evaluated once a series.
fn series_kept(session: &dyn Session, ranking: &Ranking, filters: &[Expr]) -> Result<Option<Vec<bool>>> {
    let columns = viewed(&arrow_schema(Table::Samples));
    let of_series = columns.fields().iter().filter(|field| text_of_series(field.name()).is_some());
    let Some(asked) = Asked::new(session, &Schema::new(of_series.cloned().collect::<Vec<_>>()), filters)?
    else {
        return Ok(None);
    };
    let columns = asked.schema.fields().iter().map(|field| {
        let text = text_of_series(field.name()).expect("only such columns were taken");
        let texts = ranking.series.iter().map(|series| text(series).map(|text| text.as_ref()));
        Arc::new(texts.collect::<StringViewArray>()) as ArrayRef
    });
    let batch = RecordBatch::try_new(asked.schema.clone(), columns.collect())?;
    // What cannot be evaluated fails above, if a row comes as far.
    let passed = asked.passed(&batch).ok().flatten();
    Ok(passed.map(|passed| passed.iter().map(|passed| passed == Some(true)).collect()))
}

/// The memory of one table of a cut; becomes columns while it is read.
struct MemoryPart {
    table: Table,
    /// The columns as files have them.
    stored: SchemaRef,
    /// The same within queries.
    schema: SchemaRef,
    cut: Arc<Cut>,
    rows: Rows,
    shard: u32,
}

/// Which of its rows.
enum Rows {
    /// Those of the series that are kept, by number; of all when nothing is said.
    OfSeries { ranking: Arc<Ranking>, kept: Option<Vec<bool>> },
    /// Those that pass what is asked.
    Plain(Option<Asked>),
}

impl fmt::Debug for MemoryPart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "memory of {}", self.table.name())
    }
}

type Batches = Box<dyn Iterator<Item = Result<RecordBatch, ArrowError>> + Send>;

impl MemoryPart {
    fn batches(&self) -> Batches {
        match &self.rows {
            Rows::OfSeries { ranking, kept } => self.of_series(ranking, kept.as_deref()),
            Rows::Plain(asked) => self.plain(asked.clone()),
        }
    }

    fn of_series(&self, ranking: &Arc<Ranking>, kept: Option<&[bool]>) -> Batches {
        let after = self.cut.version(self.table).transaction;
        let (ranking, schema) = (ranking.clone(), self.stored.clone());
        match self.table {
            Table::Blocks => {
                let sorted = SortedRows::new(&self.cut.blocks(), ranking, self.shard, after, kept);
                Box::new(sorted.batches(schema, BATCH_ROWS))
            }
            _ => {
                let sorted = SortedRows::new(&self.cut.samples(), ranking, self.shard, after, kept);
                Box::new(sorted.batches(schema, BATCH_ROWS))
            }
        }
    }

    /// Rows are asked before they become columns: most columns are texts, and one rack of a thousand is wanted.
    fn plain(&self, asked: Option<Asked>) -> Batches {
        let (table, shard, schema) = (self.table, self.shard, self.stored.clone());
        let rows = self.cut.plain(table);
        let mut start = 0;
        Box::new(std::iter::from_fn(move || {
            let end = rows.len().min(start + BATCH_ROWS);
            let coming = &rows[start..end];
            start = end;
            (!coming.is_empty()).then(|| {
                let Some(asked) = &asked else { return plain::batch(table, shard, coming, &schema) };
                let columns = plain::batch(table, shard, coming, &texts::plain(&asked.schema))?;
                let passed = asked.passed(&texts::cast_to(&asked.schema, &columns)?);
                let Ok(Some(passed)) = passed else { return plain::batch(table, shard, coming, &schema) };
                let passed = coming.iter().zip(passed.iter()).filter(|(_, passed)| *passed == Some(true));
                let passed: Vec<_> = passed.map(|(row, _)| row.clone()).collect();
                plain::batch(table, shard, &passed, &schema)
            })
        }))
    }
}

impl PartitionStream for MemoryPart {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, _: Arc<TaskContext>) -> SendableRecordBatchStream {
        let schema = self.schema.clone();
        let batches = self.batches().map(move |batch| Ok(texts::cast_to(&schema, &batch?)?));
        let batches = futures::stream::iter(batches);
        Box::pin(RecordBatchStreamAdapter::new(self.schema.clone(), batches))
    }
}
