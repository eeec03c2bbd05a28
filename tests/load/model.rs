//! Racks and GPUs, and how their readings move: a random walk that is drawn back to its mean.

/// A signal of a rack or GPU.
struct Signal {
    metric: &'static str,
    mean: f64,
    /// Largest change from step to step.
    step: f64,
    /// Smallest difference that the sensor shows.
    quantum: f64,
}

const fn signal(metric: &'static str, mean: f64, step: f64, quantum: f64) -> Signal {
    Signal { metric, mean, step, quantum }
}

/// Share of the distance to its mean that a value goes back in a step. Its standard deviation is then 2.9 times its
/// largest step, so that every sample is one that a working sensor can report.
const RETURN: f64 = 0.02;

const RACK: [Signal; 12] = [
    signal("coolant_supply_temperature_celsius", 35.0, 0.05, 0.1),
    signal("coolant_return_temperature_celsius", 45.0, 0.08, 0.1),
    signal("coolant_flow_liters_per_minute", 150.0, 0.6, 0.5),
    signal("coolant_pressure_bar", 2.1, 0.01, 0.01),
    signal("pump_speed_ratio", 0.8, 0.004, 0.01),
    signal("valve_position_ratio", 0.5, 0.004, 0.01),
    signal("leak_state", 0.0, 0.0, 1.0),
    signal("air_inlet_temperature_celsius", 24.0, 0.03, 0.1),
    signal("rack_power_watts", 110_000.0, 400.0, 10.0),
    signal("facility_supply_temperature_celsius", 28.0, 0.03, 0.1),
    signal("coolant_conductivity_microsiemens_per_centimeter", 4.0, 0.01, 0.01),
    signal("pump_vibration_millimeters_per_second", 1.1, 0.05, 0.01),
];

const GPU: [Signal; 4] = [
    signal("DCGM_FI_DEV_GPU_TEMP", 61.0, 0.6, 1.0),
    signal("DCGM_FI_DEV_POWER_USAGE", 980.0, 20.0, 0.1),
    signal("DCGM_FI_DEV_CLOCKS_EVENT_REASONS", 0.0, 0.0, 1.0),
    signal("DCGM_FI_DEV_GPU_UTIL", 80.0, 1.0, 1.0),
];

/// One series with its current value.
pub struct Series {
    /// Labels in order of their names, the metric's name among them as `__name__`.
    pub labels: Vec<(&'static str, String)>,
    signal: &'static Signal,
    value: f64,
}

/// All series, rack by rack.
pub struct Fleet {
    /// The series.
    pub series: Vec<Series>,
    /// How many of them a rack has.
    pub series_per_rack: usize,
    random: Random,
}

impl Fleet {
    /// So many racks of so many nodes of so many GPUs.
    pub fn new(racks: u32, nodes: u32, gpus: u32) -> Self {
        let mut series = Vec::new();
        for rack_number in 0..racks {
            let rack = format!("rack-{rack_number:05}");
            for signal in &RACK {
                let labels = vec![
                    ("__name__", signal.metric.to_owned()),
                    ("loop", format!("cdu-{:04}", rack_number / 8)),
                    ("rack", rack.clone()),
                ];
                series.push(Series { labels, signal, value: signal.mean });
            }
            for node in 0..nodes {
                for gpu in 0..gpus {
                    for signal in &GPU {
                        let labels = vec![
                            ("Hostname", format!("{rack}-node-{node:02}")),
                            ("UUID", format!("GPU-{rack_number:05}-{node:02}-{gpu}")),
                            ("__name__", signal.metric.to_owned()),
                            ("gpu", gpu.to_string()),
                            ("rack", rack.clone()),
                        ];
                        series.push(Series { labels, signal, value: signal.mean });
                    }
                }
            }
        }
        let series_per_rack = series.len() / racks as usize;
        Self { series, series_per_rack, random: Random(0x9E37_79B9_7F4A_7C15) }
    }

    /// The next reading of a series, as its sensor shows it.
    pub fn next(&mut self, index: usize) -> f64 {
        let series = &mut self.series[index];
        let Signal { mean, step, quantum, .. } = *series.signal;
        if step > 0.0 {
            series.value += (self.random.next() - 0.5) * 2.0 * step + (mean - series.value) * RETURN;
        }
        (series.value / quantum).round() * quantum
    }
}

/// Marsaglia's xorshift64: the same load each time.
struct Random(u64);

impl Random {
    /// From 0 to 1.
    fn next(&mut self) -> f64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as f64 / (1_u64 << 53) as f64
    }
}
