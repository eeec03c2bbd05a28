//! Aggregates over readings: gathers (value, time) of a group in any order, and asks a rule once they are sorted.

use std::borrow::Cow;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Float64Array, Int64Array};
use arrow::datatypes::{DataType, Field, FieldRef, Float64Type, Int64Type};
use datafusion::common::cast::{as_float64_array, as_list_array, as_timestamp_microsecond_array};
use datafusion::common::utils::SingleRowListArrayBuilder;
use datafusion::common::{Result, ScalarValue, exec_err, internal_err, plan_err};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::{AggregateOrderSensitivity, format_state_name};
use datafusion::logical_expr::{Accumulator, AggregateUDFImpl, Signature, Volatility};
use telemetry::{EventTime, Microseconds};

use super::Function;
use super::curve::{Curve, Reading};
use crate::schema::time_type;

/// What is asked of readings.
#[derive(Debug)]
pub struct Rule {
    /// Arguments behind value and time, all to be given; one that is null makes the answer null.
    pub arguments: &'static [Argument],
    /// Whether a last argument may say how many seconds a reading holds at most.
    pub takes_gap: bool,
    /// The answer.
    ///
    /// - The arguments are as many as above, each in its span.
    /// - Returns `None` where nothing can be said.
    pub evaluate: fn(Curve<'_>, &[f64]) -> Option<f64>,
    /// How to find the same answer without keeping the readings; `None` where they are all needed.
    pub streamed: Option<Streamed>,
}

/// An aggregate that takes readings as they come, and answers what its rule does, which has no arguments.
#[derive(Debug)]
pub struct Streamed {
    /// Begins a group. Rows are value and time, as in [`Accumulator::update_batch`].
    pub begin: fn() -> Box<dyn Accumulator>,
    /// The numbers that its state is.
    pub state: &'static [&'static str],
}

/// A number that is the same for all readings of a group.
#[derive(Debug)]
pub struct Argument {
    /// Its name.
    pub name: &'static str,
    /// The least it can be.
    pub lowest: f64,
    /// The greatest it can be.
    pub highest: f64,
    /// What to give, for messages.
    pub expected: &'static str,
}

impl Argument {
    /// One that can be any number.
    pub const fn any(name: &'static str) -> Self {
        Self { name, lowest: f64::MIN, highest: f64::MAX, expected: "a number" }
    }

    /// One that must not be negative.
    pub const fn not_negative(name: &'static str) -> Self {
        Self { name, lowest: 0.0, highest: f64::MAX, expected: "0 or more" }
    }
}

const GAP: Argument = Argument::not_negative("gap_seconds");

/// An aggregate over readings.
#[derive(Debug)]
pub struct OfReadings {
    function: &'static Function,
    rule: &'static Rule,
    signature: Signature,
}

impl OfReadings {
    pub fn new(function: &'static Function, rule: &'static Rule) -> Self {
        Self { function, rule, signature: Signature::user_defined(Volatility::Immutable) }
    }

    /// How it is written, for messages.
    fn usage(&self) -> String {
        format!("{}({})", self.function.name, self.function.arguments)
    }

    fn gathered(&self, arguments: AccumulatorArgs, is_sliding: bool) -> Result<Box<dyn Accumulator>> {
        if arguments.is_distinct {
            return plan_err!("{} has no DISTINCT: two readings of one value are two readings", self.usage());
        }
        Ok(Box::new(Gathered {
            function: self.function,
            rule: self.rule,
            readings: Vec::new(),
            arguments: None,
            is_sliding,
        }))
    }
}

// There is one of each name.
impl PartialEq for OfReadings {
    fn eq(&self, other: &Self) -> bool {
        self.function.name == other.function.name
    }
}

impl Eq for OfReadings {}

impl Hash for OfReadings {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.function.name.hash(state);
    }
}

impl AggregateUDFImpl for OfReadings {
    fn name(&self) -> &str {
        self.function.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Float64)
    }

    fn coerce_types(&self, given: &[DataType]) -> Result<Vec<DataType>> {
        let least = 2 + self.rule.arguments.len();
        let most = least + usize::from(self.rule.takes_gap);
        if given.len() < least || given.len() > most {
            return plan_err!("{} was given {} arguments", self.usage(), given.len());
        }
        let names = ["value", "time"].into_iter();
        let names = names.chain(self.rule.arguments.iter().map(|argument| argument.name)).chain([GAP.name]);
        let coerced = given.iter().zip(names).enumerate().map(|(index, (kind, name))| {
            let (wanted, is_taken, expected) = match index {
                1 => (time_type(), matches!(kind, DataType::Timestamp(..)), "a timestamp"),
                _ => (DataType::Float64, kind.is_numeric(), "a number"),
            };
            if !is_taken && *kind != DataType::Null {
                return plan_err!("{}: {name} is {kind}, expected {expected}", self.usage());
            }
            Ok(wanted)
        });
        coerced.collect()
    }

    fn accumulator(&self, arguments: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        let gathered = self.gathered(arguments, false)?;
        Ok(self.rule.streamed.as_ref().map_or(gathered, |streamed| (streamed.begin)()))
    }

    fn create_sliding_accumulator(&self, arguments: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        self.gathered(arguments, true)
    }

    fn state_fields(&self, arguments: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        if let Some(streamed) = &self.rule.streamed {
            let number = |part: &&str| {
                Arc::new(Field::new(format_state_name(arguments.name, part), DataType::Float64, true))
            };
            return Ok(streamed.state.iter().map(number).collect());
        }
        let list = |part: &str, kind: DataType| {
            let name = format_state_name(arguments.name, part);
            Arc::new(Field::new_list(name, Field::new_list_field(kind, true), true))
        };
        Ok(vec![
            list("times", DataType::Int64),
            list("values", DataType::Float64),
            list("arguments", DataType::Float64),
        ])
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        AggregateOrderSensitivity::Insensitive
    }
}

/// The readings of one group.
#[derive(Debug)]
struct Gathered {
    function: &'static Function,
    rule: &'static Rule,
    /// In the order in which they came.
    readings: Vec<Reading>,
    /// What the rows say behind value and time; `None` before the first row.
    arguments: Option<Vec<Option<f64>>>,
    /// Whether rows leave again, first the oldest.
    is_sliding: bool,
}

impl Gathered {
    /// Takes what a row says behind value and time: the same as the rows before.
    fn expect(&mut self, given: impl Iterator<Item = Option<f64>> + Clone) -> Result<()> {
        let Some(known) = &self.arguments else {
            self.arguments = Some(given.collect());
            return Ok(());
        };
        for (index, (known, given)) in known.iter().zip(given).enumerate() {
            if *known != given {
                let name = self.rule.arguments.get(index).unwrap_or(&GAP).name;
                return exec_err!(
                    "{name} of {} is not the same for all rows of a group: group by it as well",
                    self.function.name
                );
            }
        }
        Ok(())
    }

    /// The readings in their order.
    fn sorted(&mut self) -> Cow<'_, [Reading]> {
        if self.readings.is_sorted_by(|one, next| one.order(next).is_le()) {
            return Cow::Borrowed(&self.readings);
        }
        // Rows leave in the order in which they came.
        if self.is_sliding {
            let mut copy = self.readings.clone();
            copy.sort_unstable_by(Reading::order);
            return Cow::Owned(copy);
        }
        self.readings.sort_unstable_by(Reading::order);
        Cow::Borrowed(&self.readings)
    }

    /// The arguments of the rule and the longest time that a reading holds; `None` where one is not known.
    fn asked(&self) -> Result<Option<(Vec<f64>, Option<Microseconds>)>> {
        let Some(given) = &self.arguments else { return Ok(None) };
        let names = self.rule.arguments.iter().chain([&GAP]);
        for (argument, value) in names.zip(given).filter_map(|(name, value)| Some((name, (*value)?))) {
            if !(argument.lowest..=argument.highest).contains(&value) {
                let (name, expected) = (argument.name, argument.expected);
                return exec_err!("{name} of {} is {value}, expected {expected}", self.function.name);
            }
        }
        let (arguments, gap) = given.split_at(self.rule.arguments.len());
        let gap = gap.first().copied().flatten().map(|seconds| Microseconds((seconds * 1e6) as i64));
        let arguments: Option<Vec<f64>> = arguments.iter().copied().collect();
        Ok(arguments.map(|arguments| (arguments, gap)))
    }
}

/// What is no finite number is no value.
pub fn finite(values: &Float64Array, row: usize) -> Option<f64> {
    values.is_valid(row).then(|| values.value(row)).filter(|value| value.is_finite())
}

impl Accumulator for Gathered {
    fn update_batch(&mut self, columns: &[ArrayRef]) -> Result<()> {
        let [values, times, arguments @ ..] = columns else {
            return internal_err!("{} has a value and a time", self.function.name);
        };
        let (values, times) = (as_float64_array(values)?, as_timestamp_microsecond_array(times)?);
        let arguments = arguments.iter().map(|column| as_float64_array(column));
        let arguments: Vec<&Float64Array> = arguments.collect::<Result<_>>()?;
        for row in 0..values.len() {
            self.expect(arguments.iter().map(|column| finite(column, row)))?;
            if times.is_valid(row) {
                let time = EventTime::from_unix_micros(times.value(row));
                self.readings.push(Reading { time, value: finite(values, row) });
            }
        }
        Ok(())
    }

    fn retract_batch(&mut self, columns: &[ArrayRef]) -> Result<()> {
        let [_, times, ..] = columns else {
            return internal_err!("{} has a value and a time", self.function.name);
        };
        let gone = times.len() - times.null_count();
        self.readings.drain(..gone.min(self.readings.len()));
        Ok(())
    }

    fn supports_retract_batch(&self) -> bool {
        self.is_sliding
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let Some((arguments, gap)) = self.asked()? else { return Ok(ScalarValue::Float64(None)) };
        let rule = self.rule;
        let answer = (rule.evaluate)(Curve { readings: &self.sorted(), gap }, &arguments);
        Ok(ScalarValue::Float64(answer.filter(|answer| answer.is_finite())))
    }

    fn size(&self) -> usize {
        let arguments = self.arguments.as_ref().map_or(0, Vec::capacity);
        size_of_val(self)
            + self.readings.capacity() * size_of::<Reading>()
            + arguments * size_of::<Option<f64>>()
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let list = |values: ArrayRef| SingleRowListArrayBuilder::new(values).build_list_scalar();
        let times: Int64Array = self.readings.iter().map(|reading| reading.time.unix_micros()).collect();
        let values: Float64Array = self.readings.iter().map(|reading| reading.value).collect();
        let arguments: Float64Array = self.arguments.iter().flatten().copied().collect();
        Ok(vec![list(Arc::new(times)), list(Arc::new(values)), list(Arc::new(arguments))])
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        let [times, values, arguments] = states else {
            return internal_err!("the state of {} is three lists", self.function.name);
        };
        let (times, values, arguments) =
            (as_list_array(times)?, as_list_array(values)?, as_list_array(arguments)?);
        let wanted = self.rule.arguments.len();
        for row in (0..times.len()).filter(|row| times.is_valid(*row)) {
            let given = arguments.value(row);
            let given = given.as_primitive::<Float64Type>();
            let (times, values) = (times.value(row), values.value(row));
            let (times, values) = (times.as_primitive::<Int64Type>(), values.as_primitive::<Float64Type>());
            // A part without rows says nothing; a rule without arguments never says anything.
            if !given.is_empty() || (wanted == 0 && !times.is_empty()) {
                self.expect(given.iter())?;
            }
            self.readings.extend(
                times
                    .values()
                    .iter()
                    .zip(values)
                    .map(|(time, value)| Reading { time: EventTime::from_unix_micros(*time), value }),
            );
        }
        Ok(())
    }
}
