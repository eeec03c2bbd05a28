//! From the site file as a person writes it to the site as it is meant, with everything that is wrong on the way.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_saphyr::Spanned;

use crate::document::{self, DocumentError, nearest};
use crate::formula::Coolant;
use crate::record::Document;
use crate::signal::{self, Span};
use crate::unit::Unit;
use crate::{EventTime, Labels, Microseconds, Name, canonical_json, sha256_hex};

use super::{CalibrationDate, CoolantLoop, Rack, RedundancyGroup, Site, quantity};

/// A calibration holds for a hundred years at most.
const VALID_DAYS_MAXIMUM: u32 = 36_500;

/// Reads a site file.
pub(super) fn read(document: &Document) -> Result<Site, Vec<DocumentError>> {
    let mut files: Vec<SiteFile> = document::read_yaml(document).map_err(|error| vec![error])?;
    let (Some(file), true) = (files.pop(), files.is_empty()) else {
        return Err(vec![DocumentError::new(
            document,
            None,
            "a site file holds one document: write one site a file",
        )]);
    };
    let mut reader = Reader { document, errors: Vec::new(), site: Site::empty(&file.metadata.name) };
    reader.read(file);
    if reader.errors.is_empty() { Ok(reader.site) } else { Err(reader.errors) }
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
    pump_curve: Option<PumpCurveFile>,
    #[serde(default)]
    bill_of_materials: Labels,
    #[serde(default)]
    usual: BTreeMap<String, Spanned<[f64; 2]>>,
    #[serde(default)]
    limits: BTreeMap<String, Spanned<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct PumpCurveFile {
    inner_loss: Spanned<String>,
    at_flow: Spanned<String>,
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
            if let Some(days) = one.valid_days.filter(|days| !(1..=VALID_DAYS_MAXIMUM).contains(days)) {
                self.refuse(
                    &one.date,
                    format!("validDays is {days}: give 1 to {VALID_DAYS_MAXIMUM} days, or leave it out"),
                );
                continue;
            }
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
        let pump_curve = file.pump_curve.and_then(|curve| self.pump_curve(&curve));
        let one = CoolantLoop {
            name: name.clone(),
            heat_capacity,
            pump_curve,
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

    /// What a pump loses inside itself, kPa/(L/min)²: it grows with the square of the flow.
    fn pump_curve(&mut self, file: &PumpCurveFile) -> Option<f64> {
        let loss = self.quantity(&file.inner_loss, Unit::KILOPASCALS)?;
        let flow = self.quantity(&file.at_flow, Unit::LITRES_PER_MINUTE)?;
        let curve = loss / (flow * flow);
        if flow <= 0.0 || loss < 0.0 || !curve.is_finite() {
            self.refuse(
                &file.at_flow,
                "pumpCurve: give a loss of none or more at a flow above none".to_owned(),
            );
            return None;
        }
        Some(curve)
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

fn unknown_signal(name: &str) -> String {
    let hint = signal::nearest(name).map(|near| format!("; did you mean {near:?}?")).unwrap_or_default();
    format!("no signal is called {name:?}: use a canonical name{hint}")
}

fn did_you_mean<'a>(wrong: &str, known: impl Iterator<Item = &'a Name>) -> String {
    nearest(wrong, known.map(|name| &**name))
        .map(|near| format!("; did you mean {near:?}?"))
        .unwrap_or_default()
}
