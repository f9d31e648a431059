//! What does a caller put in?

use crate::{ContentHash, DocumentId, Metadata};

/// A document as it stands in a collection.
#[derive(Debug, Clone, PartialEq)]
pub struct Document {
    /// The caller's name for it.
    pub id: DocumentId,
    /// What people call it; may be empty.
    pub title: String,
    /// Where it came from, as a URI or a path; for people, never opened again.
    pub source: Option<String>,
    /// Filterable fields.
    pub metadata: Metadata,
    /// The canonical text: what parsing yielded. Every span is a byte range of
    /// it.
    pub text: String,
    /// Identity of what it was made from, to skip unchanged documents.
    pub content_hash: ContentHash,
}
