//! Labels as JSON text, for clients that know no maps.

use std::sync::Arc;

use arrow::array::AsArray;
use arrow::datatypes::DataType;
use datafusion::common::{Column, Result, exec_err};
use datafusion::logical_expr::{
    ColumnarValue, Expr, LogicalPlan, LogicalPlanBuilder, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl,
    Signature, Volatility,
};

use super::QueryError;
use crate::format::labels_as_json;

/// The same query with JSON text instead of each column that is a map; the columns keep their names.
///
/// # Errors
/// [`QueryError::Statement`]: two columns of the result have one name.
pub fn with_labels_as_text(plan: LogicalPlan) -> Result<LogicalPlan, QueryError> {
    let is_map = |kind: &DataType| matches!(kind, DataType::Map(_, _));
    if !plan.schema().fields().iter().any(|field| is_map(field.data_type())) {
        return Ok(plan);
    }
    let to_text = Arc::new(ScalarUDF::from(LabelsAsText(Signature::any(1, Volatility::Immutable))));
    let columns = plan.schema().iter().map(|(qualifier, field)| {
        let column = Expr::Column(Column::new(qualifier.cloned(), field.name()));
        match is_map(field.data_type()) {
            true => to_text.call(vec![column]).alias_qualified(qualifier.cloned(), field.name()),
            false => column,
        }
    });
    let columns: Vec<Expr> = columns.collect();
    LogicalPlanBuilder::from(plan)
        .project(columns)
        .and_then(LogicalPlanBuilder::build)
        .map_err(QueryError::of_plan)
}

/// `{"host": "n1"}` from a map of text; null stays null.
#[derive(Debug, PartialEq, Eq, Hash)]
struct LabelsAsText(Signature);

impl ScalarUDFImpl for LabelsAsText {
    fn name(&self) -> &str {
        "labels_as_text"
    }

    fn signature(&self) -> &Signature {
        &self.0
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8)
    }

    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let arrays = ColumnarValue::values_to_arrays(&arguments.args)?;
        match arrays.first().and_then(|labels| labels.as_map_opt()) {
            Some(labels) => Ok(ColumnarValue::Array(labels_as_json(labels)?)),
            None => exec_err!("labels are a map"),
        }
    }
}
