//! The latest state of each alert, and which of them a peer has to hear now. No network, no waiting.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use telemetry::alert::{AlertState, AlertTransition};
use telemetry::{EventTime, Labels, Name};

use crate::BookMetrics;
use crate::message::{Message, labels, refusal, wall};
use crate::settings::AlertSettings;

/// All alerts that are told.
pub struct Book {
    settings: Arc<AlertSettings>,
    entries: BTreeMap<Labels, Entry>,
    /// Counts changes; each entry carries the number of its latest.
    version: u64,
    /// Nobody hears anything: what is told now is how things were.
    pub is_held_back: bool,
    /// The watchdog's latest word of health.
    healthy: Option<Instant>,
    invalid: u64,
    dropped: u64,
    /// When an alert had to be left out last.
    dropped_at: Option<Instant>,
}

/// One alert.
#[derive(Debug, Clone)]
struct Entry {
    annotations: BTreeMap<Name, String>,
    since: EventTime,
    /// When it was over; firing or on hold when there is none.
    over: Option<(Instant, EventTime)>,
    version: u64,
}

/// What a peer has heard of an alert.
#[derive(Debug, Clone, Copy)]
pub struct Heard {
    /// The change that it has heard of.
    pub version: u64,
    /// When.
    pub at: Instant,
    /// Whether it refused it: then it hears of it less often.
    pub refused: bool,
}

/// What one peer has heard.
pub type Hearing = BTreeMap<Labels, Heard>;

/// An alert that a peer has to hear now.
#[derive(Debug, Clone)]
pub struct Due {
    /// The change that this tells.
    pub version: u64,
    /// How it is told.
    pub message: Message,
}

/// A refused alert is tried again after so many re-sends: the fault may be the peer's, such as a clock that is wrong.
const REFUSED_AGAIN_AFTER: u32 = 10;

/// The name of the alert that says that there are too many.
const OVERFLOW: &str = "ThermogateAlertsDropped";

impl Book {
    pub fn new(settings: &Arc<AlertSettings>) -> Self {
        Self {
            settings: settings.clone(),
            entries: BTreeMap::new(),
            version: 0,
            is_held_back: false,
            healthy: None,
            invalid: 0,
            dropped: 0,
            dropped_at: None,
        }
    }

    /// Takes a change of an alert.
    pub fn update(&mut self, transition: &AlertTransition) {
        let labels = labels(&transition.labels);
        match transition.to {
            AlertState::Firing | AlertState::UnknownHold => {
                let mut annotations = transition.annotations.clone();
                annotations.insert("summary".into(), transition.reason.clone());
                if transition.to == AlertState::UnknownHold {
                    annotations.insert("data_state".into(), "unknown".to_owned());
                }
                if let Some(why) = refusal(&labels, &annotations) {
                    tracing::error!(?labels, why, "an alert cannot be told");
                    self.invalid += 1;
                    return;
                }
                self.put(labels, annotations, transition.since);
            }
            AlertState::Resolved => self.end(&labels, &transition.reason),
            // Nobody is told of these: what was told before ends by itself when it is told no more.
            AlertState::Pending | AlertState::Inactive | AlertState::Suppressed => {
                if self.entries.get(&labels).is_some_and(|entry| entry.over.is_none()) {
                    self.entries.remove(&labels);
                }
            }
        }
    }

    /// Takes a word on the service's health.
    pub fn watchdog(&mut self, healthy: bool) {
        let Some(name) = self.settings.watchdog.clone() else { return };
        let labels = own_labels(&name, "none", &self.settings.site);
        if !healthy {
            self.healthy = None;
            self.entries.remove(&labels);
            return;
        }
        self.healthy = Some(Instant::now());
        if !self.entries.contains_key(&labels) {
            let summary = "thermogate watches this site: its silence is what to worry about".to_owned();
            self.version += 1;
            let annotations = BTreeMap::from([("summary".into(), summary)]);
            let since = wall(SystemTime::now());
            self.entries.insert(labels, Entry { annotations, since, over: None, version: self.version });
        }
    }

    fn put(&mut self, labels: Labels, annotations: BTreeMap<Name, String>, since: EventTime) {
        if !self.entries.contains_key(&labels) && self.entries.len() >= self.settings.alerts_max {
            self.drop_old();
            if self.entries.len() >= self.settings.alerts_max && !self.make_room_for(&labels) {
                self.note_drop();
                return;
            }
        }
        self.version += 1;
        self.entries.insert(labels, Entry { annotations, since, over: None, version: self.version });
    }

    fn end(&mut self, labels: &Labels, reason: &str) {
        self.version += 1;
        let version = self.version;
        // What nobody was told of has no end to tell of.
        if let Some(entry) = self.entries.get_mut(labels)
            && entry.over.is_none()
        {
            entry.annotations.insert("summary".into(), reason.to_owned());
            entry.annotations.remove("data_state");
            entry.over = Some((Instant::now(), wall(SystemTime::now())));
            entry.version = version;
        }
    }

    /// Whether something less grave could be left out for an alert: first what is over, then a ticket for a page.
    fn make_room_for(&mut self, labels: &Labels) -> bool {
        let is_page = |labels: &Labels| labels.get("severity").is_some_and(|severity| &**severity == "page");
        let over =
            self.entries.iter().find(|(_, entry)| entry.over.is_some()).map(|(labels, _)| labels.clone());
        let ticket = || self.entries.keys().rev().find(|labels| is_ticket(labels)).cloned();
        let Some(victim) = over.clone().or_else(|| is_page(labels).then(ticket).flatten()) else {
            return false;
        };
        self.entries.remove(&victim);
        if over.is_none() {
            self.note_drop();
        }
        true
    }

    fn note_drop(&mut self) {
        self.dropped += 1;
        self.dropped_at = Some(Instant::now());
        let labels = own_labels(OVERFLOW, "page", &self.settings.site);
        let summary = format!(
            "there are more than {} alerts, {} changes were left out: see thermogate itself, and find their common cause",
            self.settings.alerts_max, self.dropped
        );
        self.version += 1;
        let since = self.entries.get(&labels).map_or_else(|| wall(SystemTime::now()), |entry| entry.since);
        let annotations = BTreeMap::from([("summary".into(), summary)]);
        self.entries.insert(labels, Entry { annotations, since, over: None, version: self.version });
    }

    /// Forgets what has been over for long enough, and ends the alert about too many.
    fn drop_old(&mut self) {
        let kept = self.settings.resolved_kept;
        self.entries.retain(|_, entry| entry.over.is_none_or(|(since, _)| since.elapsed() < kept));
        if self.dropped_at.is_some_and(|at| at.elapsed() >= kept) {
            self.dropped_at = None;
            let labels = own_labels(OVERFLOW, "page", &self.settings.site);
            self.end(&labels, "alerts are within their number again");
        }
        if self.healthy.is_some_and(|at| at.elapsed() >= self.settings.watchdog_patience) {
            self.watchdog(false);
        }
    }

    /// The alerts that a peer has to hear now, pages and news first, and when to look again at the latest.
    pub fn due(&mut self, hearing: &mut Hearing) -> (Vec<Due>, Duration) {
        self.drop_old();
        hearing.retain(|labels, _| self.entries.contains_key(labels));
        let every = self.settings.resend_every;
        if self.is_held_back {
            return (Vec::new(), every);
        }
        let mut due: Vec<(bool, bool, &Labels, &Entry)> = Vec::new();
        let mut soonest = every;
        for (labels, entry) in &self.entries {
            let (is_news, wait) = match hearing.get(labels) {
                Some(heard) if heard.version == entry.version => {
                    let every = if heard.refused { every * REFUSED_AGAIN_AFTER } else { every };
                    (false, every.saturating_sub(heard.at.elapsed()))
                }
                Some(_) | None => (true, Duration::ZERO),
            };
            if wait.is_zero() {
                due.push((is_ticket(labels), !is_news, labels, entry));
            } else {
                soonest = soonest.min(wait);
            }
        }
        due.sort_by_key(|(is_ticket, is_old, labels, _)| (*is_ticket, *is_old, *labels));
        due.truncate(self.settings.batch_max);
        let now = SystemTime::now();
        let told = due.into_iter().map(|(_, _, labels, entry)| self.tell(labels, entry, now)).collect();
        (told, soonest)
    }

    fn tell(&self, labels: &Labels, entry: &Entry, now: SystemTime) -> Due {
        let ends_at = match entry.over {
            Some((_, at)) => at,
            None => wall(now + self.settings.valid_for()),
        };
        // Event time may be ahead of the wall clock (a simulation); an alert must not end before it starts.
        let starts_at = entry.since.min(wall(now)).min(ends_at);
        let link = self.settings.external_url.trim_end_matches('/');
        Due {
            version: entry.version,
            message: Message {
                labels: labels.clone(),
                annotations: entry.annotations.clone(),
                starts_at: starts_at.to_rfc3339(),
                ends_at: ends_at.to_rfc3339(),
                generator_url: if link.is_empty() { String::new() } else { format!("{link}/v1/status") },
            },
        }
    }

    /// Alerts whose latest state a peer has not heard.
    pub fn unheard(&self, hearing: &Hearing) -> usize {
        let heard = |labels: &Labels, entry: &Entry| {
            hearing.get(labels).is_some_and(|heard| heard.version == entry.version)
        };
        self.entries.iter().filter(|(labels, entry)| !heard(labels, entry)).count()
    }

    pub fn metrics(&self) -> BookMetrics {
        BookMetrics { alerts: self.entries.len(), invalid: self.invalid, dropped: self.dropped }
    }
}

fn is_ticket(labels: &Labels) -> bool {
    labels.get("severity").is_some_and(|severity| &**severity == "ticket")
}

fn own_labels(alertname: &str, severity: &str, site: &str) -> Labels {
    Labels::from([
        ("alertname".into(), alertname.into()),
        ("severity".into(), severity.into()),
        ("site".into(), site.into()),
    ])
}
