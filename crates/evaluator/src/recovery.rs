//! Whether a rack is back where it was before its last run: the physical state counts after the software is rolled back.
//!
//! block means → **recovery** → facts

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};
use telemetry::facts::{Recovery, RecoverySignal};
use telemetry::place::Place;
use telemetry::{EventTime, Name};

/// Blocks before a run that make its band, and how many of them must be known.
const BAND_BLOCKS: usize = 30;
const BAND_KNOWN: usize = 10;

/// A signal whose return is awaited.
#[derive(Debug)]
pub(crate) struct Channel {
    /// Its name.
    pub signal: &'static str,
    /// Its unit.
    pub unit: &'static str,
    /// The band is wider than what was seen by this much on each side, in the unit.
    tolerance: f64,
}

/// Headroom of GPUs (or their temperature), heat carried, coolant, and the effort of pump and valve.
pub(crate) const CHANNELS: [Channel; 6] = [
    Channel { signal: "gpu_temperature_margin", unit: "K", tolerance: 2.0 },
    Channel { signal: "gpu_temperature", unit: "Cel", tolerance: 2.0 },
    Channel { signal: "coolant_delta_t", unit: "K", tolerance: 0.5 },
    Channel { signal: "coolant_supply_temperature", unit: "Cel", tolerance: 0.5 },
    Channel { signal: "pump_speed", unit: "%", tolerance: 3.0 },
    Channel { signal: "valve_position", unit: "%", tolerance: 3.0 },
];

/// The latest block means of the channels, and the band of the last run.
#[derive(Debug, Default, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct RecoveryState {
    recent: [VecDeque<Option<f64>>; CHANNELS.len()],
    bands: Option<Bands>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Bands {
    run: Name,
    ended: Option<EventTime>,
    /// By channel: lower and upper end; none for a signal that was never there.
    limits: [Option<Option<(f64, f64)>>; CHANNELS.len()],
    inside_since: [Option<EventTime>; CHANNELS.len()],
}

impl RecoveryState {
    /// A run starts: the band is where the signals have been until now.
    pub(crate) fn begin_run(&mut self, run: &Name) {
        let limits = std::array::from_fn(|channel| {
            let recent = &self.recent[channel];
            let known: Vec<f64> = recent.iter().flatten().copied().collect();
            let tolerance = CHANNELS[channel].tolerance;
            let lowest = known.iter().copied().min_by(f64::total_cmp)?;
            let highest = known.iter().copied().max_by(f64::total_cmp)?;
            Some((BAND_KNOWN <= known.len()).then_some((lowest - tolerance, highest + tolerance)))
        });
        self.bands =
            Some(Bands { run: run.clone(), ended: None, limits, inside_since: [None; CHANNELS.len()] });
    }

    /// That run ends.
    pub(crate) fn end_run(&mut self, run: &str, time: EventTime) {
        if let Some(bands) = self.bands.as_mut().filter(|bands| &*bands.run == run) {
            bands.ended = Some(time);
        }
    }

    /// Takes the block that ends at `end`: one mean for each channel, none where it is not known.
    pub(crate) fn observe(&mut self, end: EventTime, means: [Option<f64>; CHANNELS.len()]) {
        for (recent, mean) in self.recent.iter_mut().zip(means) {
            recent.push_back(mean);
            if recent.len() > BAND_BLOCKS {
                recent.pop_front();
            }
        }
        let Some(bands) = self.bands.as_mut().filter(|bands| bands.ended.is_some()) else { return };
        for (channel, mean) in means.into_iter().enumerate() {
            let is_inside = match (bands.limits[channel].flatten(), mean) {
                (Some((lower, upper)), Some(mean)) => lower <= mean && mean <= upper,
                (Some(_), None) | (None, _) => false,
            };
            let since = &mut bands.inside_since[channel];
            *since = is_inside.then(|| since.unwrap_or(end));
        }
    }

    /// For the facts, once the run has ended.
    pub(crate) fn facts(&self, rack: &Place, cooling_loop: &Place) -> Option<Recovery> {
        let bands = self.bands.as_ref()?;
        let ended = bands.ended?;
        let signals: Vec<RecoverySignal> = CHANNELS
            .iter()
            .enumerate()
            .filter_map(|(channel, row)| {
                let limits = bands.limits[channel]?;
                Some(RecoverySignal {
                    signal: row.signal.into(),
                    place: if is_of_loop(row) { cooling_loop.clone() } else { rack.clone() },
                    unit: row.unit.into(),
                    lower: limits.map(|(lower, _)| lower),
                    upper: limits.map(|(_, upper)| upper),
                    now: self.recent[channel].back().copied().flatten(),
                    inside_since: bands.inside_since[channel],
                })
            })
            .collect();
        let recovered_at = signals
            .iter()
            .map(|signal| signal.inside_since)
            .try_fold(ended, |latest, since| Some(latest.max(since?)))
            .filter(|_| !signals.is_empty());
        let mut signals = signals;
        signals.sort_by(|one, other| (&one.signal, &one.place).cmp(&(&other.signal, &other.place)));
        Some(Recovery { run: bands.run.clone(), ended, signals, recovered_at })
    }
}

/// Whether a channel is the loop's and not the rack's.
pub(crate) fn is_of_loop(channel: &Channel) -> bool {
    matches!(channel.signal, "pump_speed" | "valve_position")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(minutes: i64) -> EventTime {
        EventTime::from_unix_micros(minutes * 60_000_000)
    }

    #[test]
    fn a_rack_has_recovered_when_all_its_signals_are_back_in_their_bands() {
        let mut state = RecoveryState::default();
        let mut minute = 0;
        let mut see = |state: &mut RecoveryState, delta_t: f64, speed: f64| {
            minute += 1;
            state.observe(at(minute), [None, None, Some(delta_t), None, Some(speed), None]);
        };
        (0..20).for_each(|_| see(&mut state, 10.0, 80.0));
        state.begin_run(&"run".into());
        (0..5).for_each(|_| see(&mut state, 14.0, 99.0));
        let place = Place::default();
        assert_eq!(state.facts(&place, &place), None, "the run goes on");
        state.end_run("run", at(25));
        see(&mut state, 13.0, 82.0);
        see(&mut state, 10.2, 82.0);
        let facts = state.facts(&place, &place).unwrap();
        assert_eq!(facts.signals.len(), 2, "only what was there before");
        assert_eq!(facts.recovered_at, Some(at(27)));
        see(&mut state, 11.0, 82.0);
        assert_eq!(state.facts(&place, &place).unwrap().recovered_at, None, "off again");
    }
}
