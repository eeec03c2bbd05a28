//! Who behaves unlike its peers: the GPUs or trays of one rack.
//!
//! question → blocks of temperature, power and supply → `advisory` → answer

use std::collections::BTreeMap;

use advisory::{BlockMean, Comparison, Measure, Peer, Peers, Refusal, Series, log_resistance};
use telemetry::{EventTime, Microseconds};

use super::{AdviceError, AskSql, loops_sql, rows};
use crate::stored::quoted;

/// How far back is looked where nobody said.
pub const WINDOW: Microseconds = Microseconds::from_hours(1);
/// How far back at most.
pub const WINDOW_MAX: Microseconds = Microseconds::from_hours(4);
/// How far back at least.
const WINDOW_MIN: Microseconds = Microseconds::from_minutes(10);
/// Resistances are compared when at least this part of the GPUs tells its power.
const POWER_SHARE: f64 = 0.8;

/// Which peers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum PeerLevel {
    /// GPU by GPU.
    #[default]
    Gpu,
    /// Tray by tray: the median of a tray's GPUs.
    Tray,
}

/// What is asked.
#[derive(Debug, Clone, Default)]
pub struct PeersQuestion {
    /// The rack.
    pub rack: String,
    /// GPUs or trays.
    pub level: PeerLevel,
    /// How far back is looked; [`WINDOW`] when not given.
    pub window: Option<Microseconds>,
}

/// What can be said.
#[derive(Debug, Clone)]
pub struct PeersAnswer {
    /// The rack.
    pub rack: String,
    /// How they compare, or why nothing can be said.
    pub outcome: Result<Comparison, Refusal>,
}

/// Tray and GPU.
type GpuName = (String, String);

/// What was measured, by place.
#[derive(Default)]
struct Measured {
    temperatures: BTreeMap<GpuName, Vec<BlockMean>>,
    powers: BTreeMap<GpuName, Vec<BlockMean>>,
    /// By whether it is the loop's, and sensor: a rack's own thermometers come first.
    supplies: BTreeMap<(bool, String), Vec<BlockMean>>,
    now: Option<EventTime>,
}

/// Answers a question.
///
/// # Errors
/// [`AdviceError`]; too little data is an answer.
pub async fn compare(question: &PeersQuestion, history: &impl AskSql) -> Result<PeersAnswer, AdviceError> {
    let field = |field, message: String| AdviceError::Field { field, message };
    if question.rack.is_empty() {
        return Err(field("rack", "is required".to_owned()));
    }
    let window = question.window.unwrap_or(WINDOW);
    if window < WINDOW_MIN || WINDOW_MAX < window {
        return Err(field("window", format!("is {window}: give a length from {WINDOW_MIN} to {WINDOW_MAX}")));
    }
    let sql = sql(&question.rack, window, history.loop_of(&question.rack).as_deref());
    let measured = measured(&history.ask(sql).await?.batches)?;
    let Some(now) = measured.now.filter(|_| !measured.temperatures.is_empty()) else {
        let rack = &question.rack;
        return Err(AdviceError::NotFound {
            kind: "rack",
            name: rack.clone(),
            message: format!(
                "no gpu_temperature of rack {rack} in the last {window} (see what there is with: \
                 thermogate sql \"select distinct signal from blocks where rack = '{rack}'\")"
            ),
        });
    };
    Ok(PeersAnswer { rack: question.rack.clone(), outcome: judge(&measured, question.level, window, now) })
}

fn sql(rack: &str, window: Microseconds, known_loop: Option<&str>) -> String {
    let recent = format!("time >= now() - INTERVAL '{} seconds'", window.get() / 1_000_000 + 600);
    let loops = loops_sql(rack, known_loop);
    let rack = quoted(rack);
    format!(
        "SELECT rack IS NULL AS of_loop, node, device, signal, sensor, cast(time AS bigint) AS time, mean, \
           known_seconds, cast(now() AS bigint) AS now FROM blocks \
         WHERE {recent} AND ((rack = {rack} AND (signal IN ('gpu_temperature', 'gpu_power') \
             OR (signal = 'coolant_supply_temperature' AND node IS NULL AND device IS NULL))) \
           OR (rack IS NULL AND signal = 'coolant_supply_temperature' AND node IS NULL AND device IS NULL \
             AND \"loop\" IN ({loops}))) \
         ORDER BY time, seq"
    )
}

fn measured(batches: &[arrow::array::RecordBatch]) -> Result<Measured, AdviceError> {
    let mut measured = Measured::default();
    for batch in batches {
        let nodes = rows::texts(batch, "node")?;
        let devices = rows::texts(batch, "device")?;
        let signals = rows::texts(batch, "signal")?;
        let sensors = rows::texts(batch, "sensor")?;
        let of_loop = rows::texts(batch, "of_loop")?;
        let now = rows::integers(batch, "now")?.into_iter().flatten().next();
        measured.now = measured.now.or(now.map(EventTime::from_unix_micros));
        for (row, mean) in rows::means(batch)?.into_iter().enumerate() {
            let Some(mean) = mean else { continue };
            let gpu = || (nodes[row].clone(), devices[row].clone());
            match signals[row].as_str() {
                "gpu_temperature" => measured.temperatures.entry(gpu()).or_default().push(mean),
                "gpu_power" => measured.powers.entry(gpu()).or_default().push(mean),
                _ => measured
                    .supplies
                    .entry((of_loop[row] == "true", sensors[row].clone()))
                    .or_default()
                    .push(mean),
            }
        }
    }
    Ok(measured)
}

/// Times at which all are looked at.
struct Grid {
    start: EventTime,
    step: Microseconds,
    count: usize,
}

impl Grid {
    /// A series on this grid; one that is not known at all is all gaps.
    fn values(&self, blocks: &[BlockMean]) -> Result<Vec<Option<f64>>, Refusal> {
        let until = self.start + Microseconds(self.step.get() * self.count as i64);
        match Series::from_blocks(blocks, self.step, self.start, until) {
            Ok(series) => {
                let first =
                    usize::try_from((series.start() - self.start).get() / self.step.get()).unwrap_or(0);
                let mut values = vec![None; first];
                values.extend(series.values());
                values.resize(self.count, None);
                Ok(values)
            }
            Err(Refusal::TooLittle { .. }) => Ok(vec![None; self.count]),
            Err(refused) => Err(refused),
        }
    }
}

fn judge(
    measured: &Measured,
    level: PeerLevel,
    window: Microseconds,
    now: EventTime,
) -> Result<Comparison, Refusal> {
    let step = advisory::distance_of_blocks(measured.temperatures.values().map(Vec::as_slice));
    let until = now.window_start(step);
    let count = usize::try_from(window.get() / step.get()).unwrap_or(1).max(1);
    let grid = Grid { start: until - Microseconds(step.get() * count as i64), step, count };
    let told = measured.temperatures.keys().filter(|gpu| measured.powers.contains_key(*gpu)).count();
    let has_power = told as f64 >= POWER_SHARE * measured.temperatures.len() as f64;
    let supply = measured.supplies.values().next().filter(|_| has_power);
    let supply = supply.map(|blocks| grid.values(blocks)).transpose()?;
    let measure = if supply.is_some() { Measure::LogThermalResistance } else { Measure::Temperature };
    let mut gpus = Vec::with_capacity(measured.temperatures.len());
    for (gpu, blocks) in &measured.temperatures {
        let temperatures = grid.values(blocks)?;
        let values = match &supply {
            None => temperatures,
            Some(supply) => {
                let powers = measured.powers.get(gpu).map(|blocks| grid.values(blocks)).transpose()?;
                let power = |step: usize| powers.as_ref()?.get(step).copied().flatten();
                let at = |step: usize| log_resistance(temperatures[step]?, supply[step]?, power(step)?);
                (0..grid.count).map(at).collect()
            }
        };
        gpus.push((gpu, values));
    }
    let peers = match level {
        PeerLevel::Gpu => {
            let named = |((node, device), values): (&GpuName, _)| Peer { name: joined(node, device), values };
            gpus.into_iter().map(named).collect()
        }
        PeerLevel::Tray => trays(gpus, grid.count),
    };
    Peers { start: grid.start, step, measure, peers }.compare()
}

/// The median of the GPUs of each tray, where at least half of them are known.
fn trays(gpus: Vec<(&GpuName, Vec<Option<f64>>)>, count: usize) -> Vec<Peer> {
    let mut trays: BTreeMap<&str, Vec<Vec<Option<f64>>>> = BTreeMap::new();
    for ((node, _), values) in gpus {
        trays.entry(node).or_default().push(values);
    }
    let middle = |gpus: &[Vec<Option<f64>>], step: usize| {
        let mut known: Vec<f64> = gpus.iter().filter_map(|values| values[step]).collect();
        if 2 * known.len() >= gpus.len() { telemetry::median(&mut known) } else { None }
    };
    trays
        .into_iter()
        .map(|(node, gpus)| {
            let values = (0..count).map(|step| middle(&gpus, step)).collect();
            Peer { name: node.to_owned(), values }
        })
        .collect()
}

/// `node/device`, or what there is of both.
fn joined(node: &str, device: &str) -> String {
    match (node, device) {
        ("", name) | (name, "") => name.to_owned(),
        (node, device) => format!("{node}/{device}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn minutes(mean: f64) -> Vec<BlockMean> {
        (0..60)
            .map(|minute| BlockMean {
                time: EventTime::from_unix_micros(minute * 60_000_000),
                // A little that differs from minute to minute.
                mean: mean + ((minute * 7 + mean as i64) % 11) as f64 / 100.0,
                known: Microseconds::from_minutes(1),
            })
            .collect()
    }

    fn measured(powers: bool) -> Measured {
        let mut measured =
            Measured { now: Some(EventTime::from_unix_micros(3_600_000_000)), ..Measured::default() };
        measured.supplies.insert((false, String::new()), minutes(35.0));
        for tray in 0..9 {
            for gpu in 0..2 {
                let name = (format!("tray{tray}"), format!("gpu{gpu}"));
                // Tray 3 works twice as hard and cools as well as the others; tray 5 cools badly.
                let (power, resistance) = match tray {
                    3 => (1_000.0, 0.04),
                    5 => (500.0, 0.06),
                    other => (500.0 + f64::from(other), 0.04),
                };
                measured
                    .temperatures
                    .insert(name.clone(), minutes(35.0 + power * resistance + f64::from(gpu) / 10.0));
                if powers {
                    measured.powers.insert(name, minutes(power));
                }
            }
        }
        measured
    }

    fn outliers(comparison: &Comparison) -> Vec<&str> {
        let both = comparison.peers.iter().filter(|peer| peer.opinion == advisory::Opinion::Both);
        both.map(|peer| peer.name.as_str()).collect()
    }

    #[test]
    fn with_powers_the_one_that_cools_badly_is_found_and_not_the_one_that_works_hard() {
        let now = EventTime::from_unix_micros(3_600_000_000);
        let by_gpu = judge(&measured(true), PeerLevel::Gpu, WINDOW, now).unwrap();
        assert_eq!(by_gpu.measure, Measure::LogThermalResistance);
        assert_eq!(outliers(&by_gpu), ["tray5/gpu1", "tray5/gpu0"], "{by_gpu:?}");
        let by_tray = judge(&measured(true), PeerLevel::Tray, WINDOW, now).unwrap();
        assert_eq!((outliers(&by_tray), by_tray.peers.len()), (vec!["tray5"], 9));
        let without = judge(&measured(false), PeerLevel::Tray, WINDOW, now).unwrap();
        assert_eq!(without.measure, Measure::Temperature);
        assert!(
            outliers(&without).contains(&"tray3"),
            "without powers hard work looks like bad cooling: {without:?}"
        );
    }

    #[test]
    fn a_loops_thermometer_stands_in_for_a_racks() {
        let now = EventTime::from_unix_micros(3_600_000_000);
        let mut measured = measured(true);
        let own = measured.supplies.remove(&(false, String::new())).unwrap();
        measured.supplies.insert((true, String::new()), own);
        let comparison = judge(&measured, PeerLevel::Gpu, WINDOW, now).unwrap();
        assert_eq!(comparison.measure, Measure::LogThermalResistance);
        measured.supplies.clear();
        assert_eq!(judge(&measured, PeerLevel::Gpu, WINDOW, now).unwrap().measure, Measure::Temperature);
    }
}
