//! A table as DataFusion sees it: the files of a cut and the memory beside them, in one scan.

use std::fmt;
use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::error::ArrowError;
use async_trait::async_trait;
use datafusion::catalog::{SchemaProvider, Session, TableProvider};
use datafusion::common::{DFSchema, Result};
use datafusion::datasource::{TableType, ViewTable};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::utils::conjunction;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::{PartitionStream, StreamingTableExec};
use datafusion::physical_plan::union::UnionExec;
use deltalake_core::delta_datafusion::{DeltaScanConfig, DeltaScanNext};
use telemetry::table::Table;

use super::engine::QueryEngine;
use super::repeats;
use super::views::VIEWS;
use crate::History;
use crate::cut::Cut;
use crate::memory::plain;
use crate::memory::series::Ranking;
use crate::memory::sorted::{SortedRows, text_of_series};
use crate::schema::arrow_schema;

/// `samples` with the readings that came again after they were judged; not listed.
const AS_STORED: &str = "samples_as_stored";

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
        match &self.source {
            Source::Fixed(cut) => cut.clone(),
            Source::Newest => Arc::new(self.engine.history().cut()),
        }
    }
}

struct CutTable {
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
        arrow_schema(self.table)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    // Files are skipped and rows dropped as well as the scan can; the filter above it decides.
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
        let cut = match &self.source {
            Source::Fixed(cut) => cut.clone(),
            Source::Newest => Arc::new(self.history.cut()),
        };
        let schema = match projection {
            Some(columns) => Arc::new(self.schema().project(columns)?),
            None => self.schema(),
        };
        let snapshot = cut.version(self.table).snapshot.clone();
        let memory = self.memory(session, cut, schema, filters)?;
        let Some(snapshot) = snapshot else { return Ok(memory) };
        let mut config = DeltaScanConfig::new().with_wrap_partition_values(false).with_parquet_pushdown(true);
        config.schema_force_view_types = false;
        let files = DeltaScanNext::new(snapshot, config)?.scan(session, projection, filters, None).await?;
        UnionExec::try_new(vec![files, memory])
    }
}

impl CutTable {
    fn memory(
        &self,
        session: &dyn Session,
        cut: Arc<Cut>,
        schema: SchemaRef,
        filters: &[Expr],
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let ranking = self.history.series().ranking();
        let kept = match self.table {
            Table::Samples | Table::Blocks => series_kept(session, &ranking, filters)?,
            _ => None,
        };
        let shard = self.history.settings().shard;
        let part = MemoryPart { table: self.table, schema: schema.clone(), cut, ranking, kept, shard };
        Ok(Arc::new(StreamingTableExec::try_new(schema, vec![Arc::new(part)], None, [], false, None)?))
    }
}

/// Which series may have rows that pass the filters, by number; `None` when the filters do not say.
///
/// The filters that ask only for columns which are the same in all rows of a series are evaluated once a series.
fn series_kept(session: &dyn Session, ranking: &Ranking, filters: &[Expr]) -> Result<Option<Vec<bool>>> {
    let about_series =
        |filter: &&Expr| filter.column_refs().iter().all(|column| text_of_series(&column.name).is_some());
    let Some(filter) = conjunction(filters.iter().filter(about_series).cloned()) else { return Ok(None) };
    if filter.column_refs().is_empty() {
        return Ok(None);
    }
    let mut names: Vec<String> = filter.column_refs().iter().map(|column| column.name.clone()).collect();
    names.sort();
    names.dedup();
    let fields: Vec<Field> = names.iter().map(|name| Field::new(name, DataType::Utf8, true)).collect();
    let columns = names
        .iter()
        .map(|name| {
            let text = text_of_series(name).expect("only such columns were taken");
            let texts = ranking.series.iter().map(|series| text(series).map(|text| text.as_ref()));
            Arc::new(texts.collect::<StringArray>()) as ArrayRef
        })
        .collect();
    let schema = Arc::new(Schema::new(fields));
    let batch = RecordBatch::try_new(schema.clone(), columns)?;
    let filter = unqualified(filter)?;
    let planned = session.create_physical_expr(filter, &DFSchema::try_from(schema)?)?;
    let passed = planned.evaluate(&batch)?.into_array(batch.num_rows())?;
    let Some(passed) = passed.as_any().downcast_ref::<BooleanArray>() else { return Ok(None) };
    Ok(Some(passed.iter().map(|passed| passed == Some(true)).collect()))
}

fn unqualified(filter: Expr) -> Result<Expr> {
    use datafusion::common::Column;
    use datafusion::common::tree_node::{Transformed, TreeNode};
    let stripped = filter.transform(|expression| {
        Ok(match expression {
            Expr::Column(column) if column.relation.is_some() => {
                Transformed::yes(Expr::Column(Column::new_unqualified(column.name)))
            }
            other => Transformed::no(other),
        })
    })?;
    Ok(stripped.data)
}

/// The memory of one table of a cut; becomes columns while it is read.
struct MemoryPart {
    table: Table,
    schema: SchemaRef,
    cut: Arc<Cut>,
    ranking: Arc<Ranking>,
    kept: Option<Vec<bool>>,
    shard: u32,
}

impl fmt::Debug for MemoryPart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "memory of {}", self.table.name())
    }
}

type Batches = Box<dyn Iterator<Item = Result<RecordBatch, ArrowError>> + Send>;

impl MemoryPart {
    fn batches(&self) -> Batches {
        let after = self.cut.version(self.table).transaction;
        let (ranking, schema) = (self.ranking.clone(), self.schema.clone());
        let kept = self.kept.as_deref();
        match self.table {
            Table::Samples => {
                let sorted = SortedRows::new(&self.cut.samples(), ranking, self.shard, after, kept);
                Box::new(sorted.batches(schema, BATCH_ROWS))
            }
            Table::Blocks => {
                let sorted = SortedRows::new(&self.cut.blocks(), ranking, self.shard, after, kept);
                Box::new(sorted.batches(schema, BATCH_ROWS))
            }
            table => {
                let (rows, shard) = (self.cut.plain(table), self.shard);
                let mut start = 0;
                Box::new(std::iter::from_fn(move || {
                    let end = rows.len().min(start + BATCH_ROWS);
                    let batch = (start < end).then(|| plain::batch(table, shard, &rows[start..end], &schema));
                    start = end;
                    batch
                }))
            }
        }
    }
}

impl PartitionStream for MemoryPart {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, _: Arc<TaskContext>) -> SendableRecordBatchStream {
        let batches = futures::stream::iter(self.batches().map(|batch| batch.map_err(Into::into)));
        Box::pin(RecordBatchStreamAdapter::new(self.schema.clone(), batches))
    }
}
