//! `opentelemetry.proto.collector.metrics.v1.MetricsService` over gRPC.
//!
//! Written on tonic's server directly, in the form of its generated code, because the request stays bytes: our own
//! decoder reads it.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Buf, BufMut, Bytes};
use opentelemetry_proto::tonic::collector::metrics::v1::{
    ExportMetricsPartialSuccess, ExportMetricsServiceResponse,
};
use prost::Message as _;
use tonic::codec::{
    Codec, CompressionEncoding, DecodeBuf, Decoder, EnabledCompressionEncodings, EncodeBuf, Encoder,
};
use tonic::server::{Grpc, NamedService, UnaryService};
use tonic::{Code, Request, Response, Status};
use tonic_types::{ErrorDetails, StatusExt};

use super::SOURCE;
use crate::decoded::DecodeError;
use crate::intake::{Intake, IntakeError, RequestLimits};
use crate::report::Report;

/// The service as a tower service, for `tonic::transport::Server::add_service`.
#[derive(Clone)]
pub struct MetricsServer {
    intake: Arc<dyn Intake>,
    limits: RequestLimits,
}

impl MetricsServer {
    /// Takes in what senders export.
    pub fn new(intake: Arc<dyn Intake>, limits: RequestLimits) -> Self {
        Self { intake, limits }
    }
}

impl NamedService for MetricsServer {
    const NAME: &'static str = "opentelemetry.proto.collector.metrics.v1.MetricsService";
}

const EXPORT: &str = "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export";

type Answer<T> = Pin<Box<dyn Future<Output = T> + Send>>;

impl<B> tonic::codegen::Service<axum::http::Request<B>> for MetricsServer
where
    B: axum::body::HttpBody + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>> + Send,
{
    type Response = axum::http::Response<tonic::body::Body>;
    type Error = Infallible;
    type Future = Answer<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: axum::http::Request<B>) -> Self::Future {
        let server = self.clone();
        Box::pin(async move {
            if request.uri().path() != EXPORT {
                return Ok(Status::unimplemented("this service has the method Export only").into_http());
            }
            let mut encodings = EnabledCompressionEncodings::default();
            encodings.enable(CompressionEncoding::Gzip);
            encodings.enable(CompressionEncoding::Zstd);
            let limits = server.limits;
            let intake = server.intake.clone();
            let response = Grpc::new(BytesCodec)
                .apply_compression_config(encodings, EnabledCompressionEncodings::default())
                .apply_max_message_size_config(Some(limits.decompressed_bytes), None)
                .unary(server, request)
                .await;
            Ok(without_retry_of_too_large(response, &*intake, limits))
        })
    }
}

/// tonic answers OUT_OF_RANGE to a message over the limit, which OTLP senders retry for ever; INVALID_ARGUMENT ends it.
fn without_retry_of_too_large(
    response: axum::http::Response<tonic::body::Body>,
    intake: &dyn Intake,
    limits: RequestLimits,
) -> axum::http::Response<tonic::body::Body> {
    let code = response.headers().get("grpc-status").map(|code| Code::from_bytes(code.as_bytes()));
    let told = Status::from_header_map(response.headers())
        .map(|status| status.message().to_owned())
        .unwrap_or_default();
    let too_large = code == Some(Code::OutOfRange)
        || code == Some(Code::ResourceExhausted) && told.contains("size limit");
    if !too_large {
        return response;
    }
    let error = DecodeError::TooLarge {
        what: "bytes of the decompressed request",
        size: limits.decompressed_bytes as u64 + 1,
        limit: limits.decompressed_bytes as u64,
        setting: Some("ingest.decompressed_bytes_max"),
    };
    intake.note_unreadable(SOURCE, &error);
    status_of(&error.into()).into_http()
}

impl UnaryService<Bytes> for MetricsServer {
    type Response = Bytes;
    type Future = Answer<Result<Response<Bytes>, Status>>;

    fn call(&mut self, request: Request<Bytes>) -> Self::Future {
        let intake = self.intake.clone();
        Box::pin(async move {
            let taken = match super::decode(request.into_inner()) {
                Ok(decoded) => intake.take_in(decoded).await,
                Err(error) => {
                    intake.note_unreadable(SOURCE, &error);
                    Err(error.into())
                }
            };
            match taken {
                Ok(report) => Ok(Response::new(Bytes::from(answer(&report).encode_to_vec()))),
                Err(error) => Err(status_of(&error)),
            }
        })
    }
}

/// What the sender is told about a request whose points were stored, or most of them.
pub(super) fn answer(report: &Report) -> ExportMetricsServiceResponse {
    let (refusal, warning) = (report.refusal_text(), report.warning_text());
    let error_message = match (refusal.is_empty(), warning.is_empty()) {
        (true, true) => return ExportMetricsServiceResponse { partial_success: None },
        (false, false) => format!("{refusal}; {warning}"),
        (false, true) => refusal,
        (true, false) => warning,
    };
    let rejected_data_points = i64::try_from(report.refused_points()).unwrap_or(i64::MAX);
    ExportMetricsServiceResponse {
        partial_success: Some(ExportMetricsPartialSuccess { rejected_data_points, error_message }),
    }
}

/// The status of a request of which nothing was stored.
pub(crate) fn status_of(error: &IntakeError) -> Status {
    let text = error.to_string();
    let retry = |after: Duration| ErrorDetails::with_retry_info(Some(after));
    match error {
        IntakeError::Unreadable(reason) => {
            let details = ErrorDetails::with_bad_request_violation("request", reason.to_string());
            Status::with_error_details(Code::InvalidArgument, text, details)
        }
        IntakeError::RateLimited { retry_after, .. } => {
            Status::with_error_details(Code::ResourceExhausted, text, retry(*retry_after))
        }
        IntakeError::Overloaded { retry_after, .. } => {
            Status::with_error_details(Code::Unavailable, text, retry(*retry_after))
        }
        IntakeError::Internal { .. } => Status::internal(text),
    }
}

/// Messages as bytes: decoding is ours, and the answer is encoded already.
#[derive(Debug, Clone, Copy, Default)]
struct BytesCodec;

impl Codec for BytesCodec {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for BytesCodec {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, out: &mut EncodeBuf<'_>) -> Result<(), Status> {
        out.put(item);
        Ok(())
    }
}

impl Decoder for BytesCodec {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, source: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(source.copy_to_bytes(source.remaining())))
    }
}
