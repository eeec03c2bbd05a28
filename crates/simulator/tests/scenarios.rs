//! Scenarios as a caller sees them: readings, their order, faults of sensors and feeds, labels, and the fixtures.

use std::collections::BTreeMap;

use proptest::prelude::*;
use simulator::{Fault, FaultKind, LoadPlan, Reading, Scenario, Simulation, Target};
use telemetry::formula::{Coolant, heat_kw};
use telemetry::record::Document;
use telemetry::signal::Level;
use telemetry::{EventTime, Microseconds};

fn minutes(minutes: i64) -> Microseconds {
    Microseconds::from_minutes(minutes)
}

/// One loop, one rack, twenty minutes at constant load.
fn small() -> Scenario {
    let mut scenario = Scenario::demo(1);
    scenario.duration = minutes(20);
    scenario.loops.truncate(1);
    scenario.loops[0].racks.truncate(1);
    scenario.loops[0].racks[0].load = LoadPlan::Constant(0.8);
    scenario.lost_share = 0.0;
    scenario
}

fn with_fault(fault: Fault) -> Scenario {
    let mut scenario = small();
    match fault.kind.target() {
        Target::Loop => scenario.loops[0].faults.push(fault),
        Target::Rack | Target::Sensor | Target::Feed => scenario.loops[0].racks[0].faults.push(fault),
    }
    scenario
}

/// A fault of one signal of the rack, which begins after ten minutes.
fn of_signal(kind: FaultKind, signal: &str) -> Fault {
    Fault { signal: Some(signal.into()), ..Fault::new(kind, minutes(10)) }
}

/// What arrives at each instant.
fn arrivals(scenario: &Scenario) -> Vec<(EventTime, Vec<Reading>)> {
    let mut simulation = Simulation::new(scenario);
    let mut readings = Vec::new();
    let mut all = Vec::new();
    while let Some(instant) = simulation.step(&mut readings) {
        all.push((instant, readings.clone()));
    }
    all
}

fn readings(scenario: &Scenario) -> Vec<Reading> {
    arrivals(scenario).into_iter().flat_map(|(_, readings)| readings).collect()
}

/// Minute and value of one signal of rack a1.
fn signal(scenario: &Scenario, name: &str) -> Vec<(f64, f64)> {
    readings(scenario)
        .into_iter()
        .filter(|reading| *reading.signal == *name && reading.place.rack.as_deref() == Some("a1"))
        .map(|reading| ((reading.time - scenario.start).as_seconds() / 60.0, reading.value))
        .collect()
}

fn mean(values: &[(f64, f64)], from: f64, to: f64) -> f64 {
    let chosen: Vec<f64> =
        values.iter().filter(|(at, _)| (from..to).contains(at)).map(|(_, value)| *value).collect();
    chosen.iter().sum::<f64>() / chosen.len() as f64
}

#[test]
fn readings_come_on_the_grid_and_in_order() {
    let scenario = small();
    let all = arrivals(&scenario);
    assert_eq!(all.len(), 240);
    assert_eq!(all[0].0, scenario.start);
    for (index, (instant, readings)) in all.iter().enumerate() {
        assert!(readings.iter().all(|reading| reading.time == *instant));
        let key = |reading: &Reading| (reading.place.clone(), reading.signal.clone(), reading.sensor.clone());
        assert!(readings.windows(2).all(|pair| key(&pair[0]) < key(&pair[1])), "sorted, each once");
        // 17 signals of the loop, 13 of the rack, and every other time 4 of each of 8 GPUs.
        assert_eq!(readings.len(), if index % 2 == 0 { 30 + 32 } else { 30 });
    }
}

#[test]
fn every_reading_is_of_a_canonical_signal_and_one_that_a_working_sensor_can_report() {
    for reading in readings(&Scenario::demo(3)) {
        let Some(signal) = telemetry::signal::find(&reading.signal) else {
            panic!("{} is not a signal", reading.signal)
        };
        assert!(signal.span.holds(reading.value), "{reading:?}");
        assert_eq!(reading.place.device.is_some(), signal.level == Level::Device, "{reading:?}");
    }
}

#[test]
fn the_readings_of_a_healthy_rack_keep_the_heat_balance() {
    let scenario = Scenario { duration: minutes(60), ..small() };
    let over = |name: &str| mean(&signal(&scenario, name), 0.0, 60.0);
    let rise = over("coolant_return_temperature") - over("coolant_supply_temperature");
    let share = heat_kw(over("coolant_flow"), rise, Coolant::Pg25.heat_capacity()) / over("rack_power");
    assert!((share - 0.85).abs() < 0.03, "{share}, with a bias of up to .2 K of 8");
}

#[test]
fn equal_seeds_give_equal_readings_and_others_do_not() {
    let bits = |seed: u64| -> Vec<u64> {
        readings(&Scenario { seed, ..small() }).iter().map(|reading| reading.value.to_bits()).collect()
    };
    assert_eq!(bits(1), bits(1));
    assert_ne!(bits(1), bits(2));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8))]

    /// A fault changes nothing before it begins, nor anything on another loop, whatever it is.
    #[test]
    fn a_fault_changes_nothing_elsewhere_or_earlier(kind in prop::sample::select(FaultKind::ALL), seed in 0u64..1000) {
        let mut healthy = Scenario::demo(seed);
        healthy.duration = minutes(15);
        healthy.loops[0].racks.truncate(1);
        healthy.loops[1].racks.truncate(1);
        healthy.loops[1].faults.clear();
        let mut faulty = healthy.clone();
        let mut fault = Fault::new(kind, minutes(10));
        match kind.target() {
            Target::Loop => faulty.loops[0].faults.push(fault),
            Target::Rack | Target::Feed => faulty.loops[0].racks[0].faults.push(fault),
            Target::Sensor => {
                fault.signal = Some("coolant_flow".into());
                faulty.loops[0].racks[0].faults.push(fault);
            }
        }
        let (healthy, faulty) = (arrivals(&healthy), arrivals(&faulty));
        let elsewhere = |readings: &[Reading]| -> Vec<Reading> {
            readings.iter().filter(|reading| reading.place.cooling_loop.as_deref() == Some("loop-b")).cloned().collect()
        };
        for (index, (before, after)) in healthy.iter().zip(&faulty).enumerate() {
            if index < 120 {
                prop_assert_eq!(before, after);
            }
            prop_assert_eq!(elsewhere(&before.1), elsewhere(&after.1));
        }
        prop_assert_ne!(healthy, faulty);
    }
}

#[test]
fn a_stuck_sensor_repeats_its_last_value() {
    let flow = signal(&with_fault(of_signal(FaultKind::Stuck, "coolant_flow")), "coolant_flow");
    assert!(flow[120..].iter().all(|(_, value)| *value == flow[119].1));
    assert!(flow[..120].windows(2).any(|pair| pair[0].1 != pair[1].1));
}

#[test]
fn a_drifting_sensor_leaves_the_truth_at_its_rate() {
    let drift = Fault { severity: Some(12.0), ..of_signal(FaultKind::Drift, "coolant_supply_temperature") };
    let supply = signal(&with_fault(drift), "coolant_supply_temperature");
    let shift = mean(&supply, 19.0, 20.0) - mean(&supply, 5.0, 10.0);
    assert!((shift - 1.9).abs() < 0.1, "12 K/h for 9.5 min: {shift} K");
}

#[test]
fn a_wrong_scale_an_offset_and_coarse_steps_are_what_they_say() {
    let healthy = mean(&signal(&small(), "coolant_flow"), 10.0, 20.0);
    let faulty = |kind, severity| {
        let fault = Fault { severity: Some(severity), ..of_signal(kind, "coolant_flow") };
        signal(&with_fault(fault), "coolant_flow")
    };
    assert!((mean(&faulty(FaultKind::Gain, 1.1), 10.0, 20.0) / healthy - 1.1).abs() < 1e-3);
    assert!((mean(&faulty(FaultKind::Offset, -7.0), 10.0, 20.0) - healthy + 7.0).abs() < 0.01);
    assert!(faulty(FaultKind::Coarse, 5.0)[120..].iter().all(|(_, value)| value % 5.0 == 0.0));
}

#[test]
fn a_silent_feed_sends_nothing_until_it_is_mended() {
    let gap = Fault { ends: Some(minutes(15)), ..Fault::new(FaultKind::Gap, minutes(10)) };
    for (instant, readings) in arrivals(&with_fault(gap)).iter().enumerate() {
        let from_rack = readings.1.iter().filter(|reading| reading.place.rack.is_some()).count();
        assert_eq!(from_rack == 0, (120..180).contains(&instant), "instant {instant}");
        assert!(readings.1.iter().any(|reading| reading.place.rack.is_none()), "the loop goes on");
    }
}

#[test]
fn a_gap_of_one_signal_leaves_its_neighbours_alone() {
    let scenario = with_fault(of_signal(FaultKind::Gap, "rack_power"));
    assert_eq!(signal(&scenario, "rack_power").len(), 120);
    assert_eq!(signal(&scenario, "coolant_flow").len(), 240);
}

#[test]
fn a_stale_feed_sends_its_last_report_again_with_its_old_time() {
    let scenario = with_fault(of_signal(FaultKind::Stale, "coolant_flow"));
    let flow = signal(&scenario, "coolant_flow");
    assert_eq!(flow.len(), 240);
    assert!(flow[120..].iter().all(|sent| *sent == flow[119]));
}

#[test]
fn a_skewed_clock_a_late_feed_and_a_doubled_one_are_what_they_say() {
    let scenario =
        |kind, severity| with_fault(Fault { severity: Some(severity), ..of_signal(kind, "coolant_flow") });
    let flows = |scenario: &Scenario, instant: usize| -> Vec<f64> {
        let (arrival, readings) = arrivals(scenario).swap_remove(instant);
        let of_rack = readings.iter().filter(|reading| &*reading.signal == "coolant_flow");
        of_rack.map(|reading| (reading.time - arrival).as_seconds()).collect()
    };
    assert_eq!(flows(&scenario(FaultKind::Skew, 7.0), 150), [7.0]);
    assert_eq!(flows(&scenario(FaultKind::Late, 20.0), 122), [] as [f64; 0]);
    assert_eq!(flows(&scenario(FaultKind::Late, 20.0), 150), [-20.0]);
    assert_eq!(flows(&scenario(FaultKind::Duplicate, 1.0), 150), [0.0, 0.0]);
}

#[test]
fn two_supply_sensors_differ_by_their_bias_and_one_can_drift() {
    let drift = Fault {
        severity: Some(6.0),
        sensor: Some("b".into()),
        ..of_signal(FaultKind::Drift, "coolant_supply_temperature")
    };
    let scenario = Scenario { redundant_supply_sensors: true, ..with_fault(drift) };
    let of = |sensor: &str| -> Vec<(f64, f64)> {
        let all = readings(&scenario).into_iter().filter(|reading| {
            reading.place.rack.is_some()
                && &*reading.signal == "coolant_supply_temperature"
                && reading.sensor.as_deref() == Some(sensor)
        });
        all.map(|reading| ((reading.time - scenario.start).as_seconds() / 60.0, reading.value)).collect()
    };
    let difference = |from, to| mean(&of("b"), from, to) - mean(&of("a"), from, to);
    assert!(difference(0.0, 10.0).abs() < 0.25);
    assert!((difference(19.0, 20.0) - difference(0.0, 10.0) - 0.95).abs() < 0.05);
}

#[test]
fn lost_readings_are_as_many_as_asked() {
    let scenario = Scenario { lost_share: 0.05, ..small() };
    let kept = readings(&scenario).len() as f64 / readings(&small()).len() as f64;
    assert!((kept - 0.95).abs() < 0.01, "{kept}");
}

#[test]
fn labels_tell_what_happens_and_when_it_matters() {
    let labels: Vec<String> = Simulation::new(&Scenario::demo(1))
        .labels()
        .iter()
        .map(|label| {
            let observable = label.first_observable.map_or("never".into(), EventTime::to_rfc3339);
            format!("{} at {}, {}, matters from {observable}", label.fault.name(), label.place, label.onset)
        })
        .collect();
    insta::assert_snapshot!(labels.join("\n"), @r"
    pump_head_loss at site demo, loop loop-b, 2026-01-05T09:20:00.000000Z, matters from 2026-01-05T09:21:20.000000Z
    stuck at site demo, loop loop-a, rack a2, 2026-01-05T09:30:00.000000Z, matters from 2026-01-05T09:30:00.000000Z
    gap at site demo, loop loop-a, rack a3, 2026-01-05T09:40:00.000000Z, matters from 2026-01-05T09:40:00.000000Z
    ");
}

/// The fixtures' folder.
fn fixture(name: &str) -> Scenario {
    let path = format!("{}/../../fixtures/scenarios/{name}", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    Scenario::read(&Document { name: name.into(), text }).unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn the_demonstration_is_the_scenario_of_its_file() {
    assert_eq!(fixture("demo.yaml"), Scenario::demo(1));
}

/// Mean of a signal of a rack over a minute, over all its sensors; `-` where nothing was reported.
fn told(readings: &[Reading], start: EventTime, rack: &str, name: &str, minute: i64) -> String {
    let from = start + minutes(minute);
    let values: Vec<f64> = readings
        .iter()
        .filter(|reading| from <= reading.time && reading.time < from + minutes(1))
        .filter(|reading| reading.place.rack.as_deref() == Some(rack) && *reading.signal == *name)
        .map(|reading| reading.value)
        .collect();
    if values.is_empty() {
        "-".into()
    } else {
        format!("{:.1}", values.iter().sum::<f64>() / values.len() as f64)
    }
}

/// The story of some racks, a line every twenty minutes: kW, L/min, °C in, °C out, °C of the GPUs.
fn story(scenario: &Scenario, racks: &[&str]) -> String {
    let all = readings(scenario);
    let mut lines = Vec::new();
    for rack in racks {
        for minute in (0..scenario.duration.get() / 60_000_000).step_by(20) {
            let columns = [
                "rack_power",
                "coolant_flow",
                "coolant_supply_temperature",
                "coolant_return_temperature",
                "gpu_temperature",
            ]
            .map(|name| format!("{:>6}", told(&all, scenario.start, rack, name, minute)));
            lines.push(format!("{rack} {minute:>4}m {}", columns.join(" ")));
        }
    }
    lines.join("\n")
}

#[test]
fn the_demonstration_tells_its_story() {
    insta::assert_snapshot!(story(&Scenario::demo(1), &["a1", "a2", "a3", "b1"]), @r"
    a1    0m   99.1  150.0   35.0   43.4   70.3
    a1   20m  116.7  150.0   35.1   45.0   75.0
    a1   40m  125.9  150.6   35.2   45.9   79.8
    a1   60m   97.0  150.3   34.9   43.2   70.0
    a1   80m  115.9  150.6   35.1   45.0   76.3
    a1  100m  123.6  150.2   35.2   45.7   79.7
    a1  120m   95.9  149.8   34.8   43.1   68.7
    a1  140m  122.0  150.1   35.1   45.6   79.3
    a1  160m  121.0  150.4   35.2   45.5   79.2
    a2    0m   94.4  149.8   35.0   43.0   69.0
    a2   20m  116.3  149.7   35.1   44.3   73.5
    a2   40m  117.3  149.4   35.2   45.2   77.5
    a2   60m   99.1  149.9   34.8   43.8   70.8
    a2   80m  118.2  149.6   35.1   44.6   75.1
    a2  100m  112.2  149.9   35.1   44.6   75.8
    a2  120m   95.5  150.0   34.8   44.6   70.6
    a2  140m  114.9  149.9   35.1   44.6   74.8
    a2  160m  120.8  150.1   35.2   44.6   80.0
    a3    0m   95.6  148.7   34.9   43.1   70.0
    a3   20m   98.0  149.4   35.0   43.3   70.8
    a3   40m  118.7  148.6   35.1   45.3   77.1
    a3   60m  119.1  148.5   34.8   45.1   77.8
    a3   80m   98.3  149.1   35.0   43.4   69.4
    a3  100m      -      -      -      -      -
    a3  120m      -      -      -      -      -
    a3  140m      -      -      -      -      -
    a3  160m      -      -      -      -      -
    b1    0m   97.8  148.7   35.0   43.3   69.0
    b1   20m  115.8  149.3   35.0   44.9   75.1
    b1   40m  118.0  149.0   35.1   45.1   76.8
    b1   60m   97.9  149.0   34.8   43.1   69.4
    b1   80m  114.4  148.6   35.0   44.7   75.6
    b1  100m  121.9  118.6   34.8   47.8   79.1
    b1  120m   92.9  118.4   34.8   44.8   70.1
    b1  140m  116.7  118.5   35.0   47.5   79.6
    b1  160m  120.4  118.9   35.1   48.1   81.7
    ");
}

#[test]
fn every_fixture_is_read_and_goes_wrong_as_its_name_says() {
    let folder = format!("{}/../../fixtures/scenarios", env!("CARGO_MANIFEST_DIR"));
    let mut names: Vec<String> = std::fs::read_dir(&folder)
        .expect("a folder of scenarios")
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(names.len(), 13, "{names:?}");
    for name in names {
        let scenario = fixture(&name);
        assert_eq!(format!("{}.yaml", scenario.name), name);
        let labels = Simulation::new(&scenario).labels();
        let first = labels.first().map_or("healthy", |label| label.fault.name());
        let expected = match scenario.name.trim_end_matches("_sensor") {
            "demo" => "pump_head_loss",
            "silent_feed" => "gap",
            "sensor_drift" => "drift",
            "throttling" => "pump_head_loss",
            "noisy" => "noise",
            "mode_changes" | "soak" => "healthy",
            name => name,
        };
        assert_eq!(first, expected, "{name}");
        for label in labels {
            let healthy = label.onset - scenario.start;
            let left = scenario.start + scenario.duration - label.onset;
            assert!(healthy >= minutes(60) && left >= minutes(40), "{name}: {healthy} before, {left} after");
        }
    }
}

#[test]
fn a_noisy_meter_scatters_as_much_more_as_planned_and_its_neighbours_as_before() {
    let scenario = fixture("noisy_sensor.yaml");
    let all = readings(&scenario);
    // Standard deviation of the steps from reading to reading, which the load has little part in.
    let scatter = |rack: &str, from: i64, to: i64| {
        let span = scenario.start + minutes(from)..scenario.start + minutes(to);
        let of = |reading: &&Reading| {
            reading.place.rack.as_deref() == Some(rack)
                && &*reading.signal == "coolant_flow"
                && span.contains(&reading.time)
        };
        let values: Vec<f64> = all.iter().filter(of).map(|reading| reading.value).collect();
        let squares: f64 = values.windows(2).map(|pair| (pair[1] - pair[0]) * (pair[1] - pair[0])).sum();
        (squares / (values.len() - 1) as f64).sqrt()
    };
    let (noisy, quiet) =
        (scatter("a1", 120, 180) / scatter("a1", 0, 120), scatter("a2", 120, 180) / scatter("a2", 0, 120));
    assert!((noisy - 6.0).abs() < 0.5 && (quiet - 1.0).abs() < 0.1, "{noisy} {quiet}");
}

#[test]
fn worn_bearings_take_more_power_for_the_same_flow_and_head() {
    let scenario = fixture("bearing_wear.yaml");
    let all = readings(&scenario);
    let over = |name: &str, from: f64, to: f64| {
        let of = all.iter().filter(|reading| reading.place.rack.is_none() && *reading.signal == *name);
        let values: Vec<(f64, f64)> =
            of.map(|reading| ((reading.time - scenario.start).as_seconds() / 60.0, reading.value)).collect();
        mean(&values, from, to)
    };
    let growth = |name: &str| over(name, 180.0, 240.0) / over(name, 60.0, 120.0);
    assert!((growth("pump_power") - 1.25).abs() < 0.02, "{}", growth("pump_power"));
    for name in ["pump_speed", "coolant_supply_flow", "pump_differential_pressure"] {
        assert!((growth(name) - 1.0).abs() < 0.01, "{name} {}", growth(name));
    }
}

/// One rack's power falls as the other's rises, and their sum stays; reduced clocks and a drained rack take less.
#[test]
fn modes_of_operation_show_in_the_power_of_the_racks() {
    let scenario = fixture("mode_changes.yaml");
    let all = readings(&scenario);
    let power = |rack: &str, from: f64, to: f64| {
        let of = all.iter().filter(|reading| {
            reading.place.rack.as_deref() == Some(rack) && &*reading.signal == "rack_power"
        });
        let values: Vec<(f64, f64)> =
            of.map(|reading| ((reading.time - scenario.start).as_seconds() / 60.0, reading.value)).collect();
        mean(&values, from, to)
    };
    let reduced = power("a1", 152.0, 209.0) / power("a1", 90.0, 149.0);
    // Colder dies leak less current, so that power falls by a little more than the clocks.
    assert!((0.64..0.70).contains(&reduced), "{reduced}");
    assert!(power("a1", 320.0, 359.0) < 0.2 * power("a1", 240.0, 299.0), "drained");
    assert!((power("a1", 380.0, 480.0) / power("a1", 90.0, 149.0) - 1.0).abs() < 0.03, "as before");

    let moved = power("a2", 180.0, 239.0) - power("a2", 245.0, 299.0);
    let received = power("a3", 245.0, 299.0) - power("a3", 180.0, 239.0);
    assert!(moved > 40.0 && (moved / received - 1.0).abs() < 0.15, "{moved} {received}");
    assert!((power("a2", 310.0, 360.0) / power("a2", 180.0, 239.0) - 1.0).abs() < 0.03, "back again");
}

#[test]
fn a_tripped_pump_makes_gpus_throttle_and_nothing_else_does() {
    let throttled = |name: &str, rack: &str| -> f64 {
        let all = readings(&fixture(name));
        let of = |reading: &&Reading| {
            reading.place.rack.as_deref() == Some(rack) && &*reading.signal == "gpu_thermal_throttle_time"
        };
        all.iter().filter(of).map(|reading| reading.value).fold(0.0, f64::max)
    };
    assert!(
        (30.0..300.0).contains(&throttled("pump_trip.yaml", "a1")),
        "{}",
        throttled("pump_trip.yaml", "a1")
    );
    assert!(throttled("throttling.yaml", "a1") > 60.0);
    assert!((throttled("throttling.yaml", "b1") - 300.0).abs() < 1.0, "a quarter of 20 min");
    assert_eq!(throttled("healthy.yaml", "a1"), 0.0);
}

#[test]
fn a_leak_wets_the_rope_within_seconds_and_shows_in_the_flows() {
    let all = readings(&fixture("leak.yaml"));
    let start = fixture("leak.yaml").start;
    let minute = |reading: &Reading| (reading.time - start).as_seconds() / 60.0;
    let wet = |rack: &str| -> Vec<f64> {
        let states = all.iter().filter(|reading| {
            reading.place.rack.as_deref() == Some(rack) && &*reading.signal == "leak_state"
        });
        states.filter(|reading| reading.value == 2.0).map(minute).collect()
    };
    let (first, last) = (wet("a1")[0], *wet("a1").last().unwrap());
    assert!((70.1..70.4).contains(&first) && (70.8..71.1).contains(&last), "{first} {last}");
    assert!(*wet("a2").last().unwrap() > 119.9);
    let flow = |name: &str| {
        let values: Vec<(f64, f64)> = all
            .iter()
            .filter(|reading| *reading.signal == *name)
            .map(|reading| (minute(reading), reading.value))
            .collect();
        mean(&values, 100.0, 120.0) - mean(&values, 50.0, 70.0)
    };
    let missing = flow("coolant_supply_flow") - flow("coolant_return_flow");
    assert!((missing - 4.0).abs() < 0.3, "{missing} L/min");
}

/// Physics, not arrangement: the limit is the one that the default objectives have for racks.
#[test]
fn in_the_demonstration_only_loop_b_leaves_12_kelvin_and_for_most_of_the_rest() {
    for seed in 1..4 {
        let scenario = Scenario::demo(seed);
        let all = readings(&scenario);
        for rack in ["a1", "a2", "a3", "b1", "b2", "b3"] {
            let of = |name: &str| -> BTreeMap<EventTime, f64> {
                let chosen = all.iter().filter(|reading| {
                    reading.place.rack.as_deref() == Some(rack) && *reading.signal == *name
                });
                chosen.map(|reading| (reading.time, reading.value)).collect()
            };
            let supply = of("coolant_supply_temperature");
            let hot_share = |from: i64, to: i64| {
                let span = scenario.start + minutes(from)..scenario.start + minutes(to);
                let rises: Vec<f64> = of("coolant_return_temperature")
                    .range(span)
                    .filter_map(|(time, celsius)| Some(celsius - supply.get(time)?))
                    .collect();
                rises.iter().filter(|rise| **rise > 12.0).count() as f64 / rises.len().max(1) as f64
            };
            assert_eq!(hot_share(0, 80), 0.0, "{rack} before, seed {seed}");
            if rack.starts_with('b') {
                assert!((0.55..0.8).contains(&hot_share(100, 180)), "{rack}: {}", hot_share(100, 180));
            } else {
                assert_eq!(hot_share(80, 180), 0.0, "{rack} after, seed {seed}");
            }
        }
    }
}
