//! Hunting on a recording of a real air handler whose valves hunt on some days: 15 days of winter, one reading a minute.
//!
//! Its supply air stands for the supply of a coolant loop; no valve position is given, for the recorded one is the
//! controller's wish. Each span of four hours is played by itself, as the reference judges it by itself.

use std::collections::BTreeMap;

use evaluator::Effect;
use telemetry::record::{Feed, Flag};
use telemetry::{EventTime, Microseconds};

use crate::recorded::read;
use crate::script::{Sample, Story, effects_of};

const BLOCK_MINUTES: usize = 240;
const SUPPLY: &str = "coolant_supply_temperature";

/// What the reference says of a span: the highest peak of its autocorrelation and its lag, and the standard deviation.
struct Reference {
    peak: f64,
    lag_minutes: usize,
    deviation_fahrenheit: f64,
}

impl Reference {
    /// Readings in °F minus their centred running mean over 41 minutes; peaks at lags of 4 to 30 minutes.
    fn of(fahrenheit: &[f64]) -> Self {
        let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
        let around = |index: usize| &fahrenheit[index.saturating_sub(20)..(index + 21).min(fahrenheit.len())];
        let residuals: Vec<f64> =
            fahrenheit.iter().enumerate().map(|(index, value)| value - mean(around(index))).collect();
        let square: f64 = residuals.iter().map(|residual| residual * residual).sum();
        let at = |lag: usize| {
            residuals.iter().zip(&residuals[lag..]).map(|(one, other)| one * other).sum::<f64>() / square
        };
        let peaks = (4..=30).filter(|lag| at(lag - 1) < at(*lag) && at(lag + 1) <= at(*lag));
        let lag_minutes = peaks.max_by(|one, other| at(*one).total_cmp(&at(*other))).unwrap_or(0);
        let centre = mean(&residuals);
        let spread = residuals.iter().map(|residual| (residual - centre) * (residual - centre));
        Self {
            peak: if lag_minutes == 0 { 0.0 } else { at(lag_minutes) },
            lag_minutes,
            deviation_fahrenheit: (spread.sum::<f64>() / residuals.len() as f64).sqrt(),
        }
    }

    fn is_clearly_hunting(&self) -> bool {
        0.55 <= self.peak && 0.3 < self.deviation_fahrenheit
    }

    fn is_clearly_calm(&self) -> bool {
        self.peak < 0.30 || self.deviation_fahrenheit < 0.20
    }
}

/// Spans of four hours by their name, in °F, a reading a minute.
fn spans() -> Option<BTreeMap<String, Vec<f64>>> {
    let text = read("lbnl_fdd/SZCAV.csv")?;
    let mut spans: BTreeMap<String, Vec<f64>> = BTreeMap::new();
    for line in text.lines().skip(1) {
        let mut cells = line.split(',');
        let (day, clock) = cells.next().unwrap().split_once(' ').unwrap();
        let hour: usize = clock.split_once(':').unwrap().0.parse().unwrap();
        let reading = cells.next().unwrap().parse().unwrap();
        spans.entry(format!("{day} {:02}", hour / 4 * 4)).or_default().push(reading);
    }
    Some(spans)
}

/// The period of the hunting that is found in a span, if any is.
fn hunting(fahrenheit: &[f64]) -> Option<Microseconds> {
    let start = EventTime::from_unix_micros(1_767_600_000_000_000);
    let mut story = Story::with(&[]);
    story.feed = Some(Feed::Periodic { interval: Microseconds::from_minutes(1) });
    for (minute, reading) in (0..).zip(fahrenheit) {
        let time = start + Microseconds::from_minutes(minute);
        let value = (reading - 32.0) / 1.8;
        story.samples(&[Sample { rack: "r1", signal: SUPPLY.to_owned(), time, value, flag: Flag::Ok }]);
        story.tick(time);
    }
    story.tick(start + Microseconds::from_minutes(fahrenheit.len() as i64 + 1));
    effects_of(&story.records).iter().find_map(|effect| match effect {
        Effect::Finding(finding) if &*finding.detector == "hunting" && finding.ended.is_none() => {
            Some(finding.evidence["period"].parse().expect("a length of time"))
        }
        _ => None,
    })
}

#[test]
fn an_air_handler_hunts_where_it_clearly_does_and_nowhere_that_it_clearly_does_not() {
    let Some(spans) = spans() else { return };
    let (mut clear, mut found, mut calm) = (0, Vec::new(), 0);
    let mut alarmed = Vec::new();
    for (name, fahrenheit) in &spans {
        assert_eq!(fahrenheit.len(), BLOCK_MINUTES, "{name}");
        let reference = Reference::of(fahrenheit);
        let period = hunting(fahrenheit);
        if reference.is_clearly_hunting() {
            clear += 1;
            found.extend(period.map(|period| (name, period, reference.lag_minutes)));
        } else if reference.is_clearly_calm() {
            calm += 1;
            alarmed.extend(period.map(|period| (name, period, reference.peak)));
        }
    }
    println!("found {} of {clear}: {found:?}\nalarmed {} of {calm}: {alarmed:?}", found.len(), alarmed.len());
    assert_eq!((clear, calm), (11, 69), "as counted by hand");
    assert_eq!(found.len(), 11);
    assert!(alarmed.len() <= 2, "{alarmed:?}");
    for (name, period, lag_minutes) in found {
        let of_reference = 60.0 * lag_minutes as f64;
        assert!(
            (period.as_seconds() - of_reference).abs() <= 0.15 * of_reference,
            "{name}: {period}, {of_reference} s"
        );
    }
}
