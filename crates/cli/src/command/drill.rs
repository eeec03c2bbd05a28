//! `thermogate drill`: rehearsals of faults, and a scorecard of what was found.

mod live; // drills of a running environment

use std::fs::File;
use std::io::{IsTerminal, Write};
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use drills::suite::{CLASSES, Class, Conditions, Job, Part, Suite, class};
use drills::{Outcome, Scorecard, Trace, play, report, score, trace};
use indicatif::{ProgressBar, ProgressStyle};
use telemetry::document::nearest;

use crate::arguments::{DrillCommand, DrillRunArguments, DrillSuite, Output};
use crate::failure::Failure;
use crate::output::{print_line, print_out};

/// Pictures of missed drills in one page.
const MISSES_SHOWN: usize = 40;

/// Runs the command.
pub fn run(command: &DrillCommand) -> Result<u8, Failure> {
    match command {
        DrillCommand::Run(arguments) => drill(arguments),
        DrillCommand::Live(arguments) => live::run(arguments),
        DrillCommand::End(arguments) => live::end(arguments),
    }
}

fn drill(arguments: &DrillRunArguments) -> Result<u8, Failure> {
    if matches!(arguments.output, Output::Junit) {
        return Err(Failure::bad_input("`drill run` prints --output text, json or markdown"));
    }
    let classes = classes(&arguments.class)?;
    let suite = suite(arguments)?;
    // Before minutes of work, not after.
    let page = arguments.out.as_ref().map(|path| page(path)).transpose()?;
    let mut cards = Vec::new();
    let mut shown: Vec<(Conditions, &'static Class, u64)> = Vec::new();
    for part in &suite.parts {
        let jobs: Vec<Job<'_>> = part
            .jobs()
            .into_iter()
            .filter(|job| {
                job.class.map_or(arguments.class.is_empty(), |class| {
                    classes.iter().any(|known| known.name == class.name)
                })
            })
            .collect();
        let outcomes = each(arguments.threads, &part.conditions.name, &jobs, |job| {
            let scenario = job.scenario();
            score(job.class, &scenario, &play(&scenario, |_, _| {}))
        });
        shown.extend(worth_a_picture(part, &outcomes));
        cards.push(Scorecard::new(part.conditions.clone(), &outcomes));
    }
    if let Some((path, mut file)) = page {
        let traces: Vec<Trace> = each(arguments.threads, "pictures", &shown, |(conditions, class, seed)| {
            trace(class, &conditions.drill(class, *seed))
        });
        file.write_all(report::html(&cards, &traces).as_bytes()).map_err(|error| unwritable(path, &error))?;
        eprintln!("thermogate: {} with {} pictures", path.display(), traces.len());
    }
    match arguments.output {
        Output::Json => print_line!("{}", report::json(&cards)),
        Output::Text | Output::Markdown | Output::Junit => {
            cards.iter().for_each(|card| print_out!("{}\n", report::markdown(card)))
        }
    }
    Ok(0)
}

/// The file of the page, empty yet.
fn page(path: &Path) -> Result<(&Path, File), Failure> {
    Ok((path, File::create(path).map_err(|error| unwritable(path, &error))?))
}

fn unwritable(path: &Path, error: &std::io::Error) -> Failure {
    Failure::bad_input(format!("{}: {error}", path.display()))
}

/// The first drill of each class, and those that were missed.
fn worth_a_picture(part: &Part, outcomes: &[Outcome]) -> Vec<(Conditions, &'static Class, u64)> {
    let of = |outcome: &Outcome| Some((part.conditions.clone(), class(&outcome.class)?, outcome.seed));
    let examples = CLASSES.iter().filter_map(|class| {
        outcomes.iter().find(|outcome| *outcome.class == *class.name && outcome.delay.is_some())
    });
    let misses = outcomes
        .iter()
        .filter(|outcome| outcome.onset.is_some() && outcome.delay.is_none())
        .take(MISSES_SHOWN);
    examples.chain(misses).filter_map(of).collect()
}

fn classes(names: &[String]) -> Result<Vec<&'static Class>, Failure> {
    if names.is_empty() {
        return Ok(CLASSES.iter().collect());
    }
    let known = || CLASSES.iter().map(|class| class.name);
    let unknown = |name: &String| {
        let near =
            nearest(name, known()).map_or_else(String::new, |near| format!(", did you mean {near:?}?"));
        Failure::bad_input(format!(
            "there is no class of faults {name:?}{near}: known are {}",
            known().collect::<Vec<_>>().join(", ")
        ))
    };
    names.iter().map(|name| class(name).ok_or_else(|| unknown(name))).collect()
}

fn suite(arguments: &DrillRunArguments) -> Result<Suite, Failure> {
    let all = Conditions::all();
    for name in &arguments.conditions {
        if !all.iter().any(|known| *known.name == **name) {
            let known: Vec<&str> = all.iter().map(|known| &*known.name).collect();
            return Err(Failure::bad_input(format!(
                "there are no conditions {name:?}: known are {}",
                known.join(", ")
            )));
        }
    }
    let named = |known: &Conditions| arguments.conditions.iter().any(|name| **name == *known.name);
    let mut suite = match (arguments.suite, arguments.conditions.is_empty()) {
        (DrillSuite::Quick, true) => Suite::quick(vec![Conditions::default()], arguments.seed),
        (DrillSuite::Quick, false) => Suite::quick(all.into_iter().filter(named).collect(), arguments.seed),
        (DrillSuite::Full, true) => Suite::full(all, arguments.seed),
        (DrillSuite::Full, false) => Suite::full(all.into_iter().filter(named).collect(), arguments.seed),
    };
    for part in &mut suite.parts {
        part.seeds = arguments.seeds.unwrap_or(part.seeds);
        part.healthy_days = arguments.days.unwrap_or(part.healthy_days);
    }
    Ok(suite)
}

/// Does something with each of many, on several threads, and gives the answers in their order. Shows its progress on
/// a terminal.
fn each<T: Sync, R: Send>(
    threads: Option<usize>,
    what: &str,
    all: &[T],
    work: impl Fn(&T) -> R + Sync,
) -> Vec<R> {
    let progress = if std::io::stderr().is_terminal() {
        ProgressBar::new(all.len() as u64)
    } else {
        ProgressBar::hidden()
    };
    progress.set_style(
        ProgressStyle::with_template("{msg:24} {bar:40} {pos}/{len}, {elapsed} gone, {eta} to go")
            .unwrap_or_else(|_| ProgressStyle::default_bar()),
    );
    progress.set_message(what.to_owned());
    let threads =
        threads.or_else(|| std::thread::available_parallelism().ok().map(usize::from)).unwrap_or(1).max(1);
    let (next, done) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    let Some(one) = all.get(number) else { return };
                    let answer = work(one);
                    done.lock().expect("no thread panics with the lock").push((number, answer));
                    progress.inc(1);
                }
            });
        }
    });
    progress.finish_and_clear();
    let mut done = done.into_inner().expect("no thread panics with the lock");
    done.sort_by_key(|(number, _)| *number);
    done.into_iter().map(|(_, answer)| answer).collect()
}
