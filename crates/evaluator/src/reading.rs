//! What can be a reading at all, of whatever signal: the spans of known signals are judged where readings come in.

use telemetry::record::Flag;

/// The largest reading that is one: the square of anything larger is too near to the end of f64.
const LARGEST: f64 = 1e100;

/// Whether a sensor can have read this: a finite number of a size that can be reckoned with.
pub(crate) fn is_possible(value: f64) -> bool {
    value.abs() <= LARGEST
}

/// The flag of a reading that came with `flag`: what is none is set aside, whoever let it pass.
pub(crate) fn flag_of(value: f64, flag: Flag) -> Flag {
    match flag {
        Flag::Ok | Flag::Unusual if !value.is_finite() => Flag::Sentinel,
        Flag::Ok | Flag::Unusual if !is_possible(value) => Flag::Implausible,
        other => other,
    }
}
