//! Paths of a collection's configurations.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::Json as Answer;
use axum::extract::{FromRequest, Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use cento_core::CollectionName;
use cento_ingest::{Estimate, ReindexStep};

use super::events::{self, Events};
use crate::Problem;
use crate::cpu_pool::{Lane, shutting_down};
use crate::http::extract::{InCollection, Json, OfGeneration};
use crate::service::{Change, Service};
use crate::state::{App, AppState};
use crate::types::{GenerationList, Reindex, ReindexEvent};

/// A collection's configurations: the serving one, one that is being built, and
/// former ones that are kept.
#[utoipa::path(
    get, path = "/v1/collections/{name}/generations", tag = "generations", operation_id = "list_generations",
    params(("name" = CollectionName, Path, description = "The collection.")),
    responses((status = 200, description = "The generations, oldest first.", body = GenerationList)),
)]
pub(crate) async fn list(
    State(app): State<AppState>,
    InCollection(name): InCollection,
) -> Result<Answer<GenerationList>, Problem> {
    let found = app
        .work(Lane::Query, move |service| service.generations(&name))
        .await?;
    Ok(Answer(found))
}

/// Give up a former or a half-built generation.
#[utoipa::path(
    delete, path = "/v1/collections/{name}/generations/{number}", tag = "generations", operation_id = "drop_generation",
    params(
        ("name" = CollectionName, Path, description = "The collection."),
        ("number" = u32, Path, description = "The generation."),
    ),
    responses((status = 204, description = "It is gone.")),
)]
pub(crate) async fn drop_one(
    State(app): State<AppState>,
    OfGeneration(name, number): OfGeneration,
) -> Result<StatusCode, Problem> {
    app.work(Lane::Upkeep, move |service| {
        service.drop_generation(&name, number)
    })
    .await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Go back to a former generation.
///
/// It is brought to the log's end first, which the answer tells line by line as
/// for a reindexing.
#[utoipa::path(
    post, path = "/v1/collections/{name}/generations/{number}/rollback", tag = "generations", operation_id = "rollback_generation",
    params(
        ("name" = CollectionName, Path, description = "The collection."),
        ("number" = u32, Path, description = "The generation."),
    ),
    responses((status = 200, description = "How it goes, one event a line.", body = ReindexEvent, content_type = "application/x-ndjson")),
)]
pub(crate) async fn rollback(
    State(app): State<AppState>,
    OfGeneration(name, number): OfGeneration,
    request: Request,
) -> Result<Response, Problem> {
    let id = events::request_id(&request);
    change(app, name, id, move |service, name| {
        service.prepare_rollback(name, Some(number))
    })
    .await
}

/// Embed and cut a collection anew, by another model or in another way, while
/// it serves.
///
/// The answer is a stream of lines and begins at once: `started`, `progress`
/// after each batch, `whole` for a document that could not be cut, and at the
/// end `done` or `error`. Queries are answered by the former configuration until
/// the moment of the switch; it is kept to go back to. Who goes away stops it:
/// the same request goes on where it was.
#[utoipa::path(
    post, path = "/v1/collections/{name}/reindex", tag = "generations", operation_id = "reindex_collection",
    params(("name" = CollectionName, Path, description = "The collection.")),
    request_body = Reindex,
    responses((status = 200, description = "How it goes, one event a line.", body = ReindexEvent, content_type = "application/x-ndjson")),
)]
pub(crate) async fn reindex(
    State(app): State<AppState>,
    InCollection(name): InCollection,
    request: Request,
) -> Result<Response, Problem> {
    let id = events::request_id(&request);
    let Json(asked) = Json::<Reindex>::from_request(request, &app).await?;
    change(app, name, id, move |service, name| {
        service.prepare_reindex(name, &asked)
    })
    .await
}

/// What will a reindexing cost?
///
/// A sample of the documents is cut and embedded for it, which takes a few
/// seconds.
#[utoipa::path(
    post, path = "/v1/collections/{name}/reindex/estimate", tag = "generations", operation_id = "estimate_reindex",
    params(("name" = CollectionName, Path, description = "The collection.")),
    request_body = Reindex,
    responses((status = 200, description = "About how much it is.", body = Estimate)),
)]
pub(crate) async fn estimate(
    State(app): State<AppState>,
    InCollection(name): InCollection,
    Json(asked): Json<Reindex>,
) -> Result<Answer<Estimate>, Problem> {
    let found = app
        .long_work(Lane::Upkeep, move |service| service.estimate(&name, &asked))
        .await?;
    Ok(Answer(found))
}

/// Runs a change and answers with its events.
async fn change(
    app: AppState,
    name: CollectionName,
    request_id: String,
    prepare: impl FnOnce(&Service, &CollectionName) -> Result<Change, Problem> + Send + 'static,
) -> Result<Response, Problem> {
    // What is wrong with the request is told by the status, not by an event.
    // It may have to wait for upkeep, and no stream is kept out meanwhile.
    let change = app
        .long_work(Lane::Upkeep, move |service| prepare(service, &name))
        .await?;
    let admission = app.admit(Lane::Stream).await?;
    Ok(events::answer(
        app,
        admission,
        &request_id,
        move |app, events| run(app, &change, &events),
    ))
}

fn run(app: &App, change: &Change, events: &Events) {
    let mut tell = |step: ReindexStep<'_>| {
        if app.ending.is_cancelled() {
            events.stop.store(true, Ordering::Relaxed);
        }
        match step {
            ReindexStep::Started {
                generation,
                pending,
            } => events.send(&ReindexEvent::Started {
                generation,
                pending,
            }),
            ReindexStep::Progress { report, pending } => events.send(&ReindexEvent::Progress {
                documents: report.documents,
                chunks: report.chunks,
                pending,
            }),
            ReindexStep::Whole(failure) => events.send(&ReindexEvent::Whole {
                failure: failure.clone(),
            }),
            _ => {}
        }
    };
    let stop = Arc::clone(&events.stop);
    let problem = match app.service.change(change, &stop, &mut tell) {
        Ok(report) if !report.interrupted => {
            let sequence = change.sequence();
            return events.send(&ReindexEvent::Done { report, sequence });
        }
        Ok(_) => shutting_down(),
        Err(problem) => problem,
    };
    events.send(&ReindexEvent::Error {
        problem: events.told(&problem),
    });
}
