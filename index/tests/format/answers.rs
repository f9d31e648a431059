//! What must the fixture answer?

use std::fs::File;

use cento_core::ChunkNo;
use cento_index::archive::import;
use cento_index::{Engine, Store, View};
use serde_json::{Value, json};

use crate::corpus::{self, assert_clean, embed, filter};
use crate::files::{collection, folder};
use crate::fixture::{self, SNAPSHOT, open, options};

/// The file that says it.
pub(crate) const FILE: &str = "answers.json";

/// All answers: as the directory stands, after going back to its snapshot or
/// its former generation, and of the archive.
pub(crate) fn all() -> Value {
    json!({
        "as_it_stands": as_it_stands(),
        "restored": restored(),
        "rolled_back": rolled_back(),
        "imported": imported(),
    })
}

fn copied() -> tempfile::TempDir {
    let dir = tempfile::TempDir::new().unwrap();
    crate::files::copy(&folder().join("store"), dir.path());
    dir
}

fn as_it_stands() -> Value {
    let dir = copied();
    let (store, engine) = open(dir.path());
    let cut = engine.recovery().cut_bytes;
    assert_eq!(cut, fixture::TORN.len() as u64);
    assert!(engine.recovery().skipped.is_empty());
    let answers = answers(&engine);
    // Written to, closed and opened: still the same, and one more.
    corpus::put(&engine, vec![one_chunk()]);
    drop((engine, store));
    let (_store, engine) = open(dir.path());
    assert_clean(&engine);
    engine.delete(&[corpus::id("new")]).unwrap();
    assert_eq!(
        without_sequence(self::answers(&engine)),
        without_sequence(answers.clone())
    );
    answers
}

fn one_chunk() -> cento_index::NewDocument {
    corpus::document("new", "Written by a later version.", &json!({"n": 7}))
}

fn without_sequence(mut answers: Value) -> Value {
    answers.as_object_mut().unwrap().remove("sequence");
    answers
}

fn restored() -> Value {
    let dir = copied();
    let (_store, engine) = open(dir.path());
    engine.restore_snapshot(SNAPSHOT).unwrap();
    answers(&engine)
}

fn rolled_back() -> Value {
    let dir = copied();
    let (_store, engine) = open(dir.path());
    let former = engine.generations().unwrap()[0].number;
    engine.resume_generation(former).unwrap();
    fixture::switch(&engine, former, false);
    answers(&engine)
}

fn imported() -> Value {
    let dir = tempfile::TempDir::new().unwrap();
    let store = Store::open_with(dir.path(), options()).unwrap();
    let into = dir.path().join("incoming");
    let mut archive = File::open(folder().join("archive.tar")).unwrap();
    let about = import(&mut archive, &into).unwrap();
    assert_eq!(about.collection, corpus::name());
    assert_eq!(about.snapshot, SNAPSHOT);
    let engine = store.create_from(&corpus::name(), &into).unwrap();
    let answers = answers(&engine);
    assert!(collection(dir.path()).join("log").is_dir());
    answers
}

/// Everything that a caller may ask a collection for. Scores are left out: a
/// later version may count otherwise, but must find the same.
fn answers(engine: &Engine) -> Value {
    assert_clean(engine);
    let view = engine.refresh().unwrap();
    let outlines = view.documents(None, 1000).unwrap().into_iter();
    let documents: Vec<Value> = outlines
        .map(|outline| {
            let stored = view.document(&outline.id).unwrap().unwrap();
            let chunks: Vec<Value> = (stored.chunks.iter())
                .map(|chunk| {
                    json!({
                        "id": chunk.id.to_string(),
                        "number": chunk.number.0,
                        "span": [chunk.span.start, chunk.span.end],
                        "headings": chunk.heading_path,
                    })
                })
                .collect();
            json!({
                "id": outline.id.as_str(),
                "sequence": outline.sequence.0,
                "title": outline.title,
                "source": outline.source,
                "hash": outline.content_hash.to_hex(),
                "metadata": stored.document.metadata.to_json(),
                "text": stored.document.text,
                "chunks": chunks,
            })
        })
        .collect();
    let lexical = ["pump", "hose 5", "泵"].map(|query| {
        let hits = view.lexical(query, None, 100).unwrap().hits;
        let mut numbers: Vec<ChunkNo> = hits.iter().map(|hit| hit.0).collect();
        numbers.sort_unstable();
        json!([query, texts(&view, &numbers)])
    });
    let dense = ["Pump 7 ran", "It is new"].map(|query| {
        let hits = view.dense(&embed(query), None, 5).unwrap().hits;
        let numbers: Vec<ChunkNo> = hits.iter().map(|hit| hit.0).collect();
        json!([query, texts(&view, &numbers)])
    });
    let filters = filters().map(|value| {
        let found = view.matching(&filter(&value)).unwrap();
        let mut found: Vec<_> = found.iter().map(ToString::to_string).collect();
        found.sort();
        json!([value, found])
    });
    let generations = engine.generations().unwrap().into_iter();
    let snapshots = engine.snapshots().unwrap().into_iter();
    json!({
        "sequence": view.sequence().0,
        "documents": documents,
        "generations": generations
            .map(|g| json!([g.number.0, g.state, g.settings.chunking, g.settings.precision]))
            .collect::<Vec<_>>(),
        "snapshots": snapshots.map(|s| json!([s.id, s.documents, s.sequence.0])).collect::<Vec<_>>(),
        "lexical": lexical,
        "dense": dense,
        "filters": filters,
    })
}

fn filters() -> [Value; 7] {
    let compare =
        |kind: &str, key: &str, value: Value| json!({"type": kind, "key": key, "value": value});
    [
        compare("gte", "n", json!(5)),
        compare("lt", "share", json!(0.25)),
        compare("eq", "open", json!(true)),
        compare("eq", "unit", json!("unit 6, Größe 中")),
        compare("eq", "author.name", json!("Ada")),
        compare("eq", "counts", json!(7)),
        compare("eq", "tags", json!("c")),
    ]
}

fn texts(view: &View, numbers: &[ChunkNo]) -> Vec<String> {
    let chunks = view.chunks(numbers).unwrap();
    chunks.into_iter().map(|chunk| chunk.text).collect()
}
