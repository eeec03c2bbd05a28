//! `thermogate.calibration.v1.CalibrationService`.

use std::sync::Arc;

use telemetry::Name;
use telemetry::record::Calibration;
use telemetry::signal;
use tonic::{Request, Response, Status};
use wire::calibration::v1 as pb;
use wire::calibration::v1::calibration_service_server::CalibrationService;

use super::{convert, gate, status};
use crate::pipeline::calibrating::NewCalibration;
use crate::shared::Shared;

/// The calibration service over the shared state.
pub struct CalibrationApi(pub Arc<Shared>);

/// A text that may be left out.
fn given(text: &str) -> Option<Name> {
    (!text.is_empty()).then(|| text.into())
}

fn calibration(known: &Calibration) -> pb::Calibration {
    let place = &known.identity.place;
    let text = |name: &Option<Name>| name.as_ref().map_or_else(String::new, ToString::to_string);
    let unit = signal::find(&known.identity.signal).map_or("", |signal| signal.unit.as_difference().symbol());
    pb::Calibration {
        calibration_id: known.calibration.to_string(),
        kind: match &*known.kind {
            "offset" => pb::CalibrationKind::Offset,
            "reset" => pb::CalibrationKind::Reset,
            _ => pb::CalibrationKind::Unspecified,
        }
        .into(),
        rack: text(&place.rack),
        r#loop: text(&place.cooling_loop),
        node: text(&place.node),
        device: text(&place.device),
        signal: known.identity.signal.to_string(),
        sensor: text(&known.identity.sensor),
        time: Some(convert::timestamp(known.time)),
        offset: known.value,
        unit: if known.value.is_some() { unit.to_owned() } else { String::new() },
        reference: known.reference.clone(),
        by: known.by.clone(),
        why: known.why.clone(),
    }
}

#[tonic::async_trait]
impl CalibrationService for CalibrationApi {
    async fn calibrate(
        &self,
        request: Request<pb::CalibrateRequest>,
    ) -> Result<Response<pb::CalibrateResponse>, Status> {
        let request = request.into_inner();
        let registered = async {
            let new = NewCalibration {
                rack: given(&request.rack),
                cooling_loop: given(&request.r#loop),
                node: given(&request.node),
                device: given(&request.device),
                signal: given(&request.signal),
                sensor: given(&request.sensor),
                offset: request.offset.map(|offset| (offset, request.unit)),
                reset_baselines: request.reset_baselines,
                time: convert::event_time("time", request.time)?,
                request_id: request.request_id,
                reference: request.reference,
                by: request.by,
                why: request.why,
            };
            self.0.control.calibrate(new).await
        };
        let calibrations = registered.await.map_err(|error| status(&error))?;
        Ok(Response::new(pb::CalibrateResponse {
            calibrations: calibrations.iter().map(calibration).collect(),
        }))
    }

    async fn list_calibrations(
        &self,
        request: Request<pb::ListCalibrationsRequest>,
    ) -> Result<Response<pb::ListCalibrationsResponse>, Status> {
        let request = request.into_inner();
        let (skip, limit) =
            gate::page(request.page_size, &request.page_token).map_err(|error| status(&error))?;
        let (rack, cooling_loop, signal) =
            (given(&request.rack), given(&request.r#loop), given(&request.signal));
        let listed = self
            .0
            .lookup
            .list_calibrations(rack.as_deref(), cooling_loop.as_deref(), signal.as_deref())
            .await;
        let listed = listed.map_err(|error| status(&error))?;
        let mut calibrations: Vec<pb::Calibration> =
            listed.iter().map(calibration).skip(skip).take(limit + 1).collect();
        let next_page_token =
            if calibrations.len() > limit { (skip + limit).to_string() } else { String::new() };
        calibrations.truncate(limit);
        Ok(Response::new(pb::ListCalibrationsResponse { calibrations, next_page_token }))
    }
}
