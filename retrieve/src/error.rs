//! What can go wrong with a query, and whose fault is it?

use std::path::PathBuf;

use cento_core::{ByteSpan, DocumentId};
use cento_embed::EmbedError;
use cento_index::IndexError;

/// An error of retrieval.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RetrieveError {
    /// The caller's fault: there is nothing to look for.
    #[error("the query is empty: ask for at least one word")]
    EmptyQuery,
    /// The caller's fault: the query is a document, not a question.
    #[error("the query has {chars} characters, but at most {max} are taken")]
    QueryTooLong {
        /// How many characters it has.
        chars: usize,
        /// How many are taken.
        max: usize,
    },
    /// The caller's fault: no fusion has this name.
    #[error("no fusion is called '{name}'; there is: {known}")]
    UnknownFusion {
        /// The name as it was given.
        name: String,
        /// The names there are, joined for reading.
        known: String,
    },
    /// The caller's fault: no choice of legs has this name.
    #[error("no legs are called '{name}'; there is: {known}")]
    UnknownLegs {
        /// The name as it was given.
        name: String,
        /// The names there are, joined for reading.
        known: String,
    },
    /// The caller's fault: no search of vectors goes so.
    #[error("{reason}")]
    Effort {
        /// What is wrong with what was asked.
        reason: String,
    },
    /// The caller's fault: nothing is reranked so.
    #[error("{reason}")]
    Rerank {
        /// What is wrong with what was asked.
        reason: String,
    },
    /// The caller's fault: no built-in tokenizer has this name.
    #[error(
        "no tokenizer is called '{name}'; there is: {known}, or the path of a tokenizer.json file"
    )]
    UnknownTokenizer {
        /// The name as it was given.
        name: String,
        /// The names there are, joined for reading.
        known: String,
    },
    /// The caller's fault: the tokenizer's file is missing or unreadable.
    #[error("cannot read the tokenizer {path}: {source}")]
    TokenizerRead {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The caller's fault: the file is no tokenizer, or one that cannot count
    /// every text.
    #[error("{path} is not a usable tokenizer.json: {reason}")]
    TokenizerFormat {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The query could not be embedded.
    #[error(transparent)]
    Embed(#[from] EmbedError),
    /// The engine's error; it says itself whose fault it is.
    #[error(transparent)]
    Index(#[from] IndexError),
    /// Our fault: the engine's chunks and its canonical text disagree, so
    /// that nothing can be quoted from the document.
    #[error(
        "the text of '{document}' at bytes {span} is not what its chunks say; run `cento doctor`"
    )]
    TextMismatch {
        /// The document.
        document: DocumentId,
        /// The bytes that were asked for.
        span: ByteSpan,
    },
}
