//! How do bytes become a document with its chunks?

use std::panic::{AssertUnwindSafe, catch_unwind};

use cento_core::chunk::model_input;
use cento_core::{
    Chunk, ContentHash, Document, DocumentId, Metadata, MetadataValue, Scalar, TextKind,
};
use serde_json::Value;

use crate::blocks::{Block, Kind};
use crate::chunking::Chunking;
use crate::decode::decode;
use crate::format::{Format, detect};
use crate::jsonl::{self, Content, Record};
use crate::problem::{Failure, Problem, ProblemCode};
use crate::{html, markdown, text};

/// Raised whenever other documents or chunks come from the same bytes, so that
/// what was ingested before counts as changed.
const RECIPE: &[u8] = b"1";

/// A document and its chunks, ready to be embedded.
#[derive(Debug, Clone, PartialEq)]
pub struct Prepared {
    /// The document.
    pub document: Document,
    /// Its chunks: at least one, in order, apart.
    pub chunks: Vec<Chunk>,
}

impl Prepared {
    /// What an embedder is given for each chunk: [`model_input`].
    pub fn embedding_inputs(&self) -> Vec<String> {
        self.chunks
            .iter()
            .map(|chunk| {
                let text = chunk.span.slice(&self.document.text).unwrap_or_default();
                model_input(&self.document.title, &chunk.heading_path, text)
            })
            .collect()
    }
}

/// Parses and cuts a file that is in memory: one document, or one for each line
/// of a JSONL file. `name` is the document's id and source and, by its
/// extension, a hint at its format.
///
/// What cannot be made a document is a [`Failure`]; empty lines of a JSONL file
/// are skipped. Ids are not compared with one another.
pub fn prepare(name: &str, bytes: &[u8], chunking: Chunking) -> Vec<Result<Prepared, Failure>> {
    match detect(name, bytes) {
        Ok(Format::Jsonl) => (1..)
            .zip(bytes.split(|&b| b == b'\n'))
            .filter(|(_, line)| !line.trim_ascii().is_empty())
            .map(|(number, line)| {
                let place = format!("{name}:{number}");
                let line = without_mark(number, line);
                guarded(|| {
                    let record = jsonl::read(line)?;
                    let hash = record_hash(name, &record);
                    let source = line_source(name, number);
                    prepare_record(record, source.as_deref(), hash, chunking)
                })
                .map_err(|problem| problem.at(place))
            })
            .collect(),
        Ok(format) => vec![
            file_id(name)
                .and_then(|id| {
                    let hash = file_hash(&id, name, bytes);
                    guarded(|| prepare_file(id, Some(name), format, bytes, hash, chunking))
                })
                .map_err(|problem| problem.at(name)),
        ],
        Err(problem) => vec![Err(problem.at(name))],
    }
}

/// Runs parsers that others wrote, or that hostile input may surprise: a panic
/// is a failure of that document.
pub(crate) fn guarded<T>(parse: impl FnOnce() -> Result<T, Problem>) -> Result<T, Problem> {
    catch_unwind(AssertUnwindSafe(parse)).unwrap_or_else(|_| {
        Err(Problem::new(
            ProblemCode::ParseFailed,
            "its parser gave up: this is a defect, please report it with the file",
        ))
    })
}

/// A file's id is its path relative to the root that was given.
pub(crate) fn file_id(relative: &str) -> Result<DocumentId, Problem> {
    DocumentId::new(relative).map_err(|error| {
        let message = format!("its path cannot be a document's id: {error}; rename it");
        Problem::new(ProblemCode::InvalidDocument, message)
    })
}

/// The identity of what a file's document is made from.
pub(crate) fn file_hash(id: &DocumentId, source: &str, bytes: &[u8]) -> ContentHash {
    ContentHash::of([
        RECIPE,
        b"file",
        id.as_str().as_bytes(),
        source.as_bytes(),
        bytes,
    ])
}

/// The source of a document that gives none itself: the line of its file, if it
/// comes from one.
pub(crate) fn line_source(file: &str, line: u64) -> Option<String> {
    (!file.is_empty()).then(|| format!("{file}#L{line}"))
}

/// A JSONL line without the byte order mark that the first may have.
pub(crate) fn without_mark(number: u64, line: &[u8]) -> &[u8] {
    match line.strip_prefix(b"\xEF\xBB\xBF") {
        Some(rest) if number == 1 => rest,
        _ => line,
    }
}

/// Parses and cuts a file that is no JSONL.
pub(crate) fn prepare_file(
    id: DocumentId,
    source: Option<&str>,
    format: Format,
    bytes: &[u8],
    content_hash: ContentHash,
    chunking: Chunking,
) -> Result<Prepared, Problem> {
    let decoded = decode(bytes, format == Format::Html)?;
    let file_name = id
        .as_str()
        .rsplit('/')
        .next()
        .unwrap_or_default()
        .to_owned();
    let (text, kind, page_title) = match format {
        Format::Html => {
            let article = html::to_markdown(&decoded.text);
            (article.markdown, TextKind::Markdown, article.title)
        }
        Format::Markdown => (decoded.text, TextKind::Markdown, None),
        Format::Text => (decoded.text, TextKind::Plain, None),
        Format::Lines | Format::Jsonl => (decoded.text, TextKind::Lines, None),
    };
    let (blocks, said_title) = blocks_of(kind, &text);
    let title = match format {
        Format::Html => page_title,
        Format::Text => {
            // A heading without markup names the document only where it opens it.
            let named = blocks
                .first()
                .is_some_and(|b| matches!(b.kind, Kind::Heading { .. }));
            (!named).then(|| file_name.clone())
        }
        _ => said_title,
    };
    let first_heading = blocks.iter().find_map(|block| match &block.kind {
        Kind::Heading { title, .. } if !title.is_empty() => Some(title.clone()),
        _ => None,
    });
    let title = title.or(first_heading).unwrap_or(file_name);
    let mut metadata = Metadata::default();
    let mut describe = |field: &str, value: &str| {
        let value = MetadataValue::One(Scalar::Text(value.to_owned()));
        metadata
            .insert(field.to_owned(), value)
            .map_err(|error| Problem::new(ProblemCode::InvalidDocument, error.to_string()))
    };
    describe("format", format.name())?;
    if decoded.encoding != encoding_rs::UTF_8.name() {
        describe("encoding", decoded.encoding)?;
    }
    let document = Document {
        title: shortened(&title),
        source: source.map(str::to_owned),
        metadata,
        content_hash,
        id,
        text,
        kind,
    };
    cut(document, blocks, chunking)
}

/// Cuts what a JSONL line says.
pub(crate) fn prepare_record(
    record: Record,
    source: Option<&str>,
    content_hash: ContentHash,
    chunking: Chunking,
) -> Result<Prepared, Problem> {
    let source = record.source.as_deref().or(source);
    let text = match record.content {
        Content::Text(text) => text,
        Content::File(bytes) => {
            let format = record_format(&record.id, &bytes)?;
            let mut prepared =
                prepare_file(record.id, source, format, &bytes, content_hash, chunking)?;
            let document = &mut prepared.document;
            if !record.title.is_empty() {
                document.title = shortened(&record.title);
            }
            document.metadata = record.metadata.or(&document.metadata);
            return Ok(prepared);
        }
    };
    let (blocks, _) = blocks_of(TextKind::Prose, &text);
    let document = Document {
        id: record.id,
        title: shortened(&record.title),
        source: source.map(str::to_owned),
        metadata: record.metadata,
        text,
        kind: TextKind::Prose,
        content_hash,
    };
    cut(document, blocks, chunking)
}

fn record_format(id: &DocumentId, bytes: &[u8]) -> Result<Format, Problem> {
    match detect(id.as_str(), bytes)? {
        Format::Jsonl => Err(Problem::new(
            ProblemCode::InvalidJsonl,
            "its content is JSONL itself: give each of its lines as a record",
        )),
        format => Ok(format),
    }
}

/// The identity of what a record's document is made from: what it says, however
/// it is written. The number of its line does not count: a line put in front
/// must not make all that follow count as changed. A file that is given as a
/// record and nothing else is the same as the file itself.
pub(crate) fn record_hash(file: &str, record: &Record) -> ContentHash {
    let source = record.source.as_deref().unwrap_or(file);
    let (kind, content) = match &record.content {
        Content::File(bytes) if record.title.is_empty() && record.metadata.is_empty() => {
            return file_hash(&record.id, source, bytes);
        }
        Content::File(bytes) => ("file", bytes.as_slice()),
        Content::Text(text) => ("text", text.as_bytes()),
    };
    let metadata = Value::Object(record.metadata.to_json()).to_string();
    ContentHash::of([
        RECIPE,
        b"record",
        kind.as_bytes(),
        record.id.as_str().as_bytes(),
        without_line(source).as_bytes(),
        record.title.as_bytes(),
        metadata.as_bytes(),
        content,
    ])
}

/// A source without the `#L7` that [`line_source`] puts behind a file's name.
fn without_line(source: &str) -> &str {
    match source.rsplit_once("#L") {
        Some((file, line)) if !line.is_empty() && line.bytes().all(|b| b.is_ascii_digit()) => file,
        _ => source,
    }
}

/// The blocks of a canonical text, and the title that its front matter gives.
fn blocks_of(kind: TextKind, text: &str) -> (Vec<Block>, Option<String>) {
    match kind {
        TextKind::Markdown => markdown::blocks(text),
        TextKind::Plain => (text::blocks(text), None),
        TextKind::Lines => (text::paragraphs(text, Kind::Lines), None),
        TextKind::Prose => (text::paragraphs(text, Kind::Prose), None),
    }
}

/// Cuts a document again from its canonical text.
pub(crate) fn cut_again(document: Document, chunking: Chunking) -> Result<Prepared, Problem> {
    let (blocks, _) = blocks_of(document.kind, &document.text);
    cut(document, blocks, chunking)
}

fn cut(document: Document, blocks: Vec<Block>, chunking: Chunking) -> Result<Prepared, Problem> {
    let chunks = chunking.cut(&document.text, blocks);
    if chunks.is_empty() {
        return Err(Problem::new(
            ProblemCode::EmptyDocument,
            "it has no text, so there is nothing to find in it",
        ));
    }
    Ok(Prepared { document, chunks })
}

/// A title of at most 300 bytes; a page may give one of any length.
fn shortened(title: &str) -> String {
    let end = title.floor_char_boundary(crate::blocks::MAX_HEADING_BYTES);
    title[..end].trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(name: &str, text: &str) -> Prepared {
        prepare(name, text.as_bytes(), Chunking::default())
            .remove(0)
            .expect("a document")
    }

    #[test]
    fn a_title_is_the_first_heading_or_the_files_name() {
        assert_eq!(
            one("a/b.md", "text\n\n## Two\n\n# One\n\nx").document.title,
            "Two"
        );
        assert_eq!(
            one("a/b.md", "---\ntitle: T\n---\n# One\nx").document.title,
            "T"
        );
        assert_eq!(one("a/b.csv", "x,y").document.title, "b.csv");
        assert_eq!(
            one("p.html", "<title>Page</title><p>x").document.title,
            "Page"
        );
    }

    #[test]
    fn the_canonical_text_of_text_is_the_file() {
        let text = "# T \r\n\r\n  a\tb  \n";
        for name in ["a.md", "a.txt", "a.rs"] {
            assert_eq!(one(name, text).document.text, text);
        }
        let with_mark = prepare("a.md", b"\xEF\xBB\xBF# T\n\nx", Chunking::default())
            .remove(0)
            .expect("a document");
        assert_eq!(with_mark.document.text, "# T\n\nx");
    }

    #[test]
    fn the_embedder_sees_title_headings_and_text() {
        let prepared = one("a.md", "# T\n\none\n\n## B\n\n### C\n\ntwo");
        assert_eq!(prepared.embedding_inputs(), ["T\none", "T\nB > C\ntwo"]);
    }

    #[test]
    fn an_empty_document_is_a_failure() {
        for text in ["", " \n\t\u{A0}"] {
            let failure = prepare("a.txt", text.as_bytes(), Chunking::default())
                .remove(0)
                .expect_err("empty");
            assert_eq!(failure.code, ProblemCode::EmptyDocument);
        }
        let failure = prepare("a.html", b"<nav>x</nav>", Chunking::default())
            .remove(0)
            .expect_err("empty");
        assert_eq!(failure.code, ProblemCode::EmptyDocument);
    }

    #[test]
    fn each_line_of_a_jsonl_file_is_a_document_or_a_failure() {
        let bytes =
            "\u{FEFF}{\"id\":\"a\",\"text\":\"x\"}\n\nnope\n{\"id\":\"b\",\"text\":\"y\"}\r\n";
        let found = prepare("d.jsonl", bytes.as_bytes(), Chunking::default());
        let shown: Vec<String> = found
            .iter()
            .map(|r| match r {
                Ok(p) => p.document.source.clone().unwrap_or_default(),
                Err(f) => format!("{} {}", f.place, f.code),
            })
            .collect();
        assert_eq!(
            shown,
            ["d.jsonl#L1", "d.jsonl:3 invalid_jsonl", "d.jsonl#L4"]
        );
    }

    #[test]
    fn the_content_hash_follows_bytes_id_and_source() {
        let hash = |name: &str, text: &str| one(name, text).document.content_hash;
        assert_eq!(hash("a.md", "x"), hash("a.md", "x"));
        assert_ne!(hash("a.md", "x"), hash("b.md", "x"));
        assert_ne!(hash("a.md", "x"), hash("a.md", "y"));
    }
}
