//! Laws and behaviour of the watch; what it gives on recordings stands in the tests of recorded data.

use proptest::prelude::*;
use telemetry::expression::KnownSignals;
use telemetry::record::Document;

use super::*;

/// A noise that needs no generator: equally spread over [-1, 1), without a period that a test would see
/// (multiples of the golden ratio, Weyl 1916).
fn noise(index: usize) -> f64 {
    const GOLDEN: f64 = 0.618_033_988_749_894_9;
    2.0 * libm::fmod(index as f64 * index as f64 * GOLDEN, 1.0) - 1.0
}

fn watch(alarm: AlarmKind) -> Watch {
    Watch::new(WatchGroup::new("group", vec!["signal".into()], alarm))
}

fn answers(watch: &mut Watch, values: impl IntoIterator<Item = f64>) -> Vec<Answer> {
    values.into_iter().map(|value| watch.row(&[Some(value)])).collect()
}

/// Rows in alarm as ranges: the first of each, and the one after its last.
fn alarms(answers: &[Answer]) -> Vec<(usize, usize)> {
    let mut ranges: Vec<(usize, usize)> = Vec::new();
    for (row, _) in answers.iter().enumerate().filter(|(_, answer)| answer.alarm) {
        match ranges.last_mut() {
            Some((_, end)) if *end == row => *end = row + 1,
            _ => ranges.push((row, row + 1)),
        }
    }
    ranges
}

const ROWS_CALIBRATION: usize = 250;

#[test]
fn nothing_is_said_during_the_calibration_and_something_after_it() {
    let answers = answers(&mut watch(AlarmKind::State), (0..300).map(noise));
    assert!(answers[..ROWS_CALIBRATION - 1].iter().all(|answer| *answer == Answer::UNKNOWN));
    assert!(answers[ROWS_CALIBRATION - 1..].iter().all(|answer| answer.score.is_some() && !answer.alarm));
}

#[test]
fn a_state_is_raised_within_a_step_and_ends_within_a_step_of_its_end() {
    let step_up = |row: usize| noise(row) + if (600..1000).contains(&row) { 5.0 } else { 0.0 };
    let answers = answers(&mut watch(AlarmKind::State), (0..1500).map(step_up));
    assert_eq!(alarms(&answers), [(609, 1009)]);
    let starts: Vec<usize> = (0..1500).filter(|row| answers[*row].episode_start).collect();
    assert_eq!(starts, [609]);
}

#[test]
fn a_spread_that_grows_is_a_state_though_the_level_stays() {
    let rattles = |row: usize| noise(row) * if (600..1000).contains(&row) { 4.0 } else { 1.0 };
    let answers = answers(&mut watch(AlarmKind::State), (0..1500).map(rattles));
    let alarms = alarms(&answers);
    let [(start, end)] = alarms[..] else { panic!("{alarms:?}") };
    assert!((605..650).contains(&start) && (1000..1040).contains(&end), "{alarms:?}");
}

#[test]
fn a_level_that_comes_back_to_nearly_where_it_was_is_back() {
    let not_quite = |row: usize| {
        let level = if row < 600 {
            0.0
        } else if row < 1000 {
            20.0
        } else {
            2.0
        };
        noise(row) + level
    };
    let answers = answers(&mut watch(AlarmKind::State), (0..2000).map(not_quite));
    assert_eq!(alarms(&answers), [(609, 1009)]);
}

#[test]
fn a_level_that_stays_elsewhere_is_the_new_usual_after_ten_calibrations() {
    let moved = |row: usize| noise(row) + if row < 600 { 0.0 } else { 5.0 };
    let answers = answers(&mut watch(AlarmKind::State), (0..5000).map(moved));
    assert_eq!(alarms(&answers), [(609, 3109)]);
}

#[test]
fn what_drifts_by_itself_is_given_room() {
    // As far in all as the shift that is raised at once in noise without drift, and further each time.
    let drifts = |row: usize| noise(row) + 5.0 * libm::sin(row as f64 / 150.0);
    let answers = answers(&mut watch(AlarmKind::State), (0..6000).map(drifts));
    assert_eq!(alarms(&answers), []);
}

#[test]
fn an_episode_is_one_row_and_what_comes_again_soon_belongs_to_it() {
    let spikes =
        |row: usize| noise(row) + if row > 500 && row < 900 && row.is_multiple_of(100) { 30.0 } else { 0.0 };
    let later = |row: usize| spikes(row) + if row == 1400 { 90.0 } else { 0.0 };
    let answers = answers(&mut watch(AlarmKind::Episode), (0..2000).map(later));
    assert_eq!(alarms(&answers), [(600, 601), (1400, 1401)]);
    for answer in answers.iter().filter_map(|answer| answer.score.map(|score| (score, answer))) {
        assert_eq!(answer.0 >= ALARM_SCORE, answer.1.alarm);
    }
}

#[test]
fn what_happens_every_day_is_no_episode() {
    // A square wave of 288 rows with noise. The first of its edges after the calibration may be news.
    let days = |row: usize| noise(row) + if row % 288 < 100 { 60.0 } else { 0.0 };
    let answers = answers(&mut watch(AlarmKind::Episode), (0..6000).map(days));
    assert_eq!(alarms(&answers[2 * 288..]), []);
}

#[test]
fn constant_input_never_alarms() {
    for value in [0.0, 45.0, -0.1, 1e-300, 1e99] {
        for alarm in [AlarmKind::State, AlarmKind::Episode] {
            let answers = answers(&mut watch(alarm), std::iter::repeat_n(value, 2000));
            assert!(answers.iter().all(|answer| !answer.alarm), "{value}");
            assert_eq!(
                answers[ROWS_CALIBRATION..].iter().filter_map(|answer| answer.score).sum::<f64>(),
                0.0
            );
        }
    }
}

/// A sensor that rests, then moves by its smallest step now and then, is not in alarm for ever.
#[test]
fn a_sensor_that_rested_is_calibrated_once_it_moves() {
    let moves = |row: usize| if row < 500 { 45.0 } else { 45.0 + f64::from(u8::from(noise(row) > 0.0)) };
    let answers = answers(&mut watch(AlarmKind::State), (0..3000).map(moves));
    let in_alarm = answers.iter().filter(|answer| answer.alarm).count();
    assert!(in_alarm < 500, "{:?}", alarms(&answers));
    assert!(!answers[2999].alarm);
}

#[test]
fn one_signal_in_alarm_is_enough_and_one_that_falls_silent_is_forgotten() {
    let mut watch =
        Watch::new(WatchGroup::new("group", vec!["one".into(), "other".into()], AlarmKind::State));
    let row = |row: usize| {
        let other = if row < 600 { Some(noise(row + 7)) } else { Some(noise(row + 7) + 9.0) };
        [Some(noise(row)), other.filter(|_| row < 700)]
    };
    let answers: Vec<Answer> = (0..1200).map(|index| watch.row(&row(index))).collect();
    assert_eq!(alarms(&answers), [(609, 949)]);
}

#[test]
fn a_row_without_readings_is_unknown_and_ends_no_episode() {
    let mut watch = watch(AlarmKind::State);
    let mut answers = answers(&mut watch, (0..600).map(noise));
    for row in 600..700 {
        answers.push(watch.row(&[Some(noise(row) + 9.0)]));
        answers.push(watch.row(&[None]));
        answers.push(watch.row(&[Some(f64::NAN)]));
    }
    assert!(answers[601..].iter().skip(30).step_by(3).all(|answer| *answer == Answer::UNKNOWN));
    assert_eq!(answers.iter().filter(|answer| answer.episode_start).count(), 1);
}

fn reading() -> impl Strategy<Value = Option<f64>> {
    prop_oneof![
        1 => Just(None),
        1 => proptest::num::f64::ANY.prop_map(Some),
        2 => Just(Some(0.0)),
        8 => (-100.0..100.0).prop_map(Some),
    ]
}

fn rows() -> impl Strategy<Value = Vec<[Option<f64>; 2]>> {
    proptest::collection::vec([reading(), reading()], 0..400)
}

fn small(alarm: AlarmKind) -> Watch {
    let group = WatchGroup::new("group", vec!["one".into(), "other".into()], alarm);
    Watch::new(WatchGroup { step_readings: 2, ..group })
}

fn alarm_kind() -> impl Strategy<Value = AlarmKind> {
    prop_oneof![Just(AlarmKind::State), Just(AlarmKind::Episode)]
}

fn run(watch: &mut Watch, rows: &[[Option<f64>; 2]]) -> Vec<Answer> {
    rows.iter().map(|row| watch.row(row)).collect()
}

proptest! {
    /// Whatever is read: a score from 0 to 1 that says whether there is an alarm, and never NaN.
    #[test]
    fn any_reading_gives_a_sound_answer(rows in rows(), alarm in alarm_kind()) {
        let mut before = false;
        for answer in run(&mut small(alarm), &rows) {
            match answer.score {
                None => prop_assert_eq!(answer, Answer::UNKNOWN),
                Some(score) => {
                    prop_assert!((0.0..=1.0).contains(&score), "{}", score);
                    prop_assert_eq!(answer.alarm, score >= ALARM_SCORE);
                    prop_assert_eq!(answer.episode_start, answer.alarm && !before);
                    before = answer.alarm;
                }
            }
        }
    }

    /// A restart from a snapshot at any row changes nothing, in any format.
    #[test]
    fn a_restart_is_invisible(rows in rows(), alarm in alarm_kind(), at in 0usize..400) {
        let at = at.min(rows.len());
        let mut before = small(alarm);
        let mut observed = run(&mut before, &rows[..at]);
        let mut after: Watch = postcard::from_bytes(&postcard::to_stdvec(&before).unwrap()).unwrap();
        let text = serde_json::to_string(&before).unwrap();
        prop_assert_eq!(&serde_json::from_str::<Watch>(&text).unwrap(), &before);
        observed.extend(run(&mut after, &rows[at..]));
        prop_assert_eq!(observed, run(&mut small(alarm), &rows));
    }

    /// The unit that a signal is kept in does not matter: readings times a power of two give the same answers.
    #[test]
    fn the_unit_does_not_matter(rows in rows(), alarm in alarm_kind(), power in -8i32..8) {
        let factor = libm::pow(2.0, f64::from(power));
        let sound = |reading: Option<f64>| reading.filter(|reading| (1e-30..1e30).contains(&reading.abs()));
        let rows: Vec<[Option<f64>; 2]> = rows.iter().map(|row| row.map(sound)).collect();
        let scaled: Vec<[Option<f64>; 2]> =
            rows.iter().map(|row| row.map(|reading| reading.map(|reading| reading * factor))).collect();
        // Logarithms of scaled deviations differ in their last bits, and so do scores.
        for (one, other) in run(&mut small(alarm), &rows).iter().zip(run(&mut small(alarm), &scaled)) {
            prop_assert_eq!(one.score.is_some(), other.score.is_some());
            let difference = one.score.unwrap_or_default() - other.score.unwrap_or_default();
            prop_assert!(one.alarm != other.alarm || difference.abs() < 1e-6);
        }
    }
}

/// A signal takes some bytes, however many rows there were.
#[test]
fn the_state_is_bounded() {
    for alarm in [AlarmKind::State, AlarmKind::Episode] {
        let mut watch = watch(alarm);
        let mut largest = 0;
        for row in 0..200_000 {
            let value = noise(row) * if row % 5000 < 300 { 50.0 } else { 1.0 };
            watch.row(&[Some(value)]);
            if row.is_multiple_of(997) {
                largest = largest.max(postcard::to_stdvec(&watch).unwrap().len());
            }
        }
        assert!(largest < 2048, "{largest} bytes for one signal");
    }
}

const DOCUMENT: &str = "\
apiVersion: thermogate.dev/v1alpha1
kind: WatchGroup
metadata: {name: pump-rig}
spec:
  signals:
    pump_vibration: {column: Vib 1}
    motor_current: {unit: A, span: [0, 40]}
    coolant_conductivity:
  alarm: episode
";

fn document(text: &str) -> Result<WatchDocument, String> {
    let document = Document { name: "group.yaml".into(), text: text.into() };
    read(&document, &KnownSignals::canonical())
        .map_err(|errors| errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
}

#[test]
fn a_document_names_its_signals_and_declares_those_that_nobody_knows() {
    let read = document(DOCUMENT).unwrap();
    let names: Vec<&str> = read.group.signals.iter().map(|name| &**name).collect();
    assert_eq!(names, ["coolant_conductivity", "motor_current", "pump_vibration"]);
    let WatchGroup { name, alarm, step_readings, calibration_steps, .. } = &read.group;
    assert_eq!(
        (&**name, *alarm, *step_readings, *calibration_steps),
        ("pump-rig", AlarmKind::Episode, 10, 25)
    );
    assert_eq!(read.columns, [("Vib 1".to_owned(), "pump_vibration".into())]);
    let mapping = telemetry::mapping::Mapping::with(&[read.mapping("group.yaml").unwrap()]).unwrap();
    assert_eq!(mapping.unit_of("motor_current").unwrap().symbol(), "A");
}

#[test]
fn groups_are_found_among_other_documents_and_may_share_what_they_declare() {
    let slo = Document { name: "slo.yaml".into(), text: include_str!("../../../../slo/leak.yaml").into() };
    let other = DOCUMENT.replace("name: pump-rig", "name: other-rig");
    let documents = [
        slo,
        Document { name: "a.yaml".into(), text: DOCUMENT.into() },
        Document { name: "b.yaml".into(), text: other },
    ];
    let mut known = KnownSignals::canonical();
    let found = read_all(&documents, &known).unwrap();
    let names: Vec<&str> = found.iter().map(|read| &*read.group.name).collect();
    assert_eq!(names, ["pump-rig", "other-rig"]);
    // Once a mapping declares the signal, the document says the same again.
    let declared = &found[0].declared[0];
    known.declare(declared.name.clone(), declared.unit, false);
    let again = read_all(&documents, &known).unwrap();
    assert_eq!(again[0].group, found[0].group);
    assert!(again[0].declared.is_empty());
    let twice = [documents[1].clone(), Document { name: "c.yaml".into(), text: DOCUMENT.into() }];
    let errors = read_all(&twice, &known).unwrap_err();
    assert!(errors[0].to_string().contains("WatchGroup pump-rig: a second one of this name"), "{errors:?}");
}

#[test]
fn what_is_wrong_with_a_document_is_told_with_its_line_and_how_to_mend_it() {
    let cases = [
        (
            DOCUMENT.replace("alarm:", "alam:"),
            "group.yaml:9: WatchGroup pump-rig: spec.alam: unknown field; did you mean `alarm`?",
        ),
        (
            DOCUMENT.replace("episode", "episodes"),
            "group.yaml:9: WatchGroup pump-rig: spec.alarm: \"episodes\" is none of state, episode; did you mean \"episode\"?",
        ),
        (
            DOCUMENT.replace("  alarm", "  step: 1\n  alarm"),
            "spec.step: 1 is no number of readings: give a whole one from 2 to 1000",
        ),
        (
            DOCUMENT.replace("  alarm", "  calibration: 24\n  alarm"),
            "spec.calibration: 24 is no number of steps: give a whole one from 25 to 1000",
        ),
        (
            DOCUMENT.replace("pump_vibration", "pump_vibraton"),
            "no signal is called \"pump_vibraton\": declare it with its unit, such as {unit: A} or {unit: \"1\"}; did you mean \"pump_vibration\"?",
        ),
        (
            DOCUMENT.replace("column: Vib 1", "unit: mm/s"),
            "\"pump_vibration\" is known and kept in mm/s: leave out unit and span",
        ),
        (
            DOCUMENT.replace("unit: A", "unit: Amp"),
            "unit \"Amp\" is unknown: write a UCUM symbol, or \"1\" for a plain number",
        ),
        (DOCUMENT.replace("[0, 40]", "[40, 0]"), "is no range: write [lowest, highest], or leave it out"),
        (
            DOCUMENT.replace("    coolant_conductivity:\n", "    motor_current: {unit: A}\n"),
            "group.yaml:8: duplicate key `motor_current`: it is there above already, remove one of them",
        ),
        (
            DOCUMENT.replace("unit: A", "unit: A, column: Vib 1"),
            "column \"Vib 1\" is given to two signals: give it to one",
        ),
        (
            DOCUMENT.replace("WatchGroup", "Watch"),
            "kind: \"Watch\" is none of WatchGroup; did you mean \"WatchGroup\"?",
        ),
        (
            DOCUMENT.replace("v1alpha1", "v1"),
            "apiVersion: \"thermogate.dev/v1\" is none of thermogate.dev/v1alpha1",
        ),
        (
            format!("{DOCUMENT}---\n{DOCUMENT}"),
            "one WatchGroup is expected, found 2: give each a file of its own",
        ),
        (String::new(), "one WatchGroup is expected, found 0"),
    ];
    for (text, message) in cases {
        let error = document(&text).unwrap_err();
        assert!(error.contains(message), "{error}\n does not say\n{message}");
    }
}
