//! The answer: a verdict, one row a check, one entry a rack, and what each of them was made from.
//!
//! `judge` → **verdict** → `report`, `service`, table `verdicts`. Its canonical JSON is the stored answer.

use std::fmt;

use serde::{Deserialize, Serialize};
use telemetry::facts::{Cause, Comparison, UnknownReason};
use telemetry::record::Override;
use telemetry::{EventTime, Labels, Name};

/// The outcome of a gate, of a rack or of one check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum VerdictKind {
    /// Kept, and the data to say so is there.
    Pass,
    /// Kept, but little is left, or something needs a look.
    Warn,
    /// Broken, whatever the missing data would have said.
    Fail,
    /// Too little is known to say.
    Inconclusive,
    /// The window is not complete; `wait_until` says when the answer can change.
    Pending,
}

impl VerdictKind {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Pass, Self::Warn, Self::Fail, Self::Inconclusive, Self::Pending];

    /// The word in answers, tables and reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pass => "PASS",
            Self::Warn => "WARN",
            Self::Fail => "FAIL",
            Self::Inconclusive => "INCONCLUSIVE",
            Self::Pending => "PENDING",
        }
    }

    /// The verdict of that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// Which of two rows decides: the greater one, by the order of the verdict rule.
    pub(crate) const fn weight(self) -> u8 {
        match self {
            Self::Pass => 0,
            Self::Warn => 1,
            Self::Inconclusive => 2,
            Self::Pending => 3,
            Self::Fail => 4,
        }
    }

    /// The band of [`Verdict::score`]; none where there is no score.
    pub const fn score_band(self) -> Option<(u32, u32)> {
        match self {
            Self::Pass => Some((90, 100)),
            Self::Warn => Some((75, 89)),
            Self::Fail => Some((0, 74)),
            Self::Inconclusive | Self::Pending => None,
        }
    }
}

impl fmt::Display for VerdictKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A verdict with its reasons. Absent numbers are `null`, never 0; times are RFC 3339 in UTC.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Verdict {
    /// First 16 hex digits of SHA-256 of request and answer: an id names one answer.
    pub evaluation_id: Name,
    /// Name of the policy.
    pub policy: Name,
    /// SHA-256 of the canonical JSON of the policy.
    pub policy_hash: Name,
    /// The outcome.
    pub verdict: VerdictKind,
    /// For callers that need a number; decides nothing. `None` for INCONCLUSIVE and PENDING.
    pub score: Option<u32>,
    /// One sentence.
    pub reason: String,
    /// Whose doing it is; `None` for PASS.
    pub cause: Option<Cause>,
    /// What was judged.
    pub scope: VerdictScope,
    /// The run that was judged.
    pub run_id: Option<Name>,
    /// Earlier runs that it was compared with.
    pub baseline_run_ids: Vec<Name>,
    /// Up to here event time was final: the oldest of the racks.
    #[serde(with = "rfc3339")]
    pub watermark: EventTime,
    /// The earliest moment at which a PENDING answer can change.
    #[serde(with = "rfc3339_option")]
    pub wait_until: Option<EventTime>,
    /// Event time of the request: the last tick.
    #[serde(with = "rfc3339")]
    pub time: EventTime,
    /// Whether the policy is only tried: the verdict is PASS then.
    pub dry_run: bool,
    /// What a policy that is only tried found.
    pub would_be: Option<VerdictKind>,
    /// Whether it is WARN for nothing but that there was nothing to compare with: such a run may be what later ones are
    /// compared with, else a first one would never be.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub without_baseline: bool,
    /// The lowest coverage of all rows, 0 to 1.
    pub coverage: Option<f64>,
    /// One row a check: of all racks the one that decides.
    pub checks: Vec<CheckResult>,
    /// One entry a rack, in order of their names.
    pub racks: Vec<RackVerdict>,
    /// Responsibility taken in spite of it; changes nothing.
    pub overrides: Vec<VerdictOverride>,
    /// Version of the engine.
    pub engine_version: Name,
}

impl Verdict {
    /// The stored answer: keys sorted, no blanks.
    pub fn to_json(&self) -> String {
        telemetry::canonical_json(self)
    }

    /// Reads a stored answer.
    ///
    /// # Errors
    /// When the text is not a verdict.
    pub fn from_json(text: &str) -> Result<Self, crate::AgainError> {
        crate::again::read(text)
    }
}

/// What was judged.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct VerdictScope {
    /// The racks (or loops) asked for, in order.
    pub racks: Vec<Name>,
    /// How their rows are combined: `worst`, or `atLeast(0.98)`.
    pub combine: String,
}

/// The verdict on one rack.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RackVerdict {
    /// The rack; of a loop's own facts the loop.
    pub rack: Name,
    /// Its outcome.
    pub verdict: VerdictKind,
    /// Whose doing it is; `None` for PASS.
    pub cause: Option<Cause>,
    /// One sentence.
    pub reason: String,
    /// One row a check.
    pub checks: Vec<CheckResult>,
}

/// One row of a verdict.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CheckResult {
    /// Name of the check.
    pub check: Name,
    /// Its outcome.
    pub verdict: VerdictKind,
    /// Signal, expression or subject that was judged; never empty.
    pub signal: Name,
    /// What was observed, in `unit`.
    pub observed: Option<f64>,
    /// How observed and threshold are compared for a PASS.
    pub comparison: Option<Comparison>,
    /// What it is compared with, in `unit`.
    pub threshold: Option<f64>,
    /// UCUM symbol; `1` for shares and counts.
    pub unit: Name,
    /// `20m`, `28d`, `run`, `now`; never empty.
    pub window: Name,
    /// Where the window begins.
    #[serde(with = "rfc3339_option")]
    pub since: Option<EventTime>,
    /// Known by asked time, 0 to 1; `None` when nothing was asked yet.
    pub coverage: Option<f64>,
    /// Judged units that are good or bad.
    pub known_units: u64,
    /// Judged units asked for.
    pub asked_units: u64,
    /// Share of the error budget that is left; negative when overspent.
    pub budget_left: Option<f64>,
    /// The greatest burn rate of the window pairs.
    pub burn_rate: Option<f64>,
    /// What was observed, where and when, and the query that shows it.
    pub evidence: Vec<Evidence>,
    /// The group that decided: `site s1, loop cdu3, rack r07`; never empty.
    pub worst_group: String,
    /// Why nothing can be said, or what is missing; always there for INCONCLUSIVE and PENDING unless the policy
    /// made it so, which `reason` says then.
    pub unknown_reason: Option<UnknownReason>,
    /// Whose doing it is; `None` for PASS.
    pub cause: Option<Cause>,
    /// One sentence: observed, threshold, place, window, coverage.
    pub reason: String,
    /// Weight in the score.
    pub weight: f64,
    /// When a PENDING row can change.
    #[serde(with = "rfc3339_option")]
    pub wait_until: Option<EventTime>,
}

/// Something that was observed, and the query that shows it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Evidence {
    /// What: `worst`, `last`, `finding pump`, `episodes` …
    pub name: String,
    /// The number, where it is one, in `unit`.
    pub value: Option<f64>,
    /// UCUM symbol of the number.
    pub unit: Name,
    /// The same for people, or what is no number.
    pub text: String,
    /// Where: site, loop, rack, node, device.
    pub place: Labels,
    /// When.
    #[serde(with = "rfc3339_option")]
    pub time: Option<EventTime>,
    /// SQL that shows it.
    pub query: String,
}

/// Responsibility that a person took in spite of a verdict.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct VerdictOverride {
    /// The checks that are meant; all when empty.
    pub checks: Vec<Name>,
    /// Who.
    pub by: String,
    /// Why.
    pub why: String,
    /// When it was given.
    #[serde(with = "rfc3339")]
    pub time: EventTime,
    /// It expires then.
    #[serde(with = "rfc3339")]
    pub until: EventTime,
}

impl From<&Override> for VerdictOverride {
    fn from(given: &Override) -> Self {
        Self {
            checks: given.checks.clone(),
            by: given.by.clone(),
            why: given.why.clone(),
            time: given.time,
            until: given.until,
        }
    }
}

/// How INCONCLUSIVE and PENDING end a command.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub enum InconclusiveAs {
    /// With exit codes of their own: 3 and 4.
    #[default]
    Keep,
    /// INCONCLUSIVE like PASS.
    Pass,
    /// INCONCLUSIVE like FAIL.
    Fail,
}

/// Exit code of a command that ends with this verdict: 0 PASS and WARN, 1 FAIL (and WARN with `warn_as_fail`),
/// 3 INCONCLUSIVE (0 or 1 by `inconclusive_as`), 4 PENDING.
pub const fn exit_code(verdict: VerdictKind, warn_as_fail: bool, inconclusive_as: InconclusiveAs) -> u8 {
    match verdict {
        VerdictKind::Pass => 0,
        VerdictKind::Warn => warn_as_fail as u8,
        VerdictKind::Fail => 1,
        VerdictKind::Inconclusive => match inconclusive_as {
            InconclusiveAs::Keep => 3,
            InconclusiveAs::Pass => 0,
            InconclusiveAs::Fail => 1,
        },
        VerdictKind::Pending => 4,
    }
}

/// Event time as RFC 3339 in answers.
mod rfc3339 {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};
    use telemetry::EventTime;

    pub fn serialize<S: Serializer>(time: &EventTime, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&time.to_rfc3339())
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<EventTime, D::Error> {
        EventTime::from_rfc3339(&String::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

/// The same where there may be none.
mod rfc3339_option {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};
    use telemetry::EventTime;

    pub fn serialize<S: Serializer>(time: &Option<EventTime>, serializer: S) -> Result<S::Ok, S::Error> {
        match time {
            Some(time) => serializer.serialize_some(&time.to_rfc3339()),
            None => serializer.serialize_none(),
        }
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<EventTime>, D::Error> {
        Option::<String>::deserialize(deserializer)?
            .map(|text| EventTime::from_rfc3339(&text).map_err(D::Error::custom))
            .transpose()
    }
}
