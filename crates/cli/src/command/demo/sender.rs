//! Readings as OTLP metrics over gRPC: one gauge a signal, one point a reading.

use std::collections::BTreeMap;

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::metrics_service_client::MetricsServiceClient;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value};
use opentelemetry_proto::tonic::metrics::v1::{
    Gauge, Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, metric, number_data_point,
};
use simulator::Reading;
use tonic::transport::Channel;

use crate::failure::Failure;

/// A connection to the OTLP port.
pub struct Sender(MetricsServiceClient<Channel>);

impl Sender {
    /// Connects.
    pub async fn connect(address: &str) -> Result<Self, Failure> {
        let client = MetricsServiceClient::connect(address.to_owned())
            .await
            .map_err(|error| Failure::unreachable(format!("{address}: {error}")))?;
        Ok(Self(client))
    }

    /// Sends readings and waits until they are durable.
    pub async fn send(&mut self, readings: &[Reading]) -> Result<(), Failure> {
        if readings.is_empty() {
            return Ok(());
        }
        let answered = self.0.export(request(readings)).await.map_err(Failure::from)?.into_inner();
        match answered.partial_success {
            Some(partial) if partial.rejected_data_points > 0 => Err(Failure::unreachable(format!(
                "{} of {} readings were refused: {}",
                partial.rejected_data_points,
                readings.len(),
                partial.error_message
            ))),
            Some(_) | None => Ok(()),
        }
    }
}

fn request(readings: &[Reading]) -> ExportMetricsServiceRequest {
    let mut points: BTreeMap<&str, Vec<NumberDataPoint>> = BTreeMap::new();
    for reading in readings {
        points.entry(&reading.signal).or_default().push(point(reading));
    }
    let metrics = points
        .into_iter()
        .map(|(signal, data_points)| Metric {
            name: signal.to_owned(),
            unit: telemetry::signal::find(signal)
                .map_or_else(String::new, |signal| signal.unit.symbol().to_owned()),
            data: Some(metric::Data::Gauge(Gauge { data_points })),
            ..Metric::default()
        })
        .collect();
    ExportMetricsServiceRequest {
        resource_metrics: vec![ResourceMetrics {
            scope_metrics: vec![ScopeMetrics { metrics, ..ScopeMetrics::default() }],
            ..ResourceMetrics::default()
        }],
    }
}

fn point(reading: &Reading) -> NumberDataPoint {
    let mut attributes: Vec<KeyValue> =
        reading.place.levels().map(|(level, name)| attribute(level, name)).collect();
    attributes.extend(reading.sensor.as_ref().map(|sensor| attribute("sensor", sensor)));
    NumberDataPoint {
        attributes,
        time_unix_nano: (reading.time.unix_micros() * 1_000).unsigned_abs(),
        value: Some(number_data_point::Value::AsDouble(reading.value)),
        ..NumberDataPoint::default()
    }
}

fn attribute(name: &str, value: &str) -> KeyValue {
    KeyValue {
        key: name.to_owned(),
        value: Some(AnyValue { value: Some(any_value::Value::StringValue(value.to_owned())) }),
        ..KeyValue::default()
    }
}
