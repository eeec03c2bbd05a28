//! From a source's metric to a series of ours: which signal it is, in which unit, where.
//!
//! source metric (name, unit, labels) → row of the mapping → signal, unit, place → **resolved series**. Asked once
//! per new series; per sample only [`ReadingRules::judge`] runs.
//!
//! Order of search: rows of a user's documents before compiled-in ones, both before a metric that is simply named
//! as a signal; the name as it comes before the name without a unit suffix (`_celsius`, `_seconds_total`). Names and
//! labels are compared with `.` read as `_`, so that `hw.sensor_location` and `hw_sensor_location` are one.

mod built_in; // rows of dcgm-exporter, OpenTelemetry, Redfish, DSX, other exporters
mod document; // reading what users write
mod file; // mappings as users write them
mod labels; // labels of a metric, and the place they tell
mod resolver; // the search itself
mod row; // one row, and when two rows match one point
mod series; // what a resolved series is, and what is known of each reading

use std::collections::BTreeMap;

use crate::document::{DocumentError, nearest};
use crate::record::{Document, Feed};
use crate::signal::{self, Level, SIGNALS, SignalKind, Span};
use crate::unit::Unit;
use crate::{Microseconds, Name};

pub use resolver::Resolver;
pub use row::{Condition, Reading, Row, Target};
pub use series::{ReadingRules, ResolvedSeries, reading_of_text};

/// What a source says about one series.
#[derive(Debug, Clone, Copy)]
pub struct SourceMetric<'a> {
    /// How it came: `remote_write`, `otlp`, `flight`, `file`, `dsx_bms`.
    pub source: &'a str,
    /// The metric's name, as the source spells it.
    pub name: &'a str,
    /// The unit, where the source names one; empty counts as none.
    pub unit: Option<&'a str>,
    /// Labels or attributes, in any order.
    pub labels: &'a [(&'a str, &'a str)],
}

/// What becomes of a series.
#[derive(Debug, Clone, PartialEq)]
pub enum Resolution {
    /// A signal that is known.
    Series(Box<ResolvedSeries>),
    /// No row and no signal of that name.
    Unmapped(Unmapped),
    /// The series cannot be what it says; its samples are not stored, and the sender is told.
    Refused(Refusal),
    /// Carries no reading; why.
    Ignored(Name),
}

/// What becomes of a metric that no mapping knows.
#[derive(Debug, Clone, PartialEq)]
pub enum Unmapped {
    /// Kept under its own name, without a rack, never judged.
    Keep(Box<ResolvedSeries>),
    /// Only counted.
    Count,
}

/// Why a series is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The unit measures something else than the signal.
    #[error(
        "{signal} ({name:?} of {source_name}) comes in {unit:?}, expected {expected:?}: set the source's unit, or map the metric with its own row and unit"
    )]
    UnitMismatch {
        /// The signal.
        signal: Name,
        /// The metric's name at its source.
        name: String,
        /// The source.
        source_name: String,
        /// The unit that it comes in.
        unit: String,
        /// The unit of the signal.
        expected: &'static str,
    },
    /// A unit that nobody knows.
    #[error(
        "{signal} ({name:?} of {source_name}) comes in the unknown unit {unit:?}{}: set the source's unit, or name it under units in a mapping",
        hint(near)
    )]
    UnknownUnit {
        /// The signal.
        signal: Name,
        /// The metric's name at its source.
        name: String,
        /// The source.
        source_name: String,
        /// The unit.
        unit: String,
        /// The most similar known one.
        near: Option<&'static str>,
    },
    /// The name says one unit, the source another.
    #[error(
        "{name:?} of {source_name} says {by_name:?} in its name and {unit:?} as its unit: mend one of them, or name the right one under units in a mapping"
    )]
    UnitContradiction {
        /// The metric's name at its source.
        name: String,
        /// The source.
        source_name: String,
        /// The unit that its name ends in.
        by_name: String,
        /// The unit that its source says.
        unit: String,
    },
}

fn hint(near: &Option<&'static str>) -> String {
    near.map(|near| format!(", did you mean {near:?}?")).unwrap_or_default()
}

/// What to do with metrics that no mapping knows.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum UnmappedPolicy {
    /// Store them under their own names.
    #[default]
    Keep,
    /// Only count them.
    Count,
}

/// Labels that tell two senders of one series apart and say nothing about it.
pub const REPLICA_LABELS: [&str; 2] = ["prometheus_replica", "__replica__"];

/// All rows, declared signals and sources in force.
#[derive(Debug, Clone, PartialEq)]
pub struct Mapping {
    /// A user's rows, by metric in its normal form.
    user: BTreeMap<Name, Vec<Row>>,
    /// Compiled-in rows.
    built_in: BTreeMap<Name, Vec<Row>>,
    declared: BTreeMap<Name, DeclaredSignal>,
    sources: Vec<Source>,
    units: BTreeMap<Name, Unit>,
    unmapped: UnmappedPolicy,
    replica_labels: Vec<Name>,
}

/// A signal that a mapping declares: it has no physics; objectives, the watch and SQL take it.
#[derive(Debug, Clone, PartialEq)]
pub struct DeclaredSignal {
    /// Its name.
    pub name: Name,
    /// The unit its readings are kept in.
    pub unit: Unit,
    /// What a working sensor can report; anything where there is none.
    pub span: Option<Span>,
    /// The usual range.
    pub usual: Option<Span>,
}

/// A sender with habits of its own.
#[derive(Debug, Clone, PartialEq)]
pub struct Source {
    /// Its name in tables and settings.
    pub name: Name,
    /// How it comes; any way when absent.
    pub protocol: Option<Name>,
    /// Which labels tell its series.
    pub conditions: Vec<(Name, Condition)>,
    /// How often it reports.
    pub feed: Feed,
    /// Times are rounded down to this grid before they are logged.
    pub scrape_grid: Option<Microseconds>,
}

/// What is measured, canonical or declared.
#[derive(Debug, Clone, PartialEq)]
struct Measured {
    name: Name,
    unit: Unit,
    span: Option<Span>,
    usual: Option<Span>,
    rack_usual: Option<Span>,
    kind: SignalKind,
    level: Level,
    other_unit: Option<&'static str>,
}

impl Default for Mapping {
    fn default() -> Self {
        Self::built_in()
    }
}

impl Mapping {
    /// Only what is compiled in.
    pub fn built_in() -> Self {
        let mut mapping = Self {
            user: BTreeMap::new(),
            built_in: BTreeMap::new(),
            declared: BTreeMap::new(),
            sources: Vec::new(),
            units: BTreeMap::new(),
            unmapped: UnmappedPolicy::default(),
            replica_labels: REPLICA_LABELS.iter().map(|label| (*label).into()).collect(),
        };
        for row in built_in::rows() {
            mapping.built_in.entry(row.metric.clone()).or_default().push(row);
        }
        mapping
    }

    /// What is compiled in, and a user's documents above it.
    ///
    /// # Errors
    /// All that is wrong with them, each with file and line: unknown fields, signals and units, two rows that match
    /// one point.
    pub fn with(documents: &[Document]) -> Result<Self, Vec<DocumentError>> {
        document::read(documents, Self::built_in())
    }

    /// The same, with another policy for metrics that no row knows, unless a document says one.
    pub fn or_unmapped(mut self, policy: UnmappedPolicy, documents: &[Document]) -> Self {
        if !documents.iter().any(document::says_unmapped) {
            self.unmapped = policy;
        }
        self
    }

    /// Adds a row above all others, as `--map COLUMN=SIGNAL[:UNIT]` does for a file.
    ///
    /// # Errors
    /// Says which name is unknown, and the nearest known one; or which row matches the same points.
    pub fn add_row(&mut self, row: Row) -> Result<(), String> {
        if let Some(signal) = row.signal().filter(|signal| self.measured(signal).is_none()) {
            return Err(self.unknown_signal(signal));
        }
        let rows = self.user.entry(row.metric.clone()).or_default();
        if let Some(other) = rows.iter().find(|other| other.overlaps(&row)) {
            return Err(format!(
                "{} and {} match the same points of {:?}: tell them apart by source or match",
                other.origin, row.origin, &*row.metric
            ));
        }
        rows.push(row);
        Ok(())
    }

    /// Declares a signal, as `signals:` in a document does. A canonical name cannot be declared again.
    ///
    /// # Errors
    /// When the name is canonical.
    pub fn declare(&mut self, declared: DeclaredSignal) -> Result<(), String> {
        if signal::find(&declared.name).is_some() {
            return Err(format!("{:?} is a canonical signal: declare another name", &*declared.name));
        }
        self.declared.insert(declared.name.clone(), declared);
        Ok(())
    }

    /// The unit of a canonical or declared signal.
    pub fn unit_of(&self, signal: &str) -> Option<Unit> {
        self.measured(signal).map(|measured| measured.unit)
    }

    /// Every signal that may be named: canonical ones, then declared ones.
    pub fn signal_names(&self) -> impl Iterator<Item = &str> {
        SIGNALS.iter().map(|signal| signal.name).chain(self.declared.keys().map(|name| &**name))
    }

    /// What to say about a signal that is neither canonical nor declared.
    pub fn unknown_signal(&self, name: &str) -> String {
        let near = nearest(name, self.signal_names());
        let hint = near.map(|near| format!("; did you mean {near:?}?")).unwrap_or_default();
        format!(
            "no signal is called {name:?}: use a canonical name, or declare it under signals in a mapping{hint}"
        )
    }

    /// Compiled-in rows, for documentation and tests.
    pub fn built_in_rows(&self) -> impl Iterator<Item = &Row> {
        self.built_in.values().flatten()
    }

    fn measured(&self, name: &str) -> Option<Measured> {
        if let Some(signal) = signal::find(name) {
            return Some(Measured {
                name: signal.name.into(),
                unit: signal.unit,
                span: Some(signal.span),
                usual: signal.usual_at(false),
                rack_usual: signal.usual_at(true),
                kind: signal.kind,
                level: signal.level,
                other_unit: signal.other_unit,
            });
        }
        self.declared.get(name).map(|declared| Measured {
            name: declared.name.clone(),
            unit: declared.unit,
            span: declared.span,
            usual: declared.usual,
            rack_usual: declared.usual,
            kind: SignalKind::Gauge,
            level: Level::Device,
            other_unit: None,
        })
    }

    /// The row that matches, of a user or compiled in; `name` in its normal form.
    fn row(&self, source: &str, source_name: &str, name: &str, labels: &labels::View<'_>) -> Option<&Row> {
        let matching = |rows: &BTreeMap<Name, Vec<Row>>| {
            rows.get(name)?.iter().position(|row| row.matches(source, source_name, labels))
        };
        match matching(&self.user) {
            Some(index) => self.user.get(name)?.get(index),
            None => self.built_in.get(name)?.get(matching(&self.built_in)?),
        }
    }
}
