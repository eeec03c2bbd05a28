//! `locf`: the last known value carried forward.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef};
use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::{Result, ScalarValue, internal_err};
use datafusion::logical_expr::function::{PartitionEvaluatorArgs, WindowUDFFieldArgs};
use datafusion::logical_expr::{PartitionEvaluator, Signature, Volatility, WindowUDF, WindowUDFImpl};

use super::{Function, Make};

pub const LOCF: Function = Function {
    name: "locf",
    arguments: "value",
    unit: Some("of value"),
    meaning: "the last known value at or before a row, as locf(value) OVER (PARTITION BY … ORDER BY time); null before \
              the first",
    make: Make::Window(|| WindowUDF::from(Locf { signature: Signature::any(1, Volatility::Immutable) })),
};

#[derive(Debug, PartialEq, Eq, Hash)]
struct Locf {
    signature: Signature,
}

impl WindowUDFImpl for Locf {
    fn name(&self) -> &str {
        LOCF.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn field(&self, arguments: WindowUDFFieldArgs) -> Result<FieldRef> {
        let kind = arguments.get_input_field(0).map_or(DataType::Null, |field| field.data_type().clone());
        Ok(Arc::new(Field::new(arguments.name(), kind, true)))
    }

    fn partition_evaluator(&self, _: PartitionEvaluatorArgs) -> Result<Box<dyn PartitionEvaluator>> {
        Ok(Box::new(Carried { last: None }))
    }
}

/// What is carried through one partition.
#[derive(Debug)]
struct Carried {
    last: Option<ScalarValue>,
}

impl PartitionEvaluator for Carried {
    fn evaluate(&mut self, columns: &[ArrayRef], rows: &Range<usize>) -> Result<ScalarValue> {
        let [values] = columns else { return internal_err!("locf has one argument") };
        if let Some(value) = known(values, rows.start)? {
            self.last = Some(value);
        }
        match &self.last {
            Some(value) => Ok(value.clone()),
            None => ScalarValue::try_from(values.data_type()),
        }
    }

    // Rows are answered as they come: what was carried so far is all that is kept.
    fn supports_bounded_execution(&self) -> bool {
        true
    }

    fn is_causal(&self) -> bool {
        true
    }
}

/// The value of a row; `None` for null and for what is no number in a column of numbers.
fn known(values: &ArrayRef, row: usize) -> Result<Option<ScalarValue>> {
    if values.is_null(row) {
        return Ok(None);
    }
    let value = ScalarValue::try_from_array(values, row)?;
    let is_number = match &value {
        ScalarValue::Float64(Some(value)) => value.is_finite(),
        ScalarValue::Float32(Some(value)) => value.is_finite(),
        _ => true,
    };
    Ok(is_number.then_some(value))
}
