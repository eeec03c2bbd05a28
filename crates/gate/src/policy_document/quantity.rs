//! Numbers with a unit in policies: lengths of time, shares, power.

use telemetry::Microseconds;
use telemetry::unit::{Unit, conversion};

/// A length of time longer than none.
pub fn length(field: &str, text: &str) -> Result<Microseconds, String> {
    match text.parse::<Microseconds>() {
        Ok(length) if length > Microseconds::ZERO => Ok(length),
        Ok(_) => Err(format!("{field} is {text:?}: give a length of time longer than none, such as 10m")),
        Err(message) => Err(format!("{field}: {message}")),
    }
}

/// A share above 0 and up to 1, in parts per million.
pub fn share_ppm(field: &str, share: f64) -> Result<u32, String> {
    if 0.0 < share && share <= 1.0 {
        Ok((share * 1e6).round() as u32)
    } else {
        Err(format!("{field} is {share}: give a share above 0 and up to 1, such as 0.95"))
    }
}

/// Power in kW: a plain number is kW, else with its unit (`60kW`, `60000 W`).
pub fn kilowatts(field: &str, text: &str) -> Result<f64, String> {
    let refused = || format!("{field} is {text:?}: give a power, such as 60kW");
    let split = text.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let number: f64 = number.trim().parse().map_err(|_| refused())?;
    let unit = if unit.is_empty() { "kW" } else { unit };
    let kilowatt = Unit::parse("kW").ok_or_else(refused)?;
    let converted = Unit::parse(unit).and_then(|unit| conversion(unit, kilowatt).ok()).ok_or_else(refused)?;
    let power = converted.apply(number);
    if power.is_finite() && power > 0.0 { Ok(power) } else { Err(refused()) }
}
