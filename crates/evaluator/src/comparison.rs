//! What tells one release from another on a rack: steady blocks of 60 s become batches of five minutes, and ended runs
//! are remembered as a few numbers each.
//!
//! block means → **comparison** → facts → `gate` (check `canary`)

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};
use telemetry::facts::{
    BATCHES_MAX, Batch, Conditions, ENDED_RUNS_MAX, EndedRun, Metric, MetricSummary, RackBatches, RunFacts,
};
use telemetry::formula::{film_conductance, heat_kw, log_mean_difference};
use telemetry::{EventTime, Microseconds, Name};

use crate::block::BLOCK;

/// Below this share of its nominal power a rack tells nothing: the rise of its chips comes near the bias of thermometers.
const LOAD_MINIMUM: f64 = 0.3;
/// A conductance needs more: this share of the nominal power, this share of the nominal facility flow, and this log
/// mean temperature difference, K. Without them it made most false alarms of the methods' trial.
const CONDUCTANCE_LOAD_MINIMUM: f64 = 0.6;
const FACILITY_FLOW_MINIMUM: f64 = 0.25;
const LOG_MEAN_DIFFERENCE_MINIMUM: f64 = 2.0;

/// Block means of a loop that its exchanger's conductance is made of, each none while not known.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ExchangerMeans {
    pub supply_celsius: f64,
    pub return_celsius: f64,
    pub flow: f64,
    pub facility_supply_celsius: f64,
    pub facility_return_celsius: f64,
    pub facility_flow: f64,
    /// Volumetric heat capacity of the coolant, MJ/(m³·K).
    pub heat_capacity: f64,
    /// Coolant flow at full load, L/min; facility water is taken to be laid out for the same.
    pub nominal_flow: f64,
}

impl ExchangerMeans {
    /// ln of UA, kW/K, by the flow correction; none outside its validity.
    ///
    /// UA = Q / LMTD of a counter-flow exchanger; corrected by 2 / ((V/V₀)^−.6 + (V_f/V_f0)^−.6), the two films in
    /// series.
    pub(crate) fn logarithm(&self) -> Option<f64> {
        if self.facility_flow < FACILITY_FLOW_MINIMUM * self.nominal_flow || self.nominal_flow <= 0.0 {
            return None;
        }
        let heat = heat_kw(self.flow, self.return_celsius - self.supply_celsius, self.heat_capacity);
        let warm_end = self.return_celsius - self.facility_return_celsius;
        let cold_end = self.supply_celsius - self.facility_supply_celsius;
        let difference = log_mean_difference(warm_end, cold_end)?;
        if difference < LOG_MEAN_DIFFERENCE_MINIMUM {
            return None;
        }
        let correction =
            film_conductance(self.flow / self.nominal_flow, self.facility_flow / self.nominal_flow);
        logarithm(heat / difference / correction)
    }
}

/// ln of a positive finite number.
pub(crate) fn logarithm(value: f64) -> Option<f64> {
    (value > 0.0 && value.is_finite()).then(|| libm::log(value))
}

/// A closed block of a rack: what is known of it.
#[derive(Debug, Default, Clone, PartialEq)]
pub(crate) struct RackBlock {
    /// Whether the rack's power rests and its loop is settled.
    pub is_steady: bool,
    /// Electrical power, kW.
    pub power: Option<f64>,
    /// Its share of the nominal power.
    pub load: Option<f64>,
    /// In the order of [`Metric::ALL`].
    pub logarithms: [Option<f64>; Metric::ALL.len()],
    /// °C.
    pub setpoint: Option<f64>,
    /// °C.
    pub ambient: Option<f64>,
    /// The longest time that a GPU was slowed down by heat, s.
    pub throttled: f64,
}

/// A sum and what it is of.
#[derive(Debug, Default, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Sum {
    sum: f64,
    count: u8,
}

impl Sum {
    fn add(&mut self, value: Option<f64>) {
        if let Some(value) = value {
            self.sum += value;
            self.count = self.count.saturating_add(1);
        }
    }

    /// The mean in whole steps, once at least half of `of` blocks know it.
    fn steps(self, of: u8, steps: f64) -> Option<i32> {
        (self.count > 0 && of <= 2 * self.count)
            .then(|| (self.sum / f64::from(self.count) * steps).round() as i32)
    }
}

/// The batch that is being filled.
#[derive(Debug, Default, Clone, PartialEq, Serialize, Deserialize)]
struct OpenBatch {
    number: i64,
    steady_blocks: u8,
    logarithms: [Sum; Metric::ALL.len()],
    power: Sum,
    setpoint: Sum,
    ambient: Sum,
    /// Logarithms of settling times, s.
    settling: Sum,
    throttled: f64,
}

impl OpenBatch {
    fn add(&mut self, block: &RackBlock) {
        self.throttled += block.throttled;
        let Some(load) = block.load.filter(|load| block.is_steady && LOAD_MINIMUM <= *load) else { return };
        self.steady_blocks += 1;
        for (metric, (sum, value)) in
            Metric::ALL.into_iter().zip(self.logarithms.iter_mut().zip(block.logarithms))
        {
            let is_valid = match metric {
                Metric::ExchangerConductance => CONDUCTANCE_LOAD_MINIMUM < load,
                Metric::ThermalResistance
                | Metric::HydraulicResistance
                | Metric::HeatBalance
                | Metric::PumpHead
                | Metric::SettlingTime => true,
            };
            sum.add(value.filter(|_| is_valid));
        }
        self.power.add(block.power);
        self.setpoint.add(block.setpoint);
        self.ambient.add(block.ambient);
    }

    /// The batch, if it says anything: steady load, a burst that settled, or a GPU that was too hot.
    fn close(&self) -> Option<Batch> {
        let of = self.steady_blocks;
        let temperature = Batch::TEMPERATURE_STEPS;
        // A burst ends where no load is steady.
        let settling = self.settling.steps(0, Batch::LOGARITHM_STEPS);
        (of > 0 || self.throttled > 0.0 || settling.is_some()).then(|| Batch {
            number: self.number,
            steady_blocks: of,
            logarithms: Metric::ALL.map(|metric| match metric {
                Metric::SettlingTime => settling,
                Metric::ThermalResistance
                | Metric::ExchangerConductance
                | Metric::HydraulicResistance
                | Metric::HeatBalance
                | Metric::PumpHead => self.logarithms[metric as usize].steps(of, Batch::LOGARITHM_STEPS),
            }),
            power: self.power.steps(of, Batch::POWER_STEPS),
            setpoint: self.setpoint.steps(of, temperature),
            ambient: self.ambient.steps(of, temperature),
            throttled_seconds: self.throttled as u32,
        })
    }
}

/// The latest batches of a rack and its last ended runs.
#[derive(Debug, Default, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct ComparisonState {
    open: OpenBatch,
    /// When the last run took effect: no batch has blocks from before and from after it.
    run_start: Option<EventTime>,
    batches: VecDeque<Batch>,
    /// Hash of the objective that settling times are of.
    settling_of: Option<Name>,
    /// Of bursts that settled since the last block.
    settled: Sum,
    /// What gates said about them is filled in when they are told.
    runs: VecDeque<EndedRun>,
}

impl ComparisonState {
    /// A run takes effect: the batch that holds its start keeps only what comes after it.
    pub(crate) fn begin_run(&mut self, start: EventTime) {
        self.run_start = Some(start);
    }

    /// A burst of load has settled, as the objective with this hash has it: after so long, measured from `from`.
    ///
    /// Times of another objective are no times of this one: they are forgotten. A burst that began before the run's
    /// start and settled after it belongs to neither side.
    pub(crate) fn note_settled(&mut self, objective: &Name, from: EventTime, length: Microseconds) {
        if self.settling_of.as_ref() != Some(objective) {
            self.settling_of = Some(objective.clone());
            (self.settled, self.open.settling) = (Sum::default(), Sum::default());
            for batch in &mut self.batches {
                batch.logarithms[Metric::SettlingTime as usize] = None;
            }
            for run in &mut self.runs {
                run.metrics[Metric::SettlingTime as usize] = None;
            }
        }
        let is_astride = self.run_start.is_some_and(|start| from < start && start < from + length);
        if !is_astride {
            // Below a second the clock of the readings is all that is told.
            self.settled.add(logarithm(length.as_seconds().max(1.0)));
        }
    }

    /// Takes the block of 60 s that ends at `end`; none where nothing is known, or people are at work.
    pub(crate) fn observe(&mut self, end: EventTime, block: Option<&RackBlock>) {
        let begin = end - BLOCK;
        let number = Batch::number_at(begin);
        let run_start = self.run_start.filter(|start| Batch::number_at(*start) == number);
        let is_first_of_run = run_start.is_some_and(|start| start <= begin && begin < start + BLOCK);
        if self.open.number != number || is_first_of_run {
            self.open = OpenBatch { number, ..OpenBatch::default() };
        }
        let is_astride = run_start.is_some_and(|start| begin < start && start < end);
        let settled = std::mem::take(&mut self.settled);
        if let Some(block) = block.filter(|_| !is_astride) {
            self.open.add(block);
            self.open.settling.sum += settled.sum;
            self.open.settling.count = self.open.settling.count.saturating_add(settled.count);
        }
        if Batch::number_at(end) != number {
            let closed = std::mem::take(&mut self.open).close();
            self.batches.extend(closed);
            if self.batches.len() > BATCHES_MAX {
                self.batches.pop_front();
            }
        }
    }

    /// The rack is another one from here on: people have worked on it, or it has another loop.
    pub(crate) fn forget(&mut self) {
        (self.open, self.settled) = (OpenBatch::default(), Sum::default());
        self.batches.clear();
    }

    /// A run has ended and its data is here: what it was like.
    pub(crate) fn end_run(
        &mut self,
        run: &RunFacts,
        end: EventTime,
        sku: Option<&Name>,
        cooling_loop: Option<&Name>,
    ) {
        let of_run = self.batches.iter().filter(|batch| run.start < batch.end() && batch.end() <= end);
        self.runs.push_back(EndedRun {
            run: run.run.clone(),
            state: run.state,
            start: run.start,
            end,
            versions: run.versions.clone(),
            passed: false,
            warned: false,
            failed: false,
            conditions: Conditions::of(sku, cooling_loop, of_run.clone()),
            metrics: Metric::ALL
                .map(|metric| summary(of_run.clone().filter_map(|batch| batch.logarithm(metric)))),
        });
        if self.runs.len() > ENDED_RUNS_MAX {
            self.runs.pop_front();
        }
    }

    /// For the facts; none while there is nothing. `told`: whether gates said PASS, WARN and FAIL about a run.
    pub(crate) fn facts(&self, sku: Option<&Name>, told: impl Fn(&str) -> [bool; 3]) -> Option<RackBatches> {
        if self.batches.is_empty() && self.runs.is_empty() {
            return None;
        }
        let runs = self.runs.iter().map(|run| {
            let [passed, warned, failed] = told(&run.run);
            EndedRun { passed, warned, failed, ..run.clone() }
        });
        Some(RackBatches {
            sku: sku.cloned(),
            batches: self.batches.iter().cloned().collect(),
            runs: runs.collect(),
        })
    }
}

/// Mean and standard deviation in two passes, in the order of time.
fn summary(values: impl Iterator<Item = f64> + Clone) -> Option<MetricSummary> {
    let count = values.clone().count();
    if count == 0 {
        return None;
    }
    let mean = values.clone().sum::<f64>() / count as f64;
    let squares = values.map(|value| (value - mean) * (value - mean)).sum::<f64>();
    let deviation = if count > 1 { (squares / (count - 1) as f64).sqrt() } else { 0.0 };
    Some(MetricSummary { mean, deviation, batches: u32::try_from(count).unwrap_or(u32::MAX) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn minute(minute: i64) -> EventTime {
        EventTime::from_unix_micros(minute * 60_000_000)
    }

    fn steady(logarithm: f64) -> RackBlock {
        RackBlock {
            is_steady: true,
            power: Some(90.0),
            load: Some(0.75),
            logarithms: [Some(logarithm), None, None, Some(0.0), None, None],
            setpoint: Some(35.0),
            ..RackBlock::default()
        }
    }

    #[test]
    fn a_batch_is_the_mean_of_its_steady_blocks_and_says_how_many_there_were() {
        let mut state = ComparisonState::default();
        for (number, value) in [(1, 1.0), (2, 2.0), (3, 6.0), (5, 7.0)] {
            state.observe(minute(number), Some(&steady(value)));
        }
        state.observe(minute(6), Some(&RackBlock { is_steady: false, ..steady(99.0) }));
        for number in 7..=10 {
            state.observe(minute(number), None);
        }
        let facts = state.facts(None, |_| [false; 3]).unwrap();
        assert_eq!(facts.batches.len(), 1, "a batch without a steady block says nothing: {facts:?}");
        let batch = &facts.batches[0];
        assert_eq!((batch.number, batch.steady_blocks), (0, 4));
        assert_eq!(batch.logarithm(Metric::ThermalResistance), Some(4.0));
        assert_eq!(batch.logarithm(Metric::ExchangerConductance), None);
        assert_eq!(batch.power_kilowatts(), Some(90.0));
    }

    #[test]
    fn an_idle_rack_tells_nothing_but_that_it_throttles() {
        let mut state = ComparisonState::default();
        let idle = RackBlock { load: Some(0.2), throttled: 0.4, ..steady(1.0) };
        (1..=5).for_each(|number| state.observe(minute(number), Some(&idle)));
        let batch = state.facts(None, |_| [false; 3]).unwrap().batches.remove(0);
        assert_eq!((batch.steady_blocks, batch.throttled_seconds), (0, 2));
        assert_eq!(batch.logarithm(Metric::ThermalResistance), None);
    }

    #[test]
    fn the_batch_in_which_a_run_starts_holds_only_what_came_after() {
        let mut state = ComparisonState::default();
        state.begin_run(EventTime::from_unix_micros(110_000_000));
        for number in 1..=5 {
            state.observe(minute(number), Some(&steady(if number <= 2 { 1.0 } else { 2.0 })));
        }
        let batch = state.facts(None, |_| [false; 3]).unwrap().batches.remove(0);
        assert_eq!((batch.steady_blocks, batch.logarithm(Metric::ThermalResistance)), (3, Some(2.0)));
    }

    #[test]
    fn a_burst_that_settles_is_in_the_batch_of_its_end_and_never_on_both_sides_of_a_runs_start() {
        let settled = |state: &mut ComparisonState, objective: &str, from: i64, length: i64| {
            let length = Microseconds::from_minutes(length);
            state.note_settled(&objective.into(), minute(from), length);
        };
        let mut state = ComparisonState::default();
        let unsteady = RackBlock { is_steady: false, ..steady(1.0) };
        let until = |state: &mut ComparisonState, from: i64, to: i64| {
            (from..=to).for_each(|number| state.observe(minute(number), Some(&unsteady)));
        };
        until(&mut state, 1, 3);
        settled(&mut state, "one", 0, 4);
        until(&mut state, 4, 5);
        state.begin_run(minute(9));
        until(&mut state, 6, 10);
        settled(&mut state, "one", 8, 3);
        until(&mut state, 11, 15);
        let known = |state: &ComparisonState| {
            let facts = state.facts(None, |_| [false; 3]);
            let batches = facts.into_iter().flat_map(|facts| facts.batches);
            batches
                .filter_map(|batch| Some((batch.number, batch.logarithm(Metric::SettlingTime)?)))
                .collect::<Vec<_>>()
        };
        let found = known(&state);
        assert_eq!(found.len(), 1, "that astride the start counts for neither side: {found:?}");
        assert!(found[0].0 == 0 && (found[0].1 - libm::log(240.0)).abs() < 1e-6, "{found:?}");
        settled(&mut state, "another", 12, 4);
        until(&mut state, 16, 20);
        let found = known(&state);
        assert_eq!(found.iter().map(|(number, _)| *number).collect::<Vec<_>>(), [3], "{found:?}");
    }

    #[test]
    fn only_so_many_batches_are_kept() {
        let mut state = ComparisonState::default();
        let minutes = 5 * (BATCHES_MAX as i64 + 7);
        (1..=minutes).for_each(|number| state.observe(minute(number), Some(&steady(1.0))));
        let facts = state.facts(None, |_| [false; 3]).unwrap();
        assert_eq!(facts.batches.len(), BATCHES_MAX);
        assert_eq!(facts.batches[0].number, 7);
    }

    #[test]
    fn an_ended_run_is_remembered_by_its_whole_batches() {
        let mut state = ComparisonState::default();
        state.begin_run(minute(12));
        for number in 1..=40 {
            state.observe(minute(number), Some(&steady(if number <= 20 { 1.0 } else { 2.0 })));
        }
        let run = RunFacts {
            run: "a".into(),
            stage: "canary".into(),
            versions: telemetry::Labels::new(),
            racks: vec!["r1".into()],
            start: minute(12),
            planned_end: minute(99),
            end: Some(minute(33)),
            state: telemetry::record::RunState::Ended,
            failed: false,
        };
        state.end_run(&run, minute(33), Some(&"sku".into()), None);
        let facts = state.facts(None, |run| [run == "a", false, false]).unwrap();
        let ended = &facts.runs[0];
        // 12-15, 15-20, 20-25 and 25-30 min; the run ends in 30-35.
        let summary = ended.metric(Metric::ThermalResistance).unwrap();
        assert_eq!(summary.batches, 4);
        assert!((summary.mean - 1.5).abs() < 1e-12 && (summary.deviation - 0.577_350_269).abs() < 1e-9);
        assert_eq!(ended.conditions.power_kilowatts, Some((90.0, 90.0, 90.0)));
        assert_eq!(ended.conditions.setpoint_celsius, Some(35.0));
        assert!(ended.passed);
    }

    #[test]
    fn the_conductance_of_an_exchanger_does_not_follow_its_flows() {
        let means = ExchangerMeans {
            supply_celsius: 35.0,
            return_celsius: 45.0,
            flow: 150.0,
            facility_supply_celsius: 28.0,
            facility_return_celsius: 38.0,
            facility_flow: 150.0,
            heat_capacity: 3.98,
            nominal_flow: 150.0,
        };
        // 99.5 kW over 7 K at both ends: 14.21 kW/K.
        assert!((means.logarithm().unwrap() - libm::log(99.5 / 7.0)).abs() < 1e-12);
        let film = libm::pow(2.0, 0.6);
        let slower =
            ExchangerMeans { flow: 75.0, return_celsius: 55.0, facility_return_celsius: 48.0, ..means };
        let expected = libm::log(99.5 / 7.0 * (film + 1.0) / 2.0);
        assert!((slower.logarithm().unwrap() - expected).abs() < 1e-12);
        assert_eq!(ExchangerMeans { facility_flow: 30.0, ..means }.logarithm(), None, "outside its validity");
        assert_eq!(
            ExchangerMeans { facility_supply_celsius: 34.0, facility_return_celsius: 44.0, ..means }
                .logarithm(),
            None
        );
    }
}
