//! `verdict_checks`: takes a stored verdict apart into its checks.

use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, ListArray, StringArray, StructArray, TimestampMicrosecondArray};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::datatypes::{DataType, Field, Fields};
use datafusion::common::cast::as_string_array;
use datafusion::common::{Result, internal_err};
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use serde_json::Value;
use telemetry::EventTime;

use super::{Function, Make};
use crate::schema::time_type;

pub const VERDICT_CHECKS: Function = Function {
    name: "verdict_checks",
    arguments: "answer",
    unit: None,
    meaning: "the checks in an answer of table verdicts, a list for unnest; an answer that cannot be read gives one \
              check that says so; the view verdict_evidence shows them as rows",
    make: Make::Scalar(|| {
        let signature = Signature::exact(vec![DataType::Utf8], Volatility::Immutable);
        ScalarUDF::from(VerdictChecks { signature })
    }),
};

/// What is told of a check, by its names in the answer.
const COLUMNS: [(&str, Told); 18] = [
    ("check", Told::Text),
    ("verdict", Told::Text),
    ("signal", Told::Text),
    ("observed", Told::Number),
    ("comparison", Told::Text),
    ("threshold", Told::Number),
    ("unit", Told::Text),
    ("window", Told::Text),
    ("since", Told::Time),
    ("coverage", Told::Number),
    ("budget_left", Told::Number),
    ("burn_rate", Told::Number),
    ("worst_group", Told::Text),
    ("unknown_reason", Told::Text),
    ("cause", Told::Text),
    (REASON, Told::Text),
    ("evidence", Told::Text),
    ("wait_until", Told::Time),
];
const REASON: &str = "reason";

/// How it is told.
#[derive(Debug, Clone, Copy)]
enum Told {
    /// As text; what is no text as JSON.
    Text,
    /// As a number.
    Number,
    /// As a moment.
    Time,
}

impl Told {
    fn data_type(self) -> DataType {
        match self {
            Self::Text => DataType::Utf8,
            Self::Number => DataType::Float64,
            Self::Time => time_type(),
        }
    }
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct VerdictChecks {
    signature: Signature,
}

fn check() -> Fields {
    COLUMNS.iter().map(|(name, told_as)| Field::new(*name, told_as.data_type(), true)).collect()
}

fn list_item() -> Arc<Field> {
    Arc::new(Field::new_list_field(DataType::Struct(check()), true))
}

impl ScalarUDFImpl for VerdictChecks {
    fn name(&self) -> &str {
        VERDICT_CHECKS.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::List(list_item()))
    }

    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let arrays = ColumnarValue::values_to_arrays(&arguments.args)?;
        let [answers] = arrays.as_slice() else { return internal_err!("verdict_checks has one argument") };
        let answers: Vec<Option<Vec<Value>>> =
            as_string_array(answers)?.iter().map(|answer| answer.map(checks)).collect();
        let lengths = answers.iter().map(|checks| checks.as_ref().map_or(0, Vec::len));
        let offsets = OffsetBuffer::from_lengths(lengths);
        let known: NullBuffer = answers.iter().map(Option::is_some).collect();
        let checks: Vec<Value> = answers.into_iter().flatten().flatten().collect();
        let columns = COLUMNS.iter().map(|(name, told_as)| column(&checks, name, *told_as)).collect();
        let checks = StructArray::try_new_with_length(check(), columns, None, checks.len())?;
        let lists = ListArray::try_new(list_item(), offsets, Arc::new(checks), Some(known))?;
        Ok(ColumnarValue::Array(Arc::new(lists)))
    }
}

/// The checks of an answer.
fn checks(answer: &str) -> Vec<Value> {
    let unreadable =
        |why: String| vec![serde_json::json!({ REASON: format!("the stored answer cannot be read: {why}") })];
    match serde_json::from_str::<Value>(answer) {
        Ok(mut verdict) => match verdict.get_mut("checks").map(Value::take) {
            Some(Value::Array(checks)) => checks,
            _ => unreadable("it has no checks".to_owned()),
        },
        Err(error) => unreadable(error.to_string()),
    }
}

/// One column of them; null where a check does not tell it.
fn column(checks: &[Value], name: &str, told_as: Told) -> ArrayRef {
    let told = checks.iter().map(|check| check.get(name).filter(|value| !value.is_null()));
    match told_as {
        Told::Text => {
            let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            Arc::new(told.map(|value| value.map(text)).collect::<StringArray>())
        }
        Told::Number => Arc::new(told.map(|value| value.and_then(Value::as_f64)).collect::<Float64Array>()),
        Told::Time => {
            let micros = |value: &Value| Some(EventTime::from_rfc3339(value.as_str()?).ok()?.unix_micros());
            let times: TimestampMicrosecondArray = told.map(|value| value.and_then(micros)).collect();
            Arc::new(times.with_timezone("UTC"))
        }
    }
}
