//! Data folders that cannot be had, and stores that are read-only or full: real mounts, not permissions, which root passes.

use std::path::Path;
use std::process::Command;

use crate::faults::damage::parquet_files;
use crate::harness::{Finished, Service, get, run, wait_for};
use crate::mounted::Mounted;
use crate::remote_write::{Reading, Sender, send};

/// A service that has to refuse to start, on free ports.
fn serve(data: &Path, arguments: &[&str]) -> Finished {
    let data = data.display().to_string();
    let ports = ["otlp_grpc", "otlp_http", "grpc", "http"].map(|port| format!("listen.{port}=127.0.0.1:0"));
    let mut all = vec!["serve", "--data", &data];
    ports.iter().for_each(|port| all.extend(["--set", port]));
    all.extend(arguments);
    run(&all)
}

fn refused(finished: &Finished, says: &[&str]) {
    assert_eq!(finished.code, 2, "{finished:?}");
    for says in says {
        assert!(finished.stderr.contains(says), "expected {says:?}: {finished:?}");
    }
    assert!(!finished.stderr.contains("panicked"), "{finished:?}");
}

fn reading(time: i64, value: f64) -> Reading<'static> {
    Reading { metric: "coolant_supply_temperature", rack: "r01", time: time * 1_000, value }
}

/// A temperature with as many digits as fit, so that no compression makes it small.
fn noise(seed: i64) -> f64 {
    let mixed = (seed as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    30.0 + ((mixed ^ (mixed >> 31)).wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 11) as f64 / (1_u64 << 53) as f64
}

const START: i64 = 1_767_600_000;

#[test]
fn a_folder_that_another_process_holds_is_refused_with_its_process_and_address() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    let service = Service::start(&data, &[]);
    let held = format!(
        "is held by process {}, which serves at {}: stop that process, or name another folder",
        service.pid(),
        service.http
    );
    refused(&serve(&data, &[]), &[&held]);
    let csv = folder.path().join("a.csv");
    std::fs::write(
        &csv,
        "time,rack,signal,value\n2026-01-05T08:00:00Z,r01,coolant_supply_temperature,31.5\n",
    )
    .expect("a file");
    refused(&run(&["import", &csv.display().to_string(), "--data", &data.display().to_string()]), &[&held]);
    assert_eq!(
        get(&format!("{}/healthz", service.http)).expect("an answer").0,
        200,
        "the holder is not harmed"
    );
    service.stop();
    Service::start(&data, &[]).stop();
}

#[test]
fn a_folder_that_is_not_ours_or_of_another_version_is_refused_and_left_as_it_is() {
    let folder = tempfile::tempdir().expect("a folder");
    let foreign = folder.path().join("foreign");
    std::fs::create_dir(&foreign).expect("a folder");
    std::fs::write(foreign.join("thesis.tex"), "mine").expect("a file");
    refused(
        &serve(&foreign, &[]),
        &["is not a thermogate data folder", "name an empty folder, or one that thermogate made"],
    );
    assert_eq!(std::fs::read_dir(&foreign).expect("a folder").count(), 1, "nothing was added");

    let data = folder.path().join("data");
    Service::start(&data, &[]).stop();
    let marker = data.join("thermogate.json");
    let ours = std::fs::read_to_string(&marker).expect("a marker");
    for (text, says) in [
        (r#"{"format":0,"engine":"0.0.1"}"#, "has format 0, this version reads format 1"),
        (
            r#"{"format":9,"engine":"7.0.0"}"#,
            "written by thermogate 7.0.0; this version reads format 1: use that version or a later one",
        ),
        (r#"{"format":"#, "is not a marker that thermogate wrote"),
    ] {
        std::fs::write(&marker, text).expect("a marker");
        refused(&serve(&data, &[]), &[says]);
        refused(&run(&["sql", "--data", &data.display().to_string(), "select 1"]), &[says]);
    }
    std::fs::write(&marker, ours).expect("a marker");
    let commit = data.join("store/samples/_delta_log/00000000000000000000.json");
    let made = std::fs::read_to_string(&commit).expect("the table's first commit");
    std::fs::write(&commit, made.replace(r#""thermogate.format":"1""#, r#""thermogate.format":"0""#))
        .expect("a commit");
    refused(
        &serve(&data, &[]),
        &[
            "table samples of the store",
            "has format 0, this version reads and writes format 1",
            "name another data.folder and store to begin anew",
        ],
    );
    std::fs::write(&commit, made).expect("a commit");
    Service::start(&data, &[]).stop();

    let missing = folder.path().join("missing").display().to_string();
    refused(
        &run(&["sql", "--data", &missing, "select 1"]),
        &["does not exist: start `thermogate serve` with it first"],
    );
}

#[test]
fn a_port_that_is_taken_is_named_with_its_setting() {
    let folder = tempfile::tempdir().expect("a folder");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("an address");
    let setting = format!("listen.http={address}");
    refused(
        &serve(&folder.path().join("data"), &["--set", &setting]),
        &[&format!("listen.http = {address}: "), "choose another with --set listen.http=127.0.0.1:0"],
    );
}

#[test]
fn a_folder_or_store_that_is_read_only_is_refused_before_anything_is_taken() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = folder.path().join("store");
    std::fs::create_dir(&store).expect("a folder");
    let Some(mount) = Mounted::new(&store, &["-t", "tmpfs", "-o", "ro", "tmpfs"]) else { return };
    refused(&serve(&store.join("data"), &[]), &["cannot make files in data folder", "Read-only file system"]);
    let url = format!("data.store={}", store.display());
    let finished = serve(&folder.path().join("data"), &["--set", &url]);
    refused(
        &finished,
        &["cannot create table ", "Read-only file system", "see that the store is there and can be written"],
    );
    drop(mount);
    Service::start(&folder.path().join("data"), &["--set", &url]).stop();
}

#[test]
fn a_stopped_folder_on_a_read_only_disk_answers_sql() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    let service = Service::start(&data, &["--set", "clock.kind=telemetry"]);
    send(&service.http, &[reading(START, 31.5), reading(START + 10, 31.6)]);
    service.stop();
    let copy = folder.path().join("copy");
    let Some(_mount) = Mounted::new(&copy, &["--bind", &data.display().to_string()]) else { return };
    let again =
        Command::new("mount").args(["-o", "remount,ro,bind"]).arg(&copy).status().expect("mount runs");
    assert!(again.success(), "the mount becomes read-only");
    let answer = run(&[
        "sql",
        "--data",
        &copy.display().to_string(),
        "--output",
        "csv",
        "select count(*) as n from samples",
    ]);
    assert_eq!(answer.expect_success(), "n\n2\n");
}

#[test]
fn a_full_disk_of_the_log_refuses_senders_and_goes_on_once_there_is_room() {
    let folder = tempfile::tempdir().expect("a folder");
    let disk = folder.path().join("disk");
    let Some(mount) = Mounted::tmpfs(&disk, 64) else { return };
    let service = Service::start(&disk.join("data"), &["--set", "clock.kind=telemetry"]);
    send(&service.http, &[reading(START, 31.5)]);
    let ballast = mount.fill();
    // The log has some room reserved ahead, so many readings go into a request.
    const MANY: i64 = 1_000;
    let sender = Sender::new();
    let mut acknowledged = 1;
    let mut second = START;
    let mut send_many = || {
        let readings: Vec<_> = (1..=MANY).map(|step| reading(second + step, noise(second + step))).collect();
        second += MANY;
        let status = sender.send(&service.http, &readings).expect("an answer");
        acknowledged += if status == 204 { MANY } else { 0 };
        status
    };
    let status = wait_for("a refusal", || Some(send_many()).filter(|status| *status != 204));
    assert_eq!(status, 503, "a full disk passes: senders come again");
    wait_for("the log to say so", || {
        service.log().contains("is full: free some space or move data.folder").then_some(())
    });
    assert!(service.metric("thermogate_log_errors_total").is_some_and(|errors| errors >= 1.0));
    assert_eq!(get(&format!("{}/healthz", service.http)).expect("an answer").0, 200);
    std::fs::remove_file(ballast).expect("room again");
    wait_for("a sender to be taken again", || (send_many() == 204).then_some(()));
    let count = |service: &Service| {
        service.sql("select count(*) as n, count(distinct time) as times from samples")[0].clone()
    };
    assert_eq!(
        count(&service),
        serde_json::json!({"n": acknowledged, "times": acknowledged}),
        "what was acknowledged is there once"
    );
    let data = service.stop();
    let service = Service::start(&data, &["--set", "clock.kind=telemetry"]);
    assert_eq!(
        count(&service),
        serde_json::json!({"n": acknowledged, "times": acknowledged}),
        "also after a restart"
    );
    service.stop();
}

#[test]
fn a_full_store_holds_rows_back_and_takes_them_once_there_is_room() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = folder.path().join("store");
    let Some(mount) = Mounted::tmpfs(&store, 16) else { return };
    let url = format!("data.store={}", store.display());
    let settings = ["--set", "clock.kind=telemetry", "--set", "history.flush_every=1s", "--set", &url];
    let service = Service::start(&folder.path().join("data"), &settings);
    send(&service.http, &[reading(START, 31.5)]);
    let ballast = mount.fill();
    let mut second = START;
    wait_for("a flush that fails", || {
        second += 1;
        send(&service.http, &[reading(second, 31.5)]);
        service.metric("thermogate_history_flush_errors_total").filter(|errors| *errors >= 1.0)
    });
    assert!(
        service.log().contains("the store refused a flush; the rows stay in memory and in the log"),
        "{}",
        service.log()
    );
    second += 1;
    send(&service.http, &[reading(second, 31.5)]);
    let taken = second - START + 1;
    assert_eq!(service.sql("select count(*) as n from samples")[0]["n"], taken, "SQL sees what waits");
    std::fs::remove_file(ballast).expect("room again");
    let files = || service.sql("select count(*) as n from samples")[0]["n"].as_i64();
    wait_for("the rows in the store", || {
        second += 1;
        send(&service.http, &[reading(second, 31.5)]);
        (!parquet_files(&store.join("samples")).is_empty()).then_some(())
    });
    assert_eq!(files(), Some(second - START + 1), "each reading is there once");
    service.stop();
}
