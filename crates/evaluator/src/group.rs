//! One objective in one group: slices of its places, rolled up, go into the budgets of the rolling window and the run.
//!
//! series, plan → **group** → budgets

mod bursts; // settling after bursts of load
mod member; // one place of it

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use telemetry::facts::{Comparison, ObjectiveStatus, Scope, TrendStatus, UnknownReason};
use telemetry::place::Place;
use telemetry::{EventTime, Microseconds, Name};

pub(crate) use self::member::{Latch, MemberState};
use self::member::{expression_of, first_reading};
use crate::block::BLOCK;
use crate::budget::{Budget, Closed, JudgedSlice};
use crate::event_rate::Evidence;
use crate::judge::SliceState;
use crate::objective::{HardLimit, Objective, Promise, Rollup, Trend};
use crate::plan::PlannedGroup;
use crate::series::Series;
use crate::settling::{BurstNews, Settling};
use crate::slice::{Reduced, Scratch, Spans, is_worse};
use crate::trend;
use crate::window::Seen;

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
#[derive(Debug, Clone, Serialize, Deserialize)]
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
    /// Bursts of load that its places settle after, where that is what is promised.
    settling: Option<Box<Settling>>,
    /// What has become of bursts in the slice that was judged last, for whoever takes it.
    #[serde(skip)]
    pub news: Vec<BurstNews>,
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
    /// Nominal power of a rack, kW.
    pub nominal_power: &'a dyn Fn(&Name) -> Option<f64>,
}

/// A group's slice before it goes into a budget.
struct Verdict {
    state: SliceState,
    worst: Option<Seen>,
    evidence: Vec<Evidence>,
    bursts: Vec<BurstNews>,
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
            settling: None,
            news: Vec::new(),
            rolling: Budget::rolling(objective),
            runs: Vec::new(),
            planned: None,
            numbers: Vec::new(),
        }
    }

    /// Takes the plan in force; places that are new get the next numbers.
    pub(crate) fn follow(&mut self, planned: PlannedGroup) {
        self.place = planned.place.clone();
        let known: BTreeMap<(u32, Arc<Place>), usize> = (0..)
            .zip(&self.members)
            .map(|(number, known)| ((known.part, known.place.clone()), number))
            .collect();
        self.numbers = planned
            .members
            .iter()
            .map(|member| {
                let number = match known.get(&(member.part, member.place.clone())) {
                    // Its names are then those of the declarations, not those of a checkpoint.
                    Some(number) => {
                        self.members[*number].place = member.place.clone();
                        *number
                    }
                    None => {
                        self.members.push(MemberState::new(member.place.clone(), member.part));
                        self.members.len() - 1
                    }
                };
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
            Promise::TimeInBounds(_)
            | Promise::EventRate(_)
            | Promise::HardLimit(_)
            | Promise::RecoveryTime(_) => objective.slice,
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
            let slice = JudgedSlice { from: start, to, state, worst: None, evidence: &[], bursts: &[] };
            budget.add(objective, slice);
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
                closed = closed.and(self.judge_run(number, objective, part, false, surroundings, scratch));
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
        closed = closed.and(self.rolling.add(objective, verdict.slice(start.min(to), to)));
        self.news = verdict.bursts;
        closed
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
        match self.runs[number].part(slice, end).filter(|_| !is_trend) {
            Some(part) => {
                self.judge_run(number, objective, part, true, surroundings, scratch);
            }
            None => self.censor_open_burst(number),
        }
        let run = &mut self.runs[number];
        run.budget.close_unit(objective, end);
        run.is_final = true;
    }

    /// Judges a slice, or a part of one, for a run alone: what is remembered of the places stays as it is. `is_end`: the
    /// run ends with it.
    fn judge_run(
        &mut self,
        number: usize,
        objective: &Objective,
        (from, to): (EventTime, EventTime),
        is_end: bool,
        surroundings: &Surroundings<'_>,
        scratch: &mut Scratch,
    ) -> Closed {
        let remembered = (self.members.clone(), self.valid_since, self.settling.clone());
        let verdict = self.verdict(objective, (from, to), Scope::Run, surroundings, scratch);
        if is_end {
            self.censor_open_burst(number);
        }
        (self.members, self.valid_since, self.settling) = remembered;
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
                let expression = expression_of(&objective.parts()[member.part as usize]);
                state.first = first_reading(expression, member, series);
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
        if let Promise::RecoveryTime(promise) = &objective.promise {
            let spans = (from, to, scope);
            (verdict.state, verdict.bursts) =
                self.settle(objective, promise, &planned, spans, surroundings, scratch);
            self.planned = Some(planned);
            return verdict;
        }
        let asked = self.is_asked(objective, &planned, (from, to), surroundings, scratch);
        let mut states = Vec::with_capacity(planned.members.len());
        let mut together = Together::default();
        for (number, part) in (0..).zip(objective.parts()) {
            states.clear();
            let of_part =
                planned.members.iter().zip(&self.numbers).filter(|(member, _)| member.part == number);
            for (member, number) in of_part {
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
                    expression: expression_of(part),
                    member,
                    series: surroundings.series,
                    staleness_maximum: part.maximum_staleness,
                };
                let (slice, value) = if (surroundings.is_maintained)(&member.place, start, to) {
                    let unknown = SliceState::Unknown(UnknownReason::Maintenance);
                    state.turn_latch(part, unknown, (start, to), None, None);
                    (unknown, None)
                } else {
                    state.judge(part, &spans, (start, to), &mut verdict.evidence, scratch)
                };
                states.push((slice, value, *number));
            }
            let state = if states.is_empty() { SliceState::NotAsked } else { roll_up(part, &mut states) };
            together.add(objective, part, state, worst(part, &states, from));
        }
        verdict.state = match asked {
            Asked::Unknown(reason) if together.is_asked => SliceState::Unknown(reason),
            Asked::Yes => together.state(),
            Asked::No | Asked::Unknown(_) => SliceState::NotAsked,
        };
        if verdict.state != SliceState::NotAsked {
            verdict.worst = together.worst;
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
        self.members.iter().filter_map(MemberState::trend_status).max_by_key(|status| rank(status))
    }

    /// The reading that breaks a hard limit now, whether its slice has been judged or not.
    pub(crate) fn breach_on_arrival(&self) -> Option<(&Place, &Latch)> {
        let latched =
            self.members.iter().filter_map(|member| Some((&*member.place, member.latch.as_deref()?)));
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
            self.members[number as usize].latch = Some(Box::new(Latch::bad(time, value)));
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
        Self { state: SliceState::NotAsked, worst: None, evidence: Vec::new(), bursts: Vec::new() }
    }

    fn slice(&self, from: EventTime, to: EventTime) -> JudgedSlice<'_> {
        JudgedSlice {
            from,
            to,
            state: self.state,
            worst: self.worst,
            evidence: &self.evidence,
            bursts: &self.bursts,
        }
    }
}

/// The parts of a composite in one slice; of anything else its only part.
#[derive(Default)]
struct Together {
    is_asked: bool,
    is_broken: bool,
    /// Why a part is unknown that is asked.
    unknown: Option<UnknownReason>,
    /// A part is not measured where others are.
    is_missing: bool,
    worst: Option<Seen>,
}

impl Together {
    fn add(&mut self, whole: &Objective, part: &Objective, state: SliceState, worst: Option<Seen>) {
        match state {
            SliceState::Good => {}
            SliceState::Bad => self.is_broken = true,
            SliceState::Unknown(reason) => self.unknown = self.unknown.or(Some(reason)),
            SliceState::NotAsked => self.is_missing = true,
        }
        self.is_asked |= state != SliceState::NotAsked;
        let worst = match std::ptr::eq(whole, part) {
            true => worst,
            false => worst.map(|seen| Seen { value: beyond_limit(part, seen.value), ..seen }),
        };
        self.worst = match (self.worst, worst) {
            (Some(known), Some(seen)) if seen.value <= known.value => Some(known),
            (known, seen) => seen.or(known),
        };
    }

    /// Broken where one part is broken, whatever the others do; kept only where all are.
    fn state(&self) -> SliceState {
        match (self.is_broken, self.unknown) {
            _ if !self.is_asked => SliceState::NotAsked,
            (true, _) => SliceState::Bad,
            (false, Some(reason)) => SliceState::Unknown(reason),
            (false, None) if self.is_missing => SliceState::Unknown(UnknownReason::NeverSeen),
            (false, None) => SliceState::Good,
        }
    }
}

/// How far a value lies beyond the limit of its part, in per cent of the limit, which is not 0; negative within it.
fn beyond_limit(part: &Objective, value: f64) -> f64 {
    let beyond = match part.comparison {
        Comparison::Lte | Comparison::Lt => value - part.threshold,
        Comparison::Gte | Comparison::Gt => part.threshold - value,
        Comparison::Equal => (value - part.threshold).abs(),
    };
    100.0 * beyond / part.threshold.abs()
}

/// State of the group: broken where a place breaks it, kept only where all do. Of a quantile the place at that
/// position from the good end counts, with unknown places taken for the worst and for the best.
fn roll_up(objective: &Objective, states: &mut [(SliceState, Option<f64>, u32)]) -> SliceState {
    let unknown = states.iter().find_map(|(state, ..)| match state {
        SliceState::Unknown(reason) => Some(*reason),
        SliceState::Good | SliceState::Bad | SliceState::NotAsked => None,
    });
    let bad = states.iter().filter(|(state, ..)| *state == SliceState::Bad).count();
    let allowed = allowed_bad(objective, states.len());
    let missing = states.iter().filter(|(state, ..)| matches!(state, SliceState::Unknown(_))).count();
    match unknown {
        _ if bad > allowed => SliceState::Bad,
        Some(reason) if bad + missing > allowed => SliceState::Unknown(reason),
        Some(_) | None => SliceState::Good,
    }
}

/// How many of so many places may break the promise without the group breaking it.
fn allowed_bad(objective: &Objective, places: usize) -> usize {
    match objective.rollup {
        Rollup::Worst | Rollup::All => 0,
        Rollup::Quantile(share_ppm) => {
            let counted = (places as u64 * u64::from(share_ppm)).div_ceil(crate::objective::MILLION);
            places - usize::try_from(counted.max(1)).unwrap_or(1)
        }
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
