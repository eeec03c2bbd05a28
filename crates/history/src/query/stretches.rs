//! Conditions on texts, asked once a stretch of rows that have the same texts: rows come in order of their series, and
//! looking up each row's signal in a list took a fifth of a query's time.

use std::fmt;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch};
use arrow::buffer::{BooleanBuffer, NullBuffer};
use arrow::compute::take_record_batch;
use arrow::datatypes::{DataType, Schema};
use datafusion::common::Result;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::logical_expr::ColumnarValue;
use datafusion::physical_expr::expressions::{InListExpr, LikeExpr};
use datafusion::physical_expr::utils::collect_columns;
use datafusion::physical_expr::{PhysicalExpr, conjunction, split_conjunction};
use datafusion::physical_expr_common::physical_expr::is_volatile;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::filter::{FilterExec, FilterExecBuilder};

use crate::changes;

/// Has filters ask of texts whether they are in a list, or like a pattern, once a stretch.
#[derive(Debug)]
pub struct ByStretches;

impl PhysicalOptimizerRule for ByStretches {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        let replaced = plan.transform_up(|plan| {
            let Some(filter) = plan.downcast_ref::<FilterExec>() else { return Ok(Transformed::no(plan)) };
            let schema = filter.input().schema();
            let conditions = split_conjunction(filter.predicate());
            if !conditions.iter().any(|condition| is_of_texts(condition, &schema)) {
                return Ok(Transformed::no(plan));
            }
            let conditions = conditions.into_iter().map(|condition| match is_of_texts(condition, &schema) {
                true => Arc::new(OfStretch { condition: condition.clone() }) as Arc<dyn PhysicalExpr>,
                false => condition.clone(),
            });
            let anew = FilterExecBuilder::from(filter).with_predicate(conjunction(conditions)).build()?;
            Ok(Transformed::yes(Arc::new(anew) as Arc<dyn ExecutionPlan>))
        });
        replaced.data()
    }

    fn name(&self) -> &str {
        "by_stretches"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

/// Whether a condition is dear and looks at nothing but texts. What says that a text equals another is neither: it is
/// fast, and tells planners of orders.
fn is_of_texts(condition: &Arc<dyn PhysicalExpr>, schema: &Schema) -> bool {
    let is_dear = condition.is::<InListExpr>() || condition.is::<LikeExpr>();
    let columns = if is_dear { collect_columns(condition) } else { Default::default() };
    let is_text = |index: usize| *schema.field(index).data_type() == DataType::Utf8View;
    !columns.is_empty() && columns.iter().all(|column| is_text(column.index())) && !is_volatile(condition)
}

/// A condition that is the same for all rows of a stretch.
#[derive(Debug, Eq, Hash)]
struct OfStretch {
    condition: Arc<dyn PhysicalExpr>,
}

// What `derive` makes of a trait object moves it.
impl PartialEq for OfStretch {
    fn eq(&self, other: &Self) -> bool {
        *self.condition == *other.condition
    }
}

impl fmt::Display for OfStretch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "once a stretch: {}", self.condition)
    }
}

impl PhysicalExpr for OfStretch {
    fn data_type(&self, schema: &Schema) -> Result<DataType> {
        self.condition.data_type(schema)
    }

    fn nullable(&self, schema: &Schema) -> Result<bool> {
        self.condition.nullable(schema)
    }

    fn evaluate(&self, batch: &RecordBatch) -> Result<ColumnarValue> {
        let columns = collect_columns(&self.condition);
        let texts: Vec<ArrayRef> =
            columns.iter().map(|column| batch.column(column.index()).clone()).collect();
        let (firsts, stretches) = changes::cut(&texts, batch.num_rows())?;
        // Where texts change all the time, all rows are asked at once.
        if batch.num_rows() < 4 * firsts.len() {
            return self.condition.evaluate(batch);
        }
        let answers = self.condition.evaluate(&take_record_batch(batch, &firsts)?)?;
        let answers = answers.into_array(firsts.len())?;
        let answers = answers.as_boolean();
        let of_rows = |bits: &BooleanBuffer| {
            BooleanBuffer::collect_bool(stretches.len(), |row| bits.value(stretches[row]))
        };
        let known = Array::nulls(answers).map(|known| NullBuffer::new(of_rows(known.inner())));
        Ok(ColumnarValue::Array(Arc::new(BooleanArray::new(of_rows(answers.values()), known))))
    }

    fn children(&self) -> Vec<&Arc<dyn PhysicalExpr>> {
        vec![&self.condition]
    }

    fn with_new_children(
        self: Arc<Self>,
        mut children: Vec<Arc<dyn PhysicalExpr>>,
    ) -> Result<Arc<dyn PhysicalExpr>> {
        Ok(match children.pop() {
            Some(condition) => Arc::new(Self { condition }),
            None => self,
        })
    }

    fn fmt_sql(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.condition.fmt_sql(f)
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{Int64Array, StringViewArray};
    use arrow::datatypes::Field;
    use datafusion::physical_expr::expressions::{col, in_list, like, lit};

    use super::*;

    /// Whether a condition asked once a stretch answers as one that is asked of each row.
    fn agree(texts: Vec<Option<&str>>, negated: bool) {
        let schema = Arc::new(Schema::new(vec![
            Field::new("signal", DataType::Utf8View, true),
            Field::new("value", DataType::Int64, true),
        ]));
        let rows = texts.len() as i64;
        let columns: Vec<ArrayRef> =
            vec![Arc::new(StringViewArray::from(texts)), Arc::new(Int64Array::from_iter_values(0..rows))];
        let batch = RecordBatch::try_new(schema.clone(), columns).unwrap();
        let view = |text: &str| lit(datafusion::common::ScalarValue::Utf8View(Some(text.to_owned())));
        let list = vec![view("coolant_supply_temperature"), view("flow")];
        let signal = || col("signal", &schema).unwrap();
        let is_in = in_list(signal(), list, &negated, &schema).unwrap();
        let is_like = like(negated, false, signal(), view("coolant%"), &schema).unwrap();
        let part = batch.slice(batch.num_rows() / 3, batch.num_rows() / 2);
        for (condition, batch) in [(&is_in, &batch), (&is_in, &part), (&is_like, &batch), (&is_like, &part)] {
            assert!(is_of_texts(condition, &schema));
            let rows = |condition: &Arc<dyn PhysicalExpr>| {
                condition.evaluate(batch).unwrap().into_array(batch.num_rows()).unwrap()
            };
            let once_a_stretch: Arc<dyn PhysicalExpr> = Arc::new(OfStretch { condition: condition.clone() });
            assert_eq!(rows(&once_a_stretch).as_boolean(), rows(condition).as_boolean());
        }
    }

    #[test]
    fn a_condition_asked_once_a_stretch_answers_as_one_asked_of_each_row() {
        let long = Some("coolant_supply_temperature");
        let stretches =
            [vec![long; 9], vec![None; 12], vec![Some("power"); 20], vec![Some("flow"); 7]].concat();
        for negated in [false, true] {
            agree(stretches.clone(), negated);
            agree(vec![long, None, Some("power"), Some("flow"), Some("power")], negated);
            agree(Vec::new(), negated);
        }
    }
}
