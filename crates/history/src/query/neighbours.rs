//! Partial aggregates of rows whose group is that of the row before: rows come in order of their series, and a hash table
//! that looks each of them up takes most of a query's time.
//!
//! rows in key order → **neighbours** → states of groups, put together by DataFusion's final aggregate

use std::fmt;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, RecordBatch};
use arrow::compute::{BatchCoalescer, take};
use arrow::datatypes::{DataType, SchemaRef};
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::common::{Result, internal_err};
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::{EmitTo, GroupsAccumulator};
use datafusion::physical_expr::aggregate::AggregateFunctionExpr;
use datafusion::physical_expr::{GroupsAccumulatorAdapter, PhysicalExpr};
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::aggregates::{
    AggregateExec, AggregateMode, aggregate_expressions, evaluate_many,
};
use datafusion::physical_plan::execution_plan::{ChildrenPropertiesMode, ReplaceChildrenOptions};
use datafusion::physical_plan::metrics::{
    BaselineMetrics, ExecutionPlanMetricsSet, MetricsSet, RecordOutput,
};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, InputOrderMode, PlanProperties,
};
use futures::stream::{self, BoxStream, Stream, StreamExt};

use super::texts;
use crate::changes;

/// States of so much memory are handed on, even if they are few; so are those for which the queries' memory has no room.
const STATES_BYTES_MAX: usize = 16 << 20;

/// Has partial aggregates over rows in order look at neighbours only. A group that comes again later is told again; the
/// final aggregate above puts the states of equal groups together, as it does with those of several partitions.
#[derive(Debug)]
pub struct ByNeighbours;

impl PhysicalOptimizerRule for ByNeighbours {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        let replaced = plan.transform_up(|plan| match plan.downcast_ref::<AggregateExec>() {
            Some(aggregate) if is_of_neighbours(aggregate) => {
                Ok(Transformed::yes(Arc::new(NeighboursExec::new(plan)) as Arc<dyn ExecutionPlan>))
            }
            Some(_) | None => Ok(Transformed::no(plan)),
        });
        replaced.data()
    }

    fn name(&self) -> &str {
        "by_neighbours"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

/// Whether rows of a group follow each other: the groups are in order, but for texts that are nearly always the same in
/// all rows of what is in order, such as the site of a rack.
fn is_of_neighbours(aggregate: &AggregateExec) -> bool {
    let groups = aggregate.group_expr();
    let schema = aggregate.input().schema();
    let is_text =
        |index: usize| groups.expr()[index].0.data_type(&schema).is_ok_and(|kind| kind == DataType::Utf8View);
    let is_in_order = match aggregate.input_order_mode() {
        InputOrderMode::Sorted => true,
        InputOrderMode::PartiallySorted(sorted) => {
            sorted.len() >= 2
                && (0..groups.expr().len()).all(|index| sorted.contains(&index) || is_text(index))
        }
        InputOrderMode::Linear => false,
    };
    *aggregate.mode() == AggregateMode::Partial
        && groups.is_single()
        && aggregate.limit_options().is_none()
        && is_in_order
}

/// A partial aggregate, batch by batch. What it tells of itself is what DataFusion's tells.
#[derive(Debug)]
struct NeighboursExec {
    aggregate: Arc<dyn ExecutionPlan>,
    metrics: ExecutionPlanMetricsSet,
}

impl NeighboursExec {
    fn new(aggregate: Arc<dyn ExecutionPlan>) -> Self {
        Self { aggregate, metrics: ExecutionPlanMetricsSet::new() }
    }
}

impl DisplayAs for NeighboursExec {
    fn fmt_as(&self, format: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NeighboursExec: ")?;
        match self.aggregate.downcast_ref::<AggregateExec>() {
            Some(aggregate) => aggregate.fmt_as(format, f),
            None => Ok(()),
        }
    }
}

impl ExecutionPlan for NeighboursExec {
    fn name(&self) -> &str {
        "NeighboursExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.aggregate.properties()
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        self.aggregate.children()
    }

    fn apply_expressions(
        &self,
        f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        self.aggregate.apply_expressions(f)
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let anew = ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute);
        let aggregate = self.aggregate.clone().replace_children(children, anew)?;
        Ok(Arc::new(Self::new(aggregate)))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let Some(aggregate) = self.aggregate.downcast_ref::<AggregateExec>() else {
            return internal_err!("only aggregates are replaced");
        };
        let schema = aggregate.schema();
        let groups = aggregate.group_expr().expr().iter().map(|(group, _)| group.clone()).collect();
        let aggregates = aggregate.aggr_expr().to_vec();
        let arguments = aggregate_expressions(&aggregates, aggregate.mode(), 0)?;
        let filters = aggregate.filter_expr().to_vec();
        let neighbours = Neighbours { schema: schema.clone(), groups, aggregates, arguments, filters };
        let batch_size = context.session_config().batch_size();
        let memory = MemoryConsumer::new("states of neighbours").register(context.memory_pool());
        let rows = aggregate.input().execute(partition, context)?;
        let metrics = BaselineMetrics::new(&self.metrics, partition);
        let time = metrics.elapsed_compute().clone();
        let states = rows.map(move |batch| {
            let batch = batch?;
            let _until_told = time.timer();
            neighbours.states(&batch)
        });
        let states = gathered(states.boxed(), schema.clone(), batch_size, memory);
        let states = states.map(move |batch| Ok(batch?.record_output(&metrics)));
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, states)))
    }
}

/// The same states in few batches. Whoever merges the states of several readers in order takes a batch of each, and a
/// reader whose batch is not taken yet waits: one that brings a row of states at a time could read on only after those
/// before it have ended, and cores would be idle meanwhile.
fn gathered(
    states: BoxStream<'static, Result<RecordBatch>>,
    schema: SchemaRef,
    batch_size: usize,
    memory: MemoryReservation,
) -> impl Stream<Item = Result<RecordBatch>> {
    let few = Few::new(schema, batch_size, memory);
    stream::try_unfold((Some(states), few), |(mut states, mut few)| async move {
        loop {
            if let Some(batch) = few.next()? {
                return Ok(Some((batch, (states, few))));
            }
            let Some(left) = &mut states else { return Ok(None) };
            match left.next().await.transpose()? {
                Some(batch) => few.push(batch)?,
                None => {
                    few.states.finish_buffered_batch()?;
                    states = None;
                }
            }
        }
    })
}

/// States that are not handed on yet.
struct Few {
    schema: SchemaRef,
    plain: SchemaRef,
    batch_size: usize,
    /// With plain texts: views would keep all that was read of a file in memory for the few texts in it.
    states: BatchCoalescer,
    /// Follows `states`: one that is large enough by itself.
    large: Option<RecordBatch>,
    /// Of what `states` holds.
    memory: MemoryReservation,
    /// Bytes and rows of the last batch of states, of which a part may be left when a batch is complete.
    last: (usize, usize),
}

impl Few {
    fn new(schema: SchemaRef, batch_size: usize, memory: MemoryReservation) -> Self {
        let plain = texts::plain(&schema);
        let states = BatchCoalescer::new(plain.clone(), batch_size);
        Self { schema, plain, batch_size, states, large: None, memory, last: (0, 0) }
    }

    /// Takes states when there are no more to hand on.
    fn push(&mut self, states: RecordBatch) -> Result<()> {
        if self.batch_size / 2 <= states.num_rows() {
            self.states.finish_buffered_batch()?;
            self.large = Some(states);
            return Ok(());
        }
        let states = texts::cast_to(&self.plain, &states)?;
        self.last = (states.get_array_memory_size(), states.num_rows());
        let is_room = self.memory.try_grow(self.last.0).is_ok();
        self.states.push_batch(states)?;
        if !is_room || STATES_BYTES_MAX < self.memory.size() {
            self.states.finish_buffered_batch()?;
        }
        Ok(())
    }

    /// States that are handed on.
    fn next(&mut self) -> Result<Option<RecordBatch>> {
        let Some(batch) = self.states.next_completed_batch() else { return Ok(self.large.take()) };
        if !self.states.has_completed_batch() {
            let (bytes, rows) = self.last;
            let left = bytes * self.states.get_buffered_rows() / rows.max(1);
            self.memory.shrink(self.memory.size().saturating_sub(left));
        }
        Ok(Some(texts::cast_to(&self.schema, &batch)?))
    }
}

/// What is grouped by and aggregated.
struct Neighbours {
    schema: SchemaRef,
    groups: Vec<Arc<dyn PhysicalExpr>>,
    aggregates: Vec<Arc<AggregateFunctionExpr>>,
    arguments: Vec<Vec<Arc<dyn PhysicalExpr>>>,
    filters: Vec<Option<Arc<dyn PhysicalExpr>>>,
}

impl Neighbours {
    /// A row of states for all rows of a batch that follow each other in one group.
    fn states(&self, batch: &RecordBatch) -> Result<RecordBatch> {
        let rows = batch.num_rows();
        if rows == 0 {
            return Ok(RecordBatch::new_empty(self.schema.clone()));
        }
        let value = |expression: &Arc<dyn PhysicalExpr>| expression.evaluate(batch)?.into_array(rows);
        let groups = self.groups.iter().map(value).collect::<Result<Vec<_>>>()?;
        let (firsts, group_of_row) = changes::cut(&groups, rows)?;
        let count = firsts.len();
        let mut columns =
            groups.iter().map(|group| Ok(take(group, &firsts, None)?)).collect::<Result<Vec<ArrayRef>>>()?;
        let arguments = evaluate_many(&self.arguments, batch)?;
        for ((aggregate, arguments), filter) in self.aggregates.iter().zip(arguments).zip(&self.filters) {
            let filter = filter.as_ref().map(value).transpose()?;
            let filter = filter.as_ref().map(|filter| filter.as_boolean());
            let mut states = accumulator(aggregate)?;
            states.update_batch(&arguments, &group_of_row, filter, count)?;
            columns.extend(states.state(EmitTo::All)?);
        }
        Ok(RecordBatch::try_new(self.schema.clone(), columns)?)
    }
}

fn accumulator(aggregate: &Arc<AggregateFunctionExpr>) -> Result<Box<dyn GroupsAccumulator>> {
    if aggregate.groups_accumulator_supported() {
        return aggregate.create_groups_accumulator();
    }
    let aggregate = aggregate.clone();
    Ok(Box::new(GroupsAccumulatorAdapter::new(move || aggregate.create_accumulator())))
}

#[cfg(test)]
mod tests {
    use arrow::array::{Int64Array, StringViewArray};
    use arrow::datatypes::{Field, Int64Type, Schema};
    use datafusion::execution::memory_pool::{GreedyMemoryPool, MemoryPool};
    use futures::TryStreamExt;

    use super::*;

    const BATCH_SIZE: usize = 400;

    fn schema() -> SchemaRef {
        let fields =
            [Field::new("signal", DataType::Utf8View, false), Field::new("count", DataType::Int64, false)];
        Arc::new(Schema::new(fields.to_vec()))
    }

    /// States of 1,200 groups, so many in each batch but the last.
    fn states(rows: usize) -> Vec<Result<RecordBatch>> {
        let all: Vec<i64> = (0..1_200).collect();
        let batch = |numbers: &[i64]| {
            let signals = numbers.iter().map(|number| Some(format!("a_signal_of_many_letters_{number}")));
            let signals = StringViewArray::from_iter(signals);
            let columns: Vec<ArrayRef> =
                vec![Arc::new(signals), Arc::new(Int64Array::from(numbers.to_vec()))];
            Ok(RecordBatch::try_new(schema(), columns)?)
        };
        all.chunks(rows).map(batch).collect()
    }

    fn reserved(pool: &Arc<dyn MemoryPool>) -> MemoryReservation {
        MemoryConsumer::new("states").register(pool)
    }

    /// How many states come in each batch.
    async fn gathered_with(rows: usize, memory: usize) -> Vec<usize> {
        let pool: Arc<dyn MemoryPool> = Arc::new(GreedyMemoryPool::new(memory));
        let states = stream::iter(states(rows)).boxed();
        let batches: Vec<RecordBatch> =
            gathered(states, schema(), BATCH_SIZE, reserved(&pool)).try_collect().await.expect("states");
        let counts = batches.iter().flat_map(|batch| batch.column(1).as_primitive::<Int64Type>().values());
        assert!(counts.copied().eq(0..1_200), "each once and in order");
        let signals = batches.iter().flat_map(|batch| batch.column(0).as_string_view());
        assert_eq!(signals.last().flatten(), Some("a_signal_of_many_letters_1199"));
        let kept: usize = batches.iter().map(RecordBatch::get_array_memory_size).sum();
        let most = 100_000 * batches.len();
        assert!(kept < most, "{kept} bytes of memory are kept by 1,200 states");
        batches.iter().map(RecordBatch::num_rows).collect()
    }

    #[tokio::test]
    async fn states_of_many_batches_are_handed_on_in_few_and_in_order() {
        assert_eq!(gathered_with(1, STATES_BYTES_MAX).await, [400, 400, 400]);
        assert_eq!(gathered_with(7, STATES_BYTES_MAX).await, [400, 400, 400]);
        assert_eq!(gathered_with(150, STATES_BYTES_MAX).await, [400, 400, 400]);
    }

    #[tokio::test]
    async fn a_batch_of_many_states_is_handed_on_as_it_is() {
        assert_eq!(gathered_with(250, STATES_BYTES_MAX).await, [250, 250, 250, 250, 200]);
        assert_eq!(gathered_with(501, STATES_BYTES_MAX).await, [501, 501, 198]);
    }

    #[tokio::test]
    async fn states_without_room_in_memory_are_handed_on_at_once() {
        assert_eq!(gathered_with(1, 0).await.len(), 1_200);
        let batches = gathered_with(1, 10_000).await.len();
        assert!((10..1_200).contains(&batches), "{batches} batches");
    }

    #[tokio::test]
    async fn no_memory_stays_reserved_for_states_that_were_handed_on() {
        let pool: Arc<dyn MemoryPool> = Arc::new(GreedyMemoryPool::new(STATES_BYTES_MAX));
        let mut few = Few::new(schema(), BATCH_SIZE, reserved(&pool));
        let mut largest = 0;
        for states in states(150) {
            few.push(states.expect("states")).expect("room");
            largest = largest.max(pool.reserved());
            while few.next().expect("states").is_some() {}
            let held = few.states.get_buffered_rows();
            assert_eq!(held == 0, pool.reserved() == 0, "{held} states, {} bytes", pool.reserved());
        }
        assert!(pool.reserved() < largest, "{} of {largest} bytes", pool.reserved());
    }
}
