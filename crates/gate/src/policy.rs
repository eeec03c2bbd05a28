//! What a gate policy asks, with every field known to be sound.
//!
//! YAML → `policy_document` → **policy** → `judge`

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};
use telemetry::facts::{Ambient, Constraint, Need, Severity};
use telemetry::{Microseconds, Name};

/// A gate policy: what is checked, and how the rows become a verdict.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Policy {
    /// Its name, unique among the policies in force.
    pub name: Name,
    /// What it judges, and how several racks become one verdict.
    pub scope: PolicyScope,
    /// In the order of the document.
    pub checks: Vec<Check>,
    /// A check WARNs when less than this share of its error budget is left.
    pub warn_budget_left: f64,
    /// Share of asked time that must be known, in parts per million, for checks that do not say their own.
    pub minimum_coverage_ppm: u32,
    /// What a FAIL becomes whose cause is the facility.
    pub on_facility_cause: OnFacilityCause,
    /// How long to wait for data.
    pub wait_for: WaitFor,
    /// Whether it is only tried: answers PASS, and says what it would have been.
    pub dry_run: bool,
    /// SHA-256 of [`Self::canonical`].
    #[serde(skip)]
    pub(crate) hash: Name,
    /// The file it stands in, for messages.
    #[serde(skip)]
    pub(crate) document: String,
}

impl Policy {
    /// Its identity: SHA-256 of the canonical JSON of the parsed document, 64 hex digits.
    pub fn hash(&self) -> &Name {
        &self.hash
    }

    /// The canonical JSON of the parsed document.
    pub fn canonical(&self) -> String {
        telemetry::canonical_json(self)
    }

    /// Fills in the hash; what a policy is does not change afterwards.
    pub(crate) fn sealed(mut self) -> Self {
        self.hash = telemetry::sha256_hex(&self.canonical()).into();
        self
    }

    /// What it asks of the evaluator beyond the objectives.
    pub fn needs(&self) -> Vec<Need> {
        needs(std::slice::from_ref(self))
    }

    /// The objectives that it names, in the order of its checks.
    pub fn objectives_named(&self) -> impl Iterator<Item = NamedObjective> {
        self.checks.iter().filter_map(|check| {
            let (objective, capped) = match &check.kind {
                CheckKind::Objective { objective, inline: None, at_most, .. } => {
                    (objective, at_most.is_some())
                }
                CheckKind::Trend { objective, .. } => (objective, false),
                CheckKind::Objective { inline: Some(_), .. }
                | CheckKind::BurnRate { .. }
                | CheckKind::Findings { .. }
                | CheckKind::Coverage { .. }
                | CheckKind::PowerEnvelope { .. }
                | CheckKind::Soak { .. }
                | CheckKind::Recovered { .. }
                | CheckKind::Headroom(_)
                | CheckKind::Proven { .. }
                | CheckKind::Canary(_) => return None,
            };
            Some(NamedObjective { objective: objective.clone(), capped, line: check.line })
        })
    }

    /// Whether it compares racks with others or with their earlier runs.
    pub fn compares(&self) -> bool {
        self.checks.iter().any(|check| matches!(check.kind, CheckKind::Canary(_)))
    }

    /// Whether it asks how much power racks can sustain.
    pub fn asks_for_headroom(&self) -> bool {
        self.checks.iter().any(|check| check.kind.headroom().is_some())
    }

    /// The detectors that it wants to be proven by drills.
    pub fn detectors_proven(&self) -> impl Iterator<Item = &Name> {
        self.checks.iter().flat_map(|check| match &check.kind {
            CheckKind::Proven { detectors, .. } => detectors.iter(),
            CheckKind::Objective { .. }
            | CheckKind::BurnRate { .. }
            | CheckKind::Findings { .. }
            | CheckKind::Coverage { .. }
            | CheckKind::Trend { .. }
            | CheckKind::PowerEnvelope { .. }
            | CheckKind::Soak { .. }
            | CheckKind::Recovered { .. }
            | CheckKind::Headroom(_)
            | CheckKind::Canary(_) => [].iter(),
        })
    }

    /// The file it stands in.
    pub fn document(&self) -> &str {
        &self.document
    }
}

/// What several policies ask of the evaluator beyond the objectives: each thing once, in order of name.
pub fn needs(policies: &[Policy]) -> Vec<Need> {
    let asked = policies.iter().flat_map(|policy| &policy.checks).filter_map(|check| match &check.kind {
        CheckKind::Objective { inline, .. } => inline.as_ref(),
        CheckKind::PowerEnvelope { need, .. } | CheckKind::Soak { need, .. } => Some(need),
        CheckKind::BurnRate { .. }
        | CheckKind::Findings { .. }
        | CheckKind::Coverage { .. }
        | CheckKind::Trend { .. }
        | CheckKind::Recovered { .. }
        | CheckKind::Headroom(_)
        | CheckKind::Proven { .. }
        | CheckKind::Canary(_) => None,
    });
    let by_name: BTreeMap<Name, Need> = asked.map(|need| (need.name.clone(), need.clone())).collect();
    by_name.into_values().collect()
}

/// An objective that a policy names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedObjective {
    /// Its name.
    pub objective: Name,
    /// Whether the check is a count cap, which a short run can pass whatever the objective's rate says.
    pub capped: bool,
    /// Line of the check.
    pub line: u64,
}

/// What a policy judges, and how several racks become one verdict.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PolicyScope {
    /// Run, rack or loop.
    pub of: ScopeOf,
    /// How the racks' verdicts are combined.
    pub combine: Combine,
}

/// What a policy judges.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ScopeOf {
    /// A run on its racks: the one asked for, else the one that is active on them.
    Run,
    /// Racks, over rolling windows; over a run when one is asked for.
    Rack,
    /// Loops with all their racks: the question's names are loops.
    Loop,
}

/// How the racks' verdicts are combined. A FAIL is never outvoted.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Combine {
    /// The worst rack decides.
    Worst,
    /// With this share of racks (parts per million) at PASS or WARN, INCONCLUSIVE ones do not hold the rest up.
    AtLeast(u32),
}

impl fmt::Display for Combine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Worst => f.write_str("worst"),
            Self::AtLeast(share_ppm) => write!(f, "atLeast({})", f64::from(*share_ppm) / 1e6),
        }
    }
}

/// What a FAIL becomes whose cause is the facility.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum OnFacilityCause {
    /// Warm facility water does not fail a release.
    Inconclusive,
    /// A rack that is too warm is too warm.
    Fail,
}

/// How long to wait for data.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WaitFor {
    /// PENDING until this much time has been asked for: since the run's start, else since the first reading.
    pub minimum_duration: Option<Microseconds>,
    /// What still waits then is unknown: after the run's start, else after the question was first asked.
    pub deadline: Option<Microseconds>,
}

/// One check of a policy.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Check {
    /// Its name, unique in the policy.
    pub name: Name,
    /// Its weight in the score, not negative.
    pub weight: f64,
    /// Its FAIL counts as WARN.
    pub warn: bool,
    /// One bad judged unit above the noise floor is FAIL, whoever's doing it is.
    pub hard: bool,
    /// What to do about racks that no site file names.
    pub undeclared: Undeclared,
    /// What is checked.
    pub kind: CheckKind,
    /// Line of its document.
    #[serde(skip)]
    pub line: u64,
}

/// What a check does about a signal that never came from a rack that no site file names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Undeclared {
    /// Unknown, as on any rack.
    Ask,
    /// Not asked: an air-cooled host has no coolant. On a rack of the site file it is unknown all the same.
    WhenSeen,
}

/// What is checked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum CheckKind {
    /// An objective is kept.
    Objective {
        /// Its name; of an inline one the name of its need.
        objective: Name,
        /// The inline objective.
        inline: Option<Need>,
        /// A count cap instead of the objective's own promise: at most so many episodes.
        at_most: Option<u64>,
        /// Bad time that sums up to less than this does not count for `at_most` and `hard`.
        noise_floor: Microseconds,
    },
    /// No error budget burns too fast.
    BurnRate {
        /// The lowest tier that FAILs; a tier below it WARNs.
        tier: Tier,
    },
    /// No finding is active.
    Findings {
        /// Of these detectors; of all when empty.
        detectors: Vec<Name>,
        /// Of at least this severity. Critical ones FAIL, others WARN.
        severity: Severity,
    },
    /// Enough is known of these signals.
    Coverage {
        /// Which.
        signals: Vec<Name>,
        /// Share of asked time that must be known, in parts per million.
        minimum_ppm: u32,
    },
    /// A signal does not run into its threshold.
    Trend {
        /// The objective whose trend it is.
        objective: Name,
        /// FAIL when a significant slope reaches the threshold sooner.
        time_to_threshold_minimum: Option<Microseconds>,
    },
    /// The rack has held at least this power in one piece: without load a test says nothing.
    PowerEnvelope {
        /// The measure.
        need: Need,
        /// For how long.
        #[serde(rename = "for")]
        span: Microseconds,
    },
    /// The rack has been at this load for long enough, all together.
    Soak {
        /// The measure.
        need: Need,
        /// For how long.
        minimum: Microseconds,
    },
    /// After a failed or broken-off run the rack is back where it was before it.
    Recovered {
        /// For how long.
        #[serde(rename = "for")]
        span: Microseconds,
    },
    /// The rack can sustain the power that is planned.
    Headroom(HeadroomAsked),
    /// Each of these detectors was drilled not long ago, and found the fault.
    Proven {
        /// Which.
        detectors: Vec<Name>,
        /// So long ago at most.
        within: Microseconds,
    },
    /// The rack is no worse than racks beside it, or than it was in earlier runs.
    Canary(Canary),
}

impl CheckKind {
    /// What is asked of a rack's headroom, where that is what is checked.
    pub(crate) fn headroom(&self) -> Option<&HeadroomAsked> {
        if let Self::Headroom(asked) = self { Some(asked) } else { None }
    }
}

/// How much power a rack must be able to sustain.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HeadroomAsked {
    /// Power that is planned, kW; the rack's nominal power where none is given.
    pub planned_kilowatts: Option<f64>,
    /// Margin above it, as a share.
    pub at_least: f64,
    /// Under which ambient.
    pub at: Ambient,
    /// Limits that must be known; without any the chips' and all that apply.
    pub limits: Vec<Constraint>,
}

/// What a run is compared with, and how much worse it may be.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Canary {
    /// Which earlier runs are meant.
    pub baseline: Baseline,
    /// In what an earlier run must be like this one.
    pub match_on: Vec<MatchOn>,
    /// Earlier runs that must be there.
    pub minimum_comparable: u32,
    /// By how much the thermal resistance may rise, as a share.
    pub maximum_effect: f64,
    /// The answer where there is nothing to compare with.
    pub no_baseline: NoBaseline,
}

/// Which earlier runs of the rack a run is compared with. Those that failed, warned or were broken off are none, but
/// where they are asked for by their ids.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Baseline {
    /// The last that a gate passed, where there is no rack beside this one.
    LastPass,
    /// The median of the last so many, where there is no rack beside this one.
    MedianOfLastN(u32),
    /// Those with these versions, whatever racks there are beside this one.
    Tag(telemetry::Labels),
    /// Those with these ids, whatever racks there are beside this one.
    Explicit(Vec<Name>),
}

/// In what an earlier run must be like the one that is judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MatchOn {
    /// The rack's bill of materials in the site file.
    Sku,
    /// The run's version `firmware`.
    Firmware,
    /// Set point of the coolant's supply temperature, to 1 K.
    CoolantSetpoint,
    /// Facility water, else the air at the inlet, to 2 K.
    AmbientBand,
    /// Mean power under steady load, to 15 %.
    Load,
    /// The loop.
    CoolingPath,
}

/// The answer of a check that has nothing to compare with. Never PASS: nothing was shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum NoBaseline {
    /// Nobody can say.
    Inconclusive,
    /// The first run goes on, and somebody looks at it.
    Warn,
}

/// Whom an alert is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Tier {
    /// Somebody looks in working hours.
    Ticket,
    /// Somebody gets up.
    Page,
}

impl Tier {
    /// The value of the label `severity`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ticket => "ticket",
            Self::Page => "page",
        }
    }
}
