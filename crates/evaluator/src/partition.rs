//! One partition: a loop with its racks, or a rack without a loop. Readings come in, event time goes on, and at each
//! boundary what has become final is judged. Nothing crosses a partition.
//!
//! records → **partition** → effects

mod alerting; // alerts of objectives
mod blocks; // at the end of a block: what is told and measured
mod comparing; // at the end of a block: what releases are told apart by
mod control; // control loops: hunting, stuck valves, warming water
mod deadlines; // when a series must have spoken again
mod drilling; // a copy of the partition that a drill's fault is laid over
mod envelope; // at the end of a block: racks near their nominal power
mod facts; // what gates may see
mod feeds; // gaps, stale feeds, coverage, clock skew
mod headroom; // at the end of a block: how much power racks can sustain
mod judging; // at the end of a slice: groups and their statuses
mod moving; // a rack that is put on another loop
mod noise; // at the end of a block: sensors whose readings scatter
mod pump_trip; // as flows arrive
mod residuals; // at the end of a block: residuals
mod runs; // runs, maintenance and calibrations
mod soaking; // loads that last: cooling without reserve
mod trusting; // at the end of a block: how far sensors are believed
mod watching; // at the end of a block: groups of signals without physics

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use telemetry::facts::Severity;
use telemetry::names::SharedNames;
use telemetry::place::Place;
use telemetry::record::{Fate, Flag, PartitionId, SampleBatch, Sequence, SeriesDeclaration};
use telemetry::{EventTime, Labels, Microseconds, Name};

use self::control::Control;
use self::deadlines::Deadlines;
pub(crate) use self::drilling::Ready;
pub(crate) use self::envelope::Envelope;
use self::pump_trip::Flow;
pub use self::residuals::ResidualNow;
use self::runs::Forgetting;
use self::watching::Watched;
use crate::alert::Alerts;
use crate::block::BLOCK;
use crate::configuration::InForce;
use crate::detectors::Detector;
use crate::detectors::residual::ResidualState;
use crate::detectors::steady::{Steady, ValveTravel};
use crate::effect::{Counter, Effect, Effects};
use crate::finding::{Anomaly, FindingKey, Findings, Outlet};
use crate::group::Group;
use crate::headroom::LoopHeadroom;
use crate::hold::Hold;
use crate::layout::{Layout, WATCHED_AS_FLOW, WATCHED_BY_LIMIT};
use crate::plan::{SeriesIndex, plan};
use crate::rack::RackState;
use crate::run::Runs;
use crate::series::{Series, SeriesEvent};
use crate::slice::Scratch;

/// Facts in which nothing has changed but the time are published this often, in event time.
const PUBLISH_EVERY: Microseconds = Microseconds::from_seconds(30);

/// Reports that nobody looks at singly are kept no longer than the allowed lateness and this.
const TIDY_EVERY: Microseconds = Microseconds::from_seconds(10);

/// What a partition needs to know of the rest.
#[derive(Clone, Copy)]
pub(crate) struct Environment<'a> {
    /// The configuration in force.
    pub in_force: &'a InForce,
    /// All runs of the stream.
    pub runs: &'a Runs,
    /// The record that is being applied.
    pub sequence: Sequence,
    /// The last tick.
    pub tick: Option<EventTime>,
    /// Up to here event time is final.
    pub watermark: Option<EventTime>,
}

/// The state of a partition.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Partition {
    id: PartitionId,
    /// Whether groups and layout follow from the present declarations and configuration.
    is_planned: bool,
    /// By number of the series.
    #[serde(with = "telemetry::names::table")]
    pub declarations: Vec<Arc<SeriesDeclaration>>,
    series: Vec<Series>,
    /// Series that have moved to another partition.
    gone: BTreeSet<u32>,
    /// All slices that end up to here are judged.
    position: Option<EventTime>,
    groups: Vec<Group>,
    /// Alerts that are not inactive.
    pub alerts: Alerts,
    findings: Findings,
    racks: BTreeMap<Name, RackState>,
    /// How many racks gates have been told of.
    racks_told: usize,
    /// Runs that have ended and wait for their last data, by id.
    ending: BTreeMap<Name, EventTime>,
    /// Runs are judged up to here, to the microsecond.
    finished: Option<EventTime>,
    residuals: BTreeMap<(Name, Place), ResidualState>,
    /// What calibrations ask to be forgotten, once event time has come so far.
    forgetting: Vec<Forgetting>,
    /// Whether the power of all racks together rests.
    steady: Steady,
    valve: ValveTravel,
    controls: BTreeMap<Place, Control>,
    headroom: LoopHeadroom,
    /// Groups of signals without physics, by name and place.
    watches: BTreeMap<(Name, Place), Watched>,
    flows: BTreeMap<u32, Flow>,
    /// Hard limits that arriving readings have been breaking, and since when.
    breaches: BTreeMap<u32, EventTime>,
    deadlines: Deadlines,
    /// Feeds of which most is silent, by place.
    silent_feeds: BTreeSet<(Place, Name)>,
    /// The reading that is furthest ahead since the last tick, and the skew that is told.
    ahead: Option<(EventTime, u32)>,
    skew: Option<(Place, EventTime)>,
    #[serde(skip)]
    names: SharedNames,
    #[serde(skip)]
    layout: Layout,
    #[serde(skip)]
    scratch: Scratch,
    #[serde(skip)]
    events: Vec<(u32, SeriesEvent)>,
}

/// Readings from before the first tick are judged this far back.
const LONGEST_LOOK_BACK: Microseconds = Microseconds::from_hours(24);

impl Partition {
    pub(crate) fn new(id: PartitionId) -> Self {
        Self {
            id,
            is_planned: false,
            declarations: Vec::new(),
            series: Vec::new(),
            gone: BTreeSet::new(),
            position: None,
            groups: Vec::new(),
            alerts: Alerts::default(),
            findings: Findings::default(),
            racks: BTreeMap::new(),
            racks_told: 0,
            ending: BTreeMap::new(),
            finished: None,
            residuals: BTreeMap::new(),
            forgetting: Vec::new(),
            steady: Steady::default(),
            valve: ValveTravel::default(),
            controls: BTreeMap::new(),
            headroom: LoopHeadroom::default(),
            watches: BTreeMap::new(),
            flows: BTreeMap::new(),
            breaches: BTreeMap::new(),
            deadlines: Deadlines::default(),
            silent_feeds: BTreeSet::new(),
            ahead: None,
            skew: None,
            names: SharedNames::default(),
            layout: Layout::default(),
            scratch: Scratch::default(),
            events: Vec::new(),
        }
    }

    /// A series is about to begin; or its attributes have changed, when it is known already.
    pub(crate) fn declare(&mut self, declaration: &Arc<SeriesDeclaration>) {
        let number = declaration.id.0 as usize;
        self.is_planned = false;
        if self.names.is_empty() {
            // Those of a checkpoint.
            self.names = SharedNames::of(self.declarations.iter().map(AsRef::as_ref));
        }
        let declaration = self.names.shared(declaration);
        match self.declarations.get_mut(number) {
            Some(known) => {
                if known.feed != declaration.feed {
                    self.series[number].hold = Hold::of(declaration.feed);
                    self.deadlines.wake(declaration.id.0);
                }
                known.clone_from(&declaration);
            }
            None => {
                debug_assert_eq!(number, self.declarations.len(), "numbers of series are dense");
                self.declarations.push(declaration.clone());
                self.series.push(Series::new(&declaration));
                self.deadlines.push();
            }
        }
        let place = declaration.place();
        if let Some(rack) = &place.rack {
            let whole = Place { node: None, device: None, ..place.clone() };
            let state = self.racks.entry(rack.clone()).or_insert_with(|| RackState::new(whole.clone()));
            state.place = whole;
            state.declared |= declaration.declared;
        }
    }

    /// Takes readings in, in order of the batch.
    pub(crate) fn take_samples(
        &mut self,
        batch: &SampleBatch,
        environment: Environment<'_>,
        effects: &mut Effects,
    ) {
        self.follow(environment, effects);
        let mut counts = [0_u64; 6];
        for (index, ((number, time), value)) in
            batch.series.iter().zip(&batch.time).zip(&batch.value).enumerate()
        {
            let flag = batch.flag(index);
            let Some(series) = self.series.get_mut(number.0 as usize) else {
                counts[5] += 1;
                effects.fates.push(Fate::Stored(flag));
                continue;
            };
            let fate = series.insert(*time, *value, flag, environment.watermark);
            self.deadlines.rouse(number.0);
            effects.fates.push(fate);
            match fate {
                Fate::Stored(flag) if flag.is_reading() => {
                    counts[0] += 1;
                    if self.ahead.is_none_or(|(ahead, _)| ahead < *time) {
                        self.ahead = Some((*time, number.0));
                    }
                    if self.layout.watched[number.0 as usize] != 0 {
                        let value = self.series[number.0 as usize].calibrated(*time, *value);
                        self.look_at_arrival(number.0, *time, value, environment, effects);
                    }
                }
                Fate::Stored(Flag::Late) => counts[1] += 1,
                Fate::Stored(flag) => {
                    counts[4] += 1;
                    if flag == Flag::Future && self.ahead.is_none_or(|(ahead, _)| ahead < *time) {
                        self.ahead = Some((*time, number.0));
                    }
                }
                Fate::Duplicate => counts[2] += 1,
                Fate::Conflict => counts[3] += 1,
            }
        }
        let counters = [
            Counter::Judged,
            Counter::Late,
            Counter::Duplicate,
            Counter::Conflict,
            Counter::SetAside,
            Counter::Undeclared,
        ];
        for (counter, by) in counters.into_iter().zip(counts) {
            effects.count(counter, by);
        }
    }

    /// Bad evidence acts on arrival.
    fn look_at_arrival(
        &mut self,
        number: u32,
        time: EventTime,
        value: f64,
        environment: Environment<'_>,
        effects: &mut Effects,
    ) {
        let watched = self.layout.watched[number as usize];
        if watched & WATCHED_BY_LIMIT != 0 {
            self.look_at_limits(number, time, value, environment, effects);
        }
        if watched & WATCHED_AS_FLOW != 0 {
            self.look_at_flow(number, time, value, effects);
        }
    }

    /// Follows declarations and configuration: plans groups anew, keeps the state of those that are as before.
    pub(crate) fn follow(&mut self, environment: Environment<'_>, effects: &mut Effects) {
        if self.is_planned {
            return;
        }
        self.is_planned = true;
        // New series come many at once: what room is left over stays empty for long.
        self.series.shrink_to_fit();
        self.declarations.shrink_to_fit();
        self.names.shrink_to_fit();
        let Environment { in_force, runs, .. } = environment;
        let asked_from = self.position.unwrap_or(EventTime::MINIMUM);
        let index = SeriesIndex::new(&self.declarations, &self.gone, &in_force.site.redundancy);
        let planned = plan(&in_force.objectives, &index);
        let mut known: BTreeMap<(Name, Place), Group> = std::mem::take(&mut self.groups)
            .into_iter()
            .map(|group| ((group.objective.clone(), group.place.clone()), group))
            .collect();
        for planned in planned {
            let objective = &in_force.objectives[planned.objective];
            let key = (objective.name.clone(), planned.place.clone());
            let mut group = known
                .remove(&key)
                .filter(|group| group.hash == objective.hash)
                .unwrap_or_else(|| Group::new(objective, planned.place.clone(), asked_from));
            group.follow(planned);
            self.groups.push(group);
        }
        self.groups.shrink_to_fit();
        let layout = Layout::new(&self.declarations, &self.gone, &index, &self.groups, in_force);
        let before = std::mem::replace(&mut self.layout, layout);
        for (declaration, series) in self.declarations.iter().zip(&mut self.series) {
            series.is_known_signal = in_force.known.get(&declaration.identity.signal).is_some();
        }
        self.follow_watches(environment, effects);
        let time = environment.watermark.or(self.position).unwrap_or(EventTime::MINIMUM);
        self.forget_other_curves(&before.components, time, effects);
        let kept: BTreeSet<&Name> = self.groups.iter().map(|group| &group.objective).collect();
        let is_gone = |labels: &Labels| labels.get("objective").is_some_and(|name| !kept.contains(name));
        self.alerts.end_where(is_gone, time, "the objective is no longer in force", effects);
        for run in runs.open() {
            self.join_run(run, environment);
        }
    }

    /// Plans anew after a restart what was planned before. Changes nothing that is kept, and tells nothing.
    pub(crate) fn restore(&mut self, environment: Environment<'_>) {
        // Long lists are read without knowing how long they will be.
        self.series.shrink_to_fit();
        self.groups.shrink_to_fit();
        if std::mem::take(&mut self.is_planned) {
            self.follow(environment, &mut Effects::default());
        }
    }

    /// The configuration has changed.
    pub(crate) fn reconfigure(&mut self, environment: Environment<'_>, effects: &mut Effects) {
        self.is_planned = false;
        self.follow(environment, effects);
    }

    /// Where judging begins: at the minute of the first reading, or of a run that began before, once the watermark
    /// has reached it; a day before the watermark at the earliest, for a first reading may claim any time.
    fn begin(&self, watermark: EventTime, runs: &Runs) -> Option<EventTime> {
        let first = self.series.iter().filter_map(Series::earliest).min()?;
        let of_runs = runs.open().filter(|run| self.is_in(run)).map(|run| run.facts.start);
        Some(
            of_runs
                .fold(first, EventTime::min)
                .max(watermark - LONGEST_LOOK_BACK)
                .min(watermark)
                .window_start(self.layout.longest_slice)
                .window_start(BLOCK),
        )
    }

    /// Event time goes on to the tick of the environment.
    pub(crate) fn advance(&mut self, environment: Environment<'_>, effects: &mut Effects) {
        self.follow(environment, effects);
        let Some(watermark) = environment.watermark else { return };
        if std::mem::replace(&mut self.racks_told, self.racks.len()) != self.racks.len() {
            // A rack is shown as soon as it is known, as one of which nothing is judged yet.
            self.publish_all(environment, effects);
        }
        if self.position.is_none() {
            self.position = self.begin(watermark, environment.runs);
        }
        let Some(mut position) = self.position else { return };
        let (begin, told) = (position, effects.list.len());
        let mut is_judged = false;
        loop {
            let boundary = position.window_start(self.layout.step) + self.layout.step;
            let ending = self.ending.iter().map(|(run, end)| (*end, run.clone())).min();
            match ending {
                Some((end, run)) if end < boundary && end <= watermark => {
                    self.finish_run(&run, end, environment, effects);
                    is_judged = true;
                }
                Some(_) | None if boundary <= watermark => {
                    self.close_slices(boundary, environment, effects);
                    self.follow_controls(boundary, effects);
                    if boundary.window_start(BLOCK) == boundary {
                        self.close_blocks(boundary, environment, effects);
                    } else if boundary.window_start(TIDY_EVERY) == boundary {
                        self.tidy(boundary);
                    }
                    position = boundary;
                    self.position = Some(position);
                    is_judged = true;
                }
                Some(_) | None => break,
            }
        }
        self.look_for_silence(watermark, effects);
        if let Some(tick) = environment.tick {
            self.look_for_skew(tick, effects);
        }
        let is_news = effects.list[told..].iter().any(|effect| match effect {
            Effect::Status(_) | Effect::Finding(_) | Effect::Alert(_) => true,
            Effect::Block(_)
            | Effect::Publish(_)
            | Effect::Row(_)
            | Effect::Count { .. }
            | Effect::Drill(_)
            | Effect::DrillAlert(_)
            | Effect::DrillCopy { .. } => false,
        });
        let is_time = begin.window_start(PUBLISH_EVERY) != position.window_start(PUBLISH_EVERY);
        if is_news || (is_judged && is_time) {
            self.publish_all(environment, effects);
        }
    }

    /// Settles series up to `to` and keeps what their readings tell.
    fn settle(&mut self, numbers: impl Iterator<Item = u32>, to: EventTime) {
        for number in numbers {
            let events = &mut self.events;
            self.series[number as usize].settle(to, |event| events.push((number, event)));
        }
    }

    /// Whether people work on a place in a span of time.
    fn maintained(
        racks: &BTreeMap<Name, RackState>,
    ) -> impl Fn(&Place, EventTime, EventTime) -> bool + use<'_> {
        // Asked for every place of every slice, and nearly always there is nothing to look up.
        let is_any = racks.values().any(|rack| rack.maintenance.is_some());
        move |place, from, to| {
            let rack = place.rack.as_ref().filter(|_| is_any).and_then(|rack| racks.get(rack));
            rack.and_then(|rack| rack.maintenance).is_some_and(|work| work.touches(from, to))
        }
    }

    /// Why nobody is told of alerts about a place.
    fn suppressed(racks: &BTreeMap<Name, RackState>, place: &Place, time: EventTime) -> Option<String> {
        let rack = place.rack.as_ref().and_then(|rack| racks.get(rack));
        let work = rack?.maintenance.filter(|work| work.touches(time, time + Microseconds(1)))?;
        Some(format!("maintenance until {}", work.until))
    }

    /// Opens a finding, with its alert, as far as people who work there want to be told.
    fn open(&mut self, detector: &Detector, anomaly: Anomaly, effects: &mut Effects) {
        let Self { findings, alerts, racks, .. } = self;
        let time = anomaly.detected;
        let suppressed = |place: &Place| Self::suppressed(racks, place, time);
        findings.open(detector, anomaly, &mut Outlet { alerts, effects, suppressed: &suppressed });
    }

    /// An open finding has become graver.
    fn raise(
        &mut self,
        detector: &Detector,
        key: &FindingKey,
        severity: Severity,
        time: EventTime,
        effects: &mut Effects,
    ) {
        let Self { findings, alerts, racks, .. } = self;
        let suppressed = |place: &Place| Self::suppressed(racks, place, time);
        findings.raise(
            detector,
            key,
            severity,
            time,
            &mut Outlet { alerts, effects, suppressed: &suppressed },
        );
    }

    /// Ends a finding, with its alert.
    fn close(&mut self, detector: &Detector, key: &FindingKey, time: EventTime, effects: &mut Effects) {
        let Self { findings, alerts, racks, .. } = self;
        let suppressed = |place: &Place| Self::suppressed(racks, place, time);
        findings.close(detector, key, time, &mut Outlet { alerts, effects, suppressed: &suppressed });
    }

    /// Time of the latest report of a rack, of whatever kind.
    pub(crate) fn last_sample(&self, rack: &str) -> Option<EventTime> {
        let series = self.layout.racks.get(rack)?;
        series.all.iter().filter_map(|number| self.series[*number as usize].newest()).max()
    }

    /// When the last reading of any series ends to count, by its feed's interval.
    pub(crate) fn end_of_input(&self) -> Option<EventTime> {
        self.series.iter().filter_map(Series::end_of_input).max()
    }
}
