//! Does an archive's way over the network end well, however it ends?

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::beside::{cento, json};
use crate::server::Server;

/// The code of the error that was told last.
fn code(stderr: Vec<u8>) -> Value {
    let told = String::from_utf8(stderr).unwrap();
    let told: Value = serde_json::from_str(told.lines().last().unwrap()).unwrap();
    told["error"]["code"].clone()
}

/// Reads a request without a body.
fn request(listener: &TcpListener) -> TcpStream {
    let (stream, _) = listener.accept().unwrap();
    let head = BufReader::new(&stream).lines();
    head.map_while(Result::ok)
        .take_while(|line| !line.is_empty())
        .for_each(drop);
    stream
}

#[test]
fn an_export_that_is_interrupted_leaves_nothing_behind() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    // A server whose archive takes minutes.
    std::thread::spawn(move || {
        let head = "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length:";
        let mut stream = request(&listener);
        write!(stream, "{head} 16\r\n\r\n{{\"snapshots\":[]}}").unwrap();
        let mut stream = request(&listener);
        write!(stream, "{head} 100000000\r\n\r\n").unwrap();
        while stream.write_all(&[0; 1000]).is_ok() {
            std::thread::sleep(Duration::from_millis(20));
        }
    });
    let dir = tempfile::tempdir().unwrap();
    let files = || std::fs::read_dir(dir.path()).unwrap().count();
    let to = dir.path().join("a.tar");
    let child = Command::new(env!("CARGO_BIN_EXE_cento"))
        .args(["--json", "--url", &url, "snapshot", "export", "s", "--to"])
        .arg(&to)
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let begun = Instant::now();
    while files() == 0 {
        assert!(begun.elapsed() < Duration::from_secs(60), "it never begins");
        std::thread::sleep(Duration::from_millis(10));
    }
    let sent = Command::new("kill")
        .args(["-INT", &child.id().to_string()])
        .status();
    assert!(sent.unwrap().success());
    let ended = child.wait_with_output().unwrap();
    assert_eq!(ended.status.code(), Some(130), "{ended:?}");
    assert_eq!(code(ended.stderr), "interrupted");
    assert_eq!(files(), 0);
}

#[test]
fn an_import_that_is_refused_at_once_says_why_however_long_the_archive_is() {
    let dir = tempfile::tempdir().unwrap();
    let mut server = Server::start(&dir.path().join("data"));
    let url = ["--json", "--url", &server.url];
    let file = dir.path().join("pump.md");
    std::fs::write(&file, "The pump was seen to.\n").unwrap();
    json(&url, &["ingest", file.to_str().unwrap()]);
    let long = dir.path().join("long.tar");
    // Without a byte on the disk.
    File::create(&long).unwrap().set_len(1 << 30).unwrap();
    let refused = cento(
        &url,
        &["snapshot", "import", "--from", long.to_str().unwrap()],
    );
    assert_eq!(refused.status.code(), Some(1));
    assert_eq!(code(refused.stderr), "collection_exists");

    // What is refused only when it is read cannot say so over the same line.
    let to = ["-c", "other", "--from", long.to_str().unwrap()];
    let refused = cento(&url, &[&["snapshot", "import"][..], &to].concat());
    let told = String::from_utf8(refused.stderr).unwrap();
    assert!(told.contains("it may have refused it"), "{told}");
    assert!(server.terminate());
}
