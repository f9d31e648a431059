//! Paths of questions.

use axum::Json as Answer;
use axum::extract::State;
use cento_core::CollectionName;
use cento_retrieve::{ContextResponse, Reranked, SearchResponse};

use crate::Problem;
use crate::cpu_pool::Lane;
use crate::http::extract::{InCollection, Json};
use crate::state::AppState;
use crate::types::{ContextQuery, RerankQuery, SearchQuery};

/// Which chunks answer a question best?
///
/// Each hit has the rank and score of either leg beside the fused score.
#[utoipa::path(
    post, path = "/v1/collections/{name}/search", tag = "queries", operation_id = "search",
    params(("name" = CollectionName, Path, description = "The collection.")),
    request_body = SearchQuery,
    responses((status = 200, description = "The best chunks with distinct texts, best first.", body = SearchResponse)),
)]
pub(crate) async fn search(
    State(app): State<AppState>,
    InCollection(name): InCollection,
    Json(asked): Json<SearchQuery>,
) -> Result<Answer<SearchResponse>, Problem> {
    let mut found = app
        .work(lane(asked.rerank.as_ref()), move |service| {
            service.search(&name, &asked)
        })
        .await?;
    app.metrics.reranked(found.rerank.as_ref());
    found.rerank = found.rerank.map(public);
    Ok(Answer(found))
}

/// What should stand in the prompt?
///
/// The context never has more than `max_tokens`, counted on the whole string; the
/// receipt says of every candidate what became of it, and why.
#[utoipa::path(
    post, path = "/v1/context", tag = "queries", operation_id = "get_context",
    request_body = ContextQuery,
    responses((status = 200, description = "The context, its citations and its receipt.", body = ContextResponse)),
)]
pub(crate) async fn context(
    State(app): State<AppState>,
    Json(asked): Json<ContextQuery>,
) -> Result<Answer<ContextResponse>, Problem> {
    let mut found = app
        .work(lane(asked.rerank.as_ref()), move |service| {
            service.context(&asked)
        })
        .await?;
    app.metrics.reranked(found.receipt.rerank.as_ref());
    found.receipt.rerank = found.receipt.rerank.map(public);
    Ok(Answer(found))
}

fn lane(rerank: Option<&RerankQuery>) -> Lane {
    match rerank {
        Some(_) => Lane::Rerank,
        None => Lane::Query,
    }
}

/// What a client is told of reranking: the model's fingerprint, as a collection tells its
/// embedder's, and not what the model said, which stands in the log.
fn public(mut told: Reranked) -> Reranked {
    if let Some(failure) = &mut told.failed {
        failure.detail = "the reranking model failed; the server's log has the reason".to_owned();
    }
    told
}
