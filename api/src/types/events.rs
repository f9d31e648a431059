//! What is told while documents stream in?

use cento_core::{DocumentId, Sequence};
use cento_ingest::{Failure, Report};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::ProblemBody;

/// One line of the answer to a stream of documents.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum IngestEvent {
    /// These documents are on disk and survive any crash.
    Committed {
        /// Their ids, in the order of the stream.
        documents: Vec<DocumentId>,
        /// The write of the last one.
        sequence: Sequence,
    },
    /// A line was refused; the others are not.
    Failed {
        /// What is wrong with it; its place is the line's number.
        failure: Failure,
    },
    /// The last line: everything was read.
    Done {
        /// What was done in all.
        report: Report,
    },
    /// The last line: the ingestion ended early. What was committed stays.
    Error {
        /// Why.
        problem: ProblemBody,
    },
}
