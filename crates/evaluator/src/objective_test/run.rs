//! Feeds a test's readings to an evaluator of its own and looks at it when an expectation is due.

use std::collections::BTreeMap;
use std::sync::Arc;

use telemetry::alert::AlertState;
use telemetry::expression::KnownSignals;
use telemetry::facts::{ObjectiveStatus, Outcome, Scope};
use telemetry::place::{PartitionKey, Place, SeriesIdentity};
use telemetry::record::{
    Body, Configuration, Feed, PartitionId, Record, RunChange, RunEvent, RunState, SampleBatch, Sequence,
    SeriesDeclaration, SeriesId, Temporality,
};
use telemetry::signal::{self, SignalKind};
use telemetry::{EventTime, Labels, Microseconds, Name};

use super::TestOutcome;
use super::document::{Expectation, Expected, ExpectedPlace, ExpectedState, Test, TestRun};
use crate::{Effect, Effects, Evaluator};

/// 2026-01-05T00:00:00Z.
const START: EventTime = EventTime::from_unix_micros(1_767_571_200_000_000);

/// Runs one test.
pub fn run(
    test: &Test,
    document: &str,
    configuration: &Configuration,
    known: &KnownSignals,
) -> Vec<TestOutcome> {
    let mut stream = Stream::new(configuration, test.interval);
    let places: Vec<(PartitionId, SeriesId)> = test
        .series
        .iter()
        .map(|series| stream.declare(&series.place, &series.signal, series.sensor.clone(), known))
        .collect();
    let mut due: Vec<(usize, &Expectation)> = test.expectations.iter().enumerate().collect();
    due.sort_by_key(|(_, expectation)| expectation.at);
    let mut outcomes = Vec::new();
    let last = due.last().map_or(Microseconds::ZERO, |(_, expectation)| expectation.at);
    let steps = usize::try_from(last.0.div_euclid(test.interval.0)).unwrap_or(0) + 1;
    let mut due = due.into_iter().peekable();
    for step in 0..steps {
        let since = Microseconds(test.interval.0 * step as i64);
        if let Some(run) = &test.run {
            stream.run(run, since, test.interval);
        }
        let mut batches: BTreeMap<PartitionId, SampleBatch> = BTreeMap::new();
        for (series, (partition, id)) in test.series.iter().zip(&places) {
            if let Some(Some(value)) = series.values.get(step) {
                let batch = batches.entry(*partition).or_default();
                batch.series.push(*id);
                batch.time.push(START + since);
                batch.value.push(*value);
            }
        }
        batches.into_iter().for_each(|(partition, batch)| stream.apply(partition, Body::Samples(batch)));
        // An expectation between two readings is looked at when its time has come, before the next reading.
        while let Some((index, expectation)) = due.next_if(|(_, it)| it.at < since + test.interval) {
            stream.apply(PartitionId::STREAM, Body::Tick(START + expectation.at));
            outcomes.push((index, stream.outcome(test, document, expectation)));
        }
        stream.apply(PartitionId::STREAM, Body::Tick(START + since));
    }
    outcomes.sort_by_key(|(index, _)| *index);
    outcomes.into_iter().map(|(_, outcome)| outcome).collect()
}

/// A log that is written and read at once.
struct Stream {
    evaluator: Evaluator,
    effects: Effects,
    sequence: Sequence,
    interval: Microseconds,
    partitions: BTreeMap<PartitionKey, (PartitionId, u32)>,
    alerts: BTreeMap<Labels, AlertState>,
    now: EventTime,
}

impl Stream {
    fn new(configuration: &Configuration, interval: Microseconds) -> Self {
        let mut stream = Self {
            evaluator: Evaluator::new(),
            effects: Effects::default(),
            sequence: 0,
            interval,
            partitions: BTreeMap::new(),
            alerts: BTreeMap::new(),
            now: START,
        };
        let configuration = Configuration { allowed_lateness: Microseconds::ZERO, ..configuration.clone() };
        stream.apply(PartitionId::STREAM, Body::Configuration(Box::new(configuration)));
        stream
    }

    fn apply(&mut self, partition: PartitionId, body: Body) {
        if let Body::Tick(time) = body {
            if time < self.now {
                return;
            }
            self.now = time;
        }
        self.sequence += 1;
        self.effects.clear();
        self.evaluator.apply(self.sequence, &Record { partition, body }, &mut self.effects);
        for effect in &self.effects.list {
            if let Effect::Alert(alert) = effect {
                self.alerts.insert(alert.labels.clone(), alert.to);
            }
        }
    }

    fn declare(
        &mut self,
        place: &Place,
        signal: &Name,
        sensor: Option<Name>,
        known: &KnownSignals,
    ) -> (PartitionId, SeriesId) {
        let key = PartitionKey::of(place);
        let next =
            PartitionId(PartitionId::FIRST.0 + u32::try_from(self.partitions.len()).unwrap_or(u32::MAX));
        let (partition, series) = self.partitions.entry(key.clone()).or_insert((next, 0));
        let (partition, id) = (*partition, SeriesId(*series));
        *series += 1;
        let unit = known.get(signal).map_or("", |signal| signal.unit.symbol());
        let temporality = match signal::find(signal).map(|signal| signal.kind) {
            Some(SignalKind::Counter) => Temporality::Cumulative,
            Some(
                SignalKind::Gauge
                | SignalKind::SetPoint
                | SignalKind::StateCode
                | SignalKind::BitMask
                | SignalKind::Feed,
            )
            | None => Temporality::Gauge,
        };
        let declaration = SeriesDeclaration {
            partition: key,
            id,
            identity: SeriesIdentity::new(place.clone(), signal.clone(), sensor),
            cooling_loop: place.cooling_loop.clone(),
            declared: true,
            unit: unit.into(),
            source: "test".into(),
            source_name: signal.clone(),
            source_unit: unit.into(),
            temporality,
            feed: Feed::Periodic { interval: self.interval },
            labels: Arc::default(),
        };
        self.apply(partition, Body::Series(declaration.into()));
        (partition, id)
    }

    /// Starts or ends the run in the step that its time falls into.
    fn run(&mut self, run: &TestRun, since: Microseconds, interval: Microseconds) {
        let is_now = |time: Microseconds| since <= time && time < since + interval;
        let event = |time: Microseconds, change| {
            Body::Run(RunEvent { run: "test".into(), time: START + time, change })
        };
        if is_now(run.start) {
            let (racks, stage, planned) = (run.racks.clone(), run.stage.clone(), run.planned);
            let change = RunChange::Start { racks, stage, versions: Labels::new(), planned };
            self.apply(PartitionId::STREAM, event(run.start, change));
        }
        if let Some(end) = run.end.filter(|end| is_now(*end)) {
            self.apply(PartitionId::STREAM, event(end, RunChange::End { state: RunState::Ended }));
        }
    }

    fn outcome(&self, test: &Test, document: &str, expectation: &Expectation) -> TestOutcome {
        let (expected, observed) = match &expectation.what {
            Expected::Objective { name, scope, state, bad_time, episodes } => {
                let status = self.status(name, *scope, &expectation.place);
                let extras = (bad_time.is_some(), episodes.is_some());
                (expected_words(state, *bad_time, *episodes), observed_words(status.as_ref(), state, extras))
            }
            Expected::Alert { name, severity, state } => (
                state.name().to_owned(),
                self.alert(name, severity.as_ref(), &expectation.place).name().to_owned(),
            ),
        };
        let passed = expected == observed;
        let subject = subject(expectation);
        TestOutcome {
            name: test.name.clone(),
            document: document.to_owned(),
            line: expectation.line,
            passed,
            expected: format!("{subject} {expected}"),
            observed,
        }
    }

    fn status(&self, name: &Name, scope: Scope, place: &ExpectedPlace) -> Option<ObjectiveStatus> {
        let facts = self.evaluator.rack_facts();
        let statuses = facts.iter().flat_map(|facts| &facts.objectives);
        let mut fitting =
            statuses.filter(|it| it.objective == *name && it.scope == scope && fits(&it.place, place));
        fitting.next().cloned()
    }

    /// The state of the first alert that fits; inactive when there was none.
    fn alert(&self, name: &Name, severity: Option<&Name>, place: &ExpectedPlace) -> AlertState {
        let fits = |labels: &Labels| {
            let has = |label: &str, value: &Name| labels.get(label) == Some(value);
            has("alertname", name)
                && severity.is_none_or(|severity| has("severity", severity))
                && place.levels.iter().all(|(level, value)| has(level, value))
        };
        self.alerts.iter().find(|(labels, _)| fits(labels)).map_or(AlertState::Inactive, |(_, state)| *state)
    }
}

fn fits(place: &Place, expected: &ExpectedPlace) -> bool {
    expected.levels.iter().all(|(level, name)| place.levels().any(|known| known == (*level, name)))
}

fn subject(expectation: &Expectation) -> String {
    let place = expectation.place.levels.iter().map(|(level, name)| format!(" {level} {name}"));
    let place = place.collect::<String>();
    match &expectation.what {
        Expected::Objective { name, scope: Scope::Rolling, .. } => {
            format!("at {}:{place} {name}", expectation.at)
        }
        Expected::Objective { name, scope: Scope::Run, .. } => {
            format!("at {}:{place} {name} (run)", expectation.at)
        }
        Expected::Alert { name, severity, .. } => {
            let severity = severity.as_ref().map_or_else(String::new, |severity| format!(" {severity}"));
            format!("at {}:{place} {name}{severity}", expectation.at)
        }
    }
}

fn outcome_word(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Ok => "ok",
        Outcome::NotOk => "notOk",
        Outcome::Unknown => "unknown",
    }
}

fn expected_words(state: &ExpectedState, bad_time: Option<Microseconds>, episodes: Option<u64>) -> String {
    let mut words = match state {
        ExpectedState::NotAsked => "notAsked".to_owned(),
        ExpectedState::Is(outcome) => outcome_word(*outcome).to_owned(),
        ExpectedState::Unknown(reason) => format!("unknown ({reason})"),
    };
    words += &bad_time.map_or_else(String::new, |time| format!(", {time} bad"));
    words + &episodes.map_or_else(String::new, |episodes| format!(", {episodes} episodes"))
}

/// The status in the words of the expectation: only what it asks about.
fn observed_words(
    status: Option<&ObjectiveStatus>,
    expected: &ExpectedState,
    extras: (bool, bool),
) -> String {
    let Some(status) = status else { return "notAsked".to_owned() };
    let mut words = match (status.outcome, expected, status.unknown_reason) {
        (
            Outcome::Unknown,
            ExpectedState::Unknown(_) | ExpectedState::Is(Outcome::Ok | Outcome::NotOk),
            Some(reason),
        ) => {
            format!("unknown ({})", reason.name())
        }
        (outcome, _, _) => outcome_word(outcome).to_owned(),
    };
    if extras.0 {
        words += &format!(", {} bad", status.time.bad);
    }
    if extras.1 {
        let events = status.events.as_ref().map_or(status.episodes, |events| events.count);
        words += &format!(", {events} episodes");
    }
    words
}
