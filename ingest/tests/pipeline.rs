//! Does what is ingested arrive, once, and does the report say what happened?

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use cento_core::{CollectionName, DocumentId};
use cento_embed::{Bundled, Contract, EmbedError, Embedder};
use cento_index::{CollectionSettings, Engine, Store};
use cento_ingest::{
    Chunking, Event, IngestError, Options, ProblemCode, Report, Source, collection_settings,
    ingest, records,
};
use tempfile::TempDir;

/// An empty collection, and a folder for files.
struct Bench {
    embedder: Bundled,
    engine: Arc<Engine>,
    _store: Store,
    files: TempDir,
    _data: TempDir,
}

impl Bench {
    fn new() -> Self {
        let embedder = Bundled::new().expect("the bundled model");
        let settings = collection_settings(&embedder, Chunking::default());
        let data = tempfile::tempdir().expect("a folder");
        let store = Store::open(data.path()).expect("a store");
        let name = CollectionName::new("docs").expect("a name");
        Self {
            engine: store.create(&name, &settings).expect("a collection"),
            embedder,
            _store: store,
            files: tempfile::tempdir().expect("a folder"),
            _data: data,
        }
    }

    fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        let path = self.files.path().join(name);
        fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
        fs::write(path, bytes).expect("a file");
    }

    fn remove(&self, name: &str) {
        fs::remove_file(self.files.path().join(name)).expect("removed");
    }

    fn folder(&self) -> Vec<Source> {
        vec![Source::Path(self.files.path().to_owned())]
    }

    fn ingest(&self, sources: Vec<Source>) -> Result<Report, IngestError> {
        ingest(
            &self.engine,
            &self.embedder,
            sources,
            &Options::default(),
            &mut |_| {},
        )
    }

    fn all(&self) -> Report {
        self.ingest(self.folder()).expect("ingested")
    }

    fn ids(&self) -> Vec<String> {
        let documents = self.engine.view().documents(None, 1000).expect("documents");
        documents.iter().map(|d| d.id.as_str().to_owned()).collect()
    }
}

fn counts(report: &Report) -> (u64, u64, u64, u64) {
    (
        report.added,
        report.replaced,
        report.unchanged,
        report.failed,
    )
}

fn gone(report: &Report) -> Vec<&str> {
    report.gone.iter().map(DocumentId::as_str).collect()
}

#[test]
fn a_folder_of_all_formats_arrives_and_is_found_at_once() {
    let bench = Bench::new();
    bench.write("a.md", "# Alpha\n\nAbout the alpha particle.");
    bench.write(
        "sub/b.html",
        "<title>Beta</title><p>About the beta particle.",
    );
    bench.write(
        "c.jsonl",
        "{\"id\":\"one\",\"text\":\"gamma\",\"year\":2024}\n{\"id\":2,\"text\":\"delta\"}\n",
    );
    bench.write("d.csv", "x,y\n1,2\n");
    let report = bench.all();
    assert_eq!(counts(&report), (5, 0, 0, 0), "{:?}", report.failures);
    assert_eq!(bench.ids(), ["2", "a.md", "d.csv", "one", "sub/b.html"]);
    let hits = bench.engine.view().lexical("beta", None, 10).expect("hits");
    assert_eq!(hits.hits.len(), 1);
    let id = DocumentId::new("sub/b.html").expect("an id");
    let stored = bench
        .engine
        .view()
        .document(&id)
        .expect("read")
        .expect("there");
    assert_eq!(stored.document.title, "Beta");
    let source = stored.document.source.expect("a source");
    assert!(Path::new(&source).ends_with("sub/b.html"), "{source}");
}

#[test]
fn unchanged_documents_are_skipped_and_changed_ones_replaced() {
    let bench = Bench::new();
    bench.write("a.md", "one");
    bench.write(
        "b.jsonl",
        "{\"id\":\"x\",\"text\":\"x\"}\n{\"id\":\"y\",\"text\":\"y\"}\n",
    );
    assert_eq!(counts(&bench.all()), (3, 0, 0, 0));
    assert_eq!(counts(&bench.all()), (0, 0, 3, 0));
    bench.write("a.md", "two");
    // A line in front moves the others, which is no change of theirs; another
    // field is one.
    bench.write(
        "b.jsonl",
        "\n{\"id\":\"x\",\"text\":\"x\"}\n{\"id\":\"y\",\"text\":\"y\",\"k\":1}\n",
    );
    assert_eq!(counts(&bench.all()), (0, 2, 1, 0));
}

#[test]
fn every_failure_is_named_and_the_rest_arrives() {
    let bench = Bench::new();
    bench.write("bad.png", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR");
    bench.write("empty.txt", "  \n");
    bench.write("good.txt", "fine");
    bench.write(
        "lines.jsonl",
        "{\"id\":\"a\",\"text\":\"t\",\"n\":1}\nnope\n{\"id\":\"b\",\"text\":\"t\",\"n\":\"x\"}\n",
    );
    bench.write("paper.pdf", "%PDF-1.4 ...");
    let report = bench.all();
    assert_eq!(counts(&report), (2, 0, 0, 5));
    let named: Vec<(&str, ProblemCode)> = report
        .failures
        .iter()
        .map(|f| (f.place.rsplit('/').next().unwrap_or_default(), f.code))
        .collect();
    for expected in [
        ("bad.png", ProblemCode::BinaryFile),
        ("empty.txt", ProblemCode::EmptyDocument),
        ("lines.jsonl:2", ProblemCode::InvalidJsonl),
        ("lines.jsonl:3", ProblemCode::FieldTypeConflict),
        ("paper.pdf", ProblemCode::UnsupportedFormat),
    ] {
        assert!(named.contains(&expected), "{expected:?} in {named:?}");
    }
}

#[test]
fn the_first_of_two_equal_ids_stays() {
    let bench = Bench::new();
    bench.write(
        "a.jsonl",
        "{\"id\":\"x\",\"text\":\"first\"}\n{\"id\":\"x\",\"text\":\"second\"}\n",
    );
    bench.write("b.jsonl", "{\"id\":\"x\",\"text\":\"third\"}\n");
    let report = bench.all();
    assert_eq!(counts(&report), (1, 0, 0, 2));
    for failure in &report.failures {
        assert_eq!(failure.code, ProblemCode::DuplicateId);
        assert!(failure.message.contains("a.jsonl:1"), "{failure}");
    }
    let id = DocumentId::new("x").expect("an id");
    let stored = bench
        .engine
        .view()
        .document(&id)
        .expect("read")
        .expect("there");
    assert_eq!(stored.document.text, "first");
}

#[test]
fn what_is_gone_is_reported_and_not_deleted() {
    let bench = Bench::new();
    bench.write("a.md", "a");
    bench.write("b.md", "b");
    bench.write(
        "c.jsonl",
        "{\"id\":\"x\",\"text\":\"x\"}\n{\"id\":\"y\",\"text\":\"y\"}\n",
    );
    assert!(bench.all().gone.is_empty());
    bench.remove("b.md");
    bench.write("c.jsonl", "{\"id\":\"y\",\"text\":\"y\"}\n");
    assert_eq!(gone(&bench.all()), ["b.md", "x"]);
    assert_eq!(bench.ids().len(), 4);
    // Another root says nothing of these; nor does a file that cannot be read.
    let only = vec![Source::Path(bench.files.path().join("a.md"))];
    assert!(bench.ingest(only).expect("ingested").gone.is_empty());
    bench.write("a.md", b"\0\0\0\0");
    bench.write("c.jsonl", "nope\n");
    assert_eq!(gone(&bench.all()), ["b.md"]);
}

#[test]
fn a_document_over_the_limit_is_refused() {
    let bench = Bench::new();
    bench.write("big.txt", "word ".repeat(100));
    bench.write(
        "lines.jsonl",
        format!(
            "{{\"id\":\"a\",\"text\":\"{}\"}}\n{{\"id\":\"b\",\"text\":\"x\"}}\n",
            "w".repeat(500)
        ),
    );
    let options = Options {
        max_document_bytes: 200,
        ..Options::default()
    };
    let report = ingest(
        &bench.engine,
        &bench.embedder,
        bench.folder(),
        &options,
        &mut |_| {},
    )
    .expect("ingested");
    assert_eq!(counts(&report), (1, 0, 0, 2));
    assert!(
        report
            .failures
            .iter()
            .all(|f| f.code == ProblemCode::TooLarge)
    );
}

#[test]
fn files_in_memory_and_standard_input_are_sources_too() {
    let bench = Bench::new();
    let sources = vec![
        Source::Memory {
            name: "m.md".into(),
            bytes: b"# Memory\n\nwords".as_slice().into(),
        },
        Source::Stream {
            name: "stdin".into(),
            reader: Box::new("{\"id\":\"s\",\"text\":\"streamed\"}\n".as_bytes()),
        },
    ];
    assert_eq!(
        counts(&bench.ingest(sources).expect("ingested")),
        (2, 0, 0, 0)
    );
    assert_eq!(bench.ids(), ["m.md", "s"]);
}

#[test]
fn records_are_documents_without_a_source_and_may_hold_files() {
    let bench = Bench::new();
    let lines = "{\"id\":\"a\",\"text\":\"plain\",\"team\":\"ops\"}\n\
         nonsense\n\
         {\"id\":\"b.html\",\"content_base64\":\"PHA+b25lPC9wPg==\",\"metadata\":{\"team\":\"dev\"}}\n";
    let records = || Source::Records {
        reader: Box::new(lines.as_bytes()),
    };
    let report = bench.ingest(vec![records()]).expect("ingested");
    assert_eq!(counts(&report), (2, 0, 0, 1));
    assert_eq!(report.failures[0].place, "line 2");
    let view = bench.engine.view();
    let stored = |id: &str| {
        let id = DocumentId::new(id).expect("valid");
        view.document(&id)
            .expect("readable")
            .expect("there")
            .document
    };
    assert_eq!(stored("a").source, None);
    assert_eq!(stored("b.html").text.trim(), "one");
    let metadata = serde_json::Value::Object(stored("b.html").metadata.to_json());
    assert_eq!(
        metadata,
        serde_json::json!({"format": "html", "team": "dev"})
    );
    assert_eq!(
        counts(&bench.ingest(vec![records()]).expect("ingested")),
        (0, 0, 2, 1)
    );
}

#[test]
fn files_sent_as_records_become_the_same_documents() {
    let bench = Bench::new();
    bench.write("a.md", "# T\n\nwords");
    bench.write("b/c.html", "<title>P</title><p>x</p>");
    bench.write("d.jsonl", "{\"id\":\"d\",\"text\":\"line\"}\nno\n");
    let mut lines = Vec::new();
    let mut failures = Vec::new();
    for record in records(bench.folder(), &Options::default()).expect("files") {
        match record {
            Ok(found) => {
                lines.extend(serde_json::to_vec(&found.record).expect("JSON"));
                lines.push(b'\n');
            }
            Err(failure) => failures.push(failure.place),
        }
    }
    assert!(failures.len() == 1 && failures[0].ends_with("d.jsonl:2"));
    let there = Bench::new();
    let reader = Box::new(std::io::Cursor::new(lines));
    let report = there.ingest(vec![Source::Records { reader }]);
    assert_eq!(counts(&report.expect("ingested")), (3, 0, 0, 0));
    bench.all();
    let documents = |bench: &Bench| -> Vec<_> {
        let view = bench.engine.view();
        let listed = view.documents(None, 10).expect("documents");
        listed
            .into_iter()
            .map(|outline| {
                let stored = view.document(&outline.id).expect("readable");
                let document = stored.expect("there").document;
                (
                    document.id,
                    document.source,
                    document.title,
                    document.text,
                    document.metadata,
                )
            })
            .collect()
    };
    assert_eq!(documents(&bench), documents(&there));
}

#[test]
fn what_cannot_begin_is_an_error() {
    let bench = Bench::new();
    let error = bench.ingest(bench.folder()).expect_err("empty");
    assert!(matches!(error, IngestError::NothingToIngest { .. }));
    let missing = vec![Source::Path(bench.files.path().join("missing"))];
    let error = bench.ingest(missing).expect_err("missing");
    assert!(matches!(error, IngestError::PathNotFound { .. }));
}

#[test]
fn every_committed_document_is_announced() {
    let bench = Bench::new();
    for at in 0..600 {
        bench.write(
            &format!("{at:03}.md"),
            format!("# Document {at}\n\nIts words are few."),
        );
    }
    let mut announced = BTreeSet::new();
    let mut commits = 0;
    let mut started = 0;
    let report = ingest(
        &bench.engine,
        &bench.embedder,
        bench.folder(),
        &Options::default(),
        &mut |event| match event {
            Event::Started { files, .. } => started = files,
            Event::Committed { ids, .. } => {
                commits += 1;
                announced.extend(ids.iter().cloned());
            }
            _ => {}
        },
    )
    .expect("ingested");
    assert_eq!((started, report.added, announced.len()), (600, 600, 600));
    assert!(commits >= 2, "several batches");
}

#[test]
fn stopping_keeps_what_is_committed_and_says_so() {
    let bench = Bench::new();
    for at in 0..2000 {
        bench.write(
            &format!("{at:04}.md"),
            format!("# Document {at}\n\nIts words are few."),
        );
    }
    let stop = AtomicBool::new(false);
    let options = Options {
        stop: &stop,
        ..Options::default()
    };
    let mut committed = 0;
    let report = ingest(
        &bench.engine,
        &bench.embedder,
        bench.folder(),
        &options,
        &mut |event| {
            if let Event::Committed { ids, .. } = event {
                committed += ids.len();
                stop.store(true, Ordering::Relaxed);
            }
        },
    )
    .expect("a clean end");
    assert!(report.interrupted);
    assert!(report.gone.is_empty());
    assert!(committed > 0 && committed < 2000);
    assert_eq!(report.added, committed as u64);
    assert_eq!(bench.ids().len(), committed.min(1000));
    assert_eq!(counts(&bench.all()).2, committed as u64);
}

#[test]
fn a_collection_of_another_model_or_chunker_is_refused() {
    let bench = Bench::new();
    let data = tempfile::tempdir().expect("a folder");
    let store = Store::open(data.path()).expect("a store");
    bench.write("a.md", "a");
    let settings = bench.engine.settings();
    for (at, (embedder, chunking)) in [
        ("other/1", Chunking::default().fingerprint()),
        (settings.embedder.as_str(), "other/1"),
    ]
    .into_iter()
    .enumerate()
    {
        let other = CollectionSettings {
            model: settings.model.clone(),
            embedder: embedder.to_owned(),
            dimensions: settings.dimensions,
            precision: settings.precision,
            chunking: chunking.to_owned(),
            fields: settings.fields.clone(),
        };
        let name = CollectionName::new(format!("c{at}")).expect("a name");
        let engine = store.create(&name, &other).expect("a collection");
        let result = ingest(
            &engine,
            &bench.embedder,
            bench.folder(),
            &Options::default(),
            &mut |_| {},
        );
        let error = result.expect_err("refused");
        let is_right = match at {
            0 => matches!(error, IngestError::ModelMismatch { .. }),
            _ => matches!(error, IngestError::ChunkingMismatch { .. }),
        };
        assert!(is_right, "{error}");
    }
}

/// A model that fails from some batch on, and counts texts.
struct Failing {
    model: Bundled,
    sound_batches: AtomicUsize,
    texts: AtomicUsize,
}

impl Embedder for Failing {
    fn contract(&self) -> &Contract {
        self.model.contract()
    }

    fn embed_query(&self, text: &str) -> Result<Vec<f32>, EmbedError> {
        self.model.embed_query(text)
    }

    fn embed_documents(&self, texts: &[String]) -> Result<Vec<Vec<f32>>, EmbedError> {
        let left = self.sound_batches.load(Ordering::Relaxed);
        if left == 0 {
            return Err(EmbedError::RemoteUnreachable {
                server: "http://localhost/v1".to_owned(),
                reason: "it is gone".to_owned(),
            });
        }
        self.sound_batches.store(left - 1, Ordering::Relaxed);
        self.texts.fetch_add(texts.len(), Ordering::Relaxed);
        self.model.embed_documents(texts)
    }
}

#[test]
fn an_ingestion_whose_model_fails_goes_on_where_it_ended() {
    let bench = Bench::new();
    let lines: Vec<String> = (0..600)
        .map(|i| format!("{{\"id\":\"d{i:03}\",\"text\":\"document {i}\"}}\n"))
        .collect();
    bench.write("all.jsonl", lines.concat());
    let model = Failing {
        model: Bundled::new().expect("the bundled model"),
        sound_batches: AtomicUsize::new(1),
        texts: AtomicUsize::new(0),
    };
    let run = || {
        let options = Options::default();
        ingest(&bench.engine, &model, bench.folder(), &options, &mut |_| {})
    };
    let error = run().expect_err("the model fails");
    assert!(matches!(error, IngestError::Embed(_)), "{error:?}");
    bench.engine.refresh().expect("refreshed");
    let kept = bench.ids().len();
    assert!(0 < kept && kept < 600, "{kept}");
    model.sound_batches.store(usize::MAX, Ordering::Relaxed);
    let report = run().expect("ingested");
    assert_eq!(counts(&report), (600 - kept as u64, 0, kept as u64, 0));
    assert_eq!(bench.ids().len(), 600);
    // No text was embedded twice.
    assert_eq!(model.texts.load(Ordering::Relaxed), 600);
}
