//! Judged queries in, figures out.
//!
//! This crate answers: *does a context hold the evidence that a person would
//! point at?* Judgements are spans of canonical text, not chunks, so that they
//! outlive every change of chunking.

#![deny(missing_docs)]

mod error;
mod evidence;
mod judged;
mod verify;

pub use error::EvalError;
pub use evidence::{EvidenceMeans, EvidenceScore, cited_spans};
pub use judged::{Evidence, JudgedQuery, load, parse};
pub use verify::{Gold, VerifyError, verify};
