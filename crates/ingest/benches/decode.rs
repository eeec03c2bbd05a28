//! What a sample costs before it is logged: decompress, decode, take in. One core; divide by the samples of a request.
//!
//! `cargo bench -p ingest`. The request is that of the load generator: 2,000 series of racks and GPUs, a sample each.

use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use ingest::front::{Front, Limits};
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value};
use opentelemetry_proto::tonic::metrics::v1::{
    Gauge, Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, metric, number_data_point,
};
use prost::Message;
use telemetry::EventTime;
use telemetry::mapping::{Mapping, Resolver};
use telemetry::site::Site;
use wire::prometheus::{v1, v2};

const SERIES: usize = 2_000;
const METRICS: [&str; 4] = [
    "DCGM_FI_DEV_GPU_TEMP",
    "DCGM_FI_DEV_POWER_USAGE",
    "DCGM_FI_DEV_CLOCKS_EVENT_REASONS",
    "DCGM_FI_DEV_GPU_UTIL",
];

/// The labels of a series, in order of their names.
fn labels(index: usize) -> Vec<(String, String)> {
    let (rack, node, gpu) = (index / 288, index / 32 % 9, index / 4 % 8);
    vec![
        ("Hostname".into(), format!("rack-{rack:05}-node-{node:02}")),
        ("UUID".into(), format!("GPU-{rack:05}-{node:02}-{gpu}")),
        ("__name__".into(), METRICS[index % 4].into()),
        ("gpu".into(), gpu.to_string()),
        ("rack".into(), format!("rack-{rack:05}")),
    ]
}

fn remote_write_1() -> Bytes {
    let timeseries = (0..SERIES)
        .map(|index| v1::TimeSeries {
            labels: labels(index).into_iter().map(|(name, value)| v1::Label { name, value }).collect(),
            samples: vec![v1::Sample { value: 61.0, timestamp: 1_767_607_200_000 }],
            ..Default::default()
        })
        .collect();
    v1::WriteRequest { timeseries, metadata: Vec::new() }.encode_to_vec().into()
}

fn remote_write_2() -> Bytes {
    let mut symbols = vec![String::new()];
    let mut numbers = std::collections::HashMap::new();
    let mut refer = |text: String| {
        *numbers.entry(text.clone()).or_insert_with(|| {
            symbols.push(text);
            symbols.len() as u32 - 1
        })
    };
    let timeseries = (0..SERIES)
        .map(|index| v2::TimeSeries {
            labels_refs: labels(index)
                .into_iter()
                .flat_map(|(name, value)| [refer(name), refer(value)])
                .collect(),
            samples: vec![v2::Sample { value: 61.0, timestamp: 1_767_607_200_000 }],
            ..Default::default()
        })
        .collect();
    v2::Request { symbols, timeseries }.encode_to_vec().into()
}

fn otlp() -> Bytes {
    let attribute = |(key, text): (String, String)| KeyValue {
        key,
        value: Some(AnyValue { value: Some(any_value::Value::StringValue(text)) }),
        ..Default::default()
    };
    let metrics = METRICS
        .iter()
        .enumerate()
        .map(|(offset, name)| {
            let data_points = (0..SERIES / 4)
                .map(|index| NumberDataPoint {
                    attributes: labels(index * 4 + offset)
                        .into_iter()
                        .filter(|(name, _)| name != "__name__")
                        .map(attribute)
                        .collect(),
                    time_unix_nano: 1_767_607_200_000_000_000,
                    value: Some(number_data_point::Value::AsDouble(61.0)),
                    ..Default::default()
                })
                .collect();
            let data = Some(metric::Data::Gauge(Gauge { data_points }));
            Metric { name: (*name).into(), data, ..Default::default() }
        })
        .collect();
    let scope_metrics = vec![ScopeMetrics { metrics, ..Default::default() }];
    let request = ExportMetricsServiceRequest {
        resource_metrics: vec![ResourceMetrics { scope_metrics, ..Default::default() }],
    };
    request.encode_to_vec().into()
}

fn decoders(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("decode");
    group.throughput(Throughput::Elements(SERIES as u64));
    let (one, two, otlp) = (remote_write_1(), remote_write_2(), otlp());
    let compressed = snap::raw::Encoder::new().compress_vec(&one).expect("the request is small");
    group.bench_function("snappy", |bencher| {
        bencher.iter(|| ingest::compression::snappy_block(&compressed, 1 << 26))
    });
    group.bench_function("remote_write_1", |bencher| {
        bencher.iter(|| ingest::remote_write::decode_v1(one.clone()))
    });
    group.bench_function("remote_write_2", |bencher| {
        bencher.iter(|| ingest::remote_write::decode_v2(two.clone()))
    });
    group.bench_function("otlp", |bencher| bencher.iter(|| ingest::otlp::decode(otlp.clone())));
    group.bench_function("remote_write_1_prost", |bencher| bencher.iter(|| v1::WriteRequest::decode(&*one)));
    group.finish();
}

fn take_in(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("take_in");
    group.throughput(Throughput::Elements(SERIES as u64));
    let tick = EventTime::from_unix_micros(i64::MAX);
    let requests = [
        ("remote_write_1", ingest::remote_write::decode_v1(remote_write_1())),
        ("remote_write_2", ingest::remote_write::decode_v2(remote_write_2())),
        ("otlp", ingest::otlp::decode(otlp())),
    ];
    for (name, decoded) in requests {
        let decoded = decoded.expect("the request is well formed");
        let resolver = || Resolver::new(Mapping::built_in(), Site::empty("s1"));
        let mut front = Front::new(resolver(), Limits::default());
        let first = front.take_in(&decoded, tick).expect("its labels are well formed");
        front.confirm(first.ticket);
        group.bench_function(format!("{name}_known"), |bencher| {
            bencher.iter(|| front.take_in(&decoded, tick))
        });
        group.bench_function(format!("{name}_new"), |bencher| {
            bencher.iter(|| Front::new(resolver(), Limits::default()).take_in(&decoded, tick));
        });
    }
    group.finish();
}

criterion_group!(benches, decoders, take_in);
criterion_main!(benches);
