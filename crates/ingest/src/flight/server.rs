//! `DoPut` of Arrow Flight: batches in, one answer for each.
//!
//! An answer to a batch means: synced. Where the stream breaks off, the batches that were answered are stored, and a
//! sender may send the others again, or all: readings that come twice are known.

use std::sync::Arc;

use arrow_flight::decode::{DecodedPayload, FlightDataDecoder};
use arrow_flight::error::FlightError;
use arrow_flight::{FlightData, PutResult};
use futures::stream::{self, BoxStream};
use futures::{Stream, StreamExt};
use serde::Serialize;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

use super::envelope::Envelope;
use super::{PATH, SOURCE, check, decode};
use crate::decoded::{DecodeError, Decoded};
use crate::intake::{Intake, IntakeError, RequestLimits};
use crate::report::Report;

/// What became of a batch: the JSON in `app_metadata` of its [`PutResult`].
#[derive(Debug, Serialize)]
struct Answer {
    /// Readings stored, those that were set aside among them.
    accepted: u64,
    /// Readings stored and not judged: outside the sensor's span, in the future, words that are no state …
    set_aside: u64,
    /// Readings not stored, for a reason that `message` tells.
    refused: u64,
    /// Readings not stored because nobody maps their signal and enough such series are kept.
    unmapped: u64,
    /// Cells without a reading.
    absent: u64,
    /// What was refused and why; left out where nothing was.
    #[serde(skip_serializing_if = "String::is_empty")]
    message: String,
}

impl Answer {
    fn of(report: &Report) -> Self {
        Self {
            accepted: report.accepted,
            set_aside: report.quarantined.values().sum(),
            refused: report.refused_points(),
            unmapped: report.unmapped_counted,
            absent: report.absent,
            message: report.refusal_text(),
        }
    }
}

/// Takes the batches of a stream in, one after the other, and answers each once it is durable.
///
/// - `messages`: the stream of a `DoPut`; its first message has the descriptor with the path [`PATH`].
/// - `limits`: one message may have [`RequestLimits::decompressed_bytes`].
///
/// The answers end with the first error; nothing of that batch, or of those after it, is stored.
///
/// # Errors
/// INVALID_ARGUMENT for another descriptor. In the stream: INVALID_ARGUMENT for columns and messages that cannot be
/// read, RESOURCE_EXHAUSTED with `RetryInfo` when nothing can be taken now.
pub async fn do_put<S>(
    messages: S,
    intake: Arc<dyn Intake>,
    limits: RequestLimits,
) -> Result<BoxStream<'static, Result<PutResult, Status>>, Status>
where
    S: Stream<Item = Result<FlightData, Status>> + Send + 'static,
{
    let mut messages = Box::pin(messages.peekable());
    check_descriptor(messages.as_mut().peek().await)?;
    let mut envelope = Envelope::default();
    let checked = messages.map(move |message| {
        let message = message?;
        check_message(&message, &mut envelope, limits)?;
        Ok(message)
    });
    let puts = Puts { batches: FlightDataDecoder::new(checked), intake };
    Ok(stream::try_unfold(puts, |mut puts| async { Ok(puts.next().await?.map(|result| (result, puts))) })
        .boxed())
}

fn check_descriptor(first: Option<&Result<FlightData, Status>>) -> Result<(), Status> {
    let first = match first {
        Some(Err(status)) => return Err(status.clone()),
        Some(Ok(first)) => Some(first),
        None => None,
    };
    match first.and_then(|first| first.flight_descriptor.as_ref()) {
        Some(descriptor) if descriptor.path == [PATH] => Ok(()),
        other => Err(Status::invalid_argument(format!(
            "telemetry is put with a FlightDescriptor of the path [{PATH:?}] on the first message, not {:?}",
            other.map(|descriptor| &descriptor.path)
        ))),
    }
}

/// Refuses a message that is too large, or that says what is not so. An error is told as [`DecodeError`] later.
fn check_message(
    message: &FlightData,
    envelope: &mut Envelope,
    limits: RequestLimits,
) -> Result<(), FlightError> {
    let refused = |error: DecodeError| FlightError::ExternalError(Box::new(error));
    let size = message.data_header.len() + message.data_body.len();
    if size > limits.decompressed_bytes {
        return Err(refused(DecodeError::TooLarge {
            what: "bytes of one message",
            size: size as u64,
            limit: limits.decompressed_bytes as u64,
            setting: Some("ingest.decompressed_bytes_max"),
        }));
    }
    envelope.check(message).map_err(|problem| refused(DecodeError::Table(problem)))
}

/// Batches on their way in.
struct Puts {
    batches: FlightDataDecoder,
    intake: Arc<dyn Intake>,
}

impl Puts {
    /// The answer to the next batch; `None` at the end of the stream.
    async fn next(&mut self) -> Result<Option<PutResult>, Status> {
        let intake = &*self.intake;
        while let Some(message) = self.batches.next().await {
            match message.map_err(|error| unreadable(intake, error))?.payload {
                DecodedPayload::None => {}
                DecodedPayload::Schema(schema) => check(&schema).map_err(|error| refused(intake, error))?,
                DecodedPayload::RecordBatch(batch) => {
                    let decoded = decode(&batch).map_err(|error| refused(intake, error))?;
                    return take_in(intake, decoded).await.map(Some);
                }
            }
        }
        Ok(None)
    }
}

async fn take_in(intake: &dyn Intake, decoded: Decoded) -> Result<PutResult, Status> {
    let report = intake.take_in(decoded).await.map_err(|error| status_of(&error))?;
    let answer = serde_json::to_vec(&Answer::of(&report))
        .map_err(|error| Status::internal(format!("the answer cannot be written: {error}")))?;
    Ok(PutResult { app_metadata: answer.into() })
}

fn refused(intake: &dyn Intake, error: DecodeError) -> Status {
    intake.note_unreadable(SOURCE, &error);
    status_of(&error.into())
}

fn unreadable(intake: &dyn Intake, error: FlightError) -> Status {
    match error {
        FlightError::Tonic(status) => *status,
        FlightError::ExternalError(error) => match error.downcast::<DecodeError>() {
            Ok(error) => refused(intake, *error),
            Err(error) => refused(intake, DecodeError::Table(error.to_string())),
        },
        FlightError::Arrow(_)
        | FlightError::NotYetImplemented(_)
        | FlightError::ProtocolError(_)
        | FlightError::DecodeError(_) => refused(intake, DecodeError::Table(error.to_string())),
    }
}

/// The status of a batch of which nothing was stored. Flight's clients take RESOURCE_EXHAUSTED for "come again".
fn status_of(error: &IntakeError) -> Status {
    match error {
        IntakeError::RateLimited { retry_after, .. } | IntakeError::Overloaded { retry_after, .. } => {
            let details = ErrorDetails::with_retry_info(Some(*retry_after));
            Status::with_error_details(Code::ResourceExhausted, error.to_string(), details)
        }
        IntakeError::Unreadable(_) | IntakeError::Internal { .. } => crate::otlp::grpc::status_of(error),
    }
}
