//! Small documents with toy vectors, and questions that every test asks.

use std::sync::Arc;

use cento_core::{
    ByteSpan, Chunk, ChunkNo, CollectionName, ContentHash, Document, DocumentId, FieldTypes,
    Filter, GenerationNo, Metadata, TextKind,
};
use cento_index::{
    CollectionSettings, Condition, DerivedDocument, Engine, IndexError, NewDocument,
    PendingDocument, Precision, PutOutcome, Store, StoreOptions, View,
};
use serde_json::{Value, json};

pub(crate) const DIMENSIONS: usize = 8;

pub(crate) fn name() -> CollectionName {
    CollectionName::new("docs").unwrap()
}

pub(crate) fn settings() -> CollectionSettings {
    CollectionSettings {
        model: "toy".to_owned(),
        embedder: "toy".to_owned(),
        dimensions: DIMENSIONS,
        precision: Precision::I8,
        chunking: "sentences".to_owned(),
        fields: FieldTypes::default(),
    }
}

pub(crate) fn id(text: &str) -> DocumentId {
    DocumentId::new(text).unwrap()
}

/// A vector that depends on the words of a text alone.
pub(crate) fn embed(text: &str) -> Vec<f32> {
    let mut vector = vec![0.0_f32; DIMENSIONS];
    for word in text
        .split(|c: char| !c.is_alphanumeric())
        .filter(|w| !w.is_empty())
    {
        let hash = blake3_of(&word.to_lowercase());
        vector[hash[0] as usize % DIMENSIONS] += f32::from(hash[1]) - 127.5;
    }
    let length = vector.iter().map(|x| x * x).sum::<f32>().sqrt();
    if length > 0.0 {
        vector.iter_mut().for_each(|x| *x /= length);
    }
    vector
}

fn blake3_of(word: &str) -> [u8; 2] {
    let hash = ContentHash::of([word.as_bytes()]).to_hex();
    let byte = |at| u8::from_str_radix(&hash[at..at + 2], 16).unwrap();
    [byte(0), byte(2)]
}

/// A document with one chunk a sentence.
pub(crate) fn document(name: &str, text: &str, metadata: &Value) -> NewDocument {
    let mut chunks = Vec::new();
    let mut vectors = Vec::new();
    let mut start = 0;
    for sentence in text.split_inclusive(". ") {
        let end = start + sentence.trim_end().len();
        chunks.push(Chunk {
            span: ByteSpan::new(start as u64, end as u64).unwrap(),
            heading_path: vec!["Handbook".to_owned()],
            line: 1,
        });
        vectors.push(embed(&text[start..end]));
        start += sentence.len();
    }
    NewDocument {
        document: Document {
            id: id(name),
            title: format!("Title of {name}"),
            source: Some(format!("/corpus/{name}")),
            metadata: Metadata::from_json(metadata.as_object().unwrap()).unwrap(),
            text: text.to_owned(),
            kind: TextKind::Prose,
            content_hash: ContentHash::of([text.as_bytes()]),
        },
        chunks,
        vectors,
        condition: Condition::Always,
    }
}

/// Another configuration: one chunk a document, vectors as they were given.
pub(crate) fn whole() -> CollectionSettings {
    CollectionSettings {
        embedder: "toy reversed".to_owned(),
        chunking: "whole".to_owned(),
        precision: Precision::F32,
        ..settings()
    }
}

/// What a generation of this configuration, or of [`settings`], derives.
pub(crate) fn derived(pending: PendingDocument, is_whole: bool) -> DerivedDocument {
    let text = pending.document.text.clone();
    if is_whole {
        let new = document("x", &text.replace(". ", ", "), &json!({}));
        let vectors = vec![embed(&text).into_iter().rev().collect()];
        return DerivedDocument {
            pending,
            chunks: new.chunks,
            vectors,
        };
    }
    let new = document("x", &text, &json!({}));
    DerivedDocument {
        pending,
        chunks: new.chunks,
        vectors: new.vectors,
    }
}

pub(crate) fn put(engine: &Engine, batch: Vec<NewDocument>) {
    for outcome in engine.put(engine.view().generation(), batch).unwrap() {
        assert!(matches!(outcome, PutOutcome::Stored(_)), "{outcome:?}");
    }
}

pub(crate) fn filter(value: &Value) -> Filter {
    Filter::from_json(value).unwrap()
}

pub(crate) fn by_id(name: &str) -> Filter {
    filter(&json!({"type": "eq", "key": "id", "value": name}))
}

/// The texts that each leg finds for a query, filtered to one document.
pub(crate) fn found_in(view: &View, query: &str, name: &str) -> (Vec<String>, Vec<String>) {
    let allowed = view.allowed(&by_id(name)).unwrap();
    let lexical = view.lexical(query, Some(&allowed), 10).unwrap();
    let dense = view.dense(&embed(query), Some(&allowed), 10).unwrap();
    let texts = |numbers: Vec<ChunkNo>| -> Vec<String> {
        let chunks = view.chunks(&numbers).unwrap();
        chunks.into_iter().map(|chunk| chunk.text).collect()
    };
    (
        texts(lexical.hits.iter().map(|hit| hit.0).collect()),
        texts(dense.hits.iter().map(|hit| hit.0).collect()),
    )
}

pub(crate) fn create(dir: &std::path::Path) -> (Store, Arc<Engine>) {
    let store = Store::open(dir).unwrap();
    let engine = store.create(&name(), &settings()).unwrap();
    (store, engine)
}

pub(crate) fn reopen(dir: &std::path::Path) -> (Store, Arc<Engine>) {
    let store = Store::open_existing(dir).unwrap();
    let engine = store.collection(&name()).unwrap();
    (store, engine)
}

/// Opens the collection, or makes it, with segments of the log of so many bytes.
pub(crate) fn open_or_create(dir: &std::path::Path, segment_bytes: u64) -> (Store, Arc<Engine>) {
    let options = StoreOptions {
        segment_bytes,
        ..StoreOptions::default()
    };
    let store = Store::open_with(dir, options).unwrap();
    let engine = match store.collection(&name()) {
        Err(IndexError::UnknownCollection { .. }) => store.create(&name(), &settings()),
        opened => opened,
    };
    (store, engine.unwrap())
}

/// Derives all that is pending, a few documents at a time.
pub(crate) fn derive_all(engine: &Engine, generation: GenerationNo, is_whole: bool) {
    while let pending = engine.pending(generation, 300).unwrap()
        && !pending.is_empty()
    {
        let all = pending.into_iter().map(|one| derived(one, is_whole));
        engine.derive(generation, all.collect()).unwrap();
    }
}

pub(crate) fn assert_clean(engine: &Engine) {
    let report = engine.audit().unwrap();
    assert!(report.is_clean(), "{report:?}");
}

pub(crate) fn copy_dir(from: &std::path::Path, to: &std::path::Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy_dir(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}
