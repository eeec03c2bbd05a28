//! Settling: steps of load begin a watch, and a signal that stays in its band ends it. Time is credited to the entry.
//!
//! load and signal, span by span → **settling** → budgets

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};
use telemetry::{EventTime, Microseconds};

use crate::objective::{BurstEdge, RecoveryTime};

/// Levels of load that are remembered of the last moments; with more of them the oldest are joined.
const LEVELS_MAX: usize = 256;

/// What has become of one burst.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct BurstNews {
    /// The instant that its recovery is measured from.
    pub from: EventTime,
    /// What is known now.
    pub what: BurstOutcome,
}

/// What can become of a burst.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum BurstOutcome {
    /// The signal was back after this long, within the limit.
    Within(Microseconds),
    /// It was still out after this long, which is more than the limit.
    Late(Microseconds),
    /// A burst that was told as late is over: the signal was back after this long.
    LateSettled(Microseconds),
    /// The load made another step before anything could be said: right-censored.
    Censored,
    /// Readings were missing for longer than the signal has to stay.
    Unknown,
}

/// A span of time in which neither load nor signal changes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct SettlingSpan {
    /// Its start.
    pub from: EventTime,
    /// Its end.
    pub to: EventTime,
    /// The load, in the trigger's unit, and the step that counts.
    pub load: Option<(f64, f64)>,
    /// Whether the signal is in its band.
    pub is_inside: Option<bool>,
}

/// The state of one group.
#[derive(Debug, Default, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Settling {
    /// Levels of load of the last moments: until when, lowest, highest.
    levels: VecDeque<(EventTime, f64, f64)>,
    /// Since when the load is unknown.
    load_missing: Option<EventTime>,
    /// The latest step that lasted, and when it was found to.
    step: Option<(Direction, EventTime)>,
    /// The recovery that is watched.
    watch: Option<Watch>,
    /// A step that has yet to last.
    pending: Option<Pending>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum Direction {
    Rise,
    Fall,
}

/// A step of load that counts once the load is still that far away after the debounce time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Pending {
    at: EventTime,
    direction: Direction,
    /// The level that the load left.
    left: f64,
    /// The watch as it was at that time: what it says afterwards is held back until the step lasts or does not.
    before: Option<Watch>,
    held: Vec<BurstNews>,
    /// The watch that begins with the step, and what it says.
    next: Option<Watch>,
    next_says: Vec<BurstNews>,
}

/// One recovery.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Watch {
    from: EventTime,
    /// Since when the signal has been in its band.
    entry: Option<EventTime>,
    /// Since when it has been unknown.
    missing: Option<EventTime>,
    /// It is told as late already.
    is_late: bool,
}

impl Settling {
    /// Takes the next span; spans come in order. `limit`: the longest recovery that is within it.
    pub(crate) fn take(
        &mut self,
        promise: &RecoveryTime,
        limit: Microseconds,
        span: SettlingSpan,
        news: &mut Vec<BurstNews>,
    ) {
        match span.load {
            Some((load, step)) => self.take_load(promise, span, load, step, news),
            None => {
                let missing = *self.load_missing.get_or_insert(span.from);
                if promise.hold < span.to - missing {
                    self.lose(news);
                }
            }
        }
        // A step that has yet to last is decided where its debounce time ends, wherever spans end.
        let due = self.pending.as_ref().map(|pending| pending.at + promise.trigger.debounce);
        let due = due.filter(|due| span.from < *due && *due < span.to);
        let (span, rest) = match due {
            Some(due) => (SettlingSpan { to: due, ..span }, Some(SettlingSpan { from: due, ..span })),
            None => (span, None),
        };
        let told = self.pending.as_mut().map_or(&mut *news, |pending| &mut pending.held);
        if let Some(watch) = &mut self.watch
            && watch.take(promise.hold, limit, span, told)
        {
            self.watch = None;
        }
        if let Some(pending) = &mut self.pending
            && let Some(watch) = &mut pending.next
            && watch.take(promise.hold, limit, span, &mut pending.next_says)
        {
            pending.next = None;
        }
        if let Some(rest) = rest {
            self.take(promise, limit, rest, news);
        }
    }

    /// Whether a burst from `since` on is still watched, and nothing is said of it.
    pub(crate) fn is_open_since(&self, since: EventTime) -> bool {
        self.watch.is_some_and(|watch| since <= watch.from && !watch.is_late)
    }

    fn take_load(
        &mut self,
        promise: &RecoveryTime,
        span: SettlingSpan,
        load: f64,
        step: f64,
        news: &mut Vec<BurstNews>,
    ) {
        self.load_missing = None;
        let trigger = &promise.trigger;
        // The level that decides is that at the end of the debounce time, or the first known one after.
        if self.pending.as_ref().is_some_and(|pending| pending.at + trigger.debounce <= span.from)
            && let Some(pending) = self.pending.take()
        {
            self.decide(pending, trigger.within, span.from, load, step, news);
            self.levels.clear();
        }
        while self.levels.front().is_some_and(|(until, ..)| *until + trigger.within <= span.from) {
            self.levels.pop_front();
        }
        if self.pending.is_none()
            && let Some((direction, left)) = self.step_to(load, step)
        {
            let begins = match promise.from {
                BurstEdge::Start => Direction::Rise,
                BurstEdge::End => Direction::Fall,
            };
            let pending = Pending {
                at: span.from,
                direction,
                left,
                before: self.watch,
                held: Vec::new(),
                next: (direction == begins).then(|| Watch::new(span.from)),
                next_says: Vec::new(),
            };
            if trigger.debounce == Microseconds::ZERO {
                self.decide(pending, trigger.within, span.from, load, step, news);
                self.levels.clear();
            } else {
                self.pending = Some(pending);
            }
        }
        self.remember(span.to, load);
    }

    /// The direction of a step from one of the last levels to `load`, and the level furthest away.
    fn step_to(&self, load: f64, step: f64) -> Option<(Direction, f64)> {
        let lowest = self.levels.iter().map(|(_, lowest, _)| *lowest).min_by(f64::total_cmp)?;
        let highest = self.levels.iter().map(|(.., highest)| *highest).max_by(f64::total_cmp)?;
        let (rise, fall) = (load - lowest, highest - load);
        match rise.max(fall) >= step {
            true if fall <= rise => Some((Direction::Rise, lowest)),
            true => Some((Direction::Fall, highest)),
            false => None,
        }
    }

    fn remember(&mut self, until: EventTime, load: f64) {
        match self.levels.back_mut() {
            Some((last, lowest, highest)) if *lowest == load && *highest == load => *last = until,
            _ => self.levels.push_back((until, load, load)),
        }
        if self.levels.len() > LEVELS_MAX
            && let Some((_, lowest, highest)) = self.levels.pop_front()
            && let Some(next) = self.levels.front_mut()
        {
            (next.1, next.2) = (next.1.min(lowest), next.2.max(highest));
        }
    }

    /// The debounce time of a step is over: it counts if the load is still away from the level that it left.
    fn decide(
        &mut self,
        pending: Pending,
        within: Microseconds,
        now: EventTime,
        load: f64,
        step: f64,
        news: &mut Vec<BurstNews>,
    ) {
        let away = match pending.direction {
            Direction::Rise => load - pending.left,
            Direction::Fall => pending.left - load,
        };
        // A ramp makes one step after the other: they are one.
        let goes_on = self
            .step
            .is_some_and(|(direction, last)| direction == pending.direction && pending.at - last < within);
        let lasts = step <= away;
        if lasts {
            self.step = Some((pending.direction, now));
        }
        if !lasts || goes_on {
            news.extend(pending.held);
            return;
        }
        if let Some(before) = pending.before.filter(|before| !before.is_late) {
            news.push(BurstNews { from: before.from, what: BurstOutcome::Censored });
        }
        news.extend(pending.next_says);
        self.watch = pending.next;
    }

    /// The load was unknown for so long that another burst may have come and gone.
    fn lose(&mut self, news: &mut Vec<BurstNews>) {
        let watch = self.watch.take();
        let (before, next) = match self.pending.take() {
            Some(pending) => {
                let begins = pending.next.is_some() || !pending.next_says.is_empty();
                (pending.before, begins.then_some(pending.at))
            }
            None => (watch, None),
        };
        self.step = None;
        self.levels.clear();
        let lost = before.filter(|watch| !watch.is_late).map(|watch| watch.from).into_iter().chain(next);
        news.extend(lost.map(|from| BurstNews { from, what: BurstOutcome::Unknown }));
    }
}

impl Watch {
    const fn new(from: EventTime) -> Self {
        Self { from, entry: None, missing: None, is_late: false }
    }

    /// Takes a span, and says whether the watch is over.
    fn take(
        &mut self,
        hold: Microseconds,
        limit: Microseconds,
        span: SettlingSpan,
        news: &mut Vec<BurstNews>,
    ) -> bool {
        let mut tell = |what| news.push(BurstNews { from: self.from, what });
        match span.is_inside {
            Some(true) => {
                self.missing = None;
                let entry = *self.entry.get_or_insert(span.from);
                if span.to - entry < hold {
                    return false;
                }
                let length = entry - self.from;
                tell(match (self.is_late, length <= limit) {
                    (true, _) => BurstOutcome::LateSettled(length),
                    (false, true) => BurstOutcome::Within(length),
                    // It was never seen outside after the limit: it came back while readings were missing.
                    (false, false) => BurstOutcome::Unknown,
                });
                true
            }
            Some(false) => {
                (self.missing, self.entry) = (None, None);
                if !self.is_late && limit < span.to - self.from {
                    self.is_late = true;
                    tell(BurstOutcome::Late(span.to - self.from));
                }
                false
            }
            None => {
                let missing = *self.missing.get_or_insert(span.from);
                let is_over = hold < span.to - missing;
                if is_over && !self.is_late {
                    tell(BurstOutcome::Unknown);
                }
                is_over
            }
        }
    }
}

#[cfg(test)]
mod tests;
