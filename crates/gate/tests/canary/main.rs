//! How often the check `canary` is wrong, and how soon it is right: simulated racks through evaluator and gate.
//!
//! `cargo test -p gate --test canary` runs a few pairs; the figures come from
//! `cargo test -p gate --test canary -- --ignored --nocapture`, on seeds that thresholds were chosen with (`tuning`) and
//! on seeds that nothing was chosen with (`held_out`).

mod bound; // exact bounds of shares and medians
mod drive; // a simulated site, played through the evaluator
mod figures; // pairs, and what they came to

use drive::{Cooling, Drill, play};
use figures::{Figures, GuardRail, TWO_BESIDE, judge_at, pair_of_seed};
use gate::VerdictKind;
use simulator::LoadPlan;
use telemetry::Microseconds;

/// A few pairs of every kind: none wrong, none later than two hours; and the fault is what it is meant to be.
#[test]
fn a_few_pairs_are_told_apart() {
    let figures = Figures::of((1..=4).map(pair_of_seed));
    println!("{figures}");
    assert_eq!(figures.wrong(), (0, 0), "{figures}");
    assert!(figures.all_right_within(120.0), "{figures}");
    assert!((figures.true_change() - 0.03).abs() < 0.002, "{figures}");
}

#[test]
#[ignore = "a measurement of five minutes and more; a_few_pairs_are_told_apart is its short form"]
fn tuning() {
    println!("{}", Figures::of((1..=160).map(pair_of_seed)));
}

#[test]
#[ignore = "a measurement of five minutes and more; a_few_pairs_are_told_apart is its short form"]
fn held_out() {
    let figures = Figures::of((100_001..=100_240).map(pair_of_seed));
    println!("{figures}");
    assert_eq!(figures.wrong().0, 0, "{figures}");
}

/// Against earlier runs of the rack itself, with nothing beside it.
#[test]
#[ignore = "a measurement of five minutes and more; a_few_pairs_are_told_apart is its short form"]
fn held_out_alone() {
    let figures = Figures::of((200_001..=200_100).map(figures::alone_of_seed));
    println!("{figures}");
    assert_eq!(figures.wrong().0, 0, "{figures}");
}

/// A pump that gives a seventh less head since the run's start, at whatever speed it is asked for now: the pump is told, and
/// nothing that follows from it.
#[test]
fn a_weaker_pump_is_told_against_those_of_other_loops() {
    let drill = |pump_head_loss| Drill {
        seed: 5,
        cooling: Cooling::Separate,
        loads: vec![LoadPlan::Training, LoadPlan::Training, LoadPlan::Training],
        fouling: None,
        pump_head_loss,
        earlier: 0,
    };
    let minutes = Microseconds::from_minutes(120);
    let judged = |pump_head_loss| {
        let played = play(&drill(pump_head_loss), minutes);
        judge_at(&played, played.start + minutes, TWO_BESIDE, GuardRail::Off)
    };
    let healthy = judged(None);
    assert_eq!(healthy.verdict, VerdictKind::Pass, "{}", healthy.reason);
    let weaker = judged(Some(0.15));
    assert_eq!(weaker.verdict, VerdictKind::Inconclusive, "no release wears pumps: {}", weaker.reason);
    assert!(weaker.reason.contains("the cause is the facility"), "{}", weaker.reason);
    assert!(weaker.reason.contains("pump_head") && !weaker.reason.contains("[also"), "{}", weaker.reason);
    let beside = healthy.checks[0].evidence.iter().filter(|evidence| evidence.name == "beside");
    let shown: Vec<&str> = beside.filter_map(|evidence| evidence.text.split(' ').next()).collect();
    assert!(
        ["exchanger_conductance", "hydraulic_resistance", "pump_head", "heat_balance"]
            .iter()
            .all(|metric| shown.contains(metric)),
        "{shown:?}"
    );
}

/// What is judged here from the batches at the end is what a gate would have judged at the time.
#[test]
fn facts_cut_at_a_moment_are_those_of_that_moment() {
    let drill = Drill {
        seed: 3,
        cooling: Cooling::Separate,
        loads: vec![LoadPlan::Training, LoadPlan::Training, LoadPlan::Inference],
        fouling: Some(figures::FOULING),
        pump_head_loss: None,
        earlier: 0,
    };
    let moment = Microseconds::from_minutes(40);
    let (live, whole) = (play(&drill, moment), play(&drill, Microseconds::from_minutes(90)));
    let judged = |played: &drive::Played| judge_at(played, played.start + moment, TWO_BESIDE, GuardRail::On);
    let (live, cut) = (judged(&live), judged(&whole));
    assert_eq!(live.verdict, VerdictKind::Fail, "{}", live.reason);
    assert_eq!(cut.reason, live.reason);
    assert_eq!(cut.checks, live.checks);
}
