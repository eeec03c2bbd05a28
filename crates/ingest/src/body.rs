//! Reads an HTTP body within its limit, and says with which status a refusal is answered.

use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use axum::http::StatusCode;
use axum::http::header::CONTENT_LENGTH;
use bytes::{Bytes, BytesMut};
use tokio_stream::StreamExt;

use crate::decoded::DecodeError;
use crate::intake::{IntakeError, RequestLimits};

/// Why there is no body.
pub(crate) enum Unread {
    /// It is too large.
    Refused(DecodeError),
    /// The connection broke; nobody will read the answer.
    Broken(String),
}

/// Reads the whole body; stops at the first byte over the limit, and before the first when the length is declared.
pub(crate) async fn read(request: Request<Body>, limits: RequestLimits) -> Result<Bytes, Unread> {
    let declared =
        request.headers().get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    if declared.is_some_and(|length| length > limits.request_bytes as u64) {
        return Err(Unread::Refused(limits.request_too_large(declared)));
    }
    let mut chunks = request.into_body().into_data_stream();
    let mut whole = BytesMut::with_capacity(declared.map_or(0, |length| length as usize));
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(|error| Unread::Broken(format!("the body broke off: {error}")))?;
        if whole.len() + chunk.len() > limits.request_bytes {
            return Err(Unread::Refused(limits.request_too_large(None)));
        }
        whole.extend_from_slice(&chunk);
    }
    Ok(whole.freeze())
}

/// The status of a refusal and, where the sender may come again, after how many seconds.
pub(crate) fn http_status(error: &IntakeError) -> (StatusCode, Option<u64>) {
    match error {
        IntakeError::Unreadable(DecodeError::TooLarge { .. }) => (StatusCode::PAYLOAD_TOO_LARGE, None),
        IntakeError::Unreadable(
            DecodeError::Torn { .. }
            | DecodeError::Compression { .. }
            | DecodeError::Table(_)
            | DecodeError::Labels { .. },
        ) => (StatusCode::BAD_REQUEST, None),
        IntakeError::RateLimited { retry_after, .. } => {
            (StatusCode::TOO_MANY_REQUESTS, Some(whole_seconds(*retry_after)))
        }
        IntakeError::Overloaded { retry_after, .. } => {
            (StatusCode::SERVICE_UNAVAILABLE, Some(whole_seconds(*retry_after)))
        }
        IntakeError::Internal { .. } => (StatusCode::INTERNAL_SERVER_ERROR, None),
    }
}

fn whole_seconds(length: Duration) -> u64 {
    length.as_secs() + u64::from(length.subsec_nanos() > 0)
}
