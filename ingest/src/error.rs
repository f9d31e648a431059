//! What can go wrong with a whole ingestion, and whose fault is it?
//!
//! What is wrong with *one* document never ends an ingestion: it becomes a
//! [`crate::Failure`] of the report.

use std::path::PathBuf;

use cento_embed::EmbedError;
use cento_index::IndexError;

/// An error that ends an ingestion. What was committed before it stays.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IngestError {
    /// The caller's fault: a path that is not there.
    #[error("there is no file or folder {path}: check the path")]
    PathNotFound {
        /// The path as it was given.
        path: PathBuf,
    },
    /// The caller's fault: the paths hold no file to read.
    #[error(
        "nothing to ingest in {places}: no files there (hidden files, symbolic links and what .gitignore names are skipped)"
    )]
    NothingToIngest {
        /// The paths as they were given, joined for reading.
        places: String,
    },
    /// The caller's fault: the collection was made with another model.
    #[error(
        "this collection's vectors come from {expected}, but the model here is {found}: use that model, or reindex the collection with this one"
    )]
    ModelMismatch {
        /// Fingerprint of the collection's model.
        expected: String,
        /// Fingerprint of the model given.
        found: String,
    },
    /// The caller's fault: the collection was made with another chunker.
    #[error(
        "this collection was cut by the chunker {expected}, but this program has {known}: reindex the collection"
    )]
    ChunkingMismatch {
        /// Fingerprint of the collection's chunker.
        expected: String,
        /// Fingerprints of the chunkers here, joined for reading.
        known: String,
    },
    /// The caller's fault: a reindexing would change nothing.
    #[error("nothing to change: this collection is embedded by {model} and cut by {chunking}")]
    NothingToChange {
        /// The model's name.
        model: String,
        /// Fingerprint of the chunker.
        chunking: String,
    },
    /// The caller's fault: no chunking has this name.
    #[error("no chunking is called '{name}'; there is: {known}")]
    UnknownChunking {
        /// The name as it was given.
        name: String,
        /// The names there are, joined for reading.
        known: String,
    },
    /// The texts could not be embedded.
    #[error(transparent)]
    Embed(#[from] EmbedError),
    /// The engine failed.
    #[error(transparent)]
    Index(#[from] IndexError),
    /// Our fault: a worker ended without handing over its result.
    #[error("the ingestion's worker ended early: this is a defect, please report it")]
    WorkerLost,
}
