//! How is a request read, and what is said if it cannot be?

use std::str::FromStr;

use axum::extract::rejection::RawPathParamsRejection;
use axum::extract::{FromRequest, FromRequestParts, RawPathParams, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use cento_core::{CollectionName, DocumentId, GenerationNo, Sequence};
use cento_index::Condition;
use serde::de::DeserializeOwned;

use super::body::read_whole;
use crate::Problem;
use crate::state::AppState;
use crate::types::Object;

/// A JSON body.
pub(crate) struct Json<T>(pub(crate) T);

impl<T: DeserializeOwned> FromRequest<AppState> for Json<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, app: &AppState) -> Result<Self, Problem> {
        let (parts, body) = request.into_parts();
        match media_type(&parts.headers)? {
            Some(MediaType::Json) => {}
            _ => return Err(unsupported_media_type("application/json")),
        }
        let bytes = read_whole(&parts.headers, body, &app.config).await?;
        parse(&bytes).map(Self)
    }
}

/// Reads a JSON object; what is wrong is told with its line and column.
pub(crate) fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    let read = serde_json::from_slice(bytes).map(|Object(value)| value);
    read.map_err(|error| {
        if error.is_data() {
            Problem::new(
                "invalid_request",
                422,
                format!("the body is not what is asked for here: {error}"),
            )
        } else {
            Problem::new(
                "invalid_json",
                400,
                format!("the body is not valid JSON: {error}"),
            )
        }
    })
}

/// What bodies are made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum MediaType {
    Json,
    Ndjson,
    /// An archive of a snapshot.
    Tar,
}

/// The type of a body that we know; none if it is another or is not told.
///
/// # Errors
/// `unsupported_encoding` if the body is compressed.
pub(crate) fn media_type(headers: &HeaderMap) -> Result<Option<MediaType>, Problem> {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let encoding = text(header::CONTENT_ENCODING).unwrap_or("identity").trim();
    if !encoding.eq_ignore_ascii_case("identity") {
        let detail = format!("bodies are taken as they are, not as {encoding}");
        return Err(Problem::new("unsupported_encoding", 415, detail)
            .with_help("send the body uncompressed"));
    }
    let given = text(header::CONTENT_TYPE).unwrap_or_default();
    let essence = given.split(';').next().unwrap_or_default().trim();
    Ok(match essence.to_ascii_lowercase().as_str() {
        "application/json" => Some(MediaType::Json),
        "application/x-ndjson" | "application/ndjson" | "application/jsonl" => {
            Some(MediaType::Ndjson)
        }
        "application/x-tar" => Some(MediaType::Tar),
        _ => None,
    })
}

pub(crate) fn unsupported_media_type(taken: &str) -> Problem {
    let detail = format!("the body's Content-Type must be {taken}");
    Problem::new("unsupported_media_type", 415, detail)
}

/// What stands behind `?`.
pub(crate) struct Query<T>(pub(crate) T);

impl<T: DeserializeOwned> FromRequestParts<AppState> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &AppState) -> Result<Self, Problem> {
        let read = axum::extract::Query::try_from_uri(&parts.uri);
        match read {
            Ok(axum::extract::Query(query)) => Ok(Self(query)),
            Err(error) => Err(Problem::new("invalid_query", 400, error.body_text())),
        }
    }
}

/// The collection that a path names.
pub(crate) struct InCollection(pub(crate) CollectionName);

impl FromRequestParts<AppState> for InCollection {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &AppState) -> Result<Self, Problem> {
        let parameters = path(parts, app).await?;
        Ok(Self(CollectionName::new(parameter(&parameters, "name"))?))
    }
}

/// The document that a path names.
pub(crate) struct OfDocument(pub(crate) CollectionName, pub(crate) DocumentId);

impl FromRequestParts<AppState> for OfDocument {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &AppState) -> Result<Self, Problem> {
        let parameters = path(parts, app).await?;
        let name = CollectionName::new(parameter(&parameters, "name"))?;
        // `…/documents/delete` is a path of its own, which a document with that
        // very id shares.
        let id = match parameter(&parameters, "id") {
            "" => "delete",
            id => id,
        };
        Ok(Self(name, DocumentId::new(id)?))
    }
}

/// The generation that a path names.
pub(crate) struct OfGeneration(pub(crate) CollectionName, pub(crate) GenerationNo);

impl FromRequestParts<AppState> for OfGeneration {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &AppState) -> Result<Self, Problem> {
        let parameters = path(parts, app).await?;
        let name = CollectionName::new(parameter(&parameters, "name"))?;
        let written = parameter(&parameters, "number");
        match written.parse() {
            Ok(number) => Ok(Self(name, GenerationNo(number))),
            Err(_) => {
                let detail = format!("'{written}' is no generation's number");
                Err(Problem::new("invalid_path", 400, detail))
            }
        }
    }
}

/// The snapshot that a path names.
pub(crate) struct OfSnapshot(pub(crate) CollectionName, pub(crate) String);

impl FromRequestParts<AppState> for OfSnapshot {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &AppState) -> Result<Self, Problem> {
        let parameters = path(parts, app).await?;
        let name = CollectionName::new(parameter(&parameters, "name"))?;
        Ok(Self(name, parameter(&parameters, "id").to_owned()))
    }
}

/// What may stand for a change of one document to be made, one of these: the
/// version that `if_version` or those that the header `If-Match` names.
pub(crate) fn conditions(
    headers: &HeaderMap,
    if_version: Option<u64>,
) -> Result<Vec<Condition>, Problem> {
    let wrong = |detail: String| {
        Problem::new("invalid_condition", 400, detail)
            .with_help("give If-Match the ETag of the document, as in \"12\"")
    };
    let mut tags = Vec::new();
    // Several headers are one list.
    for line in headers.get_all(header::IF_MATCH) {
        let Ok(line) = line.to_str() else {
            let detail = "If-Match holds characters that no document's ETag has";
            return Err(wrong(detail.to_owned()));
        };
        let listed = line.split(',').map(str::trim);
        tags.extend(listed.filter(|tag| !tag.is_empty()));
    }
    if !headers.contains_key(header::IF_MATCH) {
        return Ok(vec![match if_version {
            None => Condition::Always,
            Some(0) => Condition::Absent,
            Some(version) => Condition::Version(Sequence(version)),
        }]);
    }
    if if_version.is_some() {
        return Err(wrong("the condition is given more than once".to_owned()));
    }
    if tags.is_empty() {
        return Err(wrong("If-Match is empty".to_owned()));
    }
    if tags == ["*"] {
        // That it must be there is looked at anyway.
        return Ok(vec![Condition::Always]);
    }
    let mut conditions = Vec::new();
    for tag in tags {
        // A weak one never matches for a change, whatever it says.
        let (is_weak, strong) = match tag.strip_prefix("W/") {
            Some(weak) => (true, weak),
            None => (false, tag),
        };
        let quoted = strong.strip_prefix('"').and_then(|t| t.strip_suffix('"'));
        let version = quoted.filter(|t| t.bytes().all(|b| b.is_ascii_digit()));
        match version.and_then(|version| version.parse().ok()) {
            Some(_) if is_weak => {}
            Some(version) => conditions.push(Condition::Version(Sequence(version))),
            None => return Err(wrong(format!("If-Match: {tag} is no document's ETag"))),
        }
    }
    Ok(conditions)
}

async fn path(parts: &mut Parts, app: &AppState) -> Result<RawPathParams, Problem> {
    RawPathParams::from_request_parts(parts, app)
        .await
        .map_err(|error: RawPathParamsRejection| {
            Problem::new("invalid_path", 400, error.body_text())
        })
}

fn parameter<'a>(parameters: &'a RawPathParams, name: &str) -> &'a str {
    let found = parameters.iter().find(|(key, _)| *key == name);
    found.map_or("", |(_, value)| value)
}

/// A length that a client tells beforehand.
pub(crate) fn content_length(headers: &HeaderMap) -> Option<u64> {
    let value = headers.get(header::CONTENT_LENGTH)?.to_str().ok()?;
    u64::from_str(value).ok()
}
