//! Rows of tables that tell what people and gates did.
//!
//! log → **rows** → history

use serde::{Deserialize, Serialize};
use telemetry::alert::AlertTransition;
use telemetry::canonical_json;
use telemetry::drill::DrillFacts;
use telemetry::facts::{Ambient, Finding, Headroom, SustainablePower};
use telemetry::place::Place;
use telemetry::record::{Calibration, MaintenanceEvent, Override, PlaceEvent, VerdictRecord};
use telemetry::table::{Cell, Row, Table};
use telemetry::{EventTime, Microseconds, Name};

use crate::effect::Effect;
use crate::settling::{BurstNews, BurstOutcome};

fn row(table: Table, cells: Vec<Cell>) -> Effect {
    Effect::Row(Box::new(Row { table, cells }))
}

/// A record as it stands in table `log`, at the last tick.
pub(crate) fn log<T: Serialize>(kind: &str, tick: Option<EventTime>, body: &T) -> Effect {
    let time = tick.unwrap_or(EventTime::from_unix_micros(0));
    row(Table::Log, vec![Cell::from(kind), Cell::Time(time), Cell::Text(canonical_json(body).into())])
}

/// Ticks that follow each other at equal steps, as one row of table `log`.
#[derive(Debug, Default, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Ticks {
    /// First, last, and the step between two of them.
    run: Option<(EventTime, EventTime, Microseconds)>,
}

/// A row tells of no longer time, so that a crash of the whole machine loses little of it.
const TICKS_LONGEST: Microseconds = Microseconds::from_minutes(10);

impl Ticks {
    /// Takes the next tick. Returns the row of those before, when it does not go on from them or they are many.
    pub(crate) fn take(&mut self, tick: EventTime) -> Option<Effect> {
        let Some((first, last, step)) = self.run else {
            self.run = Some((tick, tick, Microseconds::ZERO));
            return None;
        };
        let goes_on = step == Microseconds::ZERO || tick - last == step;
        if goes_on && tick - first < TICKS_LONGEST {
            self.run = Some((first, tick, tick - last));
            return None;
        }
        self.run = Some((tick, tick, Microseconds::ZERO));
        let body = serde_json::json!({"first": first, "last": last, "step": step});
        Some(row(Table::Log, vec![Cell::from("tick"), Cell::Time(last), Cell::Text(body.to_string().into())]))
    }
}

/// `time`: when it takes effect.
pub(crate) fn calibration(calibration: &Calibration, time: EventTime) -> Effect {
    let place = &calibration.identity.place;
    row(
        Table::Calibrations,
        vec![
            Cell::from(&place.site),
            Cell::from(place.cooling_loop.as_ref()),
            Cell::from(place.rack.as_ref()),
            Cell::from(place.node.as_ref()),
            Cell::from(place.device.as_ref()),
            Cell::from(&calibration.identity.signal),
            Cell::from(calibration.identity.sensor.as_ref()),
            Cell::Time(time),
            Cell::from(&calibration.kind),
            Cell::from(calibration.value.filter(|value| value.is_finite())),
            Cell::from(calibration.by.as_str()),
            Cell::from(calibration.why.as_str()),
            Cell::from(calibration.reference.as_str()),
            Cell::from(&calibration.calibration),
        ],
    )
}

/// `time`: when it takes effect.
pub(crate) fn maintenance(event: &MaintenanceEvent, time: EventTime) -> Effect {
    row(
        Table::Maintenance,
        vec![
            Cell::from(&event.rack),
            Cell::Time(time),
            Cell::from(event.until),
            Cell::from(event.by.as_str()),
            Cell::from(event.why.as_str()),
            Cell::Boolean(event.until.is_none()),
        ],
    )
}

/// A step of a drill: its beginning, what it found, its result.
pub(crate) fn drill(drill: &DrillFacts) -> Row {
    let time = drill.ended.or(drill.detected).unwrap_or(drill.started);
    Row {
        table: Table::Drills,
        cells: vec![
            Cell::from(&drill.drill),
            Cell::from(&drill.class),
            Cell::from(&drill.place.site),
            Cell::from(drill.place.cooling_loop.as_ref()),
            Cell::from(drill.place.rack.as_ref()),
            Cell::Time(time),
            Cell::from(Some(drill.severity).filter(|severity| severity.is_finite())),
            Cell::Texts(drill.detectors.clone()),
            Cell::Time(drill.started),
            Cell::Time(drill.until),
            Cell::from(drill.ended),
            Cell::from(drill.detector.as_ref()),
            Cell::from(drill.detected),
            Cell::from(drill.alert_fired),
            Cell::from(drill.delay().map(Microseconds::as_seconds)),
            Cell::from(drill.state.name()),
            Cell::from(drill.missing.as_str()),
            Cell::from(drill.by.as_str()),
            Cell::from(drill.why.as_str()),
        ],
    }
}

/// A finding of a drill, as it begins or ends.
pub(crate) fn drill_finding(drill: &Name, finding: &Finding) -> Effect {
    let said = Said {
        drill,
        time: finding.ended.unwrap_or(finding.detected),
        kind: "finding",
        name: &finding.detector,
        place: finding.place.clone(),
        severity: Cell::from(finding.severity.name()),
        state: if finding.ended.is_some() { "ended" } else { "begun" },
        since: finding.onset,
        text: canonical_json(&finding.evidence),
    };
    Effect::Row(Box::new(said.row()))
}

/// An alert of a drill, which its label names.
pub(crate) fn drill_alert(transition: &AlertTransition) -> Row {
    let label = |name: &str| transition.labels.get(name).cloned();
    let said = Said {
        drill: &label("drill").unwrap_or_else(|| "".into()),
        time: transition.time,
        kind: "alert",
        name: &transition.alertname,
        place: Place {
            site: label("site").unwrap_or_else(|| "".into()),
            cooling_loop: label("loop"),
            rack: label("rack"),
            node: label("node"),
            device: label("device"),
        },
        severity: Cell::from(transition.labels.get("severity")),
        state: transition.to.name(),
        since: transition.since,
        text: transition.reason.clone(),
    };
    said.row()
}

/// What a drill made somebody say.
struct Said<'a> {
    drill: &'a Name,
    time: EventTime,
    kind: &'a str,
    name: &'a Name,
    place: Place,
    severity: Cell,
    state: &'a str,
    since: EventTime,
    text: String,
}

impl Said<'_> {
    fn row(self) -> Row {
        Row {
            table: Table::DrillEvents,
            cells: vec![
                Cell::from(self.drill),
                Cell::Time(self.time),
                Cell::from(self.kind),
                Cell::from(self.name),
                Cell::from(&self.place.site),
                Cell::from(self.place.cooling_loop.as_ref()),
                Cell::from(self.place.rack.as_ref()),
                Cell::from(self.place.node.as_ref()),
                Cell::from(self.place.device.as_ref()),
                self.severity,
                Cell::from(self.state),
                Cell::Time(self.since),
                Cell::from(self.text.as_str()),
            ],
        }
    }
}

pub(crate) fn given_override(given: &Override) -> Effect {
    row(
        Table::Overrides,
        vec![
            Cell::from(&given.evaluation),
            Cell::Time(given.time),
            Cell::Texts(given.checks.clone()),
            Cell::from(given.by.as_str()),
            Cell::from(given.why.as_str()),
            Cell::Time(given.until),
        ],
    )
}

pub(crate) fn verdict(verdict: &VerdictRecord) -> Effect {
    row(
        Table::Verdicts,
        vec![
            Cell::from(&verdict.evaluation),
            Cell::from(&verdict.policy),
            Cell::from(&verdict.policy_hash),
            Cell::Text(canonical_json(&verdict.racks).into()),
            Cell::from(verdict.run.as_ref()),
            Cell::from(&verdict.verdict),
            Cell::from(verdict.answer.as_str()),
            Cell::from(verdict.facts.as_str()),
            Cell::Time(verdict.watermark),
            Cell::from(verdict.wait_until),
            Cell::Time(verdict.time),
            Cell::from(&verdict.engine),
        ],
    )
}

pub(crate) fn event(event: &PlaceEvent) -> Effect {
    let place = &event.place;
    row(
        Table::Events,
        vec![
            Cell::from(&place.site),
            Cell::from(place.cooling_loop.as_ref()),
            Cell::from(place.rack.as_ref()),
            Cell::from(place.node.as_ref()),
            Cell::from(place.device.as_ref()),
            Cell::Time(event.time),
            Cell::from(&event.name),
            Cell::from(&event.old),
            Cell::from(&event.new),
            Cell::from(&event.source_name),
        ],
    )
}

/// What has become of a burst of load, known at `time`.
pub(crate) fn recovery(objective: &Name, place: &Place, time: EventTime, burst: &BurstNews) -> Effect {
    let (outcome, length) = match burst.what {
        BurstOutcome::Within(length) => ("within", Some(length)),
        BurstOutcome::Late(length) => ("late", Some(length)),
        BurstOutcome::LateSettled(length) => ("late_settled", Some(length)),
        BurstOutcome::Censored => ("censored", None),
        BurstOutcome::Unknown => ("unknown", None),
    };
    let cells = vec![
        Cell::from(objective),
        Cell::from(place.cooling_loop.as_ref()),
        Cell::from(place.rack.as_ref()),
        Cell::Time(time),
        Cell::Time(burst.from),
        Cell::from(outcome),
        Cell::from(length.map(Microseconds::as_seconds)),
    ];
    row(Table::Recoveries, cells)
}

/// What a rack can sustain: each limit under both ambients. One that is known has three rows, of which each says with
/// which confidence the limit is at least its value.
pub(crate) fn headroom(rack: &Name, headroom: &Headroom) -> Vec<Effect> {
    let mut rows = Vec::new();
    for ambient in Ambient::ALL {
        for limit in headroom.at(ambient) {
            let mut add = |value: Cell, confidence: Cell| {
                let name = format!("{}/{}", ambient.name(), limit.constraint.name());
                let cells = vec![
                    Cell::from(rack),
                    Cell::Time(headroom.time),
                    Cell::Text(name.into()),
                    value,
                    Cell::from("kW"),
                    confidence,
                ];
                rows.push(row(Table::Headroom, cells));
            };
            match &limit.power {
                SustainablePower::Known(power) => {
                    let of = [(power.lower, 0.95), (power.kilowatts, 0.5), (power.upper, 0.05)];
                    of.into_iter().for_each(|(value, confidence)| add(value.into(), confidence.into()));
                }
                SustainablePower::Unknown { .. } => add(Cell::Null, Cell::Number(0.0)),
                SustainablePower::NotApplicable { .. } => add(Cell::Null, Cell::Null),
            }
        }
    }
    rows
}
