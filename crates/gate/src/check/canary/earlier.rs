//! Earlier runs of the rack as a baseline: which there are, and which ran under the same conditions.

use telemetry::facts::{Conditions, EndedRun, Metric, RunFacts};
use telemetry::record::RunState;

use super::NoBasis;
use super::window::{Window, spoilt};
use crate::canary::{BATCHES_MINIMUM, Estimate};
use crate::policy::{Baseline, Canary, MatchOn};
use crate::subject::Subject;
use crate::words;

/// How far set points, ambient temperatures (K) and mean loads (share) of comparable runs may be apart.
const SETPOINT_APART_MAXIMUM: f64 = 1.0;
const AMBIENT_APART_MAXIMUM: f64 = 2.0;
pub const LOAD_APART_MAXIMUM: f64 = 0.15;

/// The earlier runs that the baseline means, whatever they ran under, the oldest first.
///
/// # Errors
/// When there are fewer than the check asks for.
pub fn comparable<'a>(
    subject: &Subject<'a>,
    canary: &Canary,
    window: &Window<'a>,
) -> Result<Vec<&'a EndedRun>, NoBasis> {
    let ended = subject.facts.batches.iter().flat_map(|batches| &batches.runs);
    let mut why = Vec::new();
    let mut found: Vec<&EndedRun> = Vec::new();
    for run in ended.filter(|run| run.run != window.run.run && run.end <= window.run.start) {
        match unfit(run, &canary.baseline) {
            None => found.push(run),
            Some(said) => why.push(format!("{:?} {said}", &*run.run)),
        }
    }
    if let Baseline::Explicit(asked) = &canary.baseline {
        let missing = asked.iter().filter(|id| !found.iter().any(|run| run.run == **id));
        why.extend(missing.map(|id| format!("{:?} is not among the rack's last ended runs", &**id)));
    }
    if (found.len() as u32) < canary.minimum_comparable {
        why.insert(
            0,
            format!("{} of {} that are asked for are there", found.len(), canary.minimum_comparable),
        );
        return Err(NoBasis(why.join(", ")));
    }
    Ok(found)
}

/// Why a run is no baseline of this kind.
fn unfit(run: &EndedRun, baseline: &Baseline) -> Option<String> {
    let told = || {
        if run.failed {
            Some("failed".to_owned())
        } else if run.warned {
            Some("had a warning".to_owned())
        } else if spoilt(run) || run.state != RunState::Ended {
            Some(format!("was {}", run.state.name()))
        } else {
            None
        }
    };
    let said = match baseline {
        Baseline::LastPass => told().or((!run.passed).then(|| "was never passed by a gate".to_owned())),
        Baseline::MedianOfLastN(_) => told(),
        Baseline::Tag(versions) => told().or_else(|| {
            let differs = versions.iter().find(|(name, value)| run.versions.get(*name) != Some(value))?;
            Some(format!("is not of {} {}", differs.0, differs.1))
        }),
        Baseline::Explicit(ids) => (!ids.contains(&run.run)).then(|| "is not asked for".to_owned()),
    };
    said.or_else(|| {
        let batches = run.metric(Metric::ThermalResistance).map_or(0, |metric| metric.batches as usize);
        (batches < BATCHES_MINIMUM).then(|| format!("has {batches} batches of steady load"))
    })
}

/// What keeps two runs from being compared.
enum Differs {
    /// They ran under other conditions.
    Known(String),
    /// Nobody knows under which conditions one of them ran.
    Unknown(String),
}

/// Too few runs are like the one that is judged.
pub struct NotAlike {
    /// In what they differ.
    pub said: String,
    /// Nothing that is known differs: there is nothing to compare with, rather than something else.
    pub is_unknown: bool,
}

/// Those that ran under the same conditions as this run, the latest that the baseline takes, the oldest first.
///
/// # Errors
/// Says in what the runs differ from this one, when too few of them are like it.
pub fn alike<'a>(
    subject: &Subject,
    canary: &Canary,
    window: &Window,
    runs: &[&'a EndedRun],
) -> Result<Vec<&'a EndedRun>, NotAlike> {
    let (mut alike, mut told, mut is_unknown) = (Vec::new(), Vec::new(), true);
    for run in runs.iter().copied() {
        let differs = differences(subject, canary, window, run);
        if differs.is_empty() {
            alike.push(run);
            continue;
        }
        let mut texts = Vec::new();
        for one in differs {
            texts.push(match one {
                Differs::Known(text) => {
                    is_unknown = false;
                    text
                }
                Differs::Unknown(text) => text,
            });
        }
        told.push(format!("run {:?} differs in {}", &*run.run, texts.join(" and ")));
    }
    if alike.len() < canary.minimum_comparable as usize {
        let said = format!(
            "{} of {} earlier runs that are asked for are like this one: {}",
            alike.len(),
            canary.minimum_comparable,
            told.join("; ")
        );
        return Err(NotAlike { said, is_unknown });
    }
    let most = match &canary.baseline {
        Baseline::LastPass => 1,
        Baseline::MedianOfLastN(n) => *n as usize,
        Baseline::Tag(_) | Baseline::Explicit(_) => alike.len(),
    };
    Ok(alike.split_off(alike.len().saturating_sub(most)))
}

/// In what an earlier run differs from this one. What is not known of either differs.
fn differences(subject: &Subject, canary: &Canary, window: &Window, run: &EndedRun) -> Vec<Differs> {
    let [now, _] = window.conditions();
    let earlier = &run.conditions;
    canary
        .match_on
        .iter()
        .filter_map(|what| difference(*what, &now, earlier, window.run, run, subject))
        .collect()
}

fn difference(
    what: MatchOn,
    now: &Conditions,
    earlier: &Conditions,
    judged: &RunFacts,
    run: &EndedRun,
    subject: &Subject,
) -> Option<Differs> {
    match what {
        MatchOn::Sku => match (&now.sku, &earlier.sku) {
            (Some(now), Some(earlier)) if now == earlier => None,
            (Some(_), Some(_)) => {
                Some(Differs::Known("sku (the rack's bill of materials has changed)".to_owned()))
            }
            (None, _) | (_, None) => Some(Differs::Unknown(format!(
                "sku (not known: list {} in the site file)",
                words::place(&subject.facts.place)
            ))),
        },
        MatchOn::Firmware => match (judged.versions.get("firmware"), run.versions.get("firmware")) {
            (Some(now), Some(earlier)) if now == earlier => None,
            (Some(now), Some(earlier)) => {
                Some(Differs::Known(format!("firmware ({earlier} then, {now} now)")))
            }
            (None, _) | (_, None) => Some(Differs::Unknown(
                "firmware (not known: start runs with `--version firmware=…`)".to_owned(),
            )),
        },
        MatchOn::CoolingPath => match (&now.cooling_loop, &earlier.cooling_loop) {
            (now, earlier) if now == earlier => None,
            (now, earlier) => {
                let told = |name: &Option<telemetry::Name>| {
                    name.as_ref().map_or_else(|| "no loop".to_owned(), |name| format!("loop {name}"))
                };
                Some(Differs::Known(format!("cooling_path ({} then, {} now)", told(earlier), told(now))))
            }
        },
        MatchOn::CoolantSetpoint => apart(
            "coolant_setpoint",
            earlier.setpoint_celsius,
            now.setpoint_celsius,
            |earlier, now| (earlier - now).abs() <= SETPOINT_APART_MAXIMUM,
            "Cel",
        ),
        MatchOn::AmbientBand => apart(
            "ambient_band",
            earlier.ambient_celsius,
            now.ambient_celsius,
            |earlier, now| (earlier - now).abs() <= AMBIENT_APART_MAXIMUM,
            "Cel",
        ),
        MatchOn::Load => apart(
            "load",
            earlier.power_kilowatts.map(|(_, mean, _)| mean),
            now.power_kilowatts.map(|(_, mean, _)| mean),
            |earlier, now| (earlier - now).abs() <= LOAD_APART_MAXIMUM * earlier.max(now),
            "kW",
        ),
    }
}

fn apart(
    name: &str,
    earlier: Option<f64>,
    now: Option<f64>,
    is_near: impl Fn(f64, f64) -> bool,
    unit: &str,
) -> Option<Differs> {
    match (earlier, now) {
        (Some(earlier), Some(now)) if is_near(earlier, now) => None,
        (Some(earlier), Some(now)) => Some(Differs::Known(format!(
            "{name} ({} then, {} now)",
            words::quantity(earlier, unit),
            words::quantity(now, unit)
        ))),
        (None, _) | (_, None) => Some(Differs::Unknown(format!(
            "{name} (not known; leave it out of matchOn where nothing measures it)"
        ))),
    }
}

/// The change of a metric against these runs.
pub fn estimate(window: &Window, runs: &[&EndedRun], metric: Metric) -> Option<Estimate> {
    let known: Vec<(f64, f64, u32)> = runs
        .iter()
        .filter_map(|run| run.metric(metric))
        // A run of a few bursts says little about its settling time.
        .filter(|known| metric != Metric::SettlingTime || BATCHES_MINIMUM <= known.batches as usize)
        .map(|known| (known.mean, known.deviation, known.batches))
        .collect();
    Estimate::of_runs(&known, &window.values(metric, true))
}
