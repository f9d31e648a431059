//! Which words of which document does a passage quote?

use cento_core::{ByteSpan, ChunkId, DocumentId, Passage};
use serde::{Deserialize, Serialize};

/// Where a passage of the context comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Citation {
    /// The passage's number in the rendered context, from 1.
    pub passage: usize,
    /// The document it quotes.
    pub document: DocumentId,
    /// The document's title; may be empty.
    pub title: String,
    /// Where the document came from.
    pub source: Option<String>,
    /// The headings above its first chunk, outermost first.
    pub heading_path: Vec<String>,
    /// Its bytes in the document's canonical text.
    pub span: ByteSpan,
    /// The 1-based line of the canonical text on which it begins.
    pub line: u32,
    /// The chunks it is made of, in document order.
    pub chunks: Vec<ChunkId>,
    /// Exactly the canonical text at `span`, unescaped.
    pub quote: String,
}

impl Citation {
    pub(crate) fn of(passage: Passage, number: usize, source: Option<&str>) -> Self {
        Self {
            passage: number,
            document: passage.document,
            title: passage.title,
            source: source.map(str::to_owned),
            heading_path: passage.heading_path,
            span: passage.span,
            line: passage.line,
            chunks: passage.chunks,
            quote: passage.quote,
        }
    }
}
