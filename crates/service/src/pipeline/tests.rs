//! What waits is bounded, and acts do not wait behind it.

use bytes::Bytes;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value};
use opentelemetry_proto::tonic::metrics::v1::{
    Gauge, Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, metric, number_data_point,
};
use prost::Message as _;
use telemetry::mapping::{Mapping, Resolver};
use telemetry::site::Site;

use super::*;

/// A pipeline whose log is the other end of the queue.
async fn pipeline(room_bytes: usize) -> (Arc<Pipeline>, mpsc::UnboundedReceiver<Entry>) {
    let (entries, waiting) = mpsc::unbounded_channel();
    let history =
        History::open("memory://", history::HistorySettings::default()).await.expect("memory has room");
    let pipeline = Pipeline::new(Start {
        front: Front::new(
            Resolver::new(Mapping::built_in(), Site::empty("default")),
            ingest::Limits::default(),
        ),
        entries,
        room_bytes,
        clock: Clock::Telemetry,
        allowed_lateness: Microseconds::ZERO,
        last_tick: None,
        board: Arc::default(),
        history,
        tell: Tell::new(None),
        metrics: Arc::new(Metrics::new()),
    });
    (Arc::new(pipeline), waiting)
}

/// One reading of a rack.
fn reading(seconds: u64) -> Decoded {
    let label = |key: &str, value: &str| KeyValue {
        key: key.to_owned(),
        value: Some(AnyValue { value: Some(any_value::Value::StringValue(value.to_owned())) }),
        ..KeyValue::default()
    };
    let point = NumberDataPoint {
        attributes: vec![label("rack", "r1")],
        time_unix_nano: seconds * 1_000_000_000,
        value: Some(number_data_point::Value::AsDouble(30.0)),
        ..NumberDataPoint::default()
    };
    let metric = Metric {
        name: "coolant_supply_temperature".to_owned(),
        data: Some(metric::Data::Gauge(Gauge { data_points: vec![point] })),
        ..Metric::default()
    };
    let scope_metrics = vec![ScopeMetrics { metrics: vec![metric], ..ScopeMetrics::default() }];
    let resource_metrics = vec![ResourceMetrics { scope_metrics, ..ResourceMetrics::default() }];
    let request = ExportMetricsServiceRequest { resource_metrics };
    ingest::otlp::decode(Bytes::from(request.encode_to_vec())).expect("a request of its own shape")
}

#[tokio::test]
async fn telemetry_waits_for_what_is_not_yet_judged_and_acts_do_not() {
    // The first request is larger than all room, and is taken all the same.
    let (pipeline, mut waiting) = pipeline(1).await;
    let first = pipeline.queue_up(&reading(1_767_607_200)).await.expect("there is room");
    let entry = waiting.recv().await.expect("it is queued");
    entry.done.send(Ok(1)).expect("the sender waits");
    pipeline.synced(first).await.expect("synced");

    // Synced and not judged: its room is not free yet.
    let refused = pipeline.take_in(&reading(1_767_607_201)).await.expect_err("no room");
    let IntakeError::Overloaded { message, .. } = &refused else { panic!("{refused:?}") };
    assert!(message.contains("`ingest.queue_bytes_max`"), "{message}");
    assert!(waiting.try_recv().is_err(), "what is refused is not queued");

    let act = tokio::spawn({
        let pipeline = pipeline.clone();
        let tick = EventTime::from_unix_micros(0);
        async move {
            pipeline.append(vec![Record { partition: PartitionId::STREAM, body: Body::Tick(tick) }]).await
        }
    });
    let acted = waiting.recv().await.expect("an act finds room");
    acted.done.send(Ok(2)).expect("the caller waits");
    assert_eq!(act.await.expect("no panic").expect("written"), 2);

    // Judged.
    drop(entry.room);
    pipeline.queue_up(&reading(1_767_607_202)).await.expect("there is room again");
}

#[tokio::test]
async fn acts_that_nobody_applies_are_refused_in_the_end() {
    let (pipeline, mut waiting) = pipeline(1).await;
    let act = || {
        let pipeline = pipeline.clone();
        let tick = Body::Tick(EventTime::from_unix_micros(0));
        tokio::spawn(async move {
            pipeline.append(vec![Record { partition: PartitionId::STREAM, body: tick }]).await
        })
    };
    let mut synced = Vec::new();
    for sequence in 0..ACTS_WAITING_MAX as u64 {
        let acted = act();
        let entry = waiting.recv().await.expect("it is queued");
        entry.done.send(Ok(sequence)).expect("the caller waits");
        assert_eq!(acted.await.expect("no panic").expect("written"), sequence);
        synced.push(entry.room);
    }
    let refused = act().await.expect("no panic").expect_err("too many wait");
    assert!(refused.retryable && refused.message.contains("the evaluator is behind"), "{refused}");

    drop(synced.pop());
    drop(act());
    assert!(waiting.recv().await.is_some(), "one was applied, so the next is taken");
}
