use super::*;
use crate::HistoryError;

/// Rewrites the first commit of a table as another program might have made it.
pub fn change(store: &str, table: &str, from: &str, to: &str) {
    let commit = std::path::Path::new(store).join(table).join("_delta_log/00000000000000000000.json");
    let text = std::fs::read_to_string(&commit).unwrap();
    assert!(text.contains(from), "{text}");
    std::fs::write(&commit, text.replace(from, to)).unwrap();
}

#[tokio::test]
async fn a_store_that_is_not_as_thermogate_makes_it_is_refused_with_the_mend() {
    let cases = [
        (
            "\"thermogate.format\":\"1\"",
            "\"thermogate.format\":\"0\"",
            "has format 0, this version reads and writes format 1",
        ),
        ("\"thermogate.format\":\"1\"", "\"other.property\":\"1\"", "has format none"),
        ("\"delta.appendOnly\":\"true\"", "\"delta.appendOnly\":\"false\"", "delta.appendOnly is not true"),
        (
            "\"minReaderVersion\":1",
            "\"minReaderVersion\":2",
            "its protocol is reader 2, writer 2 instead of 1 and 2",
        ),
        ("\\\"name\\\":\\\"flag\\\"", "\\\"name\\\":\\\"flags\\\"", "its columns are"),
    ];
    for (from, to, expected) in cases {
        let (_folder, path) = folder();
        drop(open(&path).await);
        change(&path, "samples", from, to);
        let error = History::open(&path, HistorySettings::default()).await.err().unwrap();
        let message = error.to_string();
        assert!(!error.is_retryable(), "{message}");
        assert!(message.contains(expected), "{message}");
        assert!(message.contains("table samples of the store"), "{message}");
        assert!(message.contains("name another data.folder and store to begin anew"), "{message}");
    }
}

#[tokio::test]
async fn reading_only_makes_no_table_and_commits_nothing() {
    let (_folder, path) = folder();
    std::fs::create_dir_all(&path).unwrap();
    let settings = HistorySettings { read_only: true, ..HistorySettings::default() };
    let history = History::open(&path, settings).await.unwrap();
    declare(&history, 8);
    append(&history, 1);
    assert_eq!(counts(&history).await, all_once(1));
    let error = history.commit(&history.freeze(1)).await.unwrap_err();
    assert!(matches!(error, HistoryError::ReadOnly { .. }));
    assert!(
        history
            .maintain(at(0), crate::Budget::default(), &mut crate::MaintenanceReport::default())
            .await
            .is_err()
    );
    assert_eq!(std::fs::read_dir(&path).unwrap().count(), 0);
}

#[tokio::test]
async fn a_folder_that_cannot_be_made_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    let store = file.join("store").to_str().unwrap().to_owned();
    let message = History::open(&store, HistorySettings::default()).await.err().unwrap().to_string();
    assert!(message.contains("its folder cannot be made"), "{message}");
}
