//! `POST /api/v1/write`: Prometheus remote write 1.0 and 2.0 over HTTP.
//!
//! Statuses: 204 durable; 400 unreadable, or some samples refused after the rest was stored; 413 too large; 415 not
//! spoken here; 429 and 503 nothing stored, come again.

use axum::Router;
use axum::extract::{Request, State};
use axum::http::header::{CONTENT_ENCODING, CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use bytes::Bytes;

use super::{SOURCE, decode_v1, decode_v2};
use crate::body::{self, HttpIntake};
use crate::compression::snappy_block;
use crate::decoded::{DecodeError, Decoded};
use crate::intake::RequestLimits;
use crate::report::Report;

/// The path that senders post to.
pub const PATH: &str = "/api/v1/write";

/// The route of remote write.
pub fn router(intake: HttpIntake) -> Router {
    Router::new().route(PATH, post(write)).with_state(intake)
}

/// Which message a request holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Version {
    One,
    Two,
}

async fn write(State(intake): State<HttpIntake>, request: Request) -> Response {
    let version = match version(request.headers()) {
        Ok(version) => version,
        Err(message) => return counted(StatusCode::UNSUPPORTED_MEDIA_TYPE, message, None, Version::Two),
    };
    let limits = intake.limits;
    let taken = intake.take_in(SOURCE, request, move |body| decode(&body, limits, version)).await;
    let (status, message, retry_after, report) = match taken {
        Ok(report) => {
            let text = report.refusal_text();
            let status = if text.is_empty() { StatusCode::NO_CONTENT } else { StatusCode::BAD_REQUEST };
            (status, text, None, report)
        }
        Err(error) => {
            let (status, retry_after) = body::http_status(&error);
            (status, error.to_string(), retry_after, Report::default())
        }
    };
    let mut response = counted(status, message, Some(&report), version);
    if let Some(seconds) = retry_after {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

/// Decompresses and decodes a body.
fn decode(body: &[u8], limits: RequestLimits, version: Version) -> Result<Decoded, DecodeError> {
    // An empty body is an empty request, even though snappy would write one byte.
    let message = if body.is_empty() { Bytes::new() } else { snappy_block(body, limits.decompressed_bytes)? };
    match version {
        Version::One => decode_v1(message),
        Version::Two => decode_v2(message),
    }
}

/// The message that Content-Type and Content-Encoding declare. The version header is only informative.
fn version(headers: &HeaderMap) -> Result<Version, String> {
    match headers.get(CONTENT_ENCODING).map(HeaderValue::as_bytes) {
        Some(encoding) if encoding.eq_ignore_ascii_case(b"snappy") => {}
        // Senders before 1.0 of the specification left the header out.
        None => {}
        Some(other) => {
            let other = String::from_utf8_lossy(other);
            return Err(format!(
                "content encoding {other:?} is not spoken here: send snappy in block format"
            ));
        }
    }
    let declared = headers.get(CONTENT_TYPE).map_or("", |value| value.to_str().unwrap_or("?"));
    let mut parts = declared.split(';').map(str::trim);
    if parts.next().is_none_or(|essence| !essence.eq_ignore_ascii_case("application/x-protobuf")) {
        return Err(format!(
            "content type {declared:?} is not spoken here: send application/x-protobuf, \
             optionally with ;proto=prometheus.WriteRequest or ;proto=io.prometheus.write.v2.Request"
        ));
    }
    let proto =
        parts.filter_map(|part| part.split_once('=')).find(|(name, _)| name.eq_ignore_ascii_case("proto"));
    match proto.map(|(_, value)| value.trim_matches('"')) {
        None | Some("prometheus.WriteRequest") => Ok(Version::One),
        Some("io.prometheus.write.v2.Request") => Ok(Version::Two),
        Some(other) => Err(format!(
            "message {other:?} is not spoken here: send prometheus.WriteRequest or io.prometheus.write.v2.Request"
        )),
    }
}

/// An answer with plain text and, for 2.0, the counts of what was written, which stand on every answer.
fn counted(status: StatusCode, text: String, report: Option<&Report>, version: Version) -> Response {
    let mut response =
        if text.is_empty() { status.into_response() } else { (status, text + "\n").into_response() };
    if version == Version::Two {
        let (samples, histograms) = report.map_or((0, 0), |report| {
            (report.accepted - report.histogram_points, report.histogram_points / 2)
        });
        let headers = response.headers_mut();
        headers.insert("x-prometheus-remote-write-samples-written", HeaderValue::from(samples));
        headers.insert("x-prometheus-remote-write-histograms-written", HeaderValue::from(histograms));
        headers.insert("x-prometheus-remote-write-exemplars-written", HeaderValue::from(0));
    }
    response
}
