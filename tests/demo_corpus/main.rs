//! Is the bundled corpus what its judged queries say, and does cento find
//! their evidence?
//!
//! With `--nocapture` the figures are printed.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use cento_core::{CollectionName, DocumentId, TokenBudget};
use cento_embed::Bundled;
use cento_eval::{EvidenceMeans, EvidenceScore, Gold, cited_spans, load, verify};
use cento_index::{Engine, Store, View};
use cento_ingest::{Chunking, Options, Source, collection_settings, ingest};
use cento_retrieve::{ContextRequest, Fusion, Ranking, Tokenizer, context};

fn demo() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("data/demo")
}

struct Demo {
    _dir: tempfile::TempDir,
    _store: Store,
    engine: Arc<Engine>,
    embedder: Bundled,
}

fn ingested() -> Demo {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let embedder = Bundled::new().unwrap();
    let settings = collection_settings(&embedder, Chunking::default());
    let name = CollectionName::new("handbook").unwrap();
    let engine = store.create(&name, &settings).unwrap();
    let corpus = vec![Source::Path(demo().join("corpus"))];
    let report = ingest(&engine, &embedder, corpus, &Options::default(), &mut |_| {}).unwrap();
    assert_eq!(report.failed, 0, "{:?}", report.failures);
    Demo {
        _dir: dir,
        _store: store,
        engine,
        embedder,
    }
}

/// Every quote must stand at its span; this is what makes a query judged.
fn gold(view: &View) -> Vec<Gold> {
    let queries = load(&demo().join("queries.jsonl")).unwrap();
    let ids = view
        .documents(None, 1000)
        .unwrap()
        .into_iter()
        .map(|outline| outline.id);
    let texts: HashMap<DocumentId, String> = ids
        .map(|id| {
            let stored = view.document(&id).unwrap().unwrap();
            (id, stored.document.text)
        })
        .collect();
    let gold: Vec<Gold> = queries
        .iter()
        .map(|query| verify(query, |id| texts.get(id).map(String::as_str)).unwrap())
        .collect();
    assert!(gold.len() >= 20);
    gold
}

fn means(demo: &Demo, view: &View, gold: &[Gold], fusion: Fusion, tokens: usize) -> EvidenceMeans {
    let tokenizer = Tokenizer::named("o200k").unwrap();
    EvidenceMeans::of(gold.iter().map(|gold| {
        let request = ContextRequest {
            query: &gold.query,
            ranking: Ranking {
                fusion,
                ..Ranking::default()
            },
            budget: TokenBudget::new(tokens).unwrap(),
            tokenizer: &tokenizer,
        };
        let response = context(view, &demo.embedder, &request).unwrap();
        assert!(response.tokens.0 <= tokens);
        EvidenceScore::of(&gold.spans, &cited_spans(&response.citations))
    }))
}

#[test]
fn every_judged_quote_stands_where_it_is_said_to_stand() {
    let demo = ingested();
    let view = demo.engine.view();
    let gold = gold(&view);
    let unanswerable = gold.iter().filter(|gold| gold.spans.is_empty()).count();
    assert!(unanswerable >= 2, "some questions have no answer");
}

#[test]
fn contexts_hold_the_evidence_that_people_marked() {
    let demo = ingested();
    let view = demo.engine.view();
    let gold = gold(&view);
    for fusion in Fusion::ALL {
        for tokens in [500, 1000, 2000] {
            let means = means(&demo, &view, &gold, fusion, tokens);
            println!(
                "{:>8} {tokens:>5} tokens: evidence recall {:.3}, precision {:.3} ({} queries)",
                fusion.name(),
                means.recall,
                means.precision,
                means.judged
            );
        }
    }
    // A floor against regressions, not a claim: see docs/claims.md.
    let floor = means(&demo, &view, &gold, Fusion::default(), 2000).recall;
    assert!(
        floor >= 0.7,
        "evidence recall at 2,000 tokens fell to {floor:.3}"
    );
}
