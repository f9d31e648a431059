//! What does one write look like in the log?
//!
//! ```text
//! commit: count u32 | (length u32 | record)*
//! record: kind u8 (1 put, 2 delete) | sequence u64 | rest
//! put:    outline length u32 | outline CRC-32C u32 | outline | text | codes
//! delete: document id
//! ```
//!
//! The outline is all of a document but its text and vectors; it has a
//! checksum of its own, so that a query can read it without the rest. A
//! chunk's text is checked against its hash in the outline.

use std::collections::HashMap;

use cento_core::{
    ByteSpan, Chunk, ChunkNo, ContentHash, Document, DocumentId, Metadata, Sequence, TextHash,
};
use serde::{Deserialize, Serialize};

use crate::vectors::Codes;

/// All of a document but its text and vectors, in Postcard's wire format.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Outline {
    pub(crate) id: DocumentId,
    pub(crate) title: String,
    pub(crate) source: Option<String>,
    pub(crate) metadata: Metadata,
    pub(crate) content_hash: ContentHash,
    pub(crate) text_bytes: u64,
    /// The number of the first chunk; the others follow it.
    pub(crate) first_chunk: ChunkNo,
    pub(crate) dimensions: u32,
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

impl Outline {
    /// The outline of a document whose chunks have been checked.
    pub(crate) fn of(
        document: &Document,
        chunks: &[Chunk],
        dimensions: u32,
        first_chunk: ChunkNo,
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
                hash: TextHash::of(chunk.span.slice(&document.text)?),
            });
        }
        Ok(Self {
            id: document.id.clone(),
            title: document.title.clone(),
            source: document.source.clone(),
            metadata: document.metadata.clone(),
            content_hash: document.content_hash,
            text_bytes: document.text.len() as u64,
            first_chunk,
            dimensions,
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
}

/// One write, as replay sees it.
#[derive(Debug)]
pub(crate) struct Record {
    pub(crate) sequence: Sequence,
    pub(crate) change: Change,
}

/// What a write does.
#[derive(Debug)]
pub(crate) enum Change {
    Put(Box<Put>),
    Delete(DocumentId),
}

/// A document put, with everything derived from it.
#[derive(Debug)]
pub(crate) struct Put {
    pub(crate) outline: Outline,
    /// Length of the encoded outline in bytes.
    pub(crate) outline_bytes: u32,
    pub(crate) text: String,
    /// One row of codes a chunk.
    pub(crate) codes: Codes,
}

const PUT: u8 = 1;
const DELETE: u8 = 2;
/// Bytes of a put before its outline: kind, sequence, length, checksum.
pub(crate) const PUT_HEAD_BYTES: u64 = 1 + 8 + 4 + 4;

impl Record {
    /// Appends the record's bytes.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) -> Result<(), postcard::Error> {
        match &self.change {
            Change::Put(put) => {
                let outline = postcard::to_stdvec(&put.outline)?;
                out.push(PUT);
                out.extend_from_slice(&self.sequence.0.to_le_bytes());
                out.extend_from_slice(&(outline.len() as u32).to_le_bytes());
                out.extend_from_slice(&crc32c::crc32c(&outline).to_le_bytes());
                out.extend_from_slice(&outline);
                out.extend_from_slice(put.text.as_bytes());
                out.extend(put.codes.values().iter().map(|&code| code.cast_unsigned()));
            }
            Change::Delete(id) => {
                out.push(DELETE);
                out.extend_from_slice(&self.sequence.0.to_le_bytes());
                out.extend_from_slice(id.as_str().as_bytes());
            }
        }
        Ok(())
    }

    /// Reads a record; `None` if the bytes are none.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let (kind, rest) = bytes.split_first()?;
        let (sequence, rest) = rest.split_first_chunk::<8>()?;
        let sequence = Sequence(u64::from_le_bytes(*sequence));
        let change = match *kind {
            PUT => {
                let (length, _) = rest.split_first_chunk::<4>()?;
                let outline_bytes = u32::from_le_bytes(*length);
                let outline = decode_outline(rest)?;
                let rest = rest.get(8 + outline_bytes as usize..)?;
                let text_bytes = usize::try_from(outline.text_bytes).ok()?;
                let text = std::str::from_utf8(rest.get(..text_bytes)?).ok()?;
                let codes: Vec<i8> = rest[text_bytes..].iter().map(|b| b.cast_signed()).collect();
                let dimensions = outline.dimensions as usize;
                if codes.len() != outline.chunks.len() * dimensions {
                    return None;
                }
                Change::Put(Box::new(Put {
                    outline,
                    outline_bytes,
                    text: text.to_owned(),
                    codes: Codes::new(dimensions, codes),
                }))
            }
            DELETE => {
                let id = std::str::from_utf8(rest).ok()?;
                Change::Delete(DocumentId::new(id).ok()?)
            }
            _ => return None,
        };
        Some(Self { sequence, change })
    }
}

/// Reads an outline from its length, checksum and bytes, as they stand in a
/// put record after kind and sequence.
pub(crate) fn decode_outline(bytes: &[u8]) -> Option<Outline> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    let (crc, rest) = rest.split_first_chunk::<4>()?;
    let outline = rest.get(..u32::from_le_bytes(*length) as usize)?;
    if crc32c::crc32c(outline) != u32::from_le_bytes(*crc) {
        return None;
    }
    postcard::from_bytes(outline).ok()
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
/// payload; `None` if the bytes are no commit.
pub(crate) fn split(payload: &[u8]) -> Option<Vec<(u64, &[u8])>> {
    let (count, mut rest) = payload.split_first_chunk::<4>()?;
    let mut records = Vec::new();
    for _ in 0..u32::from_le_bytes(*count) {
        let (length, after) = rest.split_first_chunk::<4>()?;
        let (record, after) = after.split_at_checked(u32::from_le_bytes(*length) as usize)?;
        records.push(((payload.len() - after.len() - record.len()) as u64, record));
        rest = after;
    }
    rest.is_empty().then_some(records)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put() -> Record {
        let document = Document {
            id: DocumentId::new("a.md").unwrap(),
            title: "A".to_owned(),
            source: None,
            metadata: Metadata::default(),
            text: "one. two.".to_owned(),
            content_hash: ContentHash::of([b"x".as_slice()]),
        };
        let chunk = |start, end| Chunk {
            span: ByteSpan { start, end },
            heading_path: vec!["H".to_owned()],
            line: 1,
        };
        let outline = Outline::of(&document, &[chunk(0, 4), chunk(5, 9)], 3, ChunkNo(7)).unwrap();
        Record {
            sequence: Sequence(5),
            change: Change::Put(Box::new(Put {
                outline,
                outline_bytes: 0,
                text: document.text,
                codes: Codes::new(3, vec![1, -2, 3, 4, 5, -128]),
            })),
        }
    }

    #[test]
    fn what_is_written_is_read_again() {
        let delete = Record {
            sequence: Sequence(6),
            change: Change::Delete(DocumentId::new("b").unwrap()),
        };
        let mut encoded = Vec::new();
        for record in [put(), delete] {
            let mut bytes = Vec::new();
            record.encode(&mut bytes).unwrap();
            encoded.push(bytes);
        }
        let (payload, offsets) = join(&encoded);
        let records = split(&payload).unwrap();
        assert_eq!(records.iter().map(|r| r.0).collect::<Vec<_>>(), offsets);
        let first = Record::decode(records[0].1).unwrap();
        assert_eq!(first.sequence, Sequence(5));
        let (Change::Put(read), Change::Put(written)) = (first.change, put().change) else {
            panic!("a put")
        };
        assert_eq!(read.outline, written.outline);
        assert_eq!(read.text, written.text);
        assert_eq!(read.codes.values(), written.codes.values());
        assert_eq!(read.outline.heading_paths.len(), 1);
        let second = Record::decode(records[1].1).unwrap();
        assert!(matches!(second.change, Change::Delete(id) if id.as_str() == "b"));
    }

    #[test]
    fn bytes_that_are_no_record_are_refused_not_followed() {
        let mut bytes = Vec::new();
        put().encode(&mut bytes).unwrap();
        for cut in 0..bytes.len() {
            assert!(Record::decode(&bytes[..cut]).is_none(), "cut at {cut}");
        }
        assert!(Record::decode(&[9; 40]).is_none());
        assert!(split(&[255; 12]).is_none());
    }
}
