//! Documents: put, listed, changed and deleted.

use serde_json::{Value, json};

use crate::server::Server;

const DOCS: &str = "/v1/collections/docs/documents";

fn put(server: &Server, documents: &Value) -> Value {
    let put = server.client().post(
        &format!("{DOCS}?wait=visible"),
        &json!({"documents": documents}),
    );
    assert_eq!(put.status, 200, "{}", put.text());
    put.json()
}

#[test]
fn each_document_is_told_what_became_of_it_in_order() {
    let server = Server::start().with_docs();
    let documents = json!([
        {"id": "a", "text": "one"},
        {"id": "b", "text": "two", "title": "Two", "source": "https://example.com", "metadata": {"year": 2024}},
        {"id": "", "text": "no id"},
        {"id": "c", "text": "three", "metadata": {"year": "soon"}},
        {"id": "a", "text": "again"},
        {"id": "d"},
        {"id": "e", "text": "x", "content_base64": "eA=="},
        {"id": "f.md", "content_base64": "IyBUaXRsZQoKVGV4dC4K"},
        {"id": "g", "content_base64": "not base64"},
        {"id": "h", "text": " "},
    ]);
    let results = put(&server, &documents);
    let told: Vec<String> = (results["results"].as_array().unwrap().iter())
        .map(|result| {
            let of = |key: &str| result[key].as_str().unwrap_or_default().to_owned();
            format!("{} {} {}", of("id"), of("status"), of("code"))
        })
        .collect();
    assert_eq!(
        told,
        [
            "a stored ",
            "b stored ",
            " failed invalid_document",
            "c failed field_type_conflict",
            "a failed duplicate_id",
            "d failed invalid_jsonl",
            "e failed invalid_jsonl",
            "f.md stored ",
            "g failed invalid_jsonl",
            "h failed empty_document",
        ]
    );
    assert_eq!(
        (&results["stored"], &results["failed"]),
        (&json!(3), &json!(7))
    );
    let sequences: Vec<u64> = [0, 1, 7]
        .map(|i| results["results"][i]["sequence"].as_u64().unwrap())
        .to_vec();
    assert_eq!(sequences, [1, 2, 3]);
    let again = put(&server, &json!([documents[0], documents[7]]));
    assert_eq!(again["unchanged"], 2);
    assert_eq!(again["results"][0]["status"], "unchanged");

    let client = server.client();
    let shown = client.get(&format!("{DOCS}/b")).json();
    assert_eq!(shown["title"], "Two");
    assert_eq!(shown["metadata"], json!({"year": 2024}));
    assert_eq!(shown["text"], "two");
    assert_eq!(shown["sequence"], 2);
    assert_eq!(shown["chunks"][0]["span"], json!({"start": 0, "end": 3}));
    let parsed = client.get(&format!("{DOCS}/f.md")).json();
    assert_eq!(parsed["title"], "Title");
    assert_eq!(parsed["metadata"]["format"], "markdown");
}

#[test]
fn what_is_durable_is_visible_within_a_second_or_so() {
    let server = Server::start().with_docs();
    let client = server.client();
    let put = client.post(DOCS, &json!({"documents": [{"id": "a", "text": "one"}]}));
    assert_eq!(put.json()["stored"], 1);
    let begun = std::time::Instant::now();
    server.until("it is seen", |client| {
        client.get(&format!("{DOCS}/a")).status == 200
    });
    assert!(begun.elapsed().as_secs() < 5, "{:?}", begun.elapsed());
    let sizes = |client: &crate::client::Client| {
        let metrics = client.get("/metrics").text();
        metrics.contains("cento_collection_documents{collection=\"docs\"} 1")
            && metrics.contains("cento_documents_ingested_total{outcome=\"stored\"} 1")
    };
    server.until("it is counted", sizes);
}

#[test]
fn ids_may_hold_slashes_and_any_letter() {
    let server = Server::start().with_docs();
    let ids = [
        "guide/install.md",
        "zh/安装 指南?.md",
        "100%",
        "a+b&c=d#e",
        "delete",
        "..",
        "%2F",
    ];
    let documents: Vec<Value> = (ids.iter())
        .map(|id| json!({"id": id, "text": format!("the text of {id}")}))
        .collect();
    assert_eq!(put(&server, &json!(documents))["stored"], ids.len());
    let client = server.client();
    for id in ids {
        let encoded: String = id.bytes().map(|byte| format!("%{byte:02X}")).collect();
        let path = format!("{DOCS}/{encoded}");
        assert_eq!(client.get(&path).json()["id"], id);
        let patch = json!({"metadata": {"seen": true}});
        let patched = client.json("PATCH", &format!("{path}?wait=visible"), &patch);
        assert_eq!(patched.json()["id"], id, "{}", patched.text());
        assert_eq!(client.get(&path).json()["metadata"]["seen"], true);
        assert_eq!(client.delete(&format!("{path}?wait=visible")).status, 204);
        assert_eq!(client.get(&path).code(), "unknown_document");
        assert_eq!(client.delete(&path).code(), "unknown_document");
        assert_eq!(
            client.json("PATCH", &path, &patch).code(),
            "unknown_document"
        );
    }
    put(&server, &json!([{"id": "delete", "text": "plain"}]));
    assert_eq!(
        client.get(&format!("{DOCS}/delete")).json()["text"],
        "plain"
    );
    for (path, code) in [("%00", "invalid_document_id"), ("%FF", "invalid_path")] {
        let refused = client.get(&format!("{DOCS}/{path}"));
        assert_eq!((refused.status, refused.code().as_str()), (400, code));
    }
}

#[test]
fn a_listing_is_turned_page_by_page() {
    let server = Server::start().with_docs();
    let documents: Vec<Value> = (0..25)
        .map(|i| json!({"id": format!("d{i:02}"), "text": "x y z"}))
        .collect();
    put(&server, &json!(documents));
    let client = server.client();
    let mut path = format!("{DOCS}?limit=10");
    let mut sizes = Vec::new();
    let mut ids = Vec::new();
    loop {
        let page = client.get(&path).json();
        let found = page["documents"].as_array().unwrap();
        sizes.push(found.len());
        ids.extend(
            found
                .iter()
                .map(|row| row["id"].as_str().unwrap().to_owned()),
        );
        match page["next"].as_str() {
            Some(next) => path = format!("{DOCS}?limit=10&after={next}"),
            None => break,
        }
    }
    assert_eq!(sizes, [10, 10, 5]);
    assert_eq!(ids, (0..25).map(|i| format!("d{i:02}")).collect::<Vec<_>>());
    assert_eq!(
        client.get(&format!("{DOCS}?limit=25")).json()["next"],
        Value::Null
    );
    for (query, code) in [
        ("limit=0", "invalid_limit"),
        ("limit=1001", "invalid_limit"),
        ("limit=ten", "invalid_query"),
        ("limit=-1", "invalid_query"),
        ("limit=1&limit=2", "invalid_query"),
        ("offset=3", "invalid_query"),
        ("after=", "invalid_query"),
        ("after=%0A", "invalid_query"),
    ] {
        let refused = client.get(&format!("{DOCS}?{query}"));
        assert_eq!(
            (refused.status, refused.code().as_str()),
            (400, code),
            "{query}"
        );
    }
}

#[test]
fn documents_are_deleted_by_ids_or_by_a_filter() {
    let server = Server::start().with_docs();
    let client = server.client();
    let documents: Vec<Value> = (0..10)
        .map(|i| json!({"id": format!("d{i}"), "text": "x", "metadata": {"n": i}}))
        .collect();
    // Not visible yet: a filter sees what was acknowledged all the same.
    client.post(DOCS, &json!({"documents": documents}));
    let delete = |body: Value| client.post(&format!("{DOCS}/delete?wait=visible"), &body);
    let filter = json!({"type": "gte", "key": "n", "value": 6});
    let deleted = delete(json!({"filter": filter}));
    assert_eq!(deleted.json(), json!({"deleted": 4, "unknown": []}));
    let deleted = delete(json!({"ids": ["d1", "nope", "d1", "d9"]}));
    assert_eq!(
        deleted.json(),
        json!({"deleted": 1, "unknown": ["nope", "d9"]})
    );
    assert_eq!(client.get("/v1/collections/docs").json()["documents"], 5);
    for (body, status, code) in [
        (json!({}), 422, "invalid_request"),
        (json!({"ids": [], "filter": filter}), 422, "invalid_request"),
        (json!({"ids": [""]}), 422, "invalid_request"),
        (json!({"ids": null}), 422, "invalid_request"),
        (
            json!({"ids": ["d0"], "filter": null}),
            422,
            "invalid_request",
        ),
        (json!({"filter": {"type": "like"}}), 400, "invalid_filter"),
        (
            json!({"filter": {"type": "exists", "key": "nope"}}),
            400,
            "unknown_filter_field",
        ),
    ] {
        let refused = delete(body.clone());
        assert_eq!(
            (refused.status, refused.code().as_str()),
            (status, code),
            "{body}"
        );
    }
    assert_eq!(delete(json!({"ids": []})).json()["deleted"], 0);
}

#[test]
fn a_patch_changes_metadata_and_nothing_else() {
    let server = Server::start().with_docs();
    let client = server.client();
    put(
        &server,
        &json!([{"id": "a", "text": "one", "metadata": {"team": "ops", "year": 2024}}]),
    );
    let before = client.get(&format!("{DOCS}/a")).json();
    let patch = |metadata: Value| {
        let path = format!("{DOCS}/a?wait=visible");
        client.json("PATCH", &path, &json!({"metadata": metadata}))
    };
    let patched = patch(json!({"team": null, "year": 2025, "author": {"name": "A"}}));
    assert_eq!(patched.json(), json!({"id": "a", "sequence": 2}));
    let after = client.get(&format!("{DOCS}/a")).json();
    assert_eq!(after["metadata"], json!({"year": 2025, "author.name": "A"}));
    assert_eq!(after["content_hash"], before["content_hash"]);
    assert_eq!(after["chunks"][0]["id"], before["chunks"][0]["id"]);
    let refused = patch(json!({"year": "soon"}));
    assert_eq!(
        (refused.status, refused.code().as_str()),
        (422, "field_type_conflict")
    );
    let refused = patch(json!({"list": [1, "a"]}));
    assert_eq!(
        (refused.status, refused.code().as_str()),
        (422, "invalid_metadata")
    );
    let refused = client.json("PATCH", &format!("{DOCS}/a"), &json!({"text": "new"}));
    assert_eq!(
        (refused.status, refused.code().as_str()),
        (422, "invalid_request")
    );
}
