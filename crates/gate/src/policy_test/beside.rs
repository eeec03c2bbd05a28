//! What the check `canary` compares: batches of the rack, racks beside it, earlier runs; alike unless a test says
//! otherwise.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Deserialize;
use telemetry::facts::{
    BATCH, Batch, Conditions, EndedRun, Metric, MetricSummary, RackBatches, RackFacts, RunFacts,
};
use telemetry::place::Place;
use telemetry::record::RunState;
use telemetry::{EventTime, Labels, Microseconds, Name};

use super::given::{WATERMARK, length};

/// Logarithm of the healthy thermal resistance, K/W: 42 K over 1 kW.
const RESISTANCE: f64 = -3.17;
/// Batches before the run's start.
const BEFORE: i64 = 48;
/// The usual bill of materials.
const SKU: &str = "sku-1";

/// How the rack compares.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub struct GivenCanary {
    /// Change of the thermal resistance since the run's start, as a share.
    pub effect: f64,
    /// The same of racks beside it.
    pub beside_effect: f64,
    /// Changes of other metrics since the run's start, as shares; a metric that is not named is not known of any rack.
    pub effects: BTreeMap<Metric, f64>,
    /// Every second batch is this much above, the others as much below; a share.
    pub noise: f64,
    /// Steady minutes of each batch of five; all by default.
    pub steady_blocks: u8,
    /// Racks beside it.
    pub beside: u32,
    /// Their bill of materials differs.
    pub beside_differs: bool,
    /// The loop that cools them; the rack's own by default.
    pub beside_loop: Option<Name>,
    /// A page-level budget of them burns.
    pub beside_pages: bool,
    /// Steady time known before the run's start.
    pub before: Option<String>,
    /// Change of the set point since the run's start, K.
    pub setpoint_move: f64,
    /// Change of the load since the run's start, kW.
    pub load_move: f64,
    /// Seconds of thermal throttling since the run's start.
    pub throttled: u32,
    /// Earlier runs, the oldest first.
    pub runs: Vec<GivenEndedRun>,
}

impl Default for GivenCanary {
    fn default() -> Self {
        Self {
            effect: 0.0,
            beside_effect: 0.0,
            effects: BTreeMap::new(),
            noise: 0.003,
            steady_blocks: 5,
            beside: 2,
            beside_differs: false,
            beside_loop: None,
            beside_pages: false,
            before: None,
            setpoint_move: 0.0,
            load_move: 0.0,
            throttled: 0,
            runs: Vec::new(),
        }
    }
}

/// An earlier run of the rack.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub struct GivenEndedRun {
    /// Its id.
    pub run: Name,
    /// How its thermal resistance was off the healthy one, as a share.
    pub effect: f64,
    /// How it ended; `ended` by default.
    pub state: Option<RunState>,
    /// A gate said PASS, WARN, FAIL about it.
    pub passed: bool,
    pub warned: bool,
    pub failed: bool,
    /// Versions by name.
    pub versions: Labels,
    /// Mean load, kW; 90 by default.
    pub load: Option<f64>,
    /// Set point, °C; 35 by default.
    pub setpoint: Option<f64>,
    /// Another loop cooled it.
    pub other_loop: bool,
}

impl Default for GivenEndedRun {
    fn default() -> Self {
        Self {
            run: "earlier".into(),
            effect: 0.0,
            state: None,
            passed: true,
            warned: false,
            failed: false,
            versions: Labels::new(),
            load: None,
            setpoint: None,
            other_loop: false,
        }
    }
}

impl GivenCanary {
    /// What the rack is compared by.
    ///
    /// # Errors
    /// For a length of time that is none.
    pub fn batches(&self, run: Option<&RunFacts>) -> Result<RackBatches, String> {
        let before = length(&self.before)?.map_or(BEFORE, |length| length.0 / BATCH.0);
        let start = run.map_or(WATERMARK, |run| run.start);
        let noise = |number: i64| if number % 2 == 0 { self.noise } else { -self.noise };
        let mut batches = self.series(start, before, |number, is_since| {
            let effect = if is_since { self.effect } else { 0.0 };
            (libm::log1p(effect) + noise(number), if is_since { self.setpoint_move } else { 0.0 })
        });
        self.add_others(&mut batches, start, noise, 1.0);
        if let Some(last) = batches.last_mut().filter(|last| start < last.end()) {
            last.throttled_seconds = self.throttled;
        }
        let runs = self.runs.iter().zip(0..).map(|(given, number)| given.ended(start, number)).collect();
        Ok(RackBatches { sku: Some(SKU.into()), batches, runs })
    }

    /// The facts of the racks beside: those of `facts` but for the place, and nothing in them but batches.
    pub fn beside(&self, facts: &RackFacts) -> Vec<Arc<RackFacts>> {
        let start = facts.run.as_ref().map_or(WATERMARK, |run| run.start);
        let sku: Name = if self.beside_differs { "sku-2".into() } else { SKU.into() };
        let mut batches = self.series(start, BEFORE, |_, is_since| {
            (if is_since { libm::log1p(self.beside_effect) } else { 0.0 }, 0.0)
        });
        self.add_others(&mut batches, start, |_| 0.0, 0.0);
        let beside = |number: u32| {
            let rack: Name = format!("beside-{number}").into();
            let mut objectives = facts.objectives.clone();
            objectives.retain(|_| self.beside_pages);
            for burn in objectives.iter_mut().flat_map(|status| &mut status.burn) {
                burn.firing = true;
            }
            Arc::new(RackFacts {
                place: Place {
                    rack: Some(rack),
                    cooling_loop: self.beside_loop.clone().or_else(|| facts.place.cooling_loop.clone()),
                    ..facts.place.clone()
                },
                objectives,
                findings: Vec::new(),
                run: None,
                previous_run: None,
                maintenance_until: None,
                batches: Some(RackBatches {
                    sku: Some(sku.clone()),
                    batches: batches.clone(),
                    runs: Vec::new(),
                }),
                ..facts.clone()
            })
        };
        (1..=self.beside).map(beside).collect()
    }

    /// Adds the metrics that the test names, changed by `share` of what it says.
    fn add_others(&self, batches: &mut [Batch], start: EventTime, noise: impl Fn(i64) -> f64, share: f64) {
        for batch in batches {
            for (metric, effect) in &self.effects {
                let effect = if start < batch.end() { share * effect } else { 0.0 };
                let value = libm::log1p(effect) + noise(batch.number);
                batch.logarithms[*metric as usize] = Some((value * Batch::LOGARITHM_STEPS).round() as i32);
            }
        }
    }

    /// Batches of steady load from `before` of them before the start up to the watermark; `value` gives by number, and by
    /// whether the run has started, the resistance above the healthy one as a logarithm and the set point above 35 °C.
    fn series(&self, start: EventTime, before: i64, value: impl Fn(i64, bool) -> (f64, f64)) -> Vec<Batch> {
        let first = Batch::number_at(start) - before;
        (first..Batch::number_at(WATERMARK))
            .map(|number| {
                let batch = Batch { number, ..Batch::default() };
                let is_since = start < batch.end();
                let (resistance, setpoint) = value(number, is_since);
                let power = if is_since { 90.0 + self.load_move } else { 90.0 };
                Batch {
                    steady_blocks: self.steady_blocks,
                    logarithms: Metric::ALL.map(|metric| {
                        let value = (RESISTANCE + resistance) * Batch::LOGARITHM_STEPS;
                        (metric == Metric::ThermalResistance).then(|| value.round() as i32)
                    }),
                    power: Some((power * Batch::POWER_STEPS).round() as i32),
                    setpoint: Some(((35.0 + setpoint) * Batch::TEMPERATURE_STEPS) as i32),
                    ambient: Some((28.0 * Batch::TEMPERATURE_STEPS) as i32),
                    ..batch
                }
            })
            .collect()
    }
}

impl GivenEndedRun {
    fn ended(&self, start: EventTime, number: i64) -> EndedRun {
        let end = start - Microseconds::from_hours(24 * (10 - number));
        let load = self.load.unwrap_or(90.0);
        let summary =
            MetricSummary { mean: RESISTANCE + libm::log1p(self.effect), deviation: 0.003, batches: 40 };
        EndedRun {
            run: self.run.clone(),
            state: self.state.unwrap_or(RunState::Ended),
            start: end - Microseconds::from_hours(4),
            end,
            versions: self.versions.clone(),
            passed: self.passed,
            warned: self.warned,
            failed: self.failed,
            conditions: Conditions {
                sku: Some(SKU.into()),
                cooling_loop: Some(if self.other_loop { "loop-b".into() } else { "loop-a".into() }),
                setpoint_celsius: Some(self.setpoint.unwrap_or(35.0)),
                ambient_celsius: Some(28.0),
                power_kilowatts: Some((load - 5.0, load, load + 5.0)),
            },
            metrics: Metric::ALL.map(|metric| (metric == Metric::ThermalResistance).then_some(summary)),
        }
    }
}
