//! A query in, a cited context within an exact budget out.
//!
//! This crate answers: *which quotations should stand in the prompt?*
//!
//! ```text
//! query ─→ legs ─→ fusion ─→ duplicates collapse ─┬─→ search: the best chunks
//!          (fixed depth)     ─→ maybe reranking   └─→ context: passages, packed
//!                                                      into an exact budget, with
//!                                                      citations and a receipt
//! ```
//!
//! It knows nothing of how documents come in, and it sees the index only
//! through [`cento_index::View`]: one query looks at one state from beginning
//! to end, so that the same query on the same view gives the same bytes.

#![deny(missing_docs)]

mod candidates;
mod citation;
mod context;
mod dedupe;
mod effort;
mod error;
mod found;
mod fusion;
mod legs;
mod pack;
mod passages;
mod query;
mod ranking;
mod receipt;
mod render;
mod rerank;
mod search;
mod tokenizer;

#[cfg(test)]
#[path = "../tests/common/mod.rs"]
mod test_common;

pub use candidates::LegScore;
pub use citation::Citation;
pub use context::{ContextRequest, ContextResponse, context};
pub use effort::{MAX_EF, effort};
pub use error::RetrieveError;
pub use found::Found;
pub use fusion::Fusion;
pub use legs::Legs;
pub use query::{MAX_QUERY_CHARS, Query};
pub use ranking::{LEG_DEPTH, Ranking};
pub use receipt::{Decision, DropReason, Receipt, ReceiptCounts, ReceiptEntry};
pub use render::{render, unescape_attribute, unescape_text};
pub use rerank::{Rerank, RerankFailure, Reranked, RerankedFrom};
pub use search::{
    RankedChunk, RankedChunks, SearchHit, SearchRequest, SearchResponse, rank, search,
};
pub use tokenizer::Tokenizer;
