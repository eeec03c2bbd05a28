//! The check `canary`: what a run is compared with.

use serde::Deserialize;
use telemetry::facts::ENDED_RUNS_MAX;
use telemetry::{Labels, Name};

use crate::policy::{Baseline, Canary, MatchOn, NoBaseline};

/// Earlier runs whose median counts, when nothing is said, and how many of them must be comparable.
const RUNS_USUAL: u32 = 5;
const COMPARABLE_USUAL: u32 = 3;
/// By how much the thermal resistance may rise when nothing is said: the methods' margin.
const EFFECT_USUAL: f64 = 0.02;
/// A larger effect needs no statistics to be seen.
const EFFECT_MAXIMUM: f64 = 0.5;
/// In what runs must be alike when nothing is said. Not the firmware: it may be what changes.
const MATCH_USUAL: [MatchOn; 5] =
    [MatchOn::Sku, MatchOn::CoolantSetpoint, MatchOn::AmbientBand, MatchOn::Load, MatchOn::CoolingPath];

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct CanaryFile {
    #[serde(default)]
    baseline: Kind,
    n: Option<u32>,
    #[serde(default)]
    tag: Labels,
    #[serde(default)]
    runs: Vec<Name>,
    match_on: Option<Vec<MatchOn>>,
    min_comparable: Option<u32>,
    max_effect: Option<f64>,
    no_baseline: Option<NoBaselineFile>,
}

#[derive(Default, Clone, Copy, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
enum Kind {
    LastPass,
    #[default]
    MedianOfLastN,
    Tag,
    Explicit,
}

/// With the words that are refused with a reason.
#[derive(Deserialize)]
#[serde(rename_all = "UPPERCASE")]
enum NoBaselineFile {
    Inconclusive,
    Warn,
    Pass,
    Fail,
}

impl CanaryFile {
    /// # Errors
    /// What is wrong with it and how to mend it.
    pub fn canary(self) -> Result<Canary, String> {
        let baseline = self.baseline()?;
        let runs_most = match &baseline {
            Baseline::LastPass => 1,
            Baseline::MedianOfLastN(n) => *n,
            Baseline::Tag(_) => ENDED_RUNS_MAX as u32,
            Baseline::Explicit(runs) => runs.len() as u32,
        };
        let usual = match baseline {
            Baseline::MedianOfLastN(n) => COMPARABLE_USUAL.min(n),
            Baseline::LastPass | Baseline::Tag(_) => 1,
            // Who names several wants all of them.
            Baseline::Explicit(_) => runs_most,
        };
        let minimum_comparable = self.min_comparable.unwrap_or(usual);
        if !(1..=runs_most).contains(&minimum_comparable) {
            return Err(format!(
                "canary.minComparable is {minimum_comparable}: give a number from 1 to {runs_most}, of so many runs \
                 the baseline is made at most"
            ));
        }
        let maximum_effect = self.max_effect.unwrap_or(EFFECT_USUAL);
        if !(maximum_effect > 0.0 && maximum_effect <= EFFECT_MAXIMUM) {
            return Err(format!(
                "canary.maxEffect is {maximum_effect}: give a share above 0 and up to {EFFECT_MAXIMUM}, such as 0.02 \
                 for 2 %"
            ));
        }
        let match_on = self.match_on.unwrap_or_else(|| MATCH_USUAL.into());
        if match_on.is_empty() {
            return Err(
                "canary.matchOn is empty: runs on other hardware would be compared; name what must be \
                        alike, or leave the field out"
                    .into(),
            );
        }
        let no_baseline = match self.no_baseline {
            None | Some(NoBaselineFile::Inconclusive) => NoBaseline::Inconclusive,
            Some(NoBaselineFile::Warn) => NoBaseline::Warn,
            Some(NoBaselineFile::Pass) => {
                return Err(
                    "canary.noBaseline is PASS: nothing would have been compared; write INCONCLUSIVE or \
                            WARN"
                        .into(),
                );
            }
            Some(NoBaselineFile::Fail) => {
                return Err(
                    "canary.noBaseline is FAIL: a first run could never be a baseline; write INCONCLUSIVE \
                            or WARN"
                        .into(),
                );
            }
        };
        Ok(Canary { baseline, match_on, minimum_comparable, maximum_effect, no_baseline })
    }

    fn baseline(&self) -> Result<Baseline, String> {
        if self.n.is_some() && self.baseline != Kind::MedianOfLastN {
            return Err("canary.n goes with `baseline: medianOfLastN` only: remove it here".into());
        }
        if !self.tag.is_empty() && self.baseline != Kind::Tag {
            return Err("canary.tag goes with `baseline: tag` only: remove it here".into());
        }
        if !self.runs.is_empty() && self.baseline != Kind::Explicit {
            return Err("canary.runs goes with `baseline: explicit` only: remove it here".into());
        }
        match self.baseline {
            Kind::LastPass => Ok(Baseline::LastPass),
            Kind::MedianOfLastN => {
                let n = self.n.unwrap_or(RUNS_USUAL);
                if !(1..=ENDED_RUNS_MAX as u32).contains(&n) {
                    return Err(format!(
                        "canary.n is {n}: give a number from 1 to {ENDED_RUNS_MAX}, so many ended runs are remembered"
                    ));
                }
                Ok(Baseline::MedianOfLastN(n))
            }
            Kind::Tag if self.tag.is_empty() => Err("canary.baseline is tag: say which versions, such as \
                                                     `tag: {image: 2026.1}`"
                .into()),
            Kind::Tag => Ok(Baseline::Tag(self.tag.clone())),
            Kind::Explicit if self.runs.is_empty() => {
                Err("canary.baseline is explicit: say which runs, such as `runs: [build-1233]`".into())
            }
            Kind::Explicit => Ok(Baseline::Explicit(self.runs.clone())),
        }
    }
}
