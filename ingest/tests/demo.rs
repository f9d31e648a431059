//! Do the demo corpus's judged quotes survive parsing, word for word, and do
//! they lie in chunks?

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use cento_core::DocumentId;
use cento_ingest::{Chunking, Prepared, prepare};
use serde_json::Value;

fn files(dir: &Path, into: &mut Vec<PathBuf>) {
    let mut entries: Vec<PathBuf> = fs::read_dir(dir)
        .expect("a folder")
        .map(|entry| entry.expect("an entry").path())
        .collect();
    entries.sort();
    for path in entries {
        if path.is_dir() {
            files(&path, into);
        } else {
            into.push(path);
        }
    }
}

fn corpus() -> HashMap<DocumentId, Prepared> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../data/demo/corpus");
    let mut paths = Vec::new();
    files(&root, &mut paths);
    assert!(paths.len() >= 12);
    let prepared = paths.iter().flat_map(|path| {
        let name = path
            .strip_prefix(&root)
            .expect("below")
            .to_str()
            .expect("UTF-8");
        prepare(name, &fs::read(path).expect("a file"), Chunking::default())
    });
    prepared
        .map(|result| result.unwrap_or_else(|failure| panic!("{failure}")))
        .map(|prepared| (prepared.document.id.clone(), prepared))
        .collect()
}

#[test]
fn every_judged_quote_is_in_the_canonical_text_and_in_chunks() {
    let corpus = corpus();
    let queries = Path::new(env!("CARGO_MANIFEST_DIR")).join("../data/demo/queries.jsonl");
    let queries = fs::read_to_string(queries).expect("queries");
    let mut quotes = 0;
    for line in queries.lines() {
        let query: Value = serde_json::from_str(line).expect("json");
        for evidence in query["evidence"].as_array().expect("a list") {
            let id = DocumentId::new(evidence["document"].as_str().expect("text")).expect("id");
            let quote = evidence["quote"].as_str().expect("text");
            let Prepared { document, chunks } = &corpus[&id];
            let found: Vec<usize> = document
                .text
                .match_indices(quote)
                .map(|(at, _)| at)
                .collect();
            assert_eq!(found.len(), 1, "{}: {quote:?} in {id}", query["id"]);
            if let Some(start) = evidence["start"].as_u64() {
                assert_eq!(start, found[0] as u64, "{}", query["id"]);
            }
            let covered: u64 = chunks
                .iter()
                .map(|chunk| {
                    let start = chunk.span.start.max(found[0] as u64);
                    let end = chunk.span.end.min((found[0] + quote.len()) as u64);
                    end.saturating_sub(start)
                })
                .sum();
            assert!(
                covered * 100 >= quote.len() as u64 * 97,
                "{}: {quote:?}",
                query["id"]
            );
            quotes += 1;
        }
    }
    assert!(quotes >= 20);
}

#[test]
fn every_document_has_a_title_and_chunks_of_a_good_size() {
    for (id, Prepared { document, chunks }) in corpus() {
        assert!(!document.title.is_empty(), "{id}");
        let mean = document.text.chars().count() / chunks.len();
        assert!(
            (100..=600).contains(&mean),
            "{id}: {mean} characters a chunk"
        );
    }
}
