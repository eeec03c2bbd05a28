//! `gaps`: where a series said nothing for too long.

use std::sync::Arc;

use arrow::array::{ArrayRef, ListArray, StructArray, TimestampMicrosecondArray};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Field, FieldRef, Fields};
use datafusion::common::{Result, ScalarValue};

use super::of_times::{Asked, OfTimes, Times};
use super::{Function, Make};
use crate::schema::time_type;

pub const GAPS: Function = Function {
    name: "gaps",
    arguments: "time, longer_than_seconds[, until]",
    unit: None,
    meaning: "the gaps between readings that are further apart than that, a list for unnest: each has start, the reading \
              before, and end, the one after; with until also the one that lasts then, whose end is null",
    make: Make::Aggregate(OfTimes::<Spans>::make),
};

fn gap() -> Fields {
    ["start", "end"].into_iter().map(|name| Field::new(name, time_type(), true)).collect()
}

fn list_item() -> FieldRef {
    Arc::new(Field::new_list_field(DataType::Struct(gap()), true))
}

/// Spans of time in which no two readings that follow each other are further apart than asked, µs: a handful, however
/// many readings there are, when these come in order; and the same spans when they do not.
#[derive(Debug, Default)]
struct Spans {
    spans: Vec<(i64, i64)>,
    /// So many of the first are in order and joined.
    joined: usize,
}

fn longest(asked: &Asked) -> i64 {
    asked.length().unwrap_or(0)
}

impl Spans {
    fn push(&mut self, start: i64, end: i64, longest: i64) {
        match self.spans.last_mut() {
            Some(last) if last.0 <= start && start.saturating_sub(last.1) <= longest => {
                last.1 = last.1.max(end)
            }
            _ => self.spans.push((start, end)),
        }
        // Readings out of order make spans of their own, which may belong together.
        if self.spans.len() > 64 + 2 * self.joined {
            self.join(longest);
        }
    }

    fn join(&mut self, longest: i64) {
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

impl Times for Spans {
    const STATE: &'static [&'static str] = &["starts", "ends"];

    fn answer_type() -> DataType {
        DataType::List(list_item())
    }

    fn add(&mut self, time: i64, asked: &Asked) {
        self.push(time, time, longest(asked));
    }

    fn state(&self) -> Vec<Vec<i64>> {
        let (starts, ends) = self.spans.iter().copied().unzip();
        vec![starts, ends]
    }

    fn merge(&mut self, state: &[&[i64]], asked: &Asked) {
        if let [starts, ends] = state {
            starts.iter().zip(*ends).for_each(|(start, end)| self.push(*start, *end, longest(asked)));
        }
    }

    fn evaluate(&mut self, asked: &Asked) -> Result<ScalarValue> {
        let longest = longest(asked);
        self.join(longest);
        let between = self.spans.windows(2).map(|pair| (pair[0].1, Some(pair[1].0)));
        let last = self.spans.last().map(|span| span.1).zip(asked.until);
        let lasting = last.filter(|(last, until)| until.saturating_sub(*last) > longest);
        let (starts, ends): (Vec<i64>, Vec<Option<i64>>) =
            between.chain(lasting.map(|(last, _)| (last, None))).unzip();
        let count = starts.len();
        let starts = TimestampMicrosecondArray::from(starts).with_timezone("UTC");
        let ends = TimestampMicrosecondArray::from(ends).with_timezone("UTC");
        let columns: Vec<ArrayRef> = vec![Arc::new(starts), Arc::new(ends)];
        let gaps = StructArray::try_new_with_length(gap(), columns, None, count)?;
        let offsets = OffsetBuffer::from_lengths([count]);
        // How long a gap is was not said: nothing is known of any.
        let known = asked.length().is_none().then(|| vec![false].into());
        let list = ListArray::try_new(list_item(), offsets, Arc::new(gaps), known)?;
        Ok(ScalarValue::List(Arc::new(list)))
    }

    fn held_bytes(&self) -> usize {
        self.spans.capacity() * size_of::<(i64, i64)>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn found(longest: i64, parts: &[&[i64]]) -> Vec<(i64, i64)> {
        let mut all = Spans::default();
        for part in parts {
            let mut spans = Spans::default();
            part.iter().for_each(|time| spans.push(*time, *time, longest));
            spans.spans.iter().for_each(|(start, end)| all.push(*start, *end, longest));
        }
        all.join(longest);
        all.spans.windows(2).map(|pair| (pair[0].1, pair[1].0)).collect()
    }

    proptest! {
        #[test]
        fn gaps_are_those_between_sorted_readings_whatever_their_order_and_parts(
            mut times in prop::collection::vec(0_i64..2_000, 0..300), longest in 0_i64..30, cut in 0_usize..300,
        ) {
            let (one, other) = times.split_at(cut.min(times.len()));
            let gaps = found(longest, &[one, other]);
            times.sort_unstable();
            let pairs = times.windows(2).map(|pair| (pair[0], pair[1]));
            let expected: Vec<_> = pairs.filter(|(start, end)| end - start > longest).collect();
            prop_assert_eq!(gaps, expected);
        }
    }
}
