//! Decompresses a request within its limit: a declared length is checked before a byte is allocated.
//!
//! HTTP body → **compression** → `remote_write`, `otlp`.

use std::io::Read;

use bytes::Bytes;
use flate2::read::MultiGzDecoder;

use crate::decoded::DecodeError;

/// Name of the setting that limits decompressed requests.
const SETTING: &str = "ingest.decompressed_bytes_max";

/// Undoes snappy in block format, as remote write asks for (not the framed format).
///
/// # Errors
/// [`DecodeError::TooLarge`] when the declared length is over `limit`; [`DecodeError::Compression`] when the bytes are
/// not snappy.
pub fn snappy_block(body: &[u8], limit: usize) -> Result<Bytes, DecodeError> {
    let broken = |error: snap::Error| DecodeError::Compression {
        encoding: "snappy (block format)",
        reason: error.to_string(),
    };
    let declared = snap::raw::decompress_len(body).map_err(broken)?;
    if declared > limit {
        return Err(too_large(declared as u64, limit));
    }
    // A byte of snappy makes 64 at most, so a longer length is a lie that would cost memory.
    if declared / 64 > body.len() {
        return Err(DecodeError::Compression {
            encoding: "snappy (block format)",
            reason: format!("{} bytes cannot hold the declared {declared}", body.len()),
        });
    }
    snap::raw::Decoder::new().decompress_vec(body).map(Bytes::from).map_err(broken)
}

/// Undoes gzip.
///
/// # Errors
/// [`DecodeError::TooLarge`] as soon as more than `limit` bytes come out; [`DecodeError::Compression`] when the bytes are
/// not gzip.
pub fn gzip(body: &[u8], limit: usize) -> Result<Bytes, DecodeError> {
    read_within(MultiGzDecoder::new(body), "gzip", limit)
}

/// Undoes zstd (RFC 8878).
///
/// # Errors
/// [`DecodeError::TooLarge`] as soon as more than `limit` bytes come out; [`DecodeError::Compression`] when the bytes are
/// not zstd, or ask for a window above 8 MiB, which the RFC has every decoder support and no sender should exceed.
pub fn zstd(body: &[u8], limit: usize) -> Result<Bytes, DecodeError> {
    const WINDOW_LOG_MAX: u32 = 23;
    let broken =
        |error: std::io::Error| DecodeError::Compression { encoding: "zstd", reason: error.to_string() };
    let mut decoder = zstd::stream::read::Decoder::with_buffer(body).map_err(broken)?;
    decoder.window_log_max(WINDOW_LOG_MAX).map_err(broken)?;
    read_within(decoder, "zstd", limit)
}

fn read_within(decoder: impl Read, encoding: &'static str, limit: usize) -> Result<Bytes, DecodeError> {
    let mut out = Vec::new();
    decoder
        .take(limit as u64 + 1)
        .read_to_end(&mut out)
        .map_err(|error| DecodeError::Compression { encoding, reason: error.to_string() })?;
    if out.len() > limit {
        return Err(too_large(out.len() as u64, limit));
    }
    Ok(out.into())
}

fn too_large(size: u64, limit: usize) -> DecodeError {
    DecodeError::TooLarge {
        what: "bytes of the decompressed request",
        size,
        limit: limit as u64,
        setting: Some(SETTING),
    }
}
