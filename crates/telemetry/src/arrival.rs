//! Rules for the time of arrival: what is late, and what comes from the future.

use crate::record::Flag;
use crate::{EventTime, Microseconds};

/// A reading further ahead of the tick is set aside: its clock is wrong, and it would end every gap before it.
pub const FUTURE_AFTER: Microseconds = Microseconds::from_seconds(60);

/// A reading further ahead of the tick is a finding of clock skew; it is judged all the same.
pub const SKEW_AFTER: Microseconds = Microseconds::from_seconds(2);

/// What the time of a reading alone says about it, at the last tick before it. Whether it is late is the
/// evaluator's to say, from the log alone.
///
/// ```
/// use telemetry::arrival::flag_of;
/// use telemetry::record::Flag;
/// use telemetry::{EventTime, Microseconds};
/// let tick = EventTime::from_unix_micros(0);
/// assert_eq!(flag_of(tick + Microseconds::from_seconds(60), tick), Flag::Ok);
/// assert_eq!(flag_of(tick + Microseconds::from_seconds(61), tick), Flag::Future);
/// ```
pub fn flag_of(time: EventTime, tick: EventTime) -> Flag {
    if time - tick > FUTURE_AFTER { Flag::Future } else { Flag::Ok }
}
