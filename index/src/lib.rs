//! The embedded engine: one log, and three projections of it.
//!
//! This crate answers: *where do documents live, and how are they found
//! again?* The log is the only truth; the catalog (sled), the text projection
//! (tantivy) and the vector projection (hnsw_rs) are derived from it, brought
//! forward on open and rebuilt when damaged. `docs/architecture.md` draws the
//! picture.

#![deny(missing_docs)]

mod applied;
pub mod archive;
mod catalog;
mod disk;
mod doctor;
mod engine;
mod error;
#[cfg(not(feature = "faults"))]
mod fault;
#[cfg(feature = "faults")]
pub mod fault;
mod frames;
mod group;
mod log;
mod log_record;
mod manifest;
mod projections;
mod random;
mod settings;
mod store;
mod text;
mod vectors;
mod view;

pub use doctor::{AuditReport, Difference};
pub use engine::{
    CompactionReport, Condition, DeleteOutcome, DeriveLast, DerivedDocument, Engine,
    GenerationInfo, Held, LostBytes, NewDocument, NewPatch, PatchOutcome, PendingDocument, Proven,
    PurgeReport, PutOutcome, SalvageReport, ScrubReport, SnapshotInfo,
};
pub use error::IndexError;
pub use manifest::GenerationState;
pub use projections::{Projection, Recovery};
pub use settings::{CollectionSettings, Precision, StoreOptions, VectorOptions, Verify};
pub use store::Store;
pub use vectors::{Effort, Freezing, GraphBuilder, Residence, Searched, VectorShape};
pub use view::{
    Allowed, Counts, DenseHits, FitInfo, LexicalHits, StoredChunk, StoredDocument, StoredOutline,
    View,
};
