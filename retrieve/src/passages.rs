//! Which candidates stand side by side, and what do they quote together?

mod estimate;

use std::collections::BTreeMap;

use cento_core::{ByteSpan, DocumentId, Passage};
use cento_index::StoredChunk;

use crate::RetrieveError;
use crate::candidates::Candidate;

/// The candidates that could be taken, in order of rank, and how they adjoin.
pub(crate) struct Layout<'a> {
    slots: Vec<Slot<'a>>,
    /// Places of slots in the order of documents and of chunks in them.
    reading_order: Vec<usize>,
    /// The texts that adjoining candidates cover together.
    runs: Vec<Run>,
}

struct Slot<'a> {
    chunk: &'a StoredChunk,
    run: usize,
    previous: Option<usize>,
    next: Option<usize>,
}

/// The canonical text under a run of adjoining candidates, with whatever
/// stands between their chunks.
struct Run {
    start: u64,
    text: String,
}

impl<'a> Layout<'a> {
    /// Lays out the candidates that are not duplicates. `text` reads the
    /// canonical text of a chunk's document at a span.
    pub(crate) fn new(
        ranked: &'a [Candidate],
        text: impl Fn(&StoredChunk, ByteSpan) -> Result<String, RetrieveError>,
    ) -> Result<Self, RetrieveError> {
        let distinct = (ranked.iter()).filter(|candidate| candidate.duplicate_of.is_none());
        let mut layout = Self {
            slots: distinct
                .map(|candidate| Slot {
                    chunk: &candidate.chunk,
                    run: 0,
                    previous: None,
                    next: None,
                })
                .collect(),
            reading_order: vec![],
            runs: vec![],
        };
        layout.reading_order = layout.read_in_order();
        for run in layout.adjoining(&layout.reading_order) {
            for pair in run.windows(2) {
                layout.slots[pair[0]].next = Some(pair[1]);
                layout.slots[pair[1]].previous = Some(pair[0]);
            }
            for &slot in &run {
                layout.slots[slot].run = layout.runs.len();
            }
            let run = layout.read_run(&run, &text)?;
            layout.runs.push(run);
        }
        Ok(layout)
    }

    fn read_in_order(&self) -> Vec<usize> {
        let mut order: Vec<usize> = (0..self.slots.len()).collect();
        order.sort_by_key(|&slot| {
            let chunk = self.slots[slot].chunk;
            (&chunk.document.id, chunk.document.sequence, chunk.ordinal)
        });
        order
    }

    /// Cuts slots in reading order where two do not adjoin.
    fn adjoining(&self, slots: &[usize]) -> Vec<Vec<usize>> {
        let adjoin = |a: &usize, b: &usize| {
            let (a, b) = (self.slots[*a].chunk, self.slots[*b].chunk);
            a.document.id == b.document.id
                && a.document.sequence == b.document.sequence
                && a.ordinal.checked_add(1) == Some(b.ordinal)
        };
        slots.chunk_by(adjoin).map(<[usize]>::to_vec).collect()
    }

    /// The text of a run. The document is read only if there is something
    /// between the chunks, whose own texts are at hand.
    fn read_run(
        &self,
        run: &[usize],
        text: impl Fn(&StoredChunk, ByteSpan) -> Result<String, RetrieveError>,
    ) -> Result<Run, RetrieveError> {
        let chunks = || run.iter().map(|&slot| self.slots[slot].chunk);
        let first = self.slots[run[0]].chunk;
        let span = ByteSpan {
            start: first.span.start,
            end: chunks().map(|chunk| chunk.span.end).max().unwrap_or(0),
        };
        let contiguous =
            (run.windows(2)).all(|pair| self.span(pair[0]).end == self.span(pair[1]).start);
        let text = if contiguous {
            chunks().map(|chunk| chunk.text.as_str()).collect()
        } else {
            text(first, span)?
        };
        let run = Run {
            start: span.start,
            text,
        };
        match chunks().find(|chunk| run.slice(chunk.span) != Some(&chunk.text)) {
            Some(chunk) => Err(mismatch(chunk, chunk.span)),
            None => Ok(run),
        }
    }

    fn span(&self, slot: usize) -> ByteSpan {
        self.slots[slot].chunk.span
    }

    /// The canonical text at a span within a slot's run.
    fn quote(&self, slot: usize, span: ByteSpan) -> Result<&str, RetrieveError> {
        let slot = &self.slots[slot];
        (self.runs[slot.run].slice(span)).ok_or_else(|| mismatch(slot.chunk, span))
    }

    /// The passages that a selection makes, each as its slots in reading
    /// order. Documents stand in the order of their best taken candidate, so
    /// that the best evidence comes first; within a document its own order
    /// holds.
    pub(crate) fn groups(&self, taken: &[bool]) -> Vec<Vec<usize>> {
        let taken: Vec<usize> = (self.reading_order.iter().copied())
            .filter(|&slot| taken[slot])
            .collect();
        let document = |slot: usize| &self.slots[slot].chunk.document.id;
        let mut best: BTreeMap<&DocumentId, usize> = BTreeMap::new();
        for &slot in &taken {
            let best = best.entry(document(slot)).or_insert(slot);
            *best = slot.min(*best);
        }
        let mut groups = self.adjoining(&taken);
        // Stable, so that the passages of a document stay in reading order.
        groups.sort_by_key(|group| best.get(document(group[0])));
        groups
    }

    /// The passage that slots make which adjoin each other.
    pub(crate) fn passage(&self, group: &[usize]) -> Result<Passage, RetrieveError> {
        let first = self.slots[group[0]].chunk;
        let span = ByteSpan {
            start: first.span.start,
            end: self.span(group[group.len() - 1]).end,
        };
        Ok(Passage {
            document: first.document.id.clone(),
            span,
            chunks: (group.iter())
                .map(|&slot| self.slots[slot].chunk.id.clone())
                .collect(),
            line: first.line,
            heading_path: first.heading_path.clone(),
            title: first.document.title.clone(),
            quote: self.quote(group[0], span)?.to_owned(),
        })
    }

    /// Where the document of a passage came from.
    pub(crate) fn source(&self, group: &[usize]) -> Option<&str> {
        self.slots[group[0]].chunk.document.source.as_deref()
    }
}

impl Run {
    fn slice(&self, span: ByteSpan) -> Option<&str> {
        let start = span.start.checked_sub(self.start)?;
        let end = span.end.checked_sub(self.start)?;
        ByteSpan { start, end }.slice(&self.text).ok()
    }
}

fn mismatch(chunk: &StoredChunk, span: ByteSpan) -> RetrieveError {
    RetrieveError::TextMismatch {
        document: chunk.document.id.clone(),
        span,
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use std::sync::Arc;

    use crate::LegScore;
    use crate::fusion::LegScores;
    use cento_core::{
        Bm25Score, ChunkId, ChunkNo, ContentHash, CosineScore, FusedScore, Metadata, Sequence,
        TextHash,
    };
    use cento_index::StoredOutline;

    /// A chunk of a document at an ordinal, beginning at a byte.
    pub(crate) fn chunk(document: &str, ordinal: u32, start: u64, text: &str) -> StoredChunk {
        let id = DocumentId::new(document).expect("valid");
        let hash = TextHash::of(text);
        StoredChunk {
            number: ChunkNo(start),
            id: ChunkId::new(&id, hash, ordinal),
            document: Arc::new(StoredOutline {
                id,
                sequence: Sequence(1),
                title: format!("About {document}"),
                source: None,
                metadata: Metadata::default(),
                content_hash: ContentHash::of([b"".as_slice()]),
                text_bytes: 0,
                chunks: 0,
            }),
            ordinal,
            span: ByteSpan {
                start,
                end: start + text.len() as u64,
            },
            line: ordinal + 1,
            heading_path: vec![format!("Part {ordinal}")],
            hash,
            text: text.to_owned(),
        }
    }

    /// Candidates in the given order of rank: document, ordinal, first byte
    /// and text of each.
    pub(crate) fn candidates(chunks: &[(&str, u32, u64, &str)]) -> Vec<Candidate> {
        let chunks: Vec<StoredChunk> = (chunks.iter())
            .map(|(document, ordinal, start, text)| chunk(document, *ordinal, *start, text))
            .collect();
        let duplicates = crate::dedupe::duplicates(chunks.iter().map(|chunk| chunk.hash));
        (chunks.into_iter().zip(duplicates).enumerate())
            .map(|(place, (chunk, duplicate_of))| Candidate {
                chunk,
                legs: LegScores {
                    lexical: LegScore {
                        rank: Some(place + 1),
                        score: Bm25Score(1.0 / (place + 1) as f32),
                    },
                    dense: Some(LegScore {
                        rank: None,
                        score: CosineScore(0.0),
                    }),
                },
                fused: FusedScore(1.0 / (place + 1) as f32),
                duplicate_of,
                reranked: None,
            })
            .collect()
    }

    pub(crate) const TEXT: &str = "Zero.\n\nOne.\n\nTwo.\n\nThree.";

    /// Candidates of a document whose chunks stand at the given places of
    /// [`TEXT`], in the order of rank.
    pub(crate) fn of_text(ordinals: &[u32]) -> Vec<Candidate> {
        let all = [(0, "Zero."), (7, "One."), (13, "Two."), (19, "Three.")];
        let chunks: Vec<_> = (ordinals.iter())
            .map(|&ordinal| {
                let (start, text) = all[ordinal as usize];
                ("d", ordinal, start, text)
            })
            .collect();
        candidates(&chunks)
    }

    pub(crate) fn read(_: &StoredChunk, span: ByteSpan) -> Result<String, RetrieveError> {
        Ok(span.slice(TEXT).expect("in the text").to_owned())
    }

    #[test]
    fn adjacent_chunks_merge_with_what_stands_between_them() {
        let ranked = of_text(&[2, 0, 1]);
        let layout = Layout::new(&ranked, read).expect("sound");
        let groups = layout.groups(&[true, false, true]);
        assert_eq!(groups, [[2, 0]]);
        let passage = layout.passage(&groups[0]).expect("sound");
        assert_eq!(passage.quote, "One.\n\nTwo.");
        assert_eq!(passage.span, ByteSpan { start: 7, end: 17 });
        assert_eq!((passage.line, passage.chunks.len()), (2, 2));
        assert_eq!(passage.heading_path, ["Part 1"]);
    }

    #[test]
    fn chunks_with_one_left_out_between_them_stay_apart() {
        let ranked = of_text(&[2, 0, 1, 3]);
        let layout = Layout::new(&ranked, read).expect("sound");
        assert_eq!(
            layout.groups(&[true, true, false, true]),
            [vec![1], vec![0, 3]]
        );
    }

    #[test]
    fn documents_stand_by_their_best_candidate_and_keep_together() {
        let ranked = candidates(&[
            ("b", 5, 50, "b5"),
            ("a", 9, 90, "a9"),
            ("c", 0, 0, "c0"),
            ("b", 1, 10, "b1"),
            ("a", 2, 20, "a2"),
        ]);
        let layout = Layout::new(&ranked, read).expect("sound");
        let order = |taken: [bool; 5]| layout.groups(&taken).concat();
        assert_eq!(order([true; 5]), [3, 0, 4, 1, 2]);
        // With its best candidate dropped, `a` stands by its next one.
        assert_eq!(order([true, false, true, false, true]), [0, 2, 4]);
    }

    #[test]
    fn the_document_is_not_read_where_chunks_touch() {
        let ranked = candidates(&[("d", 0, 0, "one "), ("d", 1, 4, "two")]);
        let unread = |chunk: &StoredChunk, span| Err(mismatch(chunk, span));
        let layout = Layout::new(&ranked, unread).expect("nothing to read");
        let passage = layout.passage(&[0, 1]).expect("sound");
        assert_eq!(passage.quote, "one two");
    }

    #[test]
    fn a_text_that_is_not_what_its_chunks_say_is_an_error() {
        let ranked = of_text(&[0, 1]);
        let other = |_: &StoredChunk, _| Ok("Zero.\n\nUno.".to_owned());
        assert!(matches!(
            Layout::new(&ranked, other),
            Err(RetrieveError::TextMismatch { .. })
        ));
        let cut = |_: &StoredChunk, _| Ok("Zero".to_owned());
        assert!(Layout::new(&ranked, cut).is_err());
    }
}
