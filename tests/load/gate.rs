//! Asks a gate about a rack again and again while load is sent: how long do pipelines wait for an answer?

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use crate::send::{Connection, Latencies, Target};

/// What is asked, how often.
pub struct Asking {
    /// Host and port.
    pub address: String,
    /// Policy.
    pub gate: String,
    /// Rack.
    pub rack: String,
    /// Questions a second.
    pub rate: f64,
    /// As those of the load.
    pub headers: Vec<String>,
}

/// The answers.
#[derive(Default)]
pub struct Asked {
    latencies: Latencies,
    /// Answers by verdict, or by status where there was none.
    verdicts: BTreeMap<String, u64>,
}

impl fmt::Display for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "gate answers {} ms {}", self.latencies.count(), self.latencies)?;
        self.verdicts.iter().try_for_each(|(verdict, count)| write!(f, " {verdict} {count}"))?;
        writeln!(f)
    }
}

/// Asks until it is told to stop. A question that falls due while one is open is asked when that is answered, and its
/// waiting counts: the latency begins when it was due.
pub fn ask(asking: &Asking, stop: &AtomicBool) -> Result<Asked, String> {
    let target = Target {
        address: asking.address.clone(),
        path: format!("/v1/gates/{}:evaluate", asking.gate),
        headers: asking.headers.clone(),
    };
    let mut connection = Connection::open(&target, "Content-Type: application/json\r\n")?;
    let body = format!(r#"{{"scope":{{"rack":"{}"}}}}"#, asking.rack);
    let mut asked = Asked::default();
    let (started, pause) = (Instant::now(), Duration::from_secs_f64(1.0 / asking.rate));
    for question in 0.. {
        let due = pause * question;
        thread::sleep(due.saturating_sub(started.elapsed()));
        if stop.load(Relaxed) {
            break;
        }
        let answer = connection.post(body.as_bytes())?;
        asked.latencies.add(started.elapsed().saturating_sub(due));
        let parsed = serde_json::from_str::<serde_json::Value>(&answer.text).ok();
        let verdict = parsed.as_ref().and_then(|answer| answer["verdict"].as_str());
        let verdict = verdict.map_or_else(|| format!("status {}", answer.status), str::to_owned);
        *asked.verdicts.entry(verdict).or_default() += 1;
    }
    Ok(asked)
}
