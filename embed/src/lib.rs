//! Texts in, vectors out.
//!
//! This crate answers: *where in the space of meaning does a text stand?* The
//! model is a static one, embedded in the binary: a table of token vectors in
//! Model2Vec's format, so that nothing has to be installed and a text takes
//! microseconds. `data/models/` holds it, with the recipe that made it. Neural
//! models come from files, or are asked of a server that runs them; what they say
//! is kept, so that no text is embedded twice.

#![deny(missing_docs)]

mod bundled;
mod cache;
mod cached;
mod embedder;
mod error;
mod fitted;
mod linear;
mod local;
#[cfg(feature = "fastembed")]
mod neural;
mod open;
#[cfg(feature = "remote")]
mod remote;
mod reranker;
mod static_embedder;
mod static_model;
mod wordpiece;

pub use bundled::Bundled;
pub use cache::EmbeddingCache;
pub use cached::cached;
pub use embedder::{Contract, Embedder, Recalled, Standout};
pub use error::EmbedError;
pub use local::{LocalModel, local_bytes, local_models, pull};
pub use open::open;
pub use reranker::{Reranker, open_reranker};
