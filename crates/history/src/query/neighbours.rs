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
                Ok(Transformed::yes(Arc::new(NeighboursExec { aggregate: plan }) as Arc<dyn ExecutionPlan>))
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
        Ok(Arc::new(Self { aggregate }))
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
        let states = rows.map(move |batch| neighbours.states(&batch?));
        let states = gathered(states.boxed(), schema.clone(), batch_size, memory);
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, states)))
    }
}

/// The same states in few batches. Whoever merges the states of several readers in order takes a batch of each, and a
/// reader whose batch is not taken yet waits: one that brought a row of states at a time would read when all those
/// before it have come to their end, and cores would be idle meanwhile.
fn gathered(
    states: BoxStream<'static, Result<RecordBatch>>,
    schema: SchemaRef,
    batch_size: usize,
    memory: MemoryReservation,
) -> impl Stream<Item = Result<RecordBatch>> {
    // Copied, as views would keep all that was read of a file in memory for the few texts in it.
    let plain = texts::plain(&schema);
    let few = BatchCoalescer::new(plain.clone(), batch_size);
    stream::try_unfold((Some(states), few, memory), move |(mut states, mut few, memory)| {
        let (schema, plain) = (schema.clone(), plain.clone());
        async move {
            loop {
                if let Some(batch) = few.next_completed_batch() {
                    if few.is_empty() {
                        memory.free();
                    }
                    return Ok(Some((texts::cast_to(&schema, &batch)?, (states, few, memory))));
                }
                let Some(left) = &mut states else { return Ok(None) };
                let mut is_full = false;
                match left.next().await.transpose()? {
                    Some(batch) => {
                        let batch = texts::cast_to(&plain, &batch)?;
                        let bytes = batch.get_array_memory_size();
                        is_full = memory.try_grow(bytes).is_err() || STATES_BYTES_MAX < memory.size();
                        few.push_batch(batch)?;
                    }
                    None => states = None,
                }
                if states.is_none() || is_full {
                    few.finish_buffered_batch()?;
                }
            }
        }
    })
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

    /// A thousand batches of a state each, gathered in batches of 400 with so much memory.
    async fn gathered_with(memory: usize) -> Vec<RecordBatch> {
        let fields =
            [Field::new("signal", DataType::Utf8View, false), Field::new("count", DataType::Int64, false)];
        let schema = Arc::new(Schema::new(fields.to_vec()));
        let states = (0..1_000).map({
            let schema = schema.clone();
            move |number| {
                let signal = StringViewArray::from(vec![format!("a_signal_of_many_letters_{number}")]);
                let columns: Vec<ArrayRef> = vec![Arc::new(signal), Arc::new(Int64Array::from(vec![number]))];
                Ok(RecordBatch::try_new(schema.clone(), columns)?)
            }
        });
        let pool: Arc<dyn MemoryPool> = Arc::new(GreedyMemoryPool::new(memory));
        let reservation = MemoryConsumer::new("states").register(&pool);
        let states = stream::iter(states.collect::<Vec<_>>()).boxed();
        let batches: Vec<RecordBatch> =
            gathered(states, schema.clone(), 400, reservation).try_collect().await.expect("states");
        assert_eq!(pool.reserved(), 0);
        let rows: Vec<i64> = batches
            .iter()
            .flat_map(|batch| batch.column(1).as_primitive::<Int64Type>().values().to_vec())
            .collect();
        assert_eq!(rows, (0..1_000).collect::<Vec<_>>());
        assert!(batches.iter().all(|batch| batch.schema() == schema));
        batches
    }

    #[tokio::test]
    async fn states_of_many_batches_are_handed_on_in_few_and_in_order() {
        let batches = gathered_with(STATES_BYTES_MAX).await;
        assert_eq!(batches.iter().map(RecordBatch::num_rows).collect::<Vec<_>>(), [400, 400, 200]);
        assert_eq!(batches[2].column(0).as_string_view().value(199), "a_signal_of_many_letters_999");
        let kept: usize = batches.iter().map(RecordBatch::get_array_memory_size).sum();
        assert!(kept < 200_000, "{kept} bytes of memory are kept by a thousand states");
    }

    #[tokio::test]
    async fn states_without_room_in_memory_are_handed_on_at_once() {
        assert_eq!(gathered_with(0).await.len(), 1_000);
        let batches = gathered_with(10_000).await.len();
        assert!((10..1_000).contains(&batches), "{batches} batches");
    }
}
