//! One cell of a table, and a row of them.

use telemetry::EventTime;

/// One cell.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Cell<'a> {
    Empty,
    /// Text without blanks around it, at least one character.
    Text(&'a str),
    Integer(i64),
    Number(f64),
    /// A moment.
    Time(EventTime),
    /// A date and time without zone, written as if it were UTC.
    LocalTime(EventTime),
}

/// The cells of one row, by the numbers of their columns.
pub(crate) trait Cells {
    /// The cell of a column; empty where the row has none.
    fn cell(&self, column: usize) -> Cell<'_>;
}
