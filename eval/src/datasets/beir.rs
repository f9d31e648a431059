//! How is a set of BEIR's layout read?
//!
//! ```text
//! corpus.jsonl     {"_id": "d1", "title": "…", "text": "…", "metadata": {…}}
//! queries.jsonl    {"_id": "q1", "text": "…", "metadata": {…}}
//! qrels/test.tsv   query-id ⇥ corpus-id ⇥ score
//! ```
//!
//! Ids are texts or whole numbers. A document with a title and no text is
//! indexed as its title, because collections have such and judge them; one with
//! neither is left out and counted. Of the metadata only the field to filter by
//! is indexed, so that a field that cento could not keep spoils no measurement.

use std::collections::HashSet;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use cento_core::{Comparison, DocumentId, FieldRef, Filter, Scalar};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::Question;
use super::files::present;
use crate::EvalError;
use crate::qrels::Ids;
use crate::text_file::{Lines, wrong_json, wrong_line};

/// The file of the documents, and what they name as their source.
pub(super) const CORPUS: &str = "corpus.jsonl";

#[derive(Deserialize)]
#[serde(untagged)]
enum Id {
    Text(String),
    Whole(i64),
}

impl Id {
    fn into_text(self) -> String {
        match self {
            Self::Text(text) => text,
            Self::Whole(number) => number.to_string(),
        }
    }
}

#[derive(Deserialize)]
struct DocumentLine {
    #[serde(alias = "id")]
    _id: Id,
    title: Option<String>,
    text: String,
    #[serde(default)]
    metadata: Option<Map<String, Value>>,
}

#[derive(Deserialize)]
struct QueryLine {
    #[serde(alias = "id")]
    _id: Id,
    text: String,
    #[serde(default)]
    metadata: Option<Map<String, Value>>,
}

/// The judgements of a split.
pub(super) fn qrels_path(dir: &Path, split: &str) -> Result<PathBuf, EvalError> {
    let name = format!("{split}.tsv");
    if split.is_empty() || split.contains(['/', '\\']) || split.starts_with('.') {
        return Err(EvalError::MissingFile {
            path: dir.join("qrels").join(name),
            known: "no split can have that name".to_owned(),
        });
    }
    present(&present(dir, "qrels")?, &name)
}

/// All queries, judged or not.
pub(super) fn questions(dir: &Path) -> Result<(PathBuf, Vec<Question>, blake3::Hash), EvalError> {
    let path = present(dir, "queries.jsonl")?;
    let mut lines = Lines::open(&path)?;
    let mut questions = vec![];
    let mut ids = Ids::default();
    while let Some((number, line)) = lines.next()? {
        let query: QueryLine =
            serde_json::from_str(&line).map_err(|error| wrong_json(&path, number, &error))?;
        let id = query._id.into_text();
        ids.add(&path, number, &id)?;
        if query.text.trim().is_empty() {
            return Err(wrong_line(&path, number, "\"text\" is empty"));
        }
        questions.push(Question {
            id,
            text: query.text,
            position: questions.len(),
            metadata: query.metadata.unwrap_or_default(),
            evidence: vec![],
        });
    }
    if questions.is_empty() {
        return Err(EvalError::Empty {
            path,
            what: "queries",
        });
    }
    Ok((path, questions, lines.digest()))
}

/// The documents of a set, checked once and read again when they are ingested.
pub(super) struct Corpus {
    path: PathBuf,
    empty: usize,
    digest: blake3::Hash,
}

impl Corpus {
    /// Checks every line; gives the ids, those of empty documents included.
    pub(super) fn open(dir: &Path) -> Result<(Self, HashSet<String>), EvalError> {
        let path = present(dir, CORPUS)?;
        let mut lines = Lines::open(&path)?;
        let mut ids = Ids::default();
        let mut empty = 0;
        while let Some((number, line)) = lines.next()? {
            let document: DocumentLine =
                serde_json::from_str(&line).map_err(|error| wrong_json(&path, number, &error))?;
            empty += usize::from(is_empty(&document));
            let id = document._id.into_text();
            DocumentId::new(id.as_str())
                .map_err(|error| wrong_line(&path, number, error.to_string()))?;
            ids.add(&path, number, &id)?;
        }
        let ids = ids.into_set();
        if ids.len() == empty {
            return Err(EvalError::Empty {
                path,
                what: "documents with text",
            });
        }
        let digest = lines.digest();
        let corpus = Self {
            path,
            empty,
            digest,
        };
        Ok((corpus, ids))
    }

    pub(super) fn empty(&self) -> usize {
        self.empty
    }

    pub(super) fn digest(&self) -> blake3::Hash {
        self.digest
    }

    /// The documents as JSON lines for an ingestion.
    pub(super) fn reader(&self, filter_by: Option<&str>) -> Result<Reader, EvalError> {
        Ok(Reader {
            lines: Lines::open(&self.path)?,
            path: self.path.clone(),
            field: filter_by.map(str::to_owned),
            buffer: vec![],
            read: 0,
        })
    }

    /// Hands out each document's line.
    pub(super) fn each(
        &self,
        filter_by: Option<&str>,
        mut take: impl FnMut(&str),
    ) -> Result<(), EvalError> {
        let mut reader = self.reader(filter_by)?;
        while let Some(line) = reader.next_line()? {
            take(&line);
        }
        Ok(())
    }
}

fn is_empty(document: &DocumentLine) -> bool {
    let title = document.title.as_deref().unwrap_or_default();
    document.text.trim().is_empty() && title.trim().is_empty()
}

/// The documents as JSON lines.
pub(super) struct Reader {
    lines: Lines,
    path: PathBuf,
    field: Option<String>,
    buffer: Vec<u8>,
    /// How much of the buffer has been handed out.
    read: usize,
}

impl Reader {
    fn next_line(&mut self) -> Result<Option<String>, EvalError> {
        while let Some((number, line)) = self.lines.next()? {
            let document: DocumentLine = serde_json::from_str(&line)
                .map_err(|error| wrong_json(&self.path, number, &error))?;
            if is_empty(&document) {
                continue;
            }
            let title = document.title.unwrap_or_default();
            let text = match document.text.trim() {
                "" => &title,
                _ => &document.text,
            };
            let mut metadata = Map::new();
            if let Some(field) = &self.field {
                let value = document.metadata.as_ref().and_then(|all| at(all, field));
                let value = value.and_then(|value| match value {
                    Value::Array(values) => {
                        let texts: Option<Vec<String>> = values.iter().map(as_text).collect();
                        texts.map(Value::from)
                    }
                    one => as_text(one).map(Value::from),
                });
                metadata.extend(value.map(|value| (field.clone(), value)));
            }
            let line = json!({
                "id": document._id.into_text(), "title": title, "text": text, "metadata": metadata,
            });
            return Ok(Some(line.to_string()));
        }
        Ok(None)
    }
}

impl Read for Reader {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.read == self.buffer.len() {
            self.read = 0;
            self.buffer.clear();
            if let Some(line) = self.next_line().map_err(io::Error::other)? {
                self.buffer.extend_from_slice(line.as_bytes());
                self.buffer.push(b'\n');
            }
        }
        let rest = &self.buffer[self.read..];
        let count = rest.len().min(out.len());
        out[..count].copy_from_slice(&rest[..count]);
        self.read += count;
        Ok(count)
    }
}

/// The value of a field, which may be written as a path: `author.name`.
fn at<'a>(metadata: &'a Map<String, Value>, field: &str) -> Option<&'a Value> {
    if let Some(value) = metadata.get(field) {
        return Some(value);
    }
    let (first, rest) = field.split_once('.')?;
    at(metadata.get(first)?.as_object()?, rest)
}

/// A scalar as a text: the only type that every value can have.
fn as_text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Bool(_) | Value::Number(_) => Some(value.to_string()),
        _ => None,
    }
}

/// Documents whose field has the value that a query has there.
pub(super) fn filter(metadata: &Map<String, Value>, field: &str) -> Option<Filter> {
    let value = as_text(at(metadata, field)?)?;
    Some(Filter::Compare {
        field: FieldRef::Metadata(field.to_owned()),
        comparison: Comparison::Eq,
        value: Scalar::Text(value),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_are_handed_on_with_what_is_measured_and_no_more() {
        let dir = tempfile::tempdir().expect("a folder");
        let corpus = r#"{"_id": 7, "title": "T", "text": " ", "metadata": {"a": {"b": 3}}}

{"_id": "e", "title": null, "text": ""}
{"_id": "x", "text": "body", "metadata": {"a.b": [true, "y"], "odd": [1, "two", {}]}}
"#;
        std::fs::write(dir.path().join(CORPUS), corpus).expect("writable");
        let (corpus, ids) = Corpus::open(dir.path()).expect("a corpus");
        assert_eq!((corpus.empty(), ids.len()), (1, 3));
        let mut text = String::new();
        let mut reader = corpus.reader(Some("a.b")).expect("opens");
        reader.read_to_string(&mut text).expect("reads");
        assert_eq!(
            text,
            concat!(
                r#"{"id":"7","title":"T","text":"T","metadata":{"a.b":"3"}}"#,
                "\n",
                r#"{"id":"x","title":"","text":"body","metadata":{"a.b":["true","y"]}}"#,
                "\n"
            )
        );
        let query = json!({"a": {"b": 3}});
        let found = filter(query.as_object().expect("an object"), "a.b").expect("a value");
        assert_eq!(
            found.to_json(),
            json!({"type": "eq", "key": "metadata.a.b", "value": "3"})
        );
        assert!(filter(&Map::new(), "a").is_none());
    }
}
