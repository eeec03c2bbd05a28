//! Reads `kind: ObjectiveTest`.

use telemetry::alert::AlertState;
use telemetry::document::{DocumentError, nearest};
use telemetry::expression::KnownSignals;
use telemetry::facts::{Outcome, Scope};
use telemetry::place::Place;
use telemetry::record::Document;
use telemetry::signal::state_code;
use telemetry::unit::Scale;
use telemetry::{Microseconds, Name};

use crate::objective::Objective;
use crate::objective_document::fields::{Errors, Field, Fields};
use crate::objective_document::{openslo, tree};

/// Readings of one series in one test, at most.
const READINGS_MAX: usize = 1_000_000;

/// One test.
pub struct Test {
    pub name: String,
    pub interval: Microseconds,
    pub run: Option<TestRun>,
    pub series: Vec<TestSeries>,
    pub expectations: Vec<Expectation>,
}

/// A run, in time since the start of the test.
pub struct TestRun {
    pub stage: Name,
    pub planned: Microseconds,
    pub racks: Vec<Name>,
    pub start: Microseconds,
    pub end: Option<Microseconds>,
}

/// Readings of one sensor.
pub struct TestSeries {
    pub place: Place,
    pub signal: Name,
    pub sensor: Option<Name>,
    /// One an interval; `None` where nothing is sent.
    pub values: Vec<Option<f64>>,
}

/// What must be so at a time.
pub struct Expectation {
    pub line: u64,
    pub at: Microseconds,
    pub place: ExpectedPlace,
    pub what: Expected,
}

/// The levels that an expectation names; what it leaves out is not compared.
#[derive(Default)]
pub struct ExpectedPlace {
    pub levels: Vec<(&'static str, Name)>,
}

/// What is expected.
pub enum Expected {
    Objective {
        name: Name,
        scope: Scope,
        state: ExpectedState,
        bad_time: Option<Microseconds>,
        episodes: Option<u64>,
    },
    Alert {
        name: Name,
        severity: Option<Name>,
        state: AlertState,
    },
}

/// State of an objective.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ExpectedState {
    NotAsked,
    Is(Outcome),
    /// Unknown for this reason.
    Unknown(Name),
}

/// Reads all tests of a file.
pub fn read(document: &Document, known: &KnownSignals) -> Result<Vec<Test>, Vec<DocumentError>> {
    let objects = tree::objects(document).map_err(|error| vec![error])?;
    let errors = Errors::of(document);
    let tests = objects.iter().filter_map(|object| {
        errors.about("");
        let fields = Fields::of(object, &errors)?;
        fields.require("apiVersion");
        let kind = fields.require("kind")?.text()?;
        if kind != "ObjectiveTest" {
            return None;
        }
        errors.about(kind);
        let test = test(&fields, &errors, known);
        fields.close();
        test
    });
    let tests: Vec<Test> = tests.collect();
    match errors.into_list() {
        errors if errors.is_empty() => Ok(tests),
        errors => Err(errors),
    }
}

/// The expectations about objectives that the configuration does not have: a misspelt one must not pass as "not asked".
pub fn unknown_objectives(test: &Test, document: &Document, objectives: &[Objective]) -> Vec<DocumentError> {
    let unknown = test.expectations.iter().filter_map(|expectation| match &expectation.what {
        Expected::Objective { name, .. } if objectives.iter().all(|objective| objective.name != *name) => {
            let near = nearest(name, objectives.iter().map(|objective| &*objective.name));
            let near = near.map_or_else(String::new, |near| format!("; did you mean {near:?}?"));
            let message = format!("ObjectiveTest {}: there is no objective {name:?}{near}", test.name);
            Some(DocumentError::new(document, Some(expectation.line), message))
        }
        Expected::Objective { .. } | Expected::Alert { .. } => None,
    });
    unknown.collect()
}

fn test(fields: &Fields<'_>, errors: &Errors<'_>, known: &KnownSignals) -> Option<Test> {
    if let Some(version) = fields.get("apiVersion") {
        version.word(&[("thermogate.dev/v1alpha1", ())]);
    }
    let metadata = openslo::metadata(fields)?;
    errors.about(format!("ObjectiveTest {}", metadata.name));
    let spec = fields.require("spec")?.fields()?;
    let interval = spec.require("interval").and_then(|field| field.positive_length())?;
    let run = spec.given("run", test_run);
    let series = spec.require("series").and_then(|field| field.list());
    let series =
        series.map(|list| list.iter().map(|entry| test_series(entry, interval, known)).collect::<Vec<_>>());
    let expectations = spec.require("expect").and_then(|field| match field.list()? {
        list if list.is_empty() => {
            field.refuse("one expectation at least is needed: a test without one cannot fail")
        }
        list => Some(list.iter().map(expectation).collect::<Vec<_>>()),
    });
    spec.close();
    Some(Test {
        name: metadata.name.to_owned(),
        interval,
        run: run?,
        series: series?.into_iter().collect::<Option<_>>()?,
        expectations: expectations?.into_iter().collect::<Option<_>>()?,
    })
}

fn test_run(field: &Field<'_>) -> Option<TestRun> {
    let fields = field.fields()?;
    let stage = fields.require("stage").and_then(|field| field.text());
    let planned = fields.require("planned").and_then(|field| field.positive_length());
    let racks = fields.require("racks").and_then(|field| {
        field.list()?.iter().map(|rack| rack.text().map(Name::from)).collect::<Option<Vec<_>>>()
    });
    let start = fields.get("start").map_or(Some(Microseconds::ZERO), |field| field.length());
    let end = fields.given("end", Field::length);
    fields.close();
    Some(TestRun { stage: stage?.into(), planned: planned?, racks: racks?, start: start?, end: end? })
}

fn test_series(field: &Field<'_>, interval: Microseconds, known: &KnownSignals) -> Option<TestSeries> {
    let fields = field.fields()?;
    let signal = fields.require("signal").and_then(|field| {
        let name = field.text()?;
        match known.get(name) {
            Some(signal) => Some((name, signal.unit.scale() == Scale::Code)),
            None => {
                let near = nearest(name, known.names())
                    .map_or_else(String::new, |near| format!("; did you mean {near:?}?"));
                field
                    .refuse(format!("{name:?} is neither a canonical signal nor declared by a mapping{near}"))
            }
        }
    });
    let level = |name| fields.given(name, |field| field.text().map(Name::from));
    let (site, cooling_loop, rack) = (level("site"), level("loop"), level("rack"));
    let (node, device, sensor) = (level("node"), level("device"), level("sensor"));
    let values = fields.require("values");
    fields.close();
    let (signal, is_code) = signal?;
    let place = Place {
        site: site?.unwrap_or_else(|| "default".into()),
        cooling_loop: cooling_loop?,
        rack: rack?,
        node: node?,
        device: device?,
    };
    let values = values.and_then(|field| values_of(&field, interval, is_code))?;
    Some(TestSeries { place, signal: signal.into(), sensor: sensor?, values })
}

/// `44x10m 46 _x1m 44+0.5x2m okx5m`.
fn values_of(field: &Field<'_>, interval: Microseconds, is_code: bool) -> Option<Vec<Option<f64>>> {
    let mut values = Vec::new();
    for word in field.text()?.split_whitespace() {
        let (value, count) = match word.rsplit_once('x') {
            None => (word, 1),
            Some((value, length)) => match length.parse::<Microseconds>() {
                Ok(length) if length.0 > 0 && length.0 % interval.0 == 0 => {
                    (value, usize::try_from(length.0 / interval.0).unwrap_or(usize::MAX))
                }
                Ok(length) => {
                    return field.refuse(format!(
                        "{word:?}: {length} is not a whole number of intervals of {interval}"
                    ));
                }
                Err(message) => return field.refuse(format!("{word:?}: {message}")),
            },
        };
        if values.len().saturating_add(count) > READINGS_MAX {
            return field.refuse(format!("more than {READINGS_MAX} readings of one series"));
        }
        if value == "_" {
            values.extend(std::iter::repeat_n(None, count));
            continue;
        }
        let Some((first, step)) = first_and_step(value, is_code) else {
            return field.refuse(format!(
                "{word:?} is no reading: write 44, 44x10m, 44+0.5x2m or _x1m{}",
                if is_code { ", or a state such as okx5m" } else { "" }
            ));
        };
        values.extend((0..count).map(|index| Some(first + step * index as f64)));
    }
    match values.is_empty() {
        true => field.refuse("no readings: write such as 44x10m"),
        false => Some(values),
    }
}

/// `44`, `44+0.5`, `44-0.5`, `-3`, and words for states.
fn first_and_step(text: &str, is_code: bool) -> Option<(f64, f64)> {
    if let (true, Some(code)) = (is_code, state_code(text)) {
        return Some((code, 0.0));
    }
    let finite = |text: &str| text.parse::<f64>().ok().filter(|value| value.is_finite());
    let split = text.char_indices().skip(1).find(|(_, c)| *c == '+' || *c == '-').map(|(at, _)| at);
    match split {
        None => Some((finite(text)?, 0.0)),
        Some(at) => Some((finite(&text[..at])?, finite(&text[at..])?)),
    }
}

fn expectation(field: &Field<'_>) -> Option<Expectation> {
    let fields = field.fields()?;
    let at = fields.require("at").and_then(|field| field.length());
    let mut place = ExpectedPlace::default();
    for level in ["site", "loop", "rack", "node", "device"] {
        if let Some(name) = fields.get(level).and_then(|field| field.text()) {
            place.levels.push((level, name.into()));
        }
    }
    let what = match (fields.get("objective"), fields.get("alert")) {
        (Some(objective), None) => expected_objective(&objective, &fields),
        (None, Some(alert)) => expected_alert(&alert, &fields),
        (Some(_), Some(field)) => field.refuse("give either `objective` or `alert`, not both"),
        (None, None) => field.refuse("give `objective` or `alert`"),
    };
    fields.close();
    Some(Expectation { line: fields.line, at: at?, place, what: what? })
}

fn expected_objective(name: &Field<'_>, fields: &Fields<'_>) -> Option<Expected> {
    let scope = fields.get("scope").map_or(Some(Scope::Rolling), |field| {
        field.word(&[("rolling", Scope::Rolling), ("run", Scope::Run)])
    });
    let states = [
        ("ok", Some(Outcome::Ok)),
        ("notOk", Some(Outcome::NotOk)),
        ("unknown", Some(Outcome::Unknown)),
        ("notAsked", None),
    ];
    let state = fields.require("state").and_then(|field| field.word(&states));
    let reason = fields.given("reason", |field| field.text().map(Name::from));
    let bad_time = fields.given("badTime", Field::length);
    let episodes = fields.given("episodes", |field| match field.number()? {
        count if (0.0..1e9).contains(&count) && count == libm::trunc(count) => Some(count as u64),
        count => field.refuse(format!("{count} is no count")),
    });
    let state = match (state?, reason?) {
        (Some(Outcome::Unknown), Some(reason)) => ExpectedState::Unknown(reason),
        (Some(_) | None, Some(_)) => return name.refuse("`reason` belongs to the state unknown"),
        (Some(outcome), None) => ExpectedState::Is(outcome),
        (None, None) => ExpectedState::NotAsked,
    };
    let name = name.text()?.into();
    Some(Expected::Objective { name, scope: scope?, state, bad_time: bad_time?, episodes: episodes? })
}

fn expected_alert(name: &Field<'_>, fields: &Fields<'_>) -> Option<Expected> {
    const STATES: [AlertState; 6] = [
        AlertState::Inactive,
        AlertState::Pending,
        AlertState::Firing,
        AlertState::UnknownHold,
        AlertState::Resolved,
        AlertState::Suppressed,
    ];
    let severity = fields.given("severity", |field| field.word(&[("page", "page"), ("ticket", "ticket")]));
    let state =
        fields.require("state").and_then(|field| field.word(&STATES.map(|state| (state.name(), state))));
    Some(Expected::Alert { name: name.text()?.into(), severity: severity?.map(Name::from), state: state? })
}
