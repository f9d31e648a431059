//! How many documents a second does a neural model embed, and how long does a
//! query take, alone and beside an ingestion?
//!
//! ```text
//! cargo bench -p cento-embed --features fastembed --bench neural -- MODEL BEIR_CORPUS.jsonl [DOCUMENTS]
//! ```
//!
//! `MODEL` is what [`cento_embed::open`] takes. Documents are spread evenly over
//! the corpus, each its title, a newline and its text.

#![allow(clippy::unwrap_used, reason = "a benchmark fails by panicking")]
#![allow(clippy::print_stdout, reason = "it reports on standard output")]

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use cento_embed::{Embedder, open};

const QUERIES: usize = 60;

fn documents(path: &str, wanted: usize) -> Vec<String> {
    let corpus = std::fs::read_to_string(path).unwrap();
    let all: Vec<String> = corpus
        .lines()
        .map(|line| {
            let row: serde_json::Value = serde_json::from_str(line).unwrap();
            let part = |name: &str| row[name].as_str().unwrap_or_default().to_owned();
            format!("{}\n{}", part("title"), part("text"))
        })
        .collect();
    let step = (all.len() / wanted).max(1);
    all.into_iter().step_by(step).take(wanted).collect()
}

/// Median and 95th percentile of single queries.
fn latency(
    model: &dyn Embedder,
    documents: &[String],
    until: &AtomicBool,
) -> (Duration, Duration, usize) {
    let mut taken = Vec::new();
    for document in documents.iter().cycle() {
        if until.load(Ordering::Relaxed) {
            break;
        }
        let query = document.lines().next().unwrap_or_default();
        let begun = Instant::now();
        model.embed_query(query).unwrap();
        taken.push(begun.elapsed());
        if taken.len() == QUERIES {
            break;
        }
    }
    taken.sort_unstable();
    let at = |share: usize| taken[(taken.len() * share / 100).min(taken.len() - 1)];
    (at(50), at(95), taken.len())
}

fn main() {
    let arguments: Vec<String> = std::env::args()
        .skip(1)
        .filter(|a| a != "--bench")
        .collect();
    let [model, corpus, rest @ ..] = &arguments[..] else {
        println!("wanted: MODEL BEIR_CORPUS.jsonl [DOCUMENTS]");
        return;
    };
    let wanted = rest.first().map_or(300, |number| number.parse().unwrap());
    let documents = documents(corpus, wanted);
    let begun = Instant::now();
    let model = open(model).unwrap();
    println!(
        "{} opened in {:.0?}",
        model.contract().fingerprint,
        begun.elapsed()
    );

    let never = AtomicBool::new(false);
    let (median, p95, count) = latency(&*model, &documents, &never);
    println!("query alone: median {median:.1?}, p95 {p95:.1?} of {count}");

    let done = AtomicBool::new(false);
    let begun = Instant::now();
    model.embed_documents(&documents).unwrap();
    let seconds = begun.elapsed().as_secs_f64();
    println!(
        "{} documents in {seconds:.1} s: {:.1} a second",
        documents.len(),
        documents.len() as f64 / seconds
    );

    std::thread::scope(|scope| {
        let beside = scope.spawn(|| latency(&*model, &documents, &done));
        model
            .embed_documents(&documents[..documents.len() / 2])
            .unwrap();
        done.store(true, Ordering::Relaxed);
        let (median, p95, count) = beside.join().unwrap();
        println!("query beside an ingestion: median {median:.1?}, p95 {p95:.1?} of {count}");
    });
}
