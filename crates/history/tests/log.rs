//! The log's laws: what is acknowledged is there after any crash, once, in order; what is refused is not.

use std::fs::{self, OpenOptions};
use std::path::{Path, PathBuf};
use std::time::Duration;

use history::log::{Floors, Log, LogError, LogSettings, MemoryLog, RaftLog, decode, encode};
use proptest::prelude::*;
use telemetry::EventTime;
use telemetry::record::{Body, Flag, PartitionId, Record, SampleBatch, SeriesId};

mod records;
use records::records;

fn tick(seconds: i64) -> Record {
    Record {
        partition: PartitionId::STREAM,
        body: Body::Tick(EventTime::from_unix_micros(seconds * 1_000_000)),
    }
}

fn samples(count: usize) -> Record {
    let batch = SampleBatch {
        series: (0..count as u32).map(SeriesId).collect(),
        time: vec![EventTime::from_unix_micros(1_767_600_000_000_000); count],
        // No two alike, so that compression does not hide the size.
        value: (0..count as u64)
            .map(|index| f64::from_bits(index.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 2))
            .collect(),
        flag: Vec::new(),
    };
    Record { partition: PartitionId::FIRST, body: Body::Samples(batch) }
}

fn small_files() -> LogSettings {
    LogSettings {
        file_bytes: 256 << 10,
        purge_above_bytes: 512 << 10,
        purge_every: Duration::from_millis(5),
        ..LogSettings::default()
    }
}

fn open(folder: &Path) -> RaftLog {
    RaftLog::open(folder, &LogSettings::default(), Floors::new()).unwrap()
}

fn all(log: &dyn Log, shard: u32) -> Vec<(u64, Record)> {
    let mut read = Vec::new();
    let Some((first, last)) = log.bounds(shard) else { return read };
    let mut from = first;
    while from <= last {
        let batch = log.read(shard, from, 1 << 16).unwrap();
        from += batch.len() as u64;
        read.extend(batch);
    }
    read
}

/// What a killed process leaves: its files as they are, without what a clean end does to them.
fn copy_as_if_killed(folder: &Path) -> tempfile::TempDir {
    let copy = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), copy.path().join(entry.file_name())).unwrap();
    }
    copy
}

fn newest_file(folder: &Path) -> PathBuf {
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    files.filter(|path| path.extension().is_some_and(|kind| kind == "raftlog")).max().unwrap()
}

fn on_both_logs(test: impl Fn(&dyn Log)) {
    test(&MemoryLog::new(Floors::new()));
    let folder = tempfile::tempdir().unwrap();
    test(&open(folder.path()));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn a_record_reads_back_as_it_was_written(record in records()) {
        let bytes = encode(&record);
        let again = decode(&bytes).unwrap();
        // Bits, not equality: NaN is a value that a sensor can send.
        prop_assert_eq!(encode(&again), bytes);
        prop_assert_eq!(format!("{:?}", again), format!("{:?}", record));
    }

    #[test]
    fn fields_of_a_later_version_are_skipped(record in records()) {
        let mut bytes = encode(&record);
        // Field 1000 of the record: a text.
        bytes.extend([0xc2, 0x3e, 5, b'l', b'a', b't', b'e', b'r']);
        prop_assert_eq!(encode(&decode(&bytes).unwrap()), encode(&record));
    }

    #[test]
    fn torn_bytes_are_an_error_and_never_a_panic(record in records(), at in 0.0..1.0f64) {
        let bytes = encode(&record);
        let _ = decode(&bytes[..(bytes.len() as f64 * at) as usize]);
    }

    #[test]
    fn noise_is_an_error_and_never_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = decode(&bytes);
    }
}

#[test]
fn a_sample_takes_about_eleven_bytes_before_compression() {
    let mut batch = SampleBatch::default();
    for second in 0..10 {
        for series in 0..100 {
            batch.series.push(SeriesId(series));
            batch.time.push(EventTime::from_unix_micros(1_767_600_000_000_000 + second * 1_000_000));
            batch.value.push(f64::from(series) / 10.0);
        }
    }
    let record = Record { partition: PartitionId::FIRST, body: Body::Samples(batch) };
    let bytes = encode(&record).len() as f64 / 1_000.0;
    assert!(bytes < 11.0, "{bytes} B a sample");
}

#[test]
fn unequal_columns_and_unknown_words_are_refused_with_their_names() {
    use prost::Message;
    use wire::log::v1 as proto;
    let record = |body| proto::Record { partition: 1, body: Some(body) }.encode_to_vec();
    let samples = proto::Samples { series: vec![1, 2], time_delta: vec![5], value: vec![0, 0], flag: vec![] };
    let flag = proto::Samples { series: vec![1], time_delta: vec![5], value: vec![0], flag: vec![8] };
    let cases = [
        (record(proto::record::Body::Samples(samples)), "2 series, 1 times, 2 values, 0 flags"),
        (record(proto::record::Body::Samples(flag)), "flag 8, which this version does not know"),
        (proto::Record { partition: 1, body: None }.encode_to_vec(), "use the version that wrote it"),
        (vec![0xff], "not a record"),
    ];
    for (bytes, expected) in cases {
        let message = decode(&bytes).unwrap_err().to_string();
        assert!(message.contains(expected), "{message}");
    }
}

#[test]
fn the_numbers_of_flags_are_those_of_the_protobuf_file() {
    let words = Flag::ALL.map(Flag::name);
    let numbered: Vec<String> =
        words.iter().enumerate().map(|(number, word)| format!("{number} {word}")).collect();
    let proto = include_str!("../../../proto/thermogate/log/v1/log.proto");
    assert!(proto.contains(&format!("// {};", numbered.join(", "))), "{numbered:?} stand in log.proto");
}

#[test]
fn positions_rise_by_one_from_one_and_records_come_back_in_order() {
    on_both_logs(|log| {
        assert_eq!(log.bounds(0), None);
        assert_eq!(log.append(0, &[tick(1), tick(2)]).unwrap(), 2);
        assert_eq!(log.append(7, &[tick(9)]).unwrap(), 1, "each stream counts for itself");
        assert_eq!(log.append(0, &[]).unwrap(), 2, "no records move nothing");
        assert_eq!(log.append(0, &[tick(3)]).unwrap(), 3);
        assert_eq!(log.bounds(0), Some((1, 3)));
        assert_eq!(all(log, 0), [(1, tick(1)), (2, tick(2)), (3, tick(3))]);
        assert_eq!(log.read(0, 4, 100).unwrap(), [], "nothing is behind the last");
        assert_eq!(log.read(5, 1, 100).unwrap(), [], "nor in a stream without records");
    });
}

#[test]
fn several_streams_are_written_in_one_go_whatever_their_order() {
    on_both_logs(|log| {
        let (one, two) = ([tick(1)], [tick(2), tick(3)]);
        assert_eq!(log.append_together(&[(9, &two), (3, &one)]).unwrap(), [2, 1]);
        assert_eq!(log.append_together(&[(3, &two), (9, &one)]).unwrap(), [3, 3]);
        assert_eq!(all(log, 3), [(1, tick(1)), (2, tick(2)), (3, tick(3))]);
        assert_eq!(all(log, 9), [(1, tick(2)), (2, tick(3)), (3, tick(1))]);
    });
}

#[test]
fn a_read_is_bounded_and_yet_always_goes_on() {
    on_both_logs(|log| {
        log.append(0, &[samples(1_000), samples(1_000), samples(1_000)]).unwrap();
        let bytes = encode(&samples(1_000)).len();
        assert_eq!(log.read(0, 1, 1).unwrap().len(), 1, "one record, however large");
        assert_eq!(log.read(0, 1, 2 * bytes + 100).unwrap().len(), 2);
    });
}

#[test]
fn the_last_record_is_never_trimmed() {
    on_both_logs(|log| {
        log.append(0, &[tick(1), tick(2), tick(3)]).unwrap();
        log.trim(0, 2).unwrap();
        assert_eq!(log.bounds(0), Some((2, 3)));
        log.trim(0, 100).unwrap();
        assert_eq!(log.bounds(0), Some((3, 3)));
        log.trim(5, 100).unwrap();
        let refused = log.read(0, 1, 100).unwrap_err().to_string();
        assert_eq!(
            refused,
            "record 1 of stream 0 is no longer in the log, whose first is 3: start from a checkpoint at or after 3"
        );
        assert_eq!(log.append(0, &[tick(4)]).unwrap(), 4);
        assert_eq!(all(log, 0), [(3, tick(3)), (4, tick(4))]);
    });
}

#[test]
fn a_stream_goes_on_where_it_was_after_any_end() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(folder.path());
    log.append(0, &[tick(1), tick(2)]).unwrap();
    log.trim(0, 100).unwrap();
    log.append(1, &[samples(10)]).unwrap();
    let killed = copy_as_if_killed(folder.path());
    drop(log);
    for folder in [folder, killed] {
        let log = open(folder.path());
        assert_eq!(log.cut_tail(), None, "reserved space is no unfinished write");
        assert_eq!(log.append(0, &[tick(3)]).unwrap(), 3);
        assert_eq!(log.append(1, &[tick(3)]).unwrap(), 2);
        assert_eq!(all(&log, 0).last(), Some(&(3, tick(3))));
        assert_eq!(all(&log, 1), [(1, samples(10)), (2, tick(3))]);
    }
}

#[test]
fn after_a_crash_at_any_byte_all_whole_writes_are_there_and_the_rest_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(folder.path());
    let mut lengths = Vec::new();
    let written = |folder: &Path| {
        let bytes = fs::read(newest_file(folder)).unwrap();
        bytes.iter().rposition(|byte| *byte != 0).unwrap() as u64 + 1
    };
    for second in 1..=4 {
        log.append(0, &[tick(second), samples(20)]).unwrap();
        lengths.push(written(folder.path()));
    }
    let content = fs::read(newest_file(folder.path())).unwrap();
    for length in (lengths[0]..=lengths[3]).step_by(7).chain(lengths.iter().copied()) {
        let killed = copy_as_if_killed(folder.path());
        let file = newest_file(killed.path());
        OpenOptions::new().write(true).open(&file).unwrap().set_len(length).unwrap();
        let log = open(killed.path());
        let whole = lengths.iter().filter(|end| **end <= length).count() as u64;
        let (first, last) = log.bounds(0).unwrap();
        assert_eq!(first, 1);
        assert!(last / 2 == whole && last % 2 == 0, "cut to {length} of {lengths:?}: last is {last}");
        let behind = &content[lengths[whole as usize - 1] as usize..length as usize];
        let unfinished = behind.iter().any(|byte| *byte != 0);
        assert_eq!(log.cut_tail().is_some(), unfinished, "cut to {length} of {lengths:?}");
        assert_eq!(log.append(0, &[tick(99)]).unwrap(), last + 1);
        assert_eq!(all(&log, 0).len() as u64, last + 1);
    }
}

#[test]
fn damage_before_the_end_is_reported_and_never_skipped() {
    let folder = tempfile::tempdir().unwrap();
    let log = RaftLog::open(folder.path(), &small_files(), Floors::new()).unwrap();
    for _ in 0..40 {
        log.append(0, &[samples(2_000)]).unwrap();
    }
    drop(log);
    let mut files: Vec<PathBuf> =
        fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|kind| kind == "raftlog"));
    files.sort();
    assert!(files.len() > 2, "{files:?}");
    let damage = |file: &Path, at: usize, bytes: usize| {
        let mut content = fs::read(file).unwrap();
        content[at..at + bytes].fill(0x5a);
        fs::write(file, content).unwrap();
    };

    // In the samples of a record: the log opens, and reading the record says which.
    damage(&files[0], 10_000, 4);
    let log = RaftLog::open(folder.path(), &small_files(), Floors::new()).unwrap();
    let error = (1..=40).find_map(|from| log.read(0, from, 1).err()).expect("the damage is noticed");
    assert!(matches!(error, LogError::Damaged { .. }), "{error}");
    drop(log);

    // In the structure of a file that is not the last: the log does not open.
    let middle = fs::metadata(&files[1]).unwrap().len() as usize / 2;
    damage(&files[1], middle, 60_000);
    let error =
        RaftLog::open(folder.path(), &small_files(), Floors::new()).err().expect("the damage is noticed");
    let message = error.to_string();
    assert!(
        message.contains("is damaged before its end")
            && message.contains("name another data.folder to begin anew"),
        "{message}"
    );
}

#[test]
fn damage_inside_the_only_file_is_no_unfinished_write_and_nothing_behind_it_is_cut_off() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(folder.path());
    let mut ends = Vec::new();
    for second in 1..=40 {
        log.append(0, &[tick(second), samples(20)]).unwrap();
        let bytes = fs::read(newest_file(folder.path())).unwrap();
        ends.push(bytes.iter().rposition(|byte| *byte != 0).unwrap() + 1);
    }
    // A trim is no record: behind a torn write it is what a crash may leave.
    log.trim(0, 3).unwrap();
    drop(log);
    let file = newest_file(folder.path());
    let whole = fs::read(&file).unwrap();
    let damaged_at = |at: usize| {
        let mut damaged = whole.clone();
        damaged[at] ^= 0x10;
        fs::write(&file, &damaged).unwrap();
        let opened = RaftLog::open(folder.path(), &LogSettings::default(), Floors::new());
        (opened, damaged)
    };
    // The first byte of a write is part of its length, the last one of its checksum.
    for at in [ends[10] + 5, ends[20] - 1, ends[38] - 1] {
        let (opened, damaged) = damaged_at(at);
        let message = opened.err().expect("the damage is noticed").to_string();
        assert!(
            message.contains("is damaged before its end") && message.contains("and records stand behind it"),
            "{message}"
        );
        assert_eq!(fs::read(&file).unwrap(), damaged, "what can be read is still there");
    }
    let (opened, _) = damaged_at(ends[39] - 1);
    let log = opened.unwrap();
    assert!(log.cut_tail().is_some(), "the last write is one that a crash may have left");
    assert_eq!(log.bounds(0).unwrap().1, 78);
}

#[test]
fn a_second_opener_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let _first = open(folder.path());
    let error = RaftLog::open(folder.path(), &LogSettings::default(), Floors::new()).err().unwrap();
    assert_eq!(
        error.to_string(),
        format!(
            "the log folder {} is in use by another process: stop it, or name another data.folder",
            folder.path().display()
        )
    );
}

#[test]
fn a_position_that_a_table_or_checkpoint_covers_is_never_given_again() {
    let folder = tempfile::tempdir().unwrap();
    let kept = |last| Floors::from([(0, last)]);
    let open = |last| RaftLog::open(folder.path(), &LogSettings::default(), kept(last));
    let log = open(500).unwrap();
    assert_eq!(log.append(0, &[tick(1)]).unwrap(), 501, "the log is gone, the tables are not");
    assert_eq!(log.append(1, &[tick(1)]).unwrap(), 1, "other streams have their own floor");
    drop(log);
    let log = open(501).unwrap();
    assert_eq!(log.append(0, &[tick(2)]).unwrap(), 502);
    drop(log);

    let message = open(600).err().unwrap().to_string();
    let expected = "ends at record 502 of stream 0, and tables or checkpoints hold records up to 600: it has lost its end";
    assert!(message.contains(expected), "{message}");
    let log = open(0).unwrap();
    assert_eq!(all(&log, 0), [(501, tick(1)), (502, tick(2))], "a refusal changes nothing");
    assert_eq!(MemoryLog::new(kept(500)).append(0, &[tick(1)]).unwrap(), 501);
}

#[test]
fn trimmed_records_give_their_disk_back_and_an_idle_stream_does_not_hold_it() {
    let folder = tempfile::tempdir().unwrap();
    let log = RaftLog::open(folder.path(), &small_files(), Floors::new()).unwrap();
    log.append(3, &[tick(1)]).unwrap();
    for round in 0..60 {
        let last = log.append(0, &[samples(3_000)]).unwrap();
        log.trim(0, last.saturating_sub(5)).unwrap();
        std::thread::sleep(Duration::from_millis(u64::from(round % 10 == 0) * 20));
    }
    std::thread::sleep(Duration::from_millis(200));
    let written = 60 * encode(&samples(3_000)).len() as u64;
    let kept = log.bytes();
    assert!(kept < written / 2, "{kept} of {written} bytes are still there");
    assert_eq!(all(&log, 3), [(1, tick(1))], "the idle stream has kept its record");
    drop(log);
    let log = RaftLog::open(folder.path(), &small_files(), Floors::new()).unwrap();
    assert_eq!(log.bounds(0), Some((55, 60)));
    assert_eq!(all(&log, 3), [(1, tick(1))]);
    assert_eq!(log.append(3, &[tick(2)]).unwrap(), 2);
}

#[test]
fn kept_records_are_not_copied_about_while_the_log_is_large() {
    let folder = tempfile::tempdir().unwrap();
    let log = RaftLog::open(
        folder.path(),
        &LogSettings { purge_above_bytes: 3 << 20, ..small_files() },
        Floors::new(),
    )
    .unwrap();
    for _ in 0..300 {
        log.append(0, &[samples(3_000)]).unwrap();
    }
    // Many more timer rounds than raft-engine waits before it copies a stream that nobody trims.
    std::thread::sleep(Duration::from_millis(300));
    let copies: usize = fs::read_dir(folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|kind| kind == "rewrite"))
        // The rest is space that is only reserved.
        .map(|path| fs::read(path).unwrap().iter().filter(|byte| **byte != 0).count())
        .sum();
    assert!(copies < 1_000, "{copies} bytes were copied");
}

#[test]
fn concurrent_writers_of_their_own_streams_lose_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(folder.path());
    std::thread::scope(|scope| {
        for shard in 0..4 {
            let log = &log;
            scope.spawn(move || {
                for second in 1..=50 {
                    assert_eq!(log.append(shard, &[tick(second)]).unwrap(), second as u64);
                }
            });
        }
    });
    let killed = copy_as_if_killed(folder.path());
    let log = open(killed.path());
    for shard in 0..4 {
        assert_eq!(log.bounds(shard), Some((1, 50)));
    }
}

/// A small file system of its own, or `None` where it cannot be mounted.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn mount(size: &str) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let mounted = std::process::Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"])
            .arg(folder.path())
            .stderr(std::process::Stdio::null())
            .status();
        mounted.is_ok_and(|status| status.success()).then_some(Self(folder))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").arg("--lazy").arg(self.0.path()).status();
    }
}

#[test]
fn a_full_disk_refuses_and_recovers_by_itself() {
    let Some(disk) = SmallDisk::mount("6m") else {
        println!("skipped: a tmpfs cannot be mounted here (needs root)");
        assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "CI must be able to mount a tmpfs");
        return;
    };
    let folder = disk.0.path().join("log");
    let log = RaftLog::open(&folder, &small_files(), Floors::new()).unwrap();
    let ballast = disk.0.path().join("ballast");
    fs::write(&ballast, vec![1; 2 << 20]).unwrap();
    let mut acknowledged = 0;
    let refused = loop {
        match log.append(0, &[samples(3_000)]) {
            Ok(last) => acknowledged = last,
            Err(error) => break error,
        }
        assert!(acknowledged < 1_000, "6 MB are never full");
    };
    assert!(matches!(refused, LogError::Full { .. }), "{refused}");
    assert!(refused.to_string().contains("is full: free some space or move data.folder"), "{refused}");
    for _ in 0..3 {
        assert!(matches!(log.append(0, &[samples(3_000)]), Err(LogError::Full { .. })), "it stays refused");
    }
    assert_eq!(all(&log, 0).len() as u64, acknowledged, "it is still read while it is full");
    let killed_while_full = copy_as_if_killed(&folder);

    fs::remove_file(&ballast).unwrap();
    assert_eq!(log.append(0, &[samples(3_000)]).unwrap(), acknowledged + 1, "no position was lost");
    let killed_later = copy_as_if_killed(&folder);
    for (folder, expected) in [(killed_while_full, acknowledged), (killed_later, acknowledged + 1)] {
        let log = RaftLog::open(folder.path(), &small_files(), Floors::new()).unwrap();
        assert_eq!(all(&log, 0).len() as u64, expected, "a crash after it loses nothing");
    }
}

#[test]
fn a_folder_that_cannot_be_made_says_why() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    let error = RaftLog::open(&file.join("log"), &LogSettings::default(), Floors::new()).err().unwrap();
    let message = error.to_string();
    assert!(
        message.starts_with("cannot open the log folder") && message.contains("not a directory"),
        "{message}"
    );
}
