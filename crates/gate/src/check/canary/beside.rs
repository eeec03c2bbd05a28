//! Racks beside the one that is judged. What happens to all of them is not the release's doing: the change of their
//! mean is taken off the rack's own change (differences in differences).

use std::collections::BTreeMap;

use telemetry::EventTime;
use telemetry::facts::{Batch, Metric, RunFacts};
use telemetry::record::RunState;

use super::window::{BEFORE_MINUTES_MINIMUM, Window, is_before};
use crate::canary::{BATCHES_MINIMUM, Estimate, Numbered, inflation};
use crate::control::{Control, nearest};
use crate::subject::Subject;
use crate::words;

/// Batches before the run's start in which the rack and one beside it are both known.
const COMMON_MINIMUM: usize = 8;
/// A set point that moved by more than this against those beside changes more than a release does, K.
const SETPOINT_MOVE_MAXIMUM: f64 = 1.0;

/// A rack beside, and whether the same exchanger cools it.
pub struct Beside<'a> {
    pub control: &'a Control,
    pub is_on_loop: bool,
    /// Up to here all that are compared are final.
    until: EventTime,
}

/// The racks beside that can be compared with.
///
/// # Errors
/// Says why there is none.
pub fn usable<'a>(subject: &Subject<'a>, window: &Window) -> Result<Vec<Beside<'a>>, String> {
    let (_, minutes) = window.before_span(Metric::ThermalResistance);
    if minutes < BEFORE_MINUTES_MINIMUM {
        return Err(format!(
            "{minutes} of {BEFORE_MINUTES_MINIMUM} steady minutes of the rack itself before the run's start are known"
        ));
    }
    let mut found: Vec<&Control> = Vec::new();
    let mut why = Vec::new();
    for control in candidates(subject) {
        match unusable(subject, window, control) {
            None => found.push(control),
            Some(said) => why.push(said),
        }
    }
    if found.is_empty() {
        return Err(if why.is_empty() { "there is none at this site".to_owned() } else { why.join(", ") });
    }
    let until = found.iter().map(|control| control.watermark).fold(subject.facts.watermark, EventTime::min);
    let cooling_loop = &subject.facts.place.cooling_loop;
    let beside: Vec<Beside> = found
        .into_iter()
        .map(|control| Beside {
            control,
            is_on_loop: cooling_loop.is_some() && control.place.cooling_loop == *cooling_loop,
            until,
        })
        .collect();
    match differences(window, &beside, Metric::ThermalResistance) {
        Some(_) => Ok(beside),
        None => Err(format!(
            "fewer than {COMMON_MINIMUM} batches of steady load before the run's start in common with them"
        )),
    }
}

/// Those that are beside and cannot be compared with, each with the reason.
pub fn left_out(subject: &Subject, window: &Window) -> Vec<String> {
    candidates(subject).into_iter().filter_map(|control| unusable(subject, window, control)).collect()
}

fn candidates<'a>(subject: &Subject<'a>) -> Vec<&'a Control> {
    let controls = subject.controls;
    nearest(&subject.facts.place, controls.iter().map(|control| &control.place))
        .into_iter()
        .filter_map(|place| controls.iter().find(|control| control.place == *place))
        .collect()
}

fn unusable(subject: &Subject, window: &Window, control: &Control) -> Option<String> {
    let name = control.name();
    if control.is_worked_on {
        return Some(format!("{name} (people are at work)"));
    }
    let sku = subject.facts.batches.as_ref().and_then(|batches| batches.sku.as_ref());
    if sku.is_some() && control.batches.sku.is_some() && sku != control.batches.sku.as_ref() {
        return Some(format!("{name} (another bill of materials)"));
    }
    if control.run.as_ref().is_some_and(|run| changes_within(run, window.run)) {
        return Some(format!("{name} (a run of its own began or ended meanwhile)"));
    }
    let minutes: u32 = before(control, window, Metric::ThermalResistance)
        .map(|(batch, _)| u32::from(batch.steady_blocks))
        .sum();
    (minutes < BEFORE_MINUTES_MINIMUM).then(|| {
        format!("{name} ({minutes} of {BEFORE_MINUTES_MINIMUM} steady minutes before the run's start)")
    })
}

/// Whether a rack's own run changed it while it should have stood still.
fn changes_within(own: &RunFacts, judged: &RunFacts) -> bool {
    let from = judged.start - crate::control::BEFORE_MAX;
    let until = judged.end;
    let is_within = |time: EventTime| from < time && until.is_none_or(|until| time < until);
    let ended = match own.state {
        RunState::Active => None,
        RunState::Ended | RunState::Aborted | RunState::Abandoned => own.end,
    };
    is_within(own.start) || ended.is_some_and(is_within)
}

fn before<'a>(
    control: &'a Control,
    window: &Window<'a>,
    metric: Metric,
) -> impl Iterator<Item = (&'a Batch, f64)> + Clone {
    let run = window.run;
    control
        .batches
        .batches
        .iter()
        .filter(move |batch| is_before(batch, run))
        .filter_map(move |batch| Some((batch, batch.logarithm(metric)?)))
}

/// A metric of the rack minus the mean of those beside, each about its own mean before the run's start: before it and
/// since. `None` with too little before it.
///
/// Each rack is first put about its own mean, so that one of several that is not known for a batch moves nothing.
pub fn differences(
    window: &Window,
    beside: &[Beside],
    metric: Metric,
) -> Option<(Vec<Numbered>, Vec<Numbered>)> {
    let mut of_controls: BTreeMap<i64, (f64, f64)> = BTreeMap::new();
    for one in beside {
        // An exchanger or a pump that both share moves both alike.
        if metric.is_of_loop() && one.is_on_loop {
            continue;
        }
        let known = before(one.control, window, metric);
        let minutes: u32 = known.clone().map(|(batch, _)| u32::from(batch.steady_blocks)).sum();
        if minutes < BEFORE_MINUTES_MINIMUM {
            continue;
        }
        let own = mean(known.map(|(_, value)| value))?;
        for batch in &one.control.batches.batches {
            if let Some(value) = batch.logarithm(metric) {
                let (sum, count) = of_controls.entry(batch.number).or_default();
                *sum += value - own;
                *count += 1.0;
            }
        }
    }
    let (_, minutes) = window.before_span(metric);
    if minutes < BEFORE_MINUTES_MINIMUM {
        return None;
    }
    let before = window.values(metric, false);
    let own = mean(before.iter().map(|(_, value)| *value))?;
    let until = beside.first().map_or(i64::MIN, |one| Batch::number_at(one.until));
    let difference = |(number, value): &Numbered| {
        let (sum, count) = of_controls.get(number).filter(|_| *number < until)?;
        Some((*number, value - own - sum / count))
    };
    let before: Vec<Numbered> = before.iter().filter_map(difference).collect();
    let since = window.values(metric, true).iter().filter_map(difference).collect();
    (COMMON_MINIMUM <= before.len()).then_some((before, since))
}

/// The change of the settling time, less the mean change of those beside: bursts do not come at the same time everywhere,
/// so that means are compared and not batches. `None` with too few bursts on either side of the run's start, of the rack
/// or of all beside it.
pub fn settling(window: &Window, beside: &[Beside]) -> Option<Estimate> {
    let own = settling_change(
        &window.values(Metric::SettlingTime, false),
        &window.values(Metric::SettlingTime, true),
    )?;
    let changes: Vec<Estimate> = beside
        .iter()
        .filter_map(|one| {
            let until = Batch::number_at(one.until);
            let batches = &one.control.batches.batches;
            let values = |is_since: bool| -> Vec<Numbered> {
                let of_time = batches.iter().filter(|batch| match is_since {
                    true => window.run.start < batch.end() && batch.number < until,
                    false => is_before(batch, window.run),
                });
                of_time
                    .filter_map(|batch| Some((batch.number, batch.logarithm(Metric::SettlingTime)?)))
                    .collect()
            };
            settling_change(&values(false), &values(true))
        })
        .collect();
    let count = changes.len() as f64;
    let of_controls = mean(changes.iter().map(|change| change.mean))?;
    let squares: f64 = changes.iter().map(|change| error(change) * error(change)).sum();
    Some(Estimate {
        mean: own.mean - of_controls,
        base_error: (own.base_error * own.base_error + squares / (count * count)).sqrt(),
        ..own
    })
}

fn settling_change(before: &[Numbered], since: &[Numbered]) -> Option<Estimate> {
    // Bursts follow one another, however far apart: so autocorrelation sees them as neighbours.
    let in_turn = |values: &[Numbered], first: i64| -> Vec<Numbered> {
        (first..).zip(values).map(|(number, (_, value))| (number, *value)).collect()
    };
    let is_enough = COMMON_MINIMUM <= before.len() && BATCHES_MINIMUM <= since.len();
    let first_since = before.len() as i64 + 1;
    is_enough.then(|| Estimate::of_change(&in_turn(before, 0), &in_turn(since, first_since)))?
}

/// Standard error of the change of one beside.
fn error(change: &Estimate) -> f64 {
    let of_mean = change.deviation * inflation(change.lag_one) / (change.since as f64).sqrt();
    (of_mean * of_mean + change.base_error * change.base_error).sqrt()
}

/// Says when the set point moved with the run and not beside it.
pub fn moved(window: &Window, beside: &[Beside]) -> Option<String> {
    let [since, before] = window.conditions();
    let (since, before) = (since.setpoint_celsius?, before.setpoint_celsius?);
    let of_controls: Vec<f64> = beside
        .iter()
        .filter_map(|one| {
            let batches = &one.control.batches.batches;
            let setpoints = |is_since: bool| {
                let of_time = batches.iter().filter(move |batch| match is_since {
                    true => window.run.start < batch.end(),
                    false => is_before(batch, window.run),
                });
                mean(of_time.filter_map(Batch::setpoint_celsius))
            };
            Some(setpoints(true)? - setpoints(false)?)
        })
        .collect();
    let beside = mean(of_controls.iter().copied()).unwrap_or(0.0);
    let own = since - before;
    (SETPOINT_MOVE_MAXIMUM < (own - beside).abs()).then(|| {
        format!(
            "the coolant's set point moved from {} to {} with the run, and by {} on racks beside it",
            words::quantity(before, "Cel"),
            words::quantity(since, "Cel"),
            words::quantity(beside, "K")
        )
    })
}

fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (mut sum, mut count) = (0.0, 0.0);
    for value in values {
        sum += value;
        count += 1.0;
    }
    (count > 0.0).then(|| sum / count)
}
