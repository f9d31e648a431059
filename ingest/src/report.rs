//! What did an ingestion do?

use cento_core::{DocumentId, Sequence};
use serde::{Deserialize, Serialize};

use crate::Failure;

/// The most failures that a report lists; all are counted.
const MAX_LISTED: usize = 100_000;

/// What an ingestion did, so far or in all.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[non_exhaustive]
pub struct Report {
    /// Documents that were not in the collection before.
    pub added: u64,
    /// Documents that replaced an older version.
    pub replaced: u64,
    /// Documents that were skipped because nothing about them has changed.
    pub unchanged: u64,
    /// Documents that were not ingested; see `failures`.
    pub failed: u64,
    /// Chunks of the added and replaced documents.
    pub chunks: u64,
    /// How many texts of chunks the model embedded: those of the others were known
    /// from before.
    #[serde(default)]
    pub embedded: u64,
    /// Bytes that were read.
    pub bytes_read: u64,
    /// How long it took, in milliseconds.
    pub elapsed_ms: u64,
    /// Whether it was stopped before its end.
    pub interrupted: bool,
    /// Every document that was not ingested, and why: the first 100,000.
    pub failures: Vec<Failure>,
    /// Documents of the collection whose file, or line, lay under one of the
    /// given paths and is not there any more. They are not deleted. Empty if
    /// the ingestion was interrupted.
    pub gone: Vec<DocumentId>,
}

impl Report {
    /// Counts a document that was not ingested.
    pub fn fail(&mut self, failure: Failure) {
        self.failed += 1;
        if self.failures.len() < MAX_LISTED {
            self.failures.push(failure);
        }
    }
}

/// What happens during an ingestion.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// The files are found; reading begins.
    Started {
        /// How many files there are.
        files: usize,
        /// How many bytes they have, as far as it is known before reading.
        bytes: u64,
    },
    /// A document was not ingested.
    Failed(&'a Failure),
    /// Documents are on disk: they survive any crash from now on.
    Committed {
        /// Their ids, in the order of the sources.
        ids: &'a [DocumentId],
        /// The write of the last one.
        sequence: Sequence,
    },
    /// A batch is done; this is the report so far.
    Progress(&'a Report),
}
