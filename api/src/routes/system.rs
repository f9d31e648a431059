//! Paths of the server itself. None of them waits for anything.

use std::collections::BTreeMap;

use axum::Json as Answer;
use axum::extract::State;
use axum::http::{HeaderName, header};
use axum::response::IntoResponse;

use crate::Problem;
use crate::cpu_pool::shutting_down;
use crate::state::{AppState, Phase};
use crate::types::{Health, Readiness, Welcome};

/// What is this?
#[utoipa::path(
    get, path = "/", tag = "server", operation_id = "get_root",
    responses((status = 200, description = "Name, version, and where to go from here.", body = Welcome)),
)]
pub(crate) async fn root() -> Answer<Welcome> {
    let links = [
        ("collections", "/v1/collections"),
        ("context", "/v1/context"),
        ("health", "/healthz"),
        ("metrics", "/metrics"),
        ("openapi", "/openapi.json"),
        ("readiness", "/readyz"),
    ];
    Answer(Welcome {
        service: "cento".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        links: BTreeMap::from(links.map(|(name, path)| (name.to_owned(), path.to_owned()))),
    })
}

/// Does the process live?
#[utoipa::path(
    get, path = "/healthz", tag = "server", operation_id = "get_health",
    responses((status = 200, description = "It does.", body = Health)),
)]
pub(crate) async fn healthz() -> Answer<Health> {
    Answer(Health {
        status: "ok".to_owned(),
    })
}

/// Are requests taken?
///
/// Not while collections are being opened, while the server is ending, and when
/// a collection takes no writes any more.
#[utoipa::path(
    get, path = "/readyz", tag = "server", operation_id = "get_readiness",
    responses(
        (status = 200, description = "They are.", body = Readiness),
        (status = 503, description = "They are not.", body = crate::types::ProblemBody, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn readyz(State(app): State<AppState>) -> Result<Answer<Readiness>, Problem> {
    let not_ready = |detail: String| Problem::new("not_ready", 503, detail).retryable();
    match app.phase() {
        Phase::Starting => return Err(not_ready("collections are being opened".to_owned())),
        Phase::Stopping => return Err(shutting_down()),
        Phase::Ready => {}
    }
    let stopped = app.service.stopped();
    if !stopped.is_empty() {
        let names: Vec<&str> = stopped.iter().map(|(name, _)| name.as_str()).collect();
        let detail = format!("no writes are taken any more by: {}", names.join(", "));
        return Err(not_ready(detail));
    }
    Ok(Answer(Readiness {
        status: "ready".to_owned(),
    }))
}

/// Counters and timings, as Prometheus reads them.
#[utoipa::path(
    get, path = "/metrics", tag = "server", operation_id = "get_metrics",
    responses((status = 200, description = "Prometheus' text format.", body = String, content_type = "text/plain")),
)]
pub(crate) async fn metrics(State(app): State<AppState>) -> impl IntoResponse {
    let text = app.metrics.render(&app.service, &app.pool);
    (
        content_type("text/plain; version=0.0.4; charset=utf-8"),
        text,
    )
}

/// This description.
#[utoipa::path(
    get, path = "/openapi.json", tag = "server", operation_id = "get_openapi",
    responses((status = 200, description = "The API, described by OpenAPI 3.1.", body = serde_json::Value, content_type = "application/json")),
)]
pub(crate) async fn openapi(State(app): State<AppState>) -> impl IntoResponse {
    (content_type("application/json"), app.openapi.clone())
}

fn content_type(value: &'static str) -> [(HeaderName, &'static str); 1] {
    [(header::CONTENT_TYPE, value)]
}
