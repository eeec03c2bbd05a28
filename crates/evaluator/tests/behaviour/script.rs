//! Stories as text: readings, ticks and people's acts become records, effects become lines again.
//!
//! ```text
//! feed 10s                                  the interval of all series that follow
//! r1 coolant_supply_temperature 0m..10m 40  a reading every interval, from 0 min on, before 10 min
//! r1 coolant_supply_temperature#b 10m 41    one reading, of the sensor b
//! r1 coolant_flow 10m flagged               one that its source does not trust
//! run a on r1 at 1m for 30m
//! end a at 20m
//! maintenance r1 2m..5m
//! until 30m                                 ticks once a second until then, and the lateness beyond
//! ```

use std::collections::BTreeMap;

use evaluator::{Effect, Effects, Evaluator};
use telemetry::facts::Need;
use telemetry::place::{PartitionKey, Place, SeriesIdentity};
use telemetry::record::{
    Body, Configuration, Document, Feed, Flag, MaintenanceEvent, PartitionId, Record, RunChange, RunEvent,
    RunState, SampleBatch, SeriesDeclaration, SeriesId, Temporality,
};
use telemetry::{EventTime, Labels, Microseconds, Name};

/// All stories begin here: a full hour, so that windows line up.
pub const BEGIN: EventTime = EventTime::from_unix_micros(1_767_600_000_000_000);
/// The watermark stays this far behind the tick.
pub const LATENESS: Microseconds = Microseconds::from_seconds(30);

/// A moment of a story.
pub fn at(seconds: i64) -> EventTime {
    BEGIN + Microseconds::from_seconds(seconds)
}

/// One reading.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    pub rack: &'static str,
    pub signal: String,
    pub time: EventTime,
    pub value: f64,
    pub flag: Flag,
}

/// Records of a story: every series in a partition of its rack.
#[derive(Default)]
pub struct Story {
    pub records: Vec<Record>,
    partitions: BTreeMap<String, (PartitionId, u32)>,
    series: BTreeMap<(String, String), SeriesId>,
    pub feed: Option<Feed>,
    /// Racks are on this loop from here on.
    cooling_loop: Option<Name>,
    /// What gate policies ask for.
    pub needs: Vec<Need>,
    /// The site file, from the next configuration on, while no rack is put on a loop.
    pub site: Option<Document>,
}

impl Story {
    /// Begins with a configuration.
    pub fn with(objectives: &[Document]) -> Self {
        let mut story = Self::default();
        story.configure(objectives, "c1");
        story
    }

    /// Begins where this site file is in force.
    pub fn at_site(site: Option<Document>, objectives: &[Document]) -> Self {
        let mut story = Self { site, ..Self::default() };
        story.configure(objectives, "c1");
        story
    }

    /// Puts all racks on a loop, which the site file says from here on.
    pub fn move_to(&mut self, cooling_loop: &str, objectives: &[Document]) {
        self.cooling_loop = Some(cooling_loop.into());
        self.series.clear();
        self.configure(objectives, cooling_loop);
    }

    /// Changes the objectives.
    pub fn configure(&mut self, objectives: &[Document], hash: &str) {
        let of_loop = self.cooling_loop.as_ref().map(|name| Document {
            name: "site.yaml".to_owned(),
            text: format!(
                "apiVersion: thermogate.dev/v1alpha1\nkind: Site\nmetadata: {{name: s1}}\n\
                 loops: [{{name: {name}}}]\nracks: [{{name: r1, loop: {name}, nominalPower: 100 kW}}]\n"
            ),
        });
        let site = of_loop.or_else(|| self.site.clone());
        self.stream(Body::Configuration(Box::new(Configuration {
            hash: hash.to_owned(),
            site,
            mappings: Vec::new(),
            objectives: objectives.to_vec(),
            policies: Vec::new(),
            needs: self.needs.clone(),
            allowed_lateness: LATENESS,
        })));
    }

    /// Adds a record of the whole stream.
    pub fn stream(&mut self, body: Body) {
        self.records.push(Record { partition: PartitionId::STREAM, body });
    }

    /// Adds a tick.
    pub fn tick(&mut self, time: EventTime) {
        self.stream(Body::Tick(time));
    }

    /// The number of a series, which is declared when it is new.
    fn series_of(&mut self, rack: &str, signal: &str) -> (PartitionId, SeriesId) {
        let next = PartitionId(self.partitions.len() as u32 + 1);
        let name = self.cooling_loop.as_deref().unwrap_or(rack).to_owned();
        let (partition, count) = self.partitions.entry(name).or_insert((next, 0));
        let partition = *partition;
        let key = (rack.to_owned(), signal.to_owned());
        if let Some(id) = self.series.get(&key) {
            return (partition, *id);
        }
        let id = SeriesId(*count);
        *count += 1;
        self.series.insert(key, id);
        let (signal, sensor) =
            signal.split_once('#').map_or((signal, None), |(signal, sensor)| (signal, Some(sensor)));
        let (signal, device) =
            signal.split_once('@').map_or((signal, None), |(signal, device)| (signal, Some(device)));
        let place = Place {
            site: "s1".into(),
            cooling_loop: self.cooling_loop.clone(),
            rack: Some(rack.into()),
            device: device.map(Name::from),
            ..Place::default()
        };
        let unit = telemetry::signal::find(signal).map_or("1", |signal| signal.unit.symbol());
        let declaration = SeriesDeclaration {
            partition: PartitionKey::of(&place),
            id,
            identity: SeriesIdentity::new(place, signal.into(), sensor.map(Name::from)),
            cooling_loop: self.cooling_loop.clone(),
            declared: true,
            unit: unit.into(),
            source: "test".into(),
            source_name: signal.into(),
            source_unit: unit.into(),
            temporality: Temporality::Gauge,
            feed: self.feed.unwrap_or(Feed::Unsaid),
            labels: std::sync::Arc::default(),
        };
        self.records.push(Record { partition, body: Body::Series(declaration.into()) });
        (partition, id)
    }

    /// Declares series that readings may come for.
    pub fn declare(&mut self, samples: &[Sample]) {
        for sample in samples {
            self.series_of(sample.rack, &sample.signal);
        }
    }

    /// Adds readings: one batch for each rack, sorted by (time, series).
    pub fn samples(&mut self, samples: &[Sample]) {
        let mut batches: BTreeMap<PartitionId, Vec<(EventTime, SeriesId, f64, Flag)>> = BTreeMap::new();
        for sample in samples {
            let (partition, id) = self.series_of(sample.rack, &sample.signal);
            batches.entry(partition).or_default().push((sample.time, id, sample.value, sample.flag));
        }
        for (partition, mut rows) in batches {
            rows.sort_by_key(|(time, id, ..)| (*time, *id));
            let batch = SampleBatch {
                series: rows.iter().map(|row| row.1).collect(),
                time: rows.iter().map(|row| row.0).collect(),
                value: rows.iter().map(|row| row.2).collect(),
                flag: rows.iter().map(|row| row.3).collect(),
            };
            self.records.push(Record { partition, body: Body::Samples(batch) });
        }
    }
}

/// All effects of some records.
pub fn effects_of(records: &[Record]) -> Vec<Effect> {
    let mut evaluator = Evaluator::new();
    let mut all = Vec::new();
    let mut effects = Effects::default();
    for (sequence, record) in (1..).zip(records) {
        effects.clear();
        evaluator.apply(sequence, record, &mut effects);
        all.append(&mut effects.list);
    }
    all
}

/// An objective on time in bounds. `spec`: lines of `metricSource.spec` beyond the signal.
pub fn objective(
    name: &str,
    expression: &str,
    unit: &str,
    limit: &str,
    target: &str,
    spec: &str,
) -> Document {
    let (op, value) = limit.split_once(' ').expect("a limit is an operator and a value");
    let text = format!(
        "apiVersion: openslo/v1\nkind: SLO\nmetadata: {{name: {name}}}\nspec:\n  service: test\n  \
         budgetingMethod: Timeslices\n  timeWindow: [{{duration: 28d, isRolling: true}}]\n  indicator:\n    \
         metadata: {{name: {name}}}\n    spec:\n      thresholdMetric:\n        metricSource:\n          \
         type: thermogate\n          spec:\n            specVersion: v1alpha1\n            \
         signal: {{expr: \"{expression}\", unit: {unit}}}\n            groupBy: [rack]\n            {spec}\n  \
         objectives:\n    - {{op: {op}, value: {value}, target: {target}}}\n"
    );
    Document { name: format!("{name}.yaml"), text }
}

/// An objective on recoveries: its budget counts bursts, not slices.
pub fn recovery_time(
    name: &str,
    expression: &str,
    unit: &str,
    limit: &str,
    target: &str,
    spec: &str,
) -> Document {
    let Document { name, text } = objective(name, expression, unit, limit, target, spec);
    Document { name, text: text.replace("budgetingMethod: Timeslices", "budgetingMethod: Occurrences") }
}

/// The story of a text.
pub fn story(objectives: &[Document], text: &str) -> Story {
    story_at(None, objectives, text)
}

/// The story of a text where this site file is in force.
pub fn story_at(site: Option<Document>, objectives: &[Document], text: &str) -> Story {
    let mut story = Story::at_site(site, objectives);
    let mut interval = Microseconds::from_seconds(10);
    let mut events: BTreeMap<EventTime, (Vec<Sample>, Vec<Body>)> = BTreeMap::new();
    let mut until = Microseconds::ZERO;
    let length = |text: &str| text.parse::<Microseconds>().unwrap_or_else(|error| panic!("{error}"));
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words[..] {
            ["feed", every] => {
                interval = length(every);
                story.feed = Some(Feed::Periodic { interval });
            }
            ["until", end] => until = length(end),
            ["run", run, "on", rack, "at", start, "for", planned] => {
                let change = RunChange::Start {
                    racks: rack.split(',').map(Name::from).collect(),
                    stage: "canary".into(),
                    versions: Labels::new(),
                    planned: length(planned),
                };
                let time = BEGIN + length(start);
                events.entry(time).or_default().1.push(Body::Run(RunEvent { run: run.into(), time, change }));
            }
            ["end", run, "at", end] => {
                let time = BEGIN + length(end);
                let change = RunChange::End { state: RunState::Ended };
                events.entry(time).or_default().1.push(Body::Run(RunEvent { run: run.into(), time, change }));
            }
            ["maintenance", rack, span] => {
                let (from, to) = span.split_once("..").expect("a span");
                let time = BEGIN + length(from);
                let event = MaintenanceEvent {
                    rack: rack.into(),
                    time,
                    until: Some(BEGIN + length(to)),
                    by: "ann".into(),
                    why: "test".into(),
                };
                events.entry(time).or_default().1.push(Body::Maintenance(event));
            }
            [rack, signal, span, value] => {
                let (from, to) = span.split_once("..").unwrap_or((span, ""));
                let mut time = BEGIN + length(from);
                let end = if to.is_empty() { time + Microseconds(1) } else { BEGIN + length(to) };
                let (value, flag) = match value {
                    "stale" => (f64::NAN, Flag::Stale),
                    "broken" => (f64::NAN, Flag::Sentinel),
                    "flagged" => (40.0, Flag::Distrusted),
                    number => (number.parse().expect("a number"), Flag::Ok),
                };
                while time < end {
                    let rack = String::leak(rack.to_owned());
                    let sample = Sample { rack, signal: signal.to_owned(), time, value, flag };
                    events.entry(time).or_default().0.push(sample);
                    time = time + interval;
                }
            }
            _ => panic!("no such line: {line}"),
        }
    }
    let second = Microseconds::from_seconds(1);
    let mut now = BEGIN;
    while now <= BEGIN + until + LATENESS {
        let later = events.split_off(&(now + Microseconds(1)));
        for (samples, bodies) in std::mem::replace(&mut events, later).into_values() {
            story.samples(&samples);
            bodies.into_iter().for_each(|body| story.stream(body));
        }
        story.tick(now);
        now = now + second;
    }
    story
}

/// Effects of the kinds that tell a story, one a line, with times as seconds since its beginning.
pub fn tell(effects: &[Effect]) -> String {
    let seconds = |time: EventTime| {
        let seconds = (time - BEGIN).as_seconds();
        format!("{}:{:06.3}", (seconds / 60.0).floor(), seconds.rem_euclid(60.0)).replace(".000", "")
    };
    let place = |place: &Place| {
        let parts: Vec<String> =
            place.levels().filter(|(level, _)| *level != "site").map(|(_, name)| name.to_string()).collect();
        parts.join("/")
    };
    let mut lines = Vec::new();
    for effect in effects {
        match effect {
            Effect::Alert(alert) => lines.push(format!(
                "{} {} {} {} -> {} since {}",
                seconds(alert.time),
                alert.alertname,
                alert.labels.get("rack").or(alert.labels.get("loop")).map_or("", |name| name),
                alert.from.name(),
                alert.to.name(),
                seconds(alert.since),
            )),
            Effect::Finding(finding) => lines.push(format!(
                "{} finding {} {}{} onset {}{}",
                seconds(finding.detected),
                finding.detector,
                place(&finding.place),
                finding.signal.as_ref().map_or(String::new(), |signal| format!(" {signal}")),
                seconds(finding.onset),
                finding.ended.map_or(String::new(), |ended| format!(" ended {}", seconds(ended))),
            )),
            Effect::Status(row) if row.status.is_final => {
                let status = &row.status;
                lines.push(format!(
                    "{} final {} {} {:?}: good {} bad {} unknown {} of {} episodes {} longest {}",
                    seconds(row.time),
                    status.objective,
                    place(&status.place),
                    status.outcome,
                    status.time.good,
                    status.time.bad,
                    status.time.unknown,
                    status.time.asked(),
                    status.episodes,
                    status.longest_episode,
                ));
            }
            Effect::Status(_)
            | Effect::Block(_)
            | Effect::Publish(_)
            | Effect::Row(_)
            | Effect::Count { .. }
            | Effect::Drill(_)
            | Effect::DrillAlert(_)
            | Effect::DrillCopy { .. } => {}
        }
    }
    lines.join("\n")
}

/// Text in, text out.
pub fn replay(objectives: &[Document], text: &str) -> String {
    tell(&effects_of(&story(objectives, text).records))
}
