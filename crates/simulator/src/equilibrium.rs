//! What a loop settles at under a load that never changes: the truth that predictions of it are measured by.

use crate::cooling_loop::CoolingLoop;
use crate::load::LoadPlan;
use crate::rack::Build;
use crate::reference::TRAYS;
use crate::scenario::{FacilityWater, Scenario};

/// Seconds after the start at which every ramp of a fault has long been over.
const LATE_SECONDS: i64 = 400 * 86_400;
/// The state is looked at this often, s, and at rest when nothing has moved by more than this, K, kW or %.
const LOOK_SECONDS: i64 = 600;
const REST: f64 = 2e-3;
/// It is taken as it is after so long, s.
const LONGEST_SECONDS: i64 = 12 * 3_600;
/// Loads between which a power is looked for, as shares of full load, and how closely.
const LEVELS: (f64, f64) = (0.05, 3.0);
const POWER_TOLERANCE: f64 = 2e-3;

/// A rack at rest, as it really is: no sensor comes between.
#[derive(Debug, Clone, PartialEq)]
pub struct RestingRack {
    /// Electrical power, kW.
    pub kilowatts: f64,
    /// The hottest die of all trays, °C.
    pub hottest_die_celsius: f64,
    /// A tray is slowed down by heat.
    pub throttles: bool,
    /// Coolant in and out, °C.
    pub supply_celsius: f64,
    /// Coolant out, °C.
    pub return_celsius: f64,
    /// Share of the door's greatest heat that it takes, %: 100 when it takes all that it can.
    pub door_valve_percent: f64,
    /// Air in front of the rack and behind its trays, °C.
    pub inlet_celsius: f64,
    /// Air behind the trays, °C.
    pub exhaust_celsius: f64,
}

/// A loop at rest.
#[derive(Debug, Clone, PartialEq)]
pub struct Equilibrium {
    /// Its racks in the order of the scenario.
    pub racks: Vec<RestingRack>,
    /// Coolant as it leaves the distribution unit, °C.
    pub supply_celsius: f64,
    /// Opening of the valve and speed of the pump, %.
    pub valve_percent: f64,
    /// Speed of the pump, %.
    pub pump_percent: f64,
    /// Electrical power of all racks, kW.
    pub kilowatts: f64,
}

impl Equilibrium {
    fn of(cooling_loop: &CoolingLoop, throttled_before: &[f64]) -> Self {
        let racks: Vec<RestingRack> = cooling_loop
            .racks
            .iter()
            .zip(throttled_before)
            .map(|(rack, before)| RestingRack {
                kilowatts: rack.trays.total_power(),
                hottest_die_celsius: (0..TRAYS)
                    .map(|tray| rack.trays.die_celsius(tray))
                    .fold(f64::MIN, f64::max),
                throttles: throttled(rack) > *before,
                supply_celsius: rack.supply_celsius,
                return_celsius: rack.return_celsius,
                door_valve_percent: rack.door_valve_percent(),
                inlet_celsius: rack.room_celsius,
                exhaust_celsius: rack.exhaust_celsius,
            })
            .collect();
        Self {
            kilowatts: racks.iter().map(|rack| rack.kilowatts).sum(),
            racks,
            supply_celsius: cooling_loop.supply_celsius,
            valve_percent: 100.0 * cooling_loop.valve_position,
            pump_percent: 100.0 * cooling_loop.pump_speed(),
        }
    }

    fn has_moved_since(&self, other: &Self) -> bool {
        let moved = |one: f64, other: f64| (one - other).abs() > REST;
        let of_loop = moved(self.supply_celsius, other.supply_celsius)
            || moved(self.valve_percent, other.valve_percent)
            || moved(self.pump_percent, other.pump_percent);
        of_loop
            || self.racks.iter().zip(&other.racks).any(|(one, other)| {
                moved(one.kilowatts, other.kilowatts)
                    || moved(one.hottest_die_celsius, other.hottest_die_celsius)
                    || moved(one.exhaust_celsius, other.exhaust_celsius)
            })
    }
}

fn throttled(rack: &crate::rack::Rack) -> f64 {
    (0..TRAYS).map(|tray| rack.trays.throttle_seconds(tray)).sum()
}

/// A loop of a scenario at rest, with all its racks at one share of full load: the same units, without any noise, with
/// facility water that does not swing, and with its faults in full.
///
/// # Panics
/// When the scenario has no such loop.
pub fn equilibrium(scenario: &Scenario, cooling_loop: usize, level: f64) -> Equilibrium {
    let mut planned = scenario.loops[cooling_loop].clone();
    planned.facility_water = FacilityWater { daily_swing_kelvin: 0.0, ..planned.facility_water };
    planned.racks.iter_mut().for_each(|rack| rack.load = LoadPlan::Constant(level));
    let build = Build { noise: 0.0, unit_spread: scenario.unit_spread, plant_error: scenario.plant_error };
    let mut settling = CoolingLoop::new(&planned, build, scenario.seed, 0);
    let mut before: Option<Equilibrium> = None;
    let mut throttled_before: Vec<f64> = settling.racks.iter().map(throttled).collect();
    let mut second = LATE_SECONDS;
    loop {
        for _ in 0..LOOK_SECONDS {
            settling.advance_second(second);
            second += 1;
        }
        let now = Equilibrium::of(&settling, &throttled_before);
        let is_over = second >= LATE_SECONDS + LONGEST_SECONDS;
        if is_over || before.is_some_and(|before| !now.has_moved_since(&before)) {
            return now;
        }
        throttled_before = settling.racks.iter().map(throttled).collect();
        before = Some(now);
    }
}

/// The power of a rack, kW, at which a limit is reached at rest, with all racks of its loop at the same share of full
/// load. `excess` is negative below the limit and positive above. A rack that is slowed down by heat is above any limit:
/// it draws no more. None when the limit is not reached at three times full load, or passed at a twentieth.
pub fn power_at(
    scenario: &Scenario,
    cooling_loop: usize,
    rack: usize,
    excess: impl Fn(&Equilibrium) -> f64,
) -> Option<f64> {
    let at = |level: f64| {
        let rest = equilibrium(scenario, cooling_loop, level);
        // A tray that is slowed down is cooler than its load would make it.
        let excess = if rest.racks[rack].throttles { f64::INFINITY } else { excess(&rest) };
        (level, excess, rest.racks[rack].kilowatts)
    };
    let (mut low, mut high) = (at(LEVELS.0), at(1.0));
    if low.1 > 0.0 {
        return None;
    }
    while high.1 <= 0.0 {
        if high.0 >= LEVELS.1 {
            return None;
        }
        low = high;
        high = at((high.0 * 1.25).min(LEVELS.1));
    }
    // By halves: where several limits are close, the excess bends too much for a straight line.
    while high.0 - low.0 > POWER_TOLERANCE * high.0 {
        let middle = at((low.0 + high.0) / 2.0);
        if middle.1 > 0.0 { high = middle } else { low = middle }
    }
    Some((low.2 + high.2) / 2.0)
}

#[cfg(test)]
mod tests {
    use telemetry::record::Document;

    use super::*;

    fn scenario() -> Scenario {
        let text = "{name: rest, seed: 7, site: s, start: 2026-01-05T00:00:00Z, duration: 1h, unit_spread: 0, \
                    loops: [{name: a, racks: [{name: r, load: training}]}]}";
        Scenario::read(&Document { name: "rest.yaml".into(), text: text.into() }).unwrap()
    }

    #[test]
    fn a_nominal_rack_rests_at_the_reference_point() {
        let rest = equilibrium(&scenario(), 0, 1.0);
        assert!((rest.supply_celsius - 35.0).abs() < 0.05, "{rest:?}");
        assert!((rest.racks[0].return_celsius - 45.0).abs() < 1.0, "{rest:?}");
        assert!((77.0..83.0).contains(&rest.racks[0].hottest_die_celsius), "{rest:?}");
        assert!(
            (rest.valve_percent - 50.0).abs() < 5.0 && (rest.pump_percent - 80.0).abs() < 3.0,
            "{rest:?}"
        );
    }

    #[test]
    fn a_power_is_found_at_which_the_limit_is_just_reached() {
        let limit = 75.0;
        let excess = |rest: &Equilibrium| rest.racks[0].hottest_die_celsius - limit;
        let power = power_at(&scenario(), 0, 0, excess).unwrap();
        assert!((95.0..120.0).contains(&power), "{power}");
        // Searched for in another way: on a grid of loads, between the two that enclose the limit.
        let grid =
            [0.80, 0.85, 0.90, 0.95, 1.0].map(|level| equilibrium(&scenario(), 0, level).racks.remove(0));
        let above = grid.iter().position(|rack| rack.hottest_die_celsius > limit).unwrap();
        let (below, above) = (&grid[above - 1], &grid[above]);
        let share =
            (limit - below.hottest_die_celsius) / (above.hottest_die_celsius - below.hottest_die_celsius);
        let expected = below.kilowatts + share * (above.kilowatts - below.kilowatts);
        assert!((power - expected).abs() < 0.3, "{power} {expected}");
        assert_eq!(power_at(&scenario(), 0, 0, |_| 1.0), None, "passed from the start");
    }

    #[test]
    fn a_rack_draws_no_more_than_what_makes_it_throttle() {
        let slowdown = crate::reference::SLOWDOWN_CELSIUS;
        let throttles = power_at(&scenario(), 0, 0, |_| -1.0).unwrap();
        let reaches =
            power_at(&scenario(), 0, 0, |rest| rest.racks[0].hottest_die_celsius - slowdown + 1e-3).unwrap();
        assert!((throttles / reaches - 1.0).abs() < 0.005, "{throttles} {reaches}");
    }
}
