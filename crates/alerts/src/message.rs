//! An alert as Alertmanager's API v2 takes it, and what it would refuse.

use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::Serialize;
use telemetry::{EventTime, Labels, Name};

/// One element of `POST /api/v2/alerts`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Message {
    /// Its identity.
    pub labels: Labels,
    /// For people.
    pub annotations: BTreeMap<Name, String>,
    /// Stable over restarts: since when it has been firing.
    pub starts_at: String,
    /// In the future: it fires until then unless told again. Now or past: it is over.
    pub ends_at: String,
    /// Where to look.
    #[serde(rename = "generatorURL", skip_serializing_if = "String::is_empty")]
    pub generator_url: String,
}

/// A moment of the wall clock, which Alertmanager goes by.
pub fn wall(time: SystemTime) -> EventTime {
    let micros = time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros());
    EventTime::from_unix_micros(i64::try_from(micros).unwrap_or(i64::MAX))
}

/// The labels without empty values, which Alertmanager drops as well.
pub fn labels(given: &Labels) -> Labels {
    given
        .iter()
        .filter(|(_, value)| !value.is_empty())
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

/// Why Alertmanager would refuse an alert; `None` when it would not.
pub fn refusal(labels: &Labels, annotations: &BTreeMap<Name, String>) -> Option<String> {
    if !labels.contains_key("alertname") {
        return Some("it has no alertname".to_owned());
    }
    let names = labels.keys().chain(annotations.keys());
    let unsound = names.into_iter().find(|name| !is_label_name(name))?;
    Some(format!("{unsound:?} is no label name: letters, digits and _, no digit first"))
}

/// `[a-zA-Z_][a-zA-Z0-9_]*`
fn is_label_name(name: &str) -> bool {
    let first = name.chars().next().is_some_and(|first| first.is_ascii_alphabetic() || first == '_');
    first && name.chars().all(|inside| inside.is_ascii_alphanumeric() || inside == '_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_alertmanager_would_refuse_is_found_here() {
        let labels =
            |name: &str| Labels::from([("alertname".into(), "Hot".into()), (name.into(), "x".into())]);
        let none = BTreeMap::new();
        assert_eq!(refusal(&labels("rack"), &none), None);
        assert!(refusal(&labels("rack-name"), &none).unwrap().contains("\"rack-name\" is no label name"));
        assert!(refusal(&labels("9rack"), &none).is_some());
        assert!(refusal(&Labels::new(), &none).unwrap().contains("no alertname"));
        let annotations = BTreeMap::from([(Name::from("short window"), String::new())]);
        assert!(refusal(&labels("rack"), &annotations).is_some());
    }

    #[test]
    fn empty_labels_are_no_part_of_the_identity() {
        let given = Labels::from([("alertname".into(), "Hot".into()), ("node".into(), "".into())]);
        assert_eq!(labels(&given).len(), 1);
    }
}
