//! Collections, from their making to their end.

use serde_json::json;

use crate::client::{hold, piece};
use crate::server::Server;

#[test]
fn a_collection_is_made_shown_listed_and_deleted() {
    let server = Server::start();
    let client = server.client();
    assert_eq!(
        client.get("/v1/collections").json(),
        json!({"collections": []})
    );
    let new = json!({"name": "docs", "chunking": "none", "fields": {"year": "number"}});
    let made = client.post("/v1/collections", &new);
    assert_eq!(made.status, 201, "{}", made.text());
    assert_eq!(made.header("location"), Some("/v1/collections/docs"));
    let shown = client.get("/v1/collections/docs").json();
    assert_eq!(shown, made.json());
    assert_eq!(shown["documents"], 0);
    assert_eq!(shown["fields"], json!({"year": "number"}));
    assert_eq!(shown["settings"]["chunking"], "none/1");
    assert_eq!(shown["settings"]["model"], "cento-static-en-v2");
    assert_eq!(
        client.get("/v1/collections").json()["collections"],
        json!([{"name": "docs", "documents": 0, "chunks": 0}])
    );
    let again = client.post("/v1/collections", &new);
    assert_eq!(
        (again.status, again.code().as_str()),
        (409, "collection_exists")
    );
    assert_eq!(client.delete("/v1/collections/docs").status, 204);
    for gone in [
        client.get("/v1/collections/docs"),
        client.delete("/v1/collections/docs"),
        client.get("/v1/collections/docs/documents"),
        client.post("/v1/collections/docs/search", &json!({"query": "x"})),
        client.post("/v1/collections/docs/audit", &json!({})),
        client.ndjson("/v1/collections/docs/documents", "{}\n"),
    ] {
        assert_eq!(
            (gone.status, gone.code().as_str()),
            (404, "unknown_collection")
        );
        assert!(gone.json()["help"].as_str().unwrap().contains("/v1/"));
    }
}

#[test]
fn only_what_the_server_offers_can_be_chosen() {
    let server = Server::with(|config| config.allowed_models = vec!["/models/other".to_owned()]);
    let client = server.client();
    let with = |model: &str| {
        client.post(
            "/v1/collections",
            &json!({"name": "docs", "embedder": model}),
        )
    };
    for path in ["/etc", "../model", "minilm"] {
        let refused = with(path);
        assert_eq!(
            (refused.status, refused.code().as_str()),
            (422, "model_not_allowed")
        );
    }
    // Allowed, but not there, or this build has no such models at all.
    let absent = with("/models/other");
    assert!(
        [404, 422, 501].contains(&absent.status),
        "{}",
        absent.text()
    );
    assert_ne!(absent.code(), "model_not_allowed");
    assert_eq!(with("cento-static-en-v2").status, 201);
}

#[test]
fn a_collection_with_a_bad_description_is_refused() {
    let server = Server::start();
    let client = server.client();
    for (body, code) in [
        (json!({}), "invalid_request"),
        (json!({"name": "Not A Name"}), "invalid_request"),
        (json!({"name": "../up"}), "invalid_request"),
        (json!({"name": "a", "chunking": "small"}), "invalid_request"),
        (json!({"name": "a", "colour": "red"}), "invalid_request"),
        (
            json!({"name": "a", "fields": {"x": "date"}}),
            "invalid_request",
        ),
        (
            json!({"name": "a", "fields": {"x..y": "text"}}),
            "invalid_metadata",
        ),
    ] {
        let refused = client.post("/v1/collections", &body);
        assert_eq!(
            (refused.status, refused.code().as_str()),
            (422, code),
            "{body}"
        );
    }
    let refused = client.get("/v1/collections/Not%20A%20Name");
    assert_eq!(
        (refused.status, refused.code().as_str()),
        (400, "invalid_collection_name")
    );
}

#[test]
fn a_collection_in_use_is_not_deleted_and_is_usable_afterwards() {
    let server = Server::start().with_docs();
    let client = server.client();
    let mut stream = hold(&client);
    for refused in [
        client.delete("/v1/collections/docs"),
        client.post("/v1/collections/docs/rebuild", &json!({})),
    ] {
        assert_eq!(
            (refused.status, refused.code().as_str()),
            (409, "collection_in_use")
        );
        assert_eq!(refused.json()["retry"], true);
        assert_eq!(refused.header("retry-after"), Some("1"));
    }
    assert_eq!(client.get("/v1/collections/docs").status, 200);
    piece(&mut stream, b"").unwrap();
    let mut rest = String::new();
    std::io::Read::read_to_string(&mut stream, &mut rest).unwrap();
    assert!(rest.contains("\"event\":\"done\""), "{rest}");
    server.until("it can be deleted", |client| {
        client.delete("/v1/collections/docs").status == 204
    });
}

#[test]
fn an_audit_finds_nothing_and_a_rebuild_keeps_everything() {
    let server = Server::start().with_docs();
    let client = server.client();
    let lines: String = (0..12)
        .map(|i| format!("{{\"id\":\"d{i}\",\"text\":\"number {i}\"}}\n"))
        .collect();
    client.ndjson("/v1/collections/docs/documents?wait=visible", &lines);
    let audit = client.post("/v1/collections/docs/audit", &json!({})).json();
    assert_eq!(audit["clean"], true);
    assert_eq!(audit["report"]["documents"], 12);
    let rebuilt = client
        .post("/v1/collections/docs/rebuild", &json!({}))
        .json();
    assert_eq!(rebuilt["documents"], 12);
    assert_eq!(rebuilt["writes"], 12);
    let found = client.post("/v1/collections/docs/search", &json!({"query": "number 7"}));
    assert_eq!(found.json()["hits"][0]["document"], "d7");
}
