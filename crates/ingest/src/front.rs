//! The front: gives series their numbers and readings their flags, the same for every source.
//!
//! `decoded` → **front** → records for the log. Per new series it asks the mapping; per sample it follows a route that
//! the series' bytes lead to.

mod admit; // what becomes of a new key
mod newcomers; // which label makes new series
mod registry; // which series exist, and their numbers
mod routes; // from a key to where its samples go
mod taking; // a request on its way through
mod workload; // what runs where

use std::collections::HashMap;
use std::sync::Arc;

use telemetry::EventTime;
use telemetry::mapping::Resolver;
use telemetry::record::{Body, PartitionId, PlaceEvent, Record, SeriesDeclaration};

use crate::decoded::{DecodeError, Decoded, Metadata, Point, PointKind};
use crate::key;
use crate::report::{Reason, Report};
use newcomers::Newcomers;
use registry::{Declared, Registry};
use routes::{Route, Routes};
use taking::{Bucket, Taking};
use workload::{Change, Workloads};

pub use admit::signal_check;

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
/// A series' declaration goes into every [`Taken`] that has samples of it, or of one with a higher number in its
/// partition, until one of them is [confirmed](Self::confirm) to be in the log. So each append stands on its own:
/// whichever of several in flight succeed, no sample is in the log without a declaration before it, and numbers are
/// dense. A declaration may thus occur twice; the second says the same. It also occurs again, with the same number,
/// when site or mapping change what it says.
#[derive(Debug)]
pub struct Front {
    resolver: Arc<Resolver>,
    limits: Limits,
    registry: Registry,
    routes: Routes,
    workloads: Workloads,
    /// By protocol.
    newcomers: HashMap<&'static str, Newcomers>,
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
    declared: Vec<Declared>,
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
            newcomers: HashMap::new(),
            metadata: HashMap::new(),
            buckets: Vec::new(),
            new_series: (EventTime::MINIMUM, 0),
            requests: 0,
            guess: 0,
        }
    }

    /// Takes over the series that the log and its snapshot hold, in place of all that were known.
    pub fn restore(&mut self, declarations: impl Iterator<Item = (PartitionId, Arc<SeriesDeclaration>)>) {
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

    /// What names series and places now.
    pub fn resolver(&self) -> &Resolver {
        &self.resolver
    }

    fn forget_routes(&mut self) {
        self.routes.clear();
        self.registry.forget_routes();
    }

    /// The records of this ticket are synced.
    pub fn confirm(&mut self, ticket: Ticket) {
        for declared in ticket.declared {
            self.registry.confirm(declared);
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
        let (samples, of_histograms) =
            decoded.points().split_at(decoded.points().len() - decoded.histogram_points);
        self.take_points(&mut taking, decoded, samples, &routes, &mut texts);
        let accepted = taking.taken.report.accepted;
        self.take_points(&mut taking, decoded, of_histograms, &routes, &mut texts);
        taking.taken.report.histogram_points = taking.taken.report.accepted - accepted;
        if taking.taken.report.refused.contains_key(&Reason::NewSeries) {
            self.forget_postponed(&routes);
        }
        let Taking { mut taken, mut events, .. } = taking;
        taken.records.append(&mut events);
        self.empty_buckets(&mut taken.records);
        Ok(taken)
    }

    /// Takes points of a request in; `texts` are those that they and the points after them have.
    fn take_points<'a>(
        &mut self,
        taking: &mut Taking,
        decoded: &Decoded,
        points: &[Point],
        routes: &[u32],
        texts: &mut impl Iterator<Item = &'a (u32, Box<str>)>,
    ) {
        for point in points {
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
                        taking.declare(stored, &mut self.registry, self.requests);
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
                    let (route, runs) = match self.admit(decoded.source, key, tick, report) {
                        Ok((stored, runs)) => (Route::Stored(stored), Some(runs)),
                        Err(route) => (route, None),
                    };
                    let number = self.routes.insert(decoded.source, key, route);
                    if let Some(runs) = runs {
                        self.link(number, &runs);
                    }
                    number
                }
            };
        }
        Ok(routes)
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
