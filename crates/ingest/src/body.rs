//! Reads an HTTP body within its limit, has it taken in, and says with which status a refusal is answered.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use axum::http::StatusCode;
use axum::http::header::CONTENT_LENGTH;
use bytes::{Bytes, BytesMut};
use tokio::runtime::Handle;
use tokio_stream::StreamExt;

use crate::decoded::{DecodeError, Decoded};
use crate::intake::{Intake, IntakeError, RequestLimits};
use crate::report::Report;

/// How a sender that broke off its request may come again.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// What the routes of telemetry over HTTP share.
#[derive(Clone)]
pub struct HttpIntake {
    /// Who keeps what comes in.
    pub intake: Arc<dyn Intake>,
    /// Limits of one request.
    pub limits: RequestLimits,
    /// Where bodies are decoded and taken in. They are read where their connection is served: a piece of a body need not
    /// wake a thread that waits for the next.
    pub threads: Handle,
}

impl HttpIntake {
    /// Reads a request's body, and decodes and takes it in on the threads for that.
    pub(crate) async fn take_in(
        self,
        source: &'static str,
        request: Request<Body>,
        decode: impl FnOnce(Bytes) -> Result<Decoded, DecodeError> + Send + 'static,
    ) -> Result<Report, IntakeError> {
        let body = match read(request, self.limits).await {
            Ok(body) => Ok(body),
            Err(Unread::Refused(error)) => Err(error),
            Err(Unread::Broken(message)) => {
                return Err(IntakeError::Overloaded { message, retry_after: RETRY_AFTER });
            }
        };
        let Self { intake, threads, .. } = self;
        let taken = threads.spawn(async move {
            match body.and_then(decode) {
                Ok(decoded) => intake.take_in(decoded).await,
                Err(error) => {
                    intake.note_unreadable(source, &error);
                    Err(error.into())
                }
            }
        });
        taken.await.unwrap_or_else(|error| {
            tracing::error!(source, %error, "a request was not taken in");
            Err(IntakeError::Internal { message: format!("the request was not taken in: {error}") })
        })
    }
}

/// Why there is no body.
enum Unread {
    /// It is too large.
    Refused(DecodeError),
    /// The connection broke; nobody will read the answer.
    Broken(String),
}

/// Reads the whole body; stops at the first byte over the limit, and before the first when the length is declared.
async fn read(request: Request<Body>, limits: RequestLimits) -> Result<Bytes, Unread> {
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
