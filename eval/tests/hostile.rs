//! Does any file of a judged set, a run or another system's candidates make the
//! program panic, or pass as something that it is not?

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;

use cento_eval::{Candidates, Dataset, Means, Measure, Qrels, Run, measure};
use proptest::prelude::*;

/// Bytes that look almost like what is read.
fn almost() -> impl Strategy<Value = Vec<u8>> {
    let pieces = prop::sample::select(vec![
        "query-id\tcorpus-id\tscore\n",
        "q1",
        "d1",
        "\t",
        " ",
        "\n",
        "\r\n",
        "0",
        "1",
        "-3",
        "1e400",
        "nan",
        "Q0",
        "\u{FEFF}",
        "{\"_id\": \"d1\", ",
        "\"text\": \"x\"",
        "}",
        "[",
        "]",
        "\"",
        "null",
        "question,references,corpus_id\n",
        "é",
        "\u{0}",
        "99999999999999999999",
        "{\"tests\": ",
        "{\"query\": \"q\", \"snippets\": [{\"file_path\": \"a.md\", \"span\": [0, 1], \"answer\": \"a\"}]}",
        "{\"query_id\": \"q1\", \"candidates\": [{\"document\": \"a.md\", \"start\": 0, \"end\": ",
    ]);
    let text = prop::collection::vec(pieces, 0..24).prop_map(|all| all.concat().into_bytes());
    prop_oneof![4 => text, 1 => prop::collection::vec(any::<u8>(), 0..200)]
}

fn write(root: &Path, name: &str, bytes: &[u8]) {
    let path = root.join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, bytes).unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn whatever_a_file_holds_it_is_read_or_refused(bytes in almost(), other in almost()) {
        let dir = tempfile::tempdir().unwrap();
        let beir = dir.path().join("beir");
        for (name, good) in [
            ("corpus.jsonl", "{\"_id\": \"d1\", \"text\": \"x\"}"),
            ("queries.jsonl", "{\"_id\": \"q1\", \"text\": \"x\"}"),
            ("qrels/test.tsv", "query-id\tcorpus-id\tscore\nq1\td1\t1"),
        ] {
            write(&beir, "corpus.jsonl", b"{\"_id\": \"d1\", \"text\": \"x\"}");
            write(&beir, "queries.jsonl", b"{\"_id\": \"q1\", \"text\": \"x\"}");
            write(&beir, "qrels/test.tsv", b"query-id\tcorpus-id\tscore\nq1\td1\t1");
            prop_assert!(Dataset::open(&beir, None).is_ok());
            write(&beir, name, &bytes);
            let _ = Dataset::open(&beir, None);
            write(&beir, name, good.as_bytes());
        }
        let legal = dir.path().join("legal");
        write(&legal, "corpus/a.md", &other);
        write(&legal, "benchmarks/b.json", &bytes);
        let _ = Dataset::open(&legal, None);
        let chunks = dir.path().join("chunks");
        write(&chunks, "corpora/a.md", &other);
        write(&chunks, "questions_df.csv", &bytes);
        let _ = Dataset::open(&chunks, None);

        let file = dir.path().join("file");
        std::fs::write(&file, &bytes).unwrap();
        let _ = Candidates::load(&file, &[], &["q1"].into());
        let qrels = Qrels::load(&file);
        std::fs::write(&file, &other).unwrap();
        if let (Ok(qrels), Ok(run)) = (qrels, Run::load(&file)) {
            let rows = measure(&qrels, &run, qrels.queries(), &Measure::DEFAULT);
            for (_, figure) in Means::of(&rows, &Measure::DEFAULT).measures.0 {
                prop_assert!((0.0..=1.0 + 1e-9).contains(&figure));
            }
        }
    }
}
