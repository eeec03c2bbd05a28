//! Slices: an expression over held values at one place, reduced over a span of time and compared with its limit.
//!
//! settled readings → **slice** → judged units

use telemetry::expression::{Expression, Reduction};
use telemetry::facts::{Comparison, UnknownReason};
use telemetry::{EventTime, Microseconds, median};

use crate::block::{BLOCK, BlockInProgress, ClosedBlock};
use crate::judge::SliceState;
use crate::objective::{Aggregation, Objective};
use crate::plan::{PlannedMember, PlannedOperand};
use crate::series::Series;

/// Memory that is used again for each slice.
#[derive(Debug, Default, Clone)]
pub(crate) struct Scratch {
    values: Vec<Result<f64, UnknownReason>>,
    readings: Vec<f64>,
}

/// The values of an expression at one place over a span of time.
pub(crate) struct Spans<'a> {
    /// The expression; none where the first operand is all that is read.
    pub expression: Option<&'a Expression>,
    /// Where its operands are read.
    pub member: &'a PlannedMember,
    /// All series of the partition, settled up to the end of the span.
    pub series: &'a [Series],
    /// No value is held for longer.
    pub staleness_maximum: Option<Microseconds>,
}

impl Spans<'_> {
    /// Length of the blocks at this place: that of its slowest series.
    pub(crate) fn block_length(&self) -> Microseconds {
        let series = self.member.operands.iter().flat_map(|operand| &operand.series);
        series.map(|number| self.series[*number as usize].block_length()).max().unwrap_or(BLOCK)
    }

    /// Calls `each` with every span of [`from`, `to`) in which the value is the same: its start, its end, the value
    /// or why there is none.
    pub(crate) fn each(
        &self,
        from: EventTime,
        to: EventTime,
        scratch: &mut Scratch,
        mut each: impl FnMut(EventTime, EventTime, Result<f64, UnknownReason>),
    ) {
        let only = self.only_series();
        let mut time = from;
        while time < to {
            let (value, next) = match only {
                Some(series) => series.at(time, self.staleness_maximum),
                None => self.at(time, scratch),
            };
            let next = next.min(to);
            each(time, next, value);
            time = next;
        }
    }

    /// The series whose readings are the values as they are, as those of most places.
    fn only_series(&self) -> Option<&Series> {
        let [PlannedOperand { series, .. }] = &self.member.operands[..] else { return None };
        let [only] = series[..] else { return None };
        let is_plain = self.expression.is_none_or(|expression| expression.as_operand().is_some());
        is_plain.then(|| &self.series[only as usize])
    }

    /// The value at a moment, and until when at most it is that.
    pub(crate) fn at(
        &self,
        time: EventTime,
        scratch: &mut Scratch,
    ) -> (Result<f64, UnknownReason>, EventTime) {
        let mut next = EventTime::from_unix_micros(i64::MAX);
        scratch.values.clear();
        for operand in &self.member.operands {
            let (value, until) = self.operand_at(operand, time, &mut scratch.readings);
            next = next.min(until);
            scratch.values.push(value);
        }
        let values = &scratch.values;
        if values.is_empty() {
            return (Err(UnknownReason::NeverSeen), next);
        }
        let value = match self.expression.filter(|expression| expression.as_operand().is_none()) {
            None => values[0],
            Some(expression) => expression.evaluate(|number| values.get(number)?.ok()).ok_or_else(|| {
                // Without an unknown operand it is a division by zero.
                values.iter().find_map(|value| value.err()).unwrap_or(UnknownReason::Invalid)
            }),
        };
        (value, next)
    }

    fn operand_at(
        &self,
        operand: &PlannedOperand,
        time: EventTime,
        readings: &mut Vec<f64>,
    ) -> (Result<f64, UnknownReason>, EventTime) {
        if let [only] = operand.series[..] {
            return self.series[only as usize].at(time, self.staleness_maximum);
        }
        let mut next = EventTime::from_unix_micros(i64::MAX);
        let mut missing = None;
        let mut is_doubtful = false;
        readings.clear();
        for number in &operand.series {
            let series = &self.series[*number as usize];
            let (value, until) = series.at(time, self.staleness_maximum);
            next = next.min(until);
            match value {
                Ok(_) if operand.reduction == Reduction::Own && !series.is_clear() => is_doubtful = true,
                Ok(value) => readings.push(value),
                Err(reason) => missing = missing.or(Some(reason)),
            }
        }
        if is_doubtful && readings.is_empty() {
            // None is trusted: those in doubt are judged, and said.
            let known = operand
                .series
                .iter()
                .map(|number| self.series[*number as usize].at(time, self.staleness_maximum));
            readings.extend(known.filter_map(|(value, _)| value.ok()));
        }
        // Of redundant sensors those that are trusted will do; a roll-up with a part missing is not known.
        let value = match (operand.reduction, missing) {
            (Reduction::Own, _) => median(readings),
            (_, Some(_)) => None,
            (Reduction::Highest, None) => readings.iter().copied().max_by(f64::total_cmp),
            (Reduction::Lowest, None) => readings.iter().copied().min_by(f64::total_cmp),
            (Reduction::Median, None) => median(readings),
            (Reduction::Mean, None) => mean(readings),
        };
        (value.ok_or(missing.unwrap_or(UnknownReason::NeverSeen)), next)
    }
}

fn mean(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

/// The values of a slice at one place, reduced.
#[derive(Debug, Default)]
pub(crate) struct Reduced {
    sums: BlockInProgress,
    known_until: Option<EventTime>,
    /// Why a part is unknown: the reason of its first unknown span.
    pub reason: Option<UnknownReason>,
}

impl Reduced {
    /// Adds a span.
    pub(crate) fn add(&mut self, start: EventTime, end: EventTime, value: Result<f64, UnknownReason>) {
        match value {
            Ok(value) => {
                self.sums.add(value, end - start, false);
                self.known_until = Some(end);
            }
            Err(reason) => self.reason = self.reason.or(Some(reason)),
        }
    }

    /// The sums over [`from`, `to`).
    pub(crate) fn close(&self, from: EventTime, to: EventTime) -> ClosedBlock {
        self.sums.close(from, to - from)
    }

    /// State and value of the slice [`from`, `to`). It is known when half of it is; a limit that the highest (or
    /// lowest) value breaks is broken whatever the rest was.
    pub(crate) fn judge(
        &self,
        objective: &Objective,
        from: EventTime,
        to: EventTime,
    ) -> (SliceState, Option<f64>) {
        let sums = self.close(from, to);
        let unknown = SliceState::Unknown(self.reason.unwrap_or(UnknownReason::Stale));
        if sums.known == Microseconds::ZERO {
            return (unknown, None);
        }
        let value = match objective.aggregation {
            Aggregation::TimeWeightedMean => sums.mean,
            Aggregation::TimeWeightedMax => sums.maximum,
            Aggregation::Minimum => sums.minimum,
            Aggregation::Last if self.known_until == Some(to) => sums.last,
            Aggregation::Last => return (unknown, None),
        };
        let is_certain = match (objective.aggregation, objective.comparison) {
            (Aggregation::TimeWeightedMax, Comparison::Lte | Comparison::Lt)
            | (Aggregation::Minimum, Comparison::Gte | Comparison::Gt) => true,
            (
                Aggregation::TimeWeightedMean
                | Aggregation::TimeWeightedMax
                | Aggregation::Minimum
                | Aggregation::Last,
                _,
            ) => false,
        };
        let state = match objective.comparison.holds(value, objective.threshold) {
            false if sums.is_valid() || is_certain => SliceState::Bad,
            true if sums.is_valid() => SliceState::Good,
            true | false => unknown,
        };
        (state, Some(value))
    }
}

/// Whether `one` is further from keeping the promise than `other`.
pub(crate) fn is_worse(comparison: Comparison, threshold: f64, one: f64, other: f64) -> bool {
    match comparison {
        Comparison::Lte | Comparison::Lt => other < one,
        Comparison::Gte | Comparison::Gt => one < other,
        Comparison::Equal => (other - threshold).abs() < (one - threshold).abs(),
    }
}
