//! Functions of our own in SQL, beside those of DataFusion: one table of them, each from a file of its own.
//!
//! Those of readings take a value and its time, of one series each: group by what makes a series. Missing values and
//! values that are no finite numbers are unknown, and unknown is never counted as good; what cannot be said is null.

mod aggregate; // aggregates over readings as DataFusion sees them
mod curve; // readings in order of time, and what holds between them
mod of_times; // aggregates over times alone as DataFusion sees them

mod delta; // growth of a counter
mod gaps; // where a series said nothing for too long
mod heat_kw; // heat that a coolant carries
mod locf; // last value carried forward
mod now; // the data's watermark
mod percentile_tw; // time-weighted percentile
mod rate; // growth of a counter a second
mod reading_intervals; // how often a series speaks
mod settling_time; // how long until a value stays in its band
mod slope; // least squares
mod time_above; // time above a threshold
mod time_weighted_avg; // time-weighted mean
mod verdict_checks; // the rows of a stored verdict

use std::sync::Arc;

use datafusion::execution::{FunctionRegistry, SessionState};
use datafusion::logical_expr::{AggregateUDF, ScalarUDF, WindowUDF};

use aggregate::{OfReadings, Rule};
pub use now::{begin_at, is_open};

/// A function that SQL has here.
#[derive(Debug)]
pub struct Function {
    /// Its name in SQL.
    pub name: &'static str,
    /// Its arguments; those in brackets may be left out.
    pub arguments: &'static str,
    /// Unit of its result as a UCUM symbol, or in words where it depends on the arguments; `None` for no number.
    pub unit: Option<&'static str>,
    /// What it answers, and what of missing values.
    pub meaning: &'static str,
    make: Make,
}

/// How a session gets it.
#[derive(Debug)]
enum Make {
    /// One row at a time.
    Scalar(fn() -> ScalarUDF),
    /// All readings of a group.
    OfReadings(Rule),
    /// All rows of a group.
    Aggregate(fn(&'static Function) -> AggregateUDF),
    /// A row and those before it.
    Window(fn() -> WindowUDF),
}

/// All functions of our own: a new one is a file and a line here.
pub static FUNCTIONS: &[Function] = &[
    now::NOW,
    heat_kw::HEAT_KW,
    time_weighted_avg::TIME_WEIGHTED_AVG,
    percentile_tw::PERCENTILE_TW,
    time_above::TIME_ABOVE,
    slope::SLOPE,
    delta::DELTA,
    rate::RATE,
    settling_time::SETTLING_TIME,
    locf::LOCF,
    gaps::GAPS,
    reading_intervals::READING_INTERVALS,
    verdict_checks::VERDICT_CHECKS,
];

/// Gives a session all of them.
pub fn register(state: &mut SessionState) {
    for function in FUNCTIONS {
        let taken = match &function.make {
            Make::Scalar(make) => state.register_udf(Arc::new(make())).map(drop),
            Make::OfReadings(rule) => {
                let aggregate = AggregateUDF::from(OfReadings::new(function, rule));
                state.register_udaf(Arc::new(aggregate)).map(drop)
            }
            Make::Aggregate(make) => state.register_udaf(Arc::new(make(function))).map(drop),
            Make::Window(make) => state.register_udwf(Arc::new(make())).map(drop),
        };
        taken.expect("a session takes any function");
    }
}
