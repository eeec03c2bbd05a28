//! Numbers, lengths of time and SQL as people read them in reasons and evidence.

use telemetry::facts::{Doubt, Outcome, SensorTrust};
use telemetry::unit::Unit;
use telemetry::{EventTime, Labels, Microseconds, Name, place::Place};

/// A number with as many digits as a person needs: four behind the point below 1, else two, without trailing zeros.
pub fn number(value: f64) -> String {
    let digits = if value.abs() < 1.0 { 4 } else { 2 };
    let text = format!("{value:.digits$}");
    match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text,
    }
}

/// A number with its unit: `13.1 K`, `44.9 °C`, `ok` for a state code, `3` for a count.
pub fn quantity(value: f64, unit: &str) -> String {
    match unit {
        "" => telemetry::signal::state_name(value).map_or_else(|| number(value), str::to_owned),
        "1" => number(value),
        "s" => span(Microseconds((value * 1e6).round() as i64)),
        _ => {
            let unit = Unit::parse(unit).map_or_else(|| unit.to_owned(), Unit::for_people);
            format!("{} {unit}", number(value))
        }
    }
}

/// A share as per cent: `99.4 %`. Rounded down, so that 94.99 % is not told as the 95 % it misses.
pub fn percent(share: f64) -> String {
    format!("{} %", number((share * 1e4).floor() / 1e2))
}

/// Coverage, or that there is none.
pub fn coverage(share: Option<f64>) -> String {
    share.map_or_else(|| "no time asked yet".into(), |share| format!("coverage {}", percent(share)))
}

/// A length of time in its two greatest units: `1h 12m`, `12m 30s`, `45s`, `0.5s`.
pub fn span(length: Microseconds) -> String {
    let sign = if length.0 < 0 { "-" } else { "" };
    let micros = length.0.unsigned_abs();
    if micros < 60_000_000 {
        return format!("{sign}{}s", number(micros as f64 / 1e6));
    }
    let seconds = micros / 1_000_000;
    let (great, small) = match seconds {
        86_400.. => ((seconds / 86_400, "d"), (seconds % 86_400 / 3_600, "h")),
        3_600.. => ((seconds / 3_600, "h"), (seconds % 3_600 / 60, "m")),
        _ => ((seconds / 60, "m"), (seconds % 60, "s")),
    };
    match small.0 {
        0 => format!("{sign}{}{}", great.0, great.1),
        _ => format!("{sign}{}{} {}{}", great.0, great.1, small.0, small.1),
    }
}

/// How much of the budget is spent or left.
pub fn budget(left: f64) -> String {
    if left < 0.0 {
        format!("budget spent {}×", number(1.0 - left))
    } else {
        format!("budget left {}", percent(left))
    }
}

/// A moment to the second: `2026-01-05T10:00:00Z`.
pub fn moment(time: EventTime) -> String {
    let text = time.to_rfc3339();
    match text.split_once('.') {
        Some((seconds, _)) => format!("{seconds}Z"),
        None => text,
    }
}

/// An outcome in reasons.
pub const fn outcome(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Ok => "kept",
        Outcome::NotOk => "broken",
        Outcome::Unknown => "unknown",
    }
}

/// `rack r07`, `loop cdu3, rack r07`: without the site and without the rack's loop, for sentences.
pub fn place(place: &Place) -> String {
    let named: Vec<String> = place
        .levels()
        .filter(|(level, _)| *level != "site" && (*level != "loop" || place.rack.is_none()))
        .map(|(level, name)| format!("{level} {name}"))
        .collect();
    if named.is_empty() { format!("site {}", place.site) } else { named.join(", ") }
}

/// `coolant_flow on rack r07 is suspect: finding hb`, with the sensor's name where it has one.
pub fn sensor(sensor: &SensorTrust) -> String {
    let name = sensor.sensor.as_ref().map_or_else(String::new, |name| format!(" (sensor {name})"));
    format!(
        "{}{name} on {} is {}: {}",
        sensor.signal,
        place(&sensor.place),
        sensor.trust.name(),
        sensor.reason
    )
}

/// The same, with what stands in for it: `…; left out, B counts instead`.
pub fn doubt(doubt: &Doubt) -> String {
    let said = sensor(&doubt.sensor);
    match doubt.instead.is_empty() {
        true => said,
        false => format!("{said}; left out, {} counts instead", doubt.instead.join(" and ")),
    }
}

/// A place's levels, for evidence.
pub fn labels(place: &Place) -> Labels {
    place.levels().map(|(level, name)| (Name::from(level), name.clone())).collect()
}

/// Text as an SQL literal.
pub fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// The SQL condition for a place: its levels that are there, but a rack's loop, which may have changed.
pub fn condition(place: &Place) -> String {
    place
        .levels()
        .filter(|(level, _)| *level != "loop" || place.rack.is_none())
        .map(|(level, name)| format!(" AND {level} = {}", literal(name)))
        .collect()
}

/// The signals that an expression names, in order, each once; functions such as `worst(` are none.
pub fn signals(expression: &str) -> Vec<&str> {
    let mut found: Vec<&str> = Vec::new();
    let mut rest = expression;
    let inside = |c: char| c.is_ascii_alphanumeric() || c == '_';
    while let Some(start) = rest.find(inside) {
        let end = rest[start..].find(|c| !inside(c)).map_or(rest.len(), |length| start + length);
        let word = &rest[start..end];
        rest = &rest[end..];
        let is_name =
            word.starts_with(|c: char| c.is_ascii_alphabetic()) && !rest.trim_start().starts_with('(');
        if is_name && !found.contains(&word) {
            found.push(word);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_the_digits_that_people_need() {
        let told: Vec<String> = [0.0, 13.0, 13.449, -0.00123, 0.95, 1234.5].map(number).into();
        assert_eq!(told, ["0", "13", "13.45", "-0.0012", "0.95", "1234.5"]);
    }

    #[test]
    fn a_share_that_misses_its_mark_is_not_told_as_reaching_it() {
        assert_eq!(percent(0.949_999), "94.99 %");
        assert_eq!(percent(0.95), "95 %");
        assert_eq!(percent(1.0), "100 %");
    }

    #[test]
    fn lengths_of_time_are_told_in_two_units() {
        let told: Vec<String> = [0.5, 45.0, 60.0, 754.0, 3_600.0, 4_320.0, 93_600.0, -90.0]
            .map(|seconds: f64| span(Microseconds((seconds * 1e6) as i64)))
            .into();
        assert_eq!(told, ["0.5s", "45s", "1m", "12m 34s", "1h", "1h 12m", "1d 2h", "-1m 30s"]);
    }

    #[test]
    fn quantities_carry_the_unit_that_people_read() {
        assert_eq!(quantity(44.9, "Cel"), "44.9 °C");
        assert_eq!(quantity(2.0, ""), "critical");
        assert_eq!(quantity(3.0, "1"), "3");
        assert_eq!(quantity(90.0, "s"), "1m 30s");
    }

    #[test]
    fn an_expression_names_its_signals_and_no_functions() {
        let text = "first_known(gpu_temperature_margin, gpu_slowdown_temperature - worst(gpu_temperature)) + gpu_temperature";
        assert_eq!(signals(text), ["gpu_temperature_margin", "gpu_slowdown_temperature", "gpu_temperature"]);
    }

    #[test]
    fn text_in_sql_cannot_end_its_literal() {
        assert_eq!(literal("r'1"), "'r''1'");
    }
}
