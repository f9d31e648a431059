//! What does one write look like in the log?
//!
//! ```text
//! commit:     count u32 | (length u32 | record)*
//! record:     kind u8 | sequence u64 | rest
//! 1 put:      document's outline (length u32 | CRC-32C u32 | bytes) | text | derivation, if it has one
//! 2 delete:   document id
//! 3 derive:   sequence of the put u64 | length u32 | document id | derivation
//! 4 fit:      generation u32 | chunks u64 | artefact
//! derivation: outline (length u32 | CRC-32C u32 | bytes) | vectors
//! ```
//!
//! A document is put together with what one generation derived from it:
//! chunks and vectors. What another generation derives comes as a record of
//! its own, and so does what its model has learned from the collection's text. Outlines have checksums of their own, so that a query can read
//! them without the rest; a chunk's text is checked against its hash.

use std::collections::HashMap;

use cento_core::{
    ByteSpan, Chunk, ChunkNo, ContentHash, Document, DocumentId, GenerationNo, Metadata, Sequence,
    TextHash, TextKind,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::settings::Precision;
use crate::vectors::Codes;

/// All of a document but its text, in Postcard's wire format.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct DocumentOutline {
    pub(crate) id: DocumentId,
    pub(crate) title: String,
    pub(crate) source: Option<String>,
    pub(crate) metadata: Metadata,
    pub(crate) content_hash: ContentHash,
    pub(crate) kind: TextKind,
    pub(crate) text_bytes: u64,
}

impl DocumentOutline {
    pub(crate) fn of(document: &Document) -> Self {
        Self {
            id: document.id.clone(),
            title: document.title.clone(),
            source: document.source.clone(),
            metadata: document.metadata.clone(),
            content_hash: document.content_hash,
            kind: document.kind,
            text_bytes: document.text.len() as u64,
        }
    }
}

/// All of a derivation but its vectors, in Postcard's wire format.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct DerivedOutline {
    pub(crate) generation: GenerationNo,
    /// The number of the first chunk; the others follow it.
    pub(crate) first_chunk: ChunkNo,
    pub(crate) dimensions: u32,
    pub(crate) precision: Precision,
    /// The distinct heading paths, in order of first use.
    pub(crate) heading_paths: Vec<Vec<String>>,
    pub(crate) chunks: Vec<ChunkEntry>,
}

/// One chunk of an outline.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct ChunkEntry {
    pub(crate) span: ByteSpan,
    pub(crate) line: u32,
    /// Index into the outline's heading paths.
    pub(crate) heading_path: u32,
    pub(crate) hash: TextHash,
}

impl DerivedOutline {
    /// The outline of chunks that have been checked against their text. Its
    /// generation and its chunks' numbers are given when it is written.
    pub(crate) fn of(
        text: &str,
        chunks: &[Chunk],
        dimensions: u32,
        precision: Precision,
    ) -> Result<Self, cento_core::CoreError> {
        let mut places: HashMap<&[String], u32> = HashMap::new();
        let mut heading_paths: Vec<Vec<String>> = Vec::new();
        let mut entries = Vec::with_capacity(chunks.len());
        for chunk in chunks {
            let heading_path = *places.entry(&chunk.heading_path).or_insert_with(|| {
                heading_paths.push(chunk.heading_path.clone());
                heading_paths.len() as u32 - 1
            });
            entries.push(ChunkEntry {
                span: chunk.span,
                line: chunk.line,
                heading_path,
                hash: TextHash::of(chunk.span.slice(text)?),
            });
        }
        Ok(Self {
            generation: GenerationNo::default(),
            first_chunk: ChunkNo::default(),
            dimensions,
            precision,
            heading_paths,
            chunks: entries,
        })
    }

    /// The headings above a chunk.
    pub(crate) fn heading_path(&self, entry: &ChunkEntry) -> &[String] {
        self.heading_paths
            .get(entry.heading_path as usize)
            .map_or(&[], Vec::as_slice)
    }

    /// How many chunks there are.
    pub(crate) fn count(&self) -> u32 {
        self.chunks.len() as u32
    }

    /// The numbers of its chunks.
    pub(crate) fn numbers(&self) -> std::ops::Range<u64> {
        self.first_chunk.0..self.first_chunk.0 + u64::from(self.count())
    }
}

/// One write, as replay sees it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Record {
    pub(crate) sequence: Sequence,
    pub(crate) change: Change,
}

/// What a write does.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Change {
    Put(Box<Put>),
    Delete(DocumentId),
    Derive(Box<Derive>),
    Fit(Fit),
}

/// A document put, with what one generation derived from it. Compaction takes
/// the derivation away when no kept generation has made it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Put {
    pub(crate) document: DocumentOutline,
    pub(crate) text: String,
    pub(crate) derivation: Option<Derivation>,
}

/// What another generation derived from a document that was put before.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Derive {
    /// The put.
    pub(crate) of: Sequence,
    pub(crate) id: DocumentId,
    pub(crate) derivation: Derivation,
}

/// What the model of a generation has learned from the collection's text, for
/// queries, as the model reads it. The last one counts.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Fit {
    pub(crate) generation: GenerationNo,
    /// How many chunks the collection had then.
    pub(crate) chunks: u64,
    pub(crate) artefact: Vec<u8>,
}

impl Put {
    /// The document as it was put.
    pub(crate) fn into_document(self) -> Document {
        let outline = self.document;
        Document {
            id: outline.id,
            title: outline.title,
            source: outline.source,
            metadata: outline.metadata,
            text: self.text,
            kind: outline.kind,
            content_hash: outline.content_hash,
        }
    }
}

/// Chunks and their vectors.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Derivation {
    pub(crate) outline: DerivedOutline,
    pub(crate) vectors: LoggedVectors,
}

/// Vectors as the log keeps them, one row a chunk.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum LoggedVectors {
    I8(Codes),
    F32 { dimensions: usize, values: Vec<f32> },
}

impl LoggedVectors {
    /// Vectors of `dimensions` finite components, kept as exactly as told.
    pub(crate) fn of(precision: Precision, dimensions: usize, vectors: &[Vec<f32>]) -> Self {
        match precision {
            Precision::I8 => Self::I8(Codes::quantise(dimensions, vectors)),
            Precision::F32 => Self::F32 {
                dimensions,
                values: vectors.concat(),
            },
        }
    }

    /// In one byte a dimension.
    pub(crate) fn codes(&self) -> Codes {
        match self {
            Self::I8(codes) => codes.clone(),
            Self::F32 { dimensions, values } => {
                let rows: Vec<Vec<f32>> = values.chunks(*dimensions).map(<[f32]>::to_vec).collect();
                Codes::quantise(*dimensions, &rows)
            }
        }
    }

    /// As they were given, one after the other; nothing where only codes are kept.
    pub(crate) fn originals(&self) -> &[f32] {
        match self {
            Self::I8(_) => &[],
            Self::F32 { values, .. } => values,
        }
    }

    fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::I8(codes) => out.extend(codes.values().iter().map(|code| code.cast_unsigned())),
            Self::F32 { values, .. } => out.extend(values.iter().flat_map(|x| x.to_le_bytes())),
        }
    }

    fn decode(bytes: &[u8], outline: &DerivedOutline) -> Option<Self> {
        let dimensions = outline.dimensions as usize;
        let count = outline.chunks.len().checked_mul(dimensions)?;
        match outline.precision {
            _ if dimensions == 0 => None,
            Precision::I8 if bytes.len() == count => {
                let codes = bytes.iter().map(|byte| byte.cast_signed()).collect();
                Some(Self::I8(Codes::new(dimensions, codes)))
            }
            Precision::F32 if Some(bytes.len()) == count.checked_mul(4) => {
                let (words, _) = bytes.as_chunks::<4>();
                let values = words.iter().map(|word| f32::from_le_bytes(*word)).collect();
                Some(Self::F32 { dimensions, values })
            }
            _ => None,
        }
    }
}

/// Where the parts of a record stand in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct Layout {
    /// Length of the document's encoded outline.
    pub(crate) document_bytes: u32,
    /// Where the derivation begins.
    pub(crate) derived_at: u64,
    /// Length of its encoded outline.
    pub(crate) derived_bytes: u32,
}

const PUT: u8 = 1;
const DELETE: u8 = 2;
const DERIVE: u8 = 3;
const FIT: u8 = 4;
/// Bytes of a record before its rest: kind and sequence.
pub(crate) const RECORD_HEAD_BYTES: u64 = 1 + 8;
/// Bytes before an outline: length and checksum.
pub(crate) const OUTLINE_HEAD_BYTES: u64 = 4 + 4;

impl Record {
    /// The record's bytes, and where its parts stand in them.
    pub(crate) fn encode(&self) -> Result<(Vec<u8>, Layout), postcard::Error> {
        let mut out = Vec::new();
        let mut layout = Layout::default();
        let kind = match &self.change {
            Change::Put(_) => PUT,
            Change::Delete(_) => DELETE,
            Change::Derive(_) => DERIVE,
            Change::Fit(_) => FIT,
        };
        out.push(kind);
        out.extend_from_slice(&self.sequence.0.to_le_bytes());
        match &self.change {
            Change::Put(put) => {
                layout.document_bytes = encode_outline(&put.document, &mut out)?;
                out.extend_from_slice(put.text.as_bytes());
                if let Some(derivation) = &put.derivation {
                    derivation.encode(&mut out, &mut layout)?;
                }
            }
            Change::Delete(id) => out.extend_from_slice(id.as_str().as_bytes()),
            Change::Derive(derive) => {
                out.extend_from_slice(&derive.of.0.to_le_bytes());
                let id = derive.id.as_str().as_bytes();
                out.extend_from_slice(&(id.len() as u32).to_le_bytes());
                out.extend_from_slice(id);
                derive.derivation.encode(&mut out, &mut layout)?;
            }
            Change::Fit(fit) => {
                out.extend_from_slice(&fit.generation.0.to_le_bytes());
                out.extend_from_slice(&fit.chunks.to_le_bytes());
                out.extend_from_slice(&fit.artefact);
            }
        }
        Ok((out, layout))
    }

    /// Reads a record; `None` if the bytes are none.
    pub(crate) fn decode(bytes: &[u8]) -> Option<(Self, Layout)> {
        let (kind, rest) = bytes.split_first()?;
        let (sequence, rest) = rest.split_first_chunk::<8>()?;
        let sequence = Sequence(u64::from_le_bytes(*sequence));
        let mut layout = Layout::default();
        let change = match *kind {
            PUT => {
                let (document, rest) = split_outline::<DocumentOutline>(rest)?;
                let outline_bytes = bytes.len() - rest.len() - RECORD_HEAD_BYTES as usize;
                layout.document_bytes = (outline_bytes - OUTLINE_HEAD_BYTES as usize) as u32;
                let text_bytes = usize::try_from(document.text_bytes).ok()?;
                let (text, rest) = rest.split_at_checked(text_bytes)?;
                let text = std::str::from_utf8(text).ok()?.to_owned();
                let derivation = if rest.is_empty() {
                    None
                } else {
                    layout.derived_at = (bytes.len() - rest.len()) as u64;
                    Some(Derivation::decode(rest, &mut layout)?)
                };
                Change::Put(Box::new(Put {
                    document,
                    text,
                    derivation,
                }))
            }
            DELETE => {
                let id = std::str::from_utf8(rest).ok()?;
                Change::Delete(DocumentId::new(id).ok()?)
            }
            DERIVE => {
                let (of, rest) = rest.split_first_chunk::<8>()?;
                let (length, rest) = rest.split_first_chunk::<4>()?;
                let (id, rest) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
                layout.derived_at = (bytes.len() - rest.len()) as u64;
                Change::Derive(Box::new(Derive {
                    of: Sequence(u64::from_le_bytes(*of)),
                    id: DocumentId::new(std::str::from_utf8(id).ok()?).ok()?,
                    derivation: Derivation::decode(rest, &mut layout)?,
                }))
            }
            FIT => {
                let (generation, rest) = rest.split_first_chunk::<4>()?;
                let (chunks, artefact) = rest.split_first_chunk::<8>()?;
                Change::Fit(Fit {
                    generation: GenerationNo(u32::from_le_bytes(*generation)),
                    chunks: u64::from_le_bytes(*chunks),
                    artefact: artefact.to_vec(),
                })
            }
            _ => return None,
        };
        Some((Self { sequence, change }, layout))
    }

    /// The document that it is about, if it is about one.
    pub(crate) fn id(&self) -> Option<&DocumentId> {
        match &self.change {
            Change::Put(put) => Some(&put.document.id),
            Change::Delete(id) => Some(id),
            Change::Derive(derive) => Some(&derive.id),
            Change::Fit(_) => None,
        }
    }
}

impl Derivation {
    fn encode(&self, out: &mut Vec<u8>, layout: &mut Layout) -> Result<(), postcard::Error> {
        layout.derived_at = out.len() as u64;
        layout.derived_bytes = encode_outline(&self.outline, out)?;
        self.vectors.encode(out);
        Ok(())
    }

    /// Reads a derivation from bytes that hold nothing else.
    pub(crate) fn decode(bytes: &[u8], layout: &mut Layout) -> Option<Self> {
        let (outline, rest) = split_outline::<DerivedOutline>(bytes)?;
        // No number is behind the last one.
        (outline.first_chunk.0).checked_add(u64::from(outline.count()))?;
        layout.derived_bytes = (bytes.len() - rest.len() - OUTLINE_HEAD_BYTES as usize) as u32;
        let vectors = LoggedVectors::decode(rest, &outline)?;
        Some(Self { outline, vectors })
    }
}

/// The sequence of an encoded record.
pub(crate) fn sequence_of(record: &[u8]) -> Option<Sequence> {
    let (sequence, _) = record.get(1..)?.split_first_chunk::<8>()?;
    Some(Sequence(u64::from_le_bytes(*sequence)))
}

/// Appends length, checksum and bytes; returns the length.
fn encode_outline<T: Serialize>(outline: &T, out: &mut Vec<u8>) -> Result<u32, postcard::Error> {
    let outline = postcard::to_stdvec(outline)?;
    let bytes = outline.len() as u32;
    out.extend_from_slice(&bytes.to_le_bytes());
    out.extend_from_slice(&crc32c::crc32c(&outline).to_le_bytes());
    out.extend_from_slice(&outline);
    Ok(bytes)
}

/// Reads an outline from its length, checksum and bytes.
pub(crate) fn decode_outline<T: DeserializeOwned>(bytes: &[u8]) -> Option<T> {
    split_outline(bytes).map(|(outline, _)| outline)
}

fn split_outline<T: DeserializeOwned>(bytes: &[u8]) -> Option<(T, &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    let (crc, rest) = rest.split_first_chunk::<4>()?;
    let (outline, rest) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
    if crc32c::crc32c(outline) != u32::from_le_bytes(*crc) {
        return None;
    }
    Some((postcard::from_bytes(outline).ok()?, rest))
}

/// Joins encoded records into one commit's payload. Returns it with the offset
/// of each record in it.
pub(crate) fn join(records: &[Vec<u8>]) -> (Vec<u8>, Vec<u64>) {
    let total: usize = records.iter().map(|record| record.len() + 4).sum();
    let mut payload = Vec::with_capacity(total + 4);
    payload.extend_from_slice(&(records.len() as u32).to_le_bytes());
    let mut offsets = Vec::with_capacity(records.len());
    for record in records {
        payload.extend_from_slice(&(record.len() as u32).to_le_bytes());
        offsets.push(payload.len() as u64);
        payload.extend_from_slice(record);
    }
    (payload, offsets)
}

/// Splits a commit's payload into its records, each with its offset in the
/// payload; `None` if the bytes are no commit: every record has a number at least.
pub(crate) fn split(payload: &[u8]) -> Option<Vec<(u64, &[u8])>> {
    let (count, mut rest) = payload.split_first_chunk::<4>()?;
    let mut records = Vec::new();
    for _ in 0..u32::from_le_bytes(*count) {
        let (length, after) = rest.split_first_chunk::<4>()?;
        let (record, after) = after.split_at_checked(u32::from_le_bytes(*length) as usize)?;
        sequence_of(record)?;
        records.push(((payload.len() - after.len() - record.len()) as u64, record));
        rest = after;
    }
    rest.is_empty().then_some(records)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn derivation(precision: Precision) -> Derivation {
        let chunk = |start, end| Chunk {
            span: ByteSpan { start, end },
            heading_path: vec!["H".to_owned()],
            line: 1,
        };
        let chunks = [chunk(0, 4), chunk(5, 9)];
        let vectors = [vec![0.5, -0.25, 1.0], vec![0.0, 1.0, 0.0]];
        Derivation {
            outline: DerivedOutline::of("one. two.", &chunks, 3, precision).unwrap(),
            vectors: LoggedVectors::of(precision, 3, &vectors),
        }
    }

    fn records() -> Vec<Record> {
        let id = DocumentId::new("a.md").unwrap();
        let document = Document {
            id: id.clone(),
            title: "A".to_owned(),
            source: None,
            metadata: Metadata::default(),
            text: "one. two.".to_owned(),
            kind: TextKind::Markdown,
            content_hash: ContentHash::of([b"x".as_slice()]),
        };
        let put = |derivation| {
            Change::Put(Box::new(Put {
                document: DocumentOutline::of(&document),
                text: document.text.clone(),
                derivation,
            }))
        };
        let changes = [
            put(Some(derivation(Precision::I8))),
            put(Some(derivation(Precision::F32))),
            put(None),
            Change::Delete(id.clone()),
            Change::Derive(Box::new(Derive {
                of: Sequence(5),
                id,
                derivation: derivation(Precision::F32),
            })),
            Change::Fit(Fit {
                generation: GenerationNo(7),
                chunks: 5,
                artefact: vec![1, 2, 3],
            }),
        ];
        let numbered = (5..).map(Sequence).zip(changes);
        numbered
            .map(|(sequence, change)| Record { sequence, change })
            .collect()
    }

    #[test]
    fn what_is_written_is_read_again_with_the_places_of_its_parts() {
        let encoded: Vec<(Vec<u8>, Layout)> =
            records().iter().map(|r| r.encode().unwrap()).collect();
        let bytes: Vec<Vec<u8>> = encoded.iter().map(|(bytes, _)| bytes.clone()).collect();
        let (payload, offsets) = join(&bytes);
        let found = split(&payload).unwrap();
        assert_eq!(found.iter().map(|r| r.0).collect::<Vec<_>>(), offsets);
        for (((_, bytes), record), (_, layout)) in found.iter().zip(records()).zip(&encoded) {
            assert_eq!(Record::decode(bytes), Some((record.clone(), *layout)));
            assert_eq!(sequence_of(bytes), Some(record.sequence));
            if layout.derived_at > 0 {
                let outline: DerivedOutline =
                    decode_outline(&bytes[layout.derived_at as usize..]).unwrap();
                assert_eq!(outline.chunks.len(), 2);
            }
        }
    }

    #[test]
    fn vectors_are_the_same_codes_in_either_precision() {
        let codes = derivation(Precision::I8).vectors.codes();
        assert_eq!(derivation(Precision::F32).vectors.codes(), codes);
    }

    #[test]
    fn bytes_that_are_no_record_are_refused_not_followed() {
        for record in records() {
            let (bytes, layout) = record.encode().unwrap();
            for cut in 0..bytes.len() {
                let found = Record::decode(&bytes[..cut]);
                // A shorter id is an id, a shorter artefact one, and a put without
                // its derivation is one. Frames have checksums.
                let is_shorter = matches!(record.change, Change::Delete(_)) && cut > 9
                    || matches!(record.change, Change::Fit(_)) && cut >= 21
                    || matches!(record.change, Change::Put(_))
                        && cut > 0
                        && cut as u64 == layout.derived_at;
                assert_eq!(found.is_some(), is_shorter, "cut at {cut}");
            }
        }
        assert!(Record::decode(&[9; 40]).is_none());
        assert!(split(&[255; 12]).is_none());
    }
}
