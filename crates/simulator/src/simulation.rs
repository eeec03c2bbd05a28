//! A scenario as it happens: physics second by second, readings at every sampling instant.

use std::collections::BTreeMap;

use telemetry::place::Place;
use telemetry::{EventTime, Microseconds, Name};

use crate::channel::{Channel, GPU_SIGNALS, LOOP_SIGNALS, RACK_SIGNALS, Sending, Source};
use crate::cooling_loop::CoolingLoop;
use crate::fault::{Fault, TruthLabel};
use crate::noise::Noise;
use crate::rack::Build;
use crate::scenario::{Scenario, tray_name};
use crate::sensor::Instrument;

/// A reading as a sensor's gateway sends it: canonical signal, canonical unit.
#[derive(Debug, Clone, PartialEq)]
pub struct Reading {
    /// Site, loop and, where they apply, rack, node and device.
    pub place: Place,
    /// Canonical name of the signal.
    pub signal: Name,
    /// Which of two sensors, where a place has two of a signal.
    pub sensor: Option<Name>,
    /// When the sensor took it, as the sensor says.
    pub time: EventTime,
    /// The value in the signal's canonical unit.
    pub value: f64,
}

/// A scenario being played. Equal scenarios give equal readings, to the bit.
pub struct Simulation {
    scenario: Scenario,
    loops: Vec<CoolingLoop>,
    /// In order of (place, signal, sensor).
    channels: Vec<Channel>,
    /// Seconds that the physics has passed.
    passed: i64,
    /// The sampling instant that is next, s from the start.
    next: i64,
    /// Readings that arrive later, by (arrival in s, order of sending).
    delayed: BTreeMap<(i64, u64), Reading>,
    delayed_so_far: u64,
}

impl Simulation {
    /// Builds everything and lets the loops settle at their first load.
    ///
    /// # Panics
    /// When the scenario breaks [`Scenario::check`]: one built in code must be checked first.
    pub fn new(scenario: &Scenario) -> Self {
        if let Err(message) = scenario.check() {
            panic!("scenario {:?} cannot be simulated: {message}", scenario.name);
        }
        let build = build(scenario);
        let midnight_seconds = scenario.start.unix_micros().div_euclid(1_000_000).rem_euclid(86_400);
        let loops: Vec<CoolingLoop> = scenario
            .loops
            .iter()
            .map(|cooling_loop| CoolingLoop::new(cooling_loop, build, scenario.seed, midnight_seconds))
            .collect();
        let mut channels = channels(scenario, &loops);
        channels.sort_by(|one, other| {
            (&one.place, &one.signal, &one.sensor).cmp(&(&other.place, &other.signal, &other.sensor))
        });
        let mut simulation = Self {
            scenario: scenario.clone(),
            loops,
            channels,
            passed: 0,
            next: 0,
            delayed: BTreeMap::new(),
            delayed_so_far: 0,
        };
        simulation.follow();
        simulation
    }

    /// Goes on to the next sampling instant and replaces what is in `readings` by all that arrives then, in order of
    /// (time, place, signal, sensor); without faults of feeds, all have the instant as their time.
    ///
    /// Returns the instant, or `None` at the end of the scenario.
    pub fn step(&mut self, readings: &mut Vec<Reading>) -> Option<EventTime> {
        readings.clear();
        let seconds = |length: Microseconds| length.get() / 1_000_000;
        if self.next >= seconds(self.scenario.duration) {
            return None;
        }
        while self.passed < self.next {
            for cooling_loop in &mut self.loops {
                cooling_loop.advance_second(self.passed);
            }
            self.follow();
            self.passed += 1;
        }
        let instant = self.scenario.start + Microseconds::from_seconds(self.next);
        self.collect(instant, self.next % seconds(self.scenario.gpus.every) == 0, readings);
        self.next += seconds(self.scenario.sample_every);
        Some(instant)
    }

    /// What really goes wrong in this scenario, in order of (onset, place, fault).
    pub fn labels(&self) -> Vec<TruthLabel> {
        let Scenario { site, start, loops, .. } = &self.scenario;
        let mut labels = Vec::new();
        for cooling_loop in loops {
            let mut place = Place {
                site: site.clone(),
                cooling_loop: Some(cooling_loop.name.clone()),
                ..Place::default()
            };
            labels.extend(cooling_loop.faults.iter().map(|fault| fault.label(&place, *start)));
            for rack in &cooling_loop.racks {
                place.rack = Some(rack.name.clone());
                labels.extend(rack.faults.iter().map(|fault| fault.label(&place, *start)));
            }
        }
        labels.sort_by(|one, other| {
            (one.onset, &one.place, one.fault).cmp(&(other.onset, &other.place, other.fault))
        });
        labels
    }

    /// Every place, signal and sensor that reports, in order.
    pub fn series(&self) -> impl Iterator<Item = (&Place, &Name, Option<&Name>)> {
        self.channels.iter().map(|channel| (&channel.place, &channel.signal, channel.sensor.as_ref()))
    }

    fn follow(&mut self) {
        for channel in self.channels.iter_mut().filter(|channel| channel.instrument.lags()) {
            channel.instrument.follow(channel.source.truth(&self.loops));
        }
    }

    fn collect(&mut self, instant: EventTime, gpus_report: bool, readings: &mut Vec<Reading>) {
        let seconds = self.next as f64;
        let mut in_order = true;
        let reporting = self.channels.iter_mut().filter(|channel| gpus_report || !channel.source.is_gpu());
        for channel in reporting {
            let truth = channel.source.truth(&self.loops);
            let Some(Sending { time, value, delay, twice }) =
                channel.report(instant, seconds, truth, self.scenario.lost_share, self.scenario.jitter)
            else {
                continue;
            };
            in_order &= time == instant;
            for _ in 0..if twice { 2 } else { 1 } {
                let reading = Reading {
                    place: channel.place.clone(),
                    signal: channel.signal.clone(),
                    sensor: channel.sensor.clone(),
                    time,
                    value,
                };
                if delay == Microseconds::ZERO {
                    readings.push(reading);
                } else {
                    let arrival = self.next + (delay.get() + 999_999).div_euclid(1_000_000);
                    self.delayed.insert((arrival, self.delayed_so_far), reading);
                    self.delayed_so_far += 1;
                }
            }
        }
        while let Some(entry) = self.delayed.first_entry()
            && entry.key().0 <= self.next
        {
            in_order = false;
            readings.push(entry.remove());
        }
        if !in_order {
            readings.sort_by(|one, other| {
                (one.time, &one.place, &one.signal, &one.sensor).cmp(&(
                    other.time,
                    &other.place,
                    &other.signal,
                    &other.sensor,
                ))
            });
        }
    }
}

fn build(scenario: &Scenario) -> Build {
    Build { noise: scenario.noise, unit_spread: scenario.unit_spread, plant_error: scenario.plant_error }
}

/// Every channel of a scenario.
fn channels(scenario: &Scenario, loops: &[CoolingLoop]) -> Vec<Channel> {
    let mut channels = Vec::new();
    let mut add = |place: &Place,
                   name: &'static str,
                   instrument: Instrument,
                   source: Source,
                   faults: &[Fault]| {
        if scenario.unreported.iter().any(|unreported| **unreported == *name) {
            return;
        }
        let doubled = scenario.redundant_supply_sensors && name == "coolant_supply_temperature";
        let sensors: &[Option<&str>] = if doubled { &[Some("a"), Some("b")] } else { &[None] };
        for sensor in sensors {
            let identity = (place.clone(), name, sensor.map(Name::from));
            channels.push(Channel::new(identity, source, instrument, faults, build(scenario), scenario.seed));
        }
    };
    for (index, cooling_loop) in scenario.loops.iter().enumerate() {
        let at_loop = Place {
            site: scenario.site.clone(),
            cooling_loop: Some(cooling_loop.name.clone()),
            ..Place::default()
        };
        for signal in LOOP_SIGNALS {
            let source = Source::Loop { index, truth: signal.truth };
            add(&at_loop, signal.name, signal.instrument, source, &cooling_loop.faults);
        }
        for (rack, planned) in cooling_loop.racks.iter().enumerate() {
            let at_rack = Place { rack: Some(planned.name.clone()), ..at_loop.clone() };
            for signal in RACK_SIGNALS {
                let source = Source::Rack { index, rack, truth: signal.truth };
                add(&at_rack, signal.name, signal.instrument, source, &planned.faults);
            }
            let hottest = loops[index].racks[rack].trays.hottest_by_build();
            for tray in hottest.into_iter().take(scenario.gpus.nodes) {
                for gpu in 0..scenario.gpus.gpus_per_node {
                    let place = Place {
                        node: Some(tray_name(tray)),
                        device: Some(format!("gpu-{gpu}").into()),
                        ..at_rack.clone()
                    };
                    let rise = cooler_share(scenario, &place, gpu);
                    for signal in GPU_SIGNALS {
                        let source = Source::Gpu { index, rack, tray, rise, truth: signal.truth };
                        add(&place, signal.name, signal.instrument, source, &planned.faults);
                    }
                }
            }
        }
    }
    channels
}

/// How much a GPU rises above its coolant as a share of its tray's hottest, which is the first: .96 to 1.
fn cooler_share(scenario: &Scenario, place: &Place, gpu: usize) -> f64 {
    if gpu == 0 {
        return 1.0;
    }
    1.0 - 0.04 * scenario.unit_spread.min(1.0) * Noise::new(scenario.seed, &format!("{place}/rise")).uniform()
}
