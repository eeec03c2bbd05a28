//! Reads a row's time: RFC 3339, a declared form, or a number in a declared unit. Nothing is guessed.

use jiff::civil::DateTime;
use jiff::fmt::strtime;
use jiff::tz::{Offset, TimeZone};
use telemetry::EventTime;

use super::cell::Cell;
use super::options::{FileOptions, TimeUnit};
use crate::decoded::fits;

/// How times are written.
#[derive(Debug, Clone)]
pub(crate) struct TimeReader {
    format: Option<String>,
    unit: Option<TimeUnit>,
    zone: Option<TimeZone>,
}

impl TimeReader {
    /// From `--time-format`, `--time-unit` and `--time-zone`.
    pub fn new(options: &FileOptions) -> Result<Self, String> {
        if options.time_format.is_some() && options.time_unit.is_some() {
            return Err("--time-format is for text and --time-unit for numbers: give one of them".to_owned());
        }
        let zone = options.time_zone.as_deref().map(zone).transpose()?;
        Ok(Self { format: options.time_format.clone(), unit: options.time_unit, zone })
    }

    /// The moment that a cell names.
    pub fn read(&self, cell: Cell<'_>) -> Result<EventTime, String> {
        let time = match cell {
            Cell::Empty => return Err("the time is empty".to_owned()),
            Cell::Text(text) => self.read_text(text.trim())?,
            Cell::Integer(number) => self.read_number(&number.to_string())?,
            Cell::Number(number) => self.read_number(&number.to_string())?,
            Cell::Time(time) => time,
            Cell::LocalTime(time) if self.zone == Some(TimeZone::UTC) => time,
            Cell::LocalTime(time) => {
                let timestamp = jiff::Timestamp::from_microsecond(time.unix_micros())
                    .map_err(|error| error.to_string())?;
                self.local(TimeZone::UTC.to_datetime(timestamp), &time.to_rfc3339())?
            }
        };
        if fits(time) { Ok(time) } else { Err("the time is outside the years 1 to 9999".to_owned()) }
    }

    fn read_text(&self, text: &str) -> Result<EventTime, String> {
        if let Some(format) = &self.format {
            return self.read_declared(format, text);
        }
        if self.unit.is_some() || looks_like_a_number(text) {
            return self.read_number(text);
        }
        if let Ok(time) = EventTime::from_rfc3339(text) {
            return Ok(time);
        }
        match text.parse::<DateTime>() {
            Ok(local) => self.local(local, text),
            Err(_) => Err(format!(
                "{text:?} is not an RFC 3339 time: give its form with --time-format, such as '%d.%m.%Y %H:%M:%S'"
            )),
        }
    }

    fn read_declared(&self, format: &str, text: &str) -> Result<EventTime, String> {
        let parts = strtime::parse(format, text).map_err(|error| {
            format!("{text:?} does not have the form {format:?} of --time-format: {error}")
        })?;
        // Only where the form holds a zone or an offset.
        if let Ok(timestamp) = parts.to_timestamp() {
            return from_nanoseconds(timestamp.as_nanosecond());
        }
        let local = parts.to_datetime().map_err(|error| format!("{text:?} names no moment: {error}"))?;
        self.local(local, text)
    }

    /// A time without zone. Of a time that occurs twice when clocks go back, the first is meant.
    fn local(&self, local: DateTime, text: &str) -> Result<EventTime, String> {
        let zone = self.zone.as_ref().ok_or_else(|| {
            format!("{text:?} has no time zone: give --time-zone, such as UTC, +02:00 or Europe/Berlin")
        })?;
        let zoned = zone
            .to_ambiguous_zoned_datetime(local)
            .compatible()
            .map_err(|error| format!("{text:?}: {error}"))?;
        from_nanoseconds(zoned.timestamp().as_nanosecond())
    }

    /// A decimal number, read digit by digit: a float would lose microseconds.
    fn read_number(&self, text: &str) -> Result<EventTime, String> {
        let unit = self
            .unit
            .ok_or_else(|| format!("{text:?} is a number: say its unit with --time-unit s, ms, us or ns"))?;
        let refused = || format!("{text:?} is not a number of the unit that --time-unit says");
        let (negative, digits) = text.strip_prefix('-').map_or((false, text), |digits| (true, digits));
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        let all_digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        if whole.is_empty() || whole.len() > 20 || !all_digits(whole) || !all_digits(fraction) {
            return Err(refused());
        }
        let mut nanoseconds = whole.parse::<i128>().map_err(|_| refused())? * unit.nanoseconds();
        let mut place = unit.nanoseconds();
        for digit in fraction.bytes() {
            place /= 10;
            nanoseconds += i128::from(digit - b'0') * place;
        }
        from_nanoseconds(if negative { -nanoseconds } else { nanoseconds })
    }
}

fn from_nanoseconds(nanoseconds: i128) -> Result<EventTime, String> {
    i64::try_from(nanoseconds.div_euclid(1_000))
        .map(EventTime::from_unix_micros)
        .map_err(|_| "the time is outside the years 1 to 9999".to_owned())
}

fn looks_like_a_number(text: &str) -> bool {
    !text.is_empty() && text.parse::<f64>().is_ok()
}

fn zone(text: &str) -> Result<TimeZone, String> {
    let refused = || {
        format!(
            "{text:?} is not a time zone known here: write UTC, an offset such as +02:00, or a name of the system's zone database such as Europe/Berlin"
        )
    };
    if matches!(text, "UTC" | "Z" | "utc") {
        return Ok(TimeZone::UTC);
    }
    if let Some((hours, minutes)) = text.strip_prefix(['+', '-']).and_then(|rest| rest.split_once(':')) {
        let (hours, minutes): (i32, i32) =
            (hours.parse().map_err(|_| refused())?, minutes.parse().map_err(|_| refused())?);
        let seconds = (hours * 60 + minutes) * 60;
        let seconds = if text.starts_with('-') { -seconds } else { seconds };
        return Offset::from_seconds(seconds).map(TimeZone::fixed).map_err(|_| refused());
    }
    TimeZone::get(text).map_err(|_| refused())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reader(format: Option<&str>, unit: Option<&str>, zone: Option<&str>) -> TimeReader {
        TimeReader::new(&FileOptions {
            time_format: format.map(str::to_owned),
            time_unit: unit.map(|unit| unit.parse().unwrap()),
            time_zone: zone.map(str::to_owned),
            ..FileOptions::default()
        })
        .unwrap()
    }

    fn read(reader: &TimeReader, text: &str) -> Result<String, String> {
        reader.read(Cell::Text(text)).map(EventTime::to_rfc3339)
    }

    #[test]
    fn a_time_is_read_in_the_form_it_has() {
        let cases = [
            (reader(None, None, None), "2026-01-05T11:00:00.5+01:00", "2026-01-05T10:00:00.500000Z"),
            (reader(None, None, Some("UTC")), "2013-12-02 21:15:00", "2013-12-02T21:15:00.000000Z"),
            (reader(None, None, Some("+02:00")), "2013-12-02T21:15:00", "2013-12-02T19:15:00.000000Z"),
            (reader(None, Some("s"), None), "1700000000.1234567", "2023-11-14T22:13:20.123456Z"),
            (reader(None, Some("ns"), None), "-1", "1969-12-31T23:59:59.999999Z"),
            (
                reader(Some("%m/%d/%Y %H:%M"), None, Some("UTC")),
                "3/11/2017 0:01",
                "2017-03-11T00:01:00.000000Z",
            ),
            (
                reader(Some("%d.%m.%Y %H:%M:%S %z"), None, None),
                "05.01.2026 11:00:00 +0100",
                "2026-01-05T10:00:00.000000Z",
            ),
        ];
        for (reader, text, expected) in cases {
            assert_eq!(read(&reader, text), Ok(expected.to_owned()), "{text}");
        }
    }

    #[test]
    fn nothing_is_guessed_about_a_time() {
        let cases = [
            (reader(None, None, None), "2013-12-02 21:15:00", "has no time zone: give --time-zone"),
            (reader(None, None, Some("UTC")), "1700000000", "is a number: say its unit with --time-unit"),
            (reader(None, None, Some("UTC")), "3/11/2017 0:01", "give its form with --time-format"),
            (reader(Some("%Y-%m-%d"), None, Some("UTC")), "11.3.2017", "does not have the form"),
            (reader(None, Some("s"), None), "soon", "is not a number of the unit"),
            (reader(None, Some("s"), None), "99999999999999", "outside the years 1 to 9999"),
            (reader(None, None, None), "", "is not an RFC 3339 time"),
        ];
        for (reader, text, expected) in cases {
            let message = read(&reader, text).unwrap_err();
            assert!(message.contains(expected), "{text}: {message}");
        }
        let unknown =
            TimeReader::new(&FileOptions { time_zone: Some("Mars".into()), ..FileOptions::default() });
        assert!(unknown.unwrap_err().contains("is not a time zone known here"));
    }
}
