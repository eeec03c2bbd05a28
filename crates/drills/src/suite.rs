//! What is drilled: classes of faults with their severities, how a drill's scenario is drawn, and healthy days.
//!
//! **suite** → scenarios → play

use serde::{Deserialize, Serialize};
use simulator::{
    FacilityWater, Fault, FaultKind, GpuReporting, LoadPlan, LoopScenario, Noise, RackScenario, Scenario,
};
use telemetry::{EventTime, Microseconds, Name};

/// Monday, 2026-01-05T00:00:00Z.
const MONDAY: EventTime = EventTime::from_unix_micros(1_767_571_200_000_000);
/// Racks on a drill's loop; a fault of a rack befalls the first.
const RACKS: usize = 2;
/// Trays of a rack.
const TRAYS: i64 = 18;

/// How fast faults of a class develop, which decides how soon they can be known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Development {
    /// At once.
    Abrupt,
    /// A control loop that swings.
    Hunting,
    /// Over half an hour or an hour.
    Ramp,
    /// Over an hour, seen through thermal resistances.
    Fouling,
    /// A sensor that drifts.
    Drift,
    /// A sensor or feed that stops to tell the truth at once.
    Feed,
}

impl Development {
    /// The word in scorecards.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Abrupt => "abrupt",
            Self::Hunting => "hunting",
            Self::Ramp => "ramp",
            Self::Fouling => "fouling",
            Self::Drift => "drift",
            Self::Feed => "feed",
        }
    }
}

/// Where a fault of a class is planned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum At {
    /// The distribution unit, its sensors or its feed.
    Loop,
    /// The first rack.
    Rack,
}

/// A class of faults.
#[derive(Debug)]
pub struct Class {
    /// Its name in scorecards.
    pub name: &'static str,
    /// How fast it develops.
    pub development: Development,
    /// Where.
    pub at: At,
    /// Detectors that name it rightly.
    pub right: &'static [&'static str],
    /// Signals that its plot shows.
    pub shows: &'static [&'static str],
    /// How long it is watched, hours.
    pub watched_hours: i64,
    /// Draws one.
    pub draw: fn(&mut Draw) -> Fault,
}

/// Draws the parts of a drill, the same for the same seed.
pub struct Draw {
    noise: Noise,
    /// When the fault begins.
    pub begins: Microseconds,
}

impl Draw {
    /// Evenly between two numbers.
    pub fn between(&mut self, lowest: f64, highest: f64) -> f64 {
        self.noise.between(lowest, highest)
    }

    /// The same, up or down.
    fn either_way(&mut self, lowest: f64, highest: f64) -> f64 {
        let size = self.between(lowest, highest);
        if self.noise.uniform() < 0.5 { -size } else { size }
    }

    /// One of some words.
    fn one_of(&mut self, words: &[&'static str]) -> &'static str {
        words[((self.noise.uniform() * words.len() as f64) as usize).min(words.len() - 1)]
    }

    fn fault(&self, kind: FaultKind, severity: f64) -> Fault {
        Fault { severity: Some(severity), ..Fault::new(kind, self.begins) }
    }

    fn ramp(&self, kind: FaultKind, severity: f64, minutes: i64) -> Fault {
        Fault { ramp: Microseconds::from_minutes(minutes), ..self.fault(kind, severity) }
    }

    fn of_signal(&self, kind: FaultKind, severity: f64, signal: &str) -> Fault {
        Fault { signal: Some(signal.into()), ..self.fault(kind, severity) }
    }
}

/// Signals of a rack whose sensor may get noisy in a drill. Not its power meter, whose readings scatter as the load
/// does.
const NOISY: &[&str] = &[
    "coolant_supply_temperature",
    "coolant_return_temperature",
    "coolant_flow",
    "coolant_differential_pressure",
    "door_air_outlet_temperature",
];

/// Signals of a rack whose sensor may get stuck in a drill.
const STICKY: &[&str] = &[
    "coolant_supply_temperature",
    "coolant_return_temperature",
    "coolant_flow",
    "coolant_differential_pressure",
    "rack_power",
    "door_air_outlet_temperature",
];

/// All classes. Severities: the fault table of the methods; `right`: the detectors that a person would call right.
pub const CLASSES: &[Class] = &[
    Class {
        name: "pump_head_step",
        development: Development::Abrupt,
        at: At::Loop,
        right: &["pump"],
        shows: &["pump_differential_pressure", "pump_speed"],
        watched_hours: 2,
        draw: |draw| {
            let share = draw.between(0.10, 0.25);
            draw.fault(FaultKind::PumpHeadLoss, share)
        },
    },
    Class {
        name: "pump_head_ramp",
        development: Development::Ramp,
        at: At::Loop,
        right: &["pump"],
        shows: &["pump_differential_pressure", "pump_speed"],
        watched_hours: 2,
        draw: |draw| {
            let share = draw.between(0.15, 0.30);
            draw.ramp(FaultKind::PumpHeadLoss, share, 60)
        },
    },
    Class {
        name: "bearing_wear",
        development: Development::Ramp,
        at: At::Loop,
        right: &["pump_efficiency"],
        shows: &["pump_power", "pump_speed"],
        watched_hours: 2,
        draw: |draw| {
            let times = draw.between(1.1, 1.4);
            draw.ramp(FaultKind::BearingWear, times, 60)
        },
    },
    Class {
        name: "pump_trip",
        development: Development::Abrupt,
        at: At::Loop,
        right: &["pump_trip"],
        shows: &["coolant_supply_flow", "coolant_flow"],
        watched_hours: 1,
        draw: |draw| draw.fault(FaultKind::PumpTrip, 0.98),
    },
    Class {
        name: "filter_clogging",
        development: Development::Ramp,
        at: At::Loop,
        right: &["filter"],
        shows: &["filter_differential_pressure", "coolant_supply_flow"],
        watched_hours: 2,
        draw: |draw| {
            let times = draw.between(2.0, 3.5);
            draw.ramp(FaultKind::FilterClogging, times, 60)
        },
    },
    Class {
        name: "branch_restriction",
        development: Development::Abrupt,
        at: At::Rack,
        right: &["tray", "rack_k"],
        shows: &["gpu_temperature", "coolant_flow"],
        watched_hours: 2,
        draw: |draw| {
            let times = draw.between(1.7, 4.0);
            let tray = (draw.between(0.0, TRAYS as f64) as i64).min(TRAYS - 1) + 1;
            Fault {
                node: Some(format!("tray-{tray:02}").into()),
                ..draw.fault(FaultKind::BranchRestriction, times)
            }
        },
    },
    Class {
        name: "leak",
        development: Development::Abrupt,
        at: At::Rack,
        right: &["leak"],
        shows: &["coolant_supply_flow", "coolant_return_flow"],
        watched_hours: 2,
        draw: |draw| {
            let flow = draw.between(2.0, 5.0);
            draw.fault(FaultKind::Leak, flow)
        },
    },
    Class {
        name: "valve_stuck",
        development: Development::Abrupt,
        at: At::Loop,
        right: &["valve_stuck"],
        shows: &["coolant_supply_temperature", "valve_position"],
        watched_hours: 2,
        draw: |draw| {
            let position = draw.between(0.22, 0.32);
            draw.fault(FaultKind::ValveStuck, position)
        },
    },
    Class {
        name: "valve_hunting",
        development: Development::Hunting,
        at: At::Loop,
        right: &["hunting"],
        shows: &["coolant_supply_temperature", "valve_position"],
        watched_hours: 2,
        draw: |draw| {
            let gain = draw.between(15.0, 25.0);
            draw.fault(FaultKind::ValveHunting, gain)
        },
    },
    Class {
        name: "valve_stiction",
        development: Development::Hunting,
        at: At::Loop,
        right: &["stiction", "hunting"],
        shows: &["coolant_supply_temperature", "valve_position"],
        watched_hours: 6,
        draw: |draw| {
            let band = draw.between(0.02, 0.06);
            draw.fault(FaultKind::ValveDeadband, band)
        },
    },
    Class {
        name: "exchanger_fouling",
        development: Development::Fouling,
        at: At::Loop,
        right: &["ua"],
        shows: &["coolant_supply_temperature", "facility_flow", "valve_position"],
        watched_hours: 3,
        draw: |draw| {
            let share = draw.between(0.30, 0.50);
            draw.ramp(FaultKind::ExchangerFouling, share, 60)
        },
    },
    Class {
        name: "cold_plate_fouling",
        development: Development::Fouling,
        at: At::Rack,
        right: &["rth"],
        shows: &["gpu_temperature", "rack_power"],
        watched_hours: 3,
        draw: |draw| {
            let times = draw.between(1.10, 1.25);
            draw.ramp(FaultKind::ColdPlateFouling, times, 60)
        },
    },
    Class {
        name: "door_fouling",
        development: Development::Ramp,
        at: At::Rack,
        right: &["door"],
        shows: &["door_air_outlet_temperature", "rack_power"],
        watched_hours: 3,
        draw: |draw| {
            let share = draw.between(0.55, 0.75);
            draw.ramp(FaultKind::DoorFouling, share, 30)
        },
    },
    Class {
        name: "facility_warming",
        development: Development::Ramp,
        at: At::Loop,
        right: &["facility_warming"],
        shows: &["facility_supply_temperature", "coolant_supply_temperature"],
        watched_hours: 1,
        draw: |draw| {
            let rate = draw.between(4.0, 8.0);
            draw.fault(FaultKind::FacilityWarming, rate)
        },
    },
    Class {
        name: "drift_supply_temperature",
        development: Development::Drift,
        at: At::Rack,
        right: &["redund", "hb"],
        shows: &["coolant_supply_temperature"],
        watched_hours: 5,
        draw: |draw| {
            let rate = draw.either_way(0.2, 1.0);
            Fault {
                sensor: Some("b".into()),
                ..draw.of_signal(FaultKind::Drift, rate, "coolant_supply_temperature")
            }
        },
    },
    Class {
        name: "drift_return_temperature",
        development: Development::Drift,
        at: At::Rack,
        right: &["hb"],
        shows: &["coolant_return_temperature", "coolant_supply_temperature"],
        watched_hours: 5,
        draw: |draw| {
            let rate = draw.either_way(0.2, 1.0);
            draw.of_signal(FaultKind::Drift, rate, "coolant_return_temperature")
        },
    },
    Class {
        name: "drift_supply_flow",
        development: Development::Drift,
        at: At::Loop,
        right: &["leak", "flow_meter"],
        shows: &["coolant_supply_flow", "coolant_return_flow"],
        watched_hours: 5,
        draw: |draw| {
            // 1 to 3 % an hour of two racks' 300 L/min.
            let rate = draw.either_way(3.0, 9.0);
            draw.of_signal(FaultKind::Drift, rate, "coolant_supply_flow")
        },
    },
    Class {
        name: "stuck",
        development: Development::Feed,
        at: At::Rack,
        right: &["stuck"],
        shows: &["coolant_supply_temperature", "coolant_return_temperature", "coolant_flow", "rack_power"],
        watched_hours: 2,
        draw: |draw| {
            let signal = draw.one_of(STICKY);
            draw.of_signal(FaultKind::Stuck, 1.0, signal)
        },
    },
    Class {
        name: "noise_growth",
        development: Development::Feed,
        at: At::Rack,
        right: &["noise_growth"],
        shows: &["coolant_supply_temperature", "coolant_return_temperature", "coolant_flow"],
        watched_hours: 2,
        draw: |draw| {
            let signal = draw.one_of(NOISY);
            let times = draw.between(3.0, 10.0);
            draw.of_signal(FaultKind::Noise, times, signal)
        },
    },
    Class {
        name: "gap",
        development: Development::Feed,
        at: At::Rack,
        right: &["gap"],
        shows: &["rack_power", "coolant_flow"],
        watched_hours: 1,
        draw: |draw| draw.fault(FaultKind::Gap, 1.0),
    },
    Class {
        name: "stale",
        development: Development::Feed,
        at: At::Rack,
        right: &["stale"],
        shows: &["rack_power", "coolant_flow"],
        watched_hours: 1,
        draw: |draw| draw.fault(FaultKind::Stale, 1.0),
    },
    Class {
        name: "skew",
        development: Development::Feed,
        at: At::Rack,
        right: &["skew"],
        shows: &["rack_power", "coolant_flow"],
        watched_hours: 1,
        draw: |draw| {
            let seconds = draw.between(4.0, 20.0);
            draw.fault(FaultKind::Skew, seconds)
        },
    },
];

/// Conditions under which a suite is played.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Conditions {
    /// Their name in scorecards.
    pub name: Name,
    /// Between two readings of loops and racks; GPUs report every 10 s, or as often as that where it is longer.
    pub sample_every: Microseconds,
    /// Share of readings that get lost.
    pub lost_share: f64,
    /// Readings are taken up to so much before or after their instant.
    pub jitter: Microseconds,
    /// By how much the plant's parameters may be off.
    pub plant_error: f64,
    /// Signals that nobody reports.
    pub unreported: Vec<Name>,
    /// Whether supply temperatures are measured twice.
    pub redundant_supply_sensors: bool,
}

impl Default for Conditions {
    fn default() -> Self {
        Self {
            name: "standard".into(),
            sample_every: Microseconds::from_seconds(5),
            lost_share: 0.001,
            jitter: Microseconds::ZERO,
            plant_error: 0.0,
            unreported: Vec::new(),
            redundant_supply_sensors: true,
        }
    }
}

impl Conditions {
    /// The standard conditions and those that differ from them in one thing each.
    pub fn all() -> Vec<Self> {
        let named = |name: &str| Self { name: name.into(), ..Self::default() };
        let seconds = Microseconds::from_seconds;
        let optional = [
            "pump_differential_pressure",
            "filter_differential_pressure",
            "cdu_differential_pressure",
            "coolant_return_flow",
            "pump_power",
            "facility_flow",
            "facility_return_temperature",
            "door_water_supply_temperature",
            "door_valve_position",
            "gpu_power",
        ];
        vec![
            Self::default(),
            Self { plant_error: 0.15, ..named("plant off by 15 %") },
            Self { sample_every: seconds(1), ..named("every second") },
            Self { sample_every: seconds(15), ..named("every 15 s") },
            Self { sample_every: seconds(60), ..named("every minute") },
            Self { lost_share: 0.01, ..named("1 % lost") },
            Self { jitter: Microseconds(20_000), ..named("20 ms of jitter") },
            Self {
                unreported: optional.map(Name::from).into(),
                redundant_supply_sensors: false,
                ..named("no optional sensors")
            },
        ]
    }

    /// A drill of a class. Equal seeds give equal drills.
    pub fn drill(&self, class: &Class, seed: u64) -> Scenario {
        let noise = Noise::new(seed, &format!("drill/{}", class.name));
        let mut draw = Draw { noise, begins: Microseconds::ZERO };
        let begins = draw.between(4.0 * 60.0, 5.0 * 60.0);
        draw.begins = Microseconds::from_minutes(begins as i64);
        let fault = (class.draw)(&mut draw);
        let duration = draw.begins + Microseconds::from_hours(class.watched_hours);
        let mut scenario = self.day(class.name, &mut draw, duration, seed);
        match class.at {
            At::Loop => scenario.loops[0].faults.push(fault),
            At::Rack => scenario.loops[0].racks[0].faults.push(fault),
        }
        scenario
    }

    /// A day of a loop without any fault.
    pub fn healthy(&self, seed: u64) -> Scenario {
        let mut draw = Draw { noise: Noise::new(seed, "healthy"), begins: Microseconds::ZERO };
        self.day("healthy", &mut draw, Microseconds::from_hours(24), seed)
    }

    fn day(&self, name: &str, draw: &mut Draw, duration: Microseconds, seed: u64) -> Scenario {
        let racks = (1..=RACKS).map(|number| RackScenario {
            name: format!("r{number}").into(),
            // Mixed: more racks train than serve.
            load: if draw.between(0.0, 1.0) < 0.6 { LoadPlan::Training } else { LoadPlan::Inference },
            faults: Vec::new(),
        });
        let racks = racks.collect();
        let start_hour = draw.between(0.0, 24.0) as i64;
        let facility_water = FacilityWater { celsius: draw.between(26.0, 29.0), daily_swing_kelvin: 1.5 };
        Scenario {
            name: name.into(),
            seed,
            site: "drill".into(),
            start: MONDAY + Microseconds::from_hours(start_hour),
            duration,
            sample_every: self.sample_every,
            gpus: GpuReporting {
                nodes: TRAYS as usize,
                gpus_per_node: 1,
                every: self.sample_every.max(Microseconds(
                    (10_000_000 / self.sample_every.get()).max(1) * self.sample_every.get(),
                )),
            },
            redundant_supply_sensors: self.redundant_supply_sensors,
            noise: 1.0,
            unit_spread: 1.0,
            lost_share: self.lost_share,
            jitter: self.jitter,
            plant_error: self.plant_error,
            unreported: self.unreported.clone(),
            loops: vec![LoopScenario { name: "loop-a".into(), facility_water, faults: Vec::new(), racks }],
        }
    }
}

/// Drills and healthy days that are played together.
#[derive(Debug, Clone, PartialEq)]
pub struct Suite {
    /// Under which conditions, and how much under each.
    pub parts: Vec<Part>,
}

/// Drills and healthy days under one set of conditions.
#[derive(Debug, Clone, PartialEq)]
pub struct Part {
    /// The conditions.
    pub conditions: Conditions,
    /// The first seed.
    pub first_seed: u64,
    /// Drills of each class.
    pub seeds: u64,
    /// Healthy days of a loop.
    pub healthy_days: u64,
}

/// One thing to play.
#[derive(Debug, Clone, Copy)]
pub struct Job<'a> {
    /// Under which conditions.
    pub conditions: &'a Conditions,
    /// The class of its fault; none for a healthy day.
    pub class: Option<&'static Class>,
    /// Its seed.
    pub seed: u64,
}

impl Suite {
    /// Every class twice and ten healthy days under each of these conditions: for a first look.
    pub fn quick(conditions: Vec<Conditions>, first_seed: u64) -> Self {
        let part = |conditions| Part { conditions, first_seed, seeds: 2, healthy_days: 10 };
        Self { parts: conditions.into_iter().map(part).collect() }
    }

    /// Every class 24 times and 150 healthy days under standard conditions; 5 times and 30 days under each of the
    /// others. A loop has two racks.
    pub fn full(conditions: Vec<Conditions>, first_seed: u64) -> Self {
        let part = |conditions: Conditions| {
            let (seeds, healthy_days) = if conditions == Conditions::default() { (24, 150) } else { (5, 30) };
            Part { conditions, first_seed, seeds, healthy_days }
        };
        Self { parts: conditions.into_iter().map(part).collect() }
    }
}

impl Part {
    /// All that is to be played, in order: drills by seed and class, then healthy days.
    pub fn jobs(&self) -> Vec<Job<'_>> {
        let conditions = &self.conditions;
        let drills = (self.first_seed..self.first_seed + self.seeds)
            .flat_map(|seed| CLASSES.iter().map(move |class| Job { conditions, class: Some(class), seed }));
        let days = (self.first_seed..self.first_seed + self.healthy_days).map(|seed| Job {
            conditions,
            class: None,
            seed,
        });
        drills.chain(days).collect()
    }
}

impl Job<'_> {
    /// What is simulated for it.
    pub fn scenario(&self) -> Scenario {
        match self.class {
            Some(class) => self.conditions.drill(class, self.seed),
            None => self.conditions.healthy(self.seed),
        }
    }
}

/// The class of that name.
pub fn class(name: &str) -> Option<&'static Class> {
    CLASSES.iter().find(|class| class.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_class_and_condition_makes_scenarios_that_can_be_simulated() {
        for conditions in Conditions::all() {
            for class in CLASSES {
                for seed in 1..20 {
                    let scenario = conditions.drill(class, seed);
                    scenario.check().unwrap_or_else(|error| panic!("{} {seed}: {error}", class.name));
                }
            }
            conditions.healthy(1).check().unwrap();
        }
    }

    #[test]
    fn what_a_class_calls_right_is_a_detector_and_what_it_shows_a_signal() {
        for class in CLASSES {
            for name in class.right {
                assert!(evaluator::detector_names().contains(name), "{}: {name}", class.name);
            }
            for name in class.shows {
                assert!(telemetry::signal::find(name).is_some(), "{}: {name}", class.name);
            }
        }
    }

    #[test]
    fn equal_seeds_give_equal_drills_and_others_differ() {
        let conditions = Conditions::default();
        assert_eq!(conditions.drill(&CLASSES[0], 7), conditions.drill(&CLASSES[0], 7));
        assert_ne!(conditions.drill(&CLASSES[0], 7), conditions.drill(&CLASSES[0], 8));
    }
}
