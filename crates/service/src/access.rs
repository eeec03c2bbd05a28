//! Who may do what: nobody is asked on loopback; elsewhere TLS and a token with a role, or an explicit `insecure`.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::settings::{AccessSettings, ListenSettings};

/// What a token allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Look: verdicts, runs, SQL, metrics.
    Read,
    /// Send telemetry.
    Ingest,
    /// Everything: runs, maintenance, overrides, and what the others may.
    Operate,
}

/// Why the access settings cannot hold.
#[derive(Debug, thiserror::Error)]
pub enum AccessError {
    /// An address that others reach, without protection.
    #[error(
        "{setting} is {address}, which is not loopback: set access.tls_certificate, access.tls_key and access.tokens, \
         or access.insecure = true (--insecure) to let anybody who reaches the port read, write and decide"
    )]
    Unprotected {
        /// Which setting.
        setting: &'static str,
        /// Its value.
        address: std::net::SocketAddr,
    },
    /// A file that cannot be used.
    #[error("{path}: {message}")]
    File {
        /// Which file.
        path: String,
        /// What is wrong.
        message: String,
    },
}

/// Checks requests against the tokens.
#[derive(Debug, Clone)]
pub struct Access {
    /// None: no credentials are asked.
    tokens: Option<Arc<BTreeMap<String, Role>>>,
}

impl Access {
    /// Reads the tokens and refuses an unprotected address.
    ///
    /// # Errors
    /// [`AccessError`].
    pub fn open(settings: &AccessSettings, listen: &ListenSettings) -> Result<Self, AccessError> {
        let protected = !settings.tls_certificate.is_empty()
            && !settings.tls_key.is_empty()
            && !settings.tokens.is_empty();
        let addresses = [
            ("listen.otlp_grpc", listen.otlp_grpc),
            ("listen.otlp_http", listen.otlp_http),
            ("listen.grpc", listen.grpc),
            ("listen.http", listen.http),
        ];
        for (setting, address) in addresses {
            if !address.ip().is_loopback() && !protected && !settings.insecure {
                return Err(AccessError::Unprotected { setting, address });
            }
        }
        if settings.tokens.is_empty() {
            return Ok(Self { tokens: None });
        }
        let tokens = read_tokens(Path::new(&settings.tokens))?;
        Ok(Self { tokens: Some(Arc::new(tokens)) })
    }

    /// Whether the request's token allows its path; the reason when not.
    fn check(&self, request: &Request) -> Result<(), (StatusCode, String)> {
        let Some(tokens) = &self.tokens else { return Ok(()) };
        let Some(needed) = role_for(request.method().as_str(), request.uri().path()) else { return Ok(()) };
        let token = request
            .headers()
            .get(header::AUTHORIZATION)
            .and_then(|value| value.to_str().ok())
            .and_then(|value| value.strip_prefix("Bearer "))
            .ok_or_else(|| {
                (StatusCode::UNAUTHORIZED, "no bearer token: send `Authorization: Bearer TOKEN`".to_owned())
            })?;
        match tokens.get(token.trim()) {
            None => {
                Err((StatusCode::UNAUTHORIZED, "the token is not in the file of access.tokens".to_owned()))
            }
            Some(Role::Operate) => Ok(()),
            Some(role) if *role == needed => Ok(()),
            Some(role) => Err((
                StatusCode::FORBIDDEN,
                format!("the token has the role {role:?}, this call needs {needed:?}").to_lowercase(),
            )),
        }
    }
}

/// The role that a call needs; `None` for what everybody may ask.
fn role_for(method: &str, path: &str) -> Option<Role> {
    /// Beginning of a path, and the role it needs. The first that fits counts.
    const PATHS: &[(&str, Option<Role>)] = &[
        ("/healthz", None),
        ("/readyz", None),
        ("/grpc.health.", None),
        ("/grpc.reflection.", None),
        ("/api/v1/write", Some(Role::Ingest)),
        ("/v1/metrics", Some(Role::Ingest)),
        ("/opentelemetry.", Some(Role::Ingest)),
        ("/thermogate.gate.v1.GateService/OverrideVerdict", Some(Role::Operate)),
        ("/thermogate.gate.", Some(Role::Read)),
        ("/thermogate.run.v1.RunService/ListRuns", Some(Role::Read)),
        ("/thermogate.run.", Some(Role::Operate)),
        ("/thermogate.calibration.v1.CalibrationService/ListCalibrations", Some(Role::Read)),
        ("/thermogate.calibration.", Some(Role::Operate)),
        ("/thermogate.drill.v1.DrillService/GetDrill", Some(Role::Read)),
        ("/thermogate.drill.v1.DrillService/RehearseGate", Some(Role::Read)),
        ("/thermogate.drill.", Some(Role::Operate)),
        ("/thermogate.advisory.", Some(Role::Read)),
        ("/v1/gates/", Some(Role::Read)),
        ("/v1/sql", Some(Role::Read)),
    ];
    match PATHS.iter().find(|(start, _)| path.starts_with(start)) {
        Some((_, role)) => *role,
        None if method == "GET" => Some(Role::Read),
        None => Some(Role::Operate),
    }
}

fn read_tokens(path: &Path) -> Result<BTreeMap<String, Role>, AccessError> {
    let refused = |message: String| AccessError::File { path: path.display().to_string(), message };
    let text = std::fs::read_to_string(path).map_err(|error| refused(error.to_string()))?;
    let mut tokens = BTreeMap::new();
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (role, token) = line.split_once(char::is_whitespace).ok_or_else(|| {
            refused(format!("line {}: write a role and a token, such as `read 6f1c…`", index + 1))
        })?;
        let role = match role {
            "read" => Role::Read,
            "ingest" => Role::Ingest,
            "operate" => Role::Operate,
            other => {
                return Err(refused(format!(
                    "line {}: role {other:?}: write read, ingest or operate",
                    index + 1
                )));
            }
        };
        tokens.insert(token.trim().to_owned(), role);
    }
    if tokens.is_empty() { Err(refused("holds no token".to_owned())) } else { Ok(tokens) }
}

/// The middleware of every port.
pub async fn authorise(State(access): State<Access>, request: Request, next: Next) -> Response {
    let grpc = request
        .headers()
        .get(header::CONTENT_TYPE)
        .is_some_and(|value| value.as_bytes().starts_with(b"application/grpc"));
    match access.check(&request) {
        Ok(()) => next.run(request).await,
        Err((StatusCode::FORBIDDEN, message)) if grpc => {
            tonic::Status::permission_denied(message).into_http::<axum::body::Body>()
        }
        Err((_, message)) if grpc => tonic::Status::unauthenticated(message).into_http::<axum::body::Body>(),
        Err((status, message)) => (status, message + "\n").into_response(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_others_reach_is_refused_without_protection() {
        let settings = crate::settings::Settings::load(
            None,
            std::iter::empty(),
            &["listen.http=0.0.0.0:8080".to_owned()],
        )
        .unwrap();
        let message = Access::open(&settings.access, &settings.listen).unwrap_err().to_string();
        assert!(message.starts_with("listen.http is 0.0.0.0:8080, which is not loopback"), "{message}");
        assert!(message.contains("--insecure"), "{message}");
    }

    #[test]
    fn senders_may_send_and_only_operators_may_decide() {
        assert_eq!(role_for("POST", "/api/v1/write"), Some(Role::Ingest));
        assert_eq!(role_for("POST", "/thermogate.run.v1.RunService/StartRun"), Some(Role::Operate));
        assert_eq!(role_for("POST", "/thermogate.gate.v1.GateService/Evaluate"), Some(Role::Read));
        assert_eq!(role_for("GET", "/healthz"), None);
        assert_eq!(role_for("DELETE", "/anything"), Some(Role::Operate), "what is not listed is not open");
    }
}
