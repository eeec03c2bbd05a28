//! Reads `kind: WatchGroup`, strictly, with all errors at once.
//!
//! ```yaml
//! apiVersion: thermogate.dev/v1alpha1
//! kind: WatchGroup
//! metadata: {name: pump-rig}
//! spec:
//!   signals:
//!     pump_vibration: {column: Vib_1}            # canonical, or declared in a mapping: nothing needs to be said
//!     motor_current: {unit: A, column: Current}  # any other is declared by its unit; span: [lowest, highest] if known
//!   alarm: state        # state (default): raised while it lasts; episode: the one row that it begins with
//!   step: 10            # readings of a signal that are judged together
//!   calibration: 25     # steps before anything is said, 25 at least
//! ```
//!
//! `column` is the signal's column in wide files, where it has another name.

use telemetry::Name;
use telemetry::document::{API_VERSION, DocumentError};
use telemetry::expression::KnownSignals;
use telemetry::record::Document;
use telemetry::signal::{self, Span};
use telemetry::unit::Unit;

use super::group::{AlarmKind, CALIBRATION_STEPS, STEP_READINGS, WatchGroup};
use crate::objective_document::fields::{Errors, Field, Fields};
use crate::objective_document::openslo::metadata;
use crate::objective_document::tree::{self, Key, Value};

/// Signals in a group, at most.
const SIGNALS_MAX: usize = 64;
/// Readings in a step, at most.
const STEP_READINGS_MAX: u32 = 1_000;
/// Steps in a calibration, at most.
const CALIBRATION_STEPS_MAX: u32 = 1_000;

/// What a document says.
#[derive(Debug, Clone, PartialEq)]
pub struct WatchDocument {
    /// The group.
    pub group: WatchGroup,
    /// Its signals that nobody knows without it.
    pub declared: Vec<Declared>,
    /// Columns of wide files and the signals in them.
    pub columns: Vec<(String, Name)>,
}

/// A signal that the document declares.
#[derive(Debug, Clone, PartialEq)]
pub struct Declared {
    /// Its name.
    pub name: Name,
    /// The unit that its readings are kept in.
    pub unit: Unit,
    /// What a working sensor can report.
    pub span: Option<Span>,
}

impl WatchDocument {
    /// What it declares, as a mapping says it; `None` when it declares nothing. `name` is the document's.
    pub fn mapping(&self, name: &str) -> Option<Document> {
        if self.declared.is_empty() {
            return None;
        }
        let mut text = format!(
            "apiVersion: {API_VERSION}\nkind: Mapping\nmetadata: {{name: {}}}\nsignals:\n",
            self.group.name
        );
        for declared in &self.declared {
            let span = declared
                .span
                .map_or_else(String::new, |span| format!(", span: [{:?}, {:?}]", span.lowest, span.highest));
            text.push_str(&format!(
                "  {:?}: {{unit: {:?}{span}}}\n",
                &*declared.name,
                declared.unit.symbol()
            ));
        }
        Some(Document { name: name.to_owned(), text })
    }
}

/// Reads the one group of a document.
///
/// - `known`: canonical signals, and those that mappings declare.
///
/// # Errors
/// All that is wrong with it: file, line, field, reason.
pub fn read(document: &Document, known: &KnownSignals) -> Result<WatchDocument, Vec<DocumentError>> {
    let objects = tree::objects(document).map_err(|error| vec![error])?;
    let errors = Errors::of(document);
    let read = match objects.as_slice() {
        [object] => Fields::of(object, &errors).and_then(|fields| group(&fields, &errors, known)),
        objects => {
            errors.refuse(
                1,
                format!("one WatchGroup is expected, found {}: give each a file of its own", objects.len()),
            );
            None
        }
    };
    let refused = errors.into_list();
    match read {
        Some(read) if refused.is_empty() => Ok(read),
        Some(_) | None => Err(refused),
    }
}

/// Reads the groups among documents of several kinds; others are passed over.
///
/// # Errors
/// All that is wrong with them, and two groups of one name.
pub fn read_all(
    documents: &[Document],
    known: &KnownSignals,
) -> Result<Vec<WatchDocument>, Vec<DocumentError>> {
    let (mut found, mut refused): (Vec<WatchDocument>, Vec<DocumentError>) = (Vec::new(), Vec::new());
    for document in documents.iter().filter(|document| is_watch_group(document)) {
        match read(document, known) {
            Ok(read) if found.iter().any(|first| first.group.name == read.group.name) => {
                let message = format!(
                    "WatchGroup {}: a second one of this name: give it another one, findings are told by it",
                    read.group.name
                );
                refused.push(DocumentError::new(document, Some(1), message));
            }
            Ok(read) => found.push(read),
            Err(errors) => refused.extend(errors),
        }
    }
    if refused.is_empty() { Ok(found) } else { Err(refused) }
}

/// Whether a document holds a group. One that cannot be read at all is told of by whoever reads all kinds.
pub fn is_watch_group(document: &Document) -> bool {
    let is_of_kind = |node: &tree::Node| match &node.value {
        Value::Map(fields) => fields.iter().any(|(key, field)| {
            key.name == "kind" && matches!(&field.value, Value::Text(kind) if kind == "WatchGroup")
        }),
        Value::Nothing | Value::Truth(_) | Value::Number(_) | Value::Text(_) | Value::List(_) => false,
    };
    tree::objects(document).is_ok_and(|objects| objects.iter().any(is_of_kind))
}

fn group(fields: &Fields<'_>, errors: &Errors<'_>, known: &KnownSignals) -> Option<WatchDocument> {
    let version = fields.require("apiVersion").and_then(|field| field.word(&[(API_VERSION, ())]));
    let kind = fields.require("kind").and_then(|field| field.word(&[("WatchGroup", ())]));
    let name = metadata(fields).map(|metadata| metadata.name);
    if let Some(name) = name {
        errors.about(format!("WatchGroup {name}"));
    }
    let spec = fields.require("spec").and_then(|field| field.fields());
    fields.close();
    let spec = spec?;
    let signals = spec.require("signals").and_then(|field| signals(&field, known));
    let alarm = spec
        .given("alarm", |field| field.word(&[("state", AlarmKind::State), ("episode", AlarmKind::Episode)]));
    let step = spec.given("step", |field| count(field, "readings", 2, STEP_READINGS_MAX));
    let calibration =
        spec.given("calibration", |field| count(field, "steps", CALIBRATION_STEPS, CALIBRATION_STEPS_MAX));
    spec.close();
    let ((), (), signals) = (version?, kind?, signals?);
    let group = WatchGroup {
        name: name?.into(),
        signals: signals.iter().map(|signal| signal.name.clone()).collect(),
        alarm: alarm?.unwrap_or(AlarmKind::State),
        step_readings: step?.unwrap_or(STEP_READINGS),
        calibration_steps: calibration?.unwrap_or(CALIBRATION_STEPS),
    };
    let columns =
        signals.iter().filter_map(|signal| Some((signal.column.clone()?, signal.name.clone()))).collect();
    let declared = signals.into_iter().filter_map(|signal| signal.declared).collect();
    Some(WatchDocument { group, declared, columns })
}

/// A signal as written.
struct WrittenSignal {
    name: Name,
    column: Option<String>,
    declared: Option<Declared>,
}

/// The signals by name, whatever their order in the document.
fn signals(field: &Field<'_>, known: &KnownSignals) -> Option<Vec<WrittenSignal>> {
    let fields = field.fields()?;
    let written: Vec<Option<WrittenSignal>> =
        fields.all().map(|(key, field)| signal(key, &field, known)).collect();
    match written.len() {
        0 => return field.refuse("one signal at least is needed"),
        found if found > SIGNALS_MAX => {
            return field.refuse(format!("has {found} signals: at most {SIGNALS_MAX} are watched together"));
        }
        _ => {}
    }
    let mut signals = written.into_iter().collect::<Option<Vec<_>>>()?;
    signals.sort_by(|one, other| one.name.cmp(&other.name));
    let mut columns: Vec<&str> = signals.iter().filter_map(|signal| signal.column.as_deref()).collect();
    columns.sort_unstable();
    if let Some(twice) = columns.windows(2).find(|pair| pair[0] == pair[1]) {
        return field.refuse(format!("column {:?} is given to two signals: give it to one", twice[0]));
    }
    Some(signals)
}

fn signal(key: &Key, field: &Field<'_>, known: &KnownSignals) -> Option<WrittenSignal> {
    let name: Name = key.name.as_str().into();
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '_';
    if !key.name.chars().all(fits) || key.name.starts_with(|c: char| c.is_ascii_digit()) {
        return field
            .refuse("is no name of a signal: use letters, digits and _, and name its column with `column`");
    }
    let (unit, span, column) = match field.value() {
        Value::Nothing => (None, None, None),
        Value::Truth(_) | Value::Number(_) | Value::Text(_) | Value::List(_) | Value::Map(_) => {
            let fields = field.fields()?;
            let unit = fields.given("unit", unit);
            let span = fields.given("span", |field| match field.value() {
                Value::Nothing => Some(None),
                Value::Truth(_) | Value::Number(_) | Value::Text(_) | Value::List(_) | Value::Map(_) => {
                    span(field).map(Some)
                }
            });
            let column = fields.given("column", |field| field.text().map(str::to_owned));
            fields.close();
            (unit?, span?.flatten(), column?)
        }
    };
    let declared = match (known.get(&name), unit) {
        (Some(_), None) if span.is_none() => None,
        // A mapping, or another group, may declare the same.
        (Some(declared), Some(unit)) if signal::find(&name).is_none() && declared.unit == unit => None,
        (Some(signal), None | Some(_)) => {
            let unit = signal.unit;
            return field
                .refuse(format!("{:?} is known and kept in {unit}: leave out unit and span", &*name));
        }
        (None, Some(unit)) => Some(Declared { name: name.clone(), unit, span }),
        (None, None) => {
            let near =
                signal::nearest(&name).map_or_else(String::new, |near| format!("; did you mean {near:?}?"));
            return field.refuse(format!(
                "no signal is called {:?}: declare it with its unit, such as {{unit: A}} or {{unit: \"1\"}}{near}",
                &*name
            ));
        }
    };
    Some(WrittenSignal { name, column, declared })
}

fn unit(field: &Field<'_>) -> Option<Unit> {
    let text = field.text()?;
    let unit = Unit::parse(text);
    if unit.is_none() {
        let near = Unit::nearest(text).map_or_else(String::new, |near| format!("; did you mean {near:?}?"));
        return field.refuse(format!(
            "unit {text:?} is unknown: write a UCUM symbol, or \"1\" for a plain number{near}"
        ));
    }
    unit
}

fn span(field: &Field<'_>) -> Option<Span> {
    let ends: Vec<f64> = field.list()?.iter().map(Field::number).collect::<Option<_>>()?;
    match ends[..] {
        [lowest, highest] if lowest < highest => Some(Span::new(lowest, highest)),
        _ => field.refuse("is no range: write [lowest, highest], or leave it out"),
    }
}

/// A whole number within limits.
fn count(field: &Field<'_>, what: &str, lowest: u32, highest: u32) -> Option<u32> {
    match field.number()? {
        number
            if (f64::from(lowest)..=f64::from(highest)).contains(&number)
                && number == libm::trunc(number) =>
        {
            Some(number as u32)
        }
        number => field
            .refuse(format!("{number} is no number of {what}: give a whole one from {lowest} to {highest}")),
    }
}
