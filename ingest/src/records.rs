//! How are files handed to an engine in another process?
//!
//! As records, one JSON object each, which [`Source::Records`] reads there: a
//! file with its bytes, a line of a JSONL file as it is, each with the source
//! that it would have here. Parsing is left to the one that has the model.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use cento_core::DocumentId;
use serde_json::{Map, Value, json};

use crate::jsonl;
use crate::prepare::{file_id, guarded, line_source, without_mark};
use crate::problem::{Failure, Problem, ProblemCode};
use crate::read::{Bytes, Place, Raw, Reader};
use crate::seen::Seen;
use crate::walk::{Found, Root, find};
use crate::{IngestError, Options, Source};

/// The documents of sources, read one after the other.
pub struct Records {
    reader: Reader,
    unreadable: std::vec::IntoIter<Failure>,
    roots: Vec<Root>,
    seen: Seen,
    files: usize,
    bytes: u64,
}

/// One document as a record.
#[derive(Debug, Clone, PartialEq)]
pub struct FileRecord {
    /// Where it stands, for people.
    pub place: String,
    /// How many bytes were read for it.
    pub bytes_read: u64,
    /// The object that [`Source::Records`] reads.
    pub record: Map<String, Value>,
}

/// Looks for the documents of all sources, in their order; of the options, the
/// largest size and what to exclude count.
///
/// # Errors
///
/// A path that is not there, and paths without a file.
pub fn records(sources: Vec<Source>, options: &Options<'_>) -> Result<Records, IngestError> {
    let Found {
        inputs,
        roots,
        unreadable,
        bytes,
    } = find(sources, &options.exclude)?;
    let mut seen = Seen::default();
    let mut failures = Vec::with_capacity(unreadable.len());
    for (source, failure) in unreadable {
        seen.doubt(&source);
        failures.push(failure);
    }
    Ok(Records {
        files: inputs.len(),
        bytes,
        reader: Reader::new(inputs, options.max_document_bytes),
        unreadable: failures.into_iter(),
        roots,
        seen,
    })
}

impl Records {
    /// How many files were found.
    pub fn files(&self) -> usize {
        self.files
    }

    /// Whether a document of the collection came from the given paths and, now
    /// that everything is read, is not there any more.
    pub fn is_gone(&self, id: &DocumentId, source: Option<&str>) -> bool {
        source.is_some_and(|source| {
            self.roots.iter().any(|root| root.holds(source)) && !self.seen.accounts_for(id, source)
        })
    }

    /// Whether the sources are paths, so that something can be gone there.
    pub fn are_paths(&self) -> bool {
        !self.roots.is_empty()
    }

    /// Their size, as far as it is known.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }
}

impl Iterator for Records {
    type Item = Result<FileRecord, Failure>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Some(failure) = self.unreadable.next() {
            return Some(Err(failure));
        }
        let Raw {
            place,
            size,
            content,
            name,
        } = self.reader.next()?;
        let record = content.and_then(|content| {
            let (id, record) = match content {
                Bytes::File(_, bytes) => file(&name, &place, &bytes)?,
                Bytes::Line(line) => self::line(&place, &line)?,
            };
            self.seen.admit(&id, &place)?;
            Ok(record)
        });
        self.seen.note(&place, record.as_ref().err());
        Some(match record {
            Ok(record) => Ok(FileRecord {
                place: place.to_string(),
                bytes_read: size as u64,
                record,
            }),
            Err(problem) => Err(problem.at(place.to_string())),
        })
    }
}

fn file(
    name: &str,
    place: &Place,
    bytes: &[u8],
) -> Result<(DocumentId, Map<String, Value>), Problem> {
    let id = file_id(name)?;
    let record = json!({
        "id": id,
        "source": &*place.source,
        "content_base64": BASE64.encode(bytes),
    });
    Ok((id, as_object(record)?))
}

fn line(place: &Place, line: &[u8]) -> Result<(DocumentId, Map<String, Value>), Problem> {
    let number = place.line.unwrap_or_default();
    let line = without_mark(number, line);
    // What is wrong with it is told here, where its file is known.
    let id = guarded(|| jsonl::read(line))?.id;
    let record = serde_json::from_slice(line)
        .map_err(|error| Problem::new(ProblemCode::InvalidJsonl, error.to_string()))?;
    let mut record = as_object(record)?;
    if record.get("source").is_none_or(Value::is_null)
        && let Some(source) = line_source(&place.source, number)
    {
        record.insert("source".to_owned(), Value::String(source));
    }
    Ok((id, record))
}

fn as_object(record: Value) -> Result<Map<String, Value>, Problem> {
    match record {
        Value::Object(record) => Ok(record),
        _ => Err(Problem::new(
            ProblemCode::InvalidJsonl,
            "the line is not a JSON object",
        )),
    }
}
