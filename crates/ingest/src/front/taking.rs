//! A request on its way through the front: its samples by partition, its events, its declarations.

use telemetry::EventTime;
use telemetry::arrival::flag_of;
use telemetry::record::{Body, Flag, Record, SampleBatch, SeriesId};

use super::Taken;
use super::registry::Registry;
use super::routes::Stored;
use super::workload::Workloads;
use crate::decoded::{Point, PointKind};

/// A request on its way through the front.
pub(super) struct Taking {
    pub taken: Taken,
    pub events: Vec<Record>,
    pub tick: EventTime,
}

impl Taking {
    /// A report of this time came.
    #[inline]
    pub fn see(&mut self, time: Option<EventTime>) {
        if time.is_some_and(|time| flag_of(time, self.tick) == Flag::Ok) {
            self.taken.latest = self.taken.latest.max(time);
        }
    }

    #[inline]
    pub fn store(
        &mut self,
        point: &Point,
        text: &str,
        stored: &mut Stored,
        workloads: &mut Workloads,
        buckets: &mut [Bucket],
    ) {
        let (value, judged) = match point.kind {
            PointKind::Reading => stored.rules.judge(point.value),
            PointKind::Distrusted => match stored.rules.judge(point.value) {
                (value, Flag::Sentinel) => (value, Flag::Sentinel),
                (value, _) => (value, Flag::Distrusted),
            },
            PointKind::Text => stored.rules.judge_text(text),
            PointKind::Stale => (f64::NAN, Flag::Stale),
            PointKind::Null | PointKind::OutOfTime => (f64::NAN, Flag::Sentinel),
        };
        let time = stored.rules.scrape_grid.map_or(point.time, |grid| point.time.window_start(grid));
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
                    let event = workloads.event(&change, time, &stored.source_name);
                    self.events.push(Record { partition: stored.partition, body: Body::Event(event) });
                    self.taken.ticket.changes.push(change);
                }
            }
        }
        buckets[stored.partition.0 as usize].push(time, stored.id, value, flag);
    }

    /// Declares a series, unless its declaration is known to be in the log.
    pub fn declare(&mut self, stored: &mut Stored, registry: &mut Registry, request: u64) {
        if registry.get(stored.series).is_confirmed {
            stored.confirmed = true;
            return;
        }
        let Taken { records, ticket, .. } = &mut self.taken;
        registry.declare(stored.series, request, |declaration, declared| {
            ticket.declared.push(declared);
            records.push(Record { partition: stored.partition, body: Body::Series(declaration) });
        });
    }
}

/// Samples of one partition.
#[derive(Debug, Default)]
pub(super) struct Bucket {
    pub samples: Vec<(EventTime, SeriesId, f64, Flag)>,
    flagged: bool,
    unsorted: bool,
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
    pub fn take(&mut self) -> SampleBatch {
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
