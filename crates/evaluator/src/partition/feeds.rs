//! Feeds: gaps, stale sources, low coverage, clock skew. What most of a feed has in common is told once.

use std::collections::{BTreeMap, BTreeSet};

use telemetry::arrival::SKEW_AFTER;
use telemetry::facts::Severity;
use telemetry::place::Place;
use telemetry::{EventTime, Labels, Microseconds};

use super::Partition;
use super::blocks::severity_of_coverage;
use crate::coverage::Share;
use crate::detectors::{self, Detector};
use crate::effect::{Counter, Effects};
use crate::finding::{Anomaly, FindingKey};
use crate::layout::Feed;
use crate::series::SeriesEvent;

/// More than this share of a feed's series makes it the feed's trouble, percent.
const MOST_PERCENT: usize = 80;
/// So often must a timestamp have been sent again to call a silent series stale.
const STALE_REPEATS: u32 = 2;
/// A series has told nothing new and asks for coverage only after this long.
const COVERAGE_AFTER: Microseconds = Microseconds::from_hours(1);
/// Clock skew is over after this long without any.
const SKEW_OVER: Microseconds = Microseconds::from_seconds(60);

/// A silence that has become a gap.
#[derive(Debug, Clone, Copy)]
struct Silence {
    last: EventTime,
    held_until: EventTime,
    resumed: Option<EventTime>,
}

impl Partition {
    /// Takes what settled readings told, in order of their series.
    pub(super) fn take_events(&mut self, now: EventTime, effects: &mut Effects) {
        if self.events.is_empty() {
            return;
        }
        let events = std::mem::take(&mut self.events);
        let mut gaps = BTreeMap::new();
        for (number, event) in &events {
            match *event {
                SeriesEvent::Gap { last, held_until, resumed } => {
                    gaps.insert(*number, Silence { last, held_until, resumed: Some(resumed) });
                }
                SeriesEvent::Resumed { at } => self.end_silence(*number, at, effects),
                SeriesEvent::Stuck { since, at } => self.tell_stuck(*number, since, at, effects),
                SeriesEvent::Moved { at } => {
                    let detector = detectors::known("stuck");
                    let key = self.key_of(detector, *number);
                    self.close(detector, &key, at, effects);
                }
            }
        }
        if !gaps.is_empty() {
            self.tell_gaps(&gaps, now, effects);
        }
        self.events = events;
        self.events.clear();
    }

    /// Opens gaps of series whose last reading is no longer held at the watermark.
    pub(super) fn look_for_silence(&mut self, watermark: EventTime, effects: &mut Effects) {
        let due = self.deadlines.before(watermark);
        self.settle(due.iter().copied(), watermark);
        self.take_events(watermark, effects);
        let mut gaps = BTreeMap::new();
        // Once more: what was told may have woken others.
        for number in self.deadlines.before(watermark) {
            let series = &self.series[number as usize];
            let is_settled = series.is_settled();
            let Some(latest) = series.latest else {
                if is_settled {
                    self.deadlines.sleep(number);
                }
                continue;
            };
            self.deadlines.set(number, latest.until.max(latest.time));
            let lasting = latest.until + series.hold.length();
            if series.silent && lasting < watermark {
                self.raise_series_gap(number, lasting, effects);
                if is_settled {
                    self.deadlines.sleep(number);
                }
            } else if latest.until + series.hold.grace() < watermark && !series.silent {
                gaps.insert(number, Silence { last: latest.time, held_until: latest.until, resumed: None });
            }
        }
        if !gaps.is_empty() {
            self.tell_gaps(&gaps, watermark, effects);
        }
    }

    /// Tells gaps: of a whole feed once, else one by one.
    fn tell_gaps(&mut self, gaps: &BTreeMap<u32, Silence>, now: EventTime, effects: &mut Effects) {
        effects.count(Counter::Gap, gaps.len() as u64);
        let is_known = |number: &u32| self.series[*number as usize].is_known_signal;
        let mut left: BTreeSet<u32> = gaps.keys().copied().filter(is_known).collect();
        let feeds: BTreeSet<usize> =
            left.iter().flat_map(|number| self.layout.feeds_of[*number as usize].iter().copied()).collect();
        for feed in feeds {
            let of_feed: Vec<u32> = self.layout.feeds[feed]
                .series
                .iter()
                .copied()
                .filter(|number| left.contains(number))
                .collect();
            let (silent, all) = self.silent_of(feed, gaps, now);
            if of_feed.is_empty() || all < 2 || silent * 100 <= all * MOST_PERCENT {
                continue;
            }
            left.retain(|number| !of_feed.contains(number));
            self.tell_feed_gap(feed, &of_feed, format!("{silent} of {all}"), gaps, effects);
        }
        for number in left {
            self.tell_series_gap(number, gaps[&number], effects);
        }
        for (number, silence) in gaps {
            self.series[*number as usize].silent = silence.resumed.is_none();
        }
    }

    /// How many series of a feed have missed a report at least, and how many there are.
    fn silent_of(&self, feed: usize, gaps: &BTreeMap<u32, Silence>, now: EventTime) -> (usize, usize) {
        let (mut all, mut overdue) = (0, 0);
        for number in &self.layout.feeds[feed].series {
            let series = &self.series[*number as usize];
            let Some(latest) = series.latest_reading(now) else { continue };
            all += 1;
            let half = Microseconds(series.hold.length().0 / 2);
            let is_overdue = series.silent || gaps.contains_key(number) || half < now - latest;
            overdue += usize::from(is_overdue);
        }
        (overdue, all)
    }

    fn tell_feed_gap(
        &mut self,
        feed: usize,
        numbers: &[u32],
        affected: String,
        gaps: &BTreeMap<u32, Silence>,
        effects: &mut Effects,
    ) {
        let Feed { place, source, .. } = &self.layout.feeds[feed];
        let (place, source) = (place.clone(), source.clone());
        let silences = || numbers.iter().map(|number| gaps[number]);
        let last = silences().map(|silence| silence.last).max().unwrap_or(EventTime::MINIMUM);
        let held_until = silences().map(|silence| silence.held_until).min().unwrap_or(last);
        let resumed = silences()
            .map(|silence| silence.resumed)
            .try_fold(EventTime::MINIMUM, |latest, resumed| Some(latest.max(resumed?)));
        let stale = numbers.iter().filter(|number| self.is_stale(**number)).count();
        let detector = detectors::known(if stale * 2 > numbers.len() { "stale" } else { "gap" });
        let evidence = Labels::from([
            ("class".into(), "source".into()),
            ("source".into(), source.clone()),
            ("series".into(), affected.into()),
            ("last_sample".into(), last.to_string().into()),
        ]);
        let key = FindingKey::of_place(detector, place.clone());
        let anomaly = Anomaly::direct(detector, key.clone(), last, held_until.max(last), evidence);
        self.open(detector, anomaly, effects);
        match resumed {
            Some(resumed) => self.close(detector, &key, resumed, effects),
            None => {
                self.silent_feeds.insert((place, source));
            }
        }
    }

    fn tell_series_gap(&mut self, number: u32, silence: Silence, effects: &mut Effects) {
        let is_stale = self.is_stale(number);
        let detector = detectors::known(if is_stale { "stale" } else { "gap" });
        let key = self.key_of(detector, number);
        let hold = &self.series[number as usize].hold;
        let mut evidence = Labels::from([
            ("class".into(), "series".into()),
            ("source".into(), self.declarations[number as usize].source.clone()),
            ("last_sample".into(), silence.last.to_string().into()),
            ("hold".into(), hold.length().to_string().into()),
        ]);
        if let Some(interval) = hold.interval() {
            evidence.insert("interval".into(), interval.to_string().into());
        }
        let detected = silence.held_until.max(silence.last);
        let has_lasted = silence.resumed.is_some_and(|resumed| silence.held_until + hold.length() < resumed);
        // Of a feed that loses one reading in a hundred some series loses three in a row about once a day and rack, and
        // six never: the first is worth a row, the other an alert.
        let severity = if has_lasted || is_stale { detector.severity } else { Severity::Info };
        let anomaly =
            Anomaly { severity, ..Anomaly::direct(detector, key.clone(), silence.last, detected, evidence) };
        self.open(detector, anomaly, effects);
        if let Some(resumed) = silence.resumed {
            self.close(detector, &key, resumed, effects);
        }
    }

    /// The silence of one series has lasted for another hold.
    fn raise_series_gap(&mut self, number: u32, time: EventTime, effects: &mut Effects) {
        let detector = detectors::known("gap");
        let key = self.key_of(detector, number);
        self.raise(detector, &key, detector.severity, time, effects);
    }

    fn is_stale(&self, number: u32) -> bool {
        STALE_REPEATS <= self.series[number as usize].repeats
    }

    /// A series speaks again: its gap is over, and that of its feed when most of the feed speaks.
    fn end_silence(&mut self, number: u32, at: EventTime, effects: &mut Effects) {
        for feed in self.layout.feeds_of[number as usize].clone() {
            let Feed { place, source, series } = &self.layout.feeds[feed];
            let identity = (place.clone(), source.clone());
            if !self.silent_feeds.contains(&identity) {
                continue;
            }
            let silent: Vec<u32> =
                series.iter().copied().filter(|number| self.series[*number as usize].silent).collect();
            if silent.len() * 100 > series.len() * MOST_PERCENT {
                continue;
            }
            self.silent_feeds.remove(&identity);
            for name in ["gap", "stale"] {
                let detector = detectors::known(name);
                self.close(detector, &FindingKey::of_place(detector, identity.0.clone()), at, effects);
            }
            // What is still silent is so on its own account.
            for number in silent {
                if let Some(latest) = self.series[number as usize].latest {
                    let silence = Silence { last: latest.time, held_until: latest.until, resumed: None };
                    self.tell_series_gap(number, silence, effects);
                    self.deadlines.wake(number);
                }
            }
        }
        for name in ["gap", "stale"] {
            let detector = detectors::known(name);
            let key = self.key_of(detector, number);
            self.close(detector, &key, at, effects);
        }
    }

    fn tell_stuck(&mut self, number: u32, since: EventTime, at: EventTime, effects: &mut Effects) {
        let detector = detectors::known("stuck");
        let series = &self.series[number as usize];
        let Some(stuck) = &series.stuck else { return };
        let value = series.latest.map(|latest| latest.value);
        let evidence = Labels::from([
            ("rule".into(), "repeats for 3 times the longest run seen, at least 5 minutes, and longer than chance makes it".into()),
            ("longest_run_before".into(), stuck.longest.to_string().into()),
            ("run".into(), (at - since).to_string().into()),
            ("repeats_percent_before".into(), stuck.repeats_percent().to_string().into()),
        ]);
        let anomaly = Anomaly {
            residual: value,
            unit: self.declarations[number as usize].unit.clone(),
            ..Anomaly::direct(detector, self.key_of(detector, number), since, at, evidence)
        };
        self.open(detector, anomaly, effects);
    }

    /// Series of which less than 95 % of the last hour is known; of a feed once when that is most of it.
    pub(super) fn look_for_low_coverage(&mut self, end: EventTime, effects: &mut Effects) {
        let detector = detectors::known("coverage_low");
        let found: Vec<Option<(Severity, Share)>> = self
            .series
            .iter()
            .map(|series| {
                let first = series.first.filter(|first| COVERAGE_AFTER <= end - *first)?;
                if !series.is_known_signal {
                    return None;
                }
                let share = series.known.last_hour(first, end);
                Some((severity_of_coverage(share)?, share))
            })
            .collect();
        let mut is_told = vec![false; found.len()];
        for feed in 0..self.layout.feeds.len() {
            let Feed { place, series, .. } = &self.layout.feeds[feed];
            let low: Vec<(Severity, Share)> = series
                .iter()
                .filter(|number| !is_told[**number as usize])
                .filter_map(|number| found[*number as usize])
                .collect();
            let is_most = |count: usize| series.len() > 1 && count * 100 > series.len() * MOST_PERCENT;
            let key = FindingKey::of_place(detector, place.clone());
            if !is_most(low.len()) {
                self.close(detector, &key, end, effects);
                continue;
            }
            series.iter().for_each(|number| is_told[*number as usize] = true);
            let critical = low.iter().filter(|(severity, _)| *severity == Severity::Critical).count();
            let severity = if is_most(critical) { Severity::Critical } else { Severity::Warning };
            let worst = low.iter().map(|(_, share)| *share).min_by_key(|share| share.known);
            let subject = format!("{} of {} series", low.len(), series.len());
            self.tell_coverage(detector, key, severity, worst.unwrap_or_default(), subject, end, effects);
        }
        let is_any_open = self.findings.iter().any(|finding| *finding.detector == *detector.name);
        for (number, found) in (0..).zip(&found) {
            match found.filter(|_| !is_told[number as usize]) {
                Some((severity, share)) => {
                    let key = self.key_of(detector, number);
                    let subject = "1 series".to_owned();
                    self.tell_coverage(detector, key, severity, share, subject, end, effects);
                }
                None if is_any_open => self.close(detector, &self.key_of(detector, number), end, effects),
                None => {}
            }
        }
    }

    #[allow(clippy::too_many_arguments)] // What the finding says, one by one.
    fn tell_coverage(
        &mut self,
        detector: &'static Detector,
        key: FindingKey,
        severity: Severity,
        share: Share,
        subject: String,
        end: EventTime,
        effects: &mut Effects,
    ) {
        match self.findings.get(&key).map(|open| open.severity) {
            Some(open) if open == severity => return,
            Some(_) => self.close(detector, &key, end, effects),
            None => {}
        }
        let leading = self.findings.iter().find(|finding| {
            matches!(&*finding.detector, "gap" | "stale")
                && crate::plan::is_within(&key.place, &finding.place)
        });
        let leading = leading.map(|finding| finding.finding.clone());
        let coverage = share.known.0 as f64 / share.asked.0.max(1) as f64;
        let evidence = Labels::from([
            ("series".into(), subject.into()),
            ("known".into(), share.known.to_string().into()),
            ("asked".into(), share.asked.to_string().into()),
        ]);
        let anomaly = Anomaly {
            severity,
            residual: Some(coverage),
            threshold: Some(if severity == Severity::Critical { 0.80 } else { 0.95 }),
            unit: "1".into(),
            leading,
            ..Anomaly::direct(detector, key, end - share.asked, end, evidence)
        };
        self.open(detector, anomaly, effects);
    }

    /// Clock skew: what has arrived before a tick is further ahead of it than clocks may differ.
    pub(super) fn look_for_skew(&mut self, tick: EventTime, effects: &mut Effects) {
        let detector = detectors::known("skew");
        if let Some((time, number)) = self.ahead.take()
            && tick + SKEW_AFTER < time
        {
            let place = self.declarations[number as usize].place();
            let place = Place { node: None, device: None, ..place };
            let key = FindingKey::of_place(detector, place.clone());
            let evidence = Labels::from([
                ("series".into(), self.declarations[number as usize].identity.to_string().into()),
                ("source".into(), self.declarations[number as usize].source.clone()),
            ]);
            let anomaly = Anomaly {
                residual: Some((time - tick).as_seconds()),
                baseline: Some(0.0),
                threshold: Some(SKEW_AFTER.as_seconds()),
                unit: "s".into(),
                ..Anomaly::direct(detector, key, tick, tick, evidence)
            };
            self.open(detector, anomaly, effects);
            self.skew = Some((place, tick));
        } else if let Some((place, last)) = self.skew.clone()
            && SKEW_OVER <= tick - last
        {
            self.skew = None;
            self.close(detector, &FindingKey::of_place(detector, place), tick, effects);
        }
    }

    /// A finding about one series.
    pub(super) fn key_of(&self, detector: &Detector, number: u32) -> FindingKey {
        let declaration = &self.declarations[number as usize];
        FindingKey {
            detector: detector.name.into(),
            place: declaration.place(),
            signal: Some(declaration.identity.signal.clone()),
            sensor: declaration.identity.sensor.clone(),
        }
    }
}
