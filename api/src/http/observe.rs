//! What is noted of every request?
//!
//! The outermost layer gives a request its id, writes its problem, counts and
//! times it by the path that matched (never by the path that was asked, of which
//! there are endlessly many), and tells the log.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderName, HeaderValue};
use axum::middleware::Next;
use axum::response::Response;
use tracing::Instrument as _;

use super::respond;
use crate::state::AppState;

/// The header that names a request.
pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// What a request is called in the log and in its problem.
#[derive(Debug, Clone)]
pub(crate) struct RequestId(pub(crate) String);

/// Gives out ids that are unlike those of the process before.
pub(crate) struct RequestIds {
    start: u32,
    next: AtomicU64,
}

impl RequestIds {
    pub(crate) fn new() -> Self {
        // The standard library's only source of chance.
        let chance = RandomState::new().build_hasher().finish();
        Self {
            start: chance as u32,
            next: AtomicU64::new(1),
        }
    }

    /// The caller's own id if it is sane, or a new one.
    fn of(&self, request: &Request) -> RequestId {
        let given = request.headers().get(REQUEST_ID);
        let sane = given.and_then(|value| value.to_str().ok()).filter(|id| {
            let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
            (1..=128).contains(&id.len()) && id.bytes().all(allowed)
        });
        RequestId(match sane {
            Some(id) => id.to_owned(),
            None => {
                let number = self.next.fetch_add(1, Ordering::Relaxed);
                format!("{:08x}{number:08x}", self.start)
            }
        })
    }
}

/// Notes a request from its beginning until its response begins.
pub(crate) async fn observe(
    State(app): State<AppState>,
    mut request: Request,
    next: Next,
) -> Response {
    let id = app.request_ids.of(&request);
    let matched = request.extensions().get::<MatchedPath>();
    let route = matched.map_or("unmatched", MatchedPath::as_str).to_owned();
    request.extensions_mut().insert(id.clone());
    let mut noted = Noted {
        method: method_name(&request),
        path: request.uri().path().to_owned(),
        route,
        request_id: id.0.clone(),
        begun: Instant::now(),
        status: GONE_AWAY,
        app: app.clone(),
    };
    app.metrics.begin();
    let span = tracing::info_span!("request", request_id = id.0);
    let response = next.run(request).instrument(span).await;
    let mut response = respond::write(response, &id.0);
    if let Ok(value) = HeaderValue::from_str(&id.0) {
        response.headers_mut().insert(REQUEST_ID, value);
    }
    noted.status = response.status().as_u16();
    response
}

/// What is logged, as others do, for a client that did not wait.
const GONE_AWAY: u16 = 499;

/// A request under way; it is told when it ends, even if its client goes away.
struct Noted {
    method: &'static str,
    path: String,
    route: String,
    request_id: String,
    begun: Instant,
    status: u16,
    app: AppState,
}

impl Drop for Noted {
    fn drop(&mut self) {
        let elapsed = self.begun.elapsed();
        self.app
            .metrics
            .end(self.method, &self.route, self.status, elapsed);
        tracing::info!(
            target: "cento_api::access",
            method = self.method,
            path = self.path,
            status = self.status,
            elapsed_ms = elapsed.as_secs_f64() * 1000.0,
            request_id = self.request_id,
        );
    }
}

/// A method as a label; a client may invent others without end.
fn method_name(request: &Request) -> &'static str {
    match request.method().as_str() {
        "GET" => "GET",
        "HEAD" => "HEAD",
        "POST" => "POST",
        "PUT" => "PUT",
        "PATCH" => "PATCH",
        "DELETE" => "DELETE",
        "OPTIONS" => "OPTIONS",
        _ => "other",
    }
}
