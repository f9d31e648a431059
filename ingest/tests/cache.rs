//! Is a text embedded again that was embedded before?

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use cento_core::CollectionName;
use cento_embed::{Bundled, Contract, EmbedError, Embedder, EmbeddingCache, cached};
use cento_index::{Engine, Store};
use cento_ingest::{Chunking, Options, Report, Source, collection_settings, ingest, reindex};
use serde_json::json;

/// The bundled model, counting, as if it cost something.
struct Costly {
    model: Bundled,
    texts: Arc<AtomicUsize>,
}

impl Embedder for Costly {
    fn contract(&self) -> &Contract {
        self.model.contract()
    }

    fn is_costly(&self) -> bool {
        true
    }

    fn embed_query(&self, text: &str) -> Result<Vec<f32>, EmbedError> {
        self.model.embed_query(text)
    }

    fn embed_documents(&self, texts: &[String]) -> Result<Vec<Vec<f32>>, EmbedError> {
        self.texts.fetch_add(texts.len(), Ordering::Relaxed);
        self.model.embed_documents(texts)
    }
}

/// A process that works on a data directory.
struct Process {
    store: Store,
    embedder: Box<dyn Embedder>,
    embedded: Arc<AtomicUsize>,
}

impl Process {
    fn begin(dir: &Path) -> Self {
        let embedded = Arc::default();
        let costly = Costly {
            model: Bundled::new().expect("the bundled model"),
            texts: Arc::clone(&embedded),
        };
        let cache = EmbeddingCache::of_directory(dir, EmbeddingCache::DEFAULT_BYTES);
        Self {
            store: Store::open(dir).expect("a store"),
            embedder: cached(Box::new(costly), Arc::new(cache)),
            embedded,
        }
    }

    fn collection(&self, name: &str) -> Arc<Engine> {
        let name = CollectionName::new(name).expect("a name");
        if self.store.collections().expect("listed").contains(&name) {
            return self.store.collection(&name).expect("a collection");
        }
        let settings = collection_settings(&*self.embedder, Chunking::default());
        self.store.create(&name, &settings).expect("made")
    }

    /// Ingests, and sees that the report says what happened.
    fn ingest(&self, collection: &str, documents: &[String]) -> Report {
        let lines = documents.iter().enumerate().map(|(i, text)| {
            let line = json!({"id": format!("d{i}"), "text": text});
            format!("{line}\n")
        });
        let source = Source::Records {
            reader: Box::new(std::io::Cursor::new(lines.collect::<String>())),
        };
        let engine = self.collection(collection);
        let before = self.embedded.load(Ordering::Relaxed);
        let options = Options::default();
        let report = ingest(
            &engine,
            &*self.embedder,
            vec![source],
            &options,
            &mut |_| {},
        );
        let report = report.expect("ingested");
        let embedded = self.embedded.load(Ordering::Relaxed) - before;
        assert_eq!(report.embedded, embedded as u64);
        report
    }
}

/// Documents of some chunks each.
fn documents() -> Vec<String> {
    let paragraph = |i: usize, j: usize| {
        let sentence = format!(
            "Paragraph {j} of note {i} says what valve {} does. ",
            i * 7 + j
        );
        sentence.repeat(8)
    };
    let text = |i| (0..3).map(|j| paragraph(i, j) + "\n\n").collect();
    (0..400).map(text).collect()
}

#[test]
fn a_second_ingestion_embeds_nothing_and_an_edit_only_what_it_touches() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut documents = documents();
    let first = Process::begin(dir.path()).ingest("docs", &documents);
    assert_eq!(first.added, 400);
    assert!(first.chunks > 1000);
    assert_eq!(first.embedded, first.chunks);
    let second = Process::begin(dir.path()).ingest("docs", &documents);
    assert_eq!((second.unchanged, second.embedded), (400, 0));
    // Nor does another collection of the same texts.
    let other = Process::begin(dir.path()).ingest("other", &documents);
    assert_eq!((other.chunks, other.embedded), (first.chunks, 0));
    // One document of a hundred gets another last sentence.
    for text in documents.iter_mut().step_by(100) {
        text.push_str("And that is all.");
    }
    let third = Process::begin(dir.path()).ingest("docs", &documents);
    assert_eq!(third.replaced, 4);
    assert!((1..=8).contains(&third.embedded), "{}", third.embedded);
    assert!(third.chunks > third.embedded, "{}", third.chunks);
}

#[test]
fn what_is_cut_as_before_need_not_be_embedded_for_a_reindexing() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut documents: Vec<String> = documents().into_iter().take(50).collect();
    // Too short to be cut one way or the other.
    documents.extend((0..50).map(|i| format!("A short note about pump {i}.")));
    Process::begin(dir.path()).ingest("docs", &documents);
    let process = Process::begin(dir.path());
    let engine = process.collection("docs");
    let stop = AtomicBool::new(false);
    let whole = Chunking::Whole;
    let report = reindex(
        &engine,
        &*process.embedder,
        whole,
        false,
        &stop,
        &mut |_| {},
    );
    let report = report.expect("made anew");
    assert_eq!((report.documents, report.chunks), (100, 100));
    assert_eq!(report.embedded, 50);
    assert_eq!(process.embedded.load(Ordering::Relaxed), 50);
}
