//! Questions and their answers.

use cento_retrieve::{ContextResponse, SearchResponse};
use serde_json::{Value, json};

use crate::server::Server;

fn filled() -> Server {
    let server = Server::start().with_docs();
    let documents = json!([
        {"id": "refunds", "title": "Refunds", "text": "A refund takes five working days.", "metadata": {"team": "support", "year": 2024}},
        {"id": "invoices", "title": "Invoices", "text": "An invoice is sent on the first of the month.", "metadata": {"team": "billing", "year": 2025}},
        {"id": "copy", "title": "Copy", "text": "A refund takes five working days.", "metadata": {"team": "billing"}},
    ]);
    let put = server.client().post(
        "/v1/collections/docs/documents?wait=visible",
        &json!({"documents": documents}),
    );
    assert_eq!(put.json()["stored"], 3);
    server
}

fn search(server: &Server, body: &Value) -> crate::client::Response {
    server.client().post("/v1/collections/docs/search", body)
}

#[test]
fn a_search_says_what_each_leg_thinks() {
    let server = filled();
    let found = search(
        &server,
        &json!({"query": "how long does a refund take?", "limit": 1}),
    );
    let found: SearchResponse = serde_json::from_value(found.json()).expect("reads back");
    assert_eq!(found.hits.len(), 1);
    let hit = &found.hits[0];
    assert_eq!(hit.text, "A refund takes five working days.");
    assert_eq!(hit.duplicates.len(), 1);
    assert_eq!(hit.lexical.rank, Some(1));
    assert!(hit.dense.unwrap().score.0 > 0.0);
    assert_eq!(found.sequence.0, 3);
}

#[test]
fn a_question_says_how_hard_vectors_are_looked_for_and_hears_how_they_were() {
    let server = filled();
    for effort in [
        json!({}),
        json!({"recall": 0.9}),
        json!({"ef": 64.0}),
        json!({"exact": true}),
    ] {
        let mut body = json!({"query": "how long does a refund take?", "limit": 1});
        let fields = body.as_object_mut().unwrap();
        fields.extend(effort.as_object().unwrap().clone());
        let found = search(&server, &body).json();
        assert_eq!(found["dense_exact"], true, "so few are compared one by one");
        assert_eq!(
            found["dense_search"],
            json!({"scanned": 1, "walked": 0, "walked_among": 0, "compared": 3}),
            "{effort}"
        );
    }
    let body = json!({"query": "refund", "legs": "lexical"});
    assert_eq!(search(&server, &body).json()["dense_search"], Value::Null);
}

#[test]
fn a_filter_holds_for_every_leg() {
    let server = filled();
    for legs in ["lexical", "dense", "hybrid"] {
        for fusion in ["rrf", "convex", "absolute", "adaptive"] {
            let body = json!({
                "query": "refund", "legs": legs, "fusion": fusion,
                "filter": {"type": "and", "filters": [
                    {"type": "eq", "key": "team", "value": "billing"},
                    {"type": "not", "filter": {"type": "exists", "key": "year"}},
                ]},
            });
            let found = search(&server, &body).json();
            let documents: Vec<&str> = (found["hits"].as_array().unwrap().iter())
                .map(|hit| hit["document"].as_str().unwrap())
                .collect();
            assert_eq!(documents, ["copy"], "{legs} {fusion}");
            assert_eq!(found["legs"], legs);
        }
    }
}

#[test]
fn a_context_keeps_its_budget_and_accounts_for_everything() {
    let server = filled();
    let asked =
        json!({"collection": "docs", "query": "refund", "max_tokens": 60, "tokenizer": "cl100k"});
    let answer = server.client().post("/v1/context", &asked);
    assert_eq!(answer.status, 200, "{}", answer.text());
    let context: ContextResponse = serde_json::from_value(answer.json()).expect("reads back");
    assert!(context.tokens.0 <= 60 && context.tokens.0 > 0);
    assert!(
        context
            .context
            .contains("A refund takes five working days.")
    );
    assert_eq!(context.receipt.tokenizer, "cl100k");
    assert_eq!(
        context.receipt.candidates.len(),
        context.receipt.counts.candidates
    );
    assert_eq!(
        context.citations[0].quote,
        "A refund takes five working days."
    );
    let json: Value = serde_json::from_str(&serde_json::to_string(&context).unwrap()).unwrap();
    assert_eq!(json, answer.json(), "nothing is lost on the way");
}

#[test]
fn a_question_that_makes_no_sense_is_told_so() {
    let server = filled();
    for (body, status, code) in [
        (json!({"query": " "}), 400, "empty_query"),
        (json!({"query": "x".repeat(8193)}), 400, "query_too_long"),
        (json!({"query": "x", "limit": 0}), 400, "invalid_limit"),
        (json!({"query": "x", "limit": 201}), 400, "invalid_limit"),
        (json!({"query": "x", "recall": 0}), 400, "invalid_effort"),
        (json!({"query": "x", "recall": 1.5}), 400, "invalid_effort"),
        (json!({"query": "x", "ef": 0}), 400, "invalid_effort"),
        (json!({"query": "x", "ef": 10001}), 400, "invalid_effort"),
        (
            json!({"query": "x", "ef": 10, "exact": true}),
            400,
            "invalid_effort",
        ),
        (json!({"query": "x", "ef": 1.5}), 422, "invalid_request"),
        (json!({"query": "x", "limit": -1}), 422, "invalid_request"),
        (
            json!({"query": "x", "legs": "both"}),
            422,
            "invalid_request",
        ),
        (
            json!({"query": "x", "fusion": "best"}),
            422,
            "invalid_request",
        ),
        (json!({"query": "x", "top_k": 3}), 422, "invalid_request"),
        (json!({"query": 5}), 422, "invalid_request"),
        (json!(["x"]), 422, "invalid_request"),
        (json!({"query": "x", "filter": []}), 400, "invalid_filter"),
        (
            json!({"query": "x", "filter": {"type": "eq", "key": "nope", "value": 1}}),
            400,
            "unknown_filter_field",
        ),
        (
            json!({"query": "x", "filter": {"type": "eq", "key": "year", "value": "2024"}}),
            400,
            "filter_type_mismatch",
        ),
        (
            json!({"query": "x", "filter": {"type": "gt", "key": "id", "value": "a"}}),
            400,
            "invalid_filter_operator",
        ),
    ] {
        let refused = search(&server, &body);
        assert_eq!(
            (refused.status, refused.code().as_str()),
            (status, code),
            "{body}"
        );
    }
    for (change, status, code) in [
        (json!({"max_tokens": 0}), 422, "invalid_request"),
        (json!({"tokenizer": "gpt2"}), 400, "unknown_tokenizer"),
        (
            json!({"tokenizer": "/etc/passwd"}),
            400,
            "unknown_tokenizer",
        ),
        (
            json!({"tokenizer": "tokenizer.json"}),
            400,
            "unknown_tokenizer",
        ),
        (json!({"collection": "nope"}), 404, "unknown_collection"),
    ] {
        let mut body = json!({"collection": "docs", "query": "x", "max_tokens": 100});
        for (key, value) in change.as_object().unwrap() {
            body[key] = value.clone();
        }
        let refused = server.client().post("/v1/context", &body);
        assert_eq!(
            (refused.status, refused.code().as_str()),
            (status, code),
            "{body}"
        );
        assert!(
            !refused.text().contains("path of a tokenizer"),
            "{}",
            refused.text()
        );
    }
}
