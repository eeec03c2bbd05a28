//! The seam between protocol servers and whoever keeps what they take in.
//!
//! servers → **intake** → `service` (front, log). An answer means: synced.

use std::time::Duration;

use async_trait::async_trait;

use crate::decoded::{DecodeError, Decoded};
use crate::report::Report;

/// Takes decoded requests; returns once they are durable.
#[async_trait]
pub trait Intake: Send + Sync + 'static {
    /// Takes a request in and answers after it is synced.
    ///
    /// # Errors
    /// [`IntakeError`], sorted by who must act; in every case nothing of the request is stored.
    async fn take_in(&self, decoded: Decoded) -> Result<Report, IntakeError>;

    /// Tells that a request was refused before it came this far, for the metrics.
    fn note_unreadable(&self, source: &'static str, error: &DecodeError) {
        tracing::debug!(source, %error, "a request was refused whole");
    }
}

/// Why nothing of a request was taken.
#[derive(Debug, Clone, thiserror::Error)]
pub enum IntakeError {
    /// The sender's fault: refused whole, never to be sent again.
    #[error(transparent)]
    Unreadable(#[from] DecodeError),
    /// This sender comes too often.
    #[error("{message}")]
    RateLimited {
        /// Which limit and setting.
        message: String,
        /// When to come again.
        retry_after: Duration,
    },
    /// Back-pressure or a fault of ours that may pass: a resend is safe.
    #[error("{message}")]
    Overloaded {
        /// What is full or broken.
        message: String,
        /// When to come again.
        retry_after: Duration,
    },
    /// A fault of ours that a resend may or may not get around.
    #[error("{message}")]
    Internal {
        /// What is broken.
        message: String,
    },
}

/// Limits on one request, from the settings `ingest.request_bytes_max` and `ingest.decompressed_bytes_max`.
#[derive(Debug, Clone, Copy)]
pub struct RequestLimits {
    /// Bytes as sent.
    pub request_bytes: usize,
    /// Bytes after decompression.
    pub decompressed_bytes: usize,
}

impl Default for RequestLimits {
    fn default() -> Self {
        Self { request_bytes: 16 << 20, decompressed_bytes: 64 << 20 }
    }
}

impl RequestLimits {
    /// The error for a body that is larger than [`RequestLimits::request_bytes`].
    pub(crate) fn request_too_large(&self, size: Option<u64>) -> DecodeError {
        DecodeError::TooLarge {
            what: "bytes of the request",
            size: size.unwrap_or(self.request_bytes as u64 + 1),
            limit: self.request_bytes as u64,
            setting: Some("ingest.request_bytes_max"),
        }
    }
}
