//! What can be wrong with a judged set?

use std::path::PathBuf;

/// An error of evaluation. All but reading are the fault of who wrote the set.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EvalError {
    /// The set's file is missing or cannot be read.
    #[error("cannot read the judged queries {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A line is not a judged query.
    #[error("line {line} of the judged queries: {reason}")]
    Line {
        /// The line, from 1.
        line: usize,
        /// What is wrong with it.
        reason: String,
    },
    /// An id stands on two lines, so that figures could not name a query.
    #[error("line {line} of the judged queries: the id '{id}' stands on line {first} already")]
    DuplicateId {
        /// The later line, from 1.
        line: usize,
        /// The earlier line, from 1.
        first: usize,
        /// The id.
        id: String,
    },
    /// There is no query at all: a mean over nothing would be no figure.
    #[error("there are no judged queries: the file has no line with text")]
    Empty,
}
