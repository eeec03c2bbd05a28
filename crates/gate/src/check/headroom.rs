//! Check `headroom`: the rack can sustain the power that is planned, with a margin, whatever limits it first.
//!
//! Broken where one limit is surely below what is asked: its interval ends there. Kept only where all that must be known
//! is surely above. What lies between, and what is not known, is unknown.

use telemetry::facts::{
    Ambient, Cause, Comparison, Constraint, Headroom, PowerInterval, Sustainable, SustainablePower, Trust,
    UnknownReason,
};

use super::{Draft, Found};
use crate::policy::{Check, HeadroomAsked, Undeclared};
use crate::subject::{Subject, reaches};
use crate::verdict::Evidence;
use crate::words;

/// The sensors that the limits hang on. GPUs are left out: of many, one that is doubted is none of all.
const SIGNALS: &[&str] = &["rack_power", "coolant_supply_temperature"];

/// One row a rack; a loop by itself has no power of its own.
pub fn judge(check: &Check, subject: &Subject, asked: &HeadroomAsked) -> Vec<Draft> {
    let facts = subject.facts;
    let place = &facts.place;
    if place.rack.is_none() {
        return Vec::new();
    }
    let draft = Draft::new(check, super::subject_of(check), place, asked.at.name());
    let is_left_out = check.undeclared == Undeclared::WhenSeen && !facts.declared;
    let headroom = facts.headroom.as_ref();
    let planned = asked.planned_kilowatts.or(headroom.and_then(|headroom| headroom.nominal_kilowatts));
    // What is asked is told in any case: without a nominal power as a share of it.
    let (threshold, unit) = match planned {
        Some(planned) => (planned * (1.0 + asked.at_least), "kW"),
        None => (1.0 + asked.at_least, "1"),
    };
    let Some(headroom) = headroom.filter(|headroom| headroom.applies()) else {
        if is_left_out {
            return Vec::new();
        }
        let said = format!(
            "{}: nothing that tells how much power {} can sustain was ever seen: rack_power and the temperatures of \
             coolant and GPUs do",
            check.name,
            words::place(place)
        );
        let draft = draft.compares(None, Comparison::Gte, threshold, unit);
        return vec![draft.says(Found::Unknown(UnknownReason::NeverSeen), said)];
    };
    let Some(planned) = planned else {
        let said = format!(
            "{}: the nominal power of {} is not known: give nominalPower in the site file, or headroom.planned",
            check.name,
            words::place(place)
        );
        let draft = draft.compares(None, Comparison::Gte, threshold, unit);
        return vec![draft.says(Found::Unknown(UnknownReason::Uncalibrated), said)];
    };
    vec![of_rack(check, subject, asked, headroom, planned, draft)]
}

fn of_rack(
    check: &Check,
    subject: &Subject,
    asked: &HeadroomAsked,
    headroom: &Headroom,
    planned: f64,
    draft: Draft,
) -> Draft {
    let threshold = planned * (1.0 + asked.at_least);
    let place = &subject.facts.place;
    let binding = headroom.binding(asked.at);
    let observed = binding.map(|(_, power)| power.kilowatts);
    let mut draft = draft.compares(observed, Comparison::Gte, threshold, "kW");
    draft.row.coverage = (headroom.asked.0 > 0).then(|| headroom.known.0 as f64 / headroom.asked.0 as f64);
    draft.cause = binding.map_or(Cause::Unknown, |(constraint, _)| cause_of(constraint));
    draft.row.evidence =
        headroom.at(asked.at).iter().map(|limit| evidence(subject, headroom, asked.at, limit)).collect();
    let said = format!(
        "{}: {} on {}, {} is asked ({} planned{}), {}, {}",
        check.name,
        binding.map_or_else(|| "no limit of its power is known".into(), |found| sentence(found, asked.at)),
        words::place(place),
        words::quantity(threshold, "kW"),
        words::quantity(planned, "kW"),
        margin(asked.at_least),
        ambient(headroom, asked.at),
        words::coverage(draft.row.coverage)
    );
    if let Some((reason, why)) = not_to_be_believed(subject) {
        return draft.says(Found::Unknown(reason), format!("{said}: {why}"));
    }
    if binding.is_some_and(|(_, power)| power.upper < threshold) {
        return draft.says(Found::Broken, said);
    }
    if let Some((reason, why)) = not_known(headroom, asked) {
        return draft.says(Found::Unknown(reason), format!("{said}: {why}"));
    }
    if !reaches(headroom.known, headroom.asked, subject.policy.minimum_coverage_ppm) {
        let minimum = f64::from(subject.policy.minimum_coverage_ppm) / 1e6;
        let said = format!("{said}: {} of the last hour is asked", words::percent(minimum));
        return draft.says(Found::Unknown(UnknownReason::LowCoverage), said);
    }
    // Another limit than the one that binds may reach lower, where less is known of it.
    let doubtful = known(headroom, asked.at).find(|(_, power)| power.lower < threshold);
    match doubtful {
        Some((constraint, power)) => {
            let why = format!(
                "{} may allow as little as {}",
                constraint.name(),
                words::quantity(power.lower, "kW")
            );
            draft.says(Found::Unknown(UnknownReason::NotEnoughEvidence), format!("{said}: {why}"))
        }
        None => draft.says(Found::Kept, said),
    }
}

fn known(headroom: &Headroom, at: Ambient) -> impl Iterator<Item = (Constraint, PowerInterval)> + '_ {
    headroom.at(at).iter().filter_map(|limit| match &limit.power {
        SustainablePower::Known(power) => Some((limit.constraint, *power)),
        SustainablePower::Unknown { .. } | SustainablePower::NotApplicable { .. } => None,
    })
}

/// People at work, and sensors that are not trusted: then no figure is to be believed.
fn not_to_be_believed(subject: &Subject) -> Option<(UnknownReason, String)> {
    let facts = subject.facts;
    if let Some(until) = facts.maintenance_until {
        return Some((UnknownReason::Maintenance, format!("maintenance until {}", words::moment(until))));
    }
    let is_distrusted = |signal: &str, place: &telemetry::place::Place, sensor: Option<&telemetry::Name>| {
        facts.sensors.iter().any(|known| {
            known.trust == Trust::Distrusted
                && *known.signal == *signal
                && known.place == *place
                && known.sensor.as_ref() == sensor
        })
    };
    let is_ours = |place: &telemetry::place::Place| place.rack.is_none() || place.rack == facts.place.rack;
    let distrusted = facts.sensors.iter().find(|sensor| {
        let stands_in = facts.coverage.iter().any(|other| {
            other.signal == sensor.signal
                && other.place == sensor.place
                && !is_distrusted(&other.signal, &other.place, other.sensor.as_ref())
        });
        sensor.trust == Trust::Distrusted
            && SIGNALS.contains(&&*sensor.signal)
            && is_ours(&sensor.place)
            && !stands_in
    })?;
    let place = words::place(&distrusted.place);
    let why = format!("{} on {place} is not trusted: {}", distrusted.signal, distrusted.reason);
    Some((UnknownReason::Distrusted, why))
}

/// The first limit that must be known and is not: those that the policy names, else the chips and all that apply.
fn not_known(headroom: &Headroom, asked: &HeadroomAsked) -> Option<(UnknownReason, String)> {
    headroom.at(asked.at).iter().find_map(|limit| {
        let constraint = limit.constraint;
        let is_named = asked.limits.contains(&constraint);
        let must_apply = is_named || (asked.limits.is_empty() && constraint == Constraint::Chip);
        match &limit.power {
            SustainablePower::Known(_) => None,
            SustainablePower::Unknown { reason, why } => (is_named || asked.limits.is_empty())
                .then(|| (*reason, format!("{} is not known: {why}", constraint.name()))),
            SustainablePower::NotApplicable { missing } => must_apply.then(|| {
                let why =
                    format!("nothing tells of {}: {} is missing", constraint.name(), missing.join(", "));
                (UnknownReason::NeverSeen, why)
            }),
        }
    })
}

/// Whose doing it is that a limit is low.
const fn cause_of(constraint: Constraint) -> Cause {
    match constraint {
        Constraint::Chip | Constraint::Return | Constraint::Door => Cause::Rack,
        Constraint::Cdu | Constraint::Pump => Cause::Facility,
    }
}

fn sentence((constraint, power): (Constraint, PowerInterval), at: Ambient) -> String {
    format!(
        "{} limits rack_power {} to {} ({}, confidence 90 %)",
        constraint.name(),
        match at {
            Ambient::Now => "now",
            Ambient::Design => "at design ambient",
        },
        words::quantity(power.kilowatts, "kW"),
        between(&power)
    )
}

fn between(power: &PowerInterval) -> String {
    format!("{} to {}", words::number(power.lower), words::quantity(power.upper, "kW"))
}

fn margin(at_least: f64) -> String {
    if at_least > 0.0 { format!(" and {} more", words::percent(at_least)) } else { String::new() }
}

fn ambient(headroom: &Headroom, at: Ambient) -> String {
    match (at, headroom.design_water_celsius) {
        (Ambient::Design, Some(water)) => format!("facility water {}", words::quantity(water, "Cel")),
        (Ambient::Design, None) | (Ambient::Now, _) => format!("as of {}", words::moment(headroom.time)),
    }
}

fn evidence(subject: &Subject, headroom: &Headroom, at: Ambient, limit: &Sustainable) -> Evidence {
    let place = &subject.facts.place;
    let (value, text) = match &limit.power {
        SustainablePower::Known(power) => (
            Some(power.kilowatts),
            format!("{} ({})", words::quantity(power.kilowatts, "kW"), between(power)),
        ),
        SustainablePower::Unknown { why, .. } => (None, format!("unknown: {why}")),
        SustainablePower::NotApplicable { missing } => {
            (None, format!("does not apply: without {}", missing.join(", ")))
        }
    };
    let name = format!("{}/{}", at.name(), limit.constraint.name());
    Evidence {
        query: format!(
            "SELECT time, value, confidence FROM headroom WHERE rack = {} AND \"limit\" = {} ORDER BY time DESC LIMIT 60",
            words::literal(place.rack.as_deref().unwrap_or_default()),
            words::literal(&name)
        ),
        name,
        value,
        unit: "kW".into(),
        text,
        place: words::labels(place),
        time: Some(headroom.time),
    }
}
