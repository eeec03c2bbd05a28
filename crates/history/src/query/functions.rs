//! Functions of our own in SQL.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::{Array, Float64Array, StringArray};
use arrow::datatypes::DataType;
use datafusion::common::cast::{as_float64_array, as_string_array};
use datafusion::common::{Result, ScalarValue, exec_err, internal_err};
use datafusion::logical_expr::simplify::{ExprSimplifyResult, SimplifyContext};
use datafusion::logical_expr::{
    ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, TypeSignature, Volatility,
};
use telemetry::EventTime;
use telemetry::formula::{Coolant, heat_kw};

use crate::History;
use crate::schema::time_type;

/// The functions of a session.
pub fn functions(clock: Clock) -> [ScalarUDF; 2] {
    [ScalarUDF::from(Now::new(clock)), ScalarUDF::from(HeatKw::new())]
}

/// Where `now()` comes from.
#[derive(Clone)]
pub enum Clock {
    /// One moment.
    Fixed(EventTime),
    /// The data's watermark when a query is planned.
    Watermark(History),
}

impl Clock {
    /// What it shows.
    pub fn now(&self) -> EventTime {
        match self {
            Self::Fixed(now) => *now,
            Self::Watermark(history) => history.now(),
        }
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.now())
    }
}

// A session has one clock: functions of different sessions are never compared.
impl PartialEq for Clock {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Fixed(left), Self::Fixed(right)) => left == right,
            (Self::Watermark(_), Self::Watermark(_)) => true,
            (Self::Fixed(_), Self::Watermark(_)) | (Self::Watermark(_), Self::Fixed(_)) => false,
        }
    }
}

impl Eq for Clock {}

impl Hash for Clock {
    fn hash<H: Hasher>(&self, state: &mut H) {
        std::mem::discriminant(self).hash(state);
    }
}

/// `now()`: the data's watermark, so that a query over recorded data means what it meant then.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Now {
    clock: Clock,
    signature: Signature,
    aliases: Vec<String>,
}

impl Now {
    fn new(clock: Clock) -> Self {
        let signature = Signature::nullary(Volatility::Stable);
        Self { clock, signature, aliases: vec!["current_timestamp".to_owned()] }
    }

    fn value(&self) -> ScalarValue {
        ScalarValue::TimestampMicrosecond(Some(self.clock.now().unix_micros()), Some("UTC".into()))
    }
}

impl ScalarUDFImpl for Now {
    fn name(&self) -> &str {
        "now"
    }

    fn aliases(&self) -> &[String] {
        &self.aliases
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(time_type())
    }

    fn simplify(&self, _: Vec<Expr>, _: &SimplifyContext) -> Result<ExprSimplifyResult> {
        Ok(ExprSimplifyResult::Simplified(Expr::Literal(self.value(), None)))
    }

    fn invoke_with_args(&self, _: ScalarFunctionArgs) -> Result<ColumnarValue> {
        Ok(ColumnarValue::Scalar(self.value()))
    }
}

/// `heat_kw(flow, delta_t)` and `heat_kw(flow, delta_t, coolant)`: heat that a coolant carries away, kW.
///
/// - `flow`: L/min; `delta_t`: K; `coolant`: `pg25` (the default) or `water`.
#[derive(Debug, PartialEq, Eq, Hash)]
struct HeatKw {
    signature: Signature,
}

impl HeatKw {
    fn new() -> Self {
        let (number, text) = (DataType::Float64, DataType::Utf8);
        let signature = Signature::one_of(
            vec![
                TypeSignature::Exact(vec![number.clone(), number.clone()]),
                TypeSignature::Exact(vec![number.clone(), number, text]),
            ],
            Volatility::Immutable,
        );
        Self { signature }
    }
}

impl ScalarUDFImpl for HeatKw {
    fn name(&self) -> &str {
        "heat_kw"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Float64)
    }

    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let arrays = ColumnarValue::values_to_arrays(&arguments.args)?;
        let [flow, delta_t, coolant @ ..] = arrays.as_slice() else {
            return internal_err!("heat_kw has two or three arguments");
        };
        let (flow, delta_t) = (as_float64_array(flow)?, as_float64_array(delta_t)?);
        let coolant = coolant.first().map(|names| as_string_array(names)).transpose()?;
        let heat = (0..flow.len())
            .map(|row| {
                if flow.is_null(row) || delta_t.is_null(row) {
                    return Ok(None);
                }
                let Some(coolant) = coolant_of(coolant, row)? else { return Ok(None) };
                Ok(Some(heat_kw(flow.value(row), delta_t.value(row), coolant.heat_capacity())))
            })
            .collect::<Result<Float64Array>>()?;
        Ok(ColumnarValue::Array(Arc::new(heat)))
    }
}

fn coolant_of(names: Option<&StringArray>, row: usize) -> Result<Option<Coolant>> {
    let Some(names) = names else { return Ok(Some(Coolant::default())) };
    if names.is_null(row) {
        return Ok(None);
    }
    match Coolant::named(names.value(row)) {
        Some(coolant) => Ok(Some(coolant)),
        None => exec_err!("coolant {:?} is not known: write 'pg25' or 'water'", names.value(row)),
    }
}
