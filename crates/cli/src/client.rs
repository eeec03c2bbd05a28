//! Connections to a running service.

use std::mem::ManuallyDrop;
use std::time::Duration;

use tonic::codegen::InterceptedService;
use tonic::metadata::AsciiMetadataValue;
use tonic::service::Interceptor;
use tonic::transport::{Channel, ClientTlsConfig, Endpoint};
use tonic::{Request, Status};
use wire::advisory::v1::advisory_service_client::AdvisoryServiceClient;
use wire::calibration::v1::calibration_service_client::CalibrationServiceClient;
use wire::drill::v1::drill_service_client::DrillServiceClient;
use wire::gate::v1::gate_service_client::GateServiceClient;
use wire::run::v1::run_service_client::RunServiceClient;

use crate::arguments::{HttpArguments, ServiceArguments};
use crate::failure::Failure;

/// Adds the bearer token.
#[derive(Clone)]
pub struct Bearer(Option<AsciiMetadataValue>);

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(token) = &self.0 {
            request.metadata_mut().insert("authorization", token.clone());
        }
        Ok(request)
    }
}

async fn connect(arguments: &ServiceArguments) -> Result<InterceptedService<Channel, Bearer>, Failure> {
    let address = &arguments.grpc;
    let mut endpoint = Endpoint::from_shared(address.clone())
        .map_err(|_| {
            Failure::bad_input(format!(
                "--grpc {address:?} is no address: write it like http://127.0.0.1:7070"
            ))
        })?
        .connect_timeout(Duration::from_secs(5))
        .http2_keep_alive_interval(Duration::from_secs(30))
        .keep_alive_while_idle(true);
    if address.starts_with("https://") {
        endpoint = endpoint
            .tls_config(ClientTlsConfig::new().with_native_roots())
            .map_err(|error| Failure::bad_input(format!("--grpc {address}: {error}")))?;
    }
    let channel = endpoint.connect().await.map_err(|error| {
        let reason = std::error::Error::source(&error).map_or_else(|| error.to_string(), ToString::to_string);
        Failure::unreachable(format!("no service at {address}: {reason}; start one with `thermogate serve`, or say where it is with --grpc"))
    })?;
    let token = match &arguments.token {
        None => None,
        Some(token) => Some(
            format!("Bearer {token}")
                .parse()
                .map_err(|_| Failure::bad_input("the token holds characters that no token has"))?,
        ),
    };
    Ok(InterceptedService::new(channel, Bearer(token)))
}

/// Client of the gates.
///
/// # Errors
/// Exit code 5 when nobody answers.
pub async fn gates(
    arguments: &ServiceArguments,
) -> Result<GateServiceClient<InterceptedService<Channel, Bearer>>, Failure> {
    /// A stored answer with its facts may be large.
    const ANSWER_BYTES_MAX: usize = 64 << 20;
    Ok(GateServiceClient::new(connect(arguments).await?).max_decoding_message_size(ANSWER_BYTES_MAX))
}

/// Client of the runs.
///
/// # Errors
/// Exit code 5 when nobody answers.
pub async fn runs(
    arguments: &ServiceArguments,
) -> Result<RunServiceClient<InterceptedService<Channel, Bearer>>, Failure> {
    Ok(RunServiceClient::new(connect(arguments).await?))
}

/// Client of the calibrations.
///
/// # Errors
/// Exit code 5 when nobody answers.
pub async fn calibrations(
    arguments: &ServiceArguments,
) -> Result<CalibrationServiceClient<InterceptedService<Channel, Bearer>>, Failure> {
    Ok(CalibrationServiceClient::new(connect(arguments).await?))
}

/// Client of the drills.
///
/// # Errors
/// Exit code 5 when nobody answers.
pub async fn drills(
    arguments: &ServiceArguments,
) -> Result<DrillServiceClient<InterceptedService<Channel, Bearer>>, Failure> {
    Ok(DrillServiceClient::new(connect(arguments).await?))
}

/// Client of forecasts and comparisons.
///
/// # Errors
/// Exit code 5 when nobody answers.
pub async fn advisory(
    arguments: &ServiceArguments,
) -> Result<AdvisoryServiceClient<InterceptedService<Channel, Bearer>>, Failure> {
    Ok(AdvisoryServiceClient::new(connect(arguments).await?))
}

/// Body of an answer over HTTP.
///
/// # Errors
/// Exit code 2 when the service refuses, 5 when nobody answers.
pub async fn http(arguments: &HttpArguments, path: &str, body: Option<String>) -> Result<Vec<u8>, Failure> {
    let url = format!("{}{path}", arguments.http.trim_end_matches('/'));
    let client = reqwest::Client::new();
    let mut request = match body {
        None => client.get(&url),
        Some(body) => client.post(&url).header("content-type", "application/json").body(body),
    };
    if let Some(token) = &arguments.token {
        request = request.bearer_auth(token);
    }
    let response = request.send().await.map_err(|error| {
        let reason = with_causes(&error);
        Failure::unreachable(format!(
            "no service at {}: {reason}; start one with `thermogate serve`, or say where it is with --http",
            arguments.http
        ))
    })?;
    let status = response.status();
    let bytes = response
        .bytes()
        .await
        .map_err(|error| Failure::unreachable(format!("{url}: the answer broke off: {error}")))?;
    if status.is_success() {
        return Ok(bytes.to_vec());
    }
    let message = String::from_utf8_lossy(&bytes).trim().to_owned();
    if status.is_client_error() {
        Err(Failure::bad_input(message))
    } else {
        Err(Failure::unreachable(message))
    }
}

/// An error with its causes: what the system said, or what is wrong with a certificate, stands at their end.
fn with_causes(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

/// A runtime for one command. It is left to the end of the process: the reader of Delta tables panics when its runtime
/// is taken away under it, as after an error at a start, and the error would not be told any more.
///
/// # Errors
/// When the system gives no threads.
pub fn runtime() -> Result<ManuallyDrop<tokio::runtime::Runtime>, Failure> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map(ManuallyDrop::new)
        .map_err(|error| Failure::unreachable(format!("no runtime: {error}")))
}
