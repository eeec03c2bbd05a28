//! What the evaluator publishes about a rack and a gate judges: no more is ever looked at for a verdict.
//!
//! `evaluator` → **facts** → `gate`. Stored with each verdict as canonical JSON, so that it can be judged again.

mod batches; // what a rack is compared by: means of steady load, ended runs
mod headroom; // how much power it can sustain

pub use batches::{
    BATCH, BATCHES_MAX, Batch, Conditions, ENDED_RUNS_MAX, EndedRun, Metric, MetricSummary, RackBatches,
};
pub use headroom::{Ambient, Constraint, Headroom, PowerInterval, Sustainable, SustainablePower};

use std::ops::Deref;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::drill::DrillFacts;
use crate::place::Place;
use crate::record::{RunState, Sequence};
use crate::{EventTime, Labels, Microseconds, Name};

/// Everything that is known about one rack (or, without a rack in `place`, about one loop) at one watermark.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RackFacts {
    /// Site, loop and rack.
    pub place: Place,
    /// Whether the site file names it.
    pub declared: bool,
    /// Hash of the configuration in force.
    pub configuration: Name,
    /// The record that these facts were made at.
    pub sequence: Sequence,
    /// Up to here event time is final.
    pub watermark: EventTime,
    /// Event time of the first reading.
    pub first_sample: Option<EventTime>,
    /// Event time of the latest reading, known or not.
    pub last_sample: Option<EventTime>,
    /// The objectives of the rack and of its loop, in order of (name, place, scope).
    pub objectives: Vec<ObjectiveStatus>,
    /// The objectives in force that have no status here, in order of their names: none of their signals ever came.
    pub unseen: Vec<UnseenObjective>,
    /// Findings that have not ended, in order of (onset, detector, place).
    pub findings: Vec<Finding>,
    /// How much of each signal's time is known, in order of (signal, place, sensor).
    pub coverage: Vec<Coverage>,
    /// What may be believed of each sensor that is not simply trusted.
    pub sensors: Vec<SensorTrust>,
    /// Answers to the needs of the gate policies, in order of their names.
    pub measures: Vec<Measure>,
    /// The active run, else the last one.
    pub run: Option<RunFacts>,
    /// The run before `run` on this rack.
    pub previous_run: Option<RunFacts>,
    /// Whether the rack is back where it was before its last ended run.
    pub recovery: Option<Recovery>,
    /// What the rack is compared by; `None` for a loop, and before its first steady minutes.
    pub batches: Option<RackBatches>,
    /// How much power it can sustain; `None` for a loop, and before its first block.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub headroom: Option<Headroom>,
    /// Under maintenance until then.
    pub maintenance_until: Option<EventTime>,
    /// The latest drill of each detector on the rack and on its loop that passed or failed. Whoever asks a gate adds
    /// them: the evaluator judges a rack as if it was never drilled.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub drills: Vec<DrillFacts>,
}

/// Three outcomes, never two.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Kept, and the data to say so is there.
    Ok,
    /// Broken, whatever the missing data would have said.
    NotOk,
    /// Too little is known to say.
    Unknown,
}

/// Why nothing can be said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UnknownReason {
    /// The signal never came: misspelt, renamed or not exported.
    NeverSeen,
    /// Data came once and is missing now or was missing.
    Stale,
    /// What came could not be a reading.
    Invalid,
    /// A detector says that the sensor is broken.
    SensorFault,
    /// The source or a calibration record says not to trust it.
    Distrusted,
    /// People were working on it.
    Maintenance,
    /// Some is known, less than is asked for.
    LowCoverage,
    /// The window is not full yet.
    WindowIncomplete,
    /// No baseline yet.
    Uncalibrated,
    /// Known in full, and still too few events or too little exposure to say.
    NotEnoughEvidence,
    /// Known, and nothing it could fairly be compared with: other hardware, set point, ambient, load or cooling.
    NotComparable,
}

impl UnknownReason {
    /// The word in tables and answers.
    pub const fn name(self) -> &'static str {
        match self {
            Self::NeverSeen => "never_seen",
            Self::Stale => "stale",
            Self::Invalid => "invalid",
            Self::SensorFault => "sensor_fault",
            Self::Distrusted => "distrusted",
            Self::Maintenance => "maintenance",
            Self::LowCoverage => "low_coverage",
            Self::WindowIncomplete => "window_incomplete",
            Self::Uncalibrated => "uncalibrated",
            Self::NotEnoughEvidence => "not_enough_evidence",
            Self::NotComparable => "not_comparable",
        }
    }
}

/// Time by what is known of it.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct TimeByState {
    /// The limit was kept.
    pub good: Microseconds,
    /// The limit was broken.
    pub bad: Microseconds,
    /// Nothing can be said.
    pub unknown: Microseconds,
}

impl TimeByState {
    /// Asked time: all three.
    pub fn asked(self) -> Microseconds {
        self.good + self.bad + self.unknown
    }

    /// Known time: good and bad.
    pub fn known(self) -> Microseconds {
        self.good + self.bad
    }

    /// Known time by asked time; `None` when nothing was asked.
    pub fn coverage(self) -> Option<f64> {
        (self.asked().0 > 0).then(|| self.known().0 as f64 / self.asked().0 as f64)
    }
}

/// How a value is compared with its threshold for the objective to be kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Comparison {
    /// `<=`
    Lte,
    /// `>=`
    Gte,
    /// `<`
    Lt,
    /// `>`
    Gt,
    /// `=`, for state codes.
    Equal,
}

impl Comparison {
    /// Whether `value` keeps the objective.
    pub fn holds(self, value: f64, threshold: f64) -> bool {
        match self {
            Self::Lte => value <= threshold,
            Self::Gte => value >= threshold,
            Self::Lt => value < threshold,
            Self::Gt => value > threshold,
            Self::Equal => value == threshold,
        }
    }

    /// The sign for people.
    pub const fn sign(self) -> &'static str {
        match self {
            Self::Lte => "<=",
            Self::Gte => ">=",
            Self::Lt => "<",
            Self::Gt => ">",
            Self::Equal => "=",
        }
    }
}

/// What kind of promise an objective is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ObjectiveKind {
    /// Share of judged time within limits.
    TimeInBounds,
    /// Episodes per hour.
    EventRate,
    /// Zero tolerance above a noise floor.
    HardLimit,
    /// Slope of a signal and time to its threshold.
    Trend,
    /// Share of load bursts after which a signal is back in its band in time.
    RecoveryTime,
}

/// Over what an objective is judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// A window that moves with time.
    Rolling,
    /// One run from its start.
    Run,
}

/// Whose doing something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// The release under test.
    Release,
    /// The rack's own hardware.
    Rack,
    /// Loop, pump, CDU, facility water, room.
    Facility,
    /// A sensor or its feed.
    Sensor,
    /// Not known.
    Unknown,
}

/// A value that was seen, and where.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Observation {
    /// In the objective's unit.
    pub value: f64,
    /// When.
    pub time: EventTime,
    /// Where exactly: the node and device where there are any.
    pub place: Place,
}

/// One objective in one group over one window.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ObjectiveStatus {
    /// Its name; of an inline objective the name of its [`Need`].
    pub objective: Name,
    /// The group.
    pub place: Place,
    /// What kind of promise it is.
    pub kind: ObjectiveKind,
    /// Rolling or run.
    pub scope: Scope,
    /// The run, when `scope` is run.
    pub run: Option<Name>,
    /// Whether the run has ended and all its data was awaited.
    #[serde(rename = "final")]
    pub is_final: bool,
    /// Signal or expression, as written.
    pub signal: Name,
    /// Its unit, a UCUM symbol.
    pub unit: Name,
    /// How the value is compared.
    pub comparison: Comparison,
    /// With what.
    pub threshold: f64,
    /// `28d` or `run`.
    pub window: Name,
    /// Where the window begins: later than its length says when the objective or the data is younger.
    pub since: EventTime,
    /// Judged time.
    pub time: TimeByState,
    /// Judged units that are good or bad.
    pub known_units: u64,
    /// Judged units asked for.
    pub asked_units: u64,
    /// Judged units that are bad.
    pub bad_units: u64,
    /// Share of good time promised, in parts per million.
    pub target_ppm: u32,
    /// Share of time that must be known, in parts per million.
    pub minimum_coverage_ppm: u32,
    /// The one verdict rule's answer (`detectors` documentation: FAIL iff broken even if all unknown were good).
    pub outcome: Outcome,
    /// Why, when `outcome` is unknown; else the main reason of unknown time, if there is any.
    pub unknown_reason: Option<UnknownReason>,
    /// Share of the error budget that is left; negative when overspent; `None` before anything is known.
    pub budget_left: Option<f64>,
    /// Burn rates of each window pair.
    pub burn: Vec<BurnStatus>,
    /// Maximal spans of bad time without known good time in them.
    pub episodes: u64,
    /// The longest of them.
    pub longest_episode: Microseconds,
    /// Event rate, where that is what is promised.
    pub events: Option<EventRateStatus>,
    /// Slope, where that is what is promised.
    pub trend: Option<TrendStatus>,
    /// Recoveries from bursts of load, where that is what is promised.
    pub recoveries: Option<RecoveryTimeStatus>,
    /// The latest known value.
    pub last: Option<Observation>,
    /// The worst known value of the window.
    pub worst: Option<Observation>,
    /// Whose doing it is when it is not ok.
    pub cause: Cause,
    /// Sensors among those it reads that are not simply trusted now, the gravest first; no more than
    /// [`Self::DOUBTS_MAXIMUM`].
    #[serde(default)]
    pub doubts: Vec<Doubt>,
}

impl ObjectiveStatus {
    /// So many sensors of a status are named; the rest stands in [`RackFacts::sensors`].
    pub const DOUBTS_MAXIMUM: usize = 8;
}

/// A sensor that an objective reads and that is not simply trusted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Doubt {
    /// Which, how far it is trusted, and why.
    pub sensor: SensorTrust,
    /// Redundant sensors whose median counts while it is left out, by name. Without any, a distrusted sensor makes the
    /// objective unknown, and one in doubt is judged.
    pub instead: Vec<Name>,
}

/// What an objective asks where none of its signals ever came.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct UnseenObjective {
    /// Its name.
    pub objective: Name,
    /// Signal or expression, as written.
    pub signal: Name,
    /// Its unit, a UCUM symbol.
    pub unit: Name,
    /// How the value would be compared.
    pub comparison: Comparison,
    /// With what.
    pub threshold: f64,
    /// `28d` or `run`.
    pub window: Name,
}

/// A pair of burn-rate windows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BurnStatus {
    /// `page` or `ticket`.
    pub severity: Name,
    /// The long window.
    pub long: Microseconds,
    /// The short window.
    pub short: Microseconds,
    /// Burn at which it fires, in parts per million.
    pub factor_ppm: u64,
    /// Bad by known time in the long window by the error budget; `None` while unknown.
    pub burn_long: Option<f64>,
    /// The same in the short window.
    pub burn_short: Option<f64>,
    /// Whether asked time fills the long window.
    pub ready: bool,
    /// Whether both burns have reached the factor.
    pub firing: bool,
}

/// Episodes and exposure.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EventRateStatus {
    /// Episodes above the noise floor.
    pub count: u64,
    /// Length of all episodes.
    pub duration: Microseconds,
    /// Known time.
    pub exposure: Microseconds,
    /// One-sided lower 95 % bound of the rate per hour (Garwood); `None` without exposure.
    pub lower_per_hour: Option<f64>,
    /// One-sided upper 95 % bound.
    pub upper_per_hour: Option<f64>,
    /// Fano factor: variance by mean of the episodes in whole known hours, 1 where they do not influence each other.
    /// Above [`Self::FANO_LIMIT`] the bounds are widened. `None` while too few hours or no episode are known.
    pub fano_factor: Option<f64>,
}

impl EventRateStatus {
    /// Episodes that vary more than this come in clusters, and do not follow the Poisson distribution.
    pub const FANO_LIMIT: f64 = 2.0;

    /// The Fano factor where it is above the limit.
    pub fn over_dispersion(&self) -> Option<f64> {
        self.fano_factor.filter(|factor| *factor > Self::FANO_LIMIT)
    }
}

/// Bursts of load by what became of them, and what they say about the share that settles in time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RecoveryTimeStatus {
    /// The signal was back in its band within the limit.
    pub within: u64,
    /// It was not.
    pub late: u64,
    /// The load stepped again before it was known, or the run ended: right-censored.
    pub censored: u64,
    /// Readings were missing.
    pub unknown: u64,
    /// The signal is on its way back, and nothing is known yet.
    pub open: u64,
    /// The longest recovery that is known, within the limit or not, as far as it went.
    pub longest: Option<Microseconds>,
    /// One-sided lower 95 % bound of the share in time (Clopper-Pearson), with all that is not known counted as late.
    pub lower_share: f64,
    /// One-sided upper 95 % bound, with all that is not known counted as in time.
    pub upper_share: f64,
    /// For display: 90 % interval of the share among the known ones (Wilson); `None` before any is known.
    pub interval: Option<(f64, f64)>,
}

impl RecoveryTimeStatus {
    /// Bursts whose recovery is known.
    pub const fn known(&self) -> u64 {
        self.within + self.late
    }

    /// Bursts that may have been in time or late.
    pub const fn unresolved(&self) -> u64 {
        self.censored + self.unknown + self.open
    }
}

/// Slope and what follows from it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TrendStatus {
    /// Theil-Sen slope in the objective's unit per hour.
    pub slope_per_hour: f64,
    /// Median level now.
    pub level: f64,
    /// Whether the slope differs from none (Mann-Kendall |z| > 4).
    pub significant: bool,
    /// Time until the level reaches the threshold at this slope; `None` when it moves away from it or rests.
    pub time_to_threshold: Option<Microseconds>,
}

/// One anomaly from its onset to its end.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Finding {
    /// First 16 hex digits of SHA-256 of (detector, place, signal, sensor, onset).
    pub finding: Name,
    /// Which detector.
    pub detector: Name,
    /// Where.
    pub place: Place,
    /// Of which signal, where it is about one.
    pub signal: Option<Name>,
    /// Of which sensor, where a place has several.
    pub sensor: Option<Name>,
    /// How grave.
    pub severity: Severity,
    /// When it began.
    pub onset: EventTime,
    /// When it was known.
    pub detected: EventTime,
    /// When it ended.
    pub ended: Option<EventTime>,
    /// The finding that explains this one.
    pub leading: Option<Name>,
    /// Whose doing it is.
    pub cause: Cause,
    /// What was observed, in `unit`.
    pub residual: Option<f64>,
    /// What was expected.
    pub baseline: Option<f64>,
    /// What the difference was compared with.
    pub threshold: Option<f64>,
    /// The unit of these three.
    pub unit: Name,
    /// 0 to 1; 1 for direct rules.
    pub confidence: f64,
    /// Which component to look at.
    pub suggestion: String,
    /// What a person needs to check it, by name.
    pub evidence: Labels,
}

/// How grave a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// A row and a view only.
    Info,
    /// A ticket.
    Warning,
    /// A page.
    Critical,
}

impl Severity {
    /// The word in tables and answers.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }
}

/// How much of one series' time is known, over the last hour and since the run's start.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Coverage {
    /// Which series. Shared: facts tell of every series again and again.
    #[serde(flatten)]
    pub series: Arc<Measured>,
    /// Known time of the last hour.
    pub known: Microseconds,
    /// Asked time of the last hour.
    pub asked: Microseconds,
    /// Known time since the run's start; zero without a run.
    pub run_known: Microseconds,
    /// Asked time since the run's start; zero without a run.
    pub run_asked: Microseconds,
    /// The latest known value.
    pub last_value: Option<f64>,
    /// Event time of the latest known value.
    pub last_time: Option<EventTime>,
}

impl Deref for Coverage {
    type Target = Measured;

    fn deref(&self) -> &Measured {
        &self.series
    }
}

/// What a series measures.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Measured {
    /// Which signal.
    pub signal: Name,
    /// Where exactly.
    pub place: Place,
    /// Which sensor.
    pub sensor: Option<Name>,
    /// In which unit.
    pub unit: Name,
}

/// What may be believed of a sensor.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SensorTrust {
    /// Which signal.
    pub signal: Name,
    /// Where exactly.
    pub place: Place,
    /// Which sensor.
    pub sensor: Option<Name>,
    /// How far it is trusted.
    pub trust: Trust,
    /// Why.
    pub reason: String,
    /// Since when, as far as that was told.
    #[serde(default)]
    pub since: Option<EventTime>,
}

/// How far a sensor is trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Trust {
    /// Judged as it is.
    Trusted,
    /// A detector has doubts. Left out where a trusted redundant sensor is; else judged, and said.
    Suspect,
    /// Not judged: unknown, unless a redundant sensor stands in.
    Distrusted,
    /// Its calibration is older than the site file allows. Treated as a suspect.
    Uncalibrated,
}

impl Trust {
    /// The word in tables and answers.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Trusted => "trusted",
            Self::Suspect => "suspect",
            Self::Distrusted => "distrusted",
            Self::Uncalibrated => "uncalibrated",
        }
    }
}

/// What a gate policy asks the evaluator to measure beyond the objectives.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Need {
    /// Made from the check's own text: the same check in two policies is measured once.
    pub name: Name,
    /// What.
    pub ask: Ask,
}

/// What is to be measured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ask {
    /// For how long the rack's power stays at or above this.
    PowerAtLeast(PowerLimit),
    /// Zero tolerance on a signal, written into the policy: becomes an [`ObjectiveStatus`] of this name.
    HardLimit {
        /// Signal or expression.
        signal: Name,
        /// How it is compared.
        comparison: Comparison,
        /// With what, in the signal's unit or as a state code.
        threshold: f64,
        /// The unit; empty for state codes.
        unit: Name,
    },
}

/// A limit of power.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PowerLimit {
    /// A share of the rack's nominal power (site file, else the p99 of the last day).
    ShareOfNominal(f64),
    /// Kilowatts.
    Kilowatts(f64),
}

/// The answer to a [`Need`] that is a measure: since the run's start, without a run since the first sample.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Measure {
    /// Name of the need.
    pub need: Name,
    /// The limit in kW; `None` while the nominal power is not known.
    pub threshold_kilowatts: Option<f64>,
    /// The longest span at or above the limit. A gap ends a span.
    pub longest: Microseconds,
    /// The span that reaches up to the watermark, if there is one.
    pub current: Microseconds,
    /// All time at or above the limit.
    pub total: Microseconds,
    /// Known time.
    pub known: Microseconds,
    /// Asked time.
    pub asked: Microseconds,
    /// The latest known power.
    pub last_kilowatts: Option<f64>,
}

/// A run on this rack.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunFacts {
    /// Its id.
    pub run: Name,
    /// `smoke`, `canary` …
    pub stage: Name,
    /// Versions by name.
    pub versions: Labels,
    /// All its racks.
    pub racks: Vec<Name>,
    /// When it took effect.
    pub start: EventTime,
    /// Start plus planned length.
    pub planned_end: EventTime,
    /// When it ended.
    pub end: Option<EventTime>,
    /// Its state.
    pub state: RunState,
    /// Whether a gate said FAIL about it.
    pub failed: bool,
}

/// Whether a rack is back in the bands that it had before its last ended run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Recovery {
    /// The run that ended.
    pub run: Name,
    /// When.
    pub ended: EventTime,
    /// One entry a signal, in order of (signal, place).
    pub signals: Vec<RecoverySignal>,
    /// When all were back for good, as far as is known.
    pub recovered_at: Option<EventTime>,
}

/// One signal on its way back.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RecoverySignal {
    /// Which.
    pub signal: Name,
    /// Where.
    pub place: Place,
    /// Unit of the numbers.
    pub unit: Name,
    /// Lower end of the band before the run; `None` where it is not known.
    pub lower: Option<f64>,
    /// Upper end.
    pub upper: Option<f64>,
    /// The latest block mean.
    pub now: Option<f64>,
    /// Since when it has been inside without a gap.
    pub inside_since: Option<EventTime>,
}
