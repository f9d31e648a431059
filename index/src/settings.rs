//! What is fixed for a generation of a collection, and what may be chosen
//! each time a data directory is opened?

use std::time::Duration;

use cento_core::FieldTypes;
use serde::{Deserialize, Serialize};

use crate::vectors::{GraphBuilder, Residence};

/// A collection's configuration, fixed for a generation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CollectionSettings {
    /// How the embedder is asked for: a model's name or directory.
    pub model: String,
    /// The fingerprint of the embedder that made every vector.
    pub embedder: String,
    /// How many dimensions its vectors have.
    pub dimensions: usize,
    /// How exactly the log keeps them.
    pub precision: Precision,
    /// The fingerprint of the chunker that cut every document.
    pub chunking: String,
    /// The types of fields that were declared at its creation.
    pub fields: FieldTypes,
}

/// How exactly the log keeps a vector.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// One byte a dimension: for models whose vectors lose nothing by it.
    I8,
    /// As the embedder gave it, four bytes a dimension.
    F32,
}

#[cfg(test)]
impl CollectionSettings {
    pub(crate) fn for_tests() -> Self {
        Self {
            model: "test".to_owned(),
            embedder: "test".to_owned(),
            dimensions: 3,
            precision: Precision::I8,
            chunking: "test/1".to_owned(),
            fields: FieldTypes::default(),
        }
    }
}

/// What may be chosen when a data directory is opened. Nothing of it changes
/// what is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreOptions {
    /// A segment of the log that has grown past this is closed and a new one
    /// begun.
    pub segment_bytes: u64,
    /// How long a commit may wait for others to share its sync, where others
    /// are about. 0: never.
    pub commit_delay: Duration,
    /// How many callers may share one sync.
    pub commit_requests: usize,
    /// sled's cache, for each open collection.
    pub catalog_cache_bytes: u64,
    /// Memory of each of the text projection's indexing threads; tantivy's
    /// least is 15 MB.
    pub text_arena_bytes: usize,
    /// How many collections stay open; the one that was not asked for longest
    /// is closed when there are more, unless somebody holds it.
    pub open_collections: usize,
    /// How much is verified before a collection is opened.
    pub verify: Verify,
    /// How many generations that have served are kept for a rollback.
    pub former_generations: usize,
    /// When vectors are frozen, and how.
    pub vectors: VectorOptions,
}

/// When vectors are frozen into segments, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VectorOptions {
    /// So many vectors are compared one by one before a graph is built of them.
    pub seal_rows: usize,
    /// Whether that is done beside writers, by a thread of its own, or while the
    /// one that publishes waits.
    pub freezes_beside: bool,
    /// Which program builds graphs.
    pub builder: GraphBuilder,
    /// Where segments are while they are searched.
    pub residence: Residence,
}

impl Default for VectorOptions {
    fn default() -> Self {
        Self {
            // A scan of so many takes about as long as a walk.
            seal_rows: 4096,
            freezes_beside: true,
            builder: GraphBuilder::default(),
            residence: Residence::default(),
        }
    }
}

/// How much is verified before a collection is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Verify {
    /// The manifest, the lengths of files, and the end of the log.
    #[default]
    Quick,
    /// Every byte of the log and the projections as well.
    Full,
}

impl Default for StoreOptions {
    fn default() -> Self {
        Self {
            segment_bytes: 128 << 20,
            commit_delay: Duration::ZERO,
            commit_requests: 1024,
            // sled's default of 1 GiB is meant for a database that is the main one.
            catalog_cache_bytes: 64 << 20,
            text_arena_bytes: 48 << 20,
            open_collections: 64,
            verify: Verify::Quick,
            former_generations: 1,
            vectors: VectorOptions::default(),
        }
    }
}

impl StoreOptions {
    /// These, but for what a test asks for that has only the binary.
    pub(crate) fn unless_tested(self) -> Self {
        #[cfg(feature = "faults")]
        if let Ok(bytes) = std::env::var("CENTO_TEST_SEGMENT_BYTES") {
            let segment_bytes = bytes.parse().unwrap_or(self.segment_bytes);
            return Self {
                segment_bytes,
                ..self
            };
        }
        self
    }
}
