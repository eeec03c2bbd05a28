use deltalake_core::kernel::transaction::{CommitBuilder, CommitProperties};
use deltalake_core::kernel::{Action, StructType, Transaction};
use deltalake_core::protocol::{DeltaOperation, SaveMode};
use deltalake_core::writer::{DeltaWriter, RecordBatchWriter};

use super::*;
use crate::schema::{DATE, arrow_schema, delta_schema};
use crate::store::location::Location;
use crate::store::table::create;
use crate::{Budget, HistoryError};

/// Columns that "the version before" did not have.
const NEW_COLUMNS: [(Table, &str); 2] = [(Table::Samples, "source_unit"), (Table::Events, "source_name")];

/// Makes a table as a version without that column would have, with the rows that `full` has now.
async fn older(path: &str, full: &History, table: Table, without: &str, transaction: Sequence) {
    let location = Location::parse(path, false).unwrap();
    location.make_table_folder(table).unwrap();
    let schema = delta_schema(table);
    let columns =
        StructType::try_new(schema.fields().filter(|field| field.name() != without).cloned()).unwrap();
    let mut delta = create(table, &columns, location.log_store(table).unwrap()).await.unwrap();
    let names: Vec<String> = arrow_schema(table).fields().iter().map(|field| field.name().clone()).collect();
    let list = names.iter().filter(|name| *name != without).map(|name| format!("\"{name}\""));
    let sql = format!("SELECT {} FROM {}", list.collect::<Vec<_>>().join(", "), table.name());
    let mut writer = RecordBatchWriter::for_table(&delta).unwrap();
    for batch in full.query_engine().sql(&sql, &[]).await.unwrap().collect().await.unwrap() {
        writer.write(batch).await.unwrap();
    }
    let adds = writer.flush().await.unwrap();
    let application = if table == Table::Samples { "ingest/0" } else { "eval/0" };
    let properties = CommitProperties::default()
        .with_application_transaction(Transaction::new(application, transaction as i64))
        .with_cleanup_expired_logs(Some(false));
    let operation = DeltaOperation::Write {
        mode: SaveMode::Append,
        partition_by: Some(vec![DATE.to_owned()]),
        predicate: None,
    };
    let actions = adds.into_iter().map(Action::Add).collect();
    let commit = CommitBuilder::from(properties).with_actions(actions);
    let done = commit.build(Some(delta.snapshot().unwrap()), delta.log_store(), operation).await.unwrap();
    delta.state = Some(done.snapshot());
}

#[tokio::test]
async fn a_store_of_a_version_with_fewer_columns_is_read_written_and_merged() {
    let (full_folder, folder) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (full_path, path) = (full_folder.path().to_str().unwrap(), folder.path().to_str().unwrap());
    let full = open(full_path).await;
    (1..=3).for_each(|sequence| append(&full, sequence));
    for (table, column) in NEW_COLUMNS {
        older(path, &full, table, column, 3).await;
    }

    let looked_at = HistorySettings { read_only: true, ..HistorySettings::default() };
    let refused = History::open(path, looked_at).await.err().expect("nothing is changed by a look");
    // Tables are opened side by side.
    let is_named = matches!(refused, HistoryError::NotOurs { table: Table::Samples | Table::Events, .. });
    assert!(is_named, "{refused}");

    let history = open(path).await;
    assert_eq!(number(&history, "SELECT count(*) FROM samples WHERE source_unit IS NULL").await, 24.0);
    assert_eq!(number(&history, "SELECT count(*) FROM events WHERE source_name IS NULL").await, 3.0);
    // Seen again after a crash, and not stored again; then rows of this version.
    (1..=20).for_each(|sequence| append(&history, sequence));
    history.commit(&history.freeze(20)).await.unwrap();
    (21..=40).for_each(|sequence| append(&history, sequence));
    history.commit(&history.freeze(40)).await.unwrap();
    let known = "SELECT count(*) FROM samples WHERE source_unit = 'degC'";
    assert_eq!(number(&history, known).await, 37.0 * 8.0);
    assert_eq!(number(&history, "SELECT count(*) FROM samples").await, 40.0 * 8.0);
    assert_eq!(number(&history, "SELECT count(*) FROM events").await, 40.0);

    // A day later small files are merged, old and new.
    let mut report = crate::MaintenanceReport::default();
    history.maintain(at(86_400 * 2), Budget::default(), &mut report).await.unwrap();
    assert!(report.merged_files > 0, "{report:?}");
    assert_eq!(number(&history, known).await, 37.0 * 8.0);
    assert_eq!(number(&history, "SELECT count(*) FROM samples WHERE source_unit IS NULL").await, 24.0);

    drop(history);
    let again = open(path).await;
    assert_eq!(number(&again, "SELECT count(*) FROM samples").await, 40.0 * 8.0);
}
