//! Paths of upkeep: long work, without a time limit.

use axum::Json as Answer;
use axum::extract::State;
use cento_core::CollectionName;

use crate::Problem;
use crate::cpu_pool::Lane;
use crate::http::extract::{InCollection, Query};
use crate::state::AppState;
use crate::types::{AuditResult, RebuildQuery, RebuildResult};

/// Do the projections say what the log says?
///
/// Reads the whole log; writing waits meanwhile.
#[utoipa::path(
    post, path = "/v1/collections/{name}/audit", tag = "upkeep", operation_id = "audit_collection",
    params(("name" = CollectionName, Path, description = "The collection.")),
    responses((status = 200, description = "What was found; `clean` says whether all is well.", body = AuditResult)),
)]
pub(crate) async fn audit(
    State(app): State<AppState>,
    InCollection(name): InCollection,
) -> Result<Answer<AuditResult>, Problem> {
    let found = app
        .long_work(Lane::Upkeep, move |service| service.audit(&name))
        .await?;
    Ok(Answer(found))
}

/// Make a collection's projections anew from its log.
///
/// Requests for the collection are answered with 409 meanwhile.
#[utoipa::path(
    post, path = "/v1/collections/{name}/rebuild", tag = "upkeep", operation_id = "rebuild_collection",
    params(("name" = CollectionName, Path, description = "The collection."), RebuildQuery),
    responses((status = 200, description = "They were made anew.", body = RebuildResult)),
)]
pub(crate) async fn rebuild(
    State(app): State<AppState>,
    InCollection(name): InCollection,
    Query(RebuildQuery { only }): Query<RebuildQuery>,
) -> Result<Answer<RebuildResult>, Problem> {
    let made = app
        .long_work(Lane::Upkeep, move |service| service.rebuild(&name, only))
        .await?;
    Ok(Answer(made))
}
