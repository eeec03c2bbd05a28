//! Posts payloads over keep-alive connections, in step and at a pace, and reads the answers.

use std::fmt;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use crate::payload::{Payload, Payloads};

/// Where payloads go.
pub struct Target {
    /// Host and port.
    pub address: String,
    /// Path.
    pub path: String,
    /// Headers beside those of the protocol.
    pub headers: Vec<String>,
}

/// What became of the samples.
#[derive(Default)]
pub struct Sent {
    accepted: u64,
    /// Answered with another status than 2xx.
    pub refused: u64,
    retries: u64,
    acknowledgements: Latencies,
    took: Duration,
    /// The first answer that was not 2xx.
    pub first_refusal: Option<String>,
}

impl fmt::Display for Sent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.took.as_secs_f64();
        writeln!(
            f,
            "accepted {} refused {} retries {} seconds {seconds:.3} samples_per_second {:.0} acknowledged_ms {}",
            self.accepted,
            self.refused,
            self.retries,
            self.accepted as f64 / seconds,
            self.acknowledgements,
        )
    }
}

/// Times from question to answer.
#[derive(Default)]
pub struct Latencies(Vec<Duration>);

impl Latencies {
    /// One more.
    pub fn add(&mut self, latency: Duration) {
        self.0.push(latency);
    }

    /// How many.
    pub fn count(&self) -> usize {
        self.0.len()
    }
}

/// `p50 1.71 p99 16.44 max 105.06`, in milliseconds.
impl fmt::Display for Latencies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut sorted = self.0.clone();
        sorted.sort();
        let quantile = |share: f64| {
            let at = (sorted.len().saturating_sub(1) as f64 * share) as usize;
            sorted.get(at).map_or(0.0, |latency| latency.as_secs_f64() * 1e3)
        };
        write!(f, "p50 {:.2} p99 {:.2} max {:.2}", quantile(0.5), quantile(0.99), quantile(1.0))
    }
}

/// How far the connections are.
struct Progress {
    payloads: Payloads,
    /// Samples that were begun.
    begun: AtomicUsize,
    /// The step of each connection.
    steps: Vec<AtomicUsize>,
    started: Instant,
}

/// Sends all payloads over so many connections, and returns when all are answered.
pub fn send(
    payloads: Payloads,
    target: &Target,
    connections: usize,
    rate: Option<f64>,
    lockstep: usize,
) -> Result<Sent, String> {
    let connections = connections.clamp(1, payloads.per_step.max(1));
    let steps = (0..connections).map(|_| AtomicUsize::new(0)).collect();
    let progress =
        Arc::new(Progress { payloads, begun: AtomicUsize::new(0), steps, started: Instant::now() });
    let workers: Vec<_> = (0..connections)
        .map(|number| {
            let connection = Connection::open(target, progress.payloads.protocol.headers())?;
            let progress = progress.clone();
            Ok(thread::spawn(move || run(number, connection, &progress, rate, lockstep)))
        })
        .collect::<Result<_, String>>()?;
    let mut sent = Sent::default();
    for worker in workers {
        let part = worker.join().map_err(|_| "a connection's thread ended".to_owned())??;
        sent.accepted += part.accepted;
        sent.refused += part.refused;
        sent.retries += part.retries;
        sent.acknowledgements.0.extend(part.acknowledgements.0);
        sent.first_refusal = sent.first_refusal.or(part.first_refusal);
    }
    sent.took = progress.started.elapsed();
    Ok(sent)
}

/// Sends every payload whose place in its step falls to this connection.
fn run(
    number: usize,
    mut connection: Connection,
    progress: &Progress,
    rate: Option<f64>,
    lockstep: usize,
) -> Result<Sent, String> {
    let Progress { payloads, begun, steps, started } = progress;
    let mut sent = Sent::default();
    let mine = |at: &usize| at % payloads.per_step % steps.len() == number;
    let result = (0..payloads.list.len()).filter(mine).try_for_each(|at| {
        let step = at / payloads.per_step;
        steps[number].store(step, Relaxed);
        while step
            > steps.iter().map(|step| step.load(Relaxed)).min().unwrap_or(step).saturating_add(lockstep)
        {
            thread::sleep(Duration::from_micros(200));
        }
        let payload = &payloads.list[at];
        let before = begun.fetch_add(payload.samples as usize, Relaxed);
        if let Some(rate) = rate {
            let due = Duration::from_secs_f64(before as f64 / rate);
            thread::sleep(due.saturating_sub(started.elapsed()));
        }
        post(&mut connection, payload, &mut sent)
    });
    // Nobody waits for a connection that has ended.
    steps[number].store(usize::MAX, Relaxed);
    result.map(|()| sent)
}

/// Posts a payload until it is taken or refused.
fn post(connection: &mut Connection, payload: &Payload, sent: &mut Sent) -> Result<(), String> {
    loop {
        let begun = Instant::now();
        let answer = connection.post(&payload.body)?;
        if answer.status == 429 || answer.status == 503 {
            sent.retries += 1;
            thread::sleep(Duration::from_millis(20));
            continue;
        }
        sent.acknowledgements.add(begun.elapsed());
        if answer.status < 300 {
            sent.accepted += u64::from(payload.samples);
        } else {
            sent.refused += u64::from(payload.samples);
            sent.first_refusal.get_or_insert(answer.text);
        }
        return Ok(());
    }
}

const CLOSED: &str = "the receiver closed the connection before its answer was whole";

/// A keep-alive connection.
pub struct Connection {
    stream: TcpStream,
    address: String,
    /// Request line and headers, but for the length.
    head: String,
    buffer: Vec<u8>,
}

/// What came back.
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// Its body.
    pub text: String,
}

impl Connection {
    /// Connects; these headers and the target's go with every request.
    pub fn open(target: &Target, protocol_headers: &str) -> Result<Self, String> {
        let more: String = target.headers.iter().map(|header| format!("{header}\r\n")).collect();
        let head =
            format!("POST {} HTTP/1.1\r\nHost: {}\r\n{protocol_headers}{more}", target.path, target.address);
        let stream = connect(&target.address)?;
        Ok(Self { stream, address: target.address.clone(), head, buffer: vec![0; 16_384] })
    }

    /// Posts a body and reads the whole answer.
    pub fn post(&mut self, body: &[u8]) -> Result<Answer, String> {
        let failed = |error: std::io::Error| format!("the connection broke: {error}");
        let head = format!("{}Content-Length: {}\r\n\r\n", self.head, body.len());
        self.stream.write_all(head.as_bytes()).map_err(failed)?;
        self.stream.write_all(body).map_err(failed)?;
        let mut got = 0;
        let (end, headers) = loop {
            let more = self.stream.read(&mut self.buffer[got..]).map_err(failed)?;
            if more == 0 {
                return Err(CLOSED.to_owned());
            }
            got += more;
            if let Some(end) = self.buffer[..got].windows(4).position(|window| window == b"\r\n\r\n") {
                break (end + 4, String::from_utf8_lossy(&self.buffer[..end]).to_ascii_lowercase());
            }
        };
        let length =
            headers.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok());
        let whole = end + length.unwrap_or(0_usize);
        self.buffer.resize(self.buffer.len().max(whole), 0);
        while got < whole {
            match self.stream.read(&mut self.buffer[got..]).map_err(failed)? {
                0 => return Err(CLOSED.to_owned()),
                more => got += more,
            }
        }
        let status = headers.get(9..12).and_then(|status| status.parse().ok()).unwrap_or(0);
        let text = String::from_utf8_lossy(&self.buffer[end..whole]).into_owned();
        if headers.contains("connection: close") {
            self.stream = connect(&self.address)?;
        }
        Ok(Answer { status, text })
    }
}

fn connect(address: &str) -> Result<TcpStream, String> {
    let stream =
        TcpStream::connect(address).map_err(|error| format!("{address}: cannot be reached: {error}"))?;
    stream.set_nodelay(true).map_err(|error| error.to_string())?;
    Ok(stream)
}

/// What thermogate's evaluator says it did.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Judged {
    /// Samples judged.
    pub judged: u64,
    /// Samples behind the watermark.
    pub late: u64,
}

/// Reads thermogate's metrics; `None` of another receiver.
pub fn judged(address: &str) -> Option<Judged> {
    let mut stream = TcpStream::connect(address).ok()?;
    write!(stream, "GET /metrics HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").ok()?;
    let mut text = String::new();
    stream.read_to_string(&mut text).ok()?;
    let number = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.and_then(|value| value.trim().parse::<f64>().ok()).map(|value| value as u64)
    };
    let judged = number("thermogate_evaluate_judged_samples_total")?;
    Some(Judged { judged, late: number("thermogate_evaluate_late_samples_total").unwrap_or(0) })
}

/// The same once it changes no more, after 30 s at the latest: acknowledged is synced, and judged a little later.
pub fn judged_when_settled(address: &str) -> Option<Judged> {
    let mut last = judged(address)?;
    for _ in 0..60 {
        thread::sleep(Duration::from_millis(500));
        let now = judged(address)?;
        if now == last {
            break;
        }
        last = now;
    }
    Some(last)
}
