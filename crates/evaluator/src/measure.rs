//! For how long a rack's power has been high enough: what gates ask before they believe that a run was a test.
//!
//! power → **measure** → facts

use serde::{Deserialize, Serialize};
use telemetry::facts::{Measure, UnknownReason};
use telemetry::{Microseconds, Name};

/// Spans at or above a limit of power.
#[derive(Debug, Default, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct MeasureState {
    longest: Microseconds,
    current: Microseconds,
    total: Microseconds,
    known: Microseconds,
    asked: Microseconds,
    last: Option<f64>,
    threshold: Option<f64>,
}

impl MeasureState {
    /// Adds a span of power, kW. A gap, and a limit that is not known, end the span at or above it.
    pub(crate) fn add(
        &mut self,
        length: Microseconds,
        power: Result<f64, UnknownReason>,
        limit: Option<f64>,
    ) {
        self.asked += length;
        self.threshold = limit;
        match power {
            Ok(power) => {
                self.known += length;
                self.last = Some(power);
                if limit.is_some_and(|limit| limit <= power) {
                    self.current += length;
                    self.total += length;
                    self.longest = self.longest.max(self.current);
                } else {
                    self.current = Microseconds::ZERO;
                }
            }
            Err(_) => self.current = Microseconds::ZERO,
        }
    }

    /// For the facts.
    pub(crate) fn facts(&self, need: &Name) -> Measure {
        Measure {
            need: need.clone(),
            threshold_kilowatts: self.threshold,
            longest: self.longest,
            current: self.current,
            total: self.total,
            known: self.known,
            asked: self.asked,
            last_kilowatts: self.last,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gap_ends_a_span_of_load() {
        let mut state = MeasureState::default();
        let minutes = Microseconds::from_minutes;
        for (length, power) in
            [(8, Ok(100.0)), (1, Err(UnknownReason::Stale)), (5, Ok(100.0)), (2, Ok(50.0)), (3, Ok(96.0))]
        {
            state.add(minutes(length), power, Some(95.0));
        }
        let facts = state.facts(&"need".into());
        assert_eq!((facts.longest, facts.current, facts.total), (minutes(8), minutes(3), minutes(16)));
        assert_eq!((facts.known, facts.asked), (minutes(18), minutes(19)));
    }
}
