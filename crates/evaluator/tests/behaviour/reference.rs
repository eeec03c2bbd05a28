//! Burn rates against an independent integrator over raw readings, equal to the integer. It shares no code with the
//! engine: whole numbers, one loop over time, no rings, no holds that are learned.

use evaluator::{Counter, Effect};
use proptest::prelude::*;
use telemetry::facts::{ObjectiveStatus, Scope};
use telemetry::record::{Document, Feed, Flag};
use telemetry::{EventTime, Microseconds};

use crate::script::{BEGIN, Sample, Story, at, effects_of, objective};

const SECOND: i64 = 1_000_000;
const SLICE: i64 = 10 * SECOND;
const LIMIT: i128 = 45;

/// The integrator: readings (time in µs from the beginning, value), sorted, each held for `hold` at most.
struct Reference {
    readings: Vec<(i64, i64)>,
    hold: i64,
}

impl Reference {
    /// Good, bad and unknown time of the slices in [`from`, `to`), which begins at the first reading at the earliest.
    fn sum(&self, from: i64, to: i64) -> [i64; 3] {
        let mut sums = [0; 3];
        let Some((first, _)) = self.readings.first() else { return sums };
        let mut start = from.div_euclid(SLICE) * SLICE;
        while start < to {
            let (begin, end) = (start.max(*first).max(from), (start + SLICE).min(to));
            if begin < end {
                sums[self.state(begin, end)] += end - begin;
            }
            start += SLICE;
        }
        sums
    }

    /// 0 good, 1 bad, 2 unknown: by the mean of what is held, where half of the slice is known.
    fn state(&self, begin: i64, end: i64) -> usize {
        let (mut known, mut weighted) = (0_i128, 0_i128);
        for (index, (time, value)) in self.readings.iter().enumerate() {
            let next = self.readings.get(index + 1).map_or(i64::MAX, |(next, _)| *next);
            let (from, to) = ((*time).max(begin), next.min(time + self.hold).min(end));
            if from < to {
                known += i128::from(to - from);
                weighted += i128::from(*value) * i128::from(to - from);
            }
        }
        match known * 2 >= i128::from(end - begin) {
            true if weighted <= LIMIT * known => 0,
            true => 1,
            false => 2,
        }
    }

    /// Bad by known time by the budget of 1 %.
    fn burn(&self, from: i64, to: i64) -> Option<f64> {
        let [good, bad, _] = self.sum(from, to);
        (good + bad > 0).then(|| bad as f64 / (good + bad) as f64 / 0.01)
    }
}

/// Every hour and every five minutes are cut into buckets that the minute divides.
fn objectives() -> [Document; 2] {
    let mut supply = objective(
        "supply",
        "coolant_supply_temperature",
        "Cel",
        "lte 45",
        "0.99",
        "slice: {length: 10s, aggregation: timeWeightedMean}",
    );
    supply.text = supply.text.replace(
        "metadata: {name: supply}\nspec",
        "metadata: {name: supply, annotations: {thermogate.dev/burn-rate-policy: fixed}}\nspec",
    );
    let text = "apiVersion: thermogate.dev/v1alpha1\nkind: BurnRatePolicy\nmetadata: {name: fixed}\nspec:\n  \
                scale: fixed\n  pairs:\n    - {severity: page, long: 10m, short: 1m, factor: 20}\n    \
                - {severity: ticket, long: 30m, short: 5m, factor: 6}\n";
    [supply, Document { name: "fixed.yaml".into(), text: text.into() }]
}

fn check(status: &ObjectiveStatus, now: i64, reference: &Reference) -> Result<(), TestCaseError> {
    let first = reference.readings[0].0;
    let sums = reference.sum(0, now).map(Microseconds);
    let time = status.time;
    prop_assert_eq!([time.good, time.bad, time.unknown], sums, "at {}", now);
    for burn in &status.burn {
        let window = |length: Microseconds| (now - length.0).max(0);
        prop_assert_eq!(burn.burn_long, reference.burn(window(burn.long), now), "{:?} at {}", burn, now);
        prop_assert_eq!(burn.burn_short, reference.burn(window(burn.short), now), "{:?} at {}", burn, now);
        let ready = first <= now - burn.long.0;
        prop_assert_eq!(burn.ready, ready);
        // Fires: both windows, in whole numbers, with two bad units at least in the long one.
        let reaches = |length: Microseconds| {
            let [good, bad, unknown] = reference.sum(window(length), now).map(i128::from);
            let asked = good + bad + unknown;
            asked > 0 && bad * 1_000_000 >= i128::from(burn.factor_ppm) * asked / 100
        };
        let enough = reference.sum(window(burn.long), now)[1] >= 2 * SLICE;
        prop_assert_eq!(burn.firing, ready && enough && reaches(burn.long) && reaches(burn.short));
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn windows_and_burn_rates_are_those_of_an_independent_integrator(
        steps in prop::collection::vec((1_i64..25_000_000, 0_u8..40, any::<bool>()), 60..400),
        first in 0_i64..60_000_000,
        feed in 0_usize..3,
    ) {
        let seconds = Microseconds::from_seconds;
        let (feed, hold) = [
            (Feed::Periodic { interval: seconds(5) }, 15 * SECOND),
            (Feed::Periodic { interval: seconds(10) }, 30 * SECOND),
            (Feed::OnChange { republish: seconds(20) }, 40 * SECOND),
        ][feed];
        let mut story = Story::with(&objectives());
        story.feed = Some(feed);
        let mut readings: Vec<(i64, i64)> = Vec::new();
        let mut time = first;
        for (step, level, repeat) in steps {
            let value = 40 + i64::from(level == 0) * 10 + i64::from(level % 5);
            let sample = Sample {
                rack: "r1",
                signal: "coolant_supply_temperature".into(),
                time: BEGIN + Microseconds(time),
                value: value as f64,
                flag: Flag::Ok,
            };
            readings.push((time, value));
            let tick = EventTime::from_unix_micros(sample.time.unix_micros()).window_start(seconds(1));
            story.samples(std::slice::from_ref(&sample));
            if repeat {
                // The same again, and another value for the same time: the first stays.
                story.samples(&[sample.clone(), Sample { value: 99.0, ..sample }]);
            }
            story.tick(tick);
            // Now and then nothing comes for a while.
            time += if level == 39 { step * 8 } else { step };
        }
        story.tick(at(time / SECOND + 100));
        let reference = Reference { readings, hold };
        let effects = effects_of(&story.records);
        let mut checked = 0;
        for effect in &effects {
            let Effect::Status(row) = effect else { continue };
            let now = (row.time - BEGIN).0;
            if row.status.scope == Scope::Rolling && now % (60 * SECOND) == 0 {
                check(&row.status, now, &reference)?;
                checked += 1;
            }
        }
        prop_assert!(checked > 0);
        let late = effects.iter().any(|effect| matches!(effect, Effect::Count { counter: Counter::Late, .. }));
        prop_assert!(!late);
    }
}
