//! The front: gives series their numbers and readings their flags, the same for every source.
//!
//! `decoded` → **front** → records for the log. Per new series it asks the mapping; per sample it follows a route that
//! the series' bytes lead to.

mod registry; // which series exist, and their numbers
mod routes; // from a key to where its samples go
mod workload; // what runs where

use std::collections::HashMap;
use std::sync::Arc;

use telemetry::arrival::flag_of;
use telemetry::mapping::{Resolution, ResolvedSeries, Resolver, SourceMetric, Unmapped};
use telemetry::record::{
    Body, Flag, PartitionId, PlaceEvent, Record, SampleBatch, SeriesDeclaration, SeriesId, Temporality,
};
use telemetry::{EventTime, Name};

use crate::decoded::{DecodeError, Decoded, Metadata, Point, PointKind, SourceKind};
use crate::files::SignalCheck;
use crate::key::{self, SourceLabels};
use crate::report::{Reason, Report};
use registry::{Registered, Registry};
use routes::{Route, Routes, Stored};
use workload::{Change, Workloads};

/// Bytes of one label's name and value together.
const LABEL_BYTES_MAX: usize = 8 << 10;

/// Metric families whose metadata is kept.
const FAMILIES_MAX: usize = 100_000;

/// Keys that are remembered for each series that a source may have: labels such as pod names change, and each change
/// is another key of the same series.
const KEYS_PER_SERIES: usize = 2;

const OUT_OF_TIME: &str =
    "a point has no time, or one outside the years 1 to 9999: send the time of the reading";

/// What one source may bring.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// `ingest.labels_per_series_max`.
    pub labels_per_series: usize,
    /// `ingest.series_per_source_max`.
    pub series_per_source: usize,
    /// `ingest.unmapped_series_max`: series of unmapped metrics that are kept; beyond, they are only counted.
    pub unmapped_series_per_source: usize,
    /// New series in one second of ticks; a burst of label values is refused, not stored.
    pub new_series_per_second: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            labels_per_series: 64,
            series_per_source: 1_000_000,
            unmapped_series_per_source: 10_000,
            new_series_per_second: 1_000_000,
        }
    }
}

/// Gives series their numbers and readings their flags.
///
/// A series' declaration goes into every [`Taken`] that has samples of it until one of them is
/// [confirmed](Self::confirm) to be in the log. So each append stands on its own: whichever of several in flight
/// succeed, no sample is in the log without a declaration before it. A declaration may thus occur twice; the second
/// says the same. It also occurs again, with the same number, when site or mapping change what it says.
#[derive(Debug)]
pub struct Front {
    resolver: Arc<Resolver>,
    limits: Limits,
    registry: Registry,
    routes: Routes,
    workloads: Workloads,
    metadata: HashMap<(&'static str, String), Metadata>,
    /// Samples by partition, empty between two requests.
    buckets: Vec<Bucket>,
    /// New series in the second of this tick.
    new_series: (EventTime, usize),
    /// Number of the request at hand, from 1.
    requests: u64,
    /// The route after the one that was found last.
    guess: usize,
}

/// Samples of one partition.
#[derive(Debug, Default)]
struct Bucket {
    samples: Vec<(EventTime, SeriesId, f64, Flag)>,
    flagged: bool,
    unsorted: bool,
}

/// What a request becomes.
#[derive(Debug)]
pub struct Taken {
    /// For the log, in this order: declarations, events, samples (one record a partition, sorted by time and series).
    pub records: Vec<Record>,
    /// The greatest event time that is not in the future.
    pub latest: Option<EventTime>,
    /// What the sender is told.
    pub report: Report,
    /// To confirm or withdraw what was declared.
    pub ticket: Ticket,
}

/// What the log must hold before it need not be said again.
#[derive(Debug, Default)]
#[must_use = "confirm it once the records are synced, or withdraw it"]
pub struct Ticket {
    declared: Vec<u32>,
    changes: Vec<Change>,
}

impl Front {
    /// A front that knows no series.
    pub fn new(resolver: impl Into<Arc<Resolver>>, limits: Limits) -> Self {
        Self {
            resolver: resolver.into(),
            limits,
            registry: Registry::default(),
            routes: Routes::new(),
            workloads: Workloads::default(),
            metadata: HashMap::new(),
            buckets: Vec::new(),
            new_series: (EventTime::MINIMUM, 0),
            requests: 0,
            guess: 0,
        }
    }

    /// Takes over the series that the log and its snapshot hold, in place of all that were known.
    pub fn restore(&mut self, declarations: impl Iterator<Item = (PartitionId, SeriesDeclaration)>) {
        self.registry = Registry::default();
        self.routes.clear();
        for (partition, declaration) in declarations {
            let unmapped = self.resolver.mapping().unit_of(&declaration.identity.signal).is_none();
            self.registry.restore(partition, declaration, unmapped);
        }
    }

    /// Takes over what runs where, so that a restart tells no change that was told before.
    pub fn restore_event(&mut self, event: &PlaceEvent) {
        self.workloads.restore(event);
    }

    /// From here on another site or mapping holds. Series keep their numbers; one that is now judged otherwise is
    /// declared again with its next sample, one that now belongs to another partition gets a number there.
    pub fn reconfigure(&mut self, resolver: impl Into<Arc<Resolver>>) {
        self.resolver = resolver.into();
        self.forget_routes();
    }

    fn forget_routes(&mut self) {
        self.routes.clear();
        self.registry.forget_routes();
    }

    /// The records of this ticket are synced.
    pub fn confirm(&mut self, ticket: Ticket) {
        for series in ticket.declared {
            self.registry.get_mut(series).confirmed = true;
        }
    }

    /// The records of this ticket did not get into the log: what they said will be said again.
    pub fn withdraw(&mut self, ticket: Ticket) {
        for change in ticket.changes.iter().rev() {
            self.workloads.withdraw(change);
        }
    }

    /// Series of unmapped metrics that are kept.
    pub fn unmapped_series(&self) -> u64 {
        self.registry.unmapped_series() as u64
    }

    /// Turns a request into records.
    ///
    /// - `tick`: the last tick. Readings more than 60 s ahead of it are flagged [`Flag::Future`]. On the telemetry's
    ///   own clock, where readings move time, give a time that none is ahead of; before the first tick
    ///   [`EventTime::MINIMUM`], and none is.
    ///
    /// # Errors
    /// [`DecodeError::Labels`] when a label set breaks the protocol's rules: then nothing of the request is taken.
    pub fn take_in(&mut self, decoded: &Decoded, tick: EventTime) -> Result<Taken, DecodeError> {
        self.requests += 1;
        self.learn(decoded);
        let mut taking = Taking {
            taken: Taken {
                records: Vec::new(),
                latest: None,
                report: Report {
                    unsupported: decoded.unsupported,
                    absent: decoded.absent,
                    ..Report::default()
                },
                ticket: Ticket::default(),
            },
            events: Vec::new(),
            tick: if tick == EventTime::MINIMUM { EventTime::from_unix_micros(i64::MAX) } else { tick },
        };
        let routes = self.find_routes(decoded, tick, &mut taking.taken.report)?;
        taking.see(decoded.latest_report);
        let mut texts = decoded.texts().iter();
        for point in decoded.points() {
            let text =
                if point.kind == PointKind::Text { texts.next().map_or("", |(_, text)| text) } else { "" };
            let number = routes[point.series as usize];
            match self.routes.route_mut(number) {
                Route::Stored(_) if point.kind == PointKind::OutOfTime => {
                    let series =
                        || (key::describe(decoded.key(point.series as usize)), OUT_OF_TIME.to_owned());
                    taking.taken.report.refuse(Reason::Time, 1, series);
                }
                Route::Stored(stored) => {
                    taking.store(point, text, stored, &mut self.workloads, &mut self.buckets);
                    if !stored.confirmed {
                        taking.declare(stored, self.registry.get_mut(stored.series), self.requests);
                    }
                }
                Route::Counted => taking.taken.report.unmapped_counted += 1,
                Route::Ignored => taking.taken.report.ignored += 1,
                Route::Refused { reason, message } => {
                    let series = || (key::describe(decoded.key(point.series as usize)), message.clone());
                    taking.taken.report.refuse(*reason, 1, series);
                }
            }
        }
        if taking.taken.report.refused.contains_key(&Reason::NewSeries) {
            self.forget_postponed(&routes);
        }
        let Taking { mut taken, mut events, .. } = taking;
        taken.records.append(&mut events);
        self.empty_buckets(&mut taken.records);
        Ok(taken)
    }

    /// Keeps what a request says about metrics. A new unit may change what known series are.
    fn learn(&mut self, decoded: &Decoded) {
        for metadata in &decoded.metadata {
            let family = (decoded.source, metadata.name.clone());
            if self.metadata.get(&family) == Some(metadata) || self.metadata.len() >= FAMILIES_MAX {
                continue;
            }
            if !metadata.unit.is_empty() {
                self.forget_routes();
            }
            self.metadata.insert(family, metadata.clone());
        }
    }

    /// The route of each series of a request. New ones are looked at all before any is admitted, so that a request
    /// that is refused whole leaves nothing behind.
    fn find_routes(
        &mut self,
        decoded: &Decoded,
        tick: EventTime,
        report: &mut Report,
    ) -> Result<Vec<u32>, DecodeError> {
        const NEW: u32 = u32::MAX;
        if self.routes.is_full(
            decoded.series_count(),
            decoded.keys_bytes(),
            KEYS_PER_SERIES * self.limits.series_per_source,
        ) {
            self.forget_routes();
        }
        let mut routes = Vec::with_capacity(decoded.series_count());
        let mut new = Vec::new();
        for series in 0..decoded.series_count() {
            let found = self.routes.find(decoded.source, decoded.key(series), self.guess);
            if let Some(number) = found {
                self.guess = number as usize + 1;
            } else {
                decoded.labels(series).map_err(|reason| DecodeError::Labels {
                    source_name: decoded.source,
                    series: key::describe(decoded.key(series)),
                    reason,
                })?;
                new.push(series);
            }
            routes.push(found.unwrap_or(NEW));
        }
        for series in new {
            let key = decoded.key(series);
            routes[series] = match self.routes.find(decoded.source, key, usize::MAX) {
                Some(number) => number,
                None => {
                    let route = self.admit(decoded.source, key, tick, report);
                    let number = self.routes.insert(decoded.source, key, route);
                    self.link(number);
                    number
                }
            };
        }
        Ok(routes)
    }

    /// Where the samples of a key go that was never seen.
    fn admit(&mut self, source: &'static str, key: &[u8], tick: EventTime, report: &mut Report) -> Route {
        let Ok(labels) = key::read(key) else { return Route::Ignored };
        if let Some(message) = self.too_many_labels(&labels) {
            return Route::Refused { reason: Reason::Labels, message };
        }
        if labels.kind == SourceKind::Unspecified {
            let message =
                "the sum has no aggregation temporality: set CUMULATIVE or DELTA at its exporter".to_owned();
            return Route::Refused { reason: Reason::Temporality, message };
        }
        let (unit, kind) = self.told(source, &labels);
        let pairs: Vec<(&str, &str)> =
            labels.labels.iter().map(|(name, value)| (&**name, &**value)).collect();
        let metric = SourceMetric { source, name: labels.name, unit: unit.as_deref(), labels: &pairs };
        let (mut resolved, unmapped) = match self.resolver.resolve(&metric) {
            Resolution::Series(resolved) => (*resolved, false),
            Resolution::Unmapped(Unmapped::Keep(resolved)) => (*resolved, true),
            Resolution::Unmapped(Unmapped::Count) => return Route::Counted,
            Resolution::Ignored(_) => return Route::Ignored,
            Resolution::Refused(refusal) => {
                return Route::Refused { reason: Reason::Unit, message: refusal.to_string() };
            }
        };
        match kind {
            SourceKind::Counter => resolved.temporality = Temporality::Cumulative,
            SourceKind::Delta => resolved.temporality = Temporality::Delta,
            SourceKind::Unsaid | SourceKind::Gauge | SourceKind::Unspecified => {}
        }
        self.tell_apart(&mut resolved, report);
        if self.registry.find(&resolved.identity).is_none() {
            if let Some(refused) = self.over_limit(&resolved, unmapped, tick) {
                return refused;
            }
            report.new_series += 1;
        }
        let series = self.registry.register(&resolved, unmapped);
        let registered = self.registry.get(series);
        let (partition, id) = (registered.partition, registered.id);
        if self.buckets.len() <= partition.0 as usize {
            self.buckets.resize_with(partition.0 as usize + 1, Bucket::default);
        }
        Route::Stored(Box::new(Stored {
            confirmed: false,
            partition,
            id,
            series,
            unmapped,
            workload: Vec::new(),
            resolved,
        }))
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
        let first =
            self.registry.find(&resolved.identity).map(|number| self.registry.get(number).source.clone());
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
    fn over_limit(&mut self, resolved: &ResolvedSeries, unmapped: bool, tick: EventTime) -> Option<Route> {
        let census = self.registry.census(&resolved.source);
        if unmapped && census.unmapped >= self.limits.unmapped_series_per_source {
            return Some(Route::Counted);
        }
        let limit = self.limits.series_per_source;
        if census.series >= limit {
            let message = format!(
                "source {} has {limit} series, as many as it may: drop some, or raise ingest.series_per_source_max",
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
    fn link(&mut self, number: u32) {
        let Route::Stored(stored) = self.routes.route_mut(number) else { return };
        let place = &stored.resolved.identity.place;
        let workload = &stored.resolved.workload;
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

    /// Keys that came too fast are looked at anew when they come again.
    fn forget_postponed(&mut self, routes: &[u32]) {
        for number in routes {
            if let Route::Refused { reason: Reason::NewSeries, .. } = self.routes.route(*number) {
                self.routes.forget(*number);
            }
        }
    }

    /// Appends one record a partition, in order of partitions.
    fn empty_buckets(&mut self, records: &mut Vec<Record>) {
        for (partition, bucket) in self.buckets.iter_mut().enumerate() {
            if !bucket.samples.is_empty() {
                let body = Body::Samples(bucket.take());
                records.push(Record { partition: PartitionId(partition as u32), body });
            }
        }
    }
}

/// A request on its way through the front.
struct Taking {
    taken: Taken,
    events: Vec<Record>,
    tick: EventTime,
}

impl Taking {
    /// A report of this time came.
    #[inline]
    fn see(&mut self, time: Option<EventTime>) {
        if time.is_some_and(|time| flag_of(time, self.tick) == Flag::Ok) {
            self.taken.latest = self.taken.latest.max(time);
        }
    }

    #[inline]
    fn store(
        &mut self,
        point: &Point,
        text: &str,
        stored: &mut Stored,
        workloads: &mut Workloads,
        buckets: &mut [Bucket],
    ) {
        let (value, judged) = match point.kind {
            PointKind::Reading => stored.resolved.judge(point.value),
            PointKind::Distrusted => match stored.resolved.judge(point.value) {
                (value, Flag::Sentinel) => (value, Flag::Sentinel),
                (value, _) => (value, Flag::Distrusted),
            },
            PointKind::Text => stored.resolved.judge_text(text),
            PointKind::Stale => (f64::NAN, Flag::Stale),
            PointKind::Null | PointKind::OutOfTime => (f64::NAN, Flag::Sentinel),
        };
        let time = stored.resolved.scrape_grid.map_or(point.time, |grid| point.time.window_start(grid));
        let flag = match flag_of(time, self.tick) {
            Flag::Ok => judged,
            ahead => ahead,
        };
        self.see(Some(time));
        let report = &mut self.taken.report;
        report.accepted += 1;
        report.unmapped_kept += u64::from(stored.unmapped);
        match flag {
            Flag::Ok => {}
            Flag::Unusual => report.unusual += 1,
            Flag::Late
            | Flag::Implausible
            | Flag::Sentinel
            | Flag::Future
            | Flag::Distrusted
            | Flag::Stale => {
                *report.quarantined.entry(flag).or_default() += 1;
            }
        }
        if flag != Flag::Future {
            for (slot, value) in &mut stored.workload {
                if let Some(change) = workloads.say(*slot, value, time) {
                    let event = workloads.event(&change, time, &stored.resolved.source_name);
                    self.events.push(Record { partition: stored.partition, body: Body::Event(event) });
                    self.taken.ticket.changes.push(change);
                }
            }
        }
        buckets[stored.partition.0 as usize].push(time, stored.id, value, flag);
    }

    /// Declares a series once a request until its declaration is known to be in the log.
    fn declare(&mut self, stored: &mut Stored, registered: &mut Registered, request: u64) {
        if registered.confirmed {
            stored.confirmed = true;
        } else if registered.declared_in != request {
            registered.declared_in = request;
            self.taken.ticket.declared.push(stored.series);
            let body = Body::Series(stored.resolved.declaration(stored.id));
            self.taken.records.push(Record { partition: stored.partition, body });
        }
    }
}

impl Bucket {
    #[inline]
    fn push(&mut self, time: EventTime, id: SeriesId, value: f64, flag: Flag) {
        self.flagged |= flag != Flag::Ok;
        self.unsorted |=
            self.samples.last().is_some_and(|(last, last_id, ..)| (*last, *last_id) > (time, id));
        self.samples.push((time, id, value, flag));
    }

    /// Its samples by (time, series), those of equal time and series in the order they came; it is empty then.
    fn take(&mut self) -> SampleBatch {
        if self.unsorted {
            self.samples.sort_by_key(|(time, id, ..)| (*time, *id));
        }
        let batch = SampleBatch {
            series: self.samples.iter().map(|(_, id, ..)| *id).collect(),
            time: self.samples.iter().map(|(time, ..)| *time).collect(),
            value: self.samples.iter().map(|(_, _, value, _)| *value).collect(),
            flag: if self.flagged {
                self.samples.iter().map(|(.., flag)| *flag).collect()
            } else {
                Vec::new()
            },
        };
        self.samples.clear();
        (self.flagged, self.unsorted) = (false, false);
        batch
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
