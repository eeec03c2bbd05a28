//! `thermogate demo`: a simulated site with faults, sent through the real OTLP port and judged by the real service.

mod sender; // readings as OTLP over gRPC
mod tables; // what is shown at the end

use std::path::{Path, PathBuf};
use std::time::Instant;

use service::running::{Running, StartError};
use service::settings::Settings;
use service::tell::Event;
use simulator::{Scenario, Simulation};
use telemetry::facts::Severity;
use telemetry::{EventTime, Microseconds};
use tokio::sync::broadcast;

use super::serve::{abort_on_panic, asked_to_end, log_to_stderr};
use crate::arguments::{DemoArguments, ServiceArguments};
use crate::failure::Failure;
use crate::output::print_line;
use crate::{client, terminal};

/// Says that a folder is a demo's and may be emptied by the next one.
const MARKER: &str = "thermogate-demo";
/// The demo's site file, as a user would write it.
const SITE: &str = include_str!("../../../../fixtures/demo/site.yaml");
/// Simulated time in one request.
const REQUEST_SPAN: Microseconds = Microseconds::from_seconds(30);

/// Runs the command.
pub fn run(arguments: &DemoArguments) -> Result<u8, Failure> {
    log_to_stderr(false);
    abort_on_panic();
    client::runtime()?.block_on(demo(arguments))
}

async fn demo(arguments: &DemoArguments) -> Result<u8, Failure> {
    let started = Instant::now();
    let site = prepare(&arguments.data)?;
    let running = start(arguments, &site).await?;
    let addresses = running.addresses;
    print_line!(
        "thermogate demo: OTLP at {}, gates at {}, HTTP at {}, data in {}",
        addresses.otlp_grpc,
        addresses.grpc,
        addresses.http,
        arguments.data.display()
    );

    let scenario = Scenario::demo(1);
    let racks: Vec<telemetry::Name> = scenario
        .loops
        .iter()
        .flat_map(|cooling_loop| cooling_loop.racks.iter().map(|rack| rack.name.clone()))
        .collect();
    let events = running.shared.pipeline.tell.listen();
    let printer = tokio::spawn(print_events(events));
    let sent = play(&scenario, &running).await?;
    print_line!(
        "played {} of telemetry, {} readings, in {:.1} s",
        scenario.duration,
        sent,
        started.elapsed().as_secs_f64()
    );
    // What is still on its way to the printer is printed before the tables.
    tokio::task::yield_now().await;
    printer.abort();

    let service = ServiceArguments { grpc: format!("http://{}", addresses.grpc), token: None };
    tables::verdicts(&service, &racks).await?;
    tables::objectives(&running, &racks);
    tables::further(&arguments.data, &site, &racks, &running, arguments.once);
    if arguments.once {
        running.end().await;
        return Ok(0);
    }
    print_line!("\nserving until Ctrl-C");
    asked_to_end().await;
    running.end().await;
    Ok(0)
}

/// Empties the folder of an earlier demo, or makes it; refuses a folder of anything else.
fn prepare(folder: &Path) -> Result<PathBuf, Failure> {
    let failed = |error: std::io::Error| Failure::bad_input(format!("{}: {error}", folder.display()));
    if folder.exists() {
        let empty = std::fs::read_dir(folder).map_err(failed)?.next().is_none();
        if !empty && !folder.join(MARKER).exists() {
            return Err(Failure::bad_input(format!(
                "{} holds files and is no demo's folder (it has no file {MARKER}): name an empty one with --data",
                folder.display()
            )));
        }
        if let Ok(Some(holder)) = history::lock::holder(&folder.join("service")) {
            return Err(Failure::bad_input(format!(
                "{} is held by process {}: end that demo first",
                folder.display(),
                holder.pid
            )));
        }
        std::fs::remove_dir_all(folder).map_err(failed)?;
    }
    std::fs::create_dir_all(folder).map_err(failed)?;
    std::fs::write(folder.join(MARKER), "made by `thermogate demo`; the next demo empties this folder\n")
        .map_err(failed)?;
    let site = folder.join("site.yaml");
    std::fs::write(&site, SITE).map_err(failed)?;
    Ok(site)
}

/// Starts the service on the usual ports, or on free ones where those are taken.
async fn start(arguments: &DemoArguments, site: &Path) -> Result<Running, Failure> {
    let settings = |free: bool| {
        let mut flags = vec![
            format!("data.folder={}", arguments.data.join("service").display()),
            format!("documents.site={}", site.display()),
            "clock.kind=telemetry".to_owned(),
        ];
        if free {
            flags.extend(service::settings::PORTS.map(|port| format!("listen.{port}=127.0.0.1:0")));
        }
        Settings::load(None, std::iter::empty(), &flags)
    };
    let started = match Running::start(settings(arguments.free_ports)?).await {
        Err(StartError::Port(reason)) if !arguments.free_ports => {
            print_line!("{reason}\nusing free ports instead");
            Running::start(settings(true)?).await
        }
        started => started,
    };
    started.map_err(|error| Failure::bad_input(error.to_string()))
}

/// Simulates and sends, with a progress display; returns the number of readings.
async fn play(scenario: &Scenario, running: &Running) -> Result<u64, Failure> {
    let mut sender = sender::Sender::connect(&format!("http://{}", running.addresses.otlp_grpc)).await?;
    let progress = indicatif::ProgressBar::new(scenario.duration.get().unsigned_abs());
    progress.set_style(
        indicatif::ProgressStyle::with_template(
            "{bar:40} {percent:>3} % of simulated time, {elapsed} gone, {eta} to go",
        )
        .unwrap_or_else(|_| indicatif::ProgressStyle::default_bar()),
    );
    let mut simulation = Simulation::new(scenario);
    let (mut instant, mut readings) = (Vec::new(), Vec::new());
    let mut group_began: Option<EventTime> = None;
    let mut last = scenario.start;
    let mut sent = 0;
    while let Some(time) = simulation.step(&mut instant) {
        readings.append(&mut instant);
        last = time;
        let began = *group_began.get_or_insert(time);
        if time - began >= REQUEST_SPAN {
            sent += readings.len() as u64;
            sender.send(&readings).await?;
            readings.clear();
            group_began = None;
            progress.set_position((time - scenario.start).get().unsigned_abs());
        }
    }
    sent += readings.len() as u64;
    sender.send(&readings).await?;
    progress.finish_and_clear();
    running.shared.pipeline.finish(last).await.map_err(|refused| Failure::unreachable(refused.message))?;
    Ok(sent)
}

/// Prints findings and alerts as they happen.
async fn print_events(mut events: broadcast::Receiver<Event>) {
    loop {
        match events.recv().await {
            Ok(event) if is_told(&event) => print_line!("{}", told(&event)),
            Ok(_) => {}
            Err(broadcast::error::RecvError::Lagged(missed)) => {
                print_line!("… {missed} events were too fast to show")
            }
            Err(broadcast::error::RecvError::Closed) => return,
        }
    }
}

/// Whether an event is part of the story: what is merely worth a row is not.
fn is_told(event: &Event) -> bool {
    match event {
        Event::Finding(finding) => finding.severity > Severity::Info,
        Event::Alert(_) => true,
    }
}

fn told(event: &Event) -> String {
    match event {
        Event::Finding(finding) => {
            let subject =
                finding.signal.as_deref().map_or_else(String::new, |signal| format!(" of {signal}"));
            match finding.ended {
                Some(ended) => format!(
                    "{}  finding {}{subject} at {} ended",
                    clock(ended),
                    finding.detector,
                    finding.place
                ),
                None => format!(
                    "{}  finding {} ({}){subject} at {}, since {}: {}",
                    clock(finding.detected),
                    finding.detector,
                    terminal::judged(finding.severity.name()),
                    finding.place,
                    clock(finding.onset),
                    finding.suggestion
                ),
            }
        }
        Event::Alert(alert) => format!(
            "{}  alert {} {} on {}: {}",
            clock(alert.time),
            alert.alertname,
            terminal::judged(alert.to.name()),
            alert.labels.get("rack").or(alert.labels.get("loop")).map_or("-", |name| name),
            alert.reason
        ),
    }
}

/// `HH:MM:SS` of a time.
fn clock(time: EventTime) -> String {
    let text = time.to_rfc3339();
    text.get(11..19).unwrap_or(&text).to_owned()
}
