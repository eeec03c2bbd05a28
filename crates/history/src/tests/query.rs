use std::sync::atomic::{AtomicBool, Ordering};

use super::*;
use crate::format::{Format, write};
use crate::query::{Limits, QueryEngine, QueryError};
use arrow::array::RecordBatch;
use datafusion::common::ScalarValue;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfig};
use datafusion::datasource::source::DataSourceExec;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::prelude::SessionContext;

async fn refused(history: &History, sql: &str) -> String {
    match history.query_engine().sql(sql, &[]).await {
        Ok(result) => result.collect().await.unwrap_err().to_string(),
        Err(error) => error.to_string(),
    }
}

async fn text(history: &History, sql: &str, format: Format) -> String {
    let mut output = Vec::new();
    write(history.query_engine().sql(sql, &[]).await.unwrap(), format, &mut output).await.unwrap();
    String::from_utf8(output).unwrap()
}

async fn limited(limits: Limits) -> History {
    let history =
        History::open("memory://", HistorySettings { limits, ..HistorySettings::default() }).await.unwrap();
    declare(&history, 8);
    append(&history, 1);
    history
}

#[tokio::test]
async fn what_is_not_reading_is_refused() {
    let history = open("memory://").await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("out.csv");
    let statements = [
        format!("COPY (SELECT 1) TO '{}'", file.display()),
        format!("CREATE EXTERNAL TABLE t STORED AS CSV LOCATION '{}'", file.display()),
        "CREATE TABLE t AS SELECT 1".to_owned(),
        "CREATE VIEW v AS SELECT 1".to_owned(),
        "INSERT INTO events SELECT * FROM events".to_owned(),
        "DELETE FROM samples".to_owned(),
        "UPDATE samples SET value = 0".to_owned(),
        "DROP TABLE samples".to_owned(),
        "SET datafusion.execution.batch_size = 1".to_owned(),
        "EXPLAIN INSERT INTO events SELECT * FROM events".to_owned(),
        format!("EXPLAIN ANALYZE COPY (SELECT 1) TO '{}'", file.display()),
    ];
    for sql in &statements {
        let message = refused(&history, sql).await;
        assert!(message.starts_with("history is only read here: "), "{sql}: {message}");
        assert!(message.ends_with("write SELECT, WITH, EXPLAIN, SHOW or DESCRIBE"), "{sql}: {message}");
    }
    assert!(!file.exists());
    assert_eq!(number(&history, "SELECT count(*) FROM events").await, 0.0);
}

#[tokio::test]
async fn mistakes_are_answered_with_what_is_wrong() {
    let history = open("memory://").await;
    let cases = [
        ("SELECT * FROM sample", "public.sample' not found"),
        ("SELECT rak FROM samples", "No field named rak"),
        ("SELEC 1", "Expected: an SQL statement, found: SELEC"),
        ("SELECT 1; SELECT 2", "only supports a single SQL statement"),
        ("SELECT heat_kw(1.0, 1.0, 'mercury')", "coolant \"mercury\" is not known: write 'pg25' or 'water'"),
    ];
    for (sql, expected) in cases {
        let error = refused(&history, sql).await;
        assert!(error.contains(expected), "{sql}: {error}");
    }
}

#[tokio::test]
async fn limits_refuse_with_what_to_change() {
    let rows = limited(Limits { rows_max: 7, ..Limits::default() }).await;
    assert!(
        refused(&rows, "SELECT * FROM samples")
            .await
            .starts_with("the result has more than 7 rows: add LIMIT")
    );
    assert_eq!(number(&rows, "SELECT count(*) FROM samples").await, 8.0);

    let memory = limited(Limits { memory_bytes_max: 1 << 20, ..Limits::default() }).await;
    let message = refused(
        &memory,
        "SELECT array_agg(a.value) FROM generate_series(1, 1000000) AS a(value) GROUP BY a.value % 100000 ORDER BY 1",
    )
    .await;
    assert!(message.contains("more than is left of 1048576 bytes"), "{message}");

    let time = limited(Limits { seconds_max: 0, ..Limits::default() }).await;
    let slow = "SELECT count(*) FROM generate_series(1, 100000000) AS a(x) WHERE x % 7 = 3";
    assert!(refused(&time, slow).await.starts_with("the query took longer than 0 s"));
}

#[tokio::test]
async fn as_many_queries_run_as_may_and_the_next_one_waits_for_its_turn_and_not_for_ever() {
    let history = limited(Limits { concurrency_max: 1, ..Limits::default() }).await;
    let engine = history.query_engine();
    let first = engine.sql("SELECT 1", &[]).await.unwrap();
    let error = engine.sql("SELECT 1", &[]).await.err().unwrap();
    assert!(matches!(error, QueryError::TooManyQueries { concurrency_max: 1, .. }), "{error}");
    assert!(
        engine.apart().sql("SELECT 1", &[]).await.is_ok(),
        "the service's own questions wait for nobody's"
    );
    let waiting = tokio::spawn(async move { engine.sql("SELECT 1", &[]).await.map(drop) });
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    assert!(!waiting.is_finished());
    drop(first);
    assert!(waiting.await.unwrap().is_ok(), "a reader that is gone makes room");
}

#[tokio::test]
async fn parameters_have_names() {
    let history = open("memory://").await;
    append(&history, 1);
    let parameters = [("rack", ScalarValue::from("r2")), ("above", ScalarValue::from(1.5))];
    let sql = "SELECT count(*) FROM samples WHERE rack = $rack AND value > $above";
    let rows = history.query_engine().sql(sql, &parameters).await.unwrap().collect().await.unwrap();
    assert_eq!(rows[0].column(0).as_primitive::<Int64Type>().value(0), 1);
}

#[tokio::test]
async fn now_is_the_data_s_watermark() {
    let history = open("memory://").await;
    append(&history, 1);
    history.set_now(at(31));
    let sql = "SELECT date_part('epoch', now() - max(time)) FROM samples";
    assert_eq!(number(&history, sql).await, 30.0);
    let past = history.query_engine().with_now(at(11));
    let rows = past.sql(sql, &[]).await.unwrap().collect().await.unwrap();
    assert_eq!(rows[0].column(0).as_primitive::<Float64Type>().value(0), 10.0);
}

#[tokio::test]
async fn every_now_of_a_query_is_one_moment_while_the_watermark_goes_on() {
    const TWO: &str = "SELECT date_part('epoch', now() - (SELECT min(t) FROM (SELECT now() AS t UNION SELECT now()))) \
                       + extract(epoch FROM now() - current_timestamp)";
    let history = open("memory://").await;
    let (engine, asked) = (history.query_engine(), Arc::new(AtomicBool::new(true)));
    let watermark = {
        let (history, asked) = (history.clone(), asked.clone());
        std::thread::spawn(move || {
            let mut seconds = 0;
            while asked.load(Ordering::Relaxed) {
                seconds += 1;
                history.set_now(at(seconds));
            }
        })
    };
    let mut apart = Vec::new();
    for _ in 0..20 {
        for answer in each_way(&engine, TWO).await {
            apart.push(answer.unwrap()[0].column(0).as_primitive::<Float64Type>().value(0));
        }
    }
    asked.store(false, Ordering::Relaxed);
    watermark.join().unwrap();
    assert_eq!(apart, [0.0; 60]);
}

/// The answers to a query that is asked over HTTP, as Flight SQL does, and as Postgres does.
async fn each_way(engine: &QueryEngine, sql: &str) -> Vec<Result<Vec<RecordBatch>, QueryError>> {
    let prepared = async { engine.prepare(sql, &[]).await?.run().await };
    let at_one_cut = async {
        let session = engine.at_one_cut(&engine.session().state())?;
        let plan = session.create_logical_plan(sql).await.map_err(QueryError::of_plan)?;
        engine.run(session, plan).await
    };
    let mut rows = Vec::new();
    for answer in [engine.sql(sql, &[]).await, prepared.await, at_one_cut.await] {
        rows.push(match answer {
            Ok(answer) => answer.collect().await,
            Err(error) => Err(error),
        });
    }
    rows
}

#[tokio::test]
async fn now_may_say_how_many_rows_there_are() {
    const MINUTES: &str = "SELECT count(*) FROM generate_series(CAST(now() AS TIMESTAMP) - INTERVAL '1 hour', \
                           CAST(now() AS TIMESTAMP), INTERVAL '1 minute')";
    let history = open("memory://").await;
    history.set_now(at(0));
    for answer in each_way(&history.query_engine(), MINUTES).await {
        assert_eq!(answer.unwrap()[0].column(0).as_primitive::<Int64Type>().value(0), 61);
    }
    for answer in each_way(&history.query_engine(), "SELECT * FROM generate_series(1, 'today')").await {
        assert!(matches!(answer, Err(QueryError::Statement(_))), "whoever errs is told why: {answer:?}");
    }
}

#[tokio::test]
async fn explain_tells_the_plan_at_the_moment_of_asking() {
    let history = open("memory://").await;
    history.set_now(at(3_600));
    let rows =
        history.query_engine().sql("EXPLAIN SELECT run FROM runs WHERE time > now()", &[]).await.unwrap();
    let told = format!("{:?}", rows.collect().await.unwrap());
    assert!(told.contains(&at(3_600).unix_micros().to_string()) && !told.contains("now()"), "{told}");
}

#[tokio::test]
async fn a_session_that_lives_on_sees_new_rows_and_the_new_watermark() {
    let history = open("memory://").await;
    let engine = history.query_engine();
    let session = engine.session();
    for sequence in 1..=3 {
        append(&history, sequence);
        history.set_now(at(10 * sequence as i64));
        let session = engine.at_one_cut(&session.state()).unwrap();
        let plan = session.create_logical_plan("SELECT count(*), max(now()) FROM samples").await.unwrap();
        let rows = engine.run(session, plan).await.unwrap().collect().await.unwrap();
        assert_eq!(rows[0].column(0).as_primitive::<Int64Type>().value(0), 8 * sequence as i64);
        let now = rows[0].column(1).as_primitive::<arrow::datatypes::TimestampMicrosecondType>().value(0);
        assert_eq!(now, at(10 * sequence as i64).unix_micros());
    }
}

#[tokio::test]
async fn labels_are_asked_by_name_and_tables_are_described() {
    let history = open("memory://").await;
    append(&history, 1);
    assert_eq!(number(&history, "SELECT count(*) FROM samples WHERE labels['vendor'] = 'acme'").await, 8.0);
    history.commit(&history.freeze(1)).await.unwrap();
    assert_eq!(number(&history, "SELECT count(*) FROM samples WHERE labels['vendor'] = 'acme'").await, 8.0);
    for (sql, expected) in [
        ("SHOW TABLES", "slo_now"),
        ("DESCRIBE samples", "source_unit"),
        ("SHOW COLUMNS FROM rack_now", "age_seconds"),
        ("EXPLAIN SELECT value FROM samples WHERE rack = 'r1'", "DataSourceExec"),
    ] {
        let shown = text(&history, sql, Format::Table).await;
        assert!(shown.contains(expected), "{sql}: {shown}");
    }
}

#[tokio::test]
async fn heat_follows_the_formula_of_the_detectors() {
    let history = open("memory://").await;
    let heat = number(&history, "SELECT heat_kw(150.0, 10.3)").await;
    assert_eq!(heat, telemetry::formula::heat_kw(150.0, 10.3, 3.98));
    let heat = number(&history, "SELECT heat_kw(150, 10, 'water')").await;
    assert_eq!(heat, telemetry::formula::heat_kw(150.0, 10.0, 4.15));
}

#[tokio::test]
async fn every_view_can_be_asked_and_tells_what_it_is() {
    let history = open("memory://").await;
    append(&history, 1);
    history.set_now(at(31));
    for table in QueryEngine::tables() {
        let sql = format!("SELECT count(*) FROM {}", table.name);
        assert!(number(&history, &sql).await >= 0.0);
        assert!(table.view.is_some() || !table.columns.is_empty());
    }
    assert_eq!(number(&history, "SELECT count(*) FROM rack_now WHERE age_seconds = 30").await, 8.0);
    let listed = "SELECT count(*) FROM information_schema.tables WHERE table_schema = 'public'";
    assert_eq!(number(&history, listed).await, QueryEngine::tables().len() as f64);
}

#[tokio::test]
async fn readings_are_found_by_run() {
    let history = open("memory://").await;
    for sequence in 1..=9 {
        append(&history, sequence);
    }
    let run = |time: i64, end: Option<i64>, state: &str| Row {
        table: Table::Runs,
        cells: vec![
            "run-1".into(),
            at(time).into(),
            Cell::Texts(vec!["r1".into(), "r2".into()]),
            "canary".into(),
            Cell::Labels(Labels::from([("driver".into(), "580".into())])),
            at(3).into(),
            at(100).into(),
            end.map(at).into(),
            state.into(),
            Cell::Null,
            Cell::Null,
        ],
    };
    history.append_row(3, run(3, None, "active"));
    history.append_row(6, run(6, Some(6), "ended"));
    assert_eq!(number(&history, "SELECT count(*) FROM telemetry_with_runs WHERE run = 'run-1'").await, 6.0);
    assert_eq!(number(&history, "SELECT max(run_seconds) FROM telemetry_with_runs").await, 2.0);
    history.commit(&history.freeze(9)).await.unwrap();
    assert_eq!(number(&history, "SELECT count(*) FROM telemetry_with_runs WHERE state = 'ended'").await, 6.0);
}

#[tokio::test]
async fn results_are_written_in_every_format() {
    let history = open("memory://").await;
    append(&history, 1);
    let sql = "SELECT rack, time, value, node, labels FROM samples WHERE rack < 'r2' ORDER BY rack";
    let table = "\
+------+----------------------+-------+------+-------------------+
| rack | time                 | value | node | labels            |
+------+----------------------+-------+------+-------------------+
| r0   | 2026-01-05T10:00:01Z | 0.001 |      | {\"vendor\":\"acme\"} |
| r1   | 2026-01-05T10:00:01Z | 1.001 |      | {\"vendor\":\"acme\"} |
+------+----------------------+-------+------+-------------------+
";
    assert_eq!(text(&history, sql, Format::Table).await, table);
    let csv = "rack,time,value,node,labels\n\
               r0,2026-01-05T10:00:01Z,0.001,,\"{\"\"vendor\"\":\"\"acme\"\"}\"\n\
               r1,2026-01-05T10:00:01Z,1.001,,\"{\"\"vendor\"\":\"\"acme\"\"}\"\n";
    assert_eq!(text(&history, sql, Format::Csv).await, csv);
    let json: serde_json::Value = serde_json::from_str(&text(&history, sql, Format::Json).await).unwrap();
    assert_eq!(json[1]["labels"]["vendor"], "acme");
    assert_eq!(json[1]["time"], "2026-01-05T10:00:01Z");
    let nothing = "SELECT rack FROM samples WHERE rack = 'none'";
    assert_eq!(text(&history, nothing, Format::Csv).await, "rack\n");
    assert_eq!(text(&history, nothing, Format::Json).await, "[]\n");

    let mut file = Vec::new();
    let rows =
        write(history.query_engine().sql(sql, &[]).await.unwrap(), Format::Parquet, &mut file).await.unwrap();
    assert_eq!(rows, 2);
    let read =
        parquet::arrow::arrow_reader::ParquetRecordBatchReader::try_new(bytes::Bytes::from(file), 8).unwrap();
    assert_eq!(read.map(|batch| batch.unwrap().num_rows()).sum::<usize>(), 2);
}

async fn planned(history: &History, sql: &str) -> (SessionContext, Arc<dyn ExecutionPlan>) {
    let session = history.query_engine().session();
    let plan = session.sql(sql).await.unwrap().create_physical_plan().await.unwrap();
    (session, plan)
}

/// Runs the leaves of a query's plan that have this name, and counts their rows.
async fn rows_read(history: &History, sql: &str, leaf: &str) -> usize {
    let (session, plan) = planned(history, sql).await;
    let (mut found, mut rows) = (vec![plan], 0);
    while let Some(plan) = found.pop() {
        found.extend(plan.children().into_iter().cloned());
        if plan.name() == leaf {
            let batches = datafusion::physical_plan::collect(plan.clone(), session.task_ctx()).await.unwrap();
            rows += batches.iter().map(|batch| batch.num_rows()).sum::<usize>();
        }
    }
    rows
}

async fn files_read(history: &History, sql: &str) -> usize {
    let (_, plan) = planned(history, sql).await;
    let mut files = 0;
    plan.apply(|node| {
        let scan = node.downcast_ref::<DataSourceExec>();
        let scan = scan.and_then(|scan| scan.data_source().downcast_ref::<FileScanConfig>());
        files += scan.map_or(0, |scan| scan.file_groups.iter().map(FileGroup::len).sum());
        Ok(TreeNodeRecursion::Continue)
    })
    .unwrap();
    files
}

#[tokio::test]
async fn a_large_file_is_read_by_all_cores_and_each_of_its_rows_once() {
    // More than a row group has, and than is read in one piece.
    const SERIES: u32 = 700;
    const SECONDS: i64 = 800;
    let (_folder, path) = folder();
    let history = History::open(&path, HistorySettings::default()).await.unwrap();
    declare(&history, SERIES);
    for second in 1..=SECONDS {
        let batch = SampleBatch {
            value: (0..SERIES).map(|id| (f64::from(id) * second as f64).sin()).collect(),
            ..readings(SERIES, second)
        };
        let fates = [Fate::Stored(Flag::Ok); SERIES as usize];
        history.append_samples(second as Sequence, PartitionId::FIRST, &batch, &fates);
    }
    history.commit(&history.freeze(SECONDS as Sequence)).await.unwrap();
    let cores = std::thread::available_parallelism().unwrap().get();
    assert_eq!(files_read(&history, "SELECT value FROM samples").await, cores);
    let seconds = (SECONDS * (SECONDS + 1) / 2) as f64;
    assert_eq!(number(&history, "SELECT sum(seq) FROM samples").await, f64::from(SERIES) * seconds);
    let whole =
        "SELECT count(*) FROM (SELECT rack, signal, count(*) AS readings FROM samples GROUP BY rack, signal)
                 WHERE readings = 800";
    assert_eq!(number(&history, whole).await, f64::from(SERIES));

    // With a small file beside it, in the order of the key and not, and where parts of the pieces are not asked for.
    for second in SECONDS + 1..=SECONDS + 50 {
        let fates = [Fate::Stored(Flag::Ok); SERIES as usize];
        let batch = readings(SERIES, second);
        history.append_samples(second as Sequence, PartitionId::FIRST, &batch, &fates);
    }
    history.commit(&history.freeze((SECONDS + 50) as Sequence)).await.unwrap();
    assert!(cores < files_read(&history, "SELECT value FROM samples").await);
    let all = SERIES as f64 * (SECONDS + 50) as f64;
    for (sql, expected) in [
        ("SELECT count(*) FROM samples", all),
        ("SELECT count(value) FROM samples", all),
        ("SELECT count(DISTINCT rack || ' ' || seq) FROM samples", all),
        ("SELECT count(*) FROM samples WHERE seq > 400", SERIES as f64 * 450.0),
        ("SELECT sum(n) FROM (SELECT rack, signal, count(*) AS n FROM samples GROUP BY rack, signal)", all),
    ] {
        assert_eq!(number(&history, sql).await, expected, "{sql}");
    }
}

#[tokio::test]
async fn few_rows_are_read_by_one_core_and_many_or_what_multiplies_them_by_all() {
    let (_folder, path) = folder();
    let history = History::open(&path, HistorySettings::default()).await.unwrap();
    declare(&history, 700);
    let hands_over = async |sql: &str| {
        text(&history, &format!("EXPLAIN {sql}"), Format::Csv)
            .await
            .contains("RepartitionExec: partitioning=Hash")
    };
    let by_rack = "SELECT rack, sum(value) FROM samples GROUP BY rack";
    let has_cores = 1 < std::thread::available_parallelism().unwrap().get();
    for second in 1..=100 {
        let fates = [Fate::Stored(Flag::Ok); 700];
        history.append_samples(second as Sequence, PartitionId::FIRST, &readings(700, second), &fates);
        match second {
            50 => assert!(!hands_over(by_rack).await, "35,000 in memory"),
            60 => {
                history.commit(&history.freeze(60)).await.unwrap();
            }
            70 => {
                assert!(!hands_over(by_rack).await, "42,000 in files and 7,000 in memory");
                assert!(
                    !hands_over("SELECT count(*) FROM samples JOIN runs ON run = rack GROUP BY run").await
                );
                let multiplied = "SELECT samples.rack, count(*) FROM samples JOIN runs ON run < samples.rack GROUP BY samples.rack";
                assert_eq!(hands_over(multiplied).await, has_cores);
            }
            100 => assert_eq!(hands_over(by_rack).await, has_cores, "42,000 in files and 28,000 in memory"),
            _ => {}
        }
    }
    assert!(!hands_over("SELECT state, count(*) FROM runs GROUP BY state").await);
}

#[tokio::test]
async fn files_without_the_rack_or_the_time_asked_for_are_not_read() {
    let (_folder, path) = folder();
    let history = open(&path).await;
    for sequence in 1..=10 {
        // Each commit has one rack and one minute.
        let batch = SampleBatch {
            series: vec![SeriesId(sequence as u32 % 2)],
            time: vec![at(60 * sequence as i64)],
            value: vec![1.0],
            flag: Vec::new(),
        };
        history.append_samples(sequence, PartitionId::FIRST, &batch, &[Fate::Stored(Flag::Ok)]);
        history.commit(&history.freeze(sequence)).await.unwrap();
    }
    assert_eq!(files_read(&history, "SELECT value FROM samples").await, 10);
    assert_eq!(files_read(&history, "SELECT value FROM samples WHERE rack = 'r1'").await, 5);
    let hour =
        "SELECT value FROM samples WHERE time BETWEEN '2026-01-05T10:03:00Z' AND '2026-01-05T10:04:00Z'";
    assert_eq!(files_read(&history, hour).await, 2);
    assert_eq!(files_read(&history, "SELECT value FROM samples WHERE date = '2026-01-06'").await, 0);
}

#[tokio::test]
async fn groups_that_are_told_by_their_neighbours_are_those_of_all_rows() {
    let (_folder, path) = folder();
    let history = open(&path).await;
    (1..=20).for_each(|sequence| append(&history, sequence));
    history.commit(&history.freeze(20)).await.unwrap();
    (21..=30).for_each(|sequence| append(&history, sequence));
    // A text made from another is in no order that is known.
    let asked = |rack: &str, signal: &str, of: &str| {
        format!(
            "SELECT {rack} AS rack, {signal} AS signal, count(*), sum(seq), max(time), delta(value, time) AS grown,
               count(*) FILTER (WHERE value > 2), count(DISTINCT seq), last_value(seq ORDER BY time) AS last
             FROM samples GROUP BY {rack}, {signal}{of} ORDER BY 1, 2, 3, 4"
        )
    };
    let of_series = ", device, node, sensor, \"loop\", site";
    let of_minutes = format!("{of_series}, date_bin(INTERVAL '7 seconds', time)");
    for of in [of_series, &of_minutes, ", sensor", ", flag"] {
        let by_neighbours = asked("rack", "signal", of);
        let plan = text(&history, &format!("EXPLAIN {by_neighbours}"), Format::Table).await;
        assert!(plan.contains("NeighboursExec"), "{plan}");
        let ran = text(&history, &format!("EXPLAIN ANALYZE {by_neighbours}"), Format::Table).await;
        let told = ran.lines().find(|line| line.contains("NeighboursExec")).unwrap();
        assert!(told.contains("output_rows=") && !told.contains("output_rows=0,"), "{told}");
        let by_hash = asked("rack || ''", "signal || ''", of);
        let plan = text(&history, &format!("EXPLAIN {by_hash}"), Format::Table).await;
        assert!(!plan.contains("NeighboursExec"), "{plan}");
        let found = text(&history, &by_neighbours, Format::Csv).await;
        assert_eq!(found, text(&history, &by_hash, Format::Csv).await, "{of}");
        assert!(found.lines().count() > 8, "{found}");
    }
}

#[tokio::test]
async fn rows_found_by_asking_of_texts_once_a_stretch_are_those_found_by_asking_of_each() {
    let (_folder, path) = folder();
    let history = open(&path).await;
    (1..=20).for_each(|sequence| append(&history, sequence));
    history.commit(&history.freeze(20)).await.unwrap();
    (21..=30).for_each(|sequence| append(&history, sequence));
    let all = number(&history, "SELECT count(*) FROM samples").await;
    // A text made from another is no column, and is asked of each row.
    for (once, each) in [
        ("rack IN ('r1', 'r3', 'r5', 'r8')", "rack || '' IN ('r1', 'r3', 'r5', 'r8')"),
        ("rack LIKE '%1'", "rack = 'r1'"),
        (
            "signal NOT LIKE 'x%' AND rack NOT IN ('r1', 'r4', 'r6', 'r7')",
            "rack || '' NOT IN ('r1', 'r4', 'r6', 'r7')",
        ),
    ] {
        let asked = |condition: &str| {
            format!(
                "SELECT rack, signal, time, value, seq FROM samples WHERE {condition} ORDER BY 1, 2, 3, 5"
            )
        };
        let plan = text(&history, &format!("EXPLAIN {}", asked(once)), Format::Table).await;
        assert!(plan.contains("once a stretch"), "{plan}");
        let found = text(&history, &asked(once), Format::Csv).await;
        assert_eq!(found, text(&history, &asked(each), Format::Csv).await, "{once}");
        let rows = found.lines().count() as f64 - 1.0;
        assert!(0.0 < rows && rows < all, "{once}: {rows} of {all}");
    }
}

#[tokio::test]
async fn memory_of_other_series_is_not_turned_into_columns() {
    let history = open("memory://").await;
    append(&history, 1);
    assert_eq!(number(&history, "SELECT count(*) FROM samples WHERE rack IN ('r1', 'r2')").await, 2.0);
    assert_eq!(
        number(&history, "SELECT count(*) FROM samples s WHERE s.rack LIKE '%3' OR s.signal = 'x'").await,
        1.0
    );
    assert_eq!(number(&history, "SELECT count(*) FROM samples WHERE node IS NULL AND value < 3").await, 3.0);
    let sql = "SELECT value FROM samples WHERE rack = 'r1'";
    assert_eq!(rows_read(&history, sql, "StreamingTableExec").await, 1);
}

#[tokio::test]
async fn memory_of_other_tables_is_asked_before_it_becomes_columns() {
    let history = open("memory://").await;
    (1..=4).for_each(|sequence| append(&history, sequence));
    for (filter, left) in [
        ("time > '2026-01-05T10:00:03Z'", 1),
        ("rack = 'r2' OR time > '2026-01-05T10:00:02Z'", 2),
        ("date = '2026-01-06'", 0),
        ("rack IS NOT NULL", 4),
        ("1 / (date_part('second', time)::bigint - 1) >= 0", 4), // cannot be evaluated, and fails where all is
    ] {
        let rows =
            rows_read(&history, &format!("SELECT new FROM events WHERE {filter}"), "StreamingTableExec")
                .await;
        assert_eq!(rows, left, "{filter}");
    }
}

#[tokio::test]
async fn what_is_asked_of_one_rack_reads_no_statuses_of_others() {
    let history = open("memory://").await;
    let plan =
        text(&history, "EXPLAIN FORMAT INDENT SELECT * FROM slo_now WHERE rack = 'r1'", Format::Csv).await;
    let (window, asked) = (plan.find("WindowAggr"), plan.rfind("slo_status.rack = Utf8"));
    assert!(window.is_some() && window < asked, "the rack is asked for below the window: {plan}");
}
