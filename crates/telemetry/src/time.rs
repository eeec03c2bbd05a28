//! Event time: integer microseconds, UTC. There is no `now()` here.

use std::fmt;
use std::ops::{Add, AddAssign, Sub, SubAssign};

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// A length of event time in microseconds; may be negative as a difference.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Microseconds(pub i64);

impl Microseconds {
    /// No time at all.
    pub const ZERO: Self = Self(0);

    /// From whole seconds.
    pub const fn from_seconds(seconds: i64) -> Self {
        Self(seconds * 1_000_000)
    }

    /// From milliseconds.
    pub const fn from_milliseconds(milliseconds: i64) -> Self {
        Self(milliseconds * 1_000)
    }

    /// From whole minutes.
    pub const fn from_minutes(minutes: i64) -> Self {
        Self::from_seconds(minutes * 60)
    }

    /// From whole hours.
    pub const fn from_hours(hours: i64) -> Self {
        Self::from_minutes(hours * 60)
    }

    /// The number of microseconds.
    pub const fn get(self) -> i64 {
        self.0
    }

    /// As seconds, for people and for statistics; exact below 2^53 µs (285 years).
    pub fn as_seconds(self) -> f64 {
        self.0 as f64 / 1e6
    }
}

// Sums and differences end where 64 bits do, 292,000 years from the epoch: readings may claim any time.

impl Add for Microseconds {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl AddAssign for Microseconds {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl Sub for Microseconds {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }
}

impl SubAssign for Microseconds {
    fn sub_assign(&mut self, other: Self) {
        *self = *self - other;
    }
}

impl fmt::Display for Microseconds {
    /// `90s`, `1.5s`, `20m`, `4h`, `28d`: the shortest exact form.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [(i64, &str); 5] =
            [(86_400_000_000, "d"), (3_600_000_000, "h"), (60_000_000, "m"), (1_000_000, "s"), (1_000, "ms")];
        for (length, symbol) in UNITS {
            if self.0 != 0 && self.0 % length == 0 {
                return write!(f, "{}{symbol}", self.0 / length);
            }
        }
        match self.0 {
            0 => write!(f, "0s"),
            _ => write!(f, "{}s", self.as_seconds()),
        }
    }
}

impl std::str::FromStr for Microseconds {
    type Err = String;

    /// Reads `500ms`, `90s`, `20m`, `4h`, `28d`, `2w`.
    fn from_str(text: &str) -> Result<Self, String> {
        let refused = || {
            format!(
                "{text:?} is not a length of time: write a number and a unit, such as 30s, 20m, 4h or 28d"
            )
        };
        let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(refused)?;
        let (number, unit) = text.split_at(digits);
        let scale: i64 = match unit {
            "us" => 1,
            "ms" => 1_000,
            "s" => 1_000_000,
            "m" => 60_000_000,
            "h" => 3_600_000_000,
            "d" => 86_400_000_000,
            "w" => 7 * 86_400_000_000,
            _ => return Err(refused()),
        };
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        let whole: i64 = whole.parse().map_err(|_| refused())?;
        let mut total = whole.checked_mul(scale).ok_or_else(refused)?;
        let mut unit = scale;
        for digit in fraction.bytes() {
            if unit % 10 != 0 {
                return Err(refused());
            }
            unit /= 10;
            total += i64::from(digit - b'0') * unit;
        }
        Ok(Self(total))
    }
}

/// A moment of event time: microseconds since 1970-01-01T00:00:00Z.
///
/// Microseconds because Delta tables keep no finer ones: a replay from history then equals the live run.
/// The only sources of time are the samples and the log's ticks.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct EventTime(i64);

impl EventTime {
    /// Before every reading.
    pub const MINIMUM: Self = Self(i64::MIN);

    /// From microseconds since the Unix epoch.
    pub const fn from_unix_micros(micros: i64) -> Self {
        Self(micros)
    }

    /// From milliseconds since the Unix epoch, as Prometheus sends them.
    /// `None` when it does not fit into microseconds.
    pub const fn from_unix_millis(millis: i64) -> Option<Self> {
        match millis.checked_mul(1_000) {
            Some(micros) => Some(Self(micros)),
            None => None,
        }
    }

    /// From nanoseconds since the Unix epoch, as OTLP sends them; rounds down.
    pub const fn from_unix_nanos(nanos: i64) -> Self {
        Self(nanos.div_euclid(1_000))
    }

    /// Microseconds since the Unix epoch.
    pub const fn unix_micros(self) -> i64 {
        self.0
    }

    /// The start of the window of length `width` that holds this moment; windows are aligned to the epoch, so
    /// that every rack's windows line up. Rounds down before 1970 too.
    #[inline] // Most widths are constants, by which division is a multiplication.
    pub const fn window_start(self, width: Microseconds) -> Self {
        Self(self.0.saturating_sub(self.0.rem_euclid(width.0)))
    }

    /// Reads an RFC 3339 time, with any offset; nanoseconds are rounded down.
    ///
    /// # Errors
    /// Says what was read and what is expected.
    pub fn from_rfc3339(text: &str) -> Result<Self, String> {
        let parsed = OffsetDateTime::parse(text, &Rfc3339)
            .map_err(|_| format!("{text:?} is not an RFC 3339 time: write it like 2026-01-05T10:00:00Z"))?;
        Ok(Self(i64::try_from(parsed.unix_timestamp_nanos().div_euclid(1_000)).expect("years 0 to 9999 fit")))
    }

    /// RFC 3339 in UTC with six digits: `2026-01-05T10:00:00.000000Z`.
    pub fn to_rfc3339(self) -> String {
        let Ok(moment) = OffsetDateTime::from_unix_timestamp_nanos(i128::from(self.0) * 1_000) else {
            return format!("{}us", self.0);
        };
        format!(
            "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:06}Z",
            moment.year(),
            u8::from(moment.month()),
            moment.day(),
            moment.hour(),
            moment.minute(),
            moment.second(),
            moment.microsecond()
        )
    }
}

impl fmt::Display for EventTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_rfc3339())
    }
}

impl Add<Microseconds> for EventTime {
    type Output = Self;
    fn add(self, length: Microseconds) -> Self {
        Self(self.0.saturating_add(length.0))
    }
}

impl Sub<Microseconds> for EventTime {
    type Output = Self;
    fn sub(self, length: Microseconds) -> Self {
        Self(self.0.saturating_sub(length.0))
    }
}

impl Sub for EventTime {
    type Output = Microseconds;
    fn sub(self, earlier: Self) -> Microseconds {
        Microseconds(self.0.saturating_sub(earlier.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nanoseconds_round_down_on_both_sides_of_1970() {
        assert_eq!(EventTime::from_unix_nanos(1_999).unix_micros(), 1);
        assert_eq!(EventTime::from_unix_nanos(-1).unix_micros(), -1);
    }

    #[test]
    fn a_time_reads_back_as_it_was_written() {
        let time = EventTime::from_rfc3339("2026-01-05T11:00:00.123456789+01:00").unwrap();
        assert_eq!(time.to_rfc3339(), "2026-01-05T10:00:00.123456Z");
        assert_eq!(EventTime::from_rfc3339(&time.to_rfc3339()), Ok(time));
    }

    #[test]
    fn windows_are_aligned_to_the_epoch() {
        let width = Microseconds::from_seconds(60);
        assert_eq!(EventTime(-1).window_start(width), EventTime(-60_000_000));
        assert_eq!(EventTime(60_000_000).window_start(width), EventTime(60_000_000));
    }

    #[test]
    fn lengths_are_read_and_written_exactly() {
        for text in ["500ms", "90s", "20m", "4h", "28d"] {
            let length: Microseconds = text.parse().unwrap();
            assert_eq!(length.to_string(), text);
        }
        assert_eq!("1.5h".parse(), Ok(Microseconds::from_minutes(90)));
        assert_eq!("2w".parse(), Ok(Microseconds::from_hours(14 * 24)));
        assert!("20".parse::<Microseconds>().unwrap_err().contains("a number and a unit"));
    }
}
