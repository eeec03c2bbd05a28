//! `thermogate.drill.v1.DrillService`.

use std::sync::Arc;

use telemetry::drill::{DrillFacts, DrillState};
use tonic::{Request, Response, Status};
use wire::drill::v1 as pb;
use wire::drill::v1::drill_service_server::DrillService;

use super::{convert, status};
use crate::pipeline::drilling::NewDrill;
use crate::shared::Shared;

/// The drill service over the shared state.
pub struct DrillApi(pub Arc<Shared>);

fn drill(known: &DrillFacts) -> pb::Drill {
    let time = |time: Option<telemetry::EventTime>| time.map(convert::timestamp);
    pb::Drill {
        drill_id: known.drill.to_string(),
        class: known.class.to_string(),
        rack: known.rack.to_string(),
        r#loop: known.place.cooling_loop.as_ref().map_or_else(String::new, ToString::to_string),
        of_loop: known.place.rack.is_none(),
        severity: known.severity,
        detectors: known.detectors.iter().map(ToString::to_string).collect(),
        started: time(Some(known.started)),
        until: time(Some(known.until)),
        state: match known.state {
            DrillState::Running => pb::DrillState::Running,
            DrillState::Passed => pb::DrillState::Passed,
            DrillState::Failed => pb::DrillState::Failed,
            DrillState::Cancelled => pb::DrillState::Cancelled,
            // It never began, so that nobody is answered with it.
            DrillState::Refused => pb::DrillState::Unspecified,
        }
        .into(),
        ended: time(known.ended),
        detector: known.detector.as_ref().map_or_else(String::new, ToString::to_string),
        detected: time(known.detected),
        alert_fired: time(known.alert_fired),
        missing: known.missing.clone(),
        by: known.by.clone(),
        why: known.why.clone(),
    }
}

#[tonic::async_trait]
impl DrillService for DrillApi {
    async fn start_drill(
        &self,
        request: Request<pb::StartDrillRequest>,
    ) -> Result<Response<pb::StartDrillResponse>, Status> {
        let request = request.into_inner();
        let new = NewDrill {
            request_id: request.request_id,
            rack: request.rack.into(),
            class: request.class.into(),
            severity: request.severity,
            by: request.by,
            why: request.why,
        };
        let begun = self.0.control.start_drill(new).await.map_err(|error| status(&error))?;
        Ok(Response::new(pb::StartDrillResponse { drill: Some(drill(&begun)) }))
    }

    async fn get_drill(
        &self,
        request: Request<pb::GetDrillRequest>,
    ) -> Result<Response<pb::GetDrillResponse>, Status> {
        let known =
            self.0.control.known_drill(&request.into_inner().drill_id).map_err(|error| status(&error))?;
        let tick = self.0.pipeline.board.progress().tick.map(convert::timestamp);
        Ok(Response::new(pb::GetDrillResponse { drill: Some(drill(&known)), tick }))
    }

    async fn end_drill(
        &self,
        request: Request<pb::EndDrillRequest>,
    ) -> Result<Response<pb::EndDrillResponse>, Status> {
        let request = request.into_inner();
        let ended = self.0.control.end_drill(&request.drill_id, &request.by, &request.why).await;
        let ended = ended.map_err(|error| status(&error))?;
        Ok(Response::new(pb::EndDrillResponse { drill: Some(drill(&ended)) }))
    }

    async fn rehearse_gate(
        &self,
        request: Request<pb::RehearseGateRequest>,
    ) -> Result<Response<pb::RehearseGateResponse>, Status> {
        let request = request.into_inner();
        let judged = self.0.gates.rehearse(&request.drill_id, &request.gate, &request.policy_document).await;
        let verdict = judged.map_err(|error| status(&error))?;
        Ok(Response::new(pb::RehearseGateResponse {
            verdict: verdict.verdict.name().to_owned(),
            reason: verdict.reason,
            policy: verdict.policy.to_string(),
        }))
    }
}
