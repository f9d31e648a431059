//! Paths of documents.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::extract::{FromRequest, Request, State};
use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use axum::response::{IntoResponse, Response};
use cento_core::{CollectionName, DocumentId, Sequence};

use super::stream;
use crate::Problem;
use crate::cpu_pool::Lane;
use crate::http::extract::{
    InCollection, Json, MediaType, OfDocument, Query, conditions, media_type,
    unsupported_media_type,
};
use crate::state::AppState;
use crate::types::{
    ChangeQuery, DeleteDocuments, DeleteResults, DocumentDetail, DocumentPage, IngestEvent,
    PageQuery, PatchDocument, PatchResult, PutDocuments, PutResults, WaitQuery,
};
use axum::Json as Answer;

/// Put documents: added, or replaced as a whole where the id is there.
///
/// **`application/json`**: `{"documents": […]}`; the answer says of each what
/// became of it, in order. A document that cannot be put does not keep the
/// others out.
///
/// **`application/x-ndjson`** (or `application/jsonl`): one document a line, as
/// many as there are, read as they arrive. The answer is a stream of lines, too,
/// and begins at once: `committed` names documents that are on disk from then
/// on, `failed` a line that was refused, and the last line is `done` with the
/// report, or `error`. Read while you send: a client that does not read is cut
/// off after a while. In a line, keys other than those of a document are
/// metadata.
#[utoipa::path(
    post, path = "/v1/collections/{name}/documents", tag = "documents", operation_id = "put_documents",
    params(("name" = CollectionName, Path, description = "The collection."), WaitQuery),
    request_body(content((PutDocuments = "application/json"), (String = "application/x-ndjson"))),
    responses((status = 200, description = "What became of each document, or a stream of events.",
        content((PutResults = "application/json"), (IngestEvent = "application/x-ndjson")))),
)]
pub(crate) async fn put(
    State(app): State<AppState>,
    InCollection(name): InCollection,
    Query(WaitQuery { wait }): Query<WaitQuery>,
    request: Request,
) -> Result<Response, Problem> {
    match media_type(request.headers())? {
        Some(MediaType::Json) => {}
        Some(MediaType::Ndjson) => return stream::ingest(app, name, wait, request).await,
        _ => {
            let taken = "application/json or application/x-ndjson";
            return Err(unsupported_media_type(taken));
        }
    }
    let Json(put) = Json::<PutDocuments>::from_request(request, &app).await?;
    let stop = StopOnDrop::default();
    let flag = Arc::clone(&stop.0);
    let most = app.config.max_document_bytes;
    let results = app
        .work(Lane::Write, move |service| {
            service.put_documents(&name, &put, most, wait, &flag)
        })
        .await?;
    app.metrics.ingested("stored", results.stored);
    app.metrics.ingested("unchanged", results.unchanged);
    app.metrics.ingested("failed", results.failed);
    Ok(Answer(results).into_response())
}

/// Stops an ingestion, after the batch under way, when its request is dropped.
#[derive(Default)]
pub(super) struct StopOnDrop(pub(super) Arc<AtomicBool>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// The documents of a collection, page by page, in order of id.
#[utoipa::path(
    get, path = "/v1/collections/{name}/documents", tag = "documents", operation_id = "list_documents",
    params(("name" = CollectionName, Path, description = "The collection."), PageQuery),
    responses((status = 200, description = "A page.", body = DocumentPage)),
)]
pub(crate) async fn list(
    State(app): State<AppState>,
    InCollection(name): InCollection,
    Query(page): Query<PageQuery>,
) -> Result<Answer<DocumentPage>, Problem> {
    let found = app
        .work(Lane::Query, move |service| service.documents(&name, &page))
        .await?;
    Ok(Answer(found))
}

/// One document with its text and chunks.
#[utoipa::path(
    get, path = "/v1/collections/{name}/documents/{id}", tag = "documents", operation_id = "get_document",
    params(
        ("name" = CollectionName, Path, description = "The collection."),
        ("id" = DocumentId, Path, description = "The document's id, percent-encoded; a slash is %2F."),
    ),
    responses((
        status = 200, description = "The document, as queries see it.", body = DocumentDetail,
        headers(("etag" = String, description = "Its version, for If-Match.")),
    )),
)]
pub(crate) async fn show(
    State(app): State<AppState>,
    OfDocument(name, id): OfDocument,
) -> Result<([(HeaderName, String); 1], Answer<DocumentDetail>), Problem> {
    let found = app
        .work(Lane::Query, move |service| service.document(&name, &id))
        .await?;
    Ok((etag(found.sequence), Answer(found)))
}

/// A document's version as a header.
fn etag(version: Sequence) -> [(HeaderName, String); 1] {
    [(header::ETAG, format!("\"{version}\""))]
}

/// Delete a document.
#[utoipa::path(
    delete, path = "/v1/collections/{name}/documents/{id}", tag = "documents", operation_id = "delete_document",
    params(
        ("name" = CollectionName, Path, description = "The collection."),
        ("id" = DocumentId, Path, description = "The document's id, percent-encoded; a slash is %2F."),
        ChangeQuery,
        ("If-Match" = Option<String>, Header, description = "The document's ETag, or several: it is changed only if such a version stands."),
    ),
    responses(
        (status = 204, description = "It is gone."),
        (status = 412, description = "Another version stands, or none.", body = crate::types::ProblemBody, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn delete(
    State(app): State<AppState>,
    OfDocument(name, id): OfDocument,
    Query(ChangeQuery { wait, if_version }): Query<ChangeQuery>,
    headers: HeaderMap,
) -> Result<StatusCode, Problem> {
    let conditions = conditions(&headers, if_version)?;
    app.work(Lane::Write, move |service| {
        service.delete_document(&name, &id, &conditions, wait)
    })
    .await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Change a document's metadata; its text is not parsed, cut or embedded again.
#[utoipa::path(
    patch, path = "/v1/collections/{name}/documents/{id}", tag = "documents", operation_id = "patch_document",
    params(
        ("name" = CollectionName, Path, description = "The collection."),
        ("id" = DocumentId, Path, description = "The document's id, percent-encoded; a slash is %2F."),
        ChangeQuery,
        ("If-Match" = Option<String>, Header, description = "The document's ETag, or several: it is changed only if such a version stands."),
    ),
    request_body = PatchDocument,
    responses(
        (
            status = 200, description = "It is changed.", body = PatchResult,
            headers(("etag" = String, description = "Its version now, for If-Match.")),
        ),
        (status = 412, description = "Another version stands, or none.", body = crate::types::ProblemBody, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn patch(
    State(app): State<AppState>,
    OfDocument(name, id): OfDocument,
    Query(ChangeQuery { wait, if_version }): Query<ChangeQuery>,
    headers: HeaderMap,
    Json(patch): Json<PatchDocument>,
) -> Result<([(HeaderName, String); 1], Answer<PatchResult>), Problem> {
    let conditions = conditions(&headers, if_version)?;
    let changed = app
        .work(Lane::Write, move |service| {
            service.patch_document(&name, &id, &patch.metadata, &conditions, wait)
        })
        .await?;
    Ok((etag(changed.sequence), Answer(changed)))
}

/// Delete documents by their ids, or all that pass a filter.
#[utoipa::path(
    post, path = "/v1/collections/{name}/documents/delete", tag = "documents", operation_id = "delete_documents",
    params(("name" = CollectionName, Path, description = "The collection."), WaitQuery),
    request_body = DeleteDocuments,
    responses((status = 200, description = "How many are gone, and which were not there.", body = DeleteResults)),
)]
pub(crate) async fn delete_several(
    State(app): State<AppState>,
    InCollection(name): InCollection,
    Query(WaitQuery { wait }): Query<WaitQuery>,
    Json(which): Json<DeleteDocuments>,
) -> Result<Answer<DeleteResults>, Problem> {
    let deleted = app
        .work(Lane::Write, move |service| {
            service.delete_documents(&name, &which, wait)
        })
        .await?;
    Ok(Answer(deleted))
}
