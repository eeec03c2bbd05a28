//! Partial aggregates of rows whose group is that of the row before: rows come in order of their series, and a hash table
//! that looks each of them up takes most of a query's time.
//!
//! rows in key order → **neighbours** → states of groups, put together by DataFusion's final aggregate

use std::fmt;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, RecordBatch};
use arrow::compute::{BatchCoalescer, take};
use arrow::datatypes::DataType;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::common::{Result, internal_err};
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

use crate::changes;

/// States of so much memory are handed on, even if they are few.
const STATES_BYTES_MAX: usize = 1 << 20;

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
        let rows = aggregate.input().execute(partition, context)?;
        let states = rows.map(move |batch| neighbours.states(&batch?));
        let states = gathered(states.boxed(), BatchCoalescer::new(schema.clone(), batch_size));
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, states)))
    }
}

/// The same states in few batches. Whoever merges the states of several readers in order takes a batch of each, and a
/// reader whose batch is not taken yet waits: one that brought a row of states at a time would read when all those
/// before it have come to their end, and cores would be idle meanwhile.
fn gathered(
    states: BoxStream<'static, Result<RecordBatch>>,
    few: BatchCoalescer,
) -> impl Stream<Item = Result<RecordBatch>> {
    let more = |(states, few): (Option<BoxStream<'static, Result<RecordBatch>>>, BatchCoalescer)| async move {
        let (mut states, mut few) = (states, few);
        loop {
            if let Some(batch) = few.next_completed_batch() {
                return Ok(Some((batch, (states, few))));
            }
            let Some(left) = &mut states else { return Ok(None) };
            match left.next().await.transpose()? {
                Some(batch) => few.push_batch(batch)?,
                None => states = None,
            }
            if states.is_none() || STATES_BYTES_MAX < few.size() {
                few.finish_buffered_batch()?;
            }
        }
    };
    stream::try_unfold((Some(states), few), more)
}

/// What is grouped by and aggregated.
struct Neighbours {
    schema: arrow::datatypes::SchemaRef,
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
