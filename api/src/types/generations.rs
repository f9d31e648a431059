//! What is said of a collection's configurations, and of changing them?

use cento_core::{GenerationNo, Sequence};
use cento_index::{CollectionSettings, GenerationState};
use cento_ingest::{Chunking, Failure, ReindexReport};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::ProblemBody;

/// The configurations of a collection.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct GenerationList {
    /// Each of them, oldest first.
    pub generations: Vec<Generation>,
}

/// A configuration of a collection: a model and a way of cutting, built over
/// its log.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Generation {
    /// Its number.
    pub number: GenerationNo,
    /// `serving`, `building`, or `former`: kept to go back to.
    pub state: GenerationState,
    /// When it was begun, in seconds since 1970.
    pub created: u64,
    /// Documents that it has not derived yet; null for a former one, which is
    /// not followed.
    pub pending: Option<u64>,
    /// The model and the way of cutting.
    pub settings: CollectionSettings,
}

/// How a collection is to be embedded and cut.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"chunking": "none"}))]
pub struct Reindex {
    /// The model; as it is unless named. A server takes only those it was
    /// started with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub embedder: Option<String>,
    /// The way of cutting; as it is unless named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chunking: Option<Chunking>,
    /// Whether it is done even if both are as they are already.
    #[serde(default)]
    pub force: bool,
}

/// One line of the answer to a reindexing or a rollback.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum ReindexEvent {
    /// The first line: it begins, or goes on where it was stopped.
    Started {
        /// The generation that is built.
        generation: GenerationNo,
        /// Documents that are to be derived.
        pending: u64,
    },
    /// What was derived is on disk.
    Progress {
        /// Documents derived so far.
        documents: u64,
        /// Their chunks.
        chunks: u64,
        /// About how many documents are left; more may come in.
        pending: u64,
    },
    /// The chunker could not cut a document, which becomes one chunk.
    Whole {
        /// Which one, and why.
        failure: Failure,
    },
    /// The last line: the generation serves.
    Done {
        /// What was done in all.
        report: ReindexReport,
        /// The last write that queries see.
        sequence: Sequence,
    },
    /// The last line: it ended early. The former generation serves, and the
    /// same request goes on where this one ended.
    Error {
        /// Why.
        problem: ProblemBody,
    },
}
