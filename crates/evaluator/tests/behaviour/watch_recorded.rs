//! The generic watch on labelled recordings: one configuration for all, without labels, file names or row numbers.

use evaluator::watch::{AlarmKind, Answer, Watch, WatchGroup};
use telemetry::EventTime;

use crate::recorded::read;
use crate::watch_scorer::{
    Changes, Detections, LOW_FALSE, LOW_MISSED, Labelled, Outliers, Profile, STANDARD,
};

/// Rows that are not scored: the watch may learn from them.
const TRAINED_ROWS: usize = 400;

/// A recording of the rig with its labels.
struct Recording {
    name: String,
    rows: Vec<Vec<Option<f64>>>,
    scored: Labelled,
}

/// Seconds since the epoch.
fn seconds(time: &str) -> i64 {
    EventTime::from_rfc3339(&format!("{}Z", time.replace(' ', "T"))).unwrap().unix_micros() / 1_000_000
}

fn recording(name: &str) -> Option<Recording> {
    let text = read(&format!("skab/{name}.csv"))?;
    let cells: Vec<Vec<&str>> =
        text.lines().skip(1).map(|line| line.trim_end().split(';').collect()).collect();
    let number = |cell: &str| cell.parse::<f64>().unwrap();
    let scored = || cells.iter().skip(TRAINED_ROWS);
    Some(Recording {
        name: name.to_owned(),
        rows: cells.iter().map(|row| row[1..9].iter().map(|cell| Some(number(cell))).collect()).collect(),
        scored: Labelled {
            time: scored().map(|row| seconds(row[0])).collect(),
            is_anomalous: scored().map(|row| number(row[9]) > 0.5).collect(),
            is_change: scored().map(|row| number(row[10]) > 0.5).collect(),
        },
    })
}

/// All labelled recordings, in the order of the protocol.
fn rig() -> Option<Vec<Recording>> {
    let names =
        (0..16).map(|file| format!("valve1/{file}")).chain((5..10).map(|file| format!("other/{file}")));
    names.map(|name| recording(&name)).collect()
}

/// Rows that are dropped at the start of the recording of this number, so that a row's number says nothing.
fn offset(file: usize, more: usize) -> usize {
    (37 * file + more) % 151
}

/// Whether each scored row is in alarm, when the watch begins with row `offset`.
fn alarms(recording: &Recording, offset: usize) -> Vec<bool> {
    let signals = (0..8).map(|signal| format!("signal_{signal}").into()).collect();
    let mut watch = Watch::new(WatchGroup::new("rig", signals, AlarmKind::State));
    let answers: Vec<Answer> = recording.rows[offset..].iter().map(|row| watch.row(row)).collect();
    answers[TRAINED_ROWS - offset..].iter().map(|answer| answer.alarm).collect()
}

fn scored<'a>(
    recordings: impl Iterator<Item = (usize, &'a Recording)>,
    offset: impl Fn(usize) -> usize,
) -> (Outliers, Changes) {
    let (mut outliers, mut changes) = (Outliers::default(), Changes::default());
    for (file, recording) in recordings {
        let alarms = alarms(recording, offset(file));
        outliers.add(&alarms, &recording.scored);
        changes.add(&alarms, &recording.scored);
    }
    (outliers, changes)
}

/// The recordings that the constants were chosen on; the others only judged the choice.
fn was_tuned_on(recording: &Recording) -> bool {
    [
        "valve1/0", "valve1/1", "valve1/2", "valve1/3", "valve1/4", "valve1/5", "valve1/6", "valve1/7",
        "other/5", "other/6",
    ]
    .contains(&recording.name.as_str())
}

fn told(what: &str, (outliers, changes): &(Outliers, Changes)) {
    println!(
        "{what}: F1 {:.4}, false alarm rate {:.2} %, change points {:.2} / {:.2} / {:.2}, {} of {} missed, {} false",
        outliers.f1(),
        outliers.false_alarm_rate(),
        changes.score(STANDARD),
        changes.score(LOW_FALSE),
        changes.score(LOW_MISSED),
        changes.missed,
        changes.windows,
        changes.false_changes
    );
}

#[test]
fn the_scorer_of_the_rig_gives_its_check_values() {
    let Some(recordings) = rig() else { return };
    let rounded = |number: f64| (number * 100.0).round() / 100.0;
    let rows = |recording: &Recording, wanted: &dyn Fn(usize) -> bool| -> Vec<bool> {
        (TRAINED_ROWS..recording.rows.len()).map(wanted).collect()
    };
    type Predict<'a> = &'a dyn Fn(usize, &Recording) -> Vec<bool>;
    type Case<'a> = (Predict<'a>, [u64; 4], [u64; 2], [f64; 3]);
    let of_rows: [Case<'_>; 4] = [
        (&|_, file| rows(file, &|_| true), [8272, 7171, 0, 0], [81, 21], [-1.43, -2.85, -0.95]),
        (
            &|_, file| rows(file, &|row| (570..=972).contains(&row)),
            [8214, 249, 58, 6922],
            [57, 19],
            [19.54, 17.38, 22.91],
        ),
        (
            &|index, file| rows(file, &|row| (570..=972).contains(&(row - offset(index, 0)))),
            [6591, 1846, 1681, 5325],
            [63, 23],
            [14.08, 11.87, 16.79],
        ),
        (&|_, file| file.scored.is_anomalous.clone(), [8272, 0, 0, 7171], [30, 0], [56.10, 55.42, 58.39]),
    ];
    for (predict, counts, [missed, false_changes], scores) in of_rows {
        let (mut outliers, mut changes) = (Outliers::default(), Changes::default());
        for (index, file) in recordings.iter().enumerate() {
            let alarms = predict(index, file);
            outliers.add(&alarms, &file.scored);
            changes.add(&alarms, &file.scored);
        }
        let Outliers { true_alarms, false_alarms, missed: missed_rows, true_quiet } = outliers;
        assert_eq!([true_alarms, false_alarms, missed_rows, true_quiet], counts);
        assert_eq!((changes.missed, changes.false_changes), (missed, false_changes));
        assert_eq!([STANDARD, LOW_FALSE, LOW_MISSED].map(|profile| rounded(changes.score(profile))), scores);
    }
    for (every, missed, false_changes, scores) in [
        (30, 2, 371, [62.22, 36.03, 73.99]),
        (60, 3, 191, [71.29, 57.13, 79.62]),
        (90, 11, 115, [56.31, 46.29, 66.34]),
    ] {
        let mut changes = Changes::default();
        for file in &recordings {
            let every: Vec<bool> = (0..file.scored.time.len()).map(|row| row.is_multiple_of(every)).collect();
            changes.add_changes(&every, &file.scored);
        }
        assert_eq!((changes.missed, changes.false_changes), (missed, false_changes), "every {every} rows");
        assert_eq!([STANDARD, LOW_FALSE, LOW_MISSED].map(|profile| rounded(changes.score(profile))), scores);
    }
    let mut changes = Changes::default();
    recordings.iter().for_each(|file| changes.add_changes(&file.scored.is_change, &file.scored));
    assert_eq!((changes.missed, changes.false_changes, rounded(changes.score(STANDARD))), (4, 0, 95.06));
}

#[test]
fn the_rig_is_in_alarm_while_a_valve_is_turned_or_the_rotor_is_unbalanced() {
    let Some(recordings) = rig() else { return };
    let all = || recordings.iter().enumerate();
    let of_protocol = |file| offset(file, 0);
    let whole = scored(all(), of_protocol);
    told("all, shifted", &whole);
    told("all, not shifted", &scored(all(), |_| 0));
    let tuned = scored(all().filter(|(_, file)| was_tuned_on(file)), of_protocol);
    told("tuned on, shifted", &tuned);
    let held_out = scored(all().filter(|(_, file)| !was_tuned_on(file)), of_protocol);
    told("held out, shifted", &held_out);
    for group in ["valve1/", "other/"] {
        told(group, &scored(all().filter(|(_, file)| file.name.starts_with(group)), of_protocol));
    }
    for (outliers, changes) in [&whole, &tuned, &held_out] {
        assert!(outliers.f1() > 0.8 && outliers.false_alarm_rate() < 6.0, "{outliers:?}");
        assert!(changes.score(STANDARD) > 36.0 && changes.false_changes < 10, "{changes:?}");
    }
    assert!(whole.0.f1() > 0.83 && whole.1.score(STANDARD) > 39.0, "{whole:?}");
}

/// Where the watch begins must not matter: the labels stand at nearly the same rows of every recording.
#[test]
fn where_a_recording_begins_changes_little() {
    let Some(recordings) = rig() else { return };
    let mut scores = Vec::new();
    for more in [0, 31, 62, 93, 124] {
        let (outliers, changes) = scored(recordings.iter().enumerate(), |file| offset(file, more));
        told(&format!("offsets and {more}"), &(outliers, changes.clone()));
        scores.push((outliers.f1(), outliers.false_alarm_rate(), changes.score(STANDARD)));
    }
    let (outliers, changes) = scored(recordings.iter().enumerate(), |_| 0);
    scores.push((outliers.f1(), outliers.false_alarm_rate(), changes.score(STANDARD)));
    for (f1, false_alarm_rate, change_points) in scores {
        assert!(
            f1 > 0.82 && false_alarm_rate < 6.0 && change_points > 34.0,
            "{f1} {false_alarm_rate} {change_points}"
        );
    }
}

/// A series with its windows, in rows.
struct Series {
    name: String,
    times: Vec<i64>,
    values: Vec<f64>,
    windows: Vec<(usize, usize)>,
}

fn series() -> Option<Vec<Series>> {
    let windows: serde_json::Map<String, serde_json::Value> =
        serde_json::from_str(&read("nab/labels/combined_windows.json")?).unwrap();
    let mut names: Vec<&String> = windows.keys().collect();
    names.sort();
    let one = |name: &String| {
        let text = read(&format!("nab/{name}"))?;
        let rows = text.lines().skip(1).map(|line| line.split_once(',').unwrap());
        let (times, values): (Vec<i64>, Vec<f64>) =
            rows.map(|(time, value)| (seconds(time), value.parse::<f64>().unwrap())).unzip();
        let row_window = |window: &serde_json::Value| {
            let ends = window.as_array().unwrap();
            let [first, last] = [0, 1].map(|end: usize| seconds(ends[end].as_str().unwrap()));
            let inside = |time: &i64| first <= *time && *time <= last;
            (times.iter().position(inside).unwrap(), times.iter().rposition(inside).unwrap())
        };
        let windows = windows[name].as_array().unwrap().iter().map(row_window).collect();
        Some(Series { name: name.clone(), windows, times, values })
    };
    names.into_iter().map(one).collect()
}

fn detections<'a>(
    series: impl Iterator<Item = &'a Series>,
    profile: Profile,
    detect: impl Fn(&Series) -> Vec<usize>,
) -> Detections {
    let mut sum = Detections::default();
    series.for_each(|series| sum.add(series.values.len(), &series.windows, &detect(series), profile));
    sum
}

#[test]
fn the_scorer_of_the_series_gives_its_check_values() {
    let Some(all) = series() else { return };
    let machine = || all.iter().filter(|series| series.name.contains("machine_temperature"));
    let starts = |series: &Series| series.windows.iter().map(|window| window.0).collect::<Vec<_>>();
    let first_scored =
        |series: &Series| [starts(series), vec![(series.values.len() * 15 / 100).min(750)]].concat();
    type Case<'a> = (&'a dyn Fn(&Series) -> Vec<usize>, [f64; 3], f64, f64);
    let cases: [Case<'_>; 6] = [
        (&|_| Vec::new(), [0.0, 0.0, 0.0], -22.0, 0.0),
        (&|series| starts(series), [100.0, 100.0, 100.0], 22.0, 100.0),
        (
            &|series| series.windows.iter().map(|(first, last)| first + (last - first) / 2).collect(),
            [93.06, 93.06, 95.37],
            18.944_387,
            93.02,
        ),
        (
            &|series| series.windows.iter().map(|window| window.1).collect(),
            [50.47, 50.47, 66.98],
            0.207_502,
            50.22,
        ),
        (&first_scored, [95.0, 90.0, 96.67], 19.8, 98.62),
        (
            &|series| (0..series.values.len()).collect(),
            [-19_305.79, -38_711.58, -12_837.19],
            -8_516.547_75,
            -26_095.56,
        ),
    ];
    for (detect, scores, raw, machine_score) in cases {
        let of = |which: &mut dyn Iterator<Item = &Series>, profile| detections(which, profile, detect);
        for (profile, score) in [STANDARD, LOW_FALSE, LOW_MISSED].into_iter().zip(scores) {
            let found = of(&mut all.iter(), profile).score(profile);
            assert!((found - score).abs() < 0.006, "{found} is not {score}");
        }
        let found = of(&mut all.iter(), STANDARD).raw;
        assert!((found - raw).abs() < 1e-6, "{found} is not {raw}");
        let found = of(&mut machine(), STANDARD).score(STANDARD);
        assert!((found - machine_score).abs() < 0.006, "{found} is not {machine_score}");
    }
}

/// Rows that open an episode. Rows that go back in time are not judged.
fn episodes(series: &Series) -> Vec<usize> {
    let mut watch = Watch::new(WatchGroup::new("series", vec!["value".into()], AlarmKind::Episode));
    let mut latest = i64::MIN;
    let mut opened = Vec::new();
    for (row, (time, value)) in series.times.iter().zip(&series.values).enumerate() {
        if *time <= latest {
            continue;
        }
        latest = *time;
        if watch.row(&[Some(*value)]).episode_start {
            opened.push(row);
        }
    }
    opened
}

#[test]
fn series_of_machines_have_an_episode_where_something_happened_and_few_elsewhere() {
    let Some(all) = series() else { return };
    for series in &all {
        println!("{} {:?} in {:?}", series.name, episodes(series), series.windows);
    }
    let tuned_on = || all.iter().step_by(2);
    let held_out = || all.iter().skip(1).step_by(2);
    let score = |which: &mut dyn Iterator<Item = &Series>| {
        let which: Vec<&Series> = which.collect();
        [STANDARD, LOW_FALSE, LOW_MISSED]
            .map(|profile| detections(which.iter().copied(), profile, episodes).score(profile))
    };
    let (whole, tuned, held) = (score(&mut all.iter()), score(&mut tuned_on()), score(&mut held_out()));
    println!("all {whole:.2?}, tuned on {tuned:.2?}, held out {held:.2?}");
    let machine = score(&mut all.iter().filter(|series| series.name.contains("machine_temperature")));
    println!("machine_temperature {machine:.2?}");
    assert!(whole[0] > 55.0 && tuned[0] > 55.0 && held[0] > 50.0, "{whole:?} {tuned:?} {held:?}");
    for quiet in all.iter().filter(|series| series.name.starts_with("artificialNoAnomaly")) {
        assert_eq!(episodes(quiet), Vec::<usize>::new(), "{}", quiet.name);
    }
}
