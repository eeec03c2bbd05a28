//! Short gaps are bridged by a straight line, because the models take none, and it is told which.
//!
//! blocks → **repair** → models

use telemetry::{EventTime, Microseconds};

use crate::blocks::Series;
use crate::refusal::Refusal;

/// What may be unknown of a window, %. Above, the lines between would be most of what the model learns.
const GAPS_PERCENT_MAX: u32 = 20;
/// The part of a window that one gap may take.
const GAP_PARTS: usize = 12;

/// A gap that was bridged.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bridge {
    /// Where it begins.
    pub from: EventTime,
    /// Where it ends.
    pub until: EventTime,
}

/// A series without gaps, and what was done to it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Repaired {
    /// One value a step.
    pub values: Vec<f64>,
    /// Steps that were known.
    pub known: usize,
    /// Gaps that were bridged, in order.
    pub bridges: Vec<Bridge>,
}

/// Bridges the gaps of a series of at least `wanted` known steps.
///
/// # Errors
/// [`Refusal::TooLittle`], [`Refusal::TooManyGaps`], [`Refusal::GapTooLong`], [`Refusal::NoScatter`].
pub(crate) fn repair(series: &Series, wanted: usize) -> Result<Repaired, Refusal> {
    let known = series.values().iter().flatten().count();
    if known < wanted {
        return Err(Refusal::TooLittle { known, wanted, step: series.step() });
    }
    let all = series.values().len();
    let missing = all - known;
    let share_percent = u32::try_from((100 * missing).div_ceil(all.max(1))).unwrap_or(100);
    if share_percent > GAPS_PERCENT_MAX {
        return Err(Refusal::TooManyGaps { share_percent, share_percent_max: GAPS_PERCENT_MAX });
    }
    let mut values = Vec::with_capacity(all);
    let mut bridges = Vec::new();
    let mut before: Option<(usize, f64)> = None;
    for (index, value) in series.values().iter().enumerate() {
        let Some(value) = *value else { continue };
        if let Some((from, start)) = before.filter(|(from, _)| index - from > 1) {
            let gap = index - from - 1;
            let longest = (all / GAP_PARTS).max(1);
            let length = |steps: usize| Microseconds(series.step().get() * steps as i64);
            if gap > longest {
                let from = series.at(from + 1);
                return Err(Refusal::GapTooLong { from, length: length(gap), longest: length(longest) });
            }
            let slope = (value - start) / (gap + 1) as f64;
            values.extend((1..=gap).map(|step| start + slope * step as f64));
            bridges.push(Bridge { from: series.at(from + 1), until: series.at(index) });
        }
        values.push(value);
        before = Some((index, value));
    }
    if values.iter().all(|value| *value == values[0]) {
        return Err(Refusal::NoScatter { known });
    }
    Ok(Repaired { values, known, bridges })
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Microseconds = Microseconds::from_minutes(1);

    fn series(values: &[Option<f64>]) -> Series {
        Series::new(EventTime::from_unix_micros(0), MINUTE, values).unwrap()
    }

    fn ramp(count: usize, gaps: &[usize]) -> Series {
        let values: Vec<_> = (0..count).map(|i| (!gaps.contains(&i)).then_some(i as f64)).collect();
        series(&values)
    }

    #[test]
    fn gaps_are_bridged_by_a_line_and_told() {
        let repaired = repair(&ramp(36, &[4, 10, 11, 12]), 30).unwrap();
        assert_eq!(repaired.values, (0..36).map(f64::from).collect::<Vec<_>>());
        assert_eq!(repaired.known, 32);
        let minute = |minute: i64| EventTime::from_unix_micros(minute * MINUTE.get());
        assert_eq!(
            repaired.bridges,
            [Bridge { from: minute(4), until: minute(5) }, Bridge { from: minute(10), until: minute(13) }]
        );
    }

    #[test]
    fn what_is_too_little_too_gappy_or_flat_is_refused_with_the_reason() {
        let refused = repair(&ramp(36, &[4]), 36).unwrap_err().to_string();
        assert!(refused.starts_with("too little is known: 35 steps of 1m where 36 are needed"), "{refused}");
        let every_third: Vec<usize> = (1..35).step_by(3).collect();
        let refused = repair(&ramp(36, &every_third), 10).unwrap_err().to_string();
        assert_eq!(refused, "too many gaps: 34 % of the window is unknown, at most 20 % may be");
        let refused = repair(&ramp(36, &[7, 8, 9, 10]), 10).unwrap_err().to_string();
        assert_eq!(
            refused,
            "a gap of 4m from 1970-01-01T00:07:00.000000Z is too long to be bridged (at most 3m)"
        );
        assert_eq!(repair(&series(&[Some(18.0); 40]), 10).unwrap_err().code(), "NO_SCATTER");
    }
}
