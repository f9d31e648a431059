//! Above 20,000 vectors a graph answers; what it says is measured against the
//! exact scan.

use std::fs;

use cento_core::{ByteSpan, Chunk};
use cento_index::{Engine, NewDocument, View};
use serde_json::json;

use crate::corpus::*;

const CHUNKS: usize = 21_000;

/// One document with many chunks whose vectors are pseudo-random.
fn large(name: &str, chunks: usize, mut seed: u64) -> NewDocument {
    let mut next = || {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        ((seed >> 40) as f32) / ((1 << 24) as f32) - 0.5
    };
    let mut new = document(name, "x", &json!({}));
    new.document.text = "x ".repeat(chunks);
    new.chunks = (0..chunks as u64)
        .map(|i| Chunk {
            span: ByteSpan {
                start: 2 * i,
                end: 2 * i + 1,
            },
            heading_path: vec![],
            line: 1,
        })
        .collect();
    new.vectors = (0..chunks)
        .map(|_| (0..DIMENSIONS).map(|_| next()).collect())
        .collect();
    new
}

fn recall(view: &View, queries: usize) -> f64 {
    let mut found = 0;
    let small = view.allowed(&by_id("large")).unwrap();
    for i in 0..queries {
        let query = embed(&format!("query {i} of many"));
        let approximate = view.dense(&query, None, 10).unwrap();
        assert!(!approximate.exact);
        // Scores of both ways are the same function of the same codes.
        let numbers: Vec<_> = approximate.hits.iter().map(|hit| hit.0).collect();
        let scores = view.dense_scores(&query, &numbers).unwrap();
        assert!(
            approximate
                .hits
                .iter()
                .zip(&scores)
                .all(|(hit, score)| hit.1 == *score)
        );
        let exact = exact_top(view, &query, small.len());
        found += numbers
            .iter()
            .filter(|number| exact.contains(number))
            .count();
    }
    found as f64 / (10 * queries) as f64
}

fn exact_top(view: &View, query: &[f32], chunks: u64) -> Vec<cento_core::ChunkNo> {
    let numbers: Vec<_> = (0..chunks).map(cento_core::ChunkNo).collect();
    let scores = view.dense_scores(query, &numbers).unwrap();
    let mut order: Vec<_> = numbers.into_iter().zip(scores).collect();
    order.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(&b.0)));
    order
        .into_iter()
        .take(10)
        .map(|(number, _)| number)
        .collect()
}

fn assert_graph_answers(engine: &Engine) {
    let recall = recall(&engine.view(), 20);
    assert!(recall >= 0.95, "recall@10 is {recall}");
}

#[test]
fn a_graph_answers_survives_reopening_and_is_thrown_away_when_damaged() {
    let dir = tempfile::tempdir().unwrap();
    {
        let (_store, engine) = create(dir.path());
        put(&engine, vec![large("large", CHUNKS, 1)]);
        engine.refresh().unwrap();
        assert_graph_answers(&engine);
        engine.checkpoint().unwrap();
    }
    let graph = crate::recovery::projections(dir.path()).join("vectors/graph");
    assert!(graph.join("manifest.json").is_file());
    {
        let (_store, engine) = reopen(dir.path());
        assert_graph_answers(&engine);
    }
    let data = graph.join("graph.hnsw.data");
    let mut bytes = fs::read(&data).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&data, bytes).unwrap();
    let (_store, engine) = reopen(dir.path());
    assert_graph_answers(&engine);
    // A filter that lets few through is answered exactly; deleting most of the
    // collection returns to the exact scan.
    put(&engine, vec![large("small", 5, 2)]);
    let view = engine.refresh().unwrap();
    let few = view.allowed(&by_id("small")).unwrap();
    let hits = view.dense(&embed("anything"), Some(&few), 10).unwrap();
    assert!(hits.exact);
    assert_eq!(hits.hits.len(), 5);
    engine.delete(&[id("large")]).unwrap();
    let view = engine.refresh().unwrap();
    let all = view.dense(&embed("anything"), None, 10).unwrap();
    assert!(all.exact);
    assert_eq!(all.hits.len(), 5);
    engine.checkpoint().unwrap();
    assert!(!graph.exists());
    assert_clean(&engine);
}
