//! Clients that are broken, slow or ill-willed.

use std::io::{BufReader, Read, Write};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::client::{Client, begin_stream, piece, read};
use crate::server::Server;

const DOCS: &str = "/v1/collections/docs/documents";
const SEARCH: &str = "/v1/collections/docs/search";

/// The server is well, and holds nothing for clients that are gone.
fn is_well(server: &Server) {
    server.until("nothing is under way", |client| {
        let metrics = client.get("/metrics").text();
        let idle = |lane: &str| {
            metrics.contains(&format!("cento_work_running{{lane=\"{lane}\"}} 0"))
                && metrics.contains(&format!("cento_work_waiting{{lane=\"{lane}\"}} 0"))
        };
        idle("query") && idle("write") && idle("stream")
    });
    let found = server.client().post(SEARCH, &json!({"query": "x"}));
    assert_eq!(found.status, 200, "{}", found.text());
}

fn impatient() -> Server {
    Server::with(|config| {
        config.idle_timeout = Duration::from_millis(400);
        config.header_timeout = Duration::from_millis(400);
        config.request_timeout = Duration::from_secs(3);
        config.max_json_bytes = 64 * 1024;
    })
    .with_docs()
}

#[test]
fn invalid_json_is_told_with_its_line_and_column() {
    let server = Server::start().with_docs();
    let client = server.client();
    let send = |body: &[u8]| {
        client.send(
            "POST",
            SEARCH,
            &[("content-type", "application/json")],
            body,
        )
    };
    let refused = send(b"{\n  \"query\": \"x\",\n  oops\n}");
    assert_eq!(
        (refused.status, refused.code().as_str()),
        (400, "invalid_json")
    );
    let detail = refused.json()["detail"].as_str().unwrap().to_owned();
    assert!(detail.contains("line 3 column 3"), "{detail}");
    for broken in [
        &b"{\"query\": \"x\""[..],
        b"{\"query\": \"\xff\xfe\"}",
        b"{\"query\": \"x\"} {}",
        b"\xef\xbb\xbf{\"query\": \"x\"}",
        format!("{{\"query\": \"x\", \"filter\": {}", "[".repeat(100_000)).as_bytes(),
        b" ",
    ] {
        let refused = send(broken);
        assert_eq!(
            (refused.status, refused.code().as_str()),
            (400, "invalid_json")
        );
    }
    let refused = send(b"{\"query\": \"x\", \"query\": \"y\"}");
    assert_eq!(
        (refused.status, refused.code().as_str()),
        (422, "invalid_request")
    );
    let refused = client.send("POST", SEARCH, &[("content-type", "application/json")], b"");
    assert_eq!(
        (refused.status, refused.code().as_str()),
        (400, "invalid_json")
    );
}

#[test]
fn bodies_of_other_types_are_refused() {
    let server = Server::start().with_docs();
    let client = server.client();
    let body = br#"{"query": "x"}"#;
    for headers in [
        &[][..],
        &[("content-type", "text/plain")],
        &[("content-type", "application/x-www-form-urlencoded")],
        &[("content-type", "application/jsonp")],
        &[
            ("content-type", "application/json"),
            ("content-encoding", "gzip"),
        ],
    ] {
        let refused = client.send("POST", SEARCH, headers, body);
        assert_eq!(refused.status, 415, "{headers:?}");
        refused.code();
        assert_eq!(client.send("POST", DOCS, headers, body).status, 415);
    }
    for taken in ["application/json; charset=utf-8", "APPLICATION/JSON"] {
        assert_eq!(
            client
                .send("POST", SEARCH, &[("content-type", taken)], body)
                .status,
            200
        );
    }
    for taken in ["application/jsonl", "application/x-ndjson; charset=utf-8"] {
        let line = br#"{"id": "a", "text": "x"}"#;
        assert_eq!(
            client
                .send("POST", DOCS, &[("content-type", taken)], line)
                .status,
            200
        );
    }
}

#[test]
fn a_body_over_the_limit_is_refused_told_or_not() {
    let server = impatient();
    let client = server.client();
    let large = json!({"query": "x".repeat(100_000)}).to_string();
    let told = client.send(
        "POST",
        SEARCH,
        &[("content-type", "application/json")],
        large.as_bytes(),
    );
    assert_eq!((told.status, told.code().as_str()), (413, "body_too_large"));
    let mut stream = client.connect();
    let head = format!(
        "POST {SEARCH} HTTP/1.1\r\nhost: {}\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n",
        server.address
    );
    stream.write_all(head.as_bytes()).unwrap();
    piece(&mut stream, large.as_bytes()).unwrap();
    let untold = read(&mut BufReader::new(stream)).unwrap();
    assert_eq!(
        (untold.status, untold.code().as_str()),
        (413, "body_too_large")
    );
    // Far more than fits any buffer: the answer arrives all the same.
    let huge = vec![b'x'; 20 << 20];
    let told = client.send(
        "POST",
        SEARCH,
        &[("content-type", "application/json")],
        &huge,
    );
    assert_eq!(told.status, 413);
    is_well(&server);
}

#[test]
fn a_body_that_is_cut_off_changes_nothing() {
    let server = impatient();
    let client = server.client();
    let body = json!({"documents": [{"id": "a", "text": "x"}]}).to_string();
    let mut stream = client.connect();
    let head = format!(
        "POST {DOCS} HTTP/1.1\r\nhost: {}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        server.address,
        body.len() + 10
    );
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(body.as_bytes()).unwrap();
    drop(stream);
    is_well(&server);
    assert_eq!(client.get("/v1/collections/docs").json()["sequence"], 0);
}

#[test]
fn a_client_that_stops_sending_is_let_go() {
    let server = impatient();
    let client = server.client();
    // In the head.
    let begun = Instant::now();
    let mut stream = client.connect();
    stream
        .write_all(b"POST /v1/context HTTP/1.1\r\nhost:")
        .unwrap();
    let mut rest = Vec::new();
    let _ = stream.read_to_end(&mut rest);
    assert!(
        begun.elapsed() < Duration::from_secs(5),
        "{:?}",
        begun.elapsed()
    );
    // Before the head, and between two requests.
    let mut stream = client.connect();
    let _ = stream.read_to_end(&mut rest);
    let mut stream = client.connect();
    let head = format!("GET /healthz HTTP/1.1\r\nhost: {}\r\n\r\n", server.address);
    stream.write_all(head.as_bytes()).unwrap();
    let _ = stream.read_to_end(&mut rest);
    assert!(
        begun.elapsed() < Duration::from_secs(10),
        "{:?}",
        begun.elapsed()
    );
    // In a body.
    let mut stream = client.connect();
    let head = format!(
        "POST {SEARCH} HTTP/1.1\r\nhost: {}\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{{",
        server.address
    );
    stream.write_all(head.as_bytes()).unwrap();
    let refused = read(&mut BufReader::new(stream)).unwrap();
    assert_eq!(
        (refused.status, refused.code().as_str()),
        (408, "body_timeout")
    );
    // A drop at a time does not help.
    let mut stream = client.connect();
    stream.write_all(head.as_bytes()).unwrap();
    let mut slow = stream.try_clone().unwrap();
    let dripping = std::thread::spawn(move || {
        for _ in 0..90 {
            std::thread::sleep(Duration::from_millis(100));
            if slow.write_all(b" ").is_err() {
                break;
            }
        }
    });
    let refused = read(&mut BufReader::new(stream)).unwrap();
    assert_eq!(
        (refused.status, refused.code().as_str()),
        (408, "body_timeout")
    );
    dripping.join().unwrap();
    is_well(&server);
}

#[test]
fn a_stream_that_stops_ends_with_an_error_and_keeps_what_was_committed() {
    let server = impatient();
    let client = server.client();
    let mut stream = begin_stream(&client, DOCS);
    let lines: String = (0..256)
        .map(|i| format!("{{\"id\":\"d{i}\",\"text\":\"x\"}}\n"))
        .collect();
    piece(&mut stream, lines.as_bytes()).unwrap();
    piece(&mut stream, b"{\"id\":\"half\",\"te").unwrap();
    let answer = read(&mut BufReader::new(stream)).unwrap();
    let events = answer.events();
    assert_eq!(events[0]["event"], "committed");
    let last = events.last().unwrap();
    assert_eq!(last["event"], "error");
    assert_eq!(last["problem"]["code"], "body_timeout");
    assert_eq!(
        last["problem"]["request_id"].as_str(),
        answer.header("x-request-id")
    );
    assert!(
        !events.iter().any(|event| event["event"] == "failed"),
        "{events:?}"
    );
    is_well(&server);
    server.until("it is seen", |client| {
        client.get("/v1/collections/docs").json()["documents"] == 256
    });
}

#[test]
fn a_client_that_stops_reading_is_cut_off() {
    let server = impatient();
    let client = server.client();
    let mut stream = begin_stream(&client, DOCS);
    // Each line fails and is told; nobody reads that.
    let bad = "x\n".repeat(5_000);
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(20) {
        if piece(&mut stream, bad.as_bytes()).is_err() {
            break;
        }
    }
    assert!(
        begun.elapsed() < Duration::from_secs(20),
        "it was never cut off"
    );
    is_well(&server);
}

#[test]
fn a_client_that_goes_away_frees_its_stream() {
    let server = Server::with(|config| config.streams = 1).with_docs();
    let client = server.client();
    for _ in 0..3 {
        let mut stream = begin_stream(&client, DOCS);
        piece(&mut stream, b"{\"id\":\"a\",\"text\":\"x\"}\n").unwrap();
        server.until("it runs", |client| {
            client
                .get("/metrics")
                .text()
                .contains("cento_work_running{lane=\"stream\"} 1")
        });
        drop(stream);
        is_well(&server);
    }
}

#[test]
fn heads_without_measure_or_sense_are_refused() {
    let server = impatient();
    let client = server.client();
    let host = server.address;
    for (request, statuses) in [
        (
            format!(
                "GET /{} HTTP/1.1\r\nhost: {host}\r\n\r\n",
                "a".repeat(200_000)
            ),
            &[414, 431][..],
        ),
        (
            format!(
                "GET / HTTP/1.1\r\nhost: {host}\r\nx: {}\r\n\r\n",
                "a".repeat(200_000)
            ),
            &[431],
        ),
        (
            format!(
                "GET / HTTP/1.1\r\nhost: {host}\r\n{}\r\n",
                "x: y\r\n".repeat(500)
            ),
            &[431],
        ),
        ("not http at all\r\n\r\n".to_owned(), &[400]),
        ("\0\0\0\0\r\n\r\n".to_owned(), &[400]),
        (
            format!("GET / HTTP/9.9\r\nhost: {host}\r\n\r\n"),
            &[400, 505],
        ),
        (
            format!("POST {SEARCH} HTTP/1.1\r\nhost: {host}\r\ncontent-length: -1\r\n\r\n"),
            &[400],
        ),
        (
            format!(
                "POST {SEARCH} HTTP/1.1\r\nhost: {host}\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\nhello"
            ),
            &[400],
        ),
        (
            format!(
                "POST {SEARCH} HTTP/1.1\r\nhost: {host}\r\ntransfer-encoding: gzip\r\n\r\nhello"
            ),
            &[400],
        ),
        ("GET / HTTP/1.1\r\n\r\n".to_owned(), &[400]),
        (
            "GET / HTTP/1.1\r\nhost: evil.example\r\n\r\n".to_owned(),
            &[403],
        ),
        (
            format!("GET http://evil.example/ HTTP/1.1\r\nhost: {host}\r\n\r\n"),
            &[403],
        ),
    ] {
        let answer = client.raw(request.as_bytes());
        let status = answer.map(|answer| answer.status);
        let shown = &request[..request.len().min(80)];
        assert!(
            status.is_some_and(|s| statuses.contains(&s)),
            "{status:?}: {shown}"
        );
    }
    is_well(&server);
}

#[test]
fn pipelined_requests_are_answered_in_order_and_nonsense_between_them_ends_it() {
    let server = impatient();
    let client = server.client();
    let body = r#"{"query": "x"}"#;
    let host = server.address;
    let get = format!("GET /healthz HTTP/1.1\r\nhost: {host}\r\n\r\n");
    let post = format!(
        "POST {SEARCH} HTTP/1.1\r\nhost: {host}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut stream = client.connect();
    let all = format!("{get}{post}{get}{post}nonsense\r\n\r\n{get}");
    stream.write_all(all.as_bytes()).unwrap();
    let mut reader = BufReader::new(stream);
    let mut statuses = Vec::new();
    while let Some(answer) = read(&mut reader) {
        statuses.push(answer.status);
    }
    assert_eq!(statuses, [200, 200, 200, 200, 400]);
    is_well(&server);
}

#[test]
fn unknown_paths_and_methods_are_problems_too() {
    let server = Server::start().with_docs();
    let client = server.client();
    for path in [
        "/nope",
        "/v1",
        "/v1/collections/docs/nope",
        "/v1/collections/",
        "//",
    ] {
        let refused = client.get(path);
        assert_eq!(
            (refused.status, refused.code().as_str()),
            (404, "not_found"),
            "{path}"
        );
    }
    let wrong = client.send("PUT", "/v1/collections", &[], b"");
    assert_eq!(
        (wrong.status, wrong.code().as_str()),
        (405, "method_not_allowed")
    );
    let allow = wrong.header("allow").unwrap();
    assert!(allow.contains("GET") && allow.contains("POST"), "{allow}");
    let wrong = client.send("BREW", "/healthz", &[], b"");
    assert_eq!(
        (wrong.status, wrong.code().as_str()),
        (405, "method_not_allowed")
    );
    let head = client.raw(
        format!(
            "HEAD / HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n\r\n",
            server.address
        )
        .as_bytes(),
    );
    assert_eq!(head.unwrap().status, 200);
}

#[test]
fn a_request_has_an_id_its_own_if_that_is_sane() {
    let server = Server::start();
    let client = server.client();
    let with = |id: &str| {
        let answer = client.send("GET", "/nope", &[("x-request-id", id)], b"");
        answer.code();
        answer.header("x-request-id").unwrap().to_owned()
    };
    assert_eq!(with("job-7.retry_2"), "job-7.retry_2");
    for insane in ["a b", "x\u{fc}", "", &"x".repeat(129), "<script>"] {
        assert_ne!(with(insane), insane);
    }
    assert_ne!(with(""), with(""));
}

#[test]
fn pages_of_other_origins_and_other_names_are_kept_out() {
    let server = Server::start().with_docs();
    let client = server.client();
    let send = |headers: &[(&str, &str)]| {
        client.send("POST", "/v1/collections/docs/rebuild", headers, b"")
    };
    let foreign = send(&[("origin", "https://evil.example")]);
    assert_eq!(
        (foreign.status, foreign.code().as_str()),
        (403, "cross_origin")
    );
    let rebound = send(&[("host", "evil.example:7878")]);
    assert_eq!(
        (rebound.status, rebound.code().as_str()),
        (403, "host_not_allowed")
    );
    let own = send(&[("host", "localhost:1"), ("origin", "http://localhost:1")]);
    assert_eq!(own.status, 200);
    assert!(
        !own.headers
            .iter()
            .any(|(name, _)| name.starts_with("access-control"))
    );
}

#[test]
fn many_connections_that_do_nothing_leave_room_for_those_that_do() {
    let server = Server::with(|config| {
        config.connections = 8;
        config.header_timeout = Duration::from_millis(300);
    });
    let client: Client = server.client();
    let idle: Vec<_> = (0..40).map(|_| client.connect()).collect();
    let begun = Instant::now();
    assert_eq!(client.get("/healthz").status, 200);
    assert!(
        begun.elapsed() < Duration::from_secs(15),
        "{:?}",
        begun.elapsed()
    );
    drop(idle);
}
