//! Does a view show what the model shows?

use std::collections::{BTreeMap, BTreeSet};

use cento_core::ChunkNo;
use cento_index::View;
use serde_json::{Value, json};

use crate::corpus::{embed, filter};
use crate::texts::{VOCABULARY, cosine, cut, name, slice, unit};

/// A document as a view shows it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Shown {
    pub(crate) text: String,
    pub(crate) metadata: Value,
    pub(crate) sequence: u64,
}

/// All that a view shows.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Sight {
    pub(crate) sequence: u64,
    pub(crate) generation: u32,
    /// Of which folder of its generation.
    pub(crate) folders: u32,
    pub(crate) is_whole: bool,
    /// What its model has learned.
    pub(crate) fitted: Option<u8>,
    pub(crate) documents: BTreeMap<u8, Shown>,
}

/// A chunk: its document and its place in it.
type Hit = (String, u32);

impl Sight {
    fn chunks(&self) -> BTreeMap<Hit, &str> {
        let mut found = BTreeMap::new();
        for (document, shown) in &self.documents {
            for (chunk, ordinal) in cut(&shown.text, self.is_whole).iter().zip(0..) {
                found.insert((name(*document), ordinal), slice(&shown.text, chunk));
            }
        }
        found
    }
}

/// Bytes that only a model could read.
pub(crate) fn learned(number: u8) -> Vec<u8> {
    vec![number; usize::from(number) * 1000]
}

/// Asks a view everything. `word` and `n` are what to ask for.
pub(crate) fn compare(view: &View, sight: &Sight, word: usize, n: i64) {
    assert_eq!(view.sequence().0, sight.sequence);
    assert_eq!(view.generation().0, sight.generation);
    let expected = sight.fitted.map(learned);
    assert_eq!(view.artefact().unwrap(), expected);
    assert_eq!(view.fitted().is_some(), expected.is_some());
    let chunks = sight.chunks();
    let counts = view.counts();
    assert_eq!(counts.documents, sight.documents.len() as u64);
    assert_eq!(counts.chunks, chunks.len() as u64);
    let listed = view.documents(None, 1000).unwrap();
    let listed: Vec<_> = listed.iter().map(|outline| outline.id.as_str()).collect();
    let expected: Vec<_> = sight.documents.keys().map(|number| name(*number)).collect();
    assert_eq!(listed, expected);
    for (number, shown) in &sight.documents {
        let stored = view.document(&crate::corpus::id(&name(*number))).unwrap();
        let stored = stored.unwrap();
        let found = Shown {
            text: stored.document.text,
            metadata: Value::Object(stored.document.metadata.to_json()),
            sequence: stored.outline.sequence.0,
        };
        assert_eq!(found, *shown);
    }
    compare_legs(view, sight, &chunks, word);
    compare_filters(view, sight, n);
}

fn hits(view: &View, numbers: &[ChunkNo]) -> Vec<(Hit, String)> {
    let chunks = view.chunks(numbers).unwrap().into_iter();
    chunks
        .map(|chunk| ((chunk.document.id.to_string(), chunk.ordinal), chunk.text))
        .collect()
}

fn compare_legs(view: &View, sight: &Sight, chunks: &BTreeMap<Hit, &str>, word: usize) {
    let word = VOCABULARY[word];
    let found = view.lexical(word, None, 1000).unwrap().hits;
    let numbers: Vec<_> = found.iter().map(|hit| hit.0).collect();
    let found: BTreeMap<Hit, String> = hits(view, &numbers).into_iter().collect();
    let expected: BTreeMap<Hit, String> = (chunks.iter())
        .filter(|(_, text)| text.contains(word))
        .map(|(hit, text)| (hit.clone(), (*text).to_owned()))
        .collect();
    assert_eq!(found, expected, "{word}");

    let query = embed(word);
    let dense = view.dense(&query, None, 1000).unwrap();
    assert!(dense.exact);
    let numbers: Vec<_> = dense.hits.iter().map(|hit| hit.0).collect();
    let found = hits(view, &numbers);
    let set: BTreeMap<&Hit, &str> = found
        .iter()
        .map(|(hit, text)| (hit, text.as_str()))
        .collect();
    assert_eq!(set.len(), found.len(), "a chunk was found twice");
    assert!(
        set.into_iter()
            .eq(chunks.iter().map(|(hit, text)| (hit, *text)))
    );
    let cosine = |text: &str| cosine(&query, text, sight.is_whole);
    let scores: Vec<f64> = found.iter().map(|(_, text)| cosine(text)).collect();
    for (pair, hits) in scores.windows(2).zip(dense.hits.windows(2)) {
        assert!(pair[0] >= pair[1] - 1e-5, "{scores:?}");
        assert!(hits[0].1 > hits[1].1 || hits[0].0 < hits[1].0);
    }
    for (score, hit) in scores.iter().zip(&dense.hits) {
        assert!((score - f64::from(hit.1.0)).abs() < 1e-5, "{score} {hit:?}");
    }
    // With fewer asked for, the first of the same.
    let first = view.dense(&query, None, 3).unwrap().hits;
    assert_eq!(first[..], dense.hits[..dense.hits.len().min(3)]);
}

fn compare_filters(view: &View, sight: &Sight, n: i64) {
    let check = |value: Value, passes: &dyn Fn(&Value) -> bool| {
        let found = view.matching(&filter(&value)).unwrap();
        let found: BTreeSet<String> = found.iter().map(ToString::to_string).collect();
        let passing = sight
            .documents
            .iter()
            .filter(|(_, shown)| passes(&shown.metadata));
        let expected: BTreeSet<String> = passing.map(|(number, _)| name(*number)).collect();
        assert_eq!(found, expected, "{value}");
    };
    check(
        json!({"type": "gte", "key": "n", "value": n}),
        &|metadata| metadata["n"].as_i64().unwrap() >= n,
    );
    let unit = unit(n.rem_euclid(3) as u8);
    check(
        json!({"type": "eq", "key": "unit", "value": unit}),
        &|metadata| metadata["unit"] == json!(unit),
    );
    check(json!({"type": "exists", "key": "open"}), &|metadata| {
        metadata.get("open").is_some()
    });
}
