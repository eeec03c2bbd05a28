//! One report of a series, in three words: every series keeps those of the last minute and a half.

use serde::{Deserialize, Serialize};
use telemetry::record::Flag;
use telemetry::{EventTime, Microseconds};

/// What a report says of its series.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Report {
    /// A value.
    Reading,
    /// Something that cannot be a reading.
    Invalid,
    /// A value not to be trusted, by its source.
    Distrusted,
    /// No more values.
    Ended,
}

impl Report {
    /// What a reading with that flag says.
    pub(crate) const fn of(flag: Flag) -> Self {
        match flag {
            Flag::Ok | Flag::Unusual => Self::Reading,
            Flag::Implausible | Flag::Sentinel | Flag::Late | Flag::Future => Self::Invalid,
            Flag::Distrusted => Self::Distrusted,
            Flag::Stale => Self::Ended,
        }
    }
}

/// A report and how long it counts.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct Point {
    /// When.
    pub time: EventTime,
    /// In the canonical unit; a running total for deltas, once settled.
    pub value: f64,
    /// How long its value is held, µs, times four, plus the report's number.
    held_and_report: u64,
}

impl Point {
    /// Before it is known how long it is held: for no time.
    pub(crate) const fn new(time: EventTime, value: f64, report: Report) -> Self {
        Self { time, value, held_and_report: report as u64 }
    }

    /// The same, held for `length`: at most 73,000 years.
    pub(crate) fn held(self, length: Microseconds) -> Self {
        let microseconds = u64::try_from(length.0).unwrap_or(0).min(u64::MAX >> 3);
        Self { held_and_report: microseconds << 2 | self.held_and_report & 3, ..self }
    }

    /// Its value is held until then.
    pub(crate) fn until(self) -> EventTime {
        self.time + Microseconds((self.held_and_report >> 2) as i64)
    }

    /// What it says.
    pub(crate) const fn report(self) -> Report {
        match self.held_and_report & 3 {
            0 => Report::Reading,
            1 => Report::Invalid,
            2 => Report::Distrusted,
            _ => Report::Ended,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_keeps_what_it_says_however_long_it_is_held() {
        let time = EventTime::from_unix_micros(1_000);
        for report in [Report::Reading, Report::Invalid, Report::Distrusted, Report::Ended] {
            for length in [0, 1, 15_000_000, i64::MAX] {
                let point =
                    Point::new(time, 7.0, report).held(Microseconds(length)).held(Microseconds(length));
                assert_eq!(point.report(), report);
                let expected = time + Microseconds(length.min(i64::MAX >> 2));
                assert_eq!(point.until(), expected);
            }
        }
        assert_eq!(Point::new(time, 7.0, Report::Ended).until(), time);
        assert_eq!(Point::new(time, 7.0, Report::Reading).held(Microseconds(-1)).until(), time);
    }
}
