//! The first opinion: deviation by the median absolute deviation, each side by itself, and what replaces it where that
//! is 0.

use augurs::outlier::{MADDetector, OutlierDetector};

use crate::peers::{Outside, Scale};

/// Deviation that is outside, in standard deviations (Iglewicz & Hoaglin 1993).
const THRESHOLD: f64 = 3.5;

/// What the first opinion says.
pub(crate) struct Spread {
    /// For each peer and step.
    pub outside: Outside,
    /// Deviation in standard deviations for each peer and step.
    pub scores: Vec<Vec<Option<f64>>>,
    /// How they were scaled.
    pub scale: Scale,
}

/// Judges deviations from the peers' median; gaps stay gaps.
///
/// - `sigma`: what stands in for a standard deviation where that of each side is below `sigma_min`; not below it.
pub(crate) fn judge(deviations: &[Vec<Option<f64>>], sigma: f64, sigma_min: f64) -> Spread {
    match by_mad(deviations, sigma_min) {
        Ok(scores) => Spread { outside: outside(&scores), scores, scale: Scale::MedianAbsoluteDeviation },
        Err(reason) => {
            let score = |deviation: f64| deviation.abs() / sigma;
            let scores: Vec<Vec<Option<f64>>> = deviations
                .iter()
                .map(|peer| peer.iter().map(|deviation| deviation.map(score)).collect())
                .collect();
            let scale = Scale::Fallback { standard_deviation: sigma, reason };
            Spread { outside: outside(&scores), scores, scale }
        }
    }
}

fn outside(scores: &[Vec<Option<f64>>]) -> Outside {
    let is_outside = |score: &Option<f64>| score.map(|score| score > THRESHOLD);
    Outside(scores.iter().map(|peer| peer.iter().map(is_outside).collect()).collect())
}

/// Scores by the library; the reason where they mean nothing.
fn by_mad(deviations: &[Vec<Option<f64>>], sigma_min: f64) -> Result<Vec<Vec<Option<f64>>>, String> {
    let rows: Vec<Vec<f64>> = deviations
        .iter()
        .map(|peer| peer.iter().map(|deviation| deviation.unwrap_or(f64::NAN)).collect())
        .collect();
    let rows: Vec<&[f64]> = rows.iter().map(Vec::as_slice).collect();
    let detector = MADDetector::with_threshold(THRESHOLD);
    // It divides by the half medians, and refuses where one is 0: half of the readings lie on one step.
    let prepared = detector
        .preprocess(&rows)
        .map_err(|error| format!("the median absolute deviation is 0 ({error})"))?;
    let said = detector.detect(&prepared).map_err(|error| error.to_string())?;
    let band = said.cluster_band.as_ref().ok_or("it has no band")?;
    let (Some(lower), Some(upper)) = (band.min.first(), band.max.first()) else {
        return Err("it has no band".to_owned());
    };
    // The median of deviations from the median is next to 0, so that the band's ends are its widths.
    let narrow = lower.abs().min(upper.abs());
    if !narrow.is_finite() || narrow < THRESHOLD * sigma_min || lower >= upper {
        return Err(format!("the median absolute deviation is below {sigma_min:.3}, what sensors can tell"));
    }
    Ok(said
        .series_results
        .iter()
        .map(|series| series.scores.iter().map(|score| score.is_finite().then_some(*score)).collect())
        .collect())
}
