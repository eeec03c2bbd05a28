//! `heat_kw`: the formula of the detectors, in SQL.

use std::sync::Arc;

use arrow::array::{Array, Float64Array, StringArray};
use arrow::datatypes::DataType;
use datafusion::common::cast::{as_float64_array, as_string_array};
use datafusion::common::{Result, exec_err, internal_err};
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, TypeSignature, Volatility,
};
use telemetry::formula::{Coolant, heat_kw};

use super::{Function, Make};

pub const HEAT_KW: Function = Function {
    name: "heat_kw",
    arguments: "flow, delta_t[, coolant]",
    unit: Some("kW"),
    meaning: "heat that a coolant carries away: flow in L/min, delta_t in K, coolant 'pg25' (the default) or 'water'",
    make: Make::Scalar(|| ScalarUDF::from(HeatKw::new())),
};

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
