//! One Alertmanager: batches, time-outs, back-off, and bisection of a batch that it refuses.

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use reqwest::StatusCode;
use tokio::sync::watch;

use crate::PeerMetrics;
use crate::book::{Book, Due, Heard, Hearing};
use crate::message::Message;
use crate::settings::{AlertSettings, AlertSettingsError, endpoint};

/// First wait after a failed attempt.
const BACK_OFF_FIRST: Duration = Duration::from_millis(100);

/// What one peer has heard, and how it went. Locked after the book where both are.
#[derive(Default)]
pub struct Ledger {
    hearing: Hearing,
    sent: u64,
    failed: u64,
    refused: u64,
    latency: Option<Duration>,
}

impl Ledger {
    /// The numbers for people.
    pub fn metrics(&self, peer: &str, book: &Book) -> PeerMetrics {
        PeerMetrics {
            peer: peer.to_owned(),
            sent: self.sent,
            failed: self.failed,
            refused: self.refused,
            queued: book.unheard(&self.hearing),
            latency: self.latency,
        }
    }
}

/// One Alertmanager and what it has to hear.
pub struct Peer {
    settings: Arc<AlertSettings>,
    book: Arc<Mutex<Book>>,
    ledger: Arc<Mutex<Ledger>>,
    client: reqwest::Client,
    url: reqwest::Url,
}

/// What became of one request.
enum Answer {
    /// Taken.
    Taken,
    /// Something in it is wrong: 400, or too large.
    Refused(String),
    /// It may work later.
    Failed(String),
}

impl Peer {
    pub fn new(
        address: &str,
        settings: Arc<AlertSettings>,
        book: Arc<Mutex<Book>>,
        ledger: Arc<Mutex<Ledger>>,
    ) -> Result<Self, AlertSettingsError> {
        let url = endpoint(address)?;
        // Alertmanagers stand in the same network: a proxy for the outside world is not asked.
        let client = reqwest::Client::builder()
            .timeout(settings.timeout)
            .no_proxy()
            .build()
            .map_err(|_| AlertSettingsError::Address(address.to_owned()))?;
        Ok(Self { settings, book, ledger, client, url })
    }

    /// Tells the peer until `changes` is closed.
    pub async fn run(self, mut changes: watch::Receiver<u64>) {
        let mut back_off = BACK_OFF_FIRST;
        loop {
            // Seen before the book is read: a change that comes in between wakes the wait below.
            changes.mark_unchanged();
            let (due, look_again) = self.due();
            if due.is_empty() {
                tokio::select! {
                    () = tokio::time::sleep(look_again) => {}
                    changed = changes.changed() => if changed.is_err() { return },
                }
                continue;
            }
            match self.tell(due).await {
                Ok(()) => back_off = BACK_OFF_FIRST,
                Err(why) => {
                    tracing::warn!(peer = %self.url, why, again_in = ?back_off, "an Alertmanager was not told");
                    self.ledger().failed += 1;
                    tokio::select! {
                        () = tokio::time::sleep(back_off) => {}
                        () = closed(&mut changes) => return,
                    }
                    back_off = (back_off * 2).min(self.settings.back_off_max);
                }
            }
        }
    }

    fn due(&self) -> (Vec<Due>, Duration) {
        let mut book = self.book.lock().expect("no panic under this lock");
        book.due(&mut self.ledger().hearing)
    }

    /// Tells a batch. Alertmanager takes the sound alerts of a batch even when it answers 400, but does not say which:
    /// halves are sent again until the unsound ones stand alone.
    async fn tell(&self, due: Vec<Due>) -> Result<(), String> {
        let mut parts = vec![due];
        while let Some(mut part) = parts.pop() {
            match self.post(&part).await {
                Answer::Taken => self.note(&part, false),
                Answer::Refused(why) if part.len() == 1 => {
                    tracing::warn!(peer = %self.url, labels = ?part[0].message.labels, why, "an alert was refused");
                    self.note(&part, true);
                }
                Answer::Refused(_) => {
                    let rest = part.split_off(part.len() / 2);
                    parts.push(rest);
                    parts.push(part);
                }
                Answer::Failed(why) => return Err(why),
            }
        }
        Ok(())
    }

    async fn post(&self, part: &[Due]) -> Answer {
        let messages: Vec<&Message> = part.iter().map(|due| &due.message).collect();
        let asked = Instant::now();
        let response = match self.client.post(self.url.clone()).json(&messages).send().await {
            Ok(response) => response,
            Err(error) => return Answer::Failed(chain(&error)),
        };
        let status = response.status();
        self.ledger().latency = Some(asked.elapsed());
        if status.is_success() {
            return Answer::Taken;
        }
        let text: String = response.text().await.unwrap_or_default().chars().take(500).collect();
        let said = format!("{status}: {}", text.trim());
        match status {
            StatusCode::BAD_REQUEST | StatusCode::PAYLOAD_TOO_LARGE => Answer::Refused(said),
            _ => Answer::Failed(said),
        }
    }

    fn note(&self, part: &[Due], refused: bool) {
        let mut ledger = self.ledger();
        let count = part.len() as u64;
        if refused {
            ledger.refused += count;
        } else {
            ledger.sent += count;
        }
        for due in part {
            let heard = Heard { version: due.version, at: Instant::now(), refused };
            ledger.hearing.insert(due.message.labels.clone(), heard);
        }
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().expect("no panic under this lock")
    }
}

/// Waits until nobody can send a change any more.
async fn closed(changes: &mut watch::Receiver<u64>) {
    while changes.changed().await.is_ok() {}
}

/// An error with its causes: "connection refused" stands at their end.
fn chain(error: &dyn std::error::Error) -> String {
    let mut said = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        said += &format!(": {error}");
        cause = error.source();
    }
    said
}
