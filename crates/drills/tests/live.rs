//! Drills of a running environment: simulated telemetry of healthy racks, a fault laid over it.

use std::sync::LazyLock;

use drills::Player;
use drills::suite::Conditions;
use evaluator::Effect;
use evaluator::drill::class::CLASSES;
use simulator::{LoadPlan, Reading, Simulation};
use telemetry::alert::AlertState;
use telemetry::drill::{DrillChange, DrillEvent, DrillFacts, DrillState, proven_by};
use telemetry::facts::RackFacts;
use telemetry::place::{Place, SeriesIdentity};
use telemetry::record::{Body, Calibration, MaintenanceEvent, PartitionId};
use telemetry::table::{Cell, Table};
use telemetry::{EventTime, Microseconds};

/// When drills begin: by then baselines are taken.
const BEGINS: Microseconds = Microseconds::from_minutes(270);
/// How long all of it is.
const LENGTH: Microseconds = Microseconds::from_minutes(390);

/// What arrived, by the instant of its arrival.
struct Feed {
    start: EventTime,
    instants: Vec<(EventTime, Vec<Reading>)>,
}

/// Two healthy racks on a loop.
static FEED: LazyLock<Feed> = LazyLock::new(|| {
    let mut scenario = Conditions::default().healthy(711);
    scenario.duration = LENGTH;
    scenario.loops[0].racks.iter_mut().for_each(|rack| rack.load = LoadPlan::Training);
    let mut simulation = Simulation::new(&scenario);
    let (mut instants, mut readings) = (Vec::new(), Vec::new());
    while let Some(instant) = simulation.step(&mut readings) {
        instants.push((instant, readings.clone()));
    }
    Feed { start: scenario.start, instants }
});

/// A player to which all of it has come up to where drills begin.
static READY: LazyLock<Player> = LazyLock::new(|| {
    let mut player = Player::new(FEED.start, evaluator::default_documents(), None);
    play(&mut player, Microseconds::ZERO, BEGINS);
    player.take_effects();
    player
});

/// Plays what arrived in a span of time since the start.
fn play(player: &mut Player, from: Microseconds, to: Microseconds) {
    let (from, to) = (FEED.start + from, FEED.start + to);
    let arrived = FEED.instants.iter().filter(|(instant, _)| from <= *instant && *instant < to);
    for (instant, readings) in arrived {
        player.tick_until(*instant);
        player.send(readings);
    }
}

/// The same but for the readings of a rack.
fn play_without(player: &mut Player, rack: &str, from: Microseconds, to: Microseconds) {
    let (from, to) = (FEED.start + from, FEED.start + to);
    let arrived = FEED.instants.iter().filter(|(instant, _)| from <= *instant && *instant < to);
    for (instant, readings) in arrived {
        player.tick_until(*instant);
        let of_others = readings.iter().filter(|reading| reading.place.rack.as_deref() != Some(rack));
        player.send(&of_others.cloned().collect::<Vec<_>>());
    }
}

fn begin(player: &mut Player, rack: &str, class: &str, severity: Option<f64>) {
    let change = DrillChange::Start { rack: rack.into(), class: class.into(), severity };
    act(player, &format!("drill of {class}"), change);
}

fn act(player: &mut Player, drill: &str, change: DrillChange) {
    let (by, why) = ("ops".to_owned(), "a test".to_owned());
    let event = DrillEvent { drill: drill.into(), time: FEED.start, change, by, why };
    player.apply(PartitionId::STREAM, Body::Drill(event));
}

/// What was told of drills, step by step.
fn steps(effects: &[Effect]) -> Vec<DrillFacts> {
    effects
        .iter()
        .filter_map(|effect| if let Effect::Drill(drill) = effect { Some((**drill).clone()) } else { None })
        .collect()
}

/// Everything that has nothing to do with drills.
fn real(effects: Vec<Effect>) -> Vec<Effect> {
    let is_of_drill = |effect: &Effect| match effect {
        Effect::Drill(_) | Effect::DrillAlert(_) | Effect::DrillCopy { .. } => true,
        Effect::Row(row) if row.table == Table::DrillEvents => true,
        Effect::Row(row) if row.table == Table::Log => row.cells[0] == Cell::from("drill"),
        Effect::Row(_)
        | Effect::Status(_)
        | Effect::Block(_)
        | Effect::Finding(_)
        | Effect::Alert(_)
        | Effect::Publish(_)
        | Effect::Count { .. } => false,
    };
    // The drill's own record is one of the log's, so that all that follow have another number.
    let numbered = |effect: Effect| match effect {
        Effect::Publish(facts) => {
            Effect::Publish(std::sync::Arc::new(RackFacts { sequence: 0, ..(*facts).clone() }))
        }
        other => other,
    };
    effects.into_iter().filter(|effect| !is_of_drill(effect)).map(numbered).collect()
}

/// One drill of a class, from its beginning for `minutes`.
fn drill(class: &str, minutes: i64) -> Vec<Effect> {
    let mut player = READY.fork();
    begin(&mut player, "r1", class, None);
    play(&mut player, BEGINS, BEGINS + Microseconds::from_minutes(minutes));
    player.take_effects()
}

#[test]
fn each_class_is_found_by_its_own_detector_and_its_alert_fires() {
    for class in CLASSES {
        let steps = steps(&drill(class.name, 110));
        let first = steps.first().expect("a drill that begins is told");
        assert_eq!((first.state, &*first.missing), (DrillState::Running, ""), "{}", class.name);
        let last = steps.last().expect("a result");
        assert_eq!((last.state, &*last.missing), (DrillState::Passed, ""), "{}", class.name);
        let detector = last.detector.as_deref().expect("what was found");
        println!("{}: {detector} after {}", class.name, last.delay().expect("it was found"));
        assert_eq!(proven_by(detector), Some(class.name), "the table of what proves what");
        assert!(last.alert_fired.is_some() && last.delay() <= Some(class.longest), "{}", class.name);
    }
}

#[test]
fn the_rack_is_judged_to_the_byte_as_if_there_was_no_drill() {
    let mut undrilled = READY.fork();
    play(&mut undrilled, BEGINS, BEGINS + Microseconds::from_minutes(25));
    let undrilled = real(undrilled.take_effects());
    assert!(undrilled.iter().any(|effect| matches!(effect, Effect::Publish(_))));
    for class in CLASSES {
        let effects = drill(class.name, 25);
        assert!(!steps(&effects).is_empty(), "{}", class.name);
        let drilled = real(effects);
        assert!(drilled == undrilled, "{}: the rack itself was judged differently", class.name);
    }
}

#[test]
fn a_restart_in_the_middle_of_a_drill_changes_nothing() {
    let (middle, end) = (Microseconds::from_minutes(1), Microseconds::from_minutes(16));
    for class in ["leak", "gap", "stuck", "cold_plate_fouling"] {
        let mut player = READY.fork();
        begin(&mut player, "r1", class, None);
        play(&mut player, BEGINS, BEGINS + middle);
        let mut restarted = player.fork();
        assert_eq!(restarted.evaluator().drills_running().len(), 1);
        for player in [&mut player, &mut restarted] {
            play(player, BEGINS + middle, BEGINS + end);
        }
        assert_eq!(player.evaluator().drills_running(), restarted.evaluator().drills_running());
        assert_eq!(player.evaluator().drill_alerts(), restarted.evaluator().drill_alerts());
        assert!(player.take_effects() == restarted.take_effects(), "{class}");
    }
}

#[test]
fn everything_that_a_drill_says_is_marked_and_ends_with_it() {
    let effects = drill("pump_trip", 20);
    let mut states = Vec::new();
    for effect in &effects {
        if let Effect::DrillAlert(alert) = effect {
            assert_eq!(alert.labels.get("drill").map(|id| &**id), Some("drill of pump_trip"));
            assert!(alert.reason.starts_with("drill drill of pump_trip"), "{}", alert.reason);
            let row = effect.row().expect("it is told in a table");
            assert_eq!(row.table, Table::DrillEvents);
            states.push((alert.alertname.clone(), alert.to, alert.time));
        }
    }
    let of_pump = |state| states.iter().find(|(name, to, _)| &**name == "PumpTrip" && *to == state);
    let (fired, over) = (of_pump(AlertState::Firing).unwrap(), of_pump(AlertState::Resolved).unwrap());
    let shown = over.2 - fired.2;
    let minutes = Microseconds::from_minutes;
    assert!(minutes(2) <= shown && shown < minutes(4), "seen by everybody on its way: {shown}");
    let active = states.iter().filter(|(_, to, _)| to.is_active()).count();
    let ended = states.iter().filter(|(_, to, _)| *to == AlertState::Resolved).count();
    assert!(ended <= active && states.last().unwrap().1 != AlertState::Firing, "{states:?}");
}

#[test]
fn a_drill_that_nothing_finds_fails_and_says_what_was_missing() {
    let mut player = READY.fork();
    begin(&mut player, "r1", "leak", None);
    // Who takes the baseline anew while coolant is lost learns the leak.
    let place = Place { site: "drill".into(), cooling_loop: Some("loop-a".into()), ..Place::default() };
    let identity = SeriesIdentity::new(place, "".into(), None);
    let (kind, value, by, why) = ("reset".into(), None, "ops".to_owned(), "a test".to_owned());
    let (calibration, reference) = ("c".into(), String::new());
    let time = FEED.start + BEGINS;
    let reset = Calibration { calibration, identity, time, kind, value, reference, by, why };
    player.apply(PartitionId::STREAM, Body::Calibration(reset));
    play(&mut player, BEGINS, BEGINS + Microseconds::from_minutes(50));
    let steps = steps(&player.take_effects());
    let last = steps.last().unwrap();
    assert_eq!((last.state, &*last.missing), (DrillState::Failed, "no finding of leak"));
    let record = player.evaluator().drill_record().of(&last.place);
    assert_eq!(record, std::slice::from_ref(last), "a failure stands until it is drilled again");
}

#[test]
fn a_drill_can_be_broken_off_and_says_nothing_then() {
    let mut player = READY.fork();
    begin(&mut player, "r1", "drift_return_temperature", None);
    play(&mut player, BEGINS, BEGINS + Microseconds::from_minutes(2));
    act(&mut player, "drill of drift_return_temperature", DrillChange::Cancel);
    let steps = steps(&player.take_effects());
    assert_eq!(steps.last().unwrap().state, DrillState::Cancelled);
    assert_eq!(player.evaluator().drill_record().iter().count(), 0);
    assert!(player.evaluator().drills_running().is_empty());
}

#[test]
fn a_rack_in_maintenance_is_drilled_and_heard() {
    let mut player = READY.fork();
    let time = FEED.start + BEGINS;
    let until = Some(time + Microseconds::from_hours(1));
    let event = MaintenanceEvent { rack: "r1".into(), time, until, by: "ops".into(), why: "a test".into() };
    player.apply(PartitionId::STREAM, Body::Maintenance(event));
    begin(&mut player, "r1", "gap", None);
    play(&mut player, BEGINS, BEGINS + Microseconds::from_minutes(6));
    assert_eq!(steps(&player.take_effects()).last().unwrap().state, DrillState::Passed);
}

#[test]
fn a_drill_that_could_say_nothing_is_refused_with_the_reason() {
    let refusal = |player: &mut Player, rack: &str, class: &str, severity| {
        begin(player, rack, class, severity);
        let told = steps(&player.take_effects()).pop().expect("a refusal is told");
        assert_eq!(told.state, DrillState::Refused, "{class}");
        told.missing
    };
    let mut player = READY.fork();
    for (rack, class, severity, said) in [
        ("r9", "leak", None, "no reading of rack \"r9\" ever came"),
        ("r1", "leek", None, "did you mean \"leak\"?"),
        ("r1", "leak", Some(99.0), "severity 99 of leak: give a number from 1 to 20 (L/min)"),
    ] {
        let missing = refusal(&mut player, rack, class, severity);
        assert!(missing.contains(said), "{missing}");
    }
    begin(&mut player, "r1", "gap", None);
    player.take_effects();
    let missing = refusal(&mut player, "r2", "leak", None);
    assert!(
        missing.contains("is in progress at site drill, loop loop-a, rack r1: one at a time"),
        "{missing}"
    );

    let mut young = Player::new(FEED.start, evaluator::default_documents(), None);
    play(&mut young, Microseconds::ZERO, Microseconds::from_minutes(10));
    young.take_effects();
    for (class, said) in [
        ("leak", "the baseline of leak at site drill, loop loop-a is not taken yet"),
        ("stuck", "no sensor of site drill, loop loop-a, rack r1 is known well enough"),
    ] {
        let missing = refusal(&mut young, "r1", class, None);
        assert!(missing.contains(said), "{missing}");
    }
}

#[test]
fn what_the_rack_does_not_report_cannot_be_drilled() {
    let mut player = Player::new(FEED.start, evaluator::default_documents(), None);
    let without = |readings: &[Reading]| -> Vec<Reading> {
        readings.iter().filter(|reading| &*reading.signal != "coolant_return_flow").cloned().collect()
    };
    for (instant, readings) in FEED.instants.iter().take(60) {
        player.tick_until(*instant);
        player.send(&without(readings));
    }
    player.take_effects();
    begin(&mut player, "r1", "leak", None);
    let told = steps(&player.take_effects()).pop().unwrap();
    assert!(
        told.missing
            .starts_with("leak looks at coolant_return_flow, and site drill, loop loop-a does not report it"),
        "{}",
        told.missing
    );
}

#[test]
fn a_drill_of_what_comes_in_earnest_says_nothing() {
    let mut player = READY.fork();
    begin(&mut player, "r1", "gap", None);
    play_without(&mut player, "r1", BEGINS, BEGINS + Microseconds::from_minutes(5));
    let steps = steps(&player.take_effects());
    let last = steps.last().unwrap();
    assert_eq!(last.state, DrillState::Cancelled);
    assert!(last.missing.starts_with("what was drilled has come in earnest: finding "), "{}", last.missing);
    assert_eq!(player.evaluator().drill_record().iter().count(), 0);
}

#[test]
fn a_finding_that_is_open_already_is_in_the_way_of_its_drill() {
    let mut player = READY.fork();
    play_without(&mut player, "r1", BEGINS, BEGINS + Microseconds::from_minutes(5));
    player.take_effects();
    begin(&mut player, "r1", "gap", None);
    let told = steps(&player.take_effects()).pop().unwrap();
    assert_eq!(told.state, DrillState::Refused);
    assert!(told.missing.contains("of gap is open at site drill, loop loop-a, rack r1"), "{}", told.missing);
}
