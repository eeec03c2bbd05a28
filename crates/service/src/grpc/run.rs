//! `thermogate.run.v1.RunService`.

use std::sync::Arc;

use telemetry::record::MaintenanceEvent;
use tonic::{Request, Response, Status};
use wire::run::v1 as pb;
use wire::run::v1::run_service_server::RunService;

use super::{convert, gate, status};
use crate::pipeline::control::{ControlError, NewRun};
use crate::shared::Shared;

/// The run service over the shared state.
pub struct RunApi(pub Arc<Shared>);

fn maintenance(event: &MaintenanceEvent) -> pb::Maintenance {
    let (start, end) =
        if event.until.is_some() { (Some(event.time), None) } else { (None, Some(event.time)) };
    pb::Maintenance {
        rack: event.rack.to_string(),
        start: start.map(convert::timestamp),
        until: event.until.map(convert::timestamp),
        end: end.map(convert::timestamp),
        by: event.by.clone(),
        why: event.why.clone(),
    }
}

#[tonic::async_trait]
impl RunService for RunApi {
    async fn start_run(
        &self,
        request: Request<pb::StartRunRequest>,
    ) -> Result<Response<pb::StartRunResponse>, Status> {
        let request = request.into_inner();
        let started = async {
            let new = NewRun {
                run: request.run_id.as_str().into(),
                racks: request.racks.iter().map(|rack| rack.as_str().into()).collect(),
                stage: if request.stage.is_empty() { "smoke".into() } else { request.stage.as_str().into() },
                versions: request
                    .versions
                    .iter()
                    .map(|(name, value)| (name.as_str().into(), value.as_str().into()))
                    .collect(),
                planned: convert::length("planned", request.planned)?,
                time: convert::event_time("time", request.time)?,
                replace: request.replace,
            };
            self.0.control.start_run(new).await
        };
        let run = started.await.map_err(|error| status(&error))?;
        Ok(Response::new(pb::StartRunResponse { run: Some(convert::run(&run)) }))
    }

    async fn end_run(
        &self,
        request: Request<pb::EndRunRequest>,
    ) -> Result<Response<pb::EndRunResponse>, Status> {
        let request = request.into_inner();
        let time = convert::event_time("time", request.time).map_err(|error| status(&error))?;
        let run = self
            .0
            .control
            .end_run(&request.run_id, request.aborted, time)
            .await
            .map_err(|error| status(&error))?;
        Ok(Response::new(pb::EndRunResponse { run: Some(convert::run(&run)) }))
    }

    async fn mark_event(
        &self,
        request: Request<pb::MarkEventRequest>,
    ) -> Result<Response<pb::MarkEventResponse>, Status> {
        let request = request.into_inner();
        let time = convert::event_time("time", request.time).map_err(|error| status(&error))?;
        let run = self
            .0
            .control
            .mark_run(&request.run_id, request.text, time)
            .await
            .map_err(|error| status(&error))?;
        Ok(Response::new(pb::MarkEventResponse { run: Some(convert::run(&run)) }))
    }

    async fn list_runs(
        &self,
        request: Request<pb::ListRunsRequest>,
    ) -> Result<Response<pb::ListRunsResponse>, Status> {
        let request = request.into_inner();
        let (skip, limit) =
            gate::page(request.page_size, &request.page_token).map_err(|error| status(&error))?;
        let rack = (!request.rack.is_empty()).then_some(request.rack.as_str());
        let runs = self.0.lookup.list_runs(rack).await.map_err(|error| status(&error))?;
        let wanted = request.state();
        let mut runs: Vec<pb::Run> = runs
            .iter()
            .map(convert::run)
            .filter(|run| wanted == pb::RunState::Unspecified || run.state() == wanted)
            .skip(skip)
            .take(limit + 1)
            .collect();
        let next_page_token = if runs.len() > limit { (skip + limit).to_string() } else { String::new() };
        runs.truncate(limit);
        Ok(Response::new(pb::ListRunsResponse { runs, next_page_token }))
    }

    async fn start_maintenance(
        &self,
        request: Request<pb::StartMaintenanceRequest>,
    ) -> Result<Response<pb::StartMaintenanceResponse>, Status> {
        let request = request.into_inner();
        let started = async {
            let until = convert::event_time("until", request.until)?
                .ok_or(ControlError::Field { field: "until", message: "is required".to_owned() })?;
            let time = convert::event_time("time", request.time)?;
            let racks: Vec<_> = request.racks.iter().map(|rack| rack.as_str().into()).collect();
            self.0.control.maintain(&racks, Some(until), &request.by, &request.why, time).await
        };
        let events = started.await.map_err(|error| status(&error))?;
        Ok(Response::new(pb::StartMaintenanceResponse {
            maintenance: events.iter().map(maintenance).collect(),
        }))
    }

    async fn end_maintenance(
        &self,
        request: Request<pb::EndMaintenanceRequest>,
    ) -> Result<Response<pb::EndMaintenanceResponse>, Status> {
        let request = request.into_inner();
        let ended = async {
            let time = convert::event_time("time", request.time)?;
            let racks: Vec<_> = request.racks.iter().map(|rack| rack.as_str().into()).collect();
            self.0.control.maintain(&racks, None, &request.by, &request.why, time).await
        };
        let events = ended.await.map_err(|error| status(&error))?;
        Ok(Response::new(pb::EndMaintenanceResponse {
            maintenance: events.iter().map(maintenance).collect(),
        }))
    }
}
