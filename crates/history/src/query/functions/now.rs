//! `now()`: the data's own time.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::datatypes::{DataType, Field};
use datafusion::common::{Result, ScalarValue, plan_err};
use datafusion::logical_expr::expr::Placeholder;
use datafusion::logical_expr::simplify::{ExprSimplifyResult, SimplifyContext};
use datafusion::logical_expr::{
    ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use telemetry::EventTime;

use super::{Function, Make};
use crate::History;
use crate::schema::time_type;

pub const NOW: Function = Function {
    name: "now",
    arguments: "",
    unit: None,
    meaning: "the data's watermark when the query is asked, not this machine's clock; also `current_timestamp`",
    make: Make::Scalar(|clock| ScalarUDF::from(Now::new(Some(clock.clone())))),
};

/// Where `now()` comes from.
#[derive(Clone)]
pub enum Clock {
    /// One moment.
    Fixed(EventTime),
    /// The data's watermark when a query is asked.
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

    /// What it shows, as a value of SQL.
    pub fn value(&self) -> ScalarValue {
        ScalarValue::TimestampMicrosecond(Some(self.now().unix_micros()), Some("UTC".into()))
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

/// What stands for `now()` in a plan that is asked again; the text of a query cannot name a parameter like this.
const OPEN: &str = "$now()";

/// Whether this is `now()` as [`open_now`] leaves it.
pub fn is_open_now(expression: &Expr) -> bool {
    matches!(expression, Expr::Placeholder(placeholder) if placeholder.id == OPEN)
}

/// `now()` for plans that are kept: when a query is planned it is not said yet when that will be.
pub fn open_now() -> ScalarUDF {
    ScalarUDF::from(Now::new(None))
}

/// `now()`: the data's watermark, so that a query over recorded data means what it meant then.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Now {
    /// `None` while it is open.
    clock: Option<Clock>,
    signature: Signature,
    aliases: Vec<String>,
}

impl Now {
    fn new(clock: Option<Clock>) -> Self {
        let signature = Signature::nullary(Volatility::Stable);
        Self { clock, signature, aliases: vec!["current_timestamp".to_owned()] }
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
        let now = match &self.clock {
            Some(clock) => Expr::Literal(clock.value(), None),
            None => {
                let kind = Arc::new(Field::new("now()", time_type(), false));
                Expr::Placeholder(Placeholder::new_with_field(OPEN.to_owned(), Some(kind)))
            }
        };
        Ok(ExprSimplifyResult::Simplified(now))
    }

    fn invoke_with_args(&self, _: ScalarFunctionArgs) -> Result<ColumnarValue> {
        match &self.clock {
            Some(clock) => Ok(ColumnarValue::Scalar(clock.value())),
            None => plan_err!("what now() is was not said yet"),
        }
    }
}
