//! What is simulated: loops, racks, loads and faults, as a strict YAML document.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use telemetry::document::{DocumentError, nearest, read_yaml};
use telemetry::record::Document;
use telemetry::{EventTime, Microseconds, Name};

use crate::channel::{loop_signals, rack_signals};
use crate::fault::{Fault, Target};
use crate::load::LoadPlan;
use crate::reference::TRAYS;

/// A span of event time at a site, with everything that happens in it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// What it is called.
    pub name: Name,
    /// Equal seeds give equal readings.
    pub seed: u64,
    /// The site's name.
    pub site: Name,
    /// Event time of the first reading.
    #[serde(with = "moment")]
    pub start: EventTime,
    /// Readings are taken from `start` up to and without `start + duration`.
    #[serde(with = "length")]
    pub duration: Microseconds,
    /// Time between two readings of a loop's or rack's sensors: whole seconds.
    #[serde(with = "length", default = "five_seconds")]
    pub sample_every: Microseconds,
    /// Which GPUs report, and how often.
    #[serde(default)]
    pub gpus: GpuReporting,
    /// Whether supply temperatures are measured twice, by sensors `a` and `b`.
    #[serde(default)]
    pub redundant_supply_sensors: bool,
    /// Scales all noise of sensors and load: 1 as on a real rack, 0 for none.
    #[serde(default = "one")]
    pub noise: f64,
    /// Scales how much one unit differs from the next, sensors' biases included: 1 as on real racks, 0 not at all.
    #[serde(default = "one")]
    pub unit_spread: f64,
    /// Share of readings that get lost.
    #[serde(default = "lost_share")]
    pub lost_share: f64,
    /// Readings are taken up to so much before or after their instant, evenly; by default exactly then.
    #[serde(with = "length", default, skip_serializing_if = "is_zero")]
    pub jitter: Microseconds,
    /// By how much, as a share, the plant's parameters may be off those that the methods were made with: resistances,
    /// conductances, heat capacities, the liquid's share, exponents of flow. Drawn evenly for each; 0 for none.
    #[serde(default, skip_serializing_if = "is_none_of_it")]
    pub plant_error: f64,
    /// Signals that nobody reports here.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unreported: Vec<Name>,
    /// The coolant loops.
    pub loops: Vec<LoopScenario>,
}

/// Which GPUs of a rack report.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GpuReporting {
    /// Trays that report, 0 to 18: the ones that run hottest, by their build.
    pub nodes: usize,
    /// GPUs that report on each of them, 0 to 8.
    pub gpus_per_node: usize,
    /// Time between two readings: a multiple of `sample_every`.
    #[serde(with = "length")]
    pub every: Microseconds,
}

impl Default for GpuReporting {
    /// Two trays of four GPUs, every 10 s.
    fn default() -> Self {
        Self { nodes: 2, gpus_per_node: 4, every: Microseconds::from_seconds(10) }
    }
}

/// A coolant distribution unit with its racks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LoopScenario {
    /// Name of the loop.
    pub name: Name,
    /// The water that cools it.
    #[serde(default)]
    pub facility_water: FacilityWater,
    /// What goes wrong with the distribution unit, its sensors or its feed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub faults: Vec<Fault>,
    /// The racks, in parallel.
    pub racks: Vec<RackScenario>,
}

/// The water that cools a loop.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FacilityWater {
    /// Mean supply temperature, °C.
    pub celsius: f64,
    /// How much it swings over the day, K; warmest at 15:00 UTC.
    pub daily_swing_kelvin: f64,
}

impl Default for FacilityWater {
    /// 28 ± 1.5 °C.
    fn default() -> Self {
        Self { celsius: 28.0, daily_swing_kelvin: 1.5 }
    }
}

/// A rack.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RackScenario {
    /// Name, unique in the scenario.
    pub name: Name,
    /// What it is asked to do.
    pub load: LoadPlan,
    /// What goes wrong with it, its sensors or its feed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub faults: Vec<Fault>,
}

fn is_zero(length: &Microseconds) -> bool {
    *length == Microseconds::ZERO
}

fn is_none_of_it(share: &f64) -> bool {
    *share == 0.0
}

fn five_seconds() -> Microseconds {
    Microseconds::from_seconds(5)
}

fn one() -> f64 {
    1.0
}

fn lost_share() -> f64 {
    0.001
}

/// Name of a tray, counted from 0: `tray-01`.
pub(crate) fn tray_name(index: usize) -> Name {
    format!("tray-{:02}", index + 1).into()
}

impl Scenario {
    /// Reads a scenario: one YAML document.
    ///
    /// # Errors
    /// Names the file, where known the line, and how to mend it.
    pub fn read(document: &Document) -> Result<Self, DocumentError> {
        let refused = |message: String| DocumentError::new(document, None, message);
        let mut scenarios: Vec<Self> = read_yaml(document)?;
        if scenarios.len() != 1 {
            return Err(refused(format!(
                "{} documents in one scenario file: give exactly one",
                scenarios.len()
            )));
        }
        let scenario = scenarios.remove(0);
        scenario.check().map_err(refused)?;
        Ok(scenario)
    }

    /// Checks what the types cannot say.
    ///
    /// # Errors
    /// Says what is wrong, where, and how to mend it.
    pub fn check(&self) -> Result<(), String> {
        let second = Microseconds::from_seconds(1).get();
        if self.duration <= Microseconds::ZERO || self.duration.get() % second != 0 {
            return Err(format!("duration {}: give whole seconds, more than none", self.duration));
        }
        if self.sample_every <= Microseconds::ZERO || self.sample_every.get() % second != 0 {
            return Err(format!("sample_every {}: give whole seconds, at least 1s", self.sample_every));
        }
        if self.gpus.every <= Microseconds::ZERO || self.gpus.every.get() % self.sample_every.get() != 0 {
            return Err(format!(
                "gpus.every {}: give a multiple of sample_every {}",
                self.gpus.every, self.sample_every
            ));
        }
        if self.gpus.nodes > TRAYS || self.gpus.gpus_per_node > 8 {
            return Err(format!(
                "gpus: {} nodes with {} GPUs each: a rack has at most {TRAYS} nodes with 8 each",
                self.gpus.nodes, self.gpus.gpus_per_node
            ));
        }
        for (name, value, highest) in [
            ("noise", self.noise, 10.0),
            ("unit_spread", self.unit_spread, 3.0),
            ("lost_share", self.lost_share, 0.99),
            ("plant_error", self.plant_error, 0.5),
        ] {
            if !(0.0..=highest).contains(&value) {
                return Err(format!("{name} {value}: give a number between 0 and {highest}"));
            }
        }
        if self.jitter < Microseconds::ZERO || self.sample_every.get() <= 2 * self.jitter.get() {
            return Err(format!(
                "jitter {}: give less than half of sample_every {}",
                self.jitter, self.sample_every
            ));
        }
        let known: Vec<&str> = loop_signals().into_iter().chain(rack_signals()).collect();
        for signal in &self.unreported {
            if !known.contains(&&**signal) {
                return Err(format!(
                    "unreported: signal {signal:?} is not reported anyway{}",
                    nearest(signal, known.iter().copied())
                        .map_or_else(String::new, |near| format!("; did you mean {near:?}?"))
                ));
            }
        }
        if self.loops.is_empty() {
            return Err("loops: give at least one".to_owned());
        }
        let mut names = BTreeSet::new();
        for cooling_loop in &self.loops {
            let name = &cooling_loop.name;
            if !names.insert(("loop", name)) {
                return Err(format!("two loops named {name:?}: give each a name of its own"));
            }
            if cooling_loop.racks.is_empty() {
                return Err(format!("loop {name:?} has no racks: give it at least one"));
            }
            check_water(&cooling_loop.facility_water)
                .map_err(|message| format!("loop {name:?}: {message}"))?;
            for fault in &cooling_loop.faults {
                check_fault(fault, Target::Loop).map_err(|message| format!("loop {name:?}: {message}"))?;
            }
            for rack in &cooling_loop.racks {
                let name = &rack.name;
                if !names.insert(("rack", name)) {
                    return Err(format!("two racks named {name:?}: give each a name of its own"));
                }
                rack.load.check().map_err(|message| format!("rack {name:?}: {message}"))?;
                for (to, _) in rack.load.moves() {
                    let others = || {
                        cooling_loop.racks.iter().map(|other| &*other.name).filter(|other| **other != **name)
                    };
                    if !others().any(|other| *other == **to) {
                        return Err(format!(
                            "rack {name:?}: its load moves to {to:?}: name another rack of loop {:?}{}",
                            cooling_loop.name,
                            nearest(to, others())
                                .map_or_else(String::new, |near| format!("; did you mean {near:?}?"))
                        ));
                    }
                }
                for fault in &rack.faults {
                    check_fault(fault, Target::Rack)
                        .map_err(|message| format!("rack {name:?}: {message}"))?;
                }
            }
        }
        Ok(())
    }
}

fn check_water(water: &FacilityWater) -> Result<(), String> {
    if !(5.0..=45.0).contains(&water.celsius) || !(0.0..=10.0).contains(&water.daily_swing_kelvin) {
        return Err(format!(
            "facility_water of {} °C ± {} K: give 5 to 45 °C and a swing of 0 to 10 K",
            water.celsius, water.daily_swing_kelvin
        ));
    }
    Ok(())
}

/// Checks a fault of a loop or of a rack, as `owner` says.
fn check_fault(fault: &Fault, owner: Target) -> Result<(), String> {
    let name = fault.kind.name();
    let scale = fault.kind.severity();
    let severity = fault.full_severity();
    if !(scale.lowest..=scale.highest).contains(&severity) {
        return Err(format!(
            "fault {name}: severity {severity} ({}): give {} to {}",
            scale.meaning, scale.lowest, scale.highest
        ));
    }
    if fault.begins < Microseconds::ZERO || fault.ends.is_some_and(|ends| ends <= fault.begins) {
        return Err(format!(
            "fault {name}: begins at {}: let it begin at 0s or later and end after that",
            fault.begins
        ));
    }
    let trays = || (0..TRAYS).map(tray_name);
    if let Some(node) = &fault.node
        && (owner == Target::Loop || !trays().any(|tray| tray == *node))
    {
        return Err(format!("fault {name}: node {node:?}: only racks have nodes, tray-01 to tray-{TRAYS}"));
    }
    let known = match owner {
        Target::Loop => loop_signals(),
        Target::Rack | Target::Sensor | Target::Feed => rack_signals(),
    };
    match (fault.kind.target(), &fault.signal) {
        (Target::Loop | Target::Rack, Some(_)) => Err(format!(
            "fault {name} acts on the physics: leave out `signal`, or choose a fault of a sensor or feed"
        )),
        (Target::Loop | Target::Rack, None) if fault.kind.target() != owner => Err(format!(
            "fault {name} belongs to a {}: move it there",
            if owner == Target::Loop { "rack" } else { "loop" }
        )),
        (Target::Sensor, None) => Err(format!("fault {name}: name the `signal` whose sensor it befalls")),
        (Target::Sensor | Target::Feed, Some(signal)) if !known.contains(&&**signal) => Err(format!(
            "fault {name}: signal {signal:?} is not reported here{}",
            nearest(signal, known.iter().copied())
                .map_or_else(String::new, |near| format!("; did you mean {near:?}?"))
        )),
        (Target::Loop | Target::Rack | Target::Feed, None) | (Target::Sensor | Target::Feed, Some(_)) => {
            Ok(())
        }
    }
}

/// A length of time as text, such as `20m`.
pub(crate) mod length {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};
    use telemetry::Microseconds;

    pub fn serialize<S: Serializer>(length: &Microseconds, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(length)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Microseconds, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

/// A length of time as text, or none.
pub(crate) mod length_or_none {
    use serde::{Deserializer, Serializer};
    use telemetry::Microseconds;

    pub fn serialize<S: Serializer>(length: &Option<Microseconds>, serializer: S) -> Result<S::Ok, S::Error> {
        match length {
            Some(length) => super::length::serialize(length, serializer),
            None => serializer.serialize_none(),
        }
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Microseconds>, D::Error> {
        super::length::deserialize(deserializer).map(Some)
    }
}

/// A moment as RFC 3339 text.
pub(crate) mod moment {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};
    use telemetry::EventTime;

    pub fn serialize<S: Serializer>(time: &EventTime, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(time)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<EventTime, D::Error> {
        EventTime::from_rfc3339(&String::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "
name: test
seed: 1
site: demo
start: 2026-01-05T00:00:00Z
duration: 10m
loops:
  - name: loop-a
    faults: [{ kind: pump_head_loss, begins: 5m, severity: 0.3 }]
    racks:
      - name: a1
        load: { constant: 0.8 }
        faults: [{ kind: stuck, begins: 5m, signal: coolant_flow }]
";

    fn read(text: &str) -> Result<Scenario, DocumentError> {
        Scenario::read(&Document { name: "scenario.yaml".into(), text: text.into() })
    }

    #[test]
    fn a_scenario_names_only_what_is_unusual() {
        let scenario = read(GOOD).unwrap();
        assert_eq!(scenario.sample_every, Microseconds::from_seconds(5));
        assert_eq!(scenario.gpus, GpuReporting::default());
        assert_eq!(scenario.loops[0].racks[0].load, LoadPlan::Constant(0.8));
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_how_to_mend_it() {
        let cases = [
            ("duration: 10m", "duration: 10", "scenario.yaml:6: \"10\" is not a length of time"),
            ("seed: 1", "sed: 1", "did you mean `seed`?"),
            ("duration: 10m", "duration: 0s", "duration 0s: give whole seconds, more than none"),
            ("severity: 0.3", "severity: 30", "severity 30 (share of head lost): give 0 to 1"),
            (
                "kind: pump_head_loss, begins: 5m, severity: 0.3",
                "kind: leak, begins: 5m",
                "fault leak belongs to a rack",
            ),
            ("kind: stuck", "kind: pump_trip", "leave out `signal`"),
            (
                "signal: coolant_flow",
                "signal: coolant_flw",
                "not reported here; did you mean \"coolant_flow\"?",
            ),
            (", signal: coolant_flow", "", "name the `signal` whose sensor it befalls"),
            ("constant: 0.8", "constant: 80", "load level 80: give a share of full load between 0 and 1.2"),
            ("signal: coolant_flow", "signal: coolant_flow, node: tray-19", "tray-01 to tray-18"),
            ("kind: stuck", "kind: stuk", "did you mean `stuck`?"),
            (
                "{ constant: 0.8 }",
                "{ modes: { plan: training, modes: [{ mode: { moved: { to: a2, share: 0.5 } }, begins: 1m }] } }",
                "rack \"a1\": its load moves to \"a2\": name another rack of loop \"loop-a\"",
            ),
            (
                "{ constant: 0.8 }",
                "{ modes: { plan: training, modes: [{ mode: { reduced_clocks: 70 }, begins: 1m }] } }",
                "load mode with a share of 70: give a number between 0 and 1",
            ),
            (
                "{ constant: 0.8 }",
                "{ soak: { stages: [{ level: 1, hold: 0s }], ramp: 1m } }",
                "soak: give at least one stage",
            ),
        ];
        for (good, bad, expected) in cases {
            assert!(GOOD.contains(good), "{good}");
            let message = read(&GOOD.replacen(good, bad, 1)).unwrap_err().to_string();
            assert!(message.contains(expected), "{bad}: {message}");
        }
    }
}
