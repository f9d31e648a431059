//! What happens when too much is asked for?

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use serde_json::json;

use crate::client::{Client, begin_stream, hold, piece, read};
use crate::server::Server;

const DOCS: &str = "/v1/collections/docs/documents";

#[test]
fn one_stream_too_many_is_told_to_come_back() {
    let server = Server::with(|config| config.streams = 1).with_docs();
    let client = server.client();
    let mut stream = begin_stream(&client, DOCS);
    piece(&mut stream, b"{\"id\":\"a\",\"text\":\"x\"}\n").unwrap();
    server.until("it runs", |client| {
        client
            .get("/metrics")
            .text()
            .contains("cento_work_running{lane=\"stream\"} 1")
    });
    let refused = client.ndjson(DOCS, "{\"id\":\"b\",\"text\":\"x\"}\n");
    assert_eq!(
        (refused.status, refused.code().as_str()),
        (429, "overloaded")
    );
    assert_eq!(refused.header("retry-after"), Some("1"));
    assert_eq!(refused.json()["retry"], true);
    let metrics = client.get("/metrics").text();
    assert!(
        metrics.contains("cento_http_requests_rejected_total{lane=\"stream\"} 1"),
        "{metrics}"
    );
    // An archive needs such a place, too; its head alone does not.
    client.post("/v1/collections/docs/snapshots", &json!({"id": "s"}));
    let archive = "/v1/collections/docs/snapshots/s/archive";
    assert_eq!(client.get(archive).code(), "overloaded");
    assert_eq!(client.send("HEAD", archive, &[], b"").status, 200);
    // Queries and writes of other requests are not held up.
    let put = client.post(DOCS, &json!({"documents": [{"id": "b", "text": "x"}]}));
    assert_eq!(put.json()["stored"], 1);
    piece(&mut stream, b"").unwrap();
    let done = read(&mut std::io::BufReader::new(stream)).unwrap().events();
    assert_eq!(done.last().unwrap()["event"], "done");
}

#[test]
fn upkeep_takes_no_place_of_a_write() {
    let server = Server::with(|config| config.writes = 1).with_docs();
    let client = server.client();
    let held = hold(&client);
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            // Each waits a second for the stream.
            while !is_over.load(Ordering::Relaxed) {
                client.post("/v1/collections/docs/rebuild", &json!({}));
            }
        });
        server.until("a rebuild waits", |client| {
            let metrics = client.get("/metrics").text();
            metrics.contains("cento_work_running{lane=\"upkeep\"} 1")
                && metrics.contains("cento_work_running{lane=\"write\"} 0")
        });
        is_over.store(true, Ordering::Relaxed);
    });
    drop(held);
}

#[test]
fn under_load_every_request_is_answered_or_told_to_come_back() {
    let server = Server::with(|config| {
        config.queries = 1;
        config.queries_waiting = 2;
    })
    .with_docs();
    let text = "Words to be found in a document of some length. ".repeat(200);
    let lines: String = (0..200)
        .map(|i| {
            format!(
                "{}\n",
                json!({"id": format!("d{i}"), "text": format!("{i} {text}")})
            )
        })
        .collect();
    server
        .client()
        .ndjson(&format!("{DOCS}?wait=visible"), &lines);
    let address = server.address;
    let clients: Vec<_> = (0..16)
        .map(|c| {
            thread::spawn(move || {
                let client = Client::new(address);
                let asked = json!({"collection": "docs", "query": format!("words of document {c}"), "max_tokens": 4000});
                (0..10)
                    .map(|_| client.post("/v1/context", &asked))
                    .map(|answer| {
                        if answer.status == 429 {
                            assert_eq!(answer.code(), "overloaded");
                        }
                        answer.status
                    })
                    .collect::<Vec<u16>>()
            })
        })
        .collect();
    let statuses: Vec<u16> = clients
        .into_iter()
        .flat_map(|c| c.join().unwrap())
        .collect();
    assert!(
        statuses.iter().all(|status| [200, 429].contains(status)),
        "{statuses:?}"
    );
    assert!(
        statuses.contains(&200) && statuses.contains(&429),
        "{statuses:?}"
    );
}

#[test]
fn an_answer_that_takes_too_long_is_a_timeout() {
    let server =
        Server::with(|config| config.request_timeout = Duration::from_millis(200)).with_docs();
    let client = server.client();
    let held = hold(&client);
    // A deletion waits a second for what is going on.
    let late = client.delete("/v1/collections/docs");
    assert_eq!((late.status, late.code().as_str()), (504, "timeout"));
    assert_eq!(late.json()["retry"], true);
    drop(held);
}

#[test]
fn metrics_count_by_the_path_that_matched() {
    let server = Server::start().with_docs();
    let client = server.client();
    for i in 0..3 {
        client.get(&format!("/v1/collections/docs/documents/d{i}"));
        client.get(&format!("/nope/{i}"));
    }
    let metrics = client.get("/metrics");
    assert!(
        metrics
            .header("content-type")
            .unwrap()
            .starts_with("text/plain")
    );
    let text = metrics.text();
    for expected in [
        "cento_http_requests_total{method=\"GET\",route=\"/v1/collections/{name}/documents/{id}\",status=\"404\"} 3",
        "cento_http_requests_total{method=\"GET\",route=\"unmatched\",status=\"404\"} 3",
        "cento_http_requests_in_flight 1",
        "cento_http_request_duration_seconds_bucket{method=\"POST\",route=\"/v1/collections\",le=\"+Inf\"} 1",
        "cento_collection_documents{collection=\"docs\"} 0",
    ] {
        assert!(text.contains(expected), "{expected}\n{text}");
    }
}
