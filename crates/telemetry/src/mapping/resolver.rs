//! The search: metric → row → unit, conversion, place. Deterministic, and the order of labels never matters.

use std::borrow::Cow;

use crate::Name;
use crate::place::{PartitionKey, Place, SeriesIdentity};
use crate::record::{Feed, Temporality};
use crate::signal::SignalKind;
use crate::site::Site;
use crate::unit::{Conversion, Unit, conversion};

use super::labels::{self, Found, View, normal};
use super::row::{Reading, Target};
use super::{
    Mapping, Measured, ReadingRules, Refusal, Resolution, ResolvedSeries, Source, SourceMetric, Unmapped,
    UnmappedPolicy,
};

/// Mapping and site together: what ingest asks once per new series.
#[derive(Debug, Clone, PartialEq)]
pub struct Resolver {
    mapping: Mapping,
    site: Site,
}

/// A unit suffix of a name: the name without it, and the unit that it says.
struct Suffixed<'a> {
    base: &'a str,
    unit: Option<Unit>,
}

impl Resolver {
    /// From a mapping and a site.
    pub fn new(mapping: Mapping, site: Site) -> Self {
        Self { mapping, site }
    }

    /// The mapping in force.
    pub fn mapping(&self) -> &Mapping {
        &self.mapping
    }

    /// The site in force.
    pub fn site(&self) -> &Site {
        &self.site
    }

    /// What a metric is, in which unit, and where.
    pub fn resolve(&self, metric: &SourceMetric<'_>) -> Resolution {
        let view = View::new(metric.labels, &self.mapping.replica_labels);
        let name = normal(metric.name);
        let source = self.source(metric.source, &view);
        let source_name = source.map_or(metric.source, |source| &source.name);
        for candidate in spellings(&name) {
            let row = self.mapping.row(metric.source, source_name, candidate.base, &view);
            let reading = match row.map(|row| &row.target) {
                Some(Target::Ignored(reason)) => return Resolution::Ignored(reason.clone()),
                Some(Target::Signal(reading)) => Cow::Borrowed(&**reading),
                None if self.mapping.measured(candidate.base).is_some() => {
                    Cow::Owned(Reading::of(candidate.base))
                }
                None => continue,
            };
            let found =
                Matched { metric, view: &view, name: &name, source, source_name, suffix: candidate.unit };
            return self.resolve_reading(&found, &reading);
        }
        self.unmapped(metric, &view, source, source_name)
    }

    /// The first source of the mapping whose protocol and labels fit.
    fn source(&self, protocol: &str, labels: &View<'_>) -> Option<&Source> {
        self.mapping.sources.iter().find(|source| {
            // A source without protocol and conditions is the protocol of its name.
            let any = source.protocol.is_none() && source.conditions.is_empty();
            let wanted = source.protocol.as_ref().or(any.then_some(&source.name));
            wanted.is_none_or(|wanted| **wanted == *protocol)
                && source.conditions.iter().all(|(label, condition)| condition.holds(labels.get(label)))
        })
    }

    fn resolve_reading(&self, matched: &Matched<'_>, reading: &Reading) -> Resolution {
        // Rows name signals that exist: documents are checked when read, compiled-in rows by a test.
        let Some(mut measured) = self.mapping.measured(&reading.signal) else {
            return self.unmapped(matched.metric, matched.view, matched.source, matched.source_name);
        };
        let (unit, said) = match self.source_unit(matched, reading, &measured) {
            Ok(unit) => unit,
            Err(refusal) => return Resolution::Refused(refusal),
        };
        let conversion = match self.conversion(unit, &mut measured) {
            Some(conversion) => conversion.of_scaled(reading.scale, reading.offset),
            None => {
                return Resolution::Refused(Refusal::UnitMismatch {
                    signal: measured.name,
                    name: matched.metric.name.to_owned(),
                    source_name: matched.source_name.to_owned(),
                    unit: unit.to_string(),
                    expected: measured.unit.symbol(),
                });
            }
        };
        let mut found = labels::place(matched.view, &measured, &self.site);
        found.sensor = sensor(matched.view, reading, found.sensor.take());
        let series = self.series(matched, measured, reading, conversion, said, found);
        Resolution::Series(Box::new(series))
    }

    /// The unit at the source, and how the source spells it. A user's word counts most, then the source's own, then
    /// the name's suffix, then the row's.
    fn source_unit(
        &self,
        matched: &Matched<'_>,
        reading: &Reading,
        measured: &Measured,
    ) -> Result<(Unit, String), Refusal> {
        let metric = matched.metric;
        if let Some(unit) = self.mapping.units.get(matched.name) {
            return Ok((*unit, metric.unit.unwrap_or_default().to_owned()));
        }
        let spelt = metric.unit.map(str::trim).filter(|unit| !unit.is_empty());
        let Some(spelt) = spelt else {
            let unit = matched.suffix.or(reading.unit).unwrap_or(measured.unit);
            return Ok((unit, String::new()));
        };
        let unit = Unit::parse(spelt).ok_or_else(|| Refusal::UnknownUnit {
            signal: measured.name.clone(),
            name: metric.name.to_owned(),
            source_name: matched.source_name.to_owned(),
            unit: spelt.to_owned(),
            near: Unit::nearest(spelt),
        })?;
        match matched.suffix {
            Some(suffix) if suffix != unit => Err(Refusal::UnitContradiction {
                name: metric.name.to_owned(),
                source_name: matched.source_name.to_owned(),
                by_name: suffix.to_string(),
                unit: spelt.to_owned(),
            }),
            Some(_) | None => Ok((unit, spelt.to_owned())),
        }
    }

    /// To the signal's unit, or to that of the sibling which is measured in the source's.
    fn conversion(&self, unit: Unit, measured: &mut Measured) -> Option<Conversion> {
        if let Ok(conversion) = conversion(unit, measured.unit) {
            return Some(conversion);
        }
        let sibling = self.mapping.measured(measured.other_unit?)?;
        let conversion = conversion(unit, sibling.unit).ok()?;
        *measured = sibling;
        Some(conversion)
    }

    fn series(
        &self,
        matched: &Matched<'_>,
        measured: Measured,
        reading: &Reading,
        conversion: Conversion,
        source_unit: String,
        found: Found,
    ) -> ResolvedSeries {
        let place = self.place(&found);
        let rack = found.rack.as_deref().and_then(|rack| self.site.racks.get(rack));
        let on = found.cooling_loop.as_deref().and_then(|name| self.site.loops.get(name));
        let usual = rack
            .map(|rack| &rack.usual)
            .or_else(|| on.map(|on| &on.usual))
            .and_then(|usual| usual.get(&measured.name));
        let by_table = if place.rack.is_some() { measured.rack_usual } else { measured.usual };
        let counter = measured.kind == SignalKind::Counter;
        let state_numbers =
            reading.states.iter().filter_map(|(word, code)| Some((word.parse().ok()?, *code))).collect();
        let unit: Name = measured.unit.symbol().into();
        ResolvedSeries {
            partition: PartitionKey::of(&place),
            cooling_loop: place.cooling_loop.clone(),
            identity: SeriesIdentity::new(place, measured.name, found.sensor),
            declared: found.declared,
            unit: unit.clone(),
            rules: ReadingRules {
                unit,
                conversion,
                span: measured.span,
                usual: usual.copied().or(by_table),
                kind: measured.kind,
                scrape_grid: matched.source.and_then(|source| source.scrape_grid),
                states: reading.states.clone(),
                state_numbers,
                dcgm_blanks: reading.dcgm_blanks,
            },
            temporality: if counter { Temporality::Cumulative } else { Temporality::Gauge },
            feed: feed(matched.source, matched.metric.source),
            source: matched.source_name.into(),
            source_name: matched.metric.name.into(),
            source_unit: source_unit.into(),
            labels: matched.view.rest(),
            workload: matched.view.workload(),
        }
    }

    fn place(&self, found: &Found) -> Place {
        Place {
            site: found.site.clone().unwrap_or_else(|| self.site.name.clone()),
            cooling_loop: found.cooling_loop.clone(),
            rack: found.rack.clone(),
            node: found.node.clone(),
            device: found.device.clone(),
        }
    }

    fn unmapped(
        &self,
        metric: &SourceMetric<'_>,
        view: &View<'_>,
        source: Option<&Source>,
        source_name: &str,
    ) -> Resolution {
        if self.mapping.unmapped == UnmappedPolicy::Count {
            return Resolution::Unmapped(Unmapped::Count);
        }
        let found = labels::unmapped_place(view);
        let place = self.place(&found);
        let source_unit = metric.unit.unwrap_or_default();
        let counter = metric.name.ends_with("_total");
        Resolution::Unmapped(Unmapped::Keep(Box::new(ResolvedSeries {
            partition: PartitionKey::of(&place),
            cooling_loop: None,
            identity: SeriesIdentity::new(place, metric.name.into(), found.sensor),
            declared: false,
            unit: source_unit.into(),
            rules: ReadingRules {
                unit: source_unit.into(),
                conversion: Conversion::IDENTITY,
                span: None,
                usual: None,
                kind: if counter { SignalKind::Counter } else { SignalKind::Gauge },
                scrape_grid: source.and_then(|source| source.scrape_grid),
                states: Vec::new(),
                state_numbers: Vec::new(),
                dcgm_blanks: metric.name.starts_with("DCGM_") || metric.name.starts_with("dcgm_"),
            },
            temporality: if counter { Temporality::Cumulative } else { Temporality::Gauge },
            feed: feed(source, metric.source),
            source: source_name.into(),
            source_name: metric.name.into(),
            source_unit: source_unit.into(),
            labels: view.rest(),
            workload: view.workload(),
        })))
    }
}

/// A metric whose row was found.
struct Matched<'a> {
    metric: &'a SourceMetric<'a>,
    view: &'a View<'a>,
    name: &'a str,
    source: Option<&'a Source>,
    source_name: &'a str,
    suffix: Option<Unit>,
}

/// DSX publishes on change and again every 100 s; other protocols do not say.
fn feed(source: Option<&Source>, protocol: &str) -> Feed {
    const DSX_REPUBLISH: crate::Microseconds = crate::Microseconds::from_seconds(100);
    match source {
        Some(source) if source.feed != Feed::Unsaid => source.feed,
        _ if protocol == "dsx_bms" => Feed::OnChange { republish: DSX_REPUBLISH },
        _ => Feed::Unsaid,
    }
}

/// The row's own sensor, the label's, or both.
fn sensor(view: &View<'_>, reading: &Reading, by_label: Option<Name>) -> Option<Name> {
    let by_row_label = reading.sensor_label.as_ref().and_then(|label| view.take(&[label]));
    let by_label = by_row_label.map(Name::from).or(by_label);
    match (&reading.sensor, by_label) {
        (Some(fixed), Some(label)) => Some(format!("{fixed}/{label}").into()),
        (Some(sensor), None) => Some(sensor.clone()),
        (None, label) => label,
    }
}

/// The name as it is, and without what it says about its unit: `_total`, then the longest unit suffix first.
fn spellings(name: &str) -> impl Iterator<Item = Suffixed<'_>> {
    let bare = name.strip_suffix("_total");
    let counted = bare.map(|base| Suffixed { base, unit: None });
    let stem = bare.unwrap_or(name);
    let suffixes = stem.match_indices('_').filter_map(|(at, _)| {
        let unit = Unit::parse(&stem[at + 1..])?;
        (at > 0).then_some(Suffixed { base: &stem[..at], unit: Some(unit) })
    });
    [Suffixed { base: name, unit: None }].into_iter().chain(counted).chain(suffixes)
}
