//! One Alertmanager: what it has to know, by identity, and the task that tells it.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::{Duration, SystemTime};

use tokio::sync::Notify;
use tokio::time::Instant;

use crate::message::{Message, Told};
use crate::settings::AlertSettings;

/// Alerts of one post; smaller posts lose less when one of them is refused.
const BATCH: usize = 64;
/// Waits between two tries of a peer that does not answer, doubled up to the second.
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(15));

/// What one peer has to know. Memory is bounded by the number of alerts: a dead peer delays nobody.
pub(crate) struct Peer {
    url: String,
    settings: AlertSettings,
    client: reqwest::Client,
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Default)]
struct State {
    alerts: BTreeMap<BTreeMap<String, String>, Entry>,
    metrics: PeerMetrics,
}

struct Entry {
    message: Message,
    /// When it is sent next.
    due: Instant,
    /// When a resolved alert is forgotten.
    forgotten: Option<Instant>,
    /// Raised with each change, so that an answer to an older state does not count for a newer one.
    version: u64,
}

/// How it goes with one peer, since the start.
#[derive(Debug, Default, Clone, PartialEq)]
pub struct PeerMetrics {
    /// Its URL.
    pub peer: String,
    /// Alerts that wait to be sent.
    pub queued: u64,
    /// Alerts that it took.
    pub sent: u64,
    /// Posts that failed and are tried again.
    pub failed: u64,
    /// Alerts that it refused for good, or that did not fit.
    pub dropped: u64,
    /// Time of the last post, s.
    pub last_post_seconds: f64,
}

/// How a post ended.
enum Posted {
    Taken,
    /// At least one of the batch is refused; the others may have been taken.
    Refused(String),
    /// Not now.
    Failed(String),
}

impl Peer {
    pub(crate) fn new(url: &str, settings: &AlertSettings) -> Self {
        let client = reqwest::Client::builder().timeout(settings.timeout).build().unwrap_or_default();
        let metrics = PeerMetrics { peer: url.to_owned(), ..PeerMetrics::default() };
        Self {
            url: format!("{}/api/v2/alerts", url.trim_end_matches('/')),
            settings: settings.clone(),
            client,
            state: Mutex::new(State { alerts: BTreeMap::new(), metrics }),
            changed: Notify::new(),
        }
    }

    /// Notes the latest state of an alert.
    pub(crate) fn note(&self, message: Message) {
        let mut state = self.state.lock().expect("no panic under this lock");
        match message.told {
            Told::Nothing => return,
            // A peer that was never told of it need not be told that it is over, unless an earlier process told it.
            Told::Active | Told::Resolved => {}
        }
        if !state.alerts.contains_key(&message.labels) && state.alerts.len() >= self.settings.alerts_max && !make_room(&mut state, &message) {
            return;
        }
        let forgotten = (message.told == Told::Resolved).then(|| Instant::now() + self.settings.resolved_for);
        let version = state.alerts.get(&message.labels).map_or(0, |entry| entry.version + 1);
        state.alerts.insert(message.labels.clone(), Entry { message, due: Instant::now(), forgotten, version });
        drop(state);
        self.changed.notify_one();
    }

    pub(crate) fn metrics(&self) -> PeerMetrics {
        let state = self.state.lock().expect("no panic under this lock");
        let now = Instant::now();
        let queued = state.alerts.values().filter(|entry| entry.due <= now).count() as u64;
        PeerMetrics { queued, ..state.metrics.clone() }
    }

    /// Tells the peer for ever.
    pub(crate) async fn run(self: std::sync::Arc<Self>) {
        let mut wait = BACK_OFF.0;
        loop {
            let batch = self.due();
            if batch.is_empty() {
                tokio::select! {
                    () = self.changed.notified() => {}
                    () = tokio::time::sleep(self.until_due()) => {}
                }
                continue;
            }
            if self.tell(&batch).await {
                wait = BACK_OFF.0;
            } else {
                tokio::time::sleep(wait).await;
                wait = (wait * 2).min(BACK_OFF.1);
            }
        }
    }

    /// The alerts that are due, pages first.
    fn due(&self) -> Vec<(Message, u64)> {
        let mut state = self.state.lock().expect("no panic under this lock");
        let now = Instant::now();
        state.alerts.retain(|_, entry| entry.forgotten.is_none_or(|forgotten| now < forgotten));
        let mut due: Vec<&Entry> = state.alerts.values().filter(|entry| entry.due <= now).collect();
        due.sort_by_key(|entry| !entry.message.pages());
        due.iter().take(BATCH).map(|entry| (entry.message.clone(), entry.version)).collect()
    }

    fn until_due(&self) -> Duration {
        let state = self.state.lock().expect("no panic under this lock");
        let next = state.alerts.values().map(|entry| entry.due).min();
        next.map_or(Duration::from_secs(3600), |due| due.saturating_duration_since(Instant::now()))
    }

    /// Posts a batch. On a refusal the batch is halved until the one that is refused is alone. False when the peer
    /// does not answer.
    async fn tell(&self, batch: &[(Message, u64)]) -> bool {
        let mut parts = vec![batch];
        while let Some(part) = parts.pop() {
            match self.post(part).await {
                Posted::Taken => self.done(part),
                Posted::Refused(reason) if part.len() == 1 => {
                    tracing::error!(peer = %self.settings_peer(), labels = ?part[0].0.labels, reason, "an Alertmanager refused an alert; it is not sent again until it changes");
                    self.drop_refused(&part[0]);
                }
                Posted::Refused(_) => {
                    let (one, other) = part.split_at(part.len() / 2);
                    parts.extend([other, one]);
                }
                Posted::Failed(reason) => {
                    self.note_metrics(|metrics| metrics.failed += 1);
                    tracing::warn!(peer = %self.settings_peer(), reason, "an Alertmanager was not told; it is tried again");
                    return false;
                }
            }
        }
        true
    }

    fn settings_peer(&self) -> &str {
        self.url.trim_end_matches("/api/v2/alerts")
    }

    async fn post(&self, part: &[(Message, u64)]) -> Posted {
        /// An active alert may be believed for four times the time until it is told again.
        const BELIEVED: u32 = 4;
        let now = SystemTime::now();
        let active_for = self.settings.resend_every * BELIEVED;
        let body: Vec<_> = part.iter().map(|(message, _)| message.posted(now, active_for)).collect();
        let started = Instant::now();
        let answered = self.client.post(&self.url).json(&body).send().await;
        self.note_metrics(|metrics| metrics.last_post_seconds = started.elapsed().as_secs_f64());
        match answered {
            Err(error) => Posted::Failed(error.to_string()),
            Ok(response) => {
                let status = response.status();
                if status.is_success() {
                    return Posted::Taken;
                }
                let text = response.text().await.unwrap_or_default();
                let reason = format!("{status}: {}", text.trim());
                if status == reqwest::StatusCode::BAD_REQUEST { Posted::Refused(reason) } else { Posted::Failed(reason) }
            }
        }
    }

    fn note_metrics(&self, note: impl FnOnce(&mut PeerMetrics)) {
        note(&mut self.state.lock().expect("no panic under this lock").metrics);
    }

    /// The peer took these: next time when they are due again. What changed meanwhile stays due.
    fn done(&self, part: &[(Message, u64)]) {
        let mut state = self.state.lock().expect("no panic under this lock");
        state.metrics.sent += part.len() as u64;
        for (message, version) in part {
            if let Some(entry) = state.alerts.get_mut(&message.labels)
                && entry.version == *version
            {
                entry.due = Instant::now() + self.settings.resend_every;
            }
        }
    }

    fn drop_refused(&self, (message, version): &(Message, u64)) {
        let mut state = self.state.lock().expect("no panic under this lock");
        state.metrics.dropped += 1;
        if state.alerts.get(&message.labels).is_some_and(|entry| entry.version == *version) {
            state.alerts.remove(&message.labels);
        }
    }
}

/// Makes room for a page by dropping a ticket; a ticket does not fit into a full queue.
fn make_room(state: &mut State, message: &Message) -> bool {
    state.metrics.dropped += 1;
    if !message.pages() {
        return false;
    }
    let ticket = state.alerts.iter().find(|(_, entry)| !entry.message.pages()).map(|(labels, _)| labels.clone());
    match ticket {
        Some(labels) => state.alerts.remove(&labels).is_some(),
        None => false,
    }
}
