//! Readings of one series in order of time, and the step function that they make.

use std::cmp::Ordering;

use telemetry::{EventTime, Microseconds};

/// A reading.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Reading {
    /// When.
    pub time: EventTime,
    /// What, finite; `None` where it says that nothing is known from then on.
    pub value: Option<f64>,
}

impl Reading {
    /// By time, then by value: an order without ties but of equals, so that sums never depend on the order in which
    /// rows came. Of several at one time the greatest holds, and a known one rather than none.
    pub fn order(&self, other: &Self) -> Ordering {
        let by_value = || match (self.value, other.value) {
            (None, None) => Ordering::Equal,
            (None, Some(_)) => Ordering::Less,
            (Some(_), None) => Ordering::Greater,
            (Some(value), Some(other)) => value.total_cmp(&other),
        };
        self.time.cmp(&other.time).then_with(by_value)
    }
}

/// Readings in [`Reading::order`]. Each holds until the next one: a step function from the first to the last.
#[derive(Debug, Clone, Copy)]
pub struct Curve<'a> {
    /// The readings.
    pub readings: &'a [Reading],
    /// The longest time that a reading may hold; what lies between two that are further apart is unknown.
    pub gap: Option<Microseconds>,
}

/// A span of time in which a value held.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Span {
    /// The value.
    pub value: f64,
    /// How long, more than nothing.
    pub length: Microseconds,
}

impl<'a> Curve<'a> {
    /// The readings that are known.
    pub fn known(self) -> impl DoubleEndedIterator<Item = (EventTime, f64)> + Clone + 'a {
        self.readings.iter().filter_map(|reading| Some((reading.time, reading.value?)))
    }

    /// The spans of known value. The last reading has no length.
    pub fn spans(self) -> impl Iterator<Item = Span> + Clone + 'a {
        self.readings.windows(2).filter_map(move |pair| {
            let length = pair[1].time - pair[0].time;
            let is_held = length > Microseconds::ZERO && self.gap.is_none_or(|gap| length <= gap);
            is_held.then_some(Span { value: pair[0].value?, length })
        })
    }

    /// All known time; `None` for no time.
    pub fn known_time(self) -> Option<Microseconds> {
        let sum = self.spans().fold(Microseconds::ZERO, |sum, span| sum + span.length);
        (sum > Microseconds::ZERO).then_some(sum)
    }

    /// What holds when all readings are of one moment.
    pub fn of_one_moment(self) -> Option<f64> {
        let (first, last) = (self.readings.first()?, self.readings.last()?);
        if first.time == last.time { last.value } else { None }
    }
}
