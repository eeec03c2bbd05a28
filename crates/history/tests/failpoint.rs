//! A fail point ends the process as a crash would; what was acknowledged before is there. Needs the feature
//! `failpoints`: `cargo test -p history --features failpoints --test failpoint`.
#![cfg(feature = "failpoints")]

use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use history::checkpoint::Checkpoints;
use history::log::{Floors, Log, LogSettings, RaftLog};
use telemetry::EventTime;
use telemetry::record::{Body, PartitionId, Record};

const FOLDER: &str = "THERMOGATE_TEST_CHILD_FOLDER";

fn open(folder: &Path) -> RaftLog {
    RaftLog::open(&folder.join("log"), &LogSettings::default(), Floors::new()).unwrap()
}

/// Not a test of its own: what the child processes of the others do.
#[test]
fn child() {
    let Ok(folder) = std::env::var(FOLDER).map(PathBuf::from) else { return };
    let log = open(&folder);
    let checkpoints = Checkpoints::open(&folder.join("checkpoints")).unwrap();
    for second in 1..=5 {
        let time = EventTime::from_unix_micros(second * 1_000_000);
        let record = Record { partition: PartitionId::STREAM, body: Body::Tick(time) };
        let last = log.append(0, &[record]).unwrap();
        println!("acknowledged {last}");
        checkpoints.write("test", last, Some(time), b"state").unwrap();
        log.trim(0, last).unwrap();
    }
}

/// The last position that the child acknowledged before it died, and its folder.
fn died_at(failpoint: &str) -> (u64, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["child", "--exact", "--nocapture"])
        .env(FOLDER, folder.path())
        .env("THERMOGATE_FAILPOINT", failpoint)
        .output()
        .unwrap();
    let (out, error) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    let name = failpoint.split(':').next().unwrap();
    assert!(error.contains(&format!("failpoint {name} reached")), "{error}");
    assert_eq!(output.status.signal(), Some(6), "it ended by abort: {error}");
    let acknowledged = out.lines().filter_map(|line| line.split("acknowledged ").nth(1)).next_back();
    (acknowledged.map_or(0, |last| last.parse().unwrap()), folder)
}

#[test]
fn a_crash_after_the_sync_loses_nothing_although_nobody_was_told() {
    let (acknowledged, folder) = died_at("after_log_sync:3");
    assert_eq!(acknowledged, 2);
    assert_eq!(open(folder.path()).bounds(0), Some((2, 3)));
}

#[test]
fn a_crash_before_a_trim_leaves_the_records_and_after_a_checkpoint_the_checkpoint() {
    let (acknowledged, folder) = died_at("before_trim");
    assert_eq!(acknowledged, 2, "the first record is the last one, which is never trimmed");
    assert_eq!(open(folder.path()).bounds(0), Some((1, 2)));

    let (acknowledged, folder) = died_at("after_checkpoint:2");
    assert_eq!(acknowledged, 2);
    let checkpoints = Checkpoints::open(&folder.path().join("checkpoints")).unwrap();
    assert_eq!(checkpoints.newest().unwrap().0.unwrap().header.sequence, 2);
}
