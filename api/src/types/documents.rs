//! What is said of documents?

use cento_core::{ByteSpan, ChunkId, DocumentId, Sequence};
use cento_ingest::ProblemCode;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};
use utoipa::{IntoParams, ToSchema};

/// When is a write answered?
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Wait {
    /// When it is on disk and survives any crash. It can be found within a
    /// second.
    #[default]
    Durable,
    /// When, besides, every query from now on finds it.
    Visible,
}

/// What may stand behind `?` of a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct WaitQuery {
    /// When the write is answered: `durable` as soon as it is on disk (it is
    /// found within a second), `visible` when queries find it.
    #[serde(default)]
    #[param(inline, required = false)]
    pub wait: Wait,
}

/// What may stand behind `?` of a change of one document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ChangeQuery {
    /// When the write is answered: `durable` as soon as it is on disk (it is
    /// found within a second), `visible` when queries find it.
    #[serde(default)]
    #[param(inline, required = false)]
    pub wait: Wait,
    /// The version (`sequence`) that must stand for the change to be made. The
    /// header `If-Match` with a document's `ETag` says the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[param(required = false, minimum = 0)]
    pub if_version: Option<u64>,
}

/// What may stand behind `?` of a listing.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct PageQuery {
    /// List what comes after this id: the `next` of the page before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[param(value_type = String, required = false, min_length = 1, max_length = 1024, pattern = r"^[^\x00-\x1f\x7f-\x9f]+$")]
    pub after: Option<DocumentId>,
    /// The most documents of the page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[param(value_type = usize, required = false, minimum = 1, maximum = 1000, default = 100)]
    pub limit: Option<usize>,
}

impl PageQuery {
    /// The most documents of one page.
    pub const MAX: usize = 1000;
    /// How many there are where nothing is said.
    pub const DEFAULT: usize = 100;
}

/// Documents to be put.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PutDocuments {
    /// The documents. One with the id of a document that is there replaces it
    /// as a whole.
    #[serde(deserialize_with = "super::only_objects::list")]
    pub documents: Vec<DocumentInput>,
}

/// One document to be put: either with its `text`, or with the bytes of a file
/// in `content_base64`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"id": "guide/refunds.md", "title": "Refunds", "text": "A refund takes five days.", "metadata": {"team": "support", "year": 2026}}))]
pub struct DocumentInput {
    /// The caller's name for it: 1 to 1,024 bytes without control characters.
    pub id: String,
    /// What people call it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// Its text, kept as it is: every citation is a byte range of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// The bytes of a file in standard Base64, parsed as its content and the
    /// ending of the id say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content_base64: Option<String>,
    /// Where it came from; never opened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// Fields for filters: values or lists of values; objects within become
    /// fields with dotted names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Map<String, Value>>,
    /// The version (`sequence`) that must stand under its id for it to be
    /// written; 0 where none may. Otherwise it fails with `version_conflict`.
    /// A document that stands there just so already is `unchanged` either way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub if_version: Option<u64>,
}

/// What became of documents that were put.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct PutResults {
    /// How many are on disk now.
    pub stored: u64,
    /// How many were there already, just so.
    pub unchanged: u64,
    /// How many were refused.
    pub failed: u64,
    /// One for each document, in their order.
    pub results: Vec<PutResult>,
}

/// What became of one document.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "status", rename_all = "snake_case")]
pub enum PutResult {
    /// It is on disk and survives any crash.
    Stored {
        /// Its id.
        id: DocumentId,
        /// The place of this write in the order of all writes.
        sequence: Sequence,
    },
    /// It was there already, just so.
    Unchanged {
        /// Its id.
        id: DocumentId,
    },
    /// It was refused; the others of the request were not.
    Failed {
        /// Its id, as it was given.
        id: String,
        /// What kind of problem it is.
        code: ProblemCode,
        /// What is wrong and what to do about it.
        detail: String,
    },
}

/// A page of a listing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct DocumentPage {
    /// Documents in order of id, byte by byte.
    pub documents: Vec<DocumentSummary>,
    /// What to give as `after` for the next page; null on the last.
    pub next: Option<DocumentId>,
}

/// A document without its text.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct DocumentSummary {
    /// Its id.
    pub id: DocumentId,
    /// Its title; may be empty.
    pub title: String,
    /// Where it came from.
    pub source: Option<String>,
    /// Its fields, flat: `author.name` is one field.
    pub metadata: Map<String, Value>,
    /// The write that made this version.
    pub sequence: Sequence,
    /// Length of its canonical text in bytes.
    pub bytes: u64,
    /// How many chunks it has.
    pub chunks: u32,
    /// Identity of what it was made from.
    pub content_hash: String,
}

/// A document with its text.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct DocumentDetail {
    /// Its id.
    pub id: DocumentId,
    /// Its title; may be empty.
    pub title: String,
    /// Where it came from.
    pub source: Option<String>,
    /// Its fields, flat: `author.name` is one field.
    pub metadata: Map<String, Value>,
    /// The write that made this version.
    pub sequence: Sequence,
    /// Length of its canonical text in bytes.
    pub bytes: u64,
    /// Identity of what it was made from.
    pub content_hash: String,
    /// Its canonical text: every span is a byte range of it.
    pub text: String,
    /// Its chunks, in order.
    pub chunks: Vec<ChunkInfo>,
}

/// A chunk of a document, without its text.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ChunkInfo {
    /// Its id.
    pub id: ChunkId,
    /// Its bytes in the canonical text.
    pub span: ByteSpan,
    /// The 1-based line on which it begins.
    pub line: u32,
    /// The headings above it, outermost first.
    pub heading_path: Vec<String>,
}

/// Documents to be deleted: either `ids` or a `filter`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(min_properties = 1, max_properties = 1, example = json!({"ids": ["guide/refunds.md"]}))]
pub struct DeleteDocuments {
    /// The documents with these ids.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "not_null"
    )]
    #[schema(value_type = Vec<DocumentId>, required = false)]
    pub ids: Option<Vec<DocumentId>>,
    /// All documents that pass this filter.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "not_null"
    )]
    #[schema(value_type = cento_core::Filter, required = false)]
    pub filter: Option<Value>,
}

/// Reads what is given; null is not nothing where documents are deleted.
fn not_null<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

/// What was deleted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct DeleteResults {
    /// How many documents are gone.
    pub deleted: u64,
    /// Which of the ids were not there.
    pub unknown: Vec<DocumentId>,
}

/// A change of a document's metadata.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"metadata": {"year": 2027, "draft": null}}))]
pub struct PatchDocument {
    /// A JSON merge patch (RFC 7396): a value sets its field, null removes it,
    /// what is not named stays.
    pub metadata: Map<String, Value>,
}

/// A change that was made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct PatchResult {
    /// The document.
    pub id: DocumentId,
    /// The write that made the version that stands.
    pub sequence: Sequence,
}
