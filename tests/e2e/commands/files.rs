//! `simulate`, `replay`, `import`: a scenario to files, files to verdicts, files to SQL.

use super::{SCENARIO, rows, simulated};
use crate::harness::{run_in, thermogate};

#[test]
fn a_scenario_is_the_same_file_every_time_and_another_with_another_seed() {
    let folder = tempfile::tempdir().expect("a folder");
    let first = std::fs::read(simulated(folder.path())).expect("a file");
    let run = |arguments: &[&str]| run_in(folder.path(), arguments);
    assert_eq!(
        run(&["simulate", "short.yaml"]).expect_success().as_bytes(),
        first,
        "standard output has the same bytes"
    );
    let other = run(&["simulate", "short.yaml", "--seed", "5"]).expect_success();
    assert!(
        other.as_bytes() != first
            && other.lines().next() == Some("time,site,loop,rack,node,device,sensor,signal,value")
    );
    let finished = run(&["simulate", "short.yaml", "--out", "none/short.csv"]);
    assert!(finished.code == 2 && finished.stderr.contains("none/short.csv: No such file"), "{finished:?}");
}

#[test]
fn csv_and_parquet_of_a_scenario_replay_to_the_same_findings_and_verdicts() {
    let folder = tempfile::tempdir().expect("a folder");
    simulated(folder.path());
    std::fs::write(folder.path().join("policy.yaml"), POLICY).expect("a file");
    let run = |arguments: &[&str]| run_in(folder.path(), arguments);
    run(&["simulate", "short.yaml", "--out", "short.parquet"]).expect_success();
    let replay =
        |file: &str| run(&["replay", file, "--policy", "policy.yaml", "--output", "json"]).expect_success();
    let from_csv = replay("short.csv");
    assert_eq!(from_csv, replay("short.parquet"));
    assert_eq!(from_csv, replay("short.csv"), "a replay gives the same bytes again");

    let lines: Vec<serde_json::Value> =
        from_csv.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let of = |kind: &str| lines.iter().filter(|line| line["type"] == kind).collect::<Vec<_>>();
    let trip = of("finding")
        .into_iter()
        .find(|finding| finding["detector"] == "pump_trip" && finding["place"]["rack"] == "r01")
        .expect("the trip is found");
    let onset = trip["onset"].as_str().expect("a time");
    assert!(("2026-01-05T08:20:00".."2026-01-05T08:20:30").contains(&onset), "it tripped at 08:20: {trip}");
    let verdicts = of("verdict");
    assert_eq!(verdicts.len(), 1, "one rack");
    assert_eq!(
        (&verdicts[0]["policy"], &verdicts[0]["verdict"]),
        (&"mine".into(), &"FAIL".into()),
        "{}",
        verdicts[0]
    );
    assert!(
        verdicts[0]["reason"]
            .as_str()
            .is_some_and(|reason| reason.contains("coolant-dt") && reason.contains("rack r01")),
        "{}",
        verdicts[0]
    );

    let text = run(&["replay", "short.csv", "--policy", "policy.yaml"]).expect_success();
    assert!(text.contains("pump_trip") && text.contains("FAIL"), "{text}");
}

const POLICY: &str = "\
apiVersion: thermogate.dev/v1alpha1
kind: GatePolicy
metadata: {name: mine}
spec:
  scope: {of: rack, combine: worst}
  checks:
    - {objective: coolant-dt}
    - {findings: {severity: critical, none: true}}
";

#[test]
fn imported_rows_are_all_there_for_sql_and_not_twice() {
    let folder = tempfile::tempdir().expect("a folder");
    let count = rows(&simulated(folder.path()));
    let run = |arguments: &[&str]| run_in(folder.path(), arguments);
    let told = run(&["import", "short.csv", "--data", "data"]).expect_success();
    assert!(told.contains(&format!("imported {count} readings of {count} rows into data")), "{told}");
    let sql = |query: &str| run(&["sql", "--data", "data", "--output", "csv", query]).expect_success();
    assert_eq!(sql("select count(*) as n from samples"), format!("n\n{count}\n"));
    assert_eq!(
        sql("select count(distinct onset) as n from findings where detector = 'pump_trip' and rack = 'r01'"),
        "n\n1\n",
        "what is imported is judged as well"
    );
    assert_eq!(
        sql(
            "select count(*) as n from (select distinct time, signal, loop, rack, node, device, sensor from samples)"
        ),
        format!("n\n{count}\n")
    );

    let pasted = told
        .lines()
        .find_map(|line| line.strip_prefix("ask with: thermogate "))
        .expect("a command to go on with");
    let quoted: Vec<&str> = pasted.split('\'').collect();
    let mut arguments: Vec<&str> = quoted[0].split_whitespace().collect();
    arguments.push(quoted[1]);
    assert!(run(&arguments).expect_success().contains("r01"), "the command that it prints works");
}

#[test]
fn a_scenario_goes_to_a_file_or_to_a_port_not_to_both() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("short.yaml"), SCENARIO).expect("a file");
    let finished =
        run_in(folder.path(), &["simulate", "short.yaml", "--out", "a.csv", "--scrape", "127.0.0.1:0"]);
    assert!(
        finished.code == 2 && finished.stderr.contains("give --out or --scrape, not both"),
        "{finished:?}"
    );
}

#[test]
fn a_replay_says_how_many_readings_came_too_late_to_be_judged() {
    let folder = tempfile::tempdir().expect("a folder");
    let rows = "time,rack,signal,value\n2026-01-05T08:00:00Z,r1,coolant_flow,150\n2026-01-05T08:10:00Z,r1,coolant_flow,150\n";
    let late = "2026-01-05T08:05:00Z,r1,coolant_flow,150\n";
    for (text, said) in [
        (rows.to_owned(), "2 rows read, 0 unreadable\n"),
        (rows.to_owned() + late, "3 rows read, 0 unreadable, 1 readings late: stored, not judged\n"),
    ] {
        std::fs::write(folder.path().join("rows.csv"), text).expect("a file");
        let replayed = run_in(folder.path(), &["replay", "rows.csv"]).expect_success();
        assert!(replayed.contains(said), "{replayed}");
    }
}

const GROUP: &str = "apiVersion: thermogate.dev/v1alpha1\nkind: WatchGroup\nmetadata: {name: rig}\nspec:\n  signals:\n    motor_current: {unit: A, column: Motor Current}\n";

/// A row a second with a current that rises by six amperes in row 400.
fn motor(rows: std::ops::Range<usize>) -> String {
    let row = |row: usize| {
        let time = format!("2026-01-05T08:{:02}:{:02}Z", row / 60, row % 60);
        let wobble = (row * row % 17) as f64 / 17.0 + if row < 400 { 0.0 } else { 6.0 };
        format!("{time},{wobble}\n")
    };
    rows.map(row).collect()
}

#[test]
fn a_watch_answers_every_row_once_late_and_unreadable_ones_included() {
    let folder = tempfile::tempdir().expect("a folder");
    let write = |name: &str, text: String| std::fs::write(folder.path().join(name), text).expect("a file");
    let (header, unreadable, late) = ("time,Motor Current\n", "no time,1\n", "2026-01-05T08:00:00Z,1\n");
    write("group.yaml", GROUP.to_owned());
    write("one.csv", format!("{header}{}{unreadable}{late}{}", motor(0..300), motor(300..350)));
    write("other.csv", format!("{header}{}{unreadable}", motor(350..500)));
    let replay = |more: &[&str]| {
        let arguments =
            ["replay", "one.csv", "other.csv", "--rack", "r1", "--watch", "group.yaml", "--output", "json"];
        let text = run_in(folder.path(), &[&arguments, more].concat()).expect_success();
        let lines = text.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).expect("JSON"));
        lines.filter(|line| line["type"] == "watch").collect::<Vec<_>>()
    };
    let answers = replay(&["--rows"]);
    let mut rows: Vec<u64> = answers.iter().map(|answer| answer["row"].as_u64().expect("a number")).collect();
    rows.sort_unstable();
    assert_eq!(rows, (0..503).collect::<Vec<u64>>());
    let of_row = |row: u64| answers.iter().find(|answer| answer["row"] == row).expect("an answer");
    let unknown = |row: u64, time: serde_json::Value| {
        let told = of_row(row);
        assert_eq!(
            (&told["time"], &told["score"], &told["alarm"]),
            (&time, &serde_json::Value::Null, &false.into()),
            "{told}"
        );
    };
    unknown(0, "2026-01-05T08:00:00.000000Z".into());
    unknown(300, serde_json::Value::Null);
    unknown(301, "2026-01-05T08:00:00.000000Z".into());
    unknown(502, serde_json::Value::Null);
    assert!(of_row(299)["score"].is_number() && of_row(299)["rack"] == "r1" && of_row(299)["group"] == "rig");
    // Row 400 of the current is row 402 of the files; its step ends with the tenth row from there.
    let starts: Vec<&serde_json::Value> =
        answers.iter().filter(|answer| answer["episode_start"] == true).collect();
    assert_eq!(starts.len(), 1, "{starts:?}");
    assert_eq!((&starts[0]["row"], &starts[0]["time"]), (&411.into(), &"2026-01-05T08:06:49.000000Z".into()));
    assert_eq!(replay(&[]), [starts[0].clone()], "without --rows it tells where an alarm begins and ends");
}

#[test]
fn a_reader_that_has_seen_enough_ends_no_command_with_an_error() {
    let defaults = ["check", "--print-defaults"];
    let commands: [&[&str]; 5] = [
        &["sql", "--list"],
        &["completions", "bash"],
        &["serve", "--print-settings"],
        &defaults,
        &["check", "slo"],
    ];
    for arguments in commands {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        drop(reader);
        let root = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
        let output =
            thermogate().args(arguments).current_dir(root).stdout(writer).output().expect("it starts");
        assert_eq!(
            (output.status.code(), String::from_utf8_lossy(&output.stderr).as_ref()),
            (Some(0), ""),
            "{arguments:?}"
        );
    }
}

#[test]
fn output_that_cannot_be_written_is_an_error() {
    let full = std::fs::File::options().write(true).open("/dev/full").expect("Linux has it");
    let output = thermogate().args(["sql", "--list"]).stdout(full).output().expect("it starts");
    let message = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(5), "{message}");
    assert!(message.starts_with("thermogate: the output: No space left on device"), "{message}");
}
