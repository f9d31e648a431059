//! Snapshots, generations, conditions, and giving space back.

use std::time::{Duration, Instant};

use cento_api::{Service, ServiceOptions};
use cento_core::CollectionName;
use serde_json::{Value, json};

use crate::client::{Client, Response};
use crate::server::Server;

const DOCS: &str = "/v1/collections/docs";

fn put(client: &Client, documents: &Value) -> Value {
    let path = format!("{DOCS}/documents?wait=visible");
    let put = client.post(&path, &json!({ "documents": documents }));
    assert_eq!(put.status, 200, "{}", put.text());
    put.json()
}

fn filled() -> Server {
    let server = Server::start().with_docs();
    let text = "# Pumps\n\nThe pump was seen to.\n\n# Hoses\n\nThe hose was not.\n";
    let file = json!({"id": "a.md", "text": text, "title": "A"});
    let file = json!([file, {"id": "b", "text": "A relay clicked."}]);
    put(&server.client(), &file);
    server
}

fn ids(client: &Client, collection: &str) -> Vec<String> {
    let page = client.get(&format!("/v1/collections/{collection}/documents"));
    let page = page.json();
    let documents = page["documents"].as_array().unwrap().iter();
    documents
        .map(|document| document["id"].as_str().unwrap().to_owned())
        .collect()
}

/// The last event of a stream, which must have gone well.
#[track_caller]
fn last(response: &Response) -> Value {
    assert_eq!(response.status, 200, "{}", response.text());
    response.events().pop().unwrap()
}

#[test]
fn a_snapshot_is_kept_gone_back_to_and_deleted() {
    let server = filled();
    let client = server.client();
    let made = client.post(&format!("{DOCS}/snapshots"), &json!({"id": "before"}));
    assert_eq!(made.status, 201, "{}", made.text());
    assert_eq!(
        made.header("location"),
        Some("/v1/collections/docs/snapshots/before")
    );
    assert_eq!(made.json()["documents"], 2);
    put(&client, &json!([{"id": "c", "text": "Later."}]));
    assert_eq!(client.delete(&format!("{DOCS}/documents/b")).status, 204);
    let restored = client.post(&format!("{DOCS}/snapshots/before/restore"), &json!({}));
    assert_eq!(restored.status, 200, "{}", restored.text());
    assert_eq!(ids(&client, "docs"), ["a.md", "b"]);
    let list = client.get(&format!("{DOCS}/snapshots")).json();
    assert_eq!(list["snapshots"][0]["id"], "before");
    let again = client.post(&format!("{DOCS}/snapshots"), &json!({"id": "before"}));
    assert_eq!(again.code(), "invalid_snapshot_name");
    let bad = client.post(&format!("{DOCS}/snapshots"), &json!({"id": "../up"}));
    assert_eq!((bad.status, &*bad.code()), (422, "invalid_snapshot_name"));
    for path in ["before", "nowhere"].map(|id| format!("{DOCS}/snapshots/{id}")) {
        let deleted = client.delete(&path);
        match path.ends_with("before") {
            true => assert_eq!(deleted.status, 204),
            false => assert_eq!(deleted.code(), "unknown_snapshot"),
        }
    }
    let unnamed = client.post(&format!("{DOCS}/snapshots"), &json!({}));
    assert_eq!(unnamed.status, 201, "{}", unnamed.text());
}

#[test]
fn an_archive_makes_the_same_collection_under_another_name_or_none() {
    let server = filled();
    let client = server.client();
    client.post(&format!("{DOCS}/snapshots"), &json!({"id": "s"}));
    let archive = client.get(&format!("{DOCS}/snapshots/s/archive"));
    assert_eq!(archive.status, 200);
    assert_eq!(archive.header("content-type"), Some("application/x-tar"));
    let named = archive.header("content-disposition").unwrap();
    assert!(named.contains("docs-s.cento.tar"), "{named}");
    let head = client.send("HEAD", &format!("{DOCS}/snapshots/s/archive"), &[], b"");
    assert_eq!(head.status, 200);
    for header in ["content-length", "content-type", "content-disposition"] {
        assert_eq!(head.header(header), archive.header(header));
    }
    let tar = [("content-type", "application/x-tar")];
    let import = |name: &str, bytes: &[u8]| {
        let path = format!("/v1/collections/{name}/import");
        client.send("POST", &path, &tar, bytes)
    };
    let made = import("copy", &archive.body);
    assert_eq!(made.status, 201, "{}", made.text());
    assert_eq!(made.json()["documents"], 2);
    assert_eq!(ids(&client, "copy"), ["a.md", "b"]);
    let document = |name: &str| {
        let path = format!("/v1/collections/{name}/documents/a.md");
        client.get(&path).json()
    };
    assert_eq!(document("copy"), document("docs"));
    assert_eq!(import("copy", &archive.body).code(), "collection_exists");
    let half = &archive.body[..archive.body.len() / 2];
    assert_eq!(import("half", half).code(), "archive_invalid");
    let mut damaged = archive.body.clone();
    let middle = damaged.len() / 2;
    damaged[middle] ^= 1;
    assert_eq!(import("damaged", &damaged).code(), "archive_invalid");
    let list = client.get("/v1/collections").json();
    assert_eq!(list["collections"].as_array().unwrap().len(), 2, "{list}");
    let left: Vec<_> = std::fs::read_dir(server.data.path().join("collections"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(left.len(), 2, "{left:?}");
    let json = client.post("/v1/collections/x/import", &json!({}));
    assert_eq!(json.code(), "unsupported_media_type");
}

#[test]
fn an_archive_of_a_model_that_is_not_offered_makes_no_collection() {
    let elsewhere = tempfile::tempdir().unwrap();
    let service = Service::open(elsewhere.path(), ServiceOptions::default()).unwrap();
    let new = json!({"name": "plain"});
    let made = service.create_collection(&serde_json::from_value(new).unwrap());
    let mut settings = made.unwrap().settings;
    settings.model = "/etc".to_owned();
    let name = CollectionName::new("docs").unwrap();
    let engine = service.store().create(&name, &settings).unwrap();
    engine.create_snapshot(Some("s")).unwrap();
    let mut archive = Vec::new();
    let export = service.export_snapshot(&name, Some("s")).unwrap();
    export.write(&mut archive).unwrap();
    let server = Server::start();
    let client = server.client();
    let tar = [("content-type", "application/x-tar")];
    let refused = client.send("POST", &format!("{DOCS}/import"), &tar, &archive);
    assert_eq!(
        (refused.status, &*refused.code()),
        (422, "model_not_allowed")
    );
    assert_eq!(client.get(DOCS).code(), "unknown_collection");
    let left = std::fs::read_dir(server.data.path().join("collections")).unwrap();
    assert_eq!(left.count(), 0);
}

#[test]
fn a_collection_is_cut_anew_line_by_line_and_gone_back_with() {
    let server = filled();
    let client = server.client();
    let asked = json!({"chunking": "none"});
    let cost = client.post(&format!("{DOCS}/reindex/estimate"), &asked);
    assert_eq!(cost.status, 200, "{}", cost.text());
    assert_eq!(cost.json()["chunks"], 2);
    let before = client.get(DOCS).json();
    assert_eq!(before["generation"], 1);
    let done = client.post(&format!("{DOCS}/reindex"), &asked);
    assert_eq!(done.events()[0]["event"], "started");
    let done = last(&done);
    assert_eq!(done["event"], "done", "{done}");
    assert_eq!(done["report"]["documents"], 2);
    let after = client.get(DOCS).json();
    assert_eq!(after["generation"], 2);
    assert_eq!(after["chunks"], 2);
    assert_eq!(after["settings"]["chunking"], "none/1");
    let found = client.post(&format!("{DOCS}/search"), &json!({"query": "hose"}));
    assert_eq!(found.json()["generation"], 2);
    let asked_context = json!({"collection": "docs", "query": "hose", "max_tokens": 200});
    let context = client.post("/v1/context", &asked_context).json();
    assert_eq!(context["receipt"]["generation"], 2);
    let again = client.post(&format!("{DOCS}/reindex"), &asked);
    let again = last(&again);
    assert_eq!(again["problem"]["code"], "nothing_to_change", "{again}");
    let other = client.post(&format!("{DOCS}/reindex"), &json!({"embedder": "/etc"}));
    assert_eq!(other.code(), "model_not_allowed");

    put(&client, &json!([{"id": "c", "text": "Later."}]));
    let generations = client.get(&format!("{DOCS}/generations")).json();
    let states: Vec<_> = (generations["generations"].as_array().unwrap().iter())
        .map(|generation| generation["state"].as_str().unwrap())
        .collect();
    assert_eq!(states, ["former", "serving"]);
    let back = client.post(&format!("{DOCS}/generations/1/rollback"), &json!({}));
    assert_eq!(last(&back)["report"]["documents"], 1);
    assert_eq!(client.get(DOCS).json()["generation"], 1);
    let code = |number: &str| {
        let path = format!("{DOCS}/generations/{number}");
        client.delete(&path)
    };
    assert_eq!(code("1").code(), "generation_serving");
    assert_eq!(code("9").code(), "unknown_generation");
    assert_eq!(code("x").code(), "invalid_path");
    assert_eq!(code("2").status, 204);
    let gone = client.post(&format!("{DOCS}/generations/2/rollback"), &json!({}));
    assert_eq!(gone.code(), "unknown_generation");
    let audit = client.post(&format!("{DOCS}/audit"), &json!({})).json();
    assert_eq!(audit["clean"], true, "{audit}");
}

#[test]
fn a_change_is_made_only_if_the_version_that_was_read_stands() {
    let server = filled();
    let client = server.client();
    let path = format!("{DOCS}/documents/b");
    let read = client.get(&path);
    let etag = read.header("etag").unwrap().to_owned();
    assert_eq!(etag, format!("\"{}\"", read.json()["sequence"]));
    let json = ("content-type", "application/json");
    let patch = |etag: &str, year: u32| {
        let body = json!({"metadata": {"year": year}}).to_string();
        let headers = [json, ("if-match", etag)];
        client.send("PATCH", &path, &headers, body.as_bytes())
    };
    let patched = patch(&etag, 1);
    assert_eq!(patched.status, 200, "{}", patched.text());
    let newer = patched.header("etag").unwrap().to_owned();
    assert_ne!(newer, etag);
    let conflict = patch(&etag, 2);
    assert_eq!(
        (conflict.status, &*conflict.code()),
        (412, "version_conflict")
    );
    for odd in [
        "b",
        "\"x\"",
        "W/1",
        "\"1\", x",
        "*, \"1\"",
        ",",
        "\"\u{fc}\"",
    ] {
        assert_eq!(patch(odd, 3).code(), "invalid_condition", "{odd}");
    }
    let list = patch(&format!("\"1\" , {newer},"), 4);
    assert_eq!(list.status, 200, "{}", list.text());
    let newer = list.header("etag").unwrap().to_owned();
    for stale in [format!("W/{newer}"), format!("{etag}, W/{newer}, \"1\"")] {
        assert_eq!(patch(&stale, 5).code(), "version_conflict", "{stale}");
    }
    let delete = |headers: &[(&str, &str)], query: &str| {
        client.send("DELETE", &format!("{path}{query}"), headers, b"")
    };
    assert_eq!(
        delete(&[("if-match", &etag)], "").code(),
        "version_conflict"
    );
    assert_eq!(delete(&[], "?if_version=1").code(), "version_conflict");
    assert_eq!(
        delete(&[("if-match", &newer)], "?if_version=1").code(),
        "invalid_condition"
    );
    assert_eq!(delete(&[("if-match", &newer)], "").status, 204);
    // None stands any more, which is told alike whatever was to be done.
    assert_eq!(
        delete(&[("if-match", &newer)], "").code(),
        "version_conflict"
    );
    let gone = patch(&newer, 6);
    assert_eq!((gone.status, &*gone.code()), (412, "version_conflict"));
    assert_eq!(patch("*", 6).code(), "unknown_document");
}

#[test]
fn a_document_is_put_only_over_the_version_it_names() {
    let server = Server::start().with_docs();
    let client = server.client();
    let put_one = |text: &str, version: Option<u64>| {
        let mut document = json!({"id": "a", "text": text});
        if let Some(version) = version {
            document["if_version"] = json!(version);
        }
        put(&client, &json!([document]))["results"][0].clone()
    };
    let first = put_one("one", Some(0));
    assert_eq!(first["status"], "stored", "{first}");
    // Sent again because the answer was lost: it stands just so.
    assert_eq!(put_one("one", Some(0))["status"], "unchanged");
    let taken = put_one("two", Some(0));
    assert_eq!(taken["code"], "version_conflict", "{taken}");
    let version = first["sequence"].as_u64();
    let second = put_one("two", version);
    assert_eq!(second["status"], "stored", "{second}");
    assert_eq!(put_one("three", version)["code"], "version_conflict");
    let lines = "{\"id\":\"a\",\"text\":\"four\",\"if_version\":1}\n{\"id\":\"b\",\"text\":\"x\",\"if_version\":\"y\"}\n";
    let events = client.ndjson(&format!("{DOCS}/documents"), lines).events();
    let mut codes: Vec<_> = (events.iter())
        .filter_map(|event| event["failure"]["code"].as_str())
        .collect();
    codes.sort_unstable();
    assert_eq!(codes, ["invalid_jsonl", "version_conflict"]);
}

#[test]
fn space_is_given_back_and_a_purge_names_what_still_holds_something() {
    let server = filled();
    let client = server.client();
    client.post(&format!("{DOCS}/snapshots"), &json!({"id": "s"}));
    client.delete(&format!("{DOCS}/documents/b"));
    let compacted = client.post(&format!("{DOCS}/compact"), &json!({}));
    assert_eq!(compacted.status, 200, "{}", compacted.text());
    let purged = client.post(&format!("{DOCS}/purge"), &json!({})).json();
    assert_eq!(purged["held"][0]["place"], "snapshot s", "{purged}");
    let purged = client.post(&format!("{DOCS}/purge"), &json!({"snapshots": true}));
    let purged = purged.json();
    assert_eq!(purged["deleted_snapshots"], json!(["s"]), "{purged}");
    assert_eq!(purged["held"], json!([]), "{purged}");
    let one = client.post(&format!("{DOCS}/rebuild?only=text"), &json!({}));
    assert_eq!(one.status, 200, "{}", one.text());
    assert_eq!(one.json()["documents"], 1);
    let odd = client.post(&format!("{DOCS}/rebuild?only=words"), &json!({}));
    assert_eq!(odd.code(), "invalid_query");
    assert_eq!(ids(&client, "docs"), ["a.md"]);
}

#[test]
fn a_server_compacts_a_log_of_which_much_is_dead_by_itself() {
    let server = Server::with(|config| {
        config.store.segment_bytes = 2_000;
        config.compact_bytes = 1;
        config.compact_every = Duration::from_millis(50);
    });
    let server = server.with_docs();
    let client = server.client();
    for i in 0..40 {
        put(
            &client,
            &json!([{"id": "a", "text": format!("Version {i} of it. {}", "x".repeat(500))}]),
        );
    }
    let log = server.data.path().join("collections/docs/log");
    let length = || -> u64 {
        let files = std::fs::read_dir(&log).unwrap();
        files
            .filter_map(|file| Some(file.ok()?.metadata().ok()?.len()))
            .sum()
    };
    server.until("the log is short", |_| length() < 6_000);
    assert_eq!(ids(&client, "docs"), ["a"]);
}

/// What the queries of the collection's model are fitted to.
fn fitted(client: &Client) -> Value {
    client.get(DOCS).json()["fitted"].clone()
}

#[test]
fn a_model_is_fitted_beside_the_requests_and_a_purge_leaves_nothing_that_was_learned() {
    // What was kept when something was to be kept goes, too.
    let server = Server::with(|config| config.embedding_cache_bytes = 0).with_docs();
    let client = server.client();
    let text = |i: usize| format!("Zorblax number {i} drives the pump of boiler {i}.");
    let documents = (0..30).map(|i| json!({"id": i.to_string(), "text": text(i)}));
    put(&client, &documents.collect());
    let deadline = Instant::now() + Duration::from_secs(60);
    while fitted(&client).is_null() {
        assert!(Instant::now() < deadline, "it was never fitted");
        std::thread::sleep(Duration::from_millis(50));
    }
    let first = fitted(&client);
    assert_eq!(first["chunks"], 30);
    client.delete(&format!("{DOCS}/documents/29"));
    let cache = server.data.path().join("embeddings.redb");
    std::fs::write(&cache, "vectors of all kinds of texts").unwrap();
    // One fewer is no reason; that nothing of it may be left is one.
    let purged = client.post(&format!("{DOCS}/purge"), &json!({}));
    assert_eq!(purged.status, 200, "{}", purged.text());
    let second = fitted(&client);
    assert_eq!(second["chunks"], 29, "{second}");
    assert!(second["sequence"].as_u64() > first["sequence"].as_u64());
    assert!(!cache.exists());
}
