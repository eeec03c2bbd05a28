//! An objective as the engine judges it: every field is known to be sound, in canonical units and integer time.
//!
//! documents → `objective_document` → **objective** → slices, burn rates, trends, hard limits

mod recovery_time; // bursts, bands and what they are promised

use serde::{Serialize, Serializer};
use telemetry::expression::Expression;
use telemetry::facts::{Comparison, ObjectiveKind, Scope};
pub use telemetry::signal::Level;
use telemetry::{Microseconds, Name};

pub use self::recovery_time::{Band, BurstEdge, RecoveryTime, Step, Trigger};

/// One million: a share of 1 in parts per million.
pub const MILLION: u64 = 1_000_000;

/// The period that burn-rate pairs are written for (Google SRE Workbook, chapter 5): 30 days.
pub const REFERENCE_PERIOD: Microseconds = Microseconds::from_hours(30 * 24);

/// A pair whose short window holds fewer judged units than this says nothing: refused, or dropped for a short run.
pub const SHORT_WINDOW_UNITS_MINIMUM: i64 = 3;

/// A promise about a signal.
///
/// The texts for people (`display_name`, `description`, `document`, `line`) are no part of [`Objective::hash`]:
/// rewording an objective keeps its state.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Objective {
    /// Name, unique in a configuration.
    pub name: Name,
    /// SHA-256 of its canonical JSON, its burn-rate policy included. An objective whose hash is unchanged keeps its
    /// state when the configuration changes.
    #[serde(skip)]
    pub hash: Name,
    /// OpenSLO service.
    pub service: Name,
    /// Name for people; empty when none was given.
    #[serde(skip)]
    pub display_name: Name,
    /// Description for people; empty when none was given.
    #[serde(skip)]
    pub description: Name,
    /// File that it stands in.
    #[serde(skip)]
    pub document: Name,
    /// Line of its `kind: SLO` document.
    #[serde(skip)]
    pub line: u64,
    /// What is promised, and what only that kind of promise needs.
    pub promise: Promise,
    /// Signal or expression as written.
    pub signal_text: Name,
    /// The same, parsed. Evaluated at each place where it [`Expression::is_measured`]. For an event rate one of the
    /// signals of its kind of episode, whichever is there ([`Episodes::signals`]).
    pub expression: Expression,
    /// Unit of the expression and of `threshold`: a UCUM symbol; empty for state codes, `1/h` for event rates; `s` for
    /// recovery times, whose expression is in the unit of [`RecoveryTime::band`], and for [`TimeInBounds::time_above`].
    pub unit: Name,
    /// How a value keeps the promise.
    pub comparison: Comparison,
    /// With what it is compared: in `unit`; for [`Promise::EventRate`] episodes per hour, for
    /// [`Promise::RecoveryTime`] the longest recovery in seconds.
    pub threshold: f64,
    /// Places are judged together at this level. A place above it (a loop for `rack`) is a group of its own.
    #[serde(serialize_with = "by_name")]
    pub group_by: Level,
    /// How the places of a group give one judgement.
    pub rollup: Rollup,
    /// The smallest judged span of time.
    pub slice: Microseconds,
    /// How the values of a slice become one.
    pub aggregation: Aggregation,
    /// What one unit of judgement is: one or more slices.
    pub judged_unit: Microseconds,
    /// Time is only asked for while this holds.
    pub validity: Option<LoadValidity>,
    /// A value is held no longer than this, whatever its feed says.
    pub maximum_staleness: Option<Microseconds>,
    /// After a group's first sample, and after each time that `validity` begins to hold, this long nothing is asked.
    pub warmup: Microseconds,
    /// Share of asked time that must be known for "kept", in parts per million.
    pub minimum_coverage_ppm: u32,
    /// "Kept" needs the share even if all unknown time were bad.
    pub strict: bool,
    /// [`Scope::Rolling`]: over `window`, and over each run as well while it lasts. [`Scope::Run`]: over runs only.
    pub scope: Scope,
    /// The rolling window of the error budget.
    pub window: Microseconds,
    /// Severity of the alert about the promise itself (budget spent, limit broken, trend).
    pub tier: Tier,
    /// Which racks it is about.
    pub applies_to: AppliesTo,
}

impl Objective {
    /// The kind that the facts for gates tell.
    pub fn kind(&self) -> ObjectiveKind {
        match &self.promise {
            Promise::TimeInBounds(_) => ObjectiveKind::TimeInBounds,
            Promise::EventRate(_) => ObjectiveKind::EventRate,
            Promise::HardLimit(_) => ObjectiveKind::HardLimit,
            Promise::Trend(_) => ObjectiveKind::Trend,
            Promise::RecoveryTime(_) => ObjectiveKind::RecoveryTime,
        }
    }

    /// What is judged at each place: the parts of a composite, else the objective itself.
    pub(crate) fn parts(&self) -> &[Self] {
        match &self.promise {
            Promise::TimeInBounds(promise) if !promise.parts.is_empty() => &promise.parts,
            Promise::TimeInBounds(_)
            | Promise::EventRate(_)
            | Promise::HardLimit(_)
            | Promise::Trend(_)
            | Promise::RecoveryTime(_) => std::slice::from_ref(self),
        }
    }

    /// The signals that it reads, its load included, sorted.
    pub fn signals(&self) -> Vec<&str> {
        let mut signals: Vec<&str> = match &self.promise {
            Promise::EventRate(rate) => rate.episodes.signals().to_vec(),
            Promise::TimeInBounds(_)
            | Promise::HardLimit(_)
            | Promise::Trend(_)
            | Promise::RecoveryTime(_) => {
                let operands = self.parts().iter().flat_map(|part| part.expression.operands());
                operands.map(|operand| &*operand.signal).collect()
            }
        };
        if let Promise::RecoveryTime(promise) = &self.promise {
            signals.extend(promise.trigger.expression.operands().iter().map(|operand| &*operand.signal));
        }
        let load = self.validity.iter().flat_map(|validity| validity.expression.operands());
        signals.extend(load.map(|operand| &*operand.signal));
        signals.sort_unstable();
        signals.dedup();
        signals
    }

    /// Share of judged time that is promised to be good, in parts per million: all of it for a hard limit, of bursts
    /// for a recovery time, none for the kinds that promise something else.
    pub fn target_ppm(&self) -> u32 {
        match &self.promise {
            Promise::TimeInBounds(promise) => promise.target_ppm,
            Promise::RecoveryTime(promise) => promise.target_ppm,
            Promise::HardLimit(_) => MILLION as u32,
            Promise::EventRate(_) | Promise::Trend(_) => 0,
        }
    }
}

fn by_name<S: Serializer>(level: &Level, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(level.name())
}

/// What is promised.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Promise {
    /// A share of judged units within limits.
    TimeInBounds(TimeInBounds),
    /// Episodes per hour of known time.
    EventRate(EventRate),
    /// No time at all out of limits, above a noise floor. Judged on arrival.
    HardLimit(HardLimit),
    /// The signal does not run into its threshold.
    Trend(Trend),
    /// A share of load bursts after which the signal is back in its band in time.
    RecoveryTime(RecoveryTime),
}

/// A share of judged units within limits.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TimeInBounds {
    /// A judged unit is good when this share of its known slices is, in parts per million; more than none.
    pub slice_target_ppm: u32,
    /// Share of judged units that must be good, in parts per million; less than a million.
    pub target_ppm: u32,
    /// The value is not the signal's but the time in seconds for which the signal has been above this, in its own unit,
    /// without a known pause.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time_above: Option<f64>,
    /// When its alerts fire.
    pub burn: BurnRatePolicy,
    /// Of a composite what must hold at once, each a promise about its own signal with target and policy of the whole.
    /// The objective's own value is then how far the part that is furthest from its limit lies beyond it, in per cent of
    /// that limit.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub parts: Vec<Objective>,
}

/// Episodes per hour; the limit is [`Objective::threshold`], compared with exact Poisson bounds.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct EventRate {
    /// What counts as an episode.
    pub episodes: Episodes,
    /// Evidence closer together than this is one episode.
    pub merge_within: Microseconds,
    /// Episodes do not count while they sum up to less than this.
    pub noise_floor: Microseconds,
}

/// What counts as an episode.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Episodes {
    /// A rise of `gpu_thermal_throttle_time`, or a thermal bit (0x20, 0x40) of `clock_event_reasons`: either signal
    /// will do, whatever [`Objective::expression`] names.
    ThermalThrottle,
}

impl Episodes {
    /// The signals that tell of such episodes; one of them is enough.
    pub const fn signals(self) -> &'static [&'static str] {
        match self {
            Self::ThermalThrottle => &["gpu_thermal_throttle_time", "clock_event_reasons"],
        }
    }
}

/// Zero tolerance.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct HardLimit {
    /// Bad time shorter than this in one piece does not count; zero: one reading is enough.
    pub noise_floor: Microseconds,
}

/// A slope, and the time until the threshold at that slope.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Trend {
    /// The slope is estimated over the latest blocks of this length of time.
    pub window: Microseconds,
    /// Broken when a significant slope reaches the threshold sooner than this.
    pub time_to_threshold_minimum: Option<Microseconds>,
    /// Broken when a significant slope is steeper than this either way, in the unit per hour.
    pub rate_per_hour_limit: Option<f64>,
}

/// How the places of a group give one judgement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Rollup {
    /// The place that is furthest from keeping the promise counts.
    Worst,
    /// Every place counts; the same as worst for a limit, but one unknown place makes a good slice unknown.
    All,
    /// This quantile of the known places' values, in parts per million, counted from the good end.
    Quantile(u32),
}

/// How the values of a slice become one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Aggregation {
    /// Mean of the held values, weighted by their time.
    TimeWeightedMean,
    /// The highest held value.
    TimeWeightedMax,
    /// The lowest held value.
    Minimum,
    /// The value at the end of the slice.
    Last,
}

/// Load that must be there for time to be asked for.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LoadValidity {
    /// Signal or expression, evaluated for the group's rack (or loop).
    pub expression: Expression,
    /// Asked while it is at least this, in the expression's unit. Unknown load is unknown, not "not asked".
    pub minimum: f64,
    /// The unit of both.
    pub unit: Name,
}

/// Which racks an objective is about. Whatever it says, a group without the objective's signals is not asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum AppliesTo {
    /// All.
    All,
    /// Only racks that the site file names.
    Declared,
    /// Only racks that the site file does not name.
    Undeclared,
}

/// Whom an alert is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Tier {
    /// Somebody gets up.
    Page,
    /// Somebody looks in working hours.
    Ticket,
}

impl Tier {
    /// The value of the label `severity`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Page => "page",
            Self::Ticket => "ticket",
        }
    }
}

/// When the alerts of an objective fire: multi-window, multi-burn-rate.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct BurnRatePolicy {
    /// Its name.
    pub name: Name,
    /// Whether its windows follow the length of what is judged.
    pub scale: BurnScale,
    /// As written, for [`REFERENCE_PERIOD`] or, with [`BurnScale::Fixed`], as they are.
    pub pairs: Vec<BurnPair>,
    /// What takes over when a run is too short for every pair.
    pub budget_share_alert: BudgetShareAlert,
    /// The condition must hold for this long before the alert fires.
    #[serde(rename = "for")]
    pub for_: Microseconds,
    /// The alert goes on for this long after the condition.
    pub keep_firing_for: Microseconds,
    /// Fewer bad judged units in the long window never fire; at least one.
    pub minimum_bad_units: u32,
    /// An alert on hold without data becomes a page of its own after this.
    pub hold_timeout: Microseconds,
}

/// Whether burn windows follow the length of what is judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum BurnScale {
    /// They are what they are.
    Fixed,
    /// They are written for 30 days and scaled to the objective's window, or to a run's planned length.
    Window,
}

/// Two windows and the burn rate at which both together fire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct BurnPair {
    /// Whom it calls.
    pub severity: Tier,
    /// The long window.
    pub long: Microseconds,
    /// The short window, which makes the alert end soon.
    pub short: Microseconds,
    /// Burn rate in parts per million: 14.4 is 14 400 000.
    pub factor_ppm: u64,
}

/// "This share of the budget is spent, and it burns at least this fast."
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct BudgetShareAlert {
    /// Whom it calls.
    pub severity: Tier,
    /// Share of the error budget, in parts per million.
    pub share_ppm: u64,
    /// Burn rate in parts per million.
    pub burn_ppm: u64,
}

/// The pairs that are left for one length of judgement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScaledPairs {
    /// In the order of the policy, lengths rounded down to judged units.
    pub kept: Vec<BurnPair>,
    /// Too short to say anything; named in a note.
    pub dropped: Vec<DroppedPair>,
}

/// A pair whose short window is too short.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DroppedPair {
    /// As the policy has it: what people know it by.
    pub written: BurnPair,
    /// As it would be.
    pub scaled: BurnPair,
}

impl BurnRatePolicy {
    /// The pairs for an objective's window or a run's planned length, each rounded down to whole judged units.
    /// Pairs whose short window is then shorter than [`SHORT_WINDOW_UNITS_MINIMUM`] units are dropped.
    pub fn pairs_for(&self, length: Microseconds, judged_unit: Microseconds) -> ScaledPairs {
        let scaled = |written: Microseconds| match self.scale {
            BurnScale::Fixed => written,
            BurnScale::Window => {
                let exact = i128::from(written.0) * i128::from(length.0) / i128::from(REFERENCE_PERIOD.0);
                Microseconds(i64::try_from(exact).unwrap_or(i64::MAX))
            }
        };
        let in_units = |length: Microseconds| Microseconds(length.0 - length.0.rem_euclid(judged_unit.0));
        let shortest = SHORT_WINDOW_UNITS_MINIMUM * judged_unit.0;
        let mut pairs = ScaledPairs { kept: Vec::new(), dropped: Vec::new() };
        for written in &self.pairs {
            let (long, short) = (in_units(scaled(written.long)), in_units(scaled(written.short)));
            let scaled = BurnPair { long, short, ..*written };
            if shortest <= short.0 {
                pairs.kept.push(scaled);
            } else {
                pairs.dropped.push(DroppedPair { written: *written, scaled });
            }
        }
        pairs
    }
}
