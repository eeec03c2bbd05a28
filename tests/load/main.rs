//! Makes load for side-by-side runs: payloads are written beforehand and posted over keep-alive connections, so that
//! the sender costs little beside the receiver that is measured.
//!
//! model → payloads (remote write 1.0, 2.0, OTLP) → **send** → receiver

mod gate; // questions to a gate meanwhile
mod model; // racks and GPUs, and how their readings move
mod payload; // a step of readings as requests
mod protobuf; // the few fields that are written
mod send; // connections, pace, answers

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::{Args, Parser, Subcommand};

use gate::Asking;
use model::Fleet;
use payload::{Payloads, Protocol};
use send::Target;

const ABOUT: &str =
    "Makes remote-write and OTLP load whose sender costs little, so that the receiver is what gets measured";

const HELP: &str = "\
A rack has 12 signals (canonical names with a Prometheus unit suffix, labels loop and rack);
a GPU has 4 of dcgm-exporter (labels rack, Hostname, gpu, UUID). 100 racks of 9 nodes of
8 GPUs are 30,000 series, 1000 are 300,000.

A series always travels on one connection, so that its samples arrive in order. No connection
runs more than --lockstep steps ahead of the slowest, so that event time stays together. 429
and 503 are retried after 20 ms. Printed are samples accepted, samples/s, the latency of
acknowledgements, and, where the receiver is thermogate, how many of the samples it judged
and how many came late.

Readings end now: a receiver that judges by the wall clock calls all but the newest late, so
run it on the telemetry's clock (thermogate: --set clock.kind=telemetry). CPU of the receiver:
utime + stime of /proc/PID/stat before and after; memory: VmHWM in /proc/PID/status.

Examples:
  load run --to 127.0.0.1:8080 --racks 100 --steps 60
  load run --to 127.0.0.1:8080 --protocol otlp --rate 300000 --steps 300
  load run --to 127.0.0.1:8080 --rate 300000 --steps 600 --gate default
  load encode /tmp/load --racks 1000 --steps 20
  load send /tmp/load --to 127.0.0.1:8428 --connections 4";

#[derive(Debug, Parser)]
#[command(name = "load", about = ABOUT, after_help = HELP)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Writes payloads to a file
    Encode {
        /// The file
        file: PathBuf,
        #[command(flatten)]
        what: What,
    },
    /// Sends the payloads of a file
    Send {
        /// The file
        file: PathBuf,
        #[command(flatten)]
        how: How,
    },
    /// Writes payloads to memory and sends them
    Run {
        #[command(flatten)]
        what: What,
        #[command(flatten)]
        how: How,
    },
}

/// What is sent.
#[derive(Debug, Args)]
struct What {
    /// remote-write-1, remote-write-2 or otlp
    #[arg(long, default_value = "remote-write-1")]
    protocol: Protocol,
    /// Racks
    #[arg(long, default_value_t = 100)]
    racks: u32,
    /// Nodes of a rack
    #[arg(long, default_value_t = 9)]
    nodes: u32,
    /// GPUs of a node
    #[arg(long, default_value_t = 8)]
    gpus: u32,
    /// Samples of each series
    #[arg(long, default_value_t = 60)]
    steps: u32,
    /// Event time between two samples of a series, ms
    #[arg(long, default_value_t = 1_000)]
    step_ms: u64,
    /// Event time of the first step, ms since 1970; the last step is now when absent
    #[arg(long)]
    start_ms: Option<u64>,
}

/// How it is sent.
#[derive(Debug, Args)]
struct How {
    /// Host and port of the receiver
    #[arg(long)]
    to: String,
    /// Path; that of the protocol when absent
    #[arg(long)]
    path: Option<String>,
    /// Connections; no more than a step has payloads
    #[arg(long, default_value_t = 4)]
    connections: usize,
    /// Samples a second at most
    #[arg(long)]
    rate: Option<f64>,
    /// Steps that a connection may be ahead of the slowest
    #[arg(long, default_value_t = 5)]
    lockstep: usize,
    /// Another header, such as 'Authorization: Bearer …'; may be repeated
    #[arg(long = "header")]
    headers: Vec<String>,
    /// Host and port of thermogate's metrics; that of --to when absent
    #[arg(long)]
    metrics: Option<String>,
    /// Policy that thermogate's gate is asked by meanwhile
    #[arg(long)]
    gate: Option<String>,
    /// Rack that it is asked about
    #[arg(long, default_value = "rack-00000")]
    gate_rack: String,
    /// Questions a second
    #[arg(long, default_value_t = 50.0)]
    gate_rate: f64,
}

fn main() -> ExitCode {
    let done = match Arguments::parse().command {
        Command::Encode { file, what } => encode(&what).and_then(|payloads| payloads.write(&file)),
        Command::Send { file, how } => Payloads::read(&file).and_then(|payloads| send(payloads, &how)),
        Command::Run { what, how } => encode(&what).and_then(|payloads| send(payloads, &how)),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("load: {message}");
            ExitCode::from(2)
        }
    }
}

fn encode(what: &What) -> Result<Payloads, String> {
    if what.racks == 0 || what.steps == 0 {
        return Err("no racks or no steps make no load: give one of each at least".to_owned());
    }
    let mut fleet = Fleet::new(what.racks, what.nodes, what.gpus);
    let length = what.step_ms * u64::from(what.steps - 1);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO).as_millis() as u64;
    let start = what.start_ms.unwrap_or(now - length);
    let payloads = Payloads::encode(what.protocol, &mut fleet, what.steps, what.step_ms, start);
    println!(
        "series {} samples {} payloads {} bytes {} protocol {}",
        fleet.series.len(),
        fleet.series.len() * what.steps as usize,
        payloads.list.len(),
        payloads.list.iter().map(|payload| payload.body.len()).sum::<usize>(),
        payloads.protocol.name(),
    );
    Ok(payloads)
}

fn send(payloads: Payloads, how: &How) -> Result<(), String> {
    let path = how.path.clone().unwrap_or_else(|| payloads.protocol.path().to_owned());
    let target = Target { address: how.to.clone(), path, headers: how.headers.clone() };
    let metrics = how.metrics.as_ref().unwrap_or(&how.to);
    let before = send::judged(metrics);
    let stop = AtomicBool::new(false);
    let (sent, asked) = thread::scope(|scope| {
        let asking = how.gate.as_ref().map(|gate| Asking {
            address: metrics.clone(),
            gate: gate.clone(),
            rack: how.gate_rack.clone(),
            rate: how.gate_rate,
            headers: how.headers.clone(),
        });
        let stop = &stop;
        let asked = asking.map(|asking| scope.spawn(move || gate::ask(&asking, stop)));
        let sent = send::send(payloads, &target, how.connections, how.rate, how.lockstep);
        stop.store(true, Relaxed);
        let asked =
            asked.map(|asked| asked.join().unwrap_or_else(|_| Err("the asking thread ended".to_owned())));
        (sent, asked)
    });
    let sent = sent?;
    print!("{sent}");
    if let Some(asked) = asked.transpose()? {
        print!("{asked}");
    }
    if let (Some(before), Some(after)) = (before, send::judged_when_settled(metrics)) {
        println!("judged {} late {}", after.judged - before.judged, after.late - before.late);
    }
    if let Some(answer) = &sent.first_refusal {
        eprintln!("{answer}");
    }
    if sent.refused > 0 { Err(format!("{} samples were refused", sent.refused)) } else { Ok(()) }
}
