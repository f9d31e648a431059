//! What stands in a context?

use crate::{ByteSpan, ChunkId, DocumentId};

/// A run of adjacent chunks of one document, merged for the context.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Passage {
    /// The document it quotes.
    pub document: DocumentId,
    /// Its bytes in the document's canonical text.
    pub span: ByteSpan,
    /// The chunks it is made of, in document order.
    pub chunks: Vec<ChunkId>,
    /// The 1-based line of the canonical text on which it begins.
    pub line: u32,
    /// The headings above its first chunk, outermost first.
    pub heading_path: Vec<String>,
    /// The document's title.
    pub title: String,
    /// Exactly the canonical text at `span`.
    pub quote: String,
}
