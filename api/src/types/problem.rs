//! How does an error look on the wire?

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::Problem;

/// An error, as `application/problem+json` (RFC 9457).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(example = json!({
    "type": "/problems/unknown_collection", "title": "Unknown collection", "status": 404,
    "detail": "no collection 'handbok' here; there is: handbook", "code": "unknown_collection",
    "help": "GET /v1/collections names the collections", "retry": false, "request_id": "5f0c3a1e00000001"
}))]
pub struct ProblemBody {
    /// The code as a URI reference.
    #[serde(rename = "type")]
    #[schema(format = "uri-reference")]
    pub kind: String,
    /// The code in words; always the same for one code.
    pub title: String,
    /// The HTTP status.
    #[schema(minimum = 400, maximum = 599)]
    pub status: u16,
    /// What is wrong, this time.
    pub detail: String,
    /// Stable, `snake_case`; what programs rely on.
    #[schema(pattern = "^[a-z][a-z0-9_]*$")]
    pub code: String,
    /// What to do next; absent where the detail says it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub help: String,
    /// Whether the same request may succeed later with nothing changed.
    pub retry: bool,
    /// Names the request in the server's log.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub request_id: String,
}

impl From<ProblemBody> for Problem {
    fn from(body: ProblemBody) -> Self {
        Self {
            code: body.code.into(),
            status: body.status,
            detail: body.detail,
            help: body.help.into(),
            retry: body.retry,
        }
    }
}
