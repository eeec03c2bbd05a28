//! The PI controllers of pump and valve, with a limit of rate and range and an integral that does not wind up.

/// How a controller is set.
#[derive(Debug, Clone, Copy)]
pub struct Tuning {
    /// Output per unit of error.
    pub gain: f64,
    /// Output per unit of error and second.
    pub integral_gain: f64,
    /// Fastest change of the output, 1/s.
    pub rate: f64,
    /// Smallest output.
    pub lowest: f64,
    /// Largest output.
    pub highest: f64,
}

/// The pump: speed (0 to 1) from the error of the rack's pressure difference as a share of its set point.
pub const PUMP: Tuning = Tuning { gain: 0.2, integral_gain: 0.025, rate: 0.05, lowest: 0.1, highest: 1.0 };

/// The facility water valve: position (0 to 1) from the error of the supply temperature, K; Ti = 90 s.
pub const VALVE: Tuning =
    Tuning { gain: 0.03, integral_gain: 0.03 / 90.0, rate: 0.02, lowest: 0.03, highest: 1.0 };

/// A PI controller's state.
#[derive(Debug, Clone)]
pub struct Controller {
    integral: f64,
    output: f64,
}

impl Controller {
    /// At rest at this output.
    pub fn at(output: f64) -> Self {
        Self { integral: output, output }
    }

    /// The output, 0 to 1.
    pub fn output(&self) -> f64 {
        self.output
    }

    /// Moves the output for an error that lasts `seconds`; a positive error raises it.
    pub fn step(&mut self, tuning: &Tuning, error: f64, seconds: f64) {
        let wanted = tuning.gain * error + self.integral;
        let winds_up = (wanted >= tuning.highest && error > 0.0) || (wanted <= tuning.lowest && error < 0.0);
        if !winds_up {
            let integral = self.integral + tuning.integral_gain * error * seconds;
            self.integral = integral.clamp(tuning.lowest, tuning.highest);
        }
        let reach = tuning.rate * seconds;
        let target = wanted.clamp(tuning.lowest, tuning.highest);
        self.output += (target - self.output).clamp(-reach, reach);
    }
}
