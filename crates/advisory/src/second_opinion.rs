//! The second opinion: DBSCAN in one dimension. At each step those that hang together with the majority are inside.

use augurs::outlier::{DbscanDetector, OutlierDetector};

use crate::peers::Outside;

/// Gap between neighbours that parts them, in standard deviations. The outermost of 18 normal values are more than 1.2
/// apart from their neighbour once in nine draws, more than 2.5 once in two hundred.
pub(crate) const EPSILON_SIGMA: f64 = 2.5;

/// Judges deviations from the peers' median; gaps stay gaps.
pub(crate) fn judge(deviations: &[Vec<Option<f64>>], epsilon: f64) -> Outside {
    let rows: Vec<Vec<f64>> = deviations
        .iter()
        .map(|peer| peer.iter().map(|deviation| deviation.unwrap_or(f64::NAN)).collect())
        .collect();
    let rows: Vec<&[f64]> = rows.iter().map(Vec::as_slice).collect();
    let detector = DbscanDetector::with_epsilon(epsilon);
    let said = detector.preprocess(&rows).and_then(|prepared| detector.detect(&prepared));
    let unsaid = || Outside(deviations.iter().map(|peer| vec![None; peer.len()]).collect());
    let Ok(said) = said else { return unsaid() };
    // Without a majority that hangs together it calls all of them outliers: then it knows no normal.
    let has_majority = |step: usize| {
        said.cluster_band.as_ref().is_some_and(|band| band.min.get(step).is_some_and(|end| end.is_finite()))
    };
    let judged = deviations.iter().zip(&said.series_results).map(|(deviations, series)| {
        let steps = deviations.iter().zip(&series.scores).enumerate();
        steps
            .map(|(step, (deviation, score))| deviation.filter(|_| has_majority(step)).map(|_| *score > 0.0))
            .collect()
    });
    Outside(judged.collect())
}
