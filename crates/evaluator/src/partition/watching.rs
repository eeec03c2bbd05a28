//! At the end of a block: groups of signals that no physics ties together, row by row as in a replay of the same rows.
//!
//! settled readings of a rack or loop → **watching** → findings

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use telemetry::place::Place;
use telemetry::{EventTime, Labels};

use super::{Environment, Partition};
use crate::block::BLOCK;
use crate::detectors;
use crate::effect::Effects;
use crate::finding::{Anomaly, FindingKey, Outlet};
use crate::plan::touches;
use crate::watch::{ALARM_SCORE, AlarmKind, Answer, Watch};

/// A group at one place.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Watched {
    watch: Watch,
    /// Its episode is told and not over.
    is_told: bool,
}

/// Readings of one signal at one time: of several sensors or devices the mean.
#[derive(Debug, Default, Clone, Copy)]
struct Readings {
    sum: f64,
    count: u32,
}

/// What a row says about the episode.
enum News {
    Begins(Answer),
    Ends,
}

impl Watched {
    /// Takes a row. Where nothing can be said an episode goes on: silence is no good news.
    fn row(&mut self, readings: &[Option<f64>]) -> Option<News> {
        let answer = self.watch.row(readings);
        answer.score?;
        let goes_on = match self.watch.group().alarm {
            AlarmKind::State => answer.alarm,
            AlarmKind::Episode => answer.episode_start || self.watch.is_in_episode(),
        };
        let is_told = std::mem::replace(&mut self.is_told, goes_on);
        match (is_told, goes_on) {
            (false, true) => Some(News::Begins(answer)),
            (true, false) => Some(News::Ends),
            (true, true) | (false, false) => None,
        }
    }
}

impl Partition {
    /// Gives all rows of the block that ends at `end` to the groups of their places.
    pub(super) fn look_at_watches(
        &mut self,
        end: EventTime,
        environment: Environment<'_>,
        effects: &mut Effects,
    ) {
        let detector = detectors::known("watch");
        for number in 0..self.layout.watches.len() {
            let planned = &self.layout.watches[number];
            let Some(group) = environment.in_force.watches.get(planned.group) else { continue };
            let place = planned.place.clone();
            let is_worked_on =
                place.rack.as_ref().and_then(|rack| self.racks.get(rack)).is_some_and(|state| {
                    state.maintenance.is_some_and(|work| work.touches(end - BLOCK, end))
                });
            if is_worked_on {
                continue;
            }
            let rows = self.rows_of(&planned.members, end);
            let key = FindingKey {
                detector: detector.name.into(),
                place: place.clone(),
                signal: Some(group.name.clone()),
                sensor: None,
            };
            let watched = self
                .watches
                .entry((group.name.clone(), place))
                .or_insert_with(|| Watched { watch: Watch::new(group.clone()), is_told: false });
            let mut told = Vec::new();
            for (time, readings) in rows {
                let mean = |of: &Readings| (of.count > 0).then(|| of.sum / f64::from(of.count));
                let readings: Vec<Option<f64>> = readings.iter().map(mean).collect();
                told.extend(watched.row(&readings).map(|news| (time, news)));
            }
            let Self { findings, alerts, racks, .. } = self;
            let suppressed = |place: &Place| Self::suppressed(racks, place, end);
            for (time, news) in told {
                let mut outlet = Outlet { alerts, effects, suppressed: &suppressed };
                match news {
                    News::Begins(answer) => {
                        let evidence = Labels::from([
                            ("group".into(), group.name.clone()),
                            ("signals".into(), group.signals.join(", ").into()),
                        ]);
                        let anomaly = Anomaly {
                            residual: answer.score,
                            threshold: Some(ALARM_SCORE),
                            unit: "1".into(),
                            ..Anomaly::direct(detector, key.clone(), time, end, evidence)
                        };
                        findings.open(detector, anomaly, &mut outlet);
                    }
                    News::Ends => findings.close(detector, &key, time, &mut outlet),
                }
            }
        }
    }

    /// The readings of the block that ends at `end` by time, each row in the order of a group's signals.
    fn rows_of(&self, members: &[Vec<u32>], end: EventTime) -> BTreeMap<EventTime, Vec<Readings>> {
        let mut rows: BTreeMap<EventTime, Vec<Readings>> = BTreeMap::new();
        for (member, numbers) in members.iter().enumerate() {
            for number in numbers {
                for (time, value) in self.series[*number as usize].readings(end - BLOCK, end) {
                    let row = rows.entry(time).or_insert_with(|| vec![Readings::default(); members.len()]);
                    row[member].sum += value;
                    row[member].count += 1;
                }
            }
        }
        rows
    }

    /// Keeps what is watched as before: a group that has changed or gone, or whose place has, is forgotten with its
    /// finding.
    pub(super) fn follow_watches(&mut self, environment: Environment<'_>, effects: &mut Effects) {
        let planned = &self.layout.watches;
        let groups = &environment.in_force.watches;
        let is_planned = |(name, place): &(telemetry::Name, Place), watched: &Watched| {
            planned.iter().any(|planned| {
                let group = &groups[planned.group];
                group.name == *name && planned.place == *place && group == watched.watch.group()
            })
        };
        let gone: Vec<_> = self
            .watches
            .iter()
            .filter(|(key, watched)| !is_planned(key, watched))
            .map(|(key, _)| key.clone())
            .collect();
        let time = environment.watermark.or(self.position).unwrap_or(EventTime::MINIMUM);
        gone.into_iter().for_each(|key| self.forget_watch(key, time, effects));
    }

    /// People have worked at a place: what is usual there is learnt anew.
    pub(super) fn forget_watches(&mut self, place: &Place, time: EventTime, effects: &mut Effects) {
        let touched: Vec<_> = self.watches.keys().filter(|(_, of)| touches(of, place)).cloned().collect();
        touched.into_iter().for_each(|key| self.forget_watch(key, time, effects));
    }

    fn forget_watch(&mut self, key: (telemetry::Name, Place), time: EventTime, effects: &mut Effects) {
        if self.watches.remove(&key).is_some_and(|watched| watched.is_told) {
            let detector = detectors::known("watch");
            let (group, place) = key;
            let key = FindingKey { detector: detector.name.into(), place, signal: Some(group), sensor: None };
            self.close(detector, &key, time, effects);
        }
    }
}
