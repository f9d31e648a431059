//! What may each of many threads see while all of them work at once?
//!
//! The queue of writers is checked in every interleaving by shuttle
//! (`index/src/group/interleavings.rs`). What stands behind it, files, sled and
//! tantivy, no model checker can drive, so here real threads race: writers and
//! those who count under conditions, readers that hold views, one who refreshes,
//! one who compacts, purges and checkpoints, one who makes snapshots, one who
//! changes the configuration to and fro. `CENTO_STRESS_SECONDS` says how long.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use cento_core::{ChunkNo, DocumentId, Sequence};
use cento_index::{
    Condition, DerivedDocument, Engine, IndexError, PendingDocument, PutOutcome, Store,
    StoreOptions, View,
};
use serde_json::json;

use crate::corpus::{self, assert_clean, embed, filter, id};
use crate::texts::{cut, derived, new_document, settings, slice};

const WRITERS: u64 = 3;
/// Documents of each writer.
const OWN: u64 = 4;
const COUNTERS: u64 = 2;

/// What all threads share.
struct Race {
    engine: Arc<Engine>,
    is_over: AtomicBool,
    /// Increments that were acknowledged.
    counted: AtomicU64,
    /// The last write that some view has shown.
    shown: AtomicU64,
    looks: AtomicU64,
}

impl Race {
    fn goes_on(&self) -> bool {
        !self.is_over.load(Ordering::SeqCst)
    }

    /// Puts one document as the generation that serves has it, however often
    /// another takes its place meanwhile.
    fn put(&self, name: &str, text: &str, n: u64, condition: Condition) -> PutOutcome {
        loop {
            let view = self.engine.view();
            let is_whole = view.settings().chunking == "whole";
            let mut new = new_document(name, text, &json!({"n": n}), is_whole);
            new.condition = condition;
            match self.engine.put(view.generation(), vec![new]) {
                Ok(mut outcomes) => return outcomes.remove(0),
                Err(IndexError::GenerationChanged { .. }) => {}
                Err(error) => panic!("{error}"),
            }
        }
    }
}

/// The text of a version: its number in every sentence, so that a mix of two
/// versions shows.
fn text(name: &str, n: u64) -> String {
    format!("pump {name} v{n}. hose v{n}. motor v{n}.")
}

/// Each document has one writer: its versions rise, and what was acknowledged
/// stands.
fn write(race: &Race, writer: u64) -> BTreeMap<String, Option<u64>> {
    let mut standing = BTreeMap::new();
    let mut last = Sequence(0);
    let mut n = 0;
    while race.goes_on() {
        n += 1;
        let name = format!("w{writer}-{}", n % OWN);
        if n % 7 == 0 {
            race.engine.delete(&[id(&name)]).unwrap();
            standing.insert(name, None);
            continue;
        }
        match race.put(&name, &text(&name, n), n, Condition::Always) {
            PutOutcome::Stored(sequence) => {
                assert!(sequence > last, "sequences go back: {last}, {sequence}");
                last = sequence;
            }
            other => panic!("{other:?}"),
        }
        standing.insert(name, Some(n));
    }
    standing
}

/// Adds one to a number that all counters share, if nobody has meanwhile.
fn count(race: &Race) {
    const NAME: &str = "counter";
    while race.goes_on() {
        let view = race.engine.refresh().unwrap();
        let stored = view.document(&id(NAME)).unwrap();
        let (n, condition) = match &stored {
            None => (0, Condition::Absent),
            Some(stored) => {
                let n = stored.document.metadata.to_json()["n"].as_u64().unwrap();
                (n, Condition::Version(stored.outline.sequence))
            }
        };
        match race.put(NAME, &text(NAME, n + 1), n + 1, condition) {
            PutOutcome::Stored(_) => {
                race.counted.fetch_add(1, Ordering::SeqCst);
            }
            PutOutcome::Conflict { .. } => {}
            other => panic!("{other:?}"),
        }
    }
}

/// All of a view that must be of one moment: what it says twice must be equal,
/// now and later.
fn look(view: &View) -> Vec<(DocumentId, u64, String)> {
    let is_whole = view.settings().chunking == "whole";
    let mut seen = Vec::new();
    let mut chunks = 0;
    for outline in view.documents(None, 1000).unwrap() {
        let stored = view.document(&outline.id).unwrap().unwrap();
        assert_eq!(*stored.outline, outline);
        assert!(outline.sequence <= view.sequence());
        let n = stored.document.metadata.to_json()["n"].as_u64().unwrap();
        let document = stored.document;
        assert_eq!(document.text, text(outline.id.as_str(), n));
        let expected: Vec<_> = cut(&document.text, is_whole)
            .iter()
            .map(|chunk| slice(&document.text, chunk).to_owned())
            .collect();
        let found: Vec<_> = stored
            .chunks
            .iter()
            .map(|chunk| chunk.text.clone())
            .collect();
        assert_eq!(found, expected);
        let by_number = filter(&json!({"type": "eq", "key": "n", "value": n}));
        let matching = view.matching(&by_number).unwrap();
        assert!(
            matching.contains(&outline.id),
            "{outline:?} is not among {matching:?} in the view of {} by generation {}",
            view.sequence(),
            view.generation()
        );
        chunks += found.len();
        seen.push((outline.id, outline.sequence.0, document.text));
    }
    let counts = view.counts();
    assert_eq!(counts.documents, seen.len() as u64);
    assert_eq!(counts.chunks, chunks as u64);
    // Both legs lead to these versions and no others.
    let texts: BTreeMap<_, _> = seen.iter().map(|(id, _, text)| (id, text)).collect();
    let lexical = view.lexical("pump", None, 1000).unwrap().hits;
    let numbers: Vec<ChunkNo> = lexical.iter().map(|hit| hit.0).collect();
    let found = view.chunks(&numbers).unwrap();
    let documents: BTreeSet<_> = found.iter().map(|chunk| &chunk.document.id).collect();
    assert_eq!(documents.len(), found.len());
    assert!(documents.into_iter().eq(texts.keys().copied()));
    let dense = view.dense(&embed("motor"), None, 1000).unwrap().hits;
    assert_eq!(dense.len(), chunks);
    let numbers: Vec<ChunkNo> = dense.iter().map(|hit| hit.0).collect();
    for chunk in found.into_iter().chain(view.chunks(&numbers).unwrap()) {
        assert!(texts[&chunk.document.id].contains(&chunk.text));
    }
    seen
}

fn read(race: &Race) {
    while race.goes_on() {
        let before = race.shown.load(Ordering::SeqCst);
        let view = race.engine.view();
        assert!(view.sequence().0 >= before, "views go back");
        race.shown.fetch_max(view.sequence().0, Ordering::SeqCst);
        let seen = look(&view);
        std::thread::sleep(Duration::from_millis(20));
        // Others have written, compacted and switched meanwhile.
        assert_eq!(look(&view), seen);
        race.looks.fetch_add(2, Ordering::SeqCst);
    }
}

fn refresh(race: &Race) {
    while race.goes_on() {
        race.engine.refresh().unwrap();
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn maintain(race: &Race) {
    for turn in 0.. {
        if !race.goes_on() {
            return;
        }
        match turn % 4 {
            0 => {
                race.engine.compact(0.2).unwrap();
            }
            1 => race.engine.checkpoint().unwrap(),
            2 => {
                race.engine.compact(0.0).unwrap();
            }
            _ => match race.engine.purge(false) {
                Ok(_) | Err(IndexError::GenerationBuilding { .. }) => {}
                Err(error) => panic!("{error}"),
            },
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// A snapshot holds all that was acknowledged before it was asked for.
fn keep(race: &Race) {
    for turn in 0.. {
        if !race.goes_on() {
            return;
        }
        let before = race.put("kept", &text("kept", turn), turn, Condition::Always);
        let PutOutcome::Stored(before) = before else {
            panic!("{before:?}");
        };
        let name = format!("s{turn}");
        let made = race.engine.create_snapshot(Some(&name)).unwrap();
        assert!(made.sequence >= before);
        if turn >= 2 {
            race.engine
                .delete_snapshot(&format!("s{}", turn - 2))
                .unwrap();
        }
        std::thread::sleep(Duration::from_millis(30));
    }
}

/// Changes the configuration, and back, while all others go on.
fn turn_about(race: &Race) {
    while race.goes_on() {
        let is_whole = race.engine.view().settings().chunking != "whole";
        let generation = race.engine.begin_generation(&settings(is_whole)).unwrap();
        let derive = |pending: Vec<PendingDocument>| -> Vec<DerivedDocument> {
            let one = |pending| derived(pending, is_whole);
            pending.into_iter().map(one).collect()
        };
        for _ in 0..3 {
            let pending = race.engine.pending(generation, 200).unwrap();
            race.engine.derive(generation, derive(pending)).unwrap();
        }
        let mut last = |pending| Ok(derive(pending));
        assert_eq!(race.engine.switch(generation, Some(&mut last)).unwrap(), 0);
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn many_threads_at_once_lose_nothing_and_see_no_mix() {
    let seconds = std::env::var("CENTO_STRESS_SECONDS").ok();
    let seconds = seconds.map_or(6, |text| text.parse().expect("a number of seconds"));
    let dir = tempfile::tempdir().unwrap();
    let options = StoreOptions {
        segment_bytes: 20_000,
        text_arena_bytes: 15_000_000,
        ..StoreOptions::default()
    };
    let store = Store::open_with(dir.path(), options.clone()).unwrap();
    let engine = store.create(&corpus::name(), &settings(false)).unwrap();
    let race = Race {
        engine,
        is_over: AtomicBool::new(false),
        counted: AtomicU64::new(0),
        shown: AtomicU64::new(0),
        looks: AtomicU64::new(0),
    };
    let standing: BTreeMap<String, Option<u64>> = std::thread::scope(|scope| {
        let race = &race;
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| scope.spawn(move || write(race, writer)))
            .collect();
        let mut others: Vec<_> = (0..COUNTERS).map(|_| scope.spawn(|| count(race))).collect();
        others.extend((0..2).map(|_| scope.spawn(|| read(race))));
        others.push(scope.spawn(|| refresh(race)));
        others.push(scope.spawn(|| maintain(race)));
        others.push(scope.spawn(|| keep(race)));
        others.push(scope.spawn(|| turn_about(race)));
        let end = Instant::now() + Duration::from_secs(seconds);
        let has_failed = || {
            others
                .iter()
                .any(std::thread::ScopedJoinHandle::is_finished)
        };
        while Instant::now() < end && !has_failed() {
            std::thread::sleep(Duration::from_millis(50));
        }
        race.is_over.store(true, Ordering::SeqCst);
        writers
            .into_iter()
            .flat_map(|writer| writer.join().unwrap())
            .collect()
    });
    let Race {
        engine,
        counted,
        looks,
        ..
    } = race;
    let (counted, looks) = (counted.into_inner(), looks.into_inner());
    let sequence = engine.refresh().unwrap().sequence();
    println!("{sequence} writes, {counted} counted, {looks} looks");
    let check = |engine: &Engine| {
        assert_clean(engine);
        let view = engine.refresh().unwrap();
        let number = |name: &str| {
            let stored = view.document(&id(name)).unwrap();
            stored.map(|stored| stored.document.metadata.to_json()["n"].as_u64().unwrap())
        };
        for (name, expected) in &standing {
            assert_eq!(number(name), *expected, "{name}");
        }
        assert_eq!(number("counter").unwrap_or(0), counted);
        look(&view);
    };
    check(&engine);
    drop((engine, store));
    let store = Store::open_with(dir.path(), options).unwrap();
    let engine = store.collection(&corpus::name()).unwrap();
    assert_eq!(engine.view().sequence(), sequence);
    check(&engine);
    assert!(counted > 0 && looks > 0);
}
