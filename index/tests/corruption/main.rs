//! What becomes of one byte that changes on the disk?
//!
//! A collection with several segments, a compacted one, a snapshot and two
//! generations is copied, one byte of one file of the copy is flipped, and the
//! copy is opened with everything verified. Either the byte is refused with its
//! file, or it is healed, or it changes no answer; and these are counted apart.
//! `CENTO_FLIPS` is how many bytes are flipped (40), `CENTO_FLIP_SEED` which.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(clippy::print_stdout, reason = "the counts are what is wanted")]

#[path = "../engine/corpus.rs"]
#[allow(dead_code, reason = "shared with other tests")]
mod corpus;
#[path = "../crash/random.rs"]
#[allow(dead_code, reason = "shared with other tests")]
mod random;

use std::collections::BTreeMap;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use cento_core::{Comparison, FieldRef, Filter, Scalar};
use cento_index::{
    DerivedDocument, Engine, IndexError, PendingDocument, Store, StoreOptions, VectorOptions,
    Verify, View,
};
use corpus::*;
use random::Random;
use serde_json::{Value, json};

const SNAPSHOT: &str = "kept";

fn options(verify: Verify) -> StoreOptions {
    StoreOptions {
        segment_bytes: 6_000,
        verify,
        vectors: VectorOptions {
            seal_rows: 20,
            freezes_beside: false,
            ..VectorOptions::default()
        },
        ..StoreOptions::default()
    }
}

/// What a generation derives whose chunks are the same: only its name differs.
fn derive(pending: Vec<PendingDocument>) -> Vec<DerivedDocument> {
    let derived = pending.into_iter().map(|one| derived(one, false));
    derived.collect()
}

/// Fills a data directory; returns what it answers, and what its snapshot holds.
fn build(dir: &Path) -> (Value, Value) {
    let store = Store::open_with(dir, options(Verify::Quick)).unwrap();
    let engine = store.create(&name(), &settings()).unwrap();
    let some = |range: std::ops::Range<usize>, word: &str| {
        for i in range {
            let text =
                format!("Sentence {i} about {word}. Another on valve {i}. A third of {word}.");
            let metadata = json!({"n": i, "team": format!("t{}", i % 3), "odd": i % 2 == 1});
            put(&engine, vec![document(&format!("d{i}"), &text, &metadata)]);
        }
    };
    some(0..30, "pumps");
    some(0..12, "hoses");
    engine.delete(&[id("d3"), id("d20")]).unwrap();
    engine.compact(0.3).unwrap();
    let snapshot = engine.create_snapshot(Some(SNAPSHOT)).unwrap();
    assert!(snapshot.documents == 28);
    let at_snapshot = answers(&engine.refresh().unwrap());
    let mut other = settings();
    other.embedder = "toy again".to_owned();
    let generation = engine.begin_generation(&other).unwrap();
    let mut last = |pending| Ok(derive(pending));
    engine.switch(generation, Some(&mut last)).unwrap();
    some(25..40, "gauges");
    engine.delete(&[id("d5")]).unwrap();
    let now = answers(&engine.refresh().unwrap());
    engine.checkpoint().unwrap();
    (now, at_snapshot)
}

/// Everything that can be asked, as one value.
fn answers(view: &View) -> Value {
    let mut documents = BTreeMap::new();
    for outline in view.documents(None, 1000).unwrap() {
        let stored = view.document(&outline.id).unwrap().unwrap();
        let chunks: Vec<_> = (stored.chunks.iter())
            .map(|chunk| json!([chunk.id.to_string(), chunk.text, chunk.span.start]))
            .collect();
        let document = stored.document;
        documents.insert(
            document.id.to_string(),
            json!([
                document.text,
                document.title,
                document.metadata.to_json(),
                chunks
            ]),
        );
    }
    let ids = |hits: Vec<(cento_core::ChunkNo, f32)>| -> Vec<Value> {
        let numbers: Vec<_> = hits.iter().map(|hit| hit.0).collect();
        let chunks = view.chunks(&numbers).unwrap();
        let scored = chunks.iter().zip(hits);
        scored
            .map(|(chunk, hit)| json!([chunk.id.to_string(), hit.1]))
            .collect()
    };
    let mut found = Vec::new();
    for query in [
        "pumps",
        "hoses valve 7",
        "gauges",
        "sentence 11 third",
        "valve",
    ] {
        let lexical = view.lexical(query, None, 20).unwrap().hits;
        // Scores count chunks that are deleted and not merged away yet, which
        // differs from one build of the index to the next: ids are compared.
        let mut lexical: Vec<_> = lexical.into_iter().map(|hit| (hit.0, 0.0)).collect();
        lexical.sort_by_key(|hit| hit.0);
        let dense = view.dense(&embed(query), None, 20).unwrap().hits;
        let dense = dense.into_iter().map(|hit| (hit.0, hit.1.0)).collect();
        found.push(json!([query, lexical.len(), ids(dense)]));
    }
    let filters = [
        ("n", Comparison::Gte, Scalar::Number(20.0)),
        ("team", Comparison::Eq, Scalar::Text("t1".to_owned())),
        ("odd", Comparison::Eq, Scalar::Boolean(true)),
    ];
    let mut passing = Vec::new();
    for (field, comparison, value) in filters {
        let filter = Filter::Compare {
            field: FieldRef::Metadata(field.to_owned()),
            comparison,
            value,
        };
        let mut ids: Vec<_> = view.matching(&filter).unwrap();
        ids.sort();
        passing.push(json!(ids));
    }
    json!({"documents": documents, "found": found, "passing": passing})
}

fn files(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, found);
        } else if path.metadata().unwrap().len() > 0 {
            found.push(path);
        }
    }
}

/// What a file is for, by its place.
fn kind(path: &Path, root: &Path) -> String {
    let inside = path.strip_prefix(root).unwrap();
    let parts: Vec<_> = inside.iter().map(|part| part.to_string_lossy()).collect();
    let has = |what: &str| parts.iter().any(|part| part == what);
    let ending = path.extension().unwrap_or_default().to_string_lossy();
    if has("snapshots") {
        format!("snapshot {ending}")
    } else if has("generations") {
        let projection = parts.get(4).unwrap();
        match projection.as_ref() {
            "text" => format!("text {ending}"),
            other => other.to_string(),
        }
    } else if has("log") {
        "log".to_owned()
    } else {
        inside.to_string_lossy().into_owned()
    }
}

/// What became of a flip.
fn outcome(dir: &Path, is_snapshot: bool, now: &Value, at_snapshot: &Value) -> String {
    let opened = Store::open_existing_with(dir, options(Verify::Full))
        .and_then(|store| Ok((store.collection(&name())?, store)));
    let (engine, _store) = match opened {
        Ok(opened) => opened,
        Err(error) => return refused(&error),
    };
    assert_eq!(answers(&engine.view()), *now, "a wrong answer");
    let recovery = engine.recovery();
    let mut healed =
        recovery.manifest_healed || !recovery.remade.is_empty() || recovery.replayed > 0;
    assert!(recovery.skipped.is_empty(), "{recovery:?}");
    if is_snapshot {
        match engine.restore_snapshot(SNAPSHOT) {
            Err(error) => return refused(&error),
            Ok(_) => assert_eq!(answers(&engine.view()), *at_snapshot, "a wrong answer"),
        }
    } else {
        healed |= !write_more(&engine);
    }
    if healed {
        "healed"
    } else {
        "no answer changed"
    }
    .to_owned()
}

/// Writing and auditing go on; says whether all was clean.
fn write_more(engine: &Engine) -> bool {
    put(
        engine,
        vec![document("more", "One more of them.", &json!({}))],
    );
    let report = engine.audit().unwrap();
    assert!(report.is_clean(), "{report:?}");
    true
}

fn refused(error: &IndexError) -> String {
    match error {
        IndexError::LogDamaged { path, .. } | IndexError::Format { path, .. } => {
            assert!(!path.as_os_str().is_empty());
            "refused with its file".to_owned()
        }
        other => panic!("refused without a place: {other}"),
    }
}

#[test]
fn one_flipped_byte_is_refused_or_healed_or_changes_no_answer() {
    let number = |name: &str, otherwise: u64| {
        let value = std::env::var(name).ok();
        value.map_or(otherwise, |value| value.parse().unwrap())
    };
    let flips = number("CENTO_FLIPS", 40);
    let seed = number("CENTO_FLIP_SEED", 1);
    let original = tempfile::tempdir().unwrap();
    let (now, at_snapshot) = build(original.path());
    let mut all = Vec::new();
    files(original.path(), &mut all);
    let mut by_kind: BTreeMap<String, Vec<PathBuf>> = BTreeMap::new();
    all.sort();
    for path in all {
        let kind = kind(&path, original.path());
        by_kind.entry(kind).or_default().push(path);
    }
    let kinds: Vec<&String> = by_kind.keys().collect();
    let mut counts: BTreeMap<(String, String), u64> = BTreeMap::new();
    for flip in 0..flips {
        let mut random = Random::new(seed.wrapping_mul(1_000_003).wrapping_add(flip));
        // Each kind in turn, so that small files get their share.
        let kind = kinds[flip as usize % kinds.len()];
        let candidates = &by_kind[kind];
        let file = random.of(candidates).unwrap();
        let inside = file.strip_prefix(original.path()).unwrap();
        let copy = tempfile::tempdir().unwrap();
        copy_dir(original.path(), copy.path());
        let path = copy.path().join(inside);
        let mut bytes = fs::read(&path).unwrap();
        let at = random.below(bytes.len() as u64) as usize;
        bytes[at] ^= 1 << random.below(8);
        fs::write(&path, &bytes).unwrap();
        let is_snapshot = kind.starts_with("snapshot");
        let result = catch_unwind(AssertUnwindSafe(|| {
            outcome(copy.path(), is_snapshot, &now, &at_snapshot)
        }));
        let Ok(outcome) = result else {
            panic!(
                "byte {at} of {}: repeat it with CENTO_FLIP_SEED={seed} CENTO_FLIPS={}",
                inside.display(),
                flip + 1
            );
        };
        *counts.entry((kind.clone(), outcome)).or_default() += 1;
    }
    println!("{flips} flips:");
    for ((kind, outcome), count) in &counts {
        println!("{count:5}  {kind}: {outcome}");
    }
    let total = |what: &str| -> u64 {
        let of = counts.iter().filter(|((_, outcome), _)| outcome == what);
        of.map(|(_, count)| count).sum()
    };
    for what in ["refused with its file", "healed", "no answer changed"] {
        println!("{:5}  in all: {what}", total(what));
    }
    assert!(total("refused with its file") > 0 && total("healed") > 0);
}
