//! Transport of coolant: plug flow through a pipe of fixed content, which keeps mass and energy exactly.

use std::collections::VecDeque;

use crate::reference::PIPE_LITRES;

/// Parcels smaller than this are mixed into the one before: bounds their number at low flow, L.
const PARCEL_LITRES: f64 = 0.05;

/// A full pipe: parcels of coolant, oldest first.
#[derive(Debug, Clone)]
pub struct Pipe {
    parcels: VecDeque<(f64, f64)>,
}

impl Pipe {
    /// Full of coolant at one temperature, °C.
    pub fn new(celsius: f64) -> Self {
        Self { parcels: VecDeque::from([(PIPE_LITRES, celsius)]) }
    }

    /// Pushes coolant in at one end; returns the mean temperature of what leaves at the other, °C.
    ///
    /// `litres` is more than none.
    pub fn push(&mut self, litres: f64, celsius: f64) -> f64 {
        match self.parcels.back_mut() {
            Some((volume, mixed)) if *volume < PARCEL_LITRES => {
                *mixed = (*volume * *mixed + litres * celsius) / (*volume + litres);
                *volume += litres;
            }
            _ => self.parcels.push_back((litres, celsius)),
        }
        let (mut wanted, mut heat) = (litres, 0.0);
        while let Some((volume, celsius)) = self.parcels.front_mut() {
            if *volume > wanted {
                *volume -= wanted;
                heat += wanted * *celsius;
                break;
            }
            wanted -= *volume;
            heat += *volume * *celsius;
            self.parcels.pop_front();
        }
        heat / litres
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_comes_out_after_the_content_has_passed() {
        let mut pipe = Pipe::new(30.0);
        let out: Vec<f64> = (0..16).map(|_| pipe.push(1.0, 40.0)).collect();
        assert!(out[..15].iter().all(|celsius| (celsius - 30.0).abs() < 1e-9), "{out:?}");
        assert!((out[15] - 40.0).abs() < 1e-9);
    }

    #[test]
    fn the_content_and_its_heat_are_kept() {
        let mut pipe = Pipe::new(30.0);
        let content = |pipe: &Pipe| {
            pipe.parcels.iter().fold((0.0, 0.0), |(litres, heat), (volume, celsius)| {
                (litres + volume, heat + volume * celsius)
            })
        };
        let mut expected = content(&pipe).1;
        for index in 1..400 {
            let (litres, celsius) = (0.003 * f64::from(index), 20.0 + f64::from(index % 13));
            expected += litres * (celsius - pipe.push(litres, celsius));
            let (volume, heat) = content(&pipe);
            assert!((volume - PIPE_LITRES).abs() < 1e-9 && (heat - expected).abs() < 1e-6 * expected);
        }
    }
}
