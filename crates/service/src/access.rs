//! Who may do what: nobody is asked on loopback; elsewhere TLS and a token with a role, or an explicit `insecure`.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

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

impl std::fmt::Display for Role {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Read => "read",
            Self::Ingest => "ingest",
            Self::Operate => "operate",
        })
    }
}

/// Who sent a request, for calls whose path does not tell what they do.
#[derive(Debug, Clone, Copy)]
pub struct Caller {
    /// None: no credentials are asked.
    role: Option<Role>,
}

impl Caller {
    /// Whether this caller may do what the role may.
    pub fn may(self, role: Role) -> bool {
        self.role.is_none_or(|own| own == Role::Operate || own == role)
    }
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

/// As RFC 7617 writes it, and as clients do that leave out the padding.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

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
            ("listen.postgres", listen.postgres),
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

    /// Whether credentials are asked at all.
    pub fn is_open(&self) -> bool {
        self.tokens.is_none()
    }

    /// Who shows this token.
    ///
    /// # Errors
    /// The reason, when it is none of the file's.
    pub fn caller(&self, token: &str) -> Result<Caller, String> {
        let Some(tokens) = &self.tokens else { return Ok(Caller { role: None }) };
        let role = tokens.get(token.trim()).copied();
        role.map(|role| Caller { role: Some(role) })
            .ok_or_else(|| "the token is not in the file of access.tokens".to_owned())
    }

    /// The token that is the password of an `Authorization: Basic` header; empty where none is asked.
    ///
    /// # Errors
    /// The reason, when there is none or it is none of the file's.
    pub fn token_of_basic(&self, header: Option<&str>) -> Result<String, String> {
        if self.is_open() {
            return Ok(String::new());
        }
        let token = header
            .and_then(|header| header.strip_prefix("Basic "))
            .and_then(|encoded| BASE64.decode(encoded.trim()).ok())
            .and_then(|bytes| String::from_utf8(bytes).ok())
            .and_then(|pair| pair.split_once(':').map(|(_, password)| password.to_owned()))
            .ok_or("no credentials: send a bearer token, or any name with a token as password")?;
        self.caller(&token).map(|_| token)
    }

    /// Whether the request's token allows its path, and whose it is; the reason when not.
    fn check(&self, request: &Request) -> Result<Caller, (StatusCode, String)> {
        let needed = roles_for(request.method().as_str(), request.uri().path());
        if self.is_open() || needed.is_empty() {
            return Ok(Caller { role: None });
        }
        let token = request
            .headers()
            .get(header::AUTHORIZATION)
            .and_then(|value| value.to_str().ok())
            .and_then(|value| value.strip_prefix("Bearer "))
            .ok_or_else(|| {
                (StatusCode::UNAUTHORIZED, "no bearer token: send `Authorization: Bearer TOKEN`".to_owned())
            })?;
        let caller = self.caller(token).map_err(|reason| (StatusCode::UNAUTHORIZED, reason))?;
        if needed.iter().any(|role| caller.may(*role)) {
            return Ok(caller);
        }
        let needed: Vec<String> = needed.iter().map(ToString::to_string).collect();
        let own = caller.role.map_or_else(String::new, |role| role.to_string());
        Err((
            StatusCode::FORBIDDEN,
            format!("the token has the role {own}, this call needs {}", needed.join(" or ")),
        ))
    }
}

/// The roles of which a call needs one; none for what everybody may ask.
fn roles_for(method: &str, path: &str) -> &'static [Role] {
    /// Beginning of a path, and the roles of which it needs one. The first that fits counts.
    const PATHS: &[(&str, &[Role])] = &[
        ("/healthz", &[]),
        ("/readyz", &[]),
        ("/grpc.health.", &[]),
        ("/grpc.reflection.", &[]),
        ("/api/v1/write", &[Role::Ingest]),
        ("/v1/metrics", &[Role::Ingest]),
        ("/opentelemetry.", &[Role::Ingest]),
        ("/thermogate.gate.v1.GateService/OverrideVerdict", &[Role::Operate]),
        ("/thermogate.gate.", &[Role::Read]),
        ("/thermogate.run.v1.RunService/ListRuns", &[Role::Read]),
        ("/thermogate.run.", &[Role::Operate]),
        ("/thermogate.calibration.v1.CalibrationService/ListCalibrations", &[Role::Read]),
        ("/thermogate.calibration.", &[Role::Operate]),
        ("/thermogate.drill.v1.DrillService/GetDrill", &[Role::Read]),
        ("/thermogate.drill.v1.DrillService/RehearseGate", &[Role::Read]),
        ("/thermogate.drill.", &[Role::Operate]),
        ("/thermogate.advisory.", &[Role::Read]),
        ("/thermogate.backtest.", &[Role::Read]),
        // Answers credentials that are no bearer token.
        ("/arrow.flight.protocol.FlightService/Handshake", &[]),
        ("/arrow.flight.protocol.FlightService/DoPut", &[Role::Read, Role::Ingest]),
        ("/arrow.flight.protocol.FlightService/", &[Role::Read]),
        ("/v1/gates/", &[Role::Read]),
        ("/v1/sql", &[Role::Read]),
    ];
    match PATHS.iter().find(|(start, _)| path.starts_with(start)) {
        Some((_, roles)) => roles,
        None if method == "GET" => &[Role::Read],
        None => &[Role::Operate],
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
pub async fn authorise(State(access): State<Access>, mut request: Request, next: Next) -> Response {
    let grpc = request
        .headers()
        .get(header::CONTENT_TYPE)
        .is_some_and(|value| value.as_bytes().starts_with(b"application/grpc"));
    match access.check(&request) {
        Ok(caller) => {
            request.extensions_mut().insert(caller);
            next.run(request).await
        }
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
        assert_eq!(roles_for("POST", "/api/v1/write"), [Role::Ingest]);
        assert_eq!(roles_for("POST", "/thermogate.run.v1.RunService/StartRun"), [Role::Operate]);
        assert_eq!(roles_for("POST", "/thermogate.gate.v1.GateService/Evaluate"), [Role::Read]);
        assert_eq!(roles_for("GET", "/healthz"), []);
        assert_eq!(roles_for("DELETE", "/anything"), [Role::Operate], "what is not listed is not open");
    }
}
