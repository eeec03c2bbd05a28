//! `thermogate.advisory.v1.AdvisoryService`.

use std::sync::Arc;
use std::time::Duration;

use telemetry::Microseconds;
use tonic::{Code, Request, Response, Status};
use tonic_types::{ErrorDetails, StatusExt};
use wire::advisory::v1 as pb;
use wire::advisory::v1::advisory_service_server::AdvisoryService;

use super::convert;
use crate::advice::desk::Desk;
use crate::advice::forecast::{ForecastQuestion, Method};
use crate::advice::peers::{PeerLevel, PeersQuestion};
use crate::advice::{AdviceError, message};
use crate::pipeline::control::ControlError;

/// The advisory service over its desk.
pub struct AdvisoryApi(pub Arc<Desk>);

/// A length of time that was given.
fn length(
    field: &'static str,
    duration: Option<prost_types::Duration>,
) -> Result<Option<Microseconds>, AdviceError> {
    convert::length(field, duration).map_err(|error| match error {
        ControlError::Field { field, message } => AdviceError::Field { field, message },
        other => AdviceError::Internal { message: other.to_string() },
    })
}

fn forecast_question(request: pb::ForecastRequest) -> Result<ForecastQuestion, AdviceError> {
    let method = match pb::Method::try_from(request.method) {
        Ok(pb::Method::Unspecified) => Method::Chosen,
        Ok(pb::Method::Smoothing) => Method::Smoothing,
        Ok(pb::Method::Daily) => Method::Daily,
        Err(_) => {
            return Err(AdviceError::Field { field: "method", message: "is none that is known".to_owned() });
        }
    };
    Ok(ForecastQuestion {
        rack: request.rack,
        cooling_loop: request.r#loop,
        node: request.node,
        device: request.device,
        signal: request.signal,
        sensor: request.sensor,
        horizon: length("horizon", request.horizon)?,
        window: length("window", request.window)?,
        level: request.level,
        limit: request.limit,
        method,
    })
}

fn peers_question(request: pb::ComparePeersRequest) -> Result<PeersQuestion, AdviceError> {
    let level = match pb::PeerLevel::try_from(request.level) {
        Ok(pb::PeerLevel::Unspecified | pb::PeerLevel::Gpu) => PeerLevel::Gpu,
        Ok(pb::PeerLevel::Tray) => PeerLevel::Tray,
        Err(_) => {
            return Err(AdviceError::Field { field: "level", message: "is none that is known".to_owned() });
        }
    };
    Ok(PeersQuestion { rack: request.rack, level, window: length("window", request.window)? })
}

#[tonic::async_trait]
impl AdvisoryService for AdvisoryApi {
    async fn forecast(
        &self,
        request: Request<pb::ForecastRequest>,
    ) -> Result<Response<pb::ForecastResponse>, Status> {
        let question = forecast_question(request.into_inner()).map_err(|error| status(&error))?;
        let answer = self.0.forecast(question).await.map_err(|error| status(&error))?;
        Ok(Response::new(message::forecast(&answer)))
    }

    async fn compare_peers(
        &self,
        request: Request<pb::ComparePeersRequest>,
    ) -> Result<Response<pb::ComparePeersResponse>, Status> {
        let question = peers_question(request.into_inner()).map_err(|error| status(&error))?;
        let answer = self.0.compare(question).await.map_err(|error| status(&error))?;
        Ok(Response::new(message::peers(&answer)))
    }
}

/// An error with the details that its kind has.
fn status(error: &AdviceError) -> Status {
    /// When a caller who was refused for want of room asks again: a forecast takes milliseconds.
    const AGAIN: Duration = Duration::from_secs(1);
    let text = error.to_string();
    match error {
        AdviceError::Field { field, message } => {
            let mut details = super::error_info("FIELD", &[("field", field)]);
            details.add_bad_request_violation(*field, message);
            Status::with_error_details(Code::InvalidArgument, text, details)
        }
        AdviceError::NotFound { kind, name, .. } => {
            let mut details = super::error_info("NOT_FOUND", &[("kind", kind), ("name", name)]);
            details.set_resource_info(*kind, name, "", &text);
            Status::with_error_details(Code::NotFound, text, details)
        }
        AdviceError::Busy { .. } => {
            let mut details = super::error_info("BUSY", &[]);
            details.add_quota_failure_violation("thermogate.advisory.v1.AdvisoryService", &text);
            Status::with_error_details(Code::ResourceExhausted, text, with_retry(details, AGAIN))
        }
        AdviceError::TooSlow { .. } => {
            Status::with_error_details(Code::DeadlineExceeded, text, super::error_info("TOO_SLOW", &[]))
        }
        AdviceError::Unavailable { .. } => {
            let details = with_retry(super::error_info("UNAVAILABLE", &[]), AGAIN);
            Status::with_error_details(Code::Unavailable, text, details)
        }
        AdviceError::Internal { .. } => {
            Status::with_error_details(Code::Internal, text, super::error_info("INTERNAL", &[]))
        }
    }
}

fn with_retry(mut details: ErrorDetails, after: Duration) -> ErrorDetails {
    details.set_retry_info(Some(after));
    details
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_finds_no_room_is_told_when_to_ask_again() {
        let told = status(&AdviceError::Busy { questions_max: 8 });
        assert_eq!(told.code(), Code::ResourceExhausted);
        let details = told.get_error_details();
        assert_eq!(details.retry_info().and_then(|info| info.retry_delay), Some(Duration::from_secs(1)));
        assert_eq!(details.error_info().map(|info| info.reason.as_str()), Some("BUSY"));
        assert_eq!(details.quota_failure().map(|failure| failure.violations.len()), Some(1));
    }
}
