//! What a drill looked like: the signals and the residual that its class is about, block by block.
//!
//! play → **trace** → report's plots

use std::collections::BTreeMap;

use evaluator::Effect;
use simulator::Scenario;
use telemetry::place::Place;
use telemetry::record::{PartitionId, SeriesId};
use telemetry::{EventTime, Name};

use crate::play::{Played, play};
use crate::score::{Outcome, score};
use crate::suite::Class;

/// One line of a plot.
#[derive(Debug, Clone, PartialEq)]
pub struct Line {
    /// What it shows: signal and place, or detector and place.
    pub name: String,
    /// Unit of the values; empty for ratios.
    pub unit: String,
    /// Time and value, in order of time.
    pub points: Vec<(EventTime, f64)>,
}

/// A drill that was played for its plot.
#[derive(Debug, Clone, PartialEq)]
pub struct Trace {
    /// What became of it.
    pub outcome: Outcome,
    /// Block means of the signals that the class shows.
    pub signals: Vec<Line>,
    /// Residuals of the detectors that would name it rightly.
    pub residuals: Vec<Line>,
}

/// Plays a drill again and keeps what its plot shows.
pub fn trace(class: &Class, scenario: &Scenario) -> Trace {
    let mut signals: BTreeMap<(Name, String), Line> = BTreeMap::new();
    let mut residuals: BTreeMap<(Name, String), Line> = BTreeMap::new();
    let mut identities: BTreeMap<(PartitionId, SeriesId), (Place, Name, Option<Name>)> = BTreeMap::new();
    let node = scenario.loops[0].racks[0].faults.first().and_then(|fault| fault.node.clone());
    let is_shown = |place: &Place| {
        let of_first = place.rack.is_none() || place.rack.as_ref() == Some(&scenario.loops[0].racks[0].name);
        of_first && (place.node.is_none() || node.is_none() || place.node == node)
    };
    let played: Played =
        play(scenario, |player, effects| {
            let mut minute = None;
            for effect in effects {
                let Effect::Block(block) = effect else { continue };
                minute = Some(block.time);
                if !identities.contains_key(&(block.partition, block.series)) {
                    identities = player.identities();
                }
                let Some((place, signal, sensor)) = identities.get(&(block.partition, block.series)) else {
                    continue;
                };
                if !class.shows.contains(&&**signal) || !is_shown(place) {
                    continue;
                }
                let name = format!(
                    "{signal} of {place}{}",
                    sensor.as_ref().map_or(String::new(), |it| format!(", {it}"))
                );
                let unit = telemetry::signal::find(signal).map_or("", |signal| signal.unit.symbol());
                let line = signals.entry((signal.clone(), name.clone())).or_insert_with(|| Line {
                    name,
                    unit: unit.to_owned(),
                    points: Vec::new(),
                });
                line.points.push((block.time, block.mean));
            }
            let Some(minute) = minute else { return };
            for residual in player.evaluator().residuals() {
                if !class.right.contains(&residual.detector) || !is_shown(residual.place) {
                    continue;
                }
                let Some((value, baseline)) = residual.value.zip(residual.baseline) else { continue };
                let name = format!("{} of {}, by its relevance", residual.detector, residual.place);
                let line = residuals
                    .entry((residual.detector.into(), name.clone()))
                    .or_insert_with(|| Line { name, unit: String::new(), points: Vec::new() });
                line.points.push((minute, (value - baseline) / residual.relevance));
            }
        });
    let outcome = score(Some(class), scenario, &played);
    Trace { outcome, signals: signals.into_values().collect(), residuals: residuals.into_values().collect() }
}
