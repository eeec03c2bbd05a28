//! The HTTP port: remote write, OTLP, JSON API, SQL, metrics, health.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{Path, Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use telemetry::{EventTime, Microseconds, Name};

use crate::gates::Asked;
use crate::pipeline::control::ControlError;
use crate::question::Question;
use crate::shared::Shared;

/// All paths of the HTTP port but those of `ingest`.
pub const PATHS: &[&str] = &[
    "/healthz",
    "/readyz",
    "/metrics",
    "/v1/status",
    "/v1/runs",
    "/v1/sql",
    "/v1/gates/{gate}:evaluate",
    "/v1/evaluations/{id}",
];

/// The route of SQL, which is worked on by threads of its own.
pub fn sql_router(shared: Arc<Shared>) -> Router {
    Router::new().route("/v1/sql", post(sql)).with_state(shared)
}

/// Routes of the JSON API.
pub fn router(shared: Arc<Shared>) -> Router {
    Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .route("/v1/status", get(status))
        .route("/v1/runs", get(runs))
        .route("/v1/gates/{gate_and_verb}", post(evaluate))
        .route("/v1/evaluations/{id}", get(evaluation))
        .with_state(shared)
}

async fn ready(State(shared): State<Arc<Shared>>) -> Response {
    if shared.is_ready() {
        (StatusCode::OK, "ready\n").into_response()
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "ending: no more requests are taken\n").into_response()
    }
}

async fn metrics(State(shared): State<Arc<Shared>>) -> Response {
    shared.refresh_metrics();
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], shared.pipeline.metrics.text()).into_response()
}

async fn status(State(shared): State<Arc<Shared>>) -> Response {
    Json(crate::status::status(&shared.pipeline.board, shared.pipeline.unmapped_series())).into_response()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RunsQuery {
    #[serde(default)]
    rack: Option<String>,
}

async fn runs(State(shared): State<Arc<Shared>>, Query(query): Query<RunsQuery>) -> Response {
    match shared.lookup.list_runs(query.rack.as_deref()).await {
        Err(error) => refuse(&error),
        Ok(runs) => {
            let rows: Vec<serde_json::Value> = runs
                .iter()
                .map(|run| {
                    let markers: Vec<_> = run
                        .markers
                        .iter()
                        .map(|(time, text)| serde_json::json!({"time": time.to_string(), "text": text}))
                        .collect();
                    serde_json::json!({
                        "run": run.run, "racks": run.racks, "stage": run.stage, "versions": run.versions, "state": run.state,
                        "start": run.start.to_string(), "planned_end": run.planned_end.to_string(),
                        "end": run.end.map(|end| end.to_string()), "markers": markers,
                    })
                })
                .collect();
            Json(serde_json::json!({ "runs": rows })).into_response()
        }
    }
}

async fn sql(State(shared): State<Arc<Shared>>, body: Bytes) -> Response {
    let question: Question = match serde_json::from_slice(&body) {
        Ok(question) => question,
        Err(error) => {
            return (
                StatusCode::BAD_REQUEST,
                format!("the body is no question: {error}; write {{\"sql\": \"select …\"}}\n"),
            )
                .into_response();
        }
    };
    match shared.ask(&question).await {
        Ok(stream) => {
            ([(header::CONTENT_TYPE, "application/vnd.apache.arrow.stream")], stream).into_response()
        }
        Err(error) => (StatusCode::BAD_REQUEST, format!("{error}\n")).into_response(),
    }
}

/// The body of `POST /v1/gates/{gate}:evaluate`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct EvaluateBody {
    /// The run to judge.
    run_id: Option<String>,
    /// The commit under test; kept in the request id's stead when there is none.
    commit: Option<String>,
    /// What to judge: `{"rack": "r07"}` or `{"racks": ["r07", "r08"]}`.
    scope: ScopeBody,
    /// The caller's name for this request.
    request_id: Option<String>,
    /// PENDING until the watermark has passed this.
    not_before: Option<String>,
    /// How long to wait while PENDING, such as `30s`.
    wait: Option<String>,
    /// A policy of one's own, YAML.
    policy_document: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct ScopeBody {
    rack: Option<String>,
    racks: Vec<String>,
}

async fn evaluate(State(shared): State<Arc<Shared>>, Path(segment): Path<String>, body: Bytes) -> Response {
    // axum takes no suffix after a parameter, so the verb is split off here.
    let Some((gate, "evaluate")) = segment.rsplit_once(':') else {
        return (StatusCode::NOT_FOUND, format!("{segment:?}: POST /v1/gates/NAME:evaluate\n"))
            .into_response();
    };
    let body: EvaluateBody = if body.is_empty() {
        EvaluateBody::default()
    } else {
        match serde_json::from_slice(&body) {
            Ok(body) => body,
            Err(error) => {
                return (StatusCode::BAD_REQUEST, format!("the body is no question: {error}\n"))
                    .into_response();
            }
        }
    };
    match answer(&shared, gate, body).await {
        Ok(json) => ([(header::CONTENT_TYPE, "application/json")], Body::from(json)).into_response(),
        Err(error) => refuse(&error),
    }
}

/// Who waits for a verdict asks again beyond this: proxies give up on longer answers.
pub const WAIT_MAX: Microseconds = Microseconds::from_minutes(10);

async fn answer(shared: &Shared, gate: &str, body: EvaluateBody) -> Result<String, ControlError> {
    let racks: Vec<Name> =
        body.scope.rack.iter().chain(&body.scope.racks).map(|rack| rack.as_str().into()).collect();
    let field = |field: &'static str| move |message: String| ControlError::Field { field, message };
    let not_before =
        body.not_before.as_deref().map(EventTime::from_rfc3339).transpose().map_err(field("not_before"))?;
    let wait = body.wait.as_deref().map(str::parse::<Microseconds>).transpose().map_err(field("wait"))?;
    let asked = Asked {
        gate: gate.to_owned(),
        policy_document: body.policy_document.unwrap_or_default(),
        racks,
        run: body.run_id.as_deref().map(Into::into),
        request_id: body.request_id.or(body.commit).unwrap_or_default(),
        not_before,
    };
    let verdict = match wait.map(|wait| wait.min(WAIT_MAX)) {
        Some(wait) if wait > Microseconds::ZERO => {
            let patience = Duration::from_micros(wait.get().unsigned_abs());
            shared.gates.wait(&asked, patience, |_| {}).await?
        }
        _ => shared.gates.evaluate(&asked).await?,
    };
    Ok(verdict.to_json())
}

async fn evaluation(State(shared): State<Arc<Shared>>, Path(id): Path<String>) -> Response {
    match shared.gates.stored(&id).await {
        Ok(stored) => ([(header::CONTENT_TYPE, "application/json")], stored.answer).into_response(),
        Err(error) => refuse(&error),
    }
}

/// An error as JSON: `{"code": "not_found", "message": …, "details": {…}}`.
fn refuse(error: &ControlError) -> Response {
    let (status, code, details) = match error {
        ControlError::Field { field, .. } => {
            (StatusCode::BAD_REQUEST, "invalid_argument", BTreeMap::from([("field", (*field).to_owned())]))
        }
        ControlError::NotFound { kind, name, .. } => (
            StatusCode::NOT_FOUND,
            "not_found",
            BTreeMap::from([("kind", (*kind).to_owned()), ("name", name.clone())]),
        ),
        ControlError::State { subject, .. } => {
            (StatusCode::CONFLICT, "failed_precondition", BTreeMap::from([("subject", subject.clone())]))
        }
        ControlError::Unavailable { .. } => (StatusCode::SERVICE_UNAVAILABLE, "unavailable", BTreeMap::new()),
        ControlError::Internal { .. } => (StatusCode::INTERNAL_SERVER_ERROR, "internal", BTreeMap::new()),
    };
    let body = serde_json::json!({ "code": code, "message": error.to_string(), "details": details });
    (status, Json(body)).into_response()
}
