//! The model against the reference values of a nominal rack, and against the laws of physics.

use telemetry::Microseconds;

use crate::cooling_loop::{CoolingLoop, SUPPLY_SETPOINT_CELSIUS};
use crate::fault::{Fault, FaultKind};
use crate::load::{LoadPlan, Step};
use crate::rack::Build;
use crate::reference::TRAYS;
use crate::scenario::{FacilityWater, LoopScenario, RackScenario};

const HOUR: i64 = 3_600;
const SEEDS: std::ops::Range<u64> = 1..42;

/// A loop of equal racks with steady facility water and no noise, after it has settled at its first load.
fn settled(racks: usize, load: LoadPlan, faults: Vec<Fault>, unit_spread: f64, seed: u64) -> CoolingLoop {
    let rack = |index: usize| RackScenario {
        name: format!("r{index}").into(),
        load: load.clone(),
        faults: Vec::new(),
    };
    let scenario = LoopScenario {
        name: "loop".into(),
        facility_water: FacilityWater { celsius: 28.0, daily_swing_kelvin: 0.0 },
        faults,
        racks: (0..racks).map(rack).collect(),
    };
    // Noise belongs to the spread of real racks: without the one there is none of the other.
    CoolingLoop::new(&scenario, Build { noise: unit_spread, unit_spread }, seed, 0)
}

fn run(cooling_loop: &mut CoolingLoop, seconds: std::ops::Range<i64>) {
    seconds.for_each(|second| cooling_loop.advance_second(second));
}

/// The same, after `hours` at a constant load, with a fault of a severity from the start.
fn steady(level: f64, fault: Option<(FaultKind, f64)>, hours: i64) -> CoolingLoop {
    let faults = fault
        .map(|(kind, severity)| Fault { severity: Some(severity), ..Fault::new(kind, Microseconds::ZERO) });
    let mut cooling_loop = settled(1, LoadPlan::Constant(level), faults.into_iter().collect(), 0.0, 1);
    run(&mut cooling_loop, 0..hours * HOUR);
    cooling_loop
}

fn hottest_celsius(cooling_loop: &CoolingLoop) -> f64 {
    let trays = &cooling_loop.racks[0].trays;
    (0..TRAYS).map(|tray| trays.die_celsius(tray)).fold(f64::MIN, f64::max)
}

fn rise_kelvin(cooling_loop: &CoolingLoop) -> f64 {
    cooling_loop.racks[0].return_celsius - cooling_loop.racks[0].supply_celsius
}

/// Asserts that a value is within `tolerance` of what is expected.
fn near(what: &str, value: f64, expected: f64, tolerance: f64) {
    assert!((value - expected).abs() <= tolerance, "{what}: {value}, expected {expected} ± {tolerance}");
}

/// Means over half an hour of racks that differ and fluctuate as real ones do.
#[test]
fn a_nominal_rack_at_full_load_runs_at_the_reference_point() {
    for seed in SEEDS {
        let mut unit = settled(1, LoadPlan::Constant(1.0), Vec::new(), 1.0, seed);
        let mut sums = [0.0; 5];
        let mut dies = [0.0; TRAYS];
        for second in 0..HOUR / 2 {
            unit.advance_second(second);
            let now = [
                unit.return_celsius,
                unit.supply_celsius,
                unit.valve_position,
                unit.pump_speed(),
                unit.removed_kilowatts / unit.racks[0].trays.total_power(),
            ];
            sums.iter_mut().zip(now).for_each(|(sum, value)| *sum += value);
            (0..TRAYS).for_each(|tray| dies[tray] += unit.racks[0].trays.die_celsius(tray));
        }
        let [back, supply, valve, speed, share] = sums.map(|sum| sum / (HOUR / 2) as f64);
        let hottest = dies.map(|sum| sum / (HOUR / 2) as f64).into_iter().fold(f64::MIN, f64::max);
        near("return °C", back, 45.0, 1.0);
        near("supply °C", supply, SUPPLY_SETPOINT_CELSIUS, 0.1);
        near("hottest GPU as it reports, °C", hottest.round(), 80.0, 3.0);
        near("valve", valve, 0.5, 0.05);
        near("pump speed", speed, 0.8, 0.03);
        near("liquid share", share, 0.85, 0.02);
    }
}

#[test]
fn a_step_of_load_is_followed_in_the_reference_times() {
    let steps = [(0, 0.3), (HOUR, 1.0)].map(|(at, level)| Step { at: Microseconds::from_seconds(at), level });
    let mut unit = settled(1, LoadPlan::Steps(steps.into()), Vec::new(), 0.0, 1);
    run(&mut unit, 0..HOUR);
    let (die_before, return_before) = (hottest_celsius(&unit), unit.return_celsius);
    let mut trace = Vec::new();
    for second in HOUR..2 * HOUR {
        unit.advance_second(second);
        trace.push((hottest_celsius(&unit), unit.return_celsius, unit.supply_celsius));
    }
    let &(die_after, return_after, _) = trace.last().unwrap();
    let seconds = |index: Option<usize>| index.map_or(f64::NAN, |index| (index + 1) as f64);
    let die_63 = trace.iter().position(|now| now.0 - die_before > 0.632 * (die_after - die_before));
    near("GPU t63, s", seconds(die_63), 10.0, 2.0);
    let return_95 =
        trace.iter().position(|now| now.1 - return_before > 0.95 * (return_after - return_before));
    near("return t95, s", seconds(return_95), 37.0, 5.0);
    let back = trace.iter().rposition(|now| (now.2 - SUPPLY_SETPOINT_CELSIUS).abs() > 0.5);
    near("supply back within ± 0.5 K, s", seconds(back), 341.0, 40.0);
    let peak = trace.iter().map(|now| now.2).fold(f64::MIN, f64::max) - SUPPLY_SETPOINT_CELSIUS;
    near("overshoot of the supply, K", peak, 3.7, 0.3);
}

#[test]
fn a_weak_pump_hides_behind_its_speed_until_it_saturates() {
    let healthy = steady(1.0, None, 1);
    let weak = steady(1.0, Some((FaultKind::PumpHeadLoss, 0.3)), 1);
    near("flow, share", weak.operating_point.flow / healthy.operating_point.flow, 1.0, 0.005);
    near("speed before", healthy.pump_speed(), 0.81, 0.02);
    near("speed after", weak.pump_speed(), 0.96, 0.02);

    assert!(steady(1.0, Some((FaultKind::PumpHeadLoss, 0.35)), 1).pump_speed() < 0.995);
    let saturated = steady(1.0, Some((FaultKind::PumpHeadLoss, 0.37)), 1);
    assert!(saturated.pump_speed() > 0.9999 && saturated.operating_point.rack < 99.0);
}

/// The reference figures 10.3 and 13 K leave out that hot dies leak current: at 77 °C a rack draws 3.8 % more than its
/// nominal 120 kW, so that the model has 10.6 and 13.6 K.
#[test]
fn a_pump_at_40_percent_head_lets_the_coolant_rise_by_13_kelvin() {
    let healthy = steady(1.0, None, 1);
    let weak = steady(1.0, Some((FaultKind::PumpHeadLoss, 0.6)), 1);
    near("flow, share", weak.operating_point.flow / healthy.operating_point.flow, 0.79, 0.02);
    near("rise before, K", rise_kelvin(&healthy), 10.3, 0.4);
    near("rise after, K", rise_kelvin(&weak), 13.0, 0.7);
    let nominal_power = |unit: &CoolingLoop| 120.0 / unit.racks[0].trays.total_power();
    near("rise before at 120 kW, K", rise_kelvin(&healthy) * nominal_power(&healthy), 10.3, 0.1);
    near("rise after at 120 kW, K", rise_kelvin(&weak) * nominal_power(&weak), 13.0, 0.1);
}

/// Reference: 2 s at full load, 7 to 9 s at 80 %, 19 to 25 s at 60 %, each ± 1 s. The model's medians are 2.75, 9.5 and
/// 20.5 s.
#[test]
fn a_tripped_pump_leaves_seconds_at_full_load_and_less_than_half_a_minute_at_60_percent() {
    for (level, shortest, longest) in [(1.0, 2.0, 2.0), (0.8, 7.0, 9.0), (0.6, 19.0, 25.0)] {
        let mut times: Vec<f64> = SEEDS
            .map(|seed| {
                let trip = Fault::new(FaultKind::PumpTrip, Microseconds::ZERO);
                let mut unit = settled(1, LoadPlan::Constant(level), vec![trip], 1.0, seed);
                seconds_to(&mut unit, 85.0)
            })
            .collect();
        times.sort_by(f64::total_cmp);
        let median = times[times.len() / 2];
        assert!(
            (shortest - 1.0..=longest + 1.0).contains(&median),
            "load {level}: median {median} s of {times:?}"
        );
    }
}

/// Time until the hottest die reaches a temperature, by steps of the physics.
fn seconds_to(unit: &mut CoolingLoop, celsius: f64) -> f64 {
    let mut steps = 0;
    unit.begin_second(0);
    while hottest_celsius(unit) < celsius {
        unit.step(0.25);
        steps += 1;
    }
    f64::from(steps) * 0.25
}
