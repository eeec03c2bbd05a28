use super::*;

/// The interleaving that two locks would lose rows in: between the moment a query fixes what it sees and the moment
/// it reads, the rows go from memory to files, and new ones come.
#[tokio::test]
async fn a_query_sees_the_same_rows_however_the_commit_falls() {
    let history = open("memory://").await;
    append(&history, 1);
    history.commit(&history.freeze(1)).await.unwrap();
    append(&history, 2);

    let engine = history.query_engine();
    let sql = "SELECT count(*) AS rows, max(seq) AS last FROM samples";
    let open_part = engine.prepare(sql, &[]).await.unwrap();
    append(&history, 3); // into the part that `open_part` sees
    let frozen = history.freeze(3);
    let frozen_part = engine.prepare(sql, &[]).await.unwrap();
    append(&history, 4);
    history.commit(&frozen).await.unwrap();
    let files = engine.prepare(sql, &[]).await.unwrap();
    history.commit(&history.freeze(4)).await.unwrap();
    append(&history, 5);

    for (prepared, last) in [(open_part, 2), (frozen_part, 3), (files, 4)] {
        let rows = prepared.run().await.unwrap().collect().await.unwrap();
        let column = |index: usize| rows[0].column(index).as_primitive::<Int64Type>().value(0);
        assert_eq!((column(0), column(1)), (8 * last, last));
    }
}

#[tokio::test]
async fn a_query_that_names_a_table_twice_joins_it_with_itself() {
    let history = open("memory://").await;
    append(&history, 1);
    let prepared = history
        .query_engine()
        .prepare("SELECT (SELECT count(*) FROM samples) - (SELECT count(*) FROM samples) AS difference", &[])
        .await
        .unwrap();
    append(&history, 2);
    let rows = prepared.run().await.unwrap().collect().await.unwrap();
    assert_eq!(rows[0].column(0).as_primitive::<Int64Type>().value(0), 0);
}

/// Readers during many commits: a sum that every complete set of records has is never anything else.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_reader_ever_sees_a_row_twice_or_not_at_all() {
    let history = shared(open("memory://").await);
    let writer = history.clone();
    let writing = tokio::spawn(async move {
        for sequence in 1..=40 {
            append(&writer, sequence);
            if sequence % 3 == 0 {
                writer.commit(&writer.freeze(sequence)).await.unwrap();
            }
        }
    });
    let engine = history.query_engine();
    let mut last_seen = 0;
    while !writing.is_finished() {
        let sql = "SELECT count(*), coalesce(max(seq), 0), count(DISTINCT (seq, rack)) FROM samples";
        let rows = engine.sql(sql, &[]).await.unwrap().collect().await.unwrap();
        let column = |index: usize| rows[0].column(index).as_primitive::<Int64Type>().value(0);
        // A record's eight readings are added at once.
        assert_eq!(column(0), 8 * column(1));
        assert_eq!(column(0), column(2));
        assert!(column(1) >= last_seen, "time goes forward");
        last_seen = column(1);
    }
    writing.await.unwrap();
    assert_eq!(counts(&history).await, all_once(40));
}
