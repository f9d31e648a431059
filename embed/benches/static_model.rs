//! How many passages a second does the bundled model cut into tokens and embed,
//! by the `tokenizers` crate and by our own tokenizer, how long does fitting its
//! queries to them take, and how long a query?
//!
//! ```text
//! cargo bench -p cento-embed --bench static_model -- BEIR_SET [PASSAGES]
//! ```
//!
//! `BEIR_SET` is a folder with `corpus.jsonl` and `queries.jsonl`. Its texts are
//! joined and cut into passages of 128 tokens, and repeated if they are too few.
//! Each row is the best of several rounds, on as many threads as rayon takes;
//! rounds of all rows take turns, so that a busy machine is busy for all of
//! them.

#![allow(clippy::unwrap_used, reason = "a benchmark fails by panicking")]
#![allow(clippy::print_stdout, reason = "it reports on standard output")]

use std::hint::black_box;
use std::path::Path;
use std::time::{Duration, Instant};

use cento_embed::{Bundled, Embedder};
use rayon::prelude::*;
use safetensors::SafeTensors;
use tokenizers::Tokenizer;

const TOKENS: usize = 128;
const ROUNDS: usize = 5;
const QUERIES: usize = 300;

/// The pipeline as it was: the crate's tokens, and a sum row by row.
struct Before {
    tokenizer: Tokenizer,
    unknown: Option<u32>,
    table: Vec<u8>,
    weights: Vec<f32>,
    dimensions: usize,
}

impl Before {
    fn new() -> Self {
        let tokenizer =
            include_bytes!("../../data/models/cento-static-en-v2/tokenizer.json").as_slice();
        let tokenizer = Tokenizer::from_bytes(tokenizer).unwrap();
        let file =
            include_bytes!("../../data/models/cento-static-en-v2/model.safetensors").as_slice();
        let tensors = SafeTensors::deserialize(file).unwrap();
        let table = tensors.tensor("embeddings").unwrap();
        let weights = tensors.tensor("weights").unwrap();
        let bytes = weights.data().as_chunks::<4>().0;
        Self {
            unknown: tokenizer.token_to_id("[UNK]"),
            tokenizer,
            table: table.data().to_vec(),
            weights: bytes.iter().map(|four| f32::from_le_bytes(*four)).collect(),
            dimensions: table.shape()[1],
        }
    }

    fn tokens(&self, text: &str) -> Vec<u32> {
        let encoding = self.tokenizer.encode_fast(text, false).unwrap();
        let ids = encoding.get_ids().iter().copied();
        ids.filter(|&id| Some(id) != self.unknown).collect()
    }

    fn embed(&self, text: &str) -> Vec<f32> {
        let mut sum = vec![0.0_f32; self.dimensions];
        for id in self.tokens(text) {
            let id = id as usize;
            let weight = self.weights[id];
            let row = &self.table[id * self.dimensions..(id + 1) * self.dimensions];
            for (component, &code) in sum.iter_mut().zip(row) {
                *component += weight * f32::from(code.cast_signed());
            }
        }
        let length = sum.iter().map(|x| x * x).sum::<f32>().sqrt();
        if length > 0.0 {
            for component in &mut sum {
                *component /= length;
            }
        }
        sum
    }
}

/// The texts of a BEIR file's lines.
fn texts(path: &Path) -> Vec<String> {
    let lines = std::fs::read_to_string(path).unwrap();
    lines
        .lines()
        .map(|line| {
            let row: serde_json::Value = serde_json::from_str(line).unwrap();
            let part = |name: &str| row[name].as_str().unwrap_or_default().to_owned();
            format!("{} {}", part("title"), part("text"))
        })
        .collect()
}

fn count(model: &Bundled, text: &str) -> usize {
    let mut count = 0;
    model.tokens(text, |_| count += 1);
    count
}

/// Words, joined until they are enough tokens.
fn passages(model: &Bundled, texts: &[String], wanted: usize) -> Vec<String> {
    let mut passages = Vec::new();
    let mut passage = String::new();
    let mut tokens = 0;
    for word in texts.iter().flat_map(|text| text.split_whitespace()) {
        passage.push_str(word);
        passage.push(' ');
        tokens += count(model, word);
        if tokens >= TOKENS {
            passages.push(std::mem::take(&mut passage));
            tokens = 0;
            if passages.len() == wanted {
                break;
            }
        }
    }
    passages.iter().cycle().take(wanted).cloned().collect()
}

type Work<'w> = Box<dyn Fn(&str) + Sync + 'w>;

fn main() {
    let arguments: Vec<String> = std::env::args()
        .skip(1)
        .filter(|argument| argument != "--bench")
        .collect();
    let [set, rest @ ..] = &arguments[..] else {
        println!("wanted: BEIR_SET [PASSAGES]");
        return;
    };
    let wanted = rest
        .first()
        .map_or(20_000, |number| number.parse().unwrap());
    let begun = Instant::now();
    let model = Bundled::new().unwrap();
    println!("opened in {:.1?}", begun.elapsed());
    let begun = Instant::now();
    let before = Before::new();
    println!("before: in {:.1?}", begun.elapsed());
    let passages = passages(&model, &texts(&Path::new(set).join("corpus.jsonl")), wanted);
    let bytes: usize = passages.iter().map(String::len).sum();
    let tokens: usize = passages.iter().map(|passage| count(&model, passage)).sum();
    println!(
        "{wanted} passages, {tokens} tokens, {:.1} MB, {} threads",
        bytes as f64 / 1e6,
        rayon::current_num_threads()
    );
    for passage in passages.iter().take(1_000) {
        assert_eq!(model.embed_query(passage).unwrap(), before.embed(passage));
    }

    let rows: [(&str, Work<'_>); 4] = [
        (
            "tokens, tokenizers crate",
            Box::new(|text| {
                black_box(before.tokens(text));
            }),
        ),
        (
            "tokens, our own",
            Box::new(|text| {
                model.tokens(text, |id| {
                    black_box(id);
                });
            }),
        ),
        (
            "vectors, tokenizers crate",
            Box::new(|text| {
                black_box(before.embed(text));
            }),
        ),
        (
            "vectors, our own",
            Box::new(|text| {
                black_box(model.embed_query(text).unwrap());
            }),
        ),
    ];
    let mut best = [Duration::MAX; 4];
    for _ in 0..ROUNDS {
        for ((_, work), best) in rows.iter().zip(&mut best) {
            let begun = Instant::now();
            passages.par_iter().for_each(|passage| work(passage));
            *best = begun.elapsed().min(*best);
        }
    }
    for ((name, _), best) in rows.iter().zip(best) {
        let seconds = best.as_secs_f64();
        println!(
            "{name:28} {:>9.0} passages/s {:>12.0} tokens/s {:>7.0} ns/token",
            wanted as f64 / seconds,
            tokens as f64 / seconds,
            seconds * 1e9 / tokens as f64 * rayon::current_num_threads() as f64
        );
    }

    let mut best = Duration::MAX;
    let mut artefact = None;
    for _ in 0..ROUNDS {
        let begun = Instant::now();
        artefact = model.fit(&passages);
        best = begun.elapsed().min(best);
    }
    let artefact = artefact.unwrap();
    println!(
        "fitted to them in {best:.1?}, {:.2} MB",
        artefact.len() as f64 / 1e6
    );
    let fitted = model.fitted(artefact).unwrap();
    let fitted: Work<'_> = Box::new(|text| {
        black_box(fitted.embed_query(text).unwrap());
    });

    let queries = texts(&Path::new(set).join("queries.jsonl"));
    let queries = &queries[..queries.len().min(QUERIES)];
    let works = rows[2..].iter().map(|(name, work)| (*name, work));
    for (name, work) in works.chain([("vectors, fitted", &fitted)]) {
        let mut taken: Vec<Duration> = queries
            .iter()
            .map(|query| {
                let begun = Instant::now();
                work(query);
                begun.elapsed()
            })
            .collect();
        taken.sort_unstable();
        println!(
            "query, {name:26} median {:>6.1?}, p95 {:>6.1?} of {}",
            taken[taken.len() / 2],
            taken[taken.len() * 95 / 100],
            taken.len()
        );
    }
}
