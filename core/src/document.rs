//! What does a caller put in?

use serde::{Deserialize, Serialize};

use crate::{ContentHash, DocumentId, Metadata};

/// How a canonical text is to be read, so that it can be cut again without the
/// file that it came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum TextKind {
    /// Paragraphs, without headings.
    #[default]
    Prose,
    /// Plain text in which a line may be a heading.
    Plain,
    /// Markdown.
    Markdown,
    /// Lines that stand for themselves: code, tables, logs.
    Lines,
}

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
    /// How the text is to be read when it is cut.
    pub kind: TextKind,
    /// Identity of what it was made from, to skip unchanged documents.
    pub content_hash: ContentHash,
}
