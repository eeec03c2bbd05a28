//! `now()`: the data's own time.
//!
//! A session says when its query begins, in
//! [`query_execution_start_time`](datafusion::execution::SessionState::execution_props), and every `now()` is that one
//! moment. Views, and plans that are kept, are made by sessions that do not say it yet, and leave `now()` open.

use arrow::array::temporal_conversions::timestamp_us_to_datetime;
use arrow::datatypes::DataType;
use datafusion::common::{Result, ScalarValue, plan_err};
use datafusion::execution::SessionState;
use datafusion::logical_expr::simplify::{ExprSimplifyResult, SimplifyContext};
use datafusion::logical_expr::{
    ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use telemetry::EventTime;

use super::{Function, Make};
use crate::schema::time_type;

pub const NOW: Function = Function {
    name: "now",
    arguments: "",
    unit: None,
    meaning: "the data's watermark when the query is asked, one moment for all of it and not this machine's clock; also \
              `current_timestamp`; `current_date` and `current_time` are its date and time of day in UTC",
    make: Make::Scalar(|| ScalarUDF::from(Now::new())),
};

/// Has what a session plans and optimizes from here on begin at a moment.
pub fn begin_at(session: &mut SessionState, now: EventTime) {
    /// What the library's dates can say, µs: a quarter of a million years before and after 1970.
    const SAYABLE: i64 = 8_000_000_000_000_000_000;
    let moment = timestamp_us_to_datetime(now.unix_micros().clamp(-SAYABLE, SAYABLE));
    session.execution_props_mut().query_execution_start_time = moment.map(|moment| moment.and_utc());
}

/// Whether this is `now()`, or a function like it, as a session leaves it that was not told when it begins.
pub fn is_open(expression: &Expr) -> bool {
    let Expr::ScalarFunction(call) = expression else { return false };
    call.func.signature().volatility == Volatility::Stable
}

/// `now()`: the data's watermark, so that a query over recorded data means what it meant then.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Now {
    signature: Signature,
    aliases: Vec<String>,
}

impl Now {
    fn new() -> Self {
        let signature = Signature::nullary(Volatility::Stable);
        Self { signature, aliases: vec!["current_timestamp".to_owned()] }
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

    fn simplify(&self, arguments: Vec<Expr>, session: &SimplifyContext) -> Result<ExprSimplifyResult> {
        let Some(moment) = session.query_execution_start_time() else {
            return Ok(ExprSimplifyResult::Original(arguments));
        };
        let now = ScalarValue::TimestampMicrosecond(Some(moment.timestamp_micros()), Some("UTC".into()));
        Ok(ExprSimplifyResult::Simplified(Expr::Literal(now, None)))
    }

    // What is made of it cannot be calculated either while it is open, and stays in the plan as it is.
    fn invoke_with_args(&self, _: ScalarFunctionArgs) -> Result<ColumnarValue> {
        plan_err!("what now() is was not said yet")
    }
}
