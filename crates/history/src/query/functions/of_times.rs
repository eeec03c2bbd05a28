//! Aggregates over the times of readings: what a group keeps is small when its rows come in order, and the answer is the same
//! when they do not.

use std::hash::{Hash, Hasher};
use std::marker::PhantomData;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array};
use arrow::datatypes::{DataType, Field, FieldRef, Int64Type};
use datafusion::common::cast::{
    as_float64_array, as_int64_array, as_list_array, as_timestamp_microsecond_array,
};
use datafusion::common::utils::SingleRowListArrayBuilder;
use datafusion::common::{Result, ScalarValue, exec_err, internal_err, plan_err};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::{AggregateOrderSensitivity, format_state_name};
use datafusion::logical_expr::{Accumulator, AggregateUDF, AggregateUDFImpl, Signature, Volatility};

use super::Function;
use crate::schema::time_type;

/// What is kept of the times of a group, µs.
pub trait Times: std::fmt::Debug + Default + Send + Sync + 'static {
    /// Names of the lists that its state is.
    const STATE: &'static [&'static str];

    /// Type of the answer.
    fn answer_type() -> DataType;

    /// Takes a reading.
    fn add(&mut self, time: i64, asked: &Asked);

    /// The state: lists of equal length, as many as [`Times::STATE`] names.
    fn state(&self) -> Vec<Vec<i64>>;

    /// Takes the state of another part of the group.
    fn merge(&mut self, state: &[&[i64]], asked: &Asked);

    /// The answer about what was taken.
    ///
    /// # Errors
    /// When finding it would take too much.
    fn evaluate(&mut self, asked: &Asked) -> Result<ScalarValue>;

    /// Bytes that it holds beside itself.
    fn held_bytes(&self) -> usize;
}

/// What is asked beside the time: the same for all rows of a group.
#[derive(Debug, Default, Clone, Copy)]
pub struct Asked {
    seconds: Option<f64>,
    /// The time up to which is asked, µs; `None` for up to the last reading.
    pub until: Option<i64>,
}

impl Asked {
    /// The length that is asked, µs; `None` when it is not known.
    pub fn length(&self) -> Option<i64> {
        self.seconds.map(|seconds| (seconds * 1e6).round() as i64)
    }

    /// Takes what a row says.
    fn expect(&mut self, function: &Function, seconds: Option<f64>, until: Option<i64>) -> Result<()> {
        let Some(seconds) = seconds else { return Ok(()) };
        if !(0.0..=1e12).contains(&seconds) {
            return exec_err!(
                "{} of {} is {seconds}, expected 0 or more",
                length_name(function),
                function.name
            );
        }
        if self.seconds.is_some_and(|known| known != seconds || self.until != until) {
            return exec_err!(
                "what {} is asked is not the same for all rows of a group: group by it as well",
                function.name
            );
        }
        (self.seconds, self.until) = (Some(seconds), until);
        Ok(())
    }
}

/// The argument that says how long, as the function's arguments name it.
fn length_name(function: &Function) -> &'static str {
    let name = function.arguments.split(", ").nth(1).unwrap_or_default();
    name.trim_end_matches("[")
}

/// An aggregate of a time, a length in seconds and perhaps the time up to which is asked.
#[derive(Debug)]
pub struct OfTimes<T> {
    function: &'static Function,
    signature: Signature,
    kept: PhantomData<T>,
}

impl<T: Times> OfTimes<T> {
    pub fn make(function: &'static Function) -> AggregateUDF {
        let signature = Signature::user_defined(Volatility::Immutable);
        AggregateUDF::from(Self { function, signature, kept: PhantomData })
    }
}

// There is one of each name.
impl<T> PartialEq for OfTimes<T> {
    fn eq(&self, other: &Self) -> bool {
        self.function.name == other.function.name
    }
}

impl<T> Eq for OfTimes<T> {}

impl<T> Hash for OfTimes<T> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.function.name.hash(state);
    }
}

impl<T: Times> AggregateUDFImpl for OfTimes<T> {
    fn name(&self) -> &str {
        self.function.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(T::answer_type())
    }

    fn coerce_types(&self, given: &[DataType]) -> Result<Vec<DataType>> {
        let is_number = |kind: &DataType| kind.is_numeric() || *kind == DataType::Null;
        let is_time = |kind: &DataType| matches!(kind, DataType::Timestamp(..) | DataType::Null);
        match given {
            [time, seconds] if is_time(time) && is_number(seconds) => {
                Ok(vec![time_type(), DataType::Float64])
            }
            [time, seconds, until] if is_time(time) && is_number(seconds) && is_time(until) => {
                Ok(vec![time_type(), DataType::Float64, time_type()])
            }
            _ => {
                let Function { name, arguments, .. } = self.function;
                plan_err!("{name}({arguments}) takes a timestamp, a number and a timestamp")
            }
        }
    }

    fn accumulator(&self, arguments: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        if arguments.is_distinct {
            return plan_err!(
                "{} has no DISTINCT: two readings of one time are two readings",
                self.function.name
            );
        }
        Ok(Box::new(Gathered { function: self.function, asked: Asked::default(), times: T::default() }))
    }

    fn state_fields(&self, arguments: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        let list = |part: &&str| {
            let name = format_state_name(arguments.name, part);
            Arc::new(Field::new_list(name, Field::new_list_field(DataType::Int64, true), true))
        };
        let one =
            |part: &str, kind| Arc::new(Field::new(format_state_name(arguments.name, part), kind, true));
        let asked = [one("seconds", DataType::Float64), one("until", DataType::Int64)];
        Ok(T::STATE.iter().map(list).chain(asked).collect())
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        AggregateOrderSensitivity::Insensitive
    }
}

/// The times of one group, and what is asked of them.
#[derive(Debug)]
struct Gathered<T> {
    function: &'static Function,
    asked: Asked,
    times: T,
}

impl<T: Times> Accumulator for Gathered<T> {
    fn update_batch(&mut self, columns: &[ArrayRef]) -> Result<()> {
        let [times, seconds, until @ ..] = columns else {
            return internal_err!("{} has two arguments", self.function.name);
        };
        let (times, seconds) = (as_timestamp_microsecond_array(times)?, as_float64_array(seconds)?);
        let until = until.first().map(|until| as_timestamp_microsecond_array(until)).transpose()?;
        for row in 0..times.len() {
            let until = until.filter(|until| until.is_valid(row)).map(|until| until.value(row));
            let seconds = seconds.is_valid(row).then(|| seconds.value(row));
            self.asked.expect(self.function, seconds, until)?;
            if times.is_valid(row) {
                self.times.add(times.value(row), &self.asked);
            }
        }
        Ok(())
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        self.times.evaluate(&self.asked)
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.times.held_bytes()
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let list = |part: Vec<i64>| {
            SingleRowListArrayBuilder::new(Arc::new(Int64Array::from(part))).build_list_scalar()
        };
        let asked = [ScalarValue::Float64(self.asked.seconds), ScalarValue::Int64(self.asked.until)];
        Ok(self.times.state().into_iter().map(list).chain(asked).collect())
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        let [lists @ .., seconds, until] = states else {
            return internal_err!("the state of {} ends with what is asked", self.function.name);
        };
        let lists = lists.iter().map(|list| as_list_array(list)).collect::<Result<Vec<_>>>()?;
        let (seconds, until) = (as_float64_array(seconds)?, as_int64_array(until)?);
        for row in (0..seconds.len()).filter(|row| lists.iter().all(|list| list.is_valid(*row))) {
            let until = until.is_valid(row).then(|| until.value(row));
            let seconds = seconds.is_valid(row).then(|| seconds.value(row));
            self.asked.expect(self.function, seconds, until)?;
            let parts: Vec<ArrayRef> = lists.iter().map(|list| list.value(row)).collect();
            let parts: Vec<&[i64]> =
                parts.iter().map(|part| &part.as_primitive::<Int64Type>().values()[..]).collect();
            self.times.merge(&parts, &self.asked);
        }
        Ok(())
    }
}
