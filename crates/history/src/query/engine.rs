//! Planning and running queries within limits.

use std::sync::Arc;
use std::time::Duration;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, SchemaRef};
use datafusion::catalog::{
    CatalogProvider, CatalogProviderList, MemoryCatalogProvider, MemoryCatalogProviderList,
};
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::common::{ParamValues, ScalarValue};
use datafusion::error::DataFusionError;
use datafusion::execution::context::SQLOptions;
use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::memory_pool::FairSpillPool;
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use datafusion::execution::{SendableRecordBatchStream, SessionState, SessionStateBuilder};
use datafusion::logical_expr::LogicalPlan;
use datafusion::logical_expr::execution_props::ExecutionProps;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::coop::CooperativeExec;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{ExecutionPlan, execute_stream};
use datafusion::prelude::{SessionConfig, SessionContext};
use futures::{Stream, StreamExt, TryStreamExt};
use telemetry::EventTime;
use telemetry::table::Table;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::QueryError;
use super::cores;
use super::damage::Files;
use super::functions;
use super::neighbours::ByNeighbours;
use super::plans::{Open, Plans};
use super::provider::{Source, Tables};
use super::stretches::ByStretches;
use super::texts;
use super::views::VIEWS;
use crate::History;
use crate::cut::Cut;
use crate::schema::{ADDED_COLUMNS, arrow_schema};

/// What one query may take. Full means a clear refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Rows of one result.
    pub rows_max: usize,
    /// Time of one query, s.
    pub seconds_max: u64,
    /// Memory of all queries together, bytes.
    pub memory_bytes_max: usize,
    /// Queries that run at the same time.
    pub concurrency_max: usize,
    /// Rows in the tables of a query that one core answers by itself.
    pub one_core_rows_max: usize,
}

impl Default for Limits {
    /// A million rows, 60 s, 512 MiB, 8 queries; one core reads 65,536 rows in some milliseconds.
    fn default() -> Self {
        Self {
            rows_max: 1_000_000,
            seconds_max: 60,
            memory_bytes_max: 512 << 20,
            concurrency_max: 8,
            one_core_rows_max: 65_536,
        }
    }
}

/// Answers SQL about one history. Clones share memory and the number of queries.
#[derive(Clone)]
pub struct QueryEngine {
    history: History,
    runtime: Arc<RuntimeEnv>,
    running: Arc<Semaphore>,
    limits: Limits,
    /// What `now()` is, where it is not the history's watermark.
    now: Option<EventTime>,
    /// Settings, rules and functions, without tables: making them anew for each query and view took longer than a small
    /// query does.
    without_tables: Arc<SessionState>,
    plans: Plans,
}

/// How long a query waits for its turn while as many run as may.
const TURN: Duration = Duration::from_secs(5);

/// The catalog that tables and views are in, in the schema `public`: what tools show as the database.
pub const CATALOG: &str = "thermogate";
/// That schema.
const SCHEMA: &str = "public";

/// A query that is planned, with the rows it will see.
#[derive(Clone)]
pub struct Prepared {
    engine: QueryEngine,
    state: SessionState,
    plan: LogicalPlan,
}

/// Rows as they come.
pub struct QueryResult {
    /// The result's columns.
    pub schema: SchemaRef,
    stream: SendableRecordBatchStream,
    memory_bytes_max: usize,
}

/// A table or view that can be asked.
#[derive(Debug, Clone)]
pub struct TableDescription {
    /// Its name.
    pub name: &'static str,
    /// What a view shows; `None` for a table.
    pub view: Option<&'static str>,
    /// A table's columns; those of a view are found with `DESCRIBE`.
    pub columns: Vec<ColumnDescription>,
}

/// A column.
#[derive(Debug, Clone)]
pub struct ColumnDescription {
    /// Its name.
    pub name: &'static str,
    /// Its type in Arrow.
    pub kind: String,
    /// What it means, with its unit.
    pub meaning: &'static str,
}

impl QueryEngine {
    pub(crate) fn new(history: History, limits: Limits) -> Self {
        let disk = DiskManagerBuilder::default().with_mode(DiskManagerMode::Disabled);
        let runtime = RuntimeEnvBuilder::new()
            .with_memory_pool(Arc::new(FairSpillPool::new(limits.memory_bytes_max)))
            .with_disk_manager_builder(disk)
            .build_arc()
            .expect("a runtime without files needs nothing that could be missing");
        history.location().register(&runtime);
        let running = Arc::new(Semaphore::new(limits.concurrency_max));
        let without_tables = Arc::new(without_tables(&runtime));
        Self { history, runtime, running, limits, now: None, without_tables, plans: Plans::new() }
    }

    /// The same with another `now()`: for recorded data, and for questions about the past.
    pub fn with_now(self, now: EventTime) -> Self {
        Self { now: Some(now), ..self }
    }

    /// The same for questions of the service itself, such as a gate's about earlier runs: they share the memory with
    /// people's queries, and wait for none of them. Their plans are kept apart too, for each is about another run.
    pub fn apart(&self) -> Self {
        let running = Arc::new(Semaphore::new(self.limits.concurrency_max));
        Self { running, plans: Plans::new(), ..self.clone() }
    }

    /// What `now()` means: as told, else the history's watermark.
    pub fn now(&self) -> EventTime {
        self.now.unwrap_or_else(|| self.history.now())
    }

    /// The limits.
    pub fn limits(&self) -> Limits {
        self.limits
    }

    /// Plans and runs a query, or runs it once more as it was planned before.
    ///
    /// - `parameters`: values of `$name` in the text.
    ///
    /// # Errors
    /// [`QueryError`]; once rows come, their stream can fail too.
    pub async fn sql(
        &self,
        text: &str,
        parameters: &[(&str, ScalarValue)],
    ) -> Result<QueryResult, QueryError> {
        let turn = self.turn().await?;
        let cut = Arc::new(self.history.cut());
        let open = if parameters.is_empty() { self.open(text, &cut).await? } else { None };
        let Some(open) = open else {
            let Prepared { state, plan, .. } = self.prepare(text, parameters).await?;
            return self.run_in(turn, state, plan).await;
        };
        let source = Source::Fixed(cut);
        let state = self.begun(self.state(source.clone()));
        let plan = open.over(&source, &state).map_err(|error| self.failed(error))?;
        self.execute(turn, state, plan).await
    }

    /// The plan of a query for whenever it is asked, as it was kept or now made; `None` when there is none such, as where
    /// `now()` says how many rows there are: whoever plans the query for this time alone is told why.
    pub(super) async fn open(&self, text: &str, cut: &Arc<Cut>) -> Result<Option<Arc<Open>>, QueryError> {
        if let Some(kept) = self.plans.get(text, cut) {
            return Ok(Some(kept));
        }
        let state = self.state(Source::Fixed(cut.clone()));
        let Ok(plan) = state.create_logical_plan(text).await else { return Ok(None) };
        refuse_changes(&plan)?;
        if !Open::can_be_of(&plan) {
            return Ok(None);
        }
        let Ok(open) = state.optimize(&plan).and_then(Open::of) else { return Ok(None) };
        let open = Arc::new(open);
        self.plans.put(text, open.clone());
        Ok(Some(open))
    }

    /// Plans a query, and fixes the rows that it will see and its `now()`.
    ///
    /// # Errors
    /// [`QueryError::Statement`], [`QueryError::NotReadOnly`].
    pub async fn prepare(
        &self,
        text: &str,
        parameters: &[(&str, ScalarValue)],
    ) -> Result<Prepared, QueryError> {
        let state = self.begun(self.state(Source::Fixed(Arc::new(self.history.cut()))));
        let plan = state.create_logical_plan(text).await.map_err(QueryError::of_plan)?;
        refuse_changes(&plan)?;
        let prepared = Prepared { engine: self.clone(), state, plan };
        if parameters.is_empty() {
            return Ok(prepared);
        }
        let values = parameters.iter().map(|(name, value)| ((*name).to_owned(), value.clone().into()));
        prepared.bind(ParamValues::Map(values.collect()))
    }

    /// A session for servers that plan by themselves. Such a server must refuse what is not read-only by itself, see
    /// [`refuse_changes`], and run what it has planned in a session of [`QueryEngine::at_one_cut`] with
    /// [`QueryEngine::run`]. In this one each scan sees the newest rows, and `now()` is this machine's clock.
    pub fn session(&self) -> SessionContext {
        SessionContext::new_with_state(self.state(Source::Newest))
    }

    /// The same session over the rows of one cut, taken now, and with the `now()` of this moment: for the one query that is
    /// planned with it.
    ///
    /// # Errors
    /// Never for sessions that [`QueryEngine::session`] made.
    pub fn at_one_cut(&self, session: &SessionState) -> Result<SessionState, QueryError> {
        let failed = |error: DataFusionError| QueryError::Failed(Box::new(error));
        let catalog = self.catalog(Source::Fixed(Arc::new(self.history.cut())));
        // What a server has added, such as the catalog tables that Postgres clients look into.
        if let Some(known) = session.catalog_list().catalog(CATALOG) {
            for name in known.schema_names().into_iter().filter(|name| name != SCHEMA) {
                if let Some(schema) = known.schema(&name) {
                    catalog.register_schema(&name, schema).map_err(failed)?;
                }
            }
        }
        Ok(self.begun(over(catalog, session)))
    }

    /// Runs a plan within the limits, in the session that it was made in.
    ///
    /// # Errors
    /// [`QueryError::TooManyQueries`], [`QueryError::TooSlow`], [`QueryError::OutOfMemory`], [`QueryError::Failed`].
    pub async fn run(&self, state: SessionState, plan: LogicalPlan) -> Result<QueryResult, QueryError> {
        let turn = self.turn().await?;
        self.run_in(turn, state, plan).await
    }

    async fn run_in(
        &self,
        turn: Turn,
        state: SessionState,
        plan: LogicalPlan,
    ) -> Result<QueryResult, QueryError> {
        let plan = state.optimize(&plan).map_err(|error| self.failed(error))?;
        self.execute(turn, state, plan).await
    }

    /// Runs a plan that is optimized.
    async fn execute(
        &self,
        Turn { permit, deadline }: Turn,
        state: SessionState,
        plan: LogicalPlan,
    ) -> Result<QueryResult, QueryError> {
        let limits = self.limits;
        let context = state.task_ctx();
        let planned = async {
            let state = cores::suited(state, &plan, limits.one_core_rows_max)?;
            state.query_planner().create_physical_plan(&plan, &state).await
        };
        let planned = tokio::time::timeout_at(deadline, planned)
            .await
            .map_err(|_| QueryError::TooSlow { seconds_max: limits.seconds_max })?
            .map_err(|error| self.failed(error))?;
        let files = Files::of(&planned, &self.runtime);
        let stream = execute_stream(planned, context).map_err(|error| self.failed(error))?;
        let schema = texts::plain(&stream.schema());
        let plain = schema.clone();
        let limited = within_limits(stream, files, limits, deadline, permit)
            .map(move |batch| Ok(texts::cast_to(&plain, &batch?)?));
        let stream = Box::pin(RecordBatchStreamAdapter::new(schema.clone(), limited));
        Ok(QueryResult { schema, stream, memory_bytes_max: limits.memory_bytes_max })
    }

    fn failed(&self, error: DataFusionError) -> QueryError {
        QueryError::of_run(error, self.limits.memory_bytes_max)
    }

    /// What can be asked.
    pub fn tables() -> Vec<TableDescription> {
        let tables = Table::ALL.iter().map(|table| {
            let schema = arrow_schema(*table);
            let own = table.columns().iter().map(|column| (column.name, column.meaning));
            let columns = own
                .chain(ADDED_COLUMNS)
                .zip(schema.fields())
                .map(|((name, meaning), field)| ColumnDescription {
                    name,
                    kind: field.data_type().to_string(),
                    meaning,
                })
                .collect();
            TableDescription { name: table.name(), view: None, columns }
        });
        let views = VIEWS.iter().map(|view| TableDescription {
            name: view.name,
            view: Some(view.meaning),
            columns: Vec::new(),
        });
        tables.chain(views).collect()
    }

    #[cfg(test)]
    pub(super) fn plans(&self) -> &Plans {
        &self.plans
    }

    pub(super) fn history(&self) -> &History {
        &self.history
    }

    /// A session over the tables in which `now()` is left open.
    pub(super) fn state(&self, source: Source) -> SessionState {
        over(self.catalog(source), &self.without_tables)
    }

    /// A session in which `now()` is said from here on.
    fn begun(&self, mut session: SessionState) -> SessionState {
        functions::begin_at(&mut session, self.now());
        session
    }

    /// The tables and views, seen through a source.
    fn catalog(&self, source: Source) -> Arc<MemoryCatalogProvider> {
        let catalog = MemoryCatalogProvider::new();
        let tables = Tables { engine: self.clone(), source };
        catalog.register_schema(SCHEMA, Arc::new(tables)).expect("a catalog in memory takes it");
        Arc::new(catalog)
    }

    // A dashboard asks twenty questions at once: they take turns, and only a queue that does not move is refused.
    async fn turn(&self) -> Result<Turn, QueryError> {
        let too_many = QueryError::TooManyQueries {
            concurrency_max: self.limits.concurrency_max,
            seconds: TURN.as_secs(),
        };
        let deadline = tokio::time::Instant::now() + Duration::from_secs(self.limits.seconds_max);
        match tokio::time::timeout(TURN, self.running.clone().acquire_owned()).await {
            Ok(Ok(permit)) => Ok(Turn { permit, deadline }),
            Ok(Err(_)) | Err(_) => Err(too_many),
        }
    }
}

/// What a query has while it runs.
struct Turn {
    permit: OwnedSemaphorePermit,
    deadline: tokio::time::Instant,
}

/// A session over the tables of a catalog, with what it has else. Names that its plans make up count from one.
fn over(catalog: Arc<MemoryCatalogProvider>, session: &SessionState) -> SessionState {
    let catalogs = MemoryCatalogProviderList::new();
    catalogs.register_catalog(CATALOG.to_owned(), catalog);
    // Not by its builder, which registers each of some hundred functions anew.
    let mut session = session.clone();
    session.register_catalog_list(Arc::new(catalogs));
    *session.execution_props_mut() = ExecutionProps::new();
    session
}

fn without_tables(runtime: &Arc<RuntimeEnv>) -> SessionState {
    let mut config = SessionConfig::new()
        .with_information_schema(true)
        .with_default_catalog_and_schema(CATALOG, SCHEMA)
        .with_create_default_catalog_and_schema(false);
    let options = config.options_mut();
    options.execution.time_zone = Some("UTC".to_owned());
    // Pages are left out by their statistics. Rows are filtered when they are decoded: a query over blocks took a third
    // longer when single rows were left out while decoding.
    options.execution.parquet.pushdown_filters = false;
    // Our files have none: the order and the pages' statistics find what is asked.
    options.execution.parquet.bloom_filter_on_read = false;
    // Files and memory are in the order of their keys: what is grouped by series is told series by series, and is not
    // held until the last row.
    options.optimizer.prefer_existing_sort = true;
    // A scan is cut into pieces of equally many rows already. DataFusion would take each for the whole file, and cut again.
    options.optimizer.repartition_file_scans = false;
    // A third pass of the rules changes nothing but names in the plans of our queries and views, and takes its time.
    options.optimizer.max_passes = 2;
    let mut state = SessionStateBuilder::new_with_default_features()
        .with_config(config)
        .with_runtime_env(runtime.clone())
        .with_physical_optimizer_rule(Arc::new(ByStretches))
        .with_physical_optimizer_rule(Arc::new(YieldingJoins))
        .with_physical_optimizer_rule(Arc::new(ByNeighbours))
        .build();
    functions::register(&mut state);
    state
}

/// Refuses a plan that would change data, files or settings.
///
/// # Errors
/// [`QueryError::NotReadOnly`].
pub fn refuse_changes(plan: &LogicalPlan) -> Result<(), QueryError> {
    let only_reading =
        SQLOptions::new().with_allow_ddl(false).with_allow_dml(false).with_allow_statements(false);
    only_reading.verify_plan(plan).map_err(|error| {
        let text = error.strip_backtrace();
        let what = text.strip_prefix("Error during planning: ").unwrap_or(&text);
        QueryError::NotReadOnly { what: what.to_owned() }
    })
}

impl Prepared {
    /// The result's columns.
    pub fn schema(&self) -> SchemaRef {
        texts::plain(self.plan.schema().inner())
    }

    /// Its placeholders, such as `$1` or `$name`, with their types as far as the text tells them; by number, then name.
    ///
    /// # Errors
    /// [`QueryError::Statement`]: one placeholder would need two types.
    pub fn parameters(&self) -> Result<Vec<(String, Option<DataType>)>, QueryError> {
        let types = self.plan.get_parameter_types().map_err(QueryError::of_plan)?;
        let mut parameters: Vec<_> = types.into_iter().collect();
        let number = |name: &str| name.trim_start_matches('$').parse().unwrap_or(u32::MAX);
        parameters.sort_by(|(left, _), (right, _)| (number(left), left).cmp(&(number(right), right)));
        Ok(parameters)
    }

    /// The same with values for its placeholders `$1` or `$name`.
    ///
    /// # Errors
    /// [`QueryError::Statement`].
    pub fn bind(self, values: ParamValues) -> Result<Self, QueryError> {
        let plan = self.plan.with_param_values(values).map_err(QueryError::of_plan)?;
        Ok(Self { plan, ..self })
    }

    /// Runs it.
    ///
    /// # Errors
    /// As [`QueryEngine::run`].
    pub async fn run(self) -> Result<QueryResult, QueryError> {
        self.engine.run(self.state, self.plan).await
    }
}

/// Has joins give way to others after some batches. DataFusion asks that of sources only; rows multiply in joins, and a
/// query whose sources are read to their end would keep its thread and never come to its deadline.
#[derive(Debug)]
struct YieldingJoins;

impl PhysicalOptimizerRule for YieldingJoins {
    fn optimize(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        _: &ConfigOptions,
    ) -> Result<Arc<dyn ExecutionPlan>, DataFusionError> {
        let yielding = plan.transform_up(|plan| match plan.name().ends_with("JoinExec") {
            true => Ok(Transformed::yes(Arc::new(CooperativeExec::new(plan)) as Arc<dyn ExecutionPlan>)),
            false => Ok(Transformed::no(plan)),
        });
        yielding.data()
    }

    fn name(&self) -> &str {
        "yielding_joins"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

// Holds the permit until the last row has been taken or the reader is gone.
fn within_limits(
    stream: SendableRecordBatchStream,
    files: Files,
    limits: Limits,
    deadline: tokio::time::Instant,
    permit: OwnedSemaphorePermit,
) -> impl Stream<Item = Result<RecordBatch, DataFusionError>> + Send {
    let begun = (stream, files, 0_usize, permit);
    futures::stream::try_unfold(begun, move |(mut stream, files, rows, permit)| async move {
        let next = tokio::time::timeout_at(deadline, stream.next()).await;
        let next = next.map_err(|_| QueryError::TooSlow { seconds_max: limits.seconds_max })?;
        let batch = match next {
            None => return Ok(None),
            Some(Ok(batch)) => batch,
            Some(Err(error)) => return Err(files.named(error).await),
        };
        let rows = rows + batch.num_rows();
        if rows > limits.rows_max {
            return Err(QueryError::TooManyRows { rows_max: limits.rows_max }.into());
        }
        Ok(Some((batch, (stream, files, rows, permit))))
    })
}

impl QueryResult {
    /// The rows as they come; its errors are [`QueryError`]s in [`DataFusionError::External`].
    pub fn into_stream(self) -> SendableRecordBatchStream {
        self.stream
    }

    /// The next rows; `None` after the last.
    ///
    /// # Errors
    /// [`QueryError`]: a limit was reached, or the store failed.
    pub async fn next(&mut self) -> Result<Option<RecordBatch>, QueryError> {
        let next = self.stream.try_next().await;
        next.map_err(|error| QueryError::of_run(error, self.memory_bytes_max))
    }

    /// All rows.
    ///
    /// # Errors
    /// As [`QueryResult::next`].
    pub async fn collect(mut self) -> Result<Vec<RecordBatch>, QueryError> {
        let mut batches = Vec::new();
        while let Some(batch) = self.next().await? {
            batches.push(batch);
        }
        Ok(batches)
    }
}
