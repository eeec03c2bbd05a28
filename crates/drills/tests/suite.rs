//! A short suite: what the detectors find, and that a scorecard can be trusted.

use drills::suite::{CLASSES, Conditions, Job, class};
use drills::{Outcome, Scorecard, play, report, score, trace};

fn played(job: &Job<'_>) -> Outcome {
    let scenario = job.scenario();
    score(job.class, &scenario, &play(&scenario, |_, _| {}))
}

fn cards(outcomes: &[Outcome]) -> Scorecard {
    Scorecard::new(Conditions::default(), outcomes)
}

/// Plays jobs on two threads, in their order.
fn all(jobs: &[Job<'_>]) -> Vec<Outcome> {
    let (one, other) = jobs.split_at(jobs.len() / 2);
    std::thread::scope(|scope| {
        let first = scope.spawn(|| one.iter().map(played).collect::<Vec<_>>());
        let mut second: Vec<_> = other.iter().map(played).collect();
        let mut outcomes = first.join().expect("no drill panics");
        outcomes.append(&mut second);
        outcomes
    })
}

#[test]
fn every_class_of_faults_is_found_and_healthy_racks_are_left_alone() {
    let conditions = Conditions::default();
    let mut jobs: Vec<Job<'_>> = (501..503)
        .flat_map(|seed| CLASSES.iter().map(move |class| (seed, class)))
        .map(|(seed, class)| Job { conditions: &conditions, class: Some(class), seed })
        .collect();
    jobs.extend((501..505).map(|seed| Job { conditions: &conditions, class: None, seed }));
    let card = cards(&all(&jobs));
    println!("{}", report::markdown(&card));
    assert!(card.recall >= Some(0.92), "{:?}", card.recall);
    assert!(card.precision >= Some(0.93), "{:?}", card.precision);
    assert!(card.first_attribution >= Some(0.93), "{:?}", card.first_attribution);
    assert_eq!(card.false_alarms, 0, "{:?}", card.false_alarms_by_detector);
}

#[test]
fn equal_drills_have_equal_outcomes_and_a_picture() {
    let conditions = Conditions::default();
    let job = Job { conditions: &conditions, class: class("filter_clogging"), seed: 502 };
    let (one, other) = (played(&job), played(&job));
    assert_eq!(one, other);
    assert_eq!(report::json(&[cards(&[one.clone()])]), report::json(&[cards(&[other])]));
    let traced = trace(job.class.expect("a class"), &job.scenario());
    assert_eq!(traced.outcome, one, "watching changes nothing");
    let page = report::html(&[cards(&[one])], &[traced]);
    assert!(page.contains("<svg") && page.contains("filter_differential_pressure"), "no picture");
    assert!(
        !page.contains("http://")
            || page.matches("http://").count() == page.matches("http://www.w3.org").count()
    );
}

#[test]
fn an_evaluator_that_says_nothing_scores_nothing() {
    let conditions = Conditions::default();
    let scenario = conditions.drill(class("leak").expect("a class"), 1);
    let silent =
        drills::Played { truth: simulator::Simulation::new(&scenario).labels(), ..drills::Played::default() };
    let outcome = score(class("leak"), &scenario, &silent);
    assert_eq!((outcome.delay, outcome.first_is_right), (None, None));
    let card = cards(&[outcome]);
    assert_eq!((card.recall, card.precision, card.first_attribution), (Some(0.0), None, None));
}
