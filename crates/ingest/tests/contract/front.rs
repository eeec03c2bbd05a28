//! Numbers, flags, limits and events: what the front makes of readings, whatever source they come from.

use std::sync::Arc;

use ingest::Decoded;
use ingest::front::{Front, Limits};
use proptest::prelude::*;
use telemetry::EventTime;
use telemetry::mapping::{Mapping, Resolver};
use telemetry::record::{Body, Document, PartitionId, PlaceEvent, Record, SeriesDeclaration, Temporality};
use telemetry::site::Site;

use super::senders::{
    Otlp, Reading, RemoteWrite1, Source, at, batches, declarations, front, reading, resolver, samples, supply,
};

fn decoded(readings: &[Reading]) -> Decoded {
    RemoteWrite1::decode(RemoteWrite1::encode(readings)).unwrap()
}

fn take(front: &mut Front, readings: &[Reading]) -> ingest::Taken {
    front.take_in(&decoded(readings), at(0)).unwrap()
}

/// Takes in and confirms: the records are in the log.
fn keep(front: &mut Front, readings: &[Reading]) -> Vec<Record> {
    let taken = take(front, readings);
    front.confirm(taken.ticket);
    taken.records
}

fn declared(records: &[Record]) -> Vec<(PartitionId, Arc<SeriesDeclaration>)> {
    records
        .iter()
        .filter_map(|record| match &record.body {
            Body::Series(declaration) => Some((record.partition, declaration.clone())),
            _ => None,
        })
        .collect()
}

fn events(records: &[Record]) -> Vec<(&PlaceEvent, String)> {
    records
        .iter()
        .filter_map(|record| match &record.body {
            Body::Event(event) => {
                Some((event, format!("{} {:?} → {:?}", event.name, &*event.old, &*event.new)))
            }
            _ => None,
        })
        .collect()
}

fn told(records: &[Record]) -> Vec<String> {
    events(records).into_iter().map(|(_, text)| text).collect()
}

#[test]
fn series_and_partitions_are_numbered_in_the_order_they_come() {
    let mut front = front();
    let records = keep(
        &mut front,
        &[supply("r2", 0, 31.0), supply("r1", 0, 31.0), reading("coolant_flow", &[("rack", "r2")], 0, 50.0)],
    );
    let numbers: Vec<(u32, u32)> =
        declared(&records).iter().map(|(partition, series)| (partition.0, series.id.0)).collect();
    assert_eq!(numbers, [(1, 0), (2, 0), (1, 1)], "partitions from 1, series from 0 in each");
    let order: Vec<u32> = records.iter().skip(3).map(|record| record.partition.0).collect();
    assert_eq!(order, [1, 2], "one batch a partition, after the declarations");
    assert!(declared(&keep(&mut front, &[supply("r1", 1, 31.0)])).is_empty(), "declared once");
}

#[test]
fn a_batch_is_sorted_by_time_and_series_and_the_first_of_equals_stays_first() {
    let mut front = front();
    let flow = |seconds, value| reading("coolant_flow", &[("rack", "r1")], seconds, value);
    let records = keep(
        &mut front,
        &[supply("r1", 2, 31.0), flow(1, 50.0), supply("r1", 1, 30.0), flow(1, 51.0), supply("r1", 0, 29.0)],
    );
    let batch = batches(&records)[0];
    let rows: Vec<(f64, u32, f64)> = (0..batch.len())
        .map(|row| ((batch.time[row] - at(0)).as_seconds(), batch.series[row].0, batch.value[row]))
        .collect();
    assert_eq!(rows, [(0.0, 0, 29.0), (1.0, 0, 30.0), (1.0, 1, 50.0), (1.0, 1, 51.0), (2.0, 0, 31.0)]);
    assert!(batch.flag.is_empty(), "no flags where all are ok");
}

#[test]
fn a_series_is_declared_again_until_one_append_is_confirmed() {
    let mut front = front();
    let first = take(&mut front, &[supply("r1", 0, 31.0)]);
    let second = take(&mut front, &[supply("r1", 1, 31.0), supply("r2", 1, 31.0)]);
    assert_eq!(declarations(&second.records).len(), 2, "the first append may yet fail");
    front.withdraw(first.ticket);
    front.confirm(second.ticket);
    let third = take(&mut front, &[supply("r1", 2, 31.0)]);
    assert!(declarations(&third.records).is_empty());
    assert_eq!(declared(&second.records)[0].1.id.0, 0, "with the same number");
}

proptest! {
    /// Whichever of several appends in flight succeed, the log has every declaration before its samples, and numbers
    /// without holes.
    #[test]
    fn numbers_are_dense_in_the_log_whichever_appends_fail(
        steps in prop::collection::vec((prop::collection::vec(0..12u32, 1..5), any::<bool>(), 0..4usize), 1..40),
    ) {
        let mut front = front();
        let mut flying: Vec<(ingest::Taken, bool)> = Vec::new();
        let mut log: Vec<Record> = Vec::new();
        let mut settle = |front: &mut Front, (taken, fails): (ingest::Taken, bool)| {
            if fails {
                front.withdraw(taken.ticket);
            } else {
                log.extend(taken.records);
                front.confirm(taken.ticket);
            }
        };
        for (step, (sensors, fails, in_flight)) in steps.iter().enumerate() {
            let readings: Vec<Reading> = sensors.iter().map(|sensor| {
                let sensor = sensor.to_string();
                reading("coolant_supply_temperature", &[("rack", "r1"), ("sensor", &sensor)], step as i64, 31.0)
            }).collect();
            flying.push((take(&mut front, &readings), *fails));
            while flying.len() > *in_flight {
                settle(&mut front, flying.remove(0));
            }
        }
        flying.into_iter().for_each(|taken| settle(&mut front, taken));
        let mut next = 0;
        for record in &log {
            match &record.body {
                Body::Series(declaration) => {
                    prop_assert!(declaration.id.0 <= next, "a hole before {}", declaration.id.0);
                    next = next.max(declaration.id.0 + 1);
                }
                Body::Samples(batch) => prop_assert!(batch.series.iter().all(|series| series.0 < next)),
                _ => {}
            }
        }
    }
}

#[test]
fn a_restart_gives_every_series_the_number_it_had() {
    let mut before = front();
    let readings: Vec<Reading> = (0..9).map(|index| supply(&format!("r{index}"), 0, 31.0)).collect();
    let log = keep(&mut before, &readings);
    let mut after = front();
    after.restore(declared(&log).into_iter());
    let more = [supply("r4", 1, 32.0), supply("new", 1, 32.0)];
    let (one, other) = (keep(&mut before, &more), keep(&mut after, &more));
    assert_eq!(one, other);
    assert_eq!(declared(&other)[0].0, PartitionId(10));
}

#[test]
fn a_second_source_of_one_signal_and_place_is_a_sensor_of_its_own() {
    let mut front = front();
    keep(&mut front, &[supply("r1", 0, 31.0)]);
    let otlp = Otlp::decode(Otlp::encode(&[supply("r1", 0, 31.2)])).unwrap();
    let taken = front.take_in(&otlp, at(0)).unwrap();
    assert_eq!(declarations(&taken.records)[0].identity.sensor.as_deref(), Some("otlp"));
    assert!(
        taken.report.notes[0].contains("the second is kept as sensor \"otlp\""),
        "{:?}",
        taken.report.notes
    );
    front.confirm(taken.ticket);
    let again = front.take_in(&otlp, at(0)).unwrap();
    assert!(declarations(&again.records).is_empty() && again.report.notes.is_empty());
}

#[test]
fn other_labels_never_make_a_new_series() {
    let mut front = front();
    let of = |version: &str, seconds| {
        let labels = [("Hostname", "n1"), ("gpu", "0"), ("DCGM_FI_DRIVER_VERSION", version)];
        reading("DCGM_FI_DEV_GPU_TEMP", &labels, seconds, 60.0)
    };
    let records = keep(&mut front, &[of("570", 0), of("580", 1)]);
    assert_eq!(declared(&records).len(), 1);
    assert_eq!(batches(&records)[0].len(), 2);
}

#[test]
fn a_change_of_workload_is_one_event_however_many_series_tell_it() {
    let mut front = front();
    let scrape = |pod: &str, seconds| -> Vec<Reading> {
        let labels: Vec<(&str, &str)> = [("Hostname", "n1"), ("gpu", "0"), ("pod", pod)]
            .into_iter()
            .filter(|(_, value)| !value.is_empty())
            .collect();
        ["DCGM_FI_DEV_GPU_TEMP", "DCGM_FI_DEV_POWER_USAGE"]
            .iter()
            .map(|metric| reading(metric, &labels, seconds, 60.0))
            .collect()
    };
    let steps = [
        ("a", 0, vec!["pod \"\" → \"a\""]),
        ("a", 10, vec![]),
        ("b", 20, vec!["pod \"a\" → \"b\""]),
        ("", 30, vec!["pod \"b\" → \"\""]),
        ("a", 40, vec!["pod \"\" → \"a\""]),
    ];
    for (pod, seconds, expected) in steps {
        let records = keep(&mut front, &scrape(pod, seconds));
        assert_eq!(told(&records), expected, "at {seconds} s");
        assert!(events(&records).iter().all(|(event, _)| event.time == at(seconds)));
    }
}

#[test]
fn two_pods_on_one_gpu_are_no_change() {
    let mut front = front();
    let of = |pod: &str, seconds| {
        let labels = [("Hostname", "n1"), ("gpu", "0"), ("pod", pod)];
        reading("DCGM_FI_DEV_GPU_TEMP", &labels, seconds, 60.0)
    };
    for step in 0..5 {
        let records = keep(&mut front, &[of("a", step), of("b", step)]);
        assert_eq!(told(&records).len(), usize::from(step == 0), "at {step} s");
    }
}

#[test]
fn an_event_that_did_not_get_into_the_log_is_told_again_and_one_that_did_never() {
    let of = |pod: &str, seconds| {
        reading("DCGM_FI_DEV_GPU_TEMP", &[("Hostname", "n1"), ("gpu", "0"), ("pod", pod)], seconds, 60.0)
    };
    let mut front = front();
    let lost = take(&mut front, &[of("a", 0)]);
    front.withdraw(lost.ticket);
    let log = keep(&mut front, &[of("a", 0)]);
    assert_eq!(told(&log), ["pod \"\" → \"a\""]);
    let mut after = super::senders::front();
    after.restore(declared(&log).into_iter());
    events(&log).into_iter().for_each(|(event, _)| after.restore_event(event));
    assert!(told(&keep(&mut after, &[of("a", 10)])).is_empty());
    assert_eq!(told(&keep(&mut after, &[of("b", 20)])), ["pod \"a\" → \"b\""]);
}

#[test]
fn limits_refuse_by_name_and_keep_what_is_known() {
    let limits = Limits {
        labels_per_series: 4,
        series_per_source: 2,
        unmapped_series_per_source: 1,
        ..Limits::default()
    };
    let mut front = Front::new(resolver(), limits);
    let many = [("rack", "r1"), ("a", "1"), ("b", "2"), ("c", "3"), ("d", "4")];
    let readings = [
        supply("r1", 0, 31.0),
        reading("coolant_flow", &many, 0, 50.0),
        reading("app_one", &[], 0, 1.0),
        reading("app_two", &[], 0, 1.0),
        supply("r2", 0, 31.0),
    ];
    for round in 0..2 {
        let taken = take(&mut front, &readings);
        let report = &taken.report;
        assert_eq!(
            (report.accepted, report.unmapped_kept, report.unmapped_counted),
            (2, 1, 1),
            "round {round}"
        );
        let text = report.refusal_text();
        for part in [
            "2 of 4 points refused (labels 1, series_per_source 1)",
            "5 labels, more than 4",
            "raise ingest.labels_per_series_max",
            "raise ingest.series_per_source_max",
        ] {
            assert!(text.contains(part), "{text}");
        }
        assert_eq!(front.unmapped_series(), 1);
    }
}

#[test]
fn a_burst_of_new_series_is_spread_over_seconds() {
    let mut front = Front::new(resolver(), Limits { new_series_per_second: 2, ..Limits::default() });
    let readings: Vec<Reading> = (0..5).map(|index| supply(&format!("r{index}"), 0, 31.0)).collect();
    let decoded = decoded(&readings);
    let accepted: Vec<u64> =
        [0, 0, 1, 2].map(|tick| front.take_in(&decoded, at(tick)).unwrap().report.accepted).to_vec();
    assert_eq!(accepted, [2, 2, 4, 5]);
}

#[test]
fn a_delta_is_declared_as_one_and_logged_as_it_comes() {
    use opentelemetry_proto::tonic::metrics::v1::{Metric, Sum, metric};
    use prost::Message;
    let data_points =
        vec![super::senders::point(&[("Hostname".into(), "n1".into()), ("gpu".into(), "0".into())], 0, 2.5)];
    let data = metric::Data::Sum(Sum { data_points, aggregation_temporality: 1, is_monotonic: true });
    let metric = Metric {
        name: "gpu_thermal_throttle_time".into(),
        unit: "s".into(),
        data: Some(data),
        ..Default::default()
    };
    let decoded = Otlp::decode(super::senders::export(vec![metric]).encode_to_vec()).unwrap();
    let taken = super::senders::take(&decoded);
    assert_eq!(declarations(&taken.records)[0].temporality, Temporality::Delta);
    assert_eq!(batches(&taken.records)[0].value, [2.5]);
}

#[test]
fn a_new_site_declares_again_what_it_judges_otherwise() {
    let mut front = front();
    let first = keep(&mut front, &[supply("r1", 0, 31.0)]);
    front.reconfigure(moved_resolver());
    let moved = keep(&mut front, &[supply("r1", 1, 31.0)]);
    let (before, after) = (&declared(&first)[0], &declared(&moved)[0]);
    assert_eq!(before.1.identity, after.1.identity, "a rack that is put on a loop keeps its series");
    assert_ne!(before.0, after.0, "in another partition");
    assert_eq!((after.1.cooling_loop.as_deref(), after.1.declared), (Some("cdu1"), true));
    assert!(declared(&keep(&mut front, &[supply("r1", 2, 31.0)])).is_empty());

    let log: Vec<Record> = first.iter().chain(&moved).cloned().collect();
    let mut restarted = Front::new(moved_resolver(), Limits::default());
    restarted.restore(declared(&log).into_iter().rev());
    assert!(
        declared(&keep(&mut restarted, &[supply("r1", 3, 31.0)])).is_empty(),
        "in whatever order they are told"
    );
}

fn moved_resolver() -> Resolver {
    let text = "apiVersion: thermogate.dev/v1alpha1\nkind: Site\nmetadata: {name: s1}\nloops:\n  - name: cdu1\nracks:\n  - name: r1\n    loop: cdu1\n";
    let site = Site::read(&Document { name: "site.yaml".into(), text: text.into() }).unwrap();
    Resolver::new(Mapping::built_in(), site)
}

#[test]
fn a_unit_that_metadata_tells_later_counts_from_then_on() {
    use prost::Message;
    use wire::prometheus::v1::{MetricMetadata, WriteRequest};
    let mut front = front();
    let readings = [reading("coolant_supply_temperature", &[("rack", "r1")], 0, 86.0)];
    assert_eq!(samples(&keep(&mut front, &readings))[0].2, 86.0);
    let metadata = MetricMetadata {
        metric_family_name: "coolant_supply_temperature".into(),
        unit: "degF".into(),
        ..Default::default()
    };
    let request = WriteRequest { metadata: vec![metadata], ..Default::default() };
    let told = ingest::remote_write::decode_v1(request.encode_to_vec().into()).unwrap();
    assert!(front.take_in(&told, at(0)).unwrap().records.is_empty());
    let later = keep(&mut front, &readings);
    assert!((batches(&later)[0].value[0] - 30.0).abs() < 1e-9);
}

proptest! {
    /// However readings are cut into requests, the same series get the same samples.
    #[test]
    fn the_cut_into_requests_does_not_matter(
        readings in prop::collection::vec((0..6u32, 0..40i64, 20.0..60.0f64), 1..60),
        cuts in prop::collection::vec(1..20usize, 1..20),
    ) {
        let readings: Vec<Reading> = readings.iter().map(|(rack, seconds, value)| supply(&format!("r{rack}"), *seconds, *value)).collect();
        let mut whole = samples(&keep(&mut front(), &readings));
        let mut pieces = Vec::new();
        let mut cut_front = front();
        let mut rest = &readings[..];
        for cut in cuts.iter().cycle() {
            if rest.is_empty() { break; }
            let (piece, after) = rest.split_at((*cut).min(rest.len()));
            pieces.extend(keep(&mut cut_front, piece));
            rest = after;
        }
        let mut pieces = samples(&pieces);
        let order = |one: &(String, f64, f64, telemetry::record::Flag), other: &(String, f64, f64, telemetry::record::Flag)| {
            (&one.0, one.1).partial_cmp(&(&other.0, other.1)).unwrap()
        };
        whole.sort_by(order);
        pieces.sort_by(order);
        prop_assert_eq!(whole, pieces);
    }

    /// A front that was restored from any prefix of the log goes on like one that never stopped.
    #[test]
    fn a_restart_is_invisible(racks in prop::collection::vec(0..12u32, 1..40), cut in any::<prop::sample::Index>()) {
        let requests: Vec<Vec<Reading>> =
            racks.iter().enumerate().map(|(step, rack)| vec![supply(&format!("r{rack}"), step as i64, 31.0)]).collect();
        let cut = cut.index(requests.len());
        let mut before = front();
        let mut log = Vec::new();
        for request in &requests[..cut] {
            log.extend(keep(&mut before, request));
        }
        let mut after = front();
        after.restore(declared(&log).into_iter());
        for request in &requests[cut..] {
            prop_assert_eq!(keep(&mut before, request), keep(&mut after, request));
        }
    }
}

#[test]
fn before_the_first_tick_nothing_is_in_the_future() {
    let taken = front().take_in(&decoded(&[supply("r1", 1_000_000, 31.0)]), EventTime::MINIMUM).unwrap();
    assert!(taken.report.quarantined.is_empty());
}
