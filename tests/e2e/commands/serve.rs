//! `serve` from ready to its end, `status`, and completions for every shell.

use std::process::{Command, Stdio};

use crate::harness::{Service, get, run, wait_for};
use crate::remote_write::{Reading, send};

const START: i64 = 1_767_600_000_000;

fn reading(rack: &'static str, time: i64, value: f64) -> Reading<'static> {
    Reading { metric: "coolant_supply_temperature", rack, time, value }
}

#[test]
fn a_service_is_ready_takes_readings_shows_them_and_ends_cleanly_on_sigterm() {
    let folder = tempfile::tempdir().expect("a folder");
    let settings = ["--set", "clock.kind=telemetry"];
    let service = Service::start(&folder.path().join("data"), &settings);
    for (path, text) in [("/healthz", "ok\n"), ("/readyz", "ready\n")] {
        assert_eq!(get(&format!("{}{path}", service.http)).expect("an answer"), (200, text.to_owned()));
    }
    let readings: Vec<_> = (0..180)
        .flat_map(|second| {
            [reading("r01", START + second * 10_000, 31.5), reading("r02", START + second * 10_000, 50.0)]
        })
        .collect();
    send(&service.http, &readings);

    let status = || -> serde_json::Value {
        serde_json::from_str(&service.run(&["status", "--output", "json"]).expect_success()).expect("JSON")
    };
    let racks = wait_for("both racks", || {
        status()["racks"].as_array().filter(|racks| racks.len() == 2 && racks[1]["state"] == "FAIL").cloned()
    });
    assert_eq!((&racks[0]["rack"], &racks[1]["rack"]), (&"r01".into(), &"r02".into()));
    assert_eq!((&racks[0]["declared"], &racks[0]["alerts_firing"]), (&false.into(), &0.into()), "{racks:?}");
    assert_eq!(
        (&racks[1]["worst_objective"], &racks[1]["state"]),
        (&"coolant-supply-temperature".into(), &"FAIL".into()),
        "{racks:?}"
    );
    let text = service.run(&["status"]).expect_success();
    for word in [
        "rack",
        "watermark",
        "coverage",
        "worst objective",
        "burn",
        "findings",
        "undeclared",
        "r01",
        "r02",
        "coolant-supply-temperature",
    ] {
        assert!(text.contains(word), "{word}: {text}");
    }
    assert_eq!(service.run(&["status", "--output", "junit"]).code, 2);

    // SIGTERM: `stop` expects exit code 0.
    let data = service.stop();
    let log = std::fs::read_dir(data.join("store/samples")).expect("the store").count();
    assert!(log > 1, "rows went to the store at the end");
    let again = Service::start(&data, &settings);
    assert!(
        again.log().contains("(replayed 0 records)"),
        "a clean end leaves nothing to replay: {}",
        again.log()
    );
    assert_eq!(again.sql("select count(*) as n from samples")[0]["n"], 360);
    again.stop();
}

#[test]
fn nobody_there_is_exit_code_5_with_what_to_do() {
    let port = crate::harness::free_port();
    for (arguments, flag) in [
        (&["status"][..], "--http"),
        (&["sql", "select 1"], "--http"),
        (&["gate", "evaluate", "--rack", "r07"], "--grpc"),
        (&["run", "list"], "--grpc"),
    ] {
        let address = format!("http://127.0.0.1:{port}");
        let finished = run(&[arguments, &[flag, &address]].concat());
        let says = format!("no service at {address}: ");
        assert!(
            finished.code == 5
                && finished.stderr.contains(&says)
                && finished.stderr.contains("start one with `thermogate serve`"),
            "{arguments:?}: {finished:?}"
        );
    }
}

#[test]
fn every_shell_has_completions_that_it_can_read() {
    let commands = [
        "demo",
        "serve",
        "status",
        "gate",
        "run",
        "maintenance",
        "calibrate",
        "sql",
        "replay",
        "import",
        "simulate",
        "check",
        "completions",
    ];
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let script = run(&["completions", shell]).expect_success();
        for command in commands {
            assert!(script.contains(command), "{shell} completes {command}");
        }
        if shell == "bash" {
            let mut bash =
                Command::new("bash").args(["-n", "-s"]).stdin(Stdio::piped()).spawn().expect("bash runs");
            let stdin = bash.stdin.take().expect("a pipe");
            std::io::Write::write_all(&mut { stdin }, script.as_bytes()).expect("bash reads");
            assert!(bash.wait().expect("bash ends").success(), "bash can read it");
        }
    }
    assert_eq!(run(&["completions", "dos"]).code, 2);
}

#[test]
fn every_command_has_help_and_the_program_tells_its_version() {
    for command in [
        &["demo"][..],
        &["serve"],
        &["status"],
        &["gate", "evaluate"],
        &["gate", "explain"],
        &["gate", "list"],
        &["gate", "override"],
        &["run", "start"],
        &["run", "end"],
        &["run", "mark"],
        &["run", "list"],
        &["maintenance", "start"],
        &["maintenance", "end"],
        &["calibrate"],
        &["calibrate", "list"],
        &["sql"],
        &["replay"],
        &["import"],
        &["simulate"],
        &["drill", "run"],
        &["drill", "live"],
        &["drill", "end"],
        &["check"],
        &["completions"],
    ] {
        let help = run(&[command, &["--help"]].concat()).expect_success();
        assert!(help.contains("Usage: thermogate "), "{command:?}: {help}");
    }
    assert!(run(&["--version"]).expect_success().starts_with("thermogate 0."));
    let finished = run(&["serv"]);
    assert!(
        finished.code == 2 && finished.stderr.contains("a similar subcommand exists: 'serve'"),
        "{finished:?}"
    );
}
