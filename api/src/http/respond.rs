//! How does a problem become a response?
//!
//! A handler returns a [`Problem`]; it travels outwards as an extension of an
//! empty response, and the outermost layer writes the body, which names the
//! request. Detail of our own faults, such as paths on the server, stays in the
//! log.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use crate::Problem;
use crate::types::ProblemBody;

/// The media type of an error.
pub(crate) const PROBLEM_JSON: &str = "application/problem+json";

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = status.into_response();
        response.extensions_mut().insert(self);
        response
    }
}

/// Writes the problem that a response carries, or the one that its empty body
/// means.
pub(crate) fn write(response: Response, request_id: &str) -> Response {
    let (mut parts, body) = response.into_parts();
    let problem = match parts.extensions.remove::<Problem>() {
        Some(problem) => problem,
        // What the router says of itself has neither a body nor a problem.
        None if parts.status == StatusCode::METHOD_NOT_ALLOWED => method_not_allowed(),
        None => return Response::from_parts(parts, body),
    };
    if problem.status >= 500 {
        tracing::error!(
            request_id,
            code = &*problem.code,
            detail = problem.detail,
            "a request failed"
        );
    }
    let json = serde_json::to_vec(&told(&problem, request_id)).unwrap_or_default();
    let headers = &mut parts.headers;
    headers.remove(header::CONTENT_LENGTH);
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON));
    if problem.retry {
        headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    }
    (parts, json).into_response()
}

/// A problem as a client is told it.
pub(crate) fn told(problem: &Problem, request_id: &str) -> ProblemBody {
    ProblemBody {
        kind: format!("/problems/{}", problem.code),
        title: title(&problem.code),
        status: problem.status,
        detail: public_detail(problem),
        code: problem.code.to_string(),
        help: help(problem).to_owned(),
        retry: problem.retry,
        request_id: request_id.to_owned(),
    }
}

/// What happened, without what only we should know.
fn public_detail(problem: &Problem) -> String {
    let hidden = match &*problem.code {
        "timeout" | "shutting_down" | "not_ready" | "interrupted" | "no_neural_models"
        | "no_remote_models" | "no_object_storage" => return problem.detail.clone(),
        "disk_full" => "the server's disk is full",
        "remote_unreachable" => "the server that embeds for this collection does not answer",
        "remote_refused" => "the server that embeds for this collection refused to",
        "remote_answer" => {
            "the server that embeds for this collection answered what cannot be used"
        }
        "writer_stopped" => "this collection takes no writes any more after an earlier failure",
        _ if problem.status < 500 => return problem.detail.clone(),
        _ => "the server failed to do this; its log has the reason under this request's id",
    };
    hidden.to_owned()
}

/// What a client can do; the table's own advice is for the command line.
fn help(problem: &Problem) -> &str {
    match &*problem.code {
        "unknown_collection" => {
            "GET /v1/collections names the collections; POST /v1/collections makes one"
        }
        "unknown_document" => "GET /v1/collections/{name}/documents lists the documents",
        "projection_failed" => {
            "nothing is lost: POST /v1/collections/{name}/rebuild makes it anew from the log"
        }
        "unknown_snapshot" => {
            "GET /v1/collections/{name}/snapshots lists the snapshots; POST there makes one"
        }
        "unknown_generation" => "GET /v1/collections/{name}/generations lists the generations",
        "reindexing" => {
            "GET /v1/collections/{name}/generations says how many documents are still pending"
        }
        "generation_building" => {
            "POST /v1/collections/{name}/reindex with the same settings goes on with it; DELETE /v1/collections/{name}/generations/{number} gives it up"
        }
        "no_reranker" => "leave `rerank` out, or ask a server that was started with --reranker",
        "nothing_to_change" => "name another embedder or chunking, or set force",
        "model_mismatch" | "chunking_mismatch" => {
            "POST /v1/collections/{name}/reindex (`cento reindex`) makes the collection anew"
        }
        "remote_unreachable" | "remote_refused" | "remote_answer" | "remote_setting" => {
            "this server's log has the reason under this request's id"
        }
        "writer_stopped" => "mend the cause on the server and start it again; opening recovers",
        _ => &problem.help,
    }
}

/// `unknown_collection` becomes `Unknown collection`.
fn title(code: &str) -> String {
    let words = code.replace('_', " ");
    let mut letters = words.chars();
    match letters.next() {
        Some(first) => first.to_uppercase().chain(letters).collect(),
        None => words,
    }
}

pub(crate) fn not_found() -> Problem {
    Problem::new("not_found", 404, "there is nothing at this path")
        .with_help("GET /openapi.json describes every path")
}

pub(crate) fn method_not_allowed() -> Problem {
    let detail = "this path does not take this method; the header Allow names those it takes";
    Problem::new("method_not_allowed", 405, detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn detail_of_ours_is_not_told_and_the_callers_is() {
        let ours = Problem::new("io_error", 500, "cannot read /secret/place");
        assert!(!told(&ours, "r1").detail.contains("secret"));
        let full = Problem::new("disk_full", 507, "cannot write /secret/place");
        assert_eq!(told(&full, "r1").detail, "the server's disk is full");
        let theirs = Problem::new("empty_query", 400, "the query is empty");
        let told = told(&theirs, "r1");
        assert_eq!(told.detail, "the query is empty");
        assert_eq!(
            (told.kind.as_str(), told.title.as_str()),
            ("/problems/empty_query", "Empty query")
        );
    }
}
