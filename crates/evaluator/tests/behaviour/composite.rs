//! Composites: several promises that are kept together, slice by slice.

use evaluator::{Effect, objective_document};
use proptest::prelude::*;
use telemetry::Microseconds;
use telemetry::expression::KnownSignals;
use telemetry::facts::{ObjectiveStatus, Outcome, TimeByState, UnknownReason};
use telemetry::record::{Document, Feed, Flag};

use crate::script::{LATENESS, Sample, Story, at, effects_of};

const SLICE: Microseconds = Microseconds::from_seconds(10);

/// One promise for a rack of all `parts`: expression, unit, limit.
fn composite(parts: &[(&str, &str, &str)]) -> Vec<Document> {
    let head = "apiVersion: openslo/v1\nkind: SLO\nmetadata: {name: rack-thermal}\nspec:\n  service: ai-rack\n  \
                budgetingMethod: Timeslices\n  timeWindow: [{duration: 28d, isRolling: true}]\n  objectives:\n";
    let part = |(expression, unit, limit): &(&str, &str, &str)| {
        format!(
            "    - {{{limit}, target: 0.99, compositeWeight: 1, indicator: {{metadata: {{name: part}}, spec: \
             {{thresholdMetric: {{metricSource: {{type: thermogate, spec: {{specVersion: v1alpha1, groupBy: [rack], \
             signal: {{expr: {expression}, unit: {unit}}}}}}}}}}}}}}}\n"
        )
    };
    let text = parts.iter().map(part).fold(head.to_owned(), |text, part| text + &part);
    let documents = vec![Document { name: "slo.yaml".into(), text }];
    objective_document::read(&documents, &KnownSignals::canonical())
        .unwrap_or_else(|errors| panic!("{errors:#?}"));
    documents
}

fn supply_and_flow() -> Vec<Document> {
    composite(&[
        ("coolant_supply_temperature", "Cel", "op: lte, value: 40"),
        ("coolant_flow", "L/min", "op: gte, value: 100"),
    ])
}

/// What a slice of one part says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Good,
    Bad,
    Unknown,
}

impl Part {
    fn sample(self, signal: &str, second: i64, good: f64, bad: f64) -> Sample {
        let (value, flag) = match self {
            Self::Good => (good, Flag::Ok),
            Self::Bad => (bad, Flag::Ok),
            Self::Unknown => (good, Flag::Distrusted),
        };
        Sample { rack: "r1", signal: signal.to_owned(), time: at(second), value, flag }
    }
}

/// The last status of the composite when each slice says this of its two parts.
fn judged(slices: &[(Part, Part)]) -> ObjectiveStatus {
    let mut story = Story::with(&supply_and_flow());
    story.feed = Some(Feed::Periodic { interval: SLICE });
    for (second, (supply, flow)) in (0..).step_by(10).zip(slices) {
        story.samples(&[
            supply.sample("coolant_supply_temperature", second, 35.0, 44.0),
            flow.sample("coolant_flow", second, 120.0, 80.0),
        ]);
        story.tick(at(second));
    }
    let end = at(10 * slices.len() as i64);
    story.tick(end + LATENESS);
    last_status(&story)
}

fn last_status(story: &Story) -> ObjectiveStatus {
    let effects = effects_of(&story.records);
    let facts = effects.iter().rev().find_map(|effect| match effect {
        Effect::Publish(facts) if facts.place.rack.is_some() => Some(facts),
        _ => None,
    });
    facts.expect("facts of the rack").objectives[0].clone()
}

fn times(good: i64, bad: i64, unknown: i64) -> TimeByState {
    let of = |slices: i64| Microseconds(slices * SLICE.0);
    TimeByState { good: of(good), bad: of(bad), unknown: of(unknown) }
}

#[test]
fn it_is_broken_where_one_part_is_and_kept_only_where_all_are() {
    use Part::{Bad, Good, Unknown};
    let all = [Good, Bad, Unknown];
    let slices: Vec<(Part, Part)> =
        all.into_iter().flat_map(|one| all.into_iter().map(move |other| (one, other))).collect();
    let status = judged(&slices);
    assert_eq!(status.time, times(1, 5, 3));
    assert_eq!(status.outcome, Outcome::NotOk);
    assert_eq!(
        &*status.signal, "coolant_supply_temperature <= 40 Cel and coolant_flow >= 100 L/min",
        "what is promised is told"
    );
    // 80 L/min lie 20 % beyond their limit, 44 °C only 10 %.
    let worst = status.worst.unwrap();
    assert_eq!((worst.value, &*status.unit, status.threshold), (20.0, "%", 0.0));
}

#[test]
fn a_part_that_is_not_measured_leaves_it_unknown_until_another_is_broken() {
    let mut story = Story::with(&supply_and_flow());
    story.feed = Some(Feed::Periodic { interval: SLICE });
    for second in (0..600).step_by(10) {
        story.samples(&[Part::Good.sample("coolant_supply_temperature", second, 35.0, 44.0)]);
        story.tick(at(second));
    }
    let status = last_status(&story);
    assert_eq!((status.outcome, status.unknown_reason), (Outcome::Unknown, Some(UnknownReason::NeverSeen)));
    assert_eq!(status.time.good, Microseconds::ZERO);
    for second in (600..660).step_by(10) {
        story.samples(&[Part::Bad.sample("coolant_supply_temperature", second, 35.0, 44.0)]);
        story.tick(at(second));
    }
    story.tick(at(660) + LATENESS);
    assert_eq!(last_status(&story).time.bad, Microseconds::from_seconds(60));
}

fn part() -> impl Strategy<Value = Part> {
    prop_oneof![5 => Just(Part::Good), 2 => Just(Part::Bad), 2 => Just(Part::Unknown)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn its_time_is_that_of_its_parts_counted_slice_by_slice(
        slices in proptest::collection::vec((part(), part()), 1..60),
    ) {
        // Before both have been seen once it is not known either.
        let count = |of: fn(Part, Part) -> bool| slices.iter().filter(|(one, other)| of(*one, *other)).count() as i64;
        let bad = count(|one, other| one == Part::Bad || other == Part::Bad);
        let good = count(|one, other| (one, other) == (Part::Good, Part::Good));
        let asked_from = slices.iter().position(|(one, other)| {
            *one != Part::Unknown || *other != Part::Unknown
        });
        let status = judged(&slices);
        prop_assert_eq!(status.time.bad.0, bad * SLICE.0);
        prop_assert_eq!(status.time.good.0, good * SLICE.0);
        let asked = asked_from.map_or(0, |from| (slices.len() - from) as i64);
        prop_assert_eq!(status.time.asked().0, asked * SLICE.0);
    }
}
