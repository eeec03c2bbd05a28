//! The batches of a rack before and since its run's start.

use telemetry::EventTime;
use telemetry::facts::{BATCH, Batch, Conditions, EndedRun, Metric, RackFacts, RunFacts};
use telemetry::record::RunState;

use super::earlier::LOAD_APART_MAXIMUM;
use crate::canary::Numbered;
use crate::control::BEFORE_MAX;
use crate::words;

/// Steady minutes before the run's start that are asked for, of the rack and of each one beside it.
pub const BEFORE_MINUTES_MINIMUM: u32 = 60;

/// The batches of a rack around the start of its run.
pub struct Window<'a> {
    /// The run that is judged.
    pub run: &'a RunFacts,
    facts: &'a RackFacts,
    before: Vec<&'a Batch>,
    since: Vec<&'a Batch>,
}

impl<'a> Window<'a> {
    pub fn new(facts: &'a RackFacts, run: &'a RunFacts) -> Self {
        let batches = facts.batches.iter().flat_map(|batches| &batches.batches);
        let is_spoilt = |batch: &Batch| {
            let ended = facts.batches.iter().flat_map(|batches| &batches.runs);
            ended
                .filter(|ended| spoilt(ended))
                .any(|ended| ended.start < batch.end() && batch.start() < ended.end)
        };
        let before = batches.clone().filter(|batch| is_before(batch, run) && !is_spoilt(batch));
        let is_since =
            |batch: &&Batch| run.start < batch.end() && run.end.is_none_or(|end| batch.end() <= end);
        Self { run, facts, before: before.collect(), since: batches.filter(is_since).collect() }
    }

    /// A metric's logarithms since the run's start, or before it.
    pub fn values(&self, metric: Metric, is_since: bool) -> Vec<Numbered> {
        let batches = if is_since { &self.since } else { &self.before };
        batches.iter().filter_map(|batch| Some((batch.number, batch.logarithm(metric)?))).collect()
    }

    /// When the first batch of a metric before the run's start began, and its steady minutes until then.
    pub fn before_span(&self, metric: Metric) -> (Option<EventTime>, u32) {
        let known = self.before.iter().filter(|batch| batch.logarithm(metric).is_some());
        (
            known.clone().next().map(|batch| batch.start()),
            known.map(|batch| u32::from(batch.steady_blocks)).sum(),
        )
    }

    /// Steady minutes since the run's start.
    pub fn steady_minutes(&self) -> u32 {
        self.since.iter().map(|batch| u32::from(batch.steady_blocks)).sum()
    }

    /// Batches that could be there since the run's start.
    pub fn asked_batches(&self, watermark: EventTime) -> u64 {
        let until = self.run.end.map_or(watermark, |end| end.min(watermark));
        u64::try_from(Batch::number_at(until) - Batch::number_at(self.run.start)).unwrap_or(0)
    }

    /// Steady minutes by all minutes since the run's start, up to the last whole batch.
    pub fn gated_share(&self, watermark: EventTime) -> Option<f64> {
        let until = self.run.end.map_or(watermark, |end| end.min(watermark)).window_start(BATCH);
        let minutes = (until - self.run.start).as_seconds() / 60.0;
        (minutes > 0.0).then(|| (f64::from(self.steady_minutes()) / minutes).min(1.0))
    }

    /// Seconds for which a GPU was slowed down by heat since the run's start, and before it.
    pub fn throttled_seconds(&self) -> [u32; 2] {
        [&self.since, &self.before].map(|batches| batches.iter().map(|batch| batch.throttled_seconds).sum())
    }

    /// What the rack has run under since the run's start, and before it.
    pub fn conditions(&self) -> [Conditions; 2] {
        let sku = self.facts.batches.as_ref().and_then(|batches| batches.sku.as_ref());
        let of = |batches: &[&Batch]| {
            Conditions::of(sku, self.facts.place.cooling_loop.as_ref(), batches.iter().copied())
        };
        [of(&self.since), of(&self.before)]
    }

    /// Whether the mean load is as it was before the run's start; not while one of them is unknown.
    pub fn has_load_as_before(&self) -> bool {
        let [since, before] = self.conditions().map(|conditions| conditions.power_kilowatts);
        since.zip(before).is_some_and(|((_, since, _), (_, before, _))| {
            (since - before).abs() <= LOAD_APART_MAXIMUM * before.max(since)
        })
    }

    /// Load, ambient and set point before and since, for people.
    pub fn conditions_told(&self) -> String {
        let [since, before] = self.conditions();
        let told = |conditions: &Conditions| {
            let load = conditions.power_kilowatts.map_or_else(
                || "load unknown".to_owned(),
                |(lowest, mean, highest)| format!("load {lowest:.1} to {highest:.1} kW, mean {mean:.1} kW"),
            );
            let celsius = |name: &str, value: Option<f64>| {
                value.map_or_else(
                    || format!("{name} unknown"),
                    |value| format!("{name} {}", words::quantity(value, "Cel")),
                )
            };
            format!(
                "{load}, {}, {}",
                celsius("ambient", conditions.ambient_celsius),
                celsius("set point", conditions.setpoint_celsius)
            )
        };
        format!("since: {}; before: {}", told(&since), told(&before))
    }
}

/// Whether a batch counts as the time before a run: near enough, and wholly before it.
pub fn is_before(batch: &Batch, run: &RunFacts) -> bool {
    run.start - BEFORE_MAX <= batch.start() && batch.end() <= run.start
}

/// Whether a run failed or was broken off: the rack was not as it should be.
pub fn spoilt(run: &EndedRun) -> bool {
    run.failed
        || match run.state {
            RunState::Aborted | RunState::Abandoned => true,
            RunState::Active | RunState::Ended => false,
        }
}
