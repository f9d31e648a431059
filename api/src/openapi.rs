//! How is the API described to programs?
//!
//! The description is generated from the handlers and the types they take and
//! give; `api/openapi.json` is a copy that a test compares with it. What can go
//! wrong with a request does not depend much on what it asks for, so the
//! problems are added here, by what kind of request it is.

use utoipa::OpenApi as _;
use utoipa::openapi::path::{Operation, PathItem};
use utoipa::openapi::{ContentBuilder, OpenApi, Ref, RefOr, ResponseBuilder};

use crate::http::respond::PROBLEM_JSON;
use crate::router;
use crate::types::ProblemBody;

#[derive(utoipa::OpenApi)]
#[openapi(
    info(
        title = "cento",
        description = "Documents in, a cited context within an exact token budget out.\n\nEvery error is `application/problem+json` (RFC 9457) with a stable `code`. Every response names its request in `x-request-id`.",
        license(name = "MIT OR Apache-2.0", identifier = "MIT OR Apache-2.0"),
    ),
    components(schemas(ProblemBody)),
    tags(
        (name = "collections", description = "Named sets of documents with one model and one way of cutting."),
        (name = "documents", description = "What is put in, and what is known of it."),
        (name = "queries", description = "What fits a question, and the context made of it."),
        (name = "snapshots", description = "Moments that are kept, gone back to, and carried elsewhere."),
        (name = "generations", description = "The model and the way of cutting, and changing them without downtime."),
        (name = "upkeep", description = "Whether projections and log agree, and giving space back."),
        (name = "server", description = "The server itself."),
    ),
)]
struct Description;

/// The description before the paths are added.
pub(crate) fn base() -> OpenApi {
    Description::openapi()
}

/// The description of the whole API as JSON, indented.
pub(crate) fn json() -> String {
    let (_, mut description) = router::described();
    for item in description.paths.paths.values_mut() {
        for operation in operations(item) {
            add_problems(operation);
        }
    }
    let mut json = serde_json::to_string_pretty(&description).unwrap_or_default();
    json.push('\n');
    json
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    let PathItem {
        get,
        post,
        delete,
        patch,
        ..
    } = item;
    [get, post, delete, patch].into_iter().flatten()
}

/// What can go wrong with any request of the tag `server`, or below `/v1`.
const ALWAYS: &[u16] = &[400, 403, 429, 500, 503, 504];
const WITH_PATH: &[u16] = &[404];
const WITH_BODY: &[u16] = &[408, 413, 415, 422];
const WRITING: &[u16] = &[409, 507];
/// What opening a model can end with, beside the others.
const WITH_MODEL: &[u16] = &[501, 502];

fn add_problems(operation: &mut Operation) {
    let is_of = |wanted: &[&str]| {
        let tags = operation.tags.iter().flatten();
        tags.into_iter().any(|tag| wanted.contains(&tag.as_str()))
    };
    let keeps = is_of(&["snapshots", "generations"]);
    if is_of(&["server"]) {
        add(operation, &[400, 403]);
        return;
    }
    add(operation, ALWAYS);
    add(operation, WITH_PATH);
    add(operation, WRITING);
    if keeps {
        add(operation, &[422]);
        add(operation, WITH_MODEL);
    }
    if operation.request_body.is_some() {
        add(operation, WITH_BODY);
        add(operation, WITH_MODEL);
    }
}

fn add(operation: &mut Operation, statuses: &[u16]) {
    for &status in statuses {
        let content = ContentBuilder::new()
            .schema(Some(Ref::from_schema_name("ProblemBody")))
            .build();
        let response = ResponseBuilder::new()
            .description(meaning(status))
            .content(PROBLEM_JSON, content)
            .build();
        operation
            .responses
            .responses
            .entry(status.to_string())
            .or_insert(RefOr::T(response));
    }
}

fn meaning(status: u16) -> &'static str {
    match status {
        400 => "The request cannot be read, or asks for something that makes no sense.",
        403 => "The request names another host, or comes from a page of another origin.",
        404 => "No such collection, document, snapshot, generation or model.",
        408 => "The body did not arrive in time.",
        409 => {
            "It is there already, is being used, was made with another model, or there is nothing to change."
        }
        413 => "The body is too large.",
        415 => "The body is of another type.",
        422 => "The body or the path can be read, but is not what is asked for.",
        429 => "Too much is waiting already; Retry-After says when to come back.",
        501 => "This server was built without neural models.",
        502 => "The model could not be fetched.",
        503 => "The server is ending, or the collection takes no writes any more.",
        504 => "There was no answer in time.",
        507 => "The server's disk is full.",
        _ => "The server failed; its log has the reason.",
    }
}
