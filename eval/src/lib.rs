//! Judged sets in, figures out.
//!
//! This crate answers: *did retrieval get better or worse?* Two kinds of
//! judgement are known. Where people judged documents, rankings are measured as
//! trec_eval does. Where they judged spans, a context is measured by how much
//! of the evidence it holds; spans of canonical text outlive every change of
//! chunking.
//!
//! ```text
//! folder ─→ Dataset ─→ a collection ─┬─→ rankings of documents ─→ nDCG, MAP, … ─┐
//! (judgements checked)               └─→ contexts of N tokens ─→ evidence, fill ┴─→ Report
//! another system's run or candidates ──────────────────────────────────────────────↗
//! ```

#![deny(missing_docs)]

mod candidates;
mod contexts;
mod datasets;
mod documents;
mod error;
mod evidence;
mod export;
mod indexed;
mod judged;
mod measures;
mod provenance;
mod qrels;
mod redundancy;
mod report;
mod run;
mod text_file;
mod trec;
mod verify;

pub use candidates::{Candidate, Candidates};
pub use contexts::{ContextAsking, ContextMeans, ContextRow, contexts, packed};
pub use datasets::{Dataset, Layout, Question, Selection};
pub use documents::{Asking, Figures, Means, QueryRow, ask, measure};
pub use error::EvalError;
pub use evidence::{EvidenceMeans, EvidenceScore, cited_spans};
pub use export::{Exported, export};
pub use indexed::{CorpusCounts, Indexed, index};
pub use judged::{Evidence, JudgedQuery, load, parse};
pub use measures::{Ideal, Measure};
pub use provenance::{DatasetSettings, Environment, RerankSettings, Settings, System};
pub use qrels::Qrels;
pub use redundancy::redundancy;
pub use report::{Report, Rows, write_run};
pub use run::{Outcome, Plan, run, run_candidates};
pub use trec::{Ranking, Run};
pub use verify::{Gold, VerifyError, verify};
