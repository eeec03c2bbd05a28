//! Queries that are asked again are answered by the plan that was kept, and from what there is by then.

use arrow::array::AsArray;
use arrow::datatypes::Int64Type;
use history::query::QueryEngine;
use telemetry::EventTime;
use telemetry::place::Place;
use telemetry::record::Flag;

use crate::recorded::Recorded;

const NOON: EventTime = EventTime::from_unix_micros(1_790_000_000_000_000);

fn rack() -> Place {
    Place { site: "north".into(), rack: Some("E01".into()), ..Place::default() }
}

fn second(number: i64) -> EventTime {
    EventTime::from_unix_micros(NOON.unix_micros() + number * 1_000_000)
}

/// One number, asked at a moment.
async fn asked(engine: &QueryEngine, now: EventTime, sql: &str) -> i64 {
    let answer = engine.clone().with_now(now).sql(sql, &[]).await.unwrap().collect().await.unwrap();
    answer[0].column(0).as_primitive::<Int64Type>().value(0)
}

#[tokio::test]
async fn a_query_that_is_asked_again_sees_the_rows_and_the_time_of_then() {
    const OF_TEN_SECONDS: &str = "SELECT count(*) FROM samples WHERE time > now() - INTERVAL '10 seconds'";
    let mut recorded = Recorded::new().await;
    let engine = recorded.history.query_engine();
    for number in 0..20 {
        recorded.add(rack(), "rack_power", second(number), 90.0, Flag::Ok);
    }
    assert_eq!(asked(&engine, second(19), OF_TEN_SECONDS).await, 10);
    assert_eq!(asked(&engine, second(25), OF_TEN_SECONDS).await, 4, "now has gone on");
    recorded.commit().await;
    assert_eq!(asked(&engine, second(25), OF_TEN_SECONDS).await, 4, "from files");
    for number in 20..26 {
        recorded.add(rack(), "rack_power", second(number), 90.0, Flag::Ok);
    }
    assert_eq!(asked(&engine, second(25), OF_TEN_SECONDS).await, 10, "new rows have come");
    assert_eq!(
        asked(&engine, second(19), OF_TEN_SECONDS).await,
        16,
        "an earlier now, after which rows are too"
    );
}

#[tokio::test]
async fn readings_that_came_again_are_left_out_by_a_plan_from_before_they_came() {
    const ALL: &str = "SELECT count(*) FROM samples";
    let mut recorded = Recorded::new().await;
    let engine = recorded.history.query_engine();
    recorded.add(rack(), "rack_power", second(0), 90.0, Flag::Ok);
    assert_eq!(asked(&engine, second(1), ALL).await, 1);
    recorded.add(rack(), "rack_power", second(0), 90.0, Flag::Late);
    assert_eq!(asked(&engine, second(1), ALL).await, 1);
    recorded.add(rack(), "rack_power", second(1), 90.0, Flag::Late);
    assert_eq!(asked(&engine, second(1), ALL).await, 2);
}

#[tokio::test]
async fn now_is_that_of_the_asking_wherever_it_stands_in_a_query_that_is_asked_again() {
    const TWICE: &str =
        "SELECT CAST(date_part('epoch', now() - (SELECT max(t) FROM (SELECT now() AS t))) AS BIGINT)";
    let recorded = Recorded::new().await;
    let engine = recorded.history.query_engine();
    assert_eq!(asked(&engine, second(0), TWICE).await, 0);
    assert_eq!(asked(&engine, second(60), TWICE).await, 0);
    let epoch = "SELECT CAST(date_part('epoch', now()) AS BIGINT)";
    assert_eq!(asked(&engine, second(0), epoch).await, NOON.unix_micros() / 1_000_000);
    assert_eq!(asked(&engine, second(60), epoch).await, NOON.unix_micros() / 1_000_000 + 60);
}

#[tokio::test]
async fn current_date_and_time_are_those_of_now() {
    const DAY_AND_HOUR: &str =
        "SELECT CAST(100 * date_part('day', current_date) + date_part('hour', current_time) AS BIGINT)";
    let recorded = Recorded::new().await;
    let engine = recorded.history.query_engine();
    assert_eq!(asked(&engine, second(0), DAY_AND_HOUR).await, 21_14);
    assert_eq!(asked(&engine, second(86_400), DAY_AND_HOUR).await, 22_14, "asked again a day later");
}
