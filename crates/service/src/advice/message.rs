//! Answers as protobuf messages: field by field, nothing decided here. The command line shows the same messages.

use advisory::{Basis, Comparison, Crossing, Forecast, LABEL, Measure, Opinion, Refusal, Scale};
use prost_types::{Duration, Timestamp};
use telemetry::{EventTime, Microseconds};
use wire::advisory::v1 as pb;

use super::forecast::{ForecastAnswer, SeriesName};
use super::peers::PeersAnswer;

fn timestamp(time: EventTime) -> Option<Timestamp> {
    Some(crate::grpc::timestamp(time))
}

fn duration(length: Microseconds) -> Option<Duration> {
    let micros = length.get();
    Some(Duration { seconds: micros / 1_000_000, nanos: (micros % 1_000_000 * 1_000) as i32 })
}

fn count(steps: usize) -> u32 {
    u32::try_from(steps).unwrap_or(u32::MAX)
}

/// How a series goes on.
pub fn forecast(answer: &ForecastAnswer) -> pb::ForecastResponse {
    let outcome = match &answer.outcome {
        Ok((forecast, crossing)) => {
            pb::forecast_response::Outcome::Forecast(expected(forecast, crossing.as_ref()))
        }
        Err(refused) => pb::forecast_response::Outcome::Refusal(refusal(refused)),
    };
    pb::ForecastResponse {
        label: LABEL.to_owned(),
        series: Some(series(&answer.series)),
        outcome: Some(outcome),
    }
}

/// How peers compare.
pub fn peers(answer: &PeersAnswer) -> pb::ComparePeersResponse {
    let outcome = match &answer.outcome {
        Ok(comparison) => pb::compare_peers_response::Outcome::Comparison(compared(comparison)),
        Err(refused) => pb::compare_peers_response::Outcome::Refusal(refusal(refused)),
    };
    pb::ComparePeersResponse { label: LABEL.to_owned(), rack: answer.rack.clone(), outcome: Some(outcome) }
}

fn refusal(refused: &Refusal) -> pb::Refusal {
    pb::Refusal { reason: refused.code().to_owned(), message: refused.to_string() }
}

fn series(name: &SeriesName) -> pb::Series {
    pb::Series {
        site: name.site.clone(),
        r#loop: name.cooling_loop.clone(),
        rack: name.rack.clone(),
        node: name.node.clone(),
        device: name.device.clone(),
        signal: name.signal.clone(),
        sensor: name.sensor.clone(),
        unit: name.unit.to_owned(),
    }
}

fn expected(forecast: &Forecast, crossing: Option<&Crossing>) -> pb::Forecast {
    let points = forecast.points.iter().map(|point| pb::Point {
        time: timestamp(point.time),
        value: point.value,
        lower: point.lower,
        upper: point.upper,
    });
    pb::Forecast {
        model: forecast.model.clone(),
        basis: Some(basis(&forecast.basis)),
        level: forecast.level,
        points: points.collect(),
        crossing: crossing.map(|crossing| pb::Crossing {
            limit: crossing.limit,
            reached: crossing.is_reached,
            rising: crossing.is_rising,
            earliest: crossing.earliest.and_then(duration),
            expected: crossing.expected.and_then(duration),
            latest: crossing.latest.and_then(duration),
        }),
    }
}

fn basis(basis: &Basis) -> pb::Basis {
    let bridges = basis.bridges.iter();
    let bridges =
        bridges.map(|bridge| pb::Bridge { from: timestamp(bridge.from), until: timestamp(bridge.until) });
    pb::Basis {
        from: timestamp(basis.from),
        until: timestamp(basis.until),
        step: duration(basis.step),
        known_steps: count(basis.known),
        gap_share: basis.gap_share,
        bridges: bridges.collect(),
        last_value: basis.last,
    }
}

fn compared(comparison: &Comparison) -> pb::Comparison {
    let measure = match comparison.measure {
        Measure::LogThermalResistance => pb::PeerMeasure::LogThermalResistance,
        Measure::Temperature => pb::PeerMeasure::Temperature,
    };
    let scale = match &comparison.scale {
        Scale::MedianAbsoluteDeviation => pb::Scale::default(),
        Scale::Fallback { standard_deviation, reason } => {
            pb::Scale { fallback: true, standard_deviation: *standard_deviation, reason: reason.clone() }
        }
    };
    let peers = comparison.peers.iter().map(|peer| pb::PeerFigures {
        name: peer.name.clone(),
        deviation: peer.deviation,
        score: peer.score,
        mad_outside_share: peer.mad_outside,
        dbscan_outside_share: peer.dbscan_outside,
        known_share: peer.known,
        opinion: opinion(peer.opinion).into(),
    });
    pb::Comparison {
        measure: measure.into(),
        from: timestamp(comparison.from),
        until: timestamp(comparison.until),
        step: duration(comparison.step),
        steps: count(comparison.steps),
        scale: Some(scale),
        epsilon: comparison.epsilon,
        peers: peers.collect(),
    }
}

fn opinion(opinion: Opinion) -> pb::PeerOpinion {
    match opinion {
        Opinion::Both => pb::PeerOpinion::Both,
        Opinion::OnlyMad => pb::PeerOpinion::OnlyMad,
        Opinion::OnlyDbscan => pb::PeerOpinion::OnlyDbscan,
        Opinion::Neither => pb::PeerOpinion::Neither,
        Opinion::Unknown => pb::PeerOpinion::Unknown,
    }
}
