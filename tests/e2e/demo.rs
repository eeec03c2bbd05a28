//! `thermogate demo`: the first thing a newcomer sees.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::harness::{Finished, run_in, thermogate, wait_for};

/// Verdict, cause and reason of each rack.
struct Row {
    rack: String,
    verdict: String,
    cause: String,
    reason: String,
}

#[test]
fn the_demo_shows_each_verdict_and_its_three_commands_work_when_pasted() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut demo = Demo::start(folder.path());
    let shown = demo.shown_until("serving until Ctrl-C");
    check_verdicts(&shown);
    for expected in ["finding stuck", "finding pump", "alert PumpHeadLoss firing on loop-b", "finding gap"] {
        assert!(shown.contains(expected), "{expected:?} is told as it happens:\n{shown}");
    }
    let objective = row_of(&shown, "b1", "coolant-dt");
    let is_overspent =
        objective.split("  ").map(str::trim).any(|cell| cell.starts_with('-') && cell.ends_with(" %"));
    assert!(
        objective.contains("FAIL") && is_overspent && objective.contains(" over 56m"),
        "budget and burn: {objective}"
    );

    let commands = commands(&shown);
    let [sql, gate, check] = commands.map(|command| paste(folder.path(), command));
    let margins = sql.expect_success();
    assert!(["a1", "a2", "b1", "b2", "b3"].iter().all(|rack| margins.contains(rack)), "{margins}");
    assert_eq!(gate.code, 1, "the gate's command asks about a rack of loop B: {gate:?}");
    assert!(gate.stdout.contains("FAIL") && gate.stdout.contains("coolant-dt"), "{gate:?}");
    let checked = check.expect_success();
    assert!(checked.contains("0 failed, 0 refused"), "{checked}");
    assert!(demo.ends_cleanly(), "Ctrl-C is a clean end");

    // The next demo takes the folder of the last one.
    let again = run_in(folder.path(), &["demo", "--once", "--free-ports"]).expect_success();
    check_verdicts(&again);
    assert!(!again.contains("serving"), "--once ends by itself");
    for command in self::commands(&again) {
        assert_eq!(paste(folder.path(), command).code, 0, "{command} works after the end");
    }
    let stored = run_in(
        folder.path(),
        &["sql", "--data", "data/demo/service", "select count(*) as n from verdicts", "--output", "csv"],
    );
    assert_eq!(stored.expect_success().lines().last(), Some("6"), "those of this demo alone, in its store");
}

#[test]
fn a_folder_without_the_demos_marker_is_refused_and_left_as_it_is() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("mine");
    std::fs::create_dir(&data).expect("a folder");
    std::fs::write(data.join("thesis.txt"), "years of work").expect("a file");
    let refused = run_in(folder.path(), &["demo", "--once", "--free-ports", "--data", "mine"]);
    assert_eq!(refused.code, 2, "{refused:?}");
    assert!(
        refused.stderr.contains("is no demo's folder") && refused.stderr.contains("--data"),
        "{}",
        refused.stderr
    );
    assert_eq!(std::fs::read_to_string(data.join("thesis.txt")).expect("it is there"), "years of work");
}

/// The three commands that are printed, without the program's name.
fn commands(shown: &str) -> [&str; 3] {
    let lines = shown.lines().skip_while(|line| *line != "look further:");
    let commands: Vec<&str> = lines.filter_map(|line| line.trim().strip_prefix("thermogate ")).collect();
    commands.try_into().unwrap_or_else(|commands| panic!("not three commands: {commands:?}"))
}

/// PASS for the healthy rack, INCONCLUSIVE for the stuck and the silent one, FAIL with rise and time on loop B.
fn check_verdicts(shown: &str) {
    let rows = verdicts(shown);
    let of = |rack: &str| {
        rows.iter().find(|row| row.rack == rack).unwrap_or_else(|| panic!("no rack {rack} in:\n{shown}"))
    };
    assert_eq!(rows.len(), 6, "{shown}");
    assert_eq!(of("a1").verdict, "PASS", "{}", of("a1").reason);
    for (rack, why) in [("a2", "sensor_fault"), ("a3", "stale")] {
        let Row { verdict, cause, reason, .. } = of(rack);
        assert_eq!((verdict.as_str(), cause.as_str()), ("INCONCLUSIVE", "sensor"), "{rack}: {reason}");
        assert!(reason.contains(why) && reason.contains("coverage"), "{rack}: {reason}");
    }
    for rack in ["b1", "b2", "b3"] {
        let Row { verdict, cause, reason, .. } = of(rack);
        assert_eq!((verdict.as_str(), cause.as_str()), ("FAIL", "facility"), "{rack}: {reason}");
        assert!(reason.contains("K > 12 K") && reason.contains("time to threshold"), "{rack}: {reason}");
    }
}

/// The table of verdicts: columns are two spaces or more apart.
fn verdicts(shown: &str) -> Vec<Row> {
    let lines = shown.lines().skip_while(|line| !line.contains("verdicts of the gate policy")).skip(2);
    let rows = lines.take_while(|line| !line.trim().is_empty()).map(|line| {
        let mut cells = line.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).map(str::to_owned);
        let mut cell = || cells.next().unwrap_or_else(|| panic!("a cell is missing in {line:?}"));
        Row { rack: cell(), verdict: cell(), cause: cell(), reason: cell() }
    });
    rows.collect()
}

fn row_of<'a>(shown: &'a str, place: &str, objective: &str) -> &'a str {
    let mut lines = shown.lines().skip_while(|line| *line != "objectives");
    lines
        .find(|line| line.trim().starts_with(place) && line.contains(&format!(" {objective} ")))
        .unwrap_or_else(|| panic!("no {objective} of {place} in:\n{shown}"))
}

/// Runs what was printed, as a shell would: there are no quotation marks in it.
fn paste(folder: &Path, command: &str) -> Finished {
    run_in(folder, &command.split_whitespace().collect::<Vec<_>>())
}

/// A demo that goes on serving; ended with the test.
struct Demo {
    child: Child,
    output: std::io::Lines<BufReader<std::process::ChildStdout>>,
}

impl Demo {
    fn start(folder: &Path) -> Self {
        let mut command = thermogate();
        command
            .args(["demo", "--free-ports"])
            .current_dir(folder)
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        let mut child = command.spawn().expect("the program starts");
        let output = BufReader::new(child.stdout.take().expect("stdout is piped")).lines();
        Self { child, output }
    }

    /// What it prints up to a line.
    fn shown_until(&mut self, last: &str) -> String {
        let mut shown = String::new();
        for line in self.output.by_ref().map_while(Result::ok) {
            shown += &line;
            shown.push('\n');
            if line == last {
                return shown;
            }
        }
        panic!("it ended without {last:?}:\n{shown}");
    }

    /// Ends it as Ctrl-C does.
    fn ends_cleanly(&mut self) -> bool {
        let _ = Command::new("kill").args(["-INT", &self.child.id().to_string()]).status();
        wait_for("the demo to end", || self.child.try_wait().expect("a child can be asked")).success()
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
