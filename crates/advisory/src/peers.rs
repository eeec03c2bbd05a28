//! Who behaves unlike its peers: GPUs or trays of one rack, each compared with the median of all at the same time.
//!
//! blocks → **peers** → spread (first opinion), second_opinion

use telemetry::{EventTime, Microseconds, median};

use crate::median::{SIGMA_PER_MAD, resolution, scaled_mad};
use crate::refusal::Refusal;
use crate::{second_opinion, spread};

/// Peers that a comparison needs: of four, two and two are no majority.
const PEERS_MIN: usize = 5;
/// Peers that are compared at once: two racks of 72, and twice that.
const PEERS_MAX: usize = 288;
/// Steps that a comparison needs.
const STEPS_MIN: usize = 10;
/// Steps that one comparison takes: four hours of minutes.
const STEPS_MAX: usize = 240;
/// Part of its known steps that a peer must be outside in: a peak is no outlier.
const OUTSIDE_SHARE: f64 = 0.5;
/// Part of the steps in which a peer must be known.
const KNOWN_SHARE: f64 = 0.5;

/// What is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Measure {
    /// Natural logarithm of the thermal resistance (T − T of the supply) / P: it does not follow the load.
    LogThermalResistance,
    /// Temperature, °C, where no power is told: a peer that works harder is warmer, too.
    Temperature,
}

/// Natural logarithm of a thermal resistance in K/W; `None` where there is no power or no rise.
///
/// - `temperature`, `supply`: °C; `power`: W.
pub fn log_resistance(temperature: f64, supply: f64, power: f64) -> Option<f64> {
    /// An idle GPU tells nothing of its cooling, W.
    const POWER_MIN: f64 = 50.0;
    /// Below this rise the sensors' own errors are what is seen, K.
    const RISE_MIN: f64 = 1.0;
    let rise = temperature - supply;
    (power >= POWER_MIN && rise >= RISE_MIN).then(|| libm::log(rise / power))
}

/// One of those that are compared.
#[derive(Debug, Clone, PartialEq)]
pub struct Peer {
    /// Its name in the answer: `node3/gpu1`.
    pub name: String,
    /// Its values, one a step; a gap is `None`.
    pub values: Vec<Option<f64>>,
}

/// Peers at the same steps.
#[derive(Debug, Clone, PartialEq)]
pub struct Peers {
    /// Where the first step begins.
    pub start: EventTime,
    /// Length of a step.
    pub step: Microseconds,
    /// What their values are.
    pub measure: Measure,
    /// Those that are compared.
    pub peers: Vec<Peer>,
}

/// What came out.
#[derive(Debug, Clone, PartialEq)]
pub struct Comparison {
    /// What was compared.
    pub measure: Measure,
    /// Where the first step begins.
    pub from: EventTime,
    /// Where the last step ends.
    pub until: EventTime,
    /// Length of a step.
    pub step: Microseconds,
    /// Steps at which at least half of the peers, and five, are known.
    pub steps: usize,
    /// How the first opinion was scaled.
    pub scale: Scale,
    /// What the second opinion takes for a gap between neighbours, in the measure's unit.
    pub epsilon: f64,
    /// One a peer: those that deviate most come first.
    pub peers: Vec<PeerFigures>,
}

/// How deviations were scaled.
#[derive(Debug, Clone, PartialEq)]
pub enum Scale {
    /// The median absolute deviation on each side of the median.
    MedianAbsoluteDeviation,
    /// The median absolute deviation is 0, or on one side below what sensors can tell: one standard deviation for both
    /// sides took its place.
    Fallback {
        /// The standard deviation that was taken instead, in the measure's unit.
        standard_deviation: f64,
        /// Why.
        reason: String,
    },
}

/// What two methods say of one peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Opinion {
    /// Both: it is unlike its peers.
    Both,
    /// Only the median absolute deviation.
    OnlyMad,
    /// Only DBSCAN.
    OnlyDbscan,
    /// Neither: it is like its peers.
    Neither,
    /// It is known too little for either.
    Unknown,
}

/// One peer's figures.
#[derive(Debug, Clone, PartialEq)]
pub struct PeerFigures {
    /// Its name.
    pub name: String,
    /// Median over time of its value less the median of all, in the measure's unit; `None` when never known.
    pub deviation: Option<f64>,
    /// Median over time of its deviation in standard deviations; above 3.5 is outside.
    pub score: Option<f64>,
    /// Share of its known steps in which the median absolute deviation has it outside.
    pub mad_outside: Option<f64>,
    /// Share of its known steps in which DBSCAN has it outside; `None` where it saw no majority that is like itself.
    pub dbscan_outside: Option<f64>,
    /// Share of the steps in which it is known.
    pub known: f64,
    /// What both say.
    pub opinion: Opinion,
}

/// What one method says: for each peer and step whether it is outside; `None` where it cannot say.
pub(crate) struct Outside(pub Vec<Vec<Option<bool>>>);

impl Outside {
    /// Share of the steps that it can say something about.
    fn share(&self, peer: usize) -> Option<f64> {
        let said: Vec<bool> = self.0[peer].iter().flatten().copied().collect();
        let outside = said.iter().filter(|outside| **outside).count();
        (!said.is_empty()).then(|| outside as f64 / said.len() as f64)
    }
}

impl Peers {
    /// Compares.
    ///
    /// # Errors
    /// [`Refusal::TooFewPeers`], [`Refusal::TooLittle`], [`Refusal::TooMuch`], [`Refusal::NotMeasured`].
    pub fn compare(&self) -> Result<Comparison, Refusal> {
        let deviations = self.deviations()?;
        let steps = deviations.first().map_or(0, Vec::len);
        let known_share = |peer: &[Option<f64>]| peer.iter().flatten().count() as f64 / steps as f64;
        let well_known = deviations.iter().filter(|peer| known_share(peer) >= KNOWN_SHARE).count();
        if well_known < PEERS_MIN {
            return Err(Refusal::TooFewPeers { known: well_known, wanted: PEERS_MIN });
        }
        let pooled: Vec<f64> = deviations.iter().flatten().flatten().copied().collect();
        let raw: Vec<f64> =
            self.peers.iter().flat_map(|peer| peer.values.iter().flatten().copied()).collect();
        let sigma_min = self.measure.sigma_min(resolution(&raw).unwrap_or(0.0));
        let sigma = scaled_mad(&pooled).max(sigma_min);
        let first = spread::judge(&deviations, sigma, sigma_min);
        let epsilon = second_opinion::EPSILON_SIGMA * sigma;
        let second = second_opinion::judge(&deviations, epsilon);
        let mut peers: Vec<PeerFigures> = self
            .peers
            .iter()
            .zip(&deviations)
            .enumerate()
            .map(|(index, (peer, deviations))| {
                let known = known_share(deviations);
                let mad_outside = first.outside.share(index);
                let dbscan_outside = second.share(index);
                let of_known = |share: Option<f64>| share.filter(|_| known >= KNOWN_SHARE);
                PeerFigures {
                    name: peer.name.clone(),
                    deviation: median(&mut deviations.iter().flatten().copied().collect::<Vec<f64>>()),
                    score: median(&mut first.scores[index].iter().flatten().copied().collect::<Vec<f64>>()),
                    mad_outside,
                    dbscan_outside,
                    known,
                    opinion: opinion(of_known(mad_outside), of_known(dbscan_outside)),
                }
            })
            .collect();
        let size = |figures: &PeerFigures| figures.deviation.map_or(-1.0, f64::abs);
        peers.sort_by(|one, other| size(other).total_cmp(&size(one)).then_with(|| one.name.cmp(&other.name)));
        Ok(Comparison {
            measure: self.measure,
            from: self.start,
            until: self.start + Microseconds(self.step.get() * self.length() as i64),
            step: self.step,
            steps,
            scale: first.scale,
            epsilon,
            peers,
        })
    }

    fn length(&self) -> usize {
        self.peers.iter().map(|peer| peer.values.len()).max().unwrap_or(0)
    }

    /// Each peer's values less the median of all at the same step. Steps at which too few are known are left out.
    fn deviations(&self) -> Result<Vec<Vec<Option<f64>>>, Refusal> {
        let length = self.length();
        for (count, most) in [(length, STEPS_MAX), (self.peers.len(), PEERS_MAX)] {
            if count > most {
                return Err(Refusal::TooMuch { steps: count, steps_max: most });
            }
        }
        let value = |peer: &Peer, step: usize| peer.values.get(step).copied().flatten();
        let mut deviations = vec![Vec::new(); self.peers.len()];
        for step in 0..length {
            let mut known: Vec<f64> = self.peers.iter().filter_map(|peer| value(peer, step)).collect();
            if known.iter().any(|value| !value.is_finite()) {
                let time = self.start + Microseconds(self.step.get() * step as i64);
                return Err(Refusal::NotMeasured { time, magnitude_max: f64::MAX });
            }
            if known.len() < PEERS_MIN || 2 * known.len() < self.peers.len() {
                continue;
            }
            let Some(middle) = median(&mut known) else { continue };
            for (peer, deviations) in self.peers.iter().zip(&mut deviations) {
                deviations.push(value(peer, step).map(|value| value - middle));
            }
        }
        let steps = deviations.first().map_or(0, Vec::len);
        if self.peers.len() < PEERS_MIN {
            return Err(Refusal::TooFewPeers { known: self.peers.len(), wanted: PEERS_MIN });
        }
        if steps < STEPS_MIN {
            return Err(Refusal::TooLittle { known: steps, wanted: STEPS_MIN, step: self.step });
        }
        Ok(deviations)
    }
}

impl Measure {
    /// The smallest standard deviation that is believed, in the measure's unit: below, sensors and units differ by
    /// more than the peers happen to.
    ///
    /// - `resolution`: the step of the readings. When more than half of normal values lie within half a step, their
    ///   standard deviation is at most 1.4826 / 2 steps.
    fn sigma_min(self, resolution: f64) -> f64 {
        let of_sensors = match self {
            // As the detector `tray` of the evaluator has it.
            Self::LogThermalResistance => 0.01,
            // What a thermometer on a die scatters, K.
            Self::Temperature => 0.3,
        };
        f64::max(of_sensors, SIGMA_PER_MAD / 2.0 * resolution)
    }
}

/// Where one method has nothing to say the other one stands alone; where both have not, nothing is known.
fn opinion(mad: Option<f64>, dbscan: Option<f64>) -> Opinion {
    let is_outside = |share: Option<f64>| share.map(|share| share >= OUTSIDE_SHARE);
    match (is_outside(mad), is_outside(dbscan)) {
        (Some(true), Some(true)) => Opinion::Both,
        (Some(true), Some(false) | None) => Opinion::OnlyMad,
        (Some(false) | None, Some(true)) => Opinion::OnlyDbscan,
        (Some(false), Some(false) | None) | (None, Some(false)) => Opinion::Neither,
        (None, None) => Opinion::Unknown,
    }
}
