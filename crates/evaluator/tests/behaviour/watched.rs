//! Watch groups in the evaluator: the same episodes as a replay tells of the same rows, as findings of their racks.

use evaluator::watch::{self, AlarmKind, Watch};
use evaluator::{Effect, Effects, Evaluator};
use telemetry::EventTime;
use telemetry::expression::KnownSignals;
use telemetry::facts::{Finding, Severity};
use telemetry::record::{Document, Flag, Record};

use crate::script::{Sample, Story, at, effects_of};

const ROWS: i64 = 1_500;
const EVERY: i64 = 10;

fn group(alarm: &str) -> Document {
    let text = format!(
        "apiVersion: thermogate.dev/v1alpha1\nkind: WatchGroup\nmetadata: {{name: rig}}\nspec:\n  signals:\n    \
         pump_vibration:\n    coolant_flow:\n  alarm: {alarm}\n"
    );
    Document { name: "rig.yaml".into(), text }
}

/// Vibration that rises for a while, and once more much later.
fn vibration(row: i64) -> f64 {
    let wiggle = (row * 7_919 % 13 - 6) as f64 / 60.0;
    let is_off = (400..600).contains(&row) || 1_100 <= row;
    2.0 + wiggle + if is_off { 1.5 } else { 0.0 }
}

/// A flow that is missing now and then.
fn flow(row: i64) -> Option<f64> {
    (row % 17 != 0).then(|| 100.0 + (row * 104_729 % 11 - 5) as f64 / 10.0)
}

/// Rack `r1` as above, rack `r2` with nothing but its usual noise.
fn records(documents: &[Document]) -> Vec<Record> {
    let mut story = Story::with(documents);
    for row in 0..ROWS {
        let time = at(row * EVERY);
        let sample = |rack, signal: &str, value: Option<f64>| Sample {
            rack,
            signal: signal.to_owned(),
            time,
            value: value.unwrap_or(f64::NAN),
            flag: if value.is_some() { Flag::Ok } else { Flag::Sentinel },
        };
        story.samples(&[
            sample("r1", "pump_vibration", Some(vibration(row))),
            sample("r1", "coolant_flow", flow(row)),
            sample("r2", "pump_vibration", Some(vibration(row % 400))),
        ]);
        story.tick(time);
    }
    story.tick(at(ROWS * EVERY + 90));
    story.records
}

fn findings(effects: &[Effect]) -> Vec<Finding> {
    let findings = effects.iter().filter_map(|effect| match effect {
        Effect::Finding(finding) => Some((**finding).clone()),
        Effect::Alert(_)
        | Effect::Status(_)
        | Effect::Block(_)
        | Effect::Publish(_)
        | Effect::Row(_)
        | Effect::Count { .. }
        | Effect::Drill(_)
        | Effect::DrillAlert(_)
        | Effect::DrillCopy { .. } => None,
    });
    findings.filter(|finding| &*finding.detector == "watch").collect()
}

/// (time, whether an episode begins or ends) of the rows of `r1`, as the watch tells them by itself.
fn told_by_rows(document: &Document) -> Vec<(EventTime, bool)> {
    let group = watch::read(document, &KnownSignals::canonical()).unwrap().group;
    assert_eq!(
        group.signals.iter().map(|name| &**name).collect::<Vec<_>>(),
        ["coolant_flow", "pump_vibration"]
    );
    let mut watch = Watch::new(group.clone());
    let (mut told, mut is_on) = (Vec::new(), false);
    for row in 0..ROWS {
        let answer = watch.row(&[flow(row), Some(vibration(row))]);
        let goes_on = match group.alarm {
            AlarmKind::State => answer.alarm,
            AlarmKind::Episode => answer.episode_start || watch.is_in_episode(),
        };
        if answer.score.is_some() && goes_on != std::mem::replace(&mut is_on, goes_on) {
            assert_eq!(answer.episode_start, goes_on, "an episode begins where the row says so");
            told.push((at(row * EVERY), goes_on));
        }
    }
    told
}

#[test]
fn a_groups_episodes_are_those_of_a_replay_of_the_same_rows() {
    for alarm in ["state", "episode"] {
        let document = group(alarm);
        let expected = told_by_rows(&document);
        assert!(expected.len() >= 3, "{alarm}: two episodes at least: {expected:?}");
        let found = findings(&effects_of(&records(&[document])));
        let told: Vec<(EventTime, bool)> = found
            .iter()
            .map(|finding| (finding.ended.unwrap_or(finding.onset), finding.ended.is_none()))
            .collect();
        assert_eq!(told, expected, "{alarm}");
        for finding in &found {
            assert_eq!(finding.place.rack.as_deref(), Some("r1"), "the other rack is as it always was");
            assert_eq!((finding.signal.as_deref(), finding.severity), (Some("rig"), Severity::Warning));
            assert_eq!(finding.evidence.get("signals").map(|it| &**it), Some("coolant_flow, pump_vibration"));
        }
    }
    assert_eq!(findings(&effects_of(&records(&[]))), [], "nothing is watched that nobody names");
}

#[test]
fn a_restart_is_invisible_to_a_watched_group() {
    let records = records(&[group("state")]);
    let whole = findings(&effects_of(&records));
    let mut effects = Effects::default();
    for cut in [records.len() / 5, records.len() / 2, records.len() * 9 / 10] {
        let mut all = Vec::new();
        let mut evaluator = Evaluator::new();
        for (sequence, record) in (1..).zip(&records) {
            if sequence as usize == cut {
                evaluator = Evaluator::restore(&evaluator.snapshot()).unwrap();
            }
            effects.clear();
            evaluator.apply(sequence, record, &mut effects);
            all.append(&mut effects.list);
        }
        assert_eq!(findings(&all), whole, "cut at {cut}");
    }
}

#[test]
fn a_group_that_is_no_longer_named_ends_what_it_said() {
    let document = group("state");
    let mut story = Story::with(std::slice::from_ref(&document));
    let until = |story: &mut Story, from: i64, to: i64| {
        for row in from..to {
            let time = at(row * EVERY);
            let signal = "pump_vibration".to_owned();
            story.samples(&[Sample { rack: "r1", signal, time, value: vibration(row), flag: Flag::Ok }]);
            story.tick(time);
        }
    };
    until(&mut story, 0, 500);
    story.configure(&[], "c2");
    until(&mut story, 500, 520);
    let found = findings(&effects_of(&story.records));
    let [begun, ended] = &found[..] else { panic!("{found:?}") };
    assert_eq!(begun.finding, ended.finding);
    assert!(begun.ended.is_none() && ended.ended.is_some());
}
