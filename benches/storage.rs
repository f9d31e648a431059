//! What do safety and change cost?
//!
//! `cargo bench --bench storage [-- PART …] [--chunks N] [--dir DIR]`, on the
//! engine itself with the bundled model's vectors over made-up sentences:
//!
//! - `puts`: acknowledged puts a second from 1, 8 and 64 writers, one document
//!   of one chunk each, beside what the disk itself does with `fdatasync` of a
//!   frame of the same size (the upper bound of one writer).
//! - `open`: time to open 10,000 and 100,000 chunks (or N), after no checkpoint,
//!   after one, and once all vectors are frozen, and bytes on disk a chunk, by
//!   folder.
//! - `change`: reindexing and compaction, in chunks and bytes a second, while
//!   one thread goes on asking; the asker's median and p99, beside those at
//!   rest.
//!
//! All parts without an argument. DIR is where the data goes: the disk that is
//! measured (a temporary folder otherwise).

#![allow(clippy::unwrap_used, reason = "a benchmark fails by panicking")]
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "it prints its figures"
)]

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use cento_core::{
    ByteSpan, Chunk, CollectionName, ContentHash, Document, DocumentId, Metadata, TextKind,
};
use cento_embed::{Bundled, Embedder};
use cento_index::{
    CollectionSettings, Condition, DerivedDocument, Engine, NewDocument, PendingDocument,
    Precision, Store, StoreOptions,
};

/// Chunks of a document in `open` and `change`.
const CHUNKS_A_DOCUMENT: usize = 10;
/// How long writers write in `puts`.
const WRITING: Duration = Duration::from_secs(5);

fn main() {
    let mut parts = Vec::new();
    let (mut chunks, mut dir) = (None, None);
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--chunks" => chunks = arguments.next().map(|n| n.parse::<usize>().unwrap()),
            "--dir" => dir = arguments.next().map(PathBuf::from),
            "--bench" => {}
            part => parts.push(part.to_owned()),
        }
    }
    let base = dir.unwrap_or_else(std::env::temp_dir);
    fs::create_dir_all(&base).unwrap();
    let asked = |part: &str| parts.is_empty() || parts.iter().any(|p| p == part);
    let bench = Bench {
        embedder: Bundled::new().unwrap(),
        base,
    };
    if asked("puts") {
        bench.puts();
    }
    if asked("open") {
        for chunks in chunks.map_or(vec![10_000, 100_000], |chunks| vec![chunks]) {
            bench.open(chunks);
        }
    }
    if asked("change") {
        bench.change(chunks.unwrap_or(20_000));
    }
}

struct Bench {
    embedder: Bundled,
    base: PathBuf,
}

impl Bench {
    fn folder(&self) -> tempfile::TempDir {
        tempfile::tempdir_in(&self.base).unwrap()
    }

    fn settings(&self, chunking: &str) -> CollectionSettings {
        let contract = self.embedder.contract();
        CollectionSettings {
            model: contract.model.clone(),
            embedder: contract.fingerprint.clone(),
            dimensions: contract.dimensions,
            precision: Precision::I8,
            chunking: chunking.to_owned(),
            fields: cento_core::FieldTypes::default(),
        }
    }

    fn puts(&self) {
        let frame = self.frame_bytes();
        let folder = self.folder();
        let rate = fdatasync_rate(folder.path(), frame);
        println!("fdatasync of {frame} bytes appended: {rate:.0} a second");
        for (writers, delay) in [(1, 0), (8, 0), (64, 0), (8, 500), (64, 500)] {
            let folder = self.folder();
            let options = StoreOptions {
                commit_delay: Duration::from_micros(delay),
                ..StoreOptions::default()
            };
            let store = Store::open_with(folder.path(), options).unwrap();
            let name = CollectionName::new("bench").unwrap();
            let engine = store.create(&name, &self.settings("bench/1")).unwrap();
            let stop = AtomicBool::new(false);
            let done = AtomicU64::new(0);
            let begun = Instant::now();
            std::thread::scope(|scope| {
                for writer in 0..writers {
                    let (engine, stop, done) = (&engine, &stop, &done);
                    scope.spawn(move || {
                        for i in 0.. {
                            if stop.load(Ordering::Relaxed) {
                                break;
                            }
                            let new = self.documents(writer * 1_000_000 + i, 1, 1);
                            engine.put(engine.view().generation(), new).unwrap();
                            done.fetch_add(1, Ordering::Relaxed);
                        }
                    });
                }
                std::thread::sleep(WRITING);
                stop.store(true, Ordering::Relaxed);
            });
            let seconds = begun.elapsed().as_secs_f64();
            let puts = done.load(Ordering::Relaxed) as f64 / seconds;
            println!(
                "{writers:3} writers, delay {delay:3} µs: {puts:6.0} acknowledged puts a second ({:.2} of the disk's rate)",
                puts / rate
            );
        }
    }

    /// About how long the frame of one put is.
    fn frame_bytes(&self) -> usize {
        let new = &self.documents(0, 1, 1)[0];
        new.document.text.len() + self.embedder.contract().dimensions + 250
    }

    fn open(&self, chunks: usize) {
        let folder = self.folder();
        let name = CollectionName::new("bench").unwrap();
        let begun = Instant::now();
        {
            let store = Store::open(folder.path()).unwrap();
            let engine = store.create(&name, &self.settings("bench/1")).unwrap();
            self.fill(&engine, chunks);
            engine.refresh().unwrap();
        }
        println!(
            "{chunks} chunks: written and indexed in {:.1} s",
            begun.elapsed().as_secs_f64()
        );
        let open = |what: &str| {
            let begun = Instant::now();
            let store = Store::open_existing(folder.path()).unwrap();
            let engine = store.collection(&name).unwrap();
            assert_eq!(engine.view().counts().chunks, chunks as u64);
            println!(
                "  opened {what}: {:.3} s (replayed {})",
                begun.elapsed().as_secs_f64(),
                engine.recovery().replayed
            );
            engine.checkpoint().unwrap();
        };
        open("without a checkpoint");
        for _ in 0..3 {
            open("after a checkpoint");
        }
        let begun = Instant::now();
        {
            let store = Store::open_existing(folder.path()).unwrap();
            assert_eq!(store.collection(&name).unwrap().settle().unwrap(), None);
        }
        println!(
            "  opened and frozen in {:.1} s",
            begun.elapsed().as_secs_f64()
        );
        for _ in 0..3 {
            open("frozen");
        }
        let collection = folder.path().join("collections/bench");
        let generation = subfolder(&collection.join("generations"));
        let mut total = bytes_of(&collection);
        print!("  bytes a chunk:");
        for (what, path) in [
            ("log", collection.join("log")),
            ("catalog", generation.join("catalog")),
            ("text", generation.join("text")),
            ("vectors", generation.join("vectors")),
        ] {
            print!(" {what} {:.0},", bytes_of(&path) as f64 / chunks as f64);
        }
        total /= chunks as u64;
        println!(" all {total}");
    }

    fn change(&self, chunks: usize) {
        let folder = self.folder();
        let name = CollectionName::new("bench").unwrap();
        let options = StoreOptions {
            segment_bytes: 8 << 20,
            ..StoreOptions::default()
        };
        let store = Store::open_with(folder.path(), options).unwrap();
        let engine = store.create(&name, &self.settings("bench/1")).unwrap();
        self.fill(&engine, chunks);
        engine.refresh().unwrap();
        engine.checkpoint().unwrap();
        let (_, rest) = self.while_asking(&engine, || std::thread::sleep(Duration::from_secs(3)));
        println!("{chunks} chunks; queries at rest: {rest}");

        let (seconds, asked) = self.while_asking(&engine, || {
            let begun = Instant::now();
            let generation = engine.begin_generation(&self.settings("bench/2")).unwrap();
            loop {
                let pending = engine.pending(generation, 4 << 20).unwrap();
                if pending.is_empty() {
                    break;
                }
                let derived = pending.into_iter().map(|pending| self.derive(pending));
                engine.derive(generation, derived.collect()).unwrap();
            }
            assert_eq!(engine.switch(generation, None).unwrap(), 0);
            begun.elapsed().as_secs_f64()
        });
        println!(
            "  reindexed in {seconds:.1} s: {:.0} chunks a second; queries meanwhile: {asked}",
            chunks as f64 / seconds
        );
        engine.drop_generation(cento_core::GenerationNo(1)).unwrap();

        // Half of the documents once more, so that half of the log is dead.
        self.put_range(&engine, 0..chunks / CHUNKS_A_DOCUMENT / 2);
        engine.refresh().unwrap();
        let (report, asked) = self.while_asking(&engine, || {
            let begun = Instant::now();
            let report = engine.compact(0.2).unwrap();
            (report, begun.elapsed().as_secs_f64())
        });
        let (report, seconds) = report;
        println!(
            "  compacted {:.1} MB to {:.1} MB in {seconds:.2} s ({:.0} MB/s); queries meanwhile: {asked}",
            report.bytes_before as f64 / 1e6,
            report.bytes_after as f64 / 1e6,
            report.bytes_before as f64 / 1e6 / seconds
        );
        assert!(engine.audit().unwrap().is_clean());
    }

    /// Runs something while one thread asks; tells how long answers took.
    fn while_asking<T>(&self, engine: &Engine, work: impl FnOnce() -> T) -> (T, String) {
        let stop = AtomicBool::new(false);
        let (result, mut times) = std::thread::scope(|scope| {
            let asker = scope.spawn(|| {
                let mut times = Vec::new();
                for i in 0.. {
                    if stop.load(Ordering::Relaxed) {
                        break;
                    }
                    let query = sentence(i * 7 + 3);
                    let begun = Instant::now();
                    let view = engine.view();
                    let vector = self.embedder.embed_query(&query).unwrap();
                    let dense = view.dense(&vector, None, 10).unwrap().hits;
                    let lexical = view.lexical(&query, None, 10).unwrap().hits;
                    let numbers: Vec<_> = dense.iter().map(|hit| hit.0).collect();
                    assert_eq!(view.chunks(&numbers).unwrap().len(), dense.len());
                    assert!(!lexical.is_empty());
                    times.push(begun.elapsed());
                }
                times
            });
            let result = work();
            stop.store(true, Ordering::Relaxed);
            (result, asker.join().unwrap())
        });
        times.sort();
        let at =
            |share: f64| times[((times.len() - 1) as f64 * share) as usize].as_secs_f64() * 1e3;
        let told = format!(
            "{} answers, median {:.2} ms, p99 {:.2} ms, slowest {:.1} ms",
            times.len(),
            at(0.5),
            at(0.99),
            at(1.0)
        );
        (result, told)
    }

    fn fill(&self, engine: &Engine, chunks: usize) {
        self.put_range(engine, 0..chunks / CHUNKS_A_DOCUMENT);
    }

    fn put_range(&self, engine: &Engine, documents: std::ops::Range<usize>) {
        let mut first = documents.start;
        while first < documents.end {
            let count = (documents.end - first).min(256);
            let new = self.documents(first, count, CHUNKS_A_DOCUMENT);
            engine.put(engine.view().generation(), new).unwrap();
            first += count;
        }
    }

    /// Documents of so many sentences, a chunk each.
    fn documents(&self, first: usize, count: usize, chunks: usize) -> Vec<NewDocument> {
        let documents = (first..first + count).map(|number| {
            let sentences: Vec<String> =
                (0..chunks).map(|i| sentence(number * chunks + i)).collect();
            let text = sentences.join("\n");
            let (chunks, vectors) = self.cut(&text);
            NewDocument {
                document: Document {
                    id: DocumentId::new(format!("document/{number}")).unwrap(),
                    title: format!("Document {number}"),
                    source: None,
                    metadata: Metadata::default(),
                    content_hash: ContentHash::of([text.as_bytes()]),
                    kind: TextKind::Lines,
                    text,
                },
                chunks,
                vectors,
                condition: Condition::Always,
            }
        });
        documents.collect()
    }

    fn cut(&self, text: &str) -> (Vec<Chunk>, Vec<Vec<f32>>) {
        let mut chunks = Vec::new();
        let mut start = 0;
        for (i, line) in text.split('\n').enumerate() {
            let end = start + line.len();
            chunks.push(Chunk {
                span: ByteSpan::new(start as u64, end as u64).unwrap(),
                heading_path: Vec::new(),
                line: i as u32 + 1,
            });
            start = end + 1;
        }
        let texts: Vec<String> = text.split('\n').map(str::to_owned).collect();
        (chunks, self.embedder.embed_documents(&texts).unwrap())
    }

    fn derive(&self, pending: PendingDocument) -> DerivedDocument {
        let (chunks, vectors) = self.cut(&pending.document.text);
        DerivedDocument {
            pending,
            chunks,
            vectors,
        }
    }
}

/// A made-up sentence of forty words, the common ones more often: Zipf's law
/// over words that the bundled model knows.
fn sentence(number: usize) -> String {
    const WORDS: &str = include_str!("../data/demo/README.md");
    let words: Vec<&str> = WORDS.split_whitespace().collect();
    let mut state = number as u64 ^ 0x9E37_79B9_7F4A_7C15;
    let mut next = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as f64 / (1_u64 << 31) as f64
    };
    let picked: Vec<&str> = (0..40)
        .map(|_| words[((words.len() as f64).powf(next()) as usize - 1).min(words.len() - 1)])
        .collect();
    format!("{number} {}", picked.join(" "))
}

/// How often a second a frame can be appended and synced.
fn fdatasync_rate(dir: &Path, bytes: usize) -> f64 {
    let file = File::create(dir.join("probe")).unwrap();
    let frame = vec![7_u8; bytes];
    let begun = Instant::now();
    let mut times = 0_u64;
    while begun.elapsed() < WRITING {
        file.write_all_at(&frame, times * bytes as u64).unwrap();
        file.sync_data().unwrap();
        times += 1;
    }
    times as f64 / begun.elapsed().as_secs_f64()
}

fn bytes_of(path: &Path) -> u64 {
    if path.is_file() {
        return path.metadata().unwrap().len();
    }
    let Ok(entries) = fs::read_dir(path) else {
        return 0;
    };
    entries.map(|entry| bytes_of(&entry.unwrap().path())).sum()
}

fn subfolder(dir: &Path) -> PathBuf {
    fs::read_dir(dir).unwrap().next().unwrap().unwrap().path()
}
