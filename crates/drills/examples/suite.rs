//! Plays a suite on two threads and prints its scorecard: `suite FIRST_SEED SEEDS HEALTHY_DAYS [CLASS…]`.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use drills::suite::{CLASSES, Conditions};
use drills::{Scorecard, play, report, score};

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number =
        |at: usize, otherwise: u64| arguments.get(at).and_then(|text| text.parse().ok()).unwrap_or(otherwise);
    let (first, seeds, days) = (number(0, 1), number(1, 4), number(2, 4));
    let only: Vec<&String> = arguments.iter().skip(3).collect();
    let condition = std::env::var("CONDITION").unwrap_or_default();
    let conditions = Conditions::all()
        .into_iter()
        .find(|known| known.name.contains(&*condition))
        .expect("a known condition");
    let verbose = std::env::var_os("VERBOSE").is_some();
    let mut jobs = Vec::new();
    for seed in first..first + seeds {
        for class in
            CLASSES.iter().filter(|class| only.is_empty() || only.iter().any(|name| **name == class.name))
        {
            jobs.push((Some(class), conditions.drill(class, seed)));
        }
    }
    jobs.extend((first..first + days).map(|seed| (None, conditions.healthy(seed))));
    let (next, outcomes) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while let Some((class, scenario)) = jobs.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let played = play(scenario, |_, _| {});
                    let outcome = score(*class, scenario, &played);
                    if verbose {
                        let origin = outcome.onset.unwrap_or(scenario.start);
                        let mut text = format!("{} {}: delay {:?}\n", outcome.class, outcome.seed, outcome.delay.map(|delay| delay.as_seconds() / 60.0));
                        for finding in &played.findings {
                            text += &format!(
                                "   {:8.1} min {} {} {:?} {:?} lead {:?} res {:?} base {:?} ended {:?} {:?}\n",
                                (finding.detected - origin).as_seconds() / 60.0, finding.detector, finding.place, finding.signal, finding.sensor,
                                finding.leading, finding.residual, finding.baseline, finding.ended.map(|end| (end - origin).as_seconds() / 60.0), finding.evidence
                            );
                        }
                        print!("{text}");
                    }
                    outcomes.lock().expect("no panic").push(outcome);
                }
            });
        }
    });
    let outcomes = outcomes.into_inner().expect("no panic");
    println!("{}", report::markdown(&Scorecard::new(conditions, &outcomes)));
}
