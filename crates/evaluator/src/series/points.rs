//! The reports of a series in order of time, two words each: every series keeps those that may be joined by late ones, and
//! some need those of the last block.

use std::collections::VecDeque;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
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

/// A report.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Point {
    /// When.
    pub time: EventTime,
    /// In the canonical unit; a running total for deltas, once settled.
    pub value: f64,
    /// What it says.
    pub report: Report,
}

/// A point in two words: its time, µs, times four, plus the report's number; and its value.
#[derive(Debug, Clone, Copy)]
struct Packed(i64, f64);

/// Times beyond are kept as this: the year 38,500.
const TIME_MAX: i64 = 1 << 60;
/// Lengths beyond are kept as this: 36,500 years.
const LENGTH_MAX: i64 = 1 << 60;

/// A time as reports have it. Whoever compares one with theirs takes this.
pub(crate) fn kept_time(time: EventTime) -> EventTime {
    EventTime::from_unix_micros(time.unix_micros().clamp(-TIME_MAX, TIME_MAX))
}

impl Packed {
    fn new(point: Point) -> Self {
        Self(kept_time(point.time).unix_micros() << 2 | point.report as i64, point.value)
    }

    const fn time(self) -> EventTime {
        EventTime::from_unix_micros(self.0 >> 2)
    }

    const fn report(self) -> Report {
        match self.0 & 3 {
            0 => Report::Reading,
            1 => Report::Invalid,
            2 => Report::Distrusted,
            _ => Report::Ended,
        }
    }

    const fn point(self) -> Point {
        Point { time: self.time(), value: self.1, report: self.report() }
    }
}

/// Lengths that reports before a time are held for, in order of time.
type Earlier = Vec<(EventTime, Microseconds)>;

/// Reports in order of time. The first ones are settled: it is known how long each is held.
///
/// In memory what a report that comes looks at stands first.
#[derive(Debug, Default, Clone)]
#[repr(C)]
pub(crate) struct Points {
    reports: VecDeque<Packed>,
    /// Time of the latest report, here too: each report that comes is compared with it, and of many series the reports are
    /// in no cache.
    last_time: Option<EventTime>,
    settled: usize,
    /// How long settled reports are held, but for those before the times of `earlier`.
    length: Microseconds,
    /// The length changes while the interval of a feed is found, and then no more.
    #[allow(clippy::box_collection, reason = "most series have none, and all have room for the pointer")]
    earlier: Option<Box<Earlier>>,
}

/// Room is made for so many reports at once: they come and go, and room for twice as many would stay empty.
const GROWTH: usize = 4;

impl Points {
    /// The first bytes: all that a report looks at which comes in order.
    pub(super) const ARRIVAL_BYTES: usize =
        std::mem::offset_of!(Self, last_time) + size_of::<Option<EventTime>>();

    pub(crate) fn len(&self) -> usize {
        self.reports.len()
    }

    #[cfg(test)]
    pub(crate) fn capacity(&self) -> usize {
        self.reports.capacity()
    }

    /// How many are settled.
    pub(crate) fn settled(&self) -> usize {
        self.settled
    }

    pub(crate) fn get(&self, index: usize) -> Option<Point> {
        self.reports.get(index).map(|packed| packed.point())
    }

    /// Time of the earliest.
    pub(crate) fn first_time(&self) -> Option<EventTime> {
        self.reports.front().map(|packed| packed.time())
    }

    /// Time of the latest, settled or not.
    pub(crate) fn last_time(&self) -> Option<EventTime> {
        self.last_time
    }

    /// The report that was settled last.
    pub(crate) fn last_settled(&self) -> Option<Point> {
        self.get(self.settled.checked_sub(1)?)
    }

    /// The first that is not settled.
    pub(crate) fn next(&self) -> Option<Point> {
        self.get(self.settled)
    }

    /// Those from `from` on.
    pub(crate) fn range(&self, from: usize) -> impl ExactSizeIterator<Item = Point> {
        self.reports.range(from.min(self.len())..).map(|packed| packed.point())
    }

    /// How many are before `time`.
    pub(crate) fn before(&self, time: EventTime) -> usize {
        self.reports.partition_point(|packed| packed.time() < time)
    }

    /// How many are of `time` or before. What is asked for lies close to what was settled last, and a step or two from
    /// there is faster than to halve.
    pub(crate) fn up_to(&self, time: EventTime) -> usize {
        let mut after = self.settled;
        while after.checked_sub(1).is_some_and(|last| time < self.reports[last].time()) {
            after -= 1;
        }
        while self.reports.get(after).is_some_and(|next| next.time() <= time) {
            after += 1;
        }
        after
    }

    /// Until when a report of these is held: the settled ones for their length, one that ends a series and those that are
    /// not settled for no time.
    pub(crate) fn until(&self, index: usize, point: Point) -> EventTime {
        if self.settled <= index || point.report == Report::Ended {
            return point.time;
        }
        point.time + self.length_at(point.time)
    }

    fn length_at(&self, time: EventTime) -> Microseconds {
        let earlier = self.earlier.iter().flat_map(|earlier| &**earlier);
        earlier.clone().find(|(before, _)| time < *before).map_or(self.length, |(_, length)| *length)
    }

    /// Adds one that is later than all.
    pub(crate) fn push(&mut self, point: Point) {
        if self.reports.len() == self.reports.capacity() {
            self.reports.reserve_exact(GROWTH);
        }
        let packed = Packed::new(point);
        self.last_time = Some(packed.time());
        self.reports.push_back(packed);
    }

    /// Adds one before that of this index.
    pub(crate) fn insert(&mut self, index: usize, point: Point) {
        debug_assert!(self.settled <= index, "what is settled lies behind the watermark");
        self.reports.insert(index, Packed::new(point));
        self.last_time = self.reports.back().map(|packed| packed.time());
    }

    /// The next is settled as this, held for `length`.
    pub(crate) fn settle(&mut self, point: Point, length: Microseconds) {
        let length = Microseconds(length.0.clamp(0, LENGTH_MAX));
        if length != self.length && point.report != Report::Ended {
            if self.settled > 0 {
                self.earlier.get_or_insert_default().push((point.time, self.length));
            }
            self.length = length;
        }
        self.reports[self.settled] = Packed::new(point);
        self.settled += 1;
    }

    /// Forgets the settled ones that ended before `from`, but for one.
    pub(crate) fn forget_before(&mut self, from: EventTime) {
        while self.settled >= 2 && self.reports[1].time() <= from {
            self.reports.pop_front();
            self.settled -= 1;
        }
        if let (Some(earlier), Some(first)) = (&mut self.earlier, self.reports.front()) {
            earlier.retain(|(before, _)| first.time() < *before);
            if earlier.is_empty() {
                self.earlier = None;
            }
        }
    }
}

/// A report as a checkpoint has it.
#[derive(Serialize, Deserialize)]
struct Kept {
    time: EventTime,
    value: f64,
    /// How long it is held, µs, times four, plus the report's number.
    held_and_report: u64,
}

/// The reports, then how many of them are settled.
impl Serialize for Points {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        (Reports(self), self.settled).serialize(serializer)
    }
}

/// Reports as a checkpoint has them.
struct Reports<'a>(&'a Points);

impl Serialize for Reports<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let points = self.0;
        serializer.collect_seq(points.range(0).enumerate().map(|(index, point)| {
            let held = (points.until(index, point) - point.time).0.unsigned_abs();
            let held_and_report = held << 2 | point.report as u64;
            Kept { time: point.time, value: point.value, held_and_report }
        }))
    }
}

impl<'de> Deserialize<'de> for Points {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (kept, settled): (Vec<Kept>, usize) = Deserialize::deserialize(deserializer)?;
        let mut points = Self::default();
        points.reports.reserve_exact(kept.len());
        for (index, Kept { time, value, held_and_report }) in kept.into_iter().enumerate() {
            let report = Packed((held_and_report & 3) as i64, value).report();
            let point = Point { time, value, report };
            points.push(point);
            if index < settled {
                let length = i64::try_from(held_and_report >> 2).unwrap_or(i64::MAX);
                points.settle(point, Microseconds(length));
            }
        }
        Ok(points)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> EventTime {
        EventTime::from_unix_micros(seconds * 1_000_000)
    }

    fn until(points: &Points) -> Vec<i64> {
        let until = points.range(0).enumerate().map(|(index, point)| points.until(index, point));
        until.map(|time| time.unix_micros() / 1_000_000).collect()
    }

    #[test]
    fn each_report_is_held_for_the_length_of_its_time_also_after_a_checkpoint() {
        let mut points = Points::default();
        for (second, report) in [
            (0, Report::Reading),
            (10, Report::Invalid),
            (20, Report::Ended),
            (30, Report::Distrusted),
            (40, Report::Reading),
        ] {
            points.push(Point { time: at(second), value: second as f64, report });
        }
        for length in [60, 60, 15, 15] {
            points.settle(points.next().unwrap(), Microseconds::from_seconds(length));
        }
        assert_eq!(until(&points), [60, 70, 20, 45, 40]);
        let bytes = postcard::to_allocvec(&points).unwrap();
        let kept: (Vec<Kept>, usize) = postcard::from_bytes(&bytes).unwrap();
        assert_eq!((kept.0.len(), kept.1), (5, 4), "a list, and how many are settled");
        assert_eq!(postcard::to_allocvec(&kept).unwrap(), bytes);
        let read: Points = postcard::from_bytes(&bytes).unwrap();
        assert_eq!(until(&read), until(&points));
        assert!(read.range(0).eq(points.range(0)) && read.settled() == 4);
        points.forget_before(at(30));
        assert_eq!((points.len(), until(&points)), (2, vec![45, 40]));
        assert!(points.earlier.is_none(), "what is forgotten needs no length");
    }

    #[test]
    fn a_length_that_nobody_can_mean_is_none_or_very_long() {
        for (length, kept) in [(-1, 0), (i64::MIN, 0), (i64::MAX, LENGTH_MAX)] {
            let mut points = Points::default();
            let point = Point { time: at(1), value: 1.0, report: Report::Reading };
            points.push(point);
            points.settle(point, Microseconds(length));
            assert_eq!(points.until(0, point), at(1) + Microseconds(kept));
            let read: Points = postcard::from_bytes(&postcard::to_allocvec(&points).unwrap()).unwrap();
            assert_eq!(read.until(0, point), points.until(0, point), "in a checkpoint");
        }
    }

    #[test]
    fn a_time_that_nobody_can_mean_is_kept_as_one_far_away() {
        let mut points = Points::default();
        for time in [i64::MIN, i64::MAX] {
            points.push(Point { time: EventTime::from_unix_micros(time), value: 1.0, report: Report::Ended });
        }
        let times: Vec<i64> = points.range(0).map(|point| point.time.unix_micros()).collect();
        assert_eq!(times, [-TIME_MAX, TIME_MAX]);
        assert!(points.range(0).all(|point| point.report == Report::Ended));
    }
}
