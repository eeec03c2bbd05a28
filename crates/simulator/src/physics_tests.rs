//! The model against the reference values of a nominal rack, and against the laws of physics.

use proptest::prelude::*;
use telemetry::Microseconds;

use crate::cooling_loop::{CoolingLoop, SUPPLY_SETPOINT_CELSIUS};
use crate::fault::{Fault, FaultKind};
use crate::load::{LoadPlan, Step};
use crate::rack::Build;
use crate::reference::{COOLANT_RATE, ROOM_CELSIUS, ROOM_CONDUCTANCE, TRAYS};
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
    CoolingLoop::new(&scenario, Build { noise: unit_spread, unit_spread, plant_error: 0.0 }, seed, 0)
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

/// Means over half an hour of racks that differ and fluctuate as real ones do. The ranges of the hottest GPU and of the
/// valve are met by nine racks of ten; over these seeds they are 78.5 to 83.5 °C and .503 to .551.
#[test]
fn a_nominal_rack_at_full_load_runs_at_the_reference_point() {
    let (mut hottest, mut valves) = (Vec::new(), Vec::new());
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
        hottest.push(dies.map(|sum| sum / (HOUR / 2) as f64).into_iter().fold(f64::MIN, f64::max));
        near("return °C", back, 45.0, 1.0);
        near("supply °C", supply, SUPPLY_SETPOINT_CELSIUS, 0.1);
        valves.push(valve);
        near("pump speed", speed, 0.8, 0.03);
        near("liquid share", share, 0.85, 0.02);
    }
    for (what, mut values, range) in
        [("hottest GPU, °C", hottest, 77.0..=83.0), ("valve", valves, 0.45..=0.55)]
    {
        values.sort_by(f64::total_cmp);
        let outside = values.iter().filter(|value| !range.contains(*value)).count();
        println!("{what}: {:.3} to {:.3}, {outside} outside", values[0], values[values.len() - 1]);
        assert!(outside * 10 <= values.len(), "{what}: {values:?}");
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

#[test]
fn each_of_three_equal_racks_behaves_like_a_single_one() {
    let one = steady(0.9, Some((FaultKind::PumpHeadLoss, 0.5)), 1);
    let head_loss = Fault { severity: Some(0.5), ..Fault::new(FaultKind::PumpHeadLoss, Microseconds::ZERO) };
    let mut three = settled(3, LoadPlan::Constant(0.9), vec![head_loss], 0.0, 1);
    run(&mut three, 0..HOUR);
    for rack in &three.racks {
        near("flow, share", rack.flow / one.racks[0].flow, 1.0, 0.01);
        near("power, share", rack.trays.total_power() / one.racks[0].trays.total_power(), 1.0, 0.01);
        near("return °C", rack.return_celsius, one.racks[0].return_celsius, 0.1);
    }
    near("valve", three.valve_position, one.valve_position, 0.005);
    near("pump speed", three.pump_speed(), one.pump_speed(), 0.008);
}

#[test]
fn all_heat_is_accounted_for_when_nothing_changes() {
    for level in [0.3, 0.7, 1.0] {
        let unit = steady(level, None, 12);
        let rack = &unit.racks[0];
        let drawn = rack.trays.total_power();
        let into_room = ROOM_CONDUCTANCE * (rack.room_celsius - ROOM_CELSIUS);
        let carried = COOLANT_RATE * rack.flow * rise_kelvin(&unit);
        near("coolant, share", carried / (drawn * rack.trays.liquid_share()), 1.0, 1e-6);
        near("all, share", (unit.removed_kilowatts + rack.door_kilowatts + into_room) / drawn, 1.0, 1e-6);
    }
}

#[test]
fn coolant_is_neither_made_nor_lost_but_for_leaks() {
    let leak = Fault { severity: Some(3.0), ..Fault::new(FaultKind::Leak, Microseconds::ZERO) };
    let mut unit = settled(3, LoadPlan::Training, Vec::new(), 1.0, 5);
    for second in 0..600 {
        if second == 300 {
            unit.racks[1].plan(leak.clone());
        }
        unit.advance_second(second);
        let supplied = unit.operating_point.flow;
        let into_racks: f64 = unit.racks.iter().map(|rack| rack.flow).sum();
        near("into racks, share", into_racks / supplied, 1.0, 1e-12);
        near("missing, L/min", supplied - unit.return_flow(), if second < 300 { 0.0 } else { 3.0 }, 1e-9);
        let around = unit.operating_point.rack + unit.operating_point.cdu + unit.operating_point.filter;
        near("pressure around the loop, share", around / unit.operating_point.pump, 1.0, 1e-12);
    }
    assert_eq!(unit.racks[1].leak_state(), 2.0, "the rope is wet");
}

#[test]
fn half_the_step_of_time_halves_the_error() {
    let trace = |steps_per_second: u32| {
        let steps =
            [(0, 0.3), (60, 1.0)].map(|(at, level)| Step { at: Microseconds::from_seconds(at), level });
        let mut unit = settled(1, LoadPlan::Steps(steps.into()), Vec::new(), 0.0, 1);
        unit.steps_per_second = steps_per_second;
        run(&mut unit, 0..90);
        [hottest_celsius(&unit), unit.supply_celsius, unit.return_celsius, 100.0 * unit.valve_position]
    };
    let [used, finer, finest] = [4, 8, 64].map(trace);
    for quantity in 0..used.len() {
        let (error, smaller) =
            ((used[quantity] - finest[quantity]).abs(), (finer[quantity] - finest[quantity]).abs());
        assert!(error < 0.25, "quantity {quantity}: {} instead of {}", used[quantity], finest[quantity]);
        assert!(
            smaller < 0.65 * error + 0.01,
            "quantity {quantity}: error {error}, with half the step {smaller}"
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(6))]

    /// Affinity laws: flow goes with speed, head with its square, power with its cube.
    #[test]
    fn the_pump_follows_the_affinity_laws(speed in 0.2f64..0.99, factor in 0.5f64..1.0) {
        let unit = steady(0.5, None, 0);
        let conductance = unit.racks[0].trays.total_conductance();
        let circuit = crate::hydraulics::Circuit::new(1, 1.0, |parameter| parameter);
        let at = |speed: f64| circuit.solve(speed, 1.0, 1.0, conductance);
        let (fast, slow) = (at(speed), at(speed * factor));
        prop_assert!((slow.flow / fast.flow - factor).abs() < 1e-9);
        prop_assert!((slow.pump / fast.pump - factor.powi(2)).abs() < 1e-9);
        prop_assert!((slow.pump_watts() / fast.pump_watts() - factor.powi(3)).abs() < 1e-9);
    }

    /// Worse is never better: each fault of the physics moves what it must, the way it must, the more the worse it is.
    #[test]
    fn a_worse_fault_has_a_larger_effect(level in 0.5f64..1.0, one in 0.05f64..0.4, more in 0.05f64..0.3) {
        let worse = |kind, scale: fn(f64) -> f64, effect: fn(&CoolingLoop) -> f64| {
            let healthy = effect(&steady(level, None, 1));
            let bad = effect(&steady(level, Some((kind, scale(one))), 1));
            let worse = effect(&steady(level, Some((kind, scale(one + more))), 1));
            prop_assert!(healthy < bad && bad < worse, "{}: {healthy} {bad} {worse}", kind.name());
            Ok(())
        };
        let multiple = |severity: f64| 1.0 + 2.0 * severity;
        let share = |severity: f64| severity;
        worse(FaultKind::ExchangerFouling, share, |unit| unit.valve_position)?;
        worse(FaultKind::FilterClogging, multiple, |unit| unit.operating_point.filter)?;
        worse(FaultKind::PumpHeadLoss, share, |unit| unit.pump_speed().min(1.0) - unit.operating_point.flow / 1e3)?;
        worse(FaultKind::FacilityWarming, |severity| 4.0 * severity, |unit| unit.valve_position)?;
    }

    /// The same for the faults of a rack, at its own fields.
    #[test]
    fn a_worse_fault_of_a_rack_has_a_larger_effect(level in 0.5f64..1.0, one in 0.05f64..0.4, more in 0.05f64..0.3) {
        let worse = |kind, scale: fn(f64) -> f64, effect: fn(&CoolingLoop) -> Effect| {
            let [healthy, bad, worse] = [0.0, one, one + more].map(|severity| {
                let mut unit = settled(1, LoadPlan::Constant(level), Vec::new(), 0.0, 1);
                if severity > 0.0 {
                    unit.racks[0].plan(Fault { severity: Some(scale(severity)), ..Fault::new(kind, Microseconds::ZERO) });
                }
                run(&mut unit, 0..HOUR);
                effect(&unit)
            });
            prop_assert!(healthy < bad && bad < worse, "{}: {healthy:?} {bad:?} {worse:?}", kind.name());
            Ok(())
        };
        let multiple = |severity: f64| 1.0 + severity;
        worse(FaultKind::ColdPlateFouling, multiple, |unit| [throttled_seconds(unit), hottest_celsius(unit)])?;
        worse(FaultKind::BranchRestriction, multiple, |unit| [-unit.operating_point.flow, 0.0])?;
        worse(FaultKind::Leak, |severity| 10.0 * severity, |unit| [unit.operating_point.flow - unit.return_flow(), 0.0])?;
        worse(FaultKind::DoorFouling, |severity| severity, |unit| {
            [unit.racks[0].door_valve_percent() + unit.racks[0].outlet_celsius, 0.0]
        })?;
        worse(FaultKind::Throttling, |severity| severity, |unit| [throttled_seconds(unit), 0.0])?;
    }
}

/// What a fault does, the first number before the second: a GPU that gets too hot throttles and is cooler than one that
/// a smaller fault left at full speed.
type Effect = [f64; 2];

fn throttled_seconds(cooling_loop: &CoolingLoop) -> f64 {
    cooling_loop.racks[0].trays.throttle_seconds(0)
}

#[test]
fn a_kinked_branch_starves_its_tray_and_no_other() {
    let kink = Fault {
        node: Some("tray-07".into()),
        severity: Some(3.0),
        ..Fault::new(FaultKind::BranchRestriction, Microseconds::ZERO)
    };
    let mut unit = settled(1, LoadPlan::Constant(0.8), Vec::new(), 0.0, 1);
    let before: Vec<f64> = (0..TRAYS).map(|tray| unit.racks[0].trays.die_celsius(tray)).collect();
    unit.racks[0].plan(kink);
    run(&mut unit, 0..HOUR);
    for (tray, celsius) in before.iter().enumerate() {
        let rise = unit.racks[0].trays.die_celsius(tray) - celsius;
        if tray == 6 {
            assert!((3.0..15.0).contains(&rise), "starved tray rose by {rise} K");
        } else {
            near("other tray, K", rise, 0.0, 0.3);
        }
    }
}

#[test]
fn a_hot_tray_throttles_until_it_has_cooled() {
    // Warm enough that dies pass 88 °C: pump at 15 % head under full load.
    let mut unit = settled(
        1,
        LoadPlan::Constant(1.0),
        vec![Fault { severity: Some(0.85), ..Fault::new(FaultKind::PumpHeadLoss, Microseconds::ZERO) }],
        0.0,
        1,
    );
    run(&mut unit, 0..600);
    let throttled = unit.racks[0].trays.throttle_seconds(0);
    assert!((60.0..600.0).contains(&throttled), "throttled for {throttled} s of 600");
    assert!(hottest_celsius(&unit) < 90.0, "throttling holds the die at {} °C", hottest_celsius(&unit));
    let healthy = steady(1.0, None, 1);
    assert_eq!(healthy.racks[0].trays.throttle_seconds(0), 0.0);
}

#[test]
fn a_valve_hunts_at_20_times_the_gain_and_not_at_8() {
    let swing = |severity: f64| {
        let mut unit = steady(0.8, Some((FaultKind::ValveHunting, severity)), 1);
        // A push, as checkpoints give it.
        unit.supply_celsius += 1.0;
        run(&mut unit, HOUR..2 * HOUR);
        let mut range = (f64::MAX, f64::MIN);
        for second in 2 * HOUR..2 * HOUR + 600 {
            unit.advance_second(second);
            range = (range.0.min(unit.supply_celsius), range.1.max(unit.supply_celsius));
        }
        range.1 - range.0
    };
    assert!(swing(8.0) < 0.2, "stable: {} K", swing(8.0));
    assert!((4.0..12.0).contains(&swing(20.0)), "hunting: {} K", swing(20.0));
}

#[test]
fn a_stuck_valve_lets_the_supply_run_away() {
    let unit = steady(1.0, Some((FaultKind::ValveStuck, 0.27)), 1);
    near("valve", unit.valve_position, 0.27, 1e-9);
    assert!(unit.supply_celsius > SUPPLY_SETPOINT_CELSIUS + 3.0, "{} °C", unit.supply_celsius);
}
