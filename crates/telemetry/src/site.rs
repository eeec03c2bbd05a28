//! The site file: which racks there are, on which loop, under which names, with which limits. The one source of
//! truth for places.
//!
//! ```yaml
//! apiVersion: thermogate.dev/v1alpha1
//! kind: Site
//! metadata: {name: dc1}
//! loops:
//!   - name: loop-a
//!     aliases: [C-F00-CDU-05]          # other names of it in telemetry
//!     coolant: pg25                    # water, pg25, or {heatCapacity: 4.05} in MJ/(m3.K)
//!     nominalFlow: 450 L/min
//!     pumpCurve: {innerLoss: 76 kPa, atFlow: 450 L/min}   # what the pump loses inside itself at a flow, of its data sheet
//!     billOfMaterials: {cdu: X200, pump: P9}
//! racks:
//!   - name: a1
//!     loop: loop-a
//!     aliases: [Pod1C-E02]
//!     hosts: [node-01, node-02]        # host names of its nodes in telemetry
//!     nominalPower: 120 kW
//!     billOfMaterials: {sku: GB300-NVL72}
//!     usual: {coolant_supply_temperature: [20, 40]}   # canonical units; outside is remarked, not refused
//!     limits: {coolant_supply_temperature: 42 Cel}
//! redundancy:
//!   - {signal: coolant_supply_temperature, loop: loop-a, sensors: [A, B]}
//! calibrations:
//!   - {rack: a1, signal: coolant_flow, date: 2026-01-05, validDays: 365}
//! ```

mod reader; // the file as it is written

use std::collections::BTreeMap;

use serde::Serialize;

use crate::document::DocumentError;
use crate::place::Place;
use crate::record::Document;
use crate::signal::Span;
use crate::unit::{Unit, conversion};
use crate::{EventTime, Microseconds, Name, canonical_json, sha256_hex};

/// A site as its file tells it; empty without one.
#[derive(Debug, Default, Clone, PartialEq, Serialize)]
pub struct Site {
    /// Its name in places, alerts and tables.
    pub name: Name,
    /// Coolant loops by name.
    pub loops: BTreeMap<Name, CoolantLoop>,
    /// Racks by name.
    pub racks: BTreeMap<Name, Rack>,
    /// Sensors that measure the same.
    pub redundancy: Vec<RedundancyGroup>,
    /// Calibrations of sensors.
    pub calibrations: Vec<CalibrationDate>,
    hosts: BTreeMap<Name, Name>,
    rack_aliases: BTreeMap<Name, Name>,
    loop_aliases: BTreeMap<Name, Name>,
}

/// A coolant loop with its distribution unit.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CoolantLoop {
    /// Its name.
    pub name: Name,
    /// Volumetric heat capacity of its coolant, MJ/(m³·K).
    pub heat_capacity: f64,
    /// Flow at full load, L/min.
    pub nominal_flow: Option<f64>,
    /// What its pump loses inside itself, kPa/(L/min)²: `a` of the curve H = H0·s² − a·V².
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pump_curve: Option<f64>,
    /// SHA-256 of its bill of materials: baselines are taken anew when it changes.
    pub bill_of_materials: Name,
    /// Usual ranges by signal, in canonical units, instead of the signal table's.
    pub usual: BTreeMap<Name, Span>,
    /// Limits by signal, in canonical units.
    pub limits: BTreeMap<Name, f64>,
}

/// A rack.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Rack {
    /// Its name.
    pub name: Name,
    /// The loop that cools it.
    pub cooling_loop: Option<Name>,
    /// Electrical power at full load, kW.
    pub nominal_power: Option<f64>,
    /// Volumetric heat capacity of its coolant, MJ/(m³·K): its loop's.
    pub heat_capacity: f64,
    /// SHA-256 of its bill of materials.
    pub bill_of_materials: Name,
    /// Usual ranges by signal, in canonical units: its own, else its loop's.
    pub usual: BTreeMap<Name, Span>,
    /// Limits by signal, in canonical units: its own, else its loop's.
    pub limits: BTreeMap<Name, f64>,
}

/// Sensors of one signal and place that must agree.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RedundancyGroup {
    /// The signal.
    pub signal: Name,
    /// The loop, for signals of a loop.
    #[serde(rename = "loop")]
    pub cooling_loop: Option<Name>,
    /// The rack, for signals of a rack.
    pub rack: Option<Name>,
    /// The sensors' names.
    pub sensors: Vec<Name>,
}

/// When a sensor was calibrated.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CalibrationDate {
    /// The signal.
    pub signal: Name,
    /// The loop, for signals of a loop.
    #[serde(rename = "loop")]
    pub cooling_loop: Option<Name>,
    /// The rack, for signals of a rack.
    pub rack: Option<Name>,
    /// Which of several sensors.
    pub sensor: Option<Name>,
    /// The day, from 00:00 UTC.
    pub date: EventTime,
    /// How long it holds.
    pub valid: Option<Microseconds>,
}

impl Site {
    /// A site of which nothing but the name is known: racks are discovered from labels.
    pub fn empty(name: &str) -> Self {
        Self { name: name.into(), ..Self::default() }
    }

    /// Reads a site file.
    ///
    /// # Errors
    /// All that is wrong with it, each with its line: two racks, loops, aliases or hosts of one name, an unknown
    /// loop, rack or signal, a unit that does not fit.
    pub fn read(document: &Document) -> Result<Self, Vec<DocumentError>> {
        reader::read(document)
    }

    /// The rack that a host belongs to.
    pub fn rack_of_host(&self, host: &str) -> Option<&Rack> {
        self.hosts.get(host).and_then(|rack| self.racks.get(rack))
    }

    /// The rack of that name or alias.
    pub fn rack(&self, name: &str) -> Option<&Rack> {
        self.racks.get(name).or_else(|| self.racks.get(self.rack_aliases.get(name)?))
    }

    /// The loop of that name or alias.
    pub fn coolant_loop(&self, name: &str) -> Option<&CoolantLoop> {
        self.loops.get(name).or_else(|| self.loops.get(self.loop_aliases.get(name)?))
    }

    /// `a` of the curve H = H0·s² − a·V² of the pump that moves the coolant at a place, kPa/(L/min)².
    pub fn pump_curve(&self, place: &Place) -> Option<f64> {
        self.coolant_loop(place.cooling_loop.as_deref()?)?.pump_curve
    }

    /// The racks on a loop, in order of their names.
    pub fn racks_on<'a>(&'a self, cooling_loop: &'a str) -> impl Iterator<Item = &'a Rack> {
        self.racks.values().filter(move |rack| rack.cooling_loop.as_deref() == Some(cooling_loop))
    }

    /// Identity of what the file says: SHA-256 of its canonical JSON.
    pub fn hash(&self) -> String {
        sha256_hex(&canonical_json(self))
    }
}

/// Reads a number with a unit, such as `120 kW`, in the unit wanted.
///
/// # Errors
/// Says what is missing and how to write it.
pub fn quantity(text: &str, wanted: Unit) -> Result<f64, String> {
    let refused = |why: String| format!("{text:?} {why}: write a number and a unit, such as 12.5 {wanted}");
    let (number, unit) = text.split_once(' ').ok_or_else(|| refused("has no unit".to_owned()))?;
    let value: f64 = number.parse().map_err(|_| refused("does not begin with a number".to_owned()))?;
    let unit = Unit::parse(unit).ok_or_else(|| refused(format!("has the unknown unit {unit:?}")))?;
    let conversion =
        conversion(unit, wanted).map_err(|mismatch| refused(format!("does not fit ({mismatch})")))?;
    Ok(conversion.apply(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SITE: &str = "\
apiVersion: thermogate.dev/v1alpha1
kind: Site
metadata: {name: dc1}
loops:
  - name: loop-a
    aliases: [C-F00-CDU-05]
    coolant: {heatCapacity: 4.05}
    nominalFlow: 100 gpm
    pumpCurve: {innerLoss: 76 kPa, atFlow: 200 L/min}
    usual: {coolant_supply_temperature: [18, 45]}
racks:
  - name: a1
    loop: C-F00-CDU-05
    aliases: [Pod1C-E02]
    hosts: [node-01, node-02]
    nominalPower: 120000 W
    limits: {coolant_supply_temperature: 104 degF}
  - name: b1
redundancy:
  - {signal: coolant_supply_temperature, loop: loop-a, sensors: [A, B]}
calibrations:
  - {signal: coolant_flow, rack: a1, date: 2026-01-05, validDays: 365}
";

    fn read(text: &str) -> Result<Site, String> {
        let document = Document { name: "site.yaml".into(), text: text.into() };
        Site::read(&document)
            .map_err(|errors| errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
    }

    #[test]
    fn a_site_knows_its_racks_by_name_alias_and_host() {
        let site = read(SITE).unwrap();
        let rack = site.rack("Pod1C-E02").unwrap();
        assert_eq!((&*rack.name, rack.cooling_loop.as_deref()), ("a1", Some("loop-a")));
        assert_eq!(site.rack_of_host("node-02"), Some(rack));
        assert_eq!(site.rack_of_host("node-03"), None);
        assert_eq!(rack.nominal_power, Some(120.0));
        assert_eq!(rack.limits["coolant_supply_temperature"], 40.0);
        assert_eq!(
            rack.usual["coolant_supply_temperature"],
            Span::new(18.0, 45.0),
            "a rack takes its loop's ranges"
        );
        assert_eq!(rack.heat_capacity, 4.05);
        assert_eq!(site.racks_on("loop-a").count(), 1);
        assert_eq!(site.loops["loop-a"].nominal_flow, Some(378.5411784));
        let at = |name: &str| Place { cooling_loop: Some(name.into()), ..Place::default() };
        assert_eq!(site.pump_curve(&at("loop-a")), Some(0.0019), "76 kPa by the square of 200 L/min");
        assert_eq!(site.pump_curve(&at("loop-b")), None);
    }

    #[test]
    fn every_mistake_is_told_with_its_line() {
        for (find, replace, expected) in [
            (
                "- name: b1",
                "- name: a1",
                "site.yaml:18: rack \"a1\" is there twice: give each rack a name or alias of its own",
            ),
            ("- name: b1", "- name: Pod1C-E02", "site.yaml:18: rack \"Pod1C-E02\" is there twice"),
            ("node-02]", "node-01]", "site.yaml:15: host \"node-01\" is there twice"),
            (
                "loop: C-F00-CDU-05",
                "loop: loop-b",
                "site.yaml:13: no loop is called \"loop-b\": list it under loops; did you mean \"loop-a\"?",
            ),
            (
                "120000 W",
                "120",
                "site.yaml:16: \"120\" has no unit: write a number and a unit, such as 12.5 kW",
            ),
            ("120000 W", "120 rpm", "site.yaml:16: \"120 rpm\" does not fit"),
            ("rack: a1", "rack: a2", "site.yaml:22: no rack is called \"a2\""),
            (
                "signal: coolant_flow",
                "signal: coolant_flwo",
                "site.yaml:22: no signal is called \"coolant_flwo\": use a canonical name; did you mean \"coolant_flow\"?",
            ),
            (
                "[18, 45]",
                "[45, 18]",
                "site.yaml:10: usual range of coolant_supply_temperature is [45, 18]: write the lower end first",
            ),
            ("hosts:", "host:", "site.yaml:15: unknown field `host`"),
            ("kind: Site", "kind: Rack", "site.yaml:2: kind is \"Rack\": write Site"),
            ("2026-01-05", "5.1.2026", "site.yaml:22: \"5.1.2026\" is not a day"),
            ("validDays: 365", "validDays: 0", "site.yaml:22: validDays is 0: give 1 to 36500 days"),
            (
                "sensors: [A, B]",
                "sensors: [A]",
                "site.yaml:20: a redundancy group has fewer than two sensors",
            ),
            ("76 kPa", "76", "site.yaml:9: \"76\" has no unit: write a number and a unit, such as 12.5 kPa"),
            (
                "200 L/min",
                "0 L/min",
                "site.yaml:9: pumpCurve: give a loss of none or more at a flow above none",
            ),
        ] {
            assert!(SITE.contains(find), "{find}");
            let message = read(&SITE.replace(find, replace)).expect_err(replace);
            assert!(message.contains(expected), "{find} -> {replace}:\n{message}");
        }
    }
}
