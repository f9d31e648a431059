//! `cento eval` on small judged sets: figures by hand, rows, other systems, and
//! every way in which a set can be wrong.

use std::path::Path;

use serde_json::{Value, json};

use crate::run::*;

const CORPUS: &str = r#"{"_id": "d1", "title": "Bees", "text": "Honey is made by bees.", "metadata": {"shelf": 1}}
{"_id": "d2", "title": "Wasps", "text": "Wasps make no honey at all.", "metadata": {"shelf": 2}}
{"_id": "d3", "title": "Granite", "text": "", "metadata": {"shelf": 2}}
{"_id": "d4", "title": "", "text": " "}
{"_id": "d 5", "title": "Bees again", "text": "Honey is made by bees.", "metadata": {"shelf": 2, "odd": [1, "two"]}}
"#;
const QUERIES: &str = r#"{"_id": "q1", "text": "Who makes honey?", "metadata": {"shelf": "2"}}
{"_id": "q2", "text": "granite", "metadata": {"shelf": 2}}
{"_id": "q3", "text": "honey", "metadata": {"shelf": 2}}
{"_id": "q4", "text": "zebra", "metadata": {"shelf": 1}}
{"_id": "q5", "text": "nobody judged this"}
"#;
const QRELS: &str =
    "query-id\tcorpus-id\tscore\nq1\td 5\t2\nq1\td1\t1\nq2\td3\t1\nq3\td1\t0\nq4\td4\t1\n";

fn beir(dir: &Path) {
    write(dir, "corpus.jsonl", CORPUS);
    write(dir, "queries.jsonl", QUERIES);
    write(dir, "qrels/test.tsv", QRELS);
}

const TEXT: &str = "Bees\r\n\r\nÜber Bienen: they dance. They make honey.\r\n";

fn spans(dir: &Path) {
    write(dir, "corpus/bees.txt", TEXT);
    write(dir, "corpus/rocks.txt", "Granite is hard.\n");
    let start = TEXT.chars().position(|c| c == 'Ü').unwrap();
    let quote = "Über Bienen: they dance.";
    let end = start + quote.chars().count();
    let snippet = json!({"file_path": "bees.txt", "span": [start, end], "answer": quote});
    let tests = json!({"tests": [
        {"query": "What do bees do?", "snippets": [snippet]},
        {"query": "Is granite soft?", "snippets": []},
    ]});
    write(dir, "benchmarks/nature.json", tests.to_string());
}

/// Runs `cento --json eval …` on the set in a folder.
fn eval(dir: &Path, command: &str, args: &[&str]) -> Ran {
    let mut all = vec!["eval", command, "--dataset", dir.to_str().unwrap()];
    all.extend(args);
    cento_json(&dir.join("data"), &all)
}

#[test]
fn documents_are_ranked_by_their_best_chunk_and_every_judged_query_counts() {
    let dir = tempfile::tempdir().unwrap();
    let set = dir.path().join("set");
    beir(&set);
    let out = dir.path().join("rows.jsonl");
    let run = dir.path().join("run.txt");
    let index = dir.path().join("index");
    let args = [
        "--legs",
        "lexical",
        "--chunking",
        "none",
        "--measures",
        "recall@3,mrr@10,nDCG@10",
        "--index",
        index.to_str().unwrap(),
        "--out",
        out.to_str().unwrap(),
        "--run",
        run.to_str().unwrap(),
    ];
    let report = eval(&set, "run", &args).json();
    let corpus = json!({"documents": 4, "chunks": 4, "empty": 1, "unchanged": 0});
    assert_eq!(report["corpus"], corpus);
    let found = &report["documents"];
    // q1 and q2 find what is judged, q4's only document is empty, and q3 has
    // no relevant one.
    assert_eq!(found["judged"], 4);
    assert_eq!(
        (&found["with_relevant"], &found["missing"]),
        (&json!(3), &json!(1))
    );
    assert_eq!(found["measures"]["recall@3"], 2.0 / 3.0);
    assert_eq!(found["measures_every_judged"]["recall@3"], 0.5);

    let rows: Vec<Value> = (std::fs::read_to_string(&out).unwrap().lines())
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(rows.len(), 5);
    assert_eq!(rows[0]["row"], "header");
    assert_eq!(rows[0]["settings_hash"], report["settings_hash"]);
    assert!(rows[0]["environment"]["threads"].as_u64().unwrap() > 0);
    assert_eq!(
        rows[4],
        json!({
            "row": "query", "query": "q4", "relevant": 1, "retrieved": 0, "relevant_retrieved": 0,
            "measures": {"recall@3": 0.0, "MRR@10": 0.0, "nDCG@10": 0.0}
        })
    );

    // The index is used again, and says the same.
    let again = eval(&set, "run", &args).json();
    assert_eq!(again["corpus"]["unchanged"], 4);
    assert_eq!(again["documents"], report["documents"]);
    assert_eq!(again["settings_hash"], report["settings_hash"]);

    // What was written is read back, measured alike.
    let qrels = set.join("qrels/test.tsv");
    let measured = cento_json(
        &set,
        &[
            "eval",
            "measure",
            "--qrels",
            qrels.to_str().unwrap(),
            "--run",
            run.to_str().unwrap(),
            "--measures",
            "recall@3,MRR@10,nDCG@10",
            "--per-query",
        ],
    );
    let measured = measured.json();
    assert_eq!(measured["documents"], report["documents"]);
    assert_eq!(measured["queries"].as_array().unwrap().len(), 4);
}

#[test]
fn equal_texts_are_ranked_apart() {
    let dir = tempfile::tempdir().unwrap();
    beir(dir.path());
    let run = dir.path().join("run.txt");
    let args = ["--legs", "lexical", "--run", run.to_str().unwrap()];
    eval(dir.path(), "run", &args).ok();
    let run = std::fs::read_to_string(&run).unwrap();
    let found: Vec<&str> = (run.lines().filter(|line| line.starts_with("q3\t")))
        .map(|line| line.split('\t').nth(2).unwrap())
        .collect();
    assert!(found.contains(&"d1") && found.contains(&"d 5"), "{run}");
}

#[test]
fn a_query_may_be_asked_of_its_own_documents_only() {
    let dir = tempfile::tempdir().unwrap();
    beir(dir.path());
    let run = dir.path().join("run.txt");
    let args = [
        "--filter-by",
        "metadata.shelf",
        "--run",
        run.to_str().unwrap(),
    ];
    eval(dir.path(), "run", &args).ok();
    for line in std::fs::read_to_string(&run).unwrap().lines() {
        let of_shelf_1 = line.split('\t').nth(2) == Some("d1");
        assert_eq!(of_shelf_1, line.starts_with("q4\t"), "{line}");
    }
    eval(dir.path(), "run", &["--filter-by", "shelf"]).failed_with("invalid_filter");
    eval(dir.path(), "run", &["--filter-by", "metadata.none"]).failed_with("dataset_query_field");
}

#[test]
fn contexts_are_measured_by_evidence_whoever_made_them() {
    let dir = tempfile::tempdir().unwrap();
    let set = dir.path().join("set");
    spans(&set);
    let report = eval(&set, "run", &["--budgets", "20,400"]).json();
    let contexts = &report["contexts"];
    assert_eq!(contexts[1]["evidence_recall"], 1.0, "{report}");
    assert_eq!(
        (&contexts[1]["judged"], &contexts[1]["without_evidence"]),
        (&json!(1), &json!(1))
    );
    assert!(report["documents"].is_null() && report["settings"]["measures"].is_null());

    let out = dir.path().join("export");
    eval(&set, "export", &["--out", out.to_str().unwrap()]).ok();
    let documents = std::fs::read_to_string(out.join("documents.jsonl")).unwrap();
    let first: Value = serde_json::from_str(documents.lines().next().unwrap()).unwrap();
    assert_eq!(
        (&first["id"], &first["text"]),
        (&json!("bees.txt"), &json!(TEXT))
    );
    let queries = std::fs::read_to_string(out.join("queries.jsonl")).unwrap();
    let second: Value = serde_json::from_str(queries.lines().nth(1).unwrap()).unwrap();
    assert_eq!(
        second,
        json!({"id": "nature-1", "query": "Is granite soft?", "position": 1, "parity": "odd"})
    );

    // Half of the evidence and as much else, in code points and in bytes.
    let candidates = dir.path().join("candidates.jsonl");
    let (start, end) = (TEXT.find("dance").unwrap(), TEXT.find(" They").unwrap());
    for (unit, shift) in [("bytes", 0), ("chars", 1)] {
        let line = json!({"query_id": "nature-0", "unit": unit, "candidates": [
            {"document": "rocks.txt", "start": 0, "end": 6},
            {"document": "bees.txt", "start": start - shift, "end": end - shift},
        ]});
        std::fs::write(&candidates, line.to_string()).unwrap();
        let args = [
            "--candidates",
            candidates.to_str().unwrap(),
            "--budgets",
            "5,400",
        ];
        let report = eval(&set, "contexts", &args).json();
        assert_eq!(report["contexts"][0]["empty"], 1);
        assert_eq!(report["contexts"][1]["evidence_recall"], 6.0 / 25.0);
        assert_eq!(report["contexts"][1]["evidence_precision"], 0.5);
    }
    for (line, code) in [
        ("", "dataset_empty"),
        ("{}", "dataset_line_invalid"),
        (
            r#"{"query_id": "nature-9", "candidates": []}"#,
            "dataset_unknown_query",
        ),
        (
            r#"{"query_id": "nature-0", "candidates": [{"document": "x", "start": 0, "end": 1}]}"#,
            "dataset_unknown_document",
        ),
        (
            r#"{"query_id": "nature-0", "candidates": [{"document": "bees.txt", "start": 9, "end": 10}]}"#,
            "dataset_line_invalid",
        ),
        (
            r#"{"query_id": "nature-0", "unit": "chars", "candidates": [{"document": "bees.txt", "start": 0, "end": 999}]}"#,
            "dataset_line_invalid",
        ),
        (
            "{\"query_id\": \"nature-0\", \"candidates\": []}\n{\"query_id\": \"nature-0\", \"candidates\": []}",
            "dataset_duplicate_id",
        ),
    ] {
        std::fs::write(&candidates, line).unwrap();
        eval(
            &set,
            "contexts",
            &["--candidates", candidates.to_str().unwrap()],
        )
        .failed_with(code);
    }
}

#[test]
fn each_wrong_judged_set_is_told_with_its_own_code() {
    let header = "query-id\tcorpus-id\tscore\n";
    let with_header = |lines: &str| format!("{header}{lines}");
    let deep = format!("{{\"_id\": \"d\", \"text\": {}1", "[".repeat(100_000));
    let table: Vec<(&str, Vec<u8>, &str)> = vec![
        (
            "qrels/test.tsv",
            with_header("q1\td1\t1\nq9\td1\t1\n").into_bytes(),
            "dataset_unknown_query",
        ),
        (
            "qrels/test.tsv",
            with_header("q1\td9\t1\n").into_bytes(),
            "dataset_unknown_document",
        ),
        (
            "qrels/test.tsv",
            with_header("q1\td1\t1\nq1\td1\t0\n").into_bytes(),
            "dataset_duplicate_judgement",
        ),
        (
            "qrels/test.tsv",
            header.as_bytes().to_vec(),
            "dataset_empty",
        ),
        ("qrels/test.tsv", b"".to_vec(), "dataset_empty"),
        (
            "qrels/test.tsv",
            b"corpus-id\tquery-id\tscore\nd1\tq1\t1\n".to_vec(),
            "dataset_columns",
        ),
        ("qrels/test.tsv", b"q1 0 d1 1\n".to_vec(), "dataset_columns"),
        (
            "qrels/test.tsv",
            with_header("q1\td1\n").into_bytes(),
            "dataset_columns",
        ),
        (
            "qrels/test.tsv",
            with_header("q1\td1\tyes\n").into_bytes(),
            "dataset_grade",
        ),
        (
            "qrels/test.tsv",
            b"query-id\tcorpus-id\tscore\nq1\td1\t\xff\n".to_vec(),
            "dataset_line_invalid",
        ),
        (
            "corpus.jsonl",
            b"{\"_id\": \"d1\", \"text\": \"x\"}\nnot json\n".to_vec(),
            "dataset_line_invalid",
        ),
        (
            "corpus.jsonl",
            b"{\"_id\": \"d1\"}\n".to_vec(),
            "dataset_line_invalid",
        ),
        (
            "corpus.jsonl",
            b"{\"_id\": \"a\\nb\", \"text\": \"x\"}\n".to_vec(),
            "dataset_line_invalid",
        ),
        ("corpus.jsonl", deep.into_bytes(), "dataset_line_invalid"),
        (
            "corpus.jsonl",
            b"{\"_id\": \"d1\", \"text\": \"x\"}\n{\"_id\": \"d1\", \"text\": \"y\"}\n".to_vec(),
            "dataset_duplicate_id",
        ),
        ("corpus.jsonl", b"\n".to_vec(), "dataset_empty"),
        (
            "corpus.jsonl",
            b"{\"_id\": \"d1\", \"text\": \" \"}\n".to_vec(),
            "dataset_empty",
        ),
        (
            "queries.jsonl",
            b"{\"_id\": \"q1\", \"text\": \"\"}\n".to_vec(),
            "dataset_line_invalid",
        ),
        (
            "queries.jsonl",
            b"{\"_id\": 1.5, \"text\": \"x\"}\n".to_vec(),
            "dataset_line_invalid",
        ),
        (
            "queries.jsonl",
            b"{\"_id\": \"q1\", \"text\": \"x\"}\n{\"_id\": \"q1\", \"text\": \"y\"}\n".to_vec(),
            "dataset_duplicate_id",
        ),
        ("queries.jsonl", b"".to_vec(), "dataset_empty"),
    ];
    for (file, content, code) in table {
        let dir = tempfile::tempdir().unwrap();
        beir(dir.path());
        write(dir.path(), file, content);
        let ran = eval(dir.path(), "run", &[]);
        ran.failed_with(code);
        let told = ran.stderr.replace('\\', "/");
        assert!(told.contains(file), "{code}: {told}");
        assert!(
            told.len() < 2000,
            "an error is no dump: {} bytes",
            told.len()
        );
    }
    for (file, code) in [
        ("corpus.jsonl", "dataset_file_missing"),
        ("queries.jsonl", "dataset_file_missing"),
        ("qrels/test.tsv", "dataset_file_missing"),
    ] {
        let dir = tempfile::tempdir().unwrap();
        beir(dir.path());
        std::fs::remove_file(dir.path().join(file)).unwrap();
        eval(dir.path(), "run", &[]).failed_with(code);
    }
    let dir = tempfile::tempdir().unwrap();
    eval(dir.path(), "run", &[]).failed_with("unknown_dataset_layout");
    eval(&dir.path().join("nowhere"), "run", &[]).failed_with("dataset_unreadable");
    beir(dir.path());
    for split in ["train", "../test", "", "/etc/passwd"] {
        eval(dir.path(), "run", &["--split", split]).failed_with("dataset_file_missing");
    }
    eval(dir.path(), "run", &["--depth", "0"]).failed_with("invalid_depth");
    eval(dir.path(), "run", &["--embedder", "none"]).failed_with("unknown_model");
    eval(dir.path(), "contexts", &["--candidates", "x"]).failed_with("not_for_this_dataset");
}

#[test]
fn spans_that_do_not_hold_their_quote_are_told() {
    let snippet = |file: &str, start: i64, end: i64, answer: &str| {
        json!({"tests": [{"query": "q", "snippets": [
            {"file_path": file, "span": [start, end], "answer": answer}
        ]}]})
        .to_string()
    };
    for (benchmark, code) in [
        (
            snippet("bees.txt", 0, 4, "Wasp"),
            "dataset_evidence_mismatch",
        ),
        (
            snippet("bees.txt", 4, 0, "Bees"),
            "dataset_evidence_mismatch",
        ),
        (
            snippet("bees.txt", 0, 9999, "Bees"),
            "dataset_evidence_mismatch",
        ),
        (
            snippet("none.txt", 0, 4, "Bees"),
            "dataset_evidence_mismatch",
        ),
        (snippet("bees.txt", -1, 4, "Bees"), "dataset_line_invalid"),
        ("{\"tests\": [\n".to_owned(), "dataset_line_invalid"),
        ("{\"tests\": []}".to_owned(), "dataset_empty"),
    ] {
        let dir = tempfile::tempdir().unwrap();
        spans(dir.path());
        write(dir.path(), "benchmarks/nature.json", benchmark);
        eval(dir.path(), "run", &[]).failed_with(code);
    }
    let columns = "question,references,corpus_id\n";
    let row = |text: &str| format!("{columns}\"why\",\"{text}\",bees\n");
    let reference = r#"[{""content"": ""Bees"", ""start_index"": 0, ""end_index"": 4}]"#;
    for (questions, code) in [
        (row(reference), None),
        (
            row(&reference.replace("Bees", "Wasp")),
            Some("dataset_evidence_mismatch"),
        ),
        (row("[{]"), Some("dataset_line_invalid")),
        (columns.to_owned(), Some("dataset_empty")),
        (
            "references,question,corpus_id\n".to_owned(),
            Some("dataset_columns"),
        ),
        (
            format!("{columns}\"why\",\"[]\"\n"),
            Some("dataset_columns"),
        ),
    ] {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), "corpora/bees.md", TEXT);
        write(dir.path(), "questions_df.csv", &questions);
        let ran = eval(dir.path(), "run", &["--budgets", "100"]);
        match code {
            Some(code) => ran.failed_with(code),
            None => assert_eq!(ran.json()["contexts"][0]["evidence_recall"], 1.0),
        }
    }
}
