//! Files that a disk has changed: told apart, named, and what can be read goes on.

use std::fs;
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::{SOON, START};
use crate::crash::supply;
use crate::harness::{Service, wait_for};
use crate::remote_write::{Reading, send};

const ON_TELEMETRY_S_CLOCK: [&str; 2] = ["--set", "clock.kind=telemetry"];
const DAY: i64 = 86_400;

/// The Parquet files of a table, whether or not it still refers to them.
pub fn parquet_files(table: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(table).into_iter().flatten().flatten().map(|entry| entry.path());
    let files = entries.flat_map(|path| if path.is_dir() { parquet_files(&path) } else { vec![path] });
    files.filter(|path| path.extension().is_some_and(|kind| kind == "parquet")).collect()
}

fn files(folder: &Path, kind: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("a folder").flatten().map(|entry| entry.path());
    let mut files: Vec<_> =
        entries.filter(|path| path.extension().is_some_and(|extension| extension == kind)).collect();
    files.sort();
    files
}

fn overwrite(file: &Path, at: usize, bytes: &[u8]) {
    let mut file = fs::OpenOptions::new().write(true).open(file).expect("a file");
    file.seek(SeekFrom::Start(at as u64)).and_then(|_| file.write_all(bytes)).expect("bytes are written");
}

/// Sends a reading a second, and one of a leak that lasts.
fn send_seconds(service: &Service, seconds: std::ops::Range<i64>) {
    for second in seconds {
        let leak = Reading { metric: "leak_state", rack: "r01", time: 1_000 * (START + second), value: 2.0 };
        send(&service.http, &[supply("r01", START + second, 39.0), leak]);
    }
}

/// What must not change: readings and alerts.
fn seen(service: &Service) -> Value {
    let samples = service.sql("select count(*) as n, count(distinct time) as times from samples");
    let alerts = service.sql("select alertname, severity, state, since, time, reason from alerts order by time, alertname, severity, state");
    json!([samples, alerts])
}

#[test]
fn a_log_with_a_torn_end_goes_on_and_one_damaged_before_its_end_is_refused_and_left_as_it_is() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    let service = Service::start(&data, &ON_TELEMETRY_S_CLOCK);
    send_seconds(&service, 0..40);
    let told = wait_for("the alert", || Some(seen(&service)).filter(|seen| seen[1][0].is_object()));
    assert_eq!(told[0][0], json!({"n": 80, "times": 40}));
    service.kill();

    let file = files(&data.join("log"), "raftlog").pop().expect("a file of the log");
    let whole = fs::read(&file).expect("a file");
    let written = whole.iter().rposition(|byte| *byte != 0).expect("records") + 1;
    overwrite(&file, written, &[0x5a; 100]);
    let service = Service::start(&data, &ON_TELEMETRY_S_CLOCK);
    assert!(service.log().contains("cut an unfinished write off the end of the log"), "{}", service.log());
    assert_eq!(seen(&service), told, "all that was acknowledged stands before it");
    service.kill();

    for (at, length) in [(written / 2, 1), (written / 2, 300), (written / 3, 40)] {
        fs::write(&file, &whole).expect("a file");
        overwrite(&file, at, &vec![0x5a; length]);
        let damaged = fs::read(&file).expect("a file");
        let refused = Service::try_start(&data, &ON_TELEMETRY_S_CLOCK, &[]).err().expect("a refusal");
        assert!(
            refused.contains("is damaged before its end")
                && refused.contains("restore the folder from a copy"),
            "{length} bytes at {at}: {refused}"
        );
        assert!(!refused.contains("cut an unfinished write"), "{refused}");
        let left = fs::read(&file).expect("a file");
        assert_eq!(left[..written], damaged[..written], "nothing is cut off");
    }
    fs::write(&file, &whole).expect("a file");
    let service = Service::start(&data, &ON_TELEMETRY_S_CLOCK);
    assert_eq!(seen(&service), told);
    service.stop();
}

#[test]
fn a_checkpoint_that_cannot_be_read_is_named_and_the_one_before_it_or_the_log_takes_its_place() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    let damage_newest = || {
        let newest = files(&data.join("checkpoints"), "checkpoint").pop().expect("a checkpoint");
        overwrite(&newest, 200, &[0x5a; 9]);
        newest.display().to_string()
    };
    // The end writes the first checkpoint, and there is none before it.
    let service = Service::start(&data, &ON_TELEMETRY_S_CLOCK);
    send_seconds(&service, 0..20);
    wait_for("the alert", || Some(seen(&service)).filter(|seen| seen[1][0].is_object()));
    let told = seen(&service);
    service.stop();
    assert_eq!(files(&data.join("checkpoints"), "checkpoint").len(), 1);
    let only = damage_newest();
    let service = Service::start(&data, &SOON);
    assert!(
        service.log().contains(&only) && service.log().contains("checksum does not fit"),
        "{}",
        service.log()
    );
    assert_eq!(seen(&service), told, "made again from the log");

    let mut second = 20;
    wait_for("three checkpoints", || {
        send_seconds(&service, second..second + 1);
        second += 1;
        (files(&data.join("checkpoints"), "checkpoint").len() == 3).then_some(())
    });
    let told = wait_for("the last second", || {
        Some(seen(&service)).filter(|seen| seen[0][0]["times"] == json!(second))
    });
    service.kill();
    let newest = damage_newest();
    let service = Service::start(&data, &SOON);
    let log = service.log();
    assert!(log.contains(&newest) && log.contains("the one before it is used"), "{log}");
    assert_eq!(seen(&service), told, "made again from the one before it and the log");
    send_seconds(&service, second..second + 1);
    service.stop();
}

#[test]
fn a_parquet_file_that_cannot_be_read_is_named_and_all_others_are_served_and_tended() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    let store = data.join("store");
    let of_day = |table: &str, day: &str| parquet_files(&store.join(table).join(format!("date={day}")));
    let service = Service::start(&data, &SOON);
    let mut second = 0;
    wait_for("some files of the first day", || {
        let minute: Vec<_> = (0..6).map(|slice| supply("r01", START + second + 10 * slice, 39.0)).collect();
        send(&service.http, &minute);
        second += 60;
        (of_day("samples", "2026-01-05").len() >= 3 && of_day("blocks", "2026-01-05").len() >= 3)
            .then_some(())
    });
    send_seconds(&service, DAY..DAY + 10);
    wait_for("a file of the second day", || (!of_day("samples", "2026-01-06").is_empty()).then_some(()));
    service.stop();

    let torn = of_day("samples", "2026-01-05").pop().expect("a file");
    let length = fs::metadata(&torn).expect("a file").len() as usize;
    overwrite(&torn, length / 2, &vec![0; length - length / 2]);
    let name = torn.file_name().expect("a name").to_string_lossy().into_owned();
    let tended = [&SOON[..], &["--set", "history.maintenance_every=1s"]].concat();
    let service = Service::start(&data, &tended);
    let count =
        |day: &str| format!("select count(value) as n, sum(value) as sum from samples where date = '{day}'");
    let failed = service.run(&["sql", &count("2026-01-05"), "--output", "json"]);
    assert!(failed.code != 0 && failed.stderr.contains(&name), "the file is named ({name}): {failed:?}");
    assert_eq!(service.sql(&count("2026-01-06"))[0]["n"], 20, "the other day");
    send_seconds(&service, DAY + 10..DAY + 20);
    assert_eq!(service.sql(&count("2026-01-06"))[0]["n"], 40, "what comes in is taken and seen");

    // A day that is over is merged: that of other tables, too, although this one's cannot be.
    wait_for("the file to be named by whoever tends the store", || {
        let log = service.log();
        log.lines().any(|line| line.contains("was not tended") && line.contains(&name)).then_some(())
    });
    let is_merged = |table: &str| {
        files(&store.join(table).join("_delta_log"), "json")
            .iter()
            .any(|commit| fs::read_to_string(commit).expect("a commit").contains(r#""operation":"OPTIMIZE""#))
    };
    wait_for("the others to be merged", || is_merged("blocks").then_some(()));
    assert!(!is_merged("samples"), "no row is merged away");
    service.stop();
}
