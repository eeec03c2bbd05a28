//! Reads objectives and burn-rate policies: OpenSLO v1 with our extension, strictly, with all errors at once.
//!
//! documents → **objective_document** → `objective`
//!
//! What stands in `metricSource.spec` of a source of `type: thermogate`:
//!
//! ```yaml
//! specVersion: v1alpha1
//! signal: {expr: "coolant_return_temperature - coolant_supply_temperature", unit: K}
//! groupBy: [rack]                     # site | loop | rack | node | device
//! rollup: worst                       # worst | all | quantile(0.95)
//! transform: {kind: value}            # see below
//! slice: {length: 10s, aggregation: timeWeightedMean}    # timeWeightedMean | timeWeightedMax | min | last
//! validity: {load: {signal: rack_power, min: 60, unit: kW}, quality: good, maxStaleness: 200s, warmup: 120s}
//! missingData: {minCoverage: 0.95, strict: false}
//! appliesTo: all                      # all | declared | undeclared (racks that the site file names, or does not)
//! ```
//!
//! Kinds of promises, by `transform` and `hardLimit`:
//!
//! | promise | written as | `op`, `value` | `budgetingMethod`, `target` |
//! |---|---|---|---|
//! | time in bounds | `transform: {kind: value}`, the default | limit in the signal's unit | `Timeslices`, below 1 |
//! | the same of a spread | `transform: {kind: groupSpread}`: highest minus lowest of one signal in the group | limit in K, kPa … | the same |
//! | the same of a time | `transform: {kind: timeAbove, threshold: 45}`: how long the signal has been above it, without a known pause | `lte`, seconds | the same |
//! | trend | `transform: {kind: slope, window: 30m, timeToThreshold: 30m, ratePerHour: 1.5}`, one of the last two at least | the threshold that is run into | `Occurrences`, 0 |
//! | event rate | `transform: {kind: eventRate, episodes: thermal_throttle, mergeWithin: 60s, noiseFloor: 1s}` | `lte`, episodes per hour | `Occurrences`, 0 |
//! | recovery time | `transform: {kind: recoveryTime, …}`, see below | `lte`, seconds | `Occurrences`, the share of bursts |
//! | hard limit | `hardLimit: {noiseFloor: 1s}` or `hardLimit: {equals: ok}` for a state | limit; for a state `lte` its code | `Occurrences`, 0 |
//!
//! A recovery time promises that a share of load bursts settles in time: with `op: lte, value: 600, target: 0.95` that
//! the signal is back in its band 600 s after 95 % of them, and stays there for `hold`.
//!
//! ```yaml
//! transform:
//!   kind: recoveryTime
//!   from: burstEnd                    # burstEnd: where the load falls | burstStart: where it rises, for a loop's supply
//!   band: {min: -0.5, max: 0.5}       # in the signal's unit, one end at least; around a set point: `expr: signal - setpoint`
//!   hold: 60s                         # time is credited to the entry into the band; a longer gap makes a burst unknown
//!   trigger: {signal: rack_power, unit: kW, shareOfNominal: 0.1, within: 60s, debounce: 30s}    # the default
//! ```
//!
//! A trigger may be any signal, with `step` in its unit instead of `shareOfNominal`. It makes a step when it is so far away
//! from a level of the last `within`, and still is after `debounce`. A further step, either way, ends the watch unseen:
//! such a burst is censored, and counts as unknown.
//!
//! A composite is an SLO whose `objectives` have an `indicator` each: the rack is safe in a slice when all parts are, broken
//! when one is, and unknown when nothing is broken and a part is not known. Parts share target, slices, validity and groups;
//! weights that differ are refused. Its value is how far the part that is furthest from its limit lies beyond it, in per cent
//! of that limit (the same rule for bad minutes as Nobl9's first composites; OpenSLO itself gives weights no meaning).
//!
//! OpenSLO cannot say "never", so a hard limit has `target: 0`: no share of time is promised by the budget, the
//! limit alone decides.

mod burn_policy; // kind: BurnRatePolicy
pub(crate) mod fields; // walks a tree and notes every error
mod lint; // alerts that can never fire, or at a whim
pub(crate) mod openslo; // OpenSLO v1, field by field
mod promise; // an objective of an SLO, its source and its policy
mod recovery_time; // a transform of our extension
mod source; // our extension: metricSource.spec
pub(crate) mod tree; // YAML that knows its lines
mod unused_kind; // OpenSLO's kinds that have no use here

use std::fmt;

use telemetry::Microseconds;
use telemetry::Name;
use telemetry::document::{DocumentError, nearest};
use telemetry::expression::KnownSignals;
use telemetry::record::Document;

use self::burn_policy::{Policies, WrittenPolicy};
use self::fields::{Errors, Field, Fields};
use self::openslo::{Indicator, Metric, Part, Slo};
use self::promise::Promised;
use self::source::{Source, Transform};
use self::tree::Node;
use crate::objective::Objective;

pub use self::lint::cannot_pass_within;

/// What a set of documents says.
#[derive(Debug, Clone, PartialEq)]
pub struct Loaded {
    /// Sorted by name.
    pub objectives: Vec<Objective>,
    /// What is no error and should be known.
    pub remarks: Vec<Remark>,
}

/// Something that should be known about a document that can be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remark {
    /// How much it matters.
    pub level: RemarkLevel,
    /// File name.
    pub document: Name,
    /// Line, from 1.
    pub line: u64,
    /// What it is about: `SLO rack-coolant-dt`.
    pub subject: String,
    /// One sentence.
    pub message: String,
}

/// How much a remark matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum RemarkLevel {
    /// Good to know.
    Note,
    /// Most likely not what was meant.
    Warning,
}

impl Remark {
    fn warning(objective: &Objective, message: impl Into<String>) -> Self {
        Self::of(RemarkLevel::Warning, objective, message.into())
    }

    fn note(objective: &Objective, message: impl Into<String>) -> Self {
        Self::of(RemarkLevel::Note, objective, message.into())
    }

    fn of(level: RemarkLevel, objective: &Objective, message: String) -> Self {
        let (document, line) = (objective.document.clone(), objective.line);
        Self { level, document, line, subject: format!("SLO {}", objective.name), message }
    }
}

impl fmt::Display for Remark {
    /// `slo/rack.yaml:3: warning: SLO rack-coolant-dt: …`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let level = match self.level {
            RemarkLevel::Note => "note",
            RemarkLevel::Warning => "warning",
        };
        write!(f, "{}:{}: {level}: {}: {}", self.document, self.line, self.subject, self.message)
    }
}

/// Kinds of ours that others read.
const OTHERS: [&str; 4] = ["GatePolicy", "GatePolicyTest", "ObjectiveTest", "WatchGroup"];
/// Kinds of OpenSLO v1.
const OPENSLO: [&str; 7] =
    ["SLO", "SLI", "Service", "DataSource", "AlertPolicy", "AlertCondition", "AlertNotificationTarget"];

/// Reads all objectives of a set of files. Burn-rate policies that no file defines come from
/// [`crate::default_documents`]; kinds that other parts read (gate policies, unit tests) are passed over.
///
/// # Errors
/// Every error of every file, in their order: file, line, kind and name, field, reason.
pub fn read(documents: &[Document], known: &KnownSignals) -> Result<Loaded, Vec<DocumentError>> {
    let builtin = crate::defaults::burn_rate_policies();
    let (mut refused, mut trees) = (Vec::new(), Vec::new());
    for document in documents.iter().chain([&builtin]) {
        match tree::objects(document) {
            Ok(objects) => trees.push((document, objects)),
            Err(error) => refused.push(error),
        }
    }
    let errors: Vec<Errors<'_>> = trees.iter().map(|(document, _)| Errors::of(document)).collect();
    let mut found = Found::default();
    for ((document, objects), errors) in trees.iter().zip(&errors) {
        let is_builtin = std::ptr::eq(*document, &builtin);
        objects.iter().for_each(|object| found.take(object, &document.name, errors, is_builtin, known));
    }
    let loaded = found.objectives();
    refused.extend(errors.into_iter().flat_map(Errors::into_list));
    if refused.is_empty() { Ok(loaded) } else { Err(refused) }
}

/// The objects of all files, each read by itself.
#[derive(Default)]
struct Found<'a> {
    slos: Vec<FoundSlo<'a>>,
    indicators: Vec<(&'a str, Name, u64, Option<Source>)>,
    policies: Policies,
    remarks: Vec<Remark>,
}

/// An SLO and, for each part that holds its indicator itself, the source.
struct FoundSlo<'a> {
    slo: Slo<'a>,
    sources: Vec<Option<Source>>,
    document: Name,
    line: u64,
    errors: &'a Errors<'a>,
}

impl<'a> Found<'a> {
    fn take(
        &mut self,
        object: &'a Node,
        document: &str,
        errors: &'a Errors<'a>,
        is_builtin: bool,
        known: &KnownSignals,
    ) {
        errors.about("");
        let Some(fields) = Fields::of(object, errors) else { return };
        let version = fields.require("apiVersion").and_then(|field| field.text());
        let kind = fields.require("kind");
        let (Some(version), Some(kind_field)) = (version, kind) else { return };
        let Some(kind) = kind_field.text() else { return };
        errors.about(subject(kind, object));
        match (version, kind) {
            ("openslo/v1", "SLO") => {
                if let Some(slo) = openslo::slo(&fields) {
                    let sources = slo.parts.iter().map(|part| inline_source(part, known)).collect();
                    self.slos.push(FoundSlo {
                        slo,
                        sources,
                        document: document.into(),
                        line: object.line,
                        errors,
                    });
                }
            }
            ("openslo/v1", "SLI") => {
                let metadata = openslo::metadata(&fields);
                let metric = fields.require("spec").and_then(|field| openslo::metric(&field));
                if let (Some(metadata), Some(metric)) = (metadata, metric) {
                    let source = source_of(&metric, known);
                    self.indicators.push((metadata.name, document.into(), object.line, source));
                }
            }
            ("openslo/v1", kind) if OPENSLO.contains(&kind) => {
                let metadata = openslo::metadata(&fields);
                if let (Some(metadata), Some(why)) = (metadata, unused_kind::unused_kind(kind, &fields)) {
                    let subject = format!("{kind} {}", metadata.name);
                    self.note(document, object.line, subject, format!("has no use here: {why}"));
                }
            }
            ("thermogate.dev/v1alpha1", "BurnRatePolicy") => match burn_policy::burn_rate_policy(&fields) {
                Some(policy) => self.take_policy(policy, is_builtin, &fields),
                None => self.policies.refused.extend(name(object)),
            },
            ("thermogate.dev/v1alpha1", kind) if OTHERS.contains(&kind) => return,
            ("openslo/v1" | "thermogate.dev/v1alpha1", kind) => {
                let known = OPENSLO.into_iter().chain(OTHERS).chain(["BurnRatePolicy"]);
                let near =
                    nearest(kind, known).map_or_else(String::new, |near| format!("; did you mean {near:?}?"));
                kind_field.refuse::<()>(format!("{kind:?} is no kind of {version}{near}"));
                return;
            }
            (version, _) => {
                fields
                    .refuse(format!("apiVersion {version:?} is none of openslo/v1, thermogate.dev/v1alpha1"));
                return;
            }
        }
        fields.close();
    }

    fn take_policy(&mut self, policy: WrittenPolicy, is_builtin: bool, fields: &Fields<'_>) {
        match self.policies.read.iter().any(|known| known.name() == policy.name()) {
            false => self.policies.read.push(policy),
            true if is_builtin => {}
            true => fields.refuse("a second BurnRatePolicy of this name: give it another one"),
        }
    }

    fn note(&mut self, document: &str, line: u64, subject: String, message: String) {
        self.remarks.push(Remark {
            level: RemarkLevel::Note,
            document: document.into(),
            line,
            subject,
            message,
        });
    }

    /// The source of the SLI of this name.
    fn indicator(&self, name: &str, field: &Field<'_>) -> Option<&Source> {
        match self.indicators.iter().find(|(known, ..)| *known == name) {
            Some((.., Some(source))) => Some(source),
            Some((.., None)) => {
                field.refuse(format!("SLI {name:?} is not measured by a source of `type: thermogate`"))
            }
            None => {
                let near = nearest(name, self.indicators.iter().map(|(known, ..)| *known));
                let near = near.map_or_else(String::new, |near| format!("; did you mean {near:?}?"));
                field.refuse(format!("there is no SLI {name:?}{near}"))
            }
        }
    }

    /// What the objects mean together.
    fn objectives(mut self) -> Loaded {
        let mut objectives: Vec<Objective> = Vec::new();
        let mut used = Vec::new();
        for found in &self.slos {
            let FoundSlo { slo, errors, .. } = found;
            errors.about(format!("SLO {}", slo.metadata.name));
            let sources: Vec<Option<&Source>> = slo
                .parts
                .iter()
                .zip(&found.sources)
                .map(|(part, inline)| match &part.indicator {
                    Indicator::Inline(_) => inline.as_ref(),
                    Indicator::Reference(name, field) => {
                        used.push(*name);
                        self.indicator(name, field)
                    }
                })
                .collect();
            let of_part = |(part, source): (&Part<'_>, Option<&Source>)| {
                let promised = Promised { slo, target: &part.target };
                promise::objective(&promised, source?, &self.policies, &found.document, found.line)
            };
            // All parts are looked at, so that all errors are told.
            let parts: Vec<Option<Objective>> =
                slo.parts.iter().zip(sources.iter().copied()).map(of_part).collect();
            let Some(mut parts) = parts.into_iter().collect::<Option<Vec<Objective>>>() else { continue };
            let objective = if parts.len() > 1 { promise::composite(slo, parts) } else { parts.pop() };
            let Some(objective) = objective else { continue };
            if let Some(first) = objectives.iter().find(|first| first.name == objective.name) {
                let (document, line) = (&first.document, first.line);
                errors.refuse(
                    found.line,
                    format!("a second SLO of this name: the first stands at {document}:{line}"),
                );
                continue;
            }
            let is_silent =
                |source: &&Source| matches!(source.transform, Transform::HardLimit { noise_floor: None, .. });
            let says_noise_floor = !sources.iter().flatten().any(is_silent);
            let findings = lint::findings(&objective, says_noise_floor);
            findings.refused.iter().for_each(|message| errors.refuse(found.line, message));
            self.remarks.extend(findings.remarks);
            if slo.names_alert_policies {
                let message = "its alertPolicies have no use here: alerts come from burn rates";
                self.remarks.push(Remark::note(&objective, message));
            }
            objectives.push(objective);
        }
        for (name, document, line, source) in self.indicators.iter().filter(|(name, ..)| !used.contains(name))
        {
            let message = match source {
                Some(_) => "no SLO refers to it",
                None => "has no use here: only sources of `type: thermogate` are evaluated",
            };
            let (subject, message) = (format!("SLI {name}"), message.to_owned());
            let (level, document, line) = (RemarkLevel::Note, document.clone(), *line);
            self.remarks.push(Remark { level, document, line, subject, message });
        }
        objectives.sort_by(|one, other| one.name.cmp(&other.name));
        Loaded { objectives, remarks: self.remarks }
    }
}

/// `SLO rack-coolant-dt`, or the kind alone while the name is not known.
fn subject(kind: &str, object: &Node) -> String {
    name(object).map_or_else(|| kind.to_owned(), |name| format!("{kind} {name}"))
}

/// `metadata.name`, before anything is checked.
fn name(object: &Node) -> Option<String> {
    fn entry<'n>(node: &'n Node, name: &str) -> Option<&'n Node> {
        let tree::Value::Map(entries) = &node.value else { return None };
        entries.iter().find(|(key, _)| key.name == name).map(|(_, node)| node)
    }
    match &entry(entry(object, "metadata")?, "name")?.value {
        tree::Value::Text(name) => Some(name.clone()),
        _ => None,
    }
}

/// The source of an SLO that holds its indicator itself; somebody else's is refused, because a promise that nobody
/// judges must not look as if it were in force.
fn inline_source(part: &Part<'_>, known: &KnownSignals) -> Option<Source> {
    let Indicator::Inline(metric) = &part.indicator else { return None };
    match metric {
        Metric::Ours(_) => source_of(metric, known),
        Metric::Foreign(kind, field) => field.refuse(format!(
            "a source of type {kind:?} is not evaluated here: use `type: thermogate` with a signal"
        )),
        Metric::Ratio(field) => {
            let target = &part.target;
            if target.comparison.is_some() || target.value.is_some() {
                target.field.refuse::<()>("`op` and `value` are forbidden with a ratioMetric");
            }
            field.refuse("a ratioMetric is not evaluated here: use a thresholdMetric with a source of `type: thermogate`")
        }
    }
}

fn source_of(metric: &Metric<'_>, known: &KnownSignals) -> Option<Source> {
    let Metric::Ours(fields) = metric else { return None };
    let source = source::source(fields, known);
    fields.close();
    source
}

/// Remarks on burn windows that reach back further than samples are kept: their alerts cannot be looked into.
pub fn windows_beyond(objectives: &[Objective], retention: Microseconds) -> Vec<Remark> {
    let beyond = objectives.iter().filter(|objective| objective.window > retention);
    beyond
        .map(|objective| {
            let message = format!(
                "its window of {} is longer than samples are kept ({retention}): its budget cannot be derived again from history",
                objective.window
            );
            Remark::warning(objective, message)
        })
        .collect()
}

#[cfg(test)]
mod tests;
