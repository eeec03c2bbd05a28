//! What holds for the functions of readings whatever the readings are, and in whatever order they come.

use std::sync::LazyLock;

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::Float64Type;
use history::{History, HistorySettings};
use proptest::prelude::*;
use tokio::runtime::Runtime;

/// Seconds and value; `None` is a missing value.
type Reading = (i64, Option<f64>);

/// An engine that all tests here ask.
static ASKED: LazyLock<Asked> = LazyLock::new(Asked::new);

struct Asked {
    runtime: Runtime,
    history: History,
}

impl Asked {
    fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let history = runtime.block_on(History::open("memory://", HistorySettings::default())).unwrap();
        Self { runtime, history }
    }

    fn answer(&self, sql: &str) -> RecordBatch {
        self.runtime.block_on(async {
            let answer = self.history.query_engine().sql(sql, &[]).await.unwrap();
            let schema = answer.schema.clone();
            let batches = answer.collect().await.unwrap();
            arrow::compute::concat_batches(&schema, &batches).unwrap()
        })
    }

    /// The functions, each once, of these readings.
    fn of(&self, readings: &[Reading]) -> Vec<Option<f64>> {
        let rows: Vec<String> = readings.iter().map(row).collect();
        let sql = format!("SELECT {} FROM ({}) AS r(seconds, value)", all(), rows.join(" UNION ALL "));
        let answer = self.answer(&sql);
        (0..answer.num_columns())
            .map(|column| answer.column(column).as_primitive::<Float64Type>().iter().next().unwrap())
            .collect()
    }
}

/// One row as a query of its own, so that rows come from as many parts of a plan.
fn row((seconds, value): &Reading) -> String {
    let value = value.map_or_else(|| "CAST(NULL AS DOUBLE)".to_owned(), |value| format!("{value:?}"));
    format!("SELECT {seconds}, {value}")
}

const FUNCTIONS: [&str; 8] = [
    "time_weighted_avg(value, T)",
    "percentile_tw(value, T, 0.5)",
    "time_above(value, T, 50.0)",
    "slope(value, T)",
    "delta(value, T)",
    "rate(value, T)",
    "settling_time(value, T, 50.0, 25.0)",
    "time_above(value, T, 50.0, 30.0)",
];
/// Their places in an answer.
const AVERAGE: usize = 0;
const MEDIAN: usize = 1;
const ABOVE: usize = 2;
const SLOPE: usize = 3;
const DELTA: usize = 4;
const RATE: usize = 5;
const SETTLING: usize = 6;
const ABOVE_WITH_GAP: usize = 7;

fn all() -> String {
    FUNCTIONS.map(|function| function.replace('T', "to_timestamp_micros(seconds * 1000000)")).join(", ")
}

/// Readings of different times.
fn readings() -> impl Strategy<Value = Vec<Reading>> {
    let value = prop_oneof![9 => (0_i32..100).prop_map(|value| Some(f64::from(value))), 1 => Just(None)];
    proptest::collection::btree_map(0_i64..200, value, 1..12).prop_map(|map| map.into_iter().collect())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    /// The order in which rows come, and the parts of a plan that they come from, change not one bit.
    #[test]
    fn the_order_of_rows_does_not_matter(
        (sorted, shuffled) in readings().prop_flat_map(|sorted| (Just(sorted.clone()), Just(sorted).prop_shuffle()))
    ) {
        prop_assert_eq!(ASKED.of(&sorted), ASKED.of(&shuffled));
    }

    /// All functions agree with sums that are written down from their definition.
    #[test]
    fn functions_are_what_they_say(readings in readings()) {
        let answers = ASKED.of(&readings);
        let known: Vec<(f64, f64)> =
            readings.iter().filter_map(|(seconds, value)| Some((*seconds as f64, (*value)?))).collect();
        let held: Vec<(f64, f64)> = readings
            .windows(2)
            .filter_map(|pair| Some((pair[0].1?, (pair[1].0 - pair[0].0) as f64)))
            .collect();
        let close = |answer: Option<f64>, expected: Option<f64>| match (answer, expected) {
            (Some(answer), Some(expected)) => (answer - expected).abs() < 1e-9 * expected.abs().max(1.0),
            (answer, expected) => answer == expected,
        };
        let total: f64 = held.iter().map(|(_, length)| length).sum();
        let above = |longest: f64| {
            let held: Vec<_> = held.iter().filter(|(_, length)| *length <= longest).collect();
            let above = held.iter().filter(|(value, _)| *value > 50.0).map(|(_, length)| length).sum();
            (!held.is_empty()).then_some(above)
        };
        prop_assert!(close(answers[ABOVE], above(f64::MAX)), "{answers:?}");
        prop_assert!(close(answers[ABOVE_WITH_GAP], above(30.0)), "{answers:?}");
        if total > 0.0 {
            let mean = held.iter().map(|(value, length)| value * length).sum::<f64>() / total;
            prop_assert!(close(answers[AVERAGE], Some(mean)), "{answers:?}");
            let median = answers[MEDIAN].unwrap();
            let not_above = held.iter().filter(|(value, _)| *value <= median).map(|(_, length)| length);
            let below = held.iter().filter(|(value, _)| *value < median).map(|(_, length)| length);
            prop_assert!(not_above.sum::<f64>() >= 0.5 * total && below.sum::<f64>() < 0.5 * total);
        }
        if let [(first, _), .., (last, _)] = known[..] {
            let steps = known.windows(2).map(|pair| match pair[1].1 < pair[0].1 {
                true => pair[1].1,
                false => pair[1].1 - pair[0].1,
            });
            let grown: f64 = steps.sum();
            prop_assert!(close(answers[DELTA], Some(grown)), "{answers:?}");
            prop_assert!(close(answers[RATE], Some(grown / (last - first))), "{answers:?}");
            let count = known.len() as f64;
            let (x, y) = known.iter().fold((0.0, 0.0), |(x, y), (seconds, value)| (x + seconds, y + value));
            let xy: f64 = known.iter().map(|(seconds, value)| seconds * value).sum();
            let xx: f64 = known.iter().map(|(seconds, _)| seconds * seconds).sum();
            let slope = (count * xy - x * y) / (count * xx - x * x);
            prop_assert!((answers[SLOPE].unwrap() - slope).abs() < 1e-9, "{answers:?} {slope}");
        } else {
            prop_assert!([SLOPE, DELTA, RATE].iter().all(|function| answers[*function].is_none()));
        }
        let within = |value: Option<f64>| value.is_some_and(|value| (value - 50.0).abs() <= 25.0);
        let settled = readings.iter().rposition(|(_, value)| !within(*value)).map_or(0, |outside| outside + 1);
        let expected = readings.get(settled).map(|(seconds, _)| (seconds - readings[0].0) as f64);
        prop_assert_eq!(answers[SETTLING], expected);
    }

    /// A line's slope is found to the last digits, wherever in time and value the line lies.
    #[test]
    fn the_slope_of_a_line_is_its_own(per_second in -5_i32..5, year in 0_i64..80, offset in -1_000_000_i64..1_000_000) {
        let start = year * 31_557_600;
        let line: Vec<Reading> = (0..9)
            .map(|step| (start + 10 * step, Some((offset + 10 * step * i64::from(per_second)) as f64)))
            .collect();
        let slope = ASKED.of(&line)[SLOPE].unwrap();
        prop_assert!((slope - f64::from(per_second)).abs() < 1e-6, "{slope}");
    }
}

/// Groups, parts of a plan and the merging of their states: the same readings give the same bits in each group.
#[test]
fn many_groups_from_many_parts_answer_alike() {
    let sql = format!(
        "SELECT count(*) AS groups, count(DISTINCT a) AS averages, count(DISTINCT b) AS slopes, max(a) AS average
         FROM (
           SELECT key % 97 AS rack, time_weighted_avg(value, {time}) AS a, slope(value, {time}) AS b
           FROM (SELECT i AS key, (i / 97) % 500 AS value, (i / 97) * 7 % 500 AS seconds
                 FROM generate_series(0, 48499) AS s(i))
           GROUP BY key % 97)",
        time = "to_timestamp_micros(seconds * 1000000)"
    );
    let answer = ASKED.answer(&sql);
    let count = |column: usize| answer.column(column).as_primitive::<arrow::datatypes::Int64Type>().value(0);
    assert_eq!((count(0), count(1), count(2)), (97, 1, 1));
    assert!(answer.column(3).as_primitive::<Float64Type>().value(0) > 0.0);
}

/// Readings that an aggregate holds count against the memory that queries share.
#[test]
fn readings_that_are_held_count_against_the_limit() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let limits = history::query::Limits { memory_bytes_max: 1 << 20, ..history::query::Limits::default() };
    let settings = HistorySettings { limits, ..HistorySettings::default() };
    let error = runtime.block_on(async {
        let history = History::open("memory://", settings).await.unwrap();
        let sql =
            "SELECT percentile_tw(i, to_timestamp_micros(i), 0.5) FROM generate_series(1, 1000000) AS s(i) GROUP BY i % 3";
        match history.query_engine().sql(sql, &[]).await {
            Ok(answer) => answer.collect().await.unwrap_err().to_string(),
            Err(error) => error.to_string(),
        }
    });
    assert!(error.contains("more than is left of 1048576 bytes"), "{error}");
}
