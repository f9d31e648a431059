//! Does a kept index give the figures that a new one would?

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use cento_embed::{Bundled, Embedder};
use cento_eval::{Dataset, index};
use cento_index::{Condition, NewDocument, Store};
use cento_ingest::{Chunking, prepare};

#[test]
fn documents_of_another_version_are_not_replaced_but_ingested_anew() {
    let dir = tempfile::tempdir().unwrap();
    let set = dir.path().join("set");
    std::fs::create_dir_all(set.join("qrels")).unwrap();
    let corpus = "{\"_id\": \"d1\", \"text\": \"one\"}\n{\"_id\": \"d2\", \"text\": \"two\"}\n";
    std::fs::write(set.join("corpus.jsonl"), corpus).unwrap();
    std::fs::write(
        set.join("queries.jsonl"),
        "{\"_id\": \"q\", \"text\": \"one\"}",
    )
    .unwrap();
    let qrels = "query-id\tcorpus-id\tscore\nq\td1\t1\n";
    std::fs::write(set.join("qrels/test.tsv"), qrels).unwrap();
    let dataset = Dataset::open(&set, None).unwrap();
    let kept = dir.path().join("kept");
    let counts = || {
        let embedder = Box::new(Bundled::new().unwrap());
        let way = Chunking::default();
        index(&dataset, embedder, way, None, &kept, &mut |_| {})
            .unwrap()
            .corpus
    };
    assert_eq!(counts().unchanged, 0);
    assert_eq!(counts().unchanged, 2);

    // As another version of cento would have left it.
    let other = prepare(
        "x.jsonl",
        br#"{"id": "d1", "text": "uno"}"#,
        Chunking::default(),
    );
    let other = other.into_iter().next().unwrap().unwrap();
    let embedder = Bundled::new().unwrap();
    let vectors = embedder.embed_documents(&other.embedding_inputs()).unwrap();
    {
        let store = Store::open(&kept).unwrap();
        let name = store.collections().unwrap().pop().unwrap();
        let engine = store.collection(&name).unwrap();
        let new = NewDocument {
            document: other.document,
            chunks: other.chunks,
            vectors,
            condition: Condition::Always,
        };
        engine.put(engine.view().generation(), vec![new]).unwrap();
    }
    let counts_now = counts();
    assert_eq!((counts_now.unchanged, counts_now.documents), (0, 2));
    assert_eq!(counts().unchanged, 2);
}
