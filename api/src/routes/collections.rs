//! Paths of collections.

use axum::Json as Answer;
use axum::extract::State;
use axum::http::{HeaderName, StatusCode, header};
use cento_core::CollectionName;

use crate::Problem;
use crate::Service;
use crate::cpu_pool::Lane;
use crate::http::extract::{InCollection, Json};
use crate::state::AppState;
use crate::types::{CollectionInfo, CollectionList, NewCollection};

/// All collections.
#[utoipa::path(
    get, path = "/v1/collections", tag = "collections", operation_id = "list_collections",
    responses((status = 200, description = "The collections, by name.", body = CollectionList)),
)]
pub(crate) async fn list(State(app): State<AppState>) -> Result<Answer<CollectionList>, Problem> {
    let list = app.work(Lane::Query, Service::collections).await?;
    Ok(Answer(list))
}

/// Make a collection.
#[utoipa::path(
    post, path = "/v1/collections", tag = "collections", operation_id = "create_collection",
    request_body = NewCollection,
    responses((
        status = 201, description = "It is there.", body = CollectionInfo,
        headers(("location" = String, description = "The path of the collection.")),
    )),
)]
pub(crate) async fn create(
    State(app): State<AppState>,
    Json(new): Json<NewCollection>,
) -> Result<
    (
        StatusCode,
        [(HeaderName, String); 1],
        Answer<CollectionInfo>,
    ),
    Problem,
> {
    let made = app
        .work(Lane::Write, move |service| service.create_collection(&new))
        .await?;
    let location = format!("/v1/collections/{}", made.name);
    Ok((
        StatusCode::CREATED,
        [(header::LOCATION, location)],
        Answer(made),
    ))
}

/// One collection: its size, fields and settings.
#[utoipa::path(
    get, path = "/v1/collections/{name}", tag = "collections", operation_id = "get_collection",
    params(("name" = CollectionName, Path, description = "The collection.")),
    responses((status = 200, description = "The collection.", body = CollectionInfo)),
)]
pub(crate) async fn show(
    State(app): State<AppState>,
    InCollection(name): InCollection,
) -> Result<Answer<CollectionInfo>, Problem> {
    let found = app
        .work(Lane::Query, move |service| service.collection(&name))
        .await?;
    Ok(Answer(found))
}

/// Delete a collection and everything in it.
///
/// 409 while something else is going on in it that does not end soon, such as
/// an ingestion.
#[utoipa::path(
    delete, path = "/v1/collections/{name}", tag = "collections", operation_id = "delete_collection",
    params(("name" = CollectionName, Path, description = "The collection.")),
    responses((status = 204, description = "It is gone.")),
)]
pub(crate) async fn delete(
    State(app): State<AppState>,
    InCollection(name): InCollection,
) -> Result<StatusCode, Problem> {
    app.work(Lane::Write, move |service| service.delete_collection(&name))
        .await?;
    Ok(StatusCode::NO_CONTENT)
}
