//! How is a set of our own layout read, as `data/demo` has it?
//!
//! `queries.jsonl` as [`crate::parse`] reads it, with byte offsets or none, and
//! files of any format that ingestion knows below `corpus/`.

use std::collections::HashMap;
use std::path::Path;

use cento_core::{Document, DocumentId};
use serde_json::Map;

use super::Question;
use super::files;
use super::spans::SpanSet;
use crate::text_file::read_text;
use crate::{EvalError, parse, verify};

pub(super) fn read(dir: &Path) -> Result<SpanSet, EvalError> {
    let path = files::present(dir, "queries.jsonl")?;
    let files = files::read(&files::present(dir, "corpus")?, None)?;
    let text = read_text(&path)?;
    let documents: HashMap<DocumentId, String> = (files::documents(&files).into_iter())
        .map(|Document { id, text, .. }| (id, text))
        .collect();
    let lookup = |id: &DocumentId| documents.get(id).map(String::as_str);
    let mut questions = vec![];
    for (position, judged) in parse(&path, &text)?.iter().enumerate() {
        let gold = verify(judged, lookup).map_err(|error| EvalError::Evidence {
            path: path.clone(),
            query: error.query,
            document: error.document.to_string(),
            reason: error.reason,
        })?;
        questions.push(Question {
            id: gold.id,
            text: gold.query,
            position,
            metadata: Map::new(),
            evidence: gold.spans,
        });
    }
    Ok(SpanSet {
        files,
        path,
        questions,
        digest: blake3::hash(text.as_bytes()),
    })
}
