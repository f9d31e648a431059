//! What is said over the wire, in both directions?
//!
//! Requests refuse fields that they do not know: a misspelt option is told, not
//! ignored. Answers are read leniently, so that an older client understands a
//! newer server. What a library room answers is its own type, with its schema.

mod collections;
mod documents;
mod events;
mod generations;
mod only_objects;
mod problem;
mod queries;
mod snapshots;
mod upkeep;
mod whole;

pub use collections::{
    CollectionInfo, CollectionList, CollectionSummary, FittedTo, NewCollection, UnusableCollection,
};
pub use documents::{
    ChangeQuery, ChunkInfo, DeleteDocuments, DeleteResults, DocumentDetail, DocumentInput,
    DocumentPage, DocumentSummary, PageQuery, PatchDocument, PatchResult, PutDocuments, PutResult,
    PutResults, Wait, WaitQuery,
};
pub use events::IngestEvent;
pub use generations::{Generation, GenerationList, Reindex, ReindexEvent};
pub(crate) use only_objects::Object;
pub use problem::ProblemBody;
pub use queries::{ContextQuery, RerankQuery, SearchQuery};
pub use snapshots::{Archive, NewSnapshot, Purge, RebuildQuery, SnapshotList};
pub use upkeep::{AuditResult, Health, Readiness, RebuildResult, Recovered, Skipped, Welcome};
