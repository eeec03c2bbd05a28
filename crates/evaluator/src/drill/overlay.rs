//! A fault laid over readings: a pure transform by signal and place, from the onset on.
//!
//! readings of a loop → **overlay** → readings as they would be with the fault

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use telemetry::place::Place;
use telemetry::record::{Flag, SampleBatch, SeriesDeclaration, SeriesId};
use telemetry::{EventTime, Microseconds, Name};

use super::class::{Change, Class, How};

/// The fault of one drill.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Overlay {
    severity: f64,
    onset: EventTime,
    /// Only of this rack.
    rack: Option<Name>,
    /// Only this series.
    only: Option<u32>,
    /// The sensor that tells how warm the coolant is that comes to the rack, and what it said last.
    supply: Option<u32>,
    supply_celsius: Option<f64>,
    /// The first readings after the onset, by series.
    held: BTreeMap<u32, (EventTime, f64)>,
}

/// A reading on its way.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Reading {
    time: EventTime,
    value: f64,
    flag: Flag,
}

impl Overlay {
    /// At a place, from `onset` on.
    pub(crate) fn new(
        severity: f64,
        onset: EventTime,
        place: &Place,
        only: Option<u32>,
        supply: Option<u32>,
    ) -> Self {
        let rack = place.rack.clone();
        Self { severity, onset, rack, only, supply, supply_celsius: None, held: BTreeMap::new() }
    }

    /// The readings as they would be with the fault. Those from before the onset stay as they are.
    pub(crate) fn lay(
        &mut self,
        class: &Class,
        declarations: &[Arc<SeriesDeclaration>],
        batch: &SampleBatch,
    ) -> SampleBatch {
        let mut laid = SampleBatch::default();
        for (index, number) in batch.series.iter().enumerate() {
            let reading =
                Reading { time: batch.time[index], value: batch.value[index], flag: batch.flag(index) };
            let declaration = declarations.get(number.0 as usize).map(AsRef::as_ref);
            if let Some(reading) = self.change(class, number.0, declaration, reading) {
                laid.series.push(SeriesId(number.0));
                laid.time.push(reading.time);
                laid.value.push(reading.value);
                laid.flag.push(reading.flag);
            }
        }
        laid
    }

    fn change(
        &mut self,
        class: &Class,
        number: u32,
        declaration: Option<&SeriesDeclaration>,
        reading: Reading,
    ) -> Option<Reading> {
        if self.supply == Some(number) && reading.flag.is_reading() {
            self.supply_celsius = Some(reading.value);
        }
        let Some(declaration) = declaration.filter(|_| self.onset <= reading.time) else {
            return Some(reading);
        };
        let signal = &*declaration.identity.signal;
        let is_meant = |change: &&Change| change.signals.is_empty() || change.signals.contains(&signal);
        let is_here = self.rack.is_none() || self.rack == declaration.identity.place.rack;
        let is_one = self.only.is_none_or(|only| only == number);
        match class.changes.iter().find(is_meant).filter(|_| is_here && is_one) {
            Some(change) => self.changed(change.how, number, reading),
            None => Some(reading),
        }
    }

    fn changed(&mut self, how: How, number: u32, reading: Reading) -> Option<Reading> {
        if let How::Withheld = how {
            return None;
        }
        // What is no reading stays none, whatever the plant does.
        if !reading.flag.is_reading() {
            return Some(reading);
        }
        let Reading { time, value, .. } = reading;
        let hours = (time - self.onset).as_seconds() / 3_600.0;
        let (time, value) = match how {
            How::Times(factor) => (time, value * factor(self.severity)),
            How::Plus(offset) => {
                let moved = value + offset(self.severity, hours);
                (time, if value < 0.0 { moved } else { moved.max(0.0) })
            }
            How::AboveSupply => {
                let supply = self.supply_celsius.unwrap_or(value);
                (time, supply + (value - supply) * self.severity)
            }
            How::Held => (time, self.held.entry(number).or_insert((time, value)).1),
            How::Repeated => *self.held.entry(number).or_insert((time, value)),
            How::Ahead => (time + Microseconds(seconds(self.severity)), value),
            How::Withheld => return None,
        };
        Some(Reading { time, value, ..reading })
    }
}

/// Of a severity in seconds, which is bounded by its class.
fn seconds(severity: f64) -> i64 {
    (severity * 1e6) as i64
}

#[cfg(test)]
mod tests {
    use telemetry::place::{PartitionKey, SeriesIdentity};
    use telemetry::record::{Feed, Temporality};

    use super::super::class::class;
    use super::*;

    const ONSET: EventTime = EventTime::from_unix_micros(1_000_000_000);

    /// Two racks, with these signals each, and those of their loop behind them.
    fn declarations(signals: &[&str]) -> Vec<Arc<SeriesDeclaration>> {
        let racks = [Some("r1"), Some("r2"), None];
        let of = |(rack, signal): (Option<&str>, &str)| {
            let place = Place {
                site: "s".into(),
                cooling_loop: Some("l".into()),
                rack: rack.map(Name::from),
                ..Place::default()
            };
            SeriesDeclaration {
                partition: PartitionKey::of(&place),
                id: SeriesId(0),
                cooling_loop: place.cooling_loop.clone(),
                identity: SeriesIdentity::new(place, signal.into(), None),
                declared: true,
                unit: "1".into(),
                source: "test".into(),
                source_name: "".into(),
                source_unit: "".into(),
                temporality: Temporality::Gauge,
                feed: Feed::Unsaid,
                labels: Arc::default(),
            }
        };
        racks
            .into_iter()
            .flat_map(|rack| signals.iter().map(move |signal| (rack, *signal)))
            .map(of)
            .map(Arc::new)
            .collect()
    }

    /// What becomes of readings, each of series, seconds after the onset and value.
    fn lay(
        name: &str,
        at_rack: bool,
        supply: Option<u32>,
        readings: &[(u32, i64, f64)],
    ) -> Vec<(u32, i64, f64)> {
        let declarations =
            declarations(&["coolant_supply_temperature", "gpu_temperature", "coolant_return_flow"]);
        let place = Place { rack: at_rack.then(|| "r1".into()), ..declarations[0].place() };
        let class = class(name).unwrap();
        let mut overlay = Overlay::new(class.severity.usual, ONSET, &place, None, supply);
        let mut batch = SampleBatch::default();
        for (number, after, value) in readings {
            batch.series.push(SeriesId(*number));
            batch.time.push(ONSET + Microseconds::from_seconds(*after));
            batch.value.push(*value);
        }
        let laid = overlay.lay(class, &declarations, &batch);
        let after = |time: EventTime| (time - ONSET).0 / 1_000_000;
        (0..laid.len()).map(|at| (laid.series[at].0, after(laid.time[at]), laid.value[at])).collect()
    }

    #[test]
    fn nothing_is_changed_before_the_onset_nor_elsewhere() {
        let readings = [(1, -1, 50.0), (4, 1, 50.0), (8, 1, 300.0)];
        assert_eq!(lay("gap", true, None, &readings), readings);
    }

    #[test]
    fn a_gap_takes_the_rack_and_leaves_the_other() {
        assert_eq!(lay("gap", true, None, &[(0, 5, 1.0), (3, 5, 2.0)]), [(3, 5, 2.0)]);
    }

    #[test]
    fn a_leak_takes_from_what_comes_back_and_never_below_nothing() {
        let laid = lay("leak", false, None, &[(8, 5, 300.0), (8, 10, 1.0)]);
        assert_eq!(laid, [(8, 5, 297.0), (8, 10, 0.0)]);
    }

    #[test]
    fn gpus_get_warmer_above_the_coolant_that_comes_to_their_rack() {
        let laid = lay("cold_plate_fouling", true, Some(0), &[(0, 0, 30.0), (1, 0, 50.0), (4, 0, 50.0)]);
        assert_eq!(laid, [(0, 0, 30.0), (1, 0, 54.0), (4, 0, 50.0)]);
    }

    #[test]
    fn a_stuck_sensor_keeps_its_value_and_a_stale_one_its_time_too() {
        let readings = [(0, 0, 30.0), (0, 5, 31.0)];
        assert_eq!(lay("stuck", true, None, &readings), [(0, 0, 30.0), (0, 5, 30.0)]);
        assert_eq!(lay("stale", true, None, &readings), [(0, 0, 30.0), (0, 0, 30.0)]);
        assert_eq!(lay("skew", true, None, &readings), [(0, 10, 30.0), (0, 15, 31.0)]);
    }
}
