//! What a release is told apart by on a rack: means over five minutes of steady load, and the rack's last ended runs.
//!
//! `evaluator` → **batches** → `gate` (check `canary`)

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::record::RunState;
use crate::{EventTime, Labels, Microseconds, Name};

/// The length of a batch, aligned to the epoch so that those of all racks line up.
pub const BATCH: Microseconds = Microseconds::from_minutes(5);
/// Batches of a rack that are kept: 26 h, a soak of 24 h and two hours before it.
pub const BATCHES_MAX: usize = 26 * 12;
/// Ended runs of a rack that are remembered.
pub const ENDED_RUNS_MAX: usize = 10;

/// What is compared. Each is kept as a natural logarithm, so that a difference is a change as a share.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Metric {
    /// Median over the rack's GPUs of (T − T of the supply) / P, K/W.
    ThermalResistance,
    /// Conductance of the loop's exchanger, Q / log mean temperature difference, kW/K, corrected for both flows.
    ExchangerConductance,
    /// Pressure difference over the rack by the square of its flow, kPa/(L/min)².
    HydraulicResistance,
    /// Heat that the coolant carries by the rack's electrical power.
    HeatBalance,
    /// Head of the loop's pump by the square of its speed, kPa at full speed.
    PumpHead,
    /// Time from a burst of load until the signal of the first recovery-time objective is back in its band, s.
    SettlingTime,
}

impl Metric {
    /// All of them, in the order of [`Batch::logarithms`].
    pub const ALL: [Self; 6] = [
        Self::ThermalResistance,
        Self::ExchangerConductance,
        Self::HydraulicResistance,
        Self::HeatBalance,
        Self::PumpHead,
        Self::SettlingTime,
    ];

    /// The word in answers.
    pub const fn name(self) -> &'static str {
        match self {
            Self::ThermalResistance => "thermal_resistance",
            Self::ExchangerConductance => "exchanger_conductance",
            Self::HydraulicResistance => "hydraulic_resistance",
            Self::HeatBalance => "heat_balance",
            Self::PumpHead => "pump_head",
            Self::SettlingTime => "settling_time",
        }
    }

    const fn index(self) -> usize {
        match self {
            Self::ThermalResistance => 0,
            Self::ExchangerConductance => 1,
            Self::HydraulicResistance => 2,
            Self::HeatBalance => 3,
            Self::PumpHead => 4,
            Self::SettlingTime => 5,
        }
    }

    /// Whether it is the loop's: racks that one loop cools have it in common.
    pub const fn is_of_loop(self) -> bool {
        match self {
            Self::ExchangerConductance | Self::PumpHead => true,
            Self::ThermalResistance | Self::HydraulicResistance | Self::HeatBalance | Self::SettlingTime => {
                false
            }
        }
    }
}

/// One value a metric, in the order of [`Metric::ALL`]. Of what was written before a metric was known it is absent.
fn of_all<T>(written: impl IntoIterator<Item = Option<T>>) -> [Option<T>; Metric::ALL.len()] {
    let mut written = written.into_iter();
    Metric::ALL.map(|_| written.next().flatten())
}

/// Five minutes of a rack. Numbers are kept as integers of a fixed step, so that they take little room and are the
/// same on every host; a step is far below any sensor's.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "Written", from = "Written")]
pub struct Batch {
    /// Its number: start since the epoch by [`BATCH`].
    pub number: i64,
    /// Blocks of 60 s in it whose load was steady, 0 to 5.
    pub steady_blocks: u8,
    /// Means over the steady blocks, of settling times over the bursts whose end was seen; in the order of
    /// [`Metric::ALL`], in steps of 1e-6.
    pub logarithms: [Option<i32>; Metric::ALL.len()],
    /// Electrical power over the steady blocks, in steps of 0.1 kW.
    pub power: Option<i32>,
    /// Set point of the coolant's supply temperature, else the temperature itself, in steps of 0.01 °C.
    pub setpoint: Option<i32>,
    /// Facility water, else the air at the inlet, in steps of 0.01 °C.
    pub ambient: Option<i32>,
    /// The longest time that one of its GPUs was slowed down by heat, steady or not, in whole seconds.
    pub throttled_seconds: u32,
}

/// A batch as an array without names: there are hundreds of them in each stored verdict.
type Written = (i64, u8, Vec<Option<i32>>, Option<i32>, Option<i32>, Option<i32>, u32);

impl From<Batch> for Written {
    fn from(batch: Batch) -> Self {
        let Batch { number, steady_blocks, logarithms, power, setpoint, ambient, throttled_seconds } = batch;
        (number, steady_blocks, logarithms.to_vec(), power, setpoint, ambient, throttled_seconds)
    }
}

impl From<Written> for Batch {
    fn from(written: Written) -> Self {
        let (number, steady_blocks, logarithms, power, setpoint, ambient, throttled_seconds) = written;
        let logarithms = of_all(logarithms);
        Self { number, steady_blocks, logarithms, power, setpoint, ambient, throttled_seconds }
    }
}

impl Batch {
    /// Steps of a logarithm in 1.
    pub const LOGARITHM_STEPS: f64 = 1e6;
    /// Steps of a power in 1 kW.
    pub const POWER_STEPS: f64 = 10.0;
    /// Steps of a temperature in 1 K.
    pub const TEMPERATURE_STEPS: f64 = 100.0;

    /// The number of the batch that holds this moment.
    pub const fn number_at(time: EventTime) -> i64 {
        time.unix_micros().div_euclid(BATCH.0)
    }

    /// When it began.
    pub const fn start(&self) -> EventTime {
        EventTime::from_unix_micros(self.number * BATCH.0)
    }

    /// When it ended.
    pub const fn end(&self) -> EventTime {
        EventTime::from_unix_micros((self.number + 1) * BATCH.0)
    }

    /// The natural logarithm of a metric.
    pub fn logarithm(&self, metric: Metric) -> Option<f64> {
        self.logarithms[metric.index()].map(|steps| f64::from(steps) / Self::LOGARITHM_STEPS)
    }

    /// kW.
    pub fn power_kilowatts(&self) -> Option<f64> {
        self.power.map(|steps| f64::from(steps) / Self::POWER_STEPS)
    }

    /// °C.
    pub fn setpoint_celsius(&self) -> Option<f64> {
        self.setpoint.map(|steps| f64::from(steps) / Self::TEMPERATURE_STEPS)
    }

    /// °C.
    pub fn ambient_celsius(&self) -> Option<f64> {
        self.ambient.map(|steps| f64::from(steps) / Self::TEMPERATURE_STEPS)
    }
}

/// What a rack is compared by.
#[derive(Debug, Default, Clone, PartialEq, Serialize, Deserialize)]
pub struct RackBatches {
    /// Hash of the rack's bill of materials; `None` for a rack that no site file names.
    pub sku: Option<Name>,
    /// The latest batches that say anything, in order of time.
    pub batches: Vec<Batch>,
    /// The last ended runs, the oldest first.
    pub runs: Vec<EndedRun>,
}

/// A run that has ended, as a baseline for later ones.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EndedRun {
    /// Its id.
    pub run: Name,
    /// How it ended.
    pub state: RunState,
    /// When it took effect.
    pub start: EventTime,
    /// When it ended.
    pub end: EventTime,
    /// Versions by name.
    pub versions: Labels,
    /// Whether a gate said PASS about it.
    pub passed: bool,
    /// Whether a gate said WARN about it.
    pub warned: bool,
    /// Whether a gate said FAIL about it.
    pub failed: bool,
    /// Under what it ran.
    pub conditions: Conditions,
    /// In the order of [`Metric::ALL`].
    #[serde(serialize_with = "write_summaries", deserialize_with = "read_summaries")]
    pub metrics: [Option<MetricSummary>; Metric::ALL.len()],
}

impl EndedRun {
    /// What is known of a metric.
    pub fn metric(&self, metric: Metric) -> Option<&MetricSummary> {
        self.metrics[metric.index()].as_ref()
    }
}

fn write_summaries<S: Serializer>(
    summaries: &[Option<MetricSummary>; Metric::ALL.len()],
    serializer: S,
) -> Result<S::Ok, S::Error> {
    summaries.as_slice().serialize(serializer)
}

fn read_summaries<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<[Option<MetricSummary>; Metric::ALL.len()], D::Error> {
    Ok(of_all(Vec::<Option<MetricSummary>>::deserialize(deserializer)?))
}

/// A metric over a run.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct MetricSummary {
    /// Mean of the batches' logarithms.
    pub mean: f64,
    /// Their standard deviation; 0 for a single one.
    pub deviation: f64,
    /// How many there are.
    pub batches: u32,
}

/// Under what a run ran: two runs are compared only where these agree.
#[derive(Debug, Default, Clone, PartialEq, Serialize, Deserialize)]
pub struct Conditions {
    /// Hash of the rack's bill of materials.
    pub sku: Option<Name>,
    /// The loop that cooled it.
    #[serde(rename = "loop")]
    pub cooling_loop: Option<Name>,
    /// Mean set point of the coolant's supply temperature, °C.
    pub setpoint_celsius: Option<f64>,
    /// Mean of facility water, else of the air at the inlet, °C.
    pub ambient_celsius: Option<f64>,
    /// Lowest, mean and highest power of its steady batches, kW.
    pub power_kilowatts: Option<(f64, f64, f64)>,
}

impl Conditions {
    /// What these batches of a rack ran under; in order of time.
    pub fn of<'a>(
        sku: Option<&Name>,
        cooling_loop: Option<&Name>,
        batches: impl Iterator<Item = &'a Batch> + Clone,
    ) -> Self {
        let mean = |value: fn(&Batch) -> Option<f64>| {
            let (mut sum, mut count) = (0.0, 0.0);
            for value in batches.clone().filter_map(value) {
                sum += value;
                count += 1.0;
            }
            (count > 0.0).then(|| sum / count)
        };
        let powers = || batches.clone().filter_map(Batch::power_kilowatts);
        let range = powers().reduce(f64::min).zip(powers().reduce(f64::max));
        Self {
            sku: sku.cloned(),
            cooling_loop: cooling_loop.cloned(),
            setpoint_celsius: mean(Batch::setpoint_celsius),
            ambient_celsius: mean(Batch::ambient_celsius),
            power_kilowatts: range
                .zip(mean(Batch::power_kilowatts))
                .map(|((lowest, highest), mean)| (lowest, mean, highest)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_is_written_without_names_and_read_back() {
        let batch = Batch {
            number: 5_892_024,
            steady_blocks: 5,
            logarithms: [Some(-3_192_034), None, Some(-5_412_300), Some(0), None, Some(5_857_933)],
            power: Some(841),
            setpoint: Some(3_500),
            ambient: None,
            throttled_seconds: 2,
        };
        let text = serde_json::to_string(&batch).unwrap();
        assert_eq!(text, "[5892024,5,[-3192034,null,-5412300,0,null,5857933],841,3500,null,2]");
        assert_eq!(serde_json::from_str::<Batch>(&text).unwrap(), batch);
        assert_eq!(batch.logarithm(Metric::ThermalResistance), Some(-3.192_034));
        assert_eq!(batch.power_kilowatts(), Some(84.1));
    }

    #[test]
    fn what_was_written_before_a_metric_was_known_is_read_without_it() {
        let batch: Batch =
            serde_json::from_str("[5892024,5,[-3192034,null,-5412300,0],841,3500,null,2]").unwrap();
        assert_eq!(batch.logarithm(Metric::HeatBalance), Some(0.0));
        assert_eq!(batch.logarithm(Metric::SettlingTime), None);
        let run = r#"{"run":"a","state":"ended","start":0,"end":1,"versions":{},"passed":true,"warned":false,
            "failed":false,"conditions":{"sku":null,"loop":null,"setpoint_celsius":null,"ambient_celsius":null,
            "power_kilowatts":null},"metrics":[{"mean":-3.2,"deviation":0.1,"batches":4},null,null,null]}"#;
        let run: EndedRun = serde_json::from_str(run).unwrap();
        assert_eq!(run.metric(Metric::ThermalResistance).unwrap().batches, 4);
        assert_eq!(run.metric(Metric::PumpHead), None);
    }

    #[test]
    fn batches_line_up_with_the_clock() {
        let time = EventTime::from_rfc3339("2026-01-05T10:07:30Z").unwrap();
        let batch = Batch { number: Batch::number_at(time), ..Batch::default() };
        assert_eq!(batch.start().to_rfc3339(), "2026-01-05T10:05:00.000000Z");
        assert_eq!(batch.end() - batch.start(), BATCH);
    }
}
