//! Does a server's reranking come in order and in time, or as a clear error?

use std::time::{Duration, Instant};

use serde_json::json;

use super::super::test_server::{Reply, Server, status};
use super::super::tests::options;
use super::*;

fn open(server: &Server) -> RemoteReranker {
    RemoteReranker::new(&server.name(), options()).expect("a reranker")
}

fn later() -> Instant {
    Instant::now() + Duration::from_secs(60)
}

/// Answers with these results, whatever is asked.
fn results(results: serde_json::Value) -> Server {
    let body = json!({ "id": "x", "results": results }).to_string();
    Server::new(move |_, _| Reply::Body(body.clone()))
}

#[test]
fn scores_come_in_the_order_of_texts_whatever_order_the_server_has() {
    let server = results(json!([
        {"index": 2, "relevance_score": 0.9, "document": {"text": "c"}},
        {"index": 0, "relevance_score": 0.5},
        {"index": 1, "score": -3.5},
    ]));
    let model = open(&server);
    let scores = model.rerank("what?", &["a", "b", "c"], later());
    assert_eq!(scores.expect("judged"), [0.5, -3.5, 0.9]);
    let seen = server.seen();
    assert_eq!(seen.len(), 1, "opening asks nothing");
    assert_eq!(seen[0].line, "POST /v1/rerank HTTP/1.1");
    assert_eq!(
        seen[0].body,
        json!({"model": "test-model", "query": "what?", "documents": ["a", "b", "c"]})
    );
    let expected = format!("127.0.0.1:{}/v1#test-model/rerank", server.port);
    assert_eq!(model.fingerprint(), expected);
    assert!(
        model
            .rerank("what?", &[], later())
            .expect("nothing")
            .is_empty()
    );
    assert_eq!(server.seen().len(), 1);
}

#[test]
fn answers_that_cannot_be_believed_are_refused() {
    for (answer, expected) in [
        (
            json!([{"index": 0, "relevance_score": 1}]),
            "1 scores for 2 texts",
        ),
        (
            json!([{"index": 0, "relevance_score": 1}, {"index": 0, "relevance_score": 2}]),
            "two scores have the index 0",
        ),
        (
            json!([{"index": 0, "relevance_score": 1}, {"index": 7, "relevance_score": 2}]),
            "index 7",
        ),
        (
            json!([{"index": 0, "relevance_score": 1}, {"index": 1, "relevance_score": 1e39}]),
            "not finite",
        ),
        (
            json!([{"index": 1, "relevance_score": 1}, {"index": 0}]),
            "text 0 has no relevance_score",
        ),
        // Sorted by score, as servers do: whose is which?
        (
            json!([{"relevance_score": 2}, {"relevance_score": 1}]),
            "Cohere's",
        ),
    ] {
        let server = results(answer);
        let error = open(&server).rerank("what?", &["a", "b"], later());
        let error = error.expect_err("refused").to_string();
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn a_server_that_is_busy_is_asked_again_and_one_that_stalls_is_left_at_the_deadline() {
    let scores = json!({"results": [{"index": 0, "relevance_score": 1.5}]}).to_string();
    let server = Server::new(move |number, _| match number {
        0 => status(503),
        _ => Reply::Body(scores.clone()),
    });
    let judged = open(&server).rerank("what?", &["a"], later());
    assert_eq!(judged.expect("judged"), [1.5]);
    let server = Server::new(|_, _| Reply::Stall);
    let begun = Instant::now();
    let none = open(&server).rerank("what?", &["a"], begun + Duration::from_millis(150));
    assert!(none.expect("no time").is_empty());
    assert!(begun.elapsed() < Duration::from_secs(3));
    // What is broken is told, and not waited for until the deadline.
    let server = Server::new(|_, _| status(501));
    let begun = Instant::now();
    let error = open(&server).rerank("what?", &["a"], later());
    assert!(
        matches!(error, Err(EmbedError::RemoteRefused { status: 501, .. })),
        "{error:?}"
    );
    assert!(begun.elapsed() < Duration::from_secs(3));
    // Without time nothing is asked.
    let asked = server.seen().len();
    let none = open(&server).rerank("what?", &["a"], Instant::now());
    assert!(none.expect("no time").is_empty());
    assert_eq!(server.seen().len(), asked);
}

#[test]
fn what_is_too_much_at_once_is_sent_in_halves_and_at_last_cut() {
    // Takes two texts at most, none of more than 1,000 characters.
    let server = Server::new(|_, request| {
        let texts = request.body["documents"].as_array().expect("texts");
        let lengths: Vec<usize> = (texts.iter())
            .map(|text| text.as_str().expect("a text").len())
            .collect();
        if texts.len() > 2 || lengths.iter().any(|&length| length > 1_000) {
            return Reply::Status(413, "", json!({"message": "too much"}).to_string());
        }
        let results = lengths
            .iter()
            .enumerate()
            .map(|(index, length)| json!({"index": index, "relevance_score": length}));
        Reply::Body(json!({"results": results.collect::<Vec<_>>()}).to_string())
    });
    let long = "x".repeat(3_000);
    let texts = ["a", "bb", &long, "ccc", "dd"];
    let scores = open(&server).rerank("what?", &texts, later());
    assert_eq!(scores.expect("judged"), [1.0, 2.0, 750.0, 3.0, 2.0]);
}
