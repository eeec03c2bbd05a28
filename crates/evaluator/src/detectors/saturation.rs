//! Cooling without reserve: under a load that has rested for long, an actuator is at its end, or something will be at
//! its limit within the hour. A fast test never sees it: rooms and facility loops take half an hour and more to warm.
//!
//! block means of a loop → **saturation** → findings
//!
//! Slopes are Theil and Sen's over twenty minutes of one plateau; the margin is what is left to the limit.

use serde::{Deserialize, Serialize};
use telemetry::facts::Comparison;
use telemetry::{EventTime, Microseconds};

use crate::block::BLOCK;
use crate::trend::Blocks;

/// An actuator at or above this has no more to give, % of its stroke or rated speed.
pub(crate) const ACTUATOR_END: f64 = 95.0;
/// One that is below this again has, %.
pub(crate) const ACTUATOR_RESERVE: f64 = 90.0;
/// Blocks that an actuator is at its end, or off it, until it counts.
const ACTUATOR_BLOCKS: u32 = 5;
/// Blocks of one plateau that a slope is taken over.
const WINDOW: Microseconds = Microseconds::from_minutes(20);
/// Blocks that a slope must go on to the limit until it is told: what makes it so has its own detector, which is to
/// speak first.
const COMING_BLOCKS: u32 = 10;
/// What is reached later is not told: a plateau seldom lasts longer.
pub(crate) const HORIZON: Microseconds = Microseconds::from_hours(1);

/// What can come to its limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Limited {
    /// The valve of the exchanger.
    Valve,
    /// The pump's speed.
    Pump,
    /// The temperature of the supply.
    Supply,
}

impl Limited {
    const ALL: [Self; 3] = [Self::Valve, Self::Pump, Self::Supply];

    /// Its signal, and the unit of its value.
    pub(crate) const fn signal(self) -> (&'static str, &'static str) {
        match self {
            Self::Valve => ("valve_position", "%"),
            Self::Pump => ("pump_speed", "%"),
            Self::Supply => ("coolant_supply_temperature", "Cel"),
        }
    }
}

/// Block means of a loop; none where it is not known.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Inputs {
    /// Whether the power of all racks rests; none while it is not known.
    pub is_steady: Option<bool>,
    /// Position of the valve, %.
    pub valve: Option<f64>,
    /// Speed of the pump, % of rated.
    pub pump: Option<f64>,
    /// Temperature of the supply, °C.
    pub supply: Option<f64>,
    /// Limit of the supply's temperature, °C.
    pub supply_limit: f64,
}

impl Inputs {
    /// A value and its limit.
    fn of(&self, limited: Limited) -> (Option<f64>, f64) {
        match limited {
            Limited::Valve => (self.valve, ACTUATOR_END),
            Limited::Pump => (self.pump, ACTUATOR_END),
            Limited::Supply => (self.supply, self.supply_limit),
        }
    }
}

/// What is known of a loop's reserve.
#[derive(Debug, Default, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Saturation {
    /// Of the present plateau, in the order of [`Limited::ALL`].
    blocks: [Blocks; 3],
    /// Blocks that valve and pump have been at their ends, and off them.
    at_end: [u32; 2],
    off_end: [u32; 2],
    /// Blocks that something has been on its way to its limit.
    coming: u32,
    alarm: Option<Limited>,
}

/// Something without reserve.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Saturated {
    /// What.
    pub limited: Limited,
    /// Its value now.
    pub value: f64,
    /// Its limit.
    pub limit: f64,
    /// How fast it moves there, its unit an hour, where it moves.
    pub slope_per_hour: Option<f64>,
    /// For how long it has been there, or on its way.
    pub lasts: Microseconds,
    /// When it will be there; zero when it is.
    pub time_to_limit: Microseconds,
}

/// What a block changed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Change {
    /// The reserve is used up, or will be.
    Begun(Saturated),
    /// There is one again.
    Over,
}

impl Saturation {
    /// Takes the block that ended at `end`. What is not known changes nothing.
    pub(crate) fn observe(&mut self, end: EventTime, inputs: &Inputs) -> Option<Change> {
        match inputs.is_steady {
            Some(true) => {}
            Some(false) => self.blocks = Default::default(),
            None => return None,
        }
        let actuators = [(Limited::Valve, inputs.valve), (Limited::Pump, inputs.pump)];
        for (index, (_, value)) in actuators.iter().enumerate() {
            let count = |before: u32, holds: bool| if holds { before.saturating_add(1) } else { 0 };
            let is_at_end = value.is_some_and(|value| ACTUATOR_END <= value);
            let is_off_end = value.is_some_and(|value| value < ACTUATOR_RESERVE);
            self.at_end[index] = count(self.at_end[index], is_at_end);
            self.off_end[index] = count(self.off_end[index], is_off_end);
        }
        let coming = self.coming(end, inputs);
        self.coming = if coming.is_some() { self.coming.saturating_add(1) } else { 0 };
        match self.alarm {
            None => {
                let at_end = actuators.into_iter().zip(self.at_end);
                let here = at_end.filter(|(_, blocks)| ACTUATOR_BLOCKS <= *blocks).find_map(
                    |((limited, value), blocks)| {
                        Some(Saturated {
                            limited,
                            value: value?,
                            limit: ACTUATOR_END,
                            slope_per_hour: None,
                            lasts: length_of(blocks),
                            time_to_limit: Microseconds::ZERO,
                        })
                    },
                );
                let here = here.filter(|_| inputs.is_steady == Some(true));
                let coming = coming.filter(|_| COMING_BLOCKS <= self.coming);
                let begun =
                    here.or(coming.map(|coming| Saturated { lasts: length_of(self.coming), ..coming }))?;
                self.alarm = Some(begun.limited);
                Some(Change::Begun(begun))
            }
            Some(limited) => {
                let has_reserve = match limited {
                    Limited::Valve => ACTUATOR_BLOCKS <= self.off_end[0],
                    Limited::Pump => ACTUATOR_BLOCKS <= self.off_end[1],
                    Limited::Supply => inputs.supply.is_some_and(|supply| supply < inputs.supply_limit),
                };
                if coming.is_some() || !has_reserve {
                    return None;
                }
                self.alarm = None;
                Some(Change::Over)
            }
        }
    }

    /// The first thing on this plateau that will be at its limit within the horizon.
    fn coming(&mut self, end: EventTime, inputs: &Inputs) -> Option<Saturated> {
        if inputs.is_steady != Some(true) {
            return None;
        }
        let coming = Limited::ALL.into_iter().zip(&mut self.blocks).filter_map(|(limited, blocks)| {
            let (value, limit) = inputs.of(limited);
            blocks.add(end, value, WINDOW);
            let trend = blocks.trend(WINDOW, BLOCK, Comparison::Lte, limit)?;
            let time_to_limit =
                trend.time_to_threshold.filter(|time| *time <= HORIZON && trend.significant)?;
            let slope_per_hour = Some(trend.slope_per_hour);
            let lasts = Microseconds::ZERO;
            Some(Saturated { limited, value: trend.level, limit, slope_per_hour, lasts, time_to_limit })
        });
        coming.min_by_key(|coming| coming.time_to_limit)
    }
}

fn length_of(blocks: u32) -> Microseconds {
    Microseconds(BLOCK.0 * i64::from(blocks))
}

#[cfg(test)]
mod tests {
    use super::*;

    const REST: Inputs = Inputs {
        is_steady: Some(true),
        valve: Some(50.0),
        pump: Some(80.0),
        supply: Some(35.0),
        supply_limit: 45.0,
    };

    /// What is told, by minute.
    fn follow(
        saturation: &mut Saturation,
        minutes: std::ops::Range<i64>,
        inputs: impl Fn(f64) -> Inputs,
    ) -> Vec<(i64, Change)> {
        let start = minutes.start;
        minutes
            .filter_map(|minute| {
                let end = EventTime::from_unix_micros((minute + 1) * 60_000_000);
                saturation.observe(end, &inputs((minute - start) as f64)).map(|change| (minute, change))
            })
            .collect()
    }

    #[test]
    fn a_valve_at_its_end_for_five_minutes_of_a_plateau_is_told_until_it_has_reserve_again() {
        let mut saturation = Saturation::default();
        assert_eq!(follow(&mut saturation, 0..60, |_| REST), []);
        let told = follow(&mut saturation, 60..70, |_| Inputs { valve: Some(97.0), ..REST });
        let [(64, Change::Begun(begun))] = told[..] else { panic!("{told:?}") };
        assert_eq!(
            (begun.limited, begun.value, begun.time_to_limit),
            (Limited::Valve, 97.0, Microseconds::ZERO)
        );
        assert_eq!(
            follow(&mut saturation, 70..90, |_| Inputs { valve: Some(93.0), ..REST }),
            [],
            "hardly any"
        );
        let told = follow(&mut saturation, 90..130, |_| REST);
        assert!(matches!(told[..], [(94..=115, Change::Over)]), "{told:?}");
    }

    #[test]
    fn a_short_test_at_the_end_of_the_stroke_is_not_told() {
        let mut saturation = Saturation::default();
        let restless = Inputs { is_steady: Some(false), valve: Some(100.0), ..REST };
        assert_eq!(follow(&mut saturation, 0..30, |_| restless), []);
    }

    #[test]
    fn a_valve_that_opens_on_and_on_is_told_before_it_is_open() {
        let mut saturation = Saturation::default();
        let told = follow(&mut saturation, 0..40, |minute| Inputs { valve: Some(60.0 + minute), ..REST });
        let [(minute, Change::Begun(begun))] = told[..] else { panic!("{told:?}") };
        assert!(minute < 26, "{minute}");
        assert!((begun.slope_per_hour.unwrap() - 60.0).abs() < 1e-9, "{begun:?}");
        assert!(begun.time_to_limit <= Microseconds::from_minutes(12), "{begun:?}");
    }

    #[test]
    fn a_supply_that_creeps_to_its_limit_is_told() {
        let mut saturation = Saturation::default();
        let told =
            follow(&mut saturation, 0..30, |minute| Inputs { supply: Some(38.0 + 0.1 * minute), ..REST });
        let [(_, Change::Begun(begun))] = told[..] else { panic!("{told:?}") };
        assert_eq!(begun.limited, Limited::Supply);
    }

    #[test]
    fn what_is_not_known_neither_raises_nor_ends_it() {
        let mut saturation = Saturation::default();
        let unknown = Inputs { is_steady: None, valve: None, pump: None, supply: None, ..REST };
        assert_eq!(follow(&mut saturation, 0..60, |_| unknown), []);
        assert_eq!(follow(&mut saturation, 60..70, |_| Inputs { pump: Some(99.0), ..REST }).len(), 1);
        assert_eq!(follow(&mut saturation, 70..200, |_| unknown), []);
        let dark = Inputs { pump: None, ..REST };
        assert_eq!(follow(&mut saturation, 200..300, |_| dark), []);
    }
}
