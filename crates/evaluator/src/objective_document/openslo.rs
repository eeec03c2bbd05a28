//! OpenSLO v1 documents, field by field as its Go SDK validates them (github.com/OpenSLO/go-sdk, `pkg/openslo/v1`).
//! What only other products use is checked all the same, so that a document is valid for all of them or for none.

use telemetry::Microseconds;
use telemetry::document::nearest;
use telemetry::facts::Comparison;

use super::fields::{Field, Fields};
use super::tree::{Key, Value};

/// Longest `displayName`, in characters.
const DISPLAY_NAME_MAX: usize = 63;
/// Longest `description`, in characters.
const DESCRIPTION_MAX: usize = 1_050;

/// The annotations that mean something here.
const ANNOTATION_PREFIX: &str = "thermogate.dev/";
/// Over what it is judged: `rolling` or `run`.
pub const SCOPE: &str = "thermogate.dev/scope";
/// `page` or `ticket`.
pub const TIER: &str = "thermogate.dev/tier";
/// Name of a BurnRatePolicy.
pub const BURN_RATE_POLICY: &str = "thermogate.dev/burn-rate-policy";

/// `metadata` of any object.
pub struct Metadata<'a> {
    pub name: &'a str,
    pub display_name: &'a str,
    pub annotations: Vec<(&'a Key, Field<'a>)>,
}

impl<'a> Metadata<'a> {
    /// The annotation of this name, if it is there.
    pub fn annotation(&self, name: &str) -> Option<&Field<'a>> {
        self.annotations.iter().find(|(key, _)| key.name == name).map(|(_, field)| field)
    }
}

/// Reads `metadata`.
pub fn metadata<'a>(object: &Fields<'a>) -> Option<Metadata<'a>> {
    let fields = object.require("metadata")?.fields()?;
    let name = fields.require("name").and_then(|field| dns_label(&field));
    let display_name = fields.get("displayName").and_then(|field| at_most(&field, DISPLAY_NAME_MAX));
    if let Some(labels) = fields.get("labels").and_then(|field| field.fields()) {
        labels.all().for_each(|(_, label)| check_label(&label));
    }
    let annotations = fields.get("annotations").and_then(|field| field.fields());
    let annotations = annotations.map_or_else(Vec::new, |annotations| annotations.all().collect());
    annotations.iter().for_each(|(key, field)| check_annotation(key, field));
    fields.close();
    Some(Metadata { name: name?, display_name: display_name.unwrap_or_default(), annotations })
}

fn dns_label<'a>(field: &Field<'a>) -> Option<&'a str> {
    let name = field.text()?;
    let ends = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let sound = name.len() <= 63
        && name.chars().all(|c| ends(c) || c == '-')
        && name.starts_with(ends)
        && name.ends_with(ends);
    if sound {
        return Some(name);
    }
    field.refuse(format!(
        "{name:?} is no DNS label: use at most 63 of a-z, 0-9 and -, with a letter or digit at both ends"
    ))
}

/// A text of at most so many characters.
fn at_most<'a>(field: &Field<'a>, longest: usize) -> Option<&'a str> {
    let text = field.any_text()?;
    match text.chars().count() {
        length if length > longest => {
            field.refuse(format!("has {length} characters: at most {longest} are allowed"))
        }
        _ => Some(text),
    }
}

fn check_label(label: &Field<'_>) {
    match label.value() {
        Value::Text(_) => {}
        Value::List(_) => label.list().into_iter().flatten().for_each(|entry| {
            entry.any_text();
        }),
        Value::Nothing | Value::Truth(_) | Value::Number(_) | Value::Map(_) => {
            label.refuse::<()>("expected a text or a list of texts");
        }
    }
}

fn check_annotation(key: &Key, field: &Field<'_>) {
    const KNOWN: [&str; 3] = [SCOPE, TIER, BURN_RATE_POLICY];
    let (prefix, name) = key.name.rsplit_once('/').unwrap_or(("", &key.name));
    if prefix.len() > 253 || name.is_empty() || name.len() > 63 {
        field.refuse::<()>("the key is too long: at most 253 characters before the slash and 63 after it");
    }
    if key.name.starts_with(ANNOTATION_PREFIX) && !KNOWN.contains(&key.name.as_str()) {
        let near = nearest(&key.name, KNOWN.into_iter()).unwrap_or(KNOWN[0]);
        field.refuse::<()>(format!("unknown annotation; did you mean {near:?}?"));
    }
    match field.value() {
        Value::Text(_) => {}
        other => {
            field.refuse::<()>(format!("expected a text, found {}: put it in quotes", other.what()));
        }
    }
}

/// Reads `description`.
pub fn description<'a>(spec: &Fields<'a>) -> &'a str {
    spec.get("description").and_then(|field| at_most(&field, DESCRIPTION_MAX)).unwrap_or_default()
}

/// An OpenSLO duration: `[0-9]+[mhdwMQY]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Duration {
    /// Minutes, hours, days, weeks.
    Fixed(Microseconds),
    /// Months, quarters, years.
    Calendar,
}

/// Reads a duration.
pub fn duration(field: &Field<'_>) -> Option<Duration> {
    const MINUTE: i64 = 60_000_000;
    let text = field.text()?;
    let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
    let (unit, number) = (&text[digits.len()..], digits.parse::<i64>().ok().filter(|number| *number > 0));
    let scale = match unit {
        "m" => MINUTE,
        "h" => 60 * MINUTE,
        "d" => 24 * 60 * MINUTE,
        "w" => 7 * 24 * 60 * MINUTE,
        "M" | "Q" | "Y" if number.is_some() => return Some(Duration::Calendar),
        "s" => {
            return field.refuse(format!(
                "{text:?}: OpenSLO durations have no seconds: write minutes (1m); \
                 seconds stand inside `metricSource.spec` only, such as slice.length"
            ));
        }
        _ => 0,
    };
    match number.and_then(|number| number.checked_mul(scale)).filter(|length| *length > 0) {
        Some(length) => Some(Duration::Fixed(Microseconds(length))),
        None => field
            .refuse(format!("{text:?} is no duration: write a number and one of m h d w M Q Y, such as 28d")),
    }
}

/// A `kind: SLO`, without any use having been made of it.
pub struct Slo<'a> {
    pub metadata: Metadata<'a>,
    pub description: &'a str,
    pub service: &'a str,
    pub budgeting: Budgeting,
    pub budgeting_field: Field<'a>,
    pub window: Duration,
    pub is_rolling: bool,
    pub window_field: Field<'a>,
    /// Its objective, with the SLO's indicator; of a composite all, each with its own.
    pub parts: Vec<Part<'a>>,
    pub objectives_field: Field<'a>,
    pub names_alert_policies: bool,
}

/// An objective and what it is about.
pub struct Part<'a> {
    pub target: Target<'a>,
    pub indicator: Indicator<'a>,
}

/// How the budget is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Budgeting {
    Occurrences,
    Timeslices,
    RatioTimeslices,
}

/// Where the indicator stands.
pub enum Indicator<'a> {
    /// In the SLO.
    Inline(Metric<'a>),
    /// In a `kind: SLI` of this name.
    Reference(&'a str, Field<'a>),
}

/// An entry of `objectives`.
pub struct Target<'a> {
    pub field: Field<'a>,
    pub display_name: &'a str,
    pub comparison: Option<Comparison>,
    pub value: Option<f64>,
    /// `target` or a hundredth of `targetPercent`, and where it stands.
    pub target: (f64, Field<'a>),
    pub slice_target: Option<Field<'a>>,
    pub slice_window: Option<Field<'a>>,
    /// Its own indicator: it is a part of a composite.
    indicator: Option<Indicator<'a>>,
    /// `compositeWeight`, and where it stands.
    weight: Option<(f64, Field<'a>)>,
}

/// Reads a `kind: SLO`.
pub fn slo<'a>(object: &Fields<'a>) -> Option<Slo<'a>> {
    let metadata = metadata(object);
    let spec = object.require("spec")?.fields()?;
    let description = description(&spec);
    let service = spec.require("service").and_then(|field| field.text());
    let budgeting_field = spec.require("budgetingMethod");
    let budgeting = budgeting_field.as_ref().and_then(|field| {
        field.word(&[
            ("Timeslices", Budgeting::Timeslices),
            ("Occurrences", Budgeting::Occurrences),
            ("RatioTimeslices", Budgeting::RatioTimeslices),
        ])
    });
    let window_field = spec.require("timeWindow").and_then(|field| field.only());
    let window = window_field.as_ref().and_then(time_window);
    let indicator = indicator(&spec)?;
    let objectives_field = spec.require("objectives");
    let parts = objectives_field.as_ref().and_then(|field| parts(field, indicator, &spec));
    let names_alert_policies = spec.get("alertPolicies").and_then(|field| field.list()).is_some();
    spec.close();
    let (window, is_rolling) = window?;
    Some(Slo {
        metadata: metadata?,
        description,
        service: service?,
        budgeting: budgeting?,
        budgeting_field: budgeting_field?,
        window,
        is_rolling,
        window_field: window_field?,
        parts: parts?,
        objectives_field: objectives_field?,
        names_alert_policies,
    })
}

fn time_window(field: &Field<'_>) -> Option<(Duration, bool)> {
    let fields = field.fields()?;
    let length = fields.require("duration").and_then(|field| duration(&field));
    let is_rolling = fields.get("isRolling").map_or(Some(false), |field| field.truth());
    let calendar = fields.get("calendar");
    match (is_rolling?, calendar) {
        (true, None) => {}
        (false, Some(calendar)) => {
            let calendar = calendar.fields()?;
            calendar.require("startTime").and_then(|field| start_time(&field));
            calendar.require("timeZone").and_then(|field| field.text());
            calendar.close();
        }
        (true, Some(calendar)) => {
            return calendar.refuse("a rolling window has no calendar: leave one of the two out");
        }
        (false, None) => {
            return field.refuse("give `isRolling: true`, or a `calendar` with startTime and timeZone");
        }
    }
    fields.close();
    Some((length?, is_rolling?))
}

fn start_time(field: &Field<'_>) -> Option<()> {
    let text = field.text()?;
    let shape: String = text.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
    if shape == "0000-00-00 00:00:00" {
        return Some(());
    }
    field.refuse(format!("{text:?} is no start time: write it like 2026-01-05 00:00:00"))
}

/// The indicator of an SLO or of an objective: none where none is given, and nothing at all where it cannot be read.
fn indicator<'a>(holder: &Fields<'a>) -> Option<Option<Indicator<'a>>> {
    match (holder.get("indicator"), holder.get("indicatorRef")) {
        (Some(field), None) => {
            let fields = field.fields()?;
            metadata(&fields);
            let metric = fields.require("spec").and_then(|field| metric(&field));
            fields.close();
            metric.map(Indicator::Inline).map(Some)
        }
        (None, Some(field)) => field.text().map(|name| Some(Indicator::Reference(name, field))),
        (Some(field), Some(_)) => field.refuse("give either `indicator` or `indicatorRef`, not both"),
        (None, None) => Some(None),
    }
}

/// The objectives with their indicators: one with that of the SLO, or those of a composite with their own.
fn parts<'a>(
    field: &Field<'a>,
    indicator: Option<Indicator<'a>>,
    spec: &Fields<'a>,
) -> Option<Vec<Part<'a>>> {
    let entries = field.list()?;
    let found = entries.len();
    let targets: Vec<Target<'a>> = entries.into_iter().map(target).collect::<Option<_>>()?;
    if targets.is_empty() {
        return field.refuse("one objective is needed, found none");
    }
    check_weights(&targets)?;
    match indicator {
        Some(indicator) => {
            if targets.iter().any(|target| target.indicator.is_some()) {
                return field.refuse(
                    "the SLO has an indicator and an objective has one too: give it in the SLO, or for a composite in \
                     each objective",
                );
            }
            let mut targets = targets;
            match (targets.pop(), targets.is_empty()) {
                (Some(target), true) => Some(vec![Part { target, indicator }]),
                _ => field.refuse(format!(
                    "{found} objectives about one indicator are not built: write an SLO for each, since gates and \
                     alerts know an objective by its SLO's name; or for a composite an indicator in each objective"
                )),
            }
        }
        None if targets.iter().all(|target| target.indicator.is_none()) => {
            spec.refuse(
                "spec.indicator is missing: give `indicator`, or `indicatorRef` with the name of an SLI",
            );
            None
        }
        None => {
            let part = |mut target: Target<'a>| match target.indicator.take() {
                Some(indicator) => Some(Part { target, indicator }),
                None => target.field.refuse(
                    "`indicator` or `indicatorRef` is missing: each objective of a composite has its own",
                ),
            };
            targets.into_iter().map(part).collect()
        }
    }
}

/// Weights that differ have no meaning here: a rack is safe when all parts are, and good time of one part must not outvote
/// another one that is broken.
fn check_weights(targets: &[Target<'_>]) -> Option<()> {
    let weight = |target: &Target<'_>| target.weight.as_ref().map_or(1.0, |(weight, _)| *weight);
    let differs = |target: &&Target<'_>| weight(target) != weight(&targets[0]);
    match targets.iter().find(differs).and_then(|target| target.weight.as_ref()) {
        Some((_, field)) => field.refuse(
            "the parts of a composite weigh the same here: all must hold at once, and by weights good time of one part \
             would outvote a broken other one; leave it out, or write an SLO for each part and give its check a \
             `weight` in a gate policy",
        ),
        None => Some(()),
    }
}

fn target(field: Field<'_>) -> Option<Target<'_>> {
    let fields = field.fields()?;
    let indicator = indicator(&fields);
    let weight = match fields.get("compositeWeight") {
        Some(field) => match field.number() {
            Some(weight) if weight > 0.0 => Some(Some((weight, field))),
            Some(weight) => field.refuse(format!("{weight} is no weight: give more than 0")),
            None => None,
        },
        None => Some(None),
    };
    let display_name =
        fields.get("displayName").and_then(|field| at_most(&field, DISPLAY_NAME_MAX)).unwrap_or_default();
    let comparison = fields.given("op", comparison);
    let value = fields.given("value", Field::number);
    let target = match (fields.get("target"), fields.get("targetPercent")) {
        (Some(field), None) => field.number().and_then(|target| share_below_one(target, target, field)),
        (None, Some(field)) => {
            field.number().and_then(|percent| share_below_one(percent, percent / 100.0, field))
        }
        (Some(field), Some(_)) => field.refuse("give either `target` or `targetPercent`, not both"),
        (None, None) => field.refuse("give `target`, such as 0.995, or `targetPercent`"),
    };
    let (slice_target, slice_window) = (fields.get("timeSliceTarget"), fields.get("timeSliceWindow"));
    fields.close();
    let (indicator, weight) = (indicator?, weight?);
    let (comparison, value, target) = (comparison?, value?, target?);
    Some(Target {
        field,
        display_name,
        comparison,
        value,
        target,
        slice_target,
        slice_window,
        indicator,
        weight,
    })
}

fn share_below_one(written: f64, share: f64, field: Field<'_>) -> Option<(f64, Field<'_>)> {
    if share == 1.0 {
        return field.refuse(format!(
            "{written} leaves no error budget: give less, such as 0.999, \
             or promise no bad time at all with `hardLimit` in metricSource.spec"
        ));
    }
    if (0.0..1.0).contains(&share) {
        return Some((share, field));
    }
    field.refuse(format!(
        "{written} is out of range: a target is a share from 0 up to, and without, 1 (or 100 per cent)"
    ))
}

pub fn comparison(field: &Field<'_>) -> Option<Comparison> {
    field.word(&[
        ("lte", Comparison::Lte),
        ("gte", Comparison::Gte),
        ("lt", Comparison::Lt),
        ("gt", Comparison::Gt),
    ])
}

/// The `spec` of an indicator.
pub enum Metric<'a> {
    /// One metric compared with a threshold, from a source of ours: `metricSource.spec`.
    Ours(Fields<'a>),
    /// Somebody else's source: its type, or its reference's name.
    Foreign(&'a str, Field<'a>),
    /// A ratio of two metrics, or a raw one.
    Ratio(Field<'a>),
}

/// Reads the `spec` of an SLI.
pub fn metric<'a>(field: &Field<'a>) -> Option<Metric<'a>> {
    let spec = field.fields()?;
    description(&spec);
    let metric = match (spec.get("thresholdMetric"), spec.get("ratioMetric")) {
        (Some(threshold), None) => {
            let fields = threshold.fields()?;
            let source = metric_source(&fields);
            fields.close();
            source
        }
        (None, Some(ratio)) => ratio_metric(&ratio).map(|()| Metric::Ratio(ratio)),
        (Some(field), Some(_)) => field.refuse("give either `thresholdMetric` or `ratioMetric`, not both"),
        (None, None) => field.refuse("give `thresholdMetric` or `ratioMetric`"),
    };
    spec.close();
    metric
}

fn metric_source<'a>(holder: &Fields<'a>) -> Option<Metric<'a>> {
    let source = holder.require("metricSource")?;
    let fields = source.fields()?;
    let reference = fields.get("metricSourceRef").and_then(|field| field.text());
    let kind = fields.get("type").and_then(|field| field.text());
    let spec = fields.require("spec").and_then(|field| field.fields());
    fields.close();
    let spec = spec?;
    if spec.all().next().is_none() {
        spec.refuse("at least one field is needed");
        return None;
    }
    match (kind, reference) {
        (Some("thermogate"), _) => Some(Metric::Ours(spec)),
        (Some(other), _) | (None, Some(other)) => Some(Metric::Foreign(other, source)),
        (None, None) => source.refuse("give `type: thermogate`"),
    }
}

fn ratio_metric(field: &Field<'_>) -> Option<()> {
    let fields = field.fields()?;
    fields.get("counter").and_then(|field| field.truth());
    let parts = ["good", "bad", "total", "raw"].map(|name| {
        let part = fields.get(name)?;
        let holder = part.fields()?;
        metric_source(&holder);
        holder.close();
        Some(part)
    });
    let raw_type = fields.get("rawType");
    if let Some(raw_type) = &raw_type {
        raw_type.word(&[("success", ()), ("failure", ())]);
    }
    fields.close();
    match (parts, raw_type) {
        ([Some(_), None, Some(_), None] | [None, Some(_), Some(_), None], None) => Some(()),
        ([None, None, None, Some(_)], Some(_)) => Some(()),
        _ => field.refuse("give `total` with either `good` or `bad`, or `raw` with `rawType`"),
    }
}
