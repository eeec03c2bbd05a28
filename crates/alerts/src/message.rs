//! An alert as Alertmanager takes it. Its labels are its identity: never a value, a window or an id in them.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::Serialize;
use telemetry::EventTime;
use telemetry::alert::{AlertState, AlertTransition};

use crate::settings::AlertSettings;

/// What a peer has to know of an alert.
#[derive(Debug, Clone, PartialEq)]
pub struct Message {
    /// Identity.
    pub labels: BTreeMap<String, String>,
    /// For people.
    pub annotations: BTreeMap<String, String>,
    /// First firing; stable over restarts.
    pub starts_at: EventTime,
    /// Where people look further.
    pub generator_url: String,
    /// What is told.
    pub told: Told,
}

/// What is told about an alert.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Told {
    /// It is active.
    Active,
    /// It is over.
    Resolved,
    /// Nothing: nobody has to know.
    Nothing,
}

/// One element of `POST /api/v2/alerts`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Posted<'a> {
    labels: &'a BTreeMap<String, String>,
    annotations: &'a BTreeMap<String, String>,
    starts_at: String,
    ends_at: String,
    #[serde(rename = "generatorURL")]
    generator_url: &'a str,
}

/// The message for a transition.
pub fn message(transition: &AlertTransition, external_url: &str) -> Message {
    let mut annotations: BTreeMap<String, String> = BTreeMap::from([("summary".to_owned(), transition.reason.clone())]);
    annotations.extend(transition.annotations.iter().map(|(name, text)| (name.to_string(), text.clone())));
    let told = match transition.to {
        AlertState::Firing => Told::Active,
        AlertState::UnknownHold => {
            annotations.insert("data_state".to_owned(), "unknown".to_owned());
            Told::Active
        }
        AlertState::Resolved => Told::Resolved,
        // Suppressed while firing means that a cause is told already, or maintenance: the peer is told that it is over.
        AlertState::Suppressed | AlertState::Inactive | AlertState::Pending => match transition.from {
            AlertState::Firing | AlertState::UnknownHold => Told::Resolved,
            AlertState::Inactive | AlertState::Pending | AlertState::Resolved | AlertState::Suppressed => Told::Nothing,
        },
    };
    let labels = transition
        .labels
        .iter()
        // Alertmanager drops empty values itself; without them here, equal identities stay equal.
        .filter(|(_, value)| !value.is_empty())
        .map(|(name, value)| (name.to_string(), value.to_string()))
        .collect();
    Message { labels, annotations, starts_at: transition.since, generator_url: format!("{external_url}/v1/status"), told }
}

/// The alert that fires while all is well.
pub(crate) fn watchdog(name: &str, settings: &AlertSettings, well: bool) -> Message {
    let labels = [("alertname", name), ("severity", "none"), ("site", &settings.site)];
    Message {
        labels: labels.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
        annotations: [("summary".to_owned(), "fires while telemetry is taken in, judged and kept; page when it is missing".to_owned())].into(),
        starts_at: EventTime::from_unix_micros(0),
        generator_url: format!("{}/healthz", settings.external_url),
        told: if well { Told::Active } else { Told::Resolved },
    }
}

impl Message {
    /// As it is posted now.
    ///
    /// - `active_for`: how long Alertmanager may believe in an active alert without hearing of it again.
    pub(crate) fn posted(&self, now: SystemTime, active_for: Duration) -> Posted<'_> {
        let ends = match self.told {
            Told::Active => now + active_for,
            Told::Resolved | Told::Nothing => now,
        };
        let ends = EventTime::from_unix_micros(ends.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros() as i64));
        // Alertmanager refuses an end before the start, which a replay of recorded or future telemetry could cause.
        let starts = self.starts_at.min(ends);
        Posted {
            labels: &self.labels,
            annotations: &self.annotations,
            starts_at: starts.to_rfc3339(),
            ends_at: ends.to_rfc3339(),
            generator_url: &self.generator_url,
        }
    }

    /// Whether it pages, which keeps its place in a full queue.
    pub(crate) fn pages(&self) -> bool {
        self.labels.get("severity").is_some_and(|severity| severity == "page")
    }
}
