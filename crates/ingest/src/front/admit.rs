//! New keys: what the mapping says about them, and whether there is room for another series.

use std::sync::Arc;

use telemetry::mapping::{Resolution, ResolvedSeries, Resolver, SourceMetric, Unmapped};
use telemetry::place::Place;
use telemetry::record::Temporality;
use telemetry::{EventTime, Labels, Name};

use super::Front;
use super::newcomers::Varied;
use super::routes::{Route, Stored};
use super::taking::Bucket;
use crate::decoded::SourceKind;
use crate::files::SignalCheck;
use crate::key::{self, SourceLabels};
use crate::report::{Reason, Report};

/// Bytes of one label's name and value together.
const LABEL_BYTES_MAX: usize = 8 << 10;

/// What runs where, as the labels of a new key say it.
pub(super) struct Runs {
    place: Place,
    workload: Labels,
}

impl Front {
    /// Where the samples of a key go that was never seen, and what runs there.
    ///
    /// # Errors
    /// The route of a key whose samples are not stored.
    pub(super) fn admit(
        &mut self,
        source: &'static str,
        key: &[u8],
        tick: EventTime,
        report: &mut Report,
    ) -> Result<(Stored, Runs), Route> {
        let Ok(labels) = key::read(key) else { return Err(Route::Ignored) };
        if let Some(message) = self.too_many_labels(&labels) {
            return Err(Route::Refused { reason: Reason::Labels, message });
        }
        if labels.kind == SourceKind::Unspecified {
            let message =
                "it has no aggregation temporality: set CUMULATIVE or DELTA at its exporter".to_owned();
            return Err(Route::Refused { reason: Reason::Temporality, message });
        }
        let (unit, kind) = self.told(source, &labels);
        let pairs: Vec<(&str, &str)> =
            labels.labels.iter().map(|(name, value)| (&**name, &**value)).collect();
        let metric = SourceMetric { source, name: labels.name, unit: unit.as_deref(), labels: &pairs };
        let (mut resolved, unmapped) = match self.resolver.resolve(&metric) {
            Resolution::Series(resolved) => (*resolved, false),
            Resolution::Unmapped(Unmapped::Keep(resolved)) => (*resolved, true),
            Resolution::Unmapped(Unmapped::Count) => return Err(Route::Counted),
            Resolution::Ignored(_) => return Err(Route::Ignored),
            Resolution::Refused(refusal) => {
                return Err(Route::Refused { reason: Reason::Unit, message: refusal.to_string() });
            }
        };
        match kind {
            SourceKind::Counter => resolved.temporality = Temporality::Cumulative,
            SourceKind::Delta => resolved.temporality = Temporality::Delta,
            SourceKind::Unsaid | SourceKind::Gauge | SourceKind::Unspecified => {}
        }
        self.tell_apart(&mut resolved, report);
        if self.registry.find(&resolved).is_none() {
            self.newcomers.entry(source).or_default().see(&pairs);
            if let Some(refused) = self.over_limit(&resolved, source, &pairs, unmapped, tick) {
                return Err(refused);
            }
            report.new_series += 1;
        }
        let series = self.registry.register(&resolved, unmapped);
        let ResolvedSeries { identity, workload, rules, mut source_name, .. } = resolved;
        self.registry.names.share_name(&mut source_name);
        let registered = self.registry.get(series);
        let (partition, id) = (registered.partition, registered.declaration.id);
        if self.buckets.len() <= partition.0 as usize {
            self.buckets.resize_with(partition.0 as usize + 1, Bucket::default);
        }
        let stored = Stored {
            confirmed: false,
            partition,
            id,
            series,
            unmapped,
            workload: Vec::new(),
            rules: self.registry.share_rules(rules),
            source_name,
        };
        Ok((stored, Runs { place: identity.place, workload }))
    }

    fn too_many_labels(&self, labels: &SourceLabels<'_>) -> Option<String> {
        let (count, limit) = (labels.labels.len(), self.limits.labels_per_series);
        if count > limit {
            return Some(format!(
                "the series has {count} labels, more than {limit}: drop some, or raise ingest.labels_per_series_max"
            ));
        }
        let (name, _) =
            labels.labels.iter().find(|(name, value)| name.len() + value.len() > LABEL_BYTES_MAX)?;
        Some(format!(
            "label {:?} is longer than {LABEL_BYTES_MAX} bytes: shorten or drop it",
            shortened(name)
        ))
    }

    /// Unit and kind that a source says with the series, else with its metric's family.
    fn told(&self, source: &'static str, labels: &SourceLabels<'_>) -> (Option<String>, SourceKind) {
        let of = |name: &str| self.metadata.get(&(source, name.to_owned()));
        let family = of(labels.name).or_else(|| of(labels.name.strip_suffix("_total")?));
        let unit = match labels.unit {
            "" => family.map(|family| family.unit.clone()).filter(|unit| !unit.is_empty()),
            unit => Some(unit.to_owned()),
        };
        let kind = match labels.kind {
            SourceKind::Unsaid => family.map_or(SourceKind::Unsaid, |family| family.kind),
            kind => kind,
        };
        (unit, kind)
    }

    /// A second source of one signal and place, without a sensor's name, gets its own.
    fn tell_apart(&self, resolved: &mut ResolvedSeries, report: &mut Report) {
        if resolved.identity.sensor.is_some() {
            return;
        }
        let first = self.registry.find(resolved);
        let first = first.map(|number| self.registry.get(number).declaration.source.clone());
        if let Some(first) = first.filter(|first| *first != resolved.source) {
            report.note(|| {
                format!(
                    "{} comes from {first} and from {}: the second is kept as sensor {:?}; give their sensors names",
                    resolved.identity, resolved.source, &*resolved.source
                )
            });
            resolved.identity.sensor = Some(resolved.source.clone());
        }
    }

    /// Why one more series of this source is not kept, if it is not.
    fn over_limit(
        &mut self,
        resolved: &ResolvedSeries,
        protocol: &'static str,
        labels: &[(&str, &str)],
        unmapped: bool,
        tick: EventTime,
    ) -> Option<Route> {
        let census = self.registry.census(&resolved.source);
        if unmapped && census.unmapped >= self.limits.unmapped_series_per_source {
            return Some(Route::Counted);
        }
        let limit = self.limits.series_per_source;
        if census.series >= limit {
            let varied = self.newcomers.get(protocol).and_then(|newcomers| newcomers.most_varied(labels));
            let blame = varied.map_or_else(String::new, |Varied { label, values, series }| {
                format!("label {label:?} had {values} values in the last {series} new ones; ")
            });
            let message = format!(
                "source {} has {limit} series, as many as it may: {blame}drop some, or raise ingest.series_per_source_max",
                resolved.source
            );
            return Some(Route::Refused { reason: Reason::SeriesPerSource, message });
        }
        if self.new_series.0 != tick {
            self.new_series = (tick, 0);
        }
        self.new_series.1 += 1;
        let limit = self.limits.new_series_per_second;
        (self.new_series.1 > limit).then(|| {
            let message =
                format!("more than {limit} new series in one second: they are taken again in the next one");
            Route::Refused { reason: Reason::NewSeries, message }
        })
    }

    /// Ties a new route to its series and to the workload labels of its place.
    pub(super) fn link(&mut self, number: u32, runs: &Runs) {
        let Route::Stored(stored) = self.routes.route_mut(number) else { return };
        let Runs { place, workload } = runs;
        let mut told: Vec<(u32, Name)> =
            workload.iter().map(|(name, value)| (self.workloads.slot(place, name), value.clone())).collect();
        let registered = self.registry.get_mut(stored.series);
        let gained: Vec<u32> =
            told.iter().map(|(slot, _)| *slot).filter(|slot| !registered.slots.contains(slot)).collect();
        // What a series said before and says no more has ended.
        let ended = registered.slots.iter().filter(|slot| told.iter().all(|(other, _)| other != *slot));
        let ended: Vec<(u32, Name)> = ended.map(|slot| (*slot, Name::from(""))).collect();
        told.extend(ended);
        stored.workload = told;
        registered.slots.extend(&gained);
        let earlier = std::mem::take(&mut registered.routes);
        for route in &earlier {
            if let Route::Stored(stored) = self.routes.route_mut(*route) {
                stored.workload.extend(gained.iter().map(|slot| (*slot, Name::from(""))));
            }
        }
        let registered_routes = earlier.into_iter().chain([number]).collect();
        if let Route::Stored(stored) = self.routes.route(number) {
            self.registry.get_mut(stored.series).routes = registered_routes;
        }
    }
}

fn shortened(text: &str) -> String {
    text.chars().take(40).collect()
}

/// A check for [`files::open`](crate::files::open): refuses series that the mapping does not know, with the nearest
/// name that it does.
pub fn signal_check(resolver: Arc<Resolver>) -> SignalCheck {
    Box::new(move |labels| {
        let pairs: Vec<(&str, &str)> =
            labels.labels.iter().map(|(name, value)| (&**name, &**value)).collect();
        let unit = Some(labels.unit).filter(|unit| !unit.is_empty());
        match resolver.resolve(&SourceMetric {
            source: crate::files::SOURCE,
            name: labels.name,
            unit,
            labels: &pairs,
        }) {
            Resolution::Series(_) => Ok(()),
            Resolution::Unmapped(_) => Err(resolver.mapping().unknown_signal(labels.name)),
            Resolution::Refused(refusal) => Err(refusal.to_string()),
            Resolution::Ignored(why) => Err(format!("{:?} {why}", labels.name)),
        }
    })
}
