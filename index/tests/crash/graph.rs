//! Is a graph of vectors whose saving was cut off made anew?

use std::time::Duration;

use cento_index::{Engine, Store, StoreOptions};
use serde_json::json;

use crate::child::options;
use crate::corpus::{document, embed, name, put, settings};
use crate::points::Death;
use crate::{Life, run};

/// From so many vectors on there is a graph.
const SENTENCES: usize = 20_200;

/// Whether the nearest sentence to one that is there is itself.
fn assert_found(engine: &Engine) {
    let view = engine.view();
    for sentence in [3, 777, 12_345] {
        let found = view.dense(&embed(&words(sentence)), None, 200).unwrap();
        let numbers: Vec<_> = found.hits.iter().map(|hit| hit.0).collect();
        let chunks = view.chunks(&numbers).unwrap();
        let is_there = chunks.iter().any(|chunk| chunk.text == words(sentence));
        assert!(is_there, "{}", words(sentence));
    }
}

fn words(sentence: usize) -> String {
    format!(
        "Sentence w{sentence} is x{} and y{}.",
        sentence / 7,
        sentence % 911
    )
}

fn open(data: &std::path::Path) -> (Store, std::sync::Arc<Engine>) {
    let big = StoreOptions {
        segment_bytes: 128 << 20,
        ..options()
    };
    let store = Store::open_with(data, big).unwrap();
    let engine = match store.collection(&name()) {
        Ok(engine) => engine,
        Err(_) => store.create(&name(), &settings()).unwrap(),
    };
    (store, engine)
}

#[test]
fn a_graph_whose_saving_was_cut_off_is_made_anew() {
    if crate::setting("CENTO_CRASH_ROUNDS").is_none() {
        println!("SKIPPED: a graph takes a minute; set CENTO_CRASH_ROUNDS");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    {
        let (_store, engine) = open(&data);
        let all: Vec<String> = (0..SENTENCES).map(words).collect();
        for (number, part) in all.chunks(1010).enumerate() {
            let text = part.join(" ");
            put(
                &engine,
                vec![document(&format!("g{number}"), &text, &json!({}))],
            );
        }
        // Not written down: the child does it, and dies.
    }
    let life = Life {
        data: data.clone(),
        told: dir.path().join("told"),
        seed: 1,
        first: 1,
        acts: 0,
        chores: vec![crate::child::Chore::Checkpoint],
    };
    let log = dir.path().join("points");
    let death = Death::At("graph.removed".to_owned(), 1);
    assert!(run(&life, Some(&death), &log, Duration::ZERO), "it dies");
    for _ in 0..2 {
        let (_store, engine) = open(&data);
        assert!(engine.audit().unwrap().is_clean());
        assert!(engine.recovery().remade.is_empty());
        assert_found(&engine);
    }
}
