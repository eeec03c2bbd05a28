//! `slope`: how fast a value rises.

use arrow::array::{Array, ArrayRef};
use datafusion::common::cast::{as_float64_array, as_timestamp_microsecond_array};
use datafusion::common::{Result, ScalarValue, internal_err};
use datafusion::logical_expr::Accumulator;
use twofloat::TwoFloat;

use super::aggregate::{Rule, Streamed, finite};
use super::curve::Curve;
use super::{Function, Make};

pub const SLOPE: Function = Function {
    name: "slope",
    arguments: "value, time",
    unit: Some("of value, a second"),
    meaning: "rise of a value by least squares, a second; null for readings of less than two times",
    make: Make::OfReadings(Rule {
        arguments: &[],
        takes_gap: false,
        evaluate: slope,
        streamed: Some(Streamed { begin: || Box::new(Line::default()), state: &STATE }),
    }),
};

fn slope(curve: Curve<'_>, _: &[f64]) -> Option<f64> {
    let mut line = Line::default();
    curve.known().for_each(|(time, value)| line.add(time.unix_micros(), value));
    line.slope()
}

const STATE: [&str; 10] = [
    "count",
    "origin",
    "times",
    "times_rest",
    "squares",
    "squares_rest",
    "values",
    "values_rest",
    "products",
    "products_rest",
];

/// What is less than this by the sums that it is the difference of, is of their last digits, which the order of the
/// readings makes: nothing.
const SUMS_PRECISION: f64 = 1.0 / (1_u128 << 96) as f64;

/// Sums of readings by which a line of least squares is found: slope = (n Σtv − Σt Σv) / (n Σt² − (Σt)²).
///
/// They have twice the digits of a double, those of times more: neither the year nor a great offset of the value costs
/// digits, and whatever the order in which readings come, the slope is the same to its last digit.
#[derive(Debug)]
struct Line {
    count: i64,
    /// The time that the others are counted from, µs.
    origin: i64,
    times: i128,
    /// The greatest number when they are beyond it.
    squares: i128,
    values: TwoFloat,
    products: TwoFloat,
}

impl Default for Line {
    fn default() -> Self {
        let nothing = TwoFloat::from(0.0);
        Self { count: 0, origin: 0, times: 0, squares: 0, values: nothing, products: nothing }
    }
}

/// A sum of times with the digits of two doubles.
fn twofold(sum: i128) -> TwoFloat {
    let nearest = sum as f64;
    TwoFloat::new_add(nearest, (sum - nearest as i128) as f64)
}

impl Line {
    fn add(&mut self, time: i64, value: f64) {
        if self.count == 0 {
            self.origin = time;
        }
        let time = time.saturating_sub(self.origin);
        self.count += 1;
        self.times += i128::from(time);
        self.squares = self.squares.saturating_add(i128::from(time) * i128::from(time));
        self.values += value;
        self.products += TwoFloat::new_mul(time as f64, value);
    }

    /// Counts from another time.
    fn move_to(&mut self, origin: i64) {
        let later = self.origin.saturating_sub(origin);
        let (exact, count) = (i128::from(later), i128::from(self.count));
        let moved = (2 * exact).checked_mul(self.times).zip((exact * exact).checked_mul(count));
        let moved = moved.and_then(|(twice, square)| self.squares.checked_add(twice.checked_add(square)?));
        self.squares = moved.filter(|_| self.squares < i128::MAX).unwrap_or(i128::MAX);
        self.times += exact * count;
        self.products += self.values * later as f64;
        self.origin = origin;
    }

    fn join(&mut self, mut other: Self) {
        if other.count == 0 {
            return;
        }
        if self.count == 0 {
            *self = other;
            return;
        }
        other.move_to(self.origin);
        self.count += other.count;
        self.times += other.times;
        self.squares = self.squares.saturating_add(other.squares);
        self.values += other.values;
        self.products += other.products;
    }

    /// Of value, a second; `None` for less than two times, and for times of which the squares are beyond all sums, such as
    /// those of a million readings over 1,000 years.
    fn slope(&self) -> Option<f64> {
        let (count, times) = (self.count as f64, twofold(self.times));
        let common = (self.products * count - times * self.values) * 1e6;
        let spread = twofold(self.squares) * count - times * times;
        // The library's quotient of two sums has no more digits than a double has.
        let nearly = common.hi() / spread.hi();
        let rest = common - spread * nearly;
        let slope = if common.hi().abs() <= self.products.hi().abs() * count * 1e6 * SUMS_PRECISION {
            0.0
        } else {
            nearly + rest.hi() / spread.hi()
        };
        (spread.hi() > 0.0 && self.squares < i128::MAX).then_some(slope)
    }

    fn numbers(&self) -> [f64; STATE.len()] {
        let Self { count, origin, times, squares, values, products } = self;
        let sums = [twofold(*times), twofold(*squares), *values, *products];
        let mut numbers = [*count as f64; STATE.len()];
        numbers[1] = *origin as f64;
        for (at, sum) in sums.iter().enumerate() {
            (numbers[2 + 2 * at], numbers[3 + 2 * at]) = (sum.hi(), sum.lo());
        }
        numbers
    }

    fn of(numbers: [f64; STATE.len()]) -> Self {
        let whole = |at: usize| (numbers[at] as i128).saturating_add(numbers[at + 1] as i128);
        // Sums that grew beyond a double make the whole no number.
        let sum = |at: usize| {
            TwoFloat::try_from((numbers[at], numbers[at + 1])).unwrap_or_else(|_| TwoFloat::from(f64::NAN))
        };
        Self {
            count: numbers[0] as i64,
            origin: numbers[1] as i64,
            times: whole(2),
            squares: whole(4),
            values: sum(6),
            products: sum(8),
        }
    }
}

impl Accumulator for Line {
    fn update_batch(&mut self, columns: &[ArrayRef]) -> Result<()> {
        let [values, times] = columns else { return internal_err!("slope has a value and a time") };
        let (values, times) = (as_float64_array(values)?, as_timestamp_microsecond_array(times)?);
        for row in (0..times.len()).filter(|row| times.is_valid(*row)) {
            if let Some(value) = finite(values, row) {
                self.add(times.value(row), value);
            }
        }
        Ok(())
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        Ok(ScalarValue::Float64(self.slope().filter(|slope| slope.is_finite())))
    }

    fn size(&self) -> usize {
        size_of_val(self)
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        // The state is doubles, which hold the microseconds of 285 years: an origin of theirs.
        self.move_to(self.origin as f64 as i64);
        Ok(self.numbers().iter().map(|number| ScalarValue::Float64(Some(*number))).collect())
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        let states = states.iter().map(|state| as_float64_array(state)).collect::<Result<Vec<_>>>()?;
        let Ok(states) = <[_; STATE.len()]>::try_from(states) else {
            return internal_err!("the state of slope is {} numbers", STATE.len());
        };
        for row in 0..states[0].len() {
            self.join(Self::of(states.map(|state| state.value(row))));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn line(readings: &[(i64, f64)]) -> Line {
        let mut line = Line::default();
        readings.iter().for_each(|(time, value)| line.add(*time, *value));
        line
    }

    proptest! {
        #[test]
        fn parts_in_any_order_have_the_slope_of_the_whole_to_its_last_digit(
            readings in prop::collection::vec((0_i64..100_000_000_000, -1e6..1e6_f64), 2..200),
            year in 0_i64..100,
            cut in 0_usize..200,
        ) {
            let start = year * 31_557_600_000_000 + 1;
            let readings: Vec<_> = readings.into_iter().map(|(time, value)| (start + time, value)).collect();
            let whole = line(&readings).slope();
            let (one, other) = readings.split_at(cut.min(readings.len()));
            let backwards: Vec<_> = one.iter().rev().copied().collect();
            let mut joined = line(other);
            joined.join(Line::of(line(&backwards).numbers()));
            prop_assert_eq!(joined.slope(), whole);
        }
    }

    #[test]
    fn what_stays_the_same_has_no_slope_in_whatever_order_it_comes() {
        let readings: Vec<_> = (0..86_399).map(|at| (at * 1_000_000 + at * 7_919 % 997, 21.3)).collect();
        let backwards: Vec<_> = readings.iter().rev().copied().collect();
        assert_eq!((line(&readings).slope(), line(&backwards).slope()), (Some(0.0), Some(0.0)));
    }

    #[test]
    fn sums_beyond_a_double_are_no_slope_and_neither_is_one_time() {
        let mut beyond = line(&[(0, 1e300), (1_000_000_000, -1e308), (2_000_000_000, 1e308)]);
        assert_eq!(beyond.evaluate().unwrap(), ScalarValue::Float64(None));
        let mut joined = line(&[(0, 1.0), (1, 2.0)]);
        joined.join(Line::of(beyond.numbers()));
        assert_eq!(joined.evaluate().unwrap(), ScalarValue::Float64(None));
        assert_eq!(line(&[(7, 1.0), (7, 2.0)]).slope(), None);
        let ages = i64::MAX / 2;
        assert_eq!(line(&[(-ages, 1.0), (ages, 2.0), (-ages, 1.0), (ages, 2.0), (ages, 2.0)]).slope(), None);
    }
}
