//! Groups of signals without physics over recorded files: an answer for every row.
//!
//! rows of one time → **watching** → lines of `replay`

use std::collections::BTreeMap;
use std::path::Path;

use evaluator::watch::{self, AlarmKind, Answer, Watch, WatchGroup};
use ingest::decoded::{Decoded, PointKind};
use ingest::files::Group;
use telemetry::mapping::{Mapping, Resolution, ResolvedSeries, Resolver, SourceMetric};
use telemetry::record::{Document, Flag};
use telemetry::{EventTime, Name};

use crate::arguments::FileArguments;
use crate::documents;
use crate::failure::Failure;

/// Reads a group. The signals that it declares are added to `mappings`, the columns that it names to the maps of
/// `files`, where nobody maps those columns otherwise.
///
/// # Errors
/// All that is wrong with it, with file and line.
pub fn read(
    path: &Path,
    mappings: &mut Vec<Document>,
    files: &mut FileArguments,
) -> Result<WatchGroup, Failure> {
    let told = |errors: Vec<telemetry::document::DocumentError>| {
        Failure::bad_input(errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
    };
    let document = documents::read_one(path)?;
    let known = evaluator::known_signals(&Mapping::with(mappings).map_err(told)?);
    let read = watch::read(&document, &known).map_err(told)?;
    mappings.extend(read.mapping(&document.name));
    for (column, signal) in &read.columns {
        let is_mapped =
            files.map.iter().any(|map| map.rsplit_once('=').is_some_and(|(mapped, _)| mapped == column));
        if !is_mapped {
            files.map.push(format!("{column}={signal}"));
        }
    }
    Ok(read.group)
}

/// The answer for a row.
#[derive(Debug, Clone, PartialEq)]
pub struct RowAnswer {
    /// Its number, from 0 over all files in the order that they were given.
    pub row: u64,
    /// Its time; `None` where it could not be read.
    pub time: Option<EventTime>,
    /// Its rack, where that is known.
    pub rack: Option<Name>,
    /// The group's name.
    pub group: Name,
    /// What is said of it.
    pub answer: Answer,
    /// Whether an alarm begins or ends with it.
    pub is_news: bool,
}

/// A group at every rack of the files.
pub struct Watching {
    group: WatchGroup,
    resolver: Resolver,
    /// The rack of rows that name none.
    rack: Option<Name>,
    /// Number of the first row of each file.
    first_rows: Vec<u64>,
    /// What series are, by their keys.
    series: BTreeMap<Vec<u8>, Series>,
    racks: BTreeMap<Name, Watched>,
}

/// A series of the files.
struct Series {
    rack: Option<Name>,
    /// Position in the group, and how its readings are understood, if the group has this signal.
    member: Option<(usize, Box<ResolvedSeries>)>,
}

/// The group at one rack.
struct Watched {
    watch: Watch,
    was_in_alarm: bool,
    /// Time of the latest rows; those of one time that come apart are the same readings again.
    latest: Option<EventTime>,
}

/// Readings of one signal at one time: of several sensors the mean.
#[derive(Default, Clone, Copy)]
struct Readings {
    sum: f64,
    count: u32,
}

impl Watching {
    /// Nothing was read yet.
    pub fn new(group: WatchGroup, resolver: Resolver, rack: Option<&str>) -> Self {
        let (first_rows, series, racks) = (Vec::new(), BTreeMap::new(), BTreeMap::new());
        Self { group, resolver, rack: rack.map(Into::into), first_rows, series, racks }
    }

    /// Takes the number of rows of each file.
    pub fn begin(&mut self, rows: &[u64]) -> Vec<RowAnswer> {
        let before = |file: usize| rows[..file].iter().sum();
        self.first_rows = (0..rows.len()).map(before).collect();
        Vec::new()
    }

    /// Answers rows that could not be read.
    pub fn passed_over(&self, rows: &[(usize, u64)]) -> Vec<RowAnswer> {
        rows.iter().map(|row| self.told(*row, None, self.rack.clone(), Answer::UNKNOWN, false)).collect()
    }

    /// Answers rows of one time, in their order, and before them those that could not be read.
    pub fn rows(&mut self, group: &Group, are_late: bool) -> Vec<RowAnswer> {
        let mut told = self.passed_over(&group.passed_over);
        let (racks, observed) = self.observe(group);
        let mut answers: BTreeMap<Name, (Answer, bool)> = BTreeMap::new();
        // What comes late is stored and not judged.
        if !are_late {
            for (rack, readings) in observed {
                let mean = |of: &Readings| (of.count > 0).then(|| of.sum / f64::from(of.count));
                let readings: Vec<Option<f64>> = readings.iter().map(mean).collect();
                let watched = self.racks.entry(rack.clone()).or_insert_with(|| Watched {
                    watch: Watch::new(self.group.clone()),
                    was_in_alarm: false,
                    latest: None,
                });
                if watched.latest.replace(group.time) == Some(group.time) {
                    continue;
                }
                let answer = watched.watch.row(&readings);
                let is_news = answer.score.is_some()
                    && match self.group.alarm {
                        AlarmKind::State => {
                            std::mem::replace(&mut watched.was_in_alarm, answer.alarm) != answer.alarm
                        }
                        AlarmKind::Episode => answer.episode_start,
                    };
                answers.insert(rack, (answer, is_news));
            }
        }
        for (row, rack) in group.rows.iter().zip(racks) {
            let answer = rack.as_ref().and_then(|rack| answers.get_mut(rack));
            let (answer, is_news) = match answer {
                Some(said) => std::mem::replace(said, (said.0.again(self.group.alarm), false)),
                None => (Answer::UNKNOWN, false),
            };
            told.push(self.told(*row, Some(group.time), rack, answer, is_news));
        }
        told
    }

    /// The rack of each row, and the readings of each rack.
    fn observe(&mut self, group: &Group) -> (Vec<Option<Name>>, BTreeMap<Name, Vec<Readings>>) {
        let mut observed: BTreeMap<Name, Vec<Readings>> = BTreeMap::new();
        let mut racks = Vec::with_capacity(group.rows.len());
        let mut texts = group.decoded.texts().iter();
        let mut start = 0;
        for end in &group.ends {
            let mut row_rack = None;
            for point in &group.decoded.points()[start..*end] {
                let text = if point.kind == PointKind::Text {
                    texts.next().map_or("", |(_, text)| text)
                } else {
                    ""
                };
                let series = self.series(&group.decoded, point.series as usize);
                let Some(rack) = &series.rack else { continue };
                let row_rack: &Name = row_rack.get_or_insert_with(|| rack.clone());
                let Some((member, resolved)) = &series.member else { continue };
                let (value, flag) = match point.kind {
                    PointKind::Reading => resolved.rules.judge(point.value),
                    PointKind::Text => resolved.rules.judge_text(text),
                    PointKind::Distrusted | PointKind::Null | PointKind::Stale | PointKind::OutOfTime => {
                        (f64::NAN, Flag::Sentinel)
                    }
                };
                let is_reading = match flag {
                    Flag::Ok | Flag::Unusual => true,
                    Flag::Late
                    | Flag::Implausible
                    | Flag::Sentinel
                    | Flag::Future
                    | Flag::Distrusted
                    | Flag::Stale => false,
                };
                let (member, row_rack) = (*member, row_rack.clone());
                if is_reading {
                    let signals = self.group.signals.len();
                    let readings =
                        observed.entry(row_rack).or_insert_with(|| vec![Readings::default(); signals]);
                    readings[member].sum += value;
                    readings[member].count += 1;
                }
            }
            start = *end;
            let rack = row_rack.or_else(|| self.rack.clone());
            if let Some(rack) = &rack {
                observed
                    .entry(rack.clone())
                    .or_insert_with(|| vec![Readings::default(); self.group.signals.len()]);
            }
            racks.push(rack);
        }
        (racks, observed)
    }

    fn series(&mut self, decoded: &Decoded, series: usize) -> &Series {
        let key = decoded.key(series);
        if !self.series.contains_key(key) {
            let found = self.find(decoded, series);
            self.series.insert(key.to_vec(), found);
        }
        &self.series[key]
    }

    /// What a series is. One that nobody knows, or that is refused, is no member.
    fn find(&self, decoded: &Decoded, series: usize) -> Series {
        let Ok(labels) = decoded.labels(series) else { return Series { rack: None, member: None } };
        let pairs: Vec<(&str, &str)> =
            labels.labels.iter().map(|(name, value)| (&**name, &**value)).collect();
        let metric = SourceMetric {
            source: decoded.source,
            name: labels.name,
            unit: Some(labels.unit).filter(|unit| !unit.is_empty()),
            labels: &pairs,
        };
        let of_label = || pairs.iter().find(|(name, _)| *name == "rack").map(|(_, rack)| Name::from(*rack));
        match self.resolver.resolve(&metric) {
            Resolution::Series(resolved) => {
                let place = &resolved.identity.place;
                let rack = place.rack.clone().or_else(of_label).or_else(|| place.cooling_loop.clone());
                let position =
                    self.group.signals.iter().position(|signal| *signal == resolved.identity.signal);
                Series { rack, member: position.map(|position| (position, resolved)) }
            }
            Resolution::Unmapped(_) | Resolution::Refused(_) | Resolution::Ignored(_) => {
                Series { rack: of_label(), member: None }
            }
        }
    }

    fn told(
        &self,
        row: (usize, u64),
        time: Option<EventTime>,
        rack: Option<Name>,
        answer: Answer,
        is_news: bool,
    ) -> RowAnswer {
        let (file, number) = row;
        let row = self.first_rows.get(file).copied().unwrap_or_default() + number;
        RowAnswer { row, time, rack, group: self.group.name.clone(), answer, is_news }
    }
}
