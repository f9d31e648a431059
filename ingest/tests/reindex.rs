//! Does a collection come to another way of cutting, and back, while writes go
//! on?

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use cento_core::{CollectionName, DocumentId, GenerationNo};
use cento_embed::{Bundled, Contract, EmbedError, Embedder};
use cento_index::{Engine, GenerationState, Store};
use cento_ingest::{
    Chunking, IngestError, Options, ReindexReport, ReindexStep, Source, collection_settings,
    estimate, ingest, reindex, rollback,
};
use serde_json::{Value, json};

static NEVER: AtomicBool = AtomicBool::new(false);

fn name() -> CollectionName {
    CollectionName::new("docs").expect("a name")
}

fn open(dir: &Path, chunking: Chunking) -> (Store, Arc<Engine>) {
    let store = Store::open(dir).expect("a store");
    let engine = match store.collection(&name()) {
        Ok(engine) => engine,
        Err(_) => {
            let settings = collection_settings(&bundled(), chunking);
            store.create(&name(), &settings).expect("a collection")
        }
    };
    (store, engine)
}

fn bundled() -> Bundled {
    Bundled::new().expect("the bundled model")
}

/// A text of several chunks.
fn text(i: usize) -> String {
    let words = ["pump", "valve", "hose", "gauge", "relay"];
    (0..8)
        .map(|part| {
            let word = words[(i + part) % words.len()];
            format!("Entry {i}, part {part}: the {word} of line {part} was seen to by hand, and the log of that day says so in so many words, with the reading before it and the reading after it.\n\n")
        })
        .collect()
}

fn record(i: usize, text: &str) -> Value {
    json!({"id": format!("d{i}"), "title": format!("Entry {i}"), "text": text, "n": i})
}

fn put(engine: &Engine, records: &[Value]) -> Result<(), IngestError> {
    let lines: String = records.iter().map(|record| format!("{record}\n")).collect();
    let source = Source::Records {
        reader: Box::new(std::io::Cursor::new(lines)),
    };
    let report = ingest(
        engine,
        &bundled(),
        vec![source],
        &Options::default(),
        &mut |_| {},
    )?;
    assert_eq!(report.failed, 0, "{report:?}");
    Ok(())
}

fn fill(engine: &Engine, count: usize) {
    let records: Vec<Value> = (0..count).map(|i| record(i, &text(i))).collect();
    put(engine, &records).expect("ingested");
}

/// Every document with its chunks, and what both legs say to some questions.
fn answers(engine: &Engine) -> Value {
    let view = engine.refresh().expect("a view");
    let mut documents = Vec::new();
    for outline in view.documents(None, 10_000).expect("documents") {
        let stored = view.document(&outline.id).expect("read").expect("there");
        let chunks = stored.chunks.iter().map(|chunk| {
            json!([
                chunk.id,
                chunk.span,
                chunk.line,
                chunk.heading_path,
                chunk.text
            ])
        });
        let chunks: Vec<Value> = chunks.collect();
        documents.push(json!([
            stored.document.id,
            stored.document.title,
            stored.document.metadata.to_json(),
            chunks
        ]));
    }
    let mut found = Vec::new();
    for query in ["relay of line 3", "Entry 7 pump", "reading before"] {
        let vector = bundled().embed_query(query).expect("embedded");
        let lexical = view.lexical(query, None, 20).expect("found").hits;
        let dense = view.dense(&vector, None, 20).expect("found").hits;
        // Numbers of chunks differ from one collection to another.
        let mut scores = |hits: Vec<(cento_core::ChunkNo, f32)>| {
            let numbers: Vec<_> = hits.iter().map(|(number, _)| *number).collect();
            let chunks = view.chunks(&numbers).expect("chunks");
            let mut told: Vec<String> = (chunks.iter().zip(&hits))
                .map(|(chunk, (_, score))| format!("{score:.5} {}", chunk.id))
                .collect();
            // Nor does the order of equals say anything, nor which of them is
            // the last.
            told.sort();
            let least = told.first().map(|first| first[..7].to_owned());
            told.retain(|told| least.as_deref() != Some(&told[..7]));
            found.push(json!([query, told]));
        };
        scores(lexical.into_iter().map(|(n, s)| (n, s.0)).collect());
        scores(dense.into_iter().map(|(n, s)| (n, s.0)).collect());
    }
    json!({ "documents": documents, "found": found })
}

#[track_caller]
fn assert_clean(engine: &Engine) {
    let report = engine.audit().expect("an audit");
    assert!(report.is_clean(), "{report:?}");
}

/// What a collection made with this chunking answers about the same documents.
fn fresh(records: &[Value], chunking: Chunking) -> Value {
    let dir = tempfile::tempdir().expect("a folder");
    let (_store, engine) = open(dir.path(), chunking);
    put(&engine, records).expect("ingested");
    answers(&engine)
}

fn to(engine: &Engine, chunking: Chunking) -> Result<ReindexReport, IngestError> {
    reindex(engine, &bundled(), chunking, false, &NEVER, &mut |_| {})
}

#[test]
fn answers_after_a_reindexing_and_a_rollback_are_those_of_a_fresh_collection() {
    let dir = tempfile::tempdir().expect("a folder");
    let (_store, engine) = open(dir.path(), Chunking::default());
    fill(&engine, 60);
    let before = answers(&engine);
    let chunks = engine.view().counts().chunks;
    assert!(chunks > 100, "{chunks}");
    let report = to(&engine, Chunking::Whole).expect("reindexed");
    assert_eq!((report.documents, report.chunks), (60, 60));
    assert!(!report.interrupted && report.whole.is_empty());
    let records: Vec<Value> = (0..60).map(|i| record(i, &text(i))).collect();
    assert_eq!(answers(&engine), fresh(&records, Chunking::Whole));
    assert_clean(&engine);

    // Written for the new one; the former one derives it when it is back.
    put(&engine, &[record(3, "Now a short one about a relay.")]).expect("ingested");
    put(&engine, &[record(60, &text(60))]).expect("ingested");
    engine
        .delete(&[DocumentId::new("d5").expect("an id")])
        .expect("deleted");
    let first = GenerationNo(1);
    let back = rollback(&engine, &bundled(), first, &NEVER, &mut |_| {}).expect("rolled back");
    assert_eq!((back.generation, back.documents), (first, 2));
    assert_eq!(engine.view().settings().chunking, "structural-500/1");
    let mut records: Vec<Value> = (0..61).map(|i| record(i, &text(i))).collect();
    records[3] = record(3, "Now a short one about a relay.");
    records.remove(5);
    // How often a word stands in what is deleted still counts in the scores.
    let (now, fresh) = (answers(&engine), fresh(&records, Chunking::default()));
    assert_eq!(now["documents"], fresh["documents"]);
    assert_ne!(now, before);
    assert_clean(&engine);
}

#[test]
fn writes_that_come_in_meanwhile_are_in_the_new_generation() {
    let dir = tempfile::tempdir().expect("a folder");
    let (_store, engine) = open(dir.path(), Chunking::default());
    fill(&engine, 200);
    let done = AtomicBool::new(false);
    let (report, written) = std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let mut written = 0;
            let mut last = false;
            // Once more after the switch, for the generation that serves then.
            while !last {
                last = done.load(Ordering::Relaxed);
                let new = record(
                    200 + written,
                    &format!("Written meanwhile, number {written}."),
                );
                match put(&engine, &[new]) {
                    Ok(()) => written += 1,
                    Err(IngestError::Index(cento_index::IndexError::GenerationChanged {
                        ..
                    })) => last = false,
                    Err(error) => panic!("{error}"),
                }
            }
            written
        });
        let report = to(&engine, Chunking::Whole).expect("reindexed");
        done.store(true, Ordering::Relaxed);
        (report, writer.join().expect("written"))
    });
    assert!(written > 0 && report.documents >= 200, "{report:?}");
    let view = engine.refresh().expect("a view");
    assert_eq!(view.settings().chunking, "none/1");
    assert_eq!(view.counts().documents, 200 + written as u64);
    assert_eq!(view.counts().chunks, 200 + written as u64, "each is whole");
    assert_clean(&engine);
}

#[test]
fn writers_wait_a_bounded_time_for_a_model_that_is_slower_than_it_was() {
    let dir = tempfile::tempdir().expect("a folder");
    let (_store, engine) = open(dir.path(), Chunking::default());
    // The first batch says that the rest is done in no time; it takes six seconds.
    fill(&engine, 80);
    let slow = Slow {
        model: bundled(),
        fast: AtomicUsize::new(50),
        each: Duration::from_millis(200),
    };
    let done = AtomicBool::new(false);
    let waited = std::thread::scope(|scope| {
        let asking = scope.spawn(|| {
            let mut longest = Duration::ZERO;
            while !done.load(Ordering::Relaxed) {
                let begun = Instant::now();
                // Waits for the writer's lock, as a write does.
                engine.generations().expect("listed");
                longest = longest.max(begun.elapsed());
                std::thread::sleep(Duration::from_millis(5));
            }
            longest
        });
        let report = reindex(&engine, &slow, Chunking::Whole, false, &NEVER, &mut |_| {});
        done.store(true, Ordering::Relaxed);
        assert_eq!(report.expect("reindexed").documents, 80);
        asking.join().expect("asked")
    });
    assert!(waited < Duration::from_millis(3500), "{waited:?}");
    assert_eq!(engine.view().settings().chunking, "none/1");
    assert_clean(&engine);
}

#[test]
fn what_was_stopped_or_killed_goes_on_where_it_was() {
    let dir = tempfile::tempdir().expect("a folder");
    let (store, engine) = open(dir.path(), Chunking::default());
    fill(&engine, 300);
    let stop = AtomicBool::new(false);
    let stopped = reindex(
        &engine,
        &bundled(),
        Chunking::Whole,
        false,
        &stop,
        &mut |step| {
            if let ReindexStep::Progress { .. } = step {
                stop.store(true, Ordering::Relaxed);
            }
        },
    );
    let stopped = stopped.expect("stopped");
    assert!(stopped.interrupted);
    assert!((1..300).contains(&stopped.documents), "{stopped:?}");
    assert_eq!(engine.view().settings().chunking, "structural-500/1");
    // Another one is not begun beside it; the same goes on, after a crash too.
    let other = reindex(
        &engine,
        &Renamed(bundled()),
        Chunking::Whole,
        false,
        &NEVER,
        &mut |_| {},
    );
    assert!(other.is_err(), "{other:?}");
    drop((engine, store));
    let (_store, engine) = open(dir.path(), Chunking::default());
    let report = to(&engine, Chunking::Whole).expect("reindexed");
    assert_eq!(report.generation, stopped.generation);
    assert_eq!(report.documents + stopped.documents, 300);
    let records: Vec<Value> = (0..300).map(|i| record(i, &text(i))).collect();
    assert_eq!(answers(&engine), fresh(&records, Chunking::Whole));
    assert_clean(&engine);
}

#[test]
fn what_changes_nothing_is_refused_unless_it_is_forced() {
    let dir = tempfile::tempdir().expect("a folder");
    let (_store, engine) = open(dir.path(), Chunking::default());
    fill(&engine, 5);
    let refused = to(&engine, Chunking::default());
    assert!(
        matches!(refused, Err(IngestError::NothingToChange { .. })),
        "{refused:?}"
    );
    assert_eq!(engine.generations().expect("listed").len(), 1);
    let forced = reindex(
        &engine,
        &bundled(),
        Chunking::default(),
        true,
        &NEVER,
        &mut |_| {},
    );
    assert_eq!(forced.expect("reindexed").documents, 5);
    assert_clean(&engine);
}

#[test]
fn another_model_comes_in_the_same_way_and_only_the_one_it_was_goes_back() {
    let dir = tempfile::tempdir().expect("a folder");
    let (_store, engine) = open(dir.path(), Chunking::default());
    fill(&engine, 20);
    let before = answers(&engine);
    let other = Renamed(bundled());
    let report = reindex(
        &engine,
        &other,
        Chunking::default(),
        false,
        &NEVER,
        &mut |_| {},
    );
    assert_eq!(report.expect("reindexed").documents, 20);
    assert_eq!(engine.settings().embedder, "renamed");
    let states: Vec<_> = (engine.generations().expect("listed").iter())
        .map(|info| info.state)
        .collect();
    assert_eq!(states, [GenerationState::Former, GenerationState::Serving]);
    let wrong = rollback(&engine, &other, GenerationNo(1), &NEVER, &mut |_| {});
    assert!(
        matches!(wrong, Err(IngestError::ModelMismatch { .. })),
        "{wrong:?}"
    );
    rollback(&engine, &bundled(), GenerationNo(1), &NEVER, &mut |_| {}).expect("rolled back");
    assert_eq!(answers(&engine), before);
    let unknown = rollback(&engine, &bundled(), GenerationNo(9), &NEVER, &mut |_| {});
    assert!(unknown.is_err());
}

#[test]
fn a_failing_model_leaves_the_former_generation_serving() {
    let dir = tempfile::tempdir().expect("a folder");
    let (_store, engine) = open(dir.path(), Chunking::default());
    fill(&engine, 20);
    let before = answers(&engine);
    let failed = reindex(
        &engine,
        &Failing(bundled()),
        Chunking::Whole,
        false,
        &NEVER,
        &mut |_| {},
    );
    assert!(matches!(failed, Err(IngestError::Embed(_))), "{failed:?}");
    assert_eq!(answers(&engine), before);
    put(&engine, &[record(20, "Writes go on.")]).expect("ingested");
    assert_eq!(
        to(&engine, Chunking::Whole).expect("reindexed").documents,
        21
    );
    assert_clean(&engine);
}

#[test]
fn an_estimate_of_few_documents_is_exact_but_for_the_time() {
    let dir = tempfile::tempdir().expect("a folder");
    let (_store, engine) = open(dir.path(), Chunking::default());
    let nothing = estimate(&engine, &bundled(), Chunking::Whole).expect("estimated");
    assert_eq!((nothing.documents, nothing.chunks), (0, 0));
    fill(&engine, 40);
    let now = estimate(&engine, &bundled(), Chunking::default()).expect("estimated");
    assert!(now.is_unchanged && !now.is_sampled);
    assert_eq!(now.chunks, engine.view().counts().chunks);
    let whole = estimate(&engine, &bundled(), Chunking::Whole).expect("estimated");
    assert_eq!((whole.documents, whole.chunks), (40, 40));
    assert!(!whole.is_unchanged && !whole.is_sampled);
    let bytes: usize = (0..40).map(|i| text(i).len()).sum();
    assert_eq!(whole.bytes, bytes as u64);
    assert!(whole.tokens > whole.bytes / 8 && whole.tokens < whole.bytes);
    assert!(whole.seconds > 0.0 && whole.disk_bytes > 40 * 256);
}

/// The same model under another name.
struct Renamed(Bundled);

impl Embedder for Renamed {
    fn contract(&self) -> &Contract {
        static CONTRACT: std::sync::OnceLock<Contract> = std::sync::OnceLock::new();
        CONTRACT.get_or_init(|| Contract {
            fingerprint: "renamed".to_owned(),
            ..self.0.contract().clone()
        })
    }

    fn embed_query(&self, text: &str) -> Result<Vec<f32>, EmbedError> {
        self.0.embed_query(text)
    }

    fn embed_documents(&self, texts: &[String]) -> Result<Vec<Vec<f32>>, EmbedError> {
        self.0.embed_documents(texts)
    }
}

/// A model that takes its time for each text after the first ones.
struct Slow {
    model: Bundled,
    fast: AtomicUsize,
    each: Duration,
}

impl Embedder for Slow {
    fn contract(&self) -> &Contract {
        self.model.contract()
    }

    fn embed_query(&self, text: &str) -> Result<Vec<f32>, EmbedError> {
        self.model.embed_query(text)
    }

    fn embed_documents(&self, texts: &[String]) -> Result<Vec<Vec<f32>>, EmbedError> {
        let fast = self.fast.load(Ordering::Relaxed);
        self.fast
            .store(fast.saturating_sub(texts.len()), Ordering::Relaxed);
        std::thread::sleep(self.each * texts.len().saturating_sub(fast) as u32);
        self.model.embed_documents(texts)
    }
}

/// A model that cannot embed.
struct Failing(Bundled);

impl Embedder for Failing {
    fn contract(&self) -> &Contract {
        self.0.contract()
    }

    fn embed_query(&self, text: &str) -> Result<Vec<f32>, EmbedError> {
        self.0.embed_query(text)
    }

    fn embed_documents(&self, _: &[String]) -> Result<Vec<Vec<f32>>, EmbedError> {
        Err(EmbedError::UnknownModel {
            model: "failing".to_owned(),
        })
    }
}
