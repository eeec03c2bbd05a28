//! Makes an objective of an SLO, its source and its burn-rate policy: everything that concerns more than one field.

use std::ops::Deref;

use telemetry::expression::{Expression, KnownSignals};
use telemetry::facts::{Comparison, Scope};
use telemetry::signal;
use telemetry::unit::Scale;
use telemetry::{Microseconds, Name, canonical_json, sha256_hex};

use super::burn_policy::{Policies, WrittenPolicy};
use super::openslo::{BURN_RATE_POLICY, Budgeting, Duration, SCOPE, Slo, TIER, Target, duration};
use super::recovery_time::RecoveryTransform;
use super::source::{Source, Transform};
use crate::objective::{
    Aggregation, EventRate, HardLimit, Level, Objective, Promise, RecoveryTime, Step, Tier, TimeInBounds,
    Trend,
};

/// The policy of objectives that name none.
pub const DEFAULT_POLICY: &str = "default";

/// An SLO with one of its objectives.
pub struct Promised<'s, 'a> {
    pub slo: &'s Slo<'a>,
    pub target: &'s Target<'a>,
}

impl<'a> Deref for Promised<'_, 'a> {
    type Target = Slo<'a>;

    fn deref(&self) -> &Slo<'a> {
        self.slo
    }
}

/// What an SLO, one of its objectives and its source mean together.
pub fn objective(
    slo: &Promised<'_, '_>,
    source: &Source,
    policies: &Policies,
    document: &Name,
    line: u64,
) -> Option<Objective> {
    let target = slo.target;
    let scope = scope(slo);
    let tier = slo.metadata.annotation(TIER).map_or(Some(Tier::Page), |field| {
        field.word(&[(Tier::Page.name(), Tier::Page), (Tier::Ticket.name(), Tier::Ticket)])
    });
    let window = window(slo);
    let limit = limit(slo, source);
    let aggregation = aggregation(slo, source);
    let (window, tier, scope) = (window?, tier?, scope?);
    let (judged_unit, promise) = match &source.transform {
        Transform::Value { above } => {
            let judged_unit = judged_unit(slo, source, window)?;
            let promise = TimeInBounds {
                slice_target_ppm: slice_target_ppm(slo)?,
                target_ppm: target_ppm(slo)?,
                time_above: *above,
                burn: policy(slo, policies)?.for_objective(window, tier),
                parts: Vec::new(),
            };
            (judged_unit, Promise::TimeInBounds(promise))
        }
        Transform::RecoveryTime(transform) => {
            (source.slice, Promise::RecoveryTime(recovery_time(slo, source, transform)?))
        }
        other => {
            without_budget(slo, other)?;
            (source.slice, without_budget_promise(other)?)
        }
    };
    let (comparison, threshold) = limit?;
    let (signal_text, expression, unit) = match &source.signal {
        Some(signal) if matches!(&source.transform, Transform::Value { above: Some(_) }) => {
            (signal.text.as_str().into(), signal.expression.clone(), "s".into())
        }
        Some(signal) if let Promise::RecoveryTime(promise) = &promise => {
            let text = format!("{}, {}", signal.text, promise.trigger.expression);
            (text.into(), signal.expression.clone(), "s".into())
        }
        Some(signal) => (signal.text.as_str().into(), signal.expression.clone(), signal.unit.clone()),
        None => episode_signal(&source.transform)?,
    };
    // A slope is asked for once its window can be full: until then there is nothing that could be missing.
    let slope_window = match &promise {
        Promise::Trend(trend) => trend.window,
        Promise::TimeInBounds(_)
        | Promise::EventRate(_)
        | Promise::HardLimit(_)
        | Promise::RecoveryTime(_) => Microseconds::ZERO,
    };
    let mut objective = Objective {
        name: slo.metadata.name.into(),
        hash: "".into(),
        service: slo.service.into(),
        display_name: if target.display_name.is_empty() {
            slo.metadata.display_name
        } else {
            target.display_name
        }
        .into(),
        description: slo.description.into(),
        document: document.clone(),
        line,
        promise,
        signal_text,
        expression,
        unit,
        comparison,
        threshold,
        group_by: source.group_by,
        rollup: source.rollup,
        slice: source.slice,
        aggregation: aggregation?,
        judged_unit,
        validity: source.validity.clone(),
        maximum_staleness: source.maximum_staleness,
        warmup: source.warmup.max(slope_window),
        minimum_coverage_ppm: source.minimum_coverage_ppm,
        strict: source.strict,
        scope,
        window,
        tier,
        applies_to: source.applies_to,
    };
    objective.hash = sha256_hex(&canonical_json(&objective)).into();
    Some(objective)
}

/// The signal that stands for a kind of episode in messages, and the unit of its rate.
fn episode_signal(transform: &Transform) -> Option<(Name, Expression, Name)> {
    let Transform::EventRate { episodes, .. } = transform else { return None };
    let signal = episodes.signals()[0];
    let expression = Expression::parse(signal, &KnownSignals::canonical()).ok()?;
    Some((signal.into(), expression, "1/h".into()))
}

fn scope(slo: &Promised<'_, '_>) -> Option<Scope> {
    let Some(field) = slo.metadata.annotation(SCOPE) else { return Some(Scope::Rolling) };
    match field.text()? {
        "calendar" => field.refuse("calendar scope is not built: use rolling or run"),
        _ => field.word(&[("rolling", Scope::Rolling), ("run", Scope::Run)]),
    }
}

fn window(slo: &Promised<'_, '_>) -> Option<Microseconds> {
    if !slo.is_rolling {
        return slo
            .window_field
            .refuse("calendar windows are not built: write {duration: 28d, isRolling: true}");
    }
    match slo.window {
        Duration::Fixed(length) => Some(length),
        Duration::Calendar => slo
            .window_field
            .refuse("months, quarters and years differ in length: give days or weeks, such as 28d"),
    }
}

/// How a value is compared, and with what.
fn limit(slo: &Promised<'_, '_>, source: &Source) -> Option<(Comparison, f64)> {
    let field = &slo.target.field;
    let (Some(comparison), Some(value)) = (slo.target.comparison, slo.target.value) else {
        return field.refuse("`op` and `value` are needed with a thresholdMetric");
    };
    match &source.transform {
        Transform::EventRate { .. } if comparison != Comparison::Lte => {
            field.refuse("an event rate has `op: lte`")
        }
        Transform::EventRate { .. } if value <= 0.0 => field.refuse(format!(
            "value {value} can never be shown: no length of time without an episode proves a rate of 0; \
             give episodes per hour, or count them in a gate with `atMost: 0`"
        )),
        Transform::Value { above: Some(_) } if comparison != Comparison::Lte || value < 0.0 => {
            field.refuse("the time above a threshold has `op: lte` and a `value` of seconds that is not negative")
        }
        Transform::Value { above: Some(above) } => {
            within_span(slo, source, *above)?;
            Some((comparison, value))
        }
        Transform::RecoveryTime(_) if comparison != Comparison::Lte => {
            field.refuse("a recovery time has `op: lte`")
        }
        Transform::RecoveryTime(_) if !(0.0 < value && value <= RECOVERY_SECONDS_MAX) => field.refuse(format!(
            "value {value} is no limit of a recovery: give seconds, more than 0 and at most {RECOVERY_SECONDS_MAX}"
        )),
        Transform::RecoveryTime(_) => Some((comparison, value)),
        Transform::HardLimit { equals: Some(code), .. } => {
            if (comparison, value) == (Comparison::Lte, *code) {
                return Some((Comparison::Equal, *code));
            }
            field.refuse(format!("`equals` stands for `op: lte, value: {code}`: write these, so that the document says one thing"))
        }
        Transform::HardLimit { equals: None, .. }
        | Transform::Value { above: None }
        | Transform::Slope { .. }
        | Transform::EventRate { .. } => {
            within_span(slo, source, value)?;
            Some((comparison, value))
        }
    }
}

/// Refuses a threshold on a plain signal that no working sensor of it can report.
fn within_span(slo: &Promised<'_, '_>, source: &Source, value: f64) -> Option<()> {
    let plain =
        source.signal.as_ref().and_then(|signal| signal::find(&signal.expression.as_operand()?.signal));
    match plain {
        Some(signal) if !signal.span.holds(value) => slo.target.field.refuse(format!(
            "value {value} {} lies outside what a sensor of {} reports ({} to {}): the objective could never change",
            signal.unit, signal.name, signal.span.lowest, signal.span.highest
        )),
        Some(_) | None => Some(()),
    }
}

fn aggregation(slo: &Promised<'_, '_>, source: &Source) -> Option<Aggregation> {
    let is_state =
        source.signal.as_ref().is_some_and(|signal| signal.expression.unit().scale() == Scale::Code);
    match (source.aggregation, is_state) {
        (Some(Aggregation::TimeWeightedMean), true) => {
            slo.target.field.refuse("states have no mean: use timeWeightedMax, min or last as aggregation")
        }
        (Some(aggregation), _) => Some(aggregation),
        (None, true) => Some(Aggregation::TimeWeightedMax),
        (None, false) => Some(Aggregation::TimeWeightedMean),
    }
}

fn judged_unit(slo: &Promised<'_, '_>, source: &Source, window: Microseconds) -> Option<Microseconds> {
    match slo.budgeting {
        Budgeting::Timeslices => {}
        Budgeting::Occurrences | Budgeting::RatioTimeslices => {
            return slo.budgeting_field.refuse("time in bounds is judged in time slices: write `Timeslices`");
        }
    }
    let Some(field) = &slo.target.slice_window else { return in_window(slo, source.slice, window) };
    let Duration::Fixed(unit) = duration(field)? else {
        return field.refuse("months, quarters and years differ in length: give minutes, such as 1m");
    };
    if unit.0 % source.slice.0 != 0 {
        return field.refuse(format!("{unit} is not a whole number of slices of {}", source.slice));
    }
    in_window(slo, unit, window)
}

fn in_window(slo: &Promised<'_, '_>, unit: Microseconds, window: Microseconds) -> Option<Microseconds> {
    if window.0 % unit.0 == 0 {
        return Some(unit);
    }
    slo.window_field.refuse(format!("{window} is not a whole number of judged units of {unit}"))
}

fn slice_target_ppm(slo: &Promised<'_, '_>) -> Option<u32> {
    let Some(field) = &slo.target.slice_target else { return Some(1_000_000) };
    match field.share_ppm()? {
        0 => field.refuse("0 would make every judged unit good: give a share above 0"),
        share => Some(share as u32),
    }
}

fn target_ppm(slo: &Promised<'_, '_>) -> Option<u32> {
    let (share, field) = &slo.target.target;
    match field.millionths(*share)? {
        1_000_000 => field.refuse("leaves no error budget: give a lower target"),
        share => Some(share as u32),
    }
}

fn policy<'p>(slo: &Promised<'_, '_>, policies: &'p Policies) -> Option<&'p WrittenPolicy> {
    let field = slo.metadata.annotation(BURN_RATE_POLICY);
    let name = field.map_or(Some(DEFAULT_POLICY), |field| field.text())?;
    if let Some(policy) = policies.read.iter().find(|policy| &**policy.name() == name) {
        return Some(policy);
    }
    if policies.refused.iter().any(|refused| refused == name) {
        return None;
    }
    let known: Vec<&str> = policies.read.iter().map(|policy| &**policy.name()).collect();
    let near = telemetry::document::nearest(name, known.iter().copied());
    let near = near
        .map_or_else(|| format!("known are {}", known.join(", ")), |near| format!("did you mean {near:?}?"));
    field?.refuse(format!("there is no BurnRatePolicy {name:?}; {near}"))
}

/// The longest limit of a recovery: a day.
const RECOVERY_SECONDS_MAX: f64 = 86_400.0;

/// A share of bursts: OpenSLO's `Occurrences`, with a target, and without time slices.
fn recovery_time(
    slo: &Promised<'_, '_>,
    source: &Source,
    transform: &RecoveryTransform,
) -> Option<RecoveryTime> {
    in_occurrences(slo, "a recovery time")?;
    let target_ppm = match target_ppm(slo)? {
        0 => {
            return slo
                .target
                .target
                .1
                .refuse("0 would promise nothing: give a share of bursts, such as 0.95");
        }
        share => share,
    };
    if source.validity.is_some() {
        return slo.target.field.refuse(
            "a recovery time is asked for after bursts of load: leave `validity.load` out of metricSource.spec",
        );
    }
    if let (Step::ShareOfNominal(_), Level::Site | Level::Loop) = (transform.trigger.step, source.group_by) {
        return slo.target.field.refuse(format!(
            "a {} has no nominal power: give the trigger a `step` in its unit, or group by rack",
            source.group_by.name()
        ));
    }
    let plain =
        source.signal.as_ref().and_then(|signal| signal::find(&signal.expression.as_operand()?.signal));
    let ends = [transform.band.minimum, transform.band.maximum];
    if let (Some(signal), true) =
        (plain, plain.is_some_and(|it| ends.iter().flatten().any(|end| !it.span.holds(*end))))
    {
        return slo.target.field.refuse(format!(
            "an end of its band lies outside what a sensor of {} reports ({} to {} {})",
            signal.name, signal.span.lowest, signal.span.highest, signal.unit
        ));
    }
    let RecoveryTransform { trigger, from, band, hold } = transform;
    Some(RecoveryTime { trigger: trigger.clone(), from: *from, band: *band, hold: *hold, target_ppm })
}

/// Refuses what belongs to time slices and error budgets in an objective that counts something else.
fn in_occurrences(slo: &Promised<'_, '_>, what: &str) -> Option<()> {
    if slo.budgeting != Budgeting::Occurrences {
        return slo
            .budgeting_field
            .refuse(format!("{what} is not judged in time slices: write `Occurrences`"));
    }
    let mut of_slices = [&slo.target.slice_target, &slo.target.slice_window].into_iter().flatten();
    if let Some(field) = of_slices.next() {
        return field.refuse(format!("{what} is not judged in time slices: leave it out"));
    }
    match slo.metadata.annotation(BURN_RATE_POLICY) {
        Some(field) => field.refuse(format!("{what} has no error budget that could burn: leave it out")),
        None => Some(()),
    }
}

/// Refuses what belongs to an error budget in an objective that has none.
fn without_budget(slo: &Promised<'_, '_>, transform: &Transform) -> Option<()> {
    let what = match transform {
        Transform::Value { .. } => "time in bounds",
        Transform::Slope { .. } => "a trend",
        Transform::EventRate { .. } => "an event rate",
        Transform::HardLimit { .. } => "a hard limit",
        Transform::RecoveryTime(_) => "a recovery time",
    };
    in_occurrences(slo, what)?;
    match &slo.target.target {
        (0.0, _) => Some(()),
        (share, field) => field.refuse(format!(
            "{what} has no error budget, so {share} would promise nothing: write `target: 0`"
        )),
    }
}

fn without_budget_promise(transform: &Transform) -> Option<Promise> {
    match transform {
        Transform::Value { .. } | Transform::RecoveryTime(_) => None,
        Transform::Slope { window, time_to_threshold, rate_per_hour } => Some(Promise::Trend(Trend {
            window: *window,
            time_to_threshold_minimum: *time_to_threshold,
            rate_per_hour_limit: *rate_per_hour,
        })),
        Transform::EventRate { episodes, merge_within, noise_floor } => Some(Promise::EventRate(EventRate {
            episodes: *episodes,
            merge_within: *merge_within,
            noise_floor: *noise_floor,
        })),
        Transform::HardLimit { noise_floor, .. } => {
            Some(Promise::HardLimit(HardLimit { noise_floor: noise_floor.unwrap_or_default() }))
        }
    }
}

/// A composite of the objectives of one SLO: all must hold at once, so that they share everything but signal and limit.
pub fn composite(slo: &Slo<'_>, parts: Vec<Objective>) -> Option<Objective> {
    let first = parts.first()?;
    let Promise::TimeInBounds(promise) = &first.promise else {
        return slo.objectives_field.refuse(
            "the parts of a composite are limits over time (`transform` value, groupSpread or timeAbove, with \
             `Timeslices`): write an SLO of its own for anything else",
        );
    };
    for (part, written) in parts.iter().zip(&slo.parts) {
        if let Some(what) = differing(first, part) {
            return written.target.field.refuse(format!(
                "{what} differs from that of the first part: the parts of a composite are judged together, slice by slice, \
                 against one budget"
            ));
        }
        if part.threshold == 0.0 {
            return written.target.field.refuse(
                "a composite tells how far a part lies beyond its limit, in per cent of it, and 0 has none: write the \
                 signal so that its limit is another number, or an SLO of its own",
            );
        }
    }
    let signals: Vec<String> = parts
        .iter()
        .map(|part| {
            format!("{} {} {} {}", part.signal_text, part.comparison.sign(), part.threshold, part.unit)
        })
        .map(|text| text.trim_end().to_owned())
        .collect();
    let mut objective = Objective {
        display_name: slo.metadata.display_name.into(),
        promise: Promise::TimeInBounds(TimeInBounds {
            time_above: None,
            parts: parts.clone(),
            ..promise.clone()
        }),
        signal_text: signals.join(" and ").into(),
        unit: "%".into(),
        comparison: Comparison::Lte,
        threshold: 0.0,
        ..first.clone()
    };
    objective.hash = sha256_hex(&canonical_json(&objective)).into();
    Some(objective)
}

/// What of all that parts must share differs in two of them.
fn differing(first: &Objective, part: &Objective) -> Option<&'static str> {
    let (Promise::TimeInBounds(one), Promise::TimeInBounds(other)) = (&first.promise, &part.promise) else {
        return Some("its kind of promise");
    };
    let differing = [
        ("`target`", one.target_ppm == other.target_ppm),
        ("`timeSliceTarget`", one.slice_target_ppm == other.slice_target_ppm),
        ("`timeSliceWindow`", first.judged_unit == part.judged_unit),
        ("`slice.length`", first.slice == part.slice),
        ("`groupBy`", first.group_by == part.group_by),
        ("`validity`", first.validity == part.validity && first.warmup == part.warmup),
        ("`validity.maxStaleness`", first.maximum_staleness == part.maximum_staleness),
        (
            "`missingData`",
            (first.minimum_coverage_ppm, first.strict) == (part.minimum_coverage_ppm, part.strict),
        ),
        ("`appliesTo`", first.applies_to == part.applies_to),
    ];
    differing.into_iter().find(|(_, is_same)| !is_same).map(|(what, _)| what)
}
