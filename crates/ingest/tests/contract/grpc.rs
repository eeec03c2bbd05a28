//! OTLP over gRPC, with the client that collectors use.

use std::sync::Arc;
use std::time::Duration;

use ingest::otlp::grpc::MetricsServer;
use ingest::{IntakeError, RequestLimits};
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::metrics_service_client::MetricsServiceClient;
use prost::Message;
use tonic::codec::CompressionEncoding;
use tonic::transport::Channel;
use tonic::{Code, Status};
use tonic_types::StatusExt;

use super::senders::{Otlp, Source, TestIntake, batches, reading, supply};

const LIMITS: RequestLimits = RequestLimits { request_bytes: 4_096, decompressed_bytes: 16_384 };

async fn client(intake: Arc<TestIntake>) -> MetricsServiceClient<Channel> {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let incoming = tokio_stream::wrappers::TcpListenerStream::new(listener);
    let server = tonic::transport::Server::builder().add_service(MetricsServer::new(intake, LIMITS));
    tokio::spawn(server.serve_with_incoming(incoming));
    MetricsServiceClient::connect(format!("http://{address}")).await.unwrap()
}

fn request(readings: &[super::senders::Reading]) -> ExportMetricsServiceRequest {
    ExportMetricsServiceRequest::decode(&*Otlp::encode(readings)).unwrap()
}

async fn refused(intake: &Arc<TestIntake>, request: ExportMetricsServiceRequest) -> Status {
    client(intake.clone()).await.export(request).await.unwrap_err()
}

#[tokio::test]
async fn what_is_stored_is_ok_plain_and_compressed() {
    let intake = TestIntake::new();
    let plain = client(intake.clone()).await;
    for mut client in [
        plain.clone(),
        plain.clone().send_compressed(CompressionEncoding::Gzip),
        plain.send_compressed(CompressionEncoding::Zstd),
    ] {
        let answer = client.export(request(&[supply("r1", 0, 31.0)])).await.unwrap().into_inner();
        assert_eq!(answer.partial_success, None);
    }
    assert_eq!(batches(&intake.log.lock().unwrap()).len(), 3);
}

#[tokio::test]
async fn some_refused_points_are_a_partial_success() {
    let intake = TestIntake::new();
    let readings = [reading("coolant_flow_celsius", &[("rack", "r1")], 0, 1.0), supply("r1", 0, 31.0)];
    let answer = client(intake.clone()).await.export(request(&readings)).await.unwrap().into_inner();
    let partial = answer.partial_success.unwrap();
    assert_eq!(partial.rejected_data_points, 1);
    assert!(partial.error_message.contains("the rest is stored"), "{}", partial.error_message);
    assert_eq!(batches(&intake.log.lock().unwrap()).len(), 1);
}

#[tokio::test]
async fn what_cannot_be_read_is_invalid_argument_with_its_violation() {
    let intake = TestIntake::new();
    let status = refused(&intake, request(&[reading("", &[("rack", "r1")], 0, 1.0)])).await;
    assert_eq!(status.code(), Code::InvalidArgument);
    let violations = status.get_details_bad_request().unwrap().field_violations;
    assert!(violations[0].description.contains("the metric has no name"), "{violations:?}");
}

#[tokio::test]
async fn what_is_too_large_is_never_to_be_sent_again() {
    let intake = TestIntake::new();
    let readings: Vec<_> = (0..1_000).map(|index| supply("r1", index, 31.0)).collect();
    let status = refused(&intake, request(&readings)).await;
    assert_eq!(status.code(), Code::InvalidArgument, "OUT_OF_RANGE would be retried for ever");
    assert!(status.message().contains("raise ingest.decompressed_bytes_max"), "{}", status.message());
    let mut compressed = client(intake).await.send_compressed(CompressionEncoding::Gzip);
    let status = compressed.export(request(&readings)).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    assert!(status.message().contains("raise ingest.decompressed_bytes_max"), "{}", status.message());
}

#[tokio::test]
async fn back_pressure_carries_retry_info_without_which_a_sender_gives_up() {
    let intake = TestIntake::new();
    let retry_after = Duration::from_secs(2);
    let cases = [
        (IntakeError::Overloaded { message: "the log is full".into(), retry_after }, Code::Unavailable),
        (IntakeError::RateLimited { message: "too often".into(), retry_after }, Code::ResourceExhausted),
    ];
    for (error, code) in cases {
        *intake.refuse.lock().unwrap() = Some(error);
        let status = refused(&intake, request(&[supply("r1", 0, 31.0)])).await;
        assert_eq!(status.code(), code);
        assert_eq!(status.get_details_retry_info().unwrap().retry_delay, Some(retry_after));
    }
}
