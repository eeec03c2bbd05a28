//! `gaps`: where a series said nothing for too long.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, ListArray, StructArray, TimestampMicrosecondArray};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Field, FieldRef, Fields, Int64Type};
use datafusion::common::cast::{
    as_float64_array, as_int64_array, as_list_array, as_timestamp_microsecond_array,
};
use datafusion::common::utils::SingleRowListArrayBuilder;
use datafusion::common::{Result, ScalarValue, exec_err, internal_err, plan_err};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::{AggregateOrderSensitivity, format_state_name};
use datafusion::logical_expr::{Accumulator, AggregateUDF, AggregateUDFImpl, Signature, Volatility};

use super::{Function, Make};
use crate::schema::time_type;

pub const GAPS: Function = Function {
    name: "gaps",
    arguments: "time, longer_than_seconds[, until]",
    unit: None,
    meaning: "the gaps between readings that are further apart than that, a list for unnest: each has start, the reading \
              before, and end, the one after; with until also the one that lasts then, whose end is null",
    make: Make::Aggregate(|| {
        AggregateUDF::from(Gaps { signature: Signature::user_defined(Volatility::Immutable) })
    }),
};

#[derive(Debug, PartialEq, Eq, Hash)]
struct Gaps {
    signature: Signature,
}

fn gap() -> Fields {
    ["start", "end"].into_iter().map(|name| Field::new(name, time_type(), true)).collect()
}

fn list_item() -> FieldRef {
    Arc::new(Field::new_list_field(DataType::Struct(gap()), true))
}

impl AggregateUDFImpl for Gaps {
    fn name(&self) -> &str {
        GAPS.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::List(list_item()))
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
            _ => plan_err!("gaps({}) takes a timestamp, a number and a timestamp", GAPS.arguments),
        }
    }

    fn accumulator(&self, _: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        Ok(Box::new(Runs::default()))
    }

    fn state_fields(&self, arguments: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        let list = |part: &str| {
            let name = format_state_name(arguments.name, part);
            Arc::new(Field::new_list(name, Field::new_list_field(DataType::Int64, true), true))
        };
        let one =
            |part: &str, kind| Arc::new(Field::new(format_state_name(arguments.name, part), kind, true));
        Ok(vec![
            list("starts"),
            list("ends"),
            one("longer_than", DataType::Float64),
            one("until", DataType::Int64),
        ])
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        AggregateOrderSensitivity::Insensitive
    }
}

/// Spans of time in which no two readings that follow each other are further apart than asked, µs: a handful, however
/// many readings there are, when these come in order; and the same spans when they do not.
#[derive(Debug, Default)]
struct Runs {
    longer_than: Option<f64>,
    until: Option<i64>,
    spans: Vec<(i64, i64)>,
    /// So many of the first are in order and joined.
    joined: usize,
}

impl Runs {
    /// Takes what a row says behind its time: the same as the rows before.
    fn expect(&mut self, seconds: Option<f64>, until: Option<i64>) -> Result<()> {
        let Some(seconds) = seconds else { return Ok(()) };
        if !(0.0..=1e12).contains(&seconds) {
            return exec_err!("longer_than_seconds of gaps is {seconds}, expected 0 or more");
        }
        let (longer_than, known) = (self.longer_than.unwrap_or(seconds), self.until.or(until));
        if longer_than != seconds || known != until {
            return exec_err!(
                "what gaps is asked is not the same for all rows of a group: group by it as well"
            );
        }
        (self.longer_than, self.until) = (Some(seconds), known);
        Ok(())
    }

    fn micros(&self) -> i64 {
        self.longer_than.map_or(0, |seconds| (seconds * 1e6) as i64)
    }

    fn add(&mut self, start: i64, end: i64) {
        let longest = self.micros();
        match self.spans.last_mut() {
            Some(last) if last.0 <= start && start.saturating_sub(last.1) <= longest => {
                last.1 = last.1.max(end)
            }
            _ => self.spans.push((start, end)),
        }
        // Readings out of order make spans of their own, which may belong together.
        if self.spans.len() > 64 + 2 * self.joined {
            self.join();
        }
    }

    fn join(&mut self) {
        let longest = self.micros();
        self.spans.sort_unstable();
        self.spans.dedup_by(|next, last| {
            let is_one = next.0.saturating_sub(last.1) <= longest;
            if is_one {
                last.1 = last.1.max(next.1);
            }
            is_one
        });
        self.joined = self.spans.len();
    }
}

impl Accumulator for Runs {
    fn update_batch(&mut self, columns: &[ArrayRef]) -> Result<()> {
        let [times, seconds, until @ ..] = columns else { return internal_err!("gaps has two arguments") };
        let (times, seconds) = (as_timestamp_microsecond_array(times)?, as_float64_array(seconds)?);
        let until = until.first().map(|until| as_timestamp_microsecond_array(until)).transpose()?;
        for row in 0..times.len() {
            let until = until.filter(|until| until.is_valid(row)).map(|until| until.value(row));
            self.expect(seconds.is_valid(row).then(|| seconds.value(row)), until)?;
            if times.is_valid(row) {
                self.add(times.value(row), times.value(row));
            }
        }
        Ok(())
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        self.join();
        let between = self.spans.windows(2).map(|pair| (pair[0].1, Some(pair[1].0)));
        let last = self.spans.last().map(|span| span.1).zip(self.until);
        let lasting = last.filter(|(last, until)| until.saturating_sub(*last) > self.micros());
        let (starts, ends): (Vec<i64>, Vec<Option<i64>>) =
            between.chain(lasting.map(|(last, _)| (last, None))).unzip();
        let count = starts.len();
        let starts = TimestampMicrosecondArray::from(starts).with_timezone("UTC");
        let ends = TimestampMicrosecondArray::from(ends).with_timezone("UTC");
        let columns: Vec<ArrayRef> = vec![Arc::new(starts), Arc::new(ends)];
        let gaps = StructArray::try_new_with_length(gap(), columns, None, count)?;
        let offsets = OffsetBuffer::from_lengths([count]);
        // How long a gap is was not said: nothing is known of any.
        let known = self.longer_than.is_none().then(|| vec![false].into());
        let list = ListArray::try_new(list_item(), offsets, Arc::new(gaps), known)?;
        Ok(ScalarValue::List(Arc::new(list)))
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.spans.capacity() * size_of::<(i64, i64)>()
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let list = |times: Int64Array| SingleRowListArrayBuilder::new(Arc::new(times)).build_list_scalar();
        let starts = self.spans.iter().map(|span| span.0).collect();
        let ends = self.spans.iter().map(|span| span.1).collect();
        let asked = [ScalarValue::Float64(self.longer_than), ScalarValue::Int64(self.until)];
        Ok([list(starts), list(ends)].into_iter().chain(asked).collect())
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        let [starts, ends, seconds, until] = states else {
            return internal_err!("the state of gaps has four parts");
        };
        let (starts, ends) = (as_list_array(starts)?, as_list_array(ends)?);
        let (seconds, until) = (as_float64_array(seconds)?, as_int64_array(until)?);
        for row in (0..starts.len()).filter(|row| starts.is_valid(*row)) {
            let until = until.is_valid(row).then(|| until.value(row));
            self.expect(seconds.is_valid(row).then(|| seconds.value(row)), until)?;
            let (starts, ends) = (starts.value(row), ends.value(row));
            let (starts, ends) = (starts.as_primitive::<Int64Type>(), ends.as_primitive::<Int64Type>());
            starts.values().iter().zip(ends.values()).for_each(|(start, end)| self.add(*start, *end));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn found(longer_than: f64, parts: &[&[i64]]) -> Vec<(i64, i64)> {
        let mut all = Runs::default();
        for part in parts {
            let mut runs = Runs::default();
            runs.expect(Some(longer_than), None).unwrap();
            part.iter().for_each(|time| runs.add(*time, *time));
            let states: Vec<ArrayRef> =
                runs.state().unwrap().iter().map(|part| part.to_array().unwrap()).collect();
            all.merge_batch(&states).unwrap();
        }
        all.join();
        all.spans.windows(2).map(|pair| (pair[0].1, pair[1].0)).collect()
    }

    proptest! {
        #[test]
        fn gaps_are_those_between_sorted_readings_whatever_their_order_and_parts(
            mut times in prop::collection::vec(0_i64..2_000, 0..300), longest in 0_i64..30, cut in 0_usize..300,
        ) {
            let (one, other) = times.split_at(cut.min(times.len()));
            let gaps = found(longest as f64 / 1e6, &[one, other]);
            times.sort_unstable();
            let pairs = times.windows(2).map(|pair| (pair[0], pair[1]));
            let expected: Vec<_> = pairs.filter(|(start, end)| end - start > longest).collect();
            prop_assert_eq!(gaps, expected);
        }
    }
}
