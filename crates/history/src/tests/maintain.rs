use super::*;
use crate::{Budget, HistoryError, MaintenanceReport};

const DAY_SECONDS: i64 = 86_400;

async fn files(history: &History, table: Table) -> usize {
    history.tables().lock().await[table as usize].files().count()
}

async fn maintained(
    history: &History,
    now: EventTime,
    budget: Budget,
) -> Result<MaintenanceReport, HistoryError> {
    let mut report = MaintenanceReport::default();
    history.maintain(now, budget, &mut report).await.map(|()| report)
}

/// A store of twenty commits, each of which has made a file in `samples`, `events` and `log`.
async fn with_twenty_commits(path: &str) -> History {
    let history = open(path).await;
    for sequence in 1..=20 {
        append(&history, sequence);
        history.commit(&history.freeze(sequence)).await.unwrap();
    }
    history
}

async fn sums(history: &History) -> [f64; 4] {
    [
        number(history, "SELECT count(*) FROM samples").await,
        number(history, "SELECT sum(value) FROM samples").await,
        number(history, "SELECT sum(seq) FROM samples").await,
        number(history, "SELECT sum(seq) FROM events").await,
    ]
}

#[tokio::test]
async fn merging_makes_fewer_files_with_the_same_rows_in_order() {
    let (_folder, path) = folder();
    let history = with_twenty_commits(&path).await;
    append(&history, 21);
    let before = sums(&history).await;
    assert_eq!(files(&history, Table::Samples).await, 20);

    let report = maintained(&history, at(60), Budget::default()).await.unwrap();
    assert_eq!(files(&history, Table::Samples).await, 1);
    assert_eq!(files(&history, Table::Events).await, 1);
    assert_eq!((report.merged_files, report.written_files), (60, 3));
    assert_eq!(sums(&history).await, before);

    // Order within the one file, as it is read.
    let merged =
        history.query_engine().sql("SELECT rack, time FROM samples WHERE seq <= 20", &[]).await.unwrap();
    let mut rows = Vec::new();
    for batch in merged.collect().await.unwrap() {
        let racks = batch.column(0).as_string::<i32>().clone();
        let times = batch.column(1).as_primitive::<arrow::datatypes::TimestampMicrosecondType>().clone();
        rows.extend((0..batch.num_rows()).map(|row| (racks.value(row).to_owned(), times.value(row))));
    }
    assert_eq!(rows.len(), 160);
    assert!(rows.is_sorted());

    // What was committed stays committed, and work goes on.
    history.commit(&history.freeze(21)).await.unwrap();
    assert_eq!(sums(&history).await, before);
    drop(history);
    let history = open(&path).await;
    assert_eq!(history.committed(), 21);
    assert_eq!(sums(&history).await, before);
}

/// A page in the middle of a file: the error of whoever reads it does not say which file that was.
#[tokio::test]
async fn a_damaged_file_is_named_and_keeps_only_its_own_group_from_being_merged() {
    let (_folder, path) = folder();
    let history = with_twenty_commits(&path).await;
    let before = sums(&history).await;
    let name = {
        let tables = history.tables().lock().await;
        tables[Table::Samples as usize].files().nth(7).unwrap().path().to_string()
    };
    let file = std::path::Path::new(&path).join("samples").join(&name);
    let whole = std::fs::read(&file).unwrap();
    let mut damaged = whole.clone();
    damaged[4..whole.len() / 3].fill(0x5a);
    std::fs::write(&file, damaged).unwrap();
    let error = maintained(&history, at(60), Budget::default()).await.unwrap_err().to_string();
    assert!(error.contains("cannot compact table samples") && error.contains(&name), "{error}");
    let query = history.query_engine().sql("SELECT sum(value) FROM samples", &[]).await.unwrap();
    let error = query.collect().await.unwrap_err().to_string();
    assert!(error.contains(&name) && error.contains("is damaged"), "{error}");
    let other = "SELECT count(*) FROM events";
    assert_eq!(number(&history, other).await, 20.0, "other tables are read");
    assert_eq!(files(&history, Table::Samples).await, 20, "nothing of it is merged away");
    assert_eq!(files(&history, Table::Events).await, 1, "another table is merged all the same");
    std::fs::write(&file, whole).unwrap();
    maintained(&history, at(60), Budget::default()).await.unwrap();
    assert_eq!(files(&history, Table::Samples).await, 1);
    assert_eq!(sums(&history).await, before);
}

#[tokio::test]
async fn what_the_budget_has_no_room_for_waits_for_the_next_round() {
    let (_folder, path) = folder();
    let history = with_twenty_commits(&path).await;
    let before = sums(&history).await;
    let nothing = Budget { bytes_max: 0, ..Budget::default() };
    let report = maintained(&history, at(60), nothing).await.unwrap();
    assert_eq!((report.merged_files, report.postponed_files), (0, 60));
    let no_time = Budget { time_max: std::time::Duration::ZERO, ..Budget::default() };
    assert_eq!(maintained(&history, at(60), no_time).await.unwrap().postponed_files, 60);

    let bytes: Vec<u64> = {
        let tables = history.tables().lock().await;
        let of = |table: Table| tables[table as usize].files().map(|file| file.size().unsigned_abs()).sum();
        [Table::Samples, Table::Blocks, Table::Events, Table::Log].map(of).into()
    };
    let one_table =
        Budget { bytes_max: *bytes.iter().filter(|bytes| **bytes > 0).min().unwrap(), ..Budget::default() };
    let report = maintained(&history, at(60), one_table).await.unwrap();
    assert_eq!((report.merged_files, report.postponed_files), (20, 40), "the smallest come first");
    assert_eq!(report.merged_bytes, one_table.bytes_max);
    let report = maintained(&history, at(60), Budget::default()).await.unwrap();
    assert_eq!((report.merged_files, report.postponed_files), (40, 0));
    assert_eq!(sums(&history).await, before);
}

#[tokio::test]
async fn of_equal_readings_the_first_stays_when_files_are_merged() {
    let history = open("memory://").await;
    for sequence in 1..=20 {
        // All twenty records say something about the same second.
        history.append_samples(sequence, PartitionId::FIRST, &readings(2, 7), &[Fate::Stored(Flag::Ok); 2]);
        history.commit(&history.freeze(sequence)).await.unwrap();
    }
    maintained(&history, at(60), Budget::default()).await.unwrap();
    assert_eq!(number(&history, "SELECT count(*) FROM samples").await, 2.0);
    assert_eq!(number(&history, "SELECT max(seq) FROM samples").await, 1.0);
}

#[tokio::test]
async fn a_commit_and_a_merge_do_not_lose_each_others_rows() {
    let history = shared(with_twenty_commits("memory://").await);
    let merging = tokio::spawn({
        let history = history.clone();
        async move { maintained(&history, at(60), Budget::default()).await.unwrap() }
    });
    for sequence in 21..=30 {
        append(&history, sequence);
        history.commit(&history.freeze(sequence)).await.unwrap();
    }
    merging.await.unwrap();
    assert_eq!(counts(&history).await, all_once(30));
}

#[tokio::test]
async fn days_that_are_too_old_are_dropped_whole_and_only_in_their_table() {
    let (_folder, path) = folder();
    let history = open(&path).await;
    for (sequence, second) in [(1, 0), (2, 50 * DAY_SECONDS), (3, 100 * DAY_SECONDS)] {
        history.append_samples(sequence, PartitionId::FIRST, &readings(1, second), &[Fate::Stored(Flag::Ok)]);
        history.append_row(sequence, event(second));
    }
    history.commit(&history.freeze(3)).await.unwrap();

    let now = at(100 * DAY_SECONDS);
    let report = maintained(&history, now, Budget::default()).await.unwrap();
    assert_eq!(report.expired_files, 1, "samples keep 90 days, events 400");
    assert_eq!(number(&history, "SELECT count(*) FROM samples").await, 2.0);
    assert_eq!(number(&history, "SELECT count(*) FROM events").await, 3.0);
    assert_eq!(number(&history, "SELECT min(seq) FROM samples").await, 2.0);
    assert_eq!(
        maintained(&history, now, Budget::default()).await.unwrap(),
        crate::MaintenanceReport::default(),
        "nothing is left to do"
    );
    drop(history);
    assert_eq!(number(&open(&path).await, "SELECT count(*) FROM samples").await, 2.0);
}

#[tokio::test]
async fn what_a_crash_left_in_the_store_goes_after_a_week() {
    let (_folder, path) = folder();
    let history = with_twenty_commits(&path).await;
    let before = sums(&history).await;
    let day = std::path::Path::new(&path).join("samples/date=2026-01-05");
    let left = |name: &str, days: u64| {
        let file = std::fs::File::create(day.join(name)).unwrap();
        let age = std::time::Duration::from_secs(days * DAY_SECONDS as u64);
        file.set_modified(std::time::SystemTime::now() - age).unwrap();
    };
    left("part-left-long-ago.parquet", 8);
    left("part-on-its-way.parquet", 6);
    let report = maintained(&history, at(60), Budget::default()).await.unwrap();
    assert_eq!(report.deleted_files, 1, "{report:?}");
    assert!(!day.join("part-left-long-ago.parquet").exists());
    assert!(day.join("part-on-its-way.parquet").exists(), "a commit may still name it");
    assert_eq!(sums(&history).await, before);
}
