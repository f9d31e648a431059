//! How long does a context take, and how full is it?
//!
//! `CENTO_SHARED=DIR cargo bench --bench context`: SciFact's 300 test queries,
//! one after the other on one store in this process, tokenizer o200k, at
//! several budgets. The store is made first and is not measured.

#![allow(clippy::unwrap_used, reason = "a benchmark fails by panicking")]
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "it prints its figures"
)]

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use cento_core::{CollectionName, TokenBudget};
use cento_embed::{Bundled, Embedder};
use cento_index::{Store, View};
use cento_ingest::{Chunking, Options, Source, collection_settings, ingest};
use cento_retrieve::{ContextRequest, Ranking, SearchRequest, Tokenizer, context, search};
use serde_json::Value;

fn main() {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared");
    let shared = std::env::var_os("CENTO_SHARED").map_or(beside, PathBuf::from);
    let scifact = shared.join("datasets/beir/scifact");
    if !scifact.is_dir() {
        eprintln!("SKIPPED: set CENTO_SHARED to the folder that holds datasets/");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let embedder = Bundled::new().unwrap();
    let settings = collection_settings(&embedder, Chunking::default());
    let name = CollectionName::new("scifact").unwrap();
    let engine = store.create(&name, &settings).unwrap();
    let corpus = vec![Source::Path(scifact.join("corpus.jsonl"))];
    ingest(&engine, &embedder, corpus, &Options::default(), &mut |_| {}).unwrap();
    let view = engine.view();
    let queries = test_queries(&scifact);
    println!("{} queries, {} chunks", queries.len(), view.counts().chunks);
    let tokenizer = Tokenizer::named("o200k").unwrap();
    measure_search(&view, &embedder, &queries);
    for budget in [500, 1000, 4000, 16_000] {
        measure_context(&view, &embedder, &tokenizer, &queries, budget);
    }
}

fn test_queries(scifact: &Path) -> Vec<String> {
    let judged = fs::read_to_string(scifact.join("qrels/test.tsv")).unwrap();
    let judged: HashSet<&str> = judged
        .lines()
        .skip(1)
        .filter_map(|line| line.split('\t').next())
        .collect();
    let lines = fs::read_to_string(scifact.join("queries.jsonl")).unwrap();
    lines
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .filter(|query| judged.contains(query["_id"].as_str().unwrap()))
        .map(|query| query["text"].as_str().unwrap().to_owned())
        .collect()
}

fn measure_search(view: &View, embedder: &dyn Embedder, queries: &[String]) {
    let ask = |query: &String| {
        let request = SearchRequest {
            query,
            ranking: Ranking::default(),
            limit: 10,
        };
        search(view, embedder, &request).unwrap();
    };
    queries.iter().for_each(ask);
    let times = queries.iter().map(|query| {
        let begun = Instant::now();
        ask(query);
        begun.elapsed().as_secs_f64()
    });
    print_times("search, 10 hits", times.collect());
}

fn measure_context(
    view: &View,
    embedder: &dyn Embedder,
    tokenizer: &Tokenizer,
    queries: &[String],
    budget: usize,
) {
    let mut fill = 0.0;
    let mut times = Vec::new();
    for query in queries {
        let request = ContextRequest {
            query,
            ranking: Ranking::default(),
            budget: TokenBudget::new(budget).unwrap(),
            tokenizer,
        };
        let begun = Instant::now();
        let response = context(view, embedder, &request).unwrap();
        times.push(begun.elapsed().as_secs_f64());
        assert!(response.tokens.0 <= budget);
        fill += response.tokens.0 as f64 / budget as f64;
    }
    let fill = 100.0 * fill / queries.len() as f64;
    print_times(
        &format!("context, {budget} tokens, {fill:.1} % full"),
        times,
    );
}

fn print_times(what: &str, mut times: Vec<f64>) {
    times.sort_by(f64::total_cmp);
    let at = |share: f64| 1000.0 * times[((times.len() - 1) as f64 * share) as usize];
    println!(
        "{what}: median {:.2} ms, p95 {:.2} ms, slowest {:.2} ms",
        at(0.5),
        at(0.95),
        at(1.0)
    );
}
