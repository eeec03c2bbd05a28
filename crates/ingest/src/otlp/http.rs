//! `POST /v1/metrics`: OTLP over HTTP, as protobuf or JSON, answered in kind.

use axum::Router;
use axum::extract::{Request, State};
use axum::http::header::{CONTENT_ENCODING, CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use bytes::Bytes;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use prost::Message as _;
use serde_json::json;

use super::SOURCE;
use super::grpc::{answer, status_of};
use crate::body::{self, HttpIntake};
use crate::compression::{gzip, zstd};
use crate::decoded::{DecodeError, Decoded};
use crate::intake::{IntakeError, RequestLimits};
use crate::report::Report;

/// The path that senders post to.
pub const PATH: &str = "/v1/metrics";

/// The route of OTLP metrics.
pub fn router(intake: HttpIntake) -> Router {
    Router::new().route(PATH, post(export)).with_state(intake)
}

/// How request and answer are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Protobuf,
    Json,
}

impl Form {
    const fn content_type(self) -> &'static str {
        match self {
            Self::Protobuf => "application/x-protobuf",
            Self::Json => "application/json",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Encoding {
    Plain,
    Gzip,
    Zstd,
}

async fn export(State(intake): State<HttpIntake>, request: Request) -> Response {
    let (form, encoding) = match declared(request.headers()) {
        Ok(declared) => declared,
        Err(message) => return (StatusCode::UNSUPPORTED_MEDIA_TYPE, message + "\n").into_response(),
    };
    let limits = intake.limits;
    match intake.take_in(SOURCE, request, move |body| decode(body, limits, form, encoding)).await {
        Ok(report) => success(&report, form),
        Err(error) => failure(&error, form),
    }
}

fn declared(headers: &HeaderMap) -> Result<(Form, Encoding), String> {
    let text = |name| headers.get(name).map_or("", |value: &HeaderValue| value.to_str().unwrap_or("?"));
    let content_type = text(CONTENT_TYPE);
    let form = match content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase().as_str() {
        "application/x-protobuf" => Form::Protobuf,
        "application/json" => Form::Json,
        _ => {
            return Err(format!(
                "content type {content_type:?} is not spoken here: send application/x-protobuf or application/json"
            ));
        }
    };
    let encoding = match text(CONTENT_ENCODING).to_ascii_lowercase().as_str() {
        "" | "identity" => Encoding::Plain,
        "gzip" => Encoding::Gzip,
        "zstd" => Encoding::Zstd,
        other => {
            return Err(format!("content encoding {other:?} is not spoken here: send gzip, zstd or none"));
        }
    };
    Ok((form, encoding))
}

fn decode(
    body: Bytes,
    limits: RequestLimits,
    form: Form,
    encoding: Encoding,
) -> Result<Decoded, DecodeError> {
    let body = match encoding {
        Encoding::Plain => body,
        Encoding::Gzip => gzip(&body, limits.decompressed_bytes)?,
        Encoding::Zstd => zstd(&body, limits.decompressed_bytes)?,
    };
    match form {
        Form::Protobuf => super::decode(body),
        Form::Json => super::decode(protobuf_of_json(&body)?),
    }
}

/// JSON takes the way over the protobuf message, so that both forms mean the same by construction.
fn protobuf_of_json(body: &[u8]) -> Result<Bytes, DecodeError> {
    let request: ExportMetricsServiceRequest =
        serde_json::from_slice(body).map_err(|error| DecodeError::Torn {
            message: "ExportMetricsServiceRequest as JSON",
            at: offset(body, error.line(), error.column()),
            what: error.to_string(),
        })?;
    Ok(request.encode_to_vec().into())
}

fn offset(body: &[u8], line: usize, column: usize) -> usize {
    let before: usize =
        body.split(|byte| *byte == b'\n').take(line.saturating_sub(1)).map(|line| line.len() + 1).sum();
    before + column.saturating_sub(1)
}

fn success(report: &Report, form: Form) -> Response {
    let answer = answer(report);
    let body = match form {
        Form::Protobuf => answer.encode_to_vec(),
        Form::Json => match answer.partial_success {
            None => b"{}".to_vec(),
            // 64-bit integers are strings in proto3 JSON.
            Some(partial) => json!({"partialSuccess": {
                "rejectedDataPoints": partial.rejected_data_points.to_string(),
                "errorMessage": partial.error_message,
            }})
            .to_string()
            .into_bytes(),
        },
    };
    (StatusCode::OK, [(CONTENT_TYPE, form.content_type())], body).into_response()
}

/// A `google.rpc.Status` as body, with the status and headers that the sender acts on.
fn failure(error: &IntakeError, form: Form) -> Response {
    let (status, retry_after) = body::http_status(error);
    let rpc = status_of(error);
    let body = match form {
        Form::Protobuf if !rpc.details().is_empty() => rpc.details().to_vec(),
        Form::Protobuf => {
            let status = tonic_types::Status {
                code: rpc.code() as i32,
                message: rpc.message().to_owned(),
                details: vec![],
            };
            status.encode_to_vec()
        }
        Form::Json => json!({"code": rpc.code() as i32, "message": rpc.message()}).to_string().into_bytes(),
    };
    let mut response = (status, [(CONTENT_TYPE, form.content_type())], body).into_response();
    if let Some(seconds) = retry_after {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}
