//! Are the figures of a reranked run those of the reranker's order?

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use cento_embed::{Bundled, EmbedError, Reranker};
use cento_eval::{Dataset, EvalError, Measure, Outcome, Plan, Selection, run};
use cento_index::Effort;
use cento_ingest::Chunking;
use cento_retrieve::{Fusion, LEG_DEPTH, Legs, Tokenizer};

/// Prefers texts about cats, and judges so many of them.
struct Cats(usize);

impl Reranker for Cats {
    fn fingerprint(&self) -> &str {
        "cats"
    }

    fn rerank(&self, _: &str, texts: &[&str], _: Instant) -> Result<Vec<f32>, EmbedError> {
        let judged = texts.iter().take(self.0);
        Ok(judged
            .map(|text| f32::from(u8::from(text.contains("cat"))))
            .collect())
    }
}

fn dataset(dir: &Path) -> Dataset {
    std::fs::create_dir_all(dir.join("qrels")).unwrap();
    let corpus = [
        ("d1", "dogs dogs dogs bark at night"),
        ("d2", "dogs bark at a cat"),
        ("d3", "the sea at night"),
    ];
    let lines = corpus.map(|(id, text)| format!("{{\"_id\": \"{id}\", \"text\": \"{text}\"}}\n"));
    std::fs::write(dir.join("corpus.jsonl"), lines.concat()).unwrap();
    let query = "{\"_id\": \"q\", \"text\": \"dogs bark\"}";
    std::fs::write(dir.join("queries.jsonl"), query).unwrap();
    let qrels = "query-id\tcorpus-id\tscore\nq\td2\t1\n";
    std::fs::write(dir.join("qrels/test.tsv"), qrels).unwrap();
    Dataset::open(dir, None).unwrap()
}

fn measured(rerank: Option<(Arc<dyn Reranker>, usize)>) -> Result<Outcome, EvalError> {
    let dir = tempfile::tempdir().unwrap();
    let plan = Plan {
        chunking: Chunking::default(),
        legs: Legs::Lexical,
        fusion: Fusion::default(),
        depth: LEG_DEPTH,
        effort: Effort::Exact,
        rerank,
        filter_by: None,
        queries: Selection::All,
        measures: vec!["MRR@10".parse::<Measure>().unwrap()],
        budgets: vec![],
    };
    let embedder = Box::new(Bundled::new().unwrap());
    let tokenizer = Tokenizer::named(Tokenizer::DEFAULT).unwrap();
    let index = dir.path().join("index");
    let set = dataset(&dir.path().join("set"));
    run(&set, embedder, &plan, &tokenizer, &index, &mut |_| {})
}

fn mrr(outcome: &Outcome) -> f64 {
    outcome.report.documents.as_ref().unwrap().measures.0[0].1
}

#[test]
fn documents_stand_where_the_reranker_puts_them_and_the_settings_name_it() {
    let plain = measured(None).unwrap();
    let reranked = measured(Some((Arc::new(Cats(usize::MAX)), 50))).unwrap();
    assert!((mrr(&plain) - 0.5).abs() < 1e-9);
    assert!((mrr(&reranked) - 1.0).abs() < 1e-9);
    let [plain, reranked] = [plain, reranked].map(|outcome| {
        let settings = serde_json::to_value(&outcome.report.settings).unwrap();
        (settings, outcome.report.settings_hash)
    });
    assert_ne!(plain.1, reranked.1);
    assert!(plain.0["system"].get("rerank").is_none());
    assert_eq!(
        reranked.0["system"]["rerank"],
        serde_json::json!({"model": "cats", "head": 50})
    );
}

#[test]
fn figures_of_a_reranking_that_did_not_end_are_refused() {
    match measured(Some((Arc::new(Cats(1)), 50))) {
        Err(EvalError::Rerank { query, reason }) => {
            assert_eq!(query, "q");
            assert!(reason.contains("1 of 2"), "{reason}");
        }
        Err(error) => panic!("{error}"),
        Ok(_) => panic!("it was measured"),
    }
    let error = measured(Some((Arc::new(Cats(1)), 0))).map(|_| ());
    assert!(matches!(error, Err(EvalError::Retrieve(_))), "{error:?}");
}
