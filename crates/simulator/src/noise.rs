//! Seeded randomness: every part has a generator of its own, so that adding a part changes no other.

use rand_pcg::Pcg32;
use rand_pcg::rand_core::Rng;

/// A source of random numbers that belongs to one part of the model.
#[derive(Debug, Clone)]
pub struct Noise {
    generator: Pcg32,
    spare: Option<f64>,
}

impl Noise {
    /// The source of the part named by `path`, such as `loop-a/a1/tray-03`.
    pub fn new(seed: u64, path: &str) -> Self {
        let stream = fnv1a64(path.as_bytes());
        Self { generator: Pcg32::new(seed ^ stream.rotate_left(32), stream), spare: None }
    }

    /// Evenly in [0, 1).
    pub fn uniform(&mut self) -> f64 {
        (self.generator.next_u64() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Evenly in [`lowest`, `highest`).
    pub fn between(&mut self, lowest: f64, highest: f64) -> f64 {
        lowest + (highest - lowest) * self.uniform()
    }

    /// Normal with mean 0 and standard deviation 1 (Box & Muller 1958).
    pub fn normal(&mut self) -> f64 {
        if let Some(spare) = self.spare.take() {
            return spare;
        }
        let radius = (-2.0 * libm::log(1.0 - self.uniform())).sqrt();
        let (sine, cosine) = libm::sincos(std::f64::consts::TAU * self.uniform());
        self.spare = Some(radius * sine);
        radius * cosine
    }

    /// Log-normal around 1: how much one unit differs from the next.
    pub fn spread(&mut self, standard_deviation: f64) -> f64 {
        libm::exp(standard_deviation * self.normal())
    }
}

/// FNV-1a, 64 bits: a fixed hash of a path.
fn fnv1a64(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3))
}

/// A quantity that wanders around 0: an Ornstein-Uhlenbeck process, advanced exactly second by second.
#[derive(Debug, Clone)]
pub struct Wander {
    value: f64,
    kept: f64,
    kick: f64,
}

impl Wander {
    /// Wanders with this standard deviation and correlation time, s; starts anywhere in its range.
    pub fn new(standard_deviation: f64, correlation_seconds: f64, noise: &mut Noise) -> Self {
        let kept = libm::exp(-1.0 / correlation_seconds);
        Self {
            value: standard_deviation * noise.normal(),
            kept,
            kick: standard_deviation * (1.0 - kept * kept).sqrt(),
        }
    }

    /// Its value one second later.
    pub fn advance_second(&mut self, noise: &mut Noise) -> f64 {
        self.value = self.kept * self.value + self.kick * noise.normal();
        self.value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn normal_numbers_have_mean_zero_and_deviation_one() {
        let mut noise = Noise::new(1, "test");
        let numbers: Vec<f64> = (0..100_000).map(|_| noise.normal()).collect();
        let mean = numbers.iter().sum::<f64>() / 1e5;
        let deviation = (numbers.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>() / 1e5).sqrt();
        assert!(mean.abs() < 0.015 && (deviation - 1.0).abs() < 0.01, "{mean} {deviation}");
    }

    #[test]
    fn parts_of_another_name_or_seed_draw_other_numbers() {
        let draw = |seed, path| Noise::new(seed, path).uniform();
        assert_eq!(draw(1, "a"), draw(1, "a"));
        assert_ne!(draw(1, "a"), draw(1, "b"));
        assert_ne!(draw(1, "a"), draw(2, "a"));
    }

    #[test]
    fn a_wandering_quantity_keeps_its_deviation() {
        let mut noise = Noise::new(3, "wander");
        let mut wander = Wander::new(0.02, 60.0, &mut noise);
        let square: f64 =
            (0..200_000).map(|_| wander.advance_second(&mut noise)).map(|x| x * x).sum::<f64>() / 2e5;
        assert!((square.sqrt() - 0.02).abs() < 0.001, "{}", square.sqrt());
    }
}
