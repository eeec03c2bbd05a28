//! Rows that are not in the store yet, and how they become columns.

pub mod column; // one column of rows that never change
pub mod part; // rows as they came: read this first
pub mod plain; // rows of all other tables as columns
pub mod series; // which series there are, and their order
pub mod sorted; // rows of `samples` and `blocks` as columns in key order

/// Rows of one day, for the partition column.
pub type Day = i64;

/// Microseconds of a day.
const DAY_MICROS: i64 = 86_400_000_000;

/// First and last moment that a table keeps: the years 1 to 9999, which every reader of Delta can show.
const TIMES: std::ops::RangeInclusive<i64> = -62_135_596_800_000_000..=253_402_300_799_999_999;

/// A moment as the tables keep it: µs since 1970, moved to the nearest year that readers know.
pub fn kept_time(micros: i64) -> i64 {
    micros.clamp(*TIMES.start(), *TIMES.end())
}

/// The day of a moment, UTC, counted from 1970-01-01.
pub fn day_of(micros: i64) -> Day {
    micros.div_euclid(DAY_MICROS)
}

/// The day as the partition column has it: `2026-01-05`.
///
/// Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms", `civil_from_days`.
pub fn date_text(day: Day) -> String {
    let shifted = day + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day_of_month = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    format!("{year:04}-{month:02}-{day_of_month:02}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use telemetry::EventTime;

    #[test]
    fn a_day_is_the_date_of_its_moments() {
        for text in
            ["1969-12-31T23:59:59Z", "2000-02-29T00:00:00Z", "2026-01-05T10:00:00Z", "0001-01-01T00:00:00Z"]
        {
            let micros = EventTime::from_rfc3339(text).unwrap().unix_micros();
            assert_eq!(date_text(day_of(micros)), text[..10]);
        }
        assert_eq!(date_text(day_of(kept_time(i64::MAX))), "9999-12-31");
        assert_eq!(date_text(day_of(kept_time(i64::MIN))), "0001-01-01");
    }
}
