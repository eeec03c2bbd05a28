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

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_saphyr::Spanned;

use crate::document::{self, DocumentError, nearest};
use crate::formula::Coolant;
use crate::record::Document;
use crate::signal::{self, Span};
use crate::unit::{Unit, conversion};
use crate::{EventTime, Labels, Microseconds, Name, canonical_json, sha256_hex};

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
        let mut files: Vec<SiteFile> = document::read_yaml(document).map_err(|error| vec![error])?;
        let (Some(file), true) = (files.pop(), files.is_empty()) else {
            return Err(vec![DocumentError::new(
                document,
                None,
                "a site file holds one document: write one site a file",
            )]);
        };
        let mut reader = Reader { document, errors: Vec::new(), site: Self::empty(&file.metadata.name) };
        reader.read(file);
        if reader.errors.is_empty() { Ok(reader.site) } else { Err(reader.errors) }
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

    /// The racks on a loop, in order of their names.
    pub fn racks_on<'a>(&'a self, cooling_loop: &'a str) -> impl Iterator<Item = &'a Rack> {
        self.racks.values().filter(move |rack| rack.cooling_loop.as_deref() == Some(cooling_loop))
    }

    /// Identity of what the file says: SHA-256 of its canonical JSON.
    pub fn hash(&self) -> String {
        sha256_hex(&canonical_json(self))
    }
}

/// The file as a person writes it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct SiteFile {
    #[serde(rename = "apiVersion")]
    api_version: Spanned<String>,
    kind: Spanned<String>,
    metadata: Metadata,
    #[serde(default)]
    loops: Vec<LoopFile>,
    #[serde(default)]
    racks: Vec<RackFile>,
    #[serde(default)]
    redundancy: Vec<RedundancyFile>,
    #[serde(default)]
    calibrations: Vec<CalibrationFile>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Metadata {
    name: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct LoopFile {
    name: Spanned<String>,
    #[serde(default)]
    aliases: Vec<Spanned<String>>,
    #[serde(default)]
    coolant: CoolantFile,
    nominal_flow: Option<Spanned<String>>,
    #[serde(default)]
    bill_of_materials: Labels,
    #[serde(default)]
    usual: BTreeMap<String, Spanned<[f64; 2]>>,
    #[serde(default)]
    limits: BTreeMap<String, Spanned<String>>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum CoolantFile {
    Named(Coolant),
    Measured(MeasuredCoolant),
}

impl Default for CoolantFile {
    fn default() -> Self {
        Self::Named(Coolant::default())
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct MeasuredCoolant {
    heat_capacity: f64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct RackFile {
    name: Spanned<String>,
    #[serde(rename = "loop")]
    cooling_loop: Option<Spanned<String>>,
    #[serde(default)]
    aliases: Vec<Spanned<String>>,
    #[serde(default)]
    hosts: Vec<Spanned<String>>,
    nominal_power: Option<Spanned<String>>,
    #[serde(default)]
    bill_of_materials: Labels,
    #[serde(default)]
    usual: BTreeMap<String, Spanned<[f64; 2]>>,
    #[serde(default)]
    limits: BTreeMap<String, Spanned<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct RedundancyFile {
    signal: Spanned<String>,
    #[serde(rename = "loop")]
    cooling_loop: Option<Spanned<String>>,
    rack: Option<Spanned<String>>,
    sensors: Vec<Name>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct CalibrationFile {
    signal: Spanned<String>,
    #[serde(rename = "loop")]
    cooling_loop: Option<Spanned<String>>,
    rack: Option<Spanned<String>>,
    sensor: Option<Name>,
    date: Spanned<String>,
    valid_days: Option<u32>,
}

/// Turns the file into a site and collects everything that is wrong on the way.
struct Reader<'a> {
    document: &'a Document,
    errors: Vec<DocumentError>,
    site: Site,
}

impl Reader<'_> {
    fn read(&mut self, file: SiteFile) {
        if file.api_version.value != document::API_VERSION {
            self.refuse(
                &file.api_version,
                format!("apiVersion is {:?}: write {}", file.api_version.value, document::API_VERSION),
            );
        }
        if file.kind.value != "Site" {
            self.refuse(&file.kind, format!("kind is {:?}: write Site", file.kind.value));
        }
        for one in file.loops {
            self.read_loop(one);
        }
        for rack in file.racks {
            self.read_rack(rack);
        }
        for group in file.redundancy {
            let signal = self.signal(&group.signal);
            let (cooling_loop, rack) = self.place(&group.signal, group.cooling_loop, group.rack);
            if group.sensors.len() < 2 {
                self.refuse(
                    &group.signal,
                    "a redundancy group has fewer than two sensors: name all that measure the same",
                );
            }
            self.site.redundancy.push(RedundancyGroup { signal, cooling_loop, rack, sensors: group.sensors });
        }
        for one in file.calibrations {
            let signal = self.signal(&one.signal);
            let (cooling_loop, rack) = self.place(&one.signal, one.cooling_loop, one.rack);
            match EventTime::from_rfc3339(&format!("{}T00:00:00Z", one.date.value)) {
                Ok(date) => self.site.calibrations.push(CalibrationDate {
                    signal,
                    cooling_loop,
                    rack,
                    sensor: one.sensor,
                    date,
                    valid: one.valid_days.map(|days| Microseconds::from_hours(24 * i64::from(days))),
                }),
                Err(_) => self.refuse(
                    &one.date,
                    format!("{:?} is not a day: write it like 2026-01-05", one.date.value),
                ),
            }
        }
    }

    fn read_loop(&mut self, file: LoopFile) {
        let name: Name = file.name.value.as_str().into();
        let taken = self.site.coolant_loop(&name).is_some();
        self.claim(&file.name, "loop", taken);
        for alias in &file.aliases {
            let taken = self.site.coolant_loop(&alias.value).is_some() || *alias.value == *name;
            self.claim(alias, "loop", taken);
            self.site.loop_aliases.insert(alias.value.as_str().into(), name.clone());
        }
        let heat_capacity = match file.coolant {
            CoolantFile::Named(coolant) => coolant.heat_capacity(),
            CoolantFile::Measured(measured) => measured.heat_capacity,
        };
        if !(1.0..=5.0).contains(&heat_capacity) {
            self.refuse(
                &file.name,
                format!("heatCapacity is {heat_capacity}: give MJ/(m3.K) between 1 and 5; water has 4.15"),
            );
        }
        let one = CoolantLoop {
            name: name.clone(),
            heat_capacity,
            nominal_flow: file.nominal_flow.and_then(|flow| self.quantity(&flow, Unit::LITRES_PER_MINUTE)),
            bill_of_materials: sha256_hex(&canonical_json(&file.bill_of_materials)).into(),
            usual: self.ranges(file.usual),
            limits: self.limits(file.limits),
        };
        self.site.loops.insert(name, one);
    }

    fn read_rack(&mut self, file: RackFile) {
        let name: Name = file.name.value.as_str().into();
        let taken = self.site.rack(&name).is_some();
        self.claim(&file.name, "rack", taken);
        for alias in &file.aliases {
            let taken = self.site.rack(&alias.value).is_some() || *alias.value == *name;
            self.claim(alias, "rack", taken);
            self.site.rack_aliases.insert(alias.value.as_str().into(), name.clone());
        }
        for host in &file.hosts {
            let taken = self.site.hosts.insert(host.value.as_str().into(), name.clone()).is_some();
            self.claim(host, "host", taken);
        }
        let cooling_loop = file.cooling_loop.and_then(|one| self.known_loop(&one));
        let on = cooling_loop.as_ref().and_then(|one| self.site.loops.get(one)).cloned();
        let mut usual = on.as_ref().map(|one| one.usual.clone()).unwrap_or_default();
        usual.extend(self.ranges(file.usual));
        let mut limits = on.as_ref().map(|one| one.limits.clone()).unwrap_or_default();
        limits.extend(self.limits(file.limits));
        let rack = Rack {
            name: name.clone(),
            cooling_loop,
            nominal_power: file.nominal_power.and_then(|power| self.quantity(&power, Unit::KILOWATTS)),
            heat_capacity: on.map_or(Coolant::default().heat_capacity(), |one| one.heat_capacity),
            bill_of_materials: sha256_hex(&canonical_json(&file.bill_of_materials)).into(),
            usual,
            limits,
        };
        self.site.racks.insert(name, rack);
    }

    fn refuse<T>(&mut self, at: &Spanned<T>, message: impl Into<String>) {
        self.errors.push(DocumentError::new(self.document, document::line_of(at), message));
    }

    fn claim(&mut self, name: &Spanned<String>, what: &str, taken: bool) {
        if name.value.is_empty() {
            self.refuse(name, format!("a {what} has an empty name: give it one"));
        } else if taken {
            self.refuse(
                name,
                format!(
                    "{what} {:?} is there twice: give each {what} a name or alias of its own",
                    name.value
                ),
            );
        }
    }

    fn known_loop(&mut self, name: &Spanned<String>) -> Option<Name> {
        if let Some(one) = self.site.coolant_loop(&name.value) {
            return Some(one.name.clone());
        }
        let hint = did_you_mean(&name.value, self.site.loops.keys());
        self.refuse(name, format!("no loop is called {:?}: list it under loops{hint}", name.value));
        None
    }

    fn known_rack(&mut self, name: &Spanned<String>) -> Option<Name> {
        if let Some(rack) = self.site.rack(&name.value) {
            return Some(rack.name.clone());
        }
        let hint = did_you_mean(&name.value, self.site.racks.keys());
        self.refuse(name, format!("no rack is called {:?}: list it under racks{hint}", name.value));
        None
    }

    fn place(
        &mut self,
        at: &Spanned<String>,
        cooling_loop: Option<Spanned<String>>,
        rack: Option<Spanned<String>>,
    ) -> (Option<Name>, Option<Name>) {
        if cooling_loop.is_some() == rack.is_some() {
            self.refuse(at, "give either loop or rack: it says where the sensor is");
        }
        (cooling_loop.and_then(|one| self.known_loop(&one)), rack.and_then(|one| self.known_rack(&one)))
    }

    fn signal(&mut self, name: &Spanned<String>) -> Name {
        if signal::find(&name.value).is_none() {
            self.refuse(name, unknown_signal(&name.value));
        }
        name.value.as_str().into()
    }

    fn ranges(&mut self, file: BTreeMap<String, Spanned<[f64; 2]>>) -> BTreeMap<Name, Span> {
        let mut ranges = BTreeMap::new();
        for (name, range) in file {
            let [lowest, highest] = range.value;
            match signal::find(&name) {
                None => self.refuse(&range, unknown_signal(&name)),
                Some(_) if lowest < highest => {}
                Some(_) => self.refuse(
                    &range,
                    format!("usual range of {name} is [{lowest}, {highest}]: write the lower end first"),
                ),
            }
            ranges.insert(name.into(), Span::new(lowest, highest));
        }
        ranges
    }

    fn limits(&mut self, file: BTreeMap<String, Spanned<String>>) -> BTreeMap<Name, f64> {
        let mut limits = BTreeMap::new();
        for (name, limit) in file {
            match signal::find(&name) {
                None => self.refuse(&limit, unknown_signal(&name)),
                Some(signal) => {
                    if let Some(value) = self.quantity(&limit, signal.unit) {
                        limits.insert(name.into(), value);
                    }
                }
            }
        }
        limits
    }

    /// Reads `120 kW` in the wanted unit; a bare number is refused, since it does not say which unit it is in.
    fn quantity(&mut self, text: &Spanned<String>, wanted: Unit) -> Option<f64> {
        match quantity(&text.value, wanted) {
            Ok(value) => Some(value),
            Err(message) => {
                self.refuse(text, message);
                None
            }
        }
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

fn unknown_signal(name: &str) -> String {
    let hint = signal::nearest(name).map(|near| format!("; did you mean {near:?}?")).unwrap_or_default();
    format!("no signal is called {name:?}: use a canonical name{hint}")
}

fn did_you_mean<'a>(wrong: &str, known: impl Iterator<Item = &'a Name>) -> String {
    nearest(wrong, known.map(|name| &**name))
        .map(|near| format!("; did you mean {near:?}?"))
        .unwrap_or_default()
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
    }

    #[test]
    fn every_mistake_is_told_with_its_line() {
        for (find, replace, expected) in [
            (
                "- name: b1",
                "- name: a1",
                "site.yaml:17: rack \"a1\" is there twice: give each rack a name or alias of its own",
            ),
            ("- name: b1", "- name: Pod1C-E02", "site.yaml:17: rack \"Pod1C-E02\" is there twice"),
            ("node-02]", "node-01]", "site.yaml:14: host \"node-01\" is there twice"),
            (
                "loop: C-F00-CDU-05",
                "loop: loop-b",
                "site.yaml:12: no loop is called \"loop-b\": list it under loops; did you mean \"loop-a\"?",
            ),
            (
                "120000 W",
                "120",
                "site.yaml:15: \"120\" has no unit: write a number and a unit, such as 12.5 kW",
            ),
            ("120000 W", "120 rpm", "site.yaml:15: \"120 rpm\" does not fit"),
            ("rack: a1", "rack: a2", "site.yaml:21: no rack is called \"a2\""),
            (
                "signal: coolant_flow",
                "signal: coolant_flwo",
                "site.yaml:21: no signal is called \"coolant_flwo\": use a canonical name; did you mean \"coolant_flow\"?",
            ),
            (
                "[18, 45]",
                "[45, 18]",
                "site.yaml:9: usual range of coolant_supply_temperature is [45, 18]: write the lower end first",
            ),
            ("hosts:", "host:", "site.yaml:14: unknown field `host`"),
            ("kind: Site", "kind: Rack", "site.yaml:2: kind is \"Rack\": write Site"),
            ("2026-01-05", "5.1.2026", "site.yaml:21: \"5.1.2026\" is not a day"),
            (
                "sensors: [A, B]",
                "sensors: [A]",
                "site.yaml:19: a redundancy group has fewer than two sensors",
            ),
        ] {
            assert!(SITE.contains(find), "{find}");
            let message = read(&SITE.replace(find, replace)).expect_err(replace);
            assert!(message.contains(expected), "{find} -> {replace}:\n{message}");
        }
    }
}
