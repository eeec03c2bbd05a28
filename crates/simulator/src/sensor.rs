//! What an instrument makes of the truth: lag, scale, bias, noise and steps.

use crate::noise::Noise;
use crate::rack::Build;

/// A kind of instrument; the values of each unit are drawn from these.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Instrument {
    /// Shortest and longest time constant, s; 0 for none.
    pub lag_seconds: (f64, f64),
    /// Standard deviation of the noise, in the signal's unit.
    pub noise: f64,
    /// The same as a share of the reading.
    pub noise_share: f64,
    /// Largest bias, in the signal's unit.
    pub bias: f64,
    /// Largest error of the scale, as a share.
    pub gain: f64,
    /// Steps of the reading per unit; 0 for a continuous one.
    pub steps_per_unit: f64,
}

impl Instrument {
    /// Reports the truth as it is.
    pub const EXACT: Self = Self {
        lag_seconds: (0.0, 0.0),
        noise: 0.0,
        noise_share: 0.0,
        bias: 0.0,
        gain: 0.0,
        steps_per_unit: 0.0,
    };
    /// A resistance thermometer in coolant or water, °C.
    pub const THERMOMETER: Self =
        Self { lag_seconds: (6.0, 8.0), noise: 0.04, bias: 0.1, steps_per_unit: 10.0, ..Self::EXACT };
    /// A thermometer in air, °C.
    pub const AIR_THERMOMETER: Self =
        Self { lag_seconds: (20.0, 30.0), noise: 0.08, bias: 0.1, steps_per_unit: 10.0, ..Self::EXACT };
    /// The dew point of the room, °C.
    pub const DEW_POINT: Self = Self { noise: 0.1, bias: 0.3, steps_per_unit: 10.0, ..Self::EXACT };
    /// A GPU's own thermometer, °C.
    pub const DIE_THERMOMETER: Self = Self { noise: 0.3, steps_per_unit: 1.0, ..Self::EXACT };
    /// A flow meter, L/min.
    pub const FLOW_METER: Self = Self { noise_share: 0.005, gain: 0.01, steps_per_unit: 10.0, ..Self::EXACT };
    /// A differential pressure cell, kPa.
    pub const PRESSURE_CELL: Self = Self { noise: 0.4, steps_per_unit: 10.0, ..Self::EXACT };
    /// A finer one across the filter, kPa.
    pub const FILTER_CELL: Self = Self { noise: 0.15, steps_per_unit: 20.0, ..Self::EXACT };
    /// A power meter, kW.
    pub const POWER_METER: Self =
        Self { noise_share: 0.005, gain: 0.005, steps_per_unit: 100.0, ..Self::EXACT };
    /// The same, W.
    pub const SMALL_POWER_METER: Self = Self { steps_per_unit: 1.0, ..Self::POWER_METER };
    /// A position or speed that its drive reports, %.
    pub const DRIVE: Self = Self { steps_per_unit: 10.0, ..Self::EXACT };
    /// A counter of seconds.
    pub const COUNTER: Self = Self { steps_per_unit: 100.0, ..Self::EXACT };
}

/// One instrument as it was built.
#[derive(Debug, Clone)]
pub struct Sensor {
    instrument: Instrument,
    /// Share of the way to the truth that it goes in a second.
    follows: f64,
    followed: Option<f64>,
    gain: f64,
    bias: f64,
    noise: Noise,
    noise_scale: f64,
}

impl Sensor {
    /// A unit of this kind, with errors drawn from `noise`.
    pub fn new(instrument: Instrument, build: Build, mut noise: Noise) -> Self {
        let (shortest, longest) = instrument.lag_seconds;
        let lag =
            shortest + (longest - shortest) * (0.5 + (noise.uniform() - 0.5) * build.unit_spread.min(1.0));
        Self {
            instrument,
            follows: if lag > 0.0 { 1.0 - libm::exp(-1.0 / lag) } else { 1.0 },
            followed: None,
            gain: 1.0 + instrument.gain * build.unit_spread * noise.between(-1.0, 1.0),
            bias: instrument.bias * build.unit_spread * noise.between(-1.0, 1.0),
            noise,
            noise_scale: build.noise,
        }
    }

    /// Whether it lags behind and must [`Sensor::follow`] every second.
    pub fn lags(&self) -> bool {
        self.follows < 1.0
    }

    /// Lets it follow the truth for one second.
    pub fn follow(&mut self, truth: f64) {
        let followed = self.followed.unwrap_or(truth);
        self.followed = Some(followed + self.follows * (truth - followed));
    }

    /// A reading before it is rounded to steps, with `noise_factor` times the noise that it was built with.
    pub fn measure(&mut self, truth: f64, noise_factor: f64) -> f64 {
        let seen = self.followed.unwrap_or(truth);
        let deviation = self.noise_scale * (self.instrument.noise + self.instrument.noise_share * seen.abs());
        let noise = if deviation > 0.0 { deviation * noise_factor * self.noise.normal() } else { 0.0 };
        seen * self.gain + self.bias + noise
    }

    /// Rounds to the instrument's steps.
    pub fn round(&self, value: f64) -> f64 {
        round_to(value, self.instrument.steps_per_unit)
    }
}

/// Rounds to so many steps per unit; not at all for 0.
pub fn round_to(value: f64, steps_per_unit: f64) -> f64 {
    if steps_per_unit > 0.0 { (value * steps_per_unit).round() / steps_per_unit } else { value }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thermometer_lags_and_reports_tenths() {
        let build = Build { noise: 1.0, unit_spread: 1.0, plant_error: 0.0 };
        let mut sensor = Sensor::new(Instrument::THERMOMETER, build, Noise::new(1, "sensor"));
        sensor.follow(30.0);
        for _ in 0..7 {
            sensor.follow(40.0);
        }
        let reading = sensor.measure(40.0, 1.0);
        assert!((35.9..36.8).contains(&reading), "63 % after a time constant: {reading}");
        let rounded = sensor.round(reading);
        assert!(
            (rounded * 10.0 - (rounded * 10.0).round()).abs() < 1e-9
                && (rounded - reading).abs() <= 0.05 + 1e-9
        );
    }
}
