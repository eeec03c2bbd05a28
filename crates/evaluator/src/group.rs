//! One objective in one group: slices of its places, rolled up, go into the budgets of the rolling window and the run.
//!
//! series, plan → **group** → budgets

use serde::{Deserialize, Serialize};
use telemetry::expression::Expression;
use telemetry::facts::{ObjectiveStatus, Scope, TrendStatus, UnknownReason};
use telemetry::place::Place;
use telemetry::{EventTime, Microseconds, Name};

use crate::block::{BLOCK, BlockInProgress};
use crate::budget::{Budget, Closed, JudgedSlice};
use crate::event_rate::Evidence;
use crate::judge::SliceState;
use crate::objective::{HardLimit, Objective, Promise, Rollup, Trend};
use crate::plan::{PlannedGroup, PlannedMember, PlannedOperand};
use crate::series::Series;
use crate::slice::{Reduced, Scratch, Spans, is_worse};
use crate::trend::{self, Blocks};
use crate::window::Seen;

/// A group that was bad at a hard limit on `leak_state` is good again after this long without anything else.
const LEAK_LATCH: Microseconds = Microseconds::from_minutes(5);
/// The bits of `clock_event_reasons` that are thermal: software and hardware slowdown.
const THERMAL_BITS: u64 = 0x20 | 0x40;

/// What is remembered of one place of a group.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct MemberState {
    /// Which.
    pub place: Place,
    /// When it was measured for the first time.
    first: Option<EventTime>,
    /// Since when it has been breaking a hard limit without a pause.
    breach: Option<EventTime>,
    /// The latest value of a counter.
    counter: Option<f64>,
    /// It was bad at a hard limit and is not yet good for long enough.
    pub latch: Option<Latch>,
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

#[derive(Debug, Default, Clone, PartialEq, Serialize, Deserialize)]
struct TrendState {
    filling: BlockInProgress,
    blocks: Blocks,
    /// After the latest block.
    status: Option<TrendStatus>,
}

impl MemberState {
    fn new(place: Place) -> Self {
        Self { place, first: None, breach: None, counter: None, latch: None, trend: None }
    }
}

/// The budget of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct RunBudget {
    /// Which run.
    pub run: Name,
    /// Its start.
    pub from: EventTime,
    /// Its end, once it is known.
    pub to: Option<EventTime>,
    /// Whether all its data was awaited.
    pub is_final: bool,
    /// What it has spent.
    pub budget: Budget,
    /// The status at that moment: it stays.
    pub final_status: Option<Box<ObjectiveStatus>>,
}

impl RunBudget {
    /// The part of [`from`, `to`) that it asks for while it is not finished.
    fn part(&self, from: EventTime, to: EventTime) -> Option<(EventTime, EventTime)> {
        let end = self.to.map_or(to, |end| end.min(to));
        let start = from.max(self.from);
        (!self.is_final && start < end).then_some((start, end))
    }
}

/// The state of one objective in one group.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Group {
    /// Name of the objective.
    pub objective: Name,
    /// Its hash: a changed objective starts anew.
    pub hash: Name,
    /// The group.
    pub place: Place,
    /// Nothing is asked before.
    pub asked_from: EventTime,
    /// Every place that was ever judged in it; numbers stay the same.
    pub members: Vec<MemberState>,
    /// Since when the load has been there, or the first slice.
    valid_since: Option<EventTime>,
    /// Over the rolling window.
    pub rolling: Budget,
    /// Over runs that go on, and over the last ones of its racks.
    pub runs: Vec<RunBudget>,
    /// Where its series are: made anew after a restart and when series or objectives change.
    #[serde(skip)]
    pub planned: Option<PlannedGroup>,
    /// Number in `members` of each planned place.
    #[serde(skip)]
    numbers: Vec<u32>,
}

/// What a group needs to judge a slice.
pub(crate) struct Surroundings<'a> {
    /// All series of the partition, settled up to the slice's end.
    pub series: &'a [Series],
    /// Whether people work at a place in a span of time.
    pub is_maintained: &'a dyn Fn(&Place, EventTime, EventTime) -> bool,
}

/// A group's slice before it goes into a budget.
struct Verdict {
    state: SliceState,
    worst: Option<Seen>,
    evidence: Vec<Evidence>,
}

impl Group {
    pub(crate) fn new(objective: &Objective, place: Place, asked_from: EventTime) -> Self {
        Self {
            objective: objective.name.clone(),
            hash: objective.hash.clone(),
            place,
            asked_from,
            members: Vec::new(),
            valid_since: None,
            rolling: Budget::rolling(objective),
            runs: Vec::new(),
            planned: None,
            numbers: Vec::new(),
        }
    }

    /// Takes the plan in force; places that are new get the next numbers.
    pub(crate) fn follow(&mut self, planned: PlannedGroup) {
        self.numbers = planned
            .members
            .iter()
            .map(|member| {
                let known = self.members.iter().position(|known| known.place == member.place);
                let number = known.unwrap_or_else(|| {
                    self.members.push(MemberState::new(member.place.clone()));
                    self.members.len() - 1
                });
                u32::try_from(number).expect("a group has fewer than four billion places")
            })
            .collect();
        self.planned = Some(planned);
    }

    /// Number of each planned place among all that were ever judged.
    pub(crate) fn numbers(&self) -> &[u32] {
        &self.numbers
    }

    /// Length of its slices: trends are judged by blocks.
    pub(crate) fn slice(objective: &Objective) -> Microseconds {
        match objective.promise {
            Promise::Trend(_) => BLOCK,
            Promise::TimeInBounds(_) | Promise::EventRate(_) | Promise::HardLimit(_) => objective.slice,
        }
    }

    /// Begins to judge a run. What lies between its start and `position` was never asked by this group: unknown.
    pub(crate) fn begin_run(
        &mut self,
        objective: &Objective,
        run: &Name,
        from: EventTime,
        planned: Microseconds,
        position: EventTime,
    ) {
        let mut budget = Budget::of_run(objective, from, planned);
        let slice = Self::slice(objective);
        let mut start = from;
        while start < position {
            let to = (start.window_start(slice) + slice).min(position);
            let state = SliceState::Unknown(UnknownReason::NeverSeen);
            budget.add(objective, JudgedSlice { from: start, to, state, worst: None, evidence: &[] });
            start = to;
        }
        self.runs.push(RunBudget {
            run: run.clone(),
            from,
            to: None,
            is_final: false,
            budget,
            final_status: None,
        });
    }

    /// Judges the slice that ends at `to`, for the rolling window and for the runs that go on.
    pub(crate) fn judge_slice(
        &mut self,
        objective: &Objective,
        to: EventTime,
        surroundings: &Surroundings<'_>,
        scratch: &mut Scratch,
    ) -> Closed {
        let from = to - Self::slice(objective);
        self.look_for_first_readings(objective, surroundings.series);
        let start = from.max(self.asked_from).max(self.first_reading().unwrap_or(to));
        let can_share = start == from && self.has_seen_all(from);
        let mut closed = Closed::default();
        for number in 0..self.runs.len() {
            let Some(part) = self.runs[number].part(from.max(self.asked_from), to) else { continue };
            if part != (from, to) || !can_share {
                closed = closed.and(self.judge_run(number, objective, part, surroundings, scratch));
            }
        }
        let verdict = if start < to {
            self.verdict(objective, (start, to), Scope::Rolling, surroundings, scratch)
        } else {
            Verdict::not_asked()
        };
        for run in self.runs.iter_mut().filter(|run| can_share && run.part(from, to) == Some((from, to))) {
            closed = closed.and(run.budget.add(objective, verdict.slice(from, to)));
        }
        closed.and(self.rolling.add(objective, verdict.slice(start.min(to), to)))
    }

    /// A run has ended and all its data is here: judges what is left of it.
    pub(crate) fn finish_run(
        &mut self,
        run: &str,
        objective: &Objective,
        surroundings: &Surroundings<'_>,
        scratch: &mut Scratch,
    ) {
        let Some(number) = self.runs.iter().position(|known| &*known.run == run) else { return };
        let Some(end) = self.runs[number].to else { return };
        self.look_for_first_readings(objective, surroundings.series);
        let slice = end.window_start(Self::slice(objective));
        // A part of a block says nothing about a trend.
        let is_trend = matches!(objective.promise, Promise::Trend(_));
        if let Some(part) = self.runs[number].part(slice, end).filter(|_| !is_trend) {
            self.judge_run(number, objective, part, surroundings, scratch);
        }
        let run = &mut self.runs[number];
        run.budget.close_unit(objective, end);
        run.is_final = true;
    }

    /// Judges a slice, or a part of one, for a run alone: what is remembered of the places stays as it is.
    fn judge_run(
        &mut self,
        number: usize,
        objective: &Objective,
        (from, to): (EventTime, EventTime),
        surroundings: &Surroundings<'_>,
        scratch: &mut Scratch,
    ) -> Closed {
        let remembered = (self.members.clone(), self.valid_since);
        let verdict = self.verdict(objective, (from, to), Scope::Run, surroundings, scratch);
        (self.members, self.valid_since) = remembered;
        self.runs[number].budget.add(objective, verdict.slice(from, to))
    }

    /// When the first of its places was measured for the first time.
    pub(crate) fn first_reading(&self) -> Option<EventTime> {
        self.members.iter().filter_map(|member| member.first).min()
    }

    fn has_seen_all(&self, time: EventTime) -> bool {
        self.numbers
            .iter()
            .all(|number| self.members[*number as usize].first.is_some_and(|first| first <= time))
    }

    /// Notes the places that have had their first reading by now.
    fn look_for_first_readings(&mut self, objective: &Objective, series: &[Series]) {
        let Some(planned) = &self.planned else { return };
        for (member, number) in planned.members.iter().zip(&self.numbers) {
            let state = &mut self.members[*number as usize];
            if state.first.is_none() {
                state.first = first_reading(expression_of(objective), member, series);
            }
        }
    }

    /// State, worst value and evidence of a span of time, which is a slice or a part of one.
    fn verdict(
        &mut self,
        objective: &Objective,
        (from, to): (EventTime, EventTime),
        scope: Scope,
        surroundings: &Surroundings<'_>,
        scratch: &mut Scratch,
    ) -> Verdict {
        let Some(planned) = self.planned.take() else { return Verdict::not_asked() };
        let mut verdict = Verdict::not_asked();
        let mut states = Vec::with_capacity(planned.members.len());
        for (member, number) in planned.members.iter().zip(&self.numbers) {
            let state = &mut self.members[*number as usize];
            let start = match (scope, state.first) {
                (Scope::Rolling, Some(first)) => first.max(from),
                (Scope::Rolling, None) => to,
                (Scope::Run, _) => from,
            };
            if to <= start {
                continue;
            }
            let spans = Spans {
                expression: expression_of(objective),
                member,
                series: surroundings.series,
                staleness_maximum: objective.maximum_staleness,
            };
            let (slice, value) = if (surroundings.is_maintained)(&member.place, start, to) {
                let unknown = SliceState::Unknown(UnknownReason::Maintenance);
                state.turn_latch(objective, unknown, (start, to), None, None);
                (unknown, None)
            } else {
                state.judge(objective, &spans, (start, to), &mut verdict.evidence, scratch)
            };
            states.push((slice, value, *number));
        }
        verdict.state = match self.is_asked(objective, &planned, (from, to), surroundings, scratch) {
            _ if states.is_empty() => SliceState::NotAsked,
            Asked::Yes => roll_up(objective, &mut states),
            Asked::No => SliceState::NotAsked,
            Asked::Unknown(reason) => SliceState::Unknown(reason),
        };
        if verdict.state != SliceState::NotAsked {
            verdict.worst = worst(objective, &states, from);
        }
        verdict.evidence.sort_by_key(|evidence| (evidence.first, evidence.last));
        self.planned = Some(planned);
        verdict
    }

    /// Whether load and warm-up allow the question.
    fn is_asked(
        &mut self,
        objective: &Objective,
        planned: &PlannedGroup,
        (from, to): (EventTime, EventTime),
        surroundings: &Surroundings<'_>,
        scratch: &mut Scratch,
    ) -> Asked {
        if let (Some(validity), Some(member)) = (&objective.validity, &planned.load) {
            let series = surroundings.series;
            let spans = Spans {
                expression: Some(&validity.expression),
                member,
                series,
                staleness_maximum: objective.maximum_staleness,
            };
            let mut load = Reduced::default();
            spans.each(from, to, scratch, |start, end, value| load.add(start, end, value));
            let sums = load.close(from, to);
            if !sums.is_valid() {
                return Asked::Unknown(load.reason.unwrap_or(UnknownReason::Stale));
            }
            if sums.mean < validity.minimum {
                self.valid_since = None;
                return Asked::No;
            }
        }
        let valid_since = *self.valid_since.get_or_insert(from);
        if from < valid_since + objective.warmup { Asked::No } else { Asked::Yes }
    }

    /// The trend of the group: of its places the one that is broken first, else the steepest.
    pub(crate) fn trend(&self, promise: &Trend) -> Option<&TrendStatus> {
        let rank = |status: &TrendStatus| {
            let is_broken = trend::judge(promise, Some(status)) == telemetry::facts::Outcome::NotOk;
            let soon = status.time_to_threshold.map_or(i64::MIN, |time| -time.0);
            (is_broken, soon, (status.slope_per_hour.abs() * 1e6) as i64)
        };
        self.members
            .iter()
            .filter_map(|member| member.trend.as_ref()?.status.as_ref())
            .max_by_key(|status| rank(status))
    }

    /// The reading that breaks a hard limit now, whether its slice has been judged or not.
    pub(crate) fn breach_on_arrival(&self) -> Option<(&Place, &Latch)> {
        let latched = self.members.iter().filter_map(|member| Some((&member.place, member.latch.as_ref()?)));
        latched.filter(|(_, latch)| latch.is_bad).max_by_key(|(_, latch)| latch.bad_at)
    }

    /// A reading that breaks a hard limit has just arrived at one of its places; such readings have been arriving
    /// since `since`. Says whether that is long enough to count.
    pub(crate) fn observe_breach(
        &mut self,
        limit: &HardLimit,
        number: u32,
        (since, time): (EventTime, EventTime),
        value: f64,
    ) -> bool {
        let counts = limit.noise_floor <= time - since;
        if counts {
            self.members[number as usize].latch =
                Some(Latch { bad_at: time, ok_since: None, is_unknown: false, is_bad: true, value });
        }
        counts
    }
}

/// Whether a slice is asked for.
enum Asked {
    Yes,
    No,
    Unknown(UnknownReason),
}

impl Verdict {
    const fn not_asked() -> Self {
        Self { state: SliceState::NotAsked, worst: None, evidence: Vec::new() }
    }

    fn slice(&self, from: EventTime, to: EventTime) -> JudgedSlice<'_> {
        JudgedSlice { from, to, state: self.state, worst: self.worst, evidence: &self.evidence }
    }
}

impl MemberState {
    /// State and value of a span of time at this place.
    fn judge(
        &mut self,
        objective: &Objective,
        spans: &Spans<'_>,
        (from, to): (EventTime, EventTime),
        evidence: &mut Vec<Evidence>,
        scratch: &mut Scratch,
    ) -> (SliceState, Option<f64>) {
        match &objective.promise {
            Promise::TimeInBounds(_) => {
                let mut reduced = Reduced::default();
                spans.each(from, to, scratch, |start, end, value| reduced.add(start, end, value));
                reduced.judge(objective, from, to)
            }
            Promise::HardLimit(limit) => self.judge_hard_limit(objective, limit, spans, (from, to), scratch),
            Promise::EventRate(_) => self.witness(spans, (from, to), evidence, scratch),
            Promise::Trend(promise) => self.judge_trend(objective, promise, spans, (from, to), scratch),
        }
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
    fn turn_latch(
        &mut self,
        objective: &Objective,
        state: SliceState,
        (from, to): (EventTime, EventTime),
        broken: Option<EventTime>,
        value: Option<f64>,
    ) {
        match (state, broken) {
            (SliceState::Bad, Some(bad_at)) => {
                let bad_at = self.latch.map_or(bad_at, |latch| latch.bad_at.max(bad_at));
                let value = value.unwrap_or(objective.threshold);
                self.latch = Some(Latch { bad_at, ok_since: None, is_unknown: false, is_bad: true, value });
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
            telemetry::facts::Outcome::Ok => SliceState::Good,
            telemetry::facts::Outcome::NotOk => SliceState::Bad,
            telemetry::facts::Outcome::Unknown => {
                SliceState::Unknown(reason.unwrap_or(UnknownReason::WindowIncomplete))
            }
        };
        (slice, state.status.as_ref().map(|status| status.level))
    }
}

/// What is evaluated at each place; nothing for events, which are read from their signals.
fn expression_of(objective: &Objective) -> Option<&Expression> {
    match objective.promise {
        Promise::EventRate(_) => None,
        Promise::TimeInBounds(_) | Promise::HardLimit(_) | Promise::Trend(_) => Some(&objective.expression),
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
fn first_reading(
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

/// State of the group: broken where a place breaks it, kept only where all do. Of a quantile the place at that
/// position from the good end counts, with unknown places taken for the worst and for the best.
fn roll_up(objective: &Objective, states: &mut [(SliceState, Option<f64>, u32)]) -> SliceState {
    let unknown = states.iter().find_map(|(state, ..)| match state {
        SliceState::Unknown(reason) => Some(*reason),
        SliceState::Good | SliceState::Bad | SliceState::NotAsked => None,
    });
    let bad = states.iter().filter(|(state, ..)| *state == SliceState::Bad).count();
    let allowed = match objective.rollup {
        Rollup::Worst | Rollup::All => 0,
        Rollup::Quantile(share_ppm) => {
            let counted = (states.len() as u64 * u64::from(share_ppm)).div_ceil(crate::objective::MILLION);
            states.len() - usize::try_from(counted.max(1)).unwrap_or(1)
        }
    };
    let missing = states.iter().filter(|(state, ..)| matches!(state, SliceState::Unknown(_))).count();
    match unknown {
        _ if bad > allowed => SliceState::Bad,
        Some(reason) if bad + missing > allowed => SliceState::Unknown(reason),
        Some(_) | None => SliceState::Good,
    }
}

/// The worst known value and its place.
fn worst(objective: &Objective, states: &[(SliceState, Option<f64>, u32)], time: EventTime) -> Option<Seen> {
    let worse = |one, other| is_worse(objective.comparison, objective.threshold, one, other);
    states
        .iter()
        .filter_map(|(_, value, place)| Some(Seen { value: (*value)?, time, place: *place }))
        .reduce(|worst, seen| if worse(seen.value, worst.value) { seen } else { worst })
}
