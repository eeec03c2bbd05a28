//! Reads `transform: {kind: recoveryTime, …}`, as the documentation of [`crate::objective_document`] tells it.

use telemetry::expression::{Expression, KnownSignals};
use telemetry::unit::Unit;
use telemetry::{Microseconds, Name};

use super::fields::{Field, Fields};
use super::source::unit_of;
use crate::objective::{Band, BurstEdge, Step, Trigger};

/// The transform by itself; limit and target stand in the SLO.
pub struct RecoveryTransform {
    pub trigger: Trigger,
    pub from: BurstEdge,
    pub band: Band,
    pub hold: Microseconds,
}

/// How far the power moves in a burst, as a share of the rack's nominal power.
const SHARE_OF_NOMINAL: f64 = 0.1;
/// In how short a time a step is made, and how long a signal stays in its band.
const MINUTE: Microseconds = Microseconds::from_minutes(1);
/// How long a step has to last.
const DEBOUNCE: Microseconds = Microseconds::from_seconds(30);
/// Longest time of these three: a group remembers as much of its load.
const LONGEST: Microseconds = Microseconds::from_hours(1);

/// Reads the fields beside `kind`.
pub fn transform(fields: &Fields<'_>, known: &KnownSignals) -> Option<RecoveryTransform> {
    let from = fields.get("from").map_or(Some(BurstEdge::End), |field| {
        field.word(&[("burstEnd", BurstEdge::End), ("burstStart", BurstEdge::Start)])
    });
    let band = fields.require("band").and_then(|field| band(&field));
    let hold = length(fields, "hold", MINUTE).and_then(|length| not_zero(fields, "hold", length));
    let trigger = match fields.get("trigger") {
        Some(field) => trigger(&field, known),
        None => power(known),
    };
    Some(RecoveryTransform { trigger: trigger?, from: from?, band: band?, hold: hold? })
}

fn band(field: &Field<'_>) -> Option<Band> {
    let fields = field.fields()?;
    let (minimum, maximum) = (fields.given("min", Field::number), fields.given("max", Field::number));
    fields.close();
    match (minimum?, maximum?) {
        (None, None) => field.refuse("give `min` or `max`, or both, in the signal's unit"),
        (Some(minimum), Some(maximum)) if maximum <= minimum => {
            field.refuse(format!("no value lies between {minimum} and {maximum}: `min` is below `max`"))
        }
        (minimum, maximum) => Some(Band { minimum, maximum }),
    }
}

/// Steps of the rack's power, where the document names no trigger.
fn power(known: &KnownSignals) -> Option<Trigger> {
    let expression = Expression::parse("rack_power", known).ok()?;
    let step = Step::ShareOfNominal(SHARE_OF_NOMINAL);
    let unit: Name = expression.unit().symbol().into();
    Some(Trigger { expression, unit, step, within: MINUTE, debounce: DEBOUNCE })
}

fn trigger(field: &Field<'_>, known: &KnownSignals) -> Option<Trigger> {
    let fields = field.fields()?;
    let text = fields.require("signal").and_then(|field| Some((field.text()?, field)));
    let unit = fields.given("unit", |field| unit_of(field));
    let amount = fields.given("step", more_than_nothing);
    let share = fields.given("shareOfNominal", more_than_nothing);
    let within = length(&fields, "within", MINUTE).and_then(|length| not_zero(&fields, "within", length));
    let debounce = length(&fields, "debounce", DEBOUNCE);
    fields.close();
    let ((text, text_field), unit) = (text?, unit?);
    let expression = match Expression::parse(text, known) {
        Ok(expression) => expression,
        Err(error) => return text_field.refuse(error),
    };
    let measured = expression.unit();
    let (unit, name) = unit.unwrap_or_else(|| (measured, measured.symbol().into()));
    let Ok(expression) = expression.in_unit(unit) else {
        return field.refuse(format!("{text:?} is measured in {measured}, which cannot be told in {unit}"));
    };
    let step = match (amount?, share?) {
        (Some(amount), None) => Step::Amount(amount),
        (None, Some(_)) if unit != Unit::KILOWATTS => {
            return field.refuse(format!(
                "`shareOfNominal` is a share of the rack's nominal power: {text:?} is told in {unit}, not in kW; give `step`"
            ));
        }
        (None, Some(share)) => Step::ShareOfNominal(share),
        (Some(_), Some(_)) => return field.refuse("give either `step` or `shareOfNominal`, not both"),
        (None, None) => {
            return field.refuse("give `step`, in the trigger's unit, or `shareOfNominal`, such as 0.1");
        }
    };
    Some(Trigger { expression, unit: name, step, within: within?, debounce: debounce? })
}

fn more_than_nothing(field: &Field<'_>) -> Option<f64> {
    match field.number()? {
        number if number > 0.0 => Some(number),
        number => {
            field.refuse(format!("{number} must be more than 0: it is how far the load moves, either way"))
        }
    }
}

fn length(fields: &Fields<'_>, name: &'static str, default: Microseconds) -> Option<Microseconds> {
    fields.get(name).map_or(Some(default), |field| match field.length()? {
        length if LONGEST < length => field.refuse(format!("{length} is longer than {LONGEST}")),
        length => Some(length),
    })
}

fn not_zero(fields: &Fields<'_>, name: &'static str, length: Microseconds) -> Option<Microseconds> {
    match length {
        Microseconds::ZERO => fields.get(name)?.refuse("must be longer than no time"),
        length => Some(length),
    }
}
