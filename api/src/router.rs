//! Which path leads where?

use axum::Router;
use axum::middleware::from_fn_with_state;
use tower_http::catch_panic::CatchPanicLayer;
use utoipa::openapi::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::http::guard::guard;
use crate::http::observe::observe;
use crate::http::respond::not_found;
use crate::routes::{collections, documents, generations, queries, snapshots, system, upkeep};
use crate::state::AppState;
use crate::{Problem, openapi};

/// Every path with its handlers, and what they say of themselves.
pub(crate) fn described() -> (Router<AppState>, OpenApi) {
    OpenApiRouter::with_openapi(openapi::base())
        .routes(routes!(collections::list, collections::create))
        .routes(routes!(collections::show, collections::delete))
        .routes(routes!(documents::list, documents::put))
        .routes(routes!(
            documents::show,
            documents::delete,
            documents::patch
        ))
        .routes(routes!(documents::delete_several))
        .routes(routes!(queries::search))
        .routes(routes!(queries::context))
        .routes(routes!(snapshots::list, snapshots::create))
        .routes(routes!(snapshots::delete))
        .routes(routes!(snapshots::restore))
        .routes(routes!(snapshots::export))
        .routes(routes!(snapshots::import))
        .routes(routes!(generations::list))
        .routes(routes!(generations::drop_one))
        .routes(routes!(generations::rollback))
        .routes(routes!(generations::reindex))
        .routes(routes!(generations::estimate))
        .routes(routes!(upkeep::audit))
        .routes(routes!(upkeep::rebuild))
        .routes(routes!(snapshots::compact))
        .routes(routes!(snapshots::purge))
        .routes(routes!(system::root))
        .routes(routes!(system::healthz))
        .routes(routes!(system::readyz))
        .routes(routes!(system::metrics))
        .routes(routes!(system::openapi))
        .split_for_parts()
}

/// The whole server but its connections.
pub(crate) fn router(app: AppState) -> Router {
    let (paths, _) = described();
    paths
        // A document may be called `delete`, too.
        .route(
            "/v1/collections/{name}/documents/delete",
            axum::routing::get(documents::show)
                .delete(documents::delete)
                .patch(documents::patch),
        )
        .fallback(async || not_found())
        .layer(CatchPanicLayer::custom(panicked))
        .layer(from_fn_with_state(app.clone(), guard))
        .layer(from_fn_with_state(app.clone(), observe))
        .with_state(app)
}

/// A defect of ours: the log is told what it said, the client is not.
fn panicked(panic: Box<dyn std::any::Any + Send>) -> axum::response::Response {
    let said = panic
        .downcast_ref::<&str>()
        .map(|said| (*said).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_default();
    let problem = Problem::new("internal", 500, format!("a panic: {said}"));
    axum::response::IntoResponse::into_response(problem)
}
