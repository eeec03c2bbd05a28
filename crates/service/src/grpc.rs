//! The gRPC port: gates, runs, calibrations, drills, backtests and advice, health, reflection; errors carry details by the rules of google.rpc.

mod advice; // thermogate.advisory.v1.AdvisoryService
mod backtest; // thermogate.backtest.v1.BacktestService
mod calibration; // thermogate.calibration.v1.CalibrationService
mod convert; // verdicts and runs as messages
mod drill; // thermogate.drill.v1.DrillService
mod gate; // thermogate.gate.v1.GateService
mod run; // thermogate.run.v1.RunService

use std::sync::Arc;
use std::time::Duration;

use arrow_flight::flight_service_server::{FlightService, FlightServiceServer};
use tonic::service::Routes;
use tonic::{Code, Status};
use tonic_health::pb::health_server::{Health, HealthServer};
use tonic_types::{ErrorDetails, StatusExt};
use wire::advisory::v1::advisory_service_server::AdvisoryServiceServer;
use wire::backtest::v1::backtest_service_server::BacktestServiceServer;
use wire::calibration::v1::calibration_service_server::CalibrationServiceServer;
use wire::drill::v1::drill_service_server::DrillServiceServer;
use wire::gate::v1::gate_service_server::GateServiceServer;
use wire::run::v1::run_service_server::RunServiceServer;

pub use backtest::BacktestApi;
pub(crate) use convert::timestamp;

use crate::advice::desk::Desk;
use crate::pipeline::control::ControlError;
use crate::shared::Shared;

/// Names of the services that health is asked of.
pub const SERVICES: &[&str] = &[
    "arrow.flight.protocol.FlightService",
    "thermogate.gate.v1.GateService",
    "thermogate.run.v1.RunService",
    "thermogate.calibration.v1.CalibrationService",
    "thermogate.drill.v1.DrillService",
    "thermogate.advisory.v1.AdvisoryService",
    "thermogate.backtest.v1.BacktestService",
];

/// Routes of the gRPC port.
///
/// # Errors
/// When the compiled-in descriptors cannot be served.
pub fn routes(
    shared: Arc<Shared>,
    desk: Arc<Desk>,
    backtests: BacktestApi,
    health: HealthServer<impl Health>,
) -> Result<axum::Router, tonic_reflection::server::Error> {
    /// A policy of one's own may come with a request.
    const REQUEST_BYTES_MAX: usize = 4 << 20;
    let reflection = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(wire::FILE_DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(wire::ERROR_DETAILS_FILE_DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
    };
    let gates =
        GateServiceServer::new(gate::GateApi(shared.clone())).max_decoding_message_size(REQUEST_BYTES_MAX);
    let runs =
        RunServiceServer::new(run::RunApi(shared.clone())).max_decoding_message_size(REQUEST_BYTES_MAX);
    let calibrations = CalibrationServiceServer::new(calibration::CalibrationApi(shared.clone()))
        .max_decoding_message_size(REQUEST_BYTES_MAX);
    let backtests = BacktestServiceServer::new(backtests).max_decoding_message_size(REQUEST_BYTES_MAX);
    let drills =
        DrillServiceServer::new(drill::DrillApi(shared)).max_decoding_message_size(REQUEST_BYTES_MAX);
    Ok(Routes::new(gates)
        .add_service(runs)
        .add_service(calibrations)
        .add_service(drills)
        .add_service(backtests)
        .add_service(AdvisoryServiceServer::new(advice::AdvisoryApi(desk)))
        .add_service(health)
        .add_service(reflection().build_v1()?)
        .add_service(reflection().build_v1alpha()?)
        .into_axum_router())
}

/// The route of Flight, apart from the others because it has threads of its own.
pub fn flight_route(flight: FlightServiceServer<impl FlightService>) -> axum::Router {
    axum::Router::new().route_service("/arrow.flight.protocol.FlightService/{*call}", flight)
}

/// What every error carries: its reason for programs, and what it is about.
fn error_info(reason: &str, metadata: &[(&str, &str)]) -> ErrorDetails {
    const DOMAIN: &str = "thermogate.dev";
    let metadata = metadata
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect::<std::collections::HashMap<_, _>>();
    ErrorDetails::with_error_info(reason, DOMAIN, metadata)
}

/// An error with the details that its kind has.
fn status(error: &ControlError) -> Status {
    let message = error.to_string();
    let info = error_info;
    match error {
        ControlError::Field { field, message: text } => {
            let mut details = info("FIELD", &[("field", field)]);
            details.add_bad_request_violation(*field, text);
            Status::with_error_details(Code::InvalidArgument, message, details)
        }
        ControlError::NotFound { kind, name, .. } => {
            let mut details = info("NOT_FOUND", &[("kind", kind), ("name", name)]);
            details.set_resource_info(*kind, name, "", &message);
            Status::with_error_details(Code::NotFound, message, details)
        }
        ControlError::State { subject, .. } => {
            let mut details = info("STATE", &[("subject", subject)]);
            details.add_precondition_failure_violation("STATE", subject, &message);
            Status::with_error_details(Code::FailedPrecondition, message, details)
        }
        ControlError::Unavailable { .. } => {
            let mut details = info("UNAVAILABLE", &[]);
            details.set_retry_info(Some(Duration::from_secs(1)));
            Status::with_error_details(Code::Unavailable, message, details)
        }
        ControlError::Internal { .. } => {
            Status::with_error_details(Code::Internal, message, info("INTERNAL", &[]))
        }
    }
}
