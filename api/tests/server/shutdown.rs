//! How does a server end?

use std::io::BufReader;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use cento_api::{ServerConfig, Service, ServiceOptions};
use serde_json::json;

use crate::client::{begin_stream, piece, read};
use crate::server::Server;

const DOCS: &str = "/v1/collections/docs/documents";

fn runs(server: &Server) {
    server.until("the stream runs", |client| {
        client
            .get("/metrics")
            .text()
            .contains("cento_work_running{lane=\"stream\"} 1")
    });
}

#[test]
fn a_stream_under_way_is_finished_and_everything_is_there_afterwards() {
    let mut server = Server::start().with_docs();
    let client = server.client();
    let mut stream = begin_stream(&client, DOCS);
    piece(&mut stream, b"{\"id\":\"a\",\"text\":\"one\"}\n").unwrap();
    runs(&server);
    // A connection that does nothing does not hold it up.
    let mut idle = client.connect();
    std::io::Write::write_all(
        &mut idle,
        format!("GET /healthz HTTP/1.1\r\nhost: {}\r\n\r\n", server.address).as_bytes(),
    )
    .unwrap();
    let mut idle = BufReader::new(idle);
    assert_eq!(read(&mut idle).unwrap().status, 200);
    server.ask_to_end();
    let refused = || TcpStream::connect(server.address).is_err();
    let deadline = Instant::now() + Duration::from_secs(10);
    while !refused() {
        assert!(Instant::now() < deadline, "it still takes connections");
        std::thread::sleep(Duration::from_millis(10));
    }
    piece(&mut stream, b"{\"id\":\"b\",\"text\":\"two\"}\n").unwrap();
    piece(&mut stream, b"").unwrap();
    let events = read(&mut BufReader::new(stream)).unwrap().events();
    assert_eq!(events.last().unwrap()["event"], "done");
    assert_eq!(events.last().unwrap()["report"]["added"], 2);
    let begun = Instant::now();
    let data = server.end();
    assert!(
        begun.elapsed() < Duration::from_secs(10),
        "{:?}",
        begun.elapsed()
    );
    // The lock is free, and nothing has to be replayed.
    let service = Service::open_existing(data.path(), ServiceOptions::default()).unwrap();
    let name = cento_core::CollectionName::new("docs").unwrap();
    assert_eq!(service.collection(&name).unwrap().documents, 2);
    assert_eq!(service.engine(&name).unwrap().recovery().replayed, 0);
}

#[test]
fn a_stream_that_does_not_end_is_told_and_cut_off() {
    let mut server = Server::with(|config| {
        config.shutdown_timeout = Duration::from_millis(300);
    })
    .with_docs();
    let client = server.client();
    let mut stream = begin_stream(&client, DOCS);
    let lines: String = (0..256)
        .map(|i| format!("{{\"id\":\"d{i}\",\"text\":\"x\"}}\n"))
        .collect();
    piece(&mut stream, lines.as_bytes()).unwrap();
    runs(&server);
    server.ask_to_end();
    let events = read(&mut BufReader::new(stream)).unwrap().events();
    assert_eq!(events[0]["event"], "committed");
    let last = events.last().unwrap();
    assert_eq!(last["problem"]["code"], "shutting_down", "{last}");
    let data = server.end();
    let server = Server::over(data, |_| {});
    let shown = server.client().get("/v1/collections/docs").json();
    assert_eq!(shown["documents"], 256);
}

#[test]
fn a_server_that_others_could_reach_must_be_asked_for() {
    let data = tempfile::tempdir().unwrap();
    let mut config = ServerConfig::new(data.path());
    config.bind = "0.0.0.0:0".parse().unwrap();
    let refused = cento_api::run(config, |_| panic!("it listens")).unwrap_err();
    assert_eq!(refused.code, "unsafe_bind");
    let server = Server::with(|config| {
        config.bind = "0.0.0.0:0".parse().unwrap();
        config.allow_remote = true;
    });
    let client = crate::client::Client::new(([127, 0, 0, 1], server.address.port()).into());
    assert_eq!(client.get("/healthz").status, 200);
}

#[test]
fn an_address_that_is_taken_and_a_directory_in_use_are_told() {
    let server = Server::start();
    let other = tempfile::tempdir().unwrap();
    let mut config = ServerConfig::new(other.path());
    config.bind = server.address;
    let refused = cento_api::run(config, |_| {}).unwrap_err();
    assert_eq!(refused.code, "cannot_listen");
    let mut config = ServerConfig::new(server.data.path());
    config.bind.set_port(0);
    let refused = cento_api::run(config, |_| {}).unwrap_err();
    assert_eq!(refused.code, "directory_in_use");
    let lock = std::fs::read_to_string(server.data.path().join("lock")).unwrap();
    let url = format!("http://{}", server.address);
    assert!(lock.trim_end().ends_with(&url), "{lock}");
    assert_eq!(
        server
            .client()
            .post("/v1/collections", &json!({"name": "a"}))
            .status,
        201
    );
}
