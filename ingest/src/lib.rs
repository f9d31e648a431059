//! Bytes in, documents and chunks in the index.
//!
//! This crate answers: *what does a file say, into which pieces is it cut, and
//! how does it come into a collection?* [`prepare`] is the way from bytes to
//! chunks without an engine; [`ingest`] is the whole way, from files and
//! folders to what can be found; [`reindex`] goes it again from the texts that
//! are there, with another model or another way of cutting.

#![deny(missing_docs)]

mod batch;
mod blocks;
mod chunk;
mod chunking;
mod decode;
mod error;
mod fit;
mod format;
mod html;
mod jsonl;
mod markdown;
mod pipeline;
mod prepare;
mod problem;
mod read;
mod records;
mod reindex;
mod report;
mod seen;
mod sentences;
mod text;
mod walk;

pub use chunking::Chunking;
pub use error::IngestError;
pub use fit::{fit_anew, fit_if_due, fitted};
pub use pipeline::{Options, collection_settings, ingest};
pub use prepare::{Prepared, prepare};
pub use problem::{Failure, ProblemCode};
pub use records::{FileRecord, Records, records};
pub use reindex::{Estimate, ReindexReport, ReindexStep, estimate, reindex, rollback};
pub use report::{Event, Report};
pub use walk::Source;
