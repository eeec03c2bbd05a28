//! `thermogate forecast`: how a series goes on, and who behaves unlike its peers. Advice for people: it ends with 0
//! whatever it says, with 3 when too little is known to say anything.

use std::path::PathBuf;
use std::sync::Mutex;

use prost_types::{Duration, Timestamp};
use serde_json::{Value, json};
use service::advice::forecast::{ForecastQuestion, Method};
use service::advice::peers::{PeerLevel, PeersQuestion};
use service::advice::{self, AdviceError, AskSql};
use service::question::Question;
use service::shared::Answer;
use telemetry::Microseconds;
use telemetry::unit::Unit;
use wire::advisory::v1 as pb;
use wire::advisory::v1::compare_peers_response::Outcome as Compared;
use wire::advisory::v1::forecast_response::Outcome as Expected;

use super::{run, sql};
use crate::arguments::{
    ForecastArguments, ForecastCommand, ForecastMethod, ForecastSeriesArguments, HttpArguments,
    OutliersArguments, Output, PeersBy, ServiceArguments,
};
use crate::client;
use crate::failure::Failure;
use crate::output::{print_line, print_out};
use crate::terminal;

/// Too little is known: the exit code of INCONCLUSIVE.
const UNKNOWN: u8 = 3;
/// Steps that a terminal shows; JSON has all.
const ROWS: usize = 12;

/// Runs the command.
pub fn run(arguments: &ForecastArguments) -> Result<u8, Failure> {
    client::runtime()?.block_on(async {
        match &arguments.command {
            None => series(&arguments.series).await,
            Some(ForecastCommand::Outliers(arguments)) => outliers(arguments).await,
        }
    })
}

/// A data folder, asked as `thermogate sql --data` asks it.
struct Folder {
    data: PathBuf,
    service: HttpArguments,
    failure: Mutex<Option<Failure>>,
}

impl Folder {
    fn new(data: &std::path::Path, service: &ServiceArguments) -> Self {
        // Its address is in the folder's lock file.
        let service = HttpArguments { http: String::new(), token: service.token.clone() };
        Self { data: data.to_owned(), service, failure: Mutex::new(None) }
    }

    /// What the command ends with: what went wrong with the folder, before what that led to.
    fn failure(self, error: &AdviceError) -> Failure {
        let kept = self.failure.into_inner().ok().flatten();
        kept.unwrap_or_else(|| match error {
            AdviceError::Field { .. } | AdviceError::NotFound { .. } => Failure::bad_input(error.to_string()),
            AdviceError::Busy { .. }
            | AdviceError::TooSlow { .. }
            | AdviceError::Unavailable { .. }
            | AdviceError::Internal { .. } => Failure::unreachable(error.to_string()),
        })
    }
}

impl AskSql for Folder {
    async fn ask(&self, sql: String) -> Result<Answer, AdviceError> {
        let question =
            Question { sql: Some(sql), query: None, parameters: std::collections::BTreeMap::new() };
        sql::ask(Some(&self.data), &self.service, &question).await.map_err(|failure| {
            let message = failure.to_string();
            if let Ok(mut kept) = self.failure.lock() {
                *kept = Some(failure);
            }
            AdviceError::Unavailable { message }
        })
    }
}

fn length(flag: &str, text: Option<&str>) -> Result<Option<Microseconds>, Failure> {
    text.map(|text| text.parse().map_err(|message| Failure::bad_input(format!("{flag}: {message}"))))
        .transpose()
}

async fn series(arguments: &ForecastSeriesArguments) -> Result<u8, Failure> {
    let given = |text: &Option<String>| text.clone().unwrap_or_default();
    let answer = match &arguments.data {
        Some(data) => {
            let question = ForecastQuestion {
                rack: given(&arguments.rack),
                cooling_loop: given(&arguments.cooling_loop),
                node: given(&arguments.node),
                device: given(&arguments.device),
                signal: given(&arguments.signal),
                sensor: given(&arguments.sensor),
                horizon: length("--horizon", Some(&arguments.horizon))?,
                window: length("--window", arguments.window.as_deref())?,
                level: Some(arguments.level),
                limit: arguments.limit,
                method: match arguments.method {
                    ForecastMethod::Auto => Method::Chosen,
                    ForecastMethod::Smoothing => Method::Smoothing,
                    ForecastMethod::Daily => Method::Daily,
                },
            };
            let folder = Folder::new(data, &arguments.service);
            match advice::forecast::forecast(&question, &folder).await {
                Ok(answer) => advice::message::forecast(&answer),
                Err(error) => return Err(folder.failure(&error)),
            }
        }
        None => {
            let request = pb::ForecastRequest {
                rack: given(&arguments.rack),
                r#loop: given(&arguments.cooling_loop),
                node: given(&arguments.node),
                device: given(&arguments.device),
                signal: given(&arguments.signal),
                sensor: given(&arguments.sensor),
                horizon: Some(run::duration("--horizon", &arguments.horizon)?),
                window: arguments
                    .window
                    .as_deref()
                    .map(|text| run::duration("--window", text))
                    .transpose()?,
                level: Some(arguments.level),
                limit: arguments.limit,
                method: match arguments.method {
                    ForecastMethod::Auto => pb::Method::Unspecified,
                    ForecastMethod::Smoothing => pb::Method::Smoothing,
                    ForecastMethod::Daily => pb::Method::Daily,
                }
                .into(),
            };
            client::advisory(&arguments.service).await?.forecast(request).await?.into_inner()
        }
    };
    match arguments.output {
        Output::Json => print_line!("{}", forecast_json(&answer)),
        Output::Text => print_out!("{}", forecast_text(&answer)),
        Output::Junit | Output::Markdown => {
            return Err(Failure::bad_input("`forecast` prints --output text or json"));
        }
    }
    Ok(match answer.outcome {
        Some(Expected::Forecast(_)) => 0,
        Some(Expected::Refusal(_)) | None => UNKNOWN,
    })
}

async fn outliers(arguments: &OutliersArguments) -> Result<u8, Failure> {
    let answer = match &arguments.data {
        Some(data) => {
            let level = match arguments.by {
                PeersBy::Gpu => PeerLevel::Gpu,
                PeersBy::Tray => PeerLevel::Tray,
            };
            let window = length("--window", Some(&arguments.window))?;
            let question = PeersQuestion { rack: arguments.rack.clone(), level, window };
            let folder = Folder::new(data, &arguments.service);
            match advice::peers::compare(&question, &folder).await {
                Ok(answer) => advice::message::peers(&answer),
                Err(error) => return Err(folder.failure(&error)),
            }
        }
        None => {
            let level = match arguments.by {
                PeersBy::Gpu => pb::PeerLevel::Gpu,
                PeersBy::Tray => pb::PeerLevel::Tray,
            };
            let window = Some(run::duration("--window", &arguments.window)?);
            let request =
                pb::ComparePeersRequest { rack: arguments.rack.clone(), level: level.into(), window };
            client::advisory(&arguments.service).await?.compare_peers(request).await?.into_inner()
        }
    };
    match arguments.output {
        Output::Json => print_line!("{}", peers_json(&answer)),
        Output::Text => print_out!("{}", peers_text(&answer)),
        Output::Junit | Output::Markdown => {
            return Err(Failure::bad_input("`forecast outliers` prints --output text or json"));
        }
    }
    Ok(match answer.outcome {
        Some(Compared::Comparison(_)) => 0,
        Some(Compared::Refusal(_)) | None => UNKNOWN,
    })
}

fn micros(duration: Duration) -> Microseconds {
    Microseconds(duration.seconds.saturating_mul(1_000_000).saturating_add(i64::from(duration.nanos) / 1_000))
}

fn seconds(duration: Option<Duration>) -> Option<f64> {
    duration.map(|duration| micros(duration).as_seconds())
}

fn time(timestamp: Option<&Timestamp>) -> String {
    run::time(timestamp)
}

/// Loop, rack, node, device and sensor, as far as there are.
fn place(series: &pb::Series) -> String {
    let parts = [
        ("loop", &series.r#loop),
        ("rack", &series.rack),
        ("node", &series.node),
        ("device", &series.device),
        ("sensor", &series.sensor),
    ];
    let told: Vec<String> = parts
        .iter()
        .filter(|(_, name)| !name.is_empty())
        .map(|(level, name)| format!("{level} {name}"))
        .collect();
    told.join(", ")
}

fn forecast_json(answer: &pb::ForecastResponse) -> Value {
    let series = answer.series.clone().unwrap_or_default();
    let mut value = json!({
        "label": answer.label,
        "series": {
            "site": series.site, "loop": series.r#loop, "rack": series.rack, "node": series.node,
            "device": series.device, "signal": series.signal, "sensor": series.sensor, "unit": series.unit,
        },
    });
    match &answer.outcome {
        Some(Expected::Forecast(forecast)) => value["forecast"] = expected_json(forecast),
        Some(Expected::Refusal(refusal)) => value["refusal"] = refusal_json(refusal),
        None => {}
    }
    value
}

fn refusal_json(refusal: &pb::Refusal) -> Value {
    json!({ "reason": refusal.reason, "message": refusal.message })
}

fn expected_json(forecast: &pb::Forecast) -> Value {
    let basis = forecast.basis.clone().unwrap_or_default();
    let bridges: Vec<Value> = basis
        .bridges
        .iter()
        .map(|bridge| json!({ "from": time(bridge.from.as_ref()), "until": time(bridge.until.as_ref()) }))
        .collect();
    let points: Vec<Value> = forecast
        .points
        .iter()
        .map(|point| {
            let at = time(point.time.as_ref());
            json!({ "time": at, "value": point.value, "lower": point.lower, "upper": point.upper })
        })
        .collect();
    let crossing = forecast.crossing.as_ref().map(|crossing| {
        json!({
            "limit": crossing.limit, "reached": crossing.reached, "rising": crossing.rising,
            "earliest_seconds": seconds(crossing.earliest), "expected_seconds": seconds(crossing.expected),
            "latest_seconds": seconds(crossing.latest),
        })
    });
    json!({
        "model": forecast.model,
        "level": forecast.level,
        "basis": {
            "from": time(basis.from.as_ref()), "until": time(basis.until.as_ref()), "step_seconds": seconds(basis.step),
            "known_steps": basis.known_steps, "gap_share": basis.gap_share, "interpolated": bridges,
            "last_value": basis.last_value,
        },
        "crossing": crossing,
        "points": points,
    })
}

fn forecast_text(answer: &pb::ForecastResponse) -> String {
    let series = answer.series.clone().unwrap_or_default();
    let unit = Unit::parse(&series.unit).map_or_else(String::new, Unit::for_people);
    let head = format!("{}, {}: {}\n", series.signal, place(&series), answer.label);
    match &answer.outcome {
        Some(Expected::Forecast(forecast)) => head + &expected_text(forecast, &unit),
        Some(Expected::Refusal(refusal)) => format!("{head}no forecast: {}\n", refusal.message),
        None => format!("{head}no forecast: the service gave none\n"),
    }
}

fn expected_text(forecast: &pb::Forecast, unit: &str) -> String {
    let basis = forecast.basis.clone().unwrap_or_default();
    let step = basis.step.map_or_else(String::new, |step| micros(step).to_string());
    let mut text = format!(
        "learnt from {} to {}: {} steps of {step} known, {:.1} % gaps ({} bridged); model {}; last {:.2} {unit}\n",
        time(basis.from.as_ref()),
        time(basis.until.as_ref()),
        basis.known_steps,
        100.0 * basis.gap_share,
        basis.bridges.len(),
        forecast.model,
        basis.last_value,
    );
    if let Some(crossing) = &forecast.crossing {
        text += &crossing_text(crossing, unit, forecast.level);
    }
    let percent = 100.0 * forecast.level;
    let (lower, upper) = (format!("lower {percent:.0} %"), format!("upper {percent:.0} %"));
    let expected = format!("expected {unit}");
    // The last of each group, so that the end of the horizon is shown.
    let every = forecast.points.len().div_ceil(ROWS).max(1);
    let shown = forecast.points.chunks(every).filter_map(<[pb::Point]>::last);
    text += &terminal::drawn(
        &["step from", expected.trim_end(), &lower, &upper],
        shown.map(|point| {
            vec![
                time(point.time.as_ref()),
                format!("{:.2}", point.value),
                format!("{:.2}", point.lower),
                format!("{:.2}", point.upper),
            ]
        }),
    );
    text.push('\n');
    if every > 1 {
        text += &format!("every {every} steps; --output json has all {}\n", forecast.points.len());
    }
    text
}

fn crossing_text(crossing: &pb::Crossing, unit: &str, level: f64) -> String {
    let limit = format!("{} {unit}", crossing.limit);
    let limit = limit.trim_end();
    if crossing.reached {
        return format!("{limit} is reached already\n");
    }
    // To the minute: the forecast knows no better.
    let told = |time: Option<Duration>| {
        time.map_or_else(
            || "not within the horizon".to_owned(),
            |time| {
                let minutes = (micros(time).as_seconds() / 60.0).round();
                if minutes < 120.0 {
                    format!("in {minutes} min")
                } else {
                    format!("in {:.1} h", minutes / 60.0)
                }
            },
        )
    };
    format!(
        "{limit} is reached {} (by the interval's ends of {:.0} %: earliest {}, latest {})\n",
        told(crossing.expected),
        100.0 * level,
        told(crossing.earliest),
        told(crossing.latest),
    )
}

fn measure(comparison: &pb::Comparison) -> (&'static str, &'static str) {
    match comparison.measure() {
        pb::PeerMeasure::LogThermalResistance => ("log_thermal_resistance", "thermal resistance"),
        pb::PeerMeasure::Temperature => ("temperature", "temperature (not every GPU tells its power)"),
        pb::PeerMeasure::Unspecified => ("unknown", "unknown"),
    }
}

fn opinion(peer: &pb::PeerFigures) -> (&'static str, &'static str) {
    match peer.opinion() {
        pb::PeerOpinion::Both => ("both", "outlier (both)"),
        pb::PeerOpinion::OnlyMad => ("only_mad", "outlier by MAD, not by DBSCAN"),
        pb::PeerOpinion::OnlyDbscan => ("only_dbscan", "outlier by DBSCAN, not by MAD"),
        pb::PeerOpinion::Neither => ("neither", "like its peers"),
        pb::PeerOpinion::Unknown | pb::PeerOpinion::Unspecified => ("unknown", "unknown"),
    }
}

fn peers_json(answer: &pb::ComparePeersResponse) -> Value {
    let mut value = json!({ "label": answer.label, "rack": answer.rack });
    match &answer.outcome {
        Some(Compared::Comparison(comparison)) => {
            let scale = comparison.scale.clone().unwrap_or_default();
            let peers: Vec<Value> = comparison
                .peers
                .iter()
                .map(|peer| {
                    json!({
                        "name": peer.name, "deviation": peer.deviation, "score": peer.score,
                        "mad_outside_share": peer.mad_outside_share, "dbscan_outside_share": peer.dbscan_outside_share,
                        "known_share": peer.known_share, "opinion": opinion(peer).0,
                    })
                })
                .collect();
            let (from, until) = (time(comparison.from.as_ref()), time(comparison.until.as_ref()));
            let standard_deviation = scale.fallback.then_some(scale.standard_deviation);
            value["comparison"] = json!({
                "measure": measure(comparison).0, "from": from, "until": until,
                "step_seconds": seconds(comparison.step), "steps": comparison.steps, "epsilon": comparison.epsilon,
                "scale": {
                    "fallback": scale.fallback, "standard_deviation": standard_deviation, "reason": scale.reason,
                },
                "peers": peers,
            });
        }
        Some(Compared::Refusal(refusal)) => value["refusal"] = refusal_json(refusal),
        None => {}
    }
    value
}

fn peers_text(answer: &pb::ComparePeersResponse) -> String {
    let head = format!("peers of rack {}: {}\n", answer.rack, answer.label);
    let comparison = match &answer.outcome {
        Some(Compared::Comparison(comparison)) => comparison,
        Some(Compared::Refusal(refusal)) => return format!("{head}no comparison: {}\n", refusal.message),
        None => return format!("{head}no comparison: the service gave none\n"),
    };
    let step = comparison.step.map_or_else(String::new, |step| micros(step).to_string());
    let mut text = format!(
        "{head}compared by {}, {} to {}: {} steps of {step}\n",
        measure(comparison).1,
        time(comparison.from.as_ref()),
        time(comparison.until.as_ref()),
        comparison.steps,
    );
    if let Some(scale) = comparison.scale.as_ref().filter(|scale| scale.fallback) {
        let replaced = scale.standard_deviation;
        text += &format!("MAD is replaced by a standard deviation of {replaced:.3}: {}\n", scale.reason);
    }
    let is_resistance = comparison.measure() == pb::PeerMeasure::LogThermalResistance;
    let deviation = |value: f64| match is_resistance {
        true => format!("{:+.1} %", 100.0 * (value.exp() - 1.0)),
        false => format!("{value:+.2} K"),
    };
    let percent = |share: f64| format!("{:.0} %", 100.0 * share);
    let share = |share: Option<f64>| share.map_or_else(|| "cannot say".to_owned(), percent);
    text += &terminal::drawn(
        &["peer", "than the median", "sd", "outside by MAD", "outside by DBSCAN", "known", "opinion"],
        comparison.peers.iter().map(|peer| {
            vec![
                peer.name.clone(),
                peer.deviation.map_or_else(|| "unknown".to_owned(), deviation),
                peer.score.map_or_else(|| "-".to_owned(), |score| format!("{score:.1}")),
                share(peer.mad_outside_share),
                share(peer.dbscan_outside_share),
                percent(peer.known_share),
                opinion(peer).1.to_owned(),
            ]
        }),
    );
    text.push('\n');
    text
}
