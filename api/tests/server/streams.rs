//! Streams of documents, with clients that behave.

use std::io::BufReader;
use std::net::TcpStream;
use std::thread;

use serde_json::{Value, json};

use crate::client::{begin_stream, hold, piece, read, read_head, read_piece};
use crate::server::Server;

const DOCS: &str = "/v1/collections/docs/documents";

fn line(id: &str, text: &str) -> String {
    format!("{}\n", json!({"id": id, "text": text}))
}

#[test]
fn events_tell_what_is_safe_and_what_failed() {
    let server = Server::start().with_docs();
    let client = server.client();
    let lines = [
        line("a", "one"),
        "\n".to_owned(),
        "not json\n".to_owned(),
        line("a", "again"),
        "[1]\n".to_owned(),
        "{\"id\": \"utf8\", \"text\": \"\u{fc}\"}\n".to_owned(),
        format!("{}\n", json!({"_id": 7, "text": "seven", "year": 2024})),
        line("last", "no newline").trim_end().to_owned(),
    ]
    .concat();
    let answer = client.ndjson(&format!("{DOCS}?wait=visible"), &lines);
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("content-type"), Some("application/x-ndjson"));
    let events = answer.events();
    let failed: Vec<(&str, &str)> = (events.iter())
        .filter(|event| event["event"] == "failed")
        .map(|event| {
            (
                event["failure"]["place"].as_str().unwrap(),
                event["failure"]["code"].as_str().unwrap(),
            )
        })
        .collect();
    assert_eq!(
        failed,
        [
            ("line 3", "invalid_jsonl"),
            ("line 4", "duplicate_id"),
            ("line 5", "invalid_jsonl")
        ]
    );
    let committed: Vec<&Value> = (events.iter())
        .filter(|event| event["event"] == "committed")
        .collect();
    assert_eq!(committed[0]["documents"], json!(["a", "utf8", "7", "last"]));
    assert_eq!(committed[0]["sequence"], 4);
    let done = events.last().unwrap();
    assert_eq!(done["event"], "done");
    assert_eq!(
        (&done["report"]["added"], &done["report"]["failed"]),
        (&json!(4), &json!(3))
    );
    let seen = client.get(&format!("{DOCS}/7")).json();
    assert_eq!(seen["metadata"], json!({"year": 2024}));
    assert_eq!(seen["source"], Value::Null);
    let again = client.ndjson(DOCS, &line("a", "one"));
    assert_eq!(again.events()[0]["report"]["unchanged"], 1);
}

#[test]
fn events_come_while_the_stream_goes_on() {
    let server = Server::start().with_docs();
    let client = server.client();
    let mut stream = begin_stream(&client, DOCS);
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    // One batch is 256 documents.
    let lines: String = (0..300).map(|i| line(&format!("d{i}"), "text")).collect();
    piece(&mut stream, lines.as_bytes()).unwrap();
    let (status, _) = read_head(&mut reader).unwrap();
    assert_eq!(status, 200);
    let first: Value = serde_json::from_slice(&read_piece(&mut reader).unwrap()).unwrap();
    assert_eq!(first["event"], "committed");
    assert_eq!(first["documents"].as_array().unwrap().len(), 256);
    piece(&mut stream, line("late", "text").as_bytes()).unwrap();
    piece(&mut stream, b"").unwrap();
    let mut last = Value::Null;
    while let Some(bytes) = read_piece(&mut reader) {
        last = serde_json::from_slice(&bytes).unwrap();
    }
    assert_eq!(last["event"], "done");
    assert_eq!(last["report"]["added"], 301);
}

#[test]
fn what_a_stream_has_committed_is_found_while_it_goes_on() {
    let server = Server::start().with_docs();
    let client = server.client();
    let mut stream = hold(&client);
    let is_found = |id: &str| {
        server.until("it is found", |client| {
            client.get(&format!("{DOCS}/{id}")).status == 200
        });
    };
    is_found("held0");
    // The next batch, when the first has long been looked after.
    let lines: String = (0..256).map(|i| line(&format!("d{i}"), "text")).collect();
    piece(&mut stream, lines.as_bytes()).unwrap();
    is_found("d0");
    piece(&mut stream, b"").unwrap();
}

#[test]
fn a_long_stream_of_large_and_small_documents_comes_in_whole() {
    let server = Server::with(|config| config.max_document_bytes = 300_000).with_docs();
    let client = server.client();
    let mut stream = begin_stream(&client, &format!("{DOCS}?wait=visible"));
    let reader = stream.try_clone().unwrap();
    let reading = thread::spawn(move || read(&mut BufReader::new(reader)).unwrap());
    let large = "a sentence of some words. ".repeat(10_000);
    for i in 0..40 {
        piece(&mut stream, line(&format!("large{i}"), &large).as_bytes()).unwrap();
        for j in 0..20 {
            piece(
                &mut stream,
                line(&format!("small{i}-{j}"), "few words").as_bytes(),
            )
            .unwrap();
        }
    }
    // Four thirds of the largest file, and then some.
    let too_large = "x".repeat(600_000);
    piece(&mut stream, line("too-large", &too_large).as_bytes()).unwrap();
    piece(&mut stream, b"").unwrap();
    let events = reading.join().unwrap().events();
    let done = &events.last().unwrap()["report"];
    assert_eq!(done["added"], 40 * 21, "{done}");
    assert_eq!(done["failures"][0]["code"], "too_large");
    assert_eq!(client.get("/v1/collections/docs").json()["documents"], 840);
}

#[test]
fn several_streams_come_in_at_once() {
    let server = Server::start().with_docs();
    let address = server.address;
    let streams: Vec<_> = (0..4)
        .map(|s| {
            thread::spawn(move || {
                let lines: String = (0..400)
                    .map(|i| line(&format!("s{s}-{i}"), "text"))
                    .collect();
                crate::client::Client::new(address).ndjson(&format!("{DOCS}?wait=visible"), &lines)
            })
        })
        .collect();
    for stream in streams {
        let events = stream.join().unwrap().events();
        assert_eq!(events.last().unwrap()["report"]["added"], 400);
    }
    let client = server.client();
    assert_eq!(client.get("/v1/collections/docs").json()["documents"], 1600);
    let audit = client.post("/v1/collections/docs/audit", &json!({})).json();
    assert_eq!(audit["clean"], true);
}

#[test]
fn an_empty_stream_is_done_at_once() {
    let server = Server::start().with_docs();
    let client = server.client();
    let mut stream: TcpStream = begin_stream(&client, DOCS);
    piece(&mut stream, b"").unwrap();
    let answer = read(&mut BufReader::new(stream)).unwrap();
    assert_eq!(answer.events()[0]["event"], "done");
}
