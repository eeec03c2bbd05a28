use super::*;
use parquet::file::reader::{FileReader, SerializedFileReader};
use proptest::prelude::*;

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

#[tokio::test]
async fn rows_are_seen_before_during_and_after_their_commit() {
    let history = open("memory://").await;
    for sequence in 1..=3 {
        append(&history, sequence);
    }
    assert_eq!(counts(&history).await, all_once(3));
    let frozen = history.freeze(3);
    append(&history, 4);
    assert_eq!(counts(&history).await, all_once(4));
    assert_eq!(history.committed(), 0);
    assert_eq!(history.commit(&frozen).await.unwrap(), 3);
    assert_eq!(history.committed(), 3);
    assert_eq!(counts(&history).await, all_once(4));
}

#[tokio::test]
async fn positions_in_the_log_take_less_than_half_a_byte_a_row_of_a_long_series() {
    let (_folder, path) = folder();
    let history = open(&path).await;
    let mut sequence = 0;
    const ROWS: i64 = 20_000;
    for second in 0..ROWS {
        // About as many records of others come between two of its readings.
        sequence += 90 + (second * 31 % 41) as u64;
        let batch = readings(1, second);
        history.append_samples(sequence, PartitionId::FIRST, &batch, &[Fate::Stored(Flag::Ok)]);
    }
    history.commit(&history.freeze(sequence)).await.unwrap();
    let day = std::path::Path::new(&path).join("samples/date=2026-01-05");
    let file = std::fs::read_dir(day).unwrap().next().unwrap().unwrap().path();
    let reader = SerializedFileReader::new(std::fs::File::open(file).unwrap()).unwrap();
    let columns = reader.metadata().row_group(0).columns();
    let positions = columns.iter().find(|column| column.column_path().string() == "seq").unwrap();
    assert!(positions.compressed_size() < ROWS / 2, "{} bytes", positions.compressed_size());
}

#[tokio::test]
async fn memory_is_let_go_after_a_commit() {
    let history = open("memory://").await;
    append(&history, 1);
    assert!(history.memory_bytes() > 0);
    history.commit(&history.freeze(1)).await.unwrap();
    assert_eq!(history.memory_bytes(), 0);
}

#[tokio::test]
async fn values_come_back_as_they_went_in() {
    let (_folder, path) = folder();
    let history = open(&path).await;
    append(&history, 1);
    history.append_samples(
        2,
        PartitionId::FIRST,
        &SampleBatch {
            series: vec![SeriesId(3)],
            time: vec![at(2)],
            value: vec![f64::NAN],
            flag: vec![Flag::Stale],
        },
        &[Fate::Stored(Flag::Stale)],
    );
    let sql = "SELECT site, \"loop\", rack, node, signal, time, value, flag, source_name, source_unit, labels, \
               date, shard, seq FROM samples WHERE rack = 'r3' ORDER BY time";
    let in_memory = history.query_engine().sql(sql, &[]).await.unwrap().collect().await.unwrap();
    history.commit(&history.freeze(2)).await.unwrap();
    let in_files = history.query_engine().sql(sql, &[]).await.unwrap().collect().await.unwrap();
    let shown = |batches: &[_]| arrow::util::pretty::pretty_format_batches(batches).unwrap().to_string();
    assert_eq!(shown(&in_files), shown(&in_memory));
    let expected = "\
+------+------+------+------+----------------------------+----------------------+-------+-------+-------------+-------------+----------------+------------+-------+-----+
| site | loop | rack | node | signal                     | time                 | value | flag  | source_name | source_unit | labels         | date       | shard | seq |
+------+------+------+------+----------------------------+----------------------+-------+-------+-------------+-------------+----------------+------------+-------+-----+
| s1   | cdu1 | r3   |      | coolant_supply_temperature | 2026-01-05T10:00:01Z | 3.001 | ok    | supply      | degC        | {vendor: acme} | 2026-01-05 | 0     | 1   |
| s1   | cdu1 | r3   |      | coolant_supply_temperature | 2026-01-05T10:00:02Z |       | stale | supply      | degC        | {vendor: acme} | 2026-01-05 | 0     | 2   |
+------+------+------+------+----------------------------+----------------------+-------+-------+-------------+-------------+----------------+------------+-------+-----+";
    assert_eq!(shown(&in_files), expected);
}

#[tokio::test]
async fn duplicates_and_conflicts_are_not_stored() {
    let history = open("memory://").await;
    let fates = [Fate::Stored(Flag::Late), Fate::Duplicate, Fate::Conflict];
    history.append_samples(1, PartitionId::FIRST, &readings(3, 1), &fates);
    assert_eq!(number(&history, "SELECT count(*) FROM samples WHERE flag = 'late'").await, 1.0);
    assert_eq!(number(&history, "SELECT count(*) FROM samples").await, 1.0);
}

/// A sender that was not answered sends again, and by then its readings are late: the evaluator finds no repeat.
#[tokio::test]
async fn a_late_reading_that_came_before_is_shown_once_from_memory_files_and_both() {
    let (_folder, path) = folder();
    let history = open(&path).await;
    let stored = |sequence, series, second, flag| {
        let fates = vec![Fate::Stored(flag); series as usize];
        history.append_samples(sequence, PartitionId::FIRST, &readings(series, second), &fates);
    };
    let shown =
        async |flag| number(&history, &format!("SELECT count(*) FROM samples WHERE flag = '{flag}'")).await;
    stored(1, 3, 10, Flag::Ok);
    stored(2, 2, 10, Flag::Late);
    stored(3, 2, 5, Flag::Late);
    assert_eq!((shown("ok").await, shown("late").await), (3.0, 2.0), "in memory");
    history.commit(&history.freeze(3)).await.unwrap();
    assert_eq!((shown("ok").await, shown("late").await), (3.0, 2.0), "in a file");
    stored(4, 3, 10, Flag::Late);
    stored(5, 3, 5, Flag::Late);
    stored(6, 1, 20, Flag::Ok);
    assert_eq!((shown("ok").await, shown("late").await), (4.0, 3.0), "in both");
    assert_eq!(
        number(&history, "SELECT max(seq) FROM samples WHERE rack = 'r1'").await,
        3.0,
        "the first stays"
    );
    history.commit(&history.freeze(6)).await.unwrap();
    assert_eq!((shown("ok").await, shown("late").await), (4.0, 3.0), "in two files");
    assert_eq!(number(&history, "SELECT count(*) FROM samples_as_stored").await, 14.0);
}

/// A sender whose clock is ahead sends again: at once, and once its time has come.
#[tokio::test]
async fn a_reading_from_the_future_that_comes_again_is_shown_once() {
    let (_folder, path) = folder();
    let history = open(&path).await;
    for (sequence, flag) in [(1, Flag::Future), (2, Flag::Future), (3, Flag::Ok), (4, Flag::Late)] {
        history.append_samples(sequence, PartitionId::FIRST, &readings(2, 10), &[Fate::Stored(flag); 2]);
        assert_eq!(number(&history, "SELECT count(*) FROM samples").await, 2.0, "after {flag:?}");
        assert_eq!(number(&history, "SELECT max(seq) FROM samples").await, 1.0, "the first stays");
        history.commit(&history.freeze(sequence)).await.unwrap();
    }
    assert_eq!(number(&history, "SELECT count(*) FROM samples").await, 2.0, "in files");
    assert_eq!(number(&history, "SELECT count(*) FROM samples_as_stored").await, 8.0);
}

#[tokio::test]
async fn a_store_that_is_opened_again_skips_what_it_holds() {
    let (_folder, path) = folder();
    let history = open(&path).await;
    for sequence in 1..=5 {
        append(&history, sequence);
    }
    history.commit(&history.freeze(5)).await.unwrap();
    drop(history);

    let history = open(&path).await;
    assert_eq!(history.committed(), 5);
    for sequence in 3..=7 {
        append(&history, sequence);
    }
    assert_eq!(counts(&history).await, all_once(7));
    history.commit(&history.freeze(7)).await.unwrap();
    assert_eq!(counts(&history).await, all_once(7));
}

#[tokio::test]
async fn a_commit_that_is_repeated_adds_nothing() {
    let history = open("memory://").await;
    append(&history, 1);
    let frozen = history.freeze(1);
    history.commit(&frozen).await.unwrap();
    history.commit(&frozen).await.unwrap();
    assert_eq!(counts(&history).await, all_once(1));
}

#[tokio::test]
async fn a_record_without_rows_moves_the_position_on() {
    let (_folder, path) = folder();
    let history = open(&path).await;
    assert_eq!(history.commit(&history.freeze(9)).await.unwrap(), 9);
    drop(history);
    assert_eq!(open(&path).await.committed(), 9);
}

/// A store whose log folder of one table is not writable fails in the middle of a commit: tables before it are
/// committed, those after it are not.
#[tokio::test]
async fn a_commit_that_fails_half_way_is_finished_by_the_next_one() {
    let (_folder, path) = folder();
    let history = open(&path).await;
    append(&history, 1);
    history.commit(&history.freeze(1)).await.unwrap();
    append(&history, 2);
    let frozen = history.freeze(2);

    let log = std::path::Path::new(&path).join("events/_delta_log");
    let away = std::path::Path::new(&path).join("events/away");
    std::fs::rename(&log, &away).unwrap();
    std::fs::write(&log, "in the way").unwrap();
    let error = history.commit(&frozen).await.unwrap_err();
    assert!(error.is_retryable(), "{error}");
    assert!(error.to_string().starts_with("cannot commit to table events: "), "{error}");
    assert!(history.memory_bytes() > 0);
    assert_eq!(
        number(&history, "SELECT count(*) FROM samples").await,
        16.0,
        "seen once while half is committed"
    );

    let half = History::open(&path, HistorySettings::default()).await;
    assert!(half.is_err(), "events cannot be read");
    std::fs::remove_file(&log).unwrap();
    std::fs::rename(&away, &log).unwrap();
    let half = open(&path).await;
    assert_eq!((half.committed(), half.last_stored()), (1, 2));
    append(&history, 3);
    history.commit(&frozen).await.unwrap();
    assert_eq!(counts(&history).await, all_once(3));
    drop(history);
    assert_eq!(counts(&open(&path).await).await, all_once(2));
}

/// The reply to a commit is lost: the commit is there, the answer is an error.
#[tokio::test]
async fn a_commit_whose_reply_is_lost_is_not_done_twice() {
    let (_folder, path) = folder();
    let first = open(&path).await;
    let second = open(&path).await; // knows nothing of what the first commits
    append(&first, 1);
    append(&second, 1);
    first.commit(&first.freeze(1)).await.unwrap();
    second.commit(&second.freeze(1)).await.unwrap();
    assert_eq!(counts(&second).await, all_once(1));
    drop((first, second));
    assert_eq!(counts(&open(&path).await).await, all_once(1));
}

#[tokio::test]
async fn another_process_that_commits_for_the_same_stream_is_noticed() {
    let (_folder, path) = folder();
    let first = open(&path).await;
    let second = open(&path).await;
    for sequence in 1..=2 {
        append(&first, sequence);
        append(&second, sequence);
    }
    first.commit(&first.freeze(2)).await.unwrap();
    append(&second, 3);
    let error = second.commit(&second.freeze(3)).await.unwrap_err();
    assert!(!error.is_retryable());
    let expected = "holds transaction 2 of \"ingest/0\", this process committed up to 0: another process writes to this store";
    assert!(error.to_string().contains(expected), "{error}");
    let again = second.commit(&second.freeze(3)).await.unwrap_err().to_string();
    assert_eq!(again, error.to_string(), "trying again does not make it right");
    drop(second);
    assert_eq!(counts(&first).await, all_once(2));
}

/// A mount that is gone leaves the folder that it was mounted on.
#[tokio::test]
async fn a_store_that_is_taken_away_gets_nothing_new_in_its_place_and_all_rows_once_it_is_back() {
    let (_folder, path) = folder();
    let away = format!("{path}-away");
    let history = open(&path).await;
    append(&history, 1);
    history.commit(&history.freeze(1)).await.unwrap();
    // What is in its place: an empty folder, or a store that somebody began there.
    for (sequence, begun) in [(2, false), (3, true)] {
        append(&history, sequence);
        let frozen = history.freeze(sequence);
        std::fs::rename(&path, &away).unwrap();
        std::fs::create_dir(&path).unwrap();
        if begun {
            drop(open(&path).await);
        }
        for _ in 0..2 {
            history.commit(&frozen).await.unwrap_err();
        }
        let samples = entries(std::path::Path::new(&path).join("samples/_delta_log"));
        assert_eq!(samples, usize::from(begun), "nothing was committed in its place");
        std::fs::remove_dir_all(&path).unwrap();
        std::fs::rename(&away, &path).unwrap();
        history.commit(&frozen).await.unwrap();
    }
    assert_eq!(counts(&history).await, all_once(3));
    drop(history);
    assert_eq!(counts(&open(&path).await).await, all_once(3));
}

/// How many entries a folder has; none when it is not there.
fn entries(folder: std::path::PathBuf) -> usize {
    folder.read_dir().map_or(0, Iterator::count)
}

/// A file system of this size, gone with the value; `None` where this user may not mount one.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn mounted(bytes: usize) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let size = format!("size={bytes}");
        let mounted = std::process::Command::new("mount")
            .args(["-t", "tmpfs", "-o", &size, "tmpfs"])
            .arg(folder.path())
            .output()
            .is_ok_and(|output| output.status.success());
        if !mounted {
            eprintln!("skipped: this user cannot mount a tmpfs");
        }
        mounted.then_some(Self(folder))
    }

    fn remount(&self, how: &str) {
        let mut mount = std::process::Command::new("mount");
        assert!(mount.args(["-o", &format!("remount,{how}")]).arg(self.0.path()).status().unwrap().success());
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

#[tokio::test]
async fn a_full_store_refuses_and_takes_the_rows_when_there_is_room() {
    let Some(disk) = SmallDisk::mounted(1 << 20) else { return };
    let store = disk.0.path().join("store");
    let history = open(store.to_str().unwrap()).await;
    append(&history, 1);
    history.commit(&history.freeze(1)).await.unwrap();
    let filler = disk.0.path().join("filler");
    let full = std::fs::write(&filler, vec![0; 1 << 20]).is_err();
    assert!(full, "the disk is full");

    append(&history, 2);
    let frozen = history.freeze(2);
    for _ in 0..2 {
        let error = history.commit(&frozen).await.unwrap_err();
        assert!(error.is_retryable(), "{error}");
        assert!(error.to_string().ends_with("nothing is lost, it is tried again"), "{error}");
        assert_eq!(counts(&history).await, all_once(2));
    }
    std::fs::remove_file(&filler).unwrap();
    history.commit(&frozen).await.unwrap();
    assert_eq!(counts(&history).await, all_once(2));
    drop(history);
    assert_eq!(counts(&open(store.to_str().unwrap()).await).await, all_once(2));
}

/// The disk fills up at every moment of a commit, that of a checkpoint of the Delta log among them. A panic on the
/// way, even a caught one, would end a process whose panics abort.
#[tokio::test]
async fn a_disk_that_fills_up_at_any_moment_loses_nothing_and_panics_nowhere() {
    use std::sync::atomic::{AtomicUsize, Ordering};
    static PANICS: AtomicUsize = AtomicUsize::new(0);
    let Some(disk) = SmallDisk::mounted(4 << 20) else { return };
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if panic.location().is_some_and(|location| location.file().contains("registry")) {
            PANICS.fetch_add(1, Ordering::Relaxed);
        }
        before(panic);
    }));
    let store = disk.0.path().join("store");
    let store = store.to_str().unwrap();
    drop(open(store).await);
    for table in ["events", "log"] {
        super::refusal::change(
            store,
            table,
            "\"delta.checkpointInterval\":\"50\"",
            "\"delta.checkpointInterval\":\"2\"",
        );
    }
    let history = open(store).await;
    let mut last = 0;
    let filler = disk.0.path().join("filler");
    let mut refused = 0;
    for free_pages in 0..24 {
        last += 1;
        history.append_row(last, event(last as i64));
        let frozen = history.freeze(last);
        let mut file = std::fs::File::create(&filler).unwrap();
        while std::io::Write::write(&mut file, &[1; 4096]).is_ok_and(|written| written > 0) {}
        let size = file.metadata().unwrap().len();
        file.set_len(size - 4096 * free_pages).unwrap();
        if let Err(error) = history.commit(&frozen).await {
            assert!(error.is_retryable(), "{error}");
            refused += 1;
        }
        assert_eq!(number(&history, "SELECT count(DISTINCT seq) FROM events").await, last as f64);
        drop(file); // an open file keeps its space
        std::fs::remove_file(&filler).unwrap();
        history.commit(&frozen).await.unwrap();
        assert_eq!(number(&history, "SELECT count(*) FROM events").await, last as f64);
    }
    assert!(refused > 0, "the disk was full");
    assert_eq!(PANICS.load(Ordering::Relaxed), 0);
    let staged = std::process::Command::new("find").arg(store).args(["-name", "*#*"]).output().unwrap();
    assert_eq!(String::from_utf8(staged.stdout).unwrap(), "", "nothing half-written stays");
}

#[tokio::test]
async fn a_read_only_store_refuses_and_takes_the_rows_when_it_is_writable() {
    let Some(disk) = SmallDisk::mounted(8 << 20) else { return };
    let store = disk.0.path().join("store");
    let history = open(store.to_str().unwrap()).await;
    disk.remount("ro");
    append(&history, 1);
    let frozen = history.freeze(1);
    let error = history.commit(&frozen).await.unwrap_err();
    assert!(error.is_retryable() && error.to_string().contains("Read-only file system"), "{error}");
    assert_eq!(counts(&history).await, all_once(1));
    disk.remount("rw");
    history.commit(&frozen).await.unwrap();
    assert_eq!(counts(&history).await, all_once(1));
}

#[tokio::test]
async fn a_table_of_many_commits_has_a_checkpoint_and_reads_back() {
    let (_folder, path) = folder();
    let history = open(&path).await;
    for sequence in 1..=55 {
        history.append_row(sequence, event(sequence as i64));
        history.commit(&history.freeze(sequence)).await.unwrap();
    }
    assert!(std::path::Path::new(&path).join("events/_delta_log/_last_checkpoint").exists());
    drop(history);
    let history = open(&path).await;
    assert_eq!(history.committed(), 55);
    assert_eq!(number(&history, "SELECT count(DISTINCT seq) FROM events").await, 55.0);
    history.append_row(55, event(55));
    assert_eq!(
        number(&history, "SELECT count(*) FROM events").await,
        55.0,
        "the position is in the checkpoint too"
    );
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever was committed when the process ended, and from wherever the log is replayed: every row is there once.
    #[test]
    fn a_restart_at_any_point_shows_every_row_once(
        commits in prop::collection::vec(1_u64..4, 1..4),
        lost in 0_u64..4,
        replayed_from_before in 0_u64..6,
    ) {
        block_on(async {
            let (_folder, path) = folder();
            let history = open(&path).await;
            let mut last = 0;
            for records in &commits {
                for _ in 0..*records {
                    last += 1;
                    append(&history, last);
                }
                history.commit(&history.freeze(last)).await.unwrap();
            }
            for sequence in last + 1..=last + lost {
                append(&history, sequence);
            }
            drop(history);

            let history = open(&path).await;
            assert_eq!(history.committed(), last);
            for sequence in (last + 1).saturating_sub(replayed_from_before).max(1)..=last + lost {
                append(&history, sequence);
            }
            assert_eq!(counts(&history).await, all_once(last + lost));
            history.commit(&history.freeze(last + lost)).await.unwrap();
            assert_eq!(counts(&history).await, all_once(last + lost));
        });
    }
}
