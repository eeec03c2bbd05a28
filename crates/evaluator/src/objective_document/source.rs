//! Our extension to OpenSLO: what stands in `metricSource.spec` of a source of `type: thermogate`, as the
//! documentation of [`crate::objective_document`] tells it.

use telemetry::expression::{Expression, KnownSignals, Reduction};
use telemetry::signal::{STATE_CRITICAL, STATE_OK, STATE_WARNING};
use telemetry::unit::{Scale, Unit};
use telemetry::{Microseconds, Name};

use super::fields::{Field, Fields};
use super::recovery_time::{self, RecoveryTransform};
use crate::objective::{Aggregation, AppliesTo, Episodes, Level, LoadValidity, Rollup};

/// `metricSource.spec`, read and checked by itself; the rest of the SLO is not known here.
pub struct Source {
    /// `None` for event rates, whose signals follow from the kind of episode.
    pub signal: Option<SourceSignal>,
    pub group_by: Level,
    pub rollup: Rollup,
    pub transform: Transform,
    pub slice: Microseconds,
    /// As written; the default depends on the signal.
    pub aggregation: Option<Aggregation>,
    pub validity: Option<LoadValidity>,
    pub maximum_staleness: Option<Microseconds>,
    pub warmup: Microseconds,
    pub minimum_coverage_ppm: u32,
    pub strict: bool,
    pub applies_to: AppliesTo,
}

/// What is measured.
pub struct SourceSignal {
    pub text: String,
    pub expression: Expression,
    /// UCUM symbol, or the product of units as written; empty for state codes.
    pub unit: Name,
}

/// What kind of promise it is.
pub enum Transform {
    /// As it is; or for how many seconds it has been above this, without a known pause.
    Value {
        above: Option<f64>,
    },
    Slope {
        window: Microseconds,
        time_to_threshold: Option<Microseconds>,
        rate_per_hour: Option<f64>,
    },
    EventRate {
        episodes: Episodes,
        merge_within: Microseconds,
        noise_floor: Microseconds,
    },
    HardLimit {
        noise_floor: Option<Microseconds>,
        equals: Option<f64>,
    },
    RecoveryTime(Box<RecoveryTransform>),
}

/// Reads `metricSource.spec`.
pub fn source(spec: &Fields<'_>, known: &KnownSignals) -> Option<Source> {
    spec.require("specVersion").and_then(|field| field.word(&[("v1alpha1", ())]));
    let hard_limit = spec.get("hardLimit");
    let transform = match (spec.get("transform"), &hard_limit) {
        (None, None) => Some((Transform::Value { above: None }, Written::AsItIs)),
        (None, Some(field)) => hard_limit_of(field).map(|it| (it, Written::AsItIs)),
        (Some(field), None) => transform(&field, known),
        (Some(_), Some(field)) => field.refuse("a hard limit has no `transform`: leave one of the two out"),
    };
    let (transform, written) = transform.map_or((None, Written::AsItIs), |(it, written)| (Some(it), written));
    let signal = match (&transform, spec.get("signal")) {
        (Some(Transform::EventRate { .. }), None) => Some(None),
        (Some(Transform::EventRate { .. }), Some(field)) => {
            field.refuse("episodes have their own signals: leave `signal` out")
        }
        (_, Some(field)) => signal(&field, written, known).map(Some),
        (_, None) => {
            spec.refuse("`signal` is missing: give {expr: ..., unit: ...}");
            None
        }
    };
    let group_by = spec.get("groupBy").map_or(Some(Level::Rack), |field| level(&field.only()?));
    let rollup = spec.get("rollup").map_or(Some(Rollup::Worst), |field| rollup(&field));
    let slice = slice(spec);
    let validity = validity(spec, known);
    let missing = missing_data(spec);
    let applies_to = spec.get("appliesTo").map_or(Some(AppliesTo::All), |field| {
        field.word(&[
            ("all", AppliesTo::All),
            ("declared", AppliesTo::Declared),
            ("undeclared", AppliesTo::Undeclared),
        ])
    });
    let (slice, aggregation) = slice?;
    let (validity, maximum_staleness, warmup) = validity?;
    let (minimum_coverage_ppm, strict) = missing?;
    Some(Source {
        signal: signal?,
        group_by: group_by?,
        rollup: rollup?,
        transform: transform?,
        slice,
        aggregation,
        validity,
        maximum_staleness,
        warmup,
        minimum_coverage_ppm,
        strict,
        applies_to: applies_to?,
    })
}

/// How the expression follows from what is written.
#[derive(Clone, Copy)]
enum Written {
    AsItIs,
    /// The difference between the highest and the lowest place of the group.
    Spread,
}

fn signal(field: &Field<'_>, written: Written, known: &KnownSignals) -> Option<SourceSignal> {
    let fields = field.fields()?;
    let text = fields.require("expr").and_then(|field| Some((field.text()?, field)));
    let unit = fields.get("unit");
    fields.close();
    let (text, field) = text?;
    let parse = |text: &str| Expression::parse(text, known);
    let (text, parsed) = match (written, parse(text)) {
        (Written::Spread, Ok(expression)) => {
            let Some(operand) = expression.as_operand().filter(|it| it.reduction == Reduction::Own) else {
                return field.refuse(format!(
                    "{text:?}: groupSpread is told of one signal; write the difference out instead, such as \
                     \"highest(gpu_temperature) - lowest(gpu_temperature)\""
                ));
            };
            let text = format!("highest({0}) - lowest({0})", operand.signal);
            let parsed = parse(&text);
            (text, parsed)
        }
        (Written::AsItIs | Written::Spread, parsed) => (text.to_owned(), parsed),
    };
    let expression = match parsed {
        Ok(expression) => expression,
        Err(error) => return field.refuse(error),
    };
    let measured = expression.unit();
    let (unit, name) = match (unit, measured.scale()) {
        (Some(field), Scale::Point | Scale::Amount) => unit_of(&field)?,
        (None, Scale::Code) => (measured, "".into()),
        (Some(unit), Scale::Code) => return unit.refuse("a state has no unit: leave `unit` out"),
        (None, Scale::Point | Scale::Amount) => {
            return field.refuse(format!("`unit` is missing: {text:?} is measured in {measured}"));
        }
    };
    match expression.in_unit(unit) {
        Ok(expression) => Some(SourceSignal { text, expression, unit: name }),
        Err(_) => field.refuse(format!(
            "{text:?} is measured in {measured}, which cannot be told in {unit}: set `unit` to {measured}"
        )),
    }
}

/// A unit and its name: the symbol, or for a product the text itself.
pub fn unit_of(field: &Field<'_>) -> Option<(Unit, Name)> {
    let text = field.text()?;
    match Unit::parse(text) {
        Some(unit) if unit.symbol().is_empty() => Some((unit, text.into())),
        Some(unit) => Some((unit, unit.symbol().into())),
        None => {
            let near =
                Unit::nearest(text).map_or_else(String::new, |near| format!("; did you mean {near:?}?"));
            field.refuse(format!("{text:?} is no known unit{near}"))
        }
    }
}

fn level(field: &Field<'_>) -> Option<Level> {
    let levels = [Level::Site, Level::Loop, Level::Rack, Level::Node, Level::Device];
    field.word(&levels.map(|level| (level.name(), level)))
}

fn rollup(field: &Field<'_>) -> Option<Rollup> {
    let text = field.text()?;
    match text {
        "worst" => return Some(Rollup::Worst),
        "all" => return Some(Rollup::All),
        _ => {}
    }
    let quantile =
        text.strip_prefix("quantile(").and_then(|rest| rest.strip_suffix(')')?.trim().parse::<f64>().ok());
    match quantile {
        Some(quantile) if 0.0 < quantile && quantile < 1.0 => {
            Some(Rollup::Quantile(field.millionths(quantile)? as u32))
        }
        Some(_) | None => field.refuse(format!("{text:?} is none of worst, all, quantile(0.95)")),
    }
}

/// Kinds of transforms that are built.
const BUILT: [(&str, ()); 6] = [
    ("value", ()),
    ("slope", ()),
    ("eventRate", ()),
    ("recoveryTime", ()),
    ("groupSpread", ()),
    ("timeAbove", ()),
];

fn transform(field: &Field<'_>, known: &KnownSignals) -> Option<(Transform, Written)> {
    let fields = field.fields()?;
    let kind = fields.require("kind")?;
    let transform = match kind.text()? {
        "value" | "groupSpread" => Some(Transform::Value { above: None }),
        "timeAbove" => {
            let above = fields.require("threshold").and_then(|field| field.number());
            above.map(|above| Transform::Value { above: Some(above) })
        }
        "slope" => slope(&fields),
        "eventRate" => event_rate(&fields),
        "recoveryTime" => recovery_time::transform(&fields, known).map(Box::new).map(Transform::RecoveryTime),
        // Limit cycles are found by a detector; how they would be promised is not settled.
        "oscillation" => {
            let built = BUILT.map(|(word, ())| word).join(", ");
            return kind.refuse(format!("\"oscillation\" is not built: use one of {built}"));
        }
        _ => return kind.word(&BUILT).and(None),
    };
    let written = if kind.text()? == "groupSpread" { Written::Spread } else { Written::AsItIs };
    fields.close();
    transform.map(|transform| (transform, written))
}

fn slope(fields: &Fields<'_>) -> Option<Transform> {
    let window =
        fields.get("window").map_or(Some(Microseconds::from_minutes(30)), |field| match field.length()? {
            length if length < Microseconds::from_minutes(3) => field.refuse(format!(
                "{length} is too short: a slope is estimated over blocks of 60s, three at least"
            )),
            length if length.0 % 60_000_000 != 0 => {
                field.refuse(format!("{length} is not a number of whole minutes"))
            }
            length => Some(length),
        });
    let time_to_threshold = fields.given("timeToThreshold", Field::positive_length);
    let rate_per_hour = fields.given("ratePerHour", |field| match field.number()? {
        rate if rate > 0.0 => Some(rate),
        rate => field.refuse(format!("{rate} must be more than 0: it limits the slope either way")),
    });
    if (&time_to_threshold, &rate_per_hour) == (&Some(None), &Some(None)) {
        fields.refuse(
            "transform of kind slope: give `timeToThreshold`, such as 30m, or `ratePerHour`, or both",
        );
        return None;
    }
    Some(Transform::Slope {
        window: window?,
        time_to_threshold: time_to_threshold?,
        rate_per_hour: rate_per_hour?,
    })
}

fn event_rate(fields: &Fields<'_>) -> Option<Transform> {
    let episodes = fields
        .require("episodes")
        .and_then(|field| field.word(&[("thermal_throttle", Episodes::ThermalThrottle)]));
    let length = |name, default| {
        fields.get(name).map_or(Some(Microseconds::from_seconds(default)), |field| field.length())
    };
    let (merge_within, noise_floor) = (length("mergeWithin", 60), length("noiseFloor", 1));
    Some(Transform::EventRate { episodes: episodes?, merge_within: merge_within?, noise_floor: noise_floor? })
}

fn hard_limit_of(field: &Field<'_>) -> Option<Transform> {
    let fields = field.fields()?;
    let noise_floor = fields.given("noiseFloor", Field::length);
    let equals = fields.given("equals", |field| {
        field.word(&[("ok", STATE_OK), ("warning", STATE_WARNING), ("critical", STATE_CRITICAL)])
    });
    fields.close();
    Some(Transform::HardLimit { noise_floor: noise_floor?, equals: equals? })
}

fn slice(spec: &Fields<'_>) -> Option<(Microseconds, Option<Aggregation>)> {
    const LENGTH: Microseconds = Microseconds::from_seconds(10);
    let Some(field) = spec.get("slice") else { return Some((LENGTH, None)) };
    let fields = field.fields()?;
    let length = fields.get("length").map_or(Some(LENGTH), |field| match field.length()? {
        length if (Microseconds::from_milliseconds(100)..=Microseconds::from_hours(1)).contains(&length) => {
            Some(length)
        }
        length => field.refuse(format!("{length} is out of range: a slice takes from 100ms to 1h")),
    });
    let aggregation = fields.given("aggregation", |field| {
        field.word(&[
            ("timeWeightedMean", Aggregation::TimeWeightedMean),
            ("timeWeightedMax", Aggregation::TimeWeightedMax),
            ("min", Aggregation::Minimum),
            ("last", Aggregation::Last),
        ])
    });
    fields.close();
    Some((length?, aggregation?))
}

type Validity = (Option<LoadValidity>, Option<Microseconds>, Microseconds);

fn validity(spec: &Fields<'_>, known: &KnownSignals) -> Option<Validity> {
    let Some(field) = spec.get("validity") else { return Some((None, None, Microseconds::ZERO)) };
    let fields = field.fields()?;
    fields.get("quality").and_then(|field| field.word(&[("good", ())]));
    let load = fields.given("load", |field| load(field, known));
    let staleness = fields.given("maxStaleness", Field::positive_length);
    let warmup = fields.get("warmup").map_or(Some(Microseconds::ZERO), |field| field.length());
    fields.close();
    Some((load?, staleness?, warmup?))
}

fn load(field: &Field<'_>, known: &KnownSignals) -> Option<LoadValidity> {
    let fields = field.fields()?;
    let text = fields.require("signal").and_then(|field| Some((field.text()?, field)));
    let minimum = fields.require("min").and_then(|field| field.number());
    let unit = fields.require("unit").and_then(|field| Some((unit_of(&field)?, field)));
    fields.close();
    let ((text, text_field), ((unit, name), unit_field)) = (text?, unit?);
    let expression = match Expression::parse(text, known) {
        Ok(expression) => expression,
        Err(error) => return text_field.refuse(error),
    };
    let measured = expression.unit();
    match expression.in_unit(unit) {
        Ok(expression) => Some(LoadValidity { expression, minimum: minimum?, unit: name }),
        Err(_) => {
            unit_field.refuse(format!("{text:?} is measured in {measured}, which cannot be told in {unit}"))
        }
    }
}

fn missing_data(spec: &Fields<'_>) -> Option<(u32, bool)> {
    const COVERAGE: u64 = 950_000;
    let Some(field) = spec.get("missingData") else { return Some((COVERAGE as u32, false)) };
    let fields = field.fields()?;
    let coverage = fields.get("minCoverage").map_or(Some(COVERAGE), |field| match field.share_ppm()? {
        0 => field.refuse("0 would let missing data pass: ask for some coverage, such as 0.95"),
        share => Some(share),
    });
    let strict = fields.get("strict").map_or(Some(false), |field| field.truth());
    fields.close();
    Some((coverage? as u32, strict?))
}
