//! Settings: one annotated file is default, reference and schema; file, environment and flags go over it.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use telemetry::Microseconds;
use telemetry::document::nearest;

/// The annotated default, which is also the reference and the schema.
pub const DEFAULT: &str = include_str!("../../../deploy/thermogate.toml");

/// The keys of `[listen]`: a service that nobody looks for takes free ports for all of them.
pub const PORTS: [&str; 5] = ["otlp_grpc", "otlp_http", "grpc", "http", "postgres"];

/// Environment variables that begin like settings and are none.
const NOT_SETTINGS: &[&str] = &[
    "THERMOGATE_SETTINGS",
    "THERMOGATE_TEST_DATA",
    "THERMOGATE_FAILPOINT",
    "THERMOGATE_TOKEN",
    "THERMOGATE_GRPC",
    "THERMOGATE_HTTP",
];

/// Numbers for which none has a meaning; every other number is 1 at least.
const MAY_BE_ZERO: &[&str] = &[
    "ingest.unmapped_series_max",
    "history.retention_samples_days",
    "history.retention_blocks_days",
    "history.retention_status_days",
    "history.retention_log_days",
    "history.retention_events_days",
    "history.retention_decisions_days",
];

/// A setting that cannot be used, and how to mend it.
#[derive(Debug, thiserror::Error)]
#[error("{origin}: {message}")]
pub struct SettingsError {
    /// File and line, environment variable or flag.
    pub origin: String,
    /// What is wrong and how to mend it.
    pub message: String,
}

impl SettingsError {
    fn new(origin: impl Into<String>, message: impl Into<String>) -> Self {
        Self { origin: origin.into(), message: message.into() }
    }
}

/// A length of time, written `30s`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Length(pub Microseconds);

impl Length {
    /// For timers.
    pub fn duration(self) -> std::time::Duration {
        std::time::Duration::from_micros(u64::try_from(self.0.get()).unwrap_or(0))
    }
}

impl<'de> Deserialize<'de> for Length {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map(Self).map_err(serde::de::Error::custom)
    }
}

macro_rules! section {
    ($(#[$doc:meta])* $name:ident { $($field:ident: $kind:ty,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Deserialize)]
        #[serde(deny_unknown_fields)]
        #[allow(missing_docs)] // Each field's meaning, unit and trade-off stand in deploy/thermogate.toml.
        pub struct $name { $(pub $field: $kind,)* }
    };
}

section! {
    /// All settings; what each means stands in `deploy/thermogate.toml`.
    Settings {
        site: SiteSettings,
        data: DataSettings,
        clock: ClockSettings,
        listen: ListenSettings,
        access: AccessSettings,
        documents: DocumentSettings,
        ingest: IngestSettings,
        log: LogSettings,
        history: HistorySettings,
        query: QuerySettings,
        runs: RunSettings,
        alerts: AlertSettings,
    }
}
section! {
    /// `[site]`
    SiteSettings { name: String, }
}
section! {
    /// `[data]`
    DataSettings { folder: PathBuf, store: String, }
}
section! {
    /// `[clock]`
    ClockSettings { kind: Clock, allowed_lateness: Length, }
}
section! {
    /// `[listen]`
    ListenSettings {
        otlp_grpc: SocketAddr,
        otlp_http: SocketAddr,
        grpc: SocketAddr,
        http: SocketAddr,
        postgres: SocketAddr,
        connections_max: usize,
    }
}
section! {
    /// `[access]`
    AccessSettings { tls_certificate: String, tls_key: String, tokens: String, insecure: bool, }
}
section! {
    /// `[documents]`
    DocumentSettings { site: String, objectives: Vec<PathBuf>, policies: Vec<PathBuf>, mappings: Vec<PathBuf>, watches: Vec<PathBuf>, }
}
section! {
    /// `[ingest]`
    IngestSettings {
        queue_bytes_max: usize,
        request_bytes_max: usize,
        decompressed_bytes_max: usize,
        labels_per_series_max: usize,
        series_per_source_max: usize,
        unmapped: Unmapped,
        unmapped_series_max: usize,
    }
}
section! {
    /// `[log]`
    LogSettings { durability: Durability, group_bytes_max: usize, }
}
section! {
    /// `[history]`
    HistorySettings {
        flush_every: Length,
        flush_bytes_max: usize,
        checkpoint_every: Length,
        checkpoint_samples_max: u64,
        maintenance_every: Length,
        maintenance_bytes_max: u64,
        maintenance_time_max: Length,
        retention_samples_days: u32,
        retention_blocks_days: u32,
        retention_status_days: u32,
        retention_log_days: u32,
        retention_events_days: u32,
        retention_decisions_days: u32,
    }
}
section! {
    /// `[query]`
    QuerySettings { rows_max: usize, seconds_max: u64, memory_bytes_max: usize, concurrency_max: usize, connections_max: usize, }
}
section! {
    /// `[runs]`
    RunSettings {
        planned_smoke: Length,
        planned_canary: Length,
        planned_rehearsal: Length,
        planned_soak: Length,
        planned_other: Length,
    }
}
section! {
    /// `[alerts]`
    AlertSettings { alertmanagers: Vec<String>, resend_every: Length, external_url: String, watchdog: String, }
}

/// What moves event time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Clock {
    /// This machine's clock, once a second.
    Wall,
    /// The data's own times.
    Telemetry,
}

/// What happens to metrics that no mapping knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Unmapped {
    /// Stored under their own name.
    Keep,
    /// Only counted.
    Count,
}

/// When a sender gets its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Durability {
    /// After fdatasync.
    Synced,
    /// At once; nothing survives a crash.
    Memory,
}

impl Settings {
    /// The settings that hold: default, then `file`, then `environment`, then `flags` (`section.key=value`).
    ///
    /// # Errors
    /// Names the file, variable or flag, the key, and the nearest known key.
    pub fn load(
        file: Option<&Path>,
        environment: impl Iterator<Item = (String, String)>,
        flags: &[String],
    ) -> Result<Self, SettingsError> {
        let mut table: toml::Table =
            DEFAULT.parse().expect("the compiled-in settings are valid; a test says so");
        if let Some(path) = file {
            let origin = path.display().to_string();
            let text = std::fs::read_to_string(path)
                .map_err(|error| SettingsError::new(&origin, format!("cannot be read: {error}")))?;
            let given: toml::Table = text.parse().map_err(|error: toml::de::Error| {
                let line = error.span().map_or(0, |span| line_of(&text, span.start));
                SettingsError::new(format!("{origin}:{line}"), error.message().trim().to_owned())
            })?;
            for (section, keys) in given {
                let at = |key: &str| format!("{origin}:{}", line_of_key(&text, &section, key));
                let toml::Value::Table(keys) = keys else {
                    return Err(SettingsError::new(
                        at(""),
                        format!("{section:?} is a section: write [{section}] and its keys below"),
                    ));
                };
                for (key, value) in keys {
                    set(&mut table, &section, &key, value)
                        .map_err(|message| SettingsError::new(at(&key), message))?;
                }
            }
        }
        let mut variables: Vec<_> = environment
            .filter(|(name, _)| name.starts_with("THERMOGATE_") && !NOT_SETTINGS.contains(&name.as_str()))
            .collect();
        variables.sort();
        for (name, value) in variables {
            let (section, key) = key_of_variable(&table, &name).ok_or_else(|| {
                let known: Vec<String> =
                    leaves(&table).map(|(section, key)| variable(section, key)).collect();
                let near = nearest(&name, known.iter().map(String::as_str))
                    .map_or_else(String::new, |near| format!("; did you mean {near}?"));
                SettingsError::new(format!("environment variable {name}"), format!("is no setting{near}"))
            })?;
            set_text(&mut table, &section, &key, &value)
                .map_err(|message| SettingsError::new(format!("environment variable {name}"), message))?;
        }
        for flag in flags {
            let origin = format!("--set {flag}");
            let (path, value) =
                flag.split_once('=').ok_or_else(|| SettingsError::new(&origin, "write section.key=value"))?;
            let (section, key) =
                path.split_once('.').ok_or_else(|| SettingsError::new(&origin, "write section.key=value"))?;
            set_text(&mut table, section, key, value)
                .map_err(|message| SettingsError::new(&origin, message))?;
        }
        let settings: Self = toml::Value::Table(table).try_into().map_err(|error: toml::de::Error| {
            SettingsError::new("settings", error.to_string().trim().replace('\n', " "))
        })?;
        Ok(settings)
    }

    /// Where the Delta tables are.
    pub fn store_url(&self) -> String {
        if self.data.store.is_empty() {
            self.data.folder.join("store").display().to_string()
        } else {
            self.data.store.clone()
        }
    }

    /// Planned length of a run of this stage.
    pub fn planned(&self, stage: &str) -> Microseconds {
        match stage {
            "smoke" => self.runs.planned_smoke.0,
            "canary" => self.runs.planned_canary.0,
            "rehearsal" => self.runs.planned_rehearsal.0,
            "soak" => self.runs.planned_soak.0,
            _ => self.runs.planned_other.0,
        }
    }
}

/// Every key with its section.
fn leaves(table: &toml::Table) -> impl Iterator<Item = (&str, &str)> {
    table.iter().flat_map(|(section, keys)| {
        keys.as_table().into_iter().flatten().map(move |(key, _)| (section.as_str(), key.as_str()))
    })
}

fn variable(section: &str, key: &str) -> String {
    format!("THERMOGATE_{}_{}", section.to_uppercase(), key.to_uppercase())
}

fn key_of_variable(table: &toml::Table, name: &str) -> Option<(String, String)> {
    leaves(table)
        .find(|(section, key)| variable(section, key) == name)
        .map(|(section, key)| (section.to_owned(), key.to_owned()))
}

/// Sets a key that the default has, to a value of the same kind.
fn set(table: &mut toml::Table, section: &str, key: &str, value: toml::Value) -> Result<(), String> {
    let known: Vec<String> = leaves(table).map(|(section, key)| format!("{section}.{key}")).collect();
    let path = format!("{section}.{key}");
    let place = table
        .get_mut(section)
        .and_then(toml::Value::as_table_mut)
        .and_then(|keys| keys.get_mut(key))
        .ok_or_else(|| {
            let near = nearest(&path, known.iter().map(String::as_str));
            let near = near.map_or_else(String::new, |near| format!("; did you mean `{near}`?"));
            format!("unknown key `{path}`{near}")
        })?;
    if !place.same_type(&value) {
        return Err(format!(
            "`{path}` is {} `{value}`: give {} such as `{place}`",
            article(&value),
            article(place)
        ));
    }
    let least = i64::from(!MAY_BE_ZERO.contains(&path.as_str()));
    if let Some(number) = value.as_integer().filter(|number| *number < least) {
        return Err(format!("`{path}` is {number}: give {least} or more, such as `{place}`"));
    }
    let before = std::mem::replace(place, value);
    // The whole is read again for each key, so that what is wrong is told with the key's file and line.
    let read: Result<Settings, toml::de::Error> = toml::Value::Table(table.clone()).try_into();
    read.map(|_| ()).map_err(|error| format!("`{path}`: {}; such as `{before}`", error.message().trim()))
}

/// The same from text, where the default tells the kind: `a,b` for a list, bare text for text.
fn set_text(table: &mut toml::Table, section: &str, key: &str, text: &str) -> Result<(), String> {
    let value = match table.get(section).and_then(|keys| keys.get(key)) {
        Some(toml::Value::Array(_)) => toml::Value::Array(
            text.split(',')
                .filter(|item| !item.is_empty())
                .map(|item| toml::Value::String(item.trim().to_owned()))
                .collect(),
        ),
        Some(toml::Value::Integer(_)) => {
            text.parse().map(toml::Value::Integer).unwrap_or_else(|_| toml::Value::String(text.to_owned()))
        }
        Some(toml::Value::Boolean(_)) => {
            text.parse().map(toml::Value::Boolean).unwrap_or_else(|_| toml::Value::String(text.to_owned()))
        }
        _ => toml::Value::String(text.to_owned()),
    };
    set(table, section, key, value)
}

fn article(value: &toml::Value) -> String {
    let kind = value.type_str();
    format!("{} {kind}", if kind.starts_with(['a', 'i']) { "an" } else { "a" })
}

fn line_of(text: &str, offset: usize) -> usize {
    text[..offset.min(text.len())].matches('\n').count() + 1
}

/// The line of a key in its section: TOML tables keep no positions.
fn line_of_key(text: &str, section: &str, key: &str) -> usize {
    let mut inside = false;
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.starts_with('[') {
            inside = line.trim_matches(['[', ']']) == section;
            if inside && key.is_empty() {
                return index + 1;
            }
        } else if inside && line.split('=').next().is_some_and(|name| name.trim() == key) {
            return index + 1;
        }
    }
    1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> String {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("t.toml");
        std::fs::write(&path, text).unwrap();
        let message = Settings::load(Some(&path), std::iter::empty(), &[]).unwrap_err().to_string();
        message.split_once("t.toml").unwrap().1.to_owned()
    }

    #[test]
    fn the_compiled_in_file_is_complete_and_valid() {
        let settings = Settings::load(None, std::iter::empty(), &[]).unwrap();
        assert_eq!(settings.clock.allowed_lateness.0, Microseconds::from_seconds(30));
    }

    #[test]
    fn an_unknown_key_is_refused_with_its_line_and_the_nearest_one() {
        assert_eq!(
            refused("[listen]\nhtpp = \"127.0.0.1:1\"\n"),
            ":2: unknown key `listen.htpp`; did you mean `listen.http`?"
        );
    }

    #[test]
    fn a_value_of_another_kind_is_refused_with_an_example() {
        assert_eq!(
            refused("[query]\nrows_max = \"many\"\n"),
            ":2: `query.rows_max` is a string `\"many\"`: give an integer such as `1000000`"
        );
    }

    #[test]
    fn a_value_that_cannot_be_is_refused_with_its_line() {
        for (text, expected) in [
            ("[query]\nrows_max = -1\n", ":2: `query.rows_max` is -1: give 1 or more, such as `1000000`"),
            (
                "[ingest]\nqueue_bytes_max = 0\n",
                ":2: `ingest.queue_bytes_max` is 0: give 1 or more, such as `67108864`",
            ),
            (
                "[history]\nretention_samples_days = -1\n",
                ":2: `history.retention_samples_days` is -1: give 0 or more, such as `90`",
            ),
            (
                "[clock]\nkind = \"moon\"\n",
                ":2: `clock.kind`: unknown variant `moon`, expected `wall` or `telemetry`; such as `\"wall\"`",
            ),
            (
                "[listen]\nhttp = \"here\"\n",
                ":2: `listen.http`: invalid socket address syntax; such as `\"127.0.0.1:8080\"`",
            ),
        ] {
            assert_eq!(refused(text), expected);
        }
        assert!(
            refused("[clock]\n\nallowed_lateness = \"30x\"\n")
                .starts_with(":3: `clock.allowed_lateness`: \"30x\" is not a length")
        );
    }

    #[test]
    fn what_clients_read_is_no_setting_of_the_service() {
        let environment = [("THERMOGATE_HTTP".to_owned(), "http://127.0.0.1:8080".to_owned())];
        assert!(Settings::load(None, environment.into_iter(), &[]).is_ok());
    }

    #[test]
    fn a_duplicate_key_is_refused_with_its_line() {
        assert!(refused("[site]\nname = \"a\"\nname = \"b\"\n").starts_with(":3: duplicate key"));
    }

    #[test]
    fn flags_win_over_environment_and_environment_over_the_file() {
        let environment = [("THERMOGATE_SITE_NAME", "env"), ("THERMOGATE_QUERY_ROWS_MAX", "7")];
        let environment = environment.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let flags = ["site.name=flag".to_owned()];
        let settings = Settings::load(None, environment.into_iter(), &flags).unwrap();
        assert_eq!((settings.site.name.as_str(), settings.query.rows_max), ("flag", 7));
    }

    #[test]
    fn an_unknown_variable_is_refused_with_the_nearest_one() {
        let environment = [("THERMOGATE_LISTEN_HTP".to_owned(), "x".to_owned())];
        let message = Settings::load(None, environment.into_iter(), &[]).unwrap_err().to_string();
        assert_eq!(
            message,
            "environment variable THERMOGATE_LISTEN_HTP: is no setting; did you mean THERMOGATE_LISTEN_HTTP?"
        );
    }
}
