use proptest::prelude::*;
use telemetry::place::{PartitionKey, Place, SeriesIdentity};
use telemetry::record::{Feed, SeriesId};

use super::*;

fn at(seconds: i64) -> EventTime {
    EventTime::from_unix_micros(seconds * 1_000_000)
}

fn series(signal: &str, temporality: Temporality) -> Series {
    let place = Place { site: "s1".into(), rack: Some("r1".into()), ..Place::default() };
    Series::new(&SeriesDeclaration {
        partition: PartitionKey::of(&place),
        id: SeriesId(0),
        identity: SeriesIdentity::new(place, signal.into(), None),
        cooling_loop: None,
        declared: true,
        unit: "L/min".into(),
        source: "otlp".into(),
        source_name: "coolant_flow".into(),
        source_unit: "L/min".into(),
        temporality,
        feed: Feed::Unsaid,
        labels: Default::default(),
    })
}

/// What a series knows and has told at the end of each minute.
fn minutes(
    readings: &[(i64, u8, Flag)],
    signal: &str,
    temporality: Temporality,
    tidy_every: Option<i64>,
) -> Vec<String> {
    let mut series = series(signal, temporality);
    let mut told = Vec::new();
    let mut coming = readings.iter().peekable();
    for second in 0..700 {
        while let Some((time, level, flag)) = coming.next_if(|(time, _, _)| *time <= second + 30) {
            series.insert(at(*time), f64::from(*level) / 3.0, *flag, Some(at(second)));
        }
        if second > 0 && second % 60 == 0 {
            let mut events = Vec::new();
            series.settle(at(second), |event| events.push(event));
            series.integrate(at(second));
            let closed = series.close_block(at(second));
            series.forget_before(at(second));
            let Series { latest, scatter, stuck, known, hold, first, total, .. } = &series;
            told.push(format!(
                "{events:?} {closed:?} {latest:?} {scatter:?} {stuck:?} {known:?} {hold:?} {first:?} {total:?}"
            ));
        } else if tidy_every.is_some_and(|every| second % every == 0) {
            series.tidy(at(second));
        }
    }
    told
}

#[test]
fn a_fast_feed_that_is_tidied_keeps_no_more_than_what_waits_and_one_period() {
    let mut series = series("gpu_temperature", Temporality::Gauge);
    for second in 0..600 {
        series.insert(at(second + 30), 7.0 + (second % 7) as f64, Flag::Ok, Some(at(second)));
        if second % 20 == 0 {
            series.tidy(at(second));
        }
    }
    assert!(series.points.len() <= 52, "{}", series.points.len());
    assert!(series.points.capacity() <= 56, "{}", series.points.capacity());
}

#[test]
fn the_same_absurd_time_again_and_again_is_one_report() {
    let mut series = series("gpu_temperature", Temporality::Gauge);
    let fates: Vec<Fate> = (0..3)
        .map(|_| series.insert(EventTime::from_unix_micros(i64::MAX), 1.0, Flag::Ok, Some(at(0))))
        .collect();
    assert_eq!(fates, [Fate::Stored(Flag::Ok), Fate::Duplicate, Fate::Duplicate]);
    assert_eq!(series.points.len(), 1);
}

proptest! {
    /// Blocks, events, scatter and known time are the same to the last bit, however often it is tidied.
    #[test]
    fn nothing_shows_that_a_series_was_tidied(
        readings in prop::collection::btree_map(0_i64..700, (0_u8..40, 0_u8..60), 100..700),
        quiet in (0_i64..600, 0_i64..200),
        every in 1_i64..40,
        is_delta in any::<bool>(),
        signal in prop::sample::select(vec!["gpu_temperature", "coolant_flow"]),
    ) {
        let temporality = if is_delta { Temporality::Delta } else { Temporality::Gauge };
        let readings: Vec<(i64, u8, Flag)> = readings
            .into_iter()
            .filter(|(time, _)| !(quiet.0..quiet.0 + quiet.1).contains(time))
            .map(|(time, (level, kind))| {
                let flag = match kind {
                    0 => Flag::Stale,
                    1 => Flag::Distrusted,
                    2 => Flag::Sentinel,
                    _ => Flag::Ok,
                };
                (time, level, flag)
            })
            .collect();
        let tidied = minutes(&readings, signal, temporality, Some(every));
        prop_assert_eq!(tidied, minutes(&readings, signal, temporality, None));
    }
}
