//! Streams of records that bytes make up, and what holds of every one of them.
//!
//! Bytes choose acts: minutes of readings of a loop with two racks, some of them wrong in one way or another; single
//! readings of any value at any time; runs, maintenance, calibrations, other documents, restarts. Whatever they choose,
//! the evaluator goes on, says nothing that is no number, counts no time twice and comes back from its snapshot.

use std::collections::BTreeMap;

use evaluator::{Effect, Effects, Evaluator};
use telemetry::drill::{DrillChange, DrillEvent};
use telemetry::place::{PartitionKey, Place, SeriesIdentity};
use telemetry::record::{
    Body, Calibration, Configuration, Document, Feed, Flag, MaintenanceEvent, PartitionId, PlaceEvent,
    Record, RunChange, RunEvent, RunState, SampleBatch, SeriesDeclaration, SeriesId, Temporality,
};
use telemetry::{EventTime, Labels, Microseconds, Name};

const BEGIN: EventTime = EventTime::from_unix_micros(1_767_600_000_000_000);
/// No stream is longer: most detectors have a baseline after one hour, all have spoken after three.
const LONGEST: Microseconds = Microseconds::from_minutes(4 * 60);
/// No single jump of the clock is longer.
const LONGEST_JUMP_MINUTES: i64 = 90;
const PARTITION: PartitionId = PartitionId::FIRST;

/// Rack (none: of the loop), device, signal, sensor, what a healthy one reads, and its noise.
type Channel = (&'static str, &'static str, &'static str, &'static str, f64, f64);

const CHANNELS: [Channel; 43] = [
    ("", "", "coolant_supply_temperature", "A", 35.0, 0.05),
    ("", "", "coolant_supply_temperature", "B", 35.0, 0.05),
    ("", "", "coolant_supply_temperature_setpoint", "", 35.0, 0.0),
    ("", "", "coolant_return_temperature", "", 45.0, 0.05),
    ("", "", "coolant_supply_flow", "", 300.0, 0.5),
    ("", "", "coolant_return_flow", "", 300.0, 0.5),
    ("", "", "pump_speed", "", 80.0, 0.1),
    ("", "", "pump_differential_pressure", "", 180.0, 0.4),
    ("", "", "cdu_differential_pressure", "", 60.0, 0.4),
    ("", "", "filter_differential_pressure", "", 20.0, 0.1),
    ("", "", "valve_position", "", 50.0, 0.2),
    ("", "", "facility_supply_temperature", "", 28.0, 0.05),
    ("", "", "facility_return_temperature", "", 38.0, 0.05),
    ("", "", "facility_flow", "", 300.0, 0.5),
    ("", "", "dew_point", "", 12.0, 0.1),
    ("r1", "", "coolant_supply_temperature", "", 35.0, 0.05),
    ("r1", "", "coolant_return_temperature", "", 45.0, 0.05),
    ("r1", "", "coolant_flow", "", 150.0, 0.5),
    ("r1", "", "coolant_differential_pressure", "", 100.0, 0.4),
    ("r1", "", "rack_power", "", 115.0, 0.3),
    ("r1", "", "leak_state", "", 0.0, 0.0),
    ("r1", "", "air_inlet_temperature", "", 25.0, 0.1),
    ("r1", "", "air_exhaust_temperature", "", 39.0, 0.1),
    ("r1", "", "door_air_outlet_temperature", "", 25.0, 0.1),
    ("r1", "", "room_temperature_setpoint", "", 25.0, 0.0),
    ("r1", "gpu0", "gpu_temperature", "", 75.0, 0.4),
    ("r1", "gpu1", "gpu_temperature", "", 76.0, 0.4),
    ("r1", "gpu2", "gpu_temperature", "", 74.0, 0.4),
    ("r1", "gpu0", "gpu_power", "", 1_000.0, 5.0),
    ("r1", "gpu1", "gpu_power", "", 1_000.0, 5.0),
    ("r1", "gpu2", "gpu_power", "", 1_000.0, 5.0),
    ("r1", "gpu0", "gpu_temperature_margin", "", 12.0, 0.4),
    ("r1", "gpu0", "gpu_slowdown_temperature", "", 88.0, 0.0),
    ("r1", "gpu0", "gpu_thermal_throttle_time", "", 7.0, 0.0),
    ("r1", "gpu1", "clock_event_reasons", "", 0.0, 0.0),
    ("r2", "", "coolant_supply_temperature", "", 35.0, 0.05),
    ("r2", "", "coolant_return_temperature", "", 45.0, 0.05),
    ("r2", "", "coolant_flow", "", 150.0, 0.5),
    ("r2", "", "rack_power", "", 115.0, 0.3),
    ("r2", "gpu0", "gpu_temperature", "", 75.0, 0.4),
    ("r2", "gpu0", "gpu_power", "", 1_000.0, 5.0),
    ("r2", "", "leak_state", "", 0.0, 0.0),
    ("r2", "", "vibration", "", 3.0, 0.1),
];

const SITES: [&str; 2] = [
    "apiVersion: thermogate.dev/v1alpha1\nkind: Site\nmetadata: {name: s1}\n\
     loops: [{name: l1, coolant: pg25, nominalFlow: 300 L/min}]\n\
     racks:\n  - {name: r1, loop: l1, nominalPower: 120 kW}\n  - {name: r2, loop: l1, nominalPower: 120 kW}\n",
    "apiVersion: thermogate.dev/v1alpha1\nkind: Site\nmetadata: {name: s1}\n\
     loops: [{name: l1, coolant: water}]\n\
     racks:\n  - {name: r1, loop: l1, nominalPower: 60 kW, limits: {coolant_supply_temperature: 42 Cel}}\n  \
     - {name: r2, loop: l1}\n\
     redundancy:\n  - {signal: coolant_supply_temperature, loop: l1, sensors: [A, B]}\n",
];

/// Bytes as choices; none are left at their end.
struct Choices<'a>(&'a [u8]);

impl Choices<'_> {
    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    fn below(&mut self, count: usize) -> Option<usize> {
        Some(usize::from(self.byte()?) % count)
    }

    fn eight(&mut self) -> Option<[u8; 8]> {
        let (eight, rest) = self.0.split_first_chunk::<8>()?;
        self.0 = rest;
        Some(*eight)
    }

    /// Any number at all, often one that programs forget.
    fn value(&mut self) -> Option<f64> {
        Some(match self.below(12)? {
            0 => f64::NAN,
            1 => f64::INFINITY,
            2 => f64::NEG_INFINITY,
            3 => f64::MAX,
            4 => f64::MIN_POSITIVE,
            5 => -0.0,
            6 => 0.0,
            7 => f64::from_bits(0x7ff0_0000_0000_0002),
            8 => f64::from_bits(u64::from_le_bytes(self.eight()?)),
            9 => -f64::from(self.byte()?),
            _ => f64::from(self.byte()?) / 2.0,
        })
    }

    /// A moment around `now`, or any at all.
    fn time(&mut self, now: EventTime) -> Option<EventTime> {
        let around = |seconds: i64| now + Microseconds::from_seconds(seconds);
        Some(match self.below(8)? {
            0 => EventTime::from_unix_micros(i64::from_le_bytes(self.eight()?)),
            1 => EventTime::MINIMUM,
            2 => EventTime::from_unix_micros(i64::MAX),
            3 => around(-i64::from(self.byte()?) * 60),
            4 => around(i64::from(self.byte()?)),
            _ => around(-i64::from(self.byte()? % 40)),
        })
    }
}

/// How a channel reads for a while.
#[derive(Clone, Copy)]
enum Manner {
    Scaled(f64),
    Shifted(f64),
    Swinging(f64),
    Resting,
    Silent,
    Flagged(Flag),
    Broken(f64),
    Late(i64),
}

impl Manner {
    fn choose(choices: &mut Choices<'_>) -> Option<Self> {
        Some(match choices.below(8)? {
            0 => Self::Scaled(f64::from(choices.byte()?) / 128.0),
            1 => Self::Shifted((f64::from(choices.byte()?) - 128.0) / 16.0),
            2 => Self::Swinging(f64::from(choices.byte()?) / 32.0),
            3 => Self::Resting,
            4 => Self::Silent,
            5 => Self::Flagged(Flag::ALL[choices.below(Flag::ALL.len())?]),
            6 => Self::Broken(choices.value()?),
            _ => Self::Late(i64::from(choices.byte()?)),
        })
    }
}

/// The evaluator under a stream, and what the stream has come to.
struct Player {
    evaluator: Evaluator,
    effects: Effects,
    sequence: u64,
    now: EventTime,
    interval: i64,
    manners: BTreeMap<usize, Manner>,
    noise: u64,
}

/// Plays the stream that `bytes` make up.
///
/// # Panics
/// When something does not hold that must hold of every stream.
pub fn play(bytes: &[u8]) {
    let mut player = Player {
        evaluator: Evaluator::new(),
        effects: Effects::default(),
        sequence: 0,
        now: BEGIN,
        interval: 10,
        manners: BTreeMap::new(),
        noise: 1,
    };
    let mut choices = Choices(bytes);
    let site = choices.below(3).unwrap_or(0);
    player.configure(site, 0);
    for index in 0..CHANNELS.len() {
        player.declare(
            index,
            Feed::Periodic { interval: Microseconds::from_seconds(10) },
            "",
            Temporality::Gauge,
        );
    }
    while player.now - BEGIN < LONGEST && player.act(&mut choices).is_some() {}
    player.jump(5);
    player.restart();
}

impl Player {
    fn act(&mut self, choices: &mut Choices<'_>) -> Option<()> {
        match choices.below(17)? {
            0..=3 => self.minutes(i64::from(choices.byte()? % 100)),
            4 | 5 => {
                let (index, manner) = (choices.below(CHANNELS.len())?, Manner::choose(choices)?);
                self.manners.insert(index, manner);
            }
            6 => self.manners.clear(),
            7 => self.single(choices)?,
            8 => self.jump(choices.byte()?.into()),
            9 => self.interval = [1, 5, 10, 30, 60][choices.below(5)?],
            10 => self.run(choices)?,
            11 => self.maintain(choices)?,
            12 => self.calibrate(choices)?,
            13 => {
                let (site, objectives) = (choices.below(3)?, choices.below(3)?);
                self.configure(site, objectives);
            }
            14 => self.redeclare(choices)?,
            15 => self.drill(choices)?,
            _ => self.restart(),
        }
        Some(())
    }

    fn apply(&mut self, partition: PartitionId, body: Body) {
        self.sequence += 1;
        self.effects.clear();
        let samples = if let Body::Samples(batch) = &body { batch.len() } else { 0 };
        self.evaluator.apply(self.sequence, &Record { partition, body }, &mut self.effects);
        assert_eq!(self.effects.fates.len(), samples, "each reading has a fate");
        self.effects.list.iter().for_each(look_at);
    }

    /// Some minutes of all channels, each in its manner, with a tick every ten seconds.
    fn minutes(&mut self, minutes: i64) {
        let interval = self.interval;
        for second in (0..60 * minutes).step_by(10) {
            for reading in (second..second + 10).filter(|second| second % interval == 0) {
                self.report(self.now + Microseconds::from_seconds(reading - second));
            }
            self.now = self.now + Microseconds::from_seconds(10);
            self.apply(PartitionId::STREAM, Body::Tick(self.now));
        }
    }

    /// One reading of every channel.
    fn report(&mut self, time: EventTime) {
        let mut rows = Vec::with_capacity(CHANNELS.len());
        for (index, (.., usual, noise)) in CHANNELS.iter().enumerate() {
            self.noise =
                self.noise.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let draw = (self.noise >> 40) as f64 / f64::from(1 << 24) - 0.5;
            let value = usual + 3.5 * noise * draw;
            let phase = (time - BEGIN).0.div_euclid(1_000_000).rem_euclid(120) as f64 / 60.0 - 1.0;
            let (time, value, flag) = match self.manners.get(&index) {
                None => (time, value, Flag::Ok),
                Some(Manner::Scaled(by)) => (time, value * by, Flag::Ok),
                Some(Manner::Shifted(by)) => (time, value + by, Flag::Ok),
                Some(Manner::Swinging(by)) => (time, value + by * (2.0 * phase.abs() - 1.0), Flag::Ok),
                Some(Manner::Resting) => (time, *usual, Flag::Ok),
                Some(Manner::Silent) => continue,
                Some(Manner::Flagged(flag)) => (time, value, *flag),
                Some(Manner::Broken(value)) => (time, *value, Flag::Ok),
                Some(Manner::Late(seconds)) => (time - Microseconds::from_seconds(*seconds), value, Flag::Ok),
            };
            rows.push((time, SeriesId(index as u32), value, flag));
        }
        self.samples(rows);
    }

    fn samples(&mut self, mut rows: Vec<(EventTime, SeriesId, f64, Flag)>) {
        rows.sort_by_key(|(time, id, ..)| (*time, *id));
        let batch = SampleBatch {
            series: rows.iter().map(|row| row.1).collect(),
            time: rows.iter().map(|row| row.0).collect(),
            value: rows.iter().map(|row| row.2).collect(),
            flag: rows.iter().map(|row| row.3).collect(),
        };
        self.apply(PARTITION, Body::Samples(batch));
    }

    /// Readings of any value at any time, also of series and partitions that nobody declared.
    fn single(&mut self, choices: &mut Choices<'_>) -> Option<()> {
        let mut rows = Vec::new();
        for _ in 0..=choices.below(8)? {
            let id = SeriesId(choices.below(CHANNELS.len() + 1)? as u32);
            let flag =
                if choices.below(4)? == 0 { Flag::ALL[choices.below(Flag::ALL.len())?] } else { Flag::Ok };
            rows.push((choices.time(self.now)?, id, choices.value()?, flag));
        }
        self.samples(rows);
        Some(())
    }

    /// A clock that stood still for some minutes, or steps back a little.
    fn jump(&mut self, minutes: i64) {
        if minutes % 7 == 0 {
            self.apply(PartitionId::STREAM, Body::Tick(self.now - Microseconds::from_minutes(minutes)));
            return;
        }
        self.now = self.now + Microseconds::from_minutes(minutes.min(LONGEST_JUMP_MINUTES));
        self.apply(PartitionId::STREAM, Body::Tick(self.now));
    }

    fn run(&mut self, choices: &mut Choices<'_>) -> Option<()> {
        let run = Name::from(["one", "two", "three"][choices.below(3)?]);
        let change = match choices.below(4)? {
            0 | 1 => RunChange::Start {
                racks: [vec!["r1".into()], vec!["r1".into(), "r2".into()], vec!["r3".into()], Vec::new()]
                    [choices.below(4)?]
                .clone(),
                stage: "smoke".into(),
                versions: Labels::new(),
                planned: Microseconds::from_minutes(choices.byte()?.into()),
            },
            2 => RunChange::End { state: [RunState::Ended, RunState::Aborted][choices.below(2)?] },
            _ => RunChange::Mark { text: "mark".to_owned() },
        };
        let time = choices.time(self.now)?;
        self.apply(PartitionId::STREAM, Body::Run(RunEvent { run, time, change }));
        Some(())
    }

    fn maintain(&mut self, choices: &mut Choices<'_>) -> Option<()> {
        let event = MaintenanceEvent {
            rack: ["r1", "r2", "r3"][choices.below(3)?].into(),
            time: choices.time(self.now)?,
            until: if choices.below(2)? == 0 { None } else { Some(choices.time(self.now)?) },
            by: "ann".into(),
            why: "a hose".into(),
        };
        self.apply(PartitionId::STREAM, Body::Maintenance(event));
        Some(())
    }

    fn drill(&mut self, choices: &mut Choices<'_>) -> Option<()> {
        let classes = evaluator::drill::class::CLASSES;
        let class = classes.get(choices.below(classes.len() + 1)?).map_or("other", |class| class.name);
        let change = match choices.below(4)? {
            0 => DrillChange::Cancel,
            _ => DrillChange::Start {
                rack: ["r1", "r2", "r3"][choices.below(3)?].into(),
                class: class.into(),
                severity: if choices.below(4)? == 0 { Some(choices.value()?) } else { None },
            },
        };
        let drill = ["one", "two"][choices.below(2)?].into();
        let (by, why) = ("ann".to_owned(), "a rehearsal".to_owned());
        let event = DrillEvent { drill, time: choices.time(self.now)?, change, by, why };
        self.apply(PartitionId::STREAM, Body::Drill(event));
        Some(())
    }

    fn calibrate(&mut self, choices: &mut Choices<'_>) -> Option<()> {
        let calibration = Calibration {
            calibration: format!("{:016x}", self.sequence).into(),
            reference: "a bath".to_owned(),
            identity: identity(choices.below(CHANNELS.len())?),
            time: choices.time(self.now)?,
            kind: ["offset", "reset", "other"][choices.below(3)?].into(),
            value: if choices.below(4)? == 0 { None } else { Some(choices.value()?) },
            by: "ann".to_owned(),
            why: "a reference".to_owned(),
        };
        self.apply(PartitionId::STREAM, Body::Calibration(calibration));
        Some(())
    }

    fn configure(&mut self, site: usize, objectives: usize) {
        let file = |name: &str, text: &str| Document { name: name.to_owned(), text: text.to_owned() };
        let mut documents = evaluator::default_documents();
        match objectives {
            0 => {
                documents.push(file("recovery.yaml", include_str!("../../../slo/recovery.yaml")));
                documents.push(file("dew-point.yaml", include_str!("../../../slo/dew-point.yaml")));
            }
            1 => {}
            _ => documents.push(file("torn.yaml", "kind: [")),
        }
        let configuration = Configuration {
            hash: format!("{site}{objectives}"),
            site: SITES.get(site).map(|text| file("site.yaml", text)),
            mappings: Vec::new(),
            objectives: documents,
            policies: Vec::new(),
            needs: Vec::new(),
            allowed_lateness: Microseconds::from_seconds(30),
        };
        self.apply(PartitionId::STREAM, Body::Configuration(Box::new(configuration)));
    }

    fn declare(&mut self, index: usize, feed: Feed, unit: &str, temporality: Temporality) {
        let (.., signal, _, _, _) = CHANNELS[index];
        let usual = telemetry::signal::find(signal).map_or("1", |signal| signal.unit.symbol());
        let identity = identity(index);
        let declaration = SeriesDeclaration {
            partition: PartitionKey::of(&identity.place),
            id: SeriesId(index as u32),
            identity,
            cooling_loop: Some("l1".into()),
            declared: true,
            unit: usual.into(),
            source: "fuzz".into(),
            source_name: signal.into(),
            source_unit: unit.into(),
            temporality,
            feed,
            labels: std::sync::Arc::default(),
        };
        self.apply(PARTITION, Body::Series(declaration.into()));
    }

    /// A source says something else of a series that it has sent for a while; a workload moves.
    fn redeclare(&mut self, choices: &mut Choices<'_>) -> Option<()> {
        let index = choices.below(CHANNELS.len())?;
        let length = Microseconds::from_seconds(choices.byte()?.into());
        let feed = [Feed::Unsaid, Feed::Periodic { interval: length }, Feed::OnChange { republish: length }]
            [choices.below(3)?];
        let temporality =
            [Temporality::Gauge, Temporality::Cumulative, Temporality::Delta][choices.below(3)?];
        self.declare(index, feed, ["Cel", "degF", "kW"][choices.below(3)?], temporality);
        let event = PlaceEvent {
            place: identity(index).place,
            time: choices.time(self.now)?,
            name: "pod".into(),
            old: "".into(),
            new: "trainer".into(),
            source_name: "pod".into(),
        };
        self.apply(PartitionId::STREAM, Body::Event(event));
        Some(())
    }

    /// The state as bytes is the state.
    fn restart(&mut self) {
        let bytes = self.evaluator.snapshot();
        self.evaluator = Evaluator::restore(&bytes).expect("a snapshot is read again");
        assert!(self.evaluator.snapshot() == bytes, "a restored state has the same bytes");
    }
}

fn identity(index: usize) -> SeriesIdentity {
    let (rack, device, signal, sensor, ..) = CHANNELS[index];
    let name = |name: &str| (!name.is_empty()).then(|| Name::from(name));
    let place = Place {
        site: "s1".into(),
        cooling_loop: Some("l1".into()),
        rack: name(rack),
        node: name(device).map(|device| format!("n-{device}").into()),
        device: name(device),
    };
    SeriesIdentity::new(place, signal.into(), name(sensor))
}

/// What holds of everything that is said.
fn look_at(effect: &Effect) {
    match effect {
        Effect::Status(row) => {
            let (status, time) = (&row.status, row.status.time);
            let spans = [time.good, time.bad, time.unknown, status.longest_episode];
            assert!(spans.iter().all(|span| span.0 >= 0), "no time is negative: {status:?}");
            assert!(status.known_units <= status.asked_units, "{status:?}");
            assert!(status.bad_units <= status.known_units, "{status:?}");
        }
        Effect::Block(block) => {
            let Microseconds(known) = block.known;
            assert!(0 <= known, "{block:?}");
            assert!(block.minimum <= block.mean && block.mean <= block.maximum, "{block:?}");
        }
        Effect::Finding(finding) => {
            assert!(finding.onset <= finding.detected, "{finding:?}");
            assert!(finding.ended.is_none_or(|ended| finding.onset <= ended), "{finding:?}");
        }
        Effect::Drill(drill) => {
            assert!(drill.started <= drill.until, "{drill:?}");
            assert!(drill.missing.is_empty() || drill.ended.is_some(), "{drill:?}");
        }
        Effect::Alert(_)
        | Effect::Publish(_)
        | Effect::Row(_)
        | Effect::Count { .. }
        | Effect::DrillAlert(_)
        | Effect::DrillCopy { .. } => {}
    }
    // What gates may see is told anew every ten seconds, and each text of it is long.
    if matches!(effect, Effect::Publish(facts) if facts.sequence % 37 != 0) {
        return;
    }
    let text = format!("{effect:?}");
    let no_number = ["NaN", "inf"].iter().find(|word| {
        text.match_indices(*word).any(|(at, _)| {
            let letter =
                |byte: Option<&u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric() || *byte == b'_');
            let bytes = text.as_bytes();
            !letter(at.checked_sub(1).and_then(|before| bytes.get(before)))
                && !letter(bytes.get(at + word.len()))
        })
    });
    assert!(no_number.is_none(), "a result is no number: {text}");
}
