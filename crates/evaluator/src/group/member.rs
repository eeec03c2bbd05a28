//! One place of a group: what a slice says there, and what is remembered from one slice to the next.
//!
//! held values → **member** → groups

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use telemetry::expression::Expression;
use telemetry::facts::{Outcome, TrendStatus, UnknownReason};
use telemetry::place::Place;
use telemetry::{EventTime, Microseconds};

use crate::block::BlockInProgress;
use crate::event_rate::Evidence;
use crate::judge::SliceState;
use crate::objective::{HardLimit, Objective, Promise, TimeInBounds, Trend};
use crate::plan::{PlannedMember, PlannedOperand};
use crate::series::Series;
use crate::slice::{Reduced, Scratch, Spans, is_worse};
use crate::trend::{self, Blocks};

/// A group that was bad at a hard limit on `leak_state` is good again after this long without anything else.
const LEAK_LATCH: Microseconds = Microseconds::from_minutes(5);
/// The bits of `clock_event_reasons` that are thermal: software and hardware slowdown.
const THERMAL_BITS: u64 = 0x20 | 0x40;

/// What is remembered of one place of a group.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct MemberState {
    /// Which: the planned one.
    pub place: Arc<Place>,
    /// Of which part of a composite.
    pub part: u32,
    /// When it was measured for the first time.
    pub(super) first: Option<EventTime>,
    /// Since when it has been breaking a hard limit without a pause.
    breach: Option<EventTime>,
    /// Since when it may have been above a threshold, and since when it is known to be, without a gap.
    above: Option<(EventTime, Option<EventTime>)>,
    /// The latest value of a counter.
    counter: Option<f64>,
    /// It was bad at a hard limit and is not yet good for long enough.
    pub latch: Option<Box<Latch>>,
    /// Blocks of a trend.
    trend: Option<Box<TrendState>>,
}

/// A hard limit that was broken.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct Latch {
    /// When it was bad last.
    pub bad_at: EventTime,
    /// Since when it has been good without a pause.
    ok_since: Option<EventTime>,
    /// The latest slice said nothing.
    pub is_unknown: bool,
    /// The latest slice was bad, or none was judged since.
    pub is_bad: bool,
    /// The value that broke it.
    pub value: f64,
}

impl Latch {
    /// Broken at this time by this value.
    pub(super) fn bad(bad_at: EventTime, value: f64) -> Self {
        Self { bad_at, ok_since: None, is_unknown: false, is_bad: true, value }
    }
}

#[derive(Debug, Default, Clone, PartialEq, Serialize, Deserialize)]
struct TrendState {
    filling: BlockInProgress,
    blocks: Blocks,
    /// After the latest block.
    status: Option<TrendStatus>,
}

impl MemberState {
    pub(super) fn new(place: Arc<Place>, part: u32) -> Self {
        Self { place, part, first: None, breach: None, above: None, counter: None, latch: None, trend: None }
    }
}

impl MemberState {
    /// The trend after the latest block.
    pub(super) fn trend_status(&self) -> Option<&TrendStatus> {
        self.trend.as_ref()?.status.as_ref()
    }

    /// State and value of a span of time at this place.
    pub(super) fn judge(
        &mut self,
        objective: &Objective,
        spans: &Spans<'_>,
        (from, to): (EventTime, EventTime),
        evidence: &mut Vec<Evidence>,
        scratch: &mut Scratch,
    ) -> (SliceState, Option<f64>) {
        match &objective.promise {
            Promise::TimeInBounds(TimeInBounds { time_above: Some(above), .. }) => {
                self.judge_time_above(objective, *above, spans, (from, to), scratch)
            }
            Promise::TimeInBounds(_) => {
                let mut reduced = Reduced::default();
                spans.each(from, to, scratch, |start, end, value| reduced.add(start, end, value));
                reduced.judge(objective, from, to)
            }
            Promise::HardLimit(limit) => self.judge_hard_limit(objective, limit, spans, (from, to), scratch),
            Promise::EventRate(_) => self.witness(spans, (from, to), evidence, scratch),
            Promise::Trend(promise) => self.judge_trend(objective, promise, spans, (from, to), scratch),
            // The places of a group settle together.
            Promise::RecoveryTime(_) => (SliceState::NotAsked, None),
        }
    }

    /// For how long the signal has been above a threshold, at most in this span. A gap inside may hide a pause: then only
    /// what follows it is known.
    fn judge_time_above(
        &mut self,
        objective: &Objective,
        threshold: f64,
        spans: &Spans<'_>,
        (from, to): (EventTime, EventTime),
        scratch: &mut Scratch,
    ) -> (SliceState, Option<f64>) {
        let mut known = Reduced::default();
        let (mut certain, mut possible) = (Microseconds::ZERO, Microseconds::ZERO);
        let mut above = self.above;
        spans.each(from, to, scratch, |start, end, value| {
            known.add(start, end, value);
            match value {
                Ok(value) if value > threshold => {
                    let (since, seen) = above.get_or_insert((start, Some(start)));
                    let seen = *seen.get_or_insert(start);
                    certain = certain.max(end - seen);
                    possible = possible.max(end - *since);
                }
                Ok(_) => above = None,
                Err(_) => {
                    if let Some((_, seen)) = &mut above {
                        *seen = None;
                    }
                }
            }
        });
        self.above = above;
        let keeps =
            |length: Microseconds| objective.comparison.holds(length.as_seconds(), objective.threshold);
        let sums = known.close(from, to);
        let state = if !keeps(certain) {
            SliceState::Bad
        } else if sums.is_valid() && keeps(possible) {
            SliceState::Good
        } else {
            SliceState::Unknown(known.reason.unwrap_or(UnknownReason::Stale))
        };
        (state, (sums.known > Microseconds::ZERO).then_some(certain.as_seconds()))
    }

    fn judge_hard_limit(
        &mut self,
        objective: &Objective,
        limit: &HardLimit,
        spans: &Spans<'_>,
        (from, to): (EventTime, EventTime),
        scratch: &mut Scratch,
    ) -> (SliceState, Option<f64>) {
        let mut reduced = Reduced::default();
        let mut broken = None;
        let mut worst: Option<f64> = None;
        let mut breach = self.breach;
        spans.each(from, to, scratch, |start, end, value| {
            reduced.add(start, end, value);
            match value {
                Ok(value) if !objective.comparison.holds(value, objective.threshold) => {
                    let since = *breach.get_or_insert(start);
                    if limit.noise_floor <= end - since {
                        broken = Some(end);
                        let worse = |other| is_worse(objective.comparison, objective.threshold, value, other);
                        worst = worst.filter(|other| !worse(*other)).or(Some(value));
                    }
                }
                Ok(_) | Err(_) => breach = None,
            }
        });
        self.breach = breach;
        let sums = reduced.close(from, to);
        let state = if broken.is_some() {
            SliceState::Bad
        } else if sums.is_valid() {
            SliceState::Good
        } else {
            SliceState::Unknown(reduced.reason.unwrap_or(UnknownReason::Stale))
        };
        let value = worst.or((sums.known > Microseconds::ZERO).then_some(sums.last));
        self.turn_latch(objective, state, (from, to), broken, value);
        (state, value)
    }

    /// After a hard limit was broken only good time in one piece, long enough, makes it good again.
    pub(super) fn turn_latch(
        &mut self,
        objective: &Objective,
        state: SliceState,
        (from, to): (EventTime, EventTime),
        broken: Option<EventTime>,
        value: Option<f64>,
    ) {
        match (state, broken) {
            (SliceState::Bad, Some(bad_at)) => {
                let bad_at = self.latch.as_ref().map_or(bad_at, |latch| latch.bad_at.max(bad_at));
                let value = value.unwrap_or(objective.threshold);
                self.latch = Some(Box::new(Latch::bad(bad_at, value)));
            }
            (SliceState::Good, _) => {
                let Some(latch) = self.latch.as_mut().filter(|latch| latch.bad_at <= from) else { return };
                (latch.is_bad, latch.is_unknown) = (false, false);
                let ok_since = *latch.ok_since.get_or_insert(from);
                if latch_length(objective) <= to - ok_since {
                    self.latch = None;
                }
            }
            (SliceState::Unknown(_) | SliceState::NotAsked | SliceState::Bad, _) => {
                if let Some(latch) = self.latch.as_mut().filter(|latch| latch.bad_at <= from) {
                    latch.ok_since = None;
                    latch.is_unknown = true;
                    latch.is_bad = false;
                }
            }
        }
    }

    /// Evidence of thermal throttling: a counter that rises, or a thermal bit that is set.
    fn witness(
        &mut self,
        spans: &Spans<'_>,
        (from, to): (EventTime, EventTime),
        evidence: &mut Vec<Evidence>,
        scratch: &mut Scratch,
    ) -> (SliceState, Option<f64>) {
        let before = evidence.len();
        let mut known = Reduced::default();
        let is_mask = spans.member.is_bit_mask;
        let mut counter = self.counter;
        spans.each(from, to, scratch, |start, end, value| {
            known.add(start, end, value);
            let Ok(value) = value else { return };
            if is_mask {
                if value as u64 & THERMAL_BITS != 0 {
                    evidence.push(Evidence { first: start, last: end, amount: end - start });
                }
            } else if let Some(rise) = counter.replace(value).map(|before| value - before)
                && rise > 0.0
            {
                // The counter is in seconds.
                evidence.push(Evidence {
                    first: start,
                    last: start,
                    amount: Microseconds((rise * 1e6) as i64),
                });
            }
        });
        self.counter = counter;
        let state = if before < evidence.len() {
            SliceState::Bad
        } else if known.close(from, to).is_valid() {
            SliceState::Good
        } else {
            SliceState::Unknown(known.reason.unwrap_or(UnknownReason::Stale))
        };
        (state, None)
    }

    /// Adds a block's part, and judges the trend where a block of this place ends.
    fn judge_trend(
        &mut self,
        objective: &Objective,
        promise: &Trend,
        spans: &Spans<'_>,
        (from, to): (EventTime, EventTime),
        scratch: &mut Scratch,
    ) -> (SliceState, Option<f64>) {
        let length = spans.block_length();
        let state = self.trend.get_or_insert_default();
        let mut reason = None;
        spans.each(from, to, scratch, |start, end, value| match value {
            Ok(value) => state.filling.add(value, end - start, false),
            Err(why) => reason = reason.or(Some(why)),
        });
        if to.window_start(length) == to {
            let block = std::mem::take(&mut state.filling).close(to - length, length);
            state.blocks.add(to, block.is_valid().then_some(block.mean), promise.window);
            state.status =
                state.blocks.trend(promise.window, length, objective.comparison, objective.threshold);
        }
        let slice = match trend::judge(promise, state.status.as_ref()) {
            Outcome::Ok => SliceState::Good,
            Outcome::NotOk => SliceState::Bad,
            Outcome::Unknown => SliceState::Unknown(reason.unwrap_or(UnknownReason::WindowIncomplete)),
        };
        (slice, state.status.as_ref().map(|status| status.level))
    }
}

/// What is evaluated at each place; nothing for events, which are read from their signals.
pub(super) fn expression_of(objective: &Objective) -> Option<&Expression> {
    match objective.promise {
        Promise::EventRate(_) => None,
        Promise::TimeInBounds(_) | Promise::HardLimit(_) | Promise::Trend(_) | Promise::RecoveryTime(_) => {
            Some(&objective.expression)
        }
    }
}

/// How long a hard limit must be kept again before it counts as kept.
fn latch_length(objective: &Objective) -> Microseconds {
    match &*objective.signal_text {
        "leak_state" => LEAK_LATCH,
        _ => Microseconds::ZERO,
    }
}

/// When a place was measured for the first time: from then on its expression can be known.
pub(super) fn first_reading(
    expression: Option<&Expression>,
    member: &PlannedMember,
    series: &[Series],
) -> Option<EventTime> {
    let operand_first = |operand: &PlannedOperand| {
        operand.series.iter().filter_map(|number| series[*number as usize].first).min()
    };
    let firsts: Vec<Option<EventTime>> = member.operands.iter().map(operand_first).collect();
    let is_measured_at = |time| match expression {
        Some(expression) => {
            expression.is_measured(|number| firsts[number].is_some_and(|first| first <= time))
        }
        None => true,
    };
    firsts.iter().flatten().copied().filter(|time| is_measured_at(*time)).min()
}
