//! When a series must have spoken again: asked at every tick, and over for few.
//!
//! settled readings → **deadlines** → gaps

use serde::{Deserialize, Serialize};
use telemetry::EventTime;

/// So many series have an earliest deadline in common, so that most need not be looked at.
const BLOCK: usize = 32;

/// Of a series that nothing is expected of until it speaks again.
const ASLEEP: EventTime = EventTime::from_unix_micros(i64::MAX);

/// By series: it cannot be silent before; looked at again then.
#[derive(Debug, Default, Clone, Serialize, Deserialize)]
pub(super) struct Deadlines {
    of_series: Vec<EventTime>,
    /// No deadline of the block is earlier.
    earliest_of_block: Vec<EventTime>,
}

impl Deadlines {
    /// The next series is new, and may be silent from the start.
    pub(super) fn push(&mut self) {
        self.of_series.push(EventTime::MINIMUM);
        self.earliest_of_block.resize(self.of_series.len().div_ceil(BLOCK), EventTime::MINIMUM);
        self.wake((self.of_series.len() - 1) as u32);
    }

    /// Another deadline of a series that is there.
    pub(super) fn set(&mut self, number: u32, deadline: EventTime) {
        self.of_series[number as usize] = deadline;
        let earliest = &mut self.earliest_of_block[number as usize / BLOCK];
        *earliest = deadline.min(*earliest);
    }

    /// All is told of a series' silence: it is not looked at until it wakes.
    pub(super) fn sleep(&mut self, number: u32) {
        self.set(number, ASLEEP);
    }

    /// Something has come of a series: if it sleeps, it wakes. If not, it has its deadline, which is over already where it
    /// is silent or was never heard.
    pub(super) fn rouse(&mut self, number: u32) {
        if self.of_series[number as usize] == ASLEEP {
            self.wake(number);
        }
    }

    /// Something about a series has changed: it is looked at by the next tick.
    pub(super) fn wake(&mut self, number: u32) {
        self.set(number, EventTime::MINIMUM);
    }

    /// The series whose deadline lies before `time`, in order.
    pub(super) fn before(&mut self, time: EventTime) -> Vec<u32> {
        let mut due = Vec::new();
        let blocks = self.of_series.chunks(BLOCK).zip(&mut self.earliest_of_block);
        for (first, (deadlines, earliest)) in (0..).step_by(BLOCK).zip(blocks) {
            if time <= *earliest {
                continue;
            }
            due.extend(
                (first..).zip(deadlines).filter(|(_, deadline)| **deadline < time).map(|(number, _)| number),
            );
            // Deadlines are moved one by one, and only here is it seen which is the earliest now.
            *earliest = deadlines.iter().copied().min().unwrap_or(time);
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_series_whose_deadline_is_over_are_named_in_order() {
        let at = EventTime::from_unix_micros;
        let mut deadlines = Deadlines::default();
        (0..100).for_each(|_| deadlines.push());
        assert_eq!(deadlines.before(at(0)).len(), 100, "whoever has not spoken is looked at");
        (0..100).for_each(|number| deadlines.set(number, at(i64::from(number) * 7 % 50)));
        let expected: Vec<u32> = (0..100).filter(|number| number * 7 % 50 < 3).collect();
        assert_eq!(deadlines.before(at(3)), expected);
        deadlines.set(99, at(100));
        deadlines.set(0, at(100));
        assert_eq!(deadlines.before(at(1)), [50]);
        assert_eq!(deadlines.before(at(0)), Vec::<u32>::new());
    }

    #[test]
    fn who_sleeps_is_not_named_until_woken() {
        let at = EventTime::from_unix_micros;
        let mut deadlines = Deadlines::default();
        (0..70).for_each(|_| deadlines.push());
        (0..70).for_each(|number| deadlines.sleep(number));
        assert_eq!(deadlines.before(at(i64::MAX)), Vec::<u32>::new());
        deadlines.rouse(65);
        deadlines.set(66, at(5));
        deadlines.rouse(66);
        assert_eq!(deadlines.before(at(1)), [65], "whoever is awake keeps its deadline");
    }
}
