//! What is indexed?

use std::collections::HashMap;

use crate::{ByteSpan, ChunkId, CoreError, DocumentId, TextHash};

/// A span of a document that is indexed as one unit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chunk {
    /// Its bytes in the canonical text.
    pub span: ByteSpan,
    /// The headings above it, outermost first; beside the text, never in it.
    pub heading_path: Vec<String>,
    /// The 1-based line of the canonical text on which it begins.
    pub line: u32,
}

/// Checks that chunks are what an index may hold of `text`: in order, apart,
/// not empty, cutting no character.
pub fn check_chunks(text: &str, chunks: &[Chunk]) -> Result<(), CoreError> {
    let mut previous_end = 0;
    for chunk in chunks {
        let ByteSpan { start, end } = chunk.span;
        let wrong = |reason| CoreError::Span { start, end, reason };
        if chunk.span.is_empty() {
            return Err(wrong("it is empty"));
        }
        if start < previous_end {
            return Err(wrong("it overlaps the chunk before it"));
        }
        chunk.span.slice(text)?;
        previous_end = end;
    }
    Ok(())
}

/// The public ids of a document's chunks, given the hashes of their texts in
/// document order.
pub fn chunk_ids(document: &DocumentId, hashes: &[TextHash]) -> Vec<ChunkId> {
    let mut seen: HashMap<TextHash, u32> = HashMap::new();
    hashes
        .iter()
        .map(|&hash| {
            let occurrence = seen.entry(hash).or_default();
            let id = ChunkId::new(document, hash, *occurrence);
            *occurrence += 1;
            id
        })
        .collect()
}

/// What a model reads of a chunk: the document's title, the chunk's headings and its
/// text, a line each. People name the document they mean, so whoever judges the chunk
/// must know it.
pub fn model_input(title: &str, heading_path: &[String], text: &str) -> String {
    let headings = heading_path.iter().map(String::as_str);
    let headings: Vec<&str> = headings.filter(|&heading| heading != title).collect();
    let lines = [title, &headings.join(" > "), text];
    let lines: Vec<&str> = lines.into_iter().filter(|line| !line.is_empty()).collect();
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunk(start: u64, end: u64) -> Chunk {
        Chunk {
            span: ByteSpan { start, end },
            heading_path: vec![],
            line: 1,
        }
    }

    #[test]
    fn chunks_must_be_ordered_apart_and_within_the_text() {
        let text = "one two three";
        assert!(check_chunks(text, &[chunk(0, 3), chunk(4, 7)]).is_ok());
        assert!(check_chunks(text, &[chunk(0, 3), chunk(2, 7)]).is_err());
        assert!(check_chunks(text, &[chunk(4, 7), chunk(0, 3)]).is_err());
        assert!(check_chunks(text, &[chunk(3, 3)]).is_err());
        assert!(check_chunks(text, &[chunk(8, 99)]).is_err());
    }

    #[test]
    fn an_id_survives_text_inserted_before_it() {
        let document = DocumentId::new("d").expect("valid");
        let [a, b] = ["a", "b"].map(TextHash::of);
        let before = chunk_ids(&document, &[a, a]);
        let after = chunk_ids(&document, &[b, a, a]);
        assert_eq!(before[..], after[1..]);
    }
}
