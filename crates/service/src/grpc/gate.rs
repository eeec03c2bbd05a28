//! `thermogate.gate.v1.GateService`.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures::Stream;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};
use wire::gate::v1 as pb;
use wire::gate::v1::gate_service_server::GateService;
use wire::gate::v1::watch_evaluation_request::Question;

use super::{convert, status};
use crate::gates::Asked;
use crate::pipeline::control::ControlError;
use crate::shared::Shared;

/// The gate service over the shared state.
pub struct GateApi(pub Arc<Shared>);

/// What is left of a call's deadline is for the answer itself.
const ANSWER_TIME: Duration = Duration::from_millis(250);
/// A watch without a deadline of its caller ends after this; the caller asks again.
const WATCH_MAX: Duration = Duration::from_secs(24 * 3600);

/// How long a call may wait: what it asks for, less than its deadline, so that it gets PENDING and not an error.
fn patience<T>(request: &Request<T>, wanted: Duration) -> Duration {
    let deadline =
        request.metadata().get("grpc-timeout").and_then(|value| value.to_str().ok()).and_then(grpc_timeout);
    match deadline {
        None => wanted,
        Some(deadline) => wanted.min(deadline.saturating_sub(ANSWER_TIME)),
    }
}

/// `grpc-timeout`: digits and a unit, by the gRPC protocol over HTTP/2.
fn grpc_timeout(text: &str) -> Option<Duration> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let number: u64 = digits.parse().ok()?;
    match unit {
        "H" => number.checked_mul(3600).map(Duration::from_secs),
        "M" => number.checked_mul(60).map(Duration::from_secs),
        "S" => Some(Duration::from_secs(number)),
        "m" => Some(Duration::from_millis(number)),
        "u" => Some(Duration::from_micros(number)),
        "n" => Some(Duration::from_nanos(number)),
        _ => None,
    }
}

fn asked(request: pb::EvaluateRequest) -> Result<Asked, ControlError> {
    Ok(Asked {
        gate: request.gate,
        policy_document: request.policy_document,
        racks: request.racks.iter().map(|rack| rack.as_str().into()).collect(),
        run: (!request.run_id.is_empty()).then(|| request.run_id.as_str().into()),
        request_id: request.request_id,
        not_before: convert::event_time("not_before", request.not_before)?,
    })
}

#[tonic::async_trait]
impl GateService for GateApi {
    type WatchEvaluationStream =
        Pin<Box<dyn Stream<Item = Result<pb::WatchEvaluationResponse, Status>> + Send>>;

    async fn evaluate(
        &self,
        request: Request<pb::EvaluateRequest>,
    ) -> Result<Response<pb::EvaluateResponse>, Status> {
        let wanted = convert::length("wait", request.get_ref().wait).map_err(|error| status(&error))?;
        let wanted = Duration::from_micros(wanted.map_or(0, |wait| wait.get().max(0).unsigned_abs()));
        let patience = patience(&request, wanted);
        let asked = asked(request.into_inner()).map_err(|error| status(&error))?;
        let verdict = if patience.is_zero() {
            self.0.gates.evaluate(&asked).await
        } else {
            self.0.gates.wait(&asked, patience, |_| {}).await
        };
        let verdict = verdict.map_err(|error| status(&error))?;
        Ok(Response::new(pb::EvaluateResponse { evaluation: Some(convert::evaluation(&verdict)) }))
    }

    async fn get_evaluation(
        &self,
        request: Request<pb::GetEvaluationRequest>,
    ) -> Result<Response<pb::GetEvaluationResponse>, Status> {
        let stored =
            self.0.gates.stored(&request.into_inner().evaluation_id).await.map_err(|error| status(&error))?;
        Ok(Response::new(pb::GetEvaluationResponse {
            evaluation: Some(convert::evaluation(&stored.verdict)),
        }))
    }

    async fn list_evaluations(
        &self,
        request: Request<pb::ListEvaluationsRequest>,
    ) -> Result<Response<pb::ListEvaluationsResponse>, Status> {
        let request = request.into_inner();
        let (skip, limit) = page(request.page_size, &request.page_token).map_err(|error| status(&error))?;
        let ids = self
            .0
            .lookup
            .list_evaluations(&request.gate, &request.run_id, &request.rack, skip, limit + 1)
            .await
            .map_err(|error| status(&error))?;
        let mut evaluations = Vec::new();
        for id in ids.iter().take(limit) {
            let stored = self.0.gates.stored(id).await.map_err(|error| status(&error))?;
            evaluations.push(convert::evaluation(&stored.verdict));
        }
        let next_page_token = if ids.len() > limit { (skip + limit).to_string() } else { String::new() };
        Ok(Response::new(pb::ListEvaluationsResponse { evaluations, next_page_token }))
    }

    async fn watch_evaluation(
        &self,
        request: Request<pb::WatchEvaluationRequest>,
    ) -> Result<Response<Self::WatchEvaluationStream>, Status> {
        let patience = patience(&request, WATCH_MAX);
        let missing = || ControlError::Field {
            field: "question",
            message: "give evaluation_id or evaluate".to_owned(),
        };
        let question = request.into_inner().question.ok_or_else(|| status(&missing()))?;
        let asked = match question {
            Question::Evaluate(request) => asked(request).map_err(|error| status(&error))?,
            Question::EvaluationId(id) => {
                let stored = self.0.gates.stored(&id).await.map_err(|error| status(&error))?;
                Asked {
                    gate: stored.verdict.policy.to_string(),
                    racks: stored.verdict.scope.racks.clone(),
                    run: stored.verdict.run_id.clone(),
                    ..Asked::default()
                }
            }
        };
        let (sender, receiver) = mpsc::channel(16);
        let shared = self.0.clone();
        tokio::spawn(async move {
            let told = |verdict: &gate::Verdict| {
                // A full channel means a caller that does not read: it misses a step, never the decision.
                let message = pb::WatchEvaluationResponse { evaluation: Some(convert::evaluation(verdict)) };
                let _ = sender.try_send(Ok(message));
            };
            let watched = shared.gates.wait(&asked, patience, told);
            tokio::select! {
                watched = watched => if let Err(error) = watched {
                    let _ = sender.send(Err(status(&error))).await;
                },
                () = sender.closed() => {}
            }
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(receiver))))
    }

    async fn override_verdict(
        &self,
        request: Request<pb::OverrideVerdictRequest>,
    ) -> Result<Response<pb::OverrideVerdictResponse>, Status> {
        let request = request.into_inner();
        let until = convert::event_time("until", request.until)
            .and_then(|until| {
                until.ok_or(ControlError::Field { field: "until", message: "is required".to_owned() })
            })
            .map_err(|error| status(&error))?;
        let checks = request.checks.iter().map(|check| check.as_str().into()).collect();
        self.0
            .control
            .override_verdict(&request.evaluation_id, checks, &request.by, &request.why, until)
            .await
            .map_err(|error| status(&error))?;
        let stored = self.0.gates.stored(&request.evaluation_id).await.map_err(|error| status(&error))?;
        Ok(Response::new(pb::OverrideVerdictResponse {
            evaluation: Some(convert::evaluation(&stored.verdict)),
        }))
    }

    async fn explain(
        &self,
        request: Request<pb::ExplainRequest>,
    ) -> Result<Response<pb::ExplainResponse>, Status> {
        let request = request.into_inner();
        let stored = self.0.gates.stored(&request.evaluation_id).await.map_err(|error| status(&error))?;
        let again = if request.again {
            let judged = gate::judge_again(&stored.facts).map_err(|error| {
                status(&ControlError::Internal {
                    message: format!("the stored facts cannot be judged again: {error}"),
                })
            })?;
            Some(judged)
        } else {
            None
        };
        let identical = again.as_ref().map(|again| *again == stored.answer);
        Ok(Response::new(pb::ExplainResponse {
            evaluation: Some(convert::evaluation(&stored.verdict)),
            facts_json: stored.facts,
            judged_again_json: again,
            identical,
        }))
    }
}

/// Rows to skip and rows of a page.
pub(super) fn page(size: u32, token: &str) -> Result<(usize, usize), ControlError> {
    const SIZE: usize = 50;
    const SIZE_MAX: usize = 1000;
    let skip = match token {
        "" => 0,
        token => token.parse().map_err(|_| ControlError::Field {
            field: "page_token",
            message: "is none that was given".to_owned(),
        })?,
    };
    Ok((skip, if size == 0 { SIZE } else { (size as usize).min(SIZE_MAX) }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_is_read_in_every_unit() {
        assert_eq!(grpc_timeout("90S"), Some(Duration::from_secs(90)));
        assert_eq!(grpc_timeout("250m"), Some(Duration::from_millis(250)));
        assert_eq!(grpc_timeout("2H"), Some(Duration::from_secs(7200)));
        assert_eq!(grpc_timeout("x"), None);
        assert_eq!(grpc_timeout(""), None);
    }
}
