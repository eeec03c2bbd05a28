//! A label that is new with every request: the limit holds, the sender is told, and everything else goes on.

use prost::Message as _;
use wire::prometheus::v1::{Label, Sample, TimeSeries, WriteRequest};

use super::START;
use crate::harness::Service;

/// Sends one reading of each set of labels; status and answer.
fn send(service: &Service, second: i64, series: &[Vec<(&str, String)>]) -> (u16, String) {
    let timeseries = series.iter().map(|labels| TimeSeries {
        labels: labels
            .iter()
            .map(|(name, value)| Label { name: (*name).to_owned(), value: value.clone() })
            .collect(),
        samples: vec![Sample { value: 39.0, timestamp: 1_000 * (START + second) }],
        ..TimeSeries::default()
    });
    let request = WriteRequest { timeseries: timeseries.collect(), ..WriteRequest::default() };
    let body =
        snap::raw::Encoder::new().compress_vec(&request.encode_to_vec()).expect("a request compresses");
    let headers = [("content-type", "application/x-protobuf"), ("content-encoding", "snappy")];
    service.post("/api/v1/write", &headers, body)
}

/// A text like a UUID, another for each number.
fn unique(number: u64) -> String {
    let mixed = number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    format!("{:08x}-{:04x}-4{:03x}-8000-{number:012x}", mixed >> 32, mixed >> 16 & 0xffff, mixed & 0xfff)
}

fn temperature(rack: &str, more: Option<(&'static str, String)>) -> Vec<(&'static str, String)> {
    let known = [("__name__", "coolant_supply_temperature".to_owned()), ("rack", rack.to_owned())];
    known.into_iter().chain(more).collect()
}

fn count(service: &Service, sql: &str) -> i64 {
    service.sql(&format!("select {sql} as n from samples"))[0]["n"].as_i64().expect("a number")
}

#[test]
fn an_explosion_of_sensors_is_stopped_at_the_limit_and_told_and_everything_else_goes_on() {
    let folder = tempfile::tempdir().expect("a folder");
    let service = Service::start(
        &folder.path().join("data"),
        &["--set", "clock.kind=telemetry", "--set", "ingest.series_per_source_max=200"],
    );
    let known: Vec<_> = (0..50).map(|rack| temperature(&format!("r{rack}"), None)).collect();
    assert_eq!(send(&service, 0, &known).0, 204);
    let exploding = |from: u64| -> Vec<_> {
        (from..from + 500).map(|number| temperature("r1", Some(("sensor", unique(number))))).collect()
    };
    for round in 1..=4 {
        let mut all = exploding(500 * round);
        all.splice(250..250, known.iter().cloned());
        let (status, answer) = send(&service, round as i64, &all);
        assert_eq!(status, 400, "{answer}");
        assert!(
            answer.contains("the rest is stored") && answer.contains("has 200 series, as many as it may"),
            "{answer}"
        );
        assert!(answer.contains("ingest.series_per_source_max"), "which setting: {answer}");
        assert!(
            answer.contains("label \"sensor\" had 64 values in the last 64 new ones"),
            "which label: {answer}"
        );
    }
    assert_eq!(
        count(&service, "count(distinct concat(rack, ' ', coalesce(sensor, '')))"),
        200,
        "the limit holds"
    );
    assert_eq!(count(&service, "count(*) filter (where sensor is null)"), 5 * 50, "what was known goes on");
    let refused =
        "thermogate_ingest_refused_samples_total{reason=\"series_per_source\",source=\"remote_write\"}";
    assert_eq!(service.metric(refused), Some(4.0 * 500.0 - 150.0));
    assert_eq!(send(&service, 9, &known), (204, String::new()), "and is told of nothing");
    service.stop();
}

#[test]
fn a_label_that_is_no_part_of_a_series_makes_no_new_ones_and_unmapped_metrics_are_only_counted_beyond_their_limit()
 {
    let folder = tempfile::tempdir().expect("a folder");
    let service = Service::start(
        &folder.path().join("data"),
        &["--set", "clock.kind=telemetry", "--set", "ingest.unmapped_series_max=100"],
    );
    for second in 0..200 {
        let labels = temperature("r1", Some(("trace_id", unique(second))));
        assert_eq!(send(&service, second as i64, &[labels]), (204, String::new()));
    }
    assert_eq!(count(&service, "count(*)"), 200);
    assert_eq!(count(&service, "count(distinct concat(rack, signal, coalesce(sensor, '')))"), 1);
    let unmapped: Vec<_> = (0..1_000)
        .map(|number| vec![("__name__", "vendor_metric".to_owned()), ("session", unique(number))])
        .collect();
    assert_eq!(send(&service, 300, &unmapped).0, 204, "what nobody asked for is no mistake of the sender's");
    assert!(count(&service, "count(*) filter (where signal = 'vendor_metric')") <= 100);
    assert_eq!(send(&service, 301, &[temperature("r2", None)]).0, 204);
    service.stop();
}
