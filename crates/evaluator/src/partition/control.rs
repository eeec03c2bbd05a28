//! Control loops: whether they hunt, whether the valve answers, whether the facility's water warms.
//!
//! held values, block means → **control** → detectors → findings

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};
use telemetry::facts::TrendStatus;
use telemetry::place::Place;
use telemetry::{EventTime, Labels, Microseconds, median};

use super::Partition;
use super::blocks::{current_block, new_block};
use crate::block::{BLOCK, ClosedBlock};
use crate::detectors::motion::{self, Motion, Moves};
use crate::detectors::oscillation::{self, FAST, Oscillation, SLOW, Swing};
use crate::detectors::saturation::Saturation;
use crate::detectors::stiction::{self, Stiction};
use crate::detectors::valve::{self, Valve};
use crate::detectors::warming::{self, Warming};
use crate::detectors::{self, Detector};
use crate::effect::Effects;
use crate::finding::{Anomaly, FindingKey};
use crate::layout::ControlLoop;

/// Where nobody tells the set point of the supply, water this warm cools no rack, °C.
const WATER_LIMIT: f64 = 45.0;

/// Steps of 10 s within which a change of load is a step, and its size as a share of the nominal power.
const LOAD_STEPS: usize = 6;
const LOAD_STEP_SHARE: f64 = 0.10;
/// Steps after a load step until the supply temperature says something of the controller: 240 s.
const RESTED_STEPS: usize = 24;

/// The state of a control loop.
#[derive(Debug, Default, Clone, Serialize, Deserialize)]
pub(crate) struct Control {
    motion: Motion,
    fast: Oscillation,
    slow: Oscillation,
    /// Power of all racks at the latest steps, kW.
    powers: VecDeque<Option<f64>>,
    /// Steps since the last load step.
    rested: usize,
    valve: Valve,
    stiction: Stiction,
    warming: Warming,
    pub(super) saturation: Saturation,
}

impl Control {
    /// Takes the power of all racks at a step: a change of 10 % of the nominal within a minute is a load step. Where
    /// no power is known there is none.
    fn note_load(&mut self, power: Option<f64>, nominal: Option<f64>) {
        self.powers.push_back(power);
        if self.powers.len() > LOAD_STEPS {
            self.powers.pop_front();
        }
        let largest = self.powers.iter().flatten().copied().reduce(f64::max);
        let smallest = self.powers.iter().flatten().copied().reduce(f64::min);
        let is_step = largest
            .zip(smallest)
            .zip(nominal)
            .is_some_and(|((largest, smallest), nominal)| LOAD_STEP_SHARE * nominal <= largest - smallest);
        self.rested = if is_step { 0 } else { self.rested.saturating_add(1) };
    }

    /// Whether nothing swings.
    fn rests(&self) -> bool {
        !self.motion.hunts && self.fast.swing.is_none() && self.slow.swing.is_none()
    }
}

impl Partition {
    /// Takes the held supply temperature and valve position of each control loop, every 10 s.
    pub(super) fn follow_controls(&mut self, end: EventTime, effects: &mut Effects) {
        if end.window_start(FAST.step) != end || self.layout.controls.is_empty() {
            return;
        }
        let power = self.power_together(end);
        for number in 0..self.layout.controls.len() {
            let ControlLoop { place, supply, valve, .. } = &self.layout.controls[number];
            let (place, supply, valve) = (place.clone(), supply.clone(), valve.clone());
            self.settle(supply.iter().chain(&valve).copied(), end);
            self.take_events(end, effects);
            let is_seen = FAST.is_seen_by(self.pace(&supply));
            let (supply, valve) = (self.held(&supply, end).filter(|_| is_seen), self.held(&valve, end));
            let nominal = self.steady.nominal;
            let control = self.controls.entry(place).or_default();
            control.note_load(power, nominal);
            control.motion.push(valve);
            // What a load step does to the supply temperature says nothing of the controller.
            control.fast.push(&FAST, supply.filter(|_| RESTED_STEPS <= control.rested));
        }
    }

    /// The median of what the sensors held when a step ended.
    fn held(&self, sensors: &[u32], end: EventTime) -> Option<f64> {
        let held = |series: &u32| self.series[*series as usize].at(end - Microseconds(1), None).0.ok();
        median(&mut sensors.iter().filter_map(held).collect::<Vec<f64>>())
    }

    /// The longest interval of these sensors, where each has one.
    fn pace(&self, sensors: &[u32]) -> Option<Microseconds> {
        let intervals = sensors.iter().map(|series| self.series[*series as usize].hold.interval());
        intervals.reduce(|one, other| Some(one?.max(other?))).flatten()
    }

    /// Power of all racks, kW, while it is known of each that has a meter; none without any.
    fn power_together(&mut self, end: EventTime) -> Option<f64> {
        let meters: Vec<Vec<u32>> = self
            .layout
            .racks
            .values()
            .map(|rack| rack.power.operands[0].series.clone())
            .filter(|series| !series.is_empty())
            .collect();
        self.settle(meters.iter().flatten().copied(), end);
        meters.iter().map(|meter| self.held(meter, end)).reduce(|sum, power| Some(sum? + power?)).flatten()
    }

    /// A block has ended: all that is watched of control loops.
    pub(super) fn look_at_controls(&mut self, end: EventTime, effects: &mut Effects) {
        for number in 0..self.layout.controls.len() {
            let ControlLoop { place, supply, set_point, valve, water, .. } = &self.layout.controls[number];
            let series = |number: &u32| &self.series[*number as usize];
            let mean = |numbers: &[u32]| {
                let blocks = numbers.iter().filter_map(|number| current_block(series(number), end));
                median(&mut blocks.map(|block| block.mean).collect::<Vec<f64>>())
            };
            let new = |numbers: &[u32]| numbers.iter().find_map(|number| new_block(series(number), end));
            // A block of a slow feed stays in force while it is not looked at again.
            let is_between = |numbers: &[u32]| {
                numbers.iter().any(|number| current_block(series(number), end).is_some())
                    && new(numbers).is_none()
            };
            let (place, temperature, set_point) = (place.clone(), mean(supply), mean(set_point));
            let (position, is_valve_due) = (new(valve), !is_between(valve));
            let water_length = new(water).map_or(BLOCK, |block| block.length);
            let (water, is_water_due) = (mean(water), !is_between(water));
            let error = temperature.zip(set_point).map(|(supply, set_point)| supply - set_point);
            // The blocks of a slow feed are too long for the shortest of slow swings: there each minute's reading counts.
            let is_slow = supply.iter().any(|number| BLOCK < series(number).block_length());
            let swinging = if is_slow { self.held(supply, end) } else { temperature };
            let swinging = swinging.filter(|_| SLOW.is_seen_by(self.pace(supply)));
            self.look_for_hunting(&place, swinging, end, effects);
            if is_valve_due {
                self.look_at_valve(&place, error, position.as_ref(), end, effects);
                self.look_for_stiction(&place, error, position.as_ref(), end, effects);
            }
            if is_water_due {
                self.look_at_water(&place, water, water_length, set_point, end, effects);
            }
        }
    }

    fn look_for_hunting(
        &mut self,
        place: &Place,
        supply: Option<f64>,
        end: EventTime,
        effects: &mut Effects,
    ) {
        let control = self.controls.entry(place.clone()).or_default();
        let has_rested = RESTED_STEPS <= control.rested;
        control.slow.push(&SLOW, supply.filter(|_| has_rested));
        let moves = control.motion.look();
        // Where the valve is seen, its moves decide; else the temperature alone must.
        let swings = if control.motion.is_known() {
            (control.fast.swing, control.slow.swing) = (None, None);
            [None, None]
        } else {
            [control.fast.look(&FAST), control.slow.look(&SLOW)]
        };
        let rests = control.rests();
        let of_temperature = moves.and_then(|_| control.fast.period(&FAST));
        let detector = detectors::known("hunting");
        let key = FindingKey::of_place(detector, place.clone());
        if let Some(motion::Change::Begun(moves)) = moves {
            let of_valve = moves.period_steps.map(|steps| Microseconds(FAST.step.0 * steps as i64));
            let period = of_temperature.or(of_valve);
            let anomaly = hunting_valve(detector, key.clone(), moves, period, end);
            self.open(detector, anomaly, effects);
        }
        for (band, swing) in [FAST, SLOW].iter().zip(swings) {
            if let Some(oscillation::Change::Begun(swing)) = swing {
                let window = Microseconds(band.step.0 * band.window as i64);
                let anomaly = hunting(detector, key.clone(), swing, end - window, end);
                self.open(detector, anomaly, effects);
            }
        }
        if rests {
            self.close(detector, &key, end, effects);
        }
    }

    fn look_at_valve(
        &mut self,
        place: &Place,
        error: Option<f64>,
        position: Option<&ClosedBlock>,
        end: EventTime,
        effects: &mut Effects,
    ) {
        let detector = detectors::known("valve_stuck");
        let key = FindingKey::of_place(detector, place.clone());
        let control = self.controls.entry(place.clone()).or_default();
        match control.valve.observe(error, position) {
            Some(valve::Change::Stuck { onset }) => {
                let position = position.map_or_else(String::new, |block| format!("{:.1}", block.mean));
                let evidence = Labels::from([
                    (
                        "rule".into(),
                        format!(
                            "off its set point by {} K·min in a row while the valve rests",
                            valve::UNANSWERED_MINIMUM
                        )
                        .into(),
                    ),
                    ("valve_position_percent".into(), position.into()),
                    ("clears".into(), "when the valve moves".into()),
                ]);
                let anomaly = Anomaly {
                    residual: error,
                    baseline: Some(0.0),
                    threshold: Some(valve::ERROR_MINIMUM),
                    unit: "K".into(),
                    ..Anomaly::direct(detector, key, onset, end, evidence)
                };
                self.open(detector, anomaly, effects);
            }
            Some(valve::Change::Over) => self.close(detector, &key, end, effects),
            None => {}
        }
    }

    fn look_for_stiction(
        &mut self,
        place: &Place,
        error: Option<f64>,
        position: Option<&ClosedBlock>,
        end: EventTime,
        effects: &mut Effects,
    ) {
        let detector = detectors::known("stiction");
        let key = FindingKey::of_place(detector, place.clone());
        let control = self.controls.entry(place.clone()).or_default();
        match control.stiction.observe(error, position) {
            Some(stiction::Change::Begun { unanswered }) => {
                let evidence = Labels::from([
                    (
                        "rule".into(),
                        format!(
                            "blocks off its set point by {} K in which the valve rests",
                            stiction::ERROR_MINIMUM
                        )
                        .into(),
                    ),
                    ("clears".into(), "after two hours without such a block".into()),
                ]);
                let anomaly = Anomaly {
                    residual: Some(unanswered as f64),
                    baseline: Some(0.0),
                    threshold: Some(stiction::UNANSWERED_MINIMUM as f64),
                    unit: "1".into(),
                    ..Anomaly::direct(detector, key, end - Microseconds::from_hours(2), end, evidence)
                };
                self.open(detector, anomaly, effects);
            }
            Some(stiction::Change::Over) => self.close(detector, &key, end, effects),
            None => {}
        }
    }

    fn look_at_water(
        &mut self,
        place: &Place,
        water: Option<f64>,
        length: Microseconds,
        set_point: Option<f64>,
        end: EventTime,
        effects: &mut Effects,
    ) {
        let detector = detectors::known("facility_warming");
        let key = FindingKey::of_place(detector, place.clone());
        let limit = set_point.unwrap_or(WATER_LIMIT);
        let control = self.controls.entry(place.clone()).or_default();
        match control.warming.observe(end, length, water, limit) {
            Some(warming::Change::Begun { trend, rise }) => {
                let anomaly = warming_water(detector, key, &trend, rise, limit, end);
                self.open(detector, anomaly, effects);
            }
            Some(warming::Change::Over) => self.close(detector, &key, end, effects),
            None => {}
        }
    }
}

fn hunting_valve(
    detector: &Detector,
    key: FindingKey,
    moves: Moves,
    period: Option<Microseconds>,
    end: EventTime,
) -> Anomaly {
    let mut evidence = Labels::from([
        (
            "rule".into(),
            format!("{} reversals and this travel in 10 minutes", motion::REVERSALS_MINIMUM).into(),
        ),
        ("valve_reversals".into(), moves.reversals.to_string().into()),
        ("clears".into(), "below 3 reversals in 10 minutes".into()),
    ]);
    if let Some(period) = period {
        evidence.insert("period".into(), period.to_string().into());
    }
    Anomaly {
        residual: Some(moves.travel),
        baseline: Some(0.0),
        threshold: Some(motion::TRAVEL_MINIMUM),
        unit: "%".into(),
        ..Anomaly::direct(detector, key, end - Microseconds::from_minutes(10), end, evidence)
    }
}

fn hunting(detector: &Detector, key: FindingKey, swing: Swing, onset: EventTime, end: EventTime) -> Anomaly {
    let evidence = Labels::from([
        ("period".into(), swing.period.to_string().into()),
        ("autocorrelation".into(), format!("{:.2}", swing.peak).into()),
        ("clears".into(), "when the autocorrelation falls below 0.3".into()),
    ]);
    Anomaly {
        residual: Some(swing.deviation),
        baseline: Some(0.0),
        threshold: Some(oscillation::DEVIATION_MINIMUM),
        unit: "K".into(),
        confidence: swing.peak.clamp(0.5, 1.0),
        ..Anomaly::direct(detector, key, onset, end, evidence)
    }
}

fn warming_water(
    detector: &Detector,
    key: FindingKey,
    trend: &TrendStatus,
    rise: f64,
    limit: f64,
    end: EventTime,
) -> Anomaly {
    let mut evidence = Labels::from([
        (
            "rule".into(),
            format!(
                "this slope, and warmer by {} K within {} min",
                warming::RISE_MINIMUM,
                warming::WINDOW.0 / BLOCK.0
            )
            .into(),
        ),
        ("rise_kelvin".into(), format!("{rise:.2}").into()),
        ("level_celsius".into(), format!("{:.2}", trend.level).into()),
        ("limit_celsius".into(), format!("{limit:.2}").into()),
        ("clears".into(), "when it warms by less than 0.75 K/h".into()),
    ]);
    if let Some(time) = trend.time_to_threshold {
        evidence.insert("time_to_limit".into(), time.to_string().into());
    }
    Anomaly {
        residual: Some(trend.slope_per_hour),
        baseline: Some(0.0),
        threshold: Some(warming::SLOPE_MINIMUM),
        unit: "K/h".into(),
        ..Anomaly::direct(detector, key, end - warming::WINDOW, end, evidence)
    }
}
