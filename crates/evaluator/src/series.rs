//! One sensor's stream: readings wait in order of time until the watermark has passed them, then they are settled,
//! hold their value, and fill slices and blocks.
//!
//! samples → **series** → slices, blocks, gaps, stuck and noisy sensors

mod believed; // how far a sensor is believed, and how it is calibrated
mod kept; // as a checkpoint has it
mod points; // its reports
pub(crate) mod scatter; // how much its readings scatter
#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};
use telemetry::facts::UnknownReason;
use telemetry::record::{Fate, Flag, SeriesDeclaration, Temporality};
use telemetry::{EventTime, Microseconds};

use self::points::{Point, Points, Report};
use crate::block::{BlockInProgress, ClosedBlock};
use crate::coverage::KnownTime;
use crate::hold::Hold;
use crate::reading::{flag_of, is_possible};
use crate::stuck::Stuck;
use crate::trust::Standing;

use self::scatter::Scatter;

/// The first state code of a leak detector that tells nothing: 3 unavailable, 4 absent.
const STATE_CODE_UNAVAILABLE: f64 = 3.0;
/// Fewer reports are not worth tidying.
const TIDY_FROM: usize = 32;

/// Something that a settled reading tells beyond its value.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum SeriesEvent {
    /// No reading from `last` until `resumed`; it was held until `held_until`.
    Gap { last: EventTime, held_until: EventTime, resumed: EventTime },
    /// A reading after a gap that is told already.
    Resumed { at: EventTime },
    /// The same value for so long that the sensor must be stuck.
    Stuck { since: EventTime, at: EventTime },
    /// It moves again.
    Moved { at: EventTime },
}

/// The latest reading.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct Latest {
    /// When.
    pub time: EventTime,
    /// Held until then.
    pub until: EventTime,
    /// In the canonical unit.
    pub value: f64,
}

/// The state of one series.
///
/// What a reading that arrives looks at comes first, side by side, and what fits into the gap between: with many series,
/// none of it is in a cache yet.
#[derive(Debug, Clone)]
#[repr(C)]
pub(crate) struct Series {
    /// How often the latest timestamp was sent again.
    pub repeats: u32,
    /// A gap is told and not over.
    pub silent: bool,
    /// Its signal is canonical or declared: gaps of what merely passes by are nobody's trouble.
    pub is_known_signal: bool,
    /// Codes above 2 are no readings.
    is_state_code: bool,
    /// Why it is not to be judged, where a detector says so.
    pub fault: Option<UnknownReason>,
    /// In order of time; the first may be older than what is looked at, because it is still held.
    points: Points,
    /// How long its readings count.
    pub hold: Hold,
    /// Time of the first reading.
    pub first: Option<EventTime>,
    /// The latest settled reading.
    pub latest: Option<Latest>,
    /// Added to readings from a time on: calibrations, in order of their times. Each takes the place of the one before.
    #[allow(
        clippy::box_collection,
        reason = "few sensors are ever calibrated, and all have room for the pointer"
    )]
    offsets: Option<Box<Vec<(EventTime, f64)>>>,
    /// How far it is trusted, where there was ever a doubt.
    standing: Option<Box<Standing>>,
    /// Sum of all deltas, of a series of deltas.
    total: Option<f64>,
    /// Integrated up to here.
    pub integrated: Option<EventTime>,
    /// The block that is being filled.
    pub block: BlockInProgress,
    /// The latest block that was closed.
    pub last_block: Option<ClosedBlock>,
    /// Known time of the last hour and of the run.
    pub known: KnownTime,
    /// Whether the sensor moves.
    pub stuck: Option<Box<Stuck>>,
    /// How much its readings scatter, where its sensor has noise.
    pub scatter: Option<Box<Scatter>>,
}

/// Bytes of a line of the cache: what a reading looks at is no more.
const LINE_BYTES: usize = 64;
const _: () = assert!(std::mem::offset_of!(Series, points) + Points::ARRIVAL_BYTES <= LINE_BYTES);

impl Series {
    /// Before its first reading.
    pub(crate) fn new(declaration: &SeriesDeclaration) -> Self {
        Self {
            points: Points::default(),
            hold: Hold::of(declaration.feed),
            first: None,
            latest: None,
            repeats: 0,
            silent: false,
            fault: None,
            offsets: None,
            standing: None,
            total: (declaration.temporality == Temporality::Delta).then_some(0.0),
            is_known_signal: false,
            is_state_code: &*declaration.identity.signal == "leak_state",
            integrated: None,
            block: BlockInProgress::default(),
            last_block: None,
            known: KnownTime::default(),
            stuck: Stuck::applies(declaration).then(Box::default),
            scatter: Scatter::applies(declaration).then(Box::default),
        }
    }

    /// Takes a reading in. `watermark` is none before the first tick.
    pub(crate) fn insert(
        &mut self,
        time: EventTime,
        value: f64,
        flag: Flag,
        watermark: Option<EventTime>,
    ) -> Fate {
        let time = points::kept_time(time);
        let flag = flag_of(value, flag);
        let report = match Report::of(flag) {
            Report::Reading if self.is_state_code && STATE_CODE_UNAVAILABLE <= value => Report::Distrusted,
            other => other,
        };
        let point = Point { time, value, report };
        if flag == Flag::Future || flag == Flag::Late {
            return Fate::Stored(flag);
        }
        let newest = self.points.last_time();
        if newest < Some(time) && watermark <= Some(time) {
            self.points.push(point);
            self.repeats = 0;
            return Fate::Stored(flag);
        }
        // The rest is rare: a repeat, a late reading, or one out of order.
        let at = self.points.before(time);
        if let Some(known) = self.points.get(at).filter(|known| known.time == time) {
            self.repeats += u32::from(newest == Some(time));
            // A settled delta is a total by now, so that only its time can be compared.
            let comparable = self.total.is_none() || self.points.settled() <= at;
            let equal = known.value.to_bits() == value.to_bits() || !comparable;
            return if equal { Fate::Duplicate } else { Fate::Conflict };
        }
        if Some(time) < watermark {
            return Fate::Stored(Flag::Late);
        }
        self.points.insert(at, point);
        Fate::Stored(flag)
    }

    /// Time of the earliest report that is kept.
    pub(crate) fn earliest(&self) -> Option<EventTime> {
        self.points.first_time()
    }

    /// Time of the latest report, settled or not.
    pub(crate) fn newest(&self) -> Option<EventTime> {
        self.points.last_time()
    }

    /// Time of the latest reading up to `time`, settled or not: a series that no objective looks at is settled but once
    /// a minute.
    pub(crate) fn latest_reading(&self, time: EventTime) -> Option<EventTime> {
        let newer = self.points.range(self.points.settled()).take_while(|point| point.time <= time);
        let newer = newer.filter(|point| point.report == Report::Reading).map(|point| point.time);
        newer.last().or(self.latest.map(|latest| latest.time))
    }

    /// Whether all that has come of it is settled.
    pub(crate) fn is_settled(&self) -> bool {
        self.points.next().is_none()
    }

    /// When its last report ends to count: its time plus the feed's interval, where one is known.
    pub(crate) fn end_of_input(&self) -> Option<EventTime> {
        let interval = self.hold.interval().unwrap_or_default();
        Some(self.newest()? + interval)
    }

    /// Readings before `to` are final: fixes how long they are held and notes what they tell.
    pub(crate) fn settle(&mut self, to: EventTime, mut tell: impl FnMut(SeriesEvent)) {
        while let Some(point) = self.points.next() {
            if to <= point.time {
                return;
            }
            let settled = match point.report {
                Report::Reading => match self.added_up(point.value) {
                    Some(raw) => self.settle_reading(point, raw, &mut tell),
                    None => Point { report: Report::Invalid, ..point },
                },
                Report::Invalid | Report::Distrusted => point,
                Report::Ended => {
                    if let Some(latest) = &mut self.latest {
                        latest.until = latest.until.min(point.time);
                    }
                    point
                }
            };
            self.points.settle(settled, self.hold.length());
        }
    }

    /// A reading, added up where deltas are sent; `None` when no sensor reads so.
    fn added_up(&mut self, value: f64) -> Option<f64> {
        let value = self.total.map_or(value, |total| total + value);
        if !is_possible(value) {
            return None;
        }
        self.total = self.total.map(|_| value);
        Some(value)
    }

    /// Settles and integrates what a fast feed has said up to `to`, and forgets it: the last report stays. It stops before a
    /// reading that ends a gap, so that nothing is told earlier than by [`Series::settle`]; and a span that is integrated
    /// never ends between two readings, so that all sums are the same, to the last bit.
    ///
    /// Sensors that may get stuck are left alone: what is known of them within a block depends on whether they do.
    pub(crate) fn tidy(&mut self, to: EventTime) {
        if self.points.len() < TIDY_FROM || self.stuck.is_some() || self.silent {
            return;
        }
        while let Some(point) = self.points.next().filter(|point| point.time < to) {
            let ends_gap = self.latest.is_some_and(|latest| latest.until < point.time);
            if ends_gap && point.report == Report::Reading {
                break;
            }
            self.settle(point.time + Microseconds(1), |_| {});
        }
        if let Some(last) = self.points.last_settled() {
            self.integrate(last.time);
            self.forget_before(last.time);
        }
    }

    fn settle_reading(&mut self, mut point: Point, raw: f64, tell: &mut impl FnMut(SeriesEvent)) -> Point {
        // What the sensor said itself tells whether it moves: an offset is no movement.
        point.value = self.calibrated(point.time, raw);
        if let Some(offsets) = &mut self.offsets {
            while offsets.get(1).is_some_and(|(from, _)| *from <= point.time) {
                offsets.remove(0);
            }
        }
        let mut gap = false;
        match self.latest {
            None => self.first = Some(point.time),
            Some(latest) => {
                gap = latest.until < point.time;
                if self.silent {
                    self.silent = false;
                    tell(SeriesEvent::Resumed { at: point.time });
                } else if latest.until + self.hold.grace() < point.time {
                    tell(SeriesEvent::Gap {
                        last: latest.time,
                        held_until: latest.until,
                        resumed: point.time,
                    });
                }
                self.hold.learn(point.time - latest.time);
            }
        }
        if let Some(stuck) = &mut self.stuck
            && let Some(event) = stuck.observe(point.time, raw, gap)
        {
            let standing = self.standing.get_or_insert_default();
            self.fault = match event {
                SeriesEvent::Stuck { since, .. } => {
                    standing.begin_stuck(since);
                    Some(UnknownReason::SensorFault)
                }
                SeriesEvent::Moved { .. } | SeriesEvent::Gap { .. } | SeriesEvent::Resumed { .. } => {
                    standing.end_stuck(point.time);
                    None
                }
            };
            tell(event);
        }
        let until = point.time + self.hold.length();
        self.latest = Some(Latest { time: point.time, until, value: point.value });
        point
    }

    /// Its state at `time`, which must be settled: the value, or why there is none; and until when that is so at
    /// most. A value is held no longer than `staleness_maximum` where that is set.
    pub(crate) fn at(
        &self,
        time: EventTime,
        staleness_maximum: Option<Microseconds>,
    ) -> (Result<f64, UnknownReason>, EventTime) {
        let after = self.points.up_to(time);
        let next = self.points.get(after).map_or(EventTime::from_unix_micros(i64::MAX), |next| next.time);
        let last = after.checked_sub(1).and_then(|index| Some((index, self.points.get(index)?)));
        let Some((index, point)) = last else { return (Err(UnknownReason::NeverSeen), next) };
        let held_until = self.points.until(index, point);
        let until = match staleness_maximum {
            Some(maximum) => held_until.min(point.time + maximum),
            None => held_until,
        };
        match point.report {
            Report::Ended => (Err(UnknownReason::Stale), next),
            _ if until <= time => (Err(UnknownReason::Stale), next),
            Report::Reading => match self.standing.as_ref().map(|standing| standing.disbelief(time)) {
                None => (Ok(point.value), next.min(until)),
                Some((reason, changes)) => {
                    (reason.map_or(Ok(point.value), Err), next.min(until).min(changes))
                }
            },
            Report::Invalid => (Err(UnknownReason::Invalid), next.min(until)),
            Report::Distrusted => (Err(UnknownReason::Distrusted), next.min(until)),
        }
    }

    /// The readings from `from` on, before `to`; both must be settled.
    pub(crate) fn readings(&self, from: EventTime, to: EventTime) -> impl Iterator<Item = (EventTime, f64)> {
        self.points
            .range(self.points.before(from))
            .take_while(move |point| point.time < to)
            .filter(|point| point.report == Report::Reading)
            .map(|point| (point.time, point.value))
    }

    /// Fills block and known time up to `to`, which must be settled.
    pub(crate) fn integrate(&mut self, to: EventTime) {
        let from = match (self.integrated, self.first) {
            (Some(integrated), _) => integrated,
            (None, Some(first)) => first,
            (None, None) => return,
        };
        if to <= from {
            return;
        }
        let first = self.points.up_to(from).saturating_sub(1);
        let Self { points, block, scatter, known, fault, .. } = self;
        let held = |index: usize, point: Point| (point, points.until(index, point));
        let mut before = first.checked_sub(1).and_then(|index| Some(held(index, points.get(index)?)));
        let mut coming = points.range(first).peekable();
        // Spans that follow each other are one: there is a gap in few minutes.
        let mut span = (from, from);
        for index in first..points.settled() {
            let Some(point) = coming.next().filter(|point| point.time < to) else { break };
            let next = coming.peek().map_or(to, |next| next.time.min(to));
            let until = points.until(index, point);
            let (start, end) = (point.time.max(from), next.min(until));
            if point.report == Report::Reading {
                let is_new = from <= point.time;
                block.add(point.value, end - start, is_new);
                if let Some(scatter) = scatter.as_mut().filter(|_| is_new)
                    && let Some((before, until)) = before
                    && before.report == Report::Reading
                    && point.time <= until
                {
                    scatter.add(point.value - before.value);
                }
                if start != span.1 {
                    if fault.is_none() {
                        known.add(span.0, span.1);
                    }
                    span = (start, start);
                }
                span.1 = end.max(start);
            }
            before = Some((point, until));
        }
        if fault.is_none() {
            known.add(span.0, span.1);
        }
        self.integrated = Some(to);
    }

    /// Closes the block that ends at `end`, a multiple of 60 s, if one of this series does.
    ///
    /// A block is 60 s, of slow feeds 60 s × ⌈2 I / 60 s⌉ with I the interval.
    pub(crate) fn close_block(&mut self, end: EventTime) -> Option<ClosedBlock> {
        let length = self.block_length();
        if end.window_start(length) != end || self.first.is_none_or(|first| end <= first) {
            return None;
        }
        let closed = std::mem::take(&mut self.block).close(end - length, length);
        self.last_block = Some(closed);
        (closed.known > Microseconds::ZERO).then_some(closed)
    }

    /// Length of this series' blocks.
    pub(crate) fn block_length(&self) -> Microseconds {
        const MINUTE: i64 = 60_000_000;
        let interval = self.hold.interval().map_or(0, |interval| interval.0);
        Microseconds(MINUTE * ((2 * interval + MINUTE - 1) / MINUTE).max(1))
    }

    /// Forgets reports that nobody looks at any more: those that ended before `from`.
    pub(crate) fn forget_before(&mut self, from: EventTime) {
        self.points.forget_before(from);
    }
}
