//! All that the evaluator asks of the world: rows, alerts, facts, counts. The caller performs them, in order.
//!
//! records → evaluator → **effects** → `history`, `alerts`, `gate`

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::json;
use telemetry::alert::AlertTransition;
use telemetry::drill::DrillFacts;
use telemetry::facts::{Finding, ObjectiveStatus, Outcome, RackFacts, Scope};
use telemetry::record::Fate;
use telemetry::table::{Block, Cell, Row, Table};
use telemetry::{EventTime, Labels, Microseconds, Name, canonical_json};

use crate::rows;

/// Effects of the records applied since the caller last cleared it.
#[derive(Debug, Default, Clone, PartialEq)]
pub struct Effects {
    /// In order.
    pub list: Vec<Effect>,
    /// What became of each reading of the `Samples` records, in their order.
    pub fates: Vec<Fate>,
}

impl Effects {
    /// Forgets all, and keeps the memory.
    pub fn clear(&mut self) {
        self.list.clear();
        self.fates.clear();
    }

    /// Adds those of others, which come after these.
    pub(crate) fn append(&mut self, mut others: Self) {
        self.list.append(&mut others.list);
        self.fates.append(&mut others.fates);
    }

    pub(crate) fn push(&mut self, effect: Effect) {
        self.list.push(effect);
    }

    pub(crate) fn extend(&mut self, effects: impl IntoIterator<Item = Effect>) {
        self.list.extend(effects);
    }

    /// Counts, unless there is nothing to count.
    pub(crate) fn count(&mut self, counter: Counter, by: u64) {
        if by > 0 {
            self.list.push(Effect::Count { counter, by });
        }
    }
}

/// One thing to do.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// State of an objective: at each change of its outcome, every 60 s of event time, and once final.
    Status(Box<StatusRow>),
    /// A series' closed block.
    Block(Block),
    /// An anomaly: once when it is detected and again, with its end, when it is over.
    Finding(Box<Finding>),
    /// An alert changed its state.
    Alert(Box<AlertTransition>),
    /// Gates may see this view of a rack, or of a loop.
    Publish(Arc<RackFacts>),
    /// A drill began, was found, or came to its result.
    Drill(Box<DrillFacts>),
    /// An alert of a drill changed its state: Alertmanager is to see it, with its label `drill`, and nobody is to take
    /// it for one of the rack.
    DrillAlert(Box<AlertTransition>),
    /// What is known of the racks of a drill's copy when the drill has come to its result: what a gate would see if the
    /// fault was real. Never to be taken for facts of the racks themselves.
    DrillCopy {
        /// The drill.
        drill: Name,
        /// Of its racks, then of its loop.
        facts: Vec<Arc<RackFacts>>,
    },
    /// A row that is none of the above: runs, events, overrides, verdicts, calibrations, maintenance, log.
    Row(Box<Row>),
    /// Add to a counter.
    Count {
        /// Which.
        counter: Counter,
        /// How much.
        by: u64,
    },
}

/// State of an objective at a moment.
#[derive(Debug, Clone, PartialEq)]
pub struct StatusRow {
    /// The state.
    pub status: ObjectiveStatus,
    /// Event time that it is true for.
    pub time: EventTime,
    /// Hash of the configuration in force.
    pub configuration: Name,
}

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Counter {
    /// Readings that were judged or will be.
    Judged,
    /// Readings behind the watermark: stored, not judged.
    Late,
    /// Repeats with an equal value.
    Duplicate,
    /// Repeats with another value; the first stays.
    Conflict,
    /// Readings set aside with a flag.
    SetAside,
    /// Readings of a series that was never declared: our bug or a torn log; set aside.
    Undeclared,
    /// Ticks that would have gone back; time holds still.
    TickBack,
    /// Configurations that did not parse; the one before stays in force.
    ConfigurationRefused,
    /// Objectives that could not be built, such as an inline limit on an unknown signal.
    ObjectiveRefused,
    /// Run events that do not fit the runs known: a second start on a busy rack, an end of a run that is over.
    RunRefused,
    /// Gaps of feeds.
    Gap,
    /// Blocks on which no residual could be told, because its gate was closed.
    Gated,
}

impl Counter {
    /// The word in metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Judged => "judged",
            Self::Late => "late",
            Self::Duplicate => "duplicate",
            Self::Conflict => "conflict",
            Self::SetAside => "set_aside",
            Self::Undeclared => "undeclared_series",
            Self::TickBack => "tick_back",
            Self::ConfigurationRefused => "configuration_refused",
            Self::ObjectiveRefused => "objective_refused",
            Self::RunRefused => "run_refused",
            Self::Gap => "gap",
            Self::Gated => "gated",
        }
    }
}

impl Effect {
    /// The history's row of it. Blocks have a form of their own ([`Block`]); facts and counts have none.
    pub fn row(&self) -> Option<Row> {
        match self {
            Self::Status(row) => Some(status_row(row)),
            Self::Finding(finding) => Some(finding_row(finding)),
            Self::Alert(transition) => Some(alert_row(transition)),
            Self::Row(row) => Some((**row).clone()),
            Self::Drill(drill) => Some(rows::drill(drill)),
            Self::DrillAlert(transition) => Some(rows::drill_alert(transition)),
            Self::Block(_) | Self::Publish(_) | Self::DrillCopy { .. } | Self::Count { .. } => None,
        }
    }
}

/// A number of a table that counts things.
fn integer(count: u64) -> Cell {
    Cell::Integer(i64::try_from(count).unwrap_or(i64::MAX))
}

fn seconds(length: Microseconds) -> Cell {
    Cell::Number(length.as_seconds())
}

/// `numerator / denominator`, null when nothing was asked.
fn share(numerator: Microseconds, denominator: Microseconds) -> Cell {
    match denominator.0 {
        0 => Cell::Null,
        _ => Cell::Number(numerator.0 as f64 / denominator.0 as f64),
    }
}

/// The word for an outcome in `slo_status`.
pub const fn state_name(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Ok => "PASS",
        Outcome::NotOk => "FAIL",
        Outcome::Unknown => "INCONCLUSIVE",
    }
}

/// The group of a status as JSON without its site: `{"rack":"r1"}`.
///
/// A rack's loop is left out, as it is of a rack's identity.
pub fn group_json(status: &ObjectiveStatus) -> String {
    let rack = status.place.rack.is_some();
    let levels: std::collections::BTreeMap<&str, &Name> =
        status.place.levels().filter(|(level, _)| *level != "site" && !(rack && *level == "loop")).collect();
    canonical_json(&levels)
}

/// Burn by window pair as JSON: `{"1h/5m":0.0}`; null while unknown.
pub fn burn_json(status: &ObjectiveStatus) -> String {
    let rates: serde_json::Map<String, serde_json::Value> = status
        .burn
        .iter()
        .map(|burn| (format!("{}/{}", burn.long, burn.short), json!(burn.burn_long)))
        .collect();
    serde_json::Value::Object(rates).to_string()
}

fn status_row(row: &StatusRow) -> Row {
    let status = &row.status;
    let time = status.time;
    let scope = match status.scope {
        Scope::Rolling => "rolling",
        Scope::Run => "run",
    };
    Row {
        table: Table::SloStatus,
        cells: vec![
            Cell::from(&status.objective),
            Cell::Text(group_json(status).into()),
            Cell::from(status.place.cooling_loop.as_ref()),
            Cell::from(status.place.rack.as_ref()),
            Cell::from(scope),
            Cell::from(status.run.as_ref()),
            Cell::Time(row.time),
            Cell::from(&status.window),
            seconds(time.good),
            seconds(time.bad),
            seconds(time.unknown),
            seconds(time.asked()),
            share(time.good, time.known()),
            share(time.good, time.asked()),
            share(time.good + time.unknown, time.asked()),
            share(time.known(), time.asked()),
            Cell::Text(burn_json(status).into()),
            Cell::from(status.budget_left),
            integer(status.episodes),
            seconds(status.longest_episode),
            Cell::from(state_name(status.outcome)),
            Cell::Time(status.since),
            Cell::Boolean(status.is_final),
            Cell::from(&row.configuration),
        ],
    }
}

fn finding_row(finding: &Finding) -> Row {
    let place = &finding.place;
    Row {
        table: Table::Findings,
        cells: vec![
            Cell::from(&finding.finding),
            Cell::from(&finding.detector),
            Cell::from(&place.site),
            Cell::from(place.cooling_loop.as_ref()),
            Cell::from(place.rack.as_ref()),
            Cell::from(place.node.as_ref()),
            Cell::from(place.device.as_ref()),
            Cell::from(finding.signal.as_ref()),
            Cell::from(finding.sensor.as_ref()),
            Cell::from(finding.severity.name()),
            Cell::Time(finding.onset),
            Cell::Time(finding.detected),
            Cell::from(finding.ended),
            Cell::from(finding.leading.as_ref()),
            Cell::from(finding.residual),
            Cell::from(finding.baseline),
            Cell::from(finding.threshold),
            Cell::from(&finding.unit),
            Cell::Number(finding.confidence),
            Cell::Text(finding.suggestion.as_str().into()),
            Cell::Text(canonical_json(&finding.evidence).into()),
        ],
    }
}

fn alert_row(transition: &AlertTransition) -> Row {
    let label = |name: &str| Cell::from(transition.labels.get(name));
    Row {
        table: Table::Alerts,
        cells: vec![
            Cell::from(&transition.alertname),
            Cell::Labels(Labels::clone(&transition.labels)),
            label("loop"),
            label("rack"),
            label("severity"),
            Cell::from(transition.to.name()),
            Cell::from(transition.from.name()),
            Cell::Time(transition.since),
            Cell::Time(transition.time),
            Cell::Text(transition.reason.as_str().into()),
        ],
    }
}
