//! What did another system rank for each question?
//!
//! JSON lines, one query a line, best candidate first:
//!
//! ```json
//! {"query_id": "0", "unit": "chars",
//!  "candidates": [{"document": "finance.md", "start": 120, "end": 980}]}
//! ```
//!
//! `start..end` is a range of the document's canonical text, which `cento eval
//! export` writes: in bytes unless `"unit": "chars"` says that code points are
//! counted. The unit holds for its own line. A query without a line has found
//! nothing; a line of a query that the set does not have is an error.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use cento_core::{ByteSpan, Document, DocumentId};
use serde::Deserialize;

use crate::EvalError;
use crate::qrels::Ids;
use crate::text_file::{Lines, wrong_json, wrong_line};

/// One passage that a system would quote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// The document.
    pub document: DocumentId,
    /// Its bytes in the canonical text.
    pub span: ByteSpan,
}

/// What a system ranked for each query.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Candidates {
    queries: HashMap<String, Vec<Candidate>>,
    digest: String,
}

#[derive(Deserialize, Clone, Copy, Default)]
#[serde(rename_all = "lowercase")]
enum Unit {
    #[default]
    Bytes,
    Chars,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    query_id: String,
    #[serde(default)]
    unit: Unit,
    candidates: Vec<Range>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Range {
    document: String,
    start: u64,
    end: u64,
}

impl Candidates {
    /// Reads candidates for the given documents and queries.
    ///
    /// # Errors
    /// A line that is not as above, a query or document that is unknown, a
    /// query that stands twice, a range that is none of the document's text.
    pub fn load(
        path: &Path,
        documents: &[Document],
        known: &HashSet<&str>,
    ) -> Result<Self, EvalError> {
        let texts: HashMap<&str, &Document> =
            documents.iter().map(|one| (one.id.as_str(), one)).collect();
        let mut places: HashMap<String, Vec<usize>> = HashMap::new();
        let mut ids = Ids::default();
        let mut queries = HashMap::new();
        let mut lines = Lines::open(path)?;
        while let Some((number, text)) = lines.next()? {
            let line: Line =
                serde_json::from_str(&text).map_err(|error| wrong_json(path, number, &error))?;
            if !known.contains(line.query_id.as_str()) {
                return Err(EvalError::UnknownQuery {
                    path: path.to_owned(),
                    line: number,
                    id: line.query_id,
                });
            }
            ids.add(path, number, &line.query_id)?;
            let mut candidates = Vec::with_capacity(line.candidates.len());
            for range in line.candidates {
                let Some(document) = texts.get(range.document.as_str()) else {
                    return Err(EvalError::UnknownDocument {
                        path: path.to_owned(),
                        line: number,
                        id: range.document,
                    });
                };
                let (start, end) = (range.start, range.end);
                let span = match line.unit {
                    Unit::Bytes => Some((start, end)),
                    Unit::Chars => {
                        let places = places.entry(range.document).or_insert_with(|| {
                            let starts = document.text.char_indices().map(|(at, _)| at);
                            starts.chain([document.text.len()]).collect()
                        });
                        let byte = |point: u64| places.get(usize::try_from(point).ok()?).copied();
                        byte(start)
                            .zip(byte(end))
                            .map(|(a, b)| (a as u64, b as u64))
                    }
                };
                let span = span.and_then(|(start, end)| ByteSpan::new(start, end).ok());
                let span =
                    span.filter(|span| !span.is_empty() && span.slice(&document.text).is_ok());
                let Some(span) = span else {
                    let id = &document.id;
                    let reason = format!("{start}..{end} is no range of the text of '{id}'");
                    return Err(wrong_line(path, number, reason));
                };
                candidates.push(Candidate {
                    document: document.id.clone(),
                    span,
                });
            }
            queries.insert(line.query_id, candidates);
        }
        if queries.is_empty() {
            return Err(EvalError::Empty {
                path: path.to_owned(),
                what: "candidates",
            });
        }
        Ok(Self {
            queries,
            digest: lines.digest().to_hex().to_string(),
        })
    }

    /// What was ranked for a query, best first.
    pub fn of(&self, query: &str) -> &[Candidate] {
        self.queries.get(query).map_or(&[], Vec::as_slice)
    }

    /// The hash of the file, in hexadecimal.
    pub fn digest(&self) -> &str {
        &self.digest
    }
}
