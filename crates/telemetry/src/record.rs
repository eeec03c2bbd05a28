//! All that the log holds, in order: the evaluator sees nothing else.
//!
//! `ingest` → **record** → log → `evaluator`. The protobuf form is `proto/thermogate/log/v1/log.proto`.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::drill::DrillEvent;
use crate::facts::Need;
use crate::place::{PartitionKey, Place, SeriesIdentity};
use crate::{EventTime, Labels, Microseconds, Name};

/// One entry of the log.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    /// Which partition it belongs to; [`PartitionId::STREAM`] for what concerns all of the stream's partitions.
    pub partition: PartitionId,
    /// What happened.
    pub body: Body,
}

/// A partition's number in its stream, given in log order by the first [`SeriesDeclaration`] of its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PartitionId(pub u32);

impl PartitionId {
    /// Not one partition but the whole stream: ticks, configuration, runs, operators' acts.
    pub const STREAM: Self = Self(0);
    /// The first number that a partition gets.
    pub const FIRST: Self = Self(1);
}

/// A series' number in its partition: dense, from 0, in log order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SeriesId(pub u32);

/// Position of a record in its stream, from 1.
pub type Sequence = u64;

/// What a record says.
#[derive(Debug, Clone, PartialEq)]
pub enum Body {
    /// A series is about to have its first sample.
    Series(Arc<SeriesDeclaration>),
    /// Readings, sorted by (time, series).
    Samples(SampleBatch),
    /// Event time reached this moment: the shell's clock, as data. Never goes back.
    Tick(EventTime),
    /// Site, objectives, policies or mappings, in force from here on.
    Configuration(Box<Configuration>),
    /// A run started or ended, or something happened in it.
    Run(RunEvent),
    /// A sensor was calibrated, or a baseline is to be taken anew.
    Calibration(Calibration),
    /// Work on a rack or loop starts or ends: time inside is unknown, not good.
    Maintenance(MaintenanceEvent),
    /// A drill begins, or is broken off.
    Drill(DrillEvent),
    /// A person takes responsibility for going on in spite of a verdict.
    Override(Override),
    /// A verdict was given.
    Verdict(VerdictRecord),
    /// A workload label or other attribute of a place changed.
    Event(PlaceEvent),
}

/// Identity, number and attributes of a series.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SeriesDeclaration {
    /// The partition that it belongs to under the configuration in force.
    pub partition: PartitionKey,
    /// Its number in that partition.
    pub id: SeriesId,
    /// What makes it this series.
    pub identity: SeriesIdentity,
    /// The loop of its rack under the configuration in force, which the identity leaves out.
    #[serde(rename = "loop")]
    pub cooling_loop: Option<Name>,
    /// Whether the site file names its rack or loop.
    pub declared: bool,
    /// Canonical unit, a UCUM symbol.
    pub unit: Name,
    /// Who sends it: `otlp`, `remote_write`, `file`, or the name of a source in the mapping.
    pub source: Name,
    /// The metric's name at its source.
    pub source_name: Name,
    /// The unit at its source; empty when the source named none.
    pub source_unit: Name,
    /// How its numbers add up.
    pub temporality: Temporality,
    /// How often it is expected.
    pub feed: Feed,
    /// Everything else that was said about it: the same of many series.
    pub labels: Arc<Labels>,
}

impl SeriesDeclaration {
    /// Its place with the loop filled in.
    pub fn place(&self) -> Place {
        Place { cooling_loop: self.cooling_loop.clone(), ..self.identity.place.clone() }
    }
}

/// How the numbers of a series add up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Temporality {
    /// Each value stands for itself.
    Gauge,
    /// A running total; a smaller value is a reset.
    Cumulative,
    /// What was added since the last report; the evaluator adds it up.
    Delta,
}

/// How often a source reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Feed {
    /// Nobody said: periodic, with the interval found from the data.
    Unsaid,
    /// Every `interval`.
    Periodic {
        /// Time between two reports.
        interval: Microseconds,
    },
    /// When a value changes, and again after `republish` at the latest.
    OnChange {
        /// Longest time between two reports.
        republish: Microseconds,
    },
}

/// What is known about one reading when it is taken in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Flag {
    /// Nothing to remark.
    Ok,
    /// Outside the usual operating range; judged normally.
    Unusual,
    /// Behind the watermark: stored, not judged.
    Late,
    /// Outside what a working sensor can report: unknown.
    Implausible,
    /// The source's word for "no value", NaN, or a text state: unknown.
    Sentinel,
    /// More than 60 s ahead of the tick: unknown.
    Future,
    /// The source itself says not to trust it: unknown.
    Distrusted,
    /// The series ended (stale marker, no recorded value): ends the hold at once; not a reading.
    Stale,
}

impl Flag {
    /// All flags; a flag's number in the log is its position here.
    pub const ALL: [Self; 8] = [
        Self::Ok,
        Self::Unusual,
        Self::Late,
        Self::Implausible,
        Self::Sentinel,
        Self::Future,
        Self::Distrusted,
        Self::Stale,
    ];

    /// The word in the tables.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Unusual => "unusual",
            Self::Late => "late",
            Self::Implausible => "implausible",
            Self::Sentinel => "sentinel",
            Self::Future => "future",
            Self::Distrusted => "distrusted",
            Self::Stale => "stale",
        }
    }

    /// Whether the value may be judged.
    pub const fn is_reading(self) -> bool {
        match self {
            Self::Ok | Self::Unusual => true,
            Self::Late
            | Self::Implausible
            | Self::Sentinel
            | Self::Future
            | Self::Distrusted
            | Self::Stale => false,
        }
    }
}

/// Readings of one partition, as columns of equal length, sorted by (time, series).
#[derive(Debug, Default, Clone, PartialEq)]
pub struct SampleBatch {
    /// Which series.
    pub series: Vec<SeriesId>,
    /// When the sensor took the reading.
    pub time: Vec<EventTime>,
    /// The reading in the signal's canonical unit.
    pub value: Vec<f64>,
    /// What is known about it; empty when all are [`Flag::Ok`].
    pub flag: Vec<Flag>,
}

impl SampleBatch {
    /// Number of readings.
    pub fn len(&self) -> usize {
        self.series.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.series.is_empty()
    }

    /// The flag of reading `index`.
    pub fn flag(&self, index: usize) -> Flag {
        self.flag.get(index).copied().unwrap_or(Flag::Ok)
    }
}

/// A file as it was read: its name for messages, its text for the parsers of the pure crates.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Document {
    /// File name, for messages such as `slo/rack.yaml:12`.
    pub name: String,
    /// The whole text.
    pub text: String,
}

/// Everything that decides how telemetry is judged, in force from its position in the log.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Configuration {
    /// SHA-256 of the canonical JSON of the parsed documents plus the engine's version.
    pub hash: String,
    /// The site file.
    pub site: Option<Document>,
    /// Mappings of sources to signals.
    pub mappings: Vec<Document>,
    /// Objectives, burn-rate policies and watch groups (OpenSLO v1 and our kinds).
    pub objectives: Vec<Document>,
    /// Gate policies.
    pub policies: Vec<Document>,
    /// What the gate policies ask of the evaluator beyond the objectives; made from `policies`.
    pub needs: Vec<Need>,
    /// How far behind the tick the watermark stays.
    pub allowed_lateness: Microseconds,
}

/// Something happened to a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunEvent {
    /// The run's id, unique for ever.
    pub run: Name,
    /// When it takes effect: max(given time, watermark).
    pub time: EventTime,
    /// What happened.
    pub change: RunChange,
}

/// What happened to a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunChange {
    /// It started.
    Start {
        /// On these racks.
        racks: Vec<Name>,
        /// `smoke`, `canary`, `rehearsal`, `soak` or a name of the site's own.
        stage: Name,
        /// Image, CUDA, driver, firmware … by name.
        versions: Labels,
        /// Planned length: burn windows are scaled to it once.
        planned: Microseconds,
    },
    /// It ended.
    End {
        /// How.
        state: RunState,
    },
    /// Something worth remembering happened in it.
    Mark {
        /// What.
        text: String,
    },
}

/// The state of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunState {
    /// It goes on.
    Active,
    /// It was ended as planned.
    Ended,
    /// It was broken off.
    Aborted,
    /// Nobody ended it: no sample for 24 h, or twice the planned length.
    Abandoned,
}

impl RunState {
    /// The word in tables and answers.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Ended => "ended",
            Self::Aborted => "aborted",
            Self::Abandoned => "abandoned",
        }
    }
}

/// A sensor was calibrated, or a baseline is to be taken anew.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Calibration {
    /// Its id, unique for ever: 16 hex digits.
    #[serde(default)]
    pub calibration: Name,
    /// Which sensor, or which place.
    pub identity: SeriesIdentity,
    /// Takes effect from this time, or from the watermark where that is later.
    pub time: EventTime,
    /// `offset` or `reset`.
    pub kind: Name,
    /// The offset in the signal's unit. It takes the place of the one before.
    pub value: Option<f64>,
    /// What the sensor was compared with.
    #[serde(default)]
    pub reference: String,
    /// Who.
    pub by: String,
    /// Why.
    pub why: String,
}

/// Work on a rack starts or ends.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MaintenanceEvent {
    /// Which rack.
    pub rack: Name,
    /// From when, or until when.
    pub time: EventTime,
    /// Planned end, at a start; `None` means that it ends here.
    pub until: Option<EventTime>,
    /// Who.
    pub by: String,
    /// Why.
    pub why: String,
}

/// A person takes responsibility for going on in spite of a verdict. It never changes the verdict.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Override {
    /// The evaluation whose verdict is meant.
    pub evaluation: Name,
    /// When it was given.
    pub time: EventTime,
    /// The checks that are meant; all when empty.
    pub checks: Vec<Name>,
    /// Who.
    pub by: String,
    /// Why.
    pub why: String,
    /// It expires then.
    pub until: EventTime,
}

/// A verdict with the facts it was made from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct VerdictRecord {
    /// First 16 hex digits of SHA-256 of policy hash, scope, watermark and request id.
    pub evaluation: Name,
    /// The policy's name.
    pub policy: Name,
    /// The policy's hash.
    pub policy_hash: Name,
    /// The racks judged, in order.
    pub racks: Vec<Name>,
    /// The run judged.
    pub run: Option<Name>,
    /// `PASS`, `WARN`, `FAIL`, `INCONCLUSIVE`, `PENDING`.
    pub verdict: Name,
    /// The whole answer as canonical JSON.
    pub answer: String,
    /// The facts and the policy text it was made from, as canonical JSON.
    pub facts: String,
    /// Up to where event time was final.
    pub watermark: EventTime,
    /// The earliest moment at which a PENDING answer can change.
    pub wait_until: Option<EventTime>,
    /// Event time of the request: the last tick.
    pub time: EventTime,
    /// Version of the engine.
    pub engine: Name,
}

/// A workload label or other attribute of a place changed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PlaceEvent {
    /// Where.
    pub place: Place,
    /// When.
    pub time: EventTime,
    /// Which label.
    pub name: Name,
    /// Its value before; empty at first.
    pub old: Name,
    /// Its value now.
    pub new: Name,
    /// Who said so.
    pub source_name: Name,
}

/// What became of one reading, decided by the evaluator from log and snapshot only, and followed by the flush.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// Stored with this flag; judged when [`Flag::is_reading`].
    Stored(Flag),
    /// Same series, time and value as one before: counted, not stored.
    Duplicate,
    /// Same series and time as one before, another value: counted, not stored.
    Conflict,
}
