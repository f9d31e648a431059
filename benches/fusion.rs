//! How should the two legs be weighed with the bundled model?
//!
//! `CENTO_SHARED=DIR cargo bench --bench fusion`: nDCG@10 on judged sets that
//! are kept for tuning, chunked as by default, a document scoring as its best
//! chunk. Rows are each leg alone, each fusion as it ships, and `absolute` with
//! other weights of the cosine. Gains are the judgements themselves, discounts
//! log2(rank + 1), as trec_eval has it; a query without an answer counts as 0.

#![allow(clippy::unwrap_used, reason = "a benchmark fails by panicking")]
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "it prints its figures"
)]

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::{Path, PathBuf};

use cento_core::CollectionName;
use cento_embed::{Bundled, Embedder};
use cento_index::Store;
use cento_ingest::{Chunking, Options, Source, collection_settings, ingest};
use cento_retrieve::{Fusion, LEG_DEPTH, Legs, SearchHit, SearchRequest, search};
use serde_json::Value;

/// Sets for tuning, each with the split of its judgements that is for tuning.
const SETS: [(&str, &str); 4] = [
    ("scifact", "train"),
    ("cisi", "test"),
    ("cosqa-search", "dev"),
    ("2wiki-500", "test"),
];
const WEIGHTS: [f32; 9] = [0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.7, 1.0, 1.5];

type Judgements = HashMap<String, HashMap<String, f64>>;

fn main() {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared");
    let shared = std::env::var_os("CENTO_SHARED").map_or(beside, PathBuf::from);
    let beir = shared.join("datasets/beir");
    if !beir.is_dir() {
        eprintln!("SKIPPED: set CENTO_SHARED to the folder that holds datasets/");
        return;
    }
    let mut table: BTreeMap<String, Vec<f64>> = BTreeMap::new();
    for (set, split) in SETS {
        for (row, score) in measure(&beir.join(set), split) {
            table.entry(row).or_default().push(score);
        }
    }
    println!(
        "{:<24} {}   mean",
        "nDCG@10",
        SETS.map(|(set, _)| set).join("  ")
    );
    for (row, scores) in table {
        let mean = scores.iter().sum::<f64>() / scores.len() as f64;
        let cells: Vec<String> = scores.iter().map(|score| format!("{score:.4}")).collect();
        println!("{row:<24} {}   {mean:.4}", cells.join("  "));
    }
}

fn measure(set: &Path, split: &str) -> BTreeMap<String, f64> {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let embedder = Bundled::new().unwrap();
    let settings = collection_settings(&embedder, Chunking::default());
    let name = CollectionName::new("set").unwrap();
    let engine = store.create(&name, &settings).unwrap();
    let corpus = vec![Source::Path(set.join("corpus.jsonl"))];
    ingest(&engine, &embedder, corpus, &Options::default(), &mut |_| {}).unwrap();
    let view = engine.view();
    let judged = judgements(&set.join(format!("qrels/{split}.tsv")));
    let mut sums: BTreeMap<String, f64> = BTreeMap::new();
    let mut queries = 0.0;
    for line in fs::read_to_string(set.join("queries.jsonl"))
        .unwrap()
        .lines()
    {
        let query: Value = serde_json::from_str(line).unwrap();
        let Some(gains) = judged.get(query["_id"].as_str().unwrap()) else {
            continue;
        };
        queries += 1.0;
        let ask = |fusion| {
            let request = SearchRequest {
                query: query["text"].as_str().unwrap(),
                filter: None,
                fusion,
                legs: Legs::default(),
                depth: LEG_DEPTH,
                limit: 1000,
            };
            search(&view, &embedder, &request).unwrap().hits
        };
        let mut note = |row: String, hits: &[SearchHit], score: &dyn Fn(&SearchHit) -> f32| {
            *sums.entry(row).or_default() += ndcg(hits, score, gains);
        };
        for fusion in Fusion::ALL {
            note(format!("{fusion} as it ships"), &ask(fusion), &|hit| {
                hit.score.0
            });
        }
        let hits = ask(Fusion::Absolute);
        let cosine = |hit: &SearchHit| hit.dense.as_ref().map_or(0.0, |dense| dense.score.0);
        note("lexical alone".to_owned(), &hits, &|hit| {
            hit.lexical.score.0
        });
        note("dense alone".to_owned(), &hits, &cosine);
        let shipped = embedder.contract().cosine_weight;
        for weight in WEIGHTS {
            // The lexical part is what the shipped score has beside its cosine.
            note(format!("absolute, weight {weight:.1}"), &hits, &|hit| {
                hit.score.0 - shipped * cosine(hit) + weight * cosine(hit)
            });
        }
    }
    sums.into_iter()
        .map(|(row, sum)| (row, sum / queries))
        .collect()
}

fn judgements(path: &Path) -> Judgements {
    let mut judged = Judgements::new();
    for line in fs::read_to_string(path).unwrap().lines().skip(1) {
        let parts: Vec<&str> = line.split('\t').collect();
        let gain: f64 = parts[2].parse().unwrap();
        judged
            .entry(parts[0].to_owned())
            .or_default()
            .insert(parts[1].to_owned(), gain);
    }
    judged
}

fn ndcg(
    hits: &[SearchHit],
    score: &dyn Fn(&SearchHit) -> f32,
    gains: &HashMap<String, f64>,
) -> f64 {
    let mut best: HashMap<&str, f32> = HashMap::new();
    for hit in hits {
        let entry = best.entry(hit.document.as_str()).or_insert(f32::MIN);
        *entry = entry.max(score(hit));
    }
    let mut ranked: Vec<(&str, f32)> = best.into_iter().collect();
    ranked.sort_by(|a, b| b.1.total_cmp(&a.1).then(b.0.cmp(a.0)));
    let discounted = |gains: &mut dyn Iterator<Item = f64>| -> f64 {
        gains
            .take(10)
            .enumerate()
            .map(|(place, gain)| gain / (place as f64 + 2.0).log2())
            .sum()
    };
    let found = discounted(
        &mut ranked
            .iter()
            .map(|(id, _)| gains.get(*id).copied().unwrap_or(0.0)),
    );
    let mut ideal: Vec<f64> = gains.values().copied().collect();
    ideal.sort_by(|a, b| b.total_cmp(a));
    let best = discounted(&mut ideal.into_iter());
    if best > 0.0 { found / best } else { 0.0 }
}
