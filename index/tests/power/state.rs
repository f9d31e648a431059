//! What can a caller see of a collection?

use std::collections::BTreeMap;

use cento_core::{ByteSpan, ChunkNo};
use cento_index::{Engine, GenerationState, IndexError};
use serde_json::Value;

/// A document as its caller gave it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Kept {
    pub(crate) text: String,
    pub(crate) metadata: Value,
}

pub(crate) type Documents = BTreeMap<String, Kept>;

/// All of a collection that must outlast the power.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct State {
    pub(crate) documents: Documents,
    /// Number, what it is for, and documents that it has not derived yet.
    pub(crate) generations: Vec<(u32, GenerationState, Option<u64>)>,
    pub(crate) snapshots: Vec<String>,
}

/// A word of every document.
pub(crate) const EVERYWHERE: &str = "pump";

/// What is there, and the last write.
pub(crate) fn observe(engine: &Engine) -> Result<(State, u64), IndexError> {
    let view = engine.refresh()?;
    let mut documents = BTreeMap::new();
    let mut with_word = 0;
    for outline in view.documents(None, 10_000)? {
        let stored = view.document(&outline.id)?.expect("it has just been named");
        for chunk in &stored.chunks {
            let ByteSpan { start, end } = chunk.span;
            let text = &stored.document.text[start as usize..end as usize];
            assert_eq!(chunk.text, text);
            with_word += usize::from(chunk.text.contains(EVERYWHERE));
        }
        let kept = Kept {
            text: stored.document.text,
            metadata: Value::Object(stored.document.metadata.to_json()),
        };
        documents.insert(outline.id.to_string(), kept);
    }
    // The words are found, too, and lead to these texts and no others.
    let hits = view.lexical(EVERYWHERE, None, 10_000)?.hits;
    assert_eq!(hits.len(), with_word);
    let numbers: Vec<ChunkNo> = hits.iter().map(|hit| hit.0).collect();
    for chunk in view.chunks(&numbers)? {
        let document = &documents[chunk.document.id.as_str()];
        assert!(document.text.contains(&chunk.text));
    }
    let generations = engine.generations()?.into_iter();
    let snapshots = engine.snapshots()?.into_iter();
    let mut snapshots: Vec<_> = snapshots.map(|info| info.id).collect();
    snapshots.sort();
    let state = State {
        documents,
        generations: generations
            .map(|info| (info.number.0, info.state, info.pending))
            .collect(),
        snapshots,
    };
    Ok((state, view.sequence().0))
}
