//! The words that every other room of cento uses.
//!
//! This crate answers one question: *what do we mean when we say document,
//! chunk, span, score, budget or filter?* It does no I/O and knows no
//! framework, so that each of those words has one meaning in the whole house.

#![deny(missing_docs)]

pub mod chunk;
pub mod document;
pub mod error;
pub mod fields;
pub mod filter;
pub mod hash;
pub mod ids;
pub mod metadata;
pub mod metadata_patch;
pub mod passage;
pub mod score;
pub mod span;
pub mod tokens;

pub use chunk::Chunk;
pub use document::{Document, TextKind};
pub use error::CoreError;
pub use fields::{FieldType, FieldTypes};
pub use filter::{Comparison, FieldRef, Filter, Membership};
pub use hash::{ContentHash, TextHash};
pub use ids::{ChunkId, ChunkNo, CollectionName, DocumentId, GenerationNo, Sequence};
pub use metadata::{Metadata, MetadataValue, Scalar};
pub use metadata_patch::MetadataPatch;
pub use passage::Passage;
pub use score::{Bm25Score, CosineScore, FusedScore, RerankScore};
pub use span::ByteSpan;
pub use tokens::{TokenBudget, TokenCount};
