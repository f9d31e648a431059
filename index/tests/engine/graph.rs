//! Frozen vectors are found by walking a graph; what that finds is measured
//! against comparing all.

use std::fs;
use std::path::{Path, PathBuf};

use cento_core::{ByteSpan, Chunk};
use cento_index::{Effort, Engine, NewDocument, Store, StoreOptions, VectorOptions, View};
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

/// The files of frozen segments.
fn segments(dir: &Path) -> Vec<PathBuf> {
    let vectors = crate::recovery::projections(dir).join("vectors");
    let files = fs::read_dir(vectors)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let is_segment = |path: &PathBuf| path.extension().is_some_and(|kind| kind == "segment");
    files.filter(is_segment).collect()
}

#[test]
fn a_graph_answers_survives_reopening_and_is_made_anew_when_damaged() {
    let dir = tempfile::tempdir().unwrap();
    {
        let (_store, engine) = create(dir.path());
        put(&engine, vec![large("large", CHUNKS, 1)]);
        // Nobody waits for the graph: until it is there, all are compared.
        let view = engine.refresh().unwrap();
        assert!(view.dense(&embed("anything"), None, 10).unwrap().exact);
        assert_eq!(engine.settle().unwrap(), None);
        assert_graph_answers(&engine);
        let shape = engine.view().vector_shape();
        assert_eq!((shape.segments, shape.fresh), (1, 0));
        // The view from before still answers, and alike.
        let query = embed("query 3 of many");
        let numbers = |view: &View| view.dense(&query, None, 3).unwrap().hits;
        assert_eq!(numbers(&view), numbers(&engine.view()));
    }
    assert_eq!(segments(dir.path()).len(), 1);
    {
        let (_store, engine) = reopen(dir.path());
        assert!(engine.recovery().remade.is_empty());
        assert_graph_answers(&engine);
        assert_eq!(
            engine.scrub(|_| true).unwrap().damaged,
            Vec::<PathBuf>::new()
        );
        assert_clean(&engine);
    }
    // A flipped byte in the middle is for the scrub and the audit to find.
    let data = &segments(dir.path())[0];
    let good = fs::read(data).unwrap();
    let mut bytes = good.clone();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(data, &bytes).unwrap();
    {
        let (_store, engine) = reopen(dir.path());
        let damaged = engine.scrub(|_| true).unwrap().damaged;
        assert_eq!(damaged, std::slice::from_ref(data));
        let report = engine.audit().unwrap();
        assert!(report.differences.iter().any(|d| d.projection == "vectors"));
    }
    // One in the header, or a file cut short, at once: all is made anew.
    for bad in [&bytes[..middle], &[&[good[0] ^ 1], &good[1..]].concat()[..]] {
        fs::write(&segments(dir.path())[0], bad).unwrap();
        let (_store, engine) = reopen(dir.path());
        assert_eq!(engine.recovery().remade, ["vectors"]);
        assert_eq!(engine.settle().unwrap(), None);
        assert_graph_answers(&engine);
        assert_clean(&engine);
    }
}

#[test]
fn filters_and_deletions_hold_for_frozen_vectors() {
    let dir = tempfile::tempdir().unwrap();
    let (_store, engine) = create(dir.path());
    put(&engine, vec![large("large", CHUNKS, 1)]);
    assert_eq!(engine.settle().unwrap(), None);
    // A filter that lets few through is answered exactly.
    put(&engine, vec![large("small", 5, 2)]);
    let view = engine.refresh().unwrap();
    let few = view.allowed(&by_id("small")).unwrap();
    let hits = view.dense(&embed("anything"), Some(&few), 10).unwrap();
    assert!(hits.exact);
    assert_eq!(hits.hits.len(), 5);
    // So is a query that asks for it, of all that there is.
    let query = embed("query 3 of many");
    let exact = view.dense_with(&query, None, 10, Effort::Exact).unwrap();
    assert!(exact.exact && exact.searched.compared == CHUNKS as u64 + 5);
    let numbers: Vec<_> = exact.hits.iter().map(|hit| hit.0).collect();
    assert_eq!(numbers, exact_top(&view, &query, CHUNKS as u64 + 5));
    let many = vec![query.clone(), embed("another")];
    let together = view.dense_batch(&many, None, 10, Effort::Exact).unwrap();
    assert_eq!(together[0].hits, exact.hits);
    // What is deleted is not found, and its segment goes.
    engine.delete(&[id("large")]).unwrap();
    let view = engine.refresh().unwrap();
    let all = view.dense(&embed("anything"), None, 10).unwrap();
    assert!(all.exact);
    assert_eq!(all.hits.len(), 5);
    assert_eq!(engine.settle().unwrap(), None);
    assert_eq!(segments(dir.path()), Vec::<PathBuf>::new());
    assert_clean(&engine);
}

#[test]
fn segments_are_merged_as_they_grow_and_writers_do_not_wait() {
    let dir = tempfile::tempdir().unwrap();
    let options = StoreOptions {
        vectors: VectorOptions {
            seal_rows: 500,
            freezes_beside: false,
            ..VectorOptions::default()
        },
        ..StoreOptions::default()
    };
    let store = Store::open_with(dir.path(), options).unwrap();
    let engine = store.create(&name(), &settings()).unwrap();
    let mut most = 0;
    for part in 0..12 {
        put(&engine, vec![large(&format!("part-{part}"), 600, part)]);
        let shape = engine.refresh().unwrap().vector_shape();
        assert_eq!(shape.frozen, 600 * (part + 1));
        most = most.max(shape.segments);
        engine.checkpoint().unwrap();
        assert_eq!(segments(dir.path()).len() as u64, shape.segments);
    }
    assert!((1..=3).contains(&most), "{most} segments");
    // A fifth of a segment is deleted: it is made anew without it.
    for part in 0..4 {
        engine.delete(&[id(&format!("part-{part}"))]).unwrap();
    }
    assert_eq!(engine.settle().unwrap(), None);
    assert_eq!(engine.view().vector_shape().frozen, 600 * 8);
    assert_clean(&engine);
    drop((engine, store));
    let (_store, engine) = reopen(dir.path());
    assert!(engine.recovery().remade.is_empty());
    assert_clean(&engine);
}
