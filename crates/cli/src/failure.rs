//! What can go wrong, sorted by exit code: 2 is the caller's to mend, 5 the operator's.

use tonic::{Code, Status};
use tonic_types::StatusExt;

/// A command that could not be carried out.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    /// Exit code.
    pub code: u8,
    /// What, where, how to mend it.
    pub message: String,
}

/// Bad input: usage, documents, unknown racks, runs or policies.
pub const BAD_INPUT: u8 = 2;
/// Unreachable, or a fault of the service.
pub const UNREACHABLE: u8 = 5;

impl Failure {
    /// The caller's to mend.
    pub fn bad_input(message: impl Into<String>) -> Self {
        Self { code: BAD_INPUT, message: message.into() }
    }

    /// The operator's to mend.
    pub fn unreachable(message: impl Into<String>) -> Self {
        Self { code: UNREACHABLE, message: message.into() }
    }
}

impl From<Status> for Failure {
    fn from(status: Status) -> Self {
        let code = match status.code() {
            Code::InvalidArgument
            | Code::NotFound
            | Code::AlreadyExists
            | Code::FailedPrecondition
            | Code::OutOfRange
            | Code::Unauthenticated
            | Code::PermissionDenied => BAD_INPUT,
            Code::Ok
            | Code::Cancelled
            | Code::Unknown
            | Code::DeadlineExceeded
            | Code::ResourceExhausted
            | Code::Aborted
            | Code::Unimplemented
            | Code::Internal
            | Code::Unavailable
            | Code::DataLoss => UNREACHABLE,
        };
        let mut message = status.message().to_owned();
        if let Some(bad) = status.get_details_bad_request() {
            let told = |field: &str, description: &str| format!("{field}: {description}");
            let violations =
                bad.field_violations.iter().map(|violation| told(&violation.field, &violation.description));
            for violation in violations.filter(|violation| *violation != status.message()) {
                message += &format!("\n  {violation}");
            }
        }
        if message.is_empty() {
            message = format!("the service answered {:?}", status.code());
        }
        Self { code, message }
    }
}

impl From<service::settings::SettingsError> for Failure {
    fn from(error: service::settings::SettingsError) -> Self {
        Self::bad_input(error.to_string())
    }
}
