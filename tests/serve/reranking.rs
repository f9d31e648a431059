//! Does a reranking model change rankings as it should, and cost nothing where it does
//! not answer?

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::beside::{cento, json};
use crate::server::Server;

/// How the model's server behaves.
#[derive(Clone, Copy)]
enum Mood {
    /// It likes texts about boxes, the longer the better.
    Well,
    /// It never answers.
    Stalled,
    /// It says that it is broken.
    Broken,
}

/// A server of a reranking model, as far as Cohere's API has one; its name.
fn model(mood: Mood) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let name = format!("http://{}/v1#box-lover", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            std::thread::spawn(move || answer(stream.unwrap(), mood));
        }
    });
    name
}

fn answer(stream: TcpStream, mood: Mood) {
    let mut reader = BufReader::new(stream);
    let mut length = 0;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).unwrap_or(0) == 0 {
            return;
        }
        let line = line.trim().to_ascii_lowercase();
        if let Some(value) = line.strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        if line.is_empty() {
            break;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    let (status, told) = match mood {
        Mood::Well => ("200 OK", judged(&serde_json::from_slice(&body).unwrap())),
        Mood::Stalled => return std::thread::sleep(Duration::from_secs(60)),
        Mood::Broken => (
            "500 Internal Server Error",
            json!({"message": "out of order"}),
        ),
    };
    let told = told.to_string();
    let _ = write!(
        reader.into_inner(),
        "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{told}",
        told.len()
    );
}

fn judged(asked: &Value) -> Value {
    let documents = asked["documents"].as_array().unwrap();
    let results = documents.iter().enumerate().map(|(index, text)| {
        let text = text.as_str().unwrap();
        let score = if text.contains("box") { text.len() } else { 0 };
        json!({"index": index, "relevance_score": score as f64 / 1000.0})
    });
    json!({"results": results.collect::<Vec<_>>()})
}

fn metrics(url: &str) -> String {
    let address = url.strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(address).unwrap();
    write!(
        stream,
        "GET /metrics HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n"
    )
    .unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text
}

const DOCUMENTS: [(&str, &str); 4] = [
    (
        "refund.md",
        "# Refund\n\nA refund is paid within ten days. Refund, refund!\n",
    ),
    (
        "box.md",
        "# Hardware\n\nHardware comes back in its box, and a refund after that.\n",
    ),
    (
        "copy.md",
        "# Hardware\n\nHardware comes back in its box, and a refund after that.\n",
    ),
    ("page.md", "# On call\n\nThe engineer answers a page.\n"),
];

fn ingested(dir: &Path) -> String {
    let docs = dir.join("docs");
    std::fs::create_dir(&docs).unwrap();
    for (name, text) in DOCUMENTS {
        std::fs::write(docs.join(name), text).unwrap();
    }
    let data = dir.join("data").to_str().unwrap().to_owned();
    json(
        &["--json", "--data", &data],
        &["ingest", docs.to_str().unwrap()],
    );
    data
}

fn refused(place: &[&str], args: &[&str]) -> Value {
    let output = cento(place, args);
    assert_eq!(output.status.code(), Some(1), "{args:?}");
    let told = String::from_utf8(output.stderr).unwrap();
    let told: Value = serde_json::from_str(told.lines().last().unwrap()).unwrap();
    told["error"].clone()
}

#[test]
fn what_a_model_prefers_comes_first_and_the_receipt_says_from_where() {
    let dir = tempfile::tempdir().unwrap();
    let data = ingested(dir.path());
    let place = ["--json", "--data", &data];
    let rerank = format!("--rerank={}", model(Mood::Well));
    let plain = json(&place, &["search", "refund"]);
    assert_eq!(plain["hits"][0]["document"], "refund.md");
    assert!(plain.get("rerank").is_none() && plain["hits"][0].get("rerank").is_none());

    let found = json(&place, &["search", "refund", &rerank]);
    let best = &found["hits"][0];
    assert_eq!(best["document"], "box.md", "{found}");
    assert_eq!(best["rank"], 1);
    assert_eq!(best["rerank"]["fused_rank"], 2);
    // Twins stay together, and what was second among distinct texts comes after both.
    assert_eq!(best["duplicates"].as_array().unwrap().len(), 1);
    assert_eq!(found["hits"][1]["document"], "refund.md");
    assert_eq!(found["hits"][1]["rank"], 3);
    let told = &found["rerank"];
    assert!(
        told["model"]
            .as_str()
            .unwrap()
            .ends_with("#box-lover/rerank")
    );
    assert_eq!(
        (&told["judged"], &told["failed"]),
        (&json!(3), &Value::Null)
    );

    // One that is alone in the head can go nowhere.
    let head = json(&place, &["search", "refund", &rerank, "--rerank-head", "1"]);
    assert_eq!(head["hits"][0]["document"], "refund.md");
    assert_eq!(head["rerank"]["head"], 1);

    let context = json(&place, &["context", "refund", &rerank]);
    assert_eq!(context["citations"][0]["document"], "box.md", "{context}");
    assert_eq!(context["receipt"]["rerank"], *told);
    let entries = context["receipt"]["candidates"].as_array().unwrap();
    assert_eq!(entries[0]["rerank"]["fused_rank"], 2);
    assert!(entries[1].get("rerank").is_none(), "a twin is not judged");
    assert_eq!(entries[1]["decision"]["reason"], "duplicate_of");

    let shown = cento(&["--data", &data], &["search", "refund", &rerank]);
    let lines = String::from_utf8(shown.stdout).unwrap();
    assert!(lines.contains("from #2"), "{lines}");
    let note = String::from_utf8(shown.stderr).unwrap();
    assert!(note.contains("reranked 3 candidates by"), "{note}");
}

#[test]
fn a_model_that_fails_or_stalls_leaves_the_fused_order_in_time() {
    let dir = tempfile::tempdir().unwrap();
    let data = ingested(dir.path());
    let place = ["--json", "--data", &data];
    let plain = json(&place, &["context", "refund"]);
    for (mood, reason) in [(Mood::Stalled, ""), (Mood::Broken, "out of order")] {
        let rerank = format!("--rerank={}", model(mood));
        let begun = Instant::now();
        let found = json(
            &place,
            &["context", "refund", &rerank, "--rerank-deadline-ms", "300"],
        );
        assert!(
            begun.elapsed() < Duration::from_secs(8),
            "{:?}",
            begun.elapsed()
        );
        assert_eq!(found["context"], plain["context"]);
        let told = &found["receipt"]["rerank"];
        assert_eq!(told["judged"], 0, "{told}");
        let failed = told["failed"]["detail"].as_str();
        match mood {
            Mood::Broken => assert!(failed.unwrap().contains(reason), "{told}"),
            _ => assert_eq!(failed, None, "no time is no failure: {told}"),
        }
    }
}

#[test]
fn a_server_reranks_with_the_model_that_it_was_started_with_and_no_other() {
    let dir = tempfile::tempdir().unwrap();
    let data = ingested(dir.path());
    let mine = format!("--rerank={}", model(Mood::Well));
    let told = refused(
        &["--json", "--data", &data],
        &["search", "refund", "--rerank"],
    );
    assert_eq!(told["code"], "no_reranker");
    {
        let plain = Server::start(Path::new(&data));
        let place = ["--json", "--url", &plain.url];
        let told = refused(&place, &["search", "refund", "--rerank"]);
        assert_eq!(told["code"], "no_reranker");
        assert_eq!(
            refused(&place, &["search", "refund", &mine])["code"],
            "needs_directory"
        );
        // The lock says where the server is.
        let by_lock = ["--json", "--data", &data];
        assert_eq!(
            refused(&by_lock, &["context", "refund", &mine])["code"],
            "needs_directory"
        );
    }
    let mut command = Command::new(env!("CARGO_BIN_EXE_cento"));
    command.args(["--data", &data, "serve", "--bind", "127.0.0.1:0"]);
    command.args(["--reranker", &model(Mood::Well)]);
    let server = Server::of(&mut command);
    let place = ["--json", "--url", &server.url];
    let found = json(&place, &["search", "refund", "--rerank"]);
    assert_eq!(found["hits"][0]["document"], "box.md", "{found}");
    let plain = json(&place, &["search", "refund"]);
    assert_eq!(plain["hits"][0]["document"], "refund.md", "only if asked");
    let metrics = metrics(&server.url);
    assert!(
        metrics.contains("cento_reranks_total{outcome=\"whole\"} 1"),
        "{metrics}"
    );
    for wrong in ["0", "201"] {
        let args = ["search", "refund", "--rerank", "--rerank-head", wrong];
        assert_eq!(refused(&place, &args)["code"], "invalid_rerank");
    }
    let args = [
        "search",
        "refund",
        "--rerank",
        "--rerank-deadline-ms",
        "10001",
    ];
    assert_eq!(refused(&place, &args)["code"], "invalid_rerank");
}

#[test]
fn a_client_hears_that_the_model_failed_and_not_what_it_said() {
    let dir = tempfile::tempdir().unwrap();
    let data = ingested(dir.path());
    let mut command = Command::new(env!("CARGO_BIN_EXE_cento"));
    command.args(["--data", &data, "serve", "--bind", "127.0.0.1:0"]);
    let server = Server::of(command.args(["--reranker", &model(Mood::Broken)]));
    let place = ["--json", "--url", &server.url];
    let asked = [
        "search",
        "refund",
        "--rerank",
        "--rerank-deadline-ms",
        "5000",
    ];
    let found = json(&place, &asked);
    assert_eq!(found["hits"][0]["document"], "refund.md");
    let failed = &found["rerank"]["failed"];
    assert_eq!(failed["code"], "remote_refused", "{failed}");
    assert!(!failed.to_string().contains("out of order"), "{failed}");
    assert!(!failed.to_string().contains("127.0.0.1"), "{failed}");
    let metrics = metrics(&server.url);
    assert!(
        metrics.contains("cento_reranks_total{outcome=\"failed\"} 1"),
        "{metrics}"
    );
}

#[test]
fn a_model_that_cannot_be_opened_is_told_before_the_server_listens() {
    let dir = tempfile::tempdir().unwrap();
    let data = ingested(dir.path());
    let place = ["--json", "--data", &data];
    let told = refused(&place, &["serve", "--reranker", "/nowhere/at/all"]);
    assert_eq!(told["code"], "unknown_model");
    assert!(told["help"].as_str().unwrap().contains("cross-encoder"));
}
