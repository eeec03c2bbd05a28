//! A simulated site in Prometheus' text form, in real time, under the names that dcgm-exporter and CDUs use.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::routing::get;
use simulator::{Reading, Scenario, Simulation};
use telemetry::{Microseconds, Name};

use crate::client;
use crate::command::serve::asked_to_end;
use crate::failure::Failure;

/// Names of exporters for signals; other signals go under their canonical names, which map by themselves.
const NAMES: &[(&str, &str)] = &[
    ("gpu_temperature", "DCGM_FI_DEV_GPU_TEMP"),
    ("gpu_memory_temperature", "DCGM_FI_DEV_MEMORY_TEMP"),
    ("gpu_power", "DCGM_FI_DEV_POWER_USAGE"),
    ("gpu_utilization", "DCGM_FI_DEV_GPU_UTIL"),
    ("gpu_clock_frequency", "DCGM_FI_DEV_SM_CLOCK"),
    ("gpu_slowdown_temperature", "DCGM_FI_DEV_SLOWDOWN_TEMP"),
    ("gpu_thermal_throttle_time", "DCGM_FI_DEV_THERMAL_VIOLATION"),
    ("clock_event_reasons", "DCGM_FI_DEV_CLOCKS_EVENT_REASONS"),
    ("coolant_supply_temperature", "CDULiquidSupplyTemperature"),
    ("coolant_return_temperature", "CDULiquidReturnTemperature"),
    ("coolant_flow", "CDULiquidFlow"),
];

/// The latest reading of each series, by metric and labels, and how long after the start it was there.
type Shown = BTreeMap<(String, String), (Microseconds, f64)>;
type Latest = Arc<Mutex<Shown>>;

/// A series that has said nothing for this long is not shown any more. Longer than the slowest sensor's interval: an
/// exporter shows the last reading until there is a new one.
const SILENT_AFTER: Microseconds = Microseconds::from_seconds(20);

/// Plays the scenario in real time, over and over, until Ctrl-C.
pub fn serve(mut scenario: Scenario, address: SocketAddr) -> Result<u8, Failure> {
    scenario.sample_every = scenario.sample_every.min(Microseconds::from_seconds(5));
    client::runtime()?.block_on(async move {
        let latest = Latest::default();
        let listener = tokio::net::TcpListener::bind(address)
            .await
            .map_err(|error| Failure::bad_input(format!("--scrape {address}: {error}")))?;
        let address = listener.local_addr().unwrap_or(address);
        eprintln!("serving {} at http://{address}/metrics until Ctrl-C", scenario.name);
        tokio::spawn(play(scenario, latest.clone()));
        let router = Router::new().route("/metrics", get(text)).with_state(latest);
        axum::serve(listener, router)
            .with_graceful_shutdown(asked_to_end())
            .await
            .map_err(|error| Failure::unreachable(error.to_string()))?;
        Ok(0)
    })
}

async fn play(scenario: Scenario, latest: Latest) {
    let step = Duration::from_micros(scenario.sample_every.get().unsigned_abs());
    let mut clock = tokio::time::interval(step);
    let mut now = Microseconds::ZERO;
    loop {
        let mut simulation = Simulation::new(&scenario);
        let mut readings = Vec::new();
        while simulation.step(&mut readings).is_some() {
            {
                let mut latest = latest.lock().expect("no panic under this lock");
                show(&mut latest, now, &mut readings);
            }
            clock.tick().await;
            now += scenario.sample_every;
        }
    }
}

/// Takes over the readings that are there `now`, and takes out what a silent feed does not say any more.
fn show(latest: &mut Shown, now: Microseconds, readings: &mut Vec<Reading>) {
    latest.extend(readings.drain(..).map(|reading| (series(&reading), (now, exported(&reading)))));
    latest.retain(|_, (since, _)| now - *since < SILENT_AFTER);
}

/// Metric name and labels.
fn series(reading: &Reading) -> (String, String) {
    let name = NAMES
        .iter()
        .find(|(signal, _)| *signal == &*reading.signal)
        .map_or(&*reading.signal, |(_, name)| name);
    let place = &reading.place;
    let mut labels: Vec<(&str, &Name)> = Vec::new();
    labels.extend(place.cooling_loop.as_ref().map(|name| ("loop", name)));
    labels.extend(place.rack.as_ref().map(|name| ("rack", name)));
    labels.extend(place.node.as_ref().map(|name| ("Hostname", name)));
    labels.extend(
        place.device.as_ref().map(|name| (if name.starts_with("gpu") { "gpu" } else { "device" }, name)),
    );
    labels.extend(reading.sensor.as_ref().map(|name| ("sensor", name)));
    let labels: Vec<String> = labels
        .into_iter()
        .map(|(label, value)| {
            format!("{label}=\"{}\"", if label == "gpu" { value.trim_start_matches("gpu") } else { value })
        })
        .collect();
    (name.to_owned(), format!("{{{}}}", labels.join(",")))
}

/// In the exporter's unit: dcgm-exporter counts throttling in nanoseconds and tells whole degrees.
fn exported(reading: &Reading) -> f64 {
    match &*reading.signal {
        "gpu_thermal_throttle_time" => reading.value * 1e9,
        _ => reading.value,
    }
}

async fn text(State(latest): State<Latest>) -> String {
    let latest = latest.lock().expect("no panic under this lock");
    let mut text = String::new();
    let mut metric = "";
    for ((name, labels), (_, value)) in latest.iter() {
        if name != metric {
            text += &format!(
                "# TYPE {name} {}\n",
                if name.ends_with("_VIOLATION") { "counter" } else { "gauge" }
            );
            metric = name;
        }
        text += &format!("{name}{labels} {value}\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use telemetry::EventTime;
    use telemetry::place::Place;

    use super::*;

    fn reading(signal: &str, second: i64) -> Reading {
        let place = Place { site: "s1".into(), rack: Some("r1".into()), ..Place::default() };
        Reading {
            time: EventTime::from_unix_micros(second * 1_000_000),
            place,
            signal: signal.into(),
            sensor: None,
            value: 1.0,
        }
    }

    #[test]
    fn a_slow_sensor_stays_between_its_readings_and_a_silent_one_goes() {
        let mut latest = Shown::new();
        for second in (0..60).step_by(5) {
            let mut readings = vec![reading("coolant_flow", second)];
            readings.extend((second % 10 == 0 && second <= 20).then(|| reading("gpu_temperature", second)));
            show(&mut latest, Microseconds::from_seconds(second), &mut readings);
            let is_shown = latest.keys().any(|(name, _)| name == "DCGM_FI_DEV_GPU_TEMP");
            assert_eq!(is_shown, second < 40, "{second} s");
        }
    }
}
