//! A store that is missing, unmounted or replaced for a while: readings wait in log and memory, and come there once.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::json;

use super::damage::parquet_files;
use super::{SOON, START};
use crate::bucket::Bucket;
use crate::crash::supply;
use crate::harness::{Service, wait_for};
use crate::mounted::Mounted;
use crate::remote_write::{Sender, send};

/// A service whose store is its own, and how many readings it has acknowledged.
struct Fed {
    service: Service,
    settings: Vec<String>,
    environment: Vec<(&'static str, String)>,
    taken: i64,
}

impl Fed {
    fn start(folder: &Path, store: &str, environment: Vec<(&'static str, String)>) -> Self {
        let mut settings: Vec<String> = SOON.map(str::to_owned).to_vec();
        settings.extend(["--set".to_owned(), format!("data.store={store}")]);
        let service = started(&folder.join("data"), &settings, &environment);
        Self { service, settings, environment, taken: 0 }
    }

    fn feed(&mut self) {
        self.taken += 1;
        send(&self.service.http, &[supply("r01", START + self.taken, 39.0)]);
    }

    /// Feeds it until readings that came after this call are in the store.
    fn feed_until_flushed(&mut self) {
        let flushes =
            |fed: &Self| fed.service.metric("thermogate_history_flush_seconds_count").unwrap_or(0.0);
        let before = flushes(self);
        wait_for("two flushes", || {
            self.feed();
            (flushes(self) >= before + 2.0).then_some(())
        });
    }

    /// Feeds it while the store is away, and expects that nobody but the flushes notices.
    fn feed_without_store(&mut self) {
        let errors = |fed: &Self| fed.service.metric("thermogate_history_flush_errors_total").unwrap_or(0.0);
        let (before, start) = (errors(self), Instant::now());
        wait_for("flushes to fail", || {
            self.feed();
            std::thread::sleep(Duration::from_millis(20));
            (start.elapsed() > Duration::from_secs(3) && errors(self) >= before + 2.0).then_some(())
        });
    }

    /// Each reading is there once: now, after a crash, and after an end.
    fn expect_all_once(self) {
        let Self { service, settings, environment, taken } = self;
        let expected = json!({"n": taken, "times": taken});
        let count = |service: &Service| {
            service.sql("select count(*) as n, count(distinct time) as times from samples")[0].clone()
        };
        assert_eq!(count(&service), expected, "from the running service");
        let service = started(&service.kill(), &settings, &environment);
        assert_eq!(count(&service), expected, "after a crash");
        let service = started(&service.stop(), &settings, &environment);
        assert_eq!(count(&service), expected, "after an end");
    }
}

fn started(folder: &Path, settings: &[String], environment: &[(&str, String)]) -> Service {
    let environment: Vec<(&str, &str)> =
        environment.iter().map(|(name, value)| (*name, value.as_str())).collect();
    Service::start_with(folder, &as_str(settings), &environment)
}

fn as_str(settings: &[String]) -> Vec<&str> {
    settings.iter().map(String::as_str).collect()
}

#[test]
fn a_store_that_is_missing_or_replaced_by_a_file_holds_up_no_sender_and_gets_all_rows_once_it_is_back() {
    let folder = tempfile::tempdir().expect("a folder");
    let (store, away) = (folder.path().join("store"), folder.path().join("away"));
    let mut fed = Fed::start(folder.path(), &store.display().to_string(), Vec::new());
    for is_replaced in [false, true] {
        fed.feed_until_flushed();
        fs::rename(&store, &away).expect("the store goes");
        if is_replaced {
            fs::write(&store, "in its place").expect("a file");
        }
        fed.feed_without_store();
        assert!(!store.is_dir(), "no new store is begun in its place");
        if is_replaced {
            fs::remove_file(&store).expect("a file");
        }
        fs::rename(&away, &store).expect("the store is back");
        fed.feed_until_flushed();
    }
    fed.expect_all_once();
}

/// A service whose store is a mount of `disk` at `store`, with rows in it. None where the system allows no mounts.
fn on_a_mount(folder: &Path) -> Option<(Mounted, Fed)> {
    let (disk, store) = (folder.join("disk"), folder.join("store"));
    fs::create_dir(&disk).expect("a folder");
    let mount = Mounted::bind(&disk, &store)?;
    let mut fed = Fed::start(folder, &store.display().to_string(), Vec::new());
    fed.feed_until_flushed();
    Some((mount, fed))
}

#[test]
fn a_store_that_is_unmounted_gets_nothing_in_its_place_and_all_rows_once_it_is_back() {
    let folder = tempfile::tempdir().expect("a folder");
    let Some((mount, mut fed)) = on_a_mount(folder.path()) else { return };
    let (disk, store) = (folder.path().join("disk"), folder.path().join("store"));
    drop(mount);
    fed.feed_without_store();
    assert_eq!(
        fs::read_dir(&store).expect("the folder below").count(),
        0,
        "nothing is written below the mount"
    );
    let _mount = Mounted::bind(&disk, &store).expect("the mount is back");
    fed.feed_until_flushed();
    fed.expect_all_once();
}

#[test]
fn a_store_that_becomes_read_only_holds_up_no_sender_and_gets_all_rows_once_it_is_not() {
    let folder = tempfile::tempdir().expect("a folder");
    let Some((mount, mut fed)) = on_a_mount(folder.path()) else { return };
    mount.make_read_only(true);
    fed.feed_without_store();
    assert!(fed.service.log().contains("Read-only file system"), "{}", fed.service.log());
    mount.make_read_only(false);
    fed.feed_until_flushed();
    fed.expect_all_once();
}

#[test]
fn a_bucket_that_is_slow_or_gone_for_a_while_gets_all_rows_once_it_is_back() {
    let folder = tempfile::tempdir().expect("a folder");
    let Some(mut bucket) = Bucket::start(&folder.path().join("weed")) else { return };
    let mut fed = Fed::start(folder.path(), &bucket.url("site"), bucket.environment());
    fed.feed_until_flushed();
    bucket.pause();
    for _ in 0..100 {
        fed.feed();
        std::thread::sleep(Duration::from_millis(20));
    }
    bucket.go_on();
    fed.feed_until_flushed();
    bucket.end();
    fed.feed_without_store();
    bucket.start_again();
    fed.feed_until_flushed();
    fed.expect_all_once();
}

#[test]
fn a_start_without_the_store_that_goes_with_the_folder_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let (store, away) = (folder.path().join("store"), folder.path().join("away"));
    let mut fed = Fed::start(folder.path(), &store.display().to_string(), Vec::new());
    fed.feed_until_flushed();
    let Fed { service, settings, environment, taken } = fed;
    let data = service.stop();
    fs::rename(&store, &away).expect("the store goes");
    let refused = Service::try_start(&data, &as_str(&settings), &[]).err().expect("a refusal");
    assert!(
        refused.contains("the store is another one, or older, or not mounted")
            && refused.contains("bring back the one that goes with this folder"),
        "{refused}"
    );
    fs::remove_dir_all(&store).expect("what was made in its place");
    fs::rename(&away, &store).expect("the store is back");
    let service = started(&data, &settings, &environment);
    Fed { service, settings, environment, taken }.expect_all_once();
}

#[test]
fn beyond_its_budget_a_store_that_is_away_makes_senders_wait_and_nobody_loses_anything() {
    let folder = tempfile::tempdir().expect("a folder");
    let (store, away) = (folder.path().join("store"), folder.path().join("away"));
    let store_setting = format!("data.store={}", store.display());
    let small = ["history.flush_bytes_max=200000", "ingest.queue_bytes_max=100000", &store_setting];
    let settings = SOON.iter().copied().chain(small.into_iter().flat_map(|setting| ["--set", setting]));
    let service = Service::start(&folder.path().join("data"), &settings.collect::<Vec<_>>());
    let sender = Sender::new();
    let (mut second, mut acknowledged) = (START, 0);
    let mut send_many = || {
        const MANY: i64 = 1_000;
        let readings: Vec<_> = (1..=MANY)
            .map(|step| {
                supply("r01", second + step, 35.0 + ((second + step) * 7_919 % 10_007) as f64 / 1_000.0)
            })
            .collect();
        second += MANY;
        let status = sender.send(&service.http, &readings).expect("an answer");
        acknowledged += if status == 204 { MANY } else { 0 };
        status
    };
    assert_eq!(send_many(), 204);
    wait_for("a flush", || (!parquet_files(&store.join("samples")).is_empty()).then_some(()));
    fs::rename(&store, &away).expect("the store goes");
    let status = wait_for("a refusal", || Some(send_many()).filter(|status| *status != 204));
    assert_eq!(status, 503, "it passes: senders come again");
    fs::rename(&away, &store).expect("the store is back");
    wait_for("senders to be taken again", || (send_many() == 204).then_some(()));
    let count = |service: &Service| {
        service.sql("select count(*) as n, count(distinct time) as times from samples")[0].clone()
    };
    let expected = json!({"n": acknowledged, "times": acknowledged});
    wait_for("all of them", || (count(&service) == expected).then_some(()));
    let service =
        Service::start(&service.kill(), &["--set", "clock.kind=telemetry", "--set", &store_setting]);
    assert_eq!(count(&service), expected, "what was acknowledged, and nothing else, is there once");
    service.stop();
}
