//! What can go wrong when quality is measured, and whose fault is it?

use std::path::PathBuf;

use cento_embed::EmbedError;
use cento_index::IndexError;
use cento_ingest::{Failure, IngestError};
use cento_retrieve::RetrieveError;

/// An error of evaluation. What is wrong with a judged set or a run is the
/// fault of who wrote it, and names the file and, where there is one, the line
/// from 1.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EvalError {
    /// A file cannot be read.
    #[error("cannot read {path}: {source}")]
    Read {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file cannot be written.
    #[error("cannot write {path}: {source}")]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A folder holds no judged set of a layout that is known.
    #[error("{dir} is no judged set: {known}")]
    UnknownLayout {
        /// The folder.
        dir: PathBuf,
        /// The layouts there are, by their files.
        known: String,
    },
    /// A judged set lacks a file that its layout demands.
    #[error("{path} is missing; there is: {known}")]
    MissingFile {
        /// The file that should be there.
        path: PathBuf,
        /// What stands in its folder, joined for reading.
        known: String,
    },
    /// A line, or what a whole file of JSON says, cannot be understood.
    #[error("{path}, line {line}: {reason}")]
    Line {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong with it.
        reason: String,
    },
    /// A table has other columns, or has them in another order.
    #[error("{path}, line {line}: expected {expected}, found {found}")]
    Columns {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// The columns that should be there.
        expected: &'static str,
        /// What is there.
        found: String,
    },
    /// A grade is not a whole number.
    #[error("{path}, line {line}: the grade {found:?} is not a whole number")]
    Grade {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is there.
        found: String,
    },
    /// An id stands on two lines, so that figures could not name what has it.
    #[error("{path}, line {line}: the id '{id}' stands on line {first} already")]
    DuplicateId {
        /// The file.
        path: PathBuf,
        /// The later line, from 1.
        line: usize,
        /// The earlier line, from 1.
        first: usize,
        /// The id.
        id: String,
    },
    /// A pair of query and document stands on two lines.
    #[error(
        "{path}, line {line}: query '{query}' with document '{document}' stands on line {first} already"
    )]
    DuplicatePair {
        /// The file.
        path: PathBuf,
        /// The later line, from 1.
        line: usize,
        /// The earlier line, from 1.
        first: usize,
        /// The query's id.
        query: String,
        /// The document's id.
        document: String,
    },
    /// A judgement or a candidate names a query that the set does not have.
    #[error("{path}, line {line}: there is no query '{id}'")]
    UnknownQuery {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// The id.
        id: String,
    },
    /// A judgement or a candidate names a document that the set does not have.
    #[error("{path}, line {line}: there is no document '{id}'")]
    UnknownDocument {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// The id.
        id: String,
    },
    /// There is nothing to measure with: a mean over nothing would be no
    /// figure.
    #[error("{path} holds no {what}")]
    Empty {
        /// The file.
        path: PathBuf,
        /// What should be in it.
        what: &'static str,
    },
    /// Judged evidence does not stand where the judgement says.
    #[error("{path}, query '{query}', evidence in '{document}': {reason}")]
    Evidence {
        /// The file of the judgement.
        path: PathBuf,
        /// The query's id.
        query: String,
        /// The document's id.
        document: String,
        /// What is wrong.
        reason: String,
    },
    /// No measure has this name.
    #[error("no measure is called '{name}'; there is: {known}")]
    UnknownMeasure {
        /// The name as it was given.
        name: String,
        /// The names there are, joined for reading.
        known: &'static str,
    },
    /// No selection of queries has this name.
    #[error("no selection of queries is called '{name}'; there is: all, even, odd")]
    UnknownSelection {
        /// The name as it was given.
        name: String,
    },
    /// What is asked for does not go with this set.
    #[error("{0}")]
    NotForThisSet(String),
    /// A query lacks the field by which it should be filtered.
    #[error(
        "{path}: query '{query}' has no value of one boolean, number or text at '{field}', by which it should be filtered"
    )]
    QueryField {
        /// The file of the queries.
        path: PathBuf,
        /// The query's id.
        query: String,
        /// The field.
        field: String,
    },
    /// Documents of the set could not be ingested, so that figures would be of
    /// another set.
    #[error("{count} documents of the set could not be ingested; the first: {first}")]
    Corpus {
        /// How many.
        count: u64,
        /// The first.
        first: Box<Failure>,
    },
    /// A judged query could not be answered.
    #[error("query '{query}': {source}")]
    Query {
        /// The query's id.
        query: String,
        /// Why.
        source: Box<RetrieveError>,
    },
    /// What is asked for is refused by every query.
    #[error(transparent)]
    Retrieve(#[from] RetrieveError),
    /// A query's candidates were not all reranked.
    #[error("query '{query}' was not reranked as a whole: {reason}")]
    Rerank {
        /// The query's id.
        query: String,
        /// Why.
        reason: String,
    },
    /// The embedder could not be opened.
    #[error(transparent)]
    Embed(#[from] EmbedError),
    /// The engine's error; it says itself whose fault it is.
    #[error(transparent)]
    Index(#[from] IndexError),
    /// The set could not be ingested.
    #[error(transparent)]
    Ingest(#[from] IngestError),
}
