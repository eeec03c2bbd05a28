//! Settling after bursts of load: the places of a group are in their band together, or they are not.
//!
//! held values → **bursts** → settling

use telemetry::facts::{Scope, UnknownReason};
use telemetry::{EventTime, Microseconds};

use super::{Asked, Group, Surroundings, allowed_bad};
use crate::judge::SliceState;
use crate::objective::{Objective, RecoveryTime, Step};
use crate::plan::PlannedGroup;
use crate::settling::{BurstNews, BurstOutcome, SettlingSpan};
use crate::slice::{Reduced, Scratch, Spans};

/// No change to come.
const NEVER: EventTime = EventTime::from_unix_micros(i64::MAX);

/// A state that lasts until a time at most.
type Until<T> = (Result<T, UnknownReason>, EventTime);

impl Group {
    /// Follows load and places through a slice, or a part of one: its state, and what has become of bursts.
    pub(super) fn settle(
        &mut self,
        objective: &Objective,
        promise: &RecoveryTime,
        planned: &PlannedGroup,
        (from, to, scope): (EventTime, EventTime, Scope),
        surroundings: &Surroundings<'_>,
        scratch: &mut Scratch,
    ) -> (SliceState, Vec<BurstNews>) {
        let mut news = Vec::new();
        match self.is_asked(objective, planned, (from, to), surroundings, scratch) {
            Asked::Yes => {}
            Asked::No => {
                self.settling = None;
                return (SliceState::NotAsked, news);
            }
            Asked::Unknown(reason) => return (SliceState::Unknown(reason), news),
        }
        let limit = Microseconds((objective.threshold * 1e6) as i64);
        let mut settling = self.settling.take().unwrap_or_default();
        let mut known = Reduced::default();
        let mut time = from;
        while time < to {
            let (load, load_until) = self.load_at(objective, promise, planned, time, surroundings, scratch);
            let (inside, inside_until) =
                self.inside_at(objective, promise, planned, (time, to, scope), surroundings, scratch);
            let next = load_until.min(inside_until).min(to);
            let is_known = load.and(inside).map(f64::from);
            known.add(time, next, is_known);
            let span = SettlingSpan { from: time, to: next, load: load.ok(), is_inside: inside.ok() };
            settling.take(promise, limit, span, &mut news);
            time = next;
        }
        self.settling = Some(settling);
        let is_late = news.iter().any(|burst| match burst.what {
            BurstOutcome::Late(_) => true,
            BurstOutcome::Within(_)
            | BurstOutcome::LateSettled(_)
            | BurstOutcome::Censored
            | BurstOutcome::Unknown => false,
        });
        let state = if is_late {
            SliceState::Bad
        } else if known.close(from, to).is_valid() {
            SliceState::Good
        } else {
            SliceState::Unknown(known.reason.unwrap_or(UnknownReason::Stale))
        };
        (state, news)
    }

    /// Whether a burst from `since` on is still watched.
    pub(crate) fn has_open_burst_since(&self, since: EventTime) -> bool {
        self.settling.as_ref().is_some_and(|settling| settling.is_open_since(since))
    }

    /// A run is over: what is still on its way back then was not seen to its end.
    pub(super) fn censor_open_burst(&mut self, run: usize) {
        let is_open = self.has_open_burst_since(self.runs[run].from);
        self.runs[run].budget.window.filling.bursts.censored += u32::from(is_open);
    }

    /// The load and the step that counts.
    fn load_at(
        &self,
        objective: &Objective,
        promise: &RecoveryTime,
        planned: &PlannedGroup,
        time: EventTime,
        surroundings: &Surroundings<'_>,
        scratch: &mut Scratch,
    ) -> Until<(f64, f64)> {
        let step = match promise.trigger.step {
            Step::Amount(amount) => Some(amount),
            Step::ShareOfNominal(share) => {
                let nominal = self.place.rack.as_ref().and_then(|rack| (surroundings.nominal_power)(rack));
                nominal.map(|power| share * power).filter(|step| *step > 0.0)
            }
        };
        let Some(member) = &planned.load else { return (Err(UnknownReason::NeverSeen), NEVER) };
        let spans = Spans {
            expression: Some(&promise.trigger.expression),
            member,
            series: surroundings.series,
            staleness_maximum: objective.maximum_staleness,
        };
        let (load, until) = spans.at(time, scratch);
        (load.and_then(|load| Ok((load, step.ok_or(UnknownReason::Uncalibrated)?))), until)
    }

    /// Whether the places are in their band, by the same roll-up as limits: outside where more are outside than the
    /// roll-up allows.
    fn inside_at(
        &self,
        objective: &Objective,
        promise: &RecoveryTime,
        planned: &PlannedGroup,
        (time, to, scope): (EventTime, EventTime, Scope),
        surroundings: &Surroundings<'_>,
        scratch: &mut Scratch,
    ) -> Until<bool> {
        let (mut places, mut outside, mut missing, mut reason) = (0, 0, 0, None);
        let mut next = NEVER;
        for (member, number) in planned.members.iter().zip(&self.numbers) {
            let first = self.members[*number as usize].first;
            match scope {
                Scope::Rolling if first.is_none_or(|first| to <= first) => continue,
                Scope::Rolling | Scope::Run => {}
            }
            let spans = Spans {
                expression: Some(&objective.expression),
                member,
                series: surroundings.series,
                staleness_maximum: objective.maximum_staleness,
            };
            let (value, until) = spans.at(time, scratch);
            next = next.min(until);
            places += 1;
            let value = match value {
                // Work on a rack is judged by whole slices everywhere.
                Ok(_) if (surroundings.is_maintained)(&member.place, time, to) => {
                    Err(UnknownReason::Maintenance)
                }
                other => other,
            };
            match value {
                Ok(value) => outside += usize::from(!promise.band.holds(value)),
                Err(why) => {
                    missing += 1;
                    reason = reason.or(Some(why));
                }
            }
        }
        if places == 0 {
            return (Err(UnknownReason::NeverSeen), next);
        }
        let allowed = allowed_bad(objective, places);
        let inside = if outside > allowed {
            Ok(false)
        } else if outside + missing > allowed {
            Err(reason.unwrap_or(UnknownReason::Stale))
        } else {
            Ok(true)
        };
        (inside, next)
    }
}
